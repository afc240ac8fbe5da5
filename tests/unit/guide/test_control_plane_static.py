# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Static pods: defined by Talos, taken by the kubelet, and the same on every control plane node."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import control_plane_static
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests import recorded
from tests.unit.guide.control_plane_states import crash, remove
from tests.unit.guide.judging import (
    READ, ago, faults, findings, lose, node, old, one, planes, preparing, recording, report, set_service, unreachable, verdict_of,
)

CHECKS = control_plane_static.CHECKS
MISSING, NOT_RUN, DIFFER = 'controlplane.static_pod_missing', 'controlplane.static_pod_not_run', 'controlplane.components_differ'
COMPONENTS = ('kube-apiserver', 'kube-controller-manager', 'kube-scheduler')


def judged(snapshot, thresholds=None):
    return report(snapshot, thresholds, CHECKS)


def undefine(machine, *components):
    machine.data['StaticPods'] = Datum(READ, [item for item in machine.value('StaticPods') if item['id'] not in components], machine.datum('StaticPods').at)


def container_of(machine, component):
    return next(item for item in machine.value('StaticPods') if item['id'] == component)['spec']['containers'][0]


@pytest.mark.parametrize('later', [0, 86400])
@pytest.mark.parametrize('name', recorded.SETS)
def test_recorded_clusters_are_quiet(name, later):
    assert findings(judged(recording(name, later)), worse_than='info') == []


# -- CP-1 -------------------------------------------------------------------------------------------------------

def test_a_pod_that_talos_does_not_define_although_etcd_is_healthy():
    snapshot = old()
    undefine(node(snapshot, 'cp2'), *COMPONENTS)
    finding = one(judged(snapshot), MISSING)
    assert (finding['verdict'], finding['nodes'], finding['section']) == ('error', ['cp2'], 'controlplane.static_pods')
    assert 'kube-apiserver, kube-controller-manager and kube-scheduler' in finding['title']


@pytest.mark.parametrize('kind, text', [('SecretStatuses', 'secrets'), ('ConfigStatuses', 'configuration files')])
def test_a_prerequisite_that_is_not_ready_is_named(kind, text):
    snapshot = old()
    machine = node(snapshot, 'cp2')
    undefine(machine, *COMPONENTS)
    machine.data[kind] = Datum(READ, [])
    finding = one(judged(snapshot), MISSING)
    assert f'{text} are not ready' in finding['means'] and 'does not exist' in ' '.join(e['text'] for e in finding['evidence'])


def test_failures_of_the_controllers_that_render_them_are_shown():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    undefine(machine, *COMPONENTS)
    machine.logs['controller-runtime'] = Datum(READ, (
        f'{ago(snapshot, 4000)} \x1b[31mERROR\x1b[0m controller failed {{"component": "controller-runtime", '
        '"controller": "k8s.RenderSecretsStaticPodController",'
        ' "error": "old"}\n'
        f'{ago(snapshot, 20)} \x1b[31mERROR\x1b[0m controller failed {{"component": "controller-runtime", "controller": "k8s.RenderSecretsStaticPodController",'
        ' "error": "error writing \\"apiserver.crt\\": no space left on device"}\n'))
    texts = [e['text'] for e in one(judged(snapshot), MISSING)['evidence']]
    assert any('no space left on device' in text for text in texts) and not any('"old"' in text for text in texts)


@pytest.mark.parametrize('component, kind', [('kube-scheduler', 'SchedulerConfigs'), ('kube-controller-manager', 'ControllerManagerConfigs')])
def test_a_component_that_is_switched_off_is_not_missed(component, kind):
    snapshot = old()
    machine = node(snapshot, 'cp1')
    undefine(machine, component)
    assert one(judged(snapshot), MISSING)['verdict'] == 'error'
    machine.value(kind)[0]['spec']['enabled'] = False
    assert faults(judged(snapshot)) == set()
    lose(machine, kind, 'refused')
    assert one(judged(snapshot), MISSING)['verdict'] == 'unknown'


