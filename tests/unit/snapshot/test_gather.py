# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import collections
import functools
import subprocess
import sys
import threading
import zipfile

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import errors, talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import reader, store
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.ask import Budget
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.gather import Gather
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import (
    ADMIN, ALL, DISK_FILLING, ENDPOINT_KINDS, METAL, READS, ContainerLogs,
)
from tests.bed import pki
from tests.unit.snapshot.recorded_client import RecordedClient

TALOS_KINDS = tuple(read.kind for read in READS)
CPS = ('10.5.0.2', '10.5.0.3', '10.5.0.4')
VERSION = '/machine.MachineService/Version'
SERVICES = '/machine.MachineService/ServiceList'
ETCD_STATUS = '/machine.MachineService/EtcdStatus'
# What machines of Talos 1.13 in container mode do not have.
NEWER = {'UnattendedInstallStatuses': 'unsupported', 'KubeletStatuses': 'unsupported'}
HOSTS = dict.fromkeys(('dmesg', 'PressureCPU', 'PressureIO', 'PressureMemory', 'DiskUsage'), 'not_asked')
CONTAINERS = next(read for read in READS if isinstance(read, ContainerLogs))


@functools.lru_cache(maxsize=None)
def context():
    authority = pki.Authority('talos')
    return talosconfig.load(content=pki.talosconfig('rt', list(CPS), authority, authority.client(['os:admin'])))


def gathered(client, *, timeout=10, deadline=60, budget=None, say=None, **more):
    more.setdefault('kinds', TALOS_KINDS)
    return Gather(client, context(), budget=budget or Budget(timeout, deadline), say=say, **more).run('prod')


def by_name(snapshot):
    return {machine.name or machine.key: machine for machine in snapshot.machines}


@pytest.mark.parametrize(('name', 'handshakes', 'down'), [
    ('healthy', 3, []), ('healthy-reader', 3, []), ('one-cp-down', 2, ['cp3']), ('worker-down', 3, ['w1']), ('nospace-alarm', 3, []),
])
def test_a_recorded_cluster_in_two_waves(name, handshakes, down):
    client = RecordedClient(name)
    snapshot = gathered(client)
    machines = by_name(snapshot)
    assert {label: machine.type for label, machine in machines.items()} == {
        'cp1': 'controlplane', 'cp2': 'controlplane', 'cp3': 'controlplane', 'w1': 'worker'}
    assert [label for label, machine in machines.items() if not machine.answered] == down
    assert snapshot.control_node['waves'] == 2
    assert snapshot.control_node['retries'] == 0
    assert client.handshakes == handshakes
    assert len(set(client.dialled)) == len(client.dialled)
    assert [endpoint.machine for endpoint in snapshot.endpoints] == [machines[label].key for label in ('cp1', 'cp2', 'cp3')]
    assert {machines[label].addresses[0] for label in machines} == {*CPS, '10.5.0.5'}
    assert snapshot.cluster['name'] == 'prod'
    assert len(snapshot.cluster['id']) == 16


def test_what_is_asked_of_whom():
    client = RecordedClient()
    gathered(client)
    direct = [(address, subject) for address, via, subject in client.asked if via is None]
    assert collections.Counter(address for address, _subject in direct) == dict.fromkeys(CPS, len(ENDPOINT_KINDS))
    forwarded = collections.Counter((address, subject) for address, via, subject in client.asked if via == '10.5.0.2')
    assert set(forwarded.values()) == {1}
    own = {subject for address, subject in forwarded if address == '10.5.0.2'}
    logs = {subject for subject in own if subject.startswith('log kube-system/')}
    assert len(own - logs) == len([read for read in READS if read is not CONTAINERS and read.on not in (METAL, DISK_FILLING)])
    assert [subject.split(':')[1] for subject in sorted(logs)] == ['kube-apiserver', 'kube-controller-manager', 'kube-flannel', 'kube-proxy', 'kube-scheduler']
    assert not {subject for address, subject in forwarded if address == '10.5.0.5'} & {ETCD_STATUS, 'log etcd', 'EtcdSpecs.etcd.talos.dev'}
    assert {via for _address, via, _subject in client.asked} == {None, '10.5.0.2'}


def test_every_recorded_read_of_a_healthy_cluster_is_there():
    for machine in gathered(RecordedClient()).machines:
        assert {kind: datum.state for kind, datum in {**machine.data, **machine.logs}.items() if not datum.ok} == {**NEWER, **HOSTS}


