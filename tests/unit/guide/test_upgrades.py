# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""x.upgrade: the recorded cluster (Talos v1.13.9, Kubernetes v1.36.3, etcd 3.6.12) with other versions, and on its way to them."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import control_plane_static, upgrades
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests import recorded
from tests.unit.guide import judging
from tests.unit.guide.judging import READ, ago, faults, findings, lose, node, one, planes, stage, verdict_of

KUBELET_KINDS = ('KubeletStatuses', 'KubeletSpecs', 'ImageList')


def report(snapshot):
    return judging.report(snapshot, checks=upgrades.CHECKS)


def old(name='healthy'):
    """The recording a day later, by the machines' clocks too."""
    snapshot = judging.old(name)
    for machine in snapshot.answering():
        machine.data['Time'].value['localtime'] = snapshot.finished_at
    return snapshot


def talos(machine, tag):
    machine.data['Version'].value['version']['tag'] = tag


def kubelet(machine, tag):
    machine.data['KubeletSpecs'].value[0]['spec']['image'] = f'ghcr.io/siderolabs/kubelet:{tag}'


def component(machine, name, tag):
    spec = machine.resource('StaticPods', name)
    spec['containers'][0]['image'] = f'registry.k8s.io/{name}:{tag}'


def control_plane(snapshot, tag):
    for machine in planes(snapshot):
        for name in ('kube-apiserver', 'kube-controller-manager', 'kube-scheduler'):
            component(machine, name, tag)


# -- recorded ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', recorded.SETS)
def test_nothing_is_said_of_the_recorded_cluster(name):
    for snapshot in (judging.recording(name), old(name)):
        assert findings(report(snapshot)) == []


# -- versions of Talos ------------------------------------------------------------------------------------------

def test_a_worker_that_was_left_behind_by_one_minor():
    snapshot = old()
    talos(node(snapshot, 'w1'), 'v1.12.4')
    found = one(report(snapshot), 'upgrade.talos_versions_differ')
    assert (found['verdict'], found['nodes'], found['title']) == (
        'warning', ['w1'], 'The machines run different versions of Talos: v1.13.9 on cp1, cp2 and cp3, v1.12.4 on w1')


def test_another_patch_is_another_version():
    snapshot = old()
    talos(node(snapshot, 'cp2'), 'v1.13.8')
    assert one(report(snapshot), 'upgrade.talos_versions_differ')['nodes'] == ['cp2']


@pytest.mark.parametrize('tag', ['v1.15.0', 'v1.11.6', 'v2.0.0'])
def test_more_than_one_minor_apart_is_an_error(tag):
    snapshot = old()
    talos(node(snapshot, 'w1'), tag)
    assert one(report(snapshot), 'upgrade.talos_versions_differ')['verdict'] == 'error'


def test_a_pre_release_counts_as_its_minor():
    snapshot = old()
    talos(node(snapshot, 'w1'), 'v1.14.0-rc.1')
    assert faults(report(snapshot)) == {'upgrade.talos_versions_differ/cluster'}
    for machine in planes(snapshot):
        talos(machine, 'v1.14.0')
    assert one(report(snapshot), 'upgrade.talos_versions_differ')['verdict'] == 'warning'


def test_two_builds_of_one_release_are_information():
    snapshot = old()
    talos(node(snapshot, 'w1'), 'v1.13.9-dirty')
    found = one(report(snapshot), 'upgrade.talos_versions_differ')
    assert (found['verdict'], 'v1.13.9-dirty on w1' in found['title']) == ('info', True)


def test_the_machine_that_is_being_upgraded_right_now_is_information():
    snapshot = old()
    stage(snapshot, node(snapshot, 'cp3'), 'upgrading', 120)
    talos(node(snapshot, 'cp3'), 'v1.14.1')
    judged = report(snapshot)
    assert faults(judged) == set()
    assert one(judged, 'upgrade.talos_versions_differ')['verdict'] == 'info'
    assert one(judged, 'upgrade.stage_stuck')['title'] == 'cp3 is upgrading for 2 min'
    stage(snapshot, node(snapshot, 'cp3'), 'running', 120)
    assert faults(report(snapshot)) == {'upgrade.talos_versions_differ/cluster'}


