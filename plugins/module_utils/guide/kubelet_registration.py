# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Talos Complains about Node Not Found": kubelets that run and have no Node, and their requests for client certificates.

What the log says of it is history once the Node exists (edge-cases 44d): 2 to 18 such lines come at each bootstrap.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import (
    NOT_READ, may_not_read, no_cluster, not_read, why_frozen,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_requests import (
    CSR_SECONDS, machine_named, newest, waiting_since, wanted_name,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, ordered, seen, span
from ansible_collections.talosops.talos.plugins.module_utils.judge import csr_rules
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Evidence, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.component_facts import ABSENT, API_SERVER
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import condition, nowhere

SECTION = 'kubelet.node_not_found'
_BOOTSTRAP_USER = 'system:bootstrap:'
_BINDINGS = ('00-kubelet-bootstrapping-token', '01-csr-node-bootstrap', '01-csr-approver-role-binding', '01-csr-renewal-role-binding')


# -- KUB-4 ------------------------------------------------------------------------------------------------------

def node_not_found(view):
    """Every machine whose kubelet runs has a Node."""
    early = no_cluster(view)
    if early:
        return early
    answering = ordered(view.snapshot.answering())
    if not answering:
        return unknown('cluster', 'whether every machine has a Node: no machine answered', explained_by=('not_judged',))
    if not view.kubernetes.read:
        return _by_themselves(view, answering)
    return [outcome for machine in answering for outcome in [_of_machine(view, machine)] if outcome] or ok('cluster')


def _registers(view, machine):
    """Whether its kubelet is to make a Node, and can: one that does not run is told by that."""
    if (machine.resource('Nodenames', 'nodename') or {}).get('skipNodeRegistration'):
        return False
    if view.kubelet.runs(machine) is False:
        return False
    return bool(view.kubelet.service(machine)) or not machine.datum('ServiceList').ok


def _of_machine(view, machine):
    if view.kubernetes.node_of(machine) is not None:
        return ok(machine.key, nodes=[machine.key])
    if not _registers(view, machine):
        return None
    knows = [item.get('id') for item in machine.value('NodeStatuses') or []]
    if knows:
        return info(machine.key, f'{machine.label} knows its Node {listed(knows)}, which the API that was asked does not list',
                    'It is registered elsewhere, or its Node was deleted a moment ago.', 'Gather again; see which API server the machine uses.',
                    nodes=[machine.key], evidence=[seen(machine, 'NodeStatuses', f'Node {listed(knows)}')])
    return _missing(view, machine)


def _missing(view, machine):
    name, nodes = _name(machine), [machine.key]
    title = f'{machine.label} has no Node {name} in Kubernetes, though its kubelet runs'
    hits = view.signatures.recent(machine, 'kubelet.node_not_found', 'kubelet.unauthorized', 'kubelet.cert_wait')
    evidence = [Evidence(f'no Node {name}, and none with an address or the id of {machine.label}', 'Kubernetes nodes', machine.label,
                         view.kubernetes.datum('nodes').at), *(hit.evidence() for hit in hits)]
    if view.kubernetes.settling(machine) or view.in_progress(machine):
        return info(machine.key, title,
                    'Expected while a cluster is bootstrapped or a machine has just booted: the kubelet registers once the API server is '
                    'up.', 'Gather again in a few minutes.', nodes=nodes, evidence=evidence)
    means, step = ('No pod is placed on it, and Talos complains that its node was not found.',
                   f'Compare talosctl -n {machine.address or machine.label} get nodename with kubectl get nodes, and look at kubectl get csr. If the '
                   'Node object was deleted while the kubelet ran: talosctl service kubelet restart.')
    if any(hit.id == 'kubelet.unauthorized' for hit in hits):
        means = ('The API server refuses its kubelet: another bootstrap token (cluster.token), another CA, or the manifests 00 and 01 were not '
                 'applied.')
        step = 'Compare cluster.token and cluster.ca with the other machines, and talosctl get manifests with talosctl get manifeststatus. ' + step
    return error(machine.key, title, means, step, nodes=nodes, evidence=evidence, remedy={'name': 'kubelet_restart', 'args': {'node': machine.key}},
                 explained_by=(f'csr_pending:{name}', f'kubelet.credentials:{machine.key}', f'node_name:{machine.key}', f'clock:{machine.key}',
                               f'network:{machine.key}', *view.kubernetes.frozen))


def _name(machine):
    return (machine.resource('Nodenames', 'nodename') or {}).get('nodename') or machine.name or machine.label


def _by_themselves(view, answering):
    """Without the Nodes: what each machine knows of its own, which proves that it once registered and no more."""
    outcomes, early, unsure = [], [], []
    fresh = may_not_read(view) and not view.kubernetes.frozen and bool(view.etcd.with_leader)
    somebody = any(machine.value('NodeStatuses') for machine in answering)
    for machine in answering:
        statuses = machine.value('NodeStatuses')
        if statuses:
            outcomes.append(ok(machine.key, nodes=[machine.key]) if fresh else
                            not_applicable(machine.key, f'{machine.label} knew its Node; the Nodes were not read', nodes=[machine.key]))
        elif _registers(view, machine):
            if statuses is not None and fresh and somebody:
                outcomes.append(_missing(view, machine))
            elif statuses is not None and (view.kubernetes.settling(machine) or _no_api_server(view)):
                early.append(machine)
            else:
                unsure.append(machine)
    if early:
        outcomes.append(info('cluster', f'{listed(m.label for m in early)} {"has" if len(early) == 1 else "have"} no Node yet',
                             'No API server runs with which a kubelet could register, or it has just started.', 'Get an API server to run first.',
                             nodes=[m.key for m in early], explained_by=view.kubernetes.troubles))
    if unsure:
        why = view.kubernetes.datum('nodes').why()
        whose = f'{listed(m.label for m in unsure)} {"has a Node" if len(unsure) == 1 else "have Nodes"}'
        outcomes.append(unknown('cluster', f'whether {whose}: Kubernetes was not read ({why})', nodes=[m.key for m in unsure], next_step=NOT_READ,
                                explained_by=view.kubernetes.troubles))
    return outcomes or not_applicable('cluster', 'no kubelet is to register')


def _no_api_server(view):
    """Whether every control plane node was seen to have no API server that runs."""
    planes = view.control_planes
    return bool(planes) and all(machine.answered and (view.components.state(machine, API_SERVER).bad
                                                      or view.components.state(machine, API_SERVER).how == ABSENT) for machine in planes)


# -- KUB-5: client certificates ---------------------------------------------------------------------------------

def client_csr_pending(view):
    """No kubelet waits for its client certificate, without which it cannot register; these are approved by kube-controller-manager."""
    early = no_cluster(view)
    if early:
        return early
    csrs = view.kubernetes.csrs
    if csrs is None:
        return not_read(view, 'whether kubelets wait for client certificates', 'csrs')
    return [outcome for csr in newest(csrs, csr_rules.CLIENT) for outcome in [_client(view, csr)] if outcome] or ok('cluster')


def _client(view, csr):
    decided = csr_rules.states(csr)
    if csr.get('issued'):
        return None
    name = wanted_name(csr)
    machine = machine_named(view, name) if name else None
    nodes = [machine.key] if machine is not None else []
    asked = csr.get('asks_for')
    unnamed = 'what it asks for could not be read' if asked is None else f'it asks for {asked.get("common_name") or "no name"}'
    who = name or f'{csr.get("username")} ({unnamed})'
    evidence = [Evidence(f'{csr["name"]}: {csr.get("username")} asks for {(csr.get("asks_for") or {}).get("common_name") or "?"}: '
                         f'{", ".join(sorted(decided)) or "Pending"}', 'Kubernetes csrs', None, csr.get('created'))]
    if decided & {'Denied', 'Failed'}:
        return warning(name or csr['name'], f'The request {csr["name"]} for the client certificate of {who} was '
                       f'{"denied" if "Denied" in decided else "not signed"}', 'Its kubelet cannot speak to the API server.',
                       f'kubectl describe csr {csr["name"]}: see who decided so and why.', nodes=nodes, evidence=evidence)
    since = waiting_since(csr, view.kubernetes.csrs)
    seconds = (view.now - since).total_seconds() if since else None
    long = f' for {span(seconds)}' if seconds is not None else ''
    state = 'approved and not signed' if 'Approved' in decided else 'pending'
    title = f'{who} waits{long} for its client certificate: request {csr["name"]} is {state}'
    if (seconds is not None and seconds <= view.threshold(CSR_SECONDS)) or view.kubernetes.settling(machine):
        return info(name or csr['name'], title, 'kube-controller-manager approves and signs it within a moment once it runs.',
                    'Gather again in a few minutes.', nodes=nodes, evidence=evidence)
    means, step, found = _why_not_approved(view, csr, machine)
    return error(name or csr['name'], title, means, step, nodes=nodes, evidence=evidence + found, asserts=(f'csr_pending:{name}',),
                 explained_by=(*view.kubernetes.frozen, nowhere('kube-controller-manager')))


def _why_not_approved(view, csr, machine):
    """(means, next step, evidence) of a request that should have been approved by itself."""
    if view.kubernetes.frozen:
        return ('Nothing can be approved while etcd takes no writes.', f'Repair etcd first ({why_frozen(view)}).', [])
    managers = [pod for pod in view.kubernetes.pods or [] if pod['name'].startswith('kube-controller-manager-')]
    if managers and not any(condition(pod, 'Ready').get('status') == 'True' for pod in managers):
        return ('No kube-controller-manager is ready, which approves and signs the requests of kubelets.', 'Get kube-controller-manager to run.',
                [Evidence(f'{listed(pod["name"] for pod in managers)}: not ready', 'Kubernetes pods')])
    missing = _missing_bindings(view)
    if missing:
        return (f'The manifests that allow it were not applied: {listed(missing)}.',
                'Compare talosctl get manifests with talosctl get manifeststatus on a '
                'control plane node.', [Evidence(f'not applied: {listed(missing)}', 'ManifestStatuses')])
    username = csr.get('username') or ''
    if not username.startswith((_BOOTSTRAP_USER, csr_rules.NODE_USER)):
        return (f'{username} is neither a bootstrap token nor a kubelet, so nobody approves it by itself.',
                'Find out who made the request. Never approve client requests of unknown nodes.', [])
    if machine is None:
        return ('No machine of that name is known to Talos here: it may be of another cluster with the same token.',
                'Find out which machine asks. Never approve client requests of unknown nodes.', [])
    return ('kube-controller-manager should have approved it.',
            'Read the log of kube-controller-manager (csrapproving, csrsigning), and compare the token of '
            'this machine (cluster.token) with the others.', [])


def _missing_bindings(view):
    """Manifests of the bootstrap that no control plane node has applied; empty where that was not read."""
    statuses = [machine.resource('ManifestStatuses') for machine in view.answering_control_planes if machine.datum('ManifestStatuses').ok]
    applied = {name for status in statuses if isinstance(status, dict) for name in status.get('manifestsApplied') or []}
    return [name for name in _BINDINGS if name not in applied] if applied else []


CHECKS = (
    Check('kubelet.node_not_found', SECTION, 'Every machine whose kubelet runs has a Node', node_not_found,
          reads=('Nodenames', 'NodeStatuses', 'ServiceList', 'MachineStatuses', 'NodeIPConfigs', 'EtcdStatus', 'Containers', 'StaticPods',
                 'StaticPodStatuses'),
          logs=('controller-runtime', 'kubelet', 'machined'), cluster_reads=('nodes',), catalogue='KUB-4', remedy='kubelet_restart'),
    Check('kubelet.client_csr_pending', SECTION, 'No kubelet waits for its client certificate', client_csr_pending,
          reads=('Nodenames', 'HostnameStatuses', 'ManifestStatuses', 'MachineStatuses', 'EtcdAlarmList'), cluster_reads=('csrs', 'nodes', 'pods'),
          catalogue='KUB-5', sharpens=True),
)
