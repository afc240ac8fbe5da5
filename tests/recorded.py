# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a real cluster, built from recorded bytes without a network."""

from __future__ import annotations

import functools

import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api import errors, wire
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import model, objects, reads
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reader import containers_of
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.kubernetes import KINDS as KUBERNETES_KINDS
from tests.replay import load

_LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)

SETS = ('healthy', 'healthy-reader', 'one-cp-down', 'worker-down', 'nospace-alarm')

ADDRESSES = {'cp1': '10.5.0.2', 'cp2': '10.5.0.3', 'cp3': '10.5.0.4', 'w1': '10.5.0.5'}
_LISTS = {'leases': 'leases-kube-node-lease'}
_CASES = {'EtcdMemberList': 'EtcdMemberList-local', 'EtcdDirectory': 'List-etcd-dir', 'Containers': 'Containers-cri', 'ImageList': 'ImageList-system'}
_CODES = {
    4: ('DeadlineExceeded', errors.TIMED_OUT),
    5: ('NotFound', errors.ABSENT),
    7: ('PermissionDenied', errors.REFUSED),
    12: ('Unimplemented', errors.UNSUPPORTED),
    14: ('Unavailable', errors.UNREACHABLE),
}


def _value(read, call):
    messages = [wire.decode(wire.METHODS[call.method].response, response) for response in call.responses]
    if isinstance(read, reads.Log):
        return b''.join(message['bytes'] for message in messages).decode('utf-8', 'replace')
    if isinstance(read, reads.Resources):
        return [_resource(message['resource']) for message in messages]
    if read.stream:
        return [_without_metadata(message) for message in messages]
    value = _without_metadata(messages[0]['messages'][0])
    return value['member_status'] if read.kind == 'EtcdStatus' else value


def _without_metadata(message):
    return {key: value for key, value in message.items() if key != 'metadata'}


def _resource(resource):
    meta = resource['metadata']
    kept = ('id', 'namespace', 'version', 'phase', 'owner', 'created', 'updated', 'labels')
    return {**{key: meta[key] for key in kept}, 'spec': yaml.load((resource['spec'] or {}).get('yaml_spec') or 'null', Loader=_LOADER)}


def _datum(read, call, at):
    if call.code:
        name, state = _CODES.get(call.code, ('Unknown', errors.FAILED))
        return model.Datum(state, at=at, reason=call.message, code=name)
    value = _value(read, call)
    if getattr(read, 'shape', None):
        value = read.shape(value, lambda text: 'redacted:00000000')
    if read.kind == 'Time':
        value = {**value, 'sent_at': value['localtime'], 'received_at': value['localtime']}
    return model.Datum(errors.READ, value, at)


def _container_logs(read, machine, calls, at):
    """The logs of containers as the gather chooses them; those that were not recorded are so."""
    containers = machine.value('Containers')
    machine.logs[read.kind] = model.Datum(errors.READ, '', at) if containers else model.Datum(errors.NOT_ASKED, reason='the containers are not known', at=at)
    log = reads.Log('containers')
    for key, log_id in containers_of(containers or {}, read.names).items():
        call = calls.get(f'Logs-k8s-{log_id}')
        machine.logs[key] = _datum(log, call, at) if call else model.Datum(errors.UNSUPPORTED, reason='not recorded', at=at)


def _cases(read):
    if isinstance(read, reads.Resources):
        return f'cosi-list-{read.type}'
    if isinstance(read, reads.Log):
        return f'Logs-{read.kind}'
    return _CASES.get(read.kind, read.kind)


def _calls(set_name, node):
    return {call.case: call for call in load(set_name).calls if call.node == node}


def _certificates(set_name):
    found = {}
    for entry in load(set_name).certificates:
        if entry.get('not_after'):
            host, port = entry['address'].rsplit(':', 1)
            found[host, int(port)] = {
                'subject': entry['subject'], 'common_name': entry['subject'].removeprefix('CN='), 'issuer': entry['issuer'], 'issuer_organization': ['talos'],
                'dns': entry['dns_sans'], 'ips': entry['ip_sans'], 'not_before': entry['not_before'], 'not_after': entry['not_after'],
                'key_type': entry['key_algorithm'], 'serial': entry['serial'], 'sha256': entry['serial'].ljust(64, '0')}
    return found


