# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a cluster: a Lease in it, so that two runs never change it at the same time, wherever they come from.

The Lease is taken, renewed while the run lasts, and given back as client-go does it for leaders; where the run was killed it
expires by itself. All times in it are the cluster's: those of two control nodes may differ. Every write has the resourceVersion
of the Lease that was looked at as its precondition, so that one of two runs is refused whatever their clocks say.
"""

from __future__ import annotations

import contextlib
import getpass
import math
import os
import socket
import threading
import time
import uuid
from datetime import datetime, timedelta, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import Conflict, NotFound, RoleRefused, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import parse_time

NAMESPACE = 'kube-system'
NAME = 'talosops-talos-remediate'
LEASES = f'/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases'
PATH = f'{LEASES}/{NAME}'
SECONDS = 60
# A Lease is renewed so often while it lasts.
_RENEWALS = 3
# After a conflict, or a connection that broke, it is looked at once more.
_TRIES = 2
_HOLDER_MOST = 200
# Where AWX, and Tower before it, tells the number of its job.
_JOB = ('JOB_ID', 'AWX_JOB_ID', 'TOWER_JOB_ID', 'tower_job_id', 'awx_job_id')


class NoLock(TalosError):
    """The cluster cannot be locked: Kubernetes does not answer, takes no writes, or forbids it. Nobody else was seen to hold the lock."""


class LockLost(TalosError):
    """The lock was held, and is not any more, or nobody knows."""


def unlocked_sentence(cluster):
    """What has to be confirmed where a cluster is changed though it cannot be locked."""
    return f'change {cluster} without a lock'


def cluster_time(view):
    """The time now by the machines' clocks, to the millisecond where they told it: View.now may be a minute off."""
    return datetime.now(timezone.utc) + timedelta(milliseconds=view.snapshot.control_node.get('clock_offset_ms') or 0)


def holder(run=None):
    """Who holds the lock, in words; another one for each C(run), which is made up where none is given."""
    said = f'{user()}@{socket.gethostname()} pid {os.getpid()}, {f"job {job()}, " if job() else ""}'
    return f'{_plain(said)[:_HOLDER_MOST]}run {run or uuid.uuid4().hex[:8]}'


def job():
    """The number of the job of AWX or Tower that this is, None elsewhere."""
    return next((os.environ[name] for name in _JOB if os.environ.get(name)), None)


