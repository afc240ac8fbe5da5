# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own section, "Upgrades" (x.upgrade): versions that do not go together, and upgrades that do not end."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import upgrades_progress, upgrades_versions

CHECKS = (*upgrades_versions.CHECKS, *upgrades_progress.CHECKS)
