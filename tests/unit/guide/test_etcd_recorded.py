# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded faulty states of a real cluster lead to the root, and to the consequences, that they had."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.snapshot import model
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Machine
from tests.unit.guide import etcd_states
from tests.unit.guide.etcd_states import State, etcd_service, three, without_prefix
from tests.unit.guide.judging import READ, faults, findings, lose, node, one, planes, recording, report, verdict_of


def roots(judged):
    return {f['id'] for f in findings(judged, worse_than='unknown') if f['root']}


def section(judged, key):
    return judged['sections'][key]['verdict']


# -- quorum -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', ['quorum-lost-2killed-early', 'quorum-lost-2killed-late'])
def test_two_killed_is_a_lost_quorum_although_services_look_well(name):
    judged = report(three(name))
    finding = one(judged, 'etcd.quorum_lost')
    assert finding['verdict'] == 'critical' and finding['root']
    assert '1 of 3 members answers' in finding['title']
    assert {e['source'] for e in finding['evidence']} == {'EtcdStatus', 'EtcdMemberList'}
    assert any('etcdserver: no leader' in e['text'] for e in finding['evidence'])
    assert roots(judged) == {'etcd.quorum_lost/cluster'}
    assert all(f['because_of'] == ['etcd.quorum_lost/cluster'] for f in findings(judged)
               if f is not finding and f['check'] != 'etcd.db_near_quota')


def test_the_health_check_of_the_survivor_follows_from_the_lost_quorum():
    early, late = report(three('quorum-lost-2killed-early')), report(three('quorum-lost-2killed-late'))
    assert verdict_of(early, 'etcd.service_not_healthy') == 'ok'
    assert one(late, 'etcd.service_not_healthy')['because_of'] == ['etcd.quorum_lost/cluster']


def test_two_crash_loops_explain_the_lost_quorum():
    judged = report(three('quorum-lost-2crashlooping'))
    assert roots(judged) == {'etcd.crash_loop/id-cp2', 'etcd.crash_loop/id-cp3'}
    assert set(one(judged, 'etcd.quorum_lost')['because_of']) == roots(judged)
    order = [f['id'] for f in judged['findings']]
    assert order.index('etcd.quorum_lost/cluster') > max(order.index(root) for root in roots(judged))


def test_one_control_plane_node_down():
    judged = report(recording('one-cp-down'))
    finding = one(judged, 'etcd.members_not_answering')
    assert finding['verdict'] == 'warning'
    assert finding['title'] == ('2 of 3 etcd members answer (missing: d389152f7e017226 ("cp3", 10.5.0.4)), no further failure is tolerated')
    assert section(judged, 'etcd.quorum_lost') == 'ok'
    assert faults(judged) == {'etcd.members_not_answering/cluster'}
    assert judged['sections']['etcd.other']['nodes_missing'] == ['cp3']


def test_a_frozen_control_plane_node_gives_no_text_and_is_missing_all_the_same():
    judged = report(three('cp3-frozen'))
    assert 'no further failure is tolerated' in one(judged, 'etcd.members_not_answering')['title']
    assert faults(judged) == {'etcd.members_not_answering/cluster'}


def test_a_worker_that_is_down_is_nothing_of_etcd():
    judged = report(recording('worker-down'))
    assert faults(judged) == set()
    assert section(judged, 'etcd.other') == 'ok'
    assert judged['sections']['etcd.other']['nodes_missing'] == ['w1']


# -- space ------------------------------------------------------------------------------------------------------

def test_nospace_is_the_root_of_a_full_database():
    judged = report(recording('nospace-alarm'))
    assert {f['check'] for f in findings(judged, worse_than='unknown') if f['root']} == {'etcd.alarm_nospace'}
    finding = findings(judged, 'etcd.alarm_nospace')[0]
    assert finding['verdict'] == 'critical' and finding['remedy'] == {'name': 'etcd_nospace', 'args': {}}
    assert 'quota 8.0 MiB' in finding['title']
    near = findings(judged, 'etcd.db_near_quota')
    assert len(near) == 3 and all(f['verdict'] == 'error' and f['because_of'] for f in near)
    assert section(judged, 'etcd.quorum_lost') == 'ok'


def test_nospace_comes_up_member_by_member():
    judged = report(three('nospace-alarm'))
    assert {f['subject'] for f in findings(judged, 'etcd.alarm_nospace')} == {'c3d3020cf75b8728', 'a00f09570d9e43c1'}
    assert [f['nodes'] for f in findings(judged, 'etcd.alarm_nospace')] == [['cp1'], ['cp3']]


