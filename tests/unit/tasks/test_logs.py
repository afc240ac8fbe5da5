# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_logs on what a real cluster said."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import wire
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import (
    CallError, DeadlineExceeded, InputError, NotFound, RoleRefused, TalosError,
)
from ansible_collections.talosops.talos.plugins.module_utils.tasks import durations, logs, stamps
from tests.replay import load
from tests.unit.tasks import plain

VERSION = '/machine.MachineService/Version'
CONTAINERS = '/machine.MachineService/Containers'
DMESG = '/machine.MachineService/Dmesg'
TIME = '/time.TimeService/Time'
NOW = datetime(2026, 11, 22, 10, 30, tzinfo=timezone.utc)


def run(monkeypatch, set_name='healthy', hooks=None, **options):
    plain.serving(monkeypatch, set_name, hooks)
    return logs.run(plain.params('talos_logs', **options), False, None)


def metal(address):
    """Hooks by which a recorded machine says that it is no container."""
    call = next(call for call in load('healthy').calls if call.case == 'Version' and call.node == 'cp1')
    said = wire.decode('machine.VersionResponse', call.responses[0])
    said['messages'][0]['platform']['mode'] = 'metal'
    return {(address, VERSION): lambda _machine: [said]}


def text_of(set_name, case, node):
    call = next(call for call in load(set_name).calls if call.case == case and call.node == node)
    return b''.join(wire.decode('common.Data', response)['bytes'] for response in call.responses).decode()


# -- which logs ---------------------------------------------------------------------------------------------------


def test_services_of_the_machines_that_have_them(monkeypatch):
    result = run(monkeypatch, services=['kubelet', 'machined'], nodes=['cp1', 'w1'], tail=3)
    assert [(log['node'], log['log'], log['source'], len(log['lines']), log['truncated']) for log in result['logs']] == [
        ('cp1', 'kubelet', 'service', 3, False), ('cp1', 'machined', 'service', 3, False),
        ('w1', 'kubelet', 'service', 3, False), ('w1', 'machined', 'service', 3, False)]
    assert result['logs'][0]['lines'] == text_of('healthy', 'Logs-kubelet', 'cp1').splitlines()[-3:]
    assert (result['unread'], result['unmatched'], result['truncated'], result['changed']) == ({}, [], False, False)


def test_a_log_that_a_machine_does_not_have_is_a_reason_beside_its_name(monkeypatch):
    hooks = {('10.5.0.5', '10.5.0.2', 'log etcd'): NotFound('10.5.0.5 has no log etcd: log "etcd" was not registered')}
    result = run(monkeypatch, hooks=hooks, services=['etcd'])
    assert [log['node'] for log in result['logs']] == ['cp1', 'cp2', 'cp3']
    assert result['unread'] == {'w1': {'etcd': '10.5.0.5 has no log etcd: log "etcd" was not registered'}}


@pytest.mark.parametrize('pattern, node, found', [
    ('kube-apiserver', 'cp1', ['kube-apiserver-cp1:kube-apiserver']),
    ('kube-apiserver-cp1', 'cp1', ['kube-apiserver-cp1:kube-apiserver']),
    ('kube-system/kube-scheduler-*', 'cp1', ['kube-scheduler-cp1:kube-scheduler']),
    ('*:coredns', 'w1', ['coredns-66b7c65bb-mxghw:coredns', 'coredns-66b7c65bb-rbs2m:coredns']),
    ('coredns-66b7c65bb-?????', 'w1', ['coredns-66b7c65bb-mxghw:coredns', 'coredns-66b7c65bb-rbs2m:coredns']),
    ('kube-flannel-5lfpf', 'w1', ['kube-flannel-5lfpf:install-config', 'kube-flannel-5lfpf:kube-flannel']),
    ('kube-flannel-*:install-config', 'w1', ['kube-flannel-5lfpf:install-config']),
    (':kube-proxy', 'w1', ['kube-proxy-ghvm6:kube-proxy']),
    ('kube-system/kube-proxy', 'w1', []), ('default/*', 'w1', []), ('proxy', 'w1', [])])
def test_containers_by_pod_and_by_name(pattern, node, found):
    call = next(call for call in load('healthy').calls if call.case == 'Containers-cri' and call.node == node)
    listed = wire.decode('machine.ContainersResponse', call.responses[0])['messages'][0]
    assert [name for name, _id in logs.containers_of(listed, [pattern])] == [f'kube-system/{name}' for name in found]


