# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known lines of logs: each with its example, their rules, and silence on healthy clusters."""

from __future__ import annotations

import copy
import functools
import json
import lzma
from datetime import timedelta
from pathlib import Path

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.judge import loglines, settings, signatures
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import KEYS
from ansible_collections.talosops.talos.plugins.module_utils.judge.signatures import CATALOGUE
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Machine, Snapshot, format_time, parse_time
from tests.recorded import SETS, snapshot
from tests.tools import make_signatures

ENTRIES = make_signatures.load()
IDS = [entry['id'] for entry in ENTRIES]
BY_ID = {entry['id']: entry for entry in ENTRIES}


def view_of(name='healthy', change=None):
    """A View of a recorded set; C(change(snapshot)) may change a copy of it."""
    taken = copy.deepcopy(snapshot(name))
    if change:
        change(taken)
    return View(taken, settings.Settings())


def with_log(log_id, *lines, age=20, more=None):
    """(view, first machine) of a healthy recording whose log holds these lines alone, C({at}) being the time so many seconds ago."""
    def change(taken):
        machine = taken.machines[0]
        at = taken.now - timedelta(seconds=age)
        text = ''.join(line.replace('{at}', format_time(at)).replace('{ms}', str(at.timestamp() * 1000)) + '\n' for line in lines)
        machine.logs[log_id] = Datum('read', text)
        if more:
            more(machine, taken)

    view = view_of(change=change)
    return view, view.snapshot.machines[0]


def grown(machine, taken, hours=2):
    """The machine booted so many hours ago."""
    for item in machine.value('MachineStatuses'):
        item['created'] = format_time(taken.now - timedelta(hours=hours))


def without_events(machine, taken):
    grown(machine, taken)
    for service in machine.value('ServiceList')['services']:
        service['events'] = {'events': []}


# -- the data -------------------------------------------------------------------------------------------------------

def test_the_module_is_in_step_with_its_source():
    assert make_signatures.TARGET.read_text(encoding='utf-8') == make_signatures.text()


def test_every_entry_is_whole():
    assert len(ENTRIES) == len(set(IDS)) == len(CATALOGUE) >= 179
    for signature in CATALOGUE.values():
        assert signature.section in KEYS, signature.id
        assert signature.severity in signatures.SEVERITIES, signature.id
        assert signature.reference.startswith(('https://', 'recording of Talos ')), signature.id
        assert signature.meaning and signature.remedy, signature.id
        assert set(signature.wins_over) <= set(CATALOGUE), signature.id


@pytest.mark.parametrize('name', IDS)
def test_example(name):
    """Each example is matched by its own entry, which wins in every stream that it names."""
    entry, example = BY_ID[name], BY_ID[name]['example']
    normal = loglines.without_second_stamp(loglines.normal(example))
    assert CATALOGUE[name].regex.search(normal)
    for written in (normal, normal.replace('"', '\\"'), normal.replace('"', '\\x5c"'), normal.replace('"', '\\\\\\"')):
        assert any(needle in written for needle in CATALOGUE[name].needles)
        assert CATALOGUE[name].regex.search(loglines.normal(written))
    won = signatures.matching(example, entry['source'])
    assert won.id == name


@pytest.mark.parametrize('pattern, needles', [
    ('abcd', ('abcd',)), ('(?:abcd|efghi)', ('abcd', 'efghi')), ('x?abcd.*efghijk', ('efghijk',)), ('(?:prefix one|prefix two)', ('prefix ',)),
    ('(?<!from )decode', ('decode',)), (r'(?m)^\S+\s+(?P<m>[0-9a-f]{16})\s+NOSPACE\b', ('NOSPACE',)), ('(?:abcd)+', ('abcd',)),
    ('abc[de]fghi', ('fghi',)),
    ('abcd"efghi', ('efghi',)),
])
def test_a_needle_stands_in_every_match(pattern, needles):
    assert make_signatures.needles(pattern) == needles


@pytest.mark.parametrize('pattern', ['a', '(?:abcd)?', '(?:abcd|.*)', r'\d+', '(?:abcd)*'])
def test_a_pattern_without_a_sure_text_is_refused(pattern):
    with pytest.raises(ValueError, match='no text'):
        make_signatures.needles(pattern)


# -- the rules ------------------------------------------------------------------------------------------------------

OOM = 'kern:     err: [{at}]: Out of memory: Killed process 1855 (dashboard) total-vm:1322108kB'
UNHEALTHY = ('{"level":"warn","ts":"{at}","caller":"rafthttp/probing_status.go:68","msg":"prober detected unhealthy status",'
             '"remote-peer-id":"3333333333333333","error":"dial tcp 10.5.0.13:2380: connect: no route to host"}')
HEARTBEAT = '{"level":"warn","ts":"{at}","msg":"failed to send out heartbeat on time"}'


