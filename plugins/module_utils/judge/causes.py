# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes before consequences: which finding explains which (design, "Causes before consequences").

The links are drawn from facts that findings share, not from fixed pairs of checks: where nobody asserts the fact
that would explain a finding, it stands as a root of its own.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import REFUSED, ROLE_MAY_NOT
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import WHY


def link(findings):
    """Fill C(because_of) and C(root) of findings (dicts with id, verdict, asserts, explained_by) in place.

    Only a problem explains: what is unknown or a mere note never does, but what it follows from itself explains what follows from it.
    Of two that would explain each other the worse one is the cause, so the links never run in a circle, whatever the order of the findings.
    """
    asserted, passed_on = {}, {}
    for finding in findings:
        problem = v.rank(finding['verdict']) >= v.rank(v.WARNING)
        for fact in finding['asserts']:
            if problem:
                asserted.setdefault(fact, []).append(finding['id'])
            else:
                passed_on.setdefault(fact, []).extend(finding['explained_by'])
    causes = {finding['id']: [] for finding in findings}
    for finding in sorted(findings, key=lambda f: (v.rank(f['verdict']), f['id'])):
        for fact in _facts(finding['explained_by'], passed_on):
            for cause in asserted.get(fact, ()):
                if cause not in causes[finding['id']] and not _explains(causes, finding['id'], cause):
                    causes[finding['id']].append(cause)
    for finding in findings:
        finding['because_of'] = causes[finding['id']]
        finding['root'] = not finding['because_of']


def _facts(explained_by, passed_on):
    """These facts in their order, and those that explain the ones among them that no problem asserts."""
    facts, waiting = {}, list(explained_by)
    while waiting:
        fact = waiting.pop(0)
        if fact not in facts:
            facts[fact] = True
            waiting += passed_on.get(fact, ())
    return facts


def is_withheld(finding):
    """Whether nothing but the role of the client certificate is why this is not known."""
    return (finding['verdict'] == v.UNKNOWN and not finding['because_of'] and ROLE_MAY_NOT in finding['title']
            and not any(why in finding['title'] for state, why in WHY.items() if state != REFUSED))


def in_order(findings):
    """Worst first, those of one check together by the names of their nodes, and every cause before its consequences."""
    waiting = sorted(findings, key=lambda f: (-v.rank(f['verdict']), f['check'], f['nodes'], f['id']))
    placed, done = [], set()
    while waiting:
        index = next((i for i, f in enumerate(waiting) if done.issuperset(f['because_of'])), 0)
        finding = waiting.pop(index)
        placed.append(finding)
        done.add(finding['id'])
    return placed


def _explains(causes, earlier, later):
    """Whether C(earlier) is already a cause of C(later), or is it."""
    seen, open_ = set(), [later]
    while open_:
        current = open_.pop()
        if current == earlier:
            return True
        if current not in seen:
            seen.add(current)
            open_.extend(causes[current])
    return False
