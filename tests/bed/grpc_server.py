# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gRPC server on asyncio and h2, independent of grpcio, so that the client is tested against other code than its own.

A handler is C(async def handler(call: Call)). It sends messages with C(call.send); returning ends the call with OK,
raising L(Status) with that status. When the client gives up or goes away, the handler is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import sys
import traceback

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hyperframe.frame

from tests.bed.pauses import forever
from tests.bed.tls import SecureProtocol, SecureServer

OK = 0
CANCELLED = 1
UNKNOWN = 2
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
ALREADY_EXISTS = 6
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
ABORTED = 10
OUT_OF_RANGE = 11
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
DATA_LOSS = 15
UNAUTHENTICATED = 16

MAX_MESSAGE = 32 * 1024 * 1024  # talos-api 2
_WINDOW = 1024 * 1024
_UNITS = {'H': 3600.0, 'M': 60.0, 'S': 1.0, 'm': 1e-3, 'u': 1e-6, 'n': 1e-9}
_END = object()


class Status(Exception):
    """Ends a call with a gRPC status. C(metadata) are (key, value) pairs for the trailers."""

    def __init__(self, code, message='', metadata=()):
        super().__init__(f'{code}: {message}')
        self.code = code
        self.message = message
        self.metadata = tuple(metadata)


class Call:
    """One call, as its handler sees it.

    C(method) is the path; C(metadata) a list of (key, value) in the order sent, repeated keys kept; C(authority) the
    :authority; C(peer) the client's certificate as DER or None; C(endpoint) the server's (host, port); C(timeout) the
    client's deadline in seconds or None.
    """

    def __init__(self, connection, stream_id, headers):
        pseudo = dict(header for header in headers if header[0].startswith(':'))
        self.method = pseudo.get(':path', '')
        self.authority = pseudo.get(':authority', '')
        self.metadata = [header for header in headers if not header[0].startswith(':')]
        self.peer = connection.peer
        self.endpoint = (connection.server.host, connection.server.port)
        self.timeout = _timeout(dict(self.metadata).get('grpc-timeout'))
        self.finished = False
        self._connection = connection
        self._stream_id = stream_id
        self._buffer = bytearray()
        self._messages = asyncio.Queue()
        self._headers_sent = False
        self._half_closed = False

    def values(self, key):
        """All values of a metadata key, in the order sent."""
        return [value for name, value in self.metadata if name == key]

    async def request(self):
        """The next request message as bytes; None when the client has sent all."""
        message = await self._messages.get()
        if message is _END:
            self._messages.put_nowait(_END)
            return None
        return message

    async def requests(self):
        """The request messages that are left."""
        while (message := await self.request()) is not None:
            yield message

    async def send_headers(self, metadata=()):
        """Send the response headers now, with (key, value) pairs; otherwise they go with the first message."""
        if not self._headers_sent:
            self._headers_sent = True
            self._connection.send_headers(self._stream_id, [*_response_headers(), *metadata])

    async def send(self, *messages, frame_size=None):
        """Send response messages (bytes); C(frame_size) cuts them into DATA frames of at most so many bytes."""
        await self.send_headers()
        data = b''.join(part for message in messages for part in (struct.pack('>BI', 0, len(message)), message))
        await self._connection.send_data(self._stream_id, data, frame_size)

    async def finish(self, code=OK, message='', metadata=()):
        """End the call; without a message sent before, as trailers only. A handler that returns need not call it."""
        if self.finished:
            return
        self.finished = True
        trailers = [('grpc-status', str(code))]
        if message:
            trailers.append(('grpc-message', _percent_encoded(message)))
        trailers += metadata
        if not self._headers_sent:
            trailers = _response_headers() + trailers
        self._connection.send_headers(self._stream_id, trailers, end_stream=True)
        if not self._half_closed:
            self._connection.reset(self._stream_id, h2.errors.ErrorCodes.NO_ERROR)

    async def forever(self):
        """Never returns; ends by cancellation when the client gives up, goes away, or the server stops."""
        await forever()

    async def reset(self, code=h2.errors.ErrorCodes.INTERNAL_ERROR):
        """End the stream with RST_STREAM, without a status."""
        self.finished = True
        self._connection.reset(self._stream_id, code)

    async def answer_http(self, status, body=b'', content_type='text/html'):
        """End the call as a web server would, without any gRPC."""
        self.finished = True
        self._connection.send_headers(self._stream_id, [(':status', str(status)), ('content-type', content_type)])
        await self._connection.send_data(self._stream_id, body)
        self._connection.end(self._stream_id)

    async def goaway(self, code=h2.errors.ErrorCodes.NO_ERROR, text=''):
        """Send GOAWAY for the whole connection and close it once this call has ended."""
        self._connection.goaway(code, text)

    async def drop(self):
        """Cut the TCP connection at once."""
        self.finished = True
        self._connection.abort()

    def _data(self, data):
        self._buffer += data
        while len(self._buffer) >= 5:
            compressed, length = struct.unpack_from('>BI', self._buffer)
            if compressed:
                raise Status(UNIMPLEMENTED, 'compressed messages are not supported')
            if length > MAX_MESSAGE:
                raise Status(RESOURCE_EXHAUSTED, f'grpc: received message larger than max ({length} vs. {MAX_MESSAGE})')
            if len(self._buffer) < 5 + length:
                return
            self._messages.put_nowait(bytes(self._buffer[5 : 5 + length]))
            del self._buffer[: 5 + length]

    def _end(self):
        self._half_closed = True
        self._messages.put_nowait(_END)


class _Connection(SecureProtocol):
    def opened(self):
        if self.server.tls is not None and self._tls.selected_alpn_protocol() != 'h2':
            self.close()
            return
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding='utf-8'))
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2**31 - 1,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 16 * 1024 * 1024,
            },
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(16 * _WINDOW)
        self._calls = {}
        self._tasks = {}
        self._window = asyncio.Event()
        self._going_away = False
        self._send()

    def received(self, data):
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._send()
            self.close()
            return
        for event in events:
            self._event(event)
        self._send()

    def closed(self):
        for task in list(getattr(self, '_tasks', {}).values()):
            task.cancel()

    def _event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self._request(event.stream_id, event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            call = self._calls.get(event.stream_id)
            if call:
                try:
                    call._data(event.data)
                except Status as status:
                    self._tasks[event.stream_id].cancel()
                    self._calls.pop(event.stream_id)
                    asyncio.ensure_future(call.finish(status.code, status.message))
        elif isinstance(event, h2.events.StreamEnded):
            if event.stream_id in self._calls:
                self._calls[event.stream_id]._end()
        elif isinstance(event, h2.events.StreamReset):
            if event.stream_id in self._tasks:
                self._tasks[event.stream_id].cancel()
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            self._window.set()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.close()

    def _request(self, stream_id, headers):
        call = Call(self, stream_id, headers)
        if not dict(headers).get('content-type', '').startswith('application/grpc'):
            self.send_headers(stream_id, [(':status', '415')], end_stream=True)
            return
        self.server.calls += 1
        self._calls[stream_id] = call
        task = asyncio.ensure_future(self._serve(call))
        self._tasks[stream_id] = task
        task.add_done_callback(lambda _task: self._done(stream_id))

    def _done(self, stream_id):
        self._calls.pop(stream_id, None)
        self._tasks.pop(stream_id, None)
        if self._going_away and not self._tasks:
            self.close()

    async def _serve(self, call):
        try:
            await self.server.handler(call)
            await call.finish()
        except Status as status:
            await call.finish(status.code, status.message, status.metadata)
        except (h2.exceptions.StreamClosedError, ConnectionError):
            pass
        except Exception as error:
            self.server.errors.append(error)
            traceback.print_exc(file=sys.stderr)
            await call.finish(INTERNAL, f'{type(error).__name__}: {error}')

    def send_headers(self, stream_id, headers, end_stream=False):
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.send_headers(stream_id, headers, end_stream=end_stream)
            self._send()

    async def send_data(self, stream_id, data, frame_size=None):
        """Raises StreamClosedError when the stream is gone, ConnectionError when the connection is."""
        view = memoryview(data)
        while view:
            await self.writable.wait()
            if self.transport.is_closing():
                raise ConnectionResetError
            window = self._h2.local_flow_control_window(stream_id)
            if window <= 0:
                self._window.clear()
                await self._window.wait()
                continue
            size = min(window, self._h2.max_outbound_frame_size, frame_size or len(view))
            self._h2.send_data(stream_id, bytes(view[:size]))
            view = view[size:]
            self._send()
            if view:
                await asyncio.sleep(0)

    def end(self, stream_id):
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.end_stream(stream_id)
            self._send()

    def reset(self, stream_id, code):
        with contextlib.suppress(h2.exceptions.ProtocolError):
            self._h2.reset_stream(stream_id, code)
            self._send()

    def goaway(self, code, text):
        # h2's own close_connection would also end the calls that are still running.
        frame = hyperframe.frame.GoAwayFrame(0, self._h2.highest_inbound_stream_id, code, text.encode())
        self._going_away = True
        self.write(frame.serialize())

    def _send(self):
        data = self._h2.data_to_send()
        if data:
            self.write(data)


class GrpcServer(SecureServer):
    """C(GrpcServer(handler, tls=pki.server_context(…), host='127.0.0.1', port=0)).

    C(accepted), C(handshakes) and C(calls) count what came; C(errors) holds what handlers raised other than Status.
    C(tls) may be replaced while serving and counts for new connections; None means plain text.
    """

    protocol = _Connection

    def __init__(self, handler, tls=None, host='127.0.0.1', port=0):
        super().__init__(tls, host, port)
        self.handler = handler
        self.calls = 0
        self.errors = []


def _response_headers():
    return [(':status', '200'), ('content-type', 'application/grpc')]


def _timeout(text):
    return int(text[:-1]) * _UNITS[text[-1]] if text else None


def _percent_encoded(text):
    return ''.join(chr(byte) if 0x20 <= byte <= 0x7E and byte != 0x25 else f'%{byte:02X}' for byte in text.encode())
