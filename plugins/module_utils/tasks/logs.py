# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_logs: logs of services, of containers of Kubernetes, and of the kernel (talos-api 5.2)."""

from __future__ import annotations

import difflib
import fnmatch
import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ABSENT, NOT_ASKED, InputError
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.ask import text_of
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, parse_time
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import BY_KIND, Call
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, durations, facts, machines, stamps

READS = (*machines.READS, 'Time', 'Containers', 'LogsContainers', 'the logs that are asked for')

SERVICE, CONTAINER, KERNEL = 'service', 'container', 'dmesg'
# Of a log this much is read where lines are selected from it; Talos itself keeps little more.
READ_BYTES = 4 * 1024 * 1024
LINE_CHARACTERS = 4096
CONTAINERS_MOST = 50

_DMESG = '/machine.MachineService/Dmesg'
_TIME = BY_KIND[False, 'Time']
_CONTAINERS = BY_KIND[False, 'Containers']
_NAMES = Call('LogsContainers', '/machine.MachineService/LogsContainers')
_HOSTS_KERNEL = 'in container mode the kernel log is that of the host'


@dataclass(frozen=True)
class Tail:
    """A read of a log: its last C(lines), -1 for all. C(kind) is what the result calls it, C(source) of what it is the log."""

    kind: str
    source: str
    log_id: str = ''
    lines: int = -1

    def call(self, machine, seconds):
        if self.source == KERNEL:
            return text_of(machine.stream(_DMESG, {}, READ_BYTES, seconds, newest=True), READ_BYTES)
        namespace = 'k8s.io' if self.source == CONTAINER else 'system'
        return text_of(machine.log(self.log_id, namespace, self.lines, READ_BYTES, seconds), READ_BYTES)


@dataclass(frozen=True)
class Selection:
    """Which lines are wanted: the last C(tail) of those that match C(regexp) and are not older than C(span) or C(moment)."""

    tail: int
    regexp: re.Pattern | None = None
    span: object = None
    moment: datetime | None = None

    @property
    def to_read(self):
        """How many lines to ask Talos for."""
        return self.tail if self.regexp is None and self.span is None and self.moment is None else -1

    def of(self, text, now):
        lines = [stamps.plain(line) for line in text.splitlines()]
        moment = now - self.span if self.span is not None else self.moment
        if moment is not None:
            lines = stamps.since(lines, moment, now)
        if self.regexp is not None:
            lines = [line for line in lines if self.regexp.search(line)]
        return lines[-self.tail:] if self.tail > 0 else lines


def run(params, check_mode, say):
    """See the module's RETURN. Check mode makes no difference. Raises TalosError."""
    limit, selection = facts.limit_of(params), selection_of(params)
    services = list(dict.fromkeys(text.strip() for text in params.get('services') or () if text.strip()))
    patterns = [text.strip() for text in params.get('containers') or () if text.strip()]
    kernel = params.get('dmesg') or KERNEL in services
    services = [name for name in services if name != KERNEL]
    if not services and not patterns and not kernel:
        raise InputError('No log is named.', 'Set at least one of services, containers and dmesg.')
    with machines.of(params, say) as cluster:
        visits = cluster.visit(lambda machine, ask: _visit(machine, ask, services, patterns, kernel, selection))
        logs, unread = [], {label: {name: reason for name in _asked(services, patterns, kernel)} for label, reason in cluster.silent().items()}
        for label, (found, now) in visits.items():
            for read, datum in found:
                if datum.ok:
                    logs.append(_log(label, read, datum, selection.of(datum.value, now)))
                else:
                    unread.setdefault(label, {})[read.kind] = cluster.why(datum)
        unmatched = _unmatched(patterns, visits)
        if not logs and (unread or (unmatched and visits)):
            raise _nothing(cluster, unread, services, unmatched, visits)
    return {
        'changed': False,
        'cluster': access.cluster_of(params),
        'nodes': [cluster.labels[machine.key] for machine in cluster.machines],
        'logs': fitted(logs, limit),
        'truncated': any(log['truncated'] for log in logs),
        'unmatched': unmatched,
        'unread': unread,
        'ran_on': access.here(),
    }


def selection_of(params):
    """The Selection that the options mean. Raises InputError."""
    tail, regexp, since = params['tail'], params.get('regexp') or None, str(params.get('since') or '').strip()
    if tail != -1 and tail <= 0:
        raise InputError(f'tail must be a number of lines above zero, or -1 for all, not {tail}.')
    if regexp is not None:
        try:
            regexp = re.compile(regexp)
        except (re.error, RecursionError, OverflowError) as error:
            place = getattr(error, 'pos', None)
            column = f' (column {place + 1})' if place is not None else ''
            raise InputError(f'regexp is no regular expression of Python: {getattr(error, "msg", error)}{column}.') from None
    if not since:
        return Selection(tail, regexp)
    if durations.is_span(since.lower()):
        return Selection(tail, regexp, span=durations.parse(since, 'since'))
    moment = parse_time(since) if re.match(r'\d{4}-\d\d-\d\d', since) else None
    if moment is None:
        raise InputError(f'since is "{since}", which is neither a time such as 2026-11-22T10:00:00Z nor a span such as 10m.')
    return Selection(tail, regexp, moment=moment)


def _asked(services, patterns, kernel):
    return [*services, *patterns, *([KERNEL] if kernel else [])]


# -- one machine ----------------------------------------------------------------------------------------------------


