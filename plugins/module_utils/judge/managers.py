# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who manages a cluster or a Node beside its owner, and what is theirs to repair: a remedy that they own is not offered."""

from __future__ import annotations

OMNI = 'Omni'
CLUSTER_API = 'Cluster API'

# What they write to the Nodes of their machines.
MARKS = (('cluster.x-k8s.io/', CLUSTER_API), ('omni.sidero.dev/', OMNI), ('karpenter.sh/', 'Karpenter'),
         ('cluster-autoscaler.kubernetes.io/', 'the cluster autoscaler'))

# They would undo it, or do it themselves: machine configurations, members and Nodes of machines that they replace, the bootstrap.
OWNED = {
    OMNI: ('bootstrap', 'etcd_stale_member', 'stale_node', 'talos_certsans'),
    CLUSTER_API: ('bootstrap', 'stale_node', 'talos_certsans'),
}


def of_node(node):
    """Who makes and removes a Node by itself, by its annotations and labels; None where a person does."""
    marks = [*(node.get('annotations') or {}), *(node.get('labels') or {})]
    return next((name for prefix, name in MARKS if any(mark.startswith(prefix) for mark in marks)), None)


def of_machines(machines):
    """Omni, where one of these machines is connected to it by SideroLink; else None."""
    return OMNI if any(machine.value('SiderolinkStatuses') for machine in machines) else None


def of(view):
    """Those of the cluster, by name; [] where nobody but its owner manages it, as far as could be seen."""
    found = {of_machines(view.snapshot.answering()), *(of_node(node) for node in view.kubernetes.nodes or [])}
    return sorted(name for name in found if name in OWNED)


def leave_to(managers, finding):
    """Take out of a finding the remedy that one of them owns, and say whose it is."""
    owner = next((name for name in managers if finding['remedy'] and finding['remedy']['name'] in OWNED[name]), None)
    if owner is not None:
        finding['remedy'] = None
        finding['next_step'] = f'{owner} manages this cluster: let it do this, or do it there. {finding["next_step"]}'.strip()
    return finding
