# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of Kubernetes Nodes share: is there a cluster to ask, which machine stands behind a Node, who owns it."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import NOT_ASKED, REFUSED, UNSUPPORTED
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import GONE, PRESENT, discovery_works, presence
from ansible_collections.talosops.talos.plugins.module_utils.judge import managers
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Evidence, not_applicable
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOSPACE
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import CORRUPT, condition, node_addresses, node_ready
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.machines import kubernetes_machine_id

# Of a Node: its machine answers, under another Node.
FORMER = 'the former Node of a machine that has another'

NOT_READ = 'Give a kubeconfig, or an os:admin talosconfig, or find out why the API does not answer.'
_MAY_NOT = (REFUSED, NOT_ASKED, UNSUPPORTED)
_WHY_FROZEN = {NOSPACE: 'the alarm NOSPACE stands', CORRUPT: 'the alarm CORRUPT stands', NO_QUORUM: 'it has no quorum'}


def no_cluster(view):
    """The outcome where there are no Nodes at all, else None (G4, G7)."""
    if view.not_bootstrapped:
        return not_applicable('cluster', 'the cluster has not been bootstrapped')
    if view.kubernetes.absent:
        return not_applicable('cluster', 'this cluster has no Kubernetes')
    return None


def not_read(view, what, *kinds):
    """The outcome of a check whose objects were not read: unknown, but while the API of a new cluster is not up yet (G5)."""
    if api_not_up_yet(view):
        return not_applicable('cluster', 'the Kubernetes API is not up yet')
    return view.kubernetes.unread(what, *kinds)


def api_not_up_yet(view):
    """Whether etcd started less than ten minutes ago and the API does not answer yet; where nobody lets us read, nothing is known of it."""
    return not view.kubernetes.read and not may_not_read(view) and view.kubernetes.settling()


def may_not_read(view):
    """The Nodes were not read because nobody let us, which says nothing about the API."""
    return view.kubernetes.datum('nodes').state in _MAY_NOT


def in_order(view):
    """The Nodes that were read, by name."""
    return sorted(view.kubernetes.nodes or [], key=lambda node: str(node['name']))


def behind(view, node):
    """(machine or None, PRESENT, GONE or FORMER) of a Node."""
    machine = view.kubernetes.machine_of(node)
    if machine is not None:
        return machine, GONE if presence(view, machine) == GONE else PRESENT
    for other in view.snapshot.answering():
        same_id = node.get('machine_id') and node['machine_id'] == kubernetes_machine_id(other.key)
        virtual = {normal(vip) for vip in view.vips}
        mine = {normal(a) for a in (other.address, *other.addresses) if a} - virtual
        if (same_id or mine & node_addresses(node)) and view.kubernetes.node_of(other) is not node:
            return other, FORMER
    return None, GONE if discovery_works(view) else PRESENT


def controller_of(view, node, machine=None):
    """Who makes and removes this Node by itself ("Cluster API", "Omni", …), None where a person does."""
    machines = [machine] if machine is not None and machine.answered else view.snapshot.answering()
    return managers.of_node(node) or managers.of_machines(machines)


def why_frozen(view):
    """"the alarm NOSPACE stands" and the like, of a cluster in which etcd takes no writes."""
    return ' and '.join(_WHY_FROZEN[fact] for fact in view.kubernetes.frozen)


def ready_evidence(node):
    """What Kubernetes says of Ready."""
    status, since = node_ready(node)
    found = condition(node, 'Ready')
    said = ': '.join(str(found[key]) for key in ('reason', 'message') if found.get(key))
    return Evidence(f'Ready is {status or "not told"}{f", {said}" if said else ""}', 'Kubernetes nodes', node['name'],
                    found.get('lastTransitionTime') if since else None)


def of_node(node, text, at=None):
    """Something else that Kubernetes says of a Node."""
    return Evidence(text, 'Kubernetes nodes', node['name'], at)


def external_addresses(view, node, machine):
    """Whether a cloud controller manager sets the addresses of this Node: then they are not Talos's (KUB-6, KUB-7)."""
    if node.get('provider_id') or any(taint.get('key') == 'node.cloudprovider.kubernetes.io/uninitialized' for taint in node.get('taints') or []):
        return True
    if machine is None:
        return False
    spec = machine.resource('KubeletSpecs', 'kubelet') or {}
    config = machine.resource('MachineConfigs') or {}
    external = ((config.get('v1alpha1') or {}).get('cluster') or {}).get('externalCloudProvider') or {}
    return '--cloud-provider=external' in (spec.get('args') or []) or bool(external.get('enabled'))
