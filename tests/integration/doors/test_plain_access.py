# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of plain access as people use them: through ansible, against a simulated cluster, by both doors."""

from __future__ import annotations

import base64
import json
import re
import stat
import sys

import pytest
import yaml
from running import Ansible, elsewhere

from tests.conftest import ROOT
from tests.simulator import Cluster
from tests.unit.kube.test_document import FOREIGN

MODULES = ('talos_resource_info', 'talos_service_info', 'talos_logs', 'talos_kubeconfig')
INFO, SERVICES, LOGS, KUBECONFIG = (f'talosops.talos.{name}' for name in MODULES)
HERE = {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable}


@pytest.fixture(scope='module')
def cluster():
    with Cluster.from_state({}, name='prod') as running:
        yield running


@pytest.fixture
def ansible(cluster, tmp_path):
    return Ansible(tmp_path, **cluster.environment)


def results(ansible, *tasks, variables=None, arguments=(), **more):
    """The results of tasks on a host that is the cluster, each without failing what should not."""
    run = ansible.tasks(*tasks, hosts='prod', inventory={'all': {'hosts': {'prod': variables or HERE, **more}}}, arguments=arguments)
    assert 'Traceback' not in run.text and 'fault of the collection' not in run.text, run.text
    return run


def keys_in(path):
    data = [user['user']['client-key-data'] for user in yaml.safe_load(path.read_text())['users'] if 'client-key-data' in user['user']]
    return {*data, *(line for one in data for line in base64.b64decode(one).decode().splitlines() if len(line) > 20 and '---' not in line)}


def test_a_kubeconfig_is_made_kept_and_merged(ansible, tmp_path):
    (tmp_path / 'mine').write_text(FOREIGN)
    own, merged = {'path': 'own'}, {'path': '{{ playbook_dir }}/mine', 'merge': True, 'context_name': '{{ inventory_hostname }}'}
    run = results(
        ansible,
        ('told', {KUBECONFIG: own, 'check_mode': True, 'diff': True}), ('made', {KUBECONFIG: own, 'diff': True}), ('kept', {KUBECONFIG: own}),
        ('refused', {KUBECONFIG: {'path': 'mine'}}), ('merged', {KUBECONFIG: {**merged, 'activate': True, 'backup': True}}),
        ('again', {KUBECONFIG: merged}),
        arguments=('-vvv',))
    said = run.results
    assert [said[name]['changed'] for name in ('told', 'made', 'kept', 'merged', 'again')] == [True, True, False, True, False]
    assert said['told']['reasons'] == said['made']['reasons'] == ['there is no such file']
    own, mine = tmp_path / 'own', tmp_path / 'mine'
    assert said['made']['path'] == str(own) and stat.S_IMODE(own.stat().st_mode) == stat.S_IMODE(mine.stat().st_mode) == 0o600
    assert 'which would be lost' in said['refused']['msg'] and 'Set merge to keep it' in said['refused']['msg']
    held = yaml.safe_load(mine.read_text())
    assert held['current-context'] == 'prod' and [item['name'] for item in held['contexts']] == ['eks', '007', 'prod']
    assert open(said['merged']['backup_file'], encoding='utf-8').read() == FOREIGN
    assert '+  valid until: ' in run.text and '+++ after: ' in run.text
    assert not [key for key in keys_in(own) | keys_in(mine) if key in run.text + json.dumps(said)]


def test_from_a_bastion_the_file_is_written_here_and_the_key_is_shown_nowhere(ansible, tmp_path):
    task = {KUBECONFIG: {'path': str(tmp_path / 'own')}}
    run = results(ansible, ('told', {**task, 'check_mode': True}), ('made', task), ('kept', task), ('async', {**task, 'async': 60, 'poll': 1}),
                  variables=elsewhere(tmp_path), arguments=('-vvvv',))
    said, own = run.results, tmp_path / 'own'
    assert [said[name]['changed'] for name in ('told', 'made', 'kept')] == [True, True, False] and stat.S_IMODE(own.stat().st_mode) == 0o600
    assert said['async']['msg'].startswith('async cannot bring a kubeconfig back from another host.')
    assert 'AnsiballZ_talos_kubeconfig.py' in (tmp_path / 'elsewhere' / 'commands.log').read_text()
    keys = keys_in(own)
    assert len(keys) > 1 and not [key for key in keys if key in run.text + json.dumps(said)] and 'sealed' not in said['made']
    left = [path for path in (tmp_path / 'elsewhere').rglob('*') if path.is_file() and path.name not in ('commands.log', 'python')]
    assert left == []


