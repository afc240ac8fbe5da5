# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import asyncio
import json
import os
import sys
from urllib.parse import parse_qs, urlsplit

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import errors
from ansible_collections.talosops.talos.plugins.module_utils.kube import api
from ansible_collections.talosops.talos.plugins.module_utils.kube.api import KubernetesApi
from ansible_collections.talosops.talos.plugins.module_utils.kube.config import Source
from tests.bed import pki
from tests.bed.background import Background
from tests.bed.connect_proxy import ConnectProxy
from tests.bed.faulty import PlainHttp, Silent
from tests.bed.https_server import HttpsServer
from tests.simulator.balancer import Balancer

CA = pki.Authority('kubernetes', key='ecdsa')


async def api_server(request):
    path, query = urlsplit(request.path).path, parse_qs(urlsplit(request.path).query)
    if path == '/api/v1/nodes':
        first = 'continue' not in query
        items = [{'metadata': {'name': 'one' if first else 'two'}}]
        return 200, 'application/json', json.dumps({'items': items, 'metadata': {'continue': 'next'} if first else {}}).encode()
    if path == '/version':
        return 200, 'application/json', b'{"gitVersion": "v1.36.3"}'
    return 500, 'text/plain', b'[-]etcd failed'


@pytest.fixture
def background():
    with Background() as running:
        yield running


def served(background, handler=api_server, ips=('127.0.0.1',), client='required'):
    tls = pki.server_context(CA.server('kube-apiserver', ips=ips, key='ecdsa'), CA, client=client, alpn=('http/1.1',))
    return background.serve(HttpsServer(handler, tls=tls))


def source(behind, **more):
    identity = CA.client(['system:masters'], key='ecdsa')
    return Source(**{'server': f'https://127.0.0.1:{behind.port}', 'ca': CA.pem, 'cert': identity.pem, 'key': identity.key_pem, **more})


def test_version_readyz_and_nodes_page_by_page(background, tmp_path):
    server = served(background)
    api = KubernetesApi(source(server), tmp_dir=str(tmp_path))
    assert api.version(5) == {'gitVersion': 'v1.36.3'}
    assert api.readyz(5) == {'status': 500, 'body': '[-]etcd failed'}
    assert [node['metadata']['name'] for page in api.pages('/api/v1/nodes', lambda: 5) for node in page] == ['one', 'two']
    assert all(request.peer for request in server.requests)
    assert os.listdir(tmp_path) == []
    api.close()


def test_each_server_can_be_asked_for_itself(background):
    first, second = served(background), served(background)
    api = KubernetesApi(source(first))
    api.readyz(5, f'https://127.0.0.1:{second.port}')
    assert (len(first.requests), len(second.requests)) == (0, 1)


def test_a_token_is_sent_and_basic_credentials_too(background):
    server = served(background, client='optional')
    list(KubernetesApi(source(server, cert=None, key=None, token='abc')).pages('/api/v1/nodes', lambda: 5))
    KubernetesApi(source(server, cert=None, key=None, basic=('user', 'word'))).readyz(5)
    assert [request.headers['authorization'] for request in server.requests] == ['Bearer abc', 'Bearer abc', 'Basic dXNlcjp3b3Jk']


def test_an_exec_plugin_gives_the_token(background):
    credential = {'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status': {'token': 'from-the-plugin'}}
    plugin = {'apiVersion': credential['apiVersion'], 'command': sys.executable, 'args': ['-c', f'print({json.dumps(json.dumps(credential))})'],
              'interactiveMode': 'Never'}
    server = served(background, client='optional')
    KubernetesApi(source(server, cert=None, key=None, exec_plugin=plugin)).readyz(5)
    assert server.requests[0].headers['authorization'] == 'Bearer from-the-plugin'


def test_an_exec_plugin_that_fails_is_one_sentence():
    with pytest.raises(errors.ConfigError, match='exec plugin'):
        KubernetesApi(Source('https://127.0.0.1:1', exec_plugin={'apiVersion': 'client.authentication.k8s.io/v1', 'command': '/none/plugin'}))


def test_through_a_proxy(background):
    server = served(background, ips=('10.5.0.2',))
    proxy = background.serve(ConnectProxy({'10.5.0.2:6443': (server.host, server.port)}))
    assert KubernetesApi(source(server, server='https://10.5.0.2:6443'), proxy=proxy.url).version(5)['gitVersion'] == 'v1.36.3'
    assert len(proxy.asked) == 1


