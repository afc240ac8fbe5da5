# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a Kubernetes Node may be deleted: what users.md 5, "stale Node deletion", wants to be so.

A Node is deleted only where everything agrees that its machine is gone: Kubernetes for half an hour, Talos, etcd, the
user, and the address itself. Each reason against is a sentence with its evidence.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import controller_of, in_order
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, members, ordered, span, unread
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import node_addresses, node_ready
from ansible_collections.talosops.talos.plugins.module_utils.remedies import live
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.machines import kubernetes_machine_id
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

SILENT_SECONDS = 1800
# More of the Nodes than this without a machine that answers is a fault of the view.
SHARE = 0.3
PORTS = (50000, 10250)
# What is read of a machine to know who it is.
IDENTITY = ('Nodenames', 'AddressStatuses')


def node_of(view, name):
    """The Node of this name (snapshot/objects.py), None where there is none."""
    return next((node for node in view.kubernetes.nodes or [] if node['name'] == name), None)


def objections(view, node, talosconfig_nodes=(), writes=False, leaving=()):
    """Every reason, a sentence, for which this Node must not be deleted; empty where nothing that was read speaks against it.

    For a plan it may be said what will be so by then: that etcd takes C(writes), and the ids of members that are C(leaving) it.
    """
    checks = (_other_owner, _ready, _leased, _answers, _discovered, _wanted)
    found = [reason for check in (*(() if writes else (_writing,)), *checks) for reason in [check(view, node)] if reason]
    found += [reason for reason in (_etcd_member(view, node, leaving), _view_fault(view, node)) if reason]
    named = {normal(text) for text in talosconfig_nodes} & _names_and_addresses(node)
    return found + ([f'The talosconfig names {listed(sorted(named))} among the nodes of this cluster.'] if named else [])


def alive(node, answers):
    """The reason that the Node's address gives against it: C(answers) [(address, port, how it was asked, what came or None)]."""
    hit = next(((address, port, how, what) for address, port, how, what in answers if what), None)
    if hit is not None:
        address, port, how, what = hit
        return f'Something answers on {address}, port {port}, asked {how}: {what}.'
    if not any(port == PORTS[0] for _address, port, _how, _what in answers):
        return f'Whether a machine answers at the address of Node {node["name"]} could not be tried.'
    return None


def addresses(node):
    """The addresses at which the machine of a Node would answer."""
    return sorted(node_addresses(node))


def volumes(node, attachments, persistent):
    """Names of volumes that hang on this Node: attached to it, or local to it; from the objects of both lists."""
    attached = [(item.get('spec') or {}).get('source', {}).get('persistentVolumeName') or item['metadata']['name'] for item in attachments
                if (item.get('spec') or {}).get('nodeName') == node['name']]
    local = [item['metadata']['name'] for item in persistent if node['name'] in _required_hosts(item)]
    return sorted(set(attached + local))


def etcd_members(view, node):
    """The members of etcd that have the Node's name or one of its addresses."""
    wanted = _names_and_addresses(node)
    return [member for member in view.etcd.members or () if wanted & {normal(one) for one in (member.get('hostname'), *view.etcd.hosts(member)) if one}]


def _required_hosts(volume):
    """The host names to which a volume is bound."""
    affinity = ((volume.get('spec') or {}).get('nodeAffinity') or {}).get('required') or {}
    return {value for term in affinity.get('nodeSelectorTerms') or [] for one in term.get('matchExpressions') or []
            if one.get('key') == 'kubernetes.io/hostname' and one.get('operator') == 'In' for value in one.get('values') or []}


def _names_and_addresses(node):
    return {normal(node['name'])} | node_addresses(node)


def _writing(view, _node):
    why = live.not_writing(view)
    return f'The Kubernetes API does not take writes for certain: {why}.' if why else None


def _other_owner(view, node):
    owner = controller_of(view, node)
    return f'{owner} made this Node and removes it: look there why it has not.' if owner else None


def _ready(view, node):
    status, since = node_ready(node)
    if status == 'True':
        return f'Node {node["name"]} is Ready.'
    since = since or (parse_time(node.get('created')) if status is None else None)
    if since is None:
        return f'Since when Node {node["name"]} has not been Ready is not known.'
    seconds = (view.now - since).total_seconds()
    if seconds < SILENT_SECONDS:
        return (f'Node {node["name"]} has not been Ready for {span(seconds)} only, and a machine that is silent for less than {span(SILENT_SECONDS)} '
                'may come back.')
    return None


