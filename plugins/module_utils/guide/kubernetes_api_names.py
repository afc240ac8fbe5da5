# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Kubernetes Control Plane Endpoint": the URL itself, and the certificates that API servers serve under it."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubernetes_api_common import (
    BAD, SECTION, certsans, endpoint, explained, probed, servers,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, ordered, seen, span
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    CONTROL_PLANES, Check, Evidence, Threshold, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

CERTIFICATE_DAYS = 'kubernetes_api_certificate_days'
# Not all of 127.0.0.0/8: only these are no address for anybody else.
_LOCAL = ('localhost', '127.0.0.1', '::1', '0.0.0.0', '::')
_OWN = '127.0.0.1'  # KubePrism asks the API servers under it


# -- KAPI-2 -----------------------------------------------------------------------------------------------------

def endpoint_url(view):
    """The URL is https, names a port, and a host that stands for all control plane nodes."""
    if view.kubernetes.absent:
        return not_applicable('cluster', 'the cluster runs no Kubernetes')
    found = endpoint(view)
    if found is None:
        return unknown('cluster', f'which the endpoint of the Kubernetes API is: {_why(view)}', explained_by=('not_judged', 'role'))
    evidence = [Evidence(f'{found.text}{f", resolves to {listed(found.addresses)}" if found.addresses and not is_ip(found.host) else ""}', found.source)]
    step = 'Correct cluster.controlPlane.endpoint on all machines, and the server in kubeconfigs.'
    if not found.host:
        return error('endpoint', f'the endpoint {found.text} is no URL with a host', 'Nobody can use it.', step, evidence=evidence)
    if found.written and urlsplit(found.written).scheme != 'https':
        return error('endpoint', f'the endpoint {found.text} is not https', 'API servers speak TLS only.', step, evidence=evidence)
    if normal(found.host) in _LOCAL:
        return error('endpoint', f'the endpoint {found.text} names the machine itself', 'It leads nobody but control plane nodes to an API server.',
                     f'{step} Give the VIP, a load balancer, or a DNS name of all control plane nodes.', evidence=evidence)
    return _host(view, found, evidence, step)


def _why(view):
    if not view.snapshot.answering():
        return 'no machine answered'
    unread = [(kind, m.datum(kind)) for m in view.snapshot.answering() for kind in ('KubePrismEndpoints', 'APIServerConfigs') if not m.datum(kind).ok]
    return '; '.join(dict.fromkeys(f'{kind}: {datum.why()}' for kind, datum in unread)) or 'KubePrism is off, and no kubeconfig given'


def _host(view, found, evidence, step):
    virtual = {normal(vip) for vip in view.vips}
    addresses = {normal(found.host)} if is_ip(found.host) else set(found.addresses)
    owners = [m for m in ordered(view.snapshot.machines) if addresses & ({normal(a) for a in (m.address, *m.addresses) if a} - virtual)]
    workers = [m for m in owners if not m.is_control_plane]
    planes = [m for m in owners if m.is_control_plane]
    if owners and not view.vips_known and not workers:
        return unknown('endpoint', f'whether the endpoint {found.text} is a VIP, or the address of {listed(m.label for m in owners)} alone: NodeIPConfigs was '
                       'not read', evidence=evidence, explained_by=('role', 'not_judged'))
    if workers:
        return error('endpoint', f'the endpoint {found.text} names the worker {listed(m.label for m in workers)}', 'No API server runs there.', step,
                     nodes=[m.key for m in workers], evidence=evidence)
    every = [server.machine for server in servers(view)]
    if len(planes) == 1 and addresses <= {normal(a) for a in (planes[0].address, *planes[0].addresses) if a} and len(every) > 1:
        return warning('endpoint', f'the endpoint {found.text} is {planes[0].label} alone, of {len(every)} control plane nodes',
                       'When this node is down or rebooted, clients have no API although the others serve it, and new nodes cannot join.',
                       f'{step} Give the VIP, a load balancer, or a DNS name of all control plane nodes.', nodes=[planes[0].key], evidence=evidence)
    if found.written and urlsplit(found.written).port is None:
        probes = (probed(view) or {}).get('probes') or []
        if not any(probe.get('ok') for probe in probes):
            return warning('endpoint', f'the endpoint {found.text} names no port: 443 is meant, API servers listen on 6443',
                           'It works only behind a load balancer that listens on 443.', f'{step} Write the port: {found.text.rstrip("/")}:6443.',
                           evidence=evidence)
    missing = [m for m in ordered(every) if m not in planes] if len(planes) > 1 and not addresses & virtual else []
    if missing and len(planes) == len(addresses):
        return info('endpoint', f'{found.host} does not resolve to {listed(m.label for m in missing)}', 'These control plane nodes serve no client.',
                    'Add them to DNS when they are to.', nodes=[m.key for m in missing], evidence=evidence)
    return ok('endpoint', title=found.text)


