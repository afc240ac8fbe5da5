# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Discovery and Cluster Membership": members that are missing, there twice, or still there."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import discovery_duplicate, discovery_missing, discovery_removed

CHECKS = (*discovery_missing.CHECKS, *discovery_duplicate.CHECKS, *discovery_removed.CHECKS)
