# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole run of talos_remediate in the clusters of scenarios: planned, refused, applied, proved, and nothing left to do the second time."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies.plan import one
from ansible_collections.talosops.talos.plugins.module_utils.report import remediation
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, judged, kube_access, remediate, remedy_lock
from tests.conftest import ROOT
from tests.simulator import Cluster, apid
from tests.tools.direct import calls
from tests.unit.remedies.killed import Forks
from tests.unit.remedies.simulated import UNANSWERED, UNSENT, Bed

SCENARIOS = ROOT / 'tests' / 'scenarios'
# What takes long on a busy machine must not be what is judged.
FAST = {'wait': 60, 'pause': 0, 'verify_seconds': 0, 'timeout': 30.0, 'deadline': 120.0}
STALE = '3333333333333333'


class Run(Bed):
    """A cluster of a scenario with C(remediate(**options)); reports, backups and plans lie in C(home)."""

    def __init__(self, cluster, home):
        super().__init__(cluster)
        self.home = home
        self.name = cluster.model.name

    def remediate(self, check=False, **options):
        made = self.home / f'report-{len(list(self.home.iterdir()))}'
        return self.run('talos_remediate', check, report_dir=str(made), **{**FAST, **options})

    def apply(self, *remedies, **options):
        """With a place for backups."""
        return self.remediate(remedies=list(remedies), **{'backup_dir': str(self.home / 'backups'), **options})

    def params(self):
        found = access.find({'talosconfig': str(self.cluster.directory / 'talosconfig')})
        return {'access': found, 'proxy': self.cluster.proxy, 'timeout': 10, 'deadline': 60}

    def state(self):
        """Everything that a change could have changed, as text."""
        model = self.model
        return json.dumps([
            sorted(model.etcd.ids.items()), sorted(model.etcd.alarms), sorted(model.etcd.learners), sorted(model.etcd.removed), sorted(model.etcd.wiped),
            model.etcd.leading, model.etcd.given,
            [[node.name, sorted(node.services.items()), str(node.boot), node.reachable, node.frozen, str(node.status), node.config.asked,
              yaml.safe_dump_all(node.config.active), yaml.safe_dump_all(node.config.saved)] for node in model.nodes.values()],
            model.kubernetes.writes, sorted(map(str, model.kubernetes.deleted)), sorted(map(str, model.kubernetes.requests)),
            (self.cluster.directory / 'talosconfig').read_text(),
        ], default=str)

    def sentences(self):
        plan = self.remediate()['plan']
        return [*plan['confirm'], *(sentence for step in plan['steps'] for sentence in step['confirm'])]


@contextlib.contextmanager
def scenario(told, tmp_path):
    """C(told) is the path of a scenario, or a state."""
    made = Cluster.from_state(told, name='prod') if isinstance(told, dict) else Cluster.from_file(SCENARIOS / told)
    with mock.patch.object(apid, 'NO_ROUTE_AFTER', 0.05), made as cluster, calls(cluster):
        yield Run(cluster, tmp_path)


def outcomes(result):
    return {(one['remedy'], one['target']): one['outcome'] for one in result['outcomes']}


def whys(result):
    return '; '.join(one['why'] or '' for one in result['outcomes'])


def shown(result):
    return ' '.join(' '.join(remediation.lines(json.loads(Path(result['report']).read_text()))).split())


def findings(result):
    return {finding['check'] for finding in json.loads(Path(result['report']).read_text())['findings']
            if finding['verdict'] in ('warning', 'error', 'critical')}


def test_it_plans_and_changes_nothing_where_nothing_is_enabled(tmp_path):
    with scenario('examples/e1.yaml', tmp_path) as run:
        result = run.remediate(plan_out=str(tmp_path / 'plans') + '/')
        assert run.changes() == [] and not result['changed'] and not result['applied'] and not result['fails']
    assert [step['remedy'] for step in result['plan']['steps'] if not step['by_hand']] == ['etcd_stale_member', 'stale_node', 'client_endpoints']
    written = json.loads((tmp_path / 'plans' / f'{result["cluster_key"]}.plan.json').read_text())
    assert written == result['plan'] and 'remediation' in json.loads(Path(result['report']).read_text())


