# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service logs and the kernel log of a machine: the noise of a normal one, and the scenario's lines at their times.

Formats and wording are the recorded ones (talos-api 5.2).
"""

from __future__ import annotations

import json
import re
from datetime import timedelta, timezone

from tests.simulator import kubernetes_resources, services, vocabulary

_WAITS_TO_JOIN = ('etcd is waiting to join the cluster, if this node is the first node in the cluster, please run `talosctl bootstrap` against '
                  'one of the following IPs:')
_RECENT = timedelta(minutes=10)
_COLOURS = {'DEBUG': 35, 'INFO': 34, 'WARN': 33, 'ERROR': 31}
_SERVICE_LOGS = ('apid', 'containerd', 'cri', 'etcd', 'kubelet', 'trustd', 'udevd', 'auditd', 'syslogd')
_PIDS = {'kubelet': 354}
_USAGE = ('Usage:', '', '  etcd [flags]', '    Start an etcd server.', '', '  etcd --version', '    Show the version of etcd.', '',
          '  etcd -h | --help', '    Show the help information about etcd.')
_RENDERED = 'rendered new static pod'
_SLOW_SYNC_MS, _SLOW_APPLY_MS = 1000, 100
_CONTROLLERS = ('cluster.DiscoveryServiceController', 'cluster.MemberController', 'config.AcquireController', 'etcd.ConfigController',
                'k8s.EndpointController', 'k8s.KubePrismController', 'k8s.NodeStatusController', 'network.AddressStatusController',
                'network.NodeAddressController', 'secrets.APICertSANsController', 'time.SyncController', 'v1alpha1.ServiceController')
_STAMPED = re.compile(r'^(?P<facility>kern|user|daemon):\s+(?P<priority>\w+): (?:\[[^\]]+\]: )?')
_OF_THE_KERNEL = re.compile(r'Out of memory|oom-kill|out of memory: Killed|blocked for more than|I/O error|EXT4-fs|XFS \(|nf_conntrack|soft lockup|Kernel panic'
                            r'|segfault|EDAC |[Mm]achine [Cc]heck|nvme\d|Link is ')
_ROLES = '[os:admin os:etcd:backup os:image:verifier os:impersonator os:meta:writer os:operator os:reader]'


def ids(node):
    """The logs that exist: those of a service only once it ran (talos-api 5.2)."""
    always = ['machined', 'controller-runtime', 'early-startup', 'dns-resolve-cache']
    started = [one.id for one in services.of(node) if one.id in _SERVICE_LOGS and any(event.state == 'Running' for event in one.events)]
    told = [source for source in _told_sources(node) if source not in started and source not in always]
    return [*always, *started, *told]


def lines(node, log_id, calls=()):
    """The log as bytes lines without newline, oldest first. C(calls): [(time, method, ok)] that this machine served."""
    writer = {'machined': _machined, 'controller-runtime': _controller_runtime, 'etcd': _etcd, 'kubelet': _kubelet, 'apid': _apid,
              'early-startup': _early_startup, 'dns-resolve-cache': _dns, 'trustd': _trustd}.get(log_id, _containerd)
    entries = list(writer(node, log_id))
    if log_id in ('machined', 'apid'):
        entries += [(at, line) for at, method, code in calls for line in _call_lines(log_id, at, method, code)]
    for told in node.model.state['lines']:
        of_the_kernel = log_id == 'machined' and node.model.platform != 'container' and _kernel_line(told['line'])[0] == 'kern'
        if told['node'] == node.name and vocabulary.SOURCES.get(told['src']) == log_id and not of_the_kernel:
            at = node.model.clock.at(told['at'])
            entries.append((at, _told(node, log_id, at, told['line'])))
    return [line.encode() for _at, line in sorted(entries, key=lambda entry: entry[0])]


def kernel(node):
    """The kernel log: in container mode the host's, without a word of Talos's (rec)."""
    entries = [(node.boot, 'kern', 'notice', 'Linux version 6.18.44-talos #1 SMP PREEMPT_DYNAMIC')]
    if node.model.platform != 'container':
        entries += [(event.at, 'user', 'warning', f'[talos] service[{one.id}]({event.state}): {event.msg}')
                    for one in services.of(node) for event in one.events]
        entries += [(at, 'user', 'warning', f'[talos] {_RENDERED} {json.dumps({"component": "controller-runtime", **fields})}')
                    for at, fields in _rendered(node)]
        entries += [(node.model.clock.at(told['at']), *_kernel_line(told['line']))
                    for told in node.model.state['lines'] if told['node'] == node.name and told['src'] == 'machined dmesg']
    entries.sort(key=lambda entry: entry[0])
    return [f'{facility}: {priority:>7}: [{_nano(at)}]: {text}\n'.encode() for at, facility, priority, text in entries]


def _kernel_line(text):
    """C((facility, priority, text)) of a scenario's line: what the kernel itself says is no line of Talos's."""
    stamped = _STAMPED.match(text)
    if stamped and stamped['facility'] == 'kern':
        return 'kern', stamped['priority'], text[stamped.end():]
    text = text[stamped.end():] if stamped else text
    if _OF_THE_KERNEL.search(text) and not text.startswith('[talos] '):
        return 'kern', 'err', text
    return 'user', 'warning', f'[talos] {_plain(text)}'


def _told_sources(node):
    sources = [vocabulary.SOURCES.get(told['src']) for told in node.model.state['lines'] if told['node'] == node.name]
    return list(dict.fromkeys(source for source in sources if source not in (None, 'k8s.io')))


def _told(node, log_id, at, text):
    """A scenario's line with the stamps that it has in this log."""
    text = _plain(text)
    if log_id == 'machined':
        return _machined_line(node, at, text)
    if log_id == 'controller-runtime':
        if text.startswith('"'):
            text = 'controller failed {"component": "controller-runtime", "controller": "k8s.NodeStatusController", ' + text + '}'
        return f'{_milli(at)} {_level("ERROR" if "controller failed" in text else "WARN")} {text}'
    if log_id == 'etcd' and text.startswith('{'):
        return re.sub(r'^\{("level":"[a-z]+",)?', lambda match: f'{{{match[1] or ""}"ts":"{_micro(at)}",', text)
    if log_id == 'kubelet' and text.startswith('{'):
        return f'{{"ts":{at.timestamp() * 1000:.4f},' + text[1:]
    if log_id == 'kubelet':
        where = '' if re.match(r'^[\w./-]+\.go:\d+\]', text) else 'kubelet.go:3109] '
        return f'E{at.astimezone(timezone.utc):%m%d %H:%M:%S.%f} {_PIDS["kubelet"]:7d} {where}{text}'
    return text


