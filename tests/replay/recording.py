# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was recorded of a real cluster, as data (see tests/tools/import_recordings.py for the files)."""

from __future__ import annotations

import base64
import functools
import json
import lzma
import re
from dataclasses import dataclass
from pathlib import Path

from tests.bed import pki

DATA = Path(__file__).parent / 'data'
UNAVAILABLE = 14
DEADLINE_EXCEEDED = 4

_ISSUING_CA = re.compile(rb'issuingCA:\n\s+crt: (\S+)\n\s+key: (\S+)\n')


@dataclass(frozen=True)
class Call:
    """One recorded call; C(metadata) maps node/nodes to their values, C(code) and C(message) are the gRPC status."""

    case: str
    method: str
    endpoint: str
    metadata: dict
    requests: tuple
    responses: tuple
    code: int
    message: str
    seconds: float
    at: str | None
    node: str | None

    @property
    def endless(self):
        """It was the recorder who gave up, not the server who refused: the server would have stayed silent for ever."""
        return self.code == DEADLINE_EXCEEDED and self.seconds >= 1


@dataclass(frozen=True)
class Machine:
    """C(addresses) are where its apid is reached, its own first; C(ports) maps 50000 and 6443 to the certificate entry or dial error."""

    name: str
    addresses: tuple
    control_plane: bool
    ports: dict

    @property
    def address(self):
        return self.addresses[0]


class Recording:
    """A recorded set: C(meta) is its meta.json, C(calls) what was asked of apid, C(kubernetes) of the Kubernetes API."""

    def __init__(self, name):
        folder = DATA / name
        if not (folder / 'calls.jsonl.xz').exists():
            raise ValueError(f'There is no recorded set {name!r}; there are: {", ".join(sets())}.')
        self.name = name
        self.meta = json.loads((folder / 'meta.json').read_text())
        self.calls = [_call(row) for row in _rows(folder / 'calls.jsonl.xz')]
        self.kubernetes = list(_rows(folder / 'kubernetes.jsonl.xz'))
        self.certificates = json.loads((folder / 'certificates.json').read_text())
        self.machines, self.shared = self._machines()
        self._by_address = {address: machine for machine in self.machines for address in machine.addresses}
        self._by_name = {machine.name: machine for machine in self.machines}
        self._exact = {}
        self._about = {}
        self._codes = {}
        for call in self.calls:
            self._exact.setdefault((call.endpoint, _key(call.metadata), call.method, call.requests), call)
            machine = self._subject(call)
            if machine:
                forwarded = 'node' in call.metadata
                self._about.setdefault((machine.name, forwarded, call.method, call.requests), call)
                self._codes.setdefault(machine.name, set()).add(call.code)

    @property
    def roles(self):
        return [self.meta['role']]

    def machine(self, text):
        """The machine that an address or a host name stands for, or None."""
        return self._by_address.get(text) or self._by_name.get(text)

    def exact(self, endpoint, metadata, method, requests):
        """The call recorded with these very metadata at this endpoint (an address), or None."""
        return self._exact.get((endpoint, _key(metadata), method, requests))

    def about(self, machine, forwarded, method, requests):
        """What this machine said to this request, or None.

        One that was recorded by way of C(node) also answers for a call made directly, and the other way round: without
        C(nodes) the bytes are the same (talos-api 3.1). A machine that gave no answer to any recorded call gives none
        to others.
        """
        for way in (forwarded, not forwarded):
            call = self._about.get((machine.name, way, method, requests))
            if call:
                return call
        if self._codes.get(machine.name) in ({UNAVAILABLE}, {DEADLINE_EXCEEDED}):
            return next(call for call in self.calls if self._subject(call) is machine)
        return None

    def kubernetes_authority(self):
        """The Kubernetes CA with its key, from a control plane node's KubernetesRootSecrets; None where a reader recorded."""
        for call in self.calls:
            if call.case == 'cosi-list-KubernetesRootSecrets.secrets.talos.dev':
                for response in call.responses:
                    found = _ISSUING_CA.search(response)
                    if found:
                        return pki.Authority.load(*map(base64.b64decode, found.groups()))
        return None

    def _subject(self, call):
        """The machine that a call is about; None for refusals of the endpoint and for aggregated calls."""
        if 'nodes' in call.metadata or len(call.metadata.get('node', ())) > 1:
            return None
        return self.machine(call.metadata['node'][0] if 'node' in call.metadata else call.endpoint)

    def _machines(self):
        """The machines, and the shared addresses (of a VIP or a load balancer) with their certificate entries by port."""
        ports, names, serials = {}, {}, {}
        for entry in self.certificates:
            address, _colon, port = entry['address'].rpartition(':')
            ports.setdefault(address, {})[int(port)] = entry
            if 'serial' in entry:
                serials.setdefault(entry['serial'], address)
        for call in self.calls:
            if call.node and not call.metadata:
                names[call.endpoint] = call.node
        shared = {address: found for address, found in ports.items() if 50000 not in found}
        machines = []
        for address, found in ports.items():
            if 50000 in found:
                name = names.get(address) or found[50000].get('dns_sans', [address])[0]
                # A shared address is served by who serves the same certificate under it: the holder of the VIP.
                held = [other for other, entries in shared.items() if serials.get(entries[6443].get('serial')) == address]
                machines.append(Machine(name, (address, *held), 6443 in found, found))
        return machines, shared


@functools.lru_cache(maxsize=None)
def load(name):
    """The Recording of a set; ValueError, in a sentence, when there is none."""
    return Recording(name)


def sets():
    """The names of the recorded sets."""
    return sorted(folder.name for folder in DATA.iterdir() if (folder / 'calls.jsonl.xz').exists())


def _rows(path):
    with lzma.open(path, 'rt', encoding='utf-8', newline='\n') as lines:
        return [json.loads(line) for line in lines]


def _call(row):
    return Call(
        case=row['case'],
        method=row['method'],
        endpoint=row['endpoint'].rpartition(':')[0],
        metadata={key: tuple(values) for key, values in row['metadata'].items()},
        requests=tuple(message.encode('latin-1') for message in row['requests']),
        responses=tuple(message.encode('latin-1') for message in row['responses']),
        code=row['code'],
        message=row['message'],
        seconds=row['duration_ms'] / 1000,
        at=row.get('at'),
        node=row.get('node'),
    )


def _key(metadata):
    return tuple(sorted((key, tuple(values)) for key, values in metadata.items()))
