# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_kubeconfig: a kubeconfig that Talos issues, in a file on the control node (talos-api 5.3).

Talos is asked in every case, because what it issues tells the CA and the server by which an existing file is judged; it
mints a certificate and changes nothing. Elsewhere than on the control node the kubeconfig is returned encrypted, under
a key that only the two ends have, and the action writes it.
"""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import replace
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api import certificate, talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, InputError, RoleRefused, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.kube import config
from ansible_collections.talosops.talos.plugins.module_utils.kube.document import Document
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.ask import Budget
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, durations
from ansible_collections.talosops.talos.plugins.module_utils.tasks import kubeconfig_entries as entries
from ansible_collections.talosops.talos.plugins.module_utils.tasks import kubeconfig_file as files

try:
    from cryptography.fernet import Fernet
except ImportError:
    Fernet = None

READS = ('Kubeconfig',)
NEEDS_ADMIN = ('Kubeconfig',)
WRITES = 'a file on the control node'

SEALED = 'sealed'
ISSUED = 'The kubeconfig that Talos issued'


def run(params, check_mode, say):
    """See the module's RETURN; C({sealed: text}) where the file belongs on another machine. Raises TalosError."""
    durations.parse(params['min_valid'], 'min_valid')
    server_of(params)
    text = issue(params)
    if access.of(params).directory is None:
        return {SEALED: _box(params).encrypt(text.encode()).decode(), 'ran_on': access.here()}
    return keep(text, params, check_mode, access.here())


def keep_sealed(result, params, check_mode):
    """What C(run) would have returned here, from what it returned elsewhere."""
    return keep(_box(params).decrypt(result[SEALED].encode()).decode(), params, check_mode, result['ran_on'])


def issue(params):
    """The text of a kubeconfig, from the first endpoint that gives one. Raises TalosError."""
    found = access.of(params)
    timeout, deadline = access.seconds(params)
    budget, failed = Budget(timeout, deadline), []
    with Client(found.context, endpoints=params.get('endpoints') or None, proxy=params.get('proxy'), timeout=min(timeout, deadline),
                tmp_dir=found.tmp_dir) as client:
        for endpoint in client.endpoints:
            try:
                return client.direct(endpoint).kubeconfig(budget.seconds())
            except RoleRefused:
                facts = talosconfig.facts(found.context, datetime.now(timezone.utc))['certificate'] or {}
                has = ', '.join(facts.get('roles') or []) or 'no role'
                said = f'Talos issues a kubeconfig to os:admin alone, and the client certificate of the context "{found.context.name}" has {has}.'
                raise RoleRefused(said, hint='Use a talosconfig of the role os:admin.') from None
            except TalosError as error:
                failed.append(error)
    said = '; '.join(dict.fromkeys(error.message.rstrip('.') for error in failed))
    hint = next((error.hint for error in failed if error.hint), None)
    raise TalosError(f'No endpoint of the context "{found.context.name}" issued a kubeconfig: {said}.', hint)


def _box(params):
    """Encrypts under the client key, by which anybody who has it may get a kubeconfig anyway; it is at both ends and nowhere else."""
    key = access.of(params).context.key
    if Fernet is None:
        raise InputError('The Python package cryptography is missing on this host.', 'Install it: pip install cryptography')
    if not key:
        raise ConfigError('A kubeconfig cannot be fetched through another host without a client certificate.')
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b'talosops.talos kubeconfig ' + key).digest()))


def keep(text, params, check_mode, ran_on):
    """Bring the file into its state, and return the module's result. Raises TalosError."""
    issued = read_issued(text, params)
    min_valid, now = durations.parse(params['min_valid'], 'min_valid'), datetime.now(timezone.utc)
    path = files.place(params['path'])
    with files.locked(os.path.dirname(path)):
        old = files.Existing(path, lenient=params['force'] and not params['merge'])
        made = entries.wanted(old, issued, params, now, min_valid)
        backup = None
        if made.reasons and not check_mode:
            backup = files.backup(old) if params['backup'] and old.data is not None else None
            files.put(path, made.text.encode(), old.status)
    new = Document(made.text, path)
    begin, end = entries.validity(made.certificate)
    last = entries.validity(issued.source.cert)[1]
    result = {
        'changed': bool(made.reasons),
        'path': path,
        'cluster': access.cluster_of(params),
        'context': issued.context,
        'server': issued.source.server,
        'valid_from': certificate.time_text(begin),
        'valid_until': certificate.time_text(end),
        'current': new.current == issued.context,
        'reasons': made.reasons,
        'backup_file': backup,
        'diff': {'before_header': path, 'after_header': path, 'before': entries.shown(old.document, old.mode, issued.context, made.before),
                 'after': entries.shown(new, files.MODE, issued.context, made.certificate)},
        'ran_on': ran_on,
    }
    if now + min_valid > last:
        result['warnings'] = [f'Talos issues certificates that are valid until {certificate.time_text(last)}, which is less than '
                              f'min_valid ({params["min_valid"]}): every run renews this one.']
    return result


def read_issued(text, params):
    """The Issued in what Talos gave, under the names and the server that the options want. Raises TalosError."""
    document, source = Document(text, ISSUED), config.load(content=text, origin=config.TALOS)
    if not (source.ca and source.cert and source.key):
        raise TalosError(f'{ISSUED} lacks its CA, its client certificate or its key.')
    context = document.entry('contexts', source.context)
    source = replace(source, server=server_of(params) or source.server)
    name = params.get('context_name')
    cluster, user = (name, name) if name else (str(context.get('cluster')), str(context.get('user')))
    return entries.Issued(name or source.context, cluster, user, context.get('namespace'), source)


def server_of(params):
    """The option server as it is written to a kubeconfig. Raises InputError."""
    server = (params.get('server') or '').strip().rstrip('/')
    if server and (not server.startswith('https://') or not server[8:] or ' ' in server):
        raise InputError(f'server is "{server}", which is no URL that begins with https://.')
    return server
