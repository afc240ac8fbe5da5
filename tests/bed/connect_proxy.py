# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP CONNECT proxy that maps addresses, so that servers on loopback are reached under other names."""

from __future__ import annotations

import asyncio
import base64
import contextlib


class ConnectProxy:
    """C(routes) maps 'host:port' as asked (IPv6 in brackets) to (host, port), or to a text: the 502 body of a failed dial.

    What is not in C(routes) is refused with 502 and C(refusal). With C(credentials) ('user:password') a request without
    them gets 407. C(asked) lists what was asked, in order; C(url) is what a client takes as its proxy.
    """

    def __init__(self, routes=None, host='127.0.0.1', port=0, credentials=None, refusal='dial tcp {}: connect: connection refused'):
        self.routes = dict(routes or {})
        self.host = host
        self.port = port
        self.credentials = credentials
        self.refusal = refusal
        self.asked = []
        self._listener = None
        self._tasks = set()

    @property
    def url(self):
        return f'http://{self.host}:{self.port}'

    async def start(self):
        self._listener = await asyncio.start_server(self._client, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self):
        self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listener.wait_closed()

    async def _client(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client is gone, or the proxy stops
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader, writer):
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
        try:
            far_reader, far_writer = await asyncio.open_connection(*route)
        except OSError as error:
            await _answer(writer, '502 Bad Gateway', f'dial tcp {target}: {error.strerror}')
            return
        try:
            writer.write(b'HTTP/1.1 200 Connection established\r\n\r\n')
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            far_writer.transport.abort()


async def _pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _answer(writer, status, text, headers=''):
    body = text.encode()
    headers += f'Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n'
    writer.write(f'HTTP/1.1 {status}\r\n{headers}\r\n'.encode() + body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
