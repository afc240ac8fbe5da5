# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_service: a service of one machine is started, stopped or restarted, where Talos allows it, and watched."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint as endpoints_
from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import DeadlineExceeded, InputError, RoleRefused, TalosError, TransportError
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import GATE_READS, View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import service as rules
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import Redactor
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, judged

READS = tuple(sorted({*GATE_READS, 'EtcdMemberList', 'EtcdMembers', 'Infos'}))
CHANGES = 'a service of a machine (os:operator)'

_MACHINE = '/machine.MachineService/'
_POLL = 1.0


def run(params, check_mode, say):
    """See the module's RETURN. Raises TalosError."""
    service, state, wait = params['service'].strip(), params['state'], params['wait']
    if wait < 0:
        raise InputError(f'wait must be a number of seconds, not {wait}.')
    rules.must_be_allowed(service, state)
    named = [*(params.get('nodes') or ()), *([params['node']] if is_ip(params['node']) else [])]
    snapshot = access.gather({**params, 'nodes': named}, say, set(READS), {'machined'})
    view = View(snapshot, judged.settings({}))
    machine = rules.machine_of(view, params['node'])
    why = rules.needed(view, machine, service, state, params['only_unhealthy'])
    before = view.service(machine, service)
    after = before
    if why:
        objection = rules.objection(view, machine, service, state)
        if objection:
            raise Refused(f'The service {service} of {machine.label} is not {state}. {objection}')
        if not check_mode:
            after = _act(params, machine, service, state, before, wait)
    return {
        'changed': bool(why),
        'cluster': access.cluster_of(params),
        'node': machine.label,
        'service': service,
        'state': after.get('state'),
        'healthy': None if (after.get('health') or {}).get('unknown', True) else bool(after['health'].get('healthy')),
        'message': rules.newest(after)[2] or None,
        'reason': why,
        'diff': {'before_header': f'{service} of {machine.label}', 'after_header': f'{service} of {machine.label}', 'before': f'{rules.words(before)}\n',
                 'after': f'{state}\n' if why else f'{rules.words(before)}\n'},
        'ran_on': access.here(),
    }


def _act(params, machine, service, state, before, wait):
    """Send it once, to the machine itself where it is an endpoint, and wait for what is to follow. Raises TalosError."""
    found = access.of(params)
    with Client(found.context, endpoints=params.get('endpoints') or None, proxy=params.get('proxy'), timeout=access.seconds(params)[0],
                tmp_dir=found.tmp_dir) as client:
        way = next((one for one in client.endpoints if one.text == machine.via), None)
        if way is not None:
            handle = client.node(machine.address, via=way)
        else:
            direct = next((one for one in client.endpoints if one.host == machine.address), None)
            handle = client.direct(direct or endpoints_.parse(endpoints_.join(machine.address, endpoints_.PORT)))
        lost = _send(handle, found.context, service, state)
        return _followed(handle, machine, service, state, before, wait, lost)


def _send(handle, context, service, state):
    """None, or why nobody knows what became of it. Raises TalosError."""
    method = rules.METHODS[state]
    try:
        handle.unary(_MACHINE + method, {'id': service})
    except RoleRefused as error:
        facts = talosconfig.facts(context, datetime.now(timezone.utc))['certificate'] or {}
        has = ', '.join(facts.get('roles') or []) or 'no role'
        raise RoleRefused(f'{method} needs the role os:operator, and the client certificate of the context "{context.name}" has {has}.', error.code,
                          hint='Use a talosconfig of the role os:operator or os:admin.') from None
    except (TransportError, DeadlineExceeded) as error:
        return error.message.rstrip('.')
    return None


def _followed(handle, machine, service, state, before, wait, lost):
    """The service as it is once it has come into the state. Raises TalosError with its last event where it has not."""
    end, now, failed, redactor = time.monotonic() + wait, before, None, Redactor()
    while True:
        try:
            listed = handle.unary(f'{_MACHINE}ServiceList').get('services') or []
            now, failed = redactor.whole(next((one for one in listed if one['id'] == service), {})), None
        except TalosError as error:
            failed = error
        if failed is None and _there(service, state, now, before):
            return now
        if time.monotonic() >= end:
            break
        time.sleep(min(_POLL, max(0.0, end - time.monotonic())))
    if failed is not None:
        raise TalosError(f'Whether the service {service} of {machine.label} was {state} could not be seen: {failed.message}', failed.hint)
    if lost and rules.newest(now) == rules.newest(before):
        raise TalosError(f'{rules.METHODS[state]} of {service} did not reach {machine.label}: {lost}.', 'Run the task again.')
    _at, _state, message = rules.newest(now)
    raise TalosError(f'The service {service} of {machine.label} was to be {state}, and after {wait:g} s it is {rules.words(now)}: {message or "no event"}.',
                     f'Its log tells more: talosctl -n {machine.address} logs {service}')


def _there(service, state, now, before):
    if state == rules.STOPPED:
        return now.get('state') in ('Finished', 'Skipped')
    fresh = _after(rules.newest(now), rules.newest(before)) or state == rules.STARTED
    return fresh and (rules.healthy(now) if service == rules.KUBELET else rules.runs(now))


def _after(event, other):
    """Whether an event came after another; extensions that tell no events are believed at once."""
    mine, others = parse_time(event[0]), parse_time(other[0])
    return mine is None or others is None or mine > others or event != other
