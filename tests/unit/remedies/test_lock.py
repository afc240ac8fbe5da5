# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a cluster, against the API of a simulated one: whoever holds it, only one does, and it says why to the others."""

from __future__ import annotations

import re
import threading
import time
from datetime import timedelta

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import Conflict, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time
from ansible_collections.talosops.talos.plugins.module_utils.tasks import remedy_lock
from ansible_collections.talosops.talos.plugins.module_utils.tasks.remedy_lock import PATH, LockLost
from tests.unit.remedies.locking import MINE, OTHER, SHORT, WRITE, place, refused

# By which the time of a Lease may be beside the cluster's clock.
SKEW = timedelta(seconds=1)


class OfAnyApi:
    """What holds with the real API as well (tests/contract/kubernetes/test_lock.py)."""

    @pytest.fixture(autouse=True)
    def nothing_left(self):
        yield
        assert [thread.name for thread in threading.enumerate() if thread.name == 'talos-lock'] == []

    def test_a_free_one_is_made_held_renewed_and_given_back(self):
        with place() as one:
            began = one.now
            with one.held() as lock:
                spec = one.spec()
                assert spec['holderIdentity'] == MINE and spec['leaseDurationSeconds'] == 60 and spec['leaseTransitions'] == 0
                assert spec['acquireTime'] == spec['renewTime'] and began - SKEW <= parse_time(spec['renewTime']) <= one.now + SKEW
                lock.check()
                again = one.spec()
                assert parse_time(again['renewTime']) > parse_time(spec['renewTime']) and again['acquireTime'] == spec['acquireTime']
                refused(one, Refused, f'^The cluster is being changed by another run: {re.escape(MINE)} holds the lock '
                        r'.Lease kube-system/talosops-talos-remediate. since 20\S+Z, until 20\S+Z unless it is renewed '
                        r'.the cluster.s time now is 20\S+Z.\.$', name=OTHER)
            spec = one.spec()
            assert spec['holderIdentity'] == '' and spec['leaseDurationSeconds'] == 1, 'as client-go releases it'
            assert one.bed.changes() == [f'create {WRITE.split()[0]}', f'update {WRITE}', f'update {WRITE}']
            with one.held(OTHER):
                spec = one.spec()
                assert spec['holderIdentity'] == OTHER and spec['leaseTransitions'] == 1

    def test_it_is_given_back_where_the_run_fails(self):
        with place() as one:
            with pytest.raises(ZeroDivisionError):
                with one.held():
                    raise ZeroDivisionError
            assert one.spec()['holderIdentity'] == ''

    def test_an_expired_one_is_taken_and_one_that_lasts_is_not(self):
        with place() as one:
            one.put(OTHER, ago=30)
            refused(one, Refused, re.escape(OTHER))
            assert one.bed.changes() == [] and one.spec()['holderIdentity'] == OTHER
            one.put(OTHER, ago=61)
            with one.held():
                spec = one.spec()
                assert spec['holderIdentity'] == MINE and spec['leaseTransitions'] == 5 and spec['acquireTime'] == spec['renewTime']

    def test_one_that_does_not_say_until_when_is_never_taken(self):
        with place() as one:
            one.put(OTHER, ago=9000, renewTime=None)
            error = refused(one, Refused, 'and it does not say until when')
            assert error.hint == 'Where that run has ended: kubectl -n kube-system delete lease talosops-talos-remediate.'
            assert one.bed.changes() == []

    def test_what_a_holder_calls_itself_is_shown_without_control_characters(self):
        with place() as one:
            one.put('eve\x1b[2J\n' + 'x' * 1000)
            error = refused(one, Refused, r'eve\?\[2J\?x')
            assert len(error.message) < 800

    def test_one_that_another_took_is_lost_and_stays_the_others(self):
        with place() as one:
            with one.held() as lock:
                one.put(OTHER)
                with pytest.raises(LockLost, match=f'^The lock of the cluster .* was lost: {re.escape(OTHER)} took it') as caught:
                    lock.check()
                assert caught.value.hint == 'Nothing more is changed by this run.'
                with pytest.raises(LockLost):
                    lock.check()
            assert one.spec()['holderIdentity'] == OTHER and one.bed.changes() == [f'update {WRITE}'], 'refused, and not sent again'

    @pytest.mark.parametrize('method, body, match', [('PUT', '', 'somebody released it'), ('DELETE', None, 'somebody deleted it')])
    def test_one_that_a_person_released_or_deleted_is_lost(self, method, body, match):
        with place() as one:
            with one.held() as lock:
                if method == 'PUT':
                    one.put(body)
                else:
                    one.kube.send('DELETE', PATH, {})
                with pytest.raises(LockLost, match=match):
                    lock.check()

    @pytest.mark.parametrize('before', [None, '', OTHER])
    def test_of_many_at_the_same_time_exactly_one_gets_it(self, before):
        with place() as one:
            if before is not None:
                one.put(before, ago=100)
            start, got, errors, end = threading.Barrier(6), [], [], threading.Event()

            def run(name, kube):
                start.wait()
                try:
                    with one.held(name, kube=kube):
                        got.append(name)
                        end.wait(10)
                except TalosError as error:
                    errors.append(error)

            threads = [threading.Thread(target=run, args=(f'run {number}', one.way())) for number in range(6)]
            for thread in threads:
                thread.start()
            while len(got) + len(errors) < 6:
                time.sleep(0.01)
            assert len(got) == 1 and one.spec()['holderIdentity'] == got[0]
            assert all(isinstance(error, Refused) and got[0] in error.message for error in errors), errors
            end.set()
            for thread in threads:
                thread.join()

    def test_who_is_overtaken_every_time_gives_up(self, monkeypatch):
        with place() as one:
            def overtaken(*_given):
                one.put('')
                raise Conflict('It was changed.', '409')

            monkeypatch.setattr(remedy_lock.Lock, '_send', overtaken)
            refused(one, Refused, 'is not taken: others are writing it at this moment')


