# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Client Configuration Issues"."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import REFUSED
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import states

DATES, UNUSABLE, ROLE = 'talos_api.client_certificate_dates', 'talos_api.client_certificate_unusable', 'talos_api.role_insufficient'
NOTHING, AUTHORITY = 'talos_api.nothing_reached', 'talos_api.unknown_authority'
MAINTENANCE = {'subject': 'CN=maintenance-service.talos.dev', 'common_name': 'maintenance-service.talos.dev', 'issuer': 'O=talos',
               'issuer_organization': 'talos',
               'dns': ['m1', 'maintenance-service.talos.dev'], 'ips': ['10.5.0.9', '127.0.0.1', '::1'],
               'not_before': '2026-11-22T09:00:00Z',
               'not_after': '2026-11-23T09:00:00Z', 'key_type': 'Ed25519', 'sha256': 'aa', 'serial': '1'}


@pytest.mark.parametrize('before, after, verdict, word', [
    (-300, 300, 'ok', ''),
    (-300, 31, 'ok', ''),
    (-300, 29, 'warning', 'expires in 29 d'),
    (-300, -1, 'critical', 'expired 24 h ago'),
    (1, 300, 'critical', 'is not valid before'),
])
def test_dates_of_the_client_certificate(before, after, verdict, word):
    snap = states.snapshot()
    snap.client['certificate'].update(not_before=states.before(snap, -before * states.DAY),
                                      not_after=states.before(snap, -after * states.DAY))
    judged = states.report(snap)
    assert states.verdict(judged, DATES) == verdict
    if word:
        found = states.finding(judged, DATES)
        assert word in found['title'] and snap.client['certificate']['not_after'] in found['evidence'][0]['text']


def test_the_days_left_are_a_threshold():
    snap = states.snapshot()
    snap.client['certificate']['not_after'] = states.before(snap, -29 * states.DAY)
    assert states.verdict(states.report(snap, {'talos_api_client_certificate_days': 7}), DATES) == 'ok'


@pytest.mark.parametrize('change, subject', [
    ({'extended_key_usage': ['serverAuth', 'clientAuth']}, 'client certificate usage'),
    ({'extended_key_usage': []}, 'client certificate usage'),
    ({'matches_key': False}, 'client certificate key'),
])
def test_a_certificate_that_talos_would_not_take(change, subject):
    snap = states.snapshot()
    snap.client['certificate'].update(change)
    found = states.finding(states.report(snap), UNUSABLE)
    assert (found['verdict'], found['subject']) == ('warning', subject), 'the cluster answered all the same'
    found = states.finding(states.report(states.disconnected(snap, 'client_refused')), UNUSABLE)
    assert found['verdict'] == 'error'


def test_a_client_certificate_of_another_ca():
    snap = states.snapshot()
    snap.client['ca']['signed_client'] = False
    assert states.finding(states.report(snap), UNUSABLE)['subject'] == 'client certificate issuer'


@pytest.mark.parametrize('roles, verdict, word', [
    (['os:admin'], 'ok', ''),
    (['os:reader', 'os:admin'], 'ok', ''),
    (['os:operator'], 'info', 'os:operator'),
    (['os:reader'], 'info', 'os:reader'),
    (['os:etcd:backup'], 'warning', 'too low'),
    (['os:etcd:backup', 'os:reader'], 'info', 'os:etcd:backup and os:reader'),
    (['os:meta:writer'], 'warning', 'too low'),
    (['system:masters'], 'error', 'no Talos role'),
    ([], 'error', 'no Talos role'),
])
def test_roles(roles, verdict, word):
    snap = states.snapshot()
    snap.client['certificate']['roles'] = roles
    judged = states.report(snap)
    assert states.verdict(judged, ROLE) == verdict
    if word:
        assert word in states.finding(judged, ROLE)['title']


def test_what_the_role_cost_is_what_was_refused():
    snap = states.snapshot()
    snap.client['certificate']['roles'] = ['os:etcd:backup']
    for machine in snap.machines:
        for kind in ('Members', 'ServiceList'):
            machine.data[kind] = Datum(REFUSED, reason='not authorized')
    assert 'Refused were: Members and ServiceList.' in states.finding(states.report(snap), ROLE)['means']


# -- nothing was reached ----------------------------------------------------------------------------------------

STORIES = {
    'refused': ('refused', 'see whether these are the addresses'),
    'timeout': ('got no answer', 'talos_bastion'),
    'no_route': ('no route', 'check the addresses'),
    'resolve': ('does not resolve', 'correct the names'),
    'proxy': ('HTTP proxy', 'check the proxy settings'),
    'untrusted_ca': ('not from the CA', 'use the talosconfig that belongs'),
    'maintenance': ('maintenance mode', 'apply the machine configuration'),
    'wrong_name': ('does not name this address', 'dial an address'),
    'expired': ('has expired', 'compare the clocks'),
    'client_refused': ('client certificate was refused', 'check the client certificate'),
    'not_tls': ('does not speak TLS', 'correct the endpoints'),
    'not_grpc': ('not gRPC', 'correct the endpoints'),
}


