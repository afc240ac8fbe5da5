# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_kubernetes_api_check: the endpoint, who serves, with which certificates, the VIP and KubePrism."""

from __future__ import annotations

from collections import Counter

from ansible_collections.talosops.talos.plugins.module_utils.guide import kubernetes_api_common as api
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.settings import Settings
from ansible_collections.talosops.talos.plugins.module_utils.tasks import facts, section

ROLE = 'kubernetes_api'

_CERTIFICATE = ('dns', 'ips', 'not_before', 'not_after', 'issuer', 'sha256')


def run(params, check_mode, say):
    """Facts and findings of the sections of the role; see the module's RETURN. Raises TalosError."""
    return section.run(params, say, ROLE, of)


def of(snapshot, params):
    """C(endpoint), C(servers) by control plane node, C(vips) with their holders, C(kubeprism) by machine; null is what was not seen."""
    view = View(snapshot, Settings())
    names = facts.labels(snapshot)
    servers = {names[server.machine.key]: _server(server) for server in api.servers(view)}
    return {
        'endpoint': _endpoint(view),
        'servers': servers,
        'serving': sorted(label for label, server in servers.items() if server['state'] == api.SERVES),
        'vips': {normal(vip): _holders(view, names, normal(vip)) for vip in sorted(view.vips)} if view.vips_known else None,
        'kubeprism': {names[machine.key]: _kubeprism(machine) for machine in snapshot.answering()},
        'kubernetes_source': snapshot.kubernetes.get('source'),
        'kubernetes_unread': None if view.kubernetes.datum('readyz').ok else view.kubernetes.datum('readyz').why(),
        'unread': facts.unread(snapshot, snapshot.control_planes(), 'AddressStatuses'),
    }


def _endpoint(view):
    found, probed = api.endpoint(view), api.probed(view)
    if found is None:
        return None
    probes = (probed or {}).get('probes') or []
    failed = Counter(probe.get('kind') for probe in probes if not probe.get('ok'))
    return {
        'url': found.written or (probed or {}).get('url') or f'https://{found.text}', 'host': found.host, 'port': found.port, 'named_by': found.source,
        'addresses': list(found.addresses), 'connections': len(probes) if probed else None,
        'answered': sum(bool(probe.get('ok')) for probe in probes) if probed else None,
        'failures': dict(failed), 'error': ((probed or {}).get('error') or {}).get('text'),
    }


def _server(server):
    certificate = server.machine.value('apiserver_certificate')
    return {
        'state': None if server.how == api.UNSEEN else server.how.replace(' ', '_'), 'said': server.text or None,
        'certificate': {key: certificate.get(key) for key in _CERTIFICATE} if certificate else None,
    }


def _holders(view, names, vip):
    return [names[machine.key] for machine in view.snapshot.answering()
            if any(normal((item.get('spec') or {}).get('address')) == vip and (item.get('spec') or {}).get('linkName') != 'lo'
                   for item in machine.value('AddressStatuses') or [])]


def _kubeprism(machine):
    """C(enabled) null where it was not read."""
    if not machine.datum('KubePrismStatuses').ok:
        return {'enabled': None, 'healthy': None, 'endpoints': None}
    status, listed = machine.resource('KubePrismStatuses'), machine.resource('KubePrismEndpoints') or {}
    endpoints = [f'{each.get("host")}:{each.get("port")}' for each in listed.get('endpoints') or []]
    return {'enabled': bool(status), 'healthy': bool(status.get('healthy')) if status else None, 'endpoints': list(dict.fromkeys(endpoints))}
