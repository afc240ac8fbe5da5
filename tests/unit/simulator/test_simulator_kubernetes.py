# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated Kubernetes API over the network: who may do what, lists, writes, and what follows from them."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
import urllib3
from cryptography import x509

from tests.simulator import Cluster, lifecycle
from tests.simulator.schema import MESSAGES
from tests.unit.simulator.caller import Caller
from tests.unit.simulator.kubectl import CSRS, LEASES, NODES, PODS, Kubectl, admin

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='other systems have no loopback aliases')
STALE = {'k8s': {'nodes': {'cp-1': 'Ready', 'cp-2': 'Ready', 'cp-3': 'Ready', 'w-1': 'Ready', 'w-2': 'Ready',
                           'w-9': {'ready': 'Unknown', 'since': '-30d', 'internal_ip': '10.5.0.29'}}}}
SERVING = {'name': 'csr-w2', 'signer': 'kubernetes.io/kubelet-serving', 'username': 'system:node:w-2', 'ips': ['10.5.0.22'], 'dns': ['w-2'],
           'usages': ['digital signature', 'server auth'], 'age': '18m', 'state': 'Pending'}


@pytest.fixture(scope='module')
def healthy():
    with Cluster.from_state({}) as cluster:
        yield cluster


def _statuses(cluster, name):
    request = MESSAGES.encode('cosi.List', {'namespace': 'k8s', 'type': 'NodeStatuses.kubernetes.talos.dev'})
    with Caller(cluster.talosconfig, cluster.address(name)) as call:
        messages, _code, _text = call('/cosi.resource.State/List', request)
    return [MESSAGES.decode('cosi.ListResponse', message)['resource']['spec']['yaml_spec'] for message in messages]


# -- who asks ---------------------------------------------------------------------------------------------------

def test_a_master_may_do_everything(healthy):
    assert admin(healthy)(NODES)[0] == 200


def test_nobody_without_a_certificate_is_let_in(healthy):
    stranger = Kubectl(healthy.model.kubeconfig(), healthy.directory, certificate=False)
    for path in (NODES, '/readyz', '/version'):
        status, body = stranger(path)
        assert (status, body['reason'], body['message'], body['kind']) == (401, 'Unauthorized', 'Unauthorized', 'Status')


def test_an_expired_certificate_is_no_certificate(healthy):
    now = datetime.now(timezone.utc)
    dates = {'not_before': now - timedelta(days=2), 'not_after': now - timedelta(days=1)}
    assert Kubectl(healthy.kubeconfig_of('admin', ['system:masters'], **dates), healthy.directory)(NODES)[0] == 401


def test_readers_read_and_write_nothing(healthy):
    reader = Kubectl(healthy.kubeconfig_of('jane', ['readers']), healthy.directory)
    assert [reader(path)[0] for path in (NODES, PODS, CSRS, LEASES, '/api/v1/events', '/readyz')] == [200] * 6
    status, body = reader.delete(f'{NODES}/w-1')
    assert (status, body['reason'], body['details']) == (403, 'Forbidden', {'name': 'w-1', 'kind': 'nodes'})
    assert body['message'] == 'nodes "w-1" is forbidden: User "jane" cannot delete resource "nodes" in API group "" at the cluster scope'
    assert reader.patch(f'{CSRS}/x/approval', {})[1]['message'] == (
        'certificatesigningrequests.certificates.k8s.io "x" is forbidden: User "jane" cannot patch resource "certificatesigningrequests/approval" '
        'in API group "certificates.k8s.io" at the cluster scope')


def test_who_is_in_no_group_reads_health_and_versions_only(healthy):
    nobody = Kubectl(healthy.kubeconfig_of('joe', ['guests']), healthy.directory)
    assert [nobody(path)[0] for path in ('/readyz', '/livez', '/healthz', '/version')] == [200] * 4
    status, body = nobody(PODS)
    assert (status, body['message']) == (
        403, 'pods is forbidden: User "joe" cannot list resource "pods" in API group "" in the namespace "kube-system"')
    assert nobody('/metrics')[1]['message'] == 'forbidden: User "joe" cannot get path "/metrics"'


# -- lists ------------------------------------------------------------------------------------------------------

