# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import http.client
import io
import json
import ssl
import tarfile
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import plain_client
import pytest
import yaml
from cryptography import x509

from tests.replay import load, serve, sets

VERSION = '/machine.MachineService/Version'
LIST = '/cosi.resource.State/List'
UNREACHABLE = 'connection error: desc = "transport: Error while dialing: dial tcp {}:50000: connect: {}"'


@pytest.fixture(scope='module')
def replay():
    """Replays by name, each started once."""
    running = {}

    def get(name):
        if name not in running:
            context = serve(name)
            running[name] = context, context.__enter__()
        return running[name][1]

    yield get
    for context, _replay in running.values():
        context.__exit__(None, None, None)


def listing(namespace, type_name):
    return b''.join(bytes([tag, len(text)]) + text for tag, text in ((10, namespace.encode()), (18, type_name.encode())))


def recorded(name, **wanted):
    """The recorded calls of a set whose attributes are these."""
    return [call for call in load(name).calls if all(getattr(call, key) == value for key, value in wanted.items())]


@pytest.mark.parametrize('name', ['healthy', 'healthy-reader', 'one-cp-down', 'worker-down', 'nospace-alarm'])
def test_every_recorded_call_comes_back_as_it_was(replay, name):
    running = replay(name)
    up = {machine.address for machine in running.recording.machines if 'error' not in machine.ports[50000]}
    seen = 0
    for call in running.recording.calls[::7]:
        if call.endpoint not in up or call.endless:
            continue
        metadata = [(key, value) for key, values in call.metadata.items() for value in values]
        answer = plain_client.ask(running, call.endpoint, call.method, *call.requests, metadata=metadata)
        assert (answer.code, answer.message, tuple(answer.messages)) == (call.code, call.message, call.responses), call.case
        seen += 1
    assert seen > 90


def test_every_case_of_the_single_calls(replay):
    running = replay('wire')
    first = {}
    for call in running.recording.calls:
        first.setdefault((call.endpoint, str(call.metadata), call.method, call.requests), call)
    for call in first.values():
        metadata = [(key, value) for key, values in call.metadata.items() for value in values]
        patience = 0.3 if call.endless else 30
        answer = plain_client.ask(running, call.endpoint, call.method, *call.requests, metadata=metadata, patience=patience)
        expected = (None, None, False) if call.endless else (call.code, call.message, True)
        assert (answer.code, answer.message, answer.ended) == expected, call.case
        assert tuple(answer.messages) == call.responses, call.case
    assert len(first) > 200


def test_another_endpoint_forwards_to_the_same_machine(replay):
    through_cp1, = recorded('healthy', case='ServiceList', node='w1')
    answer = plain_client.ask(replay('healthy'), '10.5.0.3', through_cp1.method, metadata=[('node', '10.5.0.5')])
    assert tuple(answer.messages) == through_cp1.responses
    by_name = plain_client.ask(replay('healthy'), '10.5.0.4', through_cp1.method, metadata=[('node', 'w1')])
    assert by_name.messages == answer.messages


def test_what_was_only_asked_by_forwarding_is_answered_directly_too(replay):
    assert not recorded('healthy', case='direct-Hostname')
    assert b'cp2' in plain_client.ask(replay('healthy'), '10.5.0.3', '/machine.MachineService/Hostname').messages[0]


def served(running, address, port):
    tls = plain_client.context(running)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    with plain_client.connect(running, address, port) as raw, tls.wrap_socket(raw) as secure:
        assert secure.version() == 'TLSv1.3'
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True))


def test_the_holder_of_the_vip_serves_under_it(replay):
    running = replay('healthy')
    assert b'cp1' in plain_client.ask(running, '10.5.0.100', '/machine.MachineService/Hostname').messages[0]
    for port in (50000, 6443):
        assert served(running, '10.5.0.100', port) == served(running, '10.5.0.2', port) != served(running, '10.5.0.3', port)


@pytest.mark.parametrize(
    'endpoint, metadata, code, message',
    [
        ('10.5.0.2', ['10.5.0.99'], 14, UNREACHABLE.format('10.5.0.99', 'no route to host')),
        ('10.5.0.2', ['no-such-name'], 14, 'name resolver error: produced zero addresses'),
        ('10.5.0.2', ['10.5.0.2:50000'], 13, 'invalid target "10.5.0.2:50000"'),
        ('10.5.0.2', ['10.5.0.2', '10.5.0.3'], 3, 'node metadata must be single-valued'),
        ('10.5.0.5', ['10.5.0.2'], 7, 'no request forwarding'),
    ],
)
def test_apid_refuses_a_node_as_the_real_one_does(replay, endpoint, metadata, code, message):
    answer = plain_client.ask(replay('healthy'), endpoint, VERSION, metadata=[('node', value) for value in metadata])
    assert (answer.code, answer.message, answer.messages) == (code, message, [])


@pytest.mark.parametrize(
    'method, request_', [('/machine.MachineService/Reboot', b''), (LIST, listing('x', 'NoSuch.talos.dev')), (LIST, b'')]
)
def test_what_was_not_recorded_is_refused(replay, method, request_):
    for metadata in ([], [('node', '10.5.0.5')]):
        answer = plain_client.ask(replay('healthy'), '10.5.0.2', method, request_, metadata)
        assert (answer.code, answer.message, answer.messages) == (12, 'not recorded', [])


def test_a_recorded_empty_list_is_an_empty_list(replay):
    answer = plain_client.ask(replay('healthy'), '10.5.0.2', LIST, listing('runtime', 'Diagnostics.runtime.talos.dev'))
    assert (answer.code, answer.messages) == (0, [])


