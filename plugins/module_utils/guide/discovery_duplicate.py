# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Duplicate Members": one name or address twice, other clusters with the same secrets, cloned machines."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import (
    FORGOTTEN_SECONDS, failure_of, is_network_fault, listed, members, nothing_read, ordered, seen, span, unread,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Evidence, error, info, not_applicable, ok, unknown,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.clusters import ETCD, elsewhere
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

SECTION = 'discovery.duplicate'
_MEANS = ('Members know each other by secrets of the cluster. Machine configurations made from the same secrets for another cluster, or '
          'again for a new one, make the discovery service show the machines of both.')
_STEP = ('Find out which machine belongs here. Shut the other one down or give its cluster secrets of its own (talosctl gen secrets, then '
         'new machine configurations); what was destroyed disappears from discovery within 30 minutes.')


def _entries(view):
    """{node id: {names, addresses, created, observers}} of members and affiliates together.

    Members of one name overwrite each other, affiliates do not: their id is the node id (talos-api 6.1).
    """
    vips = {normal(vip) for vip in view.vips}
    found = {}
    for machine in ordered(view.snapshot.answering()):
        for kind in ('Members', 'Affiliates'):
            for item, spec in members(machine, kind):
                entry = found.setdefault(spec.get('nodeId'), {'names': set(), 'addresses': set(), 'created': None, 'observers': {}})
                entry['names'] |= {normal(n) for n in (spec.get('hostname'), spec.get('nodename')) if n}
                entry['addresses'] |= {normal(a) for a in spec.get('addresses') or []} - vips
                entry['observers'].setdefault(machine.key, kind)
                created = parse_time(item.get('created'))
                entry['created'] = min(filter(None, (entry['created'], created)), default=None)
    return found


def _nothing(view, what):
    """The outcome where there is nothing to compare, else None."""
    if not any(m.datum('Members').ok for m in view.snapshot.answering()):
        return nothing_read(what, view.snapshot.answering(), 'Members')
    if all(view.discovery_disabled(m) for m in view.snapshot.answering()):
        return not_applicable('cluster', 'discovery is disabled')
    return None


def _by(entries, field):
    """{value: [node ids]} of what two or more entries share."""
    found = {}
    for node_id, entry in entries.items():
        for value in entry[field]:
            found.setdefault(value, []).append(node_id)
    return {value: sorted(ids, key=str) for value, ids in sorted(found.items()) if len(ids) > 1}


def name_duplicate(view):
    nothing = _nothing(view, 'whether a name is there twice')
    if nothing:
        return nothing
    entries = _entries(view)
    outcomes = [_shared(view, f'name {name}', f'the host name {name}', ids, entries) for name, ids in _by(entries, 'names').items()]
    return _with_unread(view.snapshot.answering(), outcomes, 'whether a name is there twice', 'Members', 'Affiliates')


def address_duplicate(view):
    nothing = _nothing(view, 'whether an address is there twice')
    if nothing:
        return nothing
    if not view.vips_known:
        return unknown('cluster', 'whether an address is there twice: the virtual IPs, which two members may list for minutes, are not '
                                  'known')
    entries = _entries(view)
    names = _by(entries, 'names')
    outcomes = [_shared(view, f'address {address}', f'the address {address}', ids, entries) for address,
                ids in _by(entries, 'addresses').items()
                if ids not in names.values()]
    return _with_unread(view.snapshot.answering(), outcomes, 'whether an address is there twice', 'Members', 'Affiliates')


def _with_unread(machines, outcomes, what, *kinds):
    """The outcomes, and one more for the machines whose reads failed; ok where there is none."""
    unseen = unread(machines, *kinds)
    if unseen:
        outcomes.append(unknown('cluster', f'{what}: {"; ".join(unseen)}'))
    return outcomes or ok('cluster')


