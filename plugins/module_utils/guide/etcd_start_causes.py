# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why etcd stays in Pre: the reasons that the service's last event and machined's log since then name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ansible_collections.talosops.talos.plugins.module_utils.guide.image_pull import RETRY, given_up, last_pull
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import addresses_of, listed, members, ordered, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Evidence
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import BOOTSTRAP_WAIT, NO_QUORUM, PRE_FAILED, down
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time

_WAITING = re.compile(r'^Waiting for (?P<what>.*)', re.DOTALL)
_PEER_EXISTS = re.compile(r'member already exists with the same peer URLs \[?(?P<urls>[^\]]*)\]?, but is not a learner')
_JOIN_FAILED = re.compile(r'error getting etcd member list|error adding member|error removing self from the member list|'
                          r'error getting etcd client|no controlplane endpoints discovered yet')


@dataclass(frozen=True)
class Cause:
    """C(what) ends a title, C(lasting): waiting does not help."""

    what: str
    means: str
    next_step: str
    evidence: list = field(default_factory=list)
    lasting: bool = False
    explained_by: tuple = ()
    remedy: dict | None = None


def cause_of(view, machine):
    """The Cause of an etcd in Pre; the last reason that the present attempt gave."""
    last = view.etcd.last_event(machine)
    said = last.msg if last is not None else ''
    found = _image(view, machine, said) or _prestage(view, machine, said) or _dependency(view, machine, said) or _join(view, machine)
    if found:
        return found
    log = machine.log('machined')
    unseen = '' if log.ok else f' (the log that would say why was not read: {log.why()})'
    return Cause(f'its last word is "{said}"{unseen}' if said else f'it gives no reason{unseen}', 'etcd has not been started yet.',
                 f'Read the log: talosctl -n {machine.address or machine.label} logs machined.', _event(view, machine))


def waits_for(view, member):
    """Whether a member that has no name yet belongs to a machine whose etcd is about to start."""
    machine = view.etcd.machine_of(member)
    return machine is not None and machine.answered and (view.etcd.in_pre(machine) or view.etcd.running(machine))


def _event(view, machine):
    last = view.etcd.last_event(machine)
    if last is None:
        return []
    return [Evidence(f'{last.state}: {last.msg}', 'ServiceList', machine.label, format_time(last.at) if last.at else None)]


# -- the image --------------------------------------------------------------------------------------------------

def _image(view, machine, said):
    spec = machine.resource('EtcdSpecs', 'etcd')
    wanted = spec.get('image') if isinstance(spec, dict) else None
    logged = last_pull(view.etcd.pre_lines(machine), lambda image: image == wanted or 'etcd' in image.rsplit('/', 1)[-1], (BOOTSTRAP_WAIT,))
    ended = given_up(said) if said.startswith(PRE_FAILED) else None
    pull = ended or logged
    if pull is None:
        return None
    if pull.failed is None:
        return Cause(f'its image {pull.image} is being pulled ({pull.progress})', 'The download goes on, it is slow.',
                     'Wait; if it stays slow, look at the link to the registry or use a mirror.', [view.etcd.quote(machine, 'machined', pull.line)])
    evidence = _event(view, machine) if ended else []
    host = None
    if logged is not None and logged.failed is not None:
        evidence.append(view.etcd.quote(machine, 'machined', logged.line))
        host = logged.host
    tried = f'The registry {host} was asked. ' if host else ''
    return Cause(f'its image {pull.image} cannot be pulled ({pull.failed})',
                 f'{tried}etcd runs from an image; without it the service ends in state Failed after about two minutes for an unknown '
                 'tag, after twenty for other faults.',
                 'Check that this tag exists, and the registry, its mirror settings, DNS, proxy, credentials and the clock. If the '
                 'image is named in cluster.etcd.image, correct it there.', evidence, lasting=pull.lasting)


# -- before it, and after it ------------------------------------------------------------------------------------

def _prestage(view, machine, said):
    if not said.startswith(PRE_FAILED):
        return None
    why = ' '.join(said[len(PRE_FAILED):].lstrip(': ').split())
    tries = _retries(view, machine)[-2:]
    return Cause(f'the steps before its start failed ({why})',
                 'After 30 minutes without joining, or a fault that it cannot get over, etcd gives up.',
                 'Find out why it could not join: the other members, port 2379 and 2380 between the control plane nodes, the clock.',
                 _event(view, machine) + [view.etcd.quote(machine, 'machined', line) for _why, line in tries], lasting=True)


# In the order in which they come at a boot: while several are missing, the first is the reason.
_DEPENDENCIES = (
    ('volume', 'a volume is not mounted', 'etcd keeps its data on it.',
     'Look at talosctl get volumestatus for a volume in phase failed.', ('volume_failed', 'disk_full', 'boot_blocked')),
    ('service "cri"', 'the service cri is not up', 'containerd runs etcd.', 'Look at talosctl service cri and its log.', ('boot_blocked',)),
    ('network', 'the network is not ready', 'It has no address, no host name or no default route yet.',
     'Look at talosctl get networkstatus and the links.', ('network', 'no_address', 'subnet_conflict')),
    ('time sync', 'the time is not in sync', 'etcd is not started with a clock that may be wrong.',
     'Make the time servers reachable (UDP 123), or set others in machine.time.servers.', ('clock',)),
    ('etcd spec', 'no address was found that etcd may advertise',
     'All addresses of this node lie in the pod or service network, or cluster.etcd.advertisedSubnets matches none of them.',
     'Compare talosctl get addresses with the pod and service subnets and with cluster.etcd.advertisedSubnets.', ('subnet_conflict',)),
)


