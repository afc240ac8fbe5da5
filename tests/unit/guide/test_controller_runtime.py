# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""CTL-1: controllers that keep failing, told from those that failed while a healthy cluster came up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS, controller_runtime
from ansible_collections.talosops.talos.plugins.module_utils.guide.control_plane_static import RENDERERS
from ansible_collections.talosops.talos.plugins.module_utils.judge import check as c
from ansible_collections.talosops.talos.plugins.module_utils.judge.controllers import failing
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import KEYS
from ansible_collections.talosops.talos.plugins.module_utils.judge.settings import build
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time
from tests import recorded
from tests.unit.guide import judging
from tests.unit.guide.judging import READ, findings, lose, node, one, unreachable, verdict_of

FAILING = 'controller_runtime.controller_failing'
LABELS = 'k8s.NodeLabelsApplyController'
WEBHOOK = 'error applying labels: admission webhook \\"deny.example.org\\" denied the request'
REFUSED = 'error listing: Get \\"https://127.0.0.1:7445/api/v1/nodes\\": dial tcp 127.0.0.1:7445: connect: connection refused'


def report(snapshot, *others):
    return judging.report(snapshot, checks=(*controller_runtime.CHECKS, *others))


def old(name='healthy', later=86400):
    """The recording a day later, by the machines' clocks too."""
    snapshot = judging.recording(name, later)
    for machine in snapshot.answering():
        machine.data['Time'].value.update(dict.fromkeys(('localtime', 'sent_at', 'received_at'), snapshot.finished_at))
    return snapshot


def fail(snapshot, machine, controller=LABELS, error=WEBHOOK, seconds=(240, 180, 120, 60, 10)):
    lines = ''.join(f'{format_time(snapshot.now - timedelta(seconds=ago))} \x1b[31mERROR\x1b[0m controller failed '
                    f'{{"component": "controller-runtime", '
                    f'"controller": "{controller}", "error": "{error}"}}\n' for ago in seconds)
    machine.logs['controller-runtime'] = Datum(READ, machine.log('controller-runtime').value + lines)


def says(verdict, section, *nodes):
    """A check of another section that says this."""
    return c.Check('other.check', section, 'Another check', lambda view: c.Outcome(verdict, 'cluster', 'something', nodes=list(nodes)))


# -- recorded ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', recorded.SETS)
def test_nothing_is_said_of_the_recorded_cluster(name):
    for snapshot in (judging.recording(name), old(name, 360), old(name, 600), old(name)):
        assert findings(report(snapshot)) == []


def test_a_healthy_cluster_keeps_the_failures_of_its_bootstrap():
    snapshot = recorded.snapshot('healthy')
    view = View(snapshot, build(controller_runtime.CHECKS))
    found = {f'{machine.name} {one.name}': one.count for machine in snapshot.machines for one in failing(view, machine)}
    assert found == {
        'cp1 k8s.NodeApplyController': 8, 'cp1 k8s.ManifestApplyController': 5, 'cp1 k8s.KubeletStaticPodController': 4,
        'cp2 k8s.NodeApplyController': 8, 'cp2 k8s.KubeletStaticPodController': 4, 'cp3 k8s.NodeApplyController': 7,
        'cp3 k8s.KubeletStaticPodController': 4, 'w1 k8s.NodeApplyController': 5,
    }
    errors = {one.error for machine in snapshot.machines for one in failing(view, machine)}
    assert '1 error(s) occurred: error getting node: nodes "w1" not found' in errors


# -- the age rule -----------------------------------------------------------------------------------------------

def test_a_controller_that_keeps_failing():
    snapshot = old()
    fail(snapshot, node(snapshot, 'w1'))
    found = one(report(snapshot), FAILING)
    assert (found['verdict'], found['nodes'], found['subject']) == ('warning', ['w1'], LABELS)
    assert found['title'] == f'The controller {LABELS} keeps failing on w1: ' + WEBHOOK.replace('\\', '')
    assert 'failed 5 times' in found['evidence'][0]['text']


