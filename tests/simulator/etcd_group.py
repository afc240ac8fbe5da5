# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of a real etcd while it is brought into a state: asked, called, filled up."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from dataclasses import dataclass

import yaml

from tests.simulator.etcd_wire import EtcdError
from tests.simulator.scenario import DEFAULTS, ScenarioError

MIB = 1024 * 1024
DEFAULT = yaml.safe_load(DEFAULTS)['etcd']
_WITHIN, _ANSWERS_WITHIN, _PAUSE = 120.0, 10.0, 0.05
_BELOW = 0.3
# A member is full when it refuses this much.
_LAST_WRITE = 512 * 1024
_SMALL = 20
# What etcd says while it is busy with itself.
_AGAIN = ('etcdserver: unhealthy cluster', 'etcdserver: no leader', 'etcdserver: leader changed', 'etcdserver: not leader',
          'etcdserver: request timed out, leader transfer took too long')


class NotReal(ScenarioError):
    """A state that no etcd is brought into here, and why."""


@dataclass(frozen=True)
class Told:
    """A member as the scenario tells it; C(started): it ran once, C(lives): it answers, C(stays): it is still a member."""

    name: str
    learner: bool
    started: bool
    lives: bool
    stays: bool = True


class Members:
    """The members of one cluster; C(first) are those that it begins with, C(ids) are theirs as etcd made them."""

    def __init__(self, etcd, told, members):
        self.etcd = etcd
        self.told = told
        self.members = members
        self.first = [one.name for one in members if one.started and not one.learner]
        self.ids = {}
        self._written = 0
        self._dead = set()

    async def _statuses(self, names):
        async def ask(name):
            try:
                async with asyncio.timeout(_ANSWERS_WITHIN):
                    return name, await self.etcd.local(name).call('Status')
            except (TimeoutError, EtcdError):
                return name, None
        return {name: status for name, status in await asyncio.gather(*map(ask, names)) if status}

    async def _until(self, holds, what):
        end = time.monotonic() + _WITHIN
        while time.monotonic() < end:
            held = holds()
            if await held if asyncio.iscoroutine(held) else held:
                return
            ended = next((one.name for one in self.members if one.stays and one.name not in self._dead and self.etcd.processes[one.name].exit_code), None)
            if ended:
                raise NotReal(f'The real etcd of {ended} ended: {self.etcd.processes[ended].lines()[-1]}')
            await asyncio.sleep(_PAUSE)
        raise NotReal(f'The real etcd did not come so far within {_WITHIN:.0f} s: {what}.')

    async def _call(self, method, **fields):
        """A call on the member that leads, again while a change before it is not everywhere yet."""
        end = time.monotonic() + _WITHIN
        while time.monotonic() < end:
            statuses = await self._statuses(self.first)
            name = next((name for name, status in statuses.items() if status.get('leader') == status['header']['member_id']), self.first[0])
            try:
                return await self.etcd.local(name).call(method, **fields)
            except EtcdError as error:
                if str(error) not in _AGAIN:
                    raise
            await asyncio.sleep(_PAUSE)
        raise NotReal(f'The real etcd did not become healthy within {_WITHIN:.0f} s.')

    async def _fill(self):
        """Write and delete until the database is as large as told, and as full."""
        given, full = self.told.given, any(alarm == 'NOSPACE' for _member, alarm in self.told.alarms)
        if given['db_mb'] == DEFAULT['db_mb'] and given['in_use_mb'] == DEFAULT['in_use_mb'] and not full:
            return
        size = given['quota_mb'] if full else given['db_mb'] - _BELOW
        names = [name for name in self.first if self._is_full(name)] or self.first[:1]
        for number in range(_SMALL):
            await self.etcd.local(names[0]).call('Put', key=f'/small/{number}'.encode(), value=b'1')
        least = size * MIB - (_LAST_WRITE - 256 * 1024 if full else 0)
        for number in itertools.count():
            statuses = await self._statuses(self.first)
            if len(statuses) == len(self.first) and min(status['db_size'] for status in statuses.values()) >= least:
                break
            try:
                await self.etcd.local(names[number % len(names)]).call('Put', key=f'/filled/{number:04d}'.encode(), value=bytes(256 * 1024))
            except EtcdError as error:
                if 'space exceeded' not in str(error):
                    raise
                break
            self._written += 1

    async def _empty(self):
        """Delete what is more than told to be in use."""
        keep = int(self.told.given['in_use_mb'] * 4)
        if keep < self._written:
            answer = await self._call('DeleteRange', key=f'/filled/{keep:04d}'.encode(), range_end=b'/filled0')
            await self._call('Compact', revision=answer['header']['revision'], physical=True)

            small = itertools.count()

            async def deleted():
                await self._call('DeleteRange', key=f'/small/{next(small) % _SMALL}'.encode())  # pages are free after one more write
                statuses = await self._statuses(self.first)
                return all(status['db_size_in_use'] < (self.told.given['in_use_mb'] + 1) * MIB for status in statuses.values())
            await self._until(deleted, 'what was deleted is gone')

    def _is_full(self, name):
        return (self.told.ids.get(name), 'NOSPACE') in self.told.alarms

    async def _alarm(self):
        """A full member raises its alarm when it is written to."""
        full = [name for name in self.first if self._is_full(name)]
        if full:
            await self._until(lambda: self._overflow(full), f'{", ".join(full)} are full')
            for name, number in self.ids.items():  # whoever was full when something was written has raised its own
                if name not in full:
                    await self._call('Alarm', action='DEACTIVATE', member_id=number, alarm='NOSPACE')

    async def _corrupt(self):
        """No etcd of a test is corrupt by itself: it is told so."""
        for name, known in self.told.ids.items():
            if name in self.ids and (known, 'CORRUPT') in self.told.alarms:
                await self._call('Alarm', action='ACTIVATE', member_id=self.ids[name], alarm='CORRUPT')

    async def _overflow(self, names):
        """Whether these have their alarm, and all are full. Else they are written to, after the alarms are gone that keep the others from growing."""
        statuses = await self._statuses(self.first)
        raised = {alarm['member_id'] for alarm in (await self._call('Alarm', action='GET')).get('alarms', ())}
        small = [name for name, status in statuses.items() if status['db_size'] + _LAST_WRITE < self.told.given['quota_mb'] * MIB]
        silent = [name for name in names if self.ids[name] not in raised]
        if not small and not silent:
            return len(statuses) == len(self.first)
        if small:
            for member in raised:
                await self._call('Alarm', action='DEACTIVATE', member_id=member, alarm='NOSPACE')
        for name in [*small, *silent]:
            with contextlib.suppress(EtcdError):
                await self.etcd.local(name).call('Put', key=b'/filled/last', value=bytes(_LAST_WRITE))
        return False
