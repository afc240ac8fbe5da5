# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Investigating Controller Runtime Issues": controllers that do not settle."""

from __future__ import annotations

CHECKS = ()
