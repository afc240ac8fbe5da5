# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which endpoints a context of the talosconfig is to have (guide, "Wrong Endpoints"; check catalogue API-5 to API-7).

The rules are those of the checks talos_api.endpoint_*. Nothing is decided before all control plane nodes are known for
sure: discovery forgets a machine that is silent for half an hour, so that etcd's member list must be there as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import (
    GONE, addresses_of, belongs, dial_address, discovery_works, listed, machine_at, members, ordered, presence, unread,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.talos_api_endpoints import machines_behind, numbers, own_names, worker_evidence
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.machines import machine_type
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import CONTROL_PLANE, UNKNOWN

BY_HAND = 'Name the endpoints in control_plane_endpoints, or repair that first.'


@dataclass(frozen=True)
class Wanted:
    """C(endpoints) as they are to be written; C(removed) [{endpoint, why}], C(added) [{endpoint, node}], C(notes) sentences."""

    endpoints: list
    removed: list
    added: list
    notes: list


def wanted(view, dialled, keep_balancers=True):
    """The Wanted, decided from what is known. Raises Refused where not all control plane nodes are known for sure.

    C(dialled) is {endpoint as the file has it: Endpoint of the snapshot}, in the order of the file.
    """
    planes = for_sure(view)
    kept, removed, notes, covered, balancers = [], [], [], set(), {}
    for text, endpoint in dialled.items():
        why, behind = _wrong(view, endpoint, planes, keep_balancers)
        if why:
            removed.append({'endpoint': text, 'why': why})
            continue
        kept.append(text)
        if _is_elsewhere(view, endpoint):
            balancers[text] = behind
        else:
            covered.update(machine.key for machine in behind)
    missing = [machine for machine in planes if machine.key not in covered]
    unreached = _unreached(missing, balancers)
    added = [{'endpoint': dial_address(view, machine), 'node': machine.label} for machine in missing if machine not in unreached]
    notes += [f'{machine.label} answers through {listed(balancers)}, and was not seen to on {dial_address(view, machine)}: it was not added.'
              for machine in unreached]
    gone = [machine for machine in view.control_planes if machine not in planes and not machine.answered]
    notes += [f'{machine.label} ({machine.address}) was left out: discovery has forgotten it, and it does not answer.' for machine in ordered(gone)]
    endpoints = [*kept, *(one['endpoint'] for one in added)]
    if not endpoints:
        raise Refused('No control plane node would be left in the list of endpoints.', BY_HAND)
    return Wanted(endpoints, removed, added, notes)


def given(view, current, dialled):
    """The Wanted for the endpoints that somebody named: C(dialled) as above, C(current) the texts of the file.

    Raises Refused for one that is not fit: the virtual IP, a worker, or what leads to no control plane node.
    """
    planes = [machine for machine in ordered(view.control_planes) if machine.key not in view.elsewhere]
    covered = set()
    for text, endpoint in dialled.items():
        why, behind = _wrong(view, endpoint, planes, True)
        if why:
            raise Refused(f'control_plane_endpoints names {text}, which is no fit endpoint: {why}.', 'Name addresses of control plane nodes.')
        covered.update(machine.key for machine in behind)
    missing = [machine for machine in planes if machine.key not in covered and presence(view, machine) != GONE]
    notes = [f'{listed(machine.label for machine in missing)} would be no endpoint, though a control plane node.'] if missing else []
    return Wanted(list(dialled), [{'endpoint': text, 'why': 'it is not among control_plane_endpoints'} for text in current if text not in dialled],
                  [{'endpoint': text, 'node': _names(machines_behind(view, dialled[text]))} for text in dialled if text not in current], notes)


def for_sure(view):
    """All control plane nodes, by name. Raises Refused where one may be missing, or may be none, with the reason."""
    why = _unsure(view)
    if why:
        raise Refused(f'Not all control plane nodes are known for sure: {why}.', BY_HAND)
    return _planes(view)


def _planes(view):
    return [machine for machine in ordered(view.control_planes)
            if machine.key not in view.elsewhere and (machine.answered or presence(view, machine) != GONE)]


