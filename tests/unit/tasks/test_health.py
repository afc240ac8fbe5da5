# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_health: a sequence of clusters that become healthy or do not, and what the task says of each."""

from __future__ import annotations

import copy

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.guide.health_conditions import KEYS
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import of_role
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import READS
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, facts, health, snapshot
from ansible_collections.talosops.talos.plugins.module_utils.tasks.arguments import SPECS
from tests import recorded
from tests.unit.guide import states

# Of these the recorded clusters tell more than enough: healthy, one control plane node down, one worker down.
JUDGED = ['etcd', 'etcd_members_consistent', 'apid', 'diagnostics', 'kubelet', 'boot', 'schedulable', 'etcd_alarms']


class Cluster:
    """A cluster that is one recording after the other, the last for ever; and time that passes only while somebody sleeps or gathers."""

    def __init__(self, monkeypatch, *names, gather_takes=1.0):
        self.names = list(names)
        self.now = 1000.0
        self.asked, self.slept, self.said = [], [], []
        self.gather_takes = gather_takes
        monkeypatch.setattr(access, 'gather', self._gather)
        monkeypatch.setattr(health.time, 'monotonic', lambda: self.now)
        monkeypatch.setattr(health.time, 'sleep', self._sleep)

    def _gather(self, params, say, kinds, logs):
        self.now += self.gather_takes
        self.asked.append((params, kinds, logs))
        name = self.names.pop(0) if len(self.names) > 1 else self.names[0]
        return name() if callable(name) else recorded.snapshot(name)

    def _sleep(self, seconds):
        self.slept.append(seconds)
        self.now += max(seconds, 0.01)

    def run(self, **params):
        given = {'conditions': JUDGED, 'wait_timeout': 0.0, 'poll_interval': 2.0, 'fail': True, 'timeout': 10.0, 'deadline': 60.0, **params}
        return health.run(given, False, self.said.append)


def unreached():
    return states.disconnected(states.snapshot(), 'timeout', 'no answer on port 50000')


def state_of(result, key):
    return next(one for one in result['conditions'] if one['condition'] == key)


def test_the_options_offer_the_conditions_that_there_are():
    options = SPECS['talos_health']['argument_spec']
    assert options['conditions']['choices'] == options['checks_skipped']['choices'] == list(KEYS)


# -- judged once ------------------------------------------------------------------------------------------------

def test_a_healthy_cluster_is_looked_at_once(monkeypatch):
    cluster = Cluster(monkeypatch, 'healthy')
    result = cluster.run()
    assert (result['healthy'], result['polls'], result['waited'], result['changed']) == (True, 1, 1.0, False)
    assert 'failed' not in result and cluster.slept == []
    assert [one['condition'] for one in result['conditions']] == [key for key in KEYS if key in JUDGED]
    assert {one['state'] for one in result['conditions']} == {'ok'}
    assert tuple(result['sections']) == of_role('health_checks')


def test_an_unhealthy_one_fails_with_the_conditions_and_their_nodes(monkeypatch):
    result = Cluster(monkeypatch, 'one-cp-down').run()
    assert result['failed'] and not result['healthy']
    assert result['msg'].startswith('rt is not healthy: "etcd to be healthy" is not met on cp3 (cp3 is not reached on port 50000')
    assert '"apid to be ready" is not met on cp3' in result['msg']
    assert '"kubelet to be healthy" is unknown on cp3 (cp3 does not answer)' in result['msg']
    assert result['conditions'] and result['findings'] is not None  # the whole result comes with it


def test_fail_false_never_fails_for_the_cluster(monkeypatch):
    for recording in ('one-cp-down', unreached):
        result = Cluster(monkeypatch, recording).run(fail=False)
        assert 'failed' not in result and result['healthy'] is False


def test_check_mode_is_the_same(monkeypatch):
    cluster = Cluster(monkeypatch, 'one-cp-down')
    params = {'conditions': None, 'wait_timeout': 0.0, 'poll_interval': 2.0, 'fail': False, 'timeout': 10.0, 'deadline': 60.0}
    assert health.run(params, True, None) == health.run(params, False, None)
    assert len(cluster.asked) == 2


