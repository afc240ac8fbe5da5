# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Talos writes as YAML, as plain values: a time is text and '=' no riddle, as they are to Talos."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError

try:
    import yaml
except ImportError:
    yaml = None

if yaml is not None:
    class _Loader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((':timestamp', ':value'))]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }


def need_yaml():
    """Raises L(InputError) when the Python package PyYAML is missing."""
    if yaml is None:
        raise InputError('The Python package PyYAML is missing on this host.', 'Install it: pip install PyYAML')


def load(text):
    """What a text of one document holds, None for an empty one. Raises ValueError."""
    try:
        return yaml.load(text, Loader=_Loader) if text else None  # noqa: S506 - a safe loader
    except yaml.YAMLError:
        raise ValueError('not valid YAML') from None


def documents(text):
    """All documents of a text. Raises ValueError for what is no YAML."""
    try:
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]  # noqa: S506 - a safe loader
    except yaml.YAMLError:
        raise ValueError('not valid YAML') from None
