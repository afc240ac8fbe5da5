# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The schema against every recorded message of a real cluster (data/wire.jsonl.xz)."""

from __future__ import annotations

import base64
import json

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import _descriptors, wire
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from tests.tools import make_descriptors

from .conftest import recordings

ETCD_IDS = {'EtcdMember.id', 'EtcdMemberAlarm.member_id', 'EtcdMemberStatus.leader', 'EtcdMemberStatus.member_id', 'EtcdRemoveMemberByIDRequest.member_id'}
UNKNOWN_METHODS = {'err-unknown-method', 'err-unknown-service'}


CASES = [pytest.param(row, id=row['case']) for row in recordings() if row['case'] not in UNKNOWN_METHODS]


def differences(plain, recorded, descriptor, where=''):
    """Where plain data differ from the vendor's own JSON of the same bytes; both ways, so that nothing is lost or made up."""
    names = {field.json_name: field for field in descriptor.fields}
    for name in recorded:
        if name not in names:
            yield f'{where}.{name} is not in the schema'
    for name, field in names.items():
        value, said = plain[field.name], recorded.get(name)
        place = f'{where}.{field.name}'
        if isinstance(value, dict) and (said is None or not field.message_type.fields_by_name or field.message_type.GetOptions().map_entry):
            if value != (said or {}):
                yield f'{place}: {value} is not {said}'
            continue
        values, saids = (value, said or []) if isinstance(value, list) else ([value], [said])
        if len(values) != len(saids):
            yield f'{place}: {len(values)} instead of {len(saids)}'
        for one, other in zip(values, saids, strict=False):
            yield from difference(one, other, field, place)


def difference(value, said, field, place):
    if field.message_type is None:
        if not same_scalar(value, said, field):
            yield f'{place}: {value!r} is not {said!r}'
    elif value is None or said is None:
        if value is not said:
            yield f'{place}: {value!r} is not {said!r}'
    elif field.message_type.full_name == 'google.protobuf.Timestamp':
        if value != said:
            yield f'{place}: {value} is not {said}'
    elif field.message_type.full_name == 'google.protobuf.Duration':
        if value != float(said.rstrip('s')):
            yield f'{place}: {value} is not {said}'
    elif field.message_type.full_name == 'google.protobuf.Any':
        if value['type_url'] != said.get('@type', ''):
            yield f'{place}: {value["type_url"]}'
        elif value['type_url']:
            payload = wire.message(value['type_url'].rpartition('/')[2]).DESCRIPTOR
            yield from differences(value['value'], {key: item for key, item in said.items() if key != '@type'}, payload, place)
    else:
        yield from differences(value, said, field.message_type, place)


def same_scalar(value, said, field):
    if f'{field.containing_type.name}.{field.name}' in ETCD_IDS:
        return len(value) == 16 and int(value, 16) == int(said or 0)
    if said is None:
        return not value or (field.enum_type is not None and value == field.enum_type.values_by_number[0].name)
    if isinstance(value, bytes):
        return value == base64.b64decode(said)
    if isinstance(value, int) and not isinstance(value, bool):
        return value == int(said)
    return value == said and type(value) is type(said)


def checked(message, name):
    data = base64.b64decode(message['base64'])
    plain = wire.decode(name, data)
    assert list(differences(plain, message['json'], wire.message(name).DESCRIPTOR)) == []
    return plain, data


@pytest.mark.parametrize('row', CASES)
def test_every_recorded_message_decodes_to_what_the_vendor_reads_in_it(row):
    method = wire.method(row['method'])
    for message in row['responses']:
        assert message['type'] == method.response
        checked(message, method.response)


@pytest.mark.parametrize('row', CASES)
def test_every_recorded_request_encodes_to_the_same_bytes(row):
    method = wire.method(row['method'])
    for message in row['requests']:
        plain, data = checked(message, method.request)
        assert wire.encode(method.request, plain) == data
        sparse = {key: value for key, value in plain.items() if value}
        assert wire.encode(method.request, sparse) == data


def test_the_comparison_notices_what_is_wrong():
    row = next(row for row in recordings() if row['case'] == 'direct-EtcdStatus')
    message = row['responses'][0]
    member = message['json']['messages'][0]['memberStatus']
    for name, value in (('dbSize', '1'), ('leader', '1'), ('nosuch', 1), ('errors', ['x'])):
        changed = json.loads(json.dumps(message))
        changed['json']['messages'][0]['memberStatus'] = {**member, name: value}
        with pytest.raises(AssertionError):
            checked(changed, 'machine.EtcdStatusResponse')


def test_what_was_recorded_covers_the_schema():
    """Methods without a recording are those that a reading run never calls."""
    recorded = {row['method'].rpartition('/')[2] for row in recordings()}
    unheard = {path.rpartition('/')[2] for path in wire.METHODS} - recorded
    assert unheard == {'ServiceStart', 'ServiceStop', 'Dmesg', 'EtcdAlarmDisarm', 'EtcdDefragment', 'EtcdSnapshot', 'ApplyConfiguration', 'TimeCheck'}


def test_methods_that_change_something_are_not_sent_twice():
    changing = {path.rpartition('/')[2] for path, method in wire.METHODS.items() if not method.idempotent}
    assert changing == {'ServiceRestart', 'EtcdAlarmDisarm', 'EtcdDefragment', 'EtcdRemoveMemberByID', 'ApplyConfiguration'}


