# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as a whole: its order, how much of a kind it does, on what its digest rests, how large it is, and that it holds no secret."""

from __future__ import annotations

import copy
import json
from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.remedies import by_hand, fitting, plan
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import BY_NAME, REMEDIES, stale_node
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Machine, format_time, parse_time
from ansible_collections.talosops.talos.plugins.module_utils.tasks import judged
from tests.unit.remedies import planned
from tests.unit.remedies.planned import build, healthy, machine, node, snapshot, step, view

KIBIBYTES = 1024
ARGS = {'etcd_stale_member': lambda _snap: {'member_id': planned.STALE}, 'etcd_nospace': lambda _snap: {},
        'kubelet_serving_csr': lambda _snap: {'csr': 'csr-right'},
        'stale_node': lambda snap: {'name': 'cp-3', 'uid': node(snap, 'cp-3')['uid']}, 'kubelet_restart': lambda snap: {'node': machine(snap, 'w-2').key},
        'client_endpoints': lambda _snap: {'context': 'prod'}}
TARGETS = {'etcd_stale_member': planned.STALE, 'etcd_nospace': 'etcd', 'kubelet_serving_csr': 'csr-right', 'stale_node': 'cp-3', 'kubelet_restart': 'w-2',
           'client_endpoints': 'prod'}


def finding(check, subject, remedy=None, args=None, section='kubelet.stale_nodes', title='Something is wrong', **more):
    return {'id': f'{check}/{subject}', 'check': check, 'section': section, 'verdict': 'error', 'nodes': [subject], 'node_keys': [subject], 'subject': subject,
            'title': title, 'means': '', 'evidence': [], 'because_of': [], 'remedy': {'name': remedy, 'args': args} if remedy else None,
            'next_step': 'Repair it.', **more}


def digests(snap, remedy):
    return plan.one(view(snap), remedy, TARGETS[remedy], ARGS[remedy](snap))['digest']


def test_every_remedy_of_a_check_is_one_that_can_be_applied_or_is_done_by_hand():
    named = {check.remedy for check in CHECKS if check.remedy}
    assert named - set(BY_NAME) == {'bootstrap'} and set(BY_NAME) <= named
    assert [remedy.name for remedy in REMEDIES] == ['etcd_stale_member', 'etcd_nospace', 'etcd_defragment', 'kubelet_serving_csr', 'stale_node',
                                                    'kubelet_restart', 'talos_certsans', 'client_endpoints']


# -- the same cluster, the same bytes ---------------------------------------------------------------------------------

def test_the_same_cluster_gives_the_same_bytes_and_ages_are_in_none_of_them():
    """A minute later: only what is refused may tell an age. The clocks move, and what is renewed all the time is renewed."""
    snap, later = snapshot(), snapshot()
    moved = timedelta(seconds=65)
    later.finished_at = format_time(parse_time(later.finished_at or later.taken_at) + moved)
    for lease in later.kubernetes['data']['leases'].value:
        lease['renewed'] = format_time(parse_time(lease['renewed']) + moved)
    before, after = build(snap), build(later)
    assert json.dumps(before) == json.dumps(build(snap))
    for one, other in zip(before, after, strict=True):
        assert {**one, 'refused': None} == {**other, 'refused': None}
    assert plan.document('prod', 'id', before)['digest'] == plan.document('prod', 'id', after)['digest']


@pytest.mark.parametrize('text, said', [
    ('Node w-9 is stale: silent for 30 d, and no machine stands behind it', 'Node w-9 is stale, and no machine stands behind it'),
    ('w-2 waits for 18 min for its serving certificate', 'w-2 waits for its serving certificate'),
    ('Node w-1 is not Ready (Unknown) for 26 min: its machine is off', 'Node w-1 is not Ready (Unknown): its machine is off'),
    ('the clock of cp-2 is 8.6 s ahead of time.cloudflare.com', 'the clock of cp-2 is ahead of time.cloudflare.com'),
    ('the clock of cp-2 is far behind, by 20782 d at least, and', 'the clock of cp-2 is far behind, and'),
    ('the client certificate expires in 11 d, on 2026-12-08', 'the client certificate expires on 2026-12-08'),
    ('the client certificate expired 3 d ago, on 2026-11-23', 'the client certificate expired on 2026-11-23'),
    ('crashes (CrashLoopBackOff, 31 restarts, ended)', 'crashes (CrashLoopBackOff, ended)'),
    ('cp-1 has 1500 MiB of memory for 3 pods', 'cp-1 has 1500 MiB of memory for 3 pods'),
])
def test_texts_of_steps_by_hand_tell_no_ages(text, said):
    assert by_hand.steady(text) == said