@pytest.mark.parametrize('health', ['unhealthy', 'stopped'])
def test_without_a_healthy_etcd_of_its_own_a_node_has_none(health):
    """Recorded: etcd crash-loops on cp2 and cp3, which have no static pods; the fault is that of etcd."""
    snapshot = old()
    machine = node(snapshot, 'cp2')
    undefine(machine, *COMPONENTS)
    if health == 'stopped':
        set_service(snapshot, machine, 'Waiting', [(60, 'Waiting', 'Error running Containerd(etcd), going to restart forever: exit code 2')])
    else:
        next(s for s in machine.value('ServiceList')['services'] if s['id'] == 'etcd')['health'].update(healthy=False, unknown=False)
    assert verdict_of(judged(snapshot), MISSING) == 'ok' and findings(judged(snapshot), MISSING) == []


def test_whether_etcd_is_healthy_must_be_seen():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    undefine(machine, *COMPONENTS)
    lose(machine, 'ServiceList')
    assert one(judged(snapshot), MISSING)['verdict'] == 'unknown'


@pytest.mark.parametrize('healthy, verdict', [(100, 'info'), (130, 'error')])
def test_they_come_a_while_after_etcd(healthy, verdict):
    snapshot = old()
    machine = node(snapshot, 'cp2')
    undefine(machine, 'kube-apiserver')
    next(s for s in machine.value('ServiceList')['services'] if s['id'] == 'etcd')['health']['last_change'] = ago(snapshot, healthy)
    assert one(judged(snapshot), MISSING)['verdict'] == verdict


def test_a_young_node_is_given_time():
    snapshot = recording()
    undefine(node(snapshot, 'cp2'), *COMPONENTS)
    assert one(judged(snapshot), MISSING)['verdict'] == 'info'


def test_a_list_that_was_not_read_is_unknown():
    snapshot = old()
    lose(node(snapshot, 'cp2'), 'StaticPods', 'refused')
    assert {f['verdict'] for f in findings(judged(snapshot))} == {'unknown'}
    assert {f['check'] for f in findings(judged(snapshot))} == {MISSING, NOT_RUN, DIFFER}


def test_before_bootstrap_there_are_none():
    snapshot = old()
    for machine in planes(snapshot):
        preparing(snapshot, machine)
        undefine(machine, *COMPONENTS)
        machine.logs['machined'].value = '2026/11/23 10:17:00.0 [talos] etcd is waiting to join the cluster, if this node is the first node in the cluster\n'
    assert {verdict_of(judged(snapshot), check) for check in (MISSING, NOT_RUN)} == {'not_applicable'}


# -- CP-2 -------------------------------------------------------------------------------------------------------

def test_a_pod_that_the_kubelet_has_not_taken():
    snapshot = old()
    remove(node(snapshot, 'cp3'), 'kube-scheduler')
    finding = one(judged(snapshot), NOT_RUN)
    assert (finding['verdict'], finding['nodes']) == ('error', ['cp3']) and 'service kubelet' in finding['next_step']


def test_a_pod_that_was_defined_a_moment_ago_is_given_time():
    snapshot = old()
    machine = node(snapshot, 'cp3')
    remove(machine, 'kube-scheduler')
    for item in machine.value('StaticPods'):
        item['updated'] = ago(snapshot, 60)
    assert one(judged(snapshot), NOT_RUN)['verdict'] == 'info'


def test_no_status_while_the_containers_were_not_read_is_unknown():
    """A status is missing as well while the kubelet cannot ask an API server (check catalogue CP-3)."""
    snapshot = old()
    machine = node(snapshot, 'cp3')
    remove(machine, 'kube-scheduler')
    lose(machine, 'Containers')
    assert one(judged(snapshot), NOT_RUN)['verdict'] == 'unknown'


def test_a_pod_that_crashes_was_taken():
    snapshot = old()
    crash(snapshot, node(snapshot, 'cp3'), 'kube-scheduler')
    assert findings(judged(snapshot), NOT_RUN) == []


# -- CP-8 -------------------------------------------------------------------------------------------------------

def test_another_argument_on_one_node():
    snapshot = old()
    container_of(node(snapshot, 'cp1'), 'kube-apiserver')['command'].append('--max-requests-inflight=800')
    finding = one(judged(snapshot), DIFFER)
    assert (finding['verdict'], finding['nodes'], finding['subject']) == ('warning', ['cp1'], 'kube-apiserver')
    assert '--max-requests-inflight=800' in finding['title']


