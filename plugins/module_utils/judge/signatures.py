# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Known lines of logs (_signatures.py), found where they stand and weighed by their age.

A line never makes a finding against the present state: each check looks at the state first, and takes a hit as
evidence. The rules that hold for every line are kept here:

- an entry is matched against the streams that it names only;
- of several entries on one line the most specific wins (the longest match, or one that says it wins over another);
- lines from before the last boot, or before the service's last "Health check successful", are history;
- a line that is normal in some phase counts only while it still comes (five minutes) and the machine is no longer
  young; what load makes counts by its number.

Ages go by the machine's own clock, which its logs are written in, never by the control node's.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import cache, cached_property, lru_cache

from ansible_collections.talosops.talos.plugins.module_utils.judge import loglines
from ansible_collections.talosops.talos.plugins.module_utils.judge._signatures import SIGNATURES
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Evidence
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time, parse_time

MACHINED = 'machined dmesg'
RUNTIME = 'controller-runtime'
EVENTS = 'service events'
ERRORS = 'gRPC error'
STATUS = 'talosctl etcd status'

RECENT_SECONDS = 300
YOUNG_SECONDS = 600
LOAD_COUNT = 10
LOAD_COUNTS = {'etcd.slow_fsync': 3, 'etcd.request_timeout': 3}
SHORTER = {'kubelet.lease_failed': 60}
SEVERITIES = ('ok', 'info', 'warning', 'error', 'critical')

_STREAMS = {
    'machined': (MACHINED, RUNTIME),
    'dmesg': (MACHINED, RUNTIME),
    'controller-runtime': (RUNTIME,),
    'etcd': ('etcd log',),
    'kubelet': ('kubelet log',),
    'trustd': ('trustd log',),
    'dns-resolve-cache': ('dns-resolve-cache log',),
}
_LOGS = {MACHINED: ('machined', 'dmesg'), RUNTIME: ('controller-runtime',), 'kube-apiserver': ('containers',), 'pod log': ('containers',),
         'etcd log': ('etcd',), 'kubelet log': ('kubelet',), 'dns-resolve-cache log': ('dns-resolve-cache',)}
# These logs tell of the same events, so what they count is not added up.
_SAME = ('machined', 'dmesg', 'controller-runtime', 'ServiceList')
_NOISE = ('machined/authz/', ' OK [/')
_HEALTHY = 'Health check successful'
_NAMED_SERVICE = re.compile(r'service\[(?P<service>[^\]]+)\]\(')
_BOOT_SLACK = timedelta(seconds=10)
_LINES_BACK = 200
_NEVER = datetime.min.replace(tzinfo=timezone.utc)
_ALWAYS = datetime.max.replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Signature:
    """One entry of the catalogue. C(sources): streams; C(transient): phases in which the line is normal, else empty.

    C(judged_by): the check that reports what the line tells of, or why none does: evidence, symptom, ok, client. C(title) stands where
    the line itself makes the finding.
    """

    id: str
    section: str
    sources: tuple
    pattern: str
    needles: tuple
    severity: str
    meaning: str
    remedy: str
    reference: str
    transient: tuple = ()
    not_when: str = ''
    wins_over: tuple = ()
    title: str = ''
    judged_by: str = ''

    @cached_property
    def regex(self):
        return re.compile(self.pattern)

    def is_in(self, text):
        """Whether a line, as it stands in any log, is matched."""
        return self.regex.search(loglines.without_second_stamp(loglines.normal(text))) is not None

    @property
    def weight(self):
        """0 (ok) to 4 (critical)."""
        return SEVERITIES.index(self.severity)


# Why no check judges a signature: a sign beside others, a consequence that never stands alone, good news, or the answer to a client's mistake.
NOT_JUDGED = ('evidence', 'symptom', 'ok', 'client')

CATALOGUE = {entry['id']: Signature(**entry) for entry in SIGNATURES}


@dataclass(frozen=True)
class Hit:
    """A signature in the logs of one machine, as its last occurrence.

    C(source): the log's id (C(<pod>:<container>) too), C(ServiceList), C(EtcdStatus) or C(gRPC error). C(line): the last one
    that matched (loglines.Line). C(count): how many, C(recent_count) of the last five minutes. C(first), C(at): when
    it came first and last, None where the lines have no time. C(age): seconds since then. C(recent): it still counts, by the rules above.
    C(groups): what the pattern's names caught in the last line.
    """

    signature: Signature
    machine: object
    source: str
    line: loglines.Line
    count: int
    recent_count: int
    first: datetime | None
    at: datetime | None
    age: float | None
    recent: bool
    history: bool
    groups: dict = field(default_factory=dict)

    @property
    def id(self):
        return self.signature.id

    def evidence(self):
        """The line as evidence, with how often it came."""
        times = f' ({self.count} times)' if self.count > 1 else ''
        plain = self.source in ('ServiceList', 'EtcdStatus', ERRORS)
        return Evidence(self.line.text + times, self.source if plain else f'log {self.source}', self.machine.label if self.machine else None,
                        format_time(self.at) if self.at else None)


