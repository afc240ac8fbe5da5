# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Wrong Endpoints": what stands behind the endpoints of the talosconfig."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import (
    GONE, NETWORK_FAULTS, addresses_of, belongs, dial_address, fault, is_network_fault, listed, machine_at, members, nothing_read, ordered,
    presence, seen, went_down_just_now,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.talos_api_client import troubles
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Evidence, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import WORKER

SECTION = 'talos_api.wrong_endpoints'
SOURCE = 'talosconfig'
NO_FORWARDING = 'no request forwarding'
LOCAL = ('127.0.0.1', '::1', 'localhost')


def dialled(view):
    """The endpoints that were dialled, or the unknown outcome for there being none."""
    return view.snapshot.endpoints, unknown('cluster', 'the talosconfig names no endpoint', explained_by=('not_judged',))


def numbers(view, endpoint):
    """The addresses behind an endpoint: its own, or what its name resolved to."""
    return {normal(address) for address in (endpoint.host, *endpoint.addresses) if is_ip(address)}


def machines_behind(view, endpoint):
    """The machines behind an endpoint, by address or by the identity that answered."""
    found = [machine_at(view, address) for address in sorted(numbers(view, endpoint))]
    answering = view.snapshot.machine(endpoint.machine) if endpoint.machine else None
    if answering is not None and is_ip(endpoint.host) and belongs(answering):
        found.append(answering)
    return [machine for index, machine in enumerate(found) if machine is not None and machine not in found[:index]]


def real_control_planes(view):
    return [m for m in ordered(view.control_planes) if m.answered or presence(view, m) != GONE]


def is_balancer(view, endpoint):
    """An address that is no machine's, and no virtual IP: a balancer or address translation, or a name for one or more machines."""
    if normal(endpoint.host) in {normal(vip) for vip in view.vips} or endpoint.host in LOCAL:
        return False
    if is_ip(endpoint.host):
        return machine_at(view, endpoint.host) is None and (endpoint.connected or not is_network_fault(endpoint.error))
    own = {normal(name) for m in view.snapshot.machines for name in own_names(m)}
    return normal(endpoint.host) not in own


def own_names(machine):
    """The names a machine has for itself; they stand in its certificate without anybody's doing."""
    spec = machine.resource('HostnameStatuses', 'hostname') or {}
    names = [machine.name, spec.get('hostname')]
    if spec.get('hostname') and spec.get('domainname'):
        names.append(f'{spec["hostname"]}.{spec["domainname"]}')
    return [name for name in names if name]


def _remedy(view):
    """client_endpoints with the addresses of the control plane nodes, or None where they are not known."""
    addresses = [address for address in (dial_address(view, m) for m in real_control_planes(view)) if address]
    return {'name': 'client_endpoints', 'args': {'context': view.snapshot.client.get('context'),
                                                 'endpoints': addresses}} if addresses else None


def _correct(view, without=()):
    """The step that corrects the list; C(without) are machines that it is not to name."""
    addresses = [address for address in (dial_address(view, m) for m in real_control_planes(view) if m not in without) if address]
    return f'Set endpoints to the addresses of the control plane nodes: {listed(addresses, 12)}.' if addresses else \
        'Set endpoints to the addresses of the control plane nodes.'


def said_by(endpoint, text, source=SOURCE):
    return Evidence(text, source, endpoint.text)


# -- API-5: workers ---------------------------------------------------------------------------------------------

def endpoint_is_worker(view):
    endpoints, none = dialled(view)
    outcomes = []
    for endpoint in endpoints:
        worker, known = worker_evidence(view, endpoint)
        if worker:
            outcomes.append(error(
                endpoint.text, f'endpoint {endpoint.text} is a worker',
                'A worker answers for itself, but forwards requests to no other node. With several endpoints the fault comes and goes, '
                'because each call takes another endpoint.', _correct(view), nodes=[m.key for m in machines_behind(view, endpoint)],
                evidence=[worker], remedy=_remedy(view),
                asserts=(f'endpoint:{endpoint.text}',)))
        elif known:
            outcomes.append(ok(endpoint.text))
        else:
            outcomes.append(unknown(endpoint.text, f'whether endpoint {endpoint.text} is a worker: {_why(view, endpoint)}',
                                    explained_by=_explained(view, endpoint)))
    return outcomes or none


def worker_evidence(view, endpoint):
    """(Evidence or None, whether it could be told)."""
    types = endpoint.datum('MachineTypes')
    if types.ok:
        for item in types.value:
            if item.get('spec') == WORKER:
                return said_by(endpoint, 'it says of itself that it is a worker', 'MachineTypes'), True
    for machine in view.snapshot.machines:
        for text, result in (machine.value('reach') or {}).items():
            if text == endpoint.text and NO_FORWARDING in str(result):
                return said_by(endpoint, f'asked for {machine.label}: {result}', 'reach'), True
    behind = machines_behind(view, endpoint)
    for machine in behind:
        if machine.type == WORKER:
            return seen(machine, 'Members', f'{machine.label}, {endpoint.host}, is a worker'), True
    elsewhere = bool(view.answering_control_planes) and not endpoint.connected
    return None, types.ok or elsewhere or any(machine.is_control_plane for machine in behind)


