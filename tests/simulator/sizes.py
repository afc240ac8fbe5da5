# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes in scenario files."""

from __future__ import annotations

import re

GIB = 1024 ** 3
_UNITS = {'': 1, 'k': 1000, 'm': 1000 ** 2, 'g': 1000 ** 3, 't': 1000 ** 4, 'ki': 1024, 'mi': 1024 ** 2, 'gi': GIB, 'ti': 1024 ** 4}
_SIZE = re.compile(r'^(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?$', re.I)


def size(text):
    """Bytes of a size: a number of GiB, or a text such as 12GiB, 800 MB. Raises ValueError."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return int(text * GIB)
    match = _SIZE.match(str(text).strip())
    if not match:
        raise ValueError(text)
    return int(float(match[1]) * _UNITS[(match[2] or '').lower()])
