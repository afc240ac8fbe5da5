# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""diagnose.yml from a person's side: with and without inventory, limits, tags, a bastion, and what must not look like an all-clear."""

from __future__ import annotations

import json
import stat
import subprocess

import pytest
import yaml
from running import elsewhere

from tests.bed import pki

WEB = {'all': {'hosts': {'web1': {}, 'web2': {}}}}


def clusters(*names, **variables):
    return {'talos_clusters': {'hosts': {name: {'ansible_connection': 'local', **variables} for name in names}}}


def judged(run, count, of):
    """Whether the last words of a run are how many clusters it judged."""
    last = [line for line in run.text.partition('PLAY RECAP')[0].split('\n') if '"msg"' in line or 'fatal: ' in line][-1]
    return f'{count} of {of} clusters judged' in last


def test_without_an_inventory_the_current_context_is_judged(ansible):
    run = ansible('healthy').playbook()
    assert run.code == 0, run.text
    assert run.reports['healthy']['class'] == 'healthy'
    assert 'healthy: healthy, complete' in run.text and judged(run, 1, 1)
    assert run.recap['healthy']['failed'] == 0
    (report,) = run.directory.glob('talos-report/healthy_*/2*/report.json')
    assert f'  report: {report}' in run.text
    assert stat.S_IMODE(report.stat().st_mode) == 0o600 and stat.S_IMODE(report.parent.stat().st_mode) == 0o700
    assert (report.parent.parent / 'latest').resolve() == report.parent
    assert sorted(path.name for path in report.parent.iterdir()) == ['report.json', 'snapshot.zip']
    assert not list(run.directory.glob('tmp/*')), 'the local temporary directory is left empty'


def test_sections_stand_in_the_order_of_the_guide(ansible):
    run = ansible('healthy').playbook()
    titles = ('Talos API: firewall', 'Talos API: wrong endpoints', 'Discovery: missing', 'etcd: quorum', 'etcd: members', 'report: ')
    places = [run.text.index(title) for title in titles]
    assert places == sorted(places)


def test_roots_lead(ansible):
    run = ansible('one-cp-down').playbook()
    assert run.code == 0, 'errors do not fail a run whose talos_fail_on is critical'
    assert run.text.index('[talos_api.machine_unreachable]') < run.text.index('[etcd.members_not_answering]')
    assert 'begin with:' in run.text


def test_check_mode_gives_the_whole_report_and_changes_nothing(ansible):
    run = ansible('healthy').playbook('--check', '--diff')
    assert run.code == 0, run.text
    assert run.reports['healthy']['class'] == 'healthy'
    assert all(host['changed'] == 0 for host in run.recap.values())


def test_without_an_inventory_a_limit_is_refused_with_the_way_out(ansible):
    run = ansible('healthy').playbook('--limit', 'healthy')
    assert run.code != 0 and run.reports == {}
    assert run.says('There is no cluster to judge: the inventory has no group talos_clusters, so --limit healthy leaves nothing')
    assert run.says('-e talos_context=healthy')


@pytest.mark.parametrize('inventory, said', [
    ('', 'has no hosts'),
    ('talos_clusters:\n', 'the group talos_clusters is empty'),
    ('all: {hosts: {web1: }, children: {talos_clusters: }}\n', 'the group talos_clusters is empty'),
])
def test_an_empty_inventory_or_group_fails_with_a_sentence(ansible, inventory, said):
    ansible = ansible('healthy')
    run = ansible.playbook('-i', ansible.write('inventory.yml', inventory))
    assert run.code != 0 and run.reports == {}
    assert run.says('There is no cluster to judge') and run.says(said)


def test_a_limit_judges_one_cluster_of_an_inventory(ansible):
    ansible = ansible('healthy')
    run = ansible.playbook('-i', ansible.write('inventory.yml', clusters('healthy', 'other')), '--limit', 'healthy')
    assert run.code == 0, run.text
    assert list(run.reports) == ['healthy'] and judged(run, 1, 1)
    assert set(run.recap) == {'healthy'}


