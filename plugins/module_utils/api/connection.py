# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One gRPC channel to one endpoint."""

from __future__ import annotations

import os

from ansible_collections.talosops.talos.plugins.module_utils.api import status
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import CallError, InputError, TransportError

# grpcio's own log goes to the terminal by default; what it has to say is said in errors.
os.environ.setdefault('GRPC_VERBOSITY', 'NONE')

try:
    import grpc
except ImportError:
    grpc = None

_MAX_MESSAGE = 32 * 1024 * 1024
# No keepalive pings and no bandwidth probes: Talos answers too many pings with GOAWAY (talos-api 2).
_OPTIONS = (
    ('grpc.max_receive_message_length', _MAX_MESSAGE),
    ('grpc.max_send_message_length', _MAX_MESSAGE),
    ('grpc.enable_http_proxy', 0),
    ('grpc.enable_retries', 0),
    ('grpc.use_local_subchannel_pool', 1),
    ('grpc.http2.bdp_probe', 0),
    ('grpc.http2.lookahead_bytes', 1024 * 1024),
    # Who reads a stream waits for its messages itself: a third less work for the many small ones of a List.
    ('SingleThreadedUnaryStream', 1),
)


def need_grpc():
    """Raises L(InputError) when the Python package grpcio is missing."""
    if grpc is None:
        raise InputError('The Python package grpcio is missing on this host.', 'Install it: pip install grpcio')


class Connection:
    """C(endpoint); C(certificate), the facts of what it serves; C(address), the IP address connected to.

    Messages are bytes here. Calls raise L(TransportError) when this connection failed, else a L(CallError).
    """

    def __init__(self, endpoint, link):
        self.endpoint = endpoint
        self._link = link
        self._channel = grpc.insecure_channel(f'unix:{link.path}', options=(*_OPTIONS, ('grpc.default_authority', endpoint.authority)))
        self._callables = {}

    @property
    def certificate(self):
        return self._link.certificate

    @property
    def address(self):
        return self._link.address

    @property
    def alive(self):
        """Whether its TLS connection stands."""
        return self._link.alive

    def close(self):
        self._channel.close()

    def unary(self, method, request, timeout, metadata, asked):
        """The response as bytes; C(timeout) seconds count from now."""
        before = self._state()
        try:
            response = self._callable(method, self._channel.unary_unary)(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise self._error(error, before, method, metadata, asked) from None
        except ValueError:  # so grpcio says that the channel has been closed
            raise self._transport_error('it was closed on this side', False) from None
        if response is None:
            node = self._asked_of(metadata)
            raise CallError(f'{node} ended {asked} well, but without an answer.', 'OK', node, method)
        return response

    def stream(self, method, request, timeout, metadata, asked):
        """Iterator of the responses as bytes; the call is cancelled when the iterator is closed."""
        before = self._state()
        try:
            call = self._callable(method, self._channel.unary_stream)(request, timeout=timeout, metadata=metadata)
        except ValueError:
            raise self._transport_error('it was closed on this side', False) from None
        try:
            yield from call
        except grpc.RpcError as error:
            raise self._error(error, before, method, metadata, asked) from None
        finally:
            call.cancel()

    def _callable(self, method, make):
        made = self._callables.get(method)
        if made is None:
            made = self._callables[method] = make(method)
        return made

    def _asked_of(self, metadata):
        return dict(metadata).get('node') or self.endpoint.host

    def _state(self):
        return self._link.losses, self._link.written

    def _error(self, error, before, method, metadata, asked):
        code, details = error.code().name, error.details() or ''
        losses, written = before
        lost = self._link.losses != losses or not self._link.alive
        if status.is_ours(code, details) or (lost and code in ('UNAVAILABLE', 'CANCELLED', 'DEADLINE_EXCEEDED')):
            return self._transport_error(details, self._link.written != written)
        return status.error(code, details, method, self._asked_of(metadata), asked, bool(metadata))

    def _transport_error(self, details, written):
        failure = self._link.failure
        if failure is None:
            text = f'The connection to {self.endpoint.text} is gone ({details}).'
            return TransportError(text, 'reset', self.endpoint.text, self.certificate, written=written)
        return failure.again(written)