def test_while_an_upgrade_goes_on_from_node_to_node_the_others_may_lag_by_one_minor():
    snapshot = old()
    talos(node(snapshot, 'cp1'), 'v1.14.1')
    stage(snapshot, node(snapshot, 'cp2'), 'rebooting', 60)
    assert faults(report(snapshot)) == set()
    talos(node(snapshot, 'cp1'), 'v1.15.1')
    assert one(report(snapshot), 'upgrade.talos_versions_differ')['verdict'] == 'error'


def test_an_upgrade_that_hangs_is_the_cause_of_different_versions():
    snapshot = old()
    talos(node(snapshot, 'cp1'), 'v1.14.1')
    stage(snapshot, node(snapshot, 'cp2'), 'upgrading', 1200)
    judged = report(snapshot)
    hangs, differ = one(judged, 'upgrade.stage_stuck'), one(judged, 'upgrade.talos_versions_differ')
    assert (hangs['verdict'], hangs['root'], hangs['nodes'], hangs['title']) == ('error', True, ['cp2'], 'cp2 is upgrading for 20 min')
    assert (differ['verdict'], differ['because_of']) == ('warning', [hangs['id']])


@pytest.mark.parametrize('tag', ['', 'undefined'])
def test_a_tag_that_is_no_version_is_unknown(tag):
    snapshot = old()
    talos(node(snapshot, 'w1'), tag)
    assert one(report(snapshot), 'upgrade.talos_versions_differ')['verdict'] == 'unknown'


def test_a_version_that_was_not_read_is_unknown():
    snapshot = old()
    talos(node(snapshot, 'cp1'), 'v1.12.4')
    lose(node(snapshot, 'w1'), 'Version')
    found = findings(report(snapshot), 'upgrade.talos_versions_differ')
    assert [f['verdict'] for f in found] == ['warning']  # the worst of one subject
    talos(node(snapshot, 'cp1'), 'v1.13.9')
    assert one(report(snapshot), 'upgrade.talos_versions_differ')['verdict'] == 'unknown'


def test_where_no_machine_answers_all_is_unknown():
    snapshot = old()
    for machine in snapshot.machines:
        judging.unreachable(machine)
    assert {item['verdict'] for item in report(snapshot)['checks']} == {'unknown'}


# -- Kubernetes and Talos ---------------------------------------------------------------------------------------

def test_a_kubernetes_that_talos_does_not_support():
    snapshot = old()
    talos(node(snapshot, 'w1'), 'v1.12.4')
    found = one(report(snapshot), 'upgrade.kubernetes_unsupported')
    assert (found['verdict'], found['nodes']) == ('error', ['w1'])
    assert found['title'] == 'Talos does not support the Kubernetes that it runs: Kubernetes 1.36 on Talos 1.12 (w1)'
    assert 'too new' in found['means'] and '1.30 to 1.35' in found['means']


def test_a_control_plane_that_is_too_old_for_talos():
    snapshot = old()
    control_plane(snapshot, 'v1.30.9')
    for machine in snapshot.machines:
        kubelet(machine, 'v1.30.9')
    found = one(report(snapshot), 'upgrade.kubernetes_unsupported')
    assert (found['nodes'], 'too old' in found['means']) == (['cp1', 'cp2', 'cp3', 'w1'], True)


def test_a_talos_that_the_matrix_does_not_know_is_unknown():
    snapshot = old()
    for machine in snapshot.machines:
        talos(machine, 'v1.19.0')
    judged = report(snapshot)
    assert faults(judged) == set()
    assert one(judged, 'upgrade.kubernetes_unsupported')['verdict'] == 'unknown'


