# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What etcd itself does, seen through Talos's API: members and learners, leadership, quorum, refusals, space, snapshots, restore."""

from __future__ import annotations

import hashlib
import json
import subprocess

import pytest

from tests.bed.grpc_server import UNKNOWN
from tests.contract.etcd.real import HANGS, real

NAMES = ('cp-1', 'cp-2', 'cp-3')
FULL = {'quota_mb': 16, 'db_mb': 16, 'in_use_mb': 2, 'alarms': [{'member': name, 'alarm': 'NOSPACE'} for name in NAMES]}


def _status(bed, name):
    return bed.talos(name, 'EtcdStatus')['member_status']


def _id(bed, name):
    return int(bed.etcd.ids[name], 16)


def _members(bed, name='cp-1', **request):
    return {one['hostname']: one for one in bed.talos(name, 'EtcdMemberList', **request)['members']}


def _voters(bed, name):
    """The names of the voters in the list of one member, none while it runs as a learner, or not at all."""
    said = bed.talos(name, 'EtcdMemberList', within=5, query_local=True)
    return {one.get('hostname') for one in said['members'] if not one.get('is_learner')} if isinstance(said, dict) else set()


def test_learners_answer_their_status_alone():
    with real({'learners': ['cp-3']}) as bed:
        assert _status(bed, 'cp-3')['is_learner'] and not _status(bed, 'cp-1').get('is_learner')
        refused = 'etcdserver: rpc not supported for learner'
        assert bed.talos('cp-3', 'EtcdMemberList', query_local=True) == (UNKNOWN, refused)
        assert bed.talos('cp-3', 'EtcdAlarmList') == (UNKNOWN, f'failed to list etcd alarms: {refused}')
        members = _members(bed, 'cp-3')
        assert members['cp-3']['is_learner'] and len(members) == 3, 'the others are asked where it means the cluster'
        assert [one['name'] for one in bed.etcdctl('cp-1', 'member', 'list')['members'] if one.get('isLearner')] == ['cp-3']


def test_a_new_machine_joins_as_a_learner_and_is_promoted():
    """Bootstrap makes the first member, and the others join one after the other."""
    waits = {name: {'services': {'etcd': ['Preparing', '?']}, 'uptime': '2m'} for name in NAMES}
    with real({'members': {}, 'data_dir_empty': [*NAMES]}, nodes=waits, k8s={'api': 'never up'}) as bed:
        assert bed.talos('cp-1', 'EtcdStatus', within=1) == HANGS
        assert bed.talos('cp-1', 'Bootstrap') == {}
        bed.until(lambda: all(_voters(bed, name) == set(NAMES) for name in NAMES), 'three voters, as each of them says')
        assert set(_members(bed)) == set(NAMES)
        bed.until(lambda: set(bed.etcd.ids) == set(NAMES) and not bed.etcd.learners, 'which is seen')
        lines = '\n'.join(bed.etcd.processes['cp-3'].lines())
        assert '"is-learner":true' in lines or 'learner' in lines
        assert bed.talos('cp-1', 'Bootstrap') == (6, 'etcd data directory is not empty')


def test_another_leads_when_the_leader_is_gone():
    with real({'leader': 'cp-1'}) as bed:
        term = _status(bed, 'cp-2')['raft_term']
        bed.cluster.kill('cp-1')
        bed.until(lambda: bed.leader() in ('cp-2', 'cp-3'), 'another leads')
        status = _status(bed, 'cp-2')
        assert status['raft_term'] > term and status['leader'] % 2 ** 64 in (_id(bed, 'cp-2'), _id(bed, 'cp-3'))
        assert len(_members(bed, 'cp-2')) == 3
        bed.cluster.start('cp-1')
        bed.until(lambda: bed.etcd.runs(bed.cluster.nodes['cp-1']) and _status(bed, 'cp-1').get('leader'), 'it is back')


def test_without_quorum_the_survivor_answers_its_status_alone():
    with real() as bed:
        for name in ('cp-2', 'cp-3'):
            bed.cluster.kill(name)
        bed.until(lambda: 'leader' not in _status(bed, 'cp-1'), 'no leader')
        assert _status(bed, 'cp-1')['errors'] == ['etcdserver: no leader']
        assert bed.talos('cp-1', 'EtcdMemberList') == bed.talos('cp-1', 'EtcdMemberList', query_local=True) == (UNKNOWN, 'etcdserver: no leader')
        assert bed.talos('cp-1', 'EtcdAlarmList', within=9) == HANGS
        answer = bed.talos('cp-1', 'EtcdRemoveMemberByID', member_id=_id(bed, 'cp-3'))
        assert answer[0] == UNKNOWN and answer[1].endswith('etcdserver: no leader')
        assert bed.talos('cp-1', 'EtcdForfeitLeadership')[1].endswith('etcdserver: no leader')


def test_a_member_that_was_never_started_has_no_name_and_keeps_the_others_from_going():
    """Strict reconfiguration: of two voters, one of which never started, neither the started one goes, nor does a third come."""
    with real({'members': {'cp-1': '1', 'old': '2'}, 'member_addresses': {'old': '10.5.0.77'}, 'reachable': ['cp-1'], 'leader': 'none'},
              topology={'cp': {'cp-1': '10.5.0.11'}, 'workers': {}}) as bed:
        assert 'leader' not in _status(bed, 'cp-1')


