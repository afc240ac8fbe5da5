# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routing, roles, resources, etcd: the answers of machines in states that were recorded, without a network."""

from __future__ import annotations

import pytest
import yaml

from tests.simulator import apid, machine, rbac
from tests.simulator.schema import MESSAGES
from tests.unit.simulator.bench import Bench

SERVICE = '/machine.MachineService/'
STATE = '/cosi.resource.State/'
CP, WORKER = '10.5.0.11', '10.5.0.21'
OK, UNKNOWN, NOT_FOUND, DENIED, UNIMPLEMENTED, UNAVAILABLE = 0, 2, 5, 7, 12, 14
HANGS = 0.3  # how long to wait for what never comes
LOCAL = MESSAGES.encode('EtcdMemberListRequest', {'query_local': True})


def _bench(state=None, **options):
    return Bench(state or {}, platform='metal', **options)


def _list(resource_type, namespace):
    return STATE + 'List', MESSAGES.encode('cosi.List', {'namespace': namespace, 'type': resource_type})


def _specs(bench, address, resource_type, namespace):
    messages, code, text = bench(address, *_list(resource_type, namespace))
    assert code == OK, text
    found = [MESSAGES.decode('cosi.ListResponse', message)['resource'] for message in messages]
    return {one['metadata']['id']: yaml.safe_load(one['spec']['yaml_spec']) for one in found}


def _answer(result, name):
    messages, code, text = result
    assert code == OK, text
    return MESSAGES.decode(f'{name}Response', messages[0])['messages'][0]


# -- routing ----------------------------------------------------------------------------------------------------

def test_node_is_served_by_the_machine_that_is_meant():
    bench = _bench()
    for target, hostname in ((WORKER, 'w-1'), ('w-2', 'w-2'), ('10.5.0.10', 'cp-1')):
        assert _answer(bench(CP, SERVICE + 'Hostname', metadata=[('node', target)]), 'Hostname') == {'hostname': hostname}


def test_a_machine_that_is_off_is_refused_by_the_endpoint():
    bench = _bench({'nodes': {'w-1': {'reachable': False}}})
    _messages, code, text = bench(CP, SERVICE + 'Version', metadata=[('node', WORKER)])
    assert code == UNAVAILABLE
    assert text == 'connection error: desc = "transport: Error while dialing: dial tcp 10.5.0.21:50000: connect: connection refused"'


def test_a_dead_address_costs_three_seconds_once(monkeypatch):
    bench = _bench()
    assert bench(CP, SERVICE + 'Version', metadata=[('node', '10.5.0.99')], within=0.1)[1] is None
    monkeypatch.setattr(apid, 'NO_ROUTE_AFTER', 0)
    assert bench(CP, SERVICE + 'Version', metadata=[('node', '10.5.0.99')])[2].endswith('connect: no route to host"')
    monkeypatch.setattr(apid, 'NO_ROUTE_AFTER', 3600)
    assert bench(CP, SERVICE + 'Version', metadata=[('node', '10.5.0.99')])[1] == UNAVAILABLE


def test_a_frozen_machine_is_silence():
    bench = _bench()
    bench.model.nodes['w-1'].frozen = True
    assert bench(CP, SERVICE + 'Version', metadata=[('node', WORKER)], within=HANGS)[1] is None
    assert bench(WORKER, SERVICE + 'Version', within=HANGS)[1] is None


def test_an_aggregated_answer_waits_for_the_slowest_and_never_fails():
    bench = _bench({'nodes': {'w-1': {'reachable': False}}})
    messages, code, _text = bench(CP, SERVICE + 'Hostname', metadata=[('nodes', '10.5.0.12'), ('nodes', WORKER)])
    answers = [dict(part) for part in MESSAGES.decode('HostnameResponse', messages[0])['messages']]
    assert code == OK and sorted(str(answer.get('hostname')) for answer in answers) == ['None', 'cp-2']
    bench.model.nodes['w-2'].frozen = True
    assert bench(CP, SERVICE + 'Hostname', metadata=[('nodes', '10.5.0.12'), ('nodes', '10.5.0.22')], within=HANGS)[1] is None


