# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API of a control plane node over HTTPS: who asks, what is meant, and what is answered."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.bed.pauses import forever
from tests.simulator import kubernetes_health, kubernetes_lists, kubernetes_rbac, kubernetes_writes
from tests.simulator.kubernetes_objects import Refusal

_PATH = re.compile(r'^(?:/api/v1|/apis/(?P<group>[^/]+)/v1)(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]+))?/(?P<name>[^/]+)'
                   r'(?:/(?P<object>[^/]+)(?:/(?P<sub>[^/]+))?)?$')
_REVIEWS = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
_NAMESPACE = re.compile(r'^/api/v1/namespaces/(?P<object>[^/]+)(?:/(?P<sub>status|finalize))?$')


@dataclass(frozen=True)
class Target:
    """What a path means: an object of a resource, or all of a namespace or the cluster when C(name) is None."""

    resource: object
    namespace: str | None
    name: str | None
    subresource: str | None


class KubernetesApi:
    """The handler of one machine's port 6443. What was written is kept in the model, for all of them."""

    def __init__(self, node):
        self.node = node
        self.model = node.model

    async def __call__(self, request):
        if self.node.frozen:
            await forever()
        url = urlsplit(request.path)
        path, query = url.path.rstrip('/') or '/', parse_qs(url.query, keep_blank_values=True)
        try:
            return self._answer(request, kubernetes_rbac.user(request.peer), path, query)
        except Refusal as refusal:
            return _json(refusal.code, refusal.body)

    def _answer(self, request, who, path, query):
        target = self._target(path)
        if target:
            return self._object(request, who, target, query)
        kubernetes_rbac.check_path(who, path)
        if path.lstrip('/') in kubernetes_health.HEALTH:
            return kubernetes_health.health(path.lstrip('/'), self._etcd_answers, query)
        if path == '/version':
            return _json(200, kubernetes_health.version(self.model.state['versions']['kubernetes']))
        if path == '/metrics':
            self._need_etcd()
            return kubernetes_health.metrics(self.node)
        if path == _REVIEWS and request.method == 'POST':
            return _json(201, kubernetes_rbac.review(who, kubernetes_writes.body_of(request)))
        found = kubernetes_health.discovery(self.model, path)
        if found:
            return _json(200, found)
        raise Refusal(501, 'NotSimulated', f'{request.method} {path} is not simulated')

    def _target(self, path):
        match = _NAMESPACE.match(path)
        if match:
            return Target(kubernetes_lists.resources(self.model)['', 'namespaces'], None, match['object'], match['sub'])
        match = _PATH.match(path)
        resource = match and kubernetes_lists.resources(self.model).get((match['group'] or '', match['name']))
        if not resource or match['namespace'] and not resource.namespaced:
            return None
        return Target(resource, match['namespace'], match['object'], match['sub'])

    def _object(self, request, who, target, query):
        verb = _verb(request.method, target, query)
        kubernetes_rbac.check(who, verb, target.resource, target.name, target.namespace, target.subresource)
        self._need_etcd()
        if verb in ('get', 'list'):
            if target.subresource not in (None, 'status', 'approval'):
                raise Refusal(404, 'NotFound', 'the server could not find the requested resource', {})
            if verb == 'list':
                return _json(200, kubernetes_lists.listed(self.model, target.resource, target.namespace, query))
            return _json(200, kubernetes_writes.typed(target.resource, self.model.kubernetes.get(target.resource, target.namespace, target.name)))
        if verb == 'watch':
            raise Refusal(501, 'NotSimulated', 'watch is not simulated')
        asked = f'{verb} {target.resource.name}{f"/{target.subresource}" if target.subresource else ""} {target.name or ""}'.rstrip()
        if query.get('dryRun') != ['All'] or verb == 'delete' and request.body:
            self.model.kubernetes.writes.append(asked)
        code, body = kubernetes_writes.write(self.model, verb, target, request, query)
        return _json(code, body)

    @property
    def _etcd_answers(self):
        etcd, refused = self.model.etcd, self.model.kubernetes.reads_refused
        return etcd.runs(self.node) and etcd.has_quorum(self.node) and not (refused and 'etcd' in refused)

    def _need_etcd(self):
        refused = self.model.kubernetes.reads_refused
        if refused:
            raise Refusal(500, None, refused)
        if not self._etcd_answers:
            raise Refusal(500, None, 'etcdserver: no leader')


def _verb(method, target, query):
    if method == 'GET':
        if query.get('watch', ['false'])[0] in ('true', '1'):
            return 'watch'
        return 'get' if target.name else 'list'
    verbs = {'PATCH': 'patch', 'PUT': 'update', 'DELETE': 'delete', 'POST': 'create'}
    if method not in verbs or bool(target.name) != (method != 'POST' or target.subresource is not None):
        raise Refusal(405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource', {})
    return verbs[method]


def kubeconfig(name, server, authority, client, user='admin'):
    """The kubeconfig that Talos issues (rec): context admin@<cluster>."""
    user = f'{user}@{name}'
    return yaml.safe_dump({
        'apiVersion': 'v1', 'kind': 'Config',
        'clusters': [{'name': name, 'cluster': {'server': server, 'certificate-authority-data': _base64(authority.pem)}}],
        'users': [{'name': user, 'user': {'client-certificate-data': _base64(client.pem), 'client-key-data': _base64(client.talos_key_pem)}}],
        'contexts': [{'name': user, 'context': {'cluster': name, 'namespace': 'default', 'user': user}}],
        'current-context': user,
    })


def _base64(data):
    return base64.b64encode(data).decode()


def _json(status, body):
    return status, 'application/json', json.dumps(body).encode()