def test_one_controller_on_two_machines_is_one_finding():
    snapshot = old()
    for name in ('cp1', 'w1'):
        fail(snapshot, node(snapshot, name))
    assert one(report(snapshot), FAILING)['nodes'] == ['cp1', 'w1']


@pytest.mark.parametrize('seconds', [
    (240, 180, 120, 60),  # four times
    (900, 800, 700, 600, 301),  # it has settled
    (80000, 79990, 79980, 79970, 10),  # the bootstrap, and one slip today
], ids=['four times', 'settled', 'one slip'])
def test_what_passes_by(seconds):
    snapshot = old()
    fail(snapshot, node(snapshot, 'w1'), seconds=seconds)
    assert findings(report(snapshot)) == []


def test_the_numbers_can_be_set():
    snapshot = old()
    fail(snapshot, node(snapshot, 'w1'), seconds=(600, 500, 400))
    assert findings(report(snapshot)) == []
    thresholds = {'controller_runtime_failures': 3, 'controller_runtime_failing_seconds': 600}
    assert one(judging.report(snapshot, thresholds, controller_runtime.CHECKS), FAILING)['verdict'] == 'warning'


def test_a_machine_or_a_cluster_that_is_young_may_fail():
    snapshot = judging.recording(later=120)  # four minutes and a half after the bootstrap
    fail(snapshot, node(snapshot, 'w1'))
    assert findings(report(snapshot)) == []


def test_the_age_is_by_the_clock_of_the_machine():
    """A machine whose clock is an hour behind fails now, although its lines look an hour old; one that is ahead is no worse."""
    for ahead in (-3600, 3600):
        snapshot = old()
        machine = node(snapshot, 'w1')
        machine.data['Time'].value['localtime'] = format_time(snapshot.now + timedelta(seconds=ahead))
        fail(snapshot, machine, seconds=[ago - ahead for ago in (240, 180, 120, 60, 10)])
        assert one(report(snapshot), FAILING)['verdict'] == 'warning'


# -- what is missing --------------------------------------------------------------------------------------------

def test_without_the_log_it_is_unknown():
    snapshot = old()
    lose(node(snapshot, 'w1'), 'controller-runtime', 'refused', log=True)
    judged = report(snapshot)
    assert verdict_of(judged, FAILING) == verdict_of(judged, 'controller_runtime.config_not_loaded') == 'unknown'
    for machine in snapshot.machines:
        unreachable(machine)
    assert {item['verdict'] for item in report(snapshot)['checks']} == {'unknown'}


def test_without_the_age_of_the_machine_it_is_unknown():
    snapshot = old()
    machine = node(snapshot, 'w1')
    lose(machine, 'MachineStatuses')
    assert findings(report(snapshot)) == []
    fail(snapshot, machine)
    assert one(report(snapshot), FAILING)['verdict'] == 'unknown'


# -- what other sections report ---------------------------------------------------------------------------------

def test_what_another_section_reports_is_not_reported_again():
    snapshot = old()
    machine = node(snapshot, 'w1')
    fail(snapshot, machine, 'k8s.ManifestApplyController')
    assert one(report(snapshot, says('ok', 'controlplane.manifests')), FAILING)['verdict'] == 'warning'
    assert findings(report(snapshot, says('warning', 'controlplane.manifests', machine.key)), FAILING) == []
    assert findings(report(snapshot, says('info', 'controlplane.manifests')), FAILING) == []
    elsewhere = says('error', 'controlplane.manifests', node(snapshot, 'cp1').key)
    assert one(report(snapshot, elsewhere), FAILING)['nodes'] == ['w1']
    assert one(report(snapshot, says('unknown', 'controlplane.manifests')), FAILING)['verdict'] == 'warning'


