# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which links and addresses are the host's own, and which a CNI, kube-proxy or an overlay network made (talos-api 6.4)."""

from __future__ import annotations

import ipaddress
import re

from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import is_ip, normal

# Not by kind veth: eth0 of a machine in container mode is one (catalogue API-4).
_CNI = re.compile(r'^(lo|cni\d*|flannel.*|cilium.*|lxc.*|veth.*|cali.*|vxlan\.calico|tunl\d+|kube-ipvs\d+|kube-bridge|nodelocaldns'
                  r'|antrea.*|genev.*|ovn.*|docker\d+)$')
_CNI_KINDS = ('bridge', 'vxlan', 'geneve', 'dummy', 'vrf')
_OVERLAYS = re.compile(r'^(kubespan|siderolink|tailscale\d*|wg\d+)$')
_DOWN = ('down', 'lowerlayerdown', 'notpresent')


def is_cni_link(name):
    """Whether a link of this name is one that a CNI or kube-proxy makes."""
    return bool(_CNI.match(name))


def is_overlay(name):
    """Whether a link of this name belongs to an overlay network: it carries what another link carries."""
    return bool(_OVERLAYS.match(name))


def links(machine):
    """{name: spec} of LinkStatuses; empty where they were not read."""
    return {item.get('id'): item.get('spec') or {} for item in machine.value('LinkStatuses') or []}


def is_down(spec):
    """Whether a link carries nothing. C(unknown) is no fault: lo, vxlan and wireguard never have another state (rec)."""
    return spec.get('operationalState') in _DOWN or spec.get('linkState') is False


def routes(machine):
    """The specs of RouteStatuses; empty where they were not read."""
    return [item.get('spec') or {} for item in machine.value('RouteStatuses') or []]


def default_routes(machine):
    """The routes of the main table with an empty destination, that is to everywhere; KubeSpan's own table has such ones too."""
    return [route for route in routes(machine) if not route.get('dst') and _in_main_table(route)]


def _in_main_table(route):
    return route.get('table', 'main') == 'main' and route.get('type', 'unicast') == 'unicast'


def connected_networks(machine):
    """The networks that are on a link of the host itself, CNI links left out."""
    return [ipaddress.ip_network(route['dst'], strict=False) for route in routes(machine)
            if is_ip(route.get('dst') or '') and not route.get('gateway') and _in_main_table(route) and not is_overlay(route.get('outLinkName') or '')
            and not is_cni_link(route.get('outLinkName') or '')]


def has_route_to(machine, address):
    """Whether a route of the main table, other than a default one, leads to an address."""
    if not is_ip(address):
        return False
    ip = ipaddress.ip_address(normal(address))
    targets = (ipaddress.ip_network(route['dst'], strict=False) for route in routes(machine)
               if is_ip(route.get('dst') or '') and _in_main_table(route))
    return any(ip.version == target.version and ip in target for target in targets)


def host_addresses(machine):
    """[{address, link}]: global addresses on links of the host: those with a default route always, else all that no CNI made."""
    known = links(machine)
    routed = {route.get('outLinkName') for route in routes(machine) if not route.get('dst') and route.get('gateway')}
    found = []
    for spec in _global_addresses(machine):
        link = spec.get('linkName') or ''
        made_by_cni = is_cni_link(link) or (known.get(link) or {}).get('kind') in _CNI_KINDS
        if link in routed and not is_cni_link(link) or not made_by_cni:
            found.append({'address': spec['address'], 'link': link})
    return found


def own_addresses(machine, virtual=()):
    """Those of its addresses by which a host can be itself: neither a CNI's nor an overlay's, nor a virtual IP (a /32 or /128).

    Bridges, VRFs and dummies count unless their addresses are Kubernetes' own: a host may well stand on them. What stands on a link that
    is not known counts.
    """
    kubernetes = kubernetes_networks(machine)
    known, found = links(machine), []
    for spec in _global_addresses(machine):
        link, interface = spec.get('linkName') or '', ipaddress.ip_interface(spec['address'])
        kind = (known.get(link) or {}).get('kind')
        if link != 'lo' and is_cni_link(link) or is_overlay(link) or kind == 'wireguard':
            continue
        if interface.network.num_addresses == 1 and str(interface.ip) in virtual:
            continue
        if kind in _CNI_KINDS and any(interface.version == net.version and interface.ip in net for net in kubernetes):
            continue
        found.append({'address': spec['address'], 'link': link})
    return found


def kubernetes_networks(machine):
    """Pod and service networks, by NodeAddressFilters."""
    spec = machine.resource('NodeAddressFilters', 'no-k8s') or {}
    return {ipaddress.ip_network(str(subnet), strict=False) for subnet in spec.get('excludeSubnets') or [] if is_ip(subnet)}


def node_addresses(machine, which):
    """The prefixes of a NodeAddresses resource."""
    return (machine.resource('NodeAddresses', which) or {}).get('addresses') or []


def _global_addresses(machine):
    for item in machine.value('AddressStatuses') or []:
        spec = item.get('spec') or {}
        if spec.get('scope') == 'global' and is_ip(spec.get('address') or ''):
            yield spec
