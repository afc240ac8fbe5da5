# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a cluster whose Kubernetes breaks, refuses or tells another time than the control node."""

from __future__ import annotations

import re
import threading
import time

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import NotFound
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, remedy_lock
from ansible_collections.talosops.talos.plugins.module_utils.tasks.remedy_lock import PATH, NoLock
from tests.unit.remedies.locking import MINE, OTHER, place, refused
from tests.unit.remedies.simulated import UNANSWERED, UNSENT, cut

FULL = {'etcd': {'db_mb': 2050, 'in_use_mb': 300, 'quota_mb': 2048, 'alarms': [{'member': 'cp-1', 'alarm': 'NOSPACE'}]}}


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name == 'talos-lock'] == []


@pytest.mark.parametrize('before', [None, OTHER])
@pytest.mark.parametrize('how', [UNSENT, UNANSWERED])
def test_a_connection_that_breaks_at_any_request_leaves_a_lock_that_is_held_and_given_back(how, before):
    with place() as one:
        number = 0
        while True:
            number += 1
            if before:
                one.put(before, ago=100)
            elif number > 1:
                one.kube.send('DELETE', PATH, {})
            with cut(number, how) as calls:
                with one.held(f'run {number}') as lock:
                    assert one.spec()['holderIdentity'] == f'run {number}'
                    lock.check()
                    lock.check()
                    assert one.spec()['holderIdentity'] == f'run {number}'
            assert one.spec()['holderIdentity'] == '', (number, calls)
            if len(calls) < number:
                break
        assert number >= 8


def test_where_kubernetes_takes_no_writes_there_is_no_lock():
    with place(FULL) as one:
        error = refused(one, NoLock, '^The cluster cannot be locked, so this run would be unlocked: .* answered 500: .*database space exceeded')
        assert error.message.endswith('.') and not isinstance(error, Refused)
        with pytest.raises(NotFound):
            one.spec()
    assert remedy_lock.unlocked_sentence('prod') == 'change prod without a lock'


def test_where_kubernetes_does_not_answer_there_is_no_lock():
    with place({'etcd': {'leader': 'none', 'reachable': ['cp-1']}}) as one:
        refused(one, NoLock, 'so this run would be unlocked: .*answered 500')
    with place() as one:
        for name in list(one.bed.model.nodes):
            one.bed.cluster.kill(name)
        refused(one, NoLock, 'so this run would be unlocked: .*could not be reached|refused')


def test_the_missing_right_is_named():
    with place() as one:
        reader, nobody = (one.way(one.bed.cluster.kubeconfig_of('somebody', groups)) for groups in (['readers'], ['none']))
        error = refused(one, NoLock, 'so this run would be unlocked: the right to create leases .coordination.k8s.io. in the namespace kube-system is missing; '
                        '.*answered 403', kube=reader)
        assert error.hint == 'Give the user get, create and update of leases there.'
        refused(one, NoLock, 'the right to get leases', kube=nobody)
        one.put('')
        refused(one, NoLock, 'the right to update leases', kube=reader)
        assert one.spec()['holderIdentity'] == ''


def test_an_answer_that_never_comes_keeps_nobody_for_longer_than_the_timeout():
    with place() as one:
        kube = one.way(timeout=0.3)
        with one.held(kube=kube) as lock:
            for name in ('cp-1', 'cp-2', 'cp-3'):
                one.bed.cluster.freeze(name)
            began = time.monotonic()
            lock.check()
            assert time.monotonic() - began < 2


@pytest.mark.parametrize('clock', ['-1h', '+1h'])
def test_the_times_are_the_clusters_where_the_clock_of_the_control_node_is_wrong(clock):
    with place({'setup': {'control_node_clock': clock}}) as one:
        view = View(access.gather({'access': access.find({'talosconfig': str(one.bed.cluster.directory / 'talosconfig'), 'kubeconfig': None}),
                                   'proxy': one.bed.cluster.proxy, 'timeout': 5, 'deadline': 20}, None, {'Time'}, set()), settings.build(()))
        now = remedy_lock.cluster_time(view)
        assert abs((now - one.now).total_seconds()) < 2
        with one.held(now=now):
            assert abs((parse_time(one.spec()['renewTime']) - one.now).total_seconds()) < 2
            refused(one, Refused, re.escape(MINE), name=OTHER, now=now)
        one.put(OTHER, ago=61)
        with one.held(now=now):
            pass
