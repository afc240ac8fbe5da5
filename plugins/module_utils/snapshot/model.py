# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster at one instant, as plain data.

Nothing here touches a network or a clock: the checks see the cluster only through these types, and "now" is
C(Snapshot.now). The keys of C(Machine.data) are the names of the reads in snapshot/reads.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import (
    ABSENT, FAILED, NOT_ASKED, READ, REFUSED, ROLE_MAY_NOT, TIMED_OUT, UNREACHABLE, UNSUPPORTED,
)

CONTROL_PLANE = 'controlplane'
WORKER = 'worker'
UNKNOWN = 'unknown'

WHY = {
    REFUSED: f'{ROLE_MAY_NOT} read it',
    UNSUPPORTED: 'this machine does not offer it',
    ABSENT: 'it does not exist',
    TIMED_OUT: 'no answer before the deadline',
    UNREACHABLE: 'the machine could not be reached',
    NOT_ASKED: 'it was not asked for',
    FAILED: 'the call failed',
}


def parse_time(text):
    """RFC 3339 text to an aware datetime in UTC, or None for empty or damaged text (nanoseconds are cut)."""
    return _parsed(str(text)) if text else None


@lru_cache(maxsize=8192)
def _parsed(text):
    body = text.strip().replace('Z', '+00:00').replace('z', '+00:00')
    if '.' in body:
        head, rest = body.split('.', 1)
        digits = ''
        while rest and rest[0].isdigit():
            digits, rest = digits + rest[0], rest[1:]
        body = f'{head}.{digits[:6].ljust(6, "0")}{rest}'
    try:
        when = datetime.fromisoformat(body)
    except ValueError:
        return None
    return when.astimezone(timezone.utc) if when.tzinfo else when.replace(tzinfo=timezone.utc)


def format_time(when):
    """An aware datetime as RFC 3339 UTC with milliseconds."""
    return when.astimezone(timezone.utc).isoformat(timespec='milliseconds').replace('+00:00', 'Z')


@dataclass
class Datum:
    """One thing that was asked for: C(state) says how that went, C(value) is there only when it was read.

    C(complete) is false when a stream broke or met its byte limit: what came is kept (talos-api 5).
    """

    state: str = NOT_ASKED
    value: object = None
    at: str | None = None
    reason: str | None = None
    code: str | None = None
    complete: bool = True

    @property
    def ok(self):
        return self.state == READ

    def why(self):
        """Why it was not read, as the end of a sentence; the machine's own words where they tell more."""
        said = WHY.get(self.state, self.state)
        if self.state == REFUSED and ROLE_MAY_NOT in (self.reason or ''):
            return f'{said} (os:admin may)'
        return f'{said} ({self.reason})' if self.reason else said

    def to_plain(self):
        plain = {'state': self.state, 'at': self.at}
        if self.state == READ:
            plain['value'] = self.value
        if self.reason:
            plain['reason'] = self.reason
        if self.code:
            plain['code'] = self.code
        if not self.complete:
            plain['complete'] = False
        return plain

    @classmethod
    def from_plain(cls, plain):
        return cls(state=plain['state'], value=plain.get('value'), at=plain.get('at'), reason=plain.get('reason'),
                   code=plain.get('code'), complete=plain.get('complete', True))


