# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorded cluster with machines of their own: what a container cannot show is as on the recorded machine m1 (mode metal), sizes enlarged."""

from __future__ import annotations

import functools
import lzma
import pickle
from datetime import timedelta
from pathlib import Path

from ansible_collections.talosops.talos.plugins.module_utils.guide import clocks, network_configuration, system_requirements
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import GATE_LOGS, GATE_READS
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time, parse_time
from tests import removal
from tests.unit.guide import judging

CHECKS = (*network_configuration.CHECKS, *system_requirements.CHECKS, *clocks.CHECKS)
DATA = Path(__file__).parent / 'data'
GIB = 1024 ** 3
DAY = 86400
DIRECTORIES = ('/var/lib', '/var/lib/cni', '/var/lib/containerd', '/var/lib/kubelet', '/var/log', '/var/log/audit', '/var/mnt', 'ETCD')
OVERLAYS = ('/etc/cni', '/etc/kubernetes', '/opt', '/usr/libexec/kubernetes')


def text(name):
    """A recorded log."""
    return lzma.decompress((DATA / f'{name}.log.xz').read_bytes()).decode()


def recorded(name='healthy', later=DAY):
    """A copy of a recorded set, so many seconds later, its clocks shifted with it: nothing in it is young."""
    return pickle.loads(_pickled(_recorded, name, later))


def metal(name='healthy', later=DAY):
    """The same on metal."""
    return pickle.loads(_pickled(_metal, name, later))


@functools.cache
def _pickled(make, name, later):
    return pickle.dumps(make(name, later))


def _recorded(name, later):
    snapshot = judging.recording(name, later)
    for machine in snapshot.machines:
        said = machine.value('Time')
        if said:
            for key in ('localtime', 'remotetime', 'sent_at', 'received_at'):
                said[key] = format_time(parse_time(said[key]) + timedelta(seconds=later))
    return snapshot


def _metal(name, later):
    snapshot = _recorded(name, later)
    for machine in snapshot.answering():
        machine.value('Version')['platform'] = {'name': 'metal', 'mode': 'metal'}
        put(machine, 'Memory', {'meminfo': {'memtotal': 7900 * 1024, 'memavailable': 6000 * 1024}})
        put(machine, 'CPUInfo', {'cpu_info': [{'model_name': 'AMD EPYC', 'cpu_mhz': 2596.1}] * 4})
        put(machine, 'LoadAvg', {'load1': 1.6, 'load5': 1.4, 'load15': 1.3})
        put(machine, 'Mounts', {'stats': mounts()})
        put(machine, 'VolumeStatuses', volumes())
        put(machine, 'Disks', [item('loop0', {'dev_path': '/dev/loop0', 'size': 178_000_000, 'readonly': True}),
                               item('vda', {'dev_path': '/dev/vda', 'size': 120 * GIB, 'transport': 'virtio', 'rotational': True})])
        put(machine, 'SystemDisks', [item('system-disk', {'diskID': 'vda', 'devPath': '/dev/vda'})])
        put(machine, 'TimeStatuses', [item('node', {'synced': True, 'epoch': 0, 'syncDisabled': False})])
        put(machine, 'AdjtimeStatuses', [item('node', {'offset': '312.607µs', 'status': 'STA_PLL | STA_NANO', 'syncStatus': True})])
        put(machine, 'OOMActions', [])
        put(machine, 'UnattendedInstallStatuses', [])
        for kind in ('PressureCPU', 'PressureIO', 'PressureMemory'):
            put(machine, kind, pressure(0.31))
        machine.data['DiskUsage'] = Datum(reason='the disk is not full: 10% of /var is used')
        machine.logs['dmesg'] = Datum('read', text('metal-dmesg'), at=machine.datum('Version').at)
    return snapshot


def put(machine, kind, value):
    machine.data[kind] = Datum('read', value, at=machine.datum('Version').at)


def item(resource_id, spec):
    return {'id': resource_id, 'namespace': 'runtime', 'version': '1', 'phase': 'running', 'owner': '', 'created': None, 'updated': None,
            'labels': {}, 'spec': spec}


def pressure(share):
    """What the kernel tells in a file of /proc/pressure."""
    return f'some avg10=0.00 avg60={share:.2f} avg300=0.10 total=64913577\nfull avg10=0.00 avg60={share / 2:.2f} avg300=0.05 total=59123411\n'