@pytest.mark.parametrize('kept', ['KubeletStatuses', 'KubeletSpecs', 'nodes', 'ImageList'])
def test_any_source_tells_the_version_of_the_kubelet(kept):
    snapshot, worker = old(), None
    worker = node(snapshot, 'w1')
    for kind in KUBELET_KINDS:
        if kind != kept:
            lose(worker, kind, 'refused')
    if kept == 'KubeletStatuses':  # Talos 1.14
        worker.data['KubeletStatuses'] = Datum(READ, [{'id': 'kubelet', 'spec': {'image': 'ghcr.io/siderolabs/kubelet:v1.36.3'}}])
    if kept != 'nodes':
        snapshot.kubernetes['data']['nodes'] = Datum('refused', reason='needs os:admin or a kubeconfig')
    assert findings(report(snapshot)) == []
    talos(worker, 'v1.12.4')
    assert one(report(snapshot), 'upgrade.kubernetes_unsupported')['nodes'] == ['w1']


def test_without_any_source_it_is_unknown():
    snapshot = old()
    worker = node(snapshot, 'w1')
    talos(worker, 'v1.12.4')
    for kind in KUBELET_KINDS:
        lose(worker, kind, 'refused')
    snapshot.kubernetes['data']['nodes'] = Datum('refused', reason='needs os:admin or a kubeconfig')
    judged = report(snapshot)
    assert one(judged, 'upgrade.kubernetes_unsupported')['verdict'] == 'unknown'
    assert one(judged, 'upgrade.kubelet_skew')['verdict'] == 'unknown'


def test_two_images_of_the_kubelet_say_nothing():
    snapshot = old('healthy-reader')
    worker = node(snapshot, 'w1')
    worker.value('ImageList').append({'name': 'ghcr.io/siderolabs/kubelet:v1.35.4', 'digest': '', 'size': 1, 'created_at': ''})
    assert one(report(snapshot), 'upgrade.kubernetes_unsupported')['nodes'] == ['w1']


# -- Kubernetes among itself ------------------------------------------------------------------------------------

@pytest.mark.parametrize('tag, is_wrong', [('v1.37.0', True), ('v1.32.9', True), ('v1.36.9', False), ('v1.33.0', False), ('v1.36.3-dirty', False)])
def test_the_kubelet_may_be_three_minors_older_and_never_newer(tag, is_wrong):
    snapshot = old()
    kubelet(node(snapshot, 'w1'), tag)
    found = findings(report(snapshot), 'upgrade.kubelet_skew')
    assert [(f['verdict'], f['nodes']) for f in found] == ([('error', ['w1'])] if is_wrong else [])


def test_a_kubelet_that_is_newer_than_one_of_the_api_servers():
    snapshot = old()
    for name in ('kube-apiserver', 'kube-controller-manager', 'kube-scheduler'):
        component(node(snapshot, 'cp2'), name, 'v1.35.4')
    judged = report(snapshot)
    assert one(judged, 'upgrade.kubelet_skew')['nodes'] == ['cp1', 'cp2', 'cp3', 'w1']
    assert faults(judged) == {'upgrade.kubelet_skew/cluster', 'upgrade.components_skew/cluster'}
    # Not the API servers: one minor apart they are an upgrade of Kubernetes.
    assert one(judged, 'upgrade.components_skew')['title'].endswith(': kube-proxy v1.36.3')


def test_api_servers_two_minors_apart():
    snapshot = old()
    for name in ('kube-apiserver', 'kube-controller-manager', 'kube-scheduler'):
        component(node(snapshot, 'cp2'), name, 'v1.34.4')
    assert one(report(snapshot), 'upgrade.components_skew')['nodes'] == ['cp2']


def test_what_runs_beside_an_api_server_is_judged_with_it():
    snapshot = old()
    component(node(snapshot, 'cp1'), 'kube-scheduler', 'v1.34.0')
    assert findings(report(snapshot)) == []


@pytest.mark.parametrize('tag, is_wrong', [('v1.32.0', True), ('v1.33.0', False), ('v1.37.0', True)])
def test_a_kube_proxy_that_was_left_behind(tag, is_wrong):
    snapshot = old()
    proxy = next(each for each in snapshot.kubernetes['data']['daemonsets'].value if each['name'] == 'kube-proxy')
    proxy['images'] = [f'registry.k8s.io/kube-proxy:{tag}']
    assert bool(findings(report(snapshot), 'upgrade.components_skew')) is is_wrong


