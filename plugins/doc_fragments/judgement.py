# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What a user may set about the judgement."""

    DOCUMENTATION = r"""
options:
  thresholds:
    description:
      - Numbers that replace those by which checks judge, by name. An unknown name is an error.
    type: dict
  expected_nodes:
    description:
      - Names or addresses of machines that must be members of the cluster.
    type: list
    elements: str
"""
