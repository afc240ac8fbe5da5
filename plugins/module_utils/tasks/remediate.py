# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_remediate: diagnose, plan, apply what was enabled by name, step by step, and diagnose again (users.md 5).

Each step is looked at anew before it is applied, and after it: the first surprise stops all that follow.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import approval, live, never, plan
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.report import console, files
from ansible_collections.talosops.talos.plugins.module_utils.report.remediation import (
    DONE, FAILED, NOT_ATTEMPTED, PROVED, REFUSED, WOULD_BE_DONE,
)
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import store
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, judged, remedy_actions, wishes
from ansible_collections.talosops.talos.plugins.module_utils.tasks import snapshot as snapshots
from ansible_collections.talosops.talos.plugins.module_utils.tasks.remedy_guard import Guard
from ansible_collections.talosops.talos.plugins.module_utils.tasks.remedy_lock import LockLost, unlocked_sentence

CHANGES = 'what the enabled remedies change'
NEEDS_ADMIN = ('what the enabled remedies need',)
# What an outcome is called in the audit record.
_EVENTS = {PROVED: 'proved', DONE: 'not_proved', REFUSED: 'refused', FAILED: 'failed', NOT_ATTEMPTED: 'not_attempted'}
BEFORE, PLAN, AUDIT = 'before', 'plan.json', 'audit.jsonl'
_POLL = 2.0
_NAMED_MOST = 4


def run(params, check_mode, say):
    """See the module's RETURN; C({archive: …}) where the files belong on another machine. Raises TalosError."""
    asked = wishes.read(params)
    if access.of(params).directory is None and asked.remedies:
        raise InputError('Remedies are not applied through another host (talos_bastion): backups, the audit record and the plan belong on the control node.',
                         'Plan through it, and apply on a control node that reaches the cluster.')
    taken = snapshots.run(params, check_mode, say)
    return taken if snapshots.ARCHIVE in taken else finish(taken, params, check_mode, say)


def finish(taken, params, check_mode, say):
    """The module's result, from what C(snapshot.keep) returned and wrote."""
    asked = wishes.read(params)
    made = _Run(params, asked, taken, check_mode, say)
    if asked.remedies:
        made.apply()
    return made.result()


