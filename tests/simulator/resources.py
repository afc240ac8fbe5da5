# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The COSI resources of a machine, type by type (talos-api 6.1 to 6.8), with the ids, owners and keys that were recorded."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from datetime import timedelta

from tests.simulator import (
    config_resources, definitions, hardware, kubernetes_resources, network_resources, resource_types, services, setup, storage,
)
from tests.simulator.kubernetes_nodes import details, node_metadata, readiness
from tests.simulator.kubernetes_pods import static_pod_statuses
from tests.simulator.links import addresses, links, routes
from tests.simulator.resource import Resource

_API_PORT = 6443
# A machine that is told to be in one of these stages, and not since when, has just entered it.
_PASSING = ('installing', 'rebooting', 'shutting down', 'resetting', 'upgrading')
_ON_ITS_WAY = timedelta(minutes=2)
_REQUIRED_SERVICES = ('apid', 'machined', 'kubelet')
_OVERLAP = 'host and Kubernetes pod/service CIDR addresses overlap'
_SEQUENCE = re.compile(r'(?:upgrade|reboot|reset|install|shutdown) (?:sequence: [1-9]|request received)')
_KUBELET_CSR = 'kubelet server certificate rotation is enabled, but CSR is not approved'


def _one(resource_id, owner, spec, **more):
    return [Resource(resource_id, owner, spec, **more)]


def _machine_types(node):
    return _one('machine-type', 'config.MachineTypeController', node.type, version=2)


def _machine_statuses(node):
    status = node.machine_status
    conditions = [{'name': name, 'reason': _reason(node, name)} for name in status['unmet'] or ()]
    spec = {'stage': status['stage'], 'status': {'ready': bool(status['ready']), 'unmetConditions': conditions}}
    return _one('machine', 'runtime.MachineStatusController', spec, version=14, updated_after=timedelta(seconds=96),
                updated_at=_stage_since(node, status['stage']))


def _stage_since(node, stage):
    """When a machine that is on its way entered its stage: with the last sequence that a scenario tells of, else two minutes ago."""
    if stage not in _PASSING or node.happened:
        return None
    told = [line['at'] for line in node.model.state['lines'] if line['node'] == node.name and _SEQUENCE.search(line['line'])]
    return max(map(node.model.clock.at, told), default=node.model.clock.wall - _ON_ITS_WAY)


def _reason(node, condition):
    if condition == 'time':
        return 'time is not synced'
    if condition == 'network':
        return 'waiting on: connectivity'
    if condition == 'services':
        required = _REQUIRED_SERVICES + (('etcd', 'trustd') if node.control_plane else ())
        wanting = [(service_id, *node.service(service_id)) for service_id in sorted(required)]
        texts = [f'{service_id} not {"healthy" if state == "Running" else "running"}' for service_id, state, health in wanting
                 if state != 'Running' or health != 'OK']
        return ', '.join(texts) or 'etcd not healthy'
    if condition == 'staticPods':
        return f'kube-system/kube-scheduler-{node.nodename} not ready'
    known = node.nodename in node.model.kubernetes_nodes
    return f'node "{node.nodename}" is not ready' if known else f'node "{node.nodename}" status is not available yet'


def _diagnostics(node):
    found = []
    if node.routed and not node.routed_no_k8s:
        network = node.model.state['network']
        found.append(('address-overlap', _OVERLAP, [
            f'host routed addresses: [{" ".join(json.dumps(prefix) for prefix in node.routed)}]',
            f'Kubernetes pod CIDRs: [{" ".join(json.dumps(cidr) for cidr in network["pod"])}]',
            f'Kubernetes service CIDRs: [{" ".join(json.dumps(cidr) for cidr in network["service"])}]',
        ]))
    for given in node.model.state['diagnostics']:
        if given['node'] == node.name and given['id'] not in [found_id for found_id, _message, _details in found]:
            message, details = {
                'address-overlap': (_OVERLAP, [f'host routed addresses: [{" ".join(json.dumps(prefix) for prefix in node.routed)}]']),
                'kubelet-csr': (_KUBELET_CSR, ['kubelet API error: remote error: tls: internal error', f'pending CSRs: {_pending(node)}']),
            }.get(given['id'], (given['id'], []))
            found.append((given['id'], message, details))
    owner = 'runtime.DiagnosticsController'
    return [Resource(found_id, owner, {'message': message, 'details': details}) for found_id, message, details in found]


