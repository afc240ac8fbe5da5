# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real programs that run for a test, in a directory of their own: neither outlives it, however it ends.

A shell stands by that reads a pipe from this process. When the pipe closes without a word, which is what SIGKILL does, it
ends what runs still and removes the directory.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

# Lines are "+pid" and "-pid" of processes that began and ended, and "done".
_STANDS_BY = '''
while read -r line; do
  case "$line" in
    done) exit 0;;
    +*) pids="$pids ${line#+}";;
    -*) kept=""; for pid in $pids; do [ "$pid" = "${line#-}" ] || kept="$kept $pid"; done; pids="$kept";;
  esac
done
for pid in $pids; do kill -KILL "$pid"; done
rm -rf "$1"
'''
_POLL = 0.05
_LAST_LINES = 15
_TERM_SECONDS = 5.0


class Ended(Exception):
    """A program ended by itself, or was not ready in time; with what it said last."""


class Programs:
    """Context manager: C(directory) for their files, C(start(name, command)) for each."""

    def __init__(self, prefix='talos-programs-'):
        self._prefix = prefix
        self._running = {}

    def __enter__(self):
        self.directory = Path(tempfile.mkdtemp(prefix=self._prefix))
        self._guard = subprocess.Popen(['sh', '-c', _STANDS_BY, 'sh', str(self.directory)], text=True, stdin=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        return self

    def __exit__(self, *_exc):
        for program in reversed(list(self._running.values())):
            program.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._tell('done')
            self._guard.stdin.close()
        self._guard.wait()

    def start(self, name, command, environment=None):
        """Start a program; what it says goes to C(<name>.log) in the directory."""
        with open(self.log(name), 'ab') as log:
            begins = log.tell()
            process = subprocess.Popen(command, cwd=self.directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                       start_new_session=True)
        self._tell(f'+{process.pid}')
        program = Program(self, name, process, begins)
        self._running[program.pid] = program
        return program

    def log(self, name):
        """Where programs that were started under a name say what they say, one after the other."""
        return self.directory / f'{name}.log'

    def ended(self, program):
        """It is gone: nobody ends another by its id."""
        if self._running.pop(program.pid, None):
            with contextlib.suppress(OSError):
                self._tell(f'-{program.pid}')

    def _tell(self, line):
        self._guard.stdin.write(f'{line}\n')
        self._guard.stdin.flush()


class Program:
    """One process."""

    def __init__(self, programs, name, process, begins):
        self.name = name
        self._begins = begins
        self.pid = process.pid
        self._programs = programs
        self._process = process

    @property
    def exit_code(self):
        """None while it runs."""
        code = self._process.poll()
        if code is not None:
            self._programs.ended(self)
        return code

    @property
    def runs(self):
        return self.exit_code is None

    def pause(self):
        """It stands still: its connections stay open, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def stop(self, kind=signal.SIGKILL):
        """End it; with SIGTERM in good order, for so long as that may take."""
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(kind)
        try:
            self._process.wait(_TERM_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._programs.ended(self)

    def wait(self, ready, seconds=120.0):
        """What C(ready()) returns once that is true; an OSError of it is "not yet". Raises Ended."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError):
                found = ready()
                if found:
                    return found
            if not self.runs:
                raise Ended(f'{self.name} ended with {self._process.returncode}:\n{self.said()}')
            if time.monotonic() >= end:
                raise Ended(f'{self.name} was not ready within {seconds:g} s:\n{self.said()}')
            time.sleep(_POLL)

    def log(self):
        """What it has said since it began."""
        with open(self._programs.log(self.name), 'rb') as log:
            log.seek(self._begins)
            return log.read().decode('utf-8', 'replace')

    def said(self):
        """The last lines of that."""
        return '\n'.join(line[:300] for line in self.log().splitlines()[-_LAST_LINES:])


def free_ports(count, host='127.0.0.1'):
    """Ports that nobody has now."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _number in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]
