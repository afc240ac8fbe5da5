# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorded states of a cluster as scenarios: the gather takes the same snapshot of them, item by item.

What differs stands in states.yaml with its reason; an entry that no difference needs fails too.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.replay.snapshots import recorded
from tests.simulator import Cluster
from tests.unit.simulator.bench import RECORDED
from tests.unit.simulator.test_simulator_truth import _compare, _flat, _plain

from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.gather import gather

DIFFERENCES = yaml.safe_load((Path(__file__).parent / 'states.yaml').read_text())
ETCD = RECORDED['etcd']


def _etcd(leader, term, **more):
    return {'etcd': {**ETCD, 'leader': leader, 'raft_term': term, 'db_mb': 2, 'in_use_mb': 2, **more}}


STATES = {
    'healthy': _etcd('cp1', 2),
    'healthy-reader': {**_etcd('cp1', 2), 'client': {'role': 'os:reader'}},
    'one-cp-down': {
        'nodes': {'cp3': {'reachable': False}}, **_etcd('cp1', 2, reachable=['cp1', 'cp2']),
        'k8s': {'api': {'cp1': 'up', 'cp2': 'up', 'cp3': 'refused'},
                'nodes': {'cp1': 'Ready', 'cp2': 'Ready', 'w1': 'Ready', 'cp3': {'ready': 'Unknown', 'since': '-46s'}}},
    },
    'worker-down': {
        'nodes': {'w1': {'reachable': False}}, **_etcd('cp2', 3),
        'k8s': {'nodes': {'cp1': 'Ready', 'cp2': 'Ready', 'cp3': 'Ready', 'w1': {'ready': 'Unknown', 'since': '-46s'}}},
    },
    'nospace-alarm': {
        **_etcd('cp3', 4, quota_mb=8, db_mb={'cp1': 9.3671875, 'cp2': 8.515625, 'cp3': 8.4453125},
                in_use_mb={'cp1': 5.484375, 'cp2': 5.5234375, 'cp3': 5.484375},
                alarms=[{'member': name, 'alarm': 'NOSPACE'} for name in ('cp1', 'cp2', 'cp3')]),
    },
}


def _simulated(name):
    state = {**RECORDED, **STATES[name]}
    holder = next((machine.name for machine in recorded(name).machines if any(
        item['spec']['address'].startswith('10.5.0.100/') for item in machine.value('AddressStatuses') or [])), 'none')
    state['network'] = {**RECORDED['network'], 'vip_holder': holder}
    with Cluster.from_state(state, platform='container', addresses='port') as cluster:
        return gather(talosconfig.load(content=cluster.talosconfig), proxy=cluster.proxy)


def _datum(label, theirs, ours):
    """Differences of one Datum: how the read ended, then the value's paths and plain values."""
    if (theirs.state, theirs.code) != (ours.state, ours.code):
        yield f'{label} ended {theirs.state} {theirs.code} / {ours.state} {ours.code}'
        return
    if not theirs.ok:
        return
    items = [_items(value.value) for value in (theirs, ours)]
    yield from _compare(label, *items, 'item')
    for item in sorted(set(items[0]) & set(items[1])):
        flat = [{_plain(path): _stable(str(found)) for path, found in _flat(each[item]).items() if not _VOLATILE.search(path)} for each in items]
        yield from _compare(f'{label} {item}', *flat, 'path')
        yield from (f'{label} {item} value {path}: {flat[0][path]} / {flat[1][path]}' for path in sorted(set(flat[0]) & set(flat[1]))
                    if flat[0][path] != flat[1][path])


_VOLATILE = re.compile(
    r'(^|\.)(created|updated|version|ts|last_change|inode|pointer|sha256|serial|not_before|not_after|modified|uid|lastHeartbeatTime|lastTransitionTime'
    r'|machine_id|system_uuid|internal_id|pid|created_at|localtime|remotetime|sent_at|received_at|containerID|startedAt|startTime|renewed|since|at'
    r'|available|authorities\.[\w.]+|(?<=meminfo\.)\w+|[rt]x_\w+|certificate|seconds|text|backend-data|username|podIPs?|load\d+|lastTimestamp)$')
