# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a cluster is as well after one of its machines was changed as it was before (users.md 5: a gate between two machines), pure.

What was wrong before is no reason; what could not be seen afterwards is one.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed
from ansible_collections.talosops.talos.plugins.module_utils.remedies import service

READS = ('Version', 'MachineTypes', 'MachineStatuses', 'ServiceList', 'Members', 'EtcdStatus', 'EtcdMemberList')


def worse(before, after, machine):
    """The reasons why C(machine), and etcd, are less well in the View C(after) than in C(before); none where they are as well."""
    now = after.snapshot.machine(machine.key)
    if now is None or not now.answered:
        said = (now.unreachable or {}).get('text') if now is not None else None
        return [f'{machine.label} does not answer{f" ({said})" if said else ""}'.rstrip('.')]
    return [*_stage(before, after, machine, now), *_services(before, after, machine, now), *_etcd(before, after)]


def _stage(before, after, machine, now):
    stage = after.stage(now)
    if stage is None:
        return [f'the stage of {now.label} is not known ({now.datum("MachineStatuses").why()})'] if before.stage(machine) else []
    if stage != before.stage(machine):
        return [f'{now.label} is {stage}']
    unmet = [sorted(str(one.get('name')) for one in _status(each).get('unmetConditions') or []) for each in (machine, now)]
    new = [name for name in unmet[1] if name not in unmet[0]]
    return [f'{now.label} is not ready: {listed(new)}'] if new else []


def _status(machine):
    return (machine.resource('MachineStatuses', 'machine') or {}).get('status') or {}


def _services(before, after, machine, now):
    if not now.datum('ServiceList').ok:
        return [f'the services of {now.label} were not read ({now.datum("ServiceList").why()})']
    ran = [one['id'] for one in (machine.value('ServiceList') or {}).get('services') or [] if service.runs(one)]
    found = {name: after.service(now, name) for name in ran}
    return [f'{name} of {now.label} is {service.words(one) if one else "gone"}' for name, one in found.items() if one is None or not service.runs(one)]


def _etcd(before, after):
    """The members that were well are well still."""
    was, well = [machine.key for machine in before.etcd.healthy], [machine.key for machine in after.etcd.healthy]
    return [f'the etcd member on {before.label(key)} is not healthy' for key in was if key not in well]
