# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own section x.time: clocks of the machines, of their time servers, and of this control node (check catalogue EXT-TIME).

C(TimeStatuses.synced) says that services need not wait for the time any more, not that a time server answers (talos-api 6.3).
The call C(Time) asks the first time server of the machine configuration (else time.cloudflare.com), which need not be one that
Talos synchronises with: DHCP may have named others. Where that one does not answer the call fails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import FAILED
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, seen, span, unread
from ansible_collections.talosops.talos.plugins.module_utils.guide.talos_api_client import nothing_wrong, troubles
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    ALL, Check, Threshold, error, info, not_applicable, ok, unknown, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import YOUNG_SECONDS
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

SECTION = 'x.time'
US = 'this control node'
OFFSET_WARNING, OFFSET_ERROR, SPREAD, CONTROL_NODE, CERTIFICATE = (
    'time_offset_warning_seconds', 'time_offset_error_seconds', 'time_spread_seconds', 'time_control_node_seconds', 'time_certificate_days')
# How far ahead of this control node's clock a certificate may be issued before its machine's clock must be.
_AHEAD_SECONDS = 300

_SERVER_LINES = ('time.query_error', 'time.lookup_failed')
_SYNC_WORKS = re.compile(r'NTP response|adjusting time')
_WAITS_FOR_TIME = re.compile(r'^Waiting for .*time sync')

_SERVERS = ('Let the machine reach a time server: UDP port 123, from Talos 1.14 on also TCP port 4460 for NTS, or name servers that it can '
            'reach in machine.time.servers (TimeSyncConfig: ntp.servers, useNTS: false). Talos takes that without a reboot.')


def wrong(machine):
    """The fact that the clock of this machine is wrong, or not synchronised."""
    return f'clock:{machine.key}'


@dataclass(frozen=True)
class Reading:
    """What a machine's clock said, beside its time server's and ours."""

    machine: object
    local: datetime
    remote: datetime
    sent: datetime
    received: datetime
    server: str

    @property
    def took(self):
        """Seconds from the call to its answer, within which the machine asked its time server."""
        return abs((self.received - self.sent).total_seconds())

    @property
    def off(self):
        """Seconds by which the machine is ahead of its time server.

        The machine looks at its own clock after the answer came, so it seems ahead by the way of that answer: of what it is ahead, the
        time that the whole call took proves nothing.
        """
        seconds = (self.local - self.remote).total_seconds()
        return max(0.0, seconds - self.took) if seconds > 0 else seconds

    @property
    def margin(self):
        """Seconds by which C(ahead) may be wrong: half of the call's duration."""
        return self.took / 2

    @property
    def ahead(self):
        """Seconds by which the machine is ahead of this control node."""
        return (self.local - self.sent).total_seconds() - self.took / 2


def reading(machine):
    """The Reading of a machine, None where its clock and its time server's were not read."""
    said = machine.value('Time') or {}
    times = {name: parse_time(said.get(name)) for name in ('localtime', 'remotetime', 'sent_at', 'received_at')}
    if None in times.values():
        return None
    return Reading(machine, times['localtime'], times['remotetime'], times['sent_at'], times['received_at'], said.get('server') or 'its time server')


def off_by(seconds, reference):
    """"8.7 s ahead of …" or "… behind …"."""
    size = abs(seconds)
    text = f'{size * 1000:.0f} ms' if size < 1 else f'{size:.1f} s' if size < 120 else span(size)
    return f'{text} {"ahead of" if seconds > 0 else "behind"} {reference}'


# -- TimeStatuses -----------------------------------------------------------------------------------------------

