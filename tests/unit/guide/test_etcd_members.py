# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stale member is known by its id and its peer address, never by its name, and a live one is never called stale."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import etcd
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import judge
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Machine
from tests.unit.guide.judging import (
    READ, add_member, faults, findings, lose, members_of, node, old, one, planes, preparing, recording, report, set_service, unreachable, verdict_of,
)

OLD = '3333333333333333'
GONE = '10.5.0.13'


def with_old_member(snapshot, hostname='cp-3', address=GONE, known_from=('etcd', 'kubernetes', 'talosconfig'), **more):
    """A fourth member whose machine does not answer, as a gather finds it."""
    add_member(snapshot, OLD, hostname, address, **more)
    machine = Machine(address, address, [address], hostname or None, 'controlplane', list(known_from))
    machine.unreachable = {'kind': 'node_unreachable', 'text': f'dial tcp {address}:50000: no route to host', 'via': '10.5.0.2', 'at': None}
    snapshot.machines.append(machine)
    return machine


def in_discovery(snapshot, address, kind='Members'):
    for machine in snapshot.answering():
        machine.value(kind).append({'id': 'x', 'spec': {'nodeId': 'x', 'machineType': 'controlplane', 'addresses': [address]}})


def test_a_member_without_a_machine_is_stale():
    snapshot = old()
    with_old_member(snapshot)
    judged = report(snapshot)
    finding = one(judged, 'etcd.member_stale')
    assert finding['id'] == f'etcd.member_stale/{OLD}' and finding['verdict'] == 'error' and finding['section'] == 'etcd.other'
    assert finding['nodes'] == ['cp-3']
    assert '4 voters, 3 answer, quorum 3, no further failure is tolerated' in finding['title']
    assert finding['remedy'] == {'name': 'etcd_stale_member', 'args': {'member_id': OLD}}
    assert finding['root'] and f'remove-member {OLD}' in finding['next_step']
    for check in ('etcd.members_not_answering', 'etcd.even_member_count'):
        assert one(judged, check)['because_of'] == [finding['id']]
    assert judged['sections']['etcd.quorum_lost']['verdict'] == 'ok'


def test_peers_that_complain_now_are_evidence_and_old_complaints_are_not():
    snapshot = recording()
    for machine in planes(snapshot):
        machine.value('MachineStatuses')[0]['created'] = '2026-11-20T00:00:00Z'
    with_old_member(snapshot)
    line = ('{"level":"warn","ts":"%s","msg":"prober detected unhealthy status","remote-peer-id":"' + OLD +
            '","error":"dial tcp 10.5.0.13:2380: no route to host"}\n')
    node(snapshot, 'cp1').logs['etcd'].value += line % '2026-11-22T10:17:00Z'
    node(snapshot, 'cp2').logs['etcd'] = Datum(READ, line % '2026-11-22T08:17:00Z')
    evidence = [e for e in one(report(snapshot), 'etcd.member_stale')['evidence'] if e['source'] == 'log etcd']
    assert [e['node'] for e in evidence] == ['cp1']
    assert evidence[0]['at'] == '2026-11-22T10:17:00.000Z'


@pytest.mark.parametrize('kind', ['Members', 'Affiliates'])
def test_a_machine_that_discovery_lists_is_down_and_not_stale(kind):
    snapshot = old()
    with_old_member(snapshot)
    in_discovery(snapshot, GONE, kind)
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.member_stale') == 'ok'
    assert one(judged, 'etcd.members_not_answering')['verdict'] == 'warning'


@pytest.mark.parametrize('blind', ['disabled', 'refused', 'young'])
def test_without_a_word_of_discovery_it_is_unknown(blind):
    snapshot = recording() if blind == 'young' else old()
    with_old_member(snapshot)
    for machine in planes(snapshot):
        if blind == 'disabled':
            machine.data['Affiliates'] = Datum(READ, [])
            machine.data['Members'] = Datum(READ, [])
        elif blind == 'refused':
            lose(machine, 'Affiliates', 'refused')
    finding = one(report(snapshot), 'etcd.member_stale')
    assert finding['verdict'] == 'unknown' and finding['remedy'] is None


def test_a_machine_that_the_user_expects_is_down():
    snapshot = old()
    with_old_member(snapshot)
    judged = judge(snapshot, settings.build(etcd.CHECKS, expected_nodes=[GONE]), etcd.CHECKS)
    assert verdict_of(judged, 'etcd.member_stale') == 'ok'


