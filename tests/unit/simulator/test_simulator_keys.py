# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every key of the vocabulary has a scenario that shows its effect on the wire: taken out, a client reads something else."""

from __future__ import annotations

import contextlib
import copy
import functools
import sys
from pathlib import Path

import pytest
import yaml

from tests.simulator import addresses, scenario, vocabulary
from tests.simulator.scenario import ScenarioError
from tests.unit.simulator.keys import KEYS, WITH_REAL_PROGRAMS, World

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='other systems have no loopback aliases')

SCENARIOS = sorted((Path(__file__).parents[2] / 'scenarios').rglob('*.yaml'))


@functools.lru_cache(maxsize=None)
def _states():
    """{path: state as written} of the scenarios that the loopback can stand for."""
    found = {}
    for path in SCENARIOS:
        with contextlib.suppress(ScenarioError):
            if not addresses.foreign_to_loopback(scenario.read(path).state):
                found[path] = yaml.safe_load(path.read_text())['state'] or {}
    return found


def _without(value, parts):
    """A copy without the key that the parts name, C(*) being any name; None when it was not there."""
    if not isinstance(value, dict):
        return None
    head, rest = parts[0], parts[1:]
    result, changed = dict(value), False
    for name in list(value) if head == '*' else [head] if head in value else []:
        if not rest:
            if head == '*' and name in vocabulary.STATE['discovery']:
                continue
            del result[name]
            changed = True
        elif (inner := _without(value[name], rest)) is not None:
            result[name] = inner
            changed = True
    return result if changed else None


def _read(state, probe):
    world = World(copy.deepcopy(state))
    try:
        return probe(world)
    finally:
        world.close()


def _shows(path, key):
    """Whether taking the key out of this scenario changes what the key's probe reads."""
    state = _states()[path]
    without = _without(state, key.split('.'))
    if without is None:
        return None
    probe = KEYS[key]
    try:
        scenario.from_state(without)
    except ScenarioError:
        without = {}
    return _read(state, probe) != _read(without, probe)


@pytest.mark.parametrize('key', [key for key, probe in KEYS.items() if probe])
def test_a_scenario_shows_the_key(key):
    tried = []
    for path in _states():
        shown = _shows(path, key)
        if shown:
            return
        tried += [path.stem] if shown is not None else []
    pytest.fail(f'no scenario shows {key}; it stands in {", ".join(tried) or "none"}')


@pytest.mark.parametrize('key', [key for key, probe in KEYS.items() if probe])
def test_a_probe_reads_the_same_from_the_same_cluster(key):
    """Else a difference would say nothing."""
    assert _read({}, KEYS[key]) == _read({}, KEYS[key])


@pytest.mark.parametrize('key', [key for key, probe in KEYS.items() if not probe])
def test_what_nobody_serves_changes_nothing(key):
    states = [(_states()[path], _without(_states()[path], key.split('.'))) for path in _states()]
    states = [pair for pair in states if pair[1] is not None]
    assert states
    for probe in (KEYS['nodes.*.machine_status'], KEYS['nodes.*.services'], KEYS['discovery.*'], KEYS['k8s.nodes']):
        assert _read(states[0][0], probe) == _read(states[0][1], probe)


def test_every_key_of_the_vocabulary_is_here():
    """At the depth of the page: a key, or the mapping that it stands in."""
    def paths(tree, path=()):
        for name, below in tree.items():
            yield '.'.join((*path, name))
            if isinstance(below, dict):
                yield from paths(below, (*path, name))

    known = set(paths(vocabulary.STATE)) - {'id', 'note'}
    wanted = {key for key in known if key.rpartition('.')[2] and not any(key.startswith(f'{done}.') or key == done for done in KEYS)}
    covered = {key for key in wanted if any(done.startswith(f'{key}.') for done in KEYS)}
    assert wanted - covered == set(WITH_REAL_PROGRAMS)
    assert {key for key in KEYS if key not in known} == set()
