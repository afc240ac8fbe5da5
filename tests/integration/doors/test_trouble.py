# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints that are no cluster, and runs that are killed: one clear sentence, no all-clear, nothing left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from running import PLAYBOOK, Ansible, as_from_a_terminal

from tests.bed import pki
from tests.bed.background import Background
from tests.bed.faulty import Closes, PlainHttp, Silent


@pytest.fixture(scope='module')
def bed():
    with Background() as background:
        yield background


@pytest.fixture(scope='module')
def authority():
    return pki.Authority('talos')


def server(kind, authority):
    """A faulty server of this kind."""
    own = authority.server('cp1', dns=['cp1'], ips=['127.0.0.1'])
    now = datetime.now(timezone.utc)
    waiting = pki.Authority(None).server('maintenance-service.talos.dev', dns=['maintenance-service.talos.dev'], ips=['127.0.0.1'])
    old = authority.server('cp1', ips=['127.0.0.1'], not_before=now - timedelta(days=3), not_after=now - timedelta(days=2))
    return {
        'silent': Silent,
        'silent after the handshake': lambda: Silent(pki.server_context(own, authority)),
        'closes': Closes,
        'plain http': PlainHttp,
        'https that is no gRPC': lambda: PlainHttp(pki.server_context(own, authority, alpn=('http/1.1',))),
        'another CA': lambda: Silent(pki.server_context(pki.Authority('talos').server('cp1', ips=['127.0.0.1']), authority)),
        'another name': lambda: Silent(pki.server_context(authority.server('cp1', dns=['cp1'], ips=['10.5.0.2']), authority)),
        'expired': lambda: Silent(pki.server_context(old, authority)),
        'maintenance mode': lambda: Silent(pki.server_context(waiting)),
        'other clients only': lambda: Silent(pki.server_context(own, pki.Authority('talos'))),
    }[kind]()


def talosconfig(ansible, authority, endpoints, **client):
    ansible.write('talosconfig', pki.talosconfig('prod', endpoints, authority, authority.client(['os:admin'], **client)))
    return {'TALOSCONFIG': str(ansible.directory / 'talosconfig')}


@pytest.mark.parametrize('kind, said', [
    ('silent', 'accepts connections on port'),
    ('silent after the handshake', 'the connection is open, but the call was never answered'),
    ('closes', 'breaks them off before the TLS handshake is done'),
    ('plain http', 'does not speak TLS'),
    ('https that is no gRPC', 'speaks TLS, but not gRPC'),
    ('another CA', 'is not signed by the CA of the talosconfig'),
    ('another name', 'is valid for 10.5.0.2, cp1, not for 127.0.0.1'),
    ('expired', 'has expired: valid from'),
    ('maintenance mode', 'is in maintenance mode'),
    ('other clients only', 'refuses the client certificate of the context "prod"'),
])
def test_an_endpoint_that_is_no_talos_api_is_explained(bed, authority, tmp_path, kind, said):
    port = bed.serve(server(kind, authority)).port
    ansible = Ansible(tmp_path)
    run = ansible.playbook('-e', 'talos_timeout=3', '-e', 'talos_deadline=10', **talosconfig(ansible, authority, [f'127.0.0.1:{port}']))
    assert run.code == 2, run.text
    assert run.reports['prod']['class'] == 'not_judged'
    assert run.says('prod: not judged, no control plane node could be read') and run.says('0 of 1 clusters judged')
    assert 'Traceback' not in run.text and 'fault of the collection' not in run.text
    findings = [finding for finding in run.reports['prod']['findings'] if finding['section'].startswith('talos_api.') and finding['verdict'] != 'unknown']
    assert findings and findings[0]['next_step']
    assert run.says(said)
    assert not [key for key, section in run.reports['prod']['sections'].items() if section['verdict'] == 'ok' and not key.startswith('talos_api.')]


