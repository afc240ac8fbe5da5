# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pods there are in a simulated cluster: the default ones of kube-system, and those of which the scenario speaks."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from datetime import timedelta

from tests.simulator import kubernetes_nodes as nodes
from tests.simulator.kubernetes_objects import suffix, uid
from tests.simulator.values import duration

SYSTEM = 'kube-system'
APPROVER = 'kubelet-serving-cert-approver'
_TOLERATED = timedelta(minutes=5)
_TOLD_NAME = re.compile(r'^(?P<name>\S+?)(?: \((?P<node>\S+)\))?$')
# Static pods with what they request, as Talos makes them.
_STATIC = {'kube-apiserver': ('200m', '512Mi'), 'kube-controller-manager': ('50m', '256Mi'), 'kube-scheduler': ('10m', '64Mi')}
_WAITS_WHILE_RUNNING = ('CrashLoopBackOff',)


@dataclass(frozen=True)
class Workload:
    """C(kind) is Node (static pods), DaemonSet or Deployment; C(label) the value of k8s-app; C(start) how long a start takes;
    C(requests) cpu and memory that its container requests."""

    name: str
    kind: str
    image: str
    label: str
    replicas: int = 0
    namespace: str = SYSTEM
    init: str = ''
    host_network: bool = True
    hash: str = ''
    requests: tuple = ()
    start: timedelta = timedelta(seconds=3)
    main: str = ''

    @property
    def container(self):
        """The name of its container."""
        return self.main or self.name


@dataclass(frozen=True)
class Pod:
    """One pod: C(node) is the name of its Node, None while nothing carries it; C(told) is what the scenario says of it."""

    name: str
    workload: Workload
    node: str | None
    created: object
    uid: str
    told: dict = field(default_factory=dict)

    @property
    def phase(self):
        if 'phase' in self.told:
            return self.told['phase']
        pending = self.told.get('waiting') and self.told['waiting'] not in _WAITS_WHILE_RUNNING
        return 'Pending' if pending or self.node is None else 'Running'


def workloads(model):
    """The workloads of this cluster; kube-flannel only where it is the CNI, of another CNI its DaemonSet (none: its own business)."""
    version, cni = model.state['versions']['kubernetes'], model.state['network']['cni']
    found = [Workload(name, 'Node', f'registry.k8s.io/{name}:{version}', name, requests=requests) for name, requests in _STATIC.items()]
    found.append(Workload('coredns', 'Deployment', 'registry.k8s.io/coredns/coredns:v1.14.6', 'kube-dns', replicas=2, host_network=False,
                          hash='66b7c65bb', requests=('100m', '70Mi')))
    if cni == 'flannel':
        found.append(Workload('kube-flannel', 'DaemonSet', 'ghcr.io/siderolabs/flannel:0.28.8', 'flannel', init='install-config',
                              hash='8574c89d45', start=timedelta(seconds=5),
                              requests=('100m', '50Mi')))
    elif cni not in ('none', 'custom', None):
        found.append(Workload(cni, 'DaemonSet', f'quay.io/{cni}/{cni}:stable', cni, hash=suffix(cni, 10)))
    found += _installed(model)
    if model.setup.get('kube_proxy') is not False:
        found.append(Workload('kube-proxy', 'DaemonSet', f'registry.k8s.io/kube-proxy:{version}', 'kube-proxy', hash='8d4d854b7'))
    if model.state['k8s'].get('approver_installed'):
        found.append(Workload(APPROVER, 'Deployment', 'ghcr.io/alex1989hu/kubelet-serving-cert-approver:0.10.0', APPROVER, replicas=1,
                              namespace=APPROVER, host_network=False, hash=suffix(APPROVER, 10)))
    return found


def _installed(model):
    """What the owner of the cluster installed himself: a CNI, a cloud controller manager."""
    found, cni, cloud = [], model.setup.get('cni'), model.setup.get('cloud_provider')
    if cni == 'cilium':
        found.append(Workload('cilium', 'DaemonSet', 'quay.io/cilium/cilium:v1.18.4', 'cilium', init='config', hash=suffix('cilium', 10),
                              start=timedelta(seconds=8), main='cilium-agent'))
        found.append(Workload('cilium-operator', 'Deployment', 'quay.io/cilium/operator-generic:v1.18.4', 'cilium-operator', replicas=2,
                              hash=suffix('cilium-operator', 10)))
    if cni == 'calico':
        found.append(Workload('calico-node', 'DaemonSet', 'quay.io/calico/node:v3.31.2', 'calico-node', init='install-cni', hash=suffix('calico', 10),
                              start=timedelta(seconds=8)))
        found.append(Workload('calico-kube-controllers', 'Deployment', 'quay.io/calico/kube-controllers:v3.31.2', 'calico-kube-controllers', replicas=1,
                              host_network=False, hash=suffix('calico-kube-controllers', 10)))
    if cloud:
        name = f'{cloud["name"]}-cloud-controller-manager'
        found.append(Workload(name, 'Deployment', f'docker.io/example/{name}:v1.26.0', name, replicas=1, hash=suffix(name, 10)))
    return found


