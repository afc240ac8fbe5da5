# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Other Control Plane Components": kube-proxy, CoreDNS and the rest of kube-system, by Kubernetes, else by the CRI of each machine.

A pod on a Node that is not Ready is the kubelet's section's matter, and so is the Node of a machine that is gone. Static pods are judged
before, from what their own machine says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TIMED_OUT, UNREACHABLE
from ansible_collections.talosops.talos.plugins.module_utils.guide.control_plane_common import settling
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, ordered, seen, span
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Evidence, Threshold, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOSPACE
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import (
    API_DOWN, CORRUPT, SYSTEM, condition, kubelet_down, no_cni, node_ready, not_ready,
)
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.objects import SYSTEM_NAMESPACES

SECTION = 'controlplane.other'
PENDING_SECONDS = 'controlplane_pod_pending'
RESTARTS = 'controlplane_pod_restarts'
BACKOFF_SECONDS = 120
RESTART_SECONDS = 600
CONFIG = 'BootstrapManifestsConfigs'

# Reasons for which a container waits that do not pass by themselves.
_FAILING = ('CrashLoopBackOff', 'ImagePullBackOff', 'ErrImagePull', 'InvalidImageName', 'CreateContainerConfigError', 'CreateContainerError',
            'RunContainerError', 'ErrImageNeverPull')
_IMAGE = ('ImagePullBackOff', 'ErrImagePull', 'InvalidImageName', 'ErrImageNeverPull')
_REPLICA_SET = re.compile(r'-[0-9a-z]{5,10}$')
_NO_NODE = re.compile(r'not-ready|unreachable|network-unavailable|no Node is ready')


@dataclass
class Bad:
    """A pod that should run and does not; C(why) in words, C(lasting): it has been so for longer than a start takes."""

    pod: dict
    why: str
    lasting: bool
    image: bool = False


@dataclass
class Workload:
    """What belongs together: the pods of a DaemonSet, of a Deployment, or one alone."""

    kind: str | None
    name: str
    bad: list = field(default_factory=list)
    good: int = 0
    waiting: list = field(default_factory=list)


# -- CP-6, KUB-13 -----------------------------------------------------------------------------------------------

def system_pods_down(view):
    """The pods of kube-system on Ready Nodes are ready; by what Kubernetes says."""
    facts = view.kubernetes
    if view.not_bootstrapped or facts.absent:
        return not_applicable('cluster', 'there is no Kubernetes yet' if view.not_bootstrapped else 'the cluster runs no Kubernetes')
    if facts.pods is None or facts.nodes is None:
        return facts.unread('the pods of kube-system', 'pods', 'nodes')
    if view.components.quorum_lost:
        return unknown('cluster', 'the pods of kube-system: without a leader of etcd what Kubernetes says of them stands still', explained_by=(NO_QUORUM,))
    outcomes = [_judged(view, workload) for workload in _workloads(view).values() if workload.bad or workload.waiting]
    outcomes += [_empty(view, each) for each in facts.listed('deployments') or [] if _has_no_pod(view, each)]
    return outcomes or ok('cluster', title=f'{sum(pod["namespace"] == SYSTEM for pod in facts.pods)} pods in kube-system')


def _workloads(view):
    found = {}
    for pod in view.kubernetes.pods:
        if pod['namespace'] != SYSTEM or pod['deleted'] or pod['phase'] == 'Succeeded' or (pod['owner'] or {}).get('kind') in ('Node', 'Job'):
            continue
        node = next((node for node in view.kubernetes.nodes if node['name'] == pod['node']), None)
        if pod['node'] and (node is None or node_ready(node)[0] != 'True' or _is_silent(view, node)):
            continue
        kind, name = _owner(pod)
        workload = found.setdefault(name, Workload(kind, name))
        bad = _bad(view, pod)
        if bad is None:
            workload.good += condition(pod, 'Ready').get('status') == 'True'
        elif not pod['node'] and _waits_for_nodes(view, pod):
            workload.waiting.append(bad)
        else:
            workload.bad.append(bad)
    return found


def _is_silent(view, node):
    machine = view.kubernetes.machine_of(node)
    return machine is not None and not machine.answered


def _owner(pod):
    owner = pod['owner'] or {}
    if owner.get('kind') == 'ReplicaSet':
        return 'Deployment', _REPLICA_SET.sub('', str(owner.get('name')))
    if owner.get('kind'):
        return owner['kind'], str(owner.get('name'))
    return None, pod['name']


