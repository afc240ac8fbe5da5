# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs diagnose against the cluster of a scenario and says which of the scenario's expectations are met (make scenario).

    python -m tests.tools.run_scenario FILE [--out DIRECTORY]

Exits with 0 only when every expectation is met. A section that is not built yet is never met. What only a person can
judge (must_not, right, dangerous) is printed beside what was found.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import yaml

from tests.tools.diagnose import diagnose, simulator

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import NOT_BUILT
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import KEYS

MET, NOT_MET, UNBUILT = 'met', 'NOT MET', 'not built yet'
QUIET = (v.OK, v.INFO, v.NOT_APPLICABLE)

Item = namedtuple('Item', 'state what why')


def compare(report, expected):
    """Every expectation as an Item, in the order: class, findings, sections, order of causes."""
    items = [_item(report['class'] == expected['class'], f'class {expected["class"]}', f'it is {report["class"]}')]
    named = set()
    for wanted in expected.get('findings') or []:
        named.add(wanted['section'])
        items.append(_finding(report, wanted))
    unseen = expected.get('not_evaluated') or {}
    for key in KEYS:
        section = report['sections'][key]
        said = f'it is {section["verdict"]}: {section["reason"] or _worst_title(report, key)}'
        if key in unseen:
            items.append(_item(section['verdict'] == v.UNKNOWN and bool(section['reason']), f'{key} is not evaluated', said, section))
        elif key not in named:
            items.append(_item(section['verdict'] in QUIET, f'{key} is ok, info or not applicable', said, section))
    place = {finding['id']: number for number, finding in enumerate(report['findings'])}
    late = [finding['id'] for finding in report['findings'] if any(place[cause] > place[finding['id']] for cause in finding['because_of'])]
    items.append(_item(not late, 'causes stand before their consequences', f'not so for {", ".join(late)}'))
    return items


def _item(met, what, why, section=None):
    if section is not None and section['reason'] == NOT_BUILT:
        return Item(UNBUILT, what, '')
    return Item(MET, what, '') if met else Item(NOT_MET, what, why)


def _finding(report, wanted):
    """A necessary finding: section, severity at least as given, all nodes, root or because_of as given."""
    key = wanted['section']
    what = f'{key}: {wanted["severity"]}' + (f' on {", ".join(wanted["nodes"])}' if wanted.get('nodes') else '')
    section = report['sections'][key]
    found = [f for f in report['findings'] if f['section'] == key and f['verdict'] != v.UNKNOWN and v.rank(f['verdict']) >= v.rank(wanted['severity'])]
    missing = [node for node in wanted.get('nodes') or [] if not any(_concerns(finding, node) for finding in found)]
    if not found:
        return _item(False, what, f'there is none; the section is {section["verdict"]}: {section["reason"] or _worst_title(report, key)}', section)
    if missing:
        return _item(False, what, f'none for {", ".join(missing)}')
    if wanted.get('root') and not any(finding['root'] for finding in found):
        return _item(False, f'{what}, a root', f'it is a consequence of {", ".join(found[0]["because_of"])}')
    cause = wanted.get('because_of')
    if cause and not any(_check_section(report, other) == cause for finding in found for other in finding['because_of']):
        return _item(False, f'{what}, because of {cause}', 'it is not linked to it')
    return _item(True, what, '')


def _concerns(finding, node):
    """Whether a finding is about a node: a machine of the snapshot, or a name that exists in etcd or Kubernetes only."""
    return node in finding['nodes'] or bool(re.search(rf'(?<![\w.-]){re.escape(node)}(?![\w-])', f'{finding["subject"]} {finding["title"]}'))


def _check_section(report, finding_id):
    return next((finding['section'] for finding in report['findings'] if finding['id'] == finding_id), None)


def _worst_title(report, key):
    return next((finding['title'] for finding in report['findings'] if finding['section'] == key), 'nothing was found')


def run(path, out):
    """Run the playbook in the scenario's cluster; (exit code, console output, report or None), the last two in C(out) as well."""
    with tempfile.TemporaryDirectory() as scratch:
        code, console, report = diagnose(simulator(str(path)), scratch, capture=True)
    (out / 'console.txt').write_text(console, encoding='utf-8')
    if report is not None:
        (out / 'report.json').write_text(json.dumps(report, indent=2, ensure_ascii=False), encoding='utf-8')
    return code, console, report


def show(items, report, expected):
    """Print the outcome; returns whether everything is met."""
    for item in items:
        print(f'{item.state:14} {item.what}' + (f' ({item.why})' if item.why else ''))
    count = {state: sum(item.state == state for item in items) for state in (MET, NOT_MET, UNBUILT)}
    print(f'\n{count[MET]} of {len(items)} expectations met, {count[NOT_MET]} not met, {count[UNBUILT]} not built yet')
    print('\nFor a person to judge. Found:')
    for finding in report['findings']:
        if v.rank(finding['verdict']) > v.rank(v.UNKNOWN):
            print(f'  {finding["verdict"]:8} {finding["section"]}: {finding["title"]}')
    print('Planned:')
    for step in report['plan'] or ['nothing']:
        print(f'  {step if isinstance(step, str) else json.dumps(step, sort_keys=True)}')
    remediation = expected.get('remediation') or {}
    for title, lines in (('Must not be said', expected.get('must_not')), ('Right', remediation.get('right')),
                         ('Dangerous', [f'{what}: {why}' for what, why in (remediation.get('dangerous') or {}).items()])):
        print(f'{title}:')
        for line in lines or ['(nothing)']:
            print(f'  {line}')
    return count[MET] == len(items)


def main():
    parser = argparse.ArgumentParser(prog='make scenario')
    parser.add_argument('file', type=Path)
    parser.add_argument('--out', type=Path, help='directory for report.json and console.txt')
    arguments = parser.parse_args()
    try:
        scenario = yaml.safe_load(arguments.file.read_text(encoding='utf-8'))
        expected = scenario['expected']
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        sys.exit(f'{arguments.file} is no scenario with the keys "state" and "expected": {error}')
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        code, console, report = run(arguments.file.resolve(), out.resolve())
    if report is None:
        sys.exit(f'{console}\nThe run ended with {code} and left no report.')
    print(console)
    sys.exit(0 if show(compare(report, expected), report, expected) else 1)


if __name__ == '__main__':
    main()
