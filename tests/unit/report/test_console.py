# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person reads at the end of a run."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.judge import check as c
from ansible_collections.talosops.talos.plugins.module_utils.judge import judge as judging
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import CUSTOM, SECTIONS
from ansible_collections.talosops.talos.plugins.module_utils.report import console
from tests import recorded

SPACE = {'title': 'etcd is out of space', 'means': 'Nothing can be written.', 'next_step': 'Defragment, the leader last, then disarm the alarm.'}


def checks(*findings):
    """A check in each of three sections; C(findings) are outcomes of the one in etcd.alarm."""
    return (
        c.Check('talos_api.unreachable', 'talos_api.firewall', 'reach', lambda view: [
            c.error(m.key, f'{m.label} does not answer', 'Nothing can be judged on it.', 'Look at its console.', nodes=[m.key],
                    asserts=(f'unreachable:{m.key}',)) for m in view.control_planes if not m.answered] or c.ok('cluster')),
        c.Check('etcd.alarm', 'etcd.alarm', 'alarms', lambda view: list(findings) or c.ok('cluster')),
        c.Check('etcd.members', 'etcd.other', 'members', lambda view, machine: c.ok(machine.key), each='control_planes'),
    )


def report(set_name='healthy', findings=()):
    chosen = checks(*findings)
    return judging.judge(recorded.snapshot(set_name), settings.build(chosen), chosen)


def lines_of(said):
    return console.render(said, '/reports/report.json').split('\n')


def test_first_line_says_cluster_class_and_what_was_not_seen():
    assert lines_of(report())[0] == 'rt: healthy, NOT complete (30 of 34 sections are not built yet)'
    first = ' '.join(line.strip() for line in lines_of(report('one-cp-down'))[:2])
    assert first.startswith('rt: errors, NOT complete (not read: cp3;')


def test_complete_and_not_judged_are_said_so():
    said = report()
    said['complete'] = True
    assert console.headline(said) == 'rt: healthy, complete'
    said['class'] = 'not_judged'
    assert console.headline(said) == 'rt: not judged, no control plane node could be read'


def test_every_section_is_named_once_and_in_the_order_of_the_guide():
    text = ' '.join(console.render(report()).split())
    places = []
    for section in (section for section in SECTIONS if section.key != CUSTOM):
        head, _colon, tail = section.title.partition(': ')
        places.append(text.index(tail or head, places[-1] if places else 0))
    assert places == sorted(places) and 'Your own checks' not in text


def test_sections_that_are_not_built_do_not_drown_the_others():
    built = [line for line in lines_of(report()) if line.startswith('  ok ')]
    assert [line.split(maxsplit=1)[1] for line in built] == ['Talos API: firewall', 'etcd: alarms and space', 'etcd: members and other issues']
    assert len(lines_of(report())) < 25


def test_a_finding_shows_nodes_evidence_meaning_and_next_step():
    machine = recorded.snapshot('healthy').machines[0]
    evidence = [c.Evidence(f'alarm {number}', 'EtcdAlarmList', 'cp1', '2026-11-22T10:00:00.123Z') for number in range(5)]
    text = console.render(report(findings=[c.critical(machine.key, **SPACE, nodes=[machine.key], evidence=evidence)]))
    assert 'critical  etcd is out of space [etcd.alarm]' in text
    assert 'nodes  cp1' in text
    assert 'seen   cp1 EtcdAlarmList 10:00:00Z: alarm 0' in text
    assert 'and 2 more' in text and 'alarm 3' not in text
    assert 'means  Nothing can be written.' in text
    assert 'next   Defragment, the leader last, then disarm the alarm.' in text


def test_findings_with_one_explanation_are_explained_once():
    text = console.render(report(findings=[c.critical(f'member {n}', **SPACE) for n in range(3)]))
    assert text.count('[etcd.alarm]') == 3
    assert text.count('means  Nothing can be written.') == 1


def test_what_differs_is_said_for_each():
    text = console.render(report(findings=[c.critical(str(n), 'full', f'{n} % are used.', 'Defragment.') for n in range(3)]))
    assert [text.count(f'means  {n} % are used.') for n in range(3)] == [1, 1, 1]
    assert text.count('next   Defragment.') == 1


def test_nodes_are_not_named_twice():
    machine = recorded.snapshot('healthy').machines[0]
    assert 'nodes ' not in console.render(report(findings=[c.error('x', 'cp1 is full', 'm', 'n', nodes=[machine.key])]))


def test_evidence_of_another_day_keeps_its_date():
    old = c.error('x', 'f', 'm', 'n', evidence=[c.Evidence('since', 'Nodes', at='2026-11-20T10:00:00Z')])
    assert 'Nodes 2026-11-20T10:00:00Z: since' in console.render(report(findings=[old]))


def test_faults_of_one_kind_are_one_place_to_begin():
    lines = lines_of(report(findings=[c.error(str(n), f'fault {n}', 'm', 'n') for n in range(3)]))
    assert [line.strip() for line in lines if 'fault' in line][-1] == 'begin with: 1. fault 0, and 2 more of this kind'


