# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook talosops.talos.remediate, the roles of remedies and every door of talos_remediate, as people use them."""

from __future__ import annotations

import json
import sys

import pytest
import yaml
from running import Ansible, elsewhere

from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import REMEDIES
from tests.conftest import ROOT
from tests.simulator import Cluster

PLAYBOOK = 'talosops.talos.remediate'
MODULE = 'talosops.talos.talos_remediate'
STALE = '3333333333333333'
ENABLED = {'talos_remedies': ['etcd_stale_member', 'stale_node'], 'talos_confirm': [f'remove etcd member {STALE} of e1'],
           'talos_pause': 0, 'talos_verify_seconds': 1, 'talos_wait': 120}
# What takes long on a busy machine must not be what is judged.
PATIENT = ('-e', 'talos_timeout=30', '-e', 'talos_deadline=120')
REQUEST = {'name': 'csr-w1', 'signer': 'kubernetes.io/kubelet-serving', 'username': 'system:node:w-1', 'ips': ['10.5.0.21'], 'dns': ['w-1'],
           'usages': ['digital signature', 'server auth'], 'age': '18m', 'state': 'Pending'}


def example(name):
    return Cluster.from_file(ROOT / 'tests' / 'scenarios' / 'examples' / f'{name}.yaml')


def changes(cluster):
    calls = [path.rpartition('/')[2] for node in cluster.model.machines.values() for _at, path, _code in node.calls]
    return [call for call in calls if call.startswith(('EtcdRemove', 'EtcdDefragment', 'EtcdAlarmDisarm', 'Apply'))] + \
        [write for write in cluster.model.kubernetes.writes if 'leases' not in write]


def shows_no_secret(cluster, run, directory):
    """Neither what was printed nor any file that was written holds the client's key; backups are what they are."""
    key = next(line.split()[-1] for line in cluster.talosconfig.splitlines() if line.strip().startswith('key:'))
    written = [path for path in directory.rglob('*') if path.is_file() and path.suffix in ('.json', '.jsonl')]
    assert written and key not in run.text and not [path for path in written if key in path.read_text()]


def test_planned_checked_applied_and_run_again(tmp_path):
    with example('e1') as cluster:
        ansible = Ansible(tmp_path, **cluster.environment)
        variables = ansible.write('apply.yml', {**ENABLED, 'talos_backup_dir': str(tmp_path / 'backups')})
        planned = ansible.playbook(*PATIENT, '-e', 'talos_plan_out=plans/', playbook=PLAYBOOK, ANSIBLE_SHOW_CUSTOM_STATS='1')
        (path,) = (tmp_path / 'plans').iterdir()
        plan = json.loads(path.read_text())
        assert planned.code == 0 and changes(cluster) == [], planned.text
        assert planned.says('nothing was changed: no remedy is enabled to apply all of it, as variables: talos_remedies: [etcd_stale_member, stale_node')
        assert planned.says(f'digest of the plan: {plan["digest"]}') and planned.says(f'talos_plan_{path.name.partition(".")[0]}')
        assert planned.says(f'1. Remove the etcd member {STALE} ("cp-3"') and planned.says('1 of 1 clusters judged')

        before = path.read_bytes()
        checked = ansible.playbook(*PATIENT, '--check', '--diff', '-e', f'@{variables}', '-e', 'talos_plan_out=plans/', playbook=PLAYBOOK)
        assert checked.code == 0 and changes(cluster) == [] and path.read_bytes() == before, checked.text
        assert checked.says(f'-{STALE} "cp-3"') and checked.says('nothing was changed: this was check mode') and checked.says('would be done: 2')

        applied = ansible.playbook(*PATIENT, '-e', f'@{variables}', '-e', f'talos_plan={path}', '-e', f'talos_plan_digest={plan["digest"]}', playbook=PLAYBOOK)
        assert applied.code == 0 and changes(cluster) == ['EtcdRemoveMemberByID', 'delete nodes cp-3'], applied.text
        assert applied.text.count('outcome   done and proved') == 2 and applied.recap['e1']['changed'] == 1
        shows_no_secret(cluster, applied, tmp_path)

        again = ansible.playbook(*PATIENT, '-e', f'@{variables}', playbook=PLAYBOOK)
        assert again.code == 0 and again.recap['e1']['changed'] == 0 and len(changes(cluster)) == 2, again.text


