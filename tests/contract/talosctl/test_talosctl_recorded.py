# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What talosctl prints of a simulated state is what it printed of the real cluster in that state, command by command.

The recordings are of talosctl v1.13.9 (tests/tools/import_truth.py). What differs stands in recorded.yaml with its reason; an
entry that no difference needs fails too.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.contract.talosctl.talosctl import Talosctl, rows
from tests.simulator import Cluster
from tests.unit.simulator.bench import RECORDED
from tests.unit.simulator.test_simulator_states import STATES as GATHERED

HERE = Path(__file__).parent
DIFFERENCES = yaml.safe_load((HERE / 'recorded.yaml').read_text(encoding='utf-8'))
_MEMBERS = {'cp1': 'c3d3020cf75b8728', 'cp2': '73d9891f1261ac15', 'cp3': 'a00f09570d9e43c1'}


def _recorded(state):
    return json.loads((HERE / 'data' / f'{state}.json').read_text(encoding='utf-8'))


def _state(leader, **parts):
    etcd = {**parts.get('etcd', {}), 'members': _MEMBERS, 'leader': leader}
    return {**RECORDED, **parts, 'uptime': '25m', 'setup': {'time_servers': ['10.5.0.1']}, 'etcd': etcd}


_BAD_ARGUMENT = next(row['LAST EVENT'] for row in rows(next(one['out'] for one in _recorded('etcd-bad-args') if one['name'] == 'services_all'))
                     if row['STATE'] == 'Waiting')

STATES = {
    'healthy': _state('cp2'),
    'baseline': _state('cp2'),
    'one-cp-down': _state('cp1', **GATHERED['one-cp-down']),
    'worker-down': _state('cp2', **GATHERED['worker-down']),
    'nospace-alarm': _state('cp2', etcd={'quota_mb': 8, 'db_mb': 9, 'in_use_mb': 6, 'alarms': [
        {'member': 'cp1', 'alarm': 'NOSPACE'}, {'member': 'cp3', 'alarm': 'NOSPACE'}]}),
    'quorum-lost-2killed-late': _state(
        'none', nodes={'cp1': {'services': {'etcd': ['Running', 'Fail']}, 'machine_status': {'ready': False, 'unmet': ['services']}},
                       'cp2': {'reachable': False}, 'cp3': {'reachable': False}},
        etcd={'reachable': ['cp1']}, k8s={'api': {'cp1': 'up', 'cp2': 'refused', 'cp3': 'refused'}}),
    'etcd-bad-args': _state(
        'cp1', nodes={'cp3': {'services': {'etcd': ['Waiting', 'Fail']}, 'machine_status': {'stage': 'booting', 'ready': False, 'unmet': ['services']},
                              'last_event': {'etcd': _BAD_ARGUMENT}}},
        etcd={'reachable': ['cp1', 'cp2']}),
}
_HANGS = 8  # a call that hung in the recording must hang here too: for so many seconds


@pytest.fixture(scope='module', params=STATES)
def ran(request, program, tmp_path_factory):
    """(state, {name of a command: (its recording, what talosctl says now, None where it hangs)})."""
    name = request.param
    recorded = _recorded(name)
    state = {**STATES[name], 'network': {**RECORDED['network'], 'vip_holder': _vip_holder(recorded)}}
    with Cluster.from_state(state, platform='container', name='rt') as cluster, ThreadPoolExecutor(4) as pool:
        talosctl = Talosctl(program('talosctl'), cluster, tmp_path_factory.mktemp('home'))

        def run(command):
            hangs = isinstance(command['code'], str)
            arguments = [argument.replace('10.5.0.', cluster.address('cp1').rpartition('.')[0] + '.') for argument in command['arguments']]
            if 'health' in arguments and '--server=false' not in arguments:
                arguments = [*(argument.replace('20s', '10s') for argument in arguments), '--server=false']
            try:
                return talosctl.run(*arguments, nodes=(), timeout=_HANGS if hangs else 300)
            except subprocess.TimeoutExpired:
                return None

        yield name, dict(zip((command['name'] for command in recorded), zip(recorded, pool.map(run, recorded)))), cluster


