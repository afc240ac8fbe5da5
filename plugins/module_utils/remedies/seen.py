# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the snapshot shows of etcd, or of what somebody named, in words that end a sentence: the evidence of a refusal."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_members import standing
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, members, ordered
from ansible_collections.talosops.talos.plugins.module_utils.guide.talos_api_client import troubles
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.clusters import ETCD
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import node_ready
from ansible_collections.talosops.talos.plugins.module_utils.remedies import service
from ansible_collections.talosops.talos.plugins.module_utils.remedies.etcd_preconditions import mib

_FEW = 6


def etcd(view):
    """"3 of 4 voters of etcd are healthy, 3 are the quorum: it tolerates no failure"."""
    facts = view.etcd
    if not facts.statuses and facts.members is None:
        return f'nothing of etcd was read ({_etcd_services(view) or "no control plane node answered"})'
    counted = f'{len(facts.healthy)} of {facts.size} voters of etcd are healthy, {facts.quorum} are the quorum'
    if not facts.with_leader:
        return f'{counted}, and no member knows a leader'
    if len(facts.healthy) < facts.quorum:
        return f'{counted}, though a leader is known'
    return f'{counted}: it tolerates {_failures(facts.tolerance)}'


def _failures(number):
    return {0: 'no failure', 1: 'one failure'}.get(number, f'{number} failures')


def _etcd_services(view):
    return '; '.join(f'etcd on {machine.label} is {view.etcd.state(machine) or "not listed"}' for machine in ordered(view.answering_control_planes)[:_FEW])


def exists(view):
    """By what it is known that this etcd cluster exists, or existed; None where nothing says so."""
    facts = view.etcd
    if facts.members is not None:
        leaders = sorted({facts.statuses[key]['leader'] for key in facts.with_leader})
        led = f'the leader {facts.calls(leaders[0])}' if leaders else 'no leader'
        return f'the cluster exists: etcd has {len(facts.members)} members and {led}'
    if facts.statuses:
        led = 'a leader is known' if facts.with_leader else 'no leader is known'
        return f'the cluster exists: etcd answers on {listed(view.label(key) for key in facts.statuses)}, and {led}'
    holding = [machine.label for machine in ordered(view.answering_control_planes) if facts.data_empty(machine) is False]
    if holding:
        return f'{listed(holding)} {"holds" if len(holding) == 1 else "hold"} data of etcd'
    if view.kubernetes.nodes:
        return f'the cluster exists: Kubernetes lists {len(view.kubernetes.nodes)} Nodes'
    return None


def unseen_data(view):
    """Why it is not certain that no control plane node holds data of etcd; None where all were seen to be empty."""
    if not view.control_planes:
        return 'no control plane node is known'
    for machine in ordered(view.control_planes):
        if not machine.answered:
            return f'{machine.label} does not answer, and may hold data of etcd'
        if view.etcd.data_empty(machine) is None:
            return f'whether {machine.label} holds data of etcd was not seen ({machine.datum("EtcdDirectory").why()})'
    return None


def databases(view):
    """The sizes of the databases beside their quotas."""
    facts, told = view.etcd, []
    for key, status in facts.statuses.items():
        size, used, quota = int(status.get('db_size') or 0), int(status.get('db_size_in_use') or 0), facts.quota(view.snapshot.machine(key))
        told.append(f'{view.label(key)} {mib(size)}, of which {mib(used)} are in use{f", with a quota of {mib(quota)}" if quota else ""}')
    return f'the databases are: {"; ".join(sorted(told)[:_FEW])}' if told else 'the sizes of the databases were not read'


def alarms(view):
    """The alarms that stand."""
    if view.etcd.alarms is None:
        return 'whether an alarm stands was not read'
    told = listed(f'{name} of {view.etcd.calls(member)}' for member, name in sorted(view.etcd.alarms))
    return f'raised is {told}' if told else 'no alarm stands'


def networks(view):
    """The pod and service networks."""
    every = view.kubernetes_networks
    found = listed(sorted(str(one) for one in every if not any(one != other and one.version == other.version and one.subnet_of(other) for other in every)))
    return f'its pod and service networks are {found}' if found else 'its networks were not read'


def moving(view):
    """Which machines are being installed, upgraded, rebooted or reset; nothing where none is."""
    return listed(f'{each.label} is {view.stage(each)}' for each in ordered(view.snapshot.answering()) if view.in_progress(each))


def api_servers(view):
    """Which API servers say that they are ready."""
    told = [(machine.label, view.kubernetes.server(machine)) for machine in ordered(view.control_planes)]
    ready = [label for label, datum in told if datum.ok and datum.value['status'] == 200]
    return f'{len(ready)} of {len(told)} API servers say that they are ready{f" ({listed(ready)})" if ready else ""}'


