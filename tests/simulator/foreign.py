# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines of another cluster that has the same secrets (state.foreign): a model of their own beside the first one."""

from __future__ import annotations

import copy

from tests.simulator import scenario

_REACHABLE = 'reachable_from_production'


def settle(model):
    """Put the foreign machines of a model's state beside its own, and make both ends know of each other where they can."""
    told = model.state['foreign']
    machines = {name: address for name, address in told.items() if name != _REACHABLE}
    if not machines:
        return
    other = type(model)(_scenario(model, machines), model.name, model.platform, loopback=False, wall=model.clock.wall)
    other.talos_authority, other.kubernetes_authority = model.talos_authority, model.kubernetes_authority
    other.timeline, other.changed = model.timeline, _both(other.changed, model)
    model.machines |= other.nodes
    if told.get(_REACHABLE, True):
        model.neighbours.append(other)
        other.neighbours.append(model)


def _scenario(model, machines):
    """A cluster with these control plane nodes and the network of the first; nothing that was told of that is told of it."""
    state = copy.deepcopy({key: model.state[key] for key in ('versions', 'network', 'uptime', 'time')})
    state['network'] |= {'vip': None, 'vip_holder': 'none', 'lb': None}
    members = {name: f'{0xF0 + number:02x}' * 8 for number, name in enumerate(machines, 1)}
    return scenario.from_state({**state, 'topology': {'cp': machines, 'workers': {}}, 'etcd': {'members': members}, 'k8s': {'api': 'down'},
                                'lines': [line for line in model.state['lines'] if line['node'] in machines]}, 'foreign')


def _both(changed, model):
    def both():
        changed()
        model.dirty = True

    return both
