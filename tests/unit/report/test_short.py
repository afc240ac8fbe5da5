# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short form of a report: what a person reads of a cluster with more faults than two screens hold in full."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import diagnose
from ansible_collections.talosops.talos.plugins.module_utils.judge import check as c
from ansible_collections.talosops.talos.plugins.module_utils.judge import judge as judging
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import SECTIONS, of_role
from ansible_collections.talosops.talos.plugins.module_utils.report import console, select, short
from tests import recorded

WHERE = '/reports/report.json'
SECTION_KEYS = [section.key for section in SECTIONS if section.key != 'x.custom']


def fault(number, verdict=c.error, steps=1, nodes=(), **more):
    evidence = [c.Evidence(f'what was seen of {number}', 'EtcdStatus', 'cp1', '2026-11-22T10:00:00Z')]
    return verdict(f'subject {number}', f'fault {number} is there', f'Meaning of {number}.', f'Step of {number}. ' + 'Then do the rest. ' * (steps - 1),
                   **{'nodes': nodes, 'evidence': evidence, **more})


def judged(outcomes, set_name='healthy'):
    """A report with a check for each (check id, section key, [outcomes])."""
    checks = tuple(c.Check(name, section, name, lambda view, told=told: list(told)) for name, section, told in outcomes)
    return judging.judge(recorded.snapshot(set_name), settings.build(checks), checks)


def many(number, **more):
    """So many faults, each of a check of its own."""
    return judged([(f'part.fault_{n}', SECTION_KEYS[n % len(SECTION_KEYS)], [fault(n, **more)]) for n in range(number)])


def shown(report, **more):
    return console.render(report, WHERE, **more)


def is_short(text):
    return '  this is the short form: all that was found and seen is in report.json' in text.split('\n')


def flat(text):
    return ' '.join(text.split())


def test_what_two_screens_hold_is_told_in_full_and_says_nothing_of_a_form():
    text = shown(many(5))
    assert len(text.split('\n')) <= console.LINES_MOST and not is_short(text)
    assert all(f'means  Meaning of {number}.' in text for number in range(5))


def test_what_is_longer_is_told_short_and_says_where_the_whole_is():
    text = shown(many(20))
    lines = text.splitlines()
    assert is_short(text) and lines[-1] == f'  report: {WHERE}'
    assert lines[-3].startswith('  judged: 0 critical, 20 error,')
    assert shown(many(20)).count('report.json') == 2 and is_short(console.render(many(20)))


@pytest.mark.parametrize('number', [15, 20, 25, 30, 40, 60, 80, 120, 200])
@pytest.mark.parametrize('steps', [1, 12, 40])
def test_two_screens_are_never_left_and_no_line_is_wider_than_they_are(number, steps):
    lines = shown(many(number, steps=steps)).split('\n')
    assert len(lines) <= console.LINES_MOST and max(map(len, lines)) <= 120


@pytest.mark.parametrize('number', [15, 25, 40])
def test_every_cause_is_named_and_has_its_next_step(number):
    text = flat(shown(many(number)))
    for cause in range(number):
        assert f'fault {cause} is there [part.fault_{cause}]' in text and f'next Step of {cause}.' in text


@pytest.mark.parametrize('number', [90, 250])
def test_with_more_causes_than_lines_all_their_checks_are_named(number):
    text = flat(shown(many(number)))
    assert 'fault 0 is there [part.fault_0]' in text and 'more causes: part.fault_' in text
    assert {f'part.fault_{cause}' for cause in range(number)} <= {word.strip('[],') for word in text.split()}


def test_next_steps_are_whole_for_as_long_as_there_is_room():
    twelve = flat(shown(many(14, steps=20)))
    assert twelve.count('Then do the rest.') == 14 * 19
    assert '…' in flat(shown(many(40, steps=20)))


def test_what_is_told_last_goes_first():
    """Meaning before evidence, evidence before next steps; the causes that lead keep most."""
    amounts = [[flat(shown(many(number, steps=8))).count(word) for word in ('means Meaning', 'seen cp1', 'next Step')] for number in (14, 20, 25, 40)]
    assert all(means <= seen <= steps for means, seen, steps in amounts)
    assert [steps for _means, _seen, steps in amounts] == [14, 20, 25, 40]
    assert amounts[0][0] > 0 and amounts[-1][:2] == [0, 0]
    text = flat(shown(many(22)))
    first, last = text.index('fault 0 is'), text.index('fault 9 is')
    assert text[first:last].count('seen cp1') >= text[last:].count('seen cp1')


