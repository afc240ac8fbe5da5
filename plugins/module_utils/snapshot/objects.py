# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes objects of a snapshot: where each kind is listed, and what of an object is kept.

Adding a check that needs more of an object adds a field here and nothing else. C(keep(item)) gives None for an object
that nobody judges: a cluster has tens of thousands of healthy pods.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

SYSTEM = 'kube-system'
# Namespaces other than kube-system in which CNIs and Talos's companions run.
SYSTEM_NAMESPACES = (SYSTEM, 'kube-flannel', 'calico-system', 'tigera-operator', 'cilium', 'kube-ovn', 'kubelet-serving-cert-approver')
EVENTS_MOST = 500
OTHERS_MOST = 500


@dataclass(frozen=True)
class Objects:
    """A list of the Kubernetes API. C(most): how many objects are kept at most, 0 for all."""

    kind: str
    path: str
    keep: Callable
    most: int = 0


def node(item):
    meta, spec, status = _parts(item)
    info = status.get('nodeInfo') or {}
    return {
        'name': meta.get('name'), 'uid': meta.get('uid'), 'created': meta.get('creationTimestamp'), 'labels': meta.get('labels') or {},
        'annotations': {name: value for name, value in (meta.get('annotations') or {}).items() if len(str(value)) < 200},
        'addresses': status.get('addresses') or [], 'conditions': status.get('conditions') or [], 'unschedulable': bool(spec.get('unschedulable')),
        'machine_id': info.get('machineID'), 'system_uuid': info.get('systemUUID'), 'provider_id': spec.get('providerID'),
        'kubelet_version': info.get('kubeletVersion'), 'pod_cidrs': spec.get('podCIDRs') or [], 'taints': spec.get('taints') or [],
    }


def pod(item):
    """A Pod of a system namespace, or one elsewhere that is neither ready nor done."""
    meta, spec, status = _parts(item)
    owners = meta.get('ownerReferences') or []
    conditions = {c.get('type'): c.get('status') for c in status.get('conditions') or []}
    if meta.get('namespace') not in SYSTEM_NAMESPACES and (conditions.get('Ready') == 'True' or status.get('phase') == 'Succeeded'):
        return None
    return {
        'namespace': meta.get('namespace'), 'name': meta.get('name'), 'uid': meta.get('uid'), 'created': meta.get('creationTimestamp'),
        'deleted': meta.get('deletionTimestamp'), 'labels': meta.get('labels') or {},
        'owner': {'kind': owners[0].get('kind'), 'name': owners[0].get('name')} if owners else None,
        'node': spec.get('nodeName'), 'host_network': bool(spec.get('hostNetwork')), 'phase': status.get('phase'), 'reason': status.get('reason'),
        'message': status.get('message'), 'conditions': status.get('conditions') or [],
        'containers': [_container(each, False) for each in status.get('containerStatuses') or []]
        + [_container(each, True) for each in status.get('initContainerStatuses') or []],
    }


def csr(item):
    """A CertificateSigningRequest with what its request asks for; the request itself is kept for nobody."""
    meta, spec, status = _parts(item)
    return {
        'name': meta.get('name'), 'uid': meta.get('uid'), 'created': meta.get('creationTimestamp'), 'signer': spec.get('signerName'),
        'username': spec.get('username'), 'groups': spec.get('groups') or [], 'usages': spec.get('usages') or [],
        'conditions': status.get('conditions') or [], 'issued': bool(status.get('certificate')), 'asks_for': _request(spec.get('request')),
    }


def workload(item):
    """A DaemonSet or Deployment of a system namespace."""
    meta, spec, status = _parts(item)
    if meta.get('namespace') not in SYSTEM_NAMESPACES:
        return None
    return {
        'namespace': meta.get('namespace'), 'name': meta.get('name'), 'created': meta.get('creationTimestamp'), 'labels': meta.get('labels') or {},
        'selector': (spec.get('selector') or {}).get('matchLabels') or {},
        'wanted': status.get('desiredNumberScheduled', spec.get('replicas')),
        'ready': status.get('numberReady', status.get('readyReplicas')) or 0,
        'images': [container.get('image') for container in ((spec.get('template') or {}).get('spec') or {}).get('containers') or []],
    }


