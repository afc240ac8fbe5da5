# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each key about Kubernetes in a scenario changes on the wire, shown by the scenarios of tests/scenarios/kubernetes."""

from __future__ import annotations

import base64
import contextlib
import sys
from pathlib import Path

import pytest
import urllib3
from cryptography import x509

from tests.simulator import Cluster
from tests.simulator.schema import MESSAGES
from tests.unit.simulator.caller import Caller
from tests.unit.simulator.kubectl import CSRS, LEASES, NODES, PODS, admin

SCENARIOS = Path(__file__).parents[2] / 'scenarios' / 'kubernetes'
APPROVER = '/api/v1/namespaces/kubelet-serving-cert-approver/pods'

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='other systems have no loopback aliases')


@contextlib.contextmanager
def _scenario(name):
    with Cluster.from_file(SCENARIOS / f'{name}.yaml') as cluster:
        yield cluster, admin(cluster)


def _conditions(item):
    return {one['type']: one for one in item['status']['conditions']}


def _address(node):
    return next(one['address'] for one in node['status']['addresses'] if one['type'] == 'InternalIP')


def _reasons(pod):
    """The reason for which each container waits."""
    statuses = pod['status'].get('initContainerStatuses', []) + pod['status'].get('containerStatuses', [])
    return {one['name']: one['state'].get('waiting', {}).get('reason') for one in statuses}


def _specs(cluster, name, resource_type, namespace):
    request = MESSAGES.encode('cosi.List', {'namespace': namespace, 'type': f'{resource_type}.talos.dev'})
    with Caller(cluster.talosconfig, cluster.address(name)) as call:
        messages, _code, _text = call('/cosi.resource.State/List', request)
    return [MESSAGES.decode('cosi.ListResponse', message)['resource']['spec']['yaml_spec'] for message in messages]


def test_by_default_all_is_well():
    with Cluster.from_state({}) as cluster:
        kube = admin(cluster)
        for name, node in kube.items(NODES).items():
            assert _address(node) == cluster.address(name)
            assert {kind: one['status'] for kind, one in _conditions(node).items()} == {
                'NetworkUnavailable': 'False', 'MemoryPressure': 'False', 'DiskPressure': 'False', 'PIDPressure': 'False', 'Ready': 'True'}
        for pod in kube.items('/api/v1/pods').values():
            assert _conditions(pod)['Ready']['status'] == 'True'
            assert set(_reasons(pod).values()) == {None}
        assert len(kube.items(PODS)) == 21
        assert kube.items(CSRS) == {}
        assert kube.items('/api/v1/events') == {}


def test_node_ip():
    with _scenario('wrong-internal-ip') as (cluster, kube):
        assert _address(kube(f'{NODES}/w-1')[1]).split('.', 2)[2] == '0.21'
        assert _address(kube(f'{NODES}/w-1')[1]) != cluster.address('w-1')
        assert _address(kube(f'{NODES}/w-1')[1]) in _specs(cluster, 'w-1', 'NodeIPs.kubernetes', 'k8s')[0]
        hosts = {pod['status']['hostIP'] for pod in kube.items(f'{PODS}?fieldSelector=spec.nodeName%3Dw-1').values()}
        assert hosts == {_address(kube(f'{NODES}/w-1')[1])}