@pytest.mark.parametrize('arguments', [['--limit', 'nobody'], ['--limit', 'web1'], ['--limit', 'talos_clusters:!healthy'], ['-e', 'talos_hosts=nobody']])
def test_a_run_that_has_nothing_to_judge_fails(ansible, arguments):
    ansible = ansible('healthy')
    run = ansible.playbook('-i', ansible.write('inventory.yml', {**WEB, **clusters('healthy')}), *arguments)
    assert run.code != 0 and run.reports == {}
    assert run.says('There is no cluster to judge') or run.says('leaves us with no hosts to target')


def test_other_peoples_hosts_are_left_alone(ansible):
    ansible = ansible('healthy')
    run = ansible.playbook('-i', ansible.write('inventory.yml', WEB))
    assert run.code == 0, run.text
    assert list(run.reports) == ['healthy'] and set(run.recap) == {'localhost', 'healthy'}
    assert run.says('ok: [localhost] => (item=healthy)')


def test_a_limit_to_other_peoples_hosts_fails(ansible):
    ansible = ansible('healthy')
    run = ansible.playbook('-i', ansible.write('inventory.yml', WEB), '--limit', 'web1')
    assert run.code != 0 and run.reports == {}
    assert run.says('--limit web1 leaves nothing')


def test_tags_choose_a_section_and_keep_gather_and_report(ansible):
    run = ansible('healthy').playbook('--tags', 'etcd')
    assert run.code == 0, run.text
    assert run.says('TASK [talosops.talos.etcd : Judge etcd') and not run.says('TASK [talosops.talos.discovery : Compare the members')
    assert run.says('TASK [talosops.talos.gather : Gather and judge') and 'etcd: quorum' in run.text and judged(run, 1, 1)
    assert 'healthy (only etcd): healthy, complete' in run.text and 'Discovery: missing' not in run.text
    assert len(run.reports['healthy']['sections']) > 30, 'report.json is of the whole'


def test_a_run_fails_by_the_sections_that_it_chose(ansible):
    ansible = ansible('nospace-alarm')
    assert ansible.playbook('--tags', 'etcd').code != 0
    run = ansible.playbook('--tags', 'discovery')
    assert run.code == 0 and 'nospace-alarm (only discovery): healthy' in run.text
    run = ansible.playbook('--skip-tags', 'etcd')
    assert 'nospace-alarm (all but etcd): ' in run.text and 'etcd: quorum' not in run.text


def test_without_what_is_tagged_always_a_run_fails(ansible):
    run = ansible('healthy').playbook('--skip-tags', 'always')
    assert run.code != 0 and run.says('There is no cluster to judge')


def test_through_a_bastion(ansible, tmp_path):
    ansible = ansible('healthy')
    inventory = {**clusters('healthy'), 'bastions': {'hosts': {'jump': elsewhere(tmp_path)}}}
    run = ansible.playbook('-i', ansible.write('inventory.yml', inventory), '-e', 'talos_bastion=jump')
    assert run.code == 0, run.text
    assert 'AnsiballZ_talos_snapshot.py' in (tmp_path / 'elsewhere' / 'commands.log').read_text()
    assert run.reports['healthy']['class'] == 'healthy'
    assert 'AnsiballZ_talos_members.py' not in (tmp_path / 'elsewhere' / 'commands.log').read_text(), 'section roles need no bastion'


def test_a_bastion_without_an_inventory(ansible, tmp_path):
    variables = ' '.join(f'{name}={value}' for name, value in elsewhere(tmp_path).items())
    ansible = ansible('healthy')
    run = ansible.playbook('-i', ansible.write('bastion.ini', f'jump {variables}\n'), '-e', 'talos_bastion=jump')
    assert run.code == 0, run.text
    assert list(run.reports) == ['healthy'] and (tmp_path / 'elsewhere' / 'commands.log').exists()


def test_a_bastion_that_is_down_is_one_sentence(ansible, tmp_path):
    ansible = ansible('healthy')
    inventory = {**clusters('healthy'), 'bastions': {'hosts': {'jump': {**elsewhere(tmp_path), 'elsewhere_home': 'down'}}}}
    run = ansible.playbook('-i', ansible.write('inventory.yml', inventory), '-e', 'talos_bastion=jump')
    assert run.code != 0 and run.reports == {}
    assert run.says('jump (talos_bastion) cannot be reached') and judged(run, 0, 1)


