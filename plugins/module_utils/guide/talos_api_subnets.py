# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Conflict on Kubernetes and Host Subnets": host addresses inside pod or service networks are dropped by Talos."""

from __future__ import annotations

import ipaddress

from ansible_collections.talosops.talos.plugins.module_utils.guide.host_links import host_addresses, kubernetes_networks, node_addresses
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import belongs, listed, members, nothing_read, seen
from ansible_collections.talosops.talos.plugins.module_utils.guide.talos_api_client import troubles
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, Check, critical, error, info, not_applicable, ok, unknown, warning,
)

SECTION = 'talos_api.subnet_conflict'

_LOOPBACK = ('127.0.0.1', '::1')
_DEFAULTS = tuple(ipaddress.ip_network(network) for network in ('10.244.0.0/16', '10.96.0.0/12'))

_MEANS = ('Talos leaves every address inside the pod and service networks out of what it uses for itself: certificates, the kubelet\'s '
          'node IP, etcd and discovery. A host whose addresses all lie there has none left, and cannot be reached by address.')
_STEP = ('Give pods or services a free range (cluster.network.podSubnets, cluster.network.serviceSubnets) on all nodes before the cluster '
         'is bootstrapped. On a cluster that runs, networks cannot be exchanged in place: give the hosts other addresses, or build the '
         'cluster anew.')


def subnet_conflict(view, machine):
    """Host addresses against the pod and service networks, CNI links left out (talos-api 6.4)."""
    networks = kubernetes_networks(machine)
    if not networks:
        return not_applicable(machine.key, f'{machine.label} knows no pod or service network', nodes=[machine.key])
    hosts = host_addresses(machine)
    inside = [a for a in hosts if _within(a, networks)]
    evidence = [
        seen(machine, 'AddressStatuses', f'host addresses: {_on_links(hosts) or "none"}'),
        seen(machine, 'NodeAddressFilters', f'pod and service networks: {listed(sorted(map(str, networks)), 10)}'),
        seen(machine, 'NodeAddresses', f'routed: {listed(node_addresses(machine, "routed")) or "none"}; without Kubernetes\' own: '
                                       f'{listed(node_addresses(machine, "routed-no-k8s")) or "none"}'),
    ]
    signs = _signs(machine)
    evidence += [text for _name, text in signs]
    if signs and inside:
        return critical(machine.key, f'{machine.label}: the host address {listed(_bare(inside))} lies in a pod or service network, and no '
                                     'other is left', _MEANS,
                        _STEP, nodes=[machine.key], evidence=evidence, asserts=(f'subnet_conflict:{machine.key}',))
    if inside:
        return warning(machine.key, f'{machine.label}: the host address {listed(_bare(inside))} lies in a pod or service network',
                       'Talos drops it without a word from certificates, node IP and etcd\'s addresses; '
                       f'{listed(_bare(a for a in hosts if a not in inside))} is still used. Whoever dials the dropped address is refused.',
                       'Give that interface an address outside these networks, or move the networks before the cluster is bootstrapped.',
                       nodes=[machine.key], evidence=evidence)
    if signs:
        return info(machine.key, f'{machine.label} has no address of its own left, but its networks do not conflict',
                    'Only addresses of the CNI remain on it, which raises the same signs as a conflict: the host lost its own address. The '
                    'networks are fine.',
                    f'Look at link, DHCP and routes of {machine.label}, not at the subnets.', nodes=[machine.key], evidence=evidence,
                    explained_by=(f'network:{machine.key}',))
    return ok(machine.key, nodes=[machine.key])


def _signs(machine):
    """[(name, Evidence)] of what Talos does when no address is left: diagnostic, empty list, certificate without address."""
    found = []
    for item in machine.value('Diagnostics') or []:
        if item.get('id') == 'address-overlap':
            details = (item.get('spec') or {}).get('details') or []
            found.append(('diagnostic', seen(machine, 'Diagnostics', f'address-overlap: {"; ".join(map(str, details))}')))
    if node_addresses(machine, 'routed') and not node_addresses(machine, 'routed-no-k8s'):
        found.append(('filtered', seen(machine, 'NodeAddresses', 'routed-no-k8s is empty')))
    certificate = machine.value('certificate')
    if certificate is not None and not _own_ips(certificate):
        text = f'the served certificate names no address of the host: {_names(certificate)}'
        found.append(('certificate', seen(machine, 'certificate', text)))
    return found


