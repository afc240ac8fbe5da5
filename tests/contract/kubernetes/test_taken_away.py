# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Kubernetes knows is taken away while it is read: a problem becomes unknown, with the reason, and never an all-clear."""

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.kube.api import KubernetesApi
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, judged
from ansible_collections.talosops.talos.plugins.module_utils.tasks.remedy_lock import NoLock
from tests.contract.kubernetes.waiting import until
from tests.simulator import kubernetes_csrs
from tests.simulator.control_plane import READERS
from tests.unit.remedies import locking

BINDINGS = '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings'
SICK = {'diagnostics': [{'node': 'w-1', 'id': 'kubelet-csr'}],
        'k8s': {'nodes': {'cp-1': 'Ready', 'cp-2': 'Ready', 'cp-3': 'Ready', 'w-1': 'Ready', 'w-2': {'ready': 'NotReady', 'since': '-2h'},
                          'w-9': {'ready': 'Unknown', 'since': '-3h', 'internal_ip': '10.5.0.29'}},
                'pods': {'kube-proxy (w-1)': {'waiting': 'CrashLoopBackOff', 'restarts': 30}},
                'csrs': [{'name': 'csr-w1', 'signer': kubernetes_csrs.SERVING, 'username': 'system:node:w-1', 'dns': ['w-1'], 'ips': ['10.5.0.21'],
                          'age': '2h', 'state': 'Pending'}]}}
# The kinds of objects that only Kubernetes has.
KINDS = ('nodes', 'pods', 'csrs', 'daemonsets', 'deployments', 'events', 'leases')
BY_KUBERNETES = {check.id for check in CHECKS if set(check.cluster_reads) & set(KINDS)}


def report(one, kubeconfig=None, timeout=6.0, deadline=45.0):
    found = access.find({'talosconfig': str(one.cluster.directory / 'talosconfig'), 'kubeconfig': kubeconfig})
    snapshot = access.gather({'access': found, 'timeout': timeout, 'deadline': deadline, 'proxy': None}, None)
    return snapshot, judged.anew(snapshot, judged.settings({}))


def problems(told):
    return {each['check'] for each in told['checks'] if each['check'] in BY_KUBERNETES and v.rank(each['verdict']) > v.rank(v.UNKNOWN)}


def assert_unknown(snapshot, told, before, kinds=KINDS):
    """The problems before are unknown now or still known by something else; what was not read says why, and so does the report."""
    after = {each['check']: each['verdict'] for each in told['checks']}
    assert {check: after[check] for check in before if after[check] in (v.OK, v.NOT_APPLICABLE, v.INFO)} == {}
    assert [check for check in before if after[check] == v.UNKNOWN]
    for kind in kinds:
        datum = snapshot.kubernetes['data'][kind]
        assert not datum.ok and datum.reason, kind
    assert not told['complete']
    unknown = [section for section in told['sections'].values() if section['verdict'] == v.UNKNOWN]
    assert unknown and all(section['reason'] for section in unknown)


@pytest.fixture(name='sick')
def _sick(real):
    """(a bed, its problems as long as everything is there)."""
    with real(SICK) as one:
        found = problems(report(one)[1])
        assert {'kubelet.node_not_ready', 'kubelet.node_stale', 'kubelet.serving_csr_pending'} <= found
        yield one, found


