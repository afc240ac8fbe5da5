# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every scenario whose etcd is well is diagnosed on the modelled etcd and on the real one: what is found of the rest is the same."""

from __future__ import annotations

import pytest

from tests.contract.etcd.both import differences, sorted_out

OTHERS = sorted_out()[1]


@pytest.mark.parametrize('path', OTHERS, ids=lambda path: path.stem)
def test_the_same_is_found(path):
    assert differences(OTHERS[path]) == ([], [])
