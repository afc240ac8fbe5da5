# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Network Configuration": the rules of NET-1 to NET-3, their false alarms, and what is said without the data."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import network_configuration, talos_api_subnets
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time, parse_time
from tests import recorded, removal
from tests.unit.guide import machines
from tests.unit.guide.judging import findings, lose, node, one, report

CHECKS = network_configuration.CHECKS
GATEWAY = '10.5.0.1'
LISTS = ('default', 'current', 'routed', 'routed-no-k8s')


def judged(snapshot, check=None):
    return {(f['check'].partition('.')[2], *f['nodes']): f['verdict'] for f in findings(report(snapshot, checks=CHECKS), check)}


def route(dst, link, gateway='', table='main', family='inet4'):
    return machines.item(f'{link}/{dst}/{gateway}', {'family': family, 'dst': dst, 'gateway': gateway, 'outLinkName': link, 'table': table,
                                                     'type': 'unicast', 'scope': 'global', 'protocol': 'static'})


def address(link, prefix):
    family = 'inet6' if ':' in prefix else 'inet4'
    return machines.item(f'{link}/{prefix}', {'address': prefix, 'linkName': link, 'family': family, 'scope': 'global'})


def link(name, kind='', state='up', carrier=True):
    return machines.item(name, {'operationalState': state, 'linkState': carrier, 'kind': kind, 'type': 'ether'})


def without_default_route(machine):
    routes = machine.data['RouteStatuses']
    routes.value = [each for each in routes.value if each['spec'].get('dst')]
    machines.spec(machine, 'NetworkStatuses')['connectivityReady'] = False
    machines.spec(machine, 'MachineStatuses')['status'] = {'ready': False, 'unmetConditions': [
        {'name': 'network', 'reason': 'waiting on: connectivity'}]}


def without_own_address(machine):
    """As recorded on w1 while its link was down: only the CNI's addresses are left."""
    machine.data['AddressStatuses'].value = [each for each in machine.value('AddressStatuses') if each['spec']['linkName'] != 'eth0']
    for which in ('routed', 'current', 'default'):
        spec = machines.spec(machine, 'NodeAddresses', which)
        spec['addresses'] = [each for each in spec['addresses'] if each.startswith('10.244.')]
    machines.spec(machine, 'NodeAddresses', 'routed-no-k8s')['addresses'] = []


# -- nothing wrong ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', recorded.SETS)
@pytest.mark.parametrize('later', [0, 86400])
def test_nothing_is_said_of_the_recorded_networks(name, later):
    found = report(machines.recorded(name, later), checks=CHECKS)
    assert not found['findings'] and found['sections']['network_configuration']['verdict'] == 'ok'


def test_links_that_are_down_or_unknown_by_nature():
    """Recorded: dummy0 down on metal, lo and vxlan unknown, eth0 a veth in container mode."""
    snapshot = machines.metal()
    for machine in snapshot.machines:
        machine.value('LinkStatuses').append(link('dummy0', 'dummy', 'down', False))
        machine.value('LinkStatuses').append(link('enp7s0', '', 'down', False))
    assert not judged(snapshot)


BOND = ([link('bond0', 'bond'), link('enp1s0'), link('enp2s0', '', 'down', False), link('bond0.20', 'vlan')], 'bond0.20')
BRIDGE = ([link('br0', 'bridge'), link('enp1s0')], 'br0')
LOOPBACK = ([link('lo', '', 'unknown'), link('enp1s0'), link('enp2s0')], 'lo')
TUNNEL = ([link('enp1s0'), link('kubespan', 'wireguard', 'unknown'), link('cilium_host', 'veth'), link('cilium_vxlan', 'vxlan', 'unknown')], 'enp1s0')


@pytest.mark.parametrize('links, carrying', [BOND, BRIDGE, LOOPBACK, TUNNEL],
                         ids=['bond and VLAN', 'bridge', 'BGP on the loopback', 'Cilium and KubeSpan'])
def test_other_ways_to_stand_on_the_network(links, carrying):
    snapshot = machines.metal()
    for machine in snapshot.machines:
        machines.put(machine, 'LinkStatuses', links)
        mask = 32 if carrying == 'lo' else 24
        machines.put(machine, 'AddressStatuses', [address(carrying, f'{machine.address}/{mask}'), address('kubespan', 'fd7f:175a:b97c:5602::1/128'),
                                                  address('cilium_host', '10.244.1.7/32')])
        machines.put(machine, 'RouteStatuses', [route('', 'enp1s0' if carrying == 'lo' else carrying, GATEWAY), route('10.5.0.0/24', carrying)])
        own = [f'{machine.address}/{mask}']
        machines.put(machine, 'NodeAddresses', [machines.item(name, {'addresses': own}) for name in LISTS])
    assert not judged(snapshot)


