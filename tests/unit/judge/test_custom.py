# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the user's own, on a recorded cluster."""

from __future__ import annotations

import copy
import json

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.judge import custom, settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import judge
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from ansible_collections.talosops.talos.plugins.module_utils.tasks import own_checks
from tests import recorded
from tests.conftest import ROOT

VERSION = {'id': 'version', 'title': 'Talos is ours', 'expression': 'calls.Version.version.tag', 'expected': 'v1.13.9', 'severity': 'error',
           'text': 'We released that one.', 'remedy': 'Upgrade it.'}


def judged(*checks, name='healthy', change=None):
    snapshot = copy.deepcopy(recorded.snapshot(name))
    if change:
        change(snapshot)
    chosen = settings.build((), own_checks=list(checks))
    return judge(snapshot, chosen, custom.build(chosen.checks))


def verdict(report, check):
    return next(item['verdict'] for item in report['checks'] if item['check'] == f'custom.{check}')


def test_a_check_that_is_met_is_ok_on_every_machine():
    report = judged(VERSION)
    assert report['checks'] == [{'check': 'custom.version', 'section': 'x.custom', 'verdict': 'ok', 'subjects': 4}]
    assert report['sections']['x.custom']['counts'] == {'ok': 4} and report['findings'] == []


def test_a_check_that_is_not_met_says_what_it_saw_and_in_the_users_words():
    report = judged({**VERSION, 'each': 'worker', 'expected': 'v1.14.0'})
    [finding] = report['findings']
    assert (finding['id'].partition('/')[0], finding['verdict'], finding['nodes'], finding['section']) == ('custom.version', 'error', ['w1'], 'x.custom')
    assert finding['title'] == 'Talos is ours on w1: "v1.13.9", expected "v1.14.0"'
    assert (finding['means'], finding['next_step']) == ('We released that one.', 'Upgrade it.')
    assert finding['evidence'][0]['text'] == 'calls.Version.version.tag gives "v1.13.9"'
    assert report['class'] == 'errors'


@pytest.mark.parametrize('check, expected', [
    ({'expression': 'length(kubernetes.nodes)', 'each': 'cluster', 'expected': 4}, 'ok'),
    ({'expression': 'length(kubernetes.nodes)', 'each': 'cluster', 'at_least': 5}, 'warning'),
    ({'expression': 'length(machines[?answered])', 'each': 'cluster', 'at_most': 4}, 'ok'),
    ({'expression': 'services.etcd.healthy', 'each': 'control_plane', 'expected': True}, 'ok'),
    ({'expression': 'services.etcd.healthy', 'each': 'control_plane', 'expected': 1}, 'warning'),
    ({'expression': 'resources.MachineStatuses.machine.stage', 'one_of': ['running', 'booting']}, 'ok'),
    ({'expression': 'resources.MachineStatuses.machine.stage', 'matches': '^run'}, 'ok'),
    ({'expression': 'resources.MachineStatuses.machine.stage', 'matches': '^boot'}, 'warning'),
    ({'expression': 'node.kubelet_version', 'each': 'worker', 'expected': 'v1.36.3'}, 'ok'),
    ({'expression': 'resources.MachineStatuses.machine.nothing', 'expected': None}, 'ok'),
    ({'expression': 'age_seconds', 'at_least': 60}, 'ok'),
])
def test_operators_and_what_an_expression_sees(check, expected):
    assert verdict(judged({'id': 'it', **check}), 'it') == expected


def test_without_checks_the_section_is_not_applicable():
    report = judged()
    assert report['sections']['x.custom']['verdict'] == 'not_applicable' and report['checks'] == []


# -- what it says when it cannot see ----------------------------------------------------------------------------

@pytest.mark.parametrize('expression, expected', [('calls.Version.version.tag', 'v9'),
                                                  ("contains(keys(resources), 'Version') || calls.Version.version.tag == null", True)])
def test_a_read_that_is_missing_is_unknown_whatever_the_expression_gives(expression, expected):
    def lose(snapshot):
        snapshot.machines[0].data['Version'] = Datum('refused', reason='not authorized')
    report = judged({'id': 'it', 'expression': expression, 'expected': expected, 'each': 'control_plane'}, change=lose)
    [unseen] = [finding for finding in report['findings'] if finding['verdict'] == 'unknown']
    assert 'not judged on cp1, Version: the role of the client certificate may not read it (not authorized)' in unseen['title']


def test_kubernetes_that_was_not_read_is_unknown_and_says_why():
    report = judged({'id': 'it', 'expression': 'length(not_null(kubernetes.nodes, `[]`))', 'each': 'cluster', 'expected': 0}, name='healthy-reader')
    [finding] = report['findings']
    assert finding['verdict'] == 'unknown' and 'needs os:admin or a kubeconfig' in finding['title']


def test_one_machine_without_the_read_makes_a_check_of_the_cluster_unknown():
    def lose(snapshot):
        snapshot.machines[2].data['Memory'] = Datum('timed_out')
    report = judged({'id': 'it', 'expression': 'min(machines[].calls.Memory.meminfo.memtotal)', 'each': 'cluster', 'at_least': 0}, change=lose)
    assert verdict(report, 'it') == 'unknown' and 'Memory of cp3' in report['findings'][0]['title']


