# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What fires together in real states, and what is its root (check catalogue 19): one test for each row, and the chains that users meet.

Each state is a recording, or one that was changed to what the recording of that state shows. "Silent" is what stays green and proves nothing.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import diagnose
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time
from tests.unit.guide import machines, states
from tests.unit.guide.control_plane_states import crash, remove
from tests.unit.guide.judging import ago, machined, node, planes, preparing, set_service
from tests.unit.guide.kubelet_changes import set_ready
from tests.unit.guide.kubernetes_api_states import nobody_serves, probe, unready, endpoint as endpoint_is

PROBLEM = v.rank(v.WARNING)


class Told:
    """A report, asked for what follows from what."""

    def __init__(self, snapshot):
        self.report = diagnose(snapshot)
        assert not [f['title'] for f in self.report['findings'] if 'the check itself failed' in f['title']]
        self.problems = {f['id']: f for f in self.report['findings'] if v.rank(f['verdict']) >= PROBLEM}

    def of(self, check, name=None):
        """The problems of a check (on a machine)."""
        found = [f for f in self.problems.values() if f['check'] == check and (name is None or name in f['nodes'])]
        assert found, f'{check}: none of {sorted(self.problems)}'
        return found

    def roots(self):
        """The checks of the problems that nothing explains."""
        return {f['check'] for f in self.problems.values() if f['root']}

    def behind(self, finding):
        """The checks of everything that a finding follows from, however far."""
        seen, waiting = set(), list(finding['because_of'])
        while waiting:
            cause = waiting.pop()
            if cause not in seen:
                seen.add(cause)
                waiting += self.problems[cause]['because_of']
        return {self.problems[cause]['check'] for cause in seen}

    def verdict(self, check):
        return next(one['verdict'] for one in self.report['checks'] if one['check'] == check)

    def section(self, key):
        return self.report['sections'][key]['verdict']

    def follow(self, cause, *checks):
        """Each problem of these checks follows from one of the check that is the cause."""
        for check in checks:
            for finding in self.of(check):
                assert cause in self.behind(finding), f'{finding["id"]} follows from {self.behind(finding) or "nothing"}'


def aged(name='healthy'):
    """A recording whose machines booted, and whose cluster was made, days before."""
    snapshot = machines.recorded(name, later=7200)
    for machine in snapshot.answering():
        for item in machine.value('MachineStatuses') or []:
            item['created'] = ago(snapshot, 3 * 86400)
    return snapshot


def without_leader(snapshot):
    """etcd has no quorum: what its members that answer say then (recorded: quorum-lost-2killed-late)."""
    for machine in planes(snapshot):
        if machine.value('EtcdStatus'):
            machine.value('EtcdStatus').update(leader='0' * 16, errors=['etcdserver: no leader'])
            machine.data['EtcdMemberList'] = Datum('failed', reason='etcdserver: no leader', code='Unknown')
            machine.data['EtcdAlarmList'] = Datum('timed_out', reason='no answer')
            machine.data['EtcdMembers'] = Datum('read', [])


def crash_looping(snapshot, machine):
    events = [(seconds, 'Waiting', 'Error running Containerd(etcd), going to restart forever: task "etcd" failed: exit code 2') for seconds in (18, 12, 6)]
    set_service(snapshot, machine, 'Waiting', events)
    at = format_time(snapshot.now - timedelta(seconds=6))
    machine.logs['etcd'] = Datum('read', f'{{"level":"warn","ts":"{at}","msg":"failed to verify flags",'
                                 '"error":"flag provided but not defined: -bogus-flag"}\n')


def booting(*stuck, reason='etcd not running'):
    for machine in stuck:
        status = machine.value('MachineStatuses')[0]['spec']
        status.update(stage='booting', status={'ready': False, 'unmetConditions': [{'name': 'services', 'reason': reason}]})


