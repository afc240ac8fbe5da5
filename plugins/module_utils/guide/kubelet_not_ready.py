# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a Node is not Ready: its machine, its kubelet, its container runtime, its CNI, or its way to the API server (KUB-9, KUB-13)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Evidence
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import unreachable
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import (
    API_DOWN, SYSTEM, api_server_down, condition, is_cni, kubelet_down, node_ready,
)

_NO_CNI = re.compile(r'cni plugin not initialized|cni config uninitialized|NetworkPluginNotReady|[Nn]etwork plugin (?:is not ready|returns error)|'
                     r'container runtime network not ready')
_NO_RUNTIME = re.compile(r'container runtime (?:is down|status check may not have completed yet|not ready)|PLEG is not healthy')
_PULLS = ('ImagePullBackOff', 'ErrImagePull', 'InvalidImageName', 'RegistryUnavailable', 'ImageInspectError')
_STARTING = ('PodInitializing', 'ContainerCreating', 'Pending', 'waiting')
_BUILT_IN = 'flannel'


@dataclass(frozen=True)
class Cause:
    """C(what) ends a title. C(cni): there is no working CNI. C(seen_on_machine): told by the machine itself, now, not by the Node."""

    what: str
    means: str
    next_step: str
    evidence: list = field(default_factory=list)
    explained_by: tuple = ()
    cni: bool = False
    seen_on_machine: bool = False


def cause_of(view, node, machine):
    """The Cause of a Node that is not Ready."""
    said = condition(node, 'Ready')
    message = f'{said.get("reason") or ""} {said.get("message") or ""}'
    return _machine(view, node, machine) or _kubelet(view, machine) or _runtime(view, node, machine, message) \
        or (_cni(view, node, machine) if _NO_CNI.search(message) else None) or _silent(view, node, machine) or Cause(
            f'"{said.get("message") or said.get("reason") or "no reason given"}"', 'The kubelet says itself that it is not ready for pods.',
            f'kubectl describe node {node["name"]}, and its log: talosctl -n {_address(machine, node)} logs kubelet --tail 100.')


def _address(machine, node):
    return (machine.address or machine.label) if machine is not None else node['name']


# -- the machine ------------------------------------------------------------------------------------------------

def _machine(view, node, machine):
    if machine is not None and machine.answered and view.stage(machine) == 'maintenance':
        return Cause('its machine is in maintenance mode and has no configuration', 'It was reset or wiped after it had been this Node: no kubelet runs.',
                     f'Apply the configuration of {machine.label} (talosctl apply-config --insecure); if it is not to come back, kubectl delete node '
                     f'{node["name"]}.', [seen(machine, 'MachineStatuses', 'stage maintenance')], seen_on_machine=True)
    if machine is not None and machine.answered:
        return None
    if machine is None:
        return Cause('no machine of it is known', 'Nothing that was asked knows a machine behind this Node.',
                     f'Find out whether the machine of {node["name"]} still exists; if not, kubectl delete node {node["name"]}.')
    text = (machine.unreachable or {}).get('text')
    return Cause('its machine does not answer', 'A machine that is off, frozen or cut off cannot report; its pods are taken away after five minutes.',
                 f'Bring {machine.label} back first: the Node becomes Ready by itself.',
                 [Evidence(text, 'Talos API', machine.label, machine.unreachable.get('at'))] if text else [],
                 explained_by=(unreachable(machine),), seen_on_machine=True)


def _kubelet(view, machine):
    if machine is None or view.kubelet.runs(machine) is not False:
        return None
    state = view.kubelet.state(machine)
    return Cause(f'its kubelet {"is not healthy" if state == "Running" else f"does not run (state {state})" if state else "does not exist"}',
                 'Only the kubelet reports that a Node is ready.', f'Get the kubelet of {machine.label} to run.',
                 [seen(machine, 'ServiceList', f'kubelet {state or "is not listed"}')], explained_by=(kubelet_down(machine),), seen_on_machine=True)


# -- the container runtime --------------------------------------------------------------------------------------

def _runtime(view, node, machine, message):
    service = view.service(machine, 'cri') if machine is not None else None
    down = service is not None and not (service.get('state') == 'Running' and _healthy(service))
    if not down and not _NO_RUNTIME.search(message):
        return None
    name = machine.label if machine is not None else node['name']
    evidence = []
    if service is not None:
        events = (service.get('events') or {}).get('events') or []
        last = f', "{events[-1].get("msg")}"' if events else ''
        evidence = [seen(machine, 'ServiceList', f'cri is {service.get("state")}, {"healthy" if _healthy(service) else "not healthy"}{last}')]
    where = f'the service cri is {service.get("state")}' if down else 'the service cri looks well'
    evidence += [hit.evidence() for hit in _hits(view, machine, 'kubelet.runtime_unknown')]
    return Cause(f'its container runtime is down ({where})', 'Without containerd the kubelet can neither start nor see a container.',
                 f'Read its log: talosctl -n {_address(machine, node)} logs cri. Look at disk and memory of {name}; if it hangs, reboot the node.',
                 evidence, explained_by=_facts(machine, 'disk_full', 'volume_failed', 'memory'), seen_on_machine=down)


