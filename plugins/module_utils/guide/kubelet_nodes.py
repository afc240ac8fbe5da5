# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Node Is Not Ready": the conditions of the Nodes, as Kubernetes tells them, else as the machines themselves do.

A Node without a machine is judged as stale; one that is cordoned is not for that not Ready.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import (
    NOT_READ, api_not_up_yet, behind, in_order, may_not_read, no_cluster, not_read, of_node, ready_evidence, why_frozen,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_not_ready import cause_of
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import PRESENT, listed, ordered, seen, span
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Threshold, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import kubelet_down, no_cni, node_ready, not_ready
from ansible_collections.talosops.talos.plugins.module_utils.judge.progress import STAGE_LIMIT, STAGE_SECONDS, progressing, stuck
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

SECTION = 'kubelet.node_not_ready'
SECONDS = 'kubelet_node_not_ready_seconds'
FLAPS = 'kubelet_node_flaps'
_HOUR = 3600
_GUIDE = 'A Node is Ready only once its CNI is up, which takes a minute or two after a start.'


# -- KUB-9: Ready -----------------------------------------------------------------------------------------------

def node_not_ready(view):
    """Every Node that has a machine is Ready; information where it has been so for a moment, or the machine is young."""
    early = no_cluster(view)
    if early:
        return early
    facts = view.kubernetes
    if api_not_up_yet(view):
        return info('cluster', 'whether every Node is Ready: the Kubernetes API is not up yet', 'etcd has just started, and the API servers follow it.',
                    'Gather again in a few minutes.')
    if not facts.read:
        return facts.unread('whether every Node is Ready', 'nodes')
    judged = []
    for node in in_order(view):
        machine, standing = behind(view, node)
        if standing == PRESENT:
            judged.append((node, machine))
    causes = {node['name']: cause_of(view, node, machine) for node, machine in judged if node_ready(node)[0] != 'True'}
    if facts.frozen:
        return _frozen(view, judged, causes)
    outcomes = [_outcome(view, node, machine, causes.get(node['name'])) for node, machine in judged]
    return _together(view, judged, causes, outcomes) or ok('cluster')


def _outcome(view, node, machine, cause):
    name, nodes = node['name'], [machine.key] if machine is not None else []
    if cause is None:
        return ok(name, nodes=nodes)
    status, seconds = _since(view, node)
    if seconds is None:
        return unknown(name, f'how long Node {name} has not been Ready: its condition has no time', nodes=nodes, evidence=[ready_evidence(node)])
    long = f'for {span(seconds)}'
    title = f'Node {name} is not Ready {long}: {cause.what}'
    if status == 'Unknown':
        title = f'Node {name} is not Ready (Unknown) {long}: {cause.what}'
    evidence = [ready_evidence(node), *cause.evidence]
    if seconds <= view.threshold(SECONDS) or view.kubernetes.settling(machine) or (machine is not None and progressing(view, machine)):
        means = _GUIDE if cause.cni else cause.means
        return info(name, title, f'{means} It is so for a short while only, or machine or cluster have just started.',
                    'Gather again in a few minutes.',
                    nodes=nodes, evidence=evidence)
    hangs = (stuck(machine),) if machine is not None else ()
    return error(name, title, cause.means, cause.next_step, nodes=nodes, evidence=evidence,
                 asserts=(not_ready(name), *((no_cni(name),) if cause.cni else ())), explained_by=(*cause.explained_by, *hangs))


def _since(view, node):
    """(status, seconds) of the Ready condition; a Node that never told it counts from when it was made."""
    status, since = node_ready(node)
    since = since or (parse_time(node.get('created')) if status is None else None)
    return status, None if since is None else max(0.0, (view.now - since).total_seconds())


def _together(view, judged, causes, outcomes):
    """One finding instead of many where no Node at all has a CNI: then it is not about any of them."""
    if len(judged) < 2 or len(causes) < len(judged) or not all(cause.cni for cause in causes.values()):
        return outcomes
    worst = max(outcomes, key=lambda outcome: ('info', 'unknown', 'error').index(outcome.verdict))
    if worst.verdict == 'unknown':
        return outcomes
    names = [node['name'] for node, _machine in judged]
    nodes = [machine.key for _node, machine in judged if machine is not None]
    evidence = [item for outcome in outcomes for item in outcome.evidence]
    first = causes[names[0]]
    title = f'no Node is Ready: no CNI works on any of {listed(names)} ({first.what})'
    if worst.verdict == 'info':
        return info('cluster', title, _GUIDE, 'Gather again in a few minutes.', nodes=nodes, evidence=evidence)
    return error('cluster', title, first.means, first.next_step, nodes=nodes, evidence=evidence,
                 asserts=tuple(fact for name in names for fact in (not_ready(name), no_cni(name))), explained_by=first.explained_by)


def _frozen(view, judged, causes):
    """etcd takes no writes: nobody could have told that a Node changed. Only what the machines say themselves is news (G0b)."""
    outcomes = [_outcome(view, node, machine, causes[node['name']]) for node, machine in judged
                if node['name'] in causes and causes[node['name']].seen_on_machine]
    waiting = [node['name'] for node, _machine in judged if node['name'] in causes and not causes[node['name']].seen_on_machine]
    said = f'; {listed(waiting)} {"was" if len(waiting) == 1 else "were"} not Ready then' if waiting else ''
    return [*outcomes, info('cluster', f'What the Nodes say is as old as the fault of etcd: {why_frozen(view)}{said}',
                            'Kubelets cannot report and nobody can mark a Node as not Ready while etcd takes no writes.',
                            'Repair etcd first, then gather again.', nodes=[machine.key for _node, machine in judged if machine is not None],
                            explained_by=view.kubernetes.frozen)]


# -- the same without Kubernetes --------------------------------------------------------------------------------

def node_status_not_ready(view):
    """What the machines know of their own Nodes, where the Nodes themselves may not be read (NodeStatuses go stale, edge-cases 31)."""
    early = no_cluster(view)
    if early:
        return early
    if view.kubernetes.read:
        return not_applicable('cluster', 'judged by the Nodes themselves')
    if api_not_up_yet(view):
        return not_applicable('cluster', 'the Kubernetes API is not up yet')
    doubt = _doubt(view)
    if doubt:
        return unknown('cluster', f'whether the machines know their Nodes as Ready: {doubt}', next_step=NOT_READ,
                       explained_by=(*view.kubernetes.frozen, *view.kubernetes.troubles))
    return [_by_itself(view, machine) for machine in ordered(view.snapshot.answering())]


def _by_itself(view, machine):
    nodes, statuses = [machine.key], machine.value('NodeStatuses')
    if statuses is None:
        return unknown(machine.key, f'whether the Node of {machine.label} is Ready: NodeStatuses: {machine.datum("NodeStatuses").why()}', nodes=nodes,
                       next_step=NOT_READ)
    for item in statuses:
        spec, since = item.get('spec') or {}, parse_time(item.get('updated'))
        if spec.get('nodeReady') is False:
            return _not_ready_by_itself(view, machine, spec.get('nodename') or item.get('id'), since)
    return ok(machine.key, nodes=nodes) if statuses else not_applicable(machine.key, f'{machine.label} knows no Node of its own', nodes=nodes)


def _doubt(view):
    """Why what the machines know of their Nodes proves nothing; empty where it does."""
    if not may_not_read(view):
        return f'the Nodes were not read ({view.kubernetes.datum("nodes").why()}), and what a machine knows of its Node may be old'
    if view.kubernetes.frozen:
        return f'{why_frozen(view)}, and what a machine knows of its Node may be old'
    if not view.etcd.with_leader:
        return 'etcd was not seen to have a leader, and what a machine knows of its Node may be old'
    planes = [machine for machine in view.answering_control_planes if machine.datum('Containers').ok]
    if not any(container.get('name') == 'kube-apiserver' and container.get('status') == 'CONTAINER_RUNNING'
               for machine in planes for container in machine.value('Containers').get('containers') or []):
        return 'no API server was seen to run, and what a machine knows of its Node may be old'
    return ''


def _not_ready_by_itself(view, machine, name, since):
    evidence = [seen(machine, 'NodeStatuses', f'{name}: nodeReady false')]
    seconds = None if since is None else max(0.0, (view.now - since).total_seconds())
    title = f'Node {name} is not Ready{f" since {span(seconds)} at least" if seconds is not None else ""}, by the word of {machine.label} itself'
    if view.kubernetes.settling(machine) or view.in_progress(machine) or (seconds is not None and seconds <= view.threshold(SECONDS)):
        return info(machine.key, title, _GUIDE, 'Gather again in a few minutes.', nodes=[machine.key], evidence=evidence)
    return error(machine.key, title, f'{_GUIDE} Why this one is not could not be seen without the Kubernetes API.',
                 f'kubectl describe node {name}, and look at the pods of the CNI on it. {NOT_READ}', nodes=[machine.key], evidence=evidence,
                 asserts=(not_ready(name),), explained_by=(kubelet_down(machine),))


# -- KUB-9: other conditions ------------------------------------------------------------------------------------

_PRESSURES = {
    'MemoryPressure': ('memory', 'The kubelet evicts pods to get memory back, and places no new ones here.',
                       'Find what uses the memory (talosctl -n {address} memory, kubectl top pod), and give the machine more or run less on it.'),
    'DiskPressure': ('disk_full', 'The kubelet evicts pods and removes images to get space back, and places no new ones here.',
                     'Find what fills /var (talosctl -n {address} usage /var --depth 2).'),
    'PIDPressure': (None, 'The kubelet evicts pods because processes run out, and places no new ones here.',
                    'Find the pod that makes so many processes (talosctl -n {address} processes).'),
    'NetworkUnavailable': (None, 'Nobody has set up the network of this Node: its CNI, or the cloud controller that makes its routes.',
                           'Look at the pods of the CNI on it, or at the cloud controller manager.'),
}


def node_pressure(view):
    """No Node is short of memory, disk or process ids."""
    early = no_cluster(view)
    if early:
        return early
    if not view.kubernetes.read:
        return not_read(view, 'whether a Node is short of something', 'nodes')
    if view.kubernetes.frozen:
        return not_applicable('cluster', 'etcd takes no writes: what the Nodes say is old')
    outcomes = []
    for node in in_order(view):
        machine, standing = behind(view, node)
        for found in node.get('conditions') or [] if standing == PRESENT else ():
            if found.get('type') in _PRESSURES and found.get('status') == 'True':
                outcomes.append(_pressure(view, node, machine, found))
    return outcomes or ok('cluster')


def _pressure(view, node, machine, found):
    name, kind = node['name'], found['type']
    fact, means, step = _PRESSURES[kind]
    explained = ((f'{fact}:{machine.key}',) if fact and machine is not None else ()) + ((not_ready(name),) if kind == 'NetworkUnavailable' else ())
    address = (machine.address or machine.label) if machine is not None else name
    more = {'nodes': [machine.key] if machine is not None else [],
            'evidence': [of_node(node, f'{kind} is True: {found.get("message") or found.get("reason") or "no reason"}',
                                 found.get('lastTransitionTime'))]}
    if kind == 'NetworkUnavailable' and view.kubernetes.settling(machine):
        return info(f'{name}/{kind}', f'Node {name}: {kind}', means, 'Gather again in a few minutes.', **more)
    return warning(f'{name}/{kind}', f'Node {name} reports {kind}', means, step.format(address=address), explained_by=explained, **more)


# -- flapping ---------------------------------------------------------------------------------------------------

def node_flapping(view):
    """No Node comes and goes: how often it became not Ready within the hour for which Kubernetes keeps events."""
    early = no_cluster(view)
    if early:
        return early
    if not view.kubernetes.read or view.kubernetes.listed('events') is None:
        return not_read(view, 'whether a Node comes and goes', 'nodes', 'events')
    counts = {}
    for event in view.kubernetes.listed('events'):
        at = parse_time(event.get('at'))
        if event.get('kind') == 'Node' and event.get('reason') == 'NodeNotReady' and at is not None and (view.now - at).total_seconds() <= _HOUR:
            times, last = counts.get(event['name'], (0, at))
            counts[event['name']] = (times + int(event.get('count') or 1), max(last, at))
    outcomes = []
    for node in in_order(view):
        times, last = counts.get(node['name'], (0, None))
        machine, standing = behind(view, node)
        if standing == PRESENT and times >= view.threshold(FLAPS):
            outcomes.append(warning(
                node['name'], f'Node {node["name"]} comes and goes: {times} times not Ready within the hour',
                'Its kubelet cannot reach the API server again and again, or is restarted. Pods are taken away from it and come back.',
                f'Look at the network between {node["name"]} and the control plane endpoint, and at the log of its kubelet (leases that fail).',
                nodes=[machine.key] if machine is not None else [],
                evidence=[of_node(node, f'NodeNotReady {times} times', event_time(last)), ready_evidence(node)],
                explained_by=(not_ready(node['name']),)))
    return outcomes or ok('cluster')


def event_time(at):
    return at.isoformat(timespec='seconds').replace('+00:00', 'Z')


_READS = ('MachineStatuses', 'ServiceList', 'Members', 'EtcdStatus', 'EtcdAlarmList')

CHECKS = (
    Check('kubelet.node_not_ready', SECTION, 'Every Node is Ready', node_not_ready, reads=(*_READS, 'BootstrapManifestsConfigs', 'MachineConfigs'),
          logs=('kubelet', 'containers'), cluster_reads=('nodes', 'pods', 'daemonsets'), catalogue='KUB-9 KUB-13', sharpens=True, thresholds={
              SECONDS: Threshold(120, 's', 'how long a Node may be not Ready'), STAGE_SECONDS: STAGE_LIMIT}),
    Check('kubelet.node_status_not_ready', SECTION, 'Every machine knows its Node as Ready', node_status_not_ready,
          reads=(*_READS, 'NodeStatuses', 'Containers'), cluster_reads=('nodes',), catalogue='KUB-9'),
    Check('kubelet.node_pressure', SECTION, 'No Node is short of memory, disk or process ids', node_pressure, reads=('Members',),
          cluster_reads=('nodes',), catalogue='KUB-9', sharpens=True),
    Check('kubelet.node_flapping', SECTION, 'No Node comes and goes', node_flapping, reads=('Members',), cluster_reads=('nodes', 'events'),
          catalogue='KUB-9', sharpens=True, thresholds={
              FLAPS: Threshold(3, 'count', 'times that a Node may become not Ready within an hour before it is a warning')}),
)
