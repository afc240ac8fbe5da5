# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes of the simulated Kubernetes API and their leases, as recorded."""

from __future__ import annotations

from datetime import timedelta

from tests.simulator import config_resources, setup, values
from tests.simulator.kubernetes_objects import json_text, metadata, micro_time, time, uid
from tests.simulator.links import mac

TRUE, FALSE, UNKNOWN = 'True', 'False', 'Unknown'
_AGE_OF_THE_GONE = timedelta(days=40)
_REGISTERED_AFTER = timedelta(minutes=1)
_READY_AFTER = timedelta(seconds=15)
_STATUS_EVERY = timedelta(minutes=5)
_RENEWED_EVERY = timedelta(seconds=10)
_GRACE = timedelta(seconds=40)
_FLAPS_EVERY = timedelta(seconds=90)

SILENT = ('NodeStatusUnknown', 'Kubelet stopped posting node status.')
_NETWORK_NOT_READY = ('container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns '
                      'error: cni plugin not initialized')
_READY = {
    TRUE: ('KubeletReady', 'kubelet is posting ready status'),
    FALSE: ('KubeletNotReady', _NETWORK_NOT_READY),
    UNKNOWN: SILENT,
}
# type: ((reason, message) when False, the same when True, the taint that follows)
_PRESSURES = {
    'MemoryPressure': (('KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
                       ('KubeletHasInsufficientMemory', 'kubelet has insufficient memory available'), 'memory-pressure'),
    'DiskPressure': (('KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
                     ('KubeletHasDiskPressure', 'kubelet has disk pressure'), 'disk-pressure'),
    'PIDPressure': (('KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
                    ('KubeletHasInsufficientPID', 'kubelet has insufficient PID available'), 'pid-pressure'),
}


def nodes(model):
    return [node(model, name, listed) for name, listed in model.kubernetes_nodes.items()]


def leases(model):
    return [lease(model, name, listed) for name, listed in model.kubernetes_nodes.items()]


def details(listed):
    """What a scenario says of a Node as a mapping, C(ready) spelled as Kubernetes does."""
    found = dict(listed) if isinstance(listed, dict) else {'ready': listed}
    found['ready'] = {'Ready': TRUE, 'NotReady': FALSE}.get(str(found.get('ready', TRUE)), str(found.get('ready', TRUE)))
    return found


def readiness(model, listed):
    """(status of the Ready condition, since when; None for since it came up). A flapping Node changes while one looks."""
    found = details(listed)
    since = found.get('since')
    since = model.clock.at(since) if isinstance(since, str) else since
    if not found.get('flapping'):
        return found['ready'], since
    period = flapping_period(found)
    turns, rest = divmod(model.clock.now() - model.clock.wall, period)
    told, other = (found['ready'], UNKNOWN if found['ready'] == TRUE else TRUE)
    last = model.clock.now() - rest
    return (other if turns % 2 else told), last if turns else since or model.clock.wall - period / 2


def flapping_period(found):
    """How long one state of a flapping Node lasts: told as a duration, or as changes in an hour."""
    told = found['flapping']
    if told is True:
        return _FLAPS_EVERY
    return timedelta(hours=1) / told if isinstance(told, (int, float)) else values.duration(told)


def created(model, name):
    """When a Node registered: a minute after its machine booted, unless the scenario has it in a state since before that."""
    if name in model.kubernetes.registrations:
        return model.kubernetes.registrations[name]
    node = model.node_named(name)
    first = min(node.boot + _REGISTERED_AFTER, model.clock.wall) if node else model.clock.wall - _AGE_OF_THE_GONE
    listed = model.kubernetes_nodes.get(name)
    since = listed.get('since') if isinstance(listed, dict) else None
    return min(first, model.clock.at(since) - _READY_AFTER) if isinstance(since, str) else first


def node_uid(model, name):
    return uid(f'{model.seed}/node/{name}{model.kubernetes.registrations.get(name, "")}')


def internal_ip(model, name, listed):
    """The address that kubelet registered; None for a machine of which no address is known."""
    told = details(listed).get('internal_ip')
    node = model.node_named(name)
    return told or (node.node_ip if node else model.address_of(name))


def is_control_plane(model, name):
    node = model.node_named(name)
    return node.control_plane if node else name in model.state['etcd']['members']


def node(model, name, listed):
    found, node = details(listed), model.node_named(name)
    born = created(model, name)
    ready, since = readiness(model, listed)
    since = since or min(born + _READY_AFTER, model.clock.now())
    control_plane = is_control_plane(model, name)
    labels, annotations = node_metadata(name, control_plane, node)
    conditions = _conditions(model, found, ready, since, born)
    address = internal_ip(model, name, listed)
    machine = node.uuid if node else uid(f'{model.seed}/{name}')
    spec = {'podCIDR': node.pod_cidr, 'podCIDRs': node.pod_cidrs} if node and node.pod_cidr else {}
    if node and setup.provider_id(node):
        spec['providerID'] = setup.provider_id(node)
    tainted = control_plane and not model.setup.get('allow_scheduling_on_control_planes')
    taints = _taints(found, ready, since, tainted, conditions)
    if taints:
        spec['taints'] = taints
    if not found.get('schedulable', True):
        spec['unschedulable'] = True
    memory = (node.memory_mib if node else model.state['memory_mib']['worker']) * 1024
    quantities = {'hugepages-1Gi': '0', 'hugepages-2Mi': '0'}
    return {
        'metadata': {**metadata(model, name, born), 'uid': node_uid(model, name), 'labels': labels, 'annotations': annotations},
        'spec': spec,
        'status': {
            'capacity': {'cpu': '2', 'ephemeral-storage': '264212084Ki', **quantities, 'memory': f'{memory}Ki', 'pods': '110'},
            'allocatable': {'cpu': '1950m', 'ephemeral-storage': '243229420756', **quantities, 'memory': f'{memory - 626688}Ki', 'pods': '110'},
            'conditions': conditions,
            'addresses': [*({'type': 'InternalIP', 'address': one} for one in [address, *_others(node, address, details(listed))] if one),
                          *({'type': 'ExternalIP', 'address': prefix.split('/')[0]} for prefix in (node.external_prefixes if node else ())),
                          {'type': 'Hostname', 'address': name}],
            'daemonEndpoints': {'kubeletEndpoint': {'Port': 10250}},
            'nodeInfo': {
                'machineID': machine.replace('-', ''), 'systemUUID': machine, 'bootID': uid(f'{machine}/{node.boot if node else born}'),
                'kernelVersion': '6.18.44-talos', 'osImage': f'Talos ({node.talos if node else model.state["versions"]["talos"]})',
                'containerRuntimeVersion': 'containerd://2.2.4', 'kubeletVersion': model.state['versions']['kubernetes'],
                'kubeProxyVersion': '', 'operatingSystem': 'linux', 'architecture': 'amd64',
            },
        },
    }


def _others(node, first, told):
    """The InternalIP of the other family, where services have both."""
    if node is None or told.get('internal_ip'):
        return []
    return [address for resource in config_resources.node_ips(node) for address in resource.spec['addresses'] if address != first]


def node_metadata(name, control_plane, node=None):
    """(labels, annotations) of a Node object, as recorded; C(node) None for one whose machine is gone."""
    labels = {
        'beta.kubernetes.io/arch': 'amd64', 'beta.kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64', 'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
    }
    annotations = {}
    if node and dict(node.cni_prefixes).get('flannel.1'):
        annotations = {
            'flannel.alpha.coreos.com/backend-data': json_text({'VNI': 1, 'VtepMAC': mac(node, 'flannel.1')}),
            'flannel.alpha.coreos.com/backend-type': 'vxlan', 'flannel.alpha.coreos.com/kube-subnet-manager': 'true',
            'flannel.alpha.coreos.com/public-ip': node.address,
        }
    annotations['node.alpha.kubernetes.io/ttl'] = '0'
    if control_plane:
        owned = {'node-role.kubernetes.io/control-plane': '', 'node.kubernetes.io/exclude-from-external-load-balancers': ''}
        labels |= owned
        annotations['talos.dev/owned-labels'] = json_text(list(owned))
        if not (node and node.model.setup.get('allow_scheduling_on_control_planes')):
            annotations['talos.dev/owned-taints'] = '["node-role.kubernetes.io/control-plane"]'
    if node:
        annotations |= setup.node_annotations(node)
    annotations['volumes.kubernetes.io/controller-managed-attach-detach'] = 'true'
    return labels, annotations


def _taints(found, ready, since, control_plane, conditions):
    taints = [{'key': 'node-role.kubernetes.io/control-plane', 'effect': 'NoSchedule'}] if control_plane else []
    if not found.get('schedulable', True):
        taints.append({'key': 'node.kubernetes.io/unschedulable', 'effect': 'NoSchedule', 'timeAdded': time(found.get('cordoned') or since)})
    if ready != TRUE:
        key = 'unreachable' if ready == UNKNOWN else 'not-ready'
        taints += [{'key': f'node.kubernetes.io/{key}', 'effect': effect, 'timeAdded': time(since)} for effect in ('NoSchedule', 'NoExecute')]
    for condition in conditions:
        if condition['type'] in _PRESSURES and condition['status'] == TRUE:
            key = _PRESSURES[condition['type']][2]
            taints.append({'key': f'node.kubernetes.io/{key}', 'effect': 'NoSchedule', 'timeAdded': condition['lastTransitionTime']})
    return taints


def _conditions(model, found, ready, since, born):
    """Ready as told; Unknown stops the heartbeat, and every other condition of kubelet is then unknown too (rec)."""
    now = model.clock.now()
    beat = since - _GRACE if ready == UNKNOWN else now - (now - born) % _STATUS_EVERY
    beat = max(born, beat)
    told = _told_conditions(found.get('conditions') or {})
    conditions = []
    cni = 'Flannel' if model.state['network']['cni'] == 'flannel' else (model.setup.get('cni') or '').capitalize()
    if cni and ready != FALSE and 'NetworkUnavailable' not in told:
        up = min(born + timedelta(seconds=7), now)
        conditions.append(_condition('NetworkUnavailable', FALSE, f'{cni}IsUp', f'{cni} is running on this node', up, up))
    for kind, (good, bad, _taint) in _PRESSURES.items():
        one = told.pop(kind, {})
        status = UNKNOWN if ready == UNKNOWN else one.get('status', FALSE)
        reason, message = SILENT if status == UNKNOWN else bad if status == TRUE else good
        changed = since if status == UNKNOWN else max(born, now - timedelta(minutes=10)) if status == TRUE else born
        conditions.append(_condition(kind, status, one.get('reason', reason), one.get('message', message), beat, changed))
    for kind, one in told.items():
        changed = max(born, now - timedelta(minutes=10))
        conditions.append(_condition(kind, one['status'], one.get('reason', kind), one.get('message', ''), beat, changed))
    reason, message = _READY.get(ready, SILENT)
    if ready == found['ready'] and found.get('reason'):
        reason, message = (reason, found['reason']) if ' ' in found['reason'] else (found['reason'], message)
    conditions.append(_condition('Ready', ready, reason, message, beat, since))
    return conditions


def _told_conditions(told):
    """{type: {status, …}} of conditions given as a mapping, as a list of types that are True, or as a list of mappings."""
    if isinstance(told, dict):
        return {kind: dict(one) | {'status': str(one.get('status', TRUE))} if isinstance(one, dict) else {'status': str(one)}
                for kind, one in told.items()}
    return {one['type']: dict(one) | {'status': str(one.get('status', TRUE))} if isinstance(one, dict) else {'status': TRUE}
            for one in ({'type': item} if isinstance(item, str) else item for item in told)}


def _condition(kind, status, reason, message, beat, since):
    return {
        'type': kind, 'status': status, 'lastHeartbeatTime': time(beat), 'lastTransitionTime': time(since), 'reason': reason,
        'message': message,
    }


def lease(model, name, listed):
    """kubelet renews it every ten seconds, for as long as it can."""
    born = created(model, name)
    ready, since = readiness(model, listed)
    now = model.clock.now()
    renewed = since - _GRACE if ready == UNKNOWN and since else now - (now - born) % _RENEWED_EVERY
    owner = {'apiVersion': 'v1', 'kind': 'Node', 'name': name, 'uid': node_uid(model, name)}
    return {
        'metadata': {**metadata(model, name, born, 'kube-node-lease', seed=f'lease/{name}{model.kubernetes.registrations.get(name, "")}'),
                     'ownerReferences': [owner]},
        'spec': {'holderIdentity': name, 'leaseDurationSeconds': 40, 'renewTime': micro_time(max(renewed, born))},
    }
