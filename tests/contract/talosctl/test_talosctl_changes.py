# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What our changing modules changed, talosctl reads back; and what talosctl changed, our modules find done."""

from __future__ import annotations

import pytest
import yaml

from tests.contract.talosctl.talosctl import Talosctl
from tests.unit.remedies.simulated import bed, impatient

PATCH = {'machine': {'sysctls': {'vm.swappiness': '1'}}}
VERSION = {'versions': {'talos': 'v1.12.0', 'kubernetes': 'v1.35.0'}}
BALANCED = {'setup': {'talos_balancer': '10.5.0.90'}, 'client': {'endpoints': ['10.5.0.90', '10.5.0.11']}}
NOSPACE = {'etcd': {'quota_mb': 100, 'db_mb': 101, 'in_use_mb': 20, 'alarms': [{'member': 'cp-2', 'alarm': 'NOSPACE'}]}}


@pytest.fixture
def beside(program, tmp_path):
    """C(with beside(state) as (talosctl, one))."""
    class Beside:
        def __init__(self, state=None):
            self._bed = bed({**VERSION, **(state or {})})
            self._soon = impatient()

        def __enter__(self):
            self._soon.__enter__()
            one = self._bed.__enter__()
            return Talosctl(program('talosctl'), one.cluster, tmp_path), one

        def __exit__(self, *told):
            self._bed.__exit__(*told)
            self._soon.__exit__(*told)
    return Beside


def _config(talosctl, node='cp-1'):
    """The active machine configuration as talosctl shows it: its documents."""
    found = [one for one in talosctl.read('get', 'machineconfig', '-o', 'yaml', nodes=[node]).yaml if one['metadata']['id'] == 'v1alpha1']
    return list(yaml.safe_load_all(found[0]['spec']))


def test_a_patched_configuration_reads_back_and_nothing_else_changed(beside, tmp_path):
    with beside() as (talosctl, one):
        before = _config(talosctl)
        assert 'sysctls' not in before[0]['machine']
        done = one.run('talos_config_patch', nodes=['cp-1'], patch=PATCH, backup_dir=str(tmp_path / 'kept'))
        assert done['changed']
        after = _config(talosctl)
        assert after[0]['machine'].pop('sysctls') == PATCH['machine']['sysctls']
        assert after == before
        assert _config(talosctl, 'cp-2')[0]['machine'].get('sysctls') is None


def test_what_talosctl_patched_is_left_alone(beside, tmp_path):
    with beside() as (talosctl, one):
        said = talosctl.read('patch', 'mc', '--patch', '{"machine":{"sysctls":{"vm.swappiness":"1"}}}', '--mode', 'no-reboot')
        assert 'Applied configuration without a reboot' in said.err
        again = one.run('talos_config_patch', nodes=['cp-1'], patch=PATCH, backup_dir=str(tmp_path / 'kept'))
        assert not again['changed'] and again['backup_files'] == {}


def test_a_dry_run_of_talosctl_shows_the_same_change_and_changes_nothing(beside, tmp_path):
    with beside() as (talosctl, one):
        before = _config(talosctl)
        said = talosctl.read('patch', 'mc', '--patch', '{"machine":{"sysctls":{"vm.swappiness":"1"}}}', '--dry-run')
        assert 'Dry run summary:' in said.err and 'Applied configuration without a reboot (skipped in dry-run)' in said.err
        added = [line[1:] for line in said.err.splitlines() if line.startswith('+') and not line.startswith('+++')]
        mine = one.run('talos_config_patch', check=True, nodes=['cp-1'], patch=PATCH, backup_dir=str(tmp_path / 'kept'))
        assert yaml.safe_load('machine:\n' + '\n'.join(added)) == yaml.safe_load(mine['diff'][0]['after']) == PATCH
        assert _config(talosctl) == before


def test_names_added_to_certificates(beside, tmp_path):
    with beside(BALANCED) as (talosctl, one):
        name = one.model.setup['talos_balancer']
        assert one.run('talos_certsans', names=[name], lists=['machine'], backup_dir=str(tmp_path / 'kept'))['changed']
        for node in ('cp-1', 'cp-2', 'cp-3'):
            assert _config(talosctl, node)[0]['machine']['certSANs'] == [name]
            served = talosctl.read('get', 'certsans', 'api', '--namespace', 'secrets', '-o', 'yaml', nodes=[node]).yaml
            assert name in served[0]['spec']['ips']


def test_an_alarm_disarmed_and_members_defragmented(beside):
    with beside(NOSPACE) as (talosctl, one):
        assert [row['ALARM'] for row in talosctl.read('etcd', 'alarm', 'list').rows] == ['NOSPACE']
        assert one.run('talos_etcd_defragment')['changed']
        rows = talosctl.read('etcd', 'status', nodes=['cp-1', 'cp-2', 'cp-3']).rows
        assert [row['IN USE'].rpartition(' ')[2] for row in rows] == ['(100.00%)'] * 3
        assert one.run('talos_etcd_alarm', state='disarmed')['changed']
        assert talosctl.read('etcd', 'alarm', 'list').out == ''


def test_an_alarm_that_talosctl_disarmed_is_no_change(beside):
    with beside({'etcd': {'alarms': [{'member': 'cp-2', 'alarm': 'NOSPACE'}]}}) as (talosctl, one):
        talosctl.read('etcd', 'alarm', 'disarm')
        assert not one.run('talos_etcd_alarm', state='disarmed')['changed']


def test_a_service_restarted(beside):
    with beside() as (talosctl, one):
        assert one.run('talos_service', service='kubelet', state='restarted', node='w-1')['changed']
        said = talosctl.read('service', 'kubelet', nodes=['w-1']).out
        assert 'STATE    Running' in said and 'HEALTH   OK' in said and '[Finished]: ' in said


def test_a_snapshot_is_one_that_talosctl_takes_and_finds_whole(beside, tmp_path):
    with beside() as (talosctl, one):
        assert one.run('talos_etcd_snapshot', dest=str(tmp_path / 'ours.db'))['changed']
        ours, theirs = (tmp_path / 'ours.db').read_bytes(), []
        for node in ('cp-1', 'cp-2', 'cp-3'):
            said = talosctl.read('etcd', 'snapshot', str(tmp_path / f'{node}.db'), nodes=[node])
            assert 'snapshot info: hash' in said.out
            theirs.append((tmp_path / f'{node}.db').read_bytes())
        assert ours in theirs
