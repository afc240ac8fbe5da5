# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine under Talos: processors, memory, load, links' counters, disks, clock, platform (talos-api 5.1, 6.3, 6.8).

Metal is a virtual machine with four processors and one disk; in a container all of it is the host's (rec).
"""

from __future__ import annotations

from tests.bed.grpc_server import UNIMPLEMENTED, Status
from tests.simulator import links, setup, storage
from tests.simulator.resource import Resource
from tests.simulator.schema import MESSAGES

CORES = 4
_HOST_CORES = 2
_MODEL = 'AMD EPYC'
_FLAGS = ('fpu', 'vme', 'de', 'pse', 'tsc', 'msr', 'pae', 'mce', 'cx8', 'apic', 'sep', 'mtrr', 'pge', 'mca', 'cmov', 'pat', 'sse', 'sse2', 'ssse3',
          'sse4_1', 'sse4_2', 'avx', 'avx2', 'hypervisor')
# The kernel disciplines its clock by small steps; a larger error is set at once, which it does not see.
_DISCIPLINED_MS = 128
# A machine at rest.
_LOAD = (0.42, 0.38, 0.35)
_COUNTERS = ('rx_bytes', 'rx_packets', 'rx_errors', 'rx_dropped', 'tx_bytes', 'tx_packets', 'tx_errors', 'tx_dropped')


def _contained(node):
    return node.model.platform == 'container'


async def _answer(send, name, mapping):
    await send(MESSAGES.encode(name, {'messages': [mapping]}))


# -- calls ----------------------------------------------------------------------------------------------------------

async def cpu_info(node, _request, send):
    cores = _HOST_CORES if _contained(node) else CORES
    await _answer(send, 'CPUsInfoResponse', {'cpu_info': [
        {'processor': number, 'vendor_id': 'AuthenticAMD', 'cpu_family': '26', 'model': '2', 'model_name': _MODEL, 'stepping': '1',
         'microcode': '0x1000065', 'cpu_mhz': 2596.12, 'cache_size': '1024 KB', 'physical_id': '0', 'siblings': cores, 'core_id': str(number),
         'cpu_cores': 0 if _contained(node) else cores, 'apic_id': str(number), 'initial_apic_id': str(number), 'fpu': 'yes', 'fpu_exception': 'yes',
         'cpu_id_level': 28, 'wp': 'yes', 'flags': list(_FLAGS), 'bugs': ['spectre_v1', 'spectre_v2'], 'bogo_mips': 5192.24, 'cl_flush_size': 64,
         'cache_alignment': 64, 'address_sizes': '48 bits physical, 48 bits virtual'} for number in range(cores)]})


async def load_avg(node, _request, send):
    await _answer(send, 'LoadAvgResponse', dict(zip(('load1', 'load5', 'load15'), _LOAD)))


async def memory(node, _request, send):
    total = node.memory_mib * 1024
    await _answer(send, 'MemoryResponse', {'meminfo': {
        'memtotal': total, 'memfree': total // 4, 'memavailable': total * 6 // 10, 'buffers': total // 50, 'cached': total // 3,
        'active': total // 5, 'inactive': total // 3, 'anonpages': total // 6, 'mapped': total // 15, 'slab': total // 17}})


async def read(_node, request, send):
    """Files: what the kernel tells of pressure is all that there is."""
    path = MESSAGES.decode('ReadRequest', request).get('path', '')
    if not path.startswith('/proc/pressure/'):
        raise Status(UNIMPLEMENTED, 'not simulated')
    lines = [f'{who} avg10=0.00 avg60={share:.2f} avg300={share:.2f} total={total}'
             for who, share, total in (('some', 0.31, 64913577), ('full', 0.12, 59123411))]
    await send(MESSAGES.encode('Data', {'bytes': ('\n'.join(lines) + '\n').encode()}))


async def network_device_stats(node, _request, send):
    """Every link but those that are not there; its counters grow with the time that the machine is up."""
    seconds = max(int((node.model.clock.now() - node.boot).total_seconds()), 1)
    devices = []
    for name in sorted(links.link_names(node), reverse=True):
        busy = int(name in ('lo', 'eth0'))
        values = (2200 * seconds * busy, 150 * seconds * busy, 0, 0, 55 * seconds * busy, 130 * seconds * busy, 0, 0)
        devices.append({'name': name, **dict(zip(_COUNTERS, values))})
    total = {'name': ', '.join(device['name'] for device in devices), **{key: sum(device[key] for device in devices) for key in _COUNTERS}}
    await _answer(send, 'NetworkDeviceStatsResponse', {'total': total, 'devices': devices})


# -- resources ------------------------------------------------------------------------------------------------------

def disks(node):
    """The disk that Talos was installed on, and the squashfs of its root (rec, on metal)."""
    if _contained(node):
        return []
    size = storage.disk_bytes(node)
    rows = (('loop0', {'dev_path': '/dev/loop0', **_sizes(storage.ROOT_BYTES), 'readonly': True, 'cdrom': False, 'sub_system': '/sys/class/block'}),
            ('vda', {'dev_path': '/dev/vda', **_sizes(size), 'readonly': False, 'cdrom': False, 'modalias': 'virtio:d00000002v00001AF4',
                     'bus_path': '/pci0000:00/0000:00:03.0/virtio2', 'sub_system': '/sys/class/block', 'transport': 'virtio', 'rotational': True}))
    return [Resource(name, 'block.DisksController', spec, version=2) for name, spec in rows]


def _sizes(bytes_):
    return {'size': bytes_, 'pretty_size': storage.pretty(bytes_), 'io_size': 512, 'sector_size': 512}


def system_disks(node):
    if _contained(node):
        return []
    return [Resource('system-disk', 'block.SystemDiskController', {'diskID': 'vda', 'devPath': '/dev/vda'})]


def system_informations(node):
    if _contained(node):
        return []
    spec = {'manufacturer': 'QEMU', 'productName': 'Standard PC (Q35 + ICH9, 2009)', 'version': 'pc-q35-7.2', 'uuid': node.uuid,
            'wakeUpType': 'Power Switch'}
    return [Resource('systeminformation', 'hardware.SystemInfoController', spec)]


def adjtime_statuses(node):
    """None in a container, whose clock is the host's (rec)."""
    if _contained(node):
        return []
    synced, offset = bool(node.time['synced']), node.time['offset_ms']
    offset = offset if abs(offset) <= _DISCIPLINED_MS else 0
    spec = {'offset': _duration(offset), 'frequencyAdjustmentRatio': 1.0000123, 'maxError': '45.5ms' if synced else '16s',
            'estError': '312µs' if synced else '16s', 'status': f'{"STA_PLL" if synced else "STA_UNSYNC"} | STA_NANO', 'constant': 7,
            'syncStatus': synced, 'state': 'TIME_OK' if synced else 'TIME_ERROR'}
    seconds = {'offset': offset / 1000, 'maxError': 0.0455 if synced else 16, 'estError': 0.000312 if synced else 16}
    return [Resource('node', 'time.AdjtimeStatusController', spec, version=40, proto={name: _protobuf(value) for name, value in seconds.items()})]


