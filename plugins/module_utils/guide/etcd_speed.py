# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "etcd Issues", step 3 (logs): members that lag, elect too often, are too slow, or differ in version."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_common import nothing_to_ask, unread_on, where_etcd_runs
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge import loglines
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    CONTROL_PLANES, Check, Threshold, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOSPACE, down, unreachable

_ELECTED = re.compile(r'elected leader (?P<leader>[0-9a-f]+) at term (?P<term>\d+)')
_TOOK = re.compile(r'took too long \((?P<took>[^)]+)\) to execute')
_SLOW_APPLY = 1.0
_WINDOW = 300
_SYNC = 'slow fdatasync'
_SLOW = ('apply request took too long', 'failed to send out heartbeat on time', 'waiting for ReadIndex response took too long',
         'prober found high clock drift')


# -- ETC-12 -----------------------------------------------------------------------------------------------------

@where_etcd_runs('EtcdStatus')
def raft_lag(view, machine):
    """The member has applied what it received, and received what the others have."""
    statuses = view.etcd.statuses
    mine = statuses[machine.key]
    index, applied = int(mine.get('raft_index') or 0), int(mine.get('raft_applied_index') or 0)
    behind = max(0, index - applied)
    evidence = [seen(machine, 'EtcdStatus', f'raft index {index}, applied {applied}')]
    cure = f'Look at disk and CPU of {machine.label}; gather again to see whether it catches up.'
    if behind > view.threshold('etcd_applied_lag_warning'):
        raise_it = error if behind > view.threshold('etcd_applied_lag_error') else warning
        return raise_it(machine.key, f'etcd on {machine.label} has {behind} entries received and not applied',
                        'From 5000 on etcd refuses requests ("too many requests").', cure, nodes=[machine.key], evidence=evidence,
                        explained_by=(NO_QUORUM,))
    followers = view.etcd.with_leader
    if machine.key in followers:  # who follows another leader may be of another cluster, which counts for itself
        statuses = {key: status for key, status in statuses.items() if key not in followers or status['leader'] == mine['leader']}
    farthest = max(statuses, key=lambda key: int(statuses[key].get('raft_index') or 0))
    gap = int(statuses[farthest].get('raft_index') or 0) - index
    if gap > view.threshold('etcd_index_spread') and not view.etcd.is_learner(machine):
        other = view.snapshot.machine(farthest)
        return warning(machine.key, f'etcd on {machine.label} is {gap} entries behind {other.label}',
                       'The members are asked at slightly different instants, which explains a few entries, not so many: it receives them '
                       'too slowly, or not at all.', f'Check TCP 2380 between the control plane nodes. {cure}', nodes=[machine.key],
                       evidence=[*evidence, seen(other, 'EtcdStatus', f'raft index {index + gap}')], explained_by=(NO_QUORUM,))
    return ok(machine.key)


def leader_unstable(view):
    """The leader stays. An election is counted once by its term, however many members logged it."""
    facts = view.etcd
    early = nothing_to_ask(view, 'how often etcd elected a leader')
    if early:
        return early
    readable = [m for m in facts.running_planes if m.log('etcd').ok]
    if not readable:
        why = '; '.join(f'{m.label}: {m.log("etcd").why()}' for m in facts.running_planes)
        return unknown('cluster', f'how often etcd elected a leader: its logs were not read ({why})',
                       nodes=[m.key for m in facts.running_planes])
    hour, day = _elections(view, readable, 3600), _elections(view, readable, 86400)
    most_hour, most_day = view.threshold('etcd_elections_per_hour'), view.threshold('etcd_elections_per_day')
    if len(hour) <= most_hour and len(day) <= most_day:
        return ok('cluster')
    counted, span = (hour, 'hour') if len(hour) > most_hour else (day, 'day')
    evidence = [facts.quote(machine, 'etcd', line) for _term, (machine, line) in sorted(counted.items(), reverse=True)]
    title = f'etcd elected a leader {len(counted)} times in the last {span}'
    more = {'nodes': [m.key for m in readable], 'evidence': evidence}
    if facts.cluster_age is not None and facts.cluster_age < 600:
        return info('cluster', title, 'The cluster is younger than ten minutes.', 'Gather again later.', **more)
    return warning('cluster', title,
                   'Each election stops etcd for seconds. The leader misses its own deadlines: slow disk, overload, or a bad network.',
                   'Look at the disks of the control plane nodes (etcd wants a sync below 10 ms), their CPU, and the time packets take '
                   'between them.',
                   explained_by=(NO_QUORUM, 'etcd.slow', *(down(m) for m in view.control_planes),
                                 *(unreachable(m) for m in view.control_planes)), **more)


def _elections(view, machines, seconds):
    """Term: (machine, line) of the elections within so many seconds."""
    found = {}
    for machine in machines:
        for line in view.etcd.recent(machine, 'etcd', seconds):
            hit = _ELECTED.search(line.text)
            if hit:
                found.setdefault(int(hit.group('term')), (machine, line))
    return found


# -- ETC-17 -----------------------------------------------------------------------------------------------------

