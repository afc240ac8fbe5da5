# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-proxy, CoreDNS and the rest of kube-system: by Kubernetes, and by the CRI where that was not read."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import control_plane_other, etcd
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests import recorded
from tests.unit.guide.control_plane_states import no_leader
from tests.unit.guide.judging import ago, faults, findings, lose, node, old, one, planes, recording, report, unreachable, verdict_of

CHECKS = control_plane_other.CHECKS
DOWN, RESTARTS, ADDONS, OTHERS = ('controlplane.system_pods_down', 'controlplane.system_pod_restarts', 'controlplane.addon_not_running',
                                  'controlplane.workloads_not_ready')


def judged(snapshot, checks=CHECKS, thresholds=None):
    return report(snapshot, thresholds, checks)


def pods(snapshot, start):
    return [pod for pod in snapshot.kubernetes['data']['pods'].value if pod['name'].startswith(start)]


def wait(snapshot, pod, reason, restarts=0, since=3000, last=None, message=None):
    """The pod is not ready since so many seconds, because its container waits for this reason."""
    pod['phase'] = 'Running' if reason == 'CrashLoopBackOff' else 'Pending'
    for each in pod['conditions']:
        if each['type'] in ('Ready', 'ContainersReady'):
            each.update(status='False', lastTransitionTime=ago(snapshot, since))
    for container in pod['containers']:
        if not container['init']:
            container.update(state='waiting', reason=reason, message=message, ready=False, restarts=restarts,
                             last=last and {'reason': last, 'exit_code': 137, 'at': ago(snapshot, 60), 'message': None})


def unschedule(snapshot, pod, since=3000, message='0/4 nodes are available: insufficient memory.'):
    pod.update(node=None, phase='Pending', containers=[], created=ago(snapshot, since),
               conditions=[{'type': 'PodScheduled', 'status': 'False', 'reason': 'Unschedulable', 'message': message}])


def not_ready(snapshot, name, status='False', since=3000):
    listed = next(each for each in snapshot.kubernetes['data']['nodes'].value if each['name'] == name)
    for each in listed['conditions']:
        if each['type'] == 'Ready':
            each.update(status=status, lastTransitionTime=ago(snapshot, since))


def without_kubernetes(snapshot):
    snapshot.kubernetes = {'source': None, 'server': None, 'read_from': None, 'error': 'needs os:admin or a kubeconfig', 'servers': {},
                           'data': {kind: Datum('refused', reason='needs os:admin or a kubeconfig') for kind in snapshot.kubernetes['data']}}
    return snapshot


@pytest.mark.parametrize('later', [0, 86400])
@pytest.mark.parametrize('name', recorded.SETS)
def test_recorded_clusters_are_quiet(name, later):
    """Recorded: pods of a machine that is down are Running and not Ready; two of coredns were on the worker that was killed."""
    report_ = judged(recording(name, later))
    assert findings(report_, worse_than='unknown') == [] and report_['sections']['controlplane.other']['verdict'] == 'ok'


# -- pods -------------------------------------------------------------------------------------------------------

def test_one_of_two_crashes():
    snapshot = old()
    wait(snapshot, pods(snapshot, 'coredns')[0], 'CrashLoopBackOff', restarts=41)
    finding = one(judged(snapshot), DOWN)
    assert (finding['verdict'], finding['subject'], finding['section']) == ('warning', 'kube-system/coredns', 'controlplane.other')
    assert '1 of 2 pods are ready' in finding['title'] and 'CrashLoopBackOff, 41 restarts' in finding['title'] and finding['nodes'] == ['w1']


def test_all_of_them_is_an_error():
    snapshot = old()
    for pod in pods(snapshot, 'coredns'):
        unschedule(snapshot, pod)
    finding = one(judged(snapshot), DOWN)
    assert finding['verdict'] == 'error' and '0 of 2 pods' in finding['title'] and 'insufficient memory' in finding['evidence'][0]['text']
    assert finding['root'] and 'not resolved' in finding['means']


