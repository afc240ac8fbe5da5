# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes as Talos makes it on a machine: KubePrism, static pods, bootstrap manifests and their configurations (talos-api 6.6)."""

from __future__ import annotations

import functools
import ipaddress
from pathlib import Path

import yaml

from tests.simulator import go_yaml
from tests.simulator.resource import Resource

API_PORT = 6443
_LISTS_SINCE = 13
_FINAL_SINCE = 14
_CNI_NAME_SINCE = 13
_NONE = {'requests': {'cpu': '', 'memory': ''}, 'limits': {}}
_POLICIES_IMAGE = 'registry.k8s.io/networking/kube-network-policies:v1.1.0'


def values(node, arguments):
    """extraArgs as the resources of this version show them: from 1.13 on lists of values."""
    if node.minor >= _LISTS_SINCE:
        return {name: {'values': given} for name, given in sorted(arguments.items())}
    return {name: given[0] for name, given in sorted(arguments.items()) if given}


# -- KubePrism ------------------------------------------------------------------------------------------------------

def _prism(node):
    """The section of the configuration where it is enabled, else None: nothing of it is there then."""
    told = (node.config.machine.get('features') or {}).get('kubePrism') or {}
    return node.config.document('KubePrismConfig') or (told if told.get('enabled') else None)


def _endpoints(node):
    """The cluster endpoint, on the control plane this machine, then every address of every member (rec: with the VIP, twice)."""
    host, _colon, port = node.model.state['network']['endpoint'].split('://')[-1].rpartition(':')
    members = sorted((one for one in node.model.affiliates_of(node) if one.control_plane), key=lambda one: one.name)
    hosts = [*(['localhost'] if node.control_plane else []), *(address for one in members for address in one.addresses)]
    return [{'host': host.strip('[]'), 'port': int(port)}, *({'host': each, 'port': API_PORT} for each in hosts)]


def kube_prism_endpoints(node):
    if _prism(node) is None:
        return []
    return [Resource('k8s-cluster', 'k8s.KubePrismEndpointsController', {'endpoints': _endpoints(node)}, version=5 if node.control_plane else 3)]


def kube_prism_configs(node):
    if _prism(node) is None:
        return []
    spec = {'host': '127.0.0.1', 'port': _prism(node).get('port', 7445), 'endpoints': _endpoints(node)}
    return [Resource('k8s-loadbalancer-config', 'k8s.KubePrismConfigController', spec, version=5 if node.control_plane else 3)]


def kube_prism_statuses(node):
    """Healthy while any backend takes a connection: also without a quorum (rec)."""
    if _prism(node) is None:
        return []
    healthy = any(node.model.kubernetes_api(one) == 'up' and one.reachable for one in node.model.control_planes)
    spec = {'host': f'127.0.0.1:{_prism(node).get("port", 7445)}', 'healthy': healthy}
    return [Resource('k8s-loadbalancer', 'k8s.KubePrismController', spec, version=3)]


# -- configurations -------------------------------------------------------------------------------------------------

def with_final(node, resource_id, owner, spec, **more):
    """The resource, and from 1.14 on the one with all arguments that follows from it."""
    found = [Resource(resource_id, f'{owner}Controller', spec, **more)]
    if node.minor >= _FINAL_SINCE:
        final = {key: value for key, value in spec.items() if key != 'extraArgs'}
        arguments = _static_pod(node, resource_id)['spec']['containers'][0]['command'][1:]
        found.append(Resource(f'final-{resource_id}', f'{owner}FinalController', {**final, 'args': arguments}, **more))
    return found


def _image(node, name, section):
    return (node.config.cluster.get(section) or {}).get('image') or f'registry.k8s.io/{name}:{node.model.state["versions"]["kubernetes"]}'


def controller_manager_configs(node):
    if not node.control_plane:
        return []
    network = node.model.state['network']
    spec = {'enabled': True, 'image': _image(node, 'kube-controller-manager', 'controllerManager'),
            'cloudProvider': 'external' if node.model.setup.get('cloud_provider') else '',
            'podCIDRs': list(network['pod']), 'serviceCIDRs': list(network['service']), 'extraArgs': {}, 'extraVolumes': [],
            'environmentVariables': {}, 'resources': _NONE}
    if node.minor >= _FINAL_SINCE:
        spec = {key: value for key, value in spec.items() if key != 'extraArgs'} | {'nodeCIDRMaskSizeIPv4': 0, 'nodeCIDRMaskSizeIPv6': 0}
    return with_final(node, 'kube-controller-manager', 'k8s.ControlPlaneControllerManager', spec)


def scheduler_configs(node):
    if not node.control_plane:
        return []
    spec = {'enabled': True, 'image': _image(node, 'kube-scheduler', 'scheduler'), 'extraArgs': {}, 'extraVolumes': [], 'environmentVariables': {},
            'resources': _NONE, 'config': {}}
    if node.minor >= _FINAL_SINCE:
        spec.pop('extraArgs')
    return with_final(node, 'kube-scheduler', 'k8s.ControlPlaneScheduler', spec)


