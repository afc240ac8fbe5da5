# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""kube-apiserver, kube-controller-manager and kube-scheduler: what the CRI and the kubelet say of them, and why one does not run."""

from __future__ import annotations

import pytest

from tests import recorded
from tests.unit.guide.control_plane_states import (
    WITH_CAUSES, container_rows, crash, judged, log, no_leader, remove, set_container, set_rows, status_of,
)
from tests.unit.guide.judging import faults, findings, lose, node, old, one, planes, preparing, recording, verdict_of

DOWN, RESTARTS, SKEW = 'controlplane.component_down', 'controlplane.component_restarts', 'controlplane.version_skew'
COMPONENTS = ('kube-apiserver', 'kube-controller-manager', 'kube-scheduler')


@pytest.mark.parametrize('later', [0, 86400])
@pytest.mark.parametrize('name', recorded.SETS)
def test_recorded_clusters_are_quiet(name, later):
    """Earlier instances stay EXITED after a restart, init containers always are: neither is a fault (edge-cases 73)."""
    report = judged(recording(name, later))
    assert [f for f in findings(report, worse_than='info') if f['section'] == 'controlplane.pod_status'] == []


def test_under_nospace_the_kubelet_is_believed_and_not_the_pod_that_nobody_can_write():
    """Recorded: Kubernetes still shows kube-scheduler of cp1 in CrashLoopBackOff, because its status can no longer be written."""
    snapshot = old('nospace-alarm')
    pod = next(p for p in snapshot.kubernetes['data']['pods'].value if p['name'] == 'kube-scheduler-cp1')
    assert pod['containers'][0]['reason'] == 'CrashLoopBackOff'
    assert verdict_of(judged(snapshot), DOWN) == 'ok'


@pytest.mark.parametrize('component', COMPONENTS)
def test_a_crash_loop_is_an_error_of_that_node_alone(component):
    snapshot = old()
    crash(snapshot, node(snapshot, 'cp2'), component)
    finding = one(judged(snapshot), DOWN)
    assert (finding['verdict'], finding['nodes'], finding['section']) == ('error', ['cp2'], 'controlplane.pod_status')
    assert 'CrashLoopBackOff, 12 restarts, ended with Error (exit code 1)' in finding['title'] and finding['root']
    assert {e['source'] for e in finding['evidence']} == {'Containers', 'StaticPodStatuses'}


@pytest.mark.parametrize('component, line, what, step', [
    ('kube-apiserver', 'Error: unknown flag: --audit-log-max-age', '--audit-log-max-age', 'cluster.apiServer.extraArgs'),
    ('kube-apiserver', 'Error: invalid argument "" for "--advertise-address" flag: failed to parse IP: ""', '"" of --advertise-address', 'cluster.apiServer'),
    ('kube-scheduler', 'E1122 10:00:00.000000 1 run.go:72] "command failed" err="unrecognized feature gate: Foo"', 'feature gate Foo', 'cluster.scheduler'),
    ('kube-apiserver', 'E0727 16:22:15.775506 1 transformer.go:164] "failed to decrypt data" err="no matching key was found for the provided Secretbox '
                       'transformer"', 'cannot decrypt', 'former secretbox'),
    ('kube-apiserver', 'W1122 10:00:00.0 1 logging.go:55] [core] ... Err: connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:2379: '
                       'connect: connection refused"', 'does not reach etcd', 'service etcd'),
    ('kube-controller-manager', 'E1122 10:00:00.0 1 leaderelection.go:461] error retrieving resource lock: Get \\"https://localhost:7445/apis\\": dial tcp '
                                '[::1]:7445: connect: connection refused', 'does not reach the API server', 'kube-apiserver of this node'),
    ('kube-controller-manager', 'F1122 10:00:00.0 1 controllermanager.go:340] "leaderelection lost"', 'lost its lease', 'leases run out'),
])
def test_the_end_of_its_log_says_why(component, line, what, step):
    snapshot = old()
    machine = node(snapshot, 'cp2')
    crash(snapshot, machine, component)
    log(machine, component, 'I1122 starting', line)
    finding = one(judged(snapshot), DOWN)
    assert what in finding['title'] and step in finding['next_step']
    assert line[:40] in finding['evidence'][0]['text'] and finding['evidence'][0]['at'] == '2026-11-22T10:17:00.000000000Z'


def test_lines_of_a_component_that_runs_are_history():
    snapshot = old()
    log(node(snapshot, 'cp2'), 'kube-apiserver', 'Error: unknown flag: --audit-log-max-age')
    assert faults(judged(snapshot)) == set()


