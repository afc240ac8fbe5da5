# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that go and come: switched off, rebooted, reset, bootstrapped; their services meanwhile; the VIP.

Each function changes the state at once and puts on the timeline what follows.
"""

from __future__ import annotations

import contextlib
import json

from tests.simulator import services, timeline
from tests.simulator.etcd import Refused
from tests.simulator.services import Event

_NO_HEALTH = ('dashboard',)
_TASK = 'Started task {service} (PID {pid}) for container {service}'
_BAD_FLAG = ('Error running Containerd(etcd), going to restart forever: task "etcd" failed: exit code 2 (last log "Usage:\\n\\n  '
             'etcd [flags]\\n    Start an etcd server.")')
_LAST_LOG = 500
_REMOVED = 'Runner Containerd(etcd) exited without error, going to restart it'


def begin(model):
    """What a scenario shows under way goes on, after a while: young learners are promoted, booting machines boot."""
    model.timeline.later(timeline.UNDERWAY, lambda: _go_on(model))


def _go_on(model):
    for node in model.nodes.values():
        young = model.clock.now() - node.boot < timeline.YOUNG
        if young and node.reachable and node.machine_status['stage'] == 'booting' and node.name not in model.etcd.learners:
            _boot(node)
    _promote(model)


def switch_off(node):
    """The machine is gone at once, as without power."""
    node.reachable, node.happened = False, True
    node.services = {service: ('Stopping', '?') for service in node.services}
    node.model.changed()
    node.model.etcd.settle()
    _move_vip(node.model)
    node.model.tell('gone', node)


def freeze(node):
    """It does nothing any more: connections stay open, new ones are accepted, nothing is said."""
    node.frozen = True
    node.model.changed()
    node.model.etcd.settle()


def switch_on(node):
    """It boots: with the configuration that was saved last, and an etcd and a kubelet that come up later."""
    node.reachable = node.given.get('reachable', True) is not False
    node.boot = node.model.clock.now()
    node.certificate_since = node.boot
    node.events = {}
    node.told_events = {}
    node.status = {'stage': 'booting', 'ready': False, 'unmet': ['services']}
    node.services = {name: ('Running', '?' if name in _NO_HEALTH else 'OK') for name in node.services}
    for name in ('etcd', 'kubelet'):
        if name in node.services:
            node.services[name] = ('Preparing', '?')
    node.services_before = dict(node.services)
    node.config.boot()
    node.model.changed()
    node.model.timeline.later(timeline.BOOT, lambda: _boot(node))


def _boot(node):
    """The end of a boot."""
    if not node.reachable:
        return
    node.status = {'stage': 'running', 'ready': True, 'unmet': []}
    for name, (state, _health) in node.services.items():
        if state != 'Running' and name != 'etcd':
            node.services[name] = ('Running', 'OK')
    if node.config.unknown_kubelet_flag:
        _run_kubelet(node)
    if node.control_plane:
        _start_etcd(node)
    node.model.changed()
    node.model.tell('booted', node)


def _start_etcd(node):
    """etcd's way after a boot: a member goes on, one that was removed loops, one without data joins, where there is a cluster."""
    etcd = node.model.etcd
    if node.name in etcd.removed:
        _loop(node)
    elif node.config.unknown_etcd_flag:
        node.services['etcd'] = ('Waiting', 'Fail')
        _events(node, 'etcd', [('Running', _TASK.format(service='etcd', pid=services.PIDS['etcd'])), ('Waiting', _BAD_FLAG)])
        etcd.settle()
    elif node.name in etcd.wiped and etcd.is_member(node):
        node.services['etcd'] = ('Preparing', '?')
        _forget(node)
    elif etcd.is_member(node):
        node.services['etcd'] = ('Running', 'OK')
        etcd.settle()
    else:
        node.services['etcd'] = ('Preparing', '?')
        join(node)


def _forget(node):
    """Talos takes a member without data out of the list before it joins anew; where etcd refuses that, it waits."""
    with contextlib.suppress(Refused):
        node.model.etcd.remove(node.model.etcd.ids[node.name])
        node.model.etcd.wipe(node)
        join(node)


def reboot(node, after=timeline.SHUTDOWN):
    """The machine goes away in order, and comes back."""
    _leave(node, 'rebooting', after, lambda: node.model.timeline.later(timeline.AWAY, lambda: switch_on(node)))


def shut_down(node):
    """The machine goes away in order, and stays away."""
    _leave(node, 'shutting down', timeline.SHUTDOWN, lambda: None)


