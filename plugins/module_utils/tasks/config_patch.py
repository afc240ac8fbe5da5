# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_config_patch: a strategic merge patch in the machine configuration of each machine that is named, one after the other."""

from __future__ import annotations

import json

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal
from ansible_collections.talosops.talos.plugins.module_utils.remedies import config_merge
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import CONTROL_PLANE, WORKER
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, backups, config_change, config_live, etcd_live

_KINDS = (*config_live.READS, 'EtcdDirectory')
READS = (*_KINDS, 'MachineConfigs', 'ApplyConfiguration dry run')
CHANGES = 'the machine configuration of machines'
NEEDS_ADMIN = ('MachineConfigs', 'ApplyConfiguration')

_SELECTORS = {'control_planes': CONTROL_PLANE, 'workers': WORKER}
_TRY_LEAST = 30.0


def run(params, check_mode, say):
    """See the module's RETURN. Raises TalosError where nothing was changed."""
    return change(params, check_mode, say, patch=patch_of(params))


def patch_of(params):
    """The documents of the option patch. Raises InputError."""
    given = params['patch']
    if isinstance(given, str) and given.startswith(access.CARRIED):
        given = json.loads(given)['talosops.talos']
    return config_merge.patches(given)


def carried(given):
    """The option as text: of a mapping that is no_log Ansible would mask every value in the result."""
    return given if isinstance(given, str) and given.startswith(access.CARRIED) else f'{access.CARRIED}{json.dumps(given)}}}'


def change(params, check_mode, say, patch):
    """Merge the documents C(patch) into the configurations of the machines that C(nodes) names."""
    check_options(params, check_mode)
    cluster, view = access.cluster_of(params), etcd_live.look({**params, 'nodes': [text for text in params['nodes'] if is_ip(text)]}, say, _KINDS)
    machines = chosen(view, params['nodes'])
    what = f'The machine configuration of {cluster} is not changed'
    steps = config_live.plan({**params, 'check_mode': check_mode}, view, machines, lambda _machine: patch, what)
    return bring(params, check_mode, say, view, steps, what)


def check_options(params, check_mode):
    """Raises InputError."""
    if params['try_timeout'] < _TRY_LEAST:
        raise InputError(f'try_timeout must be at least {_TRY_LEAST:g} seconds, not {params["try_timeout"]:g}.',
                         'Within that time the change is verified and confirmed, or taken back.')
    if not params.get('backup_dir') and not check_mode:
        raise InputError('backup_dir is missing: the machine configuration of each machine is kept there before it is changed.',
                         'Only check mode goes without.')
    if params.get('backup_dir') and access.of(params).directory is not None:
        backups.prepare(params, check_mode)


def bring(params, check_mode, say, view, steps, what, verify=None, more=None):
    """The result, after the steps that change something were tried without a change and, but in check mode, carried out."""
    config_live.dry_run(params, view, steps, what)
    todo = [step for step in steps if step.state == config_live.PLANNED]
    result = {'changed': bool(todo), 'cluster': access.cluster_of(params), 'mode': params['mode'], 'backup_files': {}, **(more or {}),
              'confirm': config_live.rules.sentence(access.cluster_of(params)) if any(step.blind for step in steps) else None,
              'diff': config_live.shown(steps), 'ran_on': access.here()}
    failed = {}
    if todo and not check_mode:
        backups.keep(params, result, {step.label: step.before for step in todo})
        try:
            config_change.carry_out(params, say, view, steps, verify)
        except TalosError as error:
            failed = {'failed': True, 'msg': error.sentence(), 'changed': any(step.state not in (config_live.UNCHANGED, config_live.PLANNED) for step in todo)}
    warnings = [warning for step in steps for warning in step.warnings]
    return {**result, **failed, 'nodes': [{'node': step.label, 'address': step.machine.address, 'state': step.state} for step in steps],
            **({'warnings': warnings} if warnings else {})}


def chosen(view, nodes):
    """The machines that texts name, each once. Raises InputError."""
    found, virtual = [], {normal(vip) for vip in view.vips}
    for text in nodes:
        wanted = normal(text)
        if wanted in virtual:
            raise InputError(f'nodes: {text} is the virtual IP, which wanders from machine to machine.', 'Name the machine, or its own address.')
        machines = [one for one in view.snapshot.machines if (one.type == _SELECTORS[text] if text in _SELECTORS else wanted in _names(one))]
        if not machines:
            raise InputError(f'nodes: no machine of the cluster is {text}.')
        if len(machines) > 1 and text not in _SELECTORS:
            raise InputError(f'nodes: {len(machines)} machines are {text}.', 'Name one by its address.')
        found += [one for one in machines if one not in found]
    if not found:
        raise InputError('nodes names no machine.')
    return found


def _names(machine):
    return {normal(one) for one in (machine.name, machine.address, *machine.addresses) if one}
