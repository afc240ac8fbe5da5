# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "TCP Loadbalancer": its name in every certificate behind it, and TCP passed through."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import fault, listed, ordered, seen
from ansible_collections.talosops.talos.plugins.module_utils.guide.talos_api_client import terminates_tls, troubles
from ansible_collections.talosops.talos.plugins.module_utils.guide.talos_api_endpoints import (
    LOCAL, dialled, is_balancer, machines_behind, own_names, real_control_planes, said_by,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Check, error, info, not_applicable, ok, unknown

SECTION = 'talos_api.tcp_loadbalancer'


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
    endpoints, none = dialled(view)
    if not endpoints:
        return none
    outcomes = []
    for endpoint in endpoints:
        if is_balancer(view, endpoint):
            outcomes.append(_name_in_certificates(view, endpoint))
    return outcomes or not_applicable('cluster', 'every endpoint is the address of a machine')


def _name_in_certificates(view, endpoint):
    wanted = normal(endpoint.host)
    behind = [m for m in machines_behind(view, endpoint) if m.is_control_plane] if not is_ip(endpoint.host) else []
    behind = behind or real_control_planes(view)
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
        evidence.append(said_by(endpoint, f'names in the served certificate: {listed(sorted(names), 12)}', 'TLS'))
        return _missing(view, endpoint, [], evidence)
    if lacking:
        return _missing(view, endpoint, lacking, evidence)
    if unseen or not behind:
        return unknown(endpoint.text, f'whether {endpoint.host} is in the certificate of every control plane node: '
                                      f'{listed(unseen) or "none is known"}',
                       explained_by=tuple(f'unreachable:{m.key}' for m in behind) + ('not_judged', f'endpoint:{endpoint.text}'))
    return ok(endpoint.text)


def _missing(view, endpoint, lacking, evidence):
    names = listed(m.label for m in lacking) or 'the node that answered'
    planes = [m.label for m in real_control_planes(view)]
    return error(
        endpoint.text, f'{endpoint.host} is not in the API certificate of {names}',
        'No machine that is known has this address itself, so it is a load balancer, a translated address or a name for several machines. '
        'Clients check the certificate against the address they dialled: each time the balancer chooses one of these nodes, the handshake '
        'fails.',
        f'Append {endpoint.host} to machine.certSANs of every control plane node, one at a time, dialling the nodes by their own '
        'addresses; no reboot is needed, the new certificate is served within seconds.', nodes=[m.key for m in lacking], evidence=evidence,
        asserts=(f'endpoint:{endpoint.text}',),
        remedy={'name': 'talos_certsans', 'args': {'names': [endpoint.host], 'nodes': planes, 'lists': ['machine']}} if planes else None)


def _no_address(certificate):
    return not [ip for ip in certificate.get('ips') or [] if normal(ip) not in LOCAL]


def _covers(names, wanted):
    parent = wanted.split('.', 1)[1] if '.' in wanted and not is_ip(wanted) else None
    return wanted in names or (parent is not None and f'*.{parent}' in names)


def balancer_ends_tls(view):
    """The balancer must pass TCP through: a certificate that Talos did not issue means that it ends TLS itself."""
    outcomes = [error(
        trouble.subject, f'{trouble.label} ends TLS itself: it serves a certificate issued by {trouble.certificate.get("issuer")}',
        'The Talos API authenticates the client by its certificate, in the same handshake. What ends TLS in between takes that away, so no '
        'call can succeed. If there is no balancer, another service than Talos has this address.',
        f'Switch the balancer to plain TCP pass-through on port {_port(view, trouble)} (layer 4, no TLS, no HTTP checks).',
        evidence=trouble.evidence(),
        asserts=trouble.asserts()) for trouble in troubles(view) if trouble.kind == 'untrusted_ca' and terminates_tls(view, trouble)]
    if outcomes:
        return outcomes
    endpoints, none = dialled(view)
    balanced = [endpoint for endpoint in endpoints if is_balancer(view, endpoint)]
    if not endpoints:
        return none
    if not balanced:
        return not_applicable('cluster', 'every endpoint is the address of a machine')
    return [ok(e.text) if e.connected or e.certificate else
            unknown(e.text, f'whether {e.text} passes TLS through: it could not be reached',
                    explained_by=(f'endpoint:{e.text}', 'not_judged')) for e in balanced]


def _port(view, trouble):
    return next((e.port for e in view.snapshot.endpoints if e.text == trouble.subject), 50000)


def certsans_differ(view):
    """Names that somebody added to the certificate of some control plane nodes only."""
    planes = list(ordered(view.answering_control_planes))
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
                'machine.certSANs differs between the control plane nodes. Nothing dials this name now; a load balancer of that name would '
                'work with some of them only.',
                f'Append {name} to machine.certSANs of the others too, or take it out where it is.', nodes=[m.key for m in lack],
                evidence=evidence,
                remedy={'name': 'talos_certsans', 'args': {'names': [name], 'nodes': [m.label for m in planes], 'lists': ['machine']}}))
    if outcomes:
        return outcomes
    if unseen or not planes:
        return unknown('cluster', f'whether the certificates name the same: {listed(unseen) or "no control plane node answered"}',
                       explained_by=('not_judged',))
    return ok('cluster') if every else not_applicable('cluster', 'no certificate carries an added name')


def _own(view, machine):
    """What stands in a certificate by itself: the machine's addresses since boot, its names, virtual IPs, loopback."""
    own = {normal(a) for a in (*machine.addresses, machine.address, *view.vips, *LOCAL) if a}
    for item in machine.value('NodeAddresses') or []:
        own |= {normal(a) for a in (item.get('spec') or {}).get('addresses') or []}
    names = {normal(name) for name in own_names(machine)}
    common = normal((machine.value('certificate') or {}).get('common_name') or '')
    fqdn = normal((machine.resource('CertSANs', 'api') or {}).get('fqdn') or '')
    return own | names | {common, fqdn} | {name.split('.', 1)[0] for name in names}


CHECKS = (
    Check('talos_api.balancer_name_missing', SECTION, 'the load balancer is named by every certificate behind it', balancer_name_missing,
          reads=('certificate', 'CertSANs', 'HostnameStatuses'), catalogue='API-8', remedy='talos_certsans'),
    Check('talos_api.balancer_ends_tls', SECTION, 'the load balancer passes TLS through', balancer_ends_tls, catalogue='API-8'),
    Check('talos_api.certsans_differ', SECTION, 'added names are in every certificate', certsans_differ,
          reads=('certificate', 'CertSANs', 'NodeAddresses', 'HostnameStatuses'), catalogue='API-8', remedy='talos_certsans',
          sharpens=True),
)
