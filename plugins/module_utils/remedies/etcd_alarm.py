# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""When the alarm NOSPACE may be disarmed (users.md 5: alarm disarm), pure."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from ansible_collections.talosops.talos.plugins.module_utils.remedies.etcd_preconditions import CORRUPT, NOSPACE


def against(view, alarm, without=(), emptied=False):
    """The reasons why this alarm, which stands, is not disarmed; none where it may be.

    For a plan: C(without) are ids of members that will have been removed, C(emptied) says that databases will have been defragmented.
    """
    if alarm == CORRUPT:
        return [*preconditions.no_corruption(view), 'to disarm it would only hide that']
    strange = sorted({name for _member, name in view.etcd.alarms or () if name not in (NOSPACE, CORRUPT)})
    return [
        *preconditions.no_corruption(view),
        *(f'the alarm {name} stands too, and disarming takes all alarms' for name in strange),
        *preconditions.alarms_listed(view),
        *preconditions.planes_answer(view, without),
        *preconditions.one_list(view),
        *preconditions.members_healthy(view, without),
        *preconditions.calm(view),
        *preconditions.quotas_equal(view),
        *preconditions.below_quota(view, emptied),
    ]


def hint(view, alarm):
    """What to do first."""
    if alarm == CORRUPT or preconditions.raised(view, CORRUPT):
        return ('Find out which member is wrong (etcd log: "found data inconsistency"), remove it by its id and let its machine join anew; '
                'the alarm is never disarmed by this collection.')
    if preconditions.below_quota(view):
        return 'Make room first: talos_etcd_defragment where much of the file is not in use, else delete what grew or raise quota-backend-bytes.'
    return None


def listed(view):
    """The alarms that stand: C([{member_id, member, alarm}])."""
    return [{'member_id': member, 'member': view.etcd.calls(member), 'alarm': name} for member, name in sorted(view.etcd.alarms or ())]


def sizes(view):
    """What each member that answers says of its database: C([{member_id, node, db_bytes, in_use_bytes, quota_bytes}])."""
    facts, found = view.etcd, []
    for key, status in facts.statuses.items():
        machine = view.snapshot.machine(key)
        found.append({'member_id': status.get('member_id'), 'node': machine.label, 'db_bytes': int(status.get('db_size') or 0),
                      'in_use_bytes': int(status.get('db_size_in_use') or 0), 'quota_bytes': facts.quota(machine)})
    return sorted(found, key=lambda one: one['node'])


def shown(alarms):
    """Alarms as text for a diff."""
    return ''.join(f'{alarm["alarm"]} of member {alarm["member"]}\n' for alarm in alarms)
