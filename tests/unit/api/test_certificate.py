# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import ssl
from datetime import datetime, timezone
from pathlib import Path

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import certificate
from tests.bed import pki


def test_facts():
    authority = pki.Authority('talos')
    begin, end = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), datetime(2026, 1, 3, 3, 4, 5, tzinfo=timezone.utc)
    identity = authority.server('cp-1.example.com', dns=['cp-1', 'cp-1.example.com'], ips=['10.5.0.2', 'fd00::1'], not_before=begin, not_after=end)
    facts = certificate.facts(identity.der)
    assert facts == {
        'subject': 'CN=cp-1.example.com', 'common_name': 'cp-1.example.com', 'issuer': 'O=talos', 'issuer_organization': 'talos',
        'dns': ['cp-1', 'cp-1.example.com'], 'ips': ['10.5.0.2', 'fd00::1'], 'not_before': '2026-01-02T03:04:05Z', 'not_after': '2026-01-03T03:04:05Z',
        'key_type': 'Ed25519', 'sha256': facts['sha256'], 'serial': f'{identity.certificate.serial_number:x}',
    }
    assert certificate.facts(identity.der) == certificate.pem_facts(identity.pem)


def test_a_certificate_without_names():
    facts = certificate.facts(pki.Authority(None).issue(None).der)
    assert (facts['dns'], facts['ips'], facts['common_name'], facts['issuer_organization']) == ([], [], None, None)


def test_what_is_no_certificate():
    with pytest.raises(ValueError):
        certificate.facts(b'nothing')


@pytest.mark.parametrize('name, dns, maintenance', [
    ('cp-1', ['maintenance-service.talos.dev'], True),
    ('maintenance-service.talos.dev', [], True),
    ('cp-1', ['cp-1'], False),
])
def test_maintenance_mode(name, dns, maintenance):
    assert certificate.is_maintenance(certificate.facts(pki.Authority('talos').server(name, dns=dns).der)) is maintenance


@pytest.mark.parametrize('served', json.loads((Path(__file__).parent / 'data' / 'certificates.json').read_text()), ids=lambda served: served['address'])
def test_the_certificates_of_a_real_cluster(served):
    facts = certificate.facts(ssl.PEM_cert_to_DER_cert(served['pem']))
    assert sorted(facts['subject'].split(',')) == sorted(served['subject'].split(','))
    for name, said in (('issuer', 'issuer'), ('serial', 'serial'), ('not_before', 'not_before'), ('not_after', 'not_after')):
        assert facts[name] == served[said]
    assert (facts['dns'], facts['ips']) == (served['dns_sans'] or [], served['ip_sans'] or [])
    assert facts['key_type'].startswith(served['key_algorithm'])
