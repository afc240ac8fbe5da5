# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own section x.upgrade: machines under way, versions that differ or do not fit."""

from __future__ import annotations

CHECKS = ()
