# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own checks, from where they were written: a variable, or YAML files on the control node."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.judge import custom

try:
    import yaml
except ImportError:
    yaml = None

VARIABLE = 'talos_checks'


def load(value, read=None):
    """The validated definitions that the option C(checks) means: a list of them, the path of a file, or a list of paths.

    C(read(path)) gives the bytes of a file. Raises InputError that names the file, the check and the line or column.
    """
    if value is None:
        return []
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        return custom.validate(value, VARIABLE)
    found = [check for path in value for check in _of_file(os.path.abspath(os.path.expanduser(path)), read or _read)]
    return custom.validate(found, VARIABLE)


def _of_file(path, read):
    try:
        document = yaml.safe_load(read(path))
    except OSError as error:
        raise InputError(f'{VARIABLE}: {path} cannot be read: {error.strerror or error}.') from None
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        place = f', line {mark.line + 1}, column {mark.column + 1}' if mark else ''
        raise InputError(f'{path}{place}: this is not YAML: {getattr(error, "problem", None) or error}.') from None
    if isinstance(document, Mapping) and set(document) == {VARIABLE}:
        document = document[VARIABLE]
    return custom.validate(document or [], path)


def _read(path):
    with open(path, 'rb') as file:
        return file.read()
