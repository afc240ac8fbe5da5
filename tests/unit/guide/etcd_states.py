# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of real etcd states, from what the real talosctl v1.13.9 printed (data/etcd-states.zip).

Lines of Talos's own access log were left out of the machined logs; nothing else was changed. What a state's recording
does not hold is "not recorded" in its snapshot.
"""

from __future__ import annotations

import functools
import json
import re
import zipfile
from datetime import timedelta, timezone
from pathlib import Path

import yaml

from ansible_collections.talosops.talos.plugins.module_utils.snapshot import model
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Machine, Snapshot, format_time, parse_time

DATA = Path(__file__).parent / 'data' / 'etcd-states.zip'
CONTROL_PLANES = {'cp1': '10.5.0.2', 'cp2': '10.5.0.3', 'cp3': '10.5.0.4'}
REFUSED = 'connection error: desc = "transport: Error while dialing: dial tcp {}:50000: connect: connection refused"'

_EVENT = re.compile(r'\[(?P<state>\w+)\]: (?P<msg>.*) \((?P<ago>\S+) ago\)$', re.DOTALL)
_UNITS = {'h': 3600, 'm': 60, 's': 1}
_SIZES = {'B': 1, 'kB': 1000, 'MB': 1000 ** 2, 'GB': 1000 ** 3}


@functools.lru_cache(maxsize=None)
def _archive():
    with zipfile.ZipFile(DATA) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


class State:
    """One recorded state: C(files) by name, C(at(name)) the time of the command."""

    def __init__(self, name):
        self.files = {path.split('/', 1)[1]: text for path, text in _archive().items() if path.startswith(f'{name}/')}
        self.times = json.loads(self.files['times.json'])

    def at(self, name):
        return self.times[name.rsplit('.', 1)[0]]

    @property
    def now(self):
        return max(self.times.values())


def snapshot(name, machines, now=None):
    """A Snapshot of these machines, taken when the last command of the state was run."""
    at = now or State(name).now
    return Snapshot(taken_at=at, finished_at=at, cluster={'name': name}, machines=machines)


def three(name):
    """The Snapshot of a state that was recorded node by node (…_cp1.out)."""
    state = State(name)
    machines = [plane(state, node) for node in CONTROL_PLANES]
    members = discovery_members(state.files.get('members_cp1.out'), state.at('members_cp1'))
    for machine in machines:
        if machine.answered:
            machine.data['Members'] = Datum(model.READ, members)
    return snapshot(name, machines)


def plane(state, node):
    address = CONTROL_PLANES[node]
    machine = Machine(key=f'id-{node}', address=address, addresses=[address], name=node, type=model.CONTROL_PLANE, known_from=['discovery'],
                      answered=True)
    listing = state.files.get(f'service_etcd_{node}.out')
    if listing is None:
        machine.answered = False
        refused = f'service_etcd_{node}.err' in state.files
        machine.unreachable = {'kind': 'node_unreachable' if refused else 'deadline',
                               'text': REFUSED.format(address) if refused else 'no answer', 'via': '10.5.0.2'}
        return machine
    service = etcd_service(listing, state.at(f'service_etcd_{node}'))
    fill(machine, service, status=state.files.get(f'etcd_status_{node}.out') or state.files.get('etcd_status_all.out'),
         members=state.files.get('etcd_members_cp1.out'), no_members=state.files.get('etcd_members_cp1.err'),
         alarms=state.files.get('etcd_alarm_all.out'), machine_status=state.files.get('machinestatus_all.out'),
         local=state.files.get('etcdmember_res_all.out'))
    for log in ('etcd', 'machined'):
        text = state.files.get(f'logs_{log}_{node}.out')
        machine.logs[log] = Datum(model.READ, without_prefix(text)) if text is not None else Datum(reason='not recorded')
    return machine


def fill(machine, service, status=None, members=None, no_members=None, alarms=None, machine_status=None, local=None):
    """What one control plane node says, from the outputs of several; etcd's own calls only where it runs."""
    machine.data['ServiceList'] = Datum(model.READ, {'services': [service]})
    if service['state'] == 'Running':
        said = [row for row in statuses(status) if row['node'] == machine.address] if status else []
        machine.data['EtcdStatus'] = Datum(model.READ, said[0]['status']) if said else Datum(reason='not recorded')
        if members:
            machine.data['EtcdMemberList'] = Datum(model.READ, {'members': member_list(members)})
        elif no_members:
            machine.data['EtcdMemberList'] = Datum(model.FAILED, reason='etcdserver: no leader', code='Unknown')
            machine.data['EtcdAlarmList'] = Datum(model.TIMED_OUT)
        if members:
            raised = [line.split()[1:] for line in (alarms or '').splitlines()[1:] if line.split()[0] == machine.address]
            machine.data['EtcdAlarmList'] = Datum(model.READ,
                                                  {'member_alarms': [{'member_id': one, 'alarm': kind} for one, kind in raised]})
    else:
        for kind in ('EtcdStatus', 'EtcdMemberList', 'EtcdAlarmList'):
            machine.data[kind] = Datum(reason=f'etcd is not running ({service["state"]})')
    own = [line.split()[-1] for line in (local or '').splitlines()[1:] if line.split()[0] == machine.address]
    machine.data['EtcdMembers'] = Datum(model.READ, [{'id': 'local', 'spec': {'memberID': own[0]}}] if own else [])
    for document in yaml.safe_load_all(machine_status or ''):
        if document and document['node'] == machine.address:
            meta = document['metadata']
            machine.data['MachineStatuses'] = Datum(model.READ,
                                                    [{'id': 'machine', 'created': _iso(meta['created']), 'spec': document['spec']}])


