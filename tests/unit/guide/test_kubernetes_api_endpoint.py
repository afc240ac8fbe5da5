# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is the API served, by whom, and does the endpoint lead there: five faults that look alike to kubectl."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests import recorded
from tests.unit.guide.control_plane_states import crash, no_leader
from tests.unit.guide.judging import READ, ago, faults, findings, lose, node, old, one, planes, preparing, recording, unreachable, verdict_of
from tests.unit.guide.kubernetes_api_states import (
    WITH_CAUSES, configured, dead_endpoint, endpoint, judged, kubeprism_finds_nobody, nobody_serves, probe, silent, unread_lists, unready,
)

API, SERVER, ENDPOINT, INSIDE, READS = (f'kubernetes_api.{name}' for name in (
    'api_down', 'server_down', 'endpoint_down', 'endpoint_unreached_inside', 'reads_rejected'))


@pytest.mark.parametrize('name', ['healthy', 'nospace-alarm', 'worker-down', 'healthy-reader'])
def test_recorded_clusters_whose_api_is_served(name):
    """worker-down was recorded two minutes after a lost quorum: one API server was still not ready, and the VIP had not been reached."""
    assert faults(judged(recording(name))) == set()


def test_recorded_with_one_control_plane_node_down():
    report = judged(old('one-cp-down'), WITH_CAUSES)
    finding = one(report, SERVER)
    assert (finding['verdict'], finding['nodes'], finding['section']) == ('info', ['cp3'], 'kubernetes_api.endpoint')
    assert finding['because_of'][0].startswith('talos_api.machine_unreachable/')
    assert {f['check'] for f in findings(report, worse_than='info') if f['section'] == 'kubernetes_api.endpoint'} == set()


# -- nobody serves ----------------------------------------------------------------------------------------------

def test_no_api_server_answers():
    snapshot = old()
    nobody_serves(snapshot)
    report = judged(snapshot)
    finding = one(report, API)
    assert finding['verdict'] == 'critical' and finding['root'] and finding['nodes'] == ['cp1', 'cp2', 'cp3']
    assert 'none of 3' in finding['title'] and {verdict_of(report, check) for check in (SERVER, ENDPOINT)} == {'not_applicable'}


def test_a_lost_quorum_is_the_cause():
    snapshot = old()
    no_leader(snapshot)
    for machine in planes(snapshot):
        unready(snapshot, machine, 'etcd', 'etcd-readiness')
    endpoint(snapshot, *[probe(False, 'not_ready')] * 10)
    finding = one(judged(snapshot, WITH_CAUSES), API)
    assert finding['because_of'] == ['etcd.quorum_lost/cluster'] and 'failing: etcd, etcd-readiness' in finding['evidence'][0]['text']


def test_a_crash_of_all_api_servers_is_the_cause():
    snapshot = old()
    nobody_serves(snapshot)
    for machine in planes(snapshot):
        crash(snapshot, machine, 'kube-apiserver')
    finding = one(judged(snapshot, WITH_CAUSES), API)
    assert len(finding['because_of']) == 3 and all(cause.startswith('controlplane.component_down/') for cause in finding['because_of'])


def test_before_bootstrap_nobody_serves():
    snapshot = old()
    nobody_serves(snapshot)
    for machine in planes(snapshot):
        preparing(snapshot, machine)
        machine.logs['machined'].value = '2026/11/23 10:17:00.0 [talos] etcd is waiting to join the cluster, if this node is the first node in the cluster\n'
        machine.data['EtcdDirectory'] = Datum(READ, [{'relative_name': '.', 'error': ''}])
    report = judged(snapshot, WITH_CAUSES)
    assert one(report, API)['because_of'] == ['etcd.not_bootstrapped/cluster']
    assert [f['check'] for f in findings(report, worse_than='info') if f['section'] == 'kubernetes_api.endpoint'] == [API]


def test_a_cluster_that_is_being_bootstrapped():
    snapshot = recording()
    nobody_serves(snapshot)
    assert one(judged(snapshot), API)['verdict'] == 'info'


def test_the_only_control_plane_node():
    snapshot = old()
    snapshot.machines = [machine for machine in snapshot.machines if machine.name in ('cp1', 'w1')]
    nobody_serves(snapshot)
    assert 'cp1 is the only control plane node' in one(judged(snapshot), API)['title']


