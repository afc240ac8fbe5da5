# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "System Requirements": memory, processors, disk and load against what Talos asks for (check catalogue SYS-1 to SYS-6).

The minimum is the one that Talos itself holds machines to: what the page of the requirements says less what the kernel keeps for itself,
so that a machine of 2 GiB passes, which never reports 2048 MiB (edge-cases 63). In container mode all of it is the host's (G2).
"""

from __future__ import annotations

import functools

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, ordered, seen, unread
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, Check, Threshold, error, info, not_applicable, ok, unknown, warning,
)

SECTION = 'system_requirements'
MIB, GIB = 1024 ** 2, 1024 ** 3
_MANIFESTS = 'random failures when services start or images are pulled, and processes that the kernel ends'
_RESIZE = 'Give the machine more of it. No call of the API mends that.'


def lacks_memory(machine):
    """The fact that this machine has too little memory, or has run out of it."""
    return f'memory:{machine.key}'


def own(what, *kinds):
    """A check of what a machine has of its own, by these reads: not applicable where C(what) is that of its host (G2), unknown unread."""
    def decorate(run):
        @functools.wraps(run)
        def checked(view, machine):
            if view.container(machine):
                return not_applicable(machine.key, f'in container mode {what} is the host\'s', nodes=[machine.key])
            missing = unread([machine], *(('Version',) if view.container(machine) is None else ()), *kinds)
            if missing:
                return unknown(machine.key, f'{what} of {machine.label}: {"; ".join(missing)}', nodes=[machine.key],
                               next_step='Read it with a client certificate that may, or find out why the machine does not answer.',
                               explained_by=('role', 'not_judged', f'volume_failed:{machine.key}'))
            return run(view, machine)
        return checked
    return decorate


def of_role(view, machine, name):
    """A threshold that depends on what the machine is for: C(<name>_control_plane) or C(<name>_worker)."""
    return view.threshold(f'{name}_{"control_plane" if machine.is_control_plane else "worker"}')


def _called(machine):
    return 'a control plane node' if machine.is_control_plane else 'a worker'


# -- SYS-1 ------------------------------------------------------------------------------------------------------

@own('the memory', 'Memory')
def memory_small(view, machine):
    """The machine has the memory that Talos asks for."""
    total = int(((machine.value('Memory') or {}).get('meminfo') or {}).get('memtotal') or 0) // 1024
    if not total:
        return unknown(machine.key, f'how much memory {machine.label} has: the answer holds no number', nodes=[machine.key])
    evidence = [seen(machine, 'Memory', f'memtotal {total} MiB')]
    minimum, recommended = (of_role(view, machine, f'system_requirements_memory_{kind}_mib') for kind in ('minimum', 'recommended'))
    if total < minimum:
        return error(machine.key, f'{machine.label} has {total} MiB of memory, less than the {minimum:.0f} MiB that {_called(machine)} needs',
                     f'This shows as {_MANIFESTS}.', _RESIZE, nodes=[machine.key], evidence=evidence, asserts=(lacks_memory(machine),))
    if total < recommended:
        return info(machine.key, f'{machine.label} has {total} MiB of memory; {recommended:.0f} MiB are recommended for {_called(machine)}',
                    'It is enough to run, and little to grow.', 'Consider more memory.', nodes=[machine.key], evidence=evidence)
    return ok(machine.key, nodes=[machine.key])


# -- SYS-2, SYS-6 -----------------------------------------------------------------------------------------------

@own('the number of processors', 'CPUInfo')
def processors_few(view, machine):
    """The machine has the processors that Talos asks for."""
    cores = len((machine.value('CPUInfo') or {}).get('cpu_info') or [])
    if not cores:
        return unknown(machine.key, f'how many processors {machine.label} has: the answer lists none', nodes=[machine.key])
    minimum = of_role(view, machine, 'system_requirements_processors_minimum')
    if cores >= minimum:
        return ok(machine.key, nodes=[machine.key])
    return warning(machine.key, f'{machine.label} has {cores} processor{"s" if cores > 1 else ""}, and {_called(machine)} needs {minimum:.0f}',
                   'Services start slowly, and their health checks and leases run into their time limits.', _RESIZE, nodes=[machine.key],
                   evidence=[seen(machine, 'CPUInfo', f'{cores} processors')])


@own('the load', 'LoadAvg', 'CPUInfo')
def load_high(view, machine):
    """The load of the last five minutes leaves the processors room."""
    cores, load = len((machine.value('CPUInfo') or {}).get('cpu_info') or []), (machine.value('LoadAvg') or {}).get('load5')
    if not cores or load is None:
        return unknown(machine.key, f'the load of {machine.label}: the answers hold no number', nodes=[machine.key])
    if load <= view.threshold('system_requirements_load_per_processor') * cores:
        return ok(machine.key, nodes=[machine.key])
    return warning(machine.key, f'{machine.label} is overloaded: a load of {load:.1f} for {cores} processors over five minutes',
                   'That many processes wait for a processor or a disk: etcd misses heartbeats, and probes fail.',
                   f'Find out what it is (talosctl -n {machine.label} processes, dashboard), and limit or move it.', nodes=[machine.key],
                   evidence=[seen(machine, 'LoadAvg', f'load5 {load:.2f}'), seen(machine, 'CPUInfo', f'{cores} processors')],
                   explained_by=(lacks_memory(machine),))


# -- SYS-3 ------------------------------------------------------------------------------------------------------

@own('the disk', 'VolumeStatuses')
def disk_small(view, machine):
    """The disk that Talos stands on has the size that it asks for; EPHEMERAL is what the system partitions leave of it."""
    size = int((machine.resource('VolumeStatuses', 'EPHEMERAL') or {}).get('size') or 0)
    minimum = view.threshold('system_requirements_ephemeral_minimum_gib')
    if size and size < minimum * GIB:
        return error(machine.key, f'EPHEMERAL of {machine.label} has {size / GIB:.1f} GiB, less than the {minimum:g} GiB of the smallest disk',
                     'Images, logs, etcd\'s data and everything of the pods share it: it is full soon, and then nothing is pulled or written.',
                     'Give the machine a larger disk; EPHEMERAL grows into it at the next boot.', nodes=[machine.key],
                     evidence=[seen(machine, 'VolumeStatuses', f'EPHEMERAL: size {size}')])
    unseen = unread([machine], 'SystemDisks', 'Disks')
    if unseen:
        return unknown(machine.key, f'how large the disk of {machine.label} is: {"; ".join(unseen)}', nodes=[machine.key])
    name = (machine.resource('SystemDisks', 'system-disk') or {}).get('diskID')
    disk = machine.resource('Disks', name) if name else None
    if not isinstance(disk, dict) or not disk.get('size'):
        return not_applicable(machine.key, f'{machine.label} is not installed on a disk', nodes=[machine.key])
    minimum, recommended = (view.threshold(f'system_requirements_disk_{kind}_gib') for kind in ('minimum', 'recommended'))
    size = int(disk['size'])
    evidence = [seen(machine, 'Disks', f'{name}: {size / GIB:.1f} GiB')]
    if size < minimum * GIB:
        return warning(machine.key, f'the disk {name} of {machine.label} has {size / GIB:.1f} GiB; at least {minimum:g} GiB are required',
                       'It is full soon: images, logs, etcd\'s data and everything of the pods share it.',
                       'Give the machine a larger disk; EPHEMERAL grows into it at the next boot.', nodes=[machine.key], evidence=evidence)
    if size < recommended * GIB:
        return info(machine.key, f'the disk {name} of {machine.label} has {size / GIB:.1f} GiB; {recommended:g} GiB are recommended',
                    'It is enough to run, and little to grow.', 'Consider a larger disk.', nodes=[machine.key], evidence=evidence)
    return ok(machine.key, nodes=[machine.key])


# -- EXT-CGROUP -------------------------------------------------------------------------------------------------

@own('the hierarchy of cgroups', 'Mounts')
def cgroup_v1(view, machine):
    """The machine runs on cgroups of version 2, which Talos requires from 1.10 on; those of version 1 mount each controller by itself."""
    paths = {mount.get('mounted_on') for mount in (machine.value('Mounts') or {}).get('stats') or []}
    controllers = sorted(paths & {'/sys/fs/cgroup/memory', '/sys/fs/cgroup/cpu', '/sys/fs/cgroup/cpu,cpuacct', '/sys/fs/cgroup/cpuset'})
    if not controllers:
        return ok(machine.key, nodes=[machine.key])
    return error(machine.key, f'{machine.label} runs on cgroups of version 1',
                 'Talos requires version 2 from 1.10 on, and so does the kubelet from 1.35 on.',
                 'Take talos.unified_cgroup_hierarchy=0 out of the kernel arguments, and reboot.', nodes=[machine.key],
                 evidence=[seen(machine, 'Mounts', f'mounted: {listed(controllers)}')])


_PRESSURE = {'processors': 'PressureCPU', 'disks': 'PressureIO', 'memory': 'PressureMemory'}


@own('the pressure', *_PRESSURE.values())
def pressure_high(view, machine):
    """Nothing waits for processors, disks or memory for much of its time (PSI, as os:admin alone may read it)."""
    shares = {name: _some(machine.value(kind)) for name, kind in _PRESSURE.items()}
    high = {name: share for name, share in shares.items() if share is not None and share > view.threshold('system_requirements_pressure_percent')}
    if high:
        return warning(machine.key, f'{machine.label} is under pressure: within the last minute something waited for '
                       f'{listed(f"{name} {share:.0f} %" for name, share in high.items())} of the time',
                       'What runs there is slowed down by what it waits for, etcd first.',
                       'Find out what uses it (talosctl dashboard, processes, cgroups --preset=psi), and limit or move it.', nodes=[machine.key],
                       evidence=[seen(machine, _PRESSURE[name], (machine.value(_PRESSURE[name]) or '').splitlines()[0]) for name in high],
                       explained_by=(lacks_memory(machine),))
    unseen = [name for name, share in shares.items() if share is None]
    if unseen:
        return unknown(machine.key, f'whether {machine.label} is under pressure: nothing is told of {listed(unseen)}', nodes=[machine.key])
    return ok(machine.key, nodes=[machine.key])


def _some(text):
    """The share of the last minute, in percent, in which at least something waited: C(some avg10=… avg60=…)."""
    for line in str(text or '').splitlines():
        fields = dict(field.split('=', 1) for field in line.split() if '=' in field)
        if line.startswith('some ') and 'avg60' in fields:
            try:
                return float(fields['avg60'])
            except ValueError:
                return None
    return None


# -- EXT-SEC ----------------------------------------------------------------------------------------------------

_STATES = {'secureBoot': 'secure boot', 'selinuxState': 'SELinux', 'fipsState': 'FIPS', 'moduleSignatureEnforced': 'signatures of modules'}


def security_differs(view):
    """Machines of one cluster are secured alike; how is the user's own decision."""
    read = [machine for machine in ordered(view.snapshot.answering()) if machine.datum('SecurityStates').ok and not view.container(machine)]
    found = []
    for key, called in _STATES.items():
        told = {}
        for machine in read:
            state = machine.resource('SecurityStates', 'securitystate') or {}
            if key in state:
                told.setdefault(str(state[key]).lower(), []).append(machine)
        if len(told) > 1:
            few = min(told.values(), key=len)
            words = '; '.join(f'{value} on {listed(m.label for m in machines)}' for value, machines in sorted(told.items()))
            found.append(info(f'security {key}', f'{called} differs between the machines: {words}',
                              'One of them may have been set up otherwise than meant.',
                              'Compare image and configuration of these machines.', nodes=[m.key for m in few],
                              evidence=[seen(m, 'SecurityStates', f'{key}: {value}') for value, machines in told.items() for m in machines]))
    open_to_all = [m for m in read if ((m.value('Version') or {}).get('features') or {}).get('rbac') is False]
    if open_to_all:
        found.append(info('security rbac', f'RBAC of the Talos API is switched off on {listed(m.label for m in open_to_all)}',
                          'Every client certificate has all rights there.', 'Switch machine.features.rbac on.', nodes=[m.key for m in open_to_all],
                          evidence=[seen(m, 'Version', 'features.rbac: false') for m in open_to_all]))
    if found:
        return found
    if not read and view.snapshot.answering():
        unseen = unread([m for m in view.snapshot.answering() if not view.container(m)], 'SecurityStates')
        return unknown('cluster', f'whether the machines are secured alike: {"; ".join(unseen)}') if unseen else \
            not_applicable('cluster', 'in container mode security is the host\'s')
    return ok('cluster')