@where_etcd_runs(logs=('etcd',))
def slow_disk(view, machine):
    """etcd complains of no slow disk, CPU or network.

    Only the last five minutes count, older lines are history. Lines of one second are one stall: when it ends, every
    request that waited logs its own line (99 in one second on a healthy cluster).
    """
    facts = view.etcd
    if machine.key in facts.statuses and machine.key not in facts.with_leader:
        return not_applicable(machine.key, 'without a leader etcd can only wait: see the check of the quorum')
    lines = facts.recent(machine, 'etcd', _WINDOW)
    syncs = [line for line in lines if _SYNC in line.text]
    slow = [line for line in lines if _is_slow(line)]
    moments = {line.near.replace(microsecond=0) for line in slow}
    if len(moments) <= view.threshold('etcd_slow_moments') and len(syncs) < view.threshold('etcd_slow_syncs'):
        return ok(machine.key)
    kinds = {sign: sum(sign in line.text for line in [*slow, *syncs]) for sign in (*_SLOW, _SYNC)}
    title = f'etcd is slow on {machine.label}: ' + ', '.join(f'{count} × "{sign}"' for sign,
                                                             count in kinds.items() if count) + ' in five minutes'
    evidence = [facts.quote(machine, 'etcd', line) for line in (syncs[-2:] + slow[-3:])]
    if any(facts.settling(plane) for plane in view.answering_control_planes):
        return info(machine.key, title,
                    'A control plane node, or the cluster, is younger than ten minutes: image pulls and members that come back make etcd '
                    'slow.', 'Gather again later.', nodes=[machine.key], evidence=evidence)
    return warning(machine.key, title,
                   'etcd waits for its disk, the CPU or the other members; requests of the API server time out, leaders change.',
                   'Look at the load and the disk of this node: etcd wants a disk of its own that syncs within 10 ms. If only clock drift '
                   'is named, repair the time.', nodes=[machine.key], evidence=evidence, asserts=('etcd.slow',),
                   explained_by=(NO_QUORUM, NOSPACE, f'memory:{machine.key}', f'disk_failing:{machine.key}', f'network:{machine.key}',
                                 *(f'clock:{plane.key}' for plane in view.control_planes if kinds['prober found high clock drift'])))


def _is_slow(line):
    if not any(sign in line.text for sign in _SLOW) and not _TOOK.search(line.text):
        return False
    took = line.fields.get('took') if 'apply request took too long' in line.msg else (_TOOK.search(line.text) or {'took': None})['took']
    return took is None or (loglines.seconds(took) or 0) >= _SLOW_APPLY


# -- ETC-18 -----------------------------------------------------------------------------------------------------

def versions_differ(view):
    """The members run etcd of one minor version."""
    facts = view.etcd
    early = nothing_to_ask(view, 'whether the etcd versions agree')
    if early:
        return early
    silent = [m for m in facts.possible_planes if m.key not in facts.statuses]
    outcomes = unread_on('whether the etcd versions agree', 'EtcdStatus', silent)
    versions = {key: _version(status.get('protocol_version')) for key, status in facts.statuses.items()}
    minors = {version for version in versions.values() if version}
    evidence = [seen(view.snapshot.machine(key), 'EtcdStatus',
                     f'etcd {status.get("protocol_version")}, storage {status.get("storage_version") or "not told"}') for key,
                status in facts.statuses.items()]
    more = {'nodes': list(facts.statuses), 'evidence': evidence}
    if len({major for major, _minor in minors}) > 1 or (minors and max(minors)[1] - min(minors)[1] > 1):
        return [*outcomes,
                error('cluster', f'etcd runs in versions more than one minor apart ({_texts(minors)})',
                      'etcd supports a mix of neighbouring minor versions, and only during an upgrade.',
                      'Finish the upgrade of Talos in order, one minor version at a time.', **more)]
    if len(minors) > 1:
        return [*outcomes,
                info('cluster', f'etcd runs in two minor versions ({_texts(minors)})', 'Normal during an upgrade.', 'Finish the upgrade.',
                     **more)]
    stored = {key: _version(status.get('storage_version')) for key, status in facts.statuses.items()}
    behind = [key for key in stored if stored[key] and versions[key] and stored[key] < versions[key]]
    if behind:
        return [*outcomes,
                info('cluster', f'The etcd storage of {listed(view.label(key) for key in behind)} is of an older version than etcd',
                     'Normal until all members run the new version.', 'Finish the upgrade.', **more)]
    return outcomes or ok('cluster')


def _version(text):
    hit = re.match(r'v?(\d+)\.(\d+)', str(text or ''))
    return (int(hit.group(1)), int(hit.group(2))) if hit else None


def _texts(versions):
    return listed(f'{major}.{minor}' for major, minor in sorted(versions))


CHECKS = (
    Check('etcd.raft_lag', 'etcd.other', 'Every etcd member keeps up', raft_lag, each=CONTROL_PLANES,
          reads=('ServiceList', 'EtcdStatus'), catalogue='ETC-12', thresholds={
              'etcd_applied_lag_warning': Threshold(1000, 'count', 'raft entries received and not applied that make a warning'),
              'etcd_applied_lag_error': Threshold(5000, 'count', 'raft entries received and not applied that make an error'),
              'etcd_index_spread': Threshold(5000, 'count', 'raft entries by which a member may be behind the farthest one')}),
    Check('etcd.leader_unstable', 'etcd.other', 'The etcd leader stays', leader_unstable,
          reads=('ServiceList',), logs=('etcd',), catalogue='ETC-12', thresholds={
              'etcd_elections_per_hour': Threshold(3, 'count', 'elections of an etcd leader in an hour that are normal'),
              'etcd_elections_per_day': Threshold(12, 'count', 'elections of an etcd leader in a day that are normal')}),
    Check('etcd.slow_disk', 'etcd.other', 'etcd is not slowed down', slow_disk, each=CONTROL_PLANES,
          reads=('ServiceList', 'MachineStatuses'), logs=('etcd',), catalogue='ETC-17', thresholds={
              'etcd_slow_moments': Threshold(10, 'count', 'seconds in which etcd complains of slowness, of five minutes, that are normal'),
              'etcd_slow_syncs': Threshold(3, 'count', 'slow disk syncs of etcd within five minutes that make a warning')}),
    Check('etcd.versions_differ', 'etcd.other', 'All etcd members run one version', versions_differ,
          reads=('ServiceList', 'EtcdStatus'), catalogue='ETC-18'),
)
