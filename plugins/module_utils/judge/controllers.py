# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures of Talos's controllers, from the log of the controller runtime (check catalogue CTL-1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.talosops.talos.plugins.module_utils.judge import loglines

LOG = 'controller-runtime'
# Controllers are tried again after a minute at most: a pause longer than this is a success in between.
PAUSE_SECONDS = 900
SETTLED_SECONDS = 300

_FAILED = 'controller failed'
_NAME = re.compile(r'"controller": ?"(?P<name>[^"]+)"')
_ERROR = re.compile(r'"error": ?"(?P<error>.*?)"(?:, "\w+": |\}?\s*$)')


@dataclass(frozen=True)
class Failing:
    """One controller: C(count) failures in the log, C(streak) of them without a longer pause up to the C(last), C(age) seconds since then."""

    name: str
    count: int
    streak: int
    first: datetime
    last: datetime
    age: float
    error: str

    @property
    def settled(self):
        """It has not failed for five minutes."""
        return self.age > SETTLED_SECONDS


def failing(view, machine):
    """The controllers that failed on a machine, those that failed last first; empty where the log was not read."""
    kept = view.__dict__.setdefault('_controllers', {})
    if machine.key not in kept:
        kept[machine.key] = list(_failing(view, machine))
    return kept[machine.key]


def _failing(view, machine):
    found, now = {}, view.signatures.clock(machine)
    text = machine.log(LOG).value if machine.log(LOG).ok else ''
    for raw in (text or '').splitlines():
        if _FAILED not in raw:
            continue
        line, at = loglines.normal(raw), loglines.time_of(raw, view.now)
        name, error = _NAME.search(line), _ERROR.search(line)
        if name and at is not None:
            found.setdefault(name.group('name'), []).append((at, error.group('error') if error else ''))
    for name, failures in sorted(found.items(), key=lambda item: item[1][-1][0], reverse=True):
        streak = 1
        while streak < len(failures) and (failures[-streak][0] - failures[-streak - 1][0]).total_seconds() <= PAUSE_SECONDS:
            streak += 1
        yield Failing(name, len(failures), streak, failures[0][0], failures[-1][0], max(0.0, (now - failures[-1][0]).total_seconds()),
                      failures[-1][1])
