# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of each machine: services that nobody else looks at, and boots that do not end (EXT-SVC, EXT-DIAG, gate G3).

A machine stays in the stage C(booting) until every service is up or finished, and restarts after 70 minutes. What it
waits for is nearly always judged elsewhere: then the boot is information here.
"""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, seen, span
from ansible_collections.talosops.talos.plugins.module_utils.judge.progress import MOVING, stuck
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, Check, Evidence, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOT_BOOTSTRAPPED, down
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import kubelet_down

# Services that sections of the guide judge.
JUDGED_ELSEWHERE = ('apid', 'etcd', 'kubelet', 'trustd')
EXTENSION = 'ext-'
# Diagnostics that sections of the guide judge (talos-api 6.9).
DIAGNOSTICS_ELSEWHERE = ('address-overlap', 'kubelet-csr')
# The sections in which a machine's boot is most often stopped.
ROOTS = ('network_configuration', 'talos_api.subnet_conflict', 'system_requirements', 'x.time', 'misc.controller_runtime', 'kubelet.not_running')
# Conditions of MachineStatus that sections of the guide judge (talos-api 6.3).
CONDITIONS_ELSEWHERE = ('time', 'network', 'services', 'staticPods', 'nodeReady')

_WAITS = re.compile(r'task startAllServices \(\d+/\d+\): (service "[^"]+" to be .*)')
_SERVICE = re.compile(r'service "(?P<id>[^"]+)" to be ')
_CONFIGURATION = 'extension service config'
_MOVING_ON = 120


def service_failed(fact_machine):
    """The fact that a service beside etcd and kubelet is broken on this machine."""
    return f'service.failed:{fact_machine.key}'


def _troubles(machine):
    """Facts of this machine that can keep any of its services down."""
    return tuple(f'{what}:{machine.key}' for what in ('volume_failed', 'disk_full', 'network', 'clock', 'memory', 'image_pull', 'boot_blocked'))


def _events(service):
    return ((service.get('events') or {}).get('events')) or []


# -- EXT-SVC ----------------------------------------------------------------------------------------------------

def services_not_healthy(view, machine):
    """Every service of Talos and of its extensions that runs is healthy, and none has failed."""
    outcomes = []
    for service in machine.value('ServiceList').get('services') or []:
        if service.get('id') not in JUDGED_ELSEWHERE:
            outcomes += _service(view, machine, service)
    return outcomes or ok(machine.key)


def _service(view, machine, service):
    name, state, health = service.get('id'), service.get('state'), service.get('health') or {}
    last = _events(service)[-1] if _events(service) else {}
    said = str(last.get('msg') or '').strip()
    subject, nodes = f'{machine.key}:{name}', [machine.key]
    evidence = [Evidence(f'{name} {state}: {said or "no event"}', 'ServiceList', machine.label, last.get('ts'))]
    step = f'Read its log: talosctl -n {machine.address or machine.label} logs {name}.'
    if state == 'Failed':
        return [error(subject, f'The service {name} has failed on {machine.label}' + (f': {" ".join(said.split())}' if said else ''),
                      'Talos does not start it again by itself.' + _needs(name), f'{step} Repair the cause, then restart the machine.', nodes=nodes,
                      evidence=evidence, asserts=(service_failed(machine),), explained_by=_troubles(machine))]
    if state == 'Waiting' and name.startswith(EXTENSION) and _CONFIGURATION in said:
        if view.young(machine):
            return [info(subject, f'The extension service {name} on {machine.label} waits for its configuration', 'It came up less than ten minutes '
                                                                                                                  'ago.',
                         'Gather again in a few minutes.', nodes=nodes, evidence=evidence)]
        return [warning(subject, f'The extension service {name} on {machine.label} waits for a configuration that it never gets',
                        'The extension is installed, and the machine configuration has no ExtensionServiceConfig for it: it does nothing.',
                        f'Add a document ExtensionServiceConfig with the name "{name.removeprefix(EXTENSION)}" (talosctl patch machineconfig), or '
                        'remove the '
                        'extension from the image.', nodes=nodes, evidence=evidence)]
    if state == 'Running' and not health.get('unknown', True) and not health.get('healthy'):
        message = health.get('last_message') or 'no message'
        evidence = [Evidence(f'{name} health: {message}', 'ServiceList', machine.label, health.get('last_change')), *evidence]
        if view.young(machine) or view.in_progress(machine):
            return [info(subject, f'The service {name} on {machine.label} is not healthy yet: {message}', 'The machine has just booted, or is on '
                                                                                                          'its way down.',
                         'Gather again in a few minutes.', nodes=nodes, evidence=evidence)]
        return [warning(subject, f'The service {name} runs on {machine.label} and is not healthy: {message}',
                        f'Its health check fails.{_needs(name)}', step,
                        nodes=nodes, evidence=evidence, asserts=(service_failed(machine),), explained_by=_troubles(machine))]
    return []


def _needs(name):
    return {'cri': ' Nothing of Kubernetes runs without it: no kubelet, no etcd, no pod.', 'containerd': ' apid and trustd run in it.',
            'udevd': ' Disks and network links are found by it.', 'machined': ' It is Talos itself.'}.get(name, '')


# -- EXT-DIAG ---------------------------------------------------------------------------------------------------

def diagnostics(view, machine):
    """Talos itself sees no problem on the machine, beside those that sections of the guide judge."""
    found = [item for item in machine.value('Diagnostics') if item.get('id') not in DIAGNOSTICS_ELSEWHERE]
    return [_diagnostic(view, machine, item) for item in found] or ok(machine.key)


def _diagnostic(view, machine, item):
    spec = item.get('spec') or {}
    name, message = item.get('id'), spec.get('message') or 'no message'
    details = [str(detail) for detail in spec.get('details') or []]
    evidence = [Evidence(detail, 'Diagnostics', machine.label, item.get('updated')) for detail in details] or [seen(machine, 'Diagnostics', message)]
    raise_it = info if view.young(machine) else error
    return raise_it(f'{machine.key}:{name}', f'Talos reports on {machine.label}: {message}', f'Talos\'s own diagnostic "{name}".',
                    f'See https://talos.dev/diagnostic/{name}.', nodes=[machine.key], evidence=evidence, explained_by=_troubles(machine))


# -- G3, G5: the boot -------------------------------------------------------------------------------------------

def boot_not_finished(view, machine):
    """The machine has come to the end of its boot."""
    stage = view.stage(machine)
    if stage == 'running':
        return ok(machine.key)
    if stage is None:
        return unknown(machine.key, f'whether {machine.label} has finished its boot: MachineStatuses holds no stage', nodes=[machine.key],
                       explained_by=('not_judged',))
    if stage in MOVING:
        return not_applicable(machine.key, f'{machine.label} is {stage}: see the upgrades')
    if view.in_progress(machine):
        return info(machine.key, f'{machine.label} is {stage}', 'It is on its way down.', 'Gather again when it is up, if it is to come back.',
                    nodes=[machine.key], evidence=[seen(machine, 'MachineStatuses', f'stage {stage}')])
    age, blockers, evidence = view.age_seconds(machine), *_blockers(view, machine)
    waits = f', it waits for {listed(blockers)}' if blockers else ''
    since = f' for {span(age)}' if age is not None else ''
    title = f'{machine.label} is {stage}{since}{waits}'
    more = {'nodes': [machine.key], 'evidence': [*evidence, *_conditions(machine)] or [seen(machine, 'MachineStatuses', f'stage {stage}')]}
    if stage == 'maintenance':
        return info(machine.key, f'{machine.label} is in maintenance mode: it waits for a machine configuration', 'It is no node of any cluster yet.',
                    'Apply its configuration (talosctl apply-config --insecure).', explained_by=_troubles(machine), **more)
    explained = (NOT_BOOTSTRAPPED, NO_QUORUM, down(machine), kubelet_down(machine), stuck(machine), service_failed(machine), *_troubles(machine))
    if view.young(machine):
        return info(machine.key, title, 'Normal within ten minutes of a boot.', 'Gather again in a few minutes.', **more)
    if not blockers and not machine.log('machined').ok:
        return unknown(machine.key, f'{title}: what it waits for could not be read (log machined: {machine.log("machined").why()})',
                       nodes=[machine.key],
                       explained_by=(*explained, 'role'))
    unmet = [item for item in _unmet(machine) if item.get('name') in CONDITIONS_ELSEWHERE]
    if all(_elsewhere(view, machine, name) for name in blockers) and (blockers or unmet) or _reported(view, machine):
        return info(machine.key, title, 'The boot ends when these are up. After 70 minutes the machine restarts and tries again.',
                    'Repair what keeps them from starting; nothing is to be done about the boot itself.', explained_by=explained, **more)
    return error(machine.key, title, 'The boot ends when every service is up or finished. After 70 minutes the machine restarts and tries again.',
                 f'Read what it waits for: talosctl -n {machine.address or machine.label} logs machined.', explained_by=explained,
                 asserts=(f'boot_blocked:{machine.key}',), **more)


def _blockers(view, machine):
    """(ids of the services that the boot waits for, evidence): as it says itself every 15 s, else those that are neither up nor done."""
    told = [line for line in view.etcd.recent(machine, 'machined', _MOVING_ON) if _WAITS.search(line.text)]
    if told:
        return _SERVICE.findall(_WAITS.search(told[-1].text).group(1)), [view.etcd.quote(machine, 'machined', told[-1])]
    names, evidence = [], []
    for service in (machine.value('ServiceList') or {}).get('services') or []:
        health = service.get('health') or {}
        up = service.get('state') in ('Finished', 'Skipped') or service.get('state') == 'Running' and (health.get('unknown') or health.get('healthy'))
        if not up:
            names.append(service.get('id'))
            last = _events(service)[-1] if _events(service) else {}
            evidence.append(Evidence(f'{service.get("id")} {service.get("state")}: {last.get("msg") or ""}', 'ServiceList', machine.label,
                                     last.get('ts')))
    return names, evidence


def _elsewhere(view, machine, name):
    """Whether a section judges this service, or one of our own checks does."""
    service = view.service(machine, name) or {}
    return name in JUDGED_ELSEWHERE or service.get('state') == 'Failed' or service.get('state') == 'Running' \
        or bool(_events(service)) and _CONFIGURATION in str(_events(service)[-1].get('msg'))


def _reported(view, machine):
    """Whether another section reports something of this machine that keeps it from coming up."""
    return any(v.rank(outcome.verdict) >= v.rank(v.ERROR) and machine.key in outcome.nodes for key in ROOTS for outcome in view.judged(key))


def _unmet(machine):
    return ((machine.resource('MachineStatuses', 'machine') or {}).get('status') or {}).get('unmetConditions') or []


def _conditions(machine):
    return [seen(machine, 'MachineStatuses', f'{item.get("name")}: {item.get("reason")}') for item in _unmet(machine)]


def condition_unmet(view, machine):
    """A machine that has booted meets all conditions of its status; those that sections of the guide judge are judged there."""
    if view.stage(machine) != 'running':
        return not_applicable(machine.key, 'it has not finished its boot')
    odd = [item for item in _unmet(machine) if item.get('name') not in CONDITIONS_ELSEWHERE]
    if not odd:
        return ok(machine.key)
    said = listed(f'{item.get("name")} ({item.get("reason")})' for item in odd)
    raise_it = info if view.young(machine) else warning
    return raise_it(machine.key, f'{machine.label} is not ready: {said}', 'Talos itself says that the machine misses something.',
                    f'Look at talosctl -n {machine.address or machine.label} get machinestatus -o yaml.', nodes=[machine.key],
                    evidence=[seen(machine, 'MachineStatuses', f'{item.get("name")}: {item.get("reason")}') for item in odd],
                    explained_by=_troubles(machine))


CHECKS = (
    Check('health_checks.services_not_healthy', 'health_checks', 'Services beside etcd and kubelet are healthy', services_not_healthy, each=ALL,
          needs=('ServiceList',), reads=('MachineStatuses',), catalogue='EXT-SVC'),
    Check('health_checks.boot_not_finished', 'health_checks', 'All machines have finished their boot', boot_not_finished, each=ALL,
          needs=('MachineStatuses',), reads=('ServiceList',), logs=('machined',), catalogue='EXT-SVC'),
    Check('health_checks.condition_unmet', 'health_checks', 'Talos calls all machines ready', condition_unmet, each=ALL, needs=('MachineStatuses',),
          catalogue='EXT-SVC'),
    Check('health_checks.diagnostics', 'health_checks', 'Talos itself sees no problem', diagnostics, each=ALL, needs=('Diagnostics',),
          reads=('MachineStatuses',), catalogue='EXT-DIAG'),
)
