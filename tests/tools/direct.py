# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's client in the process of the simulated cluster: connections and their TLS are real, calls go to the machine at once.

HTTP/2 and TLS of each call cost more than what is asked for; without them a hundred machines are read in seconds. A call that a machine
will not answer before the deadline misses it after an instant, and only such a call does.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import TimeoutError as NotDone

from ansible_collections.talosops.talos.plugins.module_utils.api import connection as channels
from ansible_collections.talosops.talos.plugins.module_utils.api import status
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access
from tests.bed.grpc_server import INTERNAL, Status
from tests.bed.pauses import Missed, expect

_SENT_EVERY = 64
_MISSED_AFTER = 0.2
_PATIENCE = 6  # a simulated machine that says nothing of waiting is only as slow as this process


@contextlib.contextmanager
def calls(cluster):
    """While it lasts every Client's calls on this cluster's machines are made so."""
    before = channels.Connection
    patience = 1 if cluster.model.state['etcd'].get('real') else _PATIENCE

    class Connection(before):
        """A connection of which only the calls are another's business."""

        def unary(self, method, request, timeout, metadata, asked):
            answers = list(self.stream(method, request, timeout, metadata, asked))
            assert answers, f'{method} ended well, but without an answer'
            return answers[0]

        def stream(self, method, request, timeout, metadata, asked):
            node = cluster.model.node_at(self.address)
            if node is None or not self.alive:  # behind a balancer
                yield from before.stream(self, method, request, timeout, metadata, asked)
                return
            call = _Call(method, request, metadata, cluster.client_certificate)
            failed = None
            running = asyncio.run_coroutine_threadsafe(_answer(cluster.handler(node), call, timeout), cluster.loop)
            try:
                running.result(timeout * patience)
            except (NotDone, Missed):
                running.cancel()
                failed = 'DEADLINE_EXCEEDED', 'Deadline Exceeded'
            except Status as error:
                failed = status.name_of(error.code), error.message
            yield from call.sent
            if failed:
                raise status.error(*failed, method, self._asked_of(metadata), asked, bool(metadata))

    channels.Connection = Connection
    try:
        yield
    finally:
        channels.Connection = before


def gather(cluster, deadline=60, **wanted):
    """The Snapshot of a simulated cluster; C(deadline) is that of a small one in seconds, C(wanted) what is read of it (access.gather)."""
    found = access.find({'talosconfig': str(cluster.directory / 'talosconfig')})
    patience = 1 + len(cluster.nodes) / 20  # a large cluster's machines share this process with who asks them
    return access.gather({'access': found, 'timeout': 10 * patience, 'deadline': deadline * patience, 'proxy': cluster.proxy}, None, **wanted)


async def _answer(handler, call, timeout):
    expect(timeout)
    try:
        await handler(call)
    except Missed:
        await asyncio.sleep(_MISSED_AFTER)
        raise


class _Call:
    """What a handler sees of a call (tests/bed/grpc_server.py)."""

    def __init__(self, method, request, metadata, peer):
        self.method = method
        self.peer = peer
        self.sent = []
        self._request = request
        self._metadata = metadata

    async def request(self):
        return self._request

    def values(self, key):
        return [value for name, value in self._metadata if name == key]

    async def send(self, message):
        self.sent.append(message)
        if len(self.sent) % _SENT_EVERY == 0:
            await asyncio.sleep(0)

    async def reset(self):
        raise Status(INTERNAL, 'stream terminated by RST_STREAM with error code: INTERNAL_ERROR')