def test_without_static_pods_the_containers_tell():
    snapshot = old()
    for machine in planes(snapshot):
        lose(machine, 'StaticPods')
    kubelet(node(snapshot, 'w1'), 'v1.37.0')
    assert one(report(snapshot), 'upgrade.kubelet_skew')['nodes'] == ['w1']
    for machine in planes(snapshot):
        lose(machine, 'Containers')
    assert one(report(snapshot), 'upgrade.kubelet_skew')['nodes'] == ['w1']  # by the version that the API tells
    lose_version(snapshot)
    judged = report(snapshot)
    assert verdict_of(judged, 'upgrade.kubelet_skew') == verdict_of(judged, 'upgrade.components_skew') == 'unknown'


def test_where_etcd_has_no_quorum_there_is_no_api_server_to_compare_with():
    snapshot = old()
    for machine in planes(snapshot):
        lose(machine, 'StaticPods')
        lose(machine, 'Containers')
        machine.value('EtcdStatus')['leader'] = '0' * 16
    lose_version(snapshot)
    judged = report(snapshot)
    assert verdict_of(judged, 'upgrade.kubelet_skew') == verdict_of(judged, 'upgrade.components_skew') == 'not_applicable'


def lose_version(snapshot):
    snapshot.kubernetes['data']['version'] = Datum('unreachable', reason='no answer')


# -- etcd -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('tag, etcd, is_wrong', [('v1.14.3', '3.5.21', True), ('v1.14.3', '3.6.0', False), ('v1.13.9', '3.5.21', False)])
def test_talos_1_14_needs_etcd_3_6(tag, etcd, is_wrong):
    snapshot = old()
    for machine in snapshot.machines:
        talos(machine, tag)
    node(snapshot, 'cp2').value('EtcdStatus')['protocol_version'] = etcd
    found = findings(report(snapshot), 'upgrade.etcd_too_old')
    assert [(f['verdict'], f['nodes']) for f in found] == ([('error', ['cp2'])] if is_wrong else [])


def test_without_a_status_the_image_tells_the_version_of_etcd():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    talos(machine, 'v1.14.3')
    machine.resource('EtcdSpecs', 'etcd')['image'] = 'registry.k8s.io/etcd:v3.5.21'
    lose(machine, 'EtcdStatus')
    assert one(report(snapshot), 'upgrade.etcd_too_old')['verdict'] == 'error'
    lose(machine, 'EtcdSpecs')
    assert one(report(snapshot), 'upgrade.etcd_too_old')['verdict'] == 'unknown'


def test_a_member_that_others_ignore_for_its_version():
    line = '{"level":"warn","ts":"%s","msg":"request sent was ignored by remote peer due to server version incompatibility"}\n'
    snapshot = old()
    machine = node(snapshot, 'cp2')
    before = machine.log('etcd').value
    machine.logs['etcd'] = Datum(READ, before + line % ago(snapshot, 3600))
    assert findings(report(snapshot)) == []
    machine.logs['etcd'] = Datum(READ, before + line % ago(snapshot, 30))
    assert one(report(snapshot), 'upgrade.etcd_incompatible')['verdict'] == 'error'
    lose(machine, 'etcd', log=True)
    judged = report(snapshot)
    assert one(judged, 'upgrade.etcd_incompatible')['verdict'] == 'unknown'
    assert judged['sections']['x.upgrade']['verdict'] == 'ok'  # it only sharpens


# -- on the way -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name, seconds, verdict', [
    ('upgrading', 899, 'info'), ('upgrading', 901, 'error'), ('rebooting', 1800, 'error'), ('installing', 1800, 'error'),
    ('running', 1800, 'ok'), ('booting', 1800, 'ok'), ('resetting', 1800, 'ok'),
])
def test_a_quarter_of_an_hour_is_enough(name, seconds, verdict):
    snapshot = old()
    stage(snapshot, node(snapshot, 'w1'), name, seconds)
    assert verdict_of(report(snapshot), 'upgrade.stage_stuck') == verdict


