# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes of an endpoint: how each way of not serving is told, and to whom credentials are shown."""

from __future__ import annotations

import asyncio
import socket
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.kube import probe
from ansible_collections.talosops.talos.plugins.module_utils.kube.api import KubernetesApi
from ansible_collections.talosops.talos.plugins.module_utils.kube.config import Source
from tests.bed import pki
from tests.bed.background import Background
from tests.bed.connect_proxy import ConnectProxy
from tests.bed.faulty import PlainHttp, Silent
from tests.bed.https_server import HttpsServer
from tests.simulator.balancer import Balancer

NOW, HOUR = datetime.now(timezone.utc), timedelta(hours=1)
CA = pki.Authority('kubernetes', key='ecdsa')
OTHER = pki.Authority('kubernetes', key='ecdsa')
UNAUTHORIZED = b'{"kind": "Status", "status": "Failure", "message": "Unauthorized", "code": 401}'


@pytest.fixture(scope='module')
def background():
    with Background() as running:
        yield running


async def api_server(request):
    shown = request.peer or request.headers.get('authorization') == 'Bearer abc'
    return (200, 'text/plain', b'ok') if shown else (401, 'application/json', UNAUTHORIZED)


def served(background, handler=api_server, ips=('127.0.0.1',), authority=CA, **more):
    tls = pki.server_context(authority.server('kube-apiserver', ips=ips, key='ecdsa', **more), CA, client='optional', alpn=('http/1.1',))
    return background.serve(HttpsServer(handler, tls=tls))


def manner(port, **more):
    identity = CA.client(['system:masters'], key='ecdsa')
    given = {'server': f'https://127.0.0.1:{port}', 'ca': CA.pem, 'cert': identity.pem, 'key': identity.key_pem, **more}
    return KubernetesApi(Source(**given)).manner()


def asked(port, how=None, times=1, host='127.0.0.1', seconds=5):
    return probe.ask(probe.parse(f'https://{host}:{port}'), how or probe.Manner(), seconds, times)


def only(found):
    assert found['error'] is None and len(found['probes']) == 1
    return found['probes'][0]


def test_with_a_kubeconfig_every_probe_is_a_connection_of_its_own(background):
    server = served(background)
    found = asked(server.port, manner(server.port), probe.PROBES)
    assert [(one['ok'], one['status'], one['kind'], one['address']) for one in found['probes']] == [(True, 200, None, '127.0.0.1')] * probe.PROBES
    assert (found['verified'], found['addresses'], len(found['certificates'])) == (True, ['127.0.0.1'], 1)
    assert {one['certificate'] for one in found['probes']} == {found['certificates'][0]['sha256']}
    assert len(server.requests) == probe.PROBES and all(request.peer for request in server.requests)


def test_who_shows_nothing_is_told_that_it_serves(background):
    server = served(background)
    found = asked(server.port)
    assert (only(found)['ok'], only(found)['status'], found['verified']) == (True, 401, False)
    assert found['certificates'][0]['ips'] == ['127.0.0.1']
    assert server.requests[0].peer is None and 'authorization' not in server.requests[0].headers


def test_a_token_goes_with_the_request(background):
    server = served(background)
    assert only(asked(server.port, manner(server.port, cert=None, key=None, token='abc')))['status'] == 200


@pytest.mark.parametrize('kind, more', [
    ('untrusted_ca', {'authority': OTHER}), ('wrong_name', {'ips': ('10.9.9.9',)}), ('expired', {'not_before': NOW - 30 * HOUR}),
    ('not_yet_valid', {'not_before': NOW + HOUR}),
])
def test_no_credentials_go_to_a_server_whose_certificate_is_not_verified(background, kind, more):
    server = served(background, **more)
    found = asked(server.port, manner(server.port, token='abc'))
    assert (only(found)['ok'], only(found)['kind']) == (False, kind)
    assert 'is not accepted' in only(found)['text']
    assert len(found['certificates']) == 1, 'it is looked at for the report'
    assert server.requests == []


def test_a_kubeconfig_that_verifies_nothing_shows_nothing(background):
    server = served(background, authority=OTHER)
    found = asked(server.port, manner(server.port, verify=False, ca=None, token='abc'))
    assert (only(found)['status'], only(found)['ok'], found['verified']) == (401, True, False)
    assert server.requests[0].peer is None and 'authorization' not in server.requests[0].headers


def test_the_name_of_the_kubeconfig_is_the_one_that_is_checked(background):
    server = served(background, ips=('10.9.9.9',))
    assert only(asked(server.port, manner(server.port, tls_server_name='10.9.9.9')))['ok']


def answers(status, body):
    async def handler(_request):
        await asyncio.sleep(0)
        return status, 'text/plain', body
    return handler


