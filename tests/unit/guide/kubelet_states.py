# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of real states of a kubelet, from what the real talosctl v1.13.9 printed (data/kubelet-states.zip).

Lines of Talos's own access log were left out of the machined logs; nothing else was changed.
"""

from __future__ import annotations

import functools
import json
import zipfile
from pathlib import Path

import yaml

from ansible_collections.talosops.talos.plugins.module_utils.snapshot import model
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Machine, Snapshot
from tests.unit.guide.etcd_states import etcd_service, without_prefix

DATA = Path(__file__).parent / 'data' / 'kubelet-states.zip'
WORKER, PLANE = '10.5.0.5', '10.5.0.2'
# When the machine of a state booted (its MachineStatuses).
BOOTED = {'kubelet-bad-args': '2026-11-22T09:04:54Z', 'kubelet-bad-image': '2026-11-22T09:04:54Z', 'bootstrap': '2026-11-22T08:36:05Z',
          'pre-bootstrap': '2026-11-22T08:36:05Z'}


@functools.lru_cache(maxsize=None)
def _archive():
    with zipfile.ZipFile(DATA) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def text(state, name):
    return _archive()[f'{state}/{name}']


def service(state, name='service_kubelet'):
    """The kubelet of ServiceList as C(talosctl service kubelet) printed it."""
    return {**etcd_service(text(state, f'{name}.out'), json.loads(text(state, 'times.json'))[name]), 'id': 'kubelet'}


def snapshot(state, name='service_kubelet', booted=None):
    """A Snapshot of the one machine of a state, taken when the service was asked for; C(booted) replaces the time of its boot."""
    at = json.loads(text(state, 'times.json'))[name]
    plane = 'bootstrap' in state
    machine = Machine(key='id-1', address=PLANE if plane else WORKER, addresses=[PLANE if plane else WORKER], name='cp1' if plane else 'w1',
                      type=model.CONTROL_PLANE if plane else model.WORKER, known_from=['discovery'], answered=True)
    machine.data = {
        'ServiceList': Datum(model.READ, {'services': [service(state, name)]}, at),
        'MachineStatuses': Datum(model.READ, [{'id': 'machine', 'created': booted or BOOTED[state], 'spec': {'stage': 'running'}}], at),
        'Version': Datum(model.READ, {'version': {'tag': 'v1.13.9'}, 'platform': {'mode': 'container'}}, at),
    }
    for log, file in (('machined', 'logs_machined.out'), ('kubelet', 'logs_kubelet.out')):
        if f'{state}/{file}' in _archive():
            machine.logs[log] = Datum(model.READ, without_prefix(text(state, file)), at)
    if f'{state}/kubeletspec.out' in _archive():
        document = yaml.safe_load(text(state, 'kubeletspec.out'))
        machine.data['KubeletSpecs'] = Datum(model.READ, [{'id': 'kubelet', 'spec': document['spec']}], at)
    return Snapshot(taken_at=at, finished_at=at, cluster={'name': state}, machines=[machine])
