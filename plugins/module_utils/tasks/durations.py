# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spans of time as people write them in an option: 10m, 1h30m, 30d, or a bare number of seconds."""

from __future__ import annotations

import re
from datetime import timedelta

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError

_SECONDS = {'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 7 * 86400}
_PART = re.compile(r'(\d+(?:\.\d+)?)([smhdw])')
_WHOLE = re.compile(r'(?:\d+(?:\.\d+)?[smhdw])+')
_NUMBER = re.compile(r'\d+(?:\.\d+)?')


def is_span(text):
    """Whether a text is a span of time."""
    return bool(_NUMBER.fullmatch(text) or _WHOLE.fullmatch(text))


def parse(text, option):
    """A timedelta. Raises InputError, which names the C(option)."""
    text = str(text).strip().lower()
    if not is_span(text):
        raise InputError(f'{option} is "{text}", which is no span of time such as 10m, 1h30m or 30d.')
    if _NUMBER.fullmatch(text):
        text += 's'
    try:
        return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))
    except OverflowError:
        raise InputError(f'{option} is "{text}", which is too long a time.') from None


def words(span):
    """A timedelta in its largest fitting unit: 30d, 12h, 45m, 20s."""
    seconds = span.total_seconds()
    for unit in ('d', 'h', 'm'):
        if abs(seconds) >= _SECONDS[unit]:
            return f'{seconds / _SECONDS[unit]:.0f}{unit}'
    return f'{seconds:.0f}s'
