# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_health: whether the cluster is healthy now, or becomes so in time."""

from __future__ import annotations

import time

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.guide.health_conditions import (
    BY_KEY, KEYS, OK, READS as LOOKED_AT, SKIPPED, UNKNOWN, Expected, conditions, met,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed
from ansible_collections.talosops.talos.plugins.module_utils.judge import judge
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import of_role
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, facts, judged, section

ROLE = 'health_checks'
# A pause between two polls grows by this factor, up to this many seconds or to poll_interval where that is longer.
GROWTH, PAUSE_MOST = 1.5, 15.0
# A gather that begins shortly before the time is over is given this many seconds at least.
GATHER_LEAST = 5.0
SAY_EVERY = 10.0
NODES_MOST = 50
REASON_CHARACTERS = 200
UNMET_MOST = 5


def run(params, check_mode, say):
    """The conditions and the findings of the role's sections; see the module's RETURN. Raises TalosError.

    Check mode makes no difference: nothing is changed.
    """
    chosen = _chosen(params)
    if params.get('snapshot'):
        snapshot, report = judged.from_file(params['snapshot'], chosen.settings)
        return _result(params, chosen, snapshot, report, chosen.told(snapshot), 0.0, 0)
    return _Wait(params, chosen, say).run()


class _Chosen:
    """What the options ask for: C(keys) of conditions, those C(left_out), the C(expected) nodes, the C(settings) of the judgement."""

    def __init__(self, params):
        self.keys = tuple(key for key in KEYS if key in (params.get('conditions') or KEYS))
        self.left_out = tuple(params.get('checks_skipped') or ())
        self.expected = Expected(tuple(params.get('control_plane_nodes') or ()), tuple(params.get('worker_nodes') or ()))
        named = [*(params.get('expected_nodes') or ()), *self.expected.control_planes, *self.expected.workers]
        self.settings = judged.settings({**params, 'expected_nodes': list(dict.fromkeys(named)) or None})

    def told(self, snapshot):
        return conditions(snapshot, self.settings, CHECKS, self.keys, self.left_out, self.expected)

    def needs(self):
        """(reads, logs) that these conditions need."""
        return _needs(key for key in self.keys if key not in self.left_out)


def _chosen(params):
    for option in ('wait_timeout', 'poll_interval'):
        if params.get(option) is not None and params[option] < 0:
            raise InputError(f'{option} must be a number of seconds, zero or more, not {params[option]}.')
    return _Chosen(params)


def _needs(keys):
    """(reads, logs) of the checks of some conditions."""
    wanted = {name for key in keys for name in BY_KEY[key].checks}
    kinds, logs = section.needs_of(check for check in CHECKS if check.id in wanted)
    return kinds | set(LOOKED_AT), logs


def needs():
    """(reads, logs) of all conditions, and of the findings of the role's sections."""
    of_conditions, of_sections = _needs(KEYS), section.needs(of_role(ROLE))
    return of_conditions[0] | of_sections[0], of_conditions[1] | of_sections[1]


class _Wait:
    """Gathers until the conditions are met or the time is over: what they need at first, and at the end what the findings need too."""

    def __init__(self, params, chosen, say):
        nodes = [*(params.get('nodes') or ()), *chosen.expected.control_planes, *chosen.expected.workers]
        self.params = {**params, 'nodes': list(dict.fromkeys(nodes)) or None}
        self.chosen = chosen
        self.say = say
        self.began = time.monotonic()
        self.timeout = params.get('wait_timeout') or 0.0
        self.pause = params['poll_interval']
        self.polls = 0
        self.said = None

    def run(self):
        while True:
            over = self._left() <= 0
            snapshot, told = self._poll(over)
            if met(told) and not over:
                snapshot, told = self._poll(True)
            if met(told) or over:
                report = judged.anew(snapshot, self.chosen.settings)
                return _result(self.params, self.chosen, snapshot, report, told, time.monotonic() - self.began, self.polls)
            self._tell(snapshot, told)
            time.sleep(min(self.pause, self._left()))
            self.pause = min(self.pause * GROWTH, max(PAUSE_MOST, self.params['poll_interval']))

    def _left(self):
        return max(0.0, self.began + self.timeout - time.monotonic())

    def _poll(self, last):
        """(Snapshot, conditions) of a new gather. The last one reads what the findings need, and has the time that every gather has."""
        kinds, logs = self.chosen.needs()
        params = self.params
        if last:
            more = section.needs(of_role(ROLE))
            kinds, logs = kinds | more[0], logs | more[1]
        else:
            params = {**params, 'deadline': min(params['deadline'], max(GATHER_LEAST, self._left()))}
        self.polls += 1
        snapshot = access.gather(params, self.say if not self.timeout else None, kinds, logs)
        return snapshot, self.chosen.told(snapshot)

    def _tell(self, snapshot, told):
        """Say what is waited for, when that has changed or after a while."""
        if self.say is None:
            return
        waiting = [f'{one["name"]}{_on(one)}' for one in told if one['state'] not in (OK, SKIPPED)]
        text = listed(waiting, 3)
        now = time.monotonic()
        if self.said and self.said[0] == text and now - self.said[1] < SAY_EVERY:
            return
        self.said = (text, now)
        self.say(f'{snapshot.cluster.get("name")}: waiting for {text}, {now - self.began:.0f} of {self.timeout:.0f} s')


def _result(params, chosen, snapshot, report, told, waited, polls):
    part = judge.part(report, of_role(ROLE))
    healthy = met(told)
    result = facts.bounded({
        'changed': False,
        'cluster': snapshot.cluster.get('name'),
        'healthy': healthy,
        'conditions': [_bounded(one) for one in told],
        'waited': round(waited, 1),
        'polls': polls,
        'verdict': part['verdict'],
        'complete': part['complete'],
        'sections': part['sections'],
        'findings': part['findings'],
        'ran_on': access.here(),
    })
    if healthy or not params.get('fail', True):
        return result
    return {**result, 'failed': True, 'msg': _sentence(snapshot, report, told, waited if params.get('wait_timeout') else 0.0)}


def _bounded(one):
    """A condition with as many nodes as fit into a result; C(nodes_omitted) says how many do not."""
    return {**one, 'nodes': one['nodes'][:NODES_MOST], 'nodes_omitted': max(0, len(one['nodes']) - NODES_MOST),
            'findings': one['findings'][:NODES_MOST]}


def _sentence(snapshot, report, told, waited):
    """What is not met, on which nodes and why, as one sentence."""
    after = f' after {waited:.0f} s' if waited else ''
    name = f'{snapshot.cluster.get("name")} is not healthy{after}'
    reached = next((finding for finding in report['findings'] if finding['check'] == section.NOTHING_REACHED), None)
    if reached:
        said = '; '.join(evidence['text'].rstrip('.') for evidence in reached['evidence'])
        return f'{name}: {reached["title"]}: {said}. {reached["next_step"]}'
    unmet = [one for one in told if one['state'] not in (OK, SKIPPED)]
    unmet.sort(key=lambda one: one['state'] == UNKNOWN)
    parts = [f'"{one["name"]}" is {"unknown" if one["state"] == UNKNOWN else "not met"}{_on(one)}{_because(one)}' for one in unmet[:UNMET_MOST]]
    if len(unmet) > UNMET_MOST:
        rest = listed((one['name'] for one in unmet[UNMET_MOST:]), 20)
        parts.append(f'further not met or unknown: {rest}')
    return f'{name}: {"; ".join(parts)}.'


def _on(one):
    return f' on {listed(one["nodes"])}' if one['nodes'] else ''


def _because(one):
    reason = (one['reason'] or '').rstrip('.')
    return f' ({reason if len(reason) <= REASON_CHARACTERS else reason[:REASON_CHARACTERS - 1] + "…"})' if reason else ''