def not_synced(view, machine):
    """Talos holds the time to be in sync; what needs the time waits for that: etcd, kubelet, trustd."""
    synced, evidence = _synced(machine)
    unseen = unread([machine], 'TimeStatuses', 'MachineStatuses')
    if synced is None or synced and unseen:
        return unknown(machine.key, f'whether the clock of {machine.label} is in sync: {"; ".join(unseen) or "there is no TimeStatus yet"}',
                       nodes=[machine.key], next_step='Read it again.')
    if synced:
        return _disabled(view, machine) or ok(machine.key, nodes=[machine.key])
    found = reading(machine)
    measured = f': it is {off_by(found.off, found.server)}' if found and abs(found.off) > view.threshold(OFFSET_WARNING) else ''
    evidence += [_clock_evidence(found)] if found else [seen(machine, 'Time', f'the time server was not asked: {machine.datum("Time").why()}')]
    waiting = _waiting(machine)
    evidence += [seen(machine, 'ServiceList', f'{name}: {text}') for name, text in waiting]
    evidence += [hit.evidence() for hit in view.signatures.on(machine, *_SERVER_LINES)[-1:]]
    title = f'the clock of {machine.label} is not synchronised{measured}'
    if _just_booted(view, machine, found) or view.in_progress(machine):
        return info(machine.key, title, 'The machine booted or is being changed just now; this takes a moment.', 'Look again in a few minutes.',
                    nodes=[machine.key], evidence=evidence)
    waits = f'{listed(name for name, _text in waiting)} {"waits" if len(waiting) == 1 else "wait"} for it.' if waiting else \
        'On the next boot etcd, kubelet and trustd wait for it.'
    return error(machine.key, title, f'No time server was reached since the boot. {waits} Certificates are issued and verified by this clock.',
                 _SERVERS, nodes=[machine.key], evidence=evidence, asserts=(wrong(machine),), explained_by=(f'network:{machine.key}',))


def _synced(machine):
    """C((True, False or None, evidence)) by TimeStatuses, and by the condition of MachineStatuses that machined makes of it."""
    status, told = machine.resource('TimeStatuses', 'node'), machine.resource('MachineStatuses', 'machine') or {}
    evidence = []
    if isinstance(status, dict):
        text = ', '.join(f'{name}: {str(status[name]).lower()}' for name in ('synced', 'syncDisabled', 'epoch') if name in status)
        evidence.append(seen(machine, 'TimeStatuses', text))
    for condition in (told.get('status') or {}).get('unmetConditions') or []:
        if condition.get('name') == 'time':
            return False, [*evidence, seen(machine, 'MachineStatuses', f'time: {condition.get("reason")}')]
    return (bool(status.get('synced')) if isinstance(status, dict) else None), evidence


def _disabled(view, machine):
    """Information where the user switched synchronisation off; in container mode the clock is the host's and it is always off (rec)."""
    if not (machine.resource('TimeStatuses', 'node') or {}).get('syncDisabled') or view.container(machine) is not False:
        return None
    return info(machine.key, f'{machine.label} does not synchronise its clock', 'Time synchronisation is switched off in its configuration.',
                'Make sure that something else keeps the clock right (the hypervisor, PTP), or remove machine.time.disabled.',
                nodes=[machine.key], evidence=[seen(machine, 'TimeStatuses', 'syncDisabled: true')])


def _waiting(machine):
    """[(service, text)] of the services whose last event says that they wait for the time."""
    found = []
    for service in (machine.value('ServiceList') or {}).get('services') or []:
        events = (service.get('events') or {}).get('events') or []
        text = (events[-1].get('msg') or '') if events else ''
        if service.get('state') == 'Waiting' and _WAITS_FOR_TIME.match(text):
            found.append((service.get('id'), text))
    return found


def _just_booted(view, machine, found):
    """G5 by the machine's own clock, which the others need not share."""
    for item in machine.value('MachineStatuses') or []:
        created = parse_time(item.get('created'))
        if item.get('id') == 'machine' and created is not None and found is not None:
            return 0 <= (found.local - created).total_seconds() < YOUNG_SECONDS
    return bool(view.young(machine))


# -- Time -------------------------------------------------------------------------------------------------------

def clock_off(view, machine):
    """The machine's clock is that of its time server. Talos slews up to 0.4 s and steps beyond."""
    found = reading(machine)
    if _synced(machine)[0] is False:
        return None
    if found is None:
        if _time_server_fails(machine):
            return not_applicable(machine.key, f'the time server that {machine.label} asked did not answer', nodes=[machine.key])
        why = machine.datum('Time').why() if not machine.datum('Time').ok else 'the answer holds no time'
        return unknown(machine.key, f'how far the clock of {machine.label} is off: Time: {why}', nodes=[machine.key],
                       next_step='Gather again; compare its clock with a time server.')
    size = abs(found.off)
    if size <= view.threshold(OFFSET_WARNING):
        return ok(machine.key, nodes=[machine.key])
    title = f'the clock of {machine.label} is {off_by(found.off, found.server)}, although Talos takes it for synchronised'
    evidence = [_clock_evidence(found), *_synced(machine)[1]]
    if size > view.threshold(OFFSET_ERROR):
        return error(machine.key, title,
                     'Certificates that it issues are not valid yet or expired elsewhere, and it refuses those of the others; etcd members and '
                     'leases disagree about the time.', _SERVERS, nodes=[machine.key], evidence=evidence, asserts=(wrong(machine),))
    return warning(machine.key, title, 'Talos corrects so much in one step as soon as it takes the time of a server. That it has not done so '
                   'means that it does not follow this server, or that the clock has just run away.',
                   f'Look again in a few minutes. {_SERVERS}', nodes=[machine.key], evidence=evidence)


