# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain access: which machines of a cluster a task asks, and asking them all at once.

The way to a machine is that of a gather (snapshot/gather.py, snapshot/reader.py): the endpoints say who there is, then
each machine is asked through a good one. What cannot be read of one machine is a reason beside its name, never an
exception; only where nothing at all could be read there is one.
"""

from __future__ import annotations

import contextlib
import ipaddress
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import REFUSED, InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import machines as union
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.ask import Asker, Budget
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.gather import MACHINES_AT_ONCE, Gather
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import CONTROL_PLANE, WORKER, Datum
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reader import MachineReader
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import READER
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, facts

CONTROL_PLANES, WORKERS = 'control_planes', 'workers'
SELECTORS = {CONTROL_PLANES: CONTROL_PLANE, WORKERS: WORKER}
# What is asked to find the machines and the way to them, for the documentation.
READS = ('Version', 'MachineTypes', 'ServiceList', 'Members')
_NAMED_MOST = 3


@contextlib.contextmanager
def of(params, say):
    """The L(Cluster) that a task's parameters name, connected while the context lasts.

    C(nodes) names its machines, by name or address, or all that are control_planes or workers; without it all that
    discovery, the endpoints and the talosconfig name. Raises TalosError where no endpoint can be used.
    """
    found = access.of(params)
    timeout, deadline = access.seconds(params)
    wanted = [_normal(text) for text in params.get('nodes') or ()]
    with Client(found.context, endpoints=params.get('endpoints') or None, proxy=params.get('proxy'), timeout=min(timeout, deadline),
                tmp_dir=found.tmp_dir) as client:
        budget = Budget(timeout, deadline)
        finder = _Finder(client, found.context, nodes=[text for text in wanted if text not in SELECTORS], own_endpoints=bool(params.get('endpoints')),
                         kinds=(), logs=(), budget=budget, say=access.saying(params, say))
        finder.asker = _Asker(budget, finder.asker.redactor)
        pool = ThreadPoolExecutor(MACHINES_AT_ONCE, 'talos-machine')
        try:
            yield finder.find(pool, wanted)
        except BaseException:
            budget.stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()


class Cluster:
    """C(machines) are those to ask, in the order of reports; C(labels) their names there by key; C(redactor) is that of this task."""

    def __init__(self, machines, roles, reader, pool, progress, redactor):
        self.machines = machines
        self.labels = facts.labels(self)
        self.redactor = redactor
        self._roles = roles
        self._reader = reader
        self._pool = pool
        self._progress = progress

    def first(self, read):
        """The Datum of a read of the first control plane node that gives one, of the cluster's and not of the chosen machines."""
        datum = Datum()
        for handle in self._reader.doors():
            datum = self._reader.ask_one(read, handle)
            if datum.ok:
                break
        return datum

    def visit(self, do):
        """C({label: what do(machine, ask) returns}) of every machine that answered, all at once; C(ask(reads)) gives {kind: Datum}."""
        self._reader.do, self._reader.results = do, {}
        futures = {self._pool.submit(self._reader.read, machine): self.labels[machine.key] for machine in self.machines}
        self._progress.watch(futures, 'machines')
        for future in futures:
            future.result()
        return {self.labels[machine.key]: self._reader.results[id(machine)] for machine in self.machines if id(machine) in self._reader.results}

    def silent(self):
        """C({label: reason}) of the machines that did not answer, after a visit."""
        return {self.labels[machine.key]: machine.unreachable['text'] if machine.unreachable else machine.datum('Version').why()
                for machine in self.machines if not machine.answered}

    def why(self, datum, needs=READER):
        """Why a read failed, in the machine's own words; C(needs) is the role that may."""
        if datum.state == REFUSED:
            return f'needs {needs}, and the client certificate has {", ".join(self._roles) or "no role"} ({datum.reason})'
        return datum.reason or datum.why()

    def nothing(self, what, unread):
        """The TalosError that says that C(what) came from no machine; C(unread) is {label: reason}."""
        strangers = all(machine.known_from == [union.OPTIONS] for machine in self.machines)
        said = '; '.join(f'{label}: {reason.rstrip(".")}' for label, reason in list(unread.items())[:_NAMED_MOST])
        more = f'; and {len(unread) - _NAMED_MOST} more' if len(unread) > _NAMED_MOST else ''
        any_of = f' from any of {len(unread)} machines' if len(unread) > 1 else ''
        hint = 'Neither discovery nor the talosconfig names what the option nodes does: check it.' if strangers else None
        return TalosError(f'{what} could not be read{any_of}: {said}{more}.', hint)