def _leased(view, node):
    """Its kubelet may live on where only its status is old."""
    lease = next((lease for lease in view.kubernetes.listed('leases') or [] if lease['name'] == node['name']), None)
    renewed = parse_time(lease.get('renewed')) if lease else None
    seconds = (view.now - renewed).total_seconds() if renewed else None
    return f'Its kubelet renewed its lease {span(seconds)} ago.' if seconds is not None and seconds < SILENT_SECONDS else None


def _answers(view, node):
    """A machine that answers has its name, its address or its machine id, or was not asked for them."""
    wanted, virtual = _names_and_addresses(node), {normal(vip) for vip in view.vips}
    if not view.snapshot.answering():
        return 'No machine of the cluster answers.'
    for machine in ordered(view.snapshot.answering()):
        missing = unread([machine], *IDENTITY) if machine.key not in view.elsewhere else []
        if missing:
            return f'Whether {machine.label} is the machine of this Node was not read ({"; ".join(missing)}).'
        if node.get('machine_id') and node['machine_id'] == kubernetes_machine_id(machine.key):
            return f'{machine.label} answers, and is the machine of this Node: it has its machine id.'
        common = wanted & (_own(machine) - virtual)
        if common:
            return f'{machine.label} answers, and has {listed(sorted(common))} as this Node has.'
    return None


def _own(machine):
    """The names and addresses of a machine that answers."""
    spec = machine.resource('HostnameStatuses', 'hostname') or {}
    named = [machine.name, spec.get('hostname'), (machine.resource('Nodenames', 'nodename') or {}).get('nodename')]
    listed_ = [item.get('spec') or {} for kind in ('AddressStatuses', 'NodeAddresses') for item in machine.value(kind) or []]
    found = [machine.address, *machine.addresses, *(spec.get('address') for spec in listed_), *(a for spec in listed_ for a in spec.get('addresses') or [])]
    return {normal(one) for one in (*named, *found) if one}


def _discovered(view, node):
    """Discovery remembers a machine for half an hour after its last word."""
    wanted, virtual = _names_and_addresses(node), {normal(vip) for vip in view.vips}
    planes = view.answering_control_planes
    if not any(machine.datum('Members').ok for machine in planes):
        return f'Whether discovery knows its machine was not read ({"; ".join(unread(planes, "Members")) or "no control plane node answered"}).'
    for machine in ordered(view.snapshot.answering()):
        for item, spec in members(machine):
            known = {normal(one) for one in (item.get('id'), spec.get('hostname'), *(spec.get('addresses') or [])) if one} - virtual
            if known & wanted:
                return f'Discovery on {machine.label} knows a member {item.get("id")} with {listed(sorted(known & wanted))}.'
    return None


def _wanted(view, node):
    named = {normal(text) for text in view.settings.expected_nodes} & _names_and_addresses(node)
    return f'{listed(sorted(named))} is among the expected nodes.' if named else None


def _etcd_member(view, node, leaving):
    if view.etcd.members is None:
        return f'Whether it is an etcd member was not read ({"; ".join(unread(view.answering_control_planes, "EtcdMemberList")) or "none answered"}).'
    staying = [member for member in etcd_members(view, node) if member['id'] not in leaving]
    return f'It is the etcd member {view.etcd.calls(staying[0]["id"])}: remove that first, by its id, and then the Node.' if staying else None


def _view_fault(view, _node):
    """Where many Nodes look stale, it is rather the view of them that is at fault. One alone is none, in whatever small cluster."""
    silent = [node['name'] for node in in_order(view) if node_ready(node)[0] != 'True' and not _stands(view, node)]
    if len(silent) > 1 and len(silent) > SHARE * len(view.kubernetes.nodes):
        return (f'{len(silent)} of {len(view.kubernetes.nodes)} Nodes have no machine that answers ({listed(silent)}), which is more than '
                f'{SHARE:.0%}: that is a fault of the view rather than of the Nodes.')
    return None


def _stands(view, node):
    machine = view.kubernetes.machine_of(node)
    return machine is not None and machine.answered
