# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Section x.time: every rule of EXT-TIME, its near misses, and what is said without the data."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import clocks, talos_api
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time, parse_time
from tests import recorded
from tests.unit.guide import machines, states
from tests.unit.guide.judging import findings, lose, node, old, report

CHECKS = clocks.CHECKS
TIMES = ('localtime', 'remotetime', 'sent_at', 'received_at')


def shift(machine, seconds, names=('localtime',)):
    said = machine.value('Time')
    for name in names:
        said[name] = format_time(parse_time(said[name]) + timedelta(seconds=seconds))


def other_server(machine, seconds):
    """It agrees with a time server of its own, which is off by so much."""
    shift(machine, seconds, ('localtime', 'remotetime'))
    machine.value('Time')['server'] = '192.0.2.123'


def unsynced(snapshot, name, off=0.0):
    machine = node(snapshot, name)
    machines.spec(machine, 'TimeStatuses')['synced'] = False
    shift(machine, off)
    return machine


def judged(snapshot, check=None):
    return {(f['check'], *f['nodes']): f['verdict'] for f in findings(report(snapshot, checks=CHECKS), check)}


@pytest.mark.parametrize('name', recorded.SETS)
@pytest.mark.parametrize('later', [0, 86400])
def test_nothing_is_said_of_the_recorded_clocks(name, later):
    snapshot = machines.recorded(name, later)
    found = report(snapshot, checks=CHECKS)
    assert not found['findings'] and found['sections']['x.time']['verdict'] == 'ok'


def test_nothing_is_said_on_metal():
    assert not judged(machines.metal())


# -- not synchronised ---------------------------------------------------------------------------------------------

def test_a_clock_that_is_not_synchronised():
    snapshot = machines.metal()
    unsynced(snapshot, 'w1', off=8.7)
    found = findings(report(snapshot, checks=CHECKS))
    assert [(f['check'], f['verdict'], f['nodes']) for f in found] == [('time.not_synced', 'error', ['w1'])], 'one fact, one finding'
    assert 'it is 8.7 s ahead of 10.5.0.1' in found[0]['title'] and 'UDP port 123' in found[0]['next_step']


def test_the_services_that_wait_are_named():
    snapshot = machines.metal()
    machine = unsynced(snapshot, 'w1')
    machine.value('ServiceList')['services'].append({'id': 'trustd', 'state': 'Waiting', 'events': {'events': [
        {'ts': format_time(snapshot.now), 'state': 'Waiting', 'msg': 'Waiting for service "containerd" to be "up", time sync, network'}]}})
    assert 'trustd waits for it' in findings(report(snapshot, checks=CHECKS), 'time.not_synced')[0]['means']


@pytest.mark.parametrize('seconds, verdict', [(120, 'info'), (599, 'info'), (601, 'error')])
def test_after_a_boot_it_takes_a_moment(seconds, verdict):
    snapshot = machines.metal()
    machine = unsynced(snapshot, 'w1')
    for each in machine.value('MachineStatuses'):
        each['created'] = format_time(parse_time(machine.value('Time')['localtime']) - timedelta(seconds=seconds))
    assert judged(snapshot) == {('time.not_synced', 'w1'): verdict}


def test_the_age_of_a_machine_goes_by_its_own_clock():
    """A machine without a hardware clock has just booted in 1970."""
    snapshot = machines.metal()
    machine = unsynced(snapshot, 'w1')
    machine.value('Time')['localtime'] = '1970-01-01T00:01:00Z'
    machine.value('MachineStatuses')[0]['created'] = '1970-01-01T00:00:05Z'
    assert judged(snapshot) == {('time.not_synced', 'w1'): 'info'}


def test_the_condition_of_the_machine_tells_the_same():
    snapshot = machines.metal()
    machine = node(snapshot, 'w1')
    lose(machine, 'TimeStatuses', 'unsupported')
    assert judged(snapshot)['time.not_synced', 'w1'] == 'unknown'
    machines.spec(machine, 'MachineStatuses')['status'] = {'ready': False, 'unmetConditions': [{'name': 'time', 'reason': 'time is not synced'}]}
    assert judged(snapshot)['time.not_synced', 'w1'] == 'error'