def test_a_certificate_that_does_not_name_the_target_fails_in_the_proxy():
    bench = _bench({'nodes': {'w-1': {'addresses': {'routed': ['10.244.9.9/24'], 'routed-no-k8s': []}},
                              'w-2': {'api': 'TLS fails both ways', 'server_cert': {'not_before': '-26h', 'not_after': '-2h'}}}})
    text = bench(CP, SERVICE + 'Version', metadata=[('node', WORKER)])[2]
    assert text.endswith('tls: failed to verify certificate: x509: certificate is valid for 127.0.0.1, not 10.5.0.21"')
    text = bench(CP, SERVICE + 'Version', metadata=[('node', '10.5.0.22')])[2]
    assert 'x509: certificate has expired or is not yet valid: current time ' in text


# -- roles ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(('role', 'method', 'allowed'), [
    ('os:reader', 'Version', True), ('os:reader', 'Kubeconfig', False), ('os:operator', 'Kubeconfig', False), ('os:admin', 'Kubeconfig', True),
    ('os:etcd:backup', 'EtcdStatus', True), ('os:etcd:backup', 'Version', False), ('nothing', 'Version', False),
])
def test_roles(role, method, allowed):
    _messages, code, text = _bench(roles=[role])(CP, SERVICE + method)
    assert (code, text) == ((OK, '') if allowed else (DENIED, 'not authorized'))


def test_roles_of_a_certificate_add_up():
    assert _bench(roles=['os:etcd:backup', 'os:reader'])(CP, SERVICE + 'Version')[1] == OK


def test_sensitive_resources_are_the_admins():
    for resource_type, namespace in (('CertSANs.secrets.talos.dev', 'secrets'), ('DiscoveryConfigs.cluster.talos.dev', 'config')):
        assert _bench(roles=['os:reader'])(CP, *_list(resource_type, namespace))[1:] == (DENIED, 'not authorized')
        assert _bench()(CP, *_list(resource_type, namespace))[1] == OK


def test_what_exists_and_is_not_simulated_is_never_empty():
    bench = _bench()
    assert bench(CP, *_list('BlockDevices.block.talos.dev', 'runtime'))[1:] == (UNIMPLEMENTED, 'not simulated')
    assert bench(CP, SERVICE + 'DiskStats')[1:] == (UNIMPLEMENTED, 'not simulated')
    reader = _bench(roles=['os:reader'])
    assert reader(CP, *_list('MachineConfigs.config.talos.dev', 'config'))[1:] == (DENIED, 'not authorized')


def test_writes_are_refused():
    assert _bench()(CP, STATE + 'Create')[1:] == (DENIED, 'write access is not allowed')


def test_every_method_that_is_served_is_in_the_table_of_roles():
    for path in machine.METHODS:
        service, _slash, method = path.lstrip('/').rpartition('/')
        assert rbac.roles_for(service, method)


# -- versions ---------------------------------------------------------------------------------------------------

def test_versions_differ_as_the_matrix_says():
    old, new = _bench({'versions': {'talos': 'v1.9.6'}}), _bench({'versions': {'talos': 'v1.14.3'}})
    assert old(CP, *_list('Versions.runtime.talos.dev', 'runtime'))[2] == 'resource type "Versions.runtime.talos.dev" is not supported'
    assert _specs(new, CP, 'Versions.runtime.talos.dev', 'runtime')['version'] == {'name': 'Talos', 'version': 'v1.14.3'}
    assert '127.0.0.1' not in _specs(old, CP, 'CertSANs.secrets.talos.dev', 'secrets')['api']['ips']
    assert '127.0.0.1' in _specs(new, CP, 'CertSANs.secrets.talos.dev', 'secrets')['api']['ips']
    assert 'storage_version' not in _answer(old(CP, SERVICE + 'EtcdStatus'), 'EtcdStatus')['member_status']
    assert old(CP, '/machine.ImageService/List')[2] == 'unknown service machine.ImageService'
    assert new(CP, '/machine.ImageService/List')[2] == 'invalid containerd namespace NS_UNKNOWN'
    assert 'podCIDRs' not in _specs(old, CP, 'NodeStatuses.kubernetes.talos.dev', 'k8s')['cp-1']
    quota = {'etcd': {'quota_mb': 4096}}
    for talos, arguments in (('v1.12.11', {'quota-backend-bytes': '4294967296'}), ('v1.13.9', {'quota-backend-bytes': {'values': ['4294967296']}})):
        bench = _bench({'versions': {'talos': talos}, **quota})
        assert _specs(bench, CP, 'EtcdSpecs.etcd.talos.dev', 'etcd')['etcd']['extraArgs'] == arguments
    reader = _bench({'versions': {'talos': 'v1.11.6'}}, roles=['os:reader'])
    assert reader(CP, *_list('KubeletSpecs.kubernetes.talos.dev', 'k8s'))[1:] == (0, '')
    assert _bench({'versions': {'talos': 'v1.12.11'}}, roles=['os:reader'])(CP, *_list('KubeletSpecs.kubernetes.talos.dev', 'k8s'))[2] == 'not authorized'


