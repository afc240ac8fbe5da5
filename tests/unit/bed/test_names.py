# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that resolve without a DNS, here and in programs that are started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from tests.bed import names

NAMES = {'k8s.example.com': ['127.5.0.11', '127.5.0.12']}
PROGRAM = 'import socket; print(*sorted(entry[4][0] for entry in socket.getaddrinfo("k8s.example.com", 6443, type=socket.SOCK_STREAM)))'


def test_a_name_resolves_while_the_context_lasts():
    before = socket.getaddrinfo
    with names.known(NAMES):
        assert [entry[4] for entry in socket.getaddrinfo('k8s.example.com', 6443, type=socket.SOCK_STREAM)] == [('127.5.0.11', 6443), ('127.5.0.12', 6443)]
        assert socket.getaddrinfo('127.0.0.1', 1) == before('127.0.0.1', 1)
    assert socket.getaddrinfo is before


def test_a_program_that_is_started_knows_it_too():
    environment = {**os.environ, **names.environment(NAMES)}
    done = subprocess.run([sys.executable, '-c', PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == NAMES['k8s.example.com']
    assert names.environment({}) == names.environment(None) == {}
