# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls that a machine answers (talos-api 5 and 6)."""

from __future__ import annotations

import io
import tarfile
import zlib
from typing import NamedTuple

from ansible_collections.talosops.talos.plugins.module_utils.api import spec, status, wire
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import CallError, TalosError

LOG_TAIL = 500
STREAM_BYTES = 2 * 1024 * 1024

_STATE = '/cosi.resource.State/'
_MACHINE = '/machine.MachineService/'
_END = object()


class Stream(NamedTuple):
    """C(data) is all that came. C(complete) is false when the stream broke (C(error)) or met its limit (C(truncated))."""

    data: bytes
    complete: bool
    error: TalosError | None
    truncated: bool


class Machine:
    """C(address) is what it was asked for by. Made by Client.node and Client.direct.

    Every call has a deadline of its own, that starts when it is sent (C(timeout) seconds, the client's by default).
    Every call raises L(TransportError) when no endpoint could be reached, L(NodeUnreachable), L(NoForwarding),
    L(RoleRefused), L(Unsupported), L(NotFound), L(DeadlineExceeded) or another L(CallError).
    """

    def __init__(self, client, address, metadata, via):
        self.address = address
        self._client = client
        self._metadata = metadata
        self._via = via

    def unary(self, method, request=None, timeout=None):
        """The response as a dict (api/wire.py). Where it is a list C(messages), the first of them, without metadata."""
        described = wire.method(method)
        body = wire.encode(described.request, request)
        timeout, asked = timeout or self._client.timeout, self._asked(method, request)
        answer = self._through(lambda connection: connection.unary(method, body, timeout, self._metadata, asked), described)
        response = self._decode(described.response, answer, asked)
        if 'messages' not in response:
            return response
        for message in response['messages']:
            self._check(message, method, asked)
            message.pop('metadata', None)
        return response['messages'][0] if response['messages'] else {}

    def messages(self, method, request=None, timeout=None, most=None, partial=False):
        """All responses of a stream as a list of dicts, at most C(most).

        With C(partial), an error or the deadline after the first response ends the list instead of raising; so are
        streams read that never end.
        """
        found, asked = [], self._asked(method, request)
        stream = self._stream(method, request, timeout, asked)
        try:
            for message in stream:
                self._check(message, method, asked)
                found.append(message)
                if most is not None and len(found) >= most:
                    break
        except TalosError:
            if not partial or not found:
                raise
        finally:
            stream.close()
        return found

    def stream(self, method, request=None, limit_bytes=STREAM_BYTES, timeout=None, newest=False):
        """The bytes of a stream of common.Data as a L(Stream).

        At the limit it stops reading; with C(newest) it reads on and keeps the last bytes. Raises when an error came
        before any data.
        """
        asked = self._asked(method, request)
        data, total, error = bytearray(), 0, None
        stream = self._stream(method, request, timeout, asked)
        try:
            for message in stream:
                self._check(message, method, asked)
                data += message['bytes']
                total += len(message['bytes'])
                if total > limit_bytes and not newest:
                    break
                if len(data) > 2 * limit_bytes:
                    del data[:-limit_bytes]
        except TalosError as caught:
            if not total:
                raise
            error = caught
        finally:
            stream.close()
        truncated = total > limit_bytes
        kept = data[-limit_bytes:] if newest else data[:limit_bytes]
        return Stream(bytes(kept), error is None and not truncated, error, truncated)

    def data(self, method, request=None, timeout=None):
        """Iterator of the pieces of a stream of common.Data, for what is too large to be held as a whole.

        Raises when the stream breaks: what came before is then not all of it.
        """
        asked = self._asked(method, request)
        stream = self._stream(method, request, timeout, asked)
        try:
            for message in stream:
                self._check(message, method, asked)
                yield message['bytes']
        finally:
            stream.close()

    def resources(self, kind, namespace, timeout=None, parse=True):
        """All resources of a type (its full name, exact case): a list of what api/spec.py: resource() makes."""
        request = {'namespace': namespace, 'type': kind}
        return [self._resource(message['resource'], parse) for message in self.messages(f'{_STATE}List', request, timeout)]

    def resource(self, kind, namespace, resource_id, timeout=None):
        """One resource. Raises L(NotFound)."""
        request = {'namespace': namespace, 'type': kind, 'id': resource_id}
        return self._resource(self.unary(f'{_STATE}Get', request, timeout)['resource'])

    def watch(self, kind, namespace, resource_id=None, timeout=None):
        """Iterator of {event, resource, old, error}, the present contents first.

        C(event) is CREATED, UPDATED, DESTROYED, BOOTSTRAPPED (the end of the present contents of a type), ERRORED (watch
        anew) or NOOP. A watch never ends by itself: at its deadline it raises L(DeadlineExceeded).
        """
        request = {'namespace': namespace, 'type': kind, 'api_version': 1}
        if resource_id is None:
            request['options'] = {'bootstrap_contents': True}
        else:
            request['id'] = resource_id
        stream = self._stream(f'{_STATE}Watch', request, timeout, self._asked(f'{_STATE}Watch', request))
        try:
            for message in stream:
                for event in message['event']:
                    yield {'event': event['event_type'], 'resource': self._resource(event['resource']), 'old': self._resource(event['old']),
                           'error': event['error']}
        finally:
            stream.close()

    def log(self, log_id, namespace='system', tail=LOG_TAIL, limit_bytes=STREAM_BYTES, timeout=None):
        """The last lines of a service's log as a L(Stream); C(tail) -1 is all there is. At the limit the oldest go.

        Containers of Kubernetes are in the namespace k8s.io, by their ids in Containers.
        """
        request = {'namespace': namespace, 'id': log_id, 'driver': 'CRI' if namespace == 'k8s.io' else 'CONTAINERD', 'tail_lines': tail}
        return self.stream(f'{_MACHINE}Logs', request, limit_bytes, timeout, newest=True)

    def kubeconfig(self, timeout=None):
        """The text of a kubeconfig that Talos issues (os:admin, control plane nodes only)."""
        stream = self.stream(f'{_MACHINE}Kubeconfig', timeout=timeout)
        if stream.error is not None:
            raise stream.error
        try:
            # the archive lacks its end, so that only its first member can be read (talos-api 5.3)
            archive = tarfile.open(fileobj=io.BytesIO(zlib.decompressobj(31).decompress(stream.data, STREAM_BYTES)), mode='r:')
            return archive.extractfile(archive.next()).read().decode()
        except (tarfile.TarError, zlib.error, AttributeError, TypeError, UnicodeDecodeError):
            text = f'{self.address} answered Kubeconfig with something that is no archive.'
            raise CallError(text, node=self.address, method=f'{_MACHINE}Kubeconfig') from None

    def machine_config(self, resource_id='v1alpha1', timeout=None):
        """The text of the machine configuration with all its documents (os:admin): v1alpha1 is the active one."""
        return self.resource(spec.MACHINE_CONFIGS, 'config', resource_id, timeout)['spec']

    def _through(self, attempt, described):
        return self._client.through(attempt, self._metadata, self._via, described.idempotent)

    def _stream(self, method, request, timeout, asked):
        """Generator of the decoded responses. Another endpoint is tried until the first response is there."""
        described = wire.method(method)
        body, timeout = wire.encode(described.request, request), timeout or self._client.timeout

        def begin(connection):
            responses = connection.stream(method, body, timeout, self._metadata, asked)
            return next(responses, _END), responses

        first, rest = self._through(begin, described)
        try:
            if first is not _END:
                yield self._decode(described.response, first, asked)
                for response in rest:
                    yield self._decode(described.response, response, asked)
        finally:
            rest.close()

    def _decode(self, name, data, asked):
        try:
            return wire.decode(name, data)
        except ValueError as error:
            raise CallError(f'{self.address} answered {asked} with something unreadable: {error}', node=self.address) from None

    def _check(self, message, method, asked):
        """An endpoint that merges answers of several nodes puts their failures into the messages (talos-api 3.2)."""
        metadata = message.get('metadata')
        if metadata and metadata['error']:
            failed = metadata['status'] or {'code': 2, 'message': metadata['error']}
            raise status.error(status.name_of(failed['code']), failed['message'], method, self.address, asked, bool(self._metadata))

    def _resource(self, decoded, parse=True):
        return None if decoded is None or decoded['metadata'] is None else spec.resource(decoded, parse)

    def _asked(self, method, request):
        """What is asked, in words for an error."""
        name, request = method.rpartition('/')[2], request or {}
        if method.startswith(_STATE):
            return f'{request.get("type")} "{request["id"]}"' if request.get('id') else str(request.get('type'))
        if method == f'{_MACHINE}Logs':
            return f'log {request.get("id")}'
        return f'{name} {request["path"]}' if name == 'Read' and request.get('path') else name