def without_static_pods(machine):
    """Talos defines none before etcd is up."""
    machines.put(machine, 'StaticPods', [])
    for component in ('kube-apiserver', 'kube-controller-manager', 'kube-scheduler'):
        remove(machine, component)


def without_vip(snapshot):
    """Nobody holds the virtual IP."""
    for machine in planes(snapshot):
        if machine.answered:
            machine.data['AddressStatuses'].value = [item for item in machine.value('AddressStatuses') if not item['spec']['address'].startswith('10.5.0.100/')]


def kubelet_is(snapshot, machine, state, *said):
    services = [service for service in machine.value('ServiceList')['services'] if service['id'] != 'kubelet']
    events = [{'ts': ago(snapshot, 300 - number), 'state': state, 'msg': text} for number, text in enumerate(said)]
    services.append({'id': 'kubelet', 'state': state, 'events': {'events': events},
                     'health': {'unknown': False, 'healthy': False, 'last_message': 'service not running', 'last_change': ago(snapshot, 300)}})
    machine.data['ServiceList'] = Datum('read', {'services': services})


def alarm(snapshot):
    for machine in planes(snapshot):
        machine.value('EtcdAlarmList')['member_alarms'] = [{'member_id': machine.value('EtcdStatus')['member_id'], 'alarm': 'NOSPACE'}]


def failing(snapshot, machine, controller, error):
    """The controller has failed each minute of the last ten."""
    lines = [f'{ago(snapshot, 60 * minute + 5)} ERROR controller failed {{"component": "controller-runtime", "controller": "{controller}", "error": "{error}"}}'
             for minute in range(9, -1, -1)]
    machine.logs['controller-runtime'] = Datum('read', '\n'.join(lines) + '\n')


DEAD = 'talos_api.machine_unreachable'


# -- the rows of the catalogue --------------------------------------------------------------------------------------

def test_one_control_plane_node_is_down():
    told = Told(aged('one-cp-down'))
    assert told.roots() == {DEAD}
    told.follow(DEAD, 'etcd.members_not_answering', 'talos_api.endpoint_dead', 'kubelet.node_not_ready')
    assert told.section('kubernetes_api.endpoint') == 'info', 'the endpoint is served by the others'
    # silent: the member list still has three, the others are ready
    assert told.verdict('etcd.members_differ') == told.verdict('etcd.member_stale') == 'ok'
    assert told.verdict('health_checks.condition_unmet') in ('ok', 'not_applicable')


def two_killed():
    snapshot = aged('one-cp-down')
    states.dead(snapshot, 'cp2')
    for told in snapshot.endpoints:
        if told.host == '10.5.0.3':
            told.connected, told.error, told.data = False, {'kind': 'refused', 'text': 'connection refused'}, {}
    without_leader(snapshot)
    return snapshot


def test_two_of_three_are_killed():
    """In the first half minute everything looks well: services, readiness, and what the API serves from its memory."""
    told = Told(two_killed())
    assert told.roots() == {'etcd.quorum_lost', DEAD} and told.of('etcd.quorum_lost')[0]['verdict'] == 'critical'
    told.follow(DEAD, 'talos_api.endpoint_dead')
    # silent
    assert told.verdict('etcd.service_not_healthy') == 'ok'
    assert not {'ok', 'info'} & {told.section(key) for key in ('controlplane.pod_status', 'controlplane.manifests', 'controlplane.other')}


def test_and_half_a_minute_later():
    snapshot = two_killed()
    nobody_serves(snapshot)
    without_vip(snapshot)
    etcd = next(one for one in node(snapshot, 'cp1').value('ServiceList')['services'] if one['id'] == 'etcd')
    etcd['health'].update(healthy=False, last_message='context deadline exceeded')
    told = Told(snapshot)
    assert told.roots() == {'etcd.quorum_lost', DEAD}
    told.follow('etcd.quorum_lost', 'etcd.service_not_healthy', 'kubernetes_api.api_down')
    assert not {f['check'] for f in told.problems.values()} & {'kubernetes_api.vip_holder', 'kubernetes_api.endpoint_down'}, 'the VIP follows etcd'


