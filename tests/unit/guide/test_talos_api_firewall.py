# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Firewall Issues"."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import READ
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import states

UNREACHABLE = 'talos_api.machine_unreachable'


@pytest.mark.parametrize('kind, text, word', [
    ('deadline', 'no answer within 10 s', 'never answered'),
    ('node_unreachable', 'dial tcp 10.5.0.5:50000: connect: no route to host', 'no route'),
    ('node_unreachable', 'dial tcp 10.5.0.5:50000: i/o timeout', 'got no answer'),
    ('node_unreachable', 'dial tcp 10.5.0.5:50000: connect: connection refused', 'connection refused'),
])
def test_each_silence_has_its_words(kind, text, word):
    snap = states.snapshot()
    machine = states.dead(snap, 'w1', kind, text)
    judged = states.report(snap)
    found = states.finding(judged, UNREACHABLE)
    assert found['verdict'] == 'error' and word in found['title'] and 'through 10.5.0.2' in found['title']
    assert (found['subject'], found['nodes']) == (machine.key, ['w1'])
    assert states.above_info(judged) == {UNREACHABLE: 'error'}


@pytest.mark.parametrize('text, verdict', [
    ('The endpoint cannot reach 10.5.0.5: dial tcp 10.5.0.5:50000: connect: connection refused', 'error'), ('dial tcp 10.5.0.5:50000: i/o timeout', 'error'),
    ('stream terminated by RST_STREAM', 'ok')])
def test_a_machine_that_was_lost_while_it_was_read(text, verdict):
    snap = states.snapshot()
    machine = states.named(snap, 'w1')
    machine.data['RouteStatuses'] = machine.logs['controller-runtime'] = Datum('unreachable', reason=text, at=snap.finished_at)
    judged = states.report(snap)
    assert states.verdict(judged, UNREACHABLE) == verdict
    if verdict == 'error':
        found = states.finding(judged, UNREACHABLE)
        assert found['nodes'] == ['w1'] and 'was lost while it was read' in found['title'] and '2 reads' in found['means']
        assert [evidence['source'] for evidence in found['evidence']] == ['RouteStatuses', 'log controller-runtime']


@pytest.mark.parametrize('door', ['apiserver_certificate', 'apiserver_probe', 'certificate'])
def test_a_machine_whose_other_ports_refuse_is_not_lost(door):
    """Port 6443 without an API server says nothing about the Talos API."""
    snap = states.snapshot()
    text = 'https://10.5.0.2:6443 could not be reached: connection refused'
    states.named(snap, 'cp1').data[door] = Datum('unreachable', reason=text, code='refused', at=snap.finished_at)
    assert states.verdict(states.report(snap), UNREACHABLE) == 'ok'


@pytest.mark.parametrize('cordoned, status, since, verdict', [
    (True, 'Unknown', 70, 'info'), (True, 'Unknown', 300, 'error'), (False, 'Unknown', 70, 'error'), (True, 'True', 70, 'error')])
def test_a_machine_that_was_drained_and_went_down_a_moment_ago(cordoned, status, since, verdict):
    snap = states.snapshot()
    states.dead(snap, 'w1')
    node = next(each for each in snap.kubernetes['data']['nodes'].value if each['name'] == 'w1')
    node['unschedulable'] = cordoned
    next(c for c in node['conditions'] if c['type'] == 'Ready').update(status=status, lastTransitionTime=states.before(snap, since))
    found = states.finding(states.report(snap), UNREACHABLE)
    assert found['verdict'] == verdict and ('was cordoned before' in found['means']) == (verdict == 'info')


def test_a_frozen_machine_is_not_blamed_on_the_port():
    snap = states.snapshot()
    states.dead(snap, 'w1', 'deadline', 'no answer within 10 s')
    found = states.finding(states.report(snap), UNREACHABLE)
    assert 'frozen' in found['means'] and 'power-cycle' in found['next_step'] and '50001' not in found['next_step']


def test_where_no_machine_stands_there_is_no_firewall():
    snap = states.snapshot()
    machine = states.silent_machine(snap, 'cp-old', '10.5.0.13', '10.5.0.13', ['etcd', 'kubernetes', 'talosconfig'], 'controlplane')
    states.node(snap, 'cp-old', '10.5.0.13', 'Unknown', 3 * 3600)
    states.endpoint(snap, '10.5.0.13', connected=False, error={'kind': 'no_route', 'text': 'There is no route to 10.5.0.13.'},
                    machine=machine)
    judged = states.report(snap)
    assert judged['sections']['talos_api.firewall']['verdict'] == 'ok'
    assert states.above_info(judged) == {'talos_api.endpoint_dead': 'warning'}
    found = states.finding(judged, 'talos_api.endpoint_dead')
    assert found['title'] == 'endpoint 10.5.0.13 is no machine of the cluster'


