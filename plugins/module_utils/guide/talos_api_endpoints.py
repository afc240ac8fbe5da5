# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Wrong Endpoints" and "TCP Loadbalancer": what stands behind the endpoints of the talosconfig."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import (
    GONE, NETWORK_FAULTS, addresses_of, dial_address, fault, is_ip, is_network_fault, listed, machine_at, members, normal, ordered, presence, seen,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.talos_api_client import terminates_tls, troubles
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Evidence, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import WORKER

SECTION = 'talos_api.wrong_endpoints'
BALANCER = 'talos_api.tcp_loadbalancer'
SOURCE = 'talosconfig'
NO_FORWARDING = 'no request forwarding'
_LOCAL = ('127.0.0.1', '::1', 'localhost')


def _endpoints(view):
    """The endpoints that were dialled, or the unknown outcome for there being none."""
    return view.snapshot.endpoints, unknown('cluster', 'the talosconfig names no endpoint', explained_by=('not_judged',))


def _numbers(view, endpoint):
    """The addresses behind an endpoint: its own, or what its name resolved to."""
    return {normal(address) for address in (endpoint.host, *endpoint.addresses) if is_ip(address)}


def _machines(view, endpoint):
    """The machines behind an endpoint, by address or by the identity that answered."""
    found = [machine_at(view, address) for address in sorted(_numbers(view, endpoint))]
    if endpoint.machine and is_ip(endpoint.host):
        found.append(view.snapshot.machine(endpoint.machine))
    return [machine for index, machine in enumerate(found) if machine is not None and machine not in found[:index]]


def _real_control_planes(view):
    return [m for m in ordered(view.control_planes) if m.answered or presence(view, m) != GONE]


def _remedy(view):
    """client_endpoints with the addresses of the control plane nodes, or None where they are not known."""
    addresses = [address for address in (dial_address(view, m) for m in _real_control_planes(view)) if address]
    return {'name': 'client_endpoints', 'args': {'context': view.snapshot.client.get('context'), 'endpoints': addresses}} if addresses else None


def _correct(view):
    addresses = [address for address in (dial_address(view, m) for m in _real_control_planes(view)) if address]
    return f'Set endpoints to the addresses of the control plane nodes: {listed(addresses, 12)}.' if addresses else \
        'Set endpoints to the addresses of the control plane nodes.'


def _said(endpoint, text, source=SOURCE):
    return Evidence(text, source, endpoint.text)


# -- API-5: workers ---------------------------------------------------------------------------------------------

def endpoint_is_worker(view):
    endpoints, none = _endpoints(view)
    outcomes = []
    for endpoint in endpoints:
        worker, known = _is_worker(view, endpoint)
        if worker:
            outcomes.append(error(
                endpoint.text, f'endpoint {endpoint.text} is a worker',
                'A worker answers for itself, but forwards requests to no other node. With several endpoints the fault comes and goes, because each call '
                'takes another endpoint.', _correct(view), nodes=[m.key for m in _machines(view, endpoint)], evidence=[worker], remedy=_remedy(view),
                asserts=(f'endpoint:{endpoint.text}',)))
        elif known:
            outcomes.append(ok(endpoint.text))
        else:
            outcomes.append(unknown(endpoint.text, f'whether endpoint {endpoint.text} is a worker: {_why(view, endpoint)}', explained_by=_explained(view, endpoint)))
    return outcomes or none


def _is_worker(view, endpoint):
    """(Evidence or None, whether it could be told)."""
    types = endpoint.datum('MachineTypes')
    if types.ok:
        for item in types.value:
            if item.get('spec') == WORKER:
                return _said(endpoint, 'it says of itself that it is a worker', 'MachineTypes'), True
    for machine in view.snapshot.machines:
        for text, result in (machine.value('reach') or {}).items():
            if text == endpoint.text and NO_FORWARDING in str(result):
                return _said(endpoint, f'asked for {machine.label}: {result}', 'reach'), True
    behind = _machines(view, endpoint)
    for machine in behind:
        if machine.type == WORKER:
            return seen(machine, 'Members', f'{machine.label}, {endpoint.host}, is a worker'), True
    known = types.ok or any(machine.is_control_plane for machine in behind) or (bool(view.answering_control_planes) and not endpoint.connected)
    return None, known


