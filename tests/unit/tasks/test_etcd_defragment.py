# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_etcd_defragment against simulated clusters: followers first, the leader last, and nothing where it is useless or unsafe."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, RoleRefused, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.tasks import etcd_defragment
from tests.simulator import Cluster
from tests.unit.tasks import etcd_bed

PLANES = ('cp-1', 'cp-2', 'cp-3')
IDS = ('1111111111111111', '2222222222222222', '3333333333333333')
FRAGMENTED = {'db_mb': 900, 'in_use_mb': 90}
NOSPACE = [{'member': name, 'alarm': 'NOSPACE'} for name in PLANES]
ONE = {'topology': {'cp': {'cp-1': '10.5.0.11'}, 'workers': {'w-1': '10.5.0.21'}}, 'etcd': {**FRAGMENTED, 'members': {'cp-1': IDS[0]}}}


def defragment(cluster, check_mode=False, **options):
    return etcd_defragment.run(etcd_bed.params(cluster, 'talos_etcd_defragment', **{'pause': 0.0, **options}), check_mode, None)


def where(cluster):
    return etcd_bed.where(cluster, 'EtcdDefragment')


def as_it_is(cluster):
    return copy.deepcopy((cluster.model.etcd.given, cluster.model.etcd.alarms, cluster.model.etcd.ids))


def names(result):
    return [step['node'] for step in result['defragmented']]


@pytest.mark.parametrize('leader, order', [('cp-1', ['cp-2', 'cp-3', 'cp-1']), ('cp-2', ['cp-1', 'cp-3', 'cp-2'])])
def test_check_mode_changes_nothing_then_followers_first_and_the_leader_last_then_nothing(leader, order):
    with Cluster.from_state({'etcd': {**FRAGMENTED, 'leader': leader}}) as cluster:
        before = as_it_is(cluster)
        told = defragment(cluster, check_mode=True)
        assert told['changed'] is True and names(told) == order and etcd_bed.called(cluster) == [] and as_it_is(cluster) == before
        assert told['diff']['after'].startswith(f'{order[0]}: about 90 MiB') and told['confirm'] is None
        made = defragment(cluster)
        assert made['changed'] is True and names(made) == where(cluster) == order
        assert all(step['after_bytes'] == 90 * 1024 ** 2 and '90 MiB of 900 MiB (10%)' in step['reason'] for step in made['defragmented'])
        assert made['diff'] == {'before': ''.join(f'{name}: 900 MiB\n' for name in order), 'after': ''.join(f'{name}: 90 MiB\n' for name in order)}
        again = defragment(cluster)
        assert again['changed'] is False and names(again) == [] and len(where(cluster)) == 3


def test_only_those_that_gain_by_it_and_that_are_named():
    with Cluster.from_state({'etcd': {'db_mb': {'cp-1': 900, 'cp-2': 900, 'cp-3': 95}, 'in_use_mb': {'cp-1': 451, 'cp-2': 90, 'cp-3': 10}}}) as cluster:
        assert names(defragment(cluster, check_mode=True)) == ['cp-2']
        assert names(defragment(cluster, check_mode=True, threshold=0.6)) == ['cp-2', 'cp-1']
        assert names(defragment(cluster, check_mode=True, min_bytes=0)) == ['cp-2', 'cp-3']
        assert names(defragment(cluster, check_mode=True, members=[IDS[0]])) == []
        assert names(defragment(cluster, members=[IDS[1].upper(), IDS[0]])) == where(cluster) == ['cp-2']


def test_under_nospace_it_is_done_for_less_and_not_twice():
    with Cluster.from_state({'etcd': {'db_mb': 2048, 'in_use_mb': 1700, 'alarms': NOSPACE}}) as cluster:
        assert names(defragment(cluster)) == ['cp-2', 'cp-3', 'cp-1'] and len(cluster.model.etcd.alarms) == 3
        again = defragment(cluster)
        assert again['changed'] is False and 'defragmentation gains nothing' in again['warnings'][0] and len(where(cluster)) == 3


def _state(**more):
    return {'etcd': {**FRAGMENTED, **more.pop('etcd', {})}, **more}


