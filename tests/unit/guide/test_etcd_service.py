# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service etcd: healthy, crashing, stopped, or where it does not belong."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide.judging import READ, ago, faults, findings, lose, node, old, one, planes, report, set_service, verdict_of

CRASH = 'Error running Containerd(etcd), going to restart forever: task "etcd" failed: exit code {} (last log "x")'
CLEAN = 'Runner Containerd(etcd) exited without error, going to restart it'
HEALTHY = {'unknown': False, 'healthy': True, 'last_message': '', 'last_change': None}
SICK = {'unknown': False, 'healthy': False, 'last_message': 'context deadline exceeded', 'last_change': None}


def crashing(snapshot, name='cp3', text=CRASH.format(1), log='', times=(12, 7, 2), then=()):
    machine = node(snapshot, name)
    set_service(snapshot, machine, then[-1][1] if then else 'Waiting', [(n, 'Waiting', text) for n in times] + list(then),
                HEALTHY if then else None)
    machine.logs['etcd'] = Datum(READ, log)
    return machine


@pytest.mark.parametrize('text', [CRASH.format(1), CLEAN])
def test_three_restarts_in_five_minutes_are_a_crash_loop(text):
    snapshot = old()
    crashing(snapshot, text=text)
    finding = one(report(snapshot), 'etcd.crash_loop')
    assert finding['verdict'] == 'error' and '3 restarts in five minutes' in finding['title']


def test_it_counts_while_it_runs_for_an_instant():
    snapshot = old()
    crashing(snapshot, then=[(1, 'Running', 'Started task etcd (PID 1) for container etcd')])
    assert one(report(snapshot), 'etcd.crash_loop')['verdict'] == 'error'


def test_restarts_before_a_successful_health_check_are_history():
    snapshot = old()
    crashing(snapshot, then=[(1, 'Running', 'Health check successful')])
    assert verdict_of(report(snapshot), 'etcd.crash_loop') == 'ok'


def test_old_restarts_do_not_count():
    snapshot = old()
    crashing(snapshot, times=(900, 800, 700, 2))
    finding = one(report(snapshot), 'etcd.crash_loop')
    assert finding['verdict'] == 'warning' and 'has just stopped' in finding['title']


def test_exit_code_137_is_memory():
    snapshot = old()
    crashing(snapshot, text=CRASH.format(137))
    finding = one(report(snapshot), 'etcd.crash_loop')
    assert 'lack of memory' in finding['means'] and finding['root']


def test_the_number_of_restarts_may_be_set():
    snapshot = old()
    crashing(snapshot)
    assert one(report(snapshot, {'etcd_restarts': 4}), 'etcd.crash_loop')['verdict'] == 'warning'


@pytest.mark.parametrize('line, said', [
    ('flag provided but not defined: -foo', 'it does not know the argument -foo'),
    ('{"level":"warn","msg":"failed to verify flags","error":"expected IP in URL"}', 'it refuses its arguments (expected IP in URL)'),
    ('{"level":"warn","msg":"server error","error":"the member has been permanently removed from the cluster"}',
     'its member was removed from the cluster'),
    ('{"level":"warn","msg":"request sent was ignored by remote peer due to cluster ID mismatch","error":"cluster ID mismatch"}',
     'its data is of another cluster'),
    ('{"level":"fatal","msg":"discovery failed","error":"member 1 has already been bootstrapped"}', 'its data is of another cluster'),
    ('panic: tocommit(107) is out of range [lastIndex(84)]. Was the raft log corrupted, truncated, or lost?',
     'its data is older than it had told the others'),
    ('{"level":"fatal","msg":"failed to open wal","error":"wal: crc mismatch"}', 'its data is damaged'),
    ('{"level":"fatal","msg":"write failed","error":"no space left on device"}', 'its disk is full'),
    ('{"level":"warn","msg":"rejected connection on peer endpoint","error":"remote error: tls: bad certificate"}', 'the certificates do not fit'),
    ('panic: runtime error: invalid memory address', 'it panics'),
])
def test_its_log_names_the_cause(line, said):
    snapshot = old()
    crashing(snapshot, log=line + '\nUsage:\n\n  etcd [flags]\n')
    finding = one(report(snapshot), 'etcd.crash_loop')
    assert said in finding['title'] and finding['evidence'][0]['text'] == line
    assert finding['next_step'] and '{' not in finding['next_step']


