# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which resource types and namespaces a Talos version knows, and which of them only os:admin may read (talos-api 6 and 8).

The list is that of ResourceDefinitions of v1.13.9; what older and newer versions differ in is beside it.
"""

from __future__ import annotations

_OPEN = """
APIServiceConfigs.runtime.talos.dev AcquireConfigSpecs.v1alpha1.talos.dev AcquireConfigStatuses.v1alpha1.talos.dev
AddressSpecs.net.talos.dev AddressStatuses.net.talos.dev AdjtimeStatuses.v1alpha1.talos.dev AdmissionControlConfigs.kubernetes.talos.dev
Affiliates.cluster.talos.dev BlockDevices.block.talos.dev BlockSymlinks.block.talos.dev BootedEntries.talos.dev
BootstrapManifestsConfigs.kubernetes.talos.dev CPUStats.perf.talos.dev ConfigStatuses.kubernetes.talos.dev
ControllerManagerConfigs.kubernetes.talos.dev DNSResolveCaches.net.talos.dev DNSUpstreams.net.talos.dev DevicesStatuses.runtime.talos.dev
Diagnostics.runtime.talos.dev DiscoveredVolumes.block.talos.dev DiscoveryRefreshRequests.block.talos.dev
DiscoveryRefreshStatuses.block.talos.dev Disks.block.talos.dev Endpoints.kubernetes.talos.dev Environments.runtime.talos.dev
EtcFileStatuses.files.talos.dev EtcdConfigs.etcd.talos.dev EtcdMembers.etcd.talos.dev EtcdSpecs.etcd.talos.dev EthernetSpecs.net.talos.dev
EthernetStatuses.net.talos.dev EventSinkConfigs.runtime.talos.dev ExtensionServiceConfigStatuses.runtime.talos.dev
ExtensionStatuses.runtime.talos.dev ExtraManifestsConfigs.kubernetes.talos.dev HardwareAddresses.net.talos.dev
HostDNSConfigs.net.talos.dev HostnameSpecs.net.talos.dev HostnameStatuses.net.talos.dev Identities.cluster.talos.dev
ImageCacheConfigs.cri.talos.dev ImageVerificationRules.security.talos.dev Infos.cluster.talos.dev KernelCmdlines.runtime.talos.dev
KernelModuleSpecs.runtime.talos.dev KernelParamDefaultSpecs.runtime.talos.dev KernelParamSpecs.runtime.talos.dev
KernelParamStatuses.runtime.talos.dev KmsgLogConfigs.runtime.talos.dev KubePrismConfigs.kubernetes.talos.dev
KubePrismEndpoints.kubernetes.talos.dev KubePrismStatuses.kubernetes.talos.dev KubeSpanEndpoints.kubespan.talos.dev
KubeSpanPeerSpecs.kubespan.talos.dev KubeSpanPeerStatuses.kubespan.talos.dev KubeletKubeconfigs.kubernetes.talos.dev
KubeletLifecycles.kubernetes.talos.dev KubernetesAccessConfigs.cluster.talos.dev LinkAliasSpecs.net.talos.dev LinkRefreshes.net.talos.dev
LinkStatuses.net.talos.dev LoadedKernelModules.runtime.talos.dev MachineResetSignals.runtime.talos.dev MachineStatuses.runtime.talos.dev
MachineTypes.config.talos.dev MaintenanceServiceConfigs.runtime.talos.dev MaintenanceServiceRequests.runtime.talos.dev
ManifestStatuses.kubernetes.talos.dev Manifests.kubernetes.talos.dev Members.cluster.talos.dev MemoryModules.hardware.talos.dev
MemoryStats.perf.talos.dev MetaKeys.runtime.talos.dev MetaLoads.runtime.talos.dev MountRequests.block.talos.dev
MountStatuses.block.talos.dev MountStatuses.runtime.talos.dev Namespaces.meta.cosi.dev NetworkStatuses.net.talos.dev
NfTablesChains.net.talos.dev NodeAddressFilters.net.talos.dev NodeAddressSortAlgorithms.net.talos.dev NodeAddresses.net.talos.dev
NodeIPConfigs.kubernetes.talos.dev NodeIPs.kubernetes.talos.dev NodeStatuses.kubernetes.talos.dev Nodenames.kubernetes.talos.dev
PCIDevices.hardware.talos.dev PCIDriverRebindConfigs.runtime.talos.dev PCIDriverRebindStatuses.runtime.talos.dev
PCRStatuses.hardware.talos.dev PKIStatuses.etcd.talos.dev PlatformConfigs.net.talos.dev PlatformMetadatas.talos.dev
ProbeSpecs.net.talos.dev ProbeStatuses.net.talos.dev Processors.hardware.talos.dev ResolverSpecs.net.talos.dev
ResolverStatuses.net.talos.dev ResourceDefinitions.meta.cosi.dev RouteSpecs.net.talos.dev RouteStatuses.net.talos.dev
RoutingRuleSpecs.net.talos.dev RoutingRuleStatuses.net.talos.dev SBOMItems.talos.dev SchedulerConfigs.kubernetes.talos.dev
SeccompProfiles.cri.talos.dev SecretStatuses.kubernetes.talos.dev SecurityStates.talos.dev ServicePIDs.runtime.talos.dev
Services.v1alpha1.talos.dev SiderolinkStatuses.siderolink.talos.dev StaticPodServerStatuses.kubernetes.talos.dev
StaticPodStatuses.kubernetes.talos.dev StaticPods.kubernetes.talos.dev SwapStatuses.block.talos.dev SystemDisks.block.talos.dev
SystemInformations.hardware.talos.dev TUFTrustedRoots.security.talos.dev TimeServerSpecs.net.talos.dev TimeServerStatuses.net.talos.dev
TimeStatuses.v1alpha1.talos.dev UniqueMachineTokens.runtime.talos.dev UserDiskConfigStatuses.block.talos.dev Versions.runtime.talos.dev
VolumeLifecycles.block.talos.dev VolumeMountRequests.block.talos.dev VolumeMountStatuses.block.talos.dev VolumeStatuses.block.talos.dev
WatchdogTimerConfigs.runtime.talos.dev WatchdogTimerStatuses.runtime.talos.dev ZswapStatuses.block.talos.dev
"""

_SENSITIVE = """
APIServerConfigs.kubernetes.talos.dev ApiCertificates.secrets.talos.dev AuditPolicyConfigs.kubernetes.talos.dev
AuthorizationConfigs.kubernetes.talos.dev CertSANs.secrets.talos.dev DeviceConfigSpecs.net.talos.dev DiscoveryConfigs.cluster.talos.dev
EncryptionSalts.secrets.talos.dev EtcFileSpecs.files.talos.dev EtcdRootSecrets.secrets.talos.dev EtcdSecrets.secrets.talos.dev
ExtensionServiceConfigs.runtime.talos.dev KubeSpanConfigs.kubespan.talos.dev KubeSpanIdentities.kubespan.talos.dev
KubeletConfigs.kubernetes.talos.dev KubeletSecrets.secrets.talos.dev KubeletSpecs.kubernetes.talos.dev
KubernetesDynamicCerts.secrets.talos.dev KubernetesRootSecrets.secrets.talos.dev KubernetesSecrets.secrets.talos.dev
LinkSpecs.net.talos.dev MachineConfigs.config.talos.dev MaintenanceRootSecrets.secrets.talos.dev NodeAnnotationSpecs.k8s.talos.dev
NodeCordonedSpecs.k8s.talos.dev NodeLabelSpecs.k8s.talos.dev NodeTaintSpecs.k8s.talos.dev OOMActions.talos.dev
OSRootSecrets.secrets.talos.dev OperatorSpecs.net.talos.dev RegistryConfigs.cri.talos.dev SiderolinkConfigs.siderolink.talos.dev
SiderolinkTunnels.siderolink.talos.dev TrustdCertificates.secrets.talos.dev VolumeConfigs.block.talos.dev
"""

_SINCE = {
    'APIServiceConfigs.runtime.talos.dev': 13,
    **dict.fromkeys("""BlockSymlinks.block.talos.dev EthernetSpecs.net.talos.dev EthernetStatuses.net.talos.dev MountRequests.block.talos.dev
        MountStatuses.block.talos.dev PCIDriverRebindConfigs.runtime.talos.dev PCIDriverRebindStatuses.runtime.talos.dev
        PCRStatuses.hardware.talos.dev VolumeMountRequests.block.talos.dev VolumeMountStatuses.block.talos.dev""".split(), 10),
    **dict.fromkeys("""BootedEntries.talos.dev EncryptionSalts.secrets.talos.dev LoadedKernelModules.runtime.talos.dev SBOMItems.talos.dev
        SwapStatuses.block.talos.dev ZswapStatuses.block.talos.dev""".split(), 11),
    **dict.fromkeys(('KubeletKubeconfigs.kubernetes.talos.dev', 'LinkAliasSpecs.net.talos.dev', 'PlatformConfigs.net.talos.dev'), 12),
    **dict.fromkeys(('Environments.runtime.talos.dev', 'RoutingRuleSpecs.net.talos.dev', 'RoutingRuleStatuses.net.talos.dev'), 13),
    **dict.fromkeys("""AuthenticationConfigs.kubernetes.talos.dev BGPInstanceConfigs.net.talos.dev BGPPeerStatuses.net.talos.dev
        BaseRuntimeSpecConfigs.cri.talos.dev CPUCores.hardware.talos.dev ContainerSpecs.containers.talos.dev CustomizationConfigs.cri.talos.dev
        DiscoveredVolumesStatuses.block.talos.dev EtcdEncryptionConfigs.kubernetes.talos.dev FSScrubSchedules.block.talos.dev
        FSScrubStatuses.block.talos.dev ImageFactorySchematics.runtime.talos.dev RebootRequests.runtime.talos.dev StaticHosts.net.talos.dev
        VolumeTrimSchedules.block.talos.dev""".split(), 14),
    'BootIDs.runtime.talos.dev': 14,
    'ImageVerificationRules.security.talos.dev': 13,
    'KernelCmdlines.runtime.talos.dev': 11,
    'KernelModuleStatuses.runtime.talos.dev': 14,
    'KubeletStatuses.kubernetes.talos.dev': 14,
    'OOMActions.talos.dev': 12,
    'ServicePIDs.runtime.talos.dev': 13,
    'TUFTrustedRoots.security.talos.dev': 13,
    'UnattendedInstallStatuses.runtime.talos.dev': 14,
    'Versions.runtime.talos.dev': 10,
}
_SENSITIVE_SINCE = {
    'APIServerConfigs.kubernetes.talos.dev': 12,
    'AuthorizationConfigs.kubernetes.talos.dev': 12,
    'EtcFileSpecs.files.talos.dev': 12,
    'ExtensionServiceConfigs.runtime.talos.dev': 12,
    'KubeletConfigs.kubernetes.talos.dev': 12,
    'KubeletSpecs.kubernetes.talos.dev': 12,
    'RegistryConfigs.cri.talos.dev': 12,
}

NAMESPACES = {
    'cluster': 'Cluster configuration and discovery resources.',
    'cluster-raw': 'Cluster unmerged raw resources.',
    'config': 'Talos node configuration.',
    'controlplane': 'Kubernetes control plane resources.',
    'cri': 'CRI Seccomp resources.',
    'etcd': 'etcd resources.',
    'files': 'Files and file-like resources.',
    'hardware': 'Hardware resources.',
    'k8s': 'Kubernetes all node types resources.',
    'kubespan': 'KubeSpan resources.',
    'meta': 'Metadata namespace which contains resource and namespace definitions.',
    'network': 'Networking resources.',
    'network-config': 'Networking configuration resources.',
    'perf': 'Stats resources.',
    'runtime': 'Talos v1alpha1 subsystems glue resources.',
    'secrets': 'Resources with secret material.',
    'security': 'Security resources.',
}

_SENSITIVE_TYPES = set(_SENSITIVE.split())
_TYPES = {*_OPEN.split(), *_SENSITIVE_TYPES, *_SINCE}
_LOWER_CASE = {name.lower() for name in _TYPES}


def exists(resource_type, minor):
    """Whether 1.C(minor) has this type, in exactly this spelling."""
    return resource_type in _TYPES and minor >= _SINCE.get(resource_type, 0)


def since(minor):
    """The types that came after 1.9 and that 1.C(minor) has."""
    return [name for name, first in _SINCE.items() if minor >= first]


def is_lower_case(resource_type):
    """The full name of a type in lower case: passes Talos's access check and finds nothing (talos-api 6)."""
    return resource_type in _LOWER_CASE and resource_type not in _TYPES


def is_sensitive(resource_type, minor):
    """Whether only os:admin may read it on 1.C(minor)."""
    return resource_type in _SENSITIVE_TYPES and minor >= _SENSITIVE_SINCE.get(resource_type, 0)


def is_short_name(name):
    """Whether this is the first part of a type's name, such as Members."""
    return any(full.partition('.')[0] == name for full in _TYPES)