@pytest.mark.parametrize('since, verdict', [(500, 'info'), (700, 'error')])
def test_pending_is_given_ten_minutes(since, verdict):
    snapshot = old()
    for pod in pods(snapshot, 'coredns'):
        unschedule(snapshot, pod, since)
    assert one(judged(snapshot), DOWN)['verdict'] == verdict
    assert verdict_of(judged(snapshot, thresholds={'controlplane_pod_pending': 60}), DOWN) == 'error'


@pytest.mark.parametrize('reason, since, restarts, verdict', [
    ('ImagePullBackOff', 60, 0, 'info'), ('ImagePullBackOff', 180, 0, 'warning'), ('CrashLoopBackOff', 30, 9, 'warning'), ('CrashLoopBackOff', 60, 1, 'info'),
    ('ContainerCreating', 300, 0, 'info'), ('ContainerCreating', 900, 0, 'warning'), ('CreateContainerConfigError', 300, 0, 'warning')])
def test_a_pod_of_a_daemonset_on_a_ready_node(reason, since, restarts, verdict):
    snapshot = old()
    pod = pods(snapshot, 'kube-proxy')[0]
    pod['created'] = ago(snapshot, since)
    wait(snapshot, pod, reason, restarts, since)
    finding = one(judged(snapshot), DOWN)
    assert (finding['verdict'], finding['subject']) == (verdict, 'kube-system/kube-proxy')
    assert ('registry' in finding['next_step']) == (reason == 'ImagePullBackOff' and verdict == 'warning')


def test_an_evicted_pod():
    snapshot = old()
    pod = pods(snapshot, 'kube-proxy')[0]
    pod.update(phase='Failed', reason='Evicted', message='The node was low on resource: memory.')
    for each in pod['conditions']:
        each['status'] = 'False'
    finding = one(judged(snapshot), DOWN)
    assert finding['verdict'] == 'warning' and 'evicted' in finding['title'] and 'low on resource' in finding['evidence'][0]['text']


@pytest.mark.parametrize('status', ['False', 'Unknown'])
def test_pods_of_a_node_that_is_not_ready_are_told_there(status):
    """flannel that cannot pull its image on a Node that is not Ready is that Node's evidence (kubelet.node_not_ready)."""
    snapshot = old()
    not_ready(snapshot, 'w1', status)
    wait(snapshot, next(pod for pod in pods(snapshot, 'kube-flannel') if pod['node'] == 'w1'), 'ImagePullBackOff')
    for pod in pods(snapshot, 'coredns'):
        wait(snapshot, pod, 'CrashLoopBackOff', 4)
    assert faults(judged(snapshot)) == set()


def test_flannel_on_a_node_that_is_ready_is_told_here():
    snapshot = old()
    wait(snapshot, pods(snapshot, 'kube-flannel')[0], 'CrashLoopBackOff', 7)
    assert one(judged(snapshot), DOWN)['subject'] == 'kube-system/kube-flannel'


def test_pods_of_a_node_that_is_gone_and_of_a_machine_that_does_not_answer():
    snapshot = old()
    wait(snapshot, pods(snapshot, 'kube-proxy')[0], 'CrashLoopBackOff', 7)
    pods(snapshot, 'kube-proxy')[0]['node'] = 'w-9'
    on_worker = next(pod for pod in pods(snapshot, 'kube-proxy') if pod['node'] == 'w1')
    wait(snapshot, on_worker, 'CrashLoopBackOff', 7)
    unreachable(node(snapshot, 'w1'))
    assert faults(judged(snapshot)) == set()


def test_no_pod_can_run_before_a_node_is_ready():
    """No CNI anywhere: CoreDNS stays Pending, which is not the fault of CoreDNS (recorded, k8s-no-cni)."""
    snapshot = old()
    for name in ('cp1', 'cp2', 'cp3', 'w1'):
        not_ready(snapshot, name)
    for pod in pods(snapshot, 'coredns'):
        unschedule(snapshot, pod, message='0/4 nodes are available: 4 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.')
    finding = one(judged(snapshot), DOWN)
    assert finding['verdict'] == 'warning' and '2 pods wait for a Node' in finding['title']
    for pod in pods(snapshot, 'coredns'):
        unschedule(snapshot, pod, 300, 'no Node is ready')
    assert one(judged(snapshot), DOWN)['verdict'] == 'info'


