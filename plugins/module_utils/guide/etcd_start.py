# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "All etcd Services are Stuck in Pre State" and "Some etcd Services are Stuck in Pre State".

The guide's "Pre" is the state C(Preparing) (edge-cases 47). An empty /var/lib/etcd before the first start is normal
and never a fault by itself (ETC-16).
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_common import READ_IT, troubles
from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_start_causes import cause_of, waits_for
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    CONTROL_PLANES, Check, Threshold, critical, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import (
    BOOTSTRAP_WAIT, NO_QUORUM, NOT_BOOTSTRAPPED, down, learner, unreachable,
)

_RECOVER = 'recover etcd from a snapshot (talosctl bootstrap --recover-from), see the disaster recovery guide'


# -- ETC-9 (a), G4: never bootstrapped --------------------------------------------------------------------------

def not_bootstrapped(view):
    """Whether etcd was ever started for the first time; critical at any age, because this never resolves by itself."""
    facts, planes = view.etcd, view.control_planes
    if facts.not_bootstrapped:
        return _bootstrap(view)
    answering = view.answering_control_planes
    if any(facts.state(m) is not None and not facts.in_pre(m) for m in answering):
        return ok('cluster')
    silent = [m for m in planes if not m.answered]
    if silent or not planes:
        return unknown('cluster',
                       f'whether the cluster was bootstrapped: {listed(m.label for m in silent) + " could not" if silent else "no control plane node could"} '
                       'be read', 'A control plane node that nobody can see may hold the only copy of the data.',
                       'Bring it back before anything else; do not bootstrap.', nodes=[m.key for m in planes],
                       explained_by=tuple(unreachable(m) for m in silent) + ('not_judged',))
    unlisted = [m for m in answering if not m.datum('ServiceList').ok]
    unlogged = [m for m in answering if facts.waits_to_join(m) is None]
    if unlisted or unlogged:
        why = [f'ServiceList of {m.label}: {m.datum("ServiceList").why()}' for m in unlisted]
        why += [f'log machined of {m.label}: {m.log("machined").why()}' for m in unlogged]
        return unknown('cluster', f'whether the cluster was bootstrapped: {"; ".join(why)}', next_step=READ_IT,
                       nodes=[m.key for m in planes])
    return ok('cluster')


def _bootstrap(view):
    facts, planes = view.etcd, view.control_planes
    evidence = []
    for machine in planes:
        line = next(line for line in reversed(facts.pre_lines(machine)) if BOOTSTRAP_WAIT in line.text)
        evidence.append(facts.quote(machine, 'machined', line))
    common = {'nodes': [m.key for m in planes], 'asserts': (NOT_BOOTSTRAPPED,)}
    title = f'The cluster has not been bootstrapped: etcd waits to join on {_every(planes)}'
    full = [m for m in planes if facts.data_empty(m) is False]
    if full:
        evidence = [seen(m, 'EtcdDirectory', f'/var/lib/etcd of {m.label} is not empty') for m in full] + evidence
        return critical('cluster', f'etcd waits to join on {_every(planes)}, although {listed(m.label for m in full)} holds etcd data',
                        'This cluster had data once. Bootstrapping would start a new, empty cluster beside it.',
                        f'Do not bootstrap. Save /var/lib/etcd of {listed(m.label for m in full)} first (talosctl cp), then {_RECOVER}.',
                        evidence=evidence, **common)
    unread = [m for m in planes if facts.data_empty(m) is None]
    means = ('Nothing runs yet: no etcd, no Kubernetes. The nodes wait until one of them is told to be the first member; they restart '
             'after about 70 minutes.')
    if unread:
        why = '; '.join(f'{m.label}: {m.datum("EtcdDirectory").why()}' for m in unread)
        return critical('cluster', title, f'{means} Whether /var/lib/etcd is empty could not be seen ({why}).',
                        'Make sure that /var/lib/etcd is empty on every control plane node (talosctl list /var/lib/etcd) and that no '
                        'snapshot of an earlier life has to be restored; only then bootstrap exactly one of them, once.', evidence=evidence,
                        **common)
    first = planes[0]
    return critical('cluster', title, f'{means} /var/lib/etcd is empty on every control plane node.',
                    'If this cluster never had data: run "talosctl bootstrap" against exactly one control plane node, once (for example '
                    f'-n {first.address or first.label}); the others join by themselves. If it had data: {_RECOVER}.', evidence=evidence,
                    remedy={'name': 'bootstrap', 'args': {}}, **common)


# -- ETC-9 (b): all in Pre for another reason -------------------------------------------------------------------

