# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Running Health Checks": what no other section judges, on the recorded cluster and on what a person may do to it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import health_checks
from ansible_collections.talosops.talos.plugins.module_utils.judge import check as c
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time
from tests import recorded
from tests.unit.guide import judging
from tests.unit.guide.judging import READ, ago, faults, findings, lose, node, old, one, planes, recording, unreachable, verdict_of

SERVICES, BOOT = 'health_checks.services_not_healthy', 'health_checks.boot_not_finished'


def report(snapshot, *others):
    return judging.report(snapshot, checks=(*health_checks.CHECKS, *others))


def service(snapshot, machine, name, state, text='', health=None, seconds=900):
    services = [each for each in machine.value('ServiceList')['services'] if each['id'] != name]
    services.append({'id': name, 'state': state, 'events': {'events': [{'ts': ago(snapshot, seconds), 'state': state, 'msg': text}]},
                     'health': health or {'unknown': True, 'healthy': False, 'last_message': '', 'last_change': None}})
    machine.data['ServiceList'] = Datum(READ, {'services': services})


def booting(snapshot, machine, *waits, unmet=('services',), stage='booting'):
    status = next(item for item in machine.value('MachineStatuses') if item['id'] == 'machine')
    status['spec'] = {'stage': stage, 'status': {'ready': False, 'unmetConditions': [{'name': name, 'reason': 'not there'} for name in unmet]}}
    if waits:
        text = ', '.join(f'service "{name}" to be "up"' for name in waits)
        judging.machined(snapshot, machine, (18, f'task startAllServices (1/1): {text}'), (3, f'task startAllServices (1/1): {text}'))


def says(verdict, section, machine):
    """A check of another section that says this of a machine."""
    return c.Check('other.check', section, 'Another check', lambda view: c.Outcome(verdict, 'cluster', 'something', nodes=[machine.key]))


# -- recorded ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', recorded.SETS)
def test_nothing_is_wrong_with_the_recorded_cluster(name):
    for snapshot in (recording(name), old(name)):
        judged = report(snapshot)
        assert findings(judged, worse_than='unknown') == []
        assert judged['sections']['health_checks']['verdict'] == 'ok'


def test_as_a_reader_two_checks_are_unknown_and_the_section_is_ok():
    judged = report(old('healthy-reader'))
    assert {f['check'] for f in findings(judged)} == {'health_checks.config_pending', 'health_checks.authority_rotates'}


# -- services ---------------------------------------------------------------------------------------------------

def test_a_service_that_has_failed():
    snapshot = old()
    service(snapshot, node(snapshot, 'w1'), 'udevd', 'Failed', 'Failed to create runner: \n\tno such file')
    found = one(report(snapshot), SERVICES)
    assert (found['verdict'], found['nodes'], found['title']) == (
        'error', ['w1'], 'The service udevd has failed on w1: Failed to create runner: no such file')


@pytest.mark.parametrize('name', ['etcd', 'kubelet', 'apid', 'trustd'])
def test_services_with_a_section_of_their_own_are_left_to_it(name):
    snapshot = old()
    service(snapshot, node(snapshot, 'cp1'), name, 'Failed', 'Failed to run pre stage')
    assert findings(report(snapshot), SERVICES) == []


@pytest.mark.parametrize('state', ['Waiting', 'Preparing', 'Finished', 'Skipped', 'Starting'])
def test_a_service_that_only_waits_is_no_finding(state):
    snapshot = old()
    service(snapshot, node(snapshot, 'w1'), 'cri', state, 'Waiting for volumes to be mounted')
    assert findings(report(snapshot)) == []


def test_a_service_that_runs_and_is_not_healthy():
    fails = {'unknown': False, 'healthy': False, 'last_message': 'connection refused', 'last_change': None}
    snapshot = old()
    service(snapshot, node(snapshot, 'w1'), 'cri', 'Running', 'Health check failed', fails)
    found = one(report(snapshot), SERVICES)
    assert (found['verdict'], found['title']) == ('warning', 'The service cri runs on w1 and is not healthy: connection refused')
    snapshot = recording()  # five minutes old
    service(snapshot, node(snapshot, 'w1'), 'cri', 'Running', 'Health check failed', fails)
    assert one(report(snapshot), SERVICES)['verdict'] == 'info'
    service(snapshot, node(snapshot, 'w1'), 'cri', 'Running', 'Started')  # no health check yet
    assert findings(report(snapshot)) == []


