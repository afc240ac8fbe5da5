# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources of Talos as plain data (talos-api 6 and 9)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api import wire, yaml_text
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import CallError

MACHINE_CONFIGS = 'MachineConfigs.config.talos.dev'
_CONFIG_SPEC = 'talos.resource.definitions.config.MachineConfigSpec'
_KEPT = ('id', 'namespace', 'version', 'phase', 'owner', 'created', 'updated', 'labels')


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
            made['spec'] = yaml_text.load(spec['yaml_spec'])
        except ValueError:
            raise CallError(f'The resource {metadata["type"]} "{metadata["id"]}" is not valid YAML.') from None
    return made
