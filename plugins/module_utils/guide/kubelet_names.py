# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "kubectl get nodes Reports Wrong Node Name": the name of a Node is made from the host name (edge-cases 69)."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import no_cluster, not_read, of_node
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import addresses_of, listed, members, ordered, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, Check, critical, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import node_addresses
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.machines import kubernetes_machine_id

SECTION = 'kubelet.wrong_node_name'
_LONGEST = 63
_RENAME = ('Set the host name by one way only (machine.network.hostname, or a HostnameConfig document, or the platform, or DHCP; no reboot). The '
           'kubelet restarts and registers anew; then delete the old Node.')


def nodename(hostname):
    """The Node name that Talos makes of a host name: lower case, "_" as "-", other characters dropped, trimmed, 63 characters."""
    name = re.sub(r'[^a-z0-9.-]', '', str(hostname or '').lower().replace('_', '-')).strip('-.')
    return name[:_LONGEST].rstrip('-.')


def node_name_wrong(view, machine):
    """The Node name of each machine is made from its host name."""
    nodes = [machine.key]
    if view.stage(machine) == 'maintenance' or (machine.datum('ServiceList').ok and view.kubelet.service(machine) is None):
        return not_applicable(machine.key, f'{machine.label} has no kubelet', nodes=nodes)
    spec = machine.resource('HostnameStatuses', 'hostname') or {}
    hostname, domain = spec.get('hostname'), spec.get('domainname')
    name = (machine.resource('Nodenames', 'nodename') or {}).get('nodename')
    if not hostname:
        return not_applicable(machine.key, f'{machine.label} has no host name yet', nodes=nodes)
    short, full = nodename(hostname), nodename(f'{hostname}.{domain}') if domain else ''
    evidence = [seen(machine, 'HostnameStatuses', f'host name {hostname}' + (f', domain {domain}' if domain else '')),
                seen(machine, 'Nodenames', f'Node name {name or "none"}')]
    if not short:
        return error(machine.key, f'No Node name can be made of the host name {hostname} of {machine.label}',
                     'Only letters a to z, digits, "-" and "." count, and nothing is left: the kubelet cannot register.', _RENAME, nodes=nodes,
                     evidence=evidence, asserts=(f'node_name:{machine.key}',))
    if name and name not in (short, full):
        return _mismatch(view, machine, f'{machine.label} has the Node name {name}, which is not made of its host name {hostname}', evidence)
    return ok(machine.key, nodes=nodes)


def node_name_differs(view):
    """Every machine that has a Node is registered under the name that Talos gives it."""
    early = no_cluster(view)
    if early:
        return early
    if not view.kubernetes.read:
        return not_read(view, 'whether kubelets registered under the right names', 'nodes')
    outcomes = []
    for machine in ordered(view.snapshot.answering()):
        registered, name = _registered_as(view, machine), (machine.resource('Nodenames', 'nodename') or {}).get('nodename')
        if registered is None or registered['name'] == name:
            continue
        if not name:
            outcomes.append(unknown(machine.key,
                                    f'whether {machine.label} is rightly Node {registered["name"]}: Nodenames: {machine.datum("Nodenames").why()}',
                                    nodes=[machine.key]))
            continue
        outcomes.append(_mismatch(view, machine, f'{machine.label} is Node {registered["name"]} in Kubernetes, not {name}', [
            of_node(registered, f'Node {registered["name"]} has the id or the address of {machine.label}'),
            seen(machine, 'Nodenames', f'Node name {name}')]))
    return outcomes or ok('cluster')


def _mismatch(view, machine, title, evidence):
    if view.young(machine) or view.in_progress(machine):
        return info(machine.key, title, 'Its host name has just been set.', 'Gather again in a few minutes.', nodes=[machine.key], evidence=evidence)
    return warning(machine.key, title, 'Its host name was changed and the kubelet has not followed, or somebody set hostname-override.', _RENAME,
                   nodes=[machine.key], evidence=evidence)


def _registered_as(view, machine):
    """The only Node that has the id or an address of this machine; None where none has, or several."""
    mine, wanted = addresses_of(view, machine), kubernetes_machine_id(machine.key)
    found = [node for node in view.kubernetes.nodes
             if (wanted and node.get('machine_id') == wanted) or mine & node_addresses(node)]
    return found[0] if len(found) == 1 else None


# -- KUB-8: one name on two machines ----------------------------------------------------------------------------

def node_name_shared(view):
    """Every machine has a Node name of its own. Where discovery sees both, it is a duplicate member and told there."""
    early = no_cluster(view)
    if early:
        return early
    answering = ordered(view.snapshot.answering())
    unread = [machine for machine in answering if not machine.datum('Nodenames').ok]
    if not answering or len(unread) == len(answering):
        return unknown('cluster', 'whether two machines have one Node name: Nodenames was not read on any machine', explained_by=('not_judged',))
    holders = {}
    for machine in answering:
        name = (machine.resource('Nodenames', 'nodename') or {}).get('nodename')
        if name:
            holders.setdefault(name, []).append(machine)
    outcomes = []
    for name, machines in sorted(holders.items()):
        if len(machines) > 1 and not _seen_by_discovery(view, machines):
            outcomes.append(critical(
                f'name {name}', f'{len(machines)} machines have the Node name {name}: {listed(m.address or m.key for m in machines)}',
                'Their kubelets overwrite each other\'s Node, and their etcd members each other\'s name: what is done to one happens to the other.',
                f'Give each a host name of its own. {_RENAME} Delete the Node {name} only when no machine has that name any more.',
                nodes=[m.key for m in machines], evidence=[seen(m, 'Nodenames', f'{m.address}: Node name {name}') for m in machines]))
    if unread:
        outcomes.append(unknown('cluster', f'whether two machines have one Node name: Nodenames of {listed(m.label for m in unread)}: '
                                           f'{unread[0].datum("Nodenames").why()}', nodes=[m.key for m in unread]))
    return outcomes or ok('cluster')


def _seen_by_discovery(view, machines):
    """Whether a machine lists all of these in discovery: then discovery.name_duplicate tells it."""
    keys = {machine.key for machine in machines}
    known = {spec.get('nodeId') for machine in view.snapshot.answering() for kind in ('Members', 'Affiliates')
             for _item, spec in members(machine, kind)}
    return keys <= known


CHECKS = (
    Check('kubelet.node_name_wrong', SECTION, 'Node names are made of host names', node_name_wrong, each=ALL, needs=('HostnameStatuses', 'Nodenames'),
          reads=('ServiceList', 'MachineStatuses'), catalogue='KUB-8'),
    Check('kubelet.node_name_differs', SECTION, 'Every kubelet is registered under the name of its machine', node_name_differs,
          reads=('Nodenames', 'MachineStatuses', 'NodeIPConfigs'), cluster_reads=('nodes',), catalogue='KUB-8', sharpens=True),
    Check('kubelet.node_name_shared', SECTION, 'Every machine has a Node name of its own', node_name_shared,
          reads=('Nodenames', 'Members', 'Affiliates', 'ServiceList'), cluster_reads=('nodes',), catalogue='KUB-8'),
)
