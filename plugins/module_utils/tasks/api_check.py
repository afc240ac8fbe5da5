# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_api_check: how the Talos API is reached, and by whom."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.tasks import facts, section

ROLE = 'talos_api'


def run(params, check_mode, say):
    """Facts and findings of the Talos API sections; see the module's RETURN. Raises TalosError."""
    return section.run(params, say, ROLE, of)


def of(snapshot, params):
    """C(client): the talosconfig in use; C(endpoints): how dialling each went; C(not_answering): machines that did not answer."""
    names = facts.labels(snapshot)
    certificate = snapshot.client.get('certificate') or {}
    return {
        'client': {
            'context': snapshot.client.get('context'),
            'source': snapshot.client.get('source'),
            'roles': certificate.get('roles') or [],
            'not_before': certificate.get('not_before'),
            'not_after': certificate.get('not_after'),
        },
        'endpoints': [{
            'endpoint': endpoint.text,
            'connected': endpoint.connected,
            'node': names.get(endpoint.machine),
            'error': (endpoint.error or {}).get('text'),
            'error_kind': (endpoint.error or {}).get('kind'),
        } for endpoint in snapshot.endpoints],
        'not_answering': {names[machine.key]: machine.unreachable['text'] if machine.unreachable else 'no answer'
                          for machine in snapshot.machines if not machine.answered},
    }
