# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules that bring something into a state as people use them: through ansible, by every door, against a simulated cluster."""

from __future__ import annotations

import json
import stat
import sys

import pytest
import yaml
from running import Ansible, elsewhere

from tests.simulator import Cluster, kubernetes_nodes
from tests.simulator import config_documents as documents

DOORS = ('in_process', 'async', 'shipped')


def through(door, cluster, directory, *tasks, arguments=()):
    """The results of tasks on a host that is the cluster, by one of the doors; nothing secret is shown."""
    ansible = Ansible(directory, **cluster.environment)
    here = {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable, 'ansible_async_dir': str(directory / 'async')}
    variables = elsewhere(directory) if door == 'shipped' else here
    keywords = {'async': 900, 'poll': 1} if door == 'async' else {}
    run = ansible.tasks(*((name, {**task, **keywords}) for name, task in tasks), hosts='prod',
                        inventory={'all': {'hosts': {'prod': variables}}}, arguments=arguments)
    assert 'Traceback' not in run.text and 'fault of the collection' not in run.text, run.text
    secrets = [line for line in cluster.talosconfig.split() if len(line) > 100]
    assert len(secrets) == 3 and not [secret for secret in secrets[2:] if secret in run.text + json.dumps(run.results)]
    if door == 'shipped':
        assert 'AnsiballZ_talos_' in (directory / 'elsewhere' / 'commands.log').read_text()
    return run


def endpoints(path):
    return yaml.safe_load(path.read_text())['contexts']['prod']['endpoints']


@pytest.mark.parametrize('door', ('in_process', 'shipped'))
def test_the_endpoints_of_the_talosconfig(tmp_path, door):
    module = 'talosops.talos.talos_client_config'
    state = {'client': {'endpoints': ['10.5.0.10', '10.5.0.12', '10.5.0.21'], 'role': 'os:reader', 'cert_expires_days': 300, 'context_matches_cluster': True}}
    with Cluster.from_state(state, name='prod') as cluster:
        file = cluster.directory / 'talosconfig'
        steps = [('told', {module: {}, 'check_mode': True, 'diff': True}), ('made', {module: {'backup': True}, 'diff': True}), ('kept', {module: {}}),
                 ('refused', {module: {'control_plane_endpoints': [cluster.address('w-1')]}})]
        said = through(door, cluster, tmp_path, *steps).results
        wanted = [cluster.address(name) for name in ('cp-2', 'cp-1', 'cp-3')]
        assert endpoints(file) == wanted and stat.S_IMODE(file.stat().st_mode) == 0o600
        assert said['made']['changed'] and said['made']['endpoints'] == wanted and not said['kept']['changed']
        assert said['told']['changed'] and said['told']['reasons'] == said['made']['reasons']
        assert endpoints(cluster.directory / said['made']['backup_file'])[0] == cluster.model.vip
        assert said['refused']['failed'] and 'no fit endpoint: it is a worker' in said['refused']['msg']


def test_a_talosconfig_that_is_no_file_or_is_encrypted_is_refused(tmp_path):
    module = 'talosops.talos.talos_client_config'
    with Cluster.from_state({}, name='prod') as cluster:
        content = yaml.safe_load(cluster.talosconfig)
        said = through('in_process', cluster, tmp_path, ('content', {module: {'talosconfig_content': content}})).results
        assert said['content']['msg'] == ('The talosconfig was given as content, so there is no file to change. Name the file in the option talosconfig.')


CSR, NODE, SERVICE = (f'talosops.talos.talos_{name}' for name in ('kubernetes_csr', 'kubernetes_node', 'service'))


