# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods, DaemonSets and Deployments of the simulated Kubernetes API, in the recorded shape."""

from __future__ import annotations

from datetime import timedelta

from tests.simulator import kubernetes_nodes as nodes
from tests.simulator import kubernetes_workloads as workloads
from tests.simulator.kubernetes_objects import digest, metadata, time, uid
from tests.simulator.resource import Resource

_RESTART_EVERY = timedelta(minutes=5)
_TERMINATION = {'terminationMessagePath': '/dev/termination-log', 'terminationMessagePolicy': 'File', 'imagePullPolicy': 'IfNotPresent'}
_MESSAGES = {
    'CrashLoopBackOff': 'back-off 5m0s restarting failed container={container} pod={pod}_{namespace}({uid})',
    'ImagePullBackOff': 'Back-off pulling image "{image}"',
    'ErrImagePull': 'failed to pull and unpack image "{image}": failed to resolve reference "{image}"',
    'CreateContainerConfigError': 'configuration of container {container} is not complete',
}
_DAEMON_TOLERATIONS = [
    {'operator': 'Exists', 'effect': 'NoSchedule'}, {'operator': 'Exists', 'effect': 'NoExecute'},
    *({'key': f'node.kubernetes.io/{key}', 'operator': 'Exists', 'effect': 'NoExecute'} for key in ('not-ready', 'unreachable')),
    *({'key': f'node.kubernetes.io/{key}', 'operator': 'Exists', 'effect': 'NoSchedule'}
      for key in ('disk-pressure', 'memory-pressure', 'pid-pressure', 'unschedulable', 'network-unavailable')),
]
_TOLERATIONS = [{'key': f'node.kubernetes.io/{key}', 'operator': 'Exists', 'effect': 'NoExecute', 'tolerationSeconds': 300}
                for key in ('not-ready', 'unreachable')]


def pods(model):
    return [_pod(model, pod) for pod in workloads.pods(model)]


def pods_on(model, name):
    """The pods on the Node of this name; which those are is worked out once a second at most, for all of a large cluster's machines."""
    return [_pod(model, pod) for pod in _placed(model, name)]


def _placed(model, name):
    def placed():
        found = {}
        for pod in workloads.pods(model):
            found.setdefault(pod.node, []).append(pod)
        return found

    return model.derived('pods', placed, seconds=1.0).get(name, [])


def daemonsets(model):
    return [_daemonset(model, one) for one in workloads.workloads(model) if one.kind == 'DaemonSet']


def deployments(model):
    return [_deployment(model, one) for one in workloads.workloads(model) if one.kind == 'Deployment']


def static_pod_statuses(node):
    """The statuses of this machine's static pods as its kubelet tells them to Talos, keys sorted."""
    static = [pod for pod in _placed(node.model, node.nodename) if pod.workload.kind == 'Node']
    statuses = [(f'{pod.workload.namespace}/{pod.name}', _sorted(_status(node.model, pod))) for pod in static]
    return [Resource(name, 'k8s.KubeletStaticPodController', status, proto={'podStatus': status}) for name, status in statuses]


def _sorted(value):
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def is_ready(model, pod):
    """Whether its Ready condition is True: not while it waits or has ended, nor once its Node has fallen silent."""
    if pod.phase != 'Running' or pod.told.get('waiting') or pod.told.get('node_gone'):
        return False
    listed = model.kubernetes_nodes.get(pod.node)
    return listed is not None and nodes.readiness(model, listed)[0] != nodes.UNKNOWN


def _labels(workload):
    if workload.kind == 'Node':
        return {'app.kubernetes.io/component': 'control-plane', 'app.kubernetes.io/managed-by': 'Talos', 'app.kubernetes.io/name': workload.name,
                'app.kubernetes.io/version': workload.image.rsplit(':v', 1)[-1], 'component': workload.name, 'k8s-app': workload.name,
                'tier': 'control-plane'}
    if workload.kind == 'DaemonSet':
        return {'controller-revision-hash': workload.hash, 'k8s-app': workload.label, 'pod-template-generation': '1', 'tier': 'node'}
    if workload.kind == 'Deployment':
        return {'k8s-app': workload.label, 'pod-template-hash': workload.hash}
    return {'k8s-app': workload.label}


