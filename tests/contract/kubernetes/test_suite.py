# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every scenario that a real Kubernetes can be brought into, with the simulated API and with the real one: the findings are the same."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

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


def findings(cluster):
    """{(check, subject, verdict)} of a cluster."""
    found = access.find({'talosconfig': str(cluster.directory / 'talosconfig')})
    patience = 1 + len(cluster.nodes) / 20
    snapshot = access.gather({'access': found, 'timeout': 10 * patience, 'deadline': 60 * patience, 'proxy': cluster.proxy}, None)
    told = cluster.model.original(json.loads(json.dumps(judged.anew(snapshot, judged.settings({}))['findings'])))
    return {(each['check'], each['subject'], each['verdict']) for each in told}


def of_each(read, *kubernetes):
    """The findings with each Kubernetes, of clusters that run at the same time."""
    where = PORT if addresses.foreign_to_loopback(read.state) else LOOPBACK
    with contextlib.ExitStack() as running, ThreadPoolExecutor(len(kubernetes)) as pool:
        clusters = [running.enter_context(Cluster(read, addresses=where, kubernetes=one)) for one in kubernetes]
        for cluster in clusters:
            running.enter_context(calls(cluster))
        return list(pool.map(findings, clusters))


@pytest.mark.parametrize('path', [path for path in SCENARIOS if path not in REFUSED], ids=name)
def test_findings_are_the_same(path, plane):
    read = of_the_programs(scenario.read(path))
    if read.state['setup'].get('names'):  # which resolve in the whole process
        simulated, real = (*of_each(read, None), *of_each(read, plane))
    else:
        simulated, real = of_each(read, None, plane)
    assert real - simulated == set() and simulated - real == set()


def test_most_can_be_real_and_every_other_one_says_why_not():
    assert len(REFUSED) < len(SCENARIOS) / 4
    assert [why for why in REFUSED.values() if not why.endswith('.')] == []
