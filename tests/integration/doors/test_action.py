# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the in-process door behaves where Ansible's keywords meet it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from running import elsewhere

MODULE = 'talosops.talos.talos_certsans_check'
HERE = {'ansible_connection': 'local', 'ansible_python_interpreter': sys.executable}


def inventory(**hosts):
    return {'all': {'hosts': hosts}}


@pytest.mark.parametrize('options', [
    {'nonsense': 1}, {'timeout': 'soon'}, {'talosconfig': 'a', 'talosconfig_content': 'b'}, {'thresholds': 'x'}, {'endpoints': {'a': 1}}])
def test_wrong_options_are_refused_in_the_modules_own_words(ansible, options):
    run = ansible('healthy').tasks(('here', {MODULE: options}), hosts='healthy', inventory=inventory(healthy=HERE))
    said = run.results['here']
    assert said['failed'] and said['msg'] == own_words(options)
    assert 'Traceback' not in run.text


def own_words(options):
    """What AnsibleModule itself says of such options."""
    program = f'''
import json, sys
sys.path[:0] = {sys.path!r}
from ansible.module_utils import basic
from ansible_collections.talosops.talos.plugins.module_utils.tasks.arguments import SPECS
try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:
    import contextlib
    @contextlib.contextmanager
    def patch_module_args(args):
        basic._ANSIBLE_ARGS = json.dumps({{'ANSIBLE_MODULE_ARGS': args}}).encode()
        yield
with patch_module_args({{**{options!r}, '_ansible_module_name': {MODULE!r}}}):
    basic.AnsibleModule(supports_check_mode=True, **SPECS['talos_certsans_check'])
'''
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=False)
    return json.loads(done.stdout)['msg']


def test_the_environment_keyword_reaches_the_task_and_no_other(ansible, replayed):
    with_it = {MODULE: {}, 'environment': {'TALOSCONFIG': replayed('healthy').path}}
    run = ansible('healthy').tasks(('with', with_it), ('without', {MODULE: {}}), hosts='healthy', inventory=inventory(healthy=HERE), TALOSCONFIG='')
    assert run.results['with']['cluster'] == 'healthy'
    assert run.results['without']['failed'] and 'There is no talosconfig' in run.results['without']['msg']


def test_defaults_of_the_action_group_fit_every_module(ansible, replayed):
    replay = replayed('healthy')
    plays = [{'name': 'Test', 'hosts': 'localhost', 'gather_facts': False,
              'module_defaults': {'group/talosops.talos.talos': {'talosconfig': replay.path, 'context': '{{ nothing | default(omit) }}', 'timeout': 20}},
              'tasks': [{'name': 'Gather', 'talosops.talos.talos_snapshot': {}, 'register': 'gathered'},
                        {'name': 'Members', 'talosops.talos.talos_members': {'snapshot': '{{ gathered.snapshot }}'}},
                        {'name': 'Report', 'talosops.talos.talos_report': {'reports': ['{{ gathered.report }}']}}]}]
    run = ansible('healthy').play(plays, TALOSCONFIG='')
    assert run.code == 0, run.text
    assert 'healthy: healthy' in run.text


def test_short_names_in_check_mode_in_a_loop(ansible):
    plays = [{'name': 'Test', 'hosts': 'localhost', 'gather_facts': False, 'collections': ['talosops.talos'], 'check_mode': True,
              'tasks': [{'name': 'Members', 'talos_members': {'timeout': '{{ item }}'}, 'loop': [10, 20], 'register': 'said'},
                        {'name': 'Twice', 'ansible.builtin.assert': {'that': [
                            'said.results | length == 2', "said.results[1].cluster == 'healthy'", 'not said.changed']}}]}]
    run = ansible('healthy').play(plays)
    assert run.code == 0, run.text


def test_async_through_another_host_is_refused_for_a_snapshot_alone(ansible, tmp_path):
    run = ansible('healthy').tasks(
        ('snapshot', {'talosops.talos.talos_snapshot': {}, 'async': 60, 'poll': 1}), ('certsans', {MODULE: {}, 'async': 60, 'poll': 1}),
        hosts='healthy', inventory=inventory(healthy=elsewhere(tmp_path)))
    assert run.results['snapshot']['msg'].startswith('async cannot bring a snapshot back from another host.')
    assert run.results['certsans']['verdict'] in ('ok', 'not_applicable')


def test_a_snapshot_is_judged_here_whatever_the_host_is(ansible, tmp_path):
    tasks = [('snapshot', {'talosops.talos.talos_snapshot': {'report_dir': 'out'}, 'delegate_to': 'localhost'}),
             ('members', {'talosops.talos.talos_members': {'snapshot': 'out'}})]
    run = ansible('healthy').tasks(*tasks, hosts='healthy', inventory=inventory(healthy={'ansible_connection': 'ssh', 'ansible_host': 'nowhere.invalid'}))
    assert run.results['members']['verdict'] == 'ok', run.text


def test_a_mapping_as_talosconfig_masks_nothing_but_the_key(ansible, replayed, tmp_path):
    """AnsibleModule would mask every text of a no_log mapping, names and addresses with it, wherever they stand in the result."""
    variables = elsewhere(tmp_path)
    task = {MODULE: {'talosconfig_content': "{{ lookup('file', '" + replayed('healthy').path + "') | from_yaml }}"}}
    tasks = [('here', task), ('there', {**task, 'delegate_to': 'jump'})]
    run = ansible('healthy').tasks(*tasks, hosts='healthy', inventory=inventory(healthy=HERE, jump=variables))
    for result in run.results.values():
        assert result['cluster'] == 'healthy' and set(result['nodes']) == {'cp1', 'cp2', 'cp3'} and '10.5.0.2' in result['nodes']['cp1']['ips'], result
    assert (tmp_path / 'elsewhere' / 'commands.log').exists()