class Signatures:
    """All signatures against all logs of a View; each log is looked through once, when it is first asked for."""

    def __init__(self, view):
        self.view = view
        self._found = {}
        self._clocks = {}

    def on(self, machine, *ids, since=None):
        """Hits of these signatures (all, without ids) on a machine, oldest first.

        C(machine) None: what the endpoints said that belong to no machine. C(since), a datetime: only lines of that time or later.
        """
        unknown = [name for name in ids if name not in CATALOGUE]
        if unknown:
            raise KeyError(f'no such signature: {", ".join(unknown)}')
        wanted = [CATALOGUE[name] for name in ids] or list(CATALOGUE.values())
        hits = [hit for signature in wanted for hit in [self._hit(machine, signature, since)] if hit is not None]
        return sorted(hits, key=lambda hit: (hit.at is None, hit.at.timestamp() if hit.at else 0.0))

    def of_section(self, machine, key, since=None):
        """Hits of all signatures of a section of the guide, oldest first."""
        return self.on(machine, *(signature.id for signature in CATALOGUE.values() if signature.section == key), since=since)

    def recent(self, machine, *ids, since=None):
        """Those of C(on) that still count."""
        return [hit for hit in self.on(machine, *ids, since=since) if hit.recent]

    def bad(self, machine, *ids, since=None):
        """Those of C(recent) that are a warning or worse."""
        return [hit for hit in self.recent(machine, *ids, since=since) if hit.signature.weight >= SEVERITIES.index('warning')]

    def quiet(self, machine, *ids, since=None):
        """None of these still counts. Nothing is proved by it where the log was not read."""
        return not self.recent(machine, *ids, since=since)

    def clock(self, machine):
        """The machine's own "now": the newest stamp of its logs and of its time service, else the gather's.

        Each of our calls writes into machined's log, so a machine whose logs were read says what time it is.
        """
        if machine is None:
            return self.view.now
        if machine.key not in self._clocks:
            stamps = [_newest(datum.value, self.view.now) for datum in machine.logs.values() if datum.ok and datum.value]
            stamps.append(parse_time((machine.value('Time') or {}).get('localtime')))
            self._clocks[machine.key] = max([stamp for stamp in stamps if stamp], default=self.view.now)
        return self._clocks[machine.key]

    def young(self, machine):
        """View.young by the machine's own clock; False where its boot was not seen, so that nothing falls silent for that."""
        booted = self._booted(machine)
        return booted is not None and (self.clock(machine) - booted).total_seconds() < YOUNG_SECONDS

    # -- one signature on one machine -----------------------------------------------------------------------

    def _hit(self, machine, signature, since):
        now, found = self.clock(machine), []
        for text in self._texts(machine, signature):
            places = text.found.get(signature.id, ())
            if places and since is not None:
                places = places[bisect_left(places, since, key=text.moment):]
            if places:
                found.append((text, places))
        if not found:
            return None
        text, places = max(found, key=lambda item: item[0].moment(item[1][-1]))
        last, line = text.near(places[-1]), text.line(places[-1])
        firsts = [at for at in (text.near(places[0]) for text, places in found) if at]
        history = self._history(machine, signature, line, last, text)
        count, recent_count = _counted(found), _counted(found, now - timedelta(seconds=RECENT_SECONDS))
        age = 0.0 if text.present else max(0.0, (now - last).total_seconds()) if last else None
        caught = signature.regex.search(text.normal(places[-1]))
        return Hit(signature, machine, text.source, line, count, recent_count, min(firsts, default=None), last, age,
                   not history and self._counts(machine, signature, age, recent_count), history, caught.groupdict() if caught else {})

    def _counts(self, machine, signature, age, recent_count):
        """Whether a line that is not history is more than what its phase explains."""
        if not signature.transient:
            return True
        if age is None or age > SHORTER.get(signature.id, RECENT_SECONDS) or (machine is not None and self.young(machine)):
            return False
        return 'load' not in signature.transient or recent_count >= LOAD_COUNTS.get(signature.id, LOAD_COUNT)

    def _history(self, machine, signature, line, at, text):
        if machine is None or at is None or text.present:
            return False
        booted = None if text.source == 'dmesg' else self._booted(machine)
        if booted is not None and at < booted - _BOOT_SLACK:
            return True
        healthy = self._healthy(machine, _service(signature, line))
        return healthy is not None and at < healthy

    def _booted(self, machine):
        """When the machine booted, by its own clock; None when that was not seen."""
        for item in machine.value('MachineStatuses') or []:
            if item.get('id') == 'machine':
                return parse_time(item.get('created'))
        return None

    def _healthy(self, machine, service):
        """When the service last became healthy, None where it is not known."""
        listed = ((self.view.service(machine, service) or {}).get('events') or {}).get('events') or [] if service else []
        times = [parse_time(event.get('ts')) for event in listed if event.get('msg') == _HEALTHY]
        return max([at for at in times if at], default=None)

    # -- the texts ------------------------------------------------------------------------------------------

    def _texts(self, machine, signature):
        """The streams of a machine in which a signature may stand."""
        key = machine.key if machine is not None else None
        if key not in self._found:
            self._found[key] = list(self._streams(machine))
        return [text for text in self._found[key] if not text.streams.isdisjoint(signature.sources)]

    def _streams(self, machine):
        if machine is not None:
            for log_id, datum in machine.logs.items():
                streams = _STREAMS.get(log_id) or (_container_streams(log_id) if ':' in log_id else ())
                if datum.ok and datum.value and streams:
                    yield _text(log_id, streams, datum.value, self.view.now)
            yield _Entries('ServiceList', (EVENTS,), _events(machine))
            alarms = (machine.value('EtcdStatus') or {}).get('errors') or []
            yield _Entries('EtcdStatus', (STATUS,), [(None, str(text)) for text in alarms], present=True)
        yield _Entries(ERRORS, (ERRORS,), _errors(self.view.snapshot, machine), present=True)