@pytest.mark.parametrize('status, body, kind, text', [
    (200, b'[+]ping ok\nreadyz check passed\n', None, None),
    (500, b'[+]ping ok\n[-]etcd failed: reason withheld\n[-]shutdown failed: reason withheld\nreadyz check failed\n', 'not_ready', 'etcd, shutdown failed'),
    (503, b'{"kind": "Status", "code": 503}', 'not_ready', 'HTTP 503'),
    (401, UNAUTHORIZED, 'client_refused', 'does not accept the credentials'),
    (200, b'<html>it works</html>', 'not_kubernetes', 'is not the Kubernetes API'),
    (404, b'not found', 'not_kubernetes', 'is not the Kubernetes API'),
    (403, b'forbidden by a gateway', 'not_kubernetes', 'is not the Kubernetes API'),
])
def test_what_is_answered(background, status, body, kind, text):
    server = served(background, answers(status, body))
    found = only(asked(server.port, manner(server.port)))
    assert (found['ok'], found['status'], found['kind']) == (kind is None, status, kind)
    assert text is None and found['text'] is None or text in found['text']


def test_ways_of_not_answering_are_told_apart(background):
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        assert only(asked(unused.getsockname()[1]))['kind'] == 'refused'
    silent = only(asked(background.serve(Silent()).port, seconds=0.3))
    assert (silent['kind'], silent['text']) == ('timeout', '127.0.0.1 accepts the connection, but does not answer.')
    assert only(asked(background.serve(PlainHttp()).port))['kind'] == 'not_tls'
    assert only(asked(background.serve(Balancer(lambda: [])).port))['kind'] == 'reset'


def test_one_that_hangs_after_the_handshake_keeps_its_certificate(background):
    async def never(_request):
        await asyncio.get_running_loop().create_future()

    found = asked(served(background, never).port, seconds=0.5)
    assert (only(found)['kind'], len(found['certificates'])) == ('timeout', 1)


def test_a_load_balancer_without_checks_shows(background):
    first, second = served(background), served(background)
    with socket.socket() as dead:
        dead.bind(('127.0.0.1', 0))
        backends = [(first.host, first.port), ('127.0.0.1', dead.getsockname()[1]), (second.host, second.port)]
        balancer = background.serve(Balancer(lambda: backends, checked=False))
        found = asked(balancer.port, manner(balancer.port), probe.PROBES)
        assert sorted(one['kind'] or '' for one in found['probes']) == [''] * 7 + ['reset'] * 3
        assert len(found['certificates']) == 2
        checked = background.serve(Balancer(lambda: backends))
        assert all(one['ok'] for one in asked(checked.port, manner(checked.port), probe.PROBES)['probes'])


def test_every_address_of_a_name_is_probed(background, monkeypatch):
    server = served(background, ips=('127.0.0.1',), dns=('api.example.net',))

    async def two(_loop, host, port):
        assert host == 'api.example.net'
        return [(socket.AF_INET, ('127.0.0.1', port)), (socket.AF_INET, ('127.0.0.99', 1))]

    monkeypatch.setattr(probe.dial, 'addresses', two)
    found = asked(server.port, manner(server.port), 4, host='api.example.net')
    assert found['addresses'] == ['127.0.0.1', '127.0.0.99']
    assert [(one['address'], one['ok']) for one in found['probes']] == [('127.0.0.1', True), ('127.0.0.99', False)] * 2


def test_a_name_that_does_not_resolve_is_told():
    found = asked(6443, host='no-such-host.invalid')
    assert (found['error']['kind'], found['probes'], found['addresses']) == ('resolve', [], [])
    assert 'does not resolve' in found['error']['text']


@pytest.mark.parametrize('url, text', [('http://10.5.0.2:6443', 'its scheme is http, not https'), ('https://:6443', 'it names no host'),
                                       ('https://10.5.0.2:x', 'it is no valid URL'), ('10.5.0.2', 'it names no host')])
def test_a_url_that_leads_nowhere(url, text):
    found = probe.ask(probe.parse(url), probe.Manner(), 1, probe.PROBES)
    assert found['error'] == {'kind': 'url', 'text': f'{url} leads nowhere: {text}.'}


@pytest.mark.parametrize('url, host, port', [('https://10.5.0.2', '10.5.0.2', 443), ('https://[fd00::1]:6443', 'fd00::1', 6443),
                                             ('https://api.example.net:6443/', 'api.example.net', 6443), ('http://a', 'a', 80)])
def test_host_and_port_of_a_url(url, host, port):
    assert (probe.parse(url).host, probe.parse(url).port) == (host, port)


def test_through_a_proxy(background):
    server = served(background, ips=('10.5.0.2',))
    proxy = background.serve(ConnectProxy({'10.5.0.2:6443': (server.host, server.port)}))
    how = probe.Manner(proxy=proxy.url)
    found = probe.ask_each([probe.parse('https://10.5.0.2:6443'), probe.parse('https://10.5.0.3:6443')], how, 5)
    assert [one['probes'][0]['kind'] for one in found] == [None, 'proxy']
    assert [one['addresses'] for one in found] == [[], []]
    assert asked(6443, probe.Manner(proxy='socks5://127.0.0.1:1'))['error']['kind'] == 'proxy'
