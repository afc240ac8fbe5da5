# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for a terminal: how it is cut and joined."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.report import words

LONG = ' '.join(['alpha beta gamma delta epsilon zeta eta theta iota kappa lambda my ny xi omikron pi'] * 2 + ['rho sigma tau'])


@pytest.mark.parametrize('most', [1, 2, 3])
@pytest.mark.parametrize('width', [30, 34, 41])
def test_what_is_cut_keeps_its_end_and_its_width(most, width):
    lines = words.cut(LONG, '- ', '  ', width, most, '[part.check]')
    assert len(lines) <= most and max(map(len, lines)) <= width
    kept, end = ' '.join(line[2:] for line in lines).split(' … ')
    assert end == '[part.check]' and LONG.startswith(kept + ' ')
    longer = LONG[:len(kept) + 1] + LONG[len(kept) + 1:].split()[0]
    assert len(longer) + len(' … [part.check]') > (width - 2) * most - 2 * 12, 'not much more is cut than must be'


def test_what_fits_is_whole():
    assert words.cut('alpha beta', '- ', '  ', 40, 1, '[x]') == ['- alpha beta [x]']
    assert words.cut('alpha beta', '- ', '  ', 40, 1) == ['- alpha beta']
    assert words.cut('', '- ', '  ', 40, 1) == ['-']


def test_a_word_that_is_longer_than_all_lines_is_cut_within():
    (line,) = words.cut('x' * 100, '- ', '  ', 30, 1, '[y]')
    assert len(line) <= 30 and line.startswith('- xxxxxxxxxx') and line.endswith(' … [y]')


def test_an_end_that_is_longer_than_the_line_is_cut_too():
    assert words.cut('alpha', '- ', '  ', 12, 1, 'y' * 40) and max(map(len, words.cut('alpha', '- ', '  ', 12, 1, 'y' * 40))) <= 12


def test_parts_of_the_guide_stand_together():
    assert words.together(['etcd: alarm', 'etcd: quorum', 'Time', 'kubelet: stale']) == 'etcd (alarm, quorum), Time, kubelet (stale)'
    assert words.together([]) == ''


def test_names_are_few_and_clean():
    assert words.names(['a\x1b', 'b']) == 'a?, b'
    assert words.names([str(n) for n in range(8)]) == '0, 1, 2, 3, 4, 5 and 2 more'


def test_only_the_first_word_is_painted():
    assert words.painted('error: error', 'error', 'error', lambda text, verdict: f'<{text}>') == '<error>: error'
    assert words.painted('ok', 'error', 'error', lambda text, verdict: f'<{text}>') == 'ok'


def test_evidence_says_where_and_when():
    report = {'started_at': '2026-11-22T10:00:00Z'}
    assert words.evidence(report, {'node': 'cp1', 'source': 'log etcd', 'at': '2026-11-22T10:00:01.5Z', 'text': 'x\ty'}) == 'cp1 log etcd 10:00:01Z: x y'
    assert words.evidence(report, {'node': None, 'source': 'log', 'at': '2026-11-20T10:00:01Z', 'text': 'x'}) == 'log 2026-11-20T10:00:01Z: x'
    assert words.evidence(report, {'node': None, 'source': None, 'at': None, 'text': 'x' * 400}) == 'x' * 299 + '…'


def test_a_word_is_broken_only_where_no_screen_holds_it():
    path, line = '/var/lib/' + 'p' * 80, '{"level":"warn",' + 'x' * 130
    assert path in words.wrap(f'see {path}', '  ', '    ', 60, screen=120)[1] and line in words.wrap(f'see {line}', '  ', '    ', 100)[1]
    lines = words.wrap(f'see {line}', '  ', '    ', 100, screen=120)
    assert max(map(len, lines)) <= 100 and ''.join(''.join(lines).split()) == f'see{line}'