@pytest.mark.parametrize('state, options, why', [
    (_state(etcd={'alarms': [{'member': 'cp-3', 'alarm': 'CORRUPT'}]}), {}, 'the alarm CORRUPT of member 3333333333333333'),
    (_state(etcd={'reachable': ['cp-1', 'cp-2']}), {'timeout': 3.0}, 'etcd member 3333333333333333 .* does not answer; etcd has no failure tolerance'),
    (_state(etcd={'learners': ['cp-3']}), {'timeout': 3.0}, 'is still a learner'),
    (_state(nodes={'cp-2': {'machine_status': {'stage': 'rebooting'}}}), {}, 'cp-2 is rebooting'),
    (_state(etcd={'db_mb': 9000, 'in_use_mb': 4000}, nodes={'cp-2': {'ephemeral': {'size_gib': 10, 'used_pct': 95}}}), {'members': [IDS[1]]},
     'the disk of cp-2 has 512 MiB left, which is less than 1.5 times the 4000 MiB in use'),
    (_state(), {'members': ['4' * 16]}, 'it has no member 4444444444444444'),
])
def test_it_is_refused_and_the_cluster_is_as_it_was(state, options, why):
    with Cluster.from_state(state) as cluster:
        before = as_it_is(cluster)
        for check_mode in (True, False):
            with pytest.raises(Refused, match=f'is not defragmented: .*{why}'):
                defragment(cluster, check_mode, **options)
        assert etcd_bed.called(cluster) == [] and as_it_is(cluster) == before


def test_a_machine_that_does_not_answer_refuses_it():
    with Cluster.from_state(_state()) as cluster:
        cluster.kill('cp-3')
        with pytest.raises(Refused, match='cp-3 does not answer'):
            defragment(cluster, timeout=3.0)
        assert etcd_bed.called(cluster) == []


def test_a_cluster_of_one_needs_the_sentence_that_check_mode_prints():
    with Cluster.from_state(ONE) as cluster:
        told = defragment(cluster, check_mode=True)
        assert told['changed'] is True and told['confirm'] in told['warnings'][0] and etcd_bed.called(cluster) == []
        for consent in (None, ['yes', 'block etcd of other while it is defragmented']):
            with pytest.raises(Refused, match='has 1 voting member, so no write .* This needs confirm: "block etcd of prod while it is defragmented"'):
                defragment(cluster, confirm=consent)
        assert etcd_bed.called(cluster) == []
        assert names(defragment(cluster, confirm=['another', told['confirm']])) == where(cluster) == ['cp-1']
        assert defragment(cluster)['changed'] is False, 'nothing to do needs no consent'


def test_an_answer_that_is_lost_is_not_sent_again():
    with Cluster.from_state(_state(faults={'reset_mid_stream': {'cp-3': ['EtcdDefragment']}})) as cluster:
        assert names(defragment(cluster)) == where(cluster) == ['cp-2', 'cp-3', 'cp-1']
        assert defragment(cluster)['changed'] is False


def test_the_first_error_stops_it_and_says_what_was_done():
    with Cluster.from_state(_state(faults={'hanging_calls': {'cp-3': ['EtcdDefragment']}})) as cluster:
        with pytest.raises(TalosError, match='^The defragmentation stopped: EtcdDefragment of cp-3 failed .*Defragmented before that: cp-2'):
            defragment(cluster, member_timeout=1.0, timeout=2.0)
        assert where(cluster)[:1] == ['cp-2'] and 'cp-1' not in where(cluster)


def test_a_file_that_does_not_become_smaller_stops_it(monkeypatch):
    monkeypatch.setattr(etcd_defragment, 'RECOVERY', 0.0)
    with Cluster.from_state(_state()) as cluster:
        monkeypatch.setattr(cluster.model.etcd, 'defragment', lambda node: None)
        with pytest.raises(TalosError, match='^The defragmentation stopped: the database of cp-2 is as large as before'):
            defragment(cluster)
        assert where(cluster) == ['cp-2']


def test_what_changes_in_between_stops_it(monkeypatch):
    """A second member that fails while the first is defragmented: the others are left alone."""
    with Cluster.from_state(_state()) as cluster:
        done = cluster.model.etcd.defragment

        def then_raise(node):
            done(node)
            cluster.model.etcd.alarms = [(IDS[0], 'CORRUPT')]

        monkeypatch.setattr(cluster.model.etcd, 'defragment', then_raise)
        with pytest.raises(TalosError, match='^The defragmentation stopped before cp-3: the alarm CORRUPT .* Defragmented before that: cp-2'):
            defragment(cluster)
        assert where(cluster) == ['cp-2']


def test_os_reader_may_not_and_is_told_who_may():
    with Cluster.from_state(_state(client={'role': 'os:reader', 'cert_expires_days': 300, 'context_matches_cluster': True})) as cluster:
        with pytest.raises(RoleRefused, match='it needs os:operator or os:admin, and the client certificate has os:reader'):
            defragment(cluster)


@pytest.mark.parametrize('options, why', [
    ({'threshold': 1.5}, 'threshold must be a share'), ({'threshold': -0.1}, 'threshold must be a share'), ({'min_bytes': -1}, 'min_bytes must be'),
    ({'pause': -1.0}, 'pause must be'), ({'member_timeout': 0.0}, 'member_timeout must be'), ({'members': ['cp-1']}, '"cp-1" is no id of 16'),
])
def test_unusable_options(options, why):
    with Cluster.from_state(_state()) as cluster:
        with pytest.raises(InputError, match=why):
            defragment(cluster, **options)
