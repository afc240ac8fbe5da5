# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A state diagnosed on the modelled etcd and on the real one, so that what is found can be held against each other."""

from __future__ import annotations

import contextlib
import copy
import json
import re
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.talosops.talos.plugins.module_utils.tasks import judged
from tests.conftest import ROOT
from tests.simulator import addresses, scenario
from tests.simulator.cluster import Cluster
from tests.simulator.etcd import Etcd
from tests.simulator.etcd_start import MOST_MB, refuse
from tests.simulator.model import Model
from tests.simulator.scenario import Scenario, ScenarioError
from tests.tools.direct import calls, gather

_SIZES = ('db_mb', 'in_use_mb', 'quota_mb')
# A database on disk is some MiB larger than what was written into it, and not the same on each member: the larger, the less it matters.
_FULL_MB, _LARGE_MB = 24, 48
_MANY = 50
_MARKS = re.compile(r'[,()]')
_NUMBERS = re.compile(r'\d+(\.\d+)?(?=%| (?:MiB|s|min|h|d)\b| ×| of \d+ new connections)|\d{4}-\d\d-\d\dT[\d:.]+Z')


def comparable(path):
    """The scenario of a file so that a real etcd can be in its state, without what is a number only: terms, objects, and sizes in proportion.

    Raises ScenarioError where it cannot be.
    """
    read = scenario.read(path)
    if addresses.foreign_to_loopback(read.state):
        raise ScenarioError(f'{path}: its addresses are not on the loopback.')
    if read.state['foreign']:
        raise ScenarioError(f'{path}: the machines of its other cluster are on the modelled etcd.')
    state = copy.deepcopy(read.state)
    etcd = state['etcd']
    etcd['raft_term'] = 7
    state['k8s'].pop('object_counts', None)  # half a million objects of Kubernetes are no matter of etcd's members
    numbers = [value for key in ('db_mb', 'in_use_mb') for value in (etcd[key].values() if isinstance(etcd[key], dict) else [etcd[key]])]
    alarms = any(alarm['alarm'] == 'NOSPACE' for alarm in etcd.get('alarms') or ())
    if max(numbers) > MOST_MB or alarms:
        part = _FULL_MB / etcd['quota_mb'] if alarms else _LARGE_MB / max(numbers)
        for key in _SIZES:
            etcd[key] = _times(etcd[key], part)
    made = Scenario(state, read.expected, read.source)
    refuse(Etcd(Model(made)))
    return made


def sorted_out():
    """({path: scenario} with something of etcd's own, {path: scenario} of the others, {path: why it is left out}), by what etcd_start.py and this file say."""
    own, others, left = {}, {}, {}
    plain = scenario.from_state({}).state['etcd']
    for path in sorted((ROOT / 'tests' / 'scenarios').rglob('*.yaml')):
        try:
            taken, is_plain = comparable(path), scenario.read(path).state['etcd'] == plain
            if is_plain and len(taken.state['topology']['workers']) > _MANY:
                raise ScenarioError(f'{path}: its etcd is that of others, and more than {_MANY} workers take too long.')
            (others if is_plain else own)[path] = taken
        except ScenarioError as error:
            left[path] = error
    return own, others, left


def differences(read):
    """What is found on one of the two alone: (on the modelled etcd, on the real one)."""
    if read.state['setup'].get('names'):  # which resolve in the whole process
        modelled, real = diagnosed(read, False), diagnosed(read, True)
    else:
        with _running(read, False) as cluster, ThreadPoolExecutor(1) as pool:
            told = pool.submit(_report, cluster)
            real, modelled = diagnosed(read, True), told.result()
    modelled, real = findings(modelled), findings(real)
    return [one for one in modelled if one not in real], [one for one in real if one not in modelled]


def _times(value, part):
    return {name: _times(one, part) for name, one in value.items()} if isinstance(value, dict) else round(value * part, 3)


def diagnosed(read, real, fault=None):
    """The report of a scenario, with names in the place of ids and the scenario's own addresses. C(fault(cluster)) is done before."""
    with _running(read, real) as cluster:
        if fault:
            fault(cluster)
        return _report(cluster)


@contextlib.contextmanager
def _running(read, real):
    state = copy.deepcopy(read.state)
    state['etcd']['real'] = real
    with Cluster(Scenario(state, read.expected, read.source)) as cluster, calls(cluster):
        yield cluster


def _report(cluster):
    report = cluster.model.original(json.loads(json.dumps(judged.anew(gather(cluster, deadline=600), judged.settings({})))))
    return json.loads(_without_ids(json.dumps(report), {**cluster.model.etcd.ids}))


def _without_ids(text, ids):
    """Hexadecimal and decimal ids of members are their names, whatever they are."""
    for name, known in ids.items():
        text = re.sub(rf'(?<![0-9a-f])(0*{known.lstrip("0")}|{int(known, 16)})(?![0-9a-f])', f'<{name}>', text)
    return text


def findings(report):
    """What was found, in any order: (verdict, check, subject, words of the title without marks between them).

    Words stand in any order, for etcd lists its members by ids that nobody chooses; sizes and times are left out, which are not the same
    to the byte and second, nor how many connections a balancer hands to which server.
    """
    return sorted((one['verdict'], one['check'], str(one['subject']), ' '.join(sorted(_MARKS.sub(' ', _NUMBERS.sub('#', one['title'])).split())))
                  for one in report['findings'])