@functools.lru_cache(maxsize=None)
def snapshot(set_name):
    """The Snapshot of a recorded set; endpoints are the three control plane nodes."""
    meta = load(set_name).meta
    at = meta['started']
    certificates = _certificates(set_name)
    machines, endpoints = [], []
    members = {}
    identities = {}
    for node, address in ADDRESSES.items():
        calls = _calls(set_name, node)
        control_plane = node.startswith('cp')
        datum = _datum(reads.BY_KIND[False, 'Version'], calls['Version'], at)
        machine = model.Machine(key=address, address=address, addresses=[address], name=node, type=model.CONTROL_PLANE if control_plane else model.WORKER,
                                known_from=['discovery', 'talosconfig'] if control_plane else ['discovery'], answered=datum.ok, via='10.5.0.2')
        for read in reads.READS:
            if read.on not in (reads.ALL, reads.METAL) and not control_plane or read.on == reads.DISK_FILLING:
                continue
            if not datum.ok and isinstance(read, reads.LOGS):
                machine.logs[read.kind] = datum
                continue
            if isinstance(read, reads.ContainerLogs):
                _container_logs(read, machine, calls, at)
                continue
            if read.on == reads.METAL:  # container mode: the kernel's log is the host's
                (machine.logs if isinstance(read, reads.Log) else machine.data)[read.kind] = model.Datum(
                    errors.NOT_ASKED, reason='in container mode the kernel is that of the host', at=at)
                continue
            if _cases(read) in calls:
                found = _datum(read, calls[_cases(read)], at)
            else:
                found = model.Datum(errors.UNSUPPORTED, reason='not recorded', at=at) if datum.ok else datum
            (machine.logs if isinstance(read, reads.Log) else machine.data)[read.kind] = found
        certificate = certificates.get((address, 50000))
        error = None if datum.ok else {'kind': 'refused', 'text': f'connecting to {address}:50000 was refused'}
        if control_plane:
            machine.data['apiserver_certificate'] = (
                model.Datum(errors.READ, certificates[address, 6443], at) if (address, 6443) in certificates
                else model.Datum(errors.UNREACHABLE, reason=f'connecting to {address}:6443 was refused', code='refused', at=at))
            machine.data['apiserver_probe'] = model.Datum(errors.READ, _probe(certificates.get((address, 6443)), address, 401), at)
        machine.data['certificate'] = model.Datum(errors.READ, certificate, at) if certificate else model.Datum(errors.UNREACHABLE, reason=error['text'], at=at)
        machine.data['reach'] = model.Datum(errors.READ, {'10.5.0.2': 'ok' if datum.ok else datum.reason}, at)
        if not datum.ok:
            machine.unreachable = {'kind': 'node_unreachable', 'text': datum.reason, 'via': '10.5.0.2', 'at': at}
        machine.key = (machine.resource('Identities', 'local') or {}).get('nodeId') or address
        identities[address] = machine.key
        for member in machine.value('Members') or []:
            members[member['spec']['addresses'][0]] = member
        if control_plane:
            endpoints.append(model.Endpoint(address, address, 50000, [address], datum.ok, error, certificate, machine.key, {
                kind: _datum(reads.BY_KIND[False, kind], calls['direct-' + _cases(reads.BY_KIND[False, kind])], at) for kind in reads.ENDPOINT_KINDS}))
        machines.append(machine)
    for machine in machines:
        member = members.get(machine.address)
        if member and not machine.answered:
            machine.key = member['spec']['nodeId']
            for endpoint in endpoints:
                if endpoint.host == machine.address:
                    endpoint.machine = machine.key
        if member:
            machine.addresses = list(member['spec']['addresses'])
    return model.Snapshot(
        taken_at=at, finished_at=meta['finished'], collection='0.0.0', cluster={'name': 'rt', 'id': '0' * 16, 'context': 'rt'},
        client={'context': 'rt', 'source': 'recorded', 'contexts': ['rt'], 'endpoints': [e.text for e in endpoints], 'nodes': [],
                'certificate': {'subject': f'O={meta["role"]}', 'roles': [meta['role']], 'issuer': 'O=talos', 'not_before': '2026-11-22T10:12:00Z',
                                'not_after': '2027-11-22T10:12:00Z', 'extended_key_usage': ['clientAuth'], 'key_type': 'Ed25519', 'sha256': '0' * 64,
                                'matches_key': True},
                'ca': {'subject': 'O=talos', 'sha256': '0' * 64, 'not_after': '2036-11-22T10:12:00Z', 'key_type': 'Ed25519', 'signed_client': True},
                'problems': [], 'local_file': None},
        control_node={'clock_offset_ms': None, 'ran_on': 'localhost', 'waves': 2, 'handshakes': 3, 'calls': 0, 'seconds': 0.1},
        endpoints=endpoints, machines=machines, kubernetes=_kubernetes(set_name, machines, certificates, at))


