# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that change etcd, against a simulated cluster."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access
from tests.unit.tasks import plain

CHANGING = ('EtcdSnapshot', 'EtcdAlarmDisarm', 'EtcdDefragment', 'EtcdRemoveMemberByID', 'EtcdLeaveCluster', 'EtcdForfeitLeadership',
            'ApplyConfiguration', 'Reboot', 'Reset', 'Bootstrap', 'ServiceRestart', 'ServiceStart', 'ServiceStop')


def params(cluster, module, **options):
    context = talosconfig.load(content=cluster.talosconfig, environ={})
    return {**plain.params(module, **options), 'access': access.Access(context, cluster='prod', directory='.')}


def called(cluster, names=CHANGING):
    """The calls that change something, or are big, in the order in which the machines served them."""
    calls = sorted((at, name, path.rpartition('/')[2]) for name, node in cluster.nodes.items() for at, path, _code in list(node.calls))
    return [method for _at, _name, method in calls if method in names]


def where(cluster, method):
    """On which machines a method was served, in that order."""
    calls = sorted((at, name) for name, node in cluster.nodes.items() for at, path, _code in list(node.calls) if path.endswith(f'/{method}'))
    return [name for _at, name in calls]
