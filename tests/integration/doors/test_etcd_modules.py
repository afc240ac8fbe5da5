# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that change etcd as people use them: through ansible, against a simulated cluster, by both doors."""

from __future__ import annotations

import json
import os
import re
import stat
import sys

import pytest
import yaml
from running import Ansible, elsewhere

from tests.conftest import ROOT
from tests.simulator import Cluster
from tests.unit.tasks.etcd_bed import called

MODULES = ('talos_etcd_snapshot', 'talos_etcd_alarm', 'talos_etcd_defragment', 'talos_etcd_member')
SNAPSHOT, ALARM, DEFRAGMENT, MEMBER = (f'talosops.talos.{name}' for name in MODULES)
HERE = {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable}
DOORS = ('here', 'shipped')


def results(cluster, directory, door, *tasks, arguments=()):
    """The results of tasks on a host that is the cluster."""
    variables = {**HERE, 'ansible_async_dir': str(directory / 'async')} if door == 'here' else elsewhere(directory)
    run = Ansible(directory, **cluster.environment).tasks(*tasks, hosts='prod', inventory={'all': {'hosts': {'prod': variables}}}, arguments=arguments)
    assert 'Traceback' not in run.text and 'fault of the collection' not in run.text, run.text
    commands = directory / 'elsewhere' / 'commands.log'
    shipped = commands.read_text() if commands.exists() else ''
    assert all((f'AnsiballZ_{name}.py' in shipped) is (door == 'shipped') for _name, task in tasks for name in MODULES if f'talosops.talos.{name}' in task)
    return run


@pytest.mark.parametrize('door', DOORS)
def test_a_snapshot_is_told_taken_and_kept(tmp_path, door):
    with Cluster.from_state({}, name='prod') as cluster:
        task, dest = {SNAPSHOT: {'dest': str(tmp_path / 'etcd.db')}}, tmp_path / 'etcd.db'
        (tmp_path / 'other.db').write_text('mine ' * 100)
        run = results(cluster, tmp_path, door, ('told', {**task, 'check_mode': True}), ('made', {**task, 'diff': True}), ('kept', task),
                      ('other', {SNAPSHOT: {'dest': 'other.db'}}), ('async', {**task, 'async': 60, 'poll': 1}))
        said = run.results
        assert [said[name]['changed'] for name in ('told', 'made', 'kept')] == [True, True, False]
        assert called(cluster) == ['EtcdSnapshot']
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600 and said['made']['dest'] == said['kept']['dest'] == str(dest)
    assert said['kept']['sha256'] == said['made']['sha256'] == dest.read_bytes()[-32:].hex() and '+sha256: ' in run.text
    assert 'is no etcd snapshot' in said['other']['msg'] and (tmp_path / 'other.db').read_text().startswith('mine')
    assert [name for name in os.listdir(tmp_path) if name.startswith('.etcd')] == []
    if door == 'shipped':
        assert said['async']['msg'].startswith('async cannot bring a snapshot of etcd back from another host.')
        left = [path for path in (tmp_path / 'elsewhere').rglob('*') if path.is_file() and path.name not in ('commands.log', 'python')]
        assert left == []
    else:
        assert said['async']['changed'] is False and said['async']['sha256'] == said['made']['sha256']


@pytest.mark.parametrize('door', DOORS)
def test_nospace_is_told_disarmed_and_stays_away(tmp_path, door):
    with Cluster.from_state({'etcd': {'alarms': [{'member': 'cp-1', 'alarm': 'NOSPACE'}]}}, name='prod') as cluster:
        task = {ALARM: {'settle': 1}}
        run = results(cluster, tmp_path, door, ('told', {**task, 'check_mode': True, 'diff': True}), ('made', task), ('again', task))
        assert called(cluster) == ['EtcdAlarmDisarm']
    said = run.results
    assert [said[name]['changed'] for name in ('told', 'made', 'again')] == [True, True, False] and said['made']['alarms'] == []
    assert '-NOSPACE of member 1111111111111111 ("cp-1", ' in run.text


