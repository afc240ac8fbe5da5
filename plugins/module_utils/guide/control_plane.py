# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Kubernetes Control Plane": all of its checks, in the order of the guide's sections."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import (
    control_plane_manifests, control_plane_other, control_plane_pods, control_plane_static,
)

CHECKS = (
    *control_plane_static.CHECKS,
    *control_plane_pods.CHECKS,
    *control_plane_manifests.CHECKS,
    *control_plane_other.CHECKS,
)
