# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the playbook in one of the beds, as a person would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

PLAYBOOK = str(Path(sys.executable).parent / 'ansible-playbook')


def diagnose(bed, report_dir, *options, capture=False):
    """C(bed) is the bed's module and arguments; returns (exit code, console output or None, report or None).

    The reports land in C(report_dir), which must hold none of another run.
    """
    run = subprocess.run([sys.executable, '-m', *bed, '--', PLAYBOOK, 'talosops.talos.diagnose', '-e', f'talos_report_dir={report_dir}', *options],
                         cwd=ROOT, stdin=subprocess.DEVNULL, check=False, text=True,
                         stdout=subprocess.PIPE if capture else None, stderr=subprocess.STDOUT if capture else None)
    written = sorted(Path(report_dir).glob('**/report.json'))
    return run.returncode, run.stdout, json.loads(written[0].read_text(encoding='utf-8')) if written else None


def banner(text):
    """A title between two lines, before the output of a run."""
    print(f'\n{"=" * 120}\n{text}\n{"=" * 120}', flush=True)