def _sizes(name, what, unit, control_plane, worker):
    return {f'{name}_control_plane': Threshold(control_plane, unit, f'{what} of a control plane node'),
            f'{name}_worker': Threshold(worker, unit, f'{what} of a worker')}


CHECKS = (
    Check('system_requirements.memory_small', SECTION, 'the machine has enough memory', memory_small, each=ALL, reads=('Version', 'Memory'),
          catalogue='SYS-1 SYS-4', thresholds={
              **_sizes('system_requirements_memory_minimum_mib', 'least memory', 'MiB', 1698, 874),
              **_sizes('system_requirements_memory_recommended_mib', 'recommended memory', 'MiB', 3946, 1898)}),
    Check('system_requirements.processors_few', SECTION, 'the machine has enough processors', processors_few, each=ALL, reads=('Version', 'CPUInfo'),
          catalogue='SYS-2', thresholds=_sizes('system_requirements_processors_minimum', 'least number of processors', 'count', 2, 1)),
    Check('system_requirements.disk_small', SECTION, 'the disk is large enough', disk_small, each=ALL,
          reads=('Version', 'VolumeStatuses', 'SystemDisks', 'Disks'),
          catalogue='SYS-3', thresholds={
              'system_requirements_ephemeral_minimum_gib': Threshold(3.84, 'GiB', 'least size of EPHEMERAL: a disk of 6 GiB less the system partitions'),
              'system_requirements_disk_minimum_gib': Threshold(10, 'GiB', 'least size of the disk that Talos is installed on'),
              'system_requirements_disk_recommended_gib': Threshold(100, 'GiB', 'recommended size of the disk that Talos is installed on')}),
    Check('system_requirements.load_high', SECTION, 'the machine is not overloaded', load_high, each=ALL, reads=('Version', 'LoadAvg', 'CPUInfo'),
          catalogue='SYS-6', thresholds={
              'system_requirements_load_per_processor': Threshold(4, 'ratio', 'load over five minutes that each processor may have')}),
    Check('system_requirements.cgroup_v1', SECTION, 'cgroups are of version 2', cgroup_v1, each=ALL, reads=('Version', 'Mounts'),
          catalogue='EXT-CGROUP'),
    Check('system_requirements.pressure_high', SECTION, 'nothing waits long for processors, disks or memory', pressure_high, each=ALL,
          reads=('Version', *_PRESSURE.values()), role='os:admin', catalogue='EXT-CGROUP', sharpens=True, thresholds={
              'system_requirements_pressure_percent': Threshold(40, '%', 'share of the last minute in which something may have waited for a resource')}),
    Check('system_requirements.security_differs', SECTION, 'the machines are secured alike', security_differs, reads=('SecurityStates', 'Version'),
          catalogue='EXT-SEC', sharpens=True),
)