def _plain(text):
    return text.removeprefix('[talos] ')


def _machined(node, _log_id):
    boot = node.boot
    yield boot, _machined_line(node, boot, 'machined logger initialized')
    steps = ('initialize sequence: 9 phase(s)', 'phase systemRequirements (1/9): 1 tasks(s)', 'install sequence: 0 phase(s)',
             'boot sequence: 22 phase(s)')
    for number, text in enumerate(steps):
        at = boot + timedelta(milliseconds=150 + 40 * number)
        yield at, _machined_line(node, at, text)
    for one in services.of(node):
        for event in one.events:
            yield event.at, _machined_line(node, event.at, f'service[{one.id}]({event.state}): {event.msg}')
    if node.control_plane and node.service('etcd')[0] == 'Preparing' and not node.model.state['etcd']['members']:
        for at in _every(node, timedelta(minutes=2)):
            yield at, _machined_line(node, at, _WAITS_TO_JOIN)
            yield at, _machined_line(node, at, f'[{node.address}]')


def _machined_line(node, at, text):
    stamp = f'{at.astimezone(timezone.utc):%Y/%m/%d %H:%M:%S} ' if node.model.platform == 'container' else ''
    return f'{at.astimezone(timezone.utc):%Y/%m/%d %H:%M:%S.%f} [talos] {stamp}{text}'


def _controller_runtime(node, _log_id):
    for controller in _CONTROLLERS:
        at = node.boot + timedelta(milliseconds=345)
        yield at, _zap(at, 'DEBUG', 'controller starting', {'controller': controller})
    if node.control_plane:
        for at, fields in _rendered(node):
            yield at, _zap(at, 'INFO', _RENDERED, fields)
        for at in _every(node, timedelta(seconds=20)):
            yield at, _zap(at, 'DEBUG', 'serving static pod manifests', {'controller': 'k8s.StaticPodServerController', 'size': 12389})


def _rendered(node):
    """(when, fields) of each static pod that was handed to kubelet: soon after etcd came up (rec)."""
    at = _started(node, 'etcd')
    if at is not None:
        for pod in kubernetes_resources.static_pods(node):
            yield at + timedelta(seconds=1), {'controller': 'k8s.StaticPodServerController', 'id': pod.id}


def _zap(at, level, text, fields, component='controller-runtime'):
    return f'{_milli(at)} {_level(level)} {text} {json.dumps({"component": component, **fields})}'


def _level(level):
    return f'\x1b[{_COLOURS[level]}m{level}\x1b[0m'


def _early_startup(node, _log_id):
    at = node.boot
    for text, fields in (('platform information', {'mode': node.model.platform}), ('FIPS mode', {'enabled': False, 'strict': False}),
                         ('initializing cgroups', {'root': '/'}), ('early startup done', {'duration': '99.429707ms'})):
        yield at, _zap(at, 'INFO', text, fields, component='early-startup')