def _bad(view, pod):
    """The Bad of a pod that is not as it should be, else None."""
    if condition(pod, 'Ready').get('status') == 'True':
        return None
    now = view.now
    age = _since(now, pod['created'])
    unready = _since(now, condition(pod, 'Ready').get('lastTransitionTime') or pod['created'])
    pending = view.threshold(PENDING_SECONDS)
    if pod['phase'] == 'Failed':
        return Bad(pod, f'{(pod["reason"] or "failed").lower()}{" on " + pod["node"] if pod["node"] else ""}', True)
    for container in pod['containers']:
        if container['state'] == 'waiting' and container['reason'] in _FAILING:
            restarts = f', {container["restarts"]} restarts' if container['restarts'] else ''
            why = f'{container["reason"]}{restarts}'
            last = (container['last'] or {}).get('reason')
            why += f', ended with {last}' if last and last != 'Error' else ''
            return Bad(pod, why, max(age, unready) > BACKOFF_SECONDS or container['restarts'] > 2, container['reason'] in _IMAGE)
    if not pod['node']:
        return Bad(pod, f'not scheduled for {span(age)}', age > pending)
    state = 'Pending' if pod['phase'] == 'Pending' else 'not ready'
    return Bad(pod, f'{state} for {span(unready)}', unready > pending)


def _since(now, stamp):
    at = parse_time(stamp)
    return float('inf') if at is None else max(0.0, (now - at).total_seconds())


def _waits_for_nodes(view, pod):
    """No Node may carry it before one is Ready: that is said of the Nodes."""
    if not any(node_ready(node)[0] == 'True' for node in view.kubernetes.nodes):
        return True
    return bool(_NO_NODE.search(condition(pod, 'PodScheduled').get('message') or '')) and any(node_ready(node)[0] != 'True' for node in view.kubernetes.nodes)


def _judged(view, workload):
    subject = f'{SYSTEM}/{workload.name}'
    if not workload.bad:
        return _waits(view, workload, subject)
    bad = [each for each in workload.bad if each.lasting] or workload.bad
    count = len(workload.bad) + workload.good + len(workload.waiting)
    title = f'{workload.name}: {listed((_named(each) for each in bad), 4)}'
    if count > 1:
        title = f'{workload.name}: {workload.good} of {count} pods are ready ({listed((_named(each) for each in bad), 4)})'
    machines = [machine for each in bad for machine in [_machine(view, each.pod)] if machine is not None]
    more = {'nodes': list(dict.fromkeys(machine.key for machine in machines)), 'evidence': _evidence(view, workload, bad),
            'explained_by': _explained(view, bad, machines)}
    if view.kubernetes.settling() or not any(each.lasting for each in bad) or any(settling(view, machine) for machine in machines):
        return info(subject, title, 'It was started, or its node was, a short while ago.', 'Look again in a few minutes.', **more)
    say = error if not workload.good and (count > 1 or workload.kind == 'Deployment') else warning
    return say(subject, title, _meaning(workload), _step(bad), **more)


def _waits(view, workload, subject):
    """The outcome of pods that no Node can carry before one is Ready."""
    count = len(workload.waiting)
    title = f'{workload.name}: {"1 pod waits" if count == 1 else f"{count} pods wait"} for a Node that is Ready'
    more = {'evidence': _evidence(view, workload, workload.waiting), 'explained_by': tuple(not_ready(node['name']) for node in view.kubernetes.nodes)}
    if view.kubernetes.settling() or not any(each.lasting for each in workload.waiting):
        return info(subject, title, 'No Node can carry them yet.', 'Look again in a few minutes.', **more)
    return warning(subject, title, 'No Node can carry them now.', 'Get the Nodes ready.', **more)


def _named(each):
    where = f' on {each.pod["node"]}' if each.pod['node'] and not each.why.endswith(each.pod['node']) else ''
    return f'{each.pod["name"]} {each.why}{where}'


def _machine(view, pod):
    node = next((node for node in view.kubernetes.nodes if node['name'] == pod['node']), None)
    return view.kubernetes.machine_of(node) if node else None


