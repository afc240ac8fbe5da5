# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import json
import os
import stat
import zipfile

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import READ, REFUSED, InputError
from ansible_collections.talosops.talos.plugins.module_utils.judge.settings import Settings
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import store
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Endpoint, Machine, Snapshot
from tests.recorded import SETS, snapshot


def small():
    twins = [Machine(key=key, name='cp-1', address=address, addresses=[address], type='controlplane', known_from=['discovery'], answered=True,
                     data={'Version': Datum(READ, {'tag': key}, 'then')}, logs={'etcd': Datum(READ, f'log of {key} ü', None, None, None, False)})
             for key, address in (('one', '10.5.0.2'), ('two', '10.5.0.3'))]
    twins[1].logs['machined'] = Datum(REFUSED, reason='not authorized', code='PERMISSION_DENIED')
    endpoint = Endpoint('10.5.0.2', '10.5.0.2', 50000, ['10.5.0.2'], True, None, {'ips': []}, 'one', {'Version': Datum(READ, {})})
    return Snapshot('2026-11-22T10:00:00Z', '2026-11-22T10:00:01Z', '0.1.0', {'name': 'rt', 'id': None}, {}, {'waves': 2}, [endpoint], twins,
                    {'source': 'talos', 'data': {'version': Datum(READ, {'gitVersion': 'v1'})}, 'servers': {'one': Datum(READ, {'status': 200})}})


def plain(found):
    return store.digest(found, Settings(), '0')


@pytest.mark.parametrize('name', SETS)
def test_a_recorded_cluster_survives_the_round_trip(name):
    taken = snapshot(name)
    loaded = store.loads(store.dumps(taken))
    assert [m.key for m in loaded.machines] == [m.key for m in taken.machines]
    for before, after in zip(taken.machines, loaded.machines):
        assert after.data == before.data
        assert {k: (d.state, d.value, d.reason, d.complete) for k, d in after.logs.items()} == {
            k: (d.state, d.value, d.reason, d.complete) for k, d in before.logs.items()}
    assert loaded.endpoints == taken.endpoints
    assert loaded.kubernetes == taken.kubernetes
    assert (loaded.taken_at, loaded.finished_at, loaded.cluster, loaded.client, loaded.control_node) == (
        taken.taken_at, taken.finished_at, taken.cluster, taken.client, taken.control_node)
    assert plain(loaded) == plain(taken)


def test_two_machines_with_one_name_survive():
    loaded = store.loads(store.dumps(small()))
    assert [(m.key, m.name, m.value('Version')['tag'], m.log('etcd').value) for m in loaded.machines] == [
        ('one', 'cp-1', 'one', 'log of one ü'), ('two', 'cp-1', 'two', 'log of two ü')]
    assert loaded.machine('one').log('etcd').complete is False
    assert loaded.machine('two').log('machined').reason == 'not authorized'


def test_no_host_name_becomes_a_member_name_and_a_hostile_kind_stays_inside():
    taken = small()
    taken.machines[0].data['../../evil'] = Datum(READ, 1)
    names = zipfile.ZipFile(io.BytesIO(store.dumps(taken))).namelist()
    assert not [name for name in names if 'cp-1' in name or '/..' in name or name.startswith(('/', '..'))]
    assert store.loads(store.dumps(taken)).machines[0].value('../../evil') == 1