@pytest.mark.parametrize('text, later, verdict', [
    ('Waiting for extension service config', 86400, 'warning'), ('Waiting for extension service config', 0, 'info'),
    ('Waiting for service "cri" to be "up"', 86400, 'ok'),
])
def test_an_extension_without_its_configuration(text, later, verdict):
    snapshot = recording(later=later)
    service(snapshot, node(snapshot, 'w1'), 'ext-tailscale', 'Waiting', text)
    judged = report(snapshot)
    assert verdict_of(judged, SERVICES) == verdict
    if verdict == 'warning':
        assert 'name "tailscale"' in one(judged, SERVICES)['next_step']


def test_without_the_list_of_services_it_is_unknown():
    snapshot = old()
    lose(node(snapshot, 'w1'), 'ServiceList')
    assert verdict_of(report(snapshot), SERVICES) == 'unknown'


# -- the boot ---------------------------------------------------------------------------------------------------

def test_a_boot_within_ten_minutes_is_information():
    snapshot = recording()
    booting(snapshot, node(snapshot, 'w1'), 'ext-mine')
    found = one(report(snapshot), BOOT)
    assert (found['verdict'], found['title']) == ('info', 'w1 is booting for 4 min, it waits for ext-mine')


@pytest.mark.parametrize('waits', [('etcd',), ('etcd', 'kubelet'), ('kubelet', 'trustd'), ()])
def test_a_boot_that_waits_for_what_other_sections_judge_is_information(waits):
    snapshot = old()
    booting(snapshot, node(snapshot, 'cp2'), *waits)
    assert one(report(snapshot), BOOT)['verdict'] == 'info'
    assert faults(report(snapshot)) == set()


def test_the_boot_follows_from_the_service_that_it_waits_for():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    booting(snapshot, machine, 'etcd')
    root = c.Check('etcd.root', 'etcd.some_pre', 'A root', lambda view: c.error(machine.key, 'etcd is down', '', '',
                                                                                asserts=(f'etcd.down:{machine.key}',)))
    assert one(report(snapshot, root), BOOT)['because_of'] == [f'etcd.root/{machine.key}']


def test_a_boot_that_nothing_explains_is_an_error():
    snapshot = old()
    machine = node(snapshot, 'w1')
    booting(snapshot, machine, 'ext-mine', 'kubelet')
    found = one(report(snapshot), BOOT)
    assert (found['verdict'], found['root'], found['title']) == ('error', True, 'w1 is booting for 24 h, it waits for ext-mine and kubelet')
    assert 'startAllServices' in found['evidence'][0]['text']
    assert one(report(snapshot, says('error', 'system_requirements', machine)), BOOT)['verdict'] == 'info'
    assert one(report(snapshot, says('error', 'system_requirements', node(snapshot, 'cp1'))), BOOT)['verdict'] == 'error'


def test_a_boot_that_waits_for_a_service_that_has_failed():
    snapshot = old()
    machine = node(snapshot, 'w1')
    service(snapshot, machine, 'udevd', 'Failed', 'Failed to create runner: no such file')
    booting(snapshot, machine, 'udevd')
    judged = report(snapshot)
    assert one(judged, BOOT)['verdict'] == 'info'
    assert one(judged, BOOT)['because_of'] == [one(judged, SERVICES)['id']]


def test_without_the_log_the_services_tell_what_it_waits_for():
    snapshot = old()
    machine = node(snapshot, 'w1')
    booting(snapshot, machine)
    lose(machine, 'machined', log=True)
    service(snapshot, machine, 'cri', 'Waiting', 'Waiting for network')
    assert one(report(snapshot), BOOT)['title'] == 'w1 is booting for 24 h, it waits for cri'
    assert one(report(snapshot), BOOT)['verdict'] == 'error'
    lose(machine, 'ServiceList')
    assert one(report(snapshot), BOOT)['verdict'] == 'unknown'


def test_without_the_stage_it_is_unknown():
    snapshot = old()
    machine = node(snapshot, 'w1')
    lose(machine, 'MachineStatuses')
    judged = report(snapshot)
    assert verdict_of(judged, BOOT) == verdict_of(judged, 'health_checks.condition_unmet') == 'unknown'


@pytest.mark.parametrize('stage, verdict', [('running', 'ok'), ('maintenance', 'info'), ('upgrading', 'not_applicable'), ('resetting', 'info')])
def test_other_stages(stage, verdict):
    snapshot = old()
    for machine in snapshot.machines:
        booting(snapshot, machine, unmet=(), stage=stage)
    assert verdict_of(report(snapshot), BOOT) == verdict


