# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP CONNECT proxy that maps addresses, so that servers on loopback are reached under other names."""

from __future__ import annotations

import base64
import contextlib

from tests.bed.tcp import TcpServer, both_ways, connected


class ConnectProxy(TcpServer):
    """C(routes) maps 'host:port' as asked (IPv6 in brackets) to (host, port), or to a text: the 502 body of a failed dial.

    What is not in C(routes) is refused with 502 and C(refusal). With C(credentials) ('user:password') a request without
    them gets 407. C(asked) lists what was asked, in order; C(url) is what a client takes as its proxy.
    """

    def __init__(self, routes=None, host='127.0.0.1', port=0, credentials=None, refusal='dial tcp {}: connect: connection refused'):
        super().__init__(host, port)
        self.routes = dict(routes or {})
        self.credentials = credentials
        self.refusal = refusal
        self.asked = []

    @property
    def url(self):
        return f'http://{self.host}:{self.port}'

    async def serve(self, reader, writer):
        head = (await reader.readuntil(b'\r\n\r\n')).decode('latin-1').split('\r\n')
        method, target, _version = (head[0].split(' ') + ['', ''])[:3]
        headers = {name.strip().lower(): value.strip() for name, _colon, value in (line.partition(':') for line in head[1:])}
        if method != 'CONNECT':
            await _answer(writer, '405 Method Not Allowed', 'this proxy serves CONNECT only')
            return
        self.asked.append(target)
        if self.credentials and headers.get('proxy-authorization') != 'Basic ' + base64.b64encode(self.credentials.encode()).decode():
            await _answer(writer, '407 Proxy Authentication Required', 'credentials, please', 'Proxy-Authenticate: Basic realm="bed"\r\n')
            return
        route = self.routes.get(target, self.refusal.format(target))
        if isinstance(route, str):
            await _answer(writer, '502 Bad Gateway', route)
            return
        async with contextlib.AsyncExitStack() as stack:
            try:
                far = await stack.enter_async_context(connected(*route))
            except OSError as error:
                await _answer(writer, '502 Bad Gateway', f'dial tcp {target}: {error.strerror}')
                return
            writer.write(b'HTTP/1.1 200 Connection established\r\n\r\n')
            await both_ways((reader, writer), far)


async def _answer(writer, status, text, headers=''):
    body = text.encode()
    headers += f'Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n'
    writer.write(f'HTTP/1.1 {status}\r\n{headers}\r\n'.encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