def _shared(view, subject, what, ids, entries):
    """Two installations of one machine (an old entry runs out by itself), or two machines."""
    live = [node_id for node_id in ids if _answers(view, node_id)]
    nodes = [node_id for node_id in ids if view.snapshot.machine(node_id)]
    evidence = [_evidence(view, node_id, entries[node_id]) for node_id in ids]
    title = f'{len(ids)} members have {what}'
    addresses = [entries[node_id]['addresses'] for node_id in ids]
    if len(live) == 1 and set.intersection(*addresses):
        machine, stale = view.snapshot.machine(live[0]), [node_id for node_id in ids if node_id != live[0]]
        age = view.age_seconds(machine)
        if age is None or age <= FORGOTTEN_SECONDS:
            return info(subject, title, f'Only {machine.label} answers at this address: the other entry is most likely the same machine '
                                        'before it was installed anew without a reset. Discovery forgets it 30 minutes after the old '
                                        'installation stopped.', 'Wait half an hour and look again.',
                        nodes=nodes, evidence=evidence)
        return error(subject, title, f'{machine.label} answers and has been up for {span(age)}, longer than discovery remembers a machine '
                                     f'that is gone. So something else still reports itself under {listed(stale)}: {_lower(_MEANS)}', _STEP,
                     nodes=nodes, evidence=evidence)
    if len(live) == 1 and subject.startswith('name ') and _was_installed_anew(view, live[0], ids):
        machine = view.snapshot.machine(live[0])
        return info(subject, title, f'{machine.label} came up {span(view.age_seconds(machine))} ago, and nothing answers under the other entry: most '
                                    'likely it is the same machine before it was installed anew, with its former address. Discovery forgets that 30 '
                                    'minutes after it last reported.',
                    'Wait half an hour and look again: an entry that is still there then is another machine.', nodes=nodes, evidence=evidence)
    return error(subject, title, f'The node ids differ, so these are different installations. {_MEANS}', _STEP, nodes=nodes,
                 evidence=evidence)


def _was_installed_anew(view, live, ids):
    """The one that answers has been up for less than discovery remembers a machine, and the others are on no network."""
    age = view.age_seconds(view.snapshot.machine(live))
    return age is not None and age <= FORGOTTEN_SECONDS and all(_is_gone(view, node_id) for node_id in ids if node_id != live)


def _is_gone(view, node_id):
    """It was dialled and not reached, and nothing but discovery names it."""
    machine = view.snapshot.machine(node_id)
    failure = failure_of(view, machine) if machine is not None else None
    return failure is not None and is_network_fault(failure) and set(machine.known_from) <= {'discovery'}


def _lower(text):
    return text[0].lower() + text[1:]


def _answers(view, node_id):
    machine = view.snapshot.machine(node_id)
    return machine is not None and machine.answered


def _evidence(view, node_id, entry):
    key, kind = next(iter(entry['observers'].items()))
    observer = view.snapshot.machine(key)
    here = 'answers' if _answers(view, node_id) else 'does not answer'
    return Evidence(f'node id {node_id}: {listed(sorted(entry["names"])) or "no name"}, '
                    f'{listed(sorted(entry["addresses"])) or "no address"}, {here}; seen by {len(entry["observers"])} machines', kind,
                    observer.label, observer.datum(kind).at)


# -- other clusters ---------------------------------------------------------------------------------------------

def other_cluster(view):
    """Machines that answered and say that they belong elsewhere: cluster id, cluster name, or etcd and Kubernetes."""
    what = 'whether all members belong to one cluster'
    answering = ordered(view.snapshot.answering())
    if not any(machine.resource('Infos', 'current') is not None for machine in answering):
        return nothing_read(what, answering, 'Infos')
    outcomes = [_of_other_etcd(one) if one.what == ETCD else _of_other_name(view, one)
                for one in sorted(view.elsewhere.values(), key=lambda one: answering.index(one.machine))]
    return _with_unread(answering, outcomes, what, 'Infos')


def _of_other_name(view, one):
    machine = one.machine
    shown = [(machine, one.own), *((view.snapshot.machine(key), one.most) for key in one.peers[:2])]
    return error(machine.key, f'{machine.label} belongs to another cluster: its {one.what} is {one.own}, not {one.most}',
                 f'It answers to the credentials of this cluster, so both were made from the same secrets. {_MEANS}', _STEP, nodes=[machine.key],
                 evidence=[seen(each, 'Infos', f'{one.what} {value}') for each, value in shown], asserts=(elsewhere(machine),))