def _evidence(view, workload, bad):
    at, found = view.kubernetes.datum('pods').at, []
    for each in bad:
        said = next((c['message'] or (c['last'] or {}).get('message') for c in each.pod['containers'] if not c['ready']), None)
        said = said or condition(each.pod, 'PodScheduled').get('message') or each.pod['message'] or ''
        found.append(Evidence(f'{SYSTEM}/{each.pod["name"]}: {each.pod["phase"]}, {each.why}{": " + said if said else ""}', 'Pods', each.pod['node'], at))
    names = {each.pod['name'] for each in bad}
    events = [e for e in view.kubernetes.listed('events') or [] if e['kind'] == 'Pod' and e['namespace'] == SYSTEM and e['name'] in names]
    found += [Evidence(f'{e["name"]}: {e["reason"]}: {e["message"]} ({e["count"]} times)', 'Events', None, e['at']) for e in events[-2:]]
    return found


def _explained(view, bad, machines):
    names = dict.fromkeys(each.pod['node'] for each in bad if each.pod['node'])
    facts = [NOSPACE, CORRUPT, NO_QUORUM, API_DOWN, *(fact for name in names for fact in (not_ready(name), no_cni(name)))]
    for machine in machines:
        facts += [kubelet_down(machine), f'disk_full:{machine.key}', f'memory:{machine.key}', f'network:{machine.key}', f'clock:{machine.key}']
        facts += [f'image_pull:{machine.key}'] if any(each.image for each in bad) else []
    return tuple(facts)


def _meaning(workload):
    if workload.name == 'coredns':
        return 'Names of services and of the outside are not resolved in pods.' if not workload.good else 'The other pods resolve names meanwhile.'
    if workload.name == 'kube-proxy':
        return 'Services are not reached from these nodes, or by rules that are no longer kept up to date.'
    if workload.name == 'kube-flannel':
        return 'The pod network of these nodes does not work, or is no longer kept up to date.'
    return 'What these pods do for the cluster is not done, or by fewer of them.'


def _step(bad):
    name = bad[0].pod['name']
    if any(each.image for each in bad):
        return f'Let the node reach the registry of the image, or correct the image: kubectl -n {SYSTEM} describe pod {name}.'
    if not bad[0].pod['node']:
        return f'kubectl -n {SYSTEM} describe pod {name} tells why no Node takes it: taints, resources, or a scheduler that does not run.'
    return f'kubectl -n {SYSTEM} describe pod {name}, then kubectl -n {SYSTEM} logs {name} --previous.'


def _has_no_pod(view, deployment):
    return deployment['namespace'] == SYSTEM and bool(deployment['wanted']) and not any(
        pod['namespace'] == SYSTEM and _owner(pod) == ('Deployment', deployment['name']) for pod in view.kubernetes.pods)


def _empty(view, deployment):
    subject, title = f'{SYSTEM}/{deployment["name"]}', f'{deployment["name"]}: it wants {deployment["wanted"]} pods and has none'
    more = {'evidence': [Evidence(f'{subject}: wanted {deployment["wanted"]}, ready {deployment["ready"]}', 'Deployments', None,
                                  view.kubernetes.datum('deployments').at)], 'explained_by': (NOSPACE, CORRUPT, NO_QUORUM, API_DOWN)}
    if view.kubernetes.settling() or _since(view.now, deployment['created']) < view.threshold(PENDING_SECONDS):
        return info(subject, title, 'The cluster is young.', 'Look again in a few minutes.', **more)
    return error(subject, title, 'kube-controller-manager makes no pods for it.', 'Look at kube-controller-manager: its status and its log.', **more)


# -- EXT-OOMK ---------------------------------------------------------------------------------------------------

def system_pod_restarts(view):
    """No pod of kube-system that is ready now has ended several times of late."""
    facts = view.kubernetes
    if facts.pods is None:
        return facts.unread('restarts of the pods of kube-system', 'pods')
    if view.components.quorum_lost:
        return unknown('cluster', 'restarts of the pods of kube-system: what Kubernetes says of them stands still', explained_by=(NO_QUORUM,))
    outcomes = []
    for pod in facts.pods:
        if pod['namespace'] != SYSTEM or (pod['owner'] or {}).get('kind') == 'Node' or condition(pod, 'Ready').get('status') != 'True':
            continue
        for container in pod['containers']:
            ended = _since(view.now, (container['last'] or {}).get('at')) if container['last'] else float('inf')
            if not container['init'] and container['restarts'] >= view.threshold(RESTARTS) and ended < RESTART_SECONDS:
                outcomes.append(_restarting(view, pod, container, ended))
    return outcomes or ok('cluster')


