# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Gathering Logs": whether the logs that a diagnosis needs could be read."""

from __future__ import annotations

CHECKS = ()
