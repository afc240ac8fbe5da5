# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine is asked for: messages, streams of bytes, resources, watches."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import io
import tarfile
import time

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api import spec, wire
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import (
    CallError, DeadlineExceeded, NodeUnreachable, NotFound, RoleRefused, TransportError,
)
from tests.bed.grpc_server import NOT_FOUND, PERMISSION_DENIED, UNAVAILABLE, UNKNOWN, Status

from .conftest import recorded, until

LOGS = '/machine.MachineService/Logs'
READ = '/machine.MachineService/Read'
EVENTS = '/machine.MachineService/Events'
LIST = '/machine.MachineService/List'


@pytest.fixture
def machine(bed):
    """A machine behind a handler that the test gives; closes its client in the end."""
    clients = []

    def make(handler, *more):
        client = bed.client(*(bed.serve(each) for each in (handler, *more)))
        clients.append(client)
        return client.node('10.5.0.2')

    yield make
    for client in clients:
        client.close()


def says(*messages, request=None, status=None):
    """A handler that sends messages (bytes), after it has compared the request."""
    async def handler(call):
        body = await call.request()
        assert request is None or body == request, (request, body)
        for message in messages:
            await call.send(message)
        if status:
            raise status
    return handler


def chunk(data):
    return wire.encode('common.Data', {'bytes': data})


# -- single answers ---------------------------------------------------------------------------------------------------


def test_a_recorded_answer_without_its_wrapping(machine):
    request, responses = recorded('node1-EtcdStatus')
    status = machine(says(*responses, request=request)).unary('/machine.MachineService/EtcdStatus')
    assert list(status) == ['member_status'] and status['member_status']['protocol_version'] == '3.6.12'
    assert (status['member_status']['leader'], status['member_status']['member_id']) == ('c3d3020cf75b8728', 'e58fe61d1dbf96b5')


def test_metadata_is_taken_off(machine):
    _request, responses = recorded('nodes1-Version')
    assert 'metadata' not in machine(says(*responses)).unary('/machine.MachineService/Version')


def test_an_answer_without_messages(machine):
    assert machine(says(b'')).unary('/machine.MachineService/Netstat') == {}


def test_an_answer_without_records(machine):
    _request, responses = recorded('direct-Netstat')
    assert machine(says(*responses)).unary('/machine.MachineService/Netstat') == {'connectrecord': []}


# -- streams of messages ------------------------------------------------------------------------------------------------


def test_all_messages(machine):
    _request, responses = recorded('direct-List')
    files = machine(says(*responses)).messages(LIST, {'root': '/'})
    assert [each['relative_name'] for each in files][:2] == ['.', '.extra'] and len(files) == len(responses)


def test_at_most_so_many(machine):
    async def handler(call):
        while True:
            await call.send(wire.encode('machine.Event', {'id': 'x'}))

    assert len(machine(handler).messages(EVENTS, {'tail_events': -1}, most=7)) == 7


def test_an_error_in_the_middle_raises_unless_a_part_will_do(machine):
    handler = says(wire.encode('machine.FileInfo', {'name': 'a'}), status=Status(UNKNOWN, 'input/output error'))
    with pytest.raises(CallError, match='input/output error'):
        machine(handler).messages(LIST, {'root': '/'})
    assert [each['name'] for each in machine(handler).messages(LIST, {'root': '/'}, partial=True)] == ['a']


def test_an_error_before_the_first_message_always_raises(machine):
    handler = says(status=Status(PERMISSION_DENIED, 'not authorized'))
    with pytest.raises(RoleRefused):
        machine(handler).messages(LIST, {'root': '/'}, partial=True)


def test_events_never_end(machine):
    _request, responses = recorded('direct-Events')

    async def handler(call):
        for message in responses:
            await call.send(message)
        await call.forever()

    events = machine(handler).messages(EVENTS, {'tail_events': 5}, timeout=1.0, partial=True)
    assert len(events) == len(responses) and events[0]['data'] == {'type_url': '', 'value': b''}
    assert events[1]['data'] == {'type_url': 'talos/runtime/machine.PhaseEvent', 'value': {'phase': 'startEverything', 'action': 'STOP'}}


# -- streams of bytes -----------------------------------------------------------------------------------------------------


def test_chunks_that_split_a_character(machine):
    text = 'Grüße aus dem Rechenzentrum — ' * 100
    data = text.encode()
    stream = machine(says(*(chunk(data[at:at + 7]) for at in range(0, len(data), 7)))).stream(READ, {'path': '/etc/motd'})
    assert stream == (data, True, None, False) and stream.data.decode() == text