def test_nodes_ready_reason_since_and_pods_phase_waiting_age():
    with _scenario('node-not-ready') as (cluster, kube):
        ready = _conditions(kube(f'{NODES}/w-2')[1])['Ready']
        assert (ready['status'], ready['reason']) == ('False', 'KubeletNotReady')
        assert ready['lastTransitionTime'] == f'{cluster.model.clock.at("-25m"):%Y-%m-%dT%H:%M:%SZ}'
        assert 'node.kubernetes.io/not-ready' in [taint['key'] for taint in kube(f'{NODES}/w-2')[1]['spec']['taints']]
        assert 'nodeReady: false' in _specs(cluster, 'w-2', 'NodeStatuses.kubernetes', 'k8s')[0]
        pod = kube(f'{PODS}/kube-flannel-7tqzk')[1]
        assert (pod['status']['phase'], pod['spec']['nodeName']) == ('Pending', 'w-2')
        assert _reasons(pod) == {'install-config': 'ImagePullBackOff', 'kube-flannel': 'PodInitializing'}
        assert pod['metadata']['creationTimestamp'] == f'{cluster.model.clock.at("-26m"):%Y-%m-%dT%H:%M:%SZ}'
        status = kube('/apis/apps/v1/namespaces/kube-system/daemonsets/kube-flannel')[1]['status']
        assert (status['desiredNumberScheduled'], status['numberReady'], status['numberUnavailable']) == (5, 4, 1)
        reasons = {event['reason'] for event in kube.items('/api/v1/events').values()}
        assert {'NodeNotReady', 'BackOff', 'Failed'} <= reasons


def test_nodes_schedulable_conditions_and_flapping():
    with _scenario('node-pressure') as (cluster, kube):
        node = kube(f'{NODES}/w-1')[1]
        assert node['spec']['unschedulable'] is True
        assert {'node.kubernetes.io/unschedulable', 'node.kubernetes.io/memory-pressure'} <= {taint['key'] for taint in node['spec']['taints']}
        pressure = _conditions(node)['MemoryPressure']
        assert (pressure['status'], pressure['reason']) == ('True', 'KubeletHasInsufficientMemory')
        events = {(event['involvedObject']['name'], event['reason']): event['count'] for event in kube.items('/api/v1/events').values()}
        assert events['w-2', 'NodeNotReady'] == events['w-2', 'NodeReady'] == 20
        cluster.model.clock.wall -= 100 * (cluster.model.clock.at('+1s') - cluster.model.clock.at('+0s'))
        assert _conditions(kube(f'{NODES}/w-2')[1])['Ready']['status'] == 'Unknown'
        cluster.model.clock.wall -= 90 * (cluster.model.clock.at('+1s') - cluster.model.clock.at('+0s'))
        assert _conditions(kube(f'{NODES}/w-2')[1])['Ready']['status'] == 'True'


def test_nodes_internal_ip_and_pods_node_gone():
    with _scenario('stale-node') as (cluster, kube):
        node = kube(f'{NODES}/w-9')[1]
        assert _address(node) == cluster.address('w-1').replace('.0.21', '.0.29')
        assert _conditions(node)['Ready']['status'] == 'Unknown'
        assert node['metadata']['creationTimestamp'] < _conditions(node)['Ready']['lastTransitionTime']
        assert kube.items(LEASES)['w-9']['spec']['renewTime'] < kube.items(LEASES)['w-1']['spec']['renewTime']
        pod = kube(f'{PODS}/kube-proxy-old')[1]
        assert (pod['status']['phase'], _conditions(pod)['Ready']['status']) == ('Running', 'False')
        assert 'reason' not in _conditions(pod)['Ready']


def test_csrs_with_all_that_is_said_of_them():
    with _scenario('serving-requests') as (cluster, kube):
        csrs = kube.items(CSRS)
        assert set(csrs) == {'csr-w2', 'csr-odd', 'csr-w1'}
        spec = csrs['csr-w2']['spec']
        assert (spec['signerName'], spec['username'], spec['groups'], spec['usages']) == (
            'kubernetes.io/kubelet-serving', 'system:node:w-2', ['system:nodes', 'system:authenticated'], ['digital signature', 'server auth'])
        assert csrs['csr-w2']['metadata']['creationTimestamp'] == f'{cluster.model.clock.at("-55m"):%Y-%m-%dT%H:%M:%SZ}'
        request = x509.load_pem_x509_csr(base64.b64decode(csrs['csr-odd']['spec']['request']))
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == [cluster.model.vip]
        assert names.get_values_for_type(x509.DNSName) == ['kubernetes']
        assert (csrs['csr-w2']['status'], set(csrs['csr-w1']['status'])) == ({}, {'conditions', 'certificate'})
        assert 'pending CSRs: csr-w2' in _specs(cluster, 'w-2', 'Diagnostics.runtime', 'runtime')[0]
        assert kube(APPROVER)[1]['items'] == []


