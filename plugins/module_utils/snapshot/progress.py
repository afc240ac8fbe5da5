# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says how far a gather is, at most once in two seconds, in the thread that waits for it."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, wait

EVERY_SECONDS = 2.0


class Progress:
    """C(say(text)) may be None: then it only waits."""

    def __init__(self, say=None, clock=time.monotonic):
        self._say = say
        self._clock = clock
        self._next = clock() + EVERY_SECONDS

    def watch(self, waiting_for, noun, enough=None):
        """Wait until all futures of C({future: label}) are done, or C(enough(done)) says that these will do."""
        pending = set(waiting_for)
        while pending and not (enough and enough(set(waiting_for) - pending)):
            _done, pending = wait(pending, timeout=max(0.05, min(self._next - self._clock(), 0.25 if enough else EVERY_SECONDS)),
                                  return_when=FIRST_COMPLETED)
            if pending and self._clock() >= self._next:
                self._next = self._clock() + EVERY_SECONDS
                self._tell(waiting_for, pending, noun)

    def _tell(self, waiting_for, pending, noun):
        if self._say is None:
            return
        labels = [label for future, label in waiting_for.items() if future in pending]
        more = f' and {len(labels) - 3} more' if len(labels) > 3 else ''
        self._say(f'{len(waiting_for) - len(pending)}/{len(waiting_for)} {noun}, waiting for {", ".join(labels[:3])}{more}')
