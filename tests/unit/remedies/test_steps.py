# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step of each remedy: what it would do, on what it rests, and why not. One snapshot, in which one thing after the other is otherwise."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import plan
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import BACKUP_DIR, ETCD_SNAPSHOT
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from ansible_collections.talosops.talos.plugins.module_utils.tasks import judged
from ansible_collections.talosops.talos.plugins.module_utils.tasks.arguments import SPECS
from tests.unit.remedies import planned
from tests.unit.remedies.planned import LIVE, STALE, build, healthy, machine, node, snapshot, step, take, view

CERTSANS = 'balanced'


def one(snap, remedy, target, args=None):
    return plan.one(view(snap), remedy, target, args)


def certsans_args(snap):
    finding = next(each for each in build_findings(snap) if (each['remedy'] or {}).get('name') == 'talos_certsans')
    return finding['remedy']['args']


def build_findings(snap):
    return judged.anew(snap, judged.settings({}))['findings']


# -- what a step says ------------------------------------------------------------------------------------------------

def test_the_plan_of_a_cluster_that_needs_everything():
    steps = build(snapshot())
    assert [(each['remedy'], each['target'], each['after'], each['refused']) for each in steps if not each['by_hand']] == [
        ('etcd_stale_member', STALE, [], None), ('etcd_nospace', 'etcd', [1], None), ('kubelet_serving_csr', 'csr-right', [2], None),
        ('stale_node', 'cp-3', [1, 2], None), ('kubelet_restart', 'w-2', [], None), ('client_endpoints', 'prod', [], None)]
    assert [each['step'] for each in steps] == list(range(1, len(steps) + 1))


@pytest.mark.parametrize('name', sorted(planned.STATES))
def test_every_step_can_be_done_as_it_is_told(name):
    """Its module has the options, and a person reads evidence, preconditions, what will be so, how it is seen, and the way back."""
    for each in build(snapshot(name)):
        if each['by_hand']:
            assert each['do'] and each['verify'] and not each['actions'] and each['digest'] is None
            continue
        assert each['title'] and each['evidence'] and each['preconditions'] and each['predicted'] and each['verify'] and each['way_back'] and each['findings']
        assert each['rests_on'] and each['actions'] and len(each['digest']) == 16 and each['do']
        for action in each['actions']:
            assert set(action['options']) <= set(SPECS[action['module']]['argument_spec']), action
        assert each['needs_backup'] == any(value in (BACKUP_DIR, ETCD_SNAPSHOT) for action in each['actions'] for value in action['options'].values())


def test_the_request_for_a_serving_certificate():
    made = step(build(snapshot()), 'kubelet_serving_csr')
    assert made['actions'] == [{'does': 'Approve the request csr-right', 'module': 'talos_kubernetes_csr', 'options': {'csrs': ['csr-right']}}]
    assert made['predicted'] == {'request': ['Pending', 'Approved,Issued'], 'node': 'w-1'} and not made['needs_backup']
    assert made['rests_on']['dns'] == ['w-1'] and made['rests_on']['ips'] == [planned.address('w-1')] and made['rests_on']['uid']
    assert made['evidence'][2] == 'all of that is of this machine, as the Talos API tells it'


def test_the_stale_node():
    snap = snapshot()
    made, found = step(build(snap), 'stale_node'), node(snap, 'cp-3')
    assert made['actions'][0]['options'] == {'name': 'cp-3', 'uid': found['uid'], 'backup_dir': BACKUP_DIR} and made['needs_backup']
    assert made['predicted']['nodes'] == [6, 5]
    assert set(made['rests_on']) == {'name', 'uid', 'machine_id', 'addresses'}
    assert 'that is tried right before' in made['preconditions'][0] and 'looked at right before' in made['preconditions'][1]


def test_the_kubelet():
    snap = snapshot()
    made = step(build(snap), 'kubelet_restart')
    assert made['actions'][0]['options'] == {'node': planned.address('w-2'), 'service': 'kubelet', 'state': 'restarted', 'only_unhealthy': True}
    assert made['rests_on']['machine'] == machine(snap, 'w-2').key and made['rests_on']['booted']
    assert 'etcd' in made['predicted']['goes_on']


def test_a_kubelet_that_runs_and_has_lost_its_node_is_restarted_in_any_case():
    snap = snapshot(CERTSANS)
    data = snap.kubernetes['data']['nodes']
    data.value = [each for each in data.value if each['name'] != 'w-1']
    machine(snap, 'w-1').data['NodeStatuses'] = Datum('read', [])
    made = step(build(snap), 'kubelet_restart', 'w-1')
    assert made['actions'][0]['options']['only_unhealthy'] is False and made['evidence'] == ['the kubelet of w-1 is Running and healthy']


