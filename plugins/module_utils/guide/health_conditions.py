# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The conditions of C(talosctl health), in its order and words, worked out from what our checks say (check catalogue 11).

Nothing is judged here: a condition is met where the checks that look at the same find nothing. So all of them are told,
not only up to the first that fails; each with its nodes; the kubelet on workers too; members by each node's own list;
static pods by their readiness; and none needs os:admin. A cordon does not fail its condition. One condition is ours:
alarms of etcd, which talosctl does not see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import PRESENT, addresses_of, listed, ordered, presence
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import ok
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import Judged
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import CONTROL_PLANE, WORKER
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import UNKNOWN as TYPE_UNKNOWN

OK, NOT_MET, SKIPPED, UNKNOWN = 'ok', 'not_met', 'skipped', 'unknown'
ALL, PLANES, CLUSTER = 'all', 'control_planes', 'cluster'

# What is looked at beside what the checks read.
READS = ('MachineConfigs', 'BootstrapManifestsConfigs', 'daemonsets', 'deployments')
TITLES_MOST = 3


@dataclass(frozen=True)
class Condition:
    """C(name): as talosctl words it. C(checks): ids of the checks that judge it.

    C(of): whose machines count; of ALL and PLANES one that does not answer leaves the condition unknown, of CLUSTER its own
    checks say so. C(calm): checks whose information does not mean "not yet". C(from_error): checks that count from an
    error on. C(beside): checks that only add to the others: what they could not see is told, and does not leave it unknown.
    C(subject): only outcomes on this subject. C(each_machine): a machine on which a check did not apply is unknown.
    C(may_not_apply): the condition is skipped where no check applies; else that means "not yet". C(skip(view)) says why it
    does not apply, or None; C(excuse(view)) why it is skipped where it is not met; C(missing(view)) what must come before it can be met.
    """

    key: str
    name: str
    checks: tuple
    of: str = ALL
    calm: tuple = ()
    from_error: tuple = ()
    beside: tuple = ()
    subject: str | None = None
    each_machine: bool = False
    may_not_apply: bool = False
    skip: Callable | None = None
    excuse: Callable | None = None
    missing: Callable | None = None


def _no_kubernetes(view):
    """A machine that boots has no kubelet yet: then nobody knows whether there will be Kubernetes."""
    if view.kubernetes.absent and all(view.stage(machine) == 'running' for machine in view.snapshot.answering()):
        return 'there is no Kubernetes'
    return None


def _no_cni(view):
    """talosctl waits for neither Nodes nor CoreDNS where the configuration says C(cni: none) (check catalogue 11)."""
    names = {(((spec.get('v1alpha1') or {}).get('cluster') or {}).get('network') or {}).get('cni', {}).get('name')
             for machine in view.answering_control_planes for spec in [machine.resource('MachineConfigs', 'v1alpha1')] if isinstance(spec, dict)}
    return 'the machine configuration says cni: none, whoever installs one decides when Nodes become Ready' if 'none' in names else None


def _is_there(view, kind, name):
    """Whether there is such a workload that wants pods; None where they were not listed."""
    found = view.kubernetes.listed(kind)
    return None if found is None else any(each['name'] == name and each['wanted'] for each in found)


def _comes(view, switch):
    """Whether a workload that is not there may still be made: in the first ten minutes, unless it is switched off."""
    switches = {bool(spec.get(switch)) for machine in view.answering_control_planes for spec in [machine.resource('BootstrapManifestsConfigs')]
                if isinstance(spec, dict) and switch in spec}
    return view.kubernetes.settling() and switches != {False}


def _absent(kind, name, called, switch):
    def skip(view):
        gone = _is_there(view, kind, name) is False and not _comes(view, switch)
        return _no_kubernetes(view) or (f'there is no {called}' if gone else None)
    return skip


def _missing(kind, name, called, switch):
    def missing(view):
        return f'the {called} is not there yet' if _is_there(view, kind, name) is False and _comes(view, switch) else None
    return missing