def test_machines_with_ipv6_alone():
    snapshot = machines.metal()
    for number, machine in enumerate(snapshot.machines, 1):
        own = f'fd00::{number}/64'
        machine.address, machine.addresses = f'fd00::{number}', [f'fd00::{number}']
        machines.put(machine, 'LinkStatuses', [link('enp1s0')])
        machines.put(machine, 'AddressStatuses', [address('enp1s0', own)])
        machines.put(machine, 'RouteStatuses', [route('', 'enp1s0', 'fe80::1', family='inet6'), route('fd00::/64', 'enp1s0', family='inet6')])
        machines.put(machine, 'NodeAddresses', [machines.item(name, {'addresses': [own]}) for name in LISTS])
    assert not judged(snapshot)


# -- NET-1: links and addresses -----------------------------------------------------------------------------------

@pytest.mark.parametrize('state, carrier', [('down', False), ('up', False), ('lowerlayerdown', True)])
def test_the_link_that_carries_the_default_route_is_down(state, carrier):
    snapshot = machines.metal()
    machines.spec(node(snapshot, 'w1'), 'LinkStatuses', 'eth0').update(operationalState=state, linkState=carrier)
    found = findings(report(snapshot, checks=CHECKS))
    assert [(f['check'], f['verdict'], f['nodes']) for f in found] == [('network_configuration.link_down', 'error', ['w1'])]
    assert 'eth0' in found[0]['title'] and 'get links' in found[0]['next_step']


def test_a_host_that_lost_its_own_address():
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    without_own_address(machine)
    machines.spec(machine, 'NetworkStatuses')['connectivityReady'] = False
    machines.put(machine, 'Diagnostics', [machines.item('address-overlap', {'details': ['host routed addresses: ["10.244.3.0/32"]']})])
    found = report(snapshot, checks=(*CHECKS, *talos_api_subnets.CHECKS))
    lost = one(found, 'network_configuration.address_lost')
    assert (lost['verdict'], lost['nodes']) == ('error', ['w1']) and '10.244.3.1/24 on cni0' in lost['evidence'][0]['text']
    assert not findings(found, 'network_configuration.not_ready'), 'one fact, one finding'
    told = one(found, 'talos_api.subnet_conflict')
    assert told['verdict'] == 'info' and told['because_of'] == [lost['id']]


@pytest.mark.parametrize('left', ['vip', 'kubespan', 'cilium', 'bridge'])
def test_what_is_left_is_no_address_of_the_host(left):
    snapshot = machines.metal()
    machine = node(snapshot, 'cp1')
    without_own_address(machine)
    kept = {'vip': [address('eth0', '10.5.0.100/32')], 'kubespan': [address('kubespan', 'fd7f::1/128')],
            'cilium': [address('cilium_host', '10.99.1.7/32')], 'bridge': [address('nerdctl0', '10.244.7.1/24')]}[left]
    machine.value('LinkStatuses').append(link('nerdctl0', 'bridge'))
    machine.data['AddressStatuses'].value += kept
    machines.spec(machine, 'NodeAddresses', 'routed')['addresses'] += [each['spec']['address'] for each in kept]
    assert judged(snapshot) == {('address_lost', 'cp1'): 'error'}


def test_a_second_address_suffices():
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    without_own_address(machine)
    machine.value('AddressStatuses').append(address('eth1', '192.168.9.21/24'))
    assert not judged(snapshot)


# -- NET-1: what Talos waits for ----------------------------------------------------------------------------------

@pytest.mark.parametrize('key, words', [('addressReady', 'no address'), ('hostnameReady', 'no host name'), ('etcFilesReady', '/etc/hosts')])
def test_a_network_that_is_not_ready(key, words):
    snapshot = machines.metal()
    machines.spec(node(snapshot, 'cp2'), 'NetworkStatuses')[key] = False
    found = findings(report(snapshot, checks=CHECKS))
    assert [(f['check'], f['verdict'], f['nodes']) for f in found] == [('network_configuration.not_ready', 'error', ['cp2'])]
    assert words in found[0]['title']


def test_the_condition_of_the_machine_suffices():
    snapshot = machines.metal()
    machine = node(snapshot, 'cp2')
    machines.spec(machine, 'MachineStatuses').update(stage='booting', status={'ready': False, 'unmetConditions': [
        {'name': 'network', 'reason': 'waiting on: address, hostname'}]})
    lose(machine, 'NetworkStatuses', 'unsupported')
    found = findings(report(snapshot, checks=CHECKS), 'network_configuration.not_ready')
    assert [f['verdict'] for f in found] == ['error'] and 'no address and it has no host name' in found[0]['title']


