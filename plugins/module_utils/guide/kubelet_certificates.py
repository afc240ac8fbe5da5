# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Talos Complains about Certificate Errors on kubelet API": serving certificates, requests for them, and mismatching CAs."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ABSENT
from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import controller_of, no_cluster, not_read, why_frozen
from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_requests import (
    CSR_SECONDS, api_names, approver_evidence, machine_named, newest, owner_of, rotates, waiting_since,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import seen, span
from ansible_collections.talosops.talos.plugins.module_utils.judge import csr_rules, loglines
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, CONTROL_PLANES, Check, Evidence, Threshold, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time, parse_time

SECTION = 'kubelet.cert_errors'
_RECENT = 300
_DIAGNOSTIC = 'kubelet-csr'
_MEANS = ('The kubelet has no certificate that anybody can verify: kubectl logs and exec, metrics-server, and what Talos tells of its pods, fail. '
          'The pods themselves run.')
_KUBELET_API = '"controller": "k8s.KubeletStaticPodController"'
_REFUSED = re.compile(r'x509: [^"\\]+|Unauthorized|Forbidden')
_EXPIRED = re.compile(r'existing bootstrap client certificate[^"\\]*is expired[^"\\]*|'
                      r'x509: certificate (?:has expired or is not yet valid|signed by unknown authority)[^"\\]*')
_TO_THE_API = re.compile(r'Failed to (?:ensure lease exists|update lease|watch|list)|Unable to register node|node status|'
                         r'bootstrap client certificate|command failed|error getting node')
_CA_ROTATED = 'kubelet client certificate does not match any accepted CAs'


# -- KUB-5, KUB-11: requests ------------------------------------------------------------------------------------

def serving_csr_pending(view):
    """No kubelet waits for its serving certificate, and nobody asks for one that is not his."""
    early = no_cluster(view)
    if early:
        return early
    csrs = view.kubernetes.csrs
    if csrs is None:
        return not_read(view, 'whether kubelets wait for serving certificates', 'csrs')
    return [outcome for csr in newest(csrs, csr_rules.SERVING) for outcome in [_serving(view, csr)] if outcome] or ok('cluster')


def _serving(view, csr):
    name = csr_rules.node_name(csr)
    machine = machine_named(view, name) if name else None
    judgement = csr_rules.judge_serving(csr, owner_of(view, machine, name), api_names(view), (), not view.kubernetes.frozen)
    refused = judgement.verdict == csr_rules.REFUSE and csr_rules.pending(csr)
    return _refused(csr, name or csr['name'], machine, judgement) if refused else _waits(view, csr, name or csr['name'], machine, judgement)


def _waits(view, csr, name, machine, judgement):
    decided = csr_rules.states(csr)
    if csr.get('issued'):
        return None
    since = waiting_since(csr, view.kubernetes.csrs)
    seconds = (view.now - since).total_seconds() if since else None
    nodes = [machine.key] if machine is not None else []
    evidence = [_evidence(csr), *_diagnostic(machine)]
    long = f' for {span(seconds)}' if seconds is not None else ''
    if decided & {'Denied', 'Failed'}:
        return warning(name,
                       f'The request {csr["name"]} for the serving certificate of {name} was {"denied" if "Denied" in decided else "not signed"}',
                       _MEANS, f'kubectl describe csr {csr["name"]}: see who decided so and why. The kubelet asks again after a quarter of an hour.',
                       nodes=nodes, evidence=evidence)
    if 'Approved' in decided:
        return _unsigned(view, csr, name, nodes, evidence, seconds, long)
    title = f'{name} waits{long} for its serving certificate: request {csr["name"]} is pending; {judgement.text}'
    if machine is not None and rotates(machine) is False and not _diagnostics(machine):
        return info(name, f'{title}. Its kubelet does not use serving certificates of the cluster',
                    'rotate-server-certificates is not set: the request is a '
                    'left-over.', 'Let it expire.', nodes=nodes, evidence=evidence)
    if seconds is not None and seconds <= view.threshold(CSR_SECONDS) or view.kubernetes.settling(machine):
        return info(name, title, 'Approvers need a moment, and a new machine some minutes.', 'Gather again in a few minutes.', nodes=nodes,
                    evidence=evidence)
    said, found = approver_evidence(view)
    remedy = None
    node = next((node for node in view.kubernetes.nodes or [] if node['name'] == name), None)
    owner = controller_of(view, node or {}, machine)
    if owner:
        step = f'{owner} manages this cluster: look there who approves serving requests.'
    elif judgement.verdict == csr_rules.APPROVE or judgement.writes_only:
        first = f'First repair etcd ({why_frozen(view)}): nothing can be approved before it takes writes again. Then: '
        step = f'kubectl certificate approve {csr["name"]} (the newest of this Node only), talos_kubernetes_csr, or install an approver.'
        step = f'{first}{step}' if judgement.writes_only else step
        remedy = {'name': 'kubelet_serving_csr', 'args': {'csr': csr['name']}}
    else:
        step = 'Approve nothing before the open question is answered.'
    return warning(name, title, f'{_MEANS} {said}'.strip(), step, nodes=nodes, evidence=evidence + found, asserts=(f'csr_pending:{name}',),
                   remedy=remedy)


def _unsigned(view, csr, name, nodes, evidence, seconds, long):
    title = f'The request {csr["name"]} for the serving certificate of {name} was approved and is not signed{long}'
    if seconds is not None and seconds <= view.threshold(CSR_SECONDS):
        return info(name, title, 'kube-controller-manager signs it within a moment.', 'Gather again in a few minutes.', nodes=nodes,
                    evidence=evidence)
    return warning(name, title, _MEANS, 'kube-controller-manager signs approved requests: look at its pods and logs.', nodes=nodes, evidence=evidence,
                   explained_by=view.kubernetes.frozen)


def _refused(csr, name, machine, judgement):
    return warning(name, f'The pending request {csr["name"]} of {csr.get("username")} must not be approved: {"; ".join(judgement.why)}',
                   'Whoever approves it lets a kubelet, or somebody in its name, pose as what it is not. Approving all requests at once would do so.',
                   f'Find out who made it (kubectl get csr {csr["name"]} -o yaml), and leave it unapproved; kubectl certificate deny {csr["name"]} '
                   'if it is not explained.', nodes=[machine.key] if machine is not None else [], evidence=[_evidence(csr)])


def _evidence(csr):
    asked = csr.get('asks_for')
    names = 'its content could not be read' if asked is None else f'for {", ".join((asked.get("dns") or []) + (asked.get("ips") or [])) or "no name"}'
    state = ', '.join(sorted(csr_rules.states(csr))) or 'Pending'
    return Evidence(f'{csr["name"]}: {csr.get("username")} {names}, usages {", ".join(csr.get("usages") or [])}: {state}', 'Kubernetes csrs', None,
                    csr.get('created'))


def _diagnostic(machine):
    """Talos's own diagnostic of this machine, and what its log says, as evidence."""
    if machine is None:
        return []
    return [seen(machine, 'Diagnostics',
                 f'{_DIAGNOSTIC}: {"; ".join([str(spec.get("message") or "")] + [str(each) for each in spec.get("details") or []])}')
            for spec in _diagnostics(machine)]


def _diagnostics(machine):
    return [item.get('spec') or {} for item in machine.value('Diagnostics') or [] if item.get('id') == _DIAGNOSTIC]


# -- KUB-11: what Talos says ------------------------------------------------------------------------------------

def serving_certificate_missing(view, machine):
    """Talos reaches the kubelet of each machine by a certificate; one whose request is listed is told by that."""
    nodes = [machine.key]
    name = (machine.resource('Nodenames', 'nodename') or {}).get('nodename') or machine.name
    csr = next((csr for csr in newest(view.kubernetes.csrs or [], csr_rules.SERVING) if csr_rules.node_name(csr) == name), None)
    hits = [hit for hit in view.signatures.recent(machine, 'kubelet.tls_internal', 'kubelet.no_serving_cert')
            if hit.age is not None and hit.age <= _RECENT and not _issued_after(csr, hit)]
    if not _diagnostics(machine) and not hits:
        unread = [f'log {log}: {machine.log(log).why()}' for log in (*(('controller-runtime',) if machine.is_control_plane else ()), 'kubelet')
                  if not machine.log(log).ok and machine.log(log).state != ABSENT]
        if unread:
            return unknown(machine.key, f'whether the kubelet of {machine.label} has a serving certificate: {"; ".join(unread)}', nodes=nodes)
        return ok(machine.key, nodes=nodes)
    if csr is not None and not csr.get('issued'):
        return not_applicable(machine.key, f'told by the request {csr["name"]}', nodes=nodes)
    evidence = _diagnostic(machine) + [hit.evidence() for hit in hits]
    said = 'and no request for one is listed' if view.kubernetes.csrs is not None else 'and whether it asks for one could not be seen'
    said = 'its request for one is not approved' if _diagnostics(machine) else said
    title = f'the kubelet on {machine.label} has no serving certificate, {said}'
    if view.kubernetes.settling(machine):
        return info(machine.key, title, 'Normal while a cluster, or a machine, is new.', 'Gather again in a few minutes.', nodes=nodes,
                    evidence=evidence)
    return warning(machine.key, title, _MEANS,
                   'kubectl get csr: approve the newest serving request of this Node after a look at its names, or install an approver. Where none '
                   'is listed, restart the kubelet (talosctl service kubelet restart).', nodes=nodes, evidence=evidence,
                   asserts=(f'csr_pending:{name}',), explained_by=view.kubernetes.frozen)


def _issued_after(csr, hit):
    """Whether the certificate came after this line was written."""
    approved = [condition.get('lastTransitionTime') or condition.get('lastUpdateTime') for condition in (csr or {}).get('conditions') or []]
    return bool(csr and csr.get('issued') and hit.at is not None and any(at and parse_time(at) >= hit.at for at in approved))


def kubelet_api_refused(view, machine):
    """The kubelet lets Talos in: their CAs are the same. A kubelet that is down, or asks in vain whether it may, is told elsewhere."""
    log, nodes = machine.log('controller-runtime'), [machine.key]
    if not log.ok:
        return unknown(machine.key, f'whether Talos gets on with the kubelet of {machine.label}: log controller-runtime, {log.why()}', nodes=nodes)
    found = [(line, hit) for line in _recent(view, machine, 'controller-runtime', _KUBELET_API)
             for hit in [_REFUSED.search(line.text)] if hit and 'Authorization error' not in line.text]
    if not found:
        return ok(machine.key, nodes=nodes)
    line, hit = found[-1]
    evidence = [Evidence(f'{line.text} ({len(found)} times in five minutes)', 'log controller-runtime', machine.label, format_time(line.near))]
    title = f'the kubelet on {machine.label} and Talos do not accept each other: {hit[0]}'
    if view.kubernetes.settling(machine):
        return info(machine.key, title, 'Normal while a cluster, or a machine, is new.', 'Gather again in a few minutes.', nodes=nodes,
                    evidence=evidence)
    return error(machine.key, title, 'Their certificates are of different CAs, or a clock is wrong.',
                 'Compare cluster.ca of this machine\'s configuration with the others, and its clock; after a change of the CA restart the kubelet '
                 '(talosctl service kubelet restart).', nodes=nodes, evidence=evidence, explained_by=(f'clock:{machine.key}',))


# -- KUB-12: the client certificate -----------------------------------------------------------------------------

def client_certificate_refused(view, machine):
    """The kubelet and the API server accept each other's certificates."""
    log, nodes = machine.log('kubelet'), [machine.key]
    if not log.ok:
        if log.state == ABSENT or (machine.datum('ServiceList').ok and view.kubelet.service(machine) is None):
            return not_applicable(machine.key, f'no kubelet has run on {machine.label}', nodes=nodes)
        return unknown(machine.key, f'whether the kubelet of {machine.label} gets on with the API server: log kubelet, {log.why()}', nodes=nodes)
    found = [(line, hit) for line in _recent(view, machine, 'kubelet', 'certificate')
             for hit in [_EXPIRED.search(line.text)] if hit and _TO_THE_API.search(line.text)]
    if not found:
        return _ca_rotated(view, machine) or ok(machine.key, nodes=nodes)
    line, hit = found[-1]
    evidence = [Evidence(f'{line.text} ({len(found)} times in five minutes)', 'log kubelet', machine.label, format_time(line.near))]
    title = f'the kubelet on {machine.label} and the API server do not accept each other\'s certificates: {hit[0]}'
    if view.kubernetes.settling(machine):
        return info(machine.key, title, 'It may still get a new one.', 'Gather again in a few minutes.', nodes=nodes, evidence=evidence)
    return error(machine.key, title,
                 'The kubelet cannot report, so its Node becomes not Ready. A certificate that was not renewed in time runs out after a '
                 'year, and a kubelet that runs for longer without a restart may hold on to it.',
                 'Compare the clock of this machine with the others first. Then restart the kubelet (talosctl service kubelet restart): it asks for '
                 'a new certificate.', nodes=nodes, evidence=evidence, asserts=(f'kubelet.credentials:{machine.key}',),
                 explained_by=(f'clock:{machine.key}',),
                 remedy={'name': 'kubelet_restart', 'args': {'node': machine.key}})


def _ca_rotated(view, machine):
    lines = _recent(view, machine, 'controller-runtime', _CA_ROTATED)
    if not lines:
        return None
    return info(machine.key, f'the kubelet on {machine.label} gets a new client certificate',
                'Its old one is of a CA that is not accepted any more: the CA '
                'was exchanged.', 'None.', nodes=[machine.key],
                evidence=[Evidence(lines[-1].text, 'log controller-runtime', machine.label, format_time(lines[-1].near))])


def _recent(view, machine, log, needle):
    """Lines of the last five minutes that hold this text, by the machine's own clock; those without a time are left out."""
    if not machine.log(log).ok:
        return []
    text = machine.log(log).value or ''
    if needle not in text:
        return []
    now, found, near = view.signatures.clock(machine), [], None
    for raw in text.split('\n'):
        if needle in raw:
            line = loglines.any_of(raw, near, view.now)
            near = line.near
            if line.near is not None and (now - line.near).total_seconds() <= _RECENT:
                found.append(line)
    return found


CHECKS = (
    Check('kubelet.serving_csr_pending', SECTION, 'No kubelet waits for its serving certificate', serving_csr_pending,
          reads=('Nodenames', 'HostnameStatuses', 'AddressStatuses', 'NodeAddresses', 'NodeIPConfigs', 'KubeletSpecs', 'MachineConfigs',
                 'Diagnostics',
                 'MachineStatuses', 'EtcdAlarmList', 'SiderolinkStatuses'),
          cluster_reads=('csrs', 'nodes', 'pods', 'deployments'), catalogue='KUB-5 KUB-11', remedy='kubelet_serving_csr', sharpens=True, thresholds={
              CSR_SECONDS: Threshold(300, 's', 'how long a certificate request of a kubelet may be pending')}),
    Check('kubelet.serving_certificate_missing', SECTION, 'Every kubelet has a serving certificate', serving_certificate_missing, each=ALL,
          needs=('Diagnostics',), reads=('Nodenames', 'MachineStatuses'), logs=('controller-runtime', 'machined', 'kubelet'), cluster_reads=('csrs',),
          catalogue='KUB-11 EXT-DIAG'),
    Check('kubelet.api_refused', SECTION, 'Talos and the kubelet accept each other', kubelet_api_refused, each=CONTROL_PLANES,
          reads=('MachineStatuses', 'Time'), logs=('controller-runtime', 'machined'), catalogue='KUB-11'),
    Check('kubelet.client_certificate_refused', SECTION, 'The kubelet and the API server accept each other', client_certificate_refused, each=ALL,
          reads=('ServiceList', 'MachineStatuses', 'Time'), logs=('kubelet', 'controller-runtime', 'machined'), catalogue='KUB-12',
          remedy='kubelet_restart'),
)
