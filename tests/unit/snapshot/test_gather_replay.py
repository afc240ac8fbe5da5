# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gather with the real client over TLS, against a real cluster's recorded bytes."""

from __future__ import annotations

import json
import os
import re
import threading
import time

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.kube import api
from ansible_collections.talosops.talos.plugins.module_utils.kube import config as kube_config
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.gather import gather
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.machines import kubernetes_machine_id
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import Redactor
from tests import recorded as said
from tests.replay import load, serve
from tests.replay.snapshots import recorded
from tests.unit.snapshot import recorded_kubeconfig

SETS = ('healthy', 'healthy-reader', 'one-cp-down', 'worker-down', 'nospace-alarm')


def unmarked(value):
    """A value in which every mark of a secret is the same."""
    return json.loads(re.sub('redacted:[0-9a-f]{8}', 'redacted:', json.dumps(value)))


def by_name(snapshot):
    return {machine.name: machine for machine in snapshot.machines}


@pytest.mark.parametrize('name', SETS)
def test_every_datum_is_what_the_machine_said(name):
    """Against tests/recorded.py, which knows nothing of gather, client and network."""
    expected, got = by_name(said.snapshot(name)), by_name(recorded(name))
    assert list(got) == list(expected)
    for label, machine in got.items():
        assert machine.key == expected[label].key
        assert machine.answered == expected[label].answered
        for kind, datum in {**machine.data, **machine.logs}.items():
            theirs = {**expected[label].data, **expected[label].logs}.get(kind)
            if kind == 'DiskUsage':  # asked for only where the disk is full, which no recording shows
                assert datum.state == 'not_asked' or not machine.answered
            elif theirs is not None and theirs.state == 'not_asked' and not machine.answered:
                assert datum.state == 'unreachable', kind
            elif kind not in ('certificate', 'apiserver_certificate', 'apiserver_probe', 'reach'):
                assert datum.state == theirs.state, kind
                assert unmarked(datum.value) == unmarked(Redactor().value(theirs.value)), kind


@pytest.mark.parametrize('name', SETS)
def test_counts(name):
    snapshot = recorded(name)
    control_node = snapshot.control_node
    connected = sum(endpoint.connected for endpoint in snapshot.endpoints)
    assert (control_node['waves'], control_node['retries'], control_node['handshakes']) == (2, 0, connected)
    assert connected == (2 if name == 'one-cp-down' else 3)


def test_kubernetes_by_the_kubeconfig_that_talos_issues():
    kubernetes = recorded('healthy').kubernetes
    machines = by_name(recorded('healthy'))
    assert (kubernetes['source'], kubernetes['server'], kubernetes['error']) == ('talos', 'https://10.5.0.100:6443', None)
    assert kubernetes['data']['version'].value['gitVersion'] == 'v1.36.3'
    assert kubernetes['data']['readyz'].value['status'] == 200
    nodes = {node['name']: node for node in kubernetes['data']['nodes'].value}
    assert {name: node['machine_id'] for name, node in nodes.items()} == {name: kubernetes_machine_id(m.key) for name, m in machines.items()}
    assert nodes['cp1']['taints'] == [{'key': 'node-role.kubernetes.io/control-plane', 'effect': 'NoSchedule'}]
    assert {machines[name].key: 200 for name in ('cp1', 'cp2', 'cp3')} == {key: datum.value['status'] for key, datum in kubernetes['servers'].items()}
    assert all('kubernetes' in machine.known_from for machine in machines.values())


def test_one_api_server_down_is_told_from_the_api_down():
    kubernetes = recorded('one-cp-down').kubernetes
    machines = by_name(recorded('one-cp-down'))
    assert {key: datum.state for key, datum in kubernetes['servers'].items()} == {
        machines['cp1'].key: 'read', machines['cp2'].key: 'read', machines['cp3'].key: 'unreachable'}
    assert kubernetes['data']['readyz'].ok


def test_a_reader_without_a_kubeconfig_learns_nothing_of_kubernetes():
    kubernetes = recorded('healthy-reader').kubernetes
    assert {(datum.state, datum.reason) for kind, datum in kubernetes['data'].items() if kind != 'endpoint'} == {
        ('refused', 'needs os:admin or a kubeconfig')}
    assert kubernetes['source'] is None


