# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses that kubelets registered."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import kubelet
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide.judging import READ, ago, findings, lose, node, one, unreachable, verdict_of
from tests.unit.guide.kubelet_changes import aged, assertion, lose_kube, node_object, report
from tests.unit.guide.test_kubelet_service import remove_kubelet

CHECK, MISSING = 'kubelet.internal_ip_wrong', 'kubelet.node_ip_missing'


def register(snapshot, name, *addresses):
    """What Kubernetes has for InternalIPs of a Node."""
    node_object(snapshot, name)['addresses'] = [*({'type': 'InternalIP', 'address': a} for a in addresses), {'type': 'Hostname', 'address': name}]


def give(snapshot, name, *addresses):
    """What Talos has for the kubelet of a machine."""
    node(snapshot, name).data['NodeIPs'] = Datum(READ, [{'id': 'kubelet', 'spec': {'addresses': list(addresses)}}] if addresses else [])


def own(snapshot, name, *prefixes, link='eth1'):
    """More addresses of a machine."""
    machine = node(snapshot, name)
    for prefix in prefixes:
        machine.value('AddressStatuses').append({'id': f'{link}/{prefix}', 'spec': {'address': prefix, 'linkName': link, 'scope': 'global'}})
    for item in machine.value('NodeAddresses'):
        if item['id'] in ('routed', 'routed-no-k8s', 'current'):
            item['spec']['addresses'] += list(prefixes)


def subnets(snapshot, name, *valid):
    node(snapshot, name).value('NodeIPConfigs')[0]['spec']['validSubnets'] = list(valid)


def test_an_address_of_another_network_than_that_of_the_others():
    snapshot = aged()
    own(snapshot, 'w1', '10.9.0.5/24')
    register(snapshot, 'w1', '10.9.0.5')
    give(snapshot, 'w1', '10.9.0.5')
    finding = one(report(snapshot), CHECK)
    assert (finding['verdict'], finding['subject'], finding['nodes'], finding['root']) == ('error', 'w1', ['w1'], True)
    assert '10.9.0.5: the other Nodes are in 10.5.0.0/24' in finding['title'] and 'validSubnets of w1 to [10.5.0.0/24]' in finding['next_step']


def test_a_network_that_somebody_chose_is_right():
    snapshot = aged()
    own(snapshot, 'w1', '10.9.0.5/24')
    register(snapshot, 'w1', '10.9.0.5')
    give(snapshot, 'w1', '10.9.0.5')
    subnets(snapshot, 'w1', '10.9.0.0/24')
    assert findings(report(snapshot), CHECK) == []


def test_machines_in_networks_of_their_own():
    """Routed racks: no address of w1 is in the network of the others."""
    snapshot = aged()
    machine = node(snapshot, 'w1')
    machine.value('AddressStatuses')[:] = []
    for item in machine.value('NodeAddresses'):
        item['spec']['addresses'] = []
    own(snapshot, 'w1', '10.9.0.5/24')
    register(snapshot, 'w1', '10.9.0.5')
    give(snapshot, 'w1', '10.9.0.5')
    assert findings(report(snapshot), CHECK) == []


def test_the_virtual_ip():
    snapshot = aged()
    register(snapshot, 'cp1', '10.5.0.100')
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'error' and 'it is the virtual IP' in finding['title']


def test_an_address_of_a_pod():
    snapshot = aged()
    register(snapshot, 'w1', '10.244.7.7')
    finding = one(report(snapshot), CHECK)
    assert 'lies in the pod or service network' in finding['title'] and finding['root']
    finding = one(report(snapshot, checks=(*kubelet.CHECKS, assertion(f'subnet_conflict:{node(snapshot, "w1").key}'))), CHECK)
    assert finding['because_of'] == ['x.cause/it']


def test_an_address_that_the_machine_has_not():
    snapshot = aged()
    register(snapshot, 'w1', '10.5.0.77')
    assert 'the machine has no such address' in one(report(snapshot), CHECK)['title']