def _pending(node):
    """The requests of this machine's kubelet that wait, by name."""
    return ', '.join(one['name'] for one in node.model.state['k8s'].get('csrs') or ()
                     if one.get('username') == f'system:node:{node.nodename}' and one.get('state', 'Pending') == 'Pending')


def _members(node):
    """Two machines with one name write one member; the later node id stays (edge-cases 29)."""
    members = {}
    for one in node.model.affiliates_of(node):
        spec = {'nodeId': one.node_id, 'addresses': list(one.addresses), 'hostname': one.name,
                'machineType': 'controlplane' if one.control_plane else 'worker', 'operatingSystem': f'Talos ({one.talos})'}
        if one.control_plane:
            spec['controlPlane'] = {'port': _API_PORT}
        members[one.nodename] = Resource(one.nodename, 'cluster.MemberController', spec, version=2 if one.node_id == node.identity else 1,
                                         since=_since(node, one))
    return list(members.values())


def _since(node, one):
    """When an entry appeared: with this machine's start, or later, as told."""
    return max(one.since, node.boot) if one.since else None


def _affiliate_spec(one):
    spec = {'nodeId': one.node_id, 'addresses': list(one.addresses), 'hostname': one.name, 'nodename': one.nodename,
            'operatingSystem': f'Talos ({one.talos})', 'machineType': 'controlplane' if one.control_plane else 'worker'}
    return {**spec, 'controlPlane': {'port': _API_PORT}} if one.control_plane else spec


def _affiliates(node):
    return [
        Resource(one.node_id, 'cluster.LocalAffiliateController' if one.node_id == node.identity else 'cluster.AffiliateMergeController',
                 _affiliate_spec(one), version=2 if one.node_id == node.identity else 1, since=_since(node, one))
        for one in node.model.affiliates_of(node)
    ]


def _affiliates_raw(node):
    return [Resource(f'service/{one.node_id}', 'cluster.DiscoveryServiceController', _affiliate_spec(one), since=_since(node, one))
            for one in node.model.affiliates_of(node) if one.node_id != node.identity]


def _identities(node):
    return _one('local', 'cluster.NodeIdentityController', {'nodeId': node.identity})


def _infos(node):
    return _one('current', 'cluster.InfoController', {'clusterId': node.model.cluster_id, 'clusterName': node.model.name})


def _discovery_configs(node):
    """1.14 lists its endpoints and no longer fills discoveryEnabled (talos-api 6.1)."""
    endpoint, enabled = setup.discovery_endpoint(node)
    enabled = enabled and node.model.state['discovery'].get('all_nodes_see') != []
    spec = {'discoveryEnabled': enabled and node.minor < 14, 'registryKubernetesEnabled': False, 'registryServiceEnabled': enabled,
            'serviceEndpoint': endpoint if enabled else ''}
    if enabled:
        spec['serviceEncryptionKey'] = list(node.model.encryption_key)
        spec['serviceClusterID'] = node.model.cluster_id
    if node.minor >= 14:
        spec['serviceEndpoints'] = [{'name': 'default', 'endpoint': endpoint, 'insecure': False}] if enabled else []
    return _one('cluster', 'cluster.ConfigController', spec)


def _nodenames(node):
    return _one('nodename', 'k8s.NodenameController', {'nodename': node.nodename, 'hostnameVersion': '1', 'skipNodeRegistration': False})