def test_of_a_container_the_instance_that_runs_is_read_else_the_last():
    def one(number, status):
        return {'id': f'a/p:c:{number}', 'status': status}

    exited, runs = 'CONTAINER_EXITED', 'CONTAINER_RUNNING'
    for statuses, wanted in (((exited, runs), 1), ((runs, exited), 0), ((exited, exited), 1), ((exited,), 0)):
        listed = {'containers': [{'id': 'a/p', 'status': 'SANDBOX_READY'}, *(one(number, status) for number, status in enumerate(statuses))]}
        assert logs.containers_of(listed, ['c']) == [('a/p:c', f'a/p:c:{wanted}')]


def test_logs_of_containers_are_read_through_talos(monkeypatch):
    result = run(monkeypatch, containers=['kube-apiserver'], tail=2)
    assert [(log['node'], log['log'], log['source'], len(log['lines'])) for log in result['logs']] == [
        (node, f'kube-system/kube-apiserver-{node}:kube-apiserver', 'container', 2) for node in ('cp1', 'cp2', 'cp3')]
    assert result['unread'] == {}


def test_a_pattern_of_nothing_is_said_and_alone_an_error(monkeypatch):
    result = run(monkeypatch, containers=['kube-apiserver', 'nginx-*'], tail=1)
    assert result['unmatched'] == ['nginx-*'] and len(result['logs']) == 3
    with pytest.raises(InputError, match=r'No container of 4 machines is called nginx-\*'):
        run(monkeypatch, containers=['nginx-*'])


def test_where_containers_cannot_be_listed_nothing_is_called_unmatched(monkeypatch):
    hooks = {('10.5.0.5', '10.5.0.2', CONTAINERS): RoleRefused('not authorized')}
    result = run(monkeypatch, hooks=hooks, containers=['kube-apiserver', 'nginx-*'], tail=1)
    reason = 'needs os:reader, and the client certificate has os:admin (not authorized)'
    assert result['unmatched'] == [] and result['unread'] == {'w1': {'kube-apiserver': reason, 'nginx-*': reason}}


def test_more_containers_than_are_read_are_named(monkeypatch):
    containers = [{'id': f'a/p{number:03}:c:{number}', 'status': 'CONTAINER_RUNNING'} for number in range(52)]
    said = {'messages': [{'metadata': None, 'containers': containers}]}
    hooks = {('10.5.0.2', '10.5.0.2', CONTAINERS): lambda _machine: [said]}
    hooks.update({('10.5.0.2', '10.5.0.2', f'log a/p{number:03}:c:{number}'): lambda _machine: plain.stream('line\n') for number in range(52)})
    result = run(monkeypatch, hooks=hooks, containers=['c'], nodes=['cp1'])
    assert len(result['logs']) == 50
    assert result['unread'] == {'cp1': {f'a/p{number:03}:c': 'more than 50 containers of this machine match' for number in (50, 51)}}


def test_the_kernel_log_of_a_container_is_that_of_another_machine(monkeypatch):
    with pytest.raises(TalosError, match='in container mode the kernel log is that of the host'):
        run(monkeypatch, dmesg=True)
    for options in ({'dmesg': True}, {'services': ['dmesg']}):
        result = run(monkeypatch, hooks=metal('10.5.0.2'), tail=2, **options)
        assert [(log['node'], log['log'], log['source']) for log in result['logs']] == [('cp1', 'dmesg', 'dmesg')]
        assert result['logs'][0]['lines'] == text_of('healthy', 'Dmesg', 'cp1').splitlines()[-2:] and set(result['unread']) == {'cp2', 'cp3', 'w1'}


def test_a_silent_machine_is_named_for_every_log(monkeypatch):
    result = run(monkeypatch, 'one-cp-down', services=['kubelet'], containers=['kube-apiserver'], dmesg=True, tail=1)
    assert set(result['unread']['cp3']) == {'kubelet', 'kube-apiserver', 'dmesg'} and 'connection refused' in result['unread']['cp3']['kubelet']


