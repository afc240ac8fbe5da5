# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_etcd_member against simulated clusters: a dead member goes, once; a live one never does, whatever is said."""

from __future__ import annotations

import copy
import os
import time

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, RoleRefused, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.tasks import etcd_member, etcd_snapshot
from tests.simulator import Cluster
from tests.unit.tasks import etcd_bed

OLD, LIVE, LEADER = '4444444444444444', '3333333333333333', '1111111111111111'
MEMBERS = {'cp-1': LEADER, 'cp-2': '2' * 16, 'cp-3': LIVE, 'cp-4': OLD}
GONE = {'members': MEMBERS, 'member_addresses': {'cp-4': '10.5.0.99'}}


def state(etcd=None, **more):
    return {'etcd': {**GONE, **(etcd or {})}, **more}


@pytest.fixture
def backup(tmp_path):
    return tmp_path / 'etcd.db'


def save(cluster, backup):
    etcd_snapshot.run(etcd_bed.params(cluster, 'talos_etcd_snapshot', dest=str(backup), max_age='0', timeout=4.0), False, None)


def remove(cluster, backup=None, check_mode=False, member=OLD, **options):
    given = {'id': member, 'backup': backup and str(backup), 'confirm': ['another', f'remove etcd member {member} of prod'], 'timeout': 4.0, **options}
    return etcd_member.run(etcd_bed.params(cluster, 'talos_etcd_member', **given), check_mode, None)


def removals(cluster):
    return [name for name in etcd_bed.called(cluster) if name != 'EtcdSnapshot']


def as_it_is(cluster):
    etcd = cluster.model.etcd
    return copy.deepcopy((etcd.given, etcd.alarms, etcd.ids, etcd.removed, etcd.wiped))


def test_check_mode_changes_nothing_then_it_is_removed_and_then_absent(backup):
    with Cluster.from_state(state()) as cluster:
        before = as_it_is(cluster)
        told = remove(cluster, check_mode=True, confirm=None)
        assert told['changed'] is True and told['confirm'] == f'remove etcd member {OLD} of prod' and as_it_is(cluster) == before
        assert told['confirm'] in told['warnings'][0] and 'verified snapshot' in told['warnings'][1] and etcd_bed.called(cluster) == []
        assert told['before'] == {'voters': 4, 'healthy': 3, 'quorum': 3, 'tolerance': 0}
        assert told['after'] == {'voters': 3, 'healthy': 3, 'quorum': 2, 'tolerance': 1}
        save(cluster, backup)
        assert 'warnings' not in remove(cluster, backup, check_mode=True) and removals(cluster) == []
        made = remove(cluster, backup)
        assert made['changed'] is True and removals(cluster) == ['EtcdRemoveMemberByID'] and 'warnings' not in made
        assert {key: made[key] for key in ('member', 'members', 'before', 'after', 'diff')} == {
            key: told[key] for key in ('member', 'members', 'before', 'after', 'diff')}
        assert OLD in made['diff']['before'] and OLD not in made['diff']['after'] and set(cluster.model.etcd.ids) == {'cp-1', 'cp-2', 'cp-3'}
        again = remove(cluster, confirm=None)
        assert again['changed'] is False and again['member'] is None and removals(cluster) == ['EtcdRemoveMemberByID']


@pytest.mark.parametrize('member, more, why', [
    (LIVE, {}, 'it is alive: cp-3 says that it is this member'),
    (LEADER, {}, 'says that it is the leader; it is alive'),
    (OLD, {'etcd': {'alarms': [{'member': 'cp-2', 'alarm': 'CORRUPT'}]}}, 'the alarm CORRUPT of member 2222222222222222'),
    (OLD, {'etcd': {'learners': ['cp-4']}}, 'it may be a machine that is joining'),
    (OLD, {'etcd': {'same_list_on': ['cp-1', 'cp-2']}}, 'the lists of etcd members on cp-. and cp-. differ'),
    (OLD, {'nodes': {'cp-2': {'machine_status': {'stage': 'upgrading'}}}}, 'cp-2 is upgrading'),
    (OLD, {'nodes': {'cp-2': {'time': {'offset_ms': 0, 'synced': False}}}}, 'the clock of cp-2 is not in sync'),
    (OLD, {'etcd': {'leader': 'none', 'reachable': ['cp-1', 'cp-2']}}, 'etcd member 4444444444444444 of prod is not removed: '),
])
def test_it_is_refused_and_the_cluster_is_as_it_was(backup, member, more, why):
    with Cluster.from_state(state()) as healthy:
        save(healthy, backup)
    with Cluster.from_state(state(**more)) as cluster:
        before = as_it_is(cluster)
        for check_mode in (True, False):
            with pytest.raises(Refused, match=f'is not removed: .*{why}|{why}'):
                remove(cluster, backup, check_mode, member)
        assert etcd_bed.called(cluster) == [] and as_it_is(cluster) == before


