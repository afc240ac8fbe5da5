# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""How handlers wait: as long as they say, unless the caller is known to have given up by then."""

from __future__ import annotations

import asyncio
import contextvars
import math

_deadline = contextvars.ContextVar('deadline', default=math.inf)


class Missed(Exception):
    """The handler would answer after its caller's deadline, or never."""


def expect(seconds):
    """Let this task know when its caller gives up: what waits longer raises Missed at once."""
    _deadline.set(seconds)


async def pause(seconds):
    """Wait; raises Missed where the caller gives up before that."""
    deadline = _deadline.get()
    if deadline < math.inf and seconds >= deadline:
        raise Missed
    if seconds == math.inf:
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


async def forever():
    """Never returns; ends by cancellation when the client gives up, goes away, or the server stops."""
    await pause(math.inf)
