# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several sections have to know of a machine: is it there at all, how did it fail, and the words for both."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Evidence, ok, unknown
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import node_ready

# The discovery service forgets a silent machine after 30 minutes (guide, "Removed Members are Still Present").
DISCOVERY_TTL_SECONDS = 1800
FORGOTTEN_SECONDS = DISCOVERY_TTL_SECONDS + 300
# A Node that is not Ready for no longer than this may be one that comes back by itself (check catalogue KUB-9).
GOING_DOWN_SECONDS = 120

PRESENT = 'present'
REMEMBERED = 'remembered by discovery alone'
GONE = 'gone'

NETWORK_FAULTS = {
    'refused': 'the host answered, but nothing listens on the port (connection refused)',
    'timeout': 'the connection attempt got no answer',
    'no_route': 'there is no route to the host',
    'reset': 'the connection was cut off',
    'resolve': 'the name does not resolve',
    'proxy': 'the HTTP proxy did not let the connection through',
    'deadline': 'the connection is open, but the call was never answered',
    'other': 'the connection failed',
}

_NOT_TRIED = ('no_endpoint', 'no_forwarding', 'not_asked')

_FAULT_BY_TEXT = (
    ('resolve', re.compile(r'produced zero addresses|no such host|lookup ', re.IGNORECASE)),
    ('refused', re.compile(r'connection refused', re.IGNORECASE)),
    ('no_route', re.compile(r'no route to host|network is unreachable|host is unreachable', re.IGNORECASE)),
    ('timeout', re.compile(r'i/o timeout|timed out', re.IGNORECASE)),
    ('expired', re.compile(r'certificate has expired or is not yet valid', re.IGNORECASE)),
    ('untrusted_ca', re.compile(r'signed by unknown authority', re.IGNORECASE)),
    ('wrong_name', re.compile(r"certificate is (not )?valid for|doesn't contain any IP SANs", re.IGNORECASE)),
    ('client_refused', re.compile(r'remote error: tls: ', re.IGNORECASE)),
    ('reset', re.compile(r'connection reset|broken pipe|EOF|Socket closed', re.IGNORECASE)),
)


def fault(failure):
    """The kind of a failure {kind, text}: a kind of TransportError, or deadline.

    What an endpoint says of a node that it could not reach is told apart by its text (talos-api 3.3).
    """
    kind = (failure or {}).get('kind') or 'other'
    if kind not in ('node_unreachable', 'other', 'failed'):
        return kind
    text = (failure or {}).get('text') or ''
    return next((name for name, pattern in _FAULT_BY_TEXT if pattern.search(text)), 'other')


def failure_of(view, machine):
    """{kind, text, via, at} of a machine that did not answer; None when it was never tried.

    Where no endpoint could forward, the machine behind an endpoint failed as its endpoint did.
    """
    said = machine.unreachable
    if said and said.get('kind') not in _NOT_TRIED and machine.address:
        return said
    for endpoint in view.snapshot.endpoints:
        if endpoint.machine == machine.key and endpoint.error:
            return {**endpoint.error, 'via': None, 'at': None}
    return None


def is_network_fault(failure):
    """Whether no TLS was spoken: firewall, routing, power, a frozen machine."""
    return fault(failure) in NETWORK_FAULTS


def addresses_of(view, machine):
    """All addresses of a machine except the virtual ones, which wander."""
    found = {normal(a) for a in (machine.address, *machine.addresses) if a}
    return found - {normal(vip) for vip in view.vips}


def dial_address(view, machine):
    """The address under which a client should dial a machine, or None."""
    vips = {normal(vip) for vip in view.vips}
    return next((normal(a) for a in (machine.address, *machine.addresses) if a and normal(a) not in vips), None)


def belongs(machine):
    """Whether more than a talosconfig speaks for it: it answered, or discovery, etcd or Kubernetes names it."""
    return machine.answered or bool({'discovery', 'etcd', 'kubernetes'} & set(machine.known_from))


def machine_at(view, address):
    """The machine of the cluster that has this address, virtual ones not counted, else None."""
    wanted = normal(address)
    for machine in view.snapshot.machines:
        if belongs(machine) and wanted in addresses_of(view, machine):
            return machine
    return None


def members(machine, kind='Members'):
    """[(resource, spec)] of the members (or affiliates) that a machine lists; empty when not read."""
    return [(item, item['spec']) for item in machine.value(kind) or [] if isinstance(item.get('spec'), dict)]


def lists_in_discovery(view, machine):
    """Whether any machine that answered lists it as a member or an affiliate."""
    mine, key = addresses_of(view, machine), machine.key
    for other in view.snapshot.answering():
        for kind in ('Members', 'Affiliates'):
            for _item, spec in members(other, kind):
                if spec.get('nodeId') == key or mine & {normal(a) for a in spec.get('addresses') or []}:
                    return True
    return False


