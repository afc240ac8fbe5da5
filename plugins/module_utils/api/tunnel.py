# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS between grpcio and the Talos API: unix sockets on this side, TLS connections on the other.

The TLS stack inside grpcio cannot verify Ed25519 certificates, which Talos makes, and does not say how connecting
failed. Here the connection stands, and the certificate is known, before grpcio sees a socket.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import struct
import tempfile
import threading
import time
from concurrent.futures import CancelledError

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TransportError
from ansible_collections.talosops.talos.plugins.module_utils.api.handshake import Dialer

# How long a connection may take that grpcio asks for anew, in seconds.
RECONNECT = 10.0

_PATH_LIMIT = 100
_DESCRIPTORS = '/proc/self/fd'
_SAFE_PATH = re.compile(r'[A-Za-z0-9/._+~-]+')


class _Pipe(asyncio.Protocol):
    """One end of a tunnel. What arrives goes to C(other); a full other end stops the reading here."""

    def __init__(self, link):
        self.link = link
        self.transport = None
        self.other = None
        self.closed = False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.other.transport.write(data)

    def pause_writing(self):
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self):
        if self.other is not None and not self.other.closed:
            self.other.transport.resume_reading()

    def connection_lost(self, exc):
        self.closed = True
        if self.other is not None:
            self.other.transport.close()


class _Remote(_Pipe):
    """The TLS end. Until grpcio is there it keeps the first words of the server and stops reading."""

    def __init__(self, link):
        super().__init__(link)
        self.words = b''
        self.heard = asyncio.get_running_loop().create_future()
        self.error = None

    def data_received(self, data):
        if not self.heard.done():
            self.heard.set_result(True)
        if self.other is not None:
            self.other.transport.write(data)
            return
        self.words += data
        self.transport.pause_reading()

    def connection_lost(self, exc):
        self.error = exc
        if not self.heard.done():
            self.heard.set_result(False)
        self.link.lost(self)
        super().connection_lost(exc)

    def attach(self, local):
        self.other, local.other = local, self
        if self.words:
            local.transport.write(self.words)
            self.words = b''
        self.transport.resume_reading()
        local.transport.resume_reading()


class _Local(_Pipe):
    """The end to grpcio."""

    def connection_made(self, transport):
        self.transport = transport
        if not _is_own(transport.get_extra_info('socket')):
            transport.abort()
            return
        transport.pause_reading()
        self.link.accept(self)

    def data_received(self, data):
        self.link.written += len(data)
        self.other.transport.write(data)


def _is_own(sock):
    """Whether the other side of a unix socket is this process, where the system tells."""
    if not hasattr(socket, 'SO_PEERCRED'):
        return True
    pid, _uid, _gid = struct.unpack('3i', sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize('3i')))
    return pid == os.getpid()


