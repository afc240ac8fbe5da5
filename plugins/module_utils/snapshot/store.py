# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshot as a file: a zip archive, mode 0600.

C(manifest.json) says what the archive is and which members it has; every machine has a directory named by its place
in the manifest (host names are no identity), one JSON member per kind and one plain member per log, which is read
only when somebody asks for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import stat
import tempfile
import zipfile
import zlib
from collections import Counter

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import READ, STATES, InputError
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Endpoint, Machine, Snapshot

FORMAT = 1
MANIFEST = 'manifest.json'
MEMBER_MOST = 64 * 1024 * 1024
MACHINES_MOST = 10000

_MACHINE_FIELDS = {'key': str, 'address': (str, type(None)), 'addresses': list, 'name': (str, type(None)), 'type': str, 'known_from': list,
                   'answered': bool, 'unreachable': (dict, type(None)), 'via': (str, type(None))}
_ENDPOINT_FIELDS = {'text': str, 'host': str, 'port': int, 'addresses': list, 'connected': bool, 'error': (dict, type(None)),
                    'certificate': (dict, type(None)), 'machine': (str, type(None))}
_SNAPSHOT_FIELDS = {'taken_at': str, 'finished_at': (str, type(None)), 'collection': (str, type(None)), 'cluster': dict, 'client': dict,
                    'control_node': dict}


class LogDatum(Datum):
    """A log whose text stays in the archive until C(value) is read; C(sha256) is that of the text."""

    def __init__(self, load, sha256, **known):
        self._load = load
        self._text = None
        self.sha256 = sha256
        super().__init__(**known)

    @property
    def value(self):
        if self._text is None and self._load is not None:
            self._text = self._load()
        return self._text

    @value.setter
    def value(self, text):
        self._text = text


# -- writing ------------------------------------------------------------------------------------------------


def dumps(snapshot):
    """The archive as bytes; the same snapshot gives the same bytes."""
    members, texts = _members(snapshot)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in members.items():
            archive.writestr(_entry(name), _json(content))
        for name, datum in texts.items():
            archive.writestr(_entry(name), datum.value.encode())
    return buffer.getvalue()


def write(snapshot, path):
    """Write the archive, mode 0600, replacing C(path) at once or not at all; raises InputError when that fails."""
    return save(dumps(snapshot), path)


def save(data, path):
    """Write an archive's bytes as C(write) does; returns the path."""
    path = os.path.abspath(os.path.expanduser(path))
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix='.snapshot-', dir=os.path.dirname(path))
        with os.fdopen(handle, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(f'The snapshot could not be written to {path}: {error.strerror or error}.') from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    return path


def digest(snapshot, settings, collection_version):
    """SHA-256 (hex) of a snapshot, the settings (C(Settings)) and the collection's version: the same for a snapshot and its archive."""
    members, texts = _members(snapshot)
    plain = {'settings': settings.to_plain() if hasattr(settings, 'to_plain') else settings, 'collection': collection_version,
             'members': members, 'texts': {name: _sha256(datum) for name, datum in texts.items()}}
    return hashlib.sha256(_json(plain)).hexdigest()


def _members(snapshot):
    """C(({name: plain data}, {name: log Datum})) of the archive."""
    members, texts, index = {}, {}, []
    for number, machine in enumerate(snapshot.machines, start=1):
        place = f'machines/{number:04d}'
        entry = {name: getattr(machine, name) for name in _MACHINE_FIELDS}
        entry['data'] = {}
        for kind, datum in sorted(machine.data.items()):
            entry['data'][kind] = name = f'{place}/{_safe(kind)}.json'
            members[name] = datum.to_plain()
        entry['logs'] = {}
        for log_id, datum in sorted(machine.logs.items()):
            plain = {'state': datum.state, 'at': datum.at, 'reason': datum.reason, 'code': datum.code, 'complete': datum.complete}
            if datum.ok:
                plain['member'] = name = f'{place}/logs/{_safe(log_id)}.log'
                plain['sha256'] = _sha256(datum)
                texts[name] = datum
            entry['logs'][log_id] = plain
        index.append(entry)
    fields = {name: getattr(snapshot, name) for name in _SNAPSHOT_FIELDS}
    manifest = {'format': FORMAT, **fields, 'machines': index, 'endpoints': [], 'read': _summary(snapshot)}
    for endpoint in snapshot.endpoints:
        entry = {name: getattr(endpoint, name) for name in _ENDPOINT_FIELDS}
        manifest['endpoints'].append({**entry, 'data': _plain_data(endpoint.data)})
    members['kubernetes.json'] = {**snapshot.kubernetes, 'data': _plain_data(snapshot.kubernetes.get('data')),
                                  'servers': _plain_data(snapshot.kubernetes.get('servers'))}
    return {MANIFEST: manifest, **members}, texts


def _plain_data(data):
    return {kind: datum.to_plain() for kind, datum in (data or {}).items()}


def _summary(snapshot):
    """C({kind: {state: number of machines}}): what was read, refused and missing."""
    summary = {}
    for machine in snapshot.machines:
        for kind, datum in [*machine.data.items(), *((f'log {log_id}', datum) for log_id, datum in machine.logs.items())]:
            summary.setdefault(kind, Counter())[datum.state] += 1
    return {kind: dict(sorted(states.items())) for kind, states in sorted(summary.items())}


def _safe(name):
    return ''.join(character if character.isalnum() or character in '-_' else f'%{ord(character):02x}' for character in name)


def _sha256(datum):
    known = getattr(datum, 'sha256', None)
    return known or hashlib.sha256(datum.value.encode()).hexdigest()


def _entry(name):
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | stat.S_IRUSR | stat.S_IWUSR) << 16
    return entry


