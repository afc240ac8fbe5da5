# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recorded snapshots as a starting point, and the changes that the tests of Talos API and Discovery make to them."""

from __future__ import annotations

import functools
import pickle
from datetime import timedelta

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import READ, REFUSED, UNREACHABLE
from ansible_collections.talosops.talos.plugins.module_utils.guide import discovery, talos_api
from ansible_collections.talosops.talos.plugins.module_utils.judge import judge, settings
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Endpoint, Machine, format_time, parse_time
from tests import recorded

CHECKS = (*talos_api.CHECKS, *discovery.CHECKS)
DAY = 86400


def snapshot(name='healthy', old=True):
    """A copy of a recorded snapshot; C(old): its machines booted 40 days ago, so that nothing is excused by their age (G5)."""
    copied = pickle.loads(_pickled(name))
    if old:
        for machine in copied.machines:
            booted(copied, machine, 40 * DAY)
            for kind in ('Members', 'Affiliates'):
                for item in machine.value(kind) or []:
                    item['created'] = item['updated'] = before(copied, 40 * DAY)
    return copied


@functools.cache
def _pickled(name):
    return pickle.dumps(recorded.snapshot(name))


def before(snap, seconds):
    return format_time(snap.now - timedelta(seconds=seconds))


def booted(snap, machine, seconds):
    for item in machine.value('MachineStatuses') or []:
        item['created'] = before(snap, seconds)


def report(snap, thresholds=None, expected_nodes=None):
    return judge.judge(snap, settings.build(CHECKS, thresholds, expected_nodes), CHECKS)


def verdict(judged, check):
    return next(item['verdict'] for item in judged['checks'] if item['check'] == check)


def findings(judged, check):
    return [finding for finding in judged['findings'] if finding['check'] == check]


def finding(judged, check):
    found = findings(judged, check)
    assert len(found) == 1, f'{check}: {[(f["verdict"], f["title"]) for f in found]}'
    return found[0]


def above_info(judged):
    """{check id: verdict} of the findings that a person would see as a fault, or as something that could not be seen."""
    return {f['check']: f['verdict'] for f in judged['findings'] if f['verdict'] not in ('info',)}


def named(snap, name):
    return next(machine for machine in snap.machines if machine.name == name)


def spec(machine, kind, resource_id=None):
    """The spec of one resource of a machine, to be changed in place."""
    return next(item['spec'] for item in machine.value(kind) if resource_id is None or item['id'] == resource_id)


def dead(snap, name, kind='node_unreachable', text='connection error: desc = "transport: Error while dialing: dial tcp: i/o timeout"',
         via='10.5.0.2'):
    """A machine that does not answer any more, with every read gone."""
    machine = named(snap, name)
    machine.answered, machine.unreachable = False, {'kind': kind, 'text': text, 'via': via, 'at': snap.finished_at}
    machine.data = {key: Datum(UNREACHABLE, reason=text) for key in machine.data}
    machine.logs = {key: Datum(UNREACHABLE, reason=text) for key in machine.logs}
    return machine


def disconnected(snap, kind, text='', certificate=None, endpoints=None):
    """No endpoint could be used: the machines behind them are all that is known, and nothing of them was read."""
    for endpoint in snap.endpoints:
        if endpoints is None or endpoint.text in endpoints:
            endpoint.connected, endpoint.error, endpoint.certificate = False, {'kind': kind, 'text': text or kind}, certificate
            endpoint.data = {}
            endpoint.machine = endpoint.host
    snap.machines = [Machine(endpoint.host, endpoint.host, [endpoint.host], known_from=['talosconfig'],
                             unreachable={'kind': 'no_endpoint', 'text': 'no control plane endpoint answered', 'via': None,
                                          'at': snap.finished_at})
                     for endpoint in snap.endpoints]
    snap.kubernetes = {'source': None, 'server': None, 'error': None, 'servers': {}, 'data': {'nodes': Datum(REFUSED)}}
    return snap


def endpoint(snap, text, connected=True, error=None, machine=None, addresses=None, certificate=None):
    """One more endpoint."""
    found = Endpoint(text, text, 50000, addresses if addresses is not None else [text], connected, error, certificate,
                     machine and machine.key,
                     {kind: machine.datum(kind) for kind in ('MachineTypes', 'Members')} if machine else {})
    snap.endpoints.append(found)
    snap.client['endpoints'] = [item.text for item in snap.endpoints]
    return found


def only_endpoint(snap, text):
    snap.endpoints = [item for item in snap.endpoints if item.text == text]
    snap.client['endpoints'] = [text]


def served(snap, **changed):
    """Facts of a certificate as cp1 serves it, with changes."""
    return {**named(snap, 'cp1').value('certificate'), **changed}


def member(snap, name, node_id, addresses, kinds=('Members', 'Affiliates'), machine_type='worker', age=40 * DAY, observers=None):
    """One more member in the lists of all machines that answered (or of those named)."""
    for machine in snap.answering():
        if observers is not None and machine.name not in observers:
            continue
        for kind in kinds:
            body = {'nodeId': node_id, 'addresses': list(addresses), 'hostname': name, 'machineType': machine_type,
                    'operatingSystem': 'Talos (v1.13.9)'}
            if kind == 'Affiliates':
                body['nodename'] = name
            machine.data[kind].value.append({'id': name if kind == 'Members' else node_id, 'namespace': 'cluster', 'version': '1',
                                             'phase': 'running',
                                             'owner': '', 'created': before(snap, age), 'updated': before(snap, age), 'labels': {},
                                             'spec': body})


def silent_machine(snap, name, key, address, known_from, type_='worker'):
    """A machine that others name and that does not answer."""
    machine = Machine(key, address, [address], name, type_, list(known_from),
                      unreachable={'kind': 'node_unreachable', 'text': f'dial tcp {address}:50000: connect: no route to host',
                                   'via': '10.5.0.2',
                                   'at': snap.finished_at})
    snap.machines.append(machine)
    return machine


def node(snap, name, address, ready='True', since=0):
    """One more Kubernetes Node."""
    snap.kubernetes['data']['nodes'].value.append({
        'name': name, 'uid': name, 'created': before(snap, 40 * DAY), 'labels': {},
        'addresses': [{'type': 'InternalIP', 'address': address}],
        'conditions': [{'type': 'Ready', 'status': ready, 'lastTransitionTime': before(snap, since)}], 'unschedulable': False,
        'machine_id': name,
        'system_uuid': name, 'provider_id': None, 'kubelet_version': 'v1.36.3', 'pod_cidrs': [], 'taints': []})


def drop_node(snap, name):
    datum = snap.kubernetes['data']['nodes']
    datum.value = [item for item in datum.value if item['name'] != name]


def log(machine, *lines, log_id='controller-runtime'):
    machine.logs[log_id] = Datum(READ, '\n'.join(lines) + '\n')


def controller_line(snap, ago, level_and_message, fields):
    """A line of the controller-runtime log as Talos writes it, colours included."""
    return f'{before(snap, ago)} \x1b[35m{level_and_message} {fields}'


def at(text):
    return parse_time(text)
