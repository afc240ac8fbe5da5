# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The talosconfig: where it is, which context is meant, whether its credentials fit together (talos-api 2.1).

The file is read and never created or written.
"""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass, field

from ansible_collections.talosops.talos.plugins.module_utils.api import credentials
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError
from ansible_collections.talosops.talos.plugins.module_utils.api.yaml_text import need_yaml

try:
    import yaml
except ImportError:
    yaml = None

SERVICE_ACCOUNT = '/var/run/secrets/talos.dev/config'
CONTENT = 'content'
_VAULT = '$ANSIBLE_VAULT'


@dataclass(frozen=True)
class Context:
    """One context of a talosconfig. C(ca), C(crt), C(key) are PEM bytes or None, the key as OpenSSL reads it.

    C(source) is the path or 'content'; C(contexts) the names of all; C(missing) the path in TALOSCONFIG when there was
    no such file and another was taken, as talosctl does it.
    """

    name: str
    endpoints: list
    nodes: list
    ca: bytes | None = field(default=None, repr=False)
    crt: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    proxy_url: str | None = field(default=None, repr=False)
    cluster: str | None = None
    source: str = CONTENT
    contexts: list = field(default_factory=list)
    missing: str | None = None


def load(path=None, content=None, context=None, environ=None, default_context=None, read=None):
    """The L(Context) that is meant. Raises L(ConfigError) with a sentence that says what is wrong and where.

    C(path) excludes C(content) (text, bytes or mapping); without either, the first that exists of TALOSCONFIG,
    TALOS_HOME/config or ~/.talos/config, and the mounted service account. C(context), else TALOS_CONTEXT, else
    C(default_context), else the file's current one; a name that the file lacks is an error. C(read(path)) gives the
    bytes of a file, which lets a caller decrypt it.
    """
    environ = os.environ if environ is None else environ
    missing = None
    if content not in (None, ''):
        if path:
            raise ConfigError('Both a talosconfig path and its content were given.', 'Give one of them.')
        source, raw = CONTENT, content
    else:
        source, missing = _find(path, environ)
        raw = _read(source, read)
    document = raw if isinstance(raw, dict) else _parse(raw, source)
    contexts = document.get('contexts')
    if not isinstance(contexts, dict) or not contexts:
        raise ConfigError(f'{_called(source)} has no contexts.', 'Fetch the talosconfig from whoever made the cluster.')
    contexts = {str(key): value for key, value in contexts.items()}
    name = _choose(document, contexts, context or environ.get('TALOS_CONTEXT'), default_context, source)
    return _context(name, contexts[name], list(contexts), source, missing)


def outline(path=None, environ=None, read=None):
    """{name: {endpoints, nodes}} of every context, usable or not, without credentials. Raises L(ConfigError)."""
    source = _find(path, os.environ if environ is None else environ)[0]
    contexts = _parse(_read(source, read), source).get('contexts')
    if not isinstance(contexts, dict):
        raise ConfigError(f'{_called(source)} has no contexts.')
    return {str(name): {part: [str(text) for text in (data.get(part) if isinstance(data, dict) else None) or []] for part in ('endpoints', 'nodes')}
            for name, data in contexts.items()}


def facts(context, now):
    """What the snapshot keeps of a context, without secrets; C(now) is an aware datetime:

    {context, source, contexts, endpoints, nodes, local_file: a ./talosconfig that was not taken or None,
    certificate: facts with roles, extended_key_usage and matches_key, or None, ca: {subject, sha256, not_after,
    key_type, signed_client, count} or None, problems: [{kind, text}]}. Kinds: expired, not_yet_valid, no_endpoints,
    no_client_certificate, foreign_ca, extended_key_usage, talosconfig_missing.
    """
    certificate, ca, problems = credentials.facts(context, now)
    if not context.endpoints:
        problems.append({'kind': 'no_endpoints', 'text': _no_endpoints(context)})
    if context.missing:
        problems.append({'kind': 'talosconfig_missing',
                         'text': f'TALOSCONFIG names {context.missing}, which does not exist; {context.source} was used instead.'})
    return {
        'context': context.name, 'source': context.source, 'contexts': list(context.contexts), 'endpoints': list(context.endpoints),
        'nodes': list(context.nodes), 'certificate': certificate, 'ca': ca, 'problems': problems, 'local_file': local_file(context.source),
    }


def _no_endpoints(context):
    called = _called(context.source)
    return f'The context "{context.name}" of {called[0].lower()}{called[1:]} has no endpoints.'


def need_endpoints(context):
    """Raises L(ConfigError) for a context without endpoints, as a freshly generated file has them."""
    if not context.endpoints:
        raise ConfigError(_no_endpoints(context), 'Set them with: talosctl config endpoint <address of a control plane node>')


def _called(source):
    return 'The talosconfig given as content' if source == CONTENT else f'The talosconfig {source}'


def _find(path, environ):
    if path:
        return os.path.expanduser(str(path)), None
    named = environ.get('TALOSCONFIG')
    home = environ.get('TALOS_HOME')
    if not home or not os.path.isabs(home):
        home = os.path.join(environ.get('HOME') or os.path.expanduser('~'), '.talos')
    candidates = [*([os.path.expanduser(named)] if named else []), os.path.join(home, 'config'), SERVICE_ACCOUNT]
    for candidate in candidates:
        if os.path.exists(candidate):
            return candidate, candidates[0] if named and candidate != candidates[0] else None
    raise ConfigError(f'There is no talosconfig: none of {", ".join(candidates)} exists.',
                      'Name one by the option talosconfig or by TALOSCONFIG.')


def _read(path, read):
    try:
        if os.path.isdir(path):
            raise ConfigError(f'The talosconfig {path} is a directory, not a file.')
        if read is not None:
            return read(path)
        with open(path, 'rb') as file:
            return file.read()
    except FileNotFoundError:
        raise ConfigError(f'The talosconfig {path} does not exist.') from None
    except OSError as error:
        raise ConfigError(f'The talosconfig {path} cannot be read: {error.strerror or error}.') from None


def _parse(raw, source):
    need_yaml()
    try:
        text = raw.decode('utf-8-sig') if isinstance(raw, (bytes, bytearray)) else str(raw)
    except UnicodeDecodeError:
        raise ConfigError(f'{_called(source)} is not text in UTF-8.') from None
    if text.lstrip().startswith(_VAULT):
        raise ConfigError(f'{_called(source)} is encrypted by ansible-vault.', 'Give its password, for example with --ask-vault-pass.')
    if not text.strip():
        raise ConfigError(f'{_called(source)} is empty.', 'talosctl leaves an empty file behind when it finds none; fetch the real one.')
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)  # the error's own text quotes lines of the file, keys included
        where = f' (line {mark.line + 1}, column {mark.column + 1})' if mark else ''
        raise ConfigError(f'{_called(source)} is not valid YAML{where}.') from None
    if not isinstance(document, dict):
        raise ConfigError(f'{_called(source)} is no mapping: a talosconfig has the keys context and contexts.')
    return document


def _choose(document, contexts, wanted, default, source):
    names = ', '.join(contexts)
    if not wanted and default:
        if default not in contexts:
            raise ConfigError(f'{_called(source)} has no context "{default}", the name of the inventory host. It has: {names}.',
                              'Set talos_context, or name the host as the context.')
        return default
    current = str(wanted or document.get('context') or '')
    if not current:
        if len(contexts) == 1:
            return next(iter(contexts))
        raise ConfigError(f'{_called(source)} names no current context. It has: {names}.', 'Set the option context.')
    if current not in contexts:
        although = '' if wanted else ', which it names as its current one'
        raise ConfigError(f'{_called(source)} has no context "{current}"{although}. It has: {names}.')
    return current


def _context(name, data, names, source, missing):
    where = f'the context "{name}" of {_called(source)[0].lower()}{_called(source)[1:]}'
    if not isinstance(data, dict):
        raise ConfigError(f'In {where}: it is no mapping.')
    auth = data.get('auth') or {}
    if isinstance(auth, dict) and 'siderov1' in auth:
        raise ConfigError(f'In {where}: it belongs to Omni (auth.siderov1), which signs every request with a key of its own.',
                          'Get one with a client certificate: omnictl talosconfig --break-glass')
    if isinstance(auth, dict) and 'basic' in auth:
        raise ConfigError(f'In {where}: auth.basic is not supported.', 'Use a talosconfig with a client certificate.')
    endpoints = _texts(data, 'endpoints', where)
    target = data.get('target')
    if target and str(target) not in endpoints:
        endpoints.append(str(target))
    proxy_url = data.get('proxy-url')
    if proxy_url and not isinstance(proxy_url, str):
        raise ConfigError(f'In {where}: proxy-url is no text.')
    if proxy_url and proxy_url.startswith('socks'):
        raise ConfigError(f'In {where}: proxy-url is a SOCKS proxy, which is not supported.', 'Use an HTTP proxy that allows CONNECT.')
    ca, crt, key = (_pem(data, part, where) for part in ('ca', 'crt', 'key'))
    key = credentials.check(ca, crt, key, where)
    return Context(name=name, endpoints=endpoints, nodes=_texts(data, 'nodes', where), ca=ca, crt=crt, key=key, proxy_url=proxy_url or None,
                   cluster=data.get('cluster') or None, source=source, contexts=names, missing=missing)


def _texts(data, key, where):
    values = data.get(key) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ConfigError(f'In {where}: {key} is no list of texts.')
    return [value.strip() for value in values if value.strip()]


def _pem(data, part, where):
    text = data.get(part)
    if not text:
        return None
    if not isinstance(text, str):
        raise ConfigError(f'In {where}: {part} is no text.')
    try:
        pem = base64.b64decode(''.join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f'In {where}: {part} is not base64.') from None
    if b'-----BEGIN ' not in pem:
        raise ConfigError(f'In {where}: {part} is base64, but of no PEM.')
    return pem


def local_file(source):
    """The path of ./talosconfig when it exists and another was used: what C(talosctl gen config) leaves behind."""
    path = os.path.abspath('talosconfig')
    if not os.path.isfile(path) or (source != CONTENT and os.path.realpath(source) == os.path.realpath(path)):
        return None
    return path
