# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way to write to Kubernetes: by the kubeconfig that was given, else by the one that Talos issues."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import DeadlineExceeded, RoleRefused, TalosError, TransportError
from ansible_collections.talosops.talos.plugins.module_utils.kube import config
from ansible_collections.talosops.talos.plugins.module_utils.kube.api import KubernetesApi
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, kubeconfig


def with_kubeconfig(params):
    """The parameters with a kubeconfig in their access; one that Talos issues lives in memory alone. Raises TalosError."""
    found = access.of(params)
    if found.kube is not None:
        return params
    try:
        text = kubeconfig.issue(params)
    except RoleRefused as error:
        raise RoleRefused(error.message, hint='Give a kubeconfig, or use a talosconfig of the role os:admin.') from None
    return {**params, 'access': replace(found, kube=config.load(content=text, origin=config.TALOS))}


class Kube:
    """C(get(path)) and C(send(method, path, body)) of one API server, each call with the C(timeout) of the task, or less."""

    def __init__(self, api, server, seconds):
        self._api = api
        self._server = server
        self._seconds = seconds

    def get(self, path, most=None):
        return self._api.get(path, self._within(most), self._server)

    def listed(self, path):
        """All objects of a list."""
        return [item for page in self._api.pages(path, lambda: self._seconds, self._server) for item in page]

    def send(self, method, path, body, most=None):
        """The answer, or None where the connection broke, so that nobody knows what became of it."""
        try:
            return self._api.send(method, path, body, self._within(most), self._server)
        except (TransportError, DeadlineExceeded):
            return None

    def _within(self, most):
        return self._seconds if most is None else min(self._seconds, most)


@contextlib.contextmanager
def api(params, snapshot):
    """A Kube, of the server from which the snapshot was read: the endpoint may be what is broken."""
    found = access.of(params)
    if found.kube is None:
        raise TalosError('There is no kubeconfig.')
    made = KubernetesApi(found.kube, params.get('proxy'), found.tmp_dir)
    try:
        yield Kube(made, snapshot.kubernetes.get('read_from'), access.seconds(params)[0])
    finally:
        made.close()
