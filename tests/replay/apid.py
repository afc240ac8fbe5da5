# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the apid of a recorded machine answers."""

from __future__ import annotations

import ipaddress

from tests.bed.grpc_server import INTERNAL, INVALID_ARGUMENT, PERMISSION_DENIED, UNAVAILABLE, UNIMPLEMENTED, Status

PORT = 50000


def handler(said, machine):
    """The handler of C(machine) for a GrpcServer; C(said) is the Recording."""

    async def answer(call):
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

    return answer


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
    if not node or (':' in node and not is_ip(node)):
        raise Status(INTERNAL, f'invalid target "{node}"')
    subject = said.machine(node)
    if subject is not machine and not machine.control_plane:
        raise Status(PERMISSION_DENIED, 'no request forwarding')
    if subject is None and is_ip(node):
        target = f'[{node}]:{PORT}' if ':' in node else f'{node}:{PORT}'
        dialling = f'transport: Error while dialing: dial tcp {target}: connect: no route to host'
        raise Status(UNAVAILABLE, f'connection error: desc = "{dialling}"')
    if subject is None:
        raise Status(UNAVAILABLE, 'name resolver error: produced zero addresses')
    return subject


def is_ip(text):
    """Whether a text is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
