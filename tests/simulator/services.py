# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of a machine as ServiceList tells them: state, health, and the events that led there, worded as recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_CONTAINERD = '"/bin/containerd" "--address"'
WAITS = {
    'apid': 'service "containerd" to be "up", api certificates, config to be ready',
    'cri': 'volumes /var/lib, /var/lib/cni, /var/lib/containerd, /var/run, /var/run/lock to be mounted, network',
    'etcd': 'volumes /var/lib, ETCD to be mounted, service "cri" to be "up", time sync, network, etcd spec',
    'kubelet': 'volumes /var/lib, /var/lib/kubelet, /var/log, /var/log/audit, /var/log/containers, /var/log/pods, /var/lib/kubelet/seccomp, '
               '/var/lib/kubelet/seccomp/profiles, /var/log/audit/kube, /var/mnt to be mounted, service "cri" to be "up", time sync, network',
    'trustd': 'service "containerd" to be "up", time sync, network',
}
_STARTED = {
    'containerd': f'Process Process([{_CONTAINERD} "/system/run/containerd/containerd.sock" "--state" "/system/run/containerd" "--root" '
                  '"/system/var/lib/containerd"]) started with PID {pid}',
    'cri': f'Process Process([{_CONTAINERD} "/run/containerd/containerd.sock" "--config" "/etc/cri/containerd.toml"]) started with PID {{pid}}',
    'dashboard': 'Process Process(["/sbin/dashboard"]) started with PID {pid}',
    'udevd': 'Process Process(["/usr/bin/systemd-udevd" "--resolve-names=never"]) started with PID {pid}',
    'machined': 'Service started as goroutine',
    'syslogd': 'Service started as goroutine',
    'auditd': 'Service started as goroutine',
}
_TASK = 'Started task {service} (PID {pid}) for container {service}'
PIDS = {'containerd': 97, 'cri': 108, 'apid': 209, 'trustd': 210, 'etcd': 294, 'kubelet': 354, 'udevd': 88, 'dashboard': 213, 'machined': 1}
_FAILS = {
    'kubelet': 'Get "http://127.0.0.1:10248/healthz": context deadline exceeded',
    'etcd': 'context deadline exceeded',
}
NOT_RUNNING = 'service not running'
_ROUNDS, _ROUND = 4, timedelta(seconds=6)


@dataclass(frozen=True)
class Event:
    msg: str
    state: str
    at: object


@dataclass(frozen=True)
class Service:
    """C(health) is OK, Fail or ?; C(last_message) belongs to a failing health check."""

    id: str
    state: str
    health: str
    events: tuple
    last_message: str
    last_change: object


def of(node):
    """The services of a node, by id."""
    return [_service(node, service_id) for service_id in sorted(node.services)]


def _service(node, service_id):
    state, health = node.service(service_id)
    fails = _why_it_fails(node, service_id) if state == 'Running' else NOT_RUNNING
    happened = node.events.get(service_id)
    events = _events(node, service_id, *(node.services_before[service_id] if happened else (state, health)), fails)
    events += happened or []
    last_event = node.told_events.get(service_id)
    if last_event is not None and last_event != events[-1].msg:
        events.append(Event(last_event, state, max(events[-1].at, node.model.clock.wall - timedelta(seconds=47))))
    if not happened and state == 'Waiting' and 'going to restart' in events[-1].msg:
        events[-1:] = _rounds(service_id, events)
    changed = [event.at for event in events if event.msg.startswith('Health check')] if health != '?' and not (happened and state != 'Running') else []
    return Service(service_id, state, health, tuple(events), fails if health == 'Fail' else '', changed[-1] if changed else
                   (events[-1].at if health != '?' else None))


def _rounds(service_id, events):
    """The last rounds of a service that is started in vain every six seconds (rec), in place of the last event alone."""
    last, rounds = events[-1], []
    for number in range(_ROUNDS, 0, -1):
        at = last.at - number * _ROUND
        if at > events[-2].at:
            rounds.append(Event(last.msg, last.state, at))
            rounds.append(Event(_TASK.format(service=service_id, pid=PIDS.get(service_id, 250)), 'Running', at + timedelta(seconds=5)))
    return [*rounds, last]


def _why_it_fails(node, service_id):
    if service_id == 'etcd' and node.name in node.model.etcd.learners:
        return 'etcdserver: rpc not supported for learner'
    return _FAILS.get(service_id, 'context deadline exceeded')


def _events(node, service_id, state, health, fails):
    pid = PIDS.get(service_id, 250)
    start = node.boot + timedelta(seconds=2 if service_id in ('etcd', 'kubelet', 'cri', 'trustd') else 1)
    if service_id == 'etcd' and node.model.state.get('bootstrapped'):
        start = max(start, node.model.bootstrapped_at - timedelta(seconds=3))
    steps = [('Starting service', 'Starting')]
    if service_id in WAITS:
        steps.append((f'Waiting for {WAITS[service_id]}', 'Waiting'))
    if state == 'Waiting' and health != 'Fail':
        return _timed(steps, start, node)
    steps.append(('Running pre state', 'Preparing'))
    if state == 'Preparing':
        return _timed(steps, start, node)
    if state == 'Failed' and health == '?':
        return _timed([*steps, (f'Failed to run pre stage: {service_id}: context deadline exceeded', 'Failed')], start, node)
    steps.append(('Creating service runner', 'Preparing'))
    steps.append((_STARTED.get(service_id, _TASK).format(service=service_id, pid=pid), 'Running'))
    if state == 'Running':
        if health == 'OK':
            steps.append(('Health check successful', 'Running'))
        if health == 'Fail':
            steps.append((f'Health check failed: {fails}', 'Running'))
        return _timed(steps, start, node)
    ends = {
        'Waiting': f'Error running Containerd({service_id}), going to restart forever: task "{service_id}" failed: exit code 1',
        'Stopping': f'Sending SIGTERM to task {service_id} (PID {pid}, container {service_id})',
        'Finished': 'Service finished successfully',
        'Failed': f'Error running Containerd({service_id}): task "{service_id}" failed: exit code 1',
        'Skipped': 'Condition failed: skipped',
    }
    return _timed([*steps, (ends.get(state, f'Service is {state.lower()}'), state)], start, node)


def _timed(steps, start, node):
    """Half a second between steps; what fails or ended did so a short while ago, the rest when the machine booted."""
    wall, now = node.model.clock.wall, node.model.clock.now()
    events = [Event(msg, state, min(start + timedelta(milliseconds=510 * number), now)) for number, (msg, state) in enumerate(steps)]
    msg = steps[-1][0]
    if 'failed' in msg or 'Failed' in msg or 'Error' in msg:
        events[-1] = Event(msg, steps[-1][1], max(events[-1].at, wall - timedelta(seconds=47)))
    return events
