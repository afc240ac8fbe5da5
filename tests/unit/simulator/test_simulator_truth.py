# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulator set to the recorded cluster, held against the recording, difference by difference."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import tarfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from cryptography import x509

from tests.replay import load
from tests.simulator import apid, go_yaml, logs, resources
from tests.simulator.kubernetes import KubernetesApi
from tests.simulator.schema import MESSAGES
from tests.unit.simulator.bench import Bench

MACHINES = ('cp1', 'cp2', 'w1')
CONFIGS = 'MachineConfigs.config.talos.dev'
SECRET = r'(^|\.)(token|ca|aggregatorCA|id|secret|secretboxEncryptionSecret|serviceAccount)(\.|$)'
LIST = '/cosi.resource.State/List'
SERVICE = '/machine.MachineService/'
DIFFERENCES = yaml.safe_load((Path(__file__).parent / 'differences.yaml').read_text())
LISTS = {
    '/api/v1/pods': 'pod',
    '/apis/apps/v1/daemonsets': 'daemonset',
    '/apis/apps/v1/deployments': 'deployment',
    '/apis/certificates.k8s.io/v1/certificatesigningrequests': 'csr',
    '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases': 'lease',
}
_RANDOM = re.compile(r'(^|\.)(uid|resourceVersion|name|generateName|request|certificate|(?i:\w*(time|at|timestamp|id)))$|config\.(hash|mirror|seen)$')
_PLAIN = {'CPUInfo': 'CPUsInfoResponse', **{method: f'{method}Response' for method in (
    'Version', 'Hostname', 'Memory', 'SystemStat', 'LoadAvg', 'NetworkDeviceStats')}}
LISTENING = ('NetstatRequest', {'filter': 'LISTENING', 'l4proto': {'tcp': True}, 'netns': {'hostnetwork': True}})
DIRECTORY = ('ListRequest', {'root': '/var/lib/etcd', 'recurse': True, 'recursion_depth': 2})


@pytest.fixture(scope='module')
def recorded():
    return load('healthy')


@pytest.fixture(scope='module')
def bench():
    return Bench()


def _request(schema, mapping):
    return MESSAGES.encode(schema, mapping)


def _both(recorded, bench, name, method, request=b''):
    machine = recorded.machine(name)
    call = recorded.about(machine, True, method, (request,))
    assert call is not None, f'{method} of {name} was not recorded'
    messages, code, text = bench(machine.address, method, request)
    assert (code, text) == (call.code, call.message)
    return call.responses, messages


def _plain(text):
    """Names that are random on a real machine made equal."""
    text = re.sub(r'veth[0-9a-f]{8}', 'veth', text)
    text = re.sub(r'fe80::[0-9a-f:]{6,}', 'fe80::x', text)
    return re.sub(r'(?<![0-9A-Za-z+=])[0-9A-Za-z]{40,45}(?![0-9A-Za-z+/=])', 'node-id', text)


def _flat(value, path=''):
    """{path: scalar} of a nested value; list positions are part of the path, empty containers are values."""
    if isinstance(value, dict) and value:
        return {key: item for name, inner in value.items() for key, item in _flat(inner, f'{path}.{name}' if path else str(name)).items()}
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return {key: item for number, inner in enumerate(value) for key, item in _flat(inner, f'{path}[{number}]').items()}
    return {path: value}


def _compare(label, theirs, ours, kind='id'):
    """Differences of two mappings, as texts."""
    for key in sorted(set(theirs) | set(ours)):
        if key not in ours:
            yield f'{label} {kind} {key}: recorded only'
        elif key not in theirs:
            yield f'{label} {kind} {key}: simulated only'


