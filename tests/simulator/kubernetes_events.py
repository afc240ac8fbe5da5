# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of the simulated Kubernetes API: what happened within the hour for which Kubernetes keeps them."""

from __future__ import annotations

from datetime import timedelta

from tests.simulator import kubernetes_nodes as nodes
from tests.simulator import kubernetes_workloads as workloads
from tests.simulator.kubernetes_objects import digest, metadata, time

_KEPT = timedelta(hours=1)
_PULLS = ('ImagePullBackOff', 'ErrImagePull')


def events(model):
    found = [*_of_nodes(model), *_of_pods(model)]
    return [event for event in found if event is not None]


def _of_nodes(model):
    for name, listed in model.kubernetes_nodes.items():
        ready, since = nodes.readiness(model, listed)
        born = nodes.created(model, name)
        about = {'kind': 'Node', 'name': name, 'uid': nodes.node_uid(model, name), 'apiVersion': 'v1'}
        yield _event(model, about, 'RegisteredNode', f'Node {name} event: Registered Node {name} in Controller', 'node-controller', born)
        node = model.node_named(name)
        if node:
            yield _event(model, about, 'Starting', 'Starting kubelet.', 'kubelet', node.boot + timedelta(seconds=30), host=name)
        found = nodes.details(listed)
        if found.get('flapping'):
            count = max(int(timedelta(hours=1) / nodes.flapping_period(found)) // 2, 1)
            last = since or model.clock.now()
            yield _event(model, about, 'NodeNotReady', f'Node {name} status is now: NodeNotReady', 'node-controller', last, count=count)
            yield _event(model, about, 'NodeReady', f'Node {name} status is now: NodeReady', 'kubelet', last, host=name, count=count)
        elif ready != nodes.TRUE:
            source = ('node-controller', None) if ready == nodes.UNKNOWN else ('kubelet', name)
            yield _event(model, about, 'NodeNotReady', f'Node {name} status is now: NodeNotReady', source[0], since or born, host=source[1])


def _of_pods(model):
    for pod in workloads.pods(model):
        container = pod.workload.init if pod.workload.init and pod.phase == 'Pending' else pod.workload.container
        about = {'kind': 'Pod', 'namespace': pod.workload.namespace, 'name': pod.name, 'uid': pod.uid, 'apiVersion': 'v1',
                 'fieldPath': f'spec.containers{{{container}}}'}
        waiting, now = pod.told.get('waiting'), model.clock.now()
        if pod.node is None:
            text = f'0/{len(model.kubernetes_nodes)} nodes are available: no Node is ready for it.'
            yield _event(model, about, 'FailedScheduling', text, 'default-scheduler', now, 'Warning', first=pod.created, count=3)
        elif waiting in _PULLS:
            text = f'Failed to pull image "{pod.workload.image}"'
            yield _event(model, about, 'Failed', text, 'kubelet', now, 'Warning', pod.node, first=pod.created, count=4)
            text = f'Back-off pulling image "{pod.workload.image}"'
            yield _event(model, about, 'BackOff', text, 'kubelet', now, 'Warning', pod.node, first=pod.created, count=9)
        elif waiting == 'CrashLoopBackOff':
            text = f'Back-off restarting failed container {container} in pod {pod.name}_{pod.workload.namespace}({pod.uid})'
            yield _event(model, about, 'BackOff', text, 'kubelet', now, 'Warning', pod.node, first=pod.created, count=9)
        elif waiting is None and pod.phase == 'Running':
            yield _event(model, about, 'Started', 'Container started', 'kubelet', pod.created + pod.workload.start, host=pod.node)


def _event(model, about, reason, message, component, last, severity='Normal', host=None, first=None, count=1):
    """None when it is older than Kubernetes keeps events."""
    last = min(last, model.clock.now())
    if model.clock.now() - last >= _KEPT:
        return None
    first = first or last
    namespace = about.get('namespace', 'default')
    name = f'{about["name"]}.{digest(about["uid"] + reason + message)[:16]}'
    return {
        'metadata': metadata(model, name, first, namespace, seed=f'event/{name}'),
        'involvedObject': about, 'reason': reason, 'message': message, 'source': {'component': component, **({'host': host} if host else {})},
        'firstTimestamp': time(first), 'lastTimestamp': time(last), 'count': count, 'type': severity, 'eventTime': None,
        'reportingComponent': component, 'reportingInstance': host or '',
    }
