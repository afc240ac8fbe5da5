# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recorded Kubernetes API server answers."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import parse_qsl, urlsplit

PORT = 6443
# Parameters with which the answer is the one that was recorded without them, or may be.
_HARMLESS = {'limit', 'pretty', 'resourceVersion', 'resourceVersionMatch', 'timeout', 'timeoutSeconds', 'verbose'}


def answers_of(said, address):
    """What was recorded of the API server at C(address) itself."""
    return [answer for answer in said.kubernetes if urlsplit(answer['server']).hostname == address]


def handler(said, address):
    """The handler of the API server at C(address) for an HttpsServer; C(said) is the Recording."""
    own = answers_of(said, address)
    # A list is the same from every server; health is each server's own.
    others = [answer for answer in said.kubernetes if answer not in own and not _path(answer['path'])[0].endswith('z')]

    async def answer_to(request):
        if request.peer is None:
            return _status(401, 'Unauthorized', 'Unauthorized')
        if request.method != 'GET':
            return _status(501, 'NotImplemented', 'not recorded')
        for answer in own + others:
            if _path(answer['path']) == _path(request.path):
                if 'error' in answer:
                    await asyncio.get_running_loop().create_future()
                body = answer['body'] if isinstance(answer['body'], str) else json.dumps(answer['body'])
                return answer['http_status'], answer['content_type'], body.encode()
        return _status(501, 'NotImplemented', 'not recorded')

    return answer_to


def _path(path):
    """A path and its parameters, as far as they choose what is answered."""
    parts = urlsplit(path)
    return parts.path, {name: value for name, value in parse_qsl(parts.query) if name not in _HARMLESS}


def _status(code, reason, message):
    body = {'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Failure', 'message': message, 'reason': reason, 'code': code}
    return code, 'application/json', json.dumps(body).encode()
