# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's port behind which a real program listens elsewhere: bytes pass as they are, until the machine stands still."""

from __future__ import annotations

import asyncio
import contextlib

_CHUNK = 65536


class Forwarder:
    """TCP to C(target), a (host, port). While C(frozen) connections are accepted, stay open, and nothing passes."""

    def __init__(self, target, host='127.0.0.1', port=0):
        self.target = target
        self.host = host
        self.port = port
        self.frozen = False
        self._open = set()

    async def start(self):
        self._server = await asyncio.start_server(self._serve, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self):
        """Refuse new connections and cut those that there are, as a machine that is switched off."""
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._open.add(task)
        ends = [writer]
        try:
            near, far = await asyncio.open_connection(*self.target)
            ends.append(far)
            await asyncio.gather(self._pass(reader, far), self._pass(near, writer))
        except (OSError, asyncio.CancelledError):
            pass  # nobody listens there, one end is gone, or the port is closed
        finally:
            self._open.discard(task)
            for end in ends:
                end.transport.abort()

    async def _pass(self, reader, writer):
        while data := await reader.read(_CHUNK):
            if self.frozen:
                await asyncio.get_running_loop().create_future()
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
