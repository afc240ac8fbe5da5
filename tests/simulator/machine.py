# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RPCs of a machine other than COSI (talos-api 5): C(METHODS) maps a path to C(async def(node, request bytes, send))."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import random
import tarfile
import time
from datetime import timedelta

from tests.bed.grpc_server import INVALID_ARGUMENT, UNIMPLEMENTED, UNKNOWN, Status
from tests.bed.pauses import forever
from tests.simulator import changes, containers, hardware, logs, services, storage
from tests.simulator.resource import timestamp
from tests.simulator.schema import MESSAGES

_CHUNK = 1024
_NO_LEADER_AFTER = 3.0
_DIRECTORY_MODE = 0x80000000 | 0o700
_ETCD_USER = 60


async def _version(node, _request, send):
    mode, cloud = node.model.platform, node.model.setup.get('cloud_provider')
    name, mode = (cloud['name'], 'cloud') if cloud else (mode, mode)
    await _answer(send, 'VersionResponse', {
        'version': {'tag': node.talos, 'sha': hashlib.sha256(node.talos.encode()).hexdigest()[:8], 'go_version': 'go1.26.8', 'os': 'linux',
                    'arch': 'amd64'},
        'platform': {'name': name, 'mode': mode}, 'features': {'rbac': True}})


async def _hostname(node, _request, send):
    await _answer(send, 'HostnameResponse', {'hostname': node.hostname})


async def _service_list(node, _request, send):
    listed = [{
        'id': one.id, 'state': one.state,
        'events': {'events': [{'msg': event.msg, 'state': event.state, 'ts': timestamp(event.at)} for event in one.events]},
        'health': {'unknown': one.health == '?', 'healthy': one.health == 'OK', 'last_message': one.last_message,
                   'last_change': timestamp(one.last_change)},
    } for one in services.of(node)]
    await _answer(send, 'ServiceListResponse', {'services': listed})


async def _netstat(node, request, send):
    """Wildcard listeners are tcp6 sockets, loopback ones tcp; nothing without hostnetwork and a protocol (rec)."""
    asked = MESSAGES.decode('NetstatRequest', request)
    protocols, namespaces = asked.get('l4proto', {}), asked.get('netns', {})
    records = []
    if namespaces.get('hostnetwork') and asked.get('filter', 'ALL') in ('ALL', 'LISTENING'):
        pid = asked.get('feature', {}).get('pid')
        for number, (protocol, address, port, process) in enumerate(_listeners(node)):
            if protocols.get(protocol):
                shown = {'pid': 100 + number, 'name': process} if pid else {}
                records.append({
                    'l4proto': protocol, 'localip': address, 'localport': port, 'remoteip': '::' if protocol == 'tcp6' else '0.0.0.0',
                    'state': 'LISTEN', 'inode': 1895985 + number, 'ref': 1, 'pointer': 1538075232 + number, 'process': shown,
                })
    await _answer(send, 'NetstatResponse', {'connectrecord': records})


def _listeners(node):
    """(protocol, address, port, process) of what listens, by the services that run (truth: netstat --listening)."""
    def runs(service_id):
        return node.service(service_id)[0] == 'Running'

    yield 'tcp', '127.0.0.53', 53, 'init'
    yield 'tcp', '169.254.116.108', 53, 'init'
    yield 'tcp', '127.0.0.1', 7445, 'init'
    if runs('apid'):
        yield 'tcp6', '::', 50000, 'apid'
    if runs('kubelet'):
        yield 'tcp', '127.0.0.1', 10248, 'kubelet'
        yield 'tcp6', '::', 10250, 'kubelet'
    if node.control_plane and runs('trustd'):
        yield 'tcp6', '::', 50001, 'trustd'
    if node.control_plane and runs('etcd'):
        yield 'tcp6', '::', 2379, 'etcd'
        yield 'tcp6', '::', 2380, 'etcd'
        if node.minor >= 14:
            yield 'tcp6', '::', 2383, 'etcd'
    if node.control_plane and node.model.kubernetes_api(node) == 'up':
        yield 'tcp6', '::', 6443, 'kube-apiserver'