# -- texts ----------------------------------------------------------------------------------------------------------

class _Text:
    """A log: its lines are only looked at where one of the needles stands. A line is known by the offset where it starts."""

    present = False

    def __init__(self, source, streams, text, now):
        self.source = source
        self.streams = frozenset(streams)
        self._now = now
        self._noisy = source in ('machined', 'dmesg')
        self._raw = text.replace('\n\t', ' ')  # an error of several lines is one

    def _line(self, place):
        end = self._raw.find('\n', place)
        return self._raw[place:end if end >= 0 else len(self._raw)]

    def normal(self, place):
        """The line as patterns see it."""
        return loglines.without_second_stamp(loglines.normal(self._line(place)))

    def line(self, place):
        return loglines.any_of(self._line(place), self.near(place), self._now)

    def near(self, place):
        """The time of a line, else that of the last one before it that has one; None where there is none."""
        for _line in range(_LINES_BACK):
            at = loglines.time_of(self._line(place), self._now)
            if at is not None or place == 0:
                return at
            place = self._raw.rfind('\n', 0, place - 1) + 1
        return None

    def moment(self, place):
        """C(near) to compare by: lines without a time are older than all others."""
        return self.near(place) or _NEVER

    @cached_property
    def found(self):
        """Id of a signature: its lines, in the order of the log."""
        matches, normals = {}, {}
        for signature in _of_streams(self.streams):
            for place in self._places(signature.needles):
                if place not in normals:
                    normals[place] = self.normal(place)
                match = signature.regex.search(normals[place])
                if match:
                    matches.setdefault(place, []).append((signature, match.end() - match.start()))
        found = {}
        for place in sorted(matches):
            found.setdefault(_most_specific(matches[place]).id, []).append(place)
        return found

    def _places(self, needles):
        """The lines that hold a needle, without those that Talos writes about our own calls."""
        text, places = self._raw, set()
        for needle in needles:
            at = text.find(needle)
            while at >= 0:
                start, end = text.rfind('\n', 0, at) + 1, text.find('\n', at)
                if not self._noisy or not any(noise in text[start:end] for noise in _NOISE):
                    places.add(start)
                at = text.find(needle, end) if end >= 0 else -1
        return places


# A snapshot is judged again and again (remediate, a threshold that is tried): what stands in its logs stays the same.
_text = lru_cache(maxsize=128)(_Text)


