# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_kubernetes_node in simulated clusters: a Node without a machine is deleted, and no other."""

from __future__ import annotations

import copy
import json
import socket
import stat
from pathlib import Path

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, RoleRefused, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import stale_node
from tests.simulator import kubernetes_nodes
from tests.simulator.kubernetes_store import RESOURCES
from tests.unit.remedies.simulated import UNANSWERED, UNSENT, bed, cut

MODULE = 'talos_kubernetes_node'
LIVE = {'cp-1': 'Ready', 'cp-2': 'Ready', 'cp-3': 'Ready', 'w-1': 'Ready', 'w-2': 'Ready'}
GONE = {'ready': 'Unknown', 'since': '-3h', 'internal_ip': '10.5.0.29'}


def state(node=None, nodes=None, **more):
    return {'k8s': {'nodes': {**LIVE, 'w-9': {**GONE, **(node or {})}, **(nodes or {})}}, **more}


def uid(one, name='w-9'):
    return kubernetes_nodes.node_uid(one.model, name)


def names(one):
    return sorted(one.model.kubernetes_nodes)


def run(one, tmp_path, check=False, name='w-9', **options):
    given = {'name': name, 'uid': uid(one, name), 'backup_dir': str(tmp_path / 'kept'), 'verify_seconds': 0.0, 'timeout': 4.0, **options}
    return one.run(MODULE, check=check, **given)


def refused(one, tmp_path, match, **options):
    before = names(one)
    with pytest.raises(TalosError, match=match) as caught:
        run(one, tmp_path, **options)
    assert names(one) == before and one.changes() == [] and not list(tmp_path.glob('kept/*')), 'nothing was sent, nothing was written'
    return caught.value


class OfAnyApi:
    """What holds with the real API as well (tests/contract/kubernetes/test_nodes.py)."""

    def test_a_node_without_a_machine_is_kept_as_a_file_and_deleted(self, tmp_path):
        with bed(state()) as one:
            told = run(one, tmp_path, check=True)
            assert told['changed'] and told['backup_file'] is None and not (tmp_path / 'kept').exists() and one.changes() == [] and 'w-9' in names(one)
            assert told['evidence'][0].startswith('Ready is Unknown, NodeStatusUnknown')
            assert any('port 50000, asked from here' in each for each in told['evidence'])
            assert any('asked through cp-1' in each for each in told['evidence'])

            meant = uid(one)
            done = run(one, tmp_path)
            assert done['changed'] and 'failed' not in done and names(one) == sorted(LIVE) and one.changes() == ['delete nodes w-9']
            assert done['diff'] == told['diff'] and f'uid: {meant}' in done['diff']['before'] and done['diff']['after'] == ''
            kept = Path(done['backup_file'])
            whole = json.loads(kept.read_text())
            assert stat.S_IMODE(kept.stat().st_mode) == 0o600 and stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
            assert (whole['kind'], whole['metadata']['uid'], whole['metadata']['labels']['kubernetes.io/hostname']) == ('Node', meant, 'w-9')

            again = run(one, tmp_path, uid=meant)
            assert again['changed'] is False and again['diff'] == {**again['diff'], 'before': '', 'after': ''} and len(one.changes()) == 1

    @pytest.mark.parametrize('node, nodes, options, why', [
        ({'since': '-20m'}, None, {}, 'has not been Ready for 20 min only, and a machine that is silent for less than 30 min may come back'),
        ({'ready': 'Ready'}, None, {}, 'Node w-9 is Ready'),
        ({'internal_ip': '10.5.0.22'}, None, {}, r'w-2 answers, and has [0-9.]+ as this Node has'),
        (None, None, {'expected_nodes': ['w-9']}, 'w-9 is among the expected nodes'),
        (None, None, {'uid': '00000000-0000-0000-0000-000000000000'}, 'has the uid .* it is another one than the one that was meant'),
        (None, {'w-7': {**GONE, 'internal_ip': '10.5.0.27'}, 'w-8': {**GONE, 'internal_ip': '10.5.0.28'}}, {},
         r'3 of 8 Nodes have no machine that answers \(w-7, w-8 and w-9\), which is more than 30%'),
    ])
    def test_what_speaks_for_a_machine_behind_it(self, tmp_path, node, nodes, options, why):
        with bed(state(node, nodes)) as one:
            refused(one, tmp_path, why, **options)

    def test_a_live_node_an_etcd_member_and_one_that_discovery_knows(self, tmp_path):
        with bed(state()) as one:
            refused(one, tmp_path,
                    '^Node w-1 is not deleted. Node w-1 is Ready.* w-1 answers, and is the machine of this Node|w-1 answers, and has', name='w-1')
        dead = {'etcd': {'members': {'cp-1': '1111111111111111', 'cp-2': '2222222222222222', 'cp-3': '3333333333333333', 'w-9': '4444444444444444'},
                         'member_addresses': {'w-9': '10.5.0.29'}, 'reachable': ['cp-1', 'cp-2', 'cp-3']}}
        with bed(state(**dead)) as one:
            refused(one, tmp_path, r'It is the etcd member 4444444444444444 \("w-9".*\): remove that first, by its id')
        with bed(state(discovery={'extra': {'w-9': {'addresses': ['10.5.0.29'], 'age': '10m'}}})) as one:
            refused(one, tmp_path, 'Discovery on cp-1 knows a member w-9 with ')

    def test_something_that_answers_at_its_address(self, tmp_path):
        with bed(state()) as one, socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((one.model.kubernetes_nodes['w-9']['internal_ip'], 10250))
            listening.listen()
            refused(one, tmp_path, 'Something answers on .*, port 10250, asked from here: the connection was taken')
        with bed(state(nodes={'w-2': {'ready': 'Unknown', 'since': '-3h'}})) as one:
            refused(one, tmp_path, 'w-2 answers', name='w-2')

    def test_a_deletion_is_sent_once_and_looked_into(self, tmp_path):
        def deletes(name):
            return name.startswith('DELETE /api/v1/nodes/')

        with bed(state()) as one:
            with cut(1, UNSENT, deletes):
                done = run(one, tmp_path)
            assert done['failed'] and done['msg'].startswith('Node w-9 is there still: its deletion did not reach the API.') and done['backup_file']
            with cut(1, UNANSWERED, deletes) as cuts:
                assert 'failed' not in run(one, tmp_path) and one.changes() == ['delete nodes w-9'] and len(cuts) == 1

    def test_the_only_worker_of_a_small_cluster_can_be_stale(self, tmp_path):
        small = {'topology': {'cp': {'cp-1': '10.5.0.11'}, 'workers': {}}, 'etcd': {'members': {'cp-1': '1111111111111111'}},
                 'client': {'endpoints': ['10.5.0.11'], 'role': 'os:admin', 'cert_expires_days': 300, 'context_matches_cluster': True},
                 'k8s': {'nodes': {'cp-1': 'Ready', 'w-9': GONE}}}
        with bed(small) as one:
            assert run(one, tmp_path)['changed'] and names(one) == ['cp-1']