# -- addresses and discovery ------------------------------------------------------------------------------------

def test_machines_inside_the_pod_network_have_no_address_to_show():
    bench = _bench({'network': {'pod': ['10.5.0.0/16'], 'vip_holder': 'none'}})
    addresses = _specs(bench, CP, 'NodeAddresses.net.talos.dev', 'network')
    assert addresses['routed']['addresses'][0] == '10.5.0.11/24' and addresses['routed-no-k8s']['addresses'] == []
    assert _specs(bench, CP, 'Diagnostics.runtime.talos.dev', 'runtime')['address-overlap']['details'][1] == 'Kubernetes pod CIDRs: ["10.5.0.0/16"]'
    assert _specs(bench, CP, 'CertSANs.secrets.talos.dev', 'secrets')['api']['ips'] == ['127.0.0.1']
    assert _specs(bench, CP, 'EtcdSpecs.etcd.talos.dev', 'etcd') == {}
    assert _specs(bench, CP, 'Members.cluster.talos.dev', 'cluster')['cp-1']['addresses'] == []


def test_the_vip_is_on_its_holder_alone():
    bench = _bench()
    assert [address for address in bench.handlers if 'eth0/10.5.0.10/32' in _specs(bench, address, 'AddressStatuses.net.talos.dev', 'network')] == [CP]
    assert _specs(bench, CP, 'NodeIPConfigs.kubernetes.talos.dev', 'k8s')['kubelet']['excludeSubnets'][-1] == '10.5.0.10'
    assert _specs(bench, CP, 'Members.cluster.talos.dev', 'cluster')['cp-1']['addresses'] == ['10.5.0.11', '10.5.0.10']


def test_discovery_per_node_extra_members_and_addresses():
    bench = _bench({'discovery': {'cp-2': ['cp-1', 'cp-2'], 'extra': {'old-1': {'addresses': ['10.5.0.77'], 'age': '20m'}}}})
    assert set(_specs(bench, CP, 'Members.cluster.talos.dev', 'cluster')) == {'cp-1', 'cp-2', 'cp-3', 'w-1', 'w-2', 'old-1'}
    assert set(_specs(bench, '10.5.0.12', 'Members.cluster.talos.dev', 'cluster')) == {'cp-1', 'cp-2', 'old-1'}
    empty = _bench({'discovery': {'addresses': []}})
    assert {str(spec['addresses']) for spec in _specs(empty, CP, 'Members.cluster.talos.dev', 'cluster').values()} == {'[]'}


@pytest.mark.parametrize('age, uptime, expected', [('20m', '40d', 1200), (None, '40d', 40 * 86400), ('20m', '5m', 300)])
def test_an_extra_member_of_discovery_appeared_when_it_is_told_or_with_the_machine_that_lists_it(age, uptime, expected):
    extra = {'addresses': ['10.5.0.77'], **({'age': age} if age else {})}
    bench = _bench({'now': '2026-11-22T10:00:00Z', 'uptime': uptime, 'discovery': {'extra': {'old-1': extra}}})
    for resource_type, namespace in (('Members.cluster.talos.dev', 'cluster'), ('Affiliates.cluster.talos.dev', 'cluster'),
                                     ('Affiliates.cluster.talos.dev', 'cluster-raw')):
        messages, code, text = bench(CP, *_list(resource_type, namespace))
        assert code == OK, text
        found = [MESSAGES.decode('cosi.ListResponse', message)['resource'] for message in messages]
        ages = {yaml.safe_load(one['spec']['yaml_spec'])['nodename' if 'Affiliates' in resource_type else 'hostname']: _age(bench, one) for one in found}
        assert abs(ages['old-1'] - expected) < 60
        assert all(abs(age - {'40d': 40 * 86400, '5m': 300}[uptime]) < 60 for name, age in ages.items() if name != 'old-1')


