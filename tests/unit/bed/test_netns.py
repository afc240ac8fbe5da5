# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.bed import netns

PROBE = """
import errno, socket, sys
for address in ('10.5.0.2', '10.200.3.4', 'fd00::20'):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    with socket.create_server((address, 50000), family=family):
        socket.create_connection((address, 50000), timeout=10).close()
for address, expected in (('10.5.0.9', errno.ECONNREFUSED), ('192.0.2.1', errno.ENETUNREACH)):
    try:
        socket.create_connection((address, 50000), timeout=10)
    except OSError as error:
        assert error.errno == expected, error
    else:
        raise AssertionError(address)
sys.exit(7)
"""


@pytest.fixture(scope='module', autouse=True)
def _namespaces_are_permitted():
    problem = netns.problem()
    if problem:
        pytest.skip(problem)


def run(*arguments, **kwargs):
    return subprocess.run(netns.command(arguments), cwd=netns.ROOT, capture_output=True, text=True, check=False, **kwargs)


def test_addresses_are_local_and_the_exit_code_is_the_commands():
    done = run(sys.executable, '-c', PROBE)
    assert (done.returncode, done.stderr) == (7, '')


def test_a_command_that_does_not_exist():
    done = run('no-such-command')
    assert (done.returncode, done.stderr) == (127, 'no-such-command: No such file or directory\n')


def test_a_network_of_ones_own():
    done = run('readlink', '/proc/self/ns/net')
    assert done.stdout.strip() != os.readlink('/proc/self/ns/net')


def test_a_refusal_is_one_sentence(monkeypatch):
    def refuse(_flags):
        raise PermissionError(1, 'Operation not permitted')

    monkeypatch.setattr(netns, '_unshare', refuse)
    with pytest.raises(netns.NotPermitted, match=r'^This user may not make a network namespace here \(Operation not permitted\);'):
        netns.enter()