def nodes(view):
    """How many Nodes are Ready, and which are not."""
    if view.kubernetes.nodes is None:
        return f'the Nodes were not read ({view.kubernetes.datum("nodes").why()})'
    silent = [node['name'] for node in view.kubernetes.nodes if node_ready(node)[0] != 'True']
    return f'{len(view.kubernetes.nodes) - len(silent)} of {len(view.kubernetes.nodes)} Nodes are Ready{f", not {listed(sorted(silent))}" if silent else ""}'


def authority(view):
    """The cluster's own authority, and who answers to it."""
    ca = view.snapshot.client.get('ca') or {}
    valid = f'the authority of the talosconfig is valid until {ca["not_after"]}, and ' if ca.get('not_after') else ''
    answering = [machine for machine in view.snapshot.answering() if machine.key not in view.elsewhere]
    return f'{valid}{len(answering)} of {len(view.snapshot.machines)} machines answer with its certificates'


def refused_certificates(view):
    """The certificates that are not accepted, and why."""
    told = [f'{trouble.label}: {trouble.text.rstrip(".")}' for trouble in troubles(view)]
    return f'what is served is not trusted for a reason: {"; ".join(told[:2])}' if told else 'every certificate that was served is accepted'


def machine(view, text):
    """The machine of this name or address; of several the one that answers. None where there is none."""
    wanted = normal(text)
    found = [each for each in ordered(view.snapshot.machines) if wanted in {normal(one) for one in (each.name, each.address, *each.addresses, each.key) if one}]
    return next((each for each in found if each.answered), found[0] if found else None)


def target(view, text):
    """What is known of the machine or member that somebody named; of etcd where nothing was named."""
    found = machine(view, text) if text else None
    if found is not None:
        return _machine(view, found)
    member = view.etcd.member(str(text or '').strip().lower())
    if member is not None:
        return f'the etcd member {view.etcd.calls(member["id"])}: {standing(view, member).why}; {etcd(view)}'
    node = next((node for node in view.kubernetes.nodes or () if node['name'] == text), None)
    if node is not None:
        return f'the Node {text} is {_word(node)}, and no machine of this name is known'
    return f'{_named(view, text)}{etcd(view)}'


def _named(view, text):
    return f'no machine of the cluster is {text}; ' if text and text not in ('all', 'cluster', view.snapshot.cluster.get('name')) else ''


def _machine(view, found):
    if found.key in view.elsewhere:
        foreign = view.elsewhere[found.key]
        return f'{found.label} ({found.address}) answers, and belongs to another cluster: {_foreign(foreign)}'
    if not found.answered:
        return f'{found.label} does not answer{_in_etcd(view, found)}; {etcd(view)}'
    told = [f'{found.label} booted less than ten minutes ago'] if view.young(found) else []
    if found.is_control_plane:
        return '; '.join([*told, _plane(view, found)])
    return '; '.join([*told, _worker(view, found)])


def _foreign(foreign):
    return 'its members of etcd are others' if foreign.what == ETCD else f'its {foreign.what} is {foreign.own}, and that of this one {foreign.most}'


def _in_etcd(view, found):
    mine = [view.etcd.calls(member['id']) for member in view.etcd.members or () if view.etcd.machine_of(member) is found]
    return f', and is the etcd member {listed(mine)}' if mine else ''


def _plane(view, found):
    facts, local = view.etcd, view.etcd.local_id(found)
    if found in facts.healthy:
        left = len(facts.healthy) - 1
        without = f'without it {left} of {facts.size} voters would be left, and the quorum would be lost' if left < facts.quorum else \
            f'without it {left} of {facts.size} voters would be left'
        return f'{found.label} is the healthy etcd voter {facts.calls(local)}; {etcd(view)}; {without}'
    if facts.is_learner(found):
        return f'{found.label} is the learner {facts.calls(local)}, which joins etcd; {etcd(view)}'
    empty = facts.data_empty(found)
    data = {True: 'it holds no data of etcd', False: 'it holds data of etcd'}.get(empty, 'whether it holds data of etcd was not seen')
    return f'{found.label} answers, its etcd is {facts.state(found) or "not listed"}{_in_etcd(view, found)}, and {data}; {etcd(view)}'


def _worker(view, found):
    node = view.kubernetes.node_of(found)
    kubelet = view.service(found, service.KUBELET)
    said = [f'{found.label} answers', *([f'its kubelet is {service.words(kubelet)}'] if kubelet else []), *([f'its Node is {_word(node)}'] if node else [])]
    if not node and any(spec.get('nodeId') == found.key for other in view.snapshot.answering() for _item, spec in members(other)):
        said.append('discovery lists it')
    return ', '.join(said[:-1]) + (' and ' if len(said) > 1 else '') + said[-1]


def _word(node):
    ready = {'True': 'Ready', 'False': 'not Ready'}.get(node_ready(node)[0], 'silent')
    return f'{ready} and cordoned' if node.get('unschedulable') else ready
