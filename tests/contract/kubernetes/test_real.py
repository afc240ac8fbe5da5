# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scenario with C(k8s: {real: true}): the real Kubernetes on the real etcd of its machines, and what of it is refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError, TransportError
from ansible_collections.talosops.talos.plugins.module_utils.kube import config
from ansible_collections.talosops.talos.plugins.module_utils.kube.api import KubernetesApi
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, judged
from tests.contract.kubernetes.waiting import until
from tests.simulator import Cluster, ScenarioError, scenario
from tests.simulator.kubernetes_real import version
from tests.simulator.kubernetes_store import RESOURCES

NODES = '/api/v1/nodes'
SCENARIO = Path(__file__).with_name('three-and-two.yaml')


def names(kube, server=None):
    return [item['metadata']['name'] for page in kube.pages(NODES, lambda: 30.0, server) for item in page]


def test_the_whole_of_it():
    """API servers of machines that serve, one that refuses, the virtual address; findings; etcd without a quorum; and everything ends."""
    with Cluster(scenario.read(SCENARIO)) as cluster:
        plane = cluster.model.control_plane
        kube = KubernetesApi(config.load(content=cluster.model.kubeconfig()))
        everybody = ['cp-1', 'cp-2', 'cp-3', 'w-1', 'w-2']
        assert names(kube) == everybody, 'at the virtual address, as the kubeconfig has it'
        for name in ('cp-1', 'cp-3'):
            assert names(kube, f'https://{cluster.address(name)}:6443') == everybody
        with pytest.raises(TransportError) as caught:
            names(kube, f'https://{cluster.address("cp-2")}:6443')
        assert caught.value.kind == 'refused' and kube.version(30)['gitVersion'] == version()

        found = access.find({'talosconfig': str(cluster.directory / 'talosconfig')})
        snapshot = access.gather({'access': found, 'timeout': 10.0, 'deadline': 60.0, 'proxy': None}, None)
        told = judged.anew(snapshot, judged.settings({}))
        assert 'w-2' in [each['subject'] for each in told['findings'] if each['check'] == 'kubelet.node_not_ready'] and told['class'] == 'errors'
        assert len(plane.etcd.members) == 3

        for name in ('cp-2', 'cp-3'):
            cluster.etcd_fault('stop', name)
        until(lambda: kube.readyz(30)['status'] == 500)
        assert '[-]etcd failed: reason withheld' in kube.readyz(30)['body']
        with pytest.raises(TalosError):
            kube.send('PATCH', f'{NODES}/w-1', {'metadata': {'labels': {'probe': 'written'}}}, 30)
        for name in ('cp-2', 'cp-3'):
            cluster.etcd_fault('start', name)
        until(lambda: kube.readyz(30)['status'] == 200)
        kube.close()
        pids, directory = [each.pid for each in (plane.server, plane.manager)], plane.directory
    assert not [pid for pid in pids if os.path.exists(f'/proc/{pid}')] and not directory.exists()


def test_a_frozen_machine_takes_connections_and_its_api_server_says_nothing(real):
    with real({}) as one, socket.create_connection((one.address('cp-2'), 6443)) as connection:
        one.cluster.freeze('cp-2')
        connection.settimeout(1.0)
        connection.sendall(b'anything')
        with pytest.raises(TimeoutError):
            connection.recv(1)
        one.cluster.kill('cp-2')
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((one.address('cp-2'), 6443))


LIVE = {'cp-1': 'Ready', 'cp-2': 'Ready', 'cp-3': 'Ready', 'w-1': 'Ready'}


@pytest.mark.parametrize('state, why', [
    ({'k8s': {'reads': 'rejected: etcdserver: request timed out'}}, r'state.k8s.reads: a real API says itself what it refuses.'),
    ({'k8s': {'object_counts': {'events': 90000}}}, r'state.k8s.object_counts: nobody makes so many objects.'),
    ({'k8s': {'nodes': {**LIVE, 'w-2': {'ready': 'Ready', 'flapping': True}}}}, r'state.k8s.nodes.w-2.flapping: no real Node changes as often as one looks.'),
    ({'versions': {'talos': 'v1.13.9', 'kubernetes': 'v1.35.4'}}, r'state.versions.kubernetes: v1.35.4 is another release than that of the programs, v1.36.3.'),
    ({'k8s': {'nodes': {f'w-{number}': 'Ready' for number in range(31)}}}, r'state.topology: a real Kubernetes is given 30 Nodes at most.'),
    ({'setup': {'control_node_clock': '-1h'}}, r'state.setup.control_node_clock: a real API server has the clock of this machine.'),
    ({'etcd': {'reachable': ['cp-1']}}, r'state.etcd: the API server of cp-1 has no etcd that answers; the real one has.'),
    ({'k8s': {'csrs': [{'name': 'csr-odd', 'username': 'system:node:w-1', 'dns': ['w-1'], 'usages': ['to swim'], 'state': 'Pending'}]}},
     r'The state cannot be brought into a real Kubernetes: POST .*certificatesigningrequests: 422: .*to swim'),
])
def test_what_it_cannot_be_brought_into_is_refused_in_one_sentence(real, state, why):
    with pytest.raises(ScenarioError, match=f'^{why}'):
        with real(state):
            pytest.fail('it was brought')


def test_objects_are_as_old_as_the_scenario_has_them(real, plane):
    """What no API takes."""
    with real({'uptime': '40d'}) as one:
        told = {item['metadata']['name']: item['metadata']['creationTimestamp'] for item in RESOURCES['', 'nodes'].build(one.model)}
        assert {item['metadata']['name']: item['metadata']['creationTimestamp'] for item in plane.admin.get(NODES)['items']} == told
