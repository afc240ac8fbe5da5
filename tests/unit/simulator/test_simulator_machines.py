# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a scenario that show on one machine: its disk, its pods and their logs, machines of another cluster."""

from __future__ import annotations

import contextlib
import re
import sys

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint, talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import CallError, NodeUnreachable
from tests.replay import load
from tests.simulator import Cluster
from tests.simulator.schema import MESSAGES
from tests.simulator.sizes import size
from tests.unit.simulator.bench import Bench

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='other systems have no loopback aliases')

SERVICE = '/machine.MachineService/'
GIB = 1024 ** 3
PODS = {'namespace': 'k8s.io', 'driver': 'CRI'}


@contextlib.contextmanager
def _bed(state):
    with Cluster.from_state(state) as cluster, Client(talosconfig.load(content=cluster.talosconfig)) as client:
        yield cluster, lambda name: client.node(cluster.address(name))


# -- disks --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(('text', 'bytes_'), [(7, 7 * GIB), ('7GiB', 7 * GIB), ('1.5 Gi', int(1.5 * GIB)), ('800MB', 800_000_000), ('512', 512)])
def test_sizes(text, bytes_):
    assert size(text) == bytes_


def test_what_fills_a_disk():
    state = {'ephemeral': {'size_gib': 9, 'used_pct': 60}, 'nodes': {'w-2': {'ephemeral': {'used_pct': 95, 'top': {'/var/log/pods': '7GiB'}}}}}
    with _bed(state) as (_cluster, node):
        for name, used in (('w-1', 0.60), ('w-2', 0.95)):
            var = next(one for one in node(name).unary(f'{SERVICE}Mounts')['stats'] if one['mounted_on'] == '/var')
            assert var['size'] == 9 * GIB and abs(1 - var['available'] / var['size'] - used) < 0.001
        usage = node('w-2').messages(f'{SERVICE}DiskUsage', {'paths': ['/var'], 'recursion_depth': 3})
        sizes = {one['name']: one['size'] for one in usage}
        assert sizes['/var/log/pods'] == 7 * GIB <= sizes['/var/log'] <= sizes['/var']
        assert list(sizes)[-1] == '/var' and usage[-1]['relative_name'] == '.'
        assert node('w-2').messages(f'{SERVICE}DiskUsage', {}) == []
        volume = next(one for one in node('w-1').resources('VolumeStatuses.block.talos.dev', 'runtime') if one['id'] == 'EPHEMERAL')
        assert (volume['spec']['size'], volume['spec']['phase'], volume['spec']['type']) == (9 * GIB, 'ready', 'partition')


def test_a_volume_that_failed_by_its_line_keeps_others_waiting():
    """As recorded: EPHEMERAL waits behind STATE, its directories are ready; and /var is not mounted."""
    line = ('[talos] volume status {"component": "controller-runtime", "controller": "block.VolumeManagerController", "volume": "STATE", '
            '"phase": "missing -> failed", "error": "error formatting XFS: exit status 1", "location": "/dev/vda5"}')
    with _bed({'lines': [{'node': 'cp-2', 'src': 'machined dmesg', 'at': '-5m', 'sig': 'volume.failed', 'line': line}]}) as (_cluster, node):
        specs = {one['id']: one['spec'] for one in node('cp-2').resources('VolumeStatuses.block.talos.dev', 'runtime')}
        assert [specs[name]['phase'] for name in ('STATE', 'EPHEMERAL', 'META', '/var/lib')] == ['failed', 'waiting', 'ready', 'ready']
        assert specs['STATE']['errorMessage'] == 'error formatting XFS: exit status 1' and 'size' not in specs['EPHEMERAL']
        assert '/var' not in [one['mounted_on'] for one in node('cp-2').unary(f'{SERVICE}Mounts')['stats']]


# -- the host -----------------------------------------------------------------------------------------------------

def test_a_machine_that_waits_for_its_network_has_no_default_route():
    with _bed({'nodes': {'w-1': {'machine_status': {'unmet': ['network']}}}}) as (_cluster, node):
        for name, ready in (('w-1', False), ('w-2', True)):
            status = node(name).resources('NetworkStatuses.net.talos.dev', 'network')[0]['spec']
            default = [one for one in node(name).resources('RouteStatuses.net.talos.dev', 'network') if not one['spec']['dst']]
            assert (status['connectivityReady'], bool(default)) == (ready, ready)


def test_addresses_that_flannel_makes_stand_on_its_links():
    """A host that lost its own address is told by the list of those that are left."""
    with Cluster.from_state({'nodes': {'w-1': {'addresses': {'routed': ['10.244.9.0/32', '10.244.9.1/24'], 'routed-no-k8s': []}}}}) as cluster:
        machine = cluster.model.nodes['w-1']
        assert [(link, prefix.rpartition('.')[2]) for link, prefix in machine.cni_prefixes] == [('flannel.1', '0/32'), ('cni0', '1/24')]
        assert machine.own_prefixes == []


