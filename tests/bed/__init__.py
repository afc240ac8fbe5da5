# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers for tests: what the replay, the simulator and the client's tests are made of.

Everything runs on one asyncio loop in a background thread, so that a blocking test can talk to as many servers as it
likes. In short::

    from tests.bed import pki
    from tests.bed.background import Background
    from tests.bed.grpc_server import Call, GrpcServer, Status, UNIMPLEMENTED

    async def handler(call: Call):
        if call.method != '/machine.MachineService/Version':
            raise Status(UNIMPLEMENTED, 'unknown method')     # trailers-only error
        request = await call.request()                        # bytes of the one request message (or None)
        async for message in call.requests(): ...             # or all of them
        call.values('node')                                   # every value of a metadata key, in order
        pki.roles(call.peer)                                  # organizations of the client certificate (DER)
        await call.send(b'...')                               # one response message, any size, as often as wanted
        await call.forever()                                  # never answers; ends when the client gives up
        # returning ends the call with OK

    authority = pki.Authority('talos')                        # Ed25519 unless key='ecdsa' or 'rsa'
    identity = authority.server('cp-1', dns=['cp-1'], ips=['127.0.0.1'])
    client = authority.client(['os:admin'])
    with Background() as background:
        server = background.serve(GrpcServer(handler, tls=pki.server_context(identity, authority)))
        text = pki.talosconfig('test', [f'127.0.0.1:{server.port}'], authority, client)

- ``pki``: authorities and certificates with any fault wanted, ``server_context``, ``talosconfig``, ``roles``
- ``background``: ``Background`` context manager: ``serve(server)``, ``stop(server)``, ``run(coroutine)``
- ``grpc_server``: ``GrpcServer``, ``Call``, ``Status`` and the gRPC codes
- ``https_server``: ``HttpsServer``, for a Kubernetes API
- ``connect_proxy``: ``ConnectProxy``, an HTTP CONNECT proxy that maps addresses
- ``tcp``: ``TcpServer``, for whatever passes bytes on
- ``faulty``: ports that accept and then misbehave
- ``netns``: ``python -m tests.bed.netns -- command``, a network namespace in which 10.0.0.0/8 is local

Whoever serves has ``await start()``, ``await stop()``, ``host`` and ``port`` (the real one after start).
"""
