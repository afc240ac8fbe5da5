# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several remedies need to be so, right before they act: the reasons against are the ends of sentences."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import why_frozen
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import span, unread
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

# What not_writing() looks at.
READS = ('EtcdStatus', 'EtcdAlarmList', 'EtcdMemberList', 'EtcdMembers', 'ServiceList')
KUBERNETES = ('nodes', 'leases', 'readyz')
# A kubelet renews its lease every ten seconds.
LEASE_SECONDS = 120


def not_writing(view):
    """Why nothing may be written to Kubernetes now, None where its API is healthy and is seen to take writes."""
    if not view.kubernetes.read:
        return f'Kubernetes was not read ({view.kubernetes.datum("nodes").why()})'
    if view.kubernetes.frozen:
        return f'etcd takes no writes: {why_frozen(view)}'
    if not view.etcd.with_leader:
        answering = view.answering_control_planes
        return f'no etcd member was seen to know a leader ({"; ".join(unread(answering, "EtcdStatus")) or "none answered"})'
    return _not_ready(view) or _no_lease(view)


def _not_ready(view):
    said = [view.kubernetes.datum('readyz'), *(view.kubernetes.server(machine) for machine in view.control_planes)]
    if any(datum.ok and datum.value['status'] == 200 for datum in said):
        return None
    seen = next((f'it answers {datum.value["status"]}' for datum in said if datum.ok), said[0].why())
    return f'no API server says that it is ready ({seen})'


def _no_lease(view):
    """The leases of the Nodes are what is written all the time."""
    leases = view.kubernetes.listed('leases')
    if leases is None:
        return f'whether the API takes writes was not seen, because the leases of the Nodes were not read ({view.kubernetes.datum("leases").why()})'
    renewed = [at for at in (parse_time(lease.get('renewed')) for lease in leases) if at]
    age = (view.now - max(renewed)).total_seconds() if renewed else None
    if age is None or age > LEASE_SECONDS:
        return f'no kubelet {"has renewed its lease for " + span(age) if renewed else "has a lease"}, so the API was not seen to take writes'
    return None
