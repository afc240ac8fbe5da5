# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import socket
import ssl
from datetime import datetime, timedelta, timezone

import pytest
import yaml

from tests.bed import pki
from tests.bed.background import Background
from tests.bed.grpc_server import GrpcServer


async def handler(call):
    await call.forever()


@pytest.fixture(scope='module')
def authority():
    return pki.Authority()


@pytest.fixture(scope='module')
def client(authority):
    return authority.client()


@pytest.fixture(scope='module')
def serve(authority):
    with Background() as background:
        yield lambda identity, **kwargs: background.serve(GrpcServer(handler, tls=pki.server_context(identity, authority, **kwargs)))


def handshake(server, context, host='127.0.0.1'):
    """The TLS version, after one byte was asked for: TLS 1.3 tells of a refused client certificate only then."""
    with socket.create_connection((server.host, server.port), timeout=10) as raw, context.wrap_socket(raw, server_hostname=host) as secure:
        assert secure.recv(9)
        return secure.version(), secure.selected_alpn_protocol()


@pytest.mark.parametrize('key', [None, 'ecdsa', 'rsa'])
def test_every_kind_of_key_is_accepted_with_strict_verification(serve, authority, client, key):
    context = pki.client_context(authority, client)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    server = serve(authority.server('cp-1', dns=['cp-1'], ips=['127.0.0.1'], key=key))
    assert handshake(server, context) == ('TLSv1.3', 'h2')
    assert handshake(server, context, 'cp-1') == ('TLSv1.3', 'h2')


def test_faulty_server_certificates(serve, authority, client):
    now = datetime.now(timezone.utc)
    day = timedelta(days=1)
    faults = {
        'certificate has expired': authority.server('cp-1', ips=['127.0.0.1'], not_before=now - 2 * day, not_after=now - day),
        'certificate is not yet valid': authority.server('cp-1', ips=['127.0.0.1'], not_before=now + day),
        'IP address mismatch': authority.server('cp-1', ips=['10.0.0.1']),
        'unable to get local issuer certificate': pki.Authority('other').server('cp-1', ips=['127.0.0.1']),
    }
    for text, identity in faults.items():
        with pytest.raises(ssl.SSLCertVerificationError, match=text):
            handshake(serve(identity), pki.client_context(authority, client))


def test_a_refused_client_is_told_why(serve, authority):
    now = datetime.now(timezone.utc)
    day = timedelta(days=1)
    server = serve(authority.server('cp-1', ips=['127.0.0.1']))
    expired = authority.client(not_before=now - 2 * day, not_after=now - day)
    for identity, text in ((None, 'CERTIFICATE_REQUIRED'), (pki.Authority().client(), 'UNKNOWN_CA'), (expired, 'CERTIFICATE_EXPIRED')):
        with pytest.raises(ssl.SSLError, match=text):
            handshake(server, pki.client_context(authority, identity))
    assert server.handshakes == 0


def test_roles_are_the_organizations(authority):
    assert pki.roles(authority.client(['os:reader', 'os:etcd:backup']).der) == ['os:reader', 'os:etcd:backup']
    assert pki.roles(None) == []


def test_a_talosconfig_holds_the_key_under_talos_label(authority, client):
    context = yaml.safe_load(pki.talosconfig('prod', ['10.0.0.1'], authority, client, cluster='x'))['contexts']['prod']
    assert base64.b64decode(context['key']).startswith(b'-----BEGIN ED25519 PRIVATE KEY-----\n')
    assert base64.b64decode(context['ca']) == authority.pem
    assert (context['endpoints'], context['cluster']) == (['10.0.0.1'], 'x')


@pytest.mark.parametrize('key', ['ed25519', 'ecdsa', 'rsa'])
def test_an_authority_survives_its_pem(key):
    authority = pki.Authority('kubernetes', key=key)
    again = pki.Authority.load(authority.pem, authority.talos_key_pem)
    again.server('x').certificate.verify_directly_issued_by(authority.certificate)
