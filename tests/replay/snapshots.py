# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots that the gather itself makes of a replayed cluster, at the time at which it was recorded."""

from __future__ import annotations

import functools
import hashlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import store
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.gather import clock_offset_ms, gather
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time, parse_time
from tests.replay.server import serve

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / '.build' / 'snapshots'
_SOURCES = ('plugins/module_utils/api', 'plugins/module_utils/kube', 'plugins/module_utils/snapshot', 'tests/replay', 'tests/bed')


@functools.lru_cache(maxsize=None)
def recorded(set_name):
    """The Snapshot of a recorded set, gathered through the replay once and kept under .build/ until a source changes."""
    path = CACHE / f'{set_name}-{_digest()}.zip'
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        for older in CACHE.glob(f'{set_name}-????????????????.zip'):
            older.unlink(missing_ok=True)
        store.write(_gathered(set_name), path)
    return store.read(path)


def _gathered(set_name):
    with serve(set_name) as replay:
        # A busy machine, of which there are many in a run of all tests, is no part of what was recorded.
        taken = gather(talosconfig.load(content=replay.talosconfig), proxy=replay.proxy, timeout=20, deadline=600)
        meta = replay.recording.meta
    begun, ended = parse_time(meta['started']), parse_time(meta['finished'])
    late = datetime.now(timezone.utc) - ended
    taken.taken_at, taken.finished_at = format_time(begun), format_time(ended)
    for machine in taken.machines:
        told = machine.value('Time')
        if told:  # when it was asked then, not now
            told.update(sent_at=told['localtime'], received_at=told['localtime'])
    taken.control_node['clock_offset_ms'] = clock_offset_ms(taken.machines)
    certificates = [taken.client['certificate'], *(endpoint.certificate for endpoint in taken.endpoints),
                    *(machine.value(kind) for machine in taken.machines for kind in ('certificate', 'apiserver_certificate')),
                    *(taken.kubernetes['data']['endpoint'].value or {}).get('certificates', ())]
    for certificate in {id(found): found for found in certificates if found}.values():
        for name in ('not_before', 'not_after'):
            certificate[name] = _earlier(certificate[name], late)
    return taken


def _earlier(text, late):
    return format_time(parse_time(text) - late + timedelta(seconds=0.5)).partition('.')[0] + 'Z'


@functools.lru_cache(maxsize=None)
def _digest():
    found = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((ROOT / folder).rglob('*')):
            if path.suffix in ('.py', '.xz', '.json', '.proto'):
                found.update(path.read_bytes())
    return found.hexdigest()[:16]