def test_pages_join_to_the_whole(healthy):
    get, found, token = admin(healthy), [], ''
    while True:
        page = get(f'/api/v1/pods?limit=4&continue={token}')[1]
        found += [item['metadata']['name'] for item in page['items']]
        token = page['metadata'].get('continue')
        if not token:
            break
        assert len(page['items']) == 4
    assert found == list(get.items('/api/v1/pods'))


def test_a_token_from_before_a_compaction_has_expired():
    with Cluster.from_state({}) as cluster:
        get = admin(cluster)
        token = get(f'{NODES}?limit=2')[1]['metadata']['continue']
        assert get(f'{NODES}?limit=2&continue={token}')[0] == 200
        cluster.model.kubernetes.compact()
        status, body = get(f'{NODES}?limit=2&continue={token}')
        assert (status, body['reason'], body['code']) == (410, 'Expired', 410)
        assert get(f'{NODES}?limit=2&continue=nonsense')[0] == 400


@pytest.mark.parametrize(('path', 'names'), [
    (f'{NODES}?labelSelector=node-role.kubernetes.io/control-plane', {'cp-1', 'cp-2', 'cp-3'}),
    (f'{NODES}?labelSelector=!node-role.kubernetes.io/control-plane', {'w-1', 'w-2'}),
    (f'{NODES}?labelSelector=kubernetes.io/hostname%3Dw-1', {'w-1'}),
    (f'{NODES}?labelSelector=kubernetes.io/hostname%20in%20(w-1,cp-1)', {'w-1', 'cp-1'}),
    (f'{NODES}?fieldSelector=metadata.name!%3Dw-1', {'cp-1', 'cp-2', 'cp-3', 'w-2'}),
    (f'{PODS}?fieldSelector=spec.nodeName%3Dcp-2&labelSelector=tier%3Dcontrol-plane',
     {'kube-apiserver-cp-2', 'kube-controller-manager-cp-2', 'kube-scheduler-cp-2'}),
])
def test_selectors(healthy, path, names):
    assert set(admin(healthy).items(path)) == names


def test_a_selector_that_is_not_supported_is_refused(healthy):
    status, body = admin(healthy)(f'{NODES}?fieldSelector=status.phase%3DRunning')
    assert (status, body['message']) == (400, 'field label not supported: status.phase')


def test_every_workload_has_its_pods(healthy):
    get = admin(healthy)
    pods = get.items(PODS)
    assert sorted(pod['spec']['nodeName'] for name, pod in pods.items() if name.startswith('kube-proxy')) == ['cp-1', 'cp-2', 'cp-3', 'w-1', 'w-2']
    assert all(pod['status']['phase'] == 'Running' for pod in pods.values())
    assert {name: one['status']['numberReady'] for name, one in get.items('/apis/apps/v1/daemonsets').items()} == {'kube-flannel': 5, 'kube-proxy': 5}
    assert get('/apis/apps/v1/namespaces/kube-system/deployments/coredns')[1]['status']['readyReplicas'] == 2
    assert get('/api/v1/namespaces/kube-system')[1]['kind'] == 'Namespace'


def test_what_is_not_there_is_not_found(healthy):
    get = admin(healthy)
    status, body = get(f'{NODES}/w-7')
    assert (status, body['reason'], body['message'], body['details']) == (404, 'NotFound', 'nodes "w-7" not found', {'name': 'w-7', 'kind': 'nodes'})
    assert get(f'{CSRS}/x')[1]['message'] == 'certificatesigningrequests.certificates.k8s.io "x" not found'
    assert get('/api/v1/configmaps')[1]['reason'] == 'NotSimulated'
    assert get(NODES, method='PUT', body={})[0] == 405


def test_health_in_words(healthy):
    get = admin(healthy)
    assert get('/livez') == get('/healthz') == (200, 'ok')
    assert '[+]etcd-readiness ok\n' in get('/readyz?verbose')[1]
    assert 'etcd-readiness' not in get('/livez?verbose')[1]