def test_a_stale_member_and_its_node(tmp_path):
    with scenario('examples/e1.yaml', tmp_path) as run:
        told = run.sentences()
        result = run.apply('stale_node', 'etcd_stale_member', confirm=told)
        assert outcomes(result) == {('etcd_stale_member', STALE): 'done and proved', ('stale_node', 'cp-3'): 'done and proved'}, result['reason']
        assert [change for change in run.changes() if 'lease' not in change] == ['EtcdRemoveMemberByID cp-2', 'delete nodes cp-3']
        assert not result['fails'] and result['changed'] and result['unlocked'] is None
        assert 'done and proved: 2' in shown(result) and f'audit record: {result["audit"]}' in shown(result)
        kept = [path for one in result['outcomes'] for path in one['kept']]
        assert len(kept) == 2 and all(Path(path).exists() and path in shown(result) for path in kept)
        assert not {'etcd.member_stale', 'kubelet.node_stale'} & findings(result)
        before = run.changes()
        again = run.apply('stale_node', 'etcd_stale_member', confirm=told)
        assert again['outcomes'] == [] and not again['changed'] and not again['fails'] and run.changes() == before
        assert 'nothing to do for stale_node, etcd_stale_member nothing was changed' in shown(again)
        gone = run.apply('etcd_stale_member', targets={'etcd_stale_member': [STALE]}, confirm=told)
        assert outcomes(gone) == {('etcd_stale_member', STALE): 'refused'} and f'etcd of e1 has no member {STALE}' in whys(gone)
    lines = [json.loads(line) for line in Path(result['audit']).read_text().splitlines()]
    assert [line['event'] for line in lines if line.get('remedy') == 'stale_node'][0] == 'started'
    assert len(list((tmp_path / 'backups').iterdir())) == 2


def test_nospace_and_what_waits_for_it(tmp_path):
    with scenario('examples/e2.yaml', tmp_path) as run:
        told = run.sentences()
        result = run.apply('kubelet_serving_csr', 'stale_node', 'etcd_nospace', confirm=told)
        assert outcomes(result) == dict.fromkeys([('etcd_nospace', 'etcd'), ('kubelet_serving_csr', 'csr-w2'), ('stale_node', 'w-9')], 'done and proved'), \
            result['reason']
        assert result['unlocked'].startswith('etcd takes no writes')
        talos = [change for change in run.changes() if change.startswith('Etcd')]
        assert talos == ['EtcdDefragment cp-1', 'EtcdDefragment cp-3', 'EtcdDefragment cp-2', 'EtcdAlarmDisarm cp-1'] or set(talos) == {
            'EtcdDefragment cp-1', 'EtcdDefragment cp-2', 'EtcdDefragment cp-3', 'EtcdAlarmDisarm cp-1'}


# -- what is never done -------------------------------------------------------------------------------------------------

# The dangerous wishes of the three examples, with what the refusal must name.
DANGEROUS = [
    ('e1', 'etcd_stale_member', '4444444444444444', 'cp-3b'),
    ('e1', 'etcd_stale_member', 'cp-3b', 'a member is named by its id'),
    ('e1', 'reset', 'cp-3b', '3 of 4'),
    ('e1', 'power_off', 'cp-3b', '3 of 4'),
    ('e1', 'reboot', 'cp-1', '3 of 4'),
    ('e1', 'reboot', 'cp-2', '3 of 4'),
    ('e1', 'force_new_cluster', 'cp-1', '4 members'),
    ('e1', 'bootstrap', 'cp-1', '4 members'),
    ('e2', 'etcd_disarm', 'NOSPACE', 'with a quota of 2048 MiB'),
    ('e2', 'defragment_all', 'etcd', 'cp-2'),
    ('e2', 'raise_quota', 'etcd', '236 MiB'),
    ('e2', 'etcd_delete_keys', 'etcd', 'NOSPACE'),
    ('e3', 'etcd_stale_member', '2222222222222222', 'learner'),
    ('e3', 'bootstrap', 'cp-3', 'member'),
]


