# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One step of a plan: what a remedy would do to one target, on what grounds, and what speaks against it now.

Everything in a step is what was seen when it was planned, told without ages, so that the same cluster gives the same step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

# Stand in the options of an action for what only the run knows: the directory for backups, and the snapshot of etcd in it.
BACKUP_DIR = '{backup_dir}'
ETCD_SNAPSHOT = '{etcd_snapshot}'
DIGITS = 16
_COMMON = ('A', 'Discovery', 'It', 'Its', 'No', 'Not', 'Since', 'Something', 'The', 'There', 'Whether', 'Which')
NOT_ASKED_FOR = 'no finding asks for it'


@dataclass(frozen=True)
class Action:
    """One module that is run, with C(options) beside those of the connection; C(does) says it in words."""

    does: str
    module: str
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """What a remedy would do to a target.

    C(evidence), C(preconditions) (what is looked at right before) and C(verify) are sentences, C(predicted) facts before and
    after. C(confirm) are the exact sentences that have to be said, C(refused) the reasons, ends of sentences, for which it is not
    done; C(after) the (remedy, target) of steps of this plan that have to be done before. C(rests_on) are the facts that
    must be the same when it is applied.
    """

    title: str
    evidence: tuple = ()
    preconditions: tuple = ()
    predicted: dict = field(default_factory=dict)
    actions: tuple = ()
    verify: tuple = ()
    way_back: str = ''
    confirm: tuple = ()
    refused: tuple = ()
    after: tuple = ()
    rests_on: dict = field(default_factory=dict)

    @property
    def needs_backup(self):
        """Whether something is kept in the directory for backups before anything is changed."""
        return any(value in (BACKUP_DIR, ETCD_SNAPSHOT) for action in self.actions for value in action.options.values())


@dataclass(frozen=True)
class Remedy:
    """A remedy, under the name that findings give in C(remedy.name).

    C(what) it does and what a C(target) of it is, in words. C(targets_of(view, args)) are the targets of a finding with these
    arguments, C(merged(args, others)) the arguments of two findings that name the same target.
    C(step(view, target, args, coming)) is the Step for any target, also one that no finding names: then C(args) is None, and the
    Step says why not. It raises InputError for what no target can be. C(coming) are the (remedy, target) of the steps that are
    planned before it. C(most(view)) is how many targets one run may have, None for no limit. C(by_hand_first(view, args)) says whether
    the next step of a finding with these arguments is done by hand before. C(includes) are the names of remedies that this one does as
    well, so that a plan with it has no step of theirs.
    """

    name: str
    what: str
    target: str
    targets_of: Callable
    step: Callable
    most: Callable | None = None
    by_hand_first: Callable = lambda _view, _args: False
    merged: Callable = lambda args, _others: args
    includes: tuple = ()


def unasked(args, reasons):
    """The reasons against a target; where nothing speaks against it but that no finding names it, so that it has no C(args), that."""
    return tuple(reasons) or (() if args is not None else (NOT_ASKED_FOR,))


def end_of_sentence(reason):
    """A reason that is a sentence, as the end of one; a name keeps its capital."""
    first, blank, rest = reason.partition(' ')
    return f'{first.lower() if first in _COMMON else first}{blank}{rest}'.rstrip('.')


def plain(number, remedy, target, step, do='', findings=(), consequences=(), numbers=None):
    """A Step as data of the plan (docs/remedies.md).

    C(do) is what a person would do instead, in the guide's words. C(findings) are the ids of those that it repairs, C(consequences) of
    those that are explained by them; C(numbers) those of the steps before it by (remedy, target).
    """
    numbers = numbers or {}
    told = {
        'step': number,
        'remedy': remedy,
        'target': target,
        'by_hand': False,
        'title': step.title,
        'findings': list(findings),
        'consequences': list(consequences),
        'evidence': list(step.evidence),
        'preconditions': list(step.preconditions),
        'predicted': step.predicted,
        'actions': [{'does': action.does, 'module': action.module, 'options': action.options} for action in step.actions],
        'do': do,
        'verify': list(step.verify),
        'way_back': step.way_back,
        'needs_backup': step.needs_backup,
        'confirm': list(step.confirm),
        'after': [numbers[one] for one in step.after if one in numbers],
        'refused': '; '.join(map(end_of_sentence, step.refused)) or None,
        'rests_on': step.rests_on,
    }
    return {**told, 'digest': digest_of(told)}


def digest_of(step):
    """The digest of what is approved of a step: what is done to which target, and the facts that it rests on."""
    return digest({name: step[name] for name in ('remedy', 'target', 'title', 'actions', 'confirm', 'rests_on')})


def digest(data):
    """A digest of plain data, as hex digits."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(',', ':'), ensure_ascii=False).encode()).hexdigest()[:DIGITS]