def test_a_consequence_names_its_cause_and_only_roots_are_where_to_begin():
    machine = next(m for m in recorded.snapshot('one-cp-down').machines if not m.answered)
    lost = c.warning('cluster', 'two of three members answer', 'm', 'n', explained_by=(f'unreachable:{machine.key}',))
    lines = lines_of(report('one-cp-down', [lost]))
    assert any(line.strip() == 'explained by talos_api.unreachable (cp3)' for line in lines)
    begin = next(line for line in lines if 'begin with:' in line)
    assert 'cp3 does not answer' in begin
    assert not any('2. two of three' in line for line in lines)


def test_unknown_findings_are_short_and_few():
    lines = lines_of(report(findings=[c.unknown(str(n), f'could not see {n}', next_step='a long step') for n in range(9)]))
    assert sum('could not see' in line for line in lines) == console.UNKNOWN_MOST
    assert any('and 6 more, in report.json' in line for line in lines)
    assert not any('a long step' in line for line in lines)


def test_what_could_not_be_judged_for_a_known_cause_is_one_line():
    machine = next(m for m in recorded.snapshot('one-cp-down').machines if not m.answered)
    lines = lines_of(report('one-cp-down', [c.unknown(str(n), f'could not see {n}', explained_by=(f'unreachable:{machine.key}',)) for n in range(9)]))
    assert [line.strip() for line in lines if 'judged because' in line] == ['1 check could not be judged because of talos_api.unreachable (cp3)']
    assert not any('could not see' in line or 'more, in report.json' in line for line in lines)


def test_what_only_the_role_withholds_is_one_line_of_a_section_and_other_reasons_stay():
    role = 'the role of the client certificate may not read it (os:admin may)'
    said = report(findings=[c.unknown('cluster', f'whether this: csrs: {role}'), c.unknown('other', f'whether that: csrs: {role}'),
                            c.unknown('third', f'whether all: csrs: {role}; nodes: no answer before the deadline')])
    lines = lines_of(said)
    text = ' '.join(' '.join(lines).split())
    assert '1 check could not be judged: the role of the client certificate may not read what it needs (etcd.alarm)' in text
    assert 'whether this' not in text and 'whether that' not in text and 'whether all' in text


def test_many_findings_do_not_make_an_endless_text():
    lines = lines_of(report(findings=[c.error(str(n), f'fault {n}', 'm', 'n') for n in range(500)]))
    assert any('and 480 more, in report.json' in line for line in lines)
    assert len(lines) < 80


def test_the_foot_counts_everything_and_says_where_the_report_lies():
    lines = lines_of(report('one-cp-down', [c.unknown('x', 'could not see')]))
    assert '  judged: 0 critical, 1 error, 0 warning, 1 unknown, 0 info, 2 ok, 0 not applicable' in lines
    assert lines[-1] == '  report: /reports/report.json'


@pytest.mark.parametrize('set_name', recorded.SETS)
def test_no_line_is_wider_than_a_hundred_columns(set_name):
    wide = [c.error('x', 'title ' * 60, 'means ' * 90, 'step ' * 90, evidence=[c.Evidence('seen ' * 90, 'log etcd', 'cp1')])]
    assert max(map(len, lines_of(report(set_name, wide)))) <= 100


def test_a_word_that_is_longer_than_a_line_stays_whole():
    word = 'x' * 150
    assert any(word in line for line in lines_of(report(findings=[c.error('x', 'see ' + word, 'm', 'n')])))


def test_control_characters_never_reach_the_terminal():
    evil = c.error('x', 'red \x1b[31m and\x07 bell\nnew line', 'm', 'n', evidence=[c.Evidence('\x1b]0;title\x07\u202e', 'log etcd')])
    text = console.render(report(findings=[evil]))
    assert 'red ?[31m and? bell new line' in text
    assert not [character for character in text if not character.isprintable() and character != '\n']


def test_verdicts_are_painted_and_nothing_moves():
    painted = console.render(report(findings=[c.error('x', 'error here', 'm', 'n')]), paint=lambda text, verdict: f'<{verdict}>{text}</>')
    assert painted.startswith('rt: <error>errors</>, NOT complete')
    assert '  <error>error</>     etcd: alarms and space' in painted
    assert '            <error>error</>     error here [etcd.alarm]' in painted


def test_a_report_that_lacks_a_section_is_shown_all_the_same():
    said = report()
    del said['sections']['x.upgrade']
    assert 'Upgrades' in ' '.join(console.render(said).split())


def test_a_cluster_whose_name_is_a_class_is_painted_once():
    chosen = checks()
    snapshot = dataclasses.replace(recorded.snapshot('healthy'), cluster={'name': 'healthy', 'id': None})
    said = judging.judge(snapshot, settings.build(chosen), chosen)
    assert console.render(said, paint=lambda text, verdict: f'<{text}>').startswith('healthy: <healthy>,')
