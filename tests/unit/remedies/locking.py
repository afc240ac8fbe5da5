# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated cluster whose lock is taken, by the way that the tasks take it."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from types import SimpleNamespace

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import NotFound
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, kube_access, remedy_lock
from ansible_collections.talosops.talos.plugins.module_utils.tasks.remedy_lock import LEASES, PATH
from tests.unit.remedies.simulated import bed

MINE, OTHER = 'anna@control-1 pid 11, run 11111111', 'ben@control-2 pid 22, run 22222222'
WRITE = 'leases talosops-talos-remediate'
SHORT = 0.6


class Place:
    """A cluster, and ways to its Kubernetes API."""

    def __init__(self, one):
        self.bed = one
        self._ways = contextlib.ExitStack()
        self.kube = self.way()

    def way(self, kubeconfig=None, timeout=5):
        path = self.bed.cluster.directory / 'kubeconfig'
        if kubeconfig is not None:
            path = self.bed.cluster.directory / 'another'
            path.write_text(kubeconfig)
        found = access.find({'talosconfig': str(self.bed.cluster.directory / 'talosconfig'), 'kubeconfig': str(path)})
        params = {'access': found, 'proxy': self.bed.cluster.proxy, 'timeout': timeout, 'deadline': 10}
        return self._ways.enter_context(kube_access.api(params, SimpleNamespace(kubernetes={})))

    @property
    def now(self):
        return self.bed.model.clock.now()

    def held(self, name=MINE, kube=None, now=None, **options):
        return remedy_lock.held(kube or self.kube, name, now or self.now, **options)

    def spec(self):
        return self.kube.get(PATH)['spec']

    def put(self, name, ago=0.0, seconds=60, **more):
        """Somebody else has renewed the Lease so many seconds ago."""
        at = remedy_lock._micro(self.now - timedelta(seconds=ago))
        spec = {'holderIdentity': name, 'leaseDurationSeconds': seconds, 'acquireTime': at, 'renewTime': at, 'leaseTransitions': 4, **more}
        try:
            found = self.kube.get(PATH)
        except NotFound:
            self.kube.send('POST', LEASES, {'kind': 'Lease', 'metadata': {'name': remedy_lock.NAME, 'namespace': 'kube-system'}, 'spec': spec})
        else:
            self.kube.send('PUT', PATH, {**found, 'spec': spec})
        self.bed.model.kubernetes.writes.clear()

    def close(self):
        self._ways.close()


@contextlib.contextmanager
def place(state=None):
    with bed(state) as one, contextlib.closing(Place(one)) as made:
        yield made


def refused(one, error, match, **options):
    with pytest.raises(error, match=match) as caught:
        with one.held(**options):
            pytest.fail('it was taken')
    return caught.value
