# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that a gather asks a machine for, as one table.

A check names the reads that it needs by C(kind). Adding a check that needs more adds a line here and nothing else.
All resources are read by List without options, which every Talos version answers (talos-api 6).
"""

from __future__ import annotations

from dataclasses import dataclass, field

ALL = 'all'
CONTROL_PLANES = 'control_planes'
ETCD_RUNNING = 'etcd_running'

READER = 'os:reader'
ADMIN = 'os:admin'

LOG_TAIL = 500
LOG_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class Call:
    """A unary or streamed RPC; the datum's value is the first message without its metadata (a list for a stream).

    C(on): which machines are asked; ETCD_RUNNING are the control plane nodes whose ServiceList shows etcd Running,
    because etcd RPCs hang anywhere else (talos-api 5.4).
    """

    kind: str
    method: str
    request: dict = field(default_factory=dict)
    on: str = ALL
    role: str = READER
    stream: bool = False


@dataclass(frozen=True)
class Resources:
    """A COSI List; the datum's value is a list of {id, namespace, version, phase, created, updated, labels, spec}."""

    kind: str
    type: str
    namespace: str
    on: str = ALL
    role: str = READER


@dataclass(frozen=True)
class Log:
    """The tail of a service log; the datum's value is text."""

    kind: str
    on: str = ALL
    role: str = READER


READS = (
    Call('Version', '/machine.MachineService/Version'),
    Call('ServiceList', '/machine.MachineService/ServiceList'),
    Call('EtcdStatus', '/machine.MachineService/EtcdStatus', on=ETCD_RUNNING),
    Call('EtcdMemberList', '/machine.MachineService/EtcdMemberList', {'query_local': True}, on=ETCD_RUNNING),
    Call('EtcdAlarmList', '/machine.MachineService/EtcdAlarmList', on=ETCD_RUNNING),
    Call('EtcdDirectory', '/machine.MachineService/List', {'root': '/var/lib/etcd', 'recurse': True, 'recursion_depth': 2}, on=CONTROL_PLANES, stream=True),
    Resources('MachineTypes', 'MachineTypes.config.talos.dev', 'config'),
    Resources('MachineStatuses', 'MachineStatuses.runtime.talos.dev', 'runtime'),
    Resources('Diagnostics', 'Diagnostics.runtime.talos.dev', 'runtime'),
    Resources('Members', 'Members.cluster.talos.dev', 'cluster'),
    Resources('Affiliates', 'Affiliates.cluster.talos.dev', 'cluster'),
    Resources('Identities', 'Identities.cluster.talos.dev', 'cluster'),
    Resources('Infos', 'Infos.cluster.talos.dev', 'cluster'),
    Resources('DiscoveryConfigs', 'DiscoveryConfigs.cluster.talos.dev', 'config', role=ADMIN),
    Resources('Nodenames', 'Nodenames.kubernetes.talos.dev', 'k8s'),
    Resources('NodeIPConfigs', 'NodeIPConfigs.kubernetes.talos.dev', 'k8s'),
    Resources('HostnameStatuses', 'HostnameStatuses.net.talos.dev', 'network'),
    Resources('NodeAddresses', 'NodeAddresses.net.talos.dev', 'network'),
    Resources('NodeAddressFilters', 'NodeAddressFilters.net.talos.dev', 'network'),
    Resources('AddressStatuses', 'AddressStatuses.net.talos.dev', 'network'),
    Resources('LinkStatuses', 'LinkStatuses.net.talos.dev', 'network'),
    Resources('RouteStatuses', 'RouteStatuses.net.talos.dev', 'network'),
    Resources('NfTablesChains', 'NfTablesChains.net.talos.dev', 'network'),
    Resources('TimeStatuses', 'TimeStatuses.v1alpha1.talos.dev', 'runtime'),
    Resources('SystemInformations', 'SystemInformations.hardware.talos.dev', 'hardware'),
    Resources('EtcdMembers', 'EtcdMembers.etcd.talos.dev', 'etcd', on=CONTROL_PLANES),
    Resources('EtcdSpecs', 'EtcdSpecs.etcd.talos.dev', 'etcd', on=CONTROL_PLANES),
    Resources('CertSANs', 'CertSANs.secrets.talos.dev', 'secrets', role=ADMIN),
    Log('machined'),
    Log('controller-runtime'),
    Log('etcd', on=CONTROL_PLANES),
)

BY_KIND = {(isinstance(read, Log), read.kind): read for read in READS}

# What the first wave asks an endpoint about itself, without forwarding.
ENDPOINT_KINDS = ('Version', 'MachineTypes', 'ServiceList', 'Members')
