# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every scenario with something of etcd's own, in whose state the real etcd can be, is diagnosed on the modelled etcd and on the real one."""

from __future__ import annotations

import pytest

from tests.contract.etcd.both import differences, sorted_out
from tests.simulator.etcd_start import NotReal

OWN, OTHERS, LEFT = sorted_out()
TROUBLES = {'quorum-lost', 'stale-etcd-member', 'nospace', 'split-etcd', 'learner-joining', 'compound', 'one-control-plane-down', 'alarm-corrupt'}


@pytest.mark.parametrize('path', OWN, ids=lambda path: path.stem)
def test_the_same_is_found(path):
    assert differences(OWN[path]) == ([], [])


def test_most_scenarios_are_compared_and_the_others_left_out_for_a_reason():
    """Of the latter those that the simulator refuses, and those that are not on the loopback or not of one cluster."""
    assert TROUBLES <= {path.stem for path in OWN} and len(OWN) + len(OTHERS) > 120
    assert len(LEFT) < 15 and all(isinstance(why, NotReal) or str(path) in str(why) for path, why in LEFT.items()), LEFT
