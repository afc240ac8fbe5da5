# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The addresses of a scenario at which something answers, and where they can be had."""

from __future__ import annotations

import ipaddress

from tests.bed import netns
from tests.simulator.scenario import ScenarioError

_TEN = ipaddress.ip_network('10.0.0.0/8')


def served(state):
    """Every address of a state at which something answers: machines, the virtual IP, the endpoint, strangers."""
    topology, network = state['topology'], state['network']
    found = [*topology['cp'].values(), *topology['workers'].values(), network.get('vip'),
             network['endpoint'].split('://')[-1].rsplit(':', 1)[0].strip('[]'),
             *((name or {}).get('address') if isinstance(name, dict) else name for name in (state.get('foreign') or {}).values())]
    return [text for text in dict.fromkeys(found) if isinstance(text, str) and _is_address(text)]


def foreign_to_loopback(state):
    """Those that have no counterpart under 127.: IPv6, and IPv4 outside 10.0.0.0/8."""
    return [text for text in served(state) if ':' in text or ipaddress.ip_address(text) not in _TEN]


def refuse_on_loopback(state):
    """Raises ScenarioError where a state cannot be mapped to the loopback."""
    outside = foreign_to_loopback(state)
    if outside:
        kind = 'an IPv6 address' if ':' in outside[0] else 'outside 10.0.0.0/8'
        raise ScenarioError(f'{outside[0]} is {kind}, which the loopback cannot stand for: this scenario runs in a network namespace (--namespace).')


def claim(state):
    """Make the addresses of a state local in the namespace that this process is in, beside those that are."""
    netns.add(foreign_to_loopback(state))


def _is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False
