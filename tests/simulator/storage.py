# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of a machine: Mounts, DiskUsage and the volumes (talos-api 5.1, 5.3, 6.8); what C(ephemeral) says of /var."""

from __future__ import annotations

import re

from tests.bed.grpc_server import UNKNOWN, Status
from tests.simulator.resource import Resource
from tests.simulator.schema import MESSAGES
from tests.simulator.sizes import GIB, size

_STATE_BYTES, _META_BYTES, _BOOT_BYTES = 104_857_600, 1_048_576, 2_202_009_600
_DIRECTORIES_SINCE = 11
_RELABEL = {'recursiveRelabel': True}
# id: (target, SELinux label, parent, mode, more)
_DIRECTORIES = {
    '/var/lib': ('lib', 'ephemeral', 'EPHEMERAL', 448, {}),
    '/var/lib/cni': ('cni', 'cni_state', '/var/lib', 448, _RELABEL),
    '/var/lib/containerd': ('containerd', 'containerd_state', '/var/lib', 0, {}),
    '/var/lib/kubelet': ('kubelet', 'kubelet_state', '/var/lib', 448, {}),
    '/var/lib/kubelet/seccomp': ('seccomp', 'seccomp_profile', '/var/lib/kubelet', 448, {}),
    '/var/lib/kubelet/seccomp/profiles': ('profiles', 'seccomp_profile', '/var/lib/kubelet/seccomp', 448, _RELABEL),
    '/var/log': ('log', 'var_log', 'EPHEMERAL', 493, {}),
    '/var/log/audit': ('audit', 'audit_log', '/var/log', 448, {}),
    '/var/log/audit/kube': ('kube', 'kube_log', '/var/log/audit', 448, {'uid': 65534, 'gid': 65534, **_RELABEL}),
    '/var/log/containers': ('containers', 'containers_log', '/var/log', 493, {}),
    '/var/log/pods': ('pods', 'pods_log', '/var/log', 493, {}),
    '/var/mnt': ('mnt', 'ephemeral', 'EPHEMERAL', 493, {}),
    '/var/run/lock': ('lock', 'var_lock', '/var/run', 493, {}),
    'ETCD': ('etcd', 'etcd_data', '/var/lib', 448, {'uid': 60, 'gid': 60, **_RELABEL}),
}
# What lies over the read-only root: target, SELinux label.
_OVERLAYS = {'/etc/cni': 'cni_conf', '/etc/kubernetes': 'k8s_conf', '/opt': 'opt', '/usr/libexec/kubernetes': 'k8s_plugin'}
ROOT_BYTES = 178_262_016
_USUAL = {'/var/lib/containerd': 0.7, '/var/lib/kubelet': 0.15, '/var/log': 0.1}


def ephemeral(node):
    """(bytes, bytes used) of the EPHEMERAL volume of a machine."""
    told = {**node.model.state['ephemeral'], **(node.given.get('ephemeral') or {})}
    total = int(told['size_gib'] * GIB)
    return total, int(total * told['used_pct'] / 100)


def _usage(node):
    """{path: bytes} under /var: what the scenario names, the usual ones for the rest."""
    _total, used = ephemeral(node)
    told = {**(node.model.state['ephemeral'].get('top') or {}), **((node.given.get('ephemeral') or {}).get('top') or {})}
    sizes = {path: size(given) for path, given in told.items()}
    rest = max(used - sum(sizes.values()), 0)
    return {**{path: int(rest * share) for path, share in _USUAL.items()}, **sizes}


_VOLUME_LINE = re.compile(r'volume status .*?"volume": "(?P<volume>[^"]+)", "phase": "(?P<before>\w+) -> (?P<phase>\w+)"(?:, "error": "(?P<error>[^"]+)")?')
# What comes up only behind another volume.
_BEHIND = {'META': ('STATE', 'EPHEMERAL'), 'STATE': ('EPHEMERAL',)}


