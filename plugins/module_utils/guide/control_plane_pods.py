# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Control Plane Pod Status": the components run and are ready on each control plane node, and why one does not."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.guide.control_plane_common import (
    CONFIG_KEYS, cause_in_log, etcd_was_sick, nothing_to_judge, settling, upstream,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import span
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    CONTROL_PLANES, Check, Threshold, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.component_facts import ABSENT, API_SERVER, NO_CONTAINER, READY, RUNNING, UNREADY, UNSEEN
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import COMPONENTS, api_server_down, kubelet_down, nowhere

SECTION = 'controlplane.pod_status'
SETTLE_SECONDS = 'controlplane_component_settle'
RESTARTS = 'controlplane_component_restarts'
CRASH_RESTARTS = 3
CRASH_SECONDS = 600

_DEAD = {
    'kube-apiserver': 'The Kubernetes API is not served by this node; kube-controller-manager and kube-scheduler of this node, which ask it alone, stop too.',
    'kube-controller-manager': 'Another control plane node takes over as long as one runs it; without any, nothing is repaired, rolled out or signed.',
    'kube-scheduler': 'Another control plane node takes over as long as one runs it; without any, no new pod is placed on a node.',
}
_MINOR = re.compile(r':v?(\d+)\.(\d+)')


# -- CP-3, CP-4 -------------------------------------------------------------------------------------------------

def component_down(view, machine):
    """The components run and are ready; why one does not, by the end of its own log."""
    early = nothing_to_judge(view, machine)
    if early:
        return early
    outcomes = [_judged(view, machine, component) for component in COMPONENTS if view.components.enabled(machine, component) is not False]
    return [outcome for outcome in outcomes if outcome is not None] or \
        not_applicable(machine.key, f'{machine.label} has no control plane pods: see the static pods', nodes=[machine.key])


def _judged(view, machine, component):
    state, subject = view.components.state(machine, component), f'{machine.key}:{component}'
    more = {'nodes': [machine.key], 'evidence': state.evidence}
    if state.how == ABSENT:
        return None  # nothing runs it: that is said of the static pods
    if state.how == UNSEEN:
        return unknown(subject, f'whether {component} runs on {machine.label}: {state.why}', explained_by=upstream(machine, component), **more)
    if state.how == READY:
        return ok(subject)
    if state.how == RUNNING:
        return _readiness_unseen(view, machine, component, subject, state, more)
    return _bad(view, machine, component, subject, state, more)


def _readiness_unseen(view, machine, component, subject, state, more):
    title = f'whether {component} on {machine.label} is ready: its container runs, but {state.why}'
    if settling(view, machine):
        if view.in_progress(machine):
            return info(subject, f'{component} on {machine.label} runs still, while the machine is {view.stage(machine)}',
                        f'Whether it is ready was not seen ({state.why}).', **more)
        return info(subject, f'{component} on {machine.label} has started', f'Whether it is ready was not seen yet ({state.why}).', **more)
    kubelet = view.service(machine, 'kubelet')
    if not view.components.quorum_lost and kubelet is not None and kubelet.get('state') != 'Running':
        return info(subject, f'{component} on {machine.label} runs on without a kubelet', f'Whether it is ready was not seen ({state.why}). It is not '
                    'restarted when it ends.', 'Get the kubelet to run.', explained_by=(kubelet_down(machine),), **more)
    return unknown(subject, title, explained_by=upstream(machine, component), **more)


def _bad(view, machine, component, subject, state, more):
    found = cause_in_log(view, machine, component)
    what, step, line = found if found else ('', '', None)
    more = {'nodes': more['nodes'], 'evidence': [*([line] if line else []), *state.evidence]}
    title = f'{component} on {machine.label} {_how(state)}' + (f': {what}' if what else '')
    asserts = (api_server_down(machine),) if component == API_SERVER else (nowhere(component),) if _is_nowhere(view, component) else ()
    if settling(view, machine):
        return info(subject, title, 'The node, or the cluster, is young: components start and end until etcd and the API are there.',
                    'Look again in a few minutes.', **more)
    gone = None if state.since is None else (view.now - state.since).total_seconds()
    if not _crashes(view, state) and gone is not None and gone < view.threshold(SETTLE_SECONDS) and not state.waits_for_image:
        return info(subject, title, f'It has not been ready for {span(gone)}; a restart takes a moment.', 'Look again in a few minutes.',
                    explained_by=upstream(machine, component), **more)
    address = machine.address or machine.label
    pod = f'talosctl -n {address} containers -k, then talosctl -n {address} logs -k <id of {component}>'
    if state.waits_for_image or state.how == NO_CONTAINER:
        said = state.message or state.image or 'see the log of kubelet'
        step = step or f'Let the node reach its registry, or correct the image in {CONFIG_KEYS[component]}: {said}.'
    step = step or (f'Read its log: {pod}. Check that this version of Kubernetes is supported by this Talos, and that extraArgs and extra configuration in '
                    f'{CONFIG_KEYS[component]} are valid.')
    return error(subject, title, _DEAD[component], step, asserts=asserts, explained_by=upstream(machine, component), **more)


def _is_nowhere(view, component):
    """No control plane node has it ready, as far as any could be seen; one that could not may have it."""
    states = [view.components.state(machine, component) for machine in view.control_planes]
    return all(state.bad or state.how == ABSENT for state in states)