def _dependency(view, machine, said):
    waiting = _WAITING.match(said)
    if not waiting or view.etcd.state(machine) != 'Waiting':
        return None
    what = waiting.group('what')
    for sign, title, means, step, facts in _DEPENDENCIES:
        if sign in what:
            return Cause(f'{title} (waiting for {what})', means, step, _event(view, machine),
                         explained_by=tuple(f'{fact}:{machine.key}' for fact in facts))
    return Cause(f'it waits for {what}', 'Something that etcd depends on is missing.', 'Look for the reason in talosctl logs machined.',
                 _event(view, machine))


def _join(view, machine):
    facts = view.etcd
    for why, line in reversed(_retries(view, machine)):
        evidence = [facts.quote(machine, 'machined', line)]
        exists = _PEER_EXISTS.search(why)
        if exists:
            return _peer_exists(view, machine, exists.group('urls'), evidence)
        if 'too many learner members' in why:
            return Cause('another member is still a learner, and etcd takes one at a time', 'Control plane nodes join one after the other.',
                         'Wait for the learner to become a voter; if it is stuck or its machine is gone, treat that first.', evidence)
        if _JOIN_FAILED.search(why):
            return _cannot_join(view, machine, why, evidence)
    waiting = [line for line in facts.pre_lines(machine) if BOOTSTRAP_WAIT in line.text]
    if waiting:
        return _cannot_join(view, machine, 'it still waits for a cluster to join', [facts.quote(machine, 'machined', waiting[-1])])
    if facts.data_empty(machine) and facts.state(machine) == 'Preparing' and facts.statuses and not facts.with_leader:
        return _cannot_join(view, machine, 'its data directory is empty, and it still waits for the others',
                            [seen(machine, 'EtcdDirectory', f'/var/lib/etcd of {machine.label} is empty')])
    return None


def _retries(view, machine):
    """(reason, line) of what the present attempt says that it tries again."""
    hits = [(RETRY.search(line.text), line) for line in view.etcd.pre_lines(machine)]
    return [(hit.group('why'), line) for hit, line in hits if hit]


def _peer_exists(view, machine, urls, evidence):
    facts = view.etcd
    old = [m for m in facts.members or [] if any(url in urls for url in m.get('peer_urls') or [])]
    member_id = old[0]['id'] if len(old) == 1 else None
    named = f' {facts.calls(member_id)}' if member_id else f' with the peer address {urls}'
    return Cause(f'the etcd member{named} still has its address',
                 'The node was installed anew under another name. Talos removes an old member of the same name by itself, but not one of '
                 'another name.',
                 f'Remove the old member by its id, on a healthy control plane node: talosctl etcd remove-member {member_id or "<id>"} '
                 '(take a snapshot first, and make sure that it is not running anywhere).', evidence, lasting=True,
                 remedy={'name': 'etcd_stale_member', 'args': {'member_id': member_id}} if member_id else None)


def _cannot_join(view, machine, why, evidence):
    facts, planes = view.etcd, view.control_planes
    reason = '' if 'still waits' in why else f' Reason given: {why}.'
    steps, means = [], [f'It found no way to the members that run.{reason}']
    specs = [spec for _item, spec in members(machine) if spec.get('machineType') in ('controlplane', 'init')]
    known = {normal(address) for spec in specs for address in spec.get('addresses') or []}
    missing = [other for other in ordered(planes) if other.key != machine.key and other.answered and not addresses_of(view, other) & known]
    if machine.datum('Members').ok and missing:
        means.append(f'It does not see {listed(m.label for m in missing)} in discovery, where it takes the addresses of the others from.')
        evidence = [*evidence, seen(machine, 'Members', f'no member with an address of {listed(m.label for m in missing)}')]
        steps.append('Repair discovery first (talosctl get members on this node must list every control plane node).')
    broken = [other for other in ordered(planes) if other.key != machine.key and other.answered and not facts.running(other)]
    if broken:
        means.append(f'etcd does not run on {listed(m.label for m in broken)} either: a refused connection to such a node is no firewall.')
    if facts.with_leader:
        steps.append('Let TCP 2379 and 2380 through between all control plane nodes.')
    else:
        means.append('No member that answers has a leader, and joining needs one.')
        steps.append('Bring the quorum back first.')
    steps.append('Never run bootstrap on this node: that would make a second cluster.')
    return Cause(f'it cannot join ({why})', ' '.join(means), ' '.join(steps), evidence,
                 explained_by=(NO_QUORUM, *(down(m) for m in broken),
                               *(f'{fact}:{m.key}' for fact in ('discovery_unreachable', 'discovery_off') for m in (machine, *missing))))
