# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubelet falls silent and comes back: kube-controller-manager says so in its own words, and the checks repeat them."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, judged
from tests.contract.kubernetes.waiting import until
from tests.simulator import kubernetes_nodes

NODES = '/api/v1/nodes'
GRACE = 8


@pytest.fixture(scope='module')
def strict(plane):
    """The controller manager calls a Node Unknown sooner."""
    plane.grace = GRACE
    plane.control()
    yield plane
    plane.grace = None
    plane.control()


def conditions(plane, name):
    return {each['type']: each for each in plane.admin.get(f'{NODES}/{name}')['status']['conditions']}


def taints(plane, name):
    return {(each['key'], each['effect']) for each in plane.admin.get(f'{NODES}/{name}')['spec'].get('taints') or ()}


def findings(one, check):
    found = access.find({'talosconfig': str(one.cluster.directory / 'talosconfig')})
    snapshot = access.gather({'access': found, 'timeout': 10.0, 'deadline': 60.0, 'proxy': None}, None)
    return [each for each in judged.anew(snapshot, judged.settings({}))['findings'] if each['check'] == check]


def test_a_machine_that_is_switched_off_and_on_again(real, strict):
    with real({}) as one:
        assert conditions(strict, 'w-2')['Ready']['status'] == 'True' and findings(one, 'kubelet.node_not_ready') == []
        one.cluster.kill('w-2')
        until(lambda: conditions(strict, 'w-2')['Ready']['status'] == 'Unknown')
        said = conditions(strict, 'w-2')
        assert {(each['status'], each['reason'], each['message']) for kind, each in said.items() if kind != 'NetworkUnavailable'} \
            == {(kubernetes_nodes.UNKNOWN, *kubernetes_nodes.SILENT)}
        until(lambda: taints(strict, 'w-2') == {('node.kubernetes.io/unreachable', 'NoSchedule'), ('node.kubernetes.io/unreachable', 'NoExecute')})
        told, = (each for each in findings(one, 'kubelet.node_not_ready') if each['subject'] == 'w-2')
        assert any('NodeStatusUnknown' in each['text'] and 'Kubelet stopped posting node status' in each['text'] for each in told['evidence'])
        until(lambda: conditions(strict, 'w-1')['Ready']['status'] == 'True')  # the others are as they were

        one.cluster.start('w-2')
        until(lambda: conditions(strict, 'w-2')['Ready']['status'] == 'True')
        until(lambda: taints(strict, 'w-2') == set())
        until(lambda: findings(one, 'kubelet.node_not_ready') == [])


def test_a_machine_that_stands_still(real, strict):
    with real({}) as one:
        one.cluster.freeze('w-1')
        until(lambda: conditions(strict, 'w-1')['Ready']['status'] == 'Unknown')


def test_the_simulator_has_the_same_node(real, strict):
    """What the simulated API shows of such a Node is what the real one has come to: conditions and taints."""
    with real({}) as one:
        one.cluster.kill('w-2')
        until(lambda: conditions(strict, 'w-2')['Ready']['status'] == 'Unknown')
        until(lambda: len(taints(strict, 'w-2')) == 2)
        until(lambda: kubernetes_nodes.details(one.model.kubernetes_nodes['w-2'])['ready'] == 'Unknown')
        simulated = kubernetes_nodes.node(one.model, 'w-2', one.model.kubernetes_nodes['w-2'])
        real_one = strict.admin.get(f'{NODES}/w-2')
        assert [(each['type'], each['status'], each['reason'], each['message']) for each in simulated['status']['conditions']] \
            == [(each['type'], each['status'], each['reason'], each['message']) for each in real_one['status']['conditions']]
        assert {(each['key'], each['effect']) for each in simulated['spec']['taints']} == taints(strict, 'w-2')
