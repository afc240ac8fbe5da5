# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RPCs that change a machine or the cluster (talos-api 5.2, 5.4, 5.5), as C(METHODS) of machine.py."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.bed import pki
from tests.bed.grpc_server import ALREADY_EXISTS, FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, UNKNOWN, Status
from tests.bed.pauses import forever
from tests.simulator import config_documents as documents
from tests.simulator import lifecycle, snapshot
from tests.simulator.etcd import Refused
from tests.simulator.schema import MESSAGES

_MODES_SINCE_114 = 14
_TRY_SECONDS = 60
_ROLES = ('os:admin', 'os:operator', 'os:reader', 'os:etcd:backup', 'os:impersonator', 'os:image:verifier', 'os:meta:writer')
_EXTENSIONS = 'ext-'
_ACTOR = 'a1b2c3d4-0000-4000-8000-{:012x}'
_WITHOUT_A_REBOOT = 'Applied configuration without a reboot'
_NO_NAMESPACE = 'the applied machine configuration doesn\'t contain v1alpha1 config, did you mean to patch the machine config instead?'


async def _answer(send, name, message):
    await send(MESSAGES.encode(name, {'messages': [message]}))


# -- configuration ------------------------------------------------------------------------------------------------

async def _apply_configuration(node, request, send):
    asked = MESSAGES.decode('ApplyConfigurationRequest', request)
    mode, config = asked.get('mode', 'REBOOT'), node.config
    old = node.minor < _MODES_SINCE_114
    if not asked.get('dry_run'):
        config.asked.append(mode)
    if old and config.rebooting:
        raise Status(FAILED_PRECONDITION, 'configuration was already applied and node is rebooting, cannot apply more configuration '
                                          'changes until next reboot')
    if mode != 'TRY':
        config.keep()
    try:
        new = documents.parse(asked.get('data', b''), node.minor)
        if documents.v1alpha1(new) is None:
            raise Status(INVALID_ARGUMENT, _NO_NAMESPACE)
        if mode == 'REBOOT' and not old:
            raise Status(UNIMPLEMENTED, 'the REBOOT mode is not supported, please use AUTO or NO_REBOOT modes instead')
        documents.check(new, node)
    except documents.Invalid as error:
        raise Status(INVALID_ARGUMENT, str(error)) from error
    mode, details = _chosen(mode, documents.immediate_problem(config.active, new) if old else None)
    if asked.get('dry_run'):
        difference = documents.diff(config.active, new) or 'No changes.'
        details = f'Dry run summary:\n{details} (skipped in dry-run).\nConfig diff:\n\n{difference}'
        await _answer(send, 'ApplyConfigurationResponse', {'mode': mode, 'mode_details': details})
        return
    if mode == 'TRY':
        given = asked.get('try_mode_timeout')
        seconds = given.get('seconds', 0) + given.get('nanos', 0) / 1e9 if given is not None else _TRY_SECONDS
        details += f"\nThe config is applied in 'try' mode and will be automatically reverted back in {_go_duration(seconds)}"
    _take(node, mode, new, seconds if mode == 'TRY' else None)
    await _answer(send, 'ApplyConfigurationResponse', {'mode': mode, 'mode_details': details})


def _chosen(mode, problem):
    """(mode, its words) for a request's mode and what stands against applying it at once."""
    if mode == 'STAGED':
        return mode, 'Staged configuration to be applied after the next reboot'
    if mode in ('NO_REBOOT', 'TRY') and problem:
        raise Status(INVALID_ARGUMENT, problem)
    if mode == 'REBOOT' or mode == 'AUTO' and problem:
        return 'REBOOT', 'Applied configuration with a reboot'
    return 'NO_REBOOT' if mode == 'AUTO' else mode, _WITHOUT_A_REBOOT


def _take(node, mode, new, seconds):
    config, kubelet = node.config, _kubelet(node.config.active)
    if mode == 'TRY':
        config.try_out(new, seconds)
    else:
        config.save(new)
        if mode == 'NO_REBOOT':
            config.activate(new)
        if mode == 'REBOOT':
            config.rebooting = True
            lifecycle.reboot(node)
    if _kubelet(config.active) != kubelet:
        lifecycle.restart_kubelet(node)


def _kubelet(config):
    return (documents.v1alpha1(config).get('machine') or {}).get('kubelet')