def _resource_differences(recorded, bench):
    for resource_type, namespace in resources.KINDS:
        if resource_type == CONFIGS:
            continue
        request = _request('cosi.List', {'namespace': namespace, 'type': resource_type})
        for name in MACHINES:
            call = recorded.about(recorded.machine(name), True, LIST, (request,))
            if call is None:
                continue
            theirs, ours = (_resources(messages) for messages in _both(recorded, bench, name, LIST, request))
            label = f'{name} {resource_type}'
            yield from _compare(label, theirs, ours)
            for resource_id in sorted(set(theirs) & set(ours)):
                (their_metadata, their_text), (our_metadata, our_text) = theirs[resource_id], ours[resource_id]
                yield from _compare(f'{label} {resource_id}', their_metadata, our_metadata, 'metadata')
                if their_metadata.get('owner') != our_metadata.get('owner'):
                    yield f'{label} {resource_id} owner: {their_metadata.get("owner")} / {our_metadata.get("owner")}'
                if their_text == our_text:
                    continue
                their_spec, our_spec = (_flat(yaml.load(text, go_yaml.Loader)) for text in (their_text, our_text))
                yield from _compare(f'{label} {resource_id}', their_spec, our_spec, 'key')
                different = [key for key in their_spec if key in our_spec and their_spec[key] != our_spec[key]]
                yield from (f'{label} {resource_id} value {key}: {their_spec[key]} / {our_spec[key]}' for key in different)
                if not different and set(their_spec) == set(our_spec):
                    yield f'{label} {resource_id} text: {their_text!r} / {our_text!r}'


def _configuration_differences(recorded, bench):
    """The documents of a machine configuration, key by key, where they are no secrets."""
    request = _request('cosi.List', {'namespace': 'config', 'type': CONFIGS})
    for name in MACHINES:
        theirs, ours = (_documents(messages) for messages in _both(recorded, bench, name, LIST, request))
        assert len(theirs) == len(ours) == 2
        for number, (their_document, our_document) in enumerate(zip(theirs, ours)):
            their_flat, our_flat = _flat(their_document), _flat(our_document)
            yield from _compare(f'{name} configuration', their_flat, our_flat, 'key')
            yield from (f'{name} configuration value {key}: {their_flat[key]} / {our_flat[key]}' for key in their_flat
                        if key in our_flat and their_flat[key] != our_flat[key] and not re.search(SECRET, key))
            assert [key for key in their_document if key in our_document] == [key for key in our_document if key in their_document], number


def _documents(messages):
    return list(yaml.load_all(yaml.safe_load(_resources(messages)['v1alpha1'][1]), go_yaml.Loader))


def _resources(messages):
    """{id: (metadata, yaml text)} with random names made equal; the protobuf form must be there when the YAML is."""
    found = {}
    for message in messages:
        one = MESSAGES.decode('cosi.ListResponse', message)['resource']
        found[_plain(one['metadata']['id'])] = one['metadata'], _plain(one['spec']['yaml_spec'])
    return found


def _rpc_differences(recorded, bench):
    for name in ('cp1', 'w1'):
        theirs, ours = (_services(messages[0]) for messages in _both(recorded, bench, name, f'{SERVICE}ServiceList'))
        yield from _compare(f'{name} ServiceList', theirs, ours, 'service')
        for service in set(theirs) & set(ours):
            assert theirs[service][0] == ours[service][0]
            yield from _compare(f'{name} ServiceList {service}', theirs[service][1], ours[service][1], 'event')
        theirs, ours = (_listeners(messages[0]) for messages in _both(recorded, bench, name, f'{SERVICE}Netstat', _request(*LISTENING)))
        yield from _compare(f'{name} Netstat', theirs, ours, 'socket')
        theirs, ours = (MESSAGES.decode('LogsContainersResponse', messages[0])['messages'][0]['ids']
                        for messages in _both(recorded, bench, name, f'{SERVICE}LogsContainers'))
        yield from _compare(f'{name} LogsContainers', theirs, ours)
        for method, response in _PLAIN.items():
            theirs, ours = (_flat(MESSAGES.decode(response, messages[0])['messages'][0])
                            for messages in _both(recorded, bench, name, f'{SERVICE}{method}'))
            yield from _compare(f'{name} {method}', theirs, ours, 'field')
    theirs, ours = (_flat(MESSAGES.decode('EtcdStatusResponse', messages[0])['messages'][0]['member_status'])
                    for messages in _both(recorded, bench, 'cp1', f'{SERVICE}EtcdStatus'))
    yield from _compare('cp1 EtcdStatus', theirs, ours, 'field')
    yield from (f'cp1 EtcdStatus value {key}: {theirs[key]} / {ours[key]}' for key in set(theirs) & set(ours) if theirs[key] != ours[key])
    for request in (b'', _request('EtcdMemberListRequest', {'query_local': True})):
        theirs, ours = (_members(messages[0]) for messages in _both(recorded, bench, 'cp1', f'{SERVICE}EtcdMemberList', request))
        assert theirs == ours
    theirs, ours = _both(recorded, bench, 'cp1', f'{SERVICE}EtcdAlarmList')
    assert theirs == tuple(ours)
    theirs, ours = ({_file(message)[0]: _file(message)[1] for message in messages}
                    for messages in _both(recorded, bench, 'cp1', f'{SERVICE}List', _request(*DIRECTORY)))
    assert theirs == ours
    theirs, ours = (_flat(MESSAGES.decode('TimeResponse', messages[0])['messages'][0]) for messages in _both(recorded, bench, 'w1', '/time.TimeService/Time'))
    yield from _compare('w1 Time', theirs, ours, 'field')