def test_messages_that_split_over_frames(machine):
    async def handler(call):
        await call.send(chunk(b'x' * 5000), frame_size=3)

    assert machine(handler).stream(READ, {'path': '/x'}).data == b'x' * 5000


def test_an_empty_file(machine):
    assert machine(says()).stream(READ, {'path': '/x'}) == (b'', True, None, False)


def test_a_limit(machine):
    async def handler(call):
        while True:
            await call.send(chunk(b'0123456789'))

    stream = machine(handler).stream(READ, {'path': '/dev/zero'}, limit_bytes=25)
    assert stream == (b'0123456789012345678901234', False, None, True)


def test_a_stream_that_just_fits(machine):
    assert machine(says(chunk(b'12345'), chunk(b'67890'))).stream(READ, {'path': '/x'}, limit_bytes=10) == (b'1234567890', True, None, False)


def test_of_a_log_that_is_too_long_the_newest_part_is_kept(machine):
    stream = machine(says(*(chunk(f'line {number}\n'.encode()) for number in range(1000)))).log('kubelet', limit_bytes=30)
    assert stream.data == b'\nline 996\nline 997\nline 998\nline 999\n'[-30:]
    assert (stream.complete, stream.truncated, stream.error) == (False, True, None)


def test_what_came_before_an_error_is_kept_and_marked(machine):
    stream = machine(says(chunk(b'line 1\n'), chunk(b'line'), status=Status(UNAVAILABLE, 'error reading from server: EOF'))).log('etcd')
    assert (stream.data, stream.complete, stream.truncated) == (b'line 1\nline', False, False)
    assert isinstance(stream.error, NodeUnreachable)


def test_a_reset_in_the_middle(machine):
    async def handler(call):
        await call.send(chunk(b'line 1\n'))
        await asyncio.sleep(0.5)  # what lies unread when the reset comes is lost
        await call.reset()

    stream = machine(handler).log('etcd')
    assert stream.data == b'line 1\n' and not stream.complete and isinstance(stream.error, CallError)


def test_a_connection_that_breaks_in_the_middle_is_not_begun_again_elsewhere(machine):
    async def handler(call):
        await call.send(chunk(b'line 1\n'))
        await asyncio.sleep(0.1)
        await call.drop()

    stream = machine(handler, says(chunk(b'of another'))).log('etcd')
    assert stream.data == b'line 1\n' and isinstance(stream.error, TransportError)


def test_a_connection_that_breaks_before_the_first_byte_is_tried_elsewhere(machine):
    async def handler(call):
        await call.drop()

    assert machine(handler, says(chunk(b'of another'))).log('etcd') == (b'of another', True, None, False)


def test_the_deadline_in_the_middle(machine):
    async def handler(call):
        await call.send(chunk(b'line 1\n'))
        await call.forever()

    stream = machine(handler).log('etcd', timeout=0.3)
    assert stream.data == b'line 1\n' and isinstance(stream.error, DeadlineExceeded)


def test_an_error_before_any_data(machine):
    with pytest.raises(NotFound, match='not registered'):
        machine(says(status=Status(UNKNOWN, 'log "etcd" was not registered'))).log('etcd')
    with pytest.raises(NotFound, match='/nowhere'):
        machine(says(status=Status(NOT_FOUND, 'stat /nowhere: no such file or directory'))).stream(READ, {'path': '/nowhere'})


@pytest.mark.parametrize('arguments, request_', [
    ({'log_id': 'etcd'}, {'namespace': 'system', 'id': 'etcd', 'tail_lines': 500}),
    ({'log_id': 'etcd', 'tail': -1}, {'namespace': 'system', 'id': 'etcd', 'tail_lines': -1}),
    ({'log_id': 'a/b:c', 'namespace': 'k8s.io'}, {'namespace': 'k8s.io', 'id': 'a/b:c', 'driver': 'CRI', 'tail_lines': 500}),
])
def test_what_is_asked_of_a_log(machine, arguments, request_):
    """A tail of no lines would be the default of the protocol."""
    machine(says(request=wire.encode('machine.LogsRequest', request_))).log(**arguments)


