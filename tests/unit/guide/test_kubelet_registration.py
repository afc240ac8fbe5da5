# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubelets without a Node, and their requests for client certificates."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import control_plane, kubelet
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import judging
from tests.unit.guide.control_plane_states import crash
from tests.unit.guide.judging import READ, ago, findings, lose, node, one, recording, verdict_of
from tests.unit.guide.kubelet_changes import aged, assertion, controller_failed, csr, kube, log, lose_kube, pod_waits, pods_of, raise_alarm, report
from tests.unit.guide.test_kubelet_service import set_kubelet

CHECK, CLIENT = 'kubelet.node_not_found', 'kubelet.client_csr_pending'
SIGNER = 'kubernetes.io/kube-apiserver-client-kubelet'


def without_node(snapshot, name='w1'):
    kube(snapshot, 'nodes')[:] = [each for each in kube(snapshot, 'nodes') if each['name'] != name]
    node(snapshot, name).data['NodeStatuses'] = Datum(READ, [])


def test_what_a_healthy_log_holds_of_it_is_history():
    """2 to 18 lines of each machine tell of its Node that was not found, at the bootstrap (recorded)."""
    snapshot = recording()
    assert any('nodes \\"w1\\" not found' in (machine.log('controller-runtime').value or '') for machine in snapshot.machines)
    assert verdict_of(report(snapshot), CHECK) == 'ok'


def test_a_kubelet_that_runs_and_has_no_node():
    snapshot = aged()
    without_node(snapshot)
    log(snapshot, 'w1', 'controller-runtime', (20, controller_failed('NodeApplyController',
                                                                     '1 error(s) occurred: error getting node: nodes "w1" not found')))
    finding = one(report(snapshot), CHECK)
    assert (finding['verdict'], finding['nodes'], finding['root']) == ('error', ['w1'], True)
    assert finding['remedy'] == {'name': 'kubelet_restart', 'args': {'node': node(snapshot, 'w1').key}}
    assert 'get nodename' in finding['next_step'] and 'not found' in finding['evidence'][1]['text']


def test_credentials_that_are_refused():
    snapshot = aged()
    without_node(snapshot)
    line = '{"caller":"cache/reflector.go:227","msg":"Failed to watch","err":"failed to list *v1.RuntimeClass: Unauthorized"}'
    log(snapshot, 'w1', 'kubelet', (20, line))
    finding = one(report(snapshot), CHECK)
    assert 'cluster.token' in finding['next_step'] and 'Unauthorized' in finding['evidence'][1]['text']


@pytest.mark.parametrize('why', ['young machine', 'young cluster', 'no kubelet', 'kubelet down', 'skipped', 'knows one', 'upgrading'])
def test_no_node_and_no_fault(why):
    snapshot = recording() if why == 'young cluster' else aged()
    without_node(snapshot)
    machine = node(snapshot, 'w1')
    if why == 'young machine':
        machine.value('MachineStatuses')[0]['created'] = ago(snapshot, 60)
    elif why == 'no kubelet':
        machine.value('ServiceList')['services'] = [s for s in machine.value('ServiceList')['services'] if s['id'] != 'kubelet']
    elif why == 'kubelet down':
        set_kubelet(snapshot, machine, 'Failed', [(4000, 'Failed', 'Failed to run pre stage: x')])
    elif why == 'skipped':
        machine.value('Nodenames')[0]['spec']['skipNodeRegistration'] = True
    elif why == 'knows one':
        machine.data['NodeStatuses'] = Datum(READ, [{'id': 'w1', 'spec': {'nodename': 'w1', 'nodeReady': True}}])
    elif why == 'upgrading':
        machine.value('MachineStatuses')[0]['spec']['stage'] = 'upgrading'
    assert findings(report(snapshot), CHECK, worse_than='info') == []


@pytest.mark.parametrize('fact', ['csr_pending:w1', 'kubelet.credentials:{}', 'clock:{}', 'network:{}'])
def test_what_explains_it(fact):
    snapshot = aged()
    without_node(snapshot)
    finding = one(report(snapshot, checks=(*kubelet.CHECKS, assertion(fact.format(node(snapshot, 'w1').key)))), CHECK)
    assert finding['because_of'] == ['x.cause/it']


