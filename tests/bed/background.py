# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""An asyncio loop in a thread of its own, that hosts servers for blocking tests."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class Background:
    """Context manager; on leaving, every server that it serves is stopped and every task cancelled."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name='bed', daemon=True)
        self._servers = []

    def _main(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        try:
            self.run(self._shut_down())
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()

    async def _shut_down(self):
        for server in reversed(self._servers):
            with contextlib.suppress(Exception):
                await server.stop()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.loop.shutdown_asyncgens()

    def run(self, coroutine, timeout=None):
        """Run a coroutine on the loop and return its result; for threads other than the loop's."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def serve(self, server):
        """Start C(server) and return it; it is stopped when the context ends."""
        self.run(server.start())
        self._servers.append(server)
        return server

    def stop(self, server):
        """Stop one server early: its port refuses, its connections are closed."""
        self._servers.remove(server)
        self.run(server.stop())
