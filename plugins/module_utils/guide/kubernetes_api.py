# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Kubernetes API": all of its checks."""

from __future__ import annotations

CHECKS = ()
