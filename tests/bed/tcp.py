# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""TCP ports behind which bytes are passed on."""

from __future__ import annotations

import asyncio
import contextlib

_CHUNK = 256 * 1024
# So many turns of the loop later what was accepted just now has its task, and that has begun.
_TURNS = 10


class TcpServer:
    """A server of the bed with a task for each connection. What that does a subclass says in C(serve(reader, writer)), which ends when a side is gone."""

    def __init__(self, host='127.0.0.1', port=0):
        self.host = host
        self.port = port
        self._tasks = set()

    async def start(self):
        """Raises OSError where the port cannot be had."""
        self._listener = await asyncio.start_server(self._client, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self):
        """Refuse new connections and cut those that there are, as a machine that is switched off."""
        for each in self._listener.sockets:  # asyncio cannot take a connection that it accepts while it closes
            asyncio.get_running_loop().remove_reader(each)
        for _turn in range(_TURNS):
            await asyncio.sleep(0)
        self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            await self.serve(reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # one side is gone or talks nonsense, or the server stops
        finally:
            self._tasks.discard(task)
            writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(host, port):
    """(reader, writer) of a connection that is cut when the block ends. Raises OSError."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def both_ways(near, far, clear=None):
    """Pass on what comes from either of two (reader, writer), until both have ended; C(clear()) is waited for before each part."""
    await asyncio.gather(_pump(near[0], far[1], clear), _pump(far[0], near[1], clear))


async def _pump(reader, writer, clear):
    while data := await reader.read(_CHUNK):
        if clear:
            await clear()
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
