# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""ResourceDefinitions: the resource types that a version knows, with the names by which people call them (talos-api 6)."""

from __future__ import annotations

import functools
from pathlib import Path

import yaml

from tests.simulator import resource_types
from tests.simulator.resource import Resource

_OWNED_BY_NO_RULE = ('MountStatuses.runtime.talos.dev',)


@functools.lru_cache(maxsize=None)
def _known():
    return yaml.safe_load((Path(__file__).parent / 'resource_definitions.yaml').read_text(encoding='utf-8'))


def definitions(node):
    """One for each type of this machine's version; those that no recording shows by Talos's rule for names."""
    listed = {name: told for name, told in _known().items() if resource_types.exists(name, node.minor)}
    listed |= {name: _by_rule(name) for name in resource_types.since(node.minor) if name not in listed}
    return [Resource(name.lower(), 'meta', _spec(node, name, *told)) for name, told in listed.items()]


def _spec(node, name, display, namespace, aliases, columns=()):
    parts, own = name.lower().split('.'), aliases.split()
    prefixes = ['.'.join(parts[:end]) for end in range(1, len(parts))]
    special = name in _OWNED_BY_NO_RULE
    spec = {'type': name, 'displayType': display, 'defaultNamespace': namespace, 'aliases': own, 'allAliases': own if special else prefixes + own}
    if special:
        spec['skipAutomaticAliases'] = True
    spec['printColumns'] = [{'name': title, 'jsonPath': path} for title, path in columns]
    if resource_types.is_sensitive(name, node.minor):
        spec['sensitivity'] = 'sensitive'
    return spec


def _by_rule(name):
    """Singular, and the initials of the capitals, with an s where the singular ends in none."""
    plural = name.split('.')[0]
    display = plural.removesuffix('es') if plural.endswith('ses') else plural.removesuffix('s')
    initials = ''.join(letter for letter in display if letter.isupper()).lower()
    return [display, 'runtime', ' '.join([display.lower(), initials] + ([] if display.endswith('s') else [f'{initials}s']))]