def _probe(certificate, address, status):
    """A probe (kube/probe.py) of an API server: it served a certificate when it was recorded, or refused."""
    if certificate is None:
        return {'ok': False, 'status': None, 'kind': 'refused', 'text': f'{address}:6443 refuses connections on port 6443.', 'address': address,
                'certificate': None, 'seconds': 0.0}
    return {'ok': True, 'status': status, 'kind': None, 'text': None, 'address': address, 'certificate': certificate['sha256'], 'seconds': 0.01}


def _endpoint(certificates, source, at):
    """The cluster endpoint 10.5.0.100, the VIP; who has no kubeconfig is answered 401."""
    vip = certificates['10.5.0.100', 6443]
    return model.Datum(errors.READ, {
        'source': source, 'url': 'https://10.5.0.100:6443', 'host': '10.5.0.100', 'port': 6443, 'addresses': ['10.5.0.100'], 'error': None,
        'verified': source == 'talos', 'certificates': [vip], 'probes': [_probe(vip, '10.5.0.100', 200 if source == 'talos' else 401)] * 10}, at)


def _kubernetes(set_name, machines, certificates, at):
    answers = {answer['case']: answer for answer in load(set_name).kubernetes}
    for machine in machines:
        if machine.is_control_plane:
            machine.known_from.append('etcd')
    if not answers:
        return {'source': None, 'server': None, 'error': None, 'servers': {}, 'read_from': None,
                'data': {**{kind: model.Datum(errors.REFUSED, reason='needs os:admin or a kubeconfig', at=at) for kind in KUBERNETES_KINDS},
                         'endpoint': _endpoint(certificates, 'kubeprism', at)}}

    def answer(name):
        return answers[name], answers[name].get('error')

    def readyz(name):
        said, error = answer(name)
        if error:
            return model.Datum(errors.UNREACHABLE, reason=error, at=at)
        return model.Datum(errors.READ, {'status': said['http_status'], 'body': said['body']}, at)

    def listed(wanted):
        said, error = answer(_LISTS.get(wanted.kind, wanted.kind))
        if error or said['http_status'] != 200:
            return model.Datum(errors.UNREACHABLE, reason=error or str(said['http_status']), at=at)
        return model.Datum(errors.READ, objects.kept(wanted, [said['body']['items']]), at)

    lists = {wanted.kind: listed(wanted) for wanted in objects.OBJECTS}
    nodes = lists['nodes'].value or []
    for machine in machines:
        if any(node['name'] == machine.name for node in nodes):
            machine.known_from.append('kubernetes')
    return {'source': 'talos', 'server': 'https://10.5.0.100:6443', 'read_from': 'https://10.5.0.100:6443', 'error': None,
            'data': {'version': model.Datum(errors.READ, answer('version')[0]['body'], at), 'readyz': readyz('readyz'),
                     'endpoint': _endpoint(certificates, 'talos', at), **lists},
            'servers': {machine.key: readyz(f'readyz-{machine.name}') for machine in machines if machine.is_control_plane}}
