# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and addresses in them, by their texts. Each is worked out once: every call asks again whose address is whose."""

from __future__ import annotations

import functools
import ipaddress


@functools.lru_cache(maxsize=None)
def network(text):
    return ipaddress.ip_network(text)


@functools.lru_cache(maxsize=None)
def part_of(pods, number):
    """The part of a pod network that is a machine's, by its number."""
    whole = network(pods)
    length = 24 if whole.version == 4 else 64
    if whole.prefixlen >= length:
        return str(whole)
    return str(ipaddress.ip_network((int(whole.network_address) + (number << (whole.max_prefixlen - length)), length)))


@functools.lru_cache(maxsize=None)
def is_in(prefix, networks):
    """Whether the address of a prefix is in one of these networks."""
    address = ipaddress.ip_interface(prefix).ip
    return any(address in ipaddress.ip_network(one, strict=False) for one in networks)
