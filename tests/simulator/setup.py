# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a cluster is set up that is not set up as the defaults are (state.setup, docs/scenarios.md).

What follows from it is served where the rest of that answer is; here are the parts that several answers share.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from datetime import timedelta

from tests.simulator import values
from tests.simulator.resource import Resource

DISCOVERY = 'https://discovery.talos.dev:443'
SIDEROLINK_NETWORK = 'fdae:41e4:649b:9303::'
OMNI = 'omni.example.com:8090'
_KUBESPAN = 0x02
_NOTHING = timedelta()


def ahead(told):
    """By how much the cluster's clocks are ahead of the control node's, whose clock is C(told), such as -1h."""
    if not told:
        return _NOTHING
    text = str(told).strip()
    offset = values.duration(text.lstrip('+-'))
    return offset if text.startswith('-') else -offset


def node_name(hostname):
    """The name of a Node as Talos makes it of a host name (edge-cases 69)."""
    text = ''.join('-' if letter == '_' else letter.lower() for letter in hostname if letter.isascii() and (letter.isalnum() or letter in '-_.'))
    return text.strip('-.')


def kubespan_address(node):
    """The address of a machine in KubeSpan: a prefix of the cluster whose last byte says what it is for, and one of the machine's own."""
    cluster = hashlib.sha256(node.model.cluster_id.encode()).digest()[:6]
    own = hashlib.sha256(f'kubespan/{node.identity}'.encode()).digest()[:8]
    return f'{ipaddress.IPv6Address(bytes([0xfd]) + cluster + bytes([_KUBESPAN]) + own)}/64'


def siderolink_address(node):
    own = hashlib.sha256(f'siderolink/{node.identity}'.encode()).digest()[:8]
    return f'{ipaddress.IPv6Address(ipaddress.IPv6Address(SIDEROLINK_NETWORK).packed[:8] + own)}/64'


def tunnels(node):
    """(link, prefix) of the WireGuard links that Talos makes itself; those of SideroLink are in no NodeAddresses."""
    found = []
    if node.model.setup.get('kubespan'):
        found.append(('kubespan', kubespan_address(node)))
    if node.model.setup.get('managed_by') == 'omni':
        found.append(('siderolink', siderolink_address(node)))
    return found


def machine_part(node):
    """What of the machine part of a generated configuration is another: to be merged into it."""
    setup, part = node.model.setup, {}
    if setup.get('cert_sans'):
        part['certSANs'] = list(setup['cert_sans'])
    if setup.get('time_servers'):
        part['time'] = {'servers': list(setup['time_servers'])}
    if setup.get('mirrors'):
        part['registries'] = {'mirrors': {host: {'endpoints': list(endpoints)} for host, endpoints in setup['mirrors'].items()}}
    features = {}
    if setup.get('kubeprism') is False:
        features['kubePrism'] = {'enabled': False}
    if setup.get('image_cache'):
        features['imageCache'] = {'localEnabled': True}
    if features:
        part['features'] = features
    if setup.get('kubespan'):
        part['network'] = {'kubespan': {'enabled': True}}
    if setup.get('register_with_fqdn'):
        part['kubelet'] = {'registerWithFQDN': True}
    if setup.get('encrypted'):
        part['systemDiskEncryption'] = {name: {'provider': 'luks2', 'keys': [{'slot': 0, 'tpm': {}}]} for name in ('state', 'ephemeral')}
    return part


def cluster_part(node):
    """The same of the cluster part."""
    setup, part = node.model.setup, {}
    discovery = setup.get('discovery') or {}
    if discovery.get('enabled') is False:
        part['discovery'] = {'enabled': False}
    elif discovery.get('endpoint'):
        part['discovery'] = {'registries': {'service': {'endpoint': discovery['endpoint']}}}
    if not node.control_plane:
        return part
    if setup.get('allow_scheduling_on_control_planes'):
        part['allowSchedulingOnControlPlanes'] = True
    if setup.get('kube_proxy') is False:
        part['proxy'] = {'disabled': True}
    if setup.get('cloud_provider'):
        part['externalCloudProvider'] = {'enabled': True}
    if setup.get('api_server_cert_sans'):
        part['apiServer'] = {'certSANs': list(setup['api_server_cert_sans'])}
    return part


