# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every task that changes something, interrupted: the next run ends in a good state, and nothing is done twice that must not be.

The connection is cut before a call, so that the server never sees it, and after it, so that the server has done it and nobody was told;
and the process of the task is killed at these moments. That is done at each call that changes something, at the read before the first
of them, at each request that follows directly, and, where a task looks at the whole cluster again after a change (about a hundred
reads), at the reads of etcd that decide there and at all of them together. The reads before the first change have changed nothing:
interrupted among them, a task is as one that never ran. Where there are several changes, the first and the last are taken. What is on
trial on a machine (mode try) is refused until the machine has taken it back, and then done.
"""

from __future__ import annotations

import contextlib
import json
import stat

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.module_utils.kube.api import TRIES
from ansible_collections.talosops.talos.plugins.module_utils.remedies.etcd_backup import MODE
from ansible_collections.talosops.talos.plugins.module_utils.tasks import etcd_files
from tests.simulator import kubernetes_csrs, kubernetes_nodes
from tests.simulator.kubernetes_store import RESOURCES
from tests.unit.remedies.killed import Forks
from tests.unit.remedies.simulated import REPLACE, UNANSWERED, UNSENT, bed, cut, impatient

PLANES, WORKERS = {'cp-1': '10.5.0.11', 'cp-2': '10.5.0.12', 'cp-3': '10.5.0.13'}, {'w-1': '10.5.0.21'}
NODES = {'cp-1': 'Ready', 'cp-2': 'Ready', 'cp-3': 'Ready', 'w-1': 'Ready'}
GONE = {'ready': 'Unknown', 'since': '-3h', 'internal_ip': '10.5.0.29'}
CSR = {'name': 'csr-right', 'signer': kubernetes_csrs.SERVING, 'username': 'system:node:w-1', 'dns': ['w-1'], 'ips': ['10.5.0.21'], 'age': '20m',
       'state': 'Pending'}
MEMBERS = {'cp-1': '1' * 16, 'cp-2': '2' * 16, 'cp-3': '3' * 16}
WITH_A_WORKER = {'endpoints': ['10.5.0.11', '10.5.0.21'], 'role': 'os:admin', 'cert_expires_days': 300, 'context_matches_cluster': True}


WITH_A_BALANCER = {'setup': {'talos_balancer': '10.5.0.50'}, 'client': {**WITH_A_WORKER, 'endpoints': [*PLANES.values(), '10.5.0.50']}}
BOTH = ((1, UNSENT), (1, UNANSWERED))
# A process that is killed before its first change is as one that never ran.
DONE = ((1, UNANSWERED),)


class Case:
    """A module: C(state) of the cluster, C(options(one, directory)), and C(good(one, directory)) that asserts the state afterwards.

    C(change) is what changes something, C(before) a read before it, C(after) the calls that decide after it; C(changes) how often it may be in
    the logs of the servers. C(cuts) and C(kills) are the turns, from 1, at which it is interrupted, and how; C(dry) of them change nothing.
    """

    def __init__(self, module, state, options, good, before, change, after=(), changes=1, cuts=BOTH, kills=DONE, dry=0):
        self.module, self.options, self.good, self.changes = module, options, good, changes
        self.before, self.change, self.after, self.cuts, self.kills, self.dry = before, change, after, cuts, kills, dry
        self.state = {'topology': {'cp': PLANES, 'workers': {} if 'etcd' in module else WORKERS}, **state}


def _snapshot_options(_one, directory):
    return {'dest': str(directory / 'etcd.db')}


def _snapshot_good(one, directory):
    found = etcd_files.look(str(directory / 'etcd.db'), MEMBERS.values())
    assert found.verified and found.mode == MODE and len(found.members) == 3 and one.changes() == []


def _alarm_good(one, _directory):
    assert one.model.etcd.alarms == []


def _defragment_good(one, _directory):
    changes = one.changes()
    assert sorted(changes) == [f'EtcdDefragment {name}' for name in MEMBERS], 'each of them once'


def _member_options(one, directory):
    if not (directory / 'etcd.db').exists():
        one.run('talos_etcd_snapshot', dest=str(directory / 'etcd.db'))
    return {'timeout': 2.0, 'id': '4' * 16, 'backup': str(directory / 'etcd.db'), 'confirm': [f'remove etcd member {"4" * 16} of prod']}


def _member_good(one, _directory):
    assert sorted(one.model.etcd.ids) == sorted(MEMBERS)


def _csr_good(one, _directory):
    item = one.model.kubernetes.get(RESOURCES['certificates.k8s.io', 'certificatesigningrequests'], None, 'csr-right')
    assert [each['type'] for each in item['status']['conditions']] == ['Approved'] and item['status']['certificate']


def _node_options(one, directory):
    return {'name': 'w-9', 'uid': kubernetes_nodes.node_uid(one.model, 'w-9'), 'backup_dir': str(directory / 'kept'), 'verify_seconds': 0.0, 'timeout': 4.0}


def _node_good(one, directory):
    assert sorted(one.model.kubernetes_nodes) == sorted(NODES)
    kept = [json.loads(path.read_text()) for path in (directory / 'kept').glob('node-w-9-*.json')]
    assert kept and all(whole['metadata']['name'] == 'w-9' for whole in kept), 'what was deleted is kept'


def _service_good(one, _directory):
    assert one.model.nodes['w-1'].service('kubelet')[0] == 'Running'


def _config_good(one, _directory):
    path = one.cluster.directory / 'talosconfig'
    context = yaml.safe_load(path.read_text())['contexts']['prod']
    assert sorted(context['endpoints']) == sorted(one.address(name) for name in MEMBERS) and context['key'] and stat.S_IMODE(path.stat().st_mode) == 0o600


def _certsans_options(one, directory):
    return {'names': [one.model.setup['talos_balancer']], 'lists': ['machine'], 'nodes': ['cp-1', 'cp-2'], 'backup_dir': str(directory / 'kept'),
            'timeout': 3.0}


def _certsans_good(one, directory):
    for name in ('cp-1', 'cp-2'):
        assert one.model.nodes[name].config.machine['certSANs'] == [one.model.setup['talos_balancer']]
        assert list((directory / 'kept').glob(f'config-prod-{name}-*.yaml')), 'what it was before is kept'
    assert sorted(one.changes()) == ['ApplyConfiguration cp-1 NO_REBOOT', 'ApplyConfiguration cp-2 NO_REBOOT'], 'each of them once'


def _patch_options(one, directory):
    one.model.nodes['w-1'].config.persistent = True  # something was saved since it booted, so that it tells what is on trial
    return {'nodes': ['w-1'], 'patch': {'machine': {'sysctls': {'vm.max_map_count': '262144'}}}, 'mode': 'try', 'try_timeout': 30.0,
            'backup_dir': str(directory / 'kept'), 'timeout': 3.0}


def _patch_good(one, _directory):
    assert one.model.nodes['w-1'].config.machine['sysctls'] == {'vm.max_map_count': '262144'}
    one.cluster.skip(60)
    assert one.model.nodes['w-1'].config.machine['sysctls'] == {'vm.max_map_count': '262144'}, 'it is not on trial any more'


CSRS, NODE = '/apis/certificates.k8s.io/v1/certificatesigningrequests/csr-right', '/api/v1/nodes/w-9'
RESTART = {'node': 'w-1', 'service': 'kubelet', 'state': 'restarted', 'wait': 3.0, 'timeout': 4.0, 'only_unhealthy': True}
ALL = ''
CASES = {case.module: case for case in (
    Case('talos_etcd_snapshot', {}, _snapshot_options, _snapshot_good, 'EtcdStatus', 'EtcdSnapshot', kills=BOTH),
    Case('talos_etcd_alarm', {'etcd': {'alarms': [{'member': 'cp-1', 'alarm': 'NOSPACE'}]}}, lambda *_: {'settle': 0.0}, _alarm_good,
         'EtcdAlarmList', 'EtcdAlarmDisarm', ('EtcdAlarmList', ALL)),
    Case('talos_etcd_defragment', {'etcd': {'db_mb': 1900, 'in_use_mb': 236}}, lambda *_: {'pause': 0.0, 'timeout': 2.0}, _defragment_good,
         'EtcdStatus', 'EtcdDefragment', ('EtcdStatus', ALL), 3, ((1, UNSENT), (3, UNANSWERED)), ((3, UNSENT), (1, UNANSWERED))),
    Case('talos_etcd_member', {'etcd': {'members': {**MEMBERS, 'cp-4': '4' * 16}, 'member_addresses': {'cp-4': '10.5.0.99'}}}, _member_options, _member_good,
         'EtcdMemberList', 'EtcdRemoveMemberByID', ('EtcdMemberList', ALL)),
    Case('talos_kubernetes_csr', {'k8s': {'csrs': [CSR]}}, lambda *_: {}, _csr_good, f'GET {CSRS}', f'PUT {CSRS}', (f'GET {CSRS}',)),
    Case('talos_kubernetes_node', {'k8s': {'nodes': {**NODES, 'w-9': GONE}}}, _node_options, _node_good, f'GET {NODE}', f'DELETE {NODE}', (f'GET {NODE}',)),
    Case('talos_service', {'nodes': {'w-1': {'services': {'kubelet': ['Failed', '?']}}}}, lambda *_: RESTART, _service_good,
         'ServiceList', 'ServiceRestart', ('ServiceList',), 2),  # one that is not up yet is restarted again, which harms nobody
    Case('talos_certsans', WITH_A_BALANCER, _certsans_options, _certsans_good, 'EtcdStatus', 'ApplyConfiguration', (ALL,), 2,
         ((2, UNSENT), (3, UNSENT), (4, UNANSWERED)), ((4, UNSENT),), dry=2),
    Case('talos_config_patch', {}, _patch_options, _patch_good, 'EtcdStatus', 'ApplyConfiguration', (), 4,
         tuple((turn, how) for turn in (2, 3) for how in (UNSENT, UNANSWERED)), ((2, UNANSWERED),), dry=1),
    Case('talos_client_config', {'client': WITH_A_WORKER}, lambda *_: {'backup': True}, _config_good, 'EtcdMemberList', REPLACE, kills=BOTH),
)}


def _points():
    """(module, which call, of which name, how the connection breaks)."""
    for case in CASES.values():
        yield case.module, 1, case.before, UNSENT
        if case.change != REPLACE:
            yield from ((case.module, turn, case.change, how) for turn, how in case.cuts)
        yield from ((case.module, 1, f'after {name}', UNSENT) for name in case.after)


def _kills():
    """The same, where the process is killed; and before and after a file is put into its place."""
    for case in CASES.values():
        yield from ((case.module, turn, case.change, how) for turn, how in case.kills)
    yield from (('talos_kubernetes_node', 1, REPLACE, UNSENT), ('talos_etcd_snapshot', 1, REPLACE, UNSENT), ('talos_client_config', 2, REPLACE, UNSENT),
                ('talos_service', 2, 'ServiceList', UNANSWERED))


@pytest.fixture(scope='module')
def forks():
    made = Forks()
    yield made
    made.close()


def _ends_well(one, case, directory, options):
    """The next run, uninterrupted, and what is then; what it leaves in nobody's place is nothing."""
    try:
        again = one.run(case.module, **options)
    except TalosError as error:  # what is on trial is left alone until the machine has taken it back
        assert case.module == 'talos_config_patch' and 'trial' in error.message, error.message
        one.cluster.skip(60)
        again = one.run(case.module, **options)
    assert not again.get('failed'), again
    case.good(one, directory)
    assert len(one.changes()) <= case.changes, one.changes()
    assert [path.name for place in (directory, one.cluster.directory) for path in place.rglob('.*')] == []


