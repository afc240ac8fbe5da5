# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every scenario of tests/scenarios, diagnosed by the playbook: what it expects of sections that are built is met."""

from __future__ import annotations

import pytest
import yaml

from tests.conftest import ROOT
from tests.tools.run_scenario import NOT_MET, compare, run

SCENARIOS = sorted((ROOT / 'tests' / 'scenarios').glob('*.yaml'))
FAILS = ('critical', 'not_judged')


@pytest.mark.parametrize('path', SCENARIOS, ids=lambda path: path.stem)
def test_expectations_of_built_sections_are_met(path, tmp_path):
    expected = yaml.safe_load(path.read_text(encoding='utf-8'))['expected']
    code, console, report = run(path, tmp_path)
    assert report is not None, console
    assert [item for item in compare(report, expected) if item.state == NOT_MET] == []
    assert code == (2 if report['class'] in FAILS else 0), console
