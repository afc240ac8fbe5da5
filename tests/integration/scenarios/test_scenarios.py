# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every scenario of tests/scenarios, diagnosed by the playbook: what it expects of sections that are built is met."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.simulator import scenario
from tests.tools.expectations import NOT_MET, compare
from tests.tools.run_scenario import run

SCENARIOS = sorted((ROOT / 'tests' / 'scenarios').glob('*.yaml'))
FAILS = ('critical', 'not_judged')


@pytest.mark.parametrize('path', SCENARIOS, ids=lambda path: path.stem)
def test_expectations_of_built_sections_are_met(path, tmp_path):
    read = scenario.read(path)
    code, console, report = run(read, tmp_path)
    assert report is not None, console
    assert [item for item in compare(report, read.expected) if item.state == NOT_MET] == []
    assert code == (2 if report['class'] in FAILS else 0), console
