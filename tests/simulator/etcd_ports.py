# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports under which the members of a real etcd reach each other: a forwarder of ours before each, which can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import sys
from pathlib import Path

from tests.simulator.scenario import ScenarioError

CLIENT_PORT, PEER_PORT = 2379, 2380
# Where etcd itself listens, at the same address.
OWN = {CLIENT_PORT: 12379, PEER_PORT: 12380}
_CHUNK = 256 * 1024
_SOCKET = re.compile(r'socket:\[(\d+)\]')


class Network:
    """Who is cut off: C(cut) are names of members, C(pids()) gives {name: process id}. Make and change it on the forwarders' loop."""

    def __init__(self, pids):
        self.pids = pids
        self.cut = set()
        self._changed = asyncio.Event()

    async def change(self, name, is_cut):
        """Cut a member off, or let it be reached again."""
        (self.cut.add if is_cut else self.cut.discard)(name)
        self._changed.set()
        self._changed = asyncio.Event()

    async def clear(self, connection):
        """Wait until nobody at the ends of a connection is cut off."""
        while self.cut and not self.cut.isdisjoint(connection.members(self.pids())):
            await self._changed.wait()


class Ports:
    """The forwarders of one member, as a server of the bed.

    While a member is cut off its connections stay open, and nothing passes: packets are dropped, nothing is refused.
    """

    def __init__(self, name, address, network):
        self.name = name
        self.address = address
        self._network = network
        self._servers = []
        self._open = set()

    async def start(self):
        for port, own in OWN.items():
            try:
                self._servers.append(await asyncio.start_server(lambda *ends, own=own: self._forward(own, *ends), self.address, port))
            except OSError as error:
                await self.stop()
                raise ScenarioError(f'{self.address}:{port} cannot be served for etcd: {error.strerror or error}.') from error

    async def stop(self):
        for server in self._servers:
            server.close()
        for _turn in range(10):  # what was accepted just now has its task begin
            await asyncio.sleep(0)
        self._servers = []
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _forward(self, own, reader, writer):
        task = asyncio.current_task()
        self._open.add(task)
        ends = [writer]
        try:
            near, far = await asyncio.open_connection(self.address, own)
            ends.append(far)
            connection = _Connection(self.name, writer)
            await _until_one_ends(self._pass(reader, far, connection), self._pass(near, writer, connection))
        except (OSError, asyncio.CancelledError):
            pass  # nobody listens there, one end is gone, or these ports are closed
        finally:
            self._open.discard(task)
            for end in ends:
                end.transport.abort()

    async def _pass(self, reader, writer, connection):
        while data := await reader.read(_CHUNK):
            await self._network.clear(connection)
            writer.write(data)
            await writer.drain()


class _Connection:
    """A connection to a member, and from whom it is."""

    def __init__(self, owner, writer):
        self._owner = owner
        self._ends = writer.get_extra_info('peername')[:2], writer.get_extra_info('sockname')[:2]
        self._members = None

    def members(self, pids):
        """The members at its ends; who opened it is looked up once, when it matters."""
        if self._members is None:
            caller = process_of(self._ends, pids.values())
            self._members = {self._owner, *(name for name, pid in pids.items() if pid == caller)}
        return self._members


async def _until_one_ends(*passing):
    tasks = [asyncio.ensure_future(one) for one in passing]
    try:
        done, _running = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def process_of(ends, pids):
    """Which of these processes opened a TCP connection, C(ends) being (address, port) of its own and of the other end; None: none of them."""
    wanted = [_hex(*end) for end in ends]
    table = Path('/proc/self/net/tcp6' if ':' in ends[0][0] else '/proc/self/net/tcp')
    for line in table.read_text(encoding='ascii').splitlines()[1:]:
        fields = line.split()
        if fields[1:3] == wanted:
            return next((pid for pid in pids if fields[9] in _sockets(pid)), None)
    return None


def _sockets(pid):
    """The inodes of a process's sockets."""
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in os.scandir(f'/proc/{pid}/fd'):
            with contextlib.suppress(OSError):
                match = _SOCKET.match(os.readlink(descriptor.path))
                if match:
                    found.add(match[1])
    return found


def _hex(address, port):
    """An end as /proc/net/tcp writes it: words of the address in the order of this machine's bytes."""
    packed = ipaddress.ip_address(address).packed
    words = [packed[at:at + 4] for at in range(0, len(packed), 4)]
    return ''.join((word[::-1] if sys.byteorder == 'little' else word).hex().upper() for word in words) + f':{port:04X}'
