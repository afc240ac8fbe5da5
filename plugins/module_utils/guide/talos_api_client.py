# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Client Configuration Issues": the talosconfig in use, its certificate and role, and what TLS came to."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import REFUSED
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import (
    GONE, NETWORK_FAULTS, belongs, failure_of, fault, is_network_fault, listed, machine_at, ordered, presence, span,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Evidence, Threshold, critical, error, info, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

SECTION = 'talos_api.client_configuration'
SOURCE = 'talosconfig'
CERTIFICATE_DAYS = 'talos_api_client_certificate_days'
MAINTENANCE_NAME = 'maintenance-service.talos.dev'
TALOS_ISSUER = 'talos'

ADMIN, OPERATOR, READER, ETCD_BACKUP = 'os:admin', 'os:operator', 'os:reader', 'os:etcd:backup'
_READING = (ADMIN, OPERATOR, READER)
_NEW = ('Issue a new one with an administrator\'s talosconfig (talosctl config new), or from the secrets bundle of the cluster (talosctl '
        'gen config --with-secrets); keep endpoints and nodes of the old context.')
# Kinds of problems of the talosconfig that have a check of their own.
_JUDGED_ELSEWHERE = ('expired', 'not_yet_valid', 'foreign_ca', 'extended_key_usage', 'no_endpoints')
_CLIENT_AUTH = {'clientauth', '1.3.6.1.5.5.7.3.2'}


# -- the certificate in the talosconfig -------------------------------------------------------------------------

def client_certificate_dates(view):
    certificate = view.snapshot.client.get('certificate') or {}
    not_before, not_after = parse_time(certificate.get('not_before')), parse_time(certificate.get('not_after'))
    if not_before is None or not_after is None:
        return _no_certificate('how long the client certificate is valid')
    evidence = [_evidence(view, f'client certificate {certificate.get("subject")}: valid from {certificate["not_before"]} to '
                                f'{certificate["not_after"]}')]
    left = (not_after - view.control_now).total_seconds()
    if left < 0:
        return critical('client certificate', f'the client certificate expired {span(left)} ago, on {certificate["not_after"]}',
                        'No Talos machine accepts it any more. The cluster itself is not affected, only the way to its API.',
                        f'{_NEW} If the clock of this control node is wrong, set it first.', evidence=evidence,
                        asserts=('client_certificate',))
    if (not_before - view.control_now).total_seconds() > 0:
        return critical('client certificate', f'the client certificate is not valid before {certificate["not_before"]}',
                        f'Seen from this control node, whose clock says {view.snapshot.finished_at or view.snapshot.taken_at}, that is in '
                        'the future. Either this clock is behind, or that of the machine which issued the certificate was ahead.',
                        'Compare the clock of this control node with a time server before touching any certificate.',
                        evidence=evidence, asserts=('client_certificate',))
    if left < view.threshold(CERTIFICATE_DAYS) * 86400:
        return warning('client certificate', f'the client certificate expires in {span(left)}, on {certificate["not_after"]}',
                       'After that no Talos machine accepts it, and a new one can only be issued with another valid certificate or with '
                       'the secrets bundle.',
                       f'{_NEW} While this one is still valid that is easy.', evidence=evidence)
    return ok('client certificate')


def client_certificate_unusable(view):
    """Key usage, issuer and key pair, as apid demands them (talos-api 2)."""
    client = view.snapshot.client
    certificate, ca = client.get('certificate') or {}, client.get('ca') or {}
    if not certificate:
        return _no_certificate('whether the client certificate is fit for the Talos API')
    outcomes = []
    usages = certificate.get('extended_key_usage')
    if usages is not None and {_usage(u) for u in usages} - _CLIENT_AUTH or usages is not None and not usages:
        said = listed(usages) if usages else 'none'
        outcomes.append(_graded(view)(
            'client certificate usage', f'the client certificate has the extended key usage {said} instead of client authentication alone',
            'Talos 1.12 and later refuse in the handshake whatever is not exactly a client certificate; earlier versions may accept it.',
            _NEW, evidence=[_evidence(view, f'extended key usage: {said}')], asserts=('client_certificate',)))
    if certificate.get('matches_key') is False:
        outcomes.append(_graded(view)(
            'client certificate key', 'crt and key of the context do not belong together', 'No handshake can succeed with them.',
            'Restore the pair from the same talosconfig, or issue a new one.', evidence=[_evidence(view, 'public keys differ')],
            asserts=('client_certificate',)))
    if ca.get('signed_client') is False:
        outcomes.append(_graded(view)(
            'client certificate issuer', f'the client certificate was not issued by the CA of the same context ({ca.get("subject")})',
            'On a plain cluster one CA signs the machines\' certificates and the clients\'. Parts of two talosconfigs were mixed, or the '
            'CA was rotated since.', f'Take the talosconfig of this cluster whole. {_NEW}',
            evidence=[_evidence(view, f'client certificate issued by {certificate.get("issuer")}, CA {ca.get("subject")} sha256 '
                                      f'{ca.get("sha256")}')],
            asserts=('client_certificate',)))
    return outcomes or ok('client certificate')


def _usage(name):
    return str(name).replace('_', '').replace(' ', '').lower()


def _graded(view):
    """Where the cluster answered all the same it is a warning."""
    return warning if view.answering_control_planes else error


def _no_certificate(what):
    return unknown('client certificate', f'{what}: the talosconfig\'s certificate is not in the snapshot',
                   next_step='Gather again with a talosconfig that has crt and key.')


def talosconfig_problem(view):
    """What else was noticed while the talosconfig was read (api/talosconfig.py: facts)."""
    client = view.snapshot.client
    if not client:
        return unknown('talosconfig', 'the talosconfig in use is not in the snapshot')
    outcomes = []
    for problem in client.get('problems') or []:
        kind, text = problem.get('kind'), problem.get('text') or ''
        if kind in _JUDGED_ELSEWHERE:
            continue
        if kind == 'no_client_certificate':
            outcomes.append(error(f'talosconfig {kind}', text,
                                  'Talos knows a client by its certificate alone; without one every machine refuses the handshake.', _NEW,
                                  evidence=[_evidence(view, text)], asserts=('client_certificate',)))
        else:
            outcomes.append(warning(f'talosconfig {kind}', text, 'What is used may not be what was meant.',
                                    f'Correct it, or name the talosconfig that is meant; in use is {client.get("source")}, context '
                                    f'{client.get("context")}.',
                                    evidence=[_evidence(view, text)]))
    return outcomes or ok('talosconfig')


def other_talosconfig(view):
    """./talosconfig lies in the working directory while another one is used: the guide's most common mistake."""
    client = view.snapshot.client
    if not client:
        return unknown('talosconfig', 'the talosconfig in use is not in the snapshot')
    if not client.get('local_file'):
        return ok('talosconfig')
    means = ('talosctl gen config writes talosconfig into the current directory, while the default location is used unless the path is '
             'given. Which of the two belongs to this cluster cannot be told from here.')
    step = f'If {client["local_file"]} is the one of this cluster, pass it (talosconfig option, TALOSCONFIG).'
    evidence = [_evidence(view, f'in use: {client.get("source")}; also there: {client["local_file"]}')]
    title = f'{client["local_file"]} exists, but {client.get("source")} is used'
    if view.snapshot.answering():
        return info('talosconfig', title, means, step, evidence=evidence)
    return warning('talosconfig', title, means, step, evidence=evidence)


# -- the role ---------------------------------------------------------------------------------------------------

def role_insufficient(view):
    """What the certificate's role may not read, by what was really refused (talos-api 2.3)."""
    certificate = view.snapshot.client.get('certificate') or {}
    roles = certificate.get('roles')
    if roles is None:
        return _no_certificate('which role the client has')
    refused = sorted({kind for machine in view.snapshot.answering() for kind, datum in machine.data.items() if datum.state == REFUSED})
    lost = f' Refused were: {listed(refused, 20)}.' if refused else ''
    evidence = [_evidence(view, f'organization of the client certificate: {listed(roles) or "none"}')]
    said = listed(roles)
    if not any(role.startswith('os:') for role in roles):
        return error('role', 'the client certificate carries no Talos role',
                     f'Talos reads the role from the certificate\'s organization, and finds {said or "none"} there: every call is '
                     f'refused.{lost}', _NEW, evidence=evidence, asserts=('role',))
    if ADMIN in roles:
        return ok('role')
    if not set(roles) & set(_READING):
        means = 'This role serves another purpose than reading a cluster\'s state; nearly every check stays unknown.'
        if ETCD_BACKUP in roles:
            means = ('os:etcd:backup may read etcd\'s members, status and alarms and take a snapshot, and nothing else; nearly every check '
                     'stays unknown.')
        return warning('role', f'the role {said} is too low for a diagnosis', f'{means}{lost}',
                       'Use a talosconfig with the role os:reader (talosctl config new --roles os:reader).', evidence=evidence,
                       asserts=('role',))
    return info('role', f'the client has the role {said}: what only os:admin may read is left out',
                f'All that a reader may see was judged.{lost} Without a kubeconfig the Kubernetes data are missing too, because only '
                'os:admin is given one.',
                'Use os:admin, or pass a kubeconfig, where the left-out parts matter.', evidence=evidence)


# -- what the handshakes came to --------------------------------------------------------------------------------

@dataclass
class _Trouble:
    """One connection in which TLS failed: C(subject) is an endpoint's text or a machine's key."""

    subject: str
    label: str
    kind: str
    text: str
    at: str | None
    certificate: dict
    nodes: list
    via: str | None = None

    def evidence(self):
        found = [Evidence(self.text, 'TLS', self.label, self.at)]
        if self.certificate:
            c = self.certificate
            found.append(Evidence(f'served: subject {c.get("subject")}, issuer {c.get("issuer")}, valid {c.get("not_before")} to '
                                  f'{c.get("not_after")}, names {listed((c.get("dns") or []) + (c.get("ips") or [])) or "none"}, sha256 '
                                  f'{c.get("sha256")}', 'TLS', self.label))
        return found

    def asserts(self):
        return tuple([f'unreachable:{key}' for key in self.nodes] + [f'endpoint:{self.subject}'])

    @property
    def in_maintenance(self):
        c = self.certificate
        return self.kind == 'maintenance' or MAINTENANCE_NAME in (c.get('dns') or []) or c.get('common_name') == MAINTENANCE_NAME


def troubles(view):
    """Endpoints, and machines behind them, with whom TLS failed; each machine once."""
    found, covered = [], set()
    for endpoint in view.snapshot.endpoints:
        if endpoint.connected or not endpoint.error or is_network_fault(endpoint.error):
            continue
        machine = (view.snapshot.machine(endpoint.machine) if endpoint.machine else None) or machine_at(view, endpoint.host)
        if machine is not None and machine.answered:
            machine = None
        if machine is not None:
            covered.add(machine.key)
        found.append(_Trouble(endpoint.text, endpoint.text, fault(endpoint.error), endpoint.error.get('text') or '', None,
                              endpoint.certificate or {}, [machine.key] if machine else []))
    for machine in ordered(view.snapshot.machines):
        failure = failure_of(view, machine)
        if machine.answered or machine.key in covered or failure is None or is_network_fault(failure):
            continue
        if presence(view, machine) != GONE:
            found.append(_Trouble(machine.key, machine.label, fault(failure), failure.get('text') or '', failure.get('at'),
                                  machine.value('certificate') or {}, [machine.key], failure.get('via')))
    return found


def terminates_tls(view, trouble):
    """Whether a foreign issuer was served under an address that is no machine's: a balancer that ends TLS itself."""
    served, ca = trouble.certificate, view.snapshot.client.get('ca') or {}
    if not served or trouble.in_maintenance or any(belongs(view.snapshot.machine(key)) for key in trouble.nodes):
        return False
    return served.get('issuer_organization') != TALOS_ISSUER and served.get('issuer') != ca.get('subject')


def unknown_authority(view):
    """The served certificate is not from the CA of this context: another cluster, a rotated CA, or maintenance mode."""
    outcomes = []
    for trouble in troubles(view):
        if trouble.kind not in ('untrusted_ca', 'maintenance') or terminates_tls(view, trouble):
            continue
        if trouble.in_maintenance:
            outcomes.append(error(
                trouble.subject, f'{trouble.label} is in maintenance mode',
                'It runs Talos without a machine configuration: it waits to be configured, or it was reset. Its API then serves a '
                'certificate of its own making, which looks like a foreign cluster\'s.',
                'If the machine should belong to this cluster, apply its configuration; if not, take it out of the lists. Asked with '
                '--insecure it tells its stage.', nodes=trouble.nodes, evidence=trouble.evidence(), asserts=trouble.asserts()))
            continue
        ca = view.snapshot.client.get('ca') or {}
        step = 'Point to the talosconfig of this cluster (talosconfig option, TALOSCONFIG, context).'
        if view.snapshot.client.get('local_file'):
            step = f'Try {view.snapshot.client["local_file"]}, which lies in the working directory and was not used. {step}'
        served = 'the certificate that it served could not be read' if not trouble.certificate else \
            f'it served a certificate issued by {trouble.certificate.get("issuer")}'
        outcomes.append(error(
            trouble.subject, f'{trouble.label} is not certified by the CA of context {view.snapshot.client.get("context")}',
            f'The CA in {view.snapshot.client.get("source")} (sha256 {ca.get("sha256")}) did not sign what was served; {served}. Either '
            'this talosconfig belongs to another cluster, or the cluster\'s CA was rotated, or the machine is in maintenance mode, which '
            'cannot always be told apart.',
            step, nodes=trouble.nodes, evidence=trouble.evidence(), asserts=trouble.asserts()))
    return outcomes or nothing_wrong(view, 'whether the CA of the context is that of the cluster')


def client_refused(view):
    """The server ended the handshake because of our certificate; the alert is lost about every second time (talos-api 2)."""
    outcomes = [error(
        trouble.subject, f'{trouble.label} refused the client certificate',
        'The machine was verified, but does not accept this client: its certificate is expired, comes from another CA, has a wrong key '
        'usage, or the clock of the machine is far off. The reason is often lost on the way and then shows as a broken pipe.',
        f'Check dates and issuer of the client certificate, then the clock of the machine. {_NEW}', nodes=trouble.nodes,
        evidence=trouble.evidence(),
        asserts=trouble.asserts(), explained_by=('client_certificate',)) for trouble in troubles(view) if trouble.kind == 'client_refused']
    return outcomes or nothing_wrong(view, 'whether the client certificate is accepted')


def nothing_wrong(view, what):
    """ok where a control plane node answered; else nothing was seen."""
    if view.answering_control_planes:
        return ok('cluster')
    return unknown('cluster', f'{what}: no control plane node answered', explained_by=('not_judged',))


# -- nothing at all ---------------------------------------------------------------------------------------------

def nothing_reached(view):
    """No control plane node could be read: what was tried, what came back, and what to do, in words."""
    if view.answering_control_planes:
        return ok('cluster')
    client, endpoints = view.snapshot.client, view.snapshot.endpoints
    tried = [f'{endpoint.text}: {_came_back(endpoint)}' for endpoint in endpoints]
    connected = [endpoint.text for endpoint in endpoints if endpoint.connected]
    if connected:
        title = f'no control plane node could be read, although {listed(connected)} answered'
    elif endpoints:
        one = f'the only endpoint, {endpoints[0].text}, could not be used'
        title = f'none of the {len(endpoints)} endpoints could be used' if len(endpoints) > 1 else one
    else:
        title = 'the context names no endpoint'
    context = f'context {client.get("context")} of {client.get("source")}'
    return critical(
        'cluster', title,
        f'Nothing of the cluster could be judged. Tried with {context}: '
        f'{"; ".join(tried) or "nothing, because there is no endpoint to try"}.',
        _what_next(view), evidence=[Evidence((endpoint.error or {}).get('text') or _came_back(endpoint), 'TLS',
                                             endpoint.text) for endpoint in endpoints],
        asserts=('not_judged',), explained_by=('client_certificate', 'role') + tuple(f'endpoint:{endpoint.text}' for endpoint in endpoints)
        + tuple(f'unreachable:{machine.key}' for machine in view.snapshot.machines if not machine.answered))


_CAME_BACK = {
    'untrusted_ca': 'TLS: the certificate is not from the CA of this context',
    'maintenance': 'the machine is in maintenance mode',
    'wrong_name': 'TLS: the certificate does not name this address',
    'expired': 'TLS: the served certificate has expired',
    'not_yet_valid': 'TLS: the served certificate is not yet valid',
    'client_refused': 'TLS: the client certificate was refused',
    'not_tls': 'what answers does not speak TLS',
    'not_grpc': 'what answers speaks TLS, but not gRPC',
}


def _came_back(endpoint):
    if endpoint.connected:
        return 'connected, but it could not be read'
    if not endpoint.error:
        return 'not tried'
    kind = fault(endpoint.error)
    return _CAME_BACK.get(kind) or NETWORK_FAULTS[kind]


_NEXT = {
    'refused': 'see whether these are the addresses of machines that run Talos and have booted',
    'timeout': 'let TCP port 50000 through from here, or run where the cluster is reached (talos_bastion)',
    'no_route': 'check the addresses and the route to them, or run where the cluster is reached (talos_bastion)',
    'resolve': 'correct the names, or use addresses',
    'proxy': 'check the proxy settings',
    'untrusted_ca': 'use the talosconfig that belongs to this cluster',
    'maintenance': 'apply the machine configuration to the machines in maintenance mode',
    'wrong_name': 'dial an address that the certificate names',
    'expired': 'compare the clocks',
    'not_yet_valid': 'compare the clocks',
    'client_refused': 'check the client certificate',
    'not_tls': 'correct the endpoints',
    'not_grpc': 'correct the endpoints',
}


def _what_next(view):
    client = view.snapshot.client
    steps = []
    for endpoint in view.snapshot.endpoints:
        step = _NEXT.get(fault(endpoint.error)) if endpoint.error else None
        if step and step not in steps:
            steps.append(step)
    if not view.snapshot.endpoints:
        steps.append('set endpoints to the addresses of the control plane nodes (endpoints option, or talosctl config endpoint)')
    if client.get('local_file'):
        steps.append(f'see whether {client["local_file"]} is the talosconfig of this cluster')
    others = [name for name in client.get('contexts') or [] if name != client.get('context')]
    if others:
        steps.append(f'see whether another context is meant ({listed(others)})')
    text = '; '.join(steps) or 'check endpoints and context of the talosconfig'
    return f'{text[0].upper()}{text[1:]}.'


def _evidence(view, text):
    return Evidence(text, SOURCE, None, view.snapshot.taken_at)


CHECKS = (
    Check('talos_api.nothing_reached', SECTION, 'the cluster is reached with this talosconfig', nothing_reached, catalogue='API-1, API-3'),
    Check('talos_api.client_certificate_dates', SECTION, 'the client certificate is valid', client_certificate_dates, catalogue='API-3',
          thresholds={CERTIFICATE_DAYS: Threshold(30, 'days', 'least remaining life of the client certificate')}),
    Check('talos_api.client_certificate_unusable', SECTION, 'the client certificate is one that Talos accepts', client_certificate_unusable,
          catalogue='API-3'),
    Check('talos_api.unknown_authority', SECTION, 'the CA of the context is that of the cluster', unknown_authority, catalogue='API-3'),
    Check('talos_api.client_refused', SECTION, 'the client certificate is accepted', client_refused, catalogue='API-3'),
    Check('talos_api.talosconfig_problem', SECTION, 'the talosconfig is sound', talosconfig_problem, catalogue='API-3'),
    Check('talos_api.other_talosconfig', SECTION, 'no other talosconfig lies in the working directory', other_talosconfig,
          catalogue='API-3'),
    Check('talos_api.role_insufficient', SECTION, 'the role may read what the checks need', role_insufficient, catalogue='API-11'),
)
