# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated cluster on the real etcd, asked in both ways: through Talos's API, and by etcdctl at the members themselves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from concurrent.futures import TimeoutError as NotDone

from tests.bed.grpc_server import NOT_FOUND, Status
from tests.simulator.etcd_ports import CLIENT_PORT, OWN
from tests.simulator.schema import MESSAGES
from tests.tools.direct import _Call
from tests.unit.remedies.simulated import Bed, bed

HANGS = 'hangs'
# How long something may take that is waited for; a machine busy with other tests takes several times what it takes alone.
PATIENCE = 60


class Real(Bed):
    """A L(Bed) whose etcd is real."""

    @property
    def etcd(self):
        return self.model.etcd

    def talos(self, name, method, within=PATIENCE, **request):
        """The one message of the answer to an Etcd* RPC at a machine, (code, text) of its status, or HANGS after so many seconds."""
        node = self.cluster.nodes[name]
        asked = MESSAGES.encode(f'{method}Request', request) if request else b''
        call = _Call(f'/machine.MachineService/{method}', asked, (), self.cluster.client_certificate)
        running = asyncio.run_coroutine_threadsafe(self.cluster.handler(node)(call), self.cluster.loop)
        try:
            running.result(within)
        except NotDone:
            running.cancel()
            return HANGS
        except Status as status:
            return status.code, status.message
        if method == 'EtcdSnapshot':
            return b''.join(MESSAGES.decode('Data', part)['bytes'] for part in call.sent)
        return MESSAGES.decode(_ANSWERS.get(method, f'{method}Response'), call.sent[0])['messages'][0]

    def etcdctl(self, name, *arguments, port=OWN[CLIENT_PORT], check=True):
        """What etcdctl writes as JSON of a member, asked past its ports that can be cut."""
        done = self.ctl(name, *arguments, '-w', 'json', port=port)
        assert not check or done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr

    def ctl(self, name, *arguments, port=OWN[CLIENT_PORT], given=None):
        """A run of etcdctl, C(given) on its standard input."""
        keys = self.etcd.directory
        return subprocess.run([
            self.etcd.program('etcdctl'), f'--endpoints=https://{self.etcd.addresses[name]}:{port}', f'--cacert={keys}/ca.crt',
            f'--cert={keys}/server.crt', f'--key={keys}/server.key', '--command-timeout=20s', *arguments],
            capture_output=True, text=True, env={}, check=False, input=given)

    def until(self, holds, what):
        """Wait until C(holds()) is true, and return that."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            held = holds()
            if held:
                return held
            time.sleep(0.1)
        raise AssertionError(f'it did not come so far: {what}')

    def remove(self, name):
        """Remove a member; etcd wants its members to have known each other for five seconds, and may be gone before it could answer."""
        member = int(self.etcd.ids[name], 16)
        done = {}, (NOT_FOUND, f'failed to remove member {member}: etcdserver: member not found')
        self.until(lambda: self.talos('cp-1', 'EtcdRemoveMemberByID', member_id=member) in done, f'{name} is removed')

    def leader(self):
        """The name of the member that leads, None without one."""
        ids = {known: name for name, known in self.etcd.ids.items()}
        return next((ids[found] for node in self.model.control_planes if (found := self.etcd.leader(node))), None)


_ANSWERS = {'EtcdAlarmDisarm': 'EtcdAlarmListResponse', 'EtcdDefragment': 'EmptyResponse', 'EtcdRemoveMemberByID': 'EmptyResponse',
            'EtcdLeaveCluster': 'EmptyResponse', 'Bootstrap': 'EmptyResponse'}


@contextlib.contextmanager
def real(etcd=None, **state):
    """A L(Real); C(etcd) is the scenario's, C(state) the rest of it."""
    with bed({**state, 'etcd': {**(etcd or {}), 'real': True}}) as made:
        yield Real(made.cluster)
