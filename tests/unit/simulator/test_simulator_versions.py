# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talos 1.9 to 1.14: what the feature matrix (talos-api 8) says of a version is so, for everything that is served."""

from __future__ import annotations

import pytest

from tests.simulator import rbac, resource_types
from tests.simulator.schema import MESSAGES
from tests.unit.simulator.keys import World

MINORS = (9, 10, 11, 12, 13, 14)
DENIED, UNIMPLEMENTED, INVALID = 7, 12, 3


@pytest.fixture(scope='module', params=MINORS)
def minor(request):
    return request.param


@pytest.fixture(scope='module')
def world(minor):
    made = World({'versions': {'talos': f'v1.{minor}.2'}})
    yield made
    made.close()


@pytest.fixture(scope='module')
def reader(minor):
    from tests.unit.simulator.bench import Bench
    return Bench({'versions': {'talos': f'v1.{minor}.2'}}, platform='metal', roles=['os:reader'])


def _list(resource_type, namespace):
    return '/cosi.resource.State/List', MESSAGES.encode('cosi.List', {'namespace': namespace, 'type': resource_type})


def test_etcd_tells_its_storage_version_since_1_11(world, minor):
    status = world.rpc('cp-1', 'EtcdStatus')['member_status']
    assert ('storage_version' in status) == (minor >= 11)
    assert status['protocol_version'].startswith({9: '3.5.', 10: '3.5.', 14: '3.7.'}.get(minor, '3.6.'))


def test_a_saved_machine_config_shows_as_persistent_since_1_10(minor):
    world = World({'versions': {'talos': f'v1.{minor}.2'}})
    assert set(world.specs('cp-1', 'MachineConfigs.config.talos.dev', 'config')) == {'v1alpha1'}
    config = world.model.nodes['cp-1'].config
    config.save(config.active)
    world.model.encoded.clear()
    assert ('persistent' in world.specs('cp-1', 'MachineConfigs.config.talos.dev', 'config')) == (minor >= 10)


def test_the_machine_config_is_a_string_since_1_12(world, minor):
    assert isinstance(world.specs('cp-1', 'MachineConfigs.config.talos.dev', 'config')['v1alpha1'], str) == (minor >= 12)


@pytest.mark.parametrize(('resource_type', 'namespace'), [
    ('KubeletSpecs.kubernetes.talos.dev', 'k8s'), ('APIServerConfigs.kubernetes.talos.dev', 'controlplane')])
def test_specs_of_kubernetes_are_sensitive_since_1_12(reader, minor, resource_type, namespace):
    _messages, code, text = reader('10.5.0.11', *_list(resource_type, namespace))
    assert (code == DENIED and text == 'not authorized') == (minor >= 12)


def test_node_statuses_tell_their_pod_networks_since_1_12(world, minor):
    assert ('podCIDRs' in world.specs('cp-1', 'NodeStatuses.kubernetes.talos.dev', 'k8s')['cp-1']) == (minor >= 12)


@pytest.mark.parametrize('service', ['machine.ImageService', 'machine.LifecycleService', 'machine.DebugService'])
def test_services_that_came_with_1_13(world, minor, service):
    _messages, code, text = world.call('cp-1', f'/{service}/None')
    assert (code == UNIMPLEMENTED and text == f'unknown service {service}') == (minor < 13)
    assert rbac.service_known(service, minor) == (minor >= 13)


def test_certificates_name_the_loopback_since_1_13(world, minor):
    sans = world.sans('cp-2')
    assert ('127.0.0.1' in sans) == (minor >= 13)
    assert ('127.0.0.1' in world.specs('cp-2', 'CertSANs.secrets.talos.dev', 'secrets')['api']['ips']) == (minor >= 13)


def test_many_machines_in_one_call_is_an_allow_list_since_1_13(world, minor):
    targets = [('nodes', world.address('cp-1')), ('nodes', world.address('w-1'))]
    assert world.bench('10.5.0.11', '/machine.MachineService/Version', b'', targets)[1] == 0
    code = world.bench('10.5.0.11', '/cosi.resource.State/List', _list('Members.cluster.talos.dev', 'cluster')[1], targets)[1]
    assert code == INVALID


