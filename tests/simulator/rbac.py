# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may call what (talos-api 2.3), and which methods there are."""

from __future__ import annotations

ADMIN = 'os:admin'
OPERATOR = 'os:operator'
READER = 'os:reader'
ETCD_BACKUP = 'os:etcd:backup'

_READER = {READER, OPERATOR, ADMIN}
_OPERATOR = {OPERATOR, ADMIN}
_ADMIN = {ADMIN}

_MACHINE = {
    **dict.fromkeys((
        'Version', 'Hostname', 'ServiceList', 'SystemStat', 'Stats', 'Memory', 'LoadAvg', 'CPUInfo', 'CPUFreqStats', 'DiskStats', 'DiskUsage',
        'NetworkDeviceStats', 'Mounts', 'Processes', 'Netstat', 'Containers', 'ImageList', 'Logs', 'LogsContainers', 'Dmesg', 'Events', 'List',
    ), _READER),
    **dict.fromkeys(('EtcdMemberList', 'EtcdStatus', 'EtcdAlarmList'), _READER | {ETCD_BACKUP}),
    'EtcdSnapshot': _OPERATOR | {ETCD_BACKUP},
    **dict.fromkeys((
        'EtcdAlarmDisarm', 'EtcdDefragment', 'PacketCapture', 'Reboot', 'Restart', 'Shutdown', 'ServiceStart', 'ServiceStop', 'ServiceRestart',
        'ImagePull',
    ), _OPERATOR),
    **dict.fromkeys((
        'Read', 'Copy', 'Kubeconfig', 'ApplyConfiguration', 'Bootstrap', 'Reset', 'Rollback', 'Upgrade', 'EtcdForfeitLeadership',
        'EtcdLeaveCluster', 'EtcdRecover', 'EtcdRemoveMemberByID', 'EtcdDowngradeValidate', 'EtcdDowngradeEnable', 'EtcdDowngradeCancel',
        'GenerateClientConfiguration', 'MetaWrite', 'MetaDelete',
    ), _ADMIN),
}
_STATE = {**dict.fromkeys(('Get', 'List', 'Watch'), _READER), **dict.fromkeys(('Create', 'Update', 'Destroy', 'Teardown', 'TeardownAndDestroy'), _ADMIN)}
_METHODS_SINCE = {('cosi.resource.State', 'Teardown'): 14, ('cosi.resource.State', 'TeardownAndDestroy'): 14}

# service: (first minor version that has it, {method: roles})
_SERVICES = {
    'machine.MachineService': (0, _MACHINE),
    'cosi.resource.State': (0, _STATE),
    'cluster.ClusterService': (0, {'HealthCheck': _READER}),
    'inspect.InspectService': (0, {'ControllerRuntimeDependencies': _READER}),
    'storage.StorageService': (0, {'Disks': _READER, 'BlockDeviceWipe': _ADMIN}),
    'time.TimeService': (0, {'Time': _READER, 'TimeCheck': _READER}),
    'machine.ImageService': (13, {'List': _READER, 'Pull': _OPERATOR, 'Import': _ADMIN, 'Remove': _ADMIN, 'Verify': _ADMIN}),
    'machine.LifecycleService': (13, dict.fromkeys(('Install', 'Upgrade'), _ADMIN)),
    'machine.DebugService': (13, {'ContainerRun': _ADMIN}),
    'machine.LVMService': (14, {}),
    'machine.MDService': (14, {}),
}

STREAMS = {
    'Copy', 'DiskUsage', 'Dmesg', 'EtcdSnapshot', 'Events', 'ImageList', 'Kubeconfig', 'List', 'Logs', 'PacketCapture', 'Read', 'HealthCheck',
}

# Methods that only control plane nodes serve, with the name that the refusal gives them (talos-api 3.3).
CONTROL_PLANE_ONLY = {
    'EtcdMemberList': 'member list',
    'EtcdRemoveMemberByID': 'etcd remove member',
    'EtcdLeaveCluster': 'etcd leave',
    'EtcdForfeitLeadership': 'etcd forfeit leadership',
    'EtcdSnapshot': 'etcd snapshot',
    'EtcdRecover': 'etcd recover',
    'EtcdAlarmList': 'etcd alarm list',
    'EtcdAlarmDisarm': 'etcd alarm disarm',
    'EtcdDefragment': 'etcd defragment',
    'EtcdStatus': 'etcd status',
    'EtcdDowngradeCancel': 'etcd downgrade cancel',
    'EtcdDowngradeEnable': 'etcd downgrade enable',
    'EtcdDowngradeValidate': 'etcd downgrade validate',
    'Kubeconfig': 'kubeconfig',
    'Bootstrap': 'bootstrap',
    'HealthCheck': 'cluster health check',
    'GenerateClientConfiguration': 'generate client configuration',
}


def service_known(service, minor):
    """Whether 1.C(minor) has this service at all."""
    return service in _SERVICES and minor >= _SERVICES[service][0]


def roles_for(service, method, minor=14):
    """The roles that may call a method; None when there is no such method. Methods that the table lacks are admin's."""
    return _SERVICES[service][1].get(method) if minor >= _METHODS_SINCE.get((service, method), 0) else None


def is_method(name):
    """Whether any service has a method of this name."""
    return any(name in methods for _minor, methods in _SERVICES.values())
