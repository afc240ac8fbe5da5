# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The remedies etcd_nospace and etcd_defragment: room in the database, and then the alarm (guide, "etcd"; users.md 5, defrag and alarm disarm)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_alarm, etcd_defragment
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from ansible_collections.talosops.talos.plugins.module_utils.remedies.etcd_preconditions import NOSPACE, mib
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import ETCD_SNAPSHOT, Action, Remedy, Step, unasked
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import etcd_stale_member

NAME, TARGET = 'etcd_nospace', 'etcd'
# The defaults of talos_etcd_defragment.
THRESHOLD, LEAST = 0.5, 100 * 1024 ** 2
_SNAPSHOT = Action('Take a snapshot of etcd and verify it', 'talos_etcd_snapshot', {'dest': ETCD_SNAPSHOT})
_HEALTHY = ('every control plane node answers, all list the same members, every member is healthy, and there is one leader',
            'no control plane node is being installed, upgraded, rebooted or reset, and no alarm CORRUPT stands')


def nospace(view, target, args, coming):
    """The Step that makes room and then disarms NOSPACE."""
    _need(view, target)
    standing = preconditions.raised(view, NOSPACE)
    if not standing:
        return Step(f'Disarm the alarm {NOSPACE}', refused=tuple(preconditions.alarms_listed(view)) or (f'no alarm {NOSPACE} stands',))
    due, cluster = etcd_defragment.due(view, THRESHOLD, LEAST), view.snapshot.cluster.get('name')
    refused, after = _cured(coming, lambda gone: [*_against(view, due, gone), *etcd_alarm.against(view, NOSPACE, gone, emptied=bool(due))])
    if preconditions.below_quota(view, emptied=bool(due)):
        refused.append('defragmentation does not gain enough: what is in the database is in use, so delete what grew or raise quota-backend-bytes first')
    disarm = Action(f'Disarm the alarm {NOSPACE} once, when every database is below {preconditions.ROOM:.0%} of its quota', 'talos_etcd_alarm', {})
    return Step(
        title=f'Make room in etcd of {cluster}, then disarm {NOSPACE}' if due else f'Disarm the alarm {NOSPACE} of etcd of {cluster}',
        evidence=(f'{NOSPACE} is raised by {listed(view.etcd.calls(member) for member in standing)}', *_sizes(view, due)),
        preconditions=(*_HEALTHY, *_DEFRAGMENT, f'before the alarm is disarmed: only {NOSPACE} stands, the quotas are equal, '
                       f'and every database is below {preconditions.ROOM:.0%} of its quota'),
        predicted=_predicted(view, due),
        actions=(_SNAPSHOT, *_defragment(view, due), disarm),
        verify=('the file of each member is smaller, and the member has caught up', 'the list of alarms stays empty'),
        way_back='Nothing is lost by it. The snapshot is what there is to go back to.',
        confirm=_confirm(view, due, cluster),
        refused=unasked(args, refused),
        after=after,
        rests_on={'alarms': sorted(f'{name} {member}' for member, name in view.etcd.alarms if (etcd_stale_member.NAME, member) not in coming),
                  'defragment': sorted(due)},
    )


def defragment(view, target, args, coming):
    """The Step that gives back what the database does not use."""
    _need(view, target)
    due, cluster = etcd_defragment.due(view, THRESHOLD, LEAST), view.snapshot.cluster.get('name')
    if not due:
        unseen = () if view.etcd.statuses else preconditions.members_healthy(view)
        return Step('Defragment etcd', refused=tuple(unseen) or ('no database is fragmented',))
    refused, after = _cured(coming, lambda gone: _against(view, due, gone))
    if preconditions.raised(view, NOSPACE):
        refused.append(f'the alarm {NOSPACE} stands: the remedy etcd_nospace defragments, and disarms it')
    return Step(
        title=f'Defragment etcd of {cluster}',
        evidence=_sizes(view, due),
        preconditions=(*_HEALTHY, *_DEFRAGMENT),
        predicted=_predicted(view, due),
        actions=(_SNAPSHOT, *_defragment(view, due)),
        verify=('the file of each member is smaller, and the member has caught up',),
        way_back='Nothing is lost by it.',
        confirm=_confirm(view, due, cluster),
        refused=unasked(args, refused),
        after=after,
        rests_on={'defragment': sorted(due)},
    )


_DEFRAGMENT = ('etcd tolerates a failure while a member is defragmented, or the outage is agreed to',
               f'the disk of each member has {etcd_defragment.DISK_FACTOR} times of what is in use left')


def _need(view, target):
    """Raises InputError for a target that is none."""
    if target != TARGET:
        raise InputError(f'"{target}" is no target of this remedy.',
                         f'Members are defragmented one after the other, the leader last: the target is "{TARGET}".')


def _cured(coming, against):
    """C(([reasons], steps that come before)): a stale member that is removed first gives the failure tolerance back.

    C(against(ids)) are the reasons that there will be once the members of these ids are removed.
    """
    first = tuple(one for one in coming if one[0] == etcd_stale_member.NAME)
    now, then = (list(dict.fromkeys(against(gone))) for gone in ((), tuple(member_id for _name, member_id in first)))
    return then, first if now != then else ()


def _against(view, due, gone):
    return [reason for member in due for reason in etcd_defragment.against(view, member, gone)]


def _defragment(view, due):
    names = [view.etcd.calls(member) for member in due]
    last = ', the leader last' if len(due) > 1 else ''
    return [Action(f'Defragment {", then ".join(names)}{last}', 'talos_etcd_defragment',
                   {'members': list(due), 'confirm': list(_confirm(view, due, view.snapshot.cluster.get('name')))})] if due else []


def _confirm(view, due, cluster):
    return (etcd_defragment.sentence(cluster),) if due and etcd_defragment.stops_all(view) else ()


def _sizes(view, due):
    return tuple(f'{view.etcd.calls(member)}: {why}' for member, why in due.items())


def _predicted(view, due):
    """Bytes of each database as they are and as they will be about, and that a member does not answer meanwhile."""
    sizes = {member: etcd_defragment.size_of(view, member) for member in due}
    return {'database': {view.etcd.calls(member): f'{mib(size)} to about {mib(used)}' for member, (size, used) in sizes.items()},
            'blocked_meanwhile': 'all of etcd' if etcd_defragment.stops_all(view) else 'one member at a time'} if due else {}


REMEDIES = (
    Remedy(NAME, f'makes room in etcd and disarms the alarm {NOSPACE}', f'"{TARGET}"', lambda _view, _args: (TARGET,), nospace,
           includes=('etcd_defragment',)),
    Remedy('etcd_defragment', 'defragments etcd, one member after the other, the leader last', f'"{TARGET}"', lambda _view, _args: (TARGET,), defragment),
)
