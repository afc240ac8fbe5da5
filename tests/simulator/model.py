# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines of a scenario and what follows from its state: addresses, certificate names, discovery. No network here."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import uuid
from dataclasses import dataclass
from datetime import timedelta

from tests.simulator import scenario as scenarios
from tests.simulator.etcd import Etcd
from tests.simulator.scenario import ScenarioError

_BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
_ETCD_VERSIONS = {9: '3.5.21', 10: '3.5.21', 11: '3.6.5', 12: '3.6.7', 13: '3.6.12', 14: '3.7.0'}
_PREFIX_LENGTH = 24
_NOT_IN_CONTAINERS = ('auditd', 'dashboard', 'syslogd', 'udevd')
TLS_FAILS = 'TLS fails both ways'


@dataclass(frozen=True)
class Affiliate:
    """A machine as discovery knows it; C(addresses) without prefix length."""

    node_id: str
    name: str
    addresses: tuple
    control_plane: bool
    talos: str


class Node:
    """One Talos machine."""

    def __init__(self, model, name, address, control_plane, number):
        self.model = model
        self.name = name
        self.address = address
        self.control_plane = control_plane
        self.number = number
        self.given = model.state['nodes'].get(name) or {}
        self.hostname = model.hostname(name, address)
        self.talos = self.given.get('talos') or model.state['versions']['talos']
        self.minor = _minor(self.talos)
        self.reachable = self.given.get('reachable', True) is not False
        self.frozen = False
        self.boot = model.clock.wall - scenarios.duration(self.given.get('uptime') or model.state['uptime'])
        defaults = model.state['services_cp' if control_plane else 'services_worker']
        self.services = {**defaults, **(self.given.get('services') or {})}
        if model.platform == 'container':
            self.services = {name: state for name, state in self.services.items() if name not in _NOT_IN_CONTAINERS}
        self.identity = _identity(model.seed, name, [address])
        self.uuid = str(uuid.UUID(bytes=hashlib.sha256(f'uuid/{self.identity}'.encode()).digest()[:16], version=4))
        self.tls_fails = self._tls_fails()

    def _tls_fails(self):
        api = self.given.get('api')
        if api not in (None, TLS_FAILS):
            raise ScenarioError(f'state.nodes.{self.name}.api: {api!r} is not served yet, only {TLS_FAILS!r} is.')
        return api is not None

    def __repr__(self):
        return f'Node({self.name})'

    @property
    def type(self):
        return 'controlplane' if self.control_plane else 'worker'

    @property
    def etcd_version(self):
        return _ETCD_VERSIONS.get(self.minor, _ETCD_VERSIONS[14])

    def service(self, service_id):
        """(state, health) of a service, (None, None) without one; health is OK, Fail or ?."""
        state, health = self.services.get(service_id) or (None, None)
        return state, health

    @property
    def machine_status(self):
        return {**self.model.state['machine_status'], **(self.given.get('machine_status') or {})}

    @property
    def time(self):
        return {**self.model.state['time'], **(self.given.get('time') or {})}

    @property
    def memory_mib(self):
        return self.given.get('memory_mib') or self.model.state['memory_mib']['cp' if self.control_plane else 'worker']

    @property
    def holds_vip(self):
        return self.model.vip is not None and self.model.state['network']['vip_holder'] == self.name

    @property
    def pod_cidr(self):
        """What Kubernetes gave this node of the pod network, or None while it has not run yet."""
        if not self.model.kubernetes_ran or self.hostname not in self.model.kubernetes_nodes:
            return None
        network = ipaddress.ip_network(self.model.state['network']['pod'][0])
        if network.version == 6 or network.prefixlen >= _PREFIX_LENGTH:
            return str(network)
        return str(ipaddress.ip_network((int(network.network_address) + (self.number << (32 - _PREFIX_LENGTH)), _PREFIX_LENGTH)))

    @property
    def host_prefix(self):
        return f'{self.address}/{64 if ":" in self.address else _PREFIX_LENGTH}'

    @property
    def cni_prefixes(self):
        """(link, prefix) of the CNI's own addresses: flannel's, and the bridge's where pods run (talos-api 6.4)."""
        if self.pod_cidr is None or self.model.state['network']['cni'] != 'flannel':
            return []
        network = ipaddress.ip_network(self.pod_cidr)
        prefixes = [('flannel.1', f'{network.network_address}/32')]
        if not self.control_plane:
            prefixes.append(('cni0', f'{network.network_address + 1}/{network.prefixlen}'))
        return prefixes

    def _listed_addresses(self, kind):
        for where in (self.given.get('addresses') or {}, self.model.state.get('addresses') or {}):
            if kind in where:
                return list(where[kind])
        return None

    @property
    def own_prefixes(self):
        """The prefixes on the machine's own link: its address, and the VIP on its holder."""
        listed = self._listed_addresses('routed')
        if listed is not None:
            return [prefix for prefix in listed if prefix not in [cni for _link, cni in self.cni_prefixes]]
        listed = self._listed_addresses('routed-no-k8s')
        if listed:
            return listed
        return [self.host_prefix] + ([f'{self.model.vip}/32'] if self.holds_vip else [])

    @property
    def routed(self):
        listed = self._listed_addresses('routed')
        return listed if listed is not None else self.own_prefixes + [prefix for _link, prefix in self.cni_prefixes]

    @property
    def routed_no_k8s(self):
        listed = self._listed_addresses('routed-no-k8s')
        return listed if listed is not None else [prefix for prefix in self.routed if not self.is_kubernetes(prefix)]

    @property
    def excluded_networks(self):
        """Pod and service networks, in the order of NodeAddressFilters."""
        network = self.model.state['network']
        return [*network['pod'], *([self.pod_cidr] if self.pod_cidr and self.pod_cidr not in network['pod'] else []), *network['service']]

    def is_kubernetes(self, prefix):
        address = ipaddress.ip_interface(prefix).ip
        return any(address in ipaddress.ip_network(network, strict=False) for network in self.excluded_networks)

    @property
    def san_ips(self):
        """talos-api 4: the addresses without Kubernetes's, 127.0.0.1 from 1.13 on."""
        return [prefix.split('/')[0] for prefix in self.routed_no_k8s] + (['127.0.0.1'] if self.minor >= 13 else [])

    @property
    def certificate_dates(self):
        """(not before, not after) of what it serves on 50000: a day, renewed every twelve hours (talos-api 4)."""
        given = self.given.get('server_cert') or {}
        wall = self.model.clock.wall
        if self.tls_fails and not given:
            given = {'not_before': '-26h', 'not_after': '-2h'}
        not_before = self.model.clock.at(given['not_before']) if 'not_before' in given else max(self.boot, wall - timedelta(hours=6))
        not_after = self.model.clock.at(given['not_after']) if 'not_after' in given else not_before + timedelta(hours=24)
        return not_before, not_after

    @property
    def certificate_is_valid(self):
        not_before, not_after = self.certificate_dates
        return not_before <= self.model.clock.wall <= not_after

    @property
    def affiliate(self):
        addresses = tuple(prefix.split('/')[0] for prefix in self.routed_no_k8s)
        return Affiliate(self.identity, self.hostname, addresses, self.control_plane, self.talos)


