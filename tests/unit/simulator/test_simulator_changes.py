# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""State that RPCs change, seen by the collection's own client over TLS, and what then happens in time."""

from __future__ import annotations

import contextlib
import hashlib
import io
import sys
import tarfile
import zlib

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint, talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import (
    CallError,
    NodeUnreachable,
    NotFound,
    RoleRefused,
    TransportError,
    Unsupported,
)
from tests.simulator import Cluster
from tests.simulator.schema import MESSAGES
from tests.unit.simulator.caller import Caller

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='other systems have no loopback aliases')

SERVICE = '/machine.MachineService/'
FULL = {'db_mb': 2061, 'in_use_mb': 236, 'alarms': [{'member': name, 'alarm': 'NOSPACE'} for name in ('cp-1', 'cp-2', 'cp-3')]}
OLD, NEW = {'talos': 'v1.13.9', 'kubernetes': 'v1.36.3'}, {'talos': 'v1.14.3', 'kubernetes': 'v1.36.4'}


class Bed:
    """A cluster of a state with a client of it."""

    def __init__(self, state=None, **options):
        self._exit = contextlib.ExitStack()
        self.cluster = self._exit.enter_context(Cluster.from_state(state or {}, **options))
        self.client = self._exit.enter_context(Client(talosconfig.load(content=self.cluster.talosconfig)))

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self._exit.close()

    def node(self, name, via=None):
        return self.client.node(self.cluster.address(name), via and endpoint.parse(self.cluster.address(via)))

    def call(self, name, method, request=None, via=None):
        return self.node(name, via).unary(SERVICE + method, request)

    def raw(self, name, method, request=None):
        """A method that the client does not declare: (code, text)."""
        with Caller(self.cluster.talosconfig, self.cluster.address(name)) as call:
            return call(SERVICE + method, MESSAGES.encode(*request) if request else b'', until=8)[1:]

    def members(self, name):
        found = self.call(name, 'EtcdMemberList', {'query_local': True})['members']
        return {member['hostname']: ('learner' if member['is_learner'] else 'voter', member['id']) for member in found}

    def status(self, name, via=None):
        return self.call(name, 'EtcdStatus', via=via)['member_status']

    def service(self, name, service, via=None):
        return next(one for one in self.call(name, 'ServiceList', via=via)['services'] if one['id'] == service)

    def specs(self, name, kind, namespace):
        return {one['id']: one['spec'] for one in self.node(name).resources(kind, namespace)}

    def sans(self, name):
        return self.client.look(endpoint.parse(self.cluster.address(name)))

    def config(self, name, resource_id='v1alpha1'):
        return list(yaml.safe_load_all(self.node(name).machine_config(resource_id)))

    def apply(self, name, change, mode='NO_REBOOT', **more):
        """Send the configuration after C(change(v1alpha1 document))."""
        documents = self.config(name)
        change(documents[0])
        return self.call(name, 'ApplyConfiguration', {'data': yaml.safe_dump_all(documents).encode(), 'mode': mode, **more})


def _put(path, value):
    def change(document):
        *parents, last = path.split('.')
        for part in parents:
            document = document.setdefault(part, {})
        document[last] = value
    return change


SANS = _put('machine.certSANs', ['lb.example.org', '192.0.2.7'])


# -- configuration ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('versions', [OLD, NEW])
def test_a_new_name_is_in_the_certificate_of_the_next_handshake(versions):
    with Bed({'versions': versions}) as bed:
        before = bed.sans('cp-1')
        dry = bed.apply('cp-1', SANS, dry_run=True)['mode_details']
        assert dry.startswith('Dry run summary:\nApplied configuration without a reboot (skipped in dry-run).\nConfig diff:\n\n--- a\n+++ b\n@@ ')
        assert [line for line in dry.splitlines() if line.startswith(('+ ', '- '))] == [
            '-    certSANs: []', '+    certSANs:', '+        - lb.example.org', '+        - 192.0.2.7']
        assert bed.sans('cp-1')['sha256'] == before['sha256']
        assert bed.apply('cp-1', SANS, 'AUTO') == {'warnings': [], 'mode': 'NO_REBOOT', 'mode_details': 'Applied configuration without a reboot'}
        bed.cluster.skip(0)
        after = bed.sans('cp-1')
        assert set(after['dns']) == {'cp-1', 'lb.example.org'}
        assert set(after['ips']) == {*before['ips'], '192.0.2.7'}
        assert bed.specs('cp-1', 'CertSANs.secrets.talos.dev', 'secrets')['api']['dnsNames'] == ['cp-1', 'lb.example.org']
        assert bed.sans('cp-2')['dns'] == ['cp-2']
        assert bed.apply('cp-1', SANS, dry_run=True)['mode_details'].endswith('Config diff:\n\nNo changes.')


