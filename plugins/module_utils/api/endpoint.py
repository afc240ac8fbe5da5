# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints as a talosconfig spells them (talos-api 2.2)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError

PORT = 50000
HTTPS_PORT = 443


@dataclass(frozen=True)
class Endpoint:
    """C(text) as it was written, C(host) without brackets, C(port)."""

    text: str
    host: str
    port: int

    @property
    def authority(self):
        """C(host:port), an IPv6 address in brackets."""
        return join(self.host, self.port)


def join(host, port):
    """C(host:port), an IPv6 address in brackets."""
    return f'[{host}]:{port}' if ':' in host else f'{host}:{port}'


def is_ip(host):
    """Whether it is an IPv4 or IPv6 address, a zone allowed."""
    try:
        ipaddress.ip_address(host.partition('%')[0])
    except ValueError:
        return False
    return True


def parse(text):
    """An L(Endpoint) from host, host:port, [v6]:port, v6, or a URL.

    Without a port it is 50000, for C(https://) 443, as talosctl does it. Raises L(ConfigError).
    """
    text = str(text).strip()
    host, port = _split_url(text) if '://' in text else _split(text)
    if not host or re.search(r'[\s,/@\[\]]', host) or (':' in host and not is_ip(host)):
        raise ConfigError(f'The endpoint "{text}" is neither a host, host:port nor a URL.')
    return Endpoint(text, host, port)


def _split_url(text):
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ConfigError(f'The endpoint "{text}" is no valid URL.') from None
    return url.hostname or '', port or (HTTPS_PORT if url.scheme == 'https' else PORT)


def _split(text):
    if is_ip(text):
        return text, PORT
    match = re.fullmatch(r'(\[[^\]]*\]|[^:]*)(?::(.*))?', text)
    if not match:
        return text, PORT
    host, port = match[1].strip('[]'), match[2]
    if port is None:
        return host, PORT
    if not re.fullmatch(r'[0-9]{1,5}', port) or not 0 < int(port) < 65536:
        raise ConfigError(f'The endpoint "{text}" has no valid port: "{port}".')
    return host, int(port)
