# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an API server says of itself: health, version, metrics, and which resources it has."""

from __future__ import annotations

from tests.simulator.kubernetes_lists import count, resources

# In the recorded order.
_CHECKS = (
    'ping', 'log', 'loopback-serving-certificate', 'etcd', 'etcd-readiness', 'informer-sync', 'poststarthook/start-apiserver-admission-initializer',
    'poststarthook/generic-apiserver-start-informers', 'poststarthook/priority-and-fairness-config-consumer',
    'poststarthook/priority-and-fairness-filter', 'poststarthook/storage-object-count-tracker-hook',
    'poststarthook/start-apiextensions-informers', 'poststarthook/start-apiextensions-controllers', 'poststarthook/crd-informer-synced',
    'poststarthook/start-system-namespaces-controller', 'poststarthook/peer-endpoint-reconciler-controller',
    'poststarthook/start-cluster-authentication-info-controller', 'poststarthook/start-kube-apiserver-identity-lease-controller',
    'poststarthook/start-kube-apiserver-identity-lease-garbage-collector', 'poststarthook/storage-readiness',
    'poststarthook/start-legacy-token-tracking-controller', 'poststarthook/start-service-ip-repair-controllers',
    'poststarthook/rbac/bootstrap-roles', 'poststarthook/scheduling/bootstrap-system-priority-classes',
    'poststarthook/priority-and-fairness-config-producer', 'poststarthook/bootstrap-controller',
    'poststarthook/start-kubernetes-service-cidr-controller', 'poststarthook/aggregator-reload-proxy-client-cert',
    'poststarthook/start-kube-aggregator-informers', 'poststarthook/apiservice-status-local-available-controller',
    'poststarthook/apiservice-status-remote-available-controller', 'poststarthook/apiservice-registration-controller',
    'poststarthook/apiservice-discovery-controller', 'poststarthook/kube-apiserver-autoregistration', 'autoregister-completion',
    'poststarthook/apiservice-openapi-controller', 'poststarthook/apiservice-openapiv3-controller', 'shutdown',
)
_ETCD_CHECKS = ('etcd', 'etcd-readiness')
_READINESS_ONLY = ('etcd-readiness', 'informer-sync', 'shutdown')
_LIVENESS_ONLY = ('loopback-serving-certificate',)
HEALTH = ('readyz', 'livez', 'healthz')
_TEXT = 'text/plain; charset=utf-8'
_MIB = 1024 * 1024


def health(name, etcd_answers, query):
    """(status, content type, body) of /readyz and its kin; C(verbose) and C(exclude) as Kubernetes has them."""
    checks = [check for check in _CHECKS if check not in (_LIVENESS_ONLY if name == 'readyz' else _READINESS_ONLY)]
    excluded = query.get('exclude', ())
    failing = [] if etcd_answers else [check for check in checks if check in _ETCD_CHECKS and check not in excluded]
    if not failing and 'verbose' not in query:
        return 200, _TEXT, b'ok'
    lines = []
    for check in checks:
        if check in excluded:
            lines.append(f'[+]{check} excluded: ok')
        else:
            lines.append(f'[-]{check} failed: reason withheld' if check in failing else f'[+]{check} ok')
    lines.append(f'{name} check failed' if failing else f'{name} check passed')
    return 500 if failing else 200, _TEXT, ('\n'.join(lines) + '\n').encode()


def version(text):
    major, minor = text.lstrip('v').split('.')[:2]
    return {'major': major, 'minor': minor, 'emulationMajor': major, 'emulationMinor': minor, 'minCompatibilityMajor': major,
            'minCompatibilityMinor': str(int(minor) - 1), 'gitVersion': text, 'gitCommit': '0' * 40, 'gitTreeState': 'clean',
            'buildDate': '2026-08-01T00:00:00Z', 'goVersion': 'go1.26.8', 'compiler': 'gc', 'platform': 'linux/amd64'}


def metrics(node):
    """How many objects there are and how large the database is; the rest is not simulated."""
    model = node.model
    lines = ['# HELP apiserver_storage_objects [STABLE] Number of stored objects at the time of last check split by kind.',
             '# TYPE apiserver_storage_objects gauge']
    for resource in resources(model).values():
        number = count(model, resource, len(model.kubernetes.objects(resource)))
        lines.append(f'apiserver_storage_objects{{resource="{resource.full_name}"}} {number}')
    lines += ['# HELP apiserver_storage_size_bytes [STABLE] Size of the storage database file physically allocated in bytes.',
              '# TYPE apiserver_storage_size_bytes gauge',
              f'apiserver_storage_size_bytes{{storage_cluster_id="etcd-0"}} {model.etcd.status(node)["db_size"]}']
    return 200, f'{_TEXT}; version=0.0.4', ('\n'.join(lines) + '\n').encode()


def discovery(model, path):
    """The document that lists what there is under /api, /apis and their groups; None for another path."""
    found = resources(model).values()
    groups = sorted({resource.group for resource in found} - {''})
    if path == '/api':
        return {'kind': 'APIVersions', 'versions': ['v1'], 'serverAddressByClientCIDRs': []}
    if path == '/apis':
        return {'kind': 'APIGroupList', 'apiVersion': 'v1', 'groups': [_group(group) for group in groups]}
    for group in ('', *groups):
        if path == (f'/apis/{group}/v1' if group else '/api/v1'):
            return {'kind': 'APIResourceList', 'apiVersion': 'v1', 'groupVersion': f'{group}/v1' if group else 'v1', 'resources': [
                {'name': one.name, **({'shortNames': [one.short]} if one.short else {}), 'singularName': one.kind.lower(),
                 'namespaced': one.namespaced, 'kind': one.kind,
                 'verbs': ['create', 'delete', 'get', 'list', 'patch', 'update']} for one in found if one.group == group]}
        if group and path == f'/apis/{group}':
            return {'kind': 'APIGroup', 'apiVersion': 'v1', **_group(group)}
    return None


def _group(name):
    version_one = {'groupVersion': f'{name}/v1', 'version': 'v1'}
    return {'name': name, 'versions': [version_one], 'preferredVersion': version_one}
