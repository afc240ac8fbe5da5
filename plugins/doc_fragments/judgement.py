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
  checks:
    description:
      - Checks of your own, each with the keys C(id), C(expression) (JMESPath over the snapshot), one of C(expected), C(one_of), C(matches),
        C(at_least) and C(at_most), and optionally C(each) (V(machine), V(control_plane), V(worker) or V(cluster)), C(severity),
        C(title), C(text) and C(remedy).
      - A list of such mappings, or the path of a YAML file on the control node that holds one, or a list of paths.
      - They are shown in the section C(x.custom) of the report.
    type: raw
"""
