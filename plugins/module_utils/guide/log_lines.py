# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines of logs that are all there is to see of a fault: one check for each section that has such lines.

Which lines these are stands in the catalogue of signatures (C(judged_by)). Such a line makes a finding only while it counts
(judge/signatures.py), while the present state does not contradict it, and where nothing else explains it: no other problem of its
part of the guide concerns the machine, and none asserts a fact that would bring the line about. Then that one is the root, and the line a
sign of it.
"""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import machine_at
from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import ALL, Check, Outcome, Threshold, ok, unknown
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOSPACE, NOT_BOOTSTRAPPED, down, stale, unreachable
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import API_DOWN, CORRUPT, api_server_down, kubelet_down, node_ready
from ansible_collections.talosops.talos.plugins.module_utils.judge.sections import CUSTOM, KEYS
from ansible_collections.talosops.talos.plugins.module_utils.judge.signatures import CATALOGUE, RECENT_SECONDS, logs_of

# The sections whose findings may explain a line; the others ask these themselves, and explain none.
_ASKED = tuple(key for key in KEYS if key not in ('misc.controller_runtime', 'health_checks', CUSTOM))
# Who called, in a line about a connection that etcd refused.
_REMOTE = re.compile(r'"remote-addr":"\[?(?P<address>[0-9a-fA-F.:]+?)\]?:\d+"')
# Parts of the guide whose findings explain each other's lines on a machine.
_PARTS = (('etcd.',), ('kubelet.',), ('controlplane.', 'kubernetes_api.'))


def owned(section):
    """The signatures of a section that nothing but its lines shows."""
    return [signature for signature in CATALOGUE.values() if signature.judged_by == f'{section}.log_sign']


def _judge(section):
    def log_sign(view, machine):
        found = [_outcome(hit) for hit in view.signatures.bad(machine, *(one.id for one in owned(section)))
                 if _is_new(view, hit) and not _is_contradicted(view, hit) and not _is_explained(view, hit)]
        unread = _unread(view, machine, logs_of(*owned(section)))
        if unread:
            found.append(unknown(machine.key, f'whether a log of {machine.label} tells of a fault: {"; ".join(unread)}', nodes=[machine.key],
                                 next_step='Read it with a client certificate that may, or find out why it does not come.',
                                 explained_by=('role',)))
        return found or ok(machine.key)
    return log_sign


def _outcome(hit):
    signature, machine = hit.signature, hit.machine
    asserts = (f'disk_full:{machine.key}',) if signature.id == 'sys.disk_full' else ()
    return Outcome(signature.severity, f'{machine.key}/{signature.id}', f'{machine.label}: {signature.title}', signature.meaning, signature.remedy,
                   nodes=[machine.key], evidence=[hit.evidence()], asserts=asserts)


def _is_new(view, hit):
    return hit.age is None or hit.age <= view.threshold(_limit(hit.signature))


def _limit(signature):
    """The name of the threshold for the age of a signature's line."""
    return f'{signature.section.split(".")[0]}_log_line_seconds'


# -- what explains a line -------------------------------------------------------------------------------------------

def _is_explained(view, hit):
    """Whether a problem that another check reports is where the line comes from."""
    section, machine = hit.signature.section, hit.machine
    part = next((part for part in _PARTS if section.startswith(part)), (section,))
    problems = [(key, outcome) for key in _ASKED for outcome in view.judged(key) if v.rank(outcome.verdict) >= v.rank(v.WARNING)]
    if any(key.startswith(part) and machine.key in outcome.nodes for key, outcome in problems):
        return True
    return bool({fact for _key, outcome in problems for fact in outcome.asserts} & set(_facts(view, hit)))


