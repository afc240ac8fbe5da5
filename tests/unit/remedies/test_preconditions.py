# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The preconditions of remedies as pure functions: one gathered snapshot, in which one thing after the other is otherwise or was not read."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.settings import Settings
from ansible_collections.talosops.talos.plugins.module_utils.remedies import client_endpoints, live, serving_csr, stale_node
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.machines import kubernetes_machine_id
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access
from tests.simulator import kubernetes_csrs
from tests.unit.remedies.simulated import bed

GONE = {'ready': 'Unknown', 'since': '-3h', 'internal_ip': '10.5.0.29'}
CSR = {'name': 'csr-right', 'signer': kubernetes_csrs.SERVING, 'username': 'system:node:w-1', 'dns': ['w-1'], 'ips': ['10.5.0.21'], 'age': '20m',
       'state': 'Pending'}


@pytest.fixture(scope='module')
def gathered():
    state = {'k8s': {'nodes': {**dict.fromkeys(('cp-1', 'cp-2', 'cp-3', 'w-1', 'w-2'), 'Ready'), 'w-9': GONE}, 'csrs': [CSR]}}
    with bed(state) as one:
        found = access.find({'talosconfig': str(one.cluster.directory / 'talosconfig')})
        return access.gather({'access': found, 'timeout': 10.0, 'deadline': 60.0}, None)


@pytest.fixture
def snapshot(gathered):
    return copy.deepcopy(gathered)


def view(snapshot, **settings):
    return View(snapshot, Settings({}, **settings))


def data(snapshot):
    return snapshot.kubernetes['data']


def node(snapshot, name='w-9'):
    return next(each for each in data(snapshot)['nodes'].value if each['name'] == name)


def machine(snapshot, name):
    return next(each for each in snapshot.machines if each.name == name)


def objections(snapshot, talosconfig_nodes=(), **settings):
    return ' '.join(stale_node.objections(view(snapshot, **settings), node(snapshot), talosconfig_nodes))


def unread(_datum=None):
    return Datum('refused', reason='forbidden')


def test_nothing_speaks_against_a_node_that_is_stale(snapshot):
    assert objections(snapshot) == '' and live.not_writing(view(snapshot)) is None


def test_a_node_that_a_controller_made_is_left_to_it(snapshot):
    node(snapshot)['annotations']['cluster.x-k8s.io/machine'] = 'w-9'
    assert objections(snapshot) == 'Cluster API made this Node and removes it: look there why it has not.'


def test_who_else_wants_it(snapshot):
    assert objections(snapshot, ('W-9',)) == 'The talosconfig names w-9 among the nodes of this cluster.'
    address = stale_node.addresses(node(snapshot))[0]
    assert objections(snapshot, expected_nodes=(address,)) == f'{address} is among the expected nodes.'


def test_its_lease_and_the_time_of_its_condition(snapshot):
    lease = next(each for each in data(snapshot)['leases'].value if each['name'] == 'w-9')
    before, lease['renewed'] = lease['renewed'], snapshot.finished_at
    assert 'Its kubelet renewed its lease 0 s ago.' == objections(snapshot)
    lease['renewed'] = before
    for condition in node(snapshot)['conditions']:
        condition['lastTransitionTime'] = None
    assert objections(snapshot) == 'Since when Node w-9 has not been Ready is not known.'


@pytest.mark.parametrize('likeness', ['machine id', 'name', 'address'])
def test_a_machine_that_answers_and_is_like_it(snapshot, likeness):
    other = machine(snapshot, 'w-2')
    if likeness == 'machine id':
        node(snapshot)['machine_id'] = kubernetes_machine_id(other.key)
        said = 'w-2 answers, and is the machine of this Node: it has its machine id.'
    elif likeness == 'name':
        other.data['HostnameStatuses'].value[0]['spec']['hostname'] = 'W-9'
        said = 'w-2 answers, and has w-9 as this Node has.'
    else:
        address = stale_node.addresses(node(snapshot))[0]
        other.data['AddressStatuses'].value[0]['spec']['address'] = f'{address}/24'
        said = f'w-2 answers, and has {address} as this Node has.'
    assert objections(snapshot) == said