def _why(view, endpoint):
    if not endpoint.connected:
        return 'it did not answer'
    return f'MachineTypes, {endpoint.datum("MachineTypes").why()}'


def _explained(view, endpoint):
    return tuple(f'unreachable:{m.key}' for m in _machines(view, endpoint)) + (f'endpoint:{endpoint.text}', 'not_judged')


# -- API-6: the virtual IP --------------------------------------------------------------------------------------

def endpoint_is_vip(view):
    endpoints, none = _endpoints(view)
    if not endpoints:
        return none
    if not view.vips_known:
        why = listed(f'{m.label}: {m.datum("NodeIPConfigs").why()}' for m in ordered(view.answering_control_planes)) or 'no control plane node answered'
        return unknown('cluster', f'whether an endpoint is the virtual IP: {why}', explained_by=('not_judged',))
    vips = {normal(vip) for vip in view.vips}
    outcomes = []
    for endpoint in endpoints:
        hit = sorted(_numbers(view, endpoint) & vips)
        if not hit:
            outcomes.append(ok(endpoint.text))
            continue
        resolved = '' if normal(endpoint.host) in hit else f', which resolves to {listed(hit)},'
        outcomes.append(error(
            endpoint.text, f'endpoint {endpoint.text}{resolved} is the virtual IP of the Kubernetes API',
            'The virtual IP is held through etcd: when etcd is down, which is when the Talos API is needed most, nobody holds it. While it moves, calls '
            'hang.', f'Keep the virtual IP for kubectl alone. {_correct(view)}',
            evidence=[seen(m, 'NodeIPConfigs', f'virtual IPs: {listed(sorted(vips))}') for m in ordered(view.answering_control_planes) if m.datum('NodeIPConfigs').ok],
            remedy=_remedy(view)))
    return outcomes


# -- API-7: quality of the list ---------------------------------------------------------------------------------

def endpoint_dead(view):
    """Endpoints that do not answer, or behind which no machine of this cluster stands, while others answer."""
    endpoints, none = _endpoints(view)
    if not endpoints:
        return none
    if not view.answering_control_planes:
        return unknown('cluster', 'which endpoints are dead: no control plane node answered', explained_by=('not_judged',))
    outcomes = []
    for endpoint in endpoints:
        if endpoint.connected:
            outcomes.append(ok(endpoint.text))
            continue
        behind = [m for m in _machines(view, endpoint) if m.answered or presence(view, m) != GONE]
        came_back = (endpoint.error or {}).get('text') or 'no answer'
        if behind:
            outcomes.append(warning(
                endpoint.text, f'endpoint {endpoint.text} ({listed(m.label for m in behind)}) could not be used: {_short(endpoint)}',
                'Clients go on to the next endpoint, which costs time, and there is one fewer to fall back on.',
                f'Repair the machine or the way to it; if it was taken away on purpose: {_correct(view)}', nodes=[m.key for m in behind],
                evidence=[_said(endpoint, came_back, 'TLS')], explained_by=tuple(f'unreachable:{m.key}' for m in behind) + (f'endpoint:{endpoint.text}',)))
        elif is_ip(endpoint.host):
            outcomes.append(warning(
                endpoint.text, f'endpoint {endpoint.text} is no machine of the cluster',
                'No control plane node has this address, and nothing that belongs to this cluster answers there: an old entry of the talosconfig.',
                _correct(view), evidence=[_said(endpoint, came_back, 'TLS')] + _known_addresses(view), remedy=_remedy(view)))
        elif is_network_fault(endpoint.error):
            outcomes.append(warning(
                endpoint.text, f'endpoint {endpoint.text} could not be used: {_short(endpoint)}',
                'Clients go on to the next endpoint, which costs time.', f'Correct the name or what it leads to, or drop it. {_correct(view)}',
                evidence=[_said(endpoint, came_back, 'TLS')], remedy=_remedy(view)))
    return outcomes or ok('cluster')


def _short(endpoint):
    kind = fault(endpoint.error)
    return NETWORK_FAULTS.get(kind, 'the TLS handshake failed')


def _known_addresses(view):
    return [seen(m, 'Members', f'control plane node {m.label}: {listed(sorted(addresses_of(view, m)))}') for m in _real_control_planes(view)]


