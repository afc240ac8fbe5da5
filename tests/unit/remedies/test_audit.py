# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit record: whole lines, whatever else is written at the same time; nothing secret in them, and no way to forge one."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, audit
from tests.bed import pki

RECORD = {'cluster': 'prod', 'who': 'anna', 'step': 3, 'remedy': 'etcd_alarm', 'target': 'cp-1', 'event': 'started', 'does': 'disarm the alarm'}
WRITER = ('import sys, itertools; from ansible_collections.talosops.talos.plugins.module_utils.tasks.audit import Audit; made = Audit(sys.argv[1])\n'
          'for number in range(int(sys.argv[2])) if int(sys.argv[2]) else itertools.count():\n'
          '    made.write({"event": "action", "run": sys.argv[3], "step": number, "reason": "x" * (number % 7 * 1000 % 1900)})')


def lines(path):
    text = path.read_bytes()
    assert text.endswith(b'\n')
    return [json.loads(line) for line in text.decode().split('\n')[:-1]]


def writer(path, count, name):
    return subprocess.Popen([sys.executable, '-c', WRITER, str(path), str(count), name], env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)})


def test_a_record_is_one_line_that_is_appended_for_its_owner_alone(tmp_path):
    path = tmp_path / 'audit.jsonl'
    made = audit.Audit(str(path))
    assert path.read_bytes() == b'' and stat.S_IMODE(path.stat().st_mode) == 0o600
    made.write(RECORD)
    made.write({'event': 'proved', 'at': '2026-01-01T00:00:00Z', 'before': {'alarms': ['NOSPACE cp-1']}, 'after': {'alarms': []}})
    audit.Audit(str(path)).write({'event': 'lock_released'})
    first, second, third = lines(path)
    assert list(first) == list(audit.FIELDS) and first['at'].startswith('20') and first['plan_digest'] is None
    assert {name: first[name] for name in RECORD} == RECORD
    assert second['at'] == '2026-01-01T00:00:00Z' and second['before'] == {'alarms': ['NOSPACE cp-1']} and second['after'] == {'alarms': []}
    assert third['event'] == 'lock_released'


def test_what_is_not_known_is_a_fault_of_the_caller(tmp_path):
    made = audit.Audit(str(tmp_path / 'a'))
    for record in ({'event': 'done'}, {}, {**RECORD, 'password': 'x'}):
        with pytest.raises(ValueError):
            made.write(record)
    assert (tmp_path / 'a').read_bytes() == b''


def test_no_record_can_be_forged_by_what_a_field_holds(tmp_path):
    path = tmp_path / 'a'
    audit.Audit(str(path)).write({**RECORD, 'reason': 'no\x1b[31m\r\n{"event": "proved"}\x00', 'target': 'cp\u2028-1\x85', 'after': {'a\nb': ['\x07']}})
    told, = lines(path)
    assert told['reason'] == ['no [31m', '{"event": "proved"}'] and told['after'] == {'a b': ['']}
    assert not any(each < 0x20 for each in path.read_bytes()[:-1]) and b'\\u' not in path.read_bytes() and b'\\n' not in path.read_bytes()


def test_fields_have_bounds(tmp_path):
    path, deep = tmp_path / 'a', {}
    for _number in range(50):
        deep = {'deeper': [deep]}
    audit.Audit(str(path)).write({**RECORD, 'reason': 'x' * 10**6, 'before': deep, 'after': {str(number): 'y' * 3000 for number in range(1000)},
                                  'does': '\n'.join(['line'] * 1000), 'who': object()})
    told, = lines(path)
    assert path.stat().st_size < 40_000 and len(told['reason']) == 2002 and told['reason'].endswith(' …')
    assert told['does'][-1] == '940 more' and len(told['does']) == 61 and isinstance(told['after'], str) and told['who'].startswith('<object')


