# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls: routing, failover, what a status means, threads, forks, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import client as client_module
from ansible_collections.talosops.talos.plugins.module_utils.api import connection, tunnel, wire
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.endpoint import parse
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import (
    CallError, ConfigError, DeadlineExceeded, InputError, NodeUnreachable, NoForwarding, NotFound, RoleRefused, TransportError, Unsupported,
)
from tests.bed import grpc_server, pki
from tests.bed.grpc_server import INTERNAL, NOT_FOUND, PERMISSION_DENIED, UNAVAILABLE, UNIMPLEMENTED, UNKNOWN, Status
from tests.bed.tls import SecureProtocol, SecureServer

from .conftest import VERSION, answers_version, nothing_left_behind, until

HOSTNAME = '/machine.MachineService/Hostname'
REMOVE = '/machine.MachineService/EtcdRemoveMemberByID'
RESTART = '/machine.MachineService/ServiceRestart'
DIAL = 'connection error: desc = "transport: Error while dialing: dial tcp 10.5.0.4:50000: connect: connection refused"'


def tag(machine):
    return machine.unary(VERSION)['version']['tag']


def refuses(code, message):
    async def handler(call):
        raise Status(code, message)
    return handler


class Counting:
    """Counts calls by method, and answers."""

    def __init__(self, then=answers_version):
        self.methods = []
        self.then = then

    async def __call__(self, call):
        self.methods.append(call.method)
        await self.then(call)


# -- what is sent -------------------------------------------------------------------------------------------------


def test_metadata(bed):
    seen = []

    async def handler(call):
        seen.append([pair for pair in call.metadata if pair[0] in ('node', 'nodes', 'context', 'proxyfrom', 'talos-role', 'grpc-encoding')])
        await answers_version(call)

    with bed.client(bed.serve(handler)) as client:
        assert tag(client.direct(client.endpoints[0])) == 'direct'
        assert tag(client.node('10.5.0.3')) == '10.5.0.3'
        assert tag(client.node('fd00::3')) == 'fd00::3'
    assert seen == [[], [('node', '10.5.0.3')], [('node', 'fd00::3')]]


@pytest.mark.parametrize('address', ['10.5.0.3:50000', '', '10.5.0.3,10.5.0.4', 'cp-1:1'])
def test_what_is_no_node(bed, address):
    with bed.client('127.0.0.1:1') as client, pytest.raises(ConfigError, match='node'):
        client.node(address)


def test_the_deadline_is_the_callers_and_starts_when_the_call_is_sent(bed):
    seen = []

    async def handler(call):
        seen.append(call.timeout)
        await answers_version(call)

    with bed.client(bed.serve(handler), timeout=30.0) as client:
        client.node('10.5.0.3').unary(VERSION)
        time.sleep(0.3)
        client.node('10.5.0.3').unary(VERSION, timeout=5.0)
    assert 29.5 < seen[0] < 30.1 and 4.8 < seen[1] < 5.1


def test_big_messages(bed):
    async def handler(call):
        body = await call.request()
        assert len(body) > 20_000_000
        await call.send(wire.encode('machine.HostnameResponse', {'messages': [{'hostname': 'x' * 30_000_000}]}))

    with bed.client(bed.serve(handler)) as client:
        request = wire.encode('machine.ApplyConfigurationRequest', {'data': b'y' * 21_000_000})
        raw = client.connect(client.endpoints[0]).unary(HOSTNAME, request, 60.0, (), 'Hostname')
    assert len(wire.decode('machine.HostnameResponse', raw)['messages'][0]['hostname']) == 30_000_000


def test_counters(bed):
    server = bed.serve()
    with bed.client(server) as client:
        for _each in range(5):
            tag(client.node('10.5.0.3'))
        assert (client.calls, client.handshakes, server.calls, server.handshakes) == (5, 1, 5, 1)


# -- endpoints ------------------------------------------------------------------------------------------------------


def test_no_endpoints(bed):
    with pytest.raises(ConfigError, match='no endpoints'):
        Client(bed.context())


def test_endpoints_that_are_given_replace_those_of_the_talosconfig(bed):
    with Client(bed.context('10.5.0.2'), endpoints=['10.5.0.3', '10.5.0.3:50000', '10.5.0.4']) as client:
        assert [endpoint.text for endpoint in client.endpoints] == ['10.5.0.3', '10.5.0.4']


def test_an_endpoint_that_cannot_be_one(bed):
    with pytest.raises(ConfigError, match='endpoint'):
        Client(bed.context('a b'))


