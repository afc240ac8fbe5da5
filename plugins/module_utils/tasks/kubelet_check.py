# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_kubelet_check."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.tasks import section

ROLE = 'kubelet'


def run(params, check_mode, say):
    """Facts and findings of the sections of the role; see the module's RETURN. Raises TalosError."""
    return section.run(params, say, ROLE, of)


def of(snapshot, params):
    """The facts beside the findings."""
    return {}