def _of_node(key, value):
    return lambda snap: node(snap, 'cp-3').__setitem__(key, value)


def _csr(key, value):
    return lambda snap: next(each for each in snap.kubernetes['data']['csrs'].value if each['name'] == 'csr-right').__setitem__(key, value)


def _asked(key, value):
    return lambda snap: next(each for each in snap.kubernetes['data']['csrs'].value if each['name'] == 'csr-right')['asks_for'].__setitem__(key, value)


def _members(change):
    def changed(snap):
        for each in snap.machines:
            if each.datum('EtcdMemberList').ok:
                change(each.value('EtcdMemberList')['members'])
    return changed


def _booted(snap):
    for item in machine(snap, 'w-2').value('MachineStatuses'):
        item['created'] = '2026-01-01T00:00:00Z'


def _runs_again(snap):
    for each in machine(snap, 'w-2').value('ServiceList')['services']:
        each.update(state='Running', health={'unknown': False, 'healthy': True})


def _another_alarm(snap):
    for each in snap.machines:
        if each.datum('EtcdAlarmList').ok:
            each.value('EtcdAlarmList')['member_alarms'].append({'member_id': planned.LIVE, 'alarm': 'NOSPACE'})


def _one_is_defragmented(snap):
    machine(snap, 'cp-1').value('EtcdStatus').update(db_size=240 * 1024 ** 2)


def _endpoint(snap):
    snap.client['endpoints'] = list(reversed(snap.client['endpoints']))


@pytest.mark.parametrize('remedy, change', [
    ('stale_node', _of_node('uid', 'another')), ('stale_node', _of_node('machine_id', 'another')),
    ('stale_node', _of_node('addresses', [{'type': 'InternalIP', 'address': '10.5.0.99'}])),
    ('kubelet_serving_csr', _csr('uid', 'another')), ('kubelet_serving_csr', _csr('usages', ['server auth'])),
    ('kubelet_serving_csr', _asked('dns', ['w-1', 'w-2'])), ('kubelet_serving_csr', _asked('ips', [])),
    ('etcd_stale_member', _members(lambda members: members.pop())),
    ('etcd_stale_member', _members(lambda members: members[2].update(peer_urls=['https://10.5.0.98:2380']))),
    ('etcd_stale_member', _members(lambda members: members[2].update(hostname='cp-9'))),
    ('etcd_nospace', _another_alarm), ('etcd_nospace', _one_is_defragmented), ('kubelet_restart', _booted), ('kubelet_restart', _runs_again),
    ('client_endpoints', _endpoint),
])
def test_what_an_approved_step_rests_on(remedy, change):
    snap = snapshot()
    before = digests(snap, remedy)
    assert before == digests(snapshot(), remedy)
    changed = copy.deepcopy(snap)
    change(changed)
    args = ARGS[remedy](snap)  # what was approved
    assert plan.one(view(changed), remedy, TARGETS[remedy], args)['digest'] != before


def test_a_name_in_certificates_rests_on_where_it_is_missing():
    snap = snapshot('balanced')
    made = step(build(snap), 'talos_certsans')
    args = {'names': [made['target']], 'lists': ['machine']}
    assert plan.one(view(snap), 'talos_certsans', made['target'], args)['digest'] == made['digest']
    machine(snap, 'cp-2').value('certificate')['ips'].append(made['target'])
    assert plan.one(view(snap), 'talos_certsans', made['target'], args)['digest'] != made['digest']


def test_no_step_rests_on_what_an_earlier_one_changes():
    """After the first two steps: the member is gone, and the alarm."""
    snap = snapshot()
    before = {each['target']: each['digest'] for each in build(snap) if each['remedy'] not in ('etcd_stale_member', None)}
    _members(lambda members: members.__setitem__(slice(None), [each for each in members if each['id'] != planned.STALE]))(snap)
    snap.machines = [each for each in snap.machines if each.name != 'cp-3' or each.answered]
    after = {each['target']: each['digest'] for each in build(snap) if each['remedy'] not in ('etcd_stale_member', None)}
    assert after == before
    healthy(snap)
    for each in snap.machines:
        if each.datum('EtcdStatus').ok:
            each.value('EtcdStatus').update(db_size=236 * 1024 ** 2)
    last = {each['target']: each['digest'] for each in build(snap) if each['digest']}
    assert last == {target: made for target, made in before.items() if target != 'etcd'}


