# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a simulated cluster costs, counted and not timed."""

from __future__ import annotations

import contextlib
import sys
import threading

import pytest

from tests.bed import pki
from tests.simulator import Cluster
from tests.unit.simulator.caller import Caller

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='other systems have no loopback aliases')


def test_a_cluster_is_one_thread_and_few_certificates(monkeypatch):
    """Making keys and certificates is what starting costs."""
    issued = []
    original = pki.Authority.issue
    monkeypatch.setattr(pki.Authority, 'issue', lambda *args, **options: issued.append(args) or original(*args, **options))
    before = threading.active_count()
    with Cluster.from_state({}):
        assert threading.active_count() == before + 1
        assert len(issued) <= 5 + 3 + 2 + 1  # machines, API servers, clients, and one to spare
    assert threading.active_count() == before


def test_twenty_clusters_stand_in_one_process_and_answer():
    with contextlib.ExitStack() as stack:
        clusters = [stack.enter_context(Cluster.from_state({}, name=f'c{number}')) for number in range(20)]
        addresses = {node.address for cluster in clusters for node in cluster.nodes.values()}
        assert len(addresses) == 100
        for cluster in clusters:
            with Caller(cluster.talosconfig, cluster.address('w-2')) as call:
                assert call.machine('Hostname') == [{'hostname': 'w-2'}]


def test_resources_are_encoded_once():
    with Cluster.from_state({}) as cluster, Caller(cluster.talosconfig, cluster.address('cp-1')) as call:
        for _time in range(2):
            call.resources('Members.cluster.talos.dev', 'cluster')
        key = ('cp-1', 'cluster', 'Members.cluster.talos.dev')
        first = cluster.model.encoded[key]
        call.resources('Members.cluster.talos.dev', 'cluster')
        assert cluster.model.encoded[key] is first
