# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the etcd checks share: what they say when they cannot see, and how members and sizes are written."""

from __future__ import annotations

from functools import wraps

from ansible_collections.talosops.talos.plugins.module_utils.judge.check import not_applicable, unknown
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOT_BOOTSTRAPPED, down, unreachable

READ_IT = 'Read it with a client certificate that may (os:reader suffices), or find out why the call does not come back, then gather again.'


def mib(size):
    """Bytes for a person."""
    return f'{size / 1024 ** 3:.1f} GiB' if size >= 10 * 1024 ** 3 else f'{size / 1024 ** 2:.1f} MiB'


def troubles(view):
    """Every fact that can explain why something of etcd was not answered."""
    planes = view.control_planes
    return (NOT_BOOTSTRAPPED, NO_QUORUM, *(down(m) for m in planes), *(unreachable(m) for m in planes if not m.answered),
            'role', 'not_judged')


def nothing_to_ask(view, title):
    """The outcome where there is no etcd that could be asked anything, else None."""
    planes = view.control_planes
    if view.not_bootstrapped:
        return not_applicable('cluster', 'the cluster has not been bootstrapped')
    if not view.answering_control_planes:
        return unknown('cluster', f'{title}: no control plane node could be read', nodes=[m.key for m in planes],
                       explained_by=troubles(view))
    if not view.etcd.running_planes:
        return unknown('cluster', f'{title}: etcd was not seen to run on any control plane node', next_step='Get etcd to run first.',
                       nodes=[m.key for m in planes], explained_by=troubles(view))
    return None


def unread(view, title, kind):
    """Unknown for the cluster: a read that no etcd member answered, with the reason of each."""
    asked = view.etcd.possible_planes
    why = '; '.join(f'{m.label}: {m.datum(kind).why()}' for m in asked)
    return unknown('cluster', f'{title}: {kind} was not read ({why})', next_step=READ_IT, nodes=[m.key for m in asked],
                   explained_by=troubles(view))


def unread_on(title, kind, machines):
    """Unknown for each machine that did not answer a read which others did answer."""
    return [_missing(machine, title, f'{kind}: {machine.datum(kind).why()}') for machine in machines]


def where_etcd_runs(*kinds, logs=()):
    """Decorate C(run(view, machine)): only where etcd runs; unknown where one of these reads, or logs, is missing.

    A node whose etcd does not run is judged by the checks of the service; calls to etcd hang there (talos-api 5.4).
    """
    def decorate(run):
        @wraps(run)
        def judged(view, machine):
            title = run.__doc__.strip().splitlines()[0].rstrip('.')
            if not machine.datum('ServiceList').ok:
                return _missing(machine, title, f'ServiceList: {machine.datum("ServiceList").why()}')
            if not view.etcd.running(machine):
                return None
            missing = [f'{kind}: {machine.datum(kind).why()}' for kind in kinds if not machine.datum(kind).ok]
            missing += [f'log {log}: {machine.log(log).why()}' for log in logs if not machine.log(log).ok]
            return _missing(machine, title, '; '.join(missing)) if missing else run(view, machine)
        return judged

    return decorate


def _missing(machine, title, why):
    return unknown(machine.key, f'{title}: not judged on {machine.label}, {why}', next_step=READ_IT, nodes=[machine.key],
                   explained_by=(NO_QUORUM, down(machine), 'role'))
