# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connecting to an endpoint: each way in which it can fail has its own kind and its own facts."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import os
import socket
import ssl
import threading
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import dial, handshake, tls
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.endpoint import parse
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, TransportError
from tests.bed import pki
from tests.bed.connect_proxy import ConnectProxy
from tests.bed.faulty import Closes, PlainHttp, Silent
from tests.bed.grpc_server import GrpcServer
from tests.bed.tls import SecureProtocol, SecureServer

from .conftest import VERSION, answers_version, until

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)


@pytest.fixture
def names(monkeypatch):
    """What names resolve to: {name: [(address, port or None)]}; a name that is not there does not resolve."""
    known, real = {}, socket.getaddrinfo

    def getaddrinfo(host, port, *arguments, **options):
        if options.get('flags', 0) & socket.AI_NUMERICHOST:
            return real(host, port, *arguments, **options)
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')
        return [(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM, 6, '', (address, other or port))
                for address, other in known[host]]

    monkeypatch.setattr(dial.socket, 'getaddrinfo', getaddrinfo)
    return known


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


def failure(client):
    """The one failure of connecting to the client's first endpoint; it must name it."""
    with client, pytest.raises(TransportError) as caught:
        client.connect(client.endpoints[0])
    error = caught.value
    assert error.endpoint == client.endpoints[0].text and error.endpoint in error.message
    assert error.message.endswith('.') and not error.written
    return error


# -- it works -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('key', ['ed25519', 'ecdsa', 'rsa'])
def test_every_kind_of_key(bed, key):
    authority = pki.Authority('talos', key=key)
    server = bed.serve(tls=pki.server_context(authority.server('cp-1', ips=['127.0.0.1']), authority))
    with bed.client(server, authority=authority, client=authority.client()) as client:
        assert client.connect(client.endpoints[0]).certificate['key_type'].lower().startswith(key[:3])
        assert client.node('10.5.0.2').unary(VERSION)['version']['tag'] == '10.5.0.2'


def test_what_is_known_of_a_connection(bed):
    server = bed.serve()
    with bed.client(server) as client:
        connection = client.connect(client.endpoints[0])
        assert connection.address == '127.0.0.1' and connection.alive
        assert connection.certificate['ips'][0] == '127.0.0.1' and connection.certificate['issuer'] == 'O=talos'
        assert client.connect(client.endpoints[0]) is connection
    assert (server.handshakes, client.handshakes) == (1, 1)


def test_the_server_sees_tls_13_and_the_authority_of_the_endpoint(bed, names):
    seen = []

    async def handler(call):
        seen.append((call.authority, pki.roles(call.peer)))
        await answers_version(call)

    server = bed.serve(handler)
    names['cp-1'] = [('127.0.0.1', server.port)]
    with bed.client('cp-1') as client:
        client.direct(client.endpoints[0]).unary(VERSION)
    assert seen == [('cp-1:50000', ['os:admin'])]


def test_ipv6(bed):
    try:
        server = bed.serve(host='::1')
    except OSError:
        pytest.skip('this host has no IPv6')
    assert server.address.startswith('[::1]:')
    with bed.client(server) as client:
        assert client.node('10.5.0.2').unary(VERSION)['version']['tag'] == '10.5.0.2'
        assert client.connect(client.endpoints[0]).address == '::1'


def test_all_addresses_of_a_name_are_tried(bed, names):
    server = bed.serve()
    names['cp-1'] = [('127.0.0.9', free_port()), ('127.0.0.1', server.port)]
    with bed.client('cp-1') as client:
        assert client.connect(client.endpoints[0]).address == '127.0.0.1'
    assert client.handshakes == 1


def test_an_address_that_is_something_else_does_not_hide_a_good_one(bed, names, background):
    wrong = background.serve(PlainHttp())
    server = bed.serve()
    names['cp-1'] = [('127.0.0.1', wrong.port), ('127.0.0.1', server.port)]
    with bed.client('cp-1') as client:
        client.connect(client.endpoints[0])
    assert server.handshakes == 1


def test_a_silent_address_does_not_hide_a_good_one(bed, names, background):
    silent = background.serve(Silent())
    server = bed.serve()
    names['cp-1'] = [('127.0.0.1', silent.port), ('127.0.0.1', server.port)]
    with bed.client('cp-1', timeout=1.0) as client:
        client.connect(client.endpoints[0])
    assert server.handshakes == 1