def _facts(view, hit):
    """The facts that would bring a line about."""
    key, section = hit.machine.key, hit.signature.section
    facts = [f'{fact}:{key}' for fact in ('network', 'disk_full', 'clock', 'volume_failed', 'memory', 'subnet_conflict')]
    caller = _caller(view, hit)
    if caller is not None:
        facts += [f'clock:{caller.key}', unreachable(caller)]
    if section.startswith('etcd.'):
        facts += [NO_QUORUM, NOSPACE, CORRUPT]
    if section.startswith(('controlplane.', 'kubernetes_api.', 'kubelet.')):
        facts += [NOT_BOOTSTRAPPED, NO_QUORUM, NOSPACE, CORRUPT, API_DOWN, kubelet_down(hit.machine)]
        facts += [fact for plane in view.control_planes for fact in (api_server_down(plane), unreachable(plane))]
    peer = _peer(view, hit)
    if 'peer' in hit.groups:
        facts.append(stale(hit.groups['peer']))
    return facts + [fact for fact in (down(peer), unreachable(peer)) if peer is not None] if peer else facts


# -- what contradicts a line ----------------------------------------------------------------------------------------

def _is_contradicted(view, hit):
    rule = _STATES.get(hit.id)
    return rule is not None and rule(view, hit)


def _peer(view, hit):
    """The machine of the etcd member that a line names, or None."""
    member = view.etcd.member(hit.groups.get('peer') or '')
    return view.etcd.machine_of(member) if member else None


def _caller(view, hit):
    """The machine whose connection a line of etcd refuses, or None."""
    said = _REMOTE.search(hit.line.text)
    return machine_at(view, said.group('address')) if said else None


def _peer_is_not_up(view, hit):
    """Only of a member that runs, and has run for a while, does the line say more than its own state."""
    peer = _peer(view, hit)
    if peer is None or not peer.answered or not view.etcd.running(peer) or view.young(peer) or view.in_progress(peer):
        return True
    last = view.etcd.last_event(peer)
    return last is None or last.at is None or (view.now - last.at).total_seconds() < RECENT_SECONDS


def _has_kubeprism(_view, hit):
    status = hit.machine.resource('KubePrismStatuses') or {}
    return status.get('healthy') is True


def _has_its_images(view, hit):
    services = [view.service(hit.machine, name) for name in ('kubelet', *(('etcd',) if hit.machine.is_control_plane else ()))]
    return all(service is not None and service.get('state') == 'Running' for service in services)


def _is_ready(view, hit):
    node = view.kubernetes.node_of(hit.machine)
    return node is not None and node_ready(node)[0] == 'True'


def _is_over(_view, hit):
    return hit.age is not None and hit.age > RECENT_SECONDS


_STATES = {
    'etcd.peer_unhealthy': _peer_is_not_up, 'etcd.peer_unreachable': _peer_is_not_up,
    'kubeprism.refused': _has_kubeprism, 'kubeprism.eof': _has_kubeprism,
    'image.mirror_html': _has_its_images, 'flannel.no_pod_cidr': _is_ready, 'sys.disk_full': _is_over,
    'etcd.tls_reject': _is_over, 'etcd.cluster_id_mismatch': _is_over, 'etcd.id_mismatch': _is_over,
}


# -- what could not be read -----------------------------------------------------------------------------------------

def _unread(view, machine, logs):
    """Why each of these logs that this machine should have was not read."""
    found = []
    for log in logs:
        datum = machine.log(log)
        has_none = datum.state == 'absent' or (log == 'dmesg' and view.container(machine)) or (log == 'etcd' and not machine.is_control_plane)
        if not datum.ok and not has_none:
            found.append(f'log {log}: {datum.why()}')
    return found


_READS = {'etcd.': ('ServiceList', 'EtcdStatus', 'EtcdMemberList', 'MachineStatuses'), 'controlplane.': ('KubePrismStatuses',)}
_HOUR = Threshold(3600, 's', 'age up to which a line of a log that alone tells of a fault is reported')


def _check(section):
    reads = next((reads for part, reads in _READS.items() if section.startswith(part)), ())
    return Check(f'{section}.log_sign', section, 'No log tells of a fault that nothing else shows', _judge(section), each=ALL, reads=reads,
                 logs=logs_of(*owned(section)), cluster_reads=('nodes',) if section == 'kubelet.node_not_ready' else (),
                 catalogue=', '.join(sorted({f'signature {one.id}' for one in owned(section)})), sharpens=True,
                 thresholds={_limit(one): _HOUR for one in owned(section)})


CHECKS = tuple(_check(section) for section in KEYS if owned(section))
