# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The remedy stale_node: a Node whose machine is gone is deleted (guide, "Kubelet and Kubernetes Node Issues"; users.md 5, stale Node deletion)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_common import in_order, ready_evidence
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import node_ready
from ansible_collections.talosops.talos.plugins.module_utils.remedies import stale_node
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import BACKUP_DIR, Action, Remedy, Step, unasked
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps import etcd_stale_member
from ansible_collections.talosops.talos.plugins.module_utils.remedies.steps.common import cures_writing, leaving

NAME = 'stale_node'
# Of the Nodes, how many one run may delete (users.md 5); one in any case.
SHARE = 0.1


def step(view, target, args, coming):
    """The Step that deletes this Node."""
    nodes, node = view.kubernetes.nodes, stale_node.node_of(view, target)
    if nodes is None:
        return Step(f'Delete the Node {target}', refused=(f'the Nodes were not read: {view.kubernetes.datum("nodes").why()}',))
    if node is None:
        raise InputError(f'There is no Node {target}.', f'There are: {listed([one["name"] for one in in_order(view)], 12)}.')
    uid, addresses = node.get('uid'), stale_node.addresses(node)
    first, members = cures_writing(view, coming), leaving(coming)
    reasons = [] if args is None or args.get('uid') == uid else [f'the Node {target} has the uid {uid}, and is another one than was found']
    reasons += stale_node.objections(view, node, view.snapshot.client.get('nodes') or (), writes=bool(first), leaving=members)
    mine = tuple((etcd_stale_member.NAME, member['id']) for member in stale_node.etcd_members(view, node) if member['id'] in members)
    return Step(
        title=f'Delete the Node {target} of {view.snapshot.cluster.get("name")}',
        evidence=(_ready(node), f'no machine that answers has its name{", its machine id" if node.get("machine_id") else ""} or '
                  f'{listed(addresses) or "an address of it"}', 'discovery and etcd do not know its machine' if not mine else
                  'discovery does not know its machine, and etcd will not know it any more') if not reasons else (_ready(node),),
        preconditions=(f'nothing answers on {listed(addresses) or "its address"}, port {listed(stale_node.PORTS)}, asked from here and through control plane '
                       'nodes: that is tried right before', 'no volume is attached to it or local to it, or the sentence for that is said: that is '
                       'looked at right before', 'it has not been Ready, and its lease was not renewed, for half an hour',
                       'no machine that answers has its name, its machine id or an address of it, and discovery and etcd list none',
                       'neither the expected nodes nor the talosconfig name it, and no controller made it', 'etcd and the API take writes',
                       f'not more than {stale_node.SHARE:.0%} of the Nodes are without a machine'),
        predicted={'nodes': [len(nodes), len(nodes) - 1], 'pods': 'what is listed on it is deleted, and made elsewhere where a controller does so'},
        actions=(Action(f'Keep the Node {target} as a file, then delete it by its uid', 'talos_kubernetes_node',
                        {'name': target, 'uid': uid, 'backup_dir': BACKUP_DIR}),),
        verify=('the Node stays away, so that no kubelet has registered it again',),
        way_back='The Node is in the file. A machine that lives after all registers anew when its kubelet is restarted.',
        refused=unasked(args, reasons),
        after=(*mine, *first),
        rests_on={'name': target, 'uid': uid, 'machine_id': node.get('machine_id'), 'addresses': addresses},
    )


def _ready(node):
    _status, since = node_ready(node)
    evidence = ready_evidence(node)
    return f'{evidence.text} (since {evidence.at})' if since else evidence.text


def most(view):
    """How many Nodes one run may delete."""
    return max(1, int(SHARE * len(view.kubernetes.nodes or ())))


REMEDY = Remedy(NAME, 'deletes a Node whose machine is gone', 'the name of the Node', lambda _view, args: (args['name'],), step, most=most)