def test_the_symptom_of_something_worse_is_information():
    snapshot = old()
    fail(snapshot, node(snapshot, 'w1'), error=REFUSED)
    assert one(report(snapshot), FAILING)['verdict'] == 'warning'
    quorum = says('critical', 'etcd.quorum_lost', node(snapshot, 'cp1').key)
    assert one(report(snapshot, quorum), FAILING)['verdict'] == 'info'
    assert one(report(snapshot, says('warning', 'etcd.other', node(snapshot, 'cp1').key)), FAILING)['verdict'] == 'warning'
    assert one(report(snapshot, says('warning', 'network_configuration', node(snapshot, 'w1').key)), FAILING)['verdict'] == 'info'
    fail(snapshot, node(snapshot, 'w1'))  # another error, which no root explains
    assert one(report(snapshot, quorum), FAILING)['verdict'] == 'warning'


def test_a_failure_follows_from_what_explains_it():
    snapshot = old()
    fail(snapshot, node(snapshot, 'w1'), error=REFUSED)
    root = c.Check('etcd.root', 'etcd.quorum_lost', 'A root', lambda view: c.critical('cluster', 'no quorum', '', '', asserts=('etcd.no_quorum',)))
    assert one(report(snapshot, root), FAILING)['because_of'] == ['etcd.root/cluster']


# -- and that other sections do report it -----------------------------------------------------------------------

def _without_node(snapshot, machine):
    nodes = snapshot.kubernetes['data']['nodes'].value
    nodes[:] = [each for each in nodes if each['name'] != machine.name]
    machine.data['NodeStatuses'] = Datum(READ, [])


def _without_kubelet(snapshot, machine):
    service = next(each for each in machine.value('ServiceList')['services'] if each['id'] == 'kubelet')
    service.update(state='Waiting', health={'unknown': True, 'healthy': False}, events={'events': [
        {'ts': judging.ago(snapshot, 900), 'state': 'Waiting', 'msg': 'Waiting for time sync'}]})


def _without_etcd_spec(snapshot, machine):
    judging.set_service(snapshot, machine, 'Waiting', [(900, 'Waiting', 'Waiting for etcd spec')])
    machine.data['EtcdSpecs'] = Datum(READ, [])


def _without_vip(snapshot, _machine):
    for machine in snapshot.machines:
        statuses = machine.value('AddressStatuses')
        statuses[:] = [each for each in statuses if not str((each['spec'] or {}).get('address')).startswith('10.5.0.100')]


def _without_resolvers(_snapshot, machine):
    for item in machine.value('DNSUpstreams'):
        item['spec']['healthy'] = 'false'


def _failed_volume(_snapshot, machine):
    volume = next(item for item in machine.value('VolumeStatuses') if item['id'] == 'EPHEMERAL')
    volume['spec'].update(phase='failed', errorMessage='error formatting XFS: exit status 1')


REPORTED = {
    'block.VolumeManagerController': ('error formatting XFS: exit status 1', _failed_volume),
    'cluster.DiscoveryServiceController': ('hello failed: rpc error: code = Unavailable', None),
    'cluster.KubernetesPullController': ('nodes is forbidden', lambda _snapshot, machine: machine.resource('DiscoveryConfigs', 'cluster').update(
        registryServiceEnabled=False, serviceEndpoints=[], registryKubernetesEnabled=True)),
    'etcd.SpecController': ('error building etcd spec', _without_etcd_spec),
    'k8s.ExtraManifestController': ('1 error occurred:\\n\\t* error downloading \\"https://example.org/x.yaml\\": 404', None),
    'k8s.KubeletServiceController': ('error writing kubelet PKI: open /etc/kubernetes/bootstrap-kubeconfig: read-only file system', _without_kubelet),
    'k8s.KubeletSpecController': ('extra arg \\"node-ip\\" is not allowed', _without_kubelet),
    'k8s.KubeletStaticPodController': ('error refreshing pod status: Get \\"https://127.0.0.1:10250/pods/\\": remote error: tls: internal error',
                                       None),
    'k8s.ManifestApplyController': ('error creating mapping for object v1/ServiceAccount/x: no matches for kind \\"ServiceAccount\\"', None),
    'k8s.NodeApplyController': ('1 error(s) occurred:\\n\\terror getting node: nodes \\"cp2\\" not found', _without_node),
    'k8s.NodeIPController': ('no suitable node IP found', lambda _snapshot, machine: machine.data.update(NodeIPs=Datum(READ, []))),
    'network.DNSResolveCacheController': ('error updating dns runner', _without_resolvers),
    'network.OperatorSpecController': ('campaign failure: failed to create etcd session', _without_vip),
    'secrets.APIController': ('failed to sign API server CSR: dial tcp 10.5.0.3:50001: connect: connection refused', None),
    'time.SyncController': ('error querying time', lambda _snapshot, machine: machine.resource('TimeStatuses', 'node').update(synced=False)),
}
REPORTED.update(dict.fromkeys(RENDERERS, ('error rendering: no certificate', lambda _snapshot, machine: machine.data.update(StaticPods=Datum(READ,
                                                                                                                                             [])))))
