# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Which machines a module of plain access asks, and how large its result may be. Named before the fragment connection."""

    DOCUMENTATION = r"""
options:
  nodes:
    description:
      - The machines to ask, by name or by address. V(control_planes) and V(workers) stand for all machines of that type.
      - When not set, all that discovery, the endpoints and the talosconfig name.
      - Modules that judge take this option otherwise, as machines to add to those.
      - One that discovery does not know is asked by what is written here.
    type: list
    elements: str
  limit_bytes:
    description:
      - Bytes that the data in the result may have, counted as JSON. What exceeds them is left out, which the result says.
      - AWX replaces results of more than 700000 bytes by nothing.
    type: int
    default: 61440
notes:
  - Secrets in what is returned are replaced by C(redacted:) and eight hexadecimal digits, which are equal for equal secrets within one task.
"""