def _services(message):
    """{id: ((state, health fields), {event: state})} with process numbers made equal."""
    found = {}
    for one in MESSAGES.decode('ServiceListResponse', message)['messages'][0]['services']:
        events = {re.sub(r'PID \d+', 'PID n', event['msg']): event['state'] for event in one['events']['events']}
        found[one['id']] = (one['state'], sorted(one['health'])), events
    return found


def _listeners(message):
    records = MESSAGES.decode('NetstatResponse', message)['messages'][0]['connectrecord']
    assert all(record['state'] == 'LISTEN' and record['process'] == {} for record in records)
    return {f'{one["l4proto"]} {one["localip"]} {one["localport"] if one["localport"] < 30000 or one["localport"] in (50000, 50001) else "*"}'
            for one in records}


def _members(message):
    answer = MESSAGES.decode('EtcdMemberListResponse', message)['messages'][0]
    return sorted(answer['legacy_members']), sorted(map(str, answer['members']))


def _file(message):
    """(name, what does not change) of one FileInfo."""
    one = MESSAGES.decode('FileInfo', message)
    assert one.pop('modified') > 0
    return one.pop('name'), one


def _kubernetes_differences(recorded, bench):
    rows = {row['path']: row for row in recorded.kubernetes}
    body = _ask(bench, '/version')
    assert set(body) == set(rows['/version']['body'])
    theirs = {node['metadata']['name']: node for node in rows['/api/v1/nodes']['body']['items']}
    ours = {node['metadata']['name']: node for node in _ask(bench, '/api/v1/nodes')['items']}
    assert set(theirs) == set(ours)
    for name in theirs:
        yield from _compare(f'Kubernetes node {name}', _paths(theirs[name]), _paths(ours[name]), 'field')
        assert theirs[name]['status']['addresses'] == ours[name]['status']['addresses']
        assert {(one['type'], one['status'], one['reason']) for one in theirs[name]['status']['conditions']} >= {
            (one['type'], one['status'], one['reason']) for one in ours[name]['status']['conditions']}
    for path, kind in LISTS.items():
        theirs, ours = rows[path]['body'], _ask(bench, path)
        assert (theirs['kind'], theirs['apiVersion'], set(theirs['metadata'])) == (ours['kind'], ours['apiVersion'], set(ours['metadata']))
        theirs, ours = ({_plain_name(_without_managed_fields(item)): item for item in listed['items']} for listed in (theirs, ours))
        yield from _compare(f'Kubernetes {kind}', theirs, ours, 'object')
        for name in sorted(set(theirs) & set(ours)):
            yield from _compare(f'Kubernetes {kind} {name}', _paths(theirs[name]), _paths(ours[name]), 'field')
            yield from _compare_values(f'Kubernetes {kind} {name}', theirs[name], ours[name])
    readyz = next((row for row in recorded.kubernetes if row['path'].startswith('/readyz')), None)
    text = readyz['body'] if isinstance(readyz['body'], str) else json.dumps(readyz['body'])
    theirs = re.findall(r'^\[\+\](\S+) ok$', text, re.M)
    ours = re.findall(r'^\[\+\](\S+) ok$', _raw(bench, '/readyz?verbose')[2].decode(), re.M)
    yield from _compare('Kubernetes readyz', theirs, ours, 'check')
    assert text.rstrip().endswith('readyz check passed')


def _plain_name(item):
    """The name of an object without what was generated, with the machine that it belongs to."""
    if item.get('spec', {}).get('signerName'):
        return _requested_by(item)
    return re.sub(r'-[a-z0-9]{5}$', '-x', item['metadata']['name']) + f' {item.get("spec", {}).get("nodeName", "")}'


def _without_managed_fields(item):
    item['metadata'].pop('managedFields', None)
    return item


