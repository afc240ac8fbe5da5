# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of kubelet and Nodes change in a recorded snapshot: Nodes, pods, requests, lines of logs."""

from __future__ import annotations

import copy
from datetime import timedelta

from ansible_collections.talosops.talos.plugins.module_utils.guide import kubelet
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Check, error
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Machine
from tests.unit.guide import judging
from tests.unit.guide.judging import READ, ago, node, old

CNI = ('container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not '
       'initialized')
SILENT = 'Kubelet stopped posting node status.'
MONTH = 30 * 86400


def report(snapshot, thresholds=None, checks=kubelet.CHECKS):
    return judging.report(snapshot, thresholds, checks)


def aged(name='healthy'):
    """A recording of a cluster that has run for a day, whose Nodes and machines are no longer young."""
    return old(name)


def kube(snapshot, kind):
    """The objects of a kind, to be changed in place."""
    return snapshot.kubernetes['data'][kind].value


def lose_kube(snapshot, *kinds, state='failed'):
    for kind in kinds:
        snapshot.kubernetes['data'][kind] = Datum(state, reason=f'{kind} {state}')


def node_object(snapshot, name):
    return next(each for each in kube(snapshot, 'nodes') if each['name'] == name)


def set_ready(snapshot, name, status, since, message=None, reason=None):
    """The Ready condition of a Node, since so many seconds."""
    found = next(c for c in node_object(snapshot, name)['conditions'] if c['type'] == 'Ready')
    told = {'True': ('KubeletReady', 'kubelet is posting ready status'), 'False': ('KubeletNotReady', CNI), 'Unknown': ('NodeStatusUnknown', SILENT)}
    found.update(status=status, lastTransitionTime=ago(snapshot, since), reason=reason or told[status][0], message=message or told[status][1])


def set_condition(snapshot, name, kind, status='True', message='told by a test'):
    conditions = [c for c in node_object(snapshot, name)['conditions'] if c['type'] != kind]
    node_object(snapshot, name)['conditions'] = [*conditions, {'type': kind, 'status': status, 'message': message,
                                                               'lastTransitionTime': ago(snapshot, 600)}]


def add_node(snapshot, name, address, status='Unknown', since=MONTH, machine=True, like='w1', **more):
    """A Node of which nothing else is known; C(machine): the snapshot lists a machine for it, which does not answer."""
    made = copy.deepcopy(node_object(snapshot, like))
    made.update(name=name, uid=f'uid-{name}', machine_id=f'{name:0<32}', created=ago(snapshot, 40 * 86400), **more)
    made['addresses'] = [{'type': 'InternalIP', 'address': address}, {'type': 'Hostname', 'address': name}]
    kube(snapshot, 'nodes').append(made)
    set_ready(snapshot, name, status, since)
    if machine:
        snapshot.machines.append(Machine(key=address, address=address, addresses=[address], name=name, type='worker', known_from=['kubernetes'],
                                         unreachable={'kind': 'node_unreachable', 'text': f'dial tcp {address}:50000: connect: no route to host',
                                                      'via': '10.5.0.2', 'at': None}))
    return made


def pods_of(snapshot, name, start='kube-flannel'):
    return [pod for pod in kube(snapshot, 'pods') if pod['node'] == name and pod['name'].startswith(start)]


def pod_waits(pod, reason, restarts=0, last=None, phase='Pending', container=None):
    """The main container of a pod waits for this reason."""
    pod['phase'] = phase
    pod['conditions'] = [{**c, 'status': 'False'} if c['type'] in ('Ready', 'ContainersReady') else c for c in pod['conditions']]
    for each in pod['containers']:
        if each['name'] == container or (container is None and not each['init']):
            each.update(state='waiting', reason=reason, ready=False, restarts=restarts, message=None, exit_code=None,
                        last=last and {'reason': last, 'exit_code': 1, 'at': None, 'message': None})


def csr(snapshot, name='csr-1', of='w1', age=3600, signer='kubernetes.io/kubelet-serving', ips=('10.5.0.5',), dns=('w1',), state=None, **more):
    """Add a certificate request of a kubelet that is told to ask for one; C(state) is None (pending), Approved, Issued, Denied or Failed."""
    serving, spec = signer.endswith('kubelet-serving'), None
    if serving and any(machine.name == of for machine in snapshot.machines):
        spec = node(snapshot, of).resource('KubeletSpecs', 'kubelet')
    if spec and not any(arg.startswith('--rotate-server') for arg in spec['args']):
        spec['args'].append('--rotate-server-certificates=true')
    conditions = [{'type': 'Approved' if state == 'Issued' else state, 'status': 'True',
                   'lastTransitionTime': ago(snapshot, max(0, age - 1))}] if state else []
    made = {'name': name, 'uid': f'uid-{name}', 'created': ago(snapshot, age), 'signer': signer,
            'username': f'system:node:{of}' if serving else 'system:bootstrap:abcdef',
            'groups': ['system:nodes', 'system:authenticated'] if serving else ['system:bootstrappers', 'system:authenticated'],
            'usages': ['digital signature', 'server auth' if serving else 'client auth'], 'conditions': conditions, 'issued': state == 'Issued',
            'asks_for': {'common_name': f'system:node:{of}', 'organization': ['system:nodes'], 'dns': list(dns) if serving else [],
                         'ips': list(ips) if serving else [], 'other': []}, **more}
    kube(snapshot, 'csrs').append(made)
    return made


def diagnose_csr(snapshot, name):
    node(snapshot, name).data['Diagnostics'] = Datum(READ, [{'id': 'kubelet-csr', 'spec': {
        'message': 'kubelet server certificate rotation is enabled, but CSR is not approved',
        'details': ['kubelet API error: remote error: tls: internal error', 'pending CSRs: csr-1']}}])


def log(snapshot, name, log_id, *lines):
    """Append lines (seconds ago, text) to a log of a machine, stamped as that log does; machined says that it is now."""
    machine, text = node(snapshot, name), ''
    for seconds, said in lines:
        at = snapshot.now - timedelta(seconds=seconds)
        if log_id == 'controller-runtime':
            text += f'{at:%Y-%m-%dT%H:%M:%S}.000Z \x1b[31mERROR\x1b[0m {said}\n'
        elif said.startswith('{'):
            text += f'{{"ts":{at.timestamp() * 1000:.3f},{said[1:]}\n'
        else:
            text += f'E{at:%m%d %H:%M:%S.%f}     354 {said}\n'
    machine.logs[log_id] = Datum(READ, (machine.log(log_id).value or '') + text)
    judging.machined(snapshot, machine, (0, 'something'))


def controller_failed(controller, said):
    escaped = said.replace('"', '\\"')
    return f'controller failed {{"component": "controller-runtime", "controller": "k8s.{controller}", "error": "{escaped}"}}'


def assertion(*facts, check='x.cause', section='x.time', subject='it'):
    """A check that asserts facts, to see what they explain."""
    return Check(check, section, 'cause', lambda view: error(subject, 'bad', 'x', 'y', asserts=facts))


def raise_alarm(snapshot, name='NOSPACE'):
    """etcd takes no writes."""
    for machine in judging.planes(snapshot):
        machine.value('EtcdAlarmList')['member_alarms'] = [{'member_id': node(snapshot, 'cp1').value('EtcdStatus')['member_id'], 'alarm': name}]


def managed(snapshot, name, mark='cluster.x-k8s.io/machine'):
    node_object(snapshot, name)['annotations'][mark] = 'x'