def test_an_expression_that_does_not_fit_the_data_is_unknown_and_no_traceback():
    report = judged({'id': 'it', 'expression': 'length(age_seconds)', 'expected': 1, 'each': 'worker'})
    assert verdict(report, 'it') == 'unknown' and 'the expression does not fit what there is on w1' in report['findings'][0]['title']


def test_machines_that_do_not_answer_are_not_judged_ok():
    report = judged(VERSION, name='worker-down')
    assert report['sections']['x.custom']['nodes_missing'] == ['w1'] and not report['complete']


# -- what cannot be understood ----------------------------------------------------------------------------------

@pytest.mark.parametrize('check, words', [
    ({'expresion': 'a'}, 'talos_checks: check "it" has an unknown key "expresion". Did you mean "expression"?'),
    ({'expression': 'machines[?name == ]', 'expected': 1}, 'talos_checks: check "it": the expression is not JMESPath, column 19: "]" is not expected there.'),
    ({'expression': 'a.b.', 'expected': 1}, 'talos_checks: check "it": the expression is not JMESPath'),
    ({'expression': 'a', 'expected': 1, 'severity': 'eror'}, 'severity must be one of info, warning, error, critical, not "eror". Did you mean "error"?'),
    ({'expression': 'a'}, 'talos_checks: check "it" says nothing of what is expected. Give exactly one of'),
    ({'expression': 'a', 'expected': 1, 'at_least': 2}, 'has expected and at_least'),
    ({'expression': 'a', 'at_least': 'much'}, 'at_least must be a number'),
    ({'expression': 'a', 'matches': '(', }, 'matches is not a regular expression, column 1'),
    ({'expression': 'a', 'one_of': 'b'}, 'one_of must be a list'),
    ({'expression': 5, 'expected': 1}, 'must have an expression, a text in JMESPath, not 5'),
    ({'expression': 'a', 'expected': 1, 'each': 'node'}, 'each must be one of machine, control_plane, worker, cluster, not "node"'),
    ({'expression': 'a', 'expected': 1, 'text': ['b']}, 'text must be a text'),
])
def test_a_mistake_is_one_sentence_that_names_the_check(check, words):
    with pytest.raises(InputError) as error:
        settings.build((), own_checks=[{'id': 'it', **check}])
    assert words in error.value.sentence() and '\n' not in error.value.sentence()


@pytest.mark.parametrize('checks, words', [
    ('abc', 'must be a list of checks'), ([1], 'check 1 must be a mapping, not 1'), ([{'id': 'No'}], 'check 1 must have an id of lower-case'),
    ([VERSION, VERSION], 'there are 2 checks with the id "version"'),
])
def test_a_list_that_is_none(checks, words):
    with pytest.raises(InputError, match=words):
        custom.validate(checks)


def test_files_are_read_and_mistakes_name_them(tmp_path):
    good, wrong, broken = tmp_path / 'good.yml', tmp_path / 'wrong.yml', tmp_path / 'broken.yml'
    good.write_text(yaml.safe_dump({'talos_checks': [VERSION]}))
    wrong.write_text(yaml.safe_dump([{**VERSION, 'id': 'other', 'expression': 'a['}]))
    broken.write_text('- id: [\n')
    assert [check['id'] for check in own_checks.load(str(good))] == ['version']
    assert own_checks.load(None) == [] and [check['id'] for check in own_checks.load([VERSION])] == ['version']
    for path, words in ((wrong, f'{wrong}: check "other": the expression is not JMESPath, column'), (broken, f'{broken}, line 2, column 1: this is not YAML'),
                        (tmp_path / 'none.yml', f'{tmp_path / "none.yml"} cannot be read: No such file')):
        with pytest.raises(InputError) as error:
            own_checks.load([str(good), str(path)])
        assert words in error.value.sentence()


def test_definitions_change_the_settings_and_so_the_digest():
    assert settings.build((), own_checks=[VERSION]).to_plain() != settings.build(()).to_plain()
    assert json.dumps(settings.build((), own_checks=[VERSION]).to_plain())


# -- the schema -------------------------------------------------------------------------------------------------

def test_the_page_names_every_field_that_an_expression_sees_and_its_examples_are_valid():
    page = (ROOT / 'docs' / 'custom-checks.md').read_text()
    view = View(recorded.snapshot('healthy'), settings.build(()))
    of_machine, of_cluster = custom.document(view, view.snapshot.machines[0]), custom.document(view)
    for field in {*of_machine, *of_cluster, *of_cluster['kubernetes']}:
        assert f'`{field}`' in page, field
    assert custom.SCHEMA in page
    example = yaml.safe_load(page.partition('```yaml\n')[2].partition('```')[0])
    report = judged(*example)
    assert [(item['check'], item['verdict']) for item in report['checks']] == [
        ('custom.extensions', 'warning'), ('custom.reserve', 'ok'), ('custom.nodes_labelled', 'error')]


def test_no_secret_and_no_log_is_seen():
    view = View(recorded.snapshot('healthy'), settings.build(()))
    text = json.dumps(custom.document(view))
    assert 'PRIVATE KEY' not in text and 'BEGIN' not in text
    assert 'logs' not in custom.document(view, view.snapshot.machines[0])
