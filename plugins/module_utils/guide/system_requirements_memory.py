# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "System Requirements": processes that were ended, and pods that were evicted, for lack of memory or disk (check catalogue SYS-5).

The kernel ends processes when the machine, or a cgroup, has no memory left; Talos ends cgroups before it comes to that (1.12 and on); the
kubelet evicts pods. All of it stands in logs, which keep what happened since the boot: a day counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, logs_quiet
from ansible_collections.talosops.talos.plugins.module_utils.guide.system_requirements_machine import SECTION, lacks_memory, own
from ansible_collections.talosops.talos.plugins.module_utils.judge import loglines
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import ALL, Check, Evidence, Threshold, error, info, warning
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time

# Without these a machine is none of a cluster; the kernel cuts names to 15 characters.
SYSTEM = ('etcd', 'kube-apiserver', 'kubelet', 'containerd', 'apid', 'machined', 'trustd', 'init')
_NEEDLES = ('illed process', 'Sending SIGKILL to cgroup', 'invoked oom-killer')
_KILLED = re.compile(r'(?P<cgroup>Memory cgroup )?[Oo]ut of memory: Killed process \d+ \((?P<victim>[^)]+)\)')
_TALOS = re.compile(r'Sending SIGKILL to cgroup .*"cgroup": "(?P<victim>[^"]+)"')
_INVOKED = re.compile(r'(?P<victim>\S+) invoked oom-killer:')
_OF_PODS = 'kubepods'


@dataclass(frozen=True)
class _Kill:
    """C(victim): a process, or a cgroup; C(kind): kernel, cgroup (a container's own limit) or talos."""

    kind: str
    victim: str
    line: loglines.Line
    source: str
    age: float | None

    @property
    def at(self) -> datetime | None:
        return self.line.near

    @property
    def of_the_system(self):
        name = self.victim.rpartition('/')[2]
        return _OF_PODS not in self.victim and any(name == one or name == f'{one}.service' for one in SYSTEM)


@own('the kernel')
def out_of_memory(view, machine):
    """Nothing was ended for lack of memory within a day."""
    kills = _kills(view, machine)
    recent = [kill for kill in kills if kill.age is None or kill.age <= view.threshold('system_requirements_out_of_memory_seconds')]
    if not recent:
        if kills:
            return info(machine.key, f'{machine.label} ran out of memory more than a day ago, which ended {_called(kills)}',
                        'It may happen again.', 'See what uses the memory (talosctl memory, processes).', nodes=[machine.key],
                        evidence=[_quote(machine, kill) for kill in kills[-3:]])
        return logs_quiet(view, machine, f'whether {machine.label} ran out of memory', 'dmesg', 'controller-runtime')
    of_the_system = [kill for kill in recent if kill.of_the_system] + _named_by_talos(machine, recent)
    evidence = [_quote(machine, kill) for kill in [*of_the_system, *(kill for kill in reversed(recent) if kill not in of_the_system)]]
    step = ('Give the machine more memory, or limit what grows: pods without limits, and requests that do not tell what is used (talosctl memory, '
            'processes; kubectl top). Reserve memory for the system (kubelet: systemReserved, kubeReserved).')
    if all(kill.kind == 'talos' for kill in recent):
        step += ' Talos 1.12.0 ended cgroups too early: use a later 1.12, or set OOMConfig.'
    more = {'nodes': [machine.key], 'evidence': evidence, 'explained_by': (lacks_memory(machine),)}
    if of_the_system:
        return error(machine.key, f'{machine.label} ran out of memory, which ended {_called(of_the_system)}',
                     'That is a part of Talos or of the control plane. It starts again, and fails again as long as memory is short.', step,
                     asserts=(lacks_memory(machine),), **more)
    if all(kill.kind == 'cgroup' for kill in recent):
        return warning(machine.key, f'on {machine.label} {_called(recent)} had used up the memory that its container may have, and was ended',
                       'The machine itself need not lack memory: the limit of the container does not fit what runs in it.',
                       'Raise the limit of that container, or find out why it grows.', **more)
    return warning(machine.key, f'{machine.label} ran out of memory, which ended {_called(recent)}',
                   'What is ended next is the kernel\'s choice, or Talos\'s: it may be a part of the control plane.', step,
                   asserts=(lacks_memory(machine),), **more)