@pytest.mark.parametrize(('state', 'kinds'), [('Denied', ['Denied']), ('Failed', ['Failed']), ('Approved', ['Approved'])])
def test_csrs_state(state, kinds):
    with Cluster.from_state({'k8s': {'csrs': [{'name': 'x', 'state': state}]}}) as cluster:
        assert [one['type'] for one in admin(cluster)(f'{CSRS}/x')[1]['status']['conditions']] == kinds


def test_a_young_cluster_has_the_requests_with_which_it_was_made():
    with Cluster.from_state({'uptime': '5m'}) as cluster:
        found = admin(cluster).items(CSRS).values()
        assert len(found) == 5
        assert {item['spec']['signerName'] for item in found} == {'kubernetes.io/kube-apiserver-client-kubelet'}


def test_approver_installed_and_pods_restarts_and_reason():
    with _scenario('approver') as (_cluster, kube):
        [pod] = kube.items(APPROVER).values()
        [container] = pod['status']['containerStatuses']
        assert (container['restartCount'], container['lastState']['terminated']['reason']) == (14, 'OOMKilled')
        assert container['state']['waiting']['reason'] == 'CrashLoopBackOff'
        assert kube('/apis/apps/v1/namespaces/kubelet-serving-cert-approver/deployments')[1]['items'][0]['status']['unavailableReplicas'] == 1
        assert 'kubelet-serving-cert-approver' in kube.items('/api/v1/namespaces')


def test_kube_system_and_static_pods():
    with _scenario('component-crashes') as (cluster, kube):
        pods = kube.items(PODS)
        assert {pod['status']['phase'] for name, pod in pods.items() if name.startswith('coredns')} == {'Pending'}
        assert _reasons(pods['kube-scheduler-cp-2']) == {'kube-scheduler': 'CrashLoopBackOff'}
        assert _reasons(pods['kube-scheduler-cp-1']) == {'kube-scheduler': None}
        assert kube('/apis/apps/v1/namespaces/kube-system/deployments/coredns')[1]['status']['unavailableReplicas'] == 2
        waiting = {name: sum('CrashLoopBackOff' in text for text in _specs(cluster, name, 'StaticPodStatuses.kubernetes', 'k8s'))
                   for name in cluster.nodes}
        assert waiting == {'cp-1': 0, 'cp-2': 1, 'cp-3': 0, 'w-1': 0, 'w-2': 0}
        assert len(pods) == 21


def test_kube_system_may_be_empty():
    with Cluster.from_state({'k8s': {'kube_system': 'none'}}) as cluster:
        assert admin(cluster).items(PODS) == {}


def test_pods_that_belong_to_nothing_are_added():
    with Cluster.from_state({'k8s': {'pods': {'backup-x7k2p (w-1)': {'phase': 'Failed', 'reason': 'Evicted'}, 'queue-1': 'Pending'}}}) as cluster:
        pods = admin(cluster).items(PODS)
        assert (pods['backup-x7k2p']['status']['phase'], pods['backup-x7k2p']['status']['reason']) == ('Failed', 'Evicted')
        assert (pods['queue-1']['status']['phase'], 'nodeName' in pods['queue-1']['spec']) == ('Pending', False)
        assert len(pods) == 23


@pytest.mark.parametrize(('cni', 'daemons'), [('none', {'kube-proxy'}), ('cilium', {'cilium', 'kube-proxy'})])
def test_cni(cni, daemons):
    with Cluster.from_state({'network': {'cni': cni}}) as cluster:
        assert set(admin(cluster).items('/apis/apps/v1/daemonsets')) == daemons


def _tries(kube, count=6):
    """What new connections to the endpoint meet, one after the other."""
    found = []
    for _try in range(count):
        kube._pool.clear()
        try:
            found.append(kube('/readyz')[0])
        except urllib3.exceptions.HTTPError:
            found.append(None)
    return found