def test_a_hit_says_what_was_seen():
    view, machine = with_log('dmesg', OOM, more=grown)
    [hit] = view.signatures.on(machine, 'sys.oom_kill')
    assert (hit.id, hit.machine, hit.source, hit.count, hit.recent_count, hit.recent) == ('sys.oom_kill', machine, 'dmesg', 1, 1, True)
    assert hit.groups == {'pid': '1855', 'proc': 'dashboard'} and hit.line.text.startswith('Out of memory') and hit.first == hit.at == hit.line.at
    told = hit.evidence()
    assert (told.text, told.source, told.node, told.at) == (hit.line.text, 'log dmesg', 'cp1', format_time(hit.at))


def test_an_entry_matches_only_the_streams_that_it_names():
    view, machine = with_log('kubelet', '{"ts":{ms},"msg":"Out of memory: Killed process 1 (x)"}', more=grown)
    assert view.signatures.on(machine, 'sys.oom_kill') == []
    view, machine = with_log('machined', '2026/11/22 10:17:09.000000 machined/authz/x rpc error: no space left on device',
                             '2026/11/22 10:17:09.000000 machined OK [/machine.MachineService/Logs] no space left on device', more=grown)
    assert view.signatures.on(machine, 'sys.disk_full') == []


def test_the_kubelets_milliseconds_and_klogs_missing_year():
    now = parse_time('2027-01-01T00:10:00Z')
    assert format_time(loglines.time_of('{"ts":1795342388524.625,"msg":"x"}', now)) == '2026-11-22T10:13:08.524Z'
    assert format_time(loglines.time_of('E1231 23:59:00.302973    2749 run.go:72] "x"', now)) == '2026-12-31T23:59:00.302Z'
    assert format_time(loglines.time_of('kern:  notice: [2026-11-22T09:36:37.896547893Z]: Linux', now)) == '2026-11-22T09:36:37.896Z'
    assert format_time(loglines.time_of('2026-11-22T10:12:53.188368112Z stderr F I1122 10:12:53.1 x', now)) == '2026-11-22T10:12:53.188Z'


def test_what_was_before_the_boot_is_history():
    view, machine = with_log('etcd', UNHEALTHY, age=7200, more=lambda m, t: grown(m, t, 1))
    [hit] = view.signatures.on(machine, 'etcd.peer_unhealthy')
    assert hit.history and not hit.recent


def test_what_was_before_the_service_became_healthy_is_history():
    line = '{"ts":{ms},"caller":"server.go:193","msg":"Failed to validate kubelet flags"}'
    view, machine = with_log('kubelet', line, age=3600, more=grown)
    [hit] = view.signatures.on(machine, 'kubelet.bad_flags')
    assert hit.history and not hit.recent
    view, machine = with_log('kubelet', line, age=10, more=grown)
    [hit] = view.signatures.on(machine, 'kubelet.bad_flags')
    assert not hit.history and hit.recent


@pytest.mark.parametrize('age, hours, recent', [(20, 2, True), (301, 2, False), (20, 0.1, False)])
def test_a_line_that_is_normal_for_a_while(age, hours, recent):
    view, machine = with_log('etcd', UNHEALTHY, age=age, more=lambda m, t: grown(m, t, hours))
    [hit] = view.signatures.on(machine, 'etcd.peer_unhealthy')
    assert hit.recent is recent and hit.groups['peer'] == '3333333333333333'


@pytest.mark.parametrize('number, recent', [(9, False), (10, True)])
def test_load_counts_by_its_number(number, recent):
    view, machine = with_log('etcd', *[HEARTBEAT] * number, more=grown)
    [hit] = view.signatures.on(machine, 'etcd.slow_heartbeat')
    assert (hit.recent, hit.recent_count) == (recent, number)
    assert view.signatures.quiet(machine, 'etcd.slow_heartbeat') is not recent


def test_load_means_nothing_on_a_young_machine():
    view, machine = with_log('etcd', *[HEARTBEAT] * 20)
    assert view.signatures.quiet(machine, 'etcd.slow_heartbeat')


def test_since():
    view, machine = with_log('etcd', UNHEALTHY, more=grown)
    assert view.signatures.on(machine, 'etcd.peer_unhealthy', since=view.now) == []
    assert view.signatures.on(machine, 'etcd.peer_unhealthy', since=view.now - timedelta(minutes=1))


def test_ages_go_by_the_machines_own_clock():
    """An hour ahead or behind: the log's own stamps tell what is recent."""
    for hours in (-1, 1):
        def shift(machine, taken, hours=hours):
            without_events(machine, taken)
            grown(machine, taken, 5)
            at = taken.now + timedelta(hours=hours)
            machine.data['Time'] = Datum('read', {'localtime': format_time(at)})
            machine.logs = {'etcd': machine.log('etcd')}
            machine.logs['machined'] = Datum('read', f'{at:%Y/%m/%d %H:%M:%S} [talos] up\n')
        view, machine = with_log('etcd', UNHEALTHY, age=20 - hours * 3600, more=shift)
        [hit] = view.signatures.on(machine, 'etcd.peer_unhealthy')
        assert hit.recent and 10 < hit.age < 40


def test_a_quiet_log_is_not_recent():
    view, machine = with_log('etcd', UNHEALTHY, age=4000, more=without_events)
    [hit] = view.signatures.on(machine, 'etcd.peer_unhealthy')
    assert not hit.recent and not hit.history


