# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""All reads of one machine, through a good endpoint.

Version comes first: a machine that does not answer it costs one deadline, not one per read (gate G0). After that
every read runs beside the others; those that hang cost their own deadline only.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import (
    NOT_ASKED, READ, REFUSED, UNREACHABLE, UNSUPPORTED, DeadlineExceeded, NodeUnreachable, NoForwarding, NotAsked, TransportError,
)
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import machines as union
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.ask import now
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import CONTROL_PLANE, Datum
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import (
    ALL, BY_KIND, CONTAINER_LOG_TAIL, CONTAINER_LOGS_MOST, CONTROL_PLANES, DISK_FILLING, ETCD_RUNNING, FILLING_SHARE, LOGS, METAL, SAMPLED,
    ContainerLogs,
)

# Calls at once to one machine, and to all machines together: more would not be faster, but fight for the interpreter.
CALLS_AT_ONCE = 16
CALLS_AT_LEAST = 6
CALLS_IN_FLIGHT = 128
# After so long without an answer another endpoint is tried beside the first.
HEDGE_SECONDS = 2.0

_REACHED = (READ, REFUSED, UNSUPPORTED)
_VERSION = BY_KIND[False, 'Version']
_FIRST = ('ServiceList', 'MachineTypes')
# Talos writes three lines into machined's log for each call (edge-cases 44c): its tail is read before our own calls fill it.
_EARLY = (*_FIRST, 'machined')
_HOSTS_KERNEL = 'in container mode the kernel is that of the host'
_KINDS = ((NotAsked, 'not_asked'), (DeadlineExceeded, 'deadline'), (NoForwarding, 'no_forwarding'), (NodeUnreachable, 'node_unreachable'))