class Model:
    """A cluster as a scenario describes it. C(platform) is metal or container: what the nodes run on.

    C(kubeconfig) is what makes one; who serves the model sets it. C(encoded) keeps the bytes of resources: who changes
    the state clears it.
    """

    kubeconfig = None

    def __init__(self, scenario, name=None, platform='metal', loopback=True, shift=0, wall=None):
        state = scenario.state
        self.clock = scenarios.Clock(state.get('now'), wall)
        self.loopback = loopback
        self.state = scenarios.mapped(state, shift, _second_numbers(state)) if loopback else state
        self.expected = scenario.expected
        self.name = name or scenario.name
        self.platform = platform
        self.seed = self.name
        topology = self.state['topology']
        machines = [(name, address, True) for name, address in topology['cp'].items()]
        machines += [(name, address, False) for name, address in topology['workers'].items()]
        self.encoded = {}
        self.nodes = {}
        for number, (node, address, control_plane) in enumerate(machines):
            self.nodes[node] = Node(self, node, str(address), control_plane, number)
        self.etcd = Etcd(self)

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

    @property
    def kubernetes_ran(self):
        return self.state['k8s']['api'] != 'never up' and bool(self.state['etcd']['members'])

    @property
    def kubernetes_nodes(self):
        """name: Ready or a mapping, as scenarios write it; all machines without word of them."""
        listed = self.state['k8s'].get('nodes')
        if listed is not None:
            return listed
        return {node.hostname: 'Ready' for node in self.nodes.values()} if self.kubernetes_ran else {}

    def kubernetes_api(self, node):
        """'up' or 'refused': kube-apiserver of a control plane node. Talos starts none where etcd does not run (talos-api 6.6)."""
        told = self.state['k8s']['api']
        if isinstance(told, dict):
            return told.get(node.name, 'refused')
        runs = self.kubernetes_ran and node.service('etcd')[0] == 'Running' and node.service('kubelet')[0] == 'Running'
        return 'up' if told == 'up' and runs else 'refused'

    def hostname(self, name, address):
        """Two machines with one name: the other name of a machine whose address discovery.duplicates gives to it."""
        for duplicate, addresses in (self.state['discovery'].get('duplicates') or {}).items():
            if address in addresses:
                return duplicate
        return name

    def node_at(self, address):
        """The machine that has this address of its own, or holds the VIP that it is; None else."""
        for node in self.nodes.values():
            if address == node.address:
                return node
        return self.vip_holder if self.vip and address == self.vip else None

    def node_named(self, hostname):
        return next((node for node in self.nodes.values() if node.hostname == hostname), None)

    def affiliates_of(self, node):
        """What discovery shows on this machine, by node id."""
        discovery = self.state['discovery']
        names = discovery.get(node.name, discovery.get('all_nodes_see'))
        names = list(self.nodes) if names is None else list(names)
        seen = [self.nodes[name].affiliate if name in self.nodes else self._stranger(name) for name in names]
        seen += [self._stranger(name, extra.get('addresses')) for name, extra in (discovery.get('extra') or {}).items()]
        for name, addresses in (discovery.get('duplicates') or {}).items():
            known = {address for affiliate in seen if affiliate.name == name for address in affiliate.addresses}
            seen += [self._stranger(name, [address]) for address in addresses if address not in known]
        if 'addresses' in discovery:
            seen = [Affiliate(one.node_id, one.name, tuple(discovery['addresses'] or ()), one.control_plane, one.talos) for one in seen]
        return sorted({one.node_id: one for one in seen}.values(), key=lambda one: one.node_id)

    def _stranger(self, name, addresses=None):
        """A machine that discovery knows and the topology does not."""
        if addresses is None:
            address = self.address_of(name)
            addresses = [address] if address else []
        talos = self.state['versions']['talos']
        control_plane = name in self.state['etcd']['members']
        return Affiliate(_identity(self.seed, name, addresses), name, tuple(addresses), control_plane, talos)

    def address_of(self, name):
        """The address of a machine, or of a name that only etcd or Kubernetes knows; None without one."""
        if name in self.nodes:
            return self.nodes[name].address
        listed = (self.state['k8s'].get('nodes') or {}).get(name)
        by_kubernetes = listed.get('internal_ip') if isinstance(listed, dict) else None
        return (self.state['etcd'].get('member_addresses') or {}).get(name) or by_kubernetes


def _second_numbers(state):
    """(first, last) second numbers of the 10. networks of pods and services; of none in which machines stand, for they move together."""
    machines = [ipaddress.ip_address(address) for kind in ('cp', 'workers') for address in state['topology'][kind].values()]
    networks = [ipaddress.ip_network(network, strict=False) for kind in ('pod', 'service') for network in state['network'][kind]]
    return [(network[0].packed[1], network[-1].packed[1]) for network in networks
            if network.version == 4 and network[0].packed[0] == 10 and not any(machine in network for machine in machines)]


def _minor(version):
    return int(version.lstrip('v').split('.')[1])


def _identity(cluster, name, addresses):
    """A node id as Talos makes them, 32 bytes in base 62; the same wherever the cluster's addresses are mapped to."""
    places = ' '.join(address.split('.', 2)[-1] for address in addresses)
    number = int.from_bytes(hashlib.sha256(f'{cluster}/{name}/{places}'.encode()).digest(), 'big')
    digits = ''
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits


def _base64(data):
    return base64.b64encode(data).decode()
