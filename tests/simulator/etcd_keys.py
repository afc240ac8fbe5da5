# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of a real etcd, by the JSON gateway on its client port: for what no API of Kubernetes offers."""

from __future__ import annotations

import base64
import http.client
import json
from dataclasses import dataclass

from tests.bed import pki

_MOST = 60  # operations in one transaction; etcd takes 128


@dataclass(frozen=True)
class Place:
    """Where an etcd serves its clients, as (host, port) of each member; who signed its certificates; and a client's certificate for it."""

    members: tuple
    authority: pki.Authority
    client: pki.Identity


class Keys:
    """The keys and values of one etcd. C(authority) signed its certificate, C(identity) is shown to it."""

    def __init__(self, host, port, authority, identity):
        self._connection = http.client.HTTPSConnection(host, port, context=pki.client_context(authority, identity, alpn=()), timeout=30)

    def close(self):
        self._connection.close()

    def below(self, prefix):
        """[(key, value, revision of its last change)] of the keys that begin so."""
        found = self._call('range', {'key': _base64(prefix.encode()), 'range_end': _base64(_end(prefix))})
        return [(base64.b64decode(each['key']).decode(), base64.b64decode(each['value']), each['mod_revision']) for each in found.get('kvs', ())]

    def replace(self, changes):
        """Put values in the place of those of these revisions: [(key, value, revision)]. Returns whether all are as they were then; each keeps its lease."""
        whole = True
        for at in range(0, len(changes), _MOST):
            part = changes[at:at + _MOST]
            said = self._call('txn', {
                'compare': [{'target': 'MOD', 'result': 'EQUAL', 'key': _base64(key.encode()), 'mod_revision': revision} for key, _value, revision in part],
                'success': [{'request_put': {'key': _base64(key.encode()), 'value': _base64(value), 'ignore_lease': True}} for key, value, _revision in part]})
            whole = bool(said.get('succeeded')) and whole
        return whole

    def delete(self, prefixes):
        """Delete all keys that begin so, at once."""
        self._call('txn', {'success': [{'request_delete_range': {'key': _base64(prefix.encode()), 'range_end': _base64(_end(prefix))}}
                                       for prefix in prefixes]})

    def compact(self):
        """Forget every revision but the last, and tell API servers as the one tells the others that does so every five minutes."""
        now = self._call('range', {'key': _base64(b'compact_rev_key'), 'count_only': True})['header']['revision']
        self._call('put', {'key': _base64(b'compact_rev_key'), 'value': _base64(now.encode())})
        self._call('compaction', {'revision': now, 'physical': True})

    def _call(self, method, body):
        self._connection.request('POST', f'/v3/kv/{method}', json.dumps(body))
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise OSError(f'etcd answered {answer.status}: {text[:300]!r}')
        return json.loads(text)


def _end(prefix):
    """The first key after all that begin so."""
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])


def _base64(data):
    return base64.b64encode(data).decode()