def test_a_recorded_log(machine):
    request, responses = recorded('Logs-etcd')
    tail = wire.decode('machine.LogsRequest', request)['tail_lines']
    stream = machine(says(*responses, request=request)).log('etcd', tail=tail)
    assert stream.complete and stream.data.decode().startswith('{"level":') and len(stream.data.splitlines()) == tail


def test_a_slow_reader_does_not_fill_the_memory(machine):
    """What the server may send ahead is bounded at every place between it and the reader."""
    sent = []

    async def handler(call):
        for _number in range(400):
            await call.send(chunk(b'x' * 256 * 1024))
            sent.append(1)

    responses = machine(handler)._stream(READ, {'path': '/x'}, 60, 'Read')
    next(responses)
    before = -1
    while before != len(sent):
        before = len(sent)
        time.sleep(0.5)
    assert len(sent) < 100
    assert 1 + sum(1 for _each in responses) == 400 and len(sent) == 400


# -- kubeconfig -----------------------------------------------------------------------------------------------------------


def test_the_recorded_kubeconfig(machine):
    """Its archive has no end."""
    _request, responses = recorded('node1-Kubeconfig')
    kubeconfig = yaml.safe_load(machine(says(*responses)).kubeconfig())
    assert kubeconfig['kind'] == 'Config' and kubeconfig['clusters'][0]['cluster']['server'].startswith('https://')


def archive(members):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode='w') as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def test_a_kubeconfig_whose_archive_is_whole(machine):
    assert machine(says(chunk(gzip.compress(archive({'kubeconfig': b'kind: Config'}))))).kubeconfig() == 'kind: Config'


@pytest.mark.parametrize('data', [
    b'', b'nonsense', gzip.compress(b'nonsense'), gzip.compress(archive({})), gzip.compress(archive({'kubeconfig': b'\xff\xfe'})),
    gzip.compress(archive({'kubeconfig': b'kind'}))[:40],
], ids=['empty', 'not gzip', 'not tar', 'no file', 'not text', 'cut short'])
def test_what_is_no_kubeconfig(machine, data):
    with pytest.raises(CallError, match='no archive'):
        machine(says(chunk(data))).kubeconfig()


def test_half_a_kubeconfig_is_none(machine):
    _request, responses = recorded('node1-Kubeconfig')
    with pytest.raises(NodeUnreachable):
        machine(says(*responses, status=Status(UNAVAILABLE, 'connection error: EOF'))).kubeconfig()


def test_a_kubeconfig_for_admins_only(machine):
    with pytest.raises(RoleRefused):
        machine(says(status=Status(PERMISSION_DENIED, 'not authorized'))).kubeconfig()


# -- resources ------------------------------------------------------------------------------------------------------------


def test_a_recorded_list(machine):
    request, responses = recorded('cosi-list-Members')
    members = machine(says(*responses, request=request)).resources('Members.cluster.talos.dev', 'cluster')
    first = members[0]
    assert list(first) == ['id', 'namespace', 'version', 'phase', 'owner', 'created', 'updated', 'labels', 'spec']
    assert (first['id'], first['namespace'], first['phase'], first['owner']) == ('cp1', 'cluster', 'running', 'cluster.MemberController')
    assert first['spec']['addresses'] == ['10.5.0.2', '10.5.0.100'] and first['spec']['controlPlane'] == {'port': 6443}
    assert [member['id'] for member in members] == ['cp1', 'cp2', 'cp3', 'w1']


def test_a_recorded_resource(machine):
    request, responses = recorded('cosi-get-Members')
    assert machine(says(*responses, request=request)).resource('Members.cluster.talos.dev', 'cluster', 'cp1')['spec']['hostname'] == 'cp1'


def test_an_empty_list(machine):
    assert machine(says()).resources('Diagnostics.runtime.talos.dev', 'runtime') == []


def test_a_resource_that_is_not_there(machine):
    handler = says(status=Status(NOT_FOUND, "resource Members.cluster.talos.dev(cluster/x@undefined) doesn't exist"))
    with pytest.raises(NotFound, match='Members.cluster.talos.dev "x"'):
        machine(handler).resource('Members.cluster.talos.dev', 'cluster', 'x')


@pytest.mark.parametrize('case', ['cosi-list-MachineConfigs', 'cosi-get-MachineConfigs'])
def test_a_machine_configuration_is_the_text_of_its_documents(machine, case):
    request, responses = recorded(case)
    if 'get' in case:
        text = machine(says(*responses, request=request)).machine_config()
    else:
        text = machine(says(*responses)).resources(spec.MACHINE_CONFIGS, 'config')[0]['spec']
    documents = list(yaml.safe_load_all(text))
    assert documents[0]['version'] == 'v1alpha1' and documents[0]['machine']['type'] == 'controlplane' and len(documents) > 1


