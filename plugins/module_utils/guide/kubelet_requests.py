# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of certificate requests share: who asks, whose request it is, and who is there to approve it (KUB-5)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import external_addresses
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Evidence
from ansible_collections.talosops.talos.plugins.module_utils.judge.csr_rules import CLIENT, Owner, asked_name, node_name, states
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import condition
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

CSR_SECONDS = 'kubelet_csr_pending_seconds'
_APPROVER = re.compile(r'csr-approver|cert-approver|talos-cloud-controller-manager')


def wanted_name(csr):
    """The name of the Node that a request is about: of the one who asks, or that a bootstrap token asks for."""
    return asked_name(csr) if csr.get('signer') == CLIENT else node_name(csr)


def newest(csrs, signer):
    """The requests for this signer, of each Node the newest only: the kubelet waits for that one."""
    found = {}
    for csr in csrs:
        if csr.get('signer') == signer:
            key = wanted_name(csr) or csr.get('name')
            if key not in found or _place(csr) > _place(found[key]):
                found[key] = csr
    return [found[key] for key in sorted(found)]


def _place(csr):
    return str(csr.get('created')), str(csr.get('name'))


def waiting_since(csr, csrs):
    """When the first of the requests that led to this one was made: a kubelet asks again after a quarter of an hour."""
    mine = [other for other in csrs if other.get('signer') == csr.get('signer') and wanted_name(other) == wanted_name(csr)]
    since = csr.get('created')
    for other in sorted(mine, key=_place, reverse=True):
        if other.get('issued') or 'Approved' in states(other):
            break
        since = min(str(since), str(other.get('created')))
    return parse_time(since)


def machine_named(view, name):
    """The machine that Talos knows by this Node name, None where there is none: a Node alone is no machine."""
    node = next((node for node in view.kubernetes.nodes or [] if node['name'] == name), None)
    machine = view.kubernetes.machine_of(node) if node else None
    if machine is None or not _known_to_talos(machine):
        machine = next((each for each in view.snapshot.machines if _known_to_talos(each) and name in _names(each)), None)
    return machine


def _known_to_talos(machine):
    return machine.answered or bool({'discovery', 'etcd'} & set(machine.known_from))


def _names(machine):
    """Its host name, short and full, and its Node name."""
    spec = machine.resource('HostnameStatuses', 'hostname') or {}
    hostname, domain = spec.get('hostname'), spec.get('domainname')
    nodename = (machine.resource('Nodenames', 'nodename') or {}).get('nodename')
    return {name for name in (machine.name, nodename, hostname, f'{hostname}.{domain}' if hostname and domain else None) if name}


def owner_of(view, machine, name):
    """The Owner (judge/csr_rules.py) of a Node's request, None where Talos knows no machine of that name."""
    if machine is None:
        return None
    node = next((node for node in view.kubernetes.nodes or [] if node['name'] == name), None)
    granted = set()
    if node is not None:
        outside = external_addresses(view, node, machine)
        granted = {a.get('address') for a in node.get('addresses') or [] if a.get('type') not in ('InternalIP', 'Hostname') or outside}
    if not machine.answered:
        return Owner(granted=frozenset(granted))
    return Owner(own_addresses(view, machine), frozenset(_names(machine)), frozenset(granted))


def own_addresses(view, machine):
    """Every address that the machine has on its links or lists as its own, virtual ones left out; None where that was not read."""
    statuses, listed = machine.value('AddressStatuses'), machine.value('NodeAddresses')
    if statuses is None and listed is None:
        return None
    found = {normal((item.get('spec') or {}).get('address')) for item in statuses or []}
    found |= {normal(address) for item in listed or [] for address in (item.get('spec') or {}).get('addresses') or []}
    return frozenset(found - {normal(vip) for vip in view.vips} - {''})


def api_names(view):
    """Virtual addresses and the hosts of the API's endpoint, which no kubelet may be certified for."""
    found = set(view.vips)
    servers = [view.snapshot.kubernetes.get('server')]
    for machine in view.answering_control_planes:
        config = (machine.resource('MachineConfigs') or {}).get('v1alpha1') or {}
        servers.append(((config.get('cluster') or {}).get('controlPlane') or {}).get('endpoint'))
    for server in servers:
        try:
            host = urlsplit(server or '').hostname
        except ValueError:
            host = None
        if host:
            found.add(host)
    return frozenset(found)


def rotates(machine):
    """Whether its kubelet asks the API server for its serving certificate; None where that was not read (os:admin)."""
    spec = machine.resource('KubeletSpecs', 'kubelet')
    if not isinstance(spec, dict):
        return None
    told = [arg.partition('=')[2] for arg in spec.get('args') or [] if str(arg).startswith('--rotate-server-certificates')]
    if told:
        return told[-1].lower() != 'false'
    return bool((spec.get('config') or {}).get('serverTLSBootstrap'))


def approver_evidence(view):
    """(sentence, evidence): is somebody there who approves serving requests, and does it work? Both empty where that was not read."""
    pods, deployments = view.kubernetes.pods, view.kubernetes.listed('deployments')
    if pods is None:
        return '', []
    mine = [pod for pod in pods if _APPROVER.search(pod['name'])]
    for pod in mine:
        for container in pod['containers']:
            last = container.get('last') or {}
            if condition(pod, 'Ready').get('status') != 'True' and (container['reason'] or last.get('reason')):
                why = ', '.join(str(part) for part in dict.fromkeys((container['reason'], last.get('reason'))) if part)
                return (f'An approver is installed and does not run: {pod["name"]} ({why}, {container["restarts"]} restarts).',
                        [Evidence(f'{pod["namespace"]}/{pod["name"]}: {why}, {container["restarts"]} restarts', 'Kubernetes pods', pod['node'])])
    if mine or any(_APPROVER.search(each['name']) for each in deployments or []):
        return 'An approver is installed and has not approved it: read its log.', []
    return 'No approver was seen: with rotate-server-certificates one is needed, or a person who approves.', []


def is_approver(pod):
    """Whether a pod is of something that approves serving requests."""
    return bool(_APPROVER.search(pod['name']))
