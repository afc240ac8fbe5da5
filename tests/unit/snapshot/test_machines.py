# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import READ
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import machines as union
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Endpoint, Machine
from tests.recorded import snapshot


def member(name, node_id, addresses, kind='controlplane'):
    return {'id': name, 'spec': {'nodeId': node_id, 'addresses': addresses, 'hostname': name, 'machineType': kind}}


def endpoint(text, addresses=None, connected=True, ips=(), sha256=None):
    certificate = {'sha256': sha256 or f'sha of {text}', 'ips': list(ips), 'dns': []} if connected else None
    return Endpoint(text, text, 50000, [text] if addresses is None else addresses, connected, None, certificate)


def answered(key, address, **data):
    machine = Machine(key, address, [address], answered=True, known_from=['discovery'])
    machine.data = {kind: Datum(READ, value) for kind, value in data.items()}
    return machine


def resources(**specs):
    return [{'id': name.replace('_', '-'), 'spec': spec} for name, spec in specs.items()]


def etcd_list(*members):
    return {'members': [{'id': f'{number:016x}', 'hostname': name, 'peer_urls': [url]} for number, (name, url) in enumerate(members, 1)]}


def node(name, address, labels=(), machine_id=None):
    return {'name': name, 'addresses': [{'type': 'InternalIP', 'address': address}, {'type': 'Hostname', 'address': name}], 'labels': dict.fromkeys(labels, ''),
            'machine_id': machine_id}


def described(machines):
    return {machine.key: (machine.name, machine.address, machine.type, machine.known_from) for machine in machines}


def test_machine_ids_of_a_real_cluster_follow_from_the_node_identity():
    taken = snapshot('healthy')
    ids = {item['name']: item['machine_id'] for item in taken.kubernetes['data']['nodes'].value}
    assert {machine.name: union.kubernetes_machine_id(machine.key) for machine in taken.machines} == ids
    assert union.kubernetes_machine_id('10.5.0.2') is None


def test_members_are_merged_by_identity_over_the_endpoints():
    lists = [[member('cp-1', 'A', ['10.5.0.11'])], None, [member('cp-1', 'A', ['10.5.0.11', 'fd00::1']), member('w-1', 'B', ['10.5.0.21'], 'worker')]]
    found = union.from_members(lists)
    assert described(found) == {'A': ('cp-1', '10.5.0.11', 'controlplane', ['discovery']), 'B': ('w-1', '10.5.0.21', 'worker', ['discovery'])}
    assert found[0].addresses == ['10.5.0.11', 'fd00::1']


def test_two_members_with_one_name_are_two_machines():
    found = union.from_members([[member('cp-1', 'A', ['10.5.0.11'])], [member('cp-1', 'B', ['10.5.0.12'])]])
    assert [(m.key, m.name, m.address) for m in found] == [('A', 'cp-1', '10.5.0.11'), ('B', 'cp-1', '10.5.0.12')]


def test_a_vip_that_two_members_list_is_not_the_address_to_ask_by():
    found = union.from_members([[member('cp-1', 'A', ['10.5.0.10', '10.5.0.11']), member('cp-2', 'B', ['10.5.0.10', '10.5.0.12'])]])
    assert [m.address for m in found] == ['10.5.0.11', '10.5.0.12']


def test_an_identity_that_a_reset_left_behind_at_the_same_address_is_one_machine():
    found = union.from_members([[member('cp-3', 'old', ['10.5.0.13']), member('cp-3b', 'new', ['10.5.0.13'])]])
    assert len(found) == 1


def test_a_member_without_addresses_stays_and_is_found_by_its_endpoint():
    machines = union.from_members([[member('cp-1', 'A', [])]])
    served = endpoint('192.0.2.5')
    served.certificate['dns'] = ['cp-1']
    placed = union.place_endpoints([served], machines, 'talosconfig')
    assert placed == {'192.0.2.5': machines[0]}
    assert (machines[0].key, machines[0].address) == ('A', '192.0.2.5')
    assert len(machines) == 1


def test_endpoints_map_to_members_and_add_what_nobody_lists():
    machines = union.from_members([[member('cp-1', 'A', ['10.5.0.11'])]])
    placed = union.place_endpoints([endpoint('10.5.0.11'), endpoint('10.5.0.13', connected=False), endpoint('no.such.name', [], connected=False)],
                                   machines, 'talosconfig')
    assert {text: machine.key for text, machine in placed.items()} == {'10.5.0.11': 'A', '10.5.0.13': '10.5.0.13'}
    assert described(machines)['10.5.0.13'] == (None, '10.5.0.13', 'unknown', ['talosconfig'])
    assert machines[0].known_from == ['discovery', 'talosconfig']