# -- order -------------------------------------------------------------------------------------------------------------

def test_what_follows_from_another_problem_asks_for_nothing():
    snap = snapshot()
    cause = finding('kubelet.client_csr_pending', 'w-2', section='kubelet.cert_errors')
    follows = finding('kubelet.node_not_found', 'w-2', 'kubelet_restart', {'node': machine(snap, 'w-2').key}, because_of=[cause['id']])
    steps = plan.build(view(snap), [cause, follows])
    assert [(each['by_hand'], each['findings'], each['consequences']) for each in steps] == [(True, [cause['id']], [follows['id']])]


def test_machines_that_do_not_answer_come_first():
    snap = snapshot()
    snap.machines.append(Machine(key='w-8', name='w-8', address='10.5.0.28'))
    steps = plan.build(view(snap), [finding('etcd.slow_disk', machine(snap, 'cp-1').key, section='etcd.other'), finding('kubelet.node_not_ready', 'w-8')])
    assert [each['target'] for each in steps] == ['w-8', machine(snap, 'cp-1').key]


def test_a_check_that_gives_no_advice_is_a_step_all_the_same():
    steps = plan.build(view(snapshot()), [finding('own.check', 'w-1', next_step=None)])
    assert [each['do'] for each in steps] == ['Read what the report tells of it: this check gives no advice.']


def test_what_warns_of_nothing_is_no_step():
    assert plan.build(view(snapshot()), [{**finding('a.b', 'w-1'), 'verdict': verdict} for verdict in ('ok', 'info', 'unknown', 'not_applicable')]) == []


# -- how much ----------------------------------------------------------------------------------------------------------

def test_one_member_in_one_run():
    snap = snapshot()
    findings = [finding('etcd.member_stale', member, 'etcd_stale_member', {'member_id': member}, 'etcd.other') for member in (planned.STALE, planned.LIVE)]
    first, second = plan.build(view(snap), findings)
    assert first['refused'] is None and 'it is alive' in second['refused']


def test_a_tenth_of_the_nodes_in_one_run_and_one_in_any_case():
    snap = healthy(snapshot('alone'))
    model = node(snap, 'w-9')
    nodes = snap.kubernetes['data']['nodes']
    nodes.value += [{**copy.deepcopy(node(snap, 'w-1')), 'name': f'l-{n}', 'uid': f'live-{n}', 'machine_id': f'l-{n}',
                     'addresses': [{'type': 'InternalIP', 'address': f'10.8.0.{n}'}]} for n in range(1, 17)]
    nodes.value += [{**copy.deepcopy(model), 'name': f'w-9{n}', 'uid': f'uid-{n}', 'machine_id': f'id-{n}',
                     'addresses': [{'type': 'InternalIP', 'address': f'10.9.0.{n}'}]} for n in range(1, 4)]
    assert stale_node.most(view(snap)) == 2
    steps = [each for each in build(snap) if each['remedy'] == 'stale_node']
    assert [each['refused'] for each in steps] == [None, None, *['no more than 2 of this kind in one run: run it again when that is done and proved'] * 2]
    assert stale_node.most(view(snapshot())) == 1


def test_defragmentation_is_part_of_clearing_the_alarm():
    remedies = [each['remedy'] for each in build(snapshot())]
    assert remedies.count('etcd_nospace') == 1 and 'etcd_defragment' not in remedies


# -- size --------------------------------------------------------------------------------------------------------------

