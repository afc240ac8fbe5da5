# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our modules for etcd on the real one: what they change is changed, what they refuse would have been wrong."""

from __future__ import annotations

import json
import subprocess

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from tests.contract.etcd.real import real
from tests.unit.remedies.simulated import impatient

NAMES = ('cp-1', 'cp-2', 'cp-3')
FULL = {'quota_mb': 16, 'db_mb': 16, 'in_use_mb': 2, 'alarms': [{'member': name, 'alarm': 'NOSPACE'} for name in NAMES]}
STALE = {'members': {'cp-1': '1', 'cp-2': '2', 'cp-3': '3', 'cp-4': '4'}, 'member_addresses': {'cp-4': '10.5.0.99'}, 'reachable': [*NAMES]}


def refused(bed, module, **options):
    """The reasons for which a module does not do it."""
    with pytest.raises((Refused, TalosError)) as failure:
        bed.run(module, **options)
    return str(failure.value)


def snapshot(bed, directory):
    return bed.run('talos_etcd_snapshot', dest=str(directory / 'etcd.db'))


def test_health_of_the_real_one():
    with real() as bed:
        said = bed.run('talos_etcd_health')
        assert not said['changed'] and [one for one in said['findings'] if one['verdict'] not in ('ok', 'info')] == []


def test_a_snapshot_is_kept_and_restores(tmp_path):
    with real() as bed:
        bed.ctl('cp-1', 'put', 'kept', 'yes')
        said = snapshot(bed, tmp_path)
        assert said['changed'] and not snapshot(bed, tmp_path)['changed']
        hashes = bed.etcdctl('cp-1', 'endpoint', 'hashkv')[0]['HashKV']
    told = json.loads(subprocess.run([bed.etcd.program('etcdutl'), 'snapshot', 'status', said['dest'], '-w', 'json'], capture_output=True, check=True).stdout)
    assert told['revision'] == hashes['hash_revision'] and told['totalSize'] + 32 == said['bytes']
    subprocess.run([bed.etcd.program('etcdutl'), 'snapshot', 'restore', said['dest'], f'--data-dir={tmp_path}/restored'], capture_output=True, check=True)
    restored = json.loads(subprocess.run([bed.etcd.program('etcdutl'), 'hashkv', f'{tmp_path}/restored/member/snap/db', '-w', 'json'],
                                         capture_output=True, check=True).stdout)
    assert restored['hash'] == hashes['hash']


def test_a_full_etcd_is_repaired_whole(tmp_path):
    with real(FULL) as bed, impatient():
        assert 'of its quota of 16 MiB and not below 80%' in refused(bed, 'talos_etcd_alarm', settle=0)
        snapshot(bed, tmp_path)
        made = bed.run('talos_etcd_defragment', pause=0, min_bytes=0)
        assert [step['node'] for step in made['defragmented']][-1] == bed.leader() and len(made['defragmented']) == 3
        assert {alarm for _member, alarm in bed.etcd.alarms} == {'NOSPACE'}, 'which defragmentation does not clear'
        disarmed = bed.run('talos_etcd_alarm', settle=0)
        assert disarmed['changed'] and disarmed['alarms'] == []
        assert bed.ctl('cp-1', 'put', 'a', 'b').returncode == 0
        assert not bed.run('talos_etcd_alarm', settle=0)['changed']
        assert sorted(change.split()[0] for change in bed.changes()) == ['EtcdAlarmDisarm', *['EtcdDefragment'] * 3]
        assert {change.split()[1] for change in bed.changes() if 'Defragment' in change} == {*NAMES}


def test_a_disarm_whose_cause_is_there_is_refused_and_would_not_have_lasted():
    with real({**FULL, 'in_use_mb': 15}) as bed, impatient():
        assert 'quota' in refused(bed, 'talos_etcd_alarm', settle=0) and bed.changes() == []
        assert len(bed.talos('cp-1', 'EtcdAlarmDisarm')['member_alarms']) == 3
        assert bed.ctl('cp-1', 'put', 'a', given='b' * 1024 * 1000).returncode
        bed.until(lambda: bed.talos('cp-1', 'EtcdAlarmList'), 'the alarm is back')


def test_a_dead_member_is_removed_and_its_place_is_free(tmp_path):
    with real(STALE) as bed, impatient():
        member, own = bed.etcd.ids['cp-4'], bed.etcd.ids['cp-3']
        confirm = [f'remove etcd member {one} of prod' for one in (member, own)]
        task = {'backup': str(tmp_path / 'etcd.db'), 'confirm': confirm}
        assert 'does not exist' in refused(bed, 'talos_etcd_member', id=member, **task)
        snapshot(bed, tmp_path)
        assert 'it is alive: cp-3 says that it is this member' in refused(bed, 'talos_etcd_member', id=own, **task)
        made = bed.until(lambda: removed(bed, member, task), 'two others have complained of it')
        assert made['changed'] and (made['before']['tolerance'], made['after']['tolerance']) == (0, 1)
        assert [one['name'] for one in bed.etcdctl('cp-1', 'member', 'list')['members'] if f'{one["ID"]:016x}' == member] == []
        assert not bed.run('talos_etcd_member', id=member, **task)['changed']
        assert [change for change in bed.changes() if 'Remove' in change] == bed.changes() and len(bed.changes()) == 1


def removed(bed, member, task):
    """What the module says when it removed it; None while the others have not complained of it for long enough."""
    try:
        return bed.run('talos_etcd_member', id=member, **task)
    except (Refused, TalosError) as failure:
        assert 'other members say that they cannot reach it' in str(failure) or 'etcd has not been calm' in str(failure) \
            or 'unhealthy cluster' in str(failure), failure
        return None


def test_with_nothing_to_spare_no_member_is_defragmented_and_noneremoved(tmp_path):
    with real({'db_mb': 12, 'in_use_mb': 2}) as bed, impatient():
        snapshot(bed, tmp_path)
        dead = bed.etcd.ids['cp-3']
        bed.cluster.kill('cp-3')
        bed.until(lambda: bed.leader() in ('cp-1', 'cp-2'), 'one of the others leads')
        said = refused(bed, 'talos_etcd_defragment', members=[bed.etcd.ids['cp-1']], pause=0, min_bytes=0)
        assert 'tolerat' in said or 'healthy' in said, said
        for member in (bed.etcd.ids['cp-1'], dead):
            task = {'backup': str(tmp_path / 'etcd.db'), 'confirm': [f'remove etcd member {member} of prod']}
            assert refused(bed, 'talos_etcd_member', id=member, **task)
        assert bed.changes() == []
