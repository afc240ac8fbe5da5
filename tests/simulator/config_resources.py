# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The COSI resources that follow from a machine's configuration (talos-api 6.2, 6.5, 6.6), as recorded."""

from __future__ import annotations

import ipaddress

from tests.simulator import config_documents as documents
from tests.simulator import go_yaml, kubernetes_resources
from tests.simulator.kubernetes_resources import values as _values
from tests.simulator.resource import Resource

_TEXT_SINCE = 12
_PSP_UNTIL = 11
_FINAL_SINCE = 14
_STATIC_PODS = 'http://127.0.0.1:36519'
_WILDCARDS = ((4, '0.0.0.0/0'), (6, '::/0'))


def machine_configs(node):
    """From 1.12 on YAML shows the text as one scalar; C(persistent) only after something was saved (talos-api 6.2)."""
    config = node.config
    shown = [('v1alpha1', config.active)] + ([('persistent', config.saved)] if config.persistent else [])
    return [_machine_config(node, resource_id, documents.text(listed)) for resource_id, listed in shown]


def _machine_config(node, resource_id, text):
    config, as_text = node.config, node.minor >= _TEXT_SINCE
    shown = go_yaml.dump(text) if as_text else text
    return Resource(resource_id, '', None, version=config.versions[resource_id], updated_at=config.changed_at.get(resource_id), yaml=shown,
                    proto={'yaml': text.encode()}, annotations={'talos.dev/yaml-spec': '1'} if as_text else {})


def _one(node, resource_id, owner, spec, proto=None):
    """A resource that follows from the configuration: its version counts the changes of that."""
    changes = node.config.versions['v1alpha1']
    return [Resource(resource_id, owner, spec, version=changes, updated_at=node.config.changed_at.get('v1alpha1'), proto=proto or {})]


def etcd_configs(node):
    if not node.control_plane:
        return []
    etcd = node.config.cluster.get('etcd') or {}
    spec = {'advertiseValidSubnets': etcd.get('advertisedSubnets'), 'advertiseExcludeSubnets': [node.model.vip] if node.model.vip else [],
            'listenValidSubnets': etcd.get('listenSubnets'), 'listenExcludeSubnets': [],
            'image': _etcd_image(node), 'extraArgs': _values(node, node.config.etcd_configured)}
    return _one(node, 'etcd', 'etcd.ConfigController', {key: value for key, value in spec.items() if value is not None})


def _etcd_image(node):
    default = 'registry.k8s.io/etcd' if node.minor >= 12 else 'gcr.io/etcd-development/etcd'
    return (node.config.cluster.get('etcd') or {}).get('image') or f'{default}:v{node.etcd_version}'


def etcd_specs(node):
    """What etcd is started with the next time: none without an address that it may advertise (talos-api 6.5)."""
    etcd = node.config.cluster.get('etcd') or {}
    advertised = _filtered(_own(node), etcd.get('advertisedSubnets') or [])
    if not node.control_plane or not advertised:
        return []
    wildcard = ['::' if ':' in advertised[0] else '0.0.0.0']
    listened = _filtered(_own(node), etcd['listenSubnets']) if etcd.get('listenSubnets') else None
    return _one(node, 'etcd', 'etcd.SpecController', {
        'name': node.short_name, 'advertisedAddresses': advertised if etcd.get('advertisedSubnets') else advertised[:1],
        'listenPeerAddresses': wildcard if listened is None else listened,
        'listenClientAddresses': wildcard if listened is None else ['127.0.0.1', *listened],
        'image': _etcd_image(node), 'extraArgs': _values(node, node.config.etcd_configured)})


def _own(node):
    """The machine's addresses without those of Kubernetes and without the VIP."""
    return [address for address in (prefix.split('/')[0] for prefix in node.routed_no_k8s) if address != node.model.vip]


