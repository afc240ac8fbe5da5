# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "kubectl get nodes Reports Wrong Internal IP" and "… Wrong External IP".

Talos gives the kubelet one address of each family (NodeIPs); with an external cloud provider the cloud's controller
sets them all, and Talos none.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import (
    behind, external_addresses, in_order, no_cluster, not_read, of_node,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_requests import own_addresses
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import PRESENT, listed, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, Check, error, info, not_applicable, ok, unknown,
)

INTERNAL, EXTERNAL = 'kubelet.wrong_internal_ip', 'kubelet.wrong_external_ip'
_SIDEROLINK = ipaddress.ip_network('fdae:41e4:649b:9303::/64')
_TAILSCALE = ipaddress.ip_network('100.64.0.0/10')
_WILDCARDS = ('0.0.0.0/0', '::/0')
_MEANS = ('Other Nodes, the API server and pods of the host network reach this Node under its InternalIP: logs, exec and the pod network go astray '
          'with a wrong one.')
_STEP = ('Set machine.kubelet.nodeIP.validSubnets of {name} to {subnet} (talosctl patch machineconfig, first with --dry-run; no reboot, the kubelet '
         'restarts by itself). Set cluster.etcd.advertisedSubnets as well where etcd advertises the wrong network.')


# -- KUB-6: what Talos has for the kubelet ----------------------------------------------------------------------

def node_ip_missing(view, machine):
    """Talos has found an address for the kubelet. One line in the log before DHCP answers proves nothing."""
    nodes = [machine.key]
    if view.stage(machine) == 'maintenance' or (machine.datum('ServiceList').ok and view.kubelet.service(machine) is None):
        return not_applicable(machine.key, f'{machine.label} has no kubelet', nodes=nodes)
    addresses = _node_ips(machine)
    if addresses:
        return ok(machine.key, nodes=nodes)
    hits = view.signatures.on(machine, 'nodeip.none')
    evidence = [seen(machine, 'NodeIPs', 'no address'), *_subnets(machine), *(hit.evidence() for hit in hits)]
    title = f'Talos finds no address on {machine.label} that the kubelet may register'
    if view.young(machine) or view.in_progress(machine):
        return info(machine.key, title, 'It has just booted, and its network may not be up.', 'Gather again in a few minutes.', nodes=nodes,
                    evidence=evidence)
    return error(machine.key, title,
                 'machine.kubelet.nodeIP.validSubnets matches none of its addresses, all of them lie in the pod or service network, or '
                 'it has none. The kubelet is not started without one.', _STEP.format(name=machine.label, subnet='the network that it shall use'),
                 nodes=nodes, evidence=evidence, asserts=(f'node_ip:{machine.key}',),
                 explained_by=tuple(f'{fact}:{machine.key}' for fact in ('subnet_conflict', 'no_address', 'network')))


def _node_ips(machine):
    """The addresses that Talos gives the kubelet; empty also where they were not read."""
    return {normal(address) for address in (machine.resource('NodeIPs', 'kubelet') or {}).get('addresses') or []}


def _subnets(machine):
    spec = machine.resource('NodeIPConfigs', 'kubelet')
    if not isinstance(spec, dict):
        return []
    return [seen(machine, 'NodeIPConfigs', f'valid: {listed(spec.get("validSubnets") or [])}; not: {listed(spec.get("excludeSubnets") or [])}')]


# -- KUB-6: what the kubelet registered -------------------------------------------------------------------------

def internal_ip_wrong(view):
    """Every Node has an InternalIP that is its machine's, and in the network of the others."""
    early = no_cluster(view)
    if early:
        return early
    if not view.kubernetes.read:
        return not_read(view, 'whether the Nodes registered the right addresses', 'nodes')
    outcomes = []
    for node in in_order(view):
        machine, standing = behind(view, node)
        if standing == PRESENT:
            outcomes.append(_internal_ip(view, node, machine))
    return outcomes or ok('cluster')


