# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that take the place of others: whole or not at all, and nothing is left of a run that was killed."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.tasks import scratch

PREFIX = '.made-'


def put(path, data):
    with scratch.replacing(str(path), PREFIX) as file:
        file.write(data)


def test_it_is_there_when_it_is_whole(tmp_path):
    path = tmp_path / 'file'
    put(path, b'old')
    with pytest.raises(ZeroDivisionError):
        with scratch.replacing(str(path), PREFIX) as file:
            file.write(b'half')
            raise ZeroDivisionError
    assert path.read_bytes() == b'old' and os.listdir(tmp_path) == ['file'] and stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_nobody_writes_any_more_is_cleared_away_and_nothing_else(tmp_path):
    (tmp_path / '.made-old').write_bytes(b'key')
    (tmp_path / 'kept').write_bytes(b'mine')
    (tmp_path / '.made-link').symlink_to(tmp_path / 'kept')
    (tmp_path / '.made-directory').mkdir()
    put(tmp_path / 'file', b'new')
    assert sorted(os.listdir(tmp_path)) == ['.made-directory', '.made-link', 'file', 'kept']


def test_what_another_writes_now_stays(tmp_path):
    with scratch.replacing(str(tmp_path / 'one'), PREFIX) as first:
        first.write(b'1')
        put(tmp_path / 'two', b'2')
        first.write(b'1')
    assert (tmp_path / 'one').read_bytes() == b'11' and (tmp_path / 'two').read_bytes() == b'2' and sorted(os.listdir(tmp_path)) == ['one', 'two']


def test_many_at_once_clear_away_nothing_of_each_other(tmp_path):
    def write(name):
        for number in range(60):
            put(tmp_path / name, f'{name} {number}'.encode())

    failed = []
    before, threading.excepthook = threading.excepthook, lambda told: failed.append(told.exc_value)
    try:
        threads = [threading.Thread(target=write, args=(f'file-{number}',)) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        threading.excepthook = before
    assert failed == [] and {path.name: path.read_text() for path in tmp_path.iterdir()} == {f'file-{number}': f'file-{number} 59' for number in range(5)}
