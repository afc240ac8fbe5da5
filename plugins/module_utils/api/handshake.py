# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an endpoint to a TLS connection that the server has accepted, or to the exact reason why there is none."""

from __future__ import annotations

import asyncio
import ssl
import time

from ansible_collections.talosops.talos.plugins.module_utils.api import certificate, dial, tls
from ansible_collections.talosops.talos.plugins.module_utils.api import proxy as http_proxy

# A Talos server speaks first, so that a refused client certificate shows before anything is sent (a broken pipe would
# hide the alert, talos-api 2). One that waits to be spoken to is spoken to after so many seconds.
LISTEN = 1.0
# A connection that is cut before a word is said may have lost the alert: it is tried again.
ATTEMPTS = 3

_FRAME_HEAD = 9
_SETTINGS = 4


class Dialer:
    """Makes connections by the credentials of a Context; C(handshakes) counts the TLS handshakes it began.

    C(directory) is a private one; C(proxy) as in api/proxy.py. Raises L(ConfigError) for unusable credentials.
    """

    def __init__(self, talosconfig, directory, proxy=None):
        self.talosconfig = talosconfig
        self.handshakes = 0
        self._proxy = proxy
        self._context = tls.context(talosconfig, directory)
        self._looking = tls.unverified_context()

    async def connect(self, endpoint, factory, deadline):
        """(protocol, facts of the served certificate, IP address or None behind a proxy) of a connection over which the
        server was heard, or which stood silent for L(LISTEN) seconds.

        C(factory()) makes a protocol with C(heard), a future of whether words came before the end, C(words), the first
        of them, and C(error), what ended it. C(deadline) is by time.monotonic(). Raises L(TransportError).
        """
        for _attempt in range(ATTEMPTS):
            protocol, address = await self._handshake(endpoint, factory, deadline)
            secured = protocol.transport.get_extra_info('ssl_object')
            served = _served(secured)
            if secured.selected_alpn_protocol() != 'h2':
                protocol.transport.abort()
                raise tls.not_grpc(endpoint, served, 'it does not speak HTTP/2')
            await asyncio.wait([protocol.heard], timeout=max(0.0, min(LISTEN, deadline - time.monotonic())))
            if not protocol.heard.done() or protocol.heard.result():
                if len(protocol.words) >= _FRAME_HEAD and protocol.words[3] != _SETTINGS:
                    protocol.transport.abort()
                    raise tls.not_grpc(endpoint, served, 'it does not speak HTTP/2')
                return protocol, served, address
            if isinstance(protocol.error, ssl.SSLError):
                raise tls.after_handshake(protocol.error, endpoint, served, self.talosconfig)
        raise tls.cut_off(endpoint, served, self.talosconfig)

    async def look(self, endpoint, deadline):
        """Facts of the certificate that an endpoint serves, without verifying it. Raises L(TransportError)."""
        protocol, _address = await self._handshake(endpoint, _Silent, deadline, self._looking)
        served = _served(protocol.transport.get_extra_info('ssl_object'))
        protocol.transport.abort()
        return served

    async def _handshake(self, endpoint, factory, deadline, context=None):
        """(protocol, address) after the handshake, with the first address of a name that comes so far."""
        proxy = http_proxy.choose(endpoint, self._proxy, self.talosconfig.proxy_url)
        loop, first_failure = asyncio.get_running_loop(), None
        try:
            async with asyncio.timeout_at(deadline):
                candidates = await dial.addresses(loop, *((proxy.host, proxy.port) if proxy else (endpoint.host, endpoint.port)))
        except OSError as error:
            raise dial.failure(error, endpoint, proxy) from None
        while candidates:
            try:
                async with asyncio.timeout_at(deadline):
                    sock, used = await dial.first_connected(loop, candidates, endpoint, proxy)
            except OSError as error:
                raise first_failure or dial.failure(error, endpoint, proxy) from None
            candidates.remove(used)
            now = time.monotonic()
            share = now + (deadline - now) / (1 + len(candidates))
            try:
                return await self._secure(loop, sock, context or self._context, factory, endpoint, share), None if proxy else used[1][0]
            except ssl.SSLCertVerificationError as error:
                failure = tls.unverified(error, endpoint, await self._served_at(loop, used, endpoint, proxy, deadline))
            except ssl.SSLError as error:
                failure = tls.in_handshake(error, endpoint)
            except OSError as error:
                failure = tls.broken_off(error, endpoint)
            first_failure = first_failure or failure
        raise first_failure

    async def _secure(self, loop, sock, context, factory, endpoint, deadline):
        self.handshakes += 1
        async with asyncio.timeout_at(deadline):
            _transport, protocol = await loop.create_connection(
                factory, sock=sock, ssl=context, server_hostname=tls.server_name(endpoint.host),
                ssl_handshake_timeout=3600, ssl_shutdown_timeout=1,
            )
        return protocol

    async def _served_at(self, loop, candidate, endpoint, proxy, deadline):
        """Facts of the certificate that could not be verified: only a second handshake shows it. None when that fails."""
        try:
            async with asyncio.timeout_at(deadline):
                sock, _used = await dial.first_connected(loop, [candidate], endpoint, proxy)
            protocol = await self._secure(loop, sock, self._looking, _Silent, endpoint, deadline)
        except OSError:
            return None
        served = _served(protocol.transport.get_extra_info('ssl_object'))
        protocol.transport.abort()
        return served


class _Silent(asyncio.Protocol):
    transport = None

    def connection_made(self, transport):
        self.transport = transport


def _served(secured):
    der = secured.getpeercert(binary_form=True)
    try:
        return certificate.facts(der) if der else None
    except ValueError:
        return None
