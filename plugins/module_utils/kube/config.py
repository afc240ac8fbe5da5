# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubeconfig: which cluster it leads to and with what credentials. Read, never written."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError
from ansible_collections.talosops.talos.plugins.module_utils.api.yaml_text import need_yaml

try:
    import yaml
except ImportError:
    yaml = None

KUBECONFIG, TALOS = 'kubeconfig', 'talos'


@dataclass(frozen=True)
class Source:
    """How to reach the Kubernetes API of one context.

    C(origin) is talos for the kubeconfig that Talos issued, kubeconfig for one that was given; C(where) its path or
    'content'. C(ca), C(cert) and C(key) are PEM bytes or None; C(exec_plugin) is the user's exec section or None.
    """

    server: str
    origin: str = KUBECONFIG
    where: str = 'content'
    context: str = ''
    verify: bool = True
    tls_server_name: str | None = None
    proxy_url: str | None = field(default=None, repr=False)
    ca: bytes | None = field(default=None, repr=False)
    cert: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    basic: tuple | None = field(default=None, repr=False)
    exec_plugin: dict | None = field(default=None, repr=False)


def load(path=None, content=None, context=None, origin=KUBECONFIG, read=None):
    """The Source of a kubeconfig, from a path or its content (text, bytes or mapping).

    C(context) is the name of one of its contexts, by default the current one. Files that it names are read, relative
    to its own directory. C(read(path)) gives the bytes of a file, which lets a caller decrypt it. Raises ConfigError.
    """
    where = os.path.abspath(os.path.expanduser(path)) if path else 'content'
    called = f'The kubeconfig {where}' if path else 'The kubeconfig that Talos issued' if origin == TALOS else 'The kubeconfig given as content'
    read = read or _file
    document = content if isinstance(content, dict) else _parse(_bytes(read, where, called) if path else content, called)
    name = context or document.get('current-context')
    if not name:
        raise ConfigError(f'{called} names no current context; it has: {_names(document, "contexts")}.', 'Set kube_context.')
    chosen = _named(document, 'contexts', name, 'context', called)
    cluster = _named(document, 'clusters', chosen.get('cluster'), 'cluster', called)
    user = _named(document, 'users', chosen.get('user'), 'user', called) if chosen.get('user') else {}
    if not cluster.get('server'):
        raise ConfigError(f'{called} has no server for the context "{name}".')
    if 'auth-provider' in user:
        raise ConfigError(f'{called} uses an auth-provider for the context "{name}", which Kubernetes has removed.',
                          'Use an exec plugin, a token or a certificate.')

    def pem(section, field_name):
        return _pem(section, field_name, read, os.path.dirname(where) if path else os.getcwd(), called)

    token = user.get('token')
    if not token and user.get('tokenFile'):
        token = _bytes(read, user['tokenFile'], called).decode('utf-8', 'replace').strip()
    return Source(
        server=str(cluster['server']).rstrip('/'), origin=origin, where=where, context=str(name), verify=not cluster.get('insecure-skip-tls-verify'),
        tls_server_name=cluster.get('tls-server-name'), proxy_url=cluster.get('proxy-url'), ca=pem(cluster, 'certificate-authority'),
        cert=pem(user, 'client-certificate'), key=pem(user, 'client-key'), token=token,
        basic=(user['username'], user.get('password') or '') if user.get('username') else None, exec_plugin=user.get('exec'))


def _file(path):
    with open(path, 'rb') as file:
        return file.read()


def _bytes(read, path, called):
    try:
        return read(path)
    except OSError as error:
        raise ConfigError(f'{called} cannot be used: {path} could not be read ({error.strerror or error}).') from None


def _parse(text, called):
    need_yaml()
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError):
        raise ConfigError(f'{called} is no YAML.') from None
    if not isinstance(document, dict):
        raise ConfigError(f'{called} is empty or no mapping.')
    return document


def _names(document, section):
    return ', '.join(str(item.get('name')) for item in document.get(section) or [] if isinstance(item, dict)) or 'none'


def _named(document, section, name, singular, called):
    for item in document.get(section) or []:
        if isinstance(item, dict) and item.get('name') == name:
            found = item.get(singular)
            return found if isinstance(found, dict) else {}
    raise ConfigError(f'{called} has no {singular} "{name}"; it has: {_names(document, section)}.')


def _pem(section, name, read, directory, called):
    """A certificate or key, inline as base64 or in a file; None when it has none."""
    inline = section.get(f'{name}-data')
    if inline:
        try:
            return base64.b64decode(inline, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise ConfigError(f'{called}: {name}-data is no base64.') from None
    path = section.get(name)
    return _bytes(read, os.path.join(directory, os.path.expanduser(path)), called) if path else None
