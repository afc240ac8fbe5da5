# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of each scenario holds what it says is right, in that order, and nothing that it says is dangerous, which is refused with evidence."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import plan
from ansible_collections.talosops.talos.plugins.module_utils.tasks import judged
from tests.simulator import Cluster, apid, scenario
from tests.tools.direct import calls, gather
from tests.unit.remedies.plans import DANGEROUS, RIGHT

SCENARIOS = Path(__file__).resolve().parents[2] / 'scenarios'


def named(path):
    return str(path.relative_to(SCENARIOS).with_suffix(''))


def prose():
    """{scenario: (right, dangerous)} of those that say more than "none"."""
    told = {named(path): yaml.safe_load(path.read_text('utf-8'))['expected'].get('remediation') or {} for path in sorted(SCENARIOS.rglob('*.yaml'))}
    return {name: ([line for line in each.get('right') or () if line != 'none' and not line.startswith('none:')], each.get('dangerous') or {})
            for name, each in told.items()}


def holds(step, wanted):
    if wanted[0] != 'by hand':
        return not step['by_hand'] and (step['remedy'], step['target']) == wanted
    text = f'{step["title"]} {step["target"]} {step.get("do")}'
    return step['by_hand'] and step['verify'] == [f'the check {wanted[1]} finds nothing any more'] and all(word in text for word in wanted[2:])


def places(steps, wanted):
    """The places in the plan of a step, or of a set of steps."""
    found = [next((number for number, step in enumerate(steps) if holds(step, one)), None) for one in (wanted if isinstance(wanted, set) else [wanted])]
    assert None not in found, (wanted, [(step['remedy'] or step['verify'], step['target'], step['title'], step['do']) for step in steps])
    return found


def test_every_scenario_that_says_something_is_in_the_table():
    told = prose()
    assert {name for name, (right, _dangerous) in told.items() if right and not name.startswith('ordinary/')} == set(RIGHT)
    assert {name for name, (_right, dangerous) in told.items() if dangerous} == set(DANGEROUS)


@pytest.mark.parametrize('name', sorted({*RIGHT, *DANGEROUS, 'healthy', 'ghost-members'}))
def test_the_plan_of(name):
    with mock.patch.object(apid, 'NO_ROUTE_AFTER', 0.05), Cluster(scenario.read(SCENARIOS / f'{name}.yaml')) as cluster, calls(cluster):
        snapshot = gather(cluster)
        original = cluster.model.original
    settings = judged.settings({})
    view = View(snapshot, settings)
    steps = plan.build(view, judged.anew(snapshot, settings)['findings'])
    shown = original(steps)
    before = -1
    for wanted in RIGHT.get(name, ()):
        found = places(shown, wanted)
        assert min(found) > before, (wanted, [(step['step'], step['title']) for step in shown])
        before = max(found)
    if name not in RIGHT:
        assert not [step['title'] for step in shown if not step['by_hand']]
    for remedy, target, *evidence in DANGEROUS.get(name, ()):
        assert not [step for step in steps if (step['remedy'], step['target']) == (remedy, target) and not step['by_hand'] and not step['refused']]
        reason = original(plan.refusal(view, steps, remedy, target))
        assert all(words in reason for words in evidence), (remedy, target, evidence, reason)
    assert all(number < step['step'] for step in steps for number in step['after'])
