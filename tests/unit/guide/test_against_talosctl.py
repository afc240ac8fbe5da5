# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Item by item: what talosctl and kubectl said of a recorded cluster, and what the report says of the same bytes."""

from __future__ import annotations

import functools
import json
import re

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS, diagnose, health_conditions
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings, verdict as v
from tests.conftest import ROOT
from tests.replay.snapshots import recorded

SETS = ('healthy', 'healthy-reader', 'one-cp-down', 'worker-down', 'nospace-alarm')

# What NOSPACE makes stand still: Kubernetes still says that the scheduler of cp1 is not ready, Talos's own status of the pod that it is.
FROZEN = ('nospace-alarm', 'all control plane components to be ready')
# What os:reader is refused: talosctl never gets further.
REFUSED = ('healthy-reader', 'all k8s nodes to report')


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


@functools.cache
def conditions(name):
    """{talosctl's name of a condition: what we say of it}."""
    told = health_conditions.conditions(recorded(name), settings.build(CHECKS), CHECKS)
    return {one['name']: one for one in told}


ITEMS = [(name, item) for name in SETS for item in waited_for(name)]


def test_the_conditions_are_those_of_talosctl_in_its_order_and_words_and_one_of_our_own():
    named = [condition.name for condition in health_conditions.CONDITIONS]
    assert named[:-1] == list(waited_for('healthy'))
    assert len(named[:-1]) == 16
    assert named[-1] == 'etcd to have no alarms'


@pytest.mark.parametrize('name, item', ITEMS)
def test_what_talosctl_calls_ok_is_met_and_what_it_calls_an_error_is_one_of_the_same_node(name, item):
    said, told = waited_for(name)[item], conditions(name)[item]
    if (name, item) == FROZEN:
        assert said[-1].endswith('[kube-scheduler-cp1]') and told['state'] == 'ok'
        pod = next(each for each in recorded(name).kubernetes['data']['pods'].value if each['name'] == 'kube-scheduler-cp1')
        own = next(machine for machine in recorded(name).machines if machine.name == 'cp1').resource(
            'StaticPodStatuses', 'kube-system/kube-scheduler-cp1')
        assert [[each['status'] for each in one['conditions'] if each['type'] == 'Ready'] for one in (pod, own)] == [['False'], ['True']]
        assert conditions(name)['etcd to have no alarms']['state'] == 'not_met'  # the root, which talosctl does not see
    elif (name, item) == REFUSED:
        assert said[-1].endswith('PermissionDenied desc = not authorized') and told['state'] in ('ok', 'unknown')
    elif said == ['OK']:
        assert told['state'] in ('ok', 'skipped'), told
    else:
        named = set(re.findall(r'\* ([\d.]+): ', '\n'.join(said)))
        assert told['state'] == 'not_met' and named
        assert named <= addresses(name, told['nodes'])
        evidence = [each['text'] for finding in report(name)['findings'] if finding['id'] in told['findings'] for each in finding['evidence']]
        assert any('connection refused' in text for text in evidence)


def test_every_condition_has_its_checks():
    known = {check.id for check in CHECKS}
    assert {check for condition in health_conditions.CONDITIONS for check in condition.checks} <= known


def test_what_talosctl_does_not_get_to_is_told_all_the_same():
    assert list(waited_for('one-cp-down')) == ['etcd to be healthy']
    told = conditions('one-cp-down')
    assert told['apid to be ready']['nodes'] == ['cp3']
    assert (told['kubelet to be healthy']['state'], told['kubelet to be healthy']['reason']) == ('unknown', 'cp3 does not answer')
    assert told['etcd members to be consistent across nodes']['state'] == 'ok'


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