def test_the_api_server_has_names_of_its_own():
    with Bed() as bed:
        bed.apply('cp-1', _put('cluster.apiServer.certSANs', ['k8s.example.org']))
        bed.cluster.skip(0)
        sans = bed.specs('cp-1', 'CertSANs.secrets.talos.dev', 'secrets')
        assert 'k8s.example.org' in sans['k8s']['dnsNames'] and 'k8s.example.org' not in sans['api']['dnsNames']
        assert 'k8s.example.org' in bed.client.look(endpoint.parse(f'{bed.cluster.address("cp-1")}:6443'))['dns']


def test_what_is_saved_shows_only_after_it_was_saved():
    with Bed() as bed:
        with pytest.raises(NotFound):
            bed.config('cp-1', 'persistent')
        staged = bed.apply('cp-1', SANS, 'STAGED')
        assert staged['mode_details'] == 'Staged configuration to be applied after the next reboot'
        assert bed.config('cp-1', 'persistent')[0]['machine']['certSANs'] == ['lb.example.org', '192.0.2.7']
        assert bed.config('cp-1')[0]['machine']['certSANs'] == []
        assert bed.sans('cp-1')['dns'] == ['cp-1']
        assert bed.raw('cp-1', 'Reboot')[0] == 0
        bed.cluster.skip(10)
        assert bed.config('cp-1')[0]['machine']['certSANs'] == ['lb.example.org', '192.0.2.7']
        assert 'lb.example.org' in bed.sans('cp-1')['dns']
        with pytest.raises(NotFound):
            bed.config('cp-1', 'persistent')


def test_a_trial_ends():
    with Bed() as bed:
        answer = bed.apply('w-1', SANS, 'TRY', try_mode_timeout=90)
        assert answer['mode_details'].endswith("\nThe config is applied in 'try' mode and will be automatically reverted back in 1m30s")
        assert bed.config('w-1')[0]['machine']['certSANs'] == ['lb.example.org', '192.0.2.7']
        bed.cluster.skip(89)
        assert bed.config('w-1')[0]['machine']['certSANs'] != []
        bed.cluster.skip(2)
        assert bed.config('w-1')[0]['machine']['certSANs'] == []
        with pytest.raises(NotFound):
            bed.config('w-1', 'persistent')


def test_a_trial_that_is_confirmed_stays():
    with Bed() as bed:
        bed.apply('w-1', SANS, 'TRY')
        bed.apply('w-1', lambda document: None)
        bed.cluster.skip(120)
        assert bed.config('w-1')[0]['machine']['certSANs'] == ['lb.example.org', '192.0.2.7']


@pytest.mark.parametrize(('change', 'text'), [
    (_put('machine.kubelet.image', 'ghcr.io/siderolabs/kubelet:v1.36.99'),
     '1 error occurred:\n\t* v1alpha1.Config: 1 error occurred:\n\t* kubelet image is not valid: version of Kubernetes 1.36.99 is too new to be used '
     'with Talos 1.13.9'),
    (_put('machine.certSan', []), 'unknown keys found during decoding:\nmachine:\n    certSan: []'),
    (_put('machine.type', 'queen'), 'unknown machine type "queen"'),
    (_put('machine.ca.key', ''), 'issuing CA key is required for controlplane nodes (.machine.ca.key)'),
    (_put('cluster', None), 'cluster instructions are required'),
    (_put('machine.kubelet.nodeIP', {'validSubnets': ['10.5.0/24']}), 'kubelet nodeIP subnet is not valid: "10.5.0/24"'),
    (_put('machine.network.hostname', 'other'), 'static hostname is already set in v1alpha1 config'),
])
def test_what_is_no_configuration_is_refused(change, text):
    with Bed({'versions': OLD}) as bed:
        with pytest.raises(CallError) as refused:
            bed.apply('cp-1', change)
        assert text in refused.value.args[0]
        assert bed.apply('cp-1', lambda document: None, dry_run=True)['mode_details'].endswith('No changes.')


