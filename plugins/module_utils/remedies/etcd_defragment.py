# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members of etcd are worth defragmenting, in which order, and when it is safe (users.md 5: defrag, check catalogue ETC-11), pure."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.system_requirements_volumes import filesystems
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_LEADER
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from ansible_collections.talosops.talos.plugins.module_utils.remedies.etcd_preconditions import NOSPACE, mib

# Under NOSPACE every bit of room counts; a member of which so much is in use has none to gain, and was perhaps defragmented just now.
GAINS_BELOW = 0.9
# The new file is written beside the old one.
DISK_FACTOR = 1.5
# Entries by which a member may lag behind what it has itself (check catalogue ETC-12).
LAG_MOST = 1000


def sentence(cluster):
    """What must be said where the whole of etcd stands still meanwhile."""
    return f'block etcd of {cluster} while it is defragmented'


def due(view, threshold, least):
    """C({member id: why}) of the members that gain by it, in the order in which they are done: the leader last.

    C(threshold) is the share in use below which a file of at least C(least) bytes is fragmented.
    """
    found = {}
    for member, key in _keys(view).items():
        status = view.etcd.statuses[key]
        size, used = int(status.get('db_size') or 0), int(status.get('db_size_in_use') or 0)
        share = used / size if size else 1.0
        told = f'{mib(used)} of {mib(size)} ({share:.0%}) are in use'
        if share < threshold and size >= least:
            found[member] = told
        elif share < GAINS_BELOW and preconditions.raised(view, NOSPACE):
            found[member] = f'{told}, and the alarm {NOSPACE} stands'
    leaders = {view.etcd.statuses[key]['leader'] for key in view.etcd.with_leader}
    return dict(sorted(found.items(), key=lambda item: (item[0] in leaders, item[0])))


def against(view, member, without=()):
    """The reasons why this member is not defragmented; none where it may be. Clusters that have no member to spare are C(stops_all).

    C(without) are ids of members that will have been removed by then.
    """
    key = _keys(view).get(member)
    reasons = [
        *preconditions.no_corruption(view),
        *preconditions.planes_answer(view, without),
        *preconditions.one_list(view),
        *preconditions.members_healthy(view, without),
        *preconditions.calm(view),
    ]
    if key is not None:
        reasons += disk_room(view, view.snapshot.machine(key), int(view.etcd.statuses[key].get('db_size_in_use') or 0))
    return reasons + [f'{reason}, and a member that is defragmented does not answer' for reason in preconditions.tolerant(view, without)]


def stops_all(view):
    """Whether etcd as a whole does not answer while one member is defragmented, because it has no member to spare at any time."""
    return view.etcd.size <= preconditions.SMALL


def disk_room(view, machine, used):
    """The file system of etcd has room for a second file of what is in use."""
    disks = filesystems(machine)
    found = disks.get('/var/lib/etcd') or disks.get('/var')
    if found is None:
        if machine.datum('Mounts').ok and view.container(machine):
            return []  # the disk is the host's, and not among its mounts
        return [f'the room on the disk of {machine.label} is not known (Mounts: {machine.datum("Mounts").why()})'
                if not machine.datum('Mounts').ok else f'{machine.label} tells no size of /var']
    left = found[0] - found[1]
    if left >= DISK_FACTOR * used:
        return []
    return [f'the disk of {machine.label} has {mib(left)} left, which is less than {DISK_FACTOR} times the {mib(used)} in use']


def size_of(view, member):
    """C((size, in use)) of a member's database in bytes, None where it does not answer."""
    key = _keys(view).get(member)
    if key is None:
        return None
    status = view.etcd.statuses[key]
    return int(status.get('db_size') or 0), int(status.get('db_size_in_use') or 0)


def unwell(view, member):
    """Why a member is not well again after it was defragmented; none where it answers, knows a leader and has caught up."""
    key = _keys(view).get(member)
    if key is None:
        return [f'etcd member {view.etcd.calls(member)} does not answer']
    status = view.etcd.statuses[key]
    if status.get('leader') in (None, '', NO_LEADER):
        return [f'etcd member {view.etcd.calls(member)} knows no leader']
    lag = int(status.get('raft_index') or 0) - int(status.get('raft_applied_index') or 0)
    return [f'etcd member {view.etcd.calls(member)} is {lag} entries behind'] if lag > LAG_MOST else []


def machine_of(view, member):
    """The machine whose etcd says that it is this member."""
    return view.snapshot.machine(_keys(view)[member])


def _keys(view):
    return {status['member_id']: key for key, status in view.etcd.statuses.items() if status.get('member_id')}