@contextlib.contextmanager
def at(monkeypatch, path, act):
    """C(act()) right before the first request for this path; yields what was asked then."""
    request, done = KubernetesApi._request, []

    def before(self, method, server, asked, *rest):
        if asked.startswith(path) and not done:
            done.append(asked)
            act()
        return request(self, method, server, asked, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(KubernetesApi, '_request', before)
        yield done


def test_the_api_server_ends_while_it_is_read(sick, plane, monkeypatch):
    one, before = sick
    try:
        with at(monkeypatch, '/version', plane.server.stop) as asked:
            snapshot, told = report(one)
    finally:
        plane.start_server()
    assert asked
    lost = [kind for kind in KINDS if not snapshot.kubernetes['data'][kind].ok]
    assert 'nodes' in lost or 'pods' in lost, 'it ended too late'
    assert_unknown(snapshot, told, before, lost)
    until(lambda: problems(report(one)[1]) == before)


def test_the_api_server_stands_still_while_it_is_read(sick, plane, monkeypatch):
    one, before = sick
    try:
        with at(monkeypatch, '/version', plane.server.pause):
            snapshot, told = report(one)
    finally:
        plane.server.resume()
    lost = [kind for kind in KINDS if not snapshot.kubernetes['data'][kind].ok]
    assert lost
    assert_unknown(snapshot, told, before, lost)


def test_its_etcd_stands_still(sick, plane):
    one, before = sick
    plane.store.pause()
    try:
        until(lambda: plane.admin.call('GET', '/readyz')[0] == 500)  # what its health was last stands for a moment
        snapshot, told = report(one)
    finally:
        plane.store.resume()
    readyz = snapshot.kubernetes['data']['readyz']
    assert not readyz.ok or readyz.value['status'] == 500 and '[-]etcd-readiness failed: reason withheld' in readyz.value['body']
    lost = [kind for kind in KINDS if not snapshot.kubernetes['data'][kind].ok]
    assert lost
    assert_unknown(snapshot, told, before, lost)
    until(lambda: plane.admin.call('GET', '/readyz') == (200, 'ok'))


def test_the_rights_of_a_reader_are_taken_away(sick, plane, tmp_path):
    one, before = sick
    path = tmp_path / 'reader'
    path.write_text(one.cluster.kubeconfig_of('somebody', [READERS]))
    assert problems(report(one, str(path))[1]) == before, 'a reader sees what an administrator sees'
    kept = plane.admin.get(f'{BINDINGS}/readers')
    plane.admin.ask('DELETE', f'{BINDINGS}/readers', {})
    reader = plane.api('somebody', [READERS])
    try:
        until(lambda: reader.call('GET', '/api/v1/nodes')[0] == 403)
        snapshot, told = report(one, str(path))
    finally:
        plane.admin.ask('POST', BINDINGS, {'metadata': {'name': 'readers'}, **{key: kept[key] for key in ('roleRef', 'subjects')}})
        until(lambda: reader.call('GET', '/api/v1/nodes')[0] == 200)
        reader.close()
    assert_unknown(snapshot, told, before)
    nodes = snapshot.kubernetes['data']['nodes']
    assert nodes.state == 'refused' and nodes.code == '403' and 'User "somebody" cannot list resource "nodes"' in nodes.reason


def test_one_right_of_a_reader_is_taken_away(sick, plane, tmp_path):
    """Requests alone cannot be read: what is said of Nodes stays."""
    one, before = sick
    path, role = tmp_path / 'reader', '/apis/rbac.authorization.k8s.io/v1/clusterroles/readers'
    path.write_text(one.cluster.kubeconfig_of('somebody', [READERS]))
    rules = plane.admin.get(role)['rules']
    reader = plane.api('somebody', [READERS])
    asked = '/apis/certificates.k8s.io/v1/certificatesigningrequests'
    plane.admin.ask('PATCH', role, {'rules': [rule for rule in rules if rule['apiGroups'] != ['certificates.k8s.io']]}, 'application/merge-patch+json')
    try:
        until(lambda: reader.call('GET', asked)[0] == 403)
        snapshot, told = report(one, str(path))
    finally:
        plane.admin.ask('PATCH', role, {'rules': rules}, 'application/merge-patch+json')
        until(lambda: reader.call('GET', asked)[0] == 200)
        reader.close()
    after = {each['check']: each['verdict'] for each in told['checks']}
    assert after['kubelet.serving_csr_pending'] not in (v.OK, v.NOT_APPLICABLE) and snapshot.kubernetes['data']['csrs'].code == '403'
    assert before - {'kubelet.serving_csr_pending'} <= problems(told)


def test_without_an_api_server_there_is_no_lock(real, plane, monkeypatch):
    monkeypatch.setattr(locking, 'bed', real)
    with locking.place() as one:
        one.kube = one.way(timeout=2)
        plane.server.pause()
        try:
            locking.refused(one, NoLock, 'The cluster cannot be locked, so this run would be unlocked: .* did not answer in time')
        finally:
            plane.server.resume()
