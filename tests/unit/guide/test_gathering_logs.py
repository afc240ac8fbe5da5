# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Gathering Logs": a log that is missing is said, and is no fault of the cluster."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import gathering_logs
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import READS, ContainerLogs, Log
from tests import recorded
from tests.unit.guide import judging
from tests.unit.guide.judging import READ, findings, lose, node, one, recording, unreachable, verdict_of

CHECK = 'gathering_logs.logs_incomplete'


def report(snapshot):
    return judging.report(snapshot, checks=gathering_logs.CHECKS)


@pytest.mark.parametrize('name', recorded.SETS)
def test_nothing_is_said_of_the_recorded_cluster(name):
    assert findings(report(recording(name))) == []


def test_every_log_of_a_gather_is_asked_for():
    assert set(gathering_logs.CHECKS[0].logs) == {read.kind for read in READS if isinstance(read, (Log, ContainerLogs))}


@pytest.mark.parametrize('log', ['machined', 'kubelet', 'etcd', 'kube-apiserver-cp1:kube-apiserver'])
@pytest.mark.parametrize('state', ['timed_out', 'refused', 'failed', 'unreachable'])
def test_a_log_that_could_not_be_read_is_information(log, state):
    snapshot = recording()
    lose(node(snapshot, 'cp1'), log, state, log=True)
    found = one(report(snapshot), CHECK)
    assert (found['verdict'], found['nodes'], found['title']) == ('info', ['cp1'], f'Logs of cp1 are not complete: {log} could not be read')
    assert found['evidence'][0]['text'].startswith(f'{log}: ')


def test_a_log_that_broke_off_is_information():
    snapshot = recording()
    machine = node(snapshot, 'w1')
    machine.logs['kubelet'] = Datum(READ, 'half a li', reason='connection reset by peer', complete=False)
    lose(machine, 'machined', log=True)
    found = one(report(snapshot), CHECK)
    assert found['title'] == 'Logs of w1 are not complete: machined could not be read and kubelet was cut'
    assert found['evidence'][1]['text'] == 'kubelet: connection reset by peer'


@pytest.mark.parametrize('state', ['timed_out', 'refused'])
def test_where_no_log_at_all_could_be_read_it_is_unknown(state):
    snapshot = recording()
    machine = node(snapshot, 'w1')
    for log in machine.logs:
        lose(machine, log, state, log=True)
    assert one(report(snapshot), CHECK)['verdict'] == 'unknown'


def test_where_none_was_asked_for_it_is_unknown():
    snapshot = recording()
    for machine in snapshot.machines:
        machine.logs = {}
    assert verdict_of(report(snapshot), CHECK) == 'unknown'
    for machine in snapshot.machines:
        unreachable(machine)
    assert verdict_of(report(snapshot), CHECK) == 'unknown'


def test_a_log_that_was_not_asked_for_want_of_time_is_said():
    snapshot = recording()
    node(snapshot, 'w1').logs['kubelet'] = Datum('not_asked', reason='the 60 s for the whole gather had passed')
    assert one(report(snapshot), CHECK)['title'] == 'Logs of w1 are not complete: kubelet could not be read'
    node(snapshot, 'w1').logs['kubelet'] = Datum('not_asked', reason='left out on purpose')
    assert findings(report(snapshot)) == []


def test_a_service_that_has_never_run_has_no_log():
    snapshot = recording()
    machine = node(snapshot, 'cp2')
    machine.logs['etcd'] = Datum('absent', reason='log "etcd" was not registered')
    assert one(report(snapshot), CHECK)['verdict'] == 'info'  # it runs
    judging.preparing(snapshot, machine)
    assert findings(report(snapshot)) == []
    machine.logs['machined'] = Datum('absent', reason='log "machined" was not registered')
    assert one(report(snapshot), CHECK)['verdict'] == 'info'


def test_the_kernel_log_is_asked_for_on_real_machines_only():
    snapshot = recording()
    machine = node(snapshot, 'w1')
    lose(machine, 'dmesg', log=True)
    assert findings(report(snapshot)) == []  # container mode
    machine.value('Version')['platform']['mode'] = 'metal'
    assert one(report(snapshot), CHECK)['title'] == 'Logs of w1 are not complete: dmesg could not be read'