@pytest.mark.parametrize('kind, said', [
    ('Nodenames', 'Whether cp-1 is the machine of this Node was not read ('), ('AddressStatuses', 'Whether cp-1 is the machine of this Node was not read ('),
    ('EtcdMemberList', 'Whether it is an etcd member was not read ('), ('Members', 'Whether discovery knows its machine was not read ('),
    ('EtcdStatus', 'The Kubernetes API does not take writes for certain: no etcd member was seen to know a leader ('),
])
def test_what_was_not_read_of_machines_speaks_against_it(snapshot, kind, said):
    for each in snapshot.machines:
        if kind in each.data:
            each.data[kind] = unread(each.data[kind])
    assert said in objections(snapshot)


def test_whether_the_api_takes_writes(snapshot):
    leases, servers = data(snapshot)['leases'], snapshot.kubernetes['servers']
    data(snapshot)['leases'] = unread(leases)
    assert live.not_writing(view(snapshot)).startswith('whether the API takes writes was not seen, because the leases of the Nodes were not read (')
    data(snapshot)['leases'] = Datum('read', [])
    assert live.not_writing(view(snapshot)) == 'no kubelet has a lease, so the API was not seen to take writes'
    data(snapshot)['leases'] = Datum('read', [{**each, 'renewed': '2026-01-01T00:00:00Z'} for each in leases.value])
    assert live.not_writing(view(snapshot)).startswith('no kubelet has renewed its lease for ')
    data(snapshot)['leases'] = leases
    data(snapshot)['readyz'].value['status'] = 500
    assert live.not_writing(view(snapshot)) is None, 'an API server of its own is ready'
    for datum in servers.values():
        datum.value['status'] = 500
    assert live.not_writing(view(snapshot)) == 'no API server says that it is ready (it answers 500)'
    data(snapshot)['nodes'] = unread()
    assert live.not_writing(view(snapshot)).startswith('Kubernetes was not read (')


def test_what_came_from_its_address(snapshot):
    stale = node(snapshot)
    dead = [('10.5.0.29', 50000, 'from here', None), ('10.5.0.29', 10250, 'from here', None)]
    assert stale_node.alive(stale, dead) is None
    assert stale_node.alive(stale, dead[1:]) == 'Whether a machine answers at the address of Node w-9 could not be tried.'
    assert stale_node.alive(stale, [*dead, ('10.5.0.29', 50000, 'through cp-1', 'Version was answered')]) == (
        'Something answers on 10.5.0.29, port 50000, asked through cp-1: Version was answered.')


def test_requests_that_somebody_else_decides_about_or_that_could_not_be_judged(snapshot):
    def verdict():
        [row] = serving_csr.rows(view(snapshot))
        return row.verdict, row.why

    assert verdict() == ('approve', ())
    node(snapshot, 'w-1')['labels']['cluster.x-k8s.io/owner'] = 'x'
    assert verdict() == ('hold', ('Cluster API manages this Node, and decides about its requests',))
    del node(snapshot, 'w-1')['labels']['cluster.x-k8s.io/owner']
    for each in snapshot.machines:
        if 'NodeIPConfigs' in each.data:
            each.data['NodeIPConfigs'] = unread()
    assert verdict() == ('hold', ('the virtual IPs were not read, which no kubelet may be certified for',))
    data(snapshot)['csrs'] = unread()
    with pytest.raises(TalosError, match='^Which requests there are could not be read: '):
        serving_csr.rows(view(snapshot))


def test_control_plane_nodes_that_are_not_known_for_sure(snapshot):
    def refused(match):
        with pytest.raises(TalosError, match=f'^Not all control plane nodes are known for sure: {match}'):
            client_endpoints.for_sure(view(snapshot))

    assert [each.name for each in client_endpoints.for_sure(view(snapshot))] == ['cp-1', 'cp-2', 'cp-3']
    other = machine(snapshot, 'w-2')
    other.type = 'unknown'
    refused('whether w-2 is a control plane node was not read')
    other.type = 'worker'
    lists = [each.data['EtcdMemberList'] for each in snapshot.machines if each.data.get('EtcdMemberList') and each.data['EtcdMemberList'].ok]
    for datum in lists:
        datum.value['members'].append({'id': '9' * 16, 'hostname': 'cp-9', 'peer_urls': ['https://10.9.9.9:2380'], 'is_learner': False})
    refused('the etcd member 9999999999999999 .* is on no machine that is known')
    for each in snapshot.machines:
        if 'Members' in each.data:
            each.data['Members'] = unread()
    refused('who is a member was not read')
    for each in snapshot.machines:
        each.answered = False
    refused('none answered')
