# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs diagnose.yml against every recorded state of a real cluster (make replay).

    python -m tests.tools.run_replay [STATE ...]
"""

from __future__ import annotations

import shutil
import sys

from tests.conftest import ROOT
from tests.tools.diagnose import banner, diagnose, replay

DATA = ROOT / 'tests' / 'replay' / 'data'
OUT = ROOT / '.build' / 'replay'
NOT_STATES = ('wire',)


def states():
    """The names of the recorded states of a whole cluster."""
    return sorted(path.name for path in DATA.iterdir() if path.is_dir() and path.name not in NOT_STATES)


def main():
    known = states()
    wanted = sys.argv[1:] or known
    if set(wanted) - set(known):
        sys.exit(f'There is no recorded state {", ".join(sorted(set(wanted) - set(known)))}; there are {", ".join(known)}.')
    lines, failed = [], []
    for state in wanted:
        banner(state)
        shutil.rmtree(OUT / state, ignore_errors=True)
        _code, _console, report = diagnose(replay(state), OUT / state, '-e', 'talos_fail_on=never')
        if report is None:
            failed.append(state)
            continue
        judged = sum(section['verdict'] != 'unknown' for section in report['sections'].values())
        lines.append(f'{state:16} {report["class"]:12} {judged:2} of {len(report["sections"])} sections judged, {len(report["findings"])} findings')
    print('\n' + '\n'.join(lines))
    sys.exit(f'No report of {", ".join(failed)}.' if failed else 0)


if __name__ == '__main__':
    main()