def test_a_request_that_waits_explains_it():
    snapshot = aged()
    without_node(snapshot)
    csr(snapshot, signer=SIGNER)
    judged = report(snapshot)
    assert one(judged, CHECK)['because_of'] == ['kubelet.client_csr_pending/w1'] and one(judged, CLIENT)['root']


def test_services_that_were_not_read_do_not_hide_it():
    snapshot = aged()
    without_node(snapshot)
    lose(node(snapshot, 'w1'), 'ServiceList')
    assert one(report(snapshot), CHECK)['verdict'] == 'error'


# -- without the Nodes ------------------------------------------------------------------------------------------

def test_a_reader_sees_what_the_machines_know():
    snapshot = aged('healthy-reader')
    assert verdict_of(report(snapshot), CHECK) == 'ok'
    node(snapshot, 'w1').data['NodeStatuses'] = Datum(READ, [])
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'error' and finding['nodes'] == ['w1']


@pytest.mark.parametrize('why', ['nobody knows one', 'not read', 'no leader', 'api fails'])
def test_what_the_machines_know_is_not_always_enough(why):
    snapshot = aged('healthy-reader')
    for machine in snapshot.machines:
        if machine.name == 'w1' or why == 'nobody knows one':
            machine.data['NodeStatuses'] = Datum(READ, [])
        if why == 'not read' and machine.name == 'w1':
            lose(machine, 'NodeStatuses')
        if why == 'no leader' and machine.is_control_plane:
            machine.value('EtcdStatus')['leader'] = '0' * 16
    if why == 'api fails':
        lose_kube(snapshot, 'nodes')
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'unknown' and 'w1' in finding['title']


def test_an_api_that_fails_proves_nothing_against_nodes_that_were_there():
    snapshot = aged()
    lose_kube(snapshot, 'nodes')
    assert verdict_of(report(snapshot), CHECK) == 'not_applicable'


# -- requests for client certificates ---------------------------------------------------------------------------

def test_recorded_requests_were_approved():
    snapshot = recording()
    assert len(kube(snapshot, 'csrs')) == 4 and verdict_of(report(snapshot), CLIENT) == 'ok'


@pytest.mark.parametrize('age, verdict', [(299, 'info'), (301, 'error')])
def test_a_request_may_wait_for_five_minutes(age, verdict):
    snapshot = aged()
    csr(snapshot, signer=SIGNER, age=age)
    finding = one(report(snapshot), CLIENT)
    assert (finding['verdict'], finding['subject'], finding['nodes']) == (verdict, 'w1', ['w1'])


def test_requests_of_one_token_for_two_machines_are_two():
    snapshot = aged()
    csr(snapshot, 'csr-1', 'w1', signer=SIGNER, age=2000)
    csr(snapshot, 'csr-2', 'cp3', signer=SIGNER, age=1000)
    assert [f['subject'] for f in findings(report(snapshot), CLIENT)] == ['cp3', 'w1']


def test_a_kubelet_that_asked_again_waits_since_its_first_request():
    snapshot = aged()
    csr(snapshot, 'csr-0', signer=SIGNER, age=9000, state='Issued')
    csr(snapshot, 'csr-1', signer=SIGNER, age=4000)
    csr(snapshot, 'csr-2', signer=SIGNER, age=100)
    finding = one(report(snapshot), CLIENT)
    assert finding['verdict'] == 'error' and 'waits for 66 min' in finding['title'] and 'csr-2' in finding['title']


def test_an_older_request_that_was_overtaken_does_not_count():
    snapshot = aged()
    csr(snapshot, 'csr-1', signer=SIGNER, age=4000)
    csr(snapshot, 'csr-2', signer=SIGNER, age=1000, state='Issued')
    assert findings(report(snapshot), CLIENT) == []


