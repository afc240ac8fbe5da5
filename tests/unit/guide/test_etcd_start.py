# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd before its start: not bootstrapped, stuck, or just joining."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import etcd
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Check, error
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide.judging import (
    READ, ago, faults, findings, lose, machined, members_of, node, old, one, planes, preparing, recording, report, set_service, unreachable, verdict_of,
)

WAITS = ('etcd is waiting to join the cluster, if this node is the first node in the cluster, please run `talosctl bootstrap` against one '
         'of the following IPs:')
EMPTY = [{'name': '/var/lib/etcd', 'relative_name': '.', 'error': ''}]


def age(snapshot, machine, seconds):
    machine.value('MachineStatuses')[0]['created'] = ago(snapshot, seconds)


def waiting(seconds=900):
    """Nobody was bootstrapped."""
    snapshot = old()
    for machine in planes(snapshot):
        age(snapshot, machine, seconds)
        preparing(snapshot, machine, since=seconds - 5)
        machined(snapshot, machine, (20, WAITS))
        machine.data['EtcdDirectory'] = Datum(READ, EMPTY)
    return snapshot


# -- the gate ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('seconds', [120, 3000])
def test_not_bootstrapped_is_one_critical_finding_at_any_age(seconds):
    judged = report(waiting(seconds))
    assert [f['id'] for f in judged['findings']] == ['etcd.not_bootstrapped/cluster']
    assert judged['findings'][0]['verdict'] == 'critical'
    others = ('etcd.some_pre', 'etcd.alarm', 'etcd.quorum_lost', 'etcd.other')
    assert {judged['sections'][key]['verdict'] for key in others} <= {'ok', 'not_applicable'}


def test_nobody_is_told_to_bootstrap_while_a_node_is_out_of_sight():
    snapshot = waiting()
    unreachable(node(snapshot, 'cp3'))
    judged = report(snapshot)
    assert one(judged, 'etcd.not_bootstrapped')['verdict'] == 'unknown'
    finding = one(judged, 'etcd.all_in_pre')
    assert finding['verdict'] == 'critical' and finding['next_step'].startswith('Do not bootstrap: cp3 does not answer')
    assert all(f['remedy'] is None for f in judged['findings'])


def test_the_unreachable_node_is_the_cause_when_that_is_a_finding():
    snapshot = waiting()
    cp3 = node(snapshot, 'cp3')
    unreachable(cp3)
    api = Check('talos_api.machine_unreachable', 'talos_api.firewall', 'reach',
                lambda view: error(cp3.key, 'no answer', '', '', asserts=(f'unreachable:{cp3.key}',)))
    judged = report(snapshot, checks=(api, *etcd.CHECKS))
    assert one(judged, 'etcd.all_in_pre')['because_of'] == [f'talos_api.machine_unreachable/{cp3.key}']
    assert one(judged, 'etcd.not_bootstrapped')['because_of'] == [f'talos_api.machine_unreachable/{cp3.key}']


def test_one_log_that_was_not_read_keeps_it_open():
    snapshot = waiting()
    lose(node(snapshot, 'cp2'), 'machined', 'refused', log=True)
    finding = one(report(snapshot), 'etcd.not_bootstrapped')
    assert finding['verdict'] == 'unknown' and 'log machined of cp2' in finding['title']


def test_a_running_member_means_that_the_cluster_was_bootstrapped():
    snapshot = waiting()
    healthy = old()
    node(snapshot, 'cp1').data.update(node(healthy, 'cp1').data)
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.not_bootstrapped') == 'ok' and verdict_of(judged, 'etcd.all_in_pre') == 'ok'
    assert {f['id'] for f in findings(judged, 'etcd.stuck_in_pre')} == {f'etcd.stuck_in_pre/{node(snapshot, name).key}'
                                                                        for name in ('cp2', 'cp3')}


def test_a_crash_loop_is_not_waiting():
    snapshot = waiting()
    set_service(snapshot, node(snapshot, 'cp2'), 'Waiting',
                [(2, 'Waiting', 'Error running Containerd(etcd), going to restart forever: task "etcd" failed: exit code 1')])
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.not_bootstrapped') == 'ok'
    assert findings(judged, 'etcd.crash_loop')