def test_a_machine_that_was_just_switched_off_is_not_taken_for_gone(backup):
    """Discovery still lists it: the others must have missed it for ten minutes."""
    with Cluster.from_state({}) as cluster:
        save(cluster, backup)
        cluster.kill('cp-3')
        cluster.model.etcd.given['leader'] = 'cp-1'
        with pytest.raises(Refused, match='the other members have not been able to reach it for .* only, and 10 min must pass'):
            remove(cluster, backup, member=LIVE)
        assert removals(cluster) == []


def test_a_control_plane_node_whose_etcd_is_down_may_be_the_member(backup):
    """Its API answers, its member does not: then it is repaired or reset, not removed."""
    with Cluster.from_state({'nodes': {'cp-3': {'services': {'etcd': ['Failed', '?']}}}}) as cluster:
        with pytest.raises(Refused, match='its machine is still there: etcd does not run on cp-3 .state Failed.'):
            remove(cluster, backup, member=LIVE)
        assert etcd_bed.called(cluster) == []


@pytest.mark.parametrize('consent', [None, ['yes'], [f'remove etcd member {OLD} of other', f'remove etcd member {LIVE} of prod']])
def test_without_the_exact_sentence_it_is_refused(backup, consent):
    with Cluster.from_state(state()) as cluster:
        save(cluster, backup)
        with pytest.raises(Refused, match=f'it needs confirm: "remove etcd member {OLD} of prod"'):
            remove(cluster, backup, confirm=consent)
        assert removals(cluster) == []


def test_without_a_fit_backup_it_is_refused(backup, tmp_path):
    with Cluster.from_state(state()) as cluster:
        save(cluster, backup)
        with pytest.raises(Refused, match='it needs a verified snapshot of etcd in backup'):
            remove(cluster)
        with pytest.raises(Refused, match='does not exist'):
            remove(cluster, tmp_path / 'none')
        whole = backup.read_bytes()
        backup.write_bytes(whole[:-512])
        with pytest.raises(Refused, match='is no whole etcd snapshot'):
            remove(cluster, backup)
        backup.write_bytes(whole)
        os.utime(backup, (time.time() - 7200,) * 2)
        with pytest.raises(Refused, match='not within backup_max_age'):
            remove(cluster, backup)
        with Cluster.from_state({}) as other:
            save(other, backup)
        with pytest.raises(Refused, match=f'does not hold member {OLD}'):
            remove(cluster, backup)
        assert removals(cluster) == [] and OLD in cluster.model.etcd.ids.values()


def test_an_answer_that_is_lost_is_not_sent_again(backup):
    faults = {'reset_mid_stream': dict.fromkeys(('cp-1', 'cp-2', 'cp-3'), ['EtcdRemoveMemberByID'])}
    with Cluster.from_state(state(faults=faults)) as cluster:
        save(cluster, backup)
        made = remove(cluster, backup)
        assert made['changed'] is True and 'and the member is gone' in made['warnings'][0] and removals(cluster) == ['EtcdRemoveMemberByID']
        assert remove(cluster, backup)['changed'] is False


def test_a_call_that_hangs_is_sent_once_and_said_to_have_failed(backup):
    faults = {'hanging_calls': dict.fromkeys(('cp-1', 'cp-2', 'cp-3'), ['EtcdRemoveMemberByID'])}
    with Cluster.from_state(state(faults=faults)) as cluster:
        save(cluster, backup)
        with pytest.raises(TalosError, match='^EtcdRemoveMemberByID failed, and is not sent again: .* still lists it'):
            remove(cluster, backup, timeout=2.0)
        assert OLD in cluster.model.etcd.ids.values()


def test_os_operator_may_not_and_is_told_who_may(backup):
    with Cluster.from_state(state(client={'role': 'os:operator', 'cert_expires_days': 300, 'context_matches_cluster': True})) as cluster:
        save(cluster, backup)
        with pytest.raises(RoleRefused, match='it needs os:admin, and the client certificate has os:operator'):
            remove(cluster, backup)
        assert OLD in cluster.model.etcd.ids.values()


@pytest.mark.parametrize('options, why', [({'member': 'cp-4'}, 'id is "cp-4", which is no id'), ({'member': '0x44'}, 'which is no id'),
                                          ({'backup_max_age': 'x'}, 'backup_max_age is "x"')])
def test_unusable_options(options, why):
    with Cluster.from_state({}) as cluster:
        with pytest.raises(InputError, match=why):
            remove(cluster, **options)
