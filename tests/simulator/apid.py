# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of a machine: who calls, which machine is meant, whether it can be reached (talos-api 2.3 and 3)."""

from __future__ import annotations

import asyncio
import ipaddress
import time

from tests.bed import pki
from tests.bed.grpc_server import INTERNAL, INVALID_ARGUMENT, OK, PERMISSION_DENIED, UNAVAILABLE, UNIMPLEMENTED, Status
from tests.bed.pauses import forever
from tests.simulator import cosi, machine, rbac
from tests.simulator.faults import ANYWHERE, StreamReset
from tests.simulator.protobuf import append_message, raw_fields
from tests.simulator.schema import MESSAGES

_STATE = 'cosi.resource.State'
_AGGREGATED = (
    '/machine.MachineService/', '/cluster.ClusterService/', '/inspect.InspectService/', '/storage.StorageService/', '/time.TimeService/',
)
_CODES = {
    2: 'Unknown', 3: 'InvalidArgument', 4: 'DeadlineExceeded', 5: 'NotFound', 7: 'PermissionDenied', 12: 'Unimplemented', 13: 'Internal',
    14: 'Unavailable',
}
NO_ROUTE_AFTER = 3.0
_BACK_OFF = 15.0


class Apid:
    """The handler of one machine's port 50000."""

    def __init__(self, node):
        self.node = node
        self._failed_dials = {}

    async def __call__(self, call):
        if self.node.frozen:
            await forever()
        self.node.model.timeline.run()
        request = await call.request() or b''
        roles = set(pki.roles(call.peer))
        one, many = call.values('node'), call.values('nodes')
        if many:
            await self._many(call, request, roles, many)
        elif not one:
            try:
                await serve(self.node, call.method, request, roles, call.send)
            except StreamReset:
                await call.reset()
        elif len(one) > 1:
            raise Status(INVALID_ARGUMENT, 'node metadata must be single-valued')
        else:
            target = await self._dial(one[0])
            await serve(target, call.method, request, roles, call.send)

    def _is_self(self, target):
        return target == self.node.hostname or target in [prefix.split('/')[0] for prefix in self.node.routed]

    async def _dial(self, target):
        """The machine that answers on this name or address; a Status with the words of the endpoint's gRPC library else."""
        if not self.node.control_plane:
            if self._is_self(target):
                return self.node
            raise Status(PERMISSION_DENIED, 'no request forwarding')
        if not target or _has_port(target):
            raise Status(INTERNAL, f'invalid target "{target}"')
        found = self.node.model.node_at(target) if _is_address(target) else self.node.model.node_named(target)
        if found is None and not _is_address(target):
            raise Status(UNAVAILABLE, 'name resolver error: produced zero addresses')
        if found is None:
            await self._no_route(target)
        address = target if _is_address(target) else found.address
        if not found.reachable or found.faults.closed == ANYWHERE:
            raise _unavailable(f'transport: Error while dialing: dial tcp {_bracketed(address)}:50000: connect: connection refused')
        if found.frozen or found.faults.black_hole == ANYWHERE:
            await forever()
        self._verify(found, target)
        return found

    async def _no_route(self, target):
        """The first dial takes three seconds, those in the back-off after it fail at once (rec)."""
        if time.monotonic() - self._failed_dials.get(target, -_BACK_OFF) >= _BACK_OFF:
            await asyncio.sleep(NO_ROUTE_AFTER)
            self._failed_dials[target] = time.monotonic()
        raise _unavailable(f'transport: Error while dialing: dial tcp {_bracketed(target)}:50000: connect: no route to host')

    def _verify(self, found, target):
        """The endpoint verifies the certificate against the name that it was given (talos-api 3.1)."""
        not_before, not_after = found.certificate_dates
        now = self.node.model.clock.now()
        text = None
        if not not_before <= now <= not_after:
            which, limit = ('before', not_before) if now < not_before else ('after', not_after)
            text = f'certificate has expired or is not yet valid: current time {now:%Y-%m-%dT%H:%M:%SZ} is {which} {limit:%Y-%m-%dT%H:%M:%SZ}'
        elif _is_address(target) and target not in found.san_ips:
            text = (f'certificate is valid for {", ".join(found.san_ips)}, not {target}' if found.san_ips else
                    f"cannot validate certificate for {target} because it doesn't contain any IP SANs")
        elif found.faults.wrong_ca:
            text = ('certificate signed by unknown authority (possibly because of "x509: Ed25519 verification failure" while trying to verify '
                    'candidate authority certificate "talos")')
        if text:
            raise _unavailable(f'transport: authentication handshake failed: tls: failed to verify certificate: x509: {text}')

    async def _many(self, call, request, roles, targets):
        """Aggregation: OK in any case, failures inside the messages, in the order of arrival (talos-api 3.2)."""
        if self.node.minor >= 13 and not call.method.startswith(_AGGREGATED):
            raise Status(INVALID_ARGUMENT, f'one-2-many proxying is not supported for method {call.method}')
        if call.method.startswith('/cosi.'):
            raise Status(INVALID_ARGUMENT, 'one-2-many proxying is not supported for COSI methods')
        if not self.node.control_plane and not (len(targets) == 1 and self._is_self(targets[0])):
            raise Status(PERMISSION_DENIED, 'no request forwarding')
        stream = call.method.rsplit('/', 1)[-1] in rbac.STREAMS
        collected = []

        async def one(target):
            async def send(message):
                metadata = MESSAGES.encode('Metadata', {'hostname': target})
                if stream:
                    await call.send(append_message(message, 1, metadata))
                else:
                    collected.extend(append_message(part, 1, metadata) for _number, _type, part in raw_fields(message))

            try:
                await serve(await self._dial(target), call.method, request, roles, send)
            except Status as status:
                error = f'rpc error: code = {_CODES.get(status.code, status.code)} desc = {status.message}'
                metadata = {'hostname': target, 'error': error, 'status': {'code': status.code, 'message': status.message}}
                message = append_message(b'', 1, MESSAGES.encode('Metadata', metadata))
                if stream:
                    await call.send(message)
                else:
                    collected.append(message)

        await asyncio.gather(*(one(target) for target in targets))
        if not stream:
            await call.send(b''.join(append_message(b'', 1, part) for part in collected))


