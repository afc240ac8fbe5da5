# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fields that have moved out of v1alpha1 into documents of their own (talos-api 7.1), pure.

Talos refuses a configuration that has both. So a patch of the field goes to the document where the machine has it, and
stands where it was where it has not.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.remedies.config_yaml import V1ALPHA1, get, mapping, text_node

API_SERVER = 'KubeAPIServerConfig'
# (path in v1alpha1, kind of the document, path there): fields of the same shape in both.
_MOVED = (
    ('cluster.apiServer.certSANs', API_SERVER, 'certExtraSANs'),
    ('cluster.apiServer.image', API_SERVER, 'image'),
    ('cluster.apiServer.extraArgs', API_SERVER, 'extraArgs'),
    ('cluster.controlPlane.localAPIServerPort', API_SERVER, 'apiPort'),
    ('cluster.controllerManager.image', 'KubeControllerManagerConfig', 'image'),
    ('cluster.controllerManager.extraArgs', 'KubeControllerManagerConfig', 'extraArgs'),
    ('cluster.scheduler.image', 'KubeSchedulerConfig', 'image'),
    ('cluster.scheduler.extraArgs', 'KubeSchedulerConfig', 'extraArgs'),
    ('machine.kubelet.nodeIP.validSubnets', 'KubeNodeConfig', 'nodeIP.validSubnets'),
    ('machine.kubelet.registerWithFQDN', 'KubeNodeConfig', 'registerWithFQDN'),
    ('machine.kubelet.skipNodeRegistration', 'KubeNodeConfig', 'skipNodeRegistration'),
    ('machine.kubelet.image', 'KubeletConfig', 'image'),
    ('machine.kubelet.extraArgs', 'KubeletConfig', 'extraArgs'),
    ('machine.kubelet.extraConfig', 'KubeletConfig', 'config'),
    ('cluster.network.podSubnets', 'KubeNetworkConfig', 'podSubnets'),
    ('cluster.network.serviceSubnets', 'KubeNetworkConfig', 'serviceSubnets'),
    ('cluster.network.dnsDomain', 'KubeNetworkConfig', 'dnsDomain'),
    ('cluster.controlPlane.endpoint', 'KubeClusterConfig', 'endpoint'),
    ('cluster.clusterName', 'KubeClusterConfig', 'clusterName'),
    ('machine.time.servers', 'TimeSyncConfig', 'ntp.servers'),
    ('machine.features.hostDNS', 'ResolverConfig', 'hostDNS'),
)
# What says the same in another shape: the patch must name the document itself where the machine has it.
_RESHAPED = (
    ('machine.network.hostname', 'HostnameConfig'),
    ('machine.network.nameservers', 'ResolverConfig'),
    ('machine.network.extraHostEntries', 'StaticHostConfig'),
    ('machine.network.kubespan', 'KubeSpanConfig'),
    ('machine.time.disabled', 'TimeSyncConfig'),
    ('machine.features.kubePrism', 'KubePrismConfig'),
    ('machine.features.kubernetesTalosAPIAccess', 'KubeTalosAPIAccessConfig'),
    ('machine.env', 'EnvironmentConfig'),
    ('cluster.discovery', 'DiscoveryServiceConfig'),
    ('cluster.network.cni', 'KubeFlannelCNIConfig'),
)


def moved(changes, kinds):
    """The documents of a patch for a machine that has documents of these kinds. Raises InputError."""
    found = []
    for change in changes:
        if _get(change, ('kind',)) is not None:
            found.append(change)
            continue
        others = {}
        for path, kind, there in _MOVED:
            if kind in kinds:
                value, change = _take(change, path.split('.'))
                if value is not None:
                    others[kind] = _put(others.get(kind) or _document(kind), there.split('.'), value)
        for path, kind in _RESHAPED:
            if kind in kinds and _get(change, path.split('.')) is not None:
                raise InputError(f'patch changes {path}, and the machine has that in a document {kind}, which Talos does not let stand beside it.',
                                 f'Write a patch of the document {kind}.')
        found += [change, *others.values()] if change.value else others.values()
    return found


def _document(kind):
    return mapping([(text_node('apiVersion'), text_node(V1ALPHA1)), (text_node('kind'), text_node(kind))])


def _get(node, path):
    for key in path:
        node = get(node, key)
    return node


def _take(node, path):
    """C((the value at a path or None, the mapping without it)); mappings that are empty then are left out."""
    head, rest = path[0], path[1:]
    inner = get(node, head)
    if inner is None or not rest:
        return inner, _without(node, head) if inner is not None else node
    value, left = _take(inner, rest)
    if value is None:
        return None, node
    if not left.value:
        return value, _without(node, head)
    return value, mapping([(name, left if name.value == head else item) for name, item in node.value])


def _without(node, key):
    return mapping([(name, item) for name, item in node.value if name.value != key])


def _put(node, path, value):
    head, rest = path[0], path[1:]
    inner = _put(get(node, head) or mapping([]), rest, value) if rest else value
    return mapping([*_without(node, head).value, (text_node(head), inner)])
