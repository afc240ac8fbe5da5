# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_service_info: the services of each machine by ServiceList, which also has those that do not run (edge-cases 26)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import Call
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, facts, machines

READS = machines.READS

_LIST = Call('ServiceList', '/machine.MachineService/ServiceList')


def run(params, check_mode, say):
    """See the module's RETURN. Check mode makes no difference. Raises TalosError."""
    limit = facts.limit_of(params)
    if params['events'] < 0:
        raise InputError(f'events must be a number of events, 0 for none, not {params["events"]}.')
    ids = [text.strip() for text in params.get('services') or ()]
    states = params.get('states') or ()
    with machines.of(params, say) as cluster:
        data = cluster.visit(lambda machine, ask: ask([_LIST])[_LIST.kind])
    unread = {**{label: cluster.why(datum) for label, datum in data.items() if not datum.ok}, **cluster.silent()}
    if unread and len(unread) == len(cluster.machines):
        raise cluster.nothing('The services', unread)
    listed = {label: datum.value.get('services') or [] for label, datum in data.items() if datum.ok}
    found = [_service(label, service, params['events']) for label, services in listed.items() for service in services
             if (not ids or service['id'] in ids) and (not states or service['state'] in states)]
    kept = facts.fitting(found, limit)
    if kept < len(found):
        found = [{**service, 'events': []} for service in found]
        kept = facts.fitting(found, limit)
        said = 'The events of services are left out'
        said += f', and {len(found) - kept} of {len(found)} services' if kept < len(found) else ''
        warnings = [f'{said}: they exceed limit_bytes ({limit}). Narrow the task by services, states, nodes or events.']
    else:
        warnings = []
    return {
        'changed': False,
        'cluster': access.cluster_of(params),
        'nodes': [cluster.labels[machine.key] for machine in cluster.machines],
        'services': found[:kept],
        'missing': _missing(ids, listed),
        'omitted': len(found) - kept,
        'unread': unread,
        'ran_on': access.here(),
        **({'warnings': warnings} if warnings else {}),
    }


def _service(label, service, events):
    health = service.get('health') or {}
    told = (service.get('events') or {}).get('events') or []
    return {
        'node': label,
        'id': service['id'],
        'state': service['state'],
        'healthy': None if health.get('unknown', True) else bool(health.get('healthy')),
        'message': health.get('last_message') or None,
        'last_change': health.get('last_change') or None,
        'events': [{'at': event.get('ts'), 'state': event.get('state'), 'message': event.get('msg')} for event in (told[-events:] if events else [])],
    }


def _missing(ids, listed):
    """C({label: [ids]}) of the services asked for by name that a machine does not list at all, whatever their state."""
    absent = {label: [name for name in ids if name not in {service['id'] for service in services}] for label, services in listed.items()}
    return {label: names for label, names in absent.items() if names}
