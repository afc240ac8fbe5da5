# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Network Configuration": addresses, links, routes, resolvers and counters of every machine; its parts, joined."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import (
    network_configuration_names, network_configuration_state, network_configuration_traffic,
)

CHECKS = (
    *network_configuration_state.CHECKS,
    *network_configuration_traffic.CHECKS,
    *network_configuration_names.CHECKS,
)