def _internal_ip(view, node, machine):
    name, nodes = node['name'], [machine.key] if machine is not None else []
    found = sorted(_internal(node))
    external = external_addresses(view, node, machine)
    wrong = [fault for address in found for fault in [_fault(view, node, machine, address, external)] if fault]
    if not found and not external:
        wrong = [('it has none', 'The kubelet has registered no address.', 'the network that it shall use', ())]
    if not found and external:
        return info(name, f'Node {name} has no InternalIP yet', 'With an external cloud provider its controller manager sets it.',
                    'Look at the cloud controller manager.', nodes=nodes, evidence=[of_node(node, 'no InternalIP')])
    if not wrong:
        unread = _unread(view, machine, external)
        return unknown(name, f'whether Node {name} has the right InternalIP: {"; ".join(unread)}', nodes=nodes) if unread else ok(name, nodes=nodes)
    what, why, subnet, facts = wrong[0]
    shown = f'{found[0]}: ' if len(found) == 1 else f'{listed(found)}: ' if found else ''
    evidence = [of_node(node, f'InternalIP {listed(found) or "none"}')]
    if machine is not None and machine.answered:
        own = own_addresses(view, machine)
        evidence += [seen(machine, 'NodeIPs', f'for the kubelet: {listed(sorted(_node_ips(machine))) or "none"}'), *_subnets(machine)]
        evidence += [seen(machine, 'NodeAddresses', f'its addresses: {listed(sorted(own), 12)}')] if own else []
        evidence += [hit.evidence() for hit in view.signatures.on(machine, 'nodeip.skipped', 'nodeip.not_on_host')]
    title = f'Node {name} has the wrong InternalIP {shown}{what}'.replace('InternalIP it has', 'InternalIP: it has')
    if view.kubernetes.settling(machine) or (machine is not None and view.in_progress(machine)):
        return info(name, title, f'{why} Machine or cluster have just started.', 'Gather again in a few minutes.', nodes=nodes, evidence=evidence)
    return error(name, title, f'{why} {_MEANS}', _STEP.format(name=machine.label if machine is not None else name, subnet=subnet), nodes=nodes,
                 evidence=evidence, asserts=(f'node_ip:{machine.key}',) if machine is not None else (), explained_by=facts)


def _unread(view, machine, external):
    """What was not read of a machine that answers, without which an address cannot be called right."""
    if external or machine is None or not machine.answered:
        return []
    found = [f'{kind}: {machine.datum(kind).why()}' for kind in ('NodeAddresses', 'NodeIPs') if not machine.datum(kind).ok]
    return found + ([] if view.vips_known else ['the virtual IPs are not known'])


def _fault(view, node, machine, address, external):
    """(what is wrong, why it matters, the subnet to set, facts that explain it) of one InternalIP; None where nothing is."""
    good = _better(view, node, machine)
    subnet = f'[{good}]' if good else 'the network of the other nodes, without the VIP'
    if address in {normal(vip) for vip in view.vips}:
        return ('it is the virtual IP of the control plane', 'The virtual IP moves to another machine, and the Node stays behind.', subnet, ())
    if is_ip(address) and any(_inside(address, network) for network in view.kubernetes_networks):
        return ('it lies in the pod or service network', 'Talos leaves such addresses out; this one is of a pod, or the networks overlap.', subnet,
                (f'subnet_conflict:{machine.key}',) if machine is not None else ())
    if external or machine is None or not machine.answered or view.kubernetes.frozen:
        return None
    own, told = own_addresses(view, machine), _node_ips(machine)
    if is_ip(address) and _inside(address, _SIDEROLINK):
        return ('it is an address of SideroLink', 'That network leads to the management of the cluster, not to its nodes.', subnet, ())
    if own is not None and address not in own:
        return ('the machine has no such address', 'The address has changed since the kubelet registered (DHCP), or is of another machine.', subnet,
                (f'network:{machine.key}',))
    if told and address not in told and not told & _internal(node):
        return (f'Talos has {listed(sorted(told))} for it', 'The kubelet has not taken up what Talos has for it.', subnet, ())
    if _inside(address, _TAILSCALE) and _chosen_freely(machine) and any(not _inside(other, _TAILSCALE) for other in _routed(machine)):
        return ('it is an address of an overlay network (100.64.0.0/10)', 'It was taken because it stands first on the machine.', subnet, ())
    if good and _chosen_freely(machine) and not _of_kubespan(machine, address):
        return (f'the other Nodes are in {good}, where it has an address as well',
                'The kubelet took another interface than those of the other Nodes.', subnet, ())
    return None


def _inside(address, network):
    try:
        return ipaddress.ip_address(address) in network
    except (ValueError, TypeError):
        return False


def _chosen_freely(machine):
    """Nobody said which network the node IP shall be of: the subnets are the wildcards that Talos sets."""
    spec = machine.resource('NodeIPConfigs', 'kubelet') or {}
    return set(map(str, spec.get('validSubnets') or [])) <= set(_WILDCARDS)