def _clock_evidence(found):
    return seen(found.machine, 'Time', f'machine {found.local.isoformat()}, {found.server} {found.remote.isoformat()}')


def _time_server_fails(machine):
    """Whether the call came back with the machine's own error: its query of the time server failed."""
    datum = machine.datum('Time')
    return datum.state == FAILED and 'NTP' in (datum.reason or '')


def server_not_answering(view, machine):
    """The machine's time servers answer it (signatures time.query_error, time.lookup_failed: normal before the network is up)."""
    if _synced(machine)[0] is False:
        return None
    failed = view.signatures.on(machine, *_SERVER_LINES)[-1:]
    disabled = (machine.resource('TimeStatuses', 'node') or {}).get('syncDisabled')
    servers = (machine.resource('TimeServerStatuses', 'timeservers') or {}).get('timeServers') or []
    evidence = [seen(machine, 'TimeServerStatuses', f'time servers: {listed(servers)}')] if servers else []
    evidence += [hit.evidence() for hit in failed]
    if reading(machine):
        if disabled or not any(hit.recent for hit in failed):
            return ok(machine.key, nodes=[machine.key])
        return info(machine.key, f'{machine.label} does not reach all of its time servers', 'One of them answers, and the clock agrees with it.',
                    _SERVERS, nodes=[machine.key], evidence=evidence)
    log = machine.log('controller-runtime')
    if not _time_server_fails(machine) or not log.ok:
        why = f'log controller-runtime: {log.why()}' if _time_server_fails(machine) else f'Time: {machine.datum("Time").why()}'
        return unknown(machine.key, f'whether a time server answers {machine.label}: {why}', nodes=[machine.key])
    works = _last_success(machine)
    failing = [hit for hit in failed if not hit.history and (works is None or hit.at is None or hit.at > works)]
    if works is not None and not failing:
        return ok(machine.key, nodes=[machine.key])
    evidence.insert(0, seen(machine, 'Time', machine.datum('Time').reason))
    if disabled or not failing or view.young(machine):
        return info(machine.key, f'the time server that {machine.label} asked does not answer',
                    'Talos takes the clock for synchronised, and no failure of that is in its log. The server that was asked is the first of the '
                    'machine configuration, or time.cloudflare.com; others may have come by DHCP.',
                    f'Where no time server is meant to be reached, see that the clocks stay right some other way. {_SERVERS}', nodes=[machine.key],
                    evidence=evidence)
    return warning(machine.key, f'no time server answers {machine.label}',
                   'Talos goes on trying. Until it succeeds the clock runs free, and drifts away from those of the others.',
                   _SERVERS, nodes=[machine.key], evidence=evidence, explained_by=(f'network:{machine.key}',))


def _last_success(machine):
    """When the log of the controllers last told of an answer of a time server, None where it does not."""
    log = machine.log('controller-runtime')
    for raw in reversed((log.value or '').splitlines() if log.ok else []):
        if 'time.SyncController' in raw and _SYNC_WORKS.search(raw):
            return parse_time(raw.split(' ', 1)[0])
    return None


# -- the machines beside each other, and beside this control node -----------------------------------------------