def _pod(model, pod):
    workload = pod.workload
    static = workload.kind == 'Node'
    content = digest(f'{workload.name}/{pod.node}')[:32]
    annotations = {
        'kubernetes.io/config.hash': content, 'kubernetes.io/config.mirror': content, 'kubernetes.io/config.seen': time(pod.created),
        'kubernetes.io/config.source': 'http', **({'talos.dev/config-file-version': '1111'} if workload.name == 'kube-apiserver' else {}),
        'talos.dev/config-version': '1', 'talos.dev/secrets-version': '1',
    } if static else None
    generated = {'Deployment': f'{workload.name}-{workload.hash}-', 'DaemonSet': f'{workload.name}-'}.get(workload.kind)
    owner = _owner(model, pod)
    more = {'labels': _labels(workload), 'annotations': annotations, 'ownerReferences': [owner] if owner else None}
    return {
        'metadata': {**metadata(model, pod.name, pod.created, workload.namespace, generated, generation=1, **more), 'uid': pod.uid},
        'spec': _spec(pod),
        'status': _status(model, pod),
    }


def _owner(model, pod):
    workload = pod.workload
    if workload.kind == 'Node':
        return {'apiVersion': 'v1', 'kind': 'Node', 'name': pod.node, 'uid': nodes.node_uid(model, pod.node), 'controller': True}
    if workload.kind == 'Pod':
        return None
    kind, name = ('DaemonSet', workload.name) if workload.kind == 'DaemonSet' else ('ReplicaSet', f'{workload.name}-{workload.hash}')
    own = uid(f'{model.seed}/{kind}/{name}')
    return {'apiVersion': 'apps/v1', 'kind': kind, 'name': name, 'uid': own, 'controller': True, 'blockOwnerDeletion': True}


def _template(workload):
    """The pod spec of a workload, without volumes, commands and probes."""
    static = workload.kind == 'Node'
    spec = {'initContainers': [{'name': workload.init, 'image': workload.image, 'resources': {}, **_TERMINATION}]} if workload.init else {}
    spec |= {'containers': [{'name': workload.container, 'image': workload.image, 'resources': _resources(workload), **_TERMINATION}],
             'restartPolicy': 'Always', 'terminationGracePeriodSeconds': 30,
             'dnsPolicy': 'ClusterFirst' if workload.host_network else 'Default'}
    if not static:
        account = {'kube-flannel': 'flannel'}.get(workload.name, workload.name)
        spec |= {'serviceAccountName': account, 'serviceAccount': account}
    if workload.host_network:
        spec['hostNetwork'] = True
    critical = 'system-node-critical' if workload.name == 'kube-flannel' else 'system-cluster-critical'
    tolerations = _own_tolerations(workload)
    return {**spec, 'securityContext': {}, 'schedulerName': 'default-scheduler', **({'tolerations': tolerations} if tolerations else {}),
            'priorityClassName': critical}


def _resources(workload):
    if not workload.requests:
        return {}
    limits = {'limits': {'memory': '170Mi'}} if workload.name == 'coredns' else {}
    return {**limits, 'requests': dict(zip(('cpu', 'memory'), workload.requests))}


def _own_tolerations(workload):
    """What the manifest of the workload tolerates; Kubernetes adds the rest."""
    if workload.kind == 'DaemonSet':
        return _DAEMON_TOLERATIONS[:2]
    if workload.kind == 'Deployment':
        return [{'key': key, 'operator': 'Exists', 'effect': 'NoSchedule'}
                for key in ('node-role.kubernetes.io/control-plane', 'node.cloudprovider.kubernetes.io/uninitialized')]
    return []


def _spec(pod):
    workload = pod.workload
    spec = _template(workload)
    if pod.node:
        spec['nodeName'] = pod.node
    if workload.kind == 'DaemonSet':
        terms = [{'matchFields': [{'key': 'metadata.name', 'operator': 'In', 'values': [pod.node]}]}]
        spec['affinity'] = {'nodeAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': {'nodeSelectorTerms': terms}}}
    added = _DAEMON_TOLERATIONS[2:] if workload.kind == 'DaemonSet' else _TOLERATIONS
    return {**spec, 'tolerations': _own_tolerations(workload) + added,
            'priority': 2000001000 if workload.name == 'kube-flannel' else 2000000000, 'enableServiceLinks': True,
            'preemptionPolicy': 'PreemptLowerPriority'}