def _of_kubespan(machine, address):
    """Whether it stands on the link of KubeSpan, which leads to the other Nodes as well."""
    return any((item.get('spec') or {}).get('linkName') == 'kubespan' and normal((item.get('spec') or {}).get('address')) == address
               for item in machine.value('AddressStatuses') or [])


def _routed(machine):
    """Its own addresses, without those of pods and services."""
    return [normal(address) for address in (machine.resource('NodeAddresses', 'routed-no-k8s') or {}).get('addresses') or []]


def _better(view, node, machine):
    """The network in which all other Nodes have their InternalIP, and this machine an address, but not its InternalIP; else None."""
    mine = _internal(node)
    families = {ipaddress.ip_address(address).version for address in mine if is_ip(address)}
    for prefix in (machine.resource('NodeAddresses', 'routed-no-k8s') or {}).get('addresses') or [] if machine is not None else ():
        try:
            network = ipaddress.ip_interface(str(prefix)).network
        except ValueError:
            continue
        if network.version not in families or network.num_addresses == 1 or any(_inside(a, network) for a in mine):
            continue
        others = [addresses for other in view.kubernetes.nodes or [] if other is not node for addresses in [_internal(other)] if addresses]
        if len(others) > 1 and all(any(_inside(a, network) for a in addresses) for addresses in others):
            return str(network)
    return None


def _internal(node):
    return {normal(a.get('address')) for a in node.get('addresses') or [] if a.get('type') == 'InternalIP'}


# -- KUB-7 ------------------------------------------------------------------------------------------------------

def external_ip(view):
    """ExternalIPs are told, never judged: Talos does not manage them."""
    early = no_cluster(view)
    if early:
        return early
    if not view.kubernetes.read:
        return not_applicable('cluster', 'Talos does not manage external addresses, and the Nodes were not read')
    holders = {}
    for node in in_order(view):
        for address in node.get('addresses') or []:
            if address.get('type') == 'ExternalIP':
                holders.setdefault(normal(address.get('address')), []).append(node)
    shared = {address: nodes for address, nodes in sorted(holders.items()) if len(nodes) > 1}
    waiting = [node for node in in_order(view)
               if any(taint.get('key') == 'node.cloudprovider.kubernetes.io/uninitialized' for taint in node.get('taints') or [])]
    outcomes = [_external(f'address {address}', f'{listed(node["name"] for node in nodes)} have the same ExternalIP {address}', nodes, view)
                for address, nodes in shared.items()]
    outcomes += [_external(node['name'], f'Node {node["name"]} waits for the cloud controller manager, which sets its addresses', [node], view)
                 for node in waiting]
    return outcomes or (ok('cluster') if holders else not_applicable('cluster', 'no Node has an ExternalIP'))


def _external(subject, title, nodes, view):
    machines = [machine for machine in map(view.kubernetes.machine_of, nodes) if machine is not None]
    return info(subject, title, 'Talos does not manage external addresses; the Kubernetes cloud controller manager does.',
                'Look at the cloud controller manager, and at what the cloud says of these machines.', nodes=[machine.key for machine in machines],
                evidence=[of_node(node, f'addresses: {listed(str(a.get("address")) for a in node.get("addresses") or [])}') for node in nodes])


_READS = ('NodeIPs', 'NodeIPConfigs', 'NodeAddresses', 'AddressStatuses', 'NodeAddressFilters', 'MachineStatuses')

CHECKS = (
    Check('kubelet.node_ip_missing', INTERNAL, 'Talos has an address for every kubelet', node_ip_missing, each=ALL, needs=('NodeIPs',),
          reads=(*_READS, 'ServiceList'), logs=('machined', 'controller-runtime'), catalogue='KUB-6'),
    Check('kubelet.internal_ip_wrong', INTERNAL, 'Every Node has the right InternalIP', internal_ip_wrong,
          reads=(*_READS, 'KubeletSpecs', 'MachineConfigs', 'Members'), logs=('machined', 'controller-runtime', 'kubelet'), cluster_reads=('nodes',),
          catalogue='KUB-6', sharpens=True),
    Check('kubelet.external_ip', EXTERNAL, 'What the Nodes have for ExternalIPs', external_ip, cluster_reads=('nodes',), catalogue='KUB-7'),
)
