# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of etcd come and go with the simulated cluster, whatever ends that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bed.grpc_server import UNKNOWN
from tests.conftest import ROOT
from tests.contract.etcd.real import PATIENCE, real
from tests.simulator import Cluster
from tests.simulator.cluster import PORT
from tests.simulator.scenario import ScenarioError

SCENARIO = Path(__file__).parent / 'three-members.yaml'
FOREVER = [sys.executable, '-c', 'import threading; print("up", flush=True); threading.Event().wait()']


def _pids(directory):
    """The processes of etcd whose data are below a directory."""
    return [int(path.parent.name) for path in Path('/proc').glob('[0-9]*/cmdline')
            if f'--data-dir={directory}'.encode() in _read(path)]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b''


def _gone(pids):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if not any(_is_there(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _is_there(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text(encoding='utf-8').rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


def test_they_end_with_the_cluster():
    with real() as bed:
        pids, directory = _pids(bed.etcd.directory), bed.etcd.directory
        assert len(pids) == 3
        bed.cluster.etcd_fault('pause', 'cp-2')
    assert _gone(pids) and not directory.exists()


def test_they_end_when_the_test_fails():
    with pytest.raises(ZeroDivisionError), real() as bed:
        pids, directory = _pids(bed.etcd.directory), bed.etcd.directory
        assert pids and 1 / 0
    assert _gone(pids) and not directory.exists()


@pytest.mark.parametrize('ends', [signal.SIGKILL, signal.SIGTERM])
def test_they_end_when_who_started_them_is_killed(ends, tmp_path):
    """A paused one too."""
    command = [sys.executable, '-m', 'tests.simulator', str(SCENARIO), '--', *FOREVER]
    environment = {**os.environ, 'TMPDIR': str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment) as simulator:
        try:
            assert simulator.stdout.readline() == 'up\n'
            directory = next(tmp_path.glob('talos-etcd-*'))
            pids = _pids(directory)
            assert len(pids) == 3
            os.kill(pids[0], signal.SIGSTOP)
            simulator.send_signal(ends)
            assert _gone(pids)
            end = time.monotonic() + PATIENCE
            while directory.exists() and time.monotonic() < end:
                time.sleep(0.05)
            assert not directory.exists()
        finally:
            os.killpg(simulator.pid, signal.SIGKILL)


def test_where_it_is_not_built_that_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    with pytest.raises(ScenarioError, match='state.etcd.real: etcd is not built: "make programs TIERS=etcd"'), Cluster.from_file(SCENARIO):
        pass


def test_ports_of_one_address_are_not_enough():
    with pytest.raises(ScenarioError, match='state.etcd.real: the members of the real etcd need addresses of their own'), \
            Cluster.from_file(SCENARIO, addresses=PORT):
        pass


@pytest.mark.parametrize('etcd, why', [
    ({'member_list_api': 'etcdserver: request timed out'}, 'state.etcd.member_list_api: the real etcd says itself'),
    ({'raft_term': 412}, 'state.etcd.raft_term: the real etcd counts its terms itself'),
    ({'db_mb': 1700, 'in_use_mb': 1650}, 'state.etcd.db_mb: the real etcd is not filled with more than 64 MiB'),
    ({'quota_mb': 2048, 'alarms': [{'member': 'cp-1', 'alarm': 'NOSPACE'}]}, 'state.etcd.quota_mb: a quota above 64 MiB is not filled up'),
    ({'leader': 'none'}, 'state.etcd.leader: more than half of the voters answer, so the real etcd elects a leader'),
    ({'leader': 'cp-3', 'reachable': ['cp-1', 'cp-2']}, 'state.etcd.leader: cp-3 does not vote or does not run'),
    ({'data_dir_empty': ['cp-2']}, 'state.etcd.data_dir_empty: the real etcd of cp-2 runs, so it has data'),
    ({'members': {'cp-1': '1', 'cp-2': '2', 'cp-3': '3', 'old': '4'}, 'reachable': ['cp-1', 'cp-2', 'cp-3']},
     'state.etcd.members: old has no address'),
    ({'learners': ['cp-2', 'cp-3']}, 'etcd itself refuses .*: etcdserver: too many learner members in cluster'),
])
def test_a_state_in_which_no_etcd_can_be_is_refused(etcd, why):
    with pytest.raises(ScenarioError, match=why), Cluster.from_state({'etcd': {**etcd, 'real': True}}):
        pass


def test_a_member_alone_says_what_talos_passes_on():
    with real({'reachable': ['cp-1'], 'leader': 'none'}) as bed:
        assert bed.talos('cp-1', 'EtcdMemberList') == (UNKNOWN, 'etcdserver: no leader')
        status = bed.talos('cp-1', 'EtcdStatus')['member_status']
        assert 'leader' not in status and status['errors'] == ['etcdserver: no leader']