@pytest.mark.parametrize('example', ['e1', 'e2', 'e3'])
def test_dangerous_wishes_are_refused_and_nothing_is_different_afterwards(tmp_path, example):
    with scenario(f'examples/{example}.yaml', tmp_path) as run:
        told = [*run.sentences(), *(f'{verb} etcd member {member * 16} of {example}' for verb in ('remove', 'delete') for member in '1234'),
                f'block etcd of {example} while it is defragmented']
        before = run.state()
        for _example, name, target, evidence in (wish for wish in DANGEROUS if wish[0] == example):
            result = run.apply(name, targets={name: [target]}, confirm=told)
            assert outcomes(result) == {(name, target): 'refused'} and result['fails'], (name, target)
            assert evidence in whys(result) and len(whys(result)) > 40, whys(result)
            assert run.state() == before, (name, target)
        assert run.changes() == []


# -- a run that is killed -----------------------------------------------------------------------------------------------


@pytest.fixture(scope='module', name='forks')
def _forks():
    made = Forks()
    yield made
    made.close()


@pytest.mark.parametrize('at, how', [
    ('POST /apis/coordination.k8s.io', UNSENT), ('POST /apis/coordination.k8s.io', UNANSWERED), ('EtcdRemoveMemberByID', UNSENT),
    ('EtcdRemoveMemberByID', UNANSWERED), ('DELETE /api/v1/nodes', UNSENT), ('DELETE /api/v1/nodes', UNANSWERED),
], ids=lambda value: str(value).partition(' ')[0])
def test_after_a_run_that_was_killed_the_next_one_ends_well(tmp_path, forks, at, how):
    with scenario('examples/e1.yaml', tmp_path) as run:
        told = run.sentences()
        options = {**FAST, 'remedies': ['etcd_stale_member', 'stale_node'], 'confirm': told, 'backup_dir': str(tmp_path / 'backups')}
        assert forks.killed(run, 'talos_remediate', at, how, report_dir=str(tmp_path / 'killed'), **options)
        leases = [write for write in run.model.kubernetes.writes if 'leases' in write]
        if leases:  # as long as it lasts: nobody can know that its run was killed
            result = run.remediate(**options)
            assert set(outcomes(result).values()) <= {'refused'} and ('is being changed by another run' in whys(result) or not result['outcomes'])
        with mock.patch.object(remedy_lock, 'cluster_time', lambda view: datetime.now(timezone.utc) + timedelta(minutes=2)):
            run.remediate(**options)
        result = run.remediate()
        assert not {'etcd.member_stale', 'kubelet.node_stale'} & findings(result)
        for change in ('EtcdRemoveMemberByID', 'delete nodes'):
            assert sum(one.startswith(change) for one in run.changes()) == 1, run.changes()
        assert any(path.suffix == '.etcd' for path in (tmp_path / 'backups').iterdir())
    if (tmp_path / 'killed' / 'audit.jsonl').exists() and 'Etcd' in at:
        last = json.loads((tmp_path / 'killed' / 'audit.jsonl').read_text().splitlines()[-1])
        assert last['event'] == 'action' and last['does'].startswith('Remove the member')


# -- one machine that is everything -------------------------------------------------------------------------------------

ONE = {'topology': {'cp': {'solo': '10.5.0.11'}, 'workers': {}}, 'network': {'vip': 'none', 'vip_holder': 'none', 'endpoint': 'https://10.5.0.11:6443'},
       'setup': {'allow_scheduling_on_control_planes': True}}
