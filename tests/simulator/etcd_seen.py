# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the members of a real etcd say of themselves, looked at all the time, as the simulator asks for it."""

from __future__ import annotations

import asyncio
import re
import sys
import traceback

from tests.bed.pauses import Missed, expect
from tests.simulator.etcd import Etcd, Member
from tests.simulator.etcd_wire import EtcdError

_LOOK, _ANSWERS_WITHIN, _WELL_WITHIN = 0.2, 5.0, 10.0


class SeenEtcd(Etcd):
    """L(Etcd) as its members tell it. C(ids), C(learners) and C(alarms) are theirs; C(addresses) are {name: address}.

    Who runs the processes says which run (C(living)), what has become of the others (C(ended)), and makes clients (C(local)).
    """

    def __init__(self, model):
        super().__init__(model)
        self.addresses = {name: self.model.address_of(name) for name in self.ids}
        self.addresses |= {node.name: node.address for node in model.control_planes}
        self._statuses, self._lists, self._health = {}, {}, {}

    async def watch(self):
        """Look for ever."""
        while True:
            await asyncio.sleep(_LOOK)
            try:
                await self.look()
            except Exception:
                traceback.print_exc(file=sys.stderr)

    async def look(self):
        """Ask every member that runs of its state and its list of members, and let its machine follow.

        What a member said holds until it says something else, or its process is no more, or paused.
        """
        self.ended()
        running = self.living()
        before = self._known()
        answers = await asyncio.gather(*(self._ask(name) for name in running))
        said = {name: answer for name, answer in zip(running, answers) if answer[0]}
        self._statuses = {name: (said.get(name) or (self._statuses.get(name),))[0] for name in running if name in said or name in self._statuses}
        self._lists = {name: said[name][1] if name in said else self._lists[name] for name in self._statuses}
        self._take()
        for name in self._statuses:
            self._check(name)
        if self._known() != before:
            self.model.changed()

    def _known(self):
        """What anything in a machine depends on."""
        return {name: (status.get('leader'), status.get('errors'), status.get('is_learner'), str(self._lists[name]))
                for name, status in self._statuses.items()}

    async def _ask(self, name):
        client = self.local(name)
        expect(_ANSWERS_WITHIN)  # whoever called, for an answer of this one nobody waits longer, and not at all once its process has ended
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN):
                status = await client.call('Status')
                return status, [] if status.get('is_learner') else (await client.call('MemberList'))['members']
        except (TimeoutError, EtcdError, Missed):
            return None, None

    def _take(self):
        """ids, learners and alarms, from the members that answer, those with a leader before the others."""
        listed, learners, alarms = {}, set(), set()
        order = sorted(self._statuses, key=lambda name: bool(self._statuses[name].get('leader')))
        for name in order:
            for member in self._lists[name]:
                known = self.name_of(member)
                listed[known] = hexadecimal(member['id'])
                (learners.add if member.get('is_learner') else learners.discard)(known)
            alarms |= {alarm for text in self._statuses[name].get('errors', ()) if (alarm := _alarm(text))}
        if order:
            gone = set(self.ids) - set(listed)
            self.ids, self.learners, self.alarms = listed, learners, sorted(alarms)
            for name in gone:
                self._gone(name)

    def _gone(self, name):
        node = self.model.nodes.get(name)
        if node is not None and not self.data_dir_is_empty(node):
            self.removed.add(name)

    def name_of(self, member):
        """The scenario's name of a member, by the address of its peer URL."""
        url = (member.get('peer_urls') or [''])[0]
        address = url.removeprefix('https://').rpartition(':')[0].strip('[]')
        return next((name for name, own in self.addresses.items() if own == address), member.get('name') or url)

    def _check(self, name):
        """Talos's health check, a linearizable read; what the scenario told of the service holds until this changes."""
        known = self._health.setdefault(name, {'seen': None, 'since': None, 'asking': None})
        if known['asking'] is None or known['asking'].done():
            known['asking'] = asyncio.ensure_future(self._is_well(name, known))

    async def _is_well(self, name, known):
        expect(_WELL_WITHIN)
        try:
            async with asyncio.timeout(_WELL_WITHIN):
                await self.local(name).call('Range', key=b'health')
            seen = 'OK'
        except (TimeoutError, EtcdError, Missed):
            seen = 'Fail'
        node = self.model.nodes.get(name)
        if known['seen'] not in (None, seen) and node is not None and node.service('etcd')[0] == 'Running':
            node.services['etcd'] = ('Running', seen)
            self.model.changed()
        known['seen'] = seen

    # -- L(Etcd) --------------------------------------------------------------------------------------------------

    def runs(self, node):
        return node.name in self._statuses

    def _answers(self, name):
        return name in self._statuses

    def group(self, node):
        return [self.name_of(member) for member in self._lists.get(node.name, ())] or [node.name]

    def _member(self, name):
        return next((member for member in self._all() if member.id == self.ids.get(name)), Member(self.ids[name], '', (), (), False))

    def _all(self):
        return {member['id']: _member_of(member) for listed in self._lists.values() for member in listed}.values()

    def members(self, node):
        return [_member_of(member) for member in self._lists.get(node.name, ())]

    def silent(self, node):
        return [_member_of(member) for member in self._lists.get(node.name, ()) if self.name_of(member) not in self._statuses]

    def has_quorum(self, node):
        return bool(self._statuses.get(node.name, {}).get('leader'))

    def leader(self, node):
        leader = self._statuses.get(node.name, {}).get('leader')
        return hexadecimal(leader) if leader else None

    def status(self, node):
        return {'db_size': self._statuses.get(node.name, {}).get('db_size', 0)}


def hexadecimal(number):
    return f'{number % 2 ** 64:016x}'


def _member_of(member):
    return Member(hexadecimal(member['id']), member.get('name', ''), tuple(member.get('peer_urls', ())), tuple(member.get('client_urls', ())),
                  member.get('is_learner', False))


def _alarm(text):
    """(member, alarm) of what a status says of one, None of anything else; where spaces stand differs by the version of etcd."""
    match = re.fullmatch(r'memberID:(\d+) +alarm:(\w+) *', text)
    return (hexadecimal(int(match[1])), match[2]) if match else None