def _counted(case, name):
    """Whether a call is one of these; with "after", only from the first change on."""
    changed = []

    def counted(called):
        if not name.startswith('after '):
            return called.startswith(name)
        if called.startswith(case.change):
            changed.append(called)
            return False
        return len(changed) > case.dry and called.startswith(name.removeprefix('after '))

    return counted


@pytest.mark.parametrize('module, turn, name, how', [pytest.param(*point, id='-'.join(map(str, point)).replace('/', '.')) for point in _points()])
def test_the_connection_is_cut(tmp_path, module, turn, name, how):
    case = CASES[module]
    with bed(case.state) as one, impatient():
        options = case.options(one, tmp_path)
        last = turn if how == UNANSWERED or name == case.change else 10**6 if name == f'after {ALL}' else turn + TRIES - 1
        with cut(turn, how, _counted(case, name), last) as calls, contextlib.suppress(TalosError):
            one.run(module, **options)
        assert len(calls) >= turn, 'it never came so far'
        _ends_well(one, case, tmp_path, options)


@pytest.mark.parametrize('module, turn, name, how', [pytest.param(*point, id='-'.join(map(str, point)).replace('/', '.')) for point in _kills()])
def test_the_process_is_killed(tmp_path, forks, module, turn, name, how):
    case = CASES[module]
    with bed(case.state) as one, impatient():
        options = case.options(one, tmp_path)
        assert forks.killed(one, module, name, how, turn, **options), 'it never came so far'
        _ends_well(one, case, tmp_path, options)
