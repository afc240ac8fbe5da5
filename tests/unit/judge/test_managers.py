# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that Omni or Cluster API manages is marked so, and what is theirs to repair is not offered."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.judge import check as c
from ansible_collections.talosops.talos.plugins.module_utils.judge import managers, settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import judge
from ansible_collections.talosops.talos.plugins.module_utils.report import console
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide.judging import READ, recording

REMEDIES = ('stale_node', 'etcd_stale_member', 'etcd_nospace', 'kubelet_restart')


def report(snapshot):
    found = [c.error(name, 'x', 'y', 'Do it.', remedy={'name': name, 'args': {}}) for name in REMEDIES] + [c.error('none', 'x', 'y', 'Do it.')]
    checks = (c.Check('etcd.x', 'etcd.other', 'x', lambda view: list(found)),)
    return judge(snapshot, settings.build(checks), checks)


def offered(judged):
    return {finding['remedy']['name'] for finding in judged['findings'] if finding['remedy']}


def by_omni():
    snapshot = recording()
    snapshot.machines[0].data['SiderolinkStatuses'] = Datum(READ, [{'id': 'siderolink-status', 'spec': {'host': 'omni.example.com:8090', 'connected': True}}])
    return snapshot


def by_cluster_api():
    snapshot = recording()
    snapshot.kubernetes['data']['nodes'].value[0]['annotations']['cluster.x-k8s.io/machine'] = 'cp-x'
    return snapshot


@pytest.mark.parametrize(('make', 'names', 'left'), [
    (recording, [], set(REMEDIES)),
    (by_omni, ['Omni'], {'etcd_nospace', 'kubelet_restart'}),
    (by_cluster_api, ['Cluster API'], {'etcd_nospace', 'kubelet_restart', 'etcd_stale_member'}),
])
def test_what_a_manager_owns_is_left_to_it(make, names, left):
    judged = report(make())
    assert judged['managed_by'] == names and offered(judged) == left
    for finding in judged['findings']:
        mine = finding['subject'] in (*left, 'none')
        assert finding['next_step'] == ('Do it.' if mine else f'{names[0]} manages this cluster: let it do this, or do it there. Do it.')
    assert (f'managed by {names[0]}' if names else 'managed by') in console.render(judged) or not names


def test_without_its_signs_nothing_is_said_of_a_manager():
    snapshot = by_cluster_api()
    snapshot.kubernetes['data']['nodes'] = Datum('unreachable', reason='no answer')
    assert report(snapshot)['managed_by'] == []


def test_every_remedy_that_is_owned_exists():
    assert {name for owned in managers.OWNED.values() for name in owned} <= {check.remedy for check in CHECKS}