def test_defaults_and_absent_parts():
    assert wire.decode('machine.EtcdMemberStatus', b'') == {
        'protocol_version': '', 'db_size': 0, 'db_size_in_use': 0, 'leader': '0' * 16, 'raft_index': 0, 'raft_term': 0, 'raft_applied_index': 0,
        'errors': [], 'is_learner': False, 'member_id': '0' * 16, 'storage_version': '',
    }
    assert wire.decode('machine.EtcdStatus', b'') == {'metadata': None, 'member_status': None}
    assert wire.decode('cosi.resource.WatchRequest', b'')['id'] is None
    assert wire.decode('machine.NetstatRequest', b'')['filter'] == 'ALL'


def test_unknown_fields_and_enum_values_of_a_later_version():
    assert wire.decode('machine.ServiceStartRequest', b'\x0a\x01x\xfa\x07\x03new') == {'id': 'x'}
    assert wire.decode('machine.EtcdMemberAlarm', b'\x10\x09')['alarm'] == 9


@pytest.mark.parametrize('text', [
    '0001-01-01T00:00:00Z', '1969-12-31T23:59:59.500Z', '2026-11-22T09:43:06.496756391Z', '2026-11-22T09:43:06Z',
    '2026-11-22T09:43:06.496Z', '2026-11-22T09:43:06.000001Z',
])
def test_times(text):
    data = wire.encode('machine.ServiceEvent', {'ts': text})
    assert wire.decode('machine.ServiceEvent', data)['ts'] == text


@pytest.mark.parametrize('seconds', [60.0, 0.25, -1.5, 86400.0])
def test_durations_are_seconds(seconds):
    data = wire.encode('machine.GenerateClientConfigurationRequest', {'roles': ['os:reader'], 'crt_ttl': seconds})
    assert wire.decode('machine.GenerateClientConfigurationRequest', data)['crt_ttl'] == seconds


def test_etcd_ids_are_hex_both_ways():
    data = wire.encode('machine.EtcdRemoveMemberByIDRequest', {'member_id': 'c3d3a4067aee8728'})
    assert data == wire.encode('machine.EtcdRemoveMemberByIDRequest', {'member_id': 0xc3d3a4067aee8728})
    assert wire.decode('machine.EtcdRemoveMemberByIDRequest', data) == {'member_id': 'c3d3a4067aee8728'}


def test_maps_encode_in_one_order():
    labels = {'b': '2', 'a': '1', 'c': '3'}
    data = wire.encode('cosi.resource.Metadata', {'labels': labels})
    assert data == wire.encode('cosi.resource.Metadata', {'labels': dict(sorted(labels.items()))})
    assert list(wire.decode('cosi.resource.Metadata', data)['labels']) == ['a', 'b', 'c']


@pytest.mark.parametrize('name, request_, said', [
    ('machine.LogsRequest', {'nosuch': 1}, 'no field nosuch'),
    ('machine.LogsRequest', {'tail_lines': 'ten'}, 'tail_lines'),
    ('machine.NetstatRequest', {'filter': 'OPEN'}, "'OPEN' is no value"),
    ('machine.EtcdRemoveMemberByIDRequest', {'member_id': 'cp-1'}, 'cp-1'),
    ('machine.ServiceEvent', {'ts': 'yesterday'}, 'RFC 3339'),
])
def test_an_unfit_request_is_one_sentence(name, request_, said):
    with pytest.raises(InputError, match=f'A request of type {name} cannot be made'):
        wire.encode(name, request_)
    if said != 'tail_lines':
        with pytest.raises(InputError, match=said):
            wire.encode(name, request_)


def test_damaged_bytes_and_unknown_methods():
    with pytest.raises(ValueError, match='not a machine.VersionResponse'):
        wire.decode('machine.VersionResponse', b'\x0a\xff')
    with pytest.raises(InputError, match='/machine.MachineService/Nope'):
        wire.method('/machine.MachineService/Nope')


def test_the_pool_is_private():
    from google.protobuf import descriptor_pool

    wire.message('machine.VersionResponse')
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName('machine.VersionResponse')


def test_the_descriptors_are_in_step_with_their_sources():
    assert _descriptors.SOURCES_SHA256 == make_descriptors.digest(), 'run "make proto"'


def test_a_change_of_a_source_shows_in_the_digest(tmp_path, monkeypatch):
    for name in make_descriptors.sources():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((make_descriptors.PROTO / name).read_bytes())
    monkeypatch.setattr(make_descriptors, 'PROTO', tmp_path)
    assert make_descriptors.digest() == _descriptors.SOURCES_SHA256
    (tmp_path / 'time.proto').write_text((tmp_path / 'time.proto').read_text() + '\n')
    assert make_descriptors.digest() != _descriptors.SOURCES_SHA256


def test_the_descriptors_are_what_the_compiler_makes():
    pytest.importorskip('grpc_tools', reason='grpcio-tools is not installed')
    assert make_descriptors.module_text() == make_descriptors.TARGET.read_text()


def test_the_methods_are_those_of_the_descriptors():
    rows = make_descriptors.methods(base64.b64decode(_descriptors.DESCRIPTOR_SET))
    assert {row[0]: row[1:] for row in rows} == _descriptors.METHODS
