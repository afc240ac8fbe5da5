# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Removed Members are Still Present"."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import READ
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import states

REMOVED, AFFILIATE, UNREACHABLE = 'discovery.removed_member', 'discovery.stale_affiliate', 'talos_api.machine_unreachable'


def _remembered(snap, age):
    states.member(snap, 'w9', 'w9-identity', ['10.5.0.29'], age=age)
    return states.silent_machine(snap, 'w9', 'w9-identity', '10.5.0.29', ['discovery'])


@pytest.mark.parametrize('age, verdict', [(600, 'info'), (2000, 'info'), (2200, 'warning'), (40 * states.DAY, 'warning')])
def test_a_member_that_discovery_alone_remembers(age, verdict):
    snap = states.snapshot()
    machine = _remembered(snap, age)
    judged = states.report(snap)
    found = states.finding(judged, REMOVED)
    assert (found['verdict'], found['subject'], found['nodes']) == (verdict, machine.key, ['w9'])
    assert states.verdict(judged, UNREACHABLE) == 'ok', 'no firewall is blamed'
    assert judged['sections']['discovery.missing']['verdict'] == 'ok'


def test_one_observation_claims_no_more_than_it_can():
    snap = states.snapshot()
    _remembered(snap, 40 * states.DAY)
    found = states.finding(states.report(snap), REMOVED)
    assert 'seen once' in found['means'] and '35 minutes' in found['next_step']


@pytest.mark.parametrize('since', [60, 3 * 3600])
def test_a_member_that_kubernetes_knows_is_down_not_removed(since):
    snap = states.snapshot()
    _remembered(snap, 40 * states.DAY)
    states.node(snap, 'w9', '10.5.0.29', 'Unknown', since)
    judged = states.report(snap)
    assert states.verdict(judged, REMOVED) == 'ok'
    assert states.finding(judged, UNREACHABLE)['verdict'] == 'error'


def test_an_expected_member_is_down_not_removed():
    snap = states.snapshot()
    _remembered(snap, 40 * states.DAY)
    judged = states.report(snap, expected_nodes=['w9'])
    assert states.verdict(judged, REMOVED) == 'ok'
    assert states.finding(judged, UNREACHABLE)['verdict'] == 'error'


def test_a_member_that_discovery_has_forgotten_is_no_finding_here():
    snap = states.snapshot()
    states.silent_machine(snap, 'cp-old', '10.5.0.13', '10.5.0.13', ['etcd', 'kubernetes'], 'controlplane')
    states.node(snap, 'cp-old', '10.5.0.13', 'Unknown', 3 * 3600)
    assert states.verdict(states.report(snap), REMOVED) == 'ok'


def test_an_affiliate_without_a_name_that_nobody_answers_for():
    snap = states.snapshot()
    for machine in snap.answering():
        machine.data['Affiliates'].value.append({'id': 'lost',
                                                 'spec': {'nodeId': 'lost', 'addresses': ['10.5.0.44'], 'hostname': '', 'nodename': ''}})
    found = states.finding(states.report(snap), AFFILIATE)
    assert (found['verdict'], found['subject']) == ('info', 'affiliate lost') and '10.5.0.44' in found['evidence'][0]['text']


def test_an_affiliate_of_a_machine_that_answers_is_not_left_over():
    snap = states.snapshot()
    for machine in snap.answering():
        for item in machine.value('Affiliates'):
            if item['spec']['hostname'] == 'w1':
                item['spec']['nodename'] = ''
    assert states.verdict(states.report(snap), AFFILIATE) == 'ok'


def test_the_member_lists_are_enough():
    snap = states.snapshot()
    _remembered(snap, 600)
    for machine in snap.answering():
        machine.data['Affiliates'] = Datum(READ, machine.value('Affiliates')[:1])
    assert states.finding(states.report(snap), REMOVED)['verdict'] == 'info'