def test_a_play_that_leads_a_bastion_nowhere_is_told(ansible, tmp_path):
    ansible = ansible('healthy')
    inventory = {**clusters('healthy'), 'bastions': {'hosts': {'jump': {'ansible_host': 'jump.invalid'}}}}
    run = ansible.play([{'name': 'Test', 'hosts': 'healthy', 'gather_facts': False, 'vars': {'ansible_connection': 'local'},
                         'tasks': [{'name': 'Gather', 'talosops.talos.talos_snapshot': {}, 'delegate_to': 'jump'}]}], inventory)
    assert run.code == 0 and run.says('delegate_to jump had no effect, the task ran on the control node')


@pytest.mark.parametrize('fail_on, set_name, code', [
    ('critical', 'nospace-alarm', 2), ('never', 'nospace-alarm', 0), ('error', 'worker-down', 2), ('warning', 'healthy', 0)])
def test_talos_fail_on_decides_at_the_very_end(ansible, fail_on, set_name, code):
    run = ansible(set_name).playbook('-e', f'talos_fail_on={fail_on}')
    assert run.code == code, run.text
    assert judged(run, 1, 1), 'the count is the last word, also of a failed run'
    if code:
        assert run.says(f'(talos_fail_on is {fail_on})')
        assert run.text.index('begin with:') < run.text.index('(talos_fail_on is')


def test_an_incomplete_report_fails_where_that_is_wanted(ansible):
    run = ansible('worker-down').playbook('-e', 'talos_fail_on_incomplete=yes')
    assert run.code == 2 and run.says('(talos_fail_on_incomplete is true)')


def test_one_cluster_that_cannot_be_judged_harms_no_other(ansible):
    ansible = ansible('healthy')
    run = ansible.playbook('-i', ansible.write('inventory.yml', clusters('healthy', 'nowhere')))
    assert run.code == 2
    assert list(run.reports) == ['healthy'] and judged(run, 1, 2)
    assert run.says('has no context "nowhere", the name of the inventory host. It has: healthy.')


def test_a_report_of_another_cluster_is_not_overwritten(ansible, replayed, tmp_path):
    ansible = ansible('healthy')
    assert ansible.playbook('-e', 'talos_report_dir=out', '-e', 'talos_fail_on=never').code == 0
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['report.json', 'snapshot.zip']
    again = ansible.playbook('-e', 'talos_report_dir=out')
    assert again.code == 0, 'the same cluster may use it again'
    other = replayed('nospace-alarm')
    run = ansible.playbook('-e', 'talos_report_dir=out', TALOSCONFIG=other.path, HTTPS_PROXY=other.proxy)
    assert run.code == 2 and run.says('holds the report of another cluster (healthy) already')
    assert json.loads((tmp_path / 'out' / 'report.json').read_text())['cluster'] == 'healthy'


@pytest.mark.parametrize('variables, said', [
    ({'talos_thresholds': {'etcd_db': 1}}, 'there is no threshold "etcd_db"'),
    ({'talos_timeout': 0}, 'timeout must be a number of seconds above zero'),
    ({'talos_timeout': 'soon'}, 'unable to convert to float'),
    ({'talos_context': 'prod'}, 'has no context "prod"'),
    ({'talos_config': '/nowhere/talosconfig'}, '/nowhere/talosconfig does not exist'),
    ({'talos_config': '/'}, 'is a directory, not a file'),
    ({'talos_config_content': '- a\n- b\n'}, 'is no mapping'),
    ({'talos_config_content': {'context': 'a', 'contexts': {'a': {'endpoints': ['10.5.0.2'], 'ca': 'aGVsbG8='}}}}, 'ca is base64, but of no PEM'),
    ({'talos_config_content': {'context': 'a', 'contexts': {'a': {'endpoints': []}}}}, 'has no endpoints'),
    ({'talos_kubeconfig': 'env'}, 'KUBECONFIG is not set'),
    ({'talos_kubeconfig': '/nowhere/kubeconfig'}, '/nowhere/kubeconfig could not be read'),
    ({'talos_proxy': 'socks5://10.0.0.1:1080'}, 'SOCKS proxy, which is not supported'),
])
def test_bad_input_is_one_clear_sentence(ansible, variables, said):
    ansible = ansible('healthy')
    context = 'a' if 'talos_config_content' in variables else 'healthy'
    run = ansible.playbook('-i', ansible.write('inventory.yml', clusters('healthy')), '-e', json.dumps({'talos_context': context, **variables}))
    assert run.code == 2, run.text
    assert run.says(said), run.text
    assert 'Traceback' not in run.text and 'fault of the collection' not in run.text and judged(run, 0, 1)