class _Asker(Asker):
    """Reads with a C(call(machine, seconds)) of their own give C((value, complete, reason)); what is returned as a whole is redacted strictly."""

    def _call(self, read, machine, seconds):
        return read.call(machine, seconds) if hasattr(read, 'call') else super()._call(read, machine, seconds)

    @staticmethod
    def _late(read):
        return False

    def _redacted(self, read, value):
        return self.redactor.text(value) if isinstance(value, str) else self.redactor.whole(value)


class _Finder(Gather):
    """The first wave of a gather and nothing else."""

    def find(self, pool, wanted):
        """The L(Cluster) of the machines that the texts C(wanted) mean. Raises TalosError."""
        endpoints = self._first_wave(pool)
        if not any(one.connected for one in endpoints):
            said = '; '.join(dict.fromkeys(one.error['text'].rstrip('.') for one in endpoints if one.error))
            which = f'None of the {len(endpoints)} endpoints' if len(endpoints) > 1 else 'The only endpoint'
            raise TalosError(f'{which} of the context "{self.context.name}" {"could" if len(endpoints) > 1 else "could not"} be used: {said}.',
                             'The module talos_api_check judges how the Talos API is reached.')
        machines, placed = self._known(endpoints)
        reader = _Visitor(self.client, self.asker, self._good(endpoints), self._behind(endpoints, placed))
        discovered = any(one.datum('Members').ok and one.datum('Members').value for one in endpoints)
        chosen = _chosen(machines, wanted, discovered)
        chosen.sort(key=lambda machine: (machine.type != CONTROL_PLANE, machine.type != WORKER, machine.name or '', machine.key))
        roles = (self._facts['certificate'] or {}).get('roles') or []
        return Cluster(chosen, roles, reader, pool, self.progress, self.asker.redactor)


class _Visitor(MachineReader):
    """Reaches machines as a gather does; what is then asked of each is up to C(do(machine, ask))."""

    def __init__(self, client, asker, routes, behind):
        super().__init__(client, asker, (), routes, behind)
        self.do = None
        self.results = {}

    def doors(self):
        """Handles of the endpoints themselves, the good ones first."""
        return [self._client.direct(one) for one in dict.fromkeys([*self.routes, *self._behind.values()])]

    def ask_one(self, read, handle):
        return self._asker.ask(read, handle)[0]

    def _read_all(self, machine, handle, calls):
        def ask(reads):
            asked = [(read.kind, calls.submit(self._ask, read, machine, handle)) for read in reads]
            return {kind: future.result() for kind, future in asked}

        self.results[id(machine)] = self.do(machine, ask)


def _normal(text):
    """A name or an address as discovery writes it."""
    text = str(text).strip()
    if not text:
        raise InputError('The option nodes has an empty entry.')
    if union.is_ip(text):
        return str(ipaddress.ip_address(text))
    if ':' in text or ',' in text:
        raise InputError(f'nodes: "{text}" is no name or address without a port.')
    return text.lower()


def _chosen(machines, wanted, discovered):
    """Those that are wanted, each once. A selector that selects none is an error only where nobody said of what type machines are."""
    if not wanted:
        return list(machines)
    chosen = []
    for text in wanted:
        kind = SELECTORS.get(text)
        found = [machine for machine in machines if (machine.type == kind if kind else text in (machine.address, machine.name, *machine.addresses))]
        if not found and not discovered:
            raise TalosError(f'Which machines are {text.replace("_", " ")} is not known: no endpoint told the members of the cluster.',
                             'Name the machines in the option nodes.')
        chosen += [machine for machine in found if machine not in chosen]
    return chosen