@pytest.mark.parametrize('crashed, linked', [(('cp1', 'cp2', 'cp3'), True), (('cp1', 'cp2'), False)])
def test_a_controller_manager_that_runs_nowhere_is_the_cause(crashed, linked):
    snapshot = aged()
    csr(snapshot, signer=SIGNER)
    for name in crashed:
        crash(snapshot, judging.node(snapshot, name), 'kube-controller-manager')
    finding = one(report(snapshot, checks=(*kubelet.CHECKS, *control_plane.CHECKS)), CLIENT)
    assert {cause.split('/')[0] for cause in finding['because_of']} == ({'controlplane.component_down'} if linked else set())


@pytest.mark.parametrize('why', ['manager', 'manifests', 'nobody', 'stranger', 'frozen', 'who knows'])
def test_why_it_was_not_approved(why):
    snapshot = aged()
    made = csr(snapshot, signer=SIGNER, of='w7' if why == 'stranger' else 'w1')
    expected = 'csrapproving'
    if why == 'manager':
        for name in ('cp1', 'cp2', 'cp3'):
            pod_waits(pods_of(snapshot, name, 'kube-controller-manager')[0], 'CrashLoopBackOff')
        expected = 'Get kube-controller-manager to run'
    elif why == 'manifests':
        for machine in judging.planes(snapshot):
            status = machine.value('ManifestStatuses')[0]['spec']
            status['manifestsApplied'] = [name for name in status['manifestsApplied'] if not name.startswith('01-csr')]
        expected = 'get manifeststatus'
    elif why == 'nobody':
        made['username'] = 'admin'
        expected = 'Find out who made the request'
    elif why == 'stranger':
        expected = 'Never approve client requests of unknown nodes'
    elif why == 'frozen':
        raise_alarm(snapshot)
        expected = 'Repair etcd first'
    finding = one(report(snapshot), CLIENT)
    assert finding['verdict'] == 'error' and expected in finding['next_step'] and finding['remedy'] is None


@pytest.mark.parametrize('state, said', [('Denied', 'was denied'), ('Failed', 'was not signed')])
def test_a_request_that_was_refused(state, said):
    snapshot = aged()
    csr(snapshot, signer=SIGNER, state=state)
    finding = one(report(snapshot), CLIENT)
    assert finding['verdict'] == 'warning' and said in finding['title']


def test_a_request_that_cannot_be_read():
    snapshot = aged()
    csr(snapshot, signer=SIGNER, asks_for=None)
    finding = one(report(snapshot), CLIENT)
    assert finding['subject'] == 'csr-1' and 'could not be read' in finding['title']


def test_requests_that_were_not_read_do_not_move_the_section():
    snapshot = aged()
    lose_kube(snapshot, 'csrs')
    judged = report(snapshot)
    assert verdict_of(judged, CLIENT) == 'unknown' and judged['sections']['kubelet.node_not_found']['verdict'] == 'ok'


def no_api_server(snapshot):
    """The API does not answer, and no control plane node runs an API server."""
    for machine in judging.planes(snapshot):
        containers = [c for c in machine.value('Containers')['containers'] if 'kube-apiserver' not in c['id']]
        machine.data['Containers'] = Datum(READ, {'containers': containers})
        machine.data['StaticPodStatuses'] = Datum(READ, [])
    for kind in snapshot.kubernetes['data']:
        snapshot.kubernetes['data'][kind] = Datum('unreachable', reason='connection refused')
    for machine in snapshot.machines:
        machine.data['NodeStatuses'] = Datum(READ, [])


def test_without_any_api_server_nobody_can_register():
    snapshot = aged()
    no_api_server(snapshot)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'info' and finding['nodes'] == ['cp1', 'cp2', 'cp3', 'w1']


def test_a_new_cluster_whose_api_is_not_up_yet():
    snapshot = recording()
    no_api_server(snapshot)
    judged = report(snapshot)
    assert {f['check']: f['verdict'] for f in findings(judged)} == {CHECK: 'info', 'kubelet.node_not_ready': 'info'}
    assert judged['sections']['kubelet.stale_nodes']['verdict'] == 'not_applicable'


def test_an_old_cluster_whose_api_is_down_is_not_excused():
    snapshot = aged()
    no_api_server(snapshot)
    assert report(snapshot)['sections']['kubelet.stale_nodes']['verdict'] == 'unknown'