def test_switched_off_is_worth_knowing_except_in_containers():
    snapshot = machines.metal()
    machines.spec(node(snapshot, 'w1'), 'TimeStatuses')['syncDisabled'] = True
    assert judged(snapshot) == {('time.not_synced', 'w1'): 'info'}
    assert not judged(machines.recorded()), 'recorded: synced and syncDisabled are both true in container mode'


# -- away from the time server ------------------------------------------------------------------------------------

@pytest.mark.parametrize('seconds, verdict', [(0.3, None), (-0.3, None), (0.5, 'warning'), (-4.9, 'warning'), (5.1, 'error'), (-3600, 'error')])
def test_a_clock_that_is_not_its_time_servers(seconds, verdict):
    snapshot = machines.metal()
    shift(node(snapshot, 'cp2'), seconds)
    assert judged(snapshot) == ({('time.clock_off', 'cp2'): verdict} if verdict else {})


def test_thresholds_are_the_users():
    snapshot = machines.metal()
    shift(node(snapshot, 'cp2'), 0.5)
    assert not findings(report(snapshot, {'time_offset_warning_seconds': 1}, CHECKS))


# -- the time server ----------------------------------------------------------------------------------------------

def blocked(snapshot, name):
    machine = node(snapshot, name)
    machine.data['Time'] = Datum('failed', reason='error querying NTP server "10.5.0.1": i/o timeout', code='Unknown')
    return machine


def test_without_an_answer_of_the_time_server_its_status_decides():
    """An air gap in which NTP is blocked: healthy, and told."""
    snapshot = machines.metal()
    for name in ('cp1', 'cp2', 'cp3', 'w1'):
        blocked(snapshot, name)
    found = report(snapshot, checks=CHECKS)
    assert found['class'] == 'healthy' and {f['check'] for f in findings(found, worse_than='unknown')} == set()
    assert {f['check'] for f in findings(found) if f['verdict'] == 'info'} == {'time.server_not_answering'}
    assert found['sections']['x.time']['verdict'] == 'info', 'nothing that counts is unknown'


BY = '{"component": "controller-runtime", "controller": "time.SyncController"'
FAILS = (40, 'ERROR', f'time query error with server "10.5.0.1" {BY}, "error": "read udp 10.5.0.5:41283->10.5.0.1:123: i/o timeout"}}')
WORKS = f'adjusting time (slew) by 312.608µs via 10.5.0.1, state TIME_OK, status STA_PLL | STA_NANO {BY}}}'


@pytest.mark.parametrize('lines, verdict', [([FAILS], 'warning'), ([], 'info'), ([FAILS, (20, 'INFO', WORKS)], None),
                                            ([(80, 'INFO', WORKS), FAILS], 'warning')])
def test_a_clock_that_runs_free_while_talos_tries_in_vain(lines, verdict):
    snapshot = machines.metal()
    machines.controllers(snapshot, blocked(snapshot, 'w1'), *lines)
    said = judged(snapshot)
    assert said.pop(('time.clocks_differ', ), None) == 'unknown'
    assert said == ({('time.server_not_answering', 'w1'): verdict} if verdict else {}), 'DHCP may have named other servers than the one asked'


def test_one_of_several_servers_is_silent():
    snapshot = machines.metal()
    machines.controllers(snapshot, node(snapshot, 'w1'), FAILS)
    assert judged(snapshot) == {('time.server_not_answering', 'w1'): 'info'}


def test_lines_of_the_boot_are_history():
    snapshot = machines.metal()
    machines.controllers(snapshot, node(snapshot, 'w1'), (3000, *FAILS[1:]))
    assert not judged(snapshot)


@pytest.mark.parametrize('state', ['timed_out', 'refused', 'not_asked', 'unsupported', 'unreachable'])
def test_an_unread_clock_is_unknown(state):
    snapshot = machines.metal()
    lose(node(snapshot, 'cp1'), 'Time', state)
    found = report(snapshot, checks=CHECKS)
    assert {(f['check'], f['verdict']) for f in findings(found)} == {
        ('time.clock_off', 'unknown'), ('time.server_not_answering', 'unknown'), ('time.clocks_differ', 'unknown')}
    assert found['sections']['x.time']['verdict'] == 'unknown'