def test_a_dead_endpoint_is_passed_over_and_a_good_one_remembered(bed):
    server = bed.serve()
    with bed.client('127.0.0.1:1', server) as client:
        assert [tag(client.node('10.5.0.3')) for _each in range(3)] == ['10.5.0.3'] * 3
        assert client.calls == 3
        assert client.handshakes == 1


def test_a_dead_endpoint_is_not_dialled_for_every_call(bed, monkeypatch):
    tries = []
    open_ = tunnel.Tunnels.open
    monkeypatch.setattr(tunnel.Tunnels, 'open', lambda self, endpoint, timeout: tries.append(endpoint) or open_(self, endpoint, timeout))
    monkeypatch.setattr(client_module, 'RETRY_AFTER', 3600)
    with bed.client('127.0.0.1:1') as client:
        for _each in range(5):
            with pytest.raises(TransportError):
                tag(client.node('10.5.0.3'))
        assert len(tries) == 1
        monkeypatch.setattr(client_module, 'RETRY_AFTER', 0)
        with pytest.raises(TransportError):
            tag(client.node('10.5.0.3'))
        assert len(tries) == 2


def test_all_endpoints_dead(bed):
    with bed.client('127.0.0.1:1', '127.0.0.1:2') as client, pytest.raises(TransportError, match='127.0.0.1:1') as caught:
        tag(client.node('10.5.0.3'))
    assert caught.value.kind == 'refused'


def test_threads_share_one_handshake_and_one_failure(bed):
    server = bed.serve()
    with bed.client(server, '127.0.0.1:1') as client, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _each: tag(client.node('10.5.0.3')), range(64))) == {'10.5.0.3'}
        assert client.handshakes == server.handshakes == 1
        failures = list(pool.map(lambda _each: pytest.raises(TransportError, client.connect, client.endpoints[1]).value, range(8)))
        assert {failure.kind for failure in failures} == {'refused'}


def test_eight_threads_get_their_own_answers(bed):
    async def handler(call):
        await answers_version(call)

    with bed.client(bed.serve(handler)) as client, ThreadPoolExecutor(8) as pool:
        asked = [f'10.5.{number // 200}.{number % 200 + 1}' for number in range(400)]
        assert list(pool.map(lambda address: tag(client.node(address)), asked)) == asked


def test_a_call_that_hangs_blocks_no_other(bed):
    async def handler(call):
        if call.values('node') == ['10.5.0.9']:
            await call.forever()
        await answers_version(call)

    with bed.client(bed.serve(handler)) as client, ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(client.node('10.5.0.9').unary, VERSION, None, 1.0)
        for _each in range(20):
            tag(client.node('10.5.0.3'))
        assert not hanging.done()
        with pytest.raises(DeadlineExceeded):
            hanging.result()


# -- workers as endpoints ---------------------------------------------------------------------------------------------


async def worker(call):
    if call.values('node') not in ([], ['10.5.0.5']):
        raise Status(PERMISSION_DENIED, 'no request forwarding')
    await answers_version(call)


def test_a_worker_is_passed_over(bed):
    counting = Counting(worker)
    with bed.client(bed.serve(counting), bed.serve()) as client:
        assert [tag(client.node('10.5.0.3')) for _each in range(3)] == ['10.5.0.3'] * 3
        assert len(counting.methods) == 1
        assert tag(client.direct(client.endpoints[0])) == 'direct'


def test_a_worker_alone(bed):
    with bed.client(bed.serve(worker)) as client:
        assert tag(client.node('10.5.0.5')) == '10.5.0.5'
        with pytest.raises(NoForwarding, match='worker'):
            tag(client.node('10.5.0.3'))


def test_the_matrix_of_who_reaches_whom(bed):
    one, other = bed.serve(), bed.serve(refuses(UNAVAILABLE, DIAL))
    with bed.client(one, other) as client:
        assert tag(client.node('10.5.0.4', via=client.endpoints[0])) == '10.5.0.4'
        with pytest.raises(NodeUnreachable, match='connection refused'):
            tag(client.node('10.5.0.4', via=client.endpoints[1]))
        with pytest.raises(TransportError):
            tag(client.node('10.5.0.4', via=parse('127.0.0.1:1')))
        assert one.calls == 1


