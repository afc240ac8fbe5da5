# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_diagnose: everything in one task, also as a gate and on a snapshot; and the user's own checks in the report."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

OWN = [{'id': 'version', 'title': 'Talos is ours', 'expression': 'calls.Version.version.tag', 'expected': 'v9.9.9', 'severity': 'warning', 'each': 'worker'}]


def test_one_task_gathers_judges_keeps_and_leads_with_the_roots(ansible):
    run = ansible('one-cp-down').tasks(('all', {'talosops.talos.talos_diagnose': {'fail_on': 'never'}}),
                                       ('check', {'talosops.talos.talos_diagnose': {}, 'check_mode': True}))
    result = run.results['all']
    assert not result.get('failed') and result['changed'] is False
    assert result['class'] in ('errors', 'critical') and result['verdict'] in ('error', 'critical')
    report = json.loads(Path(result['report']).read_text())
    assert set(result['sections']) == set(report['sections']) and Path(result['snapshot']).exists()
    assert result['roots'] == [f['id'] for f in report['findings'] if f['root'] and f['verdict'] in ('warning', 'error', 'critical')]
    assert any(root.startswith('talos_api.machine_unreachable/') for root in result['roots'])
    assert result['nodes_source'] == report['nodes_source'] and result['nodes_source']['expected_from'] == 'discovery'
    assert result['message'].startswith('one-cp-down: ')
    assert run.results['check']['roots'] == result['roots']


def test_it_fails_by_severity_with_the_whole_result(ansible):
    run = ansible('one-cp-down').tasks(('gate', {'talosops.talos.talos_diagnose': {'fail_on': 'error'}}))
    result = run.results['gate']
    assert result['failed'] and '(fail_on is error)' in result['msg'] and result['findings'] and result['report']


def test_a_snapshot_is_judged_again_without_a_connection(ansible):
    bed = ansible('healthy')
    first = bed.tasks(('all', {'talosops.talos.talos_diagnose': {'report_dir': 'kept'}})).results['all']
    bed.environment.pop('TALOSCONFIG')
    again = bed.tasks(('again', {'talosops.talos.talos_diagnose': {'snapshot': 'kept'}}),
                      ('own', {'talosops.talos.talos_diagnose': {'snapshot': 'kept', 'checks': OWN}})).results
    assert again['again']['findings'] == first['findings'] and again['again']['digest'] == first['digest']
    [finding] = [f for f in again['own']['findings'] if f['section'] == 'x.custom']
    assert finding['title'] == 'Talos is ours on w1: "v1.13.9", expected "v9.9.9"' and again['own']['digest'] != first['digest']


def test_own_checks_from_a_file_stand_in_the_report_of_the_playbook(ansible):
    bed = ansible('healthy')
    bed.write('checks.yml', yaml.safe_dump(OWN))
    run = bed.playbook('-e', 'talos_checks=checks.yml')
    assert 'Your own checks' in run.text and 'Talos is ours on w1: "v1.13.9", expected "v9.9.9" [custom.version]' in run.text
    assert run.reports['healthy']['sections']['x.custom']['verdict'] == 'warning'


def test_a_mistake_in_an_own_check_ends_the_run_before_anything_is_asked(ansible):
    bed = ansible('healthy')
    path = bed.write('checks.yml', yaml.safe_dump([{**OWN[0], 'expression': 'calls.Version['}]))
    run = bed.playbook('-e', 'talos_checks=checks.yml')
    assert run.code != 0 and run.says(f'{path}: check "version": the expression is not JMESPath, column')
    assert 'Traceback' not in run.text and not list(run.directory.glob('talos-report'))
