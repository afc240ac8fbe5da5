# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of Kubernetes' own components on a control plane node, worked out once for a snapshot.

Three sources tell of a component's pod: the CRI's containers, which need nothing but the CRI; the statuses that Talos
takes from the kubelet every 15 s, which stand still while the kubelet cannot ask an API server (edge-cases 31); and the
Pod in Kubernetes, which stands still as soon as etcd takes no writes. They are believed in this order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Evidence
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import SYSTEM, condition
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

API_SERVER = 'kube-apiserver'
CONFIGS = {'kube-controller-manager': 'ControllerManagerConfigs', 'kube-scheduler': 'SchedulerConfigs'}

# How a component is.
READY = 'ready'
RUNNING = 'running'  # and whether it is ready was not seen
UNREADY = 'running, but not ready'
WAITING = 'waiting'
EXITED = 'exited'
NO_CONTAINER = 'without a container'
ABSENT = 'absent'
UNSEEN = 'unseen'

BAD = (UNREADY, WAITING, EXITED, NO_CONTAINER)

_IMAGE = ('ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'RegistryUnavailable', 'ErrImageNeverPull')
_CRASH = 'CrashLoopBackOff'


@dataclass
class State:
    """How one component is on one node. C(since): not ready since then. C(last): its last end {reason, exitCode, finishedAt}."""

    how: str
    reason: str | None = None
    message: str | None = None
    restarts: int | None = None
    since: datetime | None = None
    last: dict = field(default_factory=dict)
    image: str | None = None
    evidence: list = field(default_factory=list)
    why: str = ''

    @property
    def bad(self):
        return self.how in BAD

    @property
    def waits_for_image(self):
        return self.reason in _IMAGE

    @property
    def crashes(self):
        return self.reason == _CRASH

    @property
    def ended(self):
        """When it ended last, None when that is not known."""
        return parse_time(self.last.get('finishedAt'))


class ComponentFacts:
    """Facts of a View; see the methods."""

    def __init__(self, view):
        self.view = view
        self._states = {}

    # -- definitions ----------------------------------------------------------------------------------------

    def enabled(self, machine, component):
        """Whether the machine's configuration wants it; None when that was not seen."""
        kind = CONFIGS.get(component)
        if kind is None:
            return True
        spec = machine.resource(kind)
        return None if not isinstance(spec, dict) else spec.get('enabled') is not False

    def definition(self, machine, component):
        """The container {name, image, command} of its static pod, or None where there is none (or the list was not read)."""
        spec = machine.resource('StaticPods', component)
        containers = (spec or {}).get('containers') or []
        return next((each for each in containers if each.get('name') == component), containers[0] if containers else None)

    # -- what is frozen -------------------------------------------------------------------------------------

    @property
    def quorum_lost(self):
        """etcd was asked, and no member knows a leader (G0b): what Kubernetes says of itself stands still."""
        etcd = self.view.etcd
        return bool(etcd.statuses) and not etcd.with_leader

    def frozen(self, machine):
        """Why the statuses of this machine's static pods are not those of now; empty where they are."""
        if self.quorum_lost:
            return 'etcd has no leader, and without it the kubelet may not tell anybody of its pods'
        kubelet = self.view.service(machine, 'kubelet')
        if kubelet is not None and kubelet.get('state') != 'Running':
            return f'the kubelet is {kubelet.get("state")}'
        return ''

    # -- states ---------------------------------------------------------------------------------------------

    def state(self, machine, component):
        """The State of a component on a control plane node."""
        where = (machine.key, component)
        if where not in self._states:
            self._states[where] = self._state(machine, component)
        return self._states[where]

    def _state(self, machine, component):
        status, told = self._status(machine, component)
        containers = self._containers(machine, component)
        if containers is None and told is None:
            return self._from_pod(machine, component)
        evidence = []
        if containers is not None:
            evidence += [Evidence(f'{c.get("id")}: {c.get("status")}', 'Containers', machine.label, machine.datum('Containers').at) for c in containers]
        if told is not None:
            evidence.append(Evidence(told, 'StaticPodStatuses', machine.label, machine.datum('StaticPodStatuses').at))
        seen = _from_containers(containers)
        frozen = self.frozen(machine)
        if status is None:
            why = frozen or (f'StaticPodStatuses: {machine.datum("StaticPodStatuses").why()}' if told is None else 'the kubelet tells nothing of it')
            return State(seen or UNSEEN, evidence=evidence, why=why, image=_image(containers))
        said = _from_status(status, component)
        said.evidence, said.why = evidence, frozen
        said.image = _image(containers) or said.image
        if frozen:
            said.how = seen if seen is not None else UNSEEN
            said.reason = said.message = said.since = None
            return said
        if seen in (EXITED, NO_CONTAINER, ABSENT) and said.how in (READY, UNREADY):
            said.how = seen  # the CRI's word is newer
            said.since = None
        return said

    def _status(self, machine, component):
        """(PodStatus, what it says in short) as Talos has it from the kubelet; (None, None) where the list was not read."""
        if not machine.datum('StaticPodStatuses').ok:
            return None, None
        start = f'{SYSTEM}/{component}-'
        for item in machine.value('StaticPodStatuses') or []:
            if str(item.get('id')).startswith(start) and isinstance(item.get('spec'), dict):
                return item['spec'], _short(item['spec'], component)
        return None, f'no status of {component}'

    def _containers(self, machine, component):
        """Sandboxes and containers of its pod as the CRI lists them; None where they were not read."""
        listed = machine.value('Containers')
        if listed is None:
            return None
        start = f'{SYSTEM}/{component}-'
        return [c for c in listed.get('containers') or []
                if str(c.get('pod_id') or c.get('id') or '').startswith(start) and (c.get('name') == component or _is_sandbox(c))]

    def _from_pod(self, machine, component):
        """The state by the Pod in Kubernetes, where the machine itself told nothing."""
        why = f'Containers: {machine.datum("Containers").why()}; StaticPodStatuses: {machine.datum("StaticPodStatuses").why()}'
        node = self.view.kubernetes.node_of(machine)
        pods = self.view.kubernetes.pods_on(node['name']) if node else []
        pod = next((each for each in pods if each['name'] == f'{component}-{node["name"]}'), None)
        if pod is None or self.quorum_lost:
            return State(UNSEEN, why=why)
        container = next((c for c in pod['containers'] if c['name'] == component), None)
        if container is None:
            return State(UNSEEN, why=why)
        ready = condition(pod, 'Ready')
        how = {'running': READY if container['ready'] else UNREADY, 'waiting': WAITING, 'terminated': EXITED}.get(container['state'], UNSEEN)
        last = container['last'] or {}
        text = f'{pod["name"]}: {container["state"]} {container["reason"] or ""}'.strip() + f', ready {container["ready"]}, {container["restarts"]} restarts'
        return State(how, container['reason'], container['message'], container['restarts'],
                     parse_time(ready.get('lastTransitionTime')) if how != READY else None,
                     {'reason': last.get('reason'), 'exitCode': last.get('exit_code'), 'finishedAt': last.get('at')}, container['image'],
                     [Evidence(text, 'Pods', machine.label, self.view.kubernetes.datum('pods').at)])

    # -- logs -----------------------------------------------------------------------------------------------

    @staticmethod
    def log(machine, component):
        """(id, text) of the component's own log, (None, '') where none was read."""
        start, end = f'{component}-', f':{component}'
        for log_id, datum in machine.logs.items():
            if log_id.startswith(start) and log_id.endswith(end) and datum.ok:
                return log_id, datum.value or ''
        return None, ''


def _is_sandbox(container):
    return str(container.get('status') or '').startswith('SANDBOX')


def _from_containers(containers):
    """The state by the CRI: any container that runs is enough, earlier instances stay listed as EXITED (edge-cases 73)."""
    if containers is None:
        return None
    own = [c for c in containers if not _is_sandbox(c)]
    if any(c.get('status') == 'CONTAINER_RUNNING' for c in own):
        return RUNNING
    if own:
        return EXITED
    return NO_CONTAINER if containers else ABSENT


def _from_status(status, component):
    """The State by a PodStatus of Kubernetes."""
    container = next((c for c in status.get('containerStatuses') or [] if c.get('name') == component), {})
    ready = condition(status, 'Ready')
    kind, said = next(iter((container.get('state') or {}).items()), (None, {}))
    how = {'running': READY if container.get('ready') and ready.get('status') != 'False' else UNREADY, 'waiting': WAITING, 'terminated': EXITED}.get(
        kind, NO_CONTAINER)
    said = said or {}
    last = (container.get('lastState') or {}).get('terminated') or {}
    return State(how, said.get('reason'), said.get('message'), container.get('restartCount'),
                 parse_time(ready.get('lastTransitionTime')) if how != READY else None, said if kind == 'terminated' else last, container.get('image'))


def _short(status, component):
    """A PodStatus in a line."""
    container = next((c for c in status.get('containerStatuses') or [] if c.get('name') == component), {})
    kind, said = next(iter((container.get('state') or {}).items()), ('no container', {}))
    reason = (said or {}).get('reason')
    ready = condition(status, 'Ready')
    text = f'{component}: {status.get("phase")}, {kind}{f" ({reason})" if reason else ""}, Ready {ready.get("status")}'
    text += f' since {ready["lastTransitionTime"]}' if ready.get('lastTransitionTime') else ''
    last = (container.get('lastState') or {}).get('terminated') or {}
    text += f', {container.get("restartCount") or 0} restarts'
    return text + (f', last end {last.get("finishedAt")} {last.get("reason")} (exit code {last.get("exitCode")})' if last else '')


def _image(containers):
    return next((c.get('image') for c in containers or [] if not _is_sandbox(c) and c.get('image')), None)
