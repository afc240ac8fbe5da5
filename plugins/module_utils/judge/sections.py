# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections of the troubleshooting guide in its order, and three of our own (C(x.)).

A check belongs to exactly one section. A section without a check is unknown, "not built yet".
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """C(role) is the role that shows it; C(guide) the anchor of its heading in the guide, None for our own."""

    key: str
    title: str
    role: str
    guide: str | None


# The section of the user's own checks, not applicable without any.
CUSTOM = 'x.custom'

SECTIONS = (
    Section('network_configuration', 'Network configuration', 'network_configuration', 'network-configuration'),
    Section('talos_api.firewall', 'Talos API: firewall', 'talos_api', 'firewall-issues'),
    Section('talos_api.client_configuration', 'Talos API: client configuration', 'talos_api', 'client-configuration-issues'),
    Section('talos_api.subnet_conflict', 'Talos API: conflict of Kubernetes and host '
                                         'subnets', 'talos_api', 'conflict-on-kubernetes-and-host-subnets'),
    Section('talos_api.wrong_endpoints', 'Talos API: wrong endpoints', 'talos_api', 'wrong-endpoints'),
    Section('talos_api.tcp_loadbalancer', 'Talos API: TCP load balancer', 'talos_api', 'tcp-loadbalancer'),
    Section('system_requirements', 'System requirements', 'system_requirements', 'system-requirements'),
    Section('health_checks', 'Health checks', 'health_checks', 'running-health-checks'),
    Section('gathering_logs', 'Logs', 'gathering_logs', 'gathering-logs'),
    Section('discovery.missing', 'Discovery: missing members', 'discovery', 'some-members-are-missing'),
    Section('discovery.duplicate', 'Discovery: duplicate members', 'discovery', 'duplicate-members'),
    Section('discovery.removed', 'Discovery: removed members still present', 'discovery', 'removed-members-are-still-present'),
    Section('etcd.all_pre', 'etcd: all services stuck in Pre', 'etcd', 'all-etcd-services-are-stuck-in-pre-state'),
    Section('etcd.some_pre', 'etcd: some services stuck in Pre', 'etcd', 'some-etcd-services-are-stuck-in-pre-state'),
    Section('etcd.alarm', 'etcd: alarms and space', 'etcd', 'etcd-reports-and-alarm'),
    Section('etcd.quorum_lost', 'etcd: quorum', 'etcd', 'etcd-quorum-is-lost'),
    Section('etcd.other', 'etcd: members and other issues', 'etcd', 'other-issues'),
    Section('kubelet.not_running', 'kubelet: not running', 'kubelet', 'kubelet-is-not-running'),
    Section('kubelet.node_not_found', 'kubelet: node not found', 'kubelet', 'talos-complains-about-node-not-found'),
    Section('kubelet.wrong_internal_ip', 'kubelet: wrong internal IP', 'kubelet', 'kubectl-get-nodes-reports-wrong-internal-ip'),
    Section('kubelet.wrong_external_ip', 'kubelet: wrong external IP', 'kubelet', 'kubectl-get-nodes-reports-wrong-external-ip'),
    Section('kubelet.wrong_node_name', 'kubelet: wrong node name', 'kubelet', 'kubectl-get-nodes-reports-wrong-node-name'),
    Section('kubelet.node_not_ready', 'kubelet: node not ready', 'kubelet', 'node-is-not-ready'),
    Section('kubelet.stale_nodes', 'kubelet: duplicate or stale nodes', 'kubelet', 'duplicatestale-nodes'),
    Section('kubelet.cert_errors', 'kubelet: certificate errors', 'kubelet', 'talos-complains-about-certificate-errors-on-kubelet-api'),
    Section('controlplane.static_pods', 'Control plane: static pods', 'control_plane', 'control-plane-static-pods'),
    Section('controlplane.pod_status', 'Control plane: pod status', 'control_plane', 'control-plane-pod-status'),
    Section('controlplane.manifests', 'Control plane: bootstrap manifests', 'control_plane', 'kubernetes-bootstrap-manifests'),
    Section('controlplane.other', 'Control plane: other components', 'control_plane', 'other-control-plane-components'),
    Section('kubernetes_api.endpoint', 'Kubernetes API: endpoint', 'kubernetes_api', 'kubernetes-control-plane-endpoint'),
    Section('misc.controller_runtime', 'Controller runtime', 'controller_runtime', 'investigating-controller-runtime-issues'),
    Section('x.time', 'Time', 'system_requirements', None),
    Section('x.upgrade', 'Upgrades', 'health_checks', None),
    Section(CUSTOM, 'Your own checks', 'report', None),
)

KEYS = tuple(section.key for section in SECTIONS)
BY_KEY = {section.key: section for section in SECTIONS}


def of_role(role):
    """The keys of the sections that a role shows, in the guide's order."""
    return tuple(section.key for section in SECTIONS if section.role == role)