@pytest.mark.parametrize('dead, goes, answer', [
    ('cp-3', 'cp-3', {}),
    ('cp-3', 'cp-2', (UNKNOWN, 'failed to remove member: failed to remove member {}: etcdserver: unhealthy cluster')),
])
def test_removal_by_the_rules_of_etcd(dead, goes, answer):
    with real() as bed:
        member = _id(bed, goes)
        bed.cluster.kill(dead)
        bed.until(lambda: bed.leader() in ('cp-1', 'cp-2'), 'one of the others leads')
        if answer:
            answer = answer[0], answer[1].format(member)
        assert bed.until(lambda: bed.talos('cp-1', 'EtcdRemoveMemberByID', member_id=member) == answer, answer) or answer == {}
        assert (goes in _members(bed)) is bool(answer)


def test_a_removed_member_is_started_in_vain():
    with real() as bed:
        bed.remove('cp-3')
        bed.until(lambda: bed.cluster.nodes['cp-3'].service('etcd') == ('Waiting', 'Fail'), 'its service waits')
        bed.until(lambda: 'the member has been permanently removed from the cluster' in '\n'.join(bed.etcd.processes['cp-3'].lines()), 'it says so')
        assert set(_members(bed)) == {'cp-1', 'cp-2'} and bed.talos('cp-3', 'EtcdStatus', within=1) == HANGS


def test_a_member_leaves_and_its_data_are_gone():
    with real({'leader': 'cp-1'}) as bed:
        # asked again, for a member that is removed may be gone before it could say so itself
        bed.until(lambda: bed.talos('cp-3', 'EtcdLeaveCluster') == {}, 'it has left')
        assert set(_members(bed)) == {'cp-1', 'cp-2'}
        assert bed.etcd.processes['cp-3'].is_empty and bed.cluster.nodes['cp-3'].service('etcd')[0] == 'Finished'


def test_a_full_database_raises_the_alarm_of_each_member_and_refuses_writes():
    with real(FULL) as bed:
        alarms = bed.talos('cp-1', 'EtcdAlarmList')['member_alarms']
        assert sorted((one['member_id'] % 2 ** 64, one['alarm']) for one in alarms) == sorted((_id(bed, name), 'NOSPACE') for name in NAMES)
        own = bed.etcdctl('cp-2', 'alarm', 'list')['alarms']
        assert sorted(one['memberID'] for one in own) == sorted(one['member_id'] % 2 ** 64 for one in alarms)
        assert sorted(error.split() for error in _status(bed, 'cp-3')['errors']) == sorted([f'memberID:{_id(bed, name)}', 'alarm:NOSPACE'] for name in NAMES)
        assert 'etcdserver: mvcc: database space exceeded' in bed.ctl('cp-1', 'put', 'a', 'b').stderr
        assert bed.cluster.nodes['cp-1'].service('etcd') == ('Running', 'OK'), 'its service is well all the same'


def test_a_disarm_alone_lasts_until_something_is_written_and_defragmentation_alone_clears_nothing():
    with real({**FULL, 'in_use_mb': 15}) as bed:
        assert len(bed.talos('cp-2', 'EtcdAlarmDisarm')['member_alarms']) == 3 and bed.talos('cp-2', 'EtcdAlarmList') == {}
        assert bed.ctl('cp-2', 'put', 'a', given='b' * 1024 * 1000).returncode
        bed.until(lambda: bed.talos('cp-2', 'EtcdAlarmList'), 'it is back')
    with real(FULL) as bed:
        before = _status(bed, 'cp-1')
        assert bed.talos('cp-1', 'EtcdDefragment') == {}
        after = _status(bed, 'cp-1')
        assert after['db_size'] < before['db_size'] / 2 and after['db_size'] - after['db_size_in_use'] < 1024 * 1024
        assert len(bed.talos('cp-1', 'EtcdAlarmList')['member_alarms']) == 3
        for name in ('cp-2', 'cp-3'):
            assert bed.talos(name, 'EtcdDefragment') == {}
        assert len(bed.talos('cp-1', 'EtcdAlarmDisarm')['member_alarms']) == 3
        assert bed.ctl('cp-1', 'put', 'a', 'b').returncode == 0 and bed.talos('cp-1', 'EtcdAlarmList') == {}


def test_a_snapshot_is_restored_with_what_was_written(tmp_path):
    with real() as bed:
        assert bed.ctl('cp-1', 'put', 'kept', 'yes').returncode == 0
        data = bed.talos('cp-2', 'EtcdSnapshot')
    (tmp_path / 'db').write_bytes(data)
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    told = subprocess.run([bed.etcd.program('etcdutl'), 'snapshot', 'status', str(tmp_path / 'db'), '-w', 'json'], capture_output=True, check=True)
    assert json.loads(told.stdout)['totalKey'] >= 1
    _restore(bed, tmp_path / 'db', tmp_path / 'restored')
    damaged = bytearray(data)
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / 'damaged').write_bytes(damaged)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        _restore(bed, tmp_path / 'damaged', tmp_path / 'never')
    assert b'expected sha256' in refused.value.stderr
    with real({'members': {'cp-1': '1'}, 'leader': 'cp-1'}, topology={'cp': {'cp-1': '10.5.0.11'}, 'workers': {}}) as bed:
        process = bed.etcd.processes['cp-1']
        bed.cluster.etcd_fault('stop', 'cp-1')
        process.wipe()
        _restore(bed, tmp_path / 'db', process.data, bed.address('cp-1'))
        bed.cluster.etcd_fault('start', 'cp-1')
        bed.until(lambda: bed.ctl('cp-1', 'get', 'kept', '--print-value-only').stdout == 'yes\n', 'what was written is there again')


def _restore(bed, snapshot, directory, address='127.0.0.1'):
    url = f'https://{address}:2380'
    subprocess.run([bed.etcd.program('etcdutl'), 'snapshot', 'restore', str(snapshot), f'--data-dir={directory}', '--name=cp-1',
                    f'--initial-cluster=cp-1={url}', f'--initial-advertise-peer-urls={url}'], capture_output=True, check=True)
