# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Kubernetes API says, read beside the second wave in threads of its own: it may be down without harm to the rest."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError as NotDone, as_completed, wait

from ansible_collections.talosops.talos.plugins.module_utils.api import certificate
from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint as endpoints
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import (
    NOT_ASKED, READ, REFUSED, TIMED_OUT, UNREACHABLE, NodeUnreachable, NotAsked, RoleRefused, TalosError,
)
from ansible_collections.talosops.talos.plugins.module_utils.kube import api as kube_api
from ansible_collections.talosops.talos.plugins.module_utils.kube import config as kube_config
from ansible_collections.talosops.talos.plugins.module_utils.kube import probe
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import machines as union
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.ask import now
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import CONTROL_PLANE, Datum
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.objects import OBJECTS, kept

ENDPOINT = 'endpoint'
KUBEPRISM = 'kubeprism'
KINDS = frozenset(('version', 'readyz', ENDPOINT, *(objects.kind for objects in OBJECTS)))
# What stands in the data of each control plane node of its API server.
KNOCKED = ('apiserver_certificate', 'apiserver_probe')
NEEDS = 'needs os:admin or a kubeconfig'
FOREIGN = 'the kubeconfig belongs to another cluster: none of its Nodes has the machine id or an address of a machine of this one'
_CALLS = 16
# After so long without an answer the API is read from a control plane node's own server.
PATIENCE_SECONDS = 2.0
# So long it is waited for one of those: on a busy control node each takes its time.
SERVERS_SECONDS = 6.0


class Kubernetes:
    """Reads once, in a thread. C(source) is a Source (kube/config.py), or None for the kubeconfig that Talos issues.

    C(kinds): the lists that are wanted, None for all; version, readyz and nodes are always read. C(proxy_url) leads to
    servers that are only knocked at, without a kubeconfig.
    """

    def __init__(self, client, roles, source, proxy, budget, redactor, tmp_dir=None, kinds=None, proxy_url=None):
        self._client = client
        self._source = source
        self._may_mint = 'os:admin' in roles
        self._proxy = proxy
        self._budget = budget
        self._redactor = redactor
        self._tmp_dir = tmp_dir
        self._kinds = kinds
        self._proxy_url = proxy_url
        self._ended = Future()
        self._knocked = Future()
        self._error = None
        self._read_from = None
        self._data = {}
        self._servers = []

    def start(self, machines, minters, ports=None):
        """Begin to read: the API behind the kubeconfig, and each control plane node's own API server.

        C(minters) are the control plane nodes that may be asked for a kubeconfig, as (address, endpoint to go through);
        C(ports) {key of a machine: port of its API server} where that is known.
        """
        servers = [(machine, _server(machine, (ports or {}).get(machine.key))) for machine in machines if machine.type == CONTROL_PLANE and machine.address]
        threading.Thread(target=self._run, args=(servers, minters), name='talos-kubernetes', daemon=True).start()
        threading.Thread(target=self._knock, args=(servers,), name='talos-knock', daemon=True).start()

    def result(self, machines):
        """C({source, server, client, read_from, error, data: {kind: Datum}, servers: [(machine, Datum)]}); waits at most to the end of the budget.

        What each API server said to one who knocked is noted in the data of its machine.
        """
        try:
            for machine, data in self._knocked.result(self._budget.left() + 1):
                machine.data.update(data)
            self._ended.result(self._budget.left() + 1)
        except NotDone:
            return self._nothing(Datum(NOT_ASKED, at=now(), reason='the Kubernetes API had not answered when the time for the whole gather had passed'))
        if self._source is None and self._wants(ENDPOINT):
            self._data[ENDPOINT] = self._probe(_told_by(machines), probe.Manner(proxy=self._proxy, proxy_url=self._proxy_url))
        nodes = self._data['nodes']
        if nodes.ok and nodes.value and self._source.origin != kube_config.TALOS and not union.shares_a_machine(machines, nodes.value):
            return self._nothing(Datum(REFUSED, at=nodes.at, reason=FOREIGN))
        return self._found(self._error, self._data, self._servers)

    def _run(self, servers, minters):
        try:
            self._read(servers, minters)
        except TalosError as error:
            self._error = self._redactor.text(error.message)
            self._data = {kind: Datum(error.state, at=now(), reason=self._error) for kind in sorted(KINDS)}
            self._ended.set_result(None)
        except BaseException as error:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    def _read(self, servers, minters):
        if self._source is None:
            self._source = self._mint(minters)
        api = kube_api.KubernetesApi(self._source, self._proxy, self._tmp_dir)
        with ThreadPoolExecutor(_CALLS, 'talos-kubernetes-call') as calls:
            if self._wants(ENDPOINT):
                probed = calls.submit(self._probe, self._source.server, api.manner())
            endpoint = calls.submit(self._ask, lambda: api.readyz(self._budget.seconds()))
            own = [(machine, server, calls.submit(self._ask, lambda server=server: api.readyz(self._budget.seconds(), server)))
                   for machine, server in servers]
            self._read_from = self._choose(endpoint, own)
            asked = {
                'version': calls.submit(self._ask, lambda: api.version(self._budget.seconds(), self._read_from)),
                **{wanted.kind: calls.submit(self._ask, lambda wanted=wanted: kept(wanted, api.pages(wanted.path, self._budget.seconds, self._read_from)))
                   for wanted in OBJECTS if self._wants(wanted.kind) or wanted.kind == 'nodes'},
            }
            if self._wants(ENDPOINT):
                asked[ENDPOINT] = probed
            self._data = {'readyz': endpoint.result(), **{kind: future.result() for kind, future in asked.items()}}
            self._servers = [(machine, future.result()) for machine, _server, future in own]
        api.close()

    def _wants(self, kind):
        return self._kinds is None or kind in self._kinds

    def _probe(self, url, manner):
        """The Datum of the cluster endpoint, by new connections to it (kube/probe.py)."""
        if url is None:
            return Datum(NOT_ASKED, at=now(), reason='nothing that was read names the cluster endpoint')
        return self._ask(lambda: {'source': self._source.origin if self._source else KUBEPRISM,
                                  **probe.ask(probe.parse(url), manner, self._budget.seconds(), probe.PROBES)})

    def _knock(self, servers):
        """Each control plane node's own API server, to which nothing is shown: its certificate, and whether it serves."""
        try:
            manner = probe.Manner(proxy=self._proxy, proxy_url=self._source.proxy_url if self._source else self._proxy_url)
            found = probe.ask_each([probe.parse(server) for _machine, server in servers], manner, self._budget.seconds())
            self._knocked.set_result([(machine, _knocked(each, now())) for (machine, _server), each in zip(servers, found)])
        except NotAsked as error:
            self._knocked.set_result([(machine, dict.fromkeys(KNOCKED, Datum(NOT_ASKED, at=now(), reason=error.message))) for machine, _server in servers])
        except BaseException as error:
            self._knocked.set_exception(error)

    def _choose(self, endpoint, own):
        """The server to read from: the kubeconfig's own, unless it fails, or is silent for a while, and a control plane node's is ready."""
        wait([endpoint], timeout=PATIENCE_SECONDS)
        servers = {future: server for _machine, server, future in own}
        with contextlib.suppress(NotDone):
            for future in as_completed([endpoint, *servers], timeout=SERVERS_SECONDS):
                if endpoint.done() and endpoint.result().ok:
                    break
                if future is not endpoint and future.result().ok and future.result().value['status'] == 200:
                    return servers[future]
        return self._source.server

    def _mint(self, minters):
        """The kubeconfig that Talos issues to os:admin; it stays in memory."""
        if not self._may_mint:
            raise RoleRefused(NEEDS)
        if not minters:
            raise NodeUnreachable('no control plane node answered that could issue a kubeconfig')
        error = None
        for address, route in minters:
            try:
                text = self._client.node(address, via=route).kubeconfig(self._budget.seconds())
                return kube_config.load(content=text, origin=kube_config.TALOS)
            except RoleRefused:
                raise RoleRefused(NEEDS) from None
            except TalosError as failed:
                error = failed
        raise error

    def _ask(self, call):
        try:
            return Datum(READ, self._redactor.texts(call()), now())
        except TalosError as error:
            return Datum(error.state, at=now(), reason=self._redactor.text(error.message), code=getattr(error, 'code', None) or getattr(error, 'kind', None))

    def _nothing(self, datum):
        return self._found(datum.reason, {kind: datum for kind in sorted(KINDS)}, [])

    def _found(self, error, data, servers):
        source = self._source
        return {'source': source.origin if source else None, 'server': source.server if source else None, 'client': _client(source),
                'read_from': self._read_from, 'error': error, 'data': data, 'servers': servers}


