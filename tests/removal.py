# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data taken out of a snapshot, and what the checks then say: a problem must never turn into an all-clear.

The data are taken out in place and put back, one removal after the other, so that a snapshot need not be copied.
"""

from __future__ import annotations

import contextlib
import random

from ansible_collections.talosops.talos.plugins.module_utils.judge import judge, verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum

STATES = ('timed_out', 'refused', 'not_asked', 'failed', 'unsupported')
# Why a datum may be missing that says nothing about the cluster; a call that fails may.
HARMLESS = ('refused', 'not_asked', 'unsupported')
# A line of a log is told only where nothing else explains it; a call that fails is a problem of its own, which may.
SIGNS = '.log_sign'
# What answers by itself: without it a machine that answered is a machine that did not, which is another cluster.
KEPT = ('reach',)


def places(snapshot):
    """Every datum of a snapshot as (name, mapping, key)."""
    for machine in snapshot.machines:
        yield from ((f'{machine.label} {kind}', machine.data, kind) for kind in machine.data if kind not in KEPT)
        yield from ((f'{machine.label} log {log}', machine.logs, log) for log in machine.logs)
    for endpoint in snapshot.endpoints:
        yield from ((f'endpoint {endpoint.text} {kind}', endpoint.data, kind) for kind in endpoint.data)
    for part in ('data', 'servers'):
        yield from ((f'kubernetes {kind}', snapshot.kubernetes[part], kind) for kind in snapshot.kubernetes.get(part) or {})


def each(snapshot):
    """Removals of each single datum, and of each kind from all machines: (name, [places], state)."""
    everywhere = {}
    for number, place in enumerate(places(snapshot)):
        state = STATES[number % len(STATES)]
        yield place[0], [place], state
        everywhere.setdefault(place[2], []).append(place)
    for number, (kind, all_of_it) in enumerate(everywhere.items()):
        if len(all_of_it) > 1:
            yield f'every {kind}', all_of_it, STATES[number % len(STATES)]


def some(snapshot, seed, number, states=STATES):
    """Random removals, always the same for a seed: of few data, of many, and of nearly all."""
    dice = random.Random(seed)
    everything = list(places(snapshot))
    for each_one in range(number):
        share = dice.choice((0.05, 0.2, 0.5, 0.8, 0.95))
        chosen = [place for place in everything if dice.random() < share]
        yield f'subset {each_one} of seed {seed} ({len(chosen)} of {len(everything)} data)', chosen, dice.choice(states)


@contextlib.contextmanager
def without(chosen, state):
    """These data are not there, for this reason, while the context lasts."""
    before = [(mapping, key, mapping[key]) for _name, mapping, key in chosen]
    for mapping, key, _datum in before:
        mapping[key] = Datum(state, reason='taken out by a test')
    try:
        yield
    finally:
        for mapping, key, datum in before:
            mapping[key] = datum


def outcomes(snapshot, settings, checks, everything=None):
    """{check id: {subject: worst verdict}} of these checks; C(everything): all, where they ask for those of other sections."""
    view, found = View(snapshot, settings), {}
    outcomes_of = judge.Judged(everything or checks, view)
    for check in checks:
        subjects = found.setdefault(check.id, {})
        for outcome in outcomes_of(check):
            assert 'the check itself failed' not in outcome.title, (check.id, outcome.title)
            subjects[outcome.subject] = max(subjects.get(outcome.subject, v.NOT_APPLICABLE), outcome.verdict, key=v.rank)
    return found


def problems(found):
    """[(check id, subject)] of what is a problem."""
    return [(check, subject) for check, subjects in found.items() for subject, verdict in subjects.items() if v.rank(verdict) >= v.rank(v.WARNING)]


def hidden(before, after):
    """Problems of C(before) that C(after) gives the all-clear for: [(check id, subject, verdict now)].

    A problem stays one, or its subject is unknown, or its subject is not there any more and the check says that it could not see all.
    """
    found = []
    for check, subject in problems(before):
        now = after[check].get(subject)
        unsure = v.UNKNOWN in after[check].values()
        if v.rank(now) < v.rank(v.UNKNOWN) if now is not None else not unsure:
            found.append((check, subject, now or v.worst(after[check].values())))
    return found


def violations(snapshot, settings, checks, removals):
    """['what was taken out: which check says what of which subject'] of everything that a removal hides."""
    before = outcomes(snapshot, settings, checks)
    with_problems = {name for name, _subject in problems(before)}
    concerned = [check for check in checks if check.id in with_problems]
    found = []
    for name, chosen, state in removals if concerned else ():
        with without(chosen, state):
            after = outcomes(snapshot, settings, concerned, checks)
        found += [f'without {name} ({state}): {check} says {now} of {subject}' for check, subject, now in hidden(before, after)
                  if state in HARMLESS or not check.endswith(SIGNS)]
    return found


def alarms(snapshot, settings, checks, removals):
    """The same of every problem that is one only because something was taken out."""
    before = set(problems(outcomes(snapshot, settings, checks)))
    found = []
    for name, chosen, state in removals:
        with without(chosen, state):
            after = outcomes(snapshot, settings, checks)
        found += [f'without {name} ({state}): {check} says {after[check][subject]} of {subject}'
                  for check, subject in problems(after) if (check, subject) not in before]
    return found
