# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading

import grpc
import pytest

from tests.bed import pki
from tests.bed.background import Background
from tests.bed.grpc_server import NOT_FOUND, GrpcServer, Status

MESSAGE = '100 % "größer"\nals'


async def handle(call):
    name = call.method.rpartition('/')[2]
    if name == 'Echo':
        async for message in call.requests():
            await call.send(message)
    elif name == 'Metadata':
        await call.send(repr((call.values('node'), pki.roles(call.peer), call.timeout is not None)).encode())
    elif name == 'Refuse':
        raise Status(NOT_FOUND, MESSAGE)
    elif name == 'Partial':
        await call.send(b'one')
        raise Status(NOT_FOUND, MESSAGE)
    elif name == 'Big':
        await call.send(b'x' * int(await call.request()))
    elif name == 'Chunks':
        for _number in range(3):
            await call.send(b'y' * 3000, frame_size=1000)
    elif name == 'Reset':
        await call.send(await call.request())
        await call.request()
        await call.reset()
    elif name == 'Goaway':
        await call.goaway()
        await call.send(b'last')
    elif name == 'Drop':
        await call.drop()
    elif name == 'Broken':
        raise ValueError('a bug')
    elif name == 'Never':
        HANDLERS.append('started')
        STARTED.set()
        try:
            await call.forever()
        finally:
            HANDLERS.append('ended')
            ENDED.set()


HANDLERS = []
STARTED = threading.Event()
ENDED = threading.Event()


@pytest.fixture(scope='module')
def background():
    with Background() as background:
        yield background


@pytest.fixture(scope='module')
def server(background):
    return background.serve(GrpcServer(handle))


@pytest.fixture
def channel(server):
    # Without a pool of its own a channel would inherit the connection of the test before it.
    options = [('grpc.use_local_subchannel_pool', 1)]
    options += [('grpc.max_receive_message_length', 32 * 1024 * 1024), ('grpc.max_send_message_length', 32 * 1024 * 1024)]
    with grpc.insecure_channel(server.address, options=options) as channel:
        yield channel


def unary(channel, name, request=b'', **kwargs):
    return channel.unary_unary(f'/test.Service/{name}')(request, timeout=30, **kwargs)


def stream(channel, name, request=b'', **kwargs):
    return channel.unary_stream(f'/test.Service/{name}')(request, timeout=30, **kwargs)


def test_a_unary_call_and_an_empty_message(channel):
    assert unary(channel, 'Echo', b'hello') == b'hello'
    assert unary(channel, 'Echo', b'') == b''


def test_a_client_stream_is_answered_in_order(channel):
    messages = [b'1', b'2' * 70000, b'3']
    assert list(channel.stream_stream('/test.Service/Echo')(iter(messages), timeout=30)) == messages


def test_repeated_metadata_keeps_its_values_and_order(channel):
    text = unary(channel, 'Metadata', metadata=[('node', 'b'), ('node', 'a')])
    assert text == b"(['b', 'a'], [], True)"


@pytest.mark.parametrize('name, messages', [('Refuse', []), ('Partial', [b'one'])])
def test_a_status_has_its_code_and_text_with_and_without_messages_before(channel, name, messages):
    got = []
    with pytest.raises(grpc.RpcError) as caught:
        for message in stream(channel, name):
            got.append(message)
    assert got == messages
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert caught.value.details() == MESSAGE


@pytest.mark.parametrize('size', [0, 65535, 65536, 5_000_000, 32 * 1024 * 1024 - 64])
def test_messages_larger_than_the_windows(channel, size):
    assert len(unary(channel, 'Big', str(size).encode())) == size


def test_a_big_request(channel):
    assert unary(channel, 'Echo', b'z' * 10_000_000) == b'z' * 10_000_000


def test_a_message_cut_into_frames(channel):
    assert list(stream(channel, 'Chunks')) == [b'y' * 3000] * 3


def test_many_calls_at_once_on_one_connection(server, channel):
    accepted = server.accepted
    calls = [channel.unary_unary('/test.Service/Echo').future(str(n).encode(), timeout=30) for n in range(300)]
    assert [call.result() for call in calls] == [str(n).encode() for n in range(300)]
    assert server.accepted == accepted + 1


def test_cancelling_ends_the_handler(channel):
    call = channel.unary_unary('/test.Service/Never').future(b'')
    assert STARTED.wait(30)
    call.cancel()
    assert ENDED.wait(30)
    assert HANDLERS == ['started', 'ended']


def test_a_reset_after_a_message(channel):
    received = threading.Event()

    def requests():
        yield b'one'
        received.wait(30)

    call = channel.stream_stream('/test.Service/Reset')(requests(), timeout=30)
    assert next(call) == b'one'
    received.set()
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


def test_goaway_lets_the_call_end_and_the_next_one_reconnects(server, channel):
    assert list(stream(channel, 'Goaway')) == [b'last']
    accepted = server.accepted
    assert unary(channel, 'Echo', b'again') == b'again'
    assert server.accepted == accepted + 1


def test_a_dropped_connection(channel):
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, 'Drop')
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_fault_in_a_handler_is_an_error_and_kept(server, channel):
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, 'Broken')
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert isinstance(server.errors.pop(), ValueError)


def test_ipv6(background):
    server = background.serve(GrpcServer(handle, host='::1'))
    with grpc.insecure_channel(server.address) as channel:
        assert unary(channel, 'Echo', b'six') == b'six'


def test_a_stopped_server_refuses(background):
    server = background.serve(GrpcServer(handle))
    background.stop(server)
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        unary(channel, 'Echo')
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_tls_with_ecdsa_shows_the_client_certificate(background):
    authority = pki.Authority(key='ecdsa')
    client = authority.client(['os:reader', 'os:operator'])
    identity = authority.server('cp-1', ips=['127.0.0.1'])
    server = background.serve(GrpcServer(handle, tls=pki.server_context(identity, authority)))
    credentials = grpc.ssl_channel_credentials(authority.pem, client.key_pem, client.pem)
    with grpc.secure_channel(server.address, credentials) as channel:
        assert unary(channel, 'Metadata') == b"([], ['os:reader', 'os:operator'], True)"
    assert server.handshakes == 1
