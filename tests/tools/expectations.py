# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scenario expects, held against a report: every expectation is met, not met, or of a section that is not built yet."""

from __future__ import annotations

import re
from collections import namedtuple

from ansible_collections.talosops.talos.plugins.module_utils.judge import signatures, verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import NOT_BUILT
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import KEYS

MET, NOT_MET, UNBUILT = 'met', 'NOT MET', 'not built yet'
QUIET = (v.OK, v.INFO, v.NOT_APPLICABLE)
CLASSES = ('healthy', 'warnings', 'errors', 'critical', 'not_judged')
SEVERITIES = (v.INFO, v.WARNING, v.ERROR, v.CRITICAL)
# Ours: in not_evaluated it stands for every section that nothing else is said of.
EVERY_OTHER = '*'
# What an entry of expected.assert_not may say (docs/scenarios.md).
_CHOOSES = ('section', 'check', 'subject', 'nodes', 'title')
_ASSERTS = ('says', *_CHOOSES, 'at_most', 'plan', 'before')

# C(section) is the key of the section that an item is about, None for the whole report.
Item = namedtuple('Item', 'state what why section', defaults=(None,))


def problem(expected):
    """What is wrong with an expected block, as one sentence, or None."""
    if expected.get('class') not in CLASSES:
        return f'expected.class must be one of {", ".join(CLASSES)}.'
    for wanted in expected.get('findings') or []:
        if not isinstance(wanted, dict) or wanted.get('section') not in KEYS or wanted.get('severity') not in SEVERITIES:
            return f'expected.findings: {wanted!r} must name one of our sections and a severity ({", ".join(SEVERITIES)}).'
    for name in [*(expected.get('not_evaluated') or {}), *(cause for wanted in expected.get('findings') or [] for cause in _causes(wanted))]:
        if name not in (*KEYS, EVERY_OTHER):
            return f'expected: {name} is no section.'
    return next((said for said in map(_wrong_assertion, expected.get('assert_not') or []) if said), None)


def _wrong_assertion(told):
    """What is wrong with an entry of assert_not, as one sentence, or None."""
    if not isinstance(told, dict) or not set(told) <= set(_ASSERTS) or not set(told) & {*_CHOOSES, 'plan'}:
        return f'expected.assert_not: {told!r} must choose findings by {", ".join(_CHOOSES)}, or steps by plan.'
    if told.get('section', KEYS[0]) not in KEYS:
        return f'expected.assert_not: {told["section"]} is no section.'
    if told.get('at_most', v.INFO) not in v.ORDER:
        return f'expected.assert_not: at_most must be a verdict ({", ".join(v.ORDER)}), not {told["at_most"]!r}.'
    return None


def compare(report, expected, lines=()):
    """Every expectation as an Item, in the order: class, completeness, findings, sections, order of causes, assertions, log lines.

    C(lines) are those of the scenario's state.
    """
    unbuilt = any(section['reason'] == NOT_BUILT for section in report['sections'].values())
    items = [_class(report, expected), _completeness(report, expected, unbuilt)]
    named = set()
    for wanted in expected.get('findings') or []:
        named.add(wanted['section'])
        items.append(_finding(report, wanted))
    unseen = expected.get('not_evaluated') or {}
    for key in KEYS:
        section = report['sections'][key]
        said = f'it is {section["verdict"]}: {section["reason"] or _worst_title(report, key)}'
        if EVERY_OTHER in unseen and key not in (*unseen, *named):
            items.append(_item(section['verdict'] in (v.UNKNOWN, v.NOT_APPLICABLE), f'{key} is not evaluated', said, report, key))
        elif key in unseen:
            items.append(_item(section['verdict'] == v.UNKNOWN and bool(section['reason']), f'{key} is not evaluated', said, report, key))
        elif key not in named:
            items.append(_item(section['verdict'] in QUIET, f'{key} is ok, info or not applicable', said, report, key))
    place = {finding['id']: number for number, finding in enumerate(report['findings'])}
    late = [finding['id'] for finding in report['findings'] if any(place.get(cause, len(place)) > place[finding['id']] for cause in finding['because_of'])]
    items.append(_item(not late, 'causes stand before their consequences', f'not so for {", ".join(late)}'))
    items += [_assertion(report, told) for told in expected.get('assert_not') or []]
    return items + [_line(told) for told in lines if 'sig' in told]


def sections_met(items):
    """(sections about which every expectation is met, all sections)."""
    return len(KEYS) - len({item.section for item in items if item.section and item.state != MET}), len(KEYS)


def _item(met, what, why, report=None, section=None):
    if section is not None and report['sections'][section]['reason'] == NOT_BUILT:
        return Item(UNBUILT, what, '', section)
    return Item(MET, what, '', section) if met else Item(NOT_MET, what, why, section)


