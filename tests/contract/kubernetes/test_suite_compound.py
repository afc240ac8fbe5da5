# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios of several troubles, and those that were examined, with the real API and with the simulated one: the findings are the same."""

from __future__ import annotations

import pytest

from tests.contract.kubernetes.suite import differences, name, part


@pytest.mark.parametrize('path', part('compound'), ids=name)
def test_findings_are_the_same(path, plane):
    assert differences(path, plane) == (set(), set())