@pytest.mark.parametrize('change', ['young', 'upgrading'])
def test_what_changes_just_now_may_settle(change):
    snapshot = machines.metal()
    machine = node(snapshot, 'cp2')
    machines.spec(machine, 'NetworkStatuses')['hostnameReady'] = False
    if change == 'young':
        machine.value('MachineStatuses')[0]['created'] = format_time(snapshot.now - timedelta(seconds=60))
    else:
        machines.spec(machine, 'MachineStatuses')['stage'] = change
    assert judged(snapshot) == {('not_ready', 'cp2'): 'info'}


# -- NET-1: connectivity ------------------------------------------------------------------------------------------

def test_an_air_gap_is_healthy():
    """No default route anywhere, nobody beyond the own network; time servers are their own (test_clocks)."""
    snapshot = machines.metal()
    for machine in snapshot.machines:
        without_default_route(machine)
    found = report(snapshot, checks=CHECKS)
    assert found['class'] == 'healthy' and set(judged(snapshot).values()) == {'info'} and len(judged(snapshot)) == 4


def test_an_air_gap_with_the_resolvers_that_talos_takes_by_itself():
    snapshot = machines.metal()
    for machine in snapshot.machines:
        without_default_route(machine)
        machines.put(machine, 'DNSUpstreams', [machines.item(f'#00{n} {ip}', {'addr': f'{ip}:53', 'healthy': 'false'})
                                               for n, ip in enumerate(('1.1.1.1', '8.8.8.8'))])
    assert report(snapshot, checks=CHECKS)['class'] == 'healthy'


def test_one_machine_without_the_way_out_that_its_neighbours_have():
    snapshot = machines.metal()
    without_default_route(node(snapshot, 'cp2'))
    found = one(report(snapshot, checks=CHECKS), 'network_configuration.not_ready')
    assert (found['verdict'], found['nodes']) == ('error', ['cp2']) and GATEWAY in found['title']


def test_a_machine_in_another_network_has_another_way():
    """Its neighbours go out by a network that it is not in: workers behind their control plane nodes."""
    snapshot = machines.metal()
    for machine in snapshot.machines:
        without_default_route(machine)
        if machine.name.startswith('cp'):
            machine.value('RouteStatuses').append(route('', 'eth1', '203.0.113.1'))
            machines.spec(machine, 'NetworkStatuses')['connectivityReady'] = True
            machines.spec(machine, 'MachineStatuses')['status'] = {'ready': True, 'unmetConditions': []}
    assert judged(snapshot) == {('not_ready', 'w1'): 'info'}


def test_bgp_gives_routes_instead_of_a_default_one():
    snapshot = machines.metal()
    for machine in snapshot.machines:
        without_default_route(machine)
        routes = [each for each in machine.value('RouteStatuses') if not str(each['spec'].get('dst')).startswith('10.5.')]
        machines.put(machine, 'RouteStatuses', [*routes, *(route(f'{other.address}/32', 'eth0', '169.254.1.1') for other in snapshot.machines)])
    assert set(judged(snapshot).values()) == {'info'}


def test_no_route_to_a_machine_of_the_cluster():
    snapshot = machines.metal()
    for machine in snapshot.machines:
        without_default_route(machine)
    machine = node(snapshot, 'w1')
    routes = [each for each in machine.value('RouteStatuses') if not str(each['spec'].get('dst')).startswith('10.5.')]
    machines.put(machine, 'RouteStatuses', [*routes, *(route(f'10.5.0.{n}/32', 'eth0') for n in (2, 3))])
    found = [f for f in findings(report(snapshot, checks=CHECKS)) if f['verdict'] == 'error']
    assert [(f['nodes'], 'none to cp3' in f['title']) for f in found] == [(['w1'], True)]


def test_a_probe_that_fails_is_what_the_user_asked_for():
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    machines.spec(machine, 'NetworkStatuses')['connectivityReady'] = False
    machines.put(machine, 'ProbeStatuses', [machines.item('tcp:proxy.example.net:3128', {'success': False, 'lastError': 'dial tcp: i/o timeout'})])
    found = one(report(snapshot, checks=CHECKS), 'network_configuration.not_ready')
    assert found['verdict'] == 'error' and 'tcp:proxy.example.net:3128' in found['title']
    machines.put(machine, 'ProbeStatuses', [])
    assert one(report(snapshot, checks=CHECKS), 'network_configuration.not_ready')['verdict'] == 'error', 'a default route, and yet not ready'


