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

from tests.bed.tcp import TcpServer, both_ways, connected
from tests.simulator.scenario import ScenarioError

CLIENT_PORT, PEER_PORT = 2379, 2380
# Where etcd itself listens, at the same address.
OWN = {CLIENT_PORT: 12379, PEER_PORT: 12380}
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


class Port(TcpServer):
    """One port of a member.

    While a member is cut off its connections stay open, and nothing passes: packets are dropped, nothing is refused.
    """

    def __init__(self, name, address, port, network):
        super().__init__(address, port)
        self._name = name
        self._own = OWN[port]
        self._network = network

    async def start(self):
        try:
            await super().start()
        except OSError as error:
            raise ScenarioError(f'{self.host}:{self.port} cannot be served for etcd: {error.strerror or error}.') from error

    async def serve(self, reader, writer):
        async with connected(self.host, self._own) as far:
            connection = _Connection(self._name, writer)
            await both_ways((reader, writer), far, lambda: self._network.clear(connection))


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
