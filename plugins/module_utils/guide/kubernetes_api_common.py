# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of the Kubernetes API share: how each API server answers this control node, and which the endpoint is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TIMED_OUT, UNREACHABLE
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import GONE, presence
from ansible_collections.talosops.talos.plugins.module_utils.judge.addresses import normal
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Evidence
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_QUORUM, NOSPACE, NOT_BOOTSTRAPPED, down, unreachable
from ansible_collections.talosops.talos.plugins.module_utils.judge.kubernetes_facts import CORRUPT, api_server_down, kubelet_down

SECTION = 'kubernetes_api.endpoint'
VIP_LOST = 'vip_lost'
ENDPOINT_DOWN = 'kubernetes.endpoint_down'

# How an API server is, as this control node sees it.
SERVES = 'serves'
ANSWERS = 'answers'  # one that showed no credentials; whether it is ready was not seen
NOT_READY = 'not ready'
SILENT = 'silent'
UNSEEN = 'unseen'

BAD = (NOT_READY, SILENT)
# Failures on the way to a server, which a firewall makes as well as a machine that is off.
ON_THE_WAY = ('timeout', 'no_route', 'timed_out', 'deadline')

_FAILED = re.compile(r'^\[-\](\S+) failed', re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """The API server of a control plane node. C(kind): of its failure (kube/probe.py); C(failing): checks of /readyz that fail."""

    machine: object
    how: str
    kind: str | None = None
    text: str = ''
    failing: tuple = ()
    at: str | None = None
    source: str = 'readyz'

    @property
    def bad(self):
        return self.how in BAD

    def evidence(self):
        return Evidence(self.text or self.how, self.source, self.machine.label, self.at)


def servers(view):
    """The Server of each control plane node that is a machine of this cluster, and is still."""
    kept = view.__dict__.setdefault('_api_servers', None)
    if kept is None:
        planes = [machine for machine in view.control_planes if machine.key not in view.elsewhere and presence(view, machine) != GONE]
        kept = view.__dict__['_api_servers'] = [_server(view, machine) for machine in planes]
    return kept


def _server(view, machine):
    asked, knocked = view.kubernetes.server(machine), machine.value('apiserver_probe')
    if asked.ok:
        status, body = asked.value.get('status'), str(asked.value.get('body') or '')
        if status == 200:
            return Server(machine, SERVES, None, '/readyz: 200', at=asked.at)
        if status not in (401, 403):
            failing = tuple(_FAILED.findall(body))
            return Server(machine, NOT_READY, 'not_ready', f'/readyz: {status}{", failing: " + ", ".join(failing) if failing else ""}', failing, asked.at)
    elif asked.state == UNREACHABLE:
        kind = asked.code or 'other'
        if knocked is not None and not knocked.get('ok') and kind in ON_THE_WAY:
            kind = knocked.get('kind')  # one that refuses is reached
        return Server(machine, SILENT, kind, (asked.reason or asked.why()).rstrip('.'), (), asked.at)
    if knocked is not None:
        at = machine.datum('apiserver_probe').at
        if knocked.get('ok'):
            late = ', but /readyz not in time' if asked.state == TIMED_OUT else ''
            return Server(machine, ANSWERS, None, f'it answers without credentials (HTTP {knocked.get("status")}){late}', (), at, 'apiserver_probe')
        how = NOT_READY if knocked.get('kind') == 'not_ready' else SILENT
        return Server(machine, how, knocked.get('kind'), (knocked.get('text') or '').rstrip('.'), (), at, 'apiserver_probe')
    if not machine.answered and machine.unreachable:
        return Server(machine, SILENT, 'deadline', f'the machine does not answer: {machine.unreachable.get("text")}', (), machine.unreachable.get('at'),
                      'reach')
    return Server(machine, UNSEEN, None, asked.why())


def served(view):
    """The API servers that serve, as far as that could be seen (C(SERVES) or C(ANSWERS))."""
    return [server for server in servers(view) if server.how in (SERVES, ANSWERS)]


def explained(view, machine):
    """The facts that explain why the API server of a machine does not serve."""
    own = (f'clock:{machine.key}', f'disk_full:{machine.key}', f'volume_failed:{machine.key}', f'memory:{machine.key}', f'network:{machine.key}',
           f'image_pull:{machine.key}', f'boot_blocked:{machine.key}')
    etcd = (NOT_BOOTSTRAPPED, NO_QUORUM, NOSPACE, CORRUPT, down(machine))
    return (*([] if machine.answered else [unreachable(machine)]), *etcd, kubelet_down(machine), api_server_down(machine), *own)


# -- the endpoint -----------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Endpoint:
    """The cluster endpoint. C(written): as a configuration writes it, with scheme and port, else None (KubePrism names host and port)."""

    host: str
    port: int
    written: str | None
    source: str
    addresses: tuple = ()

    @property
    def text(self):
        return self.written or f'{self.host}:{self.port}'


def endpoint(view):
    """The cluster endpoint as the machines have it, else as the kubeconfig does; None where nothing that was read names it."""
    for machine in view.answering_control_planes:
        for item in machine.value('APIServerConfigs') or []:
            url = (item.get('spec') or {}).get('controlPlaneEndpoint')
            if url:
                return _parsed(view, str(url), 'APIServerConfigs')
    found = view.kubernetes.datum('endpoint').value if view.kubernetes.datum('endpoint').ok else None
    if found and found.get('source') == 'talos':
        return _parsed(view, found['url'], 'kubeconfig')
    for machine in view.snapshot.answering():
        listed = (machine.resource('KubePrismEndpoints') or {}).get('endpoints') or []
        if listed and listed[0].get('host'):
            return Endpoint(str(listed[0]['host']), int(listed[0].get('port') or 443), None, 'KubePrismEndpoints', _resolved(view, str(listed[0]['host'])))
    return _parsed(view, found['url'], 'kubeconfig') if found and found.get('url') else None


def _parsed(view, url, source):
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or '', parts.port
    except ValueError:
        host, port = '', None
    return Endpoint(host, port or 443, url, source, _resolved(view, host))


def _resolved(view, host):
    """What the host resolves to on this control node, where it was probed."""
    found = view.kubernetes.datum('endpoint').value if view.kubernetes.datum('endpoint').ok else None
    same = found and normal(found.get('host')) == normal(host)
    return tuple(normal(address) for address in found.get('addresses') or []) if same else ()


def certsans(view, names):
    """The remedy that adds names to the certificates of all API servers, None without a name."""
    nodes = [server.machine.label for server in servers(view)]
    return {'name': 'talos_certsans', 'args': {'names': list(names), 'nodes': nodes, 'lists': ['api_server']}} if names and nodes else None


def probed(view):
    """What ten new connections to the endpoint found (snapshot/model.py), None where it was not asked."""
    datum = view.kubernetes.datum('endpoint')
    return datum.value if datum.ok and (datum.value.get('probes') or datum.value.get('error')) else None


def settling(view):
    """G3, G5 for the cluster: it, or every control plane node that answers, is young or being worked on."""
    planes = view.answering_control_planes
    return view.kubernetes.settling() or bool(planes) and all(view.young(machine) or view.in_progress(machine) for machine in planes)