def _assertion(report, told):
    """A false alarm told so that a program can judge it: no finding that it chooses is worse than C(at_most), no step is planned (before another)."""
    said = told.get('says') or ', '.join(f'{name} {told[name]}' for name in _CHOOSES if name in told)
    what = f'not said: {said}'
    if 'plan' in told:
        steps = [f'{step.get("remedy")} {step.get("target")}' for step in report['plan']]
        first, then = ([number for number, step in enumerate(steps) if re.search(told.get(name, ''), step)] for name in ('plan', 'before'))
        return _item(not first or 'before' in told and min(first) > max(then, default=-1), what, f'the plan has {", ".join(steps)}')
    most = told.get('at_most', v.INFO)
    wrong = [finding for finding in report['findings'] if v.rank(finding['verdict']) > v.rank(most) and _is_chosen(told, finding)]
    why = '; '.join(f'{finding["id"]} is {finding["verdict"]}: {finding["title"]}' for finding in wrong)
    return _item(not wrong, what, why, report, told.get('section'))


def _line(told):
    """A log line matches the signature that it is said to match; one that is said to match none is no error of any."""
    what = f'line of {told.get("src")} matches {told["sig"] or "no signature of an error"}: {told["line"][:60]}'
    if told['sig']:
        known = signatures.CATALOGUE.get(told['sig'])
        return _item(known is not None and known.is_in(told['line']), what, 'it does not' if known else 'there is no such signature')
    found = signatures.matching(told['line'], str(told.get('src')))
    return _item(found is None or v.rank(found.severity) < v.rank(v.ERROR), what, f'it matches {found.id if found else None}')


def _is_chosen(told, finding):
    return (all(finding[name] == told[name] for name in ('section', 'check', 'subject') if name in told)
            and ('nodes' not in told or any(_concerns(finding, node) for node in told['nodes']))
            and ('title' not in told or bool(re.search(told['title'], finding['title']))))


def _class(report, expected):
    """Not built, where only findings of sections that are not built could have made the class."""
    what = f'class {expected["class"]}'
    findings = expected.get('findings') or []
    worst = [wanted['section'] for wanted in findings if v.class_of([wanted['severity']]) == expected['class']]
    if report['class'] != expected['class'] and worst and all(report['sections'][key]['reason'] == NOT_BUILT for key in worst):
        return Item(UNBUILT, what, '')
    return _item(report['class'] == expected['class'], what, f'it is {report["class"]}')


def _completeness(report, expected, unbuilt):
    """A report that could not see a section says so; one that could, of machines that all answer, is complete."""
    if expected.get('not_evaluated'):
        return _item(not report['complete'], 'the report is incomplete', 'it claims to be complete')
    if unbuilt:
        return Item(UNBUILT, 'the report is complete', '')
    missing = sorted(key for key in KEYS if report['sections'][key]['nodes_missing'])
    return _item(report['complete'] or bool(missing), 'the report is complete, but for machines that it names', 'it is not, and names none')


def _finding(report, wanted):
    """A necessary finding: section, severity at least as given, root and because_of as given, and each of the nodes."""
    key = wanted['section']
    nodes = wanted.get('nodes') or []
    what = f'{key}: {wanted["severity"]}' + (f' on {", ".join(nodes)}' if nodes else '')
    section = report['sections'][key]
    found = [f for f in report['findings'] if f['section'] == key and f['verdict'] != v.UNKNOWN and v.rank(f['verdict']) >= v.rank(wanted['severity'])]
    if not found:
        said = f'there is none; the section is {section["verdict"]}: {section["reason"] or _worst_title(report, key)}'
        return _item(False, what, said, report, key)
    if _lacking(found, nodes):
        return _item(False, what, f'none for {", ".join(_lacking(found, nodes))}', report, key)
    if wanted.get('root'):
        roots = [finding for finding in found if finding['root']]
        if not roots or _lacking(roots, nodes):
            return _item(False, f'{what}, a root', f'it is a consequence of {", ".join(found[0]["because_of"]) or "nothing"}', report, key)
    for cause in _causes(wanted):
        linked = [finding for finding in found if cause in _causing_sections(report, finding)]
        if not linked or _lacking(linked, nodes):
            return _item(False, f'{what}, because of {cause}', 'it is not linked to it', report, key)
    return _item(True, what, '', report, key)


def _causes(wanted):
    cause = wanted.get('because_of')
    return [cause] if isinstance(cause, str) else list(cause or [])


def _lacking(found, nodes):
    return [node for node in nodes if not any(_concerns(finding, node) for finding in found)]


def _causing_sections(report, finding):
    """The sections of everything that a finding follows from, directly or not."""
    by_id = {one['id']: one for one in report['findings']}
    seen, waiting = set(), list(finding['because_of'])
    while waiting:
        cause = waiting.pop()
        if cause not in seen and cause in by_id:
            seen.add(cause)
            waiting += by_id[cause]['because_of']
    return {by_id[cause]['section'] for cause in seen}


def _concerns(finding, node):
    """Whether a finding is about a node: a machine of the snapshot, or a name that exists in etcd or Kubernetes only."""
    return node in finding['nodes'] or bool(re.search(rf'(?<![\w.-]){re.escape(node)}(?![\w-])', f'{finding["subject"]} {finding["title"]}'))


def _worst_title(report, key):
    return next((finding['title'] for finding in report['findings'] if finding['section'] == key), 'nothing was found')
