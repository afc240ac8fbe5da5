# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine configuration of a machine: the documents it has, and those that are active, saved, or on trial (talos-api 7)."""

from __future__ import annotations

import base64
import hashlib

import yaml

from tests.simulator import config_documents as documents
from tests.simulator import setup

_DOCUMENTS_SINCE = 12
_MORE_DOCUMENTS_SINCE = 14
_EVERY_NODE_PERSISTS_SINCE = 10
_DEFAULT_QUOTA_MB = 2048
_ADMISSION = yaml.safe_load("""
admissionControl:
  - name: PodSecurity
    configuration:
      apiVersion: pod-security.admission.config.k8s.io/v1alpha1
      defaults: {audit: restricted, audit-version: latest, enforce: baseline, enforce-version: latest, warn: restricted, warn-version: latest}
      exemptions: {namespaces: [kube-system], runtimeClasses: [], usernames: []}
      kind: PodSecurityConfiguration
auditPolicy: {apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}
""")


class MachineConfig:
    """C(active) is in force, C(saved) what the next boot takes, both lists of documents.

    C(persistent): whether C(saved) shows as a resource, which it does from 1.10 on once a configuration was saved since
    the boot. C(booted) is what was active when etcd started. C(versions) counts the changes of each resource. C(asked) has
    the mode of each ApplyConfiguration that was no dry run, whatever became of it.
    """

    def __init__(self, node):
        self._node = node
        self.active = self.saved = self.booted = documents.normalized(_generated(node))
        self.persistent = False
        self.rebooting = False
        self.versions = {'v1alpha1': 1, 'persistent': 1}
        self.changed_at = {}
        self.asked = []
        self._trial = 0

    @property
    def v1alpha1(self):
        return documents.v1alpha1(self.active) or {}

    @property
    def machine(self):
        return self.v1alpha1.get('machine') or {}

    @property
    def cluster(self):
        return self.v1alpha1.get('cluster') or {}

    def document(self, kind):
        """The active document of a kind, None without one."""
        return next((one for one in self.active if one.get('kind') == kind), None)

    @property
    def kubelet_arguments(self):
        return _arguments((self.machine.get('kubelet') or {}).get('extraArgs'))

    @property
    def api_server_arguments(self):
        return _arguments((self.cluster.get('apiServer') or {}).get('extraArgs'))

    @property
    def etcd_arguments(self):
        """Those that etcd runs with: {name: value}."""
        return _first(_etcd_arguments(documents.v1alpha1(self.booted)))

    @property
    def etcd_configured(self):
        """Those that the configuration asks for: {name: [values]}; in force after a reboot (talos-api 7.2)."""
        return _etcd_arguments(self.v1alpha1)

    @property
    def unknown_kubelet_flag(self):
        return next((name for name in self.kubelet_arguments if name not in documents.KUBELET_FLAGS), None)

    @property
    def unknown_etcd_flag(self):
        return next((name for name in self.etcd_arguments if name not in documents.ETCD_FLAGS and not name.startswith('experimental-')), None)

    def activate(self, config):
        self._trial += 1
        self._set('active', 'v1alpha1', config)

    def save(self, config):
        self._set('saved', 'persistent', config)
        self.persistent = self._node.minor >= _EVERY_NODE_PERSISTS_SINCE

    def try_out(self, config, seconds):
        """Active, and after so many seconds what was active before again."""
        before = self.active
        self.activate(config)
        trial = self._trial

        def revert():
            if trial == self._trial:
                self.activate(before)

        self._node.model.timeline.later(seconds / self._node.model.timeline.pace, revert)

    def keep(self):
        """A configuration that is on trial stays: what every call but another trial does (talos-api 5.5)."""
        self._trial += 1

    def boot(self):
        self._trial += 1
        self.active = self.booted = self.saved
        self.persistent = self.rebooting = False
        self.versions = {'v1alpha1': 1, 'persistent': 1}

    def _set(self, attribute, resource_id, config):
        if getattr(self, attribute) != config or resource_id == 'persistent' and not self.persistent:
            before = self._node.san_dns, self._node.san_ips
            setattr(self, attribute, config)
            self.versions[resource_id] += 1
            self.changed_at[resource_id] = self._node.model.clock.now()
            if (self._node.san_dns, self._node.san_ips) != before:
                self._node.certificate_since = self._node.model.clock.now()
            self._node.model.changed()


def _arguments(given):
    """{name: [values]} of an extraArgs mapping, whose values are texts, from 1.13 on lists of them too."""
    return {name: [str(item) for item in value] if isinstance(value, list) else [str(value)] for name, value in (given or {}).items()}


def _first(arguments):
    return {name: values[0] for name, values in arguments.items() if values}


def _etcd_arguments(config):
    return _arguments((((config or {}).get('cluster') or {}).get('etcd') or {}).get('extraArgs'))


