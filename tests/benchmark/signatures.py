# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""All log signatures against the logs of five machines, ten logs of 2000 lines each.

    python -m tests.benchmark.signatures

Two cases: the logs of a healthy recording, and logs in which every fifth line is one that an entry matches. Measured against
what must be done in any case (reading each log once, line by line) and against a search of every pattern in every line.
"""

from __future__ import annotations

import copy
import functools
import itertools
import sys
import time

import tests.conftest  # noqa: F401  pylint: disable=unused-import
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings, signatures
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.recorded import snapshot
from tests.tools import make_signatures

LINES = 2000
LOGS = 10
NODES = 5


def logs(noisy):
    """Id of a log: 2000 lines of it."""
    machine = snapshot('healthy').machines[0]
    examples = {stream: [entry['example'] for entry in make_signatures.load() if stream in (entry['source'], *entry.get('also_in', []))]
                for stream in ('machined dmesg', 'controller-runtime', 'etcd log', 'kubelet log', 'pod log', 'kube-apiserver')}
    found = {}
    for log_id, datum in itertools.chain(machine.logs.items(), [('dmesg', machine.log('machined'))]):
        if not datum.ok or not datum.value or len(found) == LOGS:
            continue
        streams = signatures._STREAMS.get(log_id, ('pod log', 'kube-apiserver'))  # pylint: disable=protected-access
        told = itertools.cycle([line for stream in streams for line in examples.get(stream, ())] or ['nothing'])
        lines = []
        for number, line in zip(range(LINES), itertools.cycle(datum.value.splitlines()), strict=False):
            lines.append(f'{line[:28]} {next(told)}' if noisy and number % 5 == 0 else line)
        found[log_id] = '\n'.join(lines) + '\n'
    return found


def view(texts):
    taken = copy.deepcopy(snapshot('healthy'))
    taken.machines = [copy.deepcopy(taken.machines[0]) for _number in range(NODES)]
    for number, machine in enumerate(taken.machines):
        machine.key = f'machine-{number}'
        machine.logs = {log_id: Datum('read', text) for log_id, text in texts.items()}
    return View(taken, settings.Settings())


def seconds(run):
    best = None
    for _attempt in range(3):
        start = time.process_time()
        run()
        took = time.process_time() - start
        best = took if best is None else min(best, took)
    return best


def _judged(taken):
    fresh = View(taken.snapshot, settings.Settings())
    return [hit for machine in taken.snapshot.machines for hit in fresh.signatures.on(machine)]


def _lined(texts):
    for _node in range(NODES):
        for text in texts.values():
            for line in text.split('\n'):
                line.startswith('{')


def _searched(texts):
    for text in texts.values():
        for line in text.split('\n')[:LINES // 20]:
            for signature in signatures.CATALOGUE.values():
                signature.regex.search(line)


def main():
    for noisy in (False, True):
        texts = logs(noisy)
        size = NODES * sum(map(len, texts.values()))
        taken = view(texts)

        judged = functools.partial(_judged, taken)
        cost, floor, naive = seconds(judged), seconds(functools.partial(_lined, texts)), seconds(functools.partial(_searched, texts)) * 20 * NODES
        print(f'{"every fifth line matches" if noisy else "healthy"}: {NODES} machines × {len(texts)} logs × {LINES} lines, {size / 1e6:.0f} MB: '
              f'{cost:.3f} s = {cost / floor:.0f} × splitting the lines, 1/{naive / cost:.0f} of every pattern in every line; {len(judged())} hits')


if __name__ == '__main__':
    sys.exit(main())
