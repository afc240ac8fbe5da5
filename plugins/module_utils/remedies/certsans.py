# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names are missing from the certificates of control plane nodes, and when they may be added (users.md 5: certSANs patch), pure.

There are two lists. C(machine) is machine.certSANs, for apid on port 50000; C(api_server) is cluster.apiServer.certSANs, from
1.14 on perhaps in a document KubeAPIServerConfig, for the Kubernetes API server.
"""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubernetes_api_common import endpoint as kubernetes_endpoint
from ansible_collections.talosops.talos.plugins.module_utils.guide.talos_api_endpoints import LOCAL, own_names, real_control_planes
from ansible_collections.talosops.talos.plugins.module_utils.judge import managers
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from ansible_collections.talosops.talos.plugins.module_utils.remedies.config_moved import API_SERVER
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import WORKER

MACHINE, KUBERNETES = 'machine', 'api_server'
LISTS = (MACHINE, KUBERNETES)
PATHS = {MACHINE: 'machine.certSANs', KUBERNETES: 'cluster.apiServer.certSANs'}
REMEDY = 'talos_certsans'

READS = (*preconditions.READS, 'certificate', 'CertSANs', 'NodeAddresses', 'NodeIPConfigs', 'NodeAddressFilters', 'HostnameStatuses', 'KubePrismEndpoints',
         'APIServerConfigs', 'SiderolinkStatuses', 'MachineConfigs')
CLUSTER_READS = ('endpoint',)

_DNS = re.compile(r'(?=.{1,253}$)(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*')
_NOWHERE = ('0.0.0.0', '::')
CERTIFICATE = {MACHINE: 'certificate', KUBERNETES: 'apiserver_certificate'}
RESOURCE = {MACHINE: 'api', KUBERNETES: 'k8s'}


def missing(view, names, lists=LISTS, nodes=None):
    """C({label: {list: [names]}}) of what a control plane node's certificates neither have nor are configured to have; {} where all is there.

    What could not be read counts as missing: C(against) then speaks against it.
    """
    found = {}
    for machine in targets(view, nodes):
        lacking = {one: [name for name in dict.fromkeys(map(normal, names)) if not covered(has(view, machine, one) or (), name)] for one in lists}
        if any(lacking.values()):
            found[machine.label] = {one: left for one, left in lacking.items() if left}
    return found


def targets(view, nodes=None):
    """The control plane nodes that are meant, which are all without C(nodes)."""
    wanted = None if nodes is None else {normal(one) for one in nodes}
    return [machine for machine in real_control_planes(view) if wanted is None or wanted & _called(machine)]


def against(view, names, lists=LISTS, nodes=None, resolved=None, without=()):
    """The reasons why these names are not added now, as ends of sentences; none where they may be.

    C(resolved) is {name: [addresses]} of what was looked up; without it only the names that the snapshot knows may be added. For a
    plan, C(without) are ids of members of etcd that will have been removed.
    """
    reasons = [*(f'{owner} manages this cluster, and would undo it' for owner in managers.of(view) if REMEDY in managers.OWNED[owner])]
    reasons += of_nodes(view, nodes)
    for name in dict.fromkeys(map(normal, names)):
        reasons += _of_name(view, name, lists, (resolved or {}).get(name))
    for machine in targets(view, nodes):
        reasons += _own_address(view, machine)
        reasons += [f'which names {PATHS[one]} of {machine.label} has is not known ({_unseen(machine, one)})'
                    for one in lists if machine.answered and has(view, machine, one) is None]
    return [*reasons, *preconditions.planes_answer(view, without), *preconditions.calm(view), *preconditions.one_list(view),
            *preconditions.members_healthy(view, without)]


def covered(names, wanted):
    """Whether a certificate with these names is valid for a name (RFC 6125)."""
    wanted = normal(wanted)
    parent = wanted.partition('.')[2] if not is_ip(wanted) else ''
    return wanted in names or bool(parent) and f'*.{parent}' in names


def has(view, machine, one):
    """The names of a list that a machine's certificate has, or is configured to have; None where neither could be seen."""
    served, configured = served_names(machine, one), configured_names(machine, one)
    return None if served is None and configured is None else (served or set()) | (configured or set())


def served_names(machine, one):
    """The names in the certificate that the machine serves, or will at once; None where it was not seen."""
    facts = machine.value(CERTIFICATE[one])
    if facts is not None:
        return {normal(name) for name in (facts.get('dns') or []) + (facts.get('ips') or [])}
    told = machine.resource('CertSANs', RESOURCE[one])
    if told is not None:
        return {normal(name) for name in (told.get('dnsNames') or []) + (told.get('ips') or [])}
    return None


def configured_names(machine, one):
    """The names in the machine's configuration, None where that was not read."""
    told = machine.resource('MachineConfigs', 'v1alpha1')
    if told is None:
        return None
    config, names = told.get('v1alpha1') or {}, []
    if one == MACHINE:
        names = (config.get('machine') or {}).get('certSANs') or []
    else:
        names = list(((config.get('cluster') or {}).get('apiServer') or {}).get('certSANs') or [])
        for document in (told.get('others') or {}).get(API_SERVER) or []:
            names += document.get('certExtraSANs') or []
    return {normal(name) for name in names}


