# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTPS server (HTTP/1.1, keep-alive) with client certificates, for a Kubernetes API."""

from __future__ import annotations

import asyncio
import http
import sys
import traceback
from dataclasses import dataclass

from tests.bed.tls import SecureProtocol, SecureServer


@dataclass(frozen=True)
class Request:
    """C(path) includes the query; header names are lower-case; C(peer) is the client's certificate as DER or None."""

    method: str
    path: str
    headers: dict
    body: bytes
    peer: bytes | None
    endpoint: tuple


class _Connection(SecureProtocol):
    def opened(self):
        self._buffer = bytearray()
        self._more = asyncio.Event()
        self._task = asyncio.ensure_future(self._serve())

    def received(self, data):
        self._buffer += data
        self._more.set()

    def closed(self):
        self._task.cancel()

    async def _until(self, wanted):
        while not wanted():
            self._more.clear()
            await self._more.wait()

    async def _serve(self):
        while not self.transport.is_closing():
            await self._until(lambda: b'\r\n\r\n' in self._buffer)
            head, _blank, rest = bytes(self._buffer).partition(b'\r\n\r\n')
            first, *lines = head.decode('latin-1').split('\r\n')
            headers = {name.strip().lower(): value.strip() for name, _colon, value in (line.partition(':') for line in lines)}
            method, path, _version = (first.split(' ') + ['', ''])[:3]
            self._buffer = bytearray(rest)
            length = int(headers.get('content-length', 0))
            await self._until(lambda: len(self._buffer) >= length)
            body = bytes(self._buffer[:length])
            del self._buffer[:length]
            request = Request(method, path, headers, body, self.peer, (self.server.host, self.server.port))
            self.server.requests.append(request)
            try:
                status, content_type, content = await self.server.handler(request)
            except Exception:
                traceback.print_exc(file=sys.stderr)
                status, content_type, content = 500, 'text/plain', b'the handler of this server failed'
            self._answer(status, content_type, content, close=headers.get('connection', '').lower() == 'close')

    def _answer(self, status, content_type, content, close):
        phrase = http.HTTPStatus(status).phrase
        connection = 'Connection: close\r\n' if close else ''
        head = f'HTTP/1.1 {status} {phrase}\r\nContent-Type: {content_type}\r\nContent-Length: {len(content)}\r\n{connection}\r\n'
        self.write(head.encode() + content)
        if close:
            self.close()


class HttpsServer(SecureServer):
    """C(HttpsServer(handler, tls=pki.server_context(identity, authority, alpn=('http/1.1',)))).

    The handler is C(async def handler(request: Request) -> (status, content type, body bytes)); one that never returns
    never answers. C(requests) lists what was asked. C(tls) None is plain HTTP.
    """

    protocol = _Connection

    def __init__(self, handler, tls=None, host='127.0.0.1', port=0):
        super().__init__(tls, host, port)
        self.handler = handler
        self.requests = []