@pytest.mark.parametrize('state', ['timed_out', 'refused', 'not_asked', 'unsupported', 'failed'])
def test_an_unread_status_is_unknown(state):
    snapshot = machines.metal()
    lose(node(snapshot, 'cp1'), 'TimeStatuses', state)
    found = report(snapshot, checks=CHECKS)
    assert {(f['check'], f['verdict']) for f in findings(found)} == {('time.not_synced', 'unknown')}


def test_what_the_machine_waits_for_counts_as_well():
    snapshot = machines.metal()
    machines.spec(node(snapshot, 'w1'), 'MachineStatuses')['status'] = {'ready': False, 'unmetConditions': [{'name': 'time', 'reason': 'time is not synced'}]}
    assert judged(snapshot) == {('time.not_synced', 'w1'): 'error'}


def test_without_any_clock():
    snapshot = machines.metal()
    for machine in snapshot.machines:
        lose(machine, 'Time')
    unseen = {check for (check, *_nodes), verdict in judged(snapshot).items() if verdict == 'unknown'}
    assert unseen == {'time.clock_off', 'time.clocks_differ', 'time.control_node_clock', 'time.server_not_answering'}


# -- beside each other --------------------------------------------------------------------------------------------

def test_time_servers_that_disagree():
    snapshot = machines.metal()
    other_server(node(snapshot, 'cp3'), 1.5)
    found = findings(report(snapshot, checks=CHECKS))
    assert [(f['check'], f['verdict'], f['subject']) for f in found] == [('time.clocks_differ', 'warning', 'cluster')]
    assert 'cp3' in found[0]['nodes'] and '1.5 s apart' in found[0]['title'] and len(found[0]['evidence']) == 4


def test_what_a_slow_call_leaves_open_is_no_difference():
    snapshot = machines.metal()
    machine = node(snapshot, 'cp3')
    shift(machine, 1.5, ('localtime', 'remotetime'))
    shift(machine, 1.6, ('received_at',))
    assert not judged(snapshot)


def test_the_way_of_the_answer_is_no_offset():
    """The machine looks at its clock when the time server's answer has come: it seems ahead by the way of that."""
    snapshot = machines.metal()
    machine = node(snapshot, 'cp3')
    shift(machine, 0.7, ('localtime', 'received_at'))
    assert not judged(snapshot)
    shift(machine, 0.7)
    assert judged(snapshot) == {('time.clock_off', 'cp3'): 'warning'}


def test_a_clock_that_is_known_to_be_wrong_is_not_told_twice():
    snapshot = machines.metal()
    unsynced(snapshot, 'cp3', 60)
    shift(node(snapshot, 'cp2'), 30)
    assert set(judged(snapshot)) == {('time.not_synced', 'cp3'), ('time.clock_off', 'cp2')}


@pytest.mark.parametrize('seconds', [-40 * 86400, -6, 6, 86400])
def test_the_control_nodes_own_clock(seconds):
    """By a wrong clock here all machines look wrong; they agree with each other and with their time servers."""
    snapshot = machines.metal()
    for machine in snapshot.machines:
        shift(machine, -seconds, ('localtime', 'remotetime'))
    found = findings(report(snapshot, checks=CHECKS))
    assert [(f['check'], f['verdict'], f['nodes']) for f in found] == [('time.control_node_clock', 'info', [])]
    assert ('ahead of' if seconds > 0 else 'behind') in found[0]['title']


def test_clocks_that_agree_with_one_server_agree_with_each_other():
    """Whatever the calls seem to tell: a cluster that is replayed gives its answers at another pace than it gave them."""
    snapshot = machines.metal()
    shift(node(snapshot, 'cp3'), 6, ('localtime', 'remotetime'))
    assert judged(snapshot) == {}


def test_one_machine_whose_time_server_is_wrong_does_not_make_ours_wrong():
    snapshot = machines.metal()
    other_server(node(snapshot, 'cp3'), 900)
    assert set(check for check, *_nodes in judged(snapshot)) == {'time.clocks_differ'}


# -- certificates ---------------------------------------------------------------------------------------------------

def refused_by_date(begins, ends, dead=True):
    snapshot = states.snapshot()
    snapshot.machines = [machine for machine in snapshot.machines if machine.name != 'nobody']
    machine = states.dead(snapshot, 'w1', kind='expired', text='x509: certificate has expired or is not yet valid')
    certificate = states.served(snapshot, common_name='w1', not_before=begins(snapshot.now), not_after=ends(snapshot.now))
    machine.data['certificate'] = Datum('read', certificate)
    return snapshot


