# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""States that no recorded set shows, made from one by changing how dialling and calls ended."""

from __future__ import annotations

import json
import lzma

import plain_client
import pytest

from tests.replay import recording
from tests.replay.server import serve

VERSION = '/machine.MachineService/Version'


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Make a set 'changed' out of one-cp-down; errors by 'host:port', and a change for each call."""

    def make(errors, change=lambda call: None):
        source, target = recording.DATA / 'one-cp-down', tmp_path / 'changed'
        target.mkdir()
        certificates = json.loads((source / 'certificates.json').read_text())
        for entry in certificates:
            if entry['address'] in errors:
                for key in [key for key in entry if key not in ('address', 'at')]:
                    del entry[key]
                entry['error'] = errors[entry['address']]
        (target / 'certificates.json').write_text(json.dumps(certificates))
        (target / 'meta.json').write_bytes((source / 'meta.json').read_bytes())
        (target / 'kubernetes.jsonl.xz').write_bytes((source / 'kubernetes.jsonl.xz').read_bytes())
        calls = [json.loads(line) for line in lzma.decompress((source / 'calls.jsonl.xz').read_bytes()).decode().split('\n')[:-1]]
        for call in calls:
            change(call)
        (target / 'calls.jsonl.xz').write_bytes(lzma.compress('\n'.join(map(json.dumps, calls)).encode()))
        monkeypatch.setattr(recording, 'DATA', tmp_path)
        recording.load.cache_clear()
        return 'changed'

    yield make
    recording.load.cache_clear()


def test_a_machine_that_let_every_call_hang_lets_others_hang_too(changed):
    def hang(call):
        if call['node'] == 'cp3':
            call.update(code=4, message='context deadline exceeded', duration_ms=10000)

    with serve(changed({'10.5.0.4:50000': 'dial tcp 10.5.0.4:50000: i/o timeout'}, hang)) as replay:
        for method in (VERSION, '/machine.MachineService/NeverAsked'):
            answer = plain_client.ask(replay, '10.5.0.2', method, metadata=[('node', '10.5.0.4')], patience=0.3)
            assert (answer.ended, answer.code, answer.messages) == (False, None, [])
        with plain_client.connect(replay, '10.5.0.4', 50000) as raw:
            raw.settimeout(0.3)
            raw.sendall(b'hello')
            with pytest.raises(TimeoutError):
                raw.recv(1)


def test_a_deadline_that_the_server_itself_reports_is_an_answer(changed):
    def expire(call):
        if call['case'] == 'Hostname' and call['node'] == 'cp2':
            call.update(code=4, message='context deadline exceeded', duration_ms=2)

    with serve(changed({}, expire)) as replay:
        answer = plain_client.ask(replay, '10.5.0.2', '/machine.MachineService/Hostname', metadata=[('node', '10.5.0.3')])
        assert (answer.ended, answer.code, answer.message) == (True, 4, 'context deadline exceeded')


def test_an_endpoint_that_breaks_off_and_a_vip_that_nobody_holds(changed):
    errors = {'10.5.0.3:50000': 'EOF', '10.5.0.100:6443': 'dial tcp 10.5.0.100:6443: connect: no route to host'}
    with serve(changed(errors)) as replay:
        with plain_client.connect(replay, '10.5.0.3', 50000) as raw:
            assert raw.recv(1) == b''
        for port in (6443, 50000):
            with pytest.raises(ConnectionError):
                plain_client.connect(replay, '10.5.0.100', port)
        assert plain_client.ask(replay, '10.5.0.2', VERSION).code == 0
