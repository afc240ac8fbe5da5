# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the transport (state.faults): what a machine does on the wire, whatever its state is. See docs/scenarios.md."""

from __future__ import annotations

from tests.bed.grpc_server import INTERNAL, Status
from tests.bed.pauses import forever, pause
from tests.simulator import rbac, resource_types, values
from tests.simulator.protobuf import append_message
from tests.simulator.schema import MESSAGES

CLIENT, ANYWHERE = 'client', 'anywhere'
BIG = 5 * 1024 * 1024
_UNKNOWN_FIELD = 1999


class StreamReset(Status):
    """The machine resets the stream; who calls it through an endpoint sees that endpoint's status for it."""

    def __init__(self):
        super().__init__(INTERNAL, 'stream terminated by RST_STREAM with error code: INTERNAL_ERROR')


def is_call(name):
    """Whether hanging_calls and its like may name this: a method (EtcdStatus) or a resource type (Members)."""
    return rbac.is_method(name) or resource_types.is_short_name(name)


class Faults:
    """The faults of one machine. C(closed) and C(black_hole) are None, client (peers reach it) or anywhere."""

    def __init__(self, told, name):
        self.closed = _where(told, 'closed_port', name)
        self.black_hole = _where(told, 'black_hole', name)
        self.wrong_ca = name in (told.get('wrong_ca') or ())
        self.expired = name in (told.get('expired_certificate') or ())
        self.sans_without_address = name in (told.get('sans_without_address') or ())
        self._splits = name in (told.get('split_characters') or ())
        self._hanging = (told.get('hanging_calls') or {}).get(name) or ()
        self._big = (told.get('big_message') or {}).get(name) or ()
        self._delay = values.duration((told.get('slow') or {}).get(name, '0s')).total_seconds()
        reset = told.get('reset_mid_stream') or ()
        self._resets_all = isinstance(reset, list) and name in reset
        self._resets = (reset.get(name) or ()) if isinstance(reset, dict) else ()

    async def before(self, path, request):
        """What a call meets before it is answered: a delay, or silence."""
        if self._delay:
            await pause(self._delay)
        if self._hanging and _named(path, request) & set(self._hanging):
            await forever()

    def sender(self, path, request, send):
        """C(send), or one that spoils what is sent."""
        names = _named(path, request)
        if self._splits and path.endswith('/Logs'):
            send = _splitting(send)
        if names & set(self._big):
            send = _padding(send)
        streams = path.rsplit('/', 1)[-1] in rbac.STREAMS or path.startswith('/cosi.')
        if names & set(self._resets) or self._resets_all and streams:
            send = _resetting(send)
        return send


def _where(told, key, name):
    named = told.get(key) or ()
    return (named.get(name) if isinstance(named, dict) else ANYWHERE) if name in named else None


def _named(path, request):
    """The names under which a scenario may mean this call."""
    method = path.rsplit('/', 1)[-1]
    if not path.startswith('/cosi.resource.State/') or method not in ('Get', 'List', 'Watch'):
        return {method}
    asked = MESSAGES.decode(f'cosi.{method}', request)
    return {asked.get('type', '').split('.')[0]}


def _padding(send):
    """The first message grows over 4 MiB by a field that no schema has, which every reader must skip."""
    first = True

    async def sent(message):
        nonlocal first
        await send(append_message(message, _UNKNOWN_FIELD, bytes(BIG)) if first else message)
        first = False

    return sent


def _resetting(send):
    async def sent(message):
        await send(message)
        raise StreamReset

    return sent


def _splitting(send):
    """Every chunk ends after the first byte of the next character of several bytes, where there is one."""
    async def sent(message):
        data = MESSAGES.decode('Data', message).get('bytes', b'')
        while data:
            at = next((number + 1 for number, byte in enumerate(data) if byte >= 0xC0), len(data))
            await send(MESSAGES.encode('Data', {'bytes': data[:at]}))
            data = data[at:]

    return sent
