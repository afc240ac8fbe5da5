# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The URL of the endpoint, and the certificates that are served under it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import kubernetes_api_names
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time
from tests import recorded
from tests.unit.guide.judging import READ, faults, findings, lose, node, old, one, planes, recording, report, verdict_of
from tests.unit.guide.kubernetes_api_states import configured, dead_endpoint, endpoint, silent

CHECKS = kubernetes_api_names.CHECKS
URL, EXPIRES, NAMES, KUBECONFIG = (f'kubernetes_api.{name}' for name in (
    'endpoint_url', 'certificate_expires', 'certificate_names', 'kubeconfig_certificate'))


def judged(snapshot, thresholds=None):
    return report(snapshot, thresholds, CHECKS)


def ahead(snapshot, days):
    return format_time(snapshot.now + timedelta(days=days))


@pytest.mark.parametrize('later', [0, 86400])
@pytest.mark.parametrize('name', recorded.SETS)
def test_recorded_clusters_are_quiet(name, later):
    assert findings(judged(recording(name, later)), worse_than='info') == []


# -- KAPI-2 -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('url, verdict, said', [
    ('https://10.5.0.100:6443', 'ok', ''),                          # the VIP
    ('https://10.5.0.50:6443', 'ok', ''),                           # no machine: a load balancer
    ('https://api.example.net:6443', 'ok', ''),
    ('https://10.5.0.50', 'ok', ''),                                # a balancer on 443 that answers
    ('http://10.5.0.100:6443', 'error', 'not https'),
    ('https://localhost:6443', 'error', 'the machine itself'),
    ('https://0.0.0.0:6443', 'error', 'the machine itself'),
    ('https://10.5.0.2:6443', 'warning', 'cp1 alone, of 3'),
    ('https://10.5.0.5:6443', 'error', 'the worker w1'),
    ('https://:6443', 'error', 'no URL with a host'),
])
def test_the_url(url, verdict, said):
    snapshot = old()
    configured(snapshot, url)
    judged_ = judged(snapshot)
    assert verdict_of(judged_, URL) == verdict
    if said:
        assert said in one(judged_, URL)['title'] and 'cluster.controlPlane.endpoint' in one(judged_, URL)['next_step']


def test_a_missing_port_where_nothing_answers():
    snapshot = old()
    configured(snapshot, 'https://10.5.0.100')
    dead_endpoint(snapshot)
    assert one(judged(snapshot), URL)['verdict'] == 'warning' and 'names no port' in one(judged(snapshot), URL)['title']


@pytest.mark.parametrize('addresses, verdict', [
    (['10.5.0.2', '10.5.0.3', '10.5.0.4'], 'ok'), (['10.5.0.2', '10.5.0.3'], 'info'), (['10.5.0.2'], 'warning'), (['10.5.0.5', '10.5.0.2'], 'error'),
    (['10.5.0.100'], 'ok'), ([], 'ok'), (['192.0.2.1', '10.5.0.2'], 'ok')])
def test_what_a_name_resolves_to(addresses, verdict):
    snapshot = old()
    configured(snapshot, 'https://api.example.net:6443')
    endpoint(snapshot, addresses=addresses)
    assert verdict_of(judged(snapshot), URL) == verdict


def test_the_only_control_plane_node_may_be_the_endpoint():
    snapshot = old()
    snapshot.machines = [machine for machine in snapshot.machines if machine.name in ('cp1', 'w1')]
    configured(snapshot, 'https://10.5.0.2:6443')
    assert verdict_of(judged(snapshot), URL) == 'ok'


def test_for_a_reader_kubeprism_names_the_endpoint_first():
    snapshot = old('healthy-reader')
    assert verdict_of(judged(snapshot), URL) == 'ok'
    for machine in snapshot.machines:
        machine.value('KubePrismEndpoints')[0]['spec']['endpoints'][0] = {'host': '10.5.0.3', 'port': 6443}
    assert 'cp2 alone' in one(judged(snapshot), URL)['title'] and one(judged(snapshot), URL)['evidence'][0]['source'] == 'KubePrismEndpoints'