def test_a_set_of_documents_without_its_first_is_refused():
    with Bed() as bed:
        for data, text in (('apiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\n', 'did you mean to patch the machine config instead?'),
                           ('apiVersion: v1alpha1\nkind: NoConfig\n', '"NoConfig" "v1alpha1": not registered'),
                           ('machine: [', 'decode error: yaml: line 1: ')):
            with pytest.raises(CallError) as refused:
                bed.call('cp-1', 'ApplyConfiguration', {'data': data.encode(), 'mode': 'NO_REBOOT'})
            assert text in refused.value.args[0]


@pytest.mark.parametrize(('versions', 'mode', 'outcome'), [
    (OLD, 'NO_REBOOT', "this config change can't be applied in immediate mode\ndiff:\n--- a\n"),
    (OLD, 'TRY', "this config change can't be applied in immediate mode\ndiff:\n--- a\n"),
    (OLD, 'AUTO', 'REBOOT'),
    (OLD, 'REBOOT', 'REBOOT'),
    (NEW, 'AUTO', 'NO_REBOOT'),
    (NEW, 'REBOOT', 'the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead'),
])
def test_what_needs_a_reboot(versions, mode, outcome):
    """machine.sysctls may change at once, machine.env not (talos-api 7.2)."""
    with Bed({'versions': versions}, pace=60) as bed:
        try:
            found = bed.apply('w-1', _put('machine.env', {'A': 'b'}), mode)['mode']
        except CallError as error:
            assert outcome in error.args[0]
            return
        assert found == outcome
        if found == 'REBOOT':
            with pytest.raises(CallError, match='configuration was already applied and node is rebooting'):
                bed.apply('w-1', lambda document: None)
            boot = bed.call('w-1', 'SystemStat')['boot_time']
            bed.cluster.skip(20)
            assert bed.call('w-1', 'SystemStat')['boot_time'] > boot
            assert bed.config('w-1')[0]['machine']['env'] == {'A': 'b'}


def test_a_quota_is_configured_at_once_and_in_force_after_a_reboot():
    with Bed({'versions': OLD, 'etcd': FULL}) as bed:
        for name in ('cp-1', 'cp-2', 'cp-3'):
            bed.apply(name, _put('cluster.etcd.extraArgs', {'quota-backend-bytes': '4294967296'}))
        for kind in ('EtcdSpecs', 'EtcdConfigs'):
            assert bed.specs('cp-1', f'{kind}.etcd.talos.dev', 'etcd')['etcd']['extraArgs'] == {'quota-backend-bytes': {'values': ['4294967296']}}
        bed.call('cp-1', 'EtcdAlarmDisarm')
        assert len(bed.call('cp-1', 'EtcdAlarmList')['member_alarms']) == 3
        for name in ('cp-2', 'cp-3', 'cp-1'):
            assert bed.raw(name, 'Reboot')[0] == 0
            bed.cluster.skip(20)
        bed.call('cp-2', 'EtcdAlarmDisarm')
        assert bed.call('cp-2', 'EtcdAlarmList')['member_alarms'] == []


def test_the_node_ip_follows_its_subnets():
    state = {'nodes': {'w-1': {'node_ip': '10.9.0.1', 'addresses': {'routed-no-k8s': ['10.5.0.21/24', '192.168.7.5/24']}}}}
    with Bed(state) as bed:
        def shown(kind):
            return bed.specs('w-1', f'{kind}.kubernetes.talos.dev', 'k8s')['kubelet']

        assert bed.cluster.model.original(shown('NodeIPs')['addresses']) == ['10.9.0.1']
        bed.apply('w-1', _put('machine.kubelet.nodeIP', {'validSubnets': ['192.168.0.0/16']}))
        assert shown('NodeIPs')['addresses'] == ['192.168.7.5']
        assert shown('NodeIPConfigs')['validSubnets'] == ['192.168.0.0/16']
        assert '--node-ip=192.168.7.5' in shown('KubeletSpecs')['args']


