# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to a machine whose configuration is changed, and its configuration as it is now (talos-api 6.2)."""

from __future__ import annotations

import contextlib

from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint as endpoints_
from ansible_collections.talosops.talos.plugins.module_utils.api import spec
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import NotFound, TalosError, TransportError
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.tasks import etcd_live


@contextlib.contextmanager
def connected(params, view, machine):
    """A handle of the machine, while the context lasts. Raises TransportError."""
    with etcd_live.connected(params) as client:
        yield reach(client, view, machine)


def reach(client, view, machine):
    """A handle of the machine, by a way that is open now: through the endpoint by which it answered where that is a machine's own address, else
    directly, and through a load balancer only where there is nothing else, because each connection to one may lead to another machine.
    """
    own = {normal(one) for each in view.answering_control_planes for one in (each.address, *each.addresses)} - {normal(vip) for vip in view.vips}
    through = [one for one in client.endpoints if one.text == machine.via]
    direct = next((one for one in client.endpoints if one.host == machine.address), None) or \
        endpoints_.parse(endpoints_.join(machine.address, endpoints_.PORT))
    ways = [*(one for one in through if normal(one.host) in own), *(one for one in client.endpoints if normal(one.host) in own), direct, *through]
    failed = None
    for way in dict.fromkeys(ways):
        try:
            client.connect(way)
        except TransportError as error:
            failed = failed or error
            continue
        return client.direct(way) if way == direct else client.node(machine.address, via=way)
    raise failed


def read(handle):
    """C((active, saved)) as {text, version, created, updated}; C(saved) None where nothing was saved since the boot."""
    try:
        saved = _configuration(handle, 'persistent')
    except NotFound:
        saved = None
    return _configuration(handle, 'v1alpha1'), saved


def _configuration(handle, name):
    found = handle.resource(spec.MACHINE_CONFIGS, 'config', name)
    if not isinstance(found['spec'], str) or not found['spec'].strip():
        raise TalosError(f'{handle.address} gave its machine configuration in a form that does not hold all of its documents.')
    return {'text': found['spec'], 'version': found['version'], 'created': found['created'], 'updated': found['updated']}
