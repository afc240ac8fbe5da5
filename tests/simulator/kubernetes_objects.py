# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all objects of the simulated Kubernetes API have in common: names, times, metadata, and what a refusal is."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import timezone

# The letters of which Kubernetes makes the ends of generated names.
_LETTERS = 'bcdfghjklmnpqrstvwxz2456789'


class Refusal(Exception):
    """An answer that is a Status of failure, as the API server words it."""

    def __init__(self, code, reason, message, details=None):
        super().__init__(message)
        self.code = code
        self.body = {'kind': 'Status', 'apiVersion': 'v1', 'metadata': {}, 'status': 'Failure', 'message': message}
        self.body |= {'reason': reason} if reason else {}
        self.body |= {'details': details} if details is not None else {}
        self.body['code'] = code


def metadata(model, name, created, namespace=None, generate_name=None, seed=None, **more):
    """An object's metadata in the recorded order; the resourceVersion is the store's to fill in. C(seed) makes the uid."""
    kind = seed or f'{namespace}/{name}'
    found = {'name': name, 'generateName': generate_name, 'namespace': namespace, 'uid': uid(f'{model.seed}/{kind}'), 'resourceVersion': '',
             'generation': more.pop('generation', None), 'creationTimestamp': time(created), **more}
    return {key: value for key, value in found.items() if value is not None}


def uid(text):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, text))


def suffix(text, length=5):
    """The end of a generated name: random on a real cluster, the same for the same text here."""
    digest = hashlib.sha256(text.encode()).digest()
    return ''.join(_LETTERS[byte % len(_LETTERS)] for byte in digest[:length])


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def time(when):
    return f'{when.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}'


def micro_time(when):
    return f'{when.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ}'


def json_text(value):
    return json.dumps(value, separators=(',', ':'))
