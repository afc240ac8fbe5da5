# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""All checks, in the order of the troubleshooting guide, and the one call that judges a snapshot by them."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import discovery, etcd, talos_api
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings as settings_
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import judge

CHECKS = (
    *talos_api.CHECKS,
    *discovery.CHECKS,
    *etcd.CHECKS,
)


def diagnose(snapshot, settings=None):
    """The report (design, "The report as data") of a snapshot; C(settings) by settings.build(CHECKS, …), default: none."""
    return judge(snapshot, settings or settings_.build(CHECKS), CHECKS)