def test_a_node_that_kubernetes_calls_ready_is_not_gone():
    snapshot = old()
    with_old_member(snapshot)
    snapshot.kubernetes['data']['nodes'].value.append({'name': 'cp-3', 'addresses': [{'type': 'InternalIP', 'address': GONE}],
                                                       'conditions': [{'type': 'Ready', 'status': 'True'}]})
    assert one(report(snapshot), 'etcd.member_stale')['verdict'] == 'unknown'


def test_a_machine_installed_anew_has_the_old_name_and_another_id():
    snapshot = old()
    add_member(snapshot, OLD, 'cp3', '10.5.0.14')
    node(snapshot, 'cp3').addresses.append('10.5.0.14')
    finding = one(report(snapshot), 'etcd.member_stale')
    assert finding['subject'] == OLD and finding['nodes'] == ['cp3']
    assert 'cp3 at its address is member d389152f7e017226 now' in finding['title']


def test_the_same_name_alone_says_nothing():
    snapshot = old()
    for members in members_of(snapshot):
        for member in members:
            member['hostname'] = 'same'
    assert findings(report(snapshot), 'etcd.member_stale') == []


def test_a_node_that_lost_its_data_cannot_be_its_old_member():
    snapshot = old()
    cp3 = node(snapshot, 'cp3')
    preparing(snapshot, cp3)
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.member_stale') == 'ok'
    cp3.data['EtcdDirectory'] = Datum(READ, [{'name': '/var/lib/etcd', 'relative_name': '.', 'error': ''}])
    finding = one(report(snapshot), 'etcd.member_stale')
    assert finding['subject'] == 'd389152f7e017226' and 'holds no etcd data' in finding['title']


@pytest.mark.parametrize('state', ['Preparing', 'Running'])
def test_one_that_joins_has_no_name_yet_and_is_not_stale(state):
    snapshot = old()
    cp3 = node(snapshot, 'cp3')
    for members in members_of(snapshot):
        for member in members:
            if member['hostname'] == 'cp3':
                member.update(hostname='', is_learner=True)
    set_service(snapshot, cp3, state, [(20, 'Running', 'Started task etcd (PID 1) for container etcd')])
    for kind in ('EtcdStatus', 'EtcdMembers', 'EtcdMemberList', 'EtcdAlarmList'):
        lose(cp3, kind, 'absent')
    judged = report(snapshot)
    assert findings(judged, 'etcd.member_stale') == []
    assert one(judged, 'etcd.learner_stuck')['verdict'] == 'info'


def test_a_learner_without_a_machine_is_told_but_not_called_stale():
    snapshot = old()
    with_old_member(snapshot, hostname='', is_learner=True)
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.member_stale') == 'ok'
    finding = one(judged, 'etcd.learner_stuck')
    assert finding['verdict'] == 'warning' and finding['section'] == 'etcd.some_pre' and finding['remedy'] is None


def test_a_member_on_a_worker_is_stale():
    snapshot = old()
    add_member(snapshot, OLD, 'w1', '10.5.0.5')
    assert 'w1 at its address is a worker' in one(report(snapshot), 'etcd.member_stale')['title']


def test_removal_waits_for_the_other_members():
    snapshot = old()
    with_old_member(snapshot)
    lose(node(snapshot, 'cp2'), 'EtcdStatus')
    finding = one(report(snapshot), 'etcd.member_stale')
    assert finding['next_step'].startswith('Repair the other members first: only 2 of the remaining 3 answer')


def test_a_peer_address_that_the_machine_does_not_have():
    snapshot = old()
    for members in members_of(snapshot):
        members[0]['peer_urls'] = ['https://10.9.9.9:2380']
    finding = one(report(snapshot), 'etcd.member_not_control_plane')
    assert finding['verdict'] == 'warning' and '10.9.9.9' in finding['title']
    lose(node(snapshot, finding['nodes'][0]), 'NodeAddresses')
    assert one(report(snapshot), 'etcd.member_not_control_plane')['verdict'] == 'unknown'


def test_addresses_are_compared_as_addresses():
    snapshot = old()
    node(snapshot, 'cp2').addresses.append('fd00::3')
    for members in members_of(snapshot):
        for member in members:
            if member['hostname'] == 'cp2':
                member['peer_urls'] = ['https://[FD00:0::3]:2380']
    assert faults(report(snapshot)) == set()


def test_one_control_plane_node_that_is_off_is_not_stale():
    snapshot = old()
    unreachable(node(snapshot, 'cp3'))
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.member_stale') == 'ok'
    assert faults(judged) == {'etcd.members_not_answering/cluster'}