def endpoint_not_talos(view):
    """Something else listens there: plain TCP or HTTP, or TLS that is no gRPC."""
    endpoints, none = _endpoints(view)
    outcomes = []
    for trouble in troubles(view):
        if trouble.kind in ('not_tls', 'not_grpc'):
            what = 'does not speak TLS' if trouble.kind == 'not_tls' else 'speaks TLS, but not gRPC'
            outcomes.append(error(
                trouble.subject, f'{trouble.label} is no Talos API: what listens there {what}', 'Another program has this address and port, or a proxy in between '
                'answers instead of the machine.', f'Correct address and port, or what is between. {_correct(view)}', nodes=trouble.nodes,
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
        return unknown('cluster', 'whether the endpoints are members: no member list was read', explained_by=('not_judged',))
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
            'It trusts the same CA, yet nobody lists it as a member: a machine of another cluster made from the same secrets, or one that cannot reach discovery.',
            f'Find out which cluster {machine.label} belongs to. {_correct(view)}', nodes=[machine.key], evidence=_known_addresses(view)))
    return outcomes or ok('cluster')


def endpoint_list_short(view):
    """One endpoint for several control plane nodes (warning); a control plane node that is not in the list (info)."""
    endpoints, none = _endpoints(view)
    if not endpoints:
        return none
    if not view.answering_control_planes:
        return unknown('cluster', 'whether all control plane nodes are in the list: none answered', explained_by=('not_judged',))
    planes = _real_control_planes(view)
    covered = set().union(*(_numbers(view, endpoint) for endpoint in endpoints))
    balanced = [endpoint for endpoint in endpoints if _is_balancer(view, endpoint)]
    if balanced or any(not is_ip(endpoint.host) and len(_machines(view, endpoint)) > 1 for endpoint in endpoints):
        return ok('cluster')
    missing = [m for m in planes if not addresses_of(view, m) & covered and m.key not in {e.machine for e in endpoints}]
    if len(endpoints) == 1 and len(planes) > 1:
        return warning('cluster', f'the talosconfig has one endpoint, {endpoints[0].text}, for {len(planes)} control plane nodes',
                       'When this node is down, nothing can be asked of the cluster, though the others are well.', _correct(view),
                       evidence=_known_addresses(view), remedy=_remedy(view))
    if missing:
        names = listed(f'{m.label} ({dial_address(view, m)})' for m in missing)
        return info('cluster', f'control plane node{"s" if len(missing) > 1 else ""} {names} {"are" if len(missing) > 1 else "is"} not among the endpoints',
                    'A client never tries it.', _correct(view), nodes=[m.key for m in missing], remedy=_remedy(view),
                    evidence=[Evidence(f'endpoints: {listed((e.text for e in endpoints), 12)}', SOURCE)])
    return ok('cluster')


# -- API-8: the load balancer -----------------------------------------------------------------------------------

def _is_balancer(view, endpoint):
    """An address that is no machine's, and no virtual IP: a balancer or address translation, or a name for one or more machines."""
    if normal(endpoint.host) in {normal(vip) for vip in view.vips} or endpoint.host in _LOCAL:
        return False
    if is_ip(endpoint.host):
        return machine_at(view, endpoint.host) is None and (endpoint.connected or not is_network_fault(endpoint.error))
    own = {normal(name) for m in view.snapshot.machines for name in _own_names(m)}
    return normal(endpoint.host) not in own


def _own_names(machine):
    """The names a machine has for itself; they stand in its certificate without anybody's doing."""
    spec = machine.resource('HostnameStatuses', 'hostname') or {}
    names = [machine.name, spec.get('hostname')]
    if spec.get('hostname') and spec.get('domainname'):
        names.append(f'{spec["hostname"]}.{spec["domainname"]}')
    return [name for name in names if name]


def _sans(machine):
    """(names, Evidence) that the API certificate of a machine carries or will carry; (None, reason) when unseen."""
    facts = machine.value('certificate')
    if facts is not None:
        names = (facts.get('dns') or []) + (facts.get('ips') or [])
        return {normal(n) for n in names}, seen(machine, 'certificate', f'names in the served certificate: {listed(names, 12)}')
    spec = machine.resource('CertSANs', 'api')
    if spec is not None:
        names = (spec.get('dnsNames') or []) + (spec.get('ips') or [])
        return {normal(n) for n in names}, seen(machine, 'CertSANs', f'names for the certificate: {listed(names, 12)}')
    return None, f'{machine.label}: certificate, {machine.datum("certificate").why()}'