def test_the_log_tells_when_the_upgrade_began():
    snapshot = old()
    machine = node(snapshot, 'w1')
    stage(snapshot, machine, 'upgrading', 30)
    judging.machined(snapshot, machine, (1500, 'upgrade sequence: 12 phase(s)'), (1499, 'phase drain (3/12): 1 tasks(s)'))
    found = one(report(snapshot), 'upgrade.stage_stuck')
    assert (found['verdict'], found['title']) == ('error', 'w1 is upgrading for 25 min')
    assert 'phase drain' in found['evidence'][-1]['text']
    lose(machine, 'MachineStatuses')
    assert one(report(snapshot), 'upgrade.stage_stuck')['verdict'] == 'unknown'


FAILED = 'upgrade sequence: failed: error running phase 9 in upgrade sequence: task 1/1: failed, task "upgrade" failed: exit code 1'


def test_an_upgrade_that_was_given_up():
    snapshot = old()
    machine = node(snapshot, 'w1')
    judging.machined(snapshot, machine, (700, 'upgrade sequence: 12 phase(s)'), (600, FAILED))
    found = one(report(snapshot), 'upgrade.sequence_failed')
    assert (found['verdict'], found['title']) == (
        'error', 'The upgrade of w1 failed in phase 9: task 1/1: failed, task "upgrade" failed: exit code 1')
    lose(machine, 'machined', log=True)
    judged = report(snapshot)
    assert one(judged, 'upgrade.sequence_failed')['verdict'] == 'unknown'
    assert judged['sections']['x.upgrade']['verdict'] == 'ok'


@pytest.mark.parametrize('lines', [
    ((90000, FAILED),),  # before the machine booted
    ((7200, FAILED),),
    ((600, FAILED), (500, 'upgrade sequence: 12 phase(s)')),  # tried again
    ((600, FAILED), (400, 'machine is running and ready')),
])
def test_a_failure_that_is_over_is_history(lines):
    snapshot = old()
    judging.machined(snapshot, node(snapshot, 'w1'), *lines)
    assert findings(report(snapshot)) == []


def test_an_upgrade_that_left_etcd_by_half():
    snapshot = old()
    text = 'sequence failed: error running phase 4 in upgrade sequence: task 1/1: failed, failed to leave cluster: 1 error(s) occurred: ' \
           'failed to remove member 5218892699632570834: etcdserver: server stopped'
    judging.machined(snapshot, node(snapshot, 'cp2'), (600, text))
    assert one(report(snapshot), 'upgrade.sequence_failed')['title'] == 'The upgrade of cp2 failed when it left etcd: server stopped'


def test_an_unattended_installation_that_failed():
    snapshot = old()
    machine = node(snapshot, 'w1')
    talos(machine, 'v1.14.3')
    machine.data['UnattendedInstallStatuses'] = Datum(READ, [{'id': 'unattended-install', 'spec': {'phase': 'failed', 'error': 'no disk matches'}}])
    found = one(report(snapshot), 'upgrade.unattended_install_failed')
    assert (found['verdict'], found['title']) == ('error', 'The unattended installation of Talos failed on w1: no disk matches')
    for state in ('timed_out', 'unsupported', 'refused'):
        lose(machine, 'UnattendedInstallStatuses', state)
        assert one(report(snapshot), 'upgrade.unattended_install_failed')['verdict'] == 'unknown'
    for value in ([], [{'id': 'unattended-install', 'spec': {'phase': 'installed'}}]):
        machine.data['UnattendedInstallStatuses'] = Datum(READ, value)
        assert findings(report(snapshot), 'upgrade.unattended_install_failed') == []


def test_api_servers_too_far_apart_explain_that_their_images_differ():
    snapshot = old()
    for name in ('kube-apiserver', 'kube-controller-manager', 'kube-scheduler'):
        component(node(snapshot, 'cp2'), name, 'v1.34.4')
    judged = judging.report(snapshot, checks=(*upgrades.CHECKS, *control_plane_static.CHECKS))
    differ = next(f for f in findings(judged, 'controlplane.components_differ') if f['subject'] == 'kube-apiserver')
    assert differ['because_of'] == ['upgrade.components_skew/cluster']
