# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_resource_info: the resources of one type, as each machine has them (talos-api 6)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api import spec
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import READ, InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import ADMIN, READER, Resources
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, documents, facts, machines, query, resource_types

READS = (*machines.READS, 'ResourceDefinitions', 'the type that is asked for')
NEEDS_ADMIN = ('sensitive types',)

_KIND = 'wanted'
_DEFINITIONS = Resources('ResourceDefinitions', resource_types.DEFINITIONS, resource_types.NAMESPACE)


def run(params, check_mode, say):
    """See the module's RETURN. Check mode makes no difference. Raises TalosError."""
    limit = facts.limit_of(params)
    if not params['type'].strip():
        raise InputError('The option type is empty.')
    apply = query.compiled(params['query']) if params.get('query') else None
    with machines.of(params, say) as cluster:
        wanted = _resolve(params['type'], cluster)
        namespace = params.get('namespace') or wanted.namespace
        shape = documents.machine_configs if wanted.name == spec.MACHINE_CONFIGS else None
        read = Resources(_KIND, wanted.name, namespace, shape=shape)
        data = cluster.visit(lambda machine, ask: ask([read])[_KIND])
    needs = ADMIN if wanted.sensitive else READER
    unread = {**{label: cluster.why(datum, needs) for label, datum in data.items() if not datum.ok}, **cluster.silent()}
    if unread and len(unread) == len(cluster.machines):
        raise cluster.nothing(wanted.name, unread)
    found = [_resource(label, wanted.name, item) for label, datum in data.items() if datum.state == READ
             for item in datum.value if params.get('id') in (None, '', item['id'])]
    result = {
        'changed': False,
        'cluster': access.cluster_of(params),
        'type': wanted.name,
        'namespace': namespace,
        'sensitive': wanted.sensitive,
        'nodes': [cluster.labels[machine.key] for machine in cluster.machines],
        'unread': unread,
        'ran_on': access.here(),
    }
    return {**result, **(_selected(apply(found), limit) if apply else _all(found, limit))}


def _resolve(text, cluster):
    """The type that is meant, by the definitions of a control plane node; where that does not know it, by those of the others."""
    datum = cluster.first(_DEFINITIONS)
    if not datum.ok:
        raise TalosError(f'The resource types of the cluster could not be read: {cluster.why(datum)}.')
    types = resource_types.of(datum.value)
    found = resource_types.resolve(text, types)
    if found is None:
        # in the middle of an upgrade machines know different types
        for other in cluster.visit(lambda machine, ask: ask([_DEFINITIONS])[_DEFINITIONS.kind]).values():
            found = found or (resource_types.resolve(text, resource_types.of(other.value)) if other.ok else None)
    if found is None:
        raise resource_types.unknown(text, types)
    resource_types.refuse(found)
    return found


def _resource(label, name, item):
    return {'node': label, 'metadata': {'type': name, **{key: value for key, value in item.items() if key != 'spec'}}, 'spec': item['spec']}


def _all(found, limit):
    """The first resources that the result has room for."""
    kept = facts.fitting(found, limit)
    omitted = {}
    for item in found[kept:]:
        omitted[item['node']] = omitted.get(item['node'], 0) + 1
    said = f'{len(found) - kept} of {len(found)} resources are left out, they exceed limit_bytes ({limit}): narrow the task by id, nodes or query.'
    return {'resources': found[:kept], 'omitted': omitted, **({'warnings': [said]} if omitted else {})}


def _selected(result, limit):
    """What the query gives: a list is cut, anything else must fit."""
    if not isinstance(result, list):
        if not facts.fitting([result], limit):
            raise InputError(f'What query gives is larger than limit_bytes ({limit}).', 'Select less, or raise limit_bytes.')
        return {'result': result, 'omitted': {}}
    kept = facts.fitting(result, limit)
    omitted = len(result) - kept
    said = f'{omitted} of {len(result)} entries that query gives are left out, they exceed limit_bytes ({limit}).'
    return {'result': result[:kept], **({'omitted': {'result': omitted}, 'warnings': [said]} if omitted else {'omitted': {}})}
