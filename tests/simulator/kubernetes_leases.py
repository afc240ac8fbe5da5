# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Kubernetes API asks of a Lease that is written (its validation, and the strategy of pkg/registry/coordination/lease)."""

from __future__ import annotations

import re

from tests.simulator.kubernetes_objects import Refusal
from tests.simulator.kubernetes_store import about, invalid

_MICRO = '2006-01-02T15:04:05.000000Z07:00'
_SECONDS = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d')
_MICRO_TIME = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)')


def made_by_update(model, target, body):
    """Whether an update makes the Lease: it does where there is none, unless it is about one of a uid. Raises Refusal."""
    if target.resource.kind != 'Lease' or any(item['metadata']['name'] == target.name for item in model.kubernetes.objects(
            target.resource, target.namespace)):
        return False
    uid = (body.get('metadata') or {}).get('uid')
    if uid:
        text = (f'Operation cannot be fulfilled on {target.resource.full_name} "{target.name}": Precondition failed: UID in precondition: {uid}, '
                'UID in object meta: ')
        raise Refusal(409, 'Conflict', text, about(target.resource, target.name))
    return True


def check(target, name, item, version=''):
    """C(version) is the resourceVersion that an update was sent with. Raises Refusal, 400 before 422 as the API server does."""
    if target.resource.kind != 'Lease':
        return
    spec = item.get('spec') or {}
    for field in ('acquireTime', 'renewTime'):
        if spec.get(field) is not None and not _MICRO_TIME.fullmatch(str(spec[field])):
            raise Refusal(400, 'BadRequest', f'Lease in version "v1" cannot be handled as a Lease: parsing time "{spec[field]}" as "{_MICRO}": '
                          f'{_where(str(spec[field]))}')
    if version is None:
        raise invalid(target.resource, name, 'metadata.resourceVersion', 'Invalid value: 0: must be specified for an update')
    if spec.get('leaseDurationSeconds') is not None and spec['leaseDurationSeconds'] <= 0:
        raise invalid(target.resource, name, 'spec.leaseDurationSeconds', f'Invalid value: {spec["leaseDurationSeconds"]}: must be greater than 0')


def _where(text):
    """What Go says to a time that it cannot parse: where it stopped, and what it wanted there."""
    seconds = _SECONDS.match(text)
    return f'cannot parse "{text[seconds.end():]}" as ".000000"' if seconds else f'cannot parse "{text}" as "2006"'