MEMBER = '1111111111111111'
FULL = {'members': {'solo': MEMBER}, 'leader': 'solo', 'db_mb': 2061, 'in_use_mb': 236, 'quota_mb': 2048, 'alarms': [{'member': MEMBER, 'alarm': 'NOSPACE'}]}
GONE = {'solo': 'Ready', 'w-9': {'ready': 'Unknown', 'since': '-30d', 'internal_ip': '10.5.0.29'}}
REQUEST = {'name': 'csr-solo', 'signer': 'kubernetes.io/kubelet-serving', 'username': 'system:node:solo', 'ips': ['10.5.0.11'], 'dns': ['solo'],
           'usages': ['digital signature', 'server auth'], 'age': '18m', 'state': 'Pending'}
BALANCED = {**ONE, 'setup': {**ONE['setup'], 'names': {'talos.example.net': ['10.5.0.50']}, 'talos_balancer': '10.5.0.50'},
            'client': {'endpoints': ['10.5.0.11', 'talos.example.net']}}


@pytest.mark.parametrize('state, remedy, target', [
    ({**ONE, 'etcd': FULL, 'k8s': {'writes': 'rejected: etcdserver: mvcc: database space exceeded'}}, 'etcd_nospace', 'etcd'),
    ({**ONE, 'k8s': {'nodes': GONE}}, 'stale_node', 'w-9'),
    ({**ONE, 'machine_config': {'kubelet_extra_args': {'rotate-server-certificates': 'true'}}, 'k8s': {'csrs': [REQUEST]},
      'diagnostics': [{'node': 'solo', 'id': 'kubelet-csr'}]}, 'kubelet_serving_csr', 'csr-solo'),
    (BALANCED, 'talos_certsans', 'talos.example.net'),
    ({**ONE, 'nodes': {'solo': {'services': {'kubelet': ['Failed', '?']}}}}, 'kubelet_restart', 'solo'),
], ids=['nospace', 'stale-node', 'csr', 'certsans', 'kubelet'])
def test_one_machine_is_repaired_too(tmp_path, state, remedy, target):
    with scenario(state, tmp_path) as run:
        planned = run.remediate()['plan']['steps']
        (step,) = [step for step in planned if step['remedy'] == remedy]
        assert step['target'] == target and not step['by_hand'], step
        assert step['confirm'] == {'etcd_nospace': ['block etcd of prod while it is defragmented'],
                                   'kubelet_restart': ['restart the kubelet of solo while prod has 1 control plane node']}.get(remedy, [])
        told = run.sentences()
        assert outcomes(run.apply(remedy, confirm=told, check=True)) == {(remedy, target): 'would be done'} and run.changes() == []
        result = run.apply(remedy, confirm=told)
        assert outcomes(result) == {(remedy, target): 'done and proved'}, result['reason']
        before = run.changes()
        again = run.apply(remedy, confirm=told)
        assert again['outcomes'] == [] and not again['changed'] and run.changes() == before


def test_an_api_server_that_is_alone_is_restarted_only_where_that_is_said(tmp_path):
    with scenario(ONE, tmp_path) as run:
        snapshot = access.gather(run.params(), None)
        step = one(View(snapshot, judged.settings({})), 'talos_certsans', 'k8s.example.net')
        assert step['confirm'] == ['restart the API server while prod has 1 control plane node']
        assert step['predicted']['restarts'].endswith('the API server of one control plane node after the other')


def test_what_cannot_be_seen_is_not_proved():
    """A finding that is not there is gone only where its check could be judged."""
    def unproved(cluster_class, *found):
        report = {'class': cluster_class, 'findings': [{'id': f'{check}/x', 'check': check, 'verdict': verdict} for check, verdict in found]}
        run = SimpleNamespace(now=SimpleNamespace(report=report))
        run._problems = lambda: remediate._Run._problems(run)
        return remediate._Run._unproved(run, {'findings': ['etcd.member_stale/3', 'kubelet.node_stale/x']})

    assert unproved('healthy') == [] and unproved('healthy', ('kubelet.node_stale', 'info')) == []
    assert unproved('errors', ('etcd.member_stale', 'unknown')) == ['etcd.member_stale/3']
    assert unproved('warnings', ('kubelet.node_stale', 'warning')) == ['kubelet.node_stale/x']
    assert unproved('not_judged') == ['etcd.member_stale/3', 'kubelet.node_stale/x']


