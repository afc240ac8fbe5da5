# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every scenario of tests/scenarios: what it expects of sections that are built is met.

Those of HERE are gathered and judged in this process, which costs a third of the time, but for a few; all others by the playbook.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.bed import netns
from tests.conftest import ROOT
from tests.simulator import addresses, scenario
from tests.simulator.cluster import LOOPBACK, NAMESPACE
from tests.tools.expectations import NOT_MET, compare
from tests.tools.run_scenario import run, run_here

SCENARIOS = sorted((ROOT / 'tests' / 'scenarios').rglob('*.yaml'))
HERE = ('ordinary', 'compound')
BY_PLAYBOOK = ('one-node',)
FAILS = ('critical', 'not_judged')


def _command(path, out, where, *options):
    """As make scenario does it; (exit code, what it printed on both streams, report or None)."""
    done = subprocess.run([sys.executable, '-m', 'tests.tools.run_scenario', str(path), '--out', str(out), '--addresses', where, *options],
                          cwd=ROOT, capture_output=True, text=True, check=False)
    report = out / 'report.json'
    return done.returncode, done.stdout + done.stderr, json.loads(report.read_text()) if report.exists() else None


def _is_judged_here(path):
    return path.parent.name in HERE and path.stem not in BY_PLAYBOOK


@pytest.mark.parametrize('path', SCENARIOS, ids=lambda path: path.stem)
def test_expectations_of_built_sections_are_met(path, tmp_path):
    read = scenario.read(path)
    if addresses.foreign_to_loopback(read.state):
        if not netns.available():
            pytest.skip('needs a network namespace')
        _code, console, report = _command(path, tmp_path, NAMESPACE, *(['--here'] if _is_judged_here(path) else []))
    else:
        code, console, report = (run_here if _is_judged_here(path) else run)(read, tmp_path)
        assert report is None or code == (2 if report['class'] in FAILS else 0), console
    assert report is not None, console
    assert [item for item in compare(report, read.expected) if item.state == NOT_MET] == []


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


def test_what_the_loopback_cannot_stand_for_is_refused_in_one_sentence(tmp_path):
    path = ROOT / 'tests' / 'scenarios' / 'ipv6.yaml'
    assert _command(path, tmp_path, LOOPBACK) == (
        2, 'fd00::11 is an IPv6 address, which the loopback cannot stand for: this scenario runs in a network namespace (--namespace).\n', None)
