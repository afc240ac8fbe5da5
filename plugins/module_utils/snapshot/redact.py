# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets are replaced when they are read, not when they are printed.

A secret becomes C(redacted:<8 hex>), an HMAC under a random key that lives as long as one gather: whether two nodes
have the same token stays judgeable, the token does not.
"""

from __future__ import annotations

import binascii
import functools
import hashlib
import hmac
import json
import re
import secrets
import string

MARK = 'redacted:'

_NAMES = frozenset((
    'clusterid', 'serviceclusterid', 'userdata', 'kubeconfig', 'talosconfig', 'credential', 'credentials', 'authorization', 'psk',
    'clientkeydata', 'bootstraptokenid', 'auth',
))
_ENDINGS = ('key', 'token', 'secret', 'password', 'passwd', 'passphrase', 'salt')
_PUBLIC = ('publickey', 'sortkey', 'hotkey')
# The key of a Kubernetes taint, of which one of these stands beside it; that of a toleration or a selector.
_TAINT_EFFECTS = ('NoSchedule', 'PreferNoSchedule', 'NoExecute')
_OPERATORS = ('Exists', 'Equal', 'In', 'NotIn', 'DoesNotExist', 'Gt', 'Lt')
# Fields in which people put whatever they like: files, environments, headers. L(Redactor.whole) leaves their shape only.
_ANYTHING = frozenset((
    'content', 'contents', 'env', 'environment', 'environmentvariables', 'variables', 'extraheaders', 'extramanifestheaders', 'inlinemanifest',
))
_SECRET_DATA = ('data', 'stringData')

_PRIVATE_KEY = re.compile(
    r'-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)', re.DOTALL)
_PRIVATE_KEY_END = re.compile(r'[A-Za-z0-9+/=\s]+-----END [A-Z0-9 ]*PRIVATE KEY-----')
_URL = re.compile(r'(?<=://)[^/@\s"\'<>]{1,512}(?=@)')
_BEARER = re.compile(r'(?i)\b(bearer|basic)(\s+)([A-Za-z0-9+/=._~-]{12,})')
_JWT = re.compile(r'\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+')
_ASSIGNED = re.compile(
    r'(?i)((?:token|secret|password|passwd|passphrase|api_?key|access_?key|private_?key|secret_?key|encryption_?key|userdata)\\?["\']?'
    r'(?:=|:[ \t]*))(\\?["\']?)([^\s"\'\\,;&}\])]{4,})')
_BOOTSTRAP_TOKEN = re.compile(r'(?<![a-z0-9.])[a-z0-9]{6}\.[a-z0-9]{16}(?![a-z0-9.])')
_BOOTSTRAP_TOKEN_END = re.compile(r'\.[a-z0-9]{16}(?![a-z0-9.])')
_BASE64_MIN = 80
_BASE64_WORDS = bytes(code if chr(code) in string.ascii_letters + string.digits + '+/' else 32 for code in range(256))
_TRIGGERS = ('token', 'secret', 'passw', 'passphrase', 'apikey', 'accesskey', 'privatekey', 'encryptionkey', '_key', 'userdata')
_OTHER_TRIGGERS = ('bearer', 'basic ', 'eyj', '://')
_TELLTALES = (b'PRIVATE KEY', b'machine:', b'cluster:', b'contexts:', b'clusters:', b'users:', b'token:', b'client-key-data', b'secret:')
_WORD = re.compile(r'[a-z-]{1,20}[.:]?')
_MARKED = re.compile(MARK + '[0-9a-f]{8}')
_VARIABLE = re.compile(r'([A-Za-z_][A-Za-z0-9_.]{0,99}=)([^=].*)', re.DOTALL)


class Redactor:
    """Replaces secrets by marks under one random key; thread-safe, the key is never written anywhere."""

    def __init__(self):
        self._key = secrets.token_bytes(32)

    def mark(self, value):
        """C(redacted:<8 hex>) for a str, bytes, or a list or dict as JSON; equal values give equal marks."""
        if isinstance(value, str):
            value = value.encode()
        elif not isinstance(value, bytes):
            value = json.dumps(value, sort_keys=True, default=str).encode()
        return MARK + hmac.new(self._key, value, hashlib.sha256).hexdigest()[:8]

    def value(self, value):
        """A copy of plain data: fields with a secret's name replaced as a whole, texts in it by C(text)."""
        if isinstance(value, dict):
            return {str(name): self.mark(item) if _is_secret(name, item, value) else self.value(item) for name, item in value.items()}
        return self._leaf(value, self.value)

    def whole(self, value):
        """As C(value), and stricter, for resources that are returned as a whole: what may hold anything keeps its shape alone.

        Those are the data of a Secret, and files, environments and headers of whatever kind.
        """
        if not isinstance(value, dict):
            return self._leaf(value, self.whole)
        if value.get('kind') == 'Secret':
            value = {name: self._leaves(item) if name in _SECRET_DATA else item for name, item in value.items()}
        return {str(name): self.mark(item) if _is_secret(name, item, value) else self._leaves(item) if _plain(name) in _ANYTHING else self.whole(item)
                for name, item in value.items()}

    def _leaves(self, value, listed=False):
        """A copy in which every text is a mark. Of what is C(listed), the variables C(NAME=value) and {name, value}, the name stays."""
        if isinstance(value, dict):
            return {str(name): item if listed and name in ('name', 'valueFrom') else self._leaves(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._leaves(item, listed=True) for item in value]
        if not isinstance(value, (str, bytes)) or not value or _is_mark(value):
            return value
        variable = _VARIABLE.fullmatch(value) if listed and isinstance(value, str) else None
        return variable[1] + self.mark(variable[2]) if variable else self.mark(value)

    def texts(self, value):
        """As C(value), where no field's name means a secret: a taint of Kubernetes has a key, too."""
        if isinstance(value, dict):
            return {str(name): self.texts(item) for name, item in value.items()}
        return self._leaf(value, self.texts)

    def _leaf(self, value, into):
        if isinstance(value, (list, tuple)):
            return [into(item) for item in value]
        if isinstance(value, bytes):
            value = value.decode('utf-8', 'replace')
        return self.text(value) if isinstance(value, str) else value

    def text(self, text):
        """The text without private keys, tokens, passwords, credentials in URLs, and encoded machine configs."""
        if len(text) < 12:
            return text
        if 'PRIVATE KEY' in text:
            text = _PRIVATE_KEY_END.sub(self._whole, _PRIVATE_KEY.sub(self._whole, text))
        lowered = text.lower()
        if _any(_OTHER_TRIGGERS, lowered) or _any(_TRIGGERS, lowered):
            text = '\n'.join([self._line(line, low) for line, low in zip(text.split('\n'), lowered.split('\n'))]) if '\n' in text \
                else self._line(text, lowered)
        if len(text) >= _BASE64_MIN:
            for word in text.encode(errors='replace').translate(_BASE64_WORDS).split():
                if len(word) >= _BASE64_MIN and _tells(word):
                    text = re.sub(re.escape(word.decode()) + '={0,2}', self._whole, text)
        if '.' in text and _BOOTSTRAP_TOKEN_END.search(text):
            text = _BOOTSTRAP_TOKEN.sub(self._whole, text)
        return text

    def _line(self, line, lowered):
        if '://' in line and '@' in line:
            line = _URL.sub(self._whole, line)
        if 'bearer' in lowered or 'basic ' in lowered:
            line = _BEARER.sub(lambda found: f'{found[1]}{found[2]}{self.mark(found[3])}', line)
        if 'eyJ' in line:
            line = _JWT.sub(self._whole, line)
        return _ASSIGNED.sub(self._assigned, line) if _any(_TRIGGERS, lowered) else line

    def _whole(self, found):
        return self.mark(found[0])

    def _assigned(self, found):
        name, quote, value = found.groups()
        if value.startswith(MARK) or (not quote and not name.endswith('=') and _WORD.fullmatch(value)):
            return found[0]
        return f'{name}{quote}{self.mark(value)}'


def _any(words, text):
    """Whether the text has one of the words; a loop, which is what costs least where most texts have none."""
    for word in words:
        if word in text:
            return True
    return False


def _is_secret(name, value, beside):
    if not _means_a_secret(name) or value is None or value == '' or isinstance(value, (bool, int, float, dict)) or _is_mark(value):
        return False
    return not (name == 'key' and (beside.get('effect') in _TAINT_EFFECTS or beside.get('operator') in _OPERATORS))


@functools.lru_cache(maxsize=4096)
def _means_a_secret(name):
    plain = _plain(name)
    return plain in _NAMES or (plain.endswith(_ENDINGS) and not plain.endswith(_PUBLIC))


@functools.lru_cache(maxsize=4096)
def _plain(name):
    return re.sub('[^a-z]', '', str(name).lower())


def _is_mark(value):
    return isinstance(value, str) and bool(_MARKED.fullmatch(value))


def _tells(word):
    """Whether base64 bytes, cut anywhere, hold a private key, a machine config, a talosconfig or a kubeconfig."""
    for start in range(4):
        part = word[start:]
        decoded = binascii.a2b_base64(part[:len(part) // 4 * 4])
        if any(telltale in decoded for telltale in _TELLTALES):
            return True
    return False
