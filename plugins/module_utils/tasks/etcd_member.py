# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_etcd_member: one member of etcd, named by its id, is removed once when nothing speaks for it any more (users.md 5)."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_backup, etcd_member
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused, refuse
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, durations, etcd_files, etcd_live

READS = (*preconditions.READS, 'EtcdDirectory', 'TimeStatuses', 'Kubernetes nodes', 'etcd log')
CHANGES = 'the members of etcd'
NEEDS_ADMIN = ('EtcdRemoveMemberByID', 'Kubeconfig (unless a kubeconfig is given)')

METHOD = '/machine.MachineService/EtcdRemoveMemberByID'
_KINDS = (*preconditions.READS, 'EtcdDirectory', 'TimeStatuses', 'nodes')
# So many seconds the lists of all members have to agree that it is gone.
SETTLE = 30.0
_PAUSE = 1.0
_ID = re.compile(r'[0-9a-f]{16}')


def run(params, check_mode, say):
    """See the module's RETURN. Raises TalosError; nothing that changes anything was sent where it is a Refused."""
    member_id, max_age = id_of(params), durations.parse(params['backup_max_age'], 'backup_max_age')
    cluster, view = access.cluster_of(params), etcd_live.look(params, say, _KINDS, ('etcd',))
    what = f'etcd member {member_id} of {cluster} is not removed'
    if not view.etcd.member_lists:
        refuse(what, preconditions.one_list(view))
    before = etcd_member.listed(view)
    numbers = etcd_member.numbers(view)
    result = {'changed': False, 'cluster': cluster, 'id': member_id, 'member': next((one for one in before if one['id'] == member_id), None),
              'members': before, 'before': numbers, 'after': numbers, 'confirm': None, 'ran_on': access.here()}
    if not any(member['id'] == member_id for members in view.etcd.member_lists.values() for member in members):
        refuse(f'Whether etcd member {member_id} of {cluster} is absent is not known', preconditions.one_list(view))
        return {**result, 'diff': _diff(before, before)}
    if view.etcd.member(member_id) is None:
        refuse(what, preconditions.one_list(view))
    refuse(what, etcd_member.against(view, member_id), 'If it is alive, stop or reset its machine in the proper way; if it is not, repair what is named first.')
    left = [one for one in before if one['id'] != member_id]
    result.update(changed=True, members=left, after=etcd_member.numbers(view, member_id), confirm=etcd_member.sentence(member_id, cluster),
                  diff=_diff(before, left))
    warnings = [*_agreed(params, what, result['confirm'], check_mode), *_backed_up(params, what, member_id, max_age, check_mode)]
    if not check_mode:
        view, lost = _remove(params, view, member_id, len(left))
        warnings += lost
        result.update(members=etcd_member.listed(view), after=etcd_member.numbers(view))
    return {**result, **({'warnings': warnings} if warnings else {})}


def id_of(params):
    """The id that is meant. Raises InputError for what is none, such as a name."""
    text = str(params['id']).strip().lower()
    if not _ID.fullmatch(text):
        raise InputError(f'id is "{text}", which is no id of 16 hexadecimal digits.',
                         'A member is never named by its machine: talos_etcd_health and talosctl etcd members show the ids.')
    return text


def seen(params):
    """The File of the backup on the control node."""
    path = params.get('backup')
    return etcd_files.look(path, [id_of(params)]) if path else etcd_backup.File('')


def _agreed(params, what, sentence, check_mode):
    if sentence in (params.get('confirm') or ()):
        return []
    said = f'it needs confirm: "{sentence}"'
    if check_mode:
        return [f'To remove it, {said}.']
    raise Refused(f'{what}: {said}.')


def _backed_up(params, what, member_id, max_age, check_mode):
    if not params.get('backup'):
        said = 'it needs a verified snapshot of etcd in backup'
        if check_mode:
            return [f'To remove it, {said} (talos_etcd_snapshot makes one).']
        raise Refused(f'{what}: {said}.', 'The module talos_etcd_snapshot makes one.')
    found = access.of(params)
    file = seen(params) if found.directory is not None else etcd_files.from_plain(found.backup)
    refuse(what, etcd_backup.unfit(file, [member_id], max_age, datetime.now(timezone.utc)), 'The module talos_etcd_snapshot makes one.')
    return []


def _remove(params, view, member_id, left):
    """C((View, warnings)) after it was removed and all lists agree. Raises TalosError."""
    machine = next(one for one in etcd_live.followers_first(view) if view.etcd.local_id(one) != member_id)
    error = etcd_live.once(params, view, machine, METHOD, {'member_id': member_id}, 'os:admin')
    end = time.monotonic() + (min(SETTLE, params['timeout']) if error else SETTLE)
    while True:
        view = etcd_live.look(params, None, preconditions.READS)
        reasons = etcd_member.unsettled(view, member_id, left)
        if not reasons:
            return view, ([f'The answer to EtcdRemoveMemberByID was none ({error.message.rstrip(".")}), and the member is gone.'] if error else [])
        if time.monotonic() >= end:
            break
        time.sleep(_PAUSE)
    if error:
        raise TalosError(f'EtcdRemoveMemberByID failed, and is not sent again: {error.message.rstrip(".")}; {"; ".join(reasons)}.', error.hint)
    raise TalosError(f'etcd member {member_id} was removed, and etcd is not settled: {"; ".join(reasons)}.',
                     'Touch no other member. The module talos_etcd_health tells how etcd is.')


def _diff(before, after):
    def shown(members):
        return ''.join(f'{one["id"]} "{one["name"]}" {", ".join(one["peer_urls"])}{" learner" if one["learner"] else ""}\n' for one in members)

    return {'before': shown(before), 'after': shown(after)}