def clocks_differ(view):
    """Clocks that are right by their own time servers agree with each other; etcd warns beyond one second."""
    answering = view.snapshot.answering()
    found = [each for each in map(reading, answering) if each is not None]
    good = [each for each in found if _synced(each.machine)[0] is not False and abs(each.off) <= view.threshold(OFFSET_WARNING)]
    if not answering or not found:
        return unknown('cluster', f'whether the clocks agree: {"; ".join(unread(answering, "Time")) or "no machine answered"}',
                       explained_by=('not_judged',))
    if len(good) < 2:
        return not_applicable('cluster', 'fewer than two clocks can be compared') if len(found) == len(answering) else \
            unknown('cluster', f'whether the clocks agree: {"; ".join(unread(answering, "Time"))}')
    apart, fastest, slowest = _furthest(good)
    if apart <= view.threshold(SPREAD):
        return ok('cluster') if len(found) == len(answering) else unknown('cluster', f'whether all clocks agree: {"; ".join(unread(answering, "Time"))}')
    evidence = [seen(each.machine, 'Time', f'{off_by(each.ahead, US)} (± {each.margin * 1000:.0f} ms), in agreement with {each.server}')
                for each in sorted(good, key=lambda each: (-each.ahead, each.machine.label))]
    return warning('cluster', f'the clocks of {fastest.machine.label} and {slowest.machine.label} are at least {apart:.1f} s apart, and each '
                              'agrees with its own time server',
                   'The time servers disagree. etcd warns about clocks that drift apart ("prober found high clock drift"), and leases and '
                   'certificates suffer from it.',
                   'Give all machines of the cluster the same time servers, and find out which of them is wrong.',
                   nodes=[fastest.machine.key, slowest.machine.key], evidence=evidence)


def _furthest(readings):
    """C((seconds, faster, slower)) of the two that are furthest apart by two time servers.

    Two clocks that agree with one server agree with each other, whatever the calls seem to tell: answers may come late, or out of a recording.
    """
    pairs = [((fast.ahead - fast.margin) - (slow.ahead + slow.margin), fast, slow) for fast in readings for slow in readings if fast.server != slow.server]
    return max(pairs, key=lambda pair: pair[0], default=(0.0, None, None))


def control_node_clock(view):
    """This control node's clock is the machines'. Where they agree with each other and their time servers, ours is the wrong one."""
    found = [each for each in map(reading, view.snapshot.answering()) if each is not None]
    good = [each for each in found if abs(each.off) <= view.threshold(OFFSET_WARNING)]
    if not good:
        return unknown('cluster', 'whether the clock of this control node is right: no machine told its time')
    least = min((each.ahead for each in good), key=abs)
    if any(each.ahead * least < 0 or abs(each.ahead) - each.margin <= view.threshold(CONTROL_NODE) for each in good):
        return ok('cluster')
    return info('cluster', f'the clock of this control node is wrong: {off_by(-least, "the machines, which agree with their time servers")}',
                'The machines are fine, and ages are told by their clocks. By a clock that is wrong this control node may take certificates that are '
                'valid for expired, or not valid yet.', 'Synchronise the clock of this control node.',
                evidence=[seen(each.machine, 'Time', f'{off_by(each.ahead, US)}, {off_by(each.off, each.server)}') for each in good])


def server_certificate_dates(view):
    """A served certificate that is expired or not yet valid: nearly always a clock (signature api.cert_time_invalid).

    Where only a wrong clock of its machine explains the dates, that is what is said.
    """
    outcomes = []
    for trouble in troubles(view):
        if trouble.kind not in ('expired', 'not_yet_valid'):
            continue
        dates = f' (valid {trouble.certificate["not_before"]} to {trouble.certificate["not_after"]})' if trouble.certificate else ''
        how, facts = _far_off(view, trouble), trouble.asserts()
        if how:
            title = f'the clock of {trouble.label} is far {how}, and so nobody accepts its API certificate{dates}'
            step = f'Look at the console of {trouble.label}: has it a hardware clock, does it reach a time server? {_SERVERS}'
            facts += tuple(f'clock:{key}' for key in trouble.nodes)
        else:
            title = f'the API certificate of {trouble.label} is expired or not yet valid{dates}'
            step = (f'Compare the clocks of {trouble.label}, of the control plane nodes and of this control node, and repair time synchronisation '
                    'first; the certificate follows by itself.')
        outcomes.append(error(
            trouble.subject, title,
            'A machine issues it for 24 hours by its own clock, without waiting for the time to be in sync, and renews it every 12 hours.'
            + ('' if how else ' So either its clock is wrong, or that of whoever verified it.'),
            step, nodes=trouble.nodes, evidence=trouble.evidence(), asserts=facts,
            explained_by=tuple(f'clock:{key}' for key in _clocks_of(view, trouble))))
    return outcomes or nothing_wrong(view, 'the dates of the served certificates')


