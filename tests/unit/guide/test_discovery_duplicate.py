# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Duplicate Members"."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import READ, REFUSED
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import states

NAME, ADDRESS, OTHER, IDENTITY, UUID = (f'discovery.{name}' for name in (
    'name_duplicate', 'address_duplicate', 'other_cluster', 'identity_clone', 'uuid_clone'))


@pytest.mark.parametrize('kinds', [('Members', 'Affiliates'), ('Affiliates',)],
                         ids=['both lists', 'affiliates, because members of one name overwrite each other'])
def test_one_name_with_two_identities(kinds):
    snap = states.snapshot()
    states.member(snap, 'w1', 'other', ['10.5.0.66'], kinds)
    found = states.finding(states.report(snap), NAME)
    assert (found['verdict'], found['subject']) == ('error', 'name w1')
    assert found['title'] == '2 members have the host name w1'
    assert 'secrets' in found['means']


def test_one_address_with_two_names():
    snap = states.snapshot()
    states.member(snap, 'w7', 'other', ['10.5.0.66'])
    states.member(snap, 'w8', 'another', ['10.5.0.66'])
    found = states.finding(states.report(snap), ADDRESS)
    assert (found['verdict'], found['subject']) == ('error', 'address 10.5.0.66')


def test_the_virtual_ip_may_be_listed_twice():
    snap = states.snapshot()
    for machine in snap.answering():
        for kind in ('Members', 'Affiliates'):
            for item in machine.value(kind):
                if item['spec']['hostname'] == 'cp2':
                    item['spec']['addresses'].append('10.5.0.100')
    assert states.verdict(states.report(snap), ADDRESS) == 'ok'


@pytest.mark.parametrize('age, verdict', [(1200, 'info'), (3600, 'error')])
def test_a_machine_installed_anew_leaves_its_old_entry_for_half_an_hour(age, verdict):
    snap = states.snapshot()
    states.booted(snap, states.named(snap, 'w1'), age)
    states.member(snap, 'w1', 'old-installation', ['10.5.0.5'])
    judged = states.report(snap)
    assert states.finding(judged, NAME)['verdict'] == verdict
    assert not states.findings(judged, ADDRESS), 'told once'


@pytest.mark.parametrize('age, kind, known_from, verdict', [
    (1200, 'node_unreachable', ['discovery'], 'info'), (3600, 'node_unreachable', ['discovery'], 'error'),
    (1200, 'expired', ['discovery'], 'error'), (1200, 'node_unreachable', ['discovery', 'etcd'], 'error')])
def test_a_machine_installed_anew_with_another_address(age, kind, known_from, verdict):
    """Only while discovery may still remember it, and only where nothing is there any more."""
    snap = states.snapshot()
    states.booted(snap, states.named(snap, 'w1'), age)
    states.member(snap, 'w1', 'old-installation', ['10.5.0.66'])
    states.silent_machine(snap, 'w1', 'old-installation', '10.5.0.66', known_from)
    snap.machine('old-installation').unreachable = {'kind': kind, 'text': 'dial tcp 10.5.0.66:50000: connect: no route to host', 'via': '10.5.0.2',
                                                    'at': None}
    assert states.finding(states.report(snap), NAME)['verdict'] == verdict


def test_a_machine_installed_anew_under_another_name():
    snap = states.snapshot()
    states.booted(snap, states.named(snap, 'w1'), 1200)
    states.member(snap, 'w1-before', 'old-installation', ['10.5.0.5'])
    found = states.finding(states.report(snap), ADDRESS)
    assert found['verdict'] == 'info' and 'w1' in found['means']


@pytest.mark.parametrize('field, value, words', [('clusterId', 'redacted:ffffffff', 'cluster id'), ('clusterName', 'prod', 'cluster name')])
def test_a_member_that_says_it_is_of_another_cluster(field, value, words):
    snap = states.snapshot()
    states.spec(states.named(snap, 'w1'), 'Infos')[field] = value
    found = states.finding(states.report(snap), OTHER)
    assert (found['verdict'], found['nodes']) == ('error', ['w1']) and words in found['title']


def test_a_control_plane_node_with_an_etcd_and_a_kubernetes_of_its_own():
    snap = states.snapshot()
    foreign = states.named(snap, 'cp3')
    foreign.data['EtcdMemberList'].value['members'] = [{'id': 'ffff000000000001', 'hostname': 'cp3'}]
    assert states.verdict(states.report(snap), OTHER) == 'ok', 'its Node is ours: a question for etcd'
    states.drop_node(snap, 'cp3')
    found = states.finding(states.report(snap), OTHER)
    assert (found['verdict'], found['nodes']) == ('error', ['cp3'])


def test_machines_with_one_identity():
    snap = states.snapshot()
    first, second = states.named(snap, 'cp2'), states.named(snap, 'w1')
    states.spec(second, 'Identities')['nodeId'] = states.spec(first, 'Identities')['nodeId']
    found = states.finding(states.report(snap), IDENTITY)
    assert (found['verdict'], found['nodes']) == ('error', ['cp2', 'w1'])


@pytest.mark.parametrize('uuid, verdict', [
    ('4c4c4544-0042-3510-8051-b7c04f4d3732', 'error'),
    ('00000000-0000-0000-0000-000000000000', 'not_applicable'),
    ('FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF', 'not_applicable'),
    ('', 'not_applicable'),
])
def test_machines_with_one_uuid(uuid, verdict):
    snap = states.snapshot()
    for name in ('cp1', 'w1'):
        states.named(snap, name).data['SystemInformations'] = Datum(READ, [{'id': 'systeminformation', 'spec': {'uuid': uuid}}])
    judged = states.report(snap)
    assert states.verdict(judged, UUID) == verdict
    if verdict == 'error':
        assert states.finding(judged, UUID)['nodes'] == ['cp1', 'w1']


def test_different_uuids_are_fine():
    snap = states.snapshot()
    for number, machine in enumerate(snap.machines):
        uuid = f'4c4c4544-0042-3510-8051-b7c04f4d373{number}'
        machine.data['SystemInformations'] = Datum(READ, [{'id': 'systeminformation', 'spec': {'uuid': uuid}}])
    assert states.verdict(states.report(snap), UUID) == 'ok'


def test_a_duplicate_is_told_although_one_list_could_not_be_read():
    snap = states.snapshot()
    states.member(snap, 'w1', 'other', ['10.5.0.66'])
    states.named(snap, 'cp3').data['Affiliates'] = Datum(REFUSED)
    assert {f['verdict'] for f in states.findings(states.report(snap), NAME)} == {'error', 'unknown'}
