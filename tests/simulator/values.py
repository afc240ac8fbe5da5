# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of values in scenario files, and times and durations as values."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime, timedelta, timezone

from tests.simulator import vocabulary
from tests.simulator.sizes import size as storage_size
from tests.simulator.schema import ENUMS

_DURATION = re.compile(r'(\d+(?:\.\d+)?)(d|h|ms|m|s)')
_UNITS = {'d': 86400, 'h': 3600, 'm': 60, 's': 1, 'ms': 0.001}
_PHASES = ('Pending', 'Running', 'Succeeded', 'Failed', 'Unknown')
_SERVICE_STATES = ('Initialized', 'Starting', 'Waiting', 'Preparing', 'Running', 'Stopping', 'Finished', 'Failed', 'Skipped')


class Clock:
    """Times of a scenario as times of the wall clock: C(fixed) there moves every other time by the same amount.

    C(ahead) is by how much the cluster's clocks are ahead of this machine's.
    """

    def __init__(self, fixed=None, wall=None, ahead=timedelta()):
        self._ahead = ahead
        self.wall = (wall or datetime.now(timezone.utc)) + ahead
        self._shift = self.wall - _absolute(str(fixed)) if fixed else timedelta()

    def now(self):
        """The clock of the cluster; C(wall) is what it showed when the scenario began, to which its times are relative."""
        return datetime.now(timezone.utc) + self._ahead

    def at(self, text):
        """'-5m' before now, '+2h' after it, an RFC 3339 time moved by C(now)'s distance from the wall clock. Raises ValueError."""
        text = str(text).strip()
        if text[:1] in '+-':
            return self.wall + (1 if text[:1] == '+' else -1) * duration(text[1:])
        return _absolute(text) + self._shift


def duration(text):
    """'2h10m', '40d', '90s' as a timedelta. Raises ValueError."""
    text = str(text).strip()
    parts = _DURATION.findall(text)
    if not parts or ''.join(number + unit for number, unit in parts) != text:
        raise ValueError(text)
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def _absolute(text):
    when = datetime.fromisoformat(text.replace('Z', '+00:00'))
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)


def problem(value, kind):
    """What a value of this kind must look like, when this one does not; else None. Nothing (null) always may stand."""
    fits, form = _FORMS[kind]
    if value is None:
        return None
    try:
        return None if fits(value) else form
    except (TypeError, ValueError):
        return form


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _all(value, check):
    return isinstance(value, list) and all(check(item) for item in value)


def _address(value):
    return isinstance(value, str) and bool(ipaddress.ip_address(value))


def _prefix(value):
    return '/' in value and bool(ipaddress.ip_interface(value))


def _done(_value):
    return True


_FORMS = {
    vocabulary.ANY: (_done, ''),
    vocabulary.TEXT: (lambda value: isinstance(value, str), 'a text'),
    vocabulary.NUMBER: (_is_number, 'a number'),
    vocabulary.NUMBERS: (
        lambda value: _is_number(value) or isinstance(value, dict) and all(map(_is_number, value.values())), 'a number, or one per member'),
    vocabulary.BOOL: (lambda value: isinstance(value, bool), 'true or false'),
    vocabulary.NAMES: (lambda value: _all(value, lambda item: isinstance(item, str)), 'a list of names'),
    vocabulary.TIME: (lambda value: _done(Clock().at(value)), 'a time such as -5m or 2026-11-22T10:00:00Z'),
    vocabulary.DURATION: (lambda value: _done(duration(value)), 'a duration such as 2h10m or 40d'),
    vocabulary.ADDRESS: (_address, 'an IP address'),
    vocabulary.ADDRESSES: (lambda value: _all(value, _address), 'a list of IP addresses'),
    vocabulary.PREFIXES: (lambda value: _all(value, _prefix), 'a list of addresses or networks with their prefix length'),
    vocabulary.VERSION: (lambda value: bool(re.match(r'v\d+\.\d+', value)), 'a version such as v1.14.3'),
    vocabulary.SERVICE: (
        lambda value: isinstance(value, list) and len(value) == 2 and value[0] in _SERVICE_STATES and value[1] in ('OK', 'Fail', '?'),
        'a service state and OK, Fail or "?"'),
    vocabulary.TLS_FAULT: (lambda value: value == vocabulary.TLS_FAILS, f'{vocabulary.TLS_FAILS!r}'),
    vocabulary.READY: (
        lambda value: str(value) in ('Ready', 'NotReady', 'True', 'False', 'Unknown'), 'Ready, NotReady, True, False, Unknown, or a mapping'),
    vocabulary.FLAPPING: (
        lambda value: isinstance(value, bool) or _is_number(value) and value > 0 or bool(duration(value)),
        'true, false, a duration of one state, or a number of changes in an hour'),
    vocabulary.LB_KIND: (lambda value: value == 'tcp', 'tcp'),
    vocabulary.LB_CHECK: (lambda value: value in ('tcp-connect', 'readyz', 'none'), 'tcp-connect, readyz or none'),
    vocabulary.PHASE: (lambda value: value in _PHASES, 'a phase of a pod'),
    vocabulary.POD: (lambda value: bool(re.fullmatch(r'[A-Z]\w+', value)), 'a phase, the reason for which it waits, or a mapping'),
    vocabulary.KUBE_SYSTEM: (
        lambda value: value in ('all pods Running and ready', 'none', []), 'all pods Running and ready, none, or a mapping of pods'),
    vocabulary.CSR_STATE: (
        lambda value: bool(value) and set(value.split(',')) <= {'Pending', 'Approved', 'Issued', 'Denied', 'Failed'},
        'Pending, Approved, "Approved,Issued", Denied or Failed'),
    vocabulary.ANSWERED: (
        lambda value: value == 'ok' or bool(re.fullmatch(r'rejected: *\S.*', value)), 'ok, or "rejected: " and the text of the refusal'),
    vocabulary.API_SERVERS: (lambda value: value in ('up', 'down', 'never up'), 'up, down, never up, or a mapping'),
    vocabulary.API_SERVER: (lambda value: value in ('up', 'refused'), 'up or refused'),
    vocabulary.SIZE: (lambda value: storage_size(value) >= 0, 'a size such as 12GiB, or a number of GiB'),
    vocabulary.STAGE: (lambda value: value in ENUMS['stage'], 'a stage of a machine'),
    vocabulary.WHERE: (
        lambda value: isinstance(value, list) or isinstance(value, dict) and all(where in ('client', 'anywhere') for where in value.values()),
        'a list of names, or a mapping of names to client or anywhere'),
    vocabulary.CNI: (lambda value: value in ('cilium', 'calico'), 'cilium or calico'),
    vocabulary.MANAGER: (lambda value: value in ('cluster-api', 'omni'), 'cluster-api or omni'),
    vocabulary.UNREACHED: (lambda value: value in ('refused', 'dropped'), 'refused or dropped'),
    vocabulary.URL: (lambda value: bool(re.fullmatch(r'https://\S+:\d+', value)), 'a URL such as https://10.5.0.10:6443'),
}