def _dns(node, _log_id):
    at = node.boot + timedelta(seconds=1)
    yield at, _zap(at, 'INFO', 'updated dns server nameservers', {'addrs': ['1.1.1.1:53', '8.8.8.8:53']}, component='dns-resolve-cache')


def _etcd(node, _log_id):
    etcd = node.model.etcd
    started = _started(node, 'etcd')
    if started is None:
        return
    member = etcd.ids.get(node.name, '0000000000000000')
    if etcd.given.get('real'):
        yield from etcd.log(node)
        yield from _slow_disk(node)
        return
    about = {'etcd-version': node.etcd_version, 'name': node.short_name}
    yield started, _etcd_line(started, 'info', 'embed/etcd.go:323', 'starting an etcd server', about)
    leader = etcd.leader(node) if etcd.runs(node) else None
    term = etcd.given['raft_term']
    if leader:
        at = started + timedelta(seconds=2)
        elected = f'raft.node: {member} elected leader {leader} at term {term}'
        yield at, _etcd_line(at, 'info', 'v3@v3.6.0/node.go:370', elected, logger='raft')
        yield from _leader_changes(node, member, leader, term)
    yield from _elections(node, member)
    if node.service('etcd')[0] == 'Waiting' and node.config.unknown_etcd_flag:
        at = node.model.clock.now()
        usage = (f'flag provided but not defined: -{node.config.unknown_etcd_flag}', *_USAGE)
        yield from ((at + timedelta(microseconds=number), text) for number, text in enumerate(usage))
    yield from _slow_disk(node)
    if node.name in etcd.removed:
        for event in node.events.get('etcd', ()):
            if event.state == 'Running':
                yield event.at, _etcd_line(event.at, 'error', 'etcdserver/server.go:846', 'the member has been permanently removed from the cluster',
                                           {'local-member-id': member})
                yield event.at, _etcd_line(event.at, 'fatal', 'etcdmain/etcd.go:198', 'listener failed', {'error': 'server is stopping'})
    for at in _every(node, timedelta(minutes=1)):
        about = {'local-member-id': member, 'timeout': '7s'}
        yield at, _etcd_line(at, 'info', 'etcdserver/corrupt.go:278', 'starting compact hash check', about)
        yield at, _etcd_line(at, 'info', 'etcdserver/corrupt.go:294', 'finished compaction hash check', {'number-of-hashes-checked': 0})
    if not etcd.runs(node):
        return
    for other in etcd.silent(node):
        address = other.peer_urls[0].removeprefix('https://') if other.peer_urls else ''
        for at in _every(node, timedelta(seconds=5), timedelta(minutes=2)):
            yield at, _etcd_line(at, 'warn', 'rafthttp/probing_status.go:68', 'prober detected unhealthy status', {
                'round-tripper-name': 'ROUND_TRIPPER_RAFT_MESSAGE', 'remote-peer-id': other.id, 'rtt': '1.397326ms',
                'error': f'dial tcp {address}: connect: connection refused'})
    if not leader:
        for at in _every(node, timedelta(milliseconds=1500), timedelta(minutes=2)):
            voted = f'{member} received MsgPreVoteResp from {member} at term {term}'
            yield at, _etcd_line(at, 'info', 'v3@v3.6.0/raft.go:1077', voted, logger='raft')
            yield at, _etcd_line(at, 'warn', 'etcdserver/v3_server.go:1016', 'waiting for ReadIndex response took too long, retrying',
                                 {'sent-request-id': 9739212325479546037, 'retry-timeout': '500ms'})


def _leader_changes(node, member, leader, term):
    """As many as the scenario says of the last day, among those members that vote, the present leader the last."""
    etcd, wall = node.model.etcd, node.model.clock.wall
    changes = int(etcd.given.get('leader_changes_24h') or 0)
    voters = [etcd.ids[name] for name in etcd.group(node) if name not in etcd.learners]
    last = voters.index(leader) if leader in voters else 0
    for number in range(changes):
        at = max(wall - timedelta(hours=23) * (changes - number) / changes, node.boot)
        old, new = (voters[(last - changes + number + step) % len(voters)] for step in (0, 1))
        yield from _change(at, member, old, new, term - changes + number)


def _change(at, member, old, new, term):
    yield at, _etcd_line(at, 'info', 'v3@v3.6.0/node.go:376', f'raft.node: {member} lost leader {old} at term {term + 1}', logger='raft')
    at += timedelta(seconds=1)
    yield at, _etcd_line(at, 'info', 'v3@v3.6.0/node.go:370', f'raft.node: {member} elected leader {new} at term {term + 1}', logger='raft')


def _elections(node, member):
    """Those that took place since the scenario began."""
    for at, old, new, term in node.model.etcd.elections:
        if at > node.boot:
            yield from _change(at - timedelta(seconds=1), member, old, new, term - 1)