def test_an_address_that_talos_did_not_give_it():
    snapshot = aged()
    own(snapshot, 'w1', '10.5.0.77/24')
    register(snapshot, 'w1', '10.5.0.77')
    assert 'Talos has 10.5.0.5 for it' in one(report(snapshot), CHECK)['title']


def test_siderolink_is_no_network_of_the_nodes():
    snapshot = aged()
    address = 'fdae:41e4:649b:9303::5'
    own(snapshot, 'w1', f'{address}/64', link='siderolink')
    register(snapshot, 'w1', address)
    give(snapshot, 'w1', address)
    assert 'address of SideroLink' in one(report(snapshot), CHECK)['title']


@pytest.mark.parametrize('valid, wrong', [(('0.0.0.0/0',), True), (('100.64.0.0/10',), False)])
def test_an_overlay_network_is_right_only_where_it_was_chosen(valid, wrong):
    snapshot = aged()
    own(snapshot, 'w1', '100.96.48.75/32', link='tailscale0')
    register(snapshot, 'w1', '100.96.48.75')
    give(snapshot, 'w1', '100.96.48.75')
    subnets(snapshot, 'w1', *valid)
    assert bool(findings(report(snapshot), CHECK)) == wrong


@pytest.mark.parametrize('given, registered', [('fd00:0:0::5', 'fd00::5'), ('FD00::5', 'fd00:0:0:0::5')])
def test_addresses_are_compared_by_value(given, registered):
    snapshot = aged()
    own(snapshot, 'w1', f'{given}/64')
    give(snapshot, 'w1', given, '10.5.0.5')
    register(snapshot, 'w1', registered, '10.5.0.5')
    assert findings(report(snapshot), CHECK) == []


def test_one_family_of_two_is_enough():
    snapshot = aged()
    own(snapshot, 'w1', 'fd00::5/64')
    give(snapshot, 'w1', '10.5.0.5', 'fd00::5')
    assert findings(report(snapshot), CHECK) == []


@pytest.mark.parametrize('address', ['fd1b:1c4e:8b5f:2802::5', '10.9.0.5'])
def test_kubespan_is_no_fault(address):
    snapshot = aged()
    own(snapshot, 'w1', f'{address}/128' if ':' in address else f'{address}/32', link='kubespan')
    give(snapshot, 'w1', address)
    register(snapshot, 'w1', address)
    assert findings(report(snapshot), CHECK) == []


@pytest.mark.parametrize('sign', ['provider', 'taint', 'argument', 'configuration'])
def test_an_external_cloud_provider_sets_what_it_wants(sign):
    snapshot = aged()
    register(snapshot, 'w1', '172.16.0.9')
    if sign == 'provider':
        node_object(snapshot, 'w1')['provider_id'] = 'aws:///eu-central-1a/i-1'
    elif sign == 'taint':
        node_object(snapshot, 'w1')['taints'] = [{'key': 'node.cloudprovider.kubernetes.io/uninitialized', 'effect': 'NoSchedule'}]
    elif sign == 'argument':
        node(snapshot, 'w1').value('KubeletSpecs')[0]['spec']['args'].append('--cloud-provider=external')
    else:
        node(snapshot, 'w1').value('MachineConfigs')[0]['spec']['v1alpha1']['cluster']['externalCloudProvider'] = {'enabled': True}
    assert findings(report(snapshot), CHECK) == []
    register(snapshot, 'w1')
    assert one(report(snapshot), CHECK)['verdict'] == 'info'


def test_a_node_without_an_address():
    snapshot = aged()
    register(snapshot, 'w1')
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'error' and finding['title'] == 'Node w1 has the wrong InternalIP: it has none'


