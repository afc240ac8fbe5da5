# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import errors
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.ask import Asker, Budget
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.progress import Progress
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.reads import BY_KIND
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import Redactor

LOG = BY_KIND[True, 'etcd']
VERSION = BY_KIND[False, 'Version']


def asked(read, **answers):
    def answer(name):
        def call(*_args, **_more):
            if isinstance(answers[name], Exception):
                raise answers[name]
            return answers[name]
        return call
    return Asker(Budget(10, 60), Redactor()).ask(read, SimpleNamespace(**{name: answer(name) for name in answers}))


def stream(data, error=None, truncated=False):
    return SimpleNamespace(data=data, complete=error is None and not truncated, error=error, truncated=truncated)


def test_a_log_is_decoded_as_a_whole():
    datum, error = asked(LOG, log=stream('fünf'.encode() + b'\xff'))
    assert (datum.value, datum.complete, error) == ('fünf\ufffd', True, None)


def test_a_stream_that_broke_keeps_what_came_and_says_so():
    datum, _error = asked(LOG, log=stream(b'half', errors.NodeUnreachable('connection reset', 'UNAVAILABLE')))
    assert (datum.state, datum.value, datum.complete, datum.reason) == ('read', 'half', False, 'connection reset')


def test_a_stream_that_gave_nothing_failed():
    datum, _error = asked(LOG, log=stream(b'', errors.NodeUnreachable('connection reset', 'UNAVAILABLE')))
    assert (datum.state, datum.value) == ('unreachable', None)


def test_a_log_at_its_limit_is_incomplete():
    datum, _error = asked(LOG, log=stream(b'x', truncated=True))
    assert (datum.complete, datum.reason) == (False, 'cut at 2097152 bytes')


@pytest.mark.parametrize(('error', 'state'), [
    (errors.RoleRefused('not authorized', 'PERMISSION_DENIED'), 'refused'),
    (errors.Unsupported('unknown method', 'UNIMPLEMENTED'), 'unsupported'),
    (errors.NotFound('does not exist', 'NOT_FOUND'), 'absent'),
    (errors.CallError('log "etcd" was not registered', 'UNKNOWN'), 'absent'),
    (errors.CallError('lstat /var/lib/etcd: no such file or directory', 'UNKNOWN'), 'absent'),
    (errors.CallError('panic', 'INTERNAL'), 'failed'),
    (errors.DeadlineExceeded('too late', 'DEADLINE_EXCEEDED'), 'timed_out'),
    (errors.NodeUnreachable('no route', 'UNAVAILABLE'), 'unreachable'),
    (errors.TransportError('refused', 'refused'), 'unreachable'),
    (ValueError('bad bytes'), 'failed'),
])
def test_each_error_has_its_state_and_its_words(error, state):
    datum, said = asked(VERSION, unary=error)
    assert datum.state == state
    assert str(error) in datum.reason
    assert isinstance(said, errors.TalosError)


def test_a_missing_package_is_no_datum():
    with pytest.raises(errors.InputError):
        asked(VERSION, unary=errors.InputError('The Python package PyYAML is missing on this host.'))


def test_a_call_never_outlasts_the_whole():
    assert Budget(10, 60).seconds() == 10
    assert 0 < Budget(10, 3).seconds() <= 3
    with pytest.raises(errors.NotAsked, match='the 0 s for the whole gather had passed'):
        Budget(10, 0).seconds()


def test_progress_is_said_at_most_once_in_two_seconds():
    futures = {Future(): label for label in ('cp-1', 'cp-2', 'w-1', 'w-2', 'w-3')}
    said = []
    clock = SimpleNamespace(now=0.0)

    def say(text):
        said.append((clock.now, text))
        for future in futures:
            if not future.done():
                future.set_result(None)
                break

    def tick():
        clock.now += 0.9
        return clock.now

    Progress(say, tick).watch(futures, 'machines')
    assert len(said) == 5
    assert said[0][1] == '0/5 machines, waiting for cp-1, cp-2, w-1 and 2 more'
    assert said[-1][1] == '4/5 machines, waiting for w-3'
    assert all(later - earlier >= 2 for (earlier, _text), (later, _other) in zip(said, said[1:]))
