# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: what would repair what was found, in the order in which it has to be done (design, "The report as data": plan).

A step is done by a remedy, or by hand: then it has the guide's words. Nothing in a plan is done because it stands there.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed
from ansible_collections.talosops.talos.plugins.module_utils.judge import managers
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.remedies import by_hand, fitting, never
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import NOT_ASKED_FOR, Remedy, Step, digest, digest_of, plain
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import BY_NAME, REMEDIES

SCHEMA = 'https://talosops.github.io/schema/plan/1'
# What must work before what: the machines and their network, then etcd, Kubernetes, its nodes, and how one talks to all that.
_ORDER = {'network_configuration': 0, 'x.time': 0, 'talos_api.firewall': 1, 'talos_api.subnet_conflict': 1, 'system_requirements': 1, 'x.upgrade': 7}
_OF_GUIDE = {'discovery': 2, 'etcd': 3, 'kubernetes_api': 4, 'controlplane': 4, 'kubelet': 5, 'talos_api': 8}
_LAST, _OF_MACHINES = 9, 1


def build(view, findings):
    """The steps, as data, for the findings of a report. Pure: C(view) is the View that they were found in."""
    problems = {finding['id']: finding for finding in findings if v.rank(finding['verdict']) >= v.rank(v.WARNING)}
    asked = _asked(view, problems)
    covered = {finding_id for one_ in asked if not one_.later for finding_id in one_.findings}
    groups = by_hand.groups(problems, covered, BY_NAME)
    steps, numbers, counts, effects = [], {}, {}, by_hand.effects(problems)
    silent = {machine.key for machine in view.snapshot.machines if not machine.answered or view.stage(machine) == 'maintenance'}
    # Stable: remedies in their order, then what is done by hand, then the remedies that need that before.
    for wanted in sorted((*(one_ for one_ in asked if not one_.later), *groups, *(one_ for one_ in asked if one_.later)),
                         key=lambda wanted: _part(silent, problems, wanted)):
        number, following = len(steps) + 1, by_hand.following(effects, wanted.findings)
        if isinstance(wanted, by_hand.Group):
            steps.append(by_hand.plain(number, wanted, following))
            continue
        step, do = _made(view, wanted, tuple(numbers)), by_hand.steady(problems[wanted.findings[0]]['next_step'] or '')
        told = plain(number, wanted.remedy.name, wanted.target, step, do, wanted.findings, following, numbers)
        told = _limited(view, wanted.remedy, told, counts)
        steps.append(told)
        if told['refused'] is None:
            numbers[(wanted.remedy.name, wanted.target)] = number
    return fitting.fitted(steps)


def one(view, name, target, args=None):
    """The step, as data, of this remedy for a target, as things are: numbered zero, after nothing. Raises InputError for what no target can be."""
    remedy = BY_NAME[name]
    return plain(0, name, target, remedy.step(view, target, args, ()))


def document(cluster, cluster_id, steps, confirm=()):
    """The plan of a cluster as it is kept and approved. Its digest is that of the steps that can be applied.

    C(confirm) are the sentences that any step needs, beside its own.
    """
    return {'schema': SCHEMA, 'cluster': cluster, 'cluster_id': cluster_id, 'digest': digest_of_all(cluster_id, steps), 'confirm': list(confirm),
            'steps': steps}


def digest_of_all(cluster_id, steps):
    """The digest of what is approved of a plan, worked out of its steps."""
    return digest([cluster_id, *(digest_of(step) for step in steps if not step['by_hand'])])


@dataclass(frozen=True)
class _Asked:
    """A remedy that findings ask for, with its target and arguments; C(later) where their next step is done by hand before."""

    remedy: Remedy
    target: str
    args: dict
    findings: list
    later: bool


def _asked(view, problems):
    """The L(_Asked), each target once, in the order of the remedies. What follows from another problem is repaired with that, and asks for nothing."""
    found, asking = {}, [finding for finding in problems.values() if finding['remedy'] and not any(cause in problems for cause in finding['because_of'])]
    named = {finding['remedy']['name'] for finding in asking}
    instead = {other: remedy.name for remedy in REMEDIES if remedy.name in named for other in remedy.includes}
    for finding in asking:
        name, args = finding['remedy']['name'], finding['remedy']['args']
        remedy = BY_NAME.get(instead.get(name, name))
        if remedy is None:
            continue
        for target in remedy.targets_of(view, args):
            before = found.get((remedy.name, target)) or _Asked(remedy, target, args, [], remedy.by_hand_first(view, args))
            found[(remedy.name, target)] = replace(before, args=remedy.merged(before.args, args), findings=[*before.findings, finding['id']])
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


def _part(silent, problems, wanted):
    """The place of a step in the plan, by the sections of its findings. What is to be done to machines that are C(silent) comes before the rest."""
    found = [problems[finding_id] for finding_id in wanted.findings]
    part = min(_ORDER.get(finding['section'], _OF_GUIDE.get(finding['section'].partition('.')[0], _LAST)) for finding in found)
    if isinstance(wanted, by_hand.Group) and {key for finding in found for key in finding['node_keys']} <= silent and found[0]['node_keys']:
        return min(part, _OF_MACHINES)
    return part


def must_be_known(name):
    """Raises InputError for a name that is neither that of a remedy nor that of something that is never done."""
    if name not in BY_NAME and never.find(name) is None:
        near = difflib.get_close_matches(str(name), [*BY_NAME, *never.names()], n=1)
        raise InputError(f'There is no remedy "{name}".', f'Did you mean "{near[0]}"?' if near else f'There are: {listed(sorted(BY_NAME), 12)}.')


def refusal(view, steps, name, target):
    """Why a remedy that was asked for by name is not done to a target that the plan does not hold, as a sentence's end.

    Raises InputError for a name that is none, and for what can be no target of this remedy.
    """
    must_be_known(name)
    unwanted = never.find(name)
    if unwanted is not None:
        return f'{unwanted.what} is never done by this collection: {unwanted.reason(view, target)}'
    planned = next((step['refused'] for step in steps if step['remedy'] == name and target in (step['target'], *step['rests_on'].get('left_out', ()))), None)
    owner = next((manager for manager in managers.of(view) if name in managers.OWNED[manager]), None)
    reasons = [f'{owner} manages this cluster, and does this or lets it be done there'] if owner else []
    return '; '.join([*reasons, planned or one(view, name, target)['refused'] or NOT_ASKED_FOR])
