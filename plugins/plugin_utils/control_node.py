# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only the control node can do: decrypt by Ansible's vault, and strip the marks that Ansible puts on values."""

from __future__ import annotations

from collections.abc import Mapping

from ansible.errors import AnsibleError

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError

VAULT_HEADER = b'$ANSIBLE_VAULT'


def reader(loader):
    """A function that reads a file as bytes and decrypts it when it is vault-encrypted (C(read) of talosconfig.load)."""
    def read(path):
        with open(path, 'rb') as file:
            data = file.read()
        if not data.startswith(VAULT_HEADER):
            return data
        try:
            return loader._get_file_contents(path)[0]  # the only way that Ansible has to decrypt a file without writing it somewhere
        except AnsibleError:
            raise ConfigError(f'{path} is encrypted by ansible-vault, and no vault password that was given opens it.',
                              'Give its password, for example with --ask-vault-pass.') from None
    return read


def plain(value):
    """A value without Ansible's tags and lazy containers, as JSON and YAML know it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return plain(str(value))  # a vaulted scalar, a date
