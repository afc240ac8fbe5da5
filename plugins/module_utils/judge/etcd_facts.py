# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several checks know of etcd, worked out once for a snapshot.

A member is known by its id and its peer address, never by its name: a machine that was installed anew has the old
name and another id. Quorum is judged by EtcdStatus alone, the only call that answers without one (talos-api 5.4).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from urllib.parse import urlsplit

from ansible_collections.talosops.talos.plugins.module_utils.judge import loglines
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Evidence
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time, parse_time

NO_LEADER = '0' * 16
BOOTSTRAP_WAIT = 'etcd is waiting to join the cluster, if this node is the first node in the cluster'
DEFAULT_QUOTA = 2 * 1024 ** 3

# Facts that findings assert and explain each other by (causes.py).
NOT_BOOTSTRAPPED = 'etcd.not_bootstrapped'
NO_QUORUM = 'etcd.no_quorum'
NOSPACE = 'etcd.nospace'

PRE_STATES = ('Initialized', 'Starting', 'Waiting', 'Preparing')
CRASHED = re.compile(r'^(?:Error running .*, going to restart |Runner .* exited without error, going to restart)', re.DOTALL)
PRE_FAILED = 'Failed to run pre stage'
CRASH_WINDOW = 300

_ALARM = re.compile(r'memberID:(\d+) +alarm:(\w+)')


def down(machine):
    """The fact that etcd of this machine is broken."""
    return f'etcd.down:{machine.key}'


def learner(machine):
    """The fact that etcd of this machine does not become a voter."""
    return f'etcd.learner:{machine.key}'


def stale(member_id):
    """The fact that this member has no machine any more."""
    return f'etcd.member_stale:{member_id}'


def unreachable(machine):
    """The fact, asserted by the checks of the Talos API, that this machine does not answer."""
    return f'unreachable:{machine.key}'


@dataclass(frozen=True)
class Event:
    """One event of a service: C(at) a datetime or None, C(state) as Talos spells it."""

    at: object
    state: str
    msg: str


