# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""From where it is known which machines there are."""

from __future__ import annotations

import copy

from ansible_collections.talosops.talos.plugins.module_utils.judge import nodes_source, settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Machine
from tests import recorded

PLANES, ALL = ['cp1', 'cp2', 'cp3'], ['cp1', 'cp2', 'cp3', 'w1']


def found(name='healthy', change=None, expected=()):
    snapshot = copy.deepcopy(recorded.snapshot(name))
    if change:
        change(snapshot)
    return nodes_source.of(View(snapshot, settings.build((), expected_nodes=expected)))


def test_of_a_healthy_cluster_discovery_is_believed_and_all_agree():
    said = found()
    assert said['expected_from'] == 'discovery' and said['disagreements'] == []
    assert said['sources'] == {'discovery': ALL, 'etcd': PLANES, 'kubernetes': ALL, 'talosconfig': PLANES, 'options': []}


def test_the_users_own_list_comes_first_and_what_it_names_alone_is_told():
    said = found(expected=['cp1', '10.5.0.3', 'cp3', 'w1', 'w2'])
    assert said['expected_from'] == 'expected_nodes'
    assert said['sources']['expected_nodes'] == [*ALL, 'w2']
    assert said['disagreements'] == [{'node': 'w2', 'known_from': ['expected_nodes'], 'missing_from': ['discovery', 'etcd', 'kubernetes']}]


def test_a_machine_that_the_users_list_lacks_is_told():
    [one] = found(expected=PLANES)['disagreements']
    assert one == {'node': 'w1', 'known_from': ['discovery', 'kubernetes'], 'missing_from': ['expected_nodes']}


def test_a_node_that_only_kubernetes_knows():
    def add(snapshot):
        snapshot.machines.append(Machine('10.5.0.9', '10.5.0.9', ['10.5.0.9'], 'w9', 'worker', ['kubernetes']))
    assert found(change=add)['disagreements'] == [{'node': 'w9', 'known_from': ['kubernetes'], 'missing_from': ['discovery']}]


def test_with_discovery_off_etcd_and_kubernetes_are_believed():
    def off(snapshot):
        for machine in snapshot.machines:
            machine.data['Members'].value, machine.data['Affiliates'].value = [], []
            machine.known_from = [source for source in machine.known_from if source != 'discovery']
    said = found(change=off)
    assert said['expected_from'] == 'etcd and kubernetes' and 'discovery' not in said['sources'] and said['disagreements'] == []


def test_what_was_not_read_disagrees_with_nobody():
    said = found('healthy-reader')
    assert 'kubernetes' not in said['sources'] and said['disagreements'] == []

    def lose(snapshot):
        for machine in snapshot.machines:
            machine.data = {kind: Datum('refused') for kind in machine.data}
        snapshot.kubernetes['data'] = {}
    said = found(change=lose)
    assert said['expected_from'] is None and said['disagreements'] == []
