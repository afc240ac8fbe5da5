# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every scenario of tests/scenarios: what it expects of sections that are built is met.

Those of BY_PLAYBOOK are run as a user runs them; all others are gathered and judged in this process, which costs a third of the time.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings, verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.report.files import SNAPSHOT
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import store
from tests import removal
from tests.bed import netns
from tests.conftest import ROOT
from tests.simulator import addresses, scenario
from tests.simulator.cluster import LOOPBACK, NAMESPACE
from tests.tools.expectations import NOT_MET, compare
from tests.tools.run_scenario import run, run_here

SCENARIOS = sorted((ROOT / 'tests' / 'scenarios').rglob('*.yaml'))
BY_PLAYBOOK = ('e1', 'e2', 'e3', 'healthy', 'compound', 'ipv6', 'nospace', 'not-bootstrapped', 'one-node', 'other-cluster', 'quorum-lost', 'reader-role',
               'vip-endpoint', 'wrong-ca')
FAILS = ('critical', 'not_judged')
THOROUGHLY = ('compound', 'e1', 'e2', 'quorum-lost', 'not-bootstrapped', 'subnet-conflict', 'odd-machines')


def _command(path, out, where, *options):
    """As make scenario does it; (exit code, what it printed on both streams, report or None)."""
    done = subprocess.run([sys.executable, '-m', 'tests.tools.run_scenario', str(path), '--out', str(out), '--addresses', where, *options],
                          cwd=ROOT, capture_output=True, text=True, check=False)
    report = out / 'report.json'
    return done.returncode, done.stdout + done.stderr, json.loads(report.read_text()) if report.exists() else None


def _is_judged_here(path):
    return path.stem not in BY_PLAYBOOK


@pytest.fixture(scope='module', name='ran')
def _ran(tmp_path_factory):
    """C(ran(path)) -> (exit code, console, report or None, directory): each scenario is run once for all tests of this module."""
    @functools.lru_cache(maxsize=None)
    def ran(path):
        read, out = scenario.read(path), tmp_path_factory.mktemp(path.stem)
        if not addresses.foreign_to_loopback(read.state):
            return *(run_here if _is_judged_here(path) else run)(read, out), out
        if not netns.available():
            pytest.skip('needs a network namespace')
        _code, console, report = _command(path, out, NAMESPACE, *(['--here'] if _is_judged_here(path) else []))
        return None, console, report, out

    return ran


@pytest.mark.parametrize('path', SCENARIOS, ids=lambda path: path.stem)
def test_expectations_of_built_sections_are_met(path, ran):
    code, console, report, _out = ran(path)
    assert report is not None, console
    assert code in (None, 2 if report['class'] in FAILS else 0), console
    told = scenario.read(path)
    assert [item for item in compare(report, told.expected, told.state.get('lines') or ()) if item.state == NOT_MET] == []


@pytest.mark.parametrize('path', SCENARIOS, ids=lambda path: path.stem)
def test_two_checks_never_report_the_same_fact(path, ran):
    """One fact, one check: no two checks have problems of the same machines with the same lines of evidence."""
    told = {}
    for finding in ran(path)[2]['findings']:
        lines = tuple(sorted((str(one['node']), one['text']) for one in finding['evidence']))
        if lines and v.rank(finding['verdict']) > v.rank(v.UNKNOWN):
            told.setdefault((tuple(sorted(finding['node_keys'])), lines), set()).add(finding['check'])
    assert [checks for checks in told.values() if len(checks) > 1] == []


def _roots(report):
    return [finding for finding in report['findings'] if finding['root'] and v.rank(finding['verdict']) >= v.rank(v.WARNING)]


def _printed(out):
    """The lines of the report as a person saw it; a playbook has more to say around it."""
    lines = (out / 'console.txt').read_text(encoding='utf-8').rstrip('\n').split('\n')
    begins = [number for number, line in enumerate(lines) if line.startswith('TASK [talosops.talos.report : Show the report]')]
    if not begins:
        return lines
    (ends,) = (number for number, line in enumerate(lines) if line.startswith('  report: '))
    return lines[begins[0] + 2:ends + 1]