def _restarting(view, pod, container, ended):
    machine, last = _machine(view, pod), container['last']
    say = info if view.kubernetes.settling(machine) else warning
    title = (f'{pod["name"]} on {pod["node"]} has restarted {container["restarts"]} times, the last time {span(ended)} ago '
             f'({last["reason"]}, exit code {last["exit_code"]})')
    evidence = Evidence(last['message'] or f'{container["name"]}: {last["reason"]}', 'Pods', pod['node'], last['at'])
    return say(
        f'{SYSTEM}/{pod["name"]}', title,
        'It runs just now. ' + ('It was ended for lack of memory.' if last['reason'] == 'OOMKilled' else 'What ends it has not gone.'),
        'Raise its memory limit, or find what uses the memory.' if last['reason'] == 'OOMKilled' else f'kubectl -n {SYSTEM} logs {pod["name"]} --previous.',
        nodes=[machine.key] if machine else [], evidence=[evidence],
        explained_by=_explained(view, [], [machine] if machine else []))


# -- without Kubernetes -----------------------------------------------------------------------------------------

def addon_not_running(view):
    """kube-proxy runs on every machine and CoreDNS somewhere, where they are switched on; by the CRI, where Kubernetes was not read."""
    facts = view.kubernetes
    if view.not_bootstrapped or facts.absent:
        return not_applicable('cluster', 'there is no Kubernetes yet' if view.not_bootstrapped else 'the cluster runs no Kubernetes')
    if facts.pods is not None and facts.nodes is not None and not view.components.quorum_lost:
        return not_applicable('cluster', 'Kubernetes itself was read')
    if view.components.quorum_lost:
        return unknown('cluster', 'kube-proxy and CoreDNS: etcd has no leader, so nothing that Kubernetes runs can be trusted to work',
                       explained_by=(NO_QUORUM,))
    if facts.datum('pods').state in (TIMED_OUT, UNREACHABLE):
        return facts.unread('kube-proxy and CoreDNS', 'pods')
    configs = [machine.resource(CONFIG) for machine in view.answering_control_planes if isinstance(machine.resource(CONFIG), dict)]
    if not configs:
        why = '; '.join(f'{m.label}: {m.datum(CONFIG).why()}' for m in ordered(view.answering_control_planes)) or 'no control plane node answered'
        return unknown('cluster', f'whether kube-proxy and CoreDNS run: what is switched on was not seen ({CONFIG}: {why})', explained_by=facts.troubles)
    return [_proxies(view, any(config.get('proxyEnabled') for config in configs)), _dns(view, any(config.get('coreDNSEnabled') for config in configs))]


def _proxies(view, wanted):
    if not wanted:
        return not_applicable(f'{SYSTEM}/kube-proxy', 'kube-proxy is switched off')
    unseen, without = [], []
    for machine in ordered(view.snapshot.answering()):
        if not machine.datum('Containers').ok:
            unseen.append(machine)
        elif not _runs(machine, 'kube-proxy') and _is_ready(machine) and not settling(view, machine):
            without.append(machine)
    if without:
        return warning(f'{SYSTEM}/kube-proxy', f'kube-proxy does not run on {listed(m.label for m in without)}',
                       'Services are not reached from there, or by rules that are no longer kept up to date.',
                       'Look at the pod with kubectl, or with talosctl containers -k and talosctl logs -k on that node.', nodes=[m.key for m in without],
                       evidence=[_listed(machine, 'kube-proxy') for machine in without],
                       explained_by=tuple(fact for m in without for fact in (kubelet_down(m), f'image_pull:{m.key}', f'disk_full:{m.key}')))
    return _unseen(view, 'kube-proxy', unseen) if unseen else ok(f'{SYSTEM}/kube-proxy')