async def _etcd_status(node, _request, send):
    if not node.model.etcd.runs(node):
        await forever()
    await _answer(send, 'EtcdStatusResponse', {'member_status': node.model.etcd.status(node)})


async def _etcd_member_list(node, request, send):
    """Without query_local any running control plane node answers, in random order (talos-api 5.4)."""
    etcd = node.model.etcd
    if not MESSAGES.decode('EtcdMemberListRequest', request).get('query_local'):
        running = [other for other in node.model.control_planes if etcd.runs(other)]
        running = [other for other in running if other.name not in etcd.learners] or running  # etcd's client goes on from a learner
        node = random.choice(running) if running else node
    await _linearizable(node)
    members = etcd.members(node)
    await _answer(send, 'EtcdMemberListResponse', {
        'legacy_members': [member.name for member in members],
        'members': [{'id': member.number, 'hostname': member.name, 'peer_urls': member.peer_urls, 'client_urls': member.client_urls,
                     'is_learner': member.learner} for member in members]})


async def _etcd_alarm_list(node, _request, send):
    etcd = node.model.etcd
    if etcd.runs(node) and node.name not in etcd.learners and not etcd.has_quorum(node):
        await forever()
    try:
        await _linearizable(node)
    except Status as status:
        raise Status(status.code, f'failed to list etcd alarms: {status.message}') from status
    alarms = [{'member_id': int(member, 16), 'alarm': alarm} for member, alarm in etcd.alarms]
    await _answer(send, 'EtcdAlarmListResponse', {'member_alarms': alarms})


async def _linearizable(node):
    """What a linearizable etcd call meets: nobody there, a learner, no leader, or what the scenario says."""
    etcd = node.model.etcd
    if not etcd.runs(node):
        await forever()
    if node.name in etcd.learners:
        raise Status(UNKNOWN, 'etcdserver: rpc not supported for learner')
    if etcd.given.get('member_list_api'):
        raise Status(UNKNOWN, etcd.given['member_list_api'])
    if not etcd.has_quorum(node):
        await asyncio.sleep(_NO_LEADER_AFTER)
        raise Status(UNKNOWN, 'etcdserver: no leader')


async def _list(node, request, send):
    """Files: /var/lib/etcd is all that there is."""
    asked = MESSAGES.decode('ListRequest', request)
    root = asked.get('root', '').rstrip('/') or '/'
    if not root.startswith('/var/lib/etcd'):
        raise Status(UNIMPLEMENTED, 'not simulated')
    if not node.control_plane or root != '/var/lib/etcd':
        raise Status(UNKNOWN, f'lstat {root}: no such file or directory')
    depth = (asked.get('recursion_depth') or 99) if asked.get('recurse') else 1
    for name, size in node.model.etcd.files(node):
        if name.count('/') + bool(name) <= depth:
            await send(MESSAGES.encode('FileInfo', _file(node, root, name, size)))


def _file(node, root, name, size):
    is_file = size is not None
    return {
        'name': f'{root}/{name}' if name else root, 'size': size if is_file else 4096, 'mode': 0o600 if is_file else _DIRECTORY_MODE,
        'modified': int(node.boot.timestamp()) + 3, 'is_dir': not is_file, 'relative_name': name or '.', 'uid': _ETCD_USER, 'gid': _ETCD_USER,
    }