def test_two_etcds_crash():
    snapshot = aged()
    broken = [node(snapshot, name) for name in ('cp2', 'cp3')]
    for machine in broken:
        crash_looping(snapshot, machine)
        without_static_pods(machine)
    booting(*broken)
    without_leader(snapshot)
    nobody_serves(snapshot)
    told = Told(snapshot)
    assert told.roots() == {'etcd.crash_loop'}
    told.follow('etcd.crash_loop', 'etcd.quorum_lost', 'kubernetes_api.api_down')
    # silent
    assert told.section('discovery.missing') == told.verdict('talos_api.apid_not_healthy') == told.section('kubelet.not_running') == 'ok'


def test_a_frozen_control_plane_node():
    """No text tells of it anywhere: what is asked of it gets no answer."""
    snapshot = aged()
    states.dead(snapshot, 'cp3', kind='deadline', text='no answer')
    told = Told(snapshot)
    assert told.roots() == {DEAD}
    told.follow(DEAD, 'etcd.members_not_answering')
    assert told.verdict('etcd.members_differ') == 'ok'


def test_a_member_that_was_removed_from_outside():
    snapshot = aged()
    cp3 = node(snapshot, 'cp3')
    gone = cp3.value('EtcdStatus')['member_id']
    for machine in planes(snapshot):
        listed = machine.value('EtcdMemberList')
        listed['members'] = [member for member in listed['members'] if member['id'] != gone]
    events = [(seconds, 'Waiting', 'Runner Containerd(etcd) exited without error, going to restart it') for seconds in (17, 11, 5)]
    set_service(snapshot, cp3, 'Waiting', events)
    cp3.logs['etcd'] = Datum('read', f'{{"level":"warn","ts":"{ago(snapshot, 6)}","msg":"server error","error":"the member has been permanently removed from '
                             'the cluster"}\n')
    told = Told(snapshot)
    assert told.roots() == {'etcd.crash_loop'} and 'removed from the cluster' in told.of('etcd.crash_loop')[0]['title']
    told.follow('etcd.crash_loop', 'etcd.even_member_count')
    assert told.verdict('etcd.members_differ') == 'ok'


def test_nospace():
    snapshot = aged('nospace-alarm')
    for machine in planes(snapshot):
        crash(snapshot, machine, 'kube-scheduler')
        crash(snapshot, machine, 'kube-controller-manager')
    told = Told(snapshot)
    assert told.roots() == {'etcd.alarm_nospace'}
    told.follow('etcd.alarm_nospace', 'etcd.db_near_quota', 'controlplane.component_down')
    # silent
    assert told.verdict('etcd.service_not_healthy') == told.verdict('etcd.quorum_lost') == 'ok'


def test_bad_arguments_of_one_etcd():
    snapshot = aged()
    crash_looping(snapshot, node(snapshot, 'cp3'))
    booting(node(snapshot, 'cp3'))
    told = Told(snapshot)
    assert told.roots() == {'etcd.crash_loop'}
    told.follow('etcd.crash_loop', 'etcd.members_not_answering')
    assert told.section('etcd.quorum_lost') == told.section('kubelet.node_not_ready') == 'ok'


@pytest.mark.parametrize('state', ['Preparing', 'Failed'])
def test_a_wrong_image_of_etcd(state):
    snapshot = aged()
    cp3, image = node(snapshot, 'cp3'), 'registry.k8s.io/etcd:v3.6.99'
    text = f'failed to pull image "{image}": failed to resolve reference "{image}": {image}: not found'
    preparing(snapshot, cp3, since=100)
    machined(snapshot, cp3, (99, f'pulling image {image}: starting...'), (98, f'retrying error: {text}'))
    if state == 'Failed':
        failed = f'Failed to run pre stage: 1 error(s) occurred:\n\t{text}'
        set_service(snapshot, cp3, 'Failed', [(230, 'Preparing', 'Running pre state'), (100, 'Failed', failed)])
    booting(cp3)
    told = Told(snapshot)
    assert told.roots() == {'etcd.stuck_in_pre'} and image in told.of('etcd.stuck_in_pre')[0]['title']
    told.follow('etcd.stuck_in_pre', 'etcd.members_not_answering')


