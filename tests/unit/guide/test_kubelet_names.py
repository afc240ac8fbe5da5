# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Node names, made of host names."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import discovery, kubelet
from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_names import nodename
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests import recorded
from tests.unit.guide.judging import READ, ago, findings, lose, node, old, one, recording
from tests.unit.guide.kubelet_changes import add_node, aged, assertion, kube, lose_kube, node_object, report, set_ready

CHECK, DIFFERS, SHARED = 'kubelet.node_name_wrong', 'kubelet.node_name_differs', 'kubelet.node_name_shared'


def call(snapshot, name, hostname, domain='', given=None):
    """The host name of a machine, and the Node name that Talos made of it."""
    machine = node(snapshot, name)
    machine.data['HostnameStatuses'] = Datum(READ, [{'id': 'hostname', 'spec': {'hostname': hostname, 'domainname': domain}}])
    if given is not None:
        machine.data['Nodenames'] = Datum(READ, [{'id': 'nodename', 'spec': {'nodename': given}}] if given else [])
    return machine


@pytest.mark.parametrize('hostname, expected', [
    ('cp1', 'cp1'), ('CP-1', 'cp-1'), ('node_one', 'node-one'), ('node one!', 'nodeone'), ('-node.', 'node'),
    ('node.example.org', 'node.example.org'),
    ('сервер', ''), ('节点1', '1'), ('müller', 'mller'), ('', ''), (None, ''), ('a' * 70, 'a' * 63), ('a' * 62 + '-b', 'a' * 62)])
def test_the_name_that_talos_makes(hostname, expected):
    assert nodename(hostname) == expected


@pytest.mark.parametrize('name', recorded.SETS)
@pytest.mark.parametrize('make', [recording, old])
def test_recorded_names_are_right(name, make):
    judged = report(make(name))
    assert [f for f in findings(judged, worse_than='unknown') if f['section'] == 'kubelet.wrong_node_name'] == []


@pytest.mark.parametrize('hostname, domain, given', [('W1', '', 'w1'), ('w1', 'example.org', 'w1'), ('w1', 'example.org', 'w1.example.org'),
                                                     ('w_1', '', 'w-1')])
def test_names_that_fit(hostname, domain, given):
    snapshot = aged()
    call(snapshot, 'w1', hostname, domain, given)
    node_object(snapshot, 'w1')['name'] = given
    assert [f for f in findings(report(snapshot)) if f['section'] == 'kubelet.wrong_node_name'] == []


def test_a_name_that_is_not_made_of_the_host_name():
    snapshot = aged()
    call(snapshot, 'w1', 'worker-one', given='w1')
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'warning' and 'Node name w1, which is not made of its host name worker-one' in finding['title']
    node(snapshot, 'w1').value('MachineStatuses')[0]['created'] = ago(snapshot, 60)
    assert one(report(snapshot), CHECK)['verdict'] == 'info'


def test_a_host_name_of_another_alphabet():
    snapshot = aged()
    machine = call(snapshot, 'w1', 'сервер', given='')
    kube(snapshot, 'nodes')[:] = [each for each in kube(snapshot, 'nodes') if each['name'] != 'w1']
    machine.data['NodeStatuses'] = Datum(READ, [])
    judged = report(snapshot)
    finding = one(judged, CHECK)
    assert finding['verdict'] == 'error' and 'No Node name can be made of the host name сервер' in finding['title']
    assert one(judged, 'kubelet.node_not_found')['because_of'] == [finding['id']]


def test_a_kubelet_that_registered_under_another_name():
    snapshot = aged()
    node_object(snapshot, 'w1')['name'] = 'w1-before'
    finding = one(report(snapshot), DIFFERS)
    assert finding['verdict'] == 'warning' and finding['title'] == 'w1 is Node w1-before in Kubernetes, not w1'


def test_a_node_that_only_an_address_ties_to_its_machine():
    snapshot = aged()
    node_object(snapshot, 'w1').update(name='worker-one', machine_id='0' * 32)
    judged = report(snapshot)
    assert one(judged, DIFFERS)['title'] == 'w1 is Node worker-one in Kubernetes, not w1'
    assert [f for f in findings(judged, worse_than='info') if f['section'] != 'kubelet.wrong_node_name'] == []


def test_the_old_node_of_a_machine_that_was_renamed_is_stale_and_not_misnamed():
    snapshot = aged()
    add_node(snapshot, 'w1-before', '10.5.0.5', since=900, machine=False)
    assert findings(report(snapshot), DIFFERS) == []


def test_no_host_name_yet():
    snapshot = aged()
    call(snapshot, 'w1', '', given='')
    assert findings(report(snapshot), CHECK) == []


@pytest.mark.parametrize('kind', ['HostnameStatuses', 'Nodenames'])
def test_what_was_not_read(kind):
    snapshot = aged()
    lose(node(snapshot, 'w1'), kind)
    assert one(report(snapshot), CHECK)['verdict'] == 'unknown'


def test_without_the_nodes_talos_is_judged():
    snapshot = aged()
    lose_kube(snapshot, 'nodes')
    assert report(snapshot)['sections']['kubelet.wrong_node_name']['verdict'] == 'ok'


# -- one name on two machines -----------------------------------------------------------------------------------

def twins(snapshot, in_discovery):
    """cp3 has the host name of w1; discovery lists both entries, or is off."""
    machine = call(snapshot, 'cp3', 'w1', given='w1')
    machine.name = 'w1'
    for each in snapshot.machines:
        for kind in ('Members', 'Affiliates'):
            if not in_discovery:
                each.data[kind] = Datum(READ, [])
            else:
                for item in each.value(kind) or []:
                    if item['spec'].get('nodeId') == machine.key:
                        item['spec'].update(hostname='w1', nodename='w1')
    return machine


def test_two_machines_with_one_name_are_critical_where_discovery_does_not_tell():
    snapshot = aged()
    twins(snapshot, in_discovery=False)
    finding = one(report(snapshot), SHARED)
    assert finding['verdict'] == 'critical' and finding['subject'] == 'name w1' and '10.5.0.4 and 10.5.0.5' in finding['title']


def test_where_discovery_tells_it_is_one_fact():
    snapshot = aged()
    twins(snapshot, in_discovery=True)
    judged = report(snapshot, checks=(*discovery.CHECKS, *kubelet.CHECKS))
    assert one(judged, 'discovery.name_duplicate')['verdict'] == 'error' and findings(judged, SHARED) == []


def test_names_that_were_not_read():
    snapshot = aged()
    lose(node(snapshot, 'w1'), 'Nodenames')
    assert one(report(snapshot), SHARED)['verdict'] == 'unknown'
    for machine in snapshot.machines:
        lose(machine, 'Nodenames')
    assert one(report(snapshot), SHARED)['verdict'] == 'unknown'


def test_the_name_of_a_node_that_is_not_ready_is_still_its_name():
    snapshot = aged()
    set_ready(snapshot, 'w1', 'Unknown', 3600)
    assert findings(report(snapshot, checks=(*kubelet.CHECKS, assertion('x'))), CHECK) == []