@dataclass
class Machine:
    """A machine that is known from anywhere, whether it answered or not.

    C(key) is the Talos node identity, else the address asked: never the host name. C(known_from) holds any of
    discovery, etcd, kubernetes, talosconfig, options. C(unreachable) is None or
    C({kind, text, via, at}) with kind of TransportError, or node_unreachable, deadline. C(logs) maps a log id to a
    Datum whose value is text.
    """

    key: str
    address: str | None = None
    addresses: list = field(default_factory=list)
    name: str | None = None
    type: str = UNKNOWN
    known_from: list = field(default_factory=list)
    answered: bool = False
    unreachable: dict | None = None
    via: str | None = None
    data: dict = field(default_factory=dict)
    logs: dict = field(default_factory=dict)

    @property
    def label(self):
        """How a report calls it: name, else address, else key."""
        return self.name or self.address or self.key

    @property
    def is_control_plane(self):
        return self.type == CONTROL_PLANE

    def datum(self, kind):
        return self.data.get(kind) or Datum()

    def value(self, kind, default=None):
        """The value of a read that succeeded, else C(default)."""
        datum = self.data.get(kind)
        return datum.value if datum is not None and datum.ok else default

    def log(self, log_id):
        return self.logs.get(log_id) or Datum()

    def resource(self, kind, resource_id=None):
        """The spec of one resource of a COSI list that was read (the first without an id), else None."""
        for item in self.value(kind) or []:
            if resource_id is None or item.get('id') == resource_id:
                return item.get('spec')
        return None


@dataclass
class Endpoint:
    """An address of the talosconfig as it was dialled.

    C(error) is None or C({kind, text}); C(certificate) the facts of the certificate it served, also when the
    connection was then refused. C(data) holds what the endpoint says of itself (no forwarding): Version,
    MachineTypes, ServiceList, Members. C(machine) is the key of the machine that answers there, once known.
    """

    text: str
    host: str
    port: int
    addresses: list = field(default_factory=list)
    connected: bool = False
    error: dict | None = None
    certificate: dict | None = None
    machine: str | None = None
    data: dict = field(default_factory=dict)

    def datum(self, kind):
        return self.data.get(kind) or Datum()


@dataclass
class Snapshot:
    """Everything that was learnt in one gather.

    C(cluster): {name, id, context}. C(client): facts of the talosconfig in use (api/talosconfig.py: facts()).
    C(kubernetes): {source, server, client, read_from, error, data: {kind: Datum}, servers: {machine key: Datum of /readyz}}. C(source) is
    talos for the kubeconfig that Talos issued, kubeconfig for one that was given, None without one; C(client) the facts of the
    client certificate of one that was given, if it has one; C(read_from) the URL of the server that the lists came from. C(data)
    has the kinds of snapshot/objects.py, and
    version: what /version says; readyz: {status, body} of /readyz through C(server);
    endpoint: the cluster endpoint, by ten new connections (kube/probe.py: ask), with or without credentials:
    {source, url, host, port, addresses, error, verified, certificates, probes}. C(source) is as above, or kubeprism where
    only KubePrismEndpoints (or the configuration) named it; C(addresses) is what the host resolves to on this control node;
    C(error) is None or {kind, text} where there was nothing to connect to: url, resolve, timeout, proxy; C(verified) says
    whether the certificate was held against the kubeconfig's CA; C(certificates) are the facts of those that were served.
    Each of C(probes) is {ok, status, kind, text, address, certificate, seconds} (kube/probe.py: _one).
    The data of a control plane node have apiserver_certificate, the facts of what its own port 6443 serves (the Datum's
    C(code) is the kind of the failure), and apiserver_probe, one such probe without any credentials: 401 is C(ok).
    C(control_node): {clock_offset_ms, ran_on, waves, retries, handshakes, calls, seconds}.
    """

    taken_at: str
    finished_at: str | None = None
    collection: str | None = None
    cluster: dict = field(default_factory=dict)
    client: dict = field(default_factory=dict)
    control_node: dict = field(default_factory=dict)
    endpoints: list = field(default_factory=list)
    machines: list = field(default_factory=list)
    kubernetes: dict = field(default_factory=dict)

    @property
    def now(self):
        return parse_time(self.finished_at or self.taken_at)

    def machine(self, key):
        for machine in self.machines:
            if machine.key == key:
                return machine
        return None

    def by_address(self, address):
        """The machine that has this address (without prefix length), else None."""
        for machine in self.machines:
            if address == machine.address or address in machine.addresses:
                return machine
        return None

    def control_planes(self, answered=None):
        return [m for m in self.machines if m.is_control_plane and (answered is None or m.answered is answered)]

    def answering(self):
        return [m for m in self.machines if m.answered]
