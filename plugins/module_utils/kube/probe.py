# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""New connections to an API server or a load balancer, each for itself: does it take them, with which certificate, does it serve.

The client of kube/api.py keeps its connections, so that a load balancer which still sends traffic to a dead API server
would not show there. Every probe is one TCP connection, one TLS handshake and one GET /readyz, all at the same time and
within one deadline. Credentials go only to a server whose certificate was verified before.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ansible_collections.talosops.talos.plugins.module_utils.api import certificate, dial
from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint as endpoints
from ansible_collections.talosops.talos.plugins.module_utils.api import proxy as proxies
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError

# So many connections are made to the cluster endpoint: with three backends and one of them dead, a load balancer in turn meets it thrice.
PROBES = 10

_BODY_MOST = 64 * 1024
_STATUS_LINE = re.compile(rb'HTTP/1\.[01] (\d{3})[^\r\n]*\r?\n')
# OpenSSL's verification results, X509_V_ERR_*.
_VERIFICATION = {9: 'not_yet_valid', 10: 'expired', 62: 'wrong_name', 64: 'wrong_name'}


@dataclass(frozen=True)
class Target:
    """Where to connect to. C(url) as it was written; C(problem) says why nobody can connect to it, or is None."""

    url: str
    scheme: str
    host: str
    port: int
    problem: str | None = None


@dataclass(frozen=True)
class Manner:
    """How to connect: without C(context) the certificate is not verified, and nothing is shown to the server.

    C(context) is an SSLContext that verifies, C(server_name) the name that the certificate must have (by default the host),
    C(headers) those that go out with the request once it has, C(proxy) and C(proxy_url) as in api/proxy.py.
    """

    context: ssl.SSLContext | None = None
    server_name: str | None = None
    headers: dict = field(default_factory=dict, repr=False)
    proxy: str | None = None
    proxy_url: str | None = field(default=None, repr=False)


