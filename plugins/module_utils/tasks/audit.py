# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit record of changes: one JSON object a line, written before an action starts and after it has ended.

So a run that was killed leaves what it was about to do. Lines are appended, whole, by any number of runs at once.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import Redactor
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access

try:
    import fcntl
except ImportError:
    fcntl = None

FIELDS = ('at', 'cluster', 'cluster_id', 'who', 'host', 'job', 'run', 'plan_digest', 'step', 'remedy', 'target', 'event', 'does', 'before', 'after', 'reason')
EVENTS = ('planned', 'refused', 'started', 'action', 'changed', 'proved', 'not_proved', 'failed', 'not_attempted', 'lock_taken', 'lock_released', 'unlocked')
HIDDEN = '(hidden)'
_MODE = 0o600
# What one field may hold: characters of a text, members of a list or mapping, how deep they lie in each other, and characters of the whole.
_TEXT_MOST = 2000
_MEMBERS_MOST = 60
_DEPTH_MOST = 4
_FIELD_MOST = 8000
_CUT = ' …'


class Audit:
    """Where records go: to the file C(path).

    C(hide(text)) is the text without secrets. Raises InputError where the file cannot be written.
    """

    def __init__(self, path, hide=None):
        self.path = path
        self._hide = hide or Redactor().text
        os.close(_open(path))

    def write(self, record):
        """Append a record; C(event) is one of EVENTS, what is not told is null. Raises InputError."""
        unknown = set(record) - set(FIELDS)
        if unknown or record.get('event') not in EVENTS:
            raise ValueError(f'{", ".join(sorted(unknown)) or record.get("event")} is not known in an audit record.')
        told = {name: _field(record.get(name), self._hide) for name in FIELDS}
        told['at'] = told['at'] or f'{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z'
        _append(self.path, json.dumps(told, ensure_ascii=False).encode() + b'\n')


def hiding(found):
    """C(hide(text)) for an Access: without its credentials, and without what looks like any."""
    secrets, redactor = sorted(access.secrets(found), key=len, reverse=True), Redactor()

    def hide(text):
        for secret in secrets:
            text = text.replace(secret, HIDDEN)
        return redactor.text(text)

    return hide


# -- the file -------------------------------------------------------------------------------------------------------


def _open(path):
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f'The audit record cannot be written to {path}: it is no file.', 'Name a file.')
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise _unwritable(path, error) from None
    try:
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, 'O_CLOEXEC', 0), _MODE)
    except OSError as error:
        raise _unwritable(path, error) from None


def _append(path, line):
    """The whole line, at the end, on the disk. Where a full disk cut a line off before, this one does not hang on to it."""
    handle = _open(path)
    try:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        left = memoryview(line if not size or os.pread(handle, 1, size - 1) == b'\n' else b'\n' + line)
        while left:
            left = left[os.write(handle, left):]
        os.fsync(handle)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        os.close(handle)


def _unwritable(path, error):
    return InputError(f'The audit record cannot be written to {path}: {error.strerror}.', 'Name a file that can be written.')


# -- the fields -----------------------------------------------------------------------------------------------------


def _field(value, hide):
    """A field within its bounds."""
    told = _bounded(value, hide, _DEPTH_MOST)
    text = told if isinstance(told, str) else json.dumps(told, ensure_ascii=False)
    return told if len(text) <= _FIELD_MOST else text[:_TEXT_MOST] + _CUT


def _bounded(value, hide, depth):
    """Plain data; a text of several lines is a list of them, for no control character stands in a record."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, dict) and depth:
        members = list(value.items())
        if len(members) > _MEMBERS_MOST + 1:
            members = [*members[:_MEMBERS_MOST], (_CUT.strip(), f'{len(members) - _MEMBERS_MOST} more')]
        return {_line(str(name), hide): _bounded(each, hide, depth - 1) for name, each in members}
    if isinstance(value, (list, tuple)) and depth:
        members = value if len(value) <= _MEMBERS_MOST + 1 else [*value[:_MEMBERS_MOST], f'{len(value) - _MEMBERS_MOST} more']
        return [_bounded(each, hide, depth - 1) for each in members]
    text = hide(value if isinstance(value, str) else str(value))
    lines = text.splitlines()
    return _bounded(lines, hide, depth) if len(lines) > 1 and depth else _line(text, None)


def _line(text, hide):
    text = ''.join(each if each.isprintable() else ' ' for each in (hide(text) if hide else text)).strip()
    return text if len(text) <= _TEXT_MOST + len(_CUT) else text[:_TEXT_MOST] + _CUT
