# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A scenario with the real Kubernetes API and with the simulated one: what is found in both.

Its machines are read once, Kubernetes once from each API: first from the real one, then, at the same addresses and of the
same state, from the simulated one. So two diagnoses differ in nothing but what the APIs answered.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from unittest import mock

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.kubernetes import KINDS, KNOCKED
from ansible_collections.talosops.talos.plugins.module_utils.tasks import judged
from tests.conftest import ROOT
from tests.simulator import Cluster, addresses, apid, scenario
from tests.simulator.cluster import LOOPBACK, PORT
from tests.simulator.kubernetes_real import of_the_programs, why_not
from tests.simulator.model import Model
from tests.tools.direct import calls, gather

DIRECTORY = ROOT / 'tests' / 'scenarios'
SCENARIOS = sorted(DIRECTORY.rglob('*.yaml'))
# Directories of scenarios that have a file test_suite_<part>.py, so that workers share them; test_suite.py has all others.
PARTS = {'compound': ('compound', 'examined', 'examined2'), 'kubernetes': ('health', 'kubelet', 'kubernetes', 'kubernetes-api'),
         'machines': ('control-plane', 'faults', 'machines'), 'ordinary': ('ordinary',)}
# What is read for the second time: all of Kubernetes, and of the machines what tells who they are and where their API is.
_AGAIN = frozenset((*KINDS, *KNOCKED, 'Affiliates', 'EtcdStatus', 'KubePrismEndpoints', 'APIServerConfigs'))


def name(path):
    return str(path.relative_to(DIRECTORY).with_suffix(''))


@functools.lru_cache(maxsize=None)
def reason(path):
    """Why no real Kubernetes can be brought into a scenario, or nobody would notice it; None where it can."""
    model = Model(of_the_programs(scenario.read(path)), loopback=False)
    if model.setup.get('api_server_for_client'):
        return 'state.setup.api_server_for_client: no API is reached from the control node, so there is nothing to compare.'
    return why_not(model, shared=True)


def part(wanted=None):
    """The scenarios of a part that can be real; of none, those in no part."""
    of = {directory: part for part, directories in PARTS.items() for directory in directories}
    return [path for path in SCENARIOS if of.get(path.relative_to(DIRECTORY).parts[0]) == wanted and reason(path) is None]


def differences(path, plane):
    """What is found with one API alone, as ({(check, subject, verdict)} with the real one, and with the simulated one)."""
    read = of_the_programs(scenario.read(path))
    where = PORT if addresses.foreign_to_loopback(read.state) else LOOPBACK
    soon = mock.patch.object(apid, 'NO_ROUTE_AFTER', 0.05)  # a real machine waits for seconds until it knows that nobody has an address
    with soon, Cluster(read, addresses=where, kubernetes=plane) as cluster, calls(cluster):
        snapshot = gather(cluster)
        real = _findings(cluster, snapshot)
        cluster.simulate_kubernetes()
        other = gather(cluster, kinds=_AGAIN, logs=())
        simulated = _findings(cluster, _with_kubernetes_of(snapshot, other))
    return real - simulated, simulated - real


def _with_kubernetes_of(snapshot, other):
    """A snapshot with what another says of Kubernetes, and of each machine's API server."""
    said = {machine.key: machine.data for machine in other.machines}
    assert set(said) == {machine.key for machine in snapshot.machines}, 'one API knows of machines of which the other does not'
    machines = [dataclasses.replace(machine, data={
        **{kind: datum for kind, datum in machine.data.items() if kind not in KNOCKED},
        **{kind: datum for kind, datum in said[machine.key].items() if kind in KNOCKED}}) for machine in snapshot.machines]
    return dataclasses.replace(snapshot, machines=machines, kubernetes=other.kubernetes)


def _findings(cluster, snapshot):
    told = cluster.model.original(json.loads(json.dumps(judged.anew(snapshot, judged.settings({}))['findings'])))
    return {(each['check'], each['subject'], each['verdict']) for each in told}
