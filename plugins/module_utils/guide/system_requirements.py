# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "System Requirements": what a machine is, its volumes, and what Talos and the kernel say when it runs out; its parts, joined."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import (
    system_requirements_kernel, system_requirements_machine, system_requirements_memory, system_requirements_volumes,
)

CHECKS = (
    *system_requirements_machine.CHECKS,
    *system_requirements_volumes.CHECKS,
    *system_requirements_memory.CHECKS,
    *system_requirements_kernel.CHECKS,
)
