# Copyright (c) 2026, The talosops.talos maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options and the attribute of a module that changes machine configurations."""

    DOCUMENTATION = r"""
options:
  mode:
    description:
      - How the machines take the change. None of these reboots a machine, and what Talos would only do with a reboot is refused.
      - With V(no_reboot) it is in force at once, and saved.
      - With V(try) it is in force at once, verified, and only then saved. Where the verification fails, or this task ends before, each machine goes back
        to what it had after O(try_timeout).
      - With V(staged) it is saved, and in force after the next reboot.
    type: str
    choices: [no_reboot, try, staged]
    default: no_reboot
  try_timeout:
    description:
      - Seconds of a trial, 30 at least.
    type: float
    default: 60.0
  backup_dir:
    description:
      - Directory on the control node in which the machine configuration of each machine is kept before it is changed. The files get the mode C(0600), a
        directory that is made the mode C(0700). They hold the keys of the cluster.
      - Only check mode goes without.
      - The file system of a job's container vanishes with the job.
    type: path
  confirm:
    description:
      - Where machines run Talos 1.9, the sentence C(overwrite what may be staged on <cluster>, unseen), with the name of the cluster. Talos tells what is
        staged or on trial from 1.10 on only, and there the task refuses by itself.
      - Others in the list are of no account.
    type: list
    elements: str
notes:
  - Nothing is sent twice. Where a machine did not answer, what it has afterwards tells what was done.
  - The configuration is read and changed with all of its documents, also of kinds that this collection does not know. Comments in it are lost.
  - A dry run in check mode, and before each change, changes nothing on the machine.
  - O(timeout) and O(deadline) bound each look at the cluster.
"""
