# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP load balancer."""

from __future__ import annotations

import asyncio
import contextlib


class Balancer:
    """Plain TCP from one port to several, one connection each in turn; without targets it closes what it accepts.

    C(targets()) lists the (host, port) that are in use now. With C(checked) one that refuses is passed over; else whoever
    is sent there is cut off.
    """

    def __init__(self, targets, checked=True, host='127.0.0.1', port=0):
        self.targets = targets
        self.checked = checked
        self.host = host
        self.port = port
        self._next = 0
        self._tasks = set()

    async def start(self):
        self._listener = await asyncio.start_server(self._client, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self):
        self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _client(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        try:
            far = await self._far_end()
            if far:
                far_reader, far_writer = far
                try:
                    await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
                finally:
                    far_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # one side is gone, or the balancer stops
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _far_end(self):
        """A connection to the next target, None when there is none."""
        targets = self.targets()
        first, self._next = self._next, self._next + 1
        for offset in range(len(targets) if self.checked else min(1, len(targets))):
            target = targets[(first + offset) % len(targets)]
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(*target)
        return None


async def _pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()