class Link:
    """The way to one endpoint.

    C(path) is the unix socket that leads there; C(certificate) the facts of what is served; C(address) the IP address
    that was connected to, None behind a proxy. C(alive): a TLS connection stands. C(failure) is the L(TransportError)
    that ended the last one, C(losses) how many were lost, C(written) how many bytes went out.
    """

    def __init__(self, dialer, endpoint, path):
        self.endpoint = endpoint
        self.path = path
        self.certificate = None
        self.address = None
        self.failure = None
        self.losses = 0
        self.written = 0
        self._dialer = dialer
        self._remote = None
        self._server = None
        self._tasks = set()
        self._closed = False

    @property
    def alive(self):
        return self._remote is not None and not self._remote.closed

    async def open(self, deadline):
        """Connect, then listen on the unix socket. Raises L(TransportError)."""
        self._remote = await self._connect(deadline)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Local(self), self.path)

    async def _connect(self, deadline):
        remote, self.certificate, self.address = await self._dialer.connect(self.endpoint, lambda: _Remote(self), deadline)
        return remote

    def accept(self, local):
        """grpcio is there: it gets the connection that stands, or a new one."""
        if self.alive and self._remote.other is None:
            self._remote.attach(local)
            return
        task = asyncio.get_running_loop().create_task(self._reconnect(local))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reconnect(self, local):
        try:
            remote = await self._connect(time.monotonic() + RECONNECT)
        except TransportError as error:
            self.failure = error
            self.losses += 1
            local.transport.abort()
            return
        if local.closed or self._closed:
            remote.transport.abort()
            return
        self._remote, self.failure = remote, None
        remote.attach(local)

    def lost(self, remote):
        """A connection of this link has ended; when grpcio closed it, that is no loss."""
        if remote is not self._remote or self._closed or (remote.other is not None and remote.other.closed):
            return
        self.losses += 1
        why = f' ({remote.error})' if remote.error else ''
        name = self.endpoint.text
        self.failure = TransportError(f'{name} broke the connection off{why}.', 'reset', name, self.certificate)

    def close(self):
        """Close the connections at once."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._server is not None:
            self._server.close()
        for pipe in (self._remote, self._remote and self._remote.other):
            if pipe is not None and not pipe.closed:
                pipe.transport.abort()


class Tunnels:
    """Context manager; everything it opened goes with it.

    C(talosconfig) is a Context; C(proxy) as in api/proxy.py; C(tmp_dir) is where the directory of the sockets is made.
    Raises L(ConfigError) for credentials that OpenSSL refuses.
    """

    def __init__(self, talosconfig, proxy=None, tmp_dir=None):
        self._links = []
        self._names = 0
        self._directory, self._called, self._descriptor = _private_directory(tmp_dir)
        try:
            self._dialer = Dialer(talosconfig, self._directory, proxy)
        except BaseException:
            self._remove()
            raise
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._thread = threading.Thread(target=self._run, name='talos-tunnel', daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    @property
    def handshakes(self):
        """How many TLS handshakes were begun."""
        return self._dialer.handshakes

    def open(self, endpoint, timeout):
        """A L(Link) whose TLS connection stands. Raises L(TransportError), or L(ConfigError) for an unusable proxy."""
        return self._call(self._open(endpoint, time.monotonic() + timeout))

    def look(self, endpoint, timeout):
        """Facts of the certificate that an endpoint serves, without verifying it and without sending anything.

        Raises L(TransportError) when there is none to be seen.
        """
        return self._call(self._dialer.look(endpoint, time.monotonic() + timeout))

    def close(self):
        """Close everything; safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._call(self._close())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._remove()

    def _remove(self):
        if self._descriptor is not None:
            os.close(self._descriptor)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _run(self):
        self._loop.run_forever()
        self._loop.close()

    def _call(self, coroutine):
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise _closed() from None
        try:
            return future.result()
        except CancelledError:
            raise _closed() from None
        except BaseException:
            future.cancel()
            raise

    async def _open(self, endpoint, deadline):
        self._names += 1
        link = Link(self._dialer, endpoint, os.path.join(self._called, str(self._names)))
        await link.open(deadline)
        self._links.append(link)
        return link

    async def _close(self):
        for link in self._links:
            link.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets the transports that were aborted close their sockets


def _closed():
    return TransportError('The connection was closed on this side.', 'other')


def _private_directory(tmp_dir):
    """C((directory of mode 0700, what to call it, descriptor or None)), so that its sockets have paths that a unix socket can have.

    Where its own path will not do (too long, or with characters that grpcio does not understand), Linux lets this process
    call it by a descriptor; elsewhere the system's temporary directory has to do, which nobody clears after a SIGKILL.
    """
    for parent in (tmp_dir, tempfile.gettempdir(), '/tmp'):
        if not parent or not os.path.isdir(parent):
            continue
        directory = tempfile.mkdtemp(prefix='talos-', dir=parent)
        path = os.path.join(directory, '0' * 6)
        if len(os.fsencode(path)) < _PATH_LIMIT and _SAFE_PATH.fullmatch(path):
            return directory, directory, None
        if os.path.isdir(_DESCRIPTORS):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            return directory, f'{_DESCRIPTORS}/{descriptor}', descriptor
        os.rmdir(directory)
    raise TransportError('There is no directory with a path short enough for a socket.', 'other', hint='Set TMPDIR to a short path.')
