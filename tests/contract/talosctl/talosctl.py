# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real talosctl, run against a cluster of the bed."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass

import yaml

_GAP = re.compile(r' {2,}(?=\S)')


@dataclass(frozen=True)
class Said:
    """What a run printed, with its exit code."""

    code: int
    out: str
    err: str

    @property
    def rows(self):
        return rows(self.out)

    @property
    def documents(self):
        """The documents that C(-o json) prints one after the other."""
        found, rest, decoder = [], self.out.lstrip(), json.JSONDecoder()
        while rest:
            document, end = decoder.raw_decode(rest)
            found.append(document)
            rest = rest[end:].lstrip()
        return found

    @property
    def yaml(self):
        """The documents that C(-o yaml) prints."""
        return list(yaml.safe_load_all(self.out))


def rows(text):
    """A table as [{column: text}]: columns begin where their heading does, as Go's tabwriter lays them out."""
    head, *lines = text.splitlines()
    starts = [0, *(gap.end() for gap in _GAP.finditer(head))]
    ends = [*starts[1:], None]
    names = [head[start:end].strip() for start, end in zip(starts, ends)]
    return [dict(zip(names, (line[start:end].strip() for start, end in zip(starts, ends)))) for line in lines]


class Talosctl:
    """C(run('services', nodes=['cp-1'])) for a cluster."""

    def __init__(self, path, cluster, home):
        self.path = path
        self.cluster = cluster
        self.home = home

    def run(self, *arguments, nodes=('cp-1',), endpoint=None, timeout=300):
        """What it says. Names of nodes are the scenario's; C(timeout) only ends a run that hangs."""
        command = [self.path, *arguments]
        if nodes:
            command += ['--nodes', ','.join(self.cluster.address(name) for name in nodes)]
        if endpoint:
            command += ['--endpoints', self.cluster.address(endpoint)]
        environment = {'PATH': os.environ['PATH'], 'HOME': str(self.home), **self.cluster.environment}
        done = subprocess.run(command, env=environment, cwd=self.home, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout,
                              check=False)
        return Said(done.returncode, done.stdout, done.stderr)

    def read(self, *arguments, **options):
        """The same for a run that must succeed."""
        said = self.run(*arguments, **options)
        assert said.code == 0, said
        return said