@pytest.mark.parametrize('said', ['failed to parse kubelet flag: unknown flag: --bogus-flag',
                                  'Failed to run pre stage: 1 error(s) occurred:\n\tfailed to pull image "ghcr.io/siderolabs/kubelet:v1.36.99": not found'])
def test_a_kubelet_that_does_not_start(said):
    snapshot = aged()
    w1 = node(snapshot, 'w1')
    if 'pull' in said:
        kubelet_is(snapshot, w1, 'Failed', said)
    else:
        event = f'Error running Containerd(kubelet), going to restart forever: task "kubelet" failed: exit code 1 (last log "{said}")'
        kubelet_is(snapshot, w1, 'Waiting', event, event, event)
    set_ready(snapshot, 'w1', 'Unknown', 240)
    w1.value('MachineStatuses')[0]['spec']['status'] = {'ready': False, 'unmetConditions': [{'name': 'services', 'reason': 'kubelet not running'}]}
    told = Told(snapshot)
    assert told.roots() == {'kubelet.not_running'}
    told.follow('kubelet.not_running', 'kubelet.node_not_ready')


@pytest.mark.parametrize('how', ['down', 'black hole', 'frozen'])
def test_a_worker_that_is_gone(how):
    snapshot = aged('worker-down')
    if how != 'down':
        snapshot = aged()
        states.dead(snapshot, 'w1', **({'kind': 'deadline', 'text': 'no answer'} if how == 'frozen' else {}))
        set_ready(snapshot, 'w1', 'Unknown', 240)
    told = Told(snapshot)
    assert {check for check in told.roots() if check != 'kubernetes_api.server_down'} == {DEAD}  # the recording was made while an API server came up
    told.follow(DEAD, 'kubelet.node_not_ready')
    assert told.section('discovery.missing') == 'ok', 'discovery lists it for half an hour'


def lost_address(snapshot, name='w1'):
    """Recorded on w1 while its link was down: only the addresses of the CNI are left."""
    machine = node(snapshot, name)
    machine.data['AddressStatuses'].value = [item for item in machine.value('AddressStatuses') if item['spec']['linkName'] != 'eth0']
    for which in ('routed', 'current', 'default'):
        spec = machines.spec(machine, 'NodeAddresses', which)
        spec['addresses'] = [address for address in spec['addresses'] if address.startswith('10.244.')]
    machines.spec(machine, 'NodeAddresses', 'routed-no-k8s')['addresses'] = []
    machines.put(machine, 'NodeIPs', [])
    machines.put(machine, 'Diagnostics', [machines.item('address-overlap', {
        'message': 'host and Kubernetes pod/service CIDR addresses overlap', 'details': ['host routed addresses: ["10.244.3.0/32" "10.244.3.1/24"]']})])
    line = f'{snapshot.now - timedelta(seconds=20):%Y/%m/%d %H:%M:%S.000000} [talos] '
    machine.logs['machined'] = Datum('read', ''.join(f'{line}{text}\n' for text in (
        'no suitable node IP found, please make sure .machine.kubelet.nodeIP filters and pod/service subnets are set up correctly',
        'error serving dns request {"component": "dns-resolve-cache", "error": "read udp 10.5.0.5:36121->10.5.0.1:53: i/o timeout"}')))
    return machine


def test_a_worker_that_lost_its_link_while_the_cni_was_up():
    snapshot = aged()
    lost_address(snapshot)
    set_ready(snapshot, 'w1', 'Unknown', 240)
    told = Told(snapshot)
    assert told.roots() == {'network_configuration.address_lost'}
    told.follow('network_configuration.address_lost', 'kubelet.node_not_ready')
    assert told.section('talos_api.subnet_conflict') == 'info', 'it is no conflict of subnets'