def _why(view, endpoint):
    if not endpoint.connected:
        return 'it did not answer'
    return f'MachineTypes, {endpoint.datum("MachineTypes").why()}'


def _explained(view, endpoint):
    return tuple(f'unreachable:{m.key}' for m in machines_behind(view, endpoint)) + (f'endpoint:{endpoint.text}', 'not_judged')


# -- API-6: the virtual IP --------------------------------------------------------------------------------------

def endpoint_is_vip(view):
    endpoints, none = dialled(view)
    if not endpoints:
        return none
    if not view.vips_known:
        return nothing_read('whether an endpoint is the virtual IP', view.answering_control_planes, 'NodeIPConfigs')
    vips = {normal(vip) for vip in view.vips}
    outcomes = []
    for endpoint in endpoints:
        hit = sorted(numbers(view, endpoint) & vips)
        if not hit:
            outcomes.append(ok(endpoint.text))
            continue
        resolved = '' if normal(endpoint.host) in hit else f', which resolves to {listed(hit)},'
        outcomes.append(error(
            endpoint.text, f'endpoint {endpoint.text}{resolved} is the virtual IP of the Kubernetes API',
            'The virtual IP is held through etcd: when etcd is down, which is when the Talos API is needed most, nobody holds it. While it '
            'moves, calls hang.', f'Keep the virtual IP for kubectl alone. {_correct(view)}',
            evidence=[seen(m, 'NodeIPConfigs', f'virtual IPs: {listed(sorted(vips))}') for m in ordered(view.answering_control_planes)
                      if m.datum('NodeIPConfigs').ok],
            remedy=_remedy(view), asserts=(f'endpoint:{endpoint.text}',)))
    return outcomes


# -- API-7: quality of the list ---------------------------------------------------------------------------------

def endpoint_dead(view):
    """Endpoints that do not answer, or behind which no machine of this cluster stands, while others answer."""
    endpoints, none = dialled(view)
    if not endpoints:
        return none
    if not view.answering_control_planes:
        return unknown('cluster', 'which endpoints are dead: no control plane node answered', explained_by=('not_judged',))
    outcomes = []
    for endpoint in endpoints:
        if endpoint.connected:
            outcomes.append(ok(endpoint.text))
            continue
        behind = [m for m in machines_behind(view, endpoint) if m.answered or presence(view, m) != GONE]
        came_back = (endpoint.error or {}).get('text') or 'no answer'
        if behind and all(went_down_just_now(view, machine) for machine in behind):
            outcomes.append(info(
                endpoint.text, f'endpoint {endpoint.text} ({listed(m.label for m in behind)}) could not be used: {_short(endpoint)}',
                'Its machine was drained and went down a moment ago.', 'Gather again in a few minutes.', nodes=[m.key for m in behind],
                evidence=[said_by(endpoint, came_back, 'TLS')], explained_by=tuple(f'unreachable:{m.key}' for m in behind)))
        elif behind:
            outcomes.append(warning(
                endpoint.text, f'endpoint {endpoint.text} ({listed(m.label for m in behind)}) could not be used: {_short(endpoint)}',
                'Clients go on to the next endpoint, which costs time, and there is one fewer to fall back on.',
                f'Repair the machine or the way to it. Only if it was taken away on purpose: {_correct(view, behind)}', nodes=[m.key for m in behind],
                evidence=[said_by(endpoint, came_back, 'TLS')],
                explained_by=tuple(f'unreachable:{m.key}' for m in behind) + (f'endpoint:{endpoint.text}',)))
        elif is_ip(endpoint.host):
            outcomes.append(warning(
                endpoint.text, f'endpoint {endpoint.text} is no machine of the cluster',
                'No control plane node has this address, and nothing that belongs to this cluster answers there: an old entry of the '
                'talosconfig.',
                _correct(view), evidence=[said_by(endpoint, came_back, 'TLS')] + _known_addresses(view), remedy=_remedy(view)))
        elif is_network_fault(endpoint.error):
            outcomes.append(warning(
                endpoint.text, f'endpoint {endpoint.text} could not be used: {_short(endpoint)}',
                'Clients go on to the next endpoint, which costs time.',
                f'Correct the name or what it leads to, or drop it. {_correct(view)}',
                evidence=[said_by(endpoint, came_back, 'TLS')], remedy=_remedy(view)))
    return outcomes or ok('cluster')


def _short(endpoint):
    kind = fault(endpoint.error)
    return NETWORK_FAULTS.get(kind, 'the TLS handshake failed')


def _known_addresses(view):
    return [seen(m, 'Members', f'control plane node {m.label}: {listed(sorted(addresses_of(view, m)))}') for m in real_control_planes(view)]