@pytest.mark.parametrize('output, count', [('etcd_status_fill.out', 2), ('etcd_status_after_defrag.out', 3), ('etcd_status_after.out', 0)])
def test_the_errors_of_the_status_tell_the_alarms_when_the_list_does_not_come(output, count):
    snapshot, state = three('nospace-alarm'), State('nospace')
    for machine in planes(snapshot):
        machine.data['EtcdStatus'] = Datum(READ,
                                           next(row['status'] for row in etcd_states.statuses(state.files[output])
                                                if row['node'] == machine.address))
        lose(machine, 'EtcdAlarmList')
    found = findings(report(snapshot), 'etcd.alarm_nospace')
    assert len(found) == count
    assert all(e['source'] == 'EtcdStatus' for f in found for e in f['evidence'])


# -- etcd that does not start -----------------------------------------------------------------------------------

def test_a_bad_argument_is_named_from_above_the_usage_text():
    judged = report(three('etcd-bad-args'))
    finding = one(judged, 'etcd.crash_loop')
    assert finding['verdict'] == 'error' and finding['nodes'] == ['cp3']
    assert 'it does not know the argument -bogus-flag' in finding['title']
    assert finding['evidence'][0]['source'] == 'log etcd'
    assert one(judged, 'etcd.members_not_answering')['because_of'] == [finding['id']]
    assert roots(judged) == {finding['id']}
    assert section(judged, 'etcd.some_pre') == 'ok'


def image_pull(name):
    if name != 'etcd-image-pull-late':
        return three(name)
    snapshot, state = three('etcd-image-pull-retrying'), State(name)
    cp3 = node(snapshot, 'cp3')
    cp3.data['ServiceList'] = Datum(READ, {'services': [etcd_service(state.files['service_etcd.out'], state.at('service_etcd'))]})
    cp3.logs['machined'] = Datum(READ, without_prefix(state.files['logs_machined.out']))
    snapshot.taken_at = snapshot.finished_at = state.now
    return snapshot


@pytest.mark.parametrize('name, state', [
    ('etcd-image-pull-retrying', 'Preparing'), ('etcd-image-pull-late', 'Preparing'), ('etcd-image-pull-failed', 'Failed')])
def test_a_missing_image_is_the_same_finding_before_and_after_talos_gives_up(name, state):
    judged = report(image_pull(name))
    finding = one(judged, 'etcd.stuck_in_pre')
    assert finding['id'] == 'etcd.stuck_in_pre/id-cp3' and finding['verdict'] == 'error' and finding['section'] == 'etcd.some_pre'
    assert f'state {state}' in finding['title'] and 'registry.k8s.io/etcd:v3.6.99 cannot be pulled' in finding['title']
    assert ('reboot this node' in finding['next_step']) == (state == 'Failed')
    assert one(judged, 'etcd.members_not_answering')['because_of'] == [finding['id']]
    assert roots(judged) == {finding['id']}


def single(name, label, address, service, machine_status, log):
    state = State(name)
    machine = Machine(key=f'id-{label}', address=address, addresses=[address], name=label, type=model.CONTROL_PLANE, answered=True)
    etcd_states.fill(machine, etcd_service(state.files[service], state.at(service)), machine_status=state.files[machine_status])
    machine.logs['machined'] = Datum(READ, without_prefix(state.files[log]))
    return etcd_states.snapshot(name, [machine])


def test_the_only_etcd_without_an_image_is_all_of_them():
    judged = report(single('metal-etcd-image-bad', 'm1', '10.5.0.9', 'service_etcd_run2.out', 'get_machinestatus_-o_yaml_run2.out',
                           'logs_machined_run2.out'))
    finding = one(judged, 'etcd.all_in_pre')
    assert finding['verdict'] == 'critical' and finding['section'] == 'etcd.all_pre'
    assert 'registry.k8s.io/etcd:v3.6.99 cannot be pulled (404 Not Found)' in finding['title']
    assert one(judged, 'etcd.quorum_lost')['because_of'] == [finding['id']]
    assert roots(judged) == {finding['id']}


# -- not bootstrapped -------------------------------------------------------------------------------------------

