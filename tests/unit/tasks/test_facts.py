# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts that modules return, on what a real cluster said."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import UNREACHABLE
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Endpoint
from ansible_collections.talosops.talos.plugins.module_utils.tasks import (
    api_check, certsans_check, control_plane_check, etcd_health, facts, kubelet_check, kubernetes_api_check, members,
)
from tests import recorded

IDS = {'cp1': 'c3d3020cf75b8728', 'cp2': '7cbd04be7b64070a', 'cp3': 'd389152f7e017226'}


def snapshot(name='healthy'):
    return copy.deepcopy(recorded.snapshot(name))


def machine(taken, name):
    return next(m for m in taken.machines if m.name == name)


# -- members ------------------------------------------------------------------------------------------------------


def test_members_of_every_node():
    said = members.of(snapshot(), {})
    assert said['members_per_node'] == {node: ['cp1', 'cp2', 'cp3', 'w1'] for node in ('cp1', 'cp2', 'cp3', 'w1')}
    assert said['consistent'] is True and said['unread'] == {}
    assert said['members'][3] == {
        'name': 'w1', 'node_id': 'T6qaiWt2B4fp1pgQPwyamRfO86x50aBOKN32igGvbmJ', 'hostname': 'w1', 'addresses': ['10.5.0.5'], 'type': 'worker',
        'operating_system': 'Talos (v1.13.9)', 'not_seen_by': []}


def test_a_node_that_sees_fewer_is_named():
    taken = snapshot()
    machine(taken, 'cp2').data['Members'].value.pop()
    said = members.of(taken, {})
    assert said['members_per_node']['cp2'] == ['cp1', 'cp2', 'cp3'] and said['consistent'] is False
    assert said['members'][3]['not_seen_by'] == ['cp2']


def test_a_node_that_was_not_read_is_no_node_without_members():
    said = members.of(snapshot('one-cp-down'), {})
    assert 'cp3' not in said['members_per_node'] and 'connection refused' in said['unread']['cp3']
    nobody = snapshot()
    for each in nobody.machines:
        each.data['Members'] = Datum(UNREACHABLE)
    assert members.of(nobody, {})['consistent'] is None


def test_two_machines_of_one_name_stay_two():
    taken = snapshot()
    machine(taken, 'cp2').name = 'cp1'
    assert set(members.of(taken, {})['members_per_node']) == {'cp1 (10.5.0.2)', 'cp1 (10.5.0.3)', 'cp3', 'w1'}


def test_large_clusters_give_only_what_differs():
    taken = snapshot()
    for number in range(members.LISTS_MOST):
        other = copy.deepcopy(machine(taken, 'w1'))
        other.key, other.name, other.address = f'k{number}', f'x{number}', f'10.6.0.{number}'
        taken.machines.append(other)
    machine(taken, 'x7').data['Members'].value.pop()
    assert set(members.of(taken, {})['members_per_node']) == {'x7'}


# -- kubelet ------------------------------------------------------------------------------------------------------


def test_kubelets_of_a_healthy_cluster():
    said = kubelet_check.of(snapshot(), {})
    assert said['nodes_without_machine'] == [] and said['requests'] == [] and said['unread'] == {} and said['kubernetes_unread'] is None
    worker = said['kubelets']['w1']
    assert (worker['state'], worker['healthy'], worker['version'], worker['nodename'], worker['node_ips']) == (
        'Running', True, 'v1.36.3', 'w1', ['10.5.0.5'])
    node = worker['node']
    assert (node['name'], node['ready'], node['schedulable'], node['internal_ips'], node['conditions']) == ('w1', 'True', True, ['10.5.0.5'], [])


def test_a_reader_gets_what_talos_knows():
    said = kubelet_check.of(snapshot('healthy-reader'), {})
    assert said['nodes_without_machine'] is None and said['requests'] is None and 'kubeconfig' in said['kubernetes_unread']
    assert said['kubelets']['w1']['node'] is None and said['kubelets']['w1']['state'] == 'Running'
    assert said['kubelets']['w1']['version'] == 'v1.36.3'


