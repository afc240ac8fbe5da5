# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificate signing requests of the simulated Kubernetes API: real requests, really issued once they are approved."""

from __future__ import annotations

import base64
import ipaddress
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.simulator import kubernetes_nodes as nodes
from tests.simulator.kubernetes_objects import metadata, suffix, time
from tests.simulator.values import duration

SERVING = 'kubernetes.io/kubelet-serving'
CLIENT = 'kubernetes.io/kube-apiserver-client-kubelet'
_KEPT = timedelta(hours=1)
_NODE_USER = 'system:node:'
_USAGES = {'server auth': ExtendedKeyUsageOID.SERVER_AUTH, 'client auth': ExtendedKeyUsageOID.CLIENT_AUTH}
_APPROVED = ('AutoApproved', 'Auto approving kubelet client certificate after SubjectAccessReview.')


def csrs(model):
    return [item for _told, item in told_csrs(model)]


def told_csrs(model):
    """[(what is said of it, the object)] of each request."""
    told = model.state['k8s'].get('csrs')
    return [(one, _csr(model, one)) for one in (_from_bootstrap(model) if told is None else told)]


def _from_bootstrap(model):
    """The requests with which the Nodes joined; Kubernetes clears such away after an hour."""
    for name in model.kubernetes_nodes:
        born = nodes.created(model, name)
        if model.node_named(name) and model.clock.now() - born < _KEPT:
            yield {'name': f'csr-{suffix(f"{model.seed}/csr/{name}")}', 'signer': CLIENT, 'username': f'system:bootstrap:{suffix(model.seed, 6)}',
                   'usages': ['digital signature', 'client auth'], 'born': born, 'state': 'Approved', 'subject': f'{_NODE_USER}{name}'}


def _csr(model, told):
    username = told.get('username') or 'system:unknown'
    born = told.get('born') or model.clock.wall - duration(told.get('age') or '1m')
    serving = told.get('signer', SERVING) == SERVING
    usages = told.get('usages') or ['digital signature', 'server auth' if serving else 'client auth']
    item = {
        'metadata': metadata(model, told['name'], born, generate_name='csr-' if told['name'].startswith('csr-') else None,
                             seed=f'csr/{told["name"]}'),
        'spec': {'request': _base64(_request(model, told)), 'signerName': told.get('signer', SERVING), 'usages': usages, 'username': username,
                 'groups': _groups(username)},
        'status': {},
    }
    state, at = str(told.get('state') or 'Pending'), born + timedelta(seconds=1)
    for kind in ('Approved', 'Denied', 'Failed'):
        if kind in state or kind == 'Approved' and state == 'Issued':
            reason, message = _APPROVED if kind == 'Approved' and not serving else (kind, '')
            item['status'].setdefault('conditions', []).append(condition(kind, reason, message, at))
    if {'Approved', 'Issued'} & set(state.split(',')):
        item['status']['certificate'] = _base64(_issue(model, item, at))
    return item


def _groups(username):
    if username.startswith(_NODE_USER):
        return ['system:nodes', 'system:authenticated']
    if username.startswith('system:bootstrap:'):
        return ['system:bootstrappers', 'system:bootstrappers:nodes', 'system:authenticated']
    return ['system:authenticated']


def _request(model, told):
    """The PEM of the request, made once: its key belongs to nobody."""
    if told['name'] not in model.kubernetes.requests:
        model.kubernetes.requests[told['name']] = request(model, told, ec.generate_private_key(ec.SECP256R1()))
    return model.kubernetes.requests[told['name']]


def request(model, told, key):
    """The PEM of a request with this key for what the scenario tells."""
    common_name = told.get('subject') or _asked_for(model, told) or told.get('username') or 'system:unknown'
    organization = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'system:nodes')] if common_name.startswith(_NODE_USER) else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([*organization, x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=False)]))
    names = [x509.DNSName(name) for name in told.get('dns') or ()]
    names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in told.get('ips') or ()]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _asked_for(model, told):
    """What a kubelet that has nothing but the bootstrap token asks for: to be the Node that its machine is to become.

    Where a request names none, it is that of the machine without a Node that booted last; of one that was granted, which has its Node
    by now, that of the machine that booted last.
    """
    if not str(told.get('username')).startswith('system:bootstrap:'):
        return None
    if told.get('dns'):
        return f'{_NODE_USER}{told["dns"][0]}'
    waiting = [node for node in model.nodes.values() if node.nodename not in model.kubernetes_nodes]
    if not waiting and told.get('state') not in (None, 'Pending'):
        waiting = list(model.nodes.values())
    newest = max(waiting, key=lambda node: node.boot, default=None)
    return f'{_NODE_USER}{newest.nodename}' if newest is not None else None


def condition(kind, reason, message, at):
    said = {'message': message} if message else {}
    return {'type': kind, 'status': 'True', 'reason': reason, **said, 'lastUpdateTime': time(at), 'lastTransitionTime': time(at)}


def settle(model, item):
    """What kube-controller-manager does with a request once it is approved: it signs it, or says why it does not."""
    status = item['status']
    kinds = [one.get('type') for one in status.get('conditions') or ()]
    if 'Approved' not in kinds or {'Denied', 'Failed'} & set(kinds) or status.get('certificate'):
        return
    if item['spec']['signerName'] not in (SERVING, CLIENT):
        return
    reason = _why_not(item)
    if reason:
        status['conditions'].append(condition('Failed', 'SignerValidationFailure', reason, model.clock.now()))
        return
    status['certificate'] = _base64(_issue(model, item, model.clock.now()))


def _why_not(item):
    request = _parsed(item)
    subject = request.subject
    if not any(one.value.startswith(_NODE_USER) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)):
        return 'subject common name does not begin with system:node: '
    if [one.value for one in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] != ['system:nodes']:
        return 'subject organization is not system:nodes'
    if item['spec']['signerName'] == SERVING and not _names(request):
        return 'DNS or IP subjectAltName is required'
    wanted = 'server auth' if item['spec']['signerName'] == SERVING else 'client auth'
    if wanted not in item['spec']['usages'] or set(item['spec']['usages']) - {'digital signature', 'key encipherment', wanted}:
        return f'usages did not match [{" ".join(sorted((wanted, "digital signature", "key encipherment")))}]'
    return None


def _parsed(item):
    return x509.load_pem_x509_csr(base64.b64decode(item['spec']['request']))


def _names(request):
    try:
        return request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _issue(model, item, at):
    request = _parsed(item)
    authority = model.kubernetes_authority
    usages = [_USAGES[usage] for usage in item['spec']['usages'] if usage in _USAGES]
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(at - timedelta(minutes=5))
        .not_valid_after(at + timedelta(days=365))
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    )
    names = _names(request)
    if names:
        builder = builder.add_extension(names, critical=False)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _base64(data):
    return base64.b64encode(data).decode()
