# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machines there are: the union of everything that names one, pure.

Discovery, endpoints and the nodes that the user gives are known after the first wave; etcd's members and the
Kubernetes Nodes after the second. A machine is keyed by its Talos node identity, else by the address asked, never by
its host name: two machines with one name, and one machine under two, are faults to be found.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from urllib.parse import urlsplit

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import CONTROL_PLANE, UNKNOWN, WORKER, Machine

DISCOVERY, ETCD, KUBERNETES, TALOSCONFIG, OPTIONS = 'discovery', 'etcd', 'kubernetes', 'talosconfig', 'options'
CONTROL_PLANE_LABELS = ('node-role.kubernetes.io/control-plane', 'node-role.kubernetes.io/master')

_TYPES = {'controlplane': CONTROL_PLANE, 'init': CONTROL_PLANE, 'worker': WORKER}
LOCAL = ('127.0.0.1', '::1')  # what every certificate from Talos 1.13 on names; no other address of 127.0.0.0/8 is meant
_BASE62 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'


def machine_type(word):
    """controlplane, worker or unknown; init, which old machine configs say, is a control plane node."""
    return _TYPES.get(word, UNKNOWN)


def is_ip(text):
    try:
        ipaddress.ip_address(str(text))
    except ValueError:
        return False
    return True


def kubernetes_machine_id(node_id):
    """/etc/machine-id as Talos derives it from the node identity: the first 16 bytes of its base62, as hex (None if it is none)."""
    out, bits, count = [], 0, 0
    for place, character in enumerate(node_id):
        digit = _BASE62.find(character)
        if digit < 0:
            return None
        bits |= digit << count
        if place == len(node_id) - 1:
            count += digit.bit_length()
        else:
            count += 5 if digit & 0x1E == 0x1E else 6
        while count >= 8:
            out.append(bits & 0xFF)
            bits, count = bits >> 8, count - 8
    if count:
        out.append(bits & 0xFF)
    return bytes(reversed(out))[:16].hex() if len(out) >= 16 else None


def name_machine(machine, source):
    """Note where a machine is known from."""
    if source not in machine.known_from:
        machine.known_from.append(source)


# -- after the first wave -----------------------------------------------------------------------------------


def from_members(lists):
    """Machines from the Members lists of several endpoints (lists of resources), merged by node identity.

    A machine's first address is the one to ask it by: one that no other member lists too, because around a move of
    the VIP two members may list it (talos-api 6.1).
    """
    merged = {}
    for members in lists:
        for item in members or []:
            spec = item.get('spec') or {}
            entry = merged.setdefault(spec.get('nodeId') or item['id'], {'name': item['id'], 'addresses': [], 'type': UNKNOWN})
            entry['addresses'] += [str(address) for address in spec.get('addresses') or [] if str(address) not in entry['addresses']]
            entry['type'] = machine_type(spec.get('machineType')) if entry['type'] == UNKNOWN else entry['type']
    listed = Counter(address for entry in merged.values() for address in entry['addresses'])
    found, by_address = [], {}
    for node_id, entry in merged.items():
        addresses = sorted(entry['addresses'], key=lambda address: listed[address] > 1)
        same = by_address.get(addresses[0]) if addresses else None
        if same is not None:
            continue
        machine = Machine(node_id, addresses[0] if addresses else None, addresses, entry['name'], entry['type'], [DISCOVERY])
        found.append(machine)
        if addresses:
            by_address[addresses[0]] = machine
    return found


def place_endpoints(endpoints, machines, source):
    """Find the machine behind each Endpoint, adding machines where none is known; returns {endpoint text: Machine}.

    A VIP or a balancer is no machine: such an endpoint maps to the one whose certificate it served.
    """
    placed, by_certificate = {}, {}
    for endpoint in sorted(endpoints, key=lambda item: not item.connected):
        certificate = endpoint.certificate or {}
        machine = _owner(endpoint, machines) or by_certificate.get(certificate.get('sha256'))
        addresses = endpoint.addresses or _served_addresses(endpoint)
        if machine is None and addresses:
            machine = Machine(addresses[0], addresses[0], list(addresses))
            machines.append(machine)
        if machine is None:
            continue
        if not machine.addresses:
            machine.address, machine.addresses = addresses[0], list(addresses)
        if certificate.get('sha256') and endpoint.connected:
            by_certificate.setdefault(certificate['sha256'], machine)
        name_machine(machine, source)
        placed[endpoint.text] = machine
    return placed


