# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "etcd Reports and Alarm": alarms, and the size of the database before there is one.

Services, the health check of etcd and the Nodes stay green under NOSPACE (edge-cases 46e).
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_common import mib, nothing_to_ask, troubles, where_etcd_runs
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import seen
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    CONTROL_PLANES, Check, Threshold, critical, error, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import DEFAULT_QUOTA, NOSPACE


# -- ETC-6 ------------------------------------------------------------------------------------------------------

def alarm_nospace(view):
    """No member has raised NOSPACE."""
    return _alarms(view, 'NOSPACE', _nospace)


def alarm_corrupt(view):
    """No member has raised CORRUPT."""
    return _alarms(view, 'CORRUPT', _corrupt)


def _alarms(view, name, judge_one):
    facts = view.etcd
    if facts.alarms:
        raised = sorted(member_id for member_id, alarm in facts.alarms if alarm == name)
        if raised:
            return [judge_one(view, member_id, raised) for member_id in raised]
    early = nothing_to_ask(view, f'whether the alarm {name} is raised')
    if early:
        return early
    if facts.alarms is None:
        why = '; '.join(f'{m.label}: EtcdAlarmList: {m.datum("EtcdAlarmList").why()}, EtcdStatus: {m.datum("EtcdStatus").why()}'
                        for m in facts.running_planes)
        return unknown('cluster', f'whether the alarm {name} is raised: neither the alarm list nor a status was read ({why})',
                       nodes=[m.key for m in facts.running_planes], explained_by=troubles(view),
                       next_step='Find out why etcd does not answer.')
    return ok('cluster')


def _nospace(view, member_id, raised):
    facts = view.etcd
    status = _status_of(view, member_id)
    machine = _machine_of(view, member_id)
    means = ('etcd refuses every write of the whole cluster until the alarm is disarmed: leases, pods and nodes cannot be updated, '
             'scheduler and controller-manager exit. Reads still work, services and nodes look healthy.')
    size, used, quota = _space(view, machine, status)
    if used is not None and size and quota and used < 0.8 * quota:
        means += (f' Only {used / size:.0%} of the file is in use, less than 80 % of the quota: defragmentation is enough, a larger quota '
                  'is not needed.')
        cure = 'defragment each control plane node, one at a time, followers first and the leader last (talosctl etcd defrag, talos_etcd_defragment)'
    elif used is not None and quota:
        means += ' The data itself fills the quota: find out what grew (events, custom resources), defragmentation alone will not help.'
        cure = ('raise cluster.etcd.extraArgs.quota-backend-bytes on all control plane nodes (at most 8 GiB) and reboot them one by one; '
                'delete what is not needed, then defragment one node at a time')
    else:
        cure = ('compare the size in use with the quota (talosctl etcd status): defragment one node at a time, leader last, or raise '
                'quota-backend-bytes')
    where = f' on {machine.label}' if machine else ''
    return critical(member_id, f'etcd alarm NOSPACE of member {facts.calls(member_id)}{where}{_sizes(size, used, quota)}', means,
                    f'Take a snapshot of etcd first (talosctl etcd snapshot, talos_etcd_snapshot). Then {cure}. When the database is below 80 % of the quota '
                    'on every member, disarm once (talosctl etcd alarm disarm, talos_etcd_alarm) and check that the list stays empty. To disarm before '
                    'that only brings the alarm back.', nodes=[machine.key] if machine else [],
                    evidence=_alarm_evidence(view, member_id, 'NOSPACE'), asserts=(NOSPACE,), remedy={'name': 'etcd_nospace', 'args': {}})


def _corrupt(view, member_id, raised):
    machine = _machine_of(view, member_id)
    where = f' on {machine.label}' if machine else ''
    return critical(member_id, f'etcd alarm CORRUPT of member {view.etcd.calls(member_id)}{where}',
                    'The data of this member differs from that of the others, and while the alarm stands every member refuses writes.',
                    'Never disarm it to silence it. Find out which member is wrong (etcd log: "found data inconsistency"), take a '
                    'snapshot from a good one, remove the bad member by its id, reset EPHEMERAL of its node so that it joins anew, and '
                    'disarm after that. Check the disk of that node.', nodes=[machine.key] if machine else [],
                    evidence=_alarm_evidence(view, member_id, 'CORRUPT'), asserts=('etcd.corrupt',))


def _alarm_evidence(view, member_id, name):
    found = []
    for machine in view.answering_control_planes:
        raised = (machine.value('EtcdAlarmList') or {}).get('member_alarms') or []
        in_list = any(alarm.get('member_id') == member_id and alarm.get('alarm') == name for alarm in raised)
        errors = (view.etcd.statuses.get(machine.key) or {}).get('errors') or []
        errors = [text.strip() for text in errors if f'memberID:{int(member_id, 16)} alarm:{name}' in ' '.join(text.split())]
        found += [seen(machine, 'EtcdAlarmList', f'{member_id} {name}')] if in_list else []
        found += [seen(machine, 'EtcdStatus', f'errors: {text} (that is {member_id})') for text in errors]
    return found


def _machine_of(view, member_id):
    member = view.etcd.member(member_id)
    return view.etcd.machine_of(member) if member else view.etcd.local_ids.get(member_id)


def _status_of(view, member_id):
    return next((status for status in view.etcd.statuses.values() if status.get('member_id') == member_id), None)


def _space(view, machine, status):
    """(size, in use, quota) in bytes, None where not known."""
    if status is None:
        return None, None, view.etcd.quota(machine) if machine else None
    return int(status.get('db_size') or 0), int(status.get('db_size_in_use') or 0), view.etcd.quota(machine) if machine else None