def test_clients_can_find_out_what_there_is(healthy):
    get = admin(healthy)
    assert get('/api')[1]['versions'] == ['v1']
    assert {'apps', 'certificates.k8s.io', 'coordination.k8s.io'} <= {group['name'] for group in get('/apis')[1]['groups']}
    assert {'nodes', 'pods', 'events'} <= {one['name'] for one in get('/api/v1')[1]['resources']}


def test_leases_are_renewed_while_one_looks(healthy):
    for name, lease in admin(healthy).items(LEASES).items():
        renewed = datetime.fromisoformat(lease['spec']['renewTime'].replace('Z', '+00:00'))
        assert timedelta() <= datetime.now(timezone.utc) - renewed < timedelta(seconds=12)
        assert lease['spec']['holderIdentity'] == name


# -- writes -----------------------------------------------------------------------------------------------------

def test_a_deleted_node_stays_away_with_all_that_was_its_own():
    with Cluster.from_state(STALE) as cluster:
        kube = admin(cluster)
        node = kube(f'{NODES}/w-9')[1]
        assert any(pod['spec'].get('nodeName') == 'w-9' for pod in kube.items(PODS).values())
        status, body = kube.delete(f'{NODES}/w-9', preconditions={'uid': 'another'})
        assert (status, body['reason']) == (409, 'Conflict')
        assert body['message'].startswith('Operation cannot be fulfilled on Node "w-9": the UID in the precondition (another) does not match')
        assert kube.delete(f'{NODES}/w-9', preconditions={'resourceVersion': '1'})[0] == 409
        assert kube.delete(f'{NODES}/w-9', preconditions={'uid': node['metadata']['uid']}, dryRun=['All'])[0] == 200
        assert kube(f'{NODES}/w-9')[0] == 200
        status, body = kube.delete(f'{NODES}/w-9', preconditions={key: node['metadata'][key] for key in ('uid', 'resourceVersion')})
        assert (status, body['status'], body['details']['uid']) == (200, 'Success', node['metadata']['uid'])
        for address in (None, *(one.address for one in cluster.model.control_planes)):
            assert kube(f'{NODES}/w-9', address)[0] == 404
        assert 'w-9' not in kube.items(LEASES)
        assert not any(pod['spec'].get('nodeName') == 'w-9' for pod in kube.items(PODS).values())


def test_the_node_of_a_living_machine_comes_back_when_its_kubelet_starts():
    with Cluster.from_state({}) as cluster:
        kube = admin(cluster)
        old = kube(f'{NODES}/w-1')[1]['metadata']
        assert _statuses(cluster, 'w-1')
        kube.delete(f'{NODES}/w-1')
        assert kube(f'{NODES}/w-1')[0] == 404
        assert _statuses(cluster, 'w-1') == []
        cluster._do(lambda: lifecycle.restart_kubelet(cluster.nodes['w-1']))
        assert kube(f'{NODES}/w-1')[0] == 404
        cluster.skip(5)
        new = kube(f'{NODES}/w-1')[1]['metadata']
        assert new['uid'] != old['uid']
        assert int(new['resourceVersion']) > int(old['resourceVersion'])
        assert 'nodeReady: true' in _statuses(cluster, 'w-1')[0]


def test_a_cordoned_node_is_so_for_talos_too():
    with Cluster.from_state({}) as cluster:
        kube = admin(cluster)
        before = kube(f'{NODES}/w-1')[1]
        status, after = kube.patch(f'{NODES}/w-1', {'spec': {'unschedulable': True}, 'metadata': {'annotations': {'by': 'test'}}})
        assert (status, after['spec']['unschedulable'], after['metadata']['annotations']['by']) == (200, True, 'test')
        assert 'node.kubernetes.io/unschedulable' in [taint['key'] for taint in after['spec']['taints']]
        assert int(after['metadata']['resourceVersion']) > int(before['metadata']['resourceVersion'])
        assert 'unschedulable: true' in _statuses(cluster, 'w-1')[0]
        assert kube.items(f'{NODES}?fieldSelector=spec.unschedulable%3Dtrue').keys() == {'w-1'}
        patch = [{'op': 'remove', 'path': '/spec/unschedulable'}]
        assert kube(f'{NODES}/w-1', method='PATCH', body=patch, content_type='application/json-patch+json')[0] == 200
        assert 'unschedulable' not in kube(f'{NODES}/w-1')[1]['spec']
        assert 'unschedulable: false' in _statuses(cluster, 'w-1')[0]