def _age(bench, resource):
    created = resource['metadata']['created']
    return bench.model.clock.wall.timestamp() - created['seconds']


def test_a_service_that_is_started_in_vain_turns_in_rounds():
    """Recorded: it runs for five seconds, ends, and is started again, for ever; the last event alone would be a first time."""
    vain = 'Error running Containerd(etcd), going to restart forever: task "etcd" failed: exit code 1'
    bench = _bench({'nodes': {'cp-2': {'services': {'etcd': ['Waiting', 'Fail']}, 'last_event': {'etcd': vain}}}})
    services = {one['id']: one for one in _answer(bench('10.5.0.12', SERVICE + 'ServiceList'), 'ServiceList')['services']}
    events = services['etcd']['events']['events'][-9:]
    assert [one['state'] for one in events] == ['Waiting', 'Running'] * 4 + ['Waiting']
    assert {one['msg'] for one in events if one['state'] == 'Waiting'} == {vain}
    seconds = [one['ts']['seconds'] for one in events]
    assert all(5 <= later - earlier <= 7 for earlier, later in zip(seconds[::2], seconds[2::2]))
    others = [one['msg'] for one in services['kubelet']['events']['events']]
    assert len(others) == len(set(others))


def test_two_machines_with_one_name_are_two_affiliates_and_one_member():
    bench = _bench({'discovery': {'duplicates': {'w-1': ['10.5.0.21', '10.5.0.22']}}})
    affiliates = [spec for spec in _specs(bench, CP, 'Affiliates.cluster.talos.dev', 'cluster').values() if spec['nodename'] == 'w-1']
    assert sorted(spec['addresses'][0] for spec in affiliates) == ['10.5.0.21', '10.5.0.22']
    assert len({spec['nodeId'] for spec in affiliates}) == 2
    assert set(_specs(bench, CP, 'Members.cluster.talos.dev', 'cluster')) == {'cp-1', 'cp-2', 'cp-3', 'w-1'}
    identities = {_specs(bench, address, 'Identities.cluster.talos.dev', 'cluster')['local']['nodeId'] for address in (WORKER, '10.5.0.22')}
    assert identities == {spec['nodeId'] for spec in affiliates}


# -- etcd -------------------------------------------------------------------------------------------------------

def test_without_a_quorum_the_status_answers_the_list_fails_and_the_alarms_hang(monkeypatch):
    monkeypatch.setattr(machine, '_NO_LEADER_AFTER', 0)
    bench = _bench({'etcd': {'reachable': ['cp-1']}})
    status = _answer(bench(CP, SERVICE + 'EtcdStatus'), 'EtcdStatus')['member_status']
    assert 'leader' not in status and status['errors'] == ['etcdserver: no leader']
    assert bench(CP, SERVICE + 'EtcdMemberList', LOCAL)[1:] == (UNKNOWN, 'etcdserver: no leader')
    assert bench(CP, SERVICE + 'EtcdAlarmList', within=HANGS)[1] is None
    assert _specs(bench, CP, 'EtcdMembers.etcd.talos.dev', 'etcd') == {}


def test_where_etcd_does_not_run_its_calls_hang():
    bench = _bench({'nodes': {'cp-1': {'services': {'etcd': ['Preparing', '?']}}}})
    for method, request in (('EtcdStatus', b''), ('EtcdMemberList', LOCAL), ('EtcdAlarmList', b''), ('EtcdAlarmDisarm', b'')):
        assert bench(CP, SERVICE + method, request, within=HANGS)[1] is None
    assert bench(CP, SERVICE + 'EtcdMemberList')[1] == OK
    request = MESSAGES.encode('LogsRequest', {'namespace': 'system', 'id': 'etcd', 'tail_lines': -1})
    assert bench(CP, SERVICE + 'Logs', request)[1:] == (UNKNOWN, 'log "etcd" was not registered')