def discovery_works(view):
    """Whether the members of at least one control plane node were read, with discovery on."""
    return any(m.datum('Members').ok and view.discovery_disabled(m) is not True and len(m.value('Members')) > 0
               for m in view.answering_control_planes)


# -- is it there? -----------------------------------------------------------------------------------------------

def expected(view, machine):
    """Whether the user named it as a node: in the expected nodes or in the options."""
    if 'options' in machine.known_from and machine.key not in {endpoint.machine for endpoint in view.snapshot.endpoints}:
        return True
    wanted = {normal(name) for name in view.settings.expected_nodes}
    return bool(wanted & (addresses_of(view, machine) | {normal(machine.name or '')}))


def presence(view, machine):
    """PRESENT, REMEMBERED or GONE: what the sources say together of a machine that did not answer.

    GONE: where discovery works it has forgotten the machine, and no Node of it is Ready: an old etcd member, Node or
    endpoint, but no machine. REMEMBERED: discovery still lists it, while neither Kubernetes nor etcd knows it. In
    doubt it is PRESENT, because a dead machine must not be explained away.
    """
    if machine.answered or expected(view, machine) or not discovery_works(view):
        return PRESENT
    nodes = view.kubernetes.nodes
    node = view.kubernetes.node_of(machine)
    if not lists_in_discovery(view, machine):
        return PRESENT if node is not None and node_ready(node)[0] == 'True' else GONE
    if nodes is not None and node is None and 'etcd' not in machine.known_from:
        return REMEMBERED
    return PRESENT


def is_namesake(view, machine):
    """Whether a silent entry of discovery bears the name of a machine that answers elsewhere: that name is what is wrong, not a port."""
    if machine.answered or not machine.name or not lists_in_discovery(view, machine):
        return False
    wanted = {normal(name) for name in view.settings.expected_nodes} & addresses_of(view, machine)
    return not wanted and any(other.answered and other.name == machine.name for other in view.snapshot.machines)


def went_down_just_now(view, machine):
    """Whether a silent machine was cordoned before, and its Node stopped a moment ago: drained, and rebooted or taken away on purpose (G3)."""
    node = view.kubernetes.node_of(machine) if not machine.answered else None
    if node is None or not node.get('unschedulable'):
        return False
    status, since = node_ready(node)
    return status != 'True' and since is not None and (view.now - since).total_seconds() <= GOING_DOWN_SECONDS


# -- words ------------------------------------------------------------------------------------------------------

def listed(items, most=6):
    """"a, b and c"; what is beyond C(most) is counted."""
    items = [str(item) for item in items]
    if len(items) > most:
        return f'{", ".join(items[:most])} and {len(items) - most} more'
    if len(items) < 2:
        return ''.join(items)
    return f'{", ".join(items[:-1])} and {items[-1]}'


def span(seconds):
    """A duration in the two units that matter."""
    seconds = abs(int(seconds))
    for unit, size in (('d', 86400), ('h', 3600), ('min', 60)):
        if seconds >= 2 * size:
            return f'{seconds // size} {unit}'
    return f'{seconds} s'


def ordered(machines):
    """Machines by name, so that texts do not depend on the order of answers."""
    return sorted(machines, key=lambda machine: machine.label)


def seen(machine, kind, text):
    """Evidence from one read of one machine."""
    return Evidence(text, kind, machine.label, machine.datum(kind).at)


def unread(machines, *kinds):
    """Sentences about reads that failed, machines with one fault together, and reads with one reason: "Members and Infos of cp1 and cp2: why"."""
    failed = {}
    for kind in kinds:
        for machine in ordered(machines):
            if not machine.datum(kind).ok:
                failed.setdefault((kind, machine.datum(kind).state), []).append(machine)
    sentences = {}
    for (kind, _state), group in failed.items():
        sentences.setdefault(f'of {listed(m.label for m in group)}: {group[0].datum(kind).why()}', []).append(kind)
    return [f'{listed(kinds_)} {rest}' for rest, kinds_ in sentences.items()]


def logs_quiet(view, machine, what, *log_ids):
    """ok for a machine in whose logs nothing was found, where all of them were read; in container mode the kernel's log is not its own."""
    missing = [log_id for log_id in log_ids if not machine.log(log_id).ok and not (log_id == 'dmesg' and view.container(machine))]
    if not missing:
        return ok(machine.key, nodes=[machine.key])
    why = '; '.join(f'log {log_id}: {machine.log(log_id).why()}' for log_id in missing)
    return unknown(machine.key, f'{what}: {why}', nodes=[machine.key])


def nothing_read(what, machines, *kinds):
    """The unknown outcome of a check of the whole cluster for which nothing could be read."""
    return unknown('cluster', f'{what}: {"; ".join(unread(machines, *kinds)) or "no machine answered"}', explained_by=('not_judged',))
