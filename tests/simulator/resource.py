# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One COSI resource and its bytes (talos-api 6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from tests.simulator import go_yaml
from tests.simulator.schema import MESSAGES, SPECS


@dataclass(frozen=True)
class Resource:
    """C(spec) is what YAML shows, in its order; C(proto) what only the protobuf form has (or has otherwise).

    C(yaml) is the YAML form where it is not that of C(spec), C(since) when it appeared and C(updated_at) when it changed
    last, where that is known.
    """

    id: str
    owner: str
    spec: object
    version: int = 1
    updated_after: timedelta = timedelta(seconds=1)
    proto: dict = field(default_factory=dict)
    annotations: dict = field(default_factory=dict)
    labels: dict = field(default_factory=dict)
    updated_at: object = None
    since: object = None
    yaml: str | None = None


def message(resource, resource_type, namespace, node):
    """The cosi.Resource mapping of a resource of a node, ready to encode."""
    created = resource.since or node.boot + timedelta(milliseconds=402)
    updated = resource.updated_at or (min(created + resource.updated_after, node.model.clock.now()) if resource.version > 1 else created)
    return {
        'metadata': {
            'namespace': namespace, 'type': resource_type, 'id': resource.id, 'version': str(resource.version), 'owner': resource.owner,
            'phase': 'running', 'created': timestamp(created), 'updated': timestamp(updated), 'labels': resource.labels, 'annotations': resource.annotations,
        },
        'spec': {'proto_spec': _proto(resource, resource_type, node), 'yaml_spec': go_yaml.dump(resource.spec) if resource.yaml is None else resource.yaml},
    }


def encoded(resource, resource_type, namespace, node):
    return MESSAGES.encode('cosi.Resource', message(resource, resource_type, namespace, node))


# From 1.13 on the values of extraArgs are lists.
_ARGUMENTS = ('EtcdSpecs', 'EtcdConfigs', 'KubeletConfigs', 'APIServerConfigs', 'ControllerManagerConfigs', 'SchedulerConfigs')


def spec_name(resource_type, minor):
    """The schema of a type's proto_spec on 1.C(minor)."""
    short = resource_type.split('.')[0]
    return f'{short}-1.12' if short in _ARGUMENTS and minor < 13 else short


def _proto(resource, resource_type, node):
    if resource.yaml is not None:
        return SPECS.encode(spec_name(resource_type, node.minor), resource.proto)
    spec = resource.spec if isinstance(resource.spec, dict) else {'value': resource.spec}
    return SPECS.encode(spec_name(resource_type, node.minor), {**spec, **resource.proto})


def timestamp(when):
    """A datetime as a protobuf Timestamp mapping; None is Go's zero time."""
    if when is None:
        return {'seconds': -62135596800, 'nanos': 0}
    return {'seconds': int(when.timestamp()), 'nanos': when.microsecond * 1000}