class TestSimulated(OfAnyApi):
    """With the simulated one."""

    def test_renewal_goes_on_while_it_is_held(self):
        with place() as one:
            with one.held(seconds=SHORT) as lock:
                first = one.spec()['renewTime']
                time.sleep(2 * SHORT)
                assert parse_time(one.spec()['renewTime']) - parse_time(first) >= timedelta(seconds=SHORT)
                lock.check()
            count = len(one.bed.changes())
            time.sleep(SHORT)
            assert len(one.bed.changes()) == count, 'nothing is written after it was given back'

    def test_the_thread_finds_it_out_too(self):
        with place() as one:
            with one.held(seconds=SHORT) as lock:
                one.put(OTHER)
                time.sleep(SHORT)
                assert 'took it' in lock._lost
                one.put('')
                with pytest.raises(LockLost):
                    lock.check()

    def test_one_that_cannot_be_renewed_is_lost_once_it_has_expired(self):
        with place() as one:
            said = []
            with one.held(seconds=SHORT, say=said.append) as lock:
                one.bed.model.state['k8s']['writes'] = 'fail: etcdserver: request timed out'
                lock.check()
                time.sleep(1.5 * SHORT)
                with pytest.raises(LockLost, match='could not be renewed for 0.6 s, so another run may have it: .*etcdserver: request timed out'):
                    lock.check()
            assert len(said) == 1 and re.match(r'The lock of the cluster .* was not released, it lasts until 20\S+Z: .*request timed out\.$', said[0])


# -- who holds it ---------------------------------------------------------------------------------------------------


def test_a_holder_names_user_host_and_run(monkeypatch):
    for name in remedy_lock._JOB:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('LOGNAME', 'anna')
    first, second = remedy_lock.holder(), remedy_lock.holder()
    assert re.fullmatch(r'anna@\S+ pid \d+, run [0-9a-f]{8}', first) and first != second
    assert re.fullmatch(r'anna@\S+ pid \d+, run 0a1b2c3d', remedy_lock.holder('0a1b2c3d'))
    monkeypatch.setenv('JOB_ID', '42\x1b')
    assert re.fullmatch(r'anna@\S+ pid \d+, job 42\?, run [0-9a-f]{8}', remedy_lock.holder())
    monkeypatch.setenv('JOB_ID', 'x' * 5000)
    assert len(remedy_lock.holder()) < 250


def test_a_user_without_a_name_is_its_number(monkeypatch):
    def nobody():
        raise KeyError('uid not found')
    monkeypatch.setattr(remedy_lock.getpass, 'getuser', nobody)
    assert re.match(r'uid \d+@', remedy_lock.holder())
