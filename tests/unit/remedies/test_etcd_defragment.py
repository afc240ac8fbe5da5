# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which members are worth defragmenting and when it is safe, on changed recordings of a real cluster."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_defragment as remedy
from tests.unit.guide.judging import lose, node, old, planes, recording
from tests.unit.guide.test_etcd_space import alarm, sizes

MIB = 1024 ** 2


def view(snapshot):
    return View(snapshot, settings.build(()))


def ids(snapshot):
    return {machine.value('EtcdStatus')['member_id']: machine.name for machine in planes(snapshot)}


def due(snapshot, threshold=0.5, least=100 * MIB):
    return [ids(snapshot)[member] for member in remedy.due(view(snapshot), threshold, least)]


def test_the_leader_comes_last_whoever_it_is():
    for leader in ('cp1', 'cp2', 'cp3'):
        snapshot = old()
        sizes(snapshot, 900, 90)
        for machine in planes(snapshot):
            machine.value('EtcdStatus')['leader'] = node(snapshot, leader).value('EtcdStatus')['member_id']
        order = due(snapshot)
        assert len(order) == 3 and order[-1] == leader


@pytest.mark.parametrize('size, used, nospace, gains', [
    (900, 450, False, False), (900, 449, False, True), (99, 9, False, False), (100, 9, False, True), (0, 0, False, False),
    (2048, 1900, True, False), (2048, 1800, True, True), (50, 40, True, True), (2048, 1800, False, False),
])
def test_only_where_there_is_something_to_gain(size, used, nospace, gains):
    snapshot = old()
    sizes(snapshot, size, used)
    if nospace:
        alarm(snapshot, 'NOSPACE')
    assert bool(due(snapshot)) is gains


def test_the_recorded_alarm():
    snapshot = recording('nospace-alarm')
    assert len(due(snapshot)) == 3
    member = next(iter(ids(snapshot)))
    assert remedy.against(view(snapshot), member) == [], 'all members are healthy, in container mode the disk is the host\'s'


def test_the_room_on_the_disk():
    snapshot, gib = old(), 1024 ** 3
    machine = node(snapshot, 'cp1')

    def reasons(available, used, mounted='/var'):
        machine.data['Mounts'].value = {'stats': [{'filesystem': '/dev/vda4', 'size': 10 * gib, 'available': available, 'mounted_on': mounted}]}
        return remedy.disk_room(view(snapshot), machine, used)

    assert reasons(3 * gib, 2 * gib) == [] and 'less than 1.5 times the 2048 MiB in use' in reasons(3 * gib - 1, 2 * gib)[0]
    assert reasons(3 * gib - 1, 2 * gib, '/var/lib/etcd'), 'on a disk of its own'
    machine.data['Mounts'].value = {'stats': []}
    machine.value('Version')['platform']['mode'] = 'metal'
    assert 'tells no size of /var' in remedy.disk_room(view(snapshot), machine, 1)[0]
    machine.value('Version')['platform']['mode'] = 'container'
    assert remedy.disk_room(view(snapshot), machine, 1) == []
    lose(machine, 'Mounts')
    assert 'the room on the disk of cp1 is not known' in remedy.disk_room(view(snapshot), machine, 1)[0]


def test_well_again_or_not():
    snapshot = old()
    member = node(snapshot, 'cp1').value('EtcdStatus')['member_id']
    status = node(snapshot, 'cp1').value('EtcdStatus')
    assert remedy.unwell(view(snapshot), member) == []
    status.update(raft_index=5000, raft_applied_index=3999)
    assert 'is 1001 entries behind' in remedy.unwell(view(snapshot), member)[0]
    status['leader'] = '0' * 16
    assert 'knows no leader' in remedy.unwell(view(snapshot), member)[0]
    lose(node(snapshot, 'cp1'), 'EtcdStatus')
    assert 'does not answer' in remedy.unwell(view(snapshot), member)[0] and remedy.size_of(view(snapshot), member) is None
