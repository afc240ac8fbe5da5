# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd as each control plane node sees it: members, quorum, leader, alarms (talos-api 5.4)."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024
_RAFT_INDEX = 1_482_211


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


class Etcd:
    """The state block's etcd. Names are those of the scenario."""

    def __init__(self, model):
        self.model = model
        self.given = model.state['etcd']
        self.ids = {name: str(member).rjust(16, '0') for name, member in self.given['members'].items()}
        self.learners = set(self.given.get('learners') or ())

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
        return Member(self.ids[name], node.hostname if node else name, peer_urls, client_urls, name in self.learners)

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
        return self.runs(node) if node else reachable is not None and name in reachable

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

    @property
    def alarms(self):
        """[(member id, alarm)]; the scenario names a member by its id or by its name."""
        return [(self.ids.get(alarm['member'], str(alarm['member'])), alarm['alarm']) for alarm in self.given.get('alarms') or ()]

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

    @property
    def quota_bytes(self):
        return int(self.given['quota_mb'] * _MIB)

    def data_dir_is_empty(self, node):
        """/var/lib/etcd: told by the scenario, else empty where no member ever ran."""
        if node.name in (self.given.get('local_db_present') or ()):
            return False
        return node.name in (self.given.get('data_dir_empty') or ()) or not self.is_member(node) or not self._member(node.name).name
