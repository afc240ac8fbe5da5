# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves a recorded cluster: every machine's apid, and the Kubernetes API.

What is served are the recorded bytes. Only the certificates are made anew, with the recorded names and addresses and as
old as they were when recorded, so that a replay does not age. A port that refused has no listener, one that timed out
never answers. What was not recorded is refused: anything else would be a statement about the cluster.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from tests.bed import pki
from tests.bed.background import Background
from tests.bed.connect_proxy import ConnectProxy
from tests.bed.faulty import Closes, Silent
from tests.bed.grpc_server import GrpcServer
from tests.bed.https_server import HttpsServer
from tests.replay import apid, kubernetes, recording

_KEYS = {'Ed25519': 'ed25519', 'ECDSA': 'ecdsa', 'RSA': 'rsa'}


@dataclass(frozen=True)
class Replay:
    """A cluster that is being served.

    C(talosconfig) is a text, C(path) the file that holds it; C(proxy) the URL of the proxy by which the recorded
    addresses are reached, or None where they are local; C(servers) maps (address, port) to the server behind it.
    """

    recording: recording.Recording
    talosconfig: str
    path: str
    proxy: str | None
    servers: dict


@contextlib.contextmanager
def serve(set_name, local=True):
    """Serve a recorded set while the context lasts; gives a L(Replay).

    With C(local) all listeners are on free ports of 127.0.0.1, and C(Replay.proxy) leads from the recorded addresses to
    them; for a port that refused, the proxy answers 502 with the recorded text, which the client classifies as kind
    C(proxy), not C(refused). Without, they are on the recorded addresses themselves, which must be local
    (tests/bed/netns.py), and a machine that is off is C(refused).
    """
    said = recording.load(set_name)
    authority = pki.Authority('talos')
    control_planes = [machine.address for machine in said.machines if machine.control_plane]
    text = pki.talosconfig(set_name, control_planes, authority, authority.client(said.roles))
    with Background() as background, tempfile.TemporaryDirectory(prefix='replay-') as directory:
        servers, refusals = {}, {}
        for (address, port), made in _Ports(said, authority):
            if isinstance(made, str):
                refusals[f'{address}:{port}'] = made
            else:
                made.host, made.port = ('127.0.0.1', 0) if local else (address, port)
                servers[address, port] = background.serve(made)
        proxy = None
        if local:
            routes = {f'{address}:{port}': (server.host, server.port) for (address, port), server in servers.items()}
            proxy = background.serve(ConnectProxy({**refusals, **routes})).url
        path = Path(directory) / 'talosconfig'
        path.touch(mode=0o600)
        path.write_text(text)
        yield Replay(said, text, str(path), proxy, servers)


class _Ports:
    """The listeners of a recorded cluster, by address and port; a text where the recorded port refused."""

    def __init__(self, said, authority):
        self._said = said
        self._authority = authority
        self._kubernetes_authority = said.kubernetes_authority() or pki.Authority('kubernetes', key='ecdsa')
        self._identities = {}

    def __iter__(self):
        for machine in self._said.machines:
            for address in machine.addresses:
                yield (address, apid.PORT), self._apid(machine)
            if machine.control_plane:
                yield (machine.address, kubernetes.PORT), self._kubernetes(machine.address, machine.ports[kubernetes.PORT])
        for address, ports in self._said.shared.items():
            if kubernetes.PORT in ports and apid.is_ip(address):
                yield (address, kubernetes.PORT), self._kubernetes(address, ports[kubernetes.PORT])

    def _apid(self, machine):
        entry = machine.ports[apid.PORT]
        if 'error' in entry:
            return _failing(entry['error'])
        return GrpcServer(apid.handler(self._said, machine), tls=self._tls(entry, self._authority, ('h2',), 'required'))

    def _kubernetes(self, address, entry):
        """Where the recorder got no kubeconfig the server is there all the same, and says that nothing was recorded."""
        own = kubernetes.answers_of(self._said, address)
        if own and all('error' in answer for answer in own):
            entry = own[0]
        if 'error' in entry:
            return _failing(entry['error'])
        tls = self._tls(entry, self._kubernetes_authority, ('http/1.1',), 'optional')
        return HttpsServer(kubernetes.handler(self._said, address), tls=tls)

    def _tls(self, entry, authority, alpn, client):
        """One certificate for all addresses under which the same one was recorded.

        The client certificate in the recorded kubeconfig grows old, so the Kubernetes API does not look at its dates.
        """
        if entry['serial'] not in self._identities:
            self._identities[entry['serial']] = _identity(entry, authority)
        return pki.server_context(self._identities[entry['serial']], authority, client=client, alpn=alpn, check_time=client == 'required')


def _failing(error):
    """What stands for a port that could not be dialled: a server that misbehaves likewise, or the text of the refusal."""
    if 'timeout' in error or 'deadline' in error:
        return Silent()
    if 'refused' in error or 'no route' in error or 'unreachable' in error:
        return error
    return Closes()


def _identity(entry, authority):
    """A certificate with the recorded fields, as old as it was when it was recorded."""
    now = datetime.now(timezone.utc)
    recorded, not_before, not_after = (datetime.fromisoformat(entry[key]) for key in ('at', 'not_before', 'not_after'))
    subject = [part.partition('=') for part in entry['subject'].split(',')]
    return authority.issue(
        next((value for key, _equals, value in subject if key == 'CN'), None),
        [value for key, _equals, value in subject if key == 'O'],
        dns=entry['dns_sans'],
        ips=entry['ip_sans'],
        key=_KEYS[entry['key_algorithm']],
        not_before=now - (recorded - not_before),
        not_after=now + (not_after - recorded),
    )
