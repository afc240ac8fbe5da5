# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_certsans_check: which names the certificates on port 50000 carry, and which are missing."""

from __future__ import annotations

import ipaddress

from ansible_collections.talosops.talos.plugins.module_utils.judge import verdict as v
from ansible_collections.talosops.talos.plugins.module_utils.tasks import facts, section

SECTIONS = ('talos_api.subnet_conflict', 'talos_api.tcp_loadbalancer')


def run(params, check_mode, say):
    """Facts and findings about the names in certificates; see the module's RETURN. Raises TalosError."""
    result = section.run(params, say, SECTIONS, of)
    result['verdict'] = v.worst((result['verdict'], _verdict(result, params.get('names'))))
    return result


def of(snapshot, params):
    """C(nodes): the names in each control plane node's certificate; C(missing): name to nodes that lack it.

    A name is wanted where clients dial it: an endpoint that is one machine's own on that machine alone, any other
    endpoint (a load balancer) and the user's C(names) on every control plane node.
    """
    names = facts.labels(snapshot)
    planes = snapshot.control_planes()
    nodes, missing = {}, {}
    for machine in planes:
        certificate = machine.value('certificate')
        if not certificate:
            continue
        label = names[machine.key]
        wanted = [endpoint.host for endpoint in snapshot.endpoints if machine in _behind(endpoint, snapshot)]
        nodes[label] = {key: certificate.get(key) for key in ('dns', 'ips', 'not_before', 'not_after', 'issuer', 'sha256')}
        for name in dict.fromkeys([*wanted, *(params.get('names') or [])]):
            if not covers(certificate, name):
                missing.setdefault(name, []).append(label)
    return {
        'nodes': nodes,
        'missing': missing,
        'unread': facts.unread(snapshot, planes, 'certificate'),
    }


def _behind(endpoint, snapshot):
    """The machines that a client may meet behind an endpoint: whose own it is, else all control plane nodes."""
    dialled = {endpoint.host, *endpoint.addresses}
    owners = [machine for machine in snapshot.machines if dialled & {machine.address, machine.name, *machine.addresses}]
    return owners or snapshot.control_planes()


def covers(certificate, name):
    """Whether a certificate (facts of api/certificate.py) is valid for a host name or an IP address (RFC 6125)."""
    try:
        address = ipaddress.ip_address(name.strip('[]'))
    except ValueError:
        return any(_matches(pattern.lower().rstrip('.'), name.lower().rstrip('.')) for pattern in certificate.get('dns') or [])
    return any(ipaddress.ip_address(ip) == address for ip in certificate.get('ips') or [])


def _matches(pattern, name):
    if pattern.startswith('*.'):
        return name.partition('.')[2] == pattern[2:]
    return pattern == name


def _verdict(result, names):
    """What the facts alone say: no certificate, or names to look for and one certificate unseen, is not ok."""
    if result['missing']:
        return v.ERROR
    return v.UNKNOWN if not result['nodes'] or (names and result['unread']) else v.OK