def test_a_learner_answers_for_itself_alone():
    bench = _bench({'etcd': {'learners': ['cp-3']}})
    assert _answer(bench('10.5.0.13', SERVICE + 'EtcdStatus'), 'EtcdStatus')['member_status']['is_learner']
    refused = 'etcdserver: rpc not supported for learner'
    for method, request, text in (('EtcdMemberList', LOCAL, refused), ('EtcdAlarmList', b'', f'failed to list etcd alarms: {refused}'),
                                  ('EtcdAlarmDisarm', b'', f'failed to disarm etcd alarm: {refused}')):
        assert bench('10.5.0.13', SERVICE + method, request)[1:] == (UNKNOWN, text)
    for _asked in range(5):
        assert len(_answer(bench('10.5.0.13', SERVICE + 'EtcdMemberList'), 'EtcdMemberList')['members']) == 3, 'a voter answers for the cluster'


def test_a_member_that_was_added_and_never_started_has_no_name():
    bench = _bench({'etcd': {'learners': ['cp-3']}, 'nodes': {'cp-3': {'services': {'etcd': ['Preparing', '?']}}}})
    member = _answer(bench(CP, SERVICE + 'EtcdMemberList', LOCAL), 'EtcdMemberList')['members'][2]
    assert (member.get('hostname'), member['peer_urls'], 'client_urls' in member) == (None, ['https://10.5.0.13:2380'], False)


def test_members_that_are_no_machine_and_two_clusters():
    bench = _bench({'etcd': {'members': {'cp-1': '1' * 16, 'cp-2': '2' * 16, 'cp-3': '3' * 16, 'old': 'f' * 16}, 'member_addresses': {'old': '10.5.0.77'},
                             'reachable': ['cp-1', 'cp-2', 'cp-3'], 'same_list_on': ['cp-1', 'cp-2']}})
    members = {address: _answer(bench(address, SERVICE + 'EtcdMemberList', LOCAL), 'EtcdMemberList')['members'] for address in (CP, '10.5.0.12', '10.5.0.13')}
    assert [len(listed) for listed in members.values()] == [4, 4, 1]
    assert members[CP][3]['peer_urls'] == ['https://10.5.0.77:2380']
    assert _answer(bench('10.5.0.13', SERVICE + 'EtcdStatus'), 'EtcdStatus')['member_status']['leader'] == int('3' * 16, 16)


def test_alarms_are_in_the_list_and_in_every_status():
    bench = _bench({'etcd': {'alarms': [{'member': 'cp-2', 'alarm': 'NOSPACE'}, {'member': '3' * 16, 'alarm': 'CORRUPT'}]}})
    assert _answer(bench(CP, SERVICE + 'EtcdAlarmList'), 'EtcdAlarm' + 'List')['member_alarms'] == [
        {'member_id': int('2' * 16, 16), 'alarm': 'NOSPACE'}, {'member_id': int('3' * 16, 16), 'alarm': 'CORRUPT'}]
    errors = _answer(bench('10.5.0.13', SERVICE + 'EtcdStatus'), 'EtcdStatus')['member_status']['errors']
    assert errors[0] == f'memberID:{int("2" * 16, 16)} alarm:NOSPACE '


def test_linearizable_calls_fail_as_told():
    bench = _bench({'etcd': {'member_list_api': 'etcdserver: request timed out'}})
    assert bench(CP, SERVICE + 'EtcdMemberList', LOCAL)[1:] == (UNKNOWN, 'etcdserver: request timed out')
    assert bench(CP, SERVICE + 'EtcdStatus')[1] == OK


@pytest.mark.parametrize(('etcd', 'entries'), [
    ({'data_dir_empty': ['cp-1']}, 1), ({}, 4), ({'members': {}, 'local_db_present': ['cp-1']}, 4), ({'members': {}}, 1),
])
def test_the_data_directory(etcd, entries):
    request = MESSAGES.encode('ListRequest', {'root': '/var/lib/etcd', 'recurse': True, 'recursion_depth': 2})
    assert len(_bench({'etcd': etcd})(CP, SERVICE + 'List', request)[0]) == entries


# -- logs -------------------------------------------------------------------------------------------------------