# -- reasons --------------------------------------------------------------------------------------------------------

def of_nodes(view, nodes):
    planes = real_control_planes(view)
    if not planes:
        return ['no control plane node is known']
    reasons = []
    for text in nodes or ():
        machine = next((one for one in view.snapshot.machines if normal(text) in _called(one)), None)
        if machine is None:
            reasons.append(f'no machine of the cluster is {text}')
        elif machine not in planes:
            reasons.append(f'{text} is a worker: clients dial neither its apid nor an API server there')
    return reasons


def _of_name(view, name, lists, addresses):
    if not is_ip(name) and not _DNS.fullmatch(name):
        return [f'{name} is neither a DNS name nor an address']
    if name in (*LOCAL, *_NOWHERE):
        return [f'{name} names the machine itself, and stands in the certificates without anybody\'s doing']
    virtual = {normal(vip) for vip in view.vips}
    known = [*_known(view, name), *(normal(one) for one in addresses or ())]
    reasons = []
    workers = sorted({machine.label for machine in view.snapshot.machines if machine.type == WORKER and {name, *known} & _called(machine)})
    if workers:
        reasons.append(f'{name} leads to {", ".join(workers)}, which is a worker')
    if MACHINE in lists and not view.vips_known:
        reasons.append(f'whether {name} is the virtual IP is not known (NodeIPConfigs was not read)')
    elif MACHINE in lists and {name, *known} & virtual:
        reasons.append(f'{name} is the virtual IP{"" if name in virtual else " by its address"}, which the guide forbids as an endpoint of the Talos API: '
                       'it is there only while etcd is, so it does not help when something is wrong')
    networks = [network for network in view.kubernetes_networks for one in {name, *known} if is_ip(one) and _inside(one, network)]
    if networks:
        reasons.append(f'{name} lies in {networks[0]}, a network of pods or services: the networks conflict, and a name in a certificate hides that')
    return reasons or _not_dialled(view, name, lists, addresses)


def _not_dialled(view, name, lists, addresses):
    """Nobody is to be named by a certificate who is not dialled under the name."""
    if {name, *(addresses or ())} & {one for machine in real_control_planes(view) for one in _called(machine)}:
        return []
    if name in {normal(one.host) for one in view.snapshot.endpoints} and MACHINE in lists:
        return _answered(view, name)
    found = kubernetes_endpoint(view)
    probed = view.kubernetes.datum('endpoint').value if view.kubernetes.datum('endpoint').ok else {}
    if KUBERNETES in lists and name in {normal(one) for one in (found and found.host, (probed or {}).get('host')) if one}:
        return []
    if any(name in (configured_names(machine, one) or ()) for machine in real_control_planes(view) for one in lists):
        return []
    if addresses:
        virtual = {normal(vip) for vip in view.vips}
        dialled = {normal(one) for each in view.snapshot.endpoints for one in (each.host, *each.addresses)}
        if {normal(one) for one in addresses} & (virtual | dialled):
            return []
        return [f'{name} leads to {", ".join(addresses)}, which is neither a control plane node nor an endpoint of the talosconfig or of Kubernetes']
    return [f'nobody dials {name}: it is no endpoint of the talosconfig, not the endpoint of Kubernetes, and leads to no control plane node from here']


def _answered(view, name):
    """What answers at an endpoint is a control plane node of this cluster: it connects, or it shows the certificate of one."""
    served = {(machine.value('certificate') or {}).get('sha256') for machine in real_control_planes(view)} - {None}
    ends = [one for one in view.snapshot.endpoints if normal(one.host) == name]
    if any(one.connected or (one.certificate or {}).get('sha256') in served or (one.error or {}).get('kind') == 'wrong_name' for one in ends):
        return []
    said = next((str(one.error['text']).rstrip('.') for one in ends if one.error), 'it was not dialled')
    return [f'no control plane node was seen to answer under {name} ({said})']


def _own_address(view, machine):
    """A certificate that names no address of its machine has another fault, which a further name would only hide."""
    if not machine.answered:
        return []  # that is a reason by itself
    served = served_names(machine, MACHINE)
    if served is None:
        return [f'which names the certificate of {machine.label} has is not known ({_unseen(machine, MACHINE)})']
    own = {one for one in _called(machine) if is_ip(one)} - {normal(vip) for vip in view.vips} - set(LOCAL)
    if own & served:
        return []
    return [f'the certificate of {machine.label} names none of its own addresses ({", ".join(sorted(own)) or "none is known"}), as where they conflict with '
            'the networks of pods and services: that is to be repaired, not covered by a name']


def _unseen(machine, one):
    return f'{CERTIFICATE[one]}: {machine.datum(CERTIFICATE[one]).why()}'


def _known(view, name):
    """What a name is known to lead to."""
    found = [address for one in view.snapshot.endpoints if normal(one.host) == name for address in one.addresses]
    endpoint = kubernetes_endpoint(view)
    if endpoint is not None and normal(endpoint.host) == name:
        found += endpoint.addresses
    return [normal(address) for address in found]


def _inside(text, network):
    address = ipaddress.ip_address(normal(text))
    return address.version == network.version and address in network


def _called(machine):
    return {normal(one) for one in (machine.name, machine.address, *machine.addresses, *own_names(machine)) if one}
