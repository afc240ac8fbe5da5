# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run for a test end with it, whatever becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bed.programs import Ended, Programs, free_ports
from tests.conftest import ROOT

_HOLDS = '''
import sys, time
from tests.bed.programs import Programs
with Programs() as programs:
    running, gone = programs.start("one", ["sleep", "600"]), programs.start("two", ["sleep", "600"])
    gone.stop()
    running.pause()
    print(running.pid, programs.directory, flush=True)
    time.sleep(600)
'''


def _state(pid):
    """The letter of a process's state; None without one, or where it is a zombie that only waits for its parent."""
    try:
        state = Path(f'/proc/{pid}/stat').read_text('ascii').rpartition(')')[2].split()[0]
    except OSError:
        return None
    return None if state == 'Z' else state


def _until(holds):
    while not holds():
        time.sleep(0.02)


def test_they_and_their_directory_go_with_the_block():
    with pytest.raises(ZeroDivisionError):
        with Programs() as programs:
            one, directory = programs.start('one', ['sh', '-c', 'echo began; exec sleep 600']), programs.directory
            one.wait(lambda: 'began' in one.said())
            one.pause()
            _until(lambda: _state(one.pid) == 'T')
            one.resume()
            _until(lambda: _state(one.pid) == 'S')
            raise ZeroDivisionError
    assert _state(one.pid) is None and not directory.exists() and not one.runs


@pytest.mark.parametrize('kind', [signal.SIGKILL, signal.SIGTERM])
def test_they_go_too_when_the_tests_are_killed(kind):
    with subprocess.Popen([sys.executable, '-c', _HOLDS], cwd=ROOT, text=True, stdout=subprocess.PIPE) as holder:
        try:
            pid, directory = holder.stdout.readline().split()
            _until(lambda: _state(pid) == 'T')
            assert os.path.isdir(directory)
            holder.send_signal(kind)
            holder.wait()
            _until(lambda: _state(pid) is None and not os.path.exists(directory))
        finally:
            holder.kill()


def test_one_that_ends_too_early_says_why():
    with Programs() as programs:
        with pytest.raises(Ended, match='^short ended with 3:\nno such flag$'):
            programs.start('short', ['sh', '-c', 'echo no such flag >&2; exit 3']).wait(lambda: False)
        with pytest.raises(Ended, match='^long was not ready within 0.1 s:\nstarting$'):
            programs.start('long', ['sh', '-c', 'echo starting; exec sleep 600']).wait(lambda: open('/nonexistent'), seconds=0.1)


def test_one_that_is_started_again_has_said_nothing_yet():
    with Programs() as programs:
        first = programs.start('one', ['sh', '-c', 'echo first; exec sleep 600'])
        first.wait(lambda: 'first' in first.log())
        assert first.exit_code is None
        first.stop()
        assert first.exit_code == -signal.SIGKILL
        then = programs.start('one', ['sh', '-c', 'echo then; exec sleep 600'])
        then.wait(then.log)
        assert then.log() == 'then\n' and programs.log('one').read_text() == 'first\nthen\n'


def test_free_ports_are_different():
    assert len(set(free_ports(5))) == 5
