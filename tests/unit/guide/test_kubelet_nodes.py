# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that are not Ready, and those whose other conditions are bad."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import kubelet, kubelet_nodes, talos_api
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import judging, kubelet_states
from tests.unit.guide.judging import READ, ago, findings, lose, node, one, recording, stage, unreachable, verdict_of
from tests.unit.guide.kubelet_changes import (
    add_node, aged, assertion, kube, log, lose_kube, node_object, pod_waits, pods_of, raise_alarm, report, set_condition, set_ready,
)
from tests.unit.guide.test_kubelet_service import set_kubelet

CHECK = 'kubelet.node_not_ready'
LEASE = '{"caller":"lease/controller.go:201","msg":"Failed to update lease","err":"Put \\"https://127.0.0.1:7445/x\\": dial tcp: i/o timeout"}'
REFUSED = '{"caller":"cache/reflector.go:227","msg":"Failed to watch","err":"failed to list *v1.RuntimeClass: Unauthorized"}'


def in_section(judged, key='kubelet.node_not_ready', worse_than='info'):
    return [f for f in findings(judged, worse_than=worse_than) if f['section'] == key and f['verdict'] != 'unknown']


# -- recordings -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', ['healthy', 'healthy-reader'])
def test_healthy_nodes(name):
    judged = report(aged(name))
    assert judged['sections']['kubelet.node_not_ready']['verdict'] == 'ok'


@pytest.mark.parametrize('name, down', [('one-cp-down', 'cp3'), ('worker-down', 'w1')])
def test_the_node_of_a_machine_that_was_switched_off(name, down):
    judged = report(recording(name))
    assert one(judged, CHECK)['verdict'] == 'info', 'the cluster is younger than ten minutes, the machine was off for 90 seconds'
    judged = report(aged(name), checks=(*talos_api.CHECKS, *kubelet.CHECKS))
    finding = one(judged, CHECK)
    assert (finding['verdict'], finding['subject'], finding['nodes']) == ('error', down, [down])
    assert 'its machine does not answer' in finding['title']
    assert finding['because_of'] == [f'talos_api.machine_unreachable/{finding["node_keys"][0]}']
    assert finding['evidence'][0]['text'].startswith('Ready is Unknown, NodeStatusUnknown')


def test_the_node_of_a_machine_in_maintenance_mode():
    snapshot = aged()
    stage(snapshot, node(snapshot, 'w1'), 'maintenance', 1500)
    set_ready(snapshot, 'w1', 'Unknown', 1600)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'error' and 'maintenance mode and has no configuration' in finding['title'] and 'apply-config' in finding['next_step']


def test_a_full_database_freezes_what_the_nodes_say():
    judged = report(aged('nospace-alarm'))
    finding = one(judged, CHECK)
    assert finding['verdict'] == 'info' and 'NOSPACE' in finding['title'] and len(finding['nodes']) == 4
    assert judged['sections']['kubelet.node_not_ready']['verdict'] == 'info'
    assert verdict_of(judged, 'kubelet.node_pressure') == 'not_applicable'


# -- for how long -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize('since, verdict', [(119, 'info'), (121, 'error')])
def test_a_node_may_be_not_ready_for_two_minutes(since, verdict):
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', since)
    assert one(report(snapshot), CHECK)['verdict'] == verdict
    assert verdict_of(report(snapshot, {'kubelet_node_not_ready_seconds': since - 1}), CHECK) == 'error'


def test_a_machine_that_has_just_booted_is_no_fault():
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 300)
    node(snapshot, 'w1').value('MachineStatuses')[0]['created'] = ago(snapshot, 400)
    assert one(report(snapshot), CHECK)['verdict'] == 'info'


@pytest.mark.parametrize('name', ['upgrading', 'rebooting'])
@pytest.mark.parametrize('seconds, verdict', [(400, 'info'), (2400, 'error')])
def test_a_machine_that_is_being_upgraded_is_no_fault_until_it_hangs(name, seconds, verdict):
    snapshot = aged()
    set_ready(snapshot, 'w1', 'Unknown', 300)
    stage(snapshot, node(snapshot, 'w1'), name, seconds)
    assert one(report(snapshot), CHECK)['verdict'] == verdict


def test_a_cluster_that_was_bootstrapped_a_moment_ago():
    snapshot = recording()
    for name in ('cp1', 'cp2', 'cp3', 'w1'):
        set_ready(snapshot, name, 'False', 200)
        pod_waits(pods_of(snapshot, name)[0], 'PodInitializing')
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'info' and finding['subject'] == 'cluster' and 'is being started (PodInitializing)' in finding['title']


