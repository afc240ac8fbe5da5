# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machine is there, and what its silence was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import REFUSED, TIMED_OUT
from ansible_collections.talosops.talos.plugins.module_utils.guide import presence
from ansible_collections.talosops.talos.plugins.module_utils.judge import gates, settings
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import states

ERRORS = json.loads((Path(__file__).parent / 'data' / 'client-errors.json').read_text())


@pytest.mark.parametrize('case', ERRORS)
def test_what_a_recorded_error_of_a_node_is(case):
    kind, text = ERRORS[case]
    assert presence.fault({'kind': 'node_unreachable', 'text': text}) == kind


@pytest.mark.parametrize('text, kind', [
    ('dial tcp 10.5.0.5:50000: i/o timeout', 'timeout'),
    ('x509: certificate has expired or is not yet valid: current time 1970-01-01T00:02:11Z is before 2025-03-01T10:00:00Z', 'expired'),
    ("x509: cannot validate certificate for 10.96.12.4 because it doesn't contain any IP SANs", 'wrong_name'),
    ('something new', 'other'),
])
def test_what_an_error_of_a_node_is(text, kind):
    assert presence.fault({'kind': 'node_unreachable', 'text': text}) == kind


def test_what_the_transport_says_needs_no_reading():
    assert presence.fault({'kind': 'client_refused', 'text': 'connection refused'}) == 'client_refused'
    assert presence.is_network_fault({'kind': 'deadline'}) and not presence.is_network_fault({'kind': 'untrusted_ca'})


def _presence(snap, machine, expected=()):
    return presence.presence(gates.View(snap, settings.build(states.CHECKS, None, expected)), machine)


def test_a_member_with_a_node_is_present_however_long_the_node_is_not_ready():
    snap = states.snapshot('worker-down')
    assert _presence(snap, states.named(snap, 'w1')) == presence.PRESENT


def test_a_member_that_nobody_else_knows_is_remembered():
    snap = states.snapshot('worker-down')
    states.drop_node(snap, 'w1')
    assert _presence(snap, states.named(snap, 'w1')) == presence.REMEMBERED
    snap.kubernetes['data']['nodes'] = Datum(REFUSED)
    assert _presence(snap, states.named(snap, 'w1')) == presence.PRESENT, 'not known without Kubernetes'


def test_a_member_that_etcd_knows_is_present():
    snap = states.snapshot('one-cp-down')
    states.drop_node(snap, 'cp3')
    assert _presence(snap, states.named(snap, 'cp3')) == presence.PRESENT


def test_an_old_etcd_member_and_its_node_are_gone():
    snap = states.snapshot()
    machine = states.silent_machine(snap, 'cp-old', '10.5.0.13', '10.5.0.13', ['etcd', 'kubernetes', 'talosconfig'], 'controlplane')
    states.node(snap, 'cp-old', '10.5.0.13', 'Unknown', 3 * 3600)
    assert _presence(snap, machine) == presence.GONE


def test_what_contradicts_its_absence_keeps_it():
    snap = states.snapshot()
    machine = states.silent_machine(snap, 'cp-x', '10.5.0.13', '10.5.0.13', ['etcd'], 'controlplane')
    assert _presence(snap, machine) == presence.GONE
    assert _presence(snap, machine, ['10.5.0.13']) == presence.PRESENT
    assert _presence(snap, machine, ['CP-X']) == presence.PRESENT
    states.node(snap, 'cp-x', '10.5.0.13', 'True')
    assert _presence(snap, machine) == presence.PRESENT


def test_without_discovery_nothing_is_explained_away():
    snap = states.snapshot()
    machine = states.silent_machine(snap, 'cp-x', '10.5.0.13', '10.5.0.13', ['etcd'], 'controlplane')
    for answering in snap.answering():
        answering.data['Members'] = Datum(REFUSED)
    assert _presence(snap, machine) == presence.PRESENT


def test_a_node_of_the_options_is_expected_but_an_endpoint_of_the_options_is_not():
    snap = states.snapshot()
    machine = states.silent_machine(snap, None, '10.5.0.13', '10.5.0.13', ['options'])
    assert _presence(snap, machine) == presence.PRESENT
    states.endpoint(snap, '10.5.0.13', connected=False, error={'kind': 'no_route', 'text': ''}, machine=machine)
    assert _presence(snap, machine) == presence.GONE


def test_the_virtual_ip_belongs_to_no_machine():
    snap = states.snapshot()
    view = gates.View(snap, settings.build(states.CHECKS))
    assert '10.5.0.100' in states.named(snap, 'cp1').addresses
    assert presence.machine_at(view, '10.5.0.100') is None
    assert presence.machine_at(view, '10.5.0.2') is states.named(snap, 'cp1')


def test_words():
    assert presence.listed([]) == ''
    assert presence.listed(['a']) == 'a'
    assert presence.listed('abc') == 'a, b and c'
    assert presence.listed('abcdefgh', 3) == 'a, b, c and 5 more'
    assert [presence.span(s) for s in (59, 90, 180, 7200, 3 * 86400)] == ['59 s', '90 s', '3 min', '2 h', '3 d']
    assert presence.normal('10.5.0.2/24') == '10.5.0.2' and presence.normal('[FD00::0:1]') == 'fd00::1' and presence.normal('CP1.') == 'cp1'


def test_unread_names_reads_and_machines_with_one_reason_once():
    snap = states.snapshot()
    cp1, cp2 = states.named(snap, 'cp1'), states.named(snap, 'cp2')
    for machine in (cp1, cp2):
        machine.data['Members'] = Datum(REFUSED, reason=f'{machine.address} refuses Members: the role of the client certificate may not (not authorized).')
        machine.data['Infos'] = machine.data['Members']
    cp1.data['Affiliates'] = Datum(TIMED_OUT)
    assert presence.unread([cp2, cp1], 'Members', 'Infos', 'Affiliates') == [
        'Members and Infos of cp1 and cp2: the role of the client certificate may not read it (os:admin may)',
        'Affiliates of cp1: no answer before the deadline']


def test_what_a_kubernetes_that_was_not_read_says_is_said_once():
    snap = states.snapshot()
    snap.kubernetes['data'].update(nodes=Datum(REFUSED, reason='needs os:admin or a kubeconfig'), pods=Datum(REFUSED, reason='needs os:admin or a kubeconfig'),
                                   csrs=Datum(TIMED_OUT))
    found = gates.View(snap, settings.build(states.CHECKS)).kubernetes.unread('who is there', 'nodes', 'pods', 'csrs', 'nodes')
    assert found.title == 'who is there: Kubernetes was not read (nodes, pods: the role of the client certificate may not read it ' \
                          '(needs os:admin or a kubeconfig); csrs: no answer before the deadline)'
