# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module gives the same through every door."""

from __future__ import annotations

import importlib
import json
import re
import sys

import pytest
from running import Ansible, elsewhere

from ansible_collections.talosops.talos.plugins.module_utils.tasks.arguments import SPECS

# What differs from one gather to the next, or comes from Ansible itself, which says of every path in a result whose it is.
PASSING = {'at', 'seconds', 'waited', 'digest', 'snapshot', 'report', 'report_dir', 'text', 'invocation', 'ansible_job_id', 'results_file',
           'started', 'finished', 'stdout', 'stdout_lines', 'stderr', 'stderr_lines', 'ansible_facts', 'path', 'before_header', 'after_header',
           'uid', 'gid', 'owner', 'group', 'mode', 'state', 'size', 'secontext', 'ahead_seconds', 'clock_offset_ms', 'margin_seconds'}
DOORS = ('in_process', 'async', 'shipped')
TASKS = 'ansible_collections.talosops.talos.plugins.module_utils.tasks.'
# Those that change a cluster, or what it needs to answer for, are tried on one that is simulated (test_changes.py).
READING = tuple(name for name in SPECS if not hasattr(importlib.import_module(TASKS + name.removeprefix('talos_')), 'CHANGES'))
CONNECTING = tuple(name for name in READING if name != 'talos_report')
# In the background Ansible runs what it ships: one that gathers, one that judges, one that waits, and the one that stays here show it for all.
THROUGH = {'in_process': READING, 'async': ('talos_snapshot', 'talos_etcd_health', 'talos_health', 'talos_report'), 'shipped': READING}


def lasting(value):
    if isinstance(value, dict):
        return {key: lasting(item) for key, item in value.items() if key not in PASSING}
    if isinstance(value, str):  # how long something has lasted
        return re.sub(r'\b\d+(\.\d+)? (s|min|ms)\b', 'a while', value)
    return [lasting(item) for item in value] if isinstance(value, list) else value


@pytest.fixture(scope='module')
def through(replayed, tmp_path_factory):
    """A function that gives the results of all modules through a door; each door is used once, by one run."""
    done = {}

    def get(door):
        if door not in done:
            directory = tmp_path_factory.mktemp(door)
            replay = replayed('one-cp-down')
            ansible = Ansible(directory, TALOSCONFIG=replay.path, HTTPS_PROXY=replay.proxy)
            here = {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable, 'ansible_async_dir': str(directory / 'async')}
            variables = elsewhere(directory) if door == 'shipped' else here
            keywords = {'async': 900, 'poll': 1} if door == 'async' else {}
            options = {'talos_health': {'fail': False}, 'talos_certsans_check': {'names': ['lb.example.net']},
                       'talos_resource_info': {'type': 'members'},
                       'talos_logs': {'services': ['etcd'], 'tail': 500}, 'talos_kubeconfig': {'path': 'kubeconfig'}}
            tasks = [(name, {f'talosops.talos.{name}': options.get(name, {}), **keywords}) for name in THROUGH[door] if name in CONNECTING]
            newest = "{{ [lookup('pipe', 'ls -d talos-report/*/latest')] }}"
            tasks.append(('talos_report', {'talosops.talos.talos_report': {'reports': newest}, **keywords}))
            done[door] = ansible.tasks(*tasks, hosts='one-cp-down', inventory={'all': {'hosts': {'one-cp-down': variables}}}), directory
        return done[door]

    return get


@pytest.mark.parametrize(('module', 'door'), [(module, door) for door in DOORS[1:] for module in THROUGH[door]])
def test_every_door_gives_the_same(through, module, door):
    expected = through('in_process')[0].results[module]
    run = through(door)[0]
    found = run.results[module]
    assert not expected.get('failed'), expected.get('msg')
    assert not found.get('failed'), found.get('msg')
    assert lasting(found) == {**lasting(expected), 'changed': found['changed']}
    assert set(expected) - set(found) == set()


@pytest.mark.parametrize('module', READING)
def test_in_process_nothing_is_shipped_and_the_result_is_small(through, module):
    run, directory = through('in_process')
    result = run.results[module]
    assert result['changed'] is (module == 'talos_kubeconfig')
    assert len(json.dumps(result).encode()) < 64 * 1024
    assert 'ansible_job_id' not in result and 'module_stdout' not in result
    assert not (directory / 'home' / '.ansible' / 'tmp').exists()


def test_what_is_shipped_ran_there_and_left_its_files_here(through):
    run, directory = through('shipped')
    commands = (directory / 'elsewhere' / 'commands.log').read_text()
    for module in CONNECTING:
        assert f'AnsiballZ_{module}.py' in commands
    assert 'AnsiballZ_talos_report' not in commands, 'a report lies on the control node'
    result = run.results['talos_snapshot']
    assert 'archive' not in result
    assert result['snapshot'].startswith(str(directory / 'talos-report')) and result['report'].startswith(str(directory / 'talos-report'))
    assert sorted(path.name for path in (directory / 'elsewhere').rglob('*') if path.is_file()) == ['commands.log', 'python']


@pytest.mark.parametrize('door', DOORS)
def test_the_key_is_nowhere(through, door, replayed):
    run, directory = through(door)
    secrets = [line for line in replayed('one-cp-down').talosconfig.split() if len(line) > 100]
    assert len(secrets) == 3
    said = run.text + json.dumps(run.results)
    assert not [secret for secret in secrets if secret in said]
    assert not [path for path in directory.rglob('*') if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets[2:])]
