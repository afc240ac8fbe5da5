# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One gRPC call over a connection of its own, by h2 alone: what the replay serves is tested without our client."""

from __future__ import annotations

import base64
import socket
import struct
import urllib.parse
import ssl
import tempfile
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import yaml


class Answer:
    def __init__(self):
        self.code, self.message, self.messages, self.ended = None, None, [], False


def ask(replay, address, method, request=b'', metadata=(), patience=30, name=None):
    """Call C(method) at C(address):50000; an Answer with C(ended) False when nothing more came for C(patience) seconds."""
    with connect(replay, address, 50000) as raw, context(replay).wrap_socket(raw, server_hostname=name or address) as secure:
        secure.settimeout(patience)
        return _call(secure, f'{address}:50000', method, request, metadata)


def connect(replay, address, port):
    """A TCP connection by the replay's proxy; ConnectionError with the proxy's text when it is refused."""
    if replay.proxy is None:
        return socket.create_connection((address, port), timeout=30)
    proxy = urllib.parse.urlsplit(replay.proxy)
    raw = socket.create_connection((proxy.hostname, proxy.port), timeout=30)
    raw.sendall(f'CONNECT {address}:{port} HTTP/1.1\r\n\r\n'.encode())
    head = b''
    while b'\r\n\r\n' not in head:
        head += raw.recv(1)
    if not head.startswith(b'HTTP/1.1 200'):
        body = raw.makefile('rb').read().decode()
        raw.close()
        raise ConnectionError(body)
    return raw


def context(replay):
    own = yaml.safe_load(replay.talosconfig)
    own = {key: base64.b64decode(value) for key, value in own['contexts'][own['context']].items() if key in ('ca', 'crt', 'key')}
    tls = ssl.create_default_context(cadata=own['ca'].decode())
    tls.set_alpn_protocols(['h2'])
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / 'client.pem'
        path.write_bytes(own['crt'] + own['key'].replace(b' ED25519 ', b' '))
        tls.load_cert_chain(path)
    return tls


def _call(secure, authority, method, request, metadata):
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding='utf-8'))
    connection.initiate_connection()
    connection.increment_flow_control_window(32 * 1024 * 1024)
    pseudo = [(':method', 'POST'), (':scheme', 'https'), (':path', method), (':authority', authority)]
    connection.send_headers(1, [*pseudo, ('content-type', 'application/grpc'), ('te', 'trailers'), *metadata])
    connection.send_data(1, struct.pack('>BI', 0, len(request)) + request, end_stream=True)
    secure.sendall(connection.data_to_send())
    answer, data = Answer(), b''
    while not answer.ended:
        try:
            received = secure.recv(65536)
        except TimeoutError:
            break
        for event in connection.receive_data(received) if received else [h2.events.StreamEnded(1)]:
            if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                headers = dict(event.headers)
                if 'grpc-status' in headers:
                    answer.code = int(headers['grpc-status'])
                    answer.message = urllib.parse.unquote(headers.get('grpc-message', ''))
            elif isinstance(event, h2.events.DataReceived):
                data += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, h2.events.StreamEnded):
                answer.ended = True
        secure.sendall(connection.data_to_send())
    while data:
        length = struct.unpack_from('>BI', data)[1]
        answer.messages.append(data[5 : 5 + length])
        data = data[5 + length :]
    return answer
