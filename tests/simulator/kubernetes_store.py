# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of the simulated Kubernetes API: made from the state at every read, with what was written since on top."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass

from tests.simulator import kubernetes_csrs, kubernetes_events, kubernetes_nodes, kubernetes_pods
from tests.simulator.kubernetes_objects import Refusal, digest, metadata

_FIRST_REVISION = 1163
_SPACE = 'database space exceeded'
# A tenth of the time after which Kubernetes calls a silent Node's state unknown, as the timeline's other times are shorter too.
_GRACE = 4.0


@dataclass(frozen=True)
class Resource:
    """A served type.

    C(build(model)) lists its objects; C(fields) can be selected by, beside name and namespace; C(short) is what kubectl calls it.
    """

    group: str
    name: str
    kind: str
    build: object
    namespaced: bool = True
    fields: tuple = ()
    has_status: bool = True
    short: str = ''

    @property
    def api_version(self):
        return f'{self.group}/v1' if self.group else 'v1'

    @property
    def full_name(self):
        return f'{self.name}.{self.group}' if self.group else self.name


def _namespaces(model):
    names = ['default', 'kube-node-lease', 'kube-public', 'kube-system']
    names += [namespace for namespace in {item['metadata']['namespace'] for item in kubernetes_pods.pods(model)} if namespace not in names]
    return [{'metadata': {**metadata(model, name, model.bootstrapped_at, seed=f'namespace/{name}'), 'labels': {'kubernetes.io/metadata.name': name}},
             'spec': {'finalizers': ['kubernetes']}, 'status': {'phase': 'Active'}} for name in names]


RESOURCES = {
    (one.group, one.name): one
    for one in (
        Resource('', 'nodes', 'Node', kubernetes_nodes.nodes, namespaced=False, fields=('spec.unschedulable',), short='no'),
        Resource('', 'pods', 'Pod', kubernetes_pods.pods, short='po', fields=(
            'spec.nodeName', 'status.phase', 'status.podIP', 'spec.schedulerName')),
        Resource('', 'events', 'Event', kubernetes_events.events, has_status=False, short='ev', fields=(
            'reason', 'type', 'source', 'reportingComponent', 'involvedObject.kind', 'involvedObject.name', 'involvedObject.namespace',
            'involvedObject.uid')),
        Resource('', 'secrets', 'Secret', lambda _model: [], has_status=False),
        Resource('', 'namespaces', 'Namespace', _namespaces, namespaced=False, fields=('status.phase',), short='ns'),
        Resource('apps', 'daemonsets', 'DaemonSet', kubernetes_pods.daemonsets, short='ds'),
        Resource('apps', 'deployments', 'Deployment', kubernetes_pods.deployments, short='deploy'),
        Resource('certificates.k8s.io', 'certificatesigningrequests', 'CertificateSigningRequest', kubernetes_csrs.csrs, namespaced=False,
                 fields=('spec.signerName',), short='csr'),
        Resource('coordination.k8s.io', 'leases', 'Lease', kubernetes_nodes.leases, has_status=False),
        # None, until somebody makes one.
        Resource('', 'persistentvolumes', 'PersistentVolume', lambda _model: [], namespaced=False, short='pv'),
        Resource('storage.k8s.io', 'volumeattachments', 'VolumeAttachment', lambda _model: [], namespaced=False),
    )
}


