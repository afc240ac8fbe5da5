# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated clusters over the network: certificates, ports, proxy, Kubernetes API, the command line."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import urllib3
import yaml
from cryptography import x509

from tests.bed import netns
from tests.simulator import Cluster, ScenarioError
from tests.simulator.schema import MESSAGES
from tests.unit.simulator.caller import Caller

ROOT = Path(__file__).parents[3]
LOCAL = ('EtcdMemberListRequest', {'query_local': True})

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='other systems have no loopback aliases')


@pytest.fixture(scope='module')
def healthy():
    with Cluster.from_state({}) as cluster:
        yield cluster


def _certificate(address, port=50000):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((address, port)) as plain, context.wrap_socket(plain) as tls:
        return x509.load_der_x509_certificate(tls.getpeercert(binary_form=True)), tls.version()


def _sans(certificate):
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName), [str(address) for address in names.get_values_for_type(x509.IPAddress)]


def test_every_machine_answers_on_its_own_address(healthy):
    for node in healthy.nodes.values():
        with Caller(healthy.talosconfig, node.address) as call:
            assert call.machine('Hostname') == [{'hostname': node.name}]


def test_certificates_are_those_of_talos(healthy):
    certificate, version = _certificate(healthy.address('cp-1'))
    assert version == 'TLSv1.3'
    assert certificate.issuer.rfc4514_string() == 'O=talos'
    assert _sans(certificate) == (['cp-1'], [healthy.address('cp-1'), healthy.model.vip, '127.0.0.1'])
    assert type(certificate.public_key()).__name__ == 'Ed25519PublicKey'
    hours = (certificate.not_valid_after_utc - certificate.not_valid_before_utc).total_seconds() / 3600
    assert hours == 24


def test_a_client_without_certificate_is_refused(healthy):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(['h2'])
    with socket.create_connection((healthy.address('cp-1'), 50000)) as plain, context.wrap_socket(plain) as tls, \
            pytest.raises(ssl.SSLError, match='certificate required'):
        tls.recv(1)


def test_the_vip_is_answered_by_its_holder(healthy):
    with Caller(healthy.talosconfig, healthy.model.vip) as call:
        assert call.machine('Hostname') == [{'hostname': 'cp-1'}]


def test_clusters_stand_side_by_side_and_know_nothing_of_each_other(healthy):
    with contextlib.ExitStack() as stack:
        clusters = [healthy, *(stack.enter_context(Cluster.from_state({}, name=name)) for name in ('a', 'b'))]
        addresses = [node.address for cluster in clusters for node in cluster.nodes.values()]
        assert len(set(addresses)) == 15
        with pytest.raises(ssl.SSLError):
            Caller(clusters[1].talosconfig, clusters[2].address('cp-1'))


def test_taken_addresses_are_an_error_when_none_other_are_allowed(healthy):
    second = int(healthy.address('cp-1').split('.')[1])
    with pytest.raises(ScenarioError, match='another cluster has them'), Cluster.from_state({}, shift=second - 5):
        pass


def test_nothing_is_left_behind():
    with Cluster.from_state({}) as cluster:
        directory, address = cluster.directory, cluster.address('cp-1')
        assert [path.stat().st_mode & 0o777 for path in sorted(directory.iterdir())] == [0o600, 0o600]
    assert not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, 50000))


def test_a_machine_dies_between_two_calls():
    with Cluster.from_state({}) as cluster, Caller(cluster.talosconfig, cluster.address('cp-1')) as first, \
            Caller(cluster.talosconfig, cluster.address('cp-3')) as third:
        assert len(first.machine('EtcdMemberList', LOCAL)[0]['members']) == 3
        cluster.kill('cp-3')
        with pytest.raises(OSError):
            third.machine('Version')
        with pytest.raises(ConnectionRefusedError):
            Caller(cluster.talosconfig, cluster.address('cp-3'))
        assert first('/machine.MachineService/Version', metadata=[('node', cluster.address('cp-3'))])[1] == 14
        assert 'leader' in first.machine('EtcdStatus')[0]['member_status']
        cluster.kill('cp-2')
        assert 'leader' not in first.machine('EtcdStatus')[0]['member_status']


def test_a_frozen_machine_accepts_and_says_nothing():
    with Cluster.from_state({}) as cluster, Caller(cluster.talosconfig, cluster.address('w-1')) as old:
        assert old.machine('Hostname') == [{'hostname': 'w-1'}]
        cluster.freeze('w-1')
        assert old('/machine.MachineService/Version', until=0.2)[1] is None
        with socket.create_connection((cluster.address('w-1'), 50000)) as plain, pytest.raises(TimeoutError):
            plain.settimeout(0.2)
            ssl.create_default_context().wrap_socket(plain, server_hostname='w-1')


@pytest.mark.parametrize(('client', 'text'), [
    ({'context_matches_cluster': False}, 'certificate verify failed'),
    ({'cert_expires_days': -3}, 'expired'),
])
def test_a_talosconfig_that_does_not_fit(client, text):
    with Cluster.from_state({'client': client}) as cluster, pytest.raises(ssl.SSLError, match=text):
        call = Caller(cluster.talosconfig, cluster.address('cp-1'))
        call('/machine.MachineService/Version')