@pytest.mark.parametrize('detail', short.DETAILS)
def test_every_level_of_detail_has_room_for_a_next_step_and_is_no_richer_than_the_one_before(detail):
    place = short.DETAILS.index(detail)
    assert detail.title and detail.next
    for field in detail.__dataclass_fields__ if place else ():
        assert getattr(detail, field) <= getattr(short.DETAILS[place - 1], field), field


def consequences(number=20):
    """A cause with three consequences of two checks, one of them of a consequence, among other faults."""
    return judged([
        ('a.cause', 'etcd.alarm', [fault('cause', c.warning, asserts=('full',))]),
        ('b.follows', 'etcd.other', [fault('b1', explained_by=('full',), asserts=('b1',)), fault('b2', explained_by=('full',))]),
        ('c.follows', 'kubelet.not_running', [fault('c', c.critical, explained_by=('b1',)), c.unknown('c', 'not seen', explained_by=('b1',))]),
        *((f'part.fault_{n}', 'x.time', [fault(n)]) for n in range(number))])


def test_consequences_stand_under_their_cause_worst_first_and_it_leads():
    lines = [line.strip() for line in shown(consequences()).split('\n')]
    start = next(place for place, line in enumerate(lines) if 'fault cause is there [a.cause]' in line)
    assert lines[start].startswith('1. warning')
    entry = lines[start:next(place for place, line in enumerate(lines) if line.startswith('2. '))]
    follows = [line for line in entry if line.startswith('follows')]
    assert follows[0].startswith('follows critical: fault c is there') and follows[0].endswith('[c.follows]')
    assert follows[1].startswith('follows error: fault b1 is there') and follows[1].endswith('and 1 more of this kind [b.follows]')
    assert len(follows) == 2 and not any('follows' in line for line in lines[start + len(entry):])


def test_consequences_are_counted_where_there_is_no_line_for_each():
    text = flat(shown(consequences(60)))
    assert '[a.cause]' in text and 'follows 3: c.follows, b.follows' in text


def test_a_consequence_of_what_is_no_problem_stands_for_itself_and_says_why():
    report = many(20)
    report['findings'][3].update(root=False, because_of=['part.young/cluster'])
    text = flat(shown(report))
    assert f'[{report["findings"][3]["check"]}] because part.young' in text


def test_faults_of_one_check_are_told_together():
    outcomes = [c.error(f's{n}', f'disk {n} is full', 'Meaning.', 'Free it.') for n in range(40)]
    text = shown(judged([('disk.full', 'system_requirements', outcomes), *((f'part.fault_{n}', 'x.time', [fault(n)]) for n in range(20))]))
    assert is_short(text) and text.count('[disk.full]') == 1 and text.count('Free it.') == 1
    assert 'and 39 more of this kind: ' in flat(text)


def test_machines_that_a_title_does_not_name_are_named():
    keys = [machine.key for machine in recorded.snapshot('healthy').machines]
    same = [c.error(key, 'a disk is full', 'Meaning.', 'Free it.', nodes=[key]) for key in keys]
    report = judged([('disk.full', 'system_requirements', same), *((f'part.fault_{n}', 'x.time', [fault(n)]) for n in range(25))])
    names = [finding['nodes'][0] for finding in report['findings'] if finding['check'] == 'disk.full']
    text = flat(shown(report))
    assert f'a disk is full (on {names[0]}) [disk.full]' in text
    assert len(names) > 2 and all(f'also a disk is full (on {name})' in text for name in names[1:])
    assert f'and {len(names) - 1} more of this kind: {", ".join(names[1:])}' in flat(shown(judged([
        ('disk.full', 'system_requirements', same), *((f'part.fault_{n}', 'x.time', [fault(n)]) for n in range(40))])))


def test_steps_that_differ_are_each_told_unless_they_are_many():
    def text(number):
        outcomes = [c.error(f's{n}', f'disk {n} is full', 'Meaning.', f'Free disk {n}.') for n in range(number)]
        return shown(judged([('disk.full', 'system_requirements', outcomes), *((f'part.fault_{n}', 'x.time', [fault(n)]) for n in range(20))]))
    assert [text(3).count('next    Free disk'), text(9).count('next    Free disk')] == [3, 1]
    assert 'more of this kind' in text(9) or text(9).count('also    disk') == 8


