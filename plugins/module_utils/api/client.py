# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the Talos API: endpoints with failover, and the machines behind them.

    with Client(talosconfig.load()) as client:
        client.node('10.5.0.2').unary('/machine.MachineService/Version')

Blocking, for any number of threads. One TLS connection leads to each endpoint, made when it is first needed.
"""

from __future__ import annotations

import threading
import time

from ansible_collections.talosops.talos.plugins.module_utils.api import connection as channels
from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint as endpoints_
from ansible_collections.talosops.talos.plugins.module_utils.api import proxy as proxies
from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig, wire, yaml_text
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, NoForwarding, TransportError
from ansible_collections.talosops.talos.plugins.module_utils.api.machine import Machine
from ansible_collections.talosops.talos.plugins.module_utils.api.tunnel import Tunnels

# An endpoint that could not be connected to is not tried again for so many seconds when a call looks for one.
RETRY_AFTER = 2.0


class Client:
    """Context manager; leaves nothing behind.

    C(context) is a talosconfig's Context, C(endpoints) (texts) replace its own, C(proxy) as in api/proxy.py;
    C(timeout) seconds is the limit of connecting and of each call that names none. Raises L(ConfigError) without
    endpoints, with unusable credentials or an unusable proxy, L(InputError) when a Python package is missing.
    """

    def __init__(self, context, *, endpoints=None, proxy=None, timeout=10.0, tmp_dir=None):
        channels.need_grpc()
        wire.need_protobuf()
        yaml_text.need_yaml()
        if not endpoints:
            talosconfig.need_endpoints(context)
        parsed = [endpoints_.parse(text) for text in endpoints or context.endpoints]
        self.endpoints = list({(endpoint.host, endpoint.port): endpoint for endpoint in reversed(parsed)}.values())[::-1]
        for endpoint in self.endpoints:
            proxies.choose(endpoint, proxy, context.proxy_url)
        self.timeout = timeout
        self.calls = 0
        self._tunnels = Tunnels(context, proxy, tmp_dir)
        self._lock = threading.Lock()
        self._dialling = {}
        self._connections = {}
        self._retired = []
        self._failures = {}
        self._good = None

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    @property
    def handshakes(self):
        """How many TLS handshakes were begun."""
        return self._tunnels.handshakes

    def close(self):
        """Cancel what is under way and close all connections; safe to call twice."""
        with self._lock:
            closing = [*self._connections.values(), *self._retired]
            self._connections, self._retired = {}, []
        for connection in closing:
            connection.close()
        self._tunnels.close()

    def connect(self, endpoint):
        """The L(Connection) to an endpoint: the one there is, else a new one. Raises L(TransportError).

        Threads that want the same endpoint at once share one attempt, and its failure.
        """
        began = time.monotonic()
        with self._lock:
            lock = self._dialling.setdefault(endpoint, threading.Lock())
        with lock:
            existing = self._connections.get(endpoint)
            if existing is not None and existing.alive:
                return existing
            failed = self._failures.get(endpoint)
            if failed is not None and failed[0] >= began:
                raise failed[1].again()
            return self._dial(endpoint, existing)

    def _dial(self, endpoint, existing):
        try:
            link = self._tunnels.open(endpoint, self.timeout)
        except TransportError as error:
            self._failures[endpoint] = (time.monotonic(), error)
            raise
        made = channels.Connection(endpoint, link)
        with self._lock:
            self._failures.pop(endpoint, None)
            self._connections[endpoint] = made
            if existing is not None:
                self._retired.append(existing)  # closing it now would cancel the calls that other threads have in it
        return made

    def look(self, endpoint, timeout=None):
        """Facts of the certificate that an endpoint serves (api/certificate.py), unverified; nothing is sent.

        Raises L(TransportError) when there is none to be seen.
        """
        return self._tunnels.look(endpoint, timeout or self.timeout)

    def direct(self, endpoint):
        """The L(Machine) at an endpoint, which answers for itself: calls carry no C(node)."""
        return Machine(self, endpoint.host, (), endpoint)

    def node(self, address, via=None):
        """The L(Machine) of an address or name, without port, as the endpoint resolves it.

        Calls go through an endpoint that connects and forwards, or through C(via) (an Endpoint) and no other.
        """
        address = str(address)
        if not address or ',' in address or (':' in address and not endpoints_.is_ip(address)):
            raise ConfigError(f'The node "{address}" is no address or name without a port.')
        return Machine(self, address, (('node', address),), via)

    def through(self, attempt, metadata, via, idempotent):
        """C(attempt(connection)) with one endpoint after the other, as talosctl does it (talos-api 2.2).

        The next one is tried when the connection fails, but not with a call that is not idempotent once bytes were
        written, and when the endpoint is a worker, which forwards nothing. Raises the first such error when none is left.
        """
        first = None
        for endpoint in [via] if via is not None else self._in_order():
            try:
                connection = self.connect(endpoint) if via is not None else self._connect_again(endpoint)
                with self._lock:
                    self.calls += 1
                result = attempt(connection)
            except TransportError as error:
                first = first or error
                if error.written and not idempotent:
                    raise
            except NoForwarding as error:
                first = first or error
            else:
                if metadata and via is None:
                    self._good = endpoint
                return result
        raise first

    def _in_order(self):
        """The endpoint that served last comes first, then as they were given; what failed comes last."""
        return sorted(self.endpoints, key=lambda endpoint: (endpoint in self._failures, endpoint != self._good))

    def _connect_again(self, endpoint):
        failed = self._failures.get(endpoint)
        if failed is not None and time.monotonic() - failed[0] < RETRY_AFTER:
            raise failed[1].again()
        return self.connect(endpoint)