def balancer_name_missing(view):
    """The balancer's name in the certificate of every control plane node behind it, not of one (catalogue API-8)."""
    endpoints, none = _endpoints(view)
    if not endpoints:
        return none
    outcomes = []
    for endpoint in endpoints:
        if _is_balancer(view, endpoint):
            outcomes.append(_name_in_certificates(view, endpoint))
    return outcomes or not_applicable('cluster', 'every endpoint is the address of a machine')


def _name_in_certificates(view, endpoint):
    wanted = normal(endpoint.host)
    behind = [m for m in _machines(view, endpoint) if m.is_control_plane] if not is_ip(endpoint.host) else []
    behind = behind or _real_control_planes(view)
    lacking, evidence, unseen = [], [], []
    for machine in behind:
        names, said = _sans(machine)
        if names is None:
            unseen.append(said)
        elif not _covers(names, wanted):
            lacking.append(machine)
            evidence.append(said)
    served = endpoint.certificate or {}
    names = {normal(n) for n in (served.get('dns') or []) + (served.get('ips') or [])}
    if fault(endpoint.error) == 'wrong_name' and names and not _covers(names, wanted) and not lacking and not _no_address(served):
        evidence.append(_said(endpoint, f'names in the served certificate: {listed(sorted(names), 12)}', 'TLS'))
        return _missing(view, endpoint, [], evidence)
    if lacking:
        return _missing(view, endpoint, lacking, evidence)
    if unseen or not behind:
        return unknown(endpoint.text, f'whether {endpoint.host} is in the certificate of every control plane node: {listed(unseen) or "none is known"}',
                       explained_by=tuple(f'unreachable:{m.key}' for m in behind) + ('not_judged', f'endpoint:{endpoint.text}'))
    return ok(endpoint.text)


def _missing(view, endpoint, lacking, evidence):
    names = listed(m.label for m in lacking) or 'the node that answered'
    planes = [m.label for m in _real_control_planes(view)]
    return error(
        endpoint.text, f'{endpoint.host} is not in the API certificate of {names}',
        'No machine has this address itself, so it is a load balancer, a translated address or a name for several machines. Clients check the certificate '
        'against the address they dialled: each time the balancer chooses one of these nodes, the handshake fails.',
        f'Append {endpoint.host} to machine.certSANs of every control plane node, one at a time, dialling the nodes by their own addresses; no reboot is '
        'needed, the new certificate is served within seconds.', nodes=[m.key for m in lacking], evidence=evidence, asserts=(f'endpoint:{endpoint.text}',),
        remedy={'name': 'talos_certsans', 'args': {'names': [endpoint.host], 'nodes': planes}} if planes else None)


def _no_address(certificate):
    return not [ip for ip in certificate.get('ips') or [] if normal(ip) not in _LOCAL]


def _covers(names, wanted):
    parent = wanted.split('.', 1)[1] if '.' in wanted and not is_ip(wanted) else None
    return wanted in names or (parent is not None and f'*.{parent}' in names)


def balancer_ends_tls(view):
    """The balancer must pass TCP through: a certificate that Talos did not issue means that it ends TLS itself."""
    outcomes = [error(
        trouble.subject, f'{trouble.label} ends TLS itself: it serves a certificate issued by {trouble.certificate.get("issuer")}',
        'The Talos API authenticates the client by its certificate, in the same handshake. What ends TLS in between takes that away, so no call can succeed.',
        f'Switch the balancer to plain TCP pass-through on port {_port(view, trouble)} (layer 4, no TLS, no HTTP checks).', evidence=trouble.evidence(),
        asserts=trouble.asserts()) for trouble in troubles(view) if trouble.kind == 'untrusted_ca' and terminates_tls(view, trouble)]
    if outcomes:
        return outcomes
    endpoints, none = _endpoints(view)
    balanced = [endpoint for endpoint in endpoints if _is_balancer(view, endpoint)]
    if not endpoints:
        return none
    if not balanced:
        return not_applicable('cluster', 'every endpoint is the address of a machine')
    return [ok(e.text) if e.connected or e.certificate else
            unknown(e.text, f'whether {e.text} passes TLS through: it could not be reached', explained_by=(f'endpoint:{e.text}', 'not_judged')) for e in balanced]


