# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_kubernetes_node against the real API: a Node without a machine is deleted by its uid, and no other."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import Conflict, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.kube import config
from ansible_collections.talosops.talos.plugins.module_utils.kube.api import KubernetesApi
from ansible_collections.talosops.talos.plugins.module_utils.tasks import kubernetes_node
from tests.contract.kubernetes.policies import denies
from tests.contract.kubernetes.waiting import until
from tests.simulator.control_plane import READERS
from tests.unit.remedies import test_kubernetes_node as simulated
from tests.unit.remedies.test_kubernetes_node import run, state

NODES = '/api/v1/nodes'


@pytest.fixture(autouse=True)
def with_the_real_api(real, plane, monkeypatch):
    monkeypatch.setattr(simulated, 'bed', real)
    monkeypatch.setattr(simulated, 'uid', lambda _one, name='w-9': uid(plane, name))
    monkeypatch.setattr(simulated, 'names', lambda _one: names(plane))


class TestReal(simulated.OfAnyApi):
    """With the real one."""


def uid(plane, name):
    """None without such a Node."""
    status, found = plane.admin.call('GET', f'{NODES}/{name}')
    return found['metadata']['uid'] if status == 200 else None


def names(plane):
    return sorted(item['metadata']['name'] for item in plane.admin.get(NODES)['items'])


def test_one_that_was_registered_again_meanwhile_is_refused_by_the_api(real, plane, tmp_path, monkeypatch):
    """Between the last look and the deletion: the uid is its precondition, and the API itself keeps the new Node."""
    with real(state()) as one:
        meant, whole = uid(plane, 'w-9'), plane.admin.get(f'{NODES}/w-9')
        send = KubernetesApi.send

        def overtaken(self, *given):
            plane.admin.ask('DELETE', f'{NODES}/w-9', {})
            plane.admin.ask('POST', NODES, {'metadata': {'name': 'w-9', 'labels': whole['metadata']['labels']}})
            return send(self, *given)

        monkeypatch.setattr(KubernetesApi, 'send', overtaken)
        done = run(one, tmp_path)
        new = uid(plane, 'w-9')
        assert done['failed'] and new != meant and 'the UID in the precondition' in done['msg'] and meant in done['msg'] and new in done['msg']
        monkeypatch.setattr(KubernetesApi, 'send', send)
        with pytest.raises(TalosError, match='it is another one than the one that was meant'):
            run(one, tmp_path, uid=meant)


def test_another_uid_is_a_conflict(real, plane):
    with real(state()) as one:
        body = {'preconditions': {'uid': '00000000-0000-0000-0000-000000000000'}}
        kube = KubernetesApi(config.load(content=one.model.kubeconfig()))
        with pytest.raises(Conflict, match='the UID in the precondition .* does not match the UID in record'):
            kube.send('DELETE', f'{NODES}/w-9', body, 30)
        kube.close()
        assert 'w-9' in names(plane)


def test_a_machine_that_is_alive_registers_again(real, plane, tmp_path, monkeypatch):
    """Its kubelet starts while it is looked whether the Node stays away."""
    with real(state()) as one:
        kubelet = one.cluster.kubelets.of['w-2']
        listed = plane.admin.get(f'{NODES}/w-2')
        plane.admin.ask('DELETE', f'{NODES}/w-2', {})
        until(lambda: 'w-2' not in one.model.kubernetes_nodes)
        assert 'w-2' not in names(plane), 'a kubelet that runs does not register its Node anew'
        one.cluster.kill('w-2')
        one.cluster.start('w-2')
        until(lambda: 'w-2' in names(plane) and 'w-2' in one.model.kubernetes_nodes)
        assert uid(plane, 'w-2') != listed['metadata']['uid'] and kubelet.speaks

        monkeypatch.setattr(kubernetes_node, '_POLL', 0.05)
        send = KubernetesApi.send

        def alive(self, *given):
            told = send(self, *given)
            plane.admin.ask('POST', NODES, {'metadata': {'name': 'w-9'}})
            return told

        monkeypatch.setattr(KubernetesApi, 'send', alive)
        done = run(one, tmp_path)
        assert done['failed'] and done['msg'].startswith('Node w-9 was deleted, and has registered again: its machine is alive.')


def test_a_deletion_that_a_policy_denies(real, plane, tmp_path):
    with real(state()) as one, denies(plane, '', 'nodes', 'DELETE', 'Nodes are deleted by their owner'):
        before = uid(plane, 'w-9')
        done = run(one, tmp_path)
        assert done['failed'] and 'denied request: Nodes are deleted by their owner' in done['msg'] and done['backup_file']
        assert uid(plane, 'w-9') == before


def test_who_may_not_delete_nodes(real, plane, tmp_path):
    with real(state()) as one:
        path = tmp_path / 'reader'
        path.write_text(one.cluster.kubeconfig_of('somebody', [READERS]))
        done = run(one, tmp_path, kubeconfig=str(path))
        assert done['failed'] and 'nodes "w-9" is forbidden: User "somebody" cannot delete resource "nodes" in API group "" at the cluster scope' in done['msg']
        path.write_text(one.cluster.kubeconfig_of('another', []))
        with pytest.raises(TalosError, match='was not read: .*User "another" cannot list resource "nodes"'):
            run(one, tmp_path, kubeconfig=str(path))
        assert 'w-9' in names(plane)


def test_volumes_need_the_sentence(real, plane, tmp_path):
    local = {'metadata': {'name': 'pv-local'}, 'spec': {
        'capacity': {'storage': '1Gi'}, 'accessModes': ['ReadWriteOnce'], 'local': {'path': '/var/mnt/data'}, 'storageClassName': 'local',
        'nodeAffinity': {'required': {'nodeSelectorTerms': [{'matchExpressions': [{'key': 'kubernetes.io/hostname', 'operator': 'In', 'values': ['w-9']}]}]}}}}
    attached = {'metadata': {'name': 'csi-1'}, 'spec': {'nodeName': 'w-9', 'attacher': 'csi.example.org', 'source': {'persistentVolumeName': 'pv-csi'}}}
    with real(state()) as one:
        plane.admin.ask('POST', '/api/v1/persistentvolumes', local)
        plane.admin.ask('POST', '/apis/storage.k8s.io/v1/volumeattachments', attached)
        with pytest.raises(TalosError, match='volumes are attached to it or local to it: pv-csi, pv-local.$'):
            run(one, tmp_path)
        assert run(one, tmp_path, confirm=['delete node w-9 of prod with 2 volumes'])['volumes'] == ['pv-csi', 'pv-local'] and 'w-9' not in names(plane)