@pytest.mark.parametrize('vip_listed', [True, False])
def test_a_vip_endpoint_maps_to_its_holder_and_adds_no_machine(vip_listed):
    lists = [[member('cp-1', 'A', ['10.5.0.10', '10.5.0.11'] if vip_listed else ['10.5.0.11']), member('cp-2', 'B', ['10.5.0.12'])]]
    machines = union.from_members(lists)
    placed = union.place_endpoints([endpoint('10.5.0.10', ips=['10.5.0.10', '10.5.0.11', '127.0.0.1'])], machines, 'talosconfig')
    assert placed['10.5.0.10'].key == 'A'
    assert len(machines) == 2


def test_a_vip_that_both_members_list_maps_to_the_one_whose_certificate_it_serves():
    machines = union.from_members([[member('cp-1', 'A', ['10.5.0.10', '10.5.0.11']), member('cp-2', 'B', ['10.5.0.10', '10.5.0.12'])]])
    placed = union.place_endpoints([endpoint('10.5.0.10', ips=['10.5.0.12', '10.5.0.10'])], machines, 'talosconfig')
    assert placed['10.5.0.10'].key == 'B'


def test_without_discovery_a_balancer_maps_to_the_endpoint_with_its_certificate():
    machines = []
    placed = union.place_endpoints([endpoint('10.5.0.11', sha256='one'), endpoint('lb.example.net', ['192.0.2.1'], sha256='one')], machines, 'talosconfig')
    assert placed['lb.example.net'] is placed['10.5.0.11']
    assert len(machines) == 1


def test_behind_a_proxy_a_name_without_discovery_is_asked_by_the_address_it_serves():
    machines = []
    union.place_endpoints([endpoint('cp-1.example.net', [], ips=['127.0.0.1', '10.5.0.11', '10.5.0.10'])], machines, 'talosconfig')
    assert [(machine.key, machine.address) for machine in machines] == [('10.5.0.11', '10.5.0.11')]


def test_nodes_of_the_user_are_matched_by_address_and_name():
    machines = union.from_members([[member('cp-1', 'A', ['10.5.0.11']), member('w-1', 'B', ['10.5.0.21'], 'worker')]])
    union.add_nodes(machines, ['10.5.0.11'], 'talosconfig')
    union.add_nodes(machines, ['w-1', '10.5.0.99', 'w-9'], 'options')
    assert {m.key: m.known_from for m in machines} == {
        'A': ['discovery', 'talosconfig'], 'B': ['discovery', 'options'], '10.5.0.99': ['options'], 'w-9': ['options']}


def test_one_machine_under_two_addresses_becomes_one():
    first = answered('A', '10.5.0.11', Identities=resources(local={'nodeId': 'A'}))
    second = answered('192.0.2.11', '192.0.2.11', Identities=resources(local={'nodeId': 'A'}))
    second.known_from = ['options']
    gone = union.settle([first, second], set())
    assert gone == {id(second): first}
    assert first.known_from == ['discovery', 'options']


def _twin(address):
    return answered(address, address, Identities=resources(local={'nodeId': 'A'}), NodeAddresses=resources(
        routed_no_k8s={'addresses': [f'{address}/24']}))


def test_a_cloned_disk_stays_two_machines():
    twins = [_twin('10.5.0.12'), _twin('10.5.0.11')]
    assert union.settle(twins, set()) == {}
    assert {machine.address: machine.key for machine in twins} == {'10.5.0.11': 'A', '10.5.0.12': 'A@10.5.0.12'}


def test_two_addresses_of_one_link_are_no_clones():
    first, second = _twin('10.5.0.11'), _twin('10.5.0.11')
    second.address = '192.0.2.11'
    assert union.settle([first, second], set()) == {id(second): first}


def test_a_vip_is_an_address_of_its_holder_alone():
    holder = answered('A', '10.5.0.10', AddressStatuses=resources(a={'address': '10.5.0.10/32'}, b={'address': '10.5.0.11/24'}),
                      NodeAddresses=resources(routed_no_k8s={'addresses': ['10.5.0.11/24', '10.5.0.10/32']}),
                      NodeIPConfigs=resources(kubelet={'excludeSubnets': ['10.244.0.0/16', '10.5.0.10']}))
    other = answered('B', '10.5.0.12', AddressStatuses=resources(a={'address': '10.5.0.12/24'}))
    other.addresses = ['10.5.0.12', '10.5.0.10']
    virtual = union.vips([holder, other])
    assert virtual == {'10.5.0.10'}
    union.settle([holder, other], virtual)
    assert (holder.address, holder.addresses, other.addresses) == ('10.5.0.11', ['10.5.0.11', '10.5.0.10'], ['10.5.0.12'])


def test_a_vip_that_nobody_holds_is_no_machine():
    dead = Machine('10.5.0.10', '10.5.0.10', ['10.5.0.10'], known_from=['talosconfig'])
    assert union.settle([answered('A', '10.5.0.11'), dead], {'10.5.0.10'}) == {id(dead): None}