def _far_off(view, trouble):
    """How far the clock is wrong by which a machine issued its certificate: "behind, by 3 days at least"; empty where another reason is possible.

    It speaks against the machine's clock only where others are verified by the clock of this control node.
    """
    begins, ends = (parse_time((trouble.certificate or {}).get(key)) for key in ('not_before', 'not_after'))
    if begins is None or ends is None or not trouble.nodes or not view.answering_control_planes:
        return ''
    ahead, expired = (begins - view.control_now).total_seconds(), (view.control_now - ends).total_seconds()
    if ahead > _AHEAD_SECONDS:
        return f'ahead, by {span(ahead)} at least'
    return f'behind, by {span(expired)} at least' if expired > view.threshold(CERTIFICATE) * 86400 else ''


def _clocks_of(view, trouble):
    """Keys of the machines by whose clocks a certificate was issued, or refused."""
    verifiers = [endpoint.machine for endpoint in view.snapshot.endpoints if endpoint.text == trouble.via and endpoint.machine]
    return [*trouble.nodes, *verifiers]


# -- the kernel -------------------------------------------------------------------------------------------------

def kernel_not_synced(view, machine):
    """The kernel takes its clock for synchronised; in container mode it is the host's and not told (rec)."""
    if view.container(machine):
        return not_applicable(machine.key, 'in container mode the clock is the host\'s', nodes=[machine.key])
    status = machine.resource('AdjtimeStatuses', 'node')
    if not isinstance(status, dict) or status.get('syncStatus') is not False or _synced(machine)[0] is False or view.young(machine):
        return ok(machine.key, nodes=[machine.key])
    return info(machine.key, f'the kernel of {machine.label} does not take its clock for synchronised',
                'Talos has not disciplined the clock for a while, or has just stepped it.', 'Look again in a few minutes.', nodes=[machine.key],
                evidence=[seen(machine, 'AdjtimeStatuses', f'syncStatus: false, status: {status.get("status")}')])


_READS = ('TimeStatuses', 'Time', 'MachineStatuses')

CHECKS = (
    Check('time.not_synced', SECTION, 'the clock is synchronised', not_synced, each=ALL, reads=(*_READS, 'ServiceList', 'Version'),
          logs=('controller-runtime',), catalogue='EXT-TIME'),
    Check('time.clock_off', SECTION, 'the clock is that of the time server', clock_off, each=ALL, reads=_READS, catalogue='EXT-TIME', thresholds={
        OFFSET_WARNING: Threshold(0.4, 's', 'how far a machine\'s clock may be from its time server\'s before it is a warning'),
        OFFSET_ERROR: Threshold(5, 's', 'how far a machine\'s clock may be from its time server\'s before it is an error')}),
    Check('time.server_not_answering', SECTION, 'the time server answers', server_not_answering, each=ALL,
          reads=(*_READS, 'TimeServerStatuses'), logs=('controller-runtime',), catalogue='EXT-TIME', sharpens=True),
    Check('time.clocks_differ', SECTION, 'the machines\' clocks agree with each other', clocks_differ, reads=_READS, catalogue='EXT-TIME',
          sharpens=True, thresholds={SPREAD: Threshold(1, 's', 'how far the machines\' clocks may be apart')}),
    Check('time.server_certificate_dates', SECTION, 'the served certificates are valid now', server_certificate_dates,
          catalogue='API-3, API-10, EXT-TIME', thresholds={
              CERTIFICATE: Threshold(30, 'days', 'how long ago a served certificate must have expired to show that its machine\'s clock is wrong')}),
    Check('time.control_node_clock', SECTION, 'the clock of this control node is that of the machines', control_node_clock, reads=_READS,
          catalogue='EXT-TIME', sharpens=True,
          thresholds={CONTROL_NODE: Threshold(5, 's', 'how far the clock of this control node may be from the machines\'')}),
    Check('time.kernel_not_synced', SECTION, 'the kernel takes its clock for synchronised', kernel_not_synced, each=ALL,
          needs=('AdjtimeStatuses',), reads=('TimeStatuses', 'MachineStatuses', 'Version'), catalogue='EXT-TIME', sharpens=True),
)