class _Run:
    """One run: the plan as it was made, what is applied of it, and what came of each step."""

    def __init__(self, params, asked, taken, check_mode, say):
        self.params, self.asked, self.check_mode = params, asked, check_mode
        self.say_as_it_is = say
        self.say = access.saying(params, say) or (lambda text: None)
        self.settings = judged.settings(params)
        self.directory = taken['report_dir']
        self.now = _Look(store.read(taken['snapshot']), files.read_report(taken['report']), self.settings)
        self.key = taken['cluster_key']
        self.began = self.now
        self.no_lock = live.not_writing(self.now.view)
        name = self.now.report['cluster']
        self.plan = plan.document(name, self.now.report['cluster_id'], self.now.report['plan'], [unlocked_sentence(name)] if self.no_lock else ())
        self.outcomes, self.guard, self.stopped, self.changed, self.is_old, self.diffs = {}, None, None, False, False, []
        files.put_json(os.path.join(self.directory, PLAN), self.plan)
        if params.get('plan_out'):
            wishes.write_plan(wishes.place_of_plan(params['plan_out'], self.key), self.plan)

    # -- what is to be done -----------------------------------------------------------------------------------------

    def apply(self):
        """Apply the steps that were enabled, in the order of the plan."""
        chosen, unplanned = self._chosen()
        self.guard = Guard(self.params, self.asked, self.plan, os.path.join(self.directory, AUDIT), self.say, self.check_mode)
        for name, target, why in unplanned:
            self._told({'step': None, 'remedy': name, 'target': target, 'title': f'{name}{f" for {target}" if target else ""}'}, REFUSED, why)
        approved = self._approved()
        why = self._not_approved([*chosen, *approved])
        for step in [*approved, *chosen] if why else ():
            self._told(step, REFUSED, why)
        with self.guard:
            for step in chosen if not why else ():
                self._step(step)

    def _chosen(self):
        """C(([steps of the plan], [(remedy, target, why not)])) that were asked for."""
        steps, chosen, unplanned = self.plan['steps'], [], []
        for name in self.asked.remedies:
            mine = [step for step in steps if step['remedy'] == name and not step['by_hand']]
            targets = self.asked.targets.get(name)
            if targets is None and never.find(name):
                unplanned.append((name, None, plan.refusal(self.now.view, steps, name, None)))
            chosen += [step for step in mine if targets is None or step['target'] in targets]
            unplanned += [(name, target, self._not_planned(name, target)) for target in targets or () if target not in [step['target'] for step in mine]]
        return sorted(chosen, key=lambda step: step['step']), unplanned

    def _not_planned(self, name, target):
        """Why a target is not in the plan."""
        try:
            return plan.refusal(self.now.view, self.plan['steps'], name, target)
        except InputError as error:
            return error.sentence()

    def _approved(self):
        """The steps of the approved plan that are enabled."""
        return [step for step in (self.asked.approved or {}).get('steps') or () if not step['by_hand'] and step['remedy'] in self.asked.remedies
                and step['target'] in self.asked.targets.get(step['remedy'], [step['target']])]

    def _not_approved(self, chosen):
        """Why nothing is applied at all, as the end of a sentence; None where it is what was approved."""
        if self.asked.approved is not None:
            said = approval.against(self.asked.approved, self.plan['cluster'], self.plan['cluster_id'], self.plan['steps'],
                                    list(dict.fromkeys((step['remedy'], step['target']) for step in chosen)))
            return '; '.join(said) and f'what was approved is not what would be done: {"; ".join(said)}'
        if self.asked.digest is not None and self.asked.digest != self.plan['digest']:
            return f'the plan of now has the digest {self.plan["digest"]}, and {self.asked.digest} was approved'
        return None

    # -- one step ---------------------------------------------------------------------------------------------------

    def _step(self, planned):
        if self.stopped:
            self._told(planned, NOT_ATTEMPTED, self.stopped)
            return
        try:
            step = self._as_it_is_now(planned)
            if step is None:
                self._told(planned, NOT_ATTEMPTED, 'what it repairs is gone')
                return
            self._agreed(step)
            if not self.check_mode:
                self.guard.enter(self.now.view, self.now.snapshot)
        except LockLost as error:
            self.stopped = error.sentence()
            self._told(planned, NOT_ATTEMPTED, self.stopped)
            return
        except TalosError as error:
            self._told(planned, REFUSED, error.sentence())
            return
        self._do(planned, step)

    def _as_it_is_now(self, planned):
        """The same step in a plan of now, None where nothing asks for it any more. Raises Refused where it is another one, or is refused."""
        if self.is_old:
            self._look()
        found = [step for step in self.now.report['plan'] if (step['remedy'], step['target']) == (planned['remedy'], planned['target']) and not step['by_hand']]
        if not found:
            return None
        if found[0]['digest'] != planned['digest']:
            self.stopped = f'the cluster has changed in what step {planned["step"]} rests on'
            raise Refused(f'The cluster has changed in what it rests on: {approval.changed(planned, found[0])}.')
        if found[0]['refused']:
            raise Refused(_sentence(found[0]['refused']))
        waits = [step for step in self.now.report['plan'] if step['step'] in found[0]['after']]
        would = [step for step in waits if self.outcomes.get((step['remedy'], step['target']), {}).get('outcome') == WOULD_BE_DONE]
        if len(would) < len(waits):
            raise Refused(f'It can be done only after: {"; ".join(step["title"] for step in waits)}.')
        return found[0]

    def _agreed(self, step):
        """Raises Refused where consent, or the place for a backup, is missing. Check mode only tells of it."""
        sentences = [*step['confirm'], *self.guard.sentences(self.now.view)]
        missing = [f'talos_confirm: "{sentence}"' for sentence in sentences if sentence not in self.asked.confirm]
        if step['needs_backup'] and not self.params.get('backup_dir'):
            missing.append('talos_backup_dir, the directory for backups')
        if missing and not self.check_mode:
            raise Refused(f'It needs {" and ".join(missing)}.')
        self.missing = missing

    def _do(self, planned, step):
        if step['after']:  # in check mode alone: what it would change depends on what is not done
            self._told(planned, WOULD_BE_DONE, f'what it changes is seen after step {", ".join(map(str, step["after"]))}')
            return
        self.guard.record('started', planned, does=step['title'], before=step['evidence'])
        self.say(f'step {planned["step"]}: {step["title"]}')
        self._keep_before()
        self.is_old = not self.check_mode
        try:
            results = remedy_actions.do(step, self.guard.params, self.guard.backup, self.check_mode, self.say_as_it_is, self._acted(planned))
        except remedy_actions.Failed as error:
            self.changed = True
            self._stop(planned, FAILED, f'{error.message} The way back: {step["way_back"]}')
            return
        except (Refused, InputError) as error:  # nothing was sent
            self._told(planned, REFUSED, error.sentence())
            return
        except TalosError as error:
            self._stop(planned, FAILED, error.sentence())
            return
        self.diffs += [{'before_header': step['title'], 'after_header': step['title'], **diff} for result in results for diff in _diffs(result)]
        if self.check_mode:
            self._told(planned, WOULD_BE_DONE, f'it needs {" and ".join(self.missing)}' if self.missing else None)
            return
        self.changed = self.changed or any(result['changed'] for result in results)
        self.guard.params = remedy_actions.after(self.guard.params, step, results)
        self._prove(planned, step, [path for result in results for path in _kept(result)])

    def _acted(self, planned):
        def told(action, result):
            if result is None:
                self.say(f'  {action["does"]}')
                self.guard.record('action', planned, does=action['does'])
            else:
                before, after = ([diff[name] for diff in _diffs(result)] or None for name in ('before', 'after'))
                after = [*(after or ()), *(f'kept: {path}' for path in _kept(result))] or None
                self.guard.record('changed' if result['changed'] else 'action', planned, does=action['does'], before=before, after=after)
        return told

    # -- and after it -----------------------------------------------------------------------------------------------

    def _prove(self, planned, step, kept):
        """Look until the findings of the step are gone and no new error is there, for C(wait) seconds at most."""
        known = self._errors() | {finding['id'] for finding in self.began.report['findings']}
        end = time.monotonic() + self.params['wait']
        while True:
            self._look()
            unproved, new = self._unproved(step), sorted(self._errors() - known)
            left = end - time.monotonic()
            if not (unproved or new) or left <= 0:
                break
            time.sleep(min(_POLL, left))
        if unproved:
            self._told(planned, DONE, f'still found or not seen: {", ".join(unproved[:_NAMED_MOST])}', kept)
        else:
            left = [one for one in step['consequences'] if one in self._problems()]
            self._told(planned, PROVED, f'what followed from it is found still, and should pass: {", ".join(left[:_NAMED_MOST])}' if left else None, kept)
        if new:
            self.stopped = f'after step {planned["step"]} there is what was not there before: {", ".join(new[:_NAMED_MOST])}'
        elif unproved:
            self.stopped = f'step {planned["step"]} is not yet proved'

    def _errors(self):
        return {finding['id'] for finding in self.now.report['findings'] if v.rank(finding['verdict']) >= v.rank(v.ERROR)}

    def _problems(self):
        return {finding['id'] for finding in self.now.report['findings'] if v.rank(finding['verdict']) >= v.rank(v.WARNING)}

    def _unproved(self, step):
        """Ids of the findings that the step is to repair, and which are there still, or cannot be seen."""
        there, report = self._problems(), self.now.report
        unseen = {finding['check'] for finding in report['findings'] if finding['verdict'] == v.UNKNOWN}
        if report['class'] == v.NOT_JUDGED:
            return step['findings']
        return [one for one in step['findings'] if one in there or one.partition('/')[0] in unseen]

    def _look(self):
        snapshot = access.gather(self.guard.params, None)
        self.now, self.is_old = _Look(snapshot, judged.anew(snapshot, self.settings), self.settings), False

    def _keep_before(self):
        """The diagnosis on which the plan rests is kept beside the one that is made last."""
        before = os.path.join(self.directory, BEFORE)
        if not self.check_mode and not os.path.isdir(before):
            os.mkdir(before, 0o700)
            for name in (files.SNAPSHOT, files.REPORT):
                os.replace(os.path.join(self.directory, name), os.path.join(before, name))

    def _stop(self, step, outcome, why):
        self.stopped = f'step {step["step"]} failed'
        self._told(step, outcome, why)

    def _told(self, step, outcome, why=None, kept=()):
        self.outcomes[(step['remedy'], step['target'])] = {**{name: step[name] for name in ('step', 'remedy', 'target', 'title')},
                                                           'outcome': outcome, 'why': why, 'kept': list(kept)}
        if self.guard and outcome in _EVENTS:
            self.guard.record(_EVENTS[outcome], step, reason=why)
        self.say(f'{step["title"]}: {outcome}{f": {why}" if why else ""}')

    # -- what is returned -------------------------------------------------------------------------------------------

    def result(self):
        """The module's result; the report of the end is written."""
        if self.is_old:
            self._look()
        report = {**self.now.report, 'remediation': self._remediation()}
        if self.now is not self.began or os.path.isdir(os.path.join(self.directory, BEFORE)):
            store.write(self.now.snapshot, os.path.join(self.directory, files.SNAPSHOT))
        path = files.write_report(self.directory, report)
        outcomes = list(self.outcomes.values())
        bad = [one for one in outcomes if one['outcome'] not in (PROVED, WOULD_BE_DONE)]
        return {
            'changed': self.changed or self.check_mode and any(one['outcome'] == WOULD_BE_DONE for one in outcomes),
            'cluster': report['cluster'],
            'cluster_id': report['cluster_id'],
            'cluster_key': self.key,
            'class': report['class'],
            'complete': report['complete'],
            'message': console.headline(report),
            'plan': self.plan,
            'plan_digest': self.plan['digest'],
            'outcomes': outcomes,
            'applied': bool(self.asked.remedies) and not self.check_mode,
            'unlocked': self.guard.unlocked if self.guard else None,
            'fails': bool(bad),
            'reason': '; '.join(f'{one["title"]}: {one["outcome"]}{": " + one["why"].rstrip(".") if one["why"] else ""}' for one in bad) or None,
            'report': path,
            'report_dir': self.directory,
            'plan_file': os.path.join(self.directory, PLAN),
            'audit': self.guard.path if self.guard and not self.check_mode else None,
            'diff': self.diffs,
            'ran_on': access.here(),
        }

    def _remediation(self):
        return {
            'plan': self.plan,
            'outcomes': list(self.outcomes.values()),
            'check_mode': self.check_mode,
            'enabled': list(self.asked.remedies),
            'targets': self.asked.targets,
            'changed': self.changed,
            'found_no_more': [step['step'] for step in self.plan['steps'] if self.changed and step['by_hand'] and not self._unproved(step)],
            'useless': sorted(sentence for sentence in self.asked.confirm - self._sentences() if self.plan['cluster'] in sentence),
            'audit': self.guard.path if self.guard and not self.check_mode else None,
            'no_lock': self.no_lock,
            'unlocked': self.guard.unlocked if self.guard else None,
            'finished_at': f'{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}',
        }

    def _sentences(self):
        """All sentences that a step of the plan asks for, or that asking for a lock might."""
        return {unlocked_sentence(self.plan['cluster']), *(sentence for step in self.plan['steps'] for sentence in step['confirm'])}


class _Look:
    """The cluster at one instant: what was taken of it, and what was judged."""

    def __init__(self, snapshot, report, settings):
        self.snapshot, self.report = snapshot, report
        self.view = View(snapshot, settings)


def _kept(result):
    """Where a module kept what was there before."""
    backups = result.get('backup_files') or {}
    paths = [result.get('dest') if result.get('changed') else None, result.get('backup_file'), *(backups.values() if isinstance(backups, dict) else backups)]
    return [path for path in paths if path]


def _diffs(result):
    """The differences in a module's result, which may be one or a list, as dicts with before and after."""
    diff = result.get('diff') or []
    return [one for one in (diff if isinstance(diff, list) else [diff]) if 'before' in one]


def _sentence(text):
    return f'{text[:1].upper()}{text[1:].rstrip(".")}.'
