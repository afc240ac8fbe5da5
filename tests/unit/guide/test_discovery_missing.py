# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Some Members are Missing"."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import READ, REFUSED
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import states

DIFFER, MISSING, SERVICE, DISABLED, REGISTRY = (f'discovery.{name}' for name in (
    'members_differ', 'member_missing', 'service_unreachable', 'disabled', 'registry'))


def _forget(snap, observer, *names, kinds=('Members',)):
    for kind in kinds:
        machine = states.named(snap, observer)
        machine.data[kind].value = [item for item in machine.value(kind) if item['spec']['hostname'] not in names]


def _member(snap, observer, name):
    return next(item for item in states.named(snap, observer).value('Members') if item['id'] == name)


def test_a_machine_in_maintenance_mode_is_no_member():
    """It has no configuration, and so nothing by which discovery could know it."""
    snap = states.snapshot()
    for machine in snap.answering():
        _forget(snap, machine.name, 'w1', kinds=('Members', 'Affiliates'))
    machine = states.named(snap, 'w1')
    machine.data['Members'] = machine.data['Affiliates'] = Datum(READ, [])
    assert states.finding(states.report(snap), MISSING)['verdict'] == 'error'
    states.spec(machine, 'MachineStatuses', 'machine')['stage'] = 'maintenance'
    assert states.findings(states.report(snap), MISSING) == []


# -- DSC-1 ------------------------------------------------------------------------------------------------------

def test_one_machine_lacks_one_member():
    snap = states.snapshot()
    _forget(snap, 'cp2', 'w1')
    judged = states.report(snap)
    found = states.finding(judged, DIFFER)
    assert (found['verdict'], found['subject'], found['nodes']) == ('error', states.named(snap, 'cp2').key, ['cp2', 'w1'])
    assert 'lacks w1' in found['title']
    assert states.above_info(judged) == {DIFFER: 'error'}


def test_a_list_with_which_too_few_were_compared_is_not_called_right():
    snap = states.snapshot()
    for machine in snap.answering():
        if machine.name != 'w1':
            machine.data['Members'] = Datum(REFUSED)
    assert states.verdict(states.report(snap), DIFFER) == 'unknown'
    assert [f['subject'] for f in states.findings(states.report(snap), DIFFER)] == ['cluster']


def test_a_machine_cut_off_sees_itself_alone():
    snap = states.snapshot()
    _forget(snap, 'w1', 'cp1', 'cp2', 'cp3')
    for name in ('cp1', 'cp2', 'cp3'):
        _forget(snap, name, 'w1')
    judged = states.report(snap)
    found = states.finding(judged, DIFFER)
    assert found['nodes'] == ['w1'] and 'lacks cp1, cp2 and cp3' in found['title'] and 'has w1 besides' in found['title']
    assert states.verdict(judged, MISSING) == 'ok', 'it lists itself'


@pytest.mark.parametrize('field, value', [('machineType', 'controlplane'), ('addresses', ['10.5.0.5', '10.6.0.5']),
                                          ('hostname', 'w1.example.net')])
def test_one_member_is_described_differently(field, value):
    snap = states.snapshot()
    _member(snap, 'cp3', 'w1')['spec'][field] = value
    found = states.finding(states.report(snap), DIFFER)
    assert found['verdict'] == 'error' and 'describes w1 differently' in found['title']
    assert any('elsewhere' in e['text'] for e in found['evidence'])


def test_the_virtual_ip_and_the_version_do_not_count():
    snap = states.snapshot()
    assert '10.5.0.100' in _member(snap, 'cp3', 'cp1')['spec']['addresses']
    _member(snap, 'cp3', 'cp1')['spec']['addresses'].remove('10.5.0.100')
    _member(snap, 'cp3', 'cp2')['spec']['addresses'].append('10.5.0.100')
    _member(snap, 'cp2', 'w1')['spec']['operatingSystem'] = 'Talos (v1.14.0)'
    assert states.verdict(states.report(snap), DIFFER) == 'ok'


@pytest.mark.parametrize('how', ['observer booted', 'member booted', 'member upgrades', 'entry changed a moment ago'])
def test_what_settles_is_no_error(how):
    snap = states.snapshot()
    _forget(snap, 'cp2', 'w1')
    if how == 'observer booted':
        states.booted(snap, states.named(snap, 'cp2'), 60)
    elif how == 'member booted':
        states.booted(snap, states.named(snap, 'w1'), 60)
    elif how == 'member upgrades':
        states.spec(states.named(snap, 'w1'), 'MachineStatuses')['stage'] = 'upgrading'
    else:
        _member(snap, 'cp1', 'w1')['updated'] = states.before(snap, 30)
    assert states.finding(states.report(snap), DIFFER)['verdict'] == 'info'