def test_an_unknown_service_names_the_nearest(monkeypatch):
    hooks = {(address, f'log {name}'): NotFound(f'{address} has no log {name}: log "{name}" was not registered')
             for address in ('10.5.0.2', '10.5.0.3', '10.5.0.4', '10.5.0.5') for name in ('etdc', 'nginx')}
    with pytest.raises(TalosError) as error:
        run(monkeypatch, hooks=hooks, services=['etdc'])
    assert error.value.message.startswith('The logs could not be read from any of 4 machines: cp1: 10.5.0.2 has no log etdc')
    assert error.value.hint == 'Nearest: etcd.'
    with pytest.raises(TalosError) as error:
        run(monkeypatch, hooks=hooks, services=['nginx'])
    assert error.value.hint == ('Logs of services are: apid, containerd, controller-runtime, cri, dns-resolve-cache, early-startup, etcd, kubelet, '
                                'machined, trustd.')


# -- which lines --------------------------------------------------------------------------------------------------


def test_the_last_lines_of_those_that_match(monkeypatch):
    lines = [line for line in text_of('healthy', 'Logs-etcd', 'cp1').splitlines() if '"level":"warn"' in line]
    result = run(monkeypatch, services=['etcd'], nodes=['cp1'], regexp='"level":"warn"', tail=2)
    assert result['logs'][0]['lines'] == lines[-2:] and len(lines) > 2 and result['truncated'] is False
    assert run(monkeypatch, services=['etcd'], nodes=['cp1'], regexp='no such text', tail=-1)['logs'][0]['lines'] == []


def test_since_a_time_and_since_a_span_by_the_machines_own_clock(monkeypatch):
    lines = text_of('healthy', 'Logs-etcd', 'cp1').splitlines()
    later = [line for line in lines if json.loads(line)['ts'] >= '2026-11-22T10:16:00']
    assert 0 < len(later) < len(lines)
    assert run(monkeypatch, services=['etcd'], nodes=['cp1'], since='2026-11-22T10:16:00Z', tail=-1)['logs'][0]['lines'] == later
    assert run(monkeypatch, services=['etcd'], nodes=['cp1'], since='2026-11-22T11:16:00+01:00', tail=-1)['logs'][0]['lines'] == later
    told = {'messages': [{'metadata': None, 'server': '', 'localtime': '2026-11-22T10:26:00Z', 'remotetime': None}]}
    hooks = {('10.5.0.2', '10.5.0.2', TIME): lambda _machine: [told]}
    assert run(monkeypatch, hooks=hooks, services=['etcd'], nodes=['cp1'], since='10m', tail=-1)['logs'][0]['lines'] == later
    assert run(monkeypatch, services=['etcd'], nodes=['cp1'], since='30s', tail=-1)['logs'][0]['lines'] == [], 'the recorded clock stands at 10:17'


def test_a_clock_that_cannot_be_read_is_replaced_by_ours(monkeypatch):
    hooks = {('10.5.0.2', '10.5.0.2', TIME): DeadlineExceeded('no')}
    assert run(monkeypatch, hooks=hooks, services=['etcd'], nodes=['cp1'], since='5000w', tail=1)['logs'][0]['lines']


@pytest.mark.parametrize('options, said', [
    ({}, 'No log is named.'),
    ({'services': [' ']}, 'No log is named.'),
    ({'services': ['etcd'], 'tail': 0}, 'tail must be a number of lines above zero, or -1 for all, not 0.'),
    ({'services': ['etcd'], 'tail': -2}, 'tail must be a number of lines above zero, or -1 for all, not -2.'),
    ({'services': ['etcd'], 'regexp': 'a(b'}, 'regexp is no regular expression of Python: missing ), unterminated subpattern (column 2).'),
    ({'services': ['etcd'], 'regexp': '*'}, 'regexp is no regular expression of Python: nothing to repeat (column 1).'),
    ({'services': ['etcd'], 'since': 'yesterday'},
     'since is "yesterday", which is neither a time such as 2026-11-22T10:00:00Z nor a span such as 10m.'),
    ({'services': ['etcd'], 'since': '2026-13-01T00:00:00Z'},
     'since is "2026-13-01T00:00:00Z", which is neither a time such as 2026-11-22T10:00:00Z nor a span such as 10m.'),
    ({'services': ['etcd'], 'limit_bytes': -1}, 'limit_bytes must be a number of bytes above zero, not -1.')])
