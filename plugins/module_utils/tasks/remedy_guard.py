# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds around the steps of a run: the lock of the cluster, the audit record, and the place of the backups."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import live
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused
from ansible_collections.talosops.talos.plugins.module_utils.report import files
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, audit, backups, kube_access, remedy_lock


class Guard(contextlib.ExitStack):
    """Entered for the steps of one run. C(unlocked) is the reason why steps of it were done without a lock, None where none was."""

    def __init__(self, params, asked, plan, path, say, check_mode):
        super().__init__()
        self.params, self.asked, self.plan, self.path, self.say = params, asked, plan, path, say
        self.run = uuid.uuid4().hex[:8]
        self.unlocked, self._lock = None, None
        self._audit = None if check_mode else audit.Audit(path, audit.hiding(access.of(params)))
        self.backup = None if check_mode else _backup(params, plan, self.run)

    def sentences(self, view):
        """What has to be confirmed because the cluster cannot be locked now."""
        return () if self._lock is not None or live.not_writing(view) is None else (remedy_lock.unlocked_sentence(self.plan['cluster']),)

    def enter(self, view, snapshot):
        """Be sure of the lock before a step. Raises TalosError where another run holds it, or where none can be had and nobody agreed to that."""
        if self._lock is not None:
            self._lock.check()
            return
        why = live.not_writing(view) or self._take(view, snapshot)
        if why is None:
            return
        sentence = remedy_lock.unlocked_sentence(self.plan['cluster'])
        if sentence not in self.asked.confirm:
            raise Refused(f'The cluster cannot be locked against a second run: {why.rstrip(".")}. It needs talos_confirm: "{sentence}".')
        if self.unlocked is None:
            self.say(f'the cluster is not locked against a second run: {why}')
            self.record('unlocked', None, reason=why)
        self.unlocked = why

    def _take(self, view, snapshot):
        """None once the lock is held, else why there is none. Raises Refused where somebody else holds it."""
        try:
            self.params = kube_access.with_kubeconfig(self.params)
            kube = self.enter_context(kube_access.api(self.params, snapshot))
            lock = remedy_lock.held(kube, remedy_lock.holder(self.run), remedy_lock.cluster_time(view), say=self.say)
            self.callback(self.record, 'lock_released', None)
            self._lock = self.enter_context(lock)
        except Refused:
            raise
        except TalosError as error:
            return error.message
        self.record('lock_taken', None)
        return None

    def record(self, event, step, **more):
        """One line of the audit record; nothing in check mode."""
        if self._audit is None:
            return
        self._audit.write({
            'run': self.run, 'who': remedy_lock.user(), 'host': socket.gethostname(), 'job': remedy_lock.job(),
            'cluster': self.plan['cluster'], 'cluster_id': self.plan['cluster_id'], 'plan_digest': self.plan['digest'], 'event': event,
            **({'step': step['step'], 'remedy': step['remedy'], 'target': step['target']} if step else {}),
            **{name: value for name, value in more.items() if value is not None},
        })


def _backup(params, plan, run):
    """The path for the snapshot of etcd of this run, None without a directory. Raises InputError where nothing can be written there."""
    directory = params.get('backup_dir')
    if not directory:
        return None
    backups.prepare(params, False)
    return os.path.join(directory, f'{files.cluster_key(plan["cluster"], plan["cluster_id"])}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{run}.etcd')
