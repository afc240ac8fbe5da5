# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Conflict on Kubernetes and Host Subnets", with the false alarms of the recordings."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import READ, REFUSED
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import states

CONFLICT = 'talos_api.subnet_conflict'
# What w1 of the recorded cluster said while its link was down.
OVERLAP = [{'id': 'address-overlap', 'spec': {
    'message': 'host and Kubernetes pod/service CIDR addresses overlap',
    'details': ['host routed addresses: ["10.244.0.0/32" "10.244.0.1/24"]', 'Kubernetes pod CIDRs: ["10.244.0.0/16"]',
                'Kubernetes service CIDRs: ["10.96.0.0/12"]']}}]


def _address(machine, link, address):
    machine.value('AddressStatuses').append({'id': f'{link}/{address}', 'spec': {
        'address': address, 'linkName': link, 'family': 'inet4', 'scope': 'global', 'flags': 'permanent'}})


def _drop_host_address(machine):
    machine.data['AddressStatuses'].value = [i for i in machine.value('AddressStatuses') if i['spec']['linkName'] != 'eth0']
    for name in ('routed', 'current', 'default'):
        spec = states.spec(machine, 'NodeAddresses', name)
        spec['addresses'] = [a for a in spec['addresses'] if a.startswith('10.244.')]
    states.spec(machine, 'NodeAddresses', 'routed-no-k8s')['addresses'] = []


def _renumber(snap, machine, address, certificate=('127.0.0.1',)):
    """The host's one address lies in a Kubernetes network."""
    _drop_host_address(machine)
    _address(machine, 'eth0', f'{address}/24')
    states.spec(machine, 'NodeAddresses', 'routed')['addresses'].append(f'{address}/24')
    machine.data['Diagnostics'] = Datum(READ, OVERLAP)
    if machine.datum('certificate').ok:
        machine.data['certificate'].value['ips'] = list(certificate)


@pytest.mark.parametrize('name, address', [('cp1', '10.244.5.2'), ('w1', '10.100.0.100')])
def test_a_host_inside_the_pod_or_service_network(name, address):
    snap = states.snapshot()
    _renumber(snap, states.named(snap, name), address)
    found = states.finding(states.report(snap), CONFLICT)
    assert (found['verdict'], found['nodes']) == ('critical', [name]) and address in found['title']
    assert 'podSubnets' in found['next_step']


@pytest.mark.parametrize('sign', ['diagnostic', 'list', 'certificate'])
def test_each_sign_suffices(sign):
    snap = states.snapshot()
    machine = states.named(snap, 'cp1')
    _address(machine, 'eth0', '10.244.5.2/24')
    assert states.finding(states.report(snap), CONFLICT)['verdict'] == 'warning', 'another address is left'
    if sign == 'diagnostic':
        machine.data['Diagnostics'] = Datum(READ, OVERLAP)
    elif sign == 'list':
        states.spec(machine, 'NodeAddresses', 'routed-no-k8s')['addresses'] = []
    else:
        machine.data['certificate'].value['ips'] = ['127.0.0.1']
    assert states.finding(states.report(snap), CONFLICT)['verdict'] == 'critical'


def test_some_addresses_inside_are_dropped_without_a_word():
    snap = states.snapshot()
    _address(states.named(snap, 'w1'), 'tailscale0', '10.100.0.7/32')
    found = states.finding(states.report(snap), CONFLICT)
    assert found['verdict'] == 'warning' and '10.100.0.7' in found['title'] and '10.5.0.5' in found['means']


def test_a_host_that_lost_its_own_address_has_no_conflict():
    """Recorded: the link of a worker down raises diagnostic and empty list; only CNI addresses are left."""
    snap = states.snapshot()
    machine = states.named(snap, 'w1')
    _drop_host_address(machine)
    machine.data['Diagnostics'] = Datum(READ, OVERLAP)
    found = states.finding(states.report(snap), CONFLICT)
    assert found['verdict'] == 'info' and 'lost its own address' in found['means']