class EtcdFacts:
    """Facts of a View; see the methods."""

    def __init__(self, view):
        self.view = view
        self._logs = {}

    # -- logs -----------------------------------------------------------------------------------------------

    def log(self, machine, log_id):
        """The lines of a machine's log C(etcd) or C(machined); empty where it was not read."""
        where = (machine.key, log_id)
        if where not in self._logs:
            parse = loglines.etcd if log_id == 'etcd' else loglines.machined
            self._logs[where] = parse(machine.log(log_id).value if machine.log(log_id).ok else '')
        return self._logs[where]

    def recent(self, machine, log_id, seconds):
        """Lines of the last so many seconds; a clock that runs ahead of ours is allowed for."""
        lines = self.log(machine, log_id)
        newest = max([self.view.now, *(line.near for line in lines[-1:] if line.near)])
        return [line for line in lines if line.near is not None and newest - line.near <= timedelta(seconds=seconds)]

    @staticmethod
    def quote(machine, log_id, line):
        """A line of a log as evidence."""
        return Evidence(line.text, f'log {log_id}', machine.label, format_time(line.near) if line.near else None)

    # -- the service ----------------------------------------------------------------------------------------

    def service(self, machine):
        return self.view.service(machine, 'etcd')

    def state(self, machine):
        """The state of the service as Talos spells it, None where it is not listed or the list was not read."""
        service = self.service(machine)
        return service.get('state') if service else None

    def running(self, machine):
        return self.state(machine) == 'Running'

    def events(self, machine):
        """Events of the service, oldest first."""
        listed = ((self.service(machine) or {}).get('events') or {}).get('events') or []
        return [Event(parse_time(item.get('ts')), item.get('state') or '', item.get('msg') or '') for item in listed]

    def last_event(self, machine):
        events = self.events(machine)
        return events[-1] if events else None

    def crashes(self, machine):
        """Restarts in the five minutes before the last event, unless a successful health check came after them."""
        found, events = [], self.events(machine)
        for event in events:
            if CRASHED.match(event.msg):
                found.append(event)
            elif event.msg == 'Health check successful':
                found = []
        newest = events[-1].at if events else None
        return [e for e in found if e.at is None or newest is None or (newest - e.at).total_seconds() <= CRASH_WINDOW]

    def in_pre(self, machine):
        """It has not come as far as being started: waiting, preparing, or given up before the start."""
        state, last = self.state(machine), self.last_event(machine)
        if state == 'Failed':
            return last is not None and last.msg.startswith(PRE_FAILED)
        return state in PRE_STATES and not (last is not None and CRASHED.match(last.msg))

    def pre_since(self, machine):
        """When the present attempt to start began, None when the events do not say."""
        since = None
        for event in self.events(machine):
            if event.state == 'Starting' or event.msg == 'Running pre state':
                since = event.at
        return since

    def pre_lines(self, machine):
        """Lines of machined's log since the present attempt to start began (all of them where that is not known)."""
        since = self.pre_since(machine)
        return [line for line in self.log(machine, 'machined')
                if since is None or line.near is None or (line.near - since).total_seconds() >= -2]

    def waits_to_join(self, machine):
        """It says that it waits for a cluster to join; None when its log was not read."""
        if not self.in_pre(machine) or self.state(machine) == 'Failed':
            return False
        if not machine.log('machined').ok:
            return None
        return any(BOOTSTRAP_WAIT in line.text for line in self.pre_lines(machine))

    def data_empty(self, machine):
        """Whether /var/lib/etcd holds nothing (the listing then has the directory alone); None when not seen."""
        datum = machine.datum('EtcdDirectory')
        if datum.state == 'absent':
            return True
        if not datum.ok or not datum.complete:
            return None
        entries = datum.value or []
        if any(entry.get('error') for entry in entries):
            return None
        return not [entry for entry in entries if entry.get('relative_name') not in ('.', '')]

    @cached_property
    def not_bootstrapped(self):
        """G4: every control plane node was seen, none runs etcd, and each says that it waits to join.

        False as soon as one of them could not be seen: then it may be a lost quorum, and nobody must be told to
        bootstrap.
        """
        planes = self.view.control_planes
        return bool(planes) and all(machine.answered and self.waits_to_join(machine) is True for machine in planes)

    @cached_property
    def never_started(self):
        """No etcd was ever started: every control plane node was seen, none has come past Pre, and none holds data.

        Unlike C(not_bootstrapped) it says nothing of whether they could be bootstrapped now: they may wait for something first.
        """
        planes = self.view.control_planes
        return bool(planes) and all(machine.answered and self.in_pre(machine) and self.data_empty(machine) is True for machine in planes)

    # -- what the members answer ----------------------------------------------------------------------------

    @cached_property
    def running_planes(self):
        return [machine for machine in self.view.answering_control_planes if self.running(machine)]

    @cached_property
    def possible_planes(self):
        """Control plane nodes that answer and run etcd, or did not say whether they do."""
        return [m for m in self.view.answering_control_planes if self.running(m) or not m.datum('ServiceList').ok]

    @cached_property
    def statuses(self):
        """Key of a machine: its EtcdStatus, where that was read."""
        return {m.key: m.value('EtcdStatus') for m in self.view.answering_control_planes if m.datum('EtcdStatus').ok}

    @cached_property
    def with_leader(self):
        """Keys of the machines whose etcd knows a leader."""
        return [key for key, status in self.statuses.items() if status.get('leader') not in (None, '', NO_LEADER)]

    @cached_property
    def local_ids(self):
        """Member id: the machine that says "this is me" (EtcdStatus, else EtcdMembers/local)."""
        return {self.local_id(machine): machine for machine in self.view.snapshot.answering() if self.local_id(machine)}

    def local_id(self, machine):
        status = self.statuses.get(machine.key)
        if status and status.get('member_id'):
            return status['member_id']
        own = machine.resource('EtcdMembers', 'local')
        return str(own.get('memberID')) if isinstance(own, dict) and own.get('memberID') else None

    @cached_property
    def member_lists(self):
        """Key of a machine: the member list that its etcd gave (a list of {id, hostname, peer_urls, …})."""
        lists = {}
        for machine in self.view.answering_control_planes:
            value = machine.value('EtcdMemberList')
            if value is not None and value.get('members'):
                lists[machine.key] = value['members']
        return lists

    @cached_property
    def members(self):
        """The member list in force: that of the machine which is furthest in raft's terms; None when none was read."""
        if not self.member_lists:
            return None
        best = min(self.member_lists, key=lambda key: (-int((self.statuses.get(key) or {}).get('raft_term') or 0), key))
        return sorted(self.member_lists[best], key=lambda member: member['id'])

    @cached_property
    def voters(self):
        return None if self.members is None else [m for m in self.members if not m.get('is_learner')]

    @cached_property
    def learners(self):
        """Ids of the members that do not vote yet, as any list or status says."""
        listed = {m['id'] for m in self.members or [] if m.get('is_learner')}
        return listed | {s['member_id'] for s in self.statuses.values() if s.get('is_learner') and s.get('member_id')}

    def is_learner(self, machine):
        return self.local_id(machine) in self.learners

    @cached_property
    def size(self):
        """Number of voters: of the member list, else (none was read) of the control plane nodes."""
        return len(self.voters) if self.voters is not None else len(self.view.control_planes)

    @property
    def quorum(self):
        return self.size // 2 + 1

    @cached_property
    def healthy(self):
        """Machines that vote and know a leader."""
        keys = [key for key in self.with_leader if not self.statuses[key].get('is_learner')]
        if self.voters is not None:
            ids = {member['id'] for member in self.voters}
            keys = [key for key in keys if self.statuses[key].get('member_id') in ids]
        return [self.view.snapshot.machine(key) for key in keys]

    @property
    def tolerance(self):
        """How many more members may fail."""
        return len(self.healthy) - self.quorum

    @cached_property
    def cluster_age(self):
        """Seconds since the first successful health check of etcd that any control plane node remembers, or None."""
        firsts = [event.at for machine in self.view.answering_control_planes for event in self.events(machine)
                  if event.msg == 'Health check successful' and event.at is not None]
        return (self.view.now - min(firsts)).total_seconds() if firsts else None

    def settling(self, machine):
        """G5: the machine, or the etcd cluster itself, is younger than ten minutes."""
        from_bootstrap = self.cluster_age is not None and self.cluster_age < 600
        return bool(self.view.young(machine)) or from_bootstrap

    # -- alarms and space -----------------------------------------------------------------------------------

    @cached_property
    def alarms(self):
        """Set of (member id, alarm) from every list and every status that was read; None when nothing was.

        A status repeats the alarms of all members as C(memberID:<decimal> alarm:NOSPACE) and answers where the list
        hangs (talos-api 5.4). They come up member by member, so the union counts.
        """
        found, seen = set(), False
        for machine in self.view.answering_control_planes:
            listed = machine.value('EtcdAlarmList')
            if listed is not None:
                seen = True
                found.update((item['member_id'],
                              item['alarm']) for item in listed.get('member_alarms') or [] if item.get('alarm') != 'NONE')
        for status in self.statuses.values():
            seen = True
            for text in status.get('errors') or []:
                found.update((f'{int(number):016x}', alarm) for number, alarm in _ALARM.findall(text))
        return found if seen else None

    def quota(self, machine):
        """Bytes of quota-backend-bytes that this member runs with; None when its configuration was not read."""
        spec = machine.resource('EtcdSpecs', 'etcd')
        if not isinstance(spec, dict):
            return None
        given = (spec.get('extraArgs') or {}).get('quota-backend-bytes')
        if isinstance(given, dict):
            given = given.get('values')
        if isinstance(given, (list, tuple)):
            given = given[-1] if given else None
        if given is None:
            return DEFAULT_QUOTA
        try:
            return int(str(given).strip()) or DEFAULT_QUOTA
        except ValueError:
            return None

    # -- members and machines -------------------------------------------------------------------------------

    def hosts(self, member):
        """The addresses of a member's peer URLs, without port."""
        return [host for host in (_host(url) for url in member.get('peer_urls') or []) if host]

    def machine_of(self, member):
        """The machine that says it is this member, else the one that has its peer address, else None."""
        owner = self.local_ids.get(member['id'])
        if owner is not None:
            return owner
        return next((machine for machine in map(self.view.snapshot.by_address, self.hosts(member)) if machine is not None), None)

    def member(self, member_id):
        for member in self.members or []:
            if member['id'] == member_id:
                return member
        return None

    def calls(self, member_id):
        """How a report calls a member: id, with the name and address that are known."""
        member = self.member(member_id)
        machine = self.local_ids.get(member_id)
        name = (member or {}).get('hostname') or (machine.label if machine else '')
        more = ', '.join([*([f'"{name}"'] if name else []), *(self.hosts(member) if member else [])])
        return f'{member_id} ({more})' if more else member_id


def _host(url):
    try:
        host = urlsplit(url).hostname
        return str(ipaddress.ip_address(host)) if host else None
    except ValueError:
        return urlsplit(url).hostname if '[' not in url else None
