# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "etcd Quorum is Lost", and step 2 of "etcd Issues": who is a member, who answers, who leads.

A gather holds one sample of each node. Where two would be needed to be sure, one is judged with care: any answer
that knows a leader proves a quorum, members out of our reach are unknown and not lost, terms may differ by one.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import NOT_ASKED, REFUSED, UNSUPPORTED
from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_common import READ_IT, nothing_to_ask, troubles, unread, unread_on
from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_start_causes import cause_of
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, seen, went_down_just_now
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Evidence, Threshold, critical, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOT_BOOTSTRAPPED, down, stale, unreachable
from ansible_collections.talosops.talos.plugins.module_utils.judge.progress import STAGE_LIMIT, STAGE_SECONDS, progressing, stuck

_NOT_ASKED = (NOT_ASKED, REFUSED, UNSUPPORTED)
_LOST = ('Without a quorum etcd neither reads nor writes: the Kubernetes API fails, nothing is scheduled, leases run out. Services, nodes '
         'and pods may look healthy for a while, which proves nothing.')
_RECOVERY = ('First bring members back: start the machines that do not answer, repair etcd where it does not run. Reset, remove or '
             'bootstrap nothing meanwhile. If a majority is gone for good, recover by hand after the disaster recovery guide: (1) newest '
             'snapshot, else copy /var/lib/etcd/member/snap/db of a survivor (talosctl cp); (2) no node may be of type init; (3) reset '
             'EPHEMERAL of the other control plane nodes (--graceful=false --reboot) until every etcd is in Preparing; (4) talosctl '
             'bootstrap --recover-from=<file> on one node (with --recover-skip-hash-check for a copied db).')


# -- ETC-5, ETC-14 ----------------------------------------------------------------------------------------------

def quorum_lost(view):
    """A leader is known, which proves a quorum; judged by EtcdStatus, because nothing else answers without one."""
    facts = view.etcd
    if view.not_bootstrapped:
        return not_applicable('cluster', 'the cluster has not been bootstrapped')
    if not view.answering_control_planes:
        return nothing_to_ask(view, 'whether etcd has a quorum')
    if facts.with_leader:
        return _held(view)
    if facts.statuses:
        return _leaderless(view)
    return _silent(view)


def _held(view):
    facts = view.etcd
    if len(facts.healthy) >= facts.quorum:
        return ok('cluster', title=f'{len(facts.healthy)} of {facts.size} members answer')
    return unknown('cluster',
                   f'whether etcd keeps its quorum: only {len(facts.healthy)} of {facts.size} members could be asked, {facts.quorum} are '
                   'needed',
                   'The member that answers knows a leader, so a quorum was there: the others are out of our reach, or were lost this '
                   'very moment.', 'Gather again; then find out why the others do not answer.', nodes=_missing_nodes(view),
                   evidence=_answers(view),
                   explained_by=(*(unreachable(m) for m in view.control_planes), *(down(m) for m in view.control_planes)))


def _leaderless(view):
    facts, keys = view.etcd, [m.key for m in view.control_planes]
    evidence = _answers(view)
    contradicted = [m for m in facts.running_planes if m.datum('EtcdMemberList').ok or m.datum('EtcdAlarmList').ok]
    if contradicted:
        return unknown('cluster',
                       f'whether etcd has a quorum: no leader on {listed(m.label for m in contradicted)}, which answered a question that '
                       'needs one', 'An election was going on while it was asked.', 'Gather again.', nodes=keys, evidence=evidence)
    for machine in facts.running_planes:
        datum = machine.datum('EtcdMemberList')
        if not datum.ok and machine.key in facts.statuses:
            evidence.append(Evidence(datum.reason or datum.why(), 'EtcdMemberList', machine.label, datum.at))
    return critical('cluster', f'etcd has lost its quorum: {_who_answers(view)}, none knows a leader', _LOST, _RECOVERY, nodes=keys,
                    evidence=evidence, asserts=(NO_QUORUM,), explained_by=tuple(down(m) for m in view.control_planes))


