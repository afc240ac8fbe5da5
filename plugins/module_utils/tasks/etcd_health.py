# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The task of talos_etcd_health: what every control plane node says of etcd (talos-api 5.4)."""

from __future__ import annotations

from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import NO_LEADER, EtcdFacts
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.judge.settings import Settings
from ansible_collections.talosops.talos.plugins.module_utils.tasks import facts, section

ROLE = 'etcd'


def run(params, check_mode, say):
    """Facts and findings of the etcd sections; see the module's RETURN. Raises TalosError."""
    return section.run(params, say, ROLE, of)


def of(snapshot, params):
    """C(nodes): service, status and member list of each control plane node; then what they add up to.

    C(failure_tolerance) is how many more of the voters that know a leader may fail, None when nobody gave a member
    list; C(leaders) has more than one entry only while members disagree.
    """
    etcd = EtcdFacts(View(snapshot, Settings()))
    names = facts.labels(snapshot)
    members = [_member(member) for member in etcd.members or []]
    called = {member['id']: member['name'] for member in members}
    leaders = sorted({etcd.statuses[key]['leader'] for key in etcd.with_leader})
    known = etcd.voters is not None
    return {
        'nodes': {names[machine.key]: _node(machine, etcd) for machine in snapshot.control_planes()},
        'members': members,
        'leaders': [{'id': leader, 'name': called.get(leader)} for leader in leaders],
        'alarms': [{'member_id': member_id, 'member': called.get(member_id), 'alarm': alarm} for member_id, alarm in sorted(etcd.alarms)]
        if etcd.alarms is not None else None,
        'voters': len(etcd.voters) if known else None,
        'healthy_voters': len(etcd.healthy) if known else None,
        'quorum': etcd.quorum if known else None,
        'failure_tolerance': max(0, etcd.tolerance) if known else None,
        'unread': facts.unread(snapshot, snapshot.control_planes(), 'ServiceList'),
    }


def _node(machine, etcd):
    status = machine.value('EtcdStatus')
    members = machine.value('EtcdMemberList')
    return {
        'service': _service(etcd.service(machine)),
        'member_id': etcd.local_id(machine),
        'status': _status(status) if status else None,
        'status_unread': None if status else machine.datum('EtcdStatus').why(),
        'members': [member['id'] for member in members['members']] if members else None,
        'members_unread': None if members else machine.datum('EtcdMemberList').why(),
    }


def _service(service):
    if service is None:
        return None
    health = service.get('health') or {}
    events = (service.get('events') or {}).get('events') or []
    known = bool(health) and not health.get('unknown')
    return {'state': service['state'], 'healthy': bool(health.get('healthy')) if known else None,
            'message': health.get('last_message') or (events[-1]['msg'] if events else '')}


def _status(status):
    return {
        'version': status['protocol_version'],
        'storage_version': status['storage_version'],
        'leader': None if status['leader'] == NO_LEADER else status['leader'],
        'learner': status['is_learner'],
        'db_size': status['db_size'],
        'db_size_in_use': status['db_size_in_use'],
        'raft_term': status['raft_term'],
        'raft_index': status['raft_index'],
        'raft_applied_index': status['raft_applied_index'],
        'errors': [error.strip() for error in status['errors']],
    }


def _member(member):
    return {'id': member['id'], 'name': member['hostname'], 'peer_urls': member['peer_urls'], 'client_urls': member['client_urls'],
            'learner': member['is_learner']}
