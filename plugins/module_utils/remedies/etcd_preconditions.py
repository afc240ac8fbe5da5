# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold before etcd is changed (users.md 5), each a pure function of a View: the reasons against it, none where it holds.

What could not be seen is a reason like what is wrong: nothing is changed in the dark.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import GONE, presence
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_LEADER

NOSPACE, CORRUPT = 'NOSPACE', 'CORRUPT'
# Share of its quota below which the database of every member must be before alarms are disarmed (users.md 5, check catalogue ETC-11).
ROOM = 0.8
# Clusters of so few members have no failure tolerance at any time: there what stops a member is done when the outage is agreed to.
SMALL = 2

READS = ('Version', 'MachineTypes', 'MachineStatuses', 'ServiceList', 'Members', 'Identities', 'Affiliates', 'Time', 'EtcdStatus', 'EtcdMemberList',
         'EtcdAlarmList', 'EtcdMembers')


def no_corruption(view):
    """No member has raised CORRUPT, and that was seen."""
    alarms = view.etcd.alarms
    if alarms is None:
        return [f'whether the alarm {CORRUPT} is raised is not known, because no member told its alarms ({_why(view, "EtcdStatus")})']
    return [f'the alarm {CORRUPT} of member {view.etcd.calls(member)} stands, so the data of a member differ from those of the others'
            for member in raised(view, CORRUPT)]


def raised(view, alarm):
    """Ids of the members of which an alarm stands, as any list or status says."""
    return sorted(member for member, name in view.etcd.alarms or () if name == alarm)


def alarms_listed(view):
    """A member gave the list of alarms: it goes through raft, so that what it does not hold is not raised."""
    if any(machine.datum('EtcdAlarmList').ok for machine in view.answering_control_planes):
        return []
    return [f'no member gave the list of alarms ({_why(view, "EtcdAlarmList")})']


def planes_answer(view, without=()):
    """Every control plane node that is known from anywhere answers, but one that is gone and no member any more.

    C(without) are ids of members that will have been removed by then, as in all that follows.
    """
    if not view.control_planes:
        return ['no control plane node is known']
    owners = [view.etcd.machine_of(member) for member in _staying(view, without)]
    return [f'{machine.label} does not answer{_of_unreachable(machine)}' for machine in view.control_planes
            if not machine.answered and (machine in owners or presence(view, machine) != GONE)]


def one_list(view):
    """Every control plane node that answers and runs etcd gave the list of members, and all lists are equal (check catalogue ETC-3)."""
    facts = view.etcd
    if not facts.member_lists:
        return [f'no control plane node gave the list of etcd members ({_why(view, "EtcdMemberList")})']
    reasons = [f'{machine.label} did not give its list of etcd members: {machine.datum("EtcdMemberList").why()}'
               for machine in facts.possible_planes if machine.key not in facts.member_lists and not facts.is_learner(machine)]
    (first, base), *others = sorted(((key, _members(members)) for key, members in facts.member_lists.items()), key=lambda item: item[0])
    for key, members in others:
        if members != base:
            differs = ', '.join(sorted({one[0] for one in members ^ base}))
            reasons.append(f'the lists of etcd members on {view.label(first)} and {view.label(key)} differ (in {differs})')
    return reasons


def members_healthy(view, without=()):
    """Every listed member is one that answers, votes, knows the one leader, and whose service is healthy."""
    facts, reasons = view.etcd, []
    if facts.members is None:
        return [f'the members of etcd are not known ({_why(view, "EtcdMemberList")})']
    by_id = {status.get('member_id'): key for key, status in facts.statuses.items()}
    for member in _staying(view, without):
        key = by_id.get(member['id'])
        if key is None:
            reasons.append(f'etcd member {facts.calls(member["id"])} does not answer')
            continue
        status, machine = facts.statuses[key], view.snapshot.machine(key)
        health = (facts.service(machine) or {}).get('health') or {}
        if member.get('is_learner') or status.get('is_learner'):
            reasons.append(f'etcd member {facts.calls(member["id"])} is still a learner')
        elif status.get('leader') in (None, '', NO_LEADER):
            reasons.append(f'etcd member {facts.calls(member["id"])} knows no leader')
        elif not health.get('healthy'):
            said = str(health.get('last_message') or 'no health check has passed').rstrip('.')
            reasons.append(f'etcd on {machine.label} is not healthy ({said})')
    return reasons + one_leader(view)


