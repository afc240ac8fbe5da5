# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API of a control plane node: /readyz, /livez, /version and the nodes."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from datetime import timedelta, timezone
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.simulator.links import mac

_CHECKS = (
    'ping', 'log', 'etcd', 'etcd-readiness', 'informer-sync', 'poststarthook/start-apiserver-admission-initializer',
    'poststarthook/generic-apiserver-start-informers', 'poststarthook/priority-and-fairness-config-consumer',
    'poststarthook/storage-object-count-tracker-hook', 'poststarthook/crd-informer-synced', 'poststarthook/rbac/bootstrap-roles',
    'poststarthook/bootstrap-controller', 'poststarthook/apiservice-registration-controller', 'shutdown',
)
_ETCD_CHECKS = ('etcd', 'etcd-readiness')
_PAGE_TOKEN = 'simulated-'


class KubernetesApi:
    """The handler of one machine's port 6443."""

    def __init__(self, node):
        self.node = node

    async def __call__(self, request):
        if self.node.frozen:
            await asyncio.get_running_loop().create_future()
        url = urlsplit(request.path)
        path, query = url.path.rstrip('/') or '/', parse_qs(url.query, keep_blank_values=True)
        if request.peer is None:
            return _status(401, 'Unauthorized', 'Unauthorized')
        if path in ('/readyz', '/livez', '/healthz'):
            return self._health(path.lstrip('/'), 'verbose' in query)
        if path == '/version':
            return _json(200, self._version())
        if path == '/api/v1/nodes' and request.method == 'GET':
            return self._nodes(query)
        if path.startswith('/api/v1/nodes/') and request.method == 'GET':
            return self._node(path.rsplit('/', 1)[1])
        return _status(501, 'NotSimulated', f'{request.method} {path} is not simulated')

    @property
    def _etcd_answers(self):
        etcd = self.node.model.etcd
        return etcd.runs(self.node) and etcd.has_quorum(self.node)

    def _health(self, name, verbose):
        failing = [] if self._etcd_answers else [check for check in _ETCD_CHECKS if name != 'livez' or check == 'etcd']
        if not failing and not verbose:
            return 200, 'text/plain; charset=utf-8', b'ok'
        lines = [f'[-]{check} failed: reason withheld' if check in failing else f'[+]{check} ok' for check in _CHECKS]
        lines.append(f'{name} check failed' if failing else f'{name} check passed')
        return 500 if failing else 200, 'text/plain; charset=utf-8', ('\n'.join(lines) + '\n').encode()

    def _version(self):
        version = self.node.model.state['versions']['kubernetes']
        major, minor = version.lstrip('v').split('.')[:2]
        return {'major': major, 'minor': minor, 'emulationMajor': major, 'emulationMinor': minor, 'minCompatibilityMajor': major,
                'minCompatibilityMinor': str(int(minor) - 1), 'gitVersion': version, 'gitCommit': '0' * 40, 'gitTreeState': 'clean',
                'buildDate': '2026-08-01T00:00:00Z', 'goVersion': 'go1.26.8', 'compiler': 'gc', 'platform': 'linux/amd64'}

    def _nodes(self, query):
        if not self._etcd_answers:
            return _status(500, 'InternalError', 'etcdserver: no leader')
        items = [kubernetes_node(self.node.model, name, listed) for name, listed in sorted(self.node.model.kubernetes_nodes.items())]
        start = int((query.get('continue') or [''])[0].removeprefix(_PAGE_TOKEN) or 0)
        limit = int((query.get('limit') or ['0'])[0] or 0)
        page = items[start:start + limit] if limit else items[start:]
        metadata = {'resourceVersion': '1163'}
        if start + len(page) < len(items):
            metadata |= {'continue': f'{_PAGE_TOKEN}{start + len(page)}', 'remainingItemCount': len(items) - start - len(page)}
        return _json(200, {'kind': 'NodeList', 'apiVersion': 'v1', 'metadata': metadata, 'items': page})

    def _node(self, name):
        if not self._etcd_answers:
            return _status(500, 'InternalError', 'etcdserver: no leader')
        listed = self.node.model.kubernetes_nodes.get(name)
        if listed is None:
            return _status(404, 'NotFound', f'nodes "{name}" not found')
        return _json(200, {'kind': 'Node', 'apiVersion': 'v1', **kubernetes_node(self.node.model, name, listed)})


