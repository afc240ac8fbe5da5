# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the sections Talos API and Discovery say of the recorded states of a real cluster."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import discovery, talos_api
from ansible_collections.talosops.talos.plugins.module_utils.judge import sections
from tests.unit.guide import states

KEYS = ('talos_api.firewall', 'talos_api.client_configuration', 'talos_api.subnet_conflict', 'talos_api.wrong_endpoints',
        'talos_api.tcp_loadbalancer',
        'discovery.missing', 'discovery.duplicate', 'discovery.removed')

# In the order of KEYS; the recorded talosctl health agrees: all fine, all fine, 10.5.0.4:50000 refused, 10.5.0.5:50000 refused, fine.
RECORDED = {
    'healthy': ('ok', 'ok', 'ok', 'ok', 'not_applicable', 'ok', 'ok', 'ok'),
    'healthy-reader': ('ok', 'info', 'ok', 'ok', 'not_applicable', 'ok', 'ok', 'ok'),
    'one-cp-down': ('error', 'ok', 'ok', 'warning', 'not_applicable', 'ok', 'ok', 'ok'),
    'worker-down': ('error', 'ok', 'ok', 'ok', 'not_applicable', 'ok', 'ok', 'ok'),
    'nospace-alarm': ('ok', 'ok', 'ok', 'ok', 'info', 'ok', 'ok', 'ok'),
}


@pytest.mark.parametrize('old', [False, True], ids=['as recorded', 'machines long up'])
@pytest.mark.parametrize('name', RECORDED)
def test_verdict_of_every_section(name, old):
    judged = states.report(states.snapshot(name, old))
    assert {key: judged['sections'][key]['verdict'] for key in KEYS} == dict(zip(KEYS, RECORDED[name]))


@pytest.mark.parametrize('name, down', [('one-cp-down', 'cp3'), ('worker-down', 'w1')])
def test_the_machine_that_is_off_is_the_one_root(name, down):
    judged = states.report(states.snapshot(name))
    roots = [f for f in judged['findings'] if f['root'] and f['verdict'] != 'info']
    assert [(f['check'], f['nodes']) for f in roots] == [('talos_api.machine_unreachable', [down])]
    assert 'connection refused' in roots[0]['evidence'][0]['text']
    for key in ('talos_api.firewall', 'talos_api.subnet_conflict'):
        assert judged['sections'][key]['nodes_missing'] == [down]


def test_a_worker_that_refuses_is_told_about_trustd_and_a_control_plane_node_is_not():
    worker = states.finding(states.report(states.snapshot('worker-down')), 'talos_api.machine_unreachable')
    assert '50001' in worker['next_step']
    assert [e['text'] for e in worker['evidence'] if 'trustd' in e['text']] == ['trustd is Running, healthy'] * 2
    assert worker['more_evidence'] == 1
    plane = states.finding(states.report(states.snapshot('one-cp-down')), 'talos_api.machine_unreachable')
    assert '50001' not in plane['next_step']


def test_the_dead_endpoint_is_a_consequence():
    judged = states.report(states.snapshot('one-cp-down'))
    dead = states.finding(judged, 'talos_api.endpoint_dead')
    assert dead['because_of'] == [states.finding(judged, 'talos_api.machine_unreachable')['id']]


def test_a_reader_is_told_what_is_left_out_and_meets_no_wall():
    judged = states.report(states.snapshot('healthy-reader'))
    role = states.finding(judged, 'talos_api.role_insufficient')
    assert 'Refused were: APIServerConfigs, CertSANs, DiscoveryConfigs, KubeletSpecs, MachineConfigs, OOMActions and OperatorSpecs.' in role['means']
    assert states.above_info(judged) == {'discovery.registry': 'unknown'}
    assert all(judged['sections'][key]['unseen'] == 0 for key in KEYS)


def test_certificate_names_that_differ_between_control_plane_nodes():
    found = states.finding(states.report(states.snapshot('nospace-alarm')), 'talos_api.certsans_differ')
    assert found['verdict'] == 'info'
    assert found['title'] == 'lb.example.net is in the API certificate of cp1, but not of cp2 and cp3'
    assert found['nodes'] == ['cp2', 'cp3']
    assert found['remedy'] == {'name': 'talos_certsans', 'args': {'names': ['lb.example.net'], 'nodes': ['cp1', 'cp2', 'cp3'], 'lists': ['machine']}}


def test_every_check_belongs_to_one_of_the_sections_and_has_its_own_id():
    ids = [check.id for check in states.CHECKS]
    assert len(ids) == len(set(ids))
    assert {check.section for check in states.CHECKS} == set(KEYS) <= set(sections.KEYS)
    assert all(check.id.startswith('talos_api.') for check in talos_api.CHECKS)
    assert all(check.id.startswith('discovery.') for check in discovery.CHECKS)
    names = [name for check in states.CHECKS for name in check.thresholds]
    assert len(names) == len(set(names))
    assert all(name.startswith(('talos_api_', 'discovery_')) for name in names)


@pytest.mark.parametrize('name', RECORDED)
def test_every_finding_says_what_to_do_and_shows_what_was_seen(name):
    for finding in states.report(states.snapshot(name))['findings']:
        if finding['verdict'] != 'unknown':
            assert finding['title'] and finding['means'] and finding['next_step'] and finding['evidence'], finding['id']
