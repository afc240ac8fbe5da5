# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a gather asks a machine for, as one table.

A check names the reads that it needs by C(kind). Adding a check that needs more adds a line here and nothing else.
All resources are read by List without options, which every Talos version answers (talos-api 6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ansible_collections.talosops.talos.plugins.module_utils.snapshot import shapes

ALL = 'all'
CONTROL_PLANES = 'control_planes'
ETCD_RUNNING = 'etcd_running'
METAL = 'metal'
DISK_FILLING = 'disk_filling'

READER = 'os:reader'
ADMIN = 'os:admin'

# Share of /var that must be used for the machine to be asked what uses it, and the size from which a directory is named.
FILLING_SHARE = 0.85
FILLING_BYTES = 100 * 1024 * 1024

LOG_TAIL = 500
LOG_BYTES = 2 * 1024 * 1024
CONTAINER_LOG_TAIL = 500
CONTAINER_LOGS_MOST = 12


@dataclass(frozen=True)
class Call:
    """A unary or streamed RPC; the datum's value is the first message without its metadata (a list for a stream).

    C(on): which machines are asked; ETCD_RUNNING are the control plane nodes whose ServiceList shows etcd Running,
    because etcd RPCs hang anywhere else (talos-api 5.4); METAL those that are no containers, whose kernel is the host's;
    DISK_FILLING those whose disk is nearly full by their Mounts, because the call walks through all of it. C(shape(value, mark)) makes of the value
    what is kept (snapshot/shapes.py), None keeps all.
    """

    kind: str
    method: str
    request: dict = field(default_factory=dict)
    on: str = ALL
    role: str = READER
    stream: bool = False
    shape: Callable | None = None


@dataclass(frozen=True)
class Resources:
    """A COSI List; the datum's value is a list of {id, namespace, version, phase, created, updated, labels, spec}."""

    kind: str
    type: str
    namespace: str
    on: str = ALL
    role: str = READER
    shape: Callable | None = None


@dataclass(frozen=True)
class Log:
    """The tail of a log; the datum's value is text. Without C(method) it is that of a service.

    C(on) METAL: nowhere in container mode, where the kernel's log is that of the host (talos-api 5.2).
    """

    kind: str
    on: str = ALL
    role: str = READER
    method: str | None = None


@dataclass(frozen=True)
class ContainerLogs:
    """The logs of Kubernetes' own containers, by what Containers lists; each stands in Machine.logs as C(<pod>:<container>).

    C(names) are names of containers, most wanted first. Of a container that runs, the log of that instance is read, else
    those of its last ones. C(kind) stands in Machine.logs where they could not be asked for, with the reason.
    """

    kind: str
    names: tuple
    on: str = ALL
    role: str = READER


READS = (
    Call('Version', '/machine.MachineService/Version'),
    Call('ServiceList', '/machine.MachineService/ServiceList'),
    Call('EtcdStatus', '/machine.MachineService/EtcdStatus', on=ETCD_RUNNING),
    Call('EtcdMemberList', '/machine.MachineService/EtcdMemberList', {'query_local': True}, on=ETCD_RUNNING),
    Call('EtcdAlarmList', '/machine.MachineService/EtcdAlarmList', on=ETCD_RUNNING),
    Call('EtcdDirectory', '/machine.MachineService/List', {'root': '/var/lib/etcd', 'recurse': True, 'recursion_depth': 2}, on=CONTROL_PLANES, stream=True),
    Call('Memory', '/machine.MachineService/Memory'),
    Call('CPUInfo', '/machine.MachineService/CPUInfo', shape=shapes.processors),
    Call('LoadAvg', '/machine.MachineService/LoadAvg'),
    Call('Mounts', '/machine.MachineService/Mounts', shape=shapes.mounts),
    Call('NetworkDeviceStats', '/machine.MachineService/NetworkDeviceStats'),
    Call('Time', '/time.TimeService/Time'),
    *(Call(f'Pressure{what}', '/machine.MachineService/Read', {'path': f'/proc/pressure/{what.lower()}'}, on=METAL, role=ADMIN, stream=True,
           shape=shapes.text) for what in ('CPU', 'IO', 'Memory')),
    Call('DiskUsage', '/machine.MachineService/DiskUsage', {'paths': ['/var'], 'recursion_depth': 3, 'threshold': FILLING_BYTES}, on=DISK_FILLING,
         stream=True, shape=shapes.directories),
    Call('Containers', '/machine.MachineService/Containers', {'namespace': 'k8s.io', 'driver': 'CRI'}),
    Call('ImageList', '/machine.MachineService/ImageList', {'namespace': 'NS_SYSTEM'}, stream=True),
    # -- the machine
    Resources('MachineTypes', 'MachineTypes.config.talos.dev', 'config'),
    Resources('MachineStatuses', 'MachineStatuses.runtime.talos.dev', 'runtime'),
    Resources('MachineConfigs', 'MachineConfigs.config.talos.dev', 'config', role=ADMIN, shape=shapes.machine_configs),
    Resources('Diagnostics', 'Diagnostics.runtime.talos.dev', 'runtime'),
    Resources('PlatformMetadatas', 'PlatformMetadatas.talos.dev', 'runtime'),
    Resources('SecurityStates', 'SecurityStates.talos.dev', 'runtime'),
    Resources('ExtensionStatuses', 'ExtensionStatuses.runtime.talos.dev', 'runtime'),
    Resources('UnattendedInstallStatuses', 'UnattendedInstallStatuses.runtime.talos.dev', 'runtime'),
    Resources('OOMActions', 'OOMActions.talos.dev', 'runtime', role=ADMIN),
    Resources('TimeStatuses', 'TimeStatuses.v1alpha1.talos.dev', 'runtime'),
    Resources('AdjtimeStatuses', 'AdjtimeStatuses.v1alpha1.talos.dev', 'runtime'),
    Resources('SystemInformations', 'SystemInformations.hardware.talos.dev', 'hardware'),
    Resources('VolumeStatuses', 'VolumeStatuses.block.talos.dev', 'runtime'),
    Resources('SystemDisks', 'SystemDisks.block.talos.dev', 'runtime'),
    Resources('Disks', 'Disks.block.talos.dev', 'runtime'),
    Resources('ImageCacheConfigs', 'ImageCacheConfigs.cri.talos.dev', 'cri'),
    # -- discovery
    Resources('Members', 'Members.cluster.talos.dev', 'cluster'),
    Resources('Affiliates', 'Affiliates.cluster.talos.dev', 'cluster'),
    Resources('Identities', 'Identities.cluster.talos.dev', 'cluster'),
    Resources('Infos', 'Infos.cluster.talos.dev', 'cluster'),
    Resources('DiscoveryConfigs', 'DiscoveryConfigs.cluster.talos.dev', 'config', role=ADMIN),
    # -- network
    Resources('NetworkStatuses', 'NetworkStatuses.net.talos.dev', 'network'),
    Resources('HostnameStatuses', 'HostnameStatuses.net.talos.dev', 'network'),
    Resources('NodeAddresses', 'NodeAddresses.net.talos.dev', 'network'),
    Resources('NodeAddressFilters', 'NodeAddressFilters.net.talos.dev', 'network'),
    Resources('AddressStatuses', 'AddressStatuses.net.talos.dev', 'network'),
    Resources('LinkStatuses', 'LinkStatuses.net.talos.dev', 'network'),
    Resources('RouteStatuses', 'RouteStatuses.net.talos.dev', 'network'),
    Resources('ResolverStatuses', 'ResolverStatuses.net.talos.dev', 'network'),
    Resources('DNSUpstreams', 'DNSUpstreams.net.talos.dev', 'network'),
    Resources('HostDNSConfigs', 'HostDNSConfigs.net.talos.dev', 'network'),
    Resources('TimeServerStatuses', 'TimeServerStatuses.net.talos.dev', 'network'),
    Resources('ProbeStatuses', 'ProbeStatuses.net.talos.dev', 'network'),
    Resources('OperatorSpecs', 'OperatorSpecs.net.talos.dev', 'network', role=ADMIN),
    Resources('NfTablesChains', 'NfTablesChains.net.talos.dev', 'network'),
    Resources('KubeSpanPeerStatuses', 'KubeSpanPeerStatuses.kubespan.talos.dev', 'kubespan'),
    Resources('SiderolinkStatuses', 'SiderolinkStatuses.siderolink.talos.dev', 'config'),
    # -- etcd and certificates
    Resources('EtcdMembers', 'EtcdMembers.etcd.talos.dev', 'etcd', on=CONTROL_PLANES),
    Resources('EtcdSpecs', 'EtcdSpecs.etcd.talos.dev', 'etcd', on=CONTROL_PLANES),
    Resources('CertSANs', 'CertSANs.secrets.talos.dev', 'secrets', role=ADMIN),
    # -- Kubernetes, as the machine knows it
    Resources('Nodenames', 'Nodenames.kubernetes.talos.dev', 'k8s'),
    Resources('NodeIPs', 'NodeIPs.kubernetes.talos.dev', 'k8s'),
    Resources('NodeIPConfigs', 'NodeIPConfigs.kubernetes.talos.dev', 'k8s'),
    Resources('NodeStatuses', 'NodeStatuses.kubernetes.talos.dev', 'k8s'),
    Resources('KubeletSpecs', 'KubeletSpecs.kubernetes.talos.dev', 'k8s', role=ADMIN),
    Resources('KubeletStatuses', 'KubeletStatuses.kubernetes.talos.dev', 'k8s'),
    Resources('KubePrismStatuses', 'KubePrismStatuses.kubernetes.talos.dev', 'k8s'),
    Resources('KubePrismEndpoints', 'KubePrismEndpoints.kubernetes.talos.dev', 'k8s'),
    Resources('KubePrismConfigs', 'KubePrismConfigs.kubernetes.talos.dev', 'k8s'),
    Resources('StaticPods', 'StaticPods.kubernetes.talos.dev', 'k8s', on=CONTROL_PLANES, shape=shapes.static_pods),
    Resources('StaticPodStatuses', 'StaticPodStatuses.kubernetes.talos.dev', 'k8s', on=CONTROL_PLANES),
    Resources('SecretStatuses', 'SecretStatuses.kubernetes.talos.dev', 'controlplane', on=CONTROL_PLANES),
    Resources('ConfigStatuses', 'ConfigStatuses.kubernetes.talos.dev', 'controlplane', on=CONTROL_PLANES),
    Resources('APIServerConfigs', 'APIServerConfigs.kubernetes.talos.dev', 'controlplane', on=CONTROL_PLANES, role=ADMIN),
    Resources('ControllerManagerConfigs', 'ControllerManagerConfigs.kubernetes.talos.dev', 'controlplane', on=CONTROL_PLANES),
    Resources('SchedulerConfigs', 'SchedulerConfigs.kubernetes.talos.dev', 'controlplane', on=CONTROL_PLANES),
    Resources('BootstrapManifestsConfigs', 'BootstrapManifestsConfigs.kubernetes.talos.dev', 'controlplane', on=CONTROL_PLANES),
    Resources('Manifests', 'Manifests.kubernetes.talos.dev', 'controlplane', on=CONTROL_PLANES, shape=shapes.manifests),
    Resources('ManifestStatuses', 'ManifestStatuses.kubernetes.talos.dev', 'controlplane', on=CONTROL_PLANES),
    Log('machined'),
    Log('controller-runtime'),
    Log('kubelet'),
    Log('dns-resolve-cache'),
    Log('dmesg', on=METAL, method='/machine.MachineService/Dmesg'),
    Log('etcd', on=CONTROL_PLANES),
    ContainerLogs('containers', ('kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kube-flannel', 'cilium-agent', 'calico-node', 'kube-proxy',
                                 'coredns')),
)

LOGS = (Log, ContainerLogs)

BY_KIND = {(isinstance(read, LOGS), read.kind): read for read in READS}

# Read once more some seconds after the first time, where that is asked for, as the datum C(NetworkDeviceStats2).
SAMPLED = 'NetworkDeviceStats'
SAMPLED_AGAIN = 'NetworkDeviceStats2'

# What the first wave asks an endpoint about itself, without forwarding.
ENDPOINT_KINDS = ('Version', 'MachineTypes', 'ServiceList', 'Members')