def _port(view, trouble):
    return next((e.port for e in view.snapshot.endpoints if e.text == trouble.subject), 50000)


def certsans_differ(view):
    """Names that somebody added to the certificate of some control plane nodes only."""
    planes = [m for m in ordered(view.answering_control_planes)]
    extras, unseen, evidence = {}, [], []
    for machine in planes:
        names, said = _sans(machine)
        if names is None or not machine.datum('NodeAddresses').ok:
            unseen.append(said if names is None else f'{machine.label}: NodeAddresses, {machine.datum("NodeAddresses").why()}')
            continue
        extras[machine.key] = names - _own(view, machine)
        evidence.append(said)
    every = sorted(set().union(*extras.values())) if extras else []
    outcomes = []
    for name in every:
        have = [m for m in planes if name in extras.get(m.key, ())]
        lack = [m for m in planes if m.key in extras and m not in have]
        if lack:
            outcomes.append(info(
                name, f'{name} is in the API certificate of {listed(m.label for m in have)}, but not of {listed(m.label for m in lack)}',
                'machine.certSANs differs between the control plane nodes. Nothing dials this name now; a load balancer of that name would work with some of them only.',
                f'Append {name} to machine.certSANs of the others too, or take it out where it is.', nodes=[m.key for m in lack], evidence=evidence,
                remedy={'name': 'talos_certsans', 'args': {'names': [name], 'nodes': [m.label for m in planes]}}))
    if outcomes:
        return outcomes
    if unseen or not planes:
        return unknown('cluster', f'whether the certificates name the same: {listed(unseen) or "no control plane node answered"}', explained_by=('not_judged',))
    return ok('cluster') if every else not_applicable('cluster', 'no certificate carries an added name')


def _own(view, machine):
    """What stands in a certificate by itself: the machine's addresses since boot, its names, virtual IPs, loopback."""
    own = {normal(a) for a in (*machine.addresses, machine.address, *view.vips, *_LOCAL) if a}
    for item in machine.value('NodeAddresses') or []:
        own |= {normal(a) for a in (item.get('spec') or {}).get('addresses') or []}
    names = {normal(name) for name in _own_names(machine)}
    common = normal((machine.value('certificate') or {}).get('common_name') or '')
    fqdn = normal((machine.resource('CertSANs', 'api') or {}).get('fqdn') or '')
    return own | names | {common, fqdn} | {name.split('.', 1)[0] for name in names}


CHECKS = (
    Check('talos_api.endpoint_is_worker', SECTION, 'no endpoint is a worker', endpoint_is_worker, reads=('MachineTypes', 'reach', 'Members'),
          catalogue='API-5', remedy='client_endpoints'),
    Check('talos_api.endpoint_is_vip', SECTION, 'no endpoint is the virtual IP', endpoint_is_vip, reads=('NodeIPConfigs',), catalogue='API-6',
          remedy='client_endpoints'),
    Check('talos_api.endpoint_dead', SECTION, 'every endpoint answers and belongs to the cluster', endpoint_dead, reads=('Members',),
          cluster_reads=('nodes',), catalogue='API-7', remedy='client_endpoints'),
    Check('talos_api.endpoint_not_talos', SECTION, 'a Talos API listens on every endpoint', endpoint_not_talos, catalogue='API-3, API-7'),
    Check('talos_api.endpoint_foreign', SECTION, 'every endpoint is a member', endpoint_foreign, reads=('Members', 'Identities'), catalogue='API-7'),
    Check('talos_api.endpoint_list_short', SECTION, 'all control plane nodes are endpoints', endpoint_list_short, reads=('Members',), catalogue='API-7',
          remedy='client_endpoints'),
    Check('talos_api.balancer_name_missing', BALANCER, 'the load balancer is named by every certificate behind it', balancer_name_missing,
          reads=('certificate', 'CertSANs', 'HostnameStatuses'), catalogue='API-8', remedy='talos_certsans'),
    Check('talos_api.balancer_ends_tls', BALANCER, 'the load balancer passes TLS through', balancer_ends_tls, catalogue='API-8'),
    Check('talos_api.certsans_differ', BALANCER, 'added names are in every certificate', certsans_differ,
          reads=('certificate', 'CertSANs', 'NodeAddresses', 'HostnameStatuses'), catalogue='API-8', remedy='talos_certsans', sharpens=True),
)