def test_a_kubelet_that_talos_has_given_up_is_repaired_by_hand_before():
    snap = snapshot()
    for service in machine(snap, 'w-2').value('ServiceList')['services']:
        if service['id'] == 'kubelet':
            service['state'] = 'Failed'
    steps = build(snap)
    restart = step(steps, 'kubelet_restart')
    before = next(each for each in steps if each['by_hand'] and each['verify'] == ['the check kubelet.not_running finds nothing any more'])
    assert before['step'] < restart['step'] and before['remedy'] is None
    assert restart['preconditions'][1] == 'what has kept it from starting was repaired by hand'


def test_two_machines_of_one_name_are_told_apart_by_their_address():
    snap = snapshot()
    machine(snap, 'w-1').name = 'w-2'
    assert [each['target'] for each in build(snap) if each['remedy'] == 'kubelet_restart'] == [planned.address('w-2')]


def test_the_endpoints():
    snap = snapshot()
    made, planes = step(build(snap), 'client_endpoints'), [planned.address(name) for name in planned.PLANES]
    assert made['predicted']['endpoints'] == [[planned.address('cp-1'), planned.address('w-1')], planes]
    assert made['rests_on']['control_planes'] == sorted(planes) and made['actions'][0]['options'] == {'backup': True}


def test_the_names_in_certificates():
    snap = snapshot(CERTSANS)
    made = step(build(snap), 'talos_certsans')
    assert made['actions'][0]['options'] == {'names': [made['target']], 'lists': ['machine'], 'backup_dir': BACKUP_DIR, 'confirm': []}
    assert made['predicted']['configuration'] == {name: {'machine.certSANs': f'+ {made["target"]}'} for name in planned.PLANES}
    assert made['rests_on'] == {'name': made['target'], 'missing': {machine(snap, name).key: ['machine'] for name in planned.PLANES}}


def test_lists_that_several_findings_name_are_one_step():
    snap = snapshot(CERTSANS)
    findings = build_findings(snap)
    asked = next(each for each in findings if (each['remedy'] or {}).get('name') == 'talos_certsans')
    other = {**asked, 'id': 'other/1', 'remedy': {'name': 'talos_certsans', 'args': {**asked['remedy']['args'], 'lists': ['api_server']}}}
    made = step(plan.build(view(snap), [*findings, other]), 'talos_certsans')
    assert made['actions'][0]['options']['lists'] == ['machine', 'api_server'] and made['findings'] == [asked['id'], 'other/1']


def test_talos_1_9_does_not_tell_what_is_staged():
    snap = snapshot(CERTSANS)
    machine(snap, 'cp-2').value('Version')['version']['tag'] = 'v1.9.5'
    made = step(build(snap), 'talos_certsans')
    assert made['confirm'] == made['actions'][0]['options']['confirm'] == ['overwrite what may be staged on prod, unseen']


def test_endpoints_wait_for_the_name_of_the_balancer():
    snap = snapshot(CERTSANS)
    machine(snap, 'cp-2').type = 'controlplane'
    snap.client['endpoints'] = [planned.address('w-1', CERTSANS), *snap.client['endpoints'][3:]]
    snap.endpoints[0].host = snap.endpoints[0].text = planned.address('w-1', CERTSANS)
    snap.endpoints[0].machine = machine(snap, 'w-1').key
    snap.endpoints[0].data['MachineTypes'] = Datum('read', [{'id': 'machine-type', 'spec': 'worker'}])
    made = step(build(snap), 'client_endpoints')
    assert 'is seen only once its certificates name that' in made['refused']


# -- of one control plane node ---------------------------------------------------------------------------------------

def test_one_control_plane_node_needs_the_outage_to_be_agreed_to():
    steps = build(snapshot('alone'))
    made = step(steps, 'etcd_nospace')
    assert made['refused'] is None and made['confirm'] == ['block etcd of prod while it is defragmented']
    assert made['predicted']['blocked_meanwhile'] == 'all of etcd'
    assert [step(steps, remedy)['after'] for remedy in ('kubelet_serving_csr', 'stale_node')] == [[made['step']], [made['step']]]


# -- targets that no finding names -----------------------------------------------------------------------------------

@pytest.mark.parametrize('remedy, target, words', [
    ('etcd_stale_member', LIVE, 'it is alive: cp-3b says that it is this member'),
    ('etcd_stale_member', 'cp-3b', 'a member is named by its id of 16 hexadecimal digits'),
    ('etcd_defragment', 'etcd', 'the alarm NOSPACE stands: the remedy etcd_nospace defragments, and disarms it'),
    ('kubelet_serving_csr', 'csr-stranger', 'it must not be approved: no machine is known whose Node is w-7'),
    ('stale_node', 'w-1', 'Node w-1 is Ready'),
    ('stale_node', 'w-2', 'w-2 answers, and has'),
    ('stale_node', 'cp-3', 'it is the etcd member 3333333333333333'),
    ('kubelet_restart', 'w-1', 'its kubelet is Running and healthy, and no finding asks for it'),
    ('talos_certsans', 'lb.example.net', 'nobody dials lb.example.net'),
])
def test_a_target_that_no_finding_names(remedy, target, words):
    assert words in one(snapshot(), remedy, target)['refused']