def _silent(view):
    """No status at all: a quorum is impossible where too many nodes do not run etcd; anything else is unknown."""
    facts, planes = view.etcd, view.control_planes
    listed_on = [m for m in view.answering_control_planes if m.datum('ServiceList').ok]
    idle = [m for m in listed_on if not facts.running(m) or facts.crashes(m)]
    starting = [m for m in idle if _comes_up(view, m)]
    needed = facts.size - facts.quorum + 1
    evidence = [seen(m, 'ServiceList', f'etcd {facts.state(m) or "not listed"}') for m in idle]
    how = f'etcd does not run on {len(idle)} of {facts.size} control plane nodes ({listed(m.label for m in idle)})'
    if len(idle) - len(starting) >= needed:
        return critical('cluster', f'etcd has no quorum: {how}', _LOST, _RECOVERY, nodes=[m.key for m in planes], evidence=evidence,
                        asserts=(NO_QUORUM,), explained_by=(NOT_BOOTSTRAPPED, *(down(m) for m in planes)))
    if len(idle) >= needed and len(idle) == len(starting):
        return info('cluster', f'etcd has no quorum yet: it is being started on {listed(m.label for m in starting)}',
                    'These nodes booted less than ten minutes ago.', 'Gather again in a few minutes.', nodes=[m.key for m in starting],
                    evidence=evidence)
    why = '; '.join(f'{m.label}: {m.datum("EtcdStatus").why()}' for m in view.answering_control_planes)
    return unknown('cluster', f'whether etcd has a quorum: EtcdStatus was not read ({why})', next_step=READ_IT,
                   nodes=[m.key for m in planes], evidence=evidence, explained_by=troubles(view))


def _who_answers(view):
    return f'{len(view.etcd.statuses)} of {view.etcd.size} members answer{"s" if len(view.etcd.statuses) == 1 else ""}'


def _answers(view):
    found = []
    for key, status in view.etcd.statuses.items():
        errors = ', '.join(text.strip() for text in status.get('errors') or [])
        said = f'member {status.get("member_id")}, leader {status.get("leader")}, term {status.get("raft_term")}'
        found.append(seen(view.snapshot.machine(key), 'EtcdStatus', said + (f', errors: {errors}' if errors else '')))
    return found


def _missing_nodes(view):
    healthy = {m.key for m in view.etcd.healthy}
    return [m.key for m in view.control_planes if m.key not in healthy]


# -- ETC-5: quorum held, but not by all -------------------------------------------------------------------------

def members_not_answering(view):
    """Every voter answers and knows the leader."""
    facts = view.etcd
    early = nothing_to_ask(view, 'whether all etcd members answer')
    if early:
        return early
    if not facts.statuses:
        return unread(view, 'whether all etcd members answer', 'EtcdStatus')
    if not facts.with_leader:
        return not_applicable('cluster', 'there is no quorum: see that check')
    count, size = len(facts.healthy), facts.size
    if count >= size:
        return ok('cluster')
    if count < facts.quorum:
        return unknown('cluster', f'how many etcd members are healthy: {count} of {size} could be asked', nodes=_missing_nodes(view),
                       next_step='Gather again; then find out why the others do not answer.', explained_by=troubles(view))
    absent = _absent(view)
    unasked = [machine for _name, machine, _member in absent if _not_asked(view, machine)]
    outcomes = unread_on('whether all etcd members answer', 'EtcdStatus', unasked)
    absent = [item for item in absent if item[1] not in unasked]
    return [*outcomes, _degraded(view, absent, len(unasked))] if absent else outcomes


def _degraded(view, absent, unasked):
    facts, count, size = view.etcd, len(view.etcd.healthy), view.etcd.size
    machines = [machine for _name, machine, _member in absent if machine is not None]
    causes = [stale(member['id']) for _name, _machine, member in absent if member]
    causes += [fact for machine in machines for fact in (unreachable(machine), down(machine), stuck(machine))]
    spare = facts.tolerance
    bears = 'no further failure is tolerated' if spare == 0 else f'{spare} more failure{"s are" if spare > 1 else " is"} tolerated'
    title = f'{count} of {size} etcd members answer (missing: {listed(name for name, _machine, _member in absent)}), {bears}'
    more = {'nodes': [machine.key for machine in machines], 'evidence': _answers(view), 'explained_by': tuple(causes)}
    if not unasked and len(machines) == len(absent) and all(_comes_up(view, machine) for machine in machines):
        return info('cluster', title, 'The missing node has just booted or is being restarted.',
                    'Gather again in a few minutes. Touch no other control plane node before.', **more)
    loss = ' One more loss stops etcd and Kubernetes.' if spare == 0 else ''
    return warning('cluster', title, f'A quorum needs {facts.quorum} of {size} voters.{loss}',
                   f'{_look(machines)}Bring the missing member back, or remove it if its machine is gone for good. Until then reboot, upgrade or '
                   'reset no other control plane node.', **more)


def _look(machines):
    there = next((machine for machine in machines if machine.answered), None)
    return f'Read its log: talosctl -n {there.address or there.label} logs etcd. ' if there else ''