def _log(bench, address, log_id, tail=-1):
    request = MESSAGES.encode('LogsRequest', {'namespace': 'system', 'id': log_id, 'tail_lines': tail})
    messages, code, text = bench(address, SERVICE + 'Logs', request)
    assert code == OK, text
    return b''.join(MESSAGES.decode('Data', message)['bytes'] for message in messages).decode().splitlines()


def test_told_lines_stand_at_their_time_in_the_form_of_their_log():
    bench = _bench({'lines': [
        {'node': 'cp-1', 'src': 'etcd log', 'at': '-20s', 'line': '{"level":"warn","caller":"x.go:1","msg":"slow"}'},
        {'node': 'cp-1', 'src': 'kubelet log', 'at': '-4s', 'line': 'kubelet.go:2211] "Container runtime network not ready"'},
        {'node': 'cp-1', 'src': 'machined dmesg', 'at': '-3s', 'line': '[talos] retrying error: timeout'},
        {'node': 'cp-1', 'src': 'controller-runtime', 'at': '-2s', 'line': '"error": "timeout"'},
        {'node': 'client', 'src': 'gRPC error', 'at': '-1s', 'line': 'rpc error'},
    ]})
    etcd = _log(bench, CP, 'etcd')
    assert [line.startswith('{"level":"warn","ts":"2') for line in etcd if '"slow"' in line] == [True]
    assert etcd.index(next(line for line in etcd if '"slow"' in line)) > len(etcd) // 2
    assert _log(bench, CP, 'kubelet')[-1].split('kubelet.go')[0].startswith('E')
    assert [line for line in _log(bench, CP, 'machined') if '[talos]' in line][-1].endswith(' [talos] retrying error: timeout')
    assert '\x1b[31mERROR\x1b[0m controller failed {"component": "controller-runtime", ' in _log(bench, CP, 'controller-runtime')[-1]
    kernel = [MESSAGES.decode('Data', message)['bytes'] for message in bench(CP, SERVICE + 'Dmesg')[0]]
    assert kernel[-1].startswith(b'user: warning: [') and kernel[-1].endswith(b'[talos] retrying error: timeout\n')


def test_tail_lines():
    bench = _bench()
    whole = _log(bench, CP, 'controller-runtime')
    assert _log(bench, CP, 'controller-runtime', 3) == whole[-3:]
    assert _log(bench, CP, 'controller-runtime', 0) == []
    assert _log(bench, CP, 'controller-runtime', 10000) == whole


def test_calls_push_other_lines_out_of_the_log_of_machined():
    bench = _bench()
    before = len(_log(bench, CP, 'machined'))
    bench(CP, SERVICE + 'Version')
    assert len(_log(bench, CP, 'machined')) == before + 6


# -- watch ------------------------------------------------------------------------------------------------------

def _watch(**request):
    return MESSAGES.encode('cosi.Watch', {'namespace': 'cluster', 'type': 'Members.cluster.talos.dev', 'api_version': 1, **request})


def _events(messages):
    return [[event.get('event_type', 'CREATED') for event in MESSAGES.decode('cosi.WatchResponse', message).get('event', [])] for message in messages]


@pytest.mark.parametrize(('request_', 'events'), [
    ({}, [[]]),
    ({'id': 'cp-1'}, [[], ['CREATED']]),
    ({'id': 'none'}, [[], ['DESTROYED']]),
    ({'options': {'bootstrap_contents': True}}, [[], *[['CREATED']] * 5, ['BOOTSTRAPPED']]),
    ({'options': {'bootstrap_contents': True}, 'api_version': 0}, [[], *[['CREATED']] * 5]),
    ({'options': {'bootstrap_contents': True, 'aggregated': True}}, [[], ['CREATED'] * 5 + ['BOOTSTRAPPED']]),
])
def test_watches_begin_as_recorded_and_never_end(request_, events):
    messages, code, _text = _bench()(CP, STATE + 'Watch', _watch(**request_), within=HANGS)
    assert code is None
    assert _events(messages) == events


def test_a_missing_resource_is_not_found():
    request = MESSAGES.encode('cosi.Get', {'namespace': 'cluster', 'type': 'Members.cluster.talos.dev', 'id': 'none'})
    assert _bench()(CP, STATE + 'Get', request)[1] == NOT_FOUND