def _filtered(addresses, subnets):
    """Those in a subnet that is wanted, or in any where none is, and in none that is excluded with C(!)."""
    wanted = [ipaddress.ip_network(one, strict=False) for one in subnets if not one.startswith('!')]
    excluded = [ipaddress.ip_network(one[1:], strict=False) for one in subnets if one.startswith('!')]
    return [text for text in addresses
            if (not wanted or any(ipaddress.ip_address(text) in network for network in wanted))
            and not any(ipaddress.ip_address(text) in network for network in excluded)]


def node_ip_configs(node):
    """The VIP stands there as a bare address, on the control plane only: its configuration is (rec)."""
    network = node.model.state['network']
    excluded = [*network['pod'], *network['service'], *([node.model.vip] if node.model.vip and node.control_plane else [])]
    return _one(node, 'kubelet', 'k8s.NodeIPConfigController', {'validSubnets': _valid_subnets(node) or _wildcards(node), 'excludeSubnets': excluded})


def _wildcards(node):
    """What is valid where nothing is configured: every address of the families that services have."""
    families = {ipaddress.ip_network(cidr, strict=False).version for cidr in node.model.state['network']['service']}
    return [cidr for version, cidr in _WILDCARDS if version in families]


def _valid_subnets(node):
    return ((node.config.machine.get('kubelet') or {}).get('nodeIP') or {}).get('validSubnets') or []


def node_ips(node):
    """The first of each family that the configuration's subnets leave; what the scenario says that kubelet took, as long as none are configured."""
    told = node.given.get('node_ip')
    addresses = _filtered(_own(node), _valid_subnets(node) or _wildcards(node)) if _valid_subnets(node) or not told else [told]
    order = [':' in cidr for cidr in node.model.state['network']['service']]
    chosen = [one for one in (next((address for address in addresses if (':' in address) == six), None) for six in dict.fromkeys([*order, False, True])) if one]
    return _one(node, 'kubelet', 'k8s.NodeIPController', {'addresses': chosen}) if chosen else []


def kubelet_configs(node):
    kubelet = node.config.machine.get('kubelet') or {}
    service = ipaddress.ip_network(node.model.state['network']['service'][0], strict=False)
    arguments = _values(node, node.config.kubelet_arguments)
    spec = {
        'image': kubelet.get('image', ''), 'clusterDNS': [str(service.network_address + 10)], 'clusterDomain': 'cluster.local',
        **({'extraArgs': arguments} if arguments else {}), **({'extraConfig': kubelet['extraConfig']} if kubelet.get('extraConfig') else {}),
        'cloudProviderExternal': bool(node.model.setup.get('cloud_provider')),
        'defaultRuntimeSeccompEnabled': bool(kubelet.get('defaultRuntimeSeccompProfileEnabled')),
        'skipNodeRegistration': bool(kubelet.get('skipNodeRegistration')), 'staticPodListURL': _STATIC_PODS,
        'disableManifestsDirectory': True, 'enableFSQuotaMonitoring': True,
        'allowSchedulingOnControlPlane': bool(node.model.setup.get('allow_scheduling_on_control_planes')),
    }
    return _one(node, 'kubelet', 'k8s.KubeletConfigController', spec)


def kubelet_specs(node):
    kubelet, addresses = node.config.machine.get('kubelet') or {}, [spec for one in node_ips(node) for spec in one.spec['addresses']]
    service = ipaddress.ip_network(node.model.state['network']['service'][0], strict=False)
    arguments = {
        'bootstrap-kubeconfig': ['/etc/kubernetes/bootstrap-kubeconfig'], 'cert-dir': ['/var/lib/kubelet/pki'],
        'config': ['/etc/kubernetes/kubelet.yaml'], 'hostname-override': [node.nodename], 'kubeconfig': ['/etc/kubernetes/kubeconfig-kubelet'],
        **({'cloud-provider': ['external']} if node.model.setup.get('cloud_provider') else {}),
        **({'node-ip': [','.join(addresses)]} if addresses else {}), **node.config.kubelet_arguments,
    }
    config = go_yaml.load(_KUBELET_CONFIG)
    config |= {'clusterDNS': [str(service.network_address + 10)], 'staticPodURL': _STATIC_PODS}
    if node.control_plane and not node.model.setup.get('allow_scheduling_on_control_planes'):
        config['registerWithTaints'] = [{'effect': 'NoSchedule', 'key': 'node-role.kubernetes.io/control-plane'}]
    if not node.control_plane:
        config['systemReserved']['memory'] = '384Mi'
    config |= kubelet.get('extraConfig') or {}
    return _one(node, 'kubelet', 'k8s.KubeletSpecController', {
        'image': kubelet.get('image', ''), 'args': [f'--{name}={value}' for name in sorted(arguments) for value in arguments[name]],
        'expectedNodename': node.nodename, 'config': dict(sorted(config.items()))})


