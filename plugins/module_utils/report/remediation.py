# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a run of remediate, and what came of each step, as text for a person at a terminal."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.report import words

PROVED, DONE, REFUSED, FAILED = 'done and proved', 'done, not yet proved', 'refused', 'failed'
NOT_ATTEMPTED, WOULD_BE_DONE, GONE = 'not attempted', 'would be done', 'found no more'
WIDTH = 100

_COLOURS = {PROVED: v.OK, DONE: v.WARNING, REFUSED: v.ERROR, FAILED: v.CRITICAL, NOT_ATTEMPTED: v.UNKNOWN, WOULD_BE_DONE: v.INFO, GONE: v.OK}
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
        found += _by_hand(made, step, paint) if step['by_hand'] else _step(made, step, outcomes.pop((step['remedy'], step['target']), None), paint)
    if len(by_hand) > _HAND_MOST:
        found.append(f'  and {len(by_hand) - _HAND_MOST} more by hand, in plan.json')
    for outcome in outcomes.values():  # what was asked for, and is no step of the plan
        found += ['', *words.wrap(words.clean(outcome['title']), '  -  ', ' ' * _MARGIN, WIDTH), *_outcome(outcome, paint)]
    return [*found, '', *_foot(made, plan)]


def _head(plan):
    steps = plan['steps']
    able = sum(1 for step in steps if not step['by_hand'] and not step['refused'])
    if not steps:
        return f'Plan for {words.clean(plan["cluster"])}: nothing is to be repaired'
    return f'Plan for {words.clean(plan["cluster"])}: {len(steps)} {words.plural("step", len(steps))}, {able} of them by remedies'


def _by_hand(made, step, paint):
    found = ['', *words.wrap(words.clean(step['title']), f'  {step["step"]}. ', ' ' * _MARGIN, WIDTH), *_detail('do', step['do'])]
    return found + (_labelled('outcome', GONE, GONE, paint) if step['step'] in made['found_no_more'] else [])


def _step(made, step, outcome, paint):
    found = ['', *words.wrap(f'{words.clean(step["title"])} [{step["remedy"]}]', f'  {step["step"]}. ', ' ' * _MARGIN, WIDTH)]
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
    if step['refused'] and outcome is None:
        return found + _labelled('refused', step['refused'], REFUSED, paint)
    if outcome is None or outcome['outcome'] in (REFUSED, WOULD_BE_DONE):
        for need in _needs(made['plan'], step):
            found += _detail('needs', need)
    if outcome is None and made['enabled']:
        whose = 'talos_targets leaves it out' if step['remedy'] in made['enabled'] else 'talos_remedies does not enable it'
        return found + _labelled('outcome', f'{NOT_ATTEMPTED}: {whose}', NOT_ATTEMPTED, paint)
    return found + (_outcome(outcome, paint) if outcome else [])


def _needs(plan, step):
    sentences = [*step['confirm'], *(() if step['after'] else plan['confirm'])]
    return [*(['talos_backup_dir'] if step['needs_backup'] else ()), *(f'talos_confirm: ["{sentence}"]' for sentence in sentences)]


def _outcome(outcome, paint):
    why = f': {outcome["why"]}' if outcome['why'] else ''
    found = _labelled('outcome', f'{outcome["outcome"]}{why}', outcome['outcome'], paint)
    return found + [f'{" " * _MARGIN}{"kept":<{_LABEL}}{words.clean(path)}' for path in outcome['kept']]  # a path stays whole


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
    if isinstance(value, dict):
        return ', '.join(f'{name} {_words(one)}' for name, one in value.items())
    return (', '.join(map(str, value)) or 'none') if isinstance(value, list) else str(value)


def _foot(made, plan):
    able = [step for step in plan['steps'] if not step['by_hand'] and not step['refused']]
    found = [f'digest of the plan: {plan["digest"]}'] if able else []
    if made['enabled']:
        found += _summary(made)
    elif able:
        found.append('nothing was changed: no remedy is enabled')
    if made['unlocked']:
        found.append(f'the cluster was not locked against a second run all the time: {made["unlocked"]}')
    elif able and plan['confirm'] and not made['changed']:
        found.append(f'the cluster cannot be locked against a second run now: {made["no_lock"]}')
    for sentence in made['useless']:
        found.append(f'talos_confirm says "{sentence}", which no step of this plan asks for')
    audit = [f'  audit record: {words.clean(made["audit"])}'] if made['audit'] and made['outcomes'] else []
    told = [line for text in found for line in words.wrap(words.clean(text), '  ', '  ', WIDTH)]
    return told + audit + (_how(plan, able) if able and not made['enabled'] else [])


def _summary(made):
    """What was done, counted, and what was enabled in vain."""
    counts = {}
    for one in made['outcomes']:
        counts[one['outcome']] = counts.get(one['outcome'], 0) + 1
    found = [', '.join(f'{outcome}: {number}' for outcome, number in counts.items())] if counts else []
    vain = [name for name in made['enabled'] if name not in [one['remedy'] for one in made['outcomes']]]
    found += [f'nothing to do for {", ".join(vain)}'] if vain else []
    if not made['changed']:
        found.append(f'nothing was changed{": this was check mode" if made["check_mode"] else ""}')
    return found


def _how(plan, able):
    """The variables that apply all of it, as lines of YAML, which do not wrap."""
    names, sentences = dict.fromkeys(step['remedy'] for step in able), dict.fromkeys(need for step in able for need in step['confirm'])
    said = ', '.join(f'"{sentence}"' for sentence in (*sentences, *plan['confirm']))
    return ['  to apply all of it, as variables:', f'    talos_remedies: [{", ".join(names)}]',
            *([f'    talos_confirm: [{words.clean(said)}]'] if said else ()),
            *(['    talos_backup_dir: a directory that outlives the run'] if any(step['needs_backup'] for step in able) else ())]


def _labelled(label, text, outcome, paint):
    found = _detail(label, text)
    return [words.painted(found[0], outcome if outcome in found[0] else label, _COLOURS[outcome], paint), *found[1:]]


def _detail(label, text):
    return words.wrap(words.clean(text), f'{" " * _MARGIN}{label:<{_LABEL}}', ' ' * (_MARGIN + _LABEL), WIDTH, screen=WIDTH)
