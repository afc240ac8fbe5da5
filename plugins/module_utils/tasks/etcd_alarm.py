# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_etcd_alarm: NOSPACE is disarmed, once, when its cause is gone, and is seen to stay away (users.md 5, edge-cases 53).

EtcdAlarmDisarm takes all alarms of all members, CORRUPT too. So it is sent only where every alarm that stands is NOSPACE.
"""

from __future__ import annotations

import time

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_alarm
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from ansible_collections.talosops.talos.plugins.module_utils.remedies.refusal import refuse
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, etcd_live

READS = (*preconditions.READS, 'EtcdSpecs')
CHANGES = 'the alarm NOSPACE of etcd'
NEEDS_ADMIN = ('EtcdAlarmDisarm (os:operator may)',)

METHOD = '/machine.MachineService/EtcdAlarmDisarm'
_PAUSE = 1.0


def run(params, check_mode, say):
    """See the module's RETURN. Raises TalosError."""
    settle = params['settle']
    if settle < 0:
        raise InputError(f'settle must be a number of seconds, zero or more, not {settle}.')
    view = etcd_live.look(params, say, READS)
    wanted = params['alarm']
    refuse(f'Whether an alarm of etcd of {access.cluster_of(params)} is raised is not known',
           () if preconditions.raised(view, wanted) else preconditions.alarms_listed(view))
    before = etcd_alarm.listed(view)
    result = {'changed': False, 'cluster': access.cluster_of(params), 'alarms_before': before, 'alarms': before, 'members': etcd_alarm.sizes(view),
              'diff': {'before': etcd_alarm.shown(before), 'after': etcd_alarm.shown(before)}, 'ran_on': access.here()}
    if not preconditions.raised(view, wanted):
        return result
    refuse(f'The alarm {wanted} of etcd of {access.cluster_of(params)} is not disarmed', etcd_alarm.against(view, wanted), etcd_alarm.hint(view, wanted))
    if check_mode:
        return {**result, 'changed': True, 'alarms': [], 'diff': {**result['diff'], 'after': ''}}
    error = etcd_live.once(params, view, etcd_live.followers_first(view)[0], METHOD, {}, needs='os:operator or os:admin')
    after = _seen_gone(params, settle, error)
    warnings = [f'The answer to EtcdAlarmDisarm was lost ({error.message.rstrip(".")}), and the alarms are gone.'] if error else []
    return {**result, 'changed': True, 'alarms': [], 'members': etcd_alarm.sizes(after), 'diff': {**result['diff'], 'after': ''},
            **({'warnings': warnings} if warnings else {})}


def _seen_gone(params, settle, error):
    """The last View, in which no alarm stands, after so many seconds without one. Raises TalosError where one stands or nobody tells."""
    end = time.monotonic() + settle
    while True:
        view = etcd_live.look(params, None, READS)
        unknown = preconditions.alarms_listed(view)
        left = end - time.monotonic()
        if view.etcd.alarms and error and left <= 0:
            raise TalosError(f'EtcdAlarmDisarm failed, and the alarms stand: {error.message.rstrip(".")}.', error.hint)
        if view.etcd.alarms and not error:
            standing = '; '.join(f'{alarm["alarm"]} of member {alarm["member"]}' for alarm in etcd_alarm.listed(view))
            raise TalosError(f'The alarms were disarmed once, and stand again: {standing}.',
                             'Its cause is not gone. Find out what fills etcd before anything else is tried.')
        if left <= 0:
            if unknown:
                said = f'EtcdAlarmDisarm failed ({error.message.rstrip(".")}), and' if error else 'EtcdAlarmDisarm was answered, but'
                raise TalosError(f'{said} whether the alarms are gone was not seen: {"; ".join(unknown)}.', 'Run the task again: it looks first.')
            return view
        time.sleep(min(_PAUSE, left))
