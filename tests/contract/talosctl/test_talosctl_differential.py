# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our modules that read, and talosctl, side by side on the same cluster: they agree, field by field."""

from __future__ import annotations

import base64
import datetime
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from cryptography import x509

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from tests.conftest import ROOT
from tests.contract.talosctl.talosctl import Talosctl
from tests.simulator import Cluster
from tests.unit.remedies.simulated import task

# What the clusters are that both look at: whole, with a member that is gone, without room, with a learner, with services that fail.
CLUSTERS = {
    'healthy': None,
    'compound': 'compound.yaml',
    'nospace': 'nospace.yaml',
    'learner': 'learner-joining.yaml',
    'small': 'small-machines.yaml',
}
# Environments holds the environment of Talos's first process with all its secrets: our module refuses it.
_REFUSED = ('environments.runtime.talos.dev',)


@pytest.fixture(scope='module', params=CLUSTERS)
def both(request, program, tmp_path_factory):
    """(talosctl, ours): C(ours('talos_members')) is what our module returns."""
    file = CLUSTERS[request.param]
    make = Cluster.from_file(ROOT / 'tests' / 'scenarios' / file) if file else Cluster.from_state({}, name='prod')
    with make as cluster:
        def ours(module, **options):
            return task(str(cluster.directory / 'talosconfig'), None, module, False, options)

        yield Talosctl(program('talosctl'), cluster, tmp_path_factory.mktemp('home')), ours


@pytest.fixture
def answering(both):
    """The machines that answer, by their names in the scenario."""
    talosctl, _ours = both
    return [name for name, node in talosctl.cluster.nodes.items() if node.reachable]


def _names(talosctl):
    """{address: name of the machine}, for what talosctl calls by addresses and we by names."""
    return {node.address: node.nodename for node in talosctl.cluster.nodes.values()}


def test_members(both, answering):
    talosctl, ours = both
    found = ours('talos_members')
    names = _names(talosctl)
    theirs = {}
    for name in answering:
        listed = talosctl.read('get', 'members', '-o', 'json', nodes=[name]).documents
        theirs |= {one['spec']['nodeId']: one['spec'] for one in listed}
        assert sorted(one['metadata']['id'] for one in listed) == sorted(found['members_per_node'][names[talosctl.cluster.address(name)]])
    assert {one['node_id']: {'nodeId': one['node_id'], 'hostname': one['hostname'], 'machineType': one['type'],
                             'addresses': sorted(one['addresses']), 'operatingSystem': one['operating_system']}
            for one in found['members']} == {
        key: {'nodeId': key, 'hostname': one['hostname'], 'machineType': one['machineType'], 'addresses': sorted(one['addresses']),
              'operatingSystem': one['operatingSystem']} for key, one in theirs.items()}


def test_services(both, answering):
    talosctl, ours = both
    names = _names(talosctl)
    found = {(one['node'], one['id']): one for one in ours('talos_service_info', events=100)['services']}
    table = talosctl.read('services', nodes=answering).rows
    health = {True: 'OK', False: 'Fail', None: '?'}
    assert {(names[row['NODE']], row['SERVICE']): (row['STATE'], row['HEALTH'], row['LAST EVENT']) for row in table} == {
        key: (one['state'], health[one['healthy']], one['events'][-1]['message'] if one['events'] else '') for key, one in found.items()}
    for name in answering:
        node = names[talosctl.cluster.address(name)]
        for service in ('kubelet', 'etcd') if (node, 'etcd') in found else ('kubelet',):
            events = [line.split('[', 1)[1] for line in talosctl.read('service', service, nodes=[name]).out.splitlines() if '[' in line and 'ago)' in line]
            assert [event.rpartition(' (')[0] for event in reversed(events)] == [
                f'{event["state"]}]: {event["message"]}' for event in found[node, service]['events']]