def _served_addresses(endpoint):
    """The addresses in the certificate, where a proxy keeps us from knowing which one was reached."""
    certificate = (endpoint.certificate or {}) if endpoint.connected else {}
    return [address for address in certificate.get('ips') or [] if address not in LOCAL][:1]


def _owner(endpoint, machines):
    """The machine that has the endpoint's address or, when several or none have, is named by the served certificate."""
    holders = [machine for machine in machines if set(endpoint.addresses) & set(machine.addresses)]
    if len(holders) == 1 and holders[0].address in endpoint.addresses:
        return holders[0]
    certificate = (endpoint.certificate or {}) if endpoint.connected else {}
    named = [machine for machine in machines if machine.address in (certificate.get('ips') or [])]
    if len(named) == 1:
        return named[0]
    if len(holders) == 1:
        return holders[0]
    named = [machine for machine in machines if not machine.addresses and machine.name in (certificate.get('dns') or [])]
    return named[0] if len(named) == 1 and (endpoint.addresses or _served_addresses(endpoint)) else None


def add_nodes(machines, nodes, source):
    """The nodes that a talosconfig or the user names, by address or name."""
    for node in nodes:
        machine = _by_address(machines, node) or next((m for m in machines if m.name == node), None)
        if machine is None:
            machine = Machine(node, node, [node] if is_ip(node) else [], None if is_ip(node) else node)
            machines.append(machine)
        name_machine(machine, source)


# -- after the second wave ----------------------------------------------------------------------------------


def vips(machines):
    """Configured virtual IPs: the bare addresses of NodeIPConfigs excludeSubnets (talos-api 6.4)."""
    found = set()
    for machine in machines:
        for item in machine.value('NodeIPConfigs') or []:
            found.update(str(subnet) for subnet in (item.get('spec') or {}).get('excludeSubnets') or [] if '/' not in str(subnet))
    return found


def identity(machine):
    return (machine.resource('Identities', 'local') or {}).get('nodeId')


def settle(machines, virtual):
    """Name, type, addresses and key of the machines that were read; returns {id(machine): its successor or None} of those that are none.

    Two entries that answered with one identity are one machine under two addresses, unless the addresses that they hold
    have nothing in common: then a disk was cloned, and the second keeps its address in its key. What was not read leaves
    what discovery said.
    """
    gone, by_key = {}, {}
    for machine in sorted(machines, key=lambda item: (not item.answered, str(item.address))):
        if machine.answered:
            _settle(machine, virtual)
            if machine.key in by_key and _is_clone(machine, by_key[machine.key], virtual):
                machine.key = f'{machine.key}@{machine.address}'
        elif set(machine.addresses) <= virtual and machine.addresses and DISCOVERY not in machine.known_from:
            gone[id(machine)] = None
            continue
        else:
            machine.addresses = [address for address in machine.addresses if address not in virtual]
        kept = by_key.setdefault(machine.key, machine)
        if kept is machine and not machine.answered:
            kept = next((other for other in by_key.values() if other.answered and machine.address in other.addresses), machine)
        if kept is not machine:
            gone[id(machine)] = kept
            by_key = {key: item for key, item in by_key.items() if item is not machine}
            for source in machine.known_from:
                name_machine(kept, source)
    return gone


def _settle(machine, virtual):
    machine.key = identity(machine) or machine.key
    nodename = (machine.resource('Nodenames', 'nodename') or {}).get('nodename')
    machine.name = nodename or (machine.resource('HostnameStatuses', 'hostname') or {}).get('hostname') or machine.name
    kind = machine_type(machine.resource('MachineTypes'))
    machine.type = machine.type if kind == UNKNOWN else kind
    held = _held(machine)
    known = list(dict.fromkeys(machine.addresses + _routed(machine)))
    real = [address for address in known if address not in virtual]
    machine.addresses = real + [address for address in known if address in virtual and address in held]
    if machine.address in virtual and real:
        machine.address = real[0]


def _held(machine):
    """The addresses that stand on its links, by its own word."""
    return {str((item.get('spec') or {}).get('address')).partition('/')[0] for item in machine.value('AddressStatuses') or []}


