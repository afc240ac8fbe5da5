# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client with the interface of api/client.py that answers from recorded bytes, in this thread and without a network."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint, errors, wire
from tests.replay import load

_ERRORS = {4: errors.DeadlineExceeded, 5: errors.NotFound, 7: errors.RoleRefused, 12: errors.Unsupported, 14: errors.NodeUnreachable}


class RecordedClient:
    """C(endpoints) are texts; C(hooks) maps (address asked, method or resource type) to an exception to raise or a value to return."""

    def __init__(self, set_name='healthy', endpoints=('10.5.0.2', '10.5.0.3', '10.5.0.4'), hooks=None):
        self.recording = load(set_name)
        self.endpoints = [endpoint.parse(text) for text in endpoints]
        self.hooks = hooks or {}
        self.asked = []
        self.dialled = []
        self.looked = []
        self._lock = threading.Lock()

    @property
    def handshakes(self):
        return len(self.dialled) + len(self.looked)

    @property
    def calls(self):
        return len(self.asked)

    def connect(self, dialled):
        hook = self.hooks.get((dialled.text, 'connect'))
        hook = hook() if callable(hook) and not isinstance(hook, Exception) else hook
        machine = self.recording.machine(dialled.host)
        certificate = self._certificate(machine)
        if isinstance(hook, Exception):
            raise hook
        if certificate is None:
            raise errors.TransportError(f'{dialled.text} refuses connections on port 50000.', 'refused', dialled.text)
        with self._lock:
            self.dialled.append(dialled.text)
        return SimpleNamespace(endpoint=dialled, certificate=certificate, address=hook or dialled.host)

    def look(self, dialled, timeout=None):
        with self._lock:
            self.looked.append(dialled.host)
        certificate = self._certificate(self.recording.machine(dialled.host))
        if certificate is None:
            raise errors.TransportError(f'{dialled.text} refuses connections on port 50000.', 'refused', dialled.text)
        return certificate

    def direct(self, dialled):
        return RecordedMachine(self, self.recording.machine(dialled.host), dialled.host, None)

    def node(self, address, via=None):
        return RecordedMachine(self, self.recording.machine(address), address, via)

    def _certificate(self, machine):
        entry = machine.ports[50000] if machine else {}
        if 'serial' not in entry:
            return None
        return {'subject': entry['subject'], 'common_name': machine.name, 'issuer': entry['issuer'], 'issuer_organization': 'talos', 'dns': entry['dns_sans'],
                'ips': entry['ip_sans'], 'not_before': entry['not_before'], 'not_after': entry['not_after'], 'key_type': 'Ed25519', 'serial': entry['serial'],
                'sha256': entry['serial']}


class RecordedMachine:
    def __init__(self, client, machine, address, via):
        self.client = client
        self.machine = machine
        self.address = address
        self.via = via

    def unary(self, method, request=None, timeout=None):
        message = self._decoded(method, request or {}, method)[0]
        return {name: value for name, value in message['messages'][0].items() if name != 'metadata'}

    def messages(self, method, request=None, timeout=None, most=None):
        return [{name: value for name, value in message.items() if name != 'metadata'} for message in self._decoded(method, request or {}, method)]

    def resources(self, type, namespace, timeout=None, parse=True):
        said = self._decoded('/cosi.resource.State/List', {'namespace': namespace, 'type': type, 'options': None}, type)
        if said and 'resource' not in said[0]:
            return said
        return [_resource(message['resource']) for message in said]

    def log(self, id, namespace='system', tail=500, limit_bytes=None, timeout=None):
        request = {'namespace': namespace, 'id': id, 'driver': 'CRI' if namespace == 'k8s.io' else 'CONTAINERD', 'tail_lines': tail}
        data = b''.join(message['bytes'] for message in self._decoded('/machine.MachineService/Logs', request, f'log {id}'))
        return SimpleNamespace(data=data[:limit_bytes], complete=len(data) <= limit_bytes, truncated=len(data) > limit_bytes, error=None)

    def kubeconfig(self, timeout=None):
        raise errors.Unsupported('not recorded', 'UNIMPLEMENTED')

    def _decoded(self, method, request, subject):
        """The messages of a call; a hook for (address, subject), also with via, comes first."""
        client = self.client
        with client._lock:
            client.asked.append((self.address, self.via.text if self.via else None, subject))
        for key in ((self.address, self.via.text if self.via else None, subject), (self.address, subject)):
            if key in client.hooks:
                hook = client.hooks[key]
                hook = hook(self) if callable(hook) and not isinstance(hook, Exception) else hook
                if isinstance(hook, Exception):
                    raise hook
                if hook is not None:
                    return hook
        spec = wire.METHODS[method]
        call = self.machine and client.recording.about(self.machine, self.via is not None, method, (wire.encode(spec.request, request),))
        if self.machine is None:
            raise errors.NodeUnreachable(f'dial tcp {self.address}:50000: connect: no route to host', 'UNAVAILABLE', self.address, method)
        if call is None:
            raise errors.Unsupported('not recorded', 'UNIMPLEMENTED', self.address, method)
        if call.code:
            raise _ERRORS.get(call.code, errors.CallError)(call.message, str(call.code), self.address, method)
        return [wire.decode(spec.response, response) for response in call.responses]


def _resource(resource):
    meta = resource['metadata']
    return {**{name: meta[name] for name in ('id', 'namespace', 'version', 'phase', 'owner', 'created', 'updated', 'labels')},
            'spec': yaml.safe_load(resource['spec']['yaml_spec']) if resource['spec'] else None}
