# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Some Members are Missing": the list of members is the same on every machine, and whole."""

from __future__ import annotations

import json
import re
from collections import Counter

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import (
    addresses_of, listed, members, nothing_read, ordered, seen, span, unread,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, Check, Evidence, Threshold, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.clusters import elsewhere
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import node_addresses, node_ready
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

SECTION = 'discovery.missing'
SETTLING_SECONDS = 'discovery_settling_seconds'
LOG_SECONDS = 'discovery_log_seconds'
_FIX = ('Let TCP port 443 to the discovery service through (discovery.talos.dev, or the endpoint in the machine configuration) from every '
        'node, and see that cluster.discovery is enabled and its service registry not disabled on all of them.')
_ANSI = re.compile(r'\x1b\[[0-9;]*m')
_TROUBLE = re.compile(r'hello failed|failed refreshing discovery service data|error watching discovery service state|decryption failure')
_CONTROLLER = 'cluster.DiscoveryServiceController'


# -- who is judged ----------------------------------------------------------------------------------------------

def _readers(view):
    """Machines whose member list was read and that have discovery on."""
    return [m for m in ordered(view.snapshot.answering()) if m.datum('Members').ok and view.discovery_disabled(m) is not True]


def _all_disabled(view):
    answering = view.snapshot.answering()
    return bool(answering) and all(view.discovery_disabled(machine) for machine in answering)


# -- G6: is discovery on? ---------------------------------------------------------------------------------------

def disabled(view):
    """Discovery is a feature that can be off; off on some machines only is a fault (gate G6)."""
    off, on, unseen = [], [], []
    for machine in ordered(view.snapshot.answering()):
        state = view.discovery_disabled(machine)
        (unseen if state is None else off if state else on).append(machine)
    evidence = [seen(m, 'Affiliates', 'no affiliate, not even itself, although Identities/local is there') for m in off]
    if off and on:
        return error('cluster', f'discovery is off on {listed(m.label for m in off)}, but on on {listed(m.label for m in on)}',
                     'A machine without discovery sees no members, and the others do not see it.', _FIX, nodes=[m.key for m in off],
                     evidence=evidence,
                     asserts=tuple(f'discovery_off:{m.key}' for m in off))
    if unseen:
        why = '; '.join(unread(unseen, 'Affiliates', 'Identities'))
        return unknown('cluster', f'whether discovery is enabled: {why}', nodes=[m.key for m in unseen])
    if off:
        return info('cluster', 'discovery is disabled on every machine',
                    'There are no members to compare. Which machines there are is taken from etcd, Kubernetes and the talosconfig; '
                    'talosctl health needs the nodes named on the command line.', f'Nothing, if that is intended. {_FIX}',
                    nodes=[m.key for m in off], evidence=evidence)
    return ok('cluster') if on else nothing_read('whether discovery is enabled', [])


# -- DSC-1: the same list everywhere ----------------------------------------------------------------------------

def _entry(view, item, spec):
    """What must be the same everywhere: no virtual IPs, which wander, and no operating system, which differs in upgrades."""
    vips = {normal(vip) for vip in view.vips}
    addresses = tuple(sorted({normal(a) for a in spec.get('addresses') or []} - vips))
    return item.get('id'), spec.get('nodeId'), spec.get('machineType'), spec.get('hostname'), addresses


def _lists(view, machines):
    return {machine.key: {_entry(view, item, spec) for item, spec in members(machine)} for machine in machines}


def members_differ(view):
    """Compare the lists; the list that most machines have is the measure, and who deviates from it is named."""
    if _all_disabled(view):
        return not_applicable('cluster', 'discovery is disabled')
    read, answering = _readers(view), view.snapshot.answering()
    if not read:
        return nothing_read('whether the member lists agree', answering, 'Members')
    outcomes, unseen = [], unread(answering, 'Members')
    if not view.vips_known and any(m.is_control_plane for m in read):
        unseen.append('the virtual IPs, which must be left out of the comparison, are not known')
    if unseen:
        outcomes.append(unknown('cluster', f'whether the member lists agree: {"; ".join(unseen)}'))
    lists = _lists(view, read)
    measure = _measure(lists)
    hidden = sum(not machine.datum('Members').ok for machine in answering)
    for machine in read:
        if lists[machine.key] != measure:
            outcomes.append(_deviation(view, machine, lists[machine.key], measure))
        elif sum(entries == measure for entries in lists.values()) > hidden:  # else those that were not read may have another one
            outcomes.append(ok(machine.key, nodes=[machine.key]))
    return outcomes


def _measure(lists):
    """The list that most machines have; among equals the longest, then the first in order."""
    counted = Counter(frozenset(entries) for entries in lists.values())
    return max(counted, key=lambda entries: (counted[entries], len(entries), sorted(map(str, entries))))


def _deviation(view, machine, mine, measure):
    by_id, other = {e[1]: e for e in mine}, {e[1]: e for e in measure}
    lacks = [e for node_id, e in sorted(other.items(), key=str) if node_id not in by_id]
    more = [e for node_id, e in sorted(by_id.items(), key=str) if node_id not in other]
    differ = [(by_id[node_id], other[node_id]) for node_id in sorted(set(by_id) & set(other), key=str) if by_id[node_id] != other[node_id]]
    parts = []
    if lacks:
        parts.append(f'lacks {listed(e[0] for e in lacks)}')
    if more:
        parts.append(f'has {listed(e[0] for e in more)} besides')
    if differ:
        parts.append(f'describes {listed(e[0] for e, _o in differ)} differently')
    concerned = [e[1] for e in lacks] if len(lacks) == 1 else []
    nodes = [machine.key] + [key for key in concerned if key != machine.key and view.snapshot.machine(key)]
    evidence = [seen(machine, 'Members', f'{len(mine)} members: {listed(sorted(str(e[0]) for e in mine), 12)}')]
    evidence += [seen(machine, 'Members', f'here {_words(here)}; elsewhere {_words(there)}') for here, there in differ]
    title = f'{machine.label} sees other members than the rest: it {" and ".join(parts)}'
    if _settling(view, machine, lacks, more, differ):
        return info(machine.key, title, 'A machine among them booted or was changed a moment ago; discovery needs up to a minute to carry '
                                        'that to all.',
                    'Look again in a minute or two.', nodes=nodes, evidence=evidence)
    return error(machine.key, title,
                 'Talos takes from this list where the control plane nodes are, so a machine with another list works with other peers. It '
                 'was seen once; that nothing about these members changed lately speaks against a passing state.',
                 f'Look at the discovery service from {machine.label}. {_FIX}', nodes=nodes, evidence=evidence,
                 explained_by=(elsewhere(machine), f'discovery_unreachable:{machine.key}', f'discovery_off:{machine.key}')
                 + tuple(f'discovery_unreachable:{e[1]}' for e in lacks + more) + tuple(f'discovery_off:{e[1]}' for e in lacks))


def _words(entry):
    return f'{entry[0]} ({entry[2]}, node id {entry[1]}, {listed(entry[4]) or "no address"})'


def _settling(view, machine, lacks, more, differ):
    """G3 and G5, or an entry in question that changed within the last minute."""
    in_question = {e[1] for e in lacks + more} | {e[1] for pair in differ for e in pair}
    for key in in_question | {machine.key}:
        other = view.snapshot.machine(key)
        if other is not None and other.answered and (view.in_progress(other) or view.young(other)):
            return True
    for observer in view.snapshot.answering():
        for item, spec in members(observer):
            updated = parse_time(item.get('updated'))
            if spec.get('nodeId') in in_question and updated and (view.now - updated).total_seconds() < view.threshold(SETTLING_SECONDS):
                return True
    return False


# -- DSC-2: whole -----------------------------------------------------------------------------------------------

def member_missing(view):
    """Machines that are certainly there and that nobody lists as a member."""
    if _all_disabled(view):
        return not_applicable('cluster', 'discovery is disabled')
    read, answering = _readers(view), view.snapshot.answering()
    if not read:
        return nothing_read('whether a member is missing', answering, 'Members')
    known_ids, known_names, known_addresses = set(), set(), set()
    for machine in read:
        for item, spec in members(machine):
            known_ids.add(spec.get('nodeId'))
            known_names |= {normal(n) for n in (item.get('id'), spec.get('hostname')) if n}
            known_addresses |= {normal(a) for a in spec.get('addresses') or []}
    outcomes = []
    for machine in ordered(view.snapshot.machines):
        named = normal(machine.name or '') in known_names
        if named or machine.key in known_ids or addresses_of(view, machine) & known_addresses:
            outcomes.append(ok(machine.key, nodes=[machine.key]))
        elif machine.answered and view.stage(machine) == 'maintenance':
            continue  # without a configuration it has no secrets of this cluster: that is told by its stage
        elif machine.answered or _node_is_ready(view, machine):
            outcomes.append(_missing(view, machine))
    outcomes += _expected_but_missing(view, known_names | known_addresses)
    if unread(answering, 'Members'):
        outcomes.append(unknown('cluster', f'whether a member is missing: {"; ".join(unread(answering, "Members"))}'))
    if view.kubernetes.nodes is not None:
        outcomes += _ready_nodes_missing(view, known_names, known_addresses)
    return outcomes or ok('cluster')


def _node_is_ready(view, machine):
    node = view.kubernetes.node_of(machine)
    return node is not None and node_ready(node)[0] == 'True'


def _missing(view, machine):
    affiliate = [spec for other in view.snapshot.answering() for _item,
                 spec in members(other, 'Affiliates') if spec.get('nodeId') == machine.key]
    nameless = [spec for spec in affiliate if not spec.get('nodename')]
    title = f'{machine.label} is a member in nobody\'s list'
    means = 'The machine is there, but discovery does not know it: it cannot reach the discovery service, or discovery is off on it.'
    step = f'Look at the discovery service from {machine.label}. {_FIX}'
    evidence = [Evidence(f'known from {listed(machine.known_from) or "its own answer"}', 'Members', machine.label)]
    if nameless:
        means = 'It has told discovery that it exists, but not its name: its host name is not set yet. A member needs one.'
        step = f'Find out why {machine.label} has no host name (DHCP, platform, machine configuration).'
        evidence.append(Evidence(f'affiliate {machine.key} without a node name', 'Affiliates', machine.label))
    if machine.answered and (view.in_progress(machine) or view.young(machine)):
        return info(machine.key, title, 'It booted or is being changed just now and may not have come that far.',
                    'Look again in a few minutes.',
                    nodes=[machine.key], evidence=evidence)
    return error(machine.key, title, means, step, nodes=[machine.key], evidence=evidence,
                 explained_by=(elsewhere(machine), f'discovery_unreachable:{machine.key}', f'discovery_off:{machine.key}'))


def _ready_nodes_missing(view, names, addresses):
    """Ready Kubernetes Nodes of which no machine is known at all."""
    outcomes = []
    for node in view.kubernetes.nodes:
        if node_ready(node)[0] != 'True' or normal(node.get('name')) in names or node_addresses(node) & addresses:
            continue
        if any(view.kubernetes.node_of(machine) is node for machine in view.snapshot.machines):
            continue
        outcomes.append(error(node['name'], f'the Ready Kubernetes Node {node["name"]} is a member in nobody\'s list',
                              'Its kubelet works, so the machine is there; discovery does not know it.', _FIX,
                              evidence=[Evidence(f'addresses {listed(sorted(node_addresses(node)))}', 'Kubernetes', node['name'])]))
    return outcomes


def _expected_but_missing(view, known):
    outcomes = []
    for name in view.settings.expected_nodes:
        if normal(name) in known:
            continue
        named = [m for m in view.snapshot.machines if normal(name) in addresses_of(view, m) | {normal(m.name or '')}]
        if any(machine.answered or _node_is_ready(view, machine) for machine in named):
            continue
        outcomes.append(error(f'expected {name}', f'the expected node {name} is no member',
                              'It is among the expected nodes that were given, and no machine lists it: it is off for more than half an '
                              'hour, was reset, cannot reach discovery, or bears another name.',
                              f'See whether {name} is up, and correct the list of expected nodes if it is out of date.',
                              evidence=[Evidence(f'members: {listed(sorted(known), 20)}', 'Members')]))
    return outcomes


# -- DSC-2: why -------------------------------------------------------------------------------------------------

def service_unreachable(view, machine):
    """What the discovery client of this machine logged within the last minutes."""
    log = machine.log('controller-runtime')
    if not log.ok:
        return unknown(machine.key, f'the discovery client of {machine.label}: log controller-runtime, {log.why()}', nodes=[machine.key])
    last = _last_trouble(log.value or '')
    if last is None:
        return ok(machine.key, nodes=[machine.key])
    at, line, fields = last
    age = (view.now - at).total_seconds()
    if age > view.threshold(LOG_SECONDS):
        return ok(machine.key, nodes=[machine.key])
    why, means, step = _cause(line)
    endpoint = fields.get('endpoint') or 'the discovery service'
    title = f'{machine.label} does not get through to {endpoint}: {why}'
    evidence = [Evidence(line, 'log controller-runtime', machine.label, at.isoformat().replace('+00:00', 'Z'))]
    if view.in_progress(machine) or view.young(machine):
        return info(machine.key, title, f'Last seen {span(age)} ago, while the machine booted or was changed; at boot that is normal.',
                    'Look again in a few minutes.',
                    nodes=[machine.key], evidence=evidence)
    others = [other for other in _readers(view) if other is not machine]
    unlisted = others and not any(spec.get('nodeId') == machine.key for other in others for _item, spec in members(other))
    if unlisted:
        return error(machine.key, title, f'{means} No other machine lists it as a member any more.', step, nodes=[machine.key],
                     evidence=evidence, asserts=(f'discovery_unreachable:{machine.key}',))
    return warning(machine.key, title, f'{means} What is known of the members still serves; new, changed and removed machines are not seen.',
                   step, nodes=[machine.key], evidence=evidence, asserts=(f'discovery_unreachable:{machine.key}',))


def _last_trouble(text):
    for raw in reversed(text.splitlines()):
        if not _TROUBLE.search(raw) or _CONTROLLER not in raw:
            continue
        line = _ANSI.sub('', raw).strip()
        at = parse_time(line.split(' ', 1)[0].split('\t', 1)[0])
        if at is None:
            continue
        return at, line, _fields(line)
    return None


def _fields(line):
    """The JSON at the end of a controller-runtime line, or {} where quotes are not escaped."""
    start = line.find('{')
    try:
        return json.loads(line[start:]) if start >= 0 else {}
    except ValueError:
        endpoint = re.search(r'"endpoint": "([^"]+)"', line)
        return {'endpoint': endpoint[1]} if endpoint else {}


def _cause(text):
    """(in short, what it means, next step), by the words of the line."""
    if 'decryption failure' in text:
        return ('its data cannot be decrypted', 'Members of the same cluster id have another cluster.secret.',
                'Compare cluster.id and cluster.secret of the machine configurations: they must be the same on all nodes, and used by no '
                'other cluster.')
    if re.search(r'lookup |no such host|server misbehaving', text):
        return 'its name does not resolve', 'Name resolution does not work on the node.', 'Repair the name servers of the node.'
    if re.search(r'x509|handshake failed|unknown authority', text):
        return ('TLS fails', 'TLS is intercepted or filtered on the way, or packets are too large for it.',
                'Exempt the discovery service from interception, trust the proxy\'s CA on the nodes, or correct the MTU.')
    if re.search(r'timeout|timed out|no route|refused|unreachable|Unavailable', text):
        return 'no connection', 'The network does not let the connection through.', _FIX
    return 'its calls fail', 'The discovery service does not answer as it should.', _FIX


def registry(view):
    """The registries in the machines' configurations, for os:admin (talos-api 6.1)."""
    answering = ordered(view.snapshot.answering())
    specs = [(machine, machine.resource('DiscoveryConfigs', 'cluster')) for machine in answering]
    outcomes = [_registries(machine, spec) for machine, spec in specs if spec is not None]
    unseen = unread(answering, 'DiscoveryConfigs')
    if unseen:
        outcomes.append(unknown('cluster', f'which discovery registries are configured: {"; ".join(unseen)}'))
    return outcomes or nothing_read('which discovery registries are configured', answering, 'DiscoveryConfigs')


def _registries(machine, spec):
    endpoints = spec.get('serviceEndpoints') or []
    service = bool(spec.get('registryServiceEnabled')) or bool(endpoints)
    on = [name for name, used in (('service', service), ('kubernetes', spec.get('registryKubernetesEnabled'))) if used]
    where = spec.get('serviceEndpoint') or listed(endpoint.get('endpoint') for endpoint in endpoints) or 'none'
    evidence = [seen(machine, 'DiscoveryConfigs', f'registries: {listed(on) or "none"}; endpoint: {where}')]
    if on == ['kubernetes']:
        return warning(machine.key, f'{machine.label} discovers members through Kubernetes alone',
                       'The Kubernetes registry is deprecated and does not work with Kubernetes 1.32 and later, where a node may not read '
                       'the other Nodes.',
                       'Enable the service registry (cluster.discovery.registries.service.disabled: false) on all nodes.',
                       nodes=[machine.key], evidence=evidence,
                       asserts=(f'discovery_unreachable:{machine.key}',))
    if on:
        return ok(machine.key, nodes=[machine.key])
    return info(machine.key, f'all discovery registries are disabled in the configuration of {machine.label}',
                'Without a registry it sees no members.', _FIX,
                nodes=[machine.key], evidence=evidence)


CHECKS = (
    Check('discovery.disabled', SECTION, 'discovery is enabled', disabled, reads=('Affiliates', 'Identities'), catalogue='DSC-2, G6'),
    Check('discovery.members_differ', SECTION, 'every machine sees the same members', members_differ,
          reads=('Members', 'NodeIPConfigs', 'MachineStatuses'), catalogue='DSC-1',
          thresholds={SETTLING_SECONDS: Threshold(60, 's', 'how long a changed member may take to be the same in all lists')}),
    Check('discovery.member_missing', SECTION, 'every machine is a member', member_missing,
          reads=('Members', 'Affiliates', 'MachineStatuses'),
          cluster_reads=('nodes',), catalogue='DSC-2'),
    Check('discovery.service_unreachable', SECTION, 'the discovery service is reached', service_unreachable, each=ALL,
          reads=('MachineStatuses',),
          logs=('controller-runtime',), catalogue='DSC-2', sharpens=True,
          thresholds={LOG_SECONDS: Threshold(300, 's', 'how long ago the last failure of the discovery client may be to count')}),
    Check('discovery.registry', SECTION, 'a discovery registry is enabled', registry, reads=('DiscoveryConfigs',), role='os:admin',
          catalogue='DSC-2', sharpens=True),
)
