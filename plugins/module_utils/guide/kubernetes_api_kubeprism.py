# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""KubePrism, the load balancer on every machine, through which its own parts reach the API servers (guide, "Introduction")."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubernetes_api_common import SECTION, servers, settling
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed, members, ordered, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Check, error, info, not_applicable, ok, unknown, warning
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOT_BOOTSTRAPPED, unreachable
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import API_DOWN, api_server_down


# -- KAPI-6 -----------------------------------------------------------------------------------------------------

def kubeprism_unhealthy(view):
    """KubePrism of every machine has an API server behind it. That it says so proves little: it does so without a quorum too (rec)."""
    if view.not_bootstrapped or view.kubernetes.absent:
        return not_applicable('cluster', 'there is no Kubernetes')
    machines = [machine for machine in ordered(view.snapshot.answering()) if machine.key not in view.elsewhere]
    read = [machine for machine in machines if machine.datum('KubePrismStatuses').ok]
    if not read:
        why = '; '.join(dict.fromkeys(machine.datum('KubePrismStatuses').why() for machine in machines)) or 'no machine answered'
        return unknown('cluster', f'how KubePrism is: KubePrismStatuses: {why}', explained_by=('not_judged', 'role'))
    outcomes = [unknown(machine.key, f'how KubePrism of {machine.label} is: KubePrismStatuses: {machine.datum("KubePrismStatuses").why()}',
                        nodes=[machine.key], explained_by=('role', 'not_judged')) for machine in machines if machine not in read]
    off = [machine for machine in read if not machine.resource('KubePrismStatuses')]
    if off:
        outcomes.append(info('cluster', f'KubePrism is off on {listed(machine.label for machine in off)}',
                             'The guide assumes that it is on: without it the machines reach the API through the endpoint, and are lost with it.',
                             'Consider to switch it on: machine.features.kubePrism, no reboot is needed.', nodes=[machine.key for machine in off],
                             evidence=[seen(machine, 'KubePrismStatuses', 'does not exist') for machine in off]))
    return outcomes + [_judged(view, machine) for machine in read if machine not in off]


def _judged(view, machine):
    spec = machine.resource('KubePrismStatuses')
    if spec.get('healthy'):
        return ok(machine.key)
    evidence = [seen(machine, 'KubePrismStatuses', f'{spec.get("host")}: healthy {spec.get("healthy")}')]
    planes = view.control_planes
    causes = (NOT_BOOTSTRAPPED, NO_QUORUM, API_DOWN, f'network:{machine.key}', *(api_server_down(m) for m in planes),
              *(unreachable(m) for m in planes if not m.answered))
    title = f'KubePrism of {machine.label} finds no API server'
    more = {'nodes': [machine.key], 'evidence': evidence, 'explained_by': causes}
    if servers(view) and all(server.bad for server in servers(view)):
        return info(machine.key, title, 'None serves.', 'See the API servers.', **more)
    if settling(view) or view.young(machine) or view.in_progress(machine):
        return info(machine.key, title, 'The machine, or the cluster, is young.', 'Look again in a few minutes.', **more)
    return error(machine.key, title, 'kubelet, CNI and kube-proxy of this machine reach the API through it: its Node is soon not Ready.',
                 f'Let {machine.label} reach port 6443 of the control plane nodes, and look whether their API servers serve.', **more)


def kubeprism_endpoints(view):
    """KubePrism of every machine knows each control plane node that the machine knows as a member, whatever else is in its list."""
    if view.not_bootstrapped or view.kubernetes.absent:
        return not_applicable('cluster', 'there is no Kubernetes')
    machines = [machine for machine in ordered(view.snapshot.answering()) if machine.key not in view.elsewhere]
    everywhere = [spec for machine in machines for _item, spec in members(machine)]
    outcomes = []
    for machine in machines:
        listed_ = machine.value('KubePrismEndpoints')
        if listed_ is None:
            outcomes.append(_unread(machine, 'KubePrismEndpoints'))
        elif listed_ and machine.datum('Members').ok:
            outcomes.append(_knows(view, machine, _unknown_to(view, machine, listed_, [spec for _item, spec in members(machine)])))
        elif listed_:
            # Where all know what the others see as members, there is nothing that its own list could add.
            sure = everywhere and not _unknown_to(view, machine, listed_, everywhere)
            outcomes.append(ok(machine.key) if sure else _unread(machine, 'Members'))
    return outcomes or not_applicable('cluster', 'KubePrism is off')


def _unread(machine, kind):
    return unknown(machine.key, f'whether KubePrism of {machine.label} knows all control plane nodes: {kind}: {machine.datum(kind).why()}',
                   nodes=[machine.key], explained_by=('role', 'not_judged'))


def _hosts(listed_):
    return {normal(each.get('host')) for item in listed_ for each in (item.get('spec') or {}).get('endpoints') or []}


def _unknown_to(view, machine, listed_, specs):
    """The names of the control plane nodes among these members that KubePrism of a machine does not know."""
    known, virtual, missing = _hosts(listed_), {normal(vip) for vip in view.vips}, []
    for spec in specs:
        own = {normal(address) for address in spec.get('addresses') or []} - virtual
        itself = spec.get('nodeId') == machine.key and 'localhost' in known
        if spec.get('machineType') == 'controlplane' and own and not own & known and not itself:
            missing.append(spec.get('hostname') or spec.get('nodeId'))
    return missing


def _knows(view, machine, missing):
    if not missing or view.young(machine) or view.in_progress(machine):
        return ok(machine.key)
    return warning(machine.key, f'KubePrism of {machine.label} does not know {listed(missing)}', 'It leads to the other control plane nodes only.',
                   f'Look for k8s.KubePrismEndpointsController in talosctl -n {machine.address or machine.label} logs controller-runtime.',
                   nodes=[machine.key],
                   evidence=[seen(machine, 'KubePrismEndpoints', listed(sorted(_hosts(machine.value('KubePrismEndpoints'))), 12))])


CHECKS = (
    Check('kubernetes_api.kubeprism_unhealthy', SECTION, 'KubePrism finds an API server', kubeprism_unhealthy,
          reads=('KubePrismStatuses', 'MachineStatuses', 'ServiceList'), catalogue='KAPI-6'),
    Check('kubernetes_api.kubeprism_endpoints', SECTION, 'KubePrism knows every control plane node', kubeprism_endpoints,
          reads=('KubePrismEndpoints', 'Members', 'NodeIPConfigs', 'MachineStatuses'), catalogue='KAPI-6'),
)
