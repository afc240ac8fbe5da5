# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of talos_controller_runtime_check, from the recorded clusters."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time
from ansible_collections.talosops.talos.plugins.module_utils.tasks import controller_runtime_check
from tests import recorded
from tests.unit.guide.judging import node, old


def test_what_failed_at_the_bootstrap_of_a_healthy_cluster():
    found = controller_runtime_check.of(recorded.snapshot('healthy'), {})
    assert len(found['controllers']) == 8 and found['unread'] == {}
    first = found['controllers'][0]
    assert (first['node'], first['name'], first['failures'], first['settled']) == ('cp1', 'k8s.NodeApplyController', 8, False)
    assert first['last_error'] == '1 error(s) occurred: error getting node: nodes "cp1" not found'
    assert first['first_failure'] < first['last_failure'] == '2026-11-22T10:13:40.717Z'
    assert found['settled'] == {'cp1': False, 'cp2': False, 'cp3': False, 'w1': False}  # three minutes and a half ago


def test_later_all_have_settled():
    snapshot = old()
    for machine in snapshot.machines:
        machine.data['Time'].value['localtime'] = format_time(snapshot.now)
    found = controller_runtime_check.of(snapshot, {})
    assert set(found['settled'].values()) == {True} and all(one['settled'] for one in found['controllers'])


def test_a_log_that_was_not_read_is_named():
    snapshot = old('one-cp-down')
    node(snapshot, 'w1').logs['controller-runtime'] = Datum('timed_out', reason='no answer in 10 s')
    found = controller_runtime_check.of(snapshot, {})
    assert set(found['settled']) == {'cp1', 'cp2'} and set(found['unread']) == {'cp3', 'w1'}
    assert found['unread']['w1'] == 'no answer before the deadline (no answer in 10 s)'
    assert 'connection refused' in found['unread']['cp3']