# -- DHCP ---------------------------------------------------------------------------------------------------------

def dhcp(snapshot, name, link_name, ago=30):
    machines.controllers(snapshot, node(snapshot, name), (
        ago, 'WARN', 'DHCP request/renew failed {"component": "controller-runtime", "controller": "network.OperatorSpecController", '
                     f'"error": "no offers", "link": "{link_name}"}}'))


@pytest.mark.parametrize('link_name, ago, verdict', [('eth0', 30, 'warning'), ('enp7s0', 30, 'info'), ('eth0', 3000, None)])
def test_dhcp_matters_on_the_link_in_use(link_name, ago, verdict):
    snapshot = machines.metal()
    dhcp(snapshot, 'w1', link_name, ago)
    assert judged(snapshot) == ({('dhcp_failing', 'w1'): verdict} if verdict else {})


def test_dhcp_that_fails_is_evidence_of_what_it_broke():
    snapshot = machines.metal()
    without_default_route(node(snapshot, 'w1'))
    dhcp(snapshot, 'w1', 'eth0')
    found = findings(report(snapshot, checks=CHECKS))
    assert [f['check'] for f in found] == ['network_configuration.not_ready'] and 'DHCP request' in found[0]['evidence'][-1]['text']


# -- NET-2 --------------------------------------------------------------------------------------------------------

def second_sample(machine, seconds=15, **more):
    """Another sample so many seconds later, in which counters of eth0 have grown."""
    first = machine.datum('NetworkDeviceStats')
    devices = [{**each, **{key: each.get(key, 0) + number for key, number in more.items() if each['name'] == 'eth0'}}
               for each in first.value['devices']]
    at = format_time(parse_time(first.at) + timedelta(seconds=seconds))
    machine.data['NetworkDeviceStats2'] = Datum('read', {'devices': devices}, at=at)


@pytest.mark.parametrize('grown, seconds, verdict', [
    ({'rx_packets': 20000, 'rx_errors': 30}, 15, 'warning'), ({'tx_packets': 20000, 'tx_dropped': 30}, 15, 'warning'),
    ({'rx_packets': 20000, 'rx_dropped': 20}, 15, None), ({'rx_packets': 900, 'rx_errors': 30}, 15, None),
    ({'rx_packets': 20000, 'rx_errors': 30}, 9, None), ({'rx_packets': -50000, 'rx_errors': 30}, 15, None)])
def test_packets_that_are_lost_now(grown, seconds, verdict):
    snapshot = machines.metal()
    second_sample(node(snapshot, 'cp1'), seconds, **grown)
    assert judged(snapshot) == ({('packets_lost', 'cp1'): verdict} if verdict else {})


def test_packets_lost_since_the_boot_are_information():
    snapshot = machines.metal()
    machine = node(snapshot, 'cp1')
    eth0 = next(each for each in machine.value('NetworkDeviceStats')['devices'] if each['name'] == 'eth0')
    eth0['rx_dropped'] = 600
    assert judged(snapshot) == {('packets_lost', 'cp1'): 'info'}
    second_sample(machine, 30, rx_packets=5000)
    assert not judged(snapshot), 'now nothing is lost'


@pytest.mark.parametrize('name', ['lo', 'flannel.1', 'cni0', 'veth28d3e695', 'lxc1234', 'cilium_vxlan', 'kubespan'])
def test_links_that_are_not_the_hosts_may_drop(name):
    snapshot = machines.metal()
    machine = node(snapshot, 'cp1')
    machine.value('NetworkDeviceStats')['devices'].append({'name': name, 'rx_packets': 5000, 'rx_dropped': 4000, 'tx_packets': 0, 'tx_dropped': 11})
    assert not judged(snapshot)


def test_a_second_sample_that_was_asked_for_and_is_missing():
    snapshot = machines.metal()
    second_sample(node(snapshot, 'cp1'), rx_packets=20000, rx_errors=30)
    lose(node(snapshot, 'cp1'), 'NetworkDeviceStats2')
    assert judged(snapshot) == {('packets_lost', 'cp1'): 'unknown'}


# -- NET-3 --------------------------------------------------------------------------------------------------------

def resolvers(machine, servers=(), host_dns=True, upstreams=()):
    machines.put(machine, 'ResolverStatuses', [machines.item('resolvers', {'dnsServers': list(servers), 'searchDomains': []})])
    machines.put(machine, 'HostDNSConfigs', [machines.item('config', {'enabled': host_dns})])
    machines.put(machine, 'DNSUpstreams', [machines.item(f'#00{number} {addr}', {'addr': f'{addr}:53', 'healthy': healthy})
                                           for number, (addr, healthy) in enumerate(upstreams)])


