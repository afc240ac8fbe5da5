# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "kubelet is not running": the service on every machine, workers too (which talosctl health leaves out, edge-cases 62)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_start_causes import cause_of, event
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import seen
from ansible_collections.talosops.talos.plugins.module_utils.judge import support_matrix
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, Check, Threshold, error, info, not_applicable, ok, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import kubelet_down

SECTION = 'kubelet.not_running'
RESTARTS = 'kubelet_restarts'
START_SECONDS = 'kubelet_start_seconds'
UNHEALTHY_SECONDS = 'kubelet_unhealthy_seconds'
_RESTART_AFTER = 15
_EXITS_WINDOW = 900


def not_running(view, machine):
    """The kubelet runs and is healthy; exits before the last successful health check are history."""
    facts, nodes = view.kubelet, [machine.key]
    service = facts.service(machine)
    if service is None:
        return _not_listed(view, machine)
    if facts.runs(machine):
        return _exits(view, machine)
    cause, crashes = cause_of(view, machine), facts.crashes(machine)
    title = f'kubelet does not run on {machine.label}: {cause.what}'
    if service.get('state') == 'Running':
        title = f'kubelet is not healthy on {machine.label}: {cause.what}'
    more = {'nodes': nodes, 'evidence': cause.evidence + _version_evidence(view, machine)}
    loops = len(crashes) >= view.threshold(RESTARTS)
    lasting = cause.lasting and not crashes or loops
    if not lasting and (_settling(view, machine) or _started_just_now(view, machine)):
        means = f'{machine.label} is {view.stage(machine)}, for which Talos stops it.' if view.in_progress(machine) else \
            f'{cause.means} It was started a short while ago, and may still come up.'
        return info(machine.key, title, means, 'Gather again in a few minutes.', **more)
    means = [cause.means, _consequence(machine), _unsupported(view, machine)]
    step = ' '.join(filter(None, [_version_step(view, machine), cause.next_step]))
    more |= {'asserts': (kubelet_down(machine),), 'explained_by': cause.explained_by, 'remedy': _remedy(view, machine)}
    age = facts.seconds_since(crashes[-1]) if crashes else None
    if crashes and not loops and age is not None and age < _RESTART_AFTER:
        return warning(machine.key, f'kubelet has just ended on {machine.label} and is being restarted: {cause.what}', ' '.join(filter(None, means)),
                       f'Gather again in a minute. {step}', **more)
    return error(machine.key, title, ' '.join(filter(None, means)), step, **more)


def _consequence(machine):
    if machine.is_control_plane:
        return 'Without it the control plane pods of this node do not run, and its Node is not Ready.'
    return 'Without it no pod runs on this node, and its Node is not Ready.'


def _settling(view, machine):
    return bool(view.kubernetes.settling(machine)) or view.in_progress(machine)


def _started_just_now(view, machine):
    """The present attempt to start is young, or its health check has failed for a moment only.

    A service that failed, or was stopped for good, is not being started.
    """
    facts = view.kubelet
    if facts.state(machine) in ('Failed', 'Skipped') or facts.crashes(machine):
        return False
    begun = [event for event in facts.events(machine) if event.msg.startswith('Started task') or event.state == 'Starting']
    age = facts.seconds_since(begun[-1] if begun else None)
    if age is not None and age < view.threshold(START_SECONDS):
        return True
    age = facts.seconds_since(facts.last_event(machine))
    return facts.state(machine) in ('Running', 'Stopping', 'Finished') and age is not None and age < view.threshold(UNHEALTHY_SECONDS)


def _remedy(view, machine):
    """A start or restart helps where Talos does not try by itself, or where the kubelet hangs."""
    state = view.kubelet.state(machine)
    if state in ('Failed', 'Finished') or (state == 'Running' and not view.kubelet.crashes(machine)):
        return {'name': 'kubelet_restart', 'args': {'node': machine.key}}
    return None


