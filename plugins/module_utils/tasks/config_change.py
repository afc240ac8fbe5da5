# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machine configurations that are changed, one machine after the other, each proved before the next (talos-api 7.3, users.md 5).

What is sent to change something is sent once; whether it was done is then read from the machine.
"""

from __future__ import annotations

import time

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import DeadlineExceeded, RoleRefused, TalosError, TransportError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import config_patch as rules
from ansible_collections.talosops.talos.plugins.module_utils.remedies import steady
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import Redactor
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, config_way, etcd_live
from ansible_collections.talosops.talos.plugins.module_utils.tasks.config_live import (
    ADMIN, CHANGED, FAILED, METHOD, NO_REBOOT, PLANNED, READS, ROLLED_BACK, TRY, WIRE, unfit,
)

# A machine must be as well as before within so many seconds, in so many looks in a row.
SETTLE = 240.0
LOOKS = 2
PAUSE = 2.0
# Of the time of a trial so much is left for it to be confirmed.
CONFIRM = 10.0


def carry_out(params, say, view, steps, verify=None):
    """Change one machine after the other. Raises TalosError at the first thing that goes wrong; C(state) of the steps says what was done.

    C(verify(machine)) gives the reasons why what is to follow from it has not come yet.
    """
    say, todo = access.saying(params, say), [step for step in steps if step.state == PLANNED]
    for number, step in enumerate(todo):
        if number:
            view = _again(params, view, step, todo)
        if say:
            say(f'changing the configuration of {step.label}, {number + 1} of {len(todo)}')
        try:
            _one(params, view, step, verify)
        except TalosError as error:
            raise _stopped(step, todo, error) from None


def _again(params, view, step, todo):
    """The View of a new look, in which the machine that comes next may be changed still. Raises TalosError."""
    found = etcd_live.look(params, None, READS)
    machine = found.snapshot.machine(step.machine.key)
    reasons = [f'{step.label} is not known any more'] if machine is None else unfit(found, machine)
    if not reasons:
        step.machine = machine
        return found
    raise _stopped(step, todo, TalosError(f'{"; ".join(reasons)}.'), before=True)


def _one(params, view, step, verify):
    with config_way.connected(params, view, step.machine) as handle:
        active, _saved = config_way.read(handle)
    if not rules.same(active['text'], step.before):
        if rules.same(active['text'], step.after):
            step.state = CHANGED
            return
        raise TalosError(f'The machine configuration of {step.label} has changed since it was looked at.', 'Run the task again.')
    began = time.monotonic()
    _apply(params, view, step, WIRE[step.mode])
    limit = SETTLE if step.mode != TRY else max(0.0, step.seconds - CONFIRM)
    reasons = _unproved(params, view, step, verify, began + limit, step.mode)
    if reasons and step.mode == TRY:
        _wait_for_rollback(params, view, step, began)
        raise TalosError(f'{"; ".join(reasons)}.')
    if reasons:
        raise TalosError(f'It was changed, and {"; ".join(reasons)}.')
    if step.mode == TRY:
        _apply(params, view, step, WIRE[NO_REBOOT])
        reasons = _unproved(params, view, step, None, time.monotonic() + SETTLE, NO_REBOOT, looks=1)
        if reasons:
            raise TalosError(f'It was tried, and is not saved: {"; ".join(reasons)}.')
    step.state = CHANGED


def _apply(params, view, step, mode):
    """Send it, once. Where no answer came the machine tells what was done. Raises TalosError."""
    request = {'data': step.after.encode(), 'mode': mode}
    if mode == 'TRY':
        request['try_mode_timeout'] = step.seconds
    step.state = FAILED
    try:
        with config_way.connected(params, view, step.machine) as handle:
            handle.unary(METHOD, request)
    except RoleRefused as error:
        raise etcd_live.may(view, error, ADMIN) from None
    except (TransportError, DeadlineExceeded) as error:
        if not _arrived(params, view, step, mode, time.monotonic() + params['timeout']):
            raise TalosError(f'ApplyConfiguration was not answered, and is not sent again: {error.message.rstrip(".")}.', error.hint) from None
        step.warnings.append(f'{step.label} did not answer ApplyConfiguration ({error.message.rstrip(".")}), and has the configuration.')
    except TalosError as error:
        raise TalosError(f'{step.label} does not take it: {rules.said(error.message, Redactor())}.', error.hint) from None


def _arrived(params, view, step, mode, end):
    while True:
        if not _unread(params, view, step, mode):
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(min(PAUSE, 1.0))


def _unread(params, view, step, mode):
    """Why the machine's configuration is not what it is to be; none where it is."""
    try:
        with config_way.connected(params, view, step.machine) as handle:
            active, saved = config_way.read(handle)
            if mode != 'STAGED' and not rules.same(active['text'], step.after, zero=True) and not _as_good(handle, step):
                return [f'the configuration that is active on {step.label} is not the one that was sent']
    except TalosError as error:
        return [f'the machine configuration of {step.label} was not read ({error.message.rstrip(".")})']
    wanted = step.after if mode == 'STAGED' else active['text']
    if mode == 'TRY' or saved is None and mode == 'NO_REBOOT' or saved is not None and rules.same(saved['text'], wanted, zero=True):
        return []
    return [f'the configuration that is saved on {step.label} is not the one that was sent']


def _as_good(handle, step):
    """Whether the machine itself finds no difference: it may have written something in another way, such as 1h0m0s for 1h."""
    try:
        return rules.no_changes(handle.unary(METHOD, {'data': step.after.encode(), 'mode': 'TRY', 'dry_run': True})['mode_details'])
    except TalosError:
        return False


def _unproved(params, view, step, verify, end, mode, looks=None):
    """Why the change is not proved when the time is over; none once everything holds in so many looks in a row."""
    good, looks = 0, LOOKS if looks is None else looks
    while True:
        try:
            reasons = _unread(params, view, step, WIRE[mode]) or (verify(step.machine) if verify else []) or _worse(params, view, step)
        except TalosError as error:
            return [error.message.rstrip('.')]
        good = 0 if reasons else good + 1
        if good >= looks:
            return []
        if time.monotonic() >= end:
            return reasons or ['there was no time left to see whether it lasts']
        time.sleep(min(PAUSE, max(0.0, end - time.monotonic())))


def _worse(params, view, step):
    try:
        return steady.worse(view, etcd_live.look(params, None, READS), step.machine)
    except TalosError as error:
        return [error.message.rstrip('.')]


def _wait_for_rollback(params, view, step, began):
    end = began + step.seconds + params['timeout']
    while time.monotonic() < end:
        try:
            with config_way.connected(params, view, step.machine) as handle:
                if rules.same(config_way.read(handle)[0]['text'], step.before):
                    step.state = ROLLED_BACK
                    return
        except TalosError:
            pass
        time.sleep(min(PAUSE, 1.0))


def _stopped(step, todo, error, before=False):
    done = ', '.join(one.label for one in todo if one.state == CHANGED)
    left = ', '.join(one.label for one in todo if one.state == PLANNED)
    said = [error.message.rstrip('.')]
    if step.state == ROLLED_BACK:
        said.append(f'The trial on {step.label} has ended, and what was active before is active again')
    elif step.state == FAILED and step.mode == TRY:
        said.append(f'Unless it was saved the trial on {step.label} ends by itself after {step.seconds:g} s')
    said += [f'Changed before that: {done}'] if done else []
    said += [f'Not touched: {left}'] if left else []
    return TalosError(f'The change stopped {"before" if before else "at"} {step.label}: {". ".join(said)}.', error.hint)
