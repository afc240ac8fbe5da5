# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a kubeconfig on the control node: read, locked, and written with mode 0600 as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import time

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, InputError
from ansible_collections.talosops.talos.plugins.module_utils.kube import config
from ansible_collections.talosops.talos.plugins.module_utils.kube.document import Document
from ansible_collections.talosops.talos.plugins.module_utils.tasks import scratch

try:
    import fcntl
except ImportError:
    fcntl = None

MODE = 0o600
PREFIX = '.kubeconfig-'
_VAULT = b'$ANSIBLE_VAULT'


class Existing:
    """The file as it is: C(data) its bytes, C(status) and C(mode), None where there is none; C(document) None where there is nothing to keep.

    What is no kubeconfig is an error, unless C(lenient) lets it be replaced. Raises InputError.
    """

    def __init__(self, path, lenient=False):
        self.path = path
        self.data, self.status, self.mode, self.document = None, None, None, None
        try:
            with open(path, 'rb') as file:
                self.data = file.read()
                self.status = os.fstat(file.fileno())
                self.mode = stat.S_IMODE(self.status.st_mode)
        except FileNotFoundError:
            return
        except OSError as error:
            raise InputError(f'{path} cannot be read: {error.strerror}.') from None
        if self.data.strip():
            try:
                self.document = Document(self.text, path)
            except ConfigError as error:
                if not lenient:
                    raise ConfigError(f'{error.message} It is left as it is.', 'Name another path.') from None

    @property
    def text(self):
        if self.data.startswith(_VAULT):
            raise ConfigError(f'{self.path} is encrypted by ansible-vault.')
        try:
            return self.data.decode('utf-8-sig')
        except UnicodeDecodeError:
            raise ConfigError(f'{self.path} is no text in UTF-8.') from None

    def source(self, context):
        """The Source of one of its contexts (kube/config.py), None where there is none that can be used."""
        try:
            return config.load(path=self.path, context=context) if self.document else None
        except ConfigError:
            return None


def place(path):
    """The file that is meant: a symbolic link leads to it. Raises InputError where no file can be."""
    path = os.path.realpath(path)
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise InputError(f'The directory {directory} does not exist.', 'Make it first, or name another path.')
    if os.path.isdir(path):
        raise InputError(f'{path} is a directory.', 'Name a file in it.')
    return path


@contextlib.contextmanager
def locked(directory):
    """One task at a time changes files of a directory: the forks of a run may merge many clusters into one file."""
    if fcntl is None:
        yield
        return
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise InputError(f'The directory {directory} cannot be read: {error.strerror}.') from None
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def backup(old):
    """Keep what the file holds beside it, under a name as Ansible's own modules give it; returns its path."""
    path = f'{old.path}.{os.getpid()}.{time.strftime("%Y-%m-%d@%H:%M:%S", time.localtime())}~'
    put(path, old.data, old.status)
    return path


def put(path, data, status):
    """Write a file; its owner stays who it was by C(status), None for a new one."""
    try:
        with scratch.replacing(path, PREFIX, status) as file:
            file.write(data)
    except OSError as error:
        raise InputError(f'{path} could not be written: {error.strerror}.') from None
