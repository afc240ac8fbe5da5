# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_controller_runtime_check: which of Talos's controllers failed, and which still do."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.judge.controllers import LOG, failing
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.settings import Settings
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time
from ansible_collections.talosops.talos.plugins.module_utils.tasks import facts, section

ROLE = 'controller_runtime'
ERROR_CHARACTERS = 500


def run(params, check_mode, say):
    """Facts and findings of the controller runtime; see the module's RETURN. Raises TalosError."""
    return section.run(params, say, ROLE, of)


def of(snapshot, params):
    """C(controllers): those that failed since the log began, those that failed last first; C(settled): nodes of which no controller failed of "
      "late."""
    view, names = View(snapshot, Settings()), facts.labels(snapshot)
    found = [(machine, controller) for machine in snapshot.machines for controller in failing(view, machine)]
    restless = {machine.key for machine, controller in found if not controller.settled}
    return {
        'controllers': [_controller(names[machine.key], controller) for machine, controller in sorted(found, key=lambda item: item[1].age)],
        'settled': {names[machine.key]: machine.key not in restless for machine in snapshot.answering() if machine.log(LOG).ok},
        'unread': {names[machine.key]: _why(machine) for machine in snapshot.machines if not machine.log(LOG).ok},
    }


def _controller(node, controller):
    return {
        'node': node,
        'name': controller.name,
        'failures': controller.count,
        'first_failure': format_time(controller.first),
        'last_failure': format_time(controller.last),
        'last_error': controller.error[:ERROR_CHARACTERS],
        'settled': controller.settled,
    }


def _why(machine):
    return machine.unreachable['text'] if machine.unreachable else machine.log(LOG).why()