@pytest.mark.parametrize('name, address', [('one-cp-down', '10.5.0.4'), ('worker-down', '10.5.0.5')])
def test_a_machine_that_is_off(replay, name, address):
    with pytest.raises(ConnectionError, match=f'dial tcp {address}:50000: connect: connection refused'):
        plain_client.ask(replay(name), address, VERSION)
    for method in (VERSION, '/machine.MachineService/NeverAsked'):
        answer = plain_client.ask(replay(name), '10.5.0.2', method, metadata=[('node', address)])
        assert answer.code == 14
        assert answer.message == UNREACHABLE.format(address, 'connection refused')


def test_a_call_without_an_end_sends_what_was_recorded_and_goes_on(replay):
    events, = recorded('healthy', case='Events', node='cp2')
    answer = plain_client.ask(replay('healthy'), '10.5.0.3', events.method, *events.requests, patience=0.5)
    assert (answer.ended, len(answer.messages)) == (False, 115)
    mounts, = recorded('nospace-alarm', case='Mounts', node='w1')
    answer = plain_client.ask(replay('nospace-alarm'), '10.5.0.2', mounts.method, metadata=[('node', '10.5.0.5')], patience=0.5)
    assert (answer.ended, answer.messages) == (False, [])


@pytest.mark.parametrize('name', sets())
def test_certificates_have_the_recorded_names_and_are_fresh(replay, name):
    running = replay(name)
    now = datetime.now(timezone.utc)
    for entry in running.recording.certificates:
        if 'error' in entry:
            continue
        address, port = entry['address'].split(':')
        certificate = served(running, address, int(port))
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == entry['dns_sans']
        assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == entry['ip_sans']
        assert certificate.issuer.rfc4514_string() == entry['issuer']
        lifetime = datetime.fromisoformat(entry['not_after']) - datetime.fromisoformat(entry['not_before'])
        assert abs(certificate.not_valid_after_utc - certificate.not_valid_before_utc - lifetime) < timedelta(seconds=2)
        assert now - timedelta(hours=12) < certificate.not_valid_before_utc < now < certificate.not_valid_after_utc


@pytest.mark.parametrize('name, role', [('healthy', 'os:admin'), ('healthy-reader', 'os:reader')])
def test_the_talosconfig(replay, name, role):
    running = replay(name)
    document = yaml.safe_load(running.talosconfig)
    assert Path(running.path).read_text() == running.talosconfig
    assert document['context'] == name
    assert document['contexts'][name]['endpoints'] == ['10.5.0.2', '10.5.0.3', '10.5.0.4']
    certificate = x509.load_pem_x509_certificate(base64.b64decode(document['contexts'][name]['crt']))
    assert certificate.subject.rfc4514_string() == f'O={role}'


def kubernetes(running, address, path, method='GET', with_client=True):
    """Status and body, asked with the kubeconfig that the recorded cluster issued."""
    answer = plain_client.ask(running, '10.5.0.3', '/machine.MachineService/Kubeconfig')
    # The archive has no end marker, and common.Data wraps its chunks: field 2, the bytes.
    chunks = b''.join(message[message.index(b'\x1f\x8b') :] for message in answer.messages)
    with tarfile.open(fileobj=io.BytesIO(chunks)) as archive:
        kubeconfig = yaml.safe_load(archive.extractfile(archive.next()))
    cluster, user = kubeconfig['clusters'][0]['cluster'], kubeconfig['users'][0]['user']
    assert cluster['server'] == 'https://10.5.0.100:6443'
    tls = ssl.create_default_context(cadata=base64.b64decode(cluster['certificate-authority-data']).decode())
    with tempfile.TemporaryDirectory() as directory:
        pair = Path(directory) / 'pair.pem'
        pair.write_bytes(base64.b64decode(user['client-certificate-data']) + base64.b64decode(user['client-key-data']))
        if with_client:
            tls.load_cert_chain(pair)
    with plain_client.connect(running, address, 6443) as raw, tls.wrap_socket(raw, server_hostname=address) as secure:
        connection = http.client.HTTPConnection(address, timeout=30)
        connection.sock = secure
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def test_the_recorded_kubeconfig_reaches_the_kubernetes_api(replay):
    for address in ('10.5.0.100', '10.5.0.2', '10.5.0.3', '10.5.0.4'):
        status, body = kubernetes(replay('healthy'), address, '/api/v1/nodes?limit=500')
        assert status == 200
        assert [item['metadata']['name'] for item in json.loads(body)['items']] == ['cp1', 'cp2', 'cp3', 'w1']
    assert kubernetes(replay('healthy'), '10.5.0.100', '/version')[0] == 200


def test_each_api_server_says_its_own_readiness(replay):
    running = replay('worker-down')
    assert kubernetes(running, '10.5.0.100', '/readyz?verbose')[0] == 200
    status, body = kubernetes(running, '10.5.0.2', '/readyz?verbose')
    assert (status, '[-]etcd-readiness failed' in body) == (500, True)
    with pytest.raises(ConnectionError, match='10.5.0.4:6443: connect: connection refused'):
        kubernetes(replay('one-cp-down'), '10.5.0.4', '/readyz?verbose')


@pytest.mark.parametrize(
    'path, method', [('/api/v1/secrets', 'GET'), ('/livez', 'GET'), ('/api/v1/nodes?labelSelector=a', 'GET'), ('/api/v1/nodes', 'POST')]
)
def test_unrecorded_of_kubernetes_is_no_statement(replay, path, method):
    status, body = kubernetes(replay('healthy'), '10.5.0.3', path, method)
    assert (status, json.loads(body)['message']) == (501, 'not recorded')


def test_kubernetes_wants_a_client_certificate(replay):
    assert kubernetes(replay('healthy'), '10.5.0.100', '/version', with_client=False)[0] == 401