def test_a_machine_that_has_just_booted_may_change_its_address():
    snapshot = aged()
    register(snapshot, 'w1', '10.5.0.77')
    node(snapshot, 'w1').value('MachineStatuses')[0]['created'] = ago(snapshot, 60)
    assert one(report(snapshot), CHECK)['verdict'] == 'info'


def test_of_a_machine_that_does_not_answer_only_what_is_wrong_anyway_is_told():
    snapshot = aged()
    register(snapshot, 'w1', '10.5.0.5')
    unreachable(node(snapshot, 'w1'))
    assert findings(report(snapshot), CHECK) == []
    register(snapshot, 'w1', '10.5.0.100')
    assert one(report(snapshot), CHECK)['verdict'] == 'error'


def test_two_machines_with_one_name_and_one_node():
    """The Node is that of the machine whose address it bears; the other one is told by discovery."""
    snapshot = aged()
    node(snapshot, 'cp3').name = 'w1'
    nodes = snapshot.kubernetes['data']['nodes'].value
    nodes[:] = [each for each in nodes if each['name'] != 'cp3']
    assert findings(report(snapshot), CHECK) == []


# -- without the Nodes, and without an address ------------------------------------------------------------------

def test_without_the_nodes_talos_is_judged():
    snapshot = aged()
    lose_kube(snapshot, 'nodes')
    judged = report(snapshot)
    assert judged['sections']['kubelet.wrong_internal_ip']['verdict'] == 'ok' and verdict_of(judged, CHECK) == 'unknown'


def test_talos_finds_no_address():
    snapshot = aged()
    give(snapshot, 'w1')
    finding = one(report(snapshot), MISSING)
    assert finding['verdict'] == 'error' and 'finds no address on w1' in finding['title'] and 'valid: 0.0.0.0/0' in finding['evidence'][1]['text']
    finding = one(report(snapshot, checks=(*kubelet.CHECKS, assertion(f'subnet_conflict:{node(snapshot, "w1").key}'))), MISSING)
    assert finding['because_of'] == ['x.cause/it']


def test_no_address_yet_or_no_kubelet():
    snapshot = aged()
    give(snapshot, 'w1')
    node(snapshot, 'w1').value('MachineStatuses')[0]['created'] = ago(snapshot, 60)
    assert one(report(snapshot), MISSING)['verdict'] == 'info'
    remove_kubelet(node(snapshot, 'w1'))
    assert findings(report(snapshot), MISSING) == []


def test_what_talos_gives_was_not_read():
    snapshot = aged()
    lose(node(snapshot, 'w1'), 'NodeIPs')
    assert one(report(snapshot), MISSING)['verdict'] == 'unknown'


# -- external addresses -----------------------------------------------------------------------------------------

def external(snapshot, name, address):
    node_object(snapshot, name)['addresses'].append({'type': 'ExternalIP', 'address': address})


def test_external_addresses_are_the_clouds():
    snapshot = aged()
    assert verdict_of(report(snapshot), 'kubelet.external_ip') == 'not_applicable'
    external(snapshot, 'w1', '203.0.113.5')
    assert verdict_of(report(snapshot), 'kubelet.external_ip') == 'ok'
    external(snapshot, 'cp1', '203.0.113.5')
    finding = one(report(snapshot), 'kubelet.external_ip')
    assert finding['verdict'] == 'info' and 'cp1 and w1 have the same ExternalIP' in finding['title'] and 'cloud controller' in finding['next_step']


def test_a_node_that_waits_for_the_cloud():
    snapshot = aged()
    node_object(snapshot, 'w1')['taints'] = [{'key': 'node.cloudprovider.kubernetes.io/uninitialized'}]
    assert one(report(snapshot), 'kubelet.external_ip')['verdict'] == 'info'


def test_without_the_nodes_external_addresses_are_nobodys_fault():
    snapshot = aged()
    lose_kube(snapshot, 'nodes')
    assert verdict_of(report(snapshot), 'kubelet.external_ip') == 'not_applicable'
