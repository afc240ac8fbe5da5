# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """A second sample of counters."""

    DOCUMENTATION = r"""
options:
  sample_seconds:
    description:
      - How many seconds after the first time the counters of network links are read once more, V(0) for not at all.
      - With two samples at least 10 seconds apart it is judged whether a link loses packets now; with one, only what it has lost since
        the boot is told.
      - The task takes so much longer. It must be less than O(deadline).
    type: float
    default: 0.0
"""
