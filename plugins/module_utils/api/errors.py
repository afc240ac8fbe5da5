# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong between a person and a machine, as types.

Every exception of this collection is a L(TalosError); its text is one sentence for a person. Each type knows the
state in which a datum stands when the error kept it from being read (see snapshot/model.py).
"""

from __future__ import annotations

READ = 'read'
REFUSED = 'refused'
UNSUPPORTED = 'unsupported'
ABSENT = 'absent'
TIMED_OUT = 'timed_out'
UNREACHABLE = 'unreachable'
NOT_ASKED = 'not_asked'
FAILED = 'failed'

STATES = (READ, REFUSED, UNSUPPORTED, ABSENT, TIMED_OUT, UNREACHABLE, NOT_ASKED, FAILED)

ROLE_MAY_NOT = 'the role of the client certificate may not'


class TalosError(Exception):
    """Root of all errors; C(str(error)) is the sentence, C(hint) what to do next (or None)."""

    state = FAILED

    def __init__(self, message, hint=None):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def sentence(self):
        """The message with its next step, for a module's C(msg)."""
        return f'{self.message} {self.hint}' if self.hint else self.message


class InputError(TalosError):
    """A parameter, file or variable of the user's is unusable; nothing was sent anywhere."""


class ConfigError(InputError):
    """The talosconfig or its credentials are unusable."""


class TransportError(TalosError):
    """No usable connection to an endpoint.

    C(kind) is one of: resolve, refused, timeout, no_route, reset, proxy, untrusted_ca, wrong_name, expired,
    not_yet_valid, client_refused, not_tls, not_grpc, maintenance, other. C(certificate) holds the facts of the
    certificate that was served, when there was one (see api/certificate.py), else None.
    """

    state = UNREACHABLE

    def __init__(self, message, kind, endpoint=None, certificate=None, hint=None, written=False):
        super().__init__(message, hint)
        self.kind = kind
        self.endpoint = endpoint
        self.certificate = certificate
        self.written = written

    def again(self, written=False):
        """The same failure, for another call that it met: C(written) says whether bytes of that call went out."""
        return TransportError(self.message, self.kind, self.endpoint, self.certificate, self.hint, written)


class CallError(TalosError):
    """A call that was sent and did not succeed. C(code) is the gRPC code's name, C(node) the address asked for."""

    def __init__(self, message, code=None, node=None, method=None, hint=None):
        super().__init__(message, hint)
        self.code = code
        self.node = node
        self.method = method


class RoleRefused(CallError):
    """PERMISSION_DENIED "not authorized": the client certificate's role may not call this (talos-api 2.3)."""

    state = REFUSED


class Unsupported(CallError):
    """This Talos version, or this kind of machine, has no such method or resource type (talos-api 3.3, 6)."""

    state = UNSUPPORTED


class NotFound(CallError):
    """The resource or file does not exist."""

    state = ABSENT


class Conflict(CallError):
    """Somebody else changed the object, or made it, since it was looked at."""


class NoForwarding(CallError):
    """The endpoint is a worker: it forwards requests to no other node (talos-api 3.3)."""

    state = UNREACHABLE


class NodeUnreachable(CallError):
    """The endpoint answered, but could not reach the node (talos-api 3.3)."""

    state = UNREACHABLE


class DeadlineExceeded(CallError):
    """No answer within the call's own deadline."""

    state = TIMED_OUT


class NotAsked(CallError):
    """The deadline of the whole passed before this was sent."""

    state = NOT_ASKED