@pytest.mark.parametrize('door', DOORS)
def test_nospace_is_repaired_in_its_order(tmp_path, door):
    alarms = [{'member': name, 'alarm': 'NOSPACE'} for name in ('cp-1', 'cp-2', 'cp-3')]
    with Cluster.from_state({'etcd': {'db_mb': 2061, 'in_use_mb': 236, 'alarms': alarms}}, name='prod') as cluster:
        taken, disarm, task = {SNAPSHOT: {'dest': 'etcd.db'}}, {ALARM: {'settle': 0}}, {DEFRAGMENT: {'pause': 0}}
        run = results(cluster, tmp_path, door, ('early', disarm), ('told', {**task, 'check_mode': True, 'diff': True}), ('snapshot', taken), ('made', task),
                      ('disarmed', disarm), ('again', task))
        assert called(cluster) == ['EtcdSnapshot', *['EtcdDefragment'] * 3, 'EtcdAlarmDisarm']
    said = run.results
    assert 'which is 101% of its quota of 2048 MiB' in said['early']['msg'] and 'Make room first' in said['early']['msg']
    assert [said[name]['changed'] for name in ('told', 'made', 'disarmed', 'again')] == [True, True, True, False]
    assert [step['node'] for step in said['made']['defragmented']] == ['cp-2', 'cp-3', 'cp-1'] and '-cp-1: 2061 MiB' in run.text


OLD = {'etcd': {'members': {'cp-1': '1' * 16, 'cp-2': '2' * 16, 'cp-3': '3' * 16, 'cp-4': '4' * 16}, 'member_addresses': {'cp-4': '10.5.0.99'}}}


@pytest.mark.parametrize('door', DOORS)
def test_a_dead_member_is_told_removed_and_absent(tmp_path, door):
    with Cluster.from_state(OLD, name='prod') as cluster:
        taken = {SNAPSHOT: {'dest': 'etcd.db'}}
        task = {MEMBER: {'id': '4' * 16, 'backup': 'etcd.db', 'confirm': ['remove etcd member 4444444444444444 of prod']}}
        live = {MEMBER: {**task[MEMBER], 'id': '3' * 16, 'confirm': 'remove etcd member 3333333333333333 of prod'}}
        run = results(cluster, tmp_path, door, ('early', task), ('snapshot', taken), ('told', {**task, 'check_mode': True, 'diff': True}), ('live', live),
                      ('made', {**task, 'async': 900, 'poll': 1}), ('again', task))
        assert called(cluster) == ['EtcdSnapshot', 'EtcdRemoveMemberByID']
        assert set(cluster.model.etcd.ids) == {'cp-1', 'cp-2', 'cp-3'}
    said = run.results
    assert [said[name]['changed'] for name in ('told', 'made', 'again')] == [True, True, False] and '-4444444444444444 "cp-4"' in run.text
    assert 'etcd.db does not exist' in said['early']['msg'] and 'it is alive: cp-3 says that it is this member' in said['live']['msg']
    assert said['made']['before']['tolerance'] == 0 and said['made']['after']['tolerance'] == 1


@pytest.mark.parametrize('module', MODULES)
def test_the_examples_run(tmp_path, module):
    """What ansible-doc shows, as it stands there, but for one directory and the name of the cluster."""
    text = re.search(r'EXAMPLES = r"""\n(.*?)"""', (ROOT / 'plugins' / 'modules' / f'{module}.py').read_text(), re.DOTALL)[1]
    text = text.replace('/etc/deploy', str(tmp_path)).replace('{{ inventory_hostname }}', 'prod')
    plays = [{'name': 'Examples', 'hosts': 'localhost', 'gather_facts': False, 'tasks': yaml.safe_load(text)}]
    with Cluster.from_state(OLD if module == 'talos_etcd_member' else {}, name='prod') as cluster:
        run = Ansible(tmp_path, **cluster.environment).play(plays, {'all': {'hosts': {'localhost': HERE}}})
    assert run.code == 0 and 'Traceback' not in run.text and '[WARNING]' not in run.text, run.text


def test_the_key_is_nowhere(tmp_path):
    with Cluster.from_state({}, name='prod') as cluster:
        run = results(cluster, tmp_path, 'shipped', ('made', {SNAPSHOT: {'dest': 'etcd.db'}}), arguments=('-vvvv',))
        key = yaml.safe_load(cluster.talosconfig)['contexts']['prod']['key']
    assert run.results['made']['changed'] is True and key not in run.text + json.dumps(run.results)
