# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Wrong Endpoints"."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import READ, UNREACHABLE
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import states

ALL_PLANES = {'name': 'client_endpoints', 'args': {'context': 'rt', 'endpoints': ['10.5.0.2', '10.5.0.3', '10.5.0.4']}}
NO_ROUTE = {'kind': 'no_route', 'text': 'There is no route to it.'}


@pytest.mark.parametrize('how', ['it says so', 'it forwards nothing', 'discovery says so'])
def test_a_worker(how):
    snap = states.snapshot()
    endpoint = states.endpoint(snap, '10.5.0.5')
    if how == 'it says so':
        endpoint.data['MachineTypes'] = Datum(READ, [{'id': 'machine-type', 'spec': 'worker'}])
        states.named(snap, 'w1').type = 'unknown'
    elif how == 'it forwards nothing':
        states.named(snap, 'cp2').data['reach'] = Datum(READ, {'10.5.0.2': 'ok', '10.5.0.5': 'no request forwarding'})
        states.named(snap, 'w1').type = 'unknown'
    found = states.finding(states.report(snap), 'talos_api.endpoint_is_worker')
    assert (found['verdict'], found['subject'], found['remedy']) == ('error', '10.5.0.5', ALL_PLANES)
    assert '10.5.0.2, 10.5.0.3 and 10.5.0.4' in found['next_step']


def test_a_worker_that_is_down_is_a_wrong_endpoint_all_the_same():
    snap = states.snapshot('worker-down')
    states.endpoint(snap, '10.5.0.5', connected=False, error={'kind': 'refused', 'text': ''}, machine=states.named(snap, 'w1'))
    assert states.finding(states.report(snap), 'talos_api.endpoint_is_worker')['verdict'] == 'error'


def test_the_virtual_ip():
    snap = states.snapshot()
    states.endpoint(snap, '10.5.0.100', machine=states.named(snap, 'cp1'))
    judged = states.report(snap)
    found = states.finding(judged, 'talos_api.endpoint_is_vip')
    assert (found['verdict'], found['subject'], found['remedy']) == ('error', '10.5.0.100', ALL_PLANES)
    assert judged['sections']['talos_api.tcp_loadbalancer']['verdict'] == 'not_applicable', 'a virtual IP is no balancer'


def test_a_name_that_leads_to_the_virtual_ip():
    snap = states.snapshot()
    states.endpoint(snap, 'kube.example.net', machine=states.named(snap, 'cp1'), addresses=['10.5.0.100'])
    found = states.finding(states.report(snap), 'talos_api.endpoint_is_vip')
    assert found['verdict'] == 'error' and 'which resolves to 10.5.0.100' in found['title']


def test_an_address_where_no_machine_is():
    snap = states.snapshot()
    machine = states.silent_machine(snap, None, '10.5.0.77', '10.5.0.77', ['talosconfig'], 'unknown')
    states.endpoint(snap, '10.5.0.77', connected=False, error=NO_ROUTE, machine=machine)
    judged = states.report(snap)
    found = states.finding(judged, 'talos_api.endpoint_dead')
    assert found['verdict'] == 'warning' and found['title'] == 'endpoint 10.5.0.77 is no machine of the cluster'
    assert found['remedy'] == ALL_PLANES and found['root']
    assert states.above_info(judged) == {'talos_api.endpoint_dead': 'warning'}


def test_a_control_plane_node_that_was_installed_anew_elsewhere():
    """An old endpoint is no machine any more, and the new node is not in the list."""
    snap = states.snapshot()
    states.only_endpoint(snap, '10.5.0.2')
    states.endpoint(snap, '10.5.0.3', machine=states.named(snap, 'cp2'))
    gone = states.silent_machine(snap, 'cp-3', '10.5.0.13', '10.5.0.13', ['etcd', 'kubernetes', 'talosconfig'], 'controlplane')
    states.node(snap, 'cp-3', '10.5.0.13', 'Unknown', 3 * 3600)
    states.endpoint(snap, '10.5.0.13', connected=False, error=NO_ROUTE, machine=gone)
    judged = states.report(snap)
    found = {f['check']: f['verdict'] for f in judged['findings']}
    assert found == {'talos_api.endpoint_dead': 'warning', 'talos_api.endpoint_list_short': 'info'}
    assert 'cp3 (10.5.0.4)' in states.finding(judged, 'talos_api.endpoint_list_short')['title']
    assert states.finding(judged, 'talos_api.endpoint_dead')['remedy'] == ALL_PLANES, 'without the one that is gone'


