# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's port behind which a real program listens elsewhere: bytes pass as they are, until the machine stands still."""

from __future__ import annotations

import asyncio

from tests.bed.tcp import TcpServer, both_ways, connected


class Forwarder(TcpServer):
    """TCP to C(target), a (host, port). While C(frozen) connections are accepted, stay open, and nothing passes."""

    def __init__(self, target, host='127.0.0.1', port=0):
        super().__init__(host, port)
        self.target = target
        self.frozen = False

    async def serve(self, reader, writer):
        async with connected(*self.target) as far:
            await both_ways((reader, writer), far, self._clear)

    async def _clear(self):
        if self.frozen:
            await asyncio.get_running_loop().create_future()
