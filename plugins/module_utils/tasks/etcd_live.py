# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd as it is now, for tasks that change it: a View of a new gather, and the way to its members."""

from __future__ import annotations

import contextlib

from ansible_collections.talosops.talos.plugins.module_utils.api.client import Client
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import RoleRefused, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access


def look(params, say, reads, logs=()):
    """A View of the cluster as it is now, by these reads. Raises TalosError where no control plane node answers."""
    view = View(access.gather(params, say, set(reads), set(logs)), settings.build(()))
    if not view.answering_control_planes:
        said = '; '.join(dict.fromkeys(one.error['text'].rstrip('.') for one in view.snapshot.endpoints if one.error)) or 'none is known'
        raise TalosError(f'No control plane node of {access.cluster_of(params)} answers: {said}.',
                         'The module talos_api_check judges how the Talos API is reached.')
    return view


@contextlib.contextmanager
def connected(params):
    """A Client of the cluster."""
    found = access.of(params)
    timeout, deadline = access.seconds(params)
    with Client(found.context, endpoints=params.get('endpoints') or None, proxy=params.get('proxy'), timeout=min(timeout, deadline),
                tmp_dir=found.tmp_dir) as client:
        yield client


def followers_first(view):
    """The machines that vote and know a leader, those that are not it first."""
    leaders = {view.etcd.statuses[key]['leader'] for key in view.etcd.with_leader}
    return sorted(view.etcd.healthy, key=lambda machine: view.etcd.local_id(machine) in leaders)


def once(params, view, machine, method, request, needs, timeout=None):
    """Send a call that changes something, once, to this machine. Returns None, or the error after which the state tells what was done.

    It is never sent again: api/client.py tries another endpoint only while no byte of it went out. Raises where the role may not.
    """
    try:
        with connected(params) as client:
            client.node(machine.address).unary(method, request, timeout)
    except RoleRefused as error:
        raise may(view, error, needs) from None
    except TalosError as error:
        return error
    return None


def may(view, error, needs):
    """The error in the words of the role, where that is what keeps it from being done."""
    if not isinstance(error, RoleRefused):
        return error
    roles = ', '.join((view.snapshot.client.get('certificate') or {}).get('roles') or []) or 'no role'
    return RoleRefused(f'{error.message.rstrip(".")}: it needs {needs}, and the client certificate has {roles}.', node=error.node, method=error.method)