def test_without_os_admin_a_kubeconfig_and_sensitive_types_are_one_sentence(tmp_path):
    state = {'client': {'role': 'os:reader', 'cert_expires_days': 300, 'context_matches_cluster': True}}
    with Cluster.from_state(state, name='prod') as cluster:
        run = results(Ansible(tmp_path, **cluster.environment), ('kubeconfig', {KUBECONFIG: {'path': 'own'}}), ('config', {INFO: {'type': 'mc'}}),
                      ('members', {INFO: {'type': 'members'}}), ('services', {SERVICES: {}}), ('logs', {LOGS: {'services': ['kubelet']}}))
    said = run.results
    assert said['kubeconfig']['msg'] == ('Talos issues a kubeconfig to os:admin alone, and the client certificate of the context "prod" has '
                                         'os:reader. Use a talosconfig of the role os:admin.')
    assert 'could not be read from any of' in said['config']['msg']
    assert 'needs os:admin, and the client certificate has os:reader' in said['config']['msg']
    assert not (tmp_path / 'own').exists()
    for name in ('members', 'services', 'logs'):
        assert not said[name].get('failed') and said[name]['unread'] == {}, said[name]


def test_defaults_of_the_action_group_fit_and_a_kubeconfig_among_them_is_not_read(ansible):
    plays = [{'name': 'Test', 'hosts': 'localhost', 'gather_facts': False,
              'module_defaults': {'group/talosops.talos.talos': {'context': 'prod', 'kubeconfig': 'own', 'kube_context': 'none', 'timeout': 20}},
              'tasks': [{'name': 'Kubeconfig', KUBECONFIG: {'path': 'own'}},
                        {'name': 'Resources', INFO: {'type': "{{ 'mem' ~ 'bers' }}", 'query': '{{ query }}', 'nodes': '{{ nodes }}'},
                         'register': 'said', 'vars': {'query': '[].metadata.id', 'nodes': ['control_planes']}},
                        {'name': 'Known', 'ansible.builtin.assert': {'that': [
                            "'w-1' in said.result", 'said.nodes | select("match", "w") | list == []']}},
                        {'name': 'Check', LOGS: {'services': ['kubelet'], 'tail': 1}, 'check_mode': True, 'register': 'logs'},
                        {'name': 'Read in check mode too', 'ansible.builtin.assert': {'that': ['logs.logs | length > 2', 'not logs.changed']}}]}]
    run = ansible.play(plays)
    assert run.code == 0, run.text


@pytest.mark.parametrize('door', ['here', 'shipped'])
def test_logs_are_selected_and_services_filtered(ansible, tmp_path, door):
    variables = HERE if door == 'here' else elsewhere(tmp_path)
    run = results(
        ansible,
        ('lines', {LOGS: {'services': ['machined'], 'containers': ['kube-system/kube-apiserver-*'], 'dmesg': True, 'since': '200w', 'tail': 5,
                          'regexp': r'service\[kubelet\]|stderr|kubelet'}}),
        ('none', {LOGS: {'services': ['etdc'], 'nodes': ['cp-1']}}),
        ('running', {SERVICES: {'states': ['Running'], 'services': ['etcd'], 'events': 1}}),
        ('alias', {INFO: {'type': 'ns'}}),
        variables=variables)
    said = run.results
    logs = {(log['node'], log['source']): log for log in said['lines']['logs']}
    assert {source for _node, source in logs} == {'service', 'container', 'dmesg'} and {node for node, _source in logs} == set(said['lines']['nodes'])
    assert all('kubelet' in line for (_node, source), log in logs.items() if source != 'container' for line in log['lines'])
    assert all(len(log['lines']) <= 5 for log in logs.values()) and logs['w-1', 'service']['lines'] and logs['cp-1', 'container']['lines']
    assert 'Nearest: etcd.' in said['none']['msg'] and 'no log etdc' in said['none']['msg']
    assert all(service['healthy'] for service in said['running']['services']) and set(said['running']['missing']) == {'w-1', 'w-2'}
    assert said['alias']['msg'].startswith('"ns" is the alias of ')
    commands = tmp_path / 'elsewhere' / 'commands.log'
    assert ('AnsiballZ_talos_logs.py' in commands.read_text()) if door == 'shipped' else not commands.exists()


@pytest.mark.parametrize('module', MODULES)
def test_the_examples_run(cluster, tmp_path, module):
    """What ansible-doc shows, as it stands there, but for addresses and one directory."""
    text = re.search(r'EXAMPLES = r"""\n(.*?)"""', (ROOT / 'plugins' / 'modules' / f'{module}.py').read_text(), re.DOTALL)[1]
    for old, new in (('10.5.0.22', cluster.address('w-2')), ('/etc/deploy', str(tmp_path))):
        text = text.replace(old, new)
    (tmp_path / 'home' / '.kube').mkdir(parents=True)
    plays = [{'name': 'Examples', 'hosts': 'localhost', 'gather_facts': False, 'tasks': yaml.safe_load(text)}]
    run = Ansible(tmp_path, **cluster.environment).play(plays, {'all': {'hosts': {'localhost': HERE}}})
    assert run.code == 0 and 'Traceback' not in run.text and '[WARNING]' not in run.text, run.text