def test_waiting_lines_of_an_earlier_start_are_history():
    snapshot = waiting()
    for machine in planes(snapshot):
        machined(snapshot, machine, (5000, WAITS))
        age(snapshot, machine, 90000)
    assert verdict_of(report(snapshot), 'etcd.not_bootstrapped') == 'ok'


# -- joining ----------------------------------------------------------------------------------------------------

def bootstrapping():
    """Three minutes into a bootstrap: one member, one learner without a name yet, one that has to wait for it."""
    snapshot = old()
    cp1, cp2, cp3 = planes(snapshot)
    for machine in planes(snapshot):
        age(snapshot, machine, 240)
    for members in members_of(snapshot):
        members[:] = [m for m in members if m['hostname'] != 'cp3']
        for member in members:
            if member['hostname'] == 'cp2':
                member.update(hostname='', is_learner=True)
    set_service(snapshot, cp1, 'Running',
                [(180, 'Running', 'Started task etcd (PID 1) for container etcd'), (175, 'Running', 'Health check successful')],
                {'unknown': False, 'healthy': True, 'last_message': '', 'last_change': None})
    set_service(snapshot, cp2, 'Running',
                [(60, 'Running', 'Started task etcd (PID 1) for container etcd'),
                 (5, 'Running', 'Health check failed: etcdserver: rpc not supported for learner')],
                {'unknown': False, 'healthy': False, 'last_message': 'etcdserver: rpc not supported for learner', 'last_change': None})
    cp2.value('EtcdStatus')['is_learner'] = True
    for kind in ('EtcdMemberList', 'EtcdAlarmList'):
        lose(cp2, kind, 'failed')
    preparing(snapshot, cp3, since=230)
    machined(snapshot, cp3, (9, 'retrying error: error adding member: etcdserver: too many learner members in cluster'))
    return snapshot


def test_three_minutes_into_a_bootstrap_nothing_is_wrong():
    judged = report(bootstrapping())
    assert judged['class'] == 'healthy' and faults(judged) == set()
    assert not [f for f in judged['findings'] if f['verdict'] == 'unknown']
    some = [f for f in judged['findings'] if f['section'] == 'etcd.some_pre']
    assert {name for f in some for name in f['nodes']} == {'cp2', 'cp3'} and {f['verdict'] for f in some} == {'info'}
    assert all(f['remedy'] is None for f in judged['findings'])
    assert any('another member is still a learner' in f['title'] for f in some)


def test_a_learner_that_was_never_promoted():
    snapshot = bootstrapping()
    cp2 = node(snapshot, 'cp2')
    set_service(snapshot, cp2, 'Running', [(700, 'Running', 'Started task etcd (PID 1) for container etcd')],
                {'unknown': False, 'healthy': False, 'last_message': 'etcdserver: rpc not supported for learner', 'last_change': None})
    finding = one(report(snapshot), 'etcd.learner_stuck')
    assert finding['verdict'] == 'warning' and 'for 12 minutes' in finding['title'] and finding['section'] == 'etcd.some_pre'
    assert verdict_of(report(snapshot, {'etcd_learner_seconds': 800}), 'etcd.learner_stuck') == 'info'


def test_a_promotion_that_failed_is_not_tried_again():
    snapshot = bootstrapping()
    machined(snapshot, node(snapshot, 'cp2'),
             (10, 'failed promoting member: etcdserver: can only promote a learner member which is in sync with leader'))
    finding = one(report(snapshot), 'etcd.learner_stuck')
    assert finding['verdict'] == 'warning' and finding['evidence'][0]['source'] == 'log machined'
    machined(snapshot, node(snapshot, 'cp2'), (70, 'failed promoting member: of an earlier start'))
    assert one(report(snapshot), 'etcd.learner_stuck')['verdict'] == 'info'


# -- stuck ------------------------------------------------------------------------------------------------------