def test_without_a_kubeconfig_refused_ports_tell_as_well():
    snapshot = old('healthy-reader')
    for machine in planes(snapshot):
        silent(snapshot, machine)
    kubeprism_finds_nobody(snapshot)
    snapshot.kubernetes['servers'] = {}
    assert one(judged(snapshot), API)['verdict'] == 'critical'


def test_without_a_kubeconfig_readiness_is_unknown_for_one_reason():
    report = judged(old('healthy-reader'))
    finding = one(report, API)
    assert finding['verdict'] == 'unknown' and 'needs os:admin or a kubeconfig' in finding['title'] and 'answers on its port' in finding['title']
    assert [f['check'] for f in findings(report)] == [API]
    assert report['sections']['kubernetes_api.endpoint']['reason'] == finding['title']


def test_what_was_not_asked_is_unknown():
    snapshot = old()
    unread_lists(snapshot, 'not_asked', 'it was not asked for')
    snapshot.kubernetes['servers'] = {}
    for machine in planes(snapshot):
        lose(machine, 'apiserver_probe', 'not_asked')
    assert one(judged(snapshot), API)['verdict'] == 'unknown'


# -- a firewall between this control node and the cluster ---------------------------------------------------------

def well_inside(snapshot):
    """KubePrism works and the logs of the machines are quiet, which they were not in the minutes that were recorded."""
    for machine in snapshot.machines:
        machine.value('KubePrismStatuses')[0]['spec']['healthy'] = True
        for log in ('controller-runtime', 'kubelet', 'machined'):
            machine.logs[log].value = ''


@pytest.mark.parametrize('kind', ['timeout', 'no_route', 'refused'])
def test_a_firewall_is_worth_a_note_while_the_cluster_itself_does_well(kind):
    snapshot = old()
    nobody_serves(snapshot, kind)
    well_inside(snapshot)
    report = judged(snapshot)
    finding = one(report, API)
    assert finding['verdict'] == 'info' and 'this control node does not reach port 6443' in finding['title'] and 'talos_bastion' in finding['next_step']
    assert faults(report) == set() and report['sections']['kubernetes_api.endpoint']['verdict'] == 'unknown'


def test_a_firewall_that_rejects_needs_every_api_server_ready():
    snapshot = old()
    nobody_serves(snapshot, 'refused')
    well_inside(snapshot)
    crash(snapshot, node(snapshot, 'cp3'), 'kube-apiserver')
    assert one(judged(snapshot), API)['verdict'] == 'critical'


@pytest.mark.parametrize('line, verdict', [
    ('etcdserver: mvcc: database space exceeded', 'info'),
    ('Put \\"https://127.0.0.1:7445/apis\\": dial tcp 127.0.0.1:7445: connect: connection refused', 'critical')])
def test_an_alarm_of_etcd_is_no_sign_of_an_api_that_is_down(line, verdict):
    """Recorded with nospace-alarm: the API serves, leases are refused in etcd's words, and a Node may be called not ready for that."""
    snapshot = old()
    nobody_serves(snapshot, 'timeout')
    well_inside(snapshot)
    node(snapshot, 'cp1').value('EtcdAlarmList')['member_alarms'] = [{'member_id': '1' * 16, 'alarm': 'NOSPACE'}]
    node(snapshot, 'w1').value('NodeStatuses')[0]['spec']['nodeReady'] = False
    node(snapshot, 'w1').logs['kubelet'].value = (f'{{"ts":{(snapshot.now.timestamp() - 5) * 1000:.0f},"caller":"lease/controller.go:202",'
                                                  f'"msg":"Failed to update lease","err":"{line}"}}\n')
    assert one(judged(snapshot), API)['verdict'] == verdict


@pytest.mark.parametrize('sign', ['node', 'kubeprism', 'quorum', 'log', 'unread log', 'apiserver'])
def test_any_bad_sign_from_inside_makes_it_a_fault(sign):
    snapshot = old()
    nobody_serves(snapshot, 'timeout')
    well_inside(snapshot)
    machine = node(snapshot, 'w1')
    if sign == 'node':
        machine.value('NodeStatuses')[0]['spec']['nodeReady'] = False
    elif sign == 'kubeprism':
        machine.value('KubePrismStatuses')[0]['spec']['healthy'] = False
    elif sign == 'quorum':
        no_leader(snapshot)
    elif sign == 'log':
        machine.logs['controller-runtime'].value = (f'{ago(snapshot, 5)} WARN node watch error {{"error": "Get \\"https://127.0.0.1:7445/api/v1/nodes\\": '
                                                    'dial tcp 127.0.0.1:7445: connect: connection refused"}\n')
    elif sign == 'unread log':
        lose(machine, 'kubelet', log=True)
    else:
        for plane in planes(snapshot):
            crash(snapshot, plane, 'kube-apiserver')
    assert one(judged(snapshot), API)['verdict'] == 'critical'


