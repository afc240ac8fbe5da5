# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Alarms, and the room that is left before there is one."""

from __future__ import annotations

import pytest

from tests.unit.guide.judging import faults, findings, lose, node, old, one, planes, report, verdict_of

MIB = 1024 ** 2


def sizes(snapshot, size, used, quota=None):
    for machine in planes(snapshot):
        machine.value('EtcdStatus').update(db_size=int(size * MIB), db_size_in_use=int(used * MIB))
        if quota is not None:
            machine.value('EtcdSpecs')[0]['spec']['extraArgs'] = {'quota-backend-bytes': quota}


def alarm(snapshot, name, where=('cp1',)):
    for machine in planes(snapshot):
        machine.value('EtcdAlarmList')['member_alarms'] = [{'member_id': node(snapshot, n).value('EtcdStatus')['member_id'], 'alarm': name}
                                                           for n in where]


def test_nospace_with_little_in_use_needs_no_larger_quota():
    snapshot = old()
    sizes(snapshot, 2061, 236)
    alarm(snapshot, 'NOSPACE', ('cp1', 'cp2', 'cp3'))
    judged = report(snapshot)
    found = findings(judged, 'etcd.alarm_nospace')
    assert [f['nodes'] for f in found] and {f['nodes'][0] for f in found} == {'cp1', 'cp2', 'cp3'}
    assert 'database 2061.0 MiB, in use 236.0 MiB (11%), quota 2048.0 MiB' in found[0]['title']
    assert 'defragmentation is enough' in found[0]['means']
    step = found[0]['next_step']
    assert step.index('snapshot') < step.index('defragment') < step.index('disarm') and 'leader last' in step
    assert judged['class'] == 'critical'
    for check in ('etcd.db_near_quota', 'etcd.db_fragmented'):
        assert all(f['because_of'] for f in findings(judged, check)) and findings(judged, check)


def test_nospace_with_everything_in_use_needs_room():
    snapshot = old()
    sizes(snapshot, 2048, 2000)
    alarm(snapshot, 'NOSPACE')
    finding = one(report(snapshot), 'etcd.alarm_nospace')
    assert 'defragmentation alone will not help' in finding['means'] and 'quota-backend-bytes' in finding['next_step']


def test_nospace_of_a_member_whose_status_was_not_read():
    snapshot = old()
    alarm(snapshot, 'NOSPACE')
    lose(node(snapshot, 'cp1'), 'EtcdStatus')
    finding = one(report(snapshot), 'etcd.alarm_nospace')
    assert finding['nodes'] == ['cp1'] and 'quota 2048.0 MiB' in finding['title']


@pytest.mark.parametrize('text', ['memberID:{} alarm:NOSPACE ', 'memberID:{}  alarm:NOSPACE'])
def test_nospace_that_statuses_alone_tell(text):
    """Where spaces stand in it is another matter in each build of etcd."""
    snapshot = old()
    for machine in planes(snapshot):
        lose(machine, 'EtcdAlarmList')
        machine.value('EtcdStatus')['errors'] = [text.format(int(node(snapshot, 'cp1').value('EtcdStatus')['member_id'], 16))]
    finding = one(report(snapshot), 'etcd.alarm_nospace')
    assert finding['nodes'] == ['cp1'] and 'memberID:' in str(finding['evidence'])


def test_corrupt_is_never_to_be_disarmed_first():
    snapshot = old()
    alarm(snapshot, 'CORRUPT', ('cp2',))
    judged = report(snapshot)
    finding = one(judged, 'etcd.alarm_corrupt')
    assert finding['verdict'] == 'critical' and finding['remedy'] is None and finding['next_step'].startswith('Never disarm')
    assert findings(judged, 'etcd.alarm_nospace') == []


def test_an_alarm_is_told_although_everything_else_is_blind():
    snapshot = old()
    alarm(snapshot, 'NOSPACE')
    for machine in planes(snapshot):
        for kind in ('EtcdStatus', 'EtcdMemberList', 'ServiceList'):
            lose(machine, kind)
    assert one(report(snapshot), 'etcd.alarm_nospace')['verdict'] == 'critical'


@pytest.mark.parametrize('quota', [str(100 * MIB), 100 * MIB, [str(100 * MIB)], ['1', str(100 * MIB)], {'values': [str(100 * MIB)]}])
@pytest.mark.parametrize('size, verdict', [(79, 'ok'), (81, 'warning'), (96, 'error')])
def test_the_quota_in_all_its_forms(quota, size, verdict):
    snapshot = old()
    sizes(snapshot, size, size, quota)
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.db_near_quota') == verdict
    assert len(findings(judged, 'etcd.db_near_quota')) == (0 if verdict == 'ok' else 3)


def test_without_the_argument_it_is_two_gib():
    snapshot = old()
    sizes(snapshot, 1700, 1700)
    assert 'quota 2048.0 MiB' in findings(report(snapshot), 'etcd.db_near_quota')[0]['title']


def test_a_quota_that_is_no_number_is_unknown():
    snapshot = old()
    sizes(snapshot, 10, 10, 'many')
    assert verdict_of(report(snapshot), 'etcd.db_near_quota') == 'unknown'


@pytest.mark.parametrize('size, used, verdict', [(101, 49, 'warning'), (101, 60, 'ok'), (99, 10, 'ok')])
def test_fragmentation(size, used, verdict):
    snapshot = old()
    sizes(snapshot, size, used)
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.db_fragmented') == verdict
    assert (faults(judged) == set()) == (verdict == 'ok')


def test_thresholds_are_settings():
    snapshot = old()
    sizes(snapshot, 101, 49)
    assert verdict_of(report(snapshot, {'etcd_fragmented_ratio': 0.4}), 'etcd.db_fragmented') == 'ok'
    assert verdict_of(report(snapshot, {'etcd_db_warning': 0.01}), 'etcd.db_near_quota') == 'warning'


def test_more_than_eight_gib():
    snapshot = old()
    sizes(snapshot, 9000, 8000, str(20000 * MIB))
    judged = report(snapshot)
    assert verdict_of(judged, 'etcd.db_too_large') == 'warning' and verdict_of(judged, 'etcd.db_near_quota') == 'ok'
