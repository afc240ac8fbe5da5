# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines that are all there is to see: a finding of their own, and none where the state, or another finding, says more."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS, log_lines
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings, signatures, verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import judge
from ansible_collections.talosops.talos.plugins.module_utils.judge.signatures import CATALOGUE
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time, parse_time
from tests.tools import make_signatures
from tests.unit.guide import machines
from tests.unit.guide.judging import ago, lose, node, unreachable

ENTRIES = make_signatures.load()
EXAMPLES = {entry['id']: entry['example'] for entry in ENTRIES}
OWNED = [signature for section in sorted({check.section for check in log_lines.CHECKS}) for signature in log_lines.owned(section)]
IDS = {check.id for check in CHECKS}


# -- who judges what ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', CATALOGUE)
def test_each_signature_is_judged_by_one_check_or_it_is_said_why_by_none(name):
    entry, judged_by = next(entry for entry in ENTRIES if entry['id'] == name), CATALOGUE[name].judged_by
    if judged_by in signatures.NOT_JUDGED:
        assert entry['not_judged']
    else:
        assert judged_by in IDS, judged_by
        assert 'not_judged' not in entry
    assert bool(CATALOGUE[name].title) == judged_by.endswith('.log_sign')


# -- lines that are findings ----------------------------------------------------------------------------------------

LOGS = {'machined dmesg': 'dmesg', 'controller-runtime': 'controller-runtime', 'etcd log': 'etcd', 'kubelet log': 'kubelet',
        'pod log': 'kube-flannel-lzvqm:kube-flannel', 'kube-apiserver': 'kube-apiserver-cp1:kube-apiserver'}


def written(snapshot, machine, name, age, more=''):
    """Write the example of a signature into the log of a machine, so many seconds before its present."""
    at = snapshot.now - timedelta(seconds=age)
    log = LOGS[CATALOGUE[name].sources[0]]
    line = EXAMPLES[name].split(': ', 1)[1] if EXAMPLES[name].startswith('10.5.0.') else EXAMPLES[name]
    line = line.replace('8e9e05c52164694d', more).replace('a00f09570d9e43c1', more)
    if log == 'etcd':
        line = line.replace('"ts":"2026-11-22T09:11:44.752685Z",', '')
        line = line if line.startswith('{') else f'{{"level":"warn","msg":"{line}"}}'
        line = line.replace('{"level"', f'{{"ts":"{format_time(at)}","level"', 1)
    elif log == 'kubelet':
        line = f'{{"ts":{at.timestamp() * 1000},"msg":"{line}"}}'
    elif log == 'dmesg':
        line = f'kern:     err: [{format_time(at)}]: {line}'
    elif log == 'controller-runtime':
        line = f'{format_time(at)} ERROR {line}'
    else:
        line = f'{format_time(at)} stderr F {line}'
    machine.logs[log] = Datum('read', f'{machine.log(log).value or ""}{line}\n')


def old_etcd(snapshot):
    """Every etcd has been up for hours."""
    for machine in snapshot.control_planes():
        for service in machine.value('ServiceList')['services']:
            for event in service['events']['events']:
                event['ts'] = format_time(snapshot.now - timedelta(hours=5))


def metal(change=None):
    snapshot = machines.metal()
    for machine in snapshot.machines:
        machine.value('MachineStatuses')[0]['created'] = format_time(snapshot.now - timedelta(days=3))
    old_etcd(snapshot)
    if change:
        change(snapshot)
    return snapshot


def prepared(snapshot, name, age=20):
    """The state in which only the line tells of the fault, and the line."""
    cp1 = node(snapshot, 'cp1')
    if name.startswith('kubeprism.'):
        cp1.data['KubePrismStatuses'] = Datum('read', [{'id': 'k8s-loadbalancer', 'spec': {'host': '127.0.0.1:7445', 'healthy': False}}])
    if name == 'image.mirror_html':
        next(one for one in cp1.value('ServiceList')['services'] if one['id'] == 'kubelet')['state'] = 'Preparing'
    if name == 'flannel.no_pod_cidr':
        snapshot.kubernetes['data']['nodes'] = Datum('refused')
    peer = snapshot.control_planes()[1].value('EtcdStatus')['member_id']
    written(snapshot, cp1, name, age, peer)
    return cp1


def only_lines(snapshot, checks=log_lines.CHECKS):
    """Problems that lines alone make: {id: finding}; C(checks): what else looks at the snapshot."""
    report = judge(snapshot, settings.build(CHECKS), checks)
    return {finding['id']: finding for finding in report['findings']
            if finding['check'].endswith('.log_sign') and v.rank(finding['verdict']) > v.rank(v.UNKNOWN)}


@pytest.mark.parametrize('signature', OWNED, ids=lambda one: one.id)
def test_a_line_that_is_all_there_is_to_see(signature):
    snapshot = metal()
    machine = prepared(snapshot, signature.id)
    found = only_lines(snapshot)
    assert list(found) == [f'{signature.section}.log_sign/{machine.key}/{signature.id}']
    [finding] = found.values()
    assert (finding['verdict'], finding['section'], finding['nodes']) == (signature.severity, signature.section, ['cp1'])
    assert finding['title'] == f'cp1: {signature.title}' and finding['means'] and finding['next_step'] and finding['evidence']


@pytest.mark.parametrize('signature', OWNED, ids=lambda one: one.id)
def test_an_old_line_is_none(signature):
    snapshot = metal()
    prepared(snapshot, signature.id, age=90000)
    assert only_lines(snapshot) == {}


@pytest.mark.parametrize('age, found', [(3500, 1), (3700, 0)])
def test_a_line_counts_for_an_hour(age, found):
    snapshot = metal()
    written(snapshot, node(snapshot, 'cp1'), 'coredns.hostdns_timeout', age)
    assert len(only_lines(snapshot)) == found


