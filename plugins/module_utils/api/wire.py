# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of the Talos API as plain data, by the descriptors of api/proto.

They live in a pool of their own, so that nothing else in the process that knows messages of these names is disturbed.
"""

from __future__ import annotations

import base64
import functools
import re
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from ansible_collections.talosops.talos.plugins.module_utils.api._descriptors import DESCRIPTOR_SET
from ansible_collections.talosops.talos.plugins.module_utils.api._descriptors import METHODS as _METHODS
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError

try:
    from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, empty_pb2, message_factory, timestamp_pb2
    from google.protobuf.message import DecodeError
except ImportError:
    any_pb2 = descriptor_pb2 = descriptor_pool = duration_pb2 = empty_pb2 = message_factory = timestamp_pb2 = None
    DecodeError = ValueError

# Talos and etcd print these as 16 hex digits; the wire has integers (talos-api 5.4).
_ETCD_IDS = frozenset((
    'machine.EtcdMember.id', 'machine.EtcdMemberAlarm.member_id', 'machine.EtcdMemberStatus.leader',
    'machine.EtcdMemberStatus.member_id', 'machine.EtcdRemoveMemberByIDRequest.member_id',
))
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_RFC3339 = re.compile(r'(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z')


class Method(NamedTuple):
    """C(streaming): the server sends a stream. C(idempotent): it may be sent again after a connection broke."""

    request: str
    response: str
    streaming: bool
    idempotent: bool


METHODS = {path: Method(*row) for path, row in _METHODS.items()}


def need_protobuf():
    """Raises L(InputError) when the Python package protobuf is missing."""
    if descriptor_pb2 is None:
        raise InputError('The Python package protobuf is missing on this host.', 'Install it: pip install protobuf')


@functools.lru_cache(maxsize=None)
def _pool():
    need_protobuf()
    pool = descriptor_pool.DescriptorPool()
    for module in (any_pb2, duration_pb2, empty_pb2, timestamp_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    for file in descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(DESCRIPTOR_SET)).file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


@functools.lru_cache(maxsize=None)
def message(full_name):
    """The message class of a full name such as C(machine.VersionResponse). Raises KeyError for an unknown one."""
    descriptor = _pool().FindMessageTypeByName(full_name)
    if hasattr(message_factory, 'GetMessageClass'):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(_pool()).GetPrototype(descriptor)


def method(path):
    """The Method of a path. Raises L(InputError) for one that the schema lacks."""
    try:
        return METHODS[path]
    except KeyError:
        raise InputError(f'{path} is no method of the Talos API that this collection knows.') from None


def encode(name, mapping):
    """Bytes of the message C(name) from plain data, fields in the order of their numbers.

    Takes what L(decode) gives: enums as names (or numbers), etcd ids as hex text, Timestamp as RFC 3339 text, Duration
    as seconds. Raises L(InputError) for an unknown field or an unfit value.
    """
    instance = message(name)()
    try:
        _fill(instance, mapping or {})
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise InputError(f'A request of type {name} cannot be made: {error}') from None
    return instance.SerializeToString(deterministic=True)


def decode(name, data):
    """Plain data from the bytes of message C(name); unknown fields are ignored.

    Keys as in the .proto files, every declared field present: scalars with their default, absent messages and absent
    optional scalars None, integers int, enums their name (the number when it is unknown), bytes bytes, etcd ids 16 hex
    digits (a leader of all zeros is none), Timestamp RFC 3339 text in UTC, Duration seconds as float, Any
    {type_url, value} with the value decoded when its type is known. Raises ValueError for bytes that are no message.
    """
    try:
        return _plain(message(name).FromString(data))
    except DecodeError as error:
        raise ValueError(f'not a {name}: {error}') from None


def hex_id(number):
    """An etcd id as Talos writes it: 16 hex digits."""
    return f'{number:016x}'


def _plain(instance):
    special = _SPECIAL.get(instance.DESCRIPTOR.full_name)
    if special:
        return special(instance)
    return {name: read(instance) for name, read in _readers(instance.DESCRIPTOR.full_name)}


@functools.lru_cache(maxsize=None)
def _readers(full_name):
    return tuple((field.name, _reader(field)) for field in message(full_name).DESCRIPTOR.fields)


def _is_map(field):
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _repeated(field):
    return field.is_repeated if hasattr(field, 'is_repeated') else field.label == field.LABEL_REPEATED


def _reader(field):
    name, convert = field.name, _converter(field)
    if _is_map(field):
        return lambda instance: dict(sorted(getattr(instance, name).items()))
    if _repeated(field):
        if convert is None:
            return lambda instance: list(getattr(instance, name))
        return lambda instance: [convert(item) for item in getattr(instance, name)]
    if field.has_presence:
        convert = convert or (lambda value: value)
        return lambda instance: convert(getattr(instance, name)) if instance.HasField(name) else None
    if convert is None:
        return lambda instance: getattr(instance, name)
    return lambda instance: convert(getattr(instance, name))


def _converter(field):
    """How one value of the field becomes plain; None when it is plain already."""
    if field.message_type is not None:
        return _plain
    if field.enum_type is not None:
        names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
        return lambda number: names.get(number, number)
    return hex_id if field.full_name in _ETCD_IDS else None


def _timestamp(instance):
    """Go's zero time, year 1, is as good as any."""
    try:
        moment = _EPOCH + timedelta(seconds=instance.seconds)
    except OverflowError:
        return ''
    nanos = f'{instance.nanos:09d}'
    digits = nanos if nanos[6:] != '000' else nanos[:6] if nanos[3:] != '000000' else nanos[:3] if nanos != '000000000' else ''
    return f'{moment.isoformat(timespec="seconds")[:19]}{"." + digits if digits else ""}Z'


