# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Kubernetes API: the few reads of a diagnosis and writes of a remedy, through urllib3 with an ssl context of ours.

Credentials stay in memory; the kubernetes client writes them to files. It also takes longer to import than the whole
gather lasts, so it is imported only where a kubeconfig names an exec plugin, whose protocol it knows.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from urllib.parse import urlencode

from ansible_collections.talosops.talos.plugins.module_utils.api import endpoint as endpoints
from ansible_collections.talosops.talos.plugins.module_utils.api import proxy as proxies
from ansible_collections.talosops.talos.plugins.module_utils.api import tls
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import (
    ConfigError, Conflict, DeadlineExceeded, InputError, NotFound, RoleRefused, TalosError, TransportError,
)
from ansible_collections.talosops.talos.plugins.module_utils.kube import probe

try:
    import urllib3
    from urllib3.exceptions import HTTPError, NewConnectionError, ProxyError, SSLError, TimeoutError as HTTPTimeout
except ImportError:
    urllib3 = None
    HTTPError = NewConnectionError = ProxyError = SSLError = HTTPTimeout = ()

PAGE = 500
BODY_MOST = 256 * 1024
PAGE_MOST = 64 * 1024 * 1024
PORT = 6443
# A read whose connection is refused, or breaks, is sent so often, so far apart.
TRIES = 6
TRY_AGAIN_SECONDS = 0.1
_BROKEN = ('refused', 'reset')


def need_kubernetes():
    """Import the kubernetes client. Raises InputError when it is missing."""
    try:
        import kubernetes.config.exec_provider
    except ImportError:
        raise InputError('The Python package kubernetes is missing on this host.', 'Install it: pip install kubernetes') from None
    return kubernetes


class KubernetesApi:
    """The API servers of one cluster. C(source) is a Source (kube/config.py); thread-safe, holds no files."""

    def __init__(self, source, proxy=None, tmp_dir=None):
        if urllib3 is None:
            raise InputError('The Python package urllib3 is missing on this host.', 'Install it: pip install urllib3')
        self.source = source
        token, cert, key = _credentials(source)
        self._context = lambda: _ssl_context(source, cert, key, tmp_dir)
        self._proxy = proxy
        self._pool = _pool(source, self._context(), proxy)
        self._headers = {}
        if token:
            self._headers['Authorization'] = f'Bearer {token}'
        elif source.basic:
            self._headers.update(urllib3.make_headers(basic_auth=':'.join(source.basic)))

    def version(self, seconds, server=None):
        """What /version says: {gitVersion, major, minor, …}. C(server) is a URL, by default that of the kubeconfig, here and below."""
        return self._document('/version', seconds, BODY_MOST, server)

    def pages(self, path, seconds, server=None):
        """The items of a list, page by page as the API has them: an iterator of lists; C(seconds()) gives those of the next call."""
        token = None
        while True:
            asked = {'limit': PAGE, **({'continue': token} if token else {})}
            page = self._document(f'{path}?{urlencode(asked)}', seconds(), PAGE_MOST, server)
            yield page.get('items') or []
            token = (page.get('metadata') or {}).get('continue')
            if not token:
                return

    def get(self, path, seconds, server=None):
        """One object. Raises NotFound."""
        return self._document(path, seconds, PAGE_MOST, server)

    def send(self, method, path, body, seconds, server=None):
        """What a request that changes something is answered. It is sent once, whatever becomes of it."""
        server = server or self.source.server
        status, answer = self._request(method, server, path, seconds, PAGE_MOST, json.dumps(body).encode())
        if status not in (200, 201, 202):
            raise _status(server, status, answer)
        return _parsed(server, answer)

    def readyz(self, seconds, server=None):
        """C({status, body}) of /readyz?verbose, whatever the status."""
        status, body = self._read(server or self.source.server, '/readyz?verbose', seconds)
        return {'status': status, 'body': body.decode('utf-8', 'replace')}

    def manner(self):
        """How to make a connection of its own to a server (kube/probe.py): without credentials where the kubeconfig verifies none."""
        if not self.source.verify:
            return probe.Manner(proxy=self._proxy, proxy_url=self.source.proxy_url)
        context = self._context()
        context.check_hostname = True
        context.hostname_checks_common_name = False
        return probe.Manner(context, self.source.tls_server_name, self._headers, self._proxy, self.source.proxy_url)

    def close(self):
        self._pool.clear()

    def _document(self, path, seconds, most, server=None):
        server = server or self.source.server
        status, body = self._read(server, path, seconds, most)
        if status != 200:
            raise _status(server, status, body)
        return _parsed(server, body)

    def _read(self, server, path, seconds, most=BODY_MOST):
        """A GET, again where its connection broke: a load balancer without health checks leads some to a server that is down."""
        end, tried = time.monotonic() + seconds, 0
        while True:
            try:
                return self._request('GET', server, path, end - time.monotonic(), most)
            except TransportError as error:
                tried += 1
                if error.kind not in _BROKEN or tried == TRIES or time.monotonic() + TRY_AGAIN_SECONDS >= end:
                    raise
            time.sleep(TRY_AGAIN_SECONDS)

    def _request(self, method, server, path, seconds, most=BODY_MOST, body=None):
        """C((status, body bytes)); every way in which it fails is a TalosError."""
        try:
            headers = self._headers if body is None else {**self._headers, 'Content-Type': 'application/json'}
            response = self._pool.request(method, server + path, body=body, headers=headers, timeout=urllib3.Timeout(total=seconds), redirect=False,
                                          preload_content=False)
            try:
                return response.status, response.read(most)
            finally:
                response.release_conn()
        except (HTTPError, OSError) as error:
            raise _failure(server, error) from None


