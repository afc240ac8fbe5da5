# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd as each control plane node sees it: members, quorum, leader, alarms (talos-api 5.4)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from tests.simulator import timeline

_MIB = 1024 * 1024
_RAFT_INDEX = 1_482_211
_DEFAULT_QUOTA = 2048 * _MIB


@dataclass(frozen=True)
class Member:
    """C(id) is 16 hex digits; C(name) is empty and C(client_urls) too for a member that was added and never started."""

    id: str
    name: str
    peer_urls: tuple
    client_urls: tuple
    learner: bool

    @property
    def number(self):
        return int(self.id, 16)


class Refused(Exception):
    """etcd's own words; C(missing) when the member is not there."""

    def __init__(self, text, missing=False):
        super().__init__(text)
        self.missing = missing


class Etcd:
    """The state block's etcd. Names are those of the scenario.

    C(removed) are machines whose member was removed and whose data are still there; C(data) machines whose directory
    was filled since the scenario began, C(wiped) those whose directory was emptied.
    C(elections) are (when, old leader, new leader, term) of those since the scenario began. C(methods) are RPCs that are
    served in the place of those of machine.py.
    """

    methods = {}

    def __init__(self, model):
        self.model = model
        self.given = model.state['etcd']
        self.ids = {name: str(member).rjust(16, '0') for name, member in self.given['members'].items()}
        self.learners = set(self.given.get('learners') or ())
        self.removed, self.data, self.wiped = set(), set(), set()
        self.elections = []
        self._deposed = None
        self.alarms = [(self.ids.get(alarm['member'], str(alarm['member'])), alarm['alarm']) for alarm in self.given.get('alarms') or ()]
        self._corrupt = {member for member, alarm in self.alarms if alarm == 'CORRUPT'}

    def is_member(self, node):
        return node.name in self.ids

    def runs(self, node):
        """Whether this machine's etcd answers: its service runs, it is a member and, where told, reachable."""
        reachable = self.given.get('reachable')
        running = node.control_plane and node.service('etcd')[0] == 'Running'
        return running and self.is_member(node) and (reachable is None or node.name in reachable)

    def group(self, node):
        """The names in this node's list: all members, or itself alone where its list is another one."""
        same = self.given.get('same_list_on')
        return list(self.ids) if same is None or node.name in same else [node.name]

    def members(self, node):
        return [self._member(name) for name in self.group(node)]

    def _member(self, name):
        address = self.model.address_of(name)
        node = self.model.nodes.get(name)
        host = f'[{address}]' if address and ':' in address else address
        peer_urls = (f'https://{host}:2380',) if host else ()
        if name in self.learners and node is not None and node.service('etcd')[0] != 'Running':
            return Member(self.ids[name], '', peer_urls, (), True)
        client_urls = (f'https://{host}:2379',) if host else ()
        return Member(self.ids[name], node.short_name if node else name, peer_urls, client_urls, name in self.learners)

    def has_quorum(self, node):
        """Whether more than half of the voters of this node's group answer, and a leader is not denied outright."""
        group = self.group(node)
        if group != list(self.ids):
            return True
        voters = [name for name in group if name not in self.learners]
        running = [name for name in voters if self._answers(name)]
        return self.given.get('leader') not in (None, 'none') and len(running) > len(voters) // 2

    def _answers(self, name):
        node = self.model.nodes.get(name)
        reachable = self.given.get('reachable')
        return self.runs(node) and not node.frozen if node else reachable is not None and name in reachable

    def silent(self, node):
        """The members of this node's group that do not answer it."""
        return [self._member(name) for name in self.group(node) if name != node.name and not self._answers(name)]

    def leader(self, node):
        """The leader's id as this node sees it, None without one."""
        if not self.has_quorum(node):
            return None
        group = self.group(node)
        leader = self.given['leader'] if self.given['leader'] in group else group[0]
        return self.ids[leader]

    def status(self, node):
        """The EtcdMemberStatus of a running member."""
        leader = self.leader(node)
        errors = [] if leader else ['etcdserver: no leader']
        errors += [f'memberID:{int(member, 16)} alarm:{alarm} ' for member, alarm in self.alarms]
        return {
            'protocol_version': node.etcd_version,
            'db_size': self._bytes('db_mb', node),
            'db_size_in_use': self._bytes('in_use_mb', node),
            'leader': int(leader, 16) if leader else 0,
            'raft_index': _RAFT_INDEX,
            'raft_term': self.given['raft_term'],
            'raft_applied_index': _RAFT_INDEX,
            'errors': errors,
            'is_learner': node.name in self.learners,
            'member_id': int(self.ids[node.name], 16),
            'storage_version': '.'.join(node.etcd_version.split('.')[:2]) + '.0' if node.minor >= 11 else '',
        }

    def _bytes(self, key, node):
        value = self.given[key]
        return int((value[node.name] if isinstance(value, dict) else value) * _MIB)

    def quota_bytes(self, node):
        """The quota that this member runs with: that of the configuration with which its machine booted."""
        return int(node.config.etcd_arguments.get('quota-backend-bytes') or _DEFAULT_QUOTA)

    def data_dir_is_empty(self, node):
        """/var/lib/etcd: told by the scenario, else empty where no member ever ran."""
        if node.name in self.wiped:
            return True
        if node.name in self.data or node.name in self.removed or node.name in (self.given.get('local_db_present') or ()):
            return False
        return node.name in (self.given.get('data_dir_empty') or ()) or not self.is_member(node) or not self._member(node.name).name

    def files(self, node):
        """[(path, size or None)] in /var/lib/etcd, a directory without a size."""
        if self.data_dir_is_empty(node):
            return [('', None)]
        size = self.status(node)['db_size'] if self.is_member(node) else 64_000_000
        return [('', None), ('member', None), ('member/snap', None), ('member/snap/db', size), ('member/wal', None),
                ('member/wal/0000000000000000-0000000000000000.wal', 64_000_000)]

    def log(self, _node):
        """[(time, line)] of what a process wrote."""
        return []

    # -- changes --------------------------------------------------------------------------------------------------

    @property
    def leading(self):
        """Whether there is a leader whom more than half of the voters follow."""
        return any(self.runs(node) and self.leader(node) for node in self.model.control_planes)

    @property
    def writable(self):
        """Whether etcd takes writes: a leader, and no alarm."""
        return self.leading and not self.alarms

    def settle(self):
        """After members came or went: without its leader the cluster elects another, in a new term, where enough voters answer."""
        leader = self.given.get('leader')
        if leader not in (None, 'none') and leader in self.ids and leader not in self.learners and self._answers(leader):
            return
        if leader not in (None, 'none'):
            self._deposed = leader
        self.given['leader'] = 'none'
        self.model.timeline.later(timeline.ELECTION, self._elect)

    def _elect(self, first=None):
        voters = [name for name in self.ids if name not in self.learners]
        able = [name for name in voters if self._answers(name)]
        if self.given.get('leader') in (None, 'none') and len(able) > len(voters) // 2:
            self.given['leader'] = first if first in able else able[0]
            self.given['raft_term'] += 1
            old = self.ids.get(self._deposed, '0' * 16)
            self.elections.append((self.model.clock.now(), old, self.ids[self.given['leader']], self.given['raft_term']))
        self.model.changed()

    def move_leader(self, name):
        """Leadership passes to another member, in a new term. Raises L(Refused)."""
        if name in self.learners or not self._answers(name):
            raise Refused('etcdserver: bad leader transferee')
        self._deposed = self.given['leader']
        self.given['leader'] = 'none'
        self._elect(name)

    def add(self, node, learner):
        """A machine becomes a member, with an id that no member had before. Raises L(Refused)."""
        taken = len(self.data) + len(self.removed) + len(self.ids)
        self.ids[node.name] = hashlib.sha256(f'{self.model.seed}/{node.name}/{taken}'.encode()).hexdigest()[:16]
        self.data.add(node.name)
        self.wiped.discard(node.name)
        self.removed.discard(node.name)
        for key in ('reachable', 'same_list_on'):
            if self.given.get(key) is not None and node.name not in self.given[key]:
                self.given[key] = [*self.given[key], node.name]
        for key in ('db_mb', 'in_use_mb'):
            if isinstance(self.given[key], dict):
                self.given[key].setdefault(node.name, next(iter(self.given[key].values())))
        if learner:
            self.learners.add(node.name)

    def promote(self, name):
        """A learner becomes a voter. Returns whether it could."""
        self.learners.discard(name)
        return True

    def tried(self, node):
        """The etcd of a machine whose member was removed is started in vain."""

    def remove(self, member_id):
        """Take a member (16 hex digits) out of the cluster, by etcd's rules (users.md 5). Raises L(Refused)."""
        name = next((name for name, known in self.ids.items() if known == member_id), None)
        if name is None:
            raise Refused('etcdserver: member not found', missing=True)
        if name not in self.learners:
            self._check_removal(name)
        del self.ids[name]
        self.learners.discard(name)
        self.alarms = [alarm for alarm in self.alarms if alarm[0] != member_id]
        self._corrupt.discard(member_id)
        if name in self.model.nodes:
            self.removed.add(name)
        if name == self.given.get('leader'):
            self.given['leader'] = 'none'
        self.settle()
        self.model.changed()
        return name

    def _check_removal(self, name):
        """etcd's strict reconfiguration check: it knows started members and active ones, and nothing of who is meant."""
        voters = [voter for voter in self.ids if voter not in self.learners]
        others = [voter for voter in voters if voter != name]
        started = [voter for voter in others if self._member(voter).name]
        if not others or len(started) < len(others) // 2 + 1:
            raise Refused('etcdserver: re-configuration failed due to not enough started members')
        active = [voter for voter in voters if self._answers(voter)]
        if name in active and len(active) - 1 < 1 + (len(voters) - 1) // 2:
            raise Refused('etcdserver: unhealthy cluster')

    def wipe(self, node):
        """Its data are gone; so is its way back as the member that it was."""
        self.wiped.add(node.name)
        self.data.discard(node.name)
        self.removed.discard(node.name)

    def defragment(self, node):
        """Its database shrinks to what is in use; no alarm goes by that (rec)."""
        for key in ('db_mb', 'in_use_mb'):
            if not isinstance(self.given[key], dict):
                self.given[key] = dict.fromkeys(self.ids, self.given[key])
        self.given['db_mb'][node.name] = self.given['in_use_mb'][node.name]
        self.model.changed()

    def disarm(self):
        """All alarms of all members go, and are returned; what has its cause still comes back at once."""
        disarmed, self.alarms = self.alarms, []
        full = [node for node in self.model.control_planes if self.is_member(node) and self._bytes('db_mb', node) >= self.quota_bytes(node)]
        self.alarms = [(self.ids[node.name], 'NOSPACE') for node in full] + [(member, 'CORRUPT') for member in sorted(self._corrupt)]
        self.model.changed()
        return disarmed