def _told_phases(node):
    """{volume: (phase, error)} as the scenario's lines tell it last; behind a volume that failed others wait (rec)."""
    told = [line for line in node.model.state['lines'] if line['node'] == node.name]
    found = {}
    for line in sorted(told, key=lambda line: node.model.clock.at(line['at'])):
        said = _VOLUME_LINE.search(line['line'].replace('\\"', '"'))
        if said:
            found[said['volume']] = (said['phase'], said['error'] or '')
    for volume, (phase, _error) in list(found.items()):
        if phase == 'failed':
            found.update({name: ('waiting', '') for name in _BEHIND.get(volume, ()) if name not in found})
    return found


async def mounts(node, _request, send):
    """Mounts with their size and what is left, in bytes, as recorded on metal: the root is full by nature. Those of pods are left out."""
    total, used = ephemeral(node)
    memory = node.memory_mib * 1024 * 1024
    half = memory // 2
    rows = [('none', '/dev', half, half), ('none', '/dev/shm', half, half), ('/dev/loop0', '/', ROOT_BYTES, 0),
            ('none', '/run', half, half - 1_589_248), ('none', '/system', half, half - 286_720), ('none', '/tmp', 67_108_864, 67_108_864),
            ('none', '/etc/cri/conf.d/hosts', 10_485_760, 10_189_824), ('none', '/usr/lib/udev', half, half - 286_720),
            ('/dev/vda6', '/var', total, total - used), *(('none', path, total, total - used) for path in _OVERLAYS),
            *(('overlay', f'/run/containerd/io.containerd.runtime.v2.task/system/{name}/rootfs', total, total - used)
              for name in ('etcd', 'kubelet') if node.service(name)[0] == 'Running')]
    if _told_phases(node).get('EPHEMERAL', ('ready', ''))[0] != 'ready':
        rows = [row for row in rows if row[0] != '/dev/vda6' and row[1] not in _OVERLAYS]
    stats = [{'filesystem': name, 'mounted_on': path, 'size': bytes_, 'available': left} for name, path, bytes_, left in rows]
    await send(MESSAGES.encode('MountsResponse', {'messages': [{'stats': stats}]}))


async def disk_usage(node, request, send):
    """Directories under the paths that are asked for, deepest first, then the path itself; without paths nothing (rec)."""
    asked = MESSAGES.decode('DiskUsageRequest', request)
    sizes, depth = _usage(node), asked.get('recursion_depth', 0)
    for path in asked.get('paths') or ():
        root = path.rstrip('/') or '/'
        inside = {one: bytes_ for one, bytes_ in sizes.items() if _is_in(one, root)}
        if not inside and not any(_is_in(root, one) for one in sizes) and root not in ('/', '/var', '/var/lib'):
            raise Status(UNKNOWN, f'lstat {root}: no such file or directory')
        for each in sorted(_ancestors(inside, root), key=lambda one: (-one.count('/'), one)):
            relative = each.removeprefix(root).strip('/')
            bytes_ = sum(one for at, one in inside.items() if _is_in(at, each))
            if relative.count('/') < (depth or 1) and bytes_ >= asked.get('threshold', 0):
                await send(MESSAGES.encode('DiskUsageInfo', {'name': each, 'size': bytes_, 'relative_name': relative}))
        await send(MESSAGES.encode('DiskUsageInfo', {'name': root, 'size': sum(inside.values()), 'relative_name': '.'}))


def _is_in(path, root):
    return path == root or path.startswith(root.rstrip('/') + '/')


def _ancestors(paths, root):
    """Every directory between a path and C(root), without it."""
    found = set()
    for path in paths:
        while path != root and _is_in(path, root):
            found.add(path)
            path = path.rpartition('/')[0]
    return found


