# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Talos API" and "Firewall Issues": the API is served and reached on port 50000, trustd on port 50001."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import UNREACHABLE
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import (
    NETWORK_FAULTS, PRESENT, failure_of, fault, is_namesake, is_network_fault, listed, lists_in_discovery, machine_at, ordered, presence, seen, span,
    went_down_just_now,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, CONTROL_PLANES, Check, Evidence, Threshold, error, info, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import node_ready
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import WORKER, parse_time

SECTION = 'talos_api.firewall'
TRUSTD_PORT = 50001
CERTIFICATE_SECONDS = 'talos_api_server_certificate_seconds'
CSR_SECONDS = 'talos_api_certificate_request_seconds'

_MEANS = {
    'refused': 'The host is up, but its Talos API is not: it boots, its apid waits for a certificate, or the address is not the machine\'s '
               'any more.',
    'timeout': 'Packets to port 50000 are dropped on the way, or the machine is off.',
    'no_route': 'The machine is off, has another address, or its network is not routed from where the call came from.',
    'deadline': 'A machine that is frozen, or whose packets are dropped after it was connected, gives no error at all: only silence.',
    'resolve': 'Whoever dialled it does not know the name.',
    'proxy': 'The HTTP proxy between here and the cluster refused or lost the connection.',
}
_LOOK = 'Look at the console of {name}: is it on, at which stage is it, which address does it have?'
_STEPS = {
    'refused': 'If it is not booting, look for the service apid and what it waits for.',
    'deadline': 'If the console does not react either, power-cycle the machine; else look for a firewall that drops established '
                'connections.',
    'resolve': 'Use addresses instead of names, or repair the name service.',
    'proxy': 'Check the proxy settings (proxy option, HTTPS_PROXY, NO_PROXY, proxy-url of the talosconfig).',
}
_OPEN = 'If it is up, let TCP port 50000 through: from clients to the control plane nodes, and from those to every node.'
_BLOCKED = ('refused', 'no_route', 'timeout', 'reset')
# What is seen at the ports themselves, not read through the Talos API.
_OTHER_DOORS = ('certificate', 'apiserver_certificate', 'apiserver_probe')
_NOT_DIALLED = ('refused', 'no_route', 'timeout')
_CSR = re.compile(r'^(?P<at>\S+Z)?.*failed to sign API server CSR: (?P<why>.*)')
_ANSI = re.compile(r'\x1b\[[0-9;]*m')
_WAITS_FOR_TIME = re.compile(r'Waiting for (?:.*[ ,])?time sync')
_APID_CERTIFICATES_ONLY = re.compile(r'^Waiting for api certificates(?: to be ready)?$')


# -- API-1: port 50000 ------------------------------------------------------------------------------------------

def machine_unreachable(view):
    """Every machine that should be there answers; a name in an old list behind which no machine stands is not meant."""
    outcomes = []
    for machine in ordered(view.snapshot.machines):
        if machine.answered:
            outcomes.append(_lost(machine) or ok(machine.key, nodes=[machine.key]))
        elif presence(view, machine) != PRESENT or is_namesake(view, machine):
            continue
        elif failure_of(view, machine) is None:
            outcomes.append(_not_tried(machine))
        elif is_network_fault(failure_of(view, machine)):
            outcomes.append(_unreachable(view, machine, failure_of(view, machine)))
    if view.answering_control_planes:
        return outcomes
    for endpoint in view.snapshot.endpoints:
        if endpoint.error and is_network_fault(endpoint.error) and not _is_a_machine(view, endpoint):
            outcomes.append(_endpoint_unreachable(endpoint))
    outcomes.append(unknown('cluster', 'the ports inside the cluster: no control plane node could be asked', explained_by=('not_judged',)))
    return outcomes


def _lost(machine):
    """A machine that answered first and could not be dialled any more before all of it was read; None for others."""
    lost = []
    for kind, datum in (*machine.data.items(), *((f'log {name}', datum) for name, datum in machine.logs.items())):
        failure = {'kind': 'node_unreachable', 'text': datum.reason}
        if datum.state == UNREACHABLE and kind not in _OTHER_DOORS and fault(failure) in _NOT_DIALLED:
            lost.append((kind, datum, fault(failure)))
    if not lost:
        return None
    kind = lost[0][2]
    return error(
        machine.key, f'{machine.label} answered at first and was lost while it was read: {NETWORK_FAULTS[kind]}',
        f'The machine went down, its apid ended, or the path to it broke just now: {len(lost)} reads of it are missing.',
        f'{_LOOK.format(name=machine.label)} If it is meant to reboot, gather again when it is back.',
        nodes=[machine.key], evidence=[seen(machine, name, datum.reason) for name, datum, _kind in lost], asserts=(f'unreachable:{machine.key}',))


def _not_tried(machine):
    if machine.unreachable is None:
        return unknown(machine.key, f'{machine.label} was not asked', nodes=[machine.key], next_step='Gather again with a longer deadline.',
                       explained_by=('not_judged',))
    return unknown(machine.key, f'{machine.label} could not be tried: {machine.unreachable.get("text")}', nodes=[machine.key],
                   explained_by=('not_judged', f'no_address:{machine.key}'))


def _unreachable(view, machine, failure):
    kind, via = fault(failure), failure.get('via')
    through = f' through {via}' if via else ''
    means = [_MEANS.get(kind, 'The Talos API of this machine cannot be used.')]
    steps = [_LOOK.format(name=machine.label), _STEPS.get(kind, ''), _OPEN if kind in ('timeout', 'no_route', 'refused') else '']
    evidence = [Evidence(failure.get('text') or '', 'Talos API', machine.label, failure.get('at'))]
    if via and kind in ('refused', 'timeout', 'no_route'):
        means.append('An endpoint repeats its last dial error for up to 15 seconds, so the text may be a little old.')
    evidence += _what_others_say(view, machine)
    title = f'{machine.label} is not reached on port 50000{through}: {NETWORK_FAULTS[kind]}'
    if went_down_just_now(view, machine):
        return info(machine.key, title, 'It was cordoned before, and its Node stopped a moment ago: so goes a machine that is drained first, and then '
                                        'rebooted or taken away.', 'Gather again in a few minutes. Touch no other machine before.', nodes=[machine.key],
                    evidence=evidence, asserts=(f'unreachable:{machine.key}',))
    if kind == 'refused' and machine.type == WORKER and lists_in_discovery(view, machine):
        means.append('A worker that is a member of discovery and refuses the connection may have no API certificate: it gets one from '
                     'trustd, port 50001 of the control plane nodes.')
        steps.append('Check TCP port 50001 from this worker to every control plane node, its clock, and that its machine.token is this '
                     'cluster\'s.')
        evidence += _trustd_evidence(view)
    return error(machine.key, title, ' '.join(means),
                 ' '.join(step for step in steps if step), nodes=[machine.key], evidence=evidence, asserts=(f'unreachable:{machine.key}',))


def _what_others_say(view, machine):
    """What discovery and Kubernetes know of a machine that is silent itself."""
    found = []
    if lists_in_discovery(view, machine):
        found.append(Evidence('discovery lists it as a member', 'Members', machine.label))
    node = view.kubernetes.node_of(machine)
    if node is not None:
        status, since = node_ready(node)
        ago = f' for {span((view.now - since).total_seconds())}' if since else ''
        found.append(Evidence(f'Kubernetes Node {node.get("name")}: Ready is {status}{ago}', 'Kubernetes', machine.label))
    return found


def _trustd_evidence(view):
    found = []
    for machine in ordered(view.answering_control_planes):
        service = view.service(machine, 'trustd')
        if machine.datum('ServiceList').ok:
            state = f'{service.get("state")}, {"healthy" if _healthy(service) else "not healthy"}' if service else 'not there'
            found.append(seen(machine, 'ServiceList', f'trustd is {state}'))
        if _drops_ingress(machine):
            found.append(seen(machine, 'NfTablesChains', 'an ingress firewall is configured with the policy drop'))
    return found


def _drops_ingress(machine):
    return any((item.get('spec') or {}).get('policy') == 'drop' for item in machine.value('NfTablesChains') or [])


def _is_a_machine(view, endpoint):
    if endpoint.machine and view.snapshot.machine(endpoint.machine):
        return True
    return any(machine_at(view, address) for address in (endpoint.host, *endpoint.addresses))


def _endpoint_unreachable(endpoint):
    kind = fault(endpoint.error)
    return error(endpoint.text, f'endpoint {endpoint.text} is not reached on port {endpoint.port}: {NETWORK_FAULTS[kind]}',
                 _MEANS.get(kind, 'The Talos API cannot be used through this endpoint.'),
                 ' '.join(s for s in (_STEPS.get(kind, ''), f'Let TCP port {endpoint.port} through from here to the control plane nodes.')
                          if s),
                 evidence=[Evidence(endpoint.error.get('text') or '', 'TLS', endpoint.text)], asserts=(f'endpoint:{endpoint.text}',))


# -- API-1: which path is broken --------------------------------------------------------------------------------

def path_blocked(view):
    """Control plane nodes through which a machine is not reached although it is through others."""
    read = [m for m in view.snapshot.answering() if m.datum('reach').ok]
    if not read:
        return unknown('cluster', 'through which endpoints each machine is reached was not recorded', explained_by=('not_judged',))
    alive = {endpoint.text for endpoint in view.snapshot.endpoints if endpoint.connected}
    failed = {}
    for machine in ordered(read):
        for endpoint, result in sorted(machine.value('reach').items()):
            if endpoint in alive and result != 'ok' and fault({'kind': 'node_unreachable', 'text': str(result)}) in _BLOCKED:
                failed.setdefault(endpoint, []).append((machine, str(result)))
    outcomes = []
    for endpoint, targets in failed.items():
        names = listed(machine.label for machine, _text in targets)
        outcomes.append(warning(
            endpoint, f'{names} {"is" if len(targets) == 1 else "are"} not reached through {endpoint}, though through another endpoint',
            'The machines work; the path to them from this control plane node does not: a firewall or a route between the two.',
            f'Compare routes and firewall rules of {endpoint} with those of the endpoint that works; TCP port 50000 must be open from '
            'every control plane node to every node.',
            nodes=[machine.key for machine, _text in targets],
            evidence=[seen(machine, 'reach', f'through {endpoint}: {text}') for machine, text in targets]))
    return outcomes or ok('cluster')


# -- API-2: trustd, port 50001 ----------------------------------------------------------------------------------

def trustd_not_serving(view, machine):
    """trustd is healthy on each control plane node.

    Its listener is no evidence: it is an IPv6 socket, and Netstat for tcp lists those of IPv4 alone (seen on 1.13.9).
    """
    service = view.service(machine, 'trustd')
    if service is not None and service.get('state') == 'Running' and _healthy(service):
        return ok(machine.key, nodes=[machine.key])
    words = _service_words('trustd', service)
    if service is not None and service.get('state') == 'Waiting' and _WAITS_FOR_TIME.match(_last_message(service)):
        return info(machine.key, f'trustd of {machine.label} waits for the time to be in sync', 'It signs no certificate by a clock that may be wrong.',
                    'See what is said of the clock.', nodes=[machine.key], evidence=[seen(machine, 'ServiceList', words)],
                    explained_by=(f'clock:{machine.key}',))
    return _unready(view, machine, f'trustd does not serve on {machine.label}: {words}',
                    'Workers get the certificate of their Talos API from trustd; without it a worker that boots never serves port 50000.',
                    f'See what trustd on {machine.label} waits for (it needs the time to be in sync) and read its log.',
                    [seen(machine, 'ServiceList', words)])


def apid_not_healthy(view, machine):
    """apid itself is healthy; where it waits for nothing but its certificate, the certificate is the fault."""
    service = view.service(machine, 'apid')
    if service is not None and service.get('state') == 'Running' and _healthy(service):
        return ok(machine.key, nodes=[machine.key])
    means = 'apid is the Talos API of the machine. It answered this once, but it is not well.'
    step = f'Read the log of apid on {machine.label}, and what the service waits for.'
    if service is not None and _APID_CERTIFICATES_ONLY.match(_last_message(service)):
        means = ('apid has everything but its certificate. On a worker trustd of a control plane node issues it; on a control plane node '
                 'an address is missing.')
        step = f'Check TCP port {TRUSTD_PORT} from {machine.label} to the control plane nodes, its clock, and its machine.token.'
    return _unready(view, machine, f'apid is not healthy on {machine.label}: {_service_words("apid", service)}', means, step,
                    [seen(machine, 'ServiceList', _service_words('apid', service))])


def certificate_request_refused(view, machine):
    """Requests of this machine for an API certificate that trustd did not sign, a short while ago."""
    log = machine.log('controller-runtime')
    if not log.ok:
        return unknown(machine.key, f'certificate requests of {machine.label}: log controller-runtime, {log.why()}', nodes=[machine.key])
    last = None
    for line in (log.value or '').splitlines():
        match = _CSR.match(_ANSI.sub('', line))
        at = parse_time(match['at']) if match else None
        if at is not None and (view.now - at).total_seconds() <= view.threshold(CSR_SECONDS):
            last = (match['at'], match['why'])
    if last is None:
        return ok(machine.key, nodes=[machine.key])
    return _unready(view, machine, f'{machine.label} gets no API certificate from trustd',
                    'While the old certificate lasts the machine still answers; then its Talos API goes away.',
                    f'Check TCP port {TRUSTD_PORT} from {machine.label} to each control plane node (not to a load balancer), its clock, '
                    'and that its machine.token and CA are those of this cluster.',
                    [Evidence(last[1], 'log controller-runtime', machine.label, last[0])])


def _unready(view, machine, title, means, step, evidence):
    """An error, or information while the machine is booting or being changed (G3, G5)."""
    if view.in_progress(machine) or view.young(machine):
        return info(machine.key, title, f'{means} The machine booted or is being changed just now: this may still settle.',
                    'Look again in a few minutes.', nodes=[machine.key], evidence=evidence)
    return error(machine.key, title, means, step, nodes=[machine.key], evidence=evidence,
                 explained_by=(f'clock:{machine.key}', f'network:{machine.key}', f'boot_blocked:{machine.key}'))


def _healthy(service):
    health = service.get('health') or {}
    return bool(health.get('healthy')) or bool(health.get('unknown'))


def _last_message(service):
    events = (service.get('events') or {}).get('events') or []
    return (events[-1].get('msg') or '') if events else ''


def _service_words(name, service):
    if service is None:
        return f'{name} is not among the services'
    health = 'healthy' if _healthy(service) else 'not healthy'
    return f'{name} is {service.get("state")}, {health}: {_last_message(service)}'.rstrip(': ')


# -- API-10: the certificate that is served ---------------------------------------------------------------------

def certificate_expiring(view, machine):
    """The served certificate lives 24 h and is renewed every 12 h (talos-api 2): little left means it is not renewed."""
    facts = machine.value('certificate')
    not_after = parse_time(facts.get('not_after'))
    if not_after is None:
        return unknown(machine.key, f'the certificate of {machine.label} has no readable end date', nodes=[machine.key])
    left = (not_after - view.control_now).total_seconds()
    if left >= view.threshold(CERTIFICATE_SECONDS):
        return ok(machine.key, nodes=[machine.key])
    when = f'expires in {span(left)}' if left >= 0 else f'expired {span(left)} ago'
    return warning(machine.key, f'the API certificate of {machine.label} {when}',
                   'Talos renews this certificate every 12 hours. That it was not renewed points to a wrong clock or a controller that '
                   'fails.',
                   f'Compare the clock of {machine.label} with that of the others, and look in its controller-runtime log for '
                   'secrets.APIController.',
                   nodes=[machine.key], explained_by=(f'clock:{machine.key}',),
                   evidence=[seen(machine, 'certificate', f'valid from {facts.get("not_before")} to {facts.get("not_after")}')])


CHECKS = (
    Check('talos_api.machine_unreachable', SECTION, 'every machine answers on port 50000', machine_unreachable,
          reads=('Members', 'Affiliates', 'ServiceList', 'NfTablesChains'), cluster_reads=('nodes',), catalogue='API-1, API-2'),
    Check('talos_api.path_blocked', SECTION, 'every machine is reached through every endpoint that was tried', path_blocked,
          reads=('reach',), catalogue='API-1', sharpens=True),
    Check('talos_api.trustd_not_serving', SECTION, 'trustd serves on each control plane node', trustd_not_serving, each=CONTROL_PLANES,
          needs=('ServiceList',), reads=('MachineStatuses',), catalogue='API-2'),
    Check('talos_api.apid_not_healthy', SECTION, 'apid is healthy', apid_not_healthy, each=ALL, needs=('ServiceList',),
          reads=('MachineStatuses',), catalogue='API-10'),
    Check('talos_api.certificate_request_refused', SECTION, 'certificate requests are signed', certificate_request_refused, each=ALL,
          reads=('MachineStatuses',), logs=('controller-runtime',), catalogue='API-2', sharpens=True,
          thresholds={CSR_SECONDS: Threshold(300, 's', 'how long ago the last refused certificate request may be to count as present')}),
    Check('talos_api.certificate_expiring', SECTION, 'the served certificate is renewed in time', certificate_expiring, each=CONTROL_PLANES,
          needs=('certificate',), catalogue='API-10', sharpens=True,
          thresholds={CERTIFICATE_SECONDS: Threshold(6 * 3600, 's',
                                                     'least remaining life of the certificate that is served on port 50000')}),
)