def test_one_endpoint_for_three_control_plane_nodes():
    snap = states.snapshot()
    states.only_endpoint(snap, '10.5.0.2')
    found = states.finding(states.report(snap), 'talos_api.endpoint_list_short')
    assert found['verdict'] == 'warning' and found['remedy'] == ALL_PLANES


def test_one_endpoint_for_one_control_plane_node_is_right():
    snap = states.snapshot()
    states.only_endpoint(snap, '10.5.0.2')
    for machine in [m for m in snap.machines if m.name in ('cp2', 'cp3')]:
        snap.machines.remove(machine)
    assert states.verdict(states.report(snap), 'talos_api.endpoint_list_short') == 'ok'


def test_the_virtual_ip_as_the_only_endpoint_is_the_cause():
    snap = states.snapshot()
    snap.endpoints = []
    states.endpoint(snap, '10.5.0.100', machine=states.named(snap, 'cp1'))
    found = states.finding(states.report(snap), 'talos_api.endpoint_list_short')
    assert found['because_of'] == ['talos_api.endpoint_is_vip/10.5.0.100']


def test_one_name_for_all_control_plane_nodes_is_right():
    snap = states.snapshot()
    snap.endpoints = []
    states.endpoint(snap, 'talos.example.net', machine=states.named(snap, 'cp1'), addresses=['10.5.0.2', '10.5.0.3', '10.5.0.4'])
    assert states.verdict(states.report(snap), 'talos_api.endpoint_list_short') == 'ok'


@pytest.mark.parametrize('kind, word', [('not_tls', 'does not speak TLS'), ('not_grpc', 'not gRPC')])
def test_another_program(kind, word):
    snap = states.snapshot()
    states.endpoint(snap, '10.5.0.80', connected=False, error={'kind': kind, 'text': ''})
    judged = states.report(snap)
    found = states.finding(judged, 'talos_api.endpoint_not_talos')
    assert found['verdict'] == 'error' and word in found['title']


def test_a_machine_of_another_cluster_with_the_same_ca():
    snap = states.snapshot()
    machine = states.named(snap, 'w1')
    machine.type = 'controlplane'
    for other in snap.machines:
        for kind in ('Members', 'Affiliates'):
            other.data[kind].value = [i for i in other.value(kind) if i['spec']['nodeId'] != machine.key]
    states.endpoint(snap, '10.5.0.5', machine=machine)
    found = states.finding(states.report(snap), 'talos_api.endpoint_foreign')
    assert found['verdict'] == 'warning' and found['nodes'] == ['w1']


def test_without_discovery_nobody_is_foreign():
    snap = states.snapshot()
    for machine in snap.machines:
        machine.data['Members'] = machine.data['Affiliates'] = Datum(READ, [])
    assert states.verdict(states.report(snap), 'talos_api.endpoint_foreign') == 'not_applicable'


def test_all_endpoints_dead_is_not_an_endpoint_question():
    snap = states.snapshot()
    for endpoint in snap.endpoints:
        endpoint.connected, endpoint.error = False, {'kind': 'timeout', 'text': 'no answer'}
    for name in ('cp1', 'cp2', 'cp3', 'w1'):
        states.dead(snap, name, 'no_endpoint', 'no control plane endpoint answered', None)
        states.named(snap, name).data = {kind: Datum(UNREACHABLE) for kind in states.named(snap, name).data}
    judged = states.report(snap)
    assert judged['sections']['talos_api.wrong_endpoints']['verdict'] == 'unknown'
    assert {f['subject'] for f in states.findings(judged, 'talos_api.machine_unreachable') if f['verdict'] == 'error'} == {
        states.named(snap, name).key for name in ('cp1', 'cp2', 'cp3')}