def _healthy(service):
    health = service.get('health') or {}
    return bool(health.get('healthy')) or bool(health.get('unknown'))


# -- the CNI ----------------------------------------------------------------------------------------------------

def _cni(view, node, machine):
    name, facts = node['name'], view.kubernetes
    pods = facts.cni_pods(name)
    bad = [(pod, trouble) for pod in pods for trouble in [_trouble(pod)] if trouble]
    logged = [hit.evidence() for hit in _hits(view, machine, 'cni.bridge_conflict', 'flannel.no_pod_cidr')]
    seen_now = bool(_hits(view, machine, 'kubelet.cni_not_initialized'))
    if bad:
        return _bad_pod(node, machine, *bad[0], logged, seen_now)
    if logged:
        text = logged[0].text
        conflict = 'cni0' in text
        step = 'Look at kube-controller-manager, and at the size of the pod network.'
        step = f'Drain and reboot {name}: the bridge is made anew.' if conflict else step
        return Cause('its CNI fails' + (': the bridge cni0 has an address of another pod network' if conflict else ': the Node has no pod CIDR'),
                     'The pod network of a Node changes when its Node object is made anew.' if conflict else
                     'kube-controller-manager gives every Node its part of the pod network.', step, logged, cni=True, seen_on_machine=seen_now)
    if facts.pods is None:
        return Cause('its CNI is not up (its pods were not read)', 'A Node is Ready only once its CNI is up.',
                     'Look at the pods of the CNI: kubectl -n kube-system get pods -o wide.',
                     [Evidence(f'pods: {facts.datum("pods").why()}', 'Kubernetes pods')], cni=True, seen_on_machine=seen_now)
    if pods:
        return Cause(f'its CNI is not up, though {listed(pod["name"] for pod in pods)} runs', 'The agent of the CNI runs and has not configured it.',
                     f'Read the log of the pod: kubectl -n {pods[0]["namespace"]} logs {pods[0]["name"]}.',
                     [_of_pod(pod, f'{pod["phase"]}') for pod in pods], cni=True, seen_on_machine=seen_now)
    return _no_cni(view, node, machine, seen_now)


def _no_cni(view, node, machine, seen_now):
    facts = view.kubernetes
    sets = [each for each in facts.listed('daemonsets') or [] if is_cni(each)]
    configured = cni_name(view)
    if sets:
        return Cause(f'its CNI is not up: {sets[0]["name"]} has no pod on it',
                     'A DaemonSet has a pod on each Node; kube-controller-manager makes it.',
                     f'kubectl -n {sets[0]["namespace"]} describe daemonset {sets[0]["name"]}; look at kube-controller-manager and at taints of the '
                     'Node.',
                     [Evidence(f'DaemonSet {sets[0]["name"]}: {sets[0]["ready"]} of {sets[0]["wanted"]} ready', 'Kubernetes daemonsets')],
                     explained_by=(API_DOWN,), cni=True, seen_on_machine=seen_now)
    evidence = [Evidence('no DaemonSet of a CNI', 'Kubernetes daemonsets')] if facts.listed('daemonsets') is not None else []
    if configured in ('none', 'custom'):
        return Cause(f'no CNI is installed (cluster.network.cni.name is {configured})',
                     'Talos leaves the CNI to you with this setting: no Node becomes Ready before you install one.',
                     'Install the CNI (its manifest or chart). Where GitOps does it, look at why it has not come that far.', evidence, cni=True,
                     seen_on_machine=seen_now)
    return Cause('no pod of a CNI is on it', 'A Node is Ready only once its CNI is up.',
                 'See whether the CNI\'s manifests were applied (talosctl get manifests) and its pods are made: kubectl -n kube-system get '
                 'daemonsets.',
                 evidence, cni=True, seen_on_machine=seen_now)


def cni_name(view):
    """flannel, custom or none, as the machine configuration says; None where that was not read (BootstrapManifestsConfigs, os:reader)."""
    for machine in view.answering_control_planes:
        spec = machine.resource('BootstrapManifestsConfigs') or {}
        config = (machine.resource('MachineConfigs') or {}).get('v1alpha1') or {}
        named = ((config.get('cluster') or {}).get('network') or {}).get('cni') or {}
        found = spec.get('cniName') or named.get('name') or (_BUILT_IN if spec.get('flannelEnabled') else None)
        if found:
            return found
    return None