@pytest.mark.parametrize('name, verdict', [('nodeReady', 'ok'), ('services', 'ok'), ('tpm', 'warning')])
def test_a_condition_that_nobody_else_judges(name, verdict):
    snapshot = old()
    booting(snapshot, node(snapshot, 'w1'), unmet=(name,), stage='running')
    assert verdict_of(report(snapshot), 'health_checks.condition_unmet') == verdict


# -- diagnostics ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name, verdict', [('disk-slow', 'error'), ('address-overlap', 'ok'), ('kubelet-csr', 'ok')])
def test_a_diagnostic_that_nobody_else_judges(name, verdict):
    snapshot = old()
    node(snapshot, 'w1').data['Diagnostics'] = Datum(READ, [{'id': name, 'updated': None, 'spec': {'message': 'disk is slow',
                                                                                                   'details': ['sda: 2 s']}}])
    judged = report(snapshot)
    assert verdict_of(judged, 'health_checks.diagnostics') == verdict
    if verdict == 'error':
        found = one(judged, 'health_checks.diagnostics')
        assert (found['title'], found['evidence'][0]['text']) == ('Talos reports on w1: disk is slow', 'sda: 2 s')
    lose(node(snapshot, 'w1'), 'Diagnostics')
    assert verdict_of(report(snapshot), 'health_checks.diagnostics') == 'unknown'


# -- configuration ----------------------------------------------------------------------------------------------

def config(machine, name='v1alpha1'):
    return machine.resource('MachineConfigs', name)


def test_a_configuration_that_was_staged():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    config(machine, 'persistent')['digest'] = 'redacted:12345678'
    assert (one(report(snapshot), 'health_checks.config_pending')['verdict'], faults(report(snapshot))) == (
        'warning', {f'health_checks.config_pending/{machine.key}'})
    machine.data['MachineConfigs'].value[:] = [item for item in machine.value('MachineConfigs') if item['id'] == 'v1alpha1']
    assert findings(report(snapshot)) == []  # booted from STATE
    lose(machine, 'MachineConfigs', 'refused')
    judged = report(snapshot)
    assert one(judged, 'health_checks.config_pending')['verdict'] == 'unknown'
    assert judged['sections']['health_checks']['verdict'] == 'ok'


@pytest.mark.parametrize('tag, verdicts', [('v1.9.6', {'not_applicable'}), ('v1.10.0', {'ok'}), ('v1.13.9', {'ok'})])
def test_before_talos_1_10_nothing_tells_of_a_staged_configuration(tag, verdicts):
    """There is no resource C(persistent) then (talos-api 8), so nobody can say that the two are the same."""
    snapshot = old()
    for machine in snapshot.machines:
        machine.value('Version')['version']['tag'] = tag
        machine.data['MachineConfigs'].value[:] = [item for item in machine.value('MachineConfigs') if item['id'] == 'v1alpha1']
    assert {verdict_of(report(snapshot), 'health_checks.config_pending')} == verdicts
    node(snapshot, 'w1').value('Version')['version']['tag'] = 'v1.12.0'
    assert verdict_of(report(snapshot), 'health_checks.config_pending') == 'ok', 'one is judged'


def test_a_machine_of_the_type_init():
    snapshot = old()
    machine = node(snapshot, 'cp1')
    machine.data['MachineTypes'].value[0]['spec'] = 'init'
    assert one(report(snapshot), 'health_checks.type_init')['verdict'] == 'warning'
    lose(machine, 'MachineTypes')
    assert verdict_of(report(snapshot), 'health_checks.type_init') == 'unknown'


# -- certificate authorities ------------------------------------------------------------------------------------

def in_days(snapshot, days):
    return format_time(snapshot.now + timedelta(days=days))


@pytest.mark.parametrize('days, verdict, how', [(366, 'ok', ''), (364, 'warning', 'expires in 364 d'), (89, 'error', 'expires in 89 d'), (-3,
                                                                                                                                          'error',
                                                                                                                                          'expired 3 d ago')])
@pytest.mark.parametrize('path', ['talosconfig', 'cluster.ca', 'cluster.etcd.ca'])
def test_a_certificate_authority_that_ends(path, days, verdict, how):
    snapshot = old()
    if path == 'talosconfig':
        snapshot.client['ca']['not_after'] = in_days(snapshot, days)
    else:
        for machine in snapshot.machines:
            config(machine)['v1alpha1']['authorities'][path] = in_days(snapshot, days)
    judged = report(snapshot)
    assert verdict_of(judged, 'health_checks.authority_expires') == verdict
    if verdict != 'ok':
        found = one(judged, 'health_checks.authority_expires')
        assert (found['subject'], how in found['title']) == (path, True)


