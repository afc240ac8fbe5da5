# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_etcd_snapshot: a verified snapshot of etcd in a file on the control node (talos-api 5.4).

It is streamed into a file beside the one that is wanted, checked there, and only then put in its place. Where the task runs
elsewhere, the action fetches the file over that host's connection: it passes through no result.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_backup
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import refuse
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, durations, etcd_files, etcd_live

READS = (*preconditions.READS, 'EtcdSnapshot')
CHANGES = 'a file on the control node'
NEEDS = 'os:operator, os:etcd:backup or os:admin'
NEEDS_ADMIN = ('EtcdSnapshot (os:operator or os:etcd:backup may)',)

METHOD = '/machine.MachineService/EtcdSnapshot'
NOT_TAKEN = 'No snapshot of etcd is taken'


def run(params, check_mode, say):
    """See the module's RETURN. Raises TalosError; the file is then as it was."""
    max_age, seconds = durations.parse(params['max_age'], 'max_age'), params['transfer_timeout']
    if not seconds > 0:
        raise InputError(f'transfer_timeout must be a number of seconds above zero, not {seconds}.')
    old = standing(params)
    view = etcd_live.look(params, say, preconditions.READS)
    members = [member['id'] for member in view.etcd.members or ()]
    now = datetime.now(timezone.utc)
    due = etcd_backup.reasons(old, max_age, now)
    if not due:
        return _kept(old, params, check_mode, members)
    refuse(NOT_TAKEN, preconditions.no_corruption(view),
           'A snapshot of damaged data is no backup: find out which member is wrong, and take it from a good one by hand.')
    sources = etcd_live.followers_first(view)
    if not sources:
        refuse(NOT_TAKEN, preconditions.one_leader(view) or ['no voting member of etcd answers'])
    result = {'changed': True, 'dest': params['dest'], 'cluster': access.cluster_of(params), 'reasons': due, 'members': members, 'ran_on': access.here(),
              'node': sources[0].label, 'member_id': view.etcd.local_id(sources[0]), 'bytes': None, 'sha256': None, 'taken_at': None}
    if not check_mode:
        source, verifier = _take(params, view, sources, seconds)
        result.update(node=source.label, member_id=view.etcd.local_id(source), bytes=verifier.bytes, sha256=verifier.sha256,
                      taken_at=etcd_backup.stamp(now))
    return {**result, 'diff': _diff(params['dest'], old, result)}


def standing(params):
    """The File that is at the place now, and may be replaced by a snapshot. Raises InputError where it may not.

    Elsewhere than on the control node it is the one that the action saw there.
    """
    found = access.of(params)
    if found.directory is None:
        return etcd_files.from_plain(found.backup)
    return at(params['dest'])


def at(path):
    """The File at a path on the control node. Raises InputError where no snapshot may be put there."""
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise InputError(f'The directory {directory} does not exist.', 'Make it first, or name another path.')
    if os.path.isdir(path):
        raise InputError(f'{path} is a directory.', 'Name a file in it.')
    old = etcd_files.look(path)
    if old.exists and old.bytes and not old.database:
        raise InputError(f'{path} is no etcd snapshot ({old.problem}), and is left as it is.', 'Name another path.')
    return old


def fetched(result, params, fetch, check_mode):
    """What C(run) would have returned here, from what it returned elsewhere; C(fetch(path)) gets its file to a path here."""
    dest = params['dest']
    result = {**result, 'dest': dest}
    if 'diff' in result:
        result['diff'] = {**result['diff'], 'before_header': dest, 'after_header': dest}
    if result['reasons'] and not check_mode and result['sha256']:
        scratch = os.path.join(os.path.dirname(dest), f'.etcd-fetched-{os.getpid()}')
        try:
            fetch(scratch)
            os.chmod(scratch, etcd_backup.MODE)
            etcd_files.copy(scratch, dest)
        except OSError as error:
            raise InputError(f'{dest} could not be written: {error.strerror}.') from None
        finally:
            if os.path.exists(scratch):
                os.unlink(scratch)
    elif not result['reasons']:
        return _kept(at(dest), params, check_mode, result['members'], result)
    return result


def _kept(old, params, check_mode, members, result=None):
    """The result where the file that is there serves: it must be of this cluster, and gets the mode 0600."""
    found = access.of(params)
    if found.directory is not None:
        mine = etcd_files.look(params['dest'], members)
        if members and not mine.members:
            raise InputError(f'{params["dest"]} is an etcd snapshot of another cluster: it holds none of the members of {access.cluster_of(params)}.',
                             'Name another path for each cluster.')
    narrow = old.mode != etcd_backup.MODE
    if narrow and not check_mode and found.directory is not None:
        etcd_files.narrow(params['dest'])
    made = {'changed': narrow, 'dest': params['dest'], 'cluster': access.cluster_of(params), 'reasons': [], 'members': members, 'node': None,
            'member_id': None, 'bytes': old.bytes, 'sha256': old.sha256, 'taken_at': etcd_backup.stamp(old.taken_at),
            'ran_on': result['ran_on'] if result else access.here()}
    return {**made, 'diff': _diff(params['dest'], old, made)}


def _take(params, view, sources, seconds):
    """C((machine, Verifier)) of the snapshot that is at its place now; the next member is asked where one fails."""
    failed = []
    with etcd_live.connected(params) as client:
        for source in sources:
            verifier = etcd_backup.Verifier(member['id'] for member in view.etcd.members or ())
            try:
                with etcd_files.replacing(params['dest']) as file:
                    for data in client.node(source.address).data(METHOD, timeout=seconds):
                        verifier.update(data)
                        file.write(data)
                    if verifier.problem():
                        raise TalosError(f'What {source.label} sent is no whole snapshot: {verifier.problem()}.')
                return source, verifier
            except InputError:
                raise
            except TalosError as error:
                failed.append(etcd_live.may(view, error, NEEDS))
    said = '; '.join(dict.fromkeys(error.message.rstrip('.') for error in failed))
    raise TalosError(f'{NOT_TAKEN}: {said}.', next((error.hint for error in failed if error.hint), None))


def _diff(path, old, result):
    before = '' if not old.exists else _shown(old.mode, old.bytes, old.sha256, etcd_backup.stamp(old.taken_at))
    after = _shown(etcd_backup.MODE, result['bytes'], result['sha256'], result['taken_at'])
    return {'before_header': path, 'after_header': path, 'before': before, 'after': after}


def _shown(mode, size, digest, taken_at):
    told = {'mode': f'{mode:04o}', 'bytes': size, 'sha256': digest, 'taken at': taken_at}
    return ''.join(f'{name}: {"(a new snapshot)" if value is None else value}\n' for name, value in told.items())
