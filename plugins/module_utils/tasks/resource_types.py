# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What resource type a person means: full name, plural, singular or alias, in any case, by ResourceDefinitions (talos-api 6).

The wire takes nothing but the full name in its exact case: an alias is refused there, and a full name in lower case is
answered by an empty list (edge-cases 23). Aliases are not unique (edge-cases 66).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError

DEFINITIONS = 'ResourceDefinitions.meta.cosi.dev'
NAMESPACE = 'meta'
# Readable for os:reader, and full of secrets: in container mode the whole machine configuration (edge-cases 25b).
FORBIDDEN = {
    'Environments.runtime.talos.dev': 'it is the environment of Talos\'s first process, which holds proxy credentials and in container mode the '
                                      'whole machine configuration with every key',
}
_NEAREST = 3


@dataclass(frozen=True)
class ResourceType:
    """C(name) as the wire wants it, C(namespace) its default one, C(aliases) in lower case, its plural and singular among them."""

    name: str
    namespace: str
    sensitive: bool
    aliases: frozenset


def of(definitions):
    """The types in a list of ResourceDefinitions as api/spec.py gives them."""
    return [_type(item['spec']) for item in definitions if isinstance(item.get('spec'), dict) and item['spec'].get('type')]


def resolve(text, types):
    """The L(ResourceType) that a text means, None when no type has such a name. Raises InputError for one that several have."""
    wanted = text.strip().lower()
    found = ([one for one in types if one.name.lower() == wanted] or [one for one in types if wanted in one.aliases]
             or [one for one in types if '.' in wanted and one.name.lower().startswith(f'{wanted}.')])
    if len(found) > 1:
        names = ', '.join(sorted(one.name for one in found))
        raise InputError(f'"{text}" is the alias of {len(found)} resource types: {names}.', 'Name the one that is meant in full.')
    return found[0] if found else None


def unknown(text, types):
    """The InputError that says that no type is called so, and what comes nearest."""
    names = {}
    for one in types:
        names.setdefault(one.name.lower(), one.name)
        names.setdefault(one.name.partition('.')[0].lower(), one.name)
        for alias in one.aliases:
            if len(alias) > 3:
                names.setdefault(alias, one.name)
    near = difflib.get_close_matches(text.strip().lower(), names, n=2 * _NEAREST, cutoff=0.6)
    near = list(dict.fromkeys(names[name] for name in near))[:_NEAREST]
    hint = f'Nearest: {", ".join(near)}.' if near else f'All {len(types)} types are resources themselves: ask for {DEFINITIONS}.'
    return InputError(f'No machine of this cluster has a resource type "{text}".', hint)


def refuse(one):
    """Raises InputError for a type that is never returned."""
    reason = FORBIDDEN.get(one.name)
    if reason:
        raise InputError(f'{one.name} is not read: {reason}.', 'What it sets of the network is in the machine configuration (MachineConfigs).')


def _type(spec):
    """C(allAliases) holds plural and singular, too, but of a type that shares them with another one (both MountStatuses)."""
    aliases = [*(spec.get('allAliases') or ()), *(spec.get('aliases') or ())]
    return ResourceType(spec['type'], spec.get('defaultNamespace') or '', spec.get('sensitivity') == 'sensitive',
                        frozenset(str(alias).lower() for alias in aliases))