@pytest.mark.parametrize('link', ['cni0', 'flannel.1', 'cilium_host', 'lxc1234', 'vethabc', 'kube-ipvs0', 'cali0ab'])
def test_addresses_of_the_cni_are_no_host_addresses(link):
    snap = states.snapshot()
    _address(states.named(snap, 'w1'), link, '10.244.7.1/24')
    assert states.verdict(states.report(snap), CONFLICT) == 'ok'


def test_a_veth_is_a_host_link_in_container_mode():
    snap = states.snapshot()
    machine = states.named(snap, 'cp1')
    assert states.spec(machine, 'LinkStatuses', 'eth0')['kind'] == 'veth'
    machine.data['RouteStatuses'] = Datum(REFUSED)
    _renumber(snap, machine, '10.244.5.2')
    assert states.finding(states.report(snap), CONFLICT)['verdict'] == 'critical'


def test_a_bridge_is_a_host_link_where_the_default_route_is():
    snap = states.snapshot()
    machine = states.named(snap, 'cp1')
    machine.value('LinkStatuses').append({'id': 'br0', 'spec': {'kind': 'bridge', 'operationalState': 'up'}})
    _address(machine, 'br0', '10.244.5.2/24')
    assert states.verdict(states.report(snap), CONFLICT) == 'ok', 'a bridge of unknown purpose'
    for item in machine.value('RouteStatuses'):
        if not item['spec']['dst'] and item['spec']['gateway']:
            item['spec']['outLinkName'] = 'br0'
    assert states.finding(states.report(snap), CONFLICT)['verdict'] == 'warning'


def test_a_node_without_kubernetes_has_no_networks_to_conflict_with():
    snap = states.snapshot()
    for machine in snap.machines:
        machine.data['NodeAddressFilters'] = Datum(READ, [])
    assert states.verdict(states.report(snap), CONFLICT) == 'not_applicable'


# -- no connection because of it --------------------------------------------------------------------------------

@pytest.mark.parametrize('ips', [[], ['127.0.0.1']], ids=['to 1.12', 'from 1.13'])
def test_no_connection_because_the_certificate_names_no_address(ips):
    snap = states.snapshot()
    certificate = states.served(snap, ips=ips)
    states.disconnected(snap, 'wrong_name', 'IP address mismatch', certificate)
    snap.endpoints[0].text = snap.endpoints[0].host = snap.endpoints[0].machine = '10.100.0.2'
    judged = states.report(snap)
    found = states.findings(judged, 'talos_api.certificate_without_address')
    assert [f['verdict'] for f in found] == ['critical'] * 3
    assert all('(cp1)' in f['title'] for f in found), 'the certificate names its machine'
    guessed = next(f for f in found if f['subject'] == '10.100.0.2')
    assert '10.96.0.0/12' in guessed['means']
    assert judged['sections']['talos_api.tcp_loadbalancer']['verdict'] != 'error'
    assert set(states.finding(judged, 'talos_api.nothing_reached')['because_of']) == {f['id'] for f in found}


def test_a_node_that_its_peers_cannot_verify_by_address():
    snap = states.snapshot()
    states.dead(snap, 'w1', text='x509: certificate is valid for 10.5.0.99, 127.0.0.1, not 10.5.0.5')
    judged = states.report(snap)
    found = states.finding(judged, 'talos_api.certificate_without_address')
    assert (found['verdict'], found['nodes']) == ('error', ['w1']) and '10.5.0.99' in found['means']
    assert states.verdict(judged, 'talos_api.machine_unreachable') == 'ok', 'its port is open'


def test_members_without_an_address():
    snap = states.snapshot()
    worker = states.named(snap, 'w1')
    for machine in snap.machines:
        for kind in ('Members', 'Affiliates'):
            for item in machine.value(kind):
                if item['spec']['nodeId'] == worker.key:
                    item['spec']['addresses'] = []
    _renumber(snap, worker, '10.244.5.2')
    judged = states.report(snap)
    found = states.finding(judged, 'talos_api.member_without_address')
    assert (found['verdict'], found['nodes']) == ('error', ['w1'])
    assert found['because_of'] == [states.finding(judged, CONFLICT)['id']]
    states.booted(snap, worker, 60)
    assert states.finding(states.report(snap), 'talos_api.member_without_address')['verdict'] == 'info'
