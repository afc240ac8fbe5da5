# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The remedy etcd_stale_member: a member whose machine is gone is removed (guide, "etcd"; users.md 5, etcd member removal)."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError
from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_members import standing
from ansible_collections.talosops.talos.plugins.module_utils.guide.presence import listed
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_member, seen
from ansible_collections.talosops.talos.plugins.module_utils.remedies import etcd_preconditions as preconditions
from ansible_collections.talosops.talos.plugins.module_utils.remedies.step import ETCD_SNAPSHOT, Action, Remedy, Step, unasked

NAME = 'etcd_stale_member'
_ID = re.compile(r'[0-9a-f]{16}')


def step(view, target, args, _coming):
    """The Step that removes this member."""
    member_id = target.strip().lower()
    if not _ID.fullmatch(member_id):
        return Step(f'Remove the etcd member {target}', refused=(_no_id(view, target),))
    cluster = view.snapshot.cluster.get('name')
    member = view.etcd.member(member_id)
    if member is None:
        if view.etcd.members is None:
            return Step(f'Remove the etcd member {member_id}', refused=(*preconditions.one_list(view), *preconditions.one_leader(view)))
        there = listed((view.etcd.calls(one['id']) for one in view.etcd.members), 8)
        raise InputError(f'etcd of {cluster} has no member {member_id}.', f'It has: {there}.')
    how = standing(view, member)
    before, after = etcd_member.numbers(view), etcd_member.numbers(view, member_id)
    there = [one['id'] for one in etcd_member.listed(view)]
    return Step(
        title=f'Remove the etcd member {view.etcd.calls(member_id)} of {cluster}',
        evidence=(f'{view.etcd.calls(member_id)} is listed at {listed(member.get("peer_urls") or ["no address"])}',
                  *([f'{how.why}'] if args is not None else ())),
        preconditions=('all reachable control plane nodes list the same members, and one leader', 'it is not the leader, and no machine that answers is it',
                       'the other members cannot reach it, for ten minutes where discovery still lists its machine',
                       'the healthy voters that are left are a quorum of those that are left',
                       'no control plane node is being installed, upgraded, rebooted or reset, no alarm CORRUPT stands, clocks are in sync'),
        predicted={'voters': [before['voters'], after['voters']], 'healthy': [before['healthy'], after['healthy']],
                   'quorum': [before['quorum'], after['quorum']], 'tolerance': [before['tolerance'], after['tolerance']],
                   'members': [there, [one for one in there if one != member_id]]},
        actions=(Action('Take a snapshot of etcd and verify it', 'talos_etcd_snapshot', {'dest': ETCD_SNAPSHOT}),
                 Action(f'Remove the member {member_id} by its id, through another member', 'talos_etcd_member',
                        {'id': member_id, 'backup': ETCD_SNAPSHOT, 'confirm': [etcd_member.sentence(member_id, cluster)]})),
        verify=('all control plane nodes list the members that are left, and the same leader',),
        way_back='A removed member does not come back. Its machine, should it live, has to be reset (EPHEMERAL) and joins as a new member.',
        confirm=(etcd_member.sentence(member_id, cluster),),
        refused=unasked(args, etcd_member.against(view, member_id)),
        rests_on={'id': member_id, 'name': member.get('hostname') or '', 'peer_urls': sorted(member.get('peer_urls') or ()),
                  'members': sorted(one['id'] for one in view.etcd.members)},
    )


def _no_id(view, target):
    """Why a name is not taken, and which member it would be."""
    named = [member for member in view.etcd.members or () if member.get('hostname') == target]
    said = [f'{view.etcd.calls(member["id"])}: {standing(view, member).why}' for member in named] or [seen.target(view, target)]
    return f'a member is named by its id of 16 hexadecimal digits, never by its machine; {"; ".join(said)}'


REMEDY = Remedy(NAME, 'removes an etcd member whose machine is gone', 'the id of the member, 16 hexadecimal digits',
                lambda _view, args: (args['member_id'],), step, most=lambda _view: 1)
