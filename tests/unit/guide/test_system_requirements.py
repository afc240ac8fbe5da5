# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "System Requirements": the rules of SYS-1 to SYS-6, EXT-DISK, EXT-VOL, EXT-KERN and their kin, and what is said without the data."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import system_requirements
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time
from tests import recorded, removal
from tests.unit.guide import machines
from tests.unit.guide.judging import findings, lose, node, one, report
from tests.unit.guide.machines import GIB

CHECKS = system_requirements.CHECKS
ID = 'system_requirements.'


def judged(snapshot, thresholds=None):
    return {(f['check'].removeprefix(ID), *f['nodes']): f['verdict'] for f in findings(report(snapshot, thresholds, CHECKS))}


def booted(snapshot, machine, seconds, stage='running'):
    machine.value('MachineStatuses')[0]['created'] = format_time(snapshot.now - timedelta(seconds=seconds))
    machines.spec(machine, 'MachineStatuses')['stage'] = stage


# -- nothing wrong ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', recorded.SETS)
@pytest.mark.parametrize('later', [0, 86400])
def test_nothing_is_said_of_the_recorded_machines(name, later):
    """Containers: memory, disk, load and kernel are their host's, META waits for ever."""
    found = report(machines.recorded(name, later), checks=CHECKS)
    assert not found['findings'] and found['sections']['system_requirements']['verdict'] == 'ok'


def test_nothing_is_said_on_metal():
    """The recorded kernel log tells of an "EDAC MC" and of XFS; the root is full; overlays and directories are volumes too."""
    assert not judged(machines.metal())


def test_a_reader_is_told_of_all_but_the_pressure():
    snapshot = machines.metal()
    for machine in snapshot.machines:
        for kind in ('PressureCPU', 'PressureIO', 'PressureMemory', 'OOMActions'):
            lose(machine, kind, 'refused')
    found = report(snapshot, checks=CHECKS)
    assert {f['check'] for f in found['findings']} == {f'{ID}pressure_high'} and found['sections']['system_requirements']['verdict'] == 'ok'


# -- SYS-1, SYS-2, SYS-3, SYS-6 -----------------------------------------------------------------------------------

@pytest.mark.parametrize('name, mib, verdict', [('cp1', 1697, 'error'), ('cp1', 1698, 'info'), ('cp1', 3945, 'info'), ('cp1', 3946, None),
                                                ('w1', 873, 'error'), ('w1', 874, 'info'), ('w1', 1897, 'info'), ('w1', 1898, None)])
def test_memory_by_what_the_machine_is_for(name, mib, verdict):
    snapshot = machines.metal()
    machines.put(node(snapshot, name), 'Memory', {'meminfo': {'memtotal': mib * 1024}})
    assert judged(snapshot) == ({('memory_small', name): verdict} if verdict else {})


def test_too_little_memory_in_words():
    snapshot = machines.metal()
    machines.put(node(snapshot, 'cp1'), 'Memory', {'meminfo': {'memtotal': 1024 * 1024}})
    found = one(report(snapshot, checks=CHECKS), f'{ID}memory_small')
    assert found['title'] == 'cp1 has 1024 MiB of memory, less than the 1698 MiB that a control plane node needs'
    less = {f'system_requirements_memory_{kind}_mib_control_plane': 1000 for kind in ('minimum', 'recommended')}
    assert not findings(report(snapshot, less, CHECKS))


@pytest.mark.parametrize('name, cores, verdict', [('cp1', 1, 'warning'), ('cp1', 2, None), ('w1', 1, None)])
def test_processors(name, cores, verdict):
    snapshot = machines.metal()
    machines.put(node(snapshot, name), 'CPUInfo', {'cpu_info': [{'model_name': 'x'}] * cores})
    assert judged(snapshot) == ({('processors_few', name): verdict} if verdict else {})


@pytest.mark.parametrize('load, verdict', [(16.0, None), (16.1, 'warning')])
def test_load(load, verdict):
    snapshot = machines.metal()
    machines.put(node(snapshot, 'w1'), 'LoadAvg', {'load1': 40.0, 'load5': load, 'load15': 3.0})
    assert judged(snapshot) == ({('load_high', 'w1'): verdict} if verdict else {})


@pytest.mark.parametrize('disk, ephemeral, verdict', [(6.0, 3.8, 'error'), (9.9, 7.7, 'warning'), (10.0, 7.8, 'info'), (99.0, 96.0, 'info'),
                                                      (100.0, 97.0, None)])