# -- one of them ------------------------------------------------------------------------------------------------

def test_one_api_server_that_is_not_ready():
    snapshot = old()
    unready(snapshot, node(snapshot, 'cp2'), 'etcd')
    finding = one(judged(snapshot), SERVER)
    assert (finding['verdict'], finding['nodes']) == ('warning', ['cp2']) and 'is not ready: /readyz: 500, failing: etcd' in finding['title']
    assert finding['root']


def test_what_its_pod_tells_is_not_told_twice():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    silent(snapshot, machine)
    crash(snapshot, machine, 'kube-apiserver')
    report = judged(snapshot, WITH_CAUSES)
    assert one(report, SERVER)['verdict'] == 'info' and 'told of its pod' in one(report, SERVER)['means']
    assert {f['section'] for f in findings(report, worse_than='info') if not f['section'].startswith('talos_api')} == {'controlplane.pod_status'}


def test_an_api_server_without_etcd_is_told_of_etcd():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    silent(snapshot, machine)
    machine.value('ServiceList')['services'] = [s for s in machine.value('ServiceList')['services'] if s['id'] != 'etcd'] + [{
        'id': 'etcd', 'state': 'Waiting', 'health': {'unknown': True}, 'events': {'events': [
            {'ts': ago(snapshot, seconds), 'state': 'Waiting',
                'msg': 'Error running Containerd(etcd), going to restart forever: task "etcd" failed: exit code 2'}
            for seconds in (30, 24, 18, 12, 6)]}}]
    finding = one(judged(snapshot, WITH_CAUSES), SERVER)
    assert finding['verdict'] == 'info' and 'etcd does not run' in finding['means']
    assert any(cause.startswith('etcd.crash_loop/') for cause in finding['because_of'])


def test_the_api_server_of_a_learner_is_told_of_etcd():
    snapshot = old()
    machine = node(snapshot, 'cp3')
    silent(snapshot, machine)
    machine.value('EtcdStatus')['is_learner'] = True
    for plane in planes(snapshot):
        next(m for m in plane.value('EtcdMemberList')['members'] if m['hostname'] == 'cp3')['is_learner'] = True
    finding = one(judged(snapshot, WITH_CAUSES), SERVER)
    assert finding['verdict'] == 'info' and 'a learner' in finding['means']
    assert any(cause.startswith('etcd.learner_stuck/') for cause in finding['because_of'])


def test_corrupt_data_in_etcd_is_the_cause():
    snapshot = old()
    for machine in planes(snapshot):
        unready(snapshot, machine, 'etcd')
        machine.value('EtcdAlarmList')['member_alarms'] = [{'member_id': machine.value('EtcdStatus')['member_id'], 'alarm': 'CORRUPT'}]
    dead_endpoint(snapshot, 'not_ready')
    finding = one(judged(snapshot, WITH_CAUSES), API)
    assert finding['verdict'] == 'critical' and {cause.split('/')[0] for cause in finding['because_of']} == {'etcd.alarm_corrupt'}


def test_a_machine_that_is_gone_has_no_api_server_to_miss():
    """Installed anew under another name: discovery has forgotten the old machine, etcd and the talosconfig have not."""
    snapshot = old()
    machine = node(snapshot, 'cp3')
    unreachable(machine)
    silent(snapshot, machine)
    for other in snapshot.machines:
        for kind in ('Members', 'Affiliates'):
            if other.value(kind):
                other.data[kind] = Datum(READ, [i for i in other.value(kind) if machine.key not in (i.get('id'), (i.get('spec') or {}).get('nodeId'))])
    nodes = snapshot.kubernetes['data']['nodes']
    nodes.value = [each for each in nodes.value if each['name'] != 'cp3']
    assert findings(judged(snapshot), SERVER) == []


# -- the endpoint -----------------------------------------------------------------------------------------------

def test_an_endpoint_that_leads_nowhere_while_the_servers_serve():
    snapshot = old()
    dead_endpoint(snapshot, 'no_route')
    finding = one(judged(snapshot), ENDPOINT)
    assert finding['verdict'] == 'error' and 'https://10.5.0.100:6443' in finding['title'] and 'the VIP' in finding['means']
    assert 'kubectl --server https://10.5.0.2:6443' in finding['next_step'] and verdict_of(judged(snapshot), API) == 'ok'


