# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated Kubernetes API and the real one side by side, in the same state: what both answer to one request."""

from __future__ import annotations

import contextlib
import json
import re

import yaml

from ansible_collections.talosops.talos.plugins.module_utils.kube import config
from ansible_collections.talosops.talos.plugins.module_utils.kube.api import KubernetesApi
from tests.simulator.kubernetes_real import version
from tests.unit.remedies import simulated

SECONDS = 30


class Side:
    """One of them. C(bed) is its L(simulated.Bed)."""

    def __init__(self, bed):
        self.bed = bed
        self._users = {}

    def user(self, name='admin', groups=None, **dates):
        """The collection's own client, as this user."""
        key = name, tuple(groups or ()), *dates.items()
        if key not in self._users:
            text = self.bed.cluster.kubeconfig_of(name, groups or [], **dates) if groups is not None else self.bed.model.kubeconfig()
            self._users[key] = KubernetesApi(config.load(content=text))
        return self._users[key]

    def nobody(self):
        """One who has no certificate."""
        document = yaml.safe_load(self.bed.model.kubeconfig())
        document['users'][0]['user'] = {}
        return KubernetesApi(config.load(content=yaml.safe_dump(document)))

    def ask(self, method, path, body=None, who=None):
        """(status, document or text)."""
        api = who or self.user()
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        status, answer = api._request(method, api.source.server, path, SECONDS, 1 << 26, data)
        text = answer.decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def close(self):
        for api in self._users.values():
            api.close()


@contextlib.contextmanager
def both(plane, state=None):
    """(simulated, real)."""
    state = {**(state or {}), 'versions': {'talos': 'v1.14.3', 'kubernetes': version()}}
    with simulated.bed(state) as one, simulated.bed(state, kubernetes=plane) as other:
        sides = Side(one), Side(other)
        try:
            yield sides
        finally:
            for side in sides:
                side.close()


# What no two clusters have in common, as a pattern each.
_OWN = {
    'uid': r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', 'time': r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z', 'revision': r'(?<=in record \()\d+',
    'address': r'\b(127|10)\.\d+\.\d+\.\d+\b',
}


def plain(value):
    """An answer without what no two clusters have in common."""
    if isinstance(value, dict):
        return {key: f'<{key}>' if key in ('resourceVersion', 'continue', 'uid') else plain(item) for key, item in value.items() if key != 'managedFields'}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, str):
        for name, pattern in _OWN.items():
            value = re.sub(pattern, f'<{name}>', value)
    return value
