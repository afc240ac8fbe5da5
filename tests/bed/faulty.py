# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that accept a connection and then misbehave. All take C(tls), C(host) and C(port) as every server of the bed."""

from __future__ import annotations

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
