# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that resolve in this process, and in Python programs that are started with C(environment()), without a DNS."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path

VARIABLE = 'TESTS_KNOWN_NAMES'
_STARTED = Path(__file__).parent / 'started_with_names'


@contextlib.contextmanager
def known(names):
    """C(names), {name: [addresses]}, resolve while the context lasts."""
    before = socket.getaddrinfo

    def getaddrinfo(host, port, *more, **options):
        told = names.get(host.decode() if isinstance(host, bytes) else host)
        if told is None:
            return before(host, port, *more, **options)
        return [entry for address in told for entry in before(address, port, *more, **options)]

    socket.getaddrinfo = getaddrinfo
    try:
        yield
    finally:
        socket.getaddrinfo = before


def environment(names):
    """Variables with which a Python program resolves these names; none for no names."""
    if not names:
        return {}
    path = os.pathsep.join(filter(None, [str(_STARTED), os.environ.get('PYTHONPATH')]))
    return {'PYTHONPATH': path, VARIABLE: json.dumps(names)}