def _vip_holder(recorded):
    """The machine that had the VIP, by its addresses in the list of members."""
    for command in recorded:
        if command['name'] == 'members_cp1':
            return next((line.split()[3] for line in command['out'].splitlines() if '10.5.0.100' in line), 'none')
    return 'cp1'


_VOLATILE = (
    (r'\b(?:\d+h)?(?:\d+m)?\d+s ago', 'AGE ago'),
    (r'\bPID \d+', 'PID n'),
    (r'\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?: \+0000 UTC|Z)', 'TIME'),
    (r'\b\d+(?:\.\d+)? [kMG]?B \(\d+\.\d+%\)|\b\d+(?:\.\d+)? [kM]B\b', 'SIZE'),
    (r'((?:kube-flannel|kube-proxy|coredns-[0-9a-f]+)-)[a-z0-9]{5}\b', r'\1x'),
    (r':[0-9a-f]{12}(?![0-9a-f])', ':hash'),
    (r'\bsha256:[0-9a-f]{64}', 'sha256:hash'),
    (r'\b[0-9A-Za-z]{42,44}\b', 'IDENTITY'),
    (r'\bfe80::[0-9a-f:]+', 'fe80::x'),
    (r'\b(?:10|127)\.244\.\d+\.', '10.244.n.'),
    (r'^(\tSHA: +)\w+$', r'\1x'),
    (r'^ +\* ', '\t* '),
    (r'memberID:(\d+) alarm:NOSPACE , memberID:(\d+) alarm:NOSPACE', lambda found: ' '.join(sorted(found.groups()))),
    (r'^(\s*version: )\d+$', r'\1n'),
)
# Columns of tables that differ from run to run.
_COLUMNS = ('VERSION', 'PID', 'RAFT INDEX', 'RAFT TERM', 'RAFT APPLIED INDEX')


def _lines(text, network='10.5.0.'):
    """The lines of a text without what is random; cells of tables are joined by a bar."""
    text = text.replace(network, '10.5.0.')
    for pattern, word in _VOLATILE:
        text = re.sub(pattern, word, text, flags=re.M)
    lines = [re.sub(r' {2,}(?=\S)', ' | ', line.rstrip()) if not line.startswith(' ') else line.rstrip() for line in text.splitlines()]
    if lines and lines[0].startswith('NODE | '):
        columns = lines[0].split(' | ')
        lines = [' | '.join('n' if name in _COLUMNS and line != lines[0] else cell for name, cell in zip(columns, [*line.split(' | '), *[''] * 20]))
                 .rstrip(' |') for line in lines]
    return [line for line in lines if line]


def _differences(recorded, said, network):
    """What one said and the other did not, line by line, whatever the order of the machines."""
    if isinstance(recorded['code'], str) != (said is None):
        yield f'hung: {recorded["code"]} / {said and said.code}'
    if said is None or isinstance(recorded['code'], str):
        return
    if recorded['code'] != said.code:
        yield f'exit code: {recorded["code"]} / {said.code}'
    for stream, theirs, ours in (('out', recorded['out'], said.out), ('err', recorded['err'], said.err)):
        theirs, ours = Counter(_lines(theirs)), Counter(_lines(ours, network))
        if 'health' in recorded['name']:
            theirs, ours = set(theirs), set(ours)  # a failing check is said again and again
        yield from (f'{stream} recorded: {line}' for line in sorted(theirs - ours))
        yield from (f'{stream} simulated: {line}' for line in sorted(ours - theirs))


def test_talosctl_says_what_it_said_of_the_real_cluster(ran, used):
    state, commands, cluster = ran
    network = cluster.address('cp1').rpartition('.')[0] + '.'
    unexplained = []
    for name, (recorded, said) in commands.items():
        for difference in _differences(recorded, said, network):
            text = f'{state} {name} {difference}'
            known = next((entry['text'] for entry in DIFFERENCES if re.match(entry['text'], text)), None)
            if known is None:
                unexplained.append(text)
            used.add(known)
    assert commands and not unexplained, '\n'.join(unexplained)


@pytest.fixture(scope='module')
def used():
    """The entries of recorded.yaml that some state needed; all must be."""
    found = set()
    yield found


def test_every_explanation_is_needed(used):
    assert [entry['text'] for entry in DIFFERENCES if entry['text'] not in used] == []
