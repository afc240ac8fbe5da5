# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what on the simulated Kubernetes API: RBAC by the groups of a client certificate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.simulator.kubernetes_objects import Refusal
from tests.simulator.kubernetes_store import about

MASTERS = 'system:masters'
# A group as an administrator might have bound it: it reads what a diagnosis reads, and writes nothing.
READERS = 'readers'
_READS = ('get', 'list', 'watch')
_NOT_FOR_READERS = ('secrets',)


@dataclass(frozen=True)
class User:
    """Who a client certificate is for: its common name and its organizations."""

    name: str
    groups: tuple


def user(der):
    """The user of a client certificate. Raises Refusal without one, and for one that is not valid now:
    Talos lets nobody in who is not known."""
    if der is None:
        raise _unauthorized()
    certificate = x509.load_der_x509_certificate(der)
    if not certificate.not_valid_before_utc <= datetime.now(timezone.utc) <= certificate.not_valid_after_utc:
        raise _unauthorized()
    names = {oid: [one.value for one in certificate.subject.get_attributes_for_oid(oid)] for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME)}
    return User((names[NameOID.COMMON_NAME] or [''])[0], tuple(names[NameOID.ORGANIZATION_NAME]))


def _unauthorized():
    return Refusal(401, 'Unauthorized', 'Unauthorized')


def may(who, verb, resource_name):
    return MASTERS in who.groups or READERS in who.groups and verb in _READS and resource_name not in _NOT_FOR_READERS


def review(who, asked):
    """The SelfSubjectAccessReview that answers C(asked), as kubectl auth can-i sends it."""
    spec = asked.get('spec') or {}
    attributes = spec.get('resourceAttributes') or {}
    shown = {**spec, **({'resourceAttributes': {key: value for key, value in attributes.items() if value}} if attributes else {})}
    return {'kind': 'SelfSubjectAccessReview', 'apiVersion': 'authorization.k8s.io/v1', 'metadata': {}, 'spec': shown,
            'status': {'allowed': may(who, attributes.get('verb'), attributes.get('resource'))}}


def check(who, verb, resource, name=None, namespace=None, subresource=None):
    """Whether C(who) may do this with a resource. Raises Refusal 403 with the words of Kubernetes."""
    if may(who, verb, resource.name):
        return
    full = f'{resource.full_name} "{name}"' if name else resource.full_name
    where = f'in the namespace "{namespace}"' if namespace else 'at the cluster scope'
    plural = f'{resource.name}/{subresource}' if subresource else resource.name
    text = f'{full} is forbidden: User "{who.name}" cannot {verb} resource "{plural}" in API group "{resource.group}" {where}'
    raise Refusal(403, 'Forbidden', text, about(resource, name))


def check_path(who, path):
    """The same for a path that is no resource: everybody who is known may read health and versions, and what there is."""
    if MASTERS in who.groups or not path.startswith('/metrics'):
        return
    raise Refusal(403, 'Forbidden', f'forbidden: User "{who.name}" cannot get path "{path}"', {})
