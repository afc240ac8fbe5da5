# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a cluster against the real API: what tests/unit/remedies says of it in simulated clusters holds there too.

Left out are those that make the API refuse what it takes; what a real one then says is in test_taken_away.py.
"""

from __future__ import annotations

import re

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.module_utils.tasks.remedy_lock import LEASES, PATH, NoLock
from tests.simulator.control_plane import READERS
from tests.unit.remedies import locking, test_lock
from tests.unit.remedies.locking import MINE, place, refused


@pytest.fixture(autouse=True)
def with_the_real_api(real, monkeypatch):
    monkeypatch.setattr(locking, 'bed', real)


class TestReal(test_lock.OfAnyApi):
    """With the real one."""

    def test_times_are_taken_in_one_form_alone(self):
        """What _micro writes is read back as it was written; fewer digits of the second are refused."""
        with place() as one:
            with one.held():
                spec = one.spec()
                assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z', spec['renewTime']) and spec['renewTime'] == spec['acquireTime']
            body = {'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease', 'metadata': {'name': 'talosops-short'},
                    'spec': {'renewTime': '2026-11-22T10:00:00.5Z'}}
            with pytest.raises(TalosError, match='cannot be handled as a Lease: parsing time'):
                one.kube.send('POST', LEASES, body)

    def test_a_conflict_is_refused_by_the_api(self):
        with place() as one:
            one.put('', ago=100)
            old = one.kube.get(PATH)
            one.put(MINE)
            with pytest.raises(TalosError, match='Operation cannot be fulfilled on leases.* "talosops-talos-remediate": the object has been modified'):
                one.kube.send('PUT', PATH, old)

    def test_who_may_not_write_leases_is_told_which_right_is_missing(self):
        with place() as one:
            reader = one.way(one.bed.cluster.kubeconfig_of('somebody', [READERS]))
            error = refused(one, NoLock, 'the right to create leases .coordination.k8s.io. in the namespace kube-system is missing; .*User "somebody" cannot '
                            'create resource "leases" in API group "coordination.k8s.io" in the namespace "kube-system"', kube=reader)
            assert error.hint == 'Give the user get, create and update of leases there.'
            nobody = one.way(one.bed.cluster.kubeconfig_of('another', []))
            refused(one, NoLock, 'the right to get leases .coordination.k8s.io. in the namespace kube-system is missing', kube=nobody)
