# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of all modules of this collection."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
  async:
    description: Supports being used with the C(async) keyword.
"""

    READS = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: It changes nothing on the cluster, in either mode.
  diff_mode:
    support: none
    details: There is no change to show.
  action:
    support: full
    details: With a local connection everything runs in the action plugin.
  async:
    support: full
"""

    WRITES = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: It changes nothing on the cluster, in either mode. In check mode the file is not written.
  diff_mode:
    support: full
    details: Names and dates are shown, never keys.
  action:
    support: full
    details: With a local connection everything runs in the action plugin.
  async:
    support: partial
    details: Not through another host.
"""

    CHANGES = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: It looks at all that it would look at before a change, says what it would do, and sends nothing that changes anything.
  diff_mode:
    support: full
    details: The state before and after is shown, never a key.
  action:
    support: full
    details: With a local connection everything runs in the action plugin.
  async:
    support: full
"""

    ACTIONGROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/talosops.talos.talos) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - talosops.talos.talos
"""