def test_static_pods_jobs_and_what_is_being_deleted_are_not_judged():
    snapshot = old()
    wait(snapshot, pods(snapshot, 'kube-scheduler')[0], 'CrashLoopBackOff', 9)
    wait(snapshot, pods(snapshot, 'kube-proxy')[0], 'CrashLoopBackOff', 9)
    pods(snapshot, 'kube-proxy')[0]['deleted'] = ago(snapshot, 10)
    pods(snapshot, 'coredns')[0].update(owner={'kind': 'Job', 'name': 'x'}, phase='Failed')
    assert faults(judged(snapshot)) == set()


def test_the_pods_of_the_csr_approver_are_told_with_the_requests():
    snapshot = old()
    pod = pods(snapshot, 'coredns')[0]
    pod.update(namespace='kubelet-serving-cert-approver', name='kubelet-serving-cert-approver-6f8c9d7b5c-x2k4q')
    wait(snapshot, pod, 'CrashLoopBackOff', 14, last='OOMKilled')
    assert faults(judged(snapshot)) == set()


def test_a_deployment_without_any_pod():
    snapshot = old()
    gone = pods(snapshot, 'coredns')
    snapshot.kubernetes['data']['pods'].value = [pod for pod in snapshot.kubernetes['data']['pods'].value if pod not in gone]
    finding = one(judged(snapshot), DOWN)
    assert finding['verdict'] == 'error' and 'it wants 2 pods and has none' in finding['title']
    next(each for each in snapshot.kubernetes['data']['deployments'].value if each['name'] == 'coredns')['wanted'] = 0
    assert faults(judged(snapshot)) == set()


def test_a_cluster_that_was_bootstrapped_a_moment_ago():
    snapshot = recording()
    for pod in pods(snapshot, 'coredns'):
        unschedule(snapshot, pod, 3000)
    assert one(judged(snapshot), DOWN)['verdict'] == 'info'


def test_under_nospace_what_is_wrong_is_a_consequence():
    snapshot = old('nospace-alarm')
    wait(snapshot, pods(snapshot, 'coredns')[0], 'CrashLoopBackOff', 9)
    finding = one(judged(snapshot, (*etcd.CHECKS, *CHECKS)), DOWN)
    assert finding['because_of'] and 'etcd.alarm_nospace' in finding['because_of'][0]


def test_events_are_quoted():
    snapshot = old()
    pod = pods(snapshot, 'kube-proxy')[0]
    wait(snapshot, pod, 'ImagePullBackOff', message='Back-off pulling image "x"')
    snapshot.kubernetes['data']['events'].value.append({
        'namespace': 'kube-system', 'kind': 'Pod', 'name': pod['name'], 'reason': 'Failed', 'message': 'toomanyrequests', 'count': 7, 'at': ago(snapshot, 5)})
    assert 'toomanyrequests (7 times)' in one(judged(snapshot), DOWN)['evidence'][-1]['text']


# -- restarts ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('restarts, ended, verdict', [(5, 300, 'warning'), (4, 300, 'ok'), (50, 700, 'ok')])
def test_repeated_restarts(restarts, ended, verdict):
    snapshot = old()
    container = pods(snapshot, 'coredns')[0]['containers'][0]
    container.update(restarts=restarts, last={'reason': 'OOMKilled', 'exit_code': 137, 'at': ago(snapshot, ended), 'message': None})
    report_ = judged(snapshot)
    assert verdict_of(report_, RESTARTS) == verdict and verdict_of(report_, DOWN) == 'ok'
    if verdict == 'warning':
        assert 'OOMKilled' in one(report_, RESTARTS)['title']


# -- other namespaces -------------------------------------------------------------------------------------------

