# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports of chosen sections."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import diagnose
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import KEYS, of_role
from ansible_collections.talosops.talos.plugins.module_utils.report import select
from tests import recorded


def test_words_that_are_no_role_choose_everything():
    assert select.keys_of(['all'], []) is None and select.keys_of(None, None) is None
    assert select.keys_of(['all', 'etcd'], []) == of_role('etcd')
    assert set(select.keys_of([], ['etcd'])) == set(KEYS) - set(of_role('etcd'))


def test_class_counts_and_completeness_are_those_of_the_chosen_sections():
    report = diagnose(recorded.snapshot('nospace-alarm'))
    chosen = select.select(report, of_role('etcd'))
    assert report['class'] == chosen['class'] == 'critical' and tuple(chosen['sections']) == of_role('etcd')
    quiet = select.select(report, of_role('discovery'))
    assert quiet['class'] == 'healthy' and quiet['findings'] == [] and quiet['counts']['critical'] == 0
    assert sum(quiet['counts'].values()) == sum(sum(section['counts'].values()) for section in quiet['sections'].values())
    assert select.select(report, None) is report


def test_causes_in_other_sections_stay():
    report = diagnose(recorded.snapshot('one-cp-down'))
    chosen = select.select(report, ('talos_api.wrong_endpoints',))
    assert {finding['section'] for finding in chosen['findings']} == {'talos_api.wrong_endpoints', 'talos_api.firewall'}
    assert all(check['section'] == 'talos_api.wrong_endpoints' for check in chosen['checks'])
