# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run costs, counted instead of timed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.snapshot import store
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, snapshot
from tests.conftest import ROOT

PARAMS = {'timeout': 10.0, 'deadline': 60.0}


@pytest.fixture
def gathered(replayed, monkeypatch, tmp_path):
    """A function that runs the task of talos_snapshot in this process; gives its Snapshot."""
    def run(name):
        replay = replayed(name)
        monkeypatch.setenv('HTTPS_PROXY', replay.proxy)
        monkeypatch.chdir(tmp_path)
        params = {**PARAMS, 'talosconfig': replay.path}
        result = snapshot.run({**params, 'access': access.find(params)}, False, None)
        return store.read(result['snapshot'])
    return run


def test_two_waves_one_handshake_for_each_endpoint_and_no_process(gathered, monkeypatch):
    def refuse(*_args, **_keywords):
        pytest.fail('a process was started')

    for name in ('fork', 'posix_spawn', 'posix_spawnp'):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(subprocess, 'Popen', refuse)
    taken = gathered('healthy')
    assert taken.control_node['waves'] == 2 and taken.control_node['retries'] == 0
    assert taken.control_node['handshakes'] <= len(taken.endpoints)


def test_a_machine_that_is_down_costs_no_further_handshake(gathered):
    taken = gathered('one-cp-down')
    assert taken.control_node['waves'] == 2
    assert taken.control_node['handshakes'] <= len(taken.endpoints) + 1


@pytest.mark.parametrize('module', ['certsans_check', 'snapshot'])
def test_the_kubernetes_client_is_never_imported_for_a_diagnosis(replayed, tmp_path, module):
    """Not even where Kubernetes is read: only an exec plugin of a kubeconfig needs it."""
    replay = replayed('healthy')
    program = f'''
import json, sys
sys.path[:0] = {sys.path!r}
from ansible_collections.talosops.talos.plugins.action import talos_snapshot  # what the parent of all forks imports
before = 'kubernetes' in sys.modules
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, {module}
params = {{**{PARAMS!r}, 'talosconfig': {replay.path!r}}}
{module}.run({{**params, 'access': access.find(params)}}, False, None)
print(json.dumps([before, 'kubernetes' in sys.modules]))
'''
    done = subprocess.run([sys.executable, '-c', program], cwd=tmp_path, capture_output=True, text=True, check=False,
                          env={**os.environ, 'HTTPS_PROXY': replay.proxy})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [False, False]


def test_no_thread_runs_in_the_parent_of_all_forks():
    program = f'''
import sys, threading
sys.path[:0] = {sys.path!r}
from ansible_collections.talosops.talos.plugins.action import talos_snapshot
print(threading.active_count())
'''
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '1'


@pytest.mark.parametrize('role', sorted(path.name for path in (ROOT / 'roles').iterdir()))
def test_a_role_is_at_most_two_tasks_and_only_gather_and_remediate_connect(role):
    tasks = yaml.safe_load((ROOT / 'roles' / role / 'tasks' / 'main.yml').read_text())
    assert len(tasks) <= (4 if role == 'remediate' else 2)
    options = set().union(*(task.get(key) or {} for task in tasks for key in task if key.startswith('talosops.talos.')))
    assert bool(options & {'talosconfig', 'context', 'endpoints', 'kubeconfig', 'proxy'}) is (role in ('gather', 'remediate'))
    assert not (ROOT / 'roles' / role / 'defaults').exists()


@pytest.mark.parametrize('role', sorted(path.name for path in (ROOT / 'roles').iterdir()))
def test_the_argument_spec_of_a_role_names_the_variables_that_it_uses(role):
    text = (ROOT / 'roles' / role / 'tasks' / 'main.yml').read_text()
    used = set(re.findall(r'(talos_\w+) \| default', text))
    spec = yaml.safe_load((ROOT / 'roles' / role / 'meta' / 'argument_specs.yml').read_text())['argument_specs']['main']['options']
    if 'talosops.talos.remediate' in text:  # it hands all on, and tells of what is said of this remedy alone
        used = {'talos_targets', 'talos_confirm', 'talos_backup_dir'}
    if role == 'gather':  # what only the role report uses is refused here, while nothing was asked yet
        used |= {'talos_fail_on', 'talos_fail_on_incomplete'}
    assert set(spec) == used
    readme = (ROOT / 'roles' / role / 'README.md').read_text()
    assert not [name for name in spec if f'| `{name}` |' not in readme]


def test_100_clusters_by_50_forks(ansible, tmp_path):
    """grpcio imported in the parent and used in 100 forked workers."""
    ansible = ansible('healthy')
    hosts = {f'cluster-{number}': {'ansible_connection': 'local'} for number in range(100)}
    run = ansible.play([{'name': 'Test', 'hosts': 'all', 'gather_facts': False, 'tasks': [
        {'name': 'Check', 'talosops.talos.talos_certsans_check': {'context': 'healthy', 'timeout': 120, 'deadline': 300}, 'register': 'said'},
        {'name': 'Right', 'ansible.builtin.assert': {'that': [
            'said.complete', "said.verdict in ['ok', 'not_applicable']", 'said.cluster == inventory_hostname', 'said.nodes | length == 3']}},
    ]}], {'all': {'hosts': hosts}}, ['--forks', '50'])
    assert run.code == 0, run.text[-3000:]
    assert len(run.recap) == 100 and all(host['ok'] == 2 for host in run.recap.values())