@pytest.mark.parametrize('host_dns, verdict', [(True, 'info'), (False, 'error')])
def test_a_machine_without_resolvers(host_dns, verdict):
    snapshot = machines.metal()
    resolvers(node(snapshot, 'w1'), host_dns=host_dns)
    assert judged(snapshot) == {('no_resolver', 'w1'): verdict}


def test_resolvers_as_talos_1_14_lists_them():
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    resolvers(machine, host_dns=False)
    machines.spec(machine, 'ResolverStatuses').pop('dnsServers')
    machines.spec(machine, 'ResolverStatuses')['nameServers'] = [{'addr': '10.5.0.1', 'protocol': 'udp'}]
    assert not judged(snapshot)


@pytest.mark.parametrize('healthy, verdict', [(('false', 'false'), 'error'), (('true', 'false'), 'info'), (('true', 'true'), None),
                                              ((False, False), 'error'), ((True, True), None)])
def test_resolvers_that_do_not_answer(healthy, verdict):
    snapshot = machines.metal()
    resolvers(node(snapshot, 'w1'), ['10.5.0.1', '10.5.0.253'], upstreams=zip(('10.5.0.1', '10.5.0.253'), healthy))
    assert judged(snapshot) == ({('resolver_not_answering', 'w1'): verdict} if verdict else {})


FAILED = 'error serving dns request {{"component": "dns-resolve-cache", "error": "read udp 10.5.0.5:36{0:03}->10.5.0.1:53: i/o timeout"}}'


@pytest.mark.parametrize('ages, verdict', [((10, 20, 30), 'warning'), ((10, 20), None), ((1000, 1010, 1020), None)])
def test_requests_that_fail_again_and_again(ages, verdict):
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    lines = ''.join(f'{format_time(snapshot.now - timedelta(seconds=ago))} WARN {FAILED.format(ago % 1000)}\n' for ago in sorted(ages, reverse=True))
    machine.logs['dns-resolve-cache'] = Datum('read', lines)
    assert judged(snapshot) == ({('dns_requests_fail', 'w1'): verdict} if verdict else {})


def test_recorded_failures_while_the_link_was_down_are_history_afterwards():
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    machine.logs['machined'] = Datum('read', machines.text('lost-address-machined') + machine.log('machined').value)
    assert not judged(snapshot)


# -- without the data ---------------------------------------------------------------------------------------------

PROBLEMS = {
    'link': lambda s: machines.spec(node(s, 'w1'), 'LinkStatuses', 'eth0').update(operationalState='down', linkState=False),
    'address': lambda s: without_own_address(node(s, 'w1')),
    'host name': lambda s: machines.spec(node(s, 'cp2'), 'NetworkStatuses').update(hostnameReady=False),
    'no way out': lambda s: without_default_route(node(s, 'cp2')),
    'probe': lambda s: (without_default_route(node(s, 'w1')), machines.put(node(s, 'w1'), 'ProbeStatuses', [machines.item('p', {'success': False})])),
    'DHCP': lambda s: dhcp(s, 'w1', 'eth0'),
    'packets': lambda s: second_sample(node(s, 'cp1'), rx_packets=20000, rx_errors=30),
    'no resolver': lambda s: resolvers(node(s, 'w1'), host_dns=False),
    'resolver': lambda s: resolvers(node(s, 'w1'), ['10.5.0.1'], upstreams=[('10.5.0.1', 'false')]),
}


@pytest.mark.parametrize('name', PROBLEMS)
def test_no_missing_datum_hides_a_fault_of_the_network(name):
    snapshot = machines.metal()
    PROBLEMS[name](snapshot)
    assert machines.hides(snapshot, CHECKS) == []


def test_what_was_not_read_is_no_fault():
    snapshot = machines.metal()
    chosen = settings.build(CHECKS)
    assert removal.alarms(snapshot, chosen, CHECKS, removal.some(snapshot, 2, 10, removal.HARMLESS)) == []


@pytest.mark.parametrize('kind', ['NetworkStatuses', 'MachineStatuses', 'NodeAddresses', 'AddressStatuses', 'LinkStatuses', 'RouteStatuses',
                                  'NetworkDeviceStats', 'ResolverStatuses', 'DNSUpstreams', 'NodeAddressFilters', 'NodeIPConfigs'])
def test_each_of_these_is_needed(kind):
    snapshot = machines.metal()
    lose(node(snapshot, 'cp1'), kind)
    assert report(snapshot, checks=CHECKS)['sections']['network_configuration']['verdict'] == 'unknown'
