# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "etcd Issues": all of its checks, in the order of the guide's sections.

ETC-19 of the check catalogue (age of the last backup) is not here: no API of Talos tells when a snapshot was taken.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import (
    etcd_members, etcd_quorum, etcd_service, etcd_space, etcd_speed, etcd_start,
)

CHECKS = (
    *etcd_start.CHECKS,
    *etcd_space.CHECKS,
    *etcd_quorum.CHECKS,
    *etcd_service.CHECKS,
    *etcd_members.CHECKS,
    *etcd_speed.CHECKS,
)
