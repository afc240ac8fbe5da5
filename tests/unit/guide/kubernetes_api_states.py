# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the Kubernetes API of the recorded cluster may be found, made from what was recorded."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide import control_plane, etcd, kubernetes_api, talos_api
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests.unit.guide.judging import READ, planes, report

CHECKS = kubernetes_api.CHECKS
WITH_CAUSES = (*talos_api.CHECKS, *etcd.CHECKS, *control_plane.CHECKS, *kubernetes_api.CHECKS)

_TEXTS = {'refused': 'Connection refused', 'timeout': 'it does not answer', 'no_route': 'No route to host'}


def judged(snapshot, checks=CHECKS, thresholds=None):
    return report(snapshot, thresholds, checks)


def probe(ok=True, kind=None, address='10.5.0.100', status=200):
    return {'ok': ok, 'status': status if ok else None, 'kind': kind, 'text': None if ok else f'{address}: {kind}', 'address': address,
            'certificate': None, 'seconds': 0.01}


def silent(snapshot, machine, kind='refused'):
    """Its API server is not reached from this control node."""
    text = f'https://{machine.address}:6443 could not be reached: {_TEXTS.get(kind, kind)}.'
    snapshot.kubernetes['servers'][machine.key] = Datum('unreachable', reason=text, code=kind)
    machine.data['apiserver_probe'] = Datum(READ, probe(False, kind, machine.address))
    machine.data['apiserver_certificate'] = Datum('unreachable', reason=text, code=kind)


def unready(snapshot, machine, *failing):
    """Its API server answers that it is not ready."""
    body = ''.join(f'[-]{check} failed: reason withheld\n' for check in failing) + 'readyz check failed\n'
    snapshot.kubernetes['servers'][machine.key] = Datum(READ, {'status': 500, 'body': body})


def endpoint(snapshot, *probes, **changes):
    """What the endpoint was found to be: C(changes) to what was recorded, C(probes) in place of the ten good ones."""
    found = snapshot.kubernetes['data']['endpoint'].value
    found.update(changes)
    if probes:
        found['probes'] = list(probes)
    if not all(each.get('ok') for each in found['probes']) and not any(each.get('ok') for each in found['probes']):
        snapshot.kubernetes['data']['readyz'] = Datum('unreachable', reason='could not be reached', code='refused')


def dead_endpoint(snapshot, kind='refused'):
    endpoint(snapshot, *[probe(False, kind)] * 10)


def unread_lists(snapshot, state='unreachable', reason='could not be reached'):
    for kind in ('version', 'readyz', 'nodes', 'pods', 'csrs', 'daemonsets', 'deployments', 'events', 'leases'):
        snapshot.kubernetes['data'][kind] = Datum(state, reason=reason)


def kubeprism_finds_nobody(snapshot):
    """What the machines themselves see within 20 s when no API server listens."""
    for machine in snapshot.machines:
        for item in machine.value('KubePrismStatuses') or []:
            item['spec']['healthy'] = False


def nobody_serves(snapshot, kind='refused'):
    for machine in planes(snapshot):
        silent(snapshot, machine, kind)
    if kind == 'refused':
        kubeprism_finds_nobody(snapshot)
    dead_endpoint(snapshot, kind)
    unread_lists(snapshot)


def configured(snapshot, url):
    """The endpoint in the machine configuration, which an admin reads; and in KubePrism's list, which everybody does."""
    host, _colon, port = url.split('://')[-1].partition(':')
    for machine in snapshot.machines:
        for item in machine.value('APIServerConfigs') or []:
            item['spec']['controlPlaneEndpoint'] = url
        if machine.value('KubePrismEndpoints'):
            machine.value('KubePrismEndpoints')[0]['spec']['endpoints'][0] = {'host': host, 'port': int(port or 443)}
    endpoint(snapshot, url=url, host=host, port=int(port or 443), addresses=[host])
