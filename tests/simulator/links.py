# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, addresses and routes of a machine as recorded: lo, eth0, and the CNI's."""

from __future__ import annotations

import hashlib
import ipaddress

from tests.simulator.resource import Resource

_HOST_DNS = '169.254.116.108'
_UP = 'UP,BROADCAST,RUNNING,MULTICAST,LOWER_UP'
_BROADCAST = 'ff:ff:ff:ff:ff:ff'
_ROUTE_ONLINK = 4
_VXLAN = ('flannel.1', 'flannel-v6.1', 'cilium_vxlan')
_CILIUM = ('cilium_net', 'cilium_host', 'cilium_vxlan', 'lxc_health')
_KUBESPAN_TABLE = 'RoutingTable(180)'


def link_names(node):
    """Links by name, with their index."""
    cilium = _CILIUM if node.model.setup.get('cni') == 'cilium' else ()
    names = dict.fromkeys(['lo', 'eth0', *dict(node.tunnel_prefixes), *dict(node.cni_prefixes), *cilium])
    return {name: number for number, name in enumerate(names, 1)}


def mac(node, link):
    """The hardware address of a link, as text."""
    digest = bytearray(hashlib.sha256(f'{node.identity}/{link}'.encode()).digest()[:6])
    digest[0] = digest[0] & 0xFC | 0x02
    return ':'.join(f'{byte:02x}' for byte in digest)


def _link_local(node, link):
    own = bytearray.fromhex(mac(node, link).replace(':', ''))
    own[0] ^= 0x02
    return str(ipaddress.IPv6Address(b'\xfe\x80' + bytes(6) + bytes(own[:3]) + b'\xff\xfe' + bytes(own[3:])))


def _prefixes(node):
    """(link, prefix, scope, broadcast) of every address."""
    yield 'lo', '127.0.0.1/8', 'host', None
    yield 'lo', f'{_HOST_DNS}/32', 'host', None
    yield 'lo', '::1/128', 'host', None
    for prefix in node.own_prefixes:
        yield 'eth0', prefix, 'global', None
    yield 'eth0', f'{_link_local(node, "eth0")}/64', 'link', None
    for link, prefix in node.tunnel_prefixes:
        yield link, prefix, 'global', None
    for link, prefix in node.cni_prefixes:
        broadcast = str(ipaddress.ip_interface(prefix).network.broadcast_address) if link == 'cni0' and ':' not in prefix else None
        yield link, prefix, 'global', broadcast
        yield link, f'{_link_local(node, link)}/64', 'link', None


def addresses(node):
    indexes = link_names(node)
    found = []
    for link, prefix, scope, broadcast in _prefixes(node):
        version6 = ':' in prefix
        spec = {'address': prefix, 'linkIndex': indexes[link], 'linkName': link, 'family': 'inet6' if version6 else 'inet4', 'scope': scope,
                'flags': 'permanent', 'priority': 0}
        proto = {} if version6 else {'local': prefix.split('/')[0], 'broadcast': broadcast}
        found.append(Resource(f'{link}/{prefix}', 'network.AddressStatusController', spec, proto=proto))
    return found


def links(node):
    return [_link(node, name, index) for name, index in link_names(node).items()]


def _link(node, name, index):
    loopback, cni, container = name == 'lo', name in (*_VXLAN, *_CILIUM, 'cni0'), node.model.platform == 'container'
    if name in dict(node.tunnel_prefixes):
        return _tunnel(name, index)
    kind = 'vxlan' if name in _VXLAN else 'veth' if name in _CILIUM else {'cni0': 'bridge', 'eth0': 'veth' if container else ''}.get(name, '')
    hardware = '00:00:00:00:00:00' if loopback else mac(node, name)
    spec = {
        'index': index, 'type': 'loopback' if loopback else 'ether', 'linkIndex': 7 + node.number if kind == 'veth' else 0,
        'flags': 'UP,LOOPBACK,RUNNING,LOWER_UP' if loopback else _UP, 'hardwareAddr': hardware, 'permanentAddr': '',
        'broadcastAddr': hardware if loopback else _BROADCAST, 'mtu': 65536 if loopback else 1450 if cni else 1500,
        'queueDisc': 'noqueue' if loopback or cni or container else 'fq_codel',
        'operationalState': 'unknown' if loopback or name in _VXLAN else 'up', 'kind': kind, 'slaveKind': '',
    }
    if name == 'cni0':
        spec |= {'busPath': 'N/A', 'driver': 'bridge', 'driverVersion': '2.3', 'firmwareVersion': 'N/A'}
    elif not loopback:
        driver, version = {'vxlan': ('vxlan', '0.1'), 'veth': ('veth', '1.0')}.get(kind, ('virtio_net', '1.0.0'))
        spec |= {'driver': driver, 'driverVersion': version}
    spec['linkState'] = True
    if not loopback:
        spec['speedMbit'] = 10000
    other = loopback or name == 'cni0'
    spec |= {'port': 'Other' if other else 'TwistedPair', 'duplex': 'Unknown' if other else 'Full'}
    return Resource(name, 'network.LinkStatusController', spec, version=2 if cni else 1)