def test_a_machine_that_is_down_has_its_node_left():
    said = kubelet_check.of(snapshot('worker-down'), {})
    assert said['kubelets']['w1']['state'] is None and said['kubelets']['w1']['node']['ready'] == 'Unknown'
    assert list(said['unread']) == ['w1'] and said['nodes_without_machine'] == []


def test_open_requests_and_what_may_be_done_about_them():
    taken = snapshot()
    for name, node, ip in (('csr-1', 'w1', '10.5.0.5'), ('csr-2', 'cp1', '10.5.0.100')):
        taken.kubernetes['data']['csrs'].value.append({
            'name': name, 'created': f'2026-11-22T10:1{name[-1]}:00Z', 'signer': 'kubernetes.io/kubelet-serving', 'username': f'system:node:{node}',
            'groups': ['system:nodes'], 'usages': ['server auth'], 'conditions': [], 'issued': False, 'asks_for': {
                'common_name': f'system:node:{node}', 'organization': ['system:nodes'], 'dns': [], 'ips': [ip], 'other': []}})
    first, second = kubelet_check.of(taken, {})['requests']
    assert (first['name'], first['machine'], first['judgement'], first['reasons']) == ('csr-1', 'w1', 'approve', [])
    assert second['judgement'] == 'refuse' and 'belongs to the API' in second['reasons'][0]


def test_a_node_of_which_only_kubernetes_knows():
    taken = snapshot()
    nodes = taken.kubernetes['data']['nodes'].value
    nodes.append({**nodes[0], 'name': 'w9', 'machine_id': 'x', 'addresses': []})
    assert kubelet_check.of(taken, {})['nodes_without_machine'] == ['w9']


# -- control plane and Kubernetes API ---------------------------------------------------------------------------------


def test_the_control_plane_of_a_healthy_cluster():
    said = control_plane_check.of(snapshot(), {})
    assert list(said['nodes']) == ['cp1', 'cp2', 'cp3'] and said['pods_not_ready'] == [] and said['kubernetes_unread'] is None and said['unread'] == {}
    node = said['nodes']['cp1']
    assert node['static_pods'] == ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler']
    assert len(node['manifests']['rendered']) == 10 and node['manifests']['not_applied'] == []
    assert node['components']['kube-scheduler'] == {
        'state': 'ready', 'reason': None, 'restarts': 2, 'not_ready_since': None, 'image': 'registry.k8s.io/kube-scheduler:v1.36.3', 'enabled': True,
        'last_end': {'reason': 'Error', 'exit_code': 1, 'at': '2026-11-22T10:13:14Z'}}


def test_the_control_plane_for_a_reader_and_with_a_node_down():
    said = control_plane_check.of(snapshot('healthy-reader'), {})
    assert said['pods_not_ready'] is None and 'kubeconfig' in said['kubernetes_unread']
    assert {component['state'] for node in said['nodes'].values() for component in node['components'].values()} == {'ready'}
    said = control_plane_check.of(snapshot('one-cp-down'), {})
    assert list(said['nodes']) == ['cp1', 'cp2'] and 'connection refused' in said['unread']['cp3']
    assert {pod['node'] for pod in said['pods_not_ready']} == {'cp3'}


def test_what_was_not_read_of_the_control_plane_is_null():
    taken = snapshot()
    machine(taken, 'cp1').data = {}
    node = control_plane_check.of(taken, {})['nodes']['cp1']
    assert node['static_pods'] is None and node['manifests'] is None


def test_who_serves_the_kubernetes_api():
    said = kubernetes_api_check.of(snapshot('one-cp-down'), {})
    assert said['serving'] == ['cp1', 'cp2'] and said['servers']['cp3']['state'] == 'silent' and said['servers']['cp3']['certificate'] is None
    assert said['servers']['cp1']['certificate']['not_after'] == '2027-11-22T10:12:27Z' and '10.5.0.2' in said['servers']['cp1']['certificate']['ips']
    assert said['vips'] == {'10.5.0.100': ['cp1']} and said['kubernetes_source'] == 'talos'
    assert (said['endpoint']['url'], said['endpoint']['connections'], said['endpoint']['answered']) == ('https://10.5.0.100:6443', 10, 10)
    assert said['kubeprism']['w1']['healthy'] is True and '10.5.0.4:6443' in said['kubeprism']['w1']['endpoints']


