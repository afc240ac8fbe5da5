# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a run of remediate, and what came of each step, as text for a person at a terminal."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.report import words

PROVED, DONE, REFUSED, FAILED = 'done and proved', 'done, not yet proved', 'refused', 'failed'
NOT_ATTEMPTED, WOULD_BE_DONE = 'not attempted', 'would be done'
WIDTH = 100

_COLOURS = {PROVED: v.OK, DONE: v.WARNING, REFUSED: v.ERROR, FAILED: v.CRITICAL, NOT_ATTEMPTED: v.UNKNOWN, WOULD_BE_DONE: v.INFO}
_MARGIN, _LABEL = 5, 10
_NAMED_MOST = 4
_HAND_MOST = 12


def lines(report, paint=None):
    """Lines of text for C(report['remediation']); C(paint(text, verdict)) returns the text in the colour of a verdict."""
    paint = paint or (lambda text, verdict: text)
    made = report['remediation']
    plan, outcomes = made['plan'], {(one['remedy'], one['target']): one for one in made['outcomes']}
    found = [_head(plan)]
    by_hand = [step for step in plan['steps'] if step['by_hand']]
    for step in plan['steps']:
        if step in by_hand[_HAND_MOST:]:
            continue
        outcome = outcomes.pop((step['remedy'], step['target']), None) if not step['by_hand'] else None
        found += _step(step, outcome, bool(made['enabled']), paint)
    if len(by_hand) > _HAND_MOST:
        found.append(f'  and {len(by_hand) - _HAND_MOST} more by hand, in plan.json')
    for outcome in outcomes.values():  # what was asked for, and is no step of the plan
        found += ['', *words.wrap(words.clean(outcome['title']), '  -  ', ' ' * _MARGIN, WIDTH), *_outcome(outcome, paint)]
    return [*found, *_foot(made, plan)]


def _head(plan):
    steps = plan['steps']
    able = sum(1 for step in steps if not step['by_hand'] and not step['refused'])
    if not steps:
        return f'Plan for {words.clean(plan["cluster"])}: nothing is to be repaired'
    return f'Plan for {words.clean(plan["cluster"])}: {len(steps)} {words.plural("step", len(steps))}, {able} of them by remedies'


def _step(step, outcome, enabled, paint):
    title = words.clean(step['title'])
    found = ['', *words.wrap(f'{title} [{step["remedy"]}]' if not step['by_hand'] else title, f'  {step["step"]}. ', ' ' * _MARGIN, WIDTH)]
    if step['by_hand']:
        return found + _detail('do', step['do'])
    found += _detail('target', step['target'])
    for evidence in step['evidence'][:_NAMED_MOST]:
        found += _detail('seen', evidence)
    found += _detail('effect', _effect(step['predicted'])) if step['predicted'] else []
    for number, action in enumerate(step['actions'], 1):
        found += _detail('does', f'{number}. {action["does"]}' if len(step['actions']) > 1 else action['does'])
    if step['after']:
        found += _detail('after', f'step {", ".join(map(str, step["after"]))}')
    for sentence in step['verify'][:_NAMED_MOST]:
        found += _detail('proof', sentence)
    found += _detail('back', step['way_back']) if step['way_back'] else []
    needs = ['talos_backup_dir'] if step['needs_backup'] else []
    needs += [f'talos_confirm: ["{sentence}"]' for sentence in step['confirm']]
    if step['refused'] and outcome is None:
        return found + _labelled('refused', step['refused'], REFUSED, paint)
    if outcome is None or outcome['outcome'] in (REFUSED, WOULD_BE_DONE):
        for need in needs:
            found += _detail('needs', need)
    if outcome is None:
        return found + (_labelled('outcome', f'{NOT_ATTEMPTED}: talos_remedies does not enable it', NOT_ATTEMPTED, paint) if enabled else [])
    return found + _outcome(outcome, paint)


def _outcome(outcome, paint):
    why = f': {outcome["why"]}' if outcome['why'] else ''
    return _labelled('outcome', f'{outcome["outcome"]}{why}', outcome['outcome'], paint)


def _effect(predicted):
    """Facts in words; a list of two is a fact before and after."""
    said = []
    for name, value in predicted.items():
        what = name.replace('_', ' ')
        if isinstance(value, list) and len(value) == 2:
            said.append(f'{what} {_words(value[0])} to {_words(value[1])}' if value[0] != value[1] else f'{what} {_words(value[0])} as before')
        elif isinstance(value, dict):
            said.append(f'{what}: {"; ".join(f"{key} {one}" for key, one in value.items())}')
        else:
            said.append(f'{what}: {_words(value)}')
    return '; '.join(said)


def _words(value):
    return (', '.join(map(str, value)) or 'none') if isinstance(value, list) else str(value)


def _foot(made, plan):
    able = [step for step in plan['steps'] if not step['by_hand'] and not step['refused']]
    found = ['', f'  digest of the plan: {plan["digest"]}'] if able else []
    if able and plan['confirm'] and made['unlocked'] is None:
        found += words.wrap(f'the cluster cannot be locked against a second run now ({words.clean(made["no_lock"])}), so a step needs '
                            f'talos_confirm: ["{plan["confirm"][0]}"]', '  ', '  ', WIDTH)
    if able and not made['enabled']:
        names = ', '.join(dict.fromkeys(step['remedy'] for step in able))
        found += words.wrap(f'nothing was changed: no remedy is enabled. To apply it, name the remedies: talos_remedies: [{names}]', '  ', '  ', WIDTH)
    if made['check_mode'] and made['enabled']:
        found.append('  nothing was changed: this was check mode')
    if made['unlocked']:
        found += words.wrap(f'the cluster was not locked against a second run: {words.clean(made["unlocked"])}', '  ', '  ', WIDTH)
    return found


def _labelled(label, text, outcome, paint):
    found = _detail(label, text)
    return [words.painted(found[0], outcome if outcome in found[0] else label, _COLOURS[outcome], paint), *found[1:]]


def _detail(label, text):
    return words.wrap(words.clean(text), f'{" " * _MARGIN}{label:<{_LABEL}}', ' ' * (_MARGIN + _LABEL), WIDTH, screen=WIDTH)
