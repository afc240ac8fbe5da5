# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every scenario that a real Kubernetes can be brought into, with the simulated API and with the real one: the findings are the same."""

from __future__ import annotations

import json

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, judged
from tests.conftest import ROOT
from tests.simulator import Cluster, addresses, scenario
from tests.simulator.cluster import LOOPBACK, PORT
from tests.simulator.kubernetes_real import of_the_programs, why_not
from tests.simulator.model import Model
from tests.tools.direct import calls

SCENARIOS = sorted((ROOT / 'tests' / 'scenarios').rglob('*.yaml'))


def name(path):
    return str(path.relative_to(ROOT / 'tests' / 'scenarios').with_suffix(''))


def reason(path):
    """Why not, None where it can be."""
    return why_not(Model(of_the_programs(scenario.read(path)), loopback=False), shared=True)


REFUSED = {path: why for path in SCENARIOS if (why := reason(path))}


def findings(read, **options):
    """{(check, subject, verdict)} of a cluster."""
    where = PORT if addresses.foreign_to_loopback(read.state) else LOOPBACK
    with Cluster(read, addresses=where, **options) as cluster, calls(cluster):
        found = access.find({'talosconfig': str(cluster.directory / 'talosconfig')})
        patience = 1 + len(cluster.nodes) / 20
        snapshot = access.gather({'access': found, 'timeout': 10 * patience, 'deadline': 60 * patience, 'proxy': cluster.proxy}, None)
        told = cluster.model.original(json.loads(json.dumps(judged.anew(snapshot, judged.settings({}))['findings'])))
    return {(each['check'], each['subject'], each['verdict']) for each in told}


@pytest.mark.parametrize('path', [path for path in SCENARIOS if path not in REFUSED], ids=name)
def test_findings_are_the_same(path, plane):
    read = of_the_programs(scenario.read(path))
    simulated, real = findings(read), findings(read, kubernetes=plane)
    assert real - simulated == set() and simulated - real == set()


def test_most_can_be_real_and_every_other_one_says_why_not():
    assert len(REFUSED) < len(SCENARIOS) / 4
    assert [why for why in REFUSED.values() if not why.endswith('.')] == []