@pytest.mark.parametrize('path', SCENARIOS, ids=lambda path: path.stem)
def test_the_report_fits_on_two_screens_and_says_for_every_cause_what_to_do(path, ran):
    """A screen is 50 lines of 120 columns. One next step for each check is enough where it speaks of several machines."""
    report, out = ran(path)[2:]
    lines = _printed(out)
    assert len(lines) <= 100
    assert [line for line in lines if len(line) > 120 and not line.startswith('  report: ')] == []
    text, steps = ' '.join(' '.join(lines).split()), {}
    for finding in _roots(report):
        steps.setdefault(finding['check'], []).append(' '.join(finding['next_step'].split()))
    assert [check for check in steps if f'[{check}]' not in text] == []
    assert [check for check, told in steps.items() if not any(step and f'next {step[:40]}' in text for step in told)] == []


def test_of_twelve_faults_every_next_step_is_whole(ran):
    report, out = ran(next(path for path in SCENARIOS if path.stem == 'twelve-faults'))[2:]
    text = ' '.join(' '.join(_printed(out)).split())
    roots = _roots(report)
    assert len({finding['check'] for finding in roots}) >= 12 and 'this is the short form' in text
    assert [finding['check'] for finding in roots if f'next {" ".join(finding["next_step"].split())}' not in text] == []


@pytest.mark.parametrize('path', SCENARIOS, ids=lambda path: path.stem)
def test_what_is_not_seen_hides_no_problem(path, ran):
    snapshot = store.read(str(ran(path)[3] / SNAPSHOT))
    assert removal.violations(snapshot, settings.build(CHECKS), CHECKS, removal.some(snapshot, path.stem, 12)) == []


@pytest.mark.parametrize('name', THOROUGHLY)
def test_no_single_datum_hides_a_problem_when_it_is_missing(name, ran):
    path = next(path for path in SCENARIOS if path.stem == name)
    snapshot = store.read(str(ran(path)[3] / SNAPSHOT))
    assert removal.violations(snapshot, settings.build(CHECKS), CHECKS, removal.each(snapshot)) == []


@pytest.mark.parametrize(('name', 'manager'), [('omni', 'Omni'), ('cluster-api', 'Cluster API')])
def test_a_managed_cluster_is_marked_so(name, manager, ran):
    _code, console, report, _out = ran(next(path for path in SCENARIOS if path.stem == name))
    assert report['managed_by'] == [manager] and f'managed by {manager}' in ' '.join(console.split())


@pytest.mark.skipif(not netns.available(), reason='needs a network namespace')
def test_a_scenario_reads_the_same_wherever_it_runs(tmp_path):
    """Same findings about the same addresses, on the loopback and in a namespace; the console names no mapped address."""
    path, found = ROOT / 'tests' / 'scenarios' / 'one-control-plane-down.yaml', []
    for where in (LOOPBACK, NAMESPACE):
        out = tmp_path / where
        _code, console, report = _command(path, out, where)
        found.append(sorted((one['id'], one['title'], one['nodes']) for one in report['findings']))
        assert '10.5.0.13' in console and '127.5.' not in console + (out / 'report.json').read_text() + (out / 'console.txt').read_text()
    assert found[0] == found[1]


def test_a_scenario_reads_the_same_without_the_playbook(ran, tmp_path):
    """And without HTTP/2 between the client and the machines."""
    path = next(path for path in SCENARIOS if path.stem == 'e1')
    by_playbook, here = ran(path)[2], run_here(scenario.read(path), tmp_path)[2]
    assert {one['id']: one['verdict'] for one in by_playbook['findings']} == {one['id']: one['verdict'] for one in here['findings']}
    assert by_playbook['counts'] == here['counts']


def test_what_the_loopback_cannot_stand_for_is_refused_in_one_sentence(tmp_path):
    path = ROOT / 'tests' / 'scenarios' / 'ipv6.yaml'
    assert _command(path, tmp_path, LOOPBACK) == (
        2, 'fd00::11 is an IPv6 address, which the loopback cannot stand for: this scenario runs in a network namespace (--namespace).\n', None)
