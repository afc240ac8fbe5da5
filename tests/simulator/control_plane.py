# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real kube-apiserver and kube-controller-manager on a real etcd: processes on the loopback, with TLS and RBAC.

They are started with what Talos starts them with (reference talos-api 6.6) where that matters to a client: nobody is let in
without a certificate, Node and RBAC authorize, NodeRestriction admits. Objects are stored as JSON, so that their age can be
told (kubernetes_objects_real.py).
"""

from __future__ import annotations

import itertools
import json
import os
import ssl

from cryptography import x509

from tests.bed import pki
from tests.bed.programs import Ended, Programs, free_ports
from tests.simulator.etcd_keys import Keys, Place
from tests.simulator.kubernetes import kubeconfig
from tests.simulator.kubernetes_client import Api
from tests.simulator.kubernetes_rbac import MASTERS, READERS
from tests.tools import programs

HOST = '127.0.0.1'
MANAGER = 'system:kube-controller-manager'
# What is a scenario's own; all else stays from one to the next.
KEYS = tuple(f'/registry/{name}' for name in (
    'minions/', 'pods/', 'events/', 'certificatesigningrequests/', 'leases/kube-node-lease/', 'leases/kube-system/talosops', 'daemonsets/', 'deployments/',
    'persistentvolumes/', 'volumeattachments/', 'validatingadmissionpolicies/', 'validatingadmissionpolicybindings/'))
_CONTROLLERS = ('certificatesigningrequest-signing-controller', 'node-lifecycle-controller')
_LOOKS_EVERY = 0.25
_STARTS = 3  # a port that was free may be taken when it is wanted
# Who the bed itself is to the API.
BED = 'bed'
_AUDIT = {'apiVersion': 'audit.k8s.io/v1', 'kind': 'Policy', 'omitStages': ['ResponseStarted', 'ResponseComplete', 'Panic'], 'rules': [
    {'level': 'None', 'users': [BED, MANAGER, 'system:apiserver']},
    {'level': 'None', 'userGroups': ['system:nodes', 'system:bootstrappers', 'system:serviceaccounts']},
    {'level': 'None', 'resources': [{'group': 'authorization.k8s.io'}]},
    {'level': 'Metadata', 'verbs': ['create', 'update', 'patch', 'delete', 'deletecollection']}, {'level': 'None'}]}


class ControlPlane:
    """Context manager. C(etcd) is a L(etcd_keys.Place), None for one member of its own; C(grace): so many seconds a Node may be silent,
    None for Kubernetes's default.
    """

    def __init__(self, etcd=None, grace=None):
        self.etcd = etcd
        self.grace = grace
        self.authority = pki.Authority('kubernetes', key='ecdsa')
        self.store = self.server = self.manager = self.port = None
        self._programs = Programs('talos-kubernetes-')
        self._names = None
        self._resets = itertools.count()

    def __enter__(self):
        self._programs.__enter__()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc):
        self._programs.__exit__()

    @property
    def place(self):
        """Where the API server listens, as (host, port)."""
        return HOST, self.port

    @property
    def directory(self):
        return self._programs.directory

    def _start(self):
        if self.etcd is None:
            self._start_etcd()
        self._write('ca.crt', self.authority.pem)
        self._write('ca.key', self.authority.key_pem)
        self._write('etcd-ca.crt', self.etcd.authority.pem)
        self._keep('etcd-client', self.etcd.client)
        self._keep('to-kubelet', self.authority.issue('apiserver-kubelet-client', [MASTERS], usages=[pki.CLIENT_AUTH], hours=24 * 365))
        self._write('accounts.key', pki.Authority('accounts', key='rsa').key_pem)
        self._write('audit.yaml', json.dumps(_AUDIT).encode())
        self._serves(('localhost',), (HOST,))
        for attempt in range(1, _STARTS + 1):
            try:
                self.start_server(*free_ports(1, HOST))
                break
            except Ended:
                if attempt == _STARTS or 'address already in use' not in self.server.said():
                    raise
        self._prepare()
        self.control()

    def _start_etcd(self):
        client, peer = free_ports(2, HOST)
        authority = pki.Authority('etcd', key='ecdsa')
        usages = [pki.SERVER_AUTH, pki.CLIENT_AUTH]
        self._write('etcd-own-ca.crt', authority.pem)
        self._keep('etcd', authority.issue('etcd', dns=['localhost'], ips=[HOST], usages=usages, hours=24 * 365))
        own = f'https://{HOST}:{client}', f'https://{HOST}:{peer}'
        files = {'cert-file': 'etcd.crt', 'key-file': 'etcd.key', 'trusted-ca-file': 'etcd-own-ca.crt'}
        self.store = self._programs.start('etcd', [programs.path('etcd'), *_flags({
            'name': 'one', 'data-dir': 'etcd', 'listen-client-urls': own[0], 'advertise-client-urls': own[0], 'listen-peer-urls': own[1],
            'initial-advertise-peer-urls': own[1], 'initial-cluster': f'one={own[1]}', 'client-cert-auth': 'true', 'peer-client-cert-auth': 'true', **files,
            **{f'peer-{name}': value for name, value in files.items()}, 'unsafe-no-fsync': 'true', 'logger': 'zap', 'log-level': 'warn'})])
        self.etcd = Place(((HOST, client),), authority, authority.issue('kube-apiserver', usages=[pki.CLIENT_AUTH], hours=24 * 365))
        self.store.wait(lambda: self._with_keys(lambda keys: keys.below('/registry/none/') == []))

    def start_server(self, port=None):
        """Start kube-apiserver, where it ended at the port that it had."""
        self.port = port or self.port
        self.server = self._programs.start('kube-apiserver', [programs.path('kube-apiserver'), *_flags({
            'etcd-servers': ','.join(f'https://{host}:{port}' for host, port in self.etcd.members), 'etcd-cafile': 'etcd-ca.crt',
            'etcd-certfile': 'etcd-client.crt', 'etcd-keyfile': 'etcd-client.key', 'storage-media-type': 'application/json',
            'bind-address': HOST, 'secure-port': self.port, 'advertise-address': HOST, 'endpoint-reconciler-type': 'none',
            'tls-cert-file': 'server.crt', 'tls-private-key-file': 'server.key', 'client-ca-file': 'ca.crt', 'anonymous-auth': 'false',
            'authorization-mode': 'Node,RBAC', 'enable-admission-plugins': 'NodeRestriction', 'allow-privileged': 'true', 'profiling': 'false',
            'service-account-issuer': 'https://kubernetes.default.svc', 'service-account-key-file': 'accounts.key',
            'service-account-signing-key-file': 'accounts.key', 'service-cluster-ip-range': '10.96.0.0/12',
            'kubelet-certificate-authority': 'ca.crt', 'kubelet-client-certificate': 'to-kubelet.crt', 'kubelet-client-key': 'to-kubelet.key',
            'kubelet-preferred-address-types': 'InternalIP', 'proxy-client-cert-file': 'to-kubelet.crt',
            'proxy-client-key-file': 'to-kubelet.key', 'requestheader-client-ca-file': 'ca.crt', 'requestheader-allowed-names': 'front-proxy-client',
            'audit-policy-file': 'audit.yaml', 'audit-log-path': 'audit.log'})], {'PATH': os.defpath})
        self.admin = self.api(BED)
        self.server.wait(lambda: self.admin.call('GET', '/readyz') == (200, 'ok'))

    def control(self, controllers=_CONTROLLERS):
        """Start kube-controller-manager, anew where it runs."""
        if self.manager is not None and self.manager.runs:
            self.manager.stop()
        client = self.authority.issue(MANAGER, usages=[pki.CLIENT_AUTH], hours=24 * 365)
        self._write('manager.yaml', kubeconfig('bed', f'https://{HOST}:{self.port}', self.authority, client, MANAGER).encode())
        silent = {'node-monitor-grace-period': f'{self.grace}s'} if self.grace else {}
        self.manager = self._programs.start('kube-controller-manager', [programs.path('kube-controller-manager'), *_flags({
            'kubeconfig': 'manager.yaml', 'bind-address': HOST, 'secure-port': 0, 'leader-elect': 'false', 'controllers': ','.join(controllers),
            'use-service-account-credentials': 'true', 'service-account-private-key-file': 'accounts.key', 'root-ca-file': 'ca.crt',
            'cluster-signing-cert-file': 'ca.crt', 'cluster-signing-key-file': 'ca.key', 'node-eviction-rate': 100, 'secondary-node-eviction-rate': 100,
            'node-monitor-period': f'{_LOOKS_EVERY}s', 'profiling': 'false', **silent})], {'PATH': os.defpath})
        self.manager.wait(lambda: self.manager.log().count('"Caches are synced"') > len(controllers))

    def api(self, user='admin', groups=(MASTERS,), **dates):
        """A way to the API for somebody; C(dates) are those of the certificate."""
        return Api(self.port, self.authority, self.authority.issue(user, groups, usages=[pki.CLIENT_AUTH], hours=24 * 365, **dates))

    def certify(self, dns, ips):
        """Serve a certificate for these names, beside the loopback's."""
        names = tuple(sorted({*dns, 'localhost'})), tuple(sorted({*ips, HOST}))
        if names != self._names:
            served = self._serves(*names)
            self.server.wait(lambda: x509.load_pem_x509_certificate(ssl.get_server_certificate((HOST, self.port)).encode()) == served)

    def _serves(self, dns, ips):
        self._names = tuple(dns), tuple(ips)
        identity = self.authority.issue('kube-apiserver', ['kube-master'], dns=dns, ips=ips, hours=24 * 365)
        self._keep('server', identity)
        return identity.certificate

    def reset(self):
        """Everything that a scenario brought, or a test made, is gone, and the controller manager has noticed: it would take the next
        Node of a name for the one before. It has, once it greets a Node that came after that."""
        self._with_keys(lambda keys: keys.delete(KEYS))
        name = f'reset-{next(self._resets)}'
        self.admin.ask('POST', '/api/v1/nodes', {'metadata': {'name': name}})
        greeted = f'/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3D{name}%2Creason%3DRegisteredNode'
        self.manager.wait(lambda: self.admin.get(greeted)['items'])
        self._with_keys(lambda keys: keys.delete(KEYS))

    def _with_keys(self, act):
        keys = self.keys()
        try:
            return act(keys)
        finally:
            keys.close()

    def compact(self):
        """etcd forgets the past, as it does every five minutes for an API server."""
        self._with_keys(lambda keys: keys.compact())

    def keys(self):
        """What etcd holds. Close it."""
        return Keys(*self.etcd.members[0], self.etcd.authority, self.etcd.client)

    def writes(self):
        """What users ask from now on that changes something: a L(Writes)."""
        return Writes(self.directory / 'audit.log')

    def _prepare(self):
        """What Talos gives every cluster for its kubelets, and an administrator to those who only read."""
        for name, group, role in (('system-bootstrap-node-bootstrapper', 'system:bootstrappers', 'system:node-bootstrapper'), ('readers', READERS, READERS)):
            if role == READERS:
                self.admin.ask('POST', '/apis/rbac.authorization.k8s.io/v1/clusterroles', {'metadata': {'name': READERS}, 'rules': _READERS_MAY})
            self.admin.ask('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
                'metadata': {'name': name}, 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': role},
                'subjects': [{'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'Group', 'name': group}]})

    def _keep(self, name, identity):
        """The key before the certificate: what reads both anew reads them again after the second."""
        self._write(f'{name}.key', identity.key_pem)
        self._write(f'{name}.crt', identity.pem)

    def _write(self, name, data):
        path = self.directory / f'{name}.new'
        path.touch(mode=0o600)
        path.write_bytes(data)
        path.replace(self.directory / name)


class Writes:
    """What users asked that changes something, refused or not, as the audit log has it before it is done: "verb resource/subresource name"."""

    def __init__(self, path):
        self._path = path
        self.clear()

    def clear(self):
        """Those until now are forgotten."""
        self._from = self._path.stat().st_size if self._path.exists() else 0

    def __iter__(self):
        if not self._path.exists():
            return
        with open(self._path, encoding='utf-8') as file:
            file.seek(self._from)
            for line in file:
                said = json.loads(line)
                about = said['objectRef']
                resource = '/'.join(filter(None, (about['resource'], about.get('subresource'))))
                yield f'{said["verb"]} {resource} {about.get("name", "")}'.rstrip()


_READERS_MAY = [
    {'apiGroups': [''], 'resources': ['nodes', 'pods', 'events', 'namespaces', 'persistentvolumes'], 'verbs': ['get', 'list', 'watch']},
    {'apiGroups': ['apps'], 'resources': ['daemonsets', 'deployments'], 'verbs': ['get', 'list', 'watch']},
    {'apiGroups': ['certificates.k8s.io'], 'resources': ['certificatesigningrequests'], 'verbs': ['get', 'list', 'watch']},
    {'apiGroups': ['coordination.k8s.io'], 'resources': ['leases'], 'verbs': ['get', 'list', 'watch']},
    {'apiGroups': ['storage.k8s.io'], 'resources': ['volumeattachments'], 'verbs': ['get', 'list', 'watch']},
]


def _flags(given):
    return [f'--{name}={value}' for name, value in given.items()]
