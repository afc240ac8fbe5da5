# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a gRPC status of Talos means (talos-api 3.3)."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import (
    ROLE_MAY_NOT, CallError, DeadlineExceeded, NodeUnreachable, NoForwarding, NotFound, RoleRefused, Unsupported,
)

_CODES = (
    'OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS', 'PERMISSION_DENIED',
    'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS',
    'UNAUTHENTICATED',
)
# How the endpoint's own gRPC client words that it cannot reach the node that was asked for.
_PROXY = re.compile(
    r'connection error|error while dialing|name resolver error|no backend connections|error reading server preface|'
    r'authentication handshake failed|i/o timeout|no route to host|connection refused|connection reset|'
    r'error reading from server|closing transport|transport is closing|broken pipe', re.IGNORECASE)
_UNKNOWN_TYPE = re.compile(r'(resource type|namespace) ".*" is not supported')
_NO_LOG = re.compile(r'log ".*" was not registered|container ".*" not found')
# How grpcio words that this side's connection is gone.
_OURS = re.compile(r'GOAWAY|Socket closed|recvmsg|unix:|Endpoint closing|failed to connect to all addresses|'
                   r'Connection reset by peer|Stream removed')


def is_ours(code, details):
    """Whether a status was made up by grpcio because its own connection is gone."""
    return code == 'UNAVAILABLE' and bool(_OURS.search(details or ''))


def name_of(number):
    """The name of a gRPC code."""
    return _CODES[number] if 0 <= number < len(_CODES) else 'UNKNOWN'


def error(code, details, method, address, asked, forwarded):
    """The L(CallError) of a gRPC status. C(address) is the machine that was asked, C(asked) what for, in words;
    C(forwarded): by way of an endpoint.
    """
    made = _make(code, (details or '').strip(), address, asked, forwarded)
    made.code, made.node, made.method = code, address, method
    return made


def _make(code, details, where, what, forwarded):
    if code == 'PERMISSION_DENIED':
        return _denied(details, where, what)
    if code == 'DEADLINE_EXCEEDED':
        return DeadlineExceeded(f'{where} did not answer {what} in time.')
    if code == 'UNIMPLEMENTED':
        return Unsupported(f'{where} does not offer {what}: {details}')
    if code == 'NOT_FOUND' or (code == 'UNKNOWN' and _NO_LOG.search(details)):
        return NotFound(f'{where} has no {what}: {details}')
    if code == 'UNAVAILABLE' and forwarded and _PROXY.search(details):
        return NodeUnreachable(f'The endpoint cannot reach {where}: {details}')
    return CallError(f'{where} answered {what} with {code}: {details}')


def _denied(details, where, what):
    """PERMISSION_DENIED has four meanings."""
    if 'no request forwarding' in details:
        return NoForwarding(f'The endpoint is a worker and does not forward {what} to {where}.',
                            hint='Use control plane nodes as endpoints.')
    if _UNKNOWN_TYPE.search(details):
        return Unsupported(f'{where} does not offer {what}: {details}')
    if 'write access is not allowed' in details:
        return CallError(f'{where} refuses {what}: resources of Talos are read only.')
    return RoleRefused(f'{where} refuses {what}: {ROLE_MAY_NOT} ({details}).')
