# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each precondition of a change of etcd on changed recordings of a real cluster: it holds, it does not, and its data are taken away."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_alarm
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from tests.unit.guide.judging import add_member, lose, node, old, planes, preparing, recording, stage, unreachable
from tests.unit.guide.test_etcd_space import alarm, sizes

ALL = ('no_corruption', 'alarms_listed', 'planes_answer', 'one_list', 'members_healthy', 'one_leader', 'calm', 'quotas_equal', 'below_quota')
NAMES = ('cp1', 'cp2', 'cp3')


def view(snapshot):
    return View(snapshot, settings.build(()))


def against(snapshot, name):
    return '; '.join(getattr(preconditions, name)(view(snapshot)))


@pytest.mark.parametrize('name', ALL)
def test_on_the_healthy_recording_all_hold(name):
    assert against(old(), name) == ''


def test_the_recorded_alarm_waits_for_room_alone():
    """The database was still as large as its quota when this was recorded."""
    reasons = etcd_alarm.against(view(recording('nospace-alarm')), 'NOSPACE')
    assert reasons and all('of its quota of' in reason for reason in reasons)


def test_the_recording_with_a_dead_control_plane_node():
    snapshot = recording('one-cp-down')
    assert 'cp3 does not answer (' in against(snapshot, 'planes_answer')
    assert 'does not answer' in against(snapshot, 'members_healthy') and against(snapshot, 'one_list') == against(snapshot, 'one_leader') == ''


def lost(*kinds, where=NAMES):
    def change(snapshot):
        for name in where:
            for kind in kinds:
                lose(node(snapshot, name), kind)
    return change


def _set(name, kind, **values):
    return lambda snapshot: node(snapshot, name).value(kind).update(values)


def _one_more(snapshot):
    node(snapshot, 'cp2').value('EtcdMemberList')['members'].append(
        {'id': '4444444444444444', 'hostname': 'x', 'peer_urls': [], 'client_urls': [], 'is_learner': False})


def _unhealthy(snapshot):
    service = next(one for one in node(snapshot, 'cp2').value('ServiceList')['services'] if one['id'] == 'etcd')
    service['health'] = {'unknown': False, 'healthy': False, 'last_message': 'context deadline exceeded'}


@pytest.mark.parametrize('name, change, why', [
    ('no_corruption', lambda s: alarm(s, 'CORRUPT', ['cp2']), 'the alarm CORRUPT of member'),
    ('no_corruption', lost('EtcdAlarmList', 'EtcdStatus'), 'because no member told its alarms'),
    ('alarms_listed', lost('EtcdAlarmList'), 'no member gave the list of alarms (cp1: no answer'),
    ('planes_answer', lambda s: unreachable(node(s, 'cp2')), 'cp2 does not answer (i/o timeout)'),
    ('planes_answer', lambda s: s.machines.clear(), 'no control plane node is known'),
    ('one_list', _one_more, 'differ (in 4444444444444444)'),
    ('one_list', lost('EtcdMemberList', where=['cp2']), 'cp2 did not give its list of etcd members: no answer'),
    ('one_list', lost('EtcdMemberList'), 'no control plane node gave the list'),
    ('members_healthy', lambda s: add_member(s, '4444444444444444', 'x', '10.5.0.9'), 'etcd member 4444444444444444 ("x", 10.5.0.9) does not answer'),
    ('members_healthy', lambda s: preparing(s, node(s, 'cp3')), 'does not answer'),
    ('members_healthy', lost('EtcdMemberList'), 'the members of etcd are not known'),
    ('members_healthy', lost('EtcdStatus', where=['cp1']), 'does not answer'),
    ('members_healthy', lost('ServiceList', where=['cp1']), 'etcd on cp1 is not healthy (no health check has passed)'),
    ('members_healthy', _unhealthy, 'etcd on cp2 is not healthy (context deadline exceeded)'),
    ('members_healthy', _set('cp2', 'EtcdStatus', is_learner=True), 'is still a learner'),
    ('members_healthy', _set('cp2', 'EtcdStatus', leader='0' * 16), 'knows no leader'),
    ('one_leader', _set('cp2', 'EtcdStatus', leader='4' * 16), 'name different leaders'),
    ('one_leader', lost('EtcdStatus'), 'knows a leader, so there is no quorum'),
    ('calm', lambda s: stage(s, node(s, 'cp2'), 'upgrading', 10), 'cp2 is upgrading'),
    ('calm', lambda s: stage(s, node(s, 'cp2'), 'rebooting', 10), 'cp2 is rebooting'),
    ('calm', lost('MachineStatuses', where=['cp2']), 'the stage of cp2 is not known (no answer'),
    ('quotas_equal', lost('EtcdSpecs', where=['cp2']), 'the quota of etcd on cp2 is not known (EtcdSpecs: no answer'),
    ('quotas_equal', lambda s: node(s, 'cp2').value('EtcdSpecs')[0]['spec'].update(extraArgs={'quota-backend-bytes': '4294967296'}),
     'the quotas of etcd differ (cp1 2048 MiB, cp2 4096 MiB'),
    ('below_quota', lambda s: sizes(s, 1639, 20), 'has 1639 MiB, which is 80% of its quota of 2048 MiB'),
])
def test_one_that_does_not_hold_names_the_evidence(name, change, why):
    snapshot = old()
    change(snapshot)
    assert why in against(snapshot, name)


def test_near_misses():
    snapshot = old()
    sizes(snapshot, 1638, 20)
    assert against(snapshot, 'below_quota') == ''
    alarm(snapshot, 'NOSPACE')
    assert against(snapshot, 'no_corruption') == ''
    lose(planes(snapshot)[0], 'EtcdAlarmList')
    assert against(snapshot, 'alarms_listed') == against(snapshot, 'no_corruption') == ''


def test_an_alarm_of_another_kind_is_not_taken_along():
    snapshot = old()
    alarm(snapshot, 'NOSPACE')
    assert etcd_alarm.against(view(snapshot), 'NOSPACE') == []
    node(snapshot, 'cp2').value('EtcdAlarmList')['member_alarms'].append({'member_id': '1' * 16, 'alarm': '7'})
    assert etcd_alarm.against(view(snapshot), 'NOSPACE') == ['the alarm 7 stands too, and disarming takes all alarms']