# -- what a status means ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('code, message, kind, said', [
    (PERMISSION_DENIED, 'not authorized', RoleRefused, 'role'),
    (PERMISSION_DENIED, 'no request forwarding', NoForwarding, 'worker'),
    (PERMISSION_DENIED, 'resource type "BootIDs.runtime.talos.dev" is not supported', Unsupported, 'BootIDs'),
    (PERMISSION_DENIED, 'namespace "nope" is not supported', Unsupported, 'nope'),
    (PERMISSION_DENIED, 'write access is not allowed', CallError, 'read only'),
    (UNIMPLEMENTED, 'unknown method X for service machine.MachineService', Unsupported, 'unknown method'),
    (UNIMPLEMENTED, 'member list is only available on control plane nodes', Unsupported, 'control plane'),
    (NOT_FOUND, "resource Members.cluster.talos.dev(cluster/x@undefined) doesn't exist", NotFound, "doesn't exist"),
    (UNKNOWN, 'log "etcd" was not registered', NotFound, 'not registered'),
    (UNKNOWN, 'container "x" not found', NotFound, 'not found'),
    (UNKNOWN, 'etcdserver: no leader', CallError, 'no leader'),
    (UNAVAILABLE, DIAL, NodeUnreachable, 'connection refused'),
    (UNAVAILABLE, 'connection error: desc = "transport: Error while dialing: dial tcp 10.5.0.4:50000: i/o timeout"', NodeUnreachable, 'i/o timeout'),
    (UNAVAILABLE, 'connection error: desc = "transport: Error while dialing: dial tcp 10.5.0.4:50000: connect: no route to host"', NodeUnreachable, 'no route'),
    (UNAVAILABLE, 'name resolver error: produced zero addresses', NodeUnreachable, 'zero addresses'),
    (UNAVAILABLE, 'connection error: desc = "transport: authentication handshake failed: x509: certificate is valid for a, not b"',
     NodeUnreachable, 'valid for a'),
    (UNAVAILABLE, 'error reading from server: read tcp 10.5.0.2:1->10.5.0.4:50000: read: connection reset by peer', NodeUnreachable, 'reset by peer'),
    (UNAVAILABLE, 'cri is not ready', CallError, 'cri is not ready'),
    (grpc_server.DEADLINE_EXCEEDED, 'context deadline exceeded', DeadlineExceeded, 'in time'),
    (INTERNAL, 'invalid target "x"', CallError, 'invalid target'),
    (grpc_server.FAILED_PRECONDITION, 'etcd is not ready', CallError, 'FAILED_PRECONDITION'),
])
def test_a_status_becomes_a_type(bed, code, message, kind, said):
    with bed.client(bed.serve(refuses(code, message))) as client:
        for call in (client.node('10.5.0.4').unary, client.node('10.5.0.4').resources):
            with pytest.raises(CallError, match=said) as caught:
                call(*((VERSION,) if call.__name__ == 'unary' else ('Members.cluster.talos.dev', 'cluster')))
            assert caught.type is kind
            assert caught.value.node == '10.5.0.4' and caught.value.code == grpc_name(code) and '10.5.0.4' in caught.value.message
        assert client.handshakes == 1, 'a status of the server is no failure of the connection'


def grpc_name(number):
    return next(name for name in dir(grpc_server) if name.isupper() and getattr(grpc_server, name) == number)


def test_what_the_endpoint_itself_lacks_is_no_unreachable_node(bed):
    with bed.client(bed.serve(refuses(UNAVAILABLE, DIAL))) as client, pytest.raises(CallError) as caught:
        tag(client.direct(client.endpoints[0]))
    assert caught.type is CallError


def test_no_answer_before_the_deadline(bed):
    async def handler(call):
        await call.forever()

    with bed.client(bed.serve(handler)) as client, pytest.raises(DeadlineExceeded, match='10.5.0.4'):
        client.node('10.5.0.4').unary(VERSION, timeout=0.1)


def test_an_answer_that_is_no_message(bed):
    async def handler(call):
        await call.send(b'\x0a\xff')

    with bed.client(bed.serve(handler)) as client, pytest.raises(CallError, match='unreadable'):
        tag(client.node('10.5.0.4'))


def test_a_web_page_instead_of_an_answer(bed):
    async def handler(call):
        await call.answer_http(502, b'<html>bad gateway</html>')

    with bed.client(bed.serve(handler)) as client, pytest.raises(CallError):
        tag(client.direct(client.endpoints[0]))


