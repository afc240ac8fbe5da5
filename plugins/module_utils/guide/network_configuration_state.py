# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Network Configuration": whether a machine has links, addresses and routes (check catalogue NET-1).

A link that is down takes its addresses and routes with it, and these what Talos waits for. Each machine has one finding of that: the
nearest to the cause.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.talosops.talos.plugins.module_utils.guide.host_links import (
    connected_networks, default_routes, has_route_to, is_cni_link, is_down, links, node_addresses, own_addresses,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import dial_address, listed, logs_quiet, ordered, seen, unread
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import ALL, Check, error, info, ok, unknown, warning
from ansible_collections.talosops.talos.plugins.module_utils.judge.verdict import ERROR, rank
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import CONTROL_PLANE

SECTION = 'network_configuration'

# Keys of NetworkStatuses, by the words of MachineStatuses' condition "network" (talos-api 6.3).
_PARTS = {'address': 'addressReady', 'connectivity': 'connectivityReady', 'hostname': 'hostnameReady', 'etc-files': 'etcFilesReady'}
_LACKS = {'address': 'it has no address', 'hostname': 'it has no host name', 'etc-files': 'its /etc/hosts or /etc/resolv.conf is not written',
          'connectivity': 'it has no connectivity'}
_DHCP = 'net.dhcp_failed'
_WAIT = 'cri, etcd and kubelet do not start without address, host name and /etc files.'
_STEP = ('Look at the console of {name} (dashboard, network) and at "talosctl -n {address} get links,addresses,routes". On bare metal correct the '
         'network part of the machine configuration, in mode "try", which is taken back by itself when it cuts the machine off; in a cloud the '
         'network comes from the platform.')


def broken(machine):
    """The fact that the host network of this machine is broken."""
    return f'network:{machine.key}'


# -- links ------------------------------------------------------------------------------------------------------

def link_down(view, machine):
    """The links that carry the machine's default route or its first address are up; others may be down (rec: dummy0)."""
    carrying = _carrying(machine)
    down = {name: spec for name, spec in carrying.items() if is_down(spec)}
    if not down:
        return ok(machine.key, nodes=[machine.key])
    words = listed(f'{name} ({spec.get("operationalState")}{"" if spec.get("linkState", True) else ", no carrier"})' for name, spec in down.items())
    return _problem(view, machine, f'{machine.label}: the link {words} is down, which carries its address or default route',
                    'The machine answers by another way still, or just did. What leaves by this link goes nowhere.',
                    'Check cable, switch port, and the bond or VLAN that it belongs to.',
                    [seen(machine, 'LinkStatuses', f'{name}: operationalState {spec.get("operationalState")}, linkState '
                                                   f'{str(spec.get("linkState")).lower()}') for name, spec in down.items()])


def _carrying(machine):
    """{name: spec} of the host's links with a default route, or with the address that NodeAddresses calls the default one."""
    first = {normal(prefix) for prefix in node_addresses(machine, 'default')}
    names = {route.get('outLinkName') for route in default_routes(machine)}
    names |= {spec.get('linkName') for spec in (item.get('spec') or {} for item in machine.value('AddressStatuses') or [])
              if normal(spec.get('address')) in first}
    known = links(machine)
    return {name: known[name] for name in sorted(filter(None, names)) if name in known and not is_cni_link(name)}


# -- addresses --------------------------------------------------------------------------------------------------

def address_lost(view, machine):
    """The host has an address of its own beside those of the CNI (rec: without one Talos reports a subnet conflict that is none)."""
    if not node_addresses(machine, 'routed'):
        return ok(machine.key, nodes=[machine.key])  # none at all: not_ready says so
    if own_addresses(machine, view.vips) or _links_down(machine):
        return ok(machine.key, nodes=[machine.key])
    left = listed(f'{spec.get("address")} on {spec.get("linkName")}' for spec in (item.get('spec') or {} for item in machine.value('AddressStatuses'))
                  if spec.get('scope') == 'global') or 'none'
    evidence = [seen(machine, 'AddressStatuses', f'addresses left: {left}'),
                seen(machine, 'NodeAddresses', f'without Kubernetes\' own: {listed(node_addresses(machine, "routed-no-k8s")) or "none"}')]
    evidence += [seen(machine, 'Diagnostics', 'address-overlap, which this raises as well') for item in machine.value('Diagnostics') or []
                 if item.get('id') == 'address-overlap']
    return _problem(view, machine, f'{machine.label} has lost its own address: only those of the CNI are left',
                    'kubelet finds no node IP, the certificates lose the address, and discovery announces none. A diagnostic "address-overlap" is '
                    'raised by this too, and is no conflict of subnets then.',
                    'Look for a link that went down, or a DHCP lease that was not renewed.',
                    evidence)


def _links_down(machine):
    return any(is_down(spec) for spec in _carrying(machine).values())


# -- what Talos waits for ---------------------------------------------------------------------------------------

def not_ready(view, machine):
    """Talos holds the network to be ready: address, connectivity, host name and /etc files.

    Connectivity means that all probes succeed or, without probes, that there is a default route (edge-cases 31b): an air gap, or BGP, has
    none and lacks nothing.
    """
    unmet = _unmet(machine)
    if view.stage(machine) == 'maintenance':
        return ok(machine.key, nodes=[machine.key])
    if _links_down(machine) or (node_addresses(machine, 'routed') and machine.datum('AddressStatuses').ok and not own_addresses(machine, view.vips)):
        unmet = [part for part in unmet if part not in ('address', 'connectivity')]  # told by the checks above
    unseen = unread([machine], 'NetworkStatuses', 'MachineStatuses')
    if not unmet and unseen:
        return unknown(machine.key, f'whether the network of {machine.label} is ready: {"; ".join(unseen)}', nodes=[machine.key],
                       next_step='Read it again.')
    if not unmet:
        return ok(machine.key, nodes=[machine.key])
    evidence = _unmet_evidence(machine)
    if unmet != ['connectivity']:
        return _problem(view, machine, f'the network of {machine.label} is not ready: {listed(_LACKS[part] for part in unmet)}', _WAIT,
                        'Compare with the network part of its machine configuration, or with what DHCP gives.', evidence)
    return _no_connectivity(view, machine, evidence)


def _unmet(machine):
    """The words of what is not ready, by NetworkStatuses and by the condition that machined makes of it."""
    status, reason = machine.resource('NetworkStatuses', 'status') or {}, _condition(machine.resource('MachineStatuses', 'machine'))
    return [word for word, name in _PARTS.items() if status.get(name) is False or reason is not None and word in reason]


def _condition(told):
    """The reason of the unmet condition "network", None without it."""
    for condition in ((told or {}).get('status') or {}).get('unmetConditions') or []:
        if condition.get('name') == 'network':
            return str(condition.get('reason') or '')
    return None


def _unmet_evidence(machine):
    status, reason = machine.resource('NetworkStatuses', 'status'), _condition(machine.resource('MachineStatuses', 'machine'))
    found = [seen(machine, 'NetworkStatuses', ', '.join(f'{name}: {str(status.get(name)).lower()}' for name in _PARTS.values()))] if status else []
    return found + ([seen(machine, 'MachineStatuses', f'network: {reason}')] if reason is not None else [])


# -- connectivity -----------------------------------------------------------------------------------------------

def _no_connectivity(view, machine, evidence):
    probes = [(item.get('id'), item.get('spec') or {}) for item in machine.value('ProbeStatuses') or []]
    failing = [(name, spec) for name, spec in probes if spec.get('success') is False]
    if failing:
        return _problem(view, machine, f'{machine.label} has no connectivity: the probe {listed(name for name, _spec in failing)} fails',
                        'The machine configuration names what has to be reached for the network to count as ready, and it is not.',
                        'See whether the target of the probe answers, and the route to it.',
                        [*evidence, *(seen(machine, 'ProbeStatuses', f'{name}: {spec.get("lastError")}') for name, spec in failing)])
    if not machine.datum('RouteStatuses').ok:
        return unknown(machine.key, f'why {machine.label} has no connectivity: {"; ".join(unread([machine], "RouteStatuses"))}', nodes=[machine.key],
                       evidence=evidence, next_step='Read its routes.')
    default = default_routes(machine)
    if default:
        return _problem(view, machine, f'{machine.label} has no connectivity, although it has a default route',
                        'Talos judges connectivity by probes where some are configured, else by the default route: a probe fails, or the route has '
                        'just come back.', 'Look at "get probestatuses", and again in a minute.',
                        [*evidence, *(seen(machine, 'RouteStatuses', f'default via {route.get("gateway") or route.get("outLinkName")}')
                                      for route in default)])
    neighbour, gateway = _gateway_of_a_neighbour(view, machine)
    if neighbour is not None:
        return _problem(view, machine, f'{machine.label} has no default route, and its neighbours have one through {gateway}',
                        'Nothing outside of its own network can be reached: no registry, no discovery, no time server.',
                        f'Compare its network configuration, or its DHCP lease, with that of {neighbour.label}.',
                        [*evidence, seen(machine, 'RouteStatuses', 'no default route'),
                         seen(neighbour, 'RouteStatuses', f'default via {gateway}, which lies in a network of {machine.label}')])
    cut_off = _peers_without_route(view, machine)
    if cut_off:
        return _problem(view, machine, f'{machine.label} has no default route, and none to {listed(peer.label for peer in cut_off)}',
                        'It answers, but cannot reach these machines of its cluster by itself.', 'Add the missing routes, or a default one.',
                        [*evidence, seen(machine, 'RouteStatuses', 'no default route')])
    unseen = unread([machine], 'ProbeStatuses') + unread([other for other in view.snapshot.answering() if other is not machine], 'RouteStatuses')
    if unseen:
        return unknown(machine.key, f'why {machine.label} has no connectivity: it has no default route; {"; ".join(unseen)}', nodes=[machine.key],
                       evidence=evidence, next_step='Read it again.')
    return info(machine.key, f'{machine.label} has no default route',
                'Talos calls that no connectivity. It answers, is in touch with the cluster and has routes to all of its machines, as in an air gap '
                'or with BGP. Its status stays "not ready" for it.',
                'If it should reach other networks, give it a default route; if not, a probe (TCPProbeConfig) tells Talos what has to be reached '
                'instead.',
                nodes=[machine.key], evidence=evidence)


def _gateway_of_a_neighbour(view, machine):
    """C((machine, gateway)) of one that goes out through a gateway in a network that this machine is connected to; else (None, None)."""
    networks = connected_networks(machine)
    for other in ordered(view.snapshot.answering()):
        for route in default_routes(other) if other is not machine else ():
            gateway = route.get('gateway') or ''
            ip = ipaddress.ip_address(normal(gateway)) if is_ip(gateway) else None
            if ip is not None and not ip.is_link_local and any(ip.version == network.version and ip in network for network in networks):
                return other, gateway
    return None, None


def _peers_without_route(view, machine):
    """The machines of the cluster that answer, none of whose addresses it has a route to."""
    peers = [peer for peer in ordered(view.snapshot.answering()) if peer is not machine and dial_address(view, peer)]
    return [peer for peer in peers if not any(has_route_to(machine, address) for address in (peer.address, *peer.addresses) if address)]


# -- DHCP -------------------------------------------------------------------------------------------------------

def dhcp_failing(view, machine):
    """Leases are got and renewed on the links that the machine stands on (signature net.dhcp_failed); on a spare one nobody need answer."""
    failed = view.signatures.recent(machine, _DHCP)
    if failed and _has_fault(view, machine):
        return None  # the finding of that quotes it
    if not failed:
        return logs_quiet(view, machine, f'whether DHCP answers {machine.label}', 'controller-runtime', 'machined')
    hit, used = failed[-1], _carrying(machine)
    link = next((name for name in used if f'"{name}"' in hit.line.text), None)
    if link is None and '"link": "' in hit.line.text:
        unseen = unread([machine], 'RouteStatuses', *_ADDRESSES)
        if unseen:
            return unknown(machine.key, f'whether {machine.label} needs the link on which DHCP fails: {"; ".join(unseen)}', nodes=[machine.key],
                           evidence=[hit.evidence()])
        return info(machine.key, f'{machine.label} gets no DHCP lease on a link that it does not need',
                    'The link carries neither its first address nor its default route.',
                    'Switch DHCP off for that link, if nobody is to answer there.', nodes=[machine.key], evidence=[hit.evidence()])
    return warning(machine.key, f'{machine.label} gets no answer from DHCP{f" on {link}" if link else ""}',
                   'While the old lease lasts it keeps its address; then it loses it.',
                   'Check the DHCP server, VLAN and relay of that network; a machine that must not depend on it gets a static address.',
                   nodes=[machine.key], evidence=[hit.evidence()])


def _has_fault(view, machine):
    """Whether one of the other checks finds the network of a machine broken, as far as they can see."""
    for run, needs in ((link_down, _LINKS), (address_lost, _LOST), (not_ready, ())):
        if all(machine.datum(kind).ok for kind in needs) and rank(run(view, machine).verdict) >= rank(ERROR):
            return True
    return False


def _problem(view, machine, title, means, step, evidence):
    """An error, or information while the machine boots or is being changed (G3, G5)."""
    if view.in_progress(machine) or view.young(machine):
        return info(machine.key, title, f'{means} The machine booted or is being changed just now: this may still settle.',
                    'Look again in a few minutes.', nodes=[machine.key], evidence=evidence)
    evidence = [*evidence, *(hit.evidence() for hit in view.signatures.recent(machine, _DHCP))]
    address = dial_address(view, machine) or machine.label
    role = 'control plane node' if machine.type == CONTROL_PLANE else 'machine'
    return error(machine.key, title, means, f'{step} {_STEP.format(name=f"this {role}", address=address)}', nodes=[machine.key], evidence=evidence,
                 asserts=(broken(machine),), explained_by=(f'subnet_conflict:{machine.key}',))


_ADDRESSES = ('NodeAddresses', 'AddressStatuses', 'LinkStatuses')
_LINKS = (*_ADDRESSES, 'RouteStatuses')
_LOST = (*_ADDRESSES, 'NodeAddressFilters', 'NodeIPConfigs')

CHECKS = (
    Check('network_configuration.link_down', SECTION, 'the links in use are up', link_down, each=ALL,
          needs=_LINKS, reads=('MachineStatuses',), logs=('controller-runtime',), catalogue='NET-1'),
    Check('network_configuration.address_lost', SECTION, 'the host has an address of its own', address_lost, each=ALL,
          needs=_LOST, reads=('RouteStatuses', 'Diagnostics', 'MachineStatuses'), logs=('controller-runtime',), catalogue='NET-1'),
    Check('network_configuration.not_ready', SECTION, 'the network is ready', not_ready, each=ALL,
          reads=('NetworkStatuses', 'MachineStatuses', 'ProbeStatuses', 'RouteStatuses', *_LOST), logs=('controller-runtime',), catalogue='NET-1'),
    Check('network_configuration.dhcp_failing', SECTION, 'DHCP answers where it is needed', dhcp_failing, each=ALL,
          reads=('NetworkStatuses', 'MachineStatuses', 'ProbeStatuses', 'RouteStatuses', *_LOST), logs=('controller-runtime', 'machined'),
          catalogue='NET-1', sharpens=True),
)
