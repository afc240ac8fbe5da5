# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether what was approved is still what would be done: an approved plan against the plan of now, pure."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.remedies.plan import SCHEMA, digest_of_all
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import digest_of

_STEP = ('step', 'remedy', 'target', 'title', 'by_hand', 'actions', 'confirm', 'rests_on')


def must_be_a_plan(plan, digest):
    """Raises InputError for what is no plan, was changed after it was made, or is not the one with the approved C(digest) (None: any)."""
    if not isinstance(plan, dict) or plan.get('schema') != SCHEMA:
        raise InputError(f'The approved plan is no plan of this format: its schema is {plan.get("schema") if isinstance(plan, dict) else None!r}, '
                         f'not {SCHEMA!r}.', 'Give what a run without talos_remedies wrote to talos_plan_out.')
    steps = plan.get('steps')
    if not isinstance(steps, list) or not all(isinstance(step, dict) and all(name in step for name in _STEP) for step in steps):
        raise InputError('The approved plan has no list of steps, or a step in it lacks what every step has.')
    if digest_of_all(plan.get('cluster_id'), steps) != plan.get('digest'):
        raise InputError('The approved plan was changed after it was made: its digest is not that of its steps.', 'Make the plan anew, and have that approved.')
    if digest is not None and digest != plan['digest']:
        raise InputError(f'The approved plan has the digest {plan["digest"]}, and {digest} was approved: it is another plan.',
                         'Give the plan that was approved, or have this one approved.')


def against(plan, cluster, cluster_id, steps, chosen):
    """The reasons, ends of sentences, why what was approved is not applied; C(steps) are those of now, C(chosen) the (remedy, target) to apply."""
    if (plan['cluster'], plan['cluster_id']) != (cluster, cluster_id):
        return [f'it is the plan of {plan["cluster"]} (id {plan["cluster_id"]}), and this is {cluster} (id {cluster_id})']
    then, now = ({(step['remedy'], step['target']): step for step in each if not step['by_hand']} for each in (plan['steps'], steps))
    reasons = []
    for key in chosen:
        name = ' for '.join(key)
        if key not in then:
            reasons.append(f'the approved plan has no step {name}')
        elif key not in now:
            reasons.append(f'the step {name} was approved, and is not needed any more: what it repairs is gone')
        elif digest_of(then[key]) != digest_of(now[key]):
            reasons.append(f'the cluster has changed in what the step {name} rests on: {changed(then[key], now[key])}')
    return reasons


def changed(then, now):
    """What differs between two steps for the same target, in words."""
    facts = [f'{name} was {_short(then["rests_on"].get(name))} and is {_short(now["rests_on"].get(name))}'
             for name in sorted({*then['rests_on'], *now['rests_on']}) if then['rests_on'].get(name) != now['rests_on'].get(name)]
    facts += [f'the {name} differ' for name in ('actions', 'confirm') if then[name] != now[name]]
    return '; '.join(facts)


def _short(value):
    text = ', '.join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 200 else text[:199] + '…'
