# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talosctl health with its own checks (C(--server=false)) on simulated clusters: it passes, or stops at the check that is meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

VERSION = {'versions': {'talos': 'v1.12.0', 'kubernetes': 'v1.35.0'}}
HEALTH = ('health', '--server=false', '--wait-timeout')
_RECORDED = Path(__file__).parent / 'data' / 'healthy.json'

_READY = {name: 'Ready' for name in ('cp-1', 'cp-2', 'cp-3', 'w-1', 'w-2')}

FAULTS = {
    'a control plane node is off': (
        {'nodes': {'cp-3': {'reachable': False}}, 'etcd': {'reachable': ['cp-1', 'cp-2']}},
        'etcd to be healthy', 'dial tcp {cp-3}:50000: connect: connection refused'),
    'a member of etcd has no machine': (
        {'etcd': {'members': {'cp-1': '1' * 16, 'cp-2': '2' * 16, 'cp-3': '3' * 16, 'gone': '4' * 16}, 'member_addresses': {'gone': '10.5.0.99'}}},
        'etcd members to be control plane nodes', 'are not subset of control plane node ips'),
    'a worker is off': (
        {'nodes': {'w-1': {'reachable': False}}},
        'apid to be ready', 'dial tcp {w-1}:50000: connect: connection refused'),
    'a small machine': (
        {'nodes': {'w-2': {'memory_mib': 500}}},
        'all nodes memory sizes', 'memory'),
    'a diagnostic': (
        {'diagnostics': [{'node': 'w-1', 'id': 'kubelet-csr'}]},
        'no diagnostics', '{w-1}: kubelet server certificate rotation is enabled, but CSR is not approved'),
    'a kubelet fails, which talosctl asks of control plane nodes only': (
        {'nodes': {'cp-2': {'services': {'kubelet': ['Running', 'Fail']}}}},
        'kubelet to be healthy', 'kubelet'),
    'a machine boots': (
        {'nodes': {'w-1': {'machine_status': {'stage': 'booting', 'ready': False}}}},
        'all nodes to finish boot sequence', 'booting'),
    'a Node is not ready': (
        {'k8s': {'nodes': {**_READY, 'w-2': {'ready': 'False', 'reason': 'KubeletNotReady', 'since': '-10m'}}}},
        'all k8s nodes to report ready', 'w-2'),
    'a Node is cordoned': (
        {'k8s': {'nodes': {**_READY, 'w-2': {'ready': 'Ready', 'schedulable': False}}}},
        'all k8s nodes to report schedulable', 'w-2'),
}


def _sequence(text):
    """The checks in their order, each once."""
    return list(dict.fromkeys(line.partition('waiting for ')[2].rpartition(': ')[0] for line in text.splitlines() if line.endswith(': ...')))


def _passed(text):
    return [line.removeprefix('waiting for ').removesuffix(': OK') for line in text.splitlines() if line.endswith(': OK')]


def _recorded():
    return next(command for command in json.loads(_RECORDED.read_text(encoding='utf-8')) if command['name'] == 'health_clientside')


@pytest.mark.parametrize('versions', [{}, VERSION], ids=['newest', '1.12'])
def test_a_healthy_cluster_passes_every_check_of_the_recording(cluster_of, versions):
    said = cluster_of(versions).read(*HEALTH, '5m')
    assert _passed(said.err) == _sequence(said.err) == _passed(_recorded()['err'])


@pytest.mark.parametrize('fault', FAULTS)
def test_it_stops_at_the_check_that_is_meant(cluster_of, fault):
    state, check, words = FAULTS[fault]
    talosctl = cluster_of({**VERSION, **state})
    said = talosctl.run(*HEALTH, '6s')
    assert said.code == 1
    assert _sequence(said.err)[-1] == check, said.err
    assert _passed(said.err) == _sequence(said.err)[:-1]
    assert words.format_map({name: node.address for name, node in talosctl.cluster.nodes.items()}) in said.err