def at(**after):
    return lambda now: format_time(now + timedelta(**after))


@pytest.mark.parametrize('begins, ends, told', [
    (lambda now: '1970-01-01T00:00:10Z', lambda now: '1970-01-02T00:00:10Z', 'behind'),
    (at(days=3), at(days=4), 'ahead'),
    (at(hours=-26), at(hours=-2), None),  # the clock, or an apid that renews nothing: the certificate is what is known
    (at(seconds=60), at(hours=24), None)])
def test_certificates_that_only_a_wrong_clock_explains(begins, ends, told):
    snapshot = refused_by_date(begins, ends)
    found = report(snapshot, checks=(*talos_api.CHECKS, *CHECKS))
    dates = findings(found, 'time.server_certificate_dates')
    assert [(f['verdict'], f['nodes']) for f in dates] == [('error', ['w1'])]
    assert dates[0]['root'] and (f'far {told}' in dates[0]['title'] if told else 'far' not in dates[0]['title'])


def test_a_node_whose_certificate_has_the_wrong_time_is_neither_a_firewall_nor_a_wrong_talosconfig():
    """The text is the clock's (signature api.cert_time_invalid), whatever its certificate said."""
    snapshot = states.snapshot()
    machine = states.dead(snapshot, 'cp3', text='x509: certificate has expired or is not yet valid: current time 2026-11-22T10:00:00Z is after '
                                                '1970-01-02T00:00:10Z')
    states.only_endpoint(snapshot, '10.5.0.2')
    found = report(snapshot, checks=(*talos_api.CHECKS, *CHECKS))
    dates = findings(found, 'time.server_certificate_dates')
    assert [(f['section'], f['verdict'], f['subject']) for f in dates] == [('x.time', 'error', machine.key)] and 'clock' in dates[0]['means']
    assert {found['sections'][key]['verdict'] for key in ('talos_api.firewall', 'talos_api.client_configuration')} == {'ok'}


def test_where_nobody_is_verified_no_clock_is_blamed():
    snapshot = states.snapshot()
    certificate = states.served(snapshot, not_before='2036-01-01T00:00:00Z', not_after='2036-01-02T00:00:00Z')
    states.disconnected(snapshot, 'not_yet_valid', 'x509: certificate is not yet valid', certificate)
    assert all('far' not in f['title'] for f in findings(report(snapshot, checks=CHECKS), 'time.server_certificate_dates'))


# -- the kernel -----------------------------------------------------------------------------------------------------

def test_the_kernels_own_view_is_information():
    snapshot = machines.metal()
    machines.spec(node(snapshot, 'cp1'), 'AdjtimeStatuses')['syncStatus'] = False
    assert judged(snapshot) == {('time.kernel_not_synced', 'cp1'): 'info'}


@pytest.mark.parametrize('state', ['timed_out', 'refused', 'unsupported'])
def test_without_it_nothing_is_lost(state):
    snapshot = machines.metal()
    for machine in snapshot.machines:
        lose(machine, 'AdjtimeStatuses', state)
    found = report(snapshot, checks=CHECKS)
    assert found['sections']['x.time']['verdict'] == 'ok' and {f['verdict'] for f in findings(found)} == {'unknown'}


PROBLEMS = {
    'not synchronised': lambda snapshot: unsynced(snapshot, 'w1', 9),
    'off': lambda snapshot: shift(node(snapshot, 'cp2'), 2),
    'free': lambda snapshot: machines.controllers(snapshot, blocked(snapshot, 'w1'), FAILS),
    'apart': lambda snapshot: other_server(node(snapshot, 'cp3'), 1.5),
}


@pytest.mark.parametrize('name', PROBLEMS)
def test_no_missing_datum_hides_a_wrong_clock(name):
    snapshot = machines.metal()
    PROBLEMS[name](snapshot)
    assert machines.hides(snapshot, CHECKS) == []


def test_every_machine_dead():
    snapshot = old()
    for machine in list(snapshot.machines):
        states.dead(snapshot, machine.name)
    assert set(judged(snapshot).values()) == {'unknown'}