def documents(node):
    """Further documents of the configuration."""
    if node.model.setup.get('managed_by') != 'omni':
        return []
    service = f'[{SIDEROLINK_NETWORK}1]'
    return [{'apiVersion': 'v1alpha1', 'kind': 'SideroLinkConfig', 'apiUrl': f'https://{OMNI}?jointoken={node.model.seed}-join-token'},
            {'apiVersion': 'v1alpha1', 'kind': 'EventSinkConfig', 'endpoint': f'{service}:8090'},
            {'apiVersion': 'v1alpha1', 'kind': 'KmsgLogConfig', 'name': 'omni-kmsg', 'url': f'tcp://{service}:8092'}]


def merged(base, part):
    """C(base) with what C(part) says over it, mapping by mapping."""
    if not (isinstance(base, dict) and isinstance(part, dict)):
        return part
    return {**base, **{key: merged(base.get(key), value) for key, value in part.items()}}


def discovery_endpoint(node):
    """(host:port of the discovery service, whether discovery is on)."""
    told = node.model.setup.get('discovery') or {}
    return (told.get('endpoint') or DISCOVERY).removeprefix('https://').rstrip('/'), told.get('enabled') is not False


def fingerprint(node, what):
    digest = hashlib.sha256(f'{what}/{node.model.seed}'.encode()).hexdigest()
    return ':'.join(digest[number:number + 2] for number in range(0, 64, 2))


def peers(node):
    """KubeSpanPeerStatuses: the other machines, by their public keys."""
    if not node.model.setup.get('kubespan'):
        return []
    since = node.model.clock.wall - timedelta(seconds=80)
    found = []
    for other in node.model.nodes.values():
        if other is not node:
            endpoint = f'[{other.address}]:51820' if ':' in other.address else f'{other.address}:51820'
            found.append(Resource(public_key(other), 'kubespan.ManagerController', {
                'endpoint': endpoint, 'label': other.hostname, 'state': 'up', 'receiveBytes': 81920, 'transmitBytes': 73728,
                'lastHandshakeTime': f'{since:%Y-%m-%dT%H:%M:%SZ}', 'lastUsedEndpoint': endpoint, 'lastEndpointChange': f'{node.boot:%Y-%m-%dT%H:%M:%SZ}'},
                version=40))
    return found


def public_key(node):
    return base64.b64encode(hashlib.sha256(f'wireguard/{node.identity}'.encode()).digest()).decode()


def siderolink(node):
    """SiderolinkStatuses: the manager that the machine is connected to."""
    if node.model.setup.get('managed_by') != 'omni':
        return []
    spec = {'host': OMNI, 'connected': True, 'linkName': 'siderolink', 'grpcTunnel': False}
    return [Resource('siderolink-status', 'siderolink.StatusController', spec, version=2)]


def node_annotations(node):
    """What a controller that owns the machine writes to its Node."""
    if node.model.setup.get('managed_by') != 'cluster-api':
        return {}
    name = node.model.name
    kind, owner = ('TalosControlPlane', f'{name}-control-plane') if node.control_plane else ('MachineSet', f'{name}-workers-x7k2p')
    return {'cluster.x-k8s.io/cluster-name': name, 'cluster.x-k8s.io/cluster-namespace': 'default', 'cluster.x-k8s.io/labels-from-machine': '',
            'cluster.x-k8s.io/machine': f'{owner}-{node.identity[:5].lower()}', 'cluster.x-k8s.io/owner-kind': kind, 'cluster.x-k8s.io/owner-name': owner}


def provider_id(node):
    """spec.providerID of its Node, which a cloud controller manager sets; None without one."""
    cloud = node.model.setup.get('cloud_provider')
    return f'{cloud["name"]}://{1000 + node.number}' if cloud else None


def external_address(node):
    """The address that the platform maps to the machine, None without one."""
    cloud = node.model.setup.get('cloud_provider') or {}
    return (cloud.get('external_addresses') or {}).get(node.name)
