# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that answer to the credentials of this cluster and belong to another one, made from the same secrets (check catalogue DSC-3)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

ETCD = 'etcd'
_FIELDS = (('clusterId', 'cluster id'), ('clusterName', 'cluster name'))


@dataclass(frozen=True)
class Elsewhere:
    """By what a machine shows that it belongs elsewhere: C(own) is its C(what), C(most) that of the cluster, which C(peers) have too."""

    machine: object
    what: str
    own: object
    most: object
    peers: tuple


def elsewhere(machine):
    """The fact that a machine belongs to another cluster."""
    return f'elsewhere:{machine.key}'


def found_elsewhere(view):
    """{machine key: Elsewhere} of machines whose cluster id or name, or whose etcd and Kubernetes, are others than this cluster's."""
    found, answering = {}, view.snapshot.answering()
    for field, noun in _FIELDS:
        values = {m.key: m.resource('Infos', 'current').get(field) for m in answering if m.resource('Infos', 'current') is not None}
        _add(view, found, noun, values, lambda value, most: value != most)
    if view.kubernetes.nodes is not None:
        lists = {m.key: frozenset(str(each.get('id')) for each in m.value('EtcdMemberList').get('members') or [])
                 for m in view.answering_control_planes if m.datum('EtcdMemberList').ok}
        _add(view, found, ETCD, {key: ids for key, ids in lists.items() if ids},
             lambda ids, most: not ids & most, lambda machine: view.kubernetes.node_of(machine) is None)
    return found


def _add(view, found, what, values, differ, holds=lambda machine: True):
    if not values:
        return
    most = _most(view, values)
    for key, value in values.items():
        machine = view.snapshot.machine(key)
        if key not in found and differ(value, most) and holds(machine):
            found[key] = Elsewhere(machine, what, value, most, tuple(other for other in values if values[other] == most))


def _most(view, values):
    """The most frequent value; among equals that of the machine behind the first endpoint that answers."""
    counted = Counter(values.values())
    first = next((values[e.machine] for e in view.snapshot.endpoints if e.connected and e.machine in values), None)
    return max(counted, key=lambda value: (counted[value], value == first, str(value)))