def _sizes(size, used, quota):
    parts = [f'database {mib(size)}' if size else '', f'in use {mib(used)} ({used / size:.0%})' if size and used is not None else '',
             f'quota {mib(quota)}' if quota else '']
    parts = [part for part in parts if part]
    return f': {", ".join(parts)}' if parts else ''


# -- ETC-11 -----------------------------------------------------------------------------------------------------

@where_etcd_runs('EtcdStatus', 'EtcdSpecs')
def db_near_quota(view, machine):
    """The database is well below its quota."""
    status, quota = view.etcd.statuses[machine.key], view.etcd.quota(machine)
    if quota is None:
        return unknown(machine.key, f'The quota of etcd on {machine.label}: EtcdSpecs holds no number for quota-backend-bytes',
                       nodes=[machine.key], next_step='Look at cluster.etcd.extraArgs of this node.')
    size, used = int(status.get('db_size') or 0), int(status.get('db_size_in_use') or 0)
    ratio = size / quota
    if ratio < view.threshold('etcd_db_warning'):
        return ok(machine.key)
    raise_it = error if ratio >= view.threshold('etcd_db_error') else warning
    origin = 'default' if quota == DEFAULT_QUOTA else 'set by quota-backend-bytes'
    cure = ('Nearly all of it is in use: find out what grew, or raise cluster.etcd.extraArgs.quota-backend-bytes on all control plane '
            'nodes (at most 8 GiB).')
    if size and used / size < 0.7:
        cure = 'Much of it is free inside the file: defragment, one control plane node at a time, leader last.'
    return raise_it(machine.key, f'etcd on {machine.label} has used {ratio:.0%} of its quota{_sizes(size, used, quota)}',
                    f'At 100 % etcd raises NOSPACE and the cluster takes no more writes (quota {origin}).', f'Take a snapshot. {cure}',
                    nodes=[machine.key],
                    evidence=[seen(machine, 'EtcdStatus', f'db_size {size}, db_size_in_use {used}'),
                              seen(machine, 'EtcdSpecs', f'quota {quota} bytes ({origin})')], explained_by=(NOSPACE,))


@where_etcd_runs('EtcdStatus')
def db_fragmented(view, machine):
    """Most of the database file is in use."""
    status = view.etcd.statuses[machine.key]
    size, used = int(status.get('db_size') or 0), int(status.get('db_size_in_use') or 0)
    if size <= view.threshold('etcd_fragmented_bytes') or used / size >= view.threshold('etcd_fragmented_ratio'):
        return ok(machine.key)
    return warning(machine.key,
                   f'The etcd database of {machine.label} is fragmented: {mib(used)} of {mib(size)} in use ({used / size:.0%})',
                   'Deleted data leaves holes in the file that count against the quota until it is defragmented.',
                   'With all members healthy: talosctl etcd defrag (or talos_etcd_defragment) on one control plane node after the other, followers '
                   'first, leader last, a minute apart. The member answers nothing meanwhile.', nodes=[machine.key],
                   evidence=[seen(machine, 'EtcdStatus', f'db_size {size}, db_size_in_use {used}')], explained_by=(NOSPACE,),
                   remedy={'name': 'etcd_defragment', 'args': {}})


@where_etcd_runs('EtcdStatus')
def db_too_large(view, machine):
    """The database is no larger than etcd is made for."""
    size = int(view.etcd.statuses[machine.key].get('db_size') or 0)
    if size <= view.threshold('etcd_db_bytes'):
        return ok(machine.key)
    return warning(machine.key, f'The etcd database of {machine.label} has {mib(size)}',
                   'etcd is made for up to 8 GiB: beyond that starts, snapshots and joins take long.',
                   'Find out what fills it (events, custom resources, secrets of old releases) and delete what is not needed; then '
                   'defragment.', nodes=[machine.key], evidence=[seen(machine, 'EtcdStatus', f'db_size {size}')])


_STATUS = ('ServiceList', 'EtcdStatus')

CHECKS = (
    Check('etcd.alarm_nospace', 'etcd.alarm', 'No etcd alarm NOSPACE', alarm_nospace,
          reads=(*_STATUS, 'EtcdAlarmList', 'EtcdMemberList', 'EtcdSpecs'), catalogue='ETC-6', remedy='etcd_nospace'),
    Check('etcd.alarm_corrupt', 'etcd.alarm', 'No etcd alarm CORRUPT', alarm_corrupt,
          reads=(*_STATUS, 'EtcdAlarmList', 'EtcdMemberList'), catalogue='ETC-6'),
    Check('etcd.db_near_quota', 'etcd.alarm', 'The etcd database is well below its quota', db_near_quota, each=CONTROL_PLANES,
          reads=(*_STATUS, 'EtcdSpecs'), catalogue='ETC-11', thresholds={
              'etcd_db_warning': Threshold(0.8, 'ratio', 'share of its quota that the etcd database may have before it is a warning'),
              'etcd_db_error': Threshold(0.95, 'ratio', 'share of its quota from which the etcd database is an error')}),
    Check('etcd.db_fragmented', 'etcd.alarm', 'The etcd database is not fragmented', db_fragmented, each=CONTROL_PLANES,
          reads=_STATUS, catalogue='ETC-11', remedy='etcd_defragment', thresholds={
              'etcd_fragmented_ratio': Threshold(0.5, 'ratio', 'share of the etcd database in use below which it is fragmented'),
              'etcd_fragmented_bytes': Threshold(100 * 1024 ** 2, 'bytes', 'size from which fragmentation of etcd is looked at')}),
    Check('etcd.db_too_large', 'etcd.alarm', 'The etcd database is not too large', db_too_large, each=CONTROL_PLANES,
          reads=_STATUS, catalogue='ETC-11', thresholds={
              'etcd_db_bytes': Threshold(8 * 1024 ** 3, 'bytes', 'size of the etcd database from which it is a warning')}),
)