def test_what_a_reader_may_not_see_is_refused_and_nothing_else():
    for machine in gathered(RecordedClient('healthy-reader')).machines:
        refused = {read.kind: 'refused' for read in READS if read.role == ADMIN and (read.on == ALL or machine.is_control_plane and read.on != METAL)}
        assert {kind: datum.state for kind, datum in {**machine.data, **machine.logs}.items() if not datum.ok} == {**refused, **NEWER, **HOSTS}


def test_a_machine_that_does_not_answer_costs_one_call_per_endpoint_tried():
    client = RecordedClient('worker-down')
    machine = by_name(gathered(client))['w1']
    assert [(via, subject) for address, via, subject in client.asked if address == '10.5.0.5'] == [('10.5.0.2', VERSION), ('10.5.0.3', VERSION)]
    assert machine.unreachable['kind'] == 'node_unreachable'
    assert machine.unreachable['via'] == '10.5.0.2'
    assert 'connection refused' in machine.unreachable['text']
    assert set(machine.datum('reach').value) == {'10.5.0.2', '10.5.0.3'}
    assert {datum.state for kind, datum in machine.data.items() if kind != 'reach'} == {'unreachable'}
    assert 'EtcdStatus' not in machine.data
    assert machine.key != '10.5.0.5'


def test_a_machine_that_another_endpoint_reaches_is_read_through_that():
    client = RecordedClient(hooks={('10.5.0.5', '10.5.0.2', VERSION): errors.NodeUnreachable('no route to host', 'UNAVAILABLE')})
    machine = by_name(gathered(client))['w1']
    assert (machine.answered, machine.via, machine.unreachable) == (True, '10.5.0.3', None)
    assert machine.datum('reach').value == {'10.5.0.2': 'no route to host', '10.5.0.3': 'ok'}
    assert machine.datum('Members').ok


def test_an_endpoint_that_hangs_for_one_machine_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(reader, 'HEDGE_SECONDS', 0.01)
    ended = threading.Event()

    def hangs(_machine):
        assert ended.wait(20), 'the second endpoint was tried only after the first gave up'
        raise errors.DeadlineExceeded('no answer in time', 'DEADLINE_EXCEEDED')

    def answers(_machine):
        ended.set()

    client = RecordedClient(hooks={('10.5.0.5', '10.5.0.2', VERSION): hangs, ('10.5.0.5', '10.5.0.3', VERSION): answers})
    machine = by_name(gathered(client))['w1']
    assert machine.datum('reach').value == {'10.5.0.2': 'no answer in time', '10.5.0.3': 'ok'}


def test_a_sick_call_blocks_no_other_of_its_node():
    log_read = threading.Event()

    def hangs(_machine):
        assert log_read.wait(20), 'a log of the same node was not read while EtcdStatus hung'
        raise errors.DeadlineExceeded('no answer in time', 'DEADLINE_EXCEEDED')

    client = RecordedClient(hooks={('10.5.0.3', ETCD_STATUS): hangs, ('10.5.0.3', 'log etcd'): lambda _machine: log_read.set()})
    machine = by_name(gathered(client))['cp2']
    assert machine.datum('EtcdStatus').state == 'timed_out'
    assert {kind for kind, datum in {**machine.data, **machine.logs}.items() if not datum.ok} == {'EtcdStatus', *NEWER, *HOSTS}


def etcd_in(state):
    return lambda _machine: [{'messages': [{'services': [{'id': 'etcd', 'state': state, 'events': {'events': []}, 'health': None}]}]}]


def test_etcd_is_not_asked_where_it_does_not_run():
    client = RecordedClient(hooks={('10.5.0.3', SERVICES): etcd_in('Preparing')})
    machine = by_name(gathered(client))['cp2']
    for kind in ('EtcdStatus', 'EtcdMemberList', 'EtcdAlarmList'):
        assert (machine.datum(kind).state, machine.datum(kind).reason) == ('not_asked', 'etcd is not running (Preparing)')
    assert ('10.5.0.3', '10.5.0.2', ETCD_STATUS) not in client.asked
    assert machine.datum('EtcdSpecs').ok


def test_etcd_is_not_asked_where_nobody_knows_whether_it_runs():
    client = RecordedClient(hooks={('10.5.0.3', SERVICES): errors.DeadlineExceeded('no answer in time', 'DEADLINE_EXCEEDED')})
    datum = by_name(gathered(client))['cp2'].datum('EtcdStatus')
    assert datum.state == 'not_asked'
    assert datum.reason.startswith('whether etcd is running is not known: no answer before the deadline')


