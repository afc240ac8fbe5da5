# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/remedies.md names every remedy, every key of a step, and all that is never done."""

from __future__ import annotations

import re

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.remedies import by_hand, never
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import Step, plain
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import REMEDIES
from tests.conftest import ROOT


@pytest.fixture(scope='module')
def tables():
    """The rows of each section's table, as lists of cells."""
    text = (ROOT / 'docs' / 'remedies.md').read_text('utf-8')
    return {part.partition('\n')[0]: [[cell.strip() for cell in line.strip('|').split('|')] for line in part.splitlines() if line.startswith('| `')]
            for part in text.split('\n## ')[1:]}


def test_every_remedy_stands_there_in_its_order(tables):
    rows = tables['Remedies']
    assert [row[0].strip('`') for row in rows] == [remedy.name for remedy in REMEDIES]
    for row, remedy in zip(rows, REMEDIES, strict=True):
        assert row[1].startswith(remedy.what) and row[2] == remedy.target and all(row[3:])


def test_every_key_of_a_step(tables):
    named = [key for row in tables['A step'] for key in re.findall(r'`(\w+)`', row[0])]
    group = by_hand.Group('a.b', 'What', 'Do it.', ['a.b/c'], ['c'], None)
    assert named == list(plain(1, 'r', 't', Step('x')))
    assert set(named) == set(by_hand.plain(1, group, []))


def test_all_that_is_never_done(tables):
    assert tables['What is never done'] == [[f'`{one.name}`', f'{one.what}: {one.why}', ', '.join(f'`{alias}`' for alias in one.aliases)] for one in never.ALL]