def _unsure(view):
    """Why the set of control plane nodes is not certain, None where it is."""
    answering = view.answering_control_planes
    if not answering:
        return 'none answered'
    if not view.vips_known:
        return f'the virtual IPs were not read ({"; ".join(unread(answering, "NodeIPConfigs"))})'
    if not any(machine.datum('Members').ok for machine in answering):
        return f'who is a member was not read ({"; ".join(unread(answering, "Members"))})'
    if view.etcd.members is None:
        return 'no etcd member list was read, and discovery forgets a machine that is silent for half an hour'
    for machine in ordered(view.snapshot.machines):
        if machine.type == UNKNOWN and belongs(machine) and presence(view, machine) != GONE:
            return f'whether {machine.label} is a control plane node was not read'
    for machine in _planes(view):
        if not dial_address(view, machine):
            return f'{machine.label} has no address of its own'
        if machine.answered and not _is_member(view, machine):
            return f'{machine.label} answers, and neither discovery of another machine nor etcd knows it'
    for member in view.etcd.members:
        machine = view.etcd.machine_of(member)
        if machine is None:
            return f'the etcd member {view.etcd.calls(member["id"])} is on no machine that is known'
    return None


def _is_member(view, machine):
    """Whether anybody else lists it as a control plane node; one alone needs nobody."""
    others = [other for other in view.answering_control_planes if other is not machine and other.key not in view.elsewhere]
    if not others or not discovery_works(view):
        return True
    ids = {member['id'] for member in view.etcd.members or []}
    return view.etcd.local_id(machine) in ids or any(spec.get('nodeId') == machine.key for other in others for _item, spec in members(other))


def _wrong(view, endpoint, planes, keep_balancers):
    """(why an endpoint does not belong into the list or None, the control plane nodes behind it)."""
    hit = sorted(numbers(view, endpoint) & {normal(vip) for vip in view.vips})
    if hit:
        return 'it is the virtual IP of the Kubernetes API' if normal(endpoint.host) in hit else f'it resolves to the virtual IP {hit[0]}', []
    worker, _known = worker_evidence(view, endpoint)
    if worker:
        return f'it is a worker ({worker.text})', []
    machines = machines_behind(view, endpoint)
    foreign = [machine for machine in machines if machine.key in view.elsewhere]
    if foreign:
        return f'{_names(foreign)} belongs to another cluster', []
    behind = [machine for machine in machines if machine in planes]
    if _is_elsewhere(view, endpoint):
        if not _leads_to_one(endpoint):
            return 'what answers there is no control plane node', []
        return (None, behind) if keep_balancers else ('no machine has this address: it is a load balancer', [])
    if behind:
        stray = sorted(numbers(view, endpoint) - set().union(*(addresses_of(view, machine) for machine in behind)))
        return (f'it resolves to {listed(stray)} as well, which is no control plane node', []) if stray and not endpoint.connected else (None, behind)
    if machines:
        return f'{_names(machines)} is gone: discovery has forgotten it, and nothing answers there', []
    what = 'no machine of the cluster has this address' if is_ip(endpoint.host) else 'the name leads to no machine of the cluster'
    return f'{what} ({_short(endpoint)})', []


def _is_elsewhere(view, endpoint):
    """Whether something answers there that has no machine's address or name: a load balancer, or a translated address."""
    if not endpoint.connected or any(machine_at(view, address) for address in numbers(view, endpoint)):
        return False
    return normal(endpoint.host) not in {normal(name) for machine in view.snapshot.machines for name in own_names(machine)}


def _unreached(missing, balancers):
    """Those that answer through load balancers, and of which nothing says that their own addresses lead anywhere from here.

    What was served behind a balancer is no proof; then that of the others stands for it, which are in the same network.
    """
    if not balancers:
        return []
    behind = [machine for machines in balancers.values() for machine in machines]
    others = [machine for machine in missing if machine not in behind]
    reached = any(machine.datum('certificate').ok for machine in others)
    return [machine for machine in missing if machine.answered and not (reached if machine in behind else machine.datum('certificate').ok)]


def _leads_to_one(endpoint):
    """Whether what answers behind an address that is no machine's says that it is a control plane node, or may not be asked."""
    types = endpoint.datum('MachineTypes')
    return not types.ok or any(machine_type(item.get('spec')) == CONTROL_PLANE for item in types.value)


def _short(endpoint):
    return ((endpoint.error or {}).get('text') or 'it did not answer').rstrip('.')


def _names(machines):
    return listed(machine.label for machine in machines) or None
