# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "TCP Loadbalancer"."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import REFUSED, UNREACHABLE
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide import states

MISSING, ENDS, DIFFER = 'talos_api.balancer_name_missing', 'talos_api.balancer_ends_tls', 'talos_api.certsans_differ'
SECTION = 'talos_api.tcp_loadbalancer'


def _named_in(snap, name, *nodes):
    for node in nodes:
        certificate = states.named(snap, node).value('certificate')
        certificate['ips' if name[0].isdigit() else 'dns'].append(name)


def test_the_recorded_cluster_with_one_of_three_named():
    """Recorded: cp1's certSANs names lb.example.net, the others' do not; here it is dialled too."""
    snap = states.snapshot('nospace-alarm')
    states.endpoint(snap, 'lb.example.net', machine=states.named(snap, 'cp1'), addresses=['10.5.0.200'])
    judged = states.report(snap)
    found = states.finding(judged, MISSING)
    assert (found['verdict'], found['subject'], found['nodes']) == ('error', 'lb.example.net', ['cp2', 'cp3'])
    assert found['remedy'] == {'name': 'talos_certsans', 'args': {'names': ['lb.example.net'], 'nodes': ['cp1', 'cp2', 'cp3'], 'lists': ['machine']}}


@pytest.mark.parametrize('host', ['lb.example.net', '203.0.113.7'])
def test_named_in_all(host):
    snap = states.snapshot()
    states.endpoint(snap, host, machine=states.named(snap, 'cp1'), addresses=['203.0.113.7'])
    _named_in(snap, host, 'cp1', 'cp2', 'cp3')
    snap.endpoints[-1].machine = None
    judged = states.report(snap)
    assert judged['sections'][SECTION]['verdict'] == 'ok'
    assert not states.findings(judged, DIFFER)


def test_a_wildcard_covers_one_label():
    snap = states.snapshot()
    states.endpoint(snap, 'lb.example.net', machine=states.named(snap, 'cp1'), addresses=['10.5.0.200'])
    _named_in(snap, '*.example.net', 'cp1', 'cp2', 'cp3')
    assert states.verdict(states.report(snap), MISSING) == 'ok'


def test_the_name_of_one_machine_needs_no_other():
    snap = states.snapshot()
    states.endpoint(snap, 'one.example.net', machine=states.named(snap, 'cp2'), addresses=['10.5.0.3'])
    _named_in(snap, 'one.example.net', 'cp2')
    assert states.verdict(states.report(snap), MISSING) == 'ok'
    states.endpoint(snap, 'cp3', machine=states.named(snap, 'cp3'), addresses=['10.5.0.4'])
    assert states.verdict(states.report(snap), MISSING) == 'ok', 'its own host name stands there by itself'


def test_the_certificate_to_come_is_read_where_the_served_one_is_not():
    snap = states.snapshot()
    states.endpoint(snap, 'lb.example.net', machine=states.named(snap, 'cp1'), addresses=['10.5.0.200'])
    for name in ('cp1', 'cp2', 'cp3'):
        machine = states.named(snap, name)
        machine.data['certificate'] = Datum(UNREACHABLE)
        states.spec(machine, 'CertSANs', 'api')['dnsNames'].append('lb.example.net')
    assert states.verdict(states.report(snap), MISSING) == 'ok'
    states.spec(states.named(snap, 'cp3'), 'CertSANs', 'api')['dnsNames'].remove('lb.example.net')
    assert states.finding(states.report(snap), MISSING)['nodes'] == ['cp3']


def test_one_that_cannot_be_seen_leaves_it_unknown():
    snap = states.snapshot()
    states.endpoint(snap, 'lb.example.net', machine=states.named(snap, 'cp1'), addresses=['10.5.0.200'])
    _named_in(snap, 'lb.example.net', 'cp1', 'cp2', 'cp3')
    states.named(snap, 'cp3').data['certificate'] = Datum(UNREACHABLE, reason='it refuses connections')
    states.named(snap, 'cp3').data['CertSANs'] = Datum(REFUSED)
    found = states.finding(states.report(snap), MISSING)
    assert found['verdict'] == 'unknown' and 'it refuses connections' in found['title']


def test_a_translated_address_that_no_certificate_names():
    """Nothing else is known than the certificate that was served (recorded text: valid for …, not 10.5.0.1)."""
    snap = states.snapshot()
    certificate = states.served(snap)
    states.disconnected(snap, 'wrong_name', 'IP address mismatch', certificate)
    for endpoint, machine in zip(snap.endpoints, snap.machines):
        outside = f'203.0.113.{endpoint.host[-1]}'
        endpoint.text = endpoint.host = endpoint.machine = machine.key = machine.address = outside
        endpoint.addresses = machine.addresses = [outside]
    judged = states.report(snap)
    errors = [f['subject'] for f in states.findings(judged, MISSING) if f['verdict'] == 'error']
    assert errors == ['203.0.113.2', '203.0.113.3', '203.0.113.4']
    assert not [f for f in states.findings(judged, 'talos_api.certificate_without_address') if f['verdict'] != 'unknown']


def test_a_balancer_that_ends_tls():
    snap = states.snapshot()
    foreign = states.served(snap, issuer='CN=R11,O=Let\'s Encrypt', issuer_organization='Let\'s Encrypt', dns=['lb.example.net'], ips=[])
    states.endpoint(snap, 'lb.example.net', connected=False, error={'kind': 'untrusted_ca', 'text': 'certificate verify failed'},
                    addresses=['10.5.0.200'],
                    certificate=foreign)
    judged = states.report(snap)
    found = states.finding(judged, ENDS)
    assert found['verdict'] == 'error' and 'Let\'s Encrypt' in found['title']
    assert states.verdict(judged, 'talos_api.unknown_authority') == 'ok', 'told once'


def test_another_clusters_machine_is_no_balancer_that_ends_tls():
    snap = states.snapshot()
    states.endpoint(snap, '10.9.0.2', connected=False, error={'kind': 'untrusted_ca', 'text': 'certificate verify failed'},
                    certificate=states.served(snap, issuer_organization='talos', ips=['10.9.0.2']))
    judged = states.report(snap)
    assert states.finding(judged, 'talos_api.unknown_authority')['verdict'] == 'error'
    assert not [f for f in states.findings(judged, ENDS) if f['verdict'] == 'error']


def test_addresses_of_machines_and_the_virtual_ip_are_nobodys_addition():
    snap = states.snapshot()
    assert '10.5.0.100' in states.named(snap, 'cp1').value('certificate')['ips']
    assert '10.5.0.100' not in states.named(snap, 'cp2').value('certificate')['ips']
    assert states.verdict(states.report(snap), DIFFER) == 'not_applicable'


def test_an_address_of_a_machine_that_it_has_had_since_boot_is_its_own():
    snap = states.snapshot()
    machine = states.named(snap, 'cp2')
    machine.value('certificate')['ips'].append('198.51.100.3')
    assert states.finding(states.report(snap), DIFFER)['subject'] == '198.51.100.3'
    states.spec(machine, 'NodeAddresses', 'accumulative')['addresses'].append('198.51.100.3/32')
    assert states.verdict(states.report(snap), DIFFER) == 'not_applicable'


def test_a_reader_sees_the_served_names():
    snap = states.snapshot('healthy-reader')
    assert all(m.datum('CertSANs').state == REFUSED for m in snap.machines if m.answered)
    _named_in(snap, 'lb.example.net', 'cp1')
    assert states.finding(states.report(snap), DIFFER)['nodes'] == ['cp2', 'cp3']
