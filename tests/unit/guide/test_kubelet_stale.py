# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes behind which no machine stands, and Nodes that share an address."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import judging
from tests.unit.guide.judging import READ, ago, findings, lose, node, one, verdict_of
from tests.unit.guide.kubelet_changes import add_node, aged, kube, lose_kube, managed, node_object, raise_alarm, report, set_ready

CHECK = 'kubelet.node_stale'


def test_a_node_whose_machine_is_gone():
    snapshot = aged()
    made = add_node(snapshot, 'w9', '10.5.0.29')
    finding = one(report(snapshot), CHECK)
    assert (finding['verdict'], finding['subject'], finding['root']) == ('warning', 'w9', True)
    assert finding['title'] == 'Node w9 is stale: silent for 30 d, and no machine stands behind it'
    assert finding['remedy'] == {'name': 'stale_node', 'args': {'name': 'w9', 'uid': made['uid']}}
    assert 'kubectl delete node w9' in finding['next_step'] and '10.5.0.29' in finding['next_step']
    assert [e['source'] for e in finding['evidence']] == ['Kubernetes nodes', 'Members', 'Talos API']


@pytest.mark.parametrize('since, verdict', [(2099, 'info'), (2101, 'warning')])
def test_discovery_remembers_a_machine_for_half_an_hour(since, verdict):
    snapshot = aged()
    add_node(snapshot, 'w9', '10.5.0.29', since=since)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == verdict and bool(finding['remedy']) == (verdict == 'warning')


def test_the_lease_is_evidence():
    snapshot = aged()
    add_node(snapshot, 'w9', '10.5.0.29')
    kube(snapshot, 'leases').append({'name': 'w9', 'holder': 'w9', 'renewed': '2026-10-20T00:00:00Z'})
    assert 'lease last renewed 2026-10-20T00:00:00Z' in one(report(snapshot), CHECK)['evidence'][1]['text']


@pytest.mark.parametrize('why', ['answers', 'in discovery', 'expected', 'Ready'])
def test_a_node_whose_machine_may_be_there_is_not_stale(why):
    snapshot = aged()
    add_node(snapshot, 'w9', '10.5.0.29', status='True' if why == 'Ready' else 'Unknown')
    machine, settings = node(snapshot, 'w9'), None
    if why == 'answers':
        machine.answered, machine.unreachable = True, None
    elif why == 'in discovery':
        node(snapshot, 'cp1').value('Members').append({'id': 'w9', 'spec': {'nodeId': 'x', 'hostname': 'w9', 'addresses': ['10.5.0.29']}})
    elif why == 'expected':
        machine.known_from.append('options')
        machine.key = 'w9'
    assert findings(report(snapshot, settings), CHECK) == []


@pytest.mark.parametrize('mark, owner', [('cluster.x-k8s.io/machine', 'Cluster API'), ('karpenter.sh/nodepool', 'Karpenter'),
                                         ('omni.sidero.dev/x', 'Omni')])
def test_what_a_controller_made_is_left_to_it(mark, owner):
    snapshot = aged()
    add_node(snapshot, 'w9', '10.5.0.29')
    managed(snapshot, 'w9', mark)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'warning' and finding['remedy'] is None
    assert f'{owner} made this Node' in finding['next_step'] and 'kubectl delete' not in finding['next_step']


def test_machines_that_are_managed_by_omni_say_so_themselves():
    snapshot = aged()
    add_node(snapshot, 'w9', '10.5.0.29')
    node(snapshot, 'cp1').data['SiderolinkStatuses'] = Datum(READ, [{'id': 'siderolink', 'spec': {'host': 'omni.example.org'}}])
    assert one(report(snapshot), CHECK)['remedy'] is None


def test_an_etcd_member_goes_first():
    snapshot = aged()
    add_node(snapshot, 'cp9', '10.5.0.29')
    judging.add_member(snapshot, '9999999999999999', 'cp9', '10.5.0.29')
    step = one(report(snapshot), CHECK)['next_step']
    assert step.index('9999999999999999') < step.index('kubectl delete node cp9')


def test_nothing_is_deleted_before_etcd_takes_writes():
    snapshot = aged()
    add_node(snapshot, 'w9', '10.5.0.29')
    raise_alarm(snapshot)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'warning' and finding['root'] and finding['next_step'].startswith('First repair etcd (the alarm NOSPACE stands)')