def _absent(view):
    """(what it is called, machine or None, member or None) of every voter that does not answer with a leader."""
    facts = view.etcd
    healthy = {machine.key for machine in facts.healthy}
    if facts.voters is None:
        return [(machine.label, machine, None) for machine in view.control_planes if machine.key not in healthy]
    ids = {facts.statuses[key].get('member_id') for key in healthy}
    return [(facts.calls(member['id']), facts.machine_of(member), member) for member in facts.voters if member['id'] not in ids]


def _not_asked(view, machine):
    """Whether its silence says nothing, because its status was never asked for, or not by somebody who may."""
    if machine is None or not machine.answered:
        return machine is not None and machine.unreachable is None
    if view.etcd.state(machine) not in (None, 'Running'):
        return False
    return machine.datum('EtcdStatus').state in _NOT_ASKED


def _comes_up(view, machine):
    if not machine.answered:
        return went_down_just_now(view, machine)
    if progressing(view, machine):
        return True
    return bool(view.young(machine)) and view.etcd.in_pre(machine) and not cause_of(view, machine).lasting


# -- ETC-2 ------------------------------------------------------------------------------------------------------

def even_member_count(view):
    """The number of voters is odd, and not larger than seven."""
    facts = view.etcd
    early = nothing_to_ask(view, 'the number of etcd members')
    if early:
        return early
    if facts.voters is None:
        return unread(view, 'the number of etcd members', 'EtcdMemberList')
    count, most = len(facts.voters), view.threshold('etcd_members_most')
    voting = {facts.machine_of(m).key for m in facts.voters if facts.machine_of(m)}
    outside = [m for m in view.control_planes if m.key not in voting]
    source = next(iter(facts.member_lists))
    more = {'nodes': [m.key for m in view.control_planes],
            'evidence': [seen(view.snapshot.machine(source), 'EtcdMemberList', f'{count} voting members')]}
    if count == 1 and not outside:
        return info('cluster', 'etcd has one member: no failure is tolerated', 'Losing this node, or its disk, loses the cluster.',
                    'Keep snapshots of etcd elsewhere; for more, run three control plane nodes.', **more)
    if count > most:
        return warning('cluster', f'etcd has {count} voting members',
                       'Every write waits for a majority of them: beyond seven it only gets slower.',
                       'Run three or five control plane nodes.', **more)
    if count % 2:
        return ok('cluster')
    joining = facts.learners or any(m.answered and facts.in_pre(m) and (view.young(m) or facts.settling(m)) for m in outside)
    if joining:
        return info('cluster', f'etcd has {count} voting members while another one joins', 'The number is odd again once that one votes.',
                    'Gather again in a few minutes.', **more)
    gone = [stale(m['id']) for m in facts.voters]
    return warning('cluster', f'etcd has an even number of voting members ({count})',
                   f'{count} members tolerate no more failures than {count - 1} do, and there is one more that can fail.',
                   'Where a member is stale, removing that one is all there is to do. Otherwise add a control plane node, or take one away '
                   'properly (talosctl reset, which leaves etcd first).',
                   explained_by=(*gone, *(down(m) for m in outside), *(unreachable(m) for m in outside)), **more)


# -- ETC-3 ------------------------------------------------------------------------------------------------------

def members_differ(view):
    """All members give the same member list. Reads need a quorum, so one quorum cannot give two answers."""
    facts = view.etcd
    early = nothing_to_ask(view, 'whether the member lists agree')
    if early:
        return early
    asked = [m for m in facts.possible_planes if not facts.is_learner(m)]
    silent = [m for m in asked if m.key not in facts.member_lists]
    outcomes = unread_on('whether the member lists agree', 'EtcdMemberList', silent)
    if not asked:
        return unread(view, 'whether the member lists agree', 'EtcdMemberList')
    views = {}
    for key, members in facts.member_lists.items():
        views.setdefault(frozenset((m['id'], m.get('hostname'), bool(m.get('is_learner'))) for m in members), []).append(key)
    if len(views) < 2:
        return outcomes or ok('cluster')
    evidence = [seen(view.snapshot.machine(key), 'EtcdMemberList', ', '.join(sorted(m['id'] for m in facts.member_lists[key])))
                for key in facts.member_lists]
    nodes = list(facts.member_lists)
    ids = [frozenset(item[0] for item in one) for one in views]
    apart = any(not (a & b) for i, a in enumerate(ids) for b in ids[i + 1:])
    if apart:
        return [*outcomes,
                critical('cluster', f'There are {len(views)} etcd clusters: the member lists have no member in common',
                         'Two nodes were bootstrapped, or a node came back with the data of another cluster. Each half has its own '
                         'Kubernetes.',
                         'Find out which half holds the real data (talosctl etcd status, the Kubernetes objects of each) and take a '
                         'snapshot of it. Then reset EPHEMERAL of the nodes of the other half, so that they join.', nodes=nodes,
                         evidence=evidence)]
    return [*outcomes,
            warning('cluster', 'The member lists of the etcd members differ',
                    'A member may have been added or removed this very moment; if it stays so, there are two clusters.',
                    'Gather again in a minute. If the lists still differ, look for "cluster ID mismatch" in talosctl logs etcd.',
                    nodes=nodes, evidence=evidence)]


