# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks in a process of their own, with real connections to the simulated cluster, that is killed at one of its calls.

What starts them is a process that has imported everything and done nothing: it forks one for each task. The task says before
each call, and after it was done, where it is; who is told lets it go on, or kills it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading

from tests.unit.remedies.simulated import UNANSWERED, UNSENT, impatient, intercepted, task


class Forks:
    """The process that forks; to be closed."""

    def __init__(self):
        environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(path for path in sys.path if path)}
        self._server = subprocess.Popen([sys.executable, '-m', __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)

    def close(self):
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()

    def killed(self, one, module, at, how, turn=1, **options):
        """Run the task of a module; SIGKILL when it comes to the C(turn)th call of which C(at) is the name or its beginning. Whether it did."""
        job = {'talosconfig': str(one.cluster.directory / 'talosconfig'), 'proxy': one.cluster.proxy, 'module': module, 'options': options, 'at': at}
        self._say(job)
        pid, killed = self._hear()['pid'], False
        while True:
            told = self._hear()
            if 'ended' in told:
                return killed
            turn -= told['how'] == how
            if turn == 0 and told['how'] == how:
                os.kill(pid, signal.SIGKILL)
                killed = True
            else:
                self._say({})

    def _say(self, told):
        self._server.stdin.write(json.dumps(told).encode() + b'\n')
        self._server.stdin.flush()

    def _hear(self):
        return json.loads(self._server.stdout.readline())


def serve(heard, say):
    """Fork for every job that comes; the process that was forked has both pipes until it ends."""
    while True:
        line = heard.readline()
        if not line:
            return
        pid = os.fork()
        if pid == 0:
            try:
                _run(json.loads(line), heard, say)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        say({'ended': True})


def _run(job, heard, say):
    one_at_a_time = threading.Lock()

    def around(name, made):
        if not name.startswith(job['at']):
            return made()
        with one_at_a_time:
            say({'name': name, 'how': UNSENT})
            heard.readline()
        answer = made()
        with one_at_a_time:
            say({'name': name, 'how': UNANSWERED})
            heard.readline()
        return answer

    say({'pid': os.getpid()})
    with intercepted(around), impatient():
        task(job['talosconfig'], job['proxy'], job['module'], False, job['options'])


def main():
    with open(0, 'rb', buffering=0, closefd=False) as heard:  # unbuffered: two processes read from it in turn
        serve(heard, lambda told: os.write(1, json.dumps(told).encode() + b'\n'))


if __name__ == '__main__':
    main()
