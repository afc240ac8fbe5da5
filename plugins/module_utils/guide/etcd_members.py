# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "etcd Issues", step 2 (membership): members without a machine, and members that are no control plane node.

Identity is the member id that a machine says is its own, then the peer address; never the name, which a machine that
was installed anew keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_common import READ_IT, nothing_to_ask, unread
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import addresses_of, expected, listed, lists_in_discovery, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Check, error, ok, unknown, warning
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import node_ready
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, down, stale, unreachable
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import WORKER, Machine

LIVE, DOWN, JOINING, GONE, UNSEEN = 'live', 'down', 'joining', 'gone', 'unseen'

_PEER_TROUBLE = 300


@dataclass(frozen=True)
class Standing:
    """How a listed member stands: C(what) is LIVE, DOWN, JOINING, GONE or UNSEEN, C(why) ends a sentence."""

    what: str
    why: str
    machine: Machine | None = None


def standing(view, member):
    """The Standing of a listed member. One that is joining is never called gone, and in doubt it is UNSEEN."""
    facts = view.etcd
    owner = facts.local_ids.get(member['id'])
    if owner is not None:
        return Standing(LIVE, f'{owner.label} says that it is this member', owner)
    machine = facts.machine_of(member)
    if machine is not None and machine.answered:
        return _of_answering(view, member, machine)
    where = ', '.join(facts.hosts(member)) or 'its address'
    unknown_machine = Machine(key=where, address=next(iter(facts.hosts(member)), None))
    if machine is not None and expected(view, machine):
        return Standing(DOWN, f'{machine.label} does not answer, and you named it as a machine of this cluster', machine)
    if lists_in_discovery(view, machine or unknown_machine):
        return Standing(DOWN, 'its machine does not answer, discovery still lists it', machine)
    node = view.kubernetes.node_of(machine or unknown_machine)
    if node is not None and node_ready(node)[0] == 'True':
        return Standing(UNSEEN, f'nothing answers at {where}, but Kubernetes says that its Node is ready', machine)
    if not _discovery_forgets(view):
        return Standing(UNSEEN, f'nothing answers at {where}, and discovery cannot say whether that machine still exists', machine)
    if member.get('is_learner'):
        return Standing(JOINING, f'it is a learner, nothing answers at {where}, and discovery does not list it', machine)
    return Standing(GONE, f'no machine answers at {where}, and discovery forgot it, which takes 30 minutes', machine)


def _of_answering(view, member, machine):
    facts = view.etcd
    own = facts.local_id(machine)
    if machine.type == WORKER:
        return Standing(GONE, f'{machine.label} at its address is a worker', machine)
    if own is not None:
        return Standing(GONE, f'{machine.label} at its address is member {own} now', machine)
    if member.get('is_learner') or not member.get('hostname'):
        return Standing(JOINING, f'{machine.label} at its address is about to start etcd', machine)
    if facts.state(machine) is None or facts.running(machine):
        return Standing(UNSEEN, f'etcd on {machine.label} at its address did not say which member it is', machine)
    if facts.data_empty(machine) and view.young(machine) is False:
        return Standing(GONE, f'{machine.label} at its address holds no etcd data, so it cannot be this member any more', machine)
    return Standing(DOWN, f'etcd does not run on {machine.label} (state {facts.state(machine)})', machine)


def _discovery_forgets(view):
    """Whether discovery can be believed when it does not list an address: it is on, and its list is older than a boot."""
    return any(m.datum('Members').ok and m.datum('Affiliates').ok and view.discovery_disabled(m) is False and view.young(m) is False
               for m in view.answering_control_planes)


# -- ETC-7 ------------------------------------------------------------------------------------------------------

def member_stale(view):
    """Every voting member has its machine."""
    early = nothing_to_ask(view, 'whether every etcd member has its machine')
    if early:
        return early
    if view.etcd.members is None:
        return unread(view, 'whether every etcd member has its machine', 'EtcdMemberList')
    outcomes = []
    for member in view.etcd.members:
        how = standing(view, member)
        if how.what == GONE:
            outcomes.append(_stale(view, member, how))
        elif how.what == UNSEEN:
            outcomes.append(unknown(member['id'], f'whether etcd member {view.etcd.calls(member["id"])} is stale: {how.why}',
                                    nodes=_nodes(how),
                                    next_step='Find out whether that machine still exists. Remove no member that may be alive.',
                                    explained_by=(NO_QUORUM, *(f'discovery_off:{m.key}' for m in view.answering_control_planes),
                                                  *([unreachable(how.machine)] if how.machine else []))))
        else:
            outcomes.append(ok(member['id'], nodes=_nodes(how)))
    return outcomes