def pre_bootstrap(*entries):
    snapshot = single('pre-bootstrap', 'cp1', '10.5.0.2', 'service_etcd.out', 'get_machinestatus_-o_yaml.out', 'logs_machined.out')
    state = State('pre-bootstrap')
    spec = next(iter(yaml.safe_load_all(state.files['get_etcdspec_-o_yaml.out'])))['spec']
    snapshot.machines[0].data['EtcdSpecs'] = Datum(READ, [{'id': 'etcd', 'spec': spec}])
    if entries:
        snapshot.machines[0].data['EtcdDirectory'] = Datum(READ,
                                                           [{'name': f'/var/lib/etcd/{e}', 'relative_name': e, 'error': ''}
                                                            for e in entries])
    return snapshot


def test_not_bootstrapped_is_one_finding():
    judged = report(pre_bootstrap('.'))
    assert faults(judged) == {'etcd.not_bootstrapped/cluster'}
    assert findings(judged) == [one(judged, 'etcd.not_bootstrapped')]
    finding = one(judged, 'etcd.not_bootstrapped')
    assert finding['verdict'] == 'critical' and finding['root'] and finding['remedy'] == {'name': 'bootstrap', 'args': {}}
    assert 'exactly one' in finding['next_step'] and '10.5.0.2' in finding['next_step']
    assert finding['evidence'][0]['text'].startswith('[talos] etcd is waiting to join the cluster')


def test_bootstrap_is_not_proposed_when_the_data_directory_was_not_seen():
    finding = one(report(pre_bootstrap()), 'etcd.not_bootstrapped')
    assert finding['verdict'] == 'critical' and finding['remedy'] is None
    assert 'could not be seen' in finding['means'] and 'only then bootstrap' in finding['next_step']


def test_bootstrap_is_never_proposed_where_there_is_data():
    finding = one(report(pre_bootstrap('.', 'member')), 'etcd.not_bootstrapped')
    assert finding['verdict'] == 'critical' and finding['remedy'] is None
    assert 'although cp1 holds etcd data' in finding['title'] and finding['next_step'].startswith('Do not bootstrap.')


# -- members ----------------------------------------------------------------------------------------------------

def test_members_that_have_just_joined_are_no_fault():
    state = State('etcd-joining')
    machines = []
    for label, address in etcd_states.CONTROL_PLANES.items():
        machine = Machine(key=f'id-{label}', address=address, addresses=[address], name=label, type=model.CONTROL_PLANE, answered=True)
        etcd_states.fill(machine, etcd_service(state.files['service_etcd.out'], state.at('service_etcd'), node=address),
                         members=state.files['etcd_members.out'], status=state.files['etcd_status_all.out'])
        machines.append(machine)
    judged = report(etcd_states.snapshot('etcd-joining', machines))
    assert faults(judged) == set()
    assert section(judged, 'etcd.some_pre') == 'ok' and section(judged, 'etcd.quorum_lost') == 'ok'


def test_a_removed_member_is_the_root_of_the_even_number():
    snapshot, state = three('etcd-bad-args'), State('etcd-member-removed')
    cp3 = node(snapshot, 'cp3')
    cp3.data['ServiceList'] = Datum(READ, {'services': [etcd_service(state.files['service_etcd_cp3.out'], state.at('service_etcd_cp3'))]})
    cp3.logs['etcd'] = Datum(READ, without_prefix(state.files['logs_etcd_cp3.out']))
    for machine in planes(snapshot)[:2]:
        machine.data['EtcdMemberList'] = Datum(READ, {'members': etcd_states.member_list(state.files['etcd_members.out'])})
    snapshot.taken_at = snapshot.finished_at = state.now
    judged = report(snapshot)
    finding = one(judged, 'etcd.crash_loop')
    assert finding['verdict'] == 'error' and 'its member was removed from the cluster, and its data stayed' in finding['title']
    assert 'reset --system-labels-to-wipe EPHEMERAL' in finding['next_step'] and '10.5.0.4' in finding['next_step']
    even = one(judged, 'etcd.even_member_count')
    assert even['verdict'] == 'warning' and even['because_of'] == [finding['id']]
    assert roots(judged) == {finding['id']}
    assert verdict_of(judged, 'etcd.member_stale') == 'ok'


# -- history is not the present ---------------------------------------------------------------------------------

def test_the_log_of_a_healthy_bootstrap_is_history():
    snapshot = recording()
    for machine in planes(snapshot):
        machine.logs['machined'] = Datum(READ, without_prefix(State('fresh-cluster').files['logs_machined_3.out']))
    assert 'etcd is waiting to join' in planes(snapshot)[0].log('machined').value
    assert faults(report(snapshot)) == set()
