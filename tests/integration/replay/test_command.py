# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.bed import netns

REACHES = """
import os, socket, sys, urllib.parse, yaml
document = yaml.safe_load(open(os.environ['TALOSCONFIG']))
endpoint = document['contexts'][document['context']]['endpoints'][2]
assert 'NO_PROXY' not in os.environ
if 'HTTPS_PROXY' in os.environ:
    proxy = urllib.parse.urlsplit(os.environ['HTTPS_PROXY'])
    with socket.create_connection((proxy.hostname, proxy.port)) as plain:
        plain.sendall(f'CONNECT {endpoint}:50000 HTTP/1.1\\r\\n\\r\\n'.encode())
        print(plain.recv(12).decode())
else:
    socket.create_connection((endpoint, 50000)).close()
    print('connected')
sys.exit(7)
"""


def command(*arguments):
    return [sys.executable, '-m', 'tests.replay', *arguments]


def run(tmp_path, *arguments):
    environment = {**os.environ, 'TMPDIR': str(tmp_path), 'NO_PROXY': '*'}
    return subprocess.run(command(*arguments), cwd=netns.ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def _namespaces():
    problem = netns.problem()
    if problem:
        pytest.skip(problem)


@pytest.mark.usefixtures('_namespaces')
def test_a_command_in_the_namespace(tmp_path):
    done = run(tmp_path, 'healthy', '--', sys.executable, '-c', REACHES)
    assert (done.returncode, done.stdout, done.stderr) == (7, 'connected\n', '')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures('_namespaces')
def test_a_machine_that_is_off_refuses(tmp_path):
    done = run(tmp_path, 'one-cp-down', '--', sys.executable, '-c', REACHES)
    assert done.returncode == 1
    assert 'ConnectionRefusedError' in done.stderr


def test_behind_the_proxy_without_a_namespace(tmp_path):
    out = tmp_path / 'out'
    for name, answer in (('healthy', '200'), ('one-cp-down', '502')):
        done = run(tmp_path, name, '--proxy', '--talosconfig-out', str(out), '--', sys.executable, '-c', REACHES)
        assert (done.returncode, done.stdout, done.stderr) == (7, f'HTTP/1.1 {answer}\n', '')
        assert out.read_text().startswith(f'context: {name}\n')
        assert out.stat().st_mode & 0o777 == 0o600
        out.unlink()
        assert list(tmp_path.iterdir()) == []


def test_mistakes_are_one_sentence(tmp_path):
    done = run(tmp_path, 'nosuch', '--', 'true')
    assert (done.returncode, done.stderr.count('\n')) == (125, 1)
    assert done.stderr.startswith("There is no recorded set 'nosuch'; there are: healthy, ")
    done = run(tmp_path, 'healthy', '--proxy', '--', 'no-such-command')
    assert (done.returncode, done.stderr) == (127, 'no-such-command: No such file or directory\n')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('number, expected', [(signal.SIGTERM, 143), (signal.SIGINT, 5)])
def test_a_signal_ends_the_command_first_and_leaves_nothing_behind(tmp_path, number, expected):
    script = 'trap "exit 5" INT; echo ready; while :; do sleep 0.05; done'
    process = subprocess.Popen(
        command('healthy', '--proxy', '--', 'sh', '-c', script),
        cwd=netns.ROOT,
        env={**os.environ, 'TMPDIR': str(tmp_path)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout.readline() == b'ready\n'
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    assert process.wait(60) == expected
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []
