# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small blocking gRPC client on h2, so that the simulator is tested without the collection's own client."""

from __future__ import annotations

import base64
import socket
import ssl
import struct
import tempfile
import time
import urllib.parse

import h2.config
import h2.connection
import h2.events
import yaml

from tests.simulator.schema import MESSAGES


class Caller:
    """C(Caller(talosconfig text, address))(method, request bytes, metadata) -> (messages, code, text)."""

    def __init__(self, talosconfig, address, port=50000, server_name=None):
        document = yaml.safe_load(talosconfig)
        context = document['contexts'][document['context']]
        tls = ssl.create_default_context(cadata=base64.b64decode(context['ca']).decode())
        tls.set_alpn_protocols(['h2'])
        with tempfile.NamedTemporaryFile(suffix='.pem') as file:
            file.write(base64.b64decode(context['crt']))
            file.write(base64.b64decode(context['key']).replace(b'ED25519 PRIVATE', b'PRIVATE'))
            file.flush()
            tls.load_cert_chain(file.name)
        self._socket = tls.wrap_socket(socket.create_connection((address, port)), server_hostname=server_name or address)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding='utf-8'))
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(2**24)
        self._send()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._socket.close()

    def _send(self):
        try:
            self._socket.sendall(self._h2.data_to_send())
        except OSError:
            self._socket.recv(1)  # the alert that says why, where it is not lost
            raise

    def __call__(self, method, request=b'', metadata=(), until=None):
        """C(until): seconds after which the call is given up; the code is None then, and when the stream was reset."""
        stream = self._h2.get_next_available_stream_id()
        headers = [(':method', 'POST'), (':scheme', 'https'), (':path', method), (':authority', 'simulated:50000'),
                   ('content-type', 'application/grpc'), ('te', 'trailers'), *metadata]
        self._h2.send_headers(stream, headers)
        self._h2.send_data(stream, struct.pack('>BI', 0, len(request)) + request, end_stream=True)
        self._send()
        body, trailers, ended = bytearray(), {}, False
        deadline = time.monotonic() + until if until else None
        while not ended:
            if deadline is not None:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._socket.settimeout(left)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                break
            for event in self._h2.receive_data(data):
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)) and event.stream_id == stream:
                    trailers.update(event.headers)
                elif isinstance(event, h2.events.DataReceived) and event.stream_id == stream:
                    body += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)) and event.stream_id == stream:
                    ended = True
            self._send()
            if not data:
                raise ConnectionResetError
        self._socket.settimeout(None)
        code = int(trailers['grpc-status']) if 'grpc-status' in trailers else None
        return _messages(body), code, urllib.parse.unquote(trailers.get('grpc-message', ''))

    def machine(self, method, request=None, response=None, **options):
        """A unary method of MachineService: the decoded messages; asserts OK. C(request) is (schema name, mapping)."""
        data = MESSAGES.encode(*request) if request else b''
        messages, code, text = self(f'/machine.MachineService/{method}', data, **options)
        assert code == 0, text
        return MESSAGES.decode(response or f'{method}Response', messages[0])['messages']

    def resources(self, resource_type, namespace, **options):
        """A COSI List: [{metadata, spec: {proto_spec, yaml_spec}}]; asserts OK."""
        request = MESSAGES.encode('cosi.List', {'namespace': namespace, 'type': resource_type})
        messages, code, text = self('/cosi.resource.State/List', request, **options)
        assert code == 0, text
        return [MESSAGES.decode('cosi.ListResponse', message)['resource'] for message in messages]

    def specs(self, resource_type, namespace, **options):
        """A COSI List: {id: spec from its YAML}."""
        return {one['metadata']['id']: yaml.safe_load(one['spec']['yaml_spec']) for one in self.resources(resource_type, namespace, **options)}


def _messages(body):
    messages, at = [], 0
    while at < len(body):
        length = struct.unpack_from('>I', body, at + 1)[0]
        messages.append(bytes(body[at + 5:at + 5 + length]))
        at += 5 + length
    return messages
