# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""One read of one machine, as a Datum: what came, or why it did not."""

from __future__ import annotations

import functools
import hashlib
import threading
import time
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api import spec, yaml_text
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ABSENT, FAILED, NOT_ASKED, READ, InputError, NotAsked, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, format_time
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import LOG_BYTES, LOG_TAIL, Log, Resources

ENTRIES_MOST = 20000
SPECS_KEPT = 4000

# UNKNOWN is all that Talos gives with these (talos-api 5.2).
_ABSENT_TEXTS = ('was not registered', 'no such file or directory')


def now():
    return format_time(datetime.now(timezone.utc))


class Budget:
    """The time of the whole gather; a call's own deadline starts when it is sent and never outlasts the whole."""

    def __init__(self, timeout, deadline):
        self.timeout = timeout
        self._deadline = deadline
        self._end = time.monotonic() + deadline
        self._stopped = threading.Event()

    def left(self):
        return max(0.0, self._end - time.monotonic())

    def stop(self):
        """Nothing more is sent from now on."""
        self._stopped.set()

    def over(self):
        """C((state, reason)) of everything that is not asked any more, None while there is time."""
        if self.left() > 0 and not self._stopped.is_set():
            return None
        return NOT_ASKED, f'the {self._deadline:g} s for the whole gather had passed'

    def seconds(self):
        """Seconds for a call that is sent now. Raises NotAsked when the whole is over."""
        over = self.over()
        if over:
            raise NotAsked(over[1])
        return min(self.timeout, self.left())


class Asker:
    """Asks machines (api/client.py: Machine), redacts what they say, and keeps the digest of the cluster's id."""

    def __init__(self, budget, redactor):
        self.budget = budget
        self.redactor = redactor
        self.cluster_ids = []
        # What all machines tell alike, such as members and routes, is read and redacted once.
        self._spec = functools.lru_cache(maxsize=SPECS_KEPT)(lambda text: redactor.value(yaml_text.load(text)))

    def ask(self, read, machine):
        """C((Datum, error or None)) of one read (snapshot/reads.py); raises nothing that a machine or a network did."""
        sent = now()
        try:
            value, complete, reason = self._call(read, machine, self.budget.seconds())
            if getattr(read, 'shape', None):
                value = _shaped(read, value, self.redactor.mark)
        except InputError:
            raise
        except TalosError as error:
            return self._failed(error), error
        except ValueError as error:
            error = TalosError(f'the answer could not be understood: {error}')
            return self._failed(error), error
        if read.kind == 'Infos':
            self._note_cluster_id(value)
        if read.kind == 'Time':
            value = {**value, 'sent_at': sent, 'received_at': now()}
        return Datum(READ, self._redacted(read, value), now(), reason=reason and self.redactor.text(reason), complete=complete), None

    def ask_log(self, log_id, namespace, tail, machine):
        """The Datum of the log of one container."""
        try:
            value, complete, reason = text_of(machine.log(log_id, namespace, tail, LOG_BYTES, self.budget.seconds()))
        except TalosError as error:
            return self._failed(error)
        return Datum(READ, self.redactor.text(value), now(), reason=reason and self.redactor.text(reason), complete=complete)

    def _redacted(self, read, value):
        if isinstance(read, Log):
            return self.redactor.text(value)
        if not isinstance(read, Resources):
            return self.redactor.value(value)
        return [{**item, 'id': self.redactor.text(item['id']), 'labels': self.redactor.value(item['labels']), 'spec': self._of_spec(item['spec'])}
                for item in value]

    @staticmethod
    def _late(read):
        """Whether specs are read as they are redacted: what is kept of them does not hang on more than their text."""
        return read.shape is None and read.kind != 'Infos'

    def _of_spec(self, found):
        return self._spec(str(found)) if isinstance(found, spec.Unparsed) else self.redactor.value(found)

    def _call(self, read, machine, seconds):
        """C((value, complete, reason)) of a read."""
        if isinstance(read, Resources):
            return machine.resources(read.type, read.namespace, timeout=seconds, parse=not self._late(read)), True, None
        if isinstance(read, Log):
            if read.method:
                return text_of(machine.stream(read.method, {}, LOG_BYTES, seconds, newest=True))
            return text_of(machine.log(read.kind, tail=LOG_TAIL, limit_bytes=LOG_BYTES, timeout=seconds))
        if read.stream:
            found = machine.messages(read.method, read.request, timeout=seconds, most=ENTRIES_MOST)
            return [{name: value for name, value in message.items() if name != 'metadata'} for message in found], len(found) < ENTRIES_MOST, None
        value = machine.unary(read.method, read.request, timeout=seconds)
        return (value['member_status'] if read.kind == 'EtcdStatus' else value), True, None

    def _failed(self, error):
        message = self.redactor.text(error.message)
        state = ABSENT if error.state == FAILED and any(text in message for text in _ABSENT_TEXTS) else error.state
        return Datum(state, at=now(), reason=message, code=getattr(error, 'code', None))

    def _note_cluster_id(self, items):
        for item in items:
            cluster_id = (item.get('spec') or {}).get('clusterId')
            if cluster_id:
                self.cluster_ids.append(hashlib.sha256(str(cluster_id).encode()).hexdigest()[:16])


def _shaped(read, value, mark):
    """What a read's shape keeps; an answer of an unexpected form is one that was not understood, never kept whole."""
    try:
        return read.shape(value, mark)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'it has an unexpected form ({type(error).__name__})') from None


def text_of(stream, limit=LOG_BYTES):
    """C((text, complete, reason)) of a Stream; raises its error where nothing came before it."""
    if stream.error is not None and not stream.data:
        raise stream.error
    reason = stream.error.message if stream.error is not None else f'cut at {limit} bytes' if stream.truncated else None
    return stream.data.decode('utf-8', 'replace'), stream.complete and not stream.truncated, reason