def test_a_balancer_without_checks_sends_to_the_dead_and_api_says_who_is():
    with _scenario('endpoint-without-checks') as (cluster, kube):
        assert kube.server.endswith('.0.50:6443')
        assert sorted(_tries(kube), key=str) == [200] * 4 + [None] * 2
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            kube('/readyz', cluster.address('cp-3'))


@pytest.mark.parametrize(('check', 'state', 'answers'), [
    ('tcp-connect', {'k8s': {'api': {'cp-1': 'up', 'cp-2': 'up'}}}, {200}),
    ('tcp-connect', {'etcd': {'members': {'cp-1': '1' * 16, 'cp-2': '2' * 16, 'cp-3': '3' * 16}, 'same_list_on': ['cp-1', 'cp-2'],
                              'reachable': ['cp-1', 'cp-2']}}, {200, 500}),
    ('readyz', {'etcd': {'members': {'cp-1': '1' * 16, 'cp-2': '2' * 16, 'cp-3': '3' * 16}, 'reachable': ['cp-1', 'cp-2']}}, {200}),
])
def test_a_balancer_with_checks(check, state, answers):
    told = {'network': {'lb': {'kind': 'tcp', 'check': check, 'backends': ['cp-1', '10.5.0.12', 'cp-3', '10.5.0.99']}}, **state}
    with Cluster.from_state(told) as cluster:
        assert set(_tries(admin(cluster), 9)) == answers


@pytest.mark.parametrize('api', ['down', 'never up'])
def test_api_is_nowhere(api):
    with Cluster.from_state({'k8s': {'api': api}}) as cluster:
        for node in cluster.model.control_planes:
            with pytest.raises(urllib3.exceptions.NewConnectionError):
                admin(cluster)('/readyz', node.address)


def test_reads_rejected():
    with _scenario('reads-rejected') as (_cluster, kube):
        status, body = kube(NODES)
        assert (status, body['message']) == (500, 'Internal error occurred: unable to transform key "/registry/nodes/cp-1": no matching prefix found')
        assert kube('/readyz') == (200, 'ok')
    with Cluster.from_state({'k8s': {'reads': 'rejected: etcdserver: request timed out'}}) as cluster:
        status, text = admin(cluster)('/readyz')
        assert (status, '[-]etcd failed: reason withheld\n' in text) == (500, True)


def test_writes_rejected():
    with _scenario('writes-rejected') as (_cluster, kube):
        status, body = kube.delete(f'{NODES}/w-9')
        assert (status, body['message'].startswith('Internal error occurred: failed calling webhook')) == (500, True)
        assert kube(f'{NODES}/w-9')[0] == 200
        assert kube.delete(f'{NODES}/w-9', dryRun=['All'])[0] == 200


def test_object_counts():
    with _scenario('many-objects') as (_cluster, kube):
        page = kube('/api/v1/events?limit=500')[1]
        assert (len(page['items']), page['metadata']['remainingItemCount']) == (500, 409500)
        assert kube('/api/v1/events')[0] == 504
        assert kube('/api/v1/configmaps?limit=1')[1]['metadata']['remainingItemCount'] == 1199
        assert 'apiserver_storage_objects{resource="events"} 410000\n' in kube('/metrics')[1]
        assert 'apiserver_storage_objects{resource="nodes"} 5\n' in kube('/metrics')[1]


def test_nodes_reason_in_words():
    with _scenario('container-runtime-down') as (_cluster, kube):
        ready = _conditions(kube(f'{NODES}/w-1')[1])['Ready']
        assert (ready['reason'], ready['message']) == ('KubeletNotReady', 'container runtime is down')


def test_every_scenario_about_kubernetes_is_here():
    text = Path(__file__).read_text()
    assert [path.stem for path in SCENARIOS.glob('*.yaml') if f"'{path.stem}'" not in text] == []