def test_where_nothing_is_reached_it_says_why(monkeypatch):
    result = Cluster(monkeypatch, unreached).run()
    assert result['failed'] and result['msg'].startswith('rt is not healthy: none of the 3 endpoints could be used: no answer on port 50000')
    assert not {one['state'] for one in result['conditions']} & {'ok', 'skipped'}


def test_a_snapshot_is_judged_once_whatever_the_time(monkeypatch, tmp_path):
    path = snapshot.keep(recorded.snapshot('worker-down'), {}, str(tmp_path), 'here')['snapshot']
    cluster = Cluster(monkeypatch, 'healthy')
    result = cluster.run(snapshot=path, wait_timeout=600.0, fail=False)
    assert (result['healthy'], result['polls'], result['waited'], cluster.asked) == (False, 0, 0.0, [])
    assert state_of(result, 'apid')['nodes'] == ['w1']


# -- waiting ----------------------------------------------------------------------------------------------------

def test_it_waits_until_the_cluster_is_healthy(monkeypatch):
    cluster = Cluster(monkeypatch, unreached, 'one-cp-down', 'worker-down', 'healthy')
    result = cluster.run(wait_timeout=300.0)
    assert result['healthy'] and 'failed' not in result
    assert cluster.slept == [2.0, 3.0, 4.5]
    assert result['polls'] == 5  # the last look reads what the findings need too
    assert result['waited'] == 5 * 1.0 + 9.5
    assert [text.split(':', 1)[1].split(',')[0] for text in cluster.said] == [
        ' waiting for etcd to be healthy', ' waiting for etcd to be healthy on cp3', ' waiting for apid to be ready on w1']
    assert cluster.said[1].startswith('rt: waiting for etcd to be healthy on cp3, ') and cluster.said[1].endswith(', 4 of 300 s')


def test_the_pause_grows_to_a_quarter_of_a_minute(monkeypatch):
    cluster = Cluster(monkeypatch, 'one-cp-down')
    result = cluster.run(wait_timeout=120.0, fail=False)
    assert max(cluster.slept) <= 15.0 and cluster.slept[:-1] == sorted(cluster.slept[:-1])
    assert 120.0 <= result['waited'] <= 120.0 + 2 * cluster.gather_takes
    cluster = Cluster(monkeypatch, 'one-cp-down')
    cluster.run(wait_timeout=120.0, poll_interval=40.0, fail=False)
    assert cluster.slept[:2] == [40.0, 40.0]
    cluster = Cluster(monkeypatch, 'one-cp-down')
    cluster.run(wait_timeout=5.0, poll_interval=0.0, fail=False)
    assert set(cluster.slept) == {0.0}


def test_when_the_time_is_over_it_fails_with_the_last_state(monkeypatch):
    cluster = Cluster(monkeypatch, 'one-cp-down', 'worker-down')
    result = cluster.run(wait_timeout=30.0)
    assert result['failed'] and result['msg'].startswith('rt is not healthy after 31 s: "apid to be ready" is not met on w1')
    assert 'cp3' not in result['msg']


def test_what_it_waits_for_is_said_when_it_changes_or_after_a_while(monkeypatch):
    cluster = Cluster(monkeypatch, 'one-cp-down', gather_takes=0.1)
    cluster.run(wait_timeout=60.0, fail=False)
    assert 4 <= len(cluster.said) <= 7
    health.run({'conditions': JUDGED, 'wait_timeout': 20.0, 'poll_interval': 2.0, 'fail': False, 'timeout': 10.0, 'deadline': 60.0}, False, None)


def test_a_gather_does_not_last_longer_than_there_is_time(monkeypatch):
    cluster = Cluster(monkeypatch, 'one-cp-down')
    cluster.run(wait_timeout=30.0, fail=False)
    deadlines = [params['deadline'] for params, _kinds, _logs in cluster.asked]
    assert deadlines[0] == 30.0 and min(deadlines) >= health.GATHER_LEAST and deadlines[-1] == 60.0
    assert deadlines[:-1] == sorted(deadlines[:-1], reverse=True)


def test_a_cluster_that_falls_ill_again_is_waited_for(monkeypatch):
    """Healthy at one look, and not at the one that reads all."""
    cluster = Cluster(monkeypatch, 'healthy', 'worker-down', 'healthy')
    result = cluster.run(wait_timeout=60.0)
    assert result['healthy'] and len(cluster.slept) == 1 and result['polls'] == 4