def parse(url):
    """The Target of a URL; one without a port has that of its scheme."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or '', parts.port
    except ValueError:
        return Target(url, '', '', 0, 'it is no valid URL')
    problem = 'it names no host' if not host else None if parts.scheme == 'https' else f'its scheme is {parts.scheme or "missing"}, not https'
    return Target(url, parts.scheme, host, port or (80 if parts.scheme == 'http' else 443), problem)


def ask(target, manner, seconds, times=1):
    """C({url, host, port, addresses, error, verified, certificates, probes}) of C(times) connections to a Target at once.

    C(addresses) is what its name resolves to here (empty behind a proxy), C(error) C({kind, text}) where there was nothing
    to connect to (C(url), C(resolve), C(timeout)), else None. C(verified): whether the certificate was held against a CA
    and the host. C(certificates) are the facts of those that were served, each once. C(probes): see L(one). The probes
    take the addresses in turn.
    """
    return asyncio.run(_ask(target, manner, seconds, times))


def ask_each(targets, manner, seconds):
    """C(ask) of several Targets at once, one connection each."""
    async def all_of_them():
        return await asyncio.gather(*(_ask(target, manner, seconds, 1) for target in targets))

    return asyncio.run(all_of_them())


async def _ask(target, manner, seconds, times):
    loop, deadline = asyncio.get_running_loop(), time.monotonic() + seconds
    found = {'url': target.url, 'host': target.host, 'port': target.port, 'addresses': [], 'error': None,
             'verified': manner.context is not None, 'certificates': [], 'probes': []}
    if target.problem:
        return {**found, 'error': {'kind': 'url', 'text': f'{target.url} leads nowhere: {target.problem}.'}}
    endpoint = endpoints.Endpoint(endpoints.join(target.host, target.port), target.host, target.port)
    try:
        proxy = proxies.choose(endpoint, manner.proxy, manner.proxy_url)
    except ConfigError as error:
        return {**found, 'error': {'kind': 'proxy', 'text': error.message}}
    try:
        async with asyncio.timeout(seconds):
            candidates = await dial.addresses(loop, *((proxy.host, proxy.port) if proxy else (target.host, target.port)))
    except TimeoutError:
        return {**found, 'error': {'kind': 'timeout', 'text': f'The name {target.host} was not resolved within {seconds:g} s.'}}
    except OSError as error:
        failed = dial.failure(error, endpoint, proxy)
        return {**found, 'error': {'kind': failed.kind, 'text': failed.message}}
    found['addresses'] = [] if proxy else list(dict.fromkeys(sockaddr[0] for _family, sockaddr in candidates))
    served = {}
    asked = [_one(loop, endpoint, candidates[number % len(candidates)], proxy, manner, deadline, served)
             for number in range(max(times, len(found['addresses'])) if times > 1 else times)]
    found['probes'] = list(await asyncio.gather(*asked))
    if manner.context is not None and any(probe['kind'] in ('untrusted_ca', *_VERIFICATION.values()) for probe in found['probes']):
        await _one(loop, endpoint, candidates[0], proxy, Manner(), deadline, served, request=False)
    found['certificates'] = [facts for facts in served.values() if facts]
    return found


async def _one(loop, endpoint, candidate, proxy, manner, deadline, served, request=True):
    """C({ok, status, kind, text, address, certificate, seconds}) of one connection.

    C(ok): an API server serves there: it answered 200, or 401 or 403 to one that showed nothing. C(status) is that of HTTP
    or None, C(kind) None or what went wrong: refused, timeout, no_route, reset, proxy, not_tls, untrusted_ca, expired,
    not_yet_valid, wrong_name, client_refused, not_kubernetes, not_ready. C(certificate) is the sha256 of the served one.
    """
    began = time.monotonic()
    probe = {'ok': False, 'status': None, 'kind': None, 'text': None, 'address': None if proxy else candidate[1][0], 'certificate': None}
    writer = sock = None
    try:
        async with asyncio.timeout(max(0.0, deadline - began)):
            try:
                sock, _used = await dial.first_connected(loop, [candidate], endpoint, proxy)
            except OSError as error:
                failed = dial.failure(error, endpoint, proxy)
                return {**probe, 'kind': failed.kind, 'text': failed.message, 'seconds': _since(began)}
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=manner.context or _unverified(), server_hostname=manner.server_name or endpoint.host.partition('%')[0].rstrip('.'),
                ssl_handshake_timeout=3600, limit=_BODY_MOST)
            probe['certificate'] = _note(writer, served)
            if request:
                probe.update(await _readyz(endpoint, reader, writer, manner))
    except TimeoutError:
        stage = f'does not answer on port {endpoint.port}' if sock is None else 'accepts the connection, but does not answer'
        probe.update(kind='timeout', text=f'{endpoint.host} {stage}.')
    except ssl.SSLCertVerificationError as error:
        kind = _VERIFICATION.get(error.verify_code, 'untrusted_ca')
        probe.update(kind=kind, text=f'The certificate of {endpoint.text} is not accepted: {error.verify_message}.')
    except ssl.SSLError as error:
        probe.update(_tls_failure(endpoint, error, writer is not None))
    except (OSError, EOFError, asyncio.LimitOverrunError):
        probe.update(kind='reset', text=f'{endpoint.text} accepts the connection and breaks it off.')
    finally:
        if writer is not None:
            writer.transport.abort()
        elif sock is not None:
            sock.close()
    return {**probe, 'seconds': _since(began)}


async def _readyz(endpoint, reader, writer, manner):
    """What an open connection answers to GET /readyz."""
    host = endpoints.join(endpoint.host, endpoint.port)
    lines = ['GET /readyz HTTP/1.1', f'Host: {host}', 'Connection: close', *(f'{name}: {value}' for name, value in manner.headers.items())]
    writer.write(('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1', 'replace'))
    first = await reader.readline()
    if not first:
        raise EOFError
    match = _STATUS_LINE.fullmatch(first)
    if not match:
        return {'kind': 'not_kubernetes', 'text': f'{endpoint.text} answers, but not in HTTP.'}
    body = (await reader.read(_BODY_MOST)).partition(b'\r\n\r\n')[2].decode('utf-8', 'replace').strip()
    return _judged(endpoint, int(match[1]), body, bool(manner.headers) or manner.context is not None)


def _judged(endpoint, status, body, shown):
    """An API server answers "ok", checks with their results, or a Status; anything else is another server."""
    is_status = _is_status(body)
    if status == 200 and ('readyz check passed' in body or body[:2] == 'ok'):
        return {'ok': True, 'status': status}
    if status in (401, 403) and is_status:
        return {'ok': True, 'status': status} if not shown else {
            'status': status, 'kind': 'client_refused', 'text': f'{endpoint.text} does not accept the credentials (HTTP {status}).'}
    if is_status or 'readyz check failed' in body:
        failed = ', '.join(re.findall(r'^\[-\](\S+) failed', body, re.M))
        return {'status': status, 'kind': 'not_ready', 'text': f'{endpoint.text} is not ready (HTTP {status})' + (f': {failed} failed.' if failed else '.')}
    return {'status': status, 'kind': 'not_kubernetes', 'text': f'{endpoint.text} answers HTTP {status}, but is not the Kubernetes API.'}


def _is_status(body):
    try:
        return json.loads(body).get('kind') == 'Status'
    except (ValueError, AttributeError):
        return False


def _tls_failure(endpoint, error, opened):
    reason = (error.reason or str(error)).lower().replace('_', ' ')
    if isinstance(error, ssl.SSLEOFError):
        return {'kind': 'reset', 'text': f'{endpoint.text} accepts the connection and breaks it off.'}
    if opened and 'alert' in reason:
        return {'kind': 'client_refused', 'text': f'{endpoint.text} does not accept the client certificate ({reason}).'}
    return {'kind': 'not_tls', 'text': f'{endpoint.text} does not speak TLS ({reason}).'}


def _note(writer, served):
    """The sha256 of the certificate of an open connection; its facts into C(served)."""
    der = writer.get_extra_info('ssl_object').getpeercert(binary_form=True)
    try:
        facts = certificate.facts(der) if der else None
    except ValueError:
        facts = None
    if facts is None:
        return None
    served.setdefault(facts['sha256'], facts)
    return facts['sha256']


def _unverified():
    """Shows no certificate of its own, so that nothing is given away."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(['http/1.1'])
    return made


def _since(began):
    return round(time.monotonic() - began, 3)