def without_cni(snapshot):
    for kind in ('daemonsets', 'pods'):
        snapshot.kubernetes['data'][kind] = Datum('read', [one for one in snapshot.kubernetes['data'][kind].value if 'flannel' not in one['name']])
    for machine in planes(snapshot):
        machine.value('BootstrapManifestsConfigs')[0]['spec'].update(cniName='none', flannelEnabled=False)
    for machine in snapshot.machines:
        set_ready(snapshot, machine.name, 'False', 3600)
        machine.value('MachineStatuses')[0]['spec']['status'] = {'ready': False, 'unmetConditions': [
            {'name': 'nodeReady', 'reason': f'node "{machine.name}" is not ready'}]}


def test_no_cni():
    snapshot = aged()
    without_cni(snapshot)
    for pod in snapshot.kubernetes['data']['pods'].value:
        if pod['name'].startswith('coredns'):
            pod.update(phase='Pending', node='')
            pod['conditions'] = [{'type': 'PodScheduled', 'status': 'False', 'reason': 'Unschedulable', 'lastTransitionTime': ago(snapshot, 3600),
                                  'message': '0/4 nodes are available: 4 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.'}]
            pod['containers'] = []
    told = Told(snapshot)
    assert told.roots() == {'kubelet.node_not_ready'} and len(told.of('kubelet.node_not_ready')) == 1
    # silent
    for key in ('etcd.other', 'etcd.quorum_lost', 'controlplane.static_pods', 'controlplane.pod_status', 'kubernetes_api.endpoint'):
        assert told.section(key) in ('ok', 'info')


def not_bootstrapped():
    snapshot = aged()
    for machine in planes(snapshot):
        preparing(snapshot, machine)
        machined(snapshot, machine, *((seconds, 'etcd is waiting to join the cluster, if this node is the first node in the cluster, please run '
                                       '`talosctl bootstrap` against one of the following IPs:') for seconds in (880, 40, 7)))
        machine.data['EtcdDirectory'] = Datum('read', [{'relative_name': '.'}])
        without_static_pods(machine)
    booting(*planes(snapshot))
    for machine in snapshot.machines:
        machines.put(machine, 'NodeStatuses', [])
    nobody_serves(snapshot)
    without_vip(snapshot)
    return snapshot


def test_a_cluster_that_was_never_bootstrapped():
    snapshot = not_bootstrapped()
    for machine in snapshot.machines:
        failing(snapshot, machine, 'k8s.NodeApplyController', '1 error(s) occurred:\\n\\ttimeout')
    told = Told(snapshot)
    assert told.roots() == {'etcd.not_bootstrapped'}
    told.follow('etcd.not_bootstrapped', 'kubernetes_api.api_down')
    # silent
    assert told.section('kubelet.not_running') == told.verdict('talos_api.trustd_not_serving') == 'ok'


def test_a_state_volume_that_failed():
    """Recorded on m1: the boot stops, the services of the cluster were never made, apid answers."""
    snapshot = machines.metal(later=7200)
    for machine in snapshot.machines:
        machine.value('MachineStatuses')[0]['created'] = ago(snapshot, 3 * 86400)
    w1 = node(snapshot, 'w1')
    machines.spec(w1, 'VolumeStatuses', 'STATE').update(phase='failed', errorMessage='error formatting XFS: exit status 1')
    w1.value('ServiceList')['services'] = [one for one in w1.value('ServiceList')['services'] if one['id'] in ('apid', 'containerd', 'machined', 'udevd')]
    booting(w1, reason='kubelet not running')
    set_ready(snapshot, 'w1', 'Unknown', 3600)
    told = Told(snapshot)
    assert told.roots() == {'system_requirements.volume_failed'} and told.of('system_requirements.volume_failed')[0]['verdict'] == 'critical'
    told.follow('system_requirements.volume_failed', 'kubelet.not_running', 'kubelet.node_not_ready')
    assert told.verdict('talos_api.apid_not_healthy') == 'ok'


