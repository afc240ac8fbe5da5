# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several checks know of Kubernetes, worked out once for a snapshot.

Every list is None where it was not read, never empty for that. A Node is a machine's by the machine id that Talos
derives from the node identity, else by address, else by name (talos-api 6.6).
"""

from __future__ import annotations

import re
from functools import cached_property

from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import unknown
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOSPACE, NOT_BOOTSTRAPPED, unreachable
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.machines import kubernetes_machine_id
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, parse_time

# Facts that findings assert and explain each other by (causes.py).
API_DOWN = 'kubernetes.api_down'
CORRUPT = 'etcd.corrupt'

SYSTEM = 'kube-system'
YOUNG_SECONDS = 600
COMPONENTS = ('kube-apiserver', 'kube-controller-manager', 'kube-scheduler')


def api_server_down(machine):
    """The fact that the API server of this machine does not serve."""
    return f'apiserver.down:{machine.key}'


def nowhere(component):
    """The fact that this component of the control plane is ready on no node."""
    return f'component.nowhere:{component}'


def kubelet_down(machine):
    """The fact that the kubelet of this machine does not run, or is not healthy."""
    return f'kubelet.down:{machine.key}'


def not_ready(name):
    """The fact that the Node of this name is not Ready."""
    return f'node.not_ready:{name}'


def no_cni(name):
    """The fact that no CNI works on the Node of this name."""
    return f'cni.missing:{name}'


def node_addresses(node):
    """Its InternalIPs and ExternalIPs, in canonical form."""
    return {normal(a.get('address')) for a in node.get('addresses') or [] if a.get('type') in ('InternalIP', 'ExternalIP')}


def condition(node, kind):
    """A condition {type, status, reason, message, lastTransitionTime} of a Node or Pod, or {}."""
    return next((c for c in node.get('conditions') or [] if c.get('type') == kind), {})


def node_ready(node):
    """(status, since) of the Ready condition: 'True', 'False', 'Unknown' or None; an aware datetime or None."""
    found = condition(node, 'Ready')
    return found.get('status'), parse_time(found.get('lastTransitionTime'))


_CNIS = re.compile(r'^(kube-flannel|cilium|calico-node|canal|kube-router|weave-net|antrea-agent|kube-ovn-cni|ovnkube-node)(?!-operator)(-|$)')


def is_cni(pod):
    """Whether a Pod, DaemonSet or container is the agent of a CNI, by its name."""
    return bool(_CNIS.match(pod['name'])) and (pod.get('owner') or {}).get('kind') != 'ReplicaSet'


class KubernetesFacts:
    """Facts of a View; see the methods."""

    def __init__(self, view):
        self.view = view

    # -- what was read --------------------------------------------------------------------------------------

    def datum(self, kind):
        """The Datum of a kind of snapshot/objects.py, or of version and readyz."""
        found = (self.view.snapshot.kubernetes.get('data') or {}).get(kind)
        return found if found is not None else Datum()

    def listed(self, kind):
        """The objects of a kind, None where they were not read."""
        datum = self.datum(kind)
        return datum.value if datum.ok else None

    @property
    def nodes(self):
        return self.listed('nodes')

    @property
    def pods(self):
        """Pods of system namespaces, and others that are not ready."""
        return self.listed('pods')

    @property
    def csrs(self):
        return self.listed('csrs')

    @property
    def read(self):
        """Whether the API let us read its Nodes."""
        return self.nodes is not None

    def server(self, machine):
        """The Datum of /readyz of a control plane node's own API server: {status, body}."""
        return (self.view.snapshot.kubernetes.get('servers') or {}).get(machine.key) or Datum()

    @property
    def troubles(self):
        """Every fact that can explain why something of Kubernetes was not answered."""
        planes = self.view.control_planes
        return (NOT_BOOTSTRAPPED, NO_QUORUM, API_DOWN, *(api_server_down(m) for m in planes), *(unreachable(m) for m in planes if not m.answered),
                'kubernetes.foreign_kubeconfig', 'role', 'not_judged')

    def unread(self, what, *kinds):
        """The unknown outcome for the cluster of a check whose objects were not read, with the reason."""
        reasons = {}
        for kind in dict.fromkeys(kinds):
            if not self.datum(kind).ok:
                reasons.setdefault(self.datum(kind).why(), []).append(kind)
        why = '; '.join(f'{", ".join(unread)}: {reason}' for reason, unread in reasons.items())
        return unknown('cluster', f'{what}: Kubernetes was not read ({why})', explained_by=self.troubles,
                       next_step='Give a kubeconfig, or an os:admin talosconfig, or find out why the API does not answer.')

    # -- what there is --------------------------------------------------------------------------------------

    @cached_property
    def absent(self):
        """G7: a cluster without Kubernetes: no machine that answers has a kubelet, or is to have one; None when that was not seen."""
        answering = self.view.snapshot.answering()
        if any(self.view.service(machine, 'kubelet') or machine.value('NodeIPConfigs') for machine in answering) or self.nodes:
            return False
        seen = [machine for machine in answering if machine.datum('ServiceList').ok and machine.datum('NodeIPConfigs').ok]
        return True if seen and len(seen) == len(answering) else None

    @cached_property
    def _index(self):
        """The first Node of each machine id, of each address and of each name."""
        ids, addresses, names = {}, {}, {}
        for node in self.nodes or []:
            ids.setdefault(node.get('machine_id'), node)
            names.setdefault(node.get('name'), node)
            for address in node_addresses(node):
                addresses.setdefault(address, node)
        return ids, addresses, names

    def node_of(self, machine):
        """The Node of a machine, or None."""
        ids, addresses, names = self._index
        wanted = kubernetes_machine_id(machine.key)
        virtual = {normal(vip) for vip in self.view.vips}
        mine = [address for address in dict.fromkeys(normal(a) for a in (machine.address, *machine.addresses) if a) if address not in virtual]
        return ((ids.get(wanted) if wanted else None) or next((addresses[address] for address in mine if address in addresses), None)
                or (names.get(machine.name) if machine.name else None))

    @cached_property
    def machines(self):
        """Name of a Node: its machine; Nodes without a machine are missing.

        Of two machines with one host name the one whose id or address the Node bears is meant.
        """
        found = {}
        for machine in self.view.snapshot.machines:
            node = self.node_of(machine)
            if node is None:
                continue
            likeness = (node.get('machine_id') != kubernetes_machine_id(machine.key),
                        not {normal(a) for a in (machine.address, *machine.addresses) if a} & node_addresses(node), not machine.answered)
            if node['name'] not in found or likeness < found[node['name']][0]:
                found[node['name']] = (likeness, machine)
        return {name: machine for name, (_likeness, machine) in found.items()}

    def machine_of(self, node):
        """The machine of a Node, or None."""
        return self.machines.get(node['name'])

    def pods_on(self, name, namespace=SYSTEM):
        """The pods of a namespace on the Node of this name; empty where none were read."""
        return [pod for pod in self.pods or [] if pod['node'] == name and pod['namespace'] == namespace]

    def cni_pods(self, name):
        """The pods of a CNI's agent on the Node of this name, in any system namespace."""
        return [pod for pod in self.pods or [] if pod['node'] == name and is_cni(pod)]

    # -- frozen clusters ------------------------------------------------------------------------------------

    @cached_property
    def frozen(self):
        """G0b: the facts for which etcd takes no writes, so that every status is as old as that; empty where it takes them."""
        etcd = self.view.etcd
        alarms = {alarm for _member, alarm in etcd.alarms or ()}
        found = [fact for alarm, fact in (('NOSPACE', NOSPACE), ('CORRUPT', CORRUPT)) if alarm in alarms]
        lost = etcd.statuses and not etcd.with_leader
        return (*found, NO_QUORUM) if lost and not self.view.not_bootstrapped else tuple(found)

    # -- young clusters -------------------------------------------------------------------------------------

    def settling(self, machine=None):
        """G5: the cluster was bootstrapped less than ten minutes ago, or the machine is so young.

        A Node that is older, or a control plane node whose services were not read, leaves the machine's age alone.
        """
        return self._young_cluster or (machine is not None and bool(self.view.young(machine)))

    @cached_property
    def _young_cluster(self):
        age = self.view.etcd.cluster_age
        if age is None or age >= YOUNG_SECONDS or not all(machine.datum('ServiceList').ok for machine in self.view.answering_control_planes):
            return False
        created = [parse_time(node.get('created')) for node in self.nodes or []]
        return not any((self.view.now - at).total_seconds() >= YOUNG_SECONDS for at in created if at)