def _duration(instance):
    return instance.seconds + instance.nanos / 1e9


def _any(instance):
    """Talos's type URLs have a prefix of their own, C(talos/runtime/) (talos-api 5.2)."""
    full_name = instance.type_url.rpartition('/')[2]
    try:
        value = decode(full_name, instance.value) if full_name else instance.value
    except (KeyError, ValueError):
        value = instance.value
    return {'type_url': instance.type_url, 'value': value}


_SPECIAL = {'google.protobuf.Timestamp': _timestamp, 'google.protobuf.Duration': _duration, 'google.protobuf.Any': _any}


def _fill(instance, mapping):
    fields = instance.DESCRIPTOR.fields_by_name
    for name, value in mapping.items():
        if name not in fields:
            raise ValueError(f'{instance.DESCRIPTOR.full_name} has no field {name}')
        if value is None:
            continue
        field = fields[name]
        if _is_map(field):
            getattr(instance, name).update(value)
        elif _repeated(field):
            target = getattr(instance, name)
            for item in value:
                if field.message_type is not None:
                    _fill_message(target.add(), item)
                else:
                    target.append(_scalar(field, item))
        elif field.message_type is not None:
            target = getattr(instance, name)
            target.SetInParent()
            _fill_message(target, value)
        else:
            setattr(instance, name, _scalar(field, value))


def _fill_message(target, value):
    full_name = target.DESCRIPTOR.full_name
    if full_name == 'google.protobuf.Duration':
        nanos = round(value * 1_000_000_000)
        sign = -1 if nanos < 0 else 1
        target.seconds, target.nanos = sign * (abs(nanos) // 1_000_000_000), sign * (abs(nanos) % 1_000_000_000)
    elif full_name == 'google.protobuf.Timestamp':
        match = _RFC3339.fullmatch(value)
        if not match:
            raise ValueError(f'{value!r} is no RFC 3339 time in UTC')
        moment = datetime.fromisoformat(match[1] + '+00:00')
        target.seconds, target.nanos = int((moment - _EPOCH).total_seconds()), int((match[2] or '0').ljust(9, '0'))
    elif full_name == 'google.protobuf.Any':
        kind = value['type_url'].rpartition('/')[2]
        body = value['value']
        target.type_url, target.value = value['type_url'], body if isinstance(body, bytes) else encode(kind, body)
    else:
        _fill(target, value)


def _scalar(field, value):
    if field.enum_type is not None and isinstance(value, str):
        if value not in field.enum_type.values_by_name:
            raise ValueError(f'{value!r} is no value of {field.full_name}')
        return field.enum_type.values_by_name[value].number
    if field.full_name in _ETCD_IDS and isinstance(value, str):
        return int(value, 16)
    return value