def _go_duration(seconds):
    """Seconds as Go writes a duration."""
    whole, text = int(seconds), ''
    if whole >= 3600:
        text += f'{whole // 3600}h'
    if whole >= 60:
        text += f'{whole % 3600 // 60}m'
    rest = seconds - whole + whole % 60
    return text + (f'{int(rest)}s' if rest == int(rest) else f'{rest:g}s')


async def _generate_client_configuration(node, request, send):
    asked = MESSAGES.decode('GenerateClientConfigurationRequest', request)
    lasting = asked.get('crt_ttl') or {}
    seconds = lasting.get('seconds', 0) + lasting.get('nanos', 0) / 1e9
    if seconds <= 0:
        raise Status(INVALID_ARGUMENT, 'crt_ttl should be positive')
    roles = [role for role in asked.get('roles') or () if role in _ROLES]
    now = node.model.clock.now()
    authority = node.model.talos_authority
    client = authority.client(roles, not_before=now - timedelta(seconds=10), not_after=now + timedelta(seconds=seconds))
    name = node.model.name if len(roles) != 1 else f'{roles[0].removeprefix("os:")}@{node.model.name}'
    talosconfig = pki.talosconfig(name, [], authority, client)
    await _answer(send, 'GenerateClientConfigurationResponse', {
        'ca': authority.pem, 'crt': client.pem, 'key': client.talos_key_pem, 'talosconfig': talosconfig.encode()})


# -- services and machines ----------------------------------------------------------------------------------------

def _service(operation, done):
    """ServiceStart and its like: kubelet can be started and restarted, extensions stopped too (talos-api 5.2)."""
    async def change(node, request, send):
        service = MESSAGES.decode('ServiceRequest', request).get('id', '')
        if service not in node.services:
            raise Status(UNKNOWN, f'service "{service}" not defined')
        running = node.service(service)[0] in ('Running', 'Waiting', 'Preparing', 'Starting', 'Stopping')
        extension = service.startswith(_EXTENSIONS)
        idle = running if operation == 'start' else not running and operation == 'stop'
        if not idle and not extension and (service != 'kubelet' or operation == 'stop'):
            wanted = 'start' if not running else operation
            raise Status(UNKNOWN, f'service "{service}" doesn\'t support {wanted} operation via API')
        if not idle and service == 'kubelet':
            lifecycle.restart_kubelet(node)
        elif not idle:
            lifecycle.change_extension(node, service, operation)
        await _answer(send, 'ServiceResponse', {'resp': f'Service "{service}" {done}'})

    return change


async def _reboot(node, _request, send):
    lifecycle.reboot(node)
    await _answer(send, 'ActorResponse', {'actor_id': _actor(node)})


async def _shutdown(node, _request, send):
    lifecycle.shut_down(node)
    await _answer(send, 'ActorResponse', {'actor_id': _actor(node)})


async def _reset(node, request, send):
    asked = MESSAGES.decode('ResetRequest', request)
    labels = [one['label'] for one in asked.get('system_partitions_to_wipe') or () if one.get('wipe')]
    for label in labels:
        if label not in ('EPHEMERAL', 'STATE', 'META', 'EFI', 'BOOT'):
            raise Status(UNKNOWN, f'failed to get volume status with label "{label}": resource '
                                  f'VolumeStatuses.block.talos.dev(runtime/{label}@undefined) doesn\'t exist')
    lifecycle.reset(node, bool(asked.get('graceful')), bool(asked.get('reboot')), labels)
    await _answer(send, 'ActorResponse', {'actor_id': _actor(node)})


def _actor(node):
    return _ACTOR.format(node.number)


# -- etcd ---------------------------------------------------------------------------------------------------------

async def _bootstrap(node, _request, send):
    if node.service('cri') != ('Running', 'OK'):
        raise Status(FAILED_PRECONDITION, 'bootstrap is not available yet')
    if not node.time['synced']:
        await asyncio.sleep(5)
        raise Status(FAILED_PRECONDITION, 'time is not in sync yet')
    if not node.model.etcd.data_dir_is_empty(node):
        raise Status(ALREADY_EXISTS, 'etcd data directory is not empty')
    lifecycle.bootstrap(node)
    await _answer(send, 'EmptyResponse', {})


