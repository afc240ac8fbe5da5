# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where reports lie."""

from __future__ import annotations

import json
import os
import re
import stat
from datetime import datetime, timezone

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import SCHEMA
from ansible_collections.talosops.talos.plugins.module_utils.report import files

WHEN = datetime(2026, 11, 22, 10, 0, 5, tzinfo=timezone.utc)
PROD = {'schema': SCHEMA, 'cluster': 'prod', 'cluster_id': 'a1'}


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.fixture(autouse=True)
def open_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_key_is_fit_for_a_file_name_and_a_variable_and_tells_clusters_of_one_name_apart():
    keys = {files.cluster_key('Prod EU-1', 'a1'), files.cluster_key('Prod EU-1', 'b2'), files.cluster_key('Prod EU-1', None), files.cluster_key(None, None)}
    assert len(keys) == 4
    assert all(re.fullmatch(r'[a-z][a-z0-9_]*_[0-9a-f]{8}', key) for key in keys)
    assert files.cluster_key('Prod EU-1', 'a1').startswith('prod_eu_1_')
    assert files.cluster_key('prod', 'a1') == files.cluster_key('prod', 'a1')


def test_directories_belong_to_the_user_alone_and_latest_is_the_newest(tmp_path):
    first = files.make_directory(str(tmp_path), 'prod_1', WHEN)
    second = files.make_directory(str(tmp_path), 'prod_1', WHEN)
    home = tmp_path / 'talos-report' / 'prod_1'
    assert first == str(home / '20261122T100005Z') and second == str(home / '20261122T100005Z-2')
    assert [mode(path) for path in (tmp_path / 'talos-report', home, first, second)] == [0o700] * 4
    assert os.readlink(home / 'latest') == '20261122T100005Z-2'
    assert sorted(os.listdir(home)) == ['20261122T100005Z', '20261122T100005Z-2', 'latest']


def test_a_report_is_written_whole_and_for_the_user_alone(tmp_path):
    path = files.write_report(str(tmp_path), PROD)
    assert mode(path) == 0o600
    assert files.read_report(path) == PROD
    assert os.listdir(tmp_path) == ['report.json']


def test_nothing_is_left_of_a_report_that_could_not_be_written(tmp_path, monkeypatch):
    def full(_source, _target):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(InputError, match='No space left on device'):
        files.write_report(str(tmp_path), PROD)
    assert os.listdir(tmp_path) == []


def test_the_users_directory_is_used_again_for_the_same_cluster_only(tmp_path):
    directory = files.use_directory(str(tmp_path / 'a' / 'b'), 'prod', 'a1')
    assert [mode(tmp_path / 'a'), mode(directory)] == [0o700, 0o700]
    files.write_report(directory, PROD)
    assert files.use_directory(directory, 'prod', 'a1') == directory
    assert files.use_directory(directory, 'prod', None) == directory, 'a cluster that was not reached has no id'
    for name, cluster_id in (('prod', 'b2'), ('test', 'a1'), ('test', None)):
        with pytest.raises(InputError, match='holds the report of another cluster'):
            files.use_directory(directory, name, cluster_id)


def test_a_cluster_that_was_not_reached_stays_where_its_reports_lie(tmp_path):
    """Else C(latest) of the cluster would say healthy for as long as it is down."""
    assert files.key_of(str(tmp_path), 'prod', None) == files.cluster_key('prod', None)
    known = files.cluster_key('prod', 'a1')
    files.make_directory(str(tmp_path), known, WHEN)
    files.make_directory(str(tmp_path), files.cluster_key('prod-eu', 'a1'), WHEN)
    assert files.key_of(str(tmp_path), 'prod', None) == known
    files.make_directory(str(tmp_path), files.cluster_key('prod', 'b2'), WHEN)
    assert files.key_of(str(tmp_path), 'prod', None) == files.cluster_key('prod', None), 'two clusters of one name are not guessed at'


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / 'talos-report').write_text('a file')
    with pytest.raises(InputError, match='cannot be written below'):
        files.make_directory(str(tmp_path), 'prod_1', WHEN)
    with pytest.raises(InputError, match='cannot be written to'):
        files.use_directory(str(tmp_path / 'talos-report' / 'x'), 'prod', 'a1')


@pytest.mark.parametrize('content, said', [
    ('{', 'not JSON'), ('[]', 'its schema is None'), ('{"schema": "x/2"}', "its schema is 'x/2'"), ('\udcff', 'not JSON')])
def test_what_is_no_report_is_refused(tmp_path, content, said):
    path = tmp_path / 'report.json'
    path.write_bytes(content.encode('utf-8', 'surrogateescape'))
    with pytest.raises(InputError, match=said):
        files.read_report(str(path))


def test_a_missing_report_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match='cannot be read: No such file'):
        files.read_report(str(tmp_path / 'report.json'))


def test_text_is_kept_as_it_is(tmp_path):
    path = files.write_report(str(tmp_path), {**PROD, 'findings': ['Zürich ✓']})
    assert json.loads(open(path, encoding='utf-8').read())['findings'] == ['Zürich ✓']
