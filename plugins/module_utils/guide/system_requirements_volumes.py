# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "System Requirements": volumes that do not come up, that are full, or that hold images (check catalogue EXT-VOL, EXT-DISK, EXT-IMG)."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, seen, unread
from ansible_collections.talosops.talos.plugins.module_utils.guide.system_requirements_machine import GIB, SECTION, own
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, Check, Threshold, critical, error, info, not_applicable, ok, unknown, warning,
)

_SYSTEM = ('META', 'STATE', 'EPHEMERAL', 'ETCD')
_NOT_THERE = ('waiting', 'missing')
_WAITS_FOR_VOLUMES = re.compile(r'^Waiting for .*volumes? .* to be mounted')
_STEP = ('Read its error in "talosctl get volumestatus", and what is on the disk in "talosctl get disks,discoveredvolumes": a wrong disk selector, '
         'old data, a damaged filesystem or an encryption key that does not come. What is there can only be given up from the console, or by a reset of '
         'that partition.')
# Mount points that Talos may give a disk of their own (1.14, "Dedicated System Volumes").
_OWN_DISKS = ('/var', '/var/lib/etcd', '/var/lib/containerd', '/var/lib/kubelet', '/var/log')


def failed(machine):
    """The fact that a volume of this machine did not come up."""
    return f'volume_failed:{machine.key}'


def full(machine):
    """The fact that the disk of this machine is full, or nearly so."""
    return f'disk_full:{machine.key}'


# -- EXT-VOL ----------------------------------------------------------------------------------------------------

def volume_failed(view, machine):
    """Every volume has come up. Behind one that failed others wait, which is no finding of its own (rec)."""
    if not machine.datum('VolumeStatuses').ok:
        return _by_its_log(view, machine)
    phases = {item.get('id'): item.get('spec') or {} for item in machine.value('VolumeStatuses')}
    broken = {name: spec for name, spec in phases.items() if spec.get('phase') == 'failed'}
    waiting = {name: spec for name, spec in phases.items() if spec.get('phase') in _NOT_THERE and not _is_normal(view, machine, name, spec)}
    if broken:
        behind = [f'{listed(sorted(waiting))} {"wait" if len(waiting) > 1 else "waits"} behind it'] if waiting else []
        return [_volume(view, machine, name, spec, 'failed', behind) for name, spec in sorted(broken.items())]
    if not waiting:
        return ok(machine.key, nodes=[machine.key])
    if view.in_progress(machine) or view.young(machine):
        return info(machine.key, f'{machine.label} has not mounted {listed(sorted(waiting))} yet', 'The machine booted or is being changed just now.',
                    'Look again in a few minutes.', nodes=[machine.key])
    return [_volume(view, machine, name, spec, spec['phase'], []) for name, spec in sorted(waiting.items())]


def _is_normal(view, machine, name, spec):
    """META waits for ever in container mode, and in maintenance there is no STATE yet (edge-cases 72)."""
    return view.stage(machine) == 'maintenance' or name == 'META' and view.container(machine)


def _volume(view, machine, name, spec, phase, more):
    why = spec.get('errorMessage') or ''
    evidence = [seen(machine, 'VolumeStatuses', f'{name}: phase {phase}, {spec.get("type") or "volume"} {spec.get("location") or ""} {why}'.strip())]
    evidence += [hit.evidence() for hit in view.signatures.on(machine, 'volume.failed') if hit.groups.get('volume') == name]
    evidence += [seen(machine, 'ServiceList', f'{service}: {text}') for service, text in _waiting_services(machine)]
    return _outcome(view, machine, name, phase, why, evidence, more)


def _outcome(view, machine, name, phase, why, evidence, more):
    words = {'failed': 'failed', 'waiting': 'does not come up', 'missing': 'is missing'}[phase]
    title = f'volume {name} of {machine.label} {words}{f": {why}" if why else ""}'
    asserts = [failed(machine), f'boot_blocked:{machine.key}'] if name in _SYSTEM or view.stage(machine) == 'booting' else [failed(machine)]
    if name in _SYSTEM:
        means = 'The machine does not boot to its end without it: cri, kubelet, and on a control plane node etcd and trustd, are never started.'
    else:
        means = 'What mounts it gets an empty directory or does not start.'
    tell = critical if name in _SYSTEM and phase == 'failed' else error
    return tell(f'{machine.key}/{name}', title, ' '.join([means, *(f'{text}.' for text in more)]), _STEP, nodes=[machine.key], evidence=evidence,
                asserts=tuple(asserts))