def _client(source):
    """The facts of the client certificate of a kubeconfig that was given, None where it has none (or none that can be read)."""
    if source is None or source.origin == kube_config.TALOS or not source.cert:
        return None
    try:
        return certificate.pem_facts(source.cert)
    except (ValueError, TalosError):
        return None


def _server(machine, port):
    return f'https://{endpoints.join(machine.address, port or kube_api.PORT)}'


def _told_by(machines):
    """The URL of the cluster endpoint, of which KubePrism lists the host first (talos-api 6.6, recorded); else as the configuration has it."""
    for machine in machines:
        listed = (machine.resource('KubePrismEndpoints') or {}).get('endpoints') or []
        if listed and listed[0].get('host'):
            return f'https://{endpoints.join(str(listed[0]["host"]), listed[0].get("port") or 443)}'
    for machine in machines:
        configured = (machine.resource('APIServerConfigs') or {}).get('controlPlaneEndpoint')
        if configured:
            return str(configured)
    return None


def _knocked(found, at):
    """The data of a machine from what L(kube/probe.py) found at its API server."""
    probed = found['probes'][0] if found['probes'] else {'ok': False, 'status': None, 'text': None, **(found['error'] or {})}
    served = found['certificates'][0] if found['certificates'] else None
    state = TIMED_OUT if probed['kind'] == 'timeout' else UNREACHABLE
    return {'apiserver_probe': Datum(READ, probed, at),
            'apiserver_certificate': Datum(READ, served, at) if served else Datum(state, at=at, reason=probed['text'], code=probed['kind'])}