@pytest.mark.parametrize('reason', ['ImagePullBackOff', 'ErrImagePull'])
def test_a_component_that_waits_for_its_image(reason):
    snapshot = old()
    machine = node(snapshot, 'cp3')
    set_container(snapshot, machine, 'kube-scheduler', {'waiting': {'reason': reason, 'message': 'Back-off pulling image "example.org/x:1"'}}, since=30)
    set_rows(machine, 'kube-scheduler')
    finding = one(judged(snapshot), DOWN)
    assert finding['verdict'] == 'error' and reason in finding['title'] and 'example.org/x:1' in finding['next_step']


@pytest.mark.parametrize('since, verdict', [(60, 'info'), (119, 'info'), (121, 'error')])
def test_a_restart_takes_a_moment(since, verdict):
    snapshot = old()
    machine = node(snapshot, 'cp1')
    set_container(snapshot, machine, 'kube-controller-manager', {'running': {'startedAt': None}}, restarts=3, since=since, ended=3000)
    assert one(judged(snapshot), DOWN)['verdict'] == verdict
    if verdict == 'error':
        assert verdict_of(judged(snapshot, {'controlplane_component_settle': 600}), DOWN) == 'info'


def test_a_component_that_has_just_ended_once_is_no_crash_loop():
    snapshot = old()
    machine = node(snapshot, 'cp1')
    set_container(snapshot, machine, 'kube-scheduler', {'terminated': {'reason': 'Error', 'exitCode': 1, 'finishedAt': None}}, restarts=1, since=4, ended=4)
    set_rows(machine, 'kube-scheduler', 'CONTAINER_EXITED')
    assert one(judged(snapshot), DOWN)['verdict'] == 'info'


def test_during_bootstrap_ends_are_normal():
    snapshot = recording()
    for machine in planes(snapshot):
        crash(snapshot, machine, 'kube-controller-manager', restarts=2)
    assert {f['verdict'] for f in findings(judged(snapshot), DOWN)} == {'info'}


@pytest.mark.parametrize('lost', ['StaticPodStatuses', 'Containers'])
def test_one_of_the_two_sources_is_enough_to_see_a_crash(lost):
    snapshot = old()
    machine = node(snapshot, 'cp2')
    crash(snapshot, machine, 'kube-scheduler')
    lose(machine, lost)
    found = {f['nodes'][0]: f['verdict'] for f in findings(judged(snapshot), DOWN) if 'kube-scheduler' in f['subject']}
    assert found == {'cp2': 'error'}


def test_a_running_container_of_which_no_readiness_was_read_is_unknown():
    snapshot = old()
    for machine in planes(snapshot):
        lose(machine, 'StaticPodStatuses', 'unsupported')
    report = judged(snapshot)
    assert verdict_of(report, DOWN) == 'unknown' and 'its container runs' in findings(report, DOWN)[0]['title']


def test_without_both_the_pod_in_kubernetes_counts_and_without_that_nothing_is_known():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    lose(machine, 'Containers')
    lose(machine, 'StaticPodStatuses')
    assert verdict_of(judged(snapshot), DOWN) == 'ok'
    pod = next(p for p in snapshot.kubernetes['data']['pods'].value if p['name'] == 'kube-scheduler-cp2')
    pod['containers'][0].update(state='waiting', reason='CrashLoopBackOff', ready=False, restarts=9)
    assert one(judged(snapshot), DOWN)['verdict'] == 'error'
    snapshot.kubernetes['data'] = {}
    found = findings(judged(snapshot), DOWN)
    assert {f['verdict'] for f in found} == {'unknown'} and len(found) == 3 and 'timed_out' in found[0]['title']


def test_without_a_quorum_the_statuses_stand_still_and_are_not_believed():
    """Recorded: two members killed, everything still Running and Ready (edge-cases 31)."""
    snapshot = old()
    no_leader(snapshot)
    found = findings(judged(snapshot, checks=WITH_CAUSES), DOWN)
    assert {f['verdict'] for f in found} == {'unknown'} and len(found) == 9
    assert all(f['because_of'] == ['etcd.quorum_lost/cluster'] for f in found)


def test_without_a_quorum_a_container_that_ended_is_a_consequence():
    snapshot = old()
    no_leader(snapshot)
    set_rows(node(snapshot, 'cp1'), 'kube-scheduler', 'CONTAINER_EXITED')
    finding = next(f for f in findings(judged(snapshot, checks=WITH_CAUSES), DOWN) if f['verdict'] == 'error')
    assert finding['because_of'] == ['etcd.quorum_lost/cluster'] and finding['nodes'] == ['cp1']