def test_the_talosconfig_holds_what_the_scenario_says():
    client = {'endpoints': ['10.5.0.21'], 'role': ['os:reader', 'os:etcd:backup']}
    with Cluster.from_state({'client': client}) as cluster:
        document = yaml.safe_load(cluster.talosconfig)
        context = document['contexts'][document['context']]
        assert context['endpoints'] == [cluster.address('w-1')]
        subject = x509.load_pem_x509_certificate(base64.b64decode(context['crt'])).subject
        assert [attribute.value for attribute in subject] == ['os:reader', 'os:etcd:backup']


def test_a_certificate_with_other_dates():
    told = {'nodes': {'cp-2': {'api': 'TLS fails both ways', 'server_cert': {'not_before': '-26h', 'not_after': '-2h'}}}}
    with Cluster.from_state(told) as cluster:
        certificate, _version = _certificate(cluster.address('cp-2'))
        age = time.time() - certificate.not_valid_after_utc.timestamp()
        assert 7190 < age < 7290
        with pytest.raises(ssl.SSLError, match='expired'):
            Caller(cluster.talosconfig, cluster.address('cp-2'))


# -- Kubernetes -------------------------------------------------------------------------------------------------

class Kubernetes:
    """GET with the kubeconfig of a cluster, from any of its API servers."""

    def __init__(self, cluster):
        document = yaml.safe_load((cluster.directory / 'kubeconfig').read_text())
        self.server = document['clusters'][0]['cluster']['server']
        files = {name: cluster.directory / f'{name}.pem' for name in ('ca', 'crt', 'key')}
        user, authority = document['users'][0]['user'], document['clusters'][0]['cluster']
        for name, data in (('ca', authority['certificate-authority-data']), ('crt', user['client-certificate-data']), ('key', user['client-key-data'])):
            files[name].write_bytes(base64.b64decode(data))
        self._pool = urllib3.PoolManager(ca_certs=str(files['ca']), cert_file=str(files['crt']), key_file=str(files['key']), retries=False)

    def __call__(self, path, address=None):
        answer = self._pool.request('GET', (f'https://{address}:6443' if address else self.server) + path)
        return answer.status, json.loads(answer.data) if answer.headers['content-type'] == 'application/json' else answer.data.decode()


def test_the_kubernetes_api_answers_at_every_control_plane_and_the_vip(healthy):
    get = Kubernetes(healthy)
    assert get.server == f'https://{healthy.model.vip}:6443'
    for address in (None, *(node.address for node in healthy.model.control_planes)):
        assert get('/readyz', address) == (200, 'ok')
        assert get('/version', address)[1]['gitVersion'] == 'v1.36.4'
    assert len(get('/api/v1/nodes')[1]['items']) == 5
    assert get('/api/v1/limitranges')[0] == 501
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((healthy.address('w-1'), 6443))


def test_lists_come_in_pages(healthy):
    get, names, token = Kubernetes(healthy), [], ''
    while True:
        page = get(f'/api/v1/nodes?limit=2&continue={token}')[1]
        names += [item['metadata']['name'] for item in page['items']]
        token = page['metadata'].get('continue')
        if not token:
            break
        assert page['metadata']['remainingItemCount'] == 5 - len(names)
    assert names == ['cp-1', 'cp-2', 'cp-3', 'w-1', 'w-2']


def test_kubernetes_wants_a_client_certificate(healthy):
    pool = urllib3.PoolManager(ca_certs=str(healthy.directory / 'ca.pem'), retries=False)
    Kubernetes(healthy)
    assert pool.request('GET', f'https://{healthy.model.vip}:6443/readyz').status == 401


def test_kubernetes_without_a_quorum_is_up_and_not_ready():
    with Cluster.from_state({'etcd': {'reachable': ['cp-1'], 'leader': 'none'}}) as cluster:
        get = Kubernetes(cluster)
        status, text = get('/readyz', cluster.address('cp-1'))
        assert status == 500 and '[-]etcd failed: reason withheld' in text and text.endswith('readyz check failed\n')
        assert get('/api/v1/nodes', cluster.address('cp-1'))[1]['message'] == 'etcdserver: no leader'
        assert get('/version', cluster.address('cp-1'))[0] == 200


@pytest.mark.parametrize('api', ['down', 'never up', {'cp-2': 'up'}])
def test_api_servers_that_are_down(api):
    with Cluster.from_state({'k8s': {'api': api}}) as cluster:
        answering = []
        for node in cluster.model.control_planes:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection((node.address, 6443)).close()
                answering.append(node.name)
        assert answering == (list(api) if isinstance(api, dict) else [])


