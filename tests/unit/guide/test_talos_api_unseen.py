# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What does it say when it cannot see? Every datum that a check needs is taken away from a healthy cluster."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import NOT_ASKED, REFUSED, TIMED_OUT, UNSUPPORTED
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import states

STATES = (REFUSED, TIMED_OUT, NOT_ASKED, UNSUPPORTED)
WHY = {REFUSED: 'may not read it', TIMED_OUT: 'no answer before the deadline', NOT_ASKED: 'it was not asked for',
       UNSUPPORTED: 'does not offer it'}

# What each check cannot do without, on any one machine.
ONE = (
    ('talos_api.trustd_not_serving', 'ServiceList', 'cp1'),
    ('talos_api.apid_not_healthy', 'ServiceList', 'w1'),
    ('talos_api.certificate_expiring', 'certificate', 'cp2'),
    ('talos_api.subnet_conflict', 'NodeAddresses', 'w1'),
    ('talos_api.subnet_conflict', 'NodeAddressFilters', 'w1'),
    ('talos_api.subnet_conflict', 'AddressStatuses', 'cp1'),
    ('discovery.disabled', 'Affiliates', 'w1'),
    ('discovery.disabled', 'Identities', 'w1'),
    ('discovery.members_differ', 'Members', 'w1'),
    ('discovery.member_missing', 'Members', 'cp2'),
    ('discovery.registry', 'DiscoveryConfigs', 'cp3'),
    ('discovery.name_duplicate', 'Members', 'cp1'),
    ('discovery.name_duplicate', 'Affiliates', 'cp1'),
    ('discovery.address_duplicate', 'Members', 'w1'),
    ('discovery.address_duplicate', 'Affiliates', 'w1'),
    ('discovery.other_cluster', 'Infos', 'w1'),
    ('discovery.identity_clone', 'Identities', 'cp2'),
    ('discovery.uuid_clone', 'SystemInformations', 'cp2'),
    ('discovery.removed_member', 'Members', 'cp2'),
)
# What any one machine can tell for all: taken from all of them.
EVERY = ONE + (
    ('talos_api.path_blocked', 'reach', None),
    ('talos_api.member_without_address', 'Members', None),
    ('talos_api.endpoint_is_vip', 'NodeIPConfigs', None),
    ('talos_api.endpoint_foreign', 'Members', None),
    ('talos_api.certsans_differ', 'NodeAddresses', None),
    ('discovery.members_differ', 'NodeIPConfigs', None),
    ('discovery.address_duplicate', 'NodeIPConfigs', None),
    ('discovery.stale_affiliate', 'Affiliates', None),
)
# Said in words of their own, for several reads together.
SAYS_WHY = {check for check, _kind, _name in EVERY} - {'talos_api.path_blocked', 'discovery.address_duplicate', 'discovery.members_differ'}

# What is judged by the mere fact that machines and endpoints answered, over connections whose certificates were verified.
ANSWERING_IS_ENOUGH = {f'talos_api.{name}' for name in (
    'machine_unreachable', 'nothing_reached', 'client_refused', 'certificate_without_address', 'endpoint_is_worker',
    'endpoint_dead', 'endpoint_not_talos', 'endpoint_list_short', 'unknown_authority')}


def _take(snap, kind, state, names=None):
    for machine in snap.machines:
        if names is None or machine.name in names:
            machine.data[kind] = Datum(state)


def _is_unknown(judged, check, state):
    assert states.verdict(judged, check) == 'unknown'
    if check in SAYS_WHY:
        assert WHY[state] in ' '.join(f['title'] for f in states.findings(judged, check))


@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('check, kind, name', ONE, ids=[f'{c}-{k}-{n}' for c, k, n in ONE])
def test_without_it_on_one_machine(check, kind, name, state):
    snap = states.snapshot()
    assert states.verdict(states.report(snap), check) in ('ok', 'not_applicable')
    _take(snap, kind, state, [name])
    _is_unknown(states.report(snap), check, state)


@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('check, kind', sorted({(c, k) for c, k, _n in EVERY}))
def test_without_it_anywhere(check, kind, state):
    snap = states.snapshot()
    _take(snap, kind, state)
    _is_unknown(states.report(snap), check, state)


@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('check', ['talos_api.certificate_request_refused', 'discovery.service_unreachable'])
def test_without_the_log(check, state):
    snap = states.snapshot()
    states.named(snap, 'w1').logs['controller-runtime'] = Datum(state)
    _is_unknown(states.report(snap), check, state)


