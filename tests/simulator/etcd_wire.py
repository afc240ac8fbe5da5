# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of a real etcd (etcdserverpb: KV, Cluster, Maintenance), called as etcd's own Go client calls it.

That client waits for a connection as long as it takes, and what etcd says it repeats, where a call may be repeated, up to a
hundred times with 25 ms between them (client/v3: options.go, retry.go, retry_interceptor.go): so calls hang where those of Talos do.
"""

from __future__ import annotations

import asyncio
import contextlib

import grpc

from tests.bed.pauses import forever
from tests.simulator.protobuf import Schema

ENUMS = {'alarm': {'NONE': 0, 'NOSPACE': 1, 'CORRUPT': 2}, 'action': {'GET': 0, 'ACTIVATE': 1, 'DEACTIVATE': 2}}
ETCD = Schema(
    """
    Header = cluster_id:int=1 member_id:int=2 revision:int=3 raft_term:int=4
    KeyValue = key:bytes=1 create_revision:int=2 mod_revision:int=3 version:int=4 value:bytes=5
    Range = key:bytes=1 range_end:bytes=2 limit:int=3 revision:int=4 serializable:bool=7 count_only:bool=9
    RangeResponse = header:Header=1 kvs:[]KeyValue=2 more:bool=3 count:int=4
    Put = key:bytes=1 value:bytes=2
    PutResponse = header:Header=1
    DeleteRange = key:bytes=1 range_end:bytes=2
    DeleteRangeResponse = header:Header=1 deleted:int=2
    Compact = revision:int=1 physical:bool=2
    CompactResponse = header:Header=1

    Member = id:int=1 name:string=2 peer_urls:[]string=3 client_urls:[]string=4 is_learner:bool=5
    MemberList = linearizable:bool=1
    MemberListResponse = header:Header=1 members:[]Member=2
    MemberAdd = peer_urls:[]string=1 is_learner:bool=2
    MemberAddResponse = header:Header=1 member:Member=2 members:[]Member=3
    MemberRemove = id:int=1
    MemberRemoveResponse = header:Header=1 members:[]Member=2
    MemberPromote = id:int=1
    MemberPromoteResponse = header:Header=1 members:[]Member=2

    AlarmMember = member_id:int=1 alarm:enum.alarm=2
    Alarm = action:enum.action=1 member_id:int=2 alarm:enum.alarm=3
    AlarmResponse = header:Header=1 alarms:[]AlarmMember=2
    Status =
    StatusResponse = header:Header=1 version:string=2 db_size:int=3 leader:int=4 raft_index:int=5 raft_term:int=6 raft_applied_index:int=7 \
errors:[]string=8 db_size_in_use:int=9 is_learner:bool=10 storage_version:string=11 db_size_quota:int=12
    Defragment =
    DefragmentResponse = header:Header=1
    Snapshot =
    SnapshotResponse = header:Header=1 remaining_bytes:int=2 blob:bytes=3 version:string=4
    MoveLeader = target_id:int=1
    MoveLeaderResponse = header:Header=1
    """, ENUMS)

_KV = ('Range', 'Put', 'DeleteRange', 'Compact')
_CLUSTER = ('MemberList', 'MemberAdd', 'MemberRemove', 'MemberPromote')
# Those that etcd's client repeats when etcd or the connection says that it is not available.
_REPEATABLE = ('Range', 'MemberList', 'Alarm', 'Status', 'Snapshot', 'MoveLeader')
_ATTEMPTS, _PAUSE, _LOOK = 100, 0.025, 0.2
_FOR_LEARNERS = 'etcdserver: rpc not supported for learner'
_REQUIRE_LEADER = (('hasleader', 'true'),)
_NAME = 'localhost'
_OPTIONS = (('grpc.ssl_target_name_override', _NAME), ('grpc.default_authority', _NAME), ('grpc.max_receive_message_length', -1),
            ('grpc.use_local_subchannel_pool', 1), ('grpc.enable_http_proxy', 0), ('grpc.initial_reconnect_backoff_ms', 200),
            ('grpc.min_reconnect_backoff_ms', 200), ('grpc.max_reconnect_backoff_ms', 1000), ('grpc.enable_retries', 0),
            ('grpc.service_config', '{"loadBalancingConfig": [{"round_robin": {}}]}'))


class EtcdError(Exception):
    """What etcd, or gRPC on the way to it, said; C(code) is that of gRPC, C(own) whether these are words of etcd's."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code
        self.own = text.startswith('etcdserver: ')


