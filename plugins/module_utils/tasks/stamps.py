# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a line of a log was written, in every form in which the logs of a Talos machine write it (talos-api 5.2).

etcd and containerd: JSON with ts or time; kubelet: JSON with ts in milliseconds, and klog text without a year;
controller-runtime and containers of Kubernetes: RFC 3339 first; machined, apid and trustd: a date with slashes; the
kernel log: RFC 3339 in brackets. Times are those of the machine's own clock.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

_ANSI = re.compile(r'\x1b\[[0-9;]*[A-Za-z]')
_RFC3339 = re.compile(r'\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?')
_KERNEL = re.compile(r'^[a-z0-9]+:\s+[a-z0-9]+:\s+\[(\d{4}-\d\d-\d\dT[^\]]+)\]: ')
_SLASHES = re.compile(r'^(?:\[talos\] )?(\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)')
_KLOG = re.compile(r'^[IWEF](\d\d)(\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)')
_KEYS = ('ts', 'time', 'timestamp', '@timestamp')
# A number above this is a time in milliseconds: seconds reach it in the year 5138.
_MILLISECONDS = 1e11


def plain(line):
    """A line without the colours of a terminal."""
    return _ANSI.sub('', line) if '\x1b' in line else line


def of(line, now):
    """The time at which a line was written as an aware datetime, or None; C(now) tells the year where the line does not."""
    if line[:1].isdigit():
        found = _RFC3339.match(line)
        return parse_time(found[0]) if found else _slashes(line)
    if line.startswith('{'):
        return _of_json(line)
    found = _KERNEL.match(line)
    if found:
        return parse_time(found[1])
    return _klog(line, now) or _slashes(line)


def since(lines, moment, now):
    """The lines that are not older than C(moment): one without a time goes with the one before it, those before the first with that.

    A log in which no line has a time is returned whole.
    """
    times = [of(line, now) for line in lines]
    near = next((at for at in times if at is not None), None)
    kept = []
    for line, at in zip(lines, times):
        near = at or near
        if near is None or near >= moment:
            kept.append(line)
    return kept


def _slashes(line):
    found = _SLASHES.match(line)
    return parse_time(f'{found[1]}-{found[2]}-{found[3]}T{found[4]}') if found else None


def _of_json(line):
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    stamp = next((fields[key] for key in _KEYS if key in fields), None) if isinstance(fields, dict) else None
    if isinstance(stamp, (int, float)) and not isinstance(stamp, bool):
        try:
            return datetime.fromtimestamp(stamp / 1000 if stamp > _MILLISECONDS else stamp, timezone.utc)
        except (OverflowError, OSError, ValueError):
            return None
    return parse_time(stamp) if isinstance(stamp, str) else None


def _klog(line, now):
    found = _KLOG.match(line)
    if not found:
        return None
    for year in (now.year, now.year - 1):
        at = parse_time(f'{year}-{found[1]}-{found[2]}T{found[3]}')
        if at is not None and at <= now + timedelta(days=1):
            return at
    return None