class Store:
    """What etcd holds for the API servers: one for the cluster.

    C(deleted) is {uid: when}; C(registrations) {name of a Node that came back: when}; C(requests) {CSR: PEM}.
    """

    def __init__(self, model):
        self.model = model
        self.revision = _FIRST_REVISION
        self.compacted = 0
        self.deleted = {}
        self.registrations = {}
        self.requests = {}
        self.writes = []  # what was asked that changes something, refused or not: "verb type/subresource name"
        self._gone_nodes = set()
        self._told_nodes = {}
        self._seen = {}
        self._changes = {}
        self._created = {}
        self._was_full = self._is_full
        model.watchers.append(self._heard)

    def compact(self):
        """Forget the past, as etcd does every five minutes: continue tokens from before now are too old."""
        self.objects(RESOURCES['', 'nodes'])
        self.revision += 1
        self.compacted = self.revision

    @property
    def _is_full(self):
        return any(alarm == 'NOSPACE' for _member, alarm in self.model.etcd.alarms)

    @property
    def reads_refused(self):
        """The text with which reads are refused, None while they work."""
        return _refused(self.model.state['k8s'].get('reads'))

    @property
    def writes_refused(self):
        """The same for writes: as told, or because etcd is full; what was told of a full etcd ends when its alarms do."""
        told = _refused(self.model.state['k8s'].get('writes'))
        if told and _SPACE in told and self._was_full and not self._is_full:
            told = None
        return told or ('etcdserver: mvcc: database space exceeded' if self._is_full else None)

    def objects(self, resource, namespace=None):
        """The objects of a type by namespace and name, as API servers list them."""
        found = []
        for item in [*resource.build(self.model), *(made for kind, made in self._created.values() if kind is resource)]:
            own = item['metadata']['uid']
            if own in self.deleted or namespace and item['metadata'].get('namespace') != namespace:
                continue
            item = copy.deepcopy(item)
            if own in self._changes:
                item = merged(item, self._changes[own])
            content = digest(json.dumps(item, sort_keys=True))
            if self._seen.get(own, ('', 0))[0] != content:
                self.revision += 1
                self._seen[own] = content, self.revision
            item['metadata']['resourceVersion'] = str(self._seen[own][1])
            found.append(item)
        return sorted(found, key=lambda item: (item['metadata'].get('namespace', ''), item['metadata']['name']))

    def get(self, resource, namespace, name):
        for item in self.objects(resource, namespace):
            if item['metadata']['name'] == name:
                return item
        raise Refusal(404, 'NotFound', f'{resource.full_name} "{name}" not found', about(resource, name))

    def create(self, resource, item):
        if any(one['metadata']['name'] == item['metadata']['name'] for one in self.objects(resource, item['metadata'].get('namespace'))):
            name = item['metadata']['name']
            raise Refusal(409, 'AlreadyExists', f'{resource.full_name} "{name}" already exists', about(resource, name))
        self._created[item['metadata']['uid']] = resource, item

    def change(self, resource, old, new):
        """Keep what differs; of a Node that it is cordoned goes into the state, so that all that follows from it does."""
        own = old['metadata']['uid']
        plain = [{**item, 'metadata': {key: value for key, value in item['metadata'].items() if key != 'resourceVersion'}} for item in (old, new)]
        self._changes[own] = _joined(self._changes.get(own, {}), difference(*plain))
        before, after = (bool(item.get('spec', {}).get('unschedulable')) for item in (old, new))
        if resource.kind == 'Node' and before != after:
            self._tell(old['metadata']['name'], schedulable=not after, cordoned=self.model.clock.now())
        self.model.changed()

    def delete(self, resource, item):
        own = item['metadata']['uid']
        self.deleted[own] = self.model.clock.now()
        self._created.pop(own, None)
        self.revision += 1
        if resource.kind == 'Node':
            self._gone_nodes.add(item['metadata']['name'])
        self.model.changed()

    def lose(self, name):
        """A Node was deleted where they really are (kubelets.py)."""
        self._gone_nodes.add(name)
        self.model.changed()

    def certified(self, username):
        """kubelet serves its new certificate: Talos's diagnostic about the request ends."""
        hostname = username.removeprefix('system:node:')
        state, nodes = self.model.state, self.model.nodes
        state['diagnostics'] = [one for one in state['diagnostics']
                                if one['id'] != 'kubelet-csr' or self.model.node_named(hostname) is not nodes.get(one['node'])]
        self.model.changed()

    def nodes(self, listed):
        """The Nodes of a scenario, {name: what is said of it}, after what happened since."""
        found = {name: said for name, said in listed.items() if name not in self._gone_nodes}
        return found | {name: kubernetes_nodes.details(found[name]) | told for name, told in self._told_nodes.items() if name in found}

    def knew(self, name):
        """Whether there is or was a Node of this name: a machine keeps its pod network after its Node was deleted."""
        return name in self._gone_nodes or name in self.model.listed_nodes

    def _tell(self, name, **said):
        self._told_nodes[name] = self._told_nodes.get(name, {}) | said

    def _heard(self, what, node):
        """A machine that goes takes its kubelet along; a kubelet that starts registers its Node where there is none, at first all of them."""
        name = node.nodename
        if what == 'bootstrapped':
            now = self.model.clock.now()
            self.registrations |= {other.nodename: now for other in self.model.nodes.values()}
            self.model.state['bootstrapped'] = {'node': node.name, 'at': f'+{(now - self.model.clock.wall).total_seconds():.3f}s'}
        if what == 'gone':
            self.model.timeline.later(_GRACE, lambda: self._silent(node))
        if what in ('booted', 'kubelet'):
            if name in self._gone_nodes:
                self._gone_nodes.discard(name)
                self._told_nodes.pop(name, None)
                self.registrations[name] = self.model.clock.now()
            listed = self.model.kubernetes_nodes.get(name)
            if listed is not None and kubernetes_nodes.readiness(self.model, listed)[0] == kubernetes_nodes.UNKNOWN:
                self._tell(name, ready=kubernetes_nodes.TRUE, since=self.model.clock.now())
            self.model.changed()

    def _silent(self, node):
        if not node.reachable:
            self._tell(node.nodename, ready=kubernetes_nodes.UNKNOWN, since=self.model.clock.now())
            self.model.changed()


def about(resource, name=None):
    """The details of a Status about an object of this type."""
    return {key: value for key, value in (('name', name), ('group', resource.group), ('kind', resource.name)) if value}


_CAUSES = {'Invalid value': 'FieldValueInvalid', 'Required value': 'FieldValueRequired', 'Forbidden': 'FieldValueForbidden'}


def invalid(resource, name, field, message):
    """The Refusal of an object of which a field is wrong: C(message) begins with "Invalid value", "Required value" or "Forbidden"."""
    kind = f'{resource.kind}.{resource.group}' if resource.group else resource.kind
    causes = [{'reason': _CAUSES[message.partition(':')[0]], 'message': message, 'field': field}]
    details = {**about(resource, name), 'kind': resource.kind, 'causes': causes}
    return Refusal(422, 'Invalid', f'{kind} "{name or ""}" is invalid: {field}: {message}', details)


def merged(target, patch):
    """A JSON merge patch applied (RFC 7396)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def difference(old, new):
    """The merge patch that makes C(new) of C(old)."""
    patch = {key: None for key in old if key not in new}
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            inner = difference(old[key], value)
            patch |= {key: inner} if inner else {}
        elif key not in old or old[key] != value:
            patch[key] = value
    return patch


def _joined(first, then):
    """One merge patch for two that follow each other: here null stays a value."""
    result = dict(first)
    for key, value in then.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _joined(result[key], value) if both else value
    return result


def _refused(told):
    return None if told in (None, 'ok') else str(told).partition(':')[2].strip()
