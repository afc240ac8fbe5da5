# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Control Plane Static Pods": Talos has defined them, the kubelet has taken them, and they are the same on every node."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta

from ansible_collections.talosops.talos.plugins.module_utils.guide.control_plane_common import (
    failing_now, failure, nothing_to_judge, settling, upstream, why_settling,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, ordered, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    CONTROL_PLANES, Check, Threshold, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.component_facts import ABSENT, API_SERVER, CONFIGS, UNSEEN
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import COMPONENTS, api_server_down, kubelet_down
from ansible_collections.talosops.talos.plugins.module_utils.judge.versions import SKEW
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

SECTION = 'controlplane.static_pods'
SETTLE_SECONDS = 'controlplane_static_pod_settle'
ROLLOUT_SECONDS = 600

RENDERERS = ('k8s.ControlPlaneStaticPodController', 'k8s.RenderSecretsStaticPodController', 'k8s.RenderConfigsStaticPodController',
             'k8s.StaticPodServerController', 'k8s.ControlPlaneAPIServerController', 'k8s.ControlPlaneControllerManagerController',
             'k8s.ControlPlaneSchedulerController', 'secrets.KubernetesController', 'secrets.KubernetesDynamicCertsController')
_PREREQUISITES = {'SecretStatuses': 'secrets', 'ConfigStatuses': 'configuration files'}
# Arguments whose values are a node's own.
_OWN_ARGUMENTS = ('advertise-address', 'etcd-servers', 'bind-address', 'hostname-override', 'node-ip')
_ARGUMENT = re.compile(r'^--(?P<name>[\w-]+)(?:=.*)?$', re.DOTALL)


# -- CP-1 -------------------------------------------------------------------------------------------------------

def static_pod_missing(view, machine):
    """Talos has defined a static pod for each component that the machine's configuration wants (talos-api 6.6)."""
    early = nothing_to_judge(view, machine)
    if early:
        return early
    missing, unsure = [], []
    for component in COMPONENTS:
        if view.components.definition(machine, component) is None:
            wanted = view.components.enabled(machine, component)
            if wanted is None and not machine.datum(CONFIGS[component]).ok:
                unsure.append(component)
            elif wanted is not False:
                missing.append(component)
    if not missing and not unsure:
        return ok(machine.key)
    evidence = [seen(machine, 'StaticPods', f'defined: {listed(item.get("id") for item in machine.value("StaticPods")) or "none"}')]
    if settling(view, machine):
        return info(machine.key, f'{machine.label} has no static pod for {listed(missing or unsure)} yet', why_settling(view, machine),
                    'Look again in a few minutes.', nodes=[machine.key], evidence=evidence)
    etcd = _etcd_of(view, machine)
    if etcd is None:
        return unknown(machine.key, f'whether {machine.label} should have static pods for {listed(missing or unsure)}: whether its etcd is healthy was '
                                    f'not seen (ServiceList: {machine.datum("ServiceList").why()})', nodes=[machine.key], evidence=evidence)
    if etcd is False:
        return not_applicable(machine.key, f'Talos defines the static pods of {machine.label} when its etcd is healthy, which it is not', nodes=[machine.key])
    if not missing:
        why = '; '.join(f'{CONFIGS[component]}: {machine.datum(CONFIGS[component]).why()}' for component in unsure)
        return unknown(machine.key, f'whether {machine.label} should have a static pod for {listed(unsure)}: {why}', nodes=[machine.key], evidence=evidence)
    if etcd < view.threshold(SETTLE_SECONDS):
        return info(machine.key, f'{machine.label} has no static pod for {listed(missing)} yet', f'Its etcd became healthy {int(etcd)} s ago.',
                    'Look again in a few minutes.', nodes=[machine.key], evidence=evidence)
    lacking = _lacking(machine)
    evidence += [seen(machine, kind, f'static-pods: {text}') for kind, text in lacking.items()]
    evidence += [failure(machine, one) for one in failing_now(view, machine, *RENDERERS)[:2]]
    because = f' Their {listed(_PREREQUISITES[kind] for kind in lacking)} are not ready.' if lacking else ''
    return error(machine.key, f'{machine.label} has no static pod for {listed(missing)}, although its etcd is healthy',
                 f'The kubelet is given nothing to run, so the control plane does not run on this node.{because}',
                 f'Read the log of the controllers (talosctl -n {machine.address or machine.label} logs controller-runtime) for what keeps Talos from '
                 'rendering them, and compare with talosctl get staticpods on another control plane node.', nodes=[machine.key], evidence=evidence,
                 asserts=(api_server_down(machine),) if API_SERVER in missing else (), explained_by=_explained(machine))


def _etcd_of(view, machine):
    """Seconds since etcd of the machine became healthy; False where it is not, None where that was not seen."""
    if not machine.datum('ServiceList').ok:
        return None
    health = (view.etcd.service(machine) or {}).get('health') or {}
    if not view.etcd.running(machine) or not health.get('healthy'):
        return False
    since = parse_time(health.get('last_change'))
    return float('inf') if since is None else max(0.0, (view.now - since).total_seconds())


def _lacking(machine):
    """{kind: what it says} of the prerequisites that were read and are not ready."""
    found = {}
    for kind in _PREREQUISITES:
        if machine.datum(kind).ok:
            spec = machine.resource(kind, 'static-pods')
            if not spec or not spec.get('ready'):
                found[kind] = 'not ready' if spec else 'does not exist'
    return found


def _explained(machine):
    return (f'clock:{machine.key}', f'volume_failed:{machine.key}', f'disk_full:{machine.key}', f'boot_blocked:{machine.key}', f'network:{machine.key}')


# -- CP-2 -------------------------------------------------------------------------------------------------------

def static_pod_not_run(view, machine):
    """What Talos has defined the kubelet has taken: it tells of the pod, or there is a container of it."""
    early = nothing_to_judge(view, machine)
    if early:
        return early
    outcomes = []
    for component in COMPONENTS:
        if view.components.definition(machine, component) is None:
            continue
        state = view.components.state(machine, component)
        subject = f'{machine.key}:{component}'
        if state.how == UNSEEN:
            outcomes.append(unknown(subject, f'whether the kubelet of {machine.label} runs the static pod {component}: {state.why}', nodes=[machine.key],
                                    evidence=state.evidence, explained_by=upstream(machine, component)))
        elif state.how == ABSENT:
            outcomes.append(_not_run(view, machine, component, subject, state))
        else:
            outcomes.append(ok(subject))
    return outcomes or not_applicable(machine.key, f'{machine.label} has no static pod', nodes=[machine.key])


def _not_run(view, machine, component, subject, state):
    more = {'nodes': [machine.key], 'evidence': state.evidence}
    title = f'the kubelet of {machine.label} does not run the static pod {component}'
    changed = [parse_time(item.get('updated')) for item in machine.value('StaticPods') if item.get('id') == component]
    fresh = any(at is not None and view.now - at < timedelta(seconds=view.threshold(SETTLE_SECONDS)) for at in changed)
    if fresh or settling(view, machine):
        return info(subject, f'{title} yet', 'Talos defined it a moment ago, or the node is young.', 'Look again in a few minutes.', **more)
    return error(subject, f'{title}: there is no container of it', 'Talos has defined the pod and offers it to the kubelet, which has not taken it.',
                 f'Look at the kubelet: talosctl -n {machine.address or machine.label} service kubelet, talosctl logs kubelet. If it is healthy, look for '
                 'k8s.StaticPodServerController in talosctl logs controller-runtime.',
                 asserts=(api_server_down(machine),) if component == API_SERVER else (), explained_by=(kubelet_down(machine), *_explained(machine)), **more)


# -- CP-8 -------------------------------------------------------------------------------------------------------

def components_differ(view):
    """Every control plane node runs the same image of a component with the same arguments, but for those that are a node's own."""
    planes = [machine for machine in view.answering_control_planes if machine.datum('StaticPods').ok]
    if len(view.control_planes) < 2:
        return not_applicable('cluster', 'there is one control plane node')
    if len(view.answering_control_planes) == 1:
        return not_applicable('cluster', 'one control plane node answers')
    if len(planes) < 2:
        why = [f'{m.label}: {m.datum("StaticPods").why()}' for m in ordered(view.control_planes) if m not in planes]
        return unknown('cluster', f'whether all control plane nodes run the same: the static pods of fewer than two were read ({listed(why)})',
                       explained_by=tuple(f'unreachable:{m.key}' for m in view.control_planes) + ('not_judged', 'role'))
    outcomes = [_compared(view, planes, component) for component in COMPONENTS]
    unread = [machine for machine in view.answering_control_planes if machine not in planes]
    if unread:
        outcomes = [each for each in outcomes if each.verdict != v.OK] + [_whether('cluster', 'the control plane', unread, 'StaticPods')]
    return outcomes


def _compared(view, planes, component):
    defined = {m.key: view.components.definition(m, component) for m in ordered(planes)}
    images = {key: each.get('image') for key, each in defined.items() if each}
    arguments = {key: frozenset(_shared_arguments(each.get('command') or [])) for key, each in defined.items() if each}
    if len(set(images.values())) < 2 and len(set(arguments.values())) < 2:
        return ok(component)
    if len(set(images.values())) > 1:
        odd = _odd(images)
        what = f'{component} has not one image: {_grouped(view, images)}'
        evidence = [seen(view.snapshot.machine(key), 'StaticPods', f'{component}: {image}') for key, image in images.items()]
    else:
        odd = _odd(arguments)
        common = frozenset.intersection(*arguments.values())
        own = {key: sorted(values - common) for key, values in arguments.items()}
        where = '; '.join(f'{view.label(key)} has {listed(own[key], 4) or "none of them"}' for key in odd)
        what = f'{component} has other arguments on {listed(view.label(key) for key in odd)} than elsewhere: {where}'
        evidence = [seen(view.snapshot.machine(key), 'StaticPods', f'{component}: {listed(values, 6) or "nothing of its own"}') for key, values in own.items()]
    more = {'nodes': odd, 'evidence': evidence, 'explained_by': (SKEW,)}
    unread = [machine for machine in planes if not machine.datum('Version').ok]
    if unread and len(set(images.values())) < 2:
        return _whether(component, component, unread, 'Version')
    reason = _passing(view, planes, component, images)
    if reason:
        return info(component, what, reason, 'Look again when all control plane nodes are done.', **more)
    broken = [key for key in defined if defined[key] and view.components.state(view.snapshot.machine(key), component).bad]
    if broken and len({(images[key], arguments[key]) for key in arguments if key not in broken}) < 2:
        return info(component, what, f'It does not run on {listed(view.label(key) for key in broken)}, which is told there.', **more)
    return warning(component, what, 'Which answer a client gets, or how pods are scheduled, depends on the node that serves or leads just now.',
                   'Decide which is meant, and give all control plane nodes the same image and extraArgs, one node at a time (talosctl edit machineconfig, '
                   'talosctl upgrade-k8s).', **more)


def _whether(subject, what, machines, kind):
    why = listed(f'{machine.label}: {machine.datum(kind).why()}' for machine in ordered(machines))
    return unknown(subject, f'whether {what} is the same on all control plane nodes: {kind} of {why}',
                   nodes=[machine.key for machine in machines], explained_by=('not_judged', 'role'))


def _shared_arguments(command):
    for argument in command:
        match = _ARGUMENT.match(str(argument))
        if match and match.group('name') not in _OWN_ARGUMENTS:
            yield str(argument)


def _odd(values):
    """The keys whose value is not the one that most have; with no majority all but those of the first."""
    most = Counter(values.values()).most_common(1)[0][0]
    return [key for key, value in values.items() if value != most]


def _grouped(view, values):
    groups = {}
    for key, value in values.items():
        groups.setdefault(value, []).append(view.label(key))
    return '; '.join(f'{str(value).rpartition("/")[2]} on {listed(labels)}' for value, labels in groups.items())


def _passing(view, planes, component, images):
    """Why the difference may be one that passes; empty where it is not."""
    if any(view.in_progress(machine) for machine in view.control_planes if machine.answered):
        return 'A control plane node is being upgraded or restarted just now.'
    changed = [parse_time(item.get('updated')) for machine in planes for item in machine.value('StaticPods') if item.get('id') == component]
    if any(at is not None and view.now - at < timedelta(seconds=ROLLOUT_SECONDS) for at in changed):
        return 'It was changed on a control plane node less than ten minutes ago: a rollout may be under way.'
    talos = {(machine.value('Version') or {}).get('version', {}).get('tag') for machine in planes}
    if len(talos) > 1 and len(set(images.values())) < 2:
        return 'The control plane nodes run different versions of Talos, which give different arguments.'
    return ''


CHECKS = (
    Check('controlplane.static_pod_missing', SECTION, 'Talos has defined the static pods', static_pod_missing, each=CONTROL_PLANES, needs=('StaticPods',),
          reads=('ServiceList', 'ControllerManagerConfigs', 'SchedulerConfigs', 'SecretStatuses', 'ConfigStatuses'), logs=('controller-runtime',),
          catalogue='CP-1, CTL-1', thresholds={
              SETTLE_SECONDS: Threshold(120, 's', 'how long the static pods of a control plane node may be missing after its etcd has become healthy')}),
    Check('controlplane.static_pod_not_run', SECTION, 'The kubelet runs the static pods that Talos has defined', static_pod_not_run, each=CONTROL_PLANES,
          needs=('StaticPods',), reads=('Containers', 'StaticPodStatuses', 'ServiceList'), catalogue='CP-2', thresholds={
              SETTLE_SECONDS: Threshold(120, 's', 'how long the static pods of a control plane node may be missing after its etcd has become healthy')}),
    Check('controlplane.components_differ', SECTION, 'All control plane nodes run the same components with the same arguments', components_differ,
          reads=('StaticPods', 'Version', 'MachineStatuses'), catalogue='CP-8'),
)