def test_the_name_in_the_kubeconfig_is_the_one_that_is_checked(background):
    server = served(background, ips=('10.9.9.9',))
    with pytest.raises(errors.TransportError, match="not accepted: hostname '127.0.0.1' doesn't match '10.9.9.9'.$"):
        KubernetesApi(source(server)).version(5)
    assert KubernetesApi(source(server, tls_server_name='10.9.9.9')).version(5)
    assert KubernetesApi(source(server, verify=False, ca=None)).version(5)


def test_refused_silent_and_no_https_are_told_apart(background):
    with pytest.raises(errors.TransportError, match='^https://127.0.0.1:9 could not be reached: Connection refused.$'):
        KubernetesApi(Source('https://127.0.0.1:9')).version(5)
    with pytest.raises(errors.DeadlineExceeded, match='did not answer in time'):
        KubernetesApi(Source(f'https://127.0.0.1:{background.serve(Silent()).port}')).readyz(0.2)
    with pytest.raises(errors.DeadlineExceeded):
        next(KubernetesApi(Source(f'https://127.0.0.1:{background.serve(Silent()).port}')).pages('/api/v1/nodes', lambda: 0.2))
    with pytest.raises(errors.TransportError):
        KubernetesApi(Source(f'https://127.0.0.1:{background.serve(PlainHttp()).port}')).version(5)


def balanced(background, *targets):
    """The port of a load balancer without health checks before these (host, port)."""
    return background.serve(Balancer(lambda: targets, checked=False)).port


def test_a_read_whose_connection_breaks_is_sent_again_a_change_is_not(background):
    """A balancer without health checks leads some connections to a server that is down."""
    server = served(background)
    down, up = ('127.0.0.1', 9), ('127.0.0.1', server.port)
    through = source(server, server=f'https://127.0.0.1:{balanced(background, down, down, up)}')
    assert KubernetesApi(through).version(5)['gitVersion'] == 'v1.36.3'
    assert KubernetesApi(source(server, server=f'https://127.0.0.1:{balanced(background, down, up)}')).readyz(5)['status'] == 500
    before = len(server.requests)
    api = KubernetesApi(source(server, server=f'https://127.0.0.1:{balanced(background, down, up)}'))
    with pytest.raises(errors.TransportError, match='^The connection to https://127.0.0.1:[0-9]+ broke'):
        api.send('DELETE', '/api/v1/nodes/one', {}, 5)
    assert len(server.requests) == before
    with pytest.raises(errors.TransportError, match='^The connection to https://127.0.0.1:[0-9]+ broke') as told:
        KubernetesApi(source(server, server=f'https://127.0.0.1:{balanced(background, down)}')).version(5)
    assert told.value.kind == 'reset' and 'certificate' not in told.value.message.lower()


@pytest.mark.parametrize(('status', 'type_'), [(401, errors.RoleRefused), (403, errors.RoleRefused), (404, errors.NotFound), (503, errors.TalosError)])
def test_statuses(background, status, type_):
    async def answers(_request):
        await asyncio.sleep(0)
        return status, 'application/json', b'{"kind": "Status", "message": "nodes is forbidden"}'

    api = KubernetesApi(source(served(background, answers)))
    for call in (lambda: api.version(5), lambda: next(api.pages('/api/v1/nodes', lambda: 5))):
        with pytest.raises(type_, match=f'answered {status}: nodes is forbidden'):
            call()
    assert api.readyz(5)['status'] == status


def test_what_is_no_kubernetes_api(background):
    async def answers(_request):
        return 200, 'text/html', b'<html>welcome</html>'

    with pytest.raises(errors.TalosError, match='not the Kubernetes API'):
        KubernetesApi(source(served(background, answers))).version(5)


def test_bad_certificates_are_one_sentence():
    with pytest.raises(errors.ConfigError, match='cannot be used'):
        KubernetesApi(Source('https://127.0.0.1:1', ca=b'no certificate'))
    with pytest.raises(errors.ConfigError, match='cannot be used'):
        KubernetesApi(Source('https://127.0.0.1:1', cert=b'no certificate', key=b'no key'))


def test_without_the_packages_it_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, 'kubernetes', None)
    with pytest.raises(errors.InputError, match='The Python package kubernetes is missing'):
        KubernetesApi(Source('https://127.0.0.1:1', exec_plugin={'command': 'true'}))
    monkeypatch.setattr(api, 'urllib3', None)
    with pytest.raises(errors.InputError, match='The Python package urllib3 is missing'):
        KubernetesApi(Source('https://127.0.0.1:1'))