@pytest.mark.parametrize('given, said', [
    ('talos_fail_on=sometimes', 'value of talos_fail_on must be one of: never, warning, error, critical'),
    ('talos_fail_on_incomplete=sometimes', "'talos_fail_on_incomplete' is of type"),
])
def test_a_wrong_talos_fail_on_is_refused_before_anything_is_asked(ansible, given, said):
    run = ansible('healthy').playbook('-e', given)
    assert run.code == 2 and run.says(said)
    assert 'Gather and judge' not in run.text and judged(run, 0, 1) and not (run.directory / 'talos-report').exists()


def test_no_talosconfig_at_all(ansible, tmp_path):
    run = ansible('healthy').playbook(TALOSCONFIG='')
    assert run.code == 2 and run.says('There is no talosconfig: none of') and 'Traceback' not in run.text


def test_vault_encrypted_files_and_variables(ansible, replayed, tmp_path):
    ansible = ansible('healthy')
    (tmp_path / 'password').write_text('sesame')
    (tmp_path / 'home' / 'talosconfig').write_text(replayed('healthy').talosconfig)
    vault = [ansible.program('ansible-vault'), 'encrypt', '--vault-password-file', str(tmp_path / 'password')]
    subprocess.run([*vault, str(tmp_path / 'home' / 'talosconfig')], check=True, capture_output=True, env=ansible.environment, cwd=tmp_path)
    path = {'TALOSCONFIG': str(tmp_path / 'home' / 'talosconfig')}
    without = ansible.playbook(**path)
    assert without.code == 2 and without.says('is encrypted by ansible-vault') and 'Traceback' not in without.text
    assert ansible.playbook('--vault-password-file', tmp_path / 'password', **path).code == 0
    variables = ansible.write('vars.yml', yaml.safe_dump({'talos_config_content': replayed('healthy').talosconfig}))
    subprocess.run([*vault, variables], check=True, capture_output=True, env=ansible.environment, cwd=tmp_path)
    run = ansible.playbook('--vault-password-file', tmp_path / 'password', '-e', f'@{variables}', TALOSCONFIG='', **{'ANSIBLE_VERBOSITY': '3'})
    assert run.code == 0, run.text
    key = yaml.safe_load(replayed('healthy').talosconfig)['contexts']['healthy']['key']
    assert key not in run.text


def test_the_inventory_of_contexts(ansible, replayed):
    ansible = ansible('healthy')
    ansible.write('one.talosconfig', replayed('healthy').talosconfig)
    ansible.write('two.talosconfig', pki.talosconfig('test eu', ['10.5.0.9'], pki.Authority('talos'), pki.Authority('talos').client(['os:admin'])))
    plugin = {'plugin': 'talosops.talos.talosconfig', 'talosconfigs': ['one.talosconfig', 'two.talosconfig'], 'compose': {'where': "'at ' ~ talos_context"}}
    run = ansible.playbook('-i', ansible.write('clusters.talosconfig.yml', plugin), '--limit', 'healthy', TALOSCONFIG='')
    assert run.code == 0, run.text
    assert list(run.reports) == ['healthy']
    both = ansible.playbook('-i', ansible.directory / 'clusters.talosconfig.yml', '--list-hosts')
    assert both.code == 0 and 'talos_clusters' in both.text and 'healthy' in both.text and 'test-eu' in both.text