def test_wrong_options_are_one_sentence(monkeypatch, options, said):
    monkeypatch.setattr(logs.machines, 'of', lambda *_given: pytest.fail('the cluster was asked'))
    with pytest.raises(InputError) as error:
        logs.run(plain.params('talos_logs', **options), False, None)
    assert error.value.message == said


def test_secrets_and_colours_are_not_returned(monkeypatch):
    said = 'joining with abcdef.0123456789abcdef\n\x1b[31mERROR\x1b[0m password: hunter2hunter\n'
    hooks = {('10.5.0.2', '10.5.0.2', 'log machined'): lambda _machine: plain.stream(said)}
    [log] = run(monkeypatch, hooks=hooks, services=['machined'], nodes=['cp1'])['logs']
    assert 'abcdef.0123' not in log['lines'][0] and 'hunter2' not in log['lines'][1] and log['lines'][1].startswith('ERROR password: redacted:')
    [log] = run(monkeypatch, hooks=hooks, services=['machined'], nodes=['cp1'], regexp='hunter2')['logs']
    assert log['lines'] == [], 'a pattern finds no secret either'


# -- how much -----------------------------------------------------------------------------------------------------


def test_large_logs_lose_their_oldest_lines_and_small_ones_none(monkeypatch):
    hooks = {('10.5.0.2', '10.5.0.2', 'log etcd'): lambda _machine: plain.stream('small\n'),
             ('10.5.0.3', '10.5.0.2', 'log etcd'): lambda _machine: plain.stream(''.join(f'line {number:04}\n' for number in range(1000)))}
    result = run(monkeypatch, hooks=hooks, services=['etcd'], nodes=['cp1', 'cp2'], tail=-1, limit_bytes=1000)
    small, large = result['logs']
    assert small['lines'] == ['small'] and small['truncated'] is False and small['reason'] is None
    assert large['lines'][-1] == 'line 0999' and 900 < len(json.dumps(large['lines'])) <= 1000
    assert large['truncated'] is True and large['reason'] == 'cut to limit_bytes (1000 for all logs together)' and result['truncated'] is True


def test_a_log_that_broke_off_keeps_what_came_and_says_so(monkeypatch):
    hooks = {('10.5.0.2', '10.5.0.2', 'log etcd'): lambda _machine: plain.stream('one\n', error=CallError('the stream broke')),
             ('10.5.0.3', '10.5.0.2', 'log etcd'): lambda _machine: plain.stream('two\n', truncated=True)}
    first, second = run(monkeypatch, hooks=hooks, services=['etcd'], nodes=['cp1', 'cp2'])['logs']
    assert (first['lines'], first['truncated'], first['reason']) == (['one'], True, 'the stream broke')
    assert (second['truncated'], second['reason']) == (True, f'cut at {logs.READ_BYTES} bytes')


def test_a_long_line_is_cut_and_says_so(monkeypatch):
    hooks = {('10.5.0.2', '10.5.0.2', 'log etcd'): lambda _machine: plain.stream('x' * 5000)}
    [log] = run(monkeypatch, hooks=hooks, services=['etcd'], nodes=['cp1'])['logs']
    assert log['lines'] == ['x' * 4096 + '… (904 more characters)']


def test_bytes_that_are_no_text_do_not_end_the_task(monkeypatch):
    broken = plain.stream('')
    broken.data = b'caf\xc3 \xff\n'
    [log] = run(monkeypatch, hooks={('10.5.0.2', '10.5.0.2', 'log etcd'): lambda _machine: broken}, services=['etcd'], nodes=['cp1'])['logs']
    json.dumps(log)
    assert log['lines'] == ['caf\ufffd \ufffd']


