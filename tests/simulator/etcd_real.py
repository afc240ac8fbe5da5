# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real etcd behind the machines of a scenario that says C(etcd: {real: true}): processes on the loopback, with peer and client TLS.

Its RPCs go to it (etcd_calls.py); what else follows from etcd in a machine follows from what its members say of themselves, looked at
all the time. etcd_start.py brings it into the state that the scenario tells, or refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from datetime import datetime, timedelta, timezone

from tests.bed import pki
from tests.bed.background import Background
from tests.bed.programs import Programs
from tests.simulator import etcd_start, lifecycle
from tests.simulator.etcd import Etcd, Refused
from tests.simulator.etcd_calls import METHODS
from tests.simulator.etcd_keys import Place
from tests.simulator.etcd_ports import CLIENT_PORT, OWN, PEER_PORT, Network, Port
from tests.simulator.etcd_process import Process, arguments
from tests.simulator.etcd_seen import SeenEtcd, hexadecimal
from tests.simulator.etcd_wire import Client, EtcdError, credentials
from tests.simulator.scenario import ScenarioError
from tests.tools import programs

_PATIENCE = 10.0
_STAMP = re.compile(r'"ts":"([^"]+)"')


class RealEtcd(SeenEtcd):
    """L(Etcd) with processes: a server of the bed, to be started before anything is asked of it. Names are those of the scenario.

    C(ids) and the rest of what L(Etcd) tells are those of the processes once it was started.
    """

    methods = METHODS

    def __init__(self, model):
        super().__init__(model)
        self.processes, self._ports, self._clients = {}, {}, {}
        self._held = set()

    # -- as a server ----------------------------------------------------------------------------------------------

    async def start(self):
        self._exit = contextlib.ExitStack()
        try:
            self._prepare()
            await etcd_start.bring(self)
            await self.look()
            self._watching = asyncio.ensure_future(self.watch())
        except BaseException:
            self._exit.close()
            raise

    async def stop(self):
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        self._exit.close()

    def _prepare(self):
        running = self._exit.enter_context(Programs('talos-etcd-'))
        self.directory = running.directory
        self._exit.callback(self._close)
        self._write_pki()
        try:
            program = self.program('etcd')
        except programs.NotBuilt as error:
            raise ScenarioError(f'state.etcd.real: {error}') from error
        self.version = programs.version('etcd', self._tier)
        for name in self.addresses:
            self.processes[name] = Process(running, name, program)
        self._forwarding = self._exit.enter_context(Background())
        self._network = Network(lambda: {name: process.pid for name, process in self.processes.items() if process.running})

    @property
    def _tier(self):
        """The programs of the etcd that Talos has in this version (talos-api 8)."""
        minor = self.model.control_planes[0].etcd_version.rpartition('.')[0]
        return f'etcd-{minor}' if f'etcd-{minor}' in programs.TIERS else 'etcd'

    def program(self, name):
        """The path of etcd, etcdctl or etcdutl, of the version that runs. Raises NotBuilt."""
        return programs.path(name, self._tier)

    def _close(self):
        for client in self._clients.values():
            client.close()

    def _write_pki(self):
        authority = pki.Authority('etcd', key='ecdsa')
        addresses = sorted({'127.0.0.1', *filter(None, self.addresses.values())})
        identity = authority.issue('etcd', dns=['localhost'], ips=addresses, usages=[pki.SERVER_AUTH, pki.CLIENT_AUTH], hours=24 * 365)
        for name, content in (('ca.crt', authority.pem), ('server.crt', identity.pem), ('server.key', identity.key_pem)):
            path = self.directory / name
            path.touch(mode=0o600)
            path.write_bytes(content)
        self.tls = credentials(authority.pem, identity.pem, identity.key_pem)
        members = tuple((node.address, CLIENT_PORT) for node in self.model.control_planes if node.name in self.addresses)
        self.place = Place(members, authority, identity)

    # -- processes ------------------------------------------------------------------------------------------------

    def etcd_name(self, name):
        """What a member of the scenario is called in etcd."""
        node = self.model.nodes.get(name)
        return node.short_name if node else name

    def run(self, name, cluster=None, state='new', served=True):
        """Start a member's process; C(cluster) are the names of its first members, this one among them, none for one with data.

        C(served): its ports are open from the beginning.
        """
        address = self.addresses[name]
        if served:
            self.serve(name)
        node = self.model.nodes.get(name)
        extra = node.config.etcd_arguments if node else self._quota_arguments
        if cluster is not None:  # it was made a member before anybody gave it a flag that it does not know
            extra = {key: value for key, value in extra.items() if not node or key != node.config.unknown_etcd_flag}
        first = None if cluster is None else {self.etcd_name(one): self.addresses[one] for one in cluster}
        self.processes[name].start(arguments(self.etcd_name(name), address, self.directory, self.version, first, state, extra))

    def serve(self, name):
        """Open the ports under which a member is reached."""
        if name not in self._ports:
            self._ports[name] = [self._forwarding.serve(Port(name, self.addresses[name], port, self._network)) for port in OWN]

    @property
    def _quota_arguments(self):
        return {'quota-backend-bytes': str(int(self.given['quota_mb'] * 1024 * 1024))}

    def end(self, name):
        """End a member's process, and close its ports."""
        self.processes[name].stop()
        for port in self._ports.pop(name, ()):
            self._forwarding.stop(port)

    def local(self, name):
        """A client of one member, as processes on its machine are."""
        if name not in self._clients:
            self._clients[name] = self.client(name)
        return self._clients[name]

    def client(self, name):
        """The same, new: close it."""
        process = self.processes[name]
        return Client([self._endpoint(name, OWN[CLIENT_PORT])], self.tls, lives=lambda: process.running and not process.paused)

    def client_of_all(self):
        """A client of all control plane nodes' addresses, as Talos asks where it means the cluster. Close it."""
        return Client([self._endpoint(node.name, CLIENT_PORT) for node in self.model.control_planes], self.tls)

    def _endpoint(self, name, port):
        address = self.addresses[name]
        return f'[{address}]:{port}' if ':' in address else f'{address}:{port}'

    # -- faults ---------------------------------------------------------------------------------------------------

    async def fault(self, what, name):
        """stop, start, pause, resume, cut or heal: of a member's process and ports, its machine goes on."""
        if what == 'stop':
            self._held.add(name)
            self.processes[name].stop()
        elif what == 'start':
            self._held.discard(name)
        elif what in ('pause', 'resume'):
            getattr(self.processes[name], what)()
        else:
            change = asyncio.run_coroutine_threadsafe(self._network.change(name, what == 'cut'), self._forwarding.loop)
            await asyncio.wrap_future(change)
        await self.look()

    # -- what becomes of them -------------------------------------------------------------------------------------

    def living(self):
        return [name for name, process in self.processes.items() if process.running and not process.paused]

    def ended(self):
        """Processes that ended by themselves: Talos starts them again, for ever."""
        for name, process in self.processes.items():
            node = self.model.nodes.get(name)
            if node is None or process.running or node.service('etcd')[0] != 'Running' or not (name in self.removed or Etcd.runs(self, node)):
                continue
            if name in self.removed or 'permanently removed from the cluster' in '\n'.join(process.lines()[-5:]):
                self.removed.add(name)
                lifecycle.member_removed(node)
            elif process.exit_code is not None:
                lifecycle.etcd_exited(node, process.exit_code, process.lines())

    def is_told(self, node):
        """Whether this machine's etcd runs as far as the state of its machine goes."""
        return Etcd.runs(self, node) and node.name not in self._held

    def data_dir_is_empty(self, node):
        return self.processes[node.name].is_empty

    def files(self, node):
        root = self.processes[node.name].data
        found = [root, *sorted(root.rglob('*'))] if root.exists() else []
        return [(str(path.relative_to(root)) if path != root else '', None if path.is_dir() else path.stat().st_size) for path in found] or [('', None)]

    def log(self, node):
        """[(time, line)] of what its etcd wrote, on the cluster's clock."""
        ahead = self.model.clock.now() - datetime.now(timezone.utc)
        at, entries = self.model.clock.wall, []
        for line in self.processes[node.name].lines():
            stamp = _STAMP.search(line)
            if stamp:
                at = datetime.fromisoformat(stamp[1].replace('Z', '+00:00'))
                if abs(ahead) > timedelta(seconds=1):
                    at += ahead
                    line = line.replace(stamp[1], f'{at.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z', 1)
            entries.append((at, line))
        return entries

    # -- changes --------------------------------------------------------------------------------------------------

    def settle(self):
        """Processes follow the state of their machines."""
        for name, process in self.processes.items():
            node = self.model.nodes.get(name)
            if node is None:
                continue
            if not self.is_told(node) and node.service('etcd')[0] != 'Waiting':
                self.end(name)
            elif self.is_told(node) and not process.running and not process.is_empty:
                self.run(name)
            if node.frozen and not process.paused:
                process.pause()

    def tried(self, node):
        """A removed member's etcd is started in vain."""
        process = self.processes[node.name]
        if not process.running and not process.is_empty:
            self.run(node.name)

    def add(self, node, learner):
        name = node.name
        if learner:
            try:
                answer = self._soon('MemberAdd', peer_urls=[f'https://{self._endpoint(name, PEER_PORT)}'], is_learner=True)
            except EtcdError as error:
                raise Refused(str(error)) from error
            self.ids[name] = hexadecimal(answer['member']['id'])
            others = [self.name_of(member) for member in answer['members']]
            self.run(name, others, 'existing')
        else:
            self.run(name, [name])
            self.ids[name] = hexadecimal(self.local(name).soon('Status', _PATIENCE)['header']['member_id'])
        super_ids = self.ids[name]
        super().add(node, learner)
        self.ids[name] = super_ids

    def promote(self, name):
        try:
            self._soon('MemberPromote', id=int(self.ids[name], 16))
        except EtcdError:
            return False
        self.learners.discard(name)
        return True

    def remove(self, member_id):
        name = next((name for name, known in self.ids.items() if known == member_id), None)
        try:
            self._soon('MemberRemove', id=int(member_id, 16))
        except EtcdError as error:
            raise Refused(str(error), missing=str(error) == 'etcdserver: member not found') from error
        self.ids.pop(name, None)
        self.learners.discard(name)
        if name in self.model.nodes:
            self.removed.add(name)
        self.model.changed()
        return name

    def _soon(self, method, **fields):
        """A call on the cluster, of which something in a machine's life depends."""
        voters = [name for name in self._statuses if name not in self.learners]
        client = Client([self._endpoint(name, CLIENT_PORT) for name in voters], self.tls)
        try:
            return client.soon(method, _PATIENCE, **fields)
        finally:
            client.close()

    def wipe(self, node):
        super().wipe(node)
        self.end(node.name)
        self.processes[node.name].wipe()
