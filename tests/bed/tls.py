# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection of a server, with TLS or without, as an asyncio protocol.

Not asyncio's own TLS: that closes a connection whose client certificate is refused without sending the alert, by which
a client can tell what was wrong.
"""

from __future__ import annotations

import asyncio
import ssl

_CHUNK = 65536


class SecureProtocol(asyncio.Protocol):
    """Subclasses implement C(opened), C(received) and C(closed).

    C(server) has C(tls) (an SSLContext, or None for plain text; read anew for each connection), C(connections) (a set),
    and the counters C(accepted) and C(handshakes).
    """

    def __init__(self, server):
        self.server = server
        self.peer = None
        self.transport = None
        self.writable = asyncio.Event()
        self.writable.set()
        self._tls = None
        self._open = False

    def opened(self):
        """The handshake is done; C(self.peer) is the client's certificate as DER, or None."""

    def received(self, data):
        """Bytes from the client."""

    def closed(self):
        """The connection is gone; called only after C(opened)."""

    def connection_made(self, transport):
        self.transport = transport
        self.server.connections.add(self)
        self.server.accepted += 1
        if self.server.tls is None:
            self._open = True
            self.opened()
            return
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = self.server.tls.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def data_received(self, data):
        if self._tls is None:
            self.received(data)
            return
        self._incoming.write(data)
        try:
            if not self._open:
                self._tls.do_handshake()
                self._open = True
                self.server.handshakes += 1
                self.peer = self._tls.getpeercert(binary_form=True)
                self._flush()
                self.opened()
            while not self.transport.is_closing():
                data = self._tls.read(_CHUNK)
                if not data:
                    self.close()
                    break
                self.received(data)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:
            self._flush()
            self.transport.close()

    def write(self, data):
        """Queue bytes for the client; await C(self.writable.wait()) now and then when there are many."""
        if self.transport.is_closing():
            return
        if self._tls is None:
            self.transport.write(data)
            return
        try:
            self._tls.write(data)
        except ssl.SSLError:
            self.transport.close()
            return
        self._flush()

    def close(self):
        """Close in good order: close_notify, what is queued, then FIN."""
        if self._tls is not None and self._open:
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass
            self._flush()
        self.transport.close()

    def abort(self):
        """Close at once with a reset."""
        self.transport.abort()

    def _flush(self):
        data = self._outgoing.read()
        if data and not self.transport.is_closing():
            self.transport.write(data)

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    def connection_lost(self, _error):
        self.server.connections.discard(self)
        self.writable.set()
        if self._open:
            self._open = False
            self.closed()


class SecureServer:
    """A listening port whose connections are C(protocol)s. C(port) 0 takes a free one; C(host) may be IPv6."""

    protocol = SecureProtocol

    def __init__(self, tls=None, host='127.0.0.1', port=0):
        self.tls = tls
        self.host = host
        self.port = port
        self.connections = set()
        self.accepted = 0
        self.handshakes = 0
        self._listener = None

    @property
    def address(self):
        """C(host:port), an IPv6 host in brackets."""
        return f'[{self.host}]:{self.port}' if ':' in self.host else f'{self.host}:{self.port}'

    async def start(self):
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: self.protocol(self), self.host, self.port, reuse_address=True)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self):
        """Refuse new connections and cut those that there are, as a machine that is switched off."""
        self._listener.close()
        for connection in list(self.connections):
            connection.abort()
        await self._listener.wait_closed()