# -- consent ----------------------------------------------------------------------------------------------------------


def test_what_loses_something_needs_its_sentence_and_a_place_for_the_backup(tmp_path):
    with scenario('examples/e1.yaml', tmp_path) as run:
        result = run.remediate(remedies=['etcd_stale_member'])
        assert outcomes(result) == {('etcd_stale_member', STALE): 'refused'} and result['fails'] and not result['changed']
        assert whys(result) == f'It needs talos_confirm: "remove etcd member {STALE} of e1" and talos_backup_dir, the directory for backups.'
        assert 'nothing was changed' in shown(result)
        result = run.apply('etcd_stale_member', confirm=[f'remove etcd member {STALE} of e2'])
        assert f'It needs talos_confirm: "remove etcd member {STALE} of e1".' == whys(result)
        result = run.apply('etcd_stale_member', confirm=[f'Remove etcd member {STALE} of e1'])
        assert f'talos_confirm says "Remove etcd member {STALE} of e1", which no step of this plan asks for' in shown(result)
        assert run.changes() == [] and not (tmp_path / 'backups').exists() or list((tmp_path / 'backups').iterdir()) == []


def test_without_writes_there_is_no_lock_and_that_needs_a_sentence(tmp_path):
    with scenario('examples/e2.yaml', tmp_path) as run:
        assert run.remediate()['plan']['confirm'] == ['change e2 without a lock']
        result = run.apply('etcd_nospace', confirm=[])
        assert outcomes(result) == {('etcd_nospace', 'etcd'): 'refused'} and run.changes() == []
        assert whys(result) == 'It needs talos_confirm: "change e2 without a lock".'
        assert 'the cluster cannot be locked against a second run now: etcd takes no writes' in shown(result)


def test_two_runs_at_once(tmp_path):
    """The second is refused, and says who holds the lock."""
    with scenario('examples/e1.yaml', tmp_path) as run, other_run(run):
        told = run.sentences()
        before = run.changes()
        result = run.apply('etcd_stale_member', confirm=told)
        assert outcomes(result) == {('etcd_stale_member', STALE): 'refused'}
        assert 'The cluster is being changed by another run: somebody else holds the lock (Lease kube-system/talosops-talos-remediate)' in whys(result)
        assert run.changes() == before


@contextlib.contextmanager
def other_run(run):
    """Somebody else holds the lock of the cluster."""
    params = kube_access.with_kubeconfig(run.params())
    snapshot = access.gather(params, None, {'nodes', 'leases'}, set())
    with kube_access.api(params, snapshot) as kube, remedy_lock.held(kube, 'somebody else', snapshot.now):
        yield


# -- approval ---------------------------------------------------------------------------------------------------------


def test_what_was_approved_is_applied(tmp_path):
    with scenario('examples/e1.yaml', tmp_path) as run:
        planned = run.remediate(plan_out=str(tmp_path / 'plan.json'))
        for plan in (str(tmp_path / 'plan.json'), planned['plan'], json.dumps(planned['plan'])):
            result = run.apply('client_endpoints', plan=plan, plan_digest=planned['plan_digest'], check=True)
            assert outcomes(result) == {('client_endpoints', 'e1'): 'would be done'}
        result = run.apply('client_endpoints', plan=planned['plan'], plan_digest=planned['plan_digest'])
        assert outcomes(result) == {('client_endpoints', 'e1'): 'done and proved'}