def _trouble(pod):
    """("ImagePullBackOff", text) of a pod whose containers are not up, None where all are."""
    if condition(pod, 'Ready').get('status') == 'True':
        return None
    for container in pod['containers']:
        if container['state'] == 'waiting' and container['reason'] not in (None, 'PodInitializing', 'ContainerCreating'):
            return container['reason'], f'{container["name"]}: {container["reason"]}, image {container["image"]}{_also(container)}'
        if container['state'] == 'terminated' and container['exit_code'] and not container['ready']:
            text = f'{container["name"]}: {container["reason"]}, exit code {container["exit_code"]}{_also(container)}'
            return container['reason'] or 'terminated', text
    waits = next((container for container in pod['containers'] if container['state'] == 'waiting'), None)
    if waits is not None:
        return waits['reason'] or 'waiting', f'{waits["name"]}: {waits["reason"]}'
    if pod['reason']:
        return pod['reason'], pod['message'] or pod['reason']
    return ('Pending', 'no container yet') if pod['phase'] == 'Pending' else None


def _also(container):
    last = container.get('last') or {}
    restarts = f', {container["restarts"]} restarts' if container['restarts'] else ''
    ended = f', last end: {last.get("reason")} ({last.get("exit_code")})' if last else ''
    message = f', {container["message"]}' if container.get('message') else ''
    return f'{restarts}{ended}{message}'


def _bad_pod(node, machine, pod, trouble, logged, seen_now):
    reason, text = trouble
    name, namespace = pod['name'], pod['namespace']
    evidence = [_of_pod(pod, text), *logged]
    if reason in _PULLS:
        return Cause(f'its CNI is not up, {name} cannot pull its image ({reason})', 'The Node waits for its CNI, and the CNI for its image.',
                     f'kubectl -n {namespace} describe pod {name}: check registry, mirror, credentials, DNS and the clock of this node. Other Nodes '
                     'whose CNI runs have the image already.', evidence, cni=True, seen_on_machine=seen_now,
                     explained_by=_facts(machine, 'image_pull', 'disk_full'))
    state = 'is being started' if reason in _STARTING else 'does not run'
    return Cause(f'its CNI is not up, {name} {state} ({reason})', 'A Node is Ready only once its CNI is up.',
                 f'kubectl -n {namespace} describe pod {name}, and its log: kubectl -n {namespace} logs {name} --previous.', evidence, cni=True,
                 seen_on_machine=seen_now, explained_by=_facts(machine, 'disk_full', 'memory'))


def _of_pod(pod, text):
    where = f'{pod["namespace"]}/{pod["name"]}' if pod['namespace'] != SYSTEM else pod['name']
    return Evidence(f'{where}: {text}', 'Kubernetes pods', pod['node'], pod.get('created'))


# -- the way to the API server ----------------------------------------------------------------------------------

def _silent(view, node, machine):
    """The kubelet stopped posting although it runs: it does not come through to the API server, or is not let in."""
    if node_ready(node)[0] != 'Unknown' or machine is None:
        return None
    hits = _hits(view, machine, 'kubelet.unauthorized', 'kubelet.lease_failed')
    evidence = [hit.evidence() for hit in hits]
    refused = next((hit for hit in hits if hit.id == 'kubelet.unauthorized'), None)
    facts = (*(f'{fact}:{machine.key}' for fact in ('kubelet.credentials', 'network', 'clock')), API_DOWN,
             *(api_server_down(m) for m in view.control_planes))
    if refused:
        return Cause('its kubelet runs, but the API server refuses its credentials', 'Its certificate ran out, or is of another CA.',
                     f'Restart the kubelet of {machine.label} (talosctl service kubelet restart), which asks for a new certificate; look at kubectl '
                     'get csr.',
                     evidence, explained_by=facts, seen_on_machine=True)
    return Cause('its kubelet runs, but does not report to the API server', 'It does not come through: network, KubePrism, or the endpoint.',
                 f'Read its log (talosctl -n {_address(machine, node)} logs kubelet --tail 50), and look at the network between it and the control '
                 'plane endpoint.', evidence, explained_by=facts, seen_on_machine=bool(evidence))


def _facts(machine, *names):
    """Facts of this machine that would explain it."""
    return tuple(f'{name}:{machine.key}' for name in names) if machine is not None else ()


def _hits(view, machine, *ids):
    """Lines of these signatures that still count (judge/signatures.py)."""
    return view.signatures.recent(machine, *ids) if machine is not None else []
