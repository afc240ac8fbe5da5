# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of a real etcd, started with the arguments that Talos gives it, and with those that make one of tests start soon.

They never outlive who started them: a keeper of ours holds the end of a pipe, and when that closes ends them and removes their directories.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.simulator.etcd_ports import CLIENT_PORT, OWN, PEER_PORT

_KEEPER = '''
import os, shutil, signal, sys
pids, directory = set(), sys.argv[1]
for line in sys.stdin:
    (pids.add if line[0] == "+" else pids.discard)(int(line[1:]))
for pid in pids:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass
shutil.rmtree(directory, ignore_errors=True)
'''
_ENDS_WITHIN = 60


class Keeper:
    """Ends the processes that it was told of, and removes a directory, when this process is gone or says L(close)."""

    def __init__(self, directory):
        self._process = subprocess.Popen([sys.executable, '-I', '-S', '-c', _KEEPER, str(directory)], stdin=subprocess.PIPE, text=True,
                                         start_new_session=True)

    def keep(self, pid):
        self._say(f'+{pid}')

    def forget(self, pid):
        self._say(f'-{pid}')

    def _say(self, line):
        print(line, file=self._process.stdin, flush=True)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


class Process:
    """One member's process, or none. C(directory) holds its data and its log; C(arguments) are L(arguments)'s."""

    def __init__(self, program, directory, keeper):
        self._program = program
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        self._keeper = keeper
        self._process = None
        self.paused = False
        self.data = self._directory / 'data'
        self.log = self._directory / 'log'

    def start(self, arguments):
        """Start it with these arguments and its data directory."""
        assert not self.running
        self.paused = False
        with open(self.log, 'ab') as log:
            self._process = subprocess.Popen([self._program, *arguments, f'--data-dir={self.data}'], stdin=subprocess.DEVNULL, stdout=log,
                                             stderr=log, start_new_session=True, env={'PATH': os.defpath})
        self._keeper.keep(self._process.pid)

    @property
    def pid(self):
        return self._process.pid if self.running else None

    @property
    def running(self):
        """Whether there is a process, a paused one too."""
        return self._process is not None and self.exit_code is None

    @property
    def exit_code(self):
        """That of the process that ended last, None while it runs."""
        if self._process is None:
            return None
        code = self._process.poll()
        if code is not None:
            self._keeper.forget(self._process.pid)
        return code

    def stop(self, kill=False):
        """End it, in order or as without power; returns when it is gone."""
        if not self.running:
            return
        self._process.send_signal(signal.SIGKILL if kill or self.paused else signal.SIGTERM)
        try:
            self._process.wait(_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.paused = False

    def pause(self):
        """It does nothing any more, and its connections stay open."""
        if self.running:
            self._process.send_signal(signal.SIGSTOP)
            self.paused = True

    def resume(self):
        if self.running and self.paused:
            self._process.send_signal(signal.SIGCONT)
            self.paused = False

    def wipe(self):
        """Its data are gone."""
        shutil.rmtree(self.data, ignore_errors=True)

    @property
    def is_made(self):
        """Whether it has a log of raft, so knows of which members its cluster is."""
        with contextlib.suppress(OSError):
            return any((self.data / 'member' / 'wal').iterdir())
        return False

    @property
    def is_empty(self):
        """Whether its data directory is."""
        with contextlib.suppress(OSError):
            return not any(self.data.iterdir())
        return True

    def lines(self):
        """What it said so far."""
        with contextlib.suppress(OSError):
            return self.log.read_text(encoding='utf-8', errors='replace').splitlines()
        return []

    def wait(self, seconds):
        """Whether it ended by itself within so many seconds."""
        end = time.monotonic() + seconds
        while self.running and time.monotonic() < end:
            time.sleep(0.02)
        return not self.running


def arguments(name, address, pki, version, cluster=None, state='new', extra=()):
    """What Talos starts etcd with (rec: v1.13.9), and what is ours in tests. C(cluster) is {name: address}, none for a member with data."""
    host = f'[{address}]' if ':' in address else address
    new = {} if cluster is None else {
        'initial-advertise-peer-urls': f'https://{host}:{PEER_PORT}', 'initial-cluster-state': state,
        'initial-cluster': ','.join(f'{one}=https://{_host(at)}:{PEER_PORT}' for one, at in cluster.items())}
    given = {
        'name': name, 'auto-tls': 'false', 'peer-auto-tls': 'false', 'advertise-client-urls': f'https://{host}:{CLIENT_PORT}',
        'listen-client-urls': f'https://{host}:{OWN[CLIENT_PORT]}', 'listen-peer-urls': f'https://{host}:{OWN[PEER_PORT]}',
        'client-cert-auth': 'true', 'cert-file': f'{pki}/server.crt', 'key-file': f'{pki}/server.key', 'trusted-ca-file': f'{pki}/ca.crt',
        'peer-client-cert-auth': 'true', 'peer-cert-file': f'{pki}/server.crt', 'peer-key-file': f'{pki}/server.key',
        'peer-trusted-ca-file': f'{pki}/ca.crt', **_of_talos(version), **new, **dict(extra), **_of_tests(version)}
    return [f'--{key}={value}' for key, value in sorted(given.items())]


def _host(address):
    return f'[{address}]' if ':' in address else address


def _of_talos(version):
    if version >= (3, 7):
        return {'feature-gates': 'InitialCorruptCheck=true,CompactHashCheck=true', 'watch-progress-notify-interval': '5s'}
    return {'experimental-initial-corrupt-check': 'true', 'experimental-compact-hash-check-enabled': 'true',
            'experimental-watch-progress-notify-interval': '5s'}


def _of_tests(version):
    """Nothing is written through to a disk, so nothing waits for one; and no machine that is busy with tests looks like a slow disk."""
    return {'unsafe-no-fsync': 'true', 'heartbeat-interval': '100', 'election-timeout': '2000',
            'warning-apply-duration' if version >= (3, 6) else 'experimental-warning-apply-duration': '10s'}
