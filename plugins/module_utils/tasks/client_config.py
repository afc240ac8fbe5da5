# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_client_config: the endpoints of a context in the talosconfig, on the control node.

What the endpoints are to be is found where the task runs; the file is written on the control node, by the action where
the task ran elsewhere. Keys and certificates are never touched.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from types import SimpleNamespace

from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint as endpoints_
from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, InputError
from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS, talos_api_endpoints
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import client_endpoints
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, judged, section
from ansible_collections.talosops.talos.plugins.module_utils.tasks import kubeconfig_file as files
from ansible_collections.talosops.talos.plugins.module_utils.tasks import talosconfig_document as document

FOUND = 'found'
_MORE = ('EtcdMemberList', 'EtcdStatus', 'EtcdMembers', 'Infos', 'certificate')
READS = tuple(sorted(kind for kind in section.needs_of(check for check in CHECKS if check.section == talos_api_endpoints.SECTION)[0] | set(_MORE)))
CHANGES = 'the talosconfig on the control node'


def run(params, check_mode, say):
    """See the module's RETURN; C({found: …}) where the file lies on another machine. Raises TalosError."""
    found = decide(params, say)
    if access.of(params).directory is None:
        return {FOUND: found, 'ran_on': access.here()}
    return keep(found, params, check_mode, access.here())


def decide(params, say):
    """What the endpoints are to be, as plain data: {current, endpoints, removed, added, notes}. Raises TalosError."""
    context = access.of(params).context
    if context.source == talosconfig.CONTENT:
        raise InputError('The talosconfig was given as content, so there is no file to change.', 'Name the file in the option talosconfig.')
    wanted = _distinct(params.get('control_plane_endpoints') or ())
    dialled = _distinct([*(params.get('endpoints') or ()), *context.endpoints, *wanted])
    talosconfig.need_endpoints(context if not dialled else replace(context, endpoints=dialled))
    snapshot = access.gather({**params, 'endpoints': dialled}, say, {*READS, 'nodes'}, set(section.GATE_LOGS))
    view = View(snapshot, judged.settings(params))
    by_place = {(one.host, one.port): one for one in snapshot.endpoints}

    def of(texts):
        return {text: by_place[_place(text)] for text in texts}

    made = client_endpoints.given(view, context.endpoints, of(wanted)) if wanted else \
        client_endpoints.wanted(view, of(context.endpoints), params['keep_balancers'])
    return {'current': list(context.endpoints), 'endpoints': made.endpoints, 'removed': made.removed, 'added': made.added, 'notes': made.notes}


def keep(found, params, check_mode, ran_on):
    """Bring the file into its state, and return the module's result. Raises TalosError."""
    held = access.of(params)
    path = files.place(os.path.join(held.directory or os.getcwd(), held.context.source))
    context, endpoints = held.context.name, found['endpoints']
    with files.locked(os.path.dirname(path)):
        old = _read(path)
        listed, target = document.listed(old.text, context, path)
        if listed + ([target] if target and target not in listed else []) != found['current']:
            raise InputError(f'The endpoints of the context "{context}" in {path} were changed by somebody else meanwhile.', 'Run the task again.')
        if target and target not in endpoints:
            raise InputError(f'The context "{context}" in {path} has the deprecated key target ({target}), which clients add to the endpoints.',
                             'Take that line out first.')
        reasons = _reasons(found, listed, endpoints, old.mode)
        text = document.with_endpoints(old.text, context, endpoints, path) if listed != endpoints else old.text
        backup = None
        if reasons and not check_mode:
            backup = files.backup(old) if params['backup'] else None
            files.put(path, text.encode(), old.status)
    return {
        'changed': bool(reasons),
        'path': path,
        'cluster': access.cluster_of(params),
        'context': context,
        'endpoints': endpoints,
        'removed': found['removed'],
        'added': found['added'],
        'reasons': reasons,
        'backup_file': backup,
        'diff': {'before_header': path, 'after_header': path, 'before': _shown(old.mode, context, listed),
                 'after': _shown(files.MODE, context, endpoints)},
        'ran_on': ran_on,
        **({'warnings': found['notes']} if found['notes'] else {}),
    }


def _read(path):
    """C(path, data, status, mode, text) of the file that was loaded a moment ago. Raises InputError."""
    try:
        with open(path, 'rb') as file:
            data, status = file.read(), os.fstat(file.fileno())
        text = data.decode('utf-8')
    except OSError as error:
        raise InputError(f'{path} cannot be read: {error.strerror}.') from None
    except UnicodeDecodeError:
        raise ConfigError(f'{path} is no text in UTF-8.') from None
    if text.lstrip('\ufeff').lstrip().startswith('$ANSIBLE_VAULT'):
        raise InputError(f'{path} is encrypted by ansible-vault, and only its owner can write it.', 'Change the endpoints with ansible-vault edit.')
    return SimpleNamespace(path=path, data=data, status=status, mode=stat.S_IMODE(status.st_mode), text=text)


def _reasons(found, listed, endpoints, mode):
    reasons = [f'{one["endpoint"]} is taken out: {one["why"]}' for one in found['removed']]
    reasons += [f'{one["endpoint"]} is added' + (f': it is {one["node"]}' if one['node'] else '') for one in found['added']]
    if listed != endpoints and not reasons:
        reasons.append('the endpoints stand in another order')
    return reasons + ([f'its mode is {mode:04o}'] if mode != files.MODE else [])


def _shown(mode, context, endpoints):
    return '\n'.join([f'mode: {mode:04o}', f'{context}:', '  endpoints:', *(f'  - {one}' for one in endpoints)]) + '\n'


def _distinct(texts):
    """The endpoints without those that mean the same place as one before."""
    return list({_place(text): text for text in reversed([str(text).strip() for text in texts])}.values())[::-1]


def _place(text):
    parsed = endpoints_.parse(text)
    return parsed.host, parsed.port