class MachineReader:
    """C(machines): how many are read at once. C(routes): the endpoints to go through, best first.

    C(behind): {id(machine): endpoint} of machines that answered there themselves.
    """

    def __init__(self, client, asker, reads, routes, behind, machines=1):
        self._client = client
        self._asker = asker
        self._reads = sorted((read for read in reads if read is not _VERSION), key=lambda read: read.kind not in _EARLY)
        self._behind = behind
        self._at_once = max(CALLS_AT_LEAST, min(CALLS_AT_ONCE, CALLS_IN_FLIGHT // max(machines, 1)))
        self.routes = list(routes)

    def read(self, machine):
        """Fill a machine's data, logs, answered, via and unreachable."""
        if not machine.address:
            self._skip(machine, Datum(UNREACHABLE, at=now(), reason='no address of it is known'), 'resolve', None)
            return
        with ThreadPoolExecutor(self._at_once, 'talos-call') as calls:
            handle = self._reach(machine, calls)
            if handle is not None:
                self._read_all(machine, handle, calls)

    def sample(self, machine):
        """The counters of a machine that was read, once more, by the way it was read."""
        endpoint = next((endpoint for endpoint in self.routes if endpoint.text == machine.via), None)
        handle = self._client.node(machine.address, via=endpoint) if endpoint else self._client.direct(self._behind[id(machine)])
        return self._ask(BY_KIND[False, SAMPLED], machine, handle)

    def astray(self, machines):
        """Members whose address was answered by another one (a VIP that moved); each with its next address, as if nothing had been asked."""
        answered = {union.identity(machine) for machine in machines if machine.answered and union.identity(machine) == machine.key}
        found = []
        for machine in machines:
            said = union.identity(machine)
            others = [address for address in machine.addresses if address != machine.address]
            if union.DISCOVERY in machine.known_from and said != machine.key and said in answered and others:
                machine.addresses = others
                machine.address = others[0]
                machine.answered, machine.via = False, None
                machine.data, machine.logs = {kind: datum for kind, datum in machine.data.items() if kind == 'certificate'}, {}
                found.append(machine)
        return found

    # -- reach ----------------------------------------------------------------------------------------------

    def _reach(self, machine, calls):
        """A handle of the machine through the first endpoint by which it answers; None when it does not."""
        routes = self._routes_to(machine)
        if not routes:
            endpoint = self._behind.get(id(machine))
            if endpoint is None:
                state, reason = self._asker.budget.over() or (UNREACHABLE, 'no control plane endpoint answered')
                self._skip(machine, Datum(state, at=now(), reason=reason), 'no_endpoint', None)
                return None
            routes = [(endpoint, self._client.direct(endpoint))]
        reach, asked, failed = {}, {}, None
        waiting = list(routes)
        while waiting or asked:
            if waiting:
                endpoint, handle = waiting.pop(0)
                asked[calls.submit(self._asker.ask, _VERSION, handle)] = (endpoint, handle)
            done, _pending = wait(asked, timeout=HEDGE_SECONDS if waiting else None, return_when=FIRST_COMPLETED)
            for future in done:
                endpoint, handle = asked.pop(future)
                datum, error = future.result()
                _note(reach, endpoint.text, datum)
                if datum.state in _REACHED:
                    for late, (other, _handle) in asked.items():
                        late.add_done_callback(lambda ended, text=other.text: _note(reach, text, ended.result()[0]))
                    machine.answered, machine.via, machine.unreachable = True, endpoint.text, None
                    machine.data['Version'] = datum
                    machine.data['reach'] = Datum(READ, reach, datum.at)
                    return handle
                failed = failed or (datum, _kind(error), endpoint.text)
        machine.data['reach'] = Datum(READ, reach, failed[0].at)
        self._skip(machine, *failed)
        return None

    def _routes_to(self, machine):
        """The best endpoint and one other: the machine's own, else any; as (endpoint, handle) pairs."""
        chosen = self.routes[:1]
        own = self._behind.get(id(machine))
        others = [endpoint for endpoint in self.routes[1:] if endpoint is own] or self.routes[1:]
        return [(endpoint, self._client.node(machine.address, via=endpoint)) for endpoint in chosen + others[:1]]

    def _skip(self, machine, datum, kind, via):
        """Every read of a machine that does not answer stands as that."""
        machine.answered = False
        machine.unreachable = None if datum.state == NOT_ASKED else {'kind': kind, 'text': datum.reason, 'via': via, 'at': datum.at}
        machine.data['Version'] = datum
        for read in self._reads:
            if read.on in (ALL, METAL) or machine.type == CONTROL_PLANE:
                _keep(machine, read, Datum(datum.state, at=datum.at, reason=datum.reason, code=datum.code))

    # -- reads ----------------------------------------------------------------------------------------------

    def _read_all(self, machine, handle, calls):
        asked = []
        for read in self._reads:
            if isinstance(read, ContainerLogs):
                continue
            if read.on == METAL and _in_container(machine):
                _keep(machine, read, Datum(NOT_ASKED, at=now(), reason=_HOSTS_KERNEL))
            elif read.on in (ALL, METAL):
                asked.append((read, calls.submit(self._ask, read, machine, handle)))
        for read, future in asked:
            if read.kind in _FIRST:
                _keep(machine, read, future.result())
        kind = union.machine_type(machine.resource('MachineTypes'))
        machine.type = machine.type if kind == union.UNKNOWN else kind
        if machine.type == CONTROL_PLANE:
            why_not = _etcd_does_not_run(machine.datum('ServiceList'))
            for read in self._reads:
                if read.on == ETCD_RUNNING and why_not:
                    _keep(machine, read, Datum(NOT_ASKED, at=now(), reason=why_not))
                elif read.on in (CONTROL_PLANES, ETCD_RUNNING):
                    asked.append((read, calls.submit(self._ask, read, machine, handle)))
        for read, future in asked:
            _keep(machine, read, future.result())
        for read in self._reads:
            if isinstance(read, ContainerLogs):
                self._read_containers(read, machine, handle, calls)
            elif read.on == DISK_FILLING:
                why_not = _disk_has_room(machine)
                _keep(machine, read, Datum(NOT_ASKED, at=now(), reason=why_not) if why_not else self._ask(read, machine, handle))

    def _read_containers(self, read, machine, handle, calls):
        """The logs of Kubernetes' own containers on this machine (check catalogue CP-3)."""
        listed = machine.datum('Containers')
        if not listed.ok:
            _keep(machine, read, Datum(NOT_ASKED, at=now(), reason=f'the containers are not known: {listed.why()}'))
            return
        asked = {key: calls.submit(self._asker.ask_log, log_id, 'k8s.io', CONTAINER_LOG_TAIL, handle)
                 for key, log_id in containers_of(listed.value, read.names).items()}
        _keep(machine, read, Datum(READ, '', now()))
        machine.logs.update({key: future.result() for key, future in asked.items()})

    def _ask(self, read, machine, handle):
        """One read; when the connection to the endpoint broke, once more through another."""
        datum, error = self._asker.ask(read, handle)
        if isinstance(error, TransportError):
            for endpoint in self.routes:
                if endpoint.text != machine.via:
                    return self._asker.ask(read, self._client.node(machine.address, via=endpoint))[0]
        return datum


def _keep(machine, read, datum):
    (machine.logs if isinstance(read, LOGS) else machine.data)[read.kind] = datum


def _in_container(machine):
    return ((machine.value('Version') or {}).get('platform') or {}).get('mode') == 'container'


def _disk_has_room(machine):
    """Why a machine is not asked what fills its disk, or None where it should be."""
    if _in_container(machine):
        return 'in container mode the disk is that of the host'
    mounts = machine.datum('Mounts')
    if not mounts.ok:
        return f'how full the disk is is not known: {mounts.why()}'
    var = next((mount for mount in mounts.value.get('stats') or [] if mount.get('mounted_on') == '/var'), None)
    if not var or not var.get('size'):
        return '/var is not mounted'
    used = 1 - var['available'] / var['size']
    return None if used >= FILLING_SHARE else f'the disk is not full: {used:.0%} of /var is used'


def containers_of(listed, names):
    """C({<pod>:<container>: log id}) of the containers with these names in kube-system, those that run before those that ended.

    An instance that ended counts only where none of its container runs (check catalogue CP-3); of several the last one listed.
    """
    found = {}
    for container in listed.get('containers') or []:
        namespace, _slash, rest = container.get('id', '').partition('/')
        pod, _colon, name_and_hash = rest.partition(':')
        name = name_and_hash.rpartition(':')[0]
        if namespace == 'kube-system' and name in names:
            key = f'{pod}:{name}'
            if key not in found or not found[key][0] or container.get('status') == 'CONTAINER_RUNNING':
                found[key] = (container.get('status') == 'CONTAINER_RUNNING', container['id'])
    wanted = sorted(found, key=lambda key: (names.index(key.rpartition(':')[2]), key))
    return {key: found[key][1] for key in wanted[:CONTAINER_LOGS_MOST]}


def _note(reach, text, datum):
    reach[text] = 'ok' if datum.state in _REACHED else datum.reason


def _etcd_does_not_run(services):
    """Why etcd must not be asked (its calls hang where it does not run, talos-api 5.4), or None."""
    if not services.ok:
        return f'whether etcd is running is not known: {services.why()}'
    for service in services.value.get('services') or []:
        if service.get('id') == 'etcd':
            return None if service.get('state') == 'Running' else f'etcd is not running ({service.get("state")})'
    return 'etcd is not running (it is no service of this machine)'


def _kind(error):
    if isinstance(error, TransportError):
        return error.kind
    return next((kind for type_, kind in _KINDS if isinstance(error, type_)), 'failed')
