# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""COSI State of a machine: Get, List, Watch, the access check and the sensitivity gate (talos-api 6)."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timezone

from tests.bed.grpc_server import NOT_FOUND, PERMISSION_DENIED, UNIMPLEMENTED, Status
from tests.simulator import rbac, resource, resource_types, resources
from tests.simulator.protobuf import append_message, varint
from tests.simulator.schema import MESSAGES

_READY = b''
_CREATED, _UPDATED, _DESTROYED = 0, 1, 2
_TICK = 0.05
_BOOKMARK = bytes(15) + b'\x04'


def _check_access(node, namespace, resource_type, roles):
    """Namespace, type, role: in Talos's order. A type that exists and is not served here must not look empty."""
    if namespace not in resource_types.NAMESPACES:
        raise Status(PERMISSION_DENIED, f'namespace "{namespace}" is not supported')
    if resource_types.is_lower_case(resource_type):
        return
    if not resource_types.exists(resource_type, node.minor):
        raise Status(PERMISSION_DENIED, f'resource type "{resource_type}" is not supported')
    if resource_types.is_sensitive(resource_type, node.minor) and rbac.ADMIN not in roles:
        raise Status(PERMISSION_DENIED, 'not authorized')
    if resource_type not in resources.TYPES:
        raise Status(UNIMPLEMENTED, 'not simulated')


def _items(node, namespace, resource_type):
    """{id: encoded cosi.Resource} in the order of a list, by id."""
    kind = resources.KINDS.get((resource_type, namespace))
    if kind is None:
        return {}
    key = (node.name, namespace, resource_type)
    if key not in node.model.encoded:
        found = sorted(kind.build(node), key=lambda one: one.id)
        node.model.encoded[key] = {one.id: resource.encoded(one, resource_type, namespace, node) for one in found}
    return node.model.encoded[key]


async def get(node, request, send, roles):
    asked = MESSAGES.decode('cosi.Get', request)
    namespace, resource_type, resource_id = asked.get('namespace', ''), asked.get('type', ''), asked.get('id', '')
    _check_access(node, namespace, resource_type, roles)
    found = _items(node, namespace, resource_type).get(resource_id)
    if found is None:
        raise Status(NOT_FOUND, f"resource {resource_type}({namespace}/{resource_id}@undefined) doesn't exist")
    await send(append_message(b'', 1, found))


async def list_(node, request, send, roles):
    asked = MESSAGES.decode('cosi.List', request)
    namespace, resource_type, options = asked.get('namespace', ''), asked.get('type', ''), asked.get('options', {})
    _check_access(node, namespace, resource_type, roles)
    for resource_id, found in _items(node, namespace, resource_type).items():
        if _matches(resource_id, options):
            await send(append_message(b'', 1, found))


def _matches(resource_id, options):
    """Terms about labels find nothing that wants one: no planned read selects by them."""
    queries = options.get('label_query') or []
    absent = [all(term.get('invert') or term.get('op') == 'NOT_EXISTS' for term in query.get('terms', [])) for query in queries]
    if absent and not any(absent):
        return False
    return bool(re.search(options.get('id_query', {}).get('regexp', ''), resource_id))


async def watch(node, request, send, roles):
    """First a message without events; then the contents where asked for; then what changes."""
    asked = MESSAGES.decode('cosi.Watch', request)
    namespace, resource_type, options = asked.get('namespace', ''), asked.get('type', ''), asked.get('options', {})
    _check_access(node, namespace, resource_type, roles)
    if options.get('tail_events') or options.get('start_from_bookmark') is not None or options.get('bootstrap_bookmark'):
        raise Status(UNIMPLEMENTED, 'not simulated')
    if 'id' in asked and (options.get('bootstrap_contents') or options.get('label_query')):
        raise Status(UNIMPLEMENTED, 'watching a single resource supports neither bootstrap contents nor label queries')
    items = _items(node, namespace, resource_type)
    await send(_READY)
    if 'id' in asked:
        await send(_event(items[asked['id']]) if asked['id'] in items else _tombstone(asked['id'], resource_type, namespace))
    elif options.get('bootstrap_contents'):
        events = [_event(found) for resource_id, found in items.items() if _matches(resource_id, options)]
        if asked.get('api_version', 0) >= 1:
            events.append(MESSAGES.encode('cosi.WatchResponse', {'event': [_bootstrapped(resource_type, namespace)]}))
        for message in [b''.join(events)] if options.get('aggregated') else events:
            await send(message)
    while True:
        await asyncio.sleep(_TICK)
        before, items = items, _items(node, namespace, resource_type)
        for resource_id in sorted({*before, *items}):
            if resource_id == asked.get('id', resource_id) and _matches(resource_id, options):
                for message in _change(before.get(resource_id), items.get(resource_id)):
                    await send(message)


def _change(old, new):
    """The WatchResponse that tells of a change, if it is one: created, updated with what it was, destroyed."""
    if old == new:
        return
    event = append_message(b'', 1, new or old) + varint(2 << 3) + varint(_CREATED if old is None else _DESTROYED if new is None else _UPDATED)
    yield append_message(b'', 1, event if old is None or new is None else append_message(event, 3, old))


def _event(encoded_resource):
    """A WatchResponse with one CREATED event."""
    return append_message(b'', 1, append_message(b'', 1, encoded_resource))


def _tombstone(resource_id, resource_type, namespace):
    metadata = {'namespace': namespace, 'type': resource_type, 'id': resource_id, 'version': 'undefined', 'phase': 'running'}
    return MESSAGES.encode('cosi.WatchResponse', {'event': [{'resource': {'metadata': metadata, 'spec': {}}, 'event_type': 'DESTROYED'}]})


def _bootstrapped(resource_type, namespace):
    now = resource.timestamp(datetime.now(timezone.utc))
    metadata = {'namespace': namespace, 'type': resource_type, 'version': 'undefined', 'phase': 'running', 'created': now, 'updated': now}
    return {'resource': {'metadata': metadata, 'spec': {}}, 'event_type': 'BOOTSTRAPPED', 'bookmark': _BOOKMARK}


METHODS = {'Get': get, 'List': list_, 'Watch': watch}