def api_server_configs(node):
    if not node.control_plane:
        return []
    network, given = node.model.state['network'], node.config.cluster.get('apiServer') or {}
    spec = {
        'image': given.get('image', ''), 'cloudProvider': 'external' if node.model.setup.get('cloud_provider') else '',
        'controlPlaneEndpoint': network['endpoint'],
        'etcdServers': ['https://127.0.0.1:2379'], 'localPort': 6443, 'serviceCIDR': list(network['service']),
        'extraArgs': _values(node, node.config.api_server_arguments), 'extraVolumes': [], 'environmentVariables': {},
        **({'podSecurityPolicyEnabled': False} if node.minor <= _PSP_UNTIL else {}),
        'advertisedAddress': '$(POD_IP)', 'resources': {'requests': {'cpu': '', 'memory': ''}, 'limits': {}},
    }
    if node.minor >= _FINAL_SINCE:
        spec |= {'startupProbesEnabled': False, 'useAuthenticationConfig': False}
    return kubernetes_resources.with_final(node, 'kube-apiserver', 'k8s.ControlPlaneAPIServer', spec, version=node.config.versions['v1alpha1'],
                                           updated_at=node.config.changed_at.get('v1alpha1'))


_KUBELET_CONFIG = """
address: 0.0.0.0
apiVersion: kubelet.config.k8s.io/v1beta1
authentication: {anonymous: {enabled: false}, webhook: {cacheTTL: 0s, enabled: true}, x509: {clientCAFile: /etc/kubernetes/pki/ca.crt}}
authorization: {mode: Webhook, webhook: {cacheAuthorizedTTL: 0s, cacheUnauthorizedTTL: 0s}}
cgroupRoot: /
clusterDomain: cluster.local
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cpuManagerReconcilePeriod: 0s
crashLoopBackOff: {}
evictionPressureTransitionPeriod: 0s
failSwapOn: false
featureGates: {LocalStorageCapacityIsolationFSQuotaMonitoring: true}
fileCheckFrequency: 0s
httpCheckFrequency: 0s
imageMaximumGCAge: 0s
imageMinimumGCAge: 0s
kind: KubeletConfiguration
kubeletCgroups: /podruntime/kubelet
logging: {flushFrequency: 0, format: json, options: {json: {infoBufferSize: "0"}, text: {infoBufferSize: "0"}}, verbosity: 0}
memorySwap: {}
nodeStatusReportFrequency: 0s
nodeStatusUpdateFrequency: 0s
oomScoreAdj: -450
port: 10250
resolvConf: /system/resolved/resolv.conf
rotateCertificates: true
runtimeRequestTimeout: 0s
seccompDefault: true
serializeImagePulls: false
shutdownGracePeriod: 30s
shutdownGracePeriodCriticalPods: 10s
streamingConnectionIdleTimeout: 5m0s
syncFrequency: 0s
systemCgroups: /system
systemReserved: {cpu: 50m, ephemeral-storage: 256Mi, memory: 512Mi, pid: "100"}
tlsMinVersion: VersionTLS13
volumeStatsAggPeriod: 0s
"""
