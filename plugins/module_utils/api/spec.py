# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources of Talos as plain data (talos-api 6 and 9)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api import wire
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import CallError, InputError

try:
    import yaml
except ImportError:
    yaml = None

MACHINE_CONFIGS = 'MachineConfigs.config.talos.dev'
_CONFIG_SPEC = 'talos.resource.definitions.config.MachineConfigSpec'
_KEPT = ('id', 'namespace', 'version', 'phase', 'owner', 'created', 'updated', 'labels')

if yaml is not None:
    class _Loader(getattr(yaml, 'CSafeLoader', yaml.SafeLoader)):
        """The safe loader, to which a time is text and '=' no riddle."""

        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((':timestamp', ':value'))]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }


def need_yaml():
    """Raises L(InputError) when the Python package PyYAML is missing."""
    if yaml is None:
        raise InputError('The Python package PyYAML is missing on this host.', 'Install it: pip install pyyaml')


class Unparsed(str):
    """A yaml_spec as it came."""


def resource(decoded, parse=True):
    """A cosi.resource.Resource as {id, namespace, version, phase, owner, created, updated, labels, spec}.

    C(spec) is what its yaml_spec holds (without C(parse) L(Unparsed)), None when it has none; of a machine configuration it
    is the text of all its documents. Raises L(CallError) for a spec that is no YAML.
    """
    metadata, spec = decoded['metadata'], decoded['spec']
    made = {key: metadata[key] for key in _KEPT}
    if spec is None:
        made['spec'] = None
    elif metadata['type'] == MACHINE_CONFIGS and spec['proto_spec']:
        # its yaml_spec is a mapping up to Talos 1.11 and a text after it (talos-api 6.2)
        made['spec'] = wire.decode(_CONFIG_SPEC, spec['proto_spec'])['yaml_marshalled'].decode('utf-8', 'replace')
    elif not parse:
        made['spec'] = Unparsed(spec['yaml_spec'])
    else:
        try:
            made['spec'] = load(spec['yaml_spec'])
        except ValueError:
            raise CallError(f'The resource {metadata["type"]} "{metadata["id"]}" is not valid YAML.') from None
    return made


def load(text):
    """What a yaml_spec holds, None for an empty one. Raises ValueError."""
    try:
        return yaml.load(text, Loader=_Loader) if text else None  # noqa: S506 - a safe loader
    except yaml.YAMLError:
        raise ValueError('not valid YAML') from None


def documents(text):
    """All documents of a text in YAML. Raises ValueError for what is none."""
    try:
        return [document for document in yaml.load_all(text, Loader=_Loader) if document is not None]  # noqa: S506 - a safe loader
    except yaml.YAMLError:
        raise ValueError('not valid YAML') from None