def test_the_vip_on_a_node_whose_api_server_does_not_run():
    snapshot = old()
    holder = next(m for m in planes(snapshot) if '10.5.0.100' in (m.address, *m.addresses))
    silent(snapshot, holder)
    crash(snapshot, holder, 'kube-apiserver')
    dead_endpoint(snapshot, 'refused')
    finding = one(judged(snapshot, WITH_CAUSES), ENDPOINT)
    assert f'the VIP, which {holder.name} holds' in finding['means'] and f'Get the API server of {holder.name} to serve' in finding['next_step']
    assert {cause.split('/')[0] for cause in finding['because_of']} == {'controlplane.component_down'}


def test_the_vip_that_nobody_holds_is_the_cause():
    snapshot = old()
    dead_endpoint(snapshot, 'no_route')
    for machine in planes(snapshot):
        machine.data['AddressStatuses'].value = [i for i in machine.value('AddressStatuses') if '10.5.0.100' not in i['id']]
    finding = one(judged(snapshot), ENDPOINT)
    assert finding['because_of'] == ['kubernetes_api.vip_holder/10.5.0.100']


def test_a_load_balancer_that_is_down():
    snapshot = old()
    configured(snapshot, 'https://10.5.0.50:6443')
    dead_endpoint(snapshot)
    assert 'the load balancer' in one(judged(snapshot), ENDPOINT)['means']


def test_a_name_that_does_not_resolve():
    snapshot = old()
    configured(snapshot, 'https://api.example.net:6443')
    endpoint(snapshot, addresses=[], probes=[], error={'kind': 'resolve', 'text': 'The name api.example.net does not resolve.'})
    finding = one(judged(snapshot), ENDPOINT)
    assert finding['verdict'] == 'error' and 'does not resolve' in finding['title']


@pytest.mark.parametrize('kind', ['untrusted_ca', 'wrong_name', 'expired'])
def test_a_certificate_that_no_client_accepts(kind):
    snapshot = old()
    dead_endpoint(snapshot, kind)
    finding = one(judged(snapshot), ENDPOINT)
    assert 'TCP pass-through' in finding['next_step'] and bool(finding['remedy']) is (kind == 'wrong_name')


def test_a_balancer_that_checks_no_health():
    snapshot = old()
    configured(snapshot, 'https://10.5.0.50:6443')
    silent(snapshot, node(snapshot, 'cp3'))
    endpoint(snapshot, *[probe()] * 7, *[probe(False, 'refused')] * 3)
    report = judged(snapshot)
    finding = one(report, ENDPOINT)
    assert finding['verdict'] == 'warning' and finding['root'] and '3 of 10 new connections' in finding['title']
    assert 'API server of cp3 does not serve' in finding['means'] and 'readyz' in finding['next_step']


def test_a_stale_address_of_a_name():
    snapshot = old()
    configured(snapshot, 'https://api.example.net:6443')
    endpoint(snapshot, *[probe(address=f'10.5.0.{n}') for n in (2, 3, 4) * 3], probe(False, 'timeout', '10.5.0.9'),
             addresses=['10.5.0.2', '10.5.0.3', '10.5.0.4', '10.5.0.9'])
    finding = one(judged(snapshot), ENDPOINT)
    assert finding['verdict'] == 'warning' and '10.5.0.9' in finding['title'] and 'DNS' in finding['next_step']


def test_a_control_node_without_ipv6():
    snapshot = old()
    configured(snapshot, 'https://api.example.net:6443')
    endpoint(snapshot, probe(address='10.5.0.2'), probe(False, 'no_route', 'fd00::2'), addresses=['10.5.0.2', 'fd00::2'])
    assert one(judged(snapshot), ENDPOINT)['verdict'] == 'info'


def test_an_endpoint_that_was_not_asked_is_unknown():
    snapshot = old()
    snapshot.kubernetes['data']['endpoint'] = Datum('not_asked', reason='no time was left')
    assert one(judged(snapshot), ENDPOINT)['verdict'] == 'unknown'


def test_a_young_cluster_is_given_time():
    snapshot = recording()
    dead_endpoint(snapshot)
    silent(snapshot, node(snapshot, 'cp2'))
    assert {f['verdict'] for f in findings(judged(snapshot))} == {'info'}