@pytest.mark.parametrize('name', ['healthy', 'healthy-reader', 'one-cp-down'])
def test_who_knocks_learns_that_the_endpoint_serves(name):
    endpoint = recorded(name).kubernetes['data']['endpoint'].value
    role = {'healthy-reader': ('kubeprism', False, 401)}.get(name, ('talos', True, 200))
    assert (endpoint['url'], endpoint['error'], len(endpoint['probes'])) == ('https://10.5.0.100:6443', None, 10)
    assert {(endpoint['source'], endpoint['verified'], probe['status']) for probe in endpoint['probes']} == {role}
    assert all(probe['ok'] for probe in endpoint['probes'])
    assert [certificate['ips'] for certificate in endpoint['certificates']] == [['10.5.0.2', '10.5.0.100', '10.96.0.1', '127.0.0.1']]
    planes = {machine.name: machine.value('apiserver_probe') for machine in recorded(name).machines if machine.is_control_plane}
    assert {label: (probe['ok'], probe['status']) for label, probe in planes.items()} == {
        'cp1': (True, 401), 'cp2': (True, 401), 'cp3': (False, None) if name == 'one-cp-down' else (True, 401)}
    assert all('apiserver_probe' not in machine.data for machine in recorded(name).machines if not machine.is_control_plane)


def test_the_client_is_described_without_its_secrets():
    client = recorded('healthy').client
    assert client['certificate']['roles'] == ['os:admin']
    assert client['endpoints'] == ['10.5.0.2', '10.5.0.3', '10.5.0.4']
    assert 'PRIVATE' not in str(client)


@pytest.fixture(scope='module')
def replay():
    with serve('healthy') as running:
        yield running


def given(kubeconfig):
    return {'kind': 'Config', 'current-context': 'x', 'contexts': [{'name': 'x', 'context': {'cluster': 'x', 'user': 'x'}}], **kubeconfig}


def test_a_given_kubeconfig_is_taken_and_named(replay):
    source = kube_config.load(content=recorded_kubeconfig.text('healthy'))
    snapshot = gather(talosconfig.load(content=replay.talosconfig), proxy=replay.proxy, kube=source, kinds=('nodes',), logs=())
    assert snapshot.kubernetes['source'] == 'kubeconfig'
    assert len(snapshot.kubernetes['data']['nodes'].value) == 4


def test_a_kubeconfig_of_another_cluster_is_refused(replay, monkeypatch):
    real = api.KubernetesApi.pages

    def foreign(self, path, seconds, server=None):
        for page in real(self, path, seconds, server):
            for number, node in enumerate(page):
                node['status']['nodeInfo']['machineID'] = f'{number:032x}'
                node['status']['addresses'] = [{'type': 'InternalIP', 'address': f'192.0.2.{number}'}]
            yield page

    monkeypatch.setattr(api.KubernetesApi, 'pages', foreign)
    source = kube_config.load(content=recorded_kubeconfig.text('healthy'))
    snapshot = gather(talosconfig.load(content=replay.talosconfig), proxy=replay.proxy, kube=source, kinds=('nodes',), logs=())
    assert snapshot.kubernetes['data']['nodes'].state == 'refused'
    assert 'belongs to another cluster' in snapshot.kubernetes['error']
    assert snapshot.kubernetes['servers'] == {}
    assert not [machine for machine in snapshot.machines if 'kubernetes' in machine.known_from]


def test_a_kubernetes_api_that_is_down_hurts_nothing_else(replay):
    source = kube_config.load(content=given({
        'clusters': [{'name': 'x', 'cluster': {'server': 'https://10.5.0.77:6443'}}], 'users': [{'name': 'x', 'user': {'token': 'abcdefgh12345678'}}]}))
    snapshot = gather(talosconfig.load(content=replay.talosconfig), proxy=replay.proxy, kube=source, kinds=('nodes', 'TimeStatuses'), logs=())
    assert {datum.state for kind, datum in snapshot.kubernetes['data'].items() if kind != 'endpoint'} == {'unreachable'}
    assert [machine.answered for machine in snapshot.machines] == [True] * 4
    assert all(machine.datum('TimeStatuses').ok for machine in snapshot.machines)


def test_nothing_is_left_behind(replay, tmp_path):
    threads = {thread.name for thread in threading.enumerate()}
    before = set(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else set()
    gather(talosconfig.load(content=replay.talosconfig), proxy=replay.proxy, tmp_dir=str(tmp_path))
    assert os.listdir(tmp_path) == []
    assert {thread.name for thread in threading.enumerate() if thread.name.startswith('talos')} <= threads
    end = time.monotonic() + 20  # the replay is in this process, and lets go of its ends of the connections a little later
    while before and len(set(os.listdir('/proc/self/fd')) - before) > 2 and time.monotonic() < end:
        time.sleep(0.05)
    if before:
        assert len(set(os.listdir('/proc/self/fd')) - before) <= 2


def test_the_set_is_the_one_that_was_recorded():
    assert recorded('healthy').taken_at.startswith(load('healthy').meta['started'][:-1])
    assert recorded('healthy').machines[0].value('certificate')['not_after'].startswith('2026-11-23T10:1')
