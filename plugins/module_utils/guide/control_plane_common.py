# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of the control plane share: when a node is to be judged at all, and what explains its faults.

The order of dependence is etcd, kube-apiserver, then kube-controller-manager and kube-scheduler, then the rest
(guide, "Kubernetes Control Plane").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Evidence, not_applicable
from ansible_collections.talosops.talos.plugins.module_utils.judge.component_facts import API_SERVER
from ansible_collections.talosops.talos.plugins.module_utils.judge.controllers import LOG, failing
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOSPACE, NOT_BOOTSTRAPPED, down
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import API_DOWN, CORRUPT, api_server_down, kubelet_down
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time, parse_time

# How the section of a component's arguments is called in the machine configuration.
CONFIG_KEYS = {'kube-apiserver': 'cluster.apiServer', 'kube-controller-manager': 'cluster.controllerManager', 'kube-scheduler': 'cluster.scheduler'}
LOG_LINES = 200
AFTERMATH_SECONDS = 900


def nothing_to_judge(view, machine):
    """The outcome for a control plane node on which no Kubernetes is to be expected, else None."""
    if view.not_bootstrapped:
        return not_applicable(machine.key, 'the cluster has not been bootstrapped')
    if view.kubernetes.absent:
        return not_applicable(machine.key, 'the cluster runs no Kubernetes')
    return None


def settling(view, machine):
    """G3, G5: what is missing may still come."""
    return view.in_progress(machine) or view.kubernetes.settling(machine)


def why_settling(view, machine):
    """The sentence for a node that C(settling) holds of."""
    return f'{machine.label} is {view.stage(machine)}.' if view.in_progress(machine) else 'The node, or the cluster, is young.'


def etcd_was_sick(view):
    """etcd of a control plane node was not healthy until a short while ago: components end until it is, and API servers are not ready (rec).

    None where that was not seen.
    """
    changes = [parse_time(((view.etcd.service(machine) or {}).get('health') or {}).get('last_change')) for machine in view.answering_control_planes]
    if any(since is not None and (view.now - since).total_seconds() < AFTERMATH_SECONDS for since in changes):
        return True
    return None if any(not machine.datum('ServiceList').ok for machine in view.answering_control_planes) else False


def upstream(machine, component):
    """The facts that explain why a component of a node does not run."""
    own = (kubelet_down(machine), f'image_pull:{machine.key}', f'disk_full:{machine.key}', f'memory:{machine.key}', f'clock:{machine.key}',
           f'volume_failed:{machine.key}')
    etcd = (NOT_BOOTSTRAPPED, NO_QUORUM, NOSPACE, CORRUPT, down(machine))
    return (*etcd, *own) if component == API_SERVER else (*etcd, api_server_down(machine), API_DOWN, *own)


# -- Talos's controllers ----------------------------------------------------------------------------------------

def failing_now(view, machine, *controllers):
    """Those of these controllers that have failed in the last five minutes (judge/controllers.py)."""
    return [one for one in failing(view, machine) if one.name in controllers and not one.settled]


def failure(machine, one):
    """A failing controller as evidence."""
    return Evidence(f'{one.name} failed {one.count} times, last: {one.error}', f'log {LOG}', machine.label, format_time(one.last))


# -- why a component does not run (CP-4) --------------------------------------------------------------------------

@dataclass(frozen=True)
class Cause:
    """What a line of a component's own log says: C(what) and C(step) are formatted with the pattern's groups."""

    pattern: re.Pattern
    what: str
    step: str


def _cause(pattern, what, step):
    return Cause(re.compile(pattern), what, step)


_ARGUMENTS = ('Undo it in {config}.extraArgs of the machine configuration of this node (talosctl edit machineconfig, no reboot needed). Change one control '
              'plane node at a time and wait until the component is ready there.')
_STORAGE = 'Look at etcd of this node first: talosctl -n {node} service etcd, talosctl -n {node} logs etcd.'
_API = 'Look at kube-apiserver of this node first: it must serve before this component can run.'

# The first that matches is the most telling; texts of Kubernetes 1.36 and etcd 3.6 (check catalogue CP-4).
_CAUSES = (
    _cause(r'unknown flag: --(?P<flag>[\w-]+)', 'it does not know the argument --{flag}', _ARGUMENTS),
    _cause(r'invalid argument "(?P<value>[^"]*)" for "(?:-\w, )?--(?P<flag>[\w-]+)"', 'the value "{value}" of --{flag} is not valid', _ARGUMENTS),
    _cause(r'unrecognized feature gate: (?P<gate>[\w-]+)', 'it does not know the feature gate {gate}', _ARGUMENTS),
    _cause(r'no matching key was found for the provided (?P<provider>\w+) transformer|no matching prefix found', 'it cannot decrypt what is stored in etcd',
           'Put the former secretbox or aescbc key, with its name, back into the machine configuration. Delete nothing: the data is intact.'),
    _cause(r'unable to load server certificate|unable to load (?:client )?CA|failed to load (?:x509 )?key ?pair', 'it cannot load its certificates',
           'Look at the controllers that render secrets: talosctl -n {node} logs controller-runtime.'),
    _cause(r'strict decoding error|unknown field "|error loading config file|failed to load (?:config|configuration)',
           'it refuses a configuration file that was given to it',
           'Correct the admission control, audit, authorization or scheduler configuration in {config} of this node.'),
    _cause(r'database space exceeded', 'etcd refuses every write (its database is full)', 'Clear the alarm of etcd first.'),
    _cause(r'(?:127\.0\.0\.1|\[::1\]|localhost):2379\S*.*(?:connection refused|deadline exceeded|handshake failed)'
           r'|failed to create storage backend|etcdserver: no leader|error while dialing.*2379', 'it does not reach etcd of its node', _STORAGE),
    _cause(r'(?:127\.0\.0\.1|\[::1\]|localhost):(?:6443|7445)\S*.*(?:connection refused|EOF|deadline exceeded)', 'it does not reach the API server', _API),
    _cause(r'leaderelection lost|leader election lost|failed to renew lease', 'it lost its lease, which it could not renew in time',
           'Look at etcd and at kube-apiserver of this node: slow answers make leases run out.'),
    _cause(r'Unauthorized', 'the API server refuses its credentials', 'Compare the clocks and the Kubernetes CA of the control plane nodes.'),
)


def cause_in_log(view, machine, component):
    """(what, step, Evidence) of the most telling line at the end of a component's log; None where none tells anything."""
    log_id, text = view.components.log(machine, component)
    lines = text.splitlines()[-LOG_LINES:]
    for cause in _CAUSES:
        for line in reversed(lines):
            match = cause.pattern.search(line.replace('\\"', '"'))
            if match:
                words = {'config': CONFIG_KEYS[component], 'node': machine.address or machine.label,
                         **{name: value or '' for name, value in match.groupdict().items()}}
                return cause.what.format(**words), cause.step.format(**words), Evidence(line, f'log {log_id}', machine.label, _stamp(line))
    return None


def _stamp(line):
    """The CRI's stamp in front of a line, or None."""
    found = re.match(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z', line)
    return found.group(0) if found else None