def test_the_kubernetes_api_for_a_reader():
    said = kubernetes_api_check.of(snapshot('healthy-reader'), {})
    assert said['serving'] == [] and {server['state'] for server in said['servers'].values()} == {'answers'}
    assert said['endpoint']['named_by'] == 'KubePrismEndpoints' and 'kubeconfig' in said['kubernetes_unread']


def test_what_was_not_read_of_the_kubernetes_api_is_null():
    taken = snapshot()
    taken.kubernetes = {'data': {}, 'servers': {}}
    for each in taken.machines:
        each.data = {}
    said = kubernetes_api_check.of(taken, {})
    assert said['endpoint'] is None and said['vips'] is None and {server['state'] for server in said['servers'].values()} == {None}
    assert said['kubeprism']['w1'] == {'enabled': None, 'healthy': None, 'endpoints': None}


# -- etcd ---------------------------------------------------------------------------------------------------------


def test_etcd_of_a_healthy_cluster():
    said = etcd_health.of(snapshot(), {})
    assert (said['voters'], said['healthy_voters'], said['quorum'], said['failure_tolerance']) == (3, 3, 2, 1)
    assert said['leaders'] == [{'id': IDS['cp1'], 'name': 'cp1'}] and said['alarms'] == []
    assert {node: entry['member_id'] for node, entry in said['nodes'].items()} == IDS
    node = said['nodes']['cp1']
    assert node['service'] == {'state': 'Running', 'healthy': True, 'message': 'Health check successful'}
    assert node['status']['db_size'] == 2064384 and node['status']['version'] == '3.6.12' and node['status']['leader'] == IDS['cp1']
    assert sorted(node['members']) == sorted(IDS.values()) and node['members_unread'] is None
    assert 'w1' not in said['nodes']


def test_etcd_with_a_member_down():
    said = etcd_health.of(snapshot('one-cp-down'), {})
    assert (said['voters'], said['healthy_voters'], said['failure_tolerance']) == (3, 2, 0)
    assert said['nodes']['cp3']['status'] is None and said['nodes']['cp3']['status_unread']
    assert 'connection refused' in said['unread']['cp3']


def test_alarms_are_named_by_member():
    said = etcd_health.of(snapshot('nospace-alarm'), {})
    assert {(alarm['member'], alarm['alarm']) for alarm in said['alarms']} == {(name, 'NOSPACE') for name in IDS}


def test_what_nobody_could_tell_about_etcd_is_null_and_not_zero():
    taken = snapshot()
    for each in taken.machines:
        for kind in ('EtcdStatus', 'EtcdMemberList', 'EtcdAlarmList', 'EtcdMembers'):
            each.data[kind] = Datum(UNREACHABLE, reason='gone')
    said = etcd_health.of(taken, {})
    assert (said['voters'], said['healthy_voters'], said['quorum'], said['failure_tolerance'], said['alarms']) == (None,) * 5
    assert said['leaders'] == [] and said['nodes']['cp1']['status_unread'].endswith('(gone)')


# -- certificates -------------------------------------------------------------------------------------------------


def test_names_in_the_certificates():
    said = certsans_check.of(snapshot(), {})
    assert said['missing'] == {} and said['unread'] == {}
    assert said['nodes']['cp2']['dns'] == ['cp2'] and '10.5.0.3' in said['nodes']['cp2']['ips']


def test_names_that_the_user_asks_for_are_wanted_everywhere():
    said = certsans_check.of(snapshot('nospace-alarm'), {'names': ['lb.example.net', '10.5.0.2']})
    assert said['missing'] == {'lb.example.net': ['cp2', 'cp3'], '10.5.0.2': ['cp2', 'cp3']}


