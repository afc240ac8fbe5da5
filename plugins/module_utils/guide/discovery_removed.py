# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Removed Members are Still Present": what discovery still lists, and nobody else knows."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import (
    FORGOTTEN_SECONDS, REMEMBERED, addresses_of, listed, members, nothing_read, ordered, presence, seen, span, unread,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Evidence, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

SECTION = 'discovery.removed'
_STEP = ('If the machine was destroyed, nothing needs to be done: discovery forgets it 30 minutes after it last reported. Next time reset '
         'it first (talosctl reset), which takes it out at once. If it should be there, look at its console.')


def removed_member(view):
    """Members that do not answer and that neither Kubernetes nor etcd knows.

    A listed member that they do know is a machine that is down (talos_api.machine_unreachable), not a removed one. The
    time of an entry tells when it appeared or changed, not when its machine was last alive; so what is said rests on
    how long it has been listed without ever being a Node.
    """
    answering = view.snapshot.answering()
    if not any(m.datum('Members').ok for m in answering):
        return nothing_read('whether removed members are listed', answering, 'Members')
    if all(view.discovery_disabled(m) for m in answering):
        return not_applicable('cluster', 'discovery is disabled')
    outcomes, silent = [], []
    for machine in ordered(view.snapshot.machines):
        if machine.answered:
            continue
        entries = _entries(view, machine)
        if not entries:
            continue
        if presence(view, machine) == REMEMBERED:
            outcomes.append(_removed(view, machine, entries))
        elif view.kubernetes.nodes is None and 'etcd' not in machine.known_from:
            silent.append(machine)
    if silent:
        outcomes.append(unknown('cluster', f'whether members that do not answer ({listed(m.label for m in silent)}) were removed or '
                                           f'are down: the Kubernetes Nodes were not read, {_why_no_nodes(view)}',
                                nodes=[m.key for m in silent],
                                explained_by=tuple(f'unreachable:{m.key}' for m in silent)))
    if unread(answering, 'Members'):
        outcomes.append(unknown('cluster', f'whether removed members are listed: {"; ".join(unread(answering, "Members"))}'))
    return outcomes or ok('cluster')


def _why_no_nodes(view):
    datum = (view.snapshot.kubernetes.get('data') or {}).get('nodes')
    return datum.why() if datum is not None else 'not asked for'


def _entries(view, machine):
    """[(observer, resource)] of the lists in which a machine stands."""
    mine = addresses_of(view, machine)
    return [(observer, item) for observer in ordered(view.snapshot.answering()) for item, spec in members(observer)
            if spec.get('nodeId') == machine.key or mine & {normal(a) for a in spec.get('addresses') or []}]


def _removed(view, machine, entries):
    since = max(filter(None, (parse_time(item.get('updated') or item.get('created')) for _observer, item in entries)), default=None)
    age = (view.now - since).total_seconds() if since else None
    evidence = [seen(observer, 'Members', f'{machine.label} is listed, entry last changed {item.get("updated") or item.get("created")}')
                for observer, item in entries]
    if machine.unreachable:
        evidence.insert(0, Evidence(machine.unreachable.get('text') or '', 'Talos API', machine.label, machine.unreachable.get('at')))
    title = f'{machine.label} is listed as a member, but does not answer, and neither Kubernetes nor etcd knows it'
    if age is not None and age > FORGOTTEN_SECONDS:
        return warning(machine.key, title, f'Its entry has stood unchanged for {span(age)}, longer than discovery remembers a silent '
                                           'machine. It was seen once, so it cannot be told whether the machine stopped within the last '
                                           'half hour or still reports itself: a machine of a destroyed cluster with the same secrets '
                                           'does, and so does one whose API is blocked and that never became a Node.',
                       f'Look again in 35 minutes: an entry that is still there then belongs to a machine that runs. {_STEP}',
                       nodes=[machine.key], evidence=evidence,
                       asserts=(f'unreachable:{machine.key}',))
    when = f'It changed {span(age)} ago' if age is not None else 'When it changed is not known'
    return info(machine.key, title, f'{when}. Either the machine was destroyed without a reset, and discovery forgets it 30 minutes after '
                                    'it last reported, or it is just joining.',
                _STEP, nodes=[machine.key], evidence=evidence)


def stale_affiliate(view):
    """Affiliates that no machine stands behind and that are no members: they have no name."""
    answering = view.snapshot.answering()
    read = [m for m in ordered(answering) if m.datum('Affiliates').ok]
    if not read:
        return nothing_read('whether affiliates are left over', answering, 'Affiliates')
    known = {machine.key for machine in answering}
    found = {}
    for machine in read:
        for item, spec in members(machine, 'Affiliates'):
            if spec.get('nodeId') not in known and not spec.get('nodename'):
                found.setdefault(spec.get('nodeId') or item.get('id'), []).append((machine, spec))
    return [info(f'affiliate {node_id}', f'affiliate {node_id} has no name, and no machine answers for it',
                 'A machine that reported itself before it had a name, or whose installation is gone. Discovery forgets it 30 minutes '
                 'after it last reported.',
                 'Look again in half an hour; if it is still there, a machine without a host name is running.',
                 evidence=[seen(m, 'Affiliates', f'addresses {listed(spec.get("addresses") or []) or "none"}, host name '
                                                 f'{spec.get("hostname") or "none"}') for m, spec in where])
            for node_id, where in sorted(found.items(), key=str)] or ok('cluster')


CHECKS = (
    Check('discovery.removed_member', SECTION, 'no member is listed whose machine is gone', removed_member,
          reads=('Members', 'Affiliates', 'Identities'),
          cluster_reads=('nodes',), catalogue='DSC-4'),
    Check('discovery.stale_affiliate', SECTION, 'no affiliate is left over', stale_affiliate, reads=('Affiliates',), catalogue='DSC-4'),
)
