# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner of scenarios: what counts as met."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from tests.simulator import scenario
from tests.tools.expectations import MET, NOT_MET, UNBUILT, compare, problem, sections_met

from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import KEYS

EXPECTED = {
    'class': 'errors',
    'findings': [
        {'section': 'etcd.other', 'severity': 'error', 'nodes': ['cp-3'], 'root': True},
        {'section': 'discovery.missing', 'severity': 'warning', 'because_of': 'etcd.other'},
    ],
    'not_evaluated': {'gathering_logs': 'needs a role'},
}


@pytest.fixture(name='report')
def _report():
    sections = {key: {'verdict': 'ok', 'reason': None, 'nodes_missing': []} for key in KEYS}
    sections['etcd.other']['verdict'] = 'error'
    sections['discovery.missing']['verdict'] = 'warning'
    sections['gathering_logs'].update(verdict='unknown', reason='needs a role')
    finding = {'id': 'etcd.member_stale/3', 'check': 'etcd.member_stale', 'section': 'etcd.other', 'verdict': 'error', 'nodes': [], 'subject': '3',
               'title': 'member cp-3 is stale',
               'root': True, 'because_of': []}
    consequence = {'id': 'discovery.x/cluster', 'check': 'discovery.x', 'section': 'discovery.missing', 'verdict': 'warning', 'nodes': ['cp-1'],
                   'subject': 'cluster',
                   'title': 'seen', 'root': False, 'because_of': ['etcd.member_stale/3']}
    return {'class': 'errors', 'complete': False, 'sections': sections, 'findings': [finding, consequence]}


def unmet(report, expected=None):
    return [item.what for item in compare(report, expected or EXPECTED) if item.state == NOT_MET]


def test_all_met(report):
    assert {item.state for item in compare(report, EXPECTED)} == {MET}


@pytest.mark.parametrize('change, what', [
    (lambda r: r.update({'class': 'healthy'}), 'class errors'),
    (lambda r: r['findings'][0].update(verdict='warning'), 'etcd.other: error on cp-3'),
    (lambda r: r['findings'][0].update(title='member cp-33 is stale'), 'etcd.other: error on cp-3'),
    (lambda r: r['findings'][0].update(root=False, because_of=['discovery.x/cluster']), 'etcd.other: error on cp-3, a root'),
    (lambda r: r['findings'][1].update(because_of=[]), 'discovery.missing: warning, because of etcd.other'),
    (lambda r: r.update(complete=True), 'the report is incomplete'),
    (lambda r: r['findings'][1].update(because_of=['gone']), 'discovery.missing: warning, because of etcd.other'),
    (lambda r: r['findings'].reverse(), 'causes stand before their consequences'),
    (lambda r: r['sections']['etcd.alarm'].update(verdict='warning'), 'etcd.alarm is ok, info or not applicable'),
    (lambda r: r['sections']['etcd.alarm'].update(verdict='unknown'), 'etcd.alarm is ok, info or not applicable'),
    (lambda r: r['sections']['gathering_logs'].update(verdict='ok'), 'gathering_logs is not evaluated'),
])
def test_each_deviation_is_named(report, change, what):
    changed = copy.deepcopy(report)
    change(changed)
    assert what in unmet(changed)


def test_a_section_that_is_not_built_is_never_met(report):
    report['sections']['x.time'].update(verdict='unknown', reason='not built yet')
    states = {item.what: item.state for item in compare(report, EXPECTED)}
    assert states['x.time is ok, info or not applicable'] == UNBUILT
    expected = {**EXPECTED, 'not_evaluated': {**EXPECTED['not_evaluated'], 'x.time': 'no such read'}}
    assert {item.what: item.state for item in compare(report, expected)}['x.time is not evaluated'] == UNBUILT


def test_sections_are_counted_as_whole_ones(report):
    assert sections_met(compare(report, EXPECTED)) == (34, 34)
    report['sections']['x.time'].update(verdict='unknown', reason='not built yet')
    report['findings'][0].update(root=False)
    assert sections_met(compare(report, EXPECTED)) == (32, 34)


def test_a_report_that_sees_everything_is_complete(report):
    expected = {**EXPECTED, 'not_evaluated': {}}
    report['sections']['gathering_logs'].update(verdict='ok', reason=None)
    assert 'the report is complete, but for machines that it names' in unmet(report, expected)
    report['sections']['etcd.other']['nodes_missing'] = ['cp-3']
    assert unmet(report, expected) == []


def test_every_other_section_is_not_evaluated(report):
    for key in KEYS:
        if key not in ('etcd.other', 'discovery.missing'):
            report['sections'][key].update(verdict='unknown', reason='nothing could be read')
    expected = {**EXPECTED, 'not_evaluated': {'*': 'nothing could be read'}}
    assert unmet(report, expected) == []
    report['sections']['x.time']['verdict'] = 'ok'
    assert unmet(report, expected) == ['x.time is not evaluated']


def test_a_node_of_a_root_must_be_a_root_itself(report):
    other = {**report['findings'][0], 'id': 'etcd.x/cp-4', 'nodes': ['cp-4'], 'subject': 'cp-4', 'title': 'x', 'root': False,
             'because_of': ['etcd.member_stale/3']}
    report['findings'].append(other)
    expected = copy.deepcopy(EXPECTED)
    expected['findings'][0]['nodes'] = ['cp-3', 'cp-4']
    assert unmet(report, expected) == ['etcd.other: error on cp-3, cp-4, a root']