_PROXY = ('daemonsets', 'kube-proxy', 'DaemonSet kube-proxy', 'proxyEnabled')
_DNS = ('deployments', 'coredns', 'Deployment coredns', 'coreDNSEnabled')

CONDITIONS = (
    Condition('etcd', 'etcd to be healthy', (
        'etcd.not_bootstrapped', 'etcd.all_in_pre', 'etcd.stuck_in_pre', 'etcd.crash_loop', 'etcd.service_not_healthy', 'etcd.quorum_lost',
        'etcd.members_not_answering', 'etcd.learner_stuck', 'talos_api.machine_unreachable'), PLANES, calm=('etcd.crash_loop',)),
    Condition('etcd_members_consistent', 'etcd members to be consistent across nodes', ('etcd.members_differ',), CLUSTER),
    Condition('etcd_members_control_plane', 'etcd members to be control plane nodes', (
        'etcd.member_not_control_plane', 'etcd.member_stale', 'etcd.on_worker'), CLUSTER, from_error=('etcd.member_stale',)),
    Condition('apid', 'apid to be ready', ('talos_api.nothing_reached', 'talos_api.machine_unreachable', 'talos_api.apid_not_healthy')),
    Condition('memory', 'all nodes memory sizes', ('system_requirements.memory_small',), calm=('system_requirements.memory_small',),
              may_not_apply=True),
    Condition('disk', 'all nodes disk sizes', ('system_requirements.disk_small',), from_error=('system_requirements.disk_small',),
              may_not_apply=True),
    Condition('diagnostics', 'no diagnostics', (
        'health_checks.diagnostics', 'talos_api.subnet_conflict', 'network_configuration.address_lost', 'kubelet.serving_certificate_missing'),
        calm=('talos_api.subnet_conflict', 'network_configuration.address_lost'), from_error=('talos_api.subnet_conflict',)),
    Condition('kubelet', 'kubelet to be healthy', ('kubelet.not_running',), skip=_no_kubernetes),
    Condition('boot', 'all nodes to finish boot sequence', ('health_checks.boot_not_finished', 'upgrade.stage_stuck')),
    Condition('nodes_registered', 'all k8s nodes to report', ('kubelet.node_not_found', 'kubelet.node_stale'), CLUSTER,
              beside=('kubelet.node_stale',), skip=_no_kubernetes),
    Condition('static_pods', 'all control plane static pods to be running', (
        'controlplane.static_pod_missing', 'controlplane.static_pod_not_run'), PLANES, each_machine=True, skip=_no_kubernetes),
    Condition('control_plane', 'all control plane components to be ready', (
        'controlplane.component_down', 'kubernetes_api.server_down'), PLANES, each_machine=True, skip=_no_kubernetes),
    Condition('nodes_ready', 'all k8s nodes to report ready', (
        'kubelet.node_not_ready', 'kubelet.node_status_not_ready', 'kubelet.node_not_found'), CLUSTER, skip=_no_kubernetes, excuse=_no_cni),
    Condition('kube_proxy', 'kube-proxy to report ready', ('controlplane.system_pods_down', 'controlplane.addon_not_running'), CLUSTER,
              subject='kube-system/kube-proxy', skip=_absent(*_PROXY), missing=_missing(*_PROXY)),
    Condition('coredns', 'coredns to report ready', ('controlplane.system_pods_down', 'controlplane.addon_not_running'), CLUSTER,
              subject='kube-system/coredns', skip=_absent(*_DNS), missing=_missing(*_DNS), excuse=_no_cni),
    Condition('schedulable', 'all k8s nodes to report schedulable', ('health_checks.cordoned',), CLUSTER, calm=('health_checks.cordoned',),
              skip=_no_kubernetes),
    Condition('etcd_alarms', 'etcd to have no alarms', ('etcd.alarm_nospace', 'etcd.alarm_corrupt'), CLUSTER),
)
KEYS = tuple(condition.key for condition in CONDITIONS)
BY_KEY = {condition.key: condition for condition in CONDITIONS}


