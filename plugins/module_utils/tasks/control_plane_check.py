# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_control_plane_check: what each control plane node runs of Kubernetes (talos-api 5.2, 6.6)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.judge.component_facts import NO_CONTAINER, READY, UNREADY, UNSEEN
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import COMPONENTS, SYSTEM, condition
from ansible_collections.talosops.talos.plugins.module_utils.judge.settings import Settings
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time
from ansible_collections.talosops.talos.plugins.module_utils.tasks import facts, section

ROLE = 'control_plane'
PODS_MOST = 50

_SHORT = {READY: 'ready', UNREADY: 'not_ready', UNSEEN: None, NO_CONTAINER: 'no_container'}


def run(params, check_mode, say):
    """Facts and findings of the sections of the role; see the module's RETURN. Raises TalosError."""
    return section.run(params, say, ROLE, of)


def of(snapshot, params):
    """C(nodes): the components of each control plane node, its static pods and its manifests; C(pods): those of kube-system that are not ready."""
    view = View(snapshot, Settings())
    names = facts.labels(snapshot)
    planes = snapshot.control_planes()
    pods = view.kubernetes.pods
    return {
        'nodes': {names[machine.key]: _node(view, machine) for machine in planes if machine.answered},
        'pods_not_ready': None if pods is None else [_pod(pod) for pod in pods if _is_unready(pod)][:PODS_MOST],
        'kubernetes_unread': None if pods is not None else view.kubernetes.datum('pods').why(),
        'unread': facts.unread(snapshot, planes, 'Containers'),
    }


def _node(view, machine):
    listed = machine.value('StaticPods')
    return {
        'static_pods': None if listed is None else [str(item.get('id')) for item in listed],
        'components': {component: _component(view, machine, component) for component in COMPONENTS},
        'manifests': _manifests(machine),
    }


def _component(view, machine, component):
    """C(state) is null where it was not seen, absent where nothing runs it."""
    state = view.components.state(machine, component)
    return {
        'state': _SHORT.get(state.how, state.how),
        'reason': state.reason,
        'restarts': state.restarts,
        'not_ready_since': format_time(state.since) if state.since else None,
        'last_end': {'reason': state.last.get('reason'), 'exit_code': state.last.get('exitCode'), 'at': state.last.get('finishedAt')} if state.last else None,
        'image': state.image or (view.components.definition(machine, component) or {}).get('image'),
        'enabled': view.components.enabled(machine, component),
    }


def _manifests(machine):
    rendered, applied = machine.value('Manifests'), machine.resource('ManifestStatuses', 'manifests')
    if rendered is None or not machine.datum('ManifestStatuses').ok:
        return None
    ids, done = [str(item.get('id')) for item in rendered], set((applied or {}).get('manifestsApplied') or [])
    return {'rendered': ids, 'not_applied': [name for name in ids if name not in done]}


def _is_unready(pod):
    return pod['namespace'] == SYSTEM and pod['phase'] != 'Succeeded' and condition(pod, 'Ready').get('status') != 'True'


def _pod(pod):
    waits = next((c for c in pod['containers'] if c['state'] == 'waiting'), {})
    return {'name': pod['name'], 'node': pod['node'], 'phase': pod['phase'], 'reason': waits.get('reason') or pod['reason'],
            'restarts': sum(c['restarts'] for c in pod['containers'])}
