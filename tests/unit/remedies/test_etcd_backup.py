# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as a verified snapshot of etcd, however its bytes come in pieces."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.remedies.etcd_backup import File, Verifier, reasons, unfit

ID, SHORT, FOREIGN = '1111111111111111', '00000000abcdef12', '3333333333333333'
DATABASE = (b'\0' * 16 + struct.pack('<I', 0xED0CDAED)).ljust(4096, b'\0') + ID.encode() + b'abcdef12'.ljust(4096 - 16, b'\1')
WHOLE = DATABASE + hashlib.sha256(DATABASE).digest()
NOW = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)
GOOD = File('a', True, None, True, len(WHOLE), 'x', NOW - timedelta(minutes=5), 0o600, (ID,))


def fed(data, size):
    verifier = Verifier([ID, SHORT, FOREIGN])
    for start in range(0, len(data), size):
        verifier.update(data[start:start + size])
    return verifier


@pytest.mark.parametrize('size', [1, 7, 31, 32, 33, 4096, 4103, 10 ** 6])
def test_a_whole_one_is_recognised_in_pieces_of_any_size(size):
    verifier = fed(WHOLE, size)
    assert verifier.problem() is None and verifier.bytes == len(WHOLE) and verifier.sha256 == hashlib.sha256(DATABASE).hexdigest()
    assert verifier.members == [SHORT, ID]


@pytest.mark.parametrize('data, why', [
    (b'', 'only 0 bytes'), (WHOLE[:32], 'only 32 bytes'), (b'x' + WHOLE[1:], 'SHA-256 at its end'), (WHOLE[:-1], 'its size of'),
    (DATABASE, 'its size of'), (WHOLE[512:], 'does not begin'), (WHOLE[:-512], 'SHA-256 at its end'), (WHOLE[:-1] + b'\0', 'SHA-256 at its end'),
])
@pytest.mark.parametrize('size', [13, 10 ** 6])
def test_a_damaged_one_is_told(data, why, size):
    assert why in fed(data, size).problem()


def test_when_a_new_one_is_due():
    assert reasons(GOOD, HOUR, NOW) == []
    for file, why in ((File('a'), 'no such file'), (replace(GOOD, problem='p'), 'no whole snapshot: p'), (replace(GOOD, taken_at=NOW - HOUR), 'max_age'),
                      (replace(GOOD, taken_at=NOW + HOUR), 'future')):
        assert why in reasons(file, HOUR, NOW)[0]
    assert reasons(replace(GOOD, taken_at=NOW), timedelta(), NOW), 'with 0 always'


def test_what_is_no_backup_of_this_cluster_and_time():
    assert unfit(GOOD, [ID], HOUR, NOW) == []
    for file, members, why in ((File('a'), [ID], 'does not exist'), (replace(GOOD, problem='p'), [ID], 'no whole etcd snapshot: p'),
                               (replace(GOOD, taken_at=NOW - 2 * HOUR), [ID], 'not within backup_max_age'),
                               (replace(GOOD, taken_at=NOW + HOUR), [ID], 'not within backup_max_age'),
                               (GOOD, [FOREIGN], f'does not hold member {FOREIGN}')):
        assert why in unfit(file, members, HOUR, NOW)[0]