def test_who_has_seen_an_older_version_is_told_so():
    with Cluster.from_state({}) as cluster:
        kube = admin(cluster)
        node = kube(f'{NODES}/w-1')[1]
        kube.patch(f'{NODES}/w-1', {'metadata': {'labels': {'a': 'b'}}})
        status, body = kube(f'{NODES}/w-1', method='PUT', body=node)
        assert (status, body['reason']) == (409, 'Conflict')
        assert 'the object has been modified' in body['message']
        node = kube(f'{NODES}/w-1')[1]
        del node['metadata']['labels']['a']
        assert 'a' not in kube(f'{NODES}/w-1', method='PUT', body=node)[1]['metadata']['labels']
        assert kube(f'{NODES}/w-1', method='PATCH', body={}, content_type='application/apply-patch+yaml')[0] == 415


def test_a_patch_of_the_object_leaves_its_status_alone():
    with Cluster.from_state({}) as cluster:
        assert admin(cluster).patch(f'{NODES}/w-1', {'status': {'conditions': []}})[1]['status']['conditions'] != []


def test_a_deleted_pod_of_a_workload_is_made_anew_and_one_on_a_dead_node_stays():
    with Cluster.from_state(STALE) as cluster:
        kube = admin(cluster)
        name, pod = next((name, pod) for name, pod in kube.items(PODS).items() if name.startswith('kube-proxy') and pod['spec']['nodeName'] == 'w-1')
        assert kube.delete(f'{PODS}/{name}')[0] == 200
        pods = kube.items(f'{PODS}?fieldSelector=spec.nodeName%3Dw-1&labelSelector=k8s-app%3Dkube-proxy')
        assert len(pods) == 1 and name not in pods
        assert next(iter(pods.values()))['metadata']['uid'] != pod['metadata']['uid']
        gone = next(name for name, pod in kube.items(PODS).items() if pod['spec'].get('nodeName') == 'w-9')
        kube(f'{PODS}/{gone}/eviction', method='POST', body={'kind': 'Eviction'})
        assert 'deletionTimestamp' in kube(f'{PODS}/{gone}')[1]['metadata']
        kube.delete(f'{PODS}/{gone}', gracePeriodSeconds=0)
        assert kube(f'{PODS}/{gone}')[0] == 404


def test_objects_can_be_made():
    with Cluster.from_state({}) as cluster:
        kube = admin(cluster)
        lease = {'kind': 'Lease', 'metadata': {'name': 'check'}, 'spec': {'holderIdentity': 'x'}}
        path = '/apis/coordination.k8s.io/v1/namespaces/default/leases'
        assert kube(path, method='POST', body=lease)[0] == 201
        assert kube(path, method='POST', body=lease)[1]['reason'] == 'AlreadyExists'
        assert kube(f'{path}/check')[1]['spec'] == {'holderIdentity': 'x'}
        assert kube.delete(f'{path}/check')[0] == 200
        assert kube(f'{path}/check')[0] == 404


def test_leases_are_written_as_kubernetes_wants_them():
    with Cluster.from_state({}) as cluster:
        kube = admin(cluster)
        path, name = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases', 'check'
        lease = {'kind': 'Lease', 'metadata': {'name': name}, 'spec': {'holderIdentity': 'x', 'renewTime': '2026-01-01T00:00:00.000000Z'}}
        code, made = kube(f'{path}/{name}', method='PUT', body=lease)
        assert code == 201 and made['metadata']['resourceVersion'], 'an update makes one where there is none'
        code, told = kube(f'{path}/{name}', method='PUT', body=lease)
        assert code == 422 and 'metadata.resourceVersion: Invalid value: 0: must be specified for an update' in told['message']
        for spec, status, text in (({'renewTime': '2026-01-01T00:00:00Z'}, 400, 'parsing time'), ({'leaseDurationSeconds': 0}, 422, 'must be greater than 0')):
            code, told = kube(f'{path}/{name}', method='PUT', body={**made, 'spec': spec})
            assert code == status and text in told['message']
        code, changed = kube(f'{path}/{name}', method='PUT', body={**made, 'spec': {'holderIdentity': 'y'}})
        assert code == 200 and changed['metadata']['resourceVersion'] != made['metadata']['resourceVersion']
        code, told = kube(f'{path}/{name}', method='PUT', body={**made, 'spec': {'holderIdentity': 'z'}})
        assert code == 409 and told['reason'] == 'Conflict' and told['details'] == {'name': name, 'group': 'coordination.k8s.io', 'kind': 'leases'}
        assert kube.delete(f'{path}/{name}')[0] == 200
        code, told = kube(f'{path}/{name}', method='PUT', body=changed)
        assert code == 409 and 'Precondition failed: UID in precondition' in told['message']
        lines = cluster.model.kubernetes.writes
        assert lines[0] == f'update leases {name}' and lines[-1] == f'update leases {name}' and f'delete leases {name}' in lines


