# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which HTTP proxy leads to an endpoint, and what is said to it."""

from __future__ import annotations

import base64
import ipaddress
import os
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ansible_collections.talosops.talos.plugins.module_utils.api.endpoint import join
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError

NONE = 'none'
_DEFAULT_PORT = 80
_HEAD_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Proxy:
    """C(origin) says where it was named; C(authorization) is the value of the header or None."""

    host: str
    port: int
    origin: str
    authorization: str | None = field(default=None, repr=False)

    @property
    def text(self):
        """Without credentials."""
        return f'{join(self.host, self.port)} (from {self.origin})'


def choose(endpoint, option=None, proxy_url=None, environ=None):
    """The L(Proxy) for an endpoint, or None.

    The option comes first ('none': go directly), then the talosconfig's proxy-url, then HTTPS_PROXY of the environment
    unless NO_PROXY names the endpoint or the endpoint is this host. Raises L(ConfigError) for a proxy of another kind.
    """
    environ = os.environ if environ is None else environ
    if option:
        return None if option == NONE else parse(option, 'the option proxy')
    if proxy_url:
        return parse(proxy_url, 'proxy-url of the talosconfig')
    for name in ('HTTPS_PROXY', 'https_proxy'):
        if environ.get(name):
            excluded = environ.get('NO_PROXY') or environ.get('no_proxy') or ''
            return None if _is_local(endpoint.host) or excludes(excluded, endpoint) else parse(environ[name], name)
    return None


def parse(url, origin):
    """A L(Proxy) from a URL, or from host:port. Raises L(ConfigError) without repeating credentials."""
    try:
        parts = urlsplit(url if '://' in url else f'http://{url}')
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f'The proxy of {origin} is no valid URL.') from None
    if parts.scheme.startswith('socks'):
        raise ConfigError(f'The proxy of {origin} is a SOCKS proxy, which is not supported.', 'Use an HTTP proxy that allows CONNECT.')
    if parts.scheme != 'http':
        raise ConfigError(f'The proxy of {origin} has the scheme {parts.scheme}://, which is not supported.',
                          'Use an http:// proxy that allows CONNECT.')
    if not host:
        raise ConfigError(f'The proxy of {origin} names no host.')
    authorization = None
    if parts.username is not None:
        pair = f'{unquote(parts.username)}:{unquote(parts.password or "")}'
        authorization = 'Basic ' + base64.b64encode(pair.encode()).decode()
    return Proxy(host, port or _DEFAULT_PORT, origin, authorization)


def excludes(no_proxy, endpoint):
    """Whether a NO_PROXY text names the endpoint: *, addresses, networks, hosts, domains, each with or without a port."""
    host = endpoint.host.partition('%')[0].rstrip('.').lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    for item in no_proxy.lower().replace(' ', ',').split(','):
        name = _without_port(item, endpoint.port)
        if name == '*':
            return True
        if not name:
            continue
        if address is not None:
            try:
                if address in ipaddress.ip_network(name, strict=False):
                    return True
            except ValueError:
                pass
            continue
        name = name.removeprefix('*')
        if host == name or host.endswith(name if name.startswith('.') else '.' + name):
            return True
    return False


def _without_port(item, port):
    """The name of a NO_PROXY item; empty when it is for another port."""
    if item.startswith('['):
        name, _bracket, rest = item[1:].partition(']')
        rest = rest.lstrip(':')
    elif item.count(':') == 1:
        name, _colon, rest = item.partition(':')
    else:
        name, rest = item, ''
    return name if rest in ('', str(port)) else ''


def _is_local(host):
    if host.lower() == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host.partition('%')[0]).is_loopback
    except ValueError:
        return False


def request(proxy, endpoint):
    """The bytes that ask the proxy for a tunnel to the endpoint."""
    lines = [f'CONNECT {endpoint.authority} HTTP/1.1', f'Host: {endpoint.authority}']
    if proxy.authorization:
        lines.append(f'Proxy-Authorization: {proxy.authorization}')
    return ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1', 'replace')


async def connect(loop, sock, proxy, endpoint):
    """Ask for the tunnel on a connected socket; None when it stands, else what the proxy said instead.

    Raises OSError when the proxy breaks off.
    """
    await loop.sock_sendall(sock, request(proxy, endpoint))
    head = b''
    while b'\r\n\r\n' not in head:
        data = await loop.sock_recv(sock, 4096)
        if not data:
            return 'breaks the connection off'
        head += data
        if len(head) > _HEAD_LIMIT:
            return 'answered with something that is not HTTP'
    status = head.split(b'\r\n', 1)[0].decode('latin-1').split(' ', 2)
    if not status[0].startswith('HTTP/') or len(status) < 2 or not status[1].isdigit():
        return 'answered with something that is not HTTP'
    if status[1].startswith('2'):
        return None
    if status[1] == '407':
        return 'wants other credentials (407)' if proxy.authorization else 'wants credentials (407); put them into its URL'
    said = head.split(b'\r\n\r\n', 1)[1].decode('utf-8', 'replace').strip().split('\n')[0][:200]
    return f'refused with {" ".join(status[1:])}' + (f': {said}' if said and '<' not in said else '')