@pytest.mark.parametrize('both', ['compound'], indirect=True)
def test_every_type_of_resources(both):
    talosctl, ours = both
    types = [row['ID'] for row in talosctl.read('get', 'rd').rows]
    assert len(types) > 100
    mine = {name: _ours(ours, name) for name in types}
    served = [name for name in types if 'not simulated' not in str(mine[name])]
    assert len(served) > 60
    with ThreadPoolExecutor(3) as pool:
        theirs = dict(zip(served, pool.map(lambda name: _theirs(talosctl, name), served)))
    assert {name: (theirs[name], mine[name]) for name in served if name not in _REFUSED and not _same(theirs[name], mine[name])} == {}
    assert 'redacted:' in str(mine['machineconfigs.config.talos.dev'])


def _theirs(talosctl, name):
    said = talosctl.run('get', name, '-o', 'yaml')
    if said.code:
        return said.err.strip().rpartition('desc = ')[2]
    return {_identity(one): one['spec'] for one in said.yaml if one}


def _ours(ours, name):
    try:
        found = ours('talos_resource_info', type=name, nodes=['cp-1'], limit_bytes=10_000_000)
    except TalosError as error:
        return str(error)
    assert found['omitted'] == {}
    return {_identity(one): one['spec'] for one in found['resources']}


def _same(theirs, mine):
    """Whether both are the same, but for what we redact; a configuration is text there, and its documents here."""
    if isinstance(mine, str) and 'redacted:' in mine:
        return True
    if isinstance(theirs, str) and isinstance(mine, list):
        return _same(list(yaml.safe_load_all(theirs)), mine)
    if isinstance(theirs, dict) and isinstance(mine, dict):
        return theirs.keys() == mine.keys() and all(_same(theirs[key], mine[key]) for key in theirs)
    if isinstance(theirs, list) and isinstance(mine, list):
        return len(theirs) == len(mine) and all(map(_same, theirs, mine))
    return _plain(theirs) == _plain(mine)


def _identity(resource):
    """What both tell of a resource itself. Times are whole seconds in talosctl, versions numbers."""
    meta = resource['metadata']
    return tuple(str(meta.get(key) or '') for key in ('type', 'namespace', 'id', 'version', 'phase', 'owner')) + tuple(
        str(_plain(meta[key]))[:19] for key in ('created', 'updated'))


def _plain(value):
    """A scalar as text: two YAML readers make times and text of the same."""
    return f'{value:%Y-%m-%dT%H:%M:%S}' if isinstance(value, (datetime.datetime, datetime.date)) else str(value)


def test_etcd(both, answering):
    talosctl, ours = both
    found = ours('talos_etcd_health')
    names = _names(talosctl)
    planes = [name for name in answering if talosctl.cluster.nodes[name].control_plane]
    running = [name for name in planes if talosctl.cluster.model.etcd.runs(talosctl.cluster.nodes[name])]
    rows = talosctl.read('etcd', 'status', nodes=running).rows
    assert {names[row['NODE']]: (row['MEMBER'], row['LEADER'], row['RAFT INDEX'], row['RAFT TERM'], row['RAFT APPLIED INDEX'], row['LEARNER'],
                                 row['PROTOCOL'], row['STORAGE'], row['ERRORS'].replace(',', '').split()) for row in rows} == {
        name: (one['member_id'], status['leader'], *(str(status[key]) for key in ('raft_index', 'raft_term', 'raft_applied_index')),
               str(status['learner']).lower(), status['version'], status['storage_version'], ' '.join(status['errors']).split())
        for name, one in found['nodes'].items() if (status := one['status'])}
    voting = [name for name in running if name not in talosctl.cluster.model.etcd.learners]
    for name in voting:
        listed = talosctl.read('etcd', 'members', nodes=[name]).rows
        ids = {row['ID']: (row['HOSTNAME'], row['PEER URLS'], row['CLIENT URLS'], row['LEARNER']) for row in listed}
        assert sorted(ids) == sorted(found['nodes'][names[talosctl.cluster.address(name)]]['members'])
        if len(ids) == len(found['members']):
            assert ids == {one['id']: (one['name'], ','.join(one['peer_urls']), ','.join(one['client_urls']), str(one['learner']).lower())
                           for one in found['members']}
    alarms = talosctl.read('etcd', 'alarm', 'list', nodes=voting[:1])
    assert {(row['MEMBER'], row['ALARM']) for row in (alarms.rows if alarms.out else [])} == {
        (one['member_id'], one['alarm']) for one in found['alarms']}