def test_a_plan_that_was_swapped_or_changed_is_refused(tmp_path):
    with scenario('examples/e1.yaml', tmp_path) as run:
        plan = run.remediate()['plan']
        other = json.loads(json.dumps(plan).replace(STALE, '1111111111111111'))
        for swapped, digest, said in ((other, None, 'was changed after it was made'), (plan, '0' * 16, 'it is another plan'),
                                      ({**plan, 'steps': []}, None, 'was changed after it was made')):
            with pytest.raises(InputError, match=said):
                run.apply('etcd_stale_member', plan=swapped, plan_digest=digest)
        result = run.apply('etcd_stale_member', plan_digest='0' * 16)
        assert outcomes(result) == {('etcd_stale_member', STALE): 'refused'} and f'the plan of now has the digest {plan["digest"]}' in whys(result)
        assert run.changes() == []


def test_a_cluster_that_changed_since_is_left_alone(tmp_path):
    """One step of what was approved rests on what is not so any more, so nothing of it is applied."""
    with scenario('examples/e1.yaml', tmp_path) as run:
        told, plan = run.sentences(), run.remediate()['plan']
        assert outcomes(run.apply('etcd_stale_member', confirm=told)) == {('etcd_stale_member', STALE): 'done and proved'}
        before = run.changes()
        result = run.apply('etcd_stale_member', 'client_endpoints', confirm=told, plan=plan)
        assert outcomes(result) == dict.fromkeys([('etcd_stale_member', STALE), ('client_endpoints', 'e1')], 'refused') and result['fails']
        assert f'the step etcd_stale_member for {STALE} was approved, and is not needed any more: what it repairs is gone' in whys(result)
        assert run.changes() == before


def test_another_clusters_plan_is_refused(tmp_path):
    (tmp_path / 'one').mkdir()
    (tmp_path / 'two').mkdir()
    with scenario('examples/e1.yaml', tmp_path / 'one') as run:
        path = str(tmp_path / 'plan.json')
        plan = run.remediate(plan_out=path)['plan']
    with scenario('examples/e2.yaml', tmp_path / 'two') as run:
        result = run.apply('stale_node', plan=plan)
        assert 'it is the plan of e1' in whys(result) and run.changes() == []
        with pytest.raises(InputError, match=r'holds the plan of another cluster \(e1\) already'):
            run.remediate(plan_out=path)


# -- check mode -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('name, remedies', [('examples/e1.yaml', ['etcd_stale_member', 'stale_node', 'client_endpoints']),
                                            ('examples/e2.yaml', ['etcd_nospace', 'kubelet_serving_csr', 'stale_node'])])
def test_check_mode_makes_the_same_plan_and_changes_nothing(tmp_path, name, remedies):
    with scenario(name, tmp_path) as run:
        planned = run.remediate(plan_out=str(tmp_path / 'planned.json'))
        result = run.remediate(check=True, remedies=remedies, plan_out=str(tmp_path / 'checked.json'))
        assert run.changes() == []
    assert (tmp_path / 'planned.json').read_bytes() == (tmp_path / 'checked.json').read_bytes()
    assert set(outcomes(result).values()) == {'would be done'} and not result['fails'] and result['changed'], result['reason']
    assert result['diff'] and result['plan_digest'] == planned['plan_digest'] and result['audit'] is None


@pytest.mark.parametrize('options, said', [
    ({'remedies': ['etcd_stale_membr']}, 'etcd_stale_member'),
    ({'remedies': ['stale_node'], 'targets': {'etcd_stale_member': [STALE]}}, 'talos_targets names etcd_stale_member'),
    ({'remedies': ['stale_node'], 'targets': {'stale_node': []}}, 'has no target for stale_node'),
    ({'wait': -1}, 'wait must be'),
    ({'plan': '/nowhere/plan.json'}, 'cannot be read'),
    ({'plan': {'schema': 'x'}}, 'no plan of this format'),
])
def test_bad_input_is_one_sentence(tmp_path, options, said):
    with scenario('examples/e1.yaml', tmp_path) as run, pytest.raises(InputError) as error:
        run.remediate(**options)
    assert said in error.value.sentence() and run.changes() == []
