# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Item by item: what talosctl and kubectl said of a recorded cluster, and what the report says of the same bytes."""

from __future__ import annotations

import functools
import json
import re

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import diagnose
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import NOT_BUILT
from tests.conftest import ROOT
from tests.replay.snapshots import recorded

SETS = ('healthy', 'healthy-reader', 'one-cp-down', 'worker-down', 'nospace-alarm')

# What "talosctl health" waits for, and the checks that judge the same.
SAME = {
    'etcd to be healthy': ('etcd.not_bootstrapped', 'etcd.all_in_pre', 'etcd.stuck_in_pre', 'etcd.crash_loop', 'etcd.service_not_healthy',
                           'etcd.quorum_lost', 'etcd.members_not_answering', 'talos_api.machine_unreachable'),
    'etcd members to be consistent across nodes': ('etcd.members_differ',),
    'etcd members to be control plane nodes': ('etcd.member_not_control_plane', 'etcd.on_worker'),
    'apid to be ready': ('talos_api.machine_unreachable', 'talos_api.apid_not_healthy'),
}
# talosctl asks control plane nodes only whether etcd is healthy.
CONTROL_PLANE = ('etcd to be healthy',)
# What it waits for and no check judges yet, with the section that will: a check in one of these has to be compared above.
LATER = {
    'all nodes memory sizes': 'system_requirements', 'all nodes disk sizes': 'system_requirements', 'no diagnostics': 'health_checks',
    'kubelet to be healthy': 'kubelet.not_running', 'all nodes to finish boot sequence': 'health_checks',
    'all k8s nodes to report': 'kubelet.node_not_found', 'all control plane static pods to be running': 'controlplane.static_pods',
    'all control plane components to be ready': 'controlplane.pod_status', 'all k8s nodes to report ready': 'kubelet.node_not_ready',
    'kube-proxy to report ready': 'controlplane.other', 'coredns to report ready': 'controlplane.other',
    'all k8s nodes to report schedulable': 'kubelet.node_not_ready',
}


@functools.cache
def report(name):
    return json.loads(json.dumps(diagnose(recorded(name))))


@functools.cache
def meta(name):
    return json.loads((ROOT / 'tests' / 'replay' / 'data' / name / 'meta.json').read_text())


def waited_for(name):
    """What talosctl waited for to its last word on it: 'OK', or the lines of the error."""
    said = {}
    for line in meta(name)['talosctl_health']['output']:
        told = re.match('waiting for (.+?): (.*)', line)
        if told and told[2] != '...':
            said.setdefault(told[1], []).append(told[2])
            last = told[1]
        elif line.startswith('\t'):
            said[last].append(line.strip())
    return said


def addresses(name, nodes):
    return {address for node in report(name)['nodes'] if node['name'] in nodes for address in node['addresses']}


ITEMS = [(name, item) for name in SETS for item in waited_for(name)]


def test_every_item_is_compared_or_waits_for_its_section():
    assert {item for _name, item in ITEMS} == set(SAME) | set(LATER)
    known = {check['check'] for check in report('healthy')['checks']}
    assert {check for checks in SAME.values() for check in checks} <= known


@pytest.mark.parametrize('name, item', [(name, item) for name, item in ITEMS if item in SAME])
def test_what_talosctl_calls_ok_is_ok_and_what_it_calls_an_error_is_one_of_the_same_node(name, item):
    planes = {node['name'] for node in report(name)['nodes'] if node['type'] == 'controlplane'}
    faults = [finding for finding in report(name)['findings'] if finding['check'] in SAME[item] and v.rank(finding['verdict']) > v.rank(v.INFO)
              and (item not in CONTROL_PLANE or planes & set(finding['nodes']))]
    said = waited_for(name)[item]
    if said == ['OK']:
        assert faults == []
    else:
        named = set(re.findall(r'\* ([\d.]+): ', '\n'.join(said)))
        assert named and faults and not [finding for finding in faults if finding['verdict'] == v.UNKNOWN]
        assert all(named & addresses(name, finding['nodes']) for finding in faults)
        assert named <= addresses(name, {node for finding in faults for node in finding['nodes']})
        for address in named:
            assert any('connection refused' in evidence['text'] for finding in faults for evidence in finding['evidence']
                       if address in addresses(name, finding['nodes']))


@pytest.mark.parametrize('name, item', [(name, item) for name, item in ITEMS if item in LATER])
def test_what_no_check_judges_yet_is_unknown_and_says_why(name, item):
    section = report(name)['sections'][LATER[item]]
    assert (section['verdict'], section['reason']) == (v.UNKNOWN, NOT_BUILT), f'compare what is judged now with "{item}"'


@pytest.mark.parametrize('name', SETS)
def test_the_machines_are_those_that_talosctl_discovered(name):
    discovered = set(re.findall(r'"([\d.]+)"', meta(name)['talosctl_health']['output'][0]))
    nodes = report(name)['nodes']
    assert len(discovered) == len(nodes) == 4
    assert all(len(discovered & set(node['addresses'])) == 1 for node in nodes)
    off = {'one-cp-down': {'cp3'}, 'worker-down': {'w1'}}.get(name, set())
    assert {node['name'] for node in nodes if not node['answered']} == off


@pytest.mark.parametrize('name', [name for name in SETS if meta(name)['role'] == 'os:admin'])
def test_the_nodes_of_kubernetes_are_those_that_kubectl_showed(name):
    head, *rows = [re.split(r'\s{2,}', line) for line in meta(name)['kubectl_get_nodes']]
    shown = {row['NAME']: (row['STATUS'].startswith('Ready'), row['INTERNAL-IP'], row['VERSION']) for row in (dict(zip(head, row)) for row in rows)}
    assert len(shown) == 4
    found = {}
    for node in recorded(name).kubernetes['data']['nodes'].value:
        conditions = {item['type']: item['status'] for item in node['conditions']}
        internal = [item['address'] for item in node['addresses'] if item['type'] == 'InternalIP']
        found[node['name']] = (conditions['Ready'] == 'True', *internal, node['kubelet_version'])
    assert found == shown


@pytest.mark.parametrize('name', SETS)
def test_versions_and_role_are_those_of_the_recording(name):
    said, judged = meta(name), report(name)
    assert (judged['talos'], judged['role']) == (said['talos'], said['role'])
    assert judged['kubernetes'] == (said['kubernetes'] if said['role'] == 'os:admin' else None)


def test_of_a_full_database_the_alarm_tells_what_health_does_not():
    """talosctl health called etcd healthy throughout: only the alarm list and the errors of the status show NOSPACE."""
    assert waited_for('nospace-alarm')['etcd to be healthy'] == ['OK']
    assert report('nospace-alarm')['sections']['etcd.alarm']['verdict'] == v.CRITICAL
