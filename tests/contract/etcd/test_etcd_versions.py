# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every etcd that a supported Talos ships (talos-api 8): what we read of it, what it refuses, and what our modules change in it."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.bed.grpc_server import UNKNOWN
from tests.contract.etcd.real import real
from tests.contract.etcd.test_etcd_behaviour import FULL, NAMES
from tests.contract.etcd.test_etcd_remedies import STALE, removed, snapshot
from tests.unit.remedies.simulated import impatient

VERSIONS = {'3.5': {'talos': 'v1.10.7', 'kubernetes': 'v1.33.4'}, '3.6': {'talos': 'v1.13.9', 'kubernetes': 'v1.36.3'},
            '3.7': {'talos': 'v1.14.3', 'kubernetes': 'v1.36.4'}}


@pytest.fixture(params=VERSIONS)
def etcd(request):
    """C(with etcd(state of etcd) as bed): a Talos that ships this etcd; C(etcd.version) is its minor version."""
    def start(state=None):
        return real(state, versions=VERSIONS[request.param])

    start.version = request.param
    return start


def test_it_is_well_and_what_talos_says_of_it_is_what_it_says(etcd):
    with etcd() as bed:
        said = bed.run('talos_etcd_health')
        assert [one for one in said['findings'] if one['verdict'] not in ('ok', 'info')] == []
        for name in NAMES:
            status, own = bed.talos(name, 'EtcdStatus')['member_status'], bed.etcdctl(name, 'endpoint', 'status')[0]['Status']
            assert status['protocol_version'] == own['version'] and own['version'].rpartition('.')[0] == etcd.version
            # Talos tells of it since 1.11, and etcd since 3.6.
            assert status.get('storage_version', '') == ('' if etcd.version == '3.5' else f'{etcd.version}.0') == own.get('storageVersion', '')


def test_a_learner_refuses(etcd):
    with etcd({'learners': ['cp-3']}) as bed:
        refused = 'etcdserver: rpc not supported for learner'
        assert bed.talos('cp-3', 'EtcdStatus')['member_status']['is_learner']
        assert bed.talos('cp-3', 'EtcdMemberList', query_local=True) == (UNKNOWN, refused)
        assert bed.talos('cp-3', 'EtcdAlarmList') == (UNKNOWN, f'failed to list etcd alarms: {refused}')


def test_a_full_one_is_repaired(etcd, tmp_path):
    with etcd(FULL) as bed, impatient():
        assert 'NOSPACE' in str(bed.run('talos_etcd_health')['findings'])
        snapshot(bed, tmp_path)
        bed.run('talos_etcd_defragment', pause=0, min_bytes=0)
        assert bed.run('talos_etcd_alarm', settle=0)['alarms'] == [] and bed.ctl('cp-1', 'put', 'a', 'b').returncode == 0


def test_a_dead_member_is_removed(etcd, tmp_path):
    with etcd(STALE) as bed, impatient():
        member = bed.etcd.ids['cp-4']
        snapshot(bed, tmp_path)
        task = {'backup': str(tmp_path / 'etcd.db'), 'confirm': [f'remove etcd member {member} of prod']}
        assert bed.until(lambda: removed(bed, member, task), 'two others have complained of it')['changed']
        assert member not in [f'{one["ID"]:016x}' for one in bed.etcdctl('cp-1', 'member', 'list')['members']]


def test_without_a_quorum(etcd):
    with etcd({'leader': 'cp-1'}) as bed:
        bed.cluster.kill('cp-2')
        bed.cluster.kill('cp-3')
        bed.until(lambda: 'errors' in bed.talos('cp-1', 'EtcdStatus')['member_status'], 'it has no leader')
        assert [one['check'] for one in bed.run('talos_etcd_health')['findings'] if one['verdict'] == 'critical' and one['check'].startswith('etcd.quorum')]


def test_a_snapshot_restores(etcd, tmp_path):
    with etcd() as bed:
        bed.ctl('cp-1', 'put', 'kept', 'yes')
        said = snapshot(bed, tmp_path)
        told = subprocess.run([bed.etcd.program('etcdutl'), 'snapshot', 'status', said['dest'], '-w', 'json'], capture_output=True, check=True)
        assert json.loads(told.stdout)['totalKey'] >= 1
        subprocess.run([bed.etcd.program('etcdutl'), 'snapshot', 'restore', said['dest'], f'--data-dir={tmp_path}/restored'], capture_output=True, check=True)
        assert (tmp_path / 'restored' / 'member' / 'snap' / 'db').exists()