def test_many_stale_nodes_are_a_fault_of_the_view():
    snapshot = aged()
    for number in range(3):
        add_node(snapshot, f'w{number + 7}', f'10.5.0.{number + 27}')
    found = findings(report(snapshot), CHECK)
    assert len(found) == 3 and all(f['remedy'] is None and 'delete nothing' in f['next_step'] for f in found)


def test_the_former_node_of_a_machine_that_was_renamed():
    snapshot = aged()
    add_node(snapshot, 'w1-old', '10.5.0.5', since=900, machine=False)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'warning' and 'its machine w1 is Node w1 now' in finding['title'] and finding['nodes'] == ['w1']
    set_ready(snapshot, 'w1-old', 'Unknown', 200)
    assert one(report(snapshot), CHECK)['verdict'] == 'info'


def test_the_former_node_of_a_machine_whose_address_changed():
    snapshot = aged()
    add_node(snapshot, 'w1-old', '10.5.0.77', since=900, machine=False, labels={})
    node_object(snapshot, 'w1-old')['machine_id'] = node_object(snapshot, 'w1')['machine_id']
    assert 'its machine w1 is Node w1 now' in one(report(snapshot), CHECK)['title']


def test_without_a_time_it_is_unknown():
    snapshot = aged()
    add_node(snapshot, 'w9', '10.5.0.29')
    next(c for c in node_object(snapshot, 'w9')['conditions'] if c['type'] == 'Ready')['lastTransitionTime'] = None
    assert one(report(snapshot), CHECK)['verdict'] == 'unknown'


def test_without_discovery_nobody_can_tell():
    snapshot = aged()
    add_node(snapshot, 'w9', '10.5.0.29')
    for machine in snapshot.machines:
        lose(machine, 'Members')
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'unknown' and finding['subject'] == 'w9'


def test_where_discovery_is_off_a_silent_machine_is_no_stale_node():
    """Then nobody has forgotten it: it is a machine that does not answer."""
    snapshot = aged()
    add_node(snapshot, 'w9', '10.5.0.29')
    for machine in snapshot.machines:
        if machine.answered:
            machine.data['Members'] = machine.data['Affiliates'] = Datum(READ, [])
    judged = report(snapshot)
    assert verdict_of(judged, CHECK) == 'ok' and one(judged, 'kubelet.node_not_ready')['subject'] == 'w9'


@pytest.mark.parametrize('state', ['failed', 'refused'])
def test_without_the_nodes_nothing_is_known(state):
    snapshot = aged()
    lose_kube(snapshot, 'nodes', state=state)
    judged = report(snapshot)
    section = judged['sections']['kubelet.stale_nodes']
    assert section['verdict'] == 'unknown' and 'Kubernetes was not read' in section['reason']


# -- duplicates -------------------------------------------------------------------------------------------------

def test_two_live_nodes_with_one_address():
    snapshot = aged()
    node_object(snapshot, 'w1')['addresses'][0]['address'] = '10.5.0.4'
    finding = one(report(snapshot), 'kubelet.node_duplicate')
    assert finding['verdict'] == 'warning' and finding['title'] == 'cp3 and w1 have the same InternalIP 10.5.0.4'


def test_of_two_nodes_with_one_address_a_silent_one_is_stale():
    snapshot = aged()
    add_node(snapshot, 'w1-old', '10.5.0.5', since=900, machine=False)
    assert findings(report(snapshot), 'kubelet.node_duplicate') == []


def test_the_virtual_ip_is_another_fault():
    snapshot = aged()
    for name in ('cp1', 'cp2'):
        node_object(snapshot, name)['addresses'][0]['address'] = '10.5.0.100'
    assert findings(report(snapshot), 'kubelet.node_duplicate') == []


def test_one_address_in_two_forms():
    snapshot = aged()
    node_object(snapshot, 'w1')['addresses'][0]['address'] = 'fd00:0:0::1'
    node_object(snapshot, 'cp1')['addresses'][0]['address'] = 'fd00::1'
    assert one(report(snapshot), 'kubelet.node_duplicate')['subject'] == 'address fd00::1'


def test_ages_are_taken_at_the_time_of_the_snapshot():
    snapshot = aged()
    add_node(snapshot, 'w9', '10.5.0.29', since=3 * 3600)
    assert ago(snapshot, 3 * 3600) and 'silent for 3 h' in one(report(snapshot), CHECK)['title']
