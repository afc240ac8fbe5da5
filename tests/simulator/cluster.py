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

from tests.bed import names, pki
from tests.bed.background import Background
from tests.bed.connect_proxy import ConnectProxy
from tests.bed.grpc_server import GrpcServer
from tests.simulator import lifecycle
from tests.simulator import addresses as places
from tests.simulator import scenario as scenarios
from tests.simulator.balancer import Balancer
from tests.simulator.control_plane import ControlPlane
from tests.simulator.kubelets import Kubelets
from tests.simulator.kubernetes import kubeconfig
from tests.simulator.kubernetes_rbac import MASTERS
from tests.simulator.kubernetes_real import of_the_programs, served_names, why_not
from tests.simulator.listeners import API_PORT, Listeners
from tests.simulator.model import Model
from tests.simulator.scenario import ScenarioError

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

    C(kubernetes) is a L(ControlPlane) that runs, for one cluster after the other; a state with C(k8s.real) has its own.
    """

    def __init__(self, scenario, name=None, platform='metal', addresses=LOOPBACK, shift=None, directory=None, pace=1.0, kubernetes=None):
        self.real_kubernetes = kubernetes is not None or bool(scenario.state['k8s'].get('real'))
        self.scenario = of_the_programs(scenario) if self.real_kubernetes else scenario
        self._control_plane = kubernetes
        self.proxy = None
        self._name = name
        self._platform = platform
        self._addresses = addresses
        self._shift = shift
        self._given_directory = directory
        self._pace = pace
        self._exit = contextlib.ExitStack()
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
        return {'TALOSCONFIG': str(self.directory / 'talosconfig'), **proxy, **names.environment(self.model.setup.get('names'))}

    @property
    def client_certificate(self):
        """The certificate in the talosconfig, DER."""
        return self._client.der

    @property
    def loop(self):
        """The loop on which the calls are served."""
        return self._background.loop

    def handler(self, node):
        """What serves the calls on port 50000 of a machine."""
        return self._listeners.handler(node, GrpcServer)

    def address(self, name):
        """The address of a machine as clients reach it."""
        return self.model.machines[name].address

    def kill(self, name):
        """Switch a machine off: its ports refuse, its connections are cut, its etcd and API server are gone."""
        self._do(lambda: lifecycle.switch_off(self.nodes[name]))

    def start(self, name):
        """Switch a machine on again: it boots."""
        self._do(lambda: lifecycle.switch_on(self.nodes[name]))

    def etcd_fault(self, what, name):
        """stop, start, pause, resume, cut or heal: of the real etcd of a machine that goes on."""
        self._background.run(self.model.etcd.fault(what, name))

    def freeze(self, name):
        """Stop a machine from answering: connections stay open, new ones are accepted, nothing is said."""
        self._do(lambda: lifecycle.freeze(self.nodes[name]))

    def simulate_kubernetes(self):
        """From now on the API servers of the same state are simulated ones, where a real one was behind them."""
        self.kubelets.stop()
        self._do(lambda: setattr(self.model, 'control_plane', None))

    def skip(self, seconds):
        """Let so many seconds of the cluster's time pass at once (timeline.py)."""
        self._do(lambda: self.model.timeline.skip(seconds))

    def _start(self):
        if self._given_directory is None:
            self.directory = Path(tempfile.mkdtemp(prefix='talos-sim-'))
            self._exit.callback(shutil.rmtree, self.directory, ignore_errors=True)
        else:
            self.directory = Path(self._given_directory)
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._held = self._exit.enter_context(contextlib.ExitStack())  # for as long as anything listens there
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
        if self.model.state['etcd'].get('real'):
            self._serve_etcd()
        if self.real_kubernetes:
            self._start_kubernetes()
        self._serve_all()
        self.talosconfig = self._talosconfig()
        self._write('talosconfig', self.talosconfig)
        if self.model.setup.get('names'):
            self._exit.enter_context(names.known(self.model.setup['names']))
        self._write('kubeconfig', self.model.kubeconfig())

    def _model(self, shift, loopback):
        self.model = Model(self.scenario, self._name, self._platform, loopback, shift, pace=self._pace)
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
                self._held.callback(lock.close)
            return
        raise ScenarioError('All loopback addresses for simulated clusters are taken.')

    def _own_addresses(self):
        return [node.address for node in self.model.machines.values()] + ([self.model.vip] if self.model.vip else [])

    def _start_proxy(self):
        server = self._background.serve(ConnectProxy())
        self._routes = server.routes
        self.proxy = server.url

    def _serve_etcd(self):
        if self._addresses == PORT:
            raise ScenarioError('state.etcd.real: the members of the real etcd need addresses of their own; the mode port has none.')
        self._background.serve(self.model.etcd)

    def _start_kubernetes(self):
        """Objects before ports: whoever finds the API open finds the whole state in it."""
        why = why_not(self.model, shared=self._control_plane is not None)
        if why:
            raise ScenarioError(why)
        plane = self._control_plane or self._exit.enter_context(ControlPlane(self.model.etcd.place))
        self.model.kubernetes_authority, self.model.control_plane = plane.authority, plane
        plane.reset()
        plane.certify(*served_names(self.model))
        self.model.kubernetes.writes = plane.writes()
        self.kubelets = Kubelets(self.model, plane, self._background.loop)
        self._exit.callback(self.kubelets.stop)
        self.kubelets.start()

    def _serve_all(self):
        routes = self._routes if self._addresses == PORT else None
        self._listeners = self._background.serve(Listeners(self.model, routes))
        balancer = self.model.state['network'].get('lb')
        if balancer:
            self._serve_balancer(balancer)
        if self.model.setup.get('talos_balancer'):
            planes = [(node.address, API_PORT) for node in self.model.control_planes]
            self._balance(Balancer(lambda: planes), self.model.setup['talos_balancer'], API_PORT, 'setup.talos_balancer')

    def _do(self, change):
        """Run C(change()) where the calls are served, and serve what follows from it."""
        async def run():
            change()
            await self._listeners.settle()

        self._background.run(run())

    def _serve_balancer(self, told):
        """network.lb: TCP to one API server after the other; see scenarios for its checks. A backend need be no machine."""
        port = self.model.kubernetes_port
        listed = told.get('backends') or [node.name for node in self.model.control_planes]
        backends = [(self.model.nodes[name] if name in self.nodes else self.model.node_at(name), name) for name in listed]

        def targets():
            addresses = [node.address if node else name for node, name in backends
                         if told.get('check') != 'readyz' or node and self.model.is_kubernetes_ready(node)]
            places = [(address, port) for address in addresses]
            return places if self._addresses != PORT else [self._routes.get(f'{address}:{port}', ('127.0.0.1', 1)) for address, port in places]

        server = Balancer(targets, checked=told.get('check') not in (None, 'none'))
        self._balance(server, self.model.balancer_address, port, 'network.lb')

    def _balance(self, server, address, port, key):
        server.host, server.port = ('127.0.0.1', 0) if self._addresses == PORT else (address, port)
        try:
            self._background.serve(server)
        except OSError as error:
            raise ScenarioError(f'state.{key}: {address}:{port} cannot be served: {error.strerror or error}.') from error
        if self._addresses == PORT:
            self._routes[f'{address}:{port}'] = (server.host, server.port)

    def _talosconfig(self):
        client = self.model.state['client']
        authority = self.model.talos_authority if client['context_matches_cluster'] else pki.Authority('talos')
        roles = client['role'] if isinstance(client['role'], list) else [client['role']]
        expires = self.model.clock.wall + timedelta(days=client['cert_expires_days'])
        identity = self._client = authority.client(roles, not_before=min(self.model.clock.wall, expires) - timedelta(days=65), not_after=expires)
        return pki.talosconfig(self.model.name, client['endpoints'], authority, identity)

    def _kubeconfig(self):
        return self.kubeconfig_of('admin', [MASTERS])

    def kubeconfig_of(self, user, groups, **dates):
        """A kubeconfig for somebody else; C(dates) are those of the certificate: not_before, not_after."""
        client = self.model.kubernetes_authority.issue(user, groups, usages=[pki.CLIENT_AUTH], hours=24 * 365, **dates)
        return kubeconfig(self.model.name, self.model.state['network']['endpoint'], self.model.kubernetes_authority, client, user)

    def _write(self, name, text):
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text, encoding='utf-8')
