# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports of a cluster: which are open follows from its state, again whenever that changes."""

from __future__ import annotations

import asyncio
import sys
import traceback

from tests.bed import pki
from tests.bed.faulty import Deaf, Silent
from tests.bed.grpc_server import GrpcServer
from tests.bed.https_server import HttpsServer
from tests.simulator.apid import Apid
from tests.simulator.forwarder import Forwarder
from tests.simulator.kubernetes import KubernetesApi
from tests.simulator.resources import kubernetes_names
from tests.simulator.scenario import ScenarioError

API_PORT = 50000
_TICK = 0.02


class Listeners:
    """Serves a model; C(start) and C(stop) as a server of the bed has them, on its loop.

    C(routes), where given, learns where an address really is: then everything is on free ports of 127.0.0.1.
    """

    def __init__(self, model, routes=None):
        self._model = model
        self._routes = routes
        self._servers = {}
        self._handlers = {}
        self._certificates = {}
        self._lock = asyncio.Lock()

    async def start(self):
        await self.settle()
        self._ticker = asyncio.ensure_future(self._tick())

    async def stop(self):
        self._ticker.cancel()
        for _owner, _kind, server in self._servers.values():
            await server.stop()

    def of(self, name, kind=GrpcServer):
        """The servers of a machine, of one kind."""
        return [server for owner, _kind, server in self._servers.values() if owner == name and isinstance(server, kind)]

    async def _tick(self):
        while True:
            await asyncio.sleep(_TICK)
            try:
                self._model.timeline.run()
                if self._model.dirty:
                    await self.settle()
            except Exception:
                traceback.print_exc(file=sys.stderr)

    async def settle(self):
        """Open and close what the state asks for, with the certificates that it asks for."""
        async with self._lock:
            self._model.dirty = False
            wanted = self._wanted()
            for place, (owner, kind, server) in list(self._servers.items()):
                if wanted.get(place, (None, None))[::-1] != (kind, self._model.machines.get(owner)):
                    del self._servers[place]
                    await server.stop()
            for place, (node, kind) in wanted.items():
                if place not in self._servers:
                    await self._listen(node, kind, *place)
                elif kind not in (Deaf, Forwarder) and not node.frozen:
                    self._servers[place][2].tls = self._tls(node, kind)
            for node in self._model.machines.values():
                if node.frozen:
                    for server in self.of(node.name) + self.of(node.name, HttpsServer):
                        server.protocol, server.tls = Silent.protocol, None
                    for server in self.of(node.name, Forwarder):
                        server.frozen = True

    def _wanted(self):
        """{(address, port): (machine, class of its server)}."""
        wanted = {}
        for node in self._model.machines.values():
            if not node.reachable:
                continue
            addresses = [node.address] + ([self._model.vip] if node.holds_vip else [])
            kind = None if node.faults.closed else Deaf if node.faults.black_hole else GrpcServer
            for address in addresses:
                if kind:
                    wanted[address, API_PORT] = node, kind
        for node in self._model.control_planes:
            if self._model.kubernetes_api(node) == 'up':
                for address in [node.address] + ([self._model.vip] if node.holds_vip and self._model.vip != self._model.balancer_address else []):
                    wanted[address, self._model.kubernetes_port] = node, Forwarder if self._model.control_plane else HttpsServer
        return {place: (node, self._for_client(kind)) for place, (node, kind) in wanted.items() if self._for_client(kind)}

    def _for_client(self, kind):
        """What the control node finds at an API server's place: setup.api_server_for_client; None where it is refused."""
        met = self._model.setup.get('api_server_for_client') if kind in (Forwarder, HttpsServer) else None
        return {None: kind, 'dropped': Deaf, 'refused': None}[met]

    async def _listen(self, node, kind, address, port):
        if kind is Forwarder:
            server = Forwarder(self._model.control_plane.place)
        else:
            server = Deaf() if kind is Deaf else kind(self.handler(node, kind), self._tls(node, kind))
        server.host, server.port = (address, port) if self._routes is None else ('127.0.0.1', 0)
        try:
            await server.start()
        except OSError as error:
            raise ScenarioError(f'{address}:{port} cannot be served: {error.strerror or error}.') from error
        self._servers[address, port] = node.name, kind, server
        if self._routes is not None:
            host = f'[{address}]' if ':' in address else address
            self._routes[f'{host}:{port}'] = (server.host, server.port)

    def handler(self, node, kind):
        """What answers the calls of a machine's server of this kind."""
        if (node.name, kind) not in self._handlers:
            self._handlers[node.name, kind] = Apid(node) if kind is GrpcServer else KubernetesApi(node)
        return self._handlers[node.name, kind]

    def _tls(self, node, kind):
        """What this machine serves: a new certificate when its names or dates are others."""
        facts = _api_facts(node) if kind is GrpcServer else kubernetes_names(node)
        if self._certificates.get((node.name, kind), (None, None))[0] != facts:
            make = self._api_tls if kind is GrpcServer else self._kubernetes_tls
            self._certificates[node.name, kind] = facts, make(node, *facts)
        return self._certificates[node.name, kind][1]

    def _api_tls(self, node, hostname, dns, ips, not_before, not_after):
        authority = pki.Authority('talos') if node.faults.wrong_ca else self._model.talos_authority
        return pki.server_context(authority.server(hostname, dns, ips, not_before=not_before, not_after=not_after), authority)

    def _kubernetes_tls(self, _node, dns, ips):
        identity = self._model.kubernetes_authority.issue('kube-apiserver', ['kube-master'], dns=dns, ips=ips, hours=24 * 365)
        return pki.server_context(identity, self._model.kubernetes_authority, client='optional', alpn=('http/1.1',), check_time=False)


def _api_facts(node):
    return node.hostname, node.san_dns, node.san_ips, *node.certificate_dates
