# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that takes the place of another when it is whole. What a run that was killed left of one, the next run clears away.

Who writes such a file holds a lock on it, which ends with its process: one that nobody has locked belongs to nobody.
"""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile

try:
    import fcntl
except ImportError:
    fcntl = None


@contextlib.contextmanager
def replacing(path, prefix, status=None):
    """A binary file to write, of mode 0600, that is put to C(path) when the block ends well and is gone when it does not. Raises OSError.

    It lies beside C(path) under a name with this C(prefix); C(status) is that of the file whose owner it gets, None for a new one.
    """
    directory = os.path.dirname(path)
    _clear(directory, prefix)
    handle, scratch = _made(directory, prefix)
    try:
        with os.fdopen(handle, 'wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if status is not None and (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                with contextlib.suppress(OSError):
                    os.chown(scratch, status.st_uid, status.st_gid)
            os.replace(scratch, path)  # while it is locked
            scratch = None
    finally:
        if scratch:
            os.unlink(scratch)


def _made(directory, prefix):
    """C((handle, path)) of a new file that is locked; another run may have cleared it away before it was."""
    while True:
        handle, path = tempfile.mkstemp(prefix=prefix, dir=directory)  # which has the mode 0600
        _lock(handle, wait=True)
        if os.path.exists(path):
            return handle, path
        os.close(handle)


def _lock(handle, wait=False):
    """Whether it is locked now: not where another has it, nor on a file system without locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _clear(directory, prefix):
    for path in glob.glob(os.path.join(glob.escape(directory), f'{glob.escape(prefix)}*')):
        with contextlib.suppress(OSError):  # of somebody else, or gone already
            handle = os.open(path, os.O_RDWR | getattr(os, 'O_NOFOLLOW', 0))
            try:
                if _lock(handle):
                    os.unlink(path)
            finally:
                os.close(handle)
