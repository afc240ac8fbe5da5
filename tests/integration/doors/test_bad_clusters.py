# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters that are not as one wishes, through the playbook: the sentence that a person reads, and nothing unseen that is called ok."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import zipfile

import yaml
from running import Ansible

from tests import recorded
from tests.bed.background import Background
from tests.bed.connect_proxy import ConnectProxy
from tests.conftest import ROOT
from tests.replay import recording, serve
from tests.simulator import Cluster
from tests.simulator.apid import Apid
from tests.unit.snapshot import recorded_kubeconfig

BUILT = ('talos_api.', 'discovery.', 'etcd.')
GOOD = ('ok', 'info', 'not_applicable')
MEMBERS = 'Members.cluster.talos.dev'


def run_of(ansible, *arguments, **environment):
    """A finished run and its report."""
    run = ansible.playbook('-e', 'talos_fail_on=never', *arguments, **environment)
    assert 'Traceback' not in run.text and 'fault of the collection' not in run.text
    assert len(run.reports) == 1, run.text
    return run, *run.reports.values()


def of_cluster(cluster, directory, *arguments):
    """The same of a simulated cluster, with the addresses of its scenario."""
    run, report = run_of(Ansible(directory, **cluster.environment), *arguments)
    run.text = cluster.model.original(run.text)
    return run, cluster.model.original(report)


def state(**client):
    return {'client': {'role': 'os:admin', 'cert_expires_days': 300, 'context_matches_cluster': True, **client}}


def faults(report):
    """Check to nodes, of what is worse than unknown."""
    return {finding['check']: finding['nodes'] for finding in report['findings'] if finding['verdict'] in ('warning', 'error', 'critical')}


def verdicts(report):
    return {key: section['verdict'] for key, section in report['sections'].items() if key.startswith(BUILT)}


def test_with_a_worker_as_the_only_endpoint_nothing_is_judged(tmp_path):
    with Cluster.from_state(state(endpoints=['10.5.0.21'])) as cluster:
        run, report = of_cluster(cluster, tmp_path)
    assert run.code == 2 and report['class'] == 'not_judged' and run.says('0 of 1 clusters judged')
    assert run.says('begin with: 1. endpoint 10.5.0.21 is a worker')
    assert run.says('Set endpoints to the addresses of the control plane nodes: 10.5.0.11, 10.5.0.12 and 10.5.0.13.')
    assert 'talos_api.machine_unreachable' not in faults(report)
    assert not [key for key, verdict in verdicts(report).items() if key.startswith('etcd.') and verdict in GOOD]


def test_a_virtual_ip_as_the_only_endpoint(tmp_path):
    with Cluster.from_state(state(endpoints=['10.5.0.10'])) as cluster:
        run, report = of_cluster(cluster, tmp_path)
    assert run.code == 0 and report['class'] == 'errors', run.text
    assert run.says('10.5.0.10') and 'talos_api.endpoint_is_vip' in faults(report)
    assert len(report['nodes']) == 5 and all(node['answered'] for node in report['nodes'])


def test_a_balancer_whose_name_is_in_one_certificate_only(replayed, tmp_path):
    """The recorded cluster of which cp1 alone has lb.example.net among its certSANs."""
    replay = replayed('nospace-alarm')
    routes = {f'{address}:{port}': (server.host, server.port) for (address, port), server in replay.servers.items()}
    with Background() as background:
        proxy = background.serve(ConnectProxy({**routes, 'lb.example.net:50000': routes['10.5.0.2:50000']}))
        ansible = Ansible(tmp_path, TALOSCONFIG=replay.path, HTTPS_PROXY=proxy.url)
        run, report = run_of(ansible, '-e', json.dumps({'talos_endpoints': ['lb.example.net']}))
    assert run.code == 0, run.text
    missing = [finding for finding in report['findings'] if finding['check'] == 'talos_api.balancer_name_missing']
    assert [sorted(finding['nodes']) for finding in missing] == [['cp2', 'cp3']] and 'lb.example.net' in missing[0]['title']
    assert run.says('certSANs')