def test_secrets_are_hidden_before_anything_is_cut(tmp_path):
    authority = pki.Authority('talos')
    text = pki.talosconfig('prod', ['10.5.0.2'], authority, authority.client(['os:admin']))
    config = tmp_path / 'talosconfig'
    config.write_text(text)
    found = access.find({'talosconfig': str(config)})
    key = next(line.split(':', 1)[1].strip() for line in text.splitlines() if line.strip().startswith('key:'))
    path = tmp_path / 'a'
    made = audit.Audit(str(path), audit.hiding(found))
    made.write({**RECORD, 'reason': f'{"x" * 1990}{key}', 'before': {'key': key, key: [key]}, 'after': text})
    told = path.read_text(encoding='utf-8')
    assert not any(key[at:at + 8] in told for at in range(52, len(key) - 60)), 'what is between the lines BEGIN and END'
    secret = max(access.secrets(found), key=len)
    made.write({**RECORD, 'before': {'is': secret, secret: [f'x{secret}']}})
    assert lines(path)[1]['before'] == {'is': '(hidden)', '(hidden)': ['x(hidden)']}


def test_what_looks_like_a_secret_is_hidden_without_being_asked(tmp_path):
    path = tmp_path / 'a'
    audit.Audit(str(path)).write({**RECORD, 'before': 'Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789', 'reason': 'https://eve:topsecret@host/'})
    assert 'ghijklmnop' not in path.read_text() and 'topsecret' not in path.read_text()


def test_of_two_that_append_at_the_same_time_no_line_is_torn(tmp_path):
    path = tmp_path / 'a'
    running = [writer(path, 150, name) for name in ('one', 'two')]
    assert [each.wait() for each in running] == [0, 0]
    told = lines(path)
    assert {name: [each['step'] for each in told if each['run'] == name] for name in ('one', 'two')} == dict.fromkeys(('one', 'two'), list(range(150)))


def test_a_killed_run_leaves_whole_lines(tmp_path):
    path = tmp_path / 'a'
    running = writer(path, 0, 'killed')
    end = time.monotonic() + 20
    while not (path.exists() and path.stat().st_size > 20_000) and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert [each['step'] for each in lines(path)] == list(range(len(lines(path))))


def test_what_a_full_disk_cut_off_does_not_spoil_the_next_line(tmp_path, monkeypatch):
    path, write = tmp_path / 'a', os.write
    made = audit.Audit(str(path))
    made.write(RECORD)

    def full(handle, data):
        if len(data) < 100:
            raise OSError(errno.ENOSPC, 'No space left on device')
        return write(handle, data[:-50])

    monkeypatch.setattr(audit.os, 'write', full)
    with pytest.raises(InputError, match=f'^The audit record cannot be written to {path}: No space left on device.$'):
        made.write(RECORD)
    monkeypatch.setattr(audit.os, 'write', write)
    made.write({'event': 'failed'})
    first, torn, last = path.read_text(encoding='utf-8').splitlines()
    assert json.loads(first)['event'] == 'started' and json.loads(last)['event'] == 'failed'
    with pytest.raises(ValueError):
        json.loads(torn)


@pytest.mark.parametrize('name, why', [('missing/a', 'No such file or directory'), ('directory', 'it is no file'), ('pipe', 'it is no file'),
                                       ('file/a', 'Not a directory'), ('a' * 300, 'File name too long')])
def test_what_cannot_be_written_is_told_before_anything_is_done(tmp_path, name, why):
    (tmp_path / 'directory').mkdir()
    (tmp_path / 'file').write_text('')
    os.mkfifo(tmp_path / 'pipe')
    with pytest.raises(InputError, match=f'^The audit record cannot be written to .*: {why}.$') as caught:
        audit.Audit(str(tmp_path / name))
    assert caught.value.hint.startswith('Name a file')


def test_a_directory_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    def denied(*_given):
        raise OSError(errno.EROFS, 'Read-only file system')
    monkeypatch.setattr(audit.os, 'open', denied)  # root may write everywhere
    with pytest.raises(InputError, match=': Read-only file system.$'):
        audit.Audit(str(tmp_path / 'a'))
    if os.geteuid():
        monkeypatch.undo()
        tmp_path.chmod(0o500)
        with pytest.raises(InputError, match=': Permission denied.$'):
            audit.Audit(str(tmp_path / 'a'))
        tmp_path.chmod(0o700)