async def _logs(node, request, send):
    asked = MESSAGES.decode('LogsRequest', request)
    if not asked.get('namespace') and asked.get('id') != 'kubelet':
        raise Status(INVALID_ARGUMENT, "namespace can't be empty")
    if asked.get('follow'):
        raise Status(UNIMPLEMENTED, 'not simulated')
    log_id, tail = asked.get('id', ''), asked.get('tail_lines', 0)
    kubernetes = asked.get('driver') == 'CRI' and asked.get('namespace') == 'k8s.io' and log_id != 'kubelet'
    if not kubernetes and log_id not in logs.ids(node):
        raise Status(UNKNOWN, f'log "{log_id}" was not registered')
    lines = containers.log(node, log_id) if kubernetes else logs.lines(node, log_id, node.calls)
    if tail >= 0:
        lines = lines[max(len(lines) - tail, 0):]
    data = b''.join(line + b'\n' for line in lines)
    for start in range(0, len(data), _CHUNK):
        await send(MESSAGES.encode('Data', {'bytes': data[start:start + _CHUNK]}))


async def _logs_containers(node, _request, send):
    await _answer(send, 'LogsContainersResponse', {'ids': logs.ids(node)})


async def _dmesg(node, request, send):
    if MESSAGES.decode('DmesgRequest', request).get('follow'):
        raise Status(UNIMPLEMENTED, 'not simulated')
    for line in logs.kernel(node):
        await send(MESSAGES.encode('Data', {'bytes': line}))


async def _system_stat(node, _request, send):
    processor = {'user': 1912.96, 'nice': 0.02, 'system': 1109.18, 'idle': 1776.08, 'iowait': 3.46}
    total = {key: value * 2 for key, value in processor.items()}
    await _answer(send, 'SystemStatResponse', {
        'boot_time': int(node.boot.timestamp()), 'cpu_total': total, 'cpu': [processor, processor], 'process_running': 4})


async def _time(node, _request, send):
    now = node.model.clock.now()
    local = now + timedelta(milliseconds=node.time['offset_ms'])
    await _answer(send, 'TimeResponse', {'server': (node.model.setup.get('time_servers') or ['time.cloudflare.com'])[0], 'localtime': timestamp(local),
                                         'remotetime': timestamp(now)})


async def _kubeconfig(node, _request, send):
    """A gzipped tar without padding and without end blocks, as Talos sends it (talos-api 5.3)."""
    content = node.model.kubeconfig().encode()
    header = tarfile.TarInfo('kubeconfig')
    header.size, header.mode, header.mtime = len(content), 0o600, int(time.time())
    archive = io.BytesIO()
    with gzip.GzipFile(fileobj=archive, mode='wb') as file:
        file.write(header.tobuf(tarfile.USTAR_FORMAT) + content)
    await send(MESSAGES.encode('Data', {'bytes': archive.getvalue()}))


async def _answer(send, name, message):
    await send(MESSAGES.encode(name, {'messages': [message]}))


METHODS = {
    **changes.METHODS,
    '/machine.MachineService/Version': _version,
    '/machine.MachineService/Hostname': _hostname,
    '/machine.MachineService/ServiceList': _service_list,
    '/machine.MachineService/Netstat': _netstat,
    '/machine.MachineService/EtcdStatus': _etcd_status,
    '/machine.MachineService/EtcdMemberList': _etcd_member_list,
    '/machine.MachineService/EtcdAlarmList': _etcd_alarm_list,
    '/machine.MachineService/List': _list,
    '/machine.MachineService/Logs': _logs,
    '/machine.MachineService/LogsContainers': _logs_containers,
    '/machine.MachineService/Dmesg': _dmesg,
    '/machine.MachineService/Kubeconfig': _kubeconfig,
    '/machine.MachineService/Memory': hardware.memory,
    '/machine.MachineService/CPUInfo': hardware.cpu_info,
    '/machine.MachineService/LoadAvg': hardware.load_avg,
    '/machine.MachineService/Read': hardware.read,
    '/machine.MachineService/NetworkDeviceStats': hardware.network_device_stats,
    '/machine.MachineService/SystemStat': _system_stat,
    '/time.TimeService/Time': _time,
    '/machine.MachineService/Mounts': storage.mounts,
    '/machine.MachineService/DiskUsage': storage.disk_usage,
    '/machine.MachineService/Containers': containers.containers,
    '/machine.MachineService/ImageList': containers.image_list,
    '/machine.ImageService/List': containers.image_service_list,
}
