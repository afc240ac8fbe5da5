# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Kubernetes API": all of its checks."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import (
    kubernetes_api_endpoint, kubernetes_api_kubeprism, kubernetes_api_names, kubernetes_api_vip,
)

CHECKS = (
    *kubernetes_api_endpoint.CHECKS,
    *kubernetes_api_names.CHECKS,
    *kubernetes_api_vip.CHECKS,
    *kubernetes_api_kubeprism.CHECKS,
)
