# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine of a scenario and what follows from its state: services, addresses, certificate names."""

from __future__ import annotations

import hashlib
import ipaddress
import uuid
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache

from tests.simulator import networks, setup, values, vocabulary
from tests.simulator.faults import Faults
from tests.simulator.machine_config import MachineConfig

_BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
_ETCD_VERSIONS = {9: '3.5.21', 10: '3.5.21', 11: '3.6.5', 12: '3.6.7', 13: '3.6.12', 14: '3.7.0'}
_PREFIX_LENGTH = 24
_CALLS_KEPT = 2000
_NOT_IN_CONTAINERS = ('auditd', 'dashboard', 'syslogd', 'udevd')


@dataclass(frozen=True)
class Affiliate:
    """A machine as discovery knows it: C(name) is its full host name, C(addresses) are without prefix length."""

    node_id: str
    name: str
    addresses: tuple
    control_plane: bool
    talos: str
    fqdn: bool = False
    since: object = None

    @property
    def nodename(self):
        return setup.node_name(self.name if self.fqdn else self.name.partition('.')[0])


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
        self.status = None  # what happened to it since the scenario began: of its stage, its certificate, its services
        self.certificate_since = None
        self.events = {}
        self.happened = False
        self.told_events = dict(self.given.get('last_event') or {})
        self.boot = model.clock.wall - values.duration(self.given.get('uptime') or model.state['uptime'])
        defaults = model.state['services_cp' if control_plane else 'services_worker']
        self.services = {**defaults, **(self.given.get('services') or {})}
        if model.platform == 'container':
            self.services = {name: state for name, state in self.services.items() if name not in _NOT_IN_CONTAINERS}
        self.services_before = dict(self.services)
        self.identity = identity(model.seed, name, [address])
        self.uuid = str(uuid.UUID(bytes=hashlib.sha256(f'uuid/{self.identity}'.encode()).digest()[:16], version=4))
        self.faults = Faults(model.state['faults'], name)
        self.calls = deque(maxlen=_CALLS_KEPT)
        self.tls_fails = self.given.get('api') == vocabulary.TLS_FAILS or self.faults.expired

    def __repr__(self):
        return f'Node({self.name})'

    @cached_property
    def config(self):
        return MachineConfig(self)

    @property
    def type(self):
        return 'controlplane' if self.control_plane else 'worker'

    @property
    def short_name(self):
        """The host name without its domain."""
        return self.hostname.partition('.')[0]

    @property
    def domain(self):
        return self.hostname.partition('.')[2]

    @cached_property
    def nodename(self):
        """The name of its Node (edge-cases 69)."""
        return setup.node_name(self.hostname if self.model.setup.get('register_with_fqdn') else self.short_name)

    @property
    def etcd_version(self):
        return _ETCD_VERSIONS.get(self.minor, _ETCD_VERSIONS[14])

    def service(self, service_id):
        """(state, health) of a service, (None, None) without one; health is OK, Fail or ?."""
        state, health = self.services.get(service_id) or (None, None)
        return state, health

    @property
    def machine_status(self):
        return self.status or {**self.model.state['machine_status'], **self._waiting, **(self.given.get('machine_status') or {})}

    @property
    def _waiting(self):
        """Without a default route Talos waits for connectivity for ever (edge-cases 31b); those of KubeSpan will do."""
        setup_ = self.model.setup
        return {} if setup_.get('default_route', True) or setup_.get('kubespan') else {'ready': False, 'unmet': ['network']}

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
    def node_ip(self):
        """What kubelet registered."""
        return self.given.get('node_ip') or self.address

    @property
    def pod_cidr(self):
        """What Kubernetes gave this node of the pod network, or None while it has not run yet."""
        if not self.model.kubernetes_ran or not self.model.kubernetes.knew(self.nodename):
            return None
        return networks.part_of(self.model.state['network']['pod'][0], self.number)

    @property
    def pod_cidrs(self):
        """The same of every pod network."""
        return [networks.part_of(network, self.number) for network in self.model.state['network']['pod']] if self.pod_cidr else []

    @property
    def host_prefix(self):
        return f'{self.address}/{64 if ":" in self.address else _PREFIX_LENGTH}'

    @property
    def cni_prefixes(self):
        """(link, prefix) of the CNI's own addresses: flannel's, and the bridge's where pods run (talos-api 6.4)."""
        if self._listed_cni_prefixes:
            return self._listed_cni_prefixes
        pods = [networks.network(cidr) for cidr in self.pod_cidrs]
        if self.model.setup.get('cni') == 'cilium':
            return [('cilium_host', f'{network.network_address + 87}/{network.max_prefixlen}') for network in pods]
        if self.model.state['network']['cni'] != 'flannel':
            return []
        prefixes = [('flannel.1' if network.version == 4 else 'flannel-v6.1', f'{network.network_address}/{network.max_prefixlen}') for network in pods]
        if not self.control_plane:
            prefixes += [('cni0', f'{network.network_address + 1}/{network.prefixlen}') for network in pods]
        return prefixes

    def _listed_addresses(self, kind):
        for where in (self.given.get('addresses') or {}, self.model.state.get('addresses') or {}):
            if kind in where:
                return list(where[kind])
        return None

    @cached_property
    def _listed_cni_prefixes(self):
        """Those of the scenario's own list that flannel makes: the network of its pods as a /32, and that network's first address."""
        pods = [networks.network(network) for network in self.model.state['network']['pod']]
        listed = [ipaddress.ip_interface(prefix) for prefix in self._listed_addresses('routed') or ()]
        inside = [one for one in listed if any(one.version == network.version and one.ip in network for network in pods)]
        flannel = [one for one in inside if one.network.prefixlen == 32 and str(one.ip).endswith('.0')]
        bridges = [one for one in inside if any(one.ip == each.ip + 1 and one.network.network_address == each.ip for each in flannel)]
        return [*(('flannel.1', str(one)) for one in flannel), *(('cni0', str(one)) for one in bridges)]

    @property
    def own_prefixes(self):
        """The prefixes on the machine's own link: its address, and the VIP on its holder."""
        listed = self._listed_addresses('routed')
        if listed is not None:
            return [prefix for prefix in listed if prefix not in [cni for _link, cni in self.cni_prefixes]]
        listed = self._listed_addresses('routed-no-k8s')
        if listed:
            return listed
        second = (self.model.setup.get('second_addresses') or {}).get(self.name)
        return [self.host_prefix, *([f'{self.model.vip}/{128 if ":" in self.model.vip else 32}'] if self.holds_vip else []),
                *([f'{second}/{64 if ":" in second else _PREFIX_LENGTH}'] if second else [])]

    @property
    def tunnel_prefixes(self):
        """(link, prefix) of KubeSpan and SideroLink."""
        return setup.tunnels(self)

    @property
    def routed(self):
        """IPv4 before IPv6; SideroLink's are in no such list."""
        listed = self._listed_addresses('routed')
        if listed is not None:
            return listed
        tunnels = [prefix for link, prefix in self.tunnel_prefixes if link != 'siderolink']
        return sorted([*self.own_prefixes, *(prefix for _link, prefix in self.cni_prefixes), *tunnels], key=lambda prefix: ':' in prefix)

    @property
    def external_prefixes(self):
        """Addresses that the platform maps to the machine: current, but not routed (talos-api 6.4)."""
        address = setup.external_address(self)
        return [f'{address}/{128 if ":" in address else 32}'] if address else []

    @property
    def routed_no_k8s(self):
        listed = self._listed_addresses('routed-no-k8s')
        return listed if listed is not None else [prefix for prefix in self.routed if not self.is_kubernetes(prefix)]

    @property
    def excluded_networks(self):
        """Pod and service networks, in the order of NodeAddressFilters."""
        network = self.model.state['network']
        return [*network['pod'], *(cidr for cidr in self.pod_cidrs if cidr not in network['pod']), *network['service']]

    def is_kubernetes(self, prefix):
        return networks.is_in(prefix, tuple(self.excluded_networks))

    @property
    def san_ips(self):
        """talos-api 4: the addresses without Kubernetes's, 127.0.0.1 from 1.13 on."""
        addresses = [prefix.split('/')[0] for prefix in [*self.routed_no_k8s, *self.external_prefixes]]
        addresses += [name for name in self.config.machine.get('certSANs') or () if _is_address(name) and name not in addresses]
        if self.faults.sans_without_address:
            addresses = [f'192.168.77.{10 + self.number}' if address == self.address else address for address in addresses]
        return addresses + (['127.0.0.1'] if self.minor >= 13 else [])

    @property
    def san_dns(self):
        return sorted({self.hostname, self.short_name, *(name for name in self.config.machine.get('certSANs') or () if not _is_address(name))})

    @property
    def certificate_dates(self):
        """(not before, not after) of what it serves on 50000: a day, renewed every twelve hours (talos-api 4)."""
        given = self.given.get('server_cert') or {}
        wall = self.model.clock.wall
        if self.tls_fails and not given:
            given = {'not_before': '-26h', 'not_after': '-2h'}
        issued = self.certificate_since or max(self.boot, wall - timedelta(hours=6))
        not_before = self.model.clock.at(given['not_before']) if 'not_before' in given else issued
        not_after = self.model.clock.at(given['not_after']) if 'not_after' in given else not_before + timedelta(hours=24)
        return not_before, not_after

    @property
    def affiliate(self):
        addresses = tuple(prefix.split('/')[0] for prefix in self.routed_no_k8s)
        return Affiliate(self.identity, self.hostname, addresses, self.control_plane, self.talos, bool(self.model.setup.get('register_with_fqdn')))


@lru_cache(maxsize=None)
def _is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _minor(version):
    return int(version.lstrip('v').split('.')[1])


def identity(cluster, name, addresses):
    """A node id as Talos makes them, 32 bytes in base 62; the same wherever the cluster's addresses are mapped to."""
    places = ' '.join(address.split('.', 2)[-1] for address in addresses)
    number = int.from_bytes(hashlib.sha256(f'{cluster}/{name}/{places}'.encode()).digest(), 'big')
    digits = ''
    while number:
        number, digit = divmod(number, 62)
        digits = _BASE62[digit] + digits
    return digits
