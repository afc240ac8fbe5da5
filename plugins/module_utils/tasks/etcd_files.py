# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of etcd snapshots on the machine that this runs on: looked at, and written as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from dataclasses import asdict
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies.etcd_backup import MODE, File, Verifier
from ansible_collections.talosops.talos.plugins.module_utils.tasks import scratch

PREFIX = '.etcd-snapshot-'
_CHUNK = 1024 * 1024


def look(path, wanted=()):
    """The File at a path. Raises InputError where it cannot be read."""
    verifier = Verifier(wanted)
    try:
        with open(path, 'rb') as file:
            while True:
                data = file.read(_CHUNK)
                if not data:
                    break
                verifier.update(data)
            status = os.fstat(file.fileno())
    except FileNotFoundError:
        return File(path)
    except OSError as error:
        raise InputError(f'{path} cannot be read: {error.strerror}.') from None
    return File(path, True, verifier.problem(), verifier.is_database, verifier.bytes, verifier.sha256,
                datetime.fromtimestamp(status.st_mtime, timezone.utc), stat.S_IMODE(status.st_mode), tuple(verifier.members))


def to_plain(file):
    return {**asdict(file), 'taken_at': file.taken_at and file.taken_at.isoformat()}


def from_plain(plain):
    return File(**{**plain, 'taken_at': plain['taken_at'] and datetime.fromisoformat(plain['taken_at']), 'members': tuple(plain['members'])})


@contextlib.contextmanager
def replacing(path):
    """A binary file to write, with mode 0600, that takes the place of C(path) when the block ends well and is gone when it does not."""
    try:
        with scratch.replacing(path, PREFIX) as file:
            yield file
    except TalosError:
        raise
    except OSError as error:
        raise InputError(f'{path} could not be written: {error.strerror}.') from None


def narrow(path):
    """Give a file the mode 0600."""
    try:
        os.chmod(path, MODE)
    except OSError as error:
        raise InputError(f'{path}: its mode could not be changed: {error.strerror}.') from None


def copy(source, path):
    """Put a verified copy of C(source) at C(path). Raises TalosError where it is no whole snapshot."""
    found = look(source)
    if not found.verified:
        raise TalosError(f'The snapshot did not arrive whole: {found.problem or "there is no file"}.')
    with open(source, 'rb') as given, replacing(path) as file:
        shutil.copyfileobj(given, file, _CHUNK)