def test_what_is_refused_fails_the_run_with_its_reason(tmp_path):
    with example('e1') as cluster:
        ansible = Ansible(tmp_path, **cluster.environment)
        variables = ansible.write('apply.yml', {'talos_remedies': ['reboot', 'etcd_stale_member'], 'talos_targets': {'reboot': ['cp-1']}})
        run = ansible.playbook(*PATIENT, '-e', f'@{variables}', playbook=PLAYBOOK)
        assert run.code == 2 and changes(cluster) == []
        assert run.says('is never done by this collection') and run.says(f'It needs talos_confirm: "remove etcd member {STALE} of e1" and talos_backup_dir')
        assert 'Traceback' not in run.text and run.says('1 of 1 clusters judged')
        misspelt = ansible.playbook('-e', 'talos_remedies=etcd_stale_membr', playbook=PLAYBOOK)
        assert misspelt.code == 2 and misspelt.says('There is no remedy "etcd_stale_membr". Did you mean "etcd_stale_member"?')


def test_one_remedy_as_a_role_in_a_playbook_of_ones_own(tmp_path):
    state = {'k8s': {'csrs': [REQUEST]}, 'machine_config': {'kubelet_extra_args': {'rotate-server-certificates': 'true'}},
             'diagnostics': [{'node': 'w-1', 'id': 'kubelet-csr'}]}
    with Cluster.from_state(state, name='prod') as cluster:
        ansible = Ansible(tmp_path, **cluster.environment)
        play = [{'name': 'Approve', 'hosts': 'prod', 'gather_facts': False, 'roles': ['talosops.talos.remedy_kubelet_serving_csr']}]
        inventory = {'all': {'hosts': {'prod': {'ansible_connection': 'local'}}}}
        # What a variable of the whole run names does not widen what a role is for.
        run = ansible.play(play, inventory, [*PATIENT, '-e', 'talos_remedies=stale_node', '-e', 'talos_wait=120'])
        assert run.code == 0 and run.says('outcome done and proved'), run.text
        assert len(changes(cluster)) == 1 and changes(cluster)[0].endswith('csr-w1')
        again = ansible.play(play, inventory, PATIENT)
        assert again.code == 0 and again.recap['prod']['changed'] == 0 and len(changes(cluster)) == 1


def test_every_remedy_has_its_role_which_enables_it_alone():
    for remedy in REMEDIES:
        (task,) = yaml.safe_load((ROOT / 'roles' / f'remedy_{remedy.name}' / 'tasks' / 'main.yml').read_text())
        assert task['ansible.builtin.include_role'] == {'name': 'talosops.talos.remediate'} and task['vars'] == {'remediate_only': [remedy.name]}
    roles = {path.name for path in (ROOT / 'roles').iterdir() if path.name.startswith('remedy_')}
    assert roles == {f'remedy_{remedy.name}' for remedy in REMEDIES}


@pytest.mark.parametrize('door', ['async', 'shipped'])
def test_the_other_doors(tmp_path, door):
    """Through another host it plans, and applies nothing; in a process of its own it does both."""
    with example('e1') as cluster:
        ansible = Ansible(tmp_path, **cluster.environment)
        here = {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable, 'ansible_async_dir': str(tmp_path / 'async')}
        keywords = {'async': 300, 'poll': 1} if door == 'async' else {}
        patient = {'timeout': 30, 'deadline': 120}
        options = {'remedies': ['client_endpoints'], 'wait': 120, **patient}
        run = ansible.tasks(('planned', {MODULE: {'plan_out': 'plan.json', **patient}, **keywords}), ('applied', {MODULE: options, **keywords}), hosts='e1',
                            inventory={'all': {'hosts': {'e1': elsewhere(tmp_path) if door == 'shipped' else here}}})
        planned, applied = run.results['planned'], run.results['applied']
        assert planned['plan']['steps'] and json.loads((tmp_path / 'plan.json').read_text()) == planned['plan'], planned
        assert applied.get('failed', False) is (door == 'shipped'), applied
        if door == 'shipped':
            assert applied['msg'].startswith('Remedies are not applied through another host (talos_bastion)')
        else:
            assert [one['outcome'] for one in applied['outcomes']] == ['done and proved'], applied
        assert 'Traceback' not in run.text