# -- ETC-5: leader and term -------------------------------------------------------------------------------------

def _does_not_know_the_leader(facts, told):
    """Whether a member lists its cluster without the leader of another one, which is in no later term because a removed leader was replaced."""
    for key, members in facts.member_lists.items():
        listed_ids = {member['id'] for member in members}
        own = told.get(key)
        for other in told.values() if own else ():
            ahead = int(own.get('raft_term') or 0) - int(other.get('raft_term') or 0)
            if other['leader'] != own['leader'] and other['leader'] not in listed_ids and ahead != 1:
                return True
    return False


def leaders_differ(view):
    """All members follow the same leader in the same term; one term apart is an election between two answers."""
    facts = view.etcd
    early = nothing_to_ask(view, 'whether all members follow one leader')
    if early:
        return early
    silent = [m for m in facts.possible_planes if m.key not in facts.statuses]
    outcomes = unread_on('whether all members follow one leader', 'EtcdStatus', silent)
    told = {key: facts.statuses[key] for key in facts.with_leader}
    leaders = {(status['leader'], int(status.get('raft_term') or 0)) for status in told.values()}
    terms = [term for _leader, term in leaders]
    more = {'nodes': list(told), 'evidence': _answers(view)}
    if len(set(terms)) < len(leaders) or _does_not_know_the_leader(facts, told):
        return [*outcomes,
                critical('cluster', f'etcd has {len(leaders)} leaders at once',
                         'Within one term one cluster has one leader, and every member lists it: these are two clusters.',
                         'Find out which half holds the real data, take a snapshot of it, and reset EPHEMERAL of the nodes of the other '
                         'half.', **more)]
    if terms and max(terms) - min(terms) > 1:
        return [*outcomes,
                warning('cluster', f'The etcd members are in different terms ({listed(sorted(set(terms)))})',
                        'Several elections happened while they were asked, or a member is cut off from the others.',
                        'Gather again. If it stays so, check TCP 2380 between the control plane nodes.', explained_by=(NO_QUORUM,), **more)]
    if len(leaders) > 1:
        return [*outcomes,
                info('cluster', 'etcd elected a leader while its members were asked', 'Normal after a restart of the former leader.',
                     'Gather again.', **more)]
    alone = [key for key in facts.statuses if key not in told] if told else []
    for key in alone:
        machine = view.snapshot.machine(key)
        outcomes.append(warning(key, f'etcd on {machine.label} knows no leader, other members do',
                                'It is cut off from them, or an election was going on.',
                                'Gather again. If it stays so, check TCP 2380 between this node and the others.', nodes=[key],
                                evidence=_answers(view)))
    return outcomes or ok('cluster')


CHECKS = (
    Check('etcd.quorum_lost', 'etcd.quorum_lost', 'etcd has a quorum', quorum_lost,
          reads=('ServiceList', 'EtcdStatus', 'EtcdMemberList', 'EtcdAlarmList'), catalogue='ETC-5 ETC-14'),
    Check('etcd.members_not_answering', 'etcd.other', 'All etcd members answer', members_not_answering,
          reads=('ServiceList', 'EtcdStatus', 'EtcdMemberList', 'EtcdMembers', 'MachineStatuses'), cluster_reads=('nodes',), catalogue='ETC-5',
          thresholds={STAGE_SECONDS: STAGE_LIMIT}),
    Check('etcd.leaders_differ', 'etcd.other', 'All etcd members follow one leader', leaders_differ,
          reads=('ServiceList', 'EtcdStatus', 'EtcdMemberList'), catalogue='ETC-5'),
    Check('etcd.members_differ', 'etcd.other', 'All etcd members list the same members', members_differ,
          reads=('ServiceList', 'EtcdMemberList'), catalogue='ETC-3'),
    Check('etcd.even_member_count', 'etcd.other', 'The number of etcd members is odd', even_member_count,
          reads=('ServiceList', 'EtcdMemberList'), catalogue='ETC-2', thresholds={
              'etcd_members_most': Threshold(7, 'count', 'how many voting etcd members are sensible')}),
)