def test_a_flag_that_kubelet_does_not_know_keeps_it_from_running():
    with Bed() as bed:
        bed.apply('w-1', _put('machine.kubelet.extraArgs', {'bogus-flag': '1'}))
        bed.cluster.skip(2)
        found = bed.service('w-1', 'kubelet')
        assert (found['state'], found['health']['last_message']) == ('Waiting', 'service not running')
        assert 'unknown flag: --bogus-flag' in found['events']['events'][-1]['msg']
        bed.apply('w-1', _put('machine.kubelet.extraArgs', {'rotate-server-certificates': 'true'}))
        bed.cluster.skip(2)
        assert bed.service('w-1', 'kubelet')['state'] == 'Running'
        assert '--rotate-server-certificates=true' in bed.specs('w-1', 'KubeletSpecs.kubernetes.talos.dev', 'k8s')['kubelet']['args']


@pytest.mark.parametrize(('talos', 'as_text'), [('v1.11.6', False), ('v1.12.11', True), ('v1.14.3', True)])
def test_the_configuration_has_the_form_of_its_version(talos, as_text):
    state = {'versions': {'talos': talos, 'kubernetes': 'v1.34.1'}}
    with Bed(state) as bed, Caller(bed.cluster.talosconfig, bed.cluster.address('cp-1')) as call:
        found = call.resources('MachineConfigs.config.talos.dev', 'config')[0]
        documents = list(yaml.safe_load_all(found['spec']['yaml_spec']))
        if as_text:
            assert found['spec']['yaml_spec'].startswith('|\n    version: v1alpha1\n') and found['metadata']['annotations'] == {'talos.dev/yaml-spec': '1'}
            documents = list(yaml.safe_load_all(documents[0]))
        assert documents == bed.config('cp-1')
        assert documents[0]['machine']['type'] == 'controlplane'
        others = {'v1.11': [], 'v1.12': ['HostnameConfig']}.get(talos[:5], [
            'HostnameConfig', 'DiscoveryIdentityConfig', 'DiscoveryServiceConfig', 'KubePrismConfig', 'ResolverConfig'])
        assert [document['kind'] for document in documents[1:]] == others
        assert ('discovery' in documents[0]['cluster']) == ('KubePrismConfig' not in others)


def test_what_a_scenario_says_of_the_configuration():
    told = {'kubelet_extra_args': {'rotate-server-certificates': 'true'}, 'cp-2': {'apiserver_extra_args': {'audit-log-maxage': '9'}}}
    with Bed({'machine_config': told}) as bed:
        assert bed.config('w-2')[0]['machine']['kubelet']['extraArgs'] == {'rotate-server-certificates': 'true'}
        assert bed.config('cp-2')[0]['cluster']['apiServer']['extraArgs'] == {'audit-log-maxage': '9'}
        assert 'extraArgs' not in bed.config('cp-1')[0]['cluster']['apiServer']
        found = bed.specs('cp-2', 'APIServerConfigs.kubernetes.talos.dev', 'controlplane')['kube-apiserver']['extraArgs']
        assert found == {'audit-log-maxage': {'values': ['9']}}


def test_a_watch_tells_of_changes():
    with Bed() as bed:
        events = bed.node('cp-1').watch('CertSANs.secrets.talos.dev', 'secrets', timeout=10)
        first = [next(events) for _time in range(4)]
        assert [event['event'] for event in first] == ['CREATED', 'CREATED', 'CREATED', 'BOOTSTRAPPED']
        bed.apply('cp-1', SANS)
        changed = next(events)
        assert (changed['event'], changed['resource']['id']) == ('UPDATED', 'api')
        assert (changed['old']['spec']['dnsNames'], changed['resource']['spec']['dnsNames']) == (['cp-1'], ['cp-1', 'lb.example.org'])
        events.close()


# -- etcd ---------------------------------------------------------------------------------------------------------