@pytest.mark.parametrize('state', STATES)
def test_without_any_sight_of_the_names_in_certificates(state):
    snap = states.snapshot()
    states.endpoint(snap, 'lb.example.net', addresses=['10.5.0.200'])
    for kind in ('certificate', 'CertSANs'):
        _take(snap, kind, state)
    judged = states.report(snap)
    for check in ('talos_api.balancer_name_missing', 'talos_api.certsans_differ'):
        _is_unknown(judged, check, state)
    assert judged['sections']['talos_api.tcp_loadbalancer']['verdict'] == 'unknown'


@pytest.mark.parametrize('state', STATES)
def test_whether_an_endpoint_is_a_worker_is_not_guessed(state):
    snap = states.snapshot()
    endpoint = snap.endpoints[0]
    endpoint.data['MachineTypes'] = Datum(state)
    assert states.verdict(states.report(snap), 'talos_api.endpoint_is_worker') == 'ok', 'the member list says that it is none'
    endpoint.machine, endpoint.host, endpoint.addresses = None, '10.5.0.77', ['10.5.0.77']
    _is_unknown(states.report(snap), 'talos_api.endpoint_is_worker', state)


def test_without_the_facts_of_the_talosconfig():
    snap = states.snapshot()
    snap.client['certificate'] = None
    judged = states.report(snap)
    for check in ('talos_api.client_certificate_dates', 'talos_api.client_certificate_unusable', 'talos_api.role_insufficient'):
        assert states.verdict(judged, check) == 'unknown', check
    snap.client = {}
    judged = states.report(snap)
    for check in ('talos_api.talosconfig_problem', 'talos_api.other_talosconfig'):
        assert states.verdict(judged, check) == 'unknown', check


def test_without_the_kubernetes_nodes_a_silent_member_is_not_called_removed_nor_present():
    snap = states.snapshot('worker-down')
    snap.kubernetes['data']['nodes'] = Datum(REFUSED, reason='needs os:admin or a kubeconfig')
    judged = states.report(snap)
    found = states.finding(judged, 'discovery.removed_member')
    assert found['verdict'] == 'unknown' and 'needs os:admin or a kubeconfig' in found['title']
    assert found['because_of'] == [states.finding(judged, 'talos_api.machine_unreachable')['id']]


def test_a_machine_that_was_not_asked_is_not_called_dead():
    snap = states.snapshot()
    machine = states.dead(snap, 'w1')
    machine.unreachable = None
    machine.data = {kind: Datum(NOT_ASKED) for kind in machine.data}
    found = states.finding(states.report(snap), 'talos_api.machine_unreachable')
    assert (found['verdict'], found['title']) == ('unknown', 'w1 was not asked')


ABOUT_THE_FILE = {'talos_api.client_certificate_dates', 'talos_api.client_certificate_unusable', 'talos_api.talosconfig_problem',
                  'talos_api.other_talosconfig', 'talos_api.role_insufficient', 'talos_api.kubeconfig_foreign'}


@pytest.mark.parametrize('kind', ['refused', 'timeout', 'no_route', 'reset', 'untrusted_ca', 'client_refused', 'expired', 'wrong_name',
                                  'not_tls'])
def test_nothing_is_ok_that_nobody_could_see(kind):
    snap = states.disconnected(states.snapshot(), kind)
    judged = states.report(snap)
    seen = {item['check']: item['verdict'] for item in judged['checks'] if item['check'] not in ABOUT_THE_FILE}
    fine = {check for check, verdict in seen.items() if verdict in ('ok', 'info')}
    assert not fine
    not_applicable = {check for check, verdict in seen.items() if verdict == 'not_applicable'}
    assert not_applicable <= {'talos_api.balancer_name_missing', 'talos_api.balancer_ends_tls'}
    assert judged['class'] == 'not_judged' and not judged['complete']
    unknowns = [f for f in judged['findings'] if f['verdict'] == 'unknown']
    assert unknowns and all(f['because_of'] for f in unknowns), [f['id'] for f in unknowns if not f['because_of']]


def test_where_nothing_was_read_nothing_is_ok():
    """Every check of both guides' parts, also one that is written tomorrow."""
    snap = states.snapshot()
    for machine in snap.machines:
        machine.data = {kind: Datum(REFUSED) for kind in machine.data}
        machine.logs = {log: Datum(REFUSED) for log in machine.logs}
    for endpoint in snap.endpoints:
        endpoint.data = {kind: Datum(REFUSED) for kind in endpoint.data}
        endpoint.certificate = None
    snap.client = {}
    snap.kubernetes['data'] = {kind: Datum(REFUSED) for kind in snap.kubernetes['data']}
    judged = states.report(snap)
    fine = {check['check'] for check in judged['checks'] if check['verdict'] == 'ok'}
    assert sorted(fine) == sorted(ANSWERING_IS_ENOUGH), sorted(fine)