def _duration(milliseconds):
    """As Go writes it."""
    return f'{milliseconds:g}ms' if milliseconds else '0s'


def _protobuf(seconds):
    nanos = int(round(seconds * 1_000_000_000))
    whole = int(nanos / 1_000_000_000)
    return {'seconds': whole, 'nanos': nanos - whole * 1_000_000_000}


def time_statuses(node):
    """1.14.0-rc.1 counts what it took for a spike (talos-api 6.3)."""
    spec = {'synced': bool(node.time['synced']), 'epoch': 0, 'syncDisabled': _contained(node)}
    if node.minor >= 14:
        spec |= {'spikeDetected': False, 'consecutiveSpikes': 0}
    return [Resource('node', 'time.SyncController', spec)]


def platform_metadatas(node):
    spec = {'platform': 'container', 'hostname': node.hostname, 'instanceType': '2CPU-4096RAM'} if _contained(node) else {
        'platform': node.model.platform, 'instanceId': node.uuid}
    cloud = node.model.setup.get('cloud_provider')
    if cloud:
        spec = {'platform': cloud['name'], 'hostname': node.hostname, 'region': 'eu-central', 'zone': f'dc{node.number % 3 + 1}',
                'instanceType': 'standard-4', 'instanceId': str(1000 + node.number), 'providerId': setup.provider_id(node)}
    return [Resource('platformmetadata', 'network.PlatformConfigApplyController', spec, version=2)]


def security_states(node):
    spec = {'secureBoot': False}
    if node.model.setup.get('secure_boot'):
        spec = {'secureBoot': True, 'ukiSigningKeyFingerprint': setup.fingerprint(node, 'uki'), 'pcrSigningKeyFingerprint': setup.fingerprint(node, 'pcr'),
                'bootedWithUKI': True}
    return [Resource('securitystate', 'runtime.SecurityStateController', spec)]


def image_cache_configs(node):
    spec = {'status': 'disabled', 'copyStatus': 'skipped', 'roots': []}
    if node.model.setup.get('image_cache'):
        spec = {'status': 'ready', 'copyStatus': 'ready', 'roots': ['/system/imagecache/disk', '/system/imagecache/iso/imagecache']}
    return [Resource('image-cache', 'cri.ImageCacheConfigController', spec)]