def _crashes(view, state):
    """It ends again and again: the kubelet says so, or it has ended several times, the last time a short while ago."""
    recent = state.ended is not None and (view.now - state.ended).total_seconds() < CRASH_SECONDS
    return state.crashes or ((state.restarts or 0) >= CRASH_RESTARTS and recent)


def _how(state):
    if state.waits_for_image:
        return f'waits for its image ({state.reason})'
    times = f', {state.restarts} restarts' if state.restarts else ''
    if state.crashes:
        end = f', ended with {state.last.get("reason")} (exit code {state.last.get("exitCode")})' if state.last.get('reason') else ''
        return f'crashes again and again (CrashLoopBackOff{times}{end})'
    if state.how == UNREADY:
        return f'runs, but is not ready{times}'
    if state.how == NO_CONTAINER:
        return 'has a sandbox, but no container'
    return f'does not run ({state.reason or state.how}{times})'


# -- EXT-OOMK ---------------------------------------------------------------------------------------------------

def component_restarts(view, machine):
    """A component that runs now has not ended several times of late."""
    early = nothing_to_judge(view, machine)
    if early:
        return early
    outcomes = []
    for component in COMPONENTS:
        state, subject = view.components.state(machine, component), f'{machine.key}:{component}'
        if state.how != READY:
            continue
        recent = state.ended is not None and (view.now - state.ended).total_seconds() < CRASH_SECONDS
        if not recent or (state.restarts or 0) < view.threshold(RESTARTS):
            outcomes.append(ok(subject))
            continue
        killed = state.last.get('reason') == 'OOMKilled'
        sick = etcd_was_sick(view)
        if sick is None:
            outcomes.append(unknown(subject, f'whether {component} on {machine.label} restarts without a reason: how etcd is was not seen on every control '
                                             'plane node', nodes=[machine.key], evidence=state.evidence))
            continue
        say = info if settling(view, machine) or sick else warning
        outcomes.append(say(
            subject, f'{component} on {machine.label} has restarted {state.restarts} times, the last time {span((view.now - state.ended).total_seconds())} '
                     f'ago ({state.last.get("reason")}, exit code {state.last.get("exitCode")})',
            'It runs just now. ' + ('The kernel ended it for lack of memory.' if killed else 'What ends it has not gone.'),
            f'Give {machine.label} more memory, or find what uses it.' if killed else
            f'Read the log of the instance before: talosctl -n {machine.address or machine.label} containers -k shows its id, talosctl logs -k its end.',
            nodes=[machine.key], evidence=state.evidence, explained_by=upstream(machine, component)))
    return outcomes or not_applicable(machine.key, f'no component of {machine.label} was seen to be ready', nodes=[machine.key])


# -- CP-4: versions ---------------------------------------------------------------------------------------------

def version_skew(view, machine):
    """kube-controller-manager and kube-scheduler are not newer than the API server that they ask, nor more than one minor older."""
    early = nothing_to_judge(view, machine)
    if early:
        return early
    images = {component: _image(view, machine, component) for component in COMPONENTS}
    server = _minor(images[API_SERVER])
    if server is None:
        return not_applicable(machine.key, f'no version of {API_SERVER} on {machine.label} was seen', nodes=[machine.key])
    outcomes = []
    for component in COMPONENTS[1:]:
        minor, subject = _minor(images[component]), f'{machine.key}:{component}'
        if minor is None:
            continue
        if 0 <= server[1] - minor[1] <= 1 and server[0] == minor[0]:
            outcomes.append(ok(subject))
            continue
        say = info if view.in_progress(machine) else warning
        outcomes.append(say(
            subject, f'{component} on {machine.label} is v{minor[0]}.{minor[1]}, its API server v{server[0]}.{server[1]}',
            'Kubernetes supports a controller manager and a scheduler that are as old as their API server, or one minor older.',
            f'Give both one version: talosctl upgrade-k8s, or the images in {CONFIG_KEYS[component]} and cluster.apiServer.', nodes=[machine.key]))
    return outcomes or not_applicable(machine.key, f'{machine.label} runs no further component', nodes=[machine.key])


def _image(view, machine, component):
    return (view.components.definition(machine, component) or {}).get('image') or view.components.state(machine, component).image


def _minor(image):
    found = _MINOR.search(str(image or '').split('@', 1)[0])
    return (int(found.group(1)), int(found.group(2))) if found else None


_READS = ('Containers', 'StaticPodStatuses', 'ServiceList', 'MachineStatuses', 'EtcdStatus', 'ControllerManagerConfigs', 'SchedulerConfigs')

CHECKS = (
    Check('controlplane.component_down', SECTION, 'kube-apiserver, kube-controller-manager and kube-scheduler run and are ready', component_down,
          each=CONTROL_PLANES, reads=_READS, logs=('containers',), catalogue='CP-3, CP-4', thresholds={
              SETTLE_SECONDS: Threshold(120, 's', 'how long a component of the control plane may be not ready before it is an error')}),
    Check('controlplane.component_restarts', SECTION, 'No component of the control plane restarts again and again', component_restarts, each=CONTROL_PLANES,
          reads=_READS, catalogue='EXT-OOMK', thresholds={
              RESTARTS: Threshold(5, 'count', 'restarts, the last of them within ten minutes, from which a component is said to restart again and again')}),
    Check('controlplane.version_skew', SECTION, 'The components of a node have versions that go together', version_skew, each=CONTROL_PLANES,
          reads=('StaticPods', 'Containers'), catalogue='CP-4'),
)