def _status(model, pod):
    generation = {} if pod.workload.kind == 'Node' else {'observedGeneration': 1}
    if pod.node is None:
        reason = pod.told.get('reason', 'Unschedulable')
        condition = {'type': 'PodScheduled', **generation, 'status': 'False', 'lastProbeTime': None, 'lastTransitionTime': time(pod.created),
                     'reason': reason, 'message': f'0/{len(model.kubernetes_nodes)} nodes are available: no Node is ready for it.'}
        return {**generation, 'phase': pod.phase, 'conditions': [condition], 'qosClass': _quality(pod)}
    started = pod.created + pod.workload.start
    host = nodes.internal_ip(model, pod.node, model.kubernetes_nodes.get(pod.node, 'Ready'))
    status = {**generation, 'phase': pod.phase, 'conditions': _conditions(model, pod, generation, started)}
    if pod.phase == 'Failed' and pod.told.get('reason'):
        status['reason'] = pod.told['reason']
    if host:
        status |= {'hostIP': host, 'hostIPs': [{'ip': host}]}
    own = workloads.ip(model, pod)
    if own and (pod.workload.host_network or pod.phase != 'Pending'):
        status |= {'podIP': own, 'podIPs': [{'ip': own}]}
    status['startTime'] = time(pod.created)
    waits_in_init = pod.workload.init and pod.phase == 'Pending'
    if pod.workload.init:
        waiting = _waiting(pod, pod.told.get('waiting', 'PodInitializing'), pod.workload.init)
        state = waiting if waits_in_init else _terminated(started, 'Completed', 0)
        status['initContainerStatuses'] = [_container(pod, pod.workload.init, state, {}, ready=not waits_in_init, started=False, restarts=0)]
    status['containerStatuses'] = [_main_container(model, pod, started, waits_in_init)]
    return {**status, 'qosClass': _quality(pod), **_totals(pod)}


def _quality(pod):
    return 'Burstable' if pod.workload.requests else 'BestEffort'


def _totals(pod):
    resources = _resources(pod.workload)
    return {'allocatedResources': resources['requests'], 'resources': resources} if resources else {'resources': {}}


def _conditions(model, pod, generation, started):
    """Ready is False without a reason once the Node has fallen silent (rec), with one while a container is not ready."""
    silent = pod.phase == 'Running' and not pod.told.get('waiting') and not is_ready(model, pod)
    waits = not silent and not is_ready(model, pod)
    ready_at = started + timedelta(seconds=2)
    if silent:
        listed = model.kubernetes_nodes.get(pod.node)
        since = nodes.readiness(model, listed)[1] if listed is not None else None
        ready_at = max(since or ready_at, pod.created)
    now = model.clock.now()
    initialized = not (pod.workload.init and pod.phase == 'Pending')
    rows = [('PodReadyToStartContainers', pod.phase != 'Failed', started, False), ('Initialized', initialized, started, False),
            ('Ready', not silent and not waits, ready_at, waits), ('ContainersReady', not waits, ready_at, waits),
            ('PodScheduled', True, pod.created, False)]
    conditions = []
    for kind, holds, at, unready in rows:
        one = {'type': kind, **generation, 'status': str(bool(holds)), 'lastProbeTime': None, 'lastTransitionTime': time(min(at, now))}
        if unready and pod.phase in ('Succeeded', 'Failed'):
            one |= {'reason': 'PodCompleted' if pod.phase == 'Succeeded' else 'PodFailed'}
        elif unready:
            one |= {'reason': 'ContainersNotReady', 'message': f'containers with unready status: [{pod.workload.container}]'}
        conditions.append(one)
    return conditions


def _main_container(model, pod, started, waits_in_init):
    told, restarts = pod.told, int(pod.told.get('restarts') or 0)
    last, ready, begun = {}, is_ready(model, pod) or bool(told.get('node_gone')), started
    if restarts:
        begun = max(started, model.clock.wall - _RESTART_EVERY)
        last = _terminated(begun, told.get('reason') or 'Error', 137 if told.get('reason') == 'OOMKilled' else 1)
    if waits_in_init:
        state = {'waiting': {'reason': 'PodInitializing'}}
    elif told.get('waiting') or pod.phase == 'Pending':
        state = _waiting(pod, told.get('waiting', 'ContainerCreating'), pod.workload.container)
    elif pod.phase in ('Succeeded', 'Failed'):
        state = _terminated(begun, told.get('reason') or ('Completed' if pod.phase == 'Succeeded' else 'Error'), int(pod.phase == 'Failed'))
    else:
        state, ready = {'running': {'startedAt': time(begun)}}, True
    return _container(pod, pod.workload.container, state, last, ready, started='running' in state, restarts=restarts)