def pods(model):
    """Every pod, told ones in the place of those that they are about."""
    told, known = _told(model), workloads(model)
    found = []
    for workload in known:
        for number, node in enumerate(_places(model, workload)):
            name, spec = _take(told, workload, node)
            found.append(_pod(model, workload, node, number, name, spec))
    whole = {(workload.name, None) for workload in known}
    for (name, node), spec in told.items():
        if (name, node) in whole:
            continue
        workload = _workload_of(model, name) or Workload(_base(name), 'Pod', f'example.org/{_base(name)}:latest', _base(name))
        if spec.get('node_gone') or node is None or node in model.kubernetes_nodes:
            found.append(_pod(model, workload, node, name, name, spec))
    return [pod for pod in found if pod is not None]


def _told(model):
    """{(name, node or None): what is said}. k8s.kube_system may say it too, by name or workload; a text is a phase or why it waits."""
    listed = {}
    for key in ('kube_system', 'pods'):
        value = model.state['k8s'].get(key)
        listed |= value if isinstance(value, dict) else {}
    found = {}
    for key, value in listed.items():
        match = _TOLD_NAME.match(key)
        found[match['name'], match['node']] = dict(value or {}) if not isinstance(value, str) else _said(value)
    return found


def _said(text):
    return {'phase': text} if text in ('Pending', 'Running', 'Succeeded', 'Failed', 'Unknown') else {'waiting': text}


def _take(told, workload, node):
    """(name, what is said) of the told pod that stands in this place; its entry is used up, unless it is about the whole workload."""
    for (name, on), spec in told.items():
        if on == node and _is_of(name, workload, node) or on is None and name == f'{workload.name}-{node}':
            del told[name, on]
            return name if name != workload.name else None, spec
    return None, told.get((workload.name, None), {})


def _is_of(name, workload, node):
    return name == workload.name or name.startswith(f'{workload.name}-') and (workload.kind != 'Node' or name == f'{workload.name}-{node}')


def _places(model, workload):
    """The Nodes that carry one pod of the workload each; None where nothing can carry it."""
    if model.state['k8s'].get('kube_system') in ([], 'none') and workload.namespace == SYSTEM:
        return []
    if workload.kind == 'DaemonSet':
        return list(model.kubernetes_nodes)
    if workload.kind == 'Node':
        return [name for name in model.kubernetes_nodes if nodes.is_control_plane(model, name)]
    if not model.kubernetes_nodes:
        return []
    able = [name for name in model.kubernetes_nodes if _carries(model, name)]
    able.sort(key=lambda name: nodes.is_control_plane(model, name))
    workers = [name for name in able if not nodes.is_control_plane(model, name)] or able
    asked = [on for name, on in _told(model) if on in model.kubernetes_nodes and name.startswith(f'{workload.name}-')]
    places = asked + [name for name in workers if name not in asked] or [None]
    return (places * workload.replicas)[:workload.replicas]


def _carries(model, name):
    """A pod stays on a Node that fell silent for five minutes."""
    ready, since = nodes.readiness(model, model.kubernetes_nodes[name])
    if ready == nodes.TRUE:
        return nodes.details(model.kubernetes_nodes[name]).get('schedulable', True)
    return ready == nodes.UNKNOWN and since is not None and model.clock.now() - since < _TOLERATED


def _workload_of(model, name):
    return max((one for one in workloads(model) if _is_of(name, one, name.removeprefix(f'{one.name}-'))),
               key=lambda one: len(one.name), default=None)


def _base(name):
    """The workload of a pod of another name: without the end that was generated for it."""
    return re.sub(r'(-[0-9a-f]{8,10})?-[0-9a-z]{3,5}$', '', name)


def _pod(model, workload, node, number, name, told):
    """None when it was deleted and nothing makes it anew; a workload makes another one in its place."""
    slot, turn = f'{workload.namespace}/{workload.name}/{node}{model.kubernetes.registrations.get(node, "")}/{number}', 0
    while uid(f'{model.seed}/pod/{slot}/{turn}') in model.kubernetes.deleted:
        turn += 1
    if turn and workload.kind == 'Pod':
        return None
    own = uid(f'{model.seed}/pod/{slot}/{turn}')
    if workload.kind == 'Node':
        name = f'{workload.name}-{node}'
    elif name is None or turn:
        name = '-'.join(part for part in (workload.name, workload.hash if workload.kind == 'Deployment' else '', suffix(own)) if part)
    born = model.kubernetes.deleted.get(uid(f'{model.seed}/pod/{slot}/{turn - 1}')) or _born(model, workload, node, told)
    return Pod(name, workload, node, born, own, told)


def _born(model, workload, node, told):
    if told.get('age'):
        return model.clock.wall - duration(told['age'])
    if node in model.kubernetes_nodes:
        return min(nodes.created(model, node) + workload.start, model.clock.now())
    return min(model.bootstrapped_at + timedelta(minutes=1), model.clock.now())


def ip(model, pod):
    """The pod's address: its Node's in the host's network, else one of the Node's pod network."""
    if pod.node is None:
        return None
    if pod.workload.host_network:
        return nodes.internal_ip(model, pod.node, model.kubernetes_nodes.get(pod.node, 'Ready'))
    node = model.node_named(pod.node)
    if not (node and node.pod_cidr):
        return None
    network = ipaddress.ip_network(node.pod_cidr)
    return str(network.network_address + 2 + int(pod.uid[:4], 16) % min(network.num_addresses - 3, 250))
