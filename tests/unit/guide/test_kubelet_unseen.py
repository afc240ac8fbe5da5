# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever is taken out of a snapshot, no problem of kubelets and Nodes turns into an all-clear, and nothing is ok that nobody saw."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import etcd, kubelet
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import GATE_LOGS, GATE_READS
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests import removal
from tests.unit.guide import judging, kubelet_states
from tests.unit.guide.judging import READ, findings, lose, node, one, unreachable
from tests.unit.guide.kubelet_changes import (
    add_node, aged, controller_failed, csr, diagnose_csr, log, node_object, pod_waits, pods_of, raise_alarm, report, set_condition, set_ready,
)
from tests.unit.guide.test_kubelet_addresses import give, own, register
from tests.unit.guide.test_kubelet_certificates import EXPIRED, TLS
from tests.unit.guide.test_kubelet_names import call, twins
from tests.unit.guide.test_kubelet_nodes import events, without_cni
from tests.unit.guide.test_kubelet_registration import SIGNER, without_node
from tests.unit.guide.test_kubelet_service import crashing, remove_kubelet

SETTINGS = settings.build(kubelet.CHECKS)
# What the checks say that they look at, and the gates.
LOOKED_AT = {*GATE_READS, *GATE_LOGS, *(kind for check in kubelet.CHECKS for kind in (*check.needs, *check.reads, *check.logs, *check.cluster_reads))}


def _each(snapshot, everywhere=False):
    """Removals of what is looked at; C(everywhere): of a kind from all machines only."""
    for name, chosen, state in removal.each(snapshot):
        if {kind for _name, _mapping, kind in chosen} <= LOOKED_AT and (name.startswith('every ') or not everywhere):
            yield name, chosen, state


def _kubelets(snapshot):
    crashing(snapshot, 'w1', 'x', 'x', 'x')
    machine = node(snapshot, 'cp2')
    machine.value('MachineStatuses')[0]['spec']['stage'] = 'booting'
    remove_kubelet(machine)
    machine.data['NodeIPConfigs'] = Datum(READ, [])


def _not_ready(snapshot):
    set_ready(snapshot, 'w1', 'False', 7200)
    pod_waits(pods_of(snapshot, 'w1')[0], 'ImagePullBackOff')
    set_ready(snapshot, 'cp2', 'Unknown', 7200)
    unreachable(node(snapshot, 'cp2'))
    set_condition(snapshot, 'cp3', 'DiskPressure')
    events(snapshot, ('NodeNotReady', 20, 40))


def _stale(snapshot):
    add_node(snapshot, 'w9', '10.5.0.29')
    add_node(snapshot, 'w1-old', '10.5.0.5', since=4000, machine=False)
    raise_alarm(snapshot)
    node_object(snapshot, 'cp3')['addresses'][0]['address'] = '10.5.0.3'


def _network(snapshot):
    own(snapshot, 'w1', '10.9.0.5/24')
    register(snapshot, 'w1', '10.9.0.5')
    give(snapshot, 'w1', '10.9.0.5')


def _addresses(snapshot):
    register(snapshot, 'cp1', '10.5.0.100')
    register(snapshot, 'cp2', '10.244.9.9')
    give(snapshot, 'cp3')
    call(snapshot, 'cp3', 'сервер', given='')


def _registration(snapshot):
    without_node(snapshot)
    csr(snapshot, signer=SIGNER)
    twins(snapshot, in_discovery=False)


def _certificates(snapshot):
    csr(snapshot)
    csr(snapshot, 'csr-odd', of='cp1', ips=['10.5.0.100'])
    diagnose_csr(snapshot, 'w1')
    log(snapshot, 'cp2', 'controller-runtime', (9, controller_failed('KubeletStaticPodController', TLS)))
    log(snapshot, 'cp2', 'controller-runtime', (9, controller_failed('KubeletStaticPodController', 'Unauthorized')))
    log(snapshot, 'w1', 'kubelet', (9, EXPIRED))


CHANGES = {'kubelets': _kubelets, 'not-ready': _not_ready, 'stale': _stale, 'network': _network, 'addresses': _addresses,
           'registration': _registration,
           'certificates': _certificates, 'no-cni': without_cni}
RAISED = {'kubelets': 2, 'not-ready': 4, 'stale': 3, 'network': 1, 'addresses': 4, 'registration': 3, 'certificates': 5, 'no-cni': 1}


@pytest.mark.parametrize('name', CHANGES)
def test_no_problem_is_hidden_by_what_is_missing(name):
    snapshot = aged()
    CHANGES[name](snapshot)
    problems = removal.problems(removal.outcomes(snapshot, SETTINGS, kubelet.CHECKS))
    assert len(problems) >= RAISED[name], problems
    removals = [*_each(snapshot), *removal.some(snapshot, name, 5)]
    assert removal.violations(snapshot, SETTINGS, kubelet.CHECKS, removals) == []