def _requested_by(item):
    return x509.load_pem_x509_csr(base64.b64decode(item['spec']['request'])).subject.rfc4514_string()


def _compare_values(label, theirs, ours):
    """Values that differ, but for what is random or a time."""
    theirs, ours = _flat(theirs), _flat(ours)
    for key in sorted(set(theirs) & set(ours)):
        if not _RANDOM.search(key) and theirs[key] != ours[key]:
            yield f'{label} value {key}: {theirs[key]} / {ours[key]}'


def _paths(value):
    """The paths of a nested value; items of a list are one path."""
    return {re.sub(r'\[\d+\]', '[]', path) for path in _flat(value)}


def _raw(bench, path):
    node = bench.model.nodes['cp1']
    peer = bench.model.kubernetes_authority.issue('admin', ['system:masters']).der
    return asyncio.run(KubernetesApi(node)(SimpleNamespace(path=path, method='GET', peer=peer, headers={}, body=b'')))


def _ask(bench, path):
    status, content_type, body = _raw(bench, path)
    assert (status, content_type) == (200, 'application/json')
    return json.loads(body)


def _certificate_differences(recorded, bench):
    for entry in recorded.certificates:
        address, _colon, port = entry['address'].rpartition(':')
        node = bench.model.node_at(address)
        dns, ips = ([node.hostname], node.san_ips) if port == '50000' else resources.kubernetes_names(node)
        if (entry['dns_sans'], entry['ip_sans']) != (dns, ips):
            yield f'certificate {entry["address"]}: {entry["dns_sans"]} {entry["ip_sans"]} / {dns} {ips}'


def test_every_difference_is_known_and_every_known_difference_exists(recorded, bench):
    found = [difference for compare in (_resource_differences, _configuration_differences, _rpc_differences, _kubernetes_differences, _certificate_differences)
             for difference in compare(recorded, bench)]
    patterns = [re.compile(entry['text'], re.S) for entry in DIFFERENCES]
    unknown = [text for text in found if not any(pattern.match(text) for pattern in patterns)]
    assert unknown == []
    unused = [pattern.pattern for pattern in patterns if not any(pattern.match(text) for text in found)]
    assert unused == []
    assert all(entry['reason'] for entry in DIFFERENCES)


def test_every_planned_read_is_served(bench):
    from ansible_collections.talosops.talos.plugins.module_utils.api import wire
    from ansible_collections.talosops.talos.plugins.module_utils.snapshot import reads

    for read in reads.READS:
        if isinstance(read, reads.Resources):
            assert (read.type, read.namespace) in resources.KINDS
        if isinstance(read, reads.Call):
            _messages, code, text = bench('10.5.0.2', read.method, wire.encode(wire.METHODS[read.method].request, read.request))
            assert (code, text) == (0, '')
        if isinstance(read, reads.Log) and read.method is None:
            assert read.kind in logs.ids(bench.model.nodes['cp1'])


@pytest.mark.parametrize('case', ['err-', 'cosi-err-', 'worker-endpoint-', 'cosi-list-', 'Logs-missing'])
def test_refusals_are_those_of_a_real_cluster(case, monkeypatch):
    """Every recorded call to a method or type that is served, refused ones above all, ends with the same status."""
    monkeypatch.setattr(apid, 'NO_ROUTE_AFTER', 0)
    wire, simulated = load('wire'), Bench(_wire_state())
    compared = 0
    for call in wire.calls:
        if not call.case.startswith(case) or call.endpoint not in simulated.handlers or len(call.requests) != 1:
            continue
        metadata = [(key, value) for key, values in call.metadata.items() for value in values]
        messages, code, text = simulated(call.endpoint, call.method, call.requests[0], metadata)
        if text == 'not simulated':
            continue
        assert (code, text) == (call.code, call.message), call.case
        compared += 1
    assert compared > 0


def _wire_state():
    from tests.unit.simulator.bench import RECORDED
    return {**RECORDED, 'etcd': {**RECORDED['etcd'], 'members': {'cp1': 'c3d3020cf75b8728', 'cp2': 'd56a5f2ed6c2a410', 'cp3': 'e58f6d4cdc3c2e35'}}}