def test_the_size_of_the_disk(disk, ephemeral, verdict):
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    machines.spec(machine, 'Disks', 'vda')['size'] = int(disk * GIB)
    machines.spec(machine, 'VolumeStatuses', 'EPHEMERAL')['size'] = int(ephemeral * GIB)
    assert judged(snapshot) == ({('disk_small', 'w1'): verdict} if verdict else {})


def test_a_machine_that_is_not_installed_on_a_disk():
    snapshot = machines.metal()
    machines.put(node(snapshot, 'w1'), 'SystemDisks', [])
    assert not judged(snapshot)


# -- EXT-CGROUP, EXT-SEC ------------------------------------------------------------------------------------------

def test_cgroups_of_version_1():
    snapshot = machines.metal()
    node(snapshot, 'w1').value('Mounts')['stats'].append({'filesystem': 'cgroup', 'mounted_on': '/sys/fs/cgroup/memory', 'size': 0, 'available': 0})
    assert judged(snapshot) == {('cgroup_v1', 'w1'): 'error'}
    assert not judged(machines.recorded()), 'recorded: containers ran on version 1, which was their host\'s'


@pytest.mark.parametrize('share, verdict', [(40.0, None), (40.1, 'warning')])
def test_pressure(share, verdict):
    snapshot = machines.metal()
    machines.put(node(snapshot, 'cp1'), 'PressureIO', machines.pressure(share))
    assert judged(snapshot) == ({('pressure_high', 'cp1'): verdict} if verdict else {})
    machines.put(node(snapshot, 'cp1'), 'PressureIO', 'damaged')
    assert judged(snapshot) == {('pressure_high', 'cp1'): 'unknown'}


def test_machines_that_are_secured_otherwise_than_the_rest():
    snapshot = machines.metal()
    machines.spec(node(snapshot, 'w1'), 'SecurityStates')['secureBoot'] = True
    node(snapshot, 'cp2').value('Version')['features'] = {'rbac': False}
    assert judged(snapshot) == {('security_differs', 'w1'): 'info', ('security_differs', 'cp2'): 'info'}


# -- EXT-DISK -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('used, verdict', [(0.84, None), (0.85, 'warning'), (0.89, 'warning'), (0.90, 'error'), (0.99, 'error')])
def test_how_full_the_disk_is(used, verdict):
    snapshot = machines.metal()
    machines.put(node(snapshot, 'w1'), 'Mounts', {'stats': machines.mounts(used)})
    assert judged(snapshot) == ({('disk_full', 'w1'): verdict} if verdict else {})


def test_what_fills_the_disk_is_named():
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    machines.put(machine, 'Mounts', {'stats': machines.mounts(0.93)})
    machines.put(machine, 'DiskUsage', [{'name': name, 'size': int(gib * GIB)} for name, gib in (
        ('/var', 93), ('/var/lib', 90), ('/var/lib/containerd', 70), ('/var/lib/kubelet', 20), ('/var/log', 3))])
    found = one(report(snapshot, checks=CHECKS), f'{ID}disk_full')
    assert found['title'] == '/var of w1 is 93% full: 7.0 of 100.0 GiB are left'
    assert '/var/lib/containerd holds most of it, 70.0 GiB' in found['means']
    assert '/var/lib 90' not in found['evidence'][1]['text']