def test_what_a_reader_sees_is_not_hidden_either():
    snapshot = aged('healthy-reader')
    node(snapshot, 'w1').value('NodeStatuses')[0]['spec']['nodeReady'] = False
    node(snapshot, 'cp3').data['NodeStatuses'] = Datum(READ, [])
    diagnose_csr(snapshot, 'cp1')
    assert len(removal.problems(removal.outcomes(snapshot, SETTINGS, kubelet.CHECKS))) == 3
    assert removal.violations(snapshot, SETTINGS, kubelet.CHECKS, _each(snapshot, everywhere=True)) == []


@pytest.mark.parametrize('name', ['healthy', 'healthy-reader', 'nospace-alarm'])
def test_nothing_is_a_fault_only_because_it_was_not_read(name):
    snapshot = aged(name)
    removals = [(what, chosen, removal.HARMLESS[number % len(removal.HARMLESS)])
                for number, (what, chosen, _state) in enumerate(_each(snapshot, everywhere=True))]
    assert removal.alarms(snapshot, SETTINGS, kubelet.CHECKS, removals) == []


def test_where_nothing_was_read_nothing_is_ok():
    snapshot = aged()
    for machine in snapshot.machines:
        machine.data = {kind: Datum('refused') for kind in machine.data}
        machine.logs = {name: Datum('refused') for name in machine.logs}
    snapshot.kubernetes['data'] = {kind: Datum('refused') for kind in snapshot.kubernetes['data']}
    judged = report(snapshot)
    assert [check['check'] for check in judged['checks'] if check['verdict'] in ('ok', 'info')] == []


def test_where_no_machine_answers_nothing_is_ok():
    snapshot = aged()
    for machine in snapshot.machines:
        unreachable(machine)
    for kind in snapshot.kubernetes['data']:
        snapshot.kubernetes['data'][kind] = Datum('unreachable')
    judged = report(snapshot)
    assert [check['check'] for check in judged['checks'] if check['verdict'] in ('ok', 'info')] == []


def test_one_reason_is_told_where_kubernetes_was_not_read():
    """Without a kubeconfig every check of Nodes is unknown for the same reason, and only stale Nodes keep a section from being judged."""
    judged = report(aged('healthy-reader'))
    unknowns = [f for f in findings(judged) if f['verdict'] == 'unknown']
    assert unknowns and all('needs os:admin or a kubeconfig' in f['title'] for f in unknowns)
    assert [key for key, section in judged['sections'].items() if section['verdict'] == 'unknown' and section['reason'] != 'not built yet'] == [
        'kubelet.stale_nodes']


def test_with_an_alarm_of_etcd_a_reader_is_told_why_nodes_are_not_judged():
    snapshot = aged('healthy-reader')
    judging.planes(snapshot)[0].value('EtcdAlarmList')['member_alarms'] = [{'member_id': '1' * 16, 'alarm': 'NOSPACE'}]
    found = one(judging.report(snapshot, None, (*kubelet.CHECKS, *etcd.CHECKS)), 'kubelet.node_status_not_ready')
    assert found['verdict'] == 'unknown' and 'NOSPACE' in found['title'] and found['because_of'] == ['etcd.alarm_nospace/1111111111111111']


def test_a_cluster_that_was_not_bootstrapped_has_no_nodes_to_judge():
    snapshot = aged()
    for machine in judging.planes(snapshot):
        judging.preparing(snapshot, machine)
        judging.machined(snapshot, machine, (20, 'etcd is waiting to join the cluster, if this node is the first node in the cluster, please run'))
    snapshot.kubernetes['data'] = {kind: Datum('unreachable', reason='connection refused') for kind in snapshot.kubernetes['data']}
    judged = report(snapshot)
    assert [f for f in findings(judged) if f['verdict'] != 'info'] == []


def test_a_cluster_without_kubernetes_has_none_either():
    snapshot = aged()
    for machine in snapshot.machines:
        remove_kubelet(machine)
        machine.data['NodeIPConfigs'] = machine.data['NodeIPs'] = machine.data['NodeStatuses'] = Datum(READ, [])
        machine.logs['kubelet'] = Datum('absent', reason='log "kubelet" was not registered')
    snapshot.kubernetes['data'] = {kind: Datum('failed') for kind in snapshot.kubernetes['data']}
    judged = report(snapshot)
    assert findings(judged) == []
    assert {judged['sections'][key]['verdict'] for key in judged['sections'] if key.startswith('kubelet.')} <= {'ok', 'not_applicable'}


def test_a_state_that_was_recorded_is_a_fault_without_anything_else():
    snapshot = kubelet_states.snapshot('pre-bootstrap')
    lose(snapshot.machines[0], 'MachineStatuses')
    assert one(report(snapshot), 'kubelet.not_running')['verdict'] == 'error'
