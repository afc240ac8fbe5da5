# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Talos cluster, replayed from recorded bytes.

    with serve('one-cp-down') as replay:        # no namespace needed; see server.Replay
        replay.path, replay.talosconfig, replay.proxy

    python -m tests.replay one-cp-down -- ansible-playbook talosops.talos.diagnose

``recording.load(set)`` gives what was recorded as data, ``recording.sets()`` the names of the sets.
"""

from __future__ import annotations

from tests.replay.recording import load, sets
from tests.replay.server import serve

__all__ = ['load', 'serve', 'sets']