def test_a_change_elsewhere_excuses_nothing():
    snap = states.snapshot()
    _forget(snap, 'cp2', 'w1')
    _member(snap, 'cp1', 'cp1')['updated'] = states.before(snap, 30)
    states.booted(snap, states.named(snap, 'cp3'), 60)
    assert states.finding(states.report(snap), DIFFER)['verdict'] == 'error'


def test_how_long_a_change_may_take_is_a_threshold():
    snap = states.snapshot()
    _forget(snap, 'cp2', 'w1')
    _member(snap, 'cp1', 'w1')['updated'] = states.before(snap, 30)
    assert states.finding(states.report(snap, {'discovery_settling_seconds': 20}), DIFFER)['verdict'] == 'error'


# -- DSC-2 ------------------------------------------------------------------------------------------------------

def _unlisted(snap, name):
    for observer in ('cp1', 'cp2', 'cp3', 'w1'):
        _forget(snap, observer, name, kinds=('Members', 'Affiliates'))
    states.named(snap, name).known_from = ['kubernetes']


def test_a_machine_that_nobody_lists():
    snap = states.snapshot()
    _unlisted(snap, 'w1')
    for machine in snap.machines:
        if machine.name == 'w1':
            machine.data['Affiliates'] = Datum(READ, [{'id': 'x', 'spec': {'nodeId': machine.key, 'nodename': 'w1', 'addresses': []}}])
    judged = states.report(snap)
    found = states.finding(judged, MISSING)
    assert (found['verdict'], found['nodes']) == ('error', ['w1']) and '443' in found['next_step']
    states.booted(snap, states.named(snap, 'w1'), 60)
    assert states.finding(states.report(snap), MISSING)['verdict'] == 'info'


def test_a_machine_without_a_name_is_an_affiliate_alone():
    snap = states.snapshot()
    key = states.named(snap, 'w1').key
    _unlisted(snap, 'w1')
    for machine in snap.answering():
        spec = {'nodeId': key, 'addresses': ['10.5.0.5'], 'hostname': '', 'nodename': ''}
        machine.data['Affiliates'].value.append({'id': key, 'spec': spec})
    found = states.finding(states.report(snap), MISSING)
    assert 'host name is not set' in found['means']


def test_a_machine_whose_name_another_one_bears_is_not_called_missing():
    """Members of one name overwrite each other: that is a duplicate (discovery.name_duplicate), not a missing member."""
    snap = states.snapshot()
    machine = states.named(snap, 'w1')
    machine.key, machine.address, machine.addresses = 'twin', '10.5.0.66', ['10.5.0.66']
    assert states.verdict(states.report(snap), MISSING) == 'ok'


def test_a_ready_node_whose_machine_nobody_knows():
    snap = states.snapshot()
    states.node(snap, 'w9', '10.5.0.29', 'True')
    found = states.finding(states.report(snap), MISSING)
    assert (found['verdict'], found['subject']) == ('error', 'w9')


@pytest.mark.parametrize('ready, since', [('Unknown', 3 * 3600), ('False', 60)])
def test_a_node_that_is_not_ready_is_not_missed(ready, since):
    snap = states.snapshot()
    states.node(snap, 'w9', '10.5.0.29', ready, since)
    assert states.verdict(states.report(snap), MISSING) == 'ok'


def test_an_old_etcd_member_is_not_missed():
    snap = states.snapshot()
    states.silent_machine(snap, 'cp-old', '10.5.0.13', '10.5.0.13', ['etcd', 'kubernetes'], 'controlplane')
    states.node(snap, 'cp-old', '10.5.0.13', 'Unknown', 3 * 3600)
    assert states.verdict(states.report(snap), MISSING) == 'ok'


@pytest.mark.parametrize('name, verdict', [('w1', 'ok'), ('10.5.0.5', 'ok'), ('W1', 'ok'), ('w2', 'error'), ('10.5.0.6', 'error')])
def test_expected_nodes(name, verdict):
    judged = states.report(states.snapshot(), expected_nodes=['cp1', name])
    assert states.verdict(judged, MISSING) == verdict
    if verdict == 'error':
        assert states.finding(judged, MISSING)['subject'] == f'expected {name}'


# -- G6 ---------------------------------------------------------------------------------------------------------

def _off(snap, *names):
    for machine in snap.machines:
        if not names or machine.name in names:
            machine.data['Members'] = machine.data['Affiliates'] = Datum(READ, [])


def test_discovery_disabled_everywhere():
    snap = states.snapshot()
    _off(snap)
    judged = states.report(snap)
    assert states.finding(judged, DISABLED)['verdict'] == 'info'
    for check in (DIFFER, MISSING, 'discovery.name_duplicate', 'discovery.removed_member', 'talos_api.endpoint_foreign'):
        assert states.verdict(judged, check) == 'not_applicable', check
    assert states.above_info(judged) == {}


