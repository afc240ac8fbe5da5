# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_network_check: how each machine stands on its network (talos-api 6.4)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.host_links import (
    default_routes, host_addresses, is_cni_link, is_overlay, links, node_addresses,
)
from ansible_collections.talosops.talos.plugins.module_utils.guide.network_configuration_names import servers
from ansible_collections.talosops.talos.plugins.module_utils.tasks import facts, section

ROLE = 'network_configuration'

_READY = {'address': 'addressReady', 'connectivity': 'connectivityReady', 'hostname': 'hostnameReady', 'etc_files': 'etcFilesReady'}


def run(params, check_mode, say):
    """Facts and findings of the sections of the role; see the module's RETURN. Raises TalosError."""
    return section.run(params, say, ROLE, of)


def of(snapshot, params):
    """C(nodes): what each machine that answered says of its network; C(unread): the machines that did not."""
    names = facts.labels(snapshot)
    return {
        'nodes': {names[machine.key]: _node(machine) for machine in snapshot.answering()},
        'unread': facts.unread(snapshot, snapshot.machines, 'NetworkStatuses'),
    }


def _node(machine):
    status = machine.resource('NetworkStatuses', 'status')
    hostname = machine.resource('HostnameStatuses', 'hostname')
    host_dns = machine.resource('HostDNSConfigs', 'config')
    return {
        'hostname': hostname.get('hostname') if isinstance(hostname, dict) else None,
        'ready': {name: bool(status.get(key)) for name, key in _READY.items()} if isinstance(status, dict) else None,
        'addresses': _read(machine, 'AddressStatuses', host_addresses),
        'node_addresses': _read(machine, 'NodeAddresses', lambda each: node_addresses(each, 'routed-no-k8s')),
        'links': _read(machine, 'LinkStatuses', _links),
        'default_routes': _read(machine, 'RouteStatuses', _routes),
        'resolvers': _read(machine, 'ResolverStatuses', servers),
        'host_dns': bool(host_dns.get('enabled')) if isinstance(host_dns, dict) else None,
    }


def _read(machine, kind, made):
    """What is made of a read, None where it was not read."""
    return made(machine) if machine.datum(kind).ok else None


def _links(machine):
    """The links of the host itself."""
    return [{'name': name, 'state': spec.get('operationalState'), 'carrier': spec.get('linkState'), 'kind': spec.get('kind') or None, 'mtu': spec.get('mtu')}
            for name, spec in sorted(links(machine).items()) if not is_cni_link(name) and not is_overlay(name)]


def _routes(machine):
    return [{'gateway': route.get('gateway') or None, 'link': route.get('outLinkName')} for route in default_routes(machine)]