async def serve(node, path, request, roles, send):
    """One call on the machine that was meant. Raises Status."""
    code = 'OK'
    await node.faults.before(path, request)
    try:
        await _serve(node, path, request, roles, node.faults.sender(path, request, send))
    except Status as status:
        code = _CODES.get(status.code, str(status.code)) if status.code != OK else 'OK'
        raise
    finally:
        node.calls.append((node.model.clock.now(), path, code))


async def _serve(node, path, request, roles, send):
    service, _slash, method = path.lstrip('/').rpartition('/')
    if not rbac.service_known(service, node.minor):
        raise Status(UNIMPLEMENTED, f'unknown service {service}')
    allowed = rbac.roles_for(service, method, node.minor)
    if allowed is None:
        raise Status(UNIMPLEMENTED, f'unknown method {method} for service {service}')
    if not roles & allowed:
        raise Status(PERMISSION_DENIED, 'not authorized')
    if service == _STATE:
        if method not in cosi.METHODS:
            raise Status(PERMISSION_DENIED, 'write access is not allowed')
        await cosi.METHODS[method](node, request, send, roles)
        return
    if method in rbac.CONTROL_PLANE_ONLY and not node.control_plane:
        raise Status(UNIMPLEMENTED, f'{rbac.CONTROL_PLANE_ONLY[method]} is only available on control plane nodes')
    methods = {**machine.METHODS, **node.model.etcd.methods}
    if path not in methods:
        raise Status(UNIMPLEMENTED, 'not simulated')
    await methods[path](node, request, send)


def _unavailable(text):
    return Status(UNAVAILABLE, f'connection error: desc = "{text}"')


def _is_address(target):
    try:
        return bool(ipaddress.ip_address(target))
    except ValueError:
        return False


def _bracketed(address):
    return f'[{address}]' if ':' in address else address


def _has_port(target):
    return not _is_address(target) and target.count(':') == 1