def stuck(*lines, state='Preparing', text='Running pre state', since=900, young=False):
    snapshot = old()
    cp3 = node(snapshot, 'cp3')
    if young:
        age(snapshot, cp3, since + 5)
    set_service(snapshot, cp3, state,
                [(since, 'Preparing', 'Running pre state')] + ([(since - 1, state, text)] if text != 'Running pre state' else []))
    machined(snapshot, cp3, *lines)
    return snapshot


def finding_of(snapshot):
    return one(report(snapshot), 'etcd.stuck_in_pre')


REFUSED = ('retrying error: failed to pull image "registry.k8s.io/etcd:v3.6.12": failed to do request: dial tcp 10.5.0.1:5000: connect: '
           'connection refused')


def test_a_registry_that_does_not_answer_may_come_yet():
    assert finding_of(stuck((30, REFUSED), since=60, young=True))['verdict'] == 'info'
    finding = finding_of(stuck((30, REFUSED)))
    assert finding['verdict'] == 'error' and 'cannot be pulled (connection refused)' in finding['title']


def test_the_older_prefix_of_the_guide_is_understood():
    assert 'cannot be pulled' in finding_of(stuck((30, REFUSED.replace('retrying error:', 'retrying:'))))['title']


def test_a_pull_that_goes_on_is_slow_and_not_broken():
    finding = finding_of(stuck((300, REFUSED),
                               (20, 'pulling image registry.k8s.io/etcd:v3.6.12: downloading 2 layers (1 MiB/60 MiB) (1.6%)...')))
    assert 'is being pulled (downloading 2 layers (1 MiB/60 MiB) (1.6%))' in finding['title']


def test_the_image_of_the_kubelet_is_not_that_of_etcd():
    finding = finding_of(stuck((30, 'retrying error: failed to pull image "ghcr.io/siderolabs/kubelet:v1.36.3": not found')))
    assert 'image' not in finding['title']


def test_an_old_member_with_the_same_address_is_named():
    snapshot = stuck((10,
                      'retrying error: member already exists with the same peer URLs ["https://10.5.0.4:2380"], but is not a learner: '
                      'etcdserver: Peer URLs already exists'), since=60, young=True)
    finding = finding_of(snapshot)
    assert finding['verdict'] == 'error' and finding['remedy'] == {'name': 'etcd_stale_member', 'args': {'member_id': 'd389152f7e017226'}}
    assert 'd389152f7e017226' in finding['title']


@pytest.mark.parametrize('what, said', [
    ('etcd spec', 'no address was found'), ('time sync', 'the time is not in sync'), ('service "cri" to be "up"', 'the service cri is not up'),
    ('volumes /var/lib, ETCD to be mounted', 'a volume is not mounted'), ('network', 'the network is not ready'),
    ('something new', 'it waits for something new'),
])
def test_what_it_waits_for_is_named(what, said):
    snapshot = stuck(state='Waiting', text=f'Waiting for {what}')
    finding = finding_of(snapshot)
    assert finding['verdict'] == 'error' and said in finding['title']


def test_it_cannot_join_while_others_hold_a_quorum():
    finding = finding_of(stuck((10, WAITS)))
    assert 'TCP 2379 and 2380' in finding['next_step'] and 'Never run bootstrap on this node' in finding['next_step']


def test_it_does_not_see_the_others_in_discovery():
    snapshot = stuck((10, WAITS))
    cp3 = node(snapshot, 'cp3')
    cp3.data['Members'] = Datum(READ, [m for m in cp3.value('Members') if m['spec']['hostname'] not in ('cp1', 'cp2')])
    finding = finding_of(snapshot)
    assert 'does not see cp1 and cp2 in discovery' in finding['means'] and finding['next_step'].startswith('Repair discovery first')
    assert {e['source'] for e in finding['evidence']} == {'log machined', 'Members'}


