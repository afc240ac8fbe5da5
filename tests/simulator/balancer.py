# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP load balancer."""

from __future__ import annotations

import contextlib

from tests.bed.tcp import TcpServer, both_ways, connected


class Balancer(TcpServer):
    """Plain TCP from one port to several, one connection each in turn; without targets it closes what it accepts.

    C(targets()) lists the (host, port) that are in use now. With C(checked) one that refuses is passed over; else whoever
    is sent there is cut off.
    """

    def __init__(self, targets, checked=True, host='127.0.0.1', port=0):
        super().__init__(host, port)
        self.targets = targets
        self.checked = checked
        self._next = 0

    async def serve(self, reader, writer):
        async with contextlib.AsyncExitStack() as stack:
            far = await self._far_end(stack)
            if far:
                await both_ways((reader, writer), far)

    async def _far_end(self, stack):
        """A connection to the next target, None when there is none; C(stack) cuts it."""
        targets = self.targets()
        first, self._next = self._next, self._next + 1
        for offset in range(len(targets) if self.checked else min(1, len(targets))):
            target = targets[(first + offset) % len(targets)]
            with contextlib.suppress(OSError):
                return await stack.enter_async_context(connected(*target))
        return None