def test_a_volume_of_its_own_for_etcd():
    snapshot = machines.metal()
    machine = node(snapshot, 'cp1')
    own = {'filesystem': '/dev/vdb1', 'mounted_on': '/var/lib/etcd', 'size': 10 * GIB, 'available': GIB // 2}
    machines.put(machine, 'Mounts', {'stats': [*machines.mounts(0.3), own]})
    found = one(report(snapshot, checks=CHECKS), f'{ID}disk_full')
    assert found['verdict'] == 'error' and found['subject'] == f'{machine.key}/var/lib/etcd'


def test_mounts_without_var_are_unknown():
    snapshot = machines.metal()
    machines.put(node(snapshot, 'w1'), 'Mounts', {'stats': machines.mounts(0.3, path='/elsewhere')})
    assert judged(snapshot) == {('disk_full', 'w1'): 'unknown'}


# -- EXT-VOL, EXT-IMG ---------------------------------------------------------------------------------------------

FORMAT = 'error formatting XFS: exit status 1: Unable to open config file /usr/share/xfsprogs/mkfs/lts_6.18.conf. Aborting.'


def state_failed(snapshot, name='cp2'):
    """As recorded on m1: STATE cannot be formatted, EPHEMERAL waits behind it, and /var is not mounted."""
    machine = node(snapshot, name)
    booted(snapshot, machine, 3600, 'booting')
    machines.spec(machine, 'VolumeStatuses', 'STATE').update(phase='failed', preFailPhase='prepared', errorMessage=FORMAT)
    machines.spec(machine, 'VolumeStatuses', 'EPHEMERAL').clear()
    machines.spec(machine, 'VolumeStatuses', 'EPHEMERAL').update(phase='waiting', type='partition')
    machines.put(machine, 'Mounts', {'stats': machines.mounts(0.3, path='/elsewhere')})
    machine.logs['dmesg'] = Datum('read', machines.text('metal-volume-failed-dmesg'))
    return machine


def test_a_system_volume_that_failed_is_one_finding():
    snapshot = machines.metal()
    machine = state_failed(snapshot)
    found = findings(report(snapshot, checks=CHECKS))
    assert [(f['check'], f['verdict'], f['subject']) for f in found] == [(f'{ID}volume_failed', 'critical', f'{machine.key}/STATE')]
    assert FORMAT in found[0]['title'] and 'EPHEMERAL waits behind it' in found[0]['means']
    assert any('formatting XFS' in e['text'] and e['source'] == 'log dmesg' for e in found[0]['evidence'])


def test_the_log_tells_of_it_where_volumes_are_not_read():
    snapshot = machines.metal()
    lose(state_failed(snapshot), 'VolumeStatuses')
    told = judged(snapshot)
    assert told['volume_failed', 'cp2'] == 'critical'
    assert {verdict for (check, *_nodes), verdict in told.items() if check != 'volume_failed'} == {'unknown'}


def test_a_failure_that_was_overcome_is_history():
    """Recorded: the same volume is ready at the next boot."""
    snapshot = machines.metal()
    machine = node(snapshot, 'cp2')
    machine.logs['dmesg'] = Datum('read', machines.text('metal-volume-failed-dmesg') + machines.text('metal-dmesg'))
    assert not judged(snapshot)
    lose(machine, 'VolumeStatuses')
    assert judged(snapshot)['volume_failed', 'cp2'] == 'unknown'


@pytest.mark.parametrize('name, phase, seconds, stage, verdict', [
    ('u-data', 'failed', 86400, 'running', 'error'), ('u-data', 'missing', 86400, 'running', 'error'), ('u-data', 'waiting', 60, 'running', 'info'),
    ('EPHEMERAL', 'waiting', 3600, 'booting', 'error'), ('EPHEMERAL', 'waiting', 60, 'booting', 'info'),
    ('STATE', 'missing', 86400, 'maintenance', None), ('META', 'failed', 86400, 'running', 'critical'),
    ('u-data', 'provisioned', 86400, 'running', None)])
def test_volumes_that_do_not_come_up(name, phase, seconds, stage, verdict):
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    if name.startswith('u-'):
        machine.value('VolumeStatuses').append(machines.item(name, {'phase': phase, 'type': 'partition'}))
    machines.spec(machine, 'VolumeStatuses', name)['phase'] = phase
    booted(snapshot, machine, seconds, stage)
    assert judged(snapshot) == ({('volume_failed', 'w1'): verdict} if verdict else {})


def test_meta_waits_for_ever_in_a_container_and_not_on_metal():
    snapshot = machines.recorded()
    assert machines.spec(node(snapshot, 'w1'), 'VolumeStatuses', 'META')['phase'] == 'waiting' and not judged(snapshot)
    snapshot = machines.metal()
    machines.spec(node(snapshot, 'w1'), 'VolumeStatuses', 'META')['phase'] = 'waiting'
    assert judged(snapshot) == {('volume_failed', 'w1'): 'error'}


def test_keys_of_encrypted_volumes():
    snapshot = machines.metal()
    machines.spec(node(snapshot, 'w1'), 'VolumeStatuses', 'EPHEMERAL')['encryptionFailedSyncs'] = ['slot 1: kms: connection refused']
    assert judged(snapshot) == {('encryption_out_of_sync', 'w1'): 'warning'}


@pytest.mark.parametrize('status, copy, seconds, verdict', [('ready', 'ready', 86400, None), ('disabled', 'skipped', 86400, None),
                                                            ('preparing', 'pending', 86400, 'warning'), ('ready', 'pending', 86400, 'warning'),
                                                            ('preparing', 'unknown', 60, 'info')])
def test_the_image_cache(status, copy, seconds, verdict):
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    machines.spec(machine, 'ImageCacheConfigs').update(status=status, copyStatus=copy)
    booted(snapshot, machine, seconds)
    assert judged(snapshot) == ({('image_cache', 'w1'): verdict} if verdict else {})


# -- SYS-5 --------------------------------------------------------------------------------------------------------

def killed(victim, cgroup=False):
    what = 'Memory cgroup out of memory' if cgroup else 'Out of memory'
    return f'{what}: Killed process 1855 ({victim}) total-vm:1322108kB, anon-rss:22144kB, file-rss:9912kB, shmem-rss:0kB, UID:0'


def oom(snapshot, name, victim, ago=60, cgroup=False):
    machines.kernel(snapshot, node(snapshot, name), (ago, 'kern', 'err', killed(victim, cgroup)))


@pytest.mark.parametrize('victim, verdict', [('etcd', 'error'), ('kube-apiserver', 'error'), ('kubelet', 'error'), ('containerd', 'error'),
                                             ('java', 'warning'), ('etcdctl', 'warning')])
def test_what_the_kernel_ended(victim, verdict):
    snapshot = machines.metal()
    oom(snapshot, 'cp1', victim)
    found = one(report(snapshot, checks=CHECKS), f'{ID}out_of_memory')
    assert (found['verdict'], found['nodes']) == (verdict, ['cp1']) and victim in found['title']


def test_the_worst_victim_of_the_day_counts():
    snapshot = machines.metal()
    oom(snapshot, 'cp1', 'etcd', ago=7200)
    oom(snapshot, 'cp1', 'java', ago=60)
    found = one(report(snapshot, checks=CHECKS), f'{ID}out_of_memory')
    assert found['verdict'] == 'error' and 'which ended etcd' in found['title'] and '(etcd)' in found['evidence'][0]['text']


def test_of_what_is_long_ago_only_is_told():
    snapshot = machines.metal()
    oom(snapshot, 'cp1', 'etcd', ago=90000)
    assert judged(snapshot) == {('out_of_memory', 'cp1'): 'info'}


def test_a_container_that_used_up_its_own_limit_is_no_lack_of_the_machine():
    snapshot = machines.metal()
    oom(snapshot, 'w1', 'java', cgroup=True)
    found = one(report(snapshot, checks=CHECKS), f'{ID}out_of_memory')
    assert found['verdict'] == 'warning' and 'its container may have' in found['title'] and 'limit of that container' in found['next_step']


def test_a_lack_of_memory_explains_what_was_ended():
    snapshot = machines.metal()
    machines.put(node(snapshot, 'cp1'), 'Memory', {'meminfo': {'memtotal': 1024 * 1024}})
    oom(snapshot, 'cp1', 'etcd')
    found = {f['check']: f for f in report(snapshot, checks=CHECKS)['findings']}
    assert found[f'{ID}out_of_memory']['because_of'] == [found[f'{ID}memory_small']['id']]


def sigkill(cgroup):
    return (60, 'WARN', 'Sending SIGKILL to cgroup {"component": "controller-runtime", "controller": "runtime.OOMController", '
                        f'"cgroup": "{cgroup}"}}')


@pytest.mark.parametrize('cgroup, actions, verdict', [
    ('/sys/fs/cgroup/kubepods/burstable/pod77f06c5c', [], 'warning'), ('/sys/fs/cgroup/podruntime/kubelet', [], 'error'),
    ('/sys/fs/cgroup/kubepods/burstable/pod77f06c5c', ['/usr/local/bin/kube-apiserver --advertise-address=10.5.0.2'], 'error')])
def test_what_talos_ended(cgroup, actions, verdict):
    """Its own record, which os:admin alone may read, tells what ran in the cgroup."""
    snapshot = machines.metal()
    machine = node(snapshot, 'cp1')
    machines.controllers(snapshot, machine, sigkill(cgroup))
    machines.put(machine, 'OOMActions', [machines.item('1', {'triggerContext': '', 'score': 1, 'processes': actions})])
    assert judged(snapshot) == {('out_of_memory', 'cp1'): verdict}


def test_lines_in_two_logs_are_one_event():
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    oom(snapshot, 'w1', 'java')
    machine.logs['machined'] = Datum('read', machine.log('machined').value + f'{machine.log("dmesg").value.splitlines()[-1]}\n')
    assert len(one(report(snapshot, checks=CHECKS), f'{ID}out_of_memory')['evidence']) == 1


@pytest.mark.parametrize('text, ago, verdict', [
    ('must evict pod(s) to reclaim memory', 60, 'error'), ('attempting to reclaim memory', 60, 'warning'),
    ('must evict pod(s) to reclaim ephemeral-storage', 60, 'error'), ('must evict pod(s) to reclaim memory', 1200, None)])
def test_pods_that_the_kubelet_evicts(text, ago, verdict):
    snapshot = machines.metal()
    at = (snapshot.now - timedelta(seconds=ago)).timestamp() * 1000
    line = f'{{"ts":{at:.4f},"caller":"eviction/eviction_manager.go:340","msg":"eviction manager: {text}"}}\n'
    node(snapshot, 'w1').logs['kubelet'] = Datum('read', line)
    assert judged(snapshot) == ({('pods_evicted', 'w1'): verdict} if verdict else {})


def test_a_full_disk_explains_evictions():
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    machines.put(machine, 'Mounts', {'stats': machines.mounts(0.95)})
    at = snapshot.now.timestamp() * 1000 - 60000
    machine.logs['kubelet'] = Datum('read', f'{{"ts":{at:.4f},"msg":"eviction manager: must evict pod(s) to reclaim ephemeral-storage"}}\n')
    found = {f['check']: f for f in report(snapshot, checks=CHECKS)['findings']}
    assert found[f'{ID}pods_evicted']['because_of'] == [found[f'{ID}disk_full']['id']]


# -- EXT-KERN, EXT-CONNTRACK --------------------------------------------------------------------------------------

@pytest.mark.parametrize('line, verdict', [
    ('I/O error, dev vda, sector 4096 op 0x1:(WRITE) flags 0x800 phys_seg 1 prio class 2', 'error'),
    ('XFS (vda6): Metadata I/O Error (0x4) detected at xfs_trans_read_buf_map. Shutting down filesystem.', 'error'),
    ('EXT4-fs error (device vda4): ext4_find_entry:1463: inode #2: comm init: reading directory lblock 0', 'error'),
    ('I/O error, dev sdb, sector 4096 op 0x0:(READ)', 'error'), ('nvme nvme0: I/O 128 QID 3 timeout, aborting', 'error'),
    ('INFO: task etcd:2100 blocked for more than 120 seconds.', 'error'),
    ('watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [kworker/1:1]', 'error'),
    ('Kernel panic - not syncing: Attempted to kill init!', 'error'), ('init[1]: segfault at 0 ip 0000 sp 0000 error 4 in init', 'error'),
    ('mce: [Hardware Error]: Machine Check Exception: 5 Bank 4: be00000000800400', 'error'),
    ('EDAC MC0: 1 UE memory read error on CPU_SrcID#0', 'error'),
    ('EDAC MC0: 1 CE memory read error on CPU_SrcID#0', 'warning'), ('mce: [Hardware Error]: Machine check events logged', 'warning')])
def test_what_the_kernel_says_of_failing_parts(line, verdict):
    snapshot = machines.metal()
    machine = node(snapshot, 'cp1')
    machines.kernel(snapshot, machine, (3600, 'kern', 'err', line))
    assert judged(snapshot) == {('kernel_errors', 'cp1'): verdict}


@pytest.mark.parametrize('facility, level, line', [
    ('kern', 'info', 'EDAC MC: Ver: 3.0.0'), ('kern', 'err', 'I/O error, dev fd0, sector 0 op 0x0:(READ)'),
    ('kern', 'err', 'I/O error, dev sr0, sector 0'),
    ('kern', 'info', 'nginx[4711]: segfault at 10 ip 00007f error 4'), ('user', 'warning', '[talos] retrying error: I/O error, dev vda'),
    ('kern', 'notice', 'XFS (vda6): Ending clean mount'), ('kern', 'err', 'ACPI BIOS Error (bug): Could not resolve symbol')])
def test_what_is_no_fault_of_the_machine(facility, level, line):
    snapshot = machines.metal()
    machines.kernel(snapshot, node(snapshot, 'cp1'), (3600, facility, level, line))
    assert not judged(snapshot)


def test_a_fault_of_yesterday_is_told():
    snapshot = machines.metal()
    machines.kernel(snapshot, node(snapshot, 'cp1'), (90000, 'kern', 'err', 'I/O error, dev vda, sector 4096'))
    assert judged(snapshot) == {('kernel_errors', 'cp1'): 'info'}


def test_each_kind_of_fault_is_one_finding():
    snapshot = machines.metal()
    machines.kernel(snapshot, node(snapshot, 'cp1'), *((ago, 'kern', 'err', f'I/O error, dev vda, sector {ago}') for ago in (50, 40, 30)),
                    (20, 'kern', 'err', 'INFO: task etcd:2100 blocked for more than 120 seconds.'))
    found = findings(report(snapshot, checks=CHECKS))
    assert [f['subject'].partition('/')[2] for f in found] == ['disk', 'stall']
    assert found[0]['title'].endswith('(vda)') and 'the last of 3 lines' in found[0]['evidence'][0]['text']


@pytest.mark.parametrize('ago, verdict', [(60, 'warning'), (3600, 'info')])
def test_a_table_of_connections_that_is_full(ago, verdict):
    snapshot = machines.metal()
    machines.kernel(snapshot, node(snapshot, 'w1'), (ago, 'kern', 'warning', 'nf_conntrack: nf_conntrack: table full, dropping packet'))
    assert judged(snapshot) == {('conntrack_full', 'w1'): verdict}


# -- without the data ---------------------------------------------------------------------------------------------

def _mounts(snapshot):
    machines.put(node(snapshot, 'w1'), 'Mounts', {'stats': machines.mounts(0.95)})


PROBLEMS = {
    'memory': lambda s: machines.put(node(s, 'cp1'), 'Memory', {'meminfo': {'memtotal': 1024 * 1024}}),
    'processors': lambda s: machines.put(node(s, 'cp1'), 'CPUInfo', {'cpu_info': [{}]}),
    'load': lambda s: machines.put(node(s, 'w1'), 'LoadAvg', {'load5': 50.0}),
    'EPHEMERAL': lambda s: machines.spec(node(s, 'w1'), 'VolumeStatuses', 'EPHEMERAL').update(size=2 * GIB),
    'disk': lambda s: machines.spec(node(s, 'w1'), 'Disks', 'vda').update(size=8 * GIB),
    'full': _mounts,
    'volume': state_failed,
    'META': lambda s: machines.spec(node(s, 'w1'), 'VolumeStatuses', 'META').update(phase='waiting'),
    'image cache': lambda s: machines.spec(node(s, 'w1'), 'ImageCacheConfigs').update(status='preparing', copyStatus='unknown'),
    'killed': lambda s: oom(s, 'cp1', 'etcd'),
    'ended by Talos': lambda s: machines.controllers(s, node(s, 'cp1'), sigkill('/sys/fs/cgroup/podruntime/kubelet')),
    'kernel': lambda s: machines.kernel(s, node(s, 'cp1'), (60, 'kern', 'err', 'I/O error, dev sdb, sector 4096')),
    'connections': lambda s: machines.kernel(s, node(s, 'cp1'), (60, 'kern', 'warning', 'nf_conntrack: table full, dropping packet')),
    'pressure': lambda s: machines.put(node(s, 'cp1'), 'PressureIO', machines.pressure(80)),
}


@pytest.mark.parametrize('name', PROBLEMS)
def test_no_missing_datum_hides_a_fault_of_the_machine(name):
    snapshot = machines.metal()
    PROBLEMS[name](snapshot)
    assert machines.hides(snapshot, CHECKS) == []


def test_what_was_not_read_is_no_fault():
    snapshot = machines.metal()
    chosen = settings.build(CHECKS)
    assert removal.alarms(snapshot, chosen, CHECKS, removal.some(snapshot, 2, 10, removal.HARMLESS)) == []


@pytest.mark.parametrize('kind', ['Memory', 'CPUInfo', 'LoadAvg', 'Mounts', 'VolumeStatuses', 'Disks', 'SystemDisks', 'ImageCacheConfigs',
                                  'log dmesg'])
def test_each_of_these_is_needed(kind):
    snapshot = machines.metal()
    lose(node(snapshot, 'cp1'), kind.removeprefix('log '), log=kind.startswith('log '))
    assert report(snapshot, checks=CHECKS)['sections']['system_requirements']['verdict'] == 'unknown'
