# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything at once: C(gather(context) -> Snapshot).

Two waves. The first asks the endpoints about themselves; the second asks every machine that they named, through one
good control plane endpoint, while Kubernetes is read beside it. Machines that only etcd or Kubernetes knows get one
further round.
"""

from __future__ import annotations

import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint as endpoints_of
from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import NOT_ASKED, READ, REFUSED, UNREACHABLE, TalosError, TransportError
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import machines as union
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.ask import Asker, Budget, now
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.kubernetes import KINDS as KUBERNETES_KINDS
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.kubernetes import KNOCKED, Kubernetes
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import CONTROL_PLANE, WORKER, Datum, Endpoint, Snapshot, parse_time
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.progress import Progress
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reader import MachineReader
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import BY_KIND, ENDPOINT_KINDS, LOGS, READS, SAMPLED, SAMPLED_AGAIN
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import Redactor

MACHINES_AT_ONCE = 32
GRACE_SECONDS = 2.0
LOOK_SECONDS = 3.0

# What the union of machines itself needs, whatever is asked for.
IDENTITY_KINDS = frozenset((
    'Version', 'ServiceList', 'MachineTypes', 'Members', 'Identities', 'Infos', 'Nodenames', 'HostnameStatuses', 'NodeIPConfigs', 'NodeAddresses',
    'AddressStatuses', 'EtcdMembers', 'EtcdMemberList',
))


def gather(context, *, name=None, nodes=(), endpoints=None, proxy=None, kube=None, kinds=None, logs=None, timeout=10.0, deadline=60.0, tmp_dir=None,
           say=None, collection=None, sample_seconds=0):
    """Read a cluster and return its Snapshot.

    C(context) is a Context (api/talosconfig.py). C(name) is the cluster's name, by default the context's. C(endpoints)
    replace and C(nodes) add to what the talosconfig names. C(kube) is a Source (kube/config.py), or None for the
    kubeconfig that Talos issues. C(kinds) and C(logs) limit what is read (names as in snapshot/reads.py and, for
    Kubernetes, snapshot/objects.py); None is all. C(timeout) are the seconds of one call, C(deadline) those of
    the whole. C(sample_seconds): counters of links are read twice, so many seconds apart; 0 is once. C(say(text)) is told of
    the progress, in the calling thread.

    Raises InputError where nothing can be tried at all; whatever goes wrong with a machine stands in the snapshot.
    """
    with Client(context, endpoints=endpoints, proxy=proxy, timeout=min(timeout, deadline), tmp_dir=tmp_dir) as client:
        return Gather(client, context, nodes=nodes, own_endpoints=endpoints is not None, kube=kube, proxy=proxy, kinds=kinds, logs=logs,
                      budget=Budget(timeout, deadline), say=say, tmp_dir=tmp_dir, sample_seconds=sample_seconds).run(name or context.name, collection)


class Gather:
    """One gather over one Client."""

    def __init__(self, client, context, *, nodes=(), own_endpoints=False, kube=None, proxy=None, kinds=None, logs=None, budget, say=None, tmp_dir=None,
                 sample_seconds=0):
        self.client = client
        self.context = context
        self.budget = budget
        self.asker = Asker(budget, Redactor())
        self.progress = Progress(say)
        self._nodes = nodes
        self._endpoint_source = union.OPTIONS if own_endpoints else union.TALOSCONFIG
        self._reads = [read for read in READS if _wanted(read, kinds, logs)]
        wanted = kinds is None or bool((KUBERNETES_KINDS | set(KNOCKED)) & set(kinds))
        self._facts = talosconfig.facts(context, datetime.now(timezone.utc))
        roles = (self._facts['certificate'] or {}).get('roles') or []
        self._kubernetes = Kubernetes(client, roles, kube, proxy, budget, self.asker.redactor, tmp_dir, kinds,
                                      context.proxy_url) if wanted else None
        self._sample_seconds = sample_seconds
        self._late = []
        self._waves = 0
        self._retries = 0

    def run(self, name, collection=None):
        """The Snapshot. On any exception nothing more is sent, and what runs is left to end with the client."""
        started, taken_at = time.monotonic(), now()
        pool = ThreadPoolExecutor(MACHINES_AT_ONCE, 'talos-machine')
        try:
            endpoints = self._first_wave(pool)
            machines, placed = self._known(endpoints)
            good = self._good(endpoints)
            reader = MachineReader(self.client, self.asker, self._reads, good, self._behind(endpoints, placed), min(len(machines), MACHINES_AT_ONCE))
            if self._kubernetes:
                self._kubernetes.start(machines, [(placed[e.text].address, e) for e in good if e.text in placed][:2], _api_server_ports(endpoints))
            self._second_wave(pool, reader, machines, endpoints, placed)
            kubernetes = self._kubernetes.result(machines) if self._kubernetes else {'source': None, 'server': None, 'error': None, 'data': {}, 'servers': {}}
            placed = self._settle(pool, reader, machines, placed, kubernetes)
            if self._sample_seconds:
                self._sample(pool, reader, [machine for machine in machines if machine.answered])
            for future, endpoint in self._late:
                future.result()
                if endpoint.text in placed:
                    _serves(placed[endpoint.text], endpoint)
        except BaseException:
            self.budget.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
        for endpoint in endpoints:
            machine = placed.get(endpoint.text)
            endpoint.machine = machine.key if machine is not None else None
        machines.sort(key=lambda machine: (machine.type != CONTROL_PLANE, machine.type != WORKER, machine.name or '', machine.key))
        ids = self.asker.cluster_ids
        return Snapshot(
            taken_at=taken_at, finished_at=now(), collection=collection,
            cluster={'name': name, 'id': max(set(ids), key=ids.count) if ids else None, 'context': self.context.name},
            client=self._facts,
            control_node={'clock_offset_ms': clock_offset_ms(machines), 'ran_on': socket.gethostname(), 'waves': self._waves, 'retries': self._retries,
                          'handshakes': self.client.handshakes, 'calls': self.client.calls, 'seconds': round(time.monotonic() - started, 3)},
            endpoints=endpoints, machines=machines, kubernetes=_with_keys(kubernetes))

    # -- first wave -----------------------------------------------------------------------------------------

    def _first_wave(self, pool):
        self._waves += 1
        endpoints = [Endpoint(e.text, e.host, e.port, [e.host] if union.is_ip(e.host) else []) for e in self.client.endpoints]
        futures = [pool.submit(self._endpoint, *pair) for pair in zip(self.client.endpoints, endpoints)]
        started = time.monotonic()

        def enough(done):
            return time.monotonic() - started > GRACE_SECONDS and bool(self._good([future.result() for future in done]))

        self.progress.watch({future: endpoint.text for future, endpoint in zip(futures, endpoints)}, 'endpoints', enough)
        self._late = [(future, endpoint) for future, endpoint in zip(futures, endpoints) if not future.done()]
        return endpoints

    def _endpoint(self, dialled, found):
        """What an endpoint serves, and says of itself, into C(found); an endpoint that hangs holds up nobody else."""
        try:
            self.budget.seconds()
            connection = self.client.connect(dialled)
        except TransportError as error:
            found.error = {'kind': error.kind, 'text': error.message}
            found.certificate = error.certificate
            found.data = {kind: Datum(error.state, at=now(), reason=error.message) for kind in ENDPOINT_KINDS}
            return found
        except TalosError as error:
            found.error = {'kind': 'other', 'text': error.message}
            found.data = {kind: Datum(error.state, at=now(), reason=error.message) for kind in ENDPOINT_KINDS}
            return found
        found.connected = True
        found.certificate = connection.certificate
        if connection.address and connection.address not in found.addresses:
            found.addresses.append(connection.address)
        handle = self.client.direct(dialled)
        with ThreadPoolExecutor(len(ENDPOINT_KINDS), 'talos-endpoint') as calls:
            asked = {kind: calls.submit(self.asker.ask, BY_KIND[False, kind], handle) for kind in ENDPOINT_KINDS}
            found.data = {kind: future.result()[0] for kind, future in asked.items()}
        return found

    def _known(self, endpoints):
        """C((machines, {endpoint text: machine})) that the first wave, the talosconfig and the options name."""
        machines = union.from_members([endpoint.datum('Members').value for endpoint in endpoints])
        placed = union.place_endpoints(endpoints, machines, self._endpoint_source)
        union.add_nodes(machines, self.context.nodes, union.TALOSCONFIG)
        union.add_nodes(machines, self._nodes, union.OPTIONS)
        for endpoint in endpoints:
            machine = placed.get(endpoint.text)
            if machine is None:
                continue
            kind = union.machine_type(_spec(endpoint.datum('MachineTypes')))
            machine.type = machine.type if kind == union.UNKNOWN else kind
            _serves(machine, endpoint)
        return machines, placed

    def _good(self, endpoints):
        """The endpoints to go through: control plane nodes that answered, those of unknown type last, never a worker."""
        answering = [e for e in endpoints if e.connected and any(e.datum(kind).state in (READ, REFUSED) for kind in ENDPOINT_KINDS)]
        kinds = {endpoint.text: union.machine_type(_spec(endpoint.datum('MachineTypes'))) for endpoint in answering}
        usable = [dialled for dialled in self.client.endpoints if kinds.get(dialled.text, WORKER) != WORKER]
        return sorted(usable, key=lambda dialled: kinds[dialled.text] != CONTROL_PLANE)

    def _behind(self, endpoints, placed):
        """C({id(machine): endpoint}) of the machines that answer behind an endpoint themselves."""
        connected = {endpoint.text for endpoint in endpoints if endpoint.connected}
        return {id(placed[dialled.text]): dialled for dialled in self.client.endpoints if dialled.text in connected and dialled.text in placed}

    # -- second wave ----------------------------------------------------------------------------------------

    def _second_wave(self, pool, reader, machines, endpoints, placed):
        self._waves += 1
        futures = [pool.submit(reader.read, machine) for machine in machines]
        looks = ThreadPoolExecutor(MACHINES_AT_ONCE, 'talos-look')
        try:
            planes = [machine for machine in machines if machine.type == CONTROL_PLANE and machine.address]
            looked = [looks.submit(self._look, machine) for machine in planes if 'certificate' not in machine.data]
            self.progress.watch({future: machine.label for future, machine in zip(futures, machines)}, 'machines')
            for future in [*futures, *looked]:
                future.result()
        finally:
            looks.shutdown(wait=False, cancel_futures=True)

    def _look(self, machine):
        """The certificate that a control plane node serves; nothing is sent on that connection."""
        try:
            self.budget.seconds()
            facts = self.client.look(endpoints_of.parse(endpoints_of.join(machine.address, endpoints_of.PORT)), LOOK_SECONDS)
            machine.data['certificate'] = Datum(READ, facts, now())
        except TalosError as error:
            machine.data['certificate'] = Datum(error.state, at=now(), reason=error.message, code=getattr(error, 'kind', None))

    def _settle(self, pool, reader, machines, placed, kubernetes):
        """Who the machines turned out to be, and a round for those that nothing named before."""
        astray = reader.astray(machines)
        virtual = union.vips(machines)
        placed = _drop(union.settle([machine for machine in machines if machine not in astray], virtual), machines, placed)
        nodes = kubernetes['data'].get('nodes')
        added = union.add_affiliates(machines, virtual) + union.add_etcd_members(machines, virtual)
        added += union.add_kubernetes_nodes(machines, nodes.value if nodes is not None and nodes.ok else None, virtual)
        again = [machine for machine in astray + added if machine.address]
        if again:
            self._retries += 1
            futures = {pool.submit(reader.read, machine): machine.label for machine in again}
            self.progress.watch(futures, 'further machines')
            for future in futures:
                future.result()
            placed = _drop(union.settle(machines, union.vips(machines)), machines, placed)
        return placed

    def _sample(self, pool, reader, machines):
        """Counters of links once more, so many seconds after the last of the first samples, as far as the time of the whole allows."""
        firsts = [parse_time(machine.datum(SAMPLED).at) for machine in machines if machine.datum(SAMPLED).ok]
        if not firsts:
            return
        wait = self._sample_seconds - (datetime.now(timezone.utc) - max(firsts)).total_seconds()
        if wait >= self.budget.left():
            reason = f'the time for the whole gather does not suffice for a second sample after {self._sample_seconds:g} s'
            for machine in machines:
                machine.data[SAMPLED_AGAIN] = Datum(NOT_ASKED, at=now(), reason=reason)
            return
        time.sleep(max(0.0, wait))
        futures = {pool.submit(reader.sample, machine): machine for machine in machines}
        self.progress.watch({future: machine.label for future, machine in futures.items()}, 'second samples')
        for future, machine in futures.items():
            machine.data[SAMPLED_AGAIN] = future.result()


def clock_offset_ms(machines):
    """Milliseconds by which the machines' clocks are ahead of this one's, their median; None where none told its time.

    A machine's time is compared with the middle between sending and receiving.
    """
    found = []
    for machine in machines:
        said = machine.value('Time') or {}
        times = [parse_time(said.get(name)) for name in ('localtime', 'sent_at', 'received_at')]
        if None not in times:
            local, sent, received = times
            found.append((local - sent - (received - sent) / 2).total_seconds() * 1000)
    return round(statistics.median(found)) if found else None


def _serves(machine, endpoint):
    """Note the certificate that an endpoint served as that of the machine behind it; one that was read stays."""
    served = machine.data.get('certificate')
    if endpoint.certificate:
        machine.data['certificate'] = Datum(READ, endpoint.certificate, endpoint.datum('Version').at)
    elif served is None or not served.ok:
        machine.data['certificate'] = Datum(UNREACHABLE, at=endpoint.datum('Version').at, reason=endpoint.error['text'] if endpoint.error else None)


def _drop(gone, machines, placed):
    """Take what is no machine out of the list; the endpoints' machines after that."""
    machines[:] = [machine for machine in machines if id(machine) not in gone]
    return {text: gone.get(id(machine), machine) for text, machine in placed.items()}


def _with_keys(kubernetes):
    return {**kubernetes, 'servers': {machine.key: datum for machine, datum in kubernetes.get('servers') or ()}}


def _api_server_ports(endpoints):
    """C({key of a machine: port of its API server}) as Members tell it."""
    specs = [item.get('spec') or {} for endpoint in endpoints for item in endpoint.datum('Members').value or []]
    return {spec.get('nodeId'): spec['controlPlane'].get('port') for spec in specs if spec.get('controlPlane')}


def _spec(datum):
    items = datum.value if datum.ok else None
    return items[0].get('spec') if items else None


def _wanted(read, kinds, logs):
    if isinstance(read, LOGS):
        return logs is None or read.kind in logs
    return kinds is None or read.kind in kinds or read.kind in IDENTITY_KINDS