_GENERATED = re.compile(r'((?:kube-flannel|kube-proxy|coredns-[0-9a-f]+)-)[a-z0-9]{5}\b|(?<=:)[0-9a-f]{12}$')


def _items(value):
    """{id or name: item} of a value; of services the last event only, because how a machine came up is history."""
    if isinstance(value, dict):
        lists = [(key, inner) for key, inner in value.items() if isinstance(inner, list) and inner and isinstance(inner[0], dict)]
        found = {'': {key: sorted(map(str, inner)) if isinstance(inner, list) else inner for key, inner in value.items() if (key, inner) not in lists}}
        return {**found, **{name: item for key, inner in lists for name, item in _items(inner).items()}}
    if isinstance(value, list):
        return {_name(item): _short(item) for item in value}
    return {'': {'': value}}


def _name(item):
    """What an item is called, without what is random in it; of a Kubernetes object with its machine."""
    if item.get('asks_for'):
        return f'{item["signer"]} {item["asks_for"]["common_name"]}'
    name = next((str(item[key]) for key in ('id', 'member_id', 'relative_name', 'mounted_on', 'name') if item.get(key)), '')
    return _stable(name) + (f' {item["node"]}' if item.get('node') else '')


def _stable(text):
    return _GENERATED.sub(lambda found: f'{found[1]}x' if found[1] else 'hash', _plain(text))


def _short(item):
    if 'events' not in item:
        return item
    last = item['events']['events'][-1]
    return {**item, 'events': {'msg': re.sub(r'PID \d+', 'PID n', last['msg']), 'state': last['state']}}


def _differences(name):
    theirs, ours = recorded(name), _simulated(name)
    machines = [{machine.name: machine for machine in taken.machines} for taken in (theirs, ours)]
    yield from _compare(name, *machines, 'machine')
    for machine in sorted(set(machines[0]) & set(machines[1])):
        one, other = machines[0][machine], machines[1][machine]
        for field in ('type', 'answered', 'address', 'addresses', 'known_from'):
            if getattr(one, field) != getattr(other, field):
                yield f'{name} {machine} {field}: {getattr(one, field)} / {getattr(other, field)}'
        yield from _compare(f'{name} {machine}', one.data, other.data, 'kind')
        yield from _compare(f'{name} {machine}', {_stable(log) for log in one.logs}, {_stable(log) for log in other.logs}, 'log')
        for kind in sorted(set(one.data) & set(other.data)):
            yield from _datum(f'{name} {machine} {kind}', one.data[kind], other.data[kind])
    endpoints = [{endpoint.text: endpoint for endpoint in taken.endpoints} for taken in (theirs, ours)]
    assert set(endpoints[0]) == set(endpoints[1])
    for text, endpoint in endpoints[0].items():
        if endpoint.connected != endpoints[1][text].connected:
            yield f'{name} endpoint {text} connected: {endpoint.connected} / {endpoints[1][text].connected}'
    for kind in sorted({*theirs.kubernetes['data'], *ours.kubernetes['data']}):
        yield from _datum(f'{name} kubernetes {kind}', theirs.kubernetes['data'][kind], ours.kubernetes['data'][kind])


@pytest.fixture(scope='module')
def found():
    return {name: list(_differences(name)) for name in STATES}


@pytest.mark.parametrize('name', STATES)
def test_the_same_snapshot_is_taken(found, name):
    patterns = [re.compile(entry['text'], re.S) for entry in DIFFERENCES]
    assert [text[:300] for text in found[name] if not any(pattern.match(text) for pattern in patterns)] == []


def test_every_known_difference_exists(found):
    every = [text for texts in found.values() for text in texts]
    assert [entry['text'] for entry in DIFFERENCES if not any(re.match(entry['text'], text, re.S) for text in every)] == []
    assert all(entry['reason'] for entry in DIFFERENCES)
