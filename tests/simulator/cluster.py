# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated cluster that listens: certificates, ports, talosconfig."""

from __future__ import annotations

import contextlib
import errno
import shutil
import socket
import tempfile
from datetime import timedelta
from pathlib import Path

from tests.bed import pki
from tests.bed.background import Background
from tests.bed.connect_proxy import ConnectProxy
from tests.bed.faulty import Deaf, Silent
from tests.bed.grpc_server import GrpcServer
from tests.bed.https_server import HttpsServer
from tests.simulator import addresses as places
from tests.simulator import scenario as scenarios
from tests.simulator.apid import Apid
from tests.simulator.balancer import Balancer
from tests.simulator.kubernetes import KubernetesApi, kubeconfig
from tests.simulator.model import Model
from tests.simulator.resources import kubernetes_names
from tests.simulator.scenario import ScenarioError

API_PORT = 50000
LOOPBACK = 'loopback'
NAMESPACE = 'namespace'
PORT = 'port'
_SHIFTS = range(0, 60)
_LOCK_HOST = '255.254'


class Cluster:
    """Context manager: a cluster of Talos nodes in this process.

    C(addresses) is C(loopback) (every 10. address as the same under 127.; where another cluster on this machine has
    them, C(shift) moves the second number to the first free one), C(namespace) (the real addresses, inside a namespace
    of tests/bed/netns.py) or C(port) (everything on 127.0.0.1, reached by C(proxy) under the real addresses). After
    entering: C(model), C(nodes), C(talosconfig) (text), C(directory) with the files talosconfig and kubeconfig,
    C(proxy) (URL or None), C(variables) (what a scenario passes to a run).
    """

    def __init__(self, scenario, name=None, platform='metal', addresses=LOOPBACK, shift=None, directory=None):
        self.scenario = scenario
        self.proxy = None
        self._name = name
        self._platform = platform
        self._addresses = addresses
        self._shift = shift
        self._given_directory = directory
        self._exit = contextlib.ExitStack()
        self._servers = {}
        self._routes = {}

    @classmethod
    def from_file(cls, path, **options):
        """A cluster as a scenario file describes it. Raises ScenarioError."""
        return cls(scenarios.read(path), **options)

    @classmethod
    def from_state(cls, state, **options):
        """A cluster as a C(state) mapping describes it; {} is the healthy one of the defaults. Raises ScenarioError."""
        return cls(scenarios.from_state(state), **options)

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self._exit.close()
            raise
        return self

    def __exit__(self, *_exc):
        self._exit.close()

    @property
    def nodes(self):
        return self.model.nodes

    @property
    def variables(self):
        """The inventory variables that a scenario sets for the run (scenarios.md: backup)."""
        last = self.model.state['backup'].get('last_etcd_snapshot')
        if last in (None, 'never'):
            return {'talos_etcd_last_snapshot': 'never'}
        return {'talos_etcd_last_snapshot': f'{self.model.clock.at(last):%Y-%m-%dT%H:%M:%SZ}'}

    @property
    def environment(self):
        """Variables of the environment for a command that speaks to this cluster."""
        proxy = {'HTTPS_PROXY': self.proxy, 'NO_PROXY': ''} if self.proxy else {}
        return {'TALOSCONFIG': str(self.directory / 'talosconfig'), **proxy}

    def address(self, name):
        """The address of a machine as clients reach it."""
        return self.nodes[name].address

    def kill(self, name):
        """Switch a machine off: its ports refuse, its connections are cut, its etcd and API server are gone."""
        node = self.nodes[name]
        node.reachable = False
        node.services = {service: ('Stopping', '?') for service in node.services}
        self.model.encoded.clear()
        for server in self._servers.pop(name, []):
            self._background.stop(server)

    def freeze(self, name):
        """Stop a machine from answering: connections stay open, new ones are accepted, nothing is said."""
        node = self.nodes[name]
        node.frozen = True
        for server in self._servers.get(name, []):
            server.protocol, server.tls = Silent.protocol, None

    def _start(self):
        if self._given_directory is None:
            self.directory = Path(tempfile.mkdtemp(prefix='talos-sim-'))
            self._exit.callback(shutil.rmtree, self.directory, ignore_errors=True)
        else:
            self.directory = Path(self._given_directory)
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._authority = pki.Authority('talos')
        self._kubernetes_authority = pki.Authority('kubernetes', key='ecdsa')
        self._background = self._exit.enter_context(Background())
        if self._addresses == LOOPBACK:
            places.refuse_on_loopback(self.scenario.state)
            self._take_addresses()
        elif self._addresses == NAMESPACE:
            places.claim(self.scenario.state)
            self._model(shift=0, loopback=False)
        else:
            self._model(shift=0, loopback=False)
        if self._addresses == PORT:
            self._start_proxy()
        self._serve_all()
        self.talosconfig = self._talosconfig()
        self._write('talosconfig', self.talosconfig)
        self._write('kubeconfig', self.model.kubeconfig())

    def _model(self, shift, loopback):
        self.model = Model(self.scenario, self._name, self._platform, loopback, shift)
        self.model.kubeconfig = self._kubeconfig

    def _take_addresses(self):
        """Find a second number that no other cluster on this machine has, and hold it with a bound socket."""
        for shift in (self._shift,) if self._shift is not None else _SHIFTS:
            self._model(shift, loopback=True)
            if any(address.startswith('127.0.') for address in self._own_addresses()):
                continue  # 127.0.0.1 is everybody's
            locks = []
            try:
                for second in sorted({address.split('.')[1] for address in self._own_addresses() if address.startswith('127.')}):
                    lock = socket.socket()
                    locks.append(lock)
                    lock.bind((f'127.{second}.{_LOCK_HOST}', API_PORT))
            except OSError as error:
                for lock in locks:
                    lock.close()
                if error.errno == errno.EADDRINUSE and self._shift is None:
                    continue
                taken = error.errno == errno.EADDRINUSE
                why = 'another cluster has them' if taken else f'{error.strerror}: this system has no loopback aliases'
                raise ScenarioError(f'The addresses of this cluster cannot be had ({why}); use the mode port.') from error
            for lock in locks:
                self._exit.callback(lock.close)
            return
        raise ScenarioError('All loopback addresses for simulated clusters are taken.')

    def _own_addresses(self):
        return [node.address for node in self.nodes.values()] + ([self.model.vip] if self.model.vip else [])

    def _start_proxy(self):
        server = self._background.serve(ConnectProxy())
        self._routes = server.routes
        self.proxy = server.url

    def _serve_all(self):
        for node in self.nodes.values():
            handler = Apid(node)
            if not node.reachable or node.faults.closed:
                continue
            if node.faults.black_hole:
                for address in [node.address] + ([self.model.vip] if node.holds_vip else []):
                    self._listen(node, Deaf(), address, API_PORT)
                continue
            not_before, not_after = node.certificate_dates
            authority = pki.Authority('talos') if node.faults.wrong_ca else self._authority
            identity = authority.server(node.hostname, [node.hostname], node.san_ips, not_before=not_before, not_after=not_after)
            tls = pki.server_context(identity, authority)
            self._listen(node, GrpcServer(handler, tls), node.address, API_PORT)
            if node.holds_vip:
                self._listen(node, GrpcServer(handler, tls), self.model.vip, API_PORT)
        for node in self.model.control_planes:
            if self.model.kubernetes_api(node) == 'up':
                self._serve_kubernetes(node)
        balancer = self.model.state['network'].get('lb')
        if balancer:
            self._serve_balancer(balancer)

    def _serve_kubernetes(self, node):
        dns, ips = kubernetes_names(node)
        identity = self._kubernetes_authority.issue('kube-apiserver', ['kube-master'], dns=dns, ips=ips, hours=24 * 365)
        tls = pki.server_context(identity, self._kubernetes_authority, client='optional', alpn=('http/1.1',))
        handler = KubernetesApi(node)
        port = self._kubernetes_port
        self._listen(node, HttpsServer(handler, tls), node.address, port)
        if node.holds_vip:
            self._listen(node, HttpsServer(handler, tls), self.model.vip, port)

    @property
    def _kubernetes_port(self):
        return int(self.model.state['network']['endpoint'].rsplit(':', 1)[1])

    def _listen(self, node, server, address, port):
        """Serve under an address of the scenario: there itself, or behind the proxy."""
        if self._addresses == PORT:
            server.host, server.port = '127.0.0.1', 0
        else:
            server.host, server.port = address, port
        try:
            self._background.serve(server)
        except OSError as error:
            raise ScenarioError(f'{address}:{port} cannot be served: {error.strerror or error}.') from error
        self._servers.setdefault(node.name, []).append(server)
        if self._addresses == PORT:
            host = f'[{address}]' if ':' in address else address
            self._routes[f'{host}:{port}'] = (server.host, server.port)

    def _serve_balancer(self, told):
        """network.lb: TCP to one API server after the other (tcp-connect: those that accept; readyz: those with a quorum)."""
        names = told.get('backends') or [node.name for node in self.model.control_planes]
        nodes = [self.nodes[name] if name in self.nodes else self.model.node_at(str(name)) for name in names]
        if None in nodes:
            raise ScenarioError('state.network.lb.backends names what is no machine of the topology.')
        etcd = self.model.etcd
        ready = [node for node in nodes if told.get('check') != 'readyz' or (etcd.runs(node) and etcd.has_quorum(node))]
        servers = [server for node in ready for server in self._servers.get(node.name, ()) if isinstance(server, HttpsServer)]
        targets = [(server.host, server.port) for server in servers]
        address = self.model.state['network']['endpoint'].split('://')[-1].rsplit(':', 1)[0]
        server = Balancer(targets)
        server.host, server.port = ('127.0.0.1', 0) if self._addresses == PORT else (address, self._kubernetes_port)
        self._background.serve(server)
        if self._addresses == PORT:
            self._routes[f'{address}:{self._kubernetes_port}'] = (server.host, server.port)

    def _talosconfig(self):
        client = self.model.state['client']
        authority = self._authority if client['context_matches_cluster'] else pki.Authority('talos')
        roles = client['role'] if isinstance(client['role'], list) else [client['role']]
        expires = self.model.clock.wall + timedelta(days=client['cert_expires_days'])
        identity = authority.client(roles, not_before=min(self.model.clock.wall, expires) - timedelta(days=65), not_after=expires)
        return pki.talosconfig(self.model.name, client['endpoints'], authority, identity)

    def _kubeconfig(self):
        client = self._kubernetes_authority.issue('admin', ['system:masters'], usages=[pki.CLIENT_AUTH], hours=24 * 365)
        return kubeconfig(self.model.name, self.model.state['network']['endpoint'], self._kubernetes_authority, client)

    def _write(self, name, text):
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text, encoding='utf-8')
