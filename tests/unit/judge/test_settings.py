# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thresholds that a user sets."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Check, Threshold

ONE = (Check('a.b', 'etcd.other', 'A', None,
             thresholds={'etcd_restarts': Threshold(3, 'count', 'x'), 'etcd_db_warning': Threshold(0.8, 'ratio', 'y')}),)


def test_defaults_are_the_checks_own():
    assert settings.build(ONE).thresholds == {'etcd_restarts': 3, 'etcd_db_warning': 0.8}


def test_text_from_an_extra_variable_is_a_number():
    assert settings.build(ONE, {'etcd_restarts': '5'}).thresholds['etcd_restarts'] == 5


@pytest.mark.parametrize('given, said', [
    ({'etcd_restart': 5}, 'Did you mean "etcd_restarts"?'),
    ({'zzz': 5}, 'Known are: etcd_db_warning, etcd_restarts.'),
    ({'etcd_restarts': 'many'}, '"etcd_restarts" must be a number'),
    ({'etcd_restarts': None}, '"etcd_restarts" must be a number'),
    ({'etcd_restarts': -1}, 'zero or more'),
    ({'etcd_restarts': 'nan'}, 'zero or more'),
    (['etcd_restarts'], 'must be a mapping'),
])
def test_what_is_refused(given, said):
    with pytest.raises(InputError) as caught:
        settings.build(ONE, given)
    assert said in caught.value.sentence() and 'talos_thresholds' in caught.value.sentence()


def test_all_checks_of_the_collection_name_their_thresholds_by_section():
    owned = {name for check in CHECKS for name in check.thresholds if name.startswith(check.id.split('.')[0] + '_')}
    for check in CHECKS:
        for name, threshold in check.thresholds.items():
            assert name in owned, f'{name} bears the name of no section that declares it'
            assert threshold.unit in ('s', 'ratio', 'bytes', 'count', 'days', 'MiB', 'GiB', '%') and threshold.what, name
            assert settings.build(CHECKS).thresholds[name] == threshold.default, f'{name} is declared twice with different defaults'


def test_settings_are_plain_data():
    assert settings.build(ONE, expected_nodes=['cp-1']).to_plain() == {'thresholds': {'etcd_restarts': 3, 'etcd_db_warning': 0.8},
                                                                       'expected_nodes': ['cp-1'], 'checks': []}