def _tunnel(name, index):
    """A WireGuard link of Talos's own: it has no hardware address, and its state is not known to the kernel."""
    spec = {
        'index': index, 'type': 'nohdr', 'linkIndex': 0, 'flags': 'UP,POINTOPOINT,RUNNING,NOARP,LOWER_UP', 'hardwareAddr': '', 'permanentAddr': '',
        'broadcastAddr': '', 'mtu': 1420 if name == 'kubespan' else 1280, 'queueDisc': 'noqueue', 'operationalState': 'unknown', 'kind': 'wireguard',
        'slaveKind': '', 'driver': 'wireguard', 'driverVersion': '1.0', 'linkState': True, 'port': 'Other', 'duplex': 'Unknown',
    }
    return Resource(name, 'network.LinkStatusController', spec, version=2)


def routes(node):
    """The main table, and the local table's entries for every IPv4 address (talos-api 6.4).

    A machine that waits for its network has no default route, which is what Talos calls connectivity (edge-cases 31b).
    """
    indexes = link_names(node)
    found = []

    def add(route_id, dst, link, *, src='', gateway='', table='main', scope='global', kind='unicast', protocol='kernel', priority=0,
            proto=None, family=None):
        spec = {'family': family or ('inet6' if ':' in dst else 'inet4'), 'dst': dst, 'src': src, 'gateway': gateway, 'outLinkIndex': indexes[link],
                'outLinkName': link, 'table': table, 'priority': priority, 'scope': scope, 'type': kind, 'flags': '', 'protocol': protocol}
        found.append(Resource(route_id, 'network.RouteStatusController', spec, proto=proto or {}))

    for link, prefix, scope, _broadcast in _prefixes(node):
        interface = ipaddress.ip_interface(prefix)
        address = str(interface.ip)
        if interface.version == 6:
            if link == 'lo':
                add('local/lo/inet6//::1/128/0', '::1/128', 'lo', table='local', kind='local')
            elif scope == 'link':
                add(f'{link}/inet6//fe80::/64/256', 'fe80::/64', link, priority=256)
                add(f'local/{link}/inet6//{address}/128/0', f'{address}/128', link, table='local', kind='local')
                if link not in ('eth0', *dict(node.tunnel_prefixes)):
                    add(f'local/{link}/inet6//fe80::/128/0', 'fe80::/128', link, table='local', kind='anycast')
                add(f'local/{link}/inet6//ff00::/8/256', 'ff00::/8', link, table='local', kind='multicast', priority=256)
            elif interface.network.prefixlen < 128:
                add(f'{link}/inet6//{interface.network}/256', str(interface.network), link, priority=256)
            continue
        add(f'local/inet4//{address}/32/0', f'{address}/32', link, src=address, table='local', scope='host', kind='local')
        if interface.network.prefixlen == 32:
            continue
        network, broadcast = str(interface.network), str(interface.network.broadcast_address)
        add(f'local/inet4//{broadcast}/32/0', f'{broadcast}/32', link, src=address, table='local', scope='link', kind='broadcast')
        if link == 'lo':
            add(f'local/inet4//{network}/0', network, link, src=address, table='local', scope='host', kind='local')
        else:
            add(f'inet4//{network}/0', network, link, src=address, scope='link')
    if node.model.setup.get('kubespan'):
        for family in ('inet4', 'inet6'):
            add(f'{_KUBESPAN_TABLE}/{family}///1', '', 'kubespan', table=_KUBESPAN_TABLE, protocol='static', priority=1, family=family)
    default = node.model.setup.get('default_route', True)
    own = next((prefix for prefix in node.own_prefixes if ':' not in prefix and not prefix.endswith('/32')), None)
    default = default and 'network' not in (node.machine_status['unmet'] or ())
    if default and own:
        gateway = str(ipaddress.ip_interface(own).network.network_address + 1)
        add(f'inet4/{gateway}//0', '', 'eth0', gateway=gateway, protocol='boot')
    if default and any(':' in prefix and not prefix.endswith('/128') for prefix in node.own_prefixes):
        add('eth0/inet6/fe80::1//1024', '', 'eth0', gateway='fe80::1', protocol='ra', priority=1024, family='inet6')
    networks = node.model.derived('pod networks', lambda: {other.name: other.pod_cidrs for other in node.model.nodes.values()})
    for other, cidrs in networks.items():
        for cidr in cidrs if other != node.name else ():
            gateway, link = cidr.split('/')[0], 'flannel.1' if ':' not in cidr else 'flannel-v6.1'
            if link in indexes:
                route_id = f'inet4/{gateway}/{cidr}/0' if link == 'flannel.1' else f'{link}/inet6/{gateway}/{cidr}/1024'
                add(route_id, cidr, link, gateway=gateway, protocol='boot', proto={'flags': _ROUTE_ONLINK})
    return sorted(found, key=lambda one: one.id)
