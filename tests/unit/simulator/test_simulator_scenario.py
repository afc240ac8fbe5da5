# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenario files: what is refused and how, defaults, times, mapped addresses."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from tests.simulator import scenario, vocabulary
from tests.simulator.model import Model
from tests.simulator.scenario import ScenarioError, from_state, loads, mapped
from tests.simulator.values import Clock, duration
from tests.tools.expectations import problem

SCENARIOS = sorted((Path(__file__).parents[2] / 'scenarios').rglob('*.yaml'))
SECTIONS = set("""network_configuration talos_api.firewall talos_api.client_configuration talos_api.subnet_conflict talos_api.wrong_endpoints
talos_api.tcp_loadbalancer system_requirements health_checks gathering_logs discovery.missing discovery.duplicate discovery.removed
etcd.all_pre etcd.some_pre etcd.alarm etcd.quorum_lost etcd.other kubelet.not_running kubelet.node_not_found kubelet.wrong_internal_ip
kubelet.wrong_external_ip kubelet.wrong_node_name kubelet.node_not_ready kubelet.stale_nodes kubelet.cert_errors
controlplane.static_pods controlplane.pod_status controlplane.manifests controlplane.other kubernetes_api.endpoint
misc.controller_runtime x.time x.upgrade""".split())


@pytest.mark.parametrize(('text', 'message'), [
    ('state:\n  k8s:\n    csrs: [{state: Lost}]\n',
     "s.yaml:3: state.k8s.csrs[0].state must be Pending, Approved, \"Approved,Issued\", Denied or Failed, not 'Lost'."),
    ('state:\n  foreign: {x: there}\n', "s.yaml:2: state.foreign.x must be an IP address, not 'there'."),
    ('state:\n  ephemeral: {top: {/var/log: much}}\n', "s.yaml:2: state.ephemeral.top./var/log must be a size such as 12GiB, or a number of GiB, not 'much'."),
    ('state:\n  nodes:\n    cp-1:\n      node_ip: ten\n', "s.yaml:4: state.nodes.cp-1.node_ip must be an IP address, not 'ten'."),
    ('state:\n  id: x\n  etdc: {}\n', 's.yaml:3: unknown key state.etdc.'),
    ('state:\n  nodes:\n    cp-1:\n      uptimes: 3m\n', 's.yaml:4: unknown key state.nodes.cp-1.uptimes.'),
    ('state: {}\nexpect: {}\n', 's.yaml:2: unknown key expect.'),
    ('state:\n  nodes:\n    cp-9: {uptime: 3m}\n', 's.yaml:3: state.nodes.cp-9 names cp-9, which is no machine of the topology.'),
    ('state:\n  discovery:\n    cp-9: [cp-1]\n', 's.yaml:3: state.discovery.cp-9 names cp-9, which is no machine of the topology.'),
    ('state:\n  etcd: [1]\n', 's.yaml:2: state.etcd must be a mapping.'),
    ('state:\n  diagnostics: {node: cp-1}\n', 's.yaml:2: state.diagnostics must be a list.'),
    ('state:\n  uptime: 3m\n  uptime: 4m\n', 's.yaml:3: the key uptime stands there twice.'),
    ('state:\n  lines:\n    - {node: cp-1, src: syslog, at: -1s, line: x}\n', "s.yaml:3: unknown state.lines[0].src 'syslog'."),
    ('state:\n  uptime: 5x\n', "s.yaml:2: state.uptime must be a duration such as 2h10m or 40d, not '5x'."),
    ('state:\n  topology:\n    cp: {a: b}\n', "s.yaml:3: state.topology.cp.a must be an IP address, not 'b'."),
    ('state:\n  services_cp: {etcd: Pre}\n', 's.yaml:2: state.services_cp.etcd must be a service state and OK, Fail or "?", not \'Pre\'.'),
    ('state:\n  etcd: {db_mb: much}\n', "s.yaml:2: state.etcd.db_mb must be a number, or one per member, not 'much'."),
    ('state:\n  nodes: {cp-1: {api: gone}}\n', "s.yaml:2: state.nodes.cp-1.api must be 'TLS fails both ways', not 'gone'."),
    ('state:\n  k8s:\n    nodes: {w-1: {flapping: often}}\n',
     "s.yaml:3: state.k8s.nodes.w-1.flapping must be true, false, a duration of one state, or a number of changes in an hour, not 'often'."),
    ('state:\n  k8s: {pods: {x: {phase: Crashing}}}\n', "s.yaml:2: state.k8s.pods.x.phase must be a phase of a pod, not 'Crashing'."),
    ('state:\n  k8s: {csrs: [{age: 5m}]}\n', 's.yaml:2: state.k8s.csrs[0] has no name.'),
    ('state:\n  k8s:\n    pods:\n      x (w-7): Pending\n', "s.yaml:4: state.k8s.pods 'x (w-7)' is not \"name\" or \"name (Node)\" with a Node that there is."),
    ('state:\n  k8s: {kube_system: some}\n', "s.yaml:2: state.k8s.kube_system must be all pods Running and ready, none, or a mapping of pods, not 'some'."),
    ('state:\n  k8s: {writes: refused}\n', 's.yaml:2: state.k8s.writes must be ok, or "rejected: " and the text of the refusal, not \'refused\'.'),
    ('state:\n  network: {lb: {kind: http}}\n', "s.yaml:2: state.network.lb.kind must be tcp, not 'http'."),
    ('state:\n  network: {lb: {check: ping}}\n', "s.yaml:2: state.network.lb.check must be tcp-connect, readyz or none, not 'ping'."),
    ('state:\n  k8s: {api: sideways}\n', "s.yaml:2: state.k8s.api must be up, down, never up, or a mapping, not 'sideways'."),
    ('[1]\n', 's.yaml:1: a scenario is a mapping with the keys state and expected.'),
    ('', 's.yaml:1: a scenario is a mapping with the keys state and expected.'),
])
def test_what_is_no_scenario_is_refused_with_file_and_line(text, message):
    with pytest.raises(ScenarioError) as refused:
        loads(text, 's.yaml')
    assert str(refused.value) == message


