# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a member may be removed, on changed recordings of a real cluster."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_member as remedy
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time
from tests.unit.guide.judging import READ, lose, members_of, node, old, planes, preparing, recording, stage
from tests.unit.guide.judging import unreachable as silent
from tests.unit.guide.test_etcd_members import GONE, OLD, in_discovery, with_old_member


def complain(snapshot, *where, start=900, end=0, step=5, member=OLD):
    """The probers of these machines complain of a member, from so many seconds ago on."""
    for name in where:
        lines = ''.join(_line(snapshot, seconds, 'prober detected unhealthy status', member, error='dial tcp 10.5.0.13:2380: connect: no route to host')
                        for seconds in range(start, end - 1, -step))
        node(snapshot, name).logs['etcd'] = Datum(READ, lines)


def _line(snapshot, seconds, text, member=OLD, error=None):
    told = f',"error":"{error}"' if error else ''
    return f'{{"level":"warn","ts":"{format_time(snapshot.now - timedelta(seconds=seconds))}","msg":"{text}","remote-peer-id":"{member}"{told}}}\n'


def dead():
    """A fourth member without a machine, of which the others complain."""
    snapshot = old()
    with_old_member(snapshot)
    complain(snapshot, 'cp1', 'cp2', 'cp3')
    return snapshot


def against(snapshot, member=OLD, **options):
    return '; '.join(remedy.against(View(snapshot, settings.build((), **options)), member))


def test_a_dead_one_may_go():
    snapshot = dead()
    assert against(snapshot) == ''
    view = View(snapshot, settings.build(()))
    assert remedy.numbers(view) == {'voters': 4, 'healthy': 3, 'quorum': 3, 'tolerance': 0}
    assert remedy.numbers(view, OLD) == {'voters': 3, 'healthy': 3, 'quorum': 2, 'tolerance': 1}


@pytest.mark.parametrize('name', ['cp1', 'cp2', 'cp3'])
def test_a_live_one_never_may(name):
    snapshot = dead()
    reasons = against(snapshot, node(snapshot, name).value('EtcdStatus')['member_id'])
    assert f'it is alive: {name} says that it is this member' in reasons


def test_the_leader_never_may_even_if_only_one_says_so():
    snapshot = dead()
    node(snapshot, 'cp2').value('EtcdStatus')['leader'] = OLD
    assert 'cp2 says that it is the leader' in against(snapshot)


def test_the_recording_with_a_dead_control_plane_node():
    """Discovery still listed it, and it had been dead for less than ten minutes."""
    snapshot = recording('one-cp-down')
    member = next(one['id'] for one in members_of(snapshot)[0] if one['hostname'] == 'cp3')
    complain(snapshot, 'cp1', 'cp2', start=400, member=member)
    assert 'have not been able to reach it for 6 min only, and 10 min must pass' in against(snapshot, member)
    complain(snapshot, 'cp1', 'cp2', start=700, member=member)
    assert 'must pass' not in against(snapshot, member)


def _quiet(*names):
    def change(snapshot):
        for name in names:
            node(snapshot, name).logs['etcd'] = Datum(READ, '')
    return change


def _unread(snapshot):
    for machine in planes(snapshot):
        lose(machine, 'etcd', log=True)


def _old_complaints(snapshot):
    complain(snapshot, 'cp1', 'cp2', 'cp3', end=300)


def _reached(snapshot):
    node(snapshot, 'cp2').logs['etcd'].value += _line(snapshot, 0, 'peer became active')


def _learner(snapshot):
    for members in members_of(snapshot):
        next(one for one in members if one['id'] == OLD).update(is_learner=True, hostname='')


def _stranger(snapshot):
    """A control plane node with data that does not say which member it is, at an address that no member has."""
    machine = node(snapshot, 'cp3')
    preparing(snapshot, machine)
    machine.address, machine.addresses = '10.5.0.77', ['10.5.0.77']
    lose(machine, 'EtcdDirectory')


def _fewer(snapshot):
    for name in ('cp2', 'cp3'):
        silent(node(snapshot, name))


@pytest.mark.parametrize('change, why', [
    (_quiet('cp1', 'cp2'), 'only 1 of 3 other members say that they cannot reach it, and 2 must'),
    (_unread, 'only 0 of 3 other members say that they cannot reach it, and 2 must (cp1: no answer'),
    (_old_complaints, 'only 0 of 3 other members'),
    (_reached, 'etcd on cp2 has reached it lately, so it is alive'),
    (_learner, 'it may be a machine that is joining'),
    (_stranger, 'cp3 may be this member: it holds etcd data and does not say which member it is (its etcd is Preparing)'),
    (_fewer, '1 of the 3 voters that would be left are healthy, and their quorum is 2 (now 1 of 4, quorum 3)'),
    (lambda s: stage(s, node(s, 'cp1'), 'rebooting', 5), 'cp1 is rebooting'),
    (lambda s: node(s, 'cp1').value('TimeStatuses')[0]['spec'].update(synced=False), 'the clock of cp1 is not in sync'),
    (lambda s: lose(node(s, 'cp1'), 'TimeStatuses'), 'whether the clock of cp1 is in sync is not known'),
    (lambda s: lose(node(s, 'cp1'), 'EtcdMemberList'), 'cp1 did not give its list of etcd members'),
    (lambda s: [lose(machine, 'Affiliates') for machine in planes(s)], 'whether it is gone is not known'),
])
def test_it_is_refused_with_the_evidence(change, why):
    snapshot = dead()
    change(snapshot)
    assert why in against(snapshot)


def test_while_discovery_lists_it_ten_minutes_must_pass():
    snapshot = dead()
    in_discovery(snapshot, GONE, 'Members')
    assert against(snapshot) == ''
    complain(snapshot, 'cp1', 'cp2', 'cp3', start=590)
    assert 'and 10 min must pass' in against(snapshot)
    complain(snapshot, 'cp1', 'cp2', start=650)
    assert against(snapshot) == '', 'two of the three have missed it for long enough'
    assert 'you named it as a machine of this cluster' in against(snapshot, expected_nodes=[GONE])


def test_after_it_was_reached_the_time_begins_anew():
    snapshot = dead()
    in_discovery(snapshot, GONE, 'Members')
    for name in ('cp1', 'cp2', 'cp3'):
        log = node(snapshot, name).logs['etcd']
        lines = log.value.splitlines(keepends=True)
        log.value = ''.join(lines[:100]) + _line(snapshot, 402, 'peer became active') + ''.join(lines[100:])
    assert 'have not been able to reach it for 6 min only' in against(snapshot)


def test_a_machine_that_is_another_member_now_is_evidence_enough():
    """Its address answers the probers of the others, who then do not complain."""
    snapshot = old()
    with_old_member(snapshot, address=node(snapshot, 'cp3').address)
    snapshot.machines = [machine for machine in snapshot.machines if machine.answered]
    assert against(snapshot) == ''


def test_settled_or_not():
    snapshot = dead()
    view = View(snapshot, settings.build(()))
    assert 'still lists it' in remedy.unsettled(view, OLD, 3)[0]
    assert remedy.unsettled(View(old(), settings.build(())), OLD, 3) == []
    assert remedy.unsettled(View(old(), settings.build(())), OLD, 4) == ['3 members are listed, and 4 were expected']