def test_an_endpoint_of_nobody_is_wanted_on_every_control_plane_node():
    taken = snapshot('nospace-alarm')
    taken.endpoints = [Endpoint('lb.example.net', 'lb.example.net', 50000)]
    assert certsans_check.of(taken, {})['missing'] == {'lb.example.net': ['cp2', 'cp3']}
    taken.endpoints = [Endpoint('talos.example.net', 'talos.example.net', 50000, addresses=['10.5.0.4'])]
    assert certsans_check.of(taken, {})['missing'] == {'talos.example.net': ['cp3']}


def test_a_certificate_that_was_not_seen_is_not_a_good_one():
    said = certsans_check.of(snapshot('one-cp-down'), {'names': ['cp1']})
    assert 'cp3' not in said['nodes'] and 'cp3' in said['unread']


@pytest.mark.parametrize('name, covered', [
    ('cp1', True), ('CP1.', True), ('10.5.0.2', True), ('fd00::1', True), ('FD00:0::1', True), ('a.talos.example.net', True),
    ('talos.example.net', False), ('a.b.talos.example.net', False), ('10.5.0.3', False), ('cp', False)])
def test_when_a_certificate_covers_a_name(name, covered):
    assert certsans_check.covers({'dns': ['cp1', '*.talos.example.net'], 'ips': ['10.5.0.2', 'fd00::1']}, name) is covered


# -- the Talos API ------------------------------------------------------------------------------------------------


def test_how_the_api_is_reached():
    said = api_check.of(snapshot('one-cp-down'), {})
    assert said['client']['roles'] == ['os:admin']
    assert [(entry['endpoint'], entry['node'], entry['connected']) for entry in said['endpoints']] == [
        ('10.5.0.2', 'cp1', True), ('10.5.0.3', 'cp2', True), ('10.5.0.4', 'cp3', False)]
    assert said['endpoints'][2]['error_kind'] == 'refused'
    assert list(said['not_answering']) == ['cp3']


# -- how large a result may be --------------------------------------------------------------------------------------


def test_a_result_is_cut_to_what_a_task_may_return():
    finding = {'id': 'x', 'title': 't' * 200, 'evidence': [{'text': 'e' * 500}] * 5, 'more_evidence': 2}
    small = facts.bounded({'findings': [finding]})
    assert small['findings'][0]['evidence'] and small['findings_omitted'] == 0
    medium = facts.bounded({'findings': [finding] * 60})
    assert len(medium['findings']) == 60 and medium['findings'][0]['evidence'] == [] and medium['findings'][0]['more_evidence'] == 7
    large = facts.bounded({'findings': [finding] * 5000})
    assert len(json.dumps(large)) < 64 * 1024 and len(large['findings']) + large['findings_omitted'] == 5000 and len(large['findings']) > 100


def test_facts_of_a_large_cluster_are_cut_too_and_said_to_be():
    finding = {'id': 'x', 'title': 't' * 200, 'evidence': [], 'more_evidence': 0}
    names = [f'ip-10-0-{number}-7.eu-central-1.compute.internal' for number in range(200)]
    found = facts.bounded({'findings': [finding] * 20, 'sections': {'a': {}}, 'members_per_node': {name: names for name in names},
                           'members': [{'name': name, 'not_seen_by': names[:100]} for name in names], 'unread': {'w1': 'refused'}, 'verdict': 'error'})
    assert len(json.dumps(found)) < 64 * 1024
    assert (len(found['findings']), found['findings_omitted'], found['unread'], found['sections']) == (20, 0, {'w1': 'refused'}, {'a': {}})
    assert {name: len(found[name]) + found['facts_omitted'][name] for name in found['facts_omitted']} == {'members_per_node': 200, 'members': 200}
    assert facts.bounded({'findings': [], 'members': names[:3]})['facts_omitted'] == {}


def test_a_list_of_machines_is_bounded():
    taken = snapshot()
    taken.machines *= 100
    assert len(facts.machines(taken)) == facts.MACHINES_MOST
    assert facts.machines(snapshot())[0] == {'name': 'cp1', 'address': '10.5.0.2', 'type': 'controlplane', 'answered': True}