def all_in_pre(view):
    """etcd has come past Pre on at least one control plane node."""
    facts, answering = view.etcd, view.answering_control_planes
    if facts.not_bootstrapped:
        return ok('cluster')
    if any(facts.state(m) is not None and not facts.in_pre(m) for m in answering):
        return ok('cluster')
    unlisted = [m for m in answering if not m.datum('ServiceList').ok]
    if unlisted or not answering:
        why = '; '.join(f'ServiceList of {m.label}: {m.datum("ServiceList").why()}'
                        for m in unlisted) or 'no control plane node could be read'
        return unknown('cluster', f'whether etcd is stuck in Pre: {why}', next_step=READ_IT, nodes=[m.key for m in view.control_planes],
                       explained_by=troubles(view))
    stuck = [m for m in answering if facts.in_pre(m)]
    if not stuck:
        return ok('cluster')
    causes = {m.key: cause_of(view, m) for m in stuck}
    silent = [m for m in view.control_planes if not m.answered]
    what = '; '.join(f'{m.label}: {causes[m.key].what}' for m in stuck)
    evidence = [e for m in stuck for e in causes[m.key].evidence]
    more = {'nodes': [m.key for m in stuck], 'evidence': evidence}
    if all(settling(view, m) and not causes[m.key].lasting for m in stuck) and not silent:
        return info('cluster', f'etcd is being started on {_every(stuck)}: {what}', 'The nodes have just booted.',
                    'Gather again in a few minutes.', **more)
    steps = list(dict.fromkeys(causes[m.key].next_step for m in stuck))
    waiting = [m for m in stuck if facts.waits_to_join(m)]
    if silent and waiting:
        steps.insert(0,
                     f'Do not bootstrap: {listed(m.label for m in silent)} does not answer and may hold the data of this cluster. Bring '
                     'it back first.')
    own = (NO_QUORUM, *(down(m) for m in stuck))
    further = dict.fromkeys(fact for m in stuck for fact in causes[m.key].explained_by if fact not in own)
    return critical('cluster', f'etcd is stuck before its start on {_every(stuck)}: {what}',
                    'etcd runs on no control plane node that answers, so Kubernetes cannot run either. ' + causes[stuck[0].key].means,
                    ' '.join(steps), asserts=(*(down(m) for m in stuck), *((NOT_BOOTSTRAPPED,) if facts.never_started else ())),
                    explained_by=(*further, *(unreachable(m) for m in silent if waiting)), **more)


# -- ETC-1, ETC-9 (b), ETC-10: some in Pre ----------------------------------------------------------------------

def stuck_in_pre(view, machine):
    """etcd gets past Pre on this node while other nodes are further; info while the node or the cluster settles."""
    facts = view.etcd
    if not facts.in_pre(machine) or view.not_bootstrapped or all(facts.in_pre(m) for m in view.answering_control_planes):
        return None
    cause = cause_of(view, machine)
    more = {'nodes': [machine.key], 'evidence': cause.evidence}
    if not cause.lasting and (settling(view, machine) or view.in_progress(machine)):
        return info(machine.key, f'{machine.label} is joining etcd: {cause.what}',
                    'Normal within ten minutes of a boot or of the bootstrap.', 'Wait, and gather again in a few minutes.', **more)
    victim = NO_QUORUM in cause.explained_by and not facts.with_leader
    gone = 'etcd is not tried again by itself: once the cause is gone, reboot this node.' if facts.state(machine) == 'Failed' else ''
    return error(machine.key, f'etcd does not start on {machine.label} (state {facts.state(machine)}): {cause.what}',
                 f'{cause.means} This control plane node is no member that counts until then, and its API server cannot start.',
                 f'{cause.next_step} {gone}'.strip(), asserts=() if victim else (down(machine),), explained_by=cause.explained_by,
                 remedy=cause.remedy, **more)


def settling(view, machine):
    """G5: the machine, this attempt to start, or the whole etcd cluster is younger than ten minutes."""
    since = view.etcd.pre_since(machine)
    fresh = since is not None and (view.now - since).total_seconds() < 600 and view.etcd.state(machine) != 'Failed'
    return fresh or view.etcd.settling(machine)


# -- ETC-8: learners --------------------------------------------------------------------------------------------

def learner_stuck(view):
    """Every member that was added votes within ten minutes. Talos stops promoting after that (edge-cases 51).

    A member says itself whether it is a learner, also without a quorum; the list adds those that never started.
    """
    facts = view.etcd
    if view.not_bootstrapped:
        return not_applicable('cluster', 'the cluster has not been bootstrapped')
    outcomes = [_learner(view, member_id) for member_id in sorted(facts.learners)]
    if facts.members is not None:
        nameless = [m for m in facts.voters if not m.get('hostname') and m['id'] not in facts.local_ids]
        return [*outcomes, *(_joins(view, member) for member in nameless if waits_for(view, member))] or ok('cluster')
    silent = [m for m in facts.possible_planes if m.key not in facts.statuses] or ([] if facts.statuses else view.answering_control_planes)
    if not silent and view.answering_control_planes:
        return outcomes or ok('cluster')
    why = '; '.join(f'{m.label}: EtcdMemberList: {m.datum("EtcdMemberList").why()}, EtcdStatus: {m.datum("EtcdStatus").why()}'
                    for m in silent)
    return [*outcomes,
            unknown('cluster', f'whether a member is stuck as a learner: {why or "no control plane node could be read"}', next_step=READ_IT,
                    nodes=[m.key for m in view.control_planes], explained_by=troubles(view))]


