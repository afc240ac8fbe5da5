# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bootstrap manifests: what a node has is what it has applied, and what keeps it from that."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import control_plane_manifests, etcd
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time
from tests import recorded
from tests.unit.guide.control_plane_states import no_leader
from tests.unit.guide.judging import READ, ago, faults, findings, lose, node, old, one, planes, preparing, recording, report, set_service, verdict_of

CHECKS = control_plane_manifests.CHECKS
WITH_ETCD = (*etcd.CHECKS, *CHECKS)
FAILS, MISSING = 'controlplane.manifest_apply_fails', 'controlplane.manifests_missing'
APPLY, DOWNLOAD = 'k8s.ManifestApplyController', 'k8s.ExtraManifestController'


def judged(snapshot, checks=CHECKS, thresholds=None):
    return report(snapshot, thresholds, checks)


def fails(snapshot, machine, error, seconds=20, controller=APPLY):
    """Its controllers' log ends with this failure, so many seconds before the gather."""
    at = format_time(snapshot.now - timedelta(seconds=seconds))
    escaped = error.replace('"', '\\"')
    line = f'{at} \x1b[31mERROR\x1b[0m controller failed {{"component": "controller-runtime", "controller": "{controller}", "error": "{escaped}"}}\n'
    machine.logs['controller-runtime'] = Datum(READ, line)
    stamp = snapshot.now.strftime('%Y/%m/%d %H:%M:%S.%f')
    machine.logs['machined'] = Datum(READ, f'{stamp} [talos] something\n')
    machine.value('Time')['localtime'] = format_time(snapshot.now)


def forget(machine, *ids):
    spec = machine.value('ManifestStatuses')[0]['spec']
    spec['manifestsApplied'] = [name for name in spec['manifestsApplied'] if name not in ids]


@pytest.mark.parametrize('later', [0, 86400])
@pytest.mark.parametrize('name', recorded.SETS)
def test_recorded_clusters_are_quiet(name, later):
    """Recorded at each bootstrap: "error getting inventory" three to seven times, before the manifests were applied."""
    assert findings(judged(recording(name, later)), worse_than='info') == []


# -- failures ---------------------------------------------------------------------------------------------------

def test_etcd_refuses_the_lock_because_it_is_full():
    snapshot = old('nospace-alarm')
    fails(snapshot, node(snapshot, 'cp1'), 'error creating etcd session: etcdserver: mvcc: database space exceeded')
    finding = one(judged(snapshot, WITH_ETCD), FAILS)
    assert (finding['verdict'], finding['nodes'], finding['section']) == ('error', ['cp1'], 'controlplane.manifests')
    assert all(cause.startswith('etcd.alarm_nospace/') for cause in finding['because_of']) and finding['because_of']
    assert 'database space exceeded' in finding['title'] and 'repair etcd first' in finding['next_step']


@pytest.mark.parametrize('error, controller, verdict, said', [
    ('1 error occurred: * error downloading "": error downloading \'\'', DOWNLOAD, 'error', 'cluster.extraManifests'),
    ('error downloading "https://example.org/calico.yaml": Get "https://example.org/calico.yaml": dial tcp: lookup example.org: no such host', DOWNLOAD,
        'error',
     'reach that URL'),
    ('error checking resource existence: name is required', APPLY, 'error', 'kind: List'),
    ('1 error occurred: * error creating mapping for object talos.dev/v1alpha1/ServiceAccount/x: no matches for kind "ServiceAccount" in version '
     '"talos.dev/v1alpha1"', APPLY, 'warning', 'CustomResourceDefinition'),
    ('unexpected foreign inventory annotation', APPLY, 'warning', 'inlineManifests'),
])
def test_what_is_wrong_with_a_manifest(error, controller, verdict, said):
    snapshot = old()
    fails(snapshot, node(snapshot, 'cp2'), error, controller=controller)
    finding = one(judged(snapshot), FAILS)
    assert finding['verdict'] == verdict and finding['nodes'] == ['cp2'] and said in finding['next_step'] and finding['root']
    assert error.split('"')[0][:30] in finding['title']


def test_an_error_that_nobody_knows_is_worse_while_a_manifest_is_missing():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    fails(snapshot, machine, 'error creating apps/v1/DaemonSet/x: admission webhook "guard" denied the request')
    assert one(judged(snapshot), FAILS)['verdict'] == 'warning'
    forget(machine, '11-core-dns')
    assert one(judged(snapshot), FAILS)['verdict'] == 'error'


def test_the_line_as_a_scenario_writes_it():
    """Quotes inside the error not escaped, as in a log of Talos that a person copied."""
    snapshot = old()
    machine = node(snapshot, 'cp2')
    fails(snapshot, machine, 'x')
    machine.logs['controller-runtime'].value = (
        f'{ago(snapshot, 9)} \x1b[31mERROR\x1b[0m controller failed {{"component": "controller-runtime", "controller": "{APPLY}", "error": "error creating '
        'v1/Secret/x: Post "https://127.0.0.1:7445/api": context deadline exceeded"}\n')
    assert 'context deadline exceeded' in one(judged(snapshot), FAILS)['title']


def test_a_server_that_does_not_answer_is_told_elsewhere():
    snapshot = old()
    fails(snapshot, node(snapshot, 'cp2'), 'error getting inventory: Get "https://127.0.0.1:7445/api/v1/namespaces/kube-system": EOF')
    assert one(judged(snapshot), FAILS)['verdict'] == 'info'


