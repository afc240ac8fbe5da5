# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_etcd_alarm against simulated clusters: NOSPACE goes when its cause is gone, and nothing is sent where it is not."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, RoleRefused, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.tasks import etcd_alarm
from tests.simulator import Cluster
from tests.unit.tasks import etcd_bed

PLANES = ('cp-1', 'cp-2', 'cp-3')


def raised(*alarms):
    return [{'member': member, 'alarm': alarm} for member, alarm in alarms]


NOSPACE = raised(*((name, 'NOSPACE') for name in PLANES))


def disarm(cluster, check_mode=False, **options):
    return etcd_alarm.run(etcd_bed.params(cluster, 'talos_etcd_alarm', **{'settle': 0.0, **options}), check_mode, None)


def test_check_mode_changes_nothing_then_it_goes_and_stays_away():
    with Cluster.from_state({'etcd': {'alarms': NOSPACE}}) as cluster:
        told = disarm(cluster, check_mode=True)
        assert told['changed'] is True and told['alarms'] == [] and len(told['alarms_before']) == 3 and etcd_bed.called(cluster) == []
        assert told['diff']['before'].startswith('NOSPACE of member 1111111111111111 ("cp-1"') and told['diff']['after'] == ''
        made = disarm(cluster, settle=1.5)
        assert made['changed'] is True and 'warnings' not in made and made['members'][0]['quota_bytes'] == 2 * 1024 ** 3
        assert {key: made[key] for key in ('alarms', 'alarms_before', 'diff')} == {key: told[key] for key in ('alarms', 'alarms_before', 'diff')}
        again = disarm(cluster)
        assert again['changed'] is False and again['alarms_before'] == [] and etcd_bed.called(cluster) == ['EtcdAlarmDisarm']


def test_without_an_alarm_nothing_is_asked_of_the_cluster():
    """Not even that all machines answer: there is nothing to do."""
    with Cluster.from_state({}) as cluster:
        cluster.kill('cp-3')
        for alarm in ('NOSPACE', 'CORRUPT'):
            assert disarm(cluster, alarm=alarm, timeout=3.0)['changed'] is False
        assert etcd_bed.called(cluster) == []


@pytest.mark.parametrize('etcd, options, why', [
    ({'alarms': NOSPACE + raised(('cp-2', 'CORRUPT'))}, {}, 'the alarm CORRUPT of member 2222222222222222'),
    ({'alarms': raised(('cp-2', 'CORRUPT'))}, {'alarm': 'CORRUPT'}, 'to disarm it would only hide that'),
    ({'alarms': NOSPACE, 'db_mb': 2061, 'in_use_mb': 236}, {}, 'the database on cp-1 has 2061 MiB, which is 101% of its quota of 2048 MiB'),
    ({'alarms': NOSPACE, 'db_mb': {'cp-1': 236, 'cp-2': 236, 'cp-3': 1640}, 'in_use_mb': 236}, {}, 'the database on cp-3 has 1640 MiB'),
    ({'alarms': NOSPACE, 'reachable': ['cp-1', 'cp-2']}, {'timeout': 3.0}, 'etcd member 3333333333333333'),
    ({'alarms': NOSPACE, 'learners': ['cp-3']}, {'timeout': 3.0}, 'is still a learner'),
    ({'alarms': NOSPACE, 'members': {'cp-1': '1', 'cp-2': '2', 'cp-3': '3', 'gone': '4'}, 'member_addresses': {'gone': '10.5.0.99'}}, {'timeout': 3.0},
     'etcd member 0000000000000004 .* does not answer'),
])
def test_it_is_refused_and_the_cluster_is_as_it_was(etcd, options, why):
    with Cluster.from_state({'etcd': etcd}) as cluster:
        before = copy.deepcopy((cluster.model.etcd.given, cluster.model.etcd.alarms, cluster.model.etcd.ids))
        for check_mode in (True, False):
            with pytest.raises(Refused, match=f'is not disarmed: .*{why}'):
                disarm(cluster, check_mode, **options)
        assert etcd_bed.called(cluster) == []
        assert (cluster.model.etcd.given, cluster.model.etcd.alarms, cluster.model.etcd.ids) == before


def test_a_machine_that_does_not_answer_refuses_it():
    with Cluster.from_state({'etcd': {'alarms': NOSPACE}}) as cluster:
        cluster.kill('cp-3')
        with pytest.raises(Refused, match='cp-3 does not answer'):
            disarm(cluster, timeout=3.0)
        assert etcd_bed.called(cluster) == []


def test_a_machine_that_is_upgraded_refuses_it():
    with Cluster.from_state({'etcd': {'alarms': NOSPACE}, 'nodes': {'cp-2': {'machine_status': {'stage': 'upgrading'}}}}) as cluster:
        with pytest.raises(Refused, match='cp-2 is upgrading'):
            disarm(cluster)
        assert etcd_bed.called(cluster) == []


def test_where_nobody_tells_the_alarms_it_is_no_all_clear():
    state = {'faults': {'hanging_calls': dict.fromkeys(PLANES, ['EtcdAlarmList'])}}
    with Cluster.from_state(state) as cluster:
        with pytest.raises(TalosError, match='^Whether an alarm of etcd of prod is raised is not known: no member gave the list of alarms'):
            disarm(cluster, timeout=1.0)


def test_an_answer_that_is_lost_is_not_sent_again():
    state = {'etcd': {'alarms': NOSPACE}, 'faults': {'reset_mid_stream': dict.fromkeys(PLANES, ['EtcdAlarmDisarm'])}}
    with Cluster.from_state(state) as cluster:
        made = disarm(cluster)
        assert made['changed'] is True and 'was lost' in made['warnings'][0] and etcd_bed.called(cluster) == ['EtcdAlarmDisarm']
        assert disarm(cluster)['changed'] is False


def test_a_call_that_hangs_is_sent_once_and_said_to_have_failed():
    state = {'etcd': {'alarms': NOSPACE}, 'faults': {'hanging_calls': dict.fromkeys(PLANES, ['EtcdAlarmDisarm'])}}
    with Cluster.from_state(state) as cluster:
        with pytest.raises(TalosError, match='^EtcdAlarmDisarm failed, and the alarms stand: '):
            disarm(cluster, timeout=3.0)
        assert len(cluster.model.etcd.alarms) == 3


def test_an_alarm_that_comes_back_is_an_error(monkeypatch):
    with Cluster.from_state({'etcd': {'alarms': NOSPACE}}) as cluster:
        alarms = list(cluster.model.etcd.alarms)
        monkeypatch.setattr(cluster.model.etcd, 'disarm', lambda: alarms)
        with pytest.raises(TalosError, match='^The alarms were disarmed once, and stand again: NOSPACE of member 1111111111111111'):
            disarm(cluster)
        assert etcd_bed.called(cluster) == ['EtcdAlarmDisarm']


def test_os_reader_may_not_and_is_told_who_may():
    state = {'etcd': {'alarms': NOSPACE}, 'client': {'role': 'os:reader', 'cert_expires_days': 300, 'context_matches_cluster': True}}
    with Cluster.from_state(state) as cluster:
        with pytest.raises(RoleRefused, match='it needs os:operator or os:admin, and the client certificate has os:reader'):
            disarm(cluster)


def test_unusable_options():
    with Cluster.from_state({}) as cluster:
        with pytest.raises(InputError, match='settle must be'):
            disarm(cluster, settle=-1.0)