def test_old_nodes_are_not_excused_by_control_planes_that_rebooted():
    """The age of the cluster is taken from events that a reboot forgets; its Nodes are older."""
    snapshot = recording()
    set_ready(snapshot, 'w1', 'False', 400)
    for machine in snapshot.machines:
        machine.value('MachineStatuses')[0]['created'] = ago(snapshot, 7000)
    assert one(report(snapshot), CHECK)['verdict'] == 'info'
    node_object(snapshot, 'w1')['created'] = ago(snapshot, 7000)
    assert one(report(snapshot), CHECK)['verdict'] == 'error'


def test_a_condition_without_a_time_is_unknown():
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 300)
    next(c for c in node_object(snapshot, 'w1')['conditions'] if c['type'] == 'Ready')['lastTransitionTime'] = None
    assert one(report(snapshot), CHECK)['verdict'] == 'unknown'


def test_a_node_that_never_told_anything():
    snapshot = aged()
    node_object(snapshot, 'w1')['conditions'] = []
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'error' and 'for 24 h' in finding['title']


def test_a_cordoned_node_is_not_for_that_not_ready():
    snapshot = aged()
    node_object(snapshot, 'w1')['unschedulable'] = True
    assert in_section(report(snapshot)) == []


# -- why --------------------------------------------------------------------------------------------------------

def test_a_kubelet_that_does_not_run_explains_it():
    snapshot = aged()
    set_ready(snapshot, 'w1', 'Unknown', 3000)
    set_kubelet(snapshot, node(snapshot, 'w1'), 'Failed', [(3100, 'Failed', 'Failed to run pre stage: 1 error(s) occurred:')])
    finding = one(report(snapshot), CHECK)
    assert 'its kubelet does not run (state Failed)' in finding['title']
    assert finding['because_of'] == [f'kubelet.not_running/{node(snapshot, "w1").key}']


def test_a_container_runtime_that_is_down():
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 700, '[container runtime is down, PLEG is not healthy: pleg was last seen active 4m ago]')
    services = node(snapshot, 'w1').value('ServiceList')['services']
    next(s for s in services if s['id'] == 'cri').update(state='Waiting',
                                                         health={'unknown': False, 'healthy': False, 'last_message': '', 'last_change': None})
    finding = one(report(snapshot), CHECK)
    assert 'container runtime is down (the service cri is Waiting)' in finding['title'] and finding['root'] and 'logs cri' in finding['next_step']
    finding = one(report(snapshot, checks=(*kubelet.CHECKS, assertion(f'disk_full:{node(snapshot, "w1").key}'))), CHECK)
    assert finding['because_of'] == ['x.cause/it']


@pytest.mark.parametrize('reason', ['ImagePullBackOff', 'ErrImagePull'])
def test_a_cni_that_cannot_pull_its_image(reason):
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 7200)
    pod = pods_of(snapshot, 'w1')[0]
    pod_waits(pod, reason, container='install-config')
    pod_waits(pod, 'PodInitializing', container='kube-flannel')
    finding = one(report(snapshot), CHECK)
    assert f'{pod["name"]} cannot pull its image ({reason})' in finding['title'] and finding['root']
    assert f'describe pod {pod["name"]}' in finding['next_step'] and 'flannel:0.28.8' in finding['evidence'][1]['text']


def test_a_cni_that_crashes():
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 7200)
    pod_waits(pods_of(snapshot, 'w1')[0], 'CrashLoopBackOff', restarts=14, last='OOMKilled', phase='Running')
    finding = one(report(snapshot), CHECK)
    assert 'does not run (CrashLoopBackOff)' in finding['title'] and '14 restarts, last end: OOMKilled (1)' in finding['evidence'][1]['text']


@pytest.mark.parametrize('name, namespace', [('cilium-x7w2k', 'kube-system'), ('calico-node-abcde', 'calico-system'),
                                             ('kube-flannel-ds-x', 'kube-flannel')])
def test_other_cnis_are_found_where_they_live(name, namespace):
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 7200)
    pods_of(snapshot, 'w1')[0].update(name=name, namespace=namespace)
    pod_waits(pods_of(snapshot, 'w1', name)[0], 'ErrImagePull')
    assert f'{name} cannot pull' in one(report(snapshot), CHECK)['title']


@pytest.mark.parametrize('name', ['cilium-operator-5d8', 'coredns-66b7c65bb-abcde', 'kube-proxy-x'])
def test_what_is_no_agent_of_a_cni(name):
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 7200)
    pods_of(snapshot, 'w1')[0].update(name=name)
    pod_waits(pods_of(snapshot, 'w1', name)[0], 'ErrImagePull')
    assert 'kube-flannel has no pod on it' in one(report(snapshot), CHECK)['title']


