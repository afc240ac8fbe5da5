# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own section x.time: clocks of the machines, of their time servers, and of this control node."""

from __future__ import annotations

CHECKS = ()