# -- what the state contradicts -------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', ['kubeprism.refused', 'kubeprism.eof', 'image.mirror_html', 'flannel.no_pod_cidr'])
def test_the_present_state_beats_a_line(name):
    snapshot = metal()
    written(snapshot, node(snapshot, 'cp1'), name, 20)
    assert only_lines(snapshot) == {}


@pytest.mark.parametrize('change', ['no member', 'young', 'stopped', 'silent'])
def test_a_peer_that_is_not_up_speaks_for_itself(change):
    snapshot = metal()
    peer = snapshot.control_planes()[1]
    member = '3' * 16 if change == 'no member' else peer.value('EtcdStatus')['member_id']
    written(snapshot, node(snapshot, 'cp1'), 'etcd.peer_unhealthy', 20, member)
    if change == 'young':
        peer.value('MachineStatuses')[0]['created'] = format_time(snapshot.now - timedelta(seconds=200))
    if change == 'stopped':
        next(one for one in peer.value('ServiceList')['services'] if one['id'] == 'etcd')['state'] = 'Waiting'
    if change == 'silent':
        unreachable(peer)
    assert only_lines(snapshot) == {}


def test_a_peer_whose_first_probe_has_no_answer_yet():
    """etcd looks five seconds after its start, and says so of a peer of which it knows nothing yet, without an error."""
    snapshot = metal()
    machine = prepared(snapshot, 'etcd.peer_unhealthy')
    assert len(only_lines(snapshot)) == 1
    said = machine.logs['etcd'].value
    machine.logs['etcd'] = Datum('read', re.sub(r',"error":"[^"]*"', '', said))
    assert machine.logs['etcd'].value != said and only_lines(snapshot) == {}


def test_a_full_disk_that_is_not_full_any_more():
    snapshot = metal()
    written(snapshot, node(snapshot, 'cp1'), 'sys.disk_full', 400)
    assert only_lines(snapshot) == {}


# -- what others say already ----------------------------------------------------------------------------------------

def test_a_problem_of_the_same_part_and_machine_says_it_already():
    snapshot = metal()
    written(snapshot, node(snapshot, 'cp1'), 'etcd.cluster_id_mismatch', 20)
    assert len(only_lines(snapshot, CHECKS)) == 1
    next(one for one in node(snapshot, 'cp1').value('ServiceList')['services'] if one['id'] == 'etcd')['state'] = 'Finished'
    assert only_lines(snapshot, CHECKS) == {}


def test_a_fact_that_brings_the_line_about_explains_it():
    """The API server cannot be reached because etcd refuses to write: KubePrism is not at fault."""
    snapshot = metal()
    prepared(snapshot, 'kubeprism.eof')
    for machine in snapshot.control_planes():
        machine.value('EtcdAlarmList')['member_alarms'] = [{'member_id': machine.value('EtcdStatus')['member_id'], 'alarm': 'NOSPACE'}]
    assert only_lines(snapshot, CHECKS) == {}


@pytest.mark.parametrize('caller, explained', [('cp2', True), ('cp3', False)])
def test_a_refused_certificate_of_a_machine_whose_clock_is_wrong(caller, explained):
    snapshot = metal()
    written(snapshot, node(snapshot, 'cp1'), 'etcd.tls_reject', 20)
    log = node(snapshot, 'cp1').logs['etcd']
    node(snapshot, 'cp1').logs['etcd'] = Datum('read', log.value.replace('"remote-addr":"10.5.0.9:', f'"remote-addr":"{node(snapshot, caller).address}:'))
    time = node(snapshot, 'cp2').value('Time')
    time['localtime'] = format_time(parse_time(time['localtime']) + timedelta(hours=9))
    assert bool(only_lines(snapshot, CHECKS)) is not explained


@pytest.mark.parametrize('order', [1, -1])
def test_controllers_that_fail_for_what_a_line_says_are_not_told_again(order):
    """In whatever order the checks are run."""
    snapshot = metal()
    cp1 = prepared(snapshot, 'kubeprism.refused')
    cp1.data['KubePrismStatuses'] = Datum('read', [])
    line = EXAMPLES['kubeprism.refused']
    cp1.logs['controller-runtime'] = Datum('read', ''.join(
        f'{ago(snapshot, 60 * minute + 5)} ERROR controller failed {{"component": "controller-runtime", "controller": "k8s.NodeApplyController", "error": '
        f'"error getting node: {line}"}}\n' for minute in range(9, -1, -1)))
    report = judge(snapshot, settings.build(CHECKS), CHECKS[::order])
    found = [finding['check'] for finding in report['findings'] if v.rank(finding['verdict']) >= v.rank(v.WARNING)]
    assert [check for check in found if check != 'talos_api.certificate_expiring'] == ['controlplane.pod_status.log_sign']


# -- what was not read ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize('log', ['dmesg', 'controller-runtime', 'etcd', 'kubelet', 'containers'])
def test_a_log_that_was_not_read_is_unknown(log):
    snapshot = metal()
    lose(node(snapshot, 'cp1'), log, log=True)
    report = judge(snapshot, settings.build(log_lines.CHECKS), log_lines.CHECKS)
    unknowns = [finding for finding in report['findings'] if finding['check'].endswith('.log_sign') and finding['verdict'] == 'unknown']
    assert unknowns and all(f'log {log}: ' in finding['title'] and finding['nodes'] == ['cp1'] for finding in unknowns)


def test_a_container_has_no_kernel_log_to_read():
    report = judge(machines.recorded(), settings.build(log_lines.CHECKS), log_lines.CHECKS)
    assert not [finding['title'] for finding in report['findings'] if finding['check'].endswith('.log_sign')]