def test_a_removed_member_is_gone_for_all():
    with Bed() as bed:
        bed.call('cp-1', 'EtcdRemoveMemberByID', {'member_id': '3' * 16})
        assert set(bed.members('cp-1')) == set(bed.members('cp-2')) == {'cp-1', 'cp-2'}
        bed.cluster.skip(12)
        found = bed.service('cp-3', 'etcd')
        assert (found['state'], found['health']['healthy'], found['health']['last_message']) == ('Waiting', False, 'service not running')
        texts = [event['msg'] for event in found['events']['events']]
        assert texts[-1] == texts[-3] == 'Runner Containerd(etcd) exited without error, going to restart it'
        assert b'the member has been permanently removed from the cluster' in bed.node('cp-3').log('etcd').data
        assert bed.specs('cp-3', 'EtcdMembers.etcd.talos.dev', 'etcd') == {}


def test_what_etcd_refuses():
    with Bed({'etcd': {'reachable': ['cp-1', 'cp-2']}}) as bed:
        with pytest.raises(NotFound, match='failed to remove member 12345: etcdserver: member not found'):
            bed.call('cp-1', 'EtcdRemoveMemberByID', {'member_id': f'{12345:016x}'})
        with pytest.raises(CallError, match='etcdserver: unhealthy cluster'):
            bed.call('cp-1', 'EtcdRemoveMemberByID', {'member_id': '2' * 16})
        bed.call('cp-1', 'EtcdRemoveMemberByID', {'member_id': '3' * 16})
        assert set(bed.members('cp-2')) == {'cp-1', 'cp-2'}
    with Bed({'etcd': {'members': {'cp-1': '1' * 16}}}) as bed, \
            pytest.raises(CallError, match='re-configuration failed due to not enough started members'):
        bed.call('cp-1', 'EtcdRemoveMemberByID', {'member_id': '1' * 16})


def test_alarms_go_only_with_their_cause():
    with Bed({'etcd': FULL}) as bed:
        assert len(bed.call('cp-1', 'EtcdAlarmDisarm')['member_alarms']) == 3
        assert len(bed.call('cp-1', 'EtcdAlarmList')['member_alarms']) == 3
        for name in ('cp-1', 'cp-2'):
            bed.call(name, 'EtcdDefragment')
        assert bed.status('cp-1')['db_size'] == bed.status('cp-1')['db_size_in_use'] == 236 * 1024 * 1024
        assert bed.status('cp-3')['db_size'] == 2061 * 1024 * 1024
        assert len(bed.call('cp-1', 'EtcdAlarmList')['member_alarms']) == 3
        bed.call('cp-1', 'EtcdAlarmDisarm')
        assert bed.call('cp-2', 'EtcdAlarmList')['member_alarms'] == [{'member_id': '3' * 16, 'alarm': 'NOSPACE'}]
        bed.call('cp-3', 'EtcdDefragment')
        bed.call('cp-1', 'EtcdAlarmDisarm')
        assert bed.call('cp-2', 'EtcdAlarmList')['member_alarms'] == [] and bed.status('cp-2')['errors'] == []


def test_corruption_is_not_disarmed():
    with Bed({'etcd': {'alarms': [{'member': 'cp-2', 'alarm': 'CORRUPT'}]}}) as bed:
        bed.call('cp-1', 'EtcdAlarmDisarm')
        assert bed.call('cp-1', 'EtcdAlarmList')['member_alarms'] == [{'member_id': '2' * 16, 'alarm': 'CORRUPT'}]
        bed.call('cp-1', 'EtcdRemoveMemberByID', {'member_id': '2' * 16})
        assert bed.call('cp-1', 'EtcdAlarmList')['member_alarms'] == []


def test_a_snapshot_is_a_database_with_its_hash():
    with Bed() as bed:
        found = bed.node('cp-2').stream(SERVICE + 'EtcdSnapshot')
        assert found.complete and len(found.data) % 512 == 32
        assert found.data[16:20] == (0xED0CDAED).to_bytes(4, 'little')
        assert hashlib.sha256(found.data[:-32]).digest() == found.data[-32:]
        assert all(number * 16 in found.data.decode('latin-1') for number in '123'), 'its members stand in it'


