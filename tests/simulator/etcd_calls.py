# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Talos's Etcd* RPCs as calls to a real etcd, as thin as Talos's own are (v1alpha1_server.go): C(METHODS) take the place of those of machine.py.

"Local" asks the member of this machine, past the ports that can be cut, as Talos does at localhost; "all" the addresses of the control plane.
"""

from __future__ import annotations

import asyncio
import contextlib

from tests.bed.grpc_server import NOT_FOUND, UNKNOWN, Status
from tests.simulator.etcd_wire import EtcdError
from tests.simulator.schema import MESSAGES

_CHUNK = 1024
_LEAVES_AGAIN_AFTER = 10.0
_NOT_FOUND = 'etcdserver: member not found'


@contextlib.contextmanager
def _client(make, prefix=''):
    """A client for one call, closed when that ends; what etcd says ends the call as Talos ends it."""
    client = make()
    try:
        yield client
    except EtcdError as error:
        raise _status(error, prefix) from error
    finally:
        client.close()


def _status(error, prefix):
    """etcd's errors lose their code on their way through Talos, those of gRPC keep it."""
    if error.own:
        return Status(UNKNOWN, f'{prefix}{error}')
    name = ''.join(part.title() for part in error.code.name.split('_'))
    return Status(error.code.value[0], f'{prefix}rpc error: code = {name} desc = {error}' if prefix else str(error))


async def _answer(send, name, message):
    await send(MESSAGES.encode(name, {'messages': [message]}))


def _local(node):
    return lambda: node.model.etcd.client(node.name)


async def _member_list(node, request, send):
    etcd = node.model.etcd
    local = MESSAGES.decode('EtcdMemberListRequest', request).get('query_local')
    with _client(_local(node) if local else etcd.client_of_all) as client:
        members = (await client.call('MemberList', leader=True, linearizable=True)).get('members', [])
    await _answer(send, 'EtcdMemberListResponse', {
        'legacy_members': [member.get('name', '') for member in members],
        'members': [{'id': member['id'], 'hostname': member.get('name'), 'peer_urls': member.get('peer_urls'),
                     'client_urls': member.get('client_urls'), 'is_learner': member.get('is_learner')} for member in members]})


async def _etcd_status(node, _request, send):
    with _client(_local(node), 'failed to query etcd status: ') as client:
        status = await client.call('Status')
    version = status.get('version', '')
    await _answer(send, 'EtcdStatusResponse', {'member_status': {
        'member_id': status['header']['member_id'], 'protocol_version': version,
        'storage_version': (status.get('storage_version') or '.'.join([*version.split('.')[:2], '0'])) if node.minor >= 11 else '',
        **{name: status.get(name) for name in ('db_size', 'db_size_in_use', 'leader', 'raft_index', 'raft_term', 'raft_applied_index',
                                               'errors', 'is_learner')}}})


async def _alarm_list(node, _request, send):
    with _client(_local(node), 'failed to list etcd alarms: ') as client:
        alarms = (await client.call('Alarm', action='GET')).get('alarms', [])
    await _answer(send, 'EtcdAlarmListResponse', {'member_alarms': alarms})


async def _alarm_disarm(node, _request, send):
    disarmed = []
    with _client(_local(node), 'failed to disarm etcd alarm: ') as client:
        for alarm in (await client.call('Alarm', action='GET')).get('alarms', []):
            disarmed += (await client.call('Alarm', action='DEACTIVATE', **alarm)).get('alarms', [])
    await _answer(send, 'EtcdAlarmListResponse', {'member_alarms': disarmed})


async def _defragment(node, _request, send):
    with _client(_local(node), 'failed to defragment etcd: ') as client:
        await client.call('Defragment')
    await _answer(send, 'EmptyResponse', {})


async def _snapshot(node, _request, send):
    with _client(_local(node)) as client:
        async for blob in client.snapshot():
            for start in range(0, len(blob), _CHUNK):
                await send(MESSAGES.encode('Data', {'bytes': blob[start:start + _CHUNK]}))


async def _remove_member(node, request, send):
    member = MESSAGES.decode('EtcdRemoveMemberByIDRequest', request).get('member_id', 0) % 2 ** 64
    with _client(node.model.etcd.client_of_all) as client:
        try:
            await client.call('MemberRemove', leader=True, id=member)
        except EtcdError as error:
            text = f'failed to remove member {member}: '
            if str(error) == _NOT_FOUND:
                raise Status(NOT_FOUND, text + _NOT_FOUND) from error
            raise _status(error, f'failed to remove member: {text}') from error
    await node.model.etcd.look()
    await _answer(send, 'EmptyResponse', {})


async def _leave_cluster(node, _request, send):
    """The member removes itself, trying on while the cluster is unhealthy; its etcd stays stopped, its data are gone."""
    etcd = node.model.etcd
    member = int(etcd.ids.get(node.name, '0'), 16)
    with _client(etcd.client_of_all) as client:
        while True:
            try:
                await client.call('MemberRemove', leader=True, id=member)
                break
            except EtcdError as error:
                if str(error) == _NOT_FOUND:
                    break
                if str(error) not in ('etcdserver: unhealthy cluster', 'etcdserver: server stopped'):
                    raise _status(error, f'failed to leave cluster: failed to remove member {member}: ') from error
            await asyncio.sleep(_LEAVES_AGAIN_AFTER)
    node.services['etcd'] = ('Finished', '?')
    etcd.wipe(node)
    node.model.changed()
    await _answer(send, 'EmptyResponse', {})


async def _forfeit_leadership(node, _request, send):
    prefix = 'failed to forfeit leadership: '
    with _client(node.model.etcd.client_of_all, prefix) as client:
        try:
            members = (await client.call('MemberList', leader=True, linearizable=True)).get('members', [])
        except EtcdError as error:
            raise _status(error, f'{prefix}failed to list etcd members: ') from error
    if len(members) == 1:
        raise Status(UNKNOWN, f'{prefix}cannot forfeit leadership, only one member')
    own = next((member for member in members if node.model.etcd.name_of(member) == node.name), None)
    leader = ''
    with _client(_local(node), prefix) as client:
        if own and (await client.call('Status', leader=True)).get('leader') == own['id']:
            target = next(member for member in members if member['id'] != own['id'])
            try:
                await client.call('MoveLeader', leader=True, target_id=target['id'])
                leader = target.get('name', '')
            except EtcdError as error:
                if str(error) != 'etcdserver: not leader':
                    raise
    await _answer(send, 'EtcdForfeitLeadershipResponse', {'member': leader})


METHODS = {f'/machine.MachineService/{name}': method for name, method in {
    'EtcdMemberList': _member_list,
    'EtcdStatus': _etcd_status,
    'EtcdAlarmList': _alarm_list,
    'EtcdAlarmDisarm': _alarm_disarm,
    'EtcdDefragment': _defragment,
    'EtcdSnapshot': _snapshot,
    'EtcdRemoveMemberByID': _remove_member,
    'EtcdLeaveCluster': _leave_cluster,
    'EtcdForfeitLeadership': _forfeit_leadership,
}.items()}