@pytest.mark.parametrize('door', DOORS)
def test_what_changes_a_cluster(tmp_path, door):
    """Each is told in check mode, done, and not done again; a refusal is one sentence."""
    asked = {'signer': 'kubernetes.io/kubelet-serving', 'username': 'system:node:w-1', 'dns': ['w-1'], 'age': '20m', 'state': 'Pending'}
    gone = {'ready': 'Unknown', 'since': '-3h', 'internal_ip': '10.5.0.29'}
    csrs = [{**asked, 'name': 'csr-right', 'ips': ['10.5.0.21']}, {**asked, 'name': 'csr-foreign', 'username': 'system:node:w-2', 'ips': ['10.5.0.21']}]
    state = {'k8s': {'nodes': {**dict.fromkeys(('cp-1', 'cp-2', 'cp-3', 'w-1', 'w-2'), 'Ready'), 'w-9': gone}, 'csrs': csrs},
             'nodes': {'w-2': {'services': {'kubelet': ['Failed', '?']}}}}
    with Cluster.from_state(state, name='prod') as cluster:
        uids = {name: kubernetes_nodes.node_uid(cluster.model, name) for name in ('w-1', 'w-9')}
        stale, live = ({'name': name, 'uid': uids[name], 'backup_dir': 'kept', 'verify_seconds': 0} for name in ('w-9', 'w-1'))
        kubelet = {'node': 'w-2', 'service': 'kubelet', 'state': 'restarted', 'only_unhealthy': True}
        steps = [('csr_told', {CSR: {}, 'check_mode': True, 'diff': True}), ('csr', {CSR: {}, 'diff': True}), ('csr_again', {CSR: {}}),
                 ('csr_refused', {CSR: {'csrs': ['csr-foreign']}}), ('node_told', {NODE: stale, 'check_mode': True, 'diff': True}), ('node', {NODE: stale}),
                 ('node_again', {NODE: stale}), ('node_refused', {NODE: live}), ('service_told', {SERVICE: kubelet, 'check_mode': True, 'diff': True}),
                 ('service', {SERVICE: kubelet}), ('service_again', {SERVICE: kubelet}), ('service_refused', {SERVICE: {**kubelet, 'service': 'etcd'}})]
        if door == 'async':
            steps = [(name, task) for name, task in steps if 'check_mode' not in task]
        said = through(door, cluster, tmp_path, *steps).results
        sent = cluster.model.kubernetes.writes
        assert said['csr']['approved'] == ['csr-right'] and not said['csr_again']['changed']
        assert 'csr_told' not in said or said['csr_told']['approved'] == ['csr-right']
        assert said['csr_refused']['failed'] and 'must not be approved: ' in said['csr_refused']['msg']
        assert said['node']['changed'] and not said['node_again']['changed'] and 'w-9' not in cluster.model.kubernetes_nodes
        [kept] = (tmp_path / 'kept').iterdir()
        assert str(kept) == said['node']['backup_file'] and json.loads(kept.read_text())['metadata']['uid'] == uids['w-9']
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and 'backup_object' not in said['node']
        assert 'node_told' not in said or said['node_told']['changed'] and said['node_told']['backup_file'] is None
        assert said['node_refused']['failed'] and said['node_refused']['msg'].startswith('Node w-1 is not deleted. Node w-1 is Ready. ')
        assert (said['service']['changed'], said['service']['healthy']) == (True, True) and not said['service_again']['changed']
        assert 'service_told' not in said or said['service_told']['changed'] and said['service_told']['state'] == 'Failed'
        assert said['service_refused']['failed'] and said['service_refused']['msg'].startswith('etcd cannot be started, stopped or restarted over the API.')
        assert [path for _at, path, _code in cluster.nodes['w-2'].calls if 'Restart' in path] == ['/machine.MachineService/ServiceRestart']
        assert sent == ['update certificatesigningrequests/approval csr-right', 'delete nodes w-9']


CONFIG, SANS = 'talosops.talos.talos_config_patch', 'talosops.talos.talos_certsans'
CANARY = 'Y2FuYXJ5LWNhbmFyeQ'


@pytest.mark.parametrize('door', ['in_process', 'shipped'])
def test_machine_configurations_and_no_secret_of_them(tmp_path, door):
    """Differences and the most verbose output show what changes, and neither what the machine nor what the patch has of secrets."""
    small = {'topology': {'cp': {'cp-1': '10.5.0.11'}, 'workers': {}}, 'etcd': {'members': {'cp-1': '1111111111111111'}}}
    with Cluster.from_state(small, name='prod') as cluster:
        node = cluster.nodes['cp-1']
        auth = {'apiVersion': 'v1alpha1', 'kind': 'RegistryAuthConfig', 'name': 'registry.example.net', 'username': 'me', 'password': CANARY}
        patch = {'nodes': ['cp-1'], 'patch': [{'machine': {'sysctls': {'vm.swappiness': '1'}}}, auth], 'backup_dir': 'kept'}
        steps = [('told', {CONFIG: patch, 'check_mode': True}), ('made', {CONFIG: patch}),
                 ('refused', {CONFIG: {**patch, 'patch': {'machine': {'token': CANARY}}}}),
                 ('nobody', {SANS: {'names': ['nobody.example.invalid'], 'backup_dir': 'kept'}})]
        before = documents.text(node.config.active)
        run = through(door, cluster, tmp_path, *steps, arguments=('--diff', '-vvv'))
        said, config = run.results, documents.v1alpha1(node.config.active)
        assert sorted(name for name in said if said[name].get('failed')) == ['nobody', 'refused'], run.text
        assert said['told']['changed'] and said['told']['diff'] == said['made']['diff'] and said['told']['backup_files'] == {}
        assert said['made']['nodes'] == [{'node': 'cp-1', 'address': cluster.address('cp-1'), 'state': 'changed'}]
        assert config['machine']['sysctls'] == {'vm.swappiness': '1'} and node.config.document('RegistryAuthConfig')['password'] == CANARY
        [kept] = (tmp_path / 'kept').iterdir()
        assert str(kept) == said['made']['backup_files']['cp-1'] and kept.read_text() == before and stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert node.config.asked == ['NO_REBOOT'] and "vm.swappiness: '1'" in run.text
        assert 'cp-1: it changes machine.token' in said['refused']['msg'] and 'nobody dials nobody.example.invalid' in said['nobody']['msg']
        secrets = [CANARY, config['machine']['token'], config['cluster']['token'], config['machine']['ca']['key'], config['machine']['ca']['crt'],
                   config['cluster']['secretboxEncryptionSecret']]
        assert not [secret for secret in secrets if secret in run.text + json.dumps(said)]