def endpoint_not_talos(view):
    """Something else listens there: plain TCP or HTTP, or TLS that is no gRPC."""
    endpoints, none = dialled(view)
    outcomes = []
    for trouble in troubles(view):
        if trouble.kind in ('not_tls', 'not_grpc'):
            what = 'does not speak TLS' if trouble.kind == 'not_tls' else 'speaks TLS, but not gRPC'
            outcomes.append(error(
                trouble.subject, f'{trouble.label} is no Talos API: what listens there {what}',
                'Another program has this address and port, or a proxy in between answers instead of the machine.',
                f'Correct address and port, or what is between. {_correct(view)}', nodes=trouble.nodes,
                evidence=trouble.evidence(), asserts=trouble.asserts()))
    if outcomes:
        return outcomes
    if any(endpoint.connected for endpoint in endpoints):
        return ok('cluster')
    return unknown('cluster', 'what listens on the endpoints: none could be used', explained_by=('not_judged',)) if endpoints else none


def endpoint_foreign(view):
    """An endpoint that answers, but is no control plane node of the cluster that the others belong to."""
    outcomes = []
    members_read = [m for m in view.answering_control_planes if m.datum('Members').ok and m.value('Members')]
    if not members_read:
        if any(view.discovery_disabled(m) for m in view.answering_control_planes):
            return not_applicable('cluster', 'discovery is disabled: there is no member list to compare with')
        return nothing_read('whether the endpoints are members', view.answering_control_planes, 'Members')
    known = {spec.get('nodeId') for m in members_read for _item, spec in members(m)}
    for endpoint in view.snapshot.endpoints:
        machine = view.snapshot.machine(endpoint.machine) if endpoint.machine else None
        if not endpoint.connected or machine is None or machine.resource('Identities', 'local') is None:
            continue
        if machine.key in known or sum(1 for m in members_read if m is not machine) == 0:
            outcomes.append(ok(endpoint.text))
            continue
        outcomes.append(warning(
            endpoint.text, f'endpoint {endpoint.text} answers, but is no member of the cluster of the other endpoints',
            'It trusts the same CA, yet nobody lists it as a member: a machine of another cluster made from the same secrets, or one that '
            'cannot reach discovery.',
            f'Find out which cluster {machine.label} belongs to. {_correct(view)}', nodes=[machine.key], evidence=_known_addresses(view)))
    return outcomes or ok('cluster')


def endpoint_list_short(view):
    """One endpoint for several control plane nodes (warning); a control plane node that is not in the list (info)."""
    endpoints, none = dialled(view)
    if not endpoints:
        return none
    if not view.answering_control_planes:
        return unknown('cluster', 'whether all control plane nodes are in the list: none answered', explained_by=('not_judged',))
    planes = real_control_planes(view)
    covered = set().union(*(numbers(view, endpoint) for endpoint in endpoints))
    balanced = [endpoint for endpoint in endpoints if is_balancer(view, endpoint)]
    if balanced or any(not is_ip(endpoint.host) and len(machines_behind(view, endpoint)) > 1 for endpoint in endpoints):
        return ok('cluster')
    missing = [m for m in planes if not addresses_of(view, m) & covered and m.key not in {e.machine for e in endpoints}]
    if len(endpoints) == 1 and len(planes) > 1:
        return warning('cluster', f'the talosconfig has one endpoint, {endpoints[0].text}, for {len(planes)} control plane nodes',
                       'When this node is down, nothing can be asked of the cluster, though the others are well.', _correct(view),
                       evidence=_known_addresses(view), remedy=_remedy(view), explained_by=(f'endpoint:{endpoints[0].text}',))
    if missing:
        names = listed(f'{m.label} ({dial_address(view, m)})' for m in missing)
        return info('cluster', f'not among the endpoints, though a control plane node: {names}',
                    'A client never tries what is not in its list.', _correct(view), nodes=[m.key for m in missing], remedy=_remedy(view),
                    evidence=[Evidence(f'endpoints: {listed((e.text for e in endpoints), 12)}', SOURCE)])
    return ok('cluster')


CHECKS = (
    Check('talos_api.endpoint_is_worker', SECTION, 'no endpoint is a worker', endpoint_is_worker,
          reads=('MachineTypes', 'reach', 'Members'),
          catalogue='API-5', remedy='client_endpoints'),
    Check('talos_api.endpoint_is_vip', SECTION, 'no endpoint is the virtual IP', endpoint_is_vip, reads=('NodeIPConfigs',),
          catalogue='API-6',
          remedy='client_endpoints'),
    Check('talos_api.endpoint_dead', SECTION, 'every endpoint answers and belongs to the cluster', endpoint_dead, reads=('Members',),
          cluster_reads=('nodes',), catalogue='API-7', remedy='client_endpoints'),
    Check('talos_api.endpoint_not_talos', SECTION, 'a Talos API listens on every endpoint', endpoint_not_talos, catalogue='API-3, API-7'),
    Check('talos_api.endpoint_foreign', SECTION, 'every endpoint is a member', endpoint_foreign, reads=('Members', 'Identities'),
          catalogue='API-7'),
    Check('talos_api.endpoint_list_short', SECTION, 'all control plane nodes are endpoints', endpoint_list_short, reads=('Members',),
          catalogue='API-7',
          remedy='client_endpoints'),
)