def test_nodes_as_told():
    nodes = {'cp-1': 'Ready', 'w-1': {'ready': 'False', 'reason': 'KubeletNotReady', 'since': '-2h'}, 'old': {'ready': 'Unknown', 'internal_ip': '10.5.0.77'},
             'w-2': {'ready': 'True', 'schedulable': False}}
    with Cluster.from_state({'k8s': {'nodes': nodes}}) as cluster:
        found = {item['metadata']['name']: item for item in Kubernetes(cluster)('/api/v1/nodes')[1]['items']}
        ready = {name: next(one['status'] for one in item['status']['conditions'] if one['type'] == 'Ready') for name, item in found.items()}
        assert ready == {'cp-1': 'True', 'w-1': 'False', 'old': 'Unknown', 'w-2': 'True'}
        assert {one['status'] for one in found['old']['status']['conditions'] if one['type'] != 'NetworkUnavailable'} == {'Unknown'}
        assert found['old']['status']['addresses'][0]['address'].endswith('.0.77')
        assert found['w-2']['spec']['unschedulable'] is True
        assert found['cp-1']['status']['nodeInfo']['systemUUID'] == cluster.nodes['cp-1'].uuid


def test_a_balancer_stands_before_the_api_servers():
    told = {'network': {'vip': None, 'endpoint': 'https://10.5.0.50:6443', 'lb': {'kind': 'tcp', 'check': 'readyz', 'backends': ['cp-1', 'cp-2']}}}
    with Cluster.from_state(told) as cluster:
        get = Kubernetes(cluster)
        assert [get('/readyz') for _time in range(3)] == [(200, 'ok')] * 3
        assert get.server.endswith('.0.50:6443')


# -- other ways to be reached -----------------------------------------------------------------------------------

def test_the_port_mode_serves_the_real_addresses_behind_a_proxy():
    with Cluster.from_state({}, addresses='port') as cluster:
        assert cluster.address('cp-1') == '10.5.0.11'
        host, port = cluster.proxy.removeprefix('http://').split(':')
        with socket.create_connection((host, int(port))) as plain:
            plain.sendall(b'CONNECT 10.5.0.11:50000 HTTP/1.1\r\nHost: 10.5.0.11:50000\r\n\r\n')
            assert plain.recv(1000).startswith(b'HTTP/1.1 200 ')
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain) as tls:
                certificate = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
        assert _sans(certificate)[1] == ['10.5.0.11', '10.5.0.10', '127.0.0.1']
        assert cluster.environment['HTTPS_PROXY'] == cluster.proxy


def _command(*arguments):
    return [sys.executable, '-m', 'tests.simulator', *arguments]


def test_a_command_is_run_with_the_talosconfig_and_its_exit_code_is_ours():
    code = 'import os, sys, yaml; print(yaml.safe_load(open(os.environ["TALOSCONFIG"]))["context"]); sys.exit(7)'
    done = subprocess.run(_command('--healthy', '--', sys.executable, '-c', code), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, 'healthy\n'), done.stderr


def test_a_bad_scenario_is_one_sentence_and_exit_code_2(tmp_path):
    (tmp_path / 'x.yaml').write_text('state:\n  k8s: {api: gone}\n')
    done = subprocess.run(_command(str(tmp_path / 'x.yaml'), '--', 'true'), cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f'{tmp_path}/x.yaml:2: state.k8s.api must be up, down, never up, or a mapping, not \'gone\'.\n')


def test_without_a_command_it_serves_until_it_is_told_to_end(tmp_path):
    process = subprocess.Popen(_command('--healthy', '--dir', str(tmp_path / 'd')), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == f'export TALOSCONFIG={tmp_path}/d/talosconfig\n'
        assert process.stdout.readline().startswith('# healthy: cp-1 127.')
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    finally:
        process.kill()
        process.stdout.close()


@pytest.mark.skipif(not netns.available(), reason='no network namespaces here')
def test_in_a_namespace_the_real_addresses_are_served():
    code = 'import socket; socket.create_connection(("10.5.0.11", 50000)).close(); print("answered")'
    done = subprocess.run(_command('--healthy', '--namespace', '--', sys.executable, '-c', code), cwd=ROOT, capture_output=True, text=True, check=False,
                          env={**os.environ})
    assert (done.returncode, done.stdout) == (0, 'answered\n'), done.stderr


def test_what_a_scenario_passes_to_the_run():
    with Cluster.from_state({'backup': {'last_etcd_snapshot': 'never'}}) as cluster:
        assert cluster.variables == {'talos_etcd_last_snapshot': 'never'}


def test_messages_of_an_aggregated_stream_bear_their_machine(healthy):
    request = MESSAGES.encode('ListRequest', {'root': '/var/lib/etcd'})
    with Caller(healthy.talosconfig, healthy.address('cp-1')) as call:
        targets = [healthy.address('cp-2'), healthy.address('w-1')]
        messages, code, _text = call('/machine.MachineService/List', request, [('nodes', target) for target in targets])
    found = [MESSAGES.decode('FileInfo', message) for message in messages]
    assert code == 0
    assert {one['metadata']['hostname'] for one in found} == set(targets)
    assert [one['metadata']['error'] for one in found if 'error' in one['metadata']] == [
        'rpc error: code = Unknown desc = lstat /var/lib/etcd: no such file or directory']
