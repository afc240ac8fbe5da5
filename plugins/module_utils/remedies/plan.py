# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: what would repair what was found, in the order in which it has to be done (design, "The report as data": plan).

A step is done by a remedy, or by hand: then it has the guide's words. Nothing in a plan is done because it stands there.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.remedies import by_hand
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import Remedy, Step, digest, digest_of, plain
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import BY_NAME, REMEDIES

SCHEMA = 'https://talosops.github.io/schema/plan/1'
# What must work before what: the machines and their network, then etcd, Kubernetes, its nodes, and how one talks to all that.
_ORDER = {'network_configuration': 0, 'x.time': 0, 'talos_api.firewall': 1, 'talos_api.subnet_conflict': 1, 'system_requirements': 1, 'x.upgrade': 7}
_OF_GUIDE = {'discovery': 2, 'etcd': 3, 'kubernetes_api': 4, 'controlplane': 4, 'kubelet': 5, 'talos_api': 8}
_LAST = 9


def build(view, findings):
    """The steps, as data, for the findings of a report. Pure: C(view) is the View that they were found in."""
    problems = {finding['id']: finding for finding in findings if v.rank(finding['verdict']) >= v.rank(v.WARNING)}
    asked = _asked(view, list(problems.values()))
    covered = {finding_id for one_ in asked for finding_id in one_.findings}
    groups = by_hand.groups(problems, covered)
    steps, numbers, counts = [], {}, {}
    for wanted in sorted((*asked, *groups), key=lambda wanted: _part(problems, wanted.findings)):  # stable: remedies first, in their order
        number, following = len(steps) + 1, by_hand.following(problems, wanted.findings)
        if isinstance(wanted, by_hand.Group):
            steps.append(by_hand.plain(number, wanted, following))
            continue
        step = _made(view, wanted, tuple(numbers))
        told = plain(number, wanted.remedy.name, wanted.target, step, wanted.findings, following, numbers)
        told = _limited(view, wanted.remedy, told, counts)
        steps.append(told)
        if told['refused'] is None:
            numbers[(wanted.remedy.name, wanted.target)] = number
    return steps


def one(view, name, target, args=None):
    """The step, as data, of this remedy for a target, as things are: numbered zero, after nothing. Raises InputError for what no target can be."""
    remedy = BY_NAME[name]
    return plain(0, name, target, remedy.step(view, target, args, ()))


def document(cluster, cluster_id, steps):
    """The plan of a cluster as it is kept and approved. Its digest is that of the steps that can be applied."""
    return {'schema': SCHEMA, 'cluster': cluster, 'cluster_id': cluster_id, 'digest': digest_of_all(cluster_id, steps), 'steps': steps}


def digest_of_all(cluster_id, steps):
    """The digest of what is approved of a plan, worked out of its steps."""
    return digest([cluster_id, *(digest_of(step) for step in steps if not step['by_hand'])])


@dataclass(frozen=True)
class _Asked:
    """A remedy that findings ask for, with its target and arguments."""

    remedy: Remedy
    target: str
    args: dict
    findings: list


def _asked(view, problems):
    """The L(_Asked), each target once, in the order of the remedies."""
    found = {}
    named = {(finding['remedy'] or {}).get('name') for finding in problems}
    instead = {other: remedy.name for remedy in REMEDIES if remedy.name in named for other in remedy.includes}
    for finding in problems:
        asked = finding['remedy'] or {}
        remedy = BY_NAME.get(instead.get(asked.get('name'), asked.get('name')))
        if remedy is not None:
            target = remedy.target_of(view, asked['args'])
            found.setdefault((remedy.name, target), _Asked(remedy, target, asked['args'], [])).findings.append(finding['id'])
    order = [remedy.name for remedy in REMEDIES]
    return sorted(found.values(), key=lambda wanted: (order.index(wanted.remedy.name), wanted.target))


def _made(view, wanted, coming):
    try:
        return wanted.remedy.step(view, wanted.target, wanted.args, coming)
    except InputError as error:  # what the finding names is no target any more
        return Step(f'{wanted.remedy.name} for {wanted.target}', refused=(error.sentence(),))


def _limited(view, remedy, step, counts):
    """The step, refused where one run must not have so many of this kind."""
    most = remedy.most(view) if remedy.most else None
    if step['refused'] is None and most is not None:
        counts[remedy.name] = counts.get(remedy.name, 0) + 1
        if counts[remedy.name] > most:
            return {**step, 'refused': f'no more than {most} of this kind in one run: run it again when that is done and proved'}
    return step


def _part(problems, ids):
    """The place of a step in the plan, by the sections of its findings."""
    sections = [problems[finding_id]['section'] for finding_id in ids]
    return min(_ORDER.get(section, _OF_GUIDE.get(section.partition('.')[0], _LAST)) for section in sections)


def for_nothing(steps, name, target):
    """Why a remedy that was asked for by name is not done for a target that the plan does not hold, as a sentence's end."""
    there = [step['target'] for step in steps if step['remedy'] == name]
    return f'the plan has {"it for " + listed(there) if there else "no such step"}, and not for {target}'