def test_logs_of_services(both, answering):
    talosctl, ours = both
    names = _names(talosctl)
    for service in ('apid', 'etcd', 'kubelet', 'machined', 'controller-runtime'):
        logs = {one['node']: one['lines'] for one in ours('talos_logs', services=[service], tail=-1, limit_bytes=10_000_000)['logs']}
        for name in answering:
            said = talosctl.run('logs', service, nodes=[name])
            address = talosctl.cluster.address(name)
            if said.code:
                assert names[address] not in logs and 'was not registered' in said.err
                continue
            # Ours is for files and reports: without the colours of controller-runtime's levels.
            theirs = [re.sub(r'\x1b\[\d+m', '', line.removeprefix(f'{address}: ')) for line in said.out.splitlines()]
            assert theirs
            mine = logs[names[address]]
            # Reading is logged as well, the newest of so many calls; talosctl reads later.
            of_calls, of_theirs = ([line for line in lines if 'authorized' in line or ' stream Success ' in line] for lines in (mine, theirs))
            assert [line for line in mine if line not in of_calls] == [line for line in theirs if line not in of_theirs]
            assert set(of_calls) & set(of_theirs) if service in ('apid', 'machined') else of_calls == of_theirs == []


def test_containers_and_their_logs(both, answering):
    talosctl, ours = both
    name = answering[0]
    rows = talosctl.read('containers', '-k', nodes=[name]).rows
    ids = [row['ID'].lstrip('└─ ') for row in rows if row['ID'].startswith('└─')]
    assert ids
    for one in ids[:4]:
        pod, container, _hash = one.split(':')
        theirs = talosctl.read('logs', '-k', one, nodes=[name]).out.splitlines()
        address = talosctl.cluster.address(name)
        found = ours('talos_logs', containers=[f'{pod}:{container}'], nodes=[name], tail=-1, limit_bytes=10_000_000)
        assert found['unmatched'] == []
        assert [line.removeprefix(f'{address}: ') for line in theirs] in [log['lines'] for log in found['logs']]


def test_the_kernel_log(both, answering):
    talosctl, ours = both
    name = answering[0]
    address = talosctl.cluster.address(name)
    theirs = [line.removeprefix(f'{address}: ') for line in talosctl.read('dmesg', nodes=[name]).out.splitlines()]
    assert theirs
    mine = ours('talos_logs', dmesg=True, nodes=[name], tail=-1, limit_bytes=10_000_000)['logs'][0]['lines']
    assert mine == theirs


def test_the_kubeconfig(both, answering, tmp_path):
    talosctl, ours = both
    planes = [name for name in answering if talosctl.cluster.nodes[name].control_plane]
    talosctl.read('kubeconfig', str(tmp_path / 'theirs'), '--force', '--merge=false', nodes=planes[:1])
    ours('talos_kubeconfig', path=str(tmp_path / 'ours'))
    theirs, mine = (yaml.safe_load((tmp_path / name).read_text()) for name in ('theirs', 'ours'))
    assert mine['current-context'] == theirs['current-context']
    assert mine['clusters'] == theirs['clusters']
    assert mine['contexts'] == theirs['contexts']
    assert [user['name'] for user in mine['users']] == [user['name'] for user in theirs['users']]
    assert _subject(mine) == _subject(theirs)


def _subject(kubeconfig):
    pem = base64.b64decode(kubeconfig['users'][0]['user']['client-certificate-data'])
    return x509.load_pem_x509_certificate(pem).subject.rfc4514_string()


def test_versions(both, answering):
    talosctl, ours = both
    names = _names(talosctl)
    theirs = {}
    for block in talosctl.read('version', nodes=answering).out.split('NODE:')[1:]:
        address, *lines = block.splitlines()
        theirs[names[address.strip()]] = next(line.split()[-1] for line in lines if line.strip().startswith('Tag:'))
    members = {one['name']: one['operating_system'] for one in ours('talos_members')['members']}
    assert {name: f'Talos ({version})' for name, version in theirs.items()} == {name: members[name] for name in theirs}