def mounts(used=0.1, size=100 * GIB, path='/var'):
    """As recorded on m1: the root is a squashfs and full, everything below /var shows the same filesystem."""
    left = round(size * (1 - used))
    rows = [('none', '/dev', 1.5 * GIB, 1.5 * GIB), ('/dev/loop0', '/', 178_000_000, 0), ('none', '/run', 1.5 * GIB, 1.4 * GIB),
            ('none', '/system', 1.5 * GIB, 1.5 * GIB), ('none', '/tmp', 0.06 * GIB, 0.06 * GIB), ('proc', '/proc', 0, 0),
            ('cgroup2', '/sys/fs/cgroup', 0, 0), ('/dev/vda5', path, size, left), ('none', '/etc/cni', size, left), ('none', '/opt', size, left),
            ('overlay', '/run/containerd/io.containerd.runtime.v2.task/system/etcd/rootfs', size, left)]
    return [{'filesystem': name, 'mounted_on': where, 'size': int(total), 'available': int(free)} for name, where, total, free in rows]


def volumes(size=100 * GIB):
    """As recorded on m1, by id: partitions, directories on EPHEMERAL, overlays."""
    found = [item(name, {'phase': 'ready', 'type': 'directory'}) for name in DIRECTORIES]
    found += [item(name, {'phase': 'ready', 'type': 'overlay'}) for name in OVERLAYS]
    found += [item(name, {'phase': 'ready', 'type': 'partition', 'location': f'/dev/vda{number}', 'size': bytes_, 'filesystem': kind})
              for name, number, bytes_, kind in (('EPHEMERAL', 5, size, 'xfs'), ('META', 3, 1_048_576, 'none'), ('STATE', 4, 104_857_600, 'xfs'))]
    return found


def spec(machine, kind, resource_id=None):
    """The spec of one resource, to be changed in place."""
    return next(each['spec'] for each in machine.value(kind) if resource_id is None or each['id'] == resource_id)


def kernel(snapshot, machine, *lines):
    """Add lines (seconds ago, facility, level, text) to the kernel's log."""
    told = ''.join(f'{facility}: {level:>7}: [{format_time(snapshot.now - timedelta(seconds=ago))}]: {line}\n'
                   for ago, facility, level, line in lines)
    machine.logs['dmesg'] = Datum('read', (machine.log('dmesg').value or '') + told)


def controllers(snapshot, machine, *lines):
    """The log of the controllers holds these lines (seconds ago, level, text) alone."""
    told = ''.join(f'{format_time(snapshot.now - timedelta(seconds=ago))} \x1b[31m{level}\x1b[0m {line}\n' for ago, level, line in lines)
    machine.logs['controller-runtime'] = Datum('read', told)


def hides(snapshot, checks):
    """What removal.py finds of these checks in a snapshot, of which only that is left which they look at."""
    kinds, logs = set(GATE_READS), set(GATE_LOGS)
    for check in checks:
        kinds.update(check.needs, check.reads)
        logs.update(check.logs)
    for machine in snapshot.machines:
        machine.data = {kind: datum for kind, datum in machine.data.items() if kind in kinds}
        machine.logs = {log: datum for log, datum in machine.logs.items() if log in logs}
    for part in ('data', 'servers'):
        snapshot.kubernetes[part] = {}
    for endpoint in snapshot.endpoints:
        endpoint.data = {}
    chosen = settings.build(checks)
    before = removal.outcomes(snapshot, chosen, checks)
    concerned = tuple(check for check in checks if check.id in {name for name, _subject in removal.problems(before)})
    assert concerned, 'there is no problem that could be hidden'
    return [*removal.violations(snapshot, chosen, concerned, removal.each(snapshot)),
            *removal.violations(snapshot, chosen, concerned, removal.some(snapshot, 1, 15))]


def report(snapshot, thresholds=None, checks=CHECKS):
    return judging.report(snapshot, thresholds, checks)


def verdicts(snapshot, check, thresholds=None):
    """{name of a machine, or subject: verdict} of a check, alone."""
    only = tuple(each for each in CHECKS if each.id == check)
    judged = report(snapshot, thresholds, only)
    return {(f['nodes'] or [f['subject']])[0]: f['verdict'] for f in judged['findings']}


def said(snapshot, check):
    """The only finding of a check, judged among all."""
    return judging.one(report(snapshot), check)
