# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks on a snapshot: judged once, and the part that belongs to the section."""

from __future__ import annotations

import os

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.guide import CHECKS
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import GATE_READS
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import of_role
from ansible_collections.talosops.talos.plugins.module_utils.report import files
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import store
from ansible_collections.talosops.talos.plugins.module_utils.tasks import (
    access, api_check, certsans_check, etcd_health, judged, members, outcome, report, section, snapshot,
)
from ansible_collections.talosops.talos.plugins.module_utils.version import VERSION
from tests import recorded
from tests.conftest import ROOT
from tests.unit.guide import states

REPORT = {'fail_on': 'critical', 'fail_on_incomplete': False}


@pytest.fixture
def kept(tmp_path):
    """A function that keeps a recorded snapshot with its report; gives the result of talos_snapshot."""
    def keep(name='one-cp-down', **params):
        return snapshot.keep(recorded.snapshot(name), params, str(tmp_path), 'here')
    return keep


def _without_a_cluster(monkeypatch):
    unreached = states.disconnected(states.snapshot(), 'timeout', 'no answer on port 50000')
    monkeypatch.setattr(access, 'gather', lambda *_given: unreached)
    return {'snapshot': None}


@pytest.mark.parametrize('task', [members, etcd_health])
def test_a_module_that_reaches_nothing_fails_and_says_why(monkeypatch, task):
    with pytest.raises(TalosError, match='none of the 3 endpoints could be used: no answer on port 50000'):
        task.run(_without_a_cluster(monkeypatch), False, None)


@pytest.mark.parametrize('task', [api_check, certsans_check])
def test_a_module_about_the_api_has_it_as_its_finding(monkeypatch, task):
    result = task.run(_without_a_cluster(monkeypatch), False, None)
    assert result['verdict'] in ('critical', 'unknown') and not result['complete']


@pytest.mark.parametrize('task, keys', [(members, of_role('discovery')), (etcd_health, of_role('etcd')), (api_check, of_role('talos_api')),
                                        (certsans_check, certsans_check.SECTIONS)])
def test_a_section_returns_its_own_part(kept, task, keys):
    path = kept()['snapshot']
    result = task.run({'snapshot': path}, False, None)
    assert tuple(result['sections']) == tuple(keys)
    assert {finding['section'] for finding in result['findings']} <= set(keys)
    assert result['changed'] is False and result['cluster'] == 'rt' and result['ran_on'] == access.here()
    assert result['complete'] is not any(part['nodes_missing'] for part in result['sections'].values())


def test_the_report_beside_a_snapshot_is_used_while_nothing_changed(kept, monkeypatch):
    path = kept()['snapshot']
    monkeypatch.setattr(judged, 'diagnose', lambda *_args: pytest.fail('it was judged again'))
    members.run({'snapshot': path}, False, None)
    members.run({'snapshot': os.path.dirname(path)}, False, None)


@pytest.mark.parametrize('change', ['thresholds', 'version', 'snapshot', 'report', 'damage'])
def test_it_is_judged_anew_when_something_did(kept, monkeypatch, change):
    path = kept()['snapshot']
    times = []
    diagnose = judged.diagnose
    monkeypatch.setattr(judged, 'diagnose', lambda *args: times.append(1) or diagnose(*args))
    params = {'snapshot': path}
    beside = os.path.join(os.path.dirname(path), files.REPORT)
    if change == 'thresholds':
        name = next(name for check in CHECKS for name in check.thresholds)
        params['thresholds'] = {name: 0.123}
    elif change == 'version':
        monkeypatch.setattr(judged, 'VERSION', '99.0.0')
    elif change == 'snapshot':
        store.write(recorded.snapshot('healthy'), path)
    elif change == 'report':
        os.unlink(beside)
    else:
        with open(beside, 'w', encoding='utf-8') as file:
            file.write('{')
    members.run(params, False, None)
    assert times == [1]


def test_names_that_are_missing_are_at_least_an_error(kept):
    path = kept('nospace-alarm')['snapshot']
    assert certsans_check.run({'snapshot': path}, False, None)['verdict'] == 'info'
    assert certsans_check.run({'snapshot': path, 'names': ['lb.example.net']}, False, None)['verdict'] == 'error'
    down = kept('one-cp-down')['snapshot']
    assert certsans_check.run({'snapshot': down, 'names': ['127.0.0.1']}, False, None)['verdict'] == 'unknown', 'cp3 was not seen'