def _visit(machine, ask, services, patterns, kernel, selection):
    """C(([(Tail, Datum)], now)) of one machine; C(now) is its own clock's time, this one's where it does not tell."""
    reads = [Tail(name, SERVICE, name, selection.to_read) for name in services]
    found = []
    first = ask([*([_CONTAINERS] if patterns else []), *([_TIME] if selection.span is not None else [])])
    if patterns:
        listed = first[_CONTAINERS.kind]
        if listed.ok:
            wanted = containers_of(listed.value, patterns)
            reads += [Tail(name, CONTAINER, log_id, selection.to_read) for name, log_id in wanted[:CONTAINERS_MOST]]
            found += [(Tail(name, CONTAINER), Datum(NOT_ASKED, reason=f'more than {CONTAINERS_MOST} containers of this machine match'))
                      for name, _id in wanted[CONTAINERS_MOST:]]
        else:
            found += [(Tail(pattern, CONTAINER), listed) for pattern in patterns]
    if kernel:
        if ((machine.value('Version') or {}).get('platform') or {}).get('mode') == 'container':
            found.append((Tail(KERNEL, KERNEL), Datum(NOT_ASKED, reason=_HOSTS_KERNEL)))
        else:
            reads.append(Tail(KERNEL, KERNEL, lines=selection.to_read))
    data = ask(reads)
    found += [(read, data[read.kind]) for read in reads]
    told = first.get(_TIME.kind)
    now = parse_time((told.value or {}).get('localtime')) if told is not None and told.ok else None
    return found, now or datetime.now(timezone.utc)


def containers_of(listed, patterns):
    """C([(<namespace>/<pod>:<container>, log id)]) of the containers that a pattern means, each container once.

    That is the instance that runs; where none does, the one that is listed last (they are listed in no order of time).
    """
    found = {}
    for container in listed.get('containers') or []:
        pod, _colon, rest = container.get('id', '').partition(':')
        name = rest.rpartition(':')[0]
        if not name or not any(matches(pattern, pod, name) for pattern in patterns):
            continue
        key, runs = f'{pod}:{name}', container.get('status') == 'CONTAINER_RUNNING'
        if key not in found or runs or not found[key][0]:
            found[key] = runs, container['id']
    return [(key, log_id) for key, (_runs, log_id) in sorted(found.items())]


def matches(pattern, pod, name):
    """Whether C([namespace/]pod[:container]), or the name of a container alone, means this one; C(*), C(?) and C([…]) as in a shell."""
    wanted, colon, container = pattern.partition(':')
    bare = pod if '/' in wanted else pod.rpartition('/')[2]
    if colon:
        return fnmatch.fnmatchcase(bare, wanted or '*') and fnmatch.fnmatchcase(name, container or '*')
    return fnmatch.fnmatchcase(bare, wanted) or ('/' not in wanted and fnmatch.fnmatchcase(name, wanted))


# -- the result -----------------------------------------------------------------------------------------------------


def _log(label, read, datum, lines):
    return {'node': label, 'log': read.kind, 'source': read.source, 'lines': [_short(line) for line in lines], 'truncated': not datum.complete,
            'reason': datum.reason}


def _short(line):
    more = len(line) - LINE_CHARACTERS
    return f'{line[:LINE_CHARACTERS]}… ({more} more characters)' if more > 0 else line


def fitted(logs, limit):
    """The logs cut to C(limit) bytes together: the large ones lose their oldest lines, so that none is larger than the others must be."""
    sizes = [sum(map(_size, log['lines'])) for log in logs]
    left, share = limit, {}
    for place, number in enumerate(sorted(range(len(logs)), key=sizes.__getitem__)):
        share[number] = min(sizes[number], left // (len(logs) - place))
        left -= share[number]
    for number, log in enumerate(logs):
        if sizes[number] > share[number]:
            kept, room = 0, share[number]
            while kept < len(log['lines']) and _size(log['lines'][-1 - kept]) <= room:
                room -= _size(log['lines'][-1 - kept])
                kept += 1
            log['lines'] = log['lines'][len(log['lines']) - kept:]
            log['truncated'] = True
            log['reason'] = log['reason'] or f'cut to limit_bytes ({limit} for all logs together)'
    return logs


def _size(line):
    return len(json.dumps(line, ensure_ascii=False).encode(errors='replace')) + 2


def _unmatched(patterns, visits):
    """The patterns that mean no container of any machine whose containers are known."""
    seen = [read.kind.split(':')[:2] for found, _now in visits.values() for read, _datum in found if read.source == CONTAINER and ':' in read.kind]
    if any(read.source == CONTAINER and read.kind in patterns for found, _now in visits.values() for read, _datum in found):
        return []
    return [pattern for pattern in patterns if not any(matches(pattern, *parts) for parts in seen)]


def _nothing(cluster, unread, services, unmatched, visits):
    """The TalosError that says why there is no log at all."""
    reasons = {label: '; '.join(dict.fromkeys(reasons.values())) for label, reasons in unread.items()}
    if not reasons:
        return InputError(f'No container of {len(visits)} machines is called {", ".join(unmatched)}.',
                          'The option containers takes [namespace/]pod[:container] or the name of a container, with * and ? as in a shell.')
    error = cluster.nothing('The logs', reasons)
    datum = cluster.first(_NAMES) if services and visits else Datum(ABSENT)
    if datum.ok:
        known = sorted(datum.value.get('ids') or [])
        near = list(dict.fromkeys(name for service in services if service not in known for name in difflib.get_close_matches(service, known, n=2)))
        error.hint = error.hint or (f'Nearest: {", ".join(near)}.' if near else f'Logs of services are: {", ".join(known)}.')
    return error