def test_a_file_that_is_not_yaml_or_not_there_is_one_sentence(tmp_path):
    (tmp_path / 'bad.yaml').write_text('state: {a: [\n')
    for name in ('bad.yaml', 'none.yaml', '.'):
        with pytest.raises(ScenarioError) as refused:
            scenario.read(tmp_path / name)
        assert '\n' not in str(refused.value)


def test_the_defaults_are_those_of_the_page():
    state = from_state({}).state
    assert state['etcd']['members'] == {'cp-1': '1' * 16, 'cp-2': '2' * 16, 'cp-3': '3' * 16}
    assert (state['etcd']['leader'], state['network']['vip_holder']) == ('cp-1', 'cp-1')
    assert state['client']['endpoints'] == ['10.5.0.11', '10.5.0.12', '10.5.0.13']


def test_what_is_given_replaces_its_default_and_nothing_else():
    state = from_state({'etcd': {'db_mb': 7}, 'services_cp': {'etcd': ['Preparing', '?']}, 'topology': {'cp': {'a': '10.1.0.1'}}}).state
    assert (state['etcd']['db_mb'], state['etcd']['quota_mb']) == (7, 2048)
    assert (state['services_cp']['etcd'], state['services_cp']['apid']) == (['Preparing', '?'], ['Running', 'OK'])
    assert state['topology'] == {'cp': {'a': '10.1.0.1'}, 'workers': {'w-1': '10.5.0.21', 'w-2': '10.5.0.22'}}
    assert state['etcd']['members'] == {'a': '1' * 16}


def test_a_fixed_now_moves_every_time():
    wall = datetime(2030, 1, 1, tzinfo=timezone.utc)
    clock = Clock('2026-11-22T10:00:00Z', wall)
    assert clock.at('2026-11-22T09:55:00Z') == clock.at('-5m') == wall - timedelta(minutes=5)
    assert Clock(None, wall).at('2029-12-31T23:00:00Z') == wall - timedelta(hours=1)


@pytest.mark.parametrize(('text', 'seconds'), [('2h10m', 7800), ('40d', 3456000), ('90s', 90), ('1.5s', 1.5), ('250ms', 0.25)])
def test_durations(text, seconds):
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize('text', ['', '5', 'm', '5 m', '5x'])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match=f'^{text}$'):
        duration(text)


def test_addresses_are_mapped_in_data_and_in_texts():
    value = {'10.5.0.11': ['https://10.5.0.10:6443', '10.244.0.0/16', 'dial tcp 10.5.0.13:2380: connect', 'v1.10.5', '110.5.0.1', '10.5.0']}
    assert mapped(value, 2, [(244, 244)]) == {
        '127.7.0.11': ['https://127.7.0.10:6443', '127.244.0.0/16', 'dial tcp 127.7.0.13:2380: connect', 'v1.10.5', '110.5.0.1', '10.5.0']}


def test_a_network_in_which_machines_stand_moves_with_them():
    model = Model(from_state({'network': {'pod': ['10.5.0.0/16']}}), shift=3)
    assert (model.nodes['cp-1'].address, model.state['network']['pod']) == ('127.8.0.11', ['127.8.0.0/16'])
    assert model.state['network']['service'] == ['127.96.0.0/12']
    assert model.nodes['cp-1'].routed_no_k8s == []


def test_machines_keep_their_identity_wherever_they_are_served():
    models = [Model(from_state({}), name='x', loopback=loopback, shift=shift) for loopback, shift in ((True, 0), (True, 7), (False, 0))]
    assert len({model.nodes['cp-2'].identity for model in models}) == 1
    assert Model(from_state({}), name='y').nodes['cp-2'].identity != models[0].nodes['cp-2'].identity


@pytest.mark.parametrize('path', SCENARIOS, ids=lambda path: path.stem)
def test_our_scenarios_are_whole(path):
    read = scenario.read(path)
    assert read.name == path.stem
    assert set(read.expected) | {'assert_not'} == set(vocabulary.EXPECTED)
    assert problem(read.expected) is None
    worst = {'healthy': 'info', 'warnings': 'warning', 'errors': 'error', 'critical': 'critical'}.get(read.expected['class'])
    order = ['info', 'warning', 'error', 'critical']
    severities = [finding['severity'] for finding in read.expected['findings']]
    assert worst is None and read.expected['class'] == 'not_judged' or max(severities, key=order.index, default='info') == worst
    discovered = read.state['discovery'].get('extra') or {}
    names = {*Model(read).machines, *Model(read).kubernetes_nodes, *read.state['etcd']['members'], *discovered}
    for finding in read.expected['findings']:
        assert finding['section'] in SECTIONS
        assert set(finding.get('nodes', ())) <= names
        assert set(finding) <= {'section', 'severity', 'nodes', 'root', 'because_of', 'fact'}


def test_the_defaults_block_is_known_to_the_vocabulary():
    scenario._check({'state': yaml.safe_load(scenario.DEFAULTS)}, vocabulary.DOCUMENT, (), {}, 'defaults')
