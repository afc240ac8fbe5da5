# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each RPC about etcd says of the real one what etcdctl says of the same member, field by field."""

from __future__ import annotations

import hashlib
import re

import pytest

from tests.bed.grpc_server import NOT_FOUND, UNKNOWN
from tests.contract.etcd.real import HANGS, real

NAMES = ('cp-1', 'cp-2', 'cp-3')


@pytest.fixture(scope='module')
def healthy():
    with real() as bed:
        yield bed


@pytest.mark.parametrize('name', NAMES)
def test_status(healthy, name):
    said, own = healthy.talos(name, 'EtcdStatus')['member_status'], healthy.etcdctl(name, 'endpoint', 'status')[0]['Status']
    pairs = {'protocol_version': 'version', 'db_size': 'dbSize', 'db_size_in_use': 'dbSizeInUse', 'leader': 'leader', 'raft_term': 'raftTerm',
             'storage_version': 'storageVersion'}
    assert {key: said[key] % 2 ** 64 if isinstance(said[key], int) else said[key] for key in pairs} == {key: own[other] for key, other in pairs.items()}
    assert said['member_id'] % 2 ** 64 == own['header']['member_id'] == int(healthy.etcd.ids[name], 16)
    assert 0 < said['raft_applied_index'] <= said['raft_index'] <= own['raftIndex']
    assert said.get('errors', []) == own.get('errors', []) == [] and not said.get('is_learner') and not own.get('isLearner')


@pytest.mark.parametrize('local', [False, True])
@pytest.mark.parametrize('name', NAMES)
def test_member_list(healthy, name, local):
    said = healthy.talos(name, 'EtcdMemberList', **({'query_local': True} if local else {}))
    own = healthy.etcdctl(name, 'member', 'list')['members']
    assert [(one['id'] % 2 ** 64, one['hostname'], one['peer_urls'], one['client_urls']) for one in said['members']] \
        == [(one['ID'], one['name'], one['peerURLs'], one['clientURLs']) for one in own]
    assert {one['hostname'] for one in said['members']} == set(said['legacy_members']) == set(NAMES)
    address = healthy.address(name)
    assert (f'https://{address}:2380', f'https://{address}:2379') in [(one['peer_urls'][0], one['client_urls'][0]) for one in said['members']]


def test_no_alarms(healthy):
    assert healthy.talos('cp-1', 'EtcdAlarmList') == {} and healthy.talos('cp-2', 'EtcdAlarmDisarm') == {}
    assert 'alarms' not in healthy.etcdctl('cp-1', 'alarm', 'list')


def test_defragment(healthy):
    assert healthy.talos('cp-3', 'EtcdDefragment') == {}
    assert re.search(r'"msg":"finished defragmenting directory"', '\n'.join(healthy.etcd.processes['cp-3'].lines()))


def test_snapshot(healthy):
    data = healthy.talos('cp-2', 'EtcdSnapshot')
    assert len(data) % 512 == 32 and hashlib.sha256(data[:-32]).digest() == data[-32:]


def test_an_unknown_member_is_not_removed(healthy):
    assert healthy.talos('cp-1', 'EtcdRemoveMemberByID', member_id=77) == (NOT_FOUND, 'failed to remove member 77: etcdserver: member not found')


def test_leadership_is_forfeited_and_passes_to_the_member_that_is_named(healthy):
    before = healthy.leader()
    follower = next(name for name in NAMES if name != before)
    assert healthy.talos(follower, 'EtcdForfeitLeadership') == {}
    term = healthy.etcdctl(before, 'endpoint', 'status')[0]['Status']['raftTerm']
    after = healthy.talos(before, 'EtcdForfeitLeadership')['member']
    assert after != before
    status = healthy.etcdctl(after, 'endpoint', 'status')[0]['Status']
    assert status['leader'] == status['header']['member_id'] and status['raftTerm'] == term + 1
    healthy.until(lambda: healthy.leader() == after, 'the view follows')


def test_alone_nobody_forfeits_leadership():
    with real(topology={'cp': {'cp-1': '10.5.0.11'}, 'workers': {}}) as bed:
        assert bed.talos('cp-1', 'EtcdForfeitLeadership') == (UNKNOWN, 'failed to forfeit leadership: cannot forfeit leadership, only one member')


def test_a_machine_without_etcd_hangs():
    """And those that mean the cluster are answered all the same, by the others."""
    with real({'reachable': ['cp-1', 'cp-2']}, nodes={'cp-3': {'services': {'etcd': ['Failed', '?']}}}) as bed:
        for method in ('EtcdStatus', 'EtcdAlarmList', 'EtcdAlarmDisarm', 'EtcdDefragment', 'EtcdSnapshot'):
            assert bed.talos('cp-3', method, within=1) == HANGS, method
        assert bed.talos('cp-3', 'EtcdMemberList', within=1, query_local=True) == HANGS
        assert len(bed.talos('cp-3', 'EtcdMemberList')['members']) == 3