def _waiting_services(machine):
    """[(service, text)] of the services whose last event says that they wait for volumes."""
    found = []
    for service in (machine.value('ServiceList') or {}).get('services') or []:
        events = (service.get('events') or {}).get('events') or []
        text = (events[-1].get('msg') or '') if events else ''
        if service.get('state') == 'Waiting' and _WAITS_FOR_VOLUMES.match(text):
            found.append((service.get('id'), text))
    return found


def _by_its_log(view, machine):
    """Without VolumeStatuses: a line that tells of a failure with none after it that tells of success."""
    told = view.signatures.on(machine, 'volume.failed', 'volume.ready')
    if told and told[-1].id == 'volume.failed' and not told[-1].history:
        name = told[-1].groups.get('volume') or 'of an unknown name'
        return _outcome(view, machine, name, 'failed', told[-1].groups.get('why') or '', [told[-1].evidence()], [])
    return unknown(machine.key, f'whether the volumes of {machine.label} came up: VolumeStatuses: {machine.datum("VolumeStatuses").why()}',
                   nodes=[machine.key])


def encryption_out_of_sync(view, machine):
    """All keys of encrypted volumes are in place (VolumeStatuses: encryptionFailedSyncs)."""
    sick = {item.get('id'): item['spec'].get('encryptionFailedSyncs') for item in machine.value('VolumeStatuses')
            if isinstance(item.get('spec'), dict) and item['spec'].get('encryptionFailedSyncs')}
    if not sick:
        return ok(machine.key, nodes=[machine.key])
    return warning(machine.key, f'{machine.label}: not all encryption keys of {listed(sorted(sick))} could be put in place',
                   'The volume is open now by another key. At the next boot the missing one may be needed.',
                   'See whether the KMS or TPM that holds the key answers, and that the configuration names the right keys.', nodes=[machine.key],
                   evidence=[seen(machine, 'VolumeStatuses', f'{name}: encryptionFailedSyncs {reasons}') for name, reasons in sorted(sick.items())])


# -- EXT-DISK ---------------------------------------------------------------------------------------------------

@own('the disk', 'Mounts')
def disk_full(view, machine):
    """The filesystems that Talos writes to have room: the kubelet collects images from 85 % on, and evicts pods from 90 % on.

    The root is a squashfs, which is full by nature (rec).
    """
    found = filesystems(machine)
    if '/var' not in found:
        if any((machine.resource('VolumeStatuses', name) or {}).get('phase') not in (None, 'ready') for name in ('STATE', 'EPHEMERAL')):
            return not_applicable(machine.key, f'/var of {machine.label} is not mounted', nodes=[machine.key])
        return unknown(machine.key, f'how full the disk of {machine.label} is: /var is not among its mounts', nodes=[machine.key],
                       explained_by=(failed(machine),))
    outcomes = [_filled(view, machine, path, size, used) for path, (size, used) in sorted(found.items())
                if used / size >= view.threshold('system_requirements_disk_used_warning')]
    return outcomes or ok(machine.key, nodes=[machine.key])


def filesystems(machine):
    """{mount point: (size, bytes used)} of /var, and of those below it that stand on a disk of their own."""
    stats = {mount.get('mounted_on'): mount for mount in (machine.value('Mounts') or {}).get('stats') or []}
    var = (stats.get('/var') or {}).get('filesystem')
    found = {}
    for path in _OWN_DISKS:
        mount = stats.get(path) or {}
        size, left = int(mount.get('size') or 0), int(mount.get('available') or 0)
        if size and (path == '/var' or str(mount.get('filesystem')).startswith('/dev/') and mount.get('filesystem') != var):
            found[path] = (size, size - left)
    return found