def _generated(node):
    """The configuration of a machine that this scenario describes, as talosctl would have generated it."""
    model, cp = node.model, node.control_plane
    network, kubernetes = model.state['network'], model.state['versions']['kubernetes']
    told = model.state['machine_config'] or {}
    own = told.get(node.name) or {}
    kubelet_arguments = {**(told.get('kubelet_extra_args') or {}), **(own.get('kubelet_extra_args') or {})}
    api_server_arguments = {**(told.get('apiserver_extra_args') or {}), **(own.get('apiserver_extra_args') or {})}
    etcd_arguments = {**(told.get('etcd_extra_args') or {}), **(own.get('etcd_extra_args') or {})}
    if model.state['etcd']['quota_mb'] != _DEFAULT_QUOTA_MB:
        etcd_arguments.setdefault('quota-backend-bytes', str(int(model.state['etcd']['quota_mb'] * 1024 * 1024)))
    machine = {
        'type': node.type,
        'token': f'{_token(model, "machine", 6)}.{_token(model, "machine token", 16)}',
        'ca': _pair(model.talos_authority, cp),
        'certSANs': [],
        'kubelet': {
            'image': f'ghcr.io/siderolabs/kubelet:{kubernetes}', 'extraArgs': kubelet_arguments,
            'defaultRuntimeSeccompProfileEnabled': True, 'disableManifestsDirectory': True,
        },
        'network': {'interfaces': [{'interface': 'eth0', 'vip': {'ip': model.vip}}]} if cp and model.vip else {},
        'install': {'disk': '/dev/vda', 'image': f'ghcr.io/siderolabs/installer:{node.talos}', 'wipe': False,
                    **({'grubUseUKICmdline': True} if node.minor >= _DOCUMENTS_SINCE else {})},
        'features': {
            'diskQuotaSupport': True, 'kubePrism': {'enabled': True, 'port': 7445},
            'hostDNS': {'enabled': True, 'forwardKubeDNSToHost': True},
        },
        'nodeLabels': {'node.kubernetes.io/exclude-from-external-load-balancers': ''} if cp else {},
    }
    cluster = {
        'id': model.cluster_id, 'secret': base64.b64encode(model.encryption_key).decode(),
        'controlPlane': {'endpoint': network['endpoint']}, 'clusterName': model.name,
        'network': {'cni': {'name': network['cni']} if network['cni'] != 'flannel' else {}, 'dnsDomain': 'cluster.local',
                    'podSubnets': list(network['pod']), 'serviceSubnets': list(network['service'])},
        'token': f'{_token(model, "cluster", 6)}.{_token(model, "cluster token", 16)}',
        'ca': _pair(model.kubernetes_authority, cp),
    }
    discovery = {'enabled': True, 'registries': {'kubernetes': {'disabled': True}, 'service': {}}}
    if cp:
        cluster |= {
            'secretboxEncryptionSecret': base64.b64encode(_digest(model, 'secretbox')).decode(),
            'aggregatorCA': _pair(model.kubernetes_authority, True),
            'serviceAccount': {'key': base64.b64encode(model.kubernetes_authority.key_pem).decode()},
            'apiServer': {'image': f'registry.k8s.io/kube-apiserver:{kubernetes}', 'extraArgs': api_server_arguments, **_ADMISSION},
            'controllerManager': {'image': f'registry.k8s.io/kube-controller-manager:{kubernetes}'},
            'proxy': {'image': f'registry.k8s.io/kube-proxy:{kubernetes}'},
            'scheduler': {'image': f'registry.k8s.io/kube-scheduler:{kubernetes}'},
            'discovery': discovery,
            'etcd': {'ca': _pair(model.kubernetes_authority, True), 'extraArgs': etcd_arguments},
            'allowSchedulingOnControlPlanes': False,
        }
    cluster.setdefault('discovery', discovery)
    machine, cluster = setup.merged(machine, setup.machine_part(node)), setup.merged(cluster, setup.cluster_part(node))
    v1alpha1 = {'version': 'v1alpha1', 'debug': False, 'persist': True, 'machine': machine, 'cluster': cluster}
    others = {'HostnameConfig': {'auto': 'stable'}} if node.minor >= _DOCUMENTS_SINCE else {}
    if node.minor >= _MORE_DOCUMENTS_SINCE:
        others |= _moved(node, machine, cluster)
    return [v1alpha1, *({'apiVersion': 'v1alpha1', 'kind': kind, **told} for kind, told in others.items()), *setup.documents(node)]


def _moved(node, machine, cluster):
    """What stands in documents of its own from 1.14 on, taken out of v1alpha1; Kubernetes' components stay, as after an upgrade."""
    features, (endpoint, discovers) = machine['features'], setup.discovery_endpoint(node)
    prism = features.pop('kubePrism')
    del cluster['discovery']
    return {
        'DiscoveryIdentityConfig': {'clusterID': cluster.pop('id'), 'clusterSecret': cluster.pop('secret')},
        **({'DiscoveryServiceConfig': {'name': 'default', 'endpoint': f'https://{endpoint.removesuffix(":443")}/'}} if discovers else {}),
        **({'KubePrismConfig': {'port': prism['port']}} if prism['enabled'] else {}),
        'ResolverConfig': {'hostDNS': features.pop('hostDNS')},
    }


def _pair(authority, with_key):
    return {'crt': base64.b64encode(authority.pem).decode(), 'key': base64.b64encode(authority.talos_key_pem).decode() if with_key else ''}


def _digest(model, what):
    return hashlib.sha256(f'{what}/{model.seed}'.encode()).digest()


def _token(model, what, length):
    return _digest(model, what).hex()[:length]
