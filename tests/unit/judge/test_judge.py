# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as data."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS, diagnose
from ansible_collections.talosops.talos.plugins.module_utils.judge import check as c, sections, settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import NOT_BUILT, judge, part
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Machine, Snapshot
from tests import recorded


def machine(key, kind='controlplane', answered=True, **data):
    return Machine(key, key, [key], f'name-{key}', kind, ['discovery'], answered,
                   None if answered else {'kind': 'timeout', 'text': 'i/o timeout'},
                   data={name: Datum('read', value) for name, value in data.items()})


def snapshot(*machines):
    return Snapshot('2026-11-22T10:00:00Z', '2026-11-22T10:00:01Z', '0.1.0', {'name': 'x', 'id': 'y'}, machines=list(machines))


def check(run, each=None, name='etcd.something', section='etcd.other', **more):
    return c.Check(name, section, 'Something', run, each=each, **more)


def report(snap, *checks):
    return judge(snap, settings.build(checks), checks)


def test_every_section_is_there_and_those_without_a_check_say_so():
    judged = report(snapshot(machine('a')), check(lambda view: c.ok('cluster')))
    assert tuple(judged['sections']) == sections.KEYS
    assert judged['sections']['etcd.other'] == {'verdict': 'ok', 'reason': None, 'nodes_missing': [], 'unseen': 0, 'counts': {'ok': 1}}
    assert judged['sections'].pop(sections.CUSTOM)['verdict'] == 'not_applicable', 'nobody gave checks of their own'
    rest = [s for key, s in judged['sections'].items() if key != 'etcd.other']
    assert all(s['verdict'] == 'unknown' and s['reason'] == NOT_BUILT for s in rest)
    assert judged['complete'] is False


def test_a_check_runs_on_the_machines_that_answered_and_the_others_are_missing():
    judged = report(snapshot(machine('a'), machine('b', answered=False), machine('w', 'worker')),
                    check(lambda view, m: c.ok(m.key), each=c.CONTROL_PLANES))
    assert judged['checks'] == [{'check': 'etcd.something', 'section': 'etcd.other', 'verdict': 'ok', 'subjects': 1}]
    assert judged['sections']['etcd.other']['nodes_missing'] == ['name-b']
    assert judged['sections']['etcd.other']['verdict'] == 'ok'
    assert part(judged, ['etcd.other'])['complete'] is False


def test_no_machine_of_a_kind_answers():
    judged = report(snapshot(machine('a', answered=False)), check(lambda view, m: c.ok(m.key), each=c.CONTROL_PLANES))
    assert judged['class'] == 'not_judged' and judged['complete'] is False
    assert judged['findings'][0]['verdict'] == 'unknown' and 'no control plane node could be read' in judged['findings'][0]['title']


def test_unreachable_workers_are_one_finding_elsewhere_and_no_unknown_here():
    judged = report(snapshot(machine('a'), machine('w', 'worker', answered=False)), check(lambda view, m: c.ok(m.key), each=c.WORKERS))
    assert judged['checks'][0]['verdict'] == 'not_applicable'
    assert judged['sections']['etcd.other']['nodes_missing'] == ['name-w'] and judged['complete'] is False


def test_a_read_that_is_needed_and_missing_is_unknown_with_the_reason():
    m = machine('a')
    m.data['EtcdStatus'] = Datum('refused', reason='not authorized')
    judged = report(snapshot(m), check(lambda view, m: c.ok(m.key), each=c.ALL, needs=('EtcdStatus', 'Version')))
    finding = judged['findings'][0]
    assert finding['id'] == 'etcd.something/a' and finding['verdict'] == 'unknown'
    assert 'EtcdStatus: the role of the client certificate may not read it (not authorized)' in finding['title']
    assert 'Version: it was not asked for' in finding['title']
    assert judged['sections']['etcd.other']['verdict'] == 'unknown' and judged['sections']['etcd.other']['reason'] == finding['title']
    assert judged['class'] == 'healthy' and judged['counts']['unknown'] == 1


REFUSED = Datum('refused', reason='10.5.0.2 refuses Read /proc/pressure/cpu: the role of the client certificate may not (not authorized).')


def test_what_the_role_may_not_read_on_any_machine_is_told_once():
    machines = [machine(key, Version={}) for key in 'ab']
    for m in machines:
        m.data.update(PressureCPU=REFUSED, PressureIO=REFUSED)
        m.logs['kernel'] = REFUSED
    pressure = check(lambda view, m: c.unknown(m.key, 'x', explained_by=('role', f'volume_failed:{m.key}')), each=c.ALL,
                     reads=('Version', 'PressureCPU', 'PressureIO'), logs=('kernel',))
    finding, = report(snapshot(*machines), pressure)['findings']
    assert (finding['id'], finding['nodes']) == ('etcd.something/cluster', ['name-a', 'name-b'])
    assert finding['title'] == 'Something: not judged on any machine, PressureCPU, PressureIO, log kernel: ' \
                               'the role of the client certificate may not read it (os:admin may)'


