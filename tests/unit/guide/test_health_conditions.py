# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conditions of talosctl health as a pure function of what our checks say (check catalogue 11).

What the real talosctl said of the recorded clusters is held against them in test_against_talosctl.py.
"""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS, etcd, health_checks, health_conditions, upgrades
from ansible_collections.talosops.talos.plugins.module_utils.guide.health_conditions import Expected, conditions, met
from ansible_collections.talosops.talos.plugins.module_utils.judge import check as c
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import judging
from tests.unit.guide.etcd_states import three
from tests.unit.guide.judging import lose, node, old, planes, recording, unreachable


def told(snapshot, *keys, checks=CHECKS, **more):
    """{key: condition} of a snapshot."""
    found = conditions(snapshot, settings.build(checks), checks, keys or health_conditions.KEYS, **more)
    return {one['condition']: one for one in found}


def tell(snapshot, key, *outcomes, **more):
    """One condition, of which the checks say just these outcomes."""
    condition = health_conditions.BY_KEY[key]
    says = c.Check(condition.checks[0], 'health_checks', 'A check', lambda view: list(outcomes))
    return told(snapshot, key, checks=(says,), **more)[key]


# -- talosctl's words on other recorded states (reference: what the real talosctl v1.13.9 said of them) -----------

SAID = {
    'quorum-lost-2killed-early': ('10.5.0.3', '10.5.0.4'),  # connection refused
    'quorum-lost-2killed-late': ('10.5.0.3', '10.5.0.4'),
    'quorum-lost-2crashlooping': ('10.5.0.2', '10.5.0.3', '10.5.0.4'),  # not healthy; current state [Waiting]
    'cp3-frozen': ('10.5.0.4',),  # DeadlineExceeded, without its address
    'etcd-bad-args': ('10.5.0.4',),  # current state [Waiting]
    'etcd-image-pull-retrying': ('10.5.0.4',),  # current state [Preparing] Running pre state
    'nospace-alarm': (),
}


@pytest.mark.parametrize('name', SAID)
def test_etcd_is_as_healthy_as_talosctl_said(name):
    snapshot = three(name)
    one = told(snapshot, 'etcd', checks=etcd.CHECKS)['etcd']
    if not SAID[name]:
        assert one['state'] == 'ok'
        assert told(snapshot, 'etcd_alarms', checks=etcd.CHECKS)['etcd_alarms']['state'] == 'not_met'
        return
    assert one['state'] in ('not_met', 'unknown')
    addresses = {machine.address for machine in snapshot.machines if machine.label in one['nodes']}
    assert set(SAID[name]) <= addresses


# -- how a condition is told ------------------------------------------------------------------------------------

def test_a_healthy_cluster_meets_what_is_judged():
    found = told(old())
    assert {key for key, one in found.items() if one['state'] != 'ok'} == {'memory', 'disk'}
    assert found['memory']['state'] == found['disk']['state'] == 'skipped'  # container mode
    assert met(found.values())
    assert list(found) == list(health_conditions.KEYS)


@pytest.mark.parametrize('outcome, state', [
    (c.ok('cluster'), 'ok'), (c.info('cluster', 'coming'), 'not_met'), (c.warning('cluster', 'bad', '', ''), 'not_met'),
    (c.unknown('cluster', 'not seen'), 'unknown'), (c.not_applicable('cluster', 'no'), 'unknown'),
])
def test_what_a_check_says_makes_the_state(outcome, state):
    one = tell(old(), 'kubelet', outcome)
    assert one['state'] == state
    assert met([one]) is (state == 'ok')
    assert one['findings'] == (['kubelet.not_running/cluster'] if outcome.verdict not in ('ok', 'not_applicable') else [])


def test_the_worst_is_told_first_and_many_are_counted():
    snapshot = old()
    outcomes = [c.info('a', 'one'), c.error('b', 'two', '', '', nodes=[node(snapshot, 'w1').key]), c.warning('c', 'three', '', ''), c.info('d',
                                                                                                                                           'four')]
    one = tell(snapshot, 'kubelet', *outcomes)
    assert (one['reason'], one['nodes']) == ('two; three; one; and 1 more', ['w1'])


def test_information_of_a_calm_check_is_no_obstacle():
    one = tell(old(), 'schedulable', c.info('cluster', 'w1 is cordoned'))
    assert (one['state'], one['reason']) == ('ok', 'w1 is cordoned')
    assert tell(old(), 'memory', c.info('cluster', 'below what is recommended'))['state'] == 'ok'
    assert tell(old(), 'memory', c.error('cluster', 'too little', '', ''))['state'] == 'not_met'


def test_machines_in_container_mode_have_no_memory_of_their_own():
    one = tell(old(), 'memory', c.not_applicable('cluster', 'container mode: memory is that of the host'))
    assert (one['state'], one['reason'], met([one])) == ('skipped', 'container mode: memory is that of the host', True)


def test_without_a_check_it_is_unknown():
    one = told(old(), 'kubelet', checks=())['kubelet']
    assert (one['state'], one['reason']) == ('unknown', 'no check judges it')


def test_what_only_sharpens_is_not_missed():
    snapshot = old()
    snapshot.kubernetes['data']['nodes'] = Datum('refused', reason='needs os:admin or a kubeconfig')
    lose(node(snapshot, 'w1'), 'NodeStatuses')
    assert told(snapshot, 'schedulable', checks=health_checks.CHECKS)['schedulable']['state'] == 'unknown'  # nothing else speaks for it
    sharp = c.Check('kubelet.node_not_ready', 'health_checks', 'A', lambda view: c.unknown('cluster', 'not seen'), sharpens=True)
    base = c.Check('kubelet.node_status_not_ready', 'health_checks', 'B', lambda view: c.ok('cluster'))
    assert told(snapshot, 'nodes_ready', checks=(sharp, base))['nodes_ready']['state'] == 'ok'


def test_a_reader_is_not_left_without_an_answer():
    one = told(old('healthy-reader'), 'nodes_registered')['nodes_registered']
    assert (one['state'], one['reason'].startswith('whether there are Nodes without a machine: Kubernetes was not read')) == ('ok', True)


# -- which machines count ---------------------------------------------------------------------------------------

def test_a_machine_that_does_not_answer_leaves_its_conditions_unknown():
    snapshot = old('worker-down')
    found = told(snapshot)
    assert found['apid']['state'] == 'not_met'
    for key in ('diagnostics', 'kubelet', 'boot'):
        assert (found[key]['state'], found[key]['nodes'], found[key]['reason']) == ('unknown', ['w1'], 'w1 does not answer')
    assert found['etcd']['state'] == found['etcd_alarms']['state'] == 'ok'  # no control plane node is missing


def test_a_machine_that_is_gone_for_good_does_not_count():
    """E1: the etcd member and the Node of a machine that was installed anew; discovery has forgotten it."""
    snapshot = old()
    judging.add_member(snapshot, '3333333333333333', 'cp-old', '10.5.0.44')
    gone = type(node(snapshot, 'w1'))(key='10.5.0.44', address='10.5.0.44', addresses=['10.5.0.44'], name='cp-old', type='controlplane',
                                      known_from=['etcd'])
    unreachable(gone)
    snapshot.machines.append(gone)
    found = told(snapshot, 'boot', 'kubelet', 'etcd_members_control_plane')
    assert (found['boot']['state'], found['kubelet']['state']) == ('ok', 'ok')
    assert found['etcd_members_control_plane']['state'] == 'not_met'


def test_only_control_plane_nodes_count_for_etcd_and_every_machine_for_the_kubelet():
    snapshot = old()
    worker = c.error('w', 'the worker is ill', '', '', nodes=[node(snapshot, 'w1').key])
    assert tell(snapshot, 'etcd', worker)['state'] != 'not_met'
    assert tell(snapshot, 'kubelet', worker)['state'] == 'not_met'


def test_where_no_machine_answers_nothing_is_met():
    snapshot = old()
    for machine in snapshot.machines:
        unreachable(machine)
    snapshot.kubernetes['data'] = {kind: Datum('unreachable', reason='no answer') for kind in snapshot.kubernetes['data']}
    assert not {one['state'] for one in told(snapshot).values()} & {'ok', 'skipped'}


# -- nodes that were named --------------------------------------------------------------------------------------

def test_named_nodes_are_the_ones_that_count():
    snapshot = old('worker-down')
    found = told(snapshot, 'apid', 'boot', expected=Expected(('cp1', '10.5.0.3', '10.5.0.4'), ()))
    assert (found['apid']['state'], found['boot']['state']) == ('ok', 'ok')  # the worker was not named
    found = told(snapshot, 'apid', expected=Expected(('cp1',), ('10.5.0.5',)))
    assert (found['apid']['state'], found['apid']['nodes']) == ('not_met', ['w1'])


def test_a_named_node_that_is_no_machine_is_not_ready():
    one = told(old(), 'apid', expected=Expected(('cp1', 'cp2', 'cp3'), ('w1', '10.5.0.77')))['apid']
    assert (one['state'], one['nodes'], one['reason']) == ('not_met', ['10.5.0.77'], '10.5.0.77: no such machine is known')


def test_a_worker_that_was_named_as_a_control_plane_node():
    one = told(old(), 'etcd', expected=Expected(('cp1', 'cp2', 'w1'), ()))['etcd']
    assert (one['state'], one['nodes'], one['reason']) == ('not_met', ['w1'], 'w1: it is a node of the other kind')


# -- what does not apply ----------------------------------------------------------------------------------------

def test_left_out_conditions_are_skipped():
    found = told(old('worker-down'), 'apid', 'schedulable', left_out=('apid',))
    assert (found['apid']['state'], found['apid']['reason']) == ('skipped', 'left out by checks_skipped')
    assert met(found.values())


def test_before_the_bootstrap_nothing_of_kubernetes_is_skipped():
    """A gate that waits for the API must not open because there is none yet."""
    snapshot = old()
    for machine in planes(snapshot):
        judging.preparing(snapshot, machine)
        judging.machined(snapshot, machine, (5, 'etcd is waiting to join the cluster, if this node is the first node in the cluster, please run'))
    states = {key: one['state'] for key, one in told(snapshot).items() if one['reason'] != 'no check judges it'}
    assert states['etcd'] == states['etcd_members_consistent'] == states['etcd_alarms'] == 'not_met'
    assert 'skipped' not in states.values()
    assert tell(snapshot, 'control_plane', c.not_applicable(planes(snapshot)[0].key, 'etcd does not run'))['state'] == 'not_met'


def test_a_component_that_cannot_run_yet_is_not_ready():
    snapshot = old()
    first, second = planes(snapshot)[:2]
    one = tell(snapshot, 'control_plane', c.ok(first.key), c.not_applicable(second.key, 'etcd does not run on cp2', nodes=[second.key]))
    assert (one['state'], one['nodes'], one['reason']) == ('unknown', ['cp2'], 'etcd does not run on cp2')


def config(snapshot, name):
    for machine in planes(snapshot):
        machine.resource('MachineConfigs', 'v1alpha1')['v1alpha1']['cluster']['network']['cni'] = {'name': name}


@pytest.mark.parametrize('key', ['nodes_ready', 'coredns'])
def test_without_a_cni_nobody_waits_for_nodes(key):
    snapshot = old()
    bad, subject = health_conditions.BY_KEY[key], health_conditions.BY_KEY[key].subject or 'cluster'
    assert tell(snapshot, key, c.error(subject, 'not ready', '', ''))['state'] == 'not_met'
    config(snapshot, 'none')
    one = tell(snapshot, key, c.error(subject, 'not ready', '', ''))
    assert (one['state'], 'cni: none' in one['reason']) == ('skipped', True)
    assert tell(snapshot, key, c.ok(subject))['state'] == 'ok'  # somebody installed one
    assert bad.excuse is not None


def test_what_is_not_installed_is_not_waited_for():
    snapshot = old()
    proxies = snapshot.kubernetes['data']['daemonsets'].value
    proxies[:] = [each for each in proxies if each['name'] != 'kube-proxy']
    one = tell(snapshot, 'kube_proxy', c.unknown('cluster', 'not seen'))
    assert (one['state'], one['reason']) == ('skipped', 'there is no DaemonSet kube-proxy')
    assert tell(snapshot, 'coredns', c.unknown('cluster', 'not seen'))['state'] == 'unknown'


@pytest.mark.parametrize('later, enabled, state', [(0, True, 'not_met'), (0, None, 'not_met'), (0, False, 'skipped'), (86400, True, 'skipped')])
def test_a_workload_that_is_not_there_yet_is_waited_for_while_the_cluster_is_young(later, enabled, state):
    """talosctl skips what is not there, also a minute after the bootstrap."""
    snapshot = recording(later=later)
    snapshot.kubernetes['data']['deployments'].value[:] = []
    for machine in planes(snapshot):
        if enabled is None:
            lose(machine, 'BootstrapManifestsConfigs')
        else:
            machine.resource('BootstrapManifestsConfigs')['coreDNSEnabled'] = enabled
    assert told(snapshot, 'coredns')['coredns']['state'] == state


def test_of_the_pods_only_those_of_the_condition_count():
    snapshot = old()
    proxy = c.error('kube-system/kube-proxy', 'kube-proxy: 1 of 4 pods are ready', '', '')
    assert tell(snapshot, 'kube_proxy', proxy)['state'] == 'not_met'
    assert tell(snapshot, 'coredns', proxy)['state'] == 'ok'  # the check names what is wrong, and not CoreDNS
    assert tell(snapshot, 'coredns', proxy, c.unknown('kube-system/coredns', 'not seen'))['state'] == 'unknown'


def test_a_cluster_without_kubernetes_has_no_kubernetes_to_wait_for():
    snapshot = old()
    for machine in snapshot.machines:
        services = machine.value('ServiceList')['services']
        services[:] = [each for each in services if each['id'] != 'kubelet']
        machine.data['NodeIPConfigs'] = Datum(judging.READ, [])
    snapshot.kubernetes['data'] = {kind: Datum('absent', reason='k8s API server CA config is not set') for kind in snapshot.kubernetes['data']}
    found = told(snapshot, 'kubelet', 'nodes_registered', 'static_pods', 'control_plane', 'nodes_ready', 'kube_proxy', 'coredns', 'schedulable')
    assert {(one['state'], one['reason']) for one in found.values()} == {('skipped', 'there is no Kubernetes')}
    node(snapshot, 'cp1').resource('MachineStatuses', 'machine')['stage'] = 'booting'  # its kubelet may come
    assert told(snapshot, 'nodes_ready', 'control_plane')['control_plane']['state'] != 'skipped'


# -- machines on their way --------------------------------------------------------------------------------------

@pytest.mark.parametrize('stage', ['booting', 'upgrading', 'rebooting', 'resetting', 'maintenance', 'installing'])
def test_a_machine_on_its_way_has_not_finished_its_boot(stage):
    snapshot = recording()
    node(snapshot, 'w1').resource('MachineStatuses', 'machine')['stage'] = stage
    one = told(snapshot, 'boot', checks=(*health_checks.CHECKS, *upgrades.CHECKS))['boot']
    assert (one['state'], one['nodes']) == ('not_met', ['w1'])