KERNEL = 'XFS (vda6): metadata I/O error in "xfs_buf_ioend" at daddr 0x1 len 8 error 5'


@pytest.mark.parametrize(('line', 'told'), [
    (KERNEL, f'kern:     err: [{{0}}]: {KERNEL}'), (f'kern:    crit: [2026-11-22T09:00:00Z]: {KERNEL}', f'kern:    crit: [{{0}}]: {KERNEL}'),
    ('[talos] retrying error: timeout', 'user: warning: [{0}]: [talos] retrying error: timeout')])
def test_what_the_kernel_says_is_no_line_of_talos(line, told):
    with _bed({'lines': [{'node': 'w-1', 'src': 'machined dmesg', 'at': '-1m', 'sig': None, 'line': line}]}) as (_cluster, node):
        kernel = node('w-1').stream(f'{SERVICE}Dmesg', {}, 1 << 20).data.decode()
        stamped = next(each for each in kernel.splitlines() if told.partition(']: ')[2] in each)
        assert re.sub(r'\[\d{4}-\S+\]', '[{0}]', stamped) == told
        assert (told.partition(']: ')[2] in node('w-1').log('machined', tail=-1).data.decode()) is line.startswith('[talos]')


def test_a_slow_disk_shows_in_the_log_of_etcd():
    with _bed({'nodes': {'cp-1': {'disk': {'etcd_fsync_p99_ms': 1300}}, 'cp-2': {'disk': {'etcd_fsync_p99_ms': 400}}}}) as (_cluster, node):
        log = {name: node(name).log('etcd').data.decode() for name in ('cp-1', 'cp-2', 'cp-3')}
        assert [log[name].count('slow fdatasync') > 2 for name in log] == [True, False, False]
        assert [log[name].count('apply request took too long') > 2 for name in log] == [True, True, False]
        assert '"msg":"slow fdatasync","took":"1.3s","expected-duration":"1s"' in log['cp-1']


def test_leaders_that_changed():
    with _bed({'etcd': {'leader_changes_24h': 14}}) as (_cluster, node):
        log = node('cp-2').log('etcd', tail=-1).data.decode()
        assert log.count(' lost leader ') == 14
        terms = [int(term) for term in re.findall(r'elected leader \w+ at term (\d+)', log)]
        assert terms[-1] == 7 == max(terms)
        assert re.findall(r'elected leader (\w+) at', log)[-1] == '1' * 16


def test_what_only_a_person_sees_is_served_nowhere():
    state = {'note': 'seen-by-nobody', 'nodes': {'w-1': {'console_only': 'seen-by-nobody', 'note': 'seen-by-nobody'}}}
    with _bed(state) as (_cluster, node):
        for log_id in node('w-1').unary(f'{SERVICE}LogsContainers')['ids']:
            assert b'seen-by-nobody' not in node('w-1').log(log_id, tail=-1).data
        assert b'seen-by-nobody' not in node('w-1').stream(f'{SERVICE}Dmesg', {'tail': True}).data


# -- containers ---------------------------------------------------------------------------------------------------

def test_containers_are_those_of_the_pods():
    pods = {'kube-flannel-bad (w-1)': {'phase': 'Pending', 'waiting': 'ImagePullBackOff'}, 'coredns-bad (w-1)': {'phase': 'Running', 'restarts': 3}}
    with _bed({'k8s': {'pods': pods}}) as (_cluster, node):
        found = node('cp-1').unary(f'{SERVICE}Containers', PODS)['containers']
        assert {'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'} <= {one['name'] for one in found}
        assert all(re.match(r'^kube-system/[\w-]+(:[\w-]+:[0-9a-f]{12})?$', one['id']) for one in found)
        found = node('w-1').unary(f'{SERVICE}Containers', PODS)['containers']
        states = {(one['pod_id'], one['status']) for one in found}
        assert ('kube-system/kube-flannel-bad', 'SANDBOX_READY') in states and ('kube-system/kube-flannel-bad', 'CONTAINER_RUNNING') not in states
        assert {('kube-system/coredns-bad', 'CONTAINER_EXITED'), ('kube-system/coredns-bad', 'CONTAINER_RUNNING')} <= states
        assert {one['pid'] == 0 for one in found if one['status'] == 'CONTAINER_EXITED'} == {True}
        assert [one['id'] for one in node('cp-1').unary(f'{SERVICE}Containers', {'namespace': 'system'})['containers']] == ['apid', 'trustd']
        assert [one['id'] for one in node('w-1').unary(f'{SERVICE}Containers', {'namespace': 'system'})['containers']] == ['apid']
        with pytest.raises(CallError, match="namespace can't be empty"):
            node('w-1').unary(f'{SERVICE}Containers', {})