@pytest.mark.parametrize('state', ['timed_out', 'failed', 'unreachable', 'read'])
def test_what_is_unread_for_another_reason_too_is_told_of_each_machine(state):
    machines = [machine(key, Version={}) for key in 'ab']
    for m in machines:
        m.data['PressureCPU'] = REFUSED
    machines[1].data['PressureCPU'] = Datum(state)
    pressure = check(lambda view, m: c.unknown(m.key, 'x'), each=c.ALL, reads=('Version', 'PressureCPU'))
    assert [f['subject'] for f in report(snapshot(*machines), pressure)['findings']] == ['a', 'b']


def test_what_is_judged_on_one_machine_is_told_of_each():
    machines = [machine(key, PressureCPU=1) for key in 'ab']
    for m in machines:
        m.data['PressureCPU'] = REFUSED
    pressure = check(lambda view, m: c.unknown(m.key, 'x') if m.key == 'b' else c.warning(m.key, 'high', '', ''), each=c.ALL, reads=('PressureCPU',))
    assert {f['subject']: f['verdict'] for f in report(snapshot(*machines), pressure)['findings']} == {'a': 'warning', 'b': 'unknown'}


def test_a_check_that_only_sharpens_does_not_move_its_section():
    blind = check(lambda view: c.unknown('cluster', 'cannot see'), name='etcd.sharper', sharpens=True)
    judged = report(snapshot(machine('a')), check(lambda view: c.ok('cluster')), blind)
    section = judged['sections']['etcd.other']
    assert section['verdict'] == 'ok' and section['unseen'] == 0 and section['counts'] == {'ok': 1, 'unknown': 1}
    assert part(judged, ['etcd.other'])['complete'] is True
    sharp = check(lambda view: c.error('cluster', 'seen', '', ''), name='etcd.sharper', sharpens=True)
    assert report(snapshot(machine('a')), check(lambda view: c.ok('cluster')), sharp)['sections']['etcd.other']['verdict'] == 'error'


def test_unknown_beside_a_fault_keeps_the_report_incomplete():
    judged = report(snapshot(machine('a')), check(lambda view: [c.error('x', 'broken', '', ''), c.unknown('y', 'cannot see')]))
    section = judged['sections']['etcd.other']
    assert section['verdict'] == 'error' and section['unseen'] == 1 and section['reason'] is None
    assert part(judged, ['etcd.other'])['complete'] is False


def test_a_check_that_says_nothing_is_not_ok():
    assert report(snapshot(machine('a')), check(lambda view: None))['checks'][0]['verdict'] == 'unknown'
    assert report(snapshot(machine('a')), check(lambda view, m: None, each=c.ALL))['checks'][0]['verdict'] == 'not_applicable'


def test_a_check_that_breaks_is_unknown_and_leaves_the_others_alone():
    def breaks(view):
        raise KeyError('spec')

    judged = report(snapshot(machine('a')), check(breaks, name='etcd.broken'), check(lambda view: c.warning('cluster', 'seen', '', '')))
    assert {f['check']: f['verdict'] for f in judged['findings']} == {'etcd.broken': 'unknown', 'etcd.something': 'warning'}
    assert 'KeyError' in judged['findings'][1]['title']


def test_one_id_is_one_finding_the_worst():
    def evidence(n, start):
        return [c.Evidence(f'{start}{i}', 'X') for i in range(n)]

    judged = report(snapshot(machine('a')),
                    check(lambda view: [c.unknown('cluster', 'u', evidence=evidence(3, 'u')),
                                        c.error('cluster', 'e', '', '', evidence=evidence(3, 'e'))]))
    assert [(f['title'], f['more_evidence']) for f in judged['findings']] == [('e', 1)]
    assert [e['text'] for e in judged['findings'][0]['evidence']] == ['e0', 'e1', 'e2', 'u0', 'u1']
    assert judged['sections']['etcd.other']['unseen'] == 1


def test_evidence_is_at_most_five_entries_of_500_characters():
    judged = report(snapshot(machine('a')),
                    check(lambda view: c.error('x', 't', '', '', evidence=[c.Evidence('y' * n, 'S') for n in (500, 501, 1, 1, 1, 1, 1)])))
    finding = judged['findings'][0]
    assert len(finding['evidence']) == 5 and finding['more_evidence'] == 2
    assert [len(e['text']) for e in finding['evidence'][:2]] == [500, 500] and finding['evidence'][1]['text'].endswith('…')