def _container(pod, name, state, last, ready, started, restarts):
    image = pod.workload.image
    pulled = 'waiting' not in state or state['waiting']['reason'] == 'CrashLoopBackOff'
    content = {'imageID': f'{image.rsplit(":", 1)[0]}@sha256:{digest(image)}',
               'containerID': f'containerd://{digest(pod.uid + name + str(restarts))}'}
    return {'name': name, 'state': state, 'lastState': last, 'ready': ready, 'restartCount': restarts, 'image': image,
            **(content if pulled else {'imageID': ''}), 'started': started, **(_totals(pod) if name == pod.workload.container else {'resources': {}})}


def _waiting(pod, reason, container):
    message = _MESSAGES.get(reason, '').format(
        container=container, pod=pod.name, namespace=pod.workload.namespace, uid=pod.uid, image=pod.workload.image)
    return {'waiting': {'reason': reason, **({'message': message} if message else {})}}


def _terminated(at, reason, code):
    return {'terminated': {'exitCode': code, 'reason': reason, 'startedAt': time(at - timedelta(seconds=10)), 'finishedAt': time(at),
                           'containerID': f'containerd://{digest(str(at))}'}}


def _ready_of(model, workload):
    own = [pod for pod in workloads.pods(model) if pod.workload == workload]
    return len(own), sum(is_ready(model, pod) for pod in own)


def _born(model):
    return min(model.bootstrapped_at + timedelta(seconds=55), model.clock.now())


def _workload(model, kind, workload, annotations, labels):
    return {**metadata(model, workload.name, _born(model), workload.namespace, generation=1, labels=labels,
                       annotations={'config.k8s.io/owning-inventory': 'talos-bootstrap-manifests-inventory', **annotations}),
            'uid': uid(f'{model.seed}/{kind}/{workload.name}')}


def _daemonset(model, workload):
    count, ready = _ready_of(model, workload)
    labels = {'k8s-app': workload.label, 'tier': 'node'}
    unavailable = {} if ready == count else {'numberUnavailable': count - ready}
    return {
        'metadata': _workload(model, 'DaemonSet', workload, {'deprecated.daemonset.template.generation': '1'}, labels),
        'spec': {'selector': {'matchLabels': labels}, 'template': {'metadata': {'labels': labels}, 'spec': _template(workload)},
                 'updateStrategy': {'type': 'RollingUpdate', 'rollingUpdate': {'maxUnavailable': 1, 'maxSurge': 0}}, 'revisionHistoryLimit': 10},
        'status': {'currentNumberScheduled': count, 'numberMisscheduled': 0, 'desiredNumberScheduled': count, 'numberReady': ready,
                   'observedGeneration': 1, 'updatedNumberScheduled': count, **({'numberAvailable': ready} if ready else {}), **unavailable},
    }


def _deployment(model, workload):
    count, ready = _ready_of(model, workload)
    labels = {'k8s-app': workload.label}
    named = {'kubernetes.io/name': 'CoreDNS'} if workload.name == 'coredns' else {}
    available = ready >= max(workload.replicas - 1, 1)
    at = time(_born(model) + timedelta(seconds=26))
    conditions = [
        _deployment_condition('Available', available, at, 'MinimumReplicasAvailable' if available else 'MinimumReplicasUnavailable',
                              'Deployment has minimum availability.' if available else 'Deployment does not have minimum availability.'),
        _deployment_condition('Progressing', True, at, 'NewReplicaSetAvailable',
                              f'ReplicaSet "{workload.name}-{workload.hash}" has successfully progressed.'),
    ]
    counts = {'replicas': count, 'updatedReplicas': count, 'readyReplicas': ready, 'availableReplicas': ready, 'unavailableReplicas': count - ready}
    return {
        'metadata': _workload(model, 'Deployment', workload, {'deployment.kubernetes.io/revision': '1'}, labels | named),
        'spec': {'replicas': workload.replicas, 'selector': {'matchLabels': labels},
                 'template': {'metadata': {'labels': labels}, 'spec': _template(workload)},
                 'strategy': {'type': 'RollingUpdate', 'rollingUpdate': {'maxUnavailable': 1, 'maxSurge': '25%'}}, 'revisionHistoryLimit': 10,
                 'progressDeadlineSeconds': 600},
        'status': {'observedGeneration': 1, **{key: value for key, value in counts.items() if value}, 'terminatingReplicas': 0,
                   'conditions': conditions},
    }


def _deployment_condition(kind, holds, at, reason, message):
    return {'type': kind, 'status': str(holds), 'lastUpdateTime': at, 'lastTransitionTime': at, 'reason': reason, 'message': message}
