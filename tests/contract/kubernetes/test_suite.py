# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every scenario that a real Kubernetes can be brought into, with the real API and with the simulated one: the findings are the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.kubernetes.suite import PARTS, SCENARIOS, differences, name, part, reason


@pytest.mark.parametrize('path', part(), ids=name)
def test_findings_are_the_same(path, plane):
    assert differences(path, plane) == (set(), set())


def test_each_part_has_its_file_and_only_what_exists():
    assert {path.stem for path in Path(__file__).parent.glob('test_suite_*.py')} == {f'test_suite_{each}' for each in PARTS}
    assert {directory for directories in PARTS.values() for directory in directories} <= {name(path).partition('/')[0] for path in SCENARIOS}


def test_most_can_be_real_and_every_other_one_says_why_not():
    refused = [why for path in SCENARIOS if (why := reason(path))]
    assert len(refused) < len(SCENARIOS) / 4
    assert [why for why in refused if not why.endswith('.')] == []
