# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers and images of a machine, and the logs of its pods (talos-api 5.2, 5.5), as recorded."""

from __future__ import annotations

import hashlib
from datetime import timedelta, timezone

from tests.bed.grpc_server import INVALID_ARGUMENT, UNAVAILABLE, UNKNOWN, Status
from tests.simulator import kubernetes_pods
from tests.simulator.resource import timestamp
from tests.simulator.schema import MESSAGES

_PAUSE = 'registry.k8s.io/pause:3.10.1'
_IN_SYSTEM = ('apid', 'trustd')
_FIRST_PID = 481
_SIZES = {'kubelet': 158803977, 'etcd': 44729087, 'kube-apiserver': 105516810, 'kube-controller-manager': 95616786, 'kube-proxy': 74106775,
          'kube-scheduler': 64012345, 'flannel': 181050373, 'coredns': 76204928, 'pause': 737920}
_MANAGED = {'io.cri-containerd.image': 'managed'}


async def containers(node, request, send):
    """The namespace system has apid and trustd only: the rest runs in the CRI containerd, which this call does not reach (rec)."""
    asked = MESSAGES.decode('ContainersRequest', request)
    if not asked.get('namespace'):
        raise Status(INVALID_ARGUMENT, "namespace can't be empty")
    rows = []
    if asked['namespace'] == 'system':
        rows = [{'namespace': 'system', 'id': name, 'pid': 209 + number, 'status': 'RUNNING', 'pod_id': name, 'name': name, 'internal_id': name}
                for number, name in enumerate(_IN_SYSTEM) if node.service(name)[0] == 'Running']
    elif asked['namespace'] == 'k8s.io' and asked.get('driver') == 'CRI' and node.service('cri')[0] == 'Running':
        rows = [row for pod in _pods(node) for row in _rows(pod)]
        for number, row in enumerate(rows):
            row['pid'] = 0 if row['status'] == 'CONTAINER_EXITED' else _FIRST_PID + 13 * number
    await send(MESSAGES.encode('ContainersResponse', {'messages': [{'containers': rows}]}))


def _pods(node):
    return kubernetes_pods.pods_on(node.model, node.nodename)


def _name(pod):
    return f'{pod["metadata"]["namespace"]}/{pod["metadata"]["name"]}'


def _rows(pod):
    """The sandbox of a pod and its containers, those that ended too; one that waits for its image has none."""
    name = _name(pod)
    yield {'namespace': 'k8s.io', 'id': name, 'image': _PAUSE, 'status': 'SANDBOX_READY', 'pod_id': name, 'name': name,
           'internal_id': _digest(name), 'uid': pod['metadata']['uid']}
    for one in pod['status'].get('initContainerStatuses', []) + pod['status'].get('containerStatuses', []):
        for state, internal in _runs(one):
            status = 'CONTAINER_RUNNING' if state == 'running' else 'CONTAINER_EXITED'
            yield {'namespace': 'k8s.io', 'id': f'{name}:{one["name"]}:{internal[:12]}', 'image': one['image'], 'status': status, 'pod_id': name,
                   'name': one['name'], 'internal_id': internal}


def _runs(status):
    """(state, id) of the containers that a container status tells of."""
    if status.get('lastState', {}).get('terminated'):
        yield 'terminated', _digest(f'last {status.get("containerID")}')
    for state in ('running', 'terminated'):
        if state in status['state']:
            yield state, _digest(status.get('containerID', ''))


def _digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


# -- logs -----------------------------------------------------------------------------------------------------------

def log(node, container_id):
    """The lines of a container of Kubernetes in the CRI's form, as bytes. Raises Status."""
    found = next(((pod, row) for pod in _pods(node) for row in _rows(pod) if row['id'] == container_id), None)
    if found is None or node.service('cri')[0] != 'Running':
        raise Status(UNKNOWN, f'container "{container_id}" not found')
    pod, row = found
    wall = node.model.clock.wall
    entries = [(max(node.boot, wall - timedelta(minutes=10)), f'I{wall:%m%d %H:%M:%S.%f}       1 server.go:180] "starting {row["name"]}"')]
    for told in node.model.state['lines']:
        if told['node'] == node.name and _is_meant(node, told, pod):
            entries.append((node.model.clock.at(told['at']), told['line']))
    return [f'{at.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}000Z stderr F {text}'.encode() for at, text in sorted(entries)]


def _is_meant(node, told, pod):
    """Whose line it is: kube-apiserver's, or of the pod that it names, else of the first that does not run, else of the CNI's."""
    name = pod['metadata']['name']
    if told['src'] == 'kube-apiserver':
        return name.startswith('kube-apiserver-')
    if told['src'] != 'pod log':
        return False
    names = [one['metadata']['name'] for one in _pods(node)]
    named = [one for one in names if one in told['line']]
    failing = [one['metadata']['name'] for one in _pods(node)
               if any('running' not in container['state'] or container['restartCount'] for container in one['status'].get('containerStatuses', []))]
    network = [one for one in names if one.startswith('kube-flannel')]
    return name == next(iter(named + failing + network + names), None)


# -- images ---------------------------------------------------------------------------------------------------------

def _images(node, namespace):
    """(name, digest, size) of the images of a containerd namespace: by tag, by digest, and the digest alone (rec)."""
    if namespace == 'NS_SYSTEM':
        kubelet = (node.config.machine.get('kubelet') or {}).get('image', '')
        default = 'registry.k8s.io/etcd' if node.minor >= 12 else 'gcr.io/etcd-development/etcd'
        tags = [kubelet, *([f'{default}:v{node.etcd_version}'] if node.control_plane else [])]
    else:
        statuses = [one for pod in _pods(node) for one in pod['status'].get('initContainerStatuses', []) + pod['status'].get('containerStatuses', [])]
        tags = sorted({one['image'] for one in statuses if one.get('imageID')} | {_PAUSE})
    found = [(tag, f'sha256:{_digest(tag)}', _SIZES.get(tag.rpartition('/')[2].partition(':')[0], 50_000_000)) for tag in tags]
    by_digest = [(f'{tag.rpartition(":")[0]}@{digest}', digest, size) for tag, digest, size in found]
    named = [row for pair in zip(found, by_digest) for row in pair]
    return named + sorted((digest, digest, size) for _tag, digest, size in found)


def _check(node, namespace, words):
    if namespace not in ('NS_SYSTEM', 'NS_CRI'):
        raise Status(INVALID_ARGUMENT, f'invalid {words} NS_UNKNOWN')
    if node.service('cri')[0] != 'Running':
        raise Status(UNAVAILABLE, 'error connecting to containerd')


async def image_list(node, request, send):
    namespace = MESSAGES.decode('ImageListRequest', request).get('namespace')
    _check(node, namespace, 'namespace')
    for name, digest, size in _images(node, namespace):
        await send(MESSAGES.encode('ImageListResponse', {'name': name, 'digest': digest, 'size': size, 'created_at': timestamp(node.boot)}))


async def image_service_list(node, request, send):
    """With the driver CONTAINERD there is nothing: all images are the CRI's (rec)."""
    asked = MESSAGES.decode('ImageServiceListRequest', request).get('containerd') or {}
    _check(node, asked.get('namespace'), 'containerd namespace')
    for name, digest, size in _images(node, asked['namespace']) if asked.get('driver') == 'CRI' else ():
        labels = _MANAGED if asked['namespace'] == 'NS_CRI' else {}
        await send(MESSAGES.encode('ImageServiceListResponse', {'name': name, 'digest': digest, 'size': size, 'created_at': timestamp(node.boot),
                                                                'labels': labels}))