@pytest.mark.parametrize('seconds, verdict', [(280, 'error'), (320, 'ok')])
def test_what_no_longer_fails_is_history(seconds, verdict):
    snapshot = old()
    fails(snapshot, node(snapshot, 'cp2'), 'error checking resource existence: name is required', seconds)
    assert verdict_of(judged(snapshot), FAILS) == verdict


def test_what_was_applied_after_it_is_history():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    fails(snapshot, machine, 'error creating etcd session: context deadline exceeded', 60)
    assert one(judged(snapshot), FAILS)['verdict'] == 'error'
    machine.value('ManifestStatuses')[0]['updated'] = ago(snapshot, 30)
    assert faults(judged(snapshot)) == set()


def test_a_young_cluster_is_given_time():
    snapshot = recording()
    fails(snapshot, node(snapshot, 'cp2'), 'error downloading "https://example.org/x.yaml": timeout', controller=DOWNLOAD)
    assert one(judged(snapshot), FAILS)['verdict'] == 'info'


def test_a_log_that_was_not_read_is_unknown():
    snapshot = old()
    lose(node(snapshot, 'cp1'), 'controller-runtime', log=True)
    finding = one(judged(snapshot), FAILS)
    assert finding['verdict'] == 'unknown' and 'log controller-runtime' in finding['title']


# -- missing ----------------------------------------------------------------------------------------------------

def test_a_manifest_that_was_not_applied():
    snapshot = old()
    forget(node(snapshot, 'cp1'), '10-kube-proxy', '11-core-dns')
    finding = one(judged(snapshot), MISSING)
    assert (finding['verdict'], finding['nodes']) == ('error', ['cp1']) and '2 of its 10 manifests: 10-kube-proxy and 11-core-dns' in finding['title']


def test_none_was_applied_since_the_boot_because_etcd_is_full():
    snapshot = old('nospace-alarm')
    node(snapshot, 'cp2').data['ManifestStatuses'] = Datum(READ, [])
    finding = one(judged(snapshot, WITH_ETCD), MISSING)
    assert finding['verdict'] == 'error' and finding['because_of'] and 'etcd.alarm_nospace' in finding['because_of'][0]


@pytest.mark.parametrize('cni', ['none', 'custom'])
def test_what_a_cluster_does_not_want_is_not_missed(cni):
    """CNI none with Cilium and no kube-proxy: neither flannel nor kube-proxy is among the manifests."""
    snapshot = old()
    for machine in planes(snapshot):
        gone = ('05-flannel', '10-kube-proxy')
        machine.data['Manifests'] = Datum(READ, [item for item in machine.value('Manifests') if item['id'] not in gone])
        forget(machine, *gone)
        machine.value('BootstrapManifestsConfigs')[0]['spec'].update(flannelEnabled=False, proxyEnabled=False, cniName=cni)
    assert faults(judged(snapshot)) == set() and verdict_of(judged(snapshot), MISSING) == 'ok'


def test_a_new_manifest_is_given_time():
    snapshot = old()
    machine = node(snapshot, 'cp1')
    machine.value('Manifests').append({**machine.value('Manifests')[0], 'id': '99-new', 'updated': ago(snapshot, 300)})
    assert one(judged(snapshot), MISSING)['verdict'] == 'info'
    machine.value('Manifests')[-1]['updated'] = ago(snapshot, 700)
    assert one(judged(snapshot), MISSING)['verdict'] == 'error'


def test_a_node_without_a_running_etcd_applies_none():
    snapshot = old()
    machine = node(snapshot, 'cp3')
    machine.data['ManifestStatuses'] = Datum(READ, [])
    set_service(snapshot, machine, 'Waiting', [(60, 'Waiting', 'Error running Containerd(etcd), going to restart forever: exit code 2')])
    assert faults(judged(snapshot)) == set()
    lose(machine, 'ServiceList')
    assert one(judged(snapshot), MISSING)['verdict'] == 'unknown'


def test_no_manifest_at_all():
    snapshot = old()
    machine = node(snapshot, 'cp1')
    machine.data['Manifests'] = Datum(READ, [])
    assert one(judged(snapshot), MISSING)['verdict'] == 'error'
    lose(machine, 'BootstrapManifestsConfigs', 'refused')
    assert one(judged(snapshot), MISSING)['verdict'] == 'unknown'
    machine.data['BootstrapManifestsConfigs'] = Datum(READ, [])
    assert faults(judged(snapshot)) == set()


@pytest.mark.parametrize('kind', ['Manifests', 'ManifestStatuses'])
def test_a_list_that_was_not_read_is_unknown(kind):
    snapshot = old()
    lose(node(snapshot, 'cp1'), kind)
    assert one(judged(snapshot), MISSING)['verdict'] == 'unknown'


def test_without_a_quorum_nothing_is_said_to_be_fine():
    snapshot = old()
    no_leader(snapshot)
    found = findings(judged(snapshot, WITH_ETCD), MISSING)
    assert {f['verdict'] for f in found} == {'unknown'} and all(f['because_of'] == ['etcd.quorum_lost/cluster'] for f in found)


def test_before_bootstrap_there_is_nothing_to_apply():
    snapshot = old()
    for machine in planes(snapshot):
        preparing(snapshot, machine)
        machine.data['ManifestStatuses'] = Datum(READ, [])
        machine.logs['machined'].value = '2026/11/23 10:17:00.0 [talos] etcd is waiting to join the cluster, if this node is the first node in the cluster\n'
    assert {verdict_of(judged(snapshot), check) for check in (FAILS, MISSING)} == {'not_applicable'}
