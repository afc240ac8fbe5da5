# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VIP: who has it on a link, and why nobody has; and KubePrism."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import etcd, kubernetes_api_kubeprism, kubernetes_api_vip
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests import recorded
from tests.unit.guide.control_plane_states import no_leader
from tests.unit.guide.judging import READ, ago, faults, findings, lose, node, old, one, planes, recording, report, unreachable, verdict_of
from tests.unit.guide.kubernetes_api_states import dead_endpoint, nobody_serves

VIP = '10.5.0.100'
HOLDER, PRISM, KNOWS = 'kubernetes_api.vip_holder', 'kubernetes_api.kubeprism_unhealthy', 'kubernetes_api.kubeprism_endpoints'
CHECKS = (*kubernetes_api_vip.CHECKS, *kubernetes_api_kubeprism.CHECKS)


def judged(snapshot, checks=CHECKS):
    return report(snapshot, None, checks)


def drop(machine):
    machine.data['AddressStatuses'] = Datum(READ, [item for item in machine.value('AddressStatuses') if VIP not in item['id']])


def hold(snapshot, machine, link='eth0', since=86400, address=f'{VIP}/32'):
    machine.value('AddressStatuses').append({'id': f'{link}/{address}', 'created': ago(snapshot, since), 'updated': ago(snapshot, since),
                                             'spec': {'address': address, 'linkName': link, 'scope': 'global'}})


def says(snapshot, machine, seconds, text):
    machine.logs['controller-runtime'].value = f'{ago(snapshot, seconds)} \x1b[34mINFO\x1b[0m {text}\n'
    machine.logs['machined'].value = f'{snapshot.now:%Y/%m/%d %H:%M:%S.%f} [talos] something\n'
    machine.value('Time')['localtime'] = ago(snapshot, 0)


@pytest.mark.parametrize('later', [0, 86400])
@pytest.mark.parametrize('name', recorded.SETS)
def test_recorded_clusters_are_quiet(name, later):
    """Members list the VIP with its holder, and after a failover with others: they are not asked."""
    assert findings(judged(recording(name, later)), worse_than='info') == []


def test_nobody_holds_it_although_etcd_has_a_leader():
    snapshot = old()
    drop(node(snapshot, 'cp1'))
    finding = one(judged(snapshot), HOLDER)
    assert (finding['verdict'], finding['subject'], finding['section']) == ('error', VIP, 'kubernetes_api.endpoint') and finding['root']


def test_a_failed_campaign_is_shown():
    snapshot = old()
    drop(node(snapshot, 'cp1'))
    says(snapshot, node(snapshot, 'cp2'), 30,
         'campaign failure {"component": "controller-runtime", "controller": "network.OperatorSpecController", "operator": '
         '"vip", "error": "failed to create etcd session: context deadline exceeded", "link": "eth0", "ip": "10.5.0.100"}')
    finding = one(judged(snapshot), HOLDER)
    assert finding['verdict'] == 'error' and 'campaign failure' in ' '.join(e['text'] for e in finding['evidence'])


@pytest.mark.parametrize('seconds, verdict', [(60, 'info'), (200, 'error')])
def test_a_failover_takes_a_while(seconds, verdict):
    snapshot = old()
    drop(node(snapshot, 'cp1'))
    says(snapshot, node(snapshot, 'cp1'), seconds, 'removing shared IP {"component": "controller-runtime", "controller": "network.OperatorSpecController", '
                                                   '"operator": "vip", "link": "eth0", "ip": "10.5.0.100"}')
    assert one(judged(snapshot), HOLDER)['verdict'] == verdict


def test_without_a_leader_nobody_can_hold_it():
    snapshot = old()
    drop(node(snapshot, 'cp1'))
    no_leader(snapshot)
    assert verdict_of(judged(snapshot), HOLDER) == 'not_applicable'


def test_two_hold_it():
    snapshot = old()
    hold(snapshot, node(snapshot, 'cp3'))
    finding = one(judged(snapshot), HOLDER)
    assert finding['verdict'] == 'critical' and finding['nodes'] == ['cp1', 'cp3'] and 'cp1 and cp3' in finding['title']


def test_while_it_moves_two_may_seem_to_hold_it():
    snapshot = old()
    hold(snapshot, node(snapshot, 'cp3'), since=20)
    assert one(judged(snapshot), HOLDER)['verdict'] == 'info'


def test_it_lies_outside_the_network_of_its_link():
    snapshot = old()
    machine = node(snapshot, 'cp1')
    for item in machine.value('AddressStatuses'):
        if item['spec']['address'] == '10.5.0.2/24':
            item['spec']['address'] = '10.9.0.2/24'
    assert 'outside the networks of eth0' in one(judged(snapshot), HOLDER)['title']


def test_a_loopback_is_no_link():
    snapshot = old()
    drop(node(snapshot, 'cp1'))
    hold(snapshot, node(snapshot, 'cp2'), link='lo')
    assert one(judged(snapshot), HOLDER)['verdict'] == 'error'


@pytest.mark.parametrize('kind', ['hcloud', 'equinixMetal'])
def test_a_cloud_that_moves_it(kind):
    snapshot = old()
    drop(node(snapshot, 'cp1'))
    for machine in planes(snapshot):
        machine.value('OperatorSpecs')[0]['spec']['vip'][kind] = {'x': 1}
    assert verdict_of(judged(snapshot), HOLDER) == 'not_applicable'
    for machine in planes(snapshot):
        lose(machine, 'OperatorSpecs', 'refused')
    assert one(judged(snapshot), HOLDER)['verdict'] == 'error'
    for machine in planes(snapshot):
        machine.value('Version')['platform']['name'] = kind
    assert verdict_of(judged(snapshot), HOLDER) == 'not_applicable'