def test_the_same_event_in_several_logs_counts_once():
    line = '2026/11/22 10:17:00.000000 [talos] 2026/11/22 10:17:00 removing shared IP {"operator": "vip", "ip": "10.5.0.100"}'
    view, machine = with_log('machined', line, more=lambda m, t: m.logs.update({'dmesg': Datum('read', line)}))
    [hit] = view.signatures.on(machine, 'vip.removed')
    assert hit.count == 1 and hit.groups == {'ip': '10.5.0.100'}


def test_an_error_of_two_lines_is_one():
    text = ('2026/11/22 10:17:00.627655 [talos] 2026/11/22 10:17:00 service[etcd](Failed): Failed to run pre stage: failed to pull image '
            '"registry.k8s.io/etcd:v3.6.99": 1 error(s) occurred:\n\tfailed to pull image "registry.k8s.io/etcd:v3.6.99": not found')
    view, machine = with_log('machined', text, more=grown)
    assert [hit.id for hit in view.signatures.recent(machine) if 'pull' in hit.id or 'pre' in hit.id] == ['image.etcd_pull_failed']


def test_what_the_state_says_is_matched_too():
    def change(machine, _taken):
        machine.data['EtcdStatus'] = Datum('read', {'errors': ['memberID:14110624312194729768 alarm:NOSPACE ']})
        machine.data['CertSANs'] = Datum('refused', reason='not authorized', code='PermissionDenied')
    view, machine = with_log('etcd', more=change)
    hits = {hit.id: hit for hit in view.signatures.on(machine, 'etcd.alarm_in_status', 'api.rbac_not_authorized')}
    assert hits['etcd.alarm_in_status'].recent and hits['etcd.alarm_in_status'].groups['alarm'] == 'NOSPACE'
    assert hits['api.rbac_not_authorized'].evidence().source == 'gRPC error'


def test_a_name_that_is_no_signature_is_a_fault():
    view, machine = with_log('etcd')
    with pytest.raises(KeyError, match=r'no such signature: etcd\.nonsense'):
        view.signatures.on(machine, 'etcd.nonsense')


# -- healthy clusters -----------------------------------------------------------------------------------------------

# Logs of real machines that were fine: nine minutes after the bootstrap (healthy, baseline), and in the first minutes (fresh-cluster in container
# mode, metal-up on a machine with a kernel log of its own). Per machine: when it booted, and its logs.
HEALTHY_LOGS = Path(__file__).parent / 'data' / 'healthy-logs.json.xz'
# What the present state takes back on them: the CNI had been installed a minute before.
TAKEN_BACK = {'kubelet.cni_not_initialized'}


@functools.cache
def healthy_logs():
    return json.loads(lzma.decompress(HEALTHY_LOGS.read_bytes()))


def logs_view(told, hours=0):
    """(view, machine) of logs alone; booted so many hours earlier than it was."""
    booted = format_time(parse_time(told['booted']) - timedelta(hours=hours))
    machine = Machine('m', name='m', type='controlplane', answered=True, logs={log: Datum('read', text) for log, text in told['logs'].items()},
                      data={'MachineStatuses': Datum('read', [{'id': 'machine', 'created': booted, 'spec': {'stage': 'running'}}])})
    view = View(Snapshot(taken_at='2026-11-22T12:00:00Z', machines=[machine]), settings.Settings())
    view.snapshot.taken_at = format_time(view.signatures.clock(machine))
    return View(view.snapshot, settings.Settings()), machine


@pytest.mark.parametrize('name', healthy_logs())
def test_no_line_of_a_healthy_machine_counts(name):
    view, machine = logs_view(healthy_logs()[name])
    assert {hit.id for hit in view.signatures.bad(machine)} <= TAKEN_BACK
    assert [hit for hit in view.signatures.on(machine) if hit.age is None] == []


@pytest.mark.parametrize('name', ['healthy/cp1', 'healthy/w1', 'baseline/cp1', 'baseline/cp2', 'baseline/cp3', 'baseline/w1'])
def test_nor_does_it_where_the_boot_is_long_ago(name):
    """Then age and number alone must do it."""
    view, machine = logs_view(healthy_logs()[name], hours=48)
    assert {hit.id for hit in view.signatures.bad(machine)} <= TAKEN_BACK


def test_the_recorded_lines_are_seen_all_the_same():
    """The silence is not that of a search that finds nothing."""
    seen = {hit.id for told in healthy_logs().values() for view, machine in [logs_view(told)] for hit in view.signatures.on(machine)
            if hit.signature.weight >= 2}
    assert len(seen) >= 20 and {'etcd.slow_heartbeat', 'kubelet.crash_exit', 'kubelet.unauthorized', 'apid.waiting_certs', 'kubeprism.refused'} <= seen


@pytest.mark.parametrize('name', [name for name in SETS if name.startswith('healthy')])
def test_no_line_of_a_healthy_recording_counts(name):
    view = view_of(name)
    said = {hit.id for machine in view.snapshot.machines for hit in view.signatures.bad(machine)}
    assert said == ({'api.rbac_not_authorized'} if name == 'healthy-reader' else set())
