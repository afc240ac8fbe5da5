# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Client Configuration Issues", for the other configuration that a client brings: the kubeconfig."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Evidence, not_applicable, ok, unknown, warning,
)

SECTION = 'talos_api.client_configuration'
GIVEN = 'kubeconfig'


def kubeconfig_foreign(view):
    """The kubeconfig that the user gave belongs to this cluster (its Nodes are compared with Talos's machines while gathering)."""
    kubernetes = view.snapshot.kubernetes
    if kubernetes.get('source') != GIVEN:
        return not_applicable('kubeconfig', 'no kubeconfig was given')
    server, said = kubernetes.get('server') or 'its server', kubernetes.get('error')
    nodes = (kubernetes.get('data') or {}).get('nodes')
    if nodes is not None and nodes.ok:
        return ok('kubeconfig')
    if said and 'another cluster' in said:
        return warning('kubeconfig', 'the kubeconfig that was given belongs to another cluster',
                       'Nothing that it leads to was taken for this cluster, so everything about Kubernetes is unknown.',
                       'Give the kubeconfig of this cluster, or none: with os:admin Talos issues one.',
                       evidence=[Evidence(f'{server}: {said}', 'Kubernetes')])
    why = said or (nodes.why() if nodes is not None else 'its Nodes were not asked for')
    return unknown('kubeconfig', f'whether the kubeconfig that was given belongs to this cluster: {why}',
                   explained_by=('not_judged',))


CHECKS = (
    Check('talos_api.kubeconfig_foreign', SECTION, 'the kubeconfig that was given belongs to this cluster', kubeconfig_foreign,
          cluster_reads=('nodes',), catalogue='API-3', sharpens=True),
)