async def _through_any(node):
    """A call that asks the control plane's addresses, not this member: it waits where none answers. Raises Status."""
    etcd = node.model.etcd
    while not any(etcd.runs(other) for other in node.model.control_planes):
        await asyncio.sleep(1)
    if not etcd.leading:
        await asyncio.sleep(3)
        raise Status(UNKNOWN, 'etcdserver: no leader')


async def _remove_member(node, request, send):
    number = MESSAGES.decode('EtcdRemoveMemberByIDRequest', request).get('member_id', 0) % 2 ** 64
    await _through_any(node)
    _remove(node.model, f'{number:016x}')
    await _answer(send, 'EmptyResponse', {})


def _remove(model, member):
    text = f'failed to remove member {int(member, 16)}: '
    try:
        name = model.etcd.remove(member)
    except Refused as refused:
        if refused.missing:
            raise Status(NOT_FOUND, f'{text}{refused}') from refused
        raise Status(UNKNOWN, f'failed to remove member: {text}{refused}') from refused
    if name in model.nodes:
        lifecycle.member_removed(model.nodes[name])


async def _leave_cluster(node, _request, send):
    """The member removes itself, trying on while the cluster is unhealthy; its etcd stays stopped, its data are gone."""
    etcd = node.model.etcd
    await _through_any(node)
    while etcd.is_member(node):
        try:
            etcd.remove(etcd.ids[node.name])
        except Refused as refused:
            if str(refused) != 'etcdserver: unhealthy cluster':
                raise Status(UNKNOWN, f'failed to leave cluster: failed to remove member {int(etcd.ids[node.name], 16)}: {refused}') from refused
            await asyncio.sleep(1)
    etcd.wipe(node)
    node.services['etcd'] = ('Finished', '?')
    node.model.changed()
    await _answer(send, 'EmptyResponse', {})


async def _forfeit_leadership(node, _request, send):
    etcd = node.model.etcd
    await _through_any(node)
    if not etcd.runs(node):
        await forever()
    members = etcd.members(node)
    if len(members) == 1:
        raise Status(UNKNOWN, 'failed to forfeit leadership: cannot forfeit leadership, only one member')
    leader = ''
    if etcd.leader(node) == etcd.ids[node.name]:
        target = next(member for member in members if member.id != etcd.ids[node.name])
        name = next(name for name, member in etcd.ids.items() if member == target.id)
        try:
            etcd.move_leader(name)
        except Refused as refused:
            raise Status(UNKNOWN, f'failed to forfeit leadership: {refused}') from refused
        leader = target.name
    await _answer(send, 'EtcdForfeitLeadershipResponse', {'member': leader})


async def _alarm_disarm(node, _request, send):
    await _local(node)
    if node.name in node.model.etcd.learners:
        raise Status(UNKNOWN, 'failed to disarm etcd alarm: etcdserver: rpc not supported for learner')
    await _through_any(node)
    disarmed = node.model.etcd.disarm()
    alarms = [{'member_id': int(member, 16), 'alarm': alarm} for member, alarm in disarmed]
    await _answer(send, 'EtcdAlarmListResponse', {'member_alarms': alarms})


async def _defragment(node, _request, send):
    await _local(node)
    node.model.etcd.defragment(node)
    await _answer(send, 'EmptyResponse', {})


async def _snapshot(node, _request, send):
    await _local(node)
    data = snapshot.make(node)
    for start in range(0, len(data), 1024):
        await send(MESSAGES.encode('Data', {'bytes': data[start:start + 1024]}))


async def _local(node):
    """A call on the member of this machine: it hangs where none runs."""
    if not node.model.etcd.runs(node):
        await forever()


METHODS = {f'/machine.MachineService/{name}': method for name, method in {
    'ApplyConfiguration': _apply_configuration,
    'GenerateClientConfiguration': _generate_client_configuration,
    'ServiceStart': _service('start', 'started'),
    'ServiceStop': _service('stop', 'stopped'),
    'ServiceRestart': _service('restart', 'restarted'),
    'Reboot': _reboot,
    'Shutdown': _shutdown,
    'Reset': _reset,
    'Bootstrap': _bootstrap,
    'EtcdRemoveMemberByID': _remove_member,
    'EtcdLeaveCluster': _leave_cluster,
    'EtcdForfeitLeadership': _forfeit_leadership,
    'EtcdAlarmDisarm': _alarm_disarm,
    'EtcdDefragment': _defragment,
    'EtcdSnapshot': _snapshot,
}.items()}
