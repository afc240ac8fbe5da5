# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A report of chosen sections only, for runs that chose or skipped some by tags."""

from __future__ import annotations

from collections import Counter

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import complete
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import SECTIONS


def roles():
    """The roles that show sections, in the guide's order."""
    return tuple(dict.fromkeys(section.role for section in SECTIONS))


def keys_of(only=None, skip=None):
    """Section keys of the roles in C(only) (none or no such role: all) without those in C(skip); None for all of them."""
    chosen = [role for role in only or () if role in roles()] or roles()
    keys = tuple(section.key for section in SECTIONS if section.role in chosen and section.role not in (skip or ()))
    return None if len(keys) == len(SECTIONS) else keys


def select(report, keys):
    """The report with these sections; class, completeness and counts are theirs. Causes in other sections stay among the findings.

    C(only) in it are the section keys. With keys of None it is the report itself.
    """
    if keys is None:
        return report
    sections = {key: section for key, section in report['sections'].items() if key in keys}
    mine = [finding for finding in report['findings'] if finding['section'] in keys]
    wanted, waiting = set(), [finding['id'] for finding in mine]
    because = {finding['id']: finding['because_of'] for finding in report['findings']}
    while waiting:
        one = waiting.pop()
        if one not in wanted:
            wanted.add(one)
            waiting += because.get(one, ())
    counts = Counter()
    for section in sections.values():
        counts.update(section['counts'])
    judged = report['class'] != v.NOT_JUDGED
    return {
        **report,
        'class': v.class_of(finding['verdict'] for finding in mine) if judged else v.NOT_JUDGED,
        'complete': judged and complete(sections),
        'sections': sections,
        'findings': [finding for finding in report['findings'] if finding['id'] in wanted],
        'checks': [check for check in report['checks'] if check['section'] in keys],
        'counts': {name: counts.get(name, 0) for name in report['counts']},
        'only': list(sections),
    }