def test_only_the_balancer_is_reached_from_here():
    """Usual behind a load balancer of a cloud: the nodes' own port 6443 is closed to this control node."""
    snapshot = old()
    configured(snapshot, 'https://10.5.0.50:6443')
    for machine in planes(snapshot):
        silent(snapshot, machine, 'timeout')
    assert faults(judged(snapshot)) == set() and verdict_of(judged(snapshot), API) == 'ok'


# -- from inside ------------------------------------------------------------------------------------------------

def watch_error(snapshot, machine, seconds=20):
    machine.logs['machined'].value = f'{snapshot.now:%Y/%m/%d %H:%M:%S.%f} [talos] something\n'
    machine.value('Time')['localtime'] = ago(snapshot, 0)
    machine.logs['controller-runtime'].value = (
        f'{ago(snapshot, seconds)} \x1b[33mWARN\x1b[0m kubernetes endpoint watch error {{"component": "controller-runtime", '
        '"controller": "k8s.EndpointController", '
        '"error": "failed to list *v1.Endpoints: Get \\"https://10.5.0.50:6443/api/v1/namespaces/default/endpoints\\": dial tcp 10.5.0.50:6443: connect: '
        'connection refused"}\n')


@pytest.mark.parametrize('seconds, verdict', [(20, 'warning'), (150, 'ok')])
def test_a_machine_that_does_not_reach_the_endpoint_which_works_from_here(seconds, verdict):
    snapshot = old()
    watch_error(snapshot, node(snapshot, 'cp2'), seconds)
    report = judged(snapshot)
    assert verdict_of(report, INSIDE) == verdict
    if verdict == 'warning':
        assert one(report, INSIDE)['nodes'] == ['cp2'] and 'hairpin' in one(report, INSIDE)['next_step']


def test_it_is_a_consequence_of_the_endpoint_that_is_down():
    snapshot = old()
    dead_endpoint(snapshot)
    watch_error(snapshot, node(snapshot, 'cp2'), 200)
    assert one(judged(snapshot), INSIDE)['because_of'] == ['kubernetes_api.endpoint_down/https://10.5.0.100:6443']


def test_a_log_that_was_not_read():
    snapshot = old()
    lose(node(snapshot, 'w1'), 'controller-runtime', log=True)
    assert one(judged(snapshot), INSIDE)['verdict'] == 'unknown'


# -- reads ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('said, step', [
    ('Internal error occurred: unable to transform key "/registry/nodes/cp-1": no matching prefix found', 'secretbox'),
    ('Internal error occurred: x', 'log of')])
def test_an_api_server_that_is_ready_and_refuses_to_read(said, step):
    snapshot = old()
    snapshot.kubernetes['data']['nodes'] = Datum('failed', reason=f'https://10.5.0.100:6443 answered 500: {said}')
    finding = one(judged(snapshot), READS)
    assert finding['verdict'] == 'error' and finding['root'] and said in finding['title'] and step in finding['next_step']


@pytest.mark.parametrize('state, reason', [('refused', 'https://x answered 403: nodes is forbidden'), ('timed_out', 'no answer')])
def test_who_may_not_read_learns_nothing_of_the_cluster(state, reason):
    snapshot = old()
    snapshot.kubernetes['data']['nodes'] = Datum(state, reason=reason)
    report = judged(snapshot)
    assert one(report, READS)['verdict'] == 'unknown' and report['sections']['kubernetes_api.endpoint']['verdict'] == 'ok'


@pytest.mark.parametrize('name', recorded.SETS)
def test_every_set_is_judged(name):
    assert {verdict_of(judged(recording(name)), check) for check in (API, SERVER, ENDPOINT)} <= {'ok', 'info', 'warning', 'unknown'}


@pytest.mark.parametrize('slow', [3, 10])
def test_connections_that_are_slow_from_a_busy_control_node_are_no_fault_of_the_endpoint(slow):
    """Another call through the endpoint was answered at the same moment, and every API server serves."""
    snapshot = old()
    ready = snapshot.kubernetes['data']['readyz']
    endpoint(snapshot, *[probe()] * (10 - slow), *[probe(False, 'timeout')] * slow)
    snapshot.kubernetes['data']['readyz'] = ready
    assert one(judged(snapshot), ENDPOINT)['verdict'] == 'info'
    silent(snapshot, node(snapshot, 'cp3'))
    assert verdict_of(judged(snapshot), ENDPOINT) in ('warning', 'error'), 'an API server that does not serve makes it one'