def test_a_worker_as_endpoint_is_recorded_and_never_gone_through():
    client = RecordedClient(endpoints=('10.5.0.5', '10.5.0.3'))
    snapshot = gathered(client)
    assert '10.5.0.5' not in {via for _address, via, _subject in client.asked}
    assert snapshot.endpoints[0].machine == by_name(snapshot)['w1'].key
    assert all(machine.answered for machine in snapshot.machines)
    assert client.looked and set(client.looked) == {'10.5.0.2', '10.5.0.4'}


def test_with_a_worker_alone_only_the_worker_is_read():
    snapshot = gathered(RecordedClient(endpoints=('10.5.0.5',)))
    machines = by_name(snapshot)
    assert machines['w1'].answered
    assert machines['w1'].datum('Identities').ok
    assert {machine.unreachable['kind'] for label, machine in machines.items() if label != 'w1'} == {'no_endpoint'}


def test_a_vip_as_endpoint_is_its_holder():
    snapshot = gathered(RecordedClient(endpoints=('10.5.0.100',)))
    machines = by_name(snapshot)
    assert snapshot.endpoints[0].machine == machines['cp1'].key
    assert len(machines) == 4
    assert machines['cp1'].addresses == ['10.5.0.2', '10.5.0.100']
    assert machines['cp2'].addresses == ['10.5.0.3']


def test_certificates_come_from_endpoints_and_from_a_look_at_the_other_control_planes():
    client = RecordedClient('one-cp-down', endpoints=('10.5.0.2',))
    machines = by_name(gathered(client))
    assert client.dialled == ['10.5.0.2']
    assert sorted(client.looked) == ['10.5.0.3', '10.5.0.4']
    assert machines['cp2'].value('certificate')['ips'] == ['10.5.0.3', '127.0.0.1']
    assert machines['cp3'].datum('certificate').state == 'unreachable'
    assert 'certificate' not in machines['w1'].data


def test_an_endpoint_that_fails_keeps_how_and_what_it_served():
    failed = errors.TransportError('The certificate of 10.5.0.4 has expired.', 'expired', '10.5.0.4', {'ips': ['10.5.0.4'], 'dns': [], 'sha256': 'x'})
    snapshot = gathered(RecordedClient(hooks={('10.5.0.4', 'connect'): failed}))
    endpoint = snapshot.endpoints[2]
    assert (endpoint.connected, endpoint.error, endpoint.certificate['ips']) == (
        False, {'kind': 'expired', 'text': 'The certificate of 10.5.0.4 has expired.'}, ['10.5.0.4'])
    assert by_name(snapshot)['cp3'].value('certificate') == endpoint.certificate
    assert by_name(snapshot)['cp3'].answered


def test_no_endpoint_at_all():
    refused = {(address, 'connect'): errors.TransportError('refused', 'refused', address) for address in CPS}
    snapshot = gathered(RecordedClient(hooks=refused))
    assert [(machine.key, machine.answered, machine.unreachable['kind']) for machine in snapshot.machines] == [
        (address, False, 'no_endpoint') for address in CPS]
    assert snapshot.cluster['id'] is None


def test_a_broken_connection_is_left_for_another_endpoint():
    broken = errors.TransportError('The connection to 10.5.0.2 is gone.', 'reset', '10.5.0.2')
    client = RecordedClient(hooks={('10.5.0.5', '10.5.0.2', 'Members.cluster.talos.dev'): broken})
    assert by_name(gathered(client))['w1'].datum('Members').ok
    assert ('10.5.0.5', '10.5.0.3', 'Members.cluster.talos.dev') in client.asked


def members(addresses):
    return [{'id': name, 'namespace': 'cluster', 'version': '1', 'phase': 'running', 'owner': '', 'created': None, 'updated': None, 'labels': {},
             'spec': {'nodeId': node_id, 'addresses': listed, 'machineType': 'controlplane'}} for name, node_id, listed in addresses]


