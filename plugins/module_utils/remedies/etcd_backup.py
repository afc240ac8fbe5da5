# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an etcd snapshot is, and whether one serves (talos-api 5.4): a bbolt database with the SHA-256 of its bytes behind it.

A file without that trailer, such as a copy of /var/lib/etcd/member/snap/db, is none: it cannot be told whether it is whole.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta

TRAILER = 32
# bbolt writes whole pages of a multiple of this.
SECTOR = 512
# After the page header of 16 bytes, the first meta page begins with this (little endian).
_MAGIC_AT, _MAGIC = 16, struct.pack('<I', 0xED0CDAED)
MODE = 0o600


class Verifier:
    """Fed with the bytes of a file in turn; C(wanted) are member ids (16 hex digits) to look for in them.

    etcd keeps its members in its database under their ids as text (bucket C(members)), without leading zeros.
    """

    def __init__(self, wanted=()):
        self._hash = hashlib.sha256()
        self._tail = b''
        self._head = b''
        self._bytes = 0
        self._overlap = b''
        self._wanted = {member: format(int(member, 16), 'x').encode() for member in wanted}
        self._found = set()

    def update(self, data):
        self._bytes += len(data)
        if len(self._head) < _MAGIC_AT + len(_MAGIC):
            self._head += data[:64]
        missing = {member: text for member, text in self._wanted.items() if member not in self._found}
        if missing:
            window = self._overlap + data
            self._found |= {member for member, text in missing.items() if text in window}
            self._overlap = window[-16:]
        joined = self._tail + data
        self._hash.update(joined[:-TRAILER])
        self._tail = joined[-TRAILER:]

    @property
    def bytes(self):
        return self._bytes

    @property
    def sha256(self):
        """The digest that the trailer must hold, as hex digits."""
        return self._hash.hexdigest()

    @property
    def members(self):
        """Those of the wanted ids that it holds."""
        return sorted(self._found)

    @property
    def is_database(self):
        """Whether it begins as a bbolt database."""
        return self._head[_MAGIC_AT:_MAGIC_AT + len(_MAGIC)] == _MAGIC

    def problem(self):
        """Why it is no verified snapshot, as the end of a sentence, or None."""
        if self._bytes <= TRAILER:
            return f'it has only {self._bytes} bytes'
        if not self.is_database:
            return 'it does not begin as an etcd database does'
        if self._bytes % SECTOR != TRAILER:
            return f'its size of {self._bytes} bytes is not that of a database with a SHA-256 behind it'
        if not hmac.compare_digest(self._hash.digest(), self._tail):
            return 'the SHA-256 at its end is not that of its contents'
        return None


@dataclass(frozen=True)
class File:
    """What is at a path. C(problem) None is a verified snapshot; C(database) whether it begins as one; C(taken_at) its time of change (a datetime)."""

    path: str
    exists: bool = False
    problem: str | None = None
    database: bool = False
    bytes: int = 0
    sha256: str | None = None
    taken_at: datetime | None = None
    mode: int | None = None
    members: tuple = ()

    @property
    def verified(self):
        return self.exists and self.problem is None


def reasons(file, max_age, now):
    """Why a new snapshot is due at this place; none where the one that is there serves."""
    if not file.exists:
        return ['there is no such file']
    if file.problem:
        return [f'it is no whole snapshot: {file.problem}']
    age = now - file.taken_at
    if age < timedelta():
        return [f'it is from the future ({stamp(file.taken_at)})']
    if age >= max_age:
        return [f'it was taken at {stamp(file.taken_at)}, which is longer ago than max_age']
    return []


def unfit(file, member_ids, max_age, now):
    """Why a file is no backup before a change of the cluster with these members; none where it is one."""
    if not file.exists:
        return [f'the backup {file.path} does not exist']
    if file.problem:
        return [f'the backup {file.path} is no whole etcd snapshot: {file.problem}']
    found = []
    if not now - max_age <= file.taken_at <= now + timedelta(minutes=1):
        found.append(f'the backup {file.path} was taken at {stamp(file.taken_at)}, which is not within backup_max_age')
    missing = [member for member in member_ids if member not in file.members]
    if missing:
        found.append(f'the backup {file.path} does not hold member {missing[0]}: it belongs to another cluster, or to another time')
    return found


def stamp(when):
    return f'{when:%Y-%m-%dT%H:%M:%SZ}'
