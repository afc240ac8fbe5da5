# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner of scenarios: what counts as met."""

from __future__ import annotations

import copy

import pytest

from tests.tools.run_scenario import MET, NOT_MET, UNBUILT, compare

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
    sections = {key: {'verdict': 'ok', 'reason': None} for key in KEYS}
    sections['etcd.other']['verdict'] = 'error'
    sections['discovery.missing']['verdict'] = 'warning'
    sections['gathering_logs'] = {'verdict': 'unknown', 'reason': 'needs a role'}
    finding = {'id': 'etcd.member_stale/3', 'section': 'etcd.other', 'verdict': 'error', 'nodes': [], 'subject': '3', 'title': 'member cp-3 is stale',
               'root': True, 'because_of': []}
    consequence = {'id': 'discovery.x/cluster', 'section': 'discovery.missing', 'verdict': 'warning', 'nodes': ['cp-1'], 'subject': 'cluster',
                   'title': 'seen', 'root': False, 'because_of': ['etcd.member_stale/3']}
    return {'class': 'errors', 'sections': sections, 'findings': [finding, consequence]}


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
    report['sections']['x.time'] = {'verdict': 'unknown', 'reason': 'not built yet'}
    states = {item.what: item.state for item in compare(report, EXPECTED)}
    assert states['x.time is ok, info or not applicable'] == UNBUILT
    expected = {**EXPECTED, 'not_evaluated': {**EXPECTED['not_evaluated'], 'x.time': 'no such read'}}
    assert {item.what: item.state for item in compare(report, expected)}['x.time is not evaluated'] == UNBUILT
