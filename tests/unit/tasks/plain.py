# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of plain access against recorded bytes, without a network."""

from __future__ import annotations

import contextlib
import functools
from types import SimpleNamespace

from ansible_collections.talosops.talos.plugins.module_utils.api import spec, talosconfig, wire
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, machines
from ansible_collections.talosops.talos.plugins.module_utils.tasks.arguments import SPECS
from tests.bed import pki
from tests.replay import load
from tests.unit.snapshot.recorded_client import RecordedClient, RecordedMachine


@functools.cache
def context():
    """A context whose client is os:admin; the recorded client asks nobody who it is."""
    authority = pki.Authority('talos')
    text = pki.talosconfig('rt', ['10.5.0.2', '10.5.0.3', '10.5.0.4'], authority, authority.client(['os:admin']))
    return talosconfig.load(content=text, environ={})


def params(module, **options):
    """The parameters of a module as its door makes them."""
    defaults = {name: argument.get('default') for name, argument in SPECS[module]['argument_spec'].items()}
    return {**defaults, **options, 'access': access.Access(context(), cluster='rt', directory='.')}


class Connected(RecordedClient):
    """A recorded client where a task makes one of its own."""

    def __init__(self, set_name, hooks):
        super().__init__(set_name, hooks=hooks)

    def direct(self, dialled):
        return Asked(self, self.recording.machine(dialled.host), dialled.host, None)

    def node(self, address, via=None):
        return Asked(self, self.recording.machine(address), address, via)


class Asked(RecordedMachine):
    """With the resources as the client itself decodes them, and logs of containers."""

    def resources(self, kind, namespace, timeout=None, parse=True):
        said = self._decoded('/cosi.resource.State/List', {'namespace': namespace, 'type': kind, 'options': None}, kind)
        return said if said and 'resource' not in said[0] else [spec.resource(message['resource']) for message in said]

    def log(self, log_id, namespace='system', tail=500, limit_bytes=None, timeout=None):
        request = {'namespace': namespace, 'id': log_id, 'driver': 'CRI' if namespace == 'k8s.io' else 'CONTAINERD', 'tail_lines': 500}
        said = self._decoded('/machine.MachineService/Logs', request, f'log {log_id}')
        if isinstance(said, SimpleNamespace):
            return said
        lines = b''.join(message['bytes'] for message in said).splitlines(keepends=True)
        data = b''.join(lines if tail == -1 else lines[-tail:])
        return SimpleNamespace(data=data[-limit_bytes:], complete=True, truncated=False, error=None)

    def stream(self, method, request=None, limit_bytes=None, timeout=None, newest=False):
        data = b''.join(message['bytes'] for message in self._decoded(method, request or {}, method))
        return SimpleNamespace(data=data, complete=True, truncated=False, error=None)


def serving(monkeypatch, set_name='healthy', hooks=None):
    """Tasks find this recorded cluster; returns the client."""
    client = Connected(set_name, hooks)
    monkeypatch.setattr(machines, 'Client', lambda *_given, **_options: contextlib.nullcontext(client))
    return client


def stream(text, truncated=False, error=None):
    return SimpleNamespace(data=text.encode(), complete=error is None and not truncated, truncated=truncated, error=error)


@functools.cache
def listed(kind, node='cp1', set_name='healthy'):
    """The recorded resources of a type, unredacted."""
    call = next(call for call in load(set_name).calls if call.case == f'cosi-list-{kind}' and call.node == node)
    return [spec.resource(wire.decode(wire.METHODS[call.method].response, response)['resource']) for response in call.responses]
