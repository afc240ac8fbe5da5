# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the playbook in one of the beds, as a person would."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.bed import netns
from tests.conftest import ROOT

PLAYBOOK = str(Path(sys.executable).parent / 'ansible-playbook')


def replay(state):
    """The replay of a recorded state; behind a proxy where this system has no network namespaces."""
    return ['tests.replay', state, *([] if netns.available() else ['--proxy'])]


def has_loopback_aliases():
    """Whether all of 127.0.0.0/8 is this machine, as on Linux."""
    with socket.socket() as probe:
        try:
            probe.bind(('127.5.0.11', 0))
        except OSError:
            return False
    return True


def simulator(*arguments):
    """The simulator; behind a proxy where the loopback has one address only, as on macOS."""
    return ['tests.simulator', *arguments, *([] if has_loopback_aliases() else ['--port'])]


def diagnose(bed, report_dir, *options, capture=False):
    """Run the playbook in a bed (replay() or simulator()); returns (exit code, console output or None, report or None).

    The reports land in C(report_dir), which must hold none of another run.
    """
    return run_playbook([sys.executable, '-m', *bed, '--'], report_dir, *options, capture=capture)


def run_playbook(before, report_dir, *options, capture=False, environment=None, name='diagnose'):
    """The same with a command line C(before) the playbook's, which may be none, and variables of the environment on top."""
    run = subprocess.run([*before, PLAYBOOK, f'talosops.talos.{name}', '-e', f'talos_report_dir={report_dir}', *options],
                         cwd=ROOT, stdin=subprocess.DEVNULL, check=False, text=True, env={**os.environ, **(environment or {})},
                         stdout=subprocess.PIPE if capture else None, stderr=subprocess.STDOUT if capture else None)
    written = sorted(Path(report_dir).glob('**/report.json'))
    return run.returncode, run.stdout, json.loads(written[0].read_text(encoding='utf-8')) if written else None


def banner(text):
    """A title between two lines, before the output of a run."""
    print(f'\n{"=" * 120}\n{text}\n{"=" * 120}', flush=True)
