# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_etcd_defragment: one member after the other, the leader last, each looked at before and after (users.md 5)."""

from __future__ import annotations

import re
import time

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_alarm, etcd_defragment
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import Refused, refuse
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, etcd_live

READS = (*preconditions.READS, 'EtcdSpecs', 'Mounts')
CHANGES = 'the database files of etcd'
NEEDS_ADMIN = ('EtcdDefragment (os:operator may)',)

METHOD = '/machine.MachineService/EtcdDefragment'
# After a member was defragmented it has so many seconds to be well again.
RECOVERY = 60.0
_PAUSE = 1.0
_FIRST = ('Repair what is named first. A member whose machine is gone for good is removed by talos_etcd_member, while NOSPACE stands as well; '
          'then there is a failure tolerance again.')
_ID = re.compile(r'[0-9a-f]{16}')


def run(params, check_mode, say):
    """See the module's RETURN. Raises TalosError at the first thing that goes wrong; its sentence says what was done before."""
    chosen = _options(params)
    cluster, view = access.cluster_of(params), etcd_live.look(params, say, READS)
    if not view.etcd.statuses:
        refuse(f'Whether etcd of {cluster} is fragmented is not known', preconditions.members_healthy(view) or ['no member answers'])
    strangers = [member for member in chosen or () if view.etcd.members is not None and view.etcd.member(member) is None]
    refuse(f'etcd of {cluster} is not defragmented', [f'it has no member {member}' for member in strangers])
    silent = [member for member in chosen or () if etcd_defragment.size_of(view, member) is None]
    refuse(f'etcd of {cluster} is not defragmented', [f'etcd member {view.etcd.calls(member)} does not answer' for member in silent])
    wanted = {member: why for member, why in _due(view, params).items() if chosen is None or member in chosen}
    warnings = _cannot_help(view, wanted)
    steps = [_step(view, member, why) for member, why in wanted.items()]
    result = {'changed': bool(steps), 'cluster': cluster, 'defragmented': steps, 'members': etcd_alarm.sizes(view), 'ran_on': access.here(),
              'confirm': etcd_defragment.sentence(cluster) if steps and etcd_defragment.stops_all(view) else None}
    if steps:
        for step in steps:
            _refuse(view, step, ())
        warnings += _agreed(view, params, cluster, check_mode)
    if steps and not check_mode:
        view = _all(params, say, view, steps)
        result['members'] = etcd_alarm.sizes(view)
    return {**result, 'diff': _diff(steps), **({'warnings': warnings} if warnings else {})}


def _options(params):
    """The ids that are wanted, None for all that gain. Raises InputError."""
    for name, most in (('threshold', 1), ('min_bytes', None), ('pause', None)):
        if params[name] < 0 or most is not None and params[name] > most:
            raise InputError(f'{name} must be {"a share from 0 to 1" if most else "zero or more"}, not {params[name]}.')
    if not params['member_timeout'] > 0:
        raise InputError(f'member_timeout must be a number of seconds above zero, not {params["member_timeout"]}.')
    if params.get('members') is None:
        return None
    ids = [str(text).strip().lower() for text in params['members']]
    for member in ids:
        if not _ID.fullmatch(member):
            raise InputError(f'members: "{member}" is no id of 16 hexadecimal digits.', 'Members are never named by their machine: the id is what counts.')
    return ids


def _due(view, params):
    return etcd_defragment.due(view, params['threshold'], params['min_bytes'])


def _agreed(view, params, cluster, check_mode):
    """Warnings; raises Refused where the whole of etcd would stand still and the sentence that agrees to it was not given."""
    sentence = etcd_defragment.sentence(cluster)
    if not etcd_defragment.stops_all(view) or sentence in (params.get('confirm') or ()):
        return []
    said = (f'etcd of {cluster} has {view.etcd.size} voting member{"s" if view.etcd.size != 1 else ""}, so no write and hardly a read is answered '
            f'while one is defragmented. This needs confirm: "{sentence}"')
    if check_mode:
        return [f'{said}.']
    raise Refused(f'etcd of {cluster} is not defragmented: {said}.')


def _cannot_help(view, wanted):
    if wanted or not preconditions.raised(view, preconditions.NOSPACE):
        return []
    return ['The alarm NOSPACE stands, and defragmentation gains nothing: what is in the database is in use. When it is below 80 % of its quota, '
            'disarm (talos_etcd_alarm); else delete what grew, or raise quota-backend-bytes.']


def _all(params, say, view, steps):
    """Defragment; returns the last View. Every member is looked at anew, so that an election in between does not put the leader first."""
    say = access.saying(params, say)
    left, done = list(steps), []
    while left:
        if done:
            time.sleep(params['pause'])
            view = etcd_live.look(params, None, READS)
        order = list(_due(view, params))
        left = sorted((step for step in left if step['member_id'] in order), key=lambda step: order.index(step['member_id']))
        if not left:
            break
        step = left.pop(0)
        _refuse(view, step, done)
        if say:
            say(f'defragmenting {step["node"]}, {len(done) + 1} of {len(steps)}')
        view = _one(params, view, step, done)
        done.append(step)
    steps[:] = done
    return view


def _one(params, view, step, done):
    """Defragment one member; returns the View in which its file is smaller and it is well. Raises TalosError."""
    member = step['member_id']
    size = etcd_defragment.size_of(view, member)[0]
    error = etcd_live.once(params, view, etcd_defragment.machine_of(view, member), METHOD, {}, 'os:operator or os:admin', params['member_timeout'])
    end = time.monotonic() + (RECOVERY if not error else min(RECOVERY, params['timeout']))
    while True:
        view = etcd_live.look(params, None, READS)
        now, why = etcd_defragment.size_of(view, member), etcd_defragment.unwell(view, member)
        if now and now[0] < size and not why:
            step['after_bytes'] = now[0]
            return view
        if time.monotonic() >= end:
            break
        time.sleep(_PAUSE)
    if error:
        said = f'EtcdDefragment of {step["node"]} failed ({error.message.rstrip(".")})'
    else:
        said = '; '.join(why) if why else f'the database of {step["node"]} is as large as before ({preconditions.mib(now[0])})'
    raise TalosError(f'The defragmentation stopped: {said}.{_before(done)}', (error and error.hint) or 'Look at that member before another is touched.')


def _refuse(view, step, done):
    reasons = etcd_defragment.against(view, step['member_id'])
    if not done:
        refuse(f'etcd on {step["node"]} is not defragmented', reasons, _FIRST)
    if reasons:
        raise TalosError(f'The defragmentation stopped before {step["node"]}: {"; ".join(reasons)}.{_before(done)}')


def _before(done):
    names = ', '.join(step['node'] for step in done)
    return f' Defragmented before that: {names}.' if done else ''


def _is_leader(view, member):
    return any(view.etcd.statuses[key]['leader'] == member for key in view.etcd.with_leader)


def _step(view, member, why):
    size, used = etcd_defragment.size_of(view, member)
    return {'member_id': member, 'node': etcd_defragment.machine_of(view, member).label, 'leader': _is_leader(view, member), 'reason': why,
            'before_bytes': size, 'in_use_bytes': used, 'after_bytes': None}


def _diff(steps):
    def shown(key):
        return ''.join(f'{step["node"]}: {preconditions.mib(step[key]) if step[key] is not None else about(step)}\n' for step in steps)

    def about(step):
        return f'about {preconditions.mib(step["in_use_bytes"])}'

    return {'before': shown('before_bytes'), 'after': shown('after_bytes')}