@pytest.fixture(scope='module')
def crowd():
    """(View, findings, steps): three control plane nodes and a hundred workers, and forty findings of each kind."""
    snap = snapshot()
    model, request = machine(snap, 'w-2'), next(each for each in snap.kubernetes['data']['csrs'].value if each['name'] == 'csr-right')
    findings = list(judged.anew(snap, judged.settings({}))['findings'])
    for n in range(100):
        name = f'worker-{n:03}.rack-{n % 7}.example.net'
        each = copy.deepcopy(model)
        each.key, each.name, each.address, each.addresses = f'{n:03}key', name, f'10.6.0.{n}', [f'10.6.0.{n}']
        snap.machines.append(each)
        snap.kubernetes['data']['nodes'].value.append({**copy.deepcopy(node(snap, 'cp-3')), 'name': name, 'uid': f'uid-{n}', 'machine_id': f'id-{n}',
                                                       'addresses': [{'type': 'InternalIP', 'address': f'10.9.0.{n}'}]})
        snap.kubernetes['data']['csrs'].value.append({**copy.deepcopy(request), 'name': f'csr-{n:03}', 'uid': f'csr-{n}',
                                                      'username': f'system:node:{name}'})
    for n in range(40):
        name = f'worker-{n:03}.rack-{n % 7}.example.net'
        findings.append(finding('kubelet.node_stale', name, 'stale_node', {'name': name, 'uid': f'uid-{n}'}))
        findings.append(finding('kubelet.not_running', name, 'kubelet_restart', {'node': f'{n:03}key'}))
        findings.append(finding('kubelet.serving_csr_pending', name, 'kubelet_serving_csr', {'csr': f'csr-{n:03}'}))
        findings.append(finding('talos_api.balancer_name_missing', name, 'talos_certsans', {'names': [f'lb-{n}.example.net'], 'lists': ['machine']},
                                'talos_api.tcp_loadbalancer'))
        findings += [finding(check.id, f'{name}:{check.id}', section=check.section, title=f'{name} {check.title}: ' + 'what is wrong there ' * 10,
                             next_step=f'talosctl -n 10.6.0.{n} ' + 'look at this, then at that, and repair it; ' * 8)
                     for check in CHECKS if not check.remedy]
    seen = view(snap)
    return seen, findings, plan.build(seen, findings)


def test_a_plan_fits_into_64_kib(crowd):
    _view, findings, steps = crowd
    assert len(json.dumps(plan.document('prod-eu', 'x' * 44, steps), indent=2).encode()) < 64 * KIBIBYTES
    assert [each['step'] for each in steps] == list(range(1, len(steps) + 1)) and len({each['step'] for each in steps}) == len(steps)
    asked = {(each['remedy']['name'], (each['remedy']['args'].get('names') or [each['remedy']['args'].get('name') or each['remedy']['args'].get('csr')])[0])
             for each in findings if each['remedy'] and each['remedy']['name'] in ('stale_node', 'kubelet_serving_csr', 'talos_certsans')}
    told = {(each['remedy'], target) for each in steps for target in (each['target'], *each['rests_on'].get('left_out', ()))}
    assert asked <= told, 'no target is left out without a word'
    others = [each for each in steps if each['rests_on'].get('left_out')]
    assert others and all(each['refused'] and not each['actions'] and each['target'].endswith(' more') for each in others)
    assert steps[-1]['title'].endswith('more, which the report tells')


def test_one_that_was_left_out_is_refused_for_that(crowd):
    seen, _findings, steps = crowd
    left = next(each for each in steps if each['remedy'] == 'kubelet_restart' and each['rests_on'].get('left_out'))
    said = plan.refusal(seen, steps, 'kubelet_restart', left['rests_on']['left_out'][0])
    assert said == f'no more than {fitting.KIND_MOST[-1]} of this kind stand in one plan: run it again when those are done and proved'


def test_a_plan_of_ordinary_size_is_not_shortened():
    steps = build(snapshot())
    assert fitting.fitted(steps) is steps and fitting.size(steps) < 16 * KIBIBYTES


# -- secrets -----------------------------------------------------------------------------------------------------------

def test_no_secret_comes_into_a_plan():
    snap = snapshot()
    canary = 'canarysecret12345'
    for each in snap.kubernetes['data']['nodes'].value:
        each['annotations']['example.net/token'] = canary
        each['labels']['example.net/token'] = canary
    for each in snap.kubernetes['data']['pods'].value:
        each['message'] = canary
    for each in snap.machines:
        for item in each.value('MachineConfigs') or []:
            item['spec'].setdefault('v1alpha1', {}).setdefault('cluster', {})['token'] = canary
        for log in each.logs.values():
            if log.ok:
                log.value = f'{log.value}\n{canary}'
    snap.kubernetes['server'] = f'https://user:{canary}@10.5.0.10:6443'
    snap.client['source'] = f'/home/{canary}/config'
    assert canary not in json.dumps(plan.document('prod', 'id', build(snap)))
