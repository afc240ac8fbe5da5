# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes before consequences: which finding explains which (design, "Causes before consequences").

The links are drawn from facts that findings share, not from fixed pairs of checks: where nobody asserts the fact
that would explain a finding, it stands as a root of its own.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v


def link(findings):
    """Fill C(because_of) and C(root) of findings (dicts with id, verdict, asserts, explained_by) in place."""
    asserted = {}
    for finding in findings:
        if v.rank(finding['verdict']) >= v.rank(v.WARNING):
            for fact in finding['asserts']:
                asserted.setdefault(fact, []).append(finding['id'])
    causes = {finding['id']: [] for finding in findings}
    for finding in findings:
        for fact in finding['explained_by']:
            for cause in asserted.get(fact, ()):
                if cause not in causes[finding['id']] and not _explains(causes, finding['id'], cause):
                    causes[finding['id']].append(cause)
    for finding in findings:
        finding['because_of'] = causes[finding['id']]
        finding['root'] = not finding['because_of']


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
