# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the troubleshooting guide that no other contract runs, on a healthy cluster and on broken ones."""

from __future__ import annotations

import pytest

COMPONENTS = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler']
VERSION = {'versions': {'talos': 'v1.12.0', 'kubernetes': 'v1.35.0'}}
NOT_BOOTSTRAPPED = {'etcd': {'members': {}}, 'services_cp': {'etcd': ['Preparing', '?'], 'kubelet': ['Running', 'OK'], 'apid': ['Running', 'OK']},
                    'k8s': {'api': 'never up'}, 'uptime': '2m'}


def test_static_pods_and_that_they_are_rendered(cluster_of):
    talosctl = cluster_of(VERSION)
    for node in ('cp-1', 'cp-2', 'cp-3'):
        assert [row['ID'] for row in talosctl.read('get', 'staticpods', nodes=[node]).rows] == COMPONENTS
    assert talosctl.read('get', 'staticpods', nodes=['w-1']).rows == []
    rendered = [line for line in talosctl.read('dmesg').out.splitlines() if 'rendered new static pod' in line]
    assert [component for component in COMPONENTS if any(f'"id": "{component}"' in line for line in rendered)] == COMPONENTS


def test_manifests_and_one_of_them_in_full(cluster_of):
    talosctl = cluster_of(VERSION)
    ids = [row['ID'] for row in talosctl.read('get', 'manifests').rows]
    assert [one for one in ('00-kubelet-bootstrapping-token', '01-csr-approver-role-binding', '10-kube-proxy', '11-core-dns') if one not in ids] == []
    one = talosctl.read('get', 'manifests', '01-csr-approver-role-binding', '--namespace=controlplane', '-o', 'yaml').yaml[0]
    assert one['metadata']['id'] == '01-csr-approver-role-binding'
    assert [part['kind'] for part in one['spec']] == ['ClusterRoleBinding']


@pytest.mark.parametrize('service', ['etcd', 'kubelet', 'controller-runtime'])
def test_logs(cluster_of, service):
    assert cluster_of(VERSION).read('logs', service, '--tail', '3').out.count('\n') in (1, 2, 3)


def test_a_log_that_is_not_there(cluster_of):
    said = cluster_of(VERSION).run('logs', 'etcd', nodes=['w-1'])
    assert said.code == 1 and 'log "etcd" was not registered' in said.err


def test_a_cluster_that_was_not_bootstrapped(cluster_of):
    talosctl = cluster_of({**VERSION, **NOT_BOOTSTRAPPED})
    assert 'STATE    Preparing' in talosctl.read('service', 'etcd').out
    assert talosctl.read('list', '/var/lib/etcd').out.split()[2:] == [talosctl.cluster.address('cp-1'), '.']
    said = talosctl.run('health', '--server=false', '--wait-timeout', '6s')
    assert said.code == 1 and 'waiting for etcd to be healthy: OK' not in said.err
    talosctl.read('bootstrap')
    talosctl.cluster.skip(600)
    assert [row['HOSTNAME'] for row in sorted(talosctl.read('etcd', 'members').rows, key=lambda row: row['HOSTNAME'])] == ['cp-1', 'cp-2', 'cp-3']


def test_a_certificate_of_another_cluster(cluster_of):
    said = cluster_of({'client': {'context_matches_cluster': False}}).run('version')
    assert said.code == 1 and 'x509: certificate signed by unknown authority' in said.err


def test_a_role_that_may_not(cluster_of):
    said = cluster_of({**VERSION, 'client': {'role': 'os:reader'}}).run('get', 'machineconfig')
    assert said.code == 1 and 'not authorized' in said.err