def test_a_cluster_that_was_not_bootstrapped_yet(tmp_path):
    with Cluster.from_file(ROOT / 'tests' / 'scenarios' / 'not-bootstrapped.yaml') as cluster:
        run, report = of_cluster(cluster, tmp_path)
    assert run.code == 0, run.text
    roots = [finding for finding in report['findings'] if finding['root'] and finding['verdict'] in ('error', 'critical')]
    assert [finding['check'] for finding in roots] == ['etcd.not_bootstrapped']
    assert run.says('bootstrap')


def test_a_readers_certificate(ansible):
    run, report = run_of(ansible('healthy-reader'))
    assert run.code == 0 and (report['class'], report['role'], report['kubernetes']) == ('healthy', 'os:reader', None)
    assert run.says('the client has the role os:reader: what only os:admin may read is left out')
    assert run.says('CertSANs, DiscoveryConfigs')
    assert faults(report) == {}
    assert run.says('could not be judged: the role of the client certificate may not read')
    assert {key for key, section in report['sections'].items() if section['verdict'] == 'unknown'} == {'kubelet.stale_nodes', 'kubernetes_api.endpoint'}


def test_with_the_kubernetes_api_down_every_section_of_talos_is_judged(tmp_path):
    refused = {'cp-1': 'refused', 'cp-2': 'refused', 'cp-3': 'refused'}
    with Cluster.from_state({'k8s': {'api': refused}}) as cluster:
        run, report = of_cluster(cluster, tmp_path)
    assert run.code == 0 and report['kubernetes'] is None, run.text
    assert set(verdicts(report).values()) <= set(GOOD) and len(verdicts(report)) == 13
    assert len(report['nodes']) == 5 and all(node['answered'] for node in report['nodes'])


def test_a_node_that_dies_between_two_calls(tmp_path, monkeypatch):
    served, asked = Apid.__call__, []

    async def until_it_dies(self, call):
        if call.values('node') == [cluster.address('w-1')]:
            asked.append(call.method)
            if len(asked) == 6:
                threading.Thread(target=cluster.kill, args=['w-1']).start()
                while cluster.nodes['w-1'].reachable:
                    await asyncio.sleep(0.01)
        return await served(self, call)

    monkeypatch.setattr(Apid, '__call__', until_it_dies)
    with Cluster.from_state({}) as cluster:
        run, report = of_cluster(cluster, tmp_path)
    assert run.code == 0 and len(asked) > 6, run.text
    assert report['class'] == 'errors' and faults(report) == {'talos_api.machine_unreachable': ['w-1']}
    assert run.says('w-1 answered at first and was lost while it was read')
    unknown = [finding for finding in report['findings'] if finding['verdict'] == 'unknown']
    assert len(unknown) > 20 and {cause.partition('/')[0] for finding in unknown for cause in finding['because_of']} == {'talos_api.machine_unreachable'}
    assert [finding['id'] for finding in unknown if not finding['because_of']] == [], 'one reason for all that is not known'
    assert verdicts(report)['etcd.quorum_lost'] == 'ok', 'the others are judged all the same'


def test_while_a_machine_is_slow_the_run_says_whom_it_waits_for(tmp_path):
    with Cluster.from_state({'faults': {'slow': {'w-1': '3s'}}}) as cluster:
        run, report = of_cluster(cluster, tmp_path)
    assert run.code == 0 and report['class'] == 'healthy', run.text
    assert re.search(r'^(state: )?\d/5 machines, waiting for .*w-1$', run.text, re.MULTILINE)


