# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real etcd that is taken away, before or while it is read: what is not seen is not called well."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import connection as channels
from tests.contract.etcd.both import diagnosed
from tests.contract.etcd.real import HANGS, real
from tests.simulator import scenario

GOOD = ('ok', 'info', 'not_applicable')


def _of_etcd(report):
    """{check: worst verdict} of the checks of etcd that need an answer of every member."""
    return {one['check']: one['verdict'] for one in report['findings'] if one['check'].startswith('etcd.')}


@pytest.mark.parametrize('what', ['stop', 'pause'])
def test_one_member_that_is_taken_away_is_told(what):
    report = diagnosed(scenario.from_state({}), True, lambda cluster: cluster.etcd_fault(what, 'cp-2'))
    found = _of_etcd(report)
    assert report['sections']['etcd.other']['verdict'] not in GOOD or report['sections']['etcd.some_pre']['verdict'] not in GOOD, found
    assert any('cp-2' in one['title'] or 'cp-2' in one['nodes'] for one in report['findings'] if one['check'].startswith('etcd.')), found


@pytest.mark.parametrize('what', ['stop', 'pause', 'cut'])
def test_two_members_that_are_taken_away_are_a_lost_quorum_or_unknown(what):
    def fault(cluster):
        for name in ('cp-2', 'cp-3'):
            cluster.etcd_fault(what, name)
        node, etcd = cluster.nodes['cp-1'], cluster.model.etcd
        waited = threading.Event()
        for _look in range(600):
            if not etcd.leader(node):
                return
            waited.wait(0.1)
        raise AssertionError('cp-1 still has a leader')
    report = diagnosed(scenario.from_state({}), True, fault)
    assert report['sections']['etcd.quorum_lost']['verdict'] not in GOOD, report['sections']['etcd.quorum_lost']
    assert report['class'] in ('critical', 'errors', 'not_judged')


@pytest.mark.parametrize('what', ['stop', 'pause'])
def test_a_member_that_goes_while_it_is_read_is_not_called_well(what, monkeypatch):
    """Its first call about etcd is the moment."""
    cluster_of, done = [], threading.Event()

    def fault(cluster):
        cluster_of.append(cluster)
        unary = channels.Connection.stream

        def stream(self, method, *rest):
            node = cluster.model.node_at(self.address)
            if method.endswith('/EtcdStatus') and node is not None and not done.is_set():
                done.set()
                for name in ('cp-2', 'cp-3'):
                    cluster.etcd_fault(what, name)
            return unary(self, method, *rest)
        monkeypatch.setattr(channels.Connection, 'stream', stream)
    report = diagnosed(scenario.from_state({}), True, fault)
    assert done.is_set()
    etcd = {key: section['verdict'] for key, section in report['sections'].items() if key.startswith('etcd.')}
    assert any(verdict not in GOOD for verdict in etcd.values()), etcd


def test_a_member_that_is_cut_off_answers_for_itself_and_has_no_leader():
    """Its machine goes on: Talos asks it at localhost. The others have a quorum, and it is well again when it can be reached."""
    with real({'leader': 'cp-1'}) as bed:
        bed.cluster.etcd_fault('cut', 'cp-1')
        bed.until(lambda: bed.talos('cp-1', 'EtcdStatus')['member_status'].get('leader') is None, 'it is without a leader')
        bed.until(lambda: bed.talos('cp-2', 'EtcdStatus')['member_status'].get('leader', 0) not in (0, int(bed.etcd.ids['cp-1'], 16)), 'another leads')
        assert len(bed.talos('cp-2', 'EtcdMemberList', query_local=True)['members']) == 3
        bed.cluster.etcd_fault('heal', 'cp-1')
        bed.until(lambda: bed.talos('cp-1', 'EtcdStatus')['member_status'].get('leader'), 'it follows a leader again')


def test_a_paused_member_hangs_and_goes_on():
    with real({'leader': 'cp-1'}) as bed:
        bed.cluster.etcd_fault('pause', 'cp-3')
        assert bed.talos('cp-3', 'EtcdStatus', within=2) == HANGS
        bed.cluster.etcd_fault('resume', 'cp-3')
        assert bed.talos('cp-3', 'EtcdStatus')['member_status']['leader']


def test_a_machine_that_freezes_takes_its_etcd_along():
    with real({'leader': 'cp-1'}) as bed:
        bed.cluster.freeze('cp-1')
        bed.until(lambda: bed.leader() in ('cp-2', 'cp-3'), 'another leads')


def test_etcd_that_ends_is_started_again_by_its_machine():
    with real() as bed:
        process = bed.etcd.processes['cp-2']
        bed.cluster.etcd_fault('stop', 'cp-2')
        bed.until(lambda: bed.cluster.nodes['cp-2'].service('etcd')[0] == 'Waiting', 'its service waits')
        bed.cluster.etcd_fault('start', 'cp-2')
        bed.until(lambda: process.running and bed.cluster.nodes['cp-2'].service('etcd') == ('Running', 'OK'), 'it runs again')
        assert bed.talos('cp-2', 'EtcdStatus')['member_status']['leader']