def test_a_failure_inside_a_merged_answer(bed):
    failed = {'hostname': '10.5.0.4', 'error': 'rpc error: …', 'status': {'code': 14, 'message': DIAL}}

    async def handler(call):
        await call.send(wire.encode('machine.VersionResponse', {'messages': [{'metadata': failed}]}))

    with bed.client(bed.serve(handler)) as client, pytest.raises(NodeUnreachable):
        tag(client.node('10.5.0.4'))


def test_a_method_or_request_that_cannot_be(bed):
    with bed.client('127.0.0.1:1') as client:
        with pytest.raises(InputError, match='no method'):
            client.node('10.5.0.4').unary('/machine.MachineService/Nope')
        with pytest.raises(InputError, match='no field'):
            client.node('10.5.0.4').unary(REMOVE, {'name': 'cp-1'})


# -- a connection that breaks -------------------------------------------------------------------------------------------


async def drops(call):
    await call.drop()


def test_the_next_endpoint_is_tried_when_the_connection_breaks(bed):
    counting = Counting(drops)
    with bed.client(bed.serve(counting), bed.serve()) as client:
        assert tag(client.node('10.5.0.3')) == '10.5.0.3'
        assert len(counting.methods) == 1


@pytest.mark.parametrize('method', [REMOVE, RESTART])
def test_a_call_that_changes_something_is_never_sent_twice(bed, method):
    one, other = Counting(drops), Counting()
    request = {'member_id': '1'} if method == REMOVE else {'id': 'kubelet'}
    with bed.client(bed.serve(one), bed.serve(other)) as client:
        with pytest.raises(TransportError) as caught:
            client.node('10.5.0.3').unary(method, request)
        assert caught.value.written and (one.methods, other.methods) == ([method], [])


def test_a_call_that_changes_something_goes_to_the_next_endpoint_when_nothing_was_written(bed):
    server = bed.serve(Counting(refuses(NOT_FOUND, 'etcdserver: member not found')))
    with bed.client('127.0.0.1:1', server) as client, pytest.raises(NotFound):
        client.node('10.5.0.3').unary(REMOVE, {'member_id': '1'})
    assert server.calls == 1


def test_a_worker_may_be_passed_over_by_a_call_that_changes_something(bed):
    server = bed.serve(refuses(NOT_FOUND, 'etcdserver: member not found'))
    with bed.client(bed.serve(worker), server) as client, pytest.raises(NotFound):
        client.node('10.5.0.3').unary(REMOVE, {'member_id': '1'})


def test_an_endpoint_that_dies_between_two_calls(bed, background):
    server = bed.serve()
    with bed.client(server) as client:
        assert tag(client.node('10.5.0.3')) == '10.5.0.3'
        background.stop(server)
        with pytest.raises(TransportError) as caught:
            tag(client.node('10.5.0.3'))
        assert caught.value.kind in ('reset', 'refused')
        until(lambda: not client._connections[client.endpoints[0]].alive)
        with pytest.raises(TransportError) as caught:
            client.connect(client.endpoints[0])
        assert caught.value.kind == 'refused'


def test_an_endpoint_that_comes_back_is_connected_to_anew(bed, background, monkeypatch):
    monkeypatch.setattr(client_module, 'RETRY_AFTER', 0)
    server = bed.serve()
    with bed.client(server) as client:
        assert tag(client.node('10.5.0.3')) == '10.5.0.3'
        background.stop(server)
        with pytest.raises(TransportError):
            tag(client.node('10.5.0.3'))
        background.serve(server)
        assert tag(client.node('10.5.0.3')) == '10.5.0.3'
        assert client.handshakes == 2


def test_a_server_that_says_goodbye_between_calls(bed):
    async def handler(call):
        await answers_version(call)
        await call.goaway()

    with bed.client(bed.serve(handler)) as client:
        assert [tag(client.node('10.5.0.3')) for _each in range(5)] == ['10.5.0.3'] * 5


def test_calls_under_way_survive_the_reconnection_of_others(bed):
    gate = threading.Event()

    async def handler(call):
        if call.values('node') == ['10.5.0.9']:
            while not gate.is_set():
                await asyncio.sleep(0.01)
        await answers_version(call)
        if call.values('node') == ['10.5.0.8']:
            await call.goaway()

    with bed.client(bed.serve(handler)) as client, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(tag, client.node('10.5.0.9'))
        assert tag(client.node('10.5.0.8')) == '10.5.0.8'
        time.sleep(0.3)  # a call that crosses the server's leave on the way is another matter
        assert [tag(client.node('10.5.0.3')) for _each in range(3)] == ['10.5.0.3'] * 3
        gate.set()
        assert slow.result() == '10.5.0.9'