def _exits(view, machine):
    """A kubelet that runs now and has ended again and again before."""
    exits = view.kubelet.exits(machine, _EXITS_WINDOW)
    if len(exits) < view.threshold(RESTARTS) or _settling(view, machine):
        return ok(machine.key, nodes=[machine.key])
    return warning(machine.key, f'kubelet on {machine.label} runs, but has ended {len(exits)} times in the last quarter of an hour',
                   'Each time it is started anew; its Node may change between Ready and not Ready.',
                   f'Read its log: talosctl -n {machine.address or machine.label} logs kubelet --tail 200.', nodes=[machine.key],
                   evidence=event(machine, exits[-1]))


def _not_listed(view, machine):
    stage, nodes = view.stage(machine), [machine.key]
    if stage == 'maintenance':
        return not_applicable(machine.key, 'in maintenance mode no services of the cluster run', nodes=nodes)
    configs = machine.value('NodeIPConfigs')
    if view.kubernetes.absent or (stage == 'running' and configs is not None and not configs):
        return not_applicable(machine.key, f'{machine.label} is no node of a Kubernetes cluster', nodes=nodes)
    evidence = [seen(machine, 'ServiceList', 'no service "kubelet"')]
    if view.young(machine) or view.in_progress(machine):
        return info(machine.key, f'kubelet is not listed yet on {machine.label} (stage {stage})', 'The boot has not come that far.',
                    'Gather again in a few minutes.', nodes=nodes, evidence=evidence)
    return error(machine.key, f'{machine.label} has no service kubelet (stage {stage})',
                 'Its boot stopped before the services of the cluster were made, most often at a volume that failed.',
                 'Look at talosctl get volumestatus and talosctl logs machined of this node.', nodes=nodes, evidence=evidence,
                 asserts=(kubelet_down(machine),), explained_by=(f'volume_failed:{machine.key}', f'boot_blocked:{machine.key}'))


# -- KUB-3, EXT-VER: versions -----------------------------------------------------------------------------------

def _versions(view, machine):
    """(Talos, kubelet, API server) as they are known, each None where it is not."""
    talos = ((machine.value('Version') or {}).get('version') or {}).get('tag')
    server = view.kubernetes.datum('version')
    return talos, view.kubelet.version(machine), (server.value or {}).get('gitVersion') if server.ok else None


def _unsupported(view, machine):
    """What is wrong with the version of a kubelet that does not run; the version of one that runs belongs to the upgrades."""
    talos, kubelet, server = _versions(view, machine)
    if support_matrix.supports(talos, kubelet) is False:
        first, last = support_matrix.kubernetes_range(talos)
        return f'Its version {kubelet} is not supported by Talos {talos}, which is made for {first} to {last}.'
    if support_matrix.kubelet_fits(kubelet, server) is False:
        behind = support_matrix.KUBELET_BEHIND
        return f'Its version {kubelet} does not fit the API server {server}: a kubelet may be {behind} minors older, never newer.'
    return ''


def _version_step(view, machine):
    return 'Set machine.kubelet.image to a version that fits.' if _unsupported(view, machine) else ''


def _version_evidence(view, machine):
    if not _unsupported(view, machine):
        return []
    talos, kubelet, server = _versions(view, machine)
    return [seen(machine, 'Version', f'Talos {talos}, kubelet {kubelet}, API server {server or "not known"}')]


CHECKS = (
    Check('kubelet.not_running', SECTION, 'The kubelet runs and is healthy', not_running, each=ALL, needs=('ServiceList',),
          reads=('MachineStatuses', 'NodeIPConfigs', 'Version', 'KubeletSpecs', 'KubeletStatuses', 'ImageList'),
          logs=('machined', 'controller-runtime', 'kubelet'),
          cluster_reads=('version',), catalogue='KUB-1 KUB-2 KUB-3 EXT-VER', remedy='kubelet_restart', thresholds={
              RESTARTS: Threshold(3, 'count', 'exits of the kubelet within five minutes that make a crash loop'),
              START_SECONDS: Threshold(120, 's', 'how long the kubelet may take to start'),
              UNHEALTHY_SECONDS: Threshold(30, 's', 'how long the health check of a kubelet that runs may fail')}),
)