def _stale(view, member, how):
    facts, member_id = view.etcd, member['id']
    count, size = len(facts.healthy), facts.size
    spare = 'no further failure is tolerated' if facts.tolerance == 0 else f'failure tolerance {facts.tolerance}'
    votes = f'{size} voters, {count} answer, quorum {facts.quorum}, {spare}'
    after = size - 1
    safe = count >= after // 2 + 1 and count == after
    step = ('If that machine will not come back: take a snapshot of etcd, then remove this member by its id on a healthy control plane '
            f'node: talosctl etcd remove-member {member_id}, or talos_etcd_member. Touch no other control plane node before. If it is only '
            'switched off, switch it on.')
    if not safe:
        step = (f'Repair the other members first: only {count} of the remaining {after} answer, and removing a member is safe when all of '
                f'them do. Then: {step}')
    source = view.snapshot.machine(next(key for key,
                                        listed_there in facts.member_lists.items() if any(m['id'] == member_id for m in listed_there)))
    evidence = [seen(source, 'EtcdMemberList', f'{member_id} "{member.get("hostname")}" {", ".join(member.get("peer_urls") or [])}'),
                *_peers_say(view, member_id)]
    return error(member_id, f'Stale etcd member {facts.calls(member_id)}: {how.why}; {votes}',
                 'It counts for the quorum and can never answer, so etcd survives fewer failures than it seems.', step, nodes=_nodes(how),
                 evidence=evidence, asserts=(stale(member_id),), remedy={'name': 'etcd_stale_member', 'args': {'member_id': member_id}})


def _peers_say(view, member_id):
    """The newest complaint of each other member about this one, if it is fresh."""
    found = []
    for machine in view.etcd.running_planes:
        about = [line for line in view.etcd.recent(machine, 'etcd', _PEER_TROUBLE)
                 if member_id in (line.fields.get('remote-peer-id'), line.fields.get('remote-member-id'),
                                  line.fields.get('peer-id')) and line.fields.get('error')]
        found += [view.etcd.quote(machine, 'etcd', about[-1])] if about else []
    return found


# -- ETC-4 ------------------------------------------------------------------------------------------------------

def member_not_control_plane(view):
    """The peer address of every living member is an address of its control plane node."""
    facts = view.etcd
    early = nothing_to_ask(view, 'whether the peer addresses are those of control plane nodes')
    if early:
        return early
    if facts.members is None:
        return unread(view, 'whether the peer addresses are those of control plane nodes', 'EtcdMemberList')
    outcomes = []
    for member in facts.members:
        machine = facts.local_ids.get(member['id'])
        if machine is None:
            outcomes += _unidentified(view, member)
            continue
        strange = [host for host in facts.hosts(member) if normal(host) not in _addresses(view, machine)]
        if strange and not machine.datum('NodeAddresses').ok:
            outcomes.append(unknown(member['id'],
                                    f'whether {listed(strange)} is an address of {machine.label}: NodeAddresses: '
                                    f'{machine.datum("NodeAddresses").why()}', nodes=[machine.key]))
        elif strange or machine.type == WORKER:
            what = f'which is no address of {machine.label}' if strange else f'but {machine.label} is a worker'
            outcomes.append(warning(member['id'],
                                    f'etcd member {facts.calls(member["id"])} is listed with {listed(facts.hosts(member))}, {what}',
                                    'The other members dial the listed address: after a change of address they cannot reach this one.',
                                    f'Give {machine.label} its address back, or set cluster.etcd.advertisedSubnets to the network in use '
                                    'and reboot it.', nodes=[machine.key],
                                    evidence=[seen(machine, 'EtcdMembers', f'this node is member {member["id"]}')]))
        else:
            outcomes.append(ok(member['id'], nodes=[machine.key]))
    return outcomes or ok('cluster')


def _unidentified(view, member):
    """A member that no machine claims is judged by the check of stale members, unless it runs and was only not read."""
    machine = view.etcd.machine_of(member)
    if machine is None or not view.etcd.running(machine) or view.etcd.local_id(machine) is not None:
        return []
    why = '; '.join(f'{kind}: {machine.datum(kind).why()}' for kind in ('EtcdStatus', 'EtcdMembers'))
    return [unknown(member['id'], f'whether etcd member {view.etcd.calls(member["id"])} is {machine.label}: it did not say ({why})',
                    nodes=[machine.key], next_step=READ_IT, explained_by=(NO_QUORUM, down(machine)))]


def _addresses(view, machine):
    found = set(addresses_of(view, machine))
    for item in machine.value('NodeAddresses') or []:
        found |= {normal(address) for address in (item.get('spec') or {}).get('addresses') or []}
    return found


def _nodes(how):
    return [how.machine.key] if how.machine else []


CHECKS = (
    Check('etcd.member_stale', 'etcd.other', 'Every etcd member has its machine', member_stale,
          reads=('ServiceList', 'EtcdMemberList', 'EtcdStatus', 'EtcdMembers', 'EtcdDirectory', 'Members', 'Affiliates', 'Identities',
                 'MachineStatuses'),
          logs=('etcd',), cluster_reads=('nodes',), catalogue='ETC-7', remedy='etcd_stale_member'),
    Check('etcd.member_not_control_plane', 'etcd.other', 'Every etcd member is a control plane node', member_not_control_plane,
          reads=('ServiceList', 'EtcdMemberList', 'EtcdStatus', 'EtcdMembers', 'NodeAddresses'), catalogue='ETC-4'),
)