def _credentials(source):
    """C((token, cert, key)), from the exec plugin where the user has one."""
    if source.exec_plugin is None:
        return source.token, source.cert, source.key
    kubernetes = need_kubernetes()
    node = kubernetes.config.kube_config.ConfigNode('exec', dict(source.exec_plugin))
    try:
        status = kubernetes.config.exec_provider.ExecProvider(node, None).run()
    except (kubernetes.config.ConfigException, OSError) as error:
        raise ConfigError(f'The exec plugin of the kubeconfig {source.where} failed: {error}') from None
    cert, key = status.get('clientCertificateData'), status.get('clientKeyData')
    return status.get('token'), cert.encode() if cert else source.cert, key.encode() if key else source.key


def _ssl_context(source, cert, key, tmp_dir):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = False  # urllib3 compares the name itself: release 1.26 tells the context none when it is an address
    try:
        if not source.verify:
            made.verify_mode = ssl.CERT_NONE
        elif source.ca:
            made.load_verify_locations(cadata=source.ca.decode('ascii', 'replace'))
        else:
            made.load_default_certs()
        if cert and key:
            tls.load_credentials(made, cert.rstrip() + b'\n' + key, tmp_dir)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f'The certificates of the kubeconfig {source.where} cannot be used: {getattr(error, "reason", None) or error}.') from None
    return made


def _pool(source, context, proxy):
    options = {'ssl_context': context, 'maxsize': 8, 'retries': False}
    if source.tls_server_name:
        options.update(server_hostname=source.tls_server_name, assert_hostname=source.tls_server_name)
    if not source.verify:
        options.update(cert_reqs='CERT_NONE', assert_hostname=False)
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the kubeconfig asks for it
    host, _slash, _rest = source.server.partition('://')[2].partition('/')
    chosen = proxies.choose(endpoints.parse(host or source.server), proxy, source.proxy_url)
    if chosen is None:
        return urllib3.PoolManager(**options)
    headers = {'Proxy-Authorization': chosen.authorization} if chosen.authorization else None
    return urllib3.ProxyManager(f'http://{endpoints.join(chosen.host, chosen.port)}', proxy_headers=headers, **options)


def _parsed(server, body):
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise TalosError(f'{server} answered with something that is not the Kubernetes API.')
    return document


def _failure(server, error):
    reason = getattr(error, 'reason', None) or error
    if isinstance(error, NewConnectionError):
        return TransportError(f'{server} could not be reached: {_words(error)}.', _kind(str(error).lower()), server)
    if isinstance(error, HTTPTimeout) or isinstance(reason, HTTPTimeout):
        return DeadlineExceeded(f'{server} did not answer in time.')
    if isinstance(error, ProxyError):
        return TransportError(f'The proxy did not lead to {server}: {_words(error.original_error)}.', 'proxy', server)
    if isinstance(error, SSLError) and 'EOF' in str(reason):
        return TransportError(f'The connection to {server} broke before TLS was set up: {_words(reason)}.', 'reset', server)
    if isinstance(error, SSLError):
        return TransportError(f'The certificate of {server} is not accepted: {_words(reason)}.', 'untrusted_ca', server)
    return TransportError(f'The connection to {server} broke: {_words(reason)}.', 'reset', server)


def _kind(text):
    """The kind of a TransportError, from what the system said about a connection that could not be made."""
    return 'refused' if 'refused' in text else 'resolve' if 'resolve' in text or 'not known' in text else 'no_route'


def _words(error):
    """What the system or OpenSSL said, out of what urllib3 wraps around it."""
    text = re.sub(r'^.*?(\[Errno -?\d+\] |certificate verify failed: )', '', str(error))
    return re.sub(r' \(_ssl\.c:\d+\)', '', text).rstrip('.')[:300]


def _status(server, status, body):
    text = body.decode('utf-8', 'replace') if isinstance(body, bytes) else str(body or '')
    try:
        text = json.loads(text).get('message') or text
    except (ValueError, AttributeError):
        pass
    message = f'{server} answered {status}: {text[:300]}'
    if status in (401, 403):
        return RoleRefused(message, str(status))
    if status in (404, 409):
        return (NotFound if status == 404 else Conflict)(message, str(status))
    return TalosError(message)
