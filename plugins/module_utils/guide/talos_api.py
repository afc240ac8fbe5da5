# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Talos API": the checks of its five headings, in the guide's order.

API-9 of the catalogue (Ed25519 against the TLS stack of the client library) has no check: it is a property of the
client, and this collection's TLS tunnel does not have the fault.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import (
    talos_api_balancer, talos_api_client, talos_api_endpoints, talos_api_firewall, talos_api_kubeconfig, talos_api_subnets,
)

CHECKS = (
    *talos_api_firewall.CHECKS, *talos_api_client.CHECKS, *talos_api_kubeconfig.CHECKS, *talos_api_subnets.CHECKS, *talos_api_endpoints.CHECKS,
    *talos_api_balancer.CHECKS,
)