class _Entries:
    """Lines that are no log: C([(time or None, text)]). C(present): they tell the state at the time of the gather."""

    def __init__(self, source, streams, entries, present=False):
        self.source = source
        self.streams = frozenset(streams)
        self.present = present
        self._entries = entries

    def normal(self, place):
        return loglines.normal(self._entries[place][1]).replace('\n\t', ' ').replace('\n', ' ')

    def line(self, place):
        at, text = self._entries[place]
        return loglines.Line(text, at, at)

    def near(self, place):
        return self._entries[place][0]

    def moment(self, place):
        return self._entries[place][0] or (_ALWAYS if self.present else _NEVER)

    @cached_property
    def found(self):
        found = {}
        for place in range(len(self._entries)):
            text, matches = self.normal(place), []
            for signature in _of_streams(self.streams):
                match = signature.regex.search(text) if any(needle in text for needle in signature.needles) else None
                if match:
                    matches.append((signature, match.end() - match.start()))
            if matches:
                found.setdefault(_most_specific(matches).id, []).append(place)
        return found


def matching(text, *streams):
    """The signature of a single line of one of these streams (of any, without), None where there is none."""
    normal = loglines.without_second_stamp(loglines.normal(text))
    matches = []
    for signature in CATALOGUE.values():
        match = signature.regex.search(normal) if not streams or not set(streams).isdisjoint(signature.sources) else None
        if match:
            matches.append((signature, match.end() - match.start()))
    return _most_specific(matches) if matches else None


@cache
def _of_streams(streams):
    """The signatures that are matched in any of these streams (a frozenset)."""
    return [signature for signature in CATALOGUE.values() if not streams.isdisjoint(signature.sources)]


def logs_of(*entries):
    """The logs (snapshot/reads.py) in which these signatures stand."""
    found = {log for signature in entries for source in signature.sources for log in _LOGS.get(source, ())}
    return tuple(sorted(found))


def _most_specific(matches):
    """Of C([(signature, length of its match)]) the one that counts."""
    beaten = {name for signature, _length in matches for name in signature.wins_over}
    left = [item for item in matches if item[0].id not in beaten] or matches
    return max(left, key=lambda item: item[1])[0]


def _container_streams(log_id):
    """The streams of a container's log, whose id is C(<pod>:<container>)."""
    return ('pod log', 'kube-apiserver') if log_id.rpartition(':')[2] == 'kube-apiserver' else ('pod log',)


def _events(machine):
    """Events of all services as machined writes them."""
    found = []
    for service in (machine.value('ServiceList') or {}).get('services') or []:
        for event in (service.get('events') or {}).get('events') or []:
            found.append((parse_time(event.get('ts')), f'service[{service.get("id")}]({event.get("state")}): {event.get("msg")}'))
    return sorted(found, key=lambda entry: (entry[0] is not None, entry[0].timestamp() if entry[0] else 0.0))


def _errors(snapshot, machine):
    """Why calls to a machine failed, in the words of a Talos client; for none, what the endpoints without a machine said."""
    texts = []
    if machine is not None:
        reach = machine.value('reach')
        texts += [(machine.unreachable or {}).get('text'), *(reach.values() if isinstance(reach, dict) else ())]
        texts += [_status(datum) for datum in (*machine.data.values(), *machine.logs.values()) if not datum.ok and datum.code]
    key = machine.key if machine is not None else None
    texts += [(endpoint.error or {}).get('text') for endpoint in snapshot.endpoints if endpoint.machine == key]
    return [(None, str(text)) for text in dict.fromkeys(texts) if text]


def _status(datum):
    said = datum.reason or ''
    return said if 'code = ' in said else f'rpc error: code = {datum.code} desc = {said}'


def _service(signature, line):
    """The service whose health makes a line history, None where there is none."""
    named = _NAMED_SERVICE.search(line.text)
    if named:
        return named.group('service')
    for service in ('etcd', 'kubelet', 'apid'):
        if signature.id.startswith(f'{service}.') or f'{service} log' in signature.sources[:1]:
            return service
    return None


@lru_cache(maxsize=128)
def _newest(text, now):
    """The stamp of the last line that has one."""
    for raw in reversed(text[-20000:].split('\n')):
        at = loglines.time_of(raw, now)
        if at is not None:
            return at
    return None


def _counted(found, since=None):
    """How many lines there are (from a time on); logs that tell of the same count once."""
    numbers = {}
    for text, places in found:
        group = 'talos' if text.source in _SAME else text.source
        number = len(places) if since is None else len(places) - bisect_left(places, since, key=text.moment)
        numbers[group] = max(numbers.get(group, 0), number)
    return sum(numbers.values())
