# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks, in the order of the troubleshooting guide, and the one call that judges a snapshot by them and by the user's own."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import (
    clocks, control_plane, controller_runtime, discovery, etcd, gathering_logs, health_checks, kubelet, kubernetes_api, log_lines,
    network_configuration, system_requirements, talos_api, upgrades,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge import custom
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings as settings_
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import judge

CHECKS = (
    *network_configuration.CHECKS,
    *talos_api.CHECKS,
    *system_requirements.CHECKS,
    *health_checks.CHECKS,
    *gathering_logs.CHECKS,
    *discovery.CHECKS,
    *etcd.CHECKS,
    *kubelet.CHECKS,
    *control_plane.CHECKS,
    *kubernetes_api.CHECKS,
    *controller_runtime.CHECKS,
    *clocks.CHECKS,
    *upgrades.CHECKS,
    *log_lines.CHECKS,
)


def diagnose(snapshot, settings=None):
    """The report (design, "The report as data") of a snapshot; C(settings) by settings.build(CHECKS, …), default: none."""
    settings = settings or settings_.build(CHECKS)
    return judge(snapshot, settings, (*CHECKS, *custom.build(settings.checks)))