@dataclass(frozen=True)
class Expected:
    """The nodes that count: names or addresses, instead of those that discovery, etcd and Kubernetes know; both empty for those."""

    control_planes: tuple = ()
    workers: tuple = ()

    def __bool__(self):
        return bool(self.control_planes or self.workers)


def conditions(snapshot, settings, checks, keys=KEYS, left_out=(), expected=Expected()):
    """[{condition, name, state, nodes, reason, findings}] of the conditions in C(keys), in talosctl's order.

    C(checks) judge the snapshot with C(settings); C(findings) are the ids that their findings have in the report. C(left_out):
    keys that are not waited for.
    """
    view = View(snapshot, settings)
    teller = _Teller(view, Judged(checks, view), checks, expected)
    return [teller.skipped(condition, 'left out by checks_skipped') if condition.key in left_out else teller.tell(condition)
            for condition in CONDITIONS if condition.key in keys]


def met(told):
    """Whether all of these conditions hold, or do not apply; unknown is not met."""
    return all(one['state'] in (OK, SKIPPED) for one in told)


class _Teller:
    """Conditions of one snapshot. An outcome stands here with its check: [(Check, Outcome)]."""

    def __init__(self, view, outcomes_of, checks, expected):
        self.view = view
        self.outcomes_of = outcomes_of
        self.checks = {check.id: check for check in checks}
        self.expected = expected
        self.machines, self.strangers, self.misfits = self._machines()

    def skipped(self, condition, reason):
        return self._told(condition, SKIPPED, (), reason)

    def tell(self, condition):
        reason = condition.skip(self.view) if condition.skip else None
        if reason:
            return self.skipped(condition, reason)
        said = [(check, outcome) for check in self._of(condition) for outcome in self._said(condition, check)]
        bad = [(check, outcome) for check, outcome in said if _fails(condition, check, outcome)]
        if condition.key == 'apid' and self.strangers or condition.key == 'etcd' and self.misfits:
            return self._not_as_named(condition, bad)
        if condition.of == PLANES and self.expected and not self._in_scope(condition):
            return self.skipped(condition, 'no control plane node was named')
        missing = condition.missing(self.view) if condition.missing else None
        if bad or missing:
            reason = condition.excuse(self.view) if condition.excuse else None
            return self.skipped(condition, reason) if reason else self._told(condition, NOT_MET, bad, None if bad else missing)
        unseen = [(check, outcome) for check, outcome in said if outcome.verdict == v.UNKNOWN and not check.sharpens
                  and check.id not in condition.beside]
        if unseen:
            return self._told(condition, UNKNOWN, unseen)
        silent = [machine for machine in self._in_scope(condition) if not machine.answered]
        if silent:
            return self._told(condition, UNKNOWN, (), f'{listed(m.label for m in silent)} {"does" if len(silent) == 1 else "do"} not answer',
                              [machine.label for machine in silent])
        return self._quiet(condition, said)

    def _quiet(self, condition, said):
        """A condition against which nothing speaks: met, where something speaks for it."""
        late = [(check, outcome) for check, outcome in said if condition.each_machine and outcome.verdict == v.NOT_APPLICABLE
                and outcome.subject in {machine.key for machine in self._in_scope(condition)}]
        if late and not self.view.not_bootstrapped:
            return self._told(condition, UNKNOWN, late)
        verdicts = {outcome.verdict for _check, outcome in said}
        if verdicts - {v.UNKNOWN, v.NOT_APPLICABLE}:
            notes = [(check, outcome) for check, outcome in said if outcome.verdict == v.INFO
                     or outcome.verdict == v.UNKNOWN and check.id in condition.beside]
            return self._told(condition, OK, notes)
        if self.view.not_bootstrapped:
            return self._told(condition, NOT_MET, (), 'the cluster has not been bootstrapped')
        if v.NOT_APPLICABLE in verdicts and condition.may_not_apply and v.UNKNOWN not in verdicts:
            return self.skipped(condition, next(outcome.title for _check, outcome in said) or 'it does not apply to these machines')
        return self._told(condition, UNKNOWN, said, None if said else 'no check judges it')

    def _not_as_named(self, condition, bad):
        """Nodes that were named and are not there, or are not what they were named as."""
        names, what = (self.strangers, 'no such machine is known') if condition.key == 'apid' else (self.misfits, 'it is a node of the other kind')
        told = self._told(condition, NOT_MET, bad)
        parts = [f'{listed(names)}: {what}', *([told['reason']] if told['reason'] else [])]
        return {**told, 'nodes': [*names, *told['nodes']], 'reason': '; '.join(parts)}

    def _of(self, condition):
        return [self.checks[name] for name in condition.checks if name in self.checks]

    def _said(self, condition, check):
        """The outcomes of a check that are about the condition.

        A check that names only what is wrong has nothing against a subject that it does not name.
        """
        outcomes = self.outcomes_of(check)
        about = [outcome for outcome in outcomes if self._counts(condition, outcome)]
        if condition.subject and not about and any(outcome.verdict not in (v.UNKNOWN, v.NOT_APPLICABLE) for outcome in outcomes):
            return [ok(condition.subject)]
        return about

    def _counts(self, condition, outcome):
        """Whether an outcome is about what the condition looks at."""
        if condition.subject and outcome.subject not in (condition.subject, 'cluster'):
            return False
        if not outcome.nodes or condition.of != PLANES and not self.expected:
            return True
        scope = self._in_scope(condition) if condition.of == PLANES else self.machines
        return bool({machine.key for machine in scope} & set(outcome.nodes))

    def _in_scope(self, condition):
        """The machines that must answer."""
        if condition.of == CLUSTER:
            return []
        if condition.of == ALL:
            return self.machines
        return [machine for machine in self.machines if machine.is_control_plane or self._named(machine, self.expected.control_planes)]

    def _machines(self):
        """(machines that count, names of nodes that are no machine, names of machines that are of the other kind)."""
        if not self.expected:
            return [machine for machine in ordered(self.view.snapshot.machines) if presence(self.view, machine) == PRESENT], [], []
        machines, strangers, misfits = [], [], []
        for names, kind in ((self.expected.control_planes, CONTROL_PLANE), (self.expected.workers, WORKER)):
            for name in names:
                found = [machine for machine in self.view.snapshot.machines if self._named(machine, (name,))]
                machine = next((one for one in found if one.answered), next(iter(found), None))
                if machine is None:
                    strangers.append(name)
                    continue
                machines.append(machine)
                if machine.type not in (kind, TYPE_UNKNOWN):
                    misfits.append(name)
        return machines, strangers, misfits

    def _named(self, machine, names):
        wanted = {normal(name) for name in names}
        return bool(wanted & (addresses_of(self.view, machine) | {normal(machine.name or ''), machine.key}))

    def _told(self, condition, state, said, reason=None, nodes=None):
        said = sorted(said, key=lambda item: -v.rank(item[1].verdict))
        titles = list(dict.fromkeys(outcome.title for _check, outcome in said if outcome.title))
        if reason is None and titles:
            reason = '; '.join(titles[:TITLES_MOST]) + (f'; and {len(titles) - TITLES_MOST} more' if len(titles) > TITLES_MOST else '')
        if nodes is None:
            scope = {machine.key for machine in self._in_scope(condition)}
            keys = list(dict.fromkeys(key for _check, outcome in said for key in outcome.nodes or [outcome.subject]))
            known = [key for key in keys if self.view.snapshot.machine(key)]
            nodes = [self.view.label(key) for key in known if not scope or key in scope]
        return {'condition': condition.key, 'name': condition.name, 'state': state, 'nodes': nodes, 'reason': reason,
                'findings': [f'{check.id}/{outcome.subject}' for check, outcome in said if v.rank(outcome.verdict) > v.rank(v.OK)]}


def _fails(condition, check, outcome):
    least = v.ERROR if check.id in condition.from_error else v.WARNING if check.id in condition.calm else v.INFO
    return outcome.verdict != v.UNKNOWN and v.rank(outcome.verdict) >= v.rank(least)