def test_no_vip():
    snapshot = old()
    for machine in snapshot.machines:
        for item in machine.value('NodeIPConfigs'):
            item['spec']['excludeSubnets'] = [subnet for subnet in item['spec']['excludeSubnets'] if subnet != VIP]
    assert verdict_of(judged(snapshot), HOLDER) == 'not_applicable'
    for machine in planes(snapshot):
        lose(machine, 'NodeIPConfigs')
    assert one(judged(snapshot), HOLDER)['verdict'] == 'unknown'


def test_a_node_that_was_not_read_may_hold_it():
    snapshot = old()
    drop(node(snapshot, 'cp1'))
    lose(node(snapshot, 'cp2'), 'AddressStatuses')
    assert one(judged(snapshot), HOLDER)['verdict'] == 'unknown'


def test_a_node_that_does_not_answer_may_hold_it():
    snapshot = old()
    unreachable(node(snapshot, 'cp1'))
    assert findings(judged(snapshot), HOLDER) == [] and verdict_of(judged(snapshot), HOLDER) == 'ok'
    dead_endpoint(snapshot, 'no_route')
    assert one(judged(snapshot), HOLDER)['verdict'] == 'error'
    del snapshot.kubernetes['data']['endpoint']
    assert one(judged(snapshot), HOLDER)['verdict'] == 'unknown'


def test_whether_etcd_has_a_leader_must_be_seen():
    snapshot = old()
    drop(node(snapshot, 'cp1'))
    for machine in planes(snapshot):
        lose(machine, 'EtcdStatus')
    assert one(judged(snapshot, (*etcd.CHECKS, *CHECKS)), HOLDER)['verdict'] == 'unknown'


# -- KubePrism --------------------------------------------------------------------------------------------------

def test_kubeprism_without_an_api_server():
    snapshot = old()
    node(snapshot, 'w1').value('KubePrismStatuses')[0]['spec']['healthy'] = False
    finding = one(judged(snapshot), PRISM)
    assert (finding['verdict'], finding['nodes']) == ('error', ['w1']) and 'port 6443' in finding['next_step']


def test_where_no_api_server_serves_none_can_be_found():
    snapshot = old()
    nobody_serves(snapshot)
    for machine in snapshot.machines:
        machine.value('KubePrismStatuses')[0]['spec']['healthy'] = False
    assert {f['verdict'] for f in findings(judged(snapshot), PRISM)} == {'info'}


def test_kubeprism_is_off():
    snapshot = old()
    for machine in snapshot.machines:
        machine.data['KubePrismStatuses'] = Datum(READ, [])
        machine.data['KubePrismEndpoints'] = Datum(READ, [])
    finding = one(judged(snapshot), PRISM)
    assert finding['verdict'] == 'info' and 'cp1, cp2, cp3 and w1' in finding['title'] and verdict_of(judged(snapshot), KNOWS) == 'not_applicable'


def test_at_bootstrap_it_finds_none_yet():
    snapshot = recording()
    node(snapshot, 'w1').value('KubePrismStatuses')[0]['spec']['healthy'] = False
    assert one(judged(snapshot), PRISM)['verdict'] == 'info'


def test_a_control_plane_node_that_kubeprism_does_not_know():
    snapshot = old()
    spec = node(snapshot, 'w1').value('KubePrismEndpoints')[0]['spec']
    spec['endpoints'] = [each for each in spec['endpoints'] if each['host'] != '10.5.0.4']
    finding = one(judged(snapshot), KNOWS)
    assert (finding['verdict'], finding['nodes']) == ('warning', ['w1']) and 'cp3' in finding['title']


def test_a_member_that_the_machine_does_not_know_either_is_discoverys_matter():
    snapshot = old()
    machine = node(snapshot, 'w1')
    spec = machine.value('KubePrismEndpoints')[0]['spec']
    spec['endpoints'] = [each for each in spec['endpoints'] if each['host'] != '10.5.0.4']
    machine.data['Members'] = Datum(READ, [item for item in machine.value('Members') if item['id'] != 'cp3'])
    assert faults(judged(snapshot)) == set()


def test_duplicates_localhost_and_the_vip_are_normal():
    snapshot = old()
    hosts = [each['host'] for each in node(snapshot, 'cp1').value('KubePrismEndpoints')[0]['spec']['endpoints']]
    assert hosts.count(VIP) == 2 and 'localhost' in hosts and verdict_of(judged(snapshot), KNOWS) == 'ok'


def test_where_kubeprism_knows_all_that_others_see_its_own_list_of_members_adds_nothing():
    snapshot = old()
    machine = node(snapshot, 'w1')
    lose(machine, 'Members')
    assert verdict_of(judged(snapshot), KNOWS) == 'ok'
    spec = machine.value('KubePrismEndpoints')[0]['spec']
    spec['endpoints'] = [each for each in spec['endpoints'] if each['host'] != '10.5.0.4']
    assert one(judged(snapshot), KNOWS)['verdict'] == 'unknown'


@pytest.mark.parametrize('kind, check', [('KubePrismStatuses', PRISM), ('KubePrismEndpoints', KNOWS)])
def test_what_was_not_read_is_unknown(kind, check):
    snapshot = old()
    lose(node(snapshot, 'w1'), kind)
    assert one(judged(snapshot), check)['verdict'] == 'unknown'
    for machine in snapshot.machines:
        lose(machine, kind)
    assert {f['verdict'] for f in findings(judged(snapshot), check)} == {'unknown'}


def test_without_any_list_of_members_what_kubeprism_should_know_is_unknown():
    snapshot = old()
    for machine in snapshot.machines:
        lose(machine, 'Members')
    assert {f['verdict'] for f in findings(judged(snapshot), KNOWS)} == {'unknown'}
