# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """A snapshot instead of a connection."""

    DOCUMENTATION = r"""
options:
  snapshot:
    description:
      - Path of a snapshot on the control node, as M(talosops.talos.talos_snapshot) wrote it, or of the directory that it lies in.
      - The cluster is not asked then, and the options of the connection have no effect.
      - The report beside the snapshot is used when it was made from just this snapshot with the same thresholds.
    type: path
"""