def reset(node, graceful, comes_back, labels):
    """Wipe a machine; C(labels) are partitions, none the whole system disk. C(graceful) leaves etcd first, where it can."""
    etcd = node.model.etcd

    def wipe():
        if not labels or 'EPHEMERAL' in labels:
            etcd.wipe(node)
        if comes_back and labels and 'STATE' not in labels:
            node.model.timeline.later(timeline.AWAY, lambda: switch_on(node))

    if graceful and node.control_plane and etcd.is_member(node):
        if not etcd.runs(node) or not etcd.has_quorum(node):
            return _stage(node, 'resetting')  # it tries to leave until it can
        etcd.remove(etcd.ids[node.name])
        etcd.wipe(node)
    return _leave(node, 'resetting', timeline.SHUTDOWN, wipe)


def _leave(node, stage, after, then):
    _stage(node, stage)

    def off():
        switch_off(node)
        then()

    node.model.timeline.later(after, off)


def _stage(node, stage):
    node.status = {'stage': stage, 'ready': True, 'unmet': []}
    node.model.changed()


# -- services -----------------------------------------------------------------------------------------------------

def restart_kubelet(node):
    """Stop and start it, or start it where it does not run; it comes back (rec: the events of such a restart)."""
    events = []
    if node.service('kubelet')[0] == 'Running':
        events += [('Stopping', f'Sending SIGTERM to task kubelet (PID {services.PIDS["kubelet"]}, container kubelet)'),
                   ('Finished', 'Service finished successfully')]
    events += [('Starting', 'Starting service'), ('Waiting', f'Waiting for {services.WAITS["kubelet"]}'), ('Preparing', 'Running pre state'),
               ('Preparing', 'Creating service runner')]
    _events(node, 'kubelet', events)
    node.services['kubelet'] = ('Preparing', '?')
    node.model.changed()
    node.model.timeline.later(timeline.SERVICE, lambda: _run_kubelet(node))


def change_extension(node, service, operation):
    """Start, stop or restart the service of an extension, which is up at once; nobody checks its health."""
    events = []
    if node.service(service)[0] == 'Running':
        events += [('Stopping', f'Sending SIGTERM to task {service} (PID 250, container {service})'), ('Finished', 'Service finished successfully')]
    if operation != 'stop':
        events += [('Starting', 'Starting service'), ('Preparing', 'Running pre state'), ('Preparing', 'Creating service runner'),
                   ('Running', _TASK.format(service=service, pid=251))]
    _events(node, service, events)
    node.services[service] = ('Finished' if operation == 'stop' else 'Running', '?')
    node.model.changed()


def _run_kubelet(node):
    if not node.reachable:
        return
    flag = node.config.unknown_kubelet_flag
    _events(node, 'kubelet', [('Running', _TASK.format(service='kubelet', pid=services.PIDS['kubelet'] + 1))])
    if flag:
        log = f'command failed" err="failed to parse kubelet flag: unknown flag: --{flag}'
        text = f'Error running Containerd(kubelet), going to restart forever: task "kubelet" failed: exit code 1 (last log "{log}")'
        _events(node, 'kubelet', [('Waiting', text)])
        node.services['kubelet'] = ('Waiting', 'Fail')
    else:
        _events(node, 'kubelet', [('Running', 'Health check successful')])
        node.services['kubelet'] = ('Running', 'OK')
        if node.machine_status['unmet'] == ['services']:
            node.status = {'stage': 'running', 'ready': True, 'unmet': []}
    node.model.changed()
    node.model.tell('kubelet', node)


def _events(node, service, steps):
    now = node.model.clock.now()
    node.told_events.pop(service, None)
    node.events.setdefault(service, []).extend(Event(text, state, now) for state, text in steps)
    del node.events[service][:-64]


# -- etcd ---------------------------------------------------------------------------------------------------------

def member_removed(node):
    """What a machine does whose member was removed while it ran: etcd ends and is started again, every five seconds (rec)."""
    if node.reachable and node.service('etcd')[0] == 'Running':
        _loop(node)


def _loop(node):
    if node.name not in node.model.etcd.removed or not node.reachable:
        return
    _events(node, 'etcd', [('Running', _TASK.format(service='etcd', pid=services.PIDS['etcd'] + 1)), ('Waiting', _REMOVED)])
    node.model.etcd.tried(node)
    node.services['etcd'] = ('Waiting', 'Fail')
    node.happened = True
    node.status = {**node.machine_status, 'ready': False, 'unmet': ['services']}
    node.model.changed()
    node.model.timeline.later(timeline.RESTART, lambda: _loop(node))