def volume_statuses(node):
    """Directories everywhere; partitions on metal, which a container has none of (rec)."""
    own = {'EPHEMERAL': ('/var', 'ephemeral', '', 493, {}), 'STATE': ('/system/state', 'system_state', '', 448, {})}
    metal = node.model.platform != 'container'
    if node.minor < _DIRECTORIES_SINCE:
        return _partitions(node) if metal else []
    found = [_directory(name, *told) for name, told in {**_DIRECTORIES, **({} if metal else own)}.items()]
    found.append(_volume('/var/run', {
        'phase': 'ready', 'type': 'symlink', 'mountSpec': {'targetPath': '/var/run', 'selinuxLabel': '', 'projectQuotaSupport': False},
        'symlink': {'symlinkTargetPath': '/run', 'force': True}}))
    if not metal:
        return [*found, _volume('META', {'phase': 'waiting', 'type': 'partition'}, version=1)]
    overlays = [_volume(path, {'phase': 'ready', 'type': 'overlay', 'parentID': 'EPHEMERAL', 'mountSpec': {
        'targetPath': path, 'selinuxLabel': f'system_u:object_r:{label}_t:s0', 'projectQuotaSupport': False, 'fileMode': 493}}, version=3)
        for path, label in _OVERLAYS.items()]
    return overlays + found + _partitions(node)


def _partitions(node):
    """The volumes on the disk; up to 1.10 nothing else is one, and no type is told."""
    kind_of = {} if node.minor < _DIRECTORIES_SINCE else {'type': 'partition'}
    told = _told_phases(node)
    known = (('EPHEMERAL', 6, ephemeral(node)[0], 'xfs', 2), ('META', 4, _META_BYTES, 'none', 0), ('STATE', 5, _STATE_BYTES, 'xfs', 2))
    found = [_partition(node, kind_of, *one, *told.pop(one[0], ('ready', ''))) for one in known]
    return [*found, *(_partition(node, kind_of, name, 7, GIB, 'xfs', 2, *phase) for name, phase in told.items())]


def _partition(node, kind_of, name, number, bytes_, kind, code, phase, error):
    """A volume on the disk; one that has not come so far has neither place nor size."""
    if phase in ('waiting', 'missing'):
        return _volume(name, {'phase': phase, **kind_of})
    place = {'phase': phase, **kind_of, 'location': f'/dev/vda{number}', 'size': bytes_}
    if phase == 'failed':
        return _volume(name, {**place, 'errorMessage': error, 'preFailPhase': 'prepared'}, version=9)
    lock = _lock(node, name, number)
    return _volume(name, {**place, 'filesystem': kind, 'prettySize': pretty(bytes_), **lock}, version=6,
                   proto={'filesystem': code, **({'encryptionProvider': 1} if lock else {})})


def _lock(node, name, number):
    """What the status of an encrypted volume says of that."""
    if not node.model.setup.get('encrypted') or name == 'META':
        return {}
    return {'mountLocation': f'/dev/dm-{number - 5}', 'encryptionProvider': 'luks2', 'encryptionSlot': 0, 'configuredEncryptionKeys': ['tpm']}


def _directory(name, target, label, parent, mode, more):
    mount = {'targetPath': target, 'selinuxLabel': f'system_u:object_r:{label}_t:s0', 'projectQuotaSupport': False,
             **({'parentId': parent} if parent else {}), **({'fileMode': mode} if mode else {}), **more}
    return _volume(name, {'phase': 'ready', 'type': 'directory', 'mountSpec': mount}, version=7 if name == 'STATE' else 2)


def _volume(name, spec, version=2, proto=None):
    return Resource(name, 'block.VolumeManagerController', spec, version=version, proto=proto or {}, labels={'talos.dev/system-volume': ''})


def disk_bytes(node):
    """The size of the disk that Talos was installed on."""
    return ephemeral(node)[0] + _BOOT_BYTES + _STATE_BYTES + _META_BYTES


def pretty(bytes_):
    """As humanize.Bytes writes sizes."""
    for unit, scale in (('TB', 1000 ** 4), ('GB', 1000 ** 3), ('MB', 1000 ** 2), ('kB', 1000)):
        if bytes_ >= scale:
            value = bytes_ / scale
            return f'{value:.1f} {unit}' if value < 10 else f'{value:.0f} {unit}'
    return f'{bytes_} B'