# -- times of lines -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize('line, at', [
    ('{"level":"info","ts":"2026-11-22T10:16:30.074103Z","caller":"x"}', '10:16:30.074103'),
    ('{"ts":1795342592888.794,"caller":"cm"}', '10:16:32.888794'),
    ('{"ts":1795342592.5}', '10:16:32.500000'),
    ('{"level":"info","msg":"x","time":"2026-11-22T10:13:00.123456789Z"}', '10:13:00.123456'),
    ('E1122 09:14:00.302973 2749 run.go:72] "command failed"', '09:14:00.302973'),
    ('2026-11-22T10:13:36.566721639Z stderr F I1122 10:13:36.565811       1 controller.go:667] x', '10:13:36.566721'),
    ('2026-11-22T10:12:26.402Z INFO reconfigured {"component": "controller-runtime"}', '10:12:26.402000'),
    ('2026-11-22T11:12:26.402+01:00 INFO x', '10:12:26.402000'),
    ('2026/11/22 10:12:26.123456 [talos] service[etcd](Running): x', '10:12:26.123456'),
    ('[talos] 2026/11/22 10:12:26 service[apid](Waiting)', '10:12:26.000000'),
    ('kern:    info: [2026-11-22T10:12:26.900000000Z]: eth0: link up', '10:12:26.900000'),
])
def test_every_form_of_a_time(line, at):
    assert f'{stamps.of(line, NOW):%H:%M:%S.%f}' == at


@pytest.mark.parametrize('line', ['Usage:', '', '{"msg": "no time"}', '{broken', '12 monkeys', '{"ts": true}', '{"ts": 1e300}', '[1, 2]',
                                  '\tat x.go:12', 'E1322 09:14:00.302973 2749 run.go:72] thirteenth month', '2026-11-22', 'I0230 10:00:00 x'])
def test_what_bears_no_time(line):
    assert stamps.of(line, NOW) is None


def test_a_line_without_a_year_is_of_the_last_one_that_fits():
    assert stamps.of('I1231 23:00:00.0 1 x', datetime(2027, 1, 1, tzinfo=timezone.utc)).year == 2026
    assert stamps.of('I0101 00:00:01.0 1 x', datetime(2026, 12, 31, 23, 59, tzinfo=timezone.utc)).year == 2027 - 1


def test_lines_without_a_time_go_with_the_one_before():
    lines = ['head', '2026-11-22T10:00:00Z old', 'of old', '2026-11-22T10:10:00Z new', 'of new', '2026-11-22T09:00:00Z clock went back', 'of that']
    moment = NOW.replace(minute=5)
    assert stamps.since(lines, moment, NOW) == ['2026-11-22T10:10:00Z new', 'of new']
    assert stamps.since(['a', '2026-11-22T10:10:00Z b'], moment, NOW) == ['a', '2026-11-22T10:10:00Z b']
    assert stamps.since(['Usage:', '  -x'], moment, NOW) == ['Usage:', '  -x'], 'nothing tells how old they are'


@pytest.mark.parametrize('case', ['Logs-etcd', 'Logs-kubelet', 'Logs-machined', 'Logs-controller-runtime', 'Logs-containerd', 'Logs-cri', 'Logs-apid',
                                  'Logs-trustd', 'Logs-dns-resolve-cache', 'Dmesg'])
def test_recorded_lines_bear_times(case):
    lines = [stamps.plain(line) for line in text_of('healthy', case, 'cp1').splitlines()]
    times = [stamps.of(line, NOW) for line in lines]
    assert lines and sum(at is not None for at in times) > 0.9 * len(lines)
    known = [at for at in times if at is not None]
    assert sum(earlier > later + timedelta(seconds=5) for earlier, later in zip(known, known[1:])) <= 2, 'they are in order'


# -- spans --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('text, seconds', [('10m', 600), ('1h30m', 5400), ('30d', 2592000), ('90', 90), (' 2W ', 1209600), ('0.5h', 1800), ('0', 0)])
def test_spans(text, seconds):
    assert durations.parse(text, 'since') == timedelta(seconds=seconds)


@pytest.mark.parametrize('text', ['', 'm', '-5m', '10 minutes', '1h 30m', '1y', '10mm', 'é'])
def test_what_is_no_span(text):
    with pytest.raises(InputError, match='^min_valid is ".*", which is no span of time such as 10m, 1h30m or 30d.$'):
        durations.parse(text, 'min_valid')


def test_a_span_beyond_all_measure_is_refused():
    with pytest.raises(InputError, match='too long'):
        durations.parse('99999999999999w', 'min_valid')
    spans = {'30d': timedelta(days=30), '2d': timedelta(hours=36), '45m': timedelta(minutes=45), '20s': timedelta(seconds=20)}
    assert [durations.words(span) for span in spans.values()] == list(spans)
