# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kubectl sends as protobuf: approvals and questions about permissions, which its typed clients never write as JSON."""

from __future__ import annotations

from tests.simulator.protobuf import Schema

TYPE = 'application/vnd.kubernetes.protobuf'
_MAGIC = b'k8s\0'

_SCHEMA = Schema(
    """
    TypeMeta = apiVersion:string=1 kind:string=2
    Unknown = typeMeta:TypeMeta=1 raw:bytes=2
    ObjectMeta = name:string=1 uid:string=5 resourceVersion:string=6
    Condition = type:string=1 reason:string=2 message:string=3 status:string=6
    Status = conditions:[]Condition=1
    CertificateSigningRequest = metadata:ObjectMeta=1 status:Status=3
    ResourceAttributes = namespace:string=1 verb:string=2 group:string=3 version:string=4 resource:string=5 subresource:string=6 name:string=7
    ReviewSpec = resourceAttributes:ResourceAttributes=1
    SelfSubjectAccessReview = spec:ReviewSpec=2
    """,
    {},
)
_KINDS = ('CertificateSigningRequest', 'SelfSubjectAccessReview')


def loads(data):
    """The object in a body, as far as its parts matter here; None for a kind that is not read."""
    if not data.startswith(_MAGIC):
        return None
    envelope = _SCHEMA.decode('Unknown', data[len(_MAGIC):])
    kind = envelope.get('typeMeta', {}).get('kind')
    if kind not in _KINDS:
        return None
    found = _SCHEMA.decode(kind, envelope.get('raw', b''))
    return _known(found)


def _known(value):
    """Without the fields that the schema does not name."""
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items() if not key.startswith('#')}
    return [_known(item) for item in value] if isinstance(value, list) else value
