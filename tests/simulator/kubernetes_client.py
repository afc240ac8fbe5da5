# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of a real Kubernetes API for what the bed itself does there; it shares no code with the collection's."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading

from tests.bed import pki

MERGE = 'application/merge-patch+json'
_SECONDS = 60


class Refused(Exception):
    """The API refused a request; C(code) and C(message) are those of its Status."""

    def __init__(self, method, path, code, message):
        super().__init__(f'{method} {path}: {code}: {message}')
        self.code = code
        self.message = message


class Api:
    """One user's way to an API server. Each thread has a connection of its own."""

    def __init__(self, port, authority, identity=None, host='127.0.0.1'):
        self._place = host, port
        self._context = pki.client_context(authority, identity, alpn=())
        self._own = threading.local()

    def call(self, method, path, body=None, kind='application/json'):
        """(status, what was answered): a document, or text where it is none. Raises OSError."""
        data = None if body is None else json.dumps(body)
        for again in (True, False):
            connection, fresh = self._connection()
            try:
                connection.request(method, path, data, {'Content-Type': kind} if data else {})
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if fresh or not again:
                    raise OSError(f'{method} {path}: {error or type(error).__name__}') from error
                continue  # the server closed a connection that nobody used
            text = content.decode('utf-8', 'replace')
            return answer.status, json.loads(text) if 'json' in answer.headers.get('content-type', '') else text

    def ask(self, method, path, body=None, kind='application/json'):
        """The document that was answered. Raises Refused, OSError."""
        status, found = self.call(method, path, body, kind)
        if status >= 300:
            raise Refused(method, path, status, found.get('message') if isinstance(found, dict) else found)
        return found

    def get(self, path):
        return self.ask('GET', path)

    def has(self, path):
        """Whether there is such an object."""
        status, found = self.call('GET', path)
        if status not in (200, 404):
            raise Refused('GET', path, status, found)
        return status == 200

    def _connection(self):
        fresh = getattr(self._own, 'connection', None) is None
        if fresh:
            self._own.connection = http.client.HTTPSConnection(*self._place, context=self._context, timeout=_SECONDS)
        return self._own.connection, fresh

    def close(self):
        """Close this thread's connection."""
        with contextlib.suppress(AttributeError):
            self._own.connection.close()
        self._own.connection = None