class TestSimulated(OfAnyApi):
    """With the simulated one."""


def test_while_the_api_does_not_take_writes_for_certain(tmp_path):
    full = {'etcd': {'db_mb': 2050, 'in_use_mb': 300, 'quota_mb': 2048, 'alarms': [{'member': 'cp-1', 'alarm': 'NOSPACE'}]}}
    with bed(state(**full)) as one:
        refused(one, tmp_path, 'The Kubernetes API does not take writes for certain: etcd takes no writes: the alarm NOSPACE stands')
    with bed({'k8s': {'nodes': {name: {'ready': 'Unknown', 'since': '-3h', **({'internal_ip': '10.5.0.29'} if name == 'w-9' else {})}
                                for name in (*LIVE, 'w-9')}}}) as one:
        refused(one, tmp_path, 'no kubelet has renewed its lease for ')


def test_when_what_must_be_known_was_not_read(tmp_path):
    hang = ('cp-1', 'cp-2', 'cp-3')
    for kind, why in (('EtcdMemberList', 'Whether it is an etcd member was not read'), ('Nodenames', 'Whether cp-1 is the machine of this Node was not read'),
                      ('EtcdStatus', 'no etcd member was seen to know a leader'), ('Members', 'Whether discovery knows its machine was not read')):
        with bed(state(faults={'hanging_calls': {name: [kind] for name in hang}})) as one:
            refused(one, tmp_path, why, timeout=1.0, deadline=20.0, nodes=[one.address(name) for name in ('w-1', 'w-2')])
    reader = {'client': {'endpoints': ['10.5.0.11', '10.5.0.12'], 'role': 'os:reader', 'cert_expires_days': 300, 'context_matches_cluster': True}}
    with bed(state(**reader)) as one:
        with pytest.raises(RoleRefused, match='Talos issues a kubeconfig to os:admin alone'):
            run(one, tmp_path)
        assert run(one, tmp_path, kubeconfig=str(one.cluster.directory / 'kubeconfig'))['changed'] and 'w-9' not in names(one)


def test_volumes_need_the_sentence(tmp_path):
    with bed(state()) as one:
        local = {'metadata': {'name': 'pv-local', 'uid': 'u-1', 'resourceVersion': '1'}, 'spec': {'nodeAffinity': {'required': {'nodeSelectorTerms': [
            {'matchExpressions': [{'key': 'kubernetes.io/hostname', 'operator': 'In', 'values': ['w-9']}]}]}}}}
        other = copy.deepcopy(local)
        other['metadata'] |= {'name': 'pv-other', 'uid': 'u-2'}
        other['spec']['nodeAffinity']['required']['nodeSelectorTerms'][0]['matchExpressions'][0]['values'] = ['w-1']
        attached = {'metadata': {'name': 'csi-1', 'uid': 'u-3', 'resourceVersion': '1'},
                    'spec': {'nodeName': 'w-9', 'attacher': 'csi', 'source': {'persistentVolumeName': 'pv-csi'}}}
        for item in (local, other):
            one.model.kubernetes.create(RESOURCES['', 'persistentvolumes'], item)
        one.model.kubernetes.create(RESOURCES['storage.k8s.io', 'volumeattachments'], attached)
        error = refused(one, tmp_path, 'volumes are attached to it or local to it: pv-csi, pv-local.$')
        assert error.hint.endswith('confirm: ["delete node w-9 of prod with 2 volumes"]')
        refused(one, tmp_path, 'volumes are attached', confirm=['delete node w-9'])
        assert run(one, tmp_path, confirm=['delete node w-9 of prod with 2 volumes'])['volumes'] == ['pv-csi', 'pv-local'] and 'w-9' not in names(one)


def test_a_directory_that_cannot_be_written_is_told_first(tmp_path):
    (tmp_path / 'file').write_text('')
    with bed(state()) as one, pytest.raises(InputError, match='backup_dir .* cannot be made: '):
        run(one, tmp_path, backup_dir=str(tmp_path / 'file'))
    assert stale_node.SILENT_SECONDS == 1800