def test_workloads_of_users_are_worth_a_line():
    snapshot = old()
    for number, pod in enumerate(pods(snapshot, 'coredns')):
        pod.update(namespace='shop', name=f'web-{number}')
        wait(snapshot, pod, 'CrashLoopBackOff', 9)
    finding = one(judged(snapshot), OTHERS)
    assert finding['verdict'] == 'info' and '2 pods of other namespaces' in finding['title'] and 'shop/web-0' in finding['title']


# -- without Kubernetes -----------------------------------------------------------------------------------------

def test_without_kubernetes_the_containers_of_the_machines_tell():
    report_ = judged(without_kubernetes(old()))
    assert report_['sections']['controlplane.other']['verdict'] == 'ok' and verdict_of(report_, ADDONS) == 'ok'
    assert {f['verdict'] for f in findings(report_)} == {'unknown'} and all('needs os:admin or a kubeconfig' in f['title'] for f in findings(report_))


def stop(machine, name, status='CONTAINER_EXITED'):
    for row in machine.value('Containers')['containers']:
        if row['name'] == name:
            row['status'] = status


def test_kube_proxy_that_does_not_run():
    snapshot = without_kubernetes(old())
    stop(node(snapshot, 'w1'), 'kube-proxy')
    finding = one(judged(snapshot), ADDONS)
    assert (finding['verdict'], finding['nodes']) == ('warning', ['w1']) and 'CONTAINER_EXITED' in finding['evidence'][0]['text']
    node(snapshot, 'w1').value('NodeStatuses')[0]['spec']['nodeReady'] = False
    assert faults(judged(snapshot)) == set()


def test_coredns_that_runs_nowhere():
    snapshot = without_kubernetes(old())
    for machine in snapshot.machines:
        stop(machine, 'coredns')
    assert one(judged(snapshot), ADDONS)['verdict'] == 'error'
    lose(node(snapshot, 'cp2'), 'Containers')
    assert {f['verdict'] for f in findings(judged(snapshot), ADDONS)} == {'unknown'}


def test_a_cluster_without_kube_proxy_and_coredns_is_quiet():
    """Cilium in place of kube-proxy."""
    snapshot = without_kubernetes(old())
    for machine in snapshot.machines:
        stop(machine, 'kube-proxy')
        stop(machine, 'coredns')
    for machine in planes(snapshot):
        machine.value('BootstrapManifestsConfigs')[0]['spec'].update(proxyEnabled=False, coreDNSEnabled=False)
    assert faults(judged(snapshot)) == set() and verdict_of(judged(snapshot), ADDONS) == 'not_applicable'
    for machine in planes(snapshot):
        lose(machine, 'BootstrapManifestsConfigs')
    assert verdict_of(judged(snapshot), ADDONS) == 'unknown'


def test_without_a_quorum_nothing_is_said_to_be_fine():
    snapshot = old()
    no_leader(snapshot)
    report_ = judged(snapshot, (*etcd.CHECKS, *CHECKS))
    assert report_['sections']['controlplane.other']['verdict'] == 'unknown'
    assert all(f['because_of'] == ['etcd.quorum_lost/cluster'] for f in findings(report_) if f['section'] == 'controlplane.other')


@pytest.mark.parametrize('kind', ['pods', 'nodes'])
def test_a_list_that_was_not_read(kind):
    snapshot = old()
    snapshot.kubernetes['data'][kind] = Datum('refused', reason='forbidden')
    assert one(judged(snapshot), DOWN)['verdict'] == 'unknown' and judged(snapshot)['sections']['controlplane.other']['verdict'] == 'ok'
    snapshot.kubernetes['data']['pods'] = Datum('failed', reason='https://x answered 500: unable to transform key')
    assert judged(snapshot)['sections']['controlplane.other']['verdict'] == 'ok'
    snapshot.kubernetes['data']['pods'] = Datum('timed_out', reason='no answer')
    assert judged(snapshot)['sections']['controlplane.other']['verdict'] == 'unknown', 'an API that is not reached'