def _joins(view, member):
    machine = view.etcd.machine_of(member)
    return info(member['id'], f'{machine.label} is joining etcd as member {member["id"]}',
                'It was added and has not started yet, so it has no name.', 'Wait, and gather again in a few minutes.', nodes=[machine.key])


def _learner(view, member_id):
    facts = view.etcd
    member = facts.member(member_id)
    machine = facts.machine_of(member) if member else facts.local_ids[member_id]
    nodes = [machine.key] if machine else []
    called = facts.calls(member_id)
    if machine is None or not machine.answered:
        return warning(member_id, f'etcd learner {called} has no machine that answers',
                       'A learner does not vote, but etcd takes no further one while it is listed: no other control plane node can join.',
                       f'Bring its machine back. If it is gone for good: talosctl etcd remove-member {member_id} on a healthy control '
                       'plane node.', nodes=nodes, explained_by=(unreachable(machine),) if machine else ())
    started = max((event.at for event in facts.events(machine) if event.msg.startswith('Started task etcd') and event.at), default=None)
    promotions = [line for line in facts.log(machine, 'machined')
                  if 'failed promoting member: ' in line.text and (started is None or (line.near is not None and line.near >= started))]
    age = (view.now - started).total_seconds() if started else view.age_seconds(machine)
    if not promotions and age is None:
        return unknown(member_id,
                       f'how long {called} has been a learner: neither the events of etcd nor the age of {machine.label} were read',
                       nodes=nodes, next_step=READ_IT)
    evidence = [facts.quote(machine, 'machined', promotions[-1])] if promotions else []
    evidence += [seen(machine, 'EtcdStatus', 'is_learner: true')] if facts.statuses.get(machine.key, {}).get('is_learner') else []
    if not promotions and age <= view.threshold('etcd_learner_seconds'):
        return info(member_id, f'{machine.label} is joining etcd: member {member_id} is a learner and catches up',
                    'A new member copies the data first and votes then; until that its health check fails with "rpc not supported for '
                    'learner".', 'Wait, and gather again in a few minutes.', nodes=nodes, evidence=evidence)
    long = f': a learner for {age / 60:.0f} minutes' if age is not None else ''
    return warning(member_id, f'etcd member {called} on {machine.label} does not become a voter{long}',
                   'Talos tries to promote a learner for ten minutes and then never again until etcd restarts. It does not count for the '
                   'quorum, and no other control plane node can join meanwhile.',
                   f'Look for the reason (a slow disk or network between {machine.label} and the leader), then reboot {machine.label}.',
                   nodes=nodes, evidence=evidence, asserts=(learner(machine),), explained_by=(NO_QUORUM,))


def _every(machines):
    return f'all {len(machines)} control plane nodes ({listed(m.label for m in machines)})' if len(machines) > 1 else machines[0].label


_READS = ('ServiceList', 'MachineStatuses')

CHECKS = (
    Check('etcd.not_bootstrapped', 'etcd.all_pre', 'The cluster was bootstrapped', not_bootstrapped,
          reads=(*_READS, 'EtcdDirectory'), logs=('machined',), catalogue='ETC-9 ETC-16', remedy='bootstrap'),
    Check('etcd.all_in_pre', 'etcd.all_pre', 'etcd comes past Pre', all_in_pre,
          reads=(*_READS, 'EtcdSpecs'), logs=('machined',), catalogue='ETC-9'),
    Check('etcd.stuck_in_pre', 'etcd.some_pre', 'etcd comes past Pre on every control plane node', stuck_in_pre, each=CONTROL_PLANES,
          needs=('ServiceList',), reads=(*_READS, 'EtcdSpecs', 'Members', 'EtcdMemberList', 'EtcdStatus', 'EtcdDirectory'), logs=('machined',),
          catalogue='ETC-10 ETC-9 ETC-1', remedy='etcd_stale_member'),
    Check('etcd.learner_stuck', 'etcd.some_pre', 'New members become voters', learner_stuck,
          reads=(*_READS, 'EtcdMemberList', 'EtcdStatus', 'EtcdMembers'), logs=('machined',), catalogue='ETC-8', thresholds={
              'etcd_learner_seconds': Threshold(600, 's', 'how long a new etcd member may be a learner')}),
)