def others(number, steps=1):
    infos = [fault(f'info{n}', c.info, steps) for n in range(12)]
    unseen = [c.unknown(f'u{n}', f'could not see {n} ' + 'because ' * 20) for n in range(12)]
    text = shown(judged([('i.info', 'x.time', infos), ('u.unknown', 'x.upgrade', unseen),
                         *((f'part.fault_{n}', 'etcd.other', [fault(n)]) for n in range(number))]))
    assert is_short(text) and len(text.split('\n')) <= console.LINES_MOST
    return [line.strip() for line in text.split('\n')]


def test_what_is_no_problem_is_a_line_each_and_few():
    lines = others(30)
    for verdict in ('info', 'unknown'):
        told = [line for line in lines[:lines.index('', 5)] if line.startswith(f'{verdict}   ')]
        assert 0 < len(told) < 12 and told[-1].endswith(f'{13 - len(told)} more, in report.json')


def test_what_is_no_problem_is_told_in_full_where_there_is_room():
    lines = others(1, steps=20)
    assert 5 < sum(line.startswith('next    Step of info') for line in lines) < 12
    assert sum(line.startswith('info      fault info') for line in lines) == 12


def test_every_section_is_named_once_under_its_verdict():
    report = many(20)
    text = flat(shown(report))
    for section in SECTIONS:
        head, _colon, tail = section.title.partition(': ')
        assert section.key == 'x.custom' or (tail or head) in text


def test_a_report_of_chosen_sections_names_causes_that_lie_in_others():
    report = judged([('a.cause', 'talos_api.firewall', [fault('cause', asserts=('lost',))]),
                     *((f'part.fault_{n}', 'etcd.other', [fault(n, c.warning, explained_by=('lost',) if n % 2 else ())]) for n in range(40)),
                     *((f'elsewhere.fault_{n}', 'x.time', [fault(n)]) for n in range(40))])
    text = shown(select.select(report, of_role('etcd')))
    assert is_short(text) and text.startswith('rt (only etcd): warnings,')
    assert '   1. error     fault cause is there [a.cause]' in text and 'follows warning: fault 1 is there [part.fault_1]' in text
    assert 'elsewhere' not in text and 'Talos API' not in text and 'etcd (' in text


def test_a_cause_that_the_long_form_would_leave_out_is_told_short():
    """A section tells twenty findings: the twenty-first may be of another check."""
    alike = [c.error(f's{n}', f'disk {n} is full', 'm', 'n') for n in range(console.FINDINGS_MOST)]
    text = shown(judged([('a.full', 'system_requirements', alike), ('b.other', 'system_requirements', [fault('other')])]))
    assert is_short(text) and '[b.other]' in text and 'Step of other.' in text


def evil_fault(number):
    evil = '\x1b[31mred\x1b[0m \x07\u202e\r\n' + 'w' * 150
    return c.error(f's{number}', f'title {evil}', f'means {evil}', f'step {evil}', evidence=[c.Evidence(f'seen {evil}', 'log etcd', 'cp1')])


def test_nothing_of_the_cluster_controls_the_terminal_or_leaves_the_screen():
    report = judged([(f'part.fault_{n}', 'x.time', [evil_fault(n)]) for n in range(14)])
    report['nodes_source']['disagreements'] = [{'node': 'x\x1b[2J' + 'n' * 90, 'known_from': ['etcd'], 'missing_from': ['discovery']}] * 5
    lines = shown(report).split('\n')
    assert len(lines) <= console.LINES_MOST and max(map(len, lines)) <= 120
    assert all(character.isprintable() for line in lines for character in line)


def test_verdicts_are_painted_and_nothing_moves():
    report = consequences()
    plain = shown(report)
    painted = shown(report, paint=lambda text, verdict: f'\x1b[1m{text}\x1b[0m')
    assert painted.replace('\x1b[1m', '').replace('\x1b[0m', '') == plain
    assert '   1. \x1b[1mwarning\x1b[0m   fault cause' in painted and 'follows \x1b[1mcritical\x1b[0m: fault c' in painted


@pytest.mark.parametrize('set_name', recorded.SETS)
def test_recorded_clusters_have_room(set_name):
    assert len(shown(diagnose(recorded.snapshot(set_name))).split('\n')) <= console.LINES_MOST
