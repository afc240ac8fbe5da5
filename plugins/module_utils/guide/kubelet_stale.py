# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Duplicate/Stale Nodes": Nodes behind which no machine stands, and Nodes that share an address.

Talos removes no Node. Whether a machine is gone is not decided by discovery alone: it must also be silent, and its
Node not Ready, for longer than discovery remembers a machine (users.md 5, "stale Node deletion").
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import (
    FORMER, behind, controller_of, in_order, no_cluster, not_read, of_node, ready_evidence, why_frozen,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import (
    FORGOTTEN_SECONDS, GONE, discovery_works, failure_of, listed, seen, span,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Evidence, Threshold, info, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import node_ready
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

SECTION = 'kubelet.stale_nodes'
SECONDS = 'kubelet_node_stale_seconds'
FORMER_SECONDS = 'kubelet_node_former_seconds'
SHARE = 'kubelet_node_stale_share'


# -- KUB-10: stale ----------------------------------------------------------------------------------------------

def node_stale(view):
    """Every Node that is not Ready has a machine."""
    early = no_cluster(view)
    if early:
        return early
    if not view.kubernetes.read:
        return not_read(view, 'whether there are Nodes without a machine', 'nodes')
    found, outcomes = [], []
    for node in in_order(view):
        machine, standing = behind(view, node)
        if standing in (GONE, FORMER) and node_ready(node)[0] != 'True':
            found.append((node, machine, standing))
        elif _cannot_tell(view, node, machine):
            outcomes.append(unknown(node['name'],
                                    f'whether Node {node["name"]} is stale: its machine does not answer, and no control plane node told '
                                    'which members discovery knows', nodes=[machine.key] if machine else [],
                                    next_step='Read Members of a control plane node.', explained_by=('not_judged', 'role')))
    many = len(found) > 1 and len(found) > view.threshold(SHARE) * len(view.kubernetes.nodes)
    return [*(_stale(view, *each, many=many) for each in found), *outcomes] or ok('cluster')


def _cannot_tell(view, node, machine):
    if node_ready(node)[0] == 'True' or (machine is not None and machine.answered) or discovery_works(view):
        return False
    return not any(plane.datum('Members').ok for plane in view.answering_control_planes)


def _stale(view, node, machine, standing, many):
    name, (status, since) = node['name'], node_ready(node)
    since = since or (parse_time(node.get('created')) if status is None else None)
    nodes = [machine.key] if machine is not None else []
    evidence = [ready_evidence(node), *_lease(view, name), *_silence(view, node, machine, standing)]
    if since is None:
        return unknown(name, f'since when Node {name} has not been Ready: its condition has no time', nodes=nodes, evidence=evidence)
    seconds = (view.now - since).total_seconds()
    limit = view.threshold(FORMER_SECONDS if standing == FORMER else SECONDS)
    long = f'silent for {span(seconds)}'
    what = f'its machine {machine.label} is Node {_own(view, machine)} now' if standing == FORMER else 'no machine stands behind it'
    title = f'Node {name} is stale: {long}, and {what}'
    if seconds <= limit:
        return info(name, f'Node {name} may be stale: {long}, and {what}',
                    'Discovery remembers a machine for half an hour; before that nobody can say that it will not come back.',
                    'Gather again later.', nodes=nodes, evidence=evidence)
    owner = controller_of(view, node, machine)
    means = ('Talos does not remove Nodes. Pods that were on it stay listed, DaemonSets wait for it, and talosctl health names it as an unexpected '
             'node.')
    steps, remedy = _advice(view, node, machine, standing, owner, many)
    return warning(name, title, means, ' '.join(steps), nodes=nodes, evidence=evidence, remedy=remedy)


def _advice(view, node, machine, standing, owner, many):
    """(sentences, remedy): what to do about a stale Node, and in which order."""
    name, address = node['name'], next(iter(_internal(node)), None)
    remedy = {'name': 'stale_node', 'args': {'name': name, 'uid': node.get('uid')}}
    member = _etcd_member(view, node)
    steps = []
    if view.kubernetes.frozen:
        steps.append(f'First repair etcd ({why_frozen(view)}): nothing can be deleted before it takes writes again.')
    if member:
        steps.append(f'It is an etcd member as well ({view.etcd.calls(member)}): remove that by its id first, then the Node.')
    if many:
        steps.append('So many Nodes look stale that this is more likely a fault of discovery or of the view from here: find that out first, and '
                     'delete nothing.')
        return steps, None
    if owner:
        steps.append(f'{owner} made this Node and removes it: look there why it has not, and do not delete it by hand.')
        return steps, None
    if standing == GONE and address:
        steps.append(f'Make sure that no machine answers on {address}.')
    steps.append(f'kubectl delete node {name}, or talos_kubernetes_node. The kubelet of a machine that is alive after all does not register again '
                 'before it is restarted.')
    return steps, remedy


def _own(view, machine):
    node = view.kubernetes.node_of(machine)
    return node['name'] if node else machine.label


def _internal(node):
    return [normal(a.get('address')) for a in node.get('addresses') or [] if a.get('type') == 'InternalIP']


def _etcd_member(view, node):
    """The id of the etcd member that has the Node's address, or its name and no machine, None where there is none."""
    addresses = set(_internal(node))
    for member in view.etcd.members or []:
        if addresses & {normal(host) for host in view.etcd.hosts(member)}:
            return member['id']
        if member.get('hostname') == node['name'] and member['id'] not in view.etcd.local_ids:
            return member['id']
    return None


def _lease(view, name):
    lease = next((lease for lease in view.kubernetes.listed('leases') or [] if lease['name'] == name), None)
    if lease is None:
        return []
    return [Evidence(f'lease last renewed {lease.get("renewed")}', 'Kubernetes leases', name, lease.get('renewed'))]


def _silence(view, node, machine, standing):
    name = node['name']
    if standing == FORMER:
        return [seen(machine, 'Nodenames', f'the machine at {listed(_internal(node)) or "its address"} answers as {machine.label}')]
    found = []
    if discovery_works(view):
        found.append(Evidence(f'discovery does not list {name} or {listed(_internal(node)) or "its address"}', 'Members', name))
    failure = failure_of(view, machine) if machine is not None else None
    if failure and failure.get('text'):
        found.append(Evidence(failure['text'], 'Talos API', name, failure.get('at')))
    return found


# -- KUB-10: duplicates -----------------------------------------------------------------------------------------

def node_duplicate(view):
    """Nodes that live have InternalIPs of their own; of two where one is silent, that one is stale."""
    early = no_cluster(view)
    if early:
        return early
    if not view.kubernetes.read:
        return not_read(view, 'whether two Nodes share an address', 'nodes')
    virtual, holders = {normal(vip) for vip in view.vips}, {}
    for node in in_order(view):
        if node_ready(node)[0] == 'True':
            for address in _internal(node):
                if address not in virtual:
                    holders.setdefault(address, []).append(node)
    outcomes = []
    for address, nodes in sorted(holders.items()):
        if len(nodes) > 1:
            machines = [machine for machine in map(view.kubernetes.machine_of, nodes) if machine is not None]
            outcomes.append(warning(
                f'address {address}', f'{listed(node["name"] for node in nodes)} have the same InternalIP {address}',
                'Two Nodes that are Ready cannot both be reached there: logs, exec and the pod network go to one of them.',
                'Find the machine that has this address (talosctl get addresses); set machine.kubelet.nodeIP.validSubnets on the other one, and '
                'delete the Node that belongs to no machine.', nodes=[machine.key for machine in machines],
                evidence=[of_node(node, f'InternalIP {address}') for node in nodes]))
    return outcomes or ok('cluster')


CHECKS = (
    Check('kubelet.node_stale', SECTION, 'Every Node has a machine', node_stale,
          reads=('Members', 'Affiliates', 'EtcdMemberList', 'SiderolinkStatuses'),
          cluster_reads=('nodes', 'leases'), catalogue='KUB-10', remedy='stale_node', thresholds={
              SECONDS: Threshold(FORGOTTEN_SECONDS, 's', 'how long a Node without a machine may be silent before it is stale'),
              FORMER_SECONDS: Threshold(300, 's', 'how long the former Node of a machine that has another may be silent'),
              SHARE: Threshold(1 / 3, 'ratio', 'share of stale Nodes, two at least, beyond which it is the view that is doubted')}),
    Check('kubelet.node_duplicate', SECTION, 'Every Node has an address of its own', node_duplicate, reads=('NodeIPConfigs',),
          cluster_reads=('nodes',),
          catalogue='KUB-10', sharpens=True),
)
