# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs diagnose, and the plan in check mode, against the cluster of a scenario and says which of its expectations are met (make scenario).

    python -m tests.tools.run_scenario FILE [--out DIRECTORY] [--addresses loopback|namespace|port] [--here]

Exits with 0 only when every expectation is met, with 2 when there is nothing to compare. A section that is not built yet
is not met. What only a person can judge (must_not, right, dangerous) is printed beside what was found. Addresses are
those of the scenario, wherever it ran.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tests.bed import netns
from tests.simulator import addresses, scenario
from tests.simulator.cluster import LOOPBACK, NAMESPACE, PORT, Cluster
from tests.simulator.scenario import ScenarioError
from tests.tools.diagnose import has_loopback_aliases, run_playbook
from tests.tools.direct import calls, gather
from tests.tools.expectations import MET, UNBUILT, compare, problem, sections_met

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.report import remediation
from ansible_collections.talosops.talos.plugins.module_utils.report.files import SNAPSHOT
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import store
from ansible_collections.talosops.talos.plugins.module_utils.tasks import judged
from ansible_collections.talosops.talos.plugins.module_utils.tasks.report import text_of


def run(read, out, where=LOOPBACK, plan=False):
    """Run the playbook in a scenario's cluster; (exit code, console output, report or None), the last two, and the snapshot, in C(out) as well.

    C(read) is what scenario.read() returns, C(where) the cluster's addresses. With C(plan) remediate is run as well, in check mode, and what
    it shows of the plan is in C(out) as plan.txt. Raises ScenarioError.
    """
    with tempfile.TemporaryDirectory() as scratch, Cluster(read, addresses=where) as cluster:
        variables = [option for name, value in cluster.variables.items() for option in ('-e', f'{name}={value}')]
        code, console, report = run_playbook([], scratch, *variables, capture=True, environment=cluster.environment)
        console, report = cluster.model.original(console), cluster.model.original(report)
        if plan:
            _plan(cluster, out, variables)
        (out / SNAPSHOT).unlink(missing_ok=True)
        for snapshot in Path(scratch).rglob(SNAPSHOT):
            shutil.move(snapshot, out / SNAPSHOT)
    return _keep(out, code, console, report)


def _plan(cluster, out, variables):
    """Run remediate in check mode; the plan as it shows it. Raises ScenarioError where it fails, or changes anything."""
    with tempfile.TemporaryDirectory() as scratch:
        code, console, report = run_playbook([], scratch, '--check', *variables, capture=True, environment=cluster.environment, name='remediate')
    if code or report is None:
        raise ScenarioError(f'The plan could not be made, remediate ended with {code}:\n{console}')
    if cluster.model.kubernetes.writes:
        raise ScenarioError(f'Check mode changed something: {cluster.model.kubernetes.writes}')
    shown = '\n'.join(remediation.lines(cluster.model.original(report)))
    (out / 'plan.txt').write_text(shown + '\n', encoding='utf-8')


def run_here(read, out, where=LOOPBACK):
    """The same without Ansible, in this process, which takes a fraction of the time (tests/tools/direct.py)."""
    with Cluster(read, addresses=where) as cluster, calls(cluster):
        snapshot = gather(cluster)
        report = cluster.model.original(json.loads(json.dumps(judged.anew(snapshot, judged.settings({})))))
        console = cluster.model.original(text_of([(None, report)]))
    store.write(snapshot, str(out / SNAPSHOT))
    return _keep(out, 2 if v.fails(report['class'], v.CRITICAL) else 0, console, report)


def _keep(out, code, console, report):
    (out / 'report.json').unlink(missing_ok=True)
    (out / 'console.txt').write_text(console, encoding='utf-8')
    if report is not None:
        (out / 'report.json').write_text(json.dumps(report, indent=2, ensure_ascii=False), encoding='utf-8')
    return code, console, report


def place(read, wanted=None):
    """Where a scenario can run on this system; the process may enter a namespace for it. Raises ScenarioError."""
    chosen = wanted or (NAMESPACE if addresses.foreign_to_loopback(read.state) else LOOPBACK if has_loopback_aliases() else PORT)
    if chosen == NAMESPACE:
        try:
            netns.enter()
        except netns.NotPermitted as error:
            raise ScenarioError(f'{read.source} needs a network namespace. {error}') from error
    return chosen


def show(items, report, expected):
    """Print the outcome; returns whether everything is met."""
    for item in items:
        why = item.state if item.state == UNBUILT else item.why
        print(f'{"met" if item.state == MET else "NOT MET":8} {item.what}' + (f' ({why})' if why and item.state != MET else ''))
    met, unbuilt = (sum(item.state == state for item in items) for state in (MET, UNBUILT))
    whole, sections = sections_met(items)
    print(f'\n{met} of {len(items)} expectations met, {len(items) - met} not met ({unbuilt} of them not built yet); {whole} of {sections} sections')
    print('\nFor a person to judge. Found:')
    for finding in report['findings']:
        if v.rank(finding['verdict']) > v.rank(v.UNKNOWN):
            print(f'  {finding["verdict"]:8} {finding["section"]}: {finding["title"]}')
    print('Planned:')
    for step in report['plan'] or [None]:
        print('  nothing' if step is None else f'  {step["step"]}. {step["title"]}' + (f' (refused: {step["refused"]})' if step['refused'] else ''))
    remediation = expected.get('remediation') or {}
    for title, lines in (('Must not be said', expected.get('must_not')), ('Right', remediation.get('right')),
                         ('Dangerous', [f'{what}: {why}' for what, why in (remediation.get('dangerous') or {}).items()])):
        print(f'{title}:')
        for line in lines or ['(nothing)']:
            print(f'  {line}')
    return met == len(items)


def main():
    parser = argparse.ArgumentParser(prog='make scenario')
    parser.add_argument('file', type=Path)
    parser.add_argument('--out', type=Path, help='directory for report.json and console.txt')
    parser.add_argument('--addresses', choices=(LOOPBACK, NAMESPACE, PORT), help='where its addresses are; default: what this system and the scenario allow')
    parser.add_argument('--here', action='store_true', help='gather and judge in this process, without the playbook')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.out or Path(scratch)
        try:
            read = scenario.read(arguments.file)
            wrong = problem(read.expected)
            if wrong:
                raise ScenarioError(f'{arguments.file}: {wrong}')
            out.mkdir(parents=True, exist_ok=True)
            where = place(read, arguments.addresses)
            code, console, report = run_here(read, out, where) if arguments.here else run(read, out, where, plan=True)
            planned = (out / 'plan.txt').read_text(encoding='utf-8') if (out / 'plan.txt').exists() else ''
        except (ScenarioError, OSError) as error:
            print(error, file=sys.stderr)
            sys.exit(2)
    if report is None:
        print(f'{console}\nThe run ended with {code} and left no report.', file=sys.stderr)
        sys.exit(2)
    print(f'{console}\n{planned}')
    sys.exit(0 if show(compare(report, read.expected, read.state.get('lines') or ()), report, read.expected) else 1)


if __name__ == '__main__':
    main()