@pytest.mark.parametrize('remedy, target', [
    ('etcd_stale_member', '9999999999999999'), ('etcd_nospace', 'cp-1'), ('etcd_defragment', STALE), ('kubelet_serving_csr', 'csr-none'),
    ('stale_node', 'w-77'), ('kubelet_restart', 'w-77'), ('client_endpoints', 'other'), ('talos_certsans', ' '),
])
def test_what_can_be_no_target(remedy, target):
    with pytest.raises(InputError):
        one(snapshot(), remedy, target)


def test_nothing_speaks_against_it_and_still_nobody_asks_for_it():
    snap = healthy(snapshot('alone'))
    for remedy, target in (('stale_node', 'w-9'), ('kubelet_serving_csr', 'csr-right')):
        assert one(snap, remedy, target)['refused'] == 'no finding asks for it'


# -- data taken away -------------------------------------------------------------------------------------------------

ARGS = {'etcd_stale_member': {'member_id': STALE}, 'etcd_nospace': {}, 'kubelet_serving_csr': {'csr': 'csr-right'}}


@pytest.mark.parametrize('remedy, kind, words', [
    ('etcd_stale_member', 'EtcdMemberList', 'no control plane node gave the list'),
    ('etcd_stale_member', 'EtcdStatus', 'knows a leader'),
    ('etcd_stale_member', 'TimeStatuses', 'clock'), ('etcd_stale_member', 'MachineStatuses', 'stage'),
    ('etcd_nospace', 'EtcdAlarmList', 'no member gave the list of alarms'), ('etcd_nospace', 'EtcdSpecs', 'quota'),
    ('etcd_nospace', 'Mounts', 'room on the disk'),
    ('etcd_nospace', 'EtcdMemberList', 'no control plane node gave the list'), ('etcd_nospace', 'MachineStatuses', 'stage'),
    ('etcd_nospace', 'ServiceList', 'is not healthy'),
    ('kubelet_serving_csr', 'csrs', 'could not be read'), ('kubelet_serving_csr', 'AddressStatuses', 'the machine was not read'),
    ('kubelet_serving_csr', 'NodeIPConfigs', 'virtual IPs'),
    ('kubelet_serving_csr', 'nodes', 'which Nodes there are could not be read'), ('kubelet_serving_csr', 'leases', 'leases of the Nodes were not read'),
    ('stale_node', 'nodes', 'the Nodes were not read'), ('stale_node', 'Members', 'discovery'), ('stale_node', 'EtcdMemberList', 'etcd member'),
    ('stale_node', 'Nodenames', 'was not read'), ('stale_node', 'AddressStatuses', 'was not read'),
    ('kubelet_restart', 'ServiceList', 'were not read'), ('kubelet_restart', 'MachineStatuses', 'stage'),
    ('client_endpoints', 'EtcdMemberList', 'no etcd member list was read'), ('client_endpoints', 'Members', 'who is a member was not read'),
    ('client_endpoints', 'NodeIPConfigs', 'virtual IPs were not read'),
])
def test_what_was_not_read_refuses(remedy, kind, words):
    """Without the alarm, so that nothing is put off: Kubernetes is asked whether it takes writes, too."""
    snap = snapshot() if remedy.startswith('etcd') else healthy(snapshot())
    args = {**ARGS, 'stale_node': {'name': 'cp-3', 'uid': node(snap, 'cp-3')['uid']}, 'kubelet_restart': {'node': machine(snap, 'w-2').key},
            'client_endpoints': {'context': 'prod'}}[remedy]
    target = {'etcd_stale_member': STALE, 'etcd_nospace': 'etcd', 'kubelet_serving_csr': 'csr-right', 'stale_node': 'cp-3', 'kubelet_restart': 'w-2',
              'client_endpoints': 'prod'}[remedy]
    take(snap, kind)
    if kind == 'AddressStatuses':
        take(snap, 'NodeAddresses')
    refused = one(snap, remedy, target, args)['refused']
    assert refused and (words is None or words in refused), refused


@pytest.mark.parametrize('kind, words', [
    ('certificate', 'certificate'), ('NodeIPConfigs', 'virtual IP'), ('EtcdMemberList', 'no control plane node gave the list'), ('MachineStatuses', 'stage')])
