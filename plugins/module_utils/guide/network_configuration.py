# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Network Configuration": addresses, links, routes, resolvers and counters of every machine."""

from __future__ import annotations

CHECKS = ()
