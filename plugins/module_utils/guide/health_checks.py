# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Running Health Checks": what no other section judges.

The conditions of C(talosctl health) themselves are in health_conditions.py: most of them are the facts of other sections.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import health_checks_boot, health_checks_cluster

CHECKS = (*health_checks_boot.CHECKS, *health_checks_cluster.CHECKS)