def test_a_cause_of_yesterday_is_history():
    snapshot = old()
    line = '{"level":"fatal","ts":"%s","error":"no space left on device"}\n'
    crashing(snapshot, log=line % ago(snapshot, 7200))
    assert 'disk is full' not in one(report(snapshot), 'etcd.crash_loop')['title']
    crashing(snapshot, log=line % ago(snapshot, 3))
    assert 'disk is full' in one(report(snapshot), 'etcd.crash_loop')['title']


def test_a_crash_loop_whose_log_was_not_read_is_one_all_the_same():
    snapshot = old()
    lose(crashing(snapshot), 'etcd', 'refused', log=True)
    finding = one(report(snapshot), 'etcd.crash_loop')
    assert finding['verdict'] == 'error' and 'could not be read' in finding['means']


# -- state ------------------------------------------------------------------------------------------------------

def service_finding(state, events, health=None, names=('cp3',), young=False):
    snapshot = old()
    for name in names:
        machine = node(snapshot, name)
        set_service(snapshot, machine, state, events, health)
        if young:
            machine.value('MachineStatuses')[0]['created'] = ago(snapshot, 100)
    return findings(report(snapshot), 'etcd.service_not_healthy')


def test_running_and_sick():
    found = service_finding('Running', [(100, 'Running', 'Health check failed: context deadline exceeded')], SICK)
    assert [f['verdict'] for f in found] == ['error'] and 'context deadline exceeded' in found[0]['title']


def test_sick_everywhere_is_critical():
    found = service_finding('Running', [(100, 'Running', 'Health check failed: x')], SICK, names=('cp1', 'cp2', 'cp3'))
    assert [f['verdict'] for f in found] == ['critical'] * 3


def test_sick_right_after_a_boot_is_info_while_there_is_a_leader():
    assert [f['verdict'] for f in service_finding('Running', [(50, 'Running', 'Health check failed: x')], SICK, young=True)] == ['info']


def test_a_failed_check_before_a_successful_one_is_history():
    assert service_finding('Running', [(100, 'Running', 'Health check failed: x'), (50, 'Running', 'Health check successful')], HEALTHY) == []


def test_just_started():
    assert [f['verdict'] for f in service_finding('Running', [(5, 'Running', 'Started task etcd (PID 1)')])] == ['info']
    assert [f['verdict'] for f in service_finding('Running', [(500, 'Running', 'Started task etcd (PID 1)')])] == ['error']


def test_finished_is_stopped_for_good():
    found = service_finding('Finished', [(500, 'Finished', 'Service finished successfully')])
    assert [f['verdict'] for f in found] == ['error'] and 'reboot' in found[0]['next_step']


def test_finished_for_the_bootstrap_is_not():
    assert [f['verdict'] for f in service_finding('Finished', [(1, 'Finished', 'Bootstrap requested')])] == ['info']


def drop_etcd(machine):
    machine.data['ServiceList'] = Datum(READ, {'services': [s for s in machine.value('ServiceList')['services'] if s['id'] != 'etcd']})


@pytest.mark.parametrize('stage, seconds, verdict', [('booting', 5000, 'error'), ('booting', 60, 'info'), ('maintenance', 5000, 'not_applicable')])
def test_no_service_at_all(stage, seconds, verdict):
    snapshot = old()
    for machine in planes(snapshot):
        drop_etcd(machine)
        machine.value('MachineStatuses')[0].update(created=ago(snapshot, seconds), spec={'stage': stage})
    assert verdict_of(report(snapshot), 'etcd.service_not_healthy') == verdict


def test_a_worker_has_none():
    snapshot = old()
    assert verdict_of(report(snapshot), 'etcd.on_worker') == 'not_applicable'
    set_service(snapshot, node(snapshot, 'w1'), 'Running', [])
    assert one(report(snapshot), 'etcd.on_worker')['verdict'] == 'warning'


def test_a_healthy_cluster_with_a_bootstrap_in_its_events_is_healthy():
    assert faults(report(old())) == set()
