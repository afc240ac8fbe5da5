# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_etcd_snapshot against simulated clusters: what becomes of the file, and what is refused."""

from __future__ import annotations

import os
import stat
import time

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.tasks import etcd_snapshot
from tests.simulator import Cluster
from tests.unit.tasks import etcd_bed

NAME = 'talos_etcd_snapshot'


@pytest.fixture(scope='module')
def cluster():
    with Cluster.from_state({}, name='prod') as running:
        yield running


@pytest.fixture
def dest(tmp_path):
    return tmp_path / 'etcd.db'


def take(cluster, dest, check_mode=False, **options):
    return etcd_snapshot.run(etcd_bed.params(cluster, NAME, dest=str(dest), **options), check_mode, None)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_check_mode_tells_then_it_is_taken_and_then_kept(cluster, dest):
    told = take(cluster, dest, check_mode=True)
    assert told['changed'] is True and told['reasons'] == ['there is no such file'] and not dest.exists() and told['bytes'] is None
    assert 'EtcdSnapshot' not in etcd_bed.called(cluster)
    made = take(cluster, dest)
    assert made['changed'] is True and made['node'] == told['node'] != 'cp-1', 'a follower gives it'
    assert mode(dest) == 0o600 and made['bytes'] == dest.stat().st_size and made['bytes'] % 512 == 32
    assert made['sha256'] == dest.read_bytes()[-32:].hex() and os.listdir(dest.parent) == ['etcd.db']
    assert made['diff']['before'] == '' and f'sha256: {made["sha256"]}' in made['diff']['after']
    before = dest.read_bytes()
    again = take(cluster, dest)
    assert again['changed'] is False and again['reasons'] == [] and dest.read_bytes() == before
    assert again['sha256'] == made['sha256'] and again['diff']['before'] == again['diff']['after']


def test_the_mode_is_put_right_alone(cluster, dest):
    take(cluster, dest)
    dest.chmod(0o644)
    assert take(cluster, dest, check_mode=True)['changed'] is True and mode(dest) == 0o644
    assert take(cluster, dest)['changed'] is True and mode(dest) == 0o600
    assert take(cluster, dest)['changed'] is False


def test_one_that_is_old_or_damaged_or_from_the_future_is_replaced(cluster, dest):
    take(cluster, dest)
    whole = dest.read_bytes()
    os.utime(dest, (time.time() - 7200,) * 2)
    assert 'longer ago than max_age' in take(cluster, dest, check_mode=True)['reasons'][0]
    assert take(cluster, dest, max_age='3h')['changed'] is False
    assert take(cluster, dest)['changed'] is True and take(cluster, dest, max_age='0')['changed'] is True
    for data, why in ((whole[:-512], 'the SHA-256 at its end is not that of its contents'), (whole[:-32], 'is not that of a database with a SHA-256'),
                      (whole[:5000] + b'x' + whole[5001:], 'the SHA-256 at its end'), (b'', 'it has only 0 bytes')):
        dest.write_bytes(data)
        made = take(cluster, dest)
        assert why in made['reasons'][0] and take(cluster, dest)['changed'] is False
    os.utime(dest, (time.time() + 7200,) * 2)
    assert 'from the future' in take(cluster, dest)['reasons'][0]


def test_a_file_that_is_something_else_is_left_as_it_is(cluster, dest, tmp_path):
    dest.write_text('mine\n' * 30)
    with pytest.raises(InputError, match='is no etcd snapshot .* and is left as it is'):
        take(cluster, dest)
    assert dest.read_text() == 'mine\n' * 30
    with pytest.raises(InputError, match='does not exist'):
        take(cluster, tmp_path / 'none' / 'etcd.db')
    with pytest.raises(InputError, match='is a directory'):
        take(cluster, tmp_path)


def test_one_of_another_cluster_is_not_kept_for_this(cluster, dest):
    take(cluster, dest)
    before = dest.read_bytes()
    with Cluster.from_state({'etcd': {'members': {'cp-1': 'a1', 'cp-2': 'a2', 'cp-3': 'a3'}}}, name='other') as other:
        with pytest.raises(InputError, match='is an etcd snapshot of another cluster: it holds none of the members of prod'):
            take(other, dest)
    assert dest.read_bytes() == before


@pytest.mark.parametrize('state, why', [
    ({'etcd': {'alarms': [{'member': 'cp-2', 'alarm': 'CORRUPT'}]}}, 'the alarm CORRUPT of member 2222222222222222'),
    ({'etcd': {'leader': 'none', 'reachable': ['cp-1']}, 'timeout': 2}, 'no etcd member that answers knows a leader'),
    ({'nodes': {name: {'services': {'etcd': ['Preparing', '?']}} for name in ('cp-1', 'cp-2', 'cp-3')}}, 'because no member told its alarms'),
])
def test_it_is_refused_and_nothing_is_asked_for(dest, state, why):
    timeout = state.pop('timeout', 10.0)
    with Cluster.from_state(state) as cluster:
        with pytest.raises(Refused, match=f'^No snapshot of etcd is taken: .*{why}'):
            take(cluster, dest, timeout=float(timeout))
        assert 'EtcdSnapshot' not in etcd_bed.called(cluster) and not dest.exists()


def test_the_next_member_is_asked_where_the_stream_breaks(dest):
    with Cluster.from_state({'faults': {'reset_mid_stream': {'cp-2': ['EtcdSnapshot']}}}) as cluster:
        assert take(cluster, dest)['node'] == 'cp-3'
        assert os.listdir(dest.parent) == ['etcd.db']


def test_a_stream_that_breaks_everywhere_leaves_the_file_as_it_was(cluster, dest):
    take(cluster, dest)
    before = dest.read_bytes()
    with Cluster.from_state({'faults': {'reset_mid_stream': dict.fromkeys(('cp-1', 'cp-2', 'cp-3'), ['EtcdSnapshot'])}}) as broken:
        with pytest.raises(TalosError, match='^No snapshot of etcd is taken: '):
            take(broken, dest, max_age='0')
    assert dest.read_bytes() == before and os.listdir(dest.parent) == ['etcd.db']


def test_os_reader_may_not_and_is_told_who_may(dest):
    state = {'client': {'role': 'os:reader', 'cert_expires_days': 300, 'context_matches_cluster': True}}
    with Cluster.from_state(state) as cluster:
        with pytest.raises(TalosError, match='it needs os:operator, os:etcd:backup or os:admin, and the client certificate has os:reader'):
            take(cluster, dest)
    assert os.listdir(dest.parent) == []


@pytest.mark.parametrize('options, why', [({'max_age': 'x'}, 'max_age is "x"'), ({'transfer_timeout': 0.0}, 'transfer_timeout must be')])
def test_unusable_options(cluster, dest, options, why):
    with pytest.raises(InputError, match=why):
        take(cluster, dest, **options)
