# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that accept a connection and then misbehave. All take C(tls), C(host) and C(port) as every server of the bed."""

from __future__ import annotations

import asyncio
import socket

from tests.bed.tls import SecureProtocol, SecureServer


class Silent(SecureServer):
    """Accepts, and never says a word; with C(tls), never says one after the handshake."""


class _Closes(SecureProtocol):
    def opened(self):
        self.close()


class Closes(SecureServer):
    """Accepts and closes at once, as a load balancer without a backend; with C(tls), after the handshake."""

    protocol = _Closes


class _PlainHttp(SecureProtocol):
    def received(self, data):
        self.write(b'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 11\r\nConnection: close\r\n\r\nBad Request')
        self.close()


class PlainHttp(SecureServer):
    """Answers anything with an HTTP/1.1 error, as a web server that is spoken to in TLS; with C(tls), one that is no gRPC."""

    protocol = _PlainHttp


class Deaf:
    """Takes no connection and refuses none: who dials hears nothing, as behind a firewall that drops packets.

    A port whose queue is full: Linux drops what comes then, and the client tries again until it gives up.
    """

    def __init__(self, host='127.0.0.1', port=0):
        self.host = host
        self.port = port
        self._sockets = []

    async def start(self):
        family = socket.AF_INET6 if ':' in self.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(0)
        self.port = listener.getsockname()[1]
        filler = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(filler)
        filler.setblocking(False)
        await asyncio.get_running_loop().sock_connect(filler, (self.host, self.port))

    async def stop(self):
        for each in reversed(self._sockets):
            each.close()
