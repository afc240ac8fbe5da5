# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster with talosctl beside it."""

from __future__ import annotations

import contextlib

import pytest

from tests.contract.talosctl.talosctl import Talosctl
from tests.simulator import Cluster


@pytest.fixture
def cluster_of(program, tmp_path):
    """C(cluster_of(state)): a L(Talosctl) of a cluster in this state, for the length of the test."""
    with contextlib.ExitStack() as stack:
        def start(state=None, **options):
            cluster = stack.enter_context(Cluster.from_state(state or {}, name='prod', **options))
            return Talosctl(program('talosctl'), cluster, tmp_path)
        yield start
