# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-playbook as a person does, in a directory of its own, and read what it said."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.conftest import COLLECTIONS

HERE = Path(__file__).resolve().parent
PLAYBOOK = 'talosops.talos.diagnose'
PROXIES = ('HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY', 'NO_PROXY')


@dataclass
class Run:
    """A finished run; C(text) is stdout and stderr, as they came."""

    code: int
    text: str
    directory: Path
    results: dict = field(default_factory=dict)

    @property
    def reports(self):
        """The reports that lie below the working directory, by cluster."""
        found = {}
        for path in sorted(self.directory.glob('talos-report/*/2*/report.json')):
            report = json.loads(path.read_text())
            found[report['cluster']] = report
        return found

    @property
    def recap(self):
        """Host to {ok: …, failed: …} as in PLAY RECAP."""
        last = self.text.rpartition('PLAY RECAP')[2]
        lines = re.findall(r'^(\S+) +: (.*)$', last, re.MULTILINE)
        return {host: {key: int(value) for key, value in re.findall(r'(\w+)=(\d+)', rest)} for host, rest in lines}

    def says(self, text):
        """Whether it says this, however it was wrapped or quoted on the way."""
        return text in re.sub(r'\s+', ' ', self.text.replace('\\"', '"'))


class Ansible:
    """Runs in C(directory); C(environment) is added to a clean one."""

    def __init__(self, directory, **environment):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / 'home').mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if name.upper() not in PROXIES and not name.startswith(('ANSIBLE_', 'TALOS', 'KUBE'))}
        self.environment = {
            **kept, 'HOME': str(self.directory / 'home'), 'ANSIBLE_COLLECTIONS_PATH': str(COLLECTIONS), 'ANSIBLE_NOCOLOR': '1', 'COLUMNS': '400',
            'ANSIBLE_LOCAL_TEMP': str(self.directory / 'tmp'), 'ANSIBLE_CONNECTION_PLUGINS': str(HERE / 'connection_plugins'),
            'ANSIBLE_ACTION_PLUGINS': str(HERE / 'action_plugins'), **environment}

    def playbook(self, *arguments, playbook=PLAYBOOK, timeout=1500, **environment):
        done = subprocess.run([self.program('ansible-playbook'), playbook, *map(str, arguments)], cwd=self.directory, timeout=timeout, check=False,
                              env={**self.environment, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return Run(done.returncode, done.stdout, self.directory)

    def tasks(self, *tasks, hosts='localhost', inventory=None, arguments=(), **environment):
        """Run C((name, {module: options, …})) tasks; their results are in C(Run.results) by name, also of failed ones."""
        out = self.directory / 'results'
        out.mkdir(exist_ok=True)
        for old in out.iterdir():
            old.unlink()
        steps = []
        for name, task in tasks:
            steps += [{'name': name, **task, 'register': 'result', 'ignore_errors': True},
                      {'name': 'Keep it', 'keep': {'dest': str(out / f'{name}.json'), 'content': '{{ result | to_json }}'}}]
        return self.play([{'name': 'Test', 'hosts': hosts, 'gather_facts': False, 'tasks': steps}], inventory, arguments, **environment)

    def play(self, plays, inventory=None, arguments=(), **environment):
        path = self.write('play.yml', plays)
        given = ['-i', self.write('inventory.yml', inventory)] if inventory else []
        run = self.playbook(*given, *arguments, playbook=path, **environment)
        run.results = {file.stem: json.loads(file.read_text()) for file in (self.directory / 'results').glob('*.json')}
        return run

    def write(self, name, content):
        path = self.directory / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return str(path)

    @staticmethod
    def program(name):
        return str(Path(sys.executable).parent / name)


def as_from_a_terminal():
    """For preexec_fn: what is started in the background ignores SIGINT, and hands that on to all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def elsewhere(directory):
    """Host variables of another host that has Python and the packages, and not the collection."""
    home = Path(directory) / 'elsewhere'
    home.mkdir(exist_ok=True)
    python = home / 'python'
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I "$@"\n')
    python.chmod(0o755)
    return {'ansible_connection': 'elsewhere', 'elsewhere_home': str(home), 'ansible_python_interpreter': str(python), 'ansible_remote_tmp': str(home / 'tmp'),
            'ansible_async_dir': str(home / 'async')}