@pytest.mark.parametrize(('log_id', 'form'), [
    ('machined', r'\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} (\[talos\] (\d{4}/\d\d/\d\d \d\d:\d\d:\d\d )?|machined[/ ])\S.*'),
    ('controller-runtime', r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \x1b\[3[1-5]m(DEBUG|INFO|WARN|ERROR)\x1b\[0m .+ \{"component": "controller-runtime", .+\}'),
    ('etcd', r'\{"level":"(info|warn|error)","ts":"[-0-9]+T[:0-9]+\.\d{6}Z",("logger":"\w+",)?"caller":"\S+","msg":".*\}'),
    ('kubelet', r'\{"ts":\d{13}(\.\d+)?,("logger":"\w+",)?"caller":"\S+","msg":.*\}'),
    ('apid', r'\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} log\.go:98: \w+ \[/[\w./]+\] \S+ (stream|unary) .*'),
    ('trustd', r'\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} (reg|log)\.go:\d+: .*'),
])
def test_log_lines_have_the_recorded_form(recorded, bench, log_id, form):
    request = _request('LogsRequest', {'namespace': 'system', 'id': log_id, 'tail_lines': 500})
    bench('10.5.0.2', f'{SERVICE}Version')
    theirs, ours = _both(recorded, bench, 'cp1', f'{SERVICE}Logs', request)
    for messages in (theirs, ours):
        chunks = [MESSAGES.decode('Data', message)['bytes'] for message in messages]
        assert max(map(len, chunks)) <= 1024 and (len(chunks) == 1 or len(chunks[0]) == 1024)
        lines = b''.join(chunks).decode().split('\n')
        assert lines.pop() == ''
        assert lines and [line for line in lines if not re.fullmatch(form, line)] == []


def test_kernel_log_lines_have_the_recorded_form(recorded, bench):
    theirs, ours = _both(recorded, bench, 'cp1', f'{SERVICE}Dmesg')
    for messages in (theirs, ours):
        for message in messages:
            line = MESSAGES.decode('Data', message)['bytes'].decode()
            assert re.fullmatch(r'\w+:\s+\w+: \[[-0-9]+T[:0-9.]+Z\]: .*\n', line, re.S)


def test_kubeconfig_comes_in_the_recorded_wrapping(recorded, bench):
    theirs, ours = _both(recorded, bench, 'cp1', f'{SERVICE}Kubeconfig')
    documents = []
    for messages in (theirs, ours):
        raw = zlib.decompress(MESSAGES.decode('Data', messages[0])['bytes'], 31)
        archive = tarfile.open(fileobj=io.BytesIO(raw))
        member = archive.next()
        assert (member.name, member.mode, len(raw)) == ('kubeconfig', 0o600, 512 + member.size)
        documents.append(yaml.safe_load(archive.extractfile(member)))
    assert _paths(documents[0]) == _paths(documents[1])
    assert documents[0]['clusters'][0]['cluster']['server'] == documents[1]['clusters'][0]['cluster']['server']
    assert documents[0]['contexts'] == documents[1]['contexts']


def test_yaml_is_written_as_talos_writes_it(recorded):
    """Every recorded document of the served types survives reading and writing to the byte."""
    compared = 0
    for call in recorded.calls:
        if call.method != LIST or call.code != 0:
            continue
        asked = MESSAGES.decode('cosi.List', call.requests[0])
        if (asked['type'], asked['namespace']) in resources.KINDS:
            for message in call.responses:
                text = MESSAGES.decode('cosi.ListResponse', message)['resource']['spec']['yaml_spec']
                assert go_yaml.dump(yaml.load(text, go_yaml.Loader)) == text
                compared += 1
    assert compared > 400


def test_protobuf_specs_say_what_the_yaml_says(recorded):
    """The schema reads every recorded proto_spec, knows each of its fields, and writes the same bytes again."""
    from tests.simulator.schema import SPECS

    compared = 0
    for call in recorded.calls:
        if call.method != LIST or call.code != 0:
            continue
        asked = MESSAGES.decode('cosi.List', call.requests[0])
        if (asked['type'], asked['namespace']) in resources.KINDS:
            name = asked['type'].split('.')[0]
            for message in call.responses:
                spec = MESSAGES.decode('cosi.ListResponse', message)['resource']['spec'].get('proto_spec', b'')
                decoded = SPECS.decode(name, spec)
                assert not any(key.startswith('#') for key in decoded)
                assert SPECS.encode(name, decoded) == spec
                compared += 1
    assert compared > 400