def _kills(view, machine):
    """What was ended, oldest first: of the kernel's log, of machined's, and of the controllers'; each once."""
    now, found = view.signatures.clock(machine), {}
    for source in ('dmesg', 'machined', 'controller-runtime'):
        text = machine.log(source).value if machine.log(source).ok else ''
        if not text or not any(needle in text for needle in _NEEDLES):
            continue
        for line in loglines.machined(loglines.normal(text)):
            for kind, pattern in (('kernel', _KILLED), ('talos', _TALOS), ('invoked', _INVOKED)):
                said = pattern.search(line.text) if any(needle in line.text for needle in _NEEDLES) else None
                if said:
                    kind = 'cgroup' if kind == 'kernel' and said['cgroup'] else kind
                    near = line.near or loglines.time_of(line.text, now)
                    second = int(near.timestamp()) if near else None
                    age = max(0.0, (now - near).total_seconds()) if near else None
                    found.setdefault((kind, said['victim'], second), _Kill(kind, said['victim'], line, source, age))
                    break
    kills = sorted(found.values(), key=lambda kill: -(kill.age or 0.0))
    ended = [kill for kill in kills if kill.kind != 'invoked']
    return ended or kills  # who asked for memory is told where nobody is known to have been ended for it


def _named_by_talos(machine, recent):
    """The cgroups that Talos ended, where its own record of it (os:admin alone may read it) names a part of the system."""
    named = [str(item.get('spec')) for item in machine.value('OOMActions') or []]
    hit = any(re.search(rf'\b{re.escape(name)}\b', text) for text in named for name in SYSTEM[:3])
    return [kill for kill in recent if kill.kind == 'talos' and not kill.of_the_system] if hit else []


def _called(kills):
    return listed(dict.fromkeys(kill.victim.rpartition('/')[2] if kill.kind == 'talos' else kill.victim for kill in kills), 4)


def _quote(machine, kill):
    return Evidence(kill.line.text, f'log {kill.source}', machine.label, format_time(kill.at) if kill.at else None)


@own('the kernel')
def pods_evicted(view, machine):
    """The kubelet need not evict pods to get memory or disk back (signature sys.disk_pressure)."""
    hits = [hit for hit in view.signatures.recent(machine, 'sys.disk_pressure')
            if hit.age is None or hit.age <= view.threshold('system_requirements_evictions_seconds')]
    if not hits:
        return logs_quiet(view, machine, f'whether the kubelet of {machine.label} evicts pods', 'kubelet')
    hit = hits[-1]
    of_memory = hit.groups.get('res') == 'memory'
    facts = (lacks_memory(machine),) if of_memory else (f'disk_full:{machine.key}',)
    what = 'memory' if of_memory else 'disk space'
    if 'must evict' in hit.line.text:
        return error(machine.key, f'the kubelet of {machine.label} evicts pods for lack of {what}',
                     'Pods are ended here and started elsewhere, and the Node takes no new ones.',
                     f'Find what uses the {what} of this machine, and limit it, or give the machine more.', nodes=[machine.key],
                     evidence=[hit.evidence()], asserts=facts, explained_by=facts)
    return warning(machine.key, f'the kubelet of {machine.label} tries to get {what} back',
                   'It deletes images and dead containers; if that is not enough it evicts pods.',
                   f'Find what uses the {what} of this machine.', nodes=[machine.key], evidence=[hit.evidence()], explained_by=facts)


CHECKS = (
    Check('system_requirements.out_of_memory', SECTION, 'nothing is ended for lack of memory', out_of_memory, each=ALL,
          reads=('Version', 'OOMActions', 'Time'), logs=('dmesg', 'machined', 'controller-runtime'), catalogue='SYS-5 SYS-4', thresholds={
              'system_requirements_out_of_memory_seconds': Threshold(
                  86400, 's', 'how long ago something may have been ended for lack of memory to be reported')}),
    Check('system_requirements.pods_evicted', SECTION, 'the kubelet need not evict pods', pods_evicted, each=ALL,
          reads=('Version', 'MachineStatuses', 'ServiceList'), logs=('kubelet',), catalogue='SYS-5 EXT-DISK', sharpens=True, thresholds={
              'system_requirements_evictions_seconds': Threshold(600, 's', 'how long ago the kubelet may have evicted pods to be reported')}),
)
