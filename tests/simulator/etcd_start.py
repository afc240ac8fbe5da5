# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real etcd is brought into the state that a scenario tells, by what can happen to one: members join, lead, fill up, die.

What cannot be is refused in one sentence, by these rules or in etcd's own words.
"""

from __future__ import annotations

from tests.simulator.etcd import Etcd
from tests.simulator.etcd_group import DEFAULT, Members, NotReal, Told
from tests.simulator.etcd_ports import PEER_PORT
from tests.simulator.etcd_wire import EtcdError

# A database is filled up to this size; larger ones take too long.
MOST_MB = 64


async def bring(etcd):
    """Start the processes of a L(RealEtcd), and end those that the scenario calls dead. Raises NotReal."""
    told = Etcd(etcd.model)
    refuse(told)
    groups = _groups(told)
    for members in groups:
        try:
            await _Group(etcd, told, members).bring()
        except EtcdError as error:
            raise NotReal(f'etcd itself refuses what the scenario tells of {", ".join(one.name for one in members)}: {error}.') from error
    for name in told.given.get('data_dir_empty') or ():
        etcd.processes[name].wipe()
    _translate(etcd, told)


def refuse(told):
    """What cannot be, before anything is started. Raises NotReal."""
    given = told.given
    if given.get('member_list_api'):
        raise NotReal('state.etcd.member_list_api: the real etcd says itself what a list of members meets.')
    if given['raft_term'] != DEFAULT['raft_term']:
        raise NotReal('state.etcd.raft_term: the real etcd counts its terms itself, from its first election.')
    sizes = [size for key in ('db_mb', 'in_use_mb') if given[key] != DEFAULT[key]
             for size in (given[key].values() if isinstance(given[key], dict) else [given[key]])]
    if any(size > MOST_MB for size in sizes):
        raise NotReal(f'state.etcd.db_mb: the real etcd is not filled with more than {MOST_MB} MiB.')
    if any(isinstance(given[key], dict) for key in ('db_mb', 'in_use_mb')):
        raise NotReal('state.etcd.db_mb: the members of the real etcd are filled alike.')
    if any(alarm == 'NOSPACE' for _member, alarm in told.alarms) and given['quota_mb'] > MOST_MB:
        raise NotReal(f'state.etcd.quota_mb: a quota above {MOST_MB} MiB is not filled up.')
    if len({node.etcd_version.rpartition('.')[0] for node in told.model.control_planes}) > 1:
        raise NotReal('state.nodes: the versions of Talos have several versions of etcd, and the real one is of one version.')
    for name in told.ids:
        if not told.model.address_of(name):
            raise NotReal(f'state.etcd.members: {name} has no address, and a member of the real etcd has one.')
        node = told.model.nodes.get(name)
        if node is None and told._answers(name):
            raise NotReal(f'state.etcd.reachable: {name} is no machine of the topology, so no process runs for it.')
        if name in (given.get('data_dir_empty') or ()) and told._answers(name):
            raise NotReal(f'state.etcd.data_dir_empty: the real etcd of {name} runs, so it has data.')


def _groups(told):
    """Lists of L(Told), one for each cluster: first the one that has them all, then each machine that lost its data and was bootstrapped anew."""
    split = told.given.get('same_list_on')
    alone = [name for name in told.ids if split is not None and name not in split and name in told.model.nodes]
    left = [name for name in told.given.get('local_db_present') or () if name not in told.ids]
    first = [Told(name, name in told.learners, bool(told._member(name).name), told._answers(name) and name not in alone) for name in told.ids]
    first += [Told(name, False, True, False, stays=False) for name in left if first]
    return [group for group in (first, *([Told(name, False, True, told._answers(name))] for name in alone)) if group]


class _Group(Members):
    """The members of one cluster, from nothing to what is told."""

    async def bring(self):
        living = [one.name for one in self.members if one.lives]
        voters = [one.name for one in self.members if one.stays and not one.learner]
        leader = self._leader(living, voters)
        if len({self.etcd.etcd_name(name) for name in self.first}) < len(self.first):
            raise NotReal('state.etcd.members: two of them have one name, and those of the real etcd each their own.')
        await self._begin()
        for one in self.members:
            if one.learner or not one.started:
                await self._join(one)
        for one in self.members:
            if not one.stays:
                await self._call('MemberRemove', id=self.ids[one.name])
                await self._until(lambda name=one.name: not self.etcd.processes[name].running, f'{one.name} has left')
        await self._fill()
        await self._alarm()
        await self._empty()
        await self._lead(leader)
        await self._corrupt()
        for one in self.members:
            if not one.lives and self.etcd.processes[one.name].running:
                self._dead.add(one.name)
                self.etcd.end(one.name)
                await self._try_in_vain(one.name)
        await self._settled(living, leader)

    async def _begin(self):
        """The first members start. Each asks the others first whether it is one already, and waits a second for each that has nothing to say yet:

        so they are refused by each other's ports until all have asked.
        """
        for name in self.first:
            self.etcd.processes[name].wipe()
            self.etcd.run(name, self.first, served=False)
        await self._until(lambda: all(self.etcd.processes[name].is_made for name in self.first), f'{", ".join(self.first)} know of each other')
        for name in self.first:
            self.etcd.serve(name)
        await self._leading(self.first)

    def _leader(self, living, voters):
        """Who is to lead, None for nobody."""
        leader = self.told.given.get('leader')
        if leader not in (one.name for one in self.members):
            leader = None if leader in (None, 'none') else voters[0]
        majority = len([name for name in living if name in voters]) > len(voters) // 2
        if majority and leader is None:
            raise NotReal('state.etcd.leader: more than half of the voters answer, so the real etcd elects a leader.')
        if majority and (leader not in living or leader not in voters):
            raise NotReal(f'state.etcd.leader: {leader} does not vote or does not run, so it does not lead the real etcd.')
        return leader if majority else None

    async def _leading(self, names):
        """Wait until all of them follow one leader, and each has its database in the form of its version, which it brings it into then."""
        major, minor, _patch = self.etcd.version
        form = f'{major}.{minor}.0' if (major, minor) >= (3, 6) else None

        async def follow():
            statuses = await self._statuses(names)
            self.ids |= {name: status['header']['member_id'] for name, status in statuses.items()}
            return len(statuses) == len(names) and len({status.get('leader', 0) for status in statuses.values()} - {0}) == 1 \
                and all(status.get('leader') and (status.get('storage_version') or None) == form for status in statuses.values())
        await self._until(follow, f'{", ".join(names)} follow one leader')

    async def _join(self, one):
        """A member that is added later: it is started where it ever was."""
        url = f'https://{self.etcd._endpoint(one.name, PEER_PORT)}'
        answer = await self._call('MemberAdd', peer_urls=[url], is_learner=one.learner)
        self.ids[one.name] = answer['member']['id']
        if one.started:
            self.etcd.run(one.name, [self.etcd.name_of(member) for member in answer['members']], 'existing')
            await self._leading([*self.first, one.name])

    async def _lead(self, leader):
        """Leadership goes to C(leader); where nobody is to lead, to one that dies."""
        name = leader or next((one.name for one in self.members if one.started and one.stays and not one.learner and not one.lives), None)
        if name is None:
            return

        async def leads():
            status = (await self._statuses([name])).get(name)
            if status and status.get('leader') != self.ids[name]:
                await self._call('MoveLeader', target_id=self.ids[name])
            return status
        await self._until(leads, f'{name} leads')

    async def _try_in_vain(self, name):
        """Where the configuration has a flag that etcd does not know, its log says so."""
        node = self.told.model.nodes.get(name)
        if node is not None and node.config.unknown_etcd_flag:
            self.etcd.run(name)
            await self._until(lambda: not self.etcd.processes[name].running, f'{name} does not know its flag')

    async def _settled(self, living, leader):
        """Wait until those that live say what is told: who leads, or that nobody does."""
        wanted = self.ids[leader] if leader else 0

        async def said():
            statuses = await self._statuses(living)
            follow = {status.get('leader', 0) for status in statuses.values()}
            if leader and len(follow) == 1 and not follow & {0, wanted}:  # a machine that is busy with tests had another elected
                await self._lead(leader)
            return len(statuses) == len(living) and follow <= {wanted}
        await self._until(said, f'{", ".join(living) or "nobody"} {"follow " + leader if leader else "without a leader"}')


def _translate(etcd, told):
    """Log lines that name members name the real ones."""
    real = {name: f'{number % 2 ** 64:016x}' for name, number in etcd_ids(etcd).items()}
    for line in etcd.model.state['lines']:
        for name, old in told.ids.items():
            if name in real:
                line['line'] = line['line'].replace(old, real[name]).replace(str(int(old, 16)), str(int(real[name], 16)))


def etcd_ids(etcd):
    """{name: id} of a L(RealEtcd) that was brought up."""
    return {name: int(known, 16) for name, known in etcd.ids.items()}