def _of_other_etcd(one):
    machine = one.machine
    return error(machine.key, f'{machine.label} is a member of discovery, but its etcd and Kubernetes are others',
                 f'Its etcd shares no member with that of the others, and Kubernetes has no Node of it. {_MEANS}', _STEP, nodes=[machine.key],
                 evidence=[seen(machine, 'EtcdMemberList', f'etcd members {listed(sorted(one.own))}; elsewhere {listed(sorted(one.most))}')],
                 asserts=(elsewhere(machine),))


# -- DSC-5: clones ----------------------------------------------------------------------------------------------

def identity_clone(view):
    """One node identity on two machines: a cloned disk."""
    what = 'whether machines are clones'
    answering = ordered(view.snapshot.answering())
    if not answering:
        return nothing_read(what, answering)
    found = {}
    for machine in answering:
        node_id = (machine.resource('Identities', 'local') or {}).get('nodeId')
        if node_id:
            found.setdefault(node_id, []).append(machine)
    outcomes = [error(f'identity {node_id}', f'{listed(m.label for m in twins)} have the same node identity',
                      'The identity is made at the first boot and kept on the STATE partition; two machines have it when a disk was cloned '
                      'after installation. In discovery they overwrite each other.',
                      'Install all but one of them anew from an image, or reset them.', nodes=[m.key for m in twins],
                      evidence=[seen(m, 'Identities', f'{m.address}: node id {node_id}') for m in twins])
                for node_id, twins in sorted(found.items()) if len(twins) > 1]
    return _with_unread(answering, outcomes, what, 'Identities')


def uuid_clone(view):
    """One SMBIOS uuid on two machines; empty, all zero and all F are no identity (talos-api 6.8)."""
    what = 'whether system uuids are there twice'
    answering = ordered(view.snapshot.answering())
    if not answering:
        return nothing_read(what, answering)
    found = {}
    for machine in answering:
        for item in machine.value('SystemInformations') or []:
            uuid = str((item.get('spec') or {}).get('uuid') or '').lower()
            if uuid.replace('-', '').strip('0') and uuid.replace('-', '').strip('f'):
                found.setdefault(uuid, []).append(machine)
    outcomes = [error(f'uuid {uuid}', f'{listed(m.label for m in twins)} have the same system uuid',
                      'Virtual machines that were copied with their hardware identity. What is bound to it (disk encryption, cloud and '
                      'cluster managers) mixes them up.',
                      'Give each virtual machine a uuid of its own in its hypervisor.', nodes=[m.key for m in twins],
                      evidence=[seen(m, 'SystemInformations', f'uuid {uuid}') for m in twins])
                for uuid, twins in sorted(found.items()) if len(twins) > 1]
    if not found and not unread(answering, 'SystemInformations'):
        return not_applicable('cluster', 'no machine has a system uuid')
    return _with_unread(answering, outcomes, what, 'SystemInformations')


CHECKS = (
    Check('discovery.name_duplicate', SECTION, 'every member has a name of its own', name_duplicate,
          reads=('Members', 'Affiliates', 'MachineStatuses'),
          catalogue='DSC-3'),
    Check('discovery.address_duplicate', SECTION, 'every member has addresses of its own', address_duplicate,
          reads=('Members', 'Affiliates', 'NodeIPConfigs', 'MachineStatuses'), catalogue='DSC-3'),
    Check('discovery.other_cluster', SECTION, 'all members belong to one cluster', other_cluster, reads=('Infos', 'EtcdMemberList'),
          cluster_reads=('nodes',),
          catalogue='DSC-3'),
    Check('discovery.identity_clone', SECTION, 'every machine has an identity of its own', identity_clone, reads=('Identities',),
          catalogue='DSC-5'),
    Check('discovery.uuid_clone', SECTION, 'every machine has a system uuid of its own', uuid_clone, reads=('SystemInformations',),
          catalogue='DSC-5',
          sharpens=True),
)