def test_an_endpoint_that_nothing_names_is_unknown():
    snapshot = old('healthy-reader')
    snapshot.kubernetes['data']['endpoint'] = Datum('not_asked')
    for machine in snapshot.machines:
        lose(machine, 'KubePrismEndpoints')
    assert one(judged(snapshot), URL)['verdict'] == 'unknown'


# -- CP-7 -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('days, verdict', [(31, 'ok'), (29, 'warning'), (-1, 'error')])
def test_the_life_of_a_certificate(days, verdict):
    snapshot = old()
    node(snapshot, 'cp2').value('apiserver_certificate')['not_after'] = ahead(snapshot, days)
    assert verdict_of(judged(snapshot), EXPIRES) == verdict
    assert [f['nodes'] for f in findings(judged(snapshot), EXPIRES)] == ([] if verdict == 'ok' else [['cp2']])
    if verdict == 'warning':
        assert verdict_of(judged(snapshot, {'kubernetes_api_certificate_days': 7}), EXPIRES) == 'ok'


def test_a_certificate_of_the_future():
    snapshot = old()
    node(snapshot, 'cp2').value('apiserver_certificate').update(not_before=ahead(snapshot, 1), not_after=ahead(snapshot, 365))
    assert 'not valid for another' in one(judged(snapshot), EXPIRES)['title'] and 'clocks' in one(judged(snapshot), EXPIRES)['next_step']


def test_dates_are_held_against_the_clock_of_the_control_node():
    snapshot = old()
    snapshot.control_node['clock_offset_ms'] = 400 * 86400 * 1000
    assert faults(judged(snapshot)) == set()


def test_a_server_that_does_not_serve_is_told_elsewhere_and_one_that_was_not_looked_at_is_unknown():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    lose(machine, 'apiserver_certificate')
    assert {f['verdict'] for f in findings(judged(snapshot))} == {'unknown'} and {f['check'] for f in findings(judged(snapshot))} == {EXPIRES, NAMES}
    silent(snapshot, machine)
    assert findings(judged(snapshot)) == []


# -- KAPI-4 -----------------------------------------------------------------------------------------------------

def test_a_balancer_that_one_certificate_does_not_name():
    snapshot = old()
    configured(snapshot, 'https://lb.example.net:6443')
    for machine in planes(snapshot)[:2]:
        machine.value('apiserver_certificate')['dns'].append('LB.example.net' if machine.name == 'cp1' else '*.example.net')
    finding = one(judged(snapshot), NAMES)
    assert (finding['verdict'], finding['nodes']) == ('error', ['cp3']) and 'cluster.apiServer.certSANs' in finding['next_step']
    assert finding['remedy'] == {'name': 'talos_certsans', 'args': {'names': ['lb.example.net'], 'nodes': ['cp1', 'cp2', 'cp3'], 'lists': ['api_server']}}


def test_kubeprism_asks_under_127_0_0_1():
    snapshot = old()
    certificate = node(snapshot, 'cp1').value('apiserver_certificate')
    certificate['ips'] = [ip for ip in certificate['ips'] if ip != '127.0.0.1']
    assert '127.0.0.1' in one(judged(snapshot), NAMES)['title'] and 'KubePrism' in one(judged(snapshot), NAMES)['means']
    assert one(judged(snapshot), NAMES)['remedy'] is None, 'nobody configures that'
    for machine in snapshot.machines:
        machine.data['KubePrismStatuses'] = Datum(READ, [])
    assert faults(judged(snapshot)) == set()


# -- KAPI-7 -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('days, verdict', [(300, 'ok'), (10, 'warning'), (-3, 'error')])
def test_the_kubeconfig_of_the_user(days, verdict):
    snapshot = old()
    snapshot.kubernetes.update(source='kubeconfig', client={'subject': 'CN=admin', 'not_before': ahead(snapshot, -400), 'not_after': ahead(snapshot, days)})
    assert verdict_of(judged(snapshot), KUBECONFIG) == verdict


def test_a_kubeconfig_without_a_certificate_and_one_from_talos():
    snapshot = old()
    assert verdict_of(judged(snapshot), KUBECONFIG) == 'not_applicable'
    snapshot.kubernetes['source'] = 'kubeconfig'
    assert verdict_of(judged(snapshot), KUBECONFIG) == 'not_applicable'