def test_a_cni_that_runs_and_has_done_nothing():
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 7200)
    assert 'runs' in one(report(snapshot), CHECK)['title'] and 'logs kube-flannel' in one(report(snapshot), CHECK)['next_step']


def without_cni(snapshot, name='none'):
    snapshot.kubernetes['data']['daemonsets'] = Datum(READ, [d for d in kube(snapshot, 'daemonsets') if d['name'] != 'kube-flannel'])
    snapshot.kubernetes['data']['pods'] = Datum(READ, [p for p in kube(snapshot, 'pods') if not p['name'].startswith('kube-flannel')])
    for machine in judging.planes(snapshot):
        machine.value('BootstrapManifestsConfigs')[0]['spec'].update(cniName=name, flannelEnabled=name == 'flannel')
    for each in ('cp1', 'cp2', 'cp3', 'w1'):
        set_ready(snapshot, each, 'False', 3600)


@pytest.mark.parametrize('name', ['none', 'custom'])
def test_no_cni_at_all_is_one_finding_of_the_cluster(name):
    """What cluster.network.cni.name none looks like was recorded by talosctl health (k8s-no-cni): all Nodes, and nothing else."""
    assert 'nodeReady: false' in kubelet_states.text('k8s-no-cni', 'nodestatus.out')
    snapshot = aged()
    without_cni(snapshot, name)
    finding = one(report(snapshot), CHECK)
    assert (finding['verdict'], finding['subject'], finding['root']) == ('error', 'cluster', True) and len(finding['nodes']) == 4
    assert f'no CNI is installed (cluster.network.cni.name is {name})' in finding['title'] and 'Install the CNI' in finding['next_step']


def test_no_cni_on_one_node_is_not_one_of_the_cluster():
    snapshot = aged()
    without_cni(snapshot)
    set_ready(snapshot, 'cp1', 'True', 3600)
    found = findings(report(snapshot), CHECK)
    assert sorted(f['subject'] for f in found) == ['cp2', 'cp3', 'w1']


def test_flannel_that_was_never_applied():
    snapshot = aged()
    without_cni(snapshot, 'flannel')
    assert 'no pod of a CNI is on it' in one(report(snapshot), CHECK)['title']


def test_what_the_cni_says_itself():
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 3600)
    log(snapshot, 'w1', 'kubelet', (20, '{"msg":"Error syncing pod","err":"plugin type=\\"flannel\\" failed (add): failed to set bridge addr: '
                                        '\\"cni0\\" already has an IP address different from 10.244.0.1/24"}'))
    finding = one(report(snapshot), CHECK)
    assert 'the bridge cni0 has an address of another pod network' in finding['title'] and 'Drain and reboot' in finding['next_step']


@pytest.mark.parametrize('line, title', [(LEASE, 'does not report to the API server'), (REFUSED, 'refuses its credentials')])
def test_a_kubelet_that_runs_and_does_not_come_through(line, title):
    snapshot = aged()
    set_ready(snapshot, 'w1', 'Unknown', 3600)
    log(snapshot, 'w1', 'kubelet', (30, line), (20, line))
    finding = one(report(snapshot), CHECK)
    assert title in finding['title'] and len(finding['evidence']) == 2 and finding['root']
    finding = one(report(snapshot, checks=(*kubelet.CHECKS, assertion('kubernetes.api_down'))), CHECK)
    assert finding['because_of'] == ['x.cause/it']


def test_any_other_word_of_the_kubelet_is_quoted():
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 3600, 'node is shutting down')
    assert '"node is shutting down"' in one(report(snapshot), CHECK)['title']


def test_a_node_without_a_machine_is_stale_and_not_called_not_ready():
    snapshot = aged()
    add_node(snapshot, 'w9', '10.5.0.29')
    assert in_section(report(snapshot)) == []


def test_its_facts_explain_what_happens_to_the_pods():
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 3600)
    outcomes = kubelet_nodes.node_not_ready(View(snapshot, settings.build(kubelet.CHECKS)))
    assert {fact for outcome in outcomes for fact in outcome.asserts} == {'node.not_ready:w1', 'cni.missing:w1'}


# -- frozen -----------------------------------------------------------------------------------------------------

def test_under_an_alarm_only_what_the_machine_says_itself_is_a_fault():
    snapshot = aged()
    raise_alarm(snapshot)
    set_ready(snapshot, 'w1', 'Unknown', 3600)
    set_ready(snapshot, 'cp2', 'False', 3600)
    unreachable(node(snapshot, 'w1'))
    found = {f['subject']: f for f in findings(report(snapshot), CHECK)}
    assert found['w1']['verdict'] == 'error' and set(found) == {'w1', 'cluster'}
    assert found['cluster']['verdict'] == 'info' and 'cp2 was not Ready then' in found['cluster']['title']