def _dns(view, wanted):
    if not wanted:
        return not_applicable(f'{SYSTEM}/coredns', 'CoreDNS is switched off')
    machines = view.snapshot.machines
    if any(_runs(machine, 'coredns') for machine in machines):
        return ok(f'{SYSTEM}/coredns')
    unseen = [machine for machine in ordered(machines) if not machine.datum('Containers').ok]
    if unseen:
        return _unseen(view, 'coredns', unseen)
    nodes = [machine for machine in machines if _is_ready(machine)]
    title = 'CoreDNS runs on no machine'
    evidence = [_listed(machine, 'coredns') for machine in ordered(machines)]
    if view.kubernetes.settling() or not nodes:
        return info(f'{SYSTEM}/coredns', title, 'The cluster is young, or no Node is Ready to carry it.', 'Look again in a few minutes.', evidence=evidence)
    return error(f'{SYSTEM}/coredns', title, 'Names of services and of the outside are not resolved in pods.', 'Look at its pods with kubectl.',
                 nodes=[], evidence=evidence, explained_by=(API_DOWN, NOSPACE, CORRUPT))


def _unseen(view, name, machines):
    why = '; '.join(f'{m.label}: {m.datum("Containers").why() if m.answered else "it does not answer"}' for m in machines)
    return unknown(f'{SYSTEM}/{name}', f'whether {name} runs: the containers of {listed(m.label for m in machines)} were not read ({why})',
                   nodes=[m.key for m in machines], explained_by=tuple(f'unreachable:{m.key}' for m in machines) + ('role', 'not_judged'))


def _containers(machine, name):
    return [c for c in (machine.value('Containers') or {}).get('containers') or [] if c.get('name') == name and str(c.get('pod_id')).startswith(f'{SYSTEM}/')]


def _runs(machine, name):
    return any(c.get('status') == 'CONTAINER_RUNNING' for c in _containers(machine, name))


def _is_ready(machine):
    """Whether its Node is Ready, as the machine itself knows it; not where it does not know."""
    spec = machine.resource('NodeStatuses')
    return isinstance(spec, dict) and bool(spec.get('nodeReady'))


def _listed(machine, name):
    return seen(machine, 'Containers', f'{name}: {listed(c.get("status") for c in _containers(machine, name)) or "no container"}')


# -- elsewhere --------------------------------------------------------------------------------------------------

def workloads_not_ready(view):
    """Pods of the users' namespaces are not the control plane's; that some are not ready is worth knowing."""
    facts = view.kubernetes
    if facts.pods is None or view.components.quorum_lost:
        return not_applicable('cluster', 'the pods of other namespaces were not read')  # which the pods of kube-system tell, with the reason
    found = [pod for pod in facts.pods if pod['namespace'] not in SYSTEM_NAMESPACES and not pod['deleted']
             and (pod['owner'] or {}).get('kind') != 'Job' and _since(view.now, pod['created']) > view.threshold(PENDING_SECONDS)]
    if not found:
        return ok('cluster')
    names = listed((f'{pod["namespace"]}/{pod["name"]}' for pod in found), 4)
    return info('cluster', f'{len(found)} pods of other namespaces are not ready: {names}',
                'Workloads of the cluster\'s users are not judged.', 'kubectl get pods -o wide --all-namespaces.')


_CLUSTER_READS = ('pods', 'nodes', 'deployments', 'events')

CHECKS = (
    Check('controlplane.system_pods_down', SECTION, 'The pods of kube-system are ready', system_pods_down, reads=('MachineStatuses', 'EtcdStatus'),
          cluster_reads=_CLUSTER_READS, role='os:admin', catalogue='CP-6, KUB-13', sharpens=True, thresholds={
              PENDING_SECONDS: Threshold(600, 's', 'how long a pod of kube-system may be pending, or running and not ready')}),
    Check('controlplane.system_pod_restarts', SECTION, 'No pod of kube-system restarts again and again', system_pod_restarts, reads=('EtcdStatus',),
          cluster_reads=('pods', 'nodes'), role='os:admin', catalogue='EXT-OOMK', sharpens=True, thresholds={
              RESTARTS: Threshold(5, 'count', 'restarts, the last of them within ten minutes, from which a pod is said to restart again and again')}),
    Check('controlplane.addon_not_running', SECTION, 'kube-proxy and CoreDNS run, where Kubernetes itself was not read', addon_not_running,
          reads=('Containers', CONFIG, 'NodeStatuses', 'MachineStatuses', 'EtcdStatus'), catalogue='CP-6'),
    Check('controlplane.workloads_not_ready', SECTION, 'Pods of other namespaces are ready', workloads_not_ready, cluster_reads=('pods',), role='os:admin',
          catalogue='CP-6', sharpens=True),
)