def test_the_file_is_private_and_replaced_at_once(tmp_path):
    path = tmp_path / 'a.zip'
    path.write_text('older')
    os.chmod(path, 0o644)
    store.write(small(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ['a.zip']
    assert plain(store.read(path)) == plain(small())


def test_logs_are_read_when_asked_for_and_not_before(tmp_path):
    path = tmp_path / 'a.zip'
    store.write(small(), path)
    loaded = store.read(path)
    path.unlink()
    assert loaded.machines[0].value('Version') == {'tag': 'one'}
    with pytest.raises(InputError, match='could not be read'):
        loaded.machines[0].log('etcd').value  # noqa: B018


def test_the_manifest_says_what_was_read_refused_and_missing():
    manifest = json.loads(zipfile.ZipFile(io.BytesIO(store.dumps(snapshot('healthy-reader')))).read('manifest.json'))
    assert manifest['format'] == store.FORMAT
    assert manifest['read']['CertSANs'] == {'refused': 4}
    assert manifest['read']['Version'] == {'read': 4}
    assert manifest['read']['log etcd'] == {'read': 3}


def test_the_digest_tells_snapshots_settings_and_versions_apart():
    taken, other = small(), small()
    other.machines[0].logs['etcd'].value = 'another log'
    found = {store.digest(taken, Settings(), '1'), store.digest(other, Settings(), '1'), store.digest(taken, Settings({'a': 1.0}), '1'),
             store.digest(taken, Settings(), '2')}
    assert len(found) == 4
    assert store.digest(small(), Settings(), '1') in found


def rewritten(change):
    """The small archive with some members replaced (None: left out)."""
    source = zipfile.ZipFile(io.BytesIO(store.dumps(small())))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as target:
        for name in source.namelist():
            content = change.get(name, source.read(name))
            if content is not None:
                target.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return buffer.getvalue()


def manifest(**changes):
    return {**json.loads(zipfile.ZipFile(io.BytesIO(store.dumps(small()))).read('manifest.json')), **changes}


def flipped(data, name):
    """The archive with one bit of a member's content turned over."""
    info = zipfile.ZipFile(io.BytesIO(data)).getinfo(name)
    at = info.header_offset + 30 + len(name) + info.compress_size // 2
    return data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1:]


@pytest.mark.parametrize(('data', 'says'), [
    (b'', 'no snapshot archive'),
    (b'hello, this is no archive', 'no snapshot archive'),
    (store.dumps(small())[:-40], 'no snapshot archive, or it was cut off'),
    (rewritten({'manifest.json': None}), 'it has no manifest.json'),
    (rewritten({'manifest.json': b'{'}), 'manifest.json is no JSON'),
    (rewritten({'manifest.json': b'[]'}), 'manifest.json is no mapping'),
    (rewritten({'manifest.json': b'[' * 100000}), 'manifest.json is no JSON'),
    (rewritten({'manifest.json': {}}), 'no format version'),
    (rewritten({'manifest.json': manifest(format=2)}), 'has format version 2, this collection reads up to 1'),
    (rewritten({'manifest.json': manifest(machines='x')}), 'is damaged'),
    (rewritten({'manifest.json': manifest(machines=[{'key': 1}])}), 'is damaged'),
    (rewritten({'manifest.json': manifest(taken_at=5)}), 'taken_at is a int'),
    (rewritten({'kubernetes.json': None}), 'it has no kubernetes.json'),
    (rewritten({'machines/0001/Version.json': None}), 'it has no machines/0001/Version.json'),
    (rewritten({'machines/0001/Version.json': {'state': 'fine', 'at': None}}), "state 'fine'"),
    (rewritten({'machines/0001/Version.json': b'"text"'}), 'is no mapping'),
    (flipped(store.dumps(snapshot('healthy')), 'machines/0001/ServiceList.json'), 'ServiceList.json cannot be read'),
    (flipped(store.dumps(snapshot('healthy')), 'manifest.json'), 'manifest.json cannot be read'),
])
def test_damage_is_one_sentence(data, says):
    with pytest.raises(InputError) as caught:
        store.loads(data)
    assert says in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_damaged_log_is_one_sentence_when_it_is_read():
    loaded = store.loads(flipped(store.dumps(snapshot('healthy')), 'machines/0001/logs/etcd.log'))
    with pytest.raises(InputError, match='etcd.log cannot be read'):
        loaded.machines[0].log('etcd').value  # noqa: B018


def test_a_member_that_is_too_large_is_refused(monkeypatch):
    data = store.dumps(small())
    monkeypatch.setattr(store, 'MEMBER_MOST', 1000)
    with pytest.raises(InputError, match='larger than'):
        store.loads(data)


def test_a_missing_file_a_directory_and_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match='No such file'):
        store.read(tmp_path / 'none.zip')
    with pytest.raises(InputError, match='directory'):
        store.read(tmp_path)
    with pytest.raises(InputError, match='could not be written'):
        store.write(small(), tmp_path / 'none' / 'a.zip')
    (tmp_path / 'taken').mkdir()
    with pytest.raises(InputError, match='could not be written'):
        store.write(small(), tmp_path / 'taken')
    assert os.listdir(tmp_path) == ['taken']