# -- other conditions -------------------------------------------------------------------------------------------

@pytest.mark.parametrize('kind, fact', [('MemoryPressure', 'memory'), ('DiskPressure', 'disk_full'), ('PIDPressure', None),
                                        ('NetworkUnavailable', None)])
def test_pressure_is_a_warning(kind, fact):
    snapshot = aged()
    set_condition(snapshot, 'w1', kind)
    finding = one(report(snapshot), 'kubelet.node_pressure')
    assert (finding['verdict'], finding['subject'], finding['nodes']) == ('warning', f'w1/{kind}', ['w1']) and finding['root']
    if fact:
        finding = one(report(snapshot, checks=(*kubelet.CHECKS, assertion(f'{fact}:{node(snapshot, "w1").key}'))), 'kubelet.node_pressure')
        assert finding['because_of'] == ['x.cause/it']


@pytest.mark.parametrize('status', ['False', 'Unknown'])
def test_no_pressure(status):
    snapshot = aged()
    set_condition(snapshot, 'w1', 'DiskPressure', status)
    assert in_section(report(snapshot)) == []


def events(snapshot, *told):
    kube(snapshot, 'events').extend({'namespace': None, 'kind': 'Node', 'name': 'w1', 'reason': reason, 'message': '', 'count': count,
                                     'at': ago(snapshot, seconds)} for reason, count, seconds in told)


@pytest.mark.parametrize('told, times', [([('NodeNotReady', 20, 40)], 20), ([('NodeNotReady', 1, 3000), ('NodeNotReady', 2, 40)], 3)])
def test_a_node_that_comes_and_goes(told, times):
    snapshot = aged()
    events(snapshot, *told)
    finding = one(report(snapshot), 'kubelet.node_flapping')
    assert finding['verdict'] == 'warning' and f'{times} times not Ready' in finding['title']


@pytest.mark.parametrize('told', [[('NodeNotReady', 2, 40)], [('NodeReady', 20, 40)], [('NodeNotReady', 20, 4000)]])
def test_a_node_that_was_rebooted_once_or_twice(told):
    """Two within seven minutes were recorded (nospace-alarm), of a machine that was switched off twice."""
    snapshot = aged()
    events(snapshot, *told)
    assert findings(report(snapshot), 'kubelet.node_flapping') == []


def test_coming_and_going_follows_from_not_being_ready():
    snapshot = aged()
    events(snapshot, ('NodeNotReady', 20, 40))
    set_ready(snapshot, 'w1', 'False', 3600)
    assert one(report(snapshot), 'kubelet.node_flapping')['because_of'] == ['kubelet.node_not_ready/w1']


# -- without the Nodes ------------------------------------------------------------------------------------------

def test_a_reader_sees_what_the_machines_know():
    snapshot = aged('healthy-reader')
    node(snapshot, 'w1').value('NodeStatuses')[0]['spec']['nodeReady'] = False
    judged = report(snapshot)
    finding = one(judged, 'kubelet.node_status_not_ready')
    assert finding['verdict'] == 'error' and 'Node w1 is not Ready' in finding['title']
    assert judged['sections']['kubelet.node_not_ready']['verdict'] == 'error'


@pytest.mark.parametrize('change', ['leader', 'api server', 'containers'])
def test_what_the_machines_know_proves_nothing_without_etcd_and_api(change):
    snapshot = aged('healthy-reader')
    for machine in judging.planes(snapshot):
        if change == 'leader':
            machine.value('EtcdStatus')['leader'] = '0' * 16
        elif change == 'containers':
            lose(machine, 'Containers')
        else:
            for container in machine.value('Containers')['containers']:
                if container['name'] == 'kube-apiserver':
                    container['status'] = 'CONTAINER_EXITED'
    judged = report(snapshot)
    assert verdict_of(judged, 'kubelet.node_status_not_ready') == 'unknown'
    assert judged['sections']['kubelet.node_not_ready']['verdict'] == 'unknown'


def test_an_api_that_fails_makes_what_the_machines_know_old():
    snapshot = aged()
    lose_kube(snapshot, 'nodes')
    judged = report(snapshot, checks=(*kubelet.CHECKS, assertion('kubernetes.api_down')))
    assert judged['sections']['kubelet.node_not_ready']['verdict'] == 'unknown'
    assert all(f['because_of'] == ['x.cause/it'] for f in findings(judged) if f['verdict'] == 'unknown')


def test_pods_that_were_not_read():
    snapshot = aged()
    set_ready(snapshot, 'w1', 'False', 3600)
    lose_kube(snapshot, 'pods', 'daemonsets')
    assert 'its pods were not read' in one(report(snapshot), CHECK)['title']