def _hostname_statuses(node):
    return _one('hostname', 'network.HostnameSpecController', {'hostname': node.short_name, 'domainname': node.domain})


def _node_addresses(node):
    current = node.routed + node.external_prefixes
    kinds = {'accumulative': current, 'current': current, 'routed': node.routed}
    result = [Resource('default', 'network.NodeAddressController', {'addresses': node.routed[:1], 'sortAlgorithm': 'v1'})]
    for kind, prefixes in kinds.items():
        without = node.routed_no_k8s + (node.external_prefixes if kind != 'routed' else [])
        only = [prefix for prefix in prefixes if prefix not in without]
        for suffix, listed in (('', prefixes), ('-no-k8s', without), ('-only-k8s', only)):
            spec = {'addresses': list(listed), 'sortAlgorithm': 'v1'}
            result.append(Resource(f'{kind}{suffix}', 'network.NodeAddressController', spec, version=2))
    return result


def _node_address_filters(node):
    networks = node.excluded_networks
    owner = 'k8s.AddressFilterController'
    return [Resource('no-k8s', owner, {'includeSubnets': [], 'excludeSubnets': networks}, version=2),
            Resource('only-k8s', owner, {'includeSubnets': networks, 'excludeSubnets': []}, version=2)]


def _etcd_members(node):
    """Gone while etcd is down or unhealthy (talos-api 6.5)."""
    etcd = node.model.etcd
    if not (node.control_plane and etcd.runs(node) and node.service('etcd')[1] == 'OK' and etcd.has_quorum(node)):
        return []
    return _one('local', 'etcd.MemberController', {'memberID': etcd.ids[node.name]})


def _cert_sans(node):
    found = [Resource('api', 'secrets.APICertSANsController', {'ips': node.san_ips, 'dnsNames': node.san_dns, 'fqdn': node.hostname},
                      version=node.config.versions['v1alpha1'] + bool(node.holds_vip), updated_at=node.config.changed_at.get('v1alpha1'))]
    if node.control_plane:
        dns, ips = kubernetes_names(node)
        found.append(Resource('k8s', 'secrets.KubernetesCertSANsController', {'ips': ips, 'dnsNames': dns, 'fqdn': ''}))
    ips = [prefix.split('/')[0] for prefix in node.routed] + ['127.0.0.1', '::1']
    spec = {'ips': ips, 'dnsNames': [node.hostname], 'fqdn': 'maintenance-service.talos.dev'}
    found.append(Resource('maintenance', 'secrets.MaintenanceCertSANsController', spec, version=4))
    return found


def kubernetes_names(node):
    """(DNS names, addresses) of a control plane node's kube-apiserver certificate, in the recorded order."""
    network = node.model.state['network']
    endpoint = node.model.endpoint_host
    service = str(ipaddress.ip_network(network['service'][0], strict=False).network_address + 1)
    dns = [*dict.fromkeys([node.hostname, node.short_name]), 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc',
           'kubernetes.default.svc.cluster.local', 'localhost']
    ips = [prefix.split('/')[0] for prefix in node.routed_no_k8s if prefix.split('/')[0] != node.model.vip]
    configured = [*((node.config.cluster.get('apiServer') or {}).get('certSANs') or ()),
                  *((node.config.document('KubeAPIServerConfig') or {}).get('certExtraSANs') or ())]
    for address in (endpoint, service, '127.0.0.1', node.model.vip, *configured):
        if address and address not in ips:
            (ips if _is_address(address) else dns).append(address)
    return sorted(dns), ips


def _is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _node_statuses(node):
    """Needs the API server, which needs etcd: absent before the machine has been a Kubernetes node."""
    listed = node.model.kubernetes_nodes.get(node.nodename)
    if listed is None:
        return []
    labels, annotations = node_metadata(node.nodename, node.control_plane, node)
    spec = {'nodename': node.nodename, 'nodeReady': readiness(node.model, listed)[0] == 'True',
            'unschedulable': not details(listed).get('schedulable', True), 'labels': labels, 'annotations': annotations}
    if node.minor >= 12:
        spec['podCIDRs'] = node.pod_cidrs
    return _one(node.nodename, 'k8s.NodeStatusController', spec, version=6)


