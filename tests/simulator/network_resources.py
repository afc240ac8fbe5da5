# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine tells of its network beside links, addresses and routes (talos-api 6.4)."""

from __future__ import annotations

import ipaddress

from tests.simulator.resource import Resource

_HOST_DNS = ('127.0.0.53', '169.254.116.108')
_RESOLVERS = ('1.1.1.1', '8.8.8.8')
_RESOLVERS_6 = ('2606:4700:4700::1111', '2001:4860:4860::8888')
_TIME_SERVER = 'time.cloudflare.com'
_LAYER = {'default': 0, 'configuration': 4}


def network_statuses(node):
    """The condition C(network) of the machine's status waits for what is missing here."""
    waits = 'network' in (node.machine_status['unmet'] or ())
    spec = {'addressReady': bool(node.routed), 'connectivityReady': not waits, 'hostnameReady': True, 'etcFilesReady': True}
    return [Resource('status', 'network.StatusController', spec, version=3)]


def _resolvers(node):
    """Talos's own; in a container those that it was given, which is the bridge's (rec)."""
    if node.model.platform != 'container':
        return list(_RESOLVERS_6 if ':' in node.address else node.model.setup.get('time_servers') or _RESOLVERS)
    return [str(ipaddress.ip_interface(node.host_prefix).network.network_address + 1)]


def resolver_statuses(node):
    """From 1.14 on the servers stand in nameServers, and dnsServers is empty (talos v1.14.0-rc.1, resolver_config.go)."""
    servers = _resolvers(node)
    spec = {'dnsServers': servers, 'searchDomains': []} if node.minor < 14 else {
        'dnsServers': [], 'nameServers': [{'addr': server, 'protocol': 'Do53', 'tlsServerName': ''} for server in servers], 'searchDomains': []}
    return [Resource('resolvers', 'network.ResolverSpecController', spec, version=1 if node.control_plane else 2)]


def dns_upstreams(node):
    """Their ids name the protocol from 1.14 on; nothing of them is in the protobuf form (rec)."""
    protocol = ' Do53' if node.minor >= 14 else ''
    return [Resource(f'#{number:03d}{protocol} {server}', 'network.DNSUpstreamController',
                     {'addr': f'[{server}]:53' if ':' in server else f'{server}:53', 'healthy': 'true'})
            for number, server in enumerate(_resolvers(node))]


def host_dns_configs(node):
    """The address for pods is in the protobuf form only (rec)."""
    told = (node.config.document('ResolverConfig') or node.config.machine.get('features') or {}).get('hostDNS') or {}
    if not told.get('enabled'):
        return [Resource('config', 'network.HostDNSConfigController', {'enabled': False})]
    proto = {'serviceHostDNSAddress': _HOST_DNS[1]} if told.get('forwardKubeDNSToHost') else {}
    listens = _HOST_DNS if proto else _HOST_DNS[:1]
    return [Resource('config', 'network.HostDNSConfigController', {'enabled': True, 'listenAddresses': [f'{address}:53' for address in listens]},
                     version=2, proto=proto)]


def time_server_statuses(node):
    servers = (node.config.machine.get('time') or {}).get('servers') or [_TIME_SERVER]
    spec = {'timeServers': list(servers), **({'useNTS': servers == [_TIME_SERVER]} if node.minor >= 14 else {})}
    return [Resource('timeservers', 'network.TimeServerSpecController', spec, version=2)]


def operator_specs(node):
    """DHCP on metal, and the VIP where the configuration has one: on control plane nodes, whether they hold it or not."""
    found = []
    if node.model.platform != 'container' and ':' not in node.address:
        found.append(('dhcp4/eth0', {'operator': 'dhcp4', 'linkName': 'eth0', 'requireUp': True, 'dhcp4': {'routeMetric': 1024}, 'layer': 'default'}))
    if node.model.vip and node.control_plane:
        found.append((f'vip/eth0/{node.model.vip}', {'operator': 'vip', 'linkName': 'eth0', 'requireUp': True,
                                                     'vip': {'ip': node.model.vip, 'gratuitousARP': True}, 'layer': 'configuration'}))
    return [Resource(name, 'OperatorMergeControllers.net.talos.dev', spec) for name, spec in found]