# -- CP-7, EXT-CERT ---------------------------------------------------------------------------------------------

def certificate_expires(view, machine):
    """The certificate that the API server of a control plane node serves is valid now and for a while; by this control node's clock."""
    if view.not_bootstrapped or view.kubernetes.absent:
        return not_applicable(machine.key, 'there is no Kubernetes')
    facts = machine.value('apiserver_certificate')
    if facts is None:
        return _unserved(view, machine, 'whether the certificate')
    ends, begins = parse_time(facts.get('not_after')), parse_time(facts.get('not_before'))
    evidence = [seen(machine, 'apiserver_certificate', f'{facts.get("subject")}, valid from {facts.get("not_before")} to {facts.get("not_after")}')]
    address = machine.address or machine.label
    step = f'Talos renews it by itself: look at the clock of the node and at talosctl -n {address} logs controller-runtime (secrets.KubernetesController).'
    more = {'nodes': [machine.key], 'evidence': evidence, 'explained_by': (f'clock:{machine.key}',)}
    if ends is None or begins is None:
        return unknown(machine.key, f'whether the certificate of the API server of {machine.label} is valid: it names no dates', **more)
    now = view.control_now
    if ends <= now:
        return error(machine.key, f'the certificate of the API server of {machine.label} expired {span((now - ends).total_seconds())} ago',
                     'No client that checks it can use this API server.', step, **more)
    if begins > now + timedelta(minutes=5):
        return error(machine.key, f'the certificate of the API server of {machine.label} is not valid for another {span((begins - now).total_seconds())}',
                     'The clock of that node, or of this control node, is wrong.', 'Compare the clocks.', **more)
    days = (ends - now).total_seconds() / 86400
    if days < view.threshold(CERTIFICATE_DAYS):
        return warning(machine.key, f'the certificate of the API server of {machine.label} expires in {span((ends - now).total_seconds())}',
                       'It should have been renewed long before.', step, **more)
    return ok(machine.key)


def _unserved(view, machine, what):
    """The outcome where an API server served no certificate: a server that is known not to serve is told by that check."""
    server = next((each for each in servers(view) if each.machine is machine), None)
    if server is None or server.how in BAD:
        return not_applicable(machine.key, f'the API server of {machine.label} does not serve', nodes=[machine.key])
    return unknown(machine.key, f'{what} of the API server of {machine.label} is right: {machine.datum("apiserver_certificate").why()}', nodes=[machine.key],
                   explained_by=explained(view, machine))


# -- KAPI-4 -----------------------------------------------------------------------------------------------------