def _versions(node):
    return _one('version', 'runtime.VersionController', {'name': 'Talos', 'version': node.talos})


def _namespaces(_node):
    return [Resource(name, 'meta', {'description': text}) for name, text in resource_types.NAMESPACES.items()]


def _services(node):
    """Only services that run have one (talos-api 6.3)."""
    return [Resource(one.id, 'v1alpha1.ServiceController',
                     {'running': True, 'healthy': one.health == 'OK', 'unknown': one.health == '?'}, version=2)
            for one in services.of(node) if one.state == 'Running']


def _none(_node):
    return []


@dataclass(frozen=True)
class Kind:
    """A served type: C(build(node)) lists its resources in this namespace."""

    type: str
    namespace: str
    build: object


KINDS = {
    (kind.type, kind.namespace): kind
    for kind in (
        Kind('MachineTypes.config.talos.dev', 'config', _machine_types),
        Kind('MachineStatuses.runtime.talos.dev', 'runtime', _machine_statuses),
        Kind('Diagnostics.runtime.talos.dev', 'runtime', _diagnostics),
        Kind('Members.cluster.talos.dev', 'cluster', _members),
        Kind('Affiliates.cluster.talos.dev', 'cluster', _affiliates),
        Kind('Affiliates.cluster.talos.dev', 'cluster-raw', _affiliates_raw),
        Kind('Identities.cluster.talos.dev', 'cluster', _identities),
        Kind('Infos.cluster.talos.dev', 'cluster', _infos),
        Kind('DiscoveryConfigs.cluster.talos.dev', 'config', _discovery_configs),
        Kind('Nodenames.kubernetes.talos.dev', 'k8s', _nodenames),
        Kind('NodeIPConfigs.kubernetes.talos.dev', 'k8s', config_resources.node_ip_configs),
        Kind('NodeIPs.kubernetes.talos.dev', 'k8s', config_resources.node_ips),
        Kind('KubeletConfigs.kubernetes.talos.dev', 'k8s', config_resources.kubelet_configs),
        Kind('KubeletSpecs.kubernetes.talos.dev', 'k8s', config_resources.kubelet_specs),
        Kind('APIServerConfigs.kubernetes.talos.dev', 'controlplane', config_resources.api_server_configs),
        Kind('MachineConfigs.config.talos.dev', 'config', config_resources.machine_configs),
        Kind('VolumeStatuses.block.talos.dev', 'runtime', storage.volume_statuses),
        Kind('EtcdConfigs.etcd.talos.dev', 'etcd', config_resources.etcd_configs),
        Kind('NodeStatuses.kubernetes.talos.dev', 'k8s', _node_statuses),
        Kind('StaticPodStatuses.kubernetes.talos.dev', 'k8s', static_pod_statuses),
        Kind('HostnameStatuses.net.talos.dev', 'network', _hostname_statuses),
        Kind('NodeAddresses.net.talos.dev', 'network', _node_addresses),
        Kind('NodeAddressFilters.net.talos.dev', 'network', _node_address_filters),
        Kind('AddressStatuses.net.talos.dev', 'network', addresses),
        Kind('LinkStatuses.net.talos.dev', 'network', links),
        Kind('RouteStatuses.net.talos.dev', 'network', routes),
        Kind('NfTablesChains.net.talos.dev', 'network', _none),
        Kind('NetworkStatuses.net.talos.dev', 'network', network_resources.network_statuses),
        Kind('ResolverStatuses.net.talos.dev', 'network', network_resources.resolver_statuses),
        Kind('DNSUpstreams.net.talos.dev', 'network', network_resources.dns_upstreams),
        Kind('HostDNSConfigs.net.talos.dev', 'network', network_resources.host_dns_configs),
        Kind('TimeServerStatuses.net.talos.dev', 'network', network_resources.time_server_statuses),
        Kind('ProbeStatuses.net.talos.dev', 'network', _none),
        Kind('OperatorSpecs.net.talos.dev', 'network', network_resources.operator_specs),
        Kind('KubeSpanPeerStatuses.kubespan.talos.dev', 'kubespan', setup.peers),
        Kind('SiderolinkStatuses.siderolink.talos.dev', 'config', setup.siderolink),
        Kind('TimeStatuses.v1alpha1.talos.dev', 'runtime', hardware.time_statuses),
        Kind('AdjtimeStatuses.v1alpha1.talos.dev', 'runtime', hardware.adjtime_statuses),
        Kind('SystemInformations.hardware.talos.dev', 'hardware', hardware.system_informations),
        Kind('Disks.block.talos.dev', 'runtime', hardware.disks),
        Kind('SystemDisks.block.talos.dev', 'runtime', hardware.system_disks),
        Kind('PlatformMetadatas.talos.dev', 'runtime', hardware.platform_metadatas),
        Kind('SecurityStates.talos.dev', 'runtime', hardware.security_states),
        Kind('ImageCacheConfigs.cri.talos.dev', 'cri', hardware.image_cache_configs),
        Kind('ExtensionStatuses.runtime.talos.dev', 'runtime', _none),
        Kind('OOMActions.talos.dev', 'runtime', _none),
        Kind('UnattendedInstallStatuses.runtime.talos.dev', 'runtime', _none),
        Kind('KubePrismEndpoints.kubernetes.talos.dev', 'k8s', kubernetes_resources.kube_prism_endpoints),
        Kind('KubePrismConfigs.kubernetes.talos.dev', 'k8s', kubernetes_resources.kube_prism_configs),
        Kind('KubePrismStatuses.kubernetes.talos.dev', 'k8s', kubernetes_resources.kube_prism_statuses),
        Kind('KubeletStatuses.kubernetes.talos.dev', 'k8s', kubernetes_resources.kubelet_statuses),
        Kind('StaticPods.kubernetes.talos.dev', 'k8s', kubernetes_resources.static_pods),
        Kind('SecretStatuses.kubernetes.talos.dev', 'controlplane', kubernetes_resources.secret_statuses),
        Kind('ConfigStatuses.kubernetes.talos.dev', 'controlplane', kubernetes_resources.config_statuses),
        Kind('ControllerManagerConfigs.kubernetes.talos.dev', 'controlplane', kubernetes_resources.controller_manager_configs),
        Kind('SchedulerConfigs.kubernetes.talos.dev', 'controlplane', kubernetes_resources.scheduler_configs),
        Kind('BootstrapManifestsConfigs.kubernetes.talos.dev', 'controlplane', kubernetes_resources.bootstrap_manifests_configs),
        Kind('Manifests.kubernetes.talos.dev', 'controlplane', kubernetes_resources.manifests),
        Kind('ManifestStatuses.kubernetes.talos.dev', 'controlplane', kubernetes_resources.manifest_statuses),
        Kind('EtcdMembers.etcd.talos.dev', 'etcd', _etcd_members),
        Kind('EtcdSpecs.etcd.talos.dev', 'etcd', config_resources.etcd_specs),
        Kind('CertSANs.secrets.talos.dev', 'secrets', _cert_sans),
        Kind('Services.v1alpha1.talos.dev', 'runtime', _services),
        Kind('Versions.runtime.talos.dev', 'runtime', _versions),
        Kind('ResourceDefinitions.meta.cosi.dev', 'meta', definitions.definitions),
        Kind('Namespaces.meta.cosi.dev', 'meta', _namespaces),
    )
}
TYPES = {kind.type for kind in KINDS.values()}