def user():
    """Who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container in which the number has no name
        return f'uid {os.getuid()}' if hasattr(os, 'getuid') else 'somebody'


def _plain(text):
    """Without control characters: it is shown to people."""
    return ''.join(each if each.isprintable() else '?' for each in text)


@contextlib.contextmanager
def held(kube, name, now, seconds=SECONDS, say=None):
    """Hold the lock while it lasts; yields a L(Lock). C(kube) as in kube_access.py, C(name) of the holder, C(now) the cluster's time.

    Raises Refused where somebody else holds it, NoLock where the cluster cannot be locked.
    """
    lock = Lock(kube, name, now, seconds)
    lock.take()
    ended = threading.Event()
    renewing = threading.Thread(target=lock.keep, args=(ended,), name='talos-lock', daemon=True)
    renewing.start()
    try:
        yield lock
    finally:
        ended.set()
        renewing.join()
        left = lock.release()
        if left and say:
            say(left)


class Lock:
    """The Lease of one run. C(check()) raises L(LockLost) where it is not this run's any more."""

    def __init__(self, kube, name, now, seconds):
        self._kube = kube
        self._name = name
        self._seconds = seconds
        self._began = time.monotonic()
        self._at_begin = now
        self._renewing = threading.Lock()
        self._lease = None
        self._renewed = None
        self._lost = None

    def _now(self, ticks=None):
        """The cluster's time, at that reading of the monotonic clock."""
        return self._at_begin + timedelta(seconds=(time.monotonic() if ticks is None else ticks) - self._began)

    # -- taking ---------------------------------------------------------------------------------------------

    def take(self):
        """Raises Refused, NoLock."""
        conflict, began = None, time.monotonic()
        for _try in range(_TRIES):
            found = self._seen()
            if self._is_free(found):
                try:
                    found = self._write(found, time.monotonic())
                except Conflict as error:
                    conflict = error
                    continue
                except TalosError as error:
                    raise _no_lock(error, 'update' if found else 'create') from None
            if found is not None and self._is_ours(found):
                self._lease, self._renewed = found, began
                return
        found = self._seen()
        if not self._is_free(found):  # ours, or it raises
            self._lease, self._renewed = found, began
        elif conflict:
            raise Refused(f'The lock of the cluster (Lease {NAMESPACE}/{NAME}) is not taken: others are writing it at this moment.', 'Try again later.')
        else:
            raise NoLock('The cluster cannot be locked, so this run would be unlocked: the connection broke whenever the lock was written.')

    def _seen(self):
        """The Lease, None without one. Raises NoLock."""
        try:
            return self._kube.get(PATH)
        except NotFound:
            return None
        except TalosError as error:
            raise _no_lock(error, 'get') from None

    def _is_ours(self, lease):
        return _spec(lease).get('holderIdentity') == self._name

    def _is_free(self, lease):
        """Whether it may be taken; False where it is ours. Raises Refused where somebody else holds it."""
        spec = _spec(lease)
        if not spec.get('holderIdentity'):
            return True
        if self._is_ours(lease):
            return False
        renewed, seconds = parse_time(spec.get('renewTime')), spec.get('leaseDurationSeconds')
        until = renewed + timedelta(seconds=seconds) if renewed and seconds else None
        if until and until <= self._now():
            return True
        since = parse_time(spec.get('acquireTime')) or renewed
        lasts = (f'until {_told(until)} unless it is renewed (the cluster\'s time now is {_told(self._now())})' if until
                 else 'and it does not say until when')
        raise Refused(f'The cluster is being changed by another run: {_plain(str(spec["holderIdentity"]))[:2 * _HOLDER_MOST]} holds the lock '
                      f'(Lease {NAMESPACE}/{NAME}){f" since {_told(since)}" if since else ""}, {lasts}.', None if until else (
                          f'Where that run has ended: kubectl -n {NAMESPACE} delete lease {NAME}.'))

    def _write(self, lease, began):
        """Take, or renew: the Lease as it was answered, None where the connection broke. Raises TalosError."""
        old, at = _spec(lease), _micro(self._now(began))
        mine = old.get('holderIdentity') == self._name
        spec = {'holderIdentity': self._name, 'leaseDurationSeconds': max(1, math.ceil(self._seconds)), 'renewTime': at,
                'acquireTime': old.get('acquireTime') if mine else at,
                'leaseTransitions': (old.get('leaseTransitions') or 0) + (lease is not None and not mine)}
        return self._send(lease, spec)

    def _send(self, lease, spec):
        most = self._seconds / _RENEWALS
        if lease is None:
            body = {'apiVersion': 'coordination.k8s.io/v1', 'kind': 'Lease', 'metadata': {'name': NAME, 'namespace': NAMESPACE}, 'spec': spec}
            return self._kube.send('POST', LEASES, body, most)
        return self._kube.send('PUT', PATH, {**lease, 'spec': spec}, most)

    # -- keeping --------------------------------------------------------------------------------------------

    def keep(self, ended):
        """Renew it until it is lost, or C(ended) is set."""
        while not ended.wait(self._seconds / _RENEWALS):
            try:
                self.check()
            except LockLost:
                return

    def check(self):
        """Renew it now. Raises LockLost where somebody else has it, or where it could not be renewed for as long as it lasts."""
        with self._renewing:
            if self._lost is None:
                self._renew()
            if self._lost:
                raise LockLost(self._lost, 'Nothing more is changed by this run.')

    def _renew(self):
        began = time.monotonic()
        try:
            answer = self._write(self._lease, began)
            why = None if answer else 'the connection broke'
        except (Conflict, NotFound):
            answer, why = self._after_conflict()
        except TalosError as error:
            answer, why = None, error.message
        if answer:
            self._lease, self._renewed = answer, began
        elif self._lost is None and time.monotonic() - self._renewed >= self._seconds:
            self._lost = (f'The lock of the cluster (Lease {NAMESPACE}/{NAME}) could not be renewed for {self._seconds:g} s, so another run may have it: '
                          f'{why.rstrip(".")}.')

    def _after_conflict(self):
        """(the Lease renewed after all or None, why not): an answer may have been lost before, so that it is ours still."""
        try:
            found = self._kube.get(PATH, self._seconds / _RENEWALS)
            if self._is_ours(found):
                return self._write(found, time.monotonic()), 'the connection broke'
            whose = _plain(str(_spec(found).get('holderIdentity') or ''))[:2 * _HOLDER_MOST]
            self._lost = (f'The lock of the cluster (Lease {NAMESPACE}/{NAME}) was lost: '
                          f'{f"{whose} took it" if whose else "somebody released it"}.')
        except NotFound:
            self._lost = f'The lock of the cluster (Lease {NAMESPACE}/{NAME}) was lost: somebody deleted it.'
        except TalosError as error:
            return None, error.message
        return None, None

    # -- giving back ----------------------------------------------------------------------------------------

    def release(self):
        """Give it back where it is still ours. Returns a sentence where it stays until it expires, else None."""
        why = 'the connection broke'
        for _try in range(_TRIES):
            try:
                found = self._kube.get(PATH)
                if not self._is_ours(found):
                    return None
                at = _micro(self._now())
                if self._send(found, {**_spec(found), 'holderIdentity': '', 'leaseDurationSeconds': 1, 'acquireTime': at, 'renewTime': at}):
                    return None
            except NotFound:
                return None
            except TalosError as error:
                why = error.message
        until = self._now(self._renewed + self._seconds)
        return f'The lock of the cluster (Lease {NAMESPACE}/{NAME}) was not released, it lasts until {_told(until)}: {why.rstrip(".")}.'


def _no_lock(error, verb):
    if isinstance(error, RoleRefused):
        return NoLock(f'The cluster cannot be locked, so this run would be unlocked: the right to {verb} leases (coordination.k8s.io) in the namespace '
                      f'{NAMESPACE} is missing; {error.message.rstrip(".")}.', 'Give the user get, create and update of leases there.')
    return NoLock(f'The cluster cannot be locked, so this run would be unlocked: {error.message.rstrip(".")}.')


def _spec(lease):
    return (lease or {}).get('spec') or {}


def _micro(when):
    """As Kubernetes wants it in a Lease: six digits of the second, always."""
    return f'{when.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z'


def _told(when):
    return f'{when.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}'
