# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lag, elections, slowness and versions; what was long ago does not count."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide.judging import READ, ago, faults, node, old, one, planes, recording, report, verdict_of

SLOW = '{"level":"warn","ts":"%s","msg":"apply request took too long","took":"%s","expected-duration":"100ms"}'
BEAT = ('{"level":"warn","ts":"%s","msg":"leader failed to send out heartbeat on time; took too long, leader is overloaded likely from '
        'slow disk"}')
SYNC = '{"level":"warn","ts":"%s","caller":"wal/wal.go:845","msg":"slow fdatasync","took":"1.5s","expected-duration":"1s"}'
ELECTED = '{"level":"info","ts":"%s","logger":"raft","msg":"raft.node: c3d3020cf75b8728 elected leader a00f09570d9e43c1 at term %d"}'


def logs(snapshot, name, lines):
    node(snapshot, name).logs['etcd'] = Datum(READ, '\n'.join(lines) + '\n')


# -- slowness ---------------------------------------------------------------------------------------------------

def test_slow_now():
    snapshot = old()
    logs(snapshot, 'cp2', [BEAT % ago(snapshot, 10 * n) for n in range(12)])
    finding = one(report(snapshot), 'etcd.slow_disk')
    assert finding['verdict'] == 'warning' and finding['nodes'] == ['cp2'] and '12 × "failed to send out heartbeat on time"' in finding['title']
    assert verdict_of(report(snapshot, {'etcd_slow_moments': 12}), 'etcd.slow_disk') == 'ok'


def test_slow_syncs_count_sooner():
    snapshot = old()
    logs(snapshot, 'cp2', [SYNC % ago(snapshot, 10 * n) for n in range(3)])
    assert one(report(snapshot), 'etcd.slow_disk')['verdict'] == 'warning'


@pytest.mark.parametrize('what, lines', [
    ('ten minutes ago', lambda s: [BEAT % ago(s, 600 + 10 * n) for n in range(40)]),
    ('a tenth of a second', lambda s: [SLOW % (ago(s, 10 * n), '138.080322ms') for n in range(25)]),
    ('one stall', lambda s: [SLOW % (ago(s, 30), '13.330641776s')] * 99),
    ('without a time', lambda s: ['{"level":"warn","msg":"slow fdatasync"}'] * 5),
])
def test_not_slow_now(what, lines):
    snapshot = old()
    logs(snapshot, 'cp2', lines(snapshot))
    assert verdict_of(report(snapshot), 'etcd.slow_disk') == 'ok', what


def test_slow_for_more_than_a_second():
    snapshot = old()
    logs(snapshot, 'cp2', [SLOW % (ago(snapshot, 10 * n), '1m1.2s') for n in range(25)])
    assert verdict_of(report(snapshot), 'etcd.slow_disk') == 'warning'


def test_slow_while_a_node_comes_up_is_info():
    snapshot = old()
    node(snapshot, 'cp3').value('MachineStatuses')[0]['created'] = ago(snapshot, 120)
    logs(snapshot, 'cp2', [BEAT % ago(snapshot, 10 * n) for n in range(12)])
    assert one(report(snapshot), 'etcd.slow_disk')['verdict'] == 'info'


def test_without_a_leader_it_waits_and_is_not_slow():
    snapshot = old()
    for machine in planes(snapshot):
        machine.value('EtcdStatus')['leader'] = '0' * 16
        logs(snapshot, machine.name, [BEAT % ago(snapshot, 10 * n) for n in range(12)])
    assert verdict_of(report(snapshot), 'etcd.slow_disk') == 'not_applicable'


def test_a_clock_that_runs_ahead_hides_nothing():
    snapshot = old()
    logs(snapshot, 'cp2', [SYNC % ago(snapshot, -3600 - n) for n in (3, 2, 1)])
    assert verdict_of(report(snapshot), 'etcd.slow_disk') == 'warning'


# -- elections --------------------------------------------------------------------------------------------------

def elections(snapshot, *seconds):
    for machine in planes(snapshot):
        logs(snapshot, machine.name, [ELECTED % (ago(snapshot, n), 1000 - n // 60) for n in sorted(seconds, reverse=True)])


@pytest.mark.parametrize('seconds, verdict', [
    ((3000, 2000, 1000), 'ok'), ((3500, 3000, 2000, 1000), 'warning'), ([3600 * n for n in range(1, 14)], 'warning'),
    ([90000 + 600 * n for n in range(20)], 'ok')])
def test_elections_are_counted_once_however_many_log_them(seconds, verdict):
    snapshot = old()
    elections(snapshot, *seconds)
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.leader_unstable') == verdict
    if verdict == 'warning':
        assert f'{len(seconds)} times in the last {"hour" if len(seconds) == 4 else "day"}' in one(judged, 'etcd.leader_unstable')['title']


def test_elections_of_a_bootstrap_are_info():
    snapshot = recording()
    elections(snapshot, 200, 150, 100, 50)
    assert one(report(snapshot), 'etcd.leader_unstable')['verdict'] == 'info'


# -- lag --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('behind, verdict', [(1000, 'ok'), (1001, 'warning'), (5001, 'error')])
def test_entries_not_applied(behind, verdict):
    snapshot = old()
    status = node(snapshot, 'cp2').value('EtcdStatus')
    status['raft_index'] += 0
    status['raft_applied_index'] = status['raft_index'] - behind
    assert verdict_of(report(snapshot), 'etcd.raft_lag') == verdict


@pytest.mark.parametrize('behind, verdict', [(4900, 'ok'), (5200, 'warning')])
def test_a_member_far_behind_the_others(behind, verdict):
    snapshot = old()
    for name in ('cp1', 'cp3'):
        status = node(snapshot, name).value('EtcdStatus')
        status.update(raft_index=status['raft_index'] + behind, raft_applied_index=status['raft_applied_index'] + behind)
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.raft_lag') == verdict
    if verdict != 'ok':
        assert one(judged, 'etcd.raft_lag')['nodes'] == ['cp2']


def test_who_follows_another_leader_counts_for_itself():
    """Two clusters (the real etcd showed that): their indexes have nothing to do with each other."""
    snapshot = old()
    status = node(snapshot, 'cp3').value('EtcdStatus')
    status.update(raft_index=status['raft_index'] + 90_000, raft_applied_index=status['raft_applied_index'] + 90_000, leader=status['member_id'])
    assert verdict_of(report(snapshot), 'etcd.raft_lag') == 'ok'


# -- versions ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('version, storage, verdict', [
    ('3.6.4', '3.6.0', 'ok'), ('3.5.21', '3.5.0', 'info'), ('3.4.1', '', 'error'), ('3.6.12', '3.5.0', 'info'),
    ('4.0.0', '4.0.0', 'error'), ('', '', 'ok')])
def test_versions(version, storage, verdict):
    snapshot = old()
    node(snapshot, 'cp2').value('EtcdStatus').update(protocol_version=version, storage_version=storage)
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.versions_differ') == verdict
    assert (faults(judged) == set()) == (verdict != 'error')