def test_lines_of_pods_stand_in_their_logs():
    lines = [{'node': 'cp-2', 'src': 'kube-apiserver', 'at': '-30s', 'line': 'Error: unknown flag: --bogus'},
             {'node': 'w-1', 'src': 'pod log', 'at': '-10s', 'line': 'plugin/loop: Loop detected'}]
    pods = {'coredns-bad (w-1)': {'phase': 'Running', 'waiting': 'CrashLoopBackOff', 'restarts': 3}}
    with _bed({'lines': lines, 'k8s': {'pods': pods}}) as (_cluster, node):
        def logs(name):
            ids = [one['id'] for one in node(name).unary(f'{SERVICE}Containers', PODS)['containers'] if not one['status'].startswith('SANDBOX')]
            return {one: node(name).log(one, namespace='k8s.io').data.decode() for one in ids}

        with_line = [one for one, text in logs('cp-2').items() if '--bogus' in text]
        assert [one.split(':')[1] for one in with_line] == ['kube-apiserver']
        assert re.search(r'(?m)^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{9}Z stderr F Error: unknown flag: --bogus$', logs('cp-2')[with_line[0]])
        assert not any('--bogus' in text for text in logs('cp-1').values())
        assert {one.split(':')[0] for one, text in logs('w-1').items() if 'Loop detected' in text} == {'kube-system/coredns-bad'}
        with pytest.raises(CallError, match='container "kube-system/none:x:0" not found'):
            node('w-1').log('kube-system/none:x:0', namespace='k8s.io')
        assert 'k8s.io' not in node('w-1').unary(f'{SERVICE}LogsContainers')['ids']


def test_images():
    with _bed({}) as (_cluster, node):
        found = node('cp-1').messages(f'{SERVICE}ImageList', {'namespace': 'NS_SYSTEM'})
        assert [one['name'].split('@')[0].split(':')[0] for one in found] == ['ghcr.io/siderolabs/kubelet'] * 2 + ['registry.k8s.io/etcd'] * 2 + ['sha256'] * 2
        assert not any('etcd' in one['name'] for one in node('w-1').messages(f'{SERVICE}ImageList', {'namespace': 'NS_SYSTEM'}))
        found = node('w-1').messages('/machine.ImageService/List', {'containerd': {'driver': 'CRI', 'namespace': 'NS_CRI'}})
        assert any(one['name'].startswith('registry.k8s.io/kube-proxy:') and one['labels'] == {'io.cri-containerd.image': 'managed'} for one in found)
        assert node('w-1').messages('/machine.ImageService/List', {'containerd': {'namespace': 'NS_SYSTEM'}}) == []
        with pytest.raises(CallError, match='invalid namespace NS_UNKNOWN'):
            node('w-1').messages(f'{SERVICE}ImageList', {})


# -- machines of another cluster ----------------------------------------------------------------------------------

@pytest.mark.parametrize('reachable', [True, False])
def test_machines_of_another_cluster_answer_with_the_same_secrets(reachable):
    state = {'foreign': {'old-1': '10.5.0.91', 'reachable_from_production': reachable}, 'etcd': {'members': {'cp-1': '1' * 16}}}
    with Cluster.from_state(state) as cluster, Client(talosconfig.load(content=cluster.talosconfig)) as client:
        there = endpoint.parse(cluster.address('old-1'))
        machine = client.direct(there)
        assert machine.unary(f'{SERVICE}Hostname')['hostname'] == 'old-1'
        members = machine.unary(f'{SERVICE}EtcdMemberList', {'query_local': True})['members']
        assert [member['hostname'] for member in members] == ['old-1']
        assert [one['id'] for one in machine.resources('Members.cluster.talos.dev', 'cluster')] == ['old-1']
        through = client.node(cluster.address('old-1'), via=endpoint.parse(cluster.address('cp-1')))
        if reachable:
            assert through.unary(f'{SERVICE}Hostname')['hostname'] == 'old-1'
        else:
            with pytest.raises(NodeUnreachable, match='no route to host'):
                through.unary(f'{SERVICE}Hostname')
        own = client.node(cluster.address('cp-1')).unary(f'{SERVICE}EtcdMemberList', {'query_local': True})['members']
        assert [member['hostname'] for member in own] == ['cp-1']
        assert [member['hostname'] for member in own] != [member['hostname'] for member in members]


def test_the_types_are_defined_as_recorded():
    bench = Bench()
    call = next(call for call in load('wire').calls if call.case == 'cosi-list-ResourceDefinitions')
    messages, code, _text = bench('10.5.0.2', call.method, call.requests[0])

    def shown(message):
        one = MESSAGES.decode('cosi.ListResponse', message)['resource']
        return one['metadata']['id'], one['metadata']['owner'], one['spec']

    assert code == 0
    assert [shown(message) for message in messages] == [shown(message) for message in call.responses]
