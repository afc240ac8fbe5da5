# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs diagnose.yml against every recorded state of a real cluster (make replay).

    python -m tests.tools.run_replay [STATE ...]
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

from tests.conftest import ROOT

DATA = ROOT / 'tests' / 'replay' / 'data'
OUT = ROOT / '.build' / 'replay'
NOT_STATES = ('wire',)


def states():
    """The names of the recorded states of a whole cluster."""
    return sorted(path.name for path in DATA.iterdir() if path.is_dir() and path.name not in NOT_STATES)


def diagnose(state):
    """Run the playbook against one state; its report, or None where it left none."""
    out = OUT / state
    shutil.rmtree(out, ignore_errors=True)
    print(f'\n{"=" * 120}\n{state}\n{"=" * 120}', flush=True)
    subprocess.run([sys.executable, '-m', 'tests.replay', state, '--', 'ansible-playbook', 'talosops.talos.diagnose',
                    '-e', f'talos_report_dir={out}', '-e', 'talos_fail_on=never'], cwd=ROOT, check=False)
    written = sorted(out.glob('**/report.json'))
    return json.loads(written[0].read_text(encoding='utf-8')) if written else None


def main():
    known = states()
    wanted = sys.argv[1:] or known
    if set(wanted) - set(known):
        sys.exit(f'There is no recorded state {", ".join(sorted(set(wanted) - set(known)))}; there are {", ".join(known)}.')
    lines, failed = [], []
    for state in wanted:
        report = diagnose(state)
        if report is None:
            failed.append(state)
            continue
        judged = sum(section['verdict'] != 'unknown' for section in report['sections'].values())
        lines.append(f'{state:16} {report["class"]:12} {judged:2} of {len(report["sections"])} sections judged, {len(report["findings"])} findings')
    print('\n' + '\n'.join(lines))
    sys.exit(f'No report of {", ".join(failed)}.' if failed else 0)


if __name__ == '__main__':
    main()