def _approval(item, kind='Approved'):
    return {**item, 'status': {**item['status'], 'conditions': [{'type': kind, 'status': 'True', 'reason': 'Test', 'message': ''}]}}


def _diagnostics(cluster, name):
    request = MESSAGES.encode('cosi.List', {'namespace': 'runtime', 'type': 'Diagnostics.runtime.talos.dev'})
    with Caller(cluster.talosconfig, cluster.address(name)) as call:
        return len(call('/cosi.resource.State/List', request)[0])


def test_a_bootstrap_token_asks_to_be_the_machine_that_has_no_node():
    told = {'name': 'csr-new', 'signer': 'kubernetes.io/kube-apiserver-client-kubelet', 'username': 'system:bootstrap:q9pyzr', 'state': 'Pending'}
    nodes = dict.fromkeys(('cp-1', 'cp-2', 'cp-3', 'w-1'), 'Ready')
    with Cluster.from_state({'k8s': {'csrs': [told, {**told, 'name': 'csr-told', 'dns': ['w-9']}], 'nodes': nodes}}) as cluster:
        for name, wanted in (('csr-new', 'w-2'), ('csr-told', 'w-9')):
            request = x509.load_pem_x509_csr(base64.b64decode(admin(cluster)(f'{CSRS}/{name}')[1]['spec']['request']))
            assert request.subject.rfc4514_string() == f'CN=system:node:{wanted},O=system:nodes'


def test_an_approved_request_is_issued_and_the_diagnostic_ends():
    with Cluster.from_state({'k8s': {'csrs': [SERVING]}, 'diagnostics': [{'node': 'w-2', 'id': 'kubelet-csr'}]}) as cluster:
        kube = admin(cluster)
        item = kube(f'{CSRS}/csr-w2')[1]
        assert (item['status'], _diagnostics(cluster, 'w-2')) == ({}, 1)
        status, _body = kube(f'{CSRS}/csr-w2/approval', method='PUT', body=_approval(item))
        assert status == 200
        issued = kube(f'{CSRS}/csr-w2')[1]['status']
        assert [one['type'] for one in issued['conditions']] == ['Approved']
        certificate = x509.load_pem_x509_certificate(base64.b64decode(issued['certificate']))
        assert certificate.subject.rfc4514_string() == 'CN=system:node:w-2,O=system:nodes'
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == [cluster.address('w-2')]
        certificate.verify_directly_issued_by(cluster.model.kubernetes_authority.certificate)
        assert _diagnostics(cluster, 'w-2') == 0
        item = kube(f'{CSRS}/csr-w2')[1]
        assert kube(f'{CSRS}/csr-w2/approval', method='PUT', body=_approval(item, 'Denied'))[0] == 422


@pytest.mark.parametrize(('told', 'kinds'), [
    ({'username': 'mallory'}, ['Approved', 'Failed']),
    ({'ips': [], 'dns': []}, ['Approved', 'Failed']),
    ({'signer': 'example.org/other'}, ['Approved']),
])
def test_what_no_signer_takes_gets_no_certificate(told, kinds):
    with Cluster.from_state({'k8s': {'csrs': [{**SERVING, **told}]}}) as cluster:
        kube = admin(cluster)
        kube.patch(f'{CSRS}/csr-w2/approval', {'status': _approval(kube(f'{CSRS}/csr-w2')[1])['status']})
        status = kube(f'{CSRS}/csr-w2')[1]['status']
        assert [one['type'] for one in status['conditions']] == kinds
        assert 'certificate' not in status


