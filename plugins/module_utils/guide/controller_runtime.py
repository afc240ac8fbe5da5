# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Miscellaneous: controller runtime": a quiet log means that the machine is what it should be.

Controllers are restarted after half a second at first, later after a minute. Failing for a while is normal: a healthy
cluster keeps 53 failures of its bootstrap in that log. What another section already reports is not reported again.
"""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.guide.control_plane_static import RENDERERS
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, ordered
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import ALL, Check, Evidence, Threshold, critical, info, ok, unknown, warning
from ansible_collections.talosops.talos.plugins.module_utils.judge.controllers import LOG, failing
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import down, unreachable
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import kubelet_down
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time

ACQUIRE = 'config.AcquireController'

# The sections that judge what these controllers work on: where one of them says anything of the same machine, the
# failure is its evidence and no finding of its own.
JUDGED_ELSEWHERE = {
    'block.VolumeManagerController': ('system_requirements',),
    'cluster.DiscoveryServiceController': ('discovery.missing', 'network_configuration'),
    'cluster.KubernetesPullController': ('discovery.missing',),
    'cluster.KubernetesPushController': ('discovery.missing',),
    'etcd.SpecController': ('etcd.some_pre', 'etcd.all_pre', 'talos_api.subnet_conflict'),
    **dict.fromkeys(RENDERERS, ('controlplane.static_pods',)),
    'k8s.ExtraManifestController': ('controlplane.manifests',),
    'k8s.KubeletServiceController': ('kubelet.not_running',),
    'k8s.KubeletSpecController': ('kubelet.not_running',),
    'k8s.KubeletStaticPodController': ('kubelet.cert_errors', 'kubelet.not_running', 'controlplane.pod_status', 'controlplane.static_pods'),
    'k8s.ManifestApplyController': ('controlplane.manifests',),
    'k8s.NodeApplyController': ('kubelet.node_not_found', 'kubelet.not_running', 'kubelet.node_not_ready'),
    'k8s.NodeIPController': ('kubelet.wrong_internal_ip', 'talos_api.subnet_conflict'),
    'network.DNSResolveCacheController': ('network_configuration',),
    'network.OperatorSpecController': ('kubernetes_api.endpoint', 'network_configuration'),
    'secrets.APIController': ('talos_api.firewall', 'talos_api.subnet_conflict', 'x.time'),
    'time.SyncController': ('x.time',),
}
# An error that says no more than that etcd, the API or the network was not there; and the sections in which the reason is
# found: an error there anywhere in the cluster, a warning there of this machine.
_SYMPTOM = re.compile(r'connection refused|no route to host|network is unreachable|i/o timeout|context deadline exceeded|\bEOF\b|connection '
                      r'reset|timeout'
                      r'|etcdserver: |no sync for |currently unable|Unavailable|not yet ready|authorization error', re.IGNORECASE)
CLUSTER_ROOTS = ('etcd.all_pre', 'etcd.some_pre', 'etcd.alarm', 'etcd.quorum_lost', 'etcd.other', 'kubernetes_api.endpoint',
                 'controlplane.static_pods',
                 'controlplane.pod_status', 'talos_api.firewall', 'talos_api.subnet_conflict')
MACHINE_ROOTS = ('kubelet.not_running', 'network_configuration', 'system_requirements', 'x.time', 'x.upgrade', 'etcd.other', 'etcd.some_pre')

_UNDECODED = re.compile(r'failed to load config from STATE: (?:decode error: )?(?P<why>.+)|(?P<keys>unknown keys found during decoding: .+)')


# -- CTL-1 ------------------------------------------------------------------------------------------------------

def controller_failing(view):
    """No controller fails again and again, on a machine that has been up for ten minutes."""
    answering = view.snapshot.answering()
    if not answering:
        return unknown('cluster', 'whether controllers fail: no machine answered', explained_by=('not_judged',))
    found, outcomes = {}, []
    for machine in ordered(answering):
        if not machine.log(LOG).ok:
            outcomes.append(unknown(machine.key, f'whether controllers fail on {machine.label}: log {LOG}: {machine.log(LOG).why()}',
                                    nodes=[machine.key],
                                    explained_by=('role', 'not_judged')))
        elif not (view.young(machine) or view.signatures.young(machine) or view.in_progress(machine) or view.kubernetes.settling()):
            for controller in failing(view, machine):
                if controller.streak >= view.threshold('controller_runtime_failures') \
                        and controller.age <= view.threshold('controller_runtime_failing_seconds') \
                        and controller.name != ACQUIRE:
                    found.setdefault(controller.name, []).append((machine, controller))
    for name in sorted(found):
        outcomes += _failing(view, name, found[name])
    return outcomes or ok('cluster')


def _failing(view, name, failures):
    """The outcomes of a controller that fails on these machines."""
    ours = [(machine, one) for machine, one in failures if not _reported(view, JUDGED_ELSEWHERE.get(name, ()), machine, v.INFO)]
    if not ours:
        return []
    machines, last = [machine for machine, _one in ours], max((one for _machine, one in ours), key=lambda one: one.last)
    if any(view.young(machine) is None for machine in machines):
        return [unknown(name, f'whether the failures of the controller {name} on {listed(m.label for m in machines)} are those of the boot: '
                        'MachineStatuses was not read', nodes=[m.key for m in machines], explained_by=('role', 'not_judged'))]
    means = f'It tries again every minute at most. Last error: {last.error}'
    more = {'nodes': [machine.key for machine in machines], 'explained_by': _troubles(view, machines), 'evidence': [
        Evidence(f'{name} failed {one.count} times, last: {one.error}', f'log {LOG}', machine.label, format_time(one.last)) for machine, one in ours]}
    title = f'The controller {name} keeps failing on {listed(m.label for m in machines)}: {_short(last.error)}'
    if all(_SYMPTOM.search(one.error) for _machine, one in ours) and all(_root(view, machine) for machine in machines):
        return [info(name, title, means, 'Repair what is wrong with etcd, Kubernetes or the network first; it will then succeed by itself.', **more)]
    return [warning(name, title, f'{means}. What it is to bring about is missing on the machine until it succeeds.',
                    f'Read what it says: talosctl -n {machines[0].address or machines[0].label} logs {LOG} | grep {name}. A controller that fails '
                    'for ever has '
                    'input that it cannot use, most often something in the machine configuration, or misses a service that it asks.', **more)]


def _reported(view, sections, machine, least):
    """Whether one of these sections says at least that of this machine, or of the cluster as a whole."""
    return any(v.rank(outcome.verdict) >= v.rank(least) and outcome.verdict != v.UNKNOWN and (not outcome.nodes or machine.key in outcome.nodes)
               for key in sections for outcome in view.judged(key))


_MACHINE_FACTS = ('network', 'clock', 'disk_full', 'volume_failed', 'memory', 'no_address', 'subnet_conflict', 'boot_blocked')


def _root(view, machine):
    """Whether something else is reported that makes controllers of this machine fail."""
    return _reported(view, MACHINE_ROOTS, machine, v.WARNING) or any(v.rank(outcome.verdict) >= v.rank(v.ERROR)
                                                                     for key in CLUSTER_ROOTS for outcome in view.judged(key))


def _troubles(view, machines):
    facts = [fact for machine in machines for fact in (down(machine), kubelet_down(machine), *(f'{what}:{machine.key}' for what in _MACHINE_FACTS))]
    return (*view.kubernetes.troubles, *facts, *(unreachable(m) for m in view.snapshot.machines if not m.answered))


def _short(error, most=160):
    return error if len(error) <= most else error[:most - 1] + '…'


# -- config.* ---------------------------------------------------------------------------------------------------

def config_not_loaded(view, machine):
    """The machine could load the configuration that it had saved."""
    if not machine.log(LOG).ok:
        return unknown(machine.key, f'whether {machine.label} could load its configuration: log {LOG}: {machine.log(LOG).why()}', nodes=[machine.key],
                       explained_by=('role', 'not_judged'))
    controller = next((one for one in failing(view, machine) if one.name == ACQUIRE), None)
    said = controller and _UNDECODED.search(controller.error)
    if not said:
        return ok(machine.key)
    stage = view.stage(machine)
    if stage == 'running':
        return ok(machine.key)  # somebody applied it anew
    if stage is None:
        return unknown(machine.key, f'whether {machine.label} has a configuration: it could not load the saved one, and its stage was not read',
                       nodes=[machine.key], explained_by=('role', 'not_judged'))
    why = said.group('why') or said.group('keys')
    newer = 'unknown keys' in why
    means = ('The configuration was made for a newer Talos than this machine runs: it knows not all of its keys.' if newer else
             'The configuration on the disk is damaged.') + ' The machine cannot boot further, and restarting it does not help.'
    step = ('Boot the newer version again (talosctl rollback, or upgrade), or apply a configuration generated for this version.' if newer else
            'Apply the configuration again while the machine is in maintenance mode (talosctl apply-config --insecure); keep what is left of the '
            'old one.')
    return critical(machine.key, f'{machine.label} cannot load its machine configuration: {_short(why)}', means, step, nodes=[machine.key],
                    evidence=[Evidence(f'{ACQUIRE}: {controller.error}', f'log {LOG}', machine.label, format_time(controller.last))],
                    asserts=(f'boot_blocked:{machine.key}',), explained_by=(f'volume_failed:{machine.key}',))


CHECKS = (
    Check('controller_runtime.controller_failing', 'misc.controller_runtime', 'The controllers have settled', controller_failing,
          reads=('MachineStatuses',), logs=(LOG,), catalogue='CTL-1', thresholds={
              'controller_runtime_failures': Threshold(5, 'count', 'how often a controller fails before it counts'),
              'controller_runtime_failing_seconds': Threshold(300, 's', 'how long ago the last failure of a controller may be to count')}),
    Check('controller_runtime.config_not_loaded', 'misc.controller_runtime', 'The machine configuration could be loaded', config_not_loaded, each=ALL,
          reads=('MachineStatuses',), logs=(LOG,), catalogue='CTL-1'),
)