def _json(plain):
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(',', ':')).encode()


# -- reading ------------------------------------------------------------------------------------------------


def read(path):
    """The Snapshot in an archive. Raises InputError with one sentence when it is none, damaged or of a newer version."""
    path = os.path.abspath(os.path.expanduser(path))
    return _load(lambda: open(path, 'rb'), path)


def loads(data):
    """The Snapshot in an archive's bytes; as C(read)."""
    return _load(lambda: io.BytesIO(data), 'the archive')


def _load(open_archive, where):
    with _archive(open_archive, where) as archive:
        manifest = _member(archive, MANIFEST, where)
        _check_format(manifest, where)
        try:
            return _snapshot(archive, manifest, open_archive, where)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f'The snapshot in {where} is damaged: its content is not as it was written ({error!r}).') from None


@contextlib.contextmanager
def _archive(open_archive, where):
    try:
        with open_archive() as file, zipfile.ZipFile(file) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise InputError(f'{where} is no snapshot archive, or it was cut off: {error}.') from None
    except OSError as error:
        raise InputError(f'The snapshot {where} could not be read: {error.strerror or error}.') from None


def _bytes(archive, name, where):
    try:
        with archive.open(name) as member:
            data = member.read(MEMBER_MOST + 1)
    except KeyError:
        raise InputError(f'The snapshot in {where} is damaged: it has no {name}.') from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f'The snapshot in {where} is damaged: {name} cannot be read ({error}).') from None
    if len(data) > MEMBER_MOST:
        raise InputError(f'The snapshot in {where} is refused: {name} is larger than {MEMBER_MOST // 2 ** 20} MiB.')
    return data


def _member(archive, name, where):
    try:
        plain = json.loads(_bytes(archive, name, where))
    except (ValueError, RecursionError):
        raise InputError(f'The snapshot in {where} is damaged: {name} is no JSON.') from None
    if not isinstance(plain, dict):
        raise InputError(f'The snapshot in {where} is damaged: {name} is no mapping.')
    return plain


def _check_format(manifest, where):
    version = manifest.get('format')
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f'The snapshot in {where} is damaged: its manifest has no format version.')
    if version > FORMAT:
        raise InputError(f'The snapshot in {where} has format version {version}, this collection reads up to {FORMAT}.',
                         'Install a newer version of the collection.')


def _snapshot(archive, manifest, open_archive, where):
    fields = _fields(manifest, _SNAPSHOT_FIELDS)
    if len(manifest['machines']) > MACHINES_MOST:
        raise ValueError(f'{len(manifest["machines"])} machines')
    kubernetes = _member(archive, 'kubernetes.json', where)
    for part in ('data', 'servers'):
        kubernetes[part] = _data(kubernetes[part])
    machines = []
    for entry in manifest['machines']:
        machine = Machine(**_fields(entry, _MACHINE_FIELDS))
        machine.data = {kind: _datum(_member(archive, name, where)) for kind, name in entry['data'].items()}
        machine.logs = {log_id: _log(plain, open_archive, where) for log_id, plain in entry['logs'].items()}
        machines.append(machine)
    endpoints = [Endpoint(**_fields(entry, _ENDPOINT_FIELDS), data=_data(entry['data'])) for entry in manifest['endpoints']]
    return Snapshot(**fields, endpoints=endpoints, machines=machines, kubernetes=kubernetes)


def _fields(plain, types):
    for name, kind in types.items():
        if not isinstance(plain[name], kind):
            raise TypeError(f'{name} is a {type(plain[name]).__name__}')
    return {name: plain[name] for name in types}


def _data(plain):
    return {kind: _datum(item) for kind, item in plain.items()}


def _datum(plain):
    if plain['state'] not in STATES:
        raise ValueError(f'state {plain["state"]!r}')
    return Datum.from_plain(plain)


def _log(plain, open_archive, where):
    known = {name: plain[name] for name in ('state', 'at', 'reason', 'code', 'complete')}
    if plain['state'] not in STATES:
        raise ValueError(f'state {plain["state"]!r}')
    if plain['state'] != READ:
        return Datum(**known)
    name = plain['member']

    def load():
        with _archive(open_archive, where) as archive:
            return _bytes(archive, name, where).decode('utf-8', 'replace')

    return LogDatum(load, plain['sha256'], **known)