@pytest.mark.parametrize('endpoint, said', [('talos.invalid', 'talos.invalid'), ('refused', 'refuse')])
def test_an_endpoint_that_is_not_there_is_explained(authority, tmp_path, endpoint, said):
    if endpoint == 'refused':
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            endpoint = f'127.0.0.1:{taken.getsockname()[1]}'
    ansible = Ansible(tmp_path)
    run = ansible.playbook('-e', 'talos_timeout=3', **talosconfig(ansible, authority, [endpoint]))
    assert run.code == 2 and run.reports['prod']['class'] == 'not_judged' and run.says(said) and 'Traceback' not in run.text


def test_an_expired_client_certificate_is_said_with_its_dates(bed, authority, tmp_path):
    port = bed.serve(server('silent after the handshake', authority)).port
    ansible = Ansible(tmp_path)
    now = datetime.now(timezone.utc)
    dates = {'not_before': now - timedelta(days=400), 'not_after': now - timedelta(days=35)}
    run = ansible.playbook('-e', 'talos_timeout=3', '-e', 'talos_deadline=10', **talosconfig(ansible, authority, [f'127.0.0.1:{port}'], **dates))
    assert run.code == 2 and 'Traceback' not in run.text
    assert run.says('expired') and dates['not_after'].strftime('%Y-%m-%d') in run.text


# -- killed ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def short_path():
    """A directory for TMPDIR: ansible-core 2.21 keeps a unix socket there and does not start where the path is long."""
    with tempfile.TemporaryDirectory(prefix='t-', dir='/tmp') as directory:
        yield Path(directory)


@pytest.fixture
def waiting(bed, authority, tmp_path, short_path):
    """A run that waits for a silent endpoint: (the process, the directories that it may write to)."""
    silent = bed.serve(Silent())
    ansible = Ansible(tmp_path)
    environment = {**ansible.environment, **talosconfig(ansible, authority, [f'127.0.0.1:{silent.port}']), 'TMPDIR': str(short_path)}
    process = subprocess.Popen([ansible.program('ansible-playbook'), PLAYBOOK, '-e', 'talos_timeout=120', '-e', 'talos_deadline=120'], cwd=tmp_path,
                               env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
                               preexec_fn=as_from_a_terminal)
    try:
        patience = time.monotonic() + 60
        while not gathering(tmp_path):
            assert process.poll() is None and time.monotonic() < patience, 'it never began to gather'
            time.sleep(0.1)
        yield process, (tmp_path / 'tmp', short_path)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def gathering(directory):
    """Whether a worker has made the directory of its tunnels, which begins a gather."""
    return any(path.is_socket() for path in (directory / 'tmp').rglob('*')) or len(list((directory / 'tmp').rglob('*'))) > 1


def children(pid):
    said = subprocess.run(['ps', '-A', '-o', 'pid=,ppid='], capture_output=True, text=True, check=True).stdout
    return [int(child) for child, parent in (line.split() for line in said.splitlines()) if int(parent) == pid]


def silent_now(process):
    """What it has said until it is silent for a moment: a run says how far it is every two seconds.

    Ansible hangs for ever where a worker is killed while it holds the lock of the queue to its parent, which it does around every line.
    """
    said = []
    for line in process.stdout:
        said.append(line)
        if 'waiting for' in line:
            break
    time.sleep(1)
    return ''.join(said)


def left_behind(directories):
    """What the run has left."""
    return [str(path) for directory in directories for path in directory.rglob('*')]


def test_ctrl_c_leaves_nothing(waiting):
    process, directories = waiting
    text = silent_now(process)
    os.killpg(process.pid, signal.SIGINT)
    text += process.communicate(timeout=60)[0]
    assert process.returncode != 0 and 'PLAY [Diagnose]' in text
    assert left_behind(directories) == []


def test_a_killed_worker_leaves_nothing(waiting):
    process, directories = waiting
    silent_now(process)
    workers = children(process.pid)
    assert workers
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert left_behind(directories) == []
