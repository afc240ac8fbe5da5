# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_kubelet_check: the kubelet and the Node of every machine, Nodes without a machine, open certificate requests."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubelet_requests import api_names, machine_named, owner_of, wanted_name
from ansible_collections.talosops.talos.plugins.module_utils.judge import csr_rules
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import condition
from ansible_collections.talosops.talos.plugins.module_utils.judge.settings import Settings
from ansible_collections.talosops.talos.plugins.module_utils.tasks import facts, section

ROLE = 'kubelet'
REQUESTS_MOST = 200


def run(params, check_mode, say):
    """Facts and findings of the sections of the role; see the module's RETURN. Raises TalosError."""
    return section.run(params, say, ROLE, of)


def of(snapshot, params):
    """C(kubelets) of the machines by their labels; C(nodes_without_machine) and C(requests) are None where Kubernetes was not read."""
    view = View(snapshot, Settings())
    names = facts.labels(snapshot)
    nodes = view.kubernetes.nodes
    return {
        'kubelets': {names[machine.key]: _kubelet(view, machine) for machine in snapshot.machines},
        'nodes_without_machine': None if nodes is None else sorted(node['name'] for node in nodes if not _has_machine(view, node)),
        'requests': _requests(view, names),
        'unread': facts.unread(snapshot, snapshot.machines, 'ServiceList'),
        'kubernetes_unread': None if nodes is not None else view.kubernetes.datum('nodes').why(),
    }


def _has_machine(view, node):
    machine = view.kubernetes.machine_of(node)
    return machine is not None and (machine.answered or machine.known_from != ['kubernetes'])


def _kubelet(view, machine):
    node = view.kubernetes.node_of(machine)
    service = view.kubelet.service(machine)
    last = view.kubelet.last_event(machine)
    health = (service or {}).get('health') or {}
    return {
        'address': machine.address,
        'type': machine.type,
        'answered': machine.answered,
        'state': view.kubelet.state(machine),
        'healthy': bool(health.get('healthy')) if health and not health.get('unknown') else None,
        'message': (health.get('last_message') or (last.msg.splitlines()[0] if last and last.msg else ''))[:500] if service else None,
        'version': (node or {}).get('kubelet_version') or view.kubelet.version(machine),
        'nodename': (machine.resource('Nodenames', 'nodename') or {}).get('nodename'),
        'node_ips': [str(address) for address in (machine.resource('NodeIPs', 'kubelet') or {}).get('addresses') or []],
        'node': _node(node) if node else None,
    }


def _node(node):
    ready = condition(node, 'Ready')
    by_type = {kind: [a.get('address') for a in node.get('addresses') or [] if a.get('type') == kind] for kind in ('InternalIP', 'ExternalIP')}
    return {
        'name': node['name'],
        'uid': node['uid'],
        'ready': ready.get('status'),
        'since': ready.get('lastTransitionTime'),
        'reason': ready.get('reason'),
        'schedulable': not node['unschedulable'],
        'conditions': sorted(c['type'] for c in node.get('conditions') or [] if c.get('status') == 'True' and c.get('type') != 'Ready'),
        'internal_ips': by_type['InternalIP'],
        'external_ips': by_type['ExternalIP'],
    }


def _requests(view, names):
    """Open requests of kubelets, oldest first, with what may be done about those for serving certificates."""
    csrs = view.kubernetes.csrs
    if csrs is None:
        return None
    opened = [csr for csr in csrs if csr.get('signer') in (csr_rules.SERVING, csr_rules.CLIENT) and csr_rules.pending(csr)]
    return [_request(view, names, csr, csrs) for csr in sorted(opened, key=lambda csr: str(csr.get('created')))[:REQUESTS_MOST]]


def _request(view, names, csr, csrs):
    name = wanted_name(csr)
    machine = machine_named(view, name) if name else None
    judgement = None
    if csr['signer'] == csr_rules.SERVING:
        judgement = csr_rules.judge_serving(csr, owner_of(view, machine, name), api_names(view), csrs, not view.kubernetes.frozen)
    asked = csr.get('asks_for') or {}
    return {
        'name': csr['name'],
        'signer': csr['signer'],
        'username': csr.get('username'),
        'created': csr.get('created'),
        'node': name,
        'machine': names[machine.key] if machine is not None else None,
        'names': [*(asked.get('dns') or []), *(asked.get('ips') or [])],
        'judgement': judgement.verdict if judgement else None,
        'reasons': list(judgement.why) if judgement else [],
    }