def test_a_trustd_that_does_not_run_is_an_error_and_stands_in_the_workers_evidence():
    snap = states.snapshot('worker-down')
    service = next(s for s in states.named(snap, 'cp2').value('ServiceList')['services'] if s['id'] == 'trustd')
    service['state'], service['health'] = 'Waiting', {'healthy': False, 'unknown': True, 'last_message': ''}
    service['events']['events'].append({'msg': 'Waiting for network', 'state': 'Waiting', 'ts': snap.finished_at})
    judged = states.report(snap)
    found = states.finding(judged, 'talos_api.trustd_not_serving')
    assert (found['verdict'], found['nodes']) == ('error', ['cp2']) and 'Waiting for network' in found['title']
    worker = states.finding(judged, UNREACHABLE)
    assert any(e['node'] == 'cp2' and 'trustd is Waiting' in e['text'] for e in worker['evidence'])


@pytest.mark.parametrize('said', ['Waiting for time sync', 'Waiting for service "containerd" to be "up", time sync, network', 'Waiting for network, time sync'])
def test_a_trustd_that_waits_for_the_time_is_no_fault_of_its_own(said):
    """Check catalogue API-2: the clock is what is wrong, and stands in its own section."""
    snap = states.snapshot()
    service = next(s for s in states.named(snap, 'cp2').value('ServiceList')['services'] if s['id'] == 'trustd')
    service['state'], service['health'] = 'Waiting', {'healthy': False, 'unknown': True, 'last_message': ''}
    service['events']['events'].append({'msg': said, 'state': 'Waiting', 'ts': snap.finished_at})
    assert states.finding(states.report(snap), 'talos_api.trustd_not_serving')['verdict'] == 'info'


@pytest.mark.parametrize('age, stage, verdict', [(120, 'running', 'info'), (3600, 'running', 'error'), (3600, 'upgrading', 'info')])
def test_a_machine_that_boots_or_is_changed_is_given_time(age, stage, verdict):
    snap = states.snapshot()
    machine = states.named(snap, 'cp2')
    states.booted(snap, machine, age)
    states.spec(machine, 'MachineStatuses')['stage'] = stage
    services = machine.value('ServiceList')
    services['services'] = [s for s in services['services'] if s['id'] != 'trustd']
    found = states.finding(states.report(snap), 'talos_api.trustd_not_serving')
    assert found['verdict'] == verdict and 'trustd is not among the services' in found['title']


def test_apid_that_waits_for_its_certificate_alone():
    snap = states.snapshot()
    service = next(s for s in states.named(snap, 'w1').value('ServiceList')['services'] if s['id'] == 'apid')
    service['state'], service['health'] = 'Waiting', {'healthy': False, 'unknown': False, 'last_message': ''}
    service['events']['events'].append({'msg': 'Waiting for api certificates', 'state': 'Waiting', 'ts': snap.finished_at})
    found = states.finding(states.report(snap), 'talos_api.apid_not_healthy')
    assert found['verdict'] == 'error' and '50001' in found['next_step']
    service['events']['events'][-1]['msg'] = 'Waiting for service "containerd" to be "up", api certificates, config to be ready'
    assert '50001' not in states.finding(states.report(snap), 'talos_api.apid_not_healthy')['next_step']


CSR = ('[talos] controller failed {"component": "controller-runtime", "controller": "secrets.APIController", "error": "failed to sign API '
       'server CSR: '
       '6 error(s) occurred: rpc error: code = DeadlineExceeded desc = context deadline exceeded while waiting for connections to become '
       'ready"}')


@pytest.mark.parametrize('ago, verdict', [(60, 'error'), (1200, 'ok')])
def test_a_certificate_request_that_trustd_did_not_sign(ago, verdict):
    snap = states.snapshot()
    states.log(states.named(snap, 'w1'), states.controller_line(snap, ago, 'ERROR\x1b[0m', CSR))
    judged = states.report(snap)
    assert states.verdict(judged, 'talos_api.certificate_request_refused') == verdict
    if verdict == 'error':
        found = states.finding(judged, 'talos_api.certificate_request_refused')
        assert found['nodes'] == ['w1'] and 'DeadlineExceeded' in found['evidence'][0]['text']


