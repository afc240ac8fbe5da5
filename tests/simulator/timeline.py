# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is going to happen in a cluster, and when: boots that end, elections, learners that are promoted.

Durations are shorter than on real machines, in their proportions; C(pace) stretches them.
"""

from __future__ import annotations

import heapq
import itertools
import time
from datetime import timedelta

ELECTION = 1.5
JOIN = 1.0
PROMOTION = 2.0
SHUTDOWN = 0.5
AWAY = 2.0
BOOT = 2.0
SERVICE = 0.5
VIP = 1.0
RESTART = 5.0
UNDERWAY = 300.0
YOUNG = timedelta(minutes=15)


class Timeline:
    """Actions in their order; who serves the model calls C(run) now and then."""

    def __init__(self, pace=1.0):
        self.pace = pace
        self._due = []
        self._number = itertools.count()
        self._skipped = 0.0

    def _now(self):
        return time.monotonic() + self._skipped

    def later(self, seconds, action):
        """Do C(action()) after so many seconds of the cluster's time."""
        heapq.heappush(self._due, (self._now() + seconds * self.pace, next(self._number), action))

    def run(self):
        """Do what is due. Returns whether anything was."""
        done = False
        while self._due and self._due[0][0] <= self._now():
            heapq.heappop(self._due)[2]()
            done = True
        return done

    def skip(self, seconds):
        """Let so many seconds of the cluster's time pass at once."""
        end = self._now() + seconds * self.pace
        while self._due and self._due[0][0] <= end:
            self._skipped += max(self._due[0][0] - self._now(), 0)
            self.run()
        self._skipped += max(end - self._now(), 0)