def test_a_server_that_waits_to_be_spoken_to(bed, monkeypatch):
    """It gets no settings before its client's first words, as some gateways do it."""
    monkeypatch.setattr(handshake, 'LISTEN', 0.1)

    class Waiting(GrpcServer.protocol):
        def opened(self):
            pass

        def received(self, data):
            if not hasattr(self, '_h2'):
                super().opened()
            super().received(data)

    class WaitingServer(GrpcServer):
        protocol = Waiting

    server = bed.background.serve(WaitingServer(answers_version, tls=bed.tls()))
    with bed.client(server) as client:
        assert client.node('10.5.0.2').unary(VERSION)['version']['tag'] == '10.5.0.2'
    assert client.handshakes == 1


# -- before TLS ---------------------------------------------------------------------------------------------------


def test_refused(bed):
    error = failure(bed.client(f'127.0.0.1:{free_port()}'))
    assert error.kind == 'refused' and error.certificate is None


def test_a_name_that_does_not_resolve(bed, names):
    error = failure(bed.client('nosuch.example.com'))
    assert error.kind == 'resolve' and 'nosuch.example.com' in error.message


def test_a_name_that_cannot_be_one(bed):
    assert failure(bed.client('a' * 70 + '.example.com')).kind == 'resolve'


def test_a_resolver_that_hangs(bed, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(dial.socket, 'getaddrinfo', lambda *arguments, **options: release.wait(30))
    try:
        assert failure(bed.client('cp-1', timeout=0.2)).kind == 'timeout'
    finally:
        release.set()


def test_tcp_that_accepts_and_never_answers(bed, background):
    server = background.serve(Silent())
    error = failure(bed.client(server, timeout=0.3))
    assert error.kind == 'timeout' and 'accepts connections' in error.message


@pytest.mark.parametrize('error, kind', [
    (TimeoutError(), 'timeout'),
    (OSError(errno.ETIMEDOUT, 'Connection timed out'), 'timeout'),
    (OSError(errno.EHOSTUNREACH, 'Connect call failed'), 'no_route'),
    (OSError(errno.ENETUNREACH, 'Connect call failed'), 'no_route'),
    (ConnectionRefusedError(errno.ECONNREFUSED, 'Connection refused'), 'refused'),
    (ConnectionResetError(errno.ECONNRESET, 'Connection reset by peer'), 'reset'),
    (PermissionError(errno.EACCES, 'Connect call failed'), 'other'),
])
def test_what_the_system_says(bed, monkeypatch, error, kind):
    async def connect(loop, candidate, endpoint, proxy):
        raise error

    monkeypatch.setattr(dial, '_connect', connect)
    found = failure(bed.client('10.5.0.2'))
    assert found.kind == kind
    assert kind not in ('no_route', 'other') or os.strerror(error.errno) in found.message


def test_tcp_that_closes_at_once(bed, background):
    error = failure(bed.client(background.serve(Closes())))
    assert error.kind == 'reset' and 'load balancer' in error.hint


# -- not the Talos API ----------------------------------------------------------------------------------------------


def test_a_web_server(bed, background):
    error = failure(bed.client(background.serve(PlainHttp())))
    assert error.kind == 'not_tls' and '50000' in error.hint


def test_grpc_without_tls(bed, background):
    server = background.serve(GrpcServer(answers_version))
    assert failure(bed.client(server)).kind in ('not_tls', 'reset')


def test_tls_without_http2(bed, background):
    error = failure(bed.client(background.serve(PlainHttp(tls=bed.tls(alpn=None)))))
    assert error.kind == 'not_grpc' and 'HTTP/2' in error.message and error.certificate['dns'] == ['cp-1']


def test_tls_of_a_web_server(bed, background):
    server = background.serve(PlainHttp(tls=bed.tls(alpn=('http/1.1',))))
    assert failure(bed.client(server)).kind == 'not_grpc'


def test_tls_that_claims_http2_and_speaks_another_thing(bed, background):
    class Banner(SecureProtocol):
        def opened(self):
            self.write(b'220 mail.example.com ESMTP ready\r\n')

    class BannerServer(SecureServer):
        protocol = Banner

    assert failure(bed.client(background.serve(BannerServer(tls=bed.tls())))).kind == 'not_grpc'


def test_tls_12_only(bed, background):
    made = bed.tls()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    error = failure(bed.client(background.serve(Silent(tls=made))))
    assert error.kind == 'not_grpc' and 'TLS 1.3' in error.message


# -- the served certificate -----------------------------------------------------------------------------------------


def test_another_ca(bed):
    other = pki.Authority('talos')
    error = failure(bed.client(bed.serve(), authority=other, client=other.client()))
    assert error.kind == 'untrusted_ca' and error.certificate['dns'] == ['cp-1'] and 'O=talos' in error.message


def test_maintenance_mode(bed):
    ephemeral = pki.Authority(None)
    made = pki.server_context(ephemeral.server('maintenance-service.talos.dev', dns=['maintenance-service.talos.dev'], ips=['127.0.0.1']))
    error = failure(bed.client(bed.serve(tls=made)))
    assert error.kind == 'maintenance' and 'maintenance mode' in error.message


def test_an_address_that_the_certificate_does_not_name(bed, authority):
    server = bed.serve(tls=bed.tls(authority.server('cp-1', dns=['cp-1'], ips=['10.5.0.2', '127.0.0.9'])))
    error = failure(bed.client(server))
    assert error.kind == 'wrong_name'
    assert 'valid for 10.5.0.2, 127.0.0.9, cp-1, not for 127.0.0.1' in error.message


def test_a_name_that_the_certificate_does_not_name(bed, names):
    server = bed.serve()
    names['lb.example.com'] = [('127.0.0.1', server.port)]
    error = failure(bed.client('lb.example.com'))
    assert error.kind == 'wrong_name' and 'not for lb.example.com' in error.message


def test_the_common_name_is_no_name(bed, authority, names):
    """As Go has it: only alternative names count."""
    server = bed.serve(tls=bed.tls(authority.server('cp-1', ips=['10.5.0.2'])))
    names['cp-1'] = [('127.0.0.1', server.port)]
    assert failure(bed.client('cp-1')).kind == 'wrong_name'


def test_a_certificate_without_any_name(bed, authority):
    error = failure(bed.client(bed.serve(tls=bed.tls(authority.server('cp-1')))))
    assert error.kind == 'wrong_name' and 'no name and no address at all' in error.message


@pytest.mark.parametrize('begin, end, kind', [(-3, -1, 'expired'), (1, 2, 'not_yet_valid')])
def test_a_served_certificate_out_of_its_time(bed, authority, begin, end, kind):
    made = authority.server('cp-1', ips=['127.0.0.1'], not_before=NOW + begin * DAY, not_after=NOW + end * DAY)
    error = failure(bed.client(bed.serve(tls=bed.tls(made))))
    assert error.kind == kind
    assert f'{NOW + begin * DAY:%Y-%m-%dT%H:%M:%SZ}' in error.message and f'{NOW + end * DAY:%Y-%m-%dT%H:%M:%SZ}' in error.message


def test_a_ca_that_has_expired(bed):
    old = pki.Authority('talos', not_before=NOW - 10 * DAY, not_after=NOW - DAY)
    server = bed.serve(tls=pki.server_context(old.server('cp-1', ips=['127.0.0.1']), old))
    error = failure(bed.client(server, authority=old, client=old.client()))
    assert error.kind == 'expired' and 'CA of the talosconfig' in error.message


# -- the client certificate -----------------------------------------------------------------------------------------


@pytest.mark.parametrize('run', range(6))
def test_a_foreign_client_certificate_is_named_each_time(bed, run):
    foreign = pki.Authority('talos')
    error = failure(bed.client(bed.serve(), client=foreign.client()))
    assert error.kind == 'client_refused' and '"O=talos"' in error.message
    assert error.certificate['dns'] == ['cp-1']


@pytest.mark.parametrize('run', range(6))
def test_an_expired_client_certificate_is_named_each_time(bed, authority, run):
    expired = authority.client(not_before=NOW - 3 * DAY, not_after=NOW - DAY)
    error = failure(bed.client(bed.serve(), client=expired))
    assert error.kind == 'client_refused' and 'expired' in error.message and f'{NOW - DAY:%Y-%m-%d}' in error.message


def without_certificate(bed, server):
    return Client(dataclasses.replace(bed.context(server.address), crt=None, key=None))


def test_no_client_certificate(bed):
    error = failure(without_certificate(bed, bed.serve()))
    assert error.kind == 'client_refused' and 'wants a certificate' in error.message


class Cut(SecureServer):
    """Resets connections right after the handshake, so that no alert is seen."""

    class protocol(SecureProtocol):
        def opened(self):
            self.abort()


def test_an_alert_that_is_lost_is_looked_for_again(bed, background, authority):
    server = background.serve(Cut(tls=bed.tls(client='none')))
    expired = authority.client(not_before=NOW - 3 * DAY, not_after=NOW - DAY)
    assert failure(bed.client(server, client=expired)).kind == 'client_refused'
    assert server.handshakes == handshake.ATTEMPTS
    error = failure(bed.client(server))
    assert error.kind == 'reset' and error.certificate['dns'] == ['cp-1']


def test_a_connection_that_is_cut_once(bed, background):
    class CutOnce(GrpcServer):
        cut = False

    class Protocol(GrpcServer.protocol):
        def opened(self):
            if not self.server.cut:
                self.server.cut = True
                self.abort()
                return
            super().opened()

    CutOnce.protocol = Protocol
    server = background.serve(CutOnce(answers_version, tls=bed.tls()))
    with bed.client(server) as client:
        assert client.node('10.5.0.2').unary(VERSION)['version']['tag'] == '10.5.0.2'


# -- looking without connecting ---------------------------------------------------------------------------------------


def test_looking_at_a_certificate_verifies_and_sends_nothing(bed, authority):
    made = authority.server('cp-9', dns=['cp-9'], ips=['10.5.0.9'], not_before=NOW - 3 * DAY, not_after=NOW - DAY)
    server = bed.serve(tls=bed.tls(made))
    with bed.client('127.0.0.1:1') as client:
        facts = client.look(parse(server.address))
    assert facts['dns'] == ['cp-9'] and server.calls == 0


def test_looking_where_nothing_is(bed, background):
    with bed.client('127.0.0.1:1', timeout=0.3) as client:
        for server, kind in ((background.serve(PlainHttp()), 'not_tls'), (background.serve(Silent()), 'timeout')):
            with pytest.raises(TransportError) as caught:
                client.look(parse(server.address))
            assert caught.value.kind == kind


# -- proxy ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def proxied(bed, background):
    """(server, proxy): the proxy leads cp-1:50000 to the server."""
    server = bed.serve()
    proxy = background.serve(ConnectProxy({'cp-1:50000': ('127.0.0.1', server.port)}))
    return server, proxy


def test_the_proxy_option(bed, proxied):
    _server, proxy = proxied
    with bed.client('cp-1', proxy=proxy.url) as client:
        assert client.node('10.5.0.2').unary(VERSION)['version']['tag'] == '10.5.0.2'
        assert client.connect(client.endpoints[0]).address is None
    assert proxy.asked == ['cp-1:50000']


def test_the_proxy_of_the_environment(bed, proxied, monkeypatch):
    monkeypatch.setenv('HTTPS_PROXY', proxied[1].url)
    with bed.client('cp-1') as client:
        client.connect(client.endpoints[0])
    assert proxied[1].asked == ['cp-1:50000']


def test_no_proxy_of_the_environment(bed, proxied, monkeypatch, names):
    monkeypatch.setenv('HTTPS_PROXY', proxied[1].url)
    monkeypatch.setenv('NO_PROXY', 'cp-1')
    names['cp-1'] = [('127.0.0.1', proxied[0].port)]
    with bed.client('cp-1') as client:
        client.connect(client.endpoints[0])
    assert proxied[1].asked == []


def test_the_proxy_url_of_the_talosconfig(bed, proxied):
    with bed.client('cp-1', **{'proxy-url': proxied[1].url}) as client:
        client.connect(client.endpoints[0])
        assert client.look(client.endpoints[0])['dns'] == ['cp-1']
    assert proxied[1].asked == ['cp-1:50000'] * 2


def test_ipv6_through_a_proxy(bed, background):
    server = bed.serve()
    proxy = background.serve(ConnectProxy({'[::1]:50000': ('127.0.0.1', server.port)}))
    with bed.client('::1', proxy=proxy.url) as client:
        client.connect(client.endpoints[0])
    assert proxy.asked == ['[::1]:50000']


def test_credentials_for_a_proxy(bed, background):
    server = bed.serve()
    proxy = background.serve(ConnectProxy({'cp-1:50000': ('127.0.0.1', server.port)}, credentials='user:pass@word'))
    with bed.client('cp-1', proxy=f'http://user:pass%40word@127.0.0.1:{proxy.port}') as client:
        client.connect(client.endpoints[0])
    for url, said in ((proxy.url, 'wants credentials'), (f'http://user:wrong@127.0.0.1:{proxy.port}', 'other credentials')):
        error = failure(bed.client('cp-1', proxy=url))
        assert error.kind == 'proxy' and said in error.message and 'wrong' not in error.sentence()


def test_an_endpoint_that_the_proxy_does_not_reach(bed, background):
    proxy = background.serve(ConnectProxy({'cp-1:50000': 'dial tcp 10.5.0.2:50000: connect: no route to host'}))
    error = failure(bed.client('cp-1', proxy=proxy.url))
    assert error.kind == 'proxy' and '502' in error.message and 'no route to host' in error.message


def test_a_wrong_certificate_behind_a_proxy(bed, background):
    server = bed.serve()
    proxy = background.serve(ConnectProxy({'lb:50000': ('127.0.0.1', server.port)}))
    error = failure(bed.client('lb', proxy=proxy.url))
    assert error.kind == 'wrong_name' and 'cp-1' in error.message


@pytest.mark.parametrize('make, said', [(Silent, 'does not answer'), (Closes, 'breaks the connection off')])
def test_a_proxy_that_is_none(bed, background, make, said):
    server = background.serve(make())
    error = failure(bed.client('cp-1', proxy=f'http://{server.address}', timeout=0.3))
    assert error.kind == 'proxy' and said in error.message


def test_a_proxy_that_is_down(bed):
    error = failure(bed.client('cp-1', proxy=f'http://127.0.0.1:{free_port()}'))
    assert error.kind == 'proxy' and 'Connection refused' in error.message


def test_a_proxy_whose_name_does_not_resolve(bed, names):
    error = failure(bed.client('cp-1', proxy='http://proxy.example.com:3128'))
    assert error.kind == 'proxy' and 'proxy.example.com' in error.message


def test_a_socks_proxy_is_refused_before_anything_is_dialled(bed):
    with pytest.raises(ConfigError, match='SOCKS'):
        bed.client('cp-1', proxy='socks5://127.0.0.1:1080')


# -- details ----------------------------------------------------------------------------------------------------------


def test_no_socket_of_an_attempt_that_lost_the_race_stays_open(background, monkeypatch):
    monkeypatch.setattr(dial, 'STAGGER', 0)
    servers = [background.serve(Silent()) for _each in range(3)]
    connect = dial._connect

    async def race():
        barrier = asyncio.Barrier(len(servers))

        async def together(*arguments):
            sock = await connect(*arguments)
            await barrier.wait()
            return sock

        monkeypatch.setattr(dial, '_connect', together)
        sock, _used = await dial.first_connected(asyncio.get_running_loop(), [(socket.AF_INET, (each.host, each.port)) for each in servers], parse('cp-1'))
        sock.close()

    asyncio.run(race())
    until(lambda: [each.accepted for each in servers] == [1, 1, 1])
    until(lambda: not any(each.connections for each in servers))


class Watching:
    """Stands for an SSLContext: sees the file that it is to load."""

    def load_cert_chain(self, path):
        with open(path, 'rb') as file:
            self.loaded = file.read()
        self.path, self.mode = path, os.stat(path).st_mode & 0o777


@pytest.mark.skipif(not hasattr(os, 'memfd_create'), reason='this system has no files in memory')
def test_the_key_never_touches_a_disk(tmp_path):
    watching = Watching()
    tls.load_credentials(watching, b'pem', '/nowhere')
    assert watching.loaded == b'pem' and watching.path.startswith('/proc/self/fd/')
    assert not os.path.exists(watching.path)


def test_without_files_in_memory_the_key_is_on_disk_for_a_moment_only(monkeypatch, tmp_path):
    monkeypatch.delattr(tls.os, 'memfd_create', raising=False)
    watching = Watching()
    tls.load_credentials(watching, b'pem', str(tmp_path))
    assert watching.loaded == b'pem' and watching.path.startswith(str(tmp_path)) and watching.mode == 0o600
    assert os.listdir(tmp_path) == []


def test_credentials_that_openssl_refuses_leave_nothing_behind(bed, monkeypatch, tmp_path):
    monkeypatch.delattr(tls.os, 'memfd_create', raising=False)
    context = dataclasses.replace(bed.context('127.0.0.1'), key=b'nonsense')
    with pytest.raises(ConfigError, match='OpenSSL refuses'):
        Client(context, tmp_dir=str(tmp_path))
    assert os.listdir(tmp_path) == []
