# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of a real etcd, started with the arguments that Talos gives it, and with those that make one of tests start soon."""

from __future__ import annotations

import contextlib
import os
import shutil

from tests.simulator.etcd_ports import CLIENT_PORT, OWN, PEER_PORT


class Process:
    """One member's process, or none. C(programs) is the L(Programs) among which it runs as C(name); C(data) is its directory."""

    def __init__(self, programs, name, program):
        self._programs = programs
        self._name = name
        self._program = program
        self._started = None
        self.paused = False
        self.data = programs.directory / name

    def start(self, arguments):
        """Start it with these arguments and its data directory."""
        assert not self.running
        self.paused = False
        self._started = self._programs.start(self._name, [self._program, *arguments, f'--data-dir={self.data}'], {'PATH': os.defpath})

    @property
    def pid(self):
        return self._started.pid if self.running else None

    @property
    def running(self):
        """Whether there is a process, a paused one too."""
        return self._started is not None and self._started.runs

    @property
    def exit_code(self):
        """That of the process that ended last, None while it runs."""
        return self._started and self._started.exit_code

    def stop(self):
        """End it, as without power."""
        if self.running:
            self._started.stop()
        self.paused = False

    def pause(self):
        """It does nothing any more, and its connections stay open."""
        if self.running:
            self._started.pause()
            self.paused = True

    def resume(self):
        if self.running and self.paused:
            self._started.resume()
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
        """What it said so far, before it was started anew too."""
        with contextlib.suppress(OSError):
            return self._programs.log(self._name).read_text(encoding='utf-8', errors='replace').splitlines()
        return []


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