def test_names_and_types_come_from_the_machine_itself():
    machine = answered('A', '10.5.0.11', Nodenames=resources(nodename={'nodename': 'cp-1'}), MachineTypes=resources(machine_type='init'))
    union.settle([machine], set())
    assert (machine.name, machine.type) == ('cp-1', 'controlplane')


def test_a_stale_etcd_member_a_stale_node_and_a_dead_endpoint_at_one_address_are_one_machine():
    """Scenario E1: cp-3 was re-installed as cp-3b at another address."""
    machines = union.from_members([[member('cp-1', 'A', ['10.5.0.11']), member('cp-3b', 'C', ['10.5.0.33'])]])
    union.place_endpoints([endpoint('10.5.0.11'), endpoint('10.5.0.13', connected=False)], machines, 'talosconfig')
    machines[0].data['EtcdMemberList'] = Datum(READ, etcd_list(('cp-1', 'https://10.5.0.11:2380'), ('cp-3', 'https://10.5.0.13:2380')))
    assert union.add_etcd_members(machines, set()) == []
    assert union.add_kubernetes_nodes(machines, [node('cp-1', '10.5.0.11'), node('cp-3', '10.5.0.13', ['node-role.kubernetes.io/control-plane']),
                                                 node('cp-3b', '10.5.0.33')], set()) == []
    assert described(machines)['10.5.0.13'] == ('cp-3', '10.5.0.13', 'controlplane', ['talosconfig', 'etcd', 'kubernetes'])
    assert len(machines) == 3


def test_of_two_machines_with_one_name_the_other_is_found_among_the_affiliates():
    """Members are named by the node's name, so that one of them overwrites the other (edge case 29)."""
    machines = [answered('A', '10.5.0.11', Affiliates=[
        {'id': 'A', 'spec': {'addresses': ['10.5.0.11']}}, {'id': 'old', 'spec': {'addresses': ['10.5.0.11']}},
        {'id': 'B', 'spec': {'addresses': ['10.5.0.10', '10.5.0.22'], 'nodename': 'w-1', 'machineType': 'worker'}}, {'id': 'C', 'spec': {'addresses': []}}])]
    added = union.add_affiliates(machines, {'10.5.0.10'})
    assert described(added) == {'B': ('w-1', '10.5.0.22', 'worker', ['discovery'])}
    assert machines[1:] == added


def test_what_only_etcd_or_kubernetes_know_is_added():
    machines = [answered('A', '10.5.0.11', EtcdMemberList=etcd_list(('cp-9', 'https://10.5.0.19:2380'), ('', 'https://[fd00::1]:2380')))]
    added = union.add_etcd_members(machines, set())
    assert described(added) == {'10.5.0.19': ('cp-9', '10.5.0.19', 'controlplane', ['etcd']), 'fd00::1': (None, 'fd00::1', 'controlplane', ['etcd'])}
    added = union.add_kubernetes_nodes(machines, [node('w-9', '10.5.0.29'), node('cp-8', '10.5.0.18', ['node-role.kubernetes.io/control-plane'])], set())
    assert described(added) == {
        '10.5.0.29': ('w-9', '10.5.0.29', 'worker', ['kubernetes']), '10.5.0.18': ('cp-8', '10.5.0.18', 'controlplane', ['kubernetes'])}


def test_an_etcd_member_is_matched_by_its_id_before_its_address():
    machine = answered('A', '10.5.0.11', EtcdMembers=resources(local={'memberID': '0000000000000001'}),
                       EtcdMemberList=etcd_list(('cp-1', 'https://10.5.0.99:2380')))
    assert union.add_etcd_members([machine], set()) == []
    assert machine.known_from == ['discovery', 'etcd']


def test_a_node_is_matched_by_machine_id_and_by_name_when_its_address_is_unknown():
    taken = snapshot('healthy')
    machines = copy.deepcopy(taken.machines)
    first = taken.kubernetes['data']['nodes'].value[0]
    assert union.add_kubernetes_nodes(machines, [node('renamed', '192.0.2.1', machine_id=first['machine_id']), node('w1', '192.0.2.2')], set()) == []
    assert len(machines) == len(taken.machines)


def test_a_member_without_address_gets_it_from_its_node_and_is_asked_again():
    machines = union.from_members([[member('w-1', 'B', [], 'worker')]])
    assert union.add_kubernetes_nodes(machines, [node('w-1', '10.5.0.21')], set()) == machines
    assert machines[0].address == '10.5.0.21'


def test_a_kubeconfig_of_another_cluster_shares_nothing():
    taken = snapshot('healthy')
    nodes = taken.kubernetes['data']['nodes'].value
    assert union.shares_a_machine(taken.machines, nodes)
    assert not union.shares_a_machine(taken.machines, [node('cp1', '192.0.2.1', machine_id='0' * 32)])
    assert union.shares_a_machine(taken.machines, [node('x', '192.0.2.1', machine_id=nodes[2]['machine_id'])])