class Client:
    """A client of one or several members, C(endpoints) as "address:port" with brackets around IPv6; C(tls) is L(credentials)'s.

    Close it. Calls are coroutines of any loop; C(soon) is for threads without one. C(lives()) tells whether a process is behind it: without one
    a caller who is known to give up has no longer to wait for that (tests/bed/pauses.py).
    """

    def __init__(self, endpoints, tls, lives=None):
        self._endpoints = list(endpoints)
        self._lives = lives
        scheme = 'ipv6' if self._endpoints[0].startswith('[') else 'ipv4'
        self._channel = grpc.secure_channel(f'{scheme}:{",".join(self._endpoints)}', tls, options=_OPTIONS)

    def close(self):
        self._channel.close()

    async def call(self, method, leader=False, **fields):
        """The answer as a mapping. C(leader): only where there is one. It waits for a connection without end. Raises EtcdError."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._once(method, leader, fields)
            except EtcdError as error:
                if attempt == _ATTEMPTS or not self._again(method, error):
                    raise
            await asyncio.sleep(_PAUSE)

    def _again(self, method, error):
        if str(error) == _FOR_LEARNERS and len(self._endpoints) > 1:
            return True
        if error.code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
            return True  # etcd's own time is over, the caller's is not
        return method in _REPEATABLE and error.code == grpc.StatusCode.UNAVAILABLE

    async def _once(self, method, leader, fields):
        loop = asyncio.get_running_loop()
        done = asyncio.Event()
        running = self._method(method).future(fields, metadata=_REQUIRE_LEADER if leader else None, wait_for_ready=True)
        running.add_done_callback(lambda _call: _tell(loop, done))
        try:
            await self._until(done)
        finally:
            running.cancel()
        with _errors():
            return running.result()

    async def _until(self, done):
        if self._lives is None:
            await done.wait()
            return
        waiting = [asyncio.ensure_future(one) for one in (done.wait(), self._gone())]
        try:
            ended, _waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in ended:
                one.result()
        finally:
            for one in waiting:
                one.cancel()

    async def _gone(self):
        while self._lives():
            await asyncio.sleep(_LOOK)
        await forever()

    def soon(self, method, seconds, **fields):
        """The answer, once, within so many seconds. Raises EtcdError."""
        with _errors():
            return self._method(method)(fields, timeout=seconds, wait_for_ready=True)

    def _method(self, method):
        service = 'KV' if method in _KV else 'Cluster' if method in _CLUSTER else 'Maintenance'
        return self._channel.unary_unary(f'/etcdserverpb.{service}/{method}', lambda fields: ETCD.encode(method, fields),
                                         lambda data: ETCD.decode(f'{method}Response', data))

    async def snapshot(self):
        """The bytes of a snapshot as they come. Raises EtcdError."""
        queue, loop = asyncio.Queue(), asyncio.get_running_loop()
        stream = self._channel.unary_stream('/etcdserverpb.Maintenance/Snapshot', lambda fields: ETCD.encode('Snapshot', fields),
                                            lambda data: ETCD.decode('SnapshotResponse', data))({}, wait_for_ready=True)

        def read():
            try:
                with _errors():
                    for part in stream:
                        loop.call_soon_threadsafe(queue.put_nowait, part.get('blob', b''))
                loop.call_soon_threadsafe(queue.put_nowait, None)
            except EtcdError as error:
                loop.call_soon_threadsafe(queue.put_nowait, error)

        reading = loop.run_in_executor(None, read)
        try:
            while (part := await queue.get()) is not None:
                if isinstance(part, EtcdError):
                    raise part
                yield part
        finally:
            stream.cancel()
            await reading


def credentials(authority_pem, certificate_pem, key_pem):
    """What a L(Client) trusts and shows, from PEM bytes; the TLS inside grpcio knows no Ed25519."""
    return grpc.ssl_channel_credentials(authority_pem, key_pem, certificate_pem)


@contextlib.contextmanager
def _errors():
    try:
        yield
    except grpc.FutureCancelledError:
        raise EtcdError(grpc.StatusCode.CANCELLED, 'context canceled') from None
    except grpc.RpcError as error:
        raise EtcdError(error.code(), error.details() or '') from None


def _tell(loop, done):
    with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
        loop.call_soon_threadsafe(done.set)
