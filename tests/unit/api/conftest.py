# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and servers that the client's tests share."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import lzma
import os
import threading
import time
from pathlib import Path

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig, wire
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from tests.bed import pki
from tests.bed.background import Background
from tests.bed.grpc_server import UNIMPLEMENTED, GrpcServer, Status

VERSION = '/machine.MachineService/Version'


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    """Nobody's own talosconfig, context or proxy."""
    for name in ('TALOSCONFIG', 'TALOS_HOME', 'TALOS_CONTEXT', 'HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy'):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope='session')
def authority():
    return pki.Authority('talos')


@pytest.fixture(scope='session')
def identity(authority):
    """What cp-1 serves."""
    return authority.server('cp-1', dns=['cp-1'], ips=['127.0.0.1', '127.0.0.2', '127.0.0.3', '::1'])


@pytest.fixture(scope='session')
def admin(authority):
    return authority.client(['os:admin'])


@pytest.fixture
def background():
    with Background() as running:
        yield running


async def answers_version(call):
    """A handler that answers Version with the node that was asked for as its tag, and nothing else."""
    if call.method != VERSION:
        raise Status(UNIMPLEMENTED, f'unknown method {call.method.rpartition("/")[2]}')
    tag = ','.join(call.values('node')) or 'direct'
    await call.send(wire.encode('machine.VersionResponse', {'messages': [{'version': {'tag': tag}}]}))


def recorded(case):
    """The first recorded call of a case: (request bytes, [response bytes])."""
    row = next(row for row in recordings() if row['case'] == case)
    return base64.b64decode(row['requests'][0]['base64']), [base64.b64decode(message['base64']) for message in row['responses']]


@functools.cache
def recordings():
    """All recorded calls: {case, method, requests: [{base64, json, type}], responses: [...]}, JSON by the vendor."""
    with lzma.open(Path(__file__).parent / 'data' / 'wire.jsonl.xz', 'rt') as lines:
        return [json.loads(line) for line in lines]


class Bed:
    """Servers of one cluster, and clients of them."""

    def __init__(self, background, authority, identity, admin):
        self.background = background
        self.authority = authority
        self.identity = identity
        self.admin = admin

    def tls(self, identity=None, **options):
        return pki.server_context(identity or self.identity, self.authority, **options)

    def serve(self, handler=answers_version, tls=None, **options):
        return self.background.serve(GrpcServer(handler, tls=tls or self.tls(), **options))

    def context(self, *endpoints, authority=None, client=None, **extra):
        text = pki.talosconfig('test', endpoints, authority or self.authority, client or self.admin, **extra)
        return talosconfig.load(content=text, environ={})

    def client(self, *servers, proxy=None, timeout=10.0, tmp_dir=None, **options):
        """A client whose endpoints are servers or texts."""
        endpoints = [server if isinstance(server, str) else server.address for server in servers]
        return Client(self.context(*endpoints, **options), proxy=proxy, timeout=timeout, tmp_dir=tmp_dir)


@pytest.fixture
def bed(background, authority, identity, admin):
    return Bed(background, authority, identity, admin)


def until(condition, seconds=10):
    """Wait until something has happened in another thread."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'it did not happen'
        time.sleep(0.005)


@contextlib.contextmanager
def nothing_left_behind(directory):
    """No directory, thread or open file more than before."""
    threads, files = set(threading.enumerate()), _open_files()
    yield
    assert os.listdir(directory) == []
    until(lambda: set(threading.enumerate()) <= threads)
    until(lambda: _open_files() <= files)


def _open_files():
    return len(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else 0