def test_what_was_not_recorded_is_unknown_and_never_ok(tmp_path, monkeypatch):
    """An empty list would be a statement about the cluster: every section that stands on it says that it was not seen."""
    def without_members(real):
        def find(self, *arguments):
            return None if any(MEMBERS.encode() in request for request in arguments[-1]) else real(self, *arguments)
        return find

    for name in ('exact', 'about'):
        monkeypatch.setattr(recording.Recording, name, without_members(getattr(recording.Recording, name)))
    with serve('healthy') as replay:
        run, report = run_of(Ansible(tmp_path, TALOSCONFIG=replay.path, HTTPS_PROXY=replay.proxy))
    assert run.code == 0, run.text
    assert {key: verdicts(report)[key] for key in verdicts(report) if key.startswith('discovery.')} == {
        'discovery.missing': 'unknown', 'discovery.duplicate': 'unknown', 'discovery.removed': 'unknown'}
    assert not report['complete'] and run.says('not recorded')


# -- secrets ----------------------------------------------------------------------------------------------------------

CANARIES = ('canarytoken12345', 'canarykeybytes99', 'canaryuser:canarypass', 'canarypasswordX1')


def everything(run):
    """All that a run has said and left: console, results, report, snapshot, logs."""
    found = [run.text.encode()]
    for path in run.directory.rglob('*'):
        if path.is_file() and path.name != 'talosconfig':
            found.append(path.read_bytes())
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    found += [archive.read(name) for name in archive.namelist()]
    return b'\n'.join(found)


def test_planted_secrets_are_nowhere(tmp_path):
    """In lines of logs that become evidence, and with everything that Ansible can be made to say and keep."""
    planted = (f'token={CANARIES[0]} https://{CANARIES[2]}@discovery.example.net/ password: {CANARIES[3]} '
               f'-----BEGIN ED25519 PRIVATE KEY-----{CANARIES[1]}-----END ED25519 PRIVATE KEY-----')
    line = f'hello failed {{"component": "controller-runtime", "controller": "cluster.DiscoveryServiceController", "error": "{planted}"}}'
    lines = [{'node': node, 'src': source, 'at': '-1m', 'line': line}
             for node, source in (('cp-1', 'controller-runtime'), ('w-1', 'controller-runtime'), ('cp-1', 'etcd log'))]
    with Cluster.from_state({'lines': lines}) as cluster:
        log = {'ANSIBLE_LOG_PATH': str(tmp_path / 'ansible.log'), 'ANSIBLE_VERBOSITY': '4', 'ANSIBLE_CACHE_PLUGIN': 'jsonfile',
               'ANSIBLE_CACHE_PLUGIN_CONNECTION': str(tmp_path / 'facts')}
        ansible = Ansible(tmp_path, **cluster.environment, **log)
        run, report = run_of(ansible)
        modules = ansible.tasks(*((name, {f'talosops.talos.{name}': {}}) for name in ('talos_snapshot', 'talos_members', 'talos_etcd_health')))
        assert all(not result.get('failed') for result in modules.results.values())
        key = yaml.safe_load(cluster.talosconfig)
    found = everything(run) + everything(modules) + json.dumps(modules.results).encode()
    assert 'hello failed' in json.dumps(report) and 'redacted:' in json.dumps(report) and 'redacted:' in run.text, 'the lines are evidence'
    [context] = key['contexts'].values()
    for secret in (*CANARIES, context['key']):
        assert secret.encode() not in found


def test_the_secrets_of_a_real_cluster_are_nowhere(ansible, tmp_path):
    machine = recorded.snapshot('healthy').machines[0]
    discovery = machine.resource('DiscoveryConfigs')
    numbers = discovery['serviceEncryptionKey'][:16]
    secrets = {yaml.safe_load(recorded_kubeconfig.text('healthy'))['users'][0]['user']['client-key-data'], discovery['serviceClusterID'],
               machine.resource('Infos')['clusterId'], json.dumps(numbers)[1:-1], json.dumps(numbers, separators=(',', ':'))[1:-1]}
    assert len(numbers) == 16 and all(len(secret) > 20 for secret in secrets)
    run, _report = run_of(ansible('healthy'), ANSIBLE_LOG_PATH=str(tmp_path / 'ansible.log'), ANSIBLE_VERBOSITY='4')
    found = everything(run)
    assert b'redacted:' in found
    assert not [secret for secret in secrets if secret.encode() in found]