@pytest.mark.parametrize('kind', STORIES)
def test_nothing_reached_tells_the_whole_story(kind):
    judged = states.report(states.disconnected(states.snapshot(), kind, f'what came back: {kind}'))
    found = states.finding(judged, NOTHING)
    came_back, step = STORIES[kind]
    assert found['verdict'] == 'critical' and found['title'] == 'none of the 3 endpoints could be used'
    for endpoint in ('10.5.0.2', '10.5.0.3', '10.5.0.4'):
        assert f'{endpoint}: ' in found['means']
    assert came_back in found['means'] and 'context rt of recorded' in found['means']
    assert step.lower() in found['next_step'].lower()
    assert [e['text'] for e in found['evidence']] == [f'what came back: {kind}'] * 3
    assert judged['class'] == 'not_judged'


def test_nothing_reached_names_the_other_talosconfig_and_contexts():
    snap = states.disconnected(states.snapshot(), 'untrusted_ca')
    snap.client.update(local_file='./talosconfig', contexts=['rt', 'prod'])
    judged = states.report(snap)
    step = states.finding(judged, NOTHING)['next_step']
    assert './talosconfig' in step and 'prod' in step
    assert './talosconfig' in states.findings(judged, AUTHORITY)[0]['next_step']
    assert states.finding(judged, 'talos_api.other_talosconfig')['verdict'] == 'warning'


def test_nothing_reached_without_an_endpoint():
    snap = states.snapshot()
    snap.endpoints, snap.machines = [], []
    found = states.finding(states.report(snap), NOTHING)
    assert found['title'] == 'the context names no endpoint' and 'talosctl config endpoint' in found['next_step']


def test_nothing_reached_because_the_only_endpoints_are_workers():
    snap = states.snapshot()
    worker = states.named(snap, 'w1')
    for name in ('cp1', 'cp2', 'cp3'):
        states.dead(snap, name, 'no_endpoint', 'no control plane endpoint answered', None)
    snap.endpoints = []
    states.endpoint(snap, '10.5.0.5', machine=worker)
    judged = states.report(snap)
    found = states.finding(judged, NOTHING)
    assert found['title'] == 'no control plane node could be read, although 10.5.0.5 answered'
    assert found['because_of'] == ['talos_api.endpoint_is_worker/10.5.0.5']


def test_the_expired_certificate_is_the_root_of_nothing_reached():
    snap = states.disconnected(states.snapshot(), 'client_refused', 'remote error: tls: expired certificate')
    snap.client['certificate']['not_after'] = states.before(snap, 3600)
    judged = states.report(snap)
    roots = [f['check'] for f in judged['findings'] if f['root'] and f['verdict'] in ('error', 'critical')]
    assert roots == [DATES]
    assert len(states.findings(judged, 'talos_api.client_refused')) == 3


def test_the_local_file_is_no_fault_where_all_is_well():
    snap = states.snapshot()
    snap.client['local_file'] = './talosconfig'
    assert states.finding(states.report(snap), 'talos_api.other_talosconfig')['verdict'] == 'info'


@pytest.mark.parametrize('kind, verdict', [('talosconfig_missing', 'warning'), ('no_client_certificate', 'error'), ('expired', 'ok'),
                                           ('foreign_ca', 'ok')])
def test_problems_of_the_talosconfig_are_told_once(kind, verdict):
    snap = states.snapshot()
    snap.client['problems'] = [{'kind': kind, 'text': 'what was noticed'}]
    judged = states.report(snap)
    assert states.verdict(judged, 'talos_api.talosconfig_problem') == verdict
    if verdict != 'ok':
        assert states.finding(judged, 'talos_api.talosconfig_problem')['title'] == 'what was noticed'


# -- TLS --------------------------------------------------------------------------------------------------------

def test_another_clusters_ca():
    snap = states.disconnected(states.snapshot(), 'untrusted_ca', 'certificate verify failed',
                               states.served(states.snapshot(), issuer_organization='talos'))
    judged = states.report(snap)
    found = states.findings(judged, AUTHORITY)
    assert [f['subject'] for f in found] == ['10.5.0.2', '10.5.0.3', '10.5.0.4']
    assert all(f['verdict'] == 'error' and 'issued by O=talos' in f['means'] for f in found)
    assert states.finding(judged, NOTHING)['because_of'] == [f['id'] for f in found]
    assert judged['sections']['talos_api.firewall']['verdict'] == 'unknown', 'the port is open, what is behind it was not seen'


def test_a_machine_in_maintenance_mode_is_not_called_another_cluster():
    snap = states.snapshot()
    machine = states.dead(snap, 'w1', text='x509: certificate signed by unknown authority')
    machine.data['certificate'] = Datum('read', MAINTENANCE)
    found = states.finding(states.report(snap), AUTHORITY)
    assert found['title'] == 'w1 is in maintenance mode' and found['verdict'] == 'error'
    machine.data['certificate'] = Datum(REFUSED)
    found = states.finding(states.report(snap), AUTHORITY)
    assert 'or the machine is in maintenance mode' in found['means']


def test_one_machine_is_told_once_although_it_is_an_endpoint_too():
    snap = states.snapshot()
    states.dead(snap, 'cp3', text='x509: certificate signed by unknown authority')
    endpoint = next(e for e in snap.endpoints if e.text == '10.5.0.4')
    endpoint.connected, endpoint.error = False, {'kind': 'untrusted_ca', 'text': 'certificate verify failed'}
    judged = states.report(snap)
    assert states.finding(judged, AUTHORITY)['nodes'] == ['cp3']
    assert states.finding(judged, 'talos_api.endpoint_dead')['because_of'] == [states.finding(judged, AUTHORITY)['id']]
