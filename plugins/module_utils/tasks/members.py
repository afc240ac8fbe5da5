# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_members: whom each machine knows as a member of the cluster (talos-api 6.1)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.tasks import facts, section

ROLE = 'discovery'
LISTS_MOST = 50


def run(params, check_mode, say):
    """Facts and findings of the discovery sections; see the module's RETURN. Raises TalosError."""
    return section.run(params, say, ROLE, of)


def of(snapshot, params):
    """C(members): who is known to anyone; C(members_per_node): whom each machine lists; C(unread): who could not say.

    In a cluster of more than LISTS_MOST machines only lists that differ from C(members) are given.
    """
    names = facts.labels(snapshot)
    lists, known = {}, {}
    for machine in snapshot.answering():
        if not machine.datum('Members').ok:
            continue
        mine = lists.setdefault(names[machine.key], [])
        for item in machine.value('Members'):
            mine.append(item['id'])
            known.setdefault(item['id'], item['spec'] or {})
    everyone = sorted(known)
    for mine in lists.values():
        mine.sort()
    if len(snapshot.machines) > LISTS_MOST:
        shown = {node: mine for node, mine in lists.items() if mine != everyone}
    else:
        shown = lists
    return {
        'members': [_member(name, known[name], lists) for name in everyone],
        'members_per_node': shown,
        'consistent': all(mine == everyone for mine in lists.values()) if lists else None,
        'unread': facts.unread(snapshot, snapshot.machines, 'Members'),
    }


def _member(name, spec, lists):
    return {
        'name': name,
        'node_id': spec.get('nodeId'),
        'hostname': spec.get('hostname'),
        'addresses': spec.get('addresses') or [],
        'type': spec.get('machineType'),
        'operating_system': spec.get('operatingSystem'),
        'not_seen_by': [node for node, mine in lists.items() if name not in mine],
    }
