# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a plan that a person does: what the guide says for findings that no remedy of ours repairs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed

TARGETS_MOST = 12
_NO_ADVICE = 'Read what the report tells of it: this check gives no advice.'
_SPAN = r'\d[\d.]* (?:ms|s|min|minutes|h|d)\b'
_MOVING = re.compile('|'.join((
    rf'(?: and|:)? silent for {_SPAN}', rf' for {_SPAN}(?: only)?', r' in \d+ d,', rf' {_SPAN} ago,?', rf' {_SPAN}(?= (?:ahead|behind))',
    rf', by {_SPAN} at least', r', \d+ restarts', r' \(\d+ (?:exits|restarts) in five minutes\)')))


@dataclass(frozen=True)
class Group:
    """Findings of one check for which the same is to be done; C(findings) are their ids."""

    check: str
    title: str
    do: str
    findings: list
    subjects: list
    remedy: str | None


def steady(text):
    """A text of a finding without ages, offsets of clocks and counts of restarts, which are others in each run of the same cluster."""
    return _MOVING.sub('', text)


def groups(problems, covered, applied=()):
    """The Group of every problem that is a cause and is not covered by a step of a remedy; C(problems) are findings by their ids.

    C(applied) are the names of remedies that have steps of their own.
    """
    found = {}
    for finding in problems.values():
        if finding['id'] in covered or any(cause in problems for cause in finding['because_of']):
            continue
        remedy = (finding['remedy'] or {}).get('name')
        do = finding['next_step'] or _NO_ADVICE
        group = found.setdefault((finding['check'], do), Group(finding['check'], finding['title'], do, [], [], None if remedy in applied else remedy))
        group.findings.append(finding['id'])
        group.subjects.extend(finding['nodes'] or [finding['subject']])
    return list(found.values())


def effects(problems):
    """{id of a problem: ids of those that it is named a cause of}."""
    found = {}
    for finding in problems.values():
        for cause in finding['because_of']:
            found.setdefault(cause, []).append(finding['id'])
    return found


def following(effects_, ids):
    """Ids of the problems that are consequences of these, and of those in turn."""
    found = dict.fromkeys(ids)
    waiting = list(ids)
    while waiting:
        new = [effect for effect in effects_.get(waiting.pop(0), ()) if effect not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return list(found)[len(ids):]


def plain(number, group, following_):
    """A step as data of the plan, with the same keys as one of a remedy."""
    shown = list(dict.fromkeys(map(str, group.subjects)))
    more = f', and {len(group.findings) - 1} more of this kind' if len(group.findings) > 1 else ''
    return {
        'step': number,
        'remedy': group.remedy,
        'target': listed(shown, TARGETS_MOST),
        'by_hand': True,
        'title': f'By hand: {steady(group.title)}{more}',
        'findings': group.findings,
        'consequences': following_,
        'evidence': [],
        'preconditions': [],
        'predicted': {},
        'actions': [],
        'do': steady(group.do),
        'verify': [f'the check {group.check} finds nothing any more'],
        'way_back': '',
        'needs_backup': False,
        'confirm': [],
        'after': [],
        'refused': None,
        'rests_on': {},
        'digest': None,
    }
