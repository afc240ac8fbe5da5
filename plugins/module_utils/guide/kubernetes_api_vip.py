# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "Kubernetes Control Plane Endpoint": the virtual IP of Talos, which exactly one control plane node holds.

The holder is who has the address on a link, never whom discovery lists with it: Members show it on two machines or on none for
minutes after a failover (edge-cases 29). The VIP follows an election in etcd: without a leader nobody holds it.
"""

from __future__ import annotations

import ipaddress

from ansible_collections.talosops.talos.plugins.module_utils.guide.kubernetes_api_common import SECTION, VIP_LOST, probed, settling
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import GONE, listed, ordered, presence, seen
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    Check, Threshold, critical, error, info, not_applicable, ok, unknown,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, down, unreachable
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

FAILOVER_SECONDS = 'kubernetes_api_failover'
# These clouds move the address themselves; it need not be on a link.
_BY_CLOUD = ('hcloud', 'equinixMetal')


# -- KAPI-5 -----------------------------------------------------------------------------------------------------

def vip_holder(view):
    """One control plane node holds each VIP that is configured."""
    if view.not_bootstrapped or view.kubernetes.absent:
        return not_applicable('cluster', 'there is no Kubernetes')
    if not view.vips_known:
        planes = view.answering_control_planes
        why = '; '.join(f'{m.label}: {m.datum("NodeIPConfigs").why()}' for m in ordered(planes)) or 'no control plane node answered'
        return unknown('cluster', f'whether a VIP is configured, and who holds it: NodeIPConfigs: {why}', explained_by=('not_judged', 'role'))
    vips = sorted({normal(vip) for vip in view.vips})
    return [_judged(view, vip) for vip in vips] or not_applicable('cluster', 'no VIP is configured')


def _judged(view, vip):
    holders = [(machine, link, prefix) for machine in ordered(view.snapshot.answering()) for link, prefix in _links(machine, vip)]
    evidence = [seen(machine, 'AddressStatuses', f'{prefix} on {link}') for machine, link, prefix in holders]
    machines = list({machine.key: machine for machine, _link, _prefix in holders}.values())
    if len(machines) > 1:
        return _two(view, vip, machines, evidence)
    if machines:
        return _one(vip, machines[0], holders[0][1], evidence)
    return _none(view, vip)


def _links(machine, vip):
    """[(link, address as it stands there)] of a machine that has this address on a link of its own."""
    found = []
    for item in machine.value('AddressStatuses') or []:
        spec = item.get('spec') or {}
        if normal(spec.get('address')) == vip and spec.get('linkName') not in (None, '', 'lo'):
            found.append((spec['linkName'], spec['address']))
    return found


def _two(view, vip, machines, evidence):
    names = listed(machine.label for machine in machines)
    more = {'nodes': [machine.key for machine in machines], 'evidence': evidence}
    if _moves(view, vip, machines) or settling(view):
        return info(vip, f'the VIP {vip} moves just now: {names} have it', 'They were asked one after the other.', 'Look again in a minute.', **more)
    return critical(vip, f'the VIP {vip} is held by {names} at the same time',
                    'Clients reach one or the other at random: the nodes do not hear each other on the network, or believe different members of etcd.',
                    'Look at etcd first (talosctl etcd status on both), then at the switch between them. Take the address away from none by hand.', **more)


def _one(vip, machine, link, evidence):
    networks = [str(spec.get('address')) for spec in (item.get('spec') or {} for item in machine.value('AddressStatuses') or [])
                if spec.get('linkName') == link and normal(spec.get('address')) != vip and is_ip(spec.get('address') or '')]
    address = ipaddress.ip_address(vip)
    same = [network for network in networks if ipaddress.ip_interface(network).version == address.version]
    if same and not any(address in ipaddress.ip_interface(network).network for network in same):
        return error(vip, f'the VIP {vip} lies outside the networks of {link} on {machine.label}: {listed(same)}',
                     'Machines in that network do not look for it there, so only what is routed to this node reaches it.',
                     'Give a free address of the network in which the control plane nodes are.', nodes=[machine.key], evidence=evidence)
    return ok(vip, title=f'held by {machine.label}')


def _none(view, vip):
    planes = [machine for machine in ordered(view.control_planes) if presence(view, machine) != GONE]
    unread = [machine for machine in planes if machine.answered and not machine.datum('AddressStatuses').ok]
    dead = [machine for machine in planes if not machine.answered]
    if any(_moved_by_cloud(machine, vip) for machine in planes):
        return not_applicable(vip, 'the cloud moves this address, which is then on no link')
    if view.etcd.statuses and not view.etcd.with_leader:
        return not_applicable(vip, 'nobody holds the VIP without a leader of etcd: see there')
    why = '; '.join([*(f'{m.label}: AddressStatuses: {m.datum("AddressStatuses").why()}' for m in unread), *(f'{m.label} does not answer' for m in dead)])
    if unread or not view.etcd.with_leader:
        why = why or 'whether etcd has a leader was not seen'
        return unknown(vip, f'who holds the VIP {vip}: {why}', explained_by=(NO_QUORUM, 'role', 'not_judged', *(unreachable(m) for m in dead)))
    if dead:
        found = probed(view)
        if found is None or normal(found.get('host')) != vip:
            return unknown(vip, f'who holds the VIP {vip}: none of the nodes that answer; {why}', explained_by=tuple(unreachable(m) for m in dead))
        if any(probe.get('ok') for probe in found['probes']):
            return ok(vip, title=f'held by one of {listed(m.label for m in dead)}, which serves it')
    lines = [hit for machine in planes for hit in view.signatures.on(machine, 'vip.campaign_failure', 'vip.removed')]
    evidence = [*(seen(machine, 'AddressStatuses', f'{vip} is on none of its links') for machine in planes if machine.answered),
                *(hit.evidence() for hit in lines)][:8]
    more = {'nodes': [machine.key for machine in planes if machine.answered], 'evidence': evidence}
    causes = (NO_QUORUM, *(fact for machine in planes for fact in (unreachable(machine), down(machine))))
    young = [hit for hit in lines if hit.age is not None and hit.age < view.threshold(FAILOVER_SECONDS)]
    if settling(view) or any(hit.id == 'vip.removed' for hit in young):
        return info(vip, f'nobody holds the VIP {vip} just now', 'A failover takes up to two minutes.', 'Look again in a minute.', explained_by=causes, **more)
    return error(vip, f'nobody holds the VIP {vip}, although etcd has a leader', 'Who uses the endpoint of the Kubernetes API reaches no API server, although '
                 'they may serve. Machines of the cluster go on through KubePrism.',
                 'Look for "campaign failure" and "shared IP" in talosctl logs controller-runtime of the control plane nodes: each holds an election '
                 'through its '
                 'own etcd, and needs the link of the VIP to be up.', asserts=(VIP_LOST,), explained_by=causes, **more)


def _moves(view, vip, machines):
    """One of them got the address on its link less than two minutes ago."""
    for machine in machines:
        for item in machine.value('AddressStatuses') or []:
            at = parse_time(item.get('created'))
            if normal((item.get('spec') or {}).get('address')) == vip and at is not None and (view.now - at).total_seconds() < view.threshold(FAILOVER_SECONDS):
                return True
    return False


def _moved_by_cloud(machine, vip):
    """Whether a cloud's API moves the VIP: by its operator (admin), else by the platform."""
    for item in machine.value('OperatorSpecs') or []:
        spec = (item.get('spec') or {}).get('vip') or {}
        if normal(spec.get('ip')) == vip and (spec.get('hcloud') or spec.get('equinixMetal')):
            return True
    platform = ((machine.value('Version') or {}).get('platform') or {}).get('name')
    return not machine.datum('OperatorSpecs').ok and platform in _BY_CLOUD


CHECKS = (
    Check('kubernetes_api.vip_holder', SECTION, 'One control plane node holds the VIP', vip_holder,
          reads=('NodeIPConfigs', 'AddressStatuses', 'OperatorSpecs', 'EtcdStatus', 'Version', 'MachineStatuses'), logs=('controller-runtime', 'machined'),
          cluster_reads=('endpoint',), catalogue='KAPI-5', thresholds={
              FAILOVER_SECONDS: Threshold(120, 's', 'how long the VIP may have no holder, or two, while it moves')}),
)
