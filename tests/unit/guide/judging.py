# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging a snapshot by the etcd checks, and changing a recorded one."""

from __future__ import annotations

import functools
import pickle
from datetime import timedelta

from ansible_collections.talosops.talos.plugins.module_utils.guide import etcd
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings, verdict
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import judge
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time
from tests import recorded

READ = 'read'
ABOVE_OK = ('warning', 'error', 'critical')


def report(snapshot, thresholds=None, checks=etcd.CHECKS):
    judged = judge(snapshot, settings.build(checks, thresholds), checks)
    assert not [f['title'] for f in judged['findings'] if 'the check itself failed' in f['title']]
    assert len({f['id'] for f in judged['findings']}) == len(judged['findings'])
    return judged


def verdict_of(judged, check):
    return next(item['verdict'] for item in judged['checks'] if item['check'] == check)


def findings(judged, check=None, worse_than='ok'):
    return [f for f in judged['findings']
            if (check is None or f['check'] == check) and verdict.rank(f['verdict']) > verdict.rank(worse_than)]


def faults(judged):
    """Ids of what is above unknown."""
    return {f['id'] for f in findings(judged, worse_than='unknown')}


def one(judged, check):
    """The only finding of a check."""
    found = findings(judged, check)
    assert len(found) == 1, [f['title'] for f in found]
    return found[0]


@functools.cache
def _pickled(name):
    return pickle.dumps(recorded.snapshot(name))


def recording(name='healthy', later=0):
    """A copy of a recorded snapshot that may be changed, judged so many seconds later than it was taken."""
    snapshot = pickle.loads(_pickled(name))
    if later:
        snapshot.finished_at = format_time(snapshot.now + timedelta(seconds=later))
    return snapshot


def old(name='healthy'):
    """The same a day later: nothing in it is young."""
    return recording(name, later=86400)


def node(snapshot, name):
    return next(machine for machine in snapshot.machines if machine.name == name)


def planes(snapshot):
    return snapshot.control_planes()


def lose(machine, kind, state='timed_out', log=False):
    (machine.logs if log else machine.data)[kind] = Datum(state, reason=f'{kind} {state}')


def ago(snapshot, seconds):
    return format_time(snapshot.now - timedelta(seconds=seconds))


def set_service(snapshot, machine, state, events=(), health=None):
    """Give etcd of a machine this state; C(events) are (seconds ago, state, text), oldest first."""
    services = [s for s in machine.value('ServiceList')['services'] if s['id'] != 'etcd']
    services.append({'id': 'etcd', 'state': state,
                     'health': health or {'unknown': True, 'healthy': False, 'last_message': '', 'last_change': None},
                     'events': {'events': [{'ts': ago(snapshot, seconds), 'state': how, 'msg': text} for seconds, how, text in events]}})
    machine.data['ServiceList'] = Datum(READ, {'services': services})
    if state != 'Running':
        for kind in ('EtcdStatus', 'EtcdMemberList', 'EtcdAlarmList'):
            machine.data[kind] = Datum(reason=f'etcd is not running ({state})')
        machine.data['EtcdMembers'] = Datum(READ, [])


def preparing(snapshot, machine, since=900, text='Running pre state'):
    set_service(snapshot, machine, 'Preparing',
                [(since + 1, 'Waiting', 'Waiting for service "cri" to be "up"'), (since, 'Preparing', text)])


def machined(snapshot, machine, *lines):
    """Put lines (seconds ago, text) into the machine's log machined."""
    machine.logs['machined'] = Datum(READ, ''.join(f'{_stamp(snapshot, seconds)} [talos] {text}\n' for seconds, text in lines))


def _stamp(snapshot, seconds):
    return (snapshot.now - timedelta(seconds=seconds)).strftime('%Y/%m/%d %H:%M:%S.%f')


def unreachable(machine, kind='timeout'):
    machine.answered = False
    machine.unreachable = {'kind': kind, 'text': 'i/o timeout', 'via': '10.5.0.2', 'at': None}
    machine.data, machine.logs = {}, {}


def members_of(snapshot):
    """The member lists of all control plane nodes, to be changed in place."""
    return [machine.value('EtcdMemberList')['members'] for machine in planes(snapshot) if machine.value('EtcdMemberList')]


def add_member(snapshot, member_id, hostname, address, is_learner=False):
    for members in members_of(snapshot):
        members.append({'id': member_id, 'hostname': hostname, 'peer_urls': [f'https://{address}:2380'], 'client_urls': [],
                        'is_learner': is_learner})


def stage(snapshot, machine, name, seconds):
    """The machine has been in this stage for so many seconds."""
    status = next(item for item in machine.value('MachineStatuses') if item['id'] == 'machine')
    status['spec'] = {'stage': name, 'status': {'ready': True, 'unmetConditions': []}}
    status['updated'] = ago(snapshot, seconds)