def test_a_vip_that_moved_away_is_found_out_by_the_identity():
    """cp1's entry still begins with the VIP, which cp2 holds now: asked by it, cp2 answers."""
    ids = {machine.name: machine.key for machine in gathered(RecordedClient()).machines}
    listed = members([('cp1', ids['cp1'], ['10.5.0.100', '10.5.0.2']), ('cp2', ids['cp2'], ['10.5.0.3'])])
    client = RecordedClient(endpoints=('10.5.0.3',), hooks={('10.5.0.3', 'Members.cluster.talos.dev'): listed})
    real = client.recording.machine
    client.recording = type('Moved', (), {'machine': lambda _self, text: real('10.5.0.3' if text == '10.5.0.100' else text),
                                          'about': client.recording.about})()
    snapshot = gathered(client)
    machines = by_name(snapshot)
    assert snapshot.control_node['retries'] == 1
    assert (machines['cp1'].key, machines['cp1'].address, machines['cp1'].answered) == (ids['cp1'], '10.5.0.2', True)
    assert (machines['cp2'].key, machines['cp2'].address) == (ids['cp2'], '10.5.0.3')
    assert sum(machine.key == ids['cp2'] for machine in snapshot.machines) == 1


def test_a_machine_that_only_etcd_knows_gets_one_attempt_in_a_further_round():
    stale = {'id': '1' * 16, 'hostname': 'cp-9', 'peer_urls': ['https://10.5.0.19:2380'], 'client_urls': [], 'is_learner': False}
    client = RecordedClient(hooks={('10.5.0.2', '/machine.MachineService/EtcdMemberList'): [{'messages': [{'members': [stale]}]}]})
    snapshot = gathered(client)
    machine = by_name(snapshot)['cp-9']
    assert snapshot.control_node['retries'] == 1
    assert (machine.key, machine.type, machine.known_from, machine.answered) == ('10.5.0.19', 'controlplane', ['etcd'], False)
    assert [subject for address, _via, subject in client.asked if address == '10.5.0.19'] == [VERSION, VERSION]


def test_nodes_of_the_user_are_asked_too():
    snapshot = gathered(RecordedClient(), nodes=('10.5.0.5', '10.5.0.77'))
    machines = by_name(snapshot)
    assert 'options' in machines['w1'].known_from
    assert machines['10.5.0.77'].unreachable['kind'] == 'node_unreachable'


class Short(Budget):
    """Over after so many calls."""

    def __init__(self, calls):
        super().__init__(10, 60)
        self._calls = calls
        self._lock = threading.Lock()

    def seconds(self):
        with self._lock:
            self._calls -= 1
            if self._calls <= 0:
                self.stop()
        return super().seconds()


def test_what_the_whole_deadline_cut_off_is_not_asked_and_nobody_is_called_dead():
    snapshot = gathered(RecordedClient(), budget=Short(20))
    states = {datum.state for machine in snapshot.machines for datum in machine.data.values()}
    assert 'not_asked' in states
    assert states <= {'read', 'not_asked'}
    assert [machine.unreachable for machine in snapshot.machines] == [None] * len(snapshot.machines)


def test_a_deadline_that_is_over_before_it_begins():
    snapshot = gathered(RecordedClient(), budget=Budget(10, 0))
    assert {endpoint.error['text'] for endpoint in snapshot.endpoints} == {'the 0 s for the whole gather had passed'}
    assert [machine.unreachable for machine in snapshot.machines] == [None] * 3


def test_an_endpoint_that_hangs_holds_up_no_other_machine():
    second_wave, waited_for = threading.Event(), []
    failed = errors.TransportError('10.5.0.4 did not answer in time.', 'timeout', '10.5.0.4')

    def hangs():
        waited_for.append(second_wave.wait(30))
        return failed

    client = RecordedClient(hooks={('10.5.0.4', 'connect'): hangs, ('10.5.0.5', VERSION): lambda _machine: second_wave.set()})
    snapshot = gathered(client)
    assert waited_for == [True]
    late = [endpoint for endpoint in snapshot.endpoints if endpoint.text == '10.5.0.4'][0]
    assert (late.connected, late.error['kind'], late.machine) == (False, 'timeout', by_name(snapshot)['cp3'].key)
    assert by_name(snapshot)['cp3'].datum('certificate').reason == '10.5.0.4 did not answer in time.'
    assert by_name(snapshot)['w1'].answered


def test_only_what_is_asked_for_is_read_and_what_identity_needs():
    client = RecordedClient()
    machine = by_name(gathered(client, kinds=('TimeStatuses',), logs=()))['cp1']
    assert machine.datum('TimeStatuses').ok
    assert machine.datum('Identities').ok
    assert 'RouteStatuses' not in machine.data
    assert machine.logs == {}