def test_a_certificate_that_expires_for_the_next_connection(bed, background, authority):
    """grpcio reconnects through the tunnel by itself; the exact failure is still known."""
    async def handler(call):
        await answers_version(call)

    server = bed.serve(handler)
    with bed.client(server) as client:
        tag(client.node('10.5.0.3'))
        server.tls = bed.tls(authority.server('cp-1', ips=['10.5.0.2']))
        for one in list(server.connections):
            background.run(abort(one))
        until(lambda: not client._connections[client.endpoints[0]].alive)
        with pytest.raises(TransportError) as caught:
            tag(client.node('10.5.0.3'))
        assert caught.value.kind == 'wrong_name'


async def abort(one):
    one.abort()


# -- what is left behind ------------------------------------------------------------------------------------------------


@pytest.fixture
def warm(bed):
    """grpcio opens files of its own with its first channel, and keeps them."""
    with bed.client(bed.serve()) as client:
        tag(client.node('10.5.0.3'))


def test_nothing_is_left_behind(bed, warm, tmp_path):
    server = bed.serve()
    until(lambda: not server.connections)
    with nothing_left_behind(tmp_path):
        with bed.client(server, tmp_dir=str(tmp_path)) as client:
            tag(client.node('10.5.0.3'))
            directory, = os.listdir(tmp_path)
            assert os.stat(tmp_path / directory).st_mode & 0o777 == 0o700
        until(lambda: not server.connections)


def test_nothing_is_left_behind_after_an_exception(bed, warm, tmp_path):
    server = bed.serve()
    with nothing_left_behind(tmp_path):
        with pytest.raises(KeyboardInterrupt), bed.client(server, tmp_dir=str(tmp_path)) as client:
            tag(client.node('10.5.0.3'))
            raise KeyboardInterrupt
        until(lambda: not server.connections)


def test_nothing_is_left_behind_when_nothing_was_reached(bed, warm, tmp_path):
    with nothing_left_behind(tmp_path):
        with bed.client('127.0.0.1:1', tmp_dir=str(tmp_path)) as client, pytest.raises(TransportError):
            tag(client.node('10.5.0.3'))


def test_closing_ends_what_is_under_way(bed, warm, tmp_path):
    async def handler(call):
        await call.forever()

    server = bed.serve(handler)

    def close_under_way():
        before = server.calls
        client = bed.client(server, tmp_dir=str(tmp_path))
        with ThreadPoolExecutor(2) as pool:
            calls = [pool.submit(client.node('10.5.0.3').unary, VERSION, None, 60), pool.submit(client.node('10.5.0.3').resources, 'A', 'b', 60)]
            until(lambda: server.calls == before + 2)
            client.close()
            for call in calls:
                with pytest.raises((CallError, TransportError)):
                    call.result()
        client.close()

    close_under_way()  # grpcio opens more files of its own, and keeps them
    gc.collect()
    until(lambda: not server.connections)
    with nothing_left_behind(tmp_path):
        close_under_way()
        gc.collect()  # grpcio keeps a file as long as somebody holds the call
        until(lambda: not server.connections)


def test_a_client_that_was_closed(bed):
    with bed.client(bed.serve()) as client:
        machine = client.node('10.5.0.3')
        tag(machine)
    with pytest.raises(TransportError, match='closed'):
        tag(machine)


AWKWARD = pytest.mark.parametrize('name', ['x' * 120, 'with blank', 'per%20cent', 'frag#ment', 'que?ry'])


@AWKWARD
@pytest.mark.skipif(not os.path.isdir('/proc/self/fd'), reason='only Linux lets a process call a directory by a descriptor')
def test_the_directory_that_was_given_is_used_whatever_it_is_called(bed, warm, tmp_path, name):
    """Ansible's main process clears it after a worker that was killed; nobody would clear another."""
    given = tmp_path / name
    given.mkdir()
    server = bed.serve()
    with nothing_left_behind(given):
        with bed.client(server, tmp_dir=str(given)) as client:
            assert tag(client.node('10.5.0.3')) == '10.5.0.3'
            assert [path.is_socket() for path in given.rglob('*/*')] == [True]
        until(lambda: not server.connections)