def test_a_finding_has_names_keys_guide_and_no_inner_facts():
    judged = report(snapshot(machine('a')),
                    check(lambda view: c.error('a', 't', 'm', 's', nodes=['a', 'gone'], asserts=('f',), remedy={'name': 'r', 'args': {}})))
    assert judged['findings'] == [{'id': 'etcd.something/a', 'check': 'etcd.something', 'section': 'etcd.other', 'verdict': 'error',
                                   'nodes': ['name-a', 'gone'], 'node_keys': ['a', 'gone'], 'subject': 'a', 'title': 't', 'means': 'm',
                                   'evidence': [], 'more_evidence': 0, 'root': True, 'because_of': [], 'remedy': {'name': 'r', 'args': {}},
                                   'next_step': 's', 'guide': 'other-issues'}]


@pytest.mark.parametrize('name', recorded.SETS)
def test_the_report_of_a_recorded_cluster_is_plain_data_and_the_same_every_time(name):
    first, second = diagnose(recorded.snapshot(name)), diagnose(copy.deepcopy(recorded.snapshot(name)))
    assert json.loads(json.dumps(first)) == first == second
    assert not [f['title'] for f in first['findings'] if 'the check itself failed' in f['title']]


@pytest.mark.parametrize('name', recorded.SETS)
def test_the_order_of_the_machines_changes_no_id(name):
    turned = copy.deepcopy(recorded.snapshot(name))
    turned.machines.reverse()
    turned.finished_at = turned.finished_at[:-1].split('.')[0] + '.5Z'
    first, second = diagnose(recorded.snapshot(name)), diagnose(turned)
    assert {(f['id'], f['verdict']) for f in first['findings']} == {(f['id'], f['verdict']) for f in second['findings']}
    assert {f['id']: sorted(f['because_of']) for f in first['findings']} == {f['id']: sorted(f['because_of']) for f in second['findings']}


def test_every_check_has_a_place_a_title_and_an_origin():
    ids = [check.id for check in CHECKS]
    assert len(ids) == len(set(ids))
    for one in CHECKS:
        assert one.section in sections.BY_KEY and one.title and one.catalogue, one.id
        assert one.each in (None, c.ALL, c.CONTROL_PLANES, c.WORKERS), one.id


def test_the_etcd_checks_cover_the_catalogue():
    """All but ETC-19: no API of Talos tells when a snapshot was taken."""
    covered = {word for one in CHECKS for word in one.catalogue.split() if word.startswith('ETC-')}
    assert covered == {f'ETC-{n}' for n in range(1, 19)}
    assert {one.section for one in CHECKS if one.id.startswith('etcd.')} == {'etcd.all_pre', 'etcd.some_pre', 'etcd.alarm',
                                                                             'etcd.quorum_lost', 'etcd.other'}


def test_several_outcomes_of_one_subject_are_one_finding_that_explains_what_each_of_them_would():
    def both(_view):
        return [c.error('it', 'one', 'x', 'y', asserts=('first',)), c.warning('it', 'two', 'x', 'y', asserts=('second',)),
                c.unknown('it', 'three', asserts=('third',))]

    def follows(_view):
        return [c.warning(fact, fact, 'x', 'y', explained_by=(fact,)) for fact in ('first', 'second', 'third')]

    judged = report(snapshot(machine('a')), check(both), check(follows, name='etcd.else'))
    assert {f['subject']: f['because_of'] for f in judged['findings'] if f['check'] == 'etcd.else'} == {
        'first': ['etcd.something/it'], 'second': ['etcd.something/it'], 'third': []}


# -- checks that ask for each other -----------------------------------------------------------------------------

def test_a_check_may_ask_what_another_section_says():
    runs = []

    def other(view):
        runs.append('other')
        return c.warning('cluster', 'bad', '', '')
    asks = c.Check('a.asks', 'misc.controller_runtime', 'asks', lambda view: c.info('cluster', str(len(view.judged('etcd.alarm')))))
    judged = judge(snapshot(machine('a')), settings.build(()), (asks, c.Check('b.other', 'etcd.alarm', 'other', other)))
    assert [f['title'] for f in judged['findings']] == ['bad', '1']
    assert runs == ['other']  # judged once, whoever asks first


def test_checks_that_ask_each_other_come_to_an_end():
    one = c.Check('a.one', 'etcd.alarm', 'one', lambda view: c.info('cluster', f'one sees {len(view.judged("x.time"))}'))
    two = c.Check('b.two', 'x.time', 'two', lambda view: c.info('cluster', f'two sees {len(view.judged("etcd.alarm"))}'))
    judged = judge(snapshot(machine('a')), settings.build(()), (one, two))
    assert {f['title'] for f in judged['findings']} == {'one sees 1', 'two sees 0'}
