# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is not seen: no problem of a recorded cluster turns into an all-clear, and a healthy one does not fall ill.

What simulated faults show is in tests/integration/scenarios.
"""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from tests import recorded, removal
from tests.unit.guide.judging import recording

DAY = 86400
SETTINGS = settings.build(CHECKS)


@pytest.mark.parametrize('later', [0, DAY])
@pytest.mark.parametrize('name', recorded.SETS)
def test_no_single_datum_hides_a_problem_when_it_is_missing(name, later):
    snapshot = recording(name, later)
    assert removal.violations(snapshot, SETTINGS, CHECKS, removal.each(snapshot)) == []


@pytest.mark.parametrize('seed', range(2))
@pytest.mark.parametrize('name', recorded.SETS)
def test_no_subset_of_data_hides_a_problem_when_it_is_missing(name, seed):
    snapshot = recording(name, DAY)
    assert removal.violations(snapshot, SETTINGS, CHECKS, removal.some(snapshot, seed, 15)) == []


@pytest.mark.parametrize('name', ['healthy'])
def test_what_was_not_read_is_no_fault(name):
    snapshot = recording(name, DAY)
    kinds = [(name, chosen, removal.HARMLESS[number % len(removal.HARMLESS)])
             for number, (name, chosen, _state) in enumerate(removal.each(snapshot)) if name.startswith('every ')]
    assert removal.alarms(snapshot, SETTINGS, CHECKS, kinds) == []
    assert removal.alarms(snapshot, SETTINGS, CHECKS, removal.some(snapshot, name, 8, removal.HARMLESS)) == []


def test_a_problem_that_is_hidden_is_found():
    """The test of the test: an all-clear for the subject, and one for the whole check."""
    before = {'a': {'x': 'error', 'y': 'ok'}, 'b': {'cluster': 'ok'}}
    assert removal.hidden(before, {'a': {'x': 'ok', 'y': 'ok'}}) == [('a', 'x', 'ok')]
    assert removal.hidden(before, {'a': {'y': 'ok'}}) == [('a', 'x', 'ok')]
    assert removal.hidden(before, {'a': {'x': 'info'}}) == [('a', 'x', 'info')]
    for after in ({'x': 'unknown'}, {'x': 'warning'}, {'x': 'critical'}, {'cluster': 'unknown'}):
        assert removal.hidden(before, {'a': after}) == []


def test_what_was_taken_out_is_put_back():
    snapshot = recording()
    before = [datum for _name, mapping, key in removal.places(snapshot) for datum in [mapping[key]]]
    for _name, chosen, state in removal.some(snapshot, 7, 5):
        with removal.without(chosen, state):
            assert {mapping[key].state for _place, mapping, key in chosen} <= {state}
    assert before == [mapping[key] for _name, mapping, key in removal.places(snapshot)]
