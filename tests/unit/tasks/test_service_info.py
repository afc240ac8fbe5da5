# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_service_info on what a real cluster said."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import wire
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import DeadlineExceeded, InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.tasks import service_info
from tests.replay import load
from tests.unit.tasks import plain

SERVICE_LIST = '/machine.MachineService/ServiceList'


def run(monkeypatch, set_name='healthy', hooks=None, **options):
    plain.serving(monkeypatch, set_name, hooks)
    return service_info.run(plain.params('talos_service_info', **options), False, None)


def said_by_cp1():
    call = next(call for call in load('healthy').calls if call.case == 'ServiceList' and call.node == 'cp1')
    return wire.decode('machine.ServiceListResponse', call.responses[0])


def test_services_of_every_machine(monkeypatch):
    result = run(monkeypatch)
    services = {(service['node'], service['id']): service for service in result['services']}
    assert {node for node, _id in services} == {'cp1', 'cp2', 'cp3', 'w1'} and ('w1', 'etcd') not in services
    etcd = services['cp1', 'etcd']
    assert (etcd['state'], etcd['healthy'], etcd['message'], len(etcd['events'])) == ('Running', True, None, 5)
    assert etcd['events'][-1]['message'] == 'Health check successful' and etcd['events'][-1]['at'].startswith('2026-11-22T10:12:34')
    assert result['missing'] == {} and result['unread'] == {} and result['omitted'] == 0 and result['changed'] is False


def test_filters(monkeypatch):
    result = run(monkeypatch, services=['etcd', 'kubelet'], states=['Running'], events=0)
    assert {service['id'] for service in result['services']} == {'etcd', 'kubelet'} and all(service['events'] == [] for service in result['services'])
    assert result['missing'] == {'w1': ['etcd']}, 'a worker has no etcd, and says so'
    assert run(monkeypatch, states=['Failed'])['services'] == []
    assert {service['node'] for service in run(monkeypatch, nodes=['workers'], services=['kubelet'])['services']} == {'w1'}


def test_a_service_that_was_not_checked_is_neither_healthy_nor_sick(monkeypatch):
    said = copy.deepcopy(said_by_cp1())
    for service in said['messages'][0]['services']:
        service['health'] = {'unknown': True, 'healthy': False, 'last_message': '', 'last_change': None}
        service['state'] = 'Preparing'
    result = run(monkeypatch, hooks={('10.5.0.2', '10.5.0.2', SERVICE_LIST): lambda _machine: [said]}, nodes=['cp1'], states=['Preparing'])
    assert result['services'] and all(service['healthy'] is None and service['last_change'] is None for service in result['services'])


def test_a_silent_machine_is_named(monkeypatch):
    result = run(monkeypatch, 'one-cp-down')
    assert list(result['unread']) == ['cp3'] and {service['node'] for service in result['services']} == {'cp1', 'cp2', 'w1'}
    result = run(monkeypatch, hooks={('10.5.0.5', '10.5.0.2', SERVICE_LIST): DeadlineExceeded('10.5.0.5 did not answer ServiceList in time.')})
    assert result['unread'] == {'w1': '10.5.0.5 did not answer ServiceList in time.'}
    with pytest.raises(TalosError, match='^The services could not be read: cp3: '):
        run(monkeypatch, 'one-cp-down', nodes=['cp3'])


def test_the_result_is_bounded_by_events_first(monkeypatch):
    whole = run(monkeypatch, events=64, limit_bytes=1000000)
    less = run(monkeypatch, events=64, limit_bytes=10000)
    assert len(less['services']) == len(whole['services']) and not any(service['events'] for service in less['services'])
    assert less['warnings'] == ['The events of services are left out: they exceed limit_bytes (10000). '
                                'Narrow the task by services, states, nodes or events.']
    least = run(monkeypatch, events=64, limit_bytes=1000)
    assert len(least['services']) + least['omitted'] == len(whole['services']) and len(json.dumps(least['services'])) <= 1000
    assert f', and {least["omitted"]} of {len(whole["services"])} services:' in least['warnings'][0]


def test_a_negative_number_of_events_is_refused(monkeypatch):
    with pytest.raises(InputError, match='events must be a number of events, 0 for none, not -1'):
        run(monkeypatch, events=-1)
