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


def make(node):
    """The bytes of the snapshot of a machine's member."""
    etcd = node.model.etcd
    name = f'{etcd.ids[node.name]}/{etcd.given["raft_term"]}'.encode()
    members = '/'.join(format(member.number, 'x') for member in etcd.members(node)).encode()
    pages = [_meta(number) for number in (0, 1)]
    pages.append(_page(2, _FREELIST, 0, b''))
    pages.append(_page(3, _LEAF, 1, struct.pack('<IIII', 0, 16, len(name), len(members)) + name + members))
    filler = hashlib.sha256(name).digest() * (_PAGE // 32)
    data = b''.join(pages) + filler * (_PAGES - len(pages))
    return data + hashlib.sha256(data).digest()


def _page(number, flags, count, content):
    return (struct.pack('<QHHI', number, flags, count, 0) + content).ljust(_PAGE, b'\0')


def _meta(number):
    """bbolt's meta page: root bucket on page 3, free list on page 2, and the FNV-1a hash of these fields."""
    fields = struct.pack('<IIIIQQQQQ', _MAGIC, _VERSION, _PAGE, 0, 3, 0, 2, _PAGES, number)
    checksum = 0xCBF29CE484222325
    for byte in fields:
        checksum = (checksum ^ byte) * 0x100000001B3 % 2 ** 64
    return _page(number, _META, 0, fields + struct.pack('<Q', checksum))
