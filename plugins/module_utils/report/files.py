# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where snapshot and report lie on the control node, and how they are written: files 0600, directories 0700."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.judge.judge import SCHEMA

HOME = 'talos-report'
LATEST = 'latest'
SNAPSHOT = 'snapshot.zip'
REPORT = 'report.json'


def cluster_key(name, cluster_id):
    """slug_of_name + "_" + 8 hex digits of SHA-256 of name and cluster id: usable as a file name and as a variable.

    Two clusters of one name have different ids, so they never share a key.
    """
    slug = re.sub(r'[^a-z0-9]+', '_', (name or '').lower()).strip('_') or 'cluster'
    digest = hashlib.sha256(((name or '') + (cluster_id or '')).encode()).hexdigest()
    return f'{slug}_{digest[:8]}'


def key_of(root, name, cluster_id):
    """The cluster key; a cluster that was not reached has no id, and is the one of its name that has reports below C(root) already."""
    key = cluster_key(name, cluster_id)
    if cluster_id is None:
        slug = key.rpartition('_')[0]
        with contextlib.suppress(OSError):
            known = [entry for entry in os.listdir(os.path.join(root, HOME)) if re.fullmatch(f'{re.escape(slug)}_[0-9a-f]{{8}}', entry)]
            if len(known) == 1:
                return known[0]
    return key


def make_directory(root, key, when):
    """Make C(<root>/talos-report/<key>/<UTC time>), point C(latest) to it, and return its path.

    C(when) is an aware datetime. Two runs within one second get directories of their own.
    """
    home = os.path.join(root, HOME, key)
    stamp = when.strftime('%Y%m%dT%H%M%SZ')
    try:
        _make(home)
        name, number = stamp, 1
        while True:
            try:
                os.mkdir(os.path.join(home, name), 0o700)
                break
            except FileExistsError:
                number += 1
                name = f'{stamp}-{number}'
    except OSError as error:
        raise InputError(f'The report cannot be written below {home}: {error.strerror}.', 'Give a writable talos_report_dir.') from None
    with contextlib.suppress(OSError):  # a file system without symbolic links holds reports all the same
        _point_latest(home, name)
    return os.path.join(home, name)


def use_directory(path, name, cluster_id):
    """Make the directory that the user named; returns it as an absolute path.

    Raises InputError where another cluster's report lies already: one of the two would be lost.
    """
    path = os.path.abspath(path)
    try:
        _make(path)
    except OSError as error:
        raise InputError(f'The report cannot be written to {path}: {error.strerror}.', 'Give a writable talos_report_dir.') from None
    there = os.path.join(path, REPORT)
    if os.path.exists(there):
        report = read_report(there)
        if report['cluster'] != name or None not in (report['cluster_id'], cluster_id) and report['cluster_id'] != cluster_id:
            raise InputError(f'{path} holds the report of another cluster ({report["cluster"]}) already.',
                             'Give each cluster a talos_report_dir of its own, for example one that ends with "{{ inventory_hostname }}".')
    return path


def write_report(directory, report):
    """Write report.json; returns its path."""
    path = os.path.join(directory, REPORT)
    put_json(path, report)
    return path


def put_json(path, data):
    """Write data as JSON, 0600, so that the file is there as a whole or not at all. Raises InputError."""
    scratch = None
    try:
        handle, scratch = tempfile.mkstemp(prefix='.talos-', dir=os.path.dirname(path))
        with os.fdopen(handle, 'w', encoding='utf-8') as file:
            json.dump(data, file, indent=1, ensure_ascii=False)
            file.write('\n')
        os.replace(scratch, path)
        scratch = None
    except OSError as error:
        raise InputError(f'{path} could not be written: {error.strerror}.') from None
    finally:
        if scratch:
            os.unlink(scratch)


def read_report(path):
    """The report that lies at C(path). Raises InputError for what is no report of this format."""
    try:
        with open(path, encoding='utf-8') as file:
            report = json.load(file)
    except OSError as error:
        raise InputError(f'The report {path} cannot be read: {error.strerror}.') from None
    except ValueError:
        raise InputError(f'{path} is no report: it is not JSON.') from None
    schema = report.get('schema') if isinstance(report, dict) else None
    if schema != SCHEMA:
        raise InputError(f'{path} is no report of this format: its schema is {schema!r}, not {SCHEMA!r}.')
    return report


def _make(path):
    """Make a directory and those above it that are missing, each 0700 (os.makedirs gives the mode to the last alone)."""
    if not os.path.isdir(path):
        if os.path.dirname(path) not in ('', path):
            _make(os.path.dirname(path))
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)


def _point_latest(home, name):
    link = os.path.join(home, LATEST)
    scratch = os.path.join(home, f'.{LATEST}.{os.getpid()}')
    os.symlink(name, scratch)
    os.replace(scratch, link)
