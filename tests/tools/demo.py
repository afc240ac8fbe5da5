# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: diagnose a healthy simulated cluster, then a broken one, as a person would (make demo)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

REPORTS = ROOT / '.build' / 'demo'
RUNS = (
    ('A healthy cluster: three control plane nodes and two workers. Every section that is built should be ok.',
     ['--healthy'], 'healthy', 0),
    ('The same cluster with a compound fault (tests/scenarios/compound.yaml): the report leads with causes, and because the\n'
     'cluster is in a critical state, ansible-playbook ends with an error, as a nightly job should.',
     ['tests/scenarios/compound.yaml'], 'critical', 2),
)


def diagnose(title, bed, report_dir):
    """One run in the simulator; returns (exit code, class of the report or None)."""
    print(f'\n{"=" * 120}\n{title}\n{"=" * 120}', flush=True)
    run = subprocess.run([sys.executable, '-m', 'tests.simulator', *bed, '--', 'ansible-playbook', 'talosops.talos.diagnose',
                          '-e', f'talos_report_dir={report_dir}'], cwd=ROOT, check=False)
    reports = sorted(Path(report_dir).glob('**/report.json'))
    return run.returncode, json.loads(reports[-1].read_text())['class'] if reports else None


def main():
    shutil.rmtree(REPORTS, ignore_errors=True)
    surprises = []
    for number, (title, bed, wanted_class, wanted_code) in enumerate(RUNS, 1):
        code, found = diagnose(title, bed, REPORTS / str(number))
        if (code, found) != (wanted_code, wanted_class):
            surprises.append(f'run {number} ended with {code} and class {found}, not with {wanted_code} and {wanted_class}')
    print(f'\nThe reports lie in {REPORTS.relative_to(ROOT)}/. On your own cluster: README.md, "Your own cluster".')
    sys.exit('; '.join(surprises) or 0)


if __name__ == '__main__':
    main()