def one_leader(view):
    """All members that answer name the same leader."""
    facts = view.etcd
    leaders = sorted({facts.statuses[key]['leader'] for key in facts.with_leader})
    if not leaders:
        return ['no etcd member that answers knows a leader, so there is no quorum']
    return [f'etcd members name different leaders ({", ".join(leaders)})'] if len(leaders) > 1 else []


def calm(view):
    """No control plane node that answers is being installed, upgraded, rebooted or reset."""
    reasons = []
    for machine in view.answering_control_planes:
        stage = view.stage(machine)
        if stage is None:
            reasons.append(f'the stage of {machine.label} is not known ({machine.datum("MachineStatuses").why()})')
        elif view.in_progress(machine):
            reasons.append(f'{machine.label} is {stage}')
    return reasons


def quotas_equal(view):
    """The quota of every member that answers is known, and they are all the same."""
    facts, found, reasons = view.etcd, {}, []
    for key in facts.statuses:
        machine = view.snapshot.machine(key)
        quota = facts.quota(machine)
        if quota is None:
            reasons.append(f'the quota of etcd on {machine.label} is not known (EtcdSpecs: {machine.datum("EtcdSpecs").why()})')
        else:
            found[machine.label] = quota
    if len(set(found.values())) > 1:
        reasons.append(f'the quotas of etcd differ ({", ".join(f"{label} {mib(quota)}" for label, quota in sorted(found.items()))})')
    return reasons


def below_quota(view, emptied=False):
    """The database file of every member that answers is well below its quota, so that the alarm would not come back at once.

    C(emptied): as it will be once it was defragmented.
    """
    facts, reasons = view.etcd, []
    for key, status in facts.statuses.items():
        machine = view.snapshot.machine(key)
        size, quota = int(status.get('db_size_in_use' if emptied else 'db_size') or 0), facts.quota(machine)
        if quota and size >= ROOM * quota:
            has = 'would have after a defragmentation still' if emptied else 'has'
            reasons.append(f'the database on {machine.label} {has} {mib(size)}, which is {size / quota:.0%} of its quota of {mib(quota)} '
                           f'and not below {ROOM:.0%}')
    return reasons


def tolerant(view, without=()):
    """A member may fail; those of clusters of one or two never may, so that it is no question for them."""
    voters = [member['id'] for member in view.etcd.voters or () if member['id'] not in without]
    healthy = [machine for machine in view.etcd.healthy if view.etcd.local_id(machine) not in without]
    size = len(voters) if view.etcd.voters is not None else view.etcd.size
    quorum = size // 2 + 1
    if size <= SMALL or len(healthy) > quorum:
        return []
    return [f'etcd has no failure tolerance ({len(healthy)} of {size} voters are healthy, quorum {quorum})']


def mib(number):
    """Bytes as MiB."""
    return f'{number / 1024 ** 2:.0f} MiB'


def _staying(view, without):
    return [member for member in view.etcd.members or () if member['id'] not in without]


def _members(members):
    return frozenset((member['id'], member.get('hostname') or '', bool(member.get('is_learner'))) for member in members)


def _of_unreachable(machine):
    said = str((machine.unreachable or {}).get('text') or '').rstrip('.')
    return f' ({said})' if said else ''


def _why(view, kind):
    """Why no machine gave a read, in the words of the first ones."""
    said = [f'{machine.label}: {machine.datum(kind).why()}' if machine.answered else f'{machine.label} does not answer' for machine in view.control_planes]
    return '; '.join(said[:3]) or 'no control plane node is known'
