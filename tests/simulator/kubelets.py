# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubelets of a cluster whose Kubernetes is real: what one says to the API, and no pods.

A kubelet speaks while its machine runs, its service runs, and the scenario does not call its Node silent. It has the client
certificate of its Node, so that Node authorization and NodeRestriction hold for it as for a real one. It renews its Lease,
posts its status when that is another, asks for its serving certificate and takes it; one that starts registers its Node where
there is none. What others write into the API is told to the model here, too.
"""

from __future__ import annotations

import base64
import contextlib
import sys
import threading
import traceback
from datetime import datetime, timezone

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.bed import pki
from tests.bed.background import Background
from tests.bed.https_server import HttpsServer
from tests.simulator import kubernetes_csrs, kubernetes_nodes
from tests.simulator.kubernetes_client import Refused
from tests.simulator.kubernetes_objects import micro_time, time
from tests.simulator.kubernetes_real import CSRS, LEASES, Bringer, unversioned

_LOOKS_EVERY = 0.25
_RENEWS_EVERY = 10.0
_GROUP = 'system:nodes'
_LOG = b'a line of a log\n'


class Kubelet:
    """One machine's kubelet. C(certificate) is what it serves, with C(key), once it was signed; before that it signs one itself."""

    def __init__(self, node, plane):
        self.node = node
        self.user = f'system:node:{node.nodename}'
        self.api = plane.api(self.user, [_GROUP])
        self.certificate = self.key = None
        self._keys = {}
        self._renewed = 0.0

    @property
    def speaks(self):
        """Whether anything is heard of it."""
        model = self.node.model
        listed = model.kubernetes_nodes.get(self.node.nodename)
        silent = listed is not None and kubernetes_nodes.readiness(model, listed)[0] == kubernetes_nodes.UNKNOWN
        return self.node.reachable and not self.node.frozen and self.node.service('kubelet')[0] == 'Running' and not silent

    def asks(self, told):
        """The request that a scenario tells of is made with a key of this kubelet's own."""
        self._keys[told['name']] = ec.generate_private_key(ec.SECP256R1())
        self.node.model.kubernetes.requests[told['name']] = kubernetes_csrs.request(self.node.model, told, self._keys[told['name']])

    def renew(self, now, every):
        """Renew its Lease when it is time."""
        if now - self._renewed < every:
            return
        path = f'{LEASES}/{self.node.nodename}'
        lease = self.api.get(path)
        self.api.ask('PUT', path, {**lease, 'spec': {**lease['spec'], 'renewTime': micro_time(datetime.now(timezone.utc))}})
        self._renewed = now

    def post(self, item):
        """Say that it is ready where the API calls it silent; what it found before, it finds now."""
        now, status = time(datetime.now(timezone.utc)), item['status']
        listed = self.node.model.kubernetes_nodes[self.node.nodename]
        told = kubernetes_nodes.node(self.node.model, self.node.nodename, listed)['status']
        before = {one['type']: one['status'] for one in status['conditions']}
        conditions = [{**one, 'lastHeartbeatTime': now, **({'lastTransitionTime': now} if before.get(one['type']) != one['status'] else {})}
                      for one in told['conditions']]
        self.api.ask('PUT', f'/api/v1/nodes/{self.node.nodename}/status', {**unversioned(item), 'status': {**status, 'conditions': conditions}})

    def take(self):
        """Take the certificate of a request that was approved and signed. Returns whether it did."""
        for name, key in list(self._keys.items()):
            try:
                said = self.api.get(f'{CSRS}/{name}')['status']
            except Refused:
                del self._keys[name]  # somebody deleted it
                continue
            if said.get('certificate'):
                certificate = x509.load_pem_x509_certificate(base64.b64decode(said['certificate']))
                assert certificate.public_key() == key.public_key(), f'{name}: signed for another key'
                self.certificate, self.key = certificate, self._keys.pop(name)
                return True
        return False

    @contextlib.contextmanager
    def serving(self, authority, port=10250):
        """While it lasts it serves the log of every container at its machine's address, to those who show a certificate of C(authority)."""
        async def answer(request):
            return (200, 'text/plain', _LOG) if request.path.startswith('/containerLogs/') else (404, 'text/plain', b'')

        own = pki.Identity(self.certificate, self.key) if self.certificate else pki.Authority('kubelet', key='ecdsa').server(
            self.node.hostname, ips=[self.node.address])
        server = HttpsServer(answer, pki.server_context(own, authority, alpn=('http/1.1',)), self.node.address, port)
        with Background() as background:
            yield background.serve(server)


class Kubelets:
    """All kubelets of a model, in a thread; C(loop) is that on which the model is served. C(start) brings the state into the API first."""

    def __init__(self, model, plane, loop):
        self.model = model
        self.plane = plane
        self._loop = loop
        self._ended = threading.Event()
        self._starting = set()
        self._lock = threading.Lock()
        self._thread = None
        self.of = {node.nodename: Kubelet(node, plane) for node in model.nodes.values()}
        self._every = min(_RENEWS_EVERY, (plane.grace or _RENEWS_EVERY * 4) / 8)

    def start(self):
        """Raises ScenarioError."""
        self.bringer = Bringer(self.model, self.plane, {kubelet.user: kubelet for kubelet in self.of.values()})
        self.bringer.bring()
        self.model.watchers.append(self._heard)
        self._thread = threading.Thread(target=self._run, name='kubelets', daemon=True)
        self._thread.start()

    def stop(self):
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        for kubelet in self.of.values():
            kubelet.api.close()

    def _heard(self, what, node):
        if what in ('booted', 'kubelet'):
            with self._lock:
                self._starting.add(node.nodename)

    def _run(self):
        ticks, every = 0.0, _LOOKS_EVERY * max(1.0, len(self.of) / 25)
        while not self._ended.wait(every):
            ticks += every
            try:
                self._look(ticks)
            except (OSError, Refused):
                continue  # the API does not answer, or somebody else was faster: a kubelet tries again
            except Exception:
                traceback.print_exc(file=sys.stderr)

    def _look(self, ticks):
        there = {item['metadata']['name']: item for item in self.plane.admin.get('/api/v1/nodes')['items']}
        with self._lock:
            starting = self._starting.copy()
        gone = [name for name in self.model.kubernetes_nodes if name not in there and name not in starting]
        if gone:
            self._tell(lambda: [self.model.kubernetes.lose(name) for name in gone])
        for name, kubelet in self.of.items():
            if not kubelet.speaks:
                continue
            item = there.get(name)
            if item is None and name in starting:
                self.bringer.register(name, self.model.kubernetes_nodes.get(name, 'Ready'), kubelet.api)
            with self._lock:
                self._starting.discard(name)
            if item is None:
                continue
            kubelet.renew(ticks, self._every)
            if _ready(item) == kubernetes_nodes.UNKNOWN:
                kubelet.post(item)
            if kubelet.take():
                self._tell(lambda user=kubelet.user: self.model.kubernetes.certified(user))

    def _tell(self, change):
        self._loop.call_soon_threadsafe(change)


def _ready(item):
    return next((one['status'] for one in item['status'].get('conditions') or () if one['type'] == 'Ready'), None)
