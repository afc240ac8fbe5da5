# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of simulated clusters that need every remedy, gathered once, and their plans."""

from __future__ import annotations

import copy
import functools

from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import plan
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, judged
from tests.simulator import kubernetes_csrs
from tests.unit.remedies.simulated import bed

STALE, LIVE = '3333333333333333', '4444444444444444'
SILENT = {'ready': 'Unknown', 'since': '-3h'}
PLANES = {'cp-1': '10.5.0.11', 'cp-2': '10.5.0.12', 'cp-3b': '10.5.0.33'}
_CSR = {'signer': kubernetes_csrs.SERVING, 'username': 'system:node:w-1', 'dns': ['w-1'], 'ips': ['10.5.0.21'], 'age': '20m', 'state': 'Pending'}
_TOPOLOGY = {'cp': PLANES, 'workers': {'w-1': '10.5.0.21', 'w-2': '10.5.0.22'}}
_NODES = {**dict.fromkeys((*PLANES, 'w-1'), 'Ready'), 'w-2': {'ready': 'Unknown', 'since': '-20m'}, 'cp-3': {**SILENT, 'internal_ip': '10.5.0.13'}}
# A stale member and its Node, the alarm, a request, a kubelet that hangs, endpoints that are wrong.
BROKEN = {
    'topology': _TOPOLOGY,
    'etcd': {'members': {'cp-1': '1111111111111111', 'cp-2': '2222222222222222', 'cp-3': STALE, 'cp-3b': LIVE}, 'member_addresses': {'cp-3': '10.5.0.13'},
             'reachable': [*PLANES], 'leader': 'cp-2', 'db_mb': 2061, 'in_use_mb': 236, 'alarms': [{'member': 'cp-1', 'alarm': 'NOSPACE'}]},
    'k8s': {'nodes': _NODES, 'csrs': [{'name': 'csr-right', **_CSR}, {'name': 'csr-stranger', **_CSR, 'username': 'system:node:w-7', 'dns': ['w-7']}]},
    'diagnostics': [{'node': 'w-1', 'id': 'kubelet-csr'}], 'nodes': {'w-2': {'services': {'kubelet': ['Finished', '?']}}},
    'client': {'endpoints': ['10.5.0.11', '10.5.0.21'], 'role': 'os:admin', 'cert_expires_days': 300, 'context_matches_cluster': True},
}
# A load balancer that no certificate names; what is said of the machines behind it is all well.
BALANCED = {
    'topology': _TOPOLOGY, 'etcd': {'members': {'cp-1': '1111111111111111', 'cp-2': '2222222222222222', 'cp-3b': LIVE}, 'leader': 'cp-1'},
    'setup': {'talos_balancer': '10.5.0.50'}, 'client': {**BROKEN['client'], 'endpoints': [*PLANES.values(), '10.5.0.50']},
    'k8s': {'nodes': dict.fromkeys((*PLANES, 'w-1', 'w-2'), 'Ready')},
}
# One control plane node: nothing tolerates a failure at any time.
ALONE = {
    'topology': {'cp': {'cp-1': '10.5.0.11'}, 'workers': {'w-1': '10.5.0.21'}}, 'network': {'endpoint': 'https://10.5.0.11:6443', 'vip': None},
    'etcd': {'members': {'cp-1': '1111111111111111'}, 'leader': 'cp-1', 'db_mb': 2061, 'in_use_mb': 236, 'alarms': [{'member': 'cp-1', 'alarm': 'NOSPACE'}]},
    'k8s': {'nodes': {'cp-1': 'Ready', 'w-1': 'Ready', 'w-9': {**SILENT, 'internal_ip': '10.5.0.29'}}, 'csrs': [{'name': 'csr-right', **_CSR}]},
    'diagnostics': [{'node': 'w-1', 'id': 'kubelet-csr'}], 'client': {**BROKEN['client'], 'endpoints': ['10.5.0.11']},
}
STATES = {'broken': BROKEN, 'balanced': BALANCED, 'alone': ALONE}


@functools.cache
def _gathered(name):
    with bed(STATES[name]) as one:
        found = access.find({'talosconfig': str(one.cluster.directory / 'talosconfig')})
        return access.gather({'access': found, 'timeout': 10.0, 'deadline': 60.0, 'proxy': one.cluster.proxy}, None), one.address


def snapshot(name='broken'):
    """A snapshot of its own to change; machines that told the same share nothing."""
    made = copy.deepcopy(_gathered(name)[0])
    made.machines = [copy.deepcopy(each) for each in made.machines]
    return made


def address(machine_name, name='broken'):
    """The address of a machine in the simulated cluster."""
    return _gathered(name)[1](machine_name)


def view(snap, **settings):
    return View(snap, judged.settings(settings))


def build(snap, **settings):
    made = judged.settings(settings)
    return plan.build(View(snap, made), judged.anew(snap, made)['findings'])


def step(steps, remedy, target=None):
    found = [one for one in steps if one['remedy'] == remedy and not one['by_hand'] and target in (None, one['target'])]
    assert len(found) == 1, [(one['remedy'], one['target'], one['title']) for one in steps]
    return found[0]


def machine(snap, name):
    return next(each for each in snap.machines if each.name == name)


def node(snap, name):
    return next(each for each in snap.kubernetes['data']['nodes'].value if each['name'] == name)


def take(snap, kind):
    """What of this kind was read of machines, or of Kubernetes, was not."""
    for each in snap.machines:
        if kind in each.data:
            each.data[kind] = Datum('refused', reason='forbidden')
    if kind in snap.kubernetes['data']:
        snap.kubernetes['data'][kind] = Datum('refused', reason='forbidden')
    return snap


def healthy(snap):
    """Without the alarm, so that etcd takes writes."""
    for each in snap.machines:
        if each.datum('EtcdAlarmList').ok:
            each.value('EtcdAlarmList')['member_alarms'] = []
        if each.datum('EtcdStatus').ok:
            each.value('EtcdStatus')['errors'] = []
    return snap