def test_what_was_not_read_refuses_a_name_in_a_certificate(kind, words):
    snap = snapshot(CERTSANS)
    target, args = step(build(snap), 'talos_certsans')['target'], certsans_args(snap)
    take(snap, kind)
    if kind == 'certificate':
        for other in ('CertSANs', 'MachineConfigs'):
            take(snap, other)
    assert words in one(snap, 'talos_certsans', target, args)['refused']


# -- what keeps it from being done -----------------------------------------------------------------------------------

def test_a_node_that_is_another_one_by_now():
    snap = healthy(snapshot())
    refused = one(snap, 'stale_node', 'cp-3', {'name': 'cp-3', 'uid': 'another'})['refused']
    assert refused.startswith(f'the Node cp-3 has the uid {node(snap, "cp-3")["uid"]}, and is another one than was found')


def test_a_machine_that_is_another_one_by_now():
    assert 'is another machine than was found' in one(snapshot(), 'kubelet_restart', 'w-2', {'node': 'another'})['refused']


@pytest.mark.parametrize('stage', ['upgrading', 'rebooting', 'resetting', 'installing'])
def test_a_machine_that_is_being_changed_is_left_alone(stage):
    snap = snapshot()
    for item in machine(snap, 'w-2').value('MachineStatuses'):
        item['spec']['stage'] = stage
    refused = one(snap, 'kubelet_restart', 'w-2', {'node': machine(snap, 'w-2').key})['refused']
    assert refused == f'w-2 is {stage}: leave it alone until that has ended'


def test_a_request_that_was_issued():
    snap = snapshot()
    csr = next(each for each in snap.kubernetes['data']['csrs'].value if each['name'] == 'csr-right')
    csr['issued'] = True
    assert one(snap, 'kubelet_serving_csr', 'csr-right', {'csr': 'csr-right'})['refused'].startswith('its certificate was issued already')


def test_a_talosconfig_that_is_no_file():
    snap = snapshot()
    snap.client['source'] = 'content'
    assert step(build(snap), 'client_endpoints')['refused'] == 'the talosconfig was given as content, so there is no file to change'


def test_endpoints_that_were_not_dialled():
    snap = snapshot()
    snap.endpoints = [each for each in snap.endpoints if each.host != planned.address('w-1')]
    assert 'was not dialled, because others were given' in one(snap, 'client_endpoints', 'prod', {'context': 'prod'})['refused']


def test_the_virtual_ip_is_no_name_for_apid():
    snap = snapshot(CERTSANS)
    vip = sorted(view(snap).vips)[0]
    refused = one(snap, 'talos_certsans', vip, {'names': [vip], 'nodes': [], 'lists': ['machine']})['refused']
    assert 'is the virtual IP, which the guide forbids as an endpoint of the Talos API' in refused


def test_a_name_that_is_there_already():
    snap = snapshot(CERTSANS)
    target, args = step(build(snap), 'talos_certsans')['target'], certsans_args(snap)
    for name in planned.PLANES:
        machine(snap, name).value('certificate')['ips'].append(target)
    assert one(snap, 'talos_certsans', target, args)['refused'] == f'{target} stands in the certificates already'


def test_the_alarm_is_left_where_defragmentation_does_not_gain_enough():
    snap = snapshot('alone')
    for each in snap.machines:
        if each.datum('EtcdStatus').ok:
            each.value('EtcdStatus').update(db_size=2100 * 1024 ** 2, db_size_in_use=1800 * 1024 ** 2)
    made = step(build(snap), 'etcd_nospace')
    assert 'would have after a defragmentation still 1800 MiB' in made['refused'] and 'delete what grew or raise quota-backend-bytes first' in made['refused']


def test_a_second_alarm_is_no_obstacle_that_the_first_step_cures():
    """CORRUPT stands: nothing is planned as if etcd took writes by then."""
    snap = snapshot()
    for each in snap.machines:
        if each.datum('EtcdAlarmList').ok:
            each.value('EtcdAlarmList')['member_alarms'].append({'member_id': LIVE, 'alarm': 'CORRUPT'})
    steps = build(snap)
    for remedy in ('etcd_stale_member', 'etcd_nospace', 'kubelet_serving_csr', 'stale_node'):
        assert 'CORRUPT' in step(steps, remedy)['refused'] and step(steps, remedy)['after'] == []


def test_a_member_that_is_not_removed_cures_nothing():
    """Where its removal is refused, what needs it is refused too."""
    snap = snapshot()
    for each in snap.machines:
        for item in each.value('TimeStatuses') or []:
            item['spec']['synced'] = False
    steps = build(snap)
    assert 'not in sync' in step(steps, 'etcd_stale_member')['refused']
    assert 'cp-3' in step(steps, 'etcd_nospace')['refused'] and step(steps, 'etcd_nospace')['after'] == []
    assert 'it is the etcd member' in step(steps, 'stale_node')['refused']