def test_a_consequence_of_a_consequence_is_one_of_the_cause(report):
    between = {**report['findings'][1], 'id': 'etcd.y/cluster', 'section': 'etcd.other', 'because_of': ['etcd.member_stale/3']}
    report['findings'].insert(1, between)
    report['findings'][2]['because_of'] = ['etcd.y/cluster']
    assert unmet(report) == []


@pytest.mark.parametrize(('expected', 'text'), [
    ({}, 'expected.class must be one of healthy, warnings, errors, critical, not_judged.'),
    ({'class': 'healthy', 'findings': [{'section': 'etcd', 'severity': 'error'}]}, 'must name one of our sections'),
    ({'class': 'healthy', 'findings': [{'section': 'etcd.other', 'severity': 'bad'}]}, 'must name one of our sections'),
    ({'class': 'healthy', 'not_evaluated': {'etcd': 'x'}}, 'expected: etcd is no section.'),
    ({'class': 'healthy', 'findings': [{'section': 'etcd.other', 'severity': 'error', 'because_of': 'x'}]}, 'expected: x is no section.'),
])
def test_expectations_that_mean_nothing_are_refused(expected, text):
    assert text in problem(expected)
    assert problem(EXPECTED) is None


def test_a_class_that_only_an_unbuilt_section_could_make_is_not_built(report):
    report['sections']['x.time'].update(verdict='unknown', reason='not built yet')
    expected = {**EXPECTED, 'class': 'critical', 'findings': [*EXPECTED['findings'], {'section': 'x.time', 'severity': 'critical'}]}
    assert compare(report, expected)[0].state == UNBUILT
    expected['findings'].append({'section': 'etcd.alarm', 'severity': 'critical'})
    assert compare(report, expected)[0].state == NOT_MET


@pytest.mark.parametrize(('told', 'said'), [
    ({'section': 'etcd.other'}, 'etcd.member_stale/3 is error: member cp-3 is stale'),
    ({'section': 'etcd.other', 'nodes': ['cp-3']}, 'etcd.member_stale/3 is error: member cp-3 is stale'),
    ({'section': 'etcd.other', 'nodes': ['cp-2']}, None),
    ({'section': 'etcd.other', 'at_most': 'error'}, None),
    ({'section': 'etcd.alarm'}, None),
    ({'subject': '3'}, 'etcd.member_stale/3 is error: member cp-3 is stale'),
    ({'check': 'etcd.member_stale', 'subject': '4'}, None),
    ({'title': '^seen$'}, 'discovery.x/cluster is warning: seen'),
    ({'title': '.', 'at_most': 'warning'}, 'etcd.member_stale/3 is error: member cp-3 is stale'),
    ({'plan': 'csr'}, 'the plan has talos_etcd_alarm None, talos_kubernetes_csr csr-w2'),
    ({'plan': 'csr', 'before': 'alarm'}, None),
    ({'plan': 'alarm', 'before': 'csr'}, 'the plan has talos_etcd_alarm None, talos_kubernetes_csr csr-w2'),
    ({'plan': 'bootstrap'}, None),
    ({'plan': 'bootstrap', 'before': 'alarm'}, None),
])
def test_what_must_not_be_said_can_be_told_to_a_program(report, told, said):
    report['plan'] = [{'step': 1, 'remedy': 'talos_etcd_alarm'}, {'step': 2, 'remedy': 'talos_kubernetes_csr', 'target': 'csr-w2'}]
    item = compare(report, {**EXPECTED, 'assert_not': [{'says': 'x', **told}]})[-1]
    assert (item.what, item.state, item.why) == ('not said: x', NOT_MET if said else MET, said or '')


@pytest.mark.parametrize(('told', 'text'), [
    ({'says': 'x'}, 'must choose findings by section, check, subject, nodes, title, or steps by plan.'),
    ({'section': 'etcd'}, 'expected.assert_not: etcd is no section.'),
    ({'section': 'etcd.other', 'at_most': 'bad'}, 'at_most must be a verdict'),
    ({'section': 'etcd.other', 'verdict': 'info'}, 'must choose findings by'),
    ('etcd.other', 'must choose findings by'),
])
def test_assertions_that_mean_nothing_are_refused(told, text):
    assert text in problem({**EXPECTED, 'assert_not': [told]})


@pytest.mark.parametrize('path', sorted((Path(__file__).parents[2] / 'scenarios' / 'examples').glob('*.yaml')), ids=lambda path: path.stem)
def test_everything_that_an_example_forbids_can_be_judged_by_a_program(path):
    expected = scenario.read(path).expected
    assert set(expected['must_not']) == {told['says'] for told in expected['assert_not']}


@pytest.mark.parametrize('line, state', [
    ({'sig': 'sys.disk_full', 'line': '[talos] write /x: no space left on device'}, MET),
    ({'sig': 'sys.disk_full', 'line': '[talos] all is well'}, NOT_MET),
    ({'sig': 'sys.nonsense', 'line': '[talos] write /x: no space left on device'}, NOT_MET),
    ({'sig': None, 'line': '[talos] all is well'}, MET),
    ({'sig': None, 'line': '[talos] write /x: no space left on device'}, NOT_MET),
    ({'sig': 'kubelet.node_not_found', 'line': r'"error": "error getting node: nodes \x5c"w-1\x5c" not found"'}, MET),
])
def test_a_log_line_matches_the_signature_that_it_is_said_to_match(report, line, state):
    [item] = compare(report, EXPECTED, [{'node': 'cp-1', 'src': 'machined dmesg', **line}])[-1:]
    assert item.state == state


def test_a_log_line_that_says_nothing_of_a_signature_is_not_judged(report):
    assert len(compare(report, EXPECTED, [{'line': 'x', 'src': 'etcd log'}])) == len(compare(report, EXPECTED))
