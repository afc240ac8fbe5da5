# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of logs and their times."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.judge import loglines
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time


@pytest.mark.parametrize('raw, at, text', [
    ('2026/11/22 09:12:17.104748 [talos] 2026/11/22 09:12:17 service[etcd](Preparing): Running pre state', '2026-11-22T09:12:17.104Z',
     '[talos] service[etcd](Preparing): Running pre state'),
    ('2026/11/22 09:30:31.165084 [talos] machined logger initialized', '2026-11-22T09:30:31.165Z', '[talos] machined logger initialized'),
    ('2026/11/22 09:13:07.594860 level=info msg=fetch failed after status: 404 Not Found', '2026-11-22T09:13:07.594Z',
     'level=info msg=fetch failed after status: 404 Not Found'),
    ('user: warning: [2026-11-22T09:30:44.03619239Z]: [talos] etcd waits', '2026-11-22T09:30:44.036Z', '[talos] etcd waits'),
    ('2026/11/22 09:12:17 [talos] task startAllServices (1/1): 2026/11/22 09:12:17 service "etcd" to be "up"', '2026-11-22T09:12:17.000Z',
     '[talos] task startAllServices (1/1): service "etcd" to be "up"'),
    ('2026/11/22 09:12:17 \x1b[31m[talos] red\x1b[0m', '2026-11-22T09:12:17.000Z', '[talos] red'),
])
def test_machined_in_all_its_forms(raw, at, text):
    line = loglines.machined(raw)[0]
    assert (format_time(line.at), line.text) == (at, text)


def test_a_line_without_a_time_is_near_the_one_before_it():
    lines = loglines.machined('lost\n2026/11/22 09:12:17 [talos] a: 1 error(s) occurred:\nthe error\n')
    assert [line.near is None for line in lines] == [True, False, False]
    assert lines[2].at is None and lines[2].near == lines[1].at


def test_etcd_json_usage_text_and_damage():
    lines = loglines.etcd('{"level":"warn","ts":"2026-11-22T09:11:46.820876Z","msg":"slow"}\nUsage:\n'
                          '{"level":"info","ts":1795336914.5,"msg":"epoch"}\n{"cut\n{"ts":1e300}\n')
    assert [line.msg for line in lines] == ['slow', '', 'epoch', '', '']
    assert format_time(lines[0].at) == '2026-11-22T09:11:46.820Z' == format_time(lines[1].near)
    assert format_time(lines[2].at) == '2026-11-22T08:41:54.500Z' and lines[4].at is None


@pytest.mark.parametrize('text, seconds', [
    ('138.080322ms', 0.138080322), ('13.3s', 13.3), ('1m1.5s', 61.5), ('859.372µs', 0.000859372), ('', None), (None, None), ('soon', None),
])
def test_durations(text, seconds):
    assert loglines.seconds(text) == (pytest.approx(seconds) if seconds is not None else None)
