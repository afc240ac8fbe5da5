# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of Talos's and etcd's logs, with the time at which each was written (edge-cases 44).

A log keeps what happened since the boot: a line is history until its age, and the present state, say otherwise.
Times are those of the machine's own clock.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import lru_cache

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

_ANSI = re.compile(r'\x1b\[[0-9;]*m')
_KERNEL = re.compile(r'^\S+:\s+\S+: \[(?P<at>\d{4}-\d\d-\d\dT[^\]]+)\]: ')
_STAMP = re.compile(r'^(?P<at>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?) ')
_SECOND_STAMP = re.compile(r'^(\[talos\] (?:task \S+ \(\d+/\d+\): )?)\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ')
_RFC3339 = re.compile(r'^(?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) (?:std(?:out|err) [FP] )?')
_JSON_TS = re.compile(r'"ts":(?:"(?P<text>[^"]+)"|(?P<number>\d+(?:\.\d+)?))')
_KLOG = re.compile(r'^[IWEF](?P<month>\d\d)(?P<day>\d\d) (?P<clock>\d\d:\d\d:\d\d(?:\.\d+)?)\s')
_ESCAPED_QUOTE = re.compile(r'(?:\\x5c|\\)+"')
_ESCAPED_BREAK = re.compile(r'\\+n\\+t')
_DURATION = re.compile(r'(?P<number>\d+(?:\.\d+)?)(?P<unit>ns|us|µs|ms|h|m(?!s)|s)')
_SECONDS = {'ns': 1e-9, 'us': 1e-6, 'µs': 1e-6, 'ms': 1e-3, 's': 1.0, 'm': 60.0, 'h': 3600.0}


@dataclass(frozen=True)
class Line:
    """C(at): the line's own time, or None. C(near): its own, else that of the last line before it that has one.

    C(text): without stamps. C(fields): the keys of a JSON line, else empty.
    """

    text: str
    at: datetime | None = None
    near: datetime | None = None
    fields: dict = field(default_factory=dict)

    @property
    def msg(self):
        return str(self.fields.get('msg') or '')


@lru_cache(maxsize=64)
def machined(text):
    """The lines of C(machined) (or of the kernel log) in both of their forms.

    In container mode Talos prints a second stamp after C([talos]); it is taken out (edge-cases 44b).
    """
    lines, near = [], None
    for raw in (text or '').splitlines():
        line, at = _ANSI.sub('', raw), None
        kernel = _KERNEL.match(line)
        if kernel:
            at, line = parse_time(kernel.group('at')), line[kernel.end():]
        stamp = _STAMP.match(line)
        if stamp:
            at, line = at or parse_time(stamp.group('at').replace('/', '-', 2).replace(' ', 'T', 1)), line[stamp.end():]
        near = at or near
        lines.append(Line(_SECOND_STAMP.sub(r'\1', line), at, near))
    return tuple(lines)


@lru_cache(maxsize=64)
def etcd(text):
    """The lines of etcd's log: JSON with C(ts), and between them plain text (usage, panics) without a time."""
    lines, near = [], None
    for raw in (text or '').splitlines():
        fields = _json(raw)
        at = _moment(fields.get('ts'))
        near = at or near
        lines.append(Line(raw, at, near, fields))
    return tuple(lines)


def time_of(raw, now):
    """The time of a line of any log that Talos keeps, None where it has none.

    machined's and the kernel's stamps, RFC 3339 (controllers, containers), JSON with C(ts) (etcd: text, kubelet: milliseconds), and klog,
    which tells no year: it is the last one before C(now).
    """
    if raw[:1] == '{':
        found = _JSON_TS.search(raw[:200])
        if not found:
            return None
        number = found.group('number')
        return parse_time(found.group('text')) if number is None else _moment(float(number) / (1000 if float(number) > 1e11 else 1))
    for form in (_STAMP, _RFC3339, _KERNEL):
        found = form.match(raw)
        if found:
            stamp = found.group('at')
            return parse_time(stamp.replace('/', '-', 2).replace(' ', 'T', 1) if form is _STAMP else stamp)
    found = _KLOG.match(raw)
    if not found:
        return None
    month_day = f'{found.group("month")}-{found.group("day")}T{found.group("clock")}Z'
    at = parse_time(f'{now.year}-{month_day}')
    return at if at is None or at - now < timedelta(days=2) else parse_time(f'{now.year - 1}-{month_day}')


def any_of(raw, near, now):
    """One line of any log, without its stamps; C(near): the time of the last line before it, for one that has none."""
    line, at = _ANSI.sub('', raw).rstrip('\r'), time_of(raw, now)
    for form in (_KERNEL, _STAMP, _RFC3339):
        found = form.match(line)
        if found:
            line = line[found.end():]
            break
    return Line(without_second_stamp(line), at, at or near, _json(raw) if raw[:1] == '{' else {})


def normal(text):
    """Text as patterns see it: escapes undone, which differ between logs and versions, and without colours."""
    if '\\' in text:
        text = _ESCAPED_QUOTE.sub('"', text).replace('\\x5c', '\\')
        text = _ESCAPED_BREAK.sub(' ', text)
    return _ANSI.sub('', text) if '\x1b' in text else text


def without_second_stamp(line):
    """A line of machined without the second stamp that container mode prints, wherever C([talos]) stands."""
    start = line.find('[talos] ')
    return line if start < 0 else line[:start] + _SECOND_STAMP.sub(r'\1', line[start:])


def seconds(duration):
    """A Go duration ("1.27s", "138.08ms", "1m3s") in seconds, None when it is none."""
    parts = _DURATION.findall(str(duration or ''))
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None


def _json(raw):
    start = raw.find('{')
    if start < 0:
        return {}
    try:
        fields = json.loads(raw[start:])
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _moment(stamp):
    if isinstance(stamp, (int, float)) and not isinstance(stamp, bool):
        try:
            return datetime.fromtimestamp(stamp, timezone.utc)
        except (OverflowError, OSError, ValueError):
            return None
    return parse_time(stamp) if isinstance(stamp, str) else None
