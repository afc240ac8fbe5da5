# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of talos_remediate was asked for, as its options say it: checked before anything is connected to."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import approval, plan
from ansible_collections.talosops.talos.plugins.module_utils.report import files

_SECONDS = ('wait', 'pause', 'verify_seconds')


@dataclass(frozen=True)
class Wishes:
    """C(remedies) are names in their order, C(targets) {name: [targets]}, C(approved) a plan or None, C(digest) of it or None."""

    remedies: tuple
    targets: dict
    approved: dict | None
    digest: str | None
    confirm: frozenset


def read(params):
    """The Wishes. Raises InputError."""
    for name in _SECONDS:
        if params[name] < 0:
            raise InputError(f'{name} must be a number of seconds, zero or more, not {params[name]}.')
    remedies = tuple(dict.fromkeys(_texts(params.get('remedies'))))
    for name in remedies:
        plan.must_be_known(name)
    targets = {str(name): [str(one).strip() for one in (value if isinstance(value, list) else [value])]
               for name, value in (params.get('targets') or {}).items()}
    for name, named in targets.items():
        plan.must_be_known(name)
        if name not in remedies:
            raise InputError(f'talos_targets names {name}, which talos_remedies does not enable.', f'Enable it: talos_remedies: [{name}].')
        if not named:
            raise InputError(f'talos_targets has no target for {name}.', 'Name targets of the plan, or leave it out for all of them.')
    digest = params.get('plan_digest') or None
    approved = plan_of(params['plan']) if params.get('plan') else None
    if approved is not None:
        approval.must_be_a_plan(approved, digest)
    return Wishes(remedies, targets, approved, digest, frozenset(_texts(params.get('confirm'))))


def _texts(given):
    """The texts of a list, as a file gives it, a command line (JSON, which Ansible cuts at its commas) or a survey (one a line)."""
    whole = ','.join(map(str, given or ()))
    if whole.lstrip().startswith('['):
        try:
            given = json.loads(whole)
        except ValueError:
            raise InputError(f'{whole} is neither a list nor names with commas between them.') from None
    return [line.strip() for one in given or () for line in str(one).splitlines() if line.strip()]


def plan_of(given):
    """The plan that was given as data, as JSON text, or as a path. Raises InputError."""
    if isinstance(given, dict):
        return given
    if not isinstance(given, str):
        raise InputError('plan is neither a plan nor the path of one.')
    if given.lstrip().startswith('{'):
        return _parsed(given, 'The plan that was given')
    path = os.path.abspath(os.path.expanduser(given))
    try:
        with open(path, encoding='utf-8') as file:
            return _parsed(file.read(), f'The plan {path}')
    except OSError as error:
        raise InputError(f'The plan {path} cannot be read: {error.strerror}.') from None
    except UnicodeDecodeError:
        raise InputError(f'The plan {path} is no text in UTF-8.') from None


def _parsed(text, what):
    try:
        return json.loads(text)
    except ValueError:
        raise InputError(f'{what} is no JSON.', 'Give what a run without talos_remedies wrote to talos_plan_out.') from None


def absolute(path):
    """The absolute path; one that ends as a directory does so still."""
    return os.path.join(os.path.abspath(path), '') if path.endswith(os.sep) else os.path.abspath(path)


def place_of_plan(path, key):
    """Where the plan of the cluster with this key is written: C(path), or a file in it where it is a directory."""
    return os.path.join(path, f'{key}.plan.json') if path.endswith(os.sep) or os.path.isdir(path) else path


def write_plan(path, document):
    """Write a plan, 0600, whole or not at all. Raises InputError where the plan of another cluster lies there: one of the two would be lost."""
    if os.path.exists(path):
        there = plan_of(path)
        if there.get('schema') == document['schema'] and (there.get('cluster'), there.get('cluster_id')) != (document['cluster'], document['cluster_id']):
            raise InputError(f'{path} holds the plan of another cluster ({there.get("cluster")}) already.',
                             'Give each cluster a talos_plan_out of its own, or a directory.')
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    except OSError as error:
        raise InputError(f'{os.path.dirname(path)} cannot be made: {error.strerror}.') from None
    files.put_json(path, document)
