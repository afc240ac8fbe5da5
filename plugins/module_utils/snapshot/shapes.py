# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of answers that hold secrets, or far more than anybody judges (design, "The snapshot as a file").

Each shape is C(shape(value, mark)), where C(value) is what a read gave and C(mark(text)) replaces a secret by a mark
that is equal for equal secrets. It runs before anything is kept.
"""

from __future__ import annotations

import base64

from ansible_collections.talosops.talos.plugins.module_utils.api import certificate
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError

try:
    import yaml
except ImportError:
    yaml = None

# Where a machine has hundreds of mounts that come and go with containers.
_PASSING_MOUNTS = ('/run/containerd/', '/run/netns/', '/var/lib/kubelet/pods/', '/var/lib/containerd/', '/sys/', '/proc/')
# Of a v1alpha1 document: what checks and remedies judge by. Nothing under these paths is a secret.
_MACHINE = ('type', 'certSANs', 'nodeLabels', 'time', 'sysctls')
_CLUSTER = ('controlPlane', 'allowSchedulingOnControlPlanes', 'externalCloudProvider', 'network', 'proxy')
_COMPONENTS = ('apiServer', 'controllerManager', 'scheduler', 'etcd')
_COMPONENT = ('image', 'extraArgs', 'certSANs', 'disabled', 'advertisedSubnets', 'listenSubnets', 'subnet')
_KUBELET = ('image', 'extraArgs', 'nodeIP', 'registerWithFQDN', 'skipNodeRegistration', 'clusterDNS')
_FEATURES = ('kubePrism', 'hostDNS', 'imageCache')
# Documents that are kept whole, but for fields in which a secret may stand.
_HIDDEN = ('env', 'encryption', 'backendExtraConfig', 'admissionControl', 'credentialProviderConfig')
_OPEN_DOCUMENTS = ('HostnameConfig', 'TimeSyncConfig', 'ResolverConfig', 'StaticHostConfig', 'LinkConfig', 'DHCPv4Config', 'DHCPv6Config', 'VLANConfig',
                   'BondConfig', 'BridgeConfig', 'Layer2VIPConfig', 'NetworkDefaultActionConfig', 'NetworkRuleConfig', 'KubePrismConfig', 'KubeletConfig',
                   'KubeNodeConfig', 'KubeNetworkConfig', 'KubeFlannelCNIConfig', 'KubeAPIServerConfig', 'KubeControllerManagerConfig', 'KubeSchedulerConfig',
                   'KubeClusterConfig', 'DiscoveryServiceConfig', 'RegistryMirrorConfig', 'VolumeConfig', 'UserVolumeConfig', 'WatchdogTimerConfig',
                   'OOMConfig')


def processors(value, mark):
    """CPUInfo without the flags of each processor: {cpu_info: [{model_name, cpu_mhz}]}."""
    return {'cpu_info': [{name: cpu.get(name) for name in ('model_name', 'cpu_mhz')} for cpu in value.get('cpu_info') or []]}


def text(messages, mark):
    """A file that came in parts, as text."""
    return b''.join(message.get('bytes') or b'' for message in messages).decode('utf-8', 'replace')


def directories(messages, mark):
    """DiskUsage as [{name, size}], without what could not be looked at."""
    return [{'name': message.get('name'), 'size': message.get('size')} for message in messages if not message.get('error')]


def mounts(value, mark):
    """Mounts without those that containers, namespaces and pods bring: {stats: [{filesystem, size, available, mounted_on}]}."""
    return {'stats': [mount for mount in value.get('stats') or [] if not str(mount.get('mounted_on')).startswith(_PASSING_MOUNTS)]}


def static_pods(items, mark):
    """The specs of StaticPods: {containers: [{name, image, command}]} of the Pod, whose environment may hold anything."""
    return [{**item, 'spec': {'containers': [{'name': container.get('name'), 'image': container.get('image'),
                                              'command': [*(container.get('command') or []), *(container.get('args') or [])]}
                                             for container in ((item.get('spec') or {}).get('spec') or {}).get('containers') or []]}}
            for item in items]


def manifests(items, mark):
    """The specs of Manifests: {objects: [{kind, namespace, name}]}; one of them is the bootstrap token's Secret."""
    return [{**item, 'spec': {'objects': [_object(each) for each in _list(item.get('spec'))]}} for item in items]


