# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: diagnose a healthy simulated cluster, then a broken one, as a person would (make demo)."""

from __future__ import annotations

import shutil
import sys

from tests.conftest import ROOT
from tests.tools.diagnose import banner, diagnose, simulator

REPORTS = ROOT / '.build' / 'demo'
RUNS = (
    ('A healthy cluster: three control plane nodes and two workers. Every section that is built should be ok.',
     ['--healthy'], 'healthy', 0),
    ('The same cluster with a compound fault (tests/scenarios/compound.yaml): the report leads with causes, and because the\n'
     'cluster is in a critical state, ansible-playbook ends with an error, as a nightly job should.',
     ['tests/scenarios/compound.yaml'], 'critical', 2),
)


def main():
    shutil.rmtree(REPORTS, ignore_errors=True)
    surprises = []
    for number, (title, bed, wanted_class, wanted_code) in enumerate(RUNS, 1):
        banner(title)
        code, _console, report = diagnose(simulator(*bed), REPORTS / str(number))
        found = report and report['class']
        if (code, found) != (wanted_code, wanted_class):
            surprises.append(f'run {number} ended with {code} and class {found}, not with {wanted_code} and {wanted_class}')
    if not surprises:
        print('\nBoth runs ended as they should: the second one with an error, because its cluster is in a critical state.')
    print(f'\nThe reports lie in {REPORTS.relative_to(ROOT)}/. On your own cluster: README.md, "Your own cluster".')
    sys.exit('; '.join(surprises) or 0)


if __name__ == '__main__':
    main()
