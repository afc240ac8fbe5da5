# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls on simulated machines without a network, so that they keep the recorded addresses."""

from __future__ import annotations

import asyncio

from tests.bed import pki
from tests.bed.grpc_server import Status
from tests.simulator import scenario
from tests.simulator.apid import Apid
from tests.simulator.kubernetes import kubeconfig
from tests.simulator.model import Model

# The cluster of the recordings as a scenario.
RECORDED = {
    'id': 'rt',
    'versions': {'talos': 'v1.13.9', 'kubernetes': 'v1.36.3'},
    'topology': {'cp': {'cp1': '10.5.0.2', 'cp2': '10.5.0.3', 'cp3': '10.5.0.4'}, 'workers': {'w1': '10.5.0.5'}},
    'network': {'endpoint': 'https://10.5.0.100:6443', 'vip': '10.5.0.100', 'vip_holder': 'cp1'},
    'etcd': {'members': {'cp1': 'c3d3020cf75b8728', 'cp2': '7cbd04be7b64070a', 'cp3': 'd389152f7e017226'}, 'leader': 'cp1'},
    'uptime': '5m',
}


class Bench:
    """The machines of a state, each with its API handler; C(roles) are those of the caller's certificate."""

    def __init__(self, state=None, platform='container', roles=('os:admin',)):
        self.model = Model(scenario.from_state(RECORDED if state is None else state), platform=platform, loopback=False)
        self.handlers = {node.address: Apid(node) for node in self.model.nodes.values()}
        authority = pki.Authority('kubernetes', key='ecdsa')
        self.model.kubeconfig = lambda: kubeconfig(
            self.model.name, self.model.state['network']['endpoint'], authority, authority.issue('admin', ['system:masters']))
        self._peer = pki.Authority().client(roles).der

    def __call__(self, endpoint, method, request=b'', metadata=(), within=20):
        """(messages, code, text); code None when the call had not ended after so many seconds."""
        return asyncio.run(self._call(endpoint, method, request, metadata, within))

    async def _call(self, endpoint, method, request, metadata, within):
        call = _Call(method, request, metadata, self._peer)
        try:
            await asyncio.wait_for(self.handlers[endpoint](call), within)
        except Status as status:
            return call.sent, status.code, status.message
        except asyncio.TimeoutError:
            return call.sent, None, ''
        return call.sent, 0, ''


class _Call:
    def __init__(self, method, request, metadata, peer):
        self.method, self.peer, self.sent = method, peer, []
        self._request, self._metadata = request, metadata

    async def request(self):
        return self._request

    def values(self, key):
        return [value for name, value in self._metadata if name == key]

    async def send(self, message):
        self.sent.append(message)

    async def forever(self):
        await asyncio.get_running_loop().create_future()
