# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster as a scenario describes it: its machines, discovery, what Kubernetes knows. No network here."""

from __future__ import annotations

import base64
import copy
import functools
import hashlib
import ipaddress
import time
from dataclasses import replace

from tests.bed import pki
from tests.simulator import foreign, lifecycle, setup
from tests.simulator import scenario as scenarios
from tests.simulator import values
from tests.simulator.timeline import Timeline
from tests.simulator.etcd import Etcd
from tests.simulator.kubernetes_store import Store
from tests.simulator.node import Affiliate, Node, identity


class Model:
    """A cluster as a scenario describes it. C(platform) is metal or container: what the nodes run on.

    C(kubeconfig) is what makes one, C(control_plane) the real Kubernetes or None; who serves the model sets them. C(encoded)
    keeps the bytes of resources. Who changes the state calls C(changed). C(machines) are those of C(nodes) and the foreign ones, by name.
    """

    kubeconfig = None
    control_plane = None

    def __init__(self, scenario, name=None, platform='metal', loopback=True, shift=0, wall=None, pace=1.0):
        state = copy.deepcopy(scenario.state)
        self.clock = values.Clock(state.get('now'), wall, setup.ahead(state['setup'].get('control_node_clock')))
        self._mapping = (shift, _second_numbers(state)) if loopback else None
        self.state = scenarios.mapped(state, *self._mapping) if loopback else state
        self.setup = self.state['setup']
        self.expected = scenario.expected
        self.name = name or self.setup.get('cluster_name') or scenario.name
        self.platform = platform
        self.seed = self.name
        topology = self.state['topology']
        machines = [(name, address, True) for name, address in topology['cp'].items()]
        machines += [(name, address, False) for name, address in topology['workers'].items()]
        self.encoded = {}
        self._derived = {}
        self.dirty = False
        self.timeline = Timeline(pace)
        self.watchers = []
        self.nodes = {}
        for number, (node, address, control_plane) in enumerate(machines):
            self.nodes[node] = Node(self, node, str(address), control_plane, number)
        self.neighbours = []
        self.machines = dict(self.nodes)
        self.etcd = _etcd(self)
        self.kubernetes = Store(self)
        lifecycle.begin(self)
        foreign.settle(self)

    def original(self, value):
        """A text, or lists and mappings of them, with the addresses that the scenario itself has."""
        return scenarios.unmapped(value, *self._mapping) if self._mapping else value

    def changed(self):
        """The state is another: what was derived from it is made anew."""
        self.encoded.clear()
        self._derived.clear()
        self.dirty = True

    def derived(self, key, make, seconds=None):
        """What C(make()) gives, made once until the state changes, or until so many seconds have passed."""
        at, found = self._derived.get(key, (None, None))
        if at is None or seconds is not None and time.monotonic() - at > seconds:
            at, found = time.monotonic(), make()
            self._derived[key] = at, found
        return found

    def tell(self, what, node):
        """Tell C(watchers) (callables with what and the machine) of gone, booted, kubelet and bootstrapped."""
        for watcher in self.watchers:
            watcher(what, node)

    @functools.cached_property
    def talos_authority(self):
        return pki.Authority('talos')

    @property
    def kubernetes_port(self):
        return int(self.state['network']['endpoint'].rsplit(':', 1)[1])

    @property
    def cluster_id(self):
        return _base64(hashlib.sha256(f'cluster/{self.seed}'.encode()).digest())

    @property
    def encryption_key(self):
        return hashlib.sha256(f'encryption/{self.seed}'.encode()).digest()

    @property
    def vip(self):
        vip = self.state['network'].get('vip')
        return None if vip in (None, 'none') else vip

    @property
    def vip_holder(self):
        return self.nodes.get(self.state['network']['vip_holder']) if self.vip else None

    @property
    def control_planes(self):
        return [node for node in self.nodes.values() if node.control_plane]

    @property
    def bootstrapped_at(self):
        given = self.state.get('bootstrapped')
        return self.clock.at(given['at']) if given else min(node.boot for node in self.nodes.values())

    @functools.cached_property
    def kubernetes_authority(self):
        """The CA of Kubernetes, which also signs what kubelets ask for."""
        return pki.Authority('kubernetes', key='ecdsa')

    @property
    def kubernetes_ran(self):
        return self.state['k8s']['api'] != 'never up' and bool(self.etcd.ids)

    @property
    def kubernetes_nodes(self):
        """name: Ready or a mapping, as scenarios write it; all machines without word of them. Deleted ones are gone."""
        return self.kubernetes.nodes(self.listed_nodes)

    @property
    def listed_nodes(self):
        """The same as the scenario began with."""
        listed = self.state['k8s'].get('nodes')
        if listed is None:
            return dict.fromkeys(self._by_node_name, 'Ready') if self.kubernetes_ran else {}
        return listed

    def kubernetes_api(self, node):
        """'up' or 'refused': kube-apiserver of a control plane node. Talos starts none where etcd does not run (talos-api 6.6)."""
        told = self.state['k8s']['api']
        runs = self.kubernetes_ran and node.service('etcd')[0] == 'Running' and node.service('kubelet')[0] == 'Running'
        if isinstance(told, dict) and not node.happened:
            return told.get(node.name, 'refused')
        told = told.get(node.name) if isinstance(told, dict) else told
        return 'up' if told == 'up' and runs else 'refused'

    def is_kubernetes_ready(self, node):
        """Whether /readyz of this node's API server answers that it is: it needs etcd with a quorum."""
        return self.kubernetes_api(node) == 'up' and self.etcd.runs(node) and self.etcd.has_quorum(node)

    @property
    def balancer_address(self):
        """Where the balancer of network.lb listens: the address of the endpoint, or of its name; None without one."""
        if not self.state['network'].get('lb'):
            return None
        return ((self.setup.get('names') or {}).get(self.endpoint_host) or [self.endpoint_host])[0]

    @property
    def endpoint_host(self):
        """The host of the cluster's endpoint, without brackets."""
        return self.state['network']['endpoint'].split('://')[-1].rsplit(':', 1)[0].strip('[]')

    def hostname(self, name, address):
        """Two machines with one name: the other name of a machine whose address discovery.duplicates gives to it."""
        for duplicate, addresses in (self.state['discovery'].get('duplicates') or {}).items():
            if address in addresses:
                return duplicate
        return (self.setup.get('hostnames') or {}).get(name, name)

    def node_at(self, address):
        """The machine that has this address of its own, or holds the VIP that it is; None else."""
        for node in self.nodes.values():
            if address == node.address:
                return node
        if self.vip and address == self.vip:
            return self.vip_holder
        return next((node for other in self.neighbours for node in other.nodes.values() if address == node.address), None)

    def node_named(self, name):
        """The machine whose Node has this name, None without one."""
        return self._by_node_name.get(name)

    @functools.cached_property
    def _by_node_name(self):
        return {node.nodename: node for node in self.nodes.values()}

    def affiliates_of(self, node):
        """What discovery shows on this machine, by node id; nothing, not even itself, where it is off (edge-cases 30)."""
        if (self.setup.get('discovery') or {}).get('enabled') is False:
            return []
        discovery = self.state['discovery']
        names = discovery.get(node.name, discovery.get('all_nodes_see'))
        names = tuple(self.nodes) if names is None else tuple(names)
        return self.derived(('affiliates', names), lambda: self._affiliates(names), seconds=1.0)

    def _affiliates(self, names):
        discovery = self.state['discovery']
        seen = [self.nodes[name].affiliate if name in self.nodes else self._stranger(name) for name in names]
        seen += [self._stranger(name, extra.get('addresses'), extra.get('age')) for name, extra in (discovery.get('extra') or {}).items()]
        for name, addresses in (discovery.get('duplicates') or {}).items():
            known = {address for affiliate in seen if affiliate.name == name for address in affiliate.addresses}
            seen += [self._stranger(name, [address]) for address in addresses if address not in known]
        if 'addresses' in discovery:
            seen = [replace(one, addresses=tuple(discovery['addresses'] or ()), fqdn=False) for one in seen]
        return sorted({one.node_id: one for one in seen}.values(), key=lambda one: one.node_id)

    def _stranger(self, name, addresses=None, age=None):
        """A machine that discovery knows and the topology does not; C(age): since when, from the start without it."""
        if addresses is None:
            address = self.address_of(name)
            addresses = [address] if address else []
        talos = self.state['versions']['talos']
        control_plane = name in self.state['etcd']['members']
        since = self.clock.wall - values.duration(age) if age else None
        return Affiliate(identity(self.seed, name, addresses), name, tuple(addresses), control_plane, talos, since=since)

    def address_of(self, name):
        """The address of a machine, or of a name that only etcd or Kubernetes knows; None without one."""
        if name in self.nodes:
            return self.nodes[name].address
        listed = (self.state['k8s'].get('nodes') or {}).get(name)
        by_kubernetes = listed.get('internal_ip') if isinstance(listed, dict) else None
        return (self.state['etcd'].get('member_addresses') or {}).get(name) or by_kubernetes


def _etcd(model):
    """The modelled etcd, or where the scenario says so processes of the real one."""
    if not model.state['etcd'].get('real'):
        return Etcd(model)
    from tests.simulator.etcd_real import RealEtcd  # needs grpcio and a built etcd, which only these scenarios do
    return RealEtcd(model)


def _second_numbers(state):
    """(first, last) second numbers of the 10. networks of pods and services; of none in which machines stand, for they move together."""
    machines = [ipaddress.ip_address(address) for kind in ('cp', 'workers') for address in state['topology'][kind].values()]
    networks = [ipaddress.ip_network(network, strict=False) for kind in ('pod', 'service') for network in state['network'][kind]]
    return [(network[0].packed[1], network[-1].packed[1]) for network in networks
            if network.version == 4 and network[0].packed[0] == 10 and not any(machine in network for machine in machines)]


def _base64(data):
    return base64.b64encode(data).decode()