# The same registry, and the same fault.
REPORTED['cluster.KubernetesPushController'] = REPORTED['cluster.KubernetesPullController']


def test_every_controller_of_the_list_is_tried():
    assert set(REPORTED) == set(controller_runtime.JUDGED_ELSEWHERE)
    named = {key for keys in controller_runtime.JUDGED_ELSEWHERE.values() for key in keys}
    assert (named | set(controller_runtime.CLUSTER_ROOTS) | set(controller_runtime.MACHINE_ROOTS)) <= set(KEYS)


@pytest.mark.parametrize('controller', REPORTED)
def test_the_section_of_a_controller_reports_its_failure_and_nobody_else(controller):
    error, change = REPORTED[controller]
    snapshot = old()
    machine = node(snapshot, 'cp2')
    fail(snapshot, machine, controller, error)
    if change:
        change(snapshot, machine)
    judged = judging.report(snapshot, checks=CHECKS)
    reported = [f for f in findings(judged) if f['section'] in controller_runtime.JUDGED_ELSEWHERE[controller] and f['verdict'] != 'unknown'
                and (not f['nodes'] or 'cp2' in f['nodes'])]
    assert reported and findings(judged, FAILING) == []


# -- config.* ---------------------------------------------------------------------------------------------------

DAMAGED = 'failed to load config from STATE: decode error: yaml: line 797: could not find expected \':\''


@pytest.mark.parametrize('stage, verdict', [('booting', 'critical'), ('maintenance', 'critical'), ('running', 'ok'), (None, 'unknown')])
def test_a_configuration_that_cannot_be_loaded(stage, verdict):
    snapshot = old()
    machine = node(snapshot, 'w1')
    fail(snapshot, machine, controller_runtime.ACQUIRE, DAMAGED, seconds=(30, 10))
    if stage:
        machine.resource('MachineStatuses', 'machine')['stage'] = stage
    else:
        lose(machine, 'MachineStatuses')
    judged = report(snapshot)
    assert verdict_of(judged, 'controller_runtime.config_not_loaded') == verdict
    assert verdict_of(judged, FAILING) == 'ok'  # one fact, one finding


def test_a_configuration_that_is_newer_than_talos():
    snapshot = old()
    machine = node(snapshot, 'w1')
    machine.resource('MachineStatuses', 'machine')['stage'] = 'booting'
    fail(snapshot, machine, controller_runtime.ACQUIRE, 'failed to load config from STATE: unknown keys found during decoding: machine: install: '
                                                        'grubUseUKICmdline: true')
    found = one(report(snapshot), 'controller_runtime.config_not_loaded')
    assert found['title'] == 'w1 cannot load its machine configuration: unknown keys found during decoding: machine: install: grubUseUKICmdline: true'
    assert 'newer Talos' in found['means']