def certificate_names(view, machine):
    """The certificate names the host of the endpoint, and 127.0.0.1, under which KubePrism asks."""
    if view.not_bootstrapped or view.kubernetes.absent:
        return not_applicable(machine.key, 'there is no Kubernetes')
    facts = machine.value('apiserver_certificate')
    if facts is None:
        return _unserved(view, machine, 'whether the names in the certificate')
    found = endpoint(view)
    wanted = [normal(found.host)] if found and found.host and normal(found.host) not in _LOCAL else []
    wanted += [_OWN] if any(m.resource('KubePrismStatuses') for m in view.snapshot.answering()) else []
    names = [normal(name) for name in (facts.get('dns') or []) + (facts.get('ips') or [])]
    lacking = [name for name in wanted if not _covers(names, name)]
    if not lacking:
        return ok(machine.key) if found else unknown(machine.key, f'whether the certificate of {machine.label} names the endpoint: which that is was not seen',
                                                     nodes=[machine.key], explained_by=('not_judged', 'role'))
    return error(machine.key, f'the certificate of the API server of {machine.label} does not name {listed(lacking)}',
                 ('Every machine asks this API server under 127.0.0.1, through KubePrism, and refuses it. ' if _OWN in lacking else '')
                 + ('Whoever is led to this node by the endpoint refuses it.' if lacking != [_OWN] else ''),
                 f'Append {listed(lacking)} to cluster.apiServer.certSANs on all control plane nodes (machine.certSANs does not help), no reboot is needed.',
                 nodes=[machine.key], evidence=[seen(machine, 'apiserver_certificate', f'names: {listed(names, 12)}')],
                 remedy=certsans(view, [name for name in lacking if name != _OWN]))


def _covers(names, wanted):
    parent = wanted.partition('.')[2] if not is_ip(wanted) else ''
    return wanted in names or bool(parent) and f'*.{parent}' in names


# -- KAPI-7 -----------------------------------------------------------------------------------------------------

def kubeconfig_certificate(view):
    """The client certificate of the kubeconfig that was given is valid for a while; by this control node's clock."""
    kubernetes = view.snapshot.kubernetes
    if kubernetes.get('source') != 'kubeconfig':
        return not_applicable('kubeconfig', 'no kubeconfig was given')
    facts = kubernetes.get('client')
    if not facts:
        return not_applicable('kubeconfig', 'the kubeconfig has no client certificate')
    ends, now = parse_time(facts.get('not_after')), view.control_now
    evidence = [Evidence(f'{facts.get("subject")}, valid from {facts.get("not_before")} to {facts.get("not_after")}', 'kubeconfig')]
    step = 'Have a new one issued: talosctl kubeconfig.'
    if ends is None:
        return unknown('kubeconfig', 'whether the client certificate of the kubeconfig is valid: it names no date', evidence=evidence)
    if ends <= now:
        return error('kubeconfig', f'the client certificate of the kubeconfig expired {span((now - ends).total_seconds())} ago',
                     'API servers refuse it, and everything that only Kubernetes tells is unknown.', step, evidence=evidence, asserts=('kubeconfig_expired',))
    if (ends - now).total_seconds() / 86400 < view.threshold(CERTIFICATE_DAYS):
        return warning('kubeconfig', f'the client certificate of the kubeconfig expires in {span((ends - now).total_seconds())}',
                       'After that API servers refuse it.', step, evidence=evidence)
    return ok('kubeconfig')


_READS = ('apiserver_certificate', 'apiserver_probe', 'ServiceList')
_DAYS = {CERTIFICATE_DAYS: Threshold(30, 'days', 'least remaining life of certificates of API servers, and of the client certificate of a kubeconfig')}

CHECKS = (
    Check('kubernetes_api.endpoint_url', SECTION, 'The endpoint of the Kubernetes API is written as it should be', endpoint_url,
          reads=('KubePrismEndpoints', 'APIServerConfigs', 'NodeIPConfigs', 'ServiceList'), cluster_reads=('endpoint',), catalogue='KAPI-2'),
    Check('kubernetes_api.certificate_expires', SECTION, 'The certificate of each API server is valid for a while', certificate_expires, each=CONTROL_PLANES,
          reads=_READS, cluster_reads=('readyz',), catalogue='CP-7, EXT-CERT', thresholds=_DAYS),
    Check('kubernetes_api.certificate_names', SECTION, 'The certificate of each API server names the endpoint', certificate_names, each=CONTROL_PLANES,
          reads=(*_READS, 'KubePrismEndpoints', 'KubePrismStatuses', 'APIServerConfigs'), cluster_reads=('endpoint', 'readyz'), catalogue='KAPI-4',
          remedy='talos_certsans'),
    Check('kubernetes_api.kubeconfig_certificate', SECTION, 'The client certificate of a given kubeconfig is valid for a while', kubeconfig_certificate,
          cluster_reads=('readyz',), catalogue='KAPI-7', thresholds=_DAYS, sharpens=True),
)
