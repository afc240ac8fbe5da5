# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Running Health Checks": what talosctl health waits for and no other section judges."""

from __future__ import annotations

CHECKS = ()