def test_a_join_without_a_leader_follows_from_the_lost_quorum():
    snapshot = stuck((10, 'retrying error: error getting etcd member list: context deadline exceeded'))
    unreachable(node(snapshot, 'cp2'))
    status = node(snapshot, 'cp1').value('EtcdStatus')
    status.update(leader='0' * 16, errors=['etcdserver: no leader'])
    for kind in ('EtcdMemberList', 'EtcdAlarmList'):
        lose(node(snapshot, 'cp1'), kind)
    judged = report(snapshot)
    assert one(judged, 'etcd.quorum_lost')['root']
    assert one(judged, 'etcd.stuck_in_pre')['because_of'] == ['etcd.quorum_lost/cluster']


@pytest.mark.parametrize('leader, empty, causes', [('0' * 16, True, ['etcd.quorum_lost/cluster']), ('0' * 16, False, []), (None, True, [])])
def test_without_data_it_can_only_join(leader, empty, causes):
    """A wiped member waits for a quorum, whether its log still says so or not; one that has its data, or a leader to join, waits for something else."""
    snapshot = stuck()
    unreachable(node(snapshot, 'cp2'))
    entries = [{'relative_name': '.'}, *([] if empty else [{'relative_name': 'member'}])]
    node(snapshot, 'cp3').data['EtcdDirectory'] = Datum(READ, entries)
    if leader:
        node(snapshot, 'cp1').value('EtcdStatus').update(leader=leader, errors=['etcdserver: no leader'])
        for kind in ('EtcdMemberList', 'EtcdAlarmList'):
            lose(node(snapshot, 'cp1'), kind)
    finding = finding_of(snapshot)
    assert finding['verdict'] == 'error' and finding['because_of'] == causes
    assert ('its data directory is empty' in finding['title']) is bool(causes)


def test_without_its_log_the_state_alone_is_reported():
    snapshot = stuck()
    lose(node(snapshot, 'cp3'), 'machined', 'refused', log=True)
    finding = finding_of(snapshot)
    assert finding['verdict'] == 'error' and 'the log that would say why was not read' in finding['title']


def test_after_a_failure_before_the_start_a_reboot_is_needed():
    finding = finding_of(stuck(state='Failed', text='Failed to run pre stage: 1 error(s) occurred:\ntimeout', young=True))
    assert finding['verdict'] == 'error' and '(1 error(s) occurred: timeout)' in finding['title'] and 'reboot this node' in finding['next_step']


def test_a_member_that_just_booted_is_missing_for_a_while():
    judged = report(stuck(since=30, young=True))
    assert one(judged, 'etcd.members_not_answering')['verdict'] == 'info'
    assert faults(judged) == set()


def test_what_was_never_started_has_lost_nothing():
    """It waits for something before it could be bootstrapped: one finding, and no quorum, alarm or member to judge."""
    snapshot = waiting(3000)
    for number, machine in enumerate(planes(snapshot)):
        machined(snapshot, machine, (10, 'nothing'))
        set_service(snapshot, machine, 'Waiting', [(2990, 'Waiting', 'Waiting for time sync')])
    judged = report(snapshot)
    finding = one(judged, 'etcd.all_in_pre')
    assert finding['verdict'] == 'critical' and 'the time is not in sync' in finding['title']
    assert {c['check'] for c in judged['checks'] if c['verdict'] not in ('ok', 'not_applicable')} == {'etcd.all_in_pre'}
    assert verdict_of(judged, 'etcd.quorum_lost') == 'not_applicable'
    lose(planes(snapshot)[0], 'EtcdDirectory')
    assert verdict_of(report(snapshot), 'etcd.quorum_lost') == 'critical'


def test_all_in_pre_after_a_power_cut_is_info_for_ten_minutes():
    for seconds, expected in ((120, 'info'), (3000, 'critical')):
        snapshot = waiting(seconds)
        for machine in planes(snapshot):
            machined(snapshot, machine, (10, 'nothing'))
            machine.data['EtcdDirectory'] = recording().machine(machine.key).data['EtcdDirectory']
        judged = report(snapshot)
        assert one(judged, 'etcd.all_in_pre')['verdict'] == expected
        quorum = one(judged, 'etcd.quorum_lost')
        assert quorum['verdict'] == expected
        assert (quorum['because_of'] == ['etcd.all_in_pre/cluster']) == (expected == 'critical')