def _filled(view, machine, path, size, used):
    share = used / size
    title = f'{path} of {machine.label} is {share:.0%} full: {(size - used) / GIB:.1f} of {size / GIB:.1f} GiB are left'
    evidence = [seen(machine, 'Mounts', f'{path}: size {size}, available {size - used}')]
    users = _users(machine)
    evidence += [seen(machine, 'DiskUsage', listed(f'{name} {bytes_ / GIB:.1f} GiB' for name, bytes_ in users))] if users else []
    evidence += [hit.evidence() for hit in view.signatures.recent(machine, 'sys.disk_full', 'sys.disk_pressure')[-1:]]
    most = f' {users[0][0]} holds most of it, {users[0][1] / GIB:.1f} GiB.' if users else ''
    step = (f'Find what uses it (talosctl -n {machine.label} usage -d 2 {path}), and prune it: images and logs go by the kubelet\'s own settings, '
            'data of pods with them. Never delete anything in /var/lib/etcd. Or give the machine a larger disk, into which the volume grows at the '
            'next boot.')
    more = {'nodes': [machine.key], 'evidence': evidence, 'asserts': (full(machine),)}
    subject = machine.key if path == '/var' else f'{machine.key}{path}'
    if share >= view.threshold('system_requirements_disk_used_error'):
        return error(subject, title, f'The kubelet evicts pods from here on, images are not pulled, and etcd stops when it cannot write.{most}', step,
                     **more)
    return warning(subject, title, f'The kubelet deletes images that are not in use, and evicts pods soon.{most}', step, **more)


def _users(machine):
    """[(directory, bytes)], the largest first, where the machine was asked what fills its disk."""
    sizes = {str(item.get('name')).rstrip('/'): int(item.get('size') or 0) for item in machine.value('DiskUsage') or []}
    inner = {name: size for name, size in sizes.items() if name.count('/') > 1}
    mostly_one = {name for name, size in inner.items() for other, part in inner.items() if other.startswith(f'{name}/') and part > 0.5 * size}
    above = {name for name in inner for other in inner if name.startswith(f'{other}/') and other not in mostly_one}
    return sorted(((name, size) for name, size in inner.items() if name not in mostly_one | above), key=lambda item: -item[1])


# -- EXT-IMG ----------------------------------------------------------------------------------------------------

def image_cache(view, machine):
    """The image cache is ready, or none is configured (rec: disabled, skipped)."""
    status = machine.resource('ImageCacheConfigs', 'image-cache')
    if not isinstance(status, dict):
        return not_applicable(machine.key, f'{machine.label} has no image cache', nodes=[machine.key])
    told = {key: str(status.get(key)) for key in ('status', 'copyStatus')}
    if told['status'] in ('ready', 'disabled') and told['copyStatus'] in ('ready', 'skipped'):
        return ok(machine.key, nodes=[machine.key])
    if not machine.datum('MachineStatuses').ok:
        return unknown(machine.key, f'whether the image cache of {machine.label} should be ready by now: '
                                    f'{"; ".join(unread([machine], "MachineStatuses"))}', nodes=[machine.key])
    evidence = [seen(machine, 'ImageCacheConfigs', ', '.join(f'{key}: {value}' for key, value in told.items()))]
    title = f'the image cache of {machine.label} is not ready: {told["status"]}, its copy {told["copyStatus"]}'
    if view.young(machine) or view.in_progress(machine) or view.stage(machine) != 'running':
        return info(machine.key, title, 'It is made ready while the machine boots.', 'Look again in a few minutes.', nodes=[machine.key],
                    evidence=evidence)
    return warning(machine.key, title, 'Images are pulled from their registries, which an air gap does not reach.',
                   'See whether the volume IMAGECACHE came up, and whether the boot medium with the images is still there.', nodes=[machine.key],
                   evidence=evidence, explained_by=(failed(machine), full(machine)))


CHECKS = (
    Check('system_requirements.volume_failed', SECTION, 'all volumes came up', volume_failed, each=ALL, needs=('Version',),
          reads=('VolumeStatuses', 'MachineStatuses', 'ServiceList'), logs=('machined', 'dmesg', 'controller-runtime'), catalogue='EXT-VOL'),
    Check('system_requirements.encryption_out_of_sync', SECTION, 'encrypted volumes have all their keys', encryption_out_of_sync, each=ALL,
          needs=('VolumeStatuses',), catalogue='EXT-VOL'),
    Check('system_requirements.disk_full', SECTION, 'the disk has room', disk_full, each=ALL,
          reads=('Version', 'Mounts', 'VolumeStatuses', 'DiskUsage'), logs=('machined', 'dmesg', 'kubelet'), catalogue='EXT-DISK', thresholds={
              'system_requirements_disk_used_warning': Threshold(0.85, 'ratio', 'share of a filesystem that may be used before it is a warning'),
              'system_requirements_disk_used_error': Threshold(0.9, 'ratio', 'share of a filesystem that may be used before it is an error')}),
    Check('system_requirements.image_cache', SECTION, 'the image cache is ready', image_cache, each=ALL, needs=('ImageCacheConfigs',),
          reads=('MachineStatuses',), catalogue='EXT-IMG'),
)
