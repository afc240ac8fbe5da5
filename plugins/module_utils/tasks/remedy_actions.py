# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions of a step: the tasks of the changing modules, called one after the other with the connection of the run."""

from __future__ import annotations

import os
from dataclasses import replace

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import BACKUP_DIR, ETCD_SNAPSHOT
from ansible_collections.talosops.talos.plugins.module_utils.tasks import (
    certsans, client_config, etcd_alarm, etcd_defragment, etcd_member, etcd_snapshot, kubernetes_csr, kubernetes_node, service,
)
from ansible_collections.talosops.talos.plugins.module_utils.tasks.arguments import CONNECTION, SPECS

RUN = {
    'talos_certsans': certsans.run,
    'talos_client_config': client_config.run,
    'talos_etcd_alarm': etcd_alarm.run,
    'talos_etcd_defragment': etcd_defragment.run,
    'talos_etcd_member': etcd_member.run,
    'talos_etcd_snapshot': etcd_snapshot.run,
    'talos_kubernetes_csr': kubernetes_csr.run,
    'talos_kubernetes_node': kubernetes_node.run,
    'talos_service': service.run,
}
# Options of the run that mean the same for a module, by the name that the module has for them.
_SAME = {'confirm': 'confirm', 'pause': 'pause', 'verify_seconds': 'verify_seconds', 'settle': 'verify_seconds', 'expected_nodes': 'expected_nodes'}


class Failed(TalosError):
    """An action went wrong; C(changed) whether it, or one before it, changed something."""

    def __init__(self, message, changed):
        super().__init__(message)
        self.changed = changed


def do(step, params, backup, check_mode, say, told):
    """Run the actions of a step of the plan; the results of the modules. C(told(action, result)) is called after each (None before it).

    C(backup) is the path of the snapshot of etcd of this run; None in check mode, in which none is taken. Raises Failed, or the
    TalosError of the first action where nothing was done before it.
    """
    results = []
    for action in step['actions']:
        if check_mode and action['module'] == 'talos_etcd_snapshot':
            continue
        told(action, None)
        try:
            result = RUN[action['module']](_options(action, params, backup), check_mode, say)
        except TalosError as error:
            if not any(one['changed'] for one in results):
                raise
            raise Failed(error.sentence(), True) from None
        told(action, result)
        if result.get('failed'):
            raise Failed(result['msg'], bool(result.get('changed')) or any(one['changed'] for one in results))
        results.append(result)
        if check_mode and action['module'] == 'talos_etcd_defragment' and result['changed']:
            break  # what comes after it depends on what it would have done
    return results


def after(params, step, results):
    """The parameters of the run from then on: the endpoints that were written to the talosconfig are those that are used."""
    for action, result in zip(step['actions'], results):
        if action['module'] == 'talos_client_config':
            found = params['access']
            params = {**params, 'access': replace(found, context=replace(found.context, endpoints=result['endpoints']))}
    return params


def _options(action, params, backup):
    """The options of a module: its defaults, the connection and the settings of the run, and those of the action."""
    spec = SPECS[action['module']]['argument_spec']
    places = {ETCD_SNAPSHOT: backup, BACKUP_DIR: params.get('backup_dir') or os.curdir}
    return {
        **{name: argument.get('default') for name, argument in spec.items()},
        **{name: params.get(name) for name in CONNECTION},
        **{name: params[of] for name, of in _SAME.items() if name in spec and params.get(of) is not None},
        **{name: places.get(value, value) if isinstance(value, str) else value for name, value in action['options'].items()},
        'access': params['access'],
    }
