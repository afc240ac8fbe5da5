# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""States of the control plane of the recorded cluster, made from what was recorded."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import control_plane, etcd, kubernetes_api, talos_api
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide.judging import READ, ago, planes, report

CHECKS = control_plane.CHECKS
WITH_CAUSES = (*talos_api.CHECKS, *etcd.CHECKS, *control_plane.CHECKS, *kubernetes_api.CHECKS)


def judged(snapshot, thresholds=None, checks=CHECKS):
    return report(snapshot, thresholds, checks)


def status_of(machine, component):
    """The recorded PodStatus of a component, to be changed in place."""
    return next(item['spec'] for item in machine.value('StaticPodStatuses') if item['id'].startswith(f'kube-system/{component}-'))


def container_rows(machine, component):
    return [row for row in machine.value('Containers')['containers'] if row['name'] == component]


def set_container(snapshot, machine, component, state, *, ready=False, restarts=0, since=86400, ended=None, reason='Error', code=1):
    """The kubelet's word on a component: C(state) is {kind: {…}}; not ready since so many seconds, ended last so many ago."""
    status = status_of(machine, component)
    container = status['containerStatuses'][0]
    last = {'terminated': {'reason': reason, 'exitCode': code, 'finishedAt': ago(snapshot, ended)}} if ended is not None else {}
    container.update(state=state, ready=ready, restartCount=restarts, lastState=last)
    for condition in status['conditions']:
        if condition['type'] in ('Ready', 'ContainersReady'):
            condition.update(status=str(ready), lastTransitionTime=ago(snapshot, since))


def set_rows(machine, component, *statuses):
    """What the CRI lists for a component: the sandbox is kept, its containers have these statuses (none: the sandbox alone)."""
    rows = container_rows(machine, component)
    listed = [row for row in machine.value('Containers')['containers'] if row not in rows]
    listed += [{**rows[0], 'id': f'{rows[0]["pod_id"]}:{component}:{number:012x}', 'status': status, 'pid': 0} for number, status in enumerate(statuses)]
    machine.data['Containers'] = Datum(READ, {'containers': listed}, machine.datum('Containers').at)


def remove(machine, component):
    """Neither the kubelet nor the CRI knows of the component."""
    machine.data['StaticPodStatuses'] = Datum(READ, [item for item in machine.value('StaticPodStatuses')
                                                     if not item['id'].startswith(f'kube-system/{component}-')])
    rows = [row for row in machine.value('Containers')['containers'] if not row['pod_id'].startswith(f'kube-system/{component}-')]
    machine.data['Containers'] = Datum(READ, {'containers': rows})


def crash(snapshot, machine, component, restarts=12, reason='Error', code=1):
    set_container(snapshot, machine, component, {'waiting': {'reason': 'CrashLoopBackOff', 'message': 'back-off 5m0s restarting failed container'}},
                  restarts=restarts, ended=90, reason=reason, code=code)
    set_rows(machine, component, 'CONTAINER_EXITED', 'CONTAINER_EXITED')


def log(machine, component, *lines, stamp='2026-11-22T10:17:00.000000000Z'):
    """The end of a component's log, as the CRI keeps it."""
    name = machine.name
    machine.logs[f'{component}-{name}:{component}'] = Datum(READ, ''.join(f'{stamp} stderr F {line}\n' for line in lines))


def no_leader(snapshot):
    """etcd has lost its quorum: every member that answers knows no leader."""
    for machine in planes(snapshot):
        if machine.value('EtcdStatus'):
            machine.value('EtcdStatus')['leader'] = '0' * 16
            machine.data['EtcdMemberList'] = Datum('failed', reason='etcdserver: no leader')
            machine.data['EtcdAlarmList'] = Datum('timed_out', reason='no answer')
