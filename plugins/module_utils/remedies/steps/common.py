# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the planners of several remedies share."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import NOSPACE
from ansible_collections.talosops.talos.plugins.module_utils.remedies import live
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import etcd_nospace, etcd_stale_member

# Clusters of so few control plane nodes have none to spare.
SMALL = 2


def cures_writing(view, coming):
    """The steps of this plan after which etcd takes writes again; none where it takes them now, or something else keeps it from it."""
    if not view.kubernetes.read or view.kubernetes.frozen != (NOSPACE,):
        return ()
    return tuple(one for one in coming if one == (etcd_nospace.NAME, etcd_nospace.TARGET))


def writing(view, coming):
    """C(([reasons], steps that come before)) of a change of Kubernetes."""
    cures = cures_writing(view, coming)
    why = live.not_writing(view)
    return ([f'the Kubernetes API does not take writes for certain: {why}'] if why and not cures else []), cures


def leaving(coming):
    """Ids of the members of etcd that steps of this plan remove."""
    return tuple(member_id for name, member_id in coming if name == etcd_stale_member.NAME)


def outage(view, what):
    """The sentences that agree to an outage where there are one or two control plane nodes; none where there are more."""
    number = len([machine for machine in view.control_planes if machine.key not in view.elsewhere])
    if number > SMALL:
        return ()
    return (f'{what} while {view.snapshot.cluster.get("name")} has {number} control plane node{"s" if number != 1 else ""}',)
