# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Kubelet and Kubernetes Node Issues": all of its checks, in the order of the guide's sections."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import (
    kubelet_addresses, kubelet_certificates, kubelet_names, kubelet_nodes, kubelet_registration, kubelet_service, kubelet_stale,
)

CHECKS = (
    *kubelet_service.CHECKS,
    *kubelet_registration.CHECKS,
    *kubelet_addresses.CHECKS,
    *kubelet_names.CHECKS,
    *kubelet_nodes.CHECKS,
    *kubelet_stale.CHECKS,
    *kubelet_certificates.CHECKS,
)