def test_discovery_disabled_on_one_machine():
    snap = states.snapshot()
    _off(snap, 'w1')
    for name in ('cp1', 'cp2', 'cp3'):
        _forget(snap, name, 'w1', kinds=('Members', 'Affiliates'))
    judged = states.report(snap)
    found = states.finding(judged, DISABLED)
    assert (found['verdict'], found['nodes']) == ('error', ['w1'])
    assert states.finding(judged, MISSING)['because_of'] == [found['id']]


# -- why --------------------------------------------------------------------------------------------------------

HELLO = ('hello failed {{"component": "controller-runtime", "controller": "cluster.DiscoveryServiceController", "error": "rpc error: code '
         '= Unavailable desc = '
         'connection error: desc = \\"transport: {why}\\"", "endpoint": "discovery.talos.dev:443"}}')


@pytest.mark.parametrize('why, word', [
    ('Error while dialing: dial tcp 172.174.35.21:443: i/o timeout', 'no connection'),
    ('authentication handshake failed: context deadline exceeded', 'TLS fails'),
    ('Error while dialing dial tcp: lookup discovery.talos.dev on [::1]:53: read: connection refused', 'its name does not resolve'),
])
def test_the_discovery_service_is_not_reached(why, word):
    snap = states.snapshot()
    states.log(states.named(snap, 'w1'), states.controller_line(snap, 60, 'ERROR\x1b[0m', HELLO.format(why=why)))
    found = states.finding(states.report(snap), SERVICE)
    assert (found['verdict'], found['nodes']) == ('warning', ['w1'])
    assert word in found['title'] and 'discovery.talos.dev:443' in found['title']


def test_quotes_that_talos_did_not_escape():
    """As in the thread of talos#10136."""
    snap = states.snapshot()
    line = ('hello failed {"component": "controller-runtime", "controller": "cluster.DiscoveryServiceController", "error": "rpc error: '
            'code = Unavailable desc = '
            'connection error: desc = "transport: Error while dialing: dial tcp 172.174.35.21:443: i/o timeout"", "endpoint": '
            '"discovery.talos.dev:443"}')
    states.log(states.named(snap, 'w1'), states.controller_line(snap, 60, 'ERROR', line))
    assert states.finding(states.report(snap), SERVICE)['title'] == 'w1 does not get through to discovery.talos.dev:443: no connection'


def test_another_secret():
    snap = states.snapshot()
    line = 'decryption failure {"controller": "cluster.DiscoveryServiceController", "error": "cipher: message authentication failed"}'
    states.log(states.named(snap, 'w1'), states.controller_line(snap, 60, 'ERROR', line))
    assert 'cluster.secret' in states.finding(states.report(snap), SERVICE)['next_step']


@pytest.mark.parametrize('ago, age, verdict', [(600, 40 * states.DAY, 'ok'), (60, 300, 'info'), (60, 40 * states.DAY, 'warning')])
def test_old_lines_and_lines_of_the_boot_are_history(ago, age, verdict):
    snap = states.snapshot()
    machine = states.named(snap, 'w1')
    states.booted(snap, machine, age)
    states.log(machine, states.controller_line(snap, ago, 'ERROR', HELLO.format(why='i/o timeout')))
    assert states.verdict(states.report(snap), SERVICE) == verdict


def test_a_machine_that_nobody_lists_any_more_makes_the_line_an_error():
    snap = states.snapshot()
    for observer in ('cp1', 'cp2', 'cp3'):
        _forget(snap, observer, 'w1')
    states.log(states.named(snap, 'w1'), states.controller_line(snap, 60, 'ERROR', HELLO.format(why='i/o timeout')))
    found = states.finding(states.report(snap), SERVICE)
    assert (found['verdict'], found['root']) == ('error', True)


def test_the_log_explains_the_list():
    snap = states.snapshot()
    _forget(snap, 'cp2', 'w1')
    states.log(states.named(snap, 'cp2'), states.controller_line(snap, 60, 'ERROR', HELLO.format(why='i/o timeout')))
    judged = states.report(snap)
    assert states.finding(judged, DIFFER)['because_of'] == [states.finding(judged, SERVICE)['id']]


@pytest.mark.parametrize('spec, verdict', [
    ({'registryServiceEnabled': True, 'registryKubernetesEnabled': False, 'serviceEndpoint': 'discovery.talos.dev:443'}, 'ok'),
    ({'registryServiceEnabled': True, 'registryKubernetesEnabled': True, 'serviceEndpoint': 'discovery.talos.dev:443'}, 'ok'),
    ({'serviceEndpoints': [{'name': 'default', 'endpoint': 'discovery.talos.dev:443'}]}, 'ok'),
    ({'registryServiceEnabled': False, 'registryKubernetesEnabled': True}, 'warning'),
    ({'registryServiceEnabled': False, 'registryKubernetesEnabled': False}, 'info'),
])
def test_registries(spec, verdict):
    snap = states.snapshot()
    states.named(snap, 'w1').data['DiscoveryConfigs'] = Datum(READ, [{'id': 'cluster', 'spec': spec}])
    assert states.verdict(states.report(snap), REGISTRY) == verdict
