# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.endpoint import parse
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError


@pytest.mark.parametrize('text, host, port, authority', [
    ('10.5.0.2', '10.5.0.2', 50000, '10.5.0.2:50000'),
    ('10.5.0.2:443', '10.5.0.2', 443, '10.5.0.2:443'),
    ('cp-1.example.com', 'cp-1.example.com', 50000, 'cp-1.example.com:50000'),
    ('cp-1.example.com:1', 'cp-1.example.com', 1, 'cp-1.example.com:1'),
    (' cp-1 ', 'cp-1', 50000, 'cp-1:50000'),
    ('fd00::1', 'fd00::1', 50000, '[fd00::1]:50000'),
    ('::1', '::1', 50000, '[::1]:50000'),
    ('[fd00::1]', 'fd00::1', 50000, '[fd00::1]:50000'),
    ('[fd00::1]:6443', 'fd00::1', 6443, '[fd00::1]:6443'),
    ('fe80::1%eth0', 'fe80::1%eth0', 50000, '[fe80::1%eth0]:50000'),
    ('https://cp-1.example.com', 'cp-1.example.com', 443, 'cp-1.example.com:443'),
    ('https://cp-1.example.com/', 'cp-1.example.com', 443, 'cp-1.example.com:443'),
    ('https://cp-1.example.com:50000', 'cp-1.example.com', 50000, 'cp-1.example.com:50000'),
    ('https://[fd00::1]', 'fd00::1', 443, '[fd00::1]:443'),
    ('https://[fd00::1]:50000', 'fd00::1', 50000, '[fd00::1]:50000'),
    ('grpc://10.5.0.2', '10.5.0.2', 50000, '10.5.0.2:50000'),
    ('grpc://10.5.0.2:1234', '10.5.0.2', 1234, '10.5.0.2:1234'),
])
def test_forms(text, host, port, authority):
    endpoint = parse(text)
    assert (endpoint.host, endpoint.port, endpoint.authority) == (host, port, authority)


@pytest.mark.parametrize('text', [
    '', ' ', 'cp-1:', 'cp-1:x', 'cp-1:0', 'cp-1:65536', 'cp-1:50000:1', 'a b', '[fd00::1', '[cp-1]x', 'user@cp-1', 'cp-1/24', 'https://',
    'https://cp-1:x', 'https://[::1', '10.5.0.2,10.5.0.3', '[]:1',
])
def test_what_is_no_endpoint_is_said_so(text):
    with pytest.raises(ConfigError, match='endpoint'):
        parse(text)
