# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a service of one machine may be started, stopped or restarted (talos-api 5.2; users.md 5, "service restart / reboot").

Talos lets the kubelet be started and restarted, and extensions be stopped as well; nothing else, etcd least of all.
"""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, unread
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal

KUBELET = 'kubelet'
EXTENSION = 'ext-'
STARTED, STOPPED, RESTARTED = 'started', 'stopped', 'restarted'
STATES = (RESTARTED, STARTED, STOPPED)
METHODS = {RESTARTED: 'ServiceRestart', STARTED: 'ServiceStart', STOPPED: 'ServiceStop'}
# Of a service that is under way or up; a start does nothing then.
UP = ('Running', 'Waiting', 'Preparing', 'Starting', 'Stopping')


def must_be_allowed(service, state):
    """Raises InputError for what Talos refuses on every machine; nothing need be asked for that."""
    if service == 'etcd':
        raise InputError('etcd cannot be started, stopped or restarted over the API.',
                         'What needs a restart of etcd needs a reboot of its machine, one control plane node after the other.')
    if service != KUBELET and not service.startswith(EXTENSION):
        raise InputError(f'Talos does not let the service {service} be {state} over the API, only kubelet and extensions ({EXTENSION}*).')
    if service == KUBELET and state == STOPPED:
        raise InputError('Talos lets the kubelet be started and restarted over the API, but not stopped.')


def machine_of(view, text):
    """The one machine of this name or address. Raises TalosError where there is none, or more, or it does not answer."""
    wanted = normal(text)
    found = [machine for machine in view.snapshot.machines
             if wanted in {normal(one) for one in (machine.name, machine.address, *machine.addresses) if one}]
    if wanted in {normal(vip) for vip in view.vips}:
        raise InputError(f'{text} is the virtual IP, which wanders from machine to machine.', 'Name the machine, or its own address.')
    if not found:
        raise InputError(f'No machine of the cluster is {text}.', f'There are: {listed(sorted(machine.label for machine in view.snapshot.machines), 12)}.')
    if len(found) > 1:
        raise InputError(f'{len(found)} machines are {text}: {listed(str(machine.address) for machine in found)}.', 'Name one by its address.')
    machine = found[0]
    if machine.key in view.elsewhere:
        raise InputError(f'{machine.label} belongs to another cluster.')
    if not machine.answered:
        why = machine.unreachable['text'] if machine.unreachable else machine.datum('Version').why()
        raise TalosError(f'{machine.label} does not answer: {why.rstrip(".")}.')
    return machine


def needed(view, machine, service, state, only_unhealthy):
    """Why the state is not there yet, as the end of a sentence; None where nothing is to be done. Raises TalosError."""
    if not machine.datum('ServiceList').ok:
        raise TalosError(f'The services of {machine.label} were not read: {machine.datum("ServiceList").why()}.')
    found = view.service(machine, service)
    if found is None:
        there = sorted(one['id'] for one in (machine.value('ServiceList') or {}).get('services') or [])
        raise InputError(f'{machine.label} has no service {service}.', f'It has: {listed(there, 20)}.')
    is_now = words(found)
    if state == STOPPED:
        return f'it is {is_now}' if found.get('state') in UP else None
    if state == STARTED:
        return None if found.get('state') in UP else f'it is {is_now}'
    if only_unhealthy and runs(found):
        return None
    return f'it is {is_now}'


def objection(view, machine, service, state):
    """The reason, a sentence, for which this must not be done to this machine now; None where nothing speaks against it."""
    stage = view.stage(machine)
    if stage is None:
        return f'The stage of {machine.label} was not read ({machine.datum("MachineStatuses").why()}).'
    if view.in_progress(machine):
        return f'{machine.label} is {stage}: leave it alone until that has ended.'
    if service == KUBELET or state == STARTED or not machine.is_control_plane:
        return None
    return _voter(view, machine, service)


def _voter(view, machine, service):
    """An extension may carry the network or the storage of an etcd member, so that it goes as if the member were stopped."""
    if view.etcd.members is None:
        missing = '; '.join(unread(view.answering_control_planes, 'EtcdMemberList')) or 'no control plane node answered'
        return f'How many failures etcd tolerates was not read ({missing}), and {service} on a control plane node may take its member away.'
    member = view.etcd.local_id(machine)
    if machine not in view.etcd.healthy and member not in view.etcd.learners and member is not None:
        return None
    if view.etcd.tolerance < 1:
        return (f'etcd tolerates no failure now ({len(view.etcd.healthy)} of {view.etcd.size} voters are healthy, {view.etcd.quorum} are the quorum), and '
                f'{service} may carry the network or the storage of the member on {machine.label}.')
    return None


def runs(service):
    """Running, and healthy where its health is known."""
    health = service.get('health') or {}
    return service.get('state') == 'Running' and (bool(health.get('unknown', True)) or bool(health.get('healthy')))


def healthy(service):
    """Running, and its health check succeeds."""
    health = service.get('health') or {}
    return service.get('state') == 'Running' and not health.get('unknown', True) and bool(health.get('healthy'))


def words(service):
    """State and health in words, such as "Running and unhealthy (context deadline exceeded)"."""
    health, state = service.get('health') or {}, service.get('state') or 'in no known state'
    if state != 'Running' or health.get('unknown', True):
        return state
    if health.get('healthy'):
        return f'{state} and healthy'
    return f'{state} and unhealthy ({health.get("last_message") or "no reason given"})'


def newest(service):
    """C((time, state, message)) of its last event, C(('', '', '')) where there is none."""
    events = (service.get('events') or {}).get('events') or []
    return (str(events[-1].get('ts') or ''), events[-1].get('state') or '', events[-1].get('msg') or '') if events else ('', '', '')