def test_leadership_passes_on():
    with Bed() as bed:
        assert bed.raw('cp-2', 'EtcdForfeitLeadership') == (0, '')
        assert (bed.status('cp-2')['leader'], bed.status('cp-2')['raft_term']) == ('1' * 16, 7)
        assert bed.raw('cp-1', 'EtcdForfeitLeadership') == (0, '')
        assert (bed.status('cp-3')['leader'], bed.status('cp-3')['raft_term']) == ('2' * 16, 8)
        log = bed.node('cp-3').log('etcd').data.decode()
        assert f'raft.node: {"3" * 16} elected leader {"2" * 16} at term 8' in log
    with Bed({'etcd': {'members': {'cp-1': '1' * 16}}}) as bed:
        assert bed.raw('cp-1', 'EtcdForfeitLeadership')[1] == 'failed to forfeit leadership: cannot forfeit leadership, only one member'


def test_a_member_leaves():
    with Bed() as bed:
        assert bed.raw('cp-3', 'EtcdLeaveCluster') == (0, '')
        assert set(bed.members('cp-1')) == {'cp-1', 'cp-2'}
        assert bed.service('cp-3', 'etcd')['state'] == 'Finished'
        found = bed.node('cp-3').messages(SERVICE + 'List', {'root': '/var/lib/etcd'})
        assert [one['relative_name'] for one in found] == ['.']


def test_when_the_leader_is_killed_another_is_elected_and_takes_the_vip():
    with Bed() as bed:
        bed.cluster.kill('cp-1')
        assert bed.status('cp-2', via='cp-2')['leader'] == '0' * 16
        bed.cluster.skip(5)
        assert (bed.status('cp-2', via='cp-2')['leader'], bed.status('cp-3', via='cp-2')['raft_term']) == ('2' * 16, 8)
        vip = bed.cluster.model.vip
        assert vip in bed.sans('cp-2')['ips']
        assert bed.client.look(endpoint.parse(vip))['dns'] == ['cp-2']
        bed.cluster.kill('cp-2')
        bed.cluster.skip(5)
        assert bed.status('cp-3', via='cp-3')['leader'] == '0' * 16
        with pytest.raises(TransportError):
            bed.client.look(endpoint.parse(vip))
        bed.cluster.start('cp-1')
        bed.cluster.skip(10)
        assert bed.status('cp-3', via='cp-3')['leader'] in ('1' * 16, '3' * 16)
        assert bed.status('cp-3', via='cp-3')['raft_term'] == 9


# -- bootstrap ----------------------------------------------------------------------------------------------------

UNBORN = {'services_cp': {'etcd': ['Preparing', '?'], 'kubelet': ['Running', 'OK']}, 'etcd': {'members': {}, 'leader': 'none'}, 'k8s': {'api': 'never up'},
          'uptime': '4m'}


def test_a_cluster_is_bootstrapped_and_the_others_join():
    with Bed(UNBORN) as bed:
        assert bed.raw('cp-1', 'Bootstrap', ('BootstrapRequest', {})) == (0, '')
        assert 'Bootstrap requested' in [event['msg'] for event in bed.service('cp-1', 'etcd')['events']['events']]
        assert bed.raw('cp-1', 'Bootstrap', ('BootstrapRequest', {})) == (6, 'etcd data directory is not empty')
        bed.cluster.skip(1.5)
        assert bed.members('cp-1')['cp-1'][0] == 'voter'  # on a busy machine the next one has come in the meantime
        seen = set()
        for _second in range(22):
            bed.cluster.skip(1)
            seen.add(tuple(sorted(kind for kind, _member in bed.members('cp-1').values())))
        assert ('learner', 'voter') in seen
        assert {name: kind for name, (kind, _member) in bed.members('cp-3').items()} == dict.fromkeys(('cp-1', 'cp-2', 'cp-3'), 'voter')
        assert len({member for _kind, member in bed.members('cp-3').values()}) == 3
        assert bed.service('cp-3', 'etcd')['state'] == 'Running'