def bootstrap_manifests_configs(node):
    if not node.control_plane:
        return []
    network, kubernetes = node.model.state['network'], node.model.state['versions']['kubernetes']
    flannel = network['cni'] == 'flannel'
    prism = _prism(node)
    spec = {
        'string': 'https://127.0.0.1:7445', 'clusterDomain': 'cluster.local', 'podCIDRs': list(network['pod']), 'proxyEnabled': _proxied(node),
        'proxyImage': f'registry.k8s.io/kube-proxy:{kubernetes}',
        'proxyArgs': [f'--cluster-cidr={",".join(network["pod"])}', '--conntrack-max-per-core=0', '--hostname-override=$(NODE_NAME)',
                      '--kubeconfig=/etc/kubernetes/kubeconfig', '--proxy-mode=nftables'],
        'coreDNSEnabled': True, 'coreDNSImage': 'registry.k8s.io/coredns/coredns:v1.14.6', 'dnsServiceIP': _dns(node), 'dnsServiceIPv6': '',
        'flannelEnabled': flannel, 'flannelImage': 'ghcr.io/siderolabs/flannel:0.28.8', 'flannelExtraArgs': [],
        'flannelKubeServiceHost': '127.0.0.1' if prism else '', 'flannelKubeServicePort': str(prism.get('port', 7445)) if prism else '',
    }
    if node.minor >= _CNI_NAME_SINCE:
        spec |= {'flannelKubeNetworkPoliciesEnabled': False, 'flannelKubeNetworkPoliciesImage': _POLICIES_IMAGE}
    spec |= {'podSecurityPolicyEnabled': False, 'talosAPIServiceEnabled': False}
    if node.minor >= _CNI_NAME_SINCE:
        spec['cniName'] = network['cni'] or 'none'
    return [Resource('manifests', 'k8s.ControlPlaneBootstrapManifestsController', spec)]


def kubelet_statuses(node):
    """From 1.14 on: the image of kubelet for those who may not read its KubeletSpecs."""
    return [Resource('kubelet', 'k8s.KubeletServiceController', {'image': (node.config.machine.get('kubelet') or {}).get('image', '')})]


# -- static pods ----------------------------------------------------------------------------------------------------

def static_pods(node):
    """None while the service etcd does not run; gone when it no longer does (v1.13.9, control_plane_static_pod.go)."""
    if not _etcd_was_healthy(node):
        return []
    pods = {name: _static_pod(node, name) for name in _templates('static_pods.yaml')}
    return [Resource(name, 'k8s.ControlPlaneStaticPodController', pod, proto={'pod': pod}) for name, pod in pods.items()]


def _etcd_was_healthy(node):
    return node.control_plane and node.service('etcd')[0] == 'Running' and node.model.etcd.is_member(node)


def _static_pod(node, name):
    pod = _filled(node, 'static_pods.yaml', name)
    arguments = node.config.api_server_arguments if name == 'kube-apiserver' else {}
    container = pod['spec']['containers'][0]
    program, *defaults = container['command']
    kept = [each for each in defaults if each.removeprefix('--').partition('=')[0] not in arguments]
    added = [f'--{key}={value}' for key, given in arguments.items() for value in given]
    container['command'] = [program, *kept, *added] if not added else [program, *sorted(kept + added)]
    return pod


def secret_statuses(node):
    return _static(node, 'k8s.RenderSecretsStaticPodController', '1')


def config_statuses(node):
    return _static(node, 'k8s.RenderConfigsStaticPodController', '1111')


def _static(node, owner, version):
    return [Resource('static-pods', owner, {'ready': True, 'version': version})] if node.control_plane else []


# -- manifests ------------------------------------------------------------------------------------------------------

def _manifest_ids(node):
    flannel = node.model.state['network']['cni'] == 'flannel'
    absent = [*([] if flannel else ['05-flannel']), *([] if _proxied(node) else ['10-kube-proxy'])]
    return [name for name in _templates('manifests.yaml') if name not in absent]


def _proxied(node):
    return not (node.config.cluster.get('proxy') or {}).get('disabled')


def manifests(node):
    if not node.control_plane:
        return []
    found = {name: _filled(node, 'manifests.yaml', name) for name in _manifest_ids(node)}
    return [Resource(name, 'k8s.ManifestController', objects, proto={'items': [{'object': one} for one in objects]})
            for name, objects in found.items()]


def manifest_statuses(node):
    """Written once all of them were applied, which takes this machine's etcd and an API server; it stays from then on (talos-api 6.6)."""
    if not _etcd_was_healthy(node) or not node.model.kubernetes_ran:
        return []
    return [Resource('manifests', 'k8s.ManifestApplyController', {'manifestsApplied': _manifest_ids(node)})]


# -- templates ------------------------------------------------------------------------------------------------------

@functools.lru_cache(maxsize=None)
def _templates(file):
    return yaml.safe_load((Path(__file__).parent / file).read_text(encoding='utf-8'))


def _dns(node):
    return str(ipaddress.ip_network(node.model.state['network']['service'][0], strict=False).network_address + 10)


def _filled(node, file, name):
    """A template with what follows from the cluster."""
    network, kubernetes = node.model.state['network'], node.model.state['versions']['kubernetes']
    token_id, _dot, secret = (node.config.cluster.get('token') or '.').partition('.')
    words = (('endpoint', network['endpoint']), ('pod', ','.join(network['pod'])), ('service', ','.join(network['service'])), ('dns', _dns(node)),
             ('kubernetes', kubernetes), ('version', kubernetes.lstrip('v')), ('token_id', token_id), ('token_secret', secret))
    text = _templates(file)[name]
    for word, value in words:
        text = text.replace(f'{{{word}}}', value)
    return go_yaml.load(text)
