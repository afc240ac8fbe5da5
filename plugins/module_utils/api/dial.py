# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an endpoint to a connected socket: names, several addresses, the proxy, and how each of them fails."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading

from ansible_collections.talosops.talos.plugins.module_utils.api import proxy as http_proxy
from ansible_collections.talosops.talos.plugins.module_utils.api.endpoint import is_ip, join
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TransportError

# Each further address of a name is tried as well after so many seconds, the earlier ones going on.
STAGGER = 0.25

_NO_ROUTE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EHOSTDOWN)
_RESET = (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)


class _ProxyRefused(OSError):
    """The proxy answered, but not with a tunnel."""


async def addresses(loop, host, port):
    """The socket addresses of a host: [(family, sockaddr)]. Raises socket.gaierror.

    In a thread of its own that nobody waits for: a resolver that hangs must not keep the process from ending.
    """
    if is_ip(host):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    else:
        future = loop.create_future()

        def done(result, error):
            if not future.done():
                future.set_exception(error) if error else future.set_result(result)

        def look_up():
            result = error = None
            try:
                result = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as caught:
                error = caught if isinstance(caught, OSError) else socket.gaierror(socket.EAI_NONAME, str(caught))
            try:
                loop.call_soon_threadsafe(done, result, error)
            except RuntimeError:
                pass  # the loop has been closed meanwhile

        threading.Thread(target=look_up, name='talos-resolve', daemon=True).start()
        found = await future
    return list(dict.fromkeys((family, sockaddr) for family, _type, _protocol, _name, sockaddr in found))


async def first_connected(loop, candidates, endpoint, proxy=None):
    """(socket, candidate) of the first address that accepts; each gets a head start of L(STAGGER).

    The addresses are the proxy's when there is one; the socket then leads through it to the endpoint. Raises the
    OSError of the first candidate when all fail.
    """
    errors, running, waiting = {}, {}, list(candidates)
    try:
        while waiting or running:
            if waiting:
                candidate = waiting.pop(0)
                running[loop.create_task(_connect(loop, candidate, endpoint, proxy))] = candidate
            done, _pending = await asyncio.wait(running, timeout=STAGGER if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                candidate = running.pop(task)
                if task.exception() is None:
                    return task.result(), candidate
                errors[candidate] = task.exception()
        raise errors[candidates[0]]
    finally:
        for task in running:
            task.cancel()
        for result in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(result, socket.socket):
                result.close()


async def _connect(loop, candidate, endpoint, proxy):
    family, sockaddr = candidate
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, sockaddr)
        refusal = await http_proxy.connect(loop, sock, proxy, endpoint) if proxy else None
        if refusal:
            raise _ProxyRefused(refusal)
    except BaseException:
        sock.close()
        raise
    return sock


def failure(error, endpoint, proxy=None):
    """The L(TransportError) of an OSError on the way to a connected socket."""
    if proxy is not None:
        return _proxy_failure(error, endpoint, proxy)
    name, hint = endpoint.text, None
    if isinstance(error, socket.gaierror):
        kind, text = 'resolve', f'The name {endpoint.host} of the endpoint {name} does not resolve: {error.strerror or error}.'
    elif isinstance(error, ConnectionRefusedError):
        kind, text = 'refused', f'{name} refuses connections on port {endpoint.port}.'
        hint = 'The Talos API is not running there, or this is not a Talos node.'
    elif isinstance(error, TimeoutError):
        kind, text = 'timeout', f'{name} does not answer on port {endpoint.port}.'
        hint = 'A firewall drops the packets, or the machine is off.'
    elif error.errno in _NO_ROUTE:
        kind, text = 'no_route', f'There is no route to {name} ({_said(error)}).'
        hint = 'The machine is off, or this host is not in a network that reaches it.'
    elif error.errno in _RESET:
        kind, text = 'reset', f'{name} broke the connection off.'
    else:
        kind, text = 'other', f'{name} cannot be connected to: {_said(error)}.'
    return TransportError(text, kind, name, hint=hint)


def _said(error):
    """asyncio words the errors of connecting in a way of its own; the system's is better known."""
    return os.strerror(error.errno) if error.errno else str(error)


def _proxy_failure(error, endpoint, proxy):
    if isinstance(error, _ProxyRefused):
        text = f'gave no tunnel to {endpoint.authority}: it {error}'
    elif isinstance(error, socket.gaierror):
        text = f'has a name that does not resolve: {error.strerror or error}'
    elif isinstance(error, TimeoutError):
        text = 'does not answer, or has no answer from there'
    elif error.errno in _RESET:
        text = 'breaks the connection off'
    else:
        text = f'cannot be connected to: {_said(error)}'
    text = f'{endpoint.text} is not reached: the proxy {proxy.text} {text}.'
    hint = f'Check that {join(proxy.host, proxy.port)} is an HTTP proxy that allows CONNECT.'
    return TransportError(text, 'proxy', endpoint.text, hint=hint)
