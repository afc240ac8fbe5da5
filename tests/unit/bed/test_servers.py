# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.client
import json
import socket
import ssl

import grpc
import pytest

from tests.bed import faulty, pki
from tests.bed.background import Background
from tests.bed.connect_proxy import ConnectProxy
from tests.bed.grpc_server import GrpcServer
from tests.bed.https_server import HttpsServer


@pytest.fixture(scope='module')
def background():
    with Background() as background:
        yield background


@pytest.fixture(scope='module')
def authority():
    return pki.Authority('kubernetes', key='ecdsa')


@pytest.fixture(scope='module')
def api(background, authority):
    async def handler(request):
        if request.path == '/broken':
            raise ValueError('a bug')
        return 200, 'application/json', json.dumps([request.method, request.path, len(request.body), pki.roles(request.peer)]).encode()

    identity = authority.server('kube-apiserver', ips=['127.0.0.1'], dns=['kubernetes'])
    return background.serve(HttpsServer(handler, tls=pki.server_context(identity, authority, alpn=('http/1.1',))))


@pytest.fixture
def connection(authority, api):
    context = pki.client_context(authority, authority.client(['system:masters']), alpn=())
    connection = http.client.HTTPSConnection(api.host, api.port, context=context, timeout=30)
    yield connection
    connection.close()


def ask(connection, method='GET', path='/', body=None):
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, response.read()


def test_https_keeps_the_connection_and_shows_the_client(api, connection):
    accepted = api.accepted
    assert ask(connection, path='/api/v1/nodes?limit=500') == (200, b'["GET", "/api/v1/nodes?limit=500", 0, ["system:masters"]]')
    assert ask(connection, 'POST', '/x', b'y' * 200_000) == (200, b'["POST", "/x", 200000, ["system:masters"]]')
    assert ask(connection, path='/broken')[0] == 500
    assert api.accepted == accepted + 1
    assert [request.path for request in api.requests][-3:] == ['/api/v1/nodes?limit=500', '/x', '/broken']


def test_https_refuses_a_client_without_a_certificate(authority, api):
    connection = http.client.HTTPSConnection(api.host, api.port, context=pki.client_context(authority, alpn=()), timeout=30)
    with pytest.raises(ssl.SSLError, match='CERTIFICATE_REQUIRED'):
        ask(connection)


def test_the_proxy_maps_addresses_and_says_what_was_asked(background, authority, api):
    proxy = background.serve(ConnectProxy({'10.5.0.100:6443': (api.host, api.port), '10.5.0.4:50000': 'dial tcp: i/o timeout'}))
    context = pki.client_context(authority, authority.client(), alpn=())
    connection = http.client.HTTPSConnection(proxy.host, proxy.port, context=context, timeout=30)
    connection.set_tunnel('10.5.0.100', 6443)
    with pytest.raises(ssl.SSLCertVerificationError, match='IP address mismatch'):
        connection.connect()
    assert connect(proxy, '10.5.0.4:50000') == (502, 'dial tcp: i/o timeout')
    assert connect(proxy, '10.5.0.9:50000') == (502, 'dial tcp 10.5.0.9:50000: connect: connection refused')
    assert proxy.asked == ['10.5.0.100:6443', '10.5.0.4:50000', '10.5.0.9:50000']


def test_a_call_through_the_proxy(background):
    async def handler(call):
        await call.send(b'x' * 3_000_000)

    server = background.serve(GrpcServer(handler))
    proxy = background.serve(ConnectProxy({'10.5.0.2:50000': (server.host, server.port)}))
    options = [('grpc.http_proxy', proxy.url), ('grpc.max_receive_message_length', 4_000_000)]
    with grpc.insecure_channel('10.5.0.2:50000', options=options) as channel:
        assert len(channel.unary_unary('/test.Service/Big')(b'', timeout=30)) == 3_000_000
    assert proxy.asked == ['10.5.0.2:50000']


def test_the_proxy_wants_credentials(background):
    proxy = background.serve(ConnectProxy(credentials='user:password'))
    assert connect(proxy, '10.5.0.4:50000')[0] == 407
    assert connect(proxy, '10.5.0.4:50000', 'Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n')[0] == 502


def connect(proxy, target, headers=''):
    with socket.create_connection((proxy.host, proxy.port), timeout=30) as plain:
        plain.sendall(f'CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{headers}\r\n'.encode())
        response = http.client.HTTPResponse(plain, method='POST')
        response.begin()
        return response.status, response.read().decode()


def test_a_port_that_closes_at_once(background):
    server = background.serve(faulty.Closes())
    with socket.create_connection((server.host, server.port), timeout=30) as plain:
        assert plain.recv(100) == b''


def test_a_port_that_speaks_http(background):
    server = background.serve(faulty.PlainHttp())
    with socket.create_connection((server.host, server.port), timeout=30) as plain:
        plain.sendall(b'hello')
        assert plain.recv(100).startswith(b'HTTP/1.1 400 Bad Request')


def test_a_silent_port_takes_everything_and_answers_nothing(background):
    server = background.serve(faulty.Silent())
    with socket.create_connection((server.host, server.port), timeout=30) as plain:
        plain.sendall(b'hello')
        plain.settimeout(0.2)
        with pytest.raises(TimeoutError):
            plain.recv(1)


def test_http2_that_is_no_grpc(background):
    async def handler(call):
        await call.answer_http(404, b'<html>not here</html>')

    server = background.serve(GrpcServer(handler))
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary('/test.Service/Any')(b'', timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert '404' in caught.value.details()