def resource(text, **metadata):
    return wire.encode('cosi.resource.ListResponse', {'resource': {'metadata': {'type': 'T', 'id': 'x', **metadata}, 'spec': {'yaml_spec': text}}})


@pytest.mark.parametrize('text, value', [
    ('', None),
    ('controlplane\n', 'controlplane'),
    ('synced: true\nepoch: 3\n', {'synced': True, 'epoch': 3}),
    ('at: 2026-11-22T09:43:06Z\n', {'at': '2026-11-22T09:43:06Z'}),
    ('day: 2026-11-22\n', {'day': '2026-11-22'}),
    ('a: =\n', {'a': '='}),
    ('id: "0123456789012345"\n', {'id': '0123456789012345'}),
    ('hardwareAddr: 02:42:0a:05:00:02\n', {'hardwareAddr': '02:42:0a:05:00:02'}),
    ('a: ~\nb: []\n', {'a': None, 'b': []}),
])
def test_specs(machine, text, value):
    found = machine(says(resource(text))).resources('T', 'ns')[0]['spec']
    assert found == value and not isinstance(found, datetime.date)


@pytest.mark.parametrize('text', ['a: [', '!!python/object/apply:os.getcwd []', 'a: !tag b', '\x00'])
def test_a_spec_that_is_no_plain_yaml(machine, text):
    with pytest.raises(CallError, match='T "x" is not valid YAML'):
        machine(says(resource(text))).resources('T', 'ns')


def test_labels_and_absent_parts(machine):
    both = machine(says(resource('', labels={'b': '1', 'a': '2'}), wire.encode('cosi.resource.ListResponse', {'resource': {'metadata': {'type': 'T'}}})))
    first, second = both.resources('T', 'ns')
    assert first['labels'] == {'a': '2', 'b': '1'} and first['created'] is None and second['spec'] is None


# -- watches --------------------------------------------------------------------------------------------------------------


def watching(case):
    request, responses = recorded(case)

    async def handler(call):
        body = await call.request()
        assert body == request, (body, request)
        for message in responses:
            await call.send(message)
        await call.forever()

    return handler


def test_a_watch_of_a_type(machine):
    events = []
    with pytest.raises(DeadlineExceeded):
        for event in machine(watching('cosi-watch-members-bootstrap')).watch('Members.cluster.talos.dev', 'cluster', timeout=1.0):
            events.append(event)
    assert [event['event'] for event in events] == ['CREATED'] * 4 + ['BOOTSTRAPPED']
    assert [event['resource']['id'] for event in events[:4]] == ['cp1', 'cp2', 'cp3', 'w1'] and events[0]['resource']['spec']['hostname'] == 'cp1'


def test_a_watch_of_one_resource_that_is_left_early(bed, machine):
    left = []
    inner = watching('cosi-watch-one-id')

    async def handler(call):
        try:
            await inner(call)
        finally:
            left.append(True)

    for event in machine(handler).watch('Members.cluster.talos.dev', 'cluster', 'cp1', timeout=60):
        assert (event['event'], event['resource']['id'], event['error']) == ('CREATED', 'cp1', None)
        break
    until(lambda: left)


def test_a_watch_that_is_refused(machine):
    with pytest.raises(RoleRefused):
        list(machine(says(status=Status(PERMISSION_DENIED, 'not authorized'))).watch('CertSANs.secrets.talos.dev', 'secrets'))


def test_changes_with_what_was_before(machine):
    def of(text, version):
        return {'metadata': {'type': 'T', 'id': 'x', 'version': version}, 'spec': {'yaml_spec': text}}

    update = {'event': [{'event_type': 'UPDATED', 'resource': of('b', '2'), 'old': of('a', '1')}]}
    failed = {'event': [{'event_type': 'ERRORED', 'error': 'buffer overrun'}]}
    handler = says(b'', *(wire.encode('cosi.resource.WatchResponse', each) for each in (update, failed)))
    changed, errored = machine(handler).watch('T', 'ns')
    assert (changed['event'], changed['resource']['spec'], changed['old']['spec']) == ('UPDATED', 'b', 'a')
    assert (errored['event'], errored['resource'], errored['error']) == ('ERRORED', None, 'buffer overrun')
