# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with what is kept before it is changed, in C(backup_dir) on the control node, with mode 0600.

Elsewhere a configuration is returned encrypted, under a key that only the two ends have, and the action writes the file.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, InputError
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access
from ansible_collections.talosops.talos.plugins.module_utils.tasks import kubeconfig_file as files

try:
    from cryptography.fernet import Fernet
except ImportError:
    Fernet = None

SEALED = 'sealed_backups'


def prepare(params, check_mode):
    """The directory, made where it is missing. Raises InputError where nothing can be written there."""
    directory = params['backup_dir']
    try:
        if not check_mode:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        missing = not os.path.isdir(directory)
    except OSError as error:
        raise InputError(f'backup_dir {directory} cannot be made: {error.strerror}.') from None
    if not missing and not os.access(directory, os.W_OK | os.X_OK):
        raise InputError(f'backup_dir {directory} cannot be written.')


def keep(params, result, texts):
    """Keep C(texts), {name of a machine: its configuration}, and say in C(result) where: here as files, elsewhere encrypted."""
    if access.of(params).directory is None:
        box = _box(params)
        result[SEALED] = {name: box.encrypt(text.encode()).decode() for name, text in texts.items()}
    else:
        result['backup_files'] = {name: _write(params, result['cluster'], name, text) for name, text in texts.items()}


def unsealed(result, params):
    """What a task would have returned here, from what it returned elsewhere."""
    box = _box(params)
    texts = {name: box.decrypt(sealed.encode()).decode() for name, sealed in result[SEALED].items()}
    kept = {key: value for key, value in result.items() if key != SEALED}
    return {**kept, 'backup_files': {name: _write(params, result['cluster'], name, text) for name, text in texts.items()}}


def _write(params, cluster, name, text):
    made = re.sub(r'[^A-Za-z0-9.-]', '_', f'config-{cluster}-{name}-{datetime.now(timezone.utc):%Y%m%dT%H%M%S.%fZ}')
    path = os.path.join(params['backup_dir'], f'{made}.yaml')
    files.put(path, text.encode(), None)
    return path


def _box(params):
    """Encrypts under the client key, by which anybody who has it may read the configuration anyway; it is at both ends and nowhere else."""
    key = access.of(params).context.key
    if Fernet is None:
        raise InputError('The Python package cryptography is missing on this host.', 'Install it: pip install cryptography')
    if not key:
        raise ConfigError('A machine configuration cannot be kept through another host without a client certificate.')
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b'talosops.talos backup ' + key).digest()))