def event(item):
    """An event that is no news of normal life; that a Node comes and goes is told as normal."""
    about = item.get('involvedObject') or {}
    if item.get('type') == 'Normal' and not (about.get('kind') == 'Node' and item.get('reason') in ('NodeNotReady', 'NodeReady')):
        return None
    return {
        'namespace': about.get('namespace'), 'kind': about.get('kind'), 'name': about.get('name'), 'reason': item.get('reason'),
        'message': item.get('message'), 'count': item.get('count') or (item.get('series') or {}).get('count') or 1,
        'at': item.get('lastTimestamp') or (item.get('series') or {}).get('lastObservedTime') or item.get('eventTime') or item.get('firstTimestamp'),
    }


def lease(item):
    meta, spec, _status = _parts(item)
    return {'name': meta.get('name'), 'holder': spec.get('holderIdentity'), 'renewed': spec.get('renewTime')}


OBJECTS = (
    Objects('nodes', '/api/v1/nodes', node),
    Objects('pods', '/api/v1/pods', pod),
    Objects('csrs', '/apis/certificates.k8s.io/v1/certificatesigningrequests', csr),
    Objects('daemonsets', '/apis/apps/v1/daemonsets', workload),
    Objects('deployments', '/apis/apps/v1/deployments', workload),
    Objects('events', '/api/v1/events', event, EVENTS_MOST),
    Objects('leases', '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases', lease),
)


def kept(objects, pages):
    """What of the pages of a list is kept; healthy objects that nobody judges never add up."""
    found = []
    for page in pages:
        found += [made for made in map(objects.keep, page) if made is not None]
        if objects.most and len(found) > 2 * objects.most:
            found = _newest(found, objects.most)
    return _newest(found, objects.most) if objects.most else found


def _newest(events, most):
    return sorted(events, key=lambda each: str(each.get('at') or ''))[-most:]


def _parts(item):
    return item.get('metadata') or {}, item.get('spec') or {}, item.get('status') or {}


def _container(status, init):
    """C(state) is running, waiting or terminated with C(reason), C(message), C(exit_code); C(last) the end before, or None."""
    state, said = next(iter((status.get('state') or {}).items()), (None, {}))
    last = (status.get('lastState') or {}).get('terminated')
    return {
        'name': status.get('name'), 'init': init, 'ready': bool(status.get('ready')), 'restarts': status.get('restartCount') or 0,
        'image': status.get('image'), 'state': state, 'reason': said.get('reason'), 'message': (said.get('message') or '')[:500] or None,
        'exit_code': said.get('exitCode'), 'since': said.get('startedAt') or said.get('finishedAt'),
        'last': last and {'reason': last.get('reason'), 'exit_code': last.get('exitCode'), 'at': last.get('finishedAt'),
                          'message': (last.get('message') or '')[:500] or None},
    }


def _request(encoded):
    """C({common_name, organization, dns, ips, other}) of a request in PEM, base64; None where it cannot be read."""
    try:
        from cryptography import x509
        from cryptography.x509.oid import NameOID
    except ImportError:
        return None
    try:
        request = x509.load_pem_x509_csr(base64.b64decode(encoded or ''))
        names = {oid: [attribute.value for attribute in request.subject.get_attributes_for_oid(oid)]
                 for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)}
    except (ValueError, TypeError):
        return None
    found = {'common_name': next(iter(names[NameOID.COMMON_NAME]), None), 'organization': names[NameOID.ORGANIZATION_NAME], 'dns': [], 'ips': [], 'other': []}
    try:
        alternative = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return found
    found['dns'] = alternative.get_values_for_type(x509.DNSName)
    found['ips'] = [str(address) for address in alternative.get_values_for_type(x509.IPAddress)]
    found['other'] = [str(name.value) for name in alternative if not isinstance(name, (x509.DNSName, x509.IPAddress))]
    return found
