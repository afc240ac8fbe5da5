# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""All remedies that can be applied, in the order in which a plan has their steps: each may need those before it."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import (
    client_endpoints, etcd_nospace, etcd_stale_member, kubelet_restart, kubelet_serving_csr, stale_node, talos_certsans,
)

REMEDIES = (
    etcd_stale_member.REMEDY,
    *etcd_nospace.REMEDIES,
    kubelet_serving_csr.REMEDY,
    stale_node.REMEDY,
    kubelet_restart.REMEDY,
    talos_certsans.REMEDY,
    client_endpoints.REMEDY,
)
BY_NAME = {remedy.name: remedy for remedy in REMEDIES}