@pytest.mark.parametrize('stopped', [KeyboardInterrupt, SystemExit])
def test_it_can_be_stopped_while_it_waits(monkeypatch, stopped):
    cluster = Cluster(monkeypatch, 'one-cp-down')

    def sleep(_seconds):
        raise stopped
    monkeypatch.setattr(health.time, 'sleep', sleep)
    with pytest.raises(stopped):
        cluster.run(wait_timeout=60.0)


# -- a part of it -----------------------------------------------------------------------------------------------

def test_only_the_conditions_that_are_wanted_are_waited_for_and_only_what_they_need_is_read(monkeypatch):
    cluster = Cluster(monkeypatch, 'worker-down')
    result = cluster.run(conditions=['etcd', 'etcd_alarms'], wait_timeout=60.0)
    assert result['healthy'] and [one['condition'] for one in result['conditions']] == ['etcd', 'etcd_alarms']
    (_params, kinds, logs), (_again, all_kinds, all_logs) = cluster.asked
    assert 'EtcdAlarmList' in kinds and not {'StaticPods', 'ImageList', 'Diagnostics', 'csrs'} & kinds
    assert kinds < all_kinds and logs <= all_logs and {'Diagnostics', 'ImageList'} <= all_kinds
    assert all_kinds <= {read.kind for read in READS} | set(KUBERNETES)


KUBERNETES = ('nodes', 'pods', 'csrs', 'daemonsets', 'deployments', 'events', 'leases', 'version', 'readyz', 'certificate', 'apiserver_certificate',
              'endpoint',
              'reach')


def test_left_out_conditions_do_not_count(monkeypatch):
    cluster = Cluster(monkeypatch, 'worker-down')
    result = cluster.run(conditions=['etcd', 'apid'], checks_skipped=['apid'])
    assert result['healthy'] and state_of(result, 'apid')['state'] == 'skipped'


def test_named_nodes_are_asked_and_are_the_ones_that_count(monkeypatch):
    cluster = Cluster(monkeypatch, 'worker-down')
    result = cluster.run(control_plane_nodes=['10.5.0.2', '10.5.0.3', '10.5.0.4'], conditions=['apid', 'boot'])
    assert result['healthy']
    assert cluster.asked[0][0]['nodes'] == ['10.5.0.2', '10.5.0.3', '10.5.0.4']
    result = cluster.run(control_plane_nodes=['10.5.0.2'], worker_nodes=['10.5.0.5'], conditions=['apid'])
    assert result['failed'] and '"apid to be ready" is not met on w1' in result['msg']


def test_where_workers_alone_are_named_what_concerns_control_plane_nodes_is_skipped(monkeypatch):
    result = Cluster(monkeypatch, 'healthy').run(worker_nodes=['10.5.0.5'])
    assert result['healthy'], result.get('msg')
    assert state_of(result, 'etcd')['reason'] == 'no control plane node was named' and state_of(result, 'kubelet')['state'] == 'ok'


@pytest.mark.parametrize('option', ['wait_timeout', 'poll_interval'])
def test_a_time_below_zero_is_refused(monkeypatch, option):
    with pytest.raises(InputError, match=f'{option} must be a number of seconds, zero or more, not -1'):
        Cluster(monkeypatch, 'healthy').run(**{option: -1})


# -- size -------------------------------------------------------------------------------------------------------

def test_a_result_keeps_all_conditions_however_many_machines_there_are(monkeypatch):
    def many():
        found = copy.deepcopy(recorded.snapshot('worker-down'))
        worker = next(machine for machine in found.machines if machine.name == 'w1')
        for number in range(400):
            one = copy.copy(worker)
            one.key, one.name = f'{worker.key}{number}', f'worker-with-a-long-name-{number}'
            one.known_from = ['options']
            one.address, one.addresses = f'10.6.{number // 250}.{number % 250}', []
            found.machines.append(one)
        return found
    result = Cluster(monkeypatch, many).run(fail=False, conditions=None)
    assert len(result['conditions']) == len(KEYS)
    apid = state_of(result, 'kubelet')
    assert len(apid['nodes']) == 50 and apid['nodes_omitted'] == 351
    assert facts._size(result) <= facts.RESULT_BYTES