def kubernetes_node(model, name, listed):
    """A Node object; C(listed) is what the scenario says of it: Ready, or a mapping."""
    details = listed if isinstance(listed, dict) else {}
    node = model.node_named(name)
    wall = model.clock.wall
    created = node.boot + timedelta(minutes=1) if node else wall - timedelta(days=40)
    created = min(created, wall)
    control_plane = node.control_plane if node else name in model.state['etcd']['members']
    labels, annotations = node_metadata(name, control_plane, node)
    taints = [{'key': 'node-role.kubernetes.io/control-plane', 'effect': 'NoSchedule'}] if control_plane else []
    schedulable = details.get('schedulable', True)
    if not schedulable:
        taints.append({'key': 'node.kubernetes.io/unschedulable', 'effect': 'NoSchedule'})
    address = details.get('internal_ip') or (node.address if node else model.address_of(name))
    machine = node.uuid if node else _uuid(f'{model.seed}/{name}')
    spec = {'podCIDR': node.pod_cidr, 'podCIDRs': [node.pod_cidr]} if node and node.pod_cidr else {}
    if taints:
        spec['taints'] = taints
    if not schedulable:
        spec['unschedulable'] = True
    return {
        'metadata': {'name': name, 'uid': _uuid(f'{model.seed}/node/{name}'), 'resourceVersion': '703',
                     'creationTimestamp': _time(created), 'labels': labels, 'annotations': annotations},
        'spec': spec,
        'status': {
            'capacity': {'cpu': '2', 'memory': '8089600Ki', 'pods': '110'},
            'allocatable': {'cpu': '1950m', 'memory': '7462912Ki', 'pods': '110'},
            'conditions': _conditions(model, details, created),
            'addresses': [*([{'type': 'InternalIP', 'address': address}] if address else []), {'type': 'Hostname', 'address': name}],
            'daemonEndpoints': {'kubeletEndpoint': {'Port': 10250}},
            'nodeInfo': {
                'machineID': machine.replace('-', ''), 'systemUUID': machine, 'bootID': _uuid(f'{machine}/{created}'),
                'kernelVersion': '6.18.44-talos', 'osImage': f'Talos ({node.talos if node else model.state["versions"]["talos"]})',
                'containerRuntimeVersion': 'containerd://2.2.4', 'kubeletVersion': model.state['versions']['kubernetes'],
                'kubeProxyVersion': '', 'operatingSystem': 'linux', 'architecture': 'amd64',
            },
        },
    }


def node_metadata(name, control_plane, node=None):
    """(labels, annotations) of a Node object, as recorded; C(node) None for one whose machine is gone."""
    labels = {
        'beta.kubernetes.io/arch': 'amd64', 'beta.kubernetes.io/os': 'linux', 'kubernetes.io/arch': 'amd64', 'kubernetes.io/hostname': name,
        'kubernetes.io/os': 'linux',
    }
    annotations = {}
    if node and dict(node.cni_prefixes).get('flannel.1'):
        annotations = {
            'flannel.alpha.coreos.com/backend-data': _json_text({'VNI': 1, 'VtepMAC': mac(node, 'flannel.1')}),
            'flannel.alpha.coreos.com/backend-type': 'vxlan', 'flannel.alpha.coreos.com/kube-subnet-manager': 'true',
            'flannel.alpha.coreos.com/public-ip': node.address,
        }
    annotations['node.alpha.kubernetes.io/ttl'] = '0'
    if control_plane:
        owned = {'node-role.kubernetes.io/control-plane': '', 'node.kubernetes.io/exclude-from-external-load-balancers': ''}
        labels |= owned
        annotations |= {'talos.dev/owned-labels': _json_text(list(owned)),
                        'talos.dev/owned-taints': '["node-role.kubernetes.io/control-plane"]'}
    annotations['volumes.kubernetes.io/controller-managed-attach-detach'] = 'true'
    return labels, annotations


_NETWORK_NOT_READY = ('container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns '
                      'error: cni plugin not initialized')
_PRESSURES = (('MemoryPressure', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
              ('DiskPressure', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
              ('PIDPressure', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'))


def _conditions(model, details, created):
    """Ready as told; Unknown stops the heartbeat, and every other condition is then unknown too, as Kubernetes does it."""
    ready = str(details.get('ready', 'True'))
    since = model.clock.at(details['since']) if 'since' in details else created + timedelta(seconds=15)
    beat = since - timedelta(seconds=40) if ready == 'Unknown' else model.clock.wall - timedelta(seconds=70)
    told = details.get('conditions') or {}
    told = told if isinstance(told, dict) else dict.fromkeys(told, 'True')
    conditions = []
    for kind, reason, message in _PRESSURES:
        status = 'Unknown' if ready == 'Unknown' else str(told.get(kind, 'False'))
        if status == 'Unknown':
            reason, message = 'NodeStatusUnknown', 'Kubelet stopped posting node status.'
        conditions.append(_condition(kind, status, reason, message, max(created, beat), since if status == 'Unknown' else created))
    reason, message = {
        'True': ('KubeletReady', 'kubelet is posting ready status'),
        'False': ('KubeletNotReady', _NETWORK_NOT_READY),
    }.get(ready, ('NodeStatusUnknown', 'Kubelet stopped posting node status.'))
    conditions.append(_condition('Ready', ready, details.get('reason') or reason, message, max(created, beat), since))
    return conditions


def _condition(kind, status, reason, message, beat, since):
    return {
        'type': kind, 'status': status, 'lastHeartbeatTime': _time(beat), 'lastTransitionTime': _time(since), 'reason': reason,
        'message': message,
    }


def kubeconfig(name, server, authority, client):
    """The kubeconfig that Talos issues (rec): context admin@<cluster>."""
    user = f'admin@{name}'
    return yaml.safe_dump({
        'apiVersion': 'v1', 'kind': 'Config',
        'clusters': [{'name': name, 'cluster': {'server': server, 'certificate-authority-data': _base64(authority.pem)}}],
        'users': [{'name': user, 'user': {'client-certificate-data': _base64(client.pem), 'client-key-data': _base64(client.talos_key_pem)}}],
        'contexts': [{'name': user, 'context': {'cluster': name, 'namespace': 'default', 'user': user}}],
        'current-context': user,
    })


def _uuid(text):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, text))


def _base64(data):
    return base64.b64encode(data).decode()


def _json_text(value):
    return json.dumps(value, separators=(',', ':'))


def _time(when):
    return f'{when.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}'


def _json(status, body):
    return status, 'application/json', json.dumps(body).encode()


def _status(code, reason, message):
    return _json(code, {
        'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Failure', 'message': message, 'reason': reason, 'code': code,
    })