@pytest.mark.parametrize('hours, verdict, word', [(5, 'warning', 'expires in 5 h'), (-1, 'warning', 'expired 60 min ago'), (7, 'ok', '')])
def test_a_certificate_that_is_not_renewed(hours, verdict, word):
    snap = states.snapshot()
    states.named(snap, 'cp3').data['certificate'].value['not_after'] = states.before(snap, -hours * 3600)
    judged = states.report(snap)
    assert states.verdict(judged, 'talos_api.certificate_expiring') == verdict
    if word:
        assert word in states.finding(judged, 'talos_api.certificate_expiring')['title']


def test_the_remaining_life_is_a_threshold():
    snap = states.snapshot()
    states.named(snap, 'cp3').data['certificate'].value['not_after'] = states.before(snap, -7 * 3600)
    judged = states.report(snap, {'talos_api_server_certificate_seconds': 8 * 3600})
    assert states.verdict(judged, 'talos_api.certificate_expiring') == 'warning'


def test_one_path_is_blocked_and_another_is_not():
    snap = states.snapshot()
    for name in ('cp3', 'w1'):
        states.named(snap, name).data['reach'] = Datum(READ, {
            '10.5.0.2': 'connection error: desc = "transport: Error while dialing: dial tcp: i/o timeout"', '10.5.0.3': 'ok'})
    states.named(snap, 'cp2').data['reach'] = Datum(READ, {'10.5.0.2': 'no answer yet when another endpoint had one', '10.5.0.3': 'ok'})
    judged = states.report(snap)
    found = states.finding(judged, 'talos_api.path_blocked')
    assert found['verdict'] == 'warning' and found['subject'] == '10.5.0.2' and found['nodes'] == ['cp3', 'w1']
    assert states.verdict(judged, UNREACHABLE) == 'ok'


def test_what_could_not_be_tried_is_unknown_not_dead():
    snap = states.snapshot()
    machine = states.dead(snap, 'w1', 'no_endpoint', 'no control plane endpoint answered', None)
    assert states.finding(states.report(snap), UNREACHABLE)['verdict'] == 'unknown'
    machine.unreachable = {'kind': 'resolve', 'text': 'no address of it is known', 'via': None, 'at': None}
    machine.address, machine.addresses = None, []
    found = states.finding(states.report(snap), UNREACHABLE)
    assert found['verdict'] == 'unknown' and 'no address of it is known' in found['title']


def test_every_endpoint_refused():
    snap = states.disconnected(states.snapshot(), 'refused', '10.5.0.2 refuses connections on port 50000.')
    judged = states.report(snap)
    found = states.findings(judged, UNREACHABLE)
    assert [f['subject'] for f in found if f['verdict'] == 'error'] == ['10.5.0.2', '10.5.0.3', '10.5.0.4']
    nothing = states.finding(judged, 'talos_api.nothing_reached')
    assert sorted(nothing['because_of']) == sorted(f['id'] for f in found if f['verdict'] == 'error')


def test_an_endpoint_name_that_does_not_resolve_is_no_machine_and_still_told():
    snap = states.disconnected(states.snapshot(), 'resolve', 'The name api.example.net does not resolve.')
    snap.machines = []
    for endpoint in snap.endpoints:
        endpoint.text = endpoint.host = f'{endpoint.host.rsplit(".")[-1]}.example.net'
        endpoint.machine, endpoint.addresses = None, []
    found = [f for f in states.findings(states.report(snap), UNREACHABLE) if f['verdict'] == 'error']
    assert [f['subject'] for f in found] == ['2.example.net', '3.example.net', '4.example.net']


@pytest.mark.parametrize('named, found', [('w1', ['ok']), ('w9', ['error'])])
def test_a_silent_entry_with_the_name_of_a_machine_that_answers_is_no_closed_port(named, found):
    """Two members of one name: the name is the fault (discovery.name_duplicate), wherever the second one was."""
    snap = states.snapshot()
    alive = next(machine for machine in snap.machines if machine.name == 'w1')
    other = states.dead(snap, 'cp3', text='dial tcp 10.5.0.4:50000: connect: no route to host')
    other.name = named
    judged = states.report(snap)
    told = [f for f in states.findings(judged, 'talos_api.machine_unreachable') if f['subject'] == other.key]
    assert alive.answered and ([f['verdict'] for f in told] or ['ok']) == found