@pytest.mark.parametrize(('more', 'name', 'answer'), [
    ({'services_cp': {**UNBORN['services_cp'], 'cri': ['Waiting', '?']}}, 'cp-1', (9, 'bootstrap is not available yet')),
    ({'time': {'synced': False}}, 'cp-1', (9, 'time is not in sync yet')),
    ({}, 'w-1', (12, 'bootstrap is only available on control plane nodes')),
    ({'etcd': {**UNBORN['etcd'], 'local_db_present': ['cp-1']}}, 'cp-1', (6, 'etcd data directory is not empty')),
])
def test_when_there_is_no_bootstrap(more, name, answer):
    with Bed({**UNBORN, **more}) as bed:
        assert bed.raw(name, 'Bootstrap', ('BootstrapRequest', {})) == answer
        assert bed.service('cp-1', 'etcd')['state'] == 'Preparing'


def test_a_young_learner_is_promoted_and_an_old_one_is_stuck():
    state = {'nodes': {'cp-2': {'uptime': '4m', 'services': {'etcd': ['Running', 'Fail']}}}, 'etcd': {'learners': ['cp-2']}}
    with Bed(state) as bed:
        assert bed.members('cp-1')['cp-2'][0] == 'learner'
        bed.cluster.skip(400)
        assert bed.members('cp-1')['cp-2'][0] == 'voter'
        assert bed.service('cp-2', 'etcd')['health']['healthy']
    state['nodes']['cp-2']['uptime'] = '2h'
    with Bed(state) as bed:
        bed.cluster.skip(400)
        assert bed.members('cp-1')['cp-2'][0] == 'learner'


# -- machines and services ----------------------------------------------------------------------------------------

def test_a_machine_goes_away_and_comes_back_with_a_new_boot():
    with Bed() as bed:
        before = bed.node('w-1').resource('MachineStatuses.runtime.talos.dev', 'runtime', 'machine')
        assert bed.raw('w-1', 'Reboot')[0] == 0
        assert bed.specs('w-1', 'MachineStatuses.runtime.talos.dev', 'runtime')['machine']['stage'] == 'rebooting'
        bed.cluster.skip(1)
        with pytest.raises(NodeUnreachable):
            bed.call('w-1', 'Version', via='cp-1')
        bed.cluster.skip(2)
        assert bed.specs('w-1', 'MachineStatuses.runtime.talos.dev', 'runtime')['machine']['stage'] == 'booting'
        assert bed.service('w-1', 'kubelet')['state'] == 'Preparing'
        bed.cluster.skip(5)
        after = bed.node('w-1').resource('MachineStatuses.runtime.talos.dev', 'runtime', 'machine')
        assert after['spec']['stage'] == 'running' and after['created'] > before['created']
        assert bed.service('w-1', 'kubelet')['state'] == 'Running'


def test_a_machine_that_is_shut_down_stays_away():
    with Bed() as bed:
        assert bed.raw('w-2', 'Shutdown')[0] == 0
        bed.cluster.skip(60)
        with pytest.raises(NodeUnreachable):
            bed.call('w-2', 'Version', via='cp-1')


def test_a_member_whose_data_are_wiped_joins_again_under_another_id():
    with Bed() as bed:
        wiped = ('ResetRequest', {'graceful': True, 'reboot': True, 'system_partitions_to_wipe': [{'label': 'EPHEMERAL', 'wipe': True}]})
        assert bed.raw('cp-3', 'Reset', wiped)[0] == 0
        assert set(bed.members('cp-1')) == {'cp-1', 'cp-2'}
        bed.cluster.skip(4.6)
        bed.cluster.skip(30)
        kind, member = bed.members('cp-1')['cp-3']
        assert kind == 'voter' and member != '3' * 16
        assert bed.service('cp-3', 'etcd')['state'] == 'Running'


def test_a_flag_that_etcd_does_not_know_shows_after_the_next_boot():
    with Bed() as bed:
        bed.apply('cp-3', _put('cluster.etcd.extraArgs', {'bogus-flag': '1'}))
        bed.cluster.skip(60)
        assert bed.service('cp-3', 'etcd')['state'] == 'Running'
        assert bed.raw('cp-3', 'Reboot')[0] == 0
        bed.cluster.skip(20)
        assert (bed.service('cp-3', 'etcd')['state'], bed.service('cp-3', 'etcd')['health']['healthy']) == ('Waiting', False)
        assert b'\nflag provided but not defined: -bogus-flag\nUsage:\n' in bed.node('cp-3').log('etcd').data
        assert bed.raw('cp-3', 'EtcdStatus')[0] is None
        bed.apply('cp-3', _put('cluster.etcd.extraArgs', {}))
        assert bed.raw('cp-3', 'Reboot')[0] == 0
        bed.cluster.skip(20)
        assert bed.service('cp-3', 'etcd')['state'] == 'Running' and bed.status('cp-3')['leader'] == '1' * 16