def _iso(value):
    return value if isinstance(value, str) else format_time(value.replace(tzinfo=value.tzinfo or timezone.utc))


def without_prefix(text):
    return re.sub(r'(?m)^10\.5\.0\.\d+: ', '', text)


def etcd_service(text, at, node=None):
    """A service of ServiceList from C(talosctl service etcd); C(node) chooses one of several."""
    blocks = re.split(r'(?m)^(?=NODE )', text)
    block = next(b for b in blocks if b.strip() and (node is None or re.search(rf'(?m)^NODE\s+{re.escape(node)}$', b)))
    found = {key: re.search(rf'(?m)^{key}\s+(.*)$', block) for key in ('STATE', 'HEALTH', 'LAST HEALTH MESSAGE')}
    listed = block.split('EVENTS', 1)[1]
    events = []
    for one in re.split(r'\n\s+(?=\[\w+\]: )', listed):
        hit = _EVENT.match(re.sub(r'\n {9,}', '\n', one.strip()))
        ago = sum(int(n) * _UNITS[u] for n, u in re.findall(r'(\d+)([hms])', hit.group('ago')))
        events.append({'state': hit.group('state'), 'msg': hit.group('msg').replace('\\n', '\n'),
                       'ts': format_time(parse_time(at) - timedelta(seconds=ago))})
    health = found['HEALTH'].group(1).strip()
    message = found['LAST HEALTH MESSAGE']
    return {'id': 'etcd', 'state': found['STATE'].group(1).strip(), 'events': {'events': events[::-1]},
            'health': {'unknown': health == '?', 'healthy': health == 'OK', 'last_message': message.group(1).strip() if message else '',
                       'last_change': events[0]['ts']}}


def _rows(text):
    """Rows of a table of talosctl by the columns of its head."""
    lines = text.splitlines()
    starts = [hit.start() for hit in re.finditer(r'\S+(?: \S+)*', lines[0])]
    for line in lines[1:]:
        yield [line[start:end].strip() for start, end in zip(starts, [*starts[1:], None])]


def statuses(text):
    for node, member, size, used, leader, index, term, applied, learner, protocol, storage, errors in _rows(text):
        yield {'node': node,
               'status': {'member_id': member, 'db_size': _bytes(size), 'db_size_in_use': _bytes(used), 'leader': leader,
                          'raft_index': int(index), 'raft_term': int(term), 'raft_applied_index': int(applied),
                          'is_learner': learner == 'true', 'protocol_version': protocol, 'storage_version': storage,
                          'errors': [part for part in re.split(r', (?=memberID)', errors) if part]}}


def _bytes(text):
    number, unit = text.split()[:2]
    return int(float(number) * _SIZES[unit])


def member_list(text):
    return [{'id': one, 'hostname': name, 'peer_urls': [peer], 'client_urls': [client], 'is_learner': learner == 'true'} for _node, one,
            name, peer, client, learner in _rows(text)]


def discovery_members(text, at):
    return [{'id': one, 'updated': at,
             'spec': {'nodeId': f'id-{one}', 'hostname': host, 'machineType': kind, 'addresses': json.loads(addresses)}} for _node,
            _namespace, _type, one, _version, host, kind, _os, addresses in _rows(text)]
