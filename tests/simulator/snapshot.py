# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd snapshot: a bbolt database with the SHA-256 of its bytes behind it (talos-api 5.4). Small, whatever the member's size.

As in etcd's own, the ids of the members stand in it without leading zeros.
"""

from __future__ import annotations

import hashlib
import struct

_PAGE = 4096
_MAGIC, _VERSION = 0xED0CDAED, 2
_META, _FREELIST, _LEAF = 0x04, 0x10, 0x02
_PAGES = 64
_IS_BUCKET = 0x01


def make(node):
    """The bytes of the snapshot of a machine's member: buckets of members and of what etcd notes about itself, and free pages."""
    etcd = node.model.etcd
    major, minor = map(int, node.etcd_version.split('.')[:2])
    name = f'{etcd.ids[node.name]}/{etcd.given["raft_term"]}'.encode()
    members = {format(member.number, 'x').encode(): member.name.encode() for member in etcd.members(node)}
    noted = {b'term': name, **({b'storageVersion': f'{major}.{minor}.0'.encode()} if (major, minor) >= (3, 6) else {})}
    buckets = _leaf(3, {b'members': _bucket(members), b'meta': _bucket(noted)}, _IS_BUCKET)
    free = range(4, _PAGES)
    pages = [*(_meta(number) for number in (0, 1)), _page(2, _FREELIST, len(free), struct.pack(f'<{len(free)}Q', *free)), buckets.ljust(_PAGE, b'\0')]
    filler = hashlib.sha256(name).digest() * (_PAGE // 32)
    data = b''.join(pages) + filler * len(free)
    return data + hashlib.sha256(data).digest()


def _bucket(pairs):
    """A bucket so small that its only page stands in its parent's: no root page, no sequence, then that page."""
    return struct.pack('<QQ', 0, 0) + _leaf(0, pairs)


def _leaf(number, pairs, flags=0):
    """A leaf page as long as it is: for each key its place, counted from its own element, then keys and values."""
    elements, data = b'', b''
    for index, (key, value) in enumerate(sorted(pairs.items())):
        elements += struct.pack('<IIII', flags, 16 * (len(pairs) - index) + len(data), len(key), len(value))
        data += key + value
    return _header(number, _LEAF, len(pairs)) + elements + data


def _header(number, flags, count):
    return struct.pack('<QHHI', number, flags, count, 0)


def _page(number, flags, count, content):
    return (_header(number, flags, count) + content).ljust(_PAGE, b'\0')


def _meta(number):
    """bbolt's meta page: root bucket on page 3, free list on page 2, and the FNV-1a hash of these fields."""
    fields = struct.pack('<IIIIQQQQQ', _MAGIC, _VERSION, _PAGE, 0, 3, 0, 2, _PAGES, number)
    checksum = 0xCBF29CE484222325
    for byte in fields:
        checksum = (checksum ^ byte) * 0x100000001B3 % 2 ** 64
    return _page(number, _META, 0, fields + struct.pack('<Q', checksum))