def machine_configs(items, mark):
    """The specs of MachineConfigs: {digest, documents, v1alpha1, others}.

    C(digest) is a mark of the whole text, so that v1alpha1 and persistent can be compared; C(documents) are the kinds
    of all documents, C(v1alpha1) and C(others) ({kind: [document]}) what of them is no secret. Of certificate authorities
    v1alpha1 has C(authorities), {path: not after}, and C(accepted), {path: how many further ones are accepted}.
    """
    return [{**item, 'spec': _machine_config(item.get('spec'), mark)} for item in items]


def _machine_config(config, mark):
    """C(config) is a text, or one document where Talos gives no more (talos-api 6.2: up to 1.11)."""
    documents = _documents(config)
    kept = {'digest': mark(config or ''), 'documents': [document.get('kind') or 'v1alpha1' for document in documents], 'v1alpha1': {}, 'others': {}}
    for document in documents:
        kind = document.get('kind')
        if kind is None:
            machine, cluster = document.get('machine') or {}, document.get('cluster') or {}
            kept['v1alpha1'] = {'machine': _machine(machine), 'cluster': _cluster(cluster), 'authorities': _authorities(machine, cluster),
                                'accepted': {'machine': len(_list(machine.get('acceptedCAs'))), 'cluster': len(_list(cluster.get('acceptedCAs')))}}
        elif kind in _OPEN_DOCUMENTS:
            kept['others'].setdefault(kind, []).append(_without_hidden(document))
    return kept


def _documents(config):
    if isinstance(config, dict):
        return [config]
    try:
        found = list(yaml.load_all(config or '', Loader=getattr(yaml, 'CSafeLoader', yaml.SafeLoader)))
    except (yaml.YAMLError, ValueError, TypeError, AttributeError):
        return []
    return [document for document in found if isinstance(document, dict)]


def _without_hidden(value):
    if isinstance(value, dict):
        return {name: _without_hidden(item) for name, item in value.items() if name not in _HIDDEN}
    return [_without_hidden(item) for item in value] if isinstance(value, list) else value


def _machine(machine):
    network = machine.get('network') or {}
    return {
        **_only(machine, _MACHINE),
        'install': _only(machine.get('install') or {}, ('disk', 'image')),
        'kubelet': _only(machine.get('kubelet') or {}, _KUBELET),
        'features': _only(machine.get('features') or {}, _FEATURES),
        'network': {'hostname': network.get('hostname'), 'nameservers': network.get('nameservers'),
                    'kubespan': {'enabled': bool((network.get('kubespan') or {}).get('enabled'))},
                    'vips': _vips(_list(network.get('interfaces')))},
        'registries': {'mirrors': {host: (mirror or {}).get('endpoints') for host, mirror in
                                   (((machine.get('registries') or {}).get('mirrors')) or {}).items()}},
    }


def _authorities(machine, cluster):
    """{path in the configuration: when that certificate authority ends}; of one that cannot be read there is nothing to say."""
    found = {'machine.ca': machine.get('ca'), 'cluster.ca': cluster.get('ca'), 'cluster.aggregatorCA': cluster.get('aggregatorCA'),
             'cluster.etcd.ca': (cluster.get('etcd') or {}).get('ca')}
    ends = {path: _ends(ca.get('crt')) for path, ca in found.items() if isinstance(ca, dict)}
    return {path: end for path, end in ends.items() if end}


def _ends(encoded):
    try:
        return certificate.pem_facts(base64.b64decode(encoded or ''))['not_after']
    except (ValueError, TypeError, TalosError):
        return None


def _vips(interfaces):
    """The VIPs of interfaces and of their VLANs (talos-api 6.4)."""
    links = [link for interface in interfaces for link in (interface, *_list(interface.get('vlans')))]
    return [link['vip'].get('ip') for link in links if isinstance(link.get('vip'), dict)]


def _cluster(cluster):
    discovery = cluster.get('discovery') or {}
    return {
        **_only(cluster, _CLUSTER),
        'clusterName': cluster.get('clusterName'),
        'coreDNS': _only(cluster.get('coreDNS') or {}, ('disabled',)),
        'discovery': {'enabled': discovery.get('enabled'), 'registries': {
            name: _only(registry or {}, ('disabled', 'endpoint')) for name, registry in (discovery.get('registries') or {}).items()}},
        **{name: _only(cluster.get(name) or {}, _COMPONENT) for name in _COMPONENTS},
    }


def _object(document):
    metadata = document.get('metadata') or {}
    return {'kind': document.get('kind'), 'namespace': metadata.get('namespace'), 'name': metadata.get('name')}


def _list(value):
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _only(mapping, names):
    return {name: mapping[name] for name in names if name in mapping}
