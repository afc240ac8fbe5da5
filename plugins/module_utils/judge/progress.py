# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a machine has been on its way down or up (G3): what fails on it meanwhile is part of that, but not for ever."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Threshold
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

MOVING = ('upgrading', 'rebooting', 'installing')
MOVES = re.compile(r'(?:[uU]pgrade|reboot|reset|install|shutdown) sequence: [1-9]\d* phase\(s\)|(?:upgrade|reboot) request received')
STAGE_SECONDS = 'upgrade_stage_seconds'
STAGE_LIMIT = Threshold(900, 's', 'how long a machine may be upgrading, installing or rebooting')


def stuck(machine):
    """The fact that this machine does not come out of an upgrade or a reboot."""
    return f'upgrade.stuck:{machine.key}'


def seconds_in_stage(view, machine):
    """Since the last sequence that its log tells of, else the last change of its status; None when not known."""
    begun = [line.near for line in view.etcd.log(machine, 'machined') if line.near is not None and MOVES.search(line.text)]
    for item in machine.value('MachineStatuses') or []:
        if item.get('id') == 'machine':
            since = begun[-1] if begun and view.stage(machine) in MOVING else parse_time(item.get('updated'))
            return None if since is None else max(0.0, (view.now - since).total_seconds())
    return None


def progressing(view, machine):
    """It is on its way down or up, and has not been for too long."""
    if not view.in_progress(machine):
        return False
    seconds = seconds_in_stage(view, machine)
    return seconds is None or seconds <= view.threshold(STAGE_SECONDS)