def etcd_exited(node, code, lines):
    """etcd ended by itself: Talos starts it again after five seconds, for ever (rec)."""
    reason = f'exit code {code}' if code >= 0 else f'killed by signal {-code}'
    said = ''.join(f'{line}\n' for line in lines)[-_LAST_LOG:]
    text = f'Error running Containerd(etcd), going to restart forever: task "etcd" failed: {reason} (last log {json.dumps(said, ensure_ascii=False)})'
    _events(node, 'etcd', [('Waiting', text)])
    node.services['etcd'] = ('Waiting', 'Fail')
    node.model.changed()
    node.model.timeline.later(timeline.RESTART, lambda: _start_again(node))


def _start_again(node):
    if node.name in node.model.etcd.removed:
        _loop(node)
    elif node.reachable and node.service('etcd')[0] == 'Waiting':
        _events(node, 'etcd', [('Running', _TASK.format(service='etcd', pid=services.PIDS['etcd'] + 1))])
        node.services['etcd'] = ('Running', 'OK')
        node.model.etcd.settle()
        node.model.changed()


def bootstrap(node):
    """The first member; then the other control plane nodes that wait join it one after the other (talos-api 5.4)."""
    _events(node, 'etcd', [('Finished', 'Bootstrap requested'), ('Starting', 'Starting service'), ('Preparing', 'Running pre state')])
    node.services['etcd'] = ('Preparing', '?')
    node.model.etcd.data.add(node.name)
    node.model.changed()
    node.model.timeline.later(timeline.JOIN, lambda: _first(node))


def _first(node):
    etcd = node.model.etcd
    etcd.add(node, learner=False)
    etcd.given |= {'leader': node.name, 'raft_term': 2}
    _runs(node)
    for other in node.model.control_planes:
        if other.reachable and not etcd.is_member(other) and other.service('etcd')[0] == 'Preparing':
            join(other)
    _move_vip(node.model)
    if node.model.state['k8s']['api'] == 'never up':
        node.model.state['k8s']['api'] = 'up'
    node.model.changed()
    node.model.tell('bootstrapped', node)


def join(node):
    """Become a learner as soon as there is no other, then a voter."""
    node.model.timeline.later(timeline.JOIN, lambda: _learn(node))


def _learn(node):
    etcd = node.model.etcd
    if not node.reachable or etcd.is_member(node):
        return
    if etcd.learners or not etcd.leading:
        join(node)
        return
    try:
        etcd.add(node, learner=True)
    except Refused:
        join(node)
        return
    node.services['etcd'] = ('Running', 'Fail')
    node.model.changed()
    node.model.timeline.later(timeline.PROMOTION, lambda: _promote(node.model))


def _promote(model):
    """Learners that run and have not been at it for long become voters; what cannot yet is tried again, as Talos does for a while (edge-cases 51)."""
    etcd = model.etcd
    for name in list(etcd.learners):
        node = model.nodes.get(name)
        if node is None or model.clock.now() - node.boot >= timeline.YOUNG:
            continue
        if not (etcd.runs(node) and etcd.leading and etcd.promote(name)):
            model.timeline.later(timeline.PROMOTION, lambda: _promote(model))
            return
        _runs(node)
        for other in model.control_planes:
            if other.reachable and not etcd.is_member(other) and other.service('etcd')[0] == 'Preparing':
                join(other)


def _runs(node):
    node.services['etcd'] = ('Running', 'OK')
    _events(node, 'etcd', [('Running', _TASK.format(service='etcd', pid=services.PIDS['etcd'])), ('Running', 'Health check successful')])
    if node.machine_status['stage'] == 'booting':
        node.status = {'stage': 'running', 'ready': True, 'unmet': []}
    node.model.changed()


# -- the VIP ------------------------------------------------------------------------------------------------------

def _move_vip(model):
    """Another control plane node takes the VIP when its holder is gone: its etcd must elect it, so there must be a quorum."""
    holder = model.vip_holder
    if model.vip is None or (holder is not None and holder.reachable and model.etcd.runs(holder)):
        return
    if holder is not None:
        model.state['network']['vip_holder'] = 'none'
        model.changed()

    def take():
        if model.vip_holder is None and model.etcd.leading:
            able = [node for node in model.control_planes if node.reachable and model.etcd.runs(node)]
            if able:
                model.state['network']['vip_holder'] = able[0].name
                model.changed()

    model.timeline.later(timeline.ELECTION + timeline.VIP, take)