def test_a_full_etcd_takes_no_writes_until_its_alarms_are_gone():
    alarms = {'etcd': {'alarms': [{'member': 'cp-1', 'alarm': 'NOSPACE'}]}}
    for told in ({}, {'k8s': {'writes': 'rejected: etcdserver: mvcc: database space exceeded'}}):
        with Cluster.from_state({**alarms, **told}) as cluster:
            kube = admin(cluster)
            status, body = kube.patch(f'{NODES}/w-1', {'metadata': {'labels': {'a': 'b'}}})
            assert (status, body['message'], 'reason' in body) == (500, 'etcdserver: mvcc: database space exceeded', False)
            assert kube(f'{NODES}/w-1')[0] == 200
            cluster.model.etcd.alarms.clear()
            assert kube.patch(f'{NODES}/w-1', {'metadata': {'labels': {'a': 'b'}}})[0] == 200


def test_the_node_of_a_dead_machine_falls_silent():
    with Cluster.from_state({}) as cluster:
        kube = admin(cluster)
        cluster.kill('w-2')
        cluster.skip(10)
        assert kube(f'{NODES}/w-2')[1]['status']['conditions'][-1]['status'] == 'Unknown'
        pods = kube.items(f'{PODS}?fieldSelector=spec.nodeName%3Dw-2')
        assert {one['status'] for pod in pods.values() for one in pod['status']['conditions'] if one['type'] == 'Ready'} == {'False'}


def test_a_cluster_that_is_bootstrapped_has_a_kubernetes_api_of_that_age():
    before = {'k8s': {'api': 'never up'}, 'etcd': {'members': {}}, 'services_cp': {'etcd': ['Preparing', '?']}, 'uptime': '3h'}
    with Cluster.from_state(before) as cluster:
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            admin(cluster)('/readyz', cluster.address('cp-1'))
        cluster._do(lambda: lifecycle.bootstrap(cluster.nodes['cp-1']))
        cluster.skip(60)
        kube = admin(cluster)
        born = {node['metadata']['creationTimestamp'] for node in kube.items(NODES, address=cluster.address('cp-1')).values()}
        assert all(datetime.now(timezone.utc) - datetime.fromisoformat(text.replace('Z', '+00:00')) < timedelta(minutes=1) for text in born)
        assert len(kube.items(CSRS, address=cluster.address('cp-1'))) == 5


def test_everybody_may_ask_what_he_may(healthy):
    path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
    body = {'spec': {'resourceAttributes': {'verb': 'delete', 'resource': 'nodes'}}}
    reader = Kubectl(healthy.kubeconfig_of('jane', ['readers']), healthy.directory)
    assert [kube(path, method='POST', body=body)[1]['status'] for kube in (admin(healthy), reader)] == [{'allowed': True}, {'allowed': False}]


def test_a_body_that_is_not_json_is_refused(healthy):
    assert admin(healthy)(f'{NODES}/w-1', method='PUT', body={}, content_type='application/yaml')[0] == 415


@pytest.mark.skipif(not shutil.which('kubectl'), reason='kubectl is not installed')
def test_kubectl_works_with_it():
    state = {**STALE, 'k8s': {**STALE['k8s'], 'csrs': [SERVING]}}
    with Cluster.from_state(state) as cluster:
        def kubectl(*arguments):
            done = subprocess.run(['kubectl', f'--kubeconfig={cluster.directory}/kubeconfig', *arguments], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        kubectl('certificate', 'approve', 'csr-w2')
        assert kubectl('get', 'csr', 'csr-w2', '-o', 'jsonpath={.status.certificate}')
        kubectl('drain', 'w-1', '--ignore-daemonsets')
        kubectl('delete', 'node', 'w-9')
        assert kubectl('get', 'nodes', '-o', 'name').split() == [f'node/{name}' for name in ('cp-1', 'cp-2', 'cp-3', 'w-1', 'w-2')]
        assert kubectl('auth', 'can-i', 'delete', 'nodes') == 'yes\n'
