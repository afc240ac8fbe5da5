# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for what happens by itself in a real control plane."""

from __future__ import annotations

import time

_MOST = 240.0
_POLL = 0.05


def until(holds, seconds=_MOST):
    """What C(holds()) returns once that is true; the time is for a machine that is busy with something else."""
    end = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < end, f'it did not happen within {seconds:g} s'
        time.sleep(_POLL)
