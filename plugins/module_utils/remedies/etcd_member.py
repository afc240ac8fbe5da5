# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a member of etcd may be removed (users.md 5: etcd member removal, check catalogue ETC-7), pure.

etcd itself does not help: its strict reconfiguration check lets a live member go from a healthy cluster. A member is known by its
id, never by its name, and what decides is who answers and what the other members say of it, never discovery alone.
"""

from __future__ import annotations

from datetime import timedelta

from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_members import DOWN, GONE, JOINING, LIVE, standing
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import expected, span
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions

# A complaint of another member that is not older than this many seconds is one of now: etcd's prober repeats it every few seconds.
FRESH = 120
# So long a machine that discovery has not forgotten yet must have been dead to the other members.
DEAD_SECONDS = 600
# So many other members must say that it is dead, or all of them where there are fewer.
WITNESSES = 2

_ALIVE = ('peer became active', 'established TCP streaming connection with remote peer')
_PEER_FIELDS = ('remote-peer-id', 'remote-member-id', 'peer-id')


def sentence(member_id, cluster):
    """What must be said to have it removed."""
    return f'remove etcd member {member_id} of {cluster}'


def against(view, member_id):
    """The reasons why this listed member is not removed; none where it may be."""
    return [
        *preconditions.no_corruption(view),
        *preconditions.one_list(view),
        *preconditions.one_leader(view),
        *no_leader(view, member_id),
        *gone(view, member_id),
        *nobody_else(view, member_id),
        *quorum_after(view, member_id),
        *preconditions.calm(view),
        *clocks(view),
    ]


def no_leader(view, member_id):
    """It does not lead."""
    saying = [view.label(key) for key, status in view.etcd.statuses.items() if status.get('leader') == member_id]
    return [f'{saying[0]} says that it is the leader'] if saying else []


def gone(view, member_id):
    """No machine is this member, or will be, and the other members see that it is dead."""
    member = view.etcd.member(member_id)
    how = standing(view, member)
    if how.what == LIVE:
        return [f'it is alive: {how.why}{", and it is a learner, which is joining" if member.get("is_learner") else ""}']
    if how.what == JOINING:
        return [f'it may be a machine that is joining: {how.why}']
    answers = how.machine is not None and how.machine.answered
    if how.what == DOWN and (answers or how.machine is not None and expected(view, how.machine)):
        return [f'its machine is still there: {how.why}']
    if how.what == GONE and answers:
        return []  # the machine at its address is known to be another one, and the others may well reach that
    if how.what not in (GONE, DOWN):
        return [f'whether it is gone is not known: {how.why}']
    least = 0 if how.what == GONE else DEAD_SECONDS
    return dead_to_others(view, member_id, least, how.why)


def dead_to_others(view, member_id, least, why):
    """Two other members complain of it now, and have done so for C(least) seconds; none has reached it since."""
    witnesses, reached = {}, []
    others = [machine for machine in view.etcd.healthy if view.etcd.local_id(machine) != member_id]
    for machine in others:
        since = _complains_since(view, machine, member_id)
        if since is False:
            reached.append(machine.label)
        elif since is not None:
            witnesses[machine.label] = since
    if reached:
        return [f'etcd on {reached[0]} has reached it lately, so it is alive']
    needed = min(WITNESSES, len(others))
    unread = [f'{machine.label}: {machine.log("etcd").why()}' for machine in others if not machine.log('etcd').ok]
    if len(witnesses) < needed or not needed:
        return [f'only {len(witnesses)} of {len(others)} other members say that they cannot reach it, and {max(needed, 1)} must '
                f'({"; ".join(unread) or "their logs hold no complaint of the last two minutes"}); {why}']
    lasting = sorted(witnesses.values(), reverse=True)[needed - 1]
    if lasting < least:
        return [f'the other members have not been able to reach it for {span(lasting)} only, and {span(least)} must pass: {why}']
    return []


def nobody_else(view, member_id):
    """Every control plane node that answers is known to be another member, or none: one whose etcd is down might be this."""
    facts, reasons = view.etcd, []
    for machine in view.answering_control_planes:
        if facts.local_id(machine) is not None or facts.data_empty(machine):
            continue
        theirs = [member for member in facts.members or () if facts.machine_of(member) is machine and member['id'] != member_id]
        if not theirs:
            reasons.append(f'{machine.label} may be this member: it holds etcd data and does not say which member it is '
                           f'(its etcd is {facts.state(machine) or "not listed"})')
    return reasons


def quorum_after(view, member_id):
    """Enough healthy voters are left for the quorum of those that are left."""
    before, after = numbers(view), numbers(view, member_id)
    if after['healthy'] >= after['quorum']:
        return []
    return [f'{after["healthy"]} of the {after["voters"]} voters that would be left are healthy, and their quorum is {after["quorum"]} '
            f'(now {before["healthy"]} of {before["voters"]}, quorum {before["quorum"]})']


def clocks(view):
    """The clocks of the control plane nodes that answer are in sync."""
    reasons = []
    for machine in view.answering_control_planes:
        status = machine.resource('TimeStatuses')
        if not isinstance(status, dict):
            reasons.append(f'whether the clock of {machine.label} is in sync is not known (TimeStatuses: {machine.datum("TimeStatuses").why()})')
        elif not status.get('synced'):
            reasons.append(f'the clock of {machine.label} is not in sync')
    return reasons


def numbers(view, without=None):
    """C({voters, healthy, quorum, tolerance}), as they are or as they would be without a member."""
    voters = [member['id'] for member in view.etcd.voters or () if member['id'] != without]
    healthy = [machine for machine in view.etcd.healthy if view.etcd.local_id(machine) != without]
    quorum = len(voters) // 2 + 1
    return {'voters': len(voters), 'healthy': len(healthy), 'quorum': quorum, 'tolerance': len(healthy) - quorum}


def listed(view):
    """The members: C([{id, name, peer_urls, learner}])."""
    return [{'id': member['id'], 'name': member.get('hostname') or '', 'peer_urls': list(member.get('peer_urls') or ()),
             'learner': bool(member.get('is_learner'))} for member in view.etcd.members or ()]


def unsettled(view, member_id, left):
    """Why the removal is not seen to be done everywhere; none where all lists agree, are without it, and there is a leader."""
    reasons = [*preconditions.one_list(view), *preconditions.one_leader(view)]
    holding = [view.label(key) for key, members in view.etcd.member_lists.items() if any(member['id'] == member_id for member in members)]
    if holding:
        reasons.insert(0, f'{holding[0]} still lists it')
    elif view.etcd.members is not None and len(view.etcd.members) != left:
        reasons.append(f'{len(view.etcd.members)} members are listed, and {left} were expected')
    return reasons


def _complains_since(view, machine, member_id):
    """Seconds for which a member has complained of this one without a break, None where it does not now, False where it reached it since."""
    about = [line for line in view.etcd.log(machine, 'etcd') if line.near is not None and member_id in [line.fields.get(name) for name in _PEER_FIELDS]]
    fresh = view.etcd.recent(machine, 'etcd', FRESH)
    since = None
    for line in about:
        if line.msg in _ALIVE:
            since = False
        elif line.fields.get('error'):
            since = since or line.near
    if since is None or since is False:
        return since if since is None or any(line in fresh for line in about) else None
    newest = max([view.now, *(line.near for line in fresh[-1:])])
    complaints = [line for line in about if line.fields.get('error')]
    return max(newest - since, timedelta()).total_seconds() if complaints[-1] in fresh else None