def certificate_without_address(view):
    """Certificates that name no address of their machine where the connection failed for it (catalogue API-4 a)."""
    outcomes = []
    for trouble in troubles(view):
        if trouble.kind != 'wrong_name':
            continue
        known = [machine for machine in map(view.snapshot.machine, trouble.nodes) if belongs(machine)]
        host = known[0].address if known else trouble.label
        if trouble.certificate and not _own_ips(trouble.certificate):
            name = trouble.certificate.get('common_name')
            called = f'{trouble.label} ({name})' if name and name != trouble.label else trouble.label
            outcomes.append(critical(
                trouble.subject, f'the certificate of {called} names no address of the host',
                f'{_MEANS} {_conflict_with_default(host)}'.strip(),
                f'Compare the address of the host with the pod and service networks of its machine configuration. {_STEP}',
                nodes=trouble.nodes, evidence=trouble.evidence(), asserts=trouble.asserts()))
        elif known:
            names = _names(trouble.certificate) if trouble.certificate else trouble.text
            outcomes.append(error(
                trouble.subject, f'the certificate of {trouble.label} does not name {host}',
                f'It names {names}. The address was taken over a short while ago, is translated on the way, or is one that Talos drops '
                'because it lies in a pod or service network.',
                'Compare the address with the addresses of the machine and with the pod and service networks; dial an address that the '
                f'certificate names. Where {host} is translated on the way, append it to machine.certSANs of that machine (talosctl patch '
                'machineconfig, first with --dry-run; no reboot).', nodes=trouble.nodes, evidence=trouble.evidence(), asserts=trouble.asserts()))
    if outcomes:
        return outcomes
    if view.answering_control_planes:
        return ok('cluster')
    return unknown('cluster', 'whether the certificates name the hosts\' addresses: no control plane node answered',
                   explained_by=('not_judged',))


def member_without_address(view):
    """Members that discovery lists without any address: all of theirs were dropped (signature members.no_address)."""
    read = [m for m in view.snapshot.answering() if m.datum('Members').ok]
    if not read:
        return nothing_read('whether every member has an address', view.snapshot.answering(), 'Members')
    found = {}
    for machine in read:
        for item, spec in members(machine):
            if not spec.get('addresses'):
                found.setdefault(spec.get('nodeId') or item.get('id'), (spec.get('hostname') or item.get('id'), []))[1].append(machine)
    outcomes = []
    for node_id, (name, observers) in sorted(found.items()):
        nodes = [node_id] if view.snapshot.machine(node_id) else []
        subject_machine = view.snapshot.machine(node_id)
        evidence = [seen(machine, 'Members', f'{name}: addresses []') for machine in observers]
        if subject_machine is not None and (view.in_progress(subject_machine) or view.young(subject_machine)):
            outcomes.append(info(node_id, f'{name} is a member without an address',
                                 'It booted or is being changed just now and may have none yet.',
                                 'Look again in a few minutes.', nodes=nodes, evidence=evidence))
            continue
        outcomes.append(error(node_id, f'{name} is a member without an address',
                              'It told discovery no address: all of its addresses lie in pod or service networks, or it has lost them. '
                              'Others cannot reach it.',
                              'Compare its addresses with the pod and service networks.', nodes=nodes, evidence=evidence,
                              asserts=(f'no_address:{node_id}',),
                              explained_by=(f'subnet_conflict:{node_id}', f'network:{node_id}')))
    return outcomes or ok('cluster')


# -- addresses --------------------------------------------------------------------------------------------------

def _within(address, networks):
    ip = ipaddress.ip_interface(address['address']).ip
    return any(ip.version == network.version and ip in network for network in networks)


def _bare(addresses):
    return [normal(a['address']) for a in addresses]


def _on_links(addresses):
    return listed(f'{a["address"]} on {a["link"]}' for a in addresses)


def _own_ips(certificate):
    return [ip for ip in certificate.get('ips') or [] if normal(ip) not in _LOOPBACK]


def _names(certificate):
    return listed((certificate.get('dns') or []) + (certificate.get('ips') or []), 12) or 'nothing'


def _conflict_with_default(host):
    address = normal(host)
    if not is_ip(address):
        return ''
    ip = ipaddress.ip_address(address)
    for network in _DEFAULTS:
        if ip.version == network.version and ip in network:
            return f'{ip} lies in {network}, which Talos gives to pods and services unless told otherwise.'
    return ''


CHECKS = (
    Check('talos_api.subnet_conflict', SECTION, 'no host address lies in a pod or service network', subnet_conflict, each=ALL,
          needs=('NodeAddresses', 'NodeAddressFilters', 'AddressStatuses'),
          reads=('LinkStatuses', 'RouteStatuses', 'Diagnostics', 'certificate'),
          catalogue='API-4'),
    Check('talos_api.certificate_without_address', SECTION, 'the served certificates name the hosts\' addresses',
          certificate_without_address,
          reads=('certificate',), catalogue='API-4'),
    Check('talos_api.member_without_address', SECTION, 'every member has an address', member_without_address,
          reads=('Members', 'MachineStatuses'),
          catalogue='API-4'),
)