def test_a_member_that_lost_its_data_is_replaced_where_etcd_allows_it():
    with Bed() as bed:
        wiped = ('ResetRequest', {'reboot': True, 'system_partitions_to_wipe': [{'label': 'EPHEMERAL', 'wipe': True}]})
        assert bed.raw('cp-3', 'Reset', wiped)[0] == 0
        bed.cluster.skip(1)
        assert bed.members('cp-1')['cp-3'] == ('voter', '3' * 16)
        bed.cluster.skip(40)
        kind, member = bed.members('cp-1')['cp-3']
        assert kind == 'voter' and member != '3' * 16


def test_only_kubelet_is_restarted():
    with Bed({'nodes': {'w-1': {'services': {'kubelet': ['Failed', '?']}}}}) as bed:
        assert bed.call('w-1', 'ServiceStart', {'id': 'kubelet'}) == {'resp': 'Service "kubelet" started'}
        bed.cluster.skip(1)
        assert bed.service('w-1', 'kubelet')['health']['healthy']
        assert bed.call('w-2', 'ServiceRestart', {'id': 'kubelet'}) == {'resp': 'Service "kubelet" restarted'}
        assert [event['msg'] for event in bed.service('w-2', 'kubelet')['events']['events']][6:8] == [
            'Sending SIGTERM to task kubelet (PID 354, container kubelet)', 'Service finished successfully']
        for method, service, text in (('ServiceRestart', 'etcd', 'service "etcd" doesn\'t support restart operation via API'),
                                      ('ServiceStop', 'kubelet', 'service "kubelet" doesn\'t support stop operation via API'),
                                      ('ServiceRestart', 'queen', 'service "queen" not defined')):
            with pytest.raises(CallError, match=text):
                bed.call('cp-1', method, {'id': service})


def test_a_client_certificate_is_made():
    with Bed() as bed:
        made = bed.call('cp-1', 'GenerateClientConfiguration', {'roles': ['os:reader'], 'crt_ttl': 3600})
        context = talosconfig.load(content=made['talosconfig'].decode())
        assert (context.name, list(context.endpoints)) == (f'reader@{bed.cluster.model.name}', [])
        with Client(context, endpoints=[bed.cluster.address('cp-1')]) as reader:
            node = reader.node(bed.cluster.address('cp-2'))
            assert node.unary(SERVICE + 'Hostname')['hostname'] == 'cp-2'
            for method, request in (('ApplyConfiguration', {'mode': 'AUTO'}), ('EtcdRemoveMemberByID', {'member_id': '1' * 16}), ('EtcdAlarmDisarm', None),
                                    ('EtcdDefragment', None), ('ServiceRestart', {'id': 'kubelet'})):
                with pytest.raises(RoleRefused):
                    node.unary(SERVICE + method, request)
        with pytest.raises(CallError, match='crt_ttl should be positive'):
            bed.call('cp-1', 'GenerateClientConfiguration', {'roles': ['os:reader']})


def test_workers_have_no_etcd():
    with Bed() as bed:
        for method, request in (('EtcdAlarmDisarm', None), ('EtcdDefragment', None), ('EtcdRemoveMemberByID', {'member_id': '1' * 16}),
                                ('GenerateClientConfiguration', {'roles': ['os:reader']})):
            with pytest.raises(Unsupported, match='is only available on control plane nodes'):
                bed.call('w-1', method, request)


def test_the_kubeconfig_is_an_archive_of_one_file():
    with Bed() as bed:
        found = bed.node('cp-3').stream(SERVICE + 'Kubeconfig')
        archive = tarfile.open(fileobj=io.BytesIO(zlib.decompressobj(31).decompress(found.data)), mode='r:')
        assert yaml.safe_load(archive.extractfile(archive.next()).read())['kind'] == 'Config'
        assert yaml.safe_load(bed.node('cp-3').kubeconfig())['current-context'].startswith('admin@')
