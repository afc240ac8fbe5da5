# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own client against the replay."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig, wire
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import NodeUnreachable, TransportError, Unsupported
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import reads
from tests.replay import load, serve

STATES = ('healthy', 'healthy-reader', 'one-cp-down', 'worker-down', 'nospace-alarm')


# Types that came with Talos 1.14; the recorded machines ran 1.13, in containers.
NEWER = ('UnattendedInstallStatuses', 'KubeletStatuses')
RECORDED = [read for read in reads.READS if read.kind not in NEWER and read.on not in (reads.METAL, reads.DISK_FILLING)
            and not isinstance(read, reads.ContainerLogs)]


def request(read):
    """Method and bytes of a planned read."""
    if isinstance(read, reads.Resources):
        return '/cosi.resource.State/List', wire.encode('cosi.resource.ListRequest', {'namespace': read.namespace, 'type': read.type})
    if isinstance(read, reads.Log):
        method, fields = '/machine.MachineService/Logs', {'namespace': 'system', 'id': read.kind, 'tail_lines': reads.LOG_TAIL}
        return method, wire.encode('machine.LogsRequest', fields)
    return read.method, wire.encode(wire.METHODS[read.method].request, read.request)


@pytest.mark.parametrize('read', RECORDED, ids=lambda read: f'{type(read).__name__}-{read.kind}')
@pytest.mark.parametrize('name', STATES)
def test_every_planned_read_was_recorded(name, read):
    said = load(name)
    for machine in said.machines:
        if machine.control_plane or read.on == reads.ALL:
            assert said.about(machine, True, request(read)[0], (request(read)[1],)), machine.name


def test_a_cluster_is_read_through_every_endpoint():
    with serve('healthy') as replay, Client(talosconfig.load(content=replay.talosconfig, environ={}), proxy=replay.proxy) as client:
        for endpoint, name in zip(client.endpoints, ('cp1', 'cp2', 'cp3'), strict=True):
            assert client.connect(endpoint).certificate['dns'] == [name]
            members = client.node('10.5.0.5', via=endpoint).resources('Members.cluster.talos.dev', 'cluster')
            assert [member['id'] for member in members] == ['cp1', 'cp2', 'cp3', 'w1']
        assert client.handshakes == 3
        with pytest.raises(Unsupported, match='not recorded'):
            client.node('10.5.0.5').resources('NoSuch.talos.dev', 'config')


def test_a_machine_that_is_off():
    with serve('one-cp-down') as replay, Client(talosconfig.load(content=replay.talosconfig, environ={}), proxy=replay.proxy) as client:
        with pytest.raises(TransportError, match='connection refused') as caught:
            client.connect(client.endpoints[2])
        assert caught.value.kind == 'proxy'
        with pytest.raises(NodeUnreachable, match='10.5.0.4:50000: connect: connection refused'):
            client.node('10.5.0.4').unary('/machine.MachineService/Version')
