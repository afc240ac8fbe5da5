# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts: their order, the class of a cluster, and when a run fails."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v


def test_the_order_is_the_design_s():
    assert v.ORDER == ('not_applicable', 'ok', 'info', 'unknown', 'warning', 'error', 'critical')


def test_the_worst_of_none_is_the_default():
    assert v.worst([]) == 'not_applicable' and v.worst([], 'ok') == 'ok' and v.worst(iter(['ok', 'unknown', 'info'])) == 'unknown'


@pytest.mark.parametrize('verdicts, expected', [
    ([], 'healthy'), (['info'], 'healthy'), (['unknown'], 'healthy'), (['unknown', 'warning'], 'warnings'),
    (['warning', 'error', 'unknown'], 'errors'),
    (['critical', 'error'], 'critical'),
])
def test_the_class_goes_by_the_worst_finding(verdicts, expected):
    assert v.class_of(verdicts) == expected


@pytest.mark.parametrize('fail_on, failing', [
    ('never', set()), ('critical', {'critical', 'not_judged'}), ('error', {'errors', 'critical', 'not_judged'}),
    ('warning', {'warnings', 'errors', 'critical', 'not_judged'}),
])
def test_what_fails_a_run(fail_on, failing):
    assert {c for c in ('healthy', 'warnings', 'errors', 'critical', 'not_judged') if v.fails(c, fail_on)} == failing
