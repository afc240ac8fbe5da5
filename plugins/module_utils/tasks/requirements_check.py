# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_requirements_check: what each machine has, how full it is, and what time it tells."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.clocks import reading
from ansible_collections.talosops.talos.plugins.module_utils.guide.system_requirements_volumes import filesystems
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.settings import Settings
from ansible_collections.talosops.talos.plugins.module_utils.tasks import facts, section

ROLE = 'system_requirements'


def run(params, check_mode, say):
    """Facts and findings of the sections of the role; see the module's RETURN. Raises TalosError."""
    return section.run(params, say, ROLE, of)


def of(snapshot, params):
    """C(nodes): what each machine that answered has; C(control_node): this one's own clock; C(unread): the machines that did not answer."""
    view, names = View(snapshot, Settings()), facts.labels(snapshot)
    return {
        'nodes': {names[machine.key]: _node(view, machine) for machine in snapshot.answering()},
        'control_node': {'clock_offset_ms': snapshot.control_node.get('clock_offset_ms')},
        'unread': facts.unread(snapshot, snapshot.machines, 'Version'),
    }


def _node(view, machine):
    """In container mode what belongs to the host is left out (G2)."""
    container = view.container(machine)
    return {
        'type': machine.type,
        'container': container,
        **({name: None for name in _OWN} if container is not False else {name: made(machine) for name, made in _OWN.items()}),
        'volumes_not_ready': _volumes(machine),
        'clock': _clock(machine),
        'security': machine.resource('SecurityStates', 'securitystate'),
    }


def _memory(machine):
    total = ((machine.value('Memory') or {}).get('meminfo') or {}).get('memtotal')
    return total // 1024 if total else None


def _processors(machine):
    return len((machine.value('CPUInfo') or {}).get('cpu_info') or []) or None


def _load(machine):
    return (machine.value('LoadAvg') or {}).get('load5')


def _disk(machine):
    name = (machine.resource('SystemDisks', 'system-disk') or {}).get('diskID')
    size = (machine.resource('Disks', name) or {}).get('size') if name else None
    return {'name': name, 'size': size} if name else None


def _filesystems(machine):
    if not machine.datum('Mounts').ok:
        return None
    return {path: {'size': size, 'used': used} for path, (size, used) in filesystems(machine).items()}


_OWN = {'memory_mib': _memory, 'processors': _processors, 'load5': _load, 'disk': _disk, 'filesystems': _filesystems}


def _volumes(machine):
    if not machine.datum('VolumeStatuses').ok:
        return None
    return {item['id']: {'phase': (item.get('spec') or {}).get('phase'), 'error': (item.get('spec') or {}).get('errorMessage') or None}
            for item in machine.value('VolumeStatuses') if (item.get('spec') or {}).get('phase') != 'ready'}


def _clock(machine):
    status = machine.resource('TimeStatuses', 'node')
    status, found = status if isinstance(status, dict) else {}, reading(machine)
    servers = machine.resource('TimeServerStatuses', 'timeservers')
    return {
        'synced': status.get('synced'),
        'sync_disabled': status.get('syncDisabled'),
        'time_servers': servers.get('timeServers') if isinstance(servers, dict) else None,
        'asked': found.server if found else None,
        'off_seconds': round(found.off, 3) if found else None,
        'ahead_seconds': round(found.ahead, 3) if found else None,
    }
