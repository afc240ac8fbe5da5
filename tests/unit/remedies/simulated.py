# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks that change something, in the process of a simulated cluster; what was sent stands in its call log."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
from unittest import mock

from ansible_collections.talosops.talos.plugins.module_utils.api import connection as channels
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TransportError
from ansible_collections.talosops.talos.plugins.module_utils.kube.api import KubernetesApi
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access
from ansible_collections.talosops.talos.plugins.module_utils.tasks.arguments import SPECS
from tests.simulator import Cluster, apid
from tests.tools.direct import calls

TASKS = 'ansible_collections.talosops.talos.plugins.module_utils.tasks.'
CHANGING = ('ServiceStart', 'ServiceStop', 'ServiceRestart', 'Reboot', 'Restart', 'Shutdown', 'Reset', 'Bootstrap', 'Upgrade',
            'EtcdAlarmDisarm', 'EtcdDefragment', 'EtcdRemoveMemberByID', 'EtcdLeaveCluster', 'EtcdForfeitLeadership', 'EtcdRecover', 'Rollback')


def task(talosconfig, proxy, module, check, options):
    """What the task of a module returns."""
    spec = SPECS[module]['argument_spec']
    assert set(options) <= set(spec), set(options) - set(spec)
    params = {**{name: argument.get('default') for name, argument in spec.items()}, 'proxy': proxy, **options}
    params['access'] = access.find({'talosconfig': talosconfig, 'kubeconfig': options.get('kubeconfig')})
    return json.loads(json.dumps(importlib.import_module(TASKS + module.removeprefix('talos_')).run(params, check, None)))


class Bed:
    """A cluster, with C(run(module, **options)) as a task of it; C(check=True) for check mode."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.model = cluster.model

    def run(self, module, check=False, **options):
        return task(str(self.cluster.directory / 'talosconfig'), self.cluster.proxy, module, check, options)

    def address(self, name):
        return self.cluster.address(name)

    def changes(self):
        """What was sent that changes anything, in its order: methods of Talos with their machine, and requests to Kubernetes.

        Configurations come first, with the mode in which they were to be applied; a dry run is none.
        """
        applied = [f'ApplyConfiguration {node.name} {mode}' for node in self.model.machines.values() for mode in node.config.asked]
        talos = [f'{path.rpartition("/")[2]} {node.name}' for node in self.model.machines.values() for _at, path, _code in node.calls
                 if path.rpartition('/')[2] in CHANGING]
        return [*applied, *talos, *self.model.kubernetes.writes]


@contextlib.contextmanager
def bed(state=None, **options):
    """A L(Bed) of a simulated cluster, in which an address that nobody has is found out sooner than by a real machine."""
    with mock.patch.object(apid, 'NO_ROUTE_AFTER', 0.05), Cluster.from_state(state or {}, name='prod', **options) as cluster, calls(cluster):
        yield Bed(cluster)


# How long tasks wait before they look again, in seconds, and how often: simulated machines are done sooner than real ones.
SOON = {('config_change', 'PAUSE'): 0.1, ('config_change', 'LOOKS'): 1, ('config_change', 'SETTLE'): 3.0,
        ('etcd_alarm', '_PAUSE'): 0.1, ('etcd_defragment', '_PAUSE'): 0.1, ('etcd_member', '_PAUSE'): 0.1, ('service', '_POLL'): 0.1}


@contextlib.contextmanager
def impatient():
    """Tasks look again soon."""
    with contextlib.ExitStack() as patches:
        for (name, what), value in SOON.items():
            patches.enter_context(mock.patch.object(importlib.import_module(TASKS + name), what, value))
        yield


UNSENT, UNANSWERED = 'unsent', 'unanswered'
# How a file is put into its place; a call like the others for whom it concerns.
REPLACE = 'os.replace'


@contextlib.contextmanager
def cut(number=None, how=UNSENT, counted=None, until=None):
    """The connection breaks at the C(number)th call meanwhile, from 1, and at those up to C(until); yields the names of the calls, which grow.

    Calls are the RPCs of Talos ("EtcdStatus") and the requests to Kubernetes ("PUT /apis/…"), those that C(counted(name)) if it is given.
    UNSENT: the server does not see it, though bytes of it were written. UNANSWERED: it was done, and its answer is lost.
    """
    names, numbers = [], itertools.count(1)

    def around(name, made):
        if counted and not counted(name) or name == REPLACE:
            return made()
        names.append(name)
        breaks = number is not None and number <= next(numbers) <= (until or number)
        if breaks and how == UNSENT:
            raise _broken()
        answer = made()
        if breaks:
            raise _broken()
        return answer

    with intercepted(around):
        yield names


def _broken():
    return TransportError('The connection broke.', 'reset', written=True)


@contextlib.contextmanager
def intercepted(around):
    """Every call is made by C(around(name, made)), which returns what C(made()) does, or raises."""
    before, request, replace = channels.Connection, KubernetesApi._request, os.replace

    class Intercepted(before):
        """A connection whose calls can be seen."""

        def unary(self, *call):
            return next(iter(self.stream(*call)))

        def stream(self, method, *rest):
            yield from around(method.rpartition('/')[2], lambda: list(before.stream(self, method, *rest)))

    def _request(self, method, server, path, *rest):
        return around(f'{method} {path}', lambda: request(self, method, server, path, *rest))

    with mock.patch.object(channels, 'Connection', Intercepted), mock.patch.object(KubernetesApi, '_request', _request), \
            mock.patch.object(os, 'replace', lambda *paths: around(REPLACE, lambda: replace(*paths))):
        yield
