# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is never done, and what is told to whoever asks for it: this cluster's evidence. What no remedy is called."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import never, plan
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import BY_NAME
from tests.unit.remedies.planned import BROKEN, LIVE, build, healthy, machine, snapshot, take, view


def refusal(snap, name, target=''):
    return plan.refusal(view(snap), build(snap), name, target)


def test_no_name_is_both():
    every = [name for one in never.ALL for name in (one.name, *one.aliases)]
    assert len(every) == len(set(every)) and not set(every) & set(BY_NAME) and never.names() == sorted(every)


@pytest.mark.parametrize('written', ['force_new_cluster', 'Force-New-Cluster', ' force new cluster ', 'FORCE_NEW_CLUSTER'])
def test_a_name_however_it_is_written(written):
    assert never.find(written).name == 'etcd_recover'


@pytest.fixture(scope='module')
def views():
    """Of a cluster with an alarm and of one without."""
    return view(snapshot()), view(healthy(snapshot()))


@pytest.mark.parametrize('one', never.ALL, ids=lambda one: one.name)
def test_everything_is_refused_with_evidence(views, one):
    """Numbers, names or states of this very cluster, whatever is named."""
    for seen, target in itertools.product(views, ('cp-1', 'w-1', 'cp-3', LIVE, '', 'nobody')):
        said = plan.refusal(seen, [], one.name, target)
        assert said.startswith(f'{one.what} is never done by this collection: {one.why}; ') and len(said) > len(one.what) + len(one.why) + 60
        assert '..' not in said and '; ;' not in said and 'None' not in said and not said.endswith('.')


def test_nothing_was_read():
    snap = snapshot()
    for each in snap.machines:
        each.data, each.logs = {}, {}
    snap.kubernetes['data'] = {}
    for one in never.ALL:
        assert plan.refusal(view(snap), [], one.name, 'cp-1').startswith(one.what)


@pytest.mark.parametrize('name, target, words', [
    ('bootstrap', 'cp-1', 'the cluster exists: etcd has 4 members and the leader 2222222222222222'),
    ('reset', 'cp-3b', '3 of 4 voters of etcd are healthy, 3 are the quorum: it tolerates no failure; without it 2 of 4 voters would be left, and the quorum'),
    ('reboot', 'w-1', 'w-1 answers, its kubelet is Running and healthy and its Node is Ready'),
    ('shutdown', LIVE, 'cp-3b says that it is this member'),
    ('etcd_leave', 'cp-3', 'no machine of the cluster is cp-3'),
    ('etcd_disarm', 'etcd', 'it would come back at once'),
    ('etcd_remove_member', 'cp-3', '3333333333333333 ("cp-3", '),
    ('approve_all_csrs', '', 'csr-stranger of system:node:w-7 must not be approved: no machine is known whose Node is w-7'),
    ('change_subnets', '', 'its pod and service networks are'),
    ('drain', 'w-2', '4 of 6 Nodes are Ready, not cp-3 and w-2'),
])
def test_the_evidence(name, target, words):
    said = refusal(snapshot(), name, target)
    if name == 'etcd_leave':
        assert 'cp-3' in said and '3 of 4 voters' in said
    else:
        assert words in said, said


def test_data_that_was_not_seen_forbids_a_bootstrap():
    snap = snapshot()
    for each in snap.machines:
        for kind in ('EtcdMemberList', 'EtcdStatus', 'EtcdMembers'):
            take(snap, kind)
        if each.name in BROKEN['topology']['cp']:
            each.data.pop('EtcdDirectory', None)
    snap.kubernetes['data'] = {}
    assert 'holds data of etcd was not seen' in refusal(snap, 'bootstrap', 'cp-1') or 'may hold data of etcd' in refusal(snap, 'bootstrap', 'cp-1')


def test_what_a_machine_is_at():
    snap = snapshot()
    for item in machine(snap, 'cp-2').value('MachineStatuses'):
        item['spec']['stage'] = 'upgrading'
    assert 'cp-2 is upgrading; cp-1 is the healthy etcd voter' in refusal(snap, 'reboot', 'cp-1')


@pytest.mark.parametrize('name, near', [('etcd_stale_membr', 'etcd_stale_member'), ('stalenode', 'stale_node'), ('boostrap', 'bootstrap')])
def test_a_name_that_is_none_names_the_nearest(name, near):
    with pytest.raises(InputError) as error:
        refusal(snapshot(), name, 'x')
    assert error.value.message == f'There is no remedy "{name}".' and error.value.hint == f'Did you mean "{near}"?'


def test_a_name_like_none_tells_what_there_is():
    with pytest.raises(InputError) as error:
        refusal(snapshot(), 'zzzz', 'x')
    assert error.value.hint.startswith('There are: client_endpoints, etcd_defragment')


def test_who_manages_the_cluster_does_it():
    snap = snapshot()
    for each in snap.kubernetes['data']['nodes'].value:
        each['annotations']['cluster.x-k8s.io/machine'] = each['name']
    assert refusal(snap, 'stale_node', 'cp-3').startswith('Cluster API manages this cluster, and does this or lets it be done there; ')


def test_a_step_that_is_refused_tells_its_own_reason():
    snap = snapshot()
    snap.client['source'] = 'content'
    assert refusal(snap, 'client_endpoints', 'prod') == 'the talosconfig was given as content, so there is no file to change'