def test_etcd_listens_for_plain_http_since_1_14(world, minor):
    request = ('NetstatRequest', {'filter': 'LISTENING', 'l4proto': {'tcp': True, 'tcp6': True}, 'netns': {'hostnetwork': True}})
    ports = {one['localport'] for one in world.rpc('cp-1', 'Netstat', request)['connectrecord']}
    assert (2383 in ports) == (minor >= 14)


def test_teardown_came_with_1_14(world, minor):
    code = world.call('cp-1', '/cosi.resource.State/Teardown')[1]
    assert code == (DENIED if minor >= 14 else UNIMPLEMENTED)


def test_resources_by_version(world, minor):
    for resource_type, namespace, since in (('Versions.runtime.talos.dev', 'runtime', 10), ('KernelCmdlines.runtime.talos.dev', 'runtime', 11)):
        found = world.call('cp-1', *_list(resource_type, namespace))[2]
        assert (found == f'resource type "{resource_type}" is not supported') == (minor < since)


def _reads():
    from ansible_collections.talosops.talos.plugins.module_utils.snapshot import reads
    return [read for read in reads.READS if isinstance(read, reads.Resources)], [read for read in reads.READS if isinstance(read, reads.Call)]


def test_every_read_of_the_gather_is_answered_by_every_version(world, minor):
    """Also on metal, which is what scenarios run on."""
    listed, called = _reads()
    for name in ('cp-1', 'w-1'):
        for read in listed:
            _messages, code, text = world.call(name, *_list(read.type, read.namespace))
            known = resource_types.exists(read.type, minor)
            assert (code, text) == ((0, '') if known else (DENIED, f'resource type "{read.type}" is not supported')), read.kind
        for read in called:
            if read.on == 'all':
                _messages, code, text = world.call(name, read.method, _call(read))
                assert (code, text) == (0, ''), read.kind


def _call(read):
    from ansible_collections.talosops.talos.plugins.module_utils.api import wire
    return wire.encode(wire.METHODS[read.method].request, read.request)


def test_a_healthy_machine_of_metal(world, minor):
    """What Talos asks for and more; volumes as recorded on metal."""
    volumes = world.specs('w-1', 'VolumeStatuses.block.talos.dev', 'runtime')
    assert {spec['phase'] for spec in volumes.values()} == {'ready'}
    assert {name for name, spec in volumes.items() if spec.get('location')} == {'EPHEMERAL', 'META', 'STATE'}
    assert len(volumes) == (3 if minor < 11 else 22)
    disks, system = (world.specs('w-1', name, 'runtime') for name in ('Disks.block.talos.dev', 'SystemDisks.block.talos.dev'))
    assert disks[system['system-disk']['diskID']]['size'] > 100 * 1024 ** 3
    assert world.specs('w-1', 'AdjtimeStatuses.v1alpha1.talos.dev', 'runtime')['node']['syncStatus'] is True
    assert len(world.rpc('w-1', 'CPUInfo', response='CPUsInfoResponse')['cpu_info']) == 4
    assert world.rpc('w-1', 'Memory')['meminfo']['memtotal'] > 7_000_000
    assert world.specs('w-1', 'PlatformMetadatas.talos.dev', 'runtime')['platformmetadata']['platform'] == 'metal'


def test_resolvers_and_components_are_told_otherwise_since_1_14(world, minor):
    resolvers = world.specs('cp-1', 'ResolverStatuses.net.talos.dev', 'network')['resolvers']
    assert (resolvers['dnsServers'] == []) == ('nameServers' in resolvers) == (minor >= 14)
    assert ('#000 Do53 1.1.1.1' in world.specs('cp-1', 'DNSUpstreams.net.talos.dev', 'network')) == (minor >= 14)
    configs = {'APIServerConfigs': 'kube-apiserver', 'ControllerManagerConfigs': 'kube-controller-manager', 'SchedulerConfigs': 'kube-scheduler'}
    for name, component in configs.items():
        found = world.specs('cp-1', f'{name}.kubernetes.talos.dev', 'controlplane')
        assert set(found) == {component, *([f'final-{component}'] if minor >= 14 else [])}
    assert ('cniName' in world.specs('cp-1', 'BootstrapManifestsConfigs.kubernetes.talos.dev', 'controlplane')['manifests']) == (minor >= 13)