@AWKWARD
def test_elsewhere_a_directory_that_cannot_hold_a_socket_is_not_taken(bed, tmp_path, monkeypatch, name):
    monkeypatch.setattr(tunnel, '_DESCRIPTORS', '/nowhere')
    given = tmp_path / name
    given.mkdir()
    with bed.client(bed.serve(), tmp_dir=str(given)) as client:
        assert tag(client.node('10.5.0.3')) == '10.5.0.3'
        assert os.listdir(given) == []


def test_a_directory_that_does_not_exist(bed, tmp_path):
    with bed.client(bed.serve(), tmp_dir=str(tmp_path / 'gone')) as client:
        assert tag(client.node('10.5.0.3')) == '10.5.0.3'


def test_what_nobody_reads_is_not_fetched(bed, background):
    """A tunnel holds back what its other end does not take, in both directions."""
    class Flood(SecureProtocol):
        written = 0

        def opened(self):
            self.write(b'\0\0\0\4\0\0\0\0\0')
            asyncio.ensure_future(self.flood())

        async def flood(self):
            while not self.transport.is_closing() and self.written < 64 * 1024 * 1024:
                await self.writable.wait()
                self.write(b'x' * 65536)
                type(self).written += 65536
                await asyncio.sleep(0)

    class FloodServer(SecureServer):
        protocol = Flood

    server = background.serve(FloodServer(tls=bed.tls()))
    with bed.client(server) as client, socket.socket(socket.AF_UNIX) as reader:
        reader.connect(client.connect(client.endpoints[0])._link.path)
        assert reader.recv(9) == b'\0\0\0\4\0\0\0\0\0'
        before = -1
        while before != Flood.written:
            before = Flood.written
            time.sleep(0.5)
        assert Flood.written < 32 * 1024 * 1024


@pytest.mark.skipif(not hasattr(socket, 'SO_PEERCRED'), reason='this system does not tell who connects')
def test_the_tunnel_serves_this_process_only(bed):
    server = bed.serve()
    with bed.client(server) as client:
        tag(client.node('10.5.0.3'))
        path = client._connections[client.endpoints[0]]._link.path
        script = f'import socket; s = socket.socket(socket.AF_UNIX); s.connect({path!r}); s.settimeout(10)\n' \
                 'try:\n    print(s.recv(1))\nexcept ConnectionError:\n    print(b"")'
        assert subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True).stdout.strip() == "b''"
        assert server.handshakes == 1
        assert tag(client.node('10.5.0.3')) == '10.5.0.3'


def test_forked_workers_of_a_process_that_only_imported(bed, tmp_path):
    """As Ansible has it: the parent imports, each worker makes a client of its own."""
    server = bed.serve()
    path = tmp_path / 'talosconfig'
    path.write_text(pki.talosconfig('test', [server.address], bed.authority, bed.admin))
    script = f'''
import os, sys
sys.path[:0] = {sys.path!r}
from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client

def work():
    with Client(talosconfig.load({str(path)!r}, environ={{}})) as client:
        return client.node('10.5.0.3').unary({VERSION!r})['version']['tag'] == '10.5.0.3'

children = []
for number in range(4):
    child = os.fork()
    if child == 0:
        os._exit(0 if work() else 1)
    children.append(child)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
'''
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.strip(), done.stderr) == ('[0, 0, 0, 0]', '')


def test_nothing_is_printed_when_things_go_wrong(bed, background, tmp_path):
    """Neither grpcio nor asyncio may write to a person's terminal."""
    async def handler(call):
        await (call.drop() if call.values('node') == ['10.5.0.9'] else call.goaway(11, 'too_many_pings'))

    server = bed.serve(handler)
    path = tmp_path / 'talosconfig'
    path.write_text(pki.talosconfig('test', [server.address], bed.authority, bed.admin))
    script = f'''
import sys
sys.path[:0] = {sys.path!r}
from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
with Client(talosconfig.load({str(path)!r}, environ={{}})) as client:
    for address in ('10.5.0.9', '10.5.0.3') * 3:
        try:
            client.node(address).unary({VERSION!r}, timeout=2)
        except TalosError as error:
            print(type(error).__name__)
'''
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == '' and len(done.stdout.split()) == 6


@pytest.mark.parametrize('module, name, package', [(connection, 'grpc', 'grpcio'), (wire, 'descriptor_pb2', 'protobuf')])
def test_a_missing_package_is_one_sentence(bed, monkeypatch, module, name, package):
    context = bed.context('127.0.0.1')
    monkeypatch.setattr(module, name, None)
    with pytest.raises(InputError, match=f'Python package {package} is missing'):
        Client(context)