def test_the_recorded_configuration_tells_its_authorities():
    authorities = config(node(recording(), 'cp1'))['v1alpha1']['authorities']
    assert set(authorities) == {'machine.ca', 'cluster.ca', 'cluster.aggregatorCA', 'cluster.etcd.ca'}
    assert set(config(node(recording(), 'w1'))['v1alpha1']['authorities']) == {'machine.ca', 'cluster.ca'}
    assert {end[:4] for end in authorities.values()} == {'2036'}


def test_without_any_authority_it_is_unknown():
    snapshot = old('healthy-reader')
    assert verdict_of(report(snapshot), 'health_checks.authority_expires') == 'ok'
    snapshot.client['ca'] = None
    assert verdict_of(report(snapshot), 'health_checks.authority_expires') == 'unknown'


def test_a_rotation_is_information():
    snapshot = old()
    config(node(snapshot, 'cp1'))['v1alpha1']['accepted']['machine'] = 1
    assert one(report(snapshot), 'health_checks.authority_rotates')['verdict'] == 'info'
    snapshot = old('healthy-reader')
    snapshot.client['ca']['count'] = 2
    assert one(report(snapshot), 'health_checks.authority_rotates')['verdict'] == 'info'


# -- zones, cordons ---------------------------------------------------------------------------------------------

def zone(machine, name):
    machine.resource('PlatformMetadatas')['zone'] = name


@pytest.mark.parametrize('zones, verdict', [(('a', 'a', 'a'), 'info'), (('a', 'b', 'a'), 'ok'), (('', '', ''), 'not_applicable'), (('a', '', 'a'),
                                                                                                                                   'not_applicable')])
def test_a_control_plane_in_one_zone(zones, verdict):
    snapshot = old()
    for machine, name in zip(planes(snapshot), zones, strict=True):
        zone(machine, name)
    assert verdict_of(report(snapshot), 'health_checks.one_zone') == verdict


def test_a_zone_that_was_not_read():
    snapshot = old()
    for machine in planes(snapshot):
        zone(machine, 'a')
    lose(planes(snapshot)[0], 'PlatformMetadatas')
    assert verdict_of(report(snapshot), 'health_checks.one_zone') == 'unknown'
    zone(planes(snapshot)[1], 'b')
    assert verdict_of(report(snapshot), 'health_checks.one_zone') == 'ok'


def test_a_single_control_plane_node_is_said_with_etcd_and_not_here():
    snapshot = old()
    snapshot.machines[:] = [machine for machine in snapshot.machines if machine.name in ('cp1', 'w1')]
    assert verdict_of(report(snapshot), 'health_checks.one_zone') == 'not_applicable'


@pytest.mark.parametrize('source', ['nodes', 'NodeStatuses'])
def test_a_node_cordoned_on_purpose_is_information(source):
    snapshot = old()
    if source == 'nodes':
        next(each for each in snapshot.kubernetes['data']['nodes'].value if each['name'] == 'w1')['unschedulable'] = True
    else:
        snapshot.kubernetes['data']['nodes'] = Datum('refused', reason='needs os:admin or a kubeconfig')
        assert verdict_of(report(snapshot), 'health_checks.cordoned') == 'ok'
        node(snapshot, 'w1').value('NodeStatuses')[0]['spec']['unschedulable'] = True
    found = one(report(snapshot), 'health_checks.cordoned')
    assert (found['verdict'], found['nodes'], found['title']) == ('info', ['w1'], 'w1 is cordoned')


def test_whether_a_node_is_cordoned_is_unknown_without_any_source():
    snapshot = old()
    snapshot.kubernetes['data']['nodes'] = Datum('unreachable', reason='no answer')
    lose(node(snapshot, 'w1'), 'NodeStatuses')
    judged = report(snapshot)
    assert verdict_of(judged, 'health_checks.cordoned') == 'unknown'
    assert judged['sections']['health_checks']['verdict'] == 'ok'


def test_where_no_machine_answers_nothing_is_ok_but_the_talosconfig():
    snapshot = old()
    for machine in snapshot.machines:
        unreachable(machine)
    snapshot.kubernetes['data']['nodes'] = Datum('unreachable', reason='no answer')
    judged = {item['check']: item['verdict'] for item in report(snapshot)['checks']}
    assert judged.pop('health_checks.authority_expires') == 'ok'
    assert judged.pop('health_checks.one_zone') == 'unknown'
    assert set(judged.values()) == {'unknown'}