def test_the_kubernetes_client_is_not_imported_when_nothing_of_kubernetes_is_read():
    code = ('import sys; import tests.conftest; from tests.unit.snapshot.test_gather import gathered, RecordedClient; gathered(RecordedClient()); '
            'sys.exit("kubernetes" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_ctrl_c_ends_the_gather_and_nothing_more_is_sent():
    release = threading.Event()
    client = RecordedClient(hooks={('10.5.0.5', VERSION): lambda _machine: release.wait(20) and None})

    def interrupted(_text):
        raise KeyboardInterrupt

    running = Gather(client, context(), kinds=TALOS_KINDS, budget=Budget(10, 60), say=interrupted)
    running.progress._next = 0
    with pytest.raises(KeyboardInterrupt):
        running.run('prod')
    release.set()
    assert running.budget.over()


CANARIES = ('canarytoken12345', 'canarykeybytes99', 'canaryuser:canarypass', 'canarypasswordX1')


def test_no_planted_secret_reaches_the_archive(tmp_path):
    pem = '-----BEGIN ED25519 PRIVATE KEY-----\n' + CANARIES[1] * 4 + '\n-----END ED25519 PRIVATE KEY-----\n'
    text = f'token={CANARIES[0]} https://{CANARIES[2]}@registry/ password: {CANARIES[3]}\n{pem}'
    spec = {'id': 'cluster', 'namespace': 'config', 'version': '1', 'phase': 'running', 'owner': '', 'created': None, 'updated': None, 'labels': {}}
    resource = [{**spec, 'spec': {'serviceEncryptionKey': CANARIES[1], 'clusterId': CANARIES[0], 'deep': [{'registryPassword': CANARIES[3]}], 'text': text}}]
    hooks = {}
    for address in (*CPS, '10.5.0.5'):
        for read in READS:
            if hasattr(read, 'namespace'):
                hooks[address, read.type] = list(resource) if read.kind not in ('Members', 'MachineTypes', 'Identities') else None
        hooks[address, 'log machined'] = [{'bytes': text.encode()}]
        hooks[address, 'log controller-runtime'] = errors.CallError(text, 'UNKNOWN')
        hooks[address, SERVICES] = [{'messages': [{'services': [{'id': 'etcd', 'state': 'Failed', 'events': {'events': [{'msg': text}]}, 'health': None}]}]}]
    path = store.write(gathered(RecordedClient(hooks=hooks)), tmp_path / 'a.zip')
    with zipfile.ZipFile(path) as archive:
        found = b''.join(archive.read(name) for name in archive.namelist())
    assert b'redacted:' in found
    for canary in CANARIES:
        assert canary.encode() not in found


def test_equal_secrets_of_two_machines_stay_equal():
    snapshot = gathered(RecordedClient())
    keys = {machine.resource('DiscoveryConfigs')['serviceEncryptionKey'] for machine in snapshot.machines}
    assert len(keys) == 1
    assert keys.pop().startswith('redacted:')
    assert {machine.resource('Infos')['clusterId'] for machine in snapshot.machines} == {
        machine.resource('DiscoveryConfigs')['serviceClusterID'] for machine in snapshot.machines}


# -- a second sample ----------------------------------------------------------------------------------------------

COUNTERS = '/machine.MachineService/NetworkDeviceStats'


def test_counters_are_read_once_more_when_that_is_asked_for():
    client = RecordedClient()
    for machine in gathered(client, sample_seconds=0.2).machines:
        first, second = machine.datum('NetworkDeviceStats'), machine.datum('NetworkDeviceStats2')
        assert second.ok and second.value == first.value
        assert (parse_time(second.at) - parse_time(first.at)).total_seconds() >= 0.2
    assert collections.Counter(subject for _address, _via, subject in client.asked)[COUNTERS] == 8
    assert all('NetworkDeviceStats2' not in machine.data for machine in gathered(RecordedClient()).machines)


def test_a_second_sample_for_which_there_is_no_time_is_not_asked():
    for machine in gathered(RecordedClient(), sample_seconds=30, deadline=20).machines:
        assert machine.datum('NetworkDeviceStats').ok
        datum = machine.datum('NetworkDeviceStats2')
        assert datum.state == 'not_asked' and '30 s' in datum.reason


def test_a_machine_that_is_down_has_no_second_sample():
    machines = by_name(gathered(RecordedClient('worker-down'), sample_seconds=0.05))
    assert 'NetworkDeviceStats2' not in machines['w1'].data and machines['cp3'].datum('NetworkDeviceStats2').ok
