# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of Talos nodes in one process, driven by scenario files: C(with Cluster.from_file(path) as cluster)."""

from __future__ import annotations

from tests.simulator.cluster import Cluster
from tests.simulator.scenario import ScenarioError

__all__ = ['Cluster', 'ScenarioError']
