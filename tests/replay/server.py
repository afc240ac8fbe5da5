# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves a recorded cluster: every machine's apid, and the Kubernetes API.

What is served are the recorded bytes. Only the certificates are made anew, with the recorded names and addresses and as
old as they were when recorded, so that a replay does not age. A port that refused has no listener, one that timed out
never answers. What was not recorded is refused: anything else would be a statement about the cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from tests.bed import pki
from tests.bed.background import Background
from tests.bed.connect_proxy import ConnectProxy
from tests.bed.faulty import Closes, Silent
from tests.bed.grpc_server import INTERNAL, INVALID_ARGUMENT, PERMISSION_DENIED, UNAVAILABLE, UNIMPLEMENTED, GrpcServer, Status
from tests.bed.https_server import HttpsServer
from tests.replay import recording

APID = 50000
KUBERNETES = 6443
_KEYS = {'Ed25519': 'ed25519', 'ECDSA': 'ecdsa', 'RSA': 'rsa'}
# Parameters with which the answer is the one that was recorded without them, or may be.
_HARMLESS = {'limit', 'pretty', 'resourceVersion', 'resourceVersionMatch', 'timeout', 'timeoutSeconds', 'verbose'}


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
    them; for a port that refused, the proxy answers 502 with the recorded text. Without, they are on the recorded
    addresses themselves, which must be local (tests/bed/netns.py).
    """
    said = recording.load(set_name)
    authority = pki.Authority('talos')
    control_planes = [machine.address for machine in said.machines if machine.control_plane]
    text = pki.talosconfig(set_name, control_planes, authority, authority.client(said.roles))
    with Background() as background, tempfile.TemporaryDirectory(prefix='replay-') as directory:
        servers, refusals = {}, {}
        for (address, port), made in _listeners(said, authority):
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


def _listeners(said, authority):
    """((address, port), server or text of the refusal) for every recorded port."""
    kubernetes_authority = said.kubernetes_authority() or pki.Authority('kubernetes', key='ecdsa')
    for machine in said.machines:
        for address in machine.addresses:
            handler = _apid(said, machine)
            yield (address, APID), _listener(machine.ports[APID], GrpcServer, handler, authority, alpn=('h2',))
        if machine.control_plane:
            yield (machine.address, KUBERNETES), _kubernetes_listener(said, machine.address, machine.ports[KUBERNETES], kubernetes_authority)
    for address, ports in said.shared.items():
        if KUBERNETES in ports and _is_ip(address):
            yield (address, KUBERNETES), _kubernetes_listener(said, address, ports[KUBERNETES], kubernetes_authority)


def _listener(entry, server, handler, authority, alpn, client='required'):
    error = entry.get('error', '')
    if not error:
        identity = _identity(entry, authority)
        return server(handler, tls=pki.server_context(identity, authority, client=client, alpn=alpn, check_time=False))
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


def _apid(said, machine):
    """The handler of one machine's apid."""

    async def handler(call):
        metadata = {key: tuple(call.values(key)) for key in ('node', 'nodes') if call.values(key)}
        requests = tuple([message async for message in call.requests()])
        found = said.exact(machine.address, metadata, call.method, requests)
        if not found:
            subject = _subject(said, machine, metadata, call.method)
            found = said.about(subject, 'node' in metadata, call.method, requests)
        if not found:
            raise Status(UNIMPLEMENTED, 'not recorded')
        if found.responses:
            await call.send(*found.responses)
        if found.endless:
            await call.forever()
        raise Status(found.code, found.message)

    return handler


def _subject(said, machine, metadata, method):
    """The machine that a call is about, by apid's rules (talos-api 3.1, 3.3), or the Status with which apid refuses."""
    if 'nodes' in metadata:
        if method.startswith('/cosi.'):
            raise Status(INVALID_ARGUMENT, f'one-2-many proxying is not supported for method {method}')
        raise Status(UNIMPLEMENTED, 'not recorded')
    nodes = metadata.get('node', (machine.address,))
    if len(nodes) > 1:
        raise Status(INVALID_ARGUMENT, 'node metadata must be single-valued')
    node = nodes[0]
    if not node or (':' in node and not _is_ip(node)):
        raise Status(INTERNAL, f'invalid target "{node}"')
    subject = said.machine(node)
    if subject is not machine and not machine.control_plane:
        raise Status(PERMISSION_DENIED, 'no request forwarding')
    if subject is None and _is_ip(node):
        target = f'[{node}]:{APID}' if ':' in node else f'{node}:{APID}'
        raise Status(UNAVAILABLE, f'connection error: desc = "transport: Error while dialing: dial tcp {target}: connect: no route to host"')
    if subject is None:
        raise Status(UNAVAILABLE, 'name resolver error: produced zero addresses')
    return subject


def _kubernetes_listener(said, address, entry, authority):
    """The API server at an address. Where the recorder got no kubeconfig it serves, and says that nothing was recorded."""
    own = [answer for answer in said.kubernetes if urlsplit(answer['server']).hostname == address]
    if own and all('error' in answer for answer in own):
        entry = own[0]
    return _listener(entry, HttpsServer, _kubernetes_api(said, own), authority, alpn=('http/1.1',), client='optional')


def _kubernetes_api(said, own):
    """The handler of the API server whose own answers are C(own)."""
    # A list is the same from every server; health is each server's own.
    others = [answer for answer in said.kubernetes if answer not in own and not _path(answer['path'])[0].endswith('z')]

    async def handler(request):
        if request.peer is None:
            return _status(401, 'Unauthorized', 'Unauthorized')
        if request.method != 'GET':
            return _status(501, 'NotImplemented', 'not recorded')
        for answer in own + others:
            if _path(answer['path']) == _path(request.path):
                if 'error' in answer:
                    await asyncio.get_running_loop().create_future()
                body = answer['body'] if isinstance(answer['body'], str) else json.dumps(answer['body'])
                return answer['http_status'], answer['content_type'], body.encode()
        return _status(501, 'NotImplemented', 'not recorded')

    return handler


def _path(path):
    """A path and its parameters, as far as they choose what is answered."""
    parts = urlsplit(path)
    return parts.path, {name: value for name, value in parse_qsl(parts.query) if name not in _HARMLESS}


def _status(code, reason, message):
    body = {'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Failure', 'message': message, 'reason': reason, 'code': code}
    return code, 'application/json', json.dumps(body).encode()


def _is_ip(text):
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
