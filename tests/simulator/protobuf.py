# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocol buffers without a runtime, so that what the simulator writes does not come out of the client's own schema.

A schema is text, one message a line: C(name = field:kind=number …) in the order in which Talos writes the fields. Kinds:
string, bytes, bool, int (any varint, negative too), double, C(enum.<name>), ip, prefix, ipport, another message,
mac, struct (google.protobuf.Struct), repeated C([]kind), C(map<kind>) with string keys, C(?kind) present even when zero. Number 0 is never written.
"""

from __future__ import annotations

import ipaddress
import struct


_SMALL = [bytes([number]) for number in range(0x80)]


class Schema:
    """Messages by name; C(encode(name, mapping)) and C(decode(name, data)) between them and bytes."""

    def __init__(self, text, enums):
        self._enums = enums
        self._messages = {}
        for line in text.strip().splitlines():
            if line.strip():
                name, _sep, fields = line.partition('=')
                self._messages[name.strip()] = [self._field(field) for field in fields.split()]
        self._names = {name: {field[0] for field in fields} for name, fields in self._messages.items()}
        self._numbers = {name: {field[2]: field for field in fields} for name, fields in self._messages.items()}

    @staticmethod
    def _field(text):
        name, _sep, rest = text.partition(':')
        kind, _sep, number = rest.rpartition('=')
        return name, kind, int(number)

    def fields(self, name):
        """The field names of a message, in order."""
        return [field for field, _kind, _number in self._messages[name]]

    def encode(self, name, mapping):
        """The bytes of a message; a key that it has not is a KeyError, None and zero values are left out."""
        unknown = mapping.keys() - self._names[name]
        if unknown:
            raise KeyError(f'{name} has no {", ".join(sorted(unknown))}')
        given = ((kind, number, mapping.get(field)) for field, kind, number in self._messages[name] if number)
        return b''.join([self._encode_field(kind, number, value) for kind, number, value in given if value is not None])

    def _encode_field(self, kind, number, value):
        if kind.startswith('?'):
            return self._single(kind[1:], number, value)
        if kind.startswith('map<'):
            inner = kind[4:-1]
            return b''.join(_block(number, _block(1, key.encode()) + self._single(inner, 2, item)) for key, item in value.items())
        if kind.startswith('[]'):
            inner = kind[2:]
            if inner in ('int', 'bool') or inner.startswith('enum.'):
                return _block(number, b''.join(varint(self._number(inner, item)) for item in value)) if value else b''
            return b''.join(self._single(inner, number, item) for item in value)
        if kind == 'struct' and not value:
            return b''
        if value in (0, '', b'', False) or (kind.startswith('enum.') and self._number(kind, value) == 0):
            return b''
        return self._single(kind, number, value)

    def _single(self, kind, number, value):
        if kind == 'string':
            return _block(number, str(value).encode())
        if kind == 'bytes':
            return _block(number, bytes(value))
        if kind == 'mac':
            return _block(number, bytes.fromhex(value.replace(':', '')))
        if kind in ('int', 'bool') or kind.startswith('enum.'):
            return varint(number << 3) + varint(self._number(kind, value))
        if kind == 'struct':
            return _block(number, _struct(value))
        if kind == 'double':
            return varint(number << 3 | 1) + struct.pack('<d', value)
        if kind == 'ip':
            return _block(number, _block(1, ipaddress.ip_address(value).packed) if value else b'')
        if kind == 'ipport':
            address, _colon, port = value.rpartition(':')
            return _block(number, _block(1, ipaddress.ip_address(address.strip('[]')).packed) + varint(2 << 3) + varint(int(port)))
        if kind == 'prefix':
            if not value:
                return b''
            address, _slash, length = value.partition('/')
            return _block(number, _block(1, ipaddress.ip_address(address).packed) + varint(2 << 3) + varint(int(length)))
        return _block(number, self.encode(kind, value))

    def _number(self, kind, value):
        if kind.startswith('enum.') and isinstance(value, str):
            return self._enums[kind[5:]][value]
        return int(value)

    def decode(self, name, data):
        """The fields that are there, as a dict; numbers that the schema does not know stand under C(#<number>)."""
        result = {}
        for number, wire_type, value in raw_fields(data):
            field, kind, _number = self._numbers[name].get(number, (f'#{number}', None, number))
            if kind is None:
                result.setdefault(field, []).append(value)
                continue
            kind = kind.lstrip('?')
            if kind.startswith('map<'):
                entry = {inner: item for inner, _wire_type, item in raw_fields(value)}
                result.setdefault(field, {})[entry.get(1, b'').decode()] = self._value(kind[4:-1], entry.get(2, b''))
            elif kind.startswith('[]'):
                inner = kind[2:]
                packed = wire_type == 2 and (inner in ('int', 'bool') or inner.startswith('enum.'))
                items = _varints(value) if packed else [value]
                result.setdefault(field, []).extend(self._value(inner, item) for item in items)
            else:
                result[field] = self._value(kind, value)
        return result

    def _value(self, kind, value):
        if kind == 'string':
            return value.decode()
        if kind == 'bytes':
            return bytes(value)
        if kind == 'mac':
            return ':'.join(f'{byte:02x}' for byte in value)
        if kind == 'int':
            return value - (1 << 64) if value >= 1 << 63 else value
        if kind == 'bool':
            return bool(value)
        if kind == 'struct':
            return _read_struct(value)
        if kind == 'double':
            return struct.unpack('<d', value)[0]
        if kind.startswith('enum.'):
            return next((text for text, number in self._enums[kind[5:]].items() if number == value), value)
        if kind == 'ip':
            packed = dict((number, item) for number, _wire_type, item in raw_fields(value)).get(1, b'')
            return str(ipaddress.ip_address(packed)) if packed else ''
        if kind == 'ipport':
            entry = {number: item for number, _wire_type, item in raw_fields(value)}
            address = ipaddress.ip_address(entry[1])
            return f'[{address}]:{entry.get(2, 0)}' if address.version == 6 else f'{address}:{entry.get(2, 0)}'
        if kind == 'prefix':
            entry = {number: item for number, _wire_type, item in raw_fields(value)}
            return f'{ipaddress.ip_address(entry[1])}/{entry.get(2, 0)}' if 1 in entry else ''
        return self.decode(kind, value)


def _struct(mapping):
    """google.protobuf.Struct."""
    return b''.join(_block(1, _block(1, key.encode()) + _block(2, _struct_value(item))) for key, item in mapping.items())


def _struct_value(value):
    """google.protobuf.Value."""
    if value is None:
        return varint(1 << 3) + varint(0)
    if isinstance(value, bool):
        return varint(4 << 3) + varint(int(value))
    if isinstance(value, (int, float)):
        return varint(2 << 3 | 1) + struct.pack('<d', value)
    if isinstance(value, str):
        return _block(3, value.encode())
    if isinstance(value, dict):
        return _block(5, _struct(value))
    return _block(6, b''.join(_block(1, _struct_value(item)) for item in value))


def _read_struct(data):
    entries = [{number: item for number, _wire_type, item in raw_fields(entry)} for _number, _wire_type, entry in raw_fields(data)]
    return {entry[1].decode(): _read_value(entry.get(2, b'')) for entry in entries}


def _read_value(data):
    number, _wire_type, value = next(raw_fields(data), (1, 0, 0))
    if number == 5:
        return _read_struct(value)
    if number == 6:
        return [_read_value(item) for _number, _wire_type, item in raw_fields(value)]
    return {1: lambda: None, 2: lambda: struct.unpack('<d', value)[0], 3: lambda: str(value, 'utf-8'), 4: lambda: bool(value)}[number]()


def varint(value):
    if 0 <= value <= 0x7F:
        return _SMALL[value]
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _block(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def raw_fields(data):
    """(number, wire type, value) of a message: ints, 8 or 4 bytes, or bytes."""
    at, end = 0, len(data)
    while at < end:
        key, at = _read_varint(data, at)
        wire_type = key & 7
        if wire_type == 0:
            value, at = _read_varint(data, at)
        else:
            if wire_type == 2:
                length, at = _read_varint(data, at)
            else:
                length = {1: 8, 5: 4}[wire_type]
            value, at = data[at:at + length], at + length
        yield key >> 3, wire_type, value


def append_message(data, number, message):
    """A message with one more field, which is a message: what a proxy does that knows no schema."""
    return data + _block(number, message)


def _read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _varints(data):
    at, values = 0, []
    while at < len(data):
        value, at = _read_varint(data, at)
        values.append(value)
    return values