def test_a_machine_in_maintenance_mode():
    """It calls itself ready, and serves a certificate that it made itself."""
    snapshot = aged()
    machine = states.dead(snapshot, 'w1', text='x509: certificate signed by unknown authority')
    served = states.served(snapshot, subject='CN=maintenance-service.talos.dev', common_name='maintenance-service.talos.dev', issuer='O=talos',
                           dns=['w1', 'maintenance-service.talos.dev'], ips=['10.5.0.5', '127.0.0.1', '::1'])
    machine.data['certificate'] = Datum('read', served)
    set_ready(snapshot, 'w1', 'Unknown', 240)
    told = Told(snapshot)
    assert told.roots() == {'talos_api.unknown_authority'}
    assert told.of('talos_api.unknown_authority')[0]['title'] == 'w1 is in maintenance mode'
    told.follow('talos_api.unknown_authority', 'kubelet.node_not_ready')


# -- the chains that users meet -------------------------------------------------------------------------------------

def test_alarm_failing_writes_stuck_manifests():
    snapshot = aged()
    alarm(snapshot)
    cp1 = node(snapshot, 'cp1')
    failing(snapshot, cp1, 'k8s.ManifestApplyController', 'error creating etcd session: etcdserver: mvcc: database space exceeded')
    machines.put(cp1, 'ManifestStatuses', [])
    crash(snapshot, cp1, 'kube-scheduler')
    told = Told(snapshot)
    assert told.roots() == {'etcd.alarm_nospace'}
    told.follow('etcd.alarm_nospace', 'controlplane.manifest_apply_fails', 'controlplane.component_down')


def test_no_bootstrap_no_kubernetes():
    told = Told(not_bootstrapped())
    assert told.roots() == {'etcd.not_bootstrapped'}
    assert told.verdict('kubelet.node_not_ready') in ('not_applicable', 'unknown')
    assert told.section('etcd.quorum_lost') == 'not_applicable'


def wrong_clock(snapshot):
    """The machine came up in the year 1970, and so its certificate ends there."""
    machine = states.dead(snapshot, 'w1', kind='expired', text='x509: certificate has expired or is not yet valid: current time 2026-11-22T12:17:10Z is after '
                                                               '1970-01-02T00:00:30Z')
    machine.data['certificate'] = Datum('read', states.served(snapshot, common_name='w1', not_before='1970-01-01T00:00:30Z', not_after='1970-01-02T00:00:30Z'))
    set_ready(snapshot, 'w1', 'Unknown', 240)
    return machine


def test_clock_certificates_unreachable():
    snapshot = aged()
    wrong_clock(snapshot)
    told = Told(snapshot)
    assert told.roots() == {'time.server_certificate_dates'}
    told.follow('time.server_certificate_dates', 'kubelet.node_not_ready')
    assert 'the clock of w1 is far behind' in told.of('time.server_certificate_dates')[0]['title']


def conflict(snapshot, machine):
    """The host's one address lies in the pod network."""
    lost_address(snapshot, machine.name)
    machine.value('AddressStatuses').append(machines.item('eth0/10.244.5.2', {
        'address': '10.244.5.2/24', 'linkName': 'eth0', 'family': 'inet4', 'scope': 'global', 'flags': 'permanent'}))
    machines.spec(machine, 'NodeAddresses', 'routed')['addresses'].append('10.244.5.2/24')
    machine.data['certificate'].value['ips'] = ['127.0.0.1']
    events = [(3600, 'Waiting', 'Waiting for etcd spec')]
    set_service(snapshot, machine, 'Waiting', events)