def test_the_alarm_ends_scheduler_and_controller_manager():
    """Recorded under NOSPACE: both exited on cp3 (truth, nospace-alarm)."""
    snapshot = old('nospace-alarm')
    machine = node(snapshot, 'cp3')
    for component in COMPONENTS[1:]:
        set_container(snapshot, machine, component, {'terminated': {'reason': 'Error', 'exitCode': 1, 'finishedAt': None}}, restarts=4, ended=200)
        set_rows(machine, component, 'CONTAINER_EXITED')
    found = findings(judged(snapshot, checks=WITH_CAUSES), DOWN)
    assert [f['verdict'] for f in found] == ['error'] * 2 and all('etcd.alarm_nospace' in f['because_of'][0] for f in found)
    assert all('its database is full' in f['title'] for f in found)


def test_what_asks_the_api_server_of_its_node_is_its_consequence():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    for component in COMPONENTS:
        crash(snapshot, machine, component)
    found = {f['subject'].partition(':')[2]: f for f in findings(judged(snapshot), DOWN)}
    assert found['kube-apiserver']['root']
    assert found['kube-scheduler']['because_of'] == found['kube-controller-manager']['because_of'] == [found['kube-apiserver']['id']]


def test_while_its_kubelet_is_down_a_component_runs_on():
    snapshot = old()
    machine = node(snapshot, 'cp1')
    for service in machine.value('ServiceList')['services']:
        if service['id'] == 'kubelet':
            service['state'] = 'Waiting'
    assert {f['verdict'] for f in findings(judged(snapshot), DOWN)} == {'info'}
    set_rows(machine, 'kube-apiserver', 'CONTAINER_EXITED')
    assert [f['verdict'] for f in findings(judged(snapshot), DOWN, worse_than='info')] == ['error']


def test_a_disabled_scheduler_is_not_missed():
    snapshot = old()
    for machine in planes(snapshot):
        remove(machine, 'kube-scheduler')
        machine.value('SchedulerConfigs')[0]['spec']['enabled'] = False
    assert verdict_of(judged(snapshot), DOWN) == 'ok'


def test_before_bootstrap_there_is_nothing_to_judge():
    snapshot = old()
    for machine in planes(snapshot):
        preparing(snapshot, machine)
        for component in COMPONENTS:
            remove(machine, component)
        machine.logs['machined'].value = ('2026/11/23 10:17:00.000000 [talos] etcd is waiting to join the cluster, if this node is the first node in the '
                                          'cluster, please run `talosctl bootstrap`\n')
    report = judged(snapshot)
    assert {verdict_of(report, check) for check in (DOWN, RESTARTS, SKEW)} == {'not_applicable'}


# -- restarts and versions --------------------------------------------------------------------------------------

@pytest.mark.parametrize('restarts, ended, verdict', [(5, 120, 'warning'), (4, 120, 'ok'), (40, 1200, 'ok')])
def test_repeated_restarts(restarts, ended, verdict):
    snapshot = old()
    set_container(snapshot, node(snapshot, 'cp1'), 'kube-apiserver', {'running': {}}, ready=True, restarts=restarts, ended=ended, reason='OOMKilled', code=137)
    report = judged(snapshot)
    assert verdict_of(report, RESTARTS) == verdict and verdict_of(report, DOWN) == 'ok'
    if verdict == 'warning':
        assert 'OOMKilled' in one(report, RESTARTS)['title'] and 'memory' in one(report, RESTARTS)['next_step']


def test_restarts_that_a_sick_etcd_made_are_history():
    """Recorded in worker-down: kube-scheduler of cp1 ended five times, because the quorum had been lost a few minutes before."""
    snapshot = recording('worker-down')
    assert status_of(node(snapshot, 'cp1'), 'kube-scheduler')['containerStatuses'][0]['restartCount'] == 5
    assert one(judged(snapshot), RESTARTS)['verdict'] == 'info'


@pytest.mark.parametrize('component, tag, verdict', [('kube-scheduler', 'v1.37.0', 'warning'), ('kube-scheduler', 'v1.35.9', 'ok'),
                                                     ('kube-controller-manager', 'v1.34.1', 'warning'), ('kube-scheduler', 'custom', 'ok')])
def test_versions_of_one_node_go_together(component, tag, verdict):
    snapshot = old()
    pod = next(item for item in node(snapshot, 'cp2').value('StaticPods') if item['id'] == component)
    pod['spec']['containers'][0]['image'] = f'registry.k8s.io/{component}:{tag}'
    report = judged(snapshot)
    assert verdict_of(report, SKEW) == verdict
    assert [f['nodes'] for f in findings(report, SKEW)] == ([['cp2']] if verdict == 'warning' else [])


def test_rows_of_the_recording_are_what_the_cri_lists():
    rows = container_rows(node(old(), 'cp1'), 'kube-scheduler')
    assert sorted(row['status'] for row in rows) == ['CONTAINER_EXITED', 'CONTAINER_RUNNING']
