# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "System Requirements": memory, processors, disks, volumes, and what Talos and the kernel say when they run out."""

from __future__ import annotations

CHECKS = ()
