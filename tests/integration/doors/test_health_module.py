# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_health as a gate in a playbook: a cluster that becomes healthy while it waits, and one that does not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from running import Ansible, as_from_a_terminal

from tests.conftest import ROOT
from tests.simulator import Cluster, lifecycle

HEALTH = 'talosops.talos.talos_health'
# What a machine that comes back shows within seconds at the cluster's pace.
SOON = ['etcd', 'apid', 'boot', 'kubelet', 'etcd_alarms']


@pytest.fixture
def cluster():
    with Cluster.from_state({}, pace=1.0) as running:
        yield running


@pytest.fixture
def ansible(cluster, tmp_path):
    return Ansible(tmp_path, **cluster.environment)


@contextlib.contextmanager
def when_looked_at(cluster, what, times=2):
    """Do something once the cluster was looked at so often, while a playbook runs: every look asks etcd of cp-1 for its status."""
    over = threading.Event()

    def watch():
        while not over.wait(0.1):
            if looks(cluster) >= times:
                what()
                return
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def looks(cluster):
    return sum(path.endswith('/EtcdStatus') for _at, path, _code in list(cluster.nodes['cp-1'].calls))


def unmet(result):
    return {one['condition']: one['nodes'] for one in result['conditions'] if one['state'] not in ('ok', 'skipped')}


def test_a_healthy_cluster_passes_the_gate_at_once(ansible):
    run = ansible.tasks(('gate', {HEALTH: {}}), ('check', {HEALTH: {}, 'check_mode': True}))
    for result in run.results.values():
        assert result['healthy'] is True and not result.get('failed') and result['changed'] is False
        assert result['polls'] == 1 and unmet(result) == {}
        assert set(result['sections']) == {'health_checks', 'x.upgrade'}


def test_a_cluster_that_becomes_healthy_while_it_waits(cluster, ansible):
    cluster.kill('w-1')
    with when_looked_at(cluster, lambda: cluster.start('w-1')):
        run = ansible.tasks(('gate', {HEALTH: {'conditions': SOON, 'wait_timeout': 120, 'poll_interval': 0.5}}))
    result = run.results['gate']
    assert result['healthy'] and not result.get('failed'), result.get('msg')
    assert result['polls'] > 2 and 0.5 < result['waited'] < 120
    assert run.says('waiting for apid to be ready on w-1')


def test_a_cluster_that_does_not_become_healthy_in_time(cluster, ansible):
    cluster.kill('cp-3')
    cluster.kill('w-2')
    began = time.monotonic()
    run = ansible.tasks(('gate', {HEALTH: {'conditions': SOON, 'wait_timeout': 5, 'poll_interval': 0.5, 'timeout': 3, 'deadline': 10}}))
    result = run.results['gate']
    assert result['failed'] and result['healthy'] is False and time.monotonic() - began < 60
    assert ' is not healthy after ' in result['msg'] and '"etcd to be healthy" is not met on cp-3 (' in result['msg']
    assert '"apid to be ready" is not met on ' in result['msg'] and 'w-2' in result['msg']
    assert unmet(result)['etcd'] == ['cp-3'] and set(unmet(result)['apid']) == {'cp-3', 'w-2'}
    assert set(unmet(result)['kubelet']) == {'cp-3', 'w-2'}
    assert 'Traceback' not in run.text and 'fault of the collection' not in run.text


def test_until_counts_where_the_task_does_not_fail(cluster, ansible):
    cluster.kill('w-1')
    task = {HEALTH: {'conditions': SOON, 'fail': False, 'timeout': 3}, 'until': 'result.healthy', 'retries': 40, 'delay': 1}
    with when_looked_at(cluster, lambda: cluster.start('w-1')):
        run = ansible.tasks(('gate', task), ('once', {HEALTH: {'conditions': SOON, 'fail': False}}))
    assert run.results['gate']['healthy'] and run.results['gate']['attempts'] > 1
    assert not run.results['gate'].get('failed') and run.results['once']['healthy']


def test_async_waits_in_a_process_of_its_own(cluster, tmp_path):
    cluster.kill('w-1')
    ansible = Ansible(tmp_path, **cluster.environment)
    here = {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable, 'ansible_async_dir': str(tmp_path / 'async')}
    with when_looked_at(cluster, lambda: cluster.start('w-1')):
        run = ansible.tasks(('gate', {HEALTH: {'conditions': SOON, 'wait_timeout': 120, 'poll_interval': 0.5}, 'async': 900, 'poll': 1}),
                            hosts='localhost', inventory={'all': {'hosts': {'localhost': here}}})
    result = run.results['gate']
    assert result.get('healthy'), result.get('msg')
    assert result['polls'] > 1 and 'ansible_job_id' in result


def test_it_can_be_stopped_while_it_waits(cluster, ansible, tmp_path):
    cluster.kill('w-1')
    path = ansible.write('play.yml', [{'name': 'Wait', 'hosts': 'localhost', 'gather_facts': False,
                                       'tasks': [{'name': 'Gate', HEALTH: {'conditions': SOON, 'wait_timeout': 600}}]}])
    process = subprocess.Popen([ansible.program('ansible-playbook'), path], cwd=tmp_path, env=ansible.environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, preexec_fn=as_from_a_terminal)
    said = []
    for line in process.stdout:
        said.append(line)
        if 'waiting for' in line:
            break
    # Ansible hangs for ever where a worker is killed while it holds the lock of the queue to its parent, which it does
    # for a moment around every line that it says. The next look tells that the worker has let go of it.
    before, end = looks(cluster), time.monotonic() + 60
    while looks(cluster) == before and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    try:
        said.append(process.communicate(timeout=60)[0])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    assert 'Traceback' not in ''.join(said), ''.join(said)
    assert not list((tmp_path / 'tmp').glob('**/*.sock'))


def test_it_waits_after_a_bootstrap(tmp_path):
    with Cluster.from_file(ROOT / 'tests' / 'scenarios' / 'not-bootstrapped.yaml') as cluster:
        ansible = Ansible(tmp_path, **cluster.environment)
        once = ansible.tasks(('once', {HEALTH: {'fail': False}})).results['once']
        assert unmet(once).keys() >= {'etcd', 'etcd_members_consistent', 'static_pods', 'control_plane', 'nodes_ready', 'etcd_alarms'}
        bootstrap = when_looked_at(cluster, lambda: cluster._do(lambda: lifecycle.bootstrap(cluster.nodes['cp-1'])), times=0)
        with bootstrap:
            run = ansible.tasks(('gate', {HEALTH: {'conditions': ['etcd', 'etcd_members_consistent', 'apid', 'etcd_alarms'], 'wait_timeout': 200}}))
    assert run.results['gate'].get('healthy'), run.results['gate'].get('msg')
    assert run.results['gate']['polls'] > 1
