# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan that fits into what carries it: approval steps of workflows keep no more than 64 KiB.

What is done by hand is told shorter first. Steps of remedies are never left out without a word: those of a kind that are too many stand
in one step, by their targets, and are not done in this run.
"""

from __future__ import annotations

import functools
import json

from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import digest_of

# Bytes of the steps as JSON with indents; the rest of 64 KiB is for the document around them.
BYTES = 62 * 1024
# How many steps of a remedy there are, fewer where that is not enough.
KIND_MOST = (20, 10, 5)
# What the step and the document add to the steps by hand that fill the room.
_REST = 2048
TEXT_MOST = 240
IDS_MOST = 12
_REPEATED = ('preconditions', 'verify')


def fitted(steps):
    """The steps, shortened where they are too large, numbered anew."""
    few = [functools.partial(_few_of_a_kind, most=most) for most in KIND_MOST]
    for shorter in (_one_of_each_check, _short_texts, _short_lists, _told_once, _refused_in_short, *few, _few_by_hand):
        if size(steps) <= BYTES:
            return steps
        steps = _numbered(shorter(steps))
    return steps


def size(steps):
    """Bytes of the steps as JSON."""
    return len(json.dumps(steps, ensure_ascii=False, indent=2).encode())


def _one_of_each_check(steps):
    """By hand, one step for each check: the machines of the others are counted."""
    kept = {}
    for step in steps:
        key = step['verify'][0] if step['by_hand'] else step['step']
        if key not in kept:
            kept[key] = step
            continue
        first = kept[key]
        kept[key] = {**first, 'findings': [*first['findings'], *step['findings']], 'consequences': [*first['consequences'], *step['consequences']],
                     'target': first['target'] if first['target'].endswith(' more') else f'{first["target"]} and more',
                     'title': first['title'].partition(', and ')[0]}
    return [_counted(step) if step['by_hand'] else step for step in kept.values()]


def _counted(step):
    more = len(step['findings']) - 1
    return {**step, 'title': f'{step["title"].partition(", and ")[0]}, and {more} more of this kind, which the report tells'} if more else step


def _short_texts(steps):
    return [{**step, 'title': _short(step['title']), 'do': _short(step['do'])} if step['by_hand'] else {**step, 'do': ''} for step in steps]


def _short(text):
    return text if len(text) <= TEXT_MOST else f'{text[:TEXT_MOST - 1].rstrip()}…'


def _told_once(steps):
    """What several steps of a remedy have in common is told by the first."""
    first, found = {}, []
    for step in steps:
        for key in _REPEATED:
            before = first.setdefault((step['remedy'], key, tuple(step[key])), step['step'])
            if before != step['step'] and step[key] and not step['by_hand']:
                step = {**step, key: [f'the same as of step {before}']}
        found.append(step)
    return found


def _refused_in_short(steps):
    """What is not done needs no more than the reason."""
    return [_emptied(step) if step['refused'] and not step['by_hand'] else step for step in steps]


def _emptied(step, **more):
    made = {**step, 'evidence': [], 'preconditions': [], 'predicted': {}, 'actions': [], 'verify': [], 'way_back': '', 'needs_backup': False, 'confirm': [],
            'after': [], 'rests_on': {}, **more}
    return {**made, 'digest': digest_of(made)}


def _few_of_a_kind(steps, most):
    """Of a remedy's steps the first ones, those that would be done before those that are refused; the others in one step."""
    kinds, found = {}, []
    for step in sorted(steps, key=lambda step: (step['rests_on'].get('left_out') is not None, step['refused'] is not None, step['step'])):
        if not step['by_hand']:
            kinds.setdefault(step['remedy'], []).append(step)
    left_out = {step['step']: kind for kind, mine in kinds.items() for step in mine[most:]}
    last = {kind: number for number, kind in sorted(left_out.items())}
    for step in steps:
        kind = left_out.get(step['step'])
        if kind is None:
            found.append(step)
        elif step['step'] == last[kind]:
            found.append(_left_out(kind, step, [each for each in steps if left_out.get(each['step']) == kind], most))
    return found


def _left_out(kind, step, steps, most):
    targets = [target for each in steps for target in each['rests_on'].get('left_out') or [each['target']]]
    return _emptied(step, target=f'{len(targets)} more', title=f'{len(targets)} more of {kind}', rests_on={'left_out': targets}, findings=[], consequences=[],
                    refused=f'no more than {most} of this kind stand in one plan: run it again when those are done and proved')


def _short_lists(steps):
    """The report has the ids of all findings."""
    return [{**step, **{key: [*step[key][:IDS_MOST], f'and {len(step[key]) - IDS_MOST} more'] if len(step[key]) > IDS_MOST else step[key]
                        for key in ('findings', 'consequences')}} for step in steps]


def _few_by_hand(steps):
    """As many steps by hand as there is room for, those that come first; the checks of the others in one step."""
    room = BYTES - size([step for step in steps if not step['by_hand']]) - _REST
    kept, others = [], []
    for step in steps:
        if step['by_hand']:
            room -= size([step])
        (kept if not step['by_hand'] or room > 0 else others).append(step)
    if not others:
        return kept
    checks = [step['verify'][0].split()[2] for step in others]
    last = {**others[-1], 'remedy': None, 'target': f'{len(others)} more', 'title': f'By hand: {len(others)} more, which the report tells',
            'do': _short(f'Read the report of {", ".join(checks)}.'), 'verify': [], 'findings': [], 'consequences': []}
    return [*kept, last]


def _numbered(steps):
    """The steps with the numbers that they have now."""
    numbers = {step['step']: number for number, step in enumerate(steps, 1)}
    return [{**step, 'step': numbers[step['step']], 'after': [numbers[before] for before in step['after'] if before in numbers],
             'preconditions': _renumbered(step['preconditions'], numbers), 'verify': _renumbered(step['verify'], numbers)} for step in steps]


def _renumbered(sentences, numbers):
    start = 'the same as of step '
    return [f'{start}{numbers[int(one[len(start):])]}' if one.startswith(start) else one for one in sentences]