def test_subnet_conflict_no_names_no_etcd_no_node_address():
    snapshot = aged()
    cp3 = node(snapshot, 'cp3')
    conflict(snapshot, cp3)
    told = Told(snapshot)
    assert told.roots() == {'talos_api.subnet_conflict'}
    told.follow('talos_api.subnet_conflict', 'etcd.stuck_in_pre', 'etcd.members_not_answering', 'kubelet.node_ip_missing')


def test_quorum_lost_api_down_vip_gone():
    snapshot = aged()
    without_leader(snapshot)
    for machine in planes(snapshot):
        unready(snapshot, machine, 'etcd', 'etcd-readiness')
    without_vip(snapshot)
    endpoint_is(snapshot, *[probe(False, 'no_route')] * 10)
    told = Told(snapshot)
    assert told.roots() == {'etcd.quorum_lost'}
    told.follow('etcd.quorum_lost', 'kubernetes_api.api_down')
    assert told.verdict('kubernetes_api.vip_holder') in ('info', 'not_applicable', 'unknown'), 'nobody can hold it without a quorum'


# -- without its usual cause a consequence stands by itself ---------------------------------------------------------

def nobody_serves_alone(snapshot):
    nobody_serves(snapshot)


def not_ready_alone(snapshot):
    set_ready(snapshot, 'w1', 'Unknown', 240)


def manifests_alone(snapshot):
    failing(snapshot, node(snapshot, 'cp1'), 'k8s.ManifestApplyController', 'error creating etcd session: context deadline exceeded')
    machines.put(node(snapshot, 'cp1'), 'ManifestStatuses', [])


def scheduler_alone(snapshot):
    crash(snapshot, node(snapshot, 'cp1'), 'kube-scheduler')


def vip_alone(snapshot):
    without_vip(snapshot)


def certificate_alone(snapshot):
    machine = states.dead(snapshot, 'w1', kind='expired', text='x509: certificate has expired or is not yet valid')
    dates = {'not_before': ago(snapshot, 30 * 3600), 'not_after': ago(snapshot, 6 * 3600)}
    machine.data['certificate'] = Datum('read', states.served(snapshot, common_name='w1', **dates))


def etcd_address_alone(snapshot):
    set_service(snapshot, node(snapshot, 'cp3'), 'Waiting', [(3600, 'Waiting', 'Waiting for etcd spec')])


def node_address_alone(snapshot):
    machines.put(node(snapshot, 'w1'), 'NodeIPs', [])


@pytest.mark.parametrize('change, check', [
    (nobody_serves_alone, 'kubernetes_api.api_down'), (not_ready_alone, 'kubelet.node_not_ready'), (manifests_alone, 'controlplane.manifest_apply_fails'),
    (scheduler_alone, 'controlplane.component_down'), (vip_alone, 'kubernetes_api.vip_holder'), (certificate_alone, 'time.server_certificate_dates'),
    (etcd_address_alone, 'etcd.stuck_in_pre'), (node_address_alone, 'kubelet.node_ip_missing')], ids=lambda value: value if isinstance(value, str) else '')
def test_without_its_usual_cause_a_consequence_is_a_root(change, check):
    snapshot = aged()
    change(snapshot)
    told = Told(snapshot)
    assert all(finding['root'] for finding in told.of(check)) and check in told.roots()


# -- what nobody knows explains nothing -----------------------------------------------------------------------------

@pytest.mark.parametrize('make', [two_killed, not_bootstrapped], ids=lambda make: make.__name__)
def test_only_problems_explain_and_never_in_a_circle(make):
    told = Told(make())
    for finding in told.report['findings']:
        assert set(finding['because_of']) <= set(told.problems), 'what is unknown explains nothing'
        assert finding['id'] not in told.problems or finding['check'] not in told.behind(finding)
    placed = [finding['id'] for finding in told.report['findings']]
    assert all(placed.index(cause) < placed.index(finding['id']) for finding in told.report['findings'] for cause in finding['because_of'])
