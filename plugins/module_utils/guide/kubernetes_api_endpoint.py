# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Kubernetes Control Plane Endpoint": is the API served, by which nodes, and does the endpoint lead to them.

Told apart (check catalogue KAPI-3): no API server serves; they serve, but the endpoint does not lead to them; one of them does not
serve; the endpoint leads to one that does not; they serve the cluster, but this control node does not reach them.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import FAILED
from ansible_collections.talosops.talos.plugins.module_utils.guide.control_plane_common import etcd_was_sick, why_settling
from ansible_collections.talosops.talos.plugins.module_utils.guide.kubernetes_api_common import (
    ANSWERS, ENDPOINT_DOWN, NOT_READY, ON_THE_WAY, SECTION, SERVES, UNSEEN, VIP_LOST, certsans, explained, probed, served, servers, settling,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, ordered
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Evidence, critical, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.component_facts import API_SERVER, READY
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOSPACE, learner, unreachable
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import API_DOWN, CORRUPT, api_server_down

_LINES = ('kubeprism.refused', 'kubeprism.eof', 'localhost6443.refused', 'node.watch_stalled', 'kubelet.lease_failed')
# Talos tries again after half a minute at most: older failures are history where the endpoint answers now.
RETRY_SECONDS = 120
_CERTIFICATE = ('untrusted_ca', 'wrong_name', 'expired', 'not_yet_valid')


# -- KAPI-1, KAPI-3: the API ------------------------------------------------------------------------------------

def api_down(view):
    """An API server serves."""
    if view.kubernetes.absent:
        return not_applicable('cluster', 'the cluster runs no Kubernetes')
    found = servers(view)
    if not view.answering_control_planes and not found:
        return unknown('cluster', 'whether the Kubernetes API is served: no control plane node is known', explained_by=('not_judged',))
    if any(server.how == SERVES for server in found) or _through_the_endpoint(view):
        return ok('cluster', title=f'{sum(server.how == SERVES for server in found)} of {len(found)} API servers serve')
    answering, unseen = [s for s in found if s.how == ANSWERS], [s for s in found if s.how == UNSEEN]
    if answering:
        names = listed(server.machine.label for server in answering)
        return unknown('cluster', f'whether the Kubernetes API is ready: {_why_unread(view)}; the API server of {names} answers on its port',
                       next_step='Give a kubeconfig, or an os:admin talosconfig.', evidence=[s.evidence() for s in answering],
                       explained_by=view.kubernetes.troubles)
    if unseen or not found:
        return unknown('cluster', f'whether the Kubernetes API is served: {_why_unread(view)}', evidence=[s.evidence() for s in found if s.bad],
                       next_step='Give a kubeconfig, or an os:admin talosconfig.', explained_by=view.kubernetes.troubles)
    return _nobody(view, found)


def _through_the_endpoint(view):
    readyz = view.kubernetes.datum('readyz')
    return readyz.ok and readyz.value.get('status') == 200


def _why_unread(view):
    datum = view.kubernetes.datum('readyz')
    return view.snapshot.kubernetes.get('error') or datum.why()


def _nobody(view, found):
    keys, evidence = [server.machine.key for server in found], [server.evidence() for server in found]
    if _only_from_here(view, found):
        return info('cluster', f'this control node does not reach port 6443 of {listed(s.machine.label for s in found)}, but the cluster does',
                    'KubePrism finds an API server on every machine, no machine complains of one, and etcd has its quorum: a firewall or the routing '
                    'between this control node and the cluster is in the way. Everything that only Kubernetes tells is unknown for this reason.',
                    'Let this control node reach port 6443 of the control plane nodes, or run from a host that does (talos_bastion).', nodes=keys,
                    evidence=evidence)
    causes = tuple(dict.fromkeys(fact for server in found for fact in explained(view, server.machine)))
    title = f'the Kubernetes API is served by none of {len(found)} control plane nodes' if len(found) > 1 else \
        f'the Kubernetes API is not served: {found[0].machine.label} is the only control plane node'
    if settling(view):
        return info('cluster', f'{title} yet', 'The cluster, or its control plane nodes, are young.', 'Look again in a few minutes.', nodes=keys,
                    evidence=evidence, explained_by=causes)
    return critical('cluster', title, 'Nothing can be read or changed in Kubernetes, no Node is seen to be alive, nothing is scheduled. Pods that run go on.',
                    'Start with etcd, then kube-apiserver of one control plane node: talosctl service etcd, talosctl containers -k, '
                    'talosctl logs -k <id of kube-apiserver>.', nodes=keys, evidence=evidence, asserts=(API_DOWN,), explained_by=causes)


def _only_from_here(view, found):
    """No API server was reached, while the cluster itself does well with them.

    A firewall that rejects looks like a port on which nobody listens (REJECT of iptables: connection refused); there the machine must know better.
    """
    answering = [server for server in found if server.machine.answered]
    refusing = [server.machine for server in answering if server.kind == 'refused']
    return all(server.kind in (*ON_THE_WAY, 'refused') for server in answering) and _well_inside(view) \
        and all(view.components.state(machine, API_SERVER).how == READY for machine in refusing)


def _well_inside(view):
    """All that the cluster's own machines say of the API is good, and none of it is frozen (edge-cases 31).

    With an alarm of etcd the API serves reads, and writes fail in etcd's own words; the statuses of Nodes are old, which nobody asks then.
    """
    machines = view.snapshot.answering()
    if not view.etcd.with_leader or view.etcd.alarms is None or not machines:
        return False
    if not any(view.components.state(m, API_SERVER).how == READY for m in view.answering_control_planes):
        return False
    prisms = [machine.resource('KubePrismStatuses') for machine in machines]
    ready = [(machine.resource('NodeStatuses') or {}).get('nodeReady') for machine in machines]
    logs = all(machine.log('controller-runtime').ok and machine.log('kubelet').ok for machine in machines)
    quiet = logs and not any('etcdserver: ' not in hit.line.text for machine in machines for hit in view.signatures.recent(machine, *_LINES))
    return quiet and (all(ready) or bool(view.etcd.alarms)) and all(prism and prism.get('healthy') for prism in prisms)


# -- KAPI-3: one API server -------------------------------------------------------------------------------------

def server_down(view):
    """Each control plane node's API server serves."""
    if view.not_bootstrapped or view.kubernetes.absent:
        return not_applicable('cluster', 'there is no Kubernetes')
    if not served(view):
        return _none_known(view, 'whether the API server of each control plane node serves')
    return [_judged(view, server) for server in servers(view)]


def _none_known(view, what):
    """The outcome of a check that compares with an API server that serves, where none is known to."""
    if servers(view) and all(server.bad for server in servers(view)):
        if _only_from_here(view, servers(view)):
            return unknown('cluster', f'{what}: no API server was reached from this control node')
        return not_applicable('cluster', 'none of them was reached: see that check')
    return unknown('cluster', f'{what}: {_why_unread(view)}', explained_by=view.kubernetes.troubles)


def _judged(view, server):
    machine = server.machine
    more = {'nodes': [machine.key], 'evidence': [server.evidence()]}
    if server.how == UNSEEN or server.how == ANSWERS and view.snapshot.kubernetes.get('source'):  # without any kubeconfig api_down says so, once
        return unknown(machine.key, f'whether the API server of {machine.label} serves: {server.text}', explained_by=explained(view, machine), **more)
    if not server.bad:
        return ok(machine.key)
    title = f'the API server of {machine.label} {"is not ready" if server.how == NOT_READY else "does not answer"}: {server.text}'
    causes = explained(view, machine)
    if view.in_progress(machine) or view.kubernetes.settling(machine):
        return info(machine.key, title, why_settling(view, machine), 'Look again in a few minutes.', explained_by=causes, **more)
    if server.how == NOT_READY and etcd_was_sick(view):
        return info(machine.key, title, 'etcd was not healthy until a short while ago.', 'Look again in a few minutes.', explained_by=causes, **more)
    if not machine.answered:
        return info(machine.key, title, 'The machine itself does not answer, which is the fault; the others serve the API.', explained_by=causes, **more)
    idle = _idle_below(view, machine)
    if idle:
        return info(machine.key, title, f'Its {idle} does not run, which is told there: without it no API server starts.', explained_by=causes, **more)
    if _learns(view, machine):
        return info(machine.key, title, 'Its etcd is a learner, which is told there: Talos starts no API server before it votes.',
                    explained_by=(*causes, learner(machine)), **more)
    if _told_elsewhere(view, machine):
        return info(machine.key, title, 'Why is told of its pod.', 'See the control plane\'s pods.', explained_by=causes, **more)
    others = [other.machine.label for other in served(view)]
    address = machine.address or machine.label
    step = f'Look at etcd and at kube-apiserver of this node: talosctl -n {address} service etcd, talosctl -n {address} containers -k.'
    if server.kind in ON_THE_WAY:
        step += f' If it runs and is ready, let this control node, and whoever uses the API, reach {address}:6443.'
    return warning(machine.key, title, f'The API is served by {listed(others)}. A load balancer, or a name with several addresses, must lead '
                   'nobody to this node.',
                   step, asserts=(api_server_down(machine),), explained_by=causes, **more)


def _idle_below(view, machine):
    """What an API server needs on its own machine (etcd, kubelet) and what does not run there; empty where it does, or that was not seen."""
    services = [name for name in ('etcd', 'kubelet') for service in [view.service(machine, name)] if service and service.get('state') != 'Running']
    return listed(services) if machine.answered else ''


def _learns(view, machine):
    """Whether its etcd is a learner: that serves no API server, and Talos defines the static pods only once etcd is healthy."""
    return bool((view.etcd.statuses.get(machine.key) or {}).get('is_learner'))


def _told_elsewhere(view, machine):
    """The control plane's sections already say why kube-apiserver of this machine does not run."""
    return any(v.rank(outcome.verdict) >= v.rank(v.WARNING) and api_server_down(machine) in outcome.asserts
               for key in ('controlplane.static_pods', 'controlplane.pod_status') for outcome in view.judged(key))


# -- KAPI-3: the endpoint ---------------------------------------------------------------------------------------

def endpoint_down(view):
    """Every new connection to the endpoint meets an API server that serves."""
    if view.not_bootstrapped or view.kubernetes.absent:
        return not_applicable('cluster', 'there is no Kubernetes')
    found = probed(view)
    if found is None:
        datum = view.kubernetes.datum('endpoint')
        return unknown('cluster', f'whether the endpoint leads to an API server: {datum.why()}', explained_by=view.kubernetes.troubles)
    if not served(view):
        return _none_known(view, f'whether the endpoint {found["url"]} leads to an API server that serves')
    if found.get('error'):
        return _leads_nowhere(view, found)
    failed = [probe for probe in found['probes'] if not probe.get('ok')]
    if not failed:
        return ok(found['url'], title=f'{len(found["probes"])} of {len(found["probes"])} connections are answered')
    if _slow(view, found, failed):
        return info(found['url'], f'{len(failed)} of {len(found["probes"])} new connections to {found["url"]} were not answered in time',
                    'The endpoint answered another call of the same moment, and every API server serves: this control node, or the way to them, is slow.',
                    'Look again while the control node is less busy.', evidence=_evidence(view, failed))
    if len(failed) == len(found['probes']):
        return _dead(view, found, failed)
    return _in_part(view, found, failed)


def _slow(view, found, failed):
    """A busy control node: connections time out at an address that answers others, or another call, while every API server serves."""
    if {probe.get('kind') for probe in failed} != {'timeout'} or any(server.bad for server in servers(view)):
        return False
    answering = {probe.get('address') for probe in found['probes'] if probe.get('ok')}
    return view.kubernetes.datum('readyz').ok and {probe.get('address') for probe in failed} <= (answering or set(found.get('addresses') or [])) \
        and (bool(answering) or len(found.get('addresses') or []) == 1)


def _leads_nowhere(view, found):
    kind, text = found['error'].get('kind'), found['error'].get('text')
    if kind == 'url':
        return not_applicable(found['url'], 'the URL itself is wrong: see that check')
    return error(found['url'], f'the endpoint {found["url"]} leads nowhere: {text}',
                 f'The API servers serve, but whoever uses this kubeconfig from here does not find them. API servers that answer: '
                 f'{listed(s.machine.label for s in served(view))}.',
                 f'Correct the name in DNS, or give this control node the name server that knows it. Until then: '
                 f'kubectl --server https://{_direct(view)}:6443.', evidence=[Evidence(str(text), 'endpoint', None, view.kubernetes.datum('endpoint').at)],
                 asserts=(ENDPOINT_DOWN,))


def _dead(view, found, failed):
    kinds = {probe.get('kind') for probe in failed}
    evidence = [*_evidence(view, failed), *(server.evidence() for server in served(view))]
    virtual = normal(found['host']) in {normal(vip) for vip in view.vips}
    what = 'the VIP' if virtual else 'the load balancer' if _is_balancer(view, found) else 'what it names'
    title = f'the endpoint {found["url"]} does not lead to an API server: {failed[0].get("text") or listed(sorted(map(str, kinds)))}'
    if settling(view):
        return info(found['url'], title, 'The cluster, or its control plane nodes, are young.', 'Look again in a few minutes.', evidence=evidence)
    if kinds <= set(_CERTIFICATE):
        return error(found['url'], title, f'{what[0].upper()}{what[1:]} answers with a certificate that the kubeconfig does not accept, '
                     'so no client can use it.',
                     'If a load balancer ends TLS: switch it to plain TCP pass-through. If the name is missing: add it to cluster.apiServer.certSANs on all '
                     'control plane nodes.', evidence=evidence, asserts=(ENDPOINT_DOWN,),
                     remedy=certsans(view, [found['host']]) if kinds == {'wrong_name'} else None)
    holders = [machine for machine in _behind(view, found) if any(server.bad for server in servers(view) if server.machine is machine)]
    if virtual and holders:
        names = listed(machine.label for machine in holders)
        what = f'the VIP, which {names} holds'
        step = f'Get the API server of {names} to serve, which is told there: the VIP follows etcd, not the API server.'
    else:
        step = _where_it_leads(what)
    causes = (VIP_LOST, *(unreachable(m) for m in view.control_planes if not m.answered), *(fact for m in _behind(view, found) for fact in explained(view, m)))
    return error(found['url'], title, f'The API servers themselves serve ({listed(s.machine.label for s in served(view))}): the fault is {what}. Machines of '
                 'the cluster reach them through KubePrism; clients and new nodes use the endpoint.',
                 f'{step} Until then: kubectl --server https://{_direct(view)}:6443.', evidence=evidence, asserts=(ENDPOINT_DOWN,), explained_by=causes)


def _where_it_leads(what):
    return {'the VIP': 'Look which node holds the VIP: talosctl get addresses on the control plane nodes.',
            'the load balancer': 'Look at the load balancer: is it up, does it listen, are the control plane nodes its backends on port 6443.'}.get(
                what, 'Look at the address that the endpoint names.')


def _in_part(view, found, failed):
    """Some connections fail: a stale address of the name, or a balancer that still leads to an API server that does not serve."""
    total, stale = len(found['probes']), _stale(found)
    evidence = _evidence(view, failed)
    if stale and all(probe.get('address') in stale for probe in failed):
        if all(probe.get('kind') == 'no_route' and ':' in str(probe.get('address')) for probe in failed):
            return info(found['url'], f'this control node does not reach {listed(stale)}, the IPv6 address of {found["host"]}',
                        'It may have no IPv6 itself.', evidence=evidence)
        machines = [m for m in map(view.snapshot.by_address, stale) if m is not None]
        return warning(found['url'], f'{found["host"]} resolves to {listed(stale)} as well, where no API server answers',
                       f'A client takes the addresses in turn: {len(failed)} of {total} new connections fail or wait.',
                       'Take the address out of DNS, or repair the API server there.', nodes=[m.key for m in machines], evidence=evidence,
                       explained_by=tuple(fact for m in machines for fact in explained(view, m)))
    if settling(view):
        return info(found['url'], f'{len(failed)} of {total} new connections to {found["url"]} fail', 'The cluster is young.',
                    'Look again in a few minutes.', evidence=evidence)
    dead = [server.machine.label for server in servers(view) if server.bad]
    why = f'The API server of {listed(dead)} does not serve, and the load balancer still leads clients to it: it does not check the health of its backends.' \
        if dead else 'The load balancer has a backend that does not serve, or drops connections.'
    return warning(found['url'], f'{len(failed)} of {total} new connections to the endpoint {found["url"]} fail', why,
                   'Give the load balancer a health check of its backends (HTTPS GET /readyz on port 6443, or at least a TCP connect), and take out those that '
                   'are no control plane nodes.', evidence=evidence)


def _stale(found):
    """The addresses, of a name with several, at which no connection was answered while others were."""
    good = {probe.get('address') for probe in found['probes'] if probe.get('ok')}
    bad = {probe.get('address') for probe in found['probes'] if probe.get('address')} - good
    return sorted(bad) if good and len(found.get('addresses') or []) > 1 else []


def _evidence(view, failed):
    at = view.kubernetes.datum('endpoint').at
    kinds = {}
    for probe in failed:
        kinds.setdefault((probe.get('kind'), probe.get('text')), []).append(probe)
    return [Evidence(f'{len(probes)} times {kind}: {text}', 'endpoint', None, at) for (kind, text), probes in kinds.items()]


def _is_balancer(view, found):
    known = {normal(a) for m in view.snapshot.machines for a in (m.address, *m.addresses) if a}
    addresses = {normal(a) for a in found.get('addresses') or []} or {normal(found['host'])}
    return not addresses & known


def _behind(view, found):
    """The machines whose own address the endpoint is."""
    return [m for m in map(view.snapshot.by_address, found.get('addresses') or [found['host']]) if m is not None]


def _direct(view):
    server = next((s for s in _in_order(view)), None)
    return (server.machine.address or server.machine.label) if server else '<control plane node>'


def _in_order(view):
    order = {machine.key: place for place, machine in enumerate(ordered(view.control_planes))}
    return sorted(served(view), key=lambda server: order[server.machine.key])


# -- KAPI-3: from inside ----------------------------------------------------------------------------------------

def endpoint_unreached_inside(view):
    """No machine of the cluster has failed to reach the endpoint in the last five minutes."""
    machines = view.snapshot.answering()
    if view.not_bootstrapped or view.kubernetes.absent or not machines:
        return not_applicable('cluster', 'there is no Kubernetes to reach')
    unread = [machine for machine in ordered(machines) if not machine.log('controller-runtime').ok]
    works = all(probe.get('ok') for probe in (probed(view) or {}).get('probes') or [])
    hits = [(machine, hit) for machine in ordered(machines) for hit in view.signatures.recent(machine, 'k8sapi.endpoint_watch_error')
            if not works or (hit.age or 0) <= RETRY_SECONDS]
    if not hits:
        if unread:
            why = '; '.join(f'{m.label}: {m.log("controller-runtime").why()}' for m in unread)
            return unknown('cluster', f'whether all machines reach the endpoint: log controller-runtime of {why}', explained_by=('role', 'not_judged'))
        return ok('cluster')
    keys, evidence = [machine.key for machine, _hit in hits], [hit.evidence() for _machine, hit in hits]
    wanted = hits[0][1].groups.get('addr') or 'the endpoint'
    title = f'{listed(machine.label for machine, _hit in hits)} did not reach the endpoint {wanted}: {hits[0][1].groups.get("why") or "see the line"}'
    causes = (NO_QUORUM, API_DOWN, VIP_LOST, ENDPOINT_DOWN, *(fact for m in view.control_planes for fact in (unreachable(m), api_server_down(m))),
              *(f'network:{key}' for key in keys))
    if settling(view):
        return info('cluster', title, 'The cluster is young.', 'Look again in a few minutes.', nodes=keys, evidence=evidence, explained_by=causes)
    return warning('cluster', title, 'The machines themselves use KubePrism, so the cluster goes on; what runs in them and uses the endpoint does not.',
                   'Look whether the load balancer lets its own backends in (hairpin), and at routing and firewall between these machines and the endpoint.',
                   nodes=keys, evidence=evidence, explained_by=causes)


# -- reads ------------------------------------------------------------------------------------------------------

def reads_rejected(view):
    """An API server that is ready also gives what is stored."""
    if not any(server.how == SERVES for server in servers(view)) and not _through_the_endpoint(view):
        if all(server.bad for server in servers(view)) or not view.snapshot.kubernetes.get('source'):
            return not_applicable('cluster', 'no API server is known to be ready: see that check')
        return unknown('cluster', f'whether the API gives what is stored: {_why_unread(view)}', explained_by=view.kubernetes.troubles)
    nodes = view.kubernetes.datum('nodes')
    if nodes.ok:
        return ok('cluster')
    said = nodes.reason or nodes.why()
    if nodes.state != FAILED or ' answered ' not in said:
        return unknown('cluster', f'whether the API gives what is stored: nodes: {nodes.why()}', explained_by=view.kubernetes.troubles)
    step = ('Put the former secretbox or aescbc key, with its name, back into the machine configuration. The data is intact: restore nothing, delete nothing.'
            if 'transform key' in said or 'no matching' in said else 'Read the log of kube-apiserver for the same text, and look at etcd.')
    return error('cluster', f'the API server is ready, but refuses to list Nodes: {said}',
                 'Controllers and kubelets are refused in the same way: what is stored can be neither read nor changed.', step,
                 evidence=[Evidence(said, 'Nodes', None, nodes.at)], explained_by=(NO_QUORUM, NOSPACE, CORRUPT))


_READS = ('apiserver_probe', 'Containers', 'StaticPodStatuses', 'ServiceList', 'MachineStatuses', 'EtcdStatus', 'EtcdAlarmList', 'KubePrismStatuses',
          'KubePrismEndpoints', 'NodeStatuses', 'NodeIPConfigs')

CHECKS = (
    Check('kubernetes_api.api_down', SECTION, 'The Kubernetes API is served', api_down, reads=_READS, logs=('controller-runtime', 'kubelet'),
          cluster_reads=('readyz', 'endpoint'), catalogue='KAPI-1, KAPI-3'),
    Check('kubernetes_api.server_down', SECTION, 'The API server of each control plane node serves', server_down, reads=_READS,
          cluster_reads=('readyz',), catalogue='KAPI-3'),
    Check('kubernetes_api.endpoint_down', SECTION, 'The endpoint leads to API servers that serve', endpoint_down, reads=_READS,
          cluster_reads=('endpoint', 'readyz'), catalogue='KAPI-3', remedy='talos_certsans'),
    Check('kubernetes_api.endpoint_unreached_inside', SECTION, 'The machines reach the endpoint', endpoint_unreached_inside, reads=('MachineStatuses',),
          logs=('controller-runtime',), catalogue='KAPI-3'),
    Check('kubernetes_api.reads_rejected', SECTION, 'The API gives what is stored', reads_rejected, cluster_reads=('nodes', 'readyz'), role='os:admin',
          catalogue='KAPI-3', sharpens=True),
)