def test_another_image_on_one_node():
    snapshot = old()
    container_of(node(snapshot, 'cp3'), 'kube-scheduler')['image'] = 'registry.k8s.io/kube-scheduler:v1.36.4'
    finding = one(judged(snapshot), DIFFER)
    assert finding['verdict'] == 'warning' and finding['nodes'] == ['cp3']
    assert 'kube-scheduler:v1.36.3 on cp1 and cp2; kube-scheduler:v1.36.4 on cp3' in finding['title']


@pytest.mark.parametrize('argument', ['--advertise-address=10.5.0.2', '--etcd-servers=https://10.5.0.2:2379', '--bind-address=10.5.0.2'])
def test_what_is_a_nodes_own_may_differ(argument):
    snapshot = old()
    container_of(node(snapshot, 'cp1'), 'kube-apiserver')['command'].append(argument)
    assert faults(judged(snapshot)) == set()


@pytest.mark.parametrize('passing', ['rollout', 'stage', 'talos'])
def test_a_difference_that_passes(passing):
    snapshot = old()
    machine = node(snapshot, 'cp1')
    container_of(machine, 'kube-apiserver')['command'].append('--goaway-chance=0.001')
    if passing == 'rollout':
        next(i for i in machine.value('StaticPods') if i['id'] == 'kube-apiserver')['updated'] = ago(snapshot, 300)
    elif passing == 'stage':
        node(snapshot, 'cp2').value('MachineStatuses')[0]['spec']['stage'] = 'upgrading'
    else:
        machine.value('Version')['version']['tag'] = 'v1.14.0'
    assert one(judged(snapshot), DIFFER)['verdict'] == 'info'


def test_arguments_with_which_a_component_does_not_run_are_told_there():
    """Also where more nodes have them than have not."""
    snapshot = old()
    for name in ('cp1', 'cp2'):
        container_of(node(snapshot, name), 'kube-apiserver')['command'].append('--feature-gates=Gone=true')
        crash(snapshot, node(snapshot, name), 'kube-apiserver')
    finding = one(judged(snapshot), DIFFER)
    assert finding['verdict'] == 'info' and 'cp1 and cp2' in finding['means']
    container_of(node(snapshot, 'cp2'), 'kube-apiserver')['command'].pop()
    assert one(judged(snapshot), DIFFER)['verdict'] == 'info'


def test_whether_another_version_of_talos_is_the_reason_is_unknown_where_a_version_is():
    snapshot = old()
    container_of(node(snapshot, 'cp1'), 'kube-apiserver')['command'].append('--goaway-chance=0.001')
    lose(node(snapshot, 'cp2'), 'Version')
    assert one(judged(snapshot), DIFFER)['verdict'] == 'unknown'


def test_another_version_of_talos_is_no_reason_for_another_image():
    snapshot = old()
    machine = node(snapshot, 'cp1')
    container_of(machine, 'kube-apiserver')['image'] = 'registry.k8s.io/kube-apiserver:v1.35.0'
    machine.value('Version')['version']['tag'] = 'v1.14.0'
    assert one(judged(snapshot), DIFFER)['verdict'] == 'warning'


def test_a_node_on_which_the_component_does_not_run_is_told_there():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    container_of(machine, 'kube-apiserver')['command'].append('--audit-log-max-age=30')
    crash(snapshot, machine, 'kube-apiserver')
    assert one(judged(snapshot), DIFFER)['verdict'] == 'info'


def test_one_node_has_nothing_to_differ_from_and_one_list_of_three_is_not_enough():
    snapshot = old()
    for name in ('cp2', 'cp3'):
        lose(node(snapshot, name), 'StaticPods')
    assert verdict_of(judged(snapshot), DIFFER) == 'unknown'
    unreachable(node(snapshot, 'cp2'))
    assert verdict_of(judged(snapshot), DIFFER) == 'unknown'
    unreachable(node(snapshot, 'cp3'))
    assert verdict_of(judged(snapshot), DIFFER) == 'not_applicable'
    snapshot.machines = [m for m in snapshot.machines if m.name in ('cp1', 'w1')]
    assert verdict_of(judged(snapshot), DIFFER) == 'not_applicable'
