# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and names as they are compared."""

from __future__ import annotations

import functools
import ipaddress


@functools.lru_cache(maxsize=16384)
def normal(address):
    """An IP address in its canonical form (prefix length dropped), or the text itself when it is none."""
    text = str(address or '').strip().strip('[]')
    try:
        return str(ipaddress.ip_interface(text).ip)
    except ValueError:
        return text.lower().rstrip('.')


def is_ip(text):
    try:
        ipaddress.ip_interface(str(text).strip('[]'))
    except ValueError:
        return False
    return True
