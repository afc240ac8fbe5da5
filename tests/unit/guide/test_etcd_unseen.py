# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What do the etcd checks say when they cannot see? Never ok, and never a fault that is not there."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import etcd
from tests.unit.guide.judging import findings, lose, node, old, one, planes, recording, report, unreachable, verdict_of

STATES = ('refused', 'timed_out', 'not_asked', 'unsupported', 'failed')

# What each check cannot do without; several kinds in one entry replace each other, so all must be missing.
NEEDS = {'etcd.not_bootstrapped': [('ServiceList',)], 'etcd.all_in_pre': [('ServiceList',)], 'etcd.stuck_in_pre': [('ServiceList',)],
         'etcd.learner_stuck': [('EtcdMemberList', 'EtcdStatus')], 'etcd.alarm_nospace': [('EtcdAlarmList', 'EtcdStatus')],
         'etcd.alarm_corrupt': [('EtcdAlarmList', 'EtcdStatus')], 'etcd.db_near_quota': [('ServiceList',), ('EtcdStatus',), ('EtcdSpecs',)],
         'etcd.db_fragmented': [('ServiceList',), ('EtcdStatus',)], 'etcd.db_too_large': [('ServiceList',), ('EtcdStatus',)],
         'etcd.quorum_lost': [('EtcdStatus',)], 'etcd.members_not_answering': [('ServiceList',), ('EtcdStatus',)],
         'etcd.leaders_differ': [('ServiceList',), ('EtcdStatus',)], 'etcd.members_differ': [('ServiceList',), ('EtcdMemberList',)],
         'etcd.even_member_count': [('ServiceList',), ('EtcdMemberList',)], 'etcd.crash_loop': [('ServiceList',)],
         'etcd.service_not_healthy': [('ServiceList',)], 'etcd.on_worker': [('ServiceList',)],
         'etcd.member_stale': [('ServiceList',), ('EtcdMemberList',)],
         'etcd.member_not_control_plane': [('ServiceList',), ('EtcdMemberList',), ('EtcdStatus', 'EtcdMembers')],
         'etcd.raft_lag': [('ServiceList',), ('EtcdStatus',)], 'etcd.leader_unstable': [('ServiceList',), ('log etcd',)],
         'etcd.slow_disk': [('ServiceList',), ('log etcd',)], 'etcd.versions_differ': [('ServiceList',), ('EtcdStatus',)]}
# For the others, the answer of one node tells of all members.
ONE_BY_ONE = {'etcd.stuck_in_pre': 'ServiceList', 'etcd.crash_loop': 'ServiceList', 'etcd.service_not_healthy': 'ServiceList',
              'etcd.db_near_quota': 'EtcdSpecs', 'etcd.db_fragmented': 'EtcdStatus', 'etcd.db_too_large': 'EtcdStatus',
              'etcd.members_not_answering': 'EtcdStatus', 'etcd.leaders_differ': 'EtcdStatus', 'etcd.members_differ': 'EtcdMemberList',
              'etcd.raft_lag': 'EtcdStatus', 'etcd.slow_disk': 'log etcd', 'etcd.versions_differ': 'EtcdStatus'}
CASES = [(check, kinds, state) for check, groups in NEEDS.items() for kinds in groups for state in STATES]


def take(machine, kinds, state):
    """Take data from a machine, and with its ServiceList what is asked for only where etcd runs."""
    for kind in kinds:
        lose(machine, kind.removeprefix('log '), state, log=kind.startswith('log '))
    if 'ServiceList' in kinds:
        for kind in ('EtcdStatus', 'EtcdMemberList', 'EtcdAlarmList'):
            lose(machine, kind, 'not_asked')


def only(check_id):
    return tuple(check for check in etcd.CHECKS if check.id == check_id)


def test_every_check_is_tried():
    assert set(NEEDS) == {check.id for check in etcd.CHECKS}
    assert set(ONE_BY_ONE) <= set(NEEDS)


@pytest.mark.parametrize('name', ['healthy', 'healthy-reader'])
@pytest.mark.parametrize('later', [0, 86400])
def test_a_healthy_cluster_has_no_finding_above_info(name, later):
    judged = report(recording(name, later))
    assert {c['check']: c['verdict'] for c in judged['checks'] if c['verdict'] not in ('ok', 'info', 'not_applicable')} == {}
    assert judged['class'] == 'healthy'


@pytest.mark.parametrize('check, kinds, state', CASES, ids=['-'.join([c, *k, s]) for c, k, s in CASES])
def test_without_its_data_a_check_is_unknown(check, kinds, state):
    snapshot = old()
    for machine in snapshot.machines:
        take(machine, kinds, state)
    judged = report(snapshot, checks=only(check))
    assert verdict_of(judged, check) == 'unknown'
    titles = ' '.join(f['title'] for f in findings(judged, check))
    assert any(word in titles for word in (*kinds, *(k.removeprefix('log ') for k in kinds), 'not seen to run')), titles


@pytest.mark.parametrize('check, kind', sorted(ONE_BY_ONE.items()))
@pytest.mark.parametrize('state', ['refused', 'not_asked'])
def test_one_node_that_was_not_read_is_enough(check, kind, state):
    for kinds in dict.fromkeys([(kind,), ('ServiceList',)]):
        snapshot = old()
        take(node(snapshot, 'cp2'), kinds, state)
        judged = report(snapshot, checks=only(check))
        assert verdict_of(judged, check) == 'unknown', kinds
        assert any('cp2' in f['title'] for f in findings(judged, check)), kinds


ALL_KINDS = sorted({read for check in etcd.CHECKS for read in (*check.reads, *check.needs)} | {'log etcd', 'log machined'})


@pytest.mark.parametrize('kind, state', list(itertools.product(ALL_KINDS, STATES)))
def test_what_was_not_read_is_no_fault(kind, state):
    """But an EtcdStatus that does not come back from a running etcd is a member that does not answer."""
    expected = {'etcd.members_not_answering/cluster'} if kind == 'EtcdStatus' and state in ('timed_out', 'failed') else set()
    for names in (('cp2',), ('cp1', 'cp2', 'cp3')):
        snapshot = old()
        for name in names:
            take(node(snapshot, name), (kind,), state)
        judged = report(snapshot)
        found = {f['id'] for f in findings(judged, worse_than='unknown')}
        assert found == (expected if names == ('cp2',) else set())


def test_no_control_plane_node_answers():
    snapshot = old()
    for machine in planes(snapshot):
        unreachable(machine)
    judged = report(snapshot)
    unsure = {c['check'] for c in judged['checks'] if c['verdict'] == 'unknown'}
    assert unsure == set(NEEDS) - {'etcd.on_worker'}
    assert judged['class'] == 'not_judged'


def test_status_that_was_not_asked_for_is_no_silent_member():
    snapshot = old()
    lose(node(snapshot, 'cp3'), 'EtcdStatus', 'not_asked')
    finding = one(report(snapshot), 'etcd.members_not_answering')
    assert finding['verdict'] == 'unknown'
    assert 'cp3' in finding['title'] and 'not asked' in finding['title']