def _slow_disk(node):
    """What etcd says of a disk: of syncs that take more than a second, and of requests and heartbeats that wait for more than 100 ms."""
    latency = (node.given.get('disk') or {}).get('etcd_fsync_p99_ms') or 0
    if latency > _SLOW_SYNC_MS:
        for at in _every(node, timedelta(seconds=20)):
            took = {'took': f'{latency / 1000:.9g}s', 'expected-duration': '1s'}
            yield at, _etcd_line(at, 'warn', 'wal/wal.go:886', 'slow fdatasync', took)
    if latency > _SLOW_APPLY_MS:
        for at in _every(node, timedelta(seconds=7)):
            yield at, _etcd_line(at, 'warn', 'txn/util.go:93', 'apply request took too long', {
                'took': f'{latency * 1.3:.6f}ms', 'expected-duration': '100ms', 'prefix': 'read-only range ', 'request': 'key:"health" ',
                'response': 'range_response_count:0 size:5'})


def _etcd_line(at, level, caller, text, fields=None, logger=None):
    entry = {'level': level, 'ts': _micro(at), **({'logger': logger} if logger else {}), 'caller': caller, 'msg': text, **(fields or {})}
    return _compact(entry)


def _kubelet(node, _log_id):
    started = _started(node, 'kubelet')
    if started is None:
        return
    pod = {'name': f'kube-proxy-{node.identity[:5].lower()}', 'namespace': 'kube-system'}
    at = started + timedelta(seconds=30)
    about = {'v': 0, 'node': {'name': node.nodename}}
    yield at, _kubelet_line(at, 'kubelet/kubelet_node_status.go:75', 'Attempting to register node', about)
    at += timedelta(seconds=1)
    yield at, _kubelet_line(at, 'util/pod_startup_latency_tracker.go:148', 'Observed pod startup duration',
                            {'v': 0, 'pod': pod, 'podStartSLOduration': 0.922608456, 'podStartE2EDuration': '3.188580397s'})


def _kubelet_line(at, caller, text, fields):
    return _compact({'ts': round(at.timestamp() * 1000, 4), 'caller': caller, 'msg': text, **fields})


def _trustd(node, _log_id):
    started = _started(node, 'trustd')
    for worker in node.model.nodes.values():
        if started and not worker.control_plane:
            at = max(started, worker.boot) + timedelta(seconds=2)
            stamp = f'{at.astimezone(timezone.utc):%Y/%m/%d %H:%M:%S.%f}'
            subject = f'subject CN={worker.hostname} dns names [{worker.hostname}] addresses [{" ".join(worker.san_ips)}]'
            yield at, f'{stamp} reg.go:70: received CSR signing request from {worker.address}:46194: {subject}'


def _apid(_node, _log_id):
    return ()


def _containerd(node, log_id):
    started = _started(node, log_id)
    if started and log_id in ('containerd', 'cri'):
        at = started
        yield at, _compact({'level': 'info', 'msg': 'starting containerd', 'revision': '', 'time': _nano(at), 'version': 'v2.2.4'})
        at += timedelta(milliseconds=18)
        yield at, _compact({'level': 'info', 'msg': 'containerd successfully booted in 0.018051s', 'time': _nano(at)})
    elif started and log_id == 'udevd':
        yield started, "Using default interface naming scheme 'v257'."


def _call_lines(log_id, at, method, code):
    """What one API call leaves in a log: three lines in machined's ring, one in apid's (rec)."""
    stamp = f'{at.astimezone(timezone.utc):%Y/%m/%d %H:%M:%S.%f}'
    short = stamp.split('.')[0]
    if log_id == 'apid':
        yield f'{stamp} log.go:98: {code} [{method}] 2.272851ms stream Success (:authority=localhost;content-type=application/grpc)'
        return
    yield f'{stamp} machined/authz/unix/authorizer {short} authorized based on PID (209) match with service "apid" (allowed roles {_ROLES})'
    yield f'{stamp} machined/authz/authorizer {short} authorized ([os:admin os:operator os:reader] includes [os:admin])'
    yield f'{stamp} machined {short} {code} [{method}] 994.434µs stream Success (:authority=localhost)'


def _started(node, service_id):
    """When a service last came to run, None if it never did."""
    for one in services.of(node):
        if one.id == service_id:
            return next((event.at for event in one.events if event.state == 'Running'), None)
    return None


def _every(node, interval, back=_RECENT):
    """Times up to now, a while back at most to the boot."""
    at = node.model.clock.wall - interval / 2
    times = []
    while at > node.boot and at > node.model.clock.wall - back:
        times.append(at)
        at -= interval
    return reversed(times)


def _compact(entry):
    return json.dumps(entry, separators=(',', ':'))


def _milli(at):
    return f'{at.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z'


def _micro(at):
    return f'{at.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z'


def _nano(at):
    return f'{at.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}000Z'