def test_a_section_alone_reads_what_its_checks_and_the_gates_need():
    kinds, logs = section.needs(of_role('etcd'))
    assert set(GATE_READS) < kinds and {'EtcdStatus', 'EtcdMemberList', 'EtcdAlarmList'} < kinds and {'etcd', 'machined'} <= logs
    kinds, logs = section.needs(certsans_check.SECTIONS)
    assert 'EtcdDirectory' not in kinds and 'nodes' not in kinds and 'etcd' not in logs


def test_what_talos_snapshot_returns(kept, tmp_path):
    result = kept()
    assert result['class'] == 'errors' and result['complete'] is False and result['machines_answered'] == 3 and result['machines_known'] == 4
    assert result['report_dir'].startswith(str(tmp_path / 'talos-report' / result['cluster_key']))
    said = files.read_report(result['report'])
    assert said['digest'] == result['digest'] and said['counts'] == result['counts']
    assert store.read(result['snapshot']).cluster['name'] == 'rt'


def test_an_archive_from_elsewhere_becomes_the_same(kept, tmp_path, monkeypatch):
    taken = recorded.snapshot('one-cp-down')
    monkeypatch.setattr(access, 'gather', lambda *_args: taken)
    carried = snapshot.run({'access': access.Access(context=None, directory=None)}, False, None)
    assert set(carried) == {'archive', 'ran_on'}
    there = snapshot.keep_archive(carried, {}, str(tmp_path))
    assert there['digest'] == kept()['digest']


@pytest.mark.parametrize('name, fail_on, incomplete, fails', [
    ('nospace-alarm', 'critical', False, True), ('nospace-alarm', 'never', False, False), ('one-cp-down', 'critical', False, False),
    ('one-cp-down', 'error', False, True), ('one-cp-down', 'warning', False, True), ('healthy', 'warning', False, False), ('one-cp-down', 'never', True, True),
    ('healthy', 'never', True, False)])
def test_when_a_report_fails_a_run(kept, name, fail_on, incomplete, fails):
    result = report.run({'reports': [kept(name)['report']], 'fail_on': fail_on, 'fail_on_incomplete': incomplete}, False, None)
    assert result['fails'] is fails and result['clusters'][0]['fails'] is fails
    assert ('talos_fail_on' in result['message']) is fails
    assert result['text'].startswith('rt: ')


def test_several_reports_are_shown_together(kept):
    paths = [kept(name)['report_dir'] for name in ('healthy', 'nospace-alarm')]
    result = report.run({'reports': paths, **REPORT}, False, None)
    assert result['class'] == 'critical' and result['judged'] == 2 and result['text'].count('begin with:') == 1
    assert result['message'].count(';') == 1 or result['message'].startswith('rt: critical')


def test_a_snapshot_without_its_report_is_shown_too(kept):
    result = kept()
    os.unlink(result['report'])
    for path in (result['snapshot'], result['report_dir']):
        assert report.run({'reports': [path], **REPORT}, False, None)['class'] == 'errors'


def test_no_report_is_no_all_clear():
    with pytest.raises(InputError, match='option reports names none'):
        report.run({'reports': [], **REPORT}, False, None)


@pytest.mark.parametrize('params, said', [
    ({'thresholds': {'nonsense': 1}}, 'there is no threshold "nonsense"'), ({'thresholds': {}, 'snapshot': 'nowhere.zip'}, 'nowhere.zip')])
def test_bad_options_are_a_sentence(params, said):
    with pytest.raises(InputError, match=said):
        members.run({'snapshot': 'nowhere', **params}, False, None)


def test_a_fault_of_ours_is_a_failed_result_and_no_exception():
    result = outcome.outcome(lambda *_args: {}['x'], {}, False, None)
    assert result['failed'] and result['msg'].startswith('This is a fault of the collection') and "KeyError: 'x'" in result['msg']
    assert 'Traceback' in result['exception'] and 'Traceback' not in result['msg']

    def refuses(*_args):
        raise InputError('It is wrong.', 'Do it right.')
    assert outcome.outcome(refuses, {}, False, None) == {'failed': True, 'msg': 'It is wrong. Do it right.', 'ran_on': access.here()}
    with pytest.raises(KeyError):
        outcome.outcome(lambda *_args: {}['x'], {}, False, None, passing=KeyError)


def test_the_version_is_that_of_the_collection():
    assert yaml.safe_load((ROOT / 'galaxy.yml').read_text())['version'] == VERSION