def _routed(machine):
    """Its own addresses, without those of pods and services and without loopback (talos-api 6.4)."""
    return [str(prefix).partition('/')[0] for prefix in (machine.resource('NodeAddresses', 'routed-no-k8s') or {}).get('addresses') or []]


def _is_clone(machine, other, virtual):
    """Whether two entries with one identity are two machines: neither holds an address of the other's."""
    mine, its = (set(_routed(entry)) - virtual for entry in (machine, other))
    return bool(mine) and bool(its) and not mine & its


def add_affiliates(machines, virtual):
    """New machines for Affiliates that are none: of two machines with one name only one is in Members, which are named by it."""
    keys, added = {machine.key for machine in machines}, []
    for lister in list(machines):
        for item in lister.value('Affiliates') or []:
            spec = item.get('spec') or {}
            addresses = [str(address) for address in spec.get('addresses') or [] if str(address) not in virtual]
            if not addresses or item['id'] in keys or any(_by_address(machines + added, address) for address in addresses):
                continue
            keys.add(item['id'])
            name = spec.get('nodename') or spec.get('hostname')
            added.append(Machine(item['id'], addresses[0], addresses, name, machine_type(spec.get('machineType')), [DISCOVERY]))
    machines.extend(added)
    return added


def add_etcd_members(machines, virtual):
    """Mark the machines that are etcd members; returns new machines for members that are none (possibly stale ones)."""
    by_member_id = {}
    for machine in machines:
        member_id = (machine.resource('EtcdMembers', 'local') or {}).get('memberID') or (machine.value('EtcdStatus') or {}).get('member_id')
        if member_id:
            by_member_id[member_id] = machine
    added = []
    for lister in list(machines):
        for member in (lister.value('EtcdMemberList') or {}).get('members') or []:
            hosts = [host for host in map(_host, member.get('peer_urls') or []) if host]
            known = [_by_address(machines + added, host) for host in hosts if host not in virtual]
            machine = by_member_id.get(member['id']) or next((m for m in known if m is not None), None)
            if machine is None and hosts:
                machine = Machine(hosts[0], hosts[0], hosts, member.get('hostname') or None)
                added.append(machine)
            if machine is not None:
                machine.type = CONTROL_PLANE if machine.type == UNKNOWN else machine.type
                machine.name = machine.name or member.get('hostname') or None
                name_machine(machine, ETCD)
    machines.extend(added)
    return added


def add_kubernetes_nodes(machines, nodes, virtual):
    """Mark the machines that are Kubernetes Nodes; returns new machines for Nodes that are none, and finds addresses by name."""
    added = []
    by_machine_id = {kubernetes_machine_id(machine.key): machine for machine in machines}
    by_machine_id.pop(None, None)
    for node in nodes or []:
        addresses = [str(item['address']) for item in node.get('addresses') or [] if item.get('type') in ('InternalIP', 'ExternalIP')]
        addresses = [address for address in addresses if address not in virtual]
        known = [_by_address(machines, address) for address in addresses]
        machine = (next((m for m in known if m is not None), None) or by_machine_id.get(node.get('machine_id'))
                   or next((m for m in machines if m.name == node['name']), None))
        if machine is None:
            machine = Machine(addresses[0] if addresses else node['name'], addresses[0] if addresses else None, addresses, node['name'])
            machines.append(machine)
            added.append(machine)
        elif machine.address is None and addresses:
            machine.address, machine.addresses = addresses[0], addresses
            added.append(machine)
        if machine.type == UNKNOWN:
            machine.type = CONTROL_PLANE if any(label in (node.get('labels') or {}) for label in CONTROL_PLANE_LABELS) else WORKER
        machine.name = machine.name or node['name']
        name_machine(machine, KUBERNETES)
    return added


def shares_a_machine(machines, nodes):
    """Whether any Kubernetes Node is one of these machines, by address or machine id."""
    addresses = {address for machine in machines for address in [machine.address, *machine.addresses] if address}
    ids = {kubernetes_machine_id(machine.key) for machine in machines} - {None}
    return any(node.get('machine_id') in ids or any(a.get('address') in addresses for a in node.get('addresses') or []) for node in nodes)


def _by_address(machines, address):
    found = [machine for machine in machines if address == machine.address]
    return found[0] if found else next((machine for machine in machines if address in machine.addresses), None)


def _host(url):
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
