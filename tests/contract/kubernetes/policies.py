# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies of a cluster's owner that deny what a remedy does."""

from __future__ import annotations

import contextlib

from tests.contract.kubernetes.waiting import until

_GROUP = '/apis/admissionregistration.k8s.io/v1'


@contextlib.contextmanager
def denies(plane, group, resource, operation, message):
    """While it lasts the API admits no such operation, with this message; it takes a moment until each API server knows."""
    spec = {'failurePolicy': 'Fail', 'matchConstraints': {'resourceRules': [
        {'apiGroups': [group], 'apiVersions': ['*'], 'operations': [operation], 'resources': [resource]}]},
        'validations': [{'expression': 'false', 'message': message}]}
    made = ('validatingadmissionpolicies', {'metadata': {'name': 'denies'}, 'spec': spec}), (
        'validatingadmissionpolicybindings', {'metadata': {'name': 'denies'}, 'spec': {'policyName': 'denies', 'validationActions': ['Deny']}})
    try:
        for kind, body in made:
            plane.admin.ask('POST', f'{_GROUP}/{kind}', body)
        until(lambda: _is_known(plane, group, resource, operation))
        yield
    finally:
        for kind, _body in made:
            plane.admin.call('DELETE', f'{_GROUP}/{kind}/denies')


def _is_known(plane, group, resource, operation):
    """Whether a dry run of it is denied."""
    name, _slash, sub = resource.partition('/')
    base = f'/apis/{group}/v1/{name}' if group else f'/api/v1/{name}'
    item = plane.admin.get(base)['items'][0]
    path = f'{base}/{item["metadata"]["name"]}{f"/{sub}" if sub else ""}?dryRun=All'
    status, _said = plane.admin.call('DELETE' if operation == 'DELETE' else 'PUT', path, {'dryRun': ['All']} if operation == 'DELETE' else item)
    return status in (403, 422)
