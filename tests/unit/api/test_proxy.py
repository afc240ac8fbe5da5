# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import proxy
from ansible_collections.talosops.talos.plugins.module_utils.api.endpoint import parse
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError

CP = parse('10.5.0.2')


def test_the_option_comes_first_then_the_talosconfig_then_the_environment():
    environ = {'HTTPS_PROXY': 'http://from-env:3128', 'https_proxy': 'http://lower:3128'}
    assert proxy.choose(CP, 'http://option:1', 'http://config:2', environ).host == 'option'
    assert proxy.choose(CP, None, 'http://config:2', environ).host == 'config'
    assert proxy.choose(CP, None, None, environ).host == 'from-env'
    assert proxy.choose(CP, None, None, {'https_proxy': 'http://lower:3128'}).host == 'lower'
    assert proxy.choose(CP, 'none', 'http://config:2', environ) is None
    assert proxy.choose(CP, None, None, {'HTTP_PROXY': 'http://other:1'}) is None


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.delenv('NO_PROXY', raising=False)
    monkeypatch.delenv('no_proxy', raising=False)
    monkeypatch.setenv('HTTPS_PROXY', 'http://from-env:3128')
    assert proxy.choose(CP).host == 'from-env'


def test_no_proxy_is_about_the_environment_only():
    environ = {'HTTPS_PROXY': 'http://from-env:3128', 'NO_PROXY': '*'}
    assert proxy.choose(CP, environ=environ) is None
    assert proxy.choose(CP, 'http://option:1', environ=environ).host == 'option'


@pytest.mark.parametrize('host', ['localhost', '127.0.0.1', '127.9.9.9', '::1'])
def test_this_host_needs_no_proxy_of_the_environment(host):
    assert proxy.choose(parse(host), environ={'HTTPS_PROXY': 'http://from-env:3128'}) is None


@pytest.mark.parametrize('no_proxy, endpoint, excluded', [
    ('10.5.0.2', '10.5.0.2', True),
    ('10.5.0.0/24', '10.5.0.2', True),
    ('10.5.1.0/24', '10.5.0.2', False),
    ('example.com,10.5.0.0/24', '10.5.0.2', True),
    ('example.com 10.5.0.0/24', '10.5.0.2', True),
    ('fd00::/8', '[fd00::1]:50000', True),
    ('[fd00::1]:50000', '[fd00::1]:50000', True),
    ('[fd00::1]:443', '[fd00::1]:50000', False),
    ('10.5.0.2:50000', '10.5.0.2', True),
    ('10.5.0.2:443', '10.5.0.2', False),
    ('example.com', 'example.com', True),
    ('example.com', 'cp-1.EXAMPLE.com', True),
    ('Example.COM', 'cp-1.example.com.', True),
    ('example.com', 'badexample.com', False),
    ('.example.com', 'cp-1.example.com', True),
    ('.example.com', 'example.com', False),
    ('*.example.com', 'cp-1.example.com', True),
    ('*.example.com', 'example.com', False),
    ('cp-1.example.com:50000', 'cp-1.example.com', True),
    ('*', '10.5.0.2', True),
    ('', '10.5.0.2', False),
    (',,', 'cp-1', False),
    ('10.5.0.2', 'cp-1', False),
    ('not/a/network', '10.5.0.2', False),
])
def test_no_proxy(no_proxy, endpoint, excluded):
    assert proxy.excludes(no_proxy, parse(endpoint)) is excluded
    chosen = proxy.choose(parse(endpoint), environ={'HTTPS_PROXY': 'proxy:3128', 'no_proxy': no_proxy})
    assert (chosen is None) is excluded


def test_forms_and_credentials():
    assert (proxy.parse('proxy:3128', 'x').host, proxy.parse('proxy:3128', 'x').port) == ('proxy', 3128)
    assert proxy.parse('http://proxy', 'x').port == 80
    assert proxy.parse('http://[fd00::1]:3128', 'x').host == 'fd00::1'
    parsed = proxy.parse('http://us%40er:pa%3Ass@proxy:3128', 'HTTPS_PROXY')
    assert base64.b64decode(parsed.authorization.removeprefix('Basic ')) == b'us@er:pa:ss'
    assert 'pa' not in parsed.text and 'pa:ss' not in repr(parsed) and parsed.authorization not in repr(parsed)


def test_what_is_said_to_the_proxy():
    assert proxy.request(proxy.parse('http://proxy:1', 'x'), parse('cp-1')) == b'CONNECT cp-1:50000 HTTP/1.1\r\nHost: cp-1:50000\r\n\r\n'
    assert b'CONNECT [fd00::1]:50000 HTTP/1.1\r\n' in proxy.request(proxy.parse('http://proxy:1', 'x'), parse('fd00::1'))
    assert b'\r\nProxy-Authorization: Basic dTpw\r\n\r\n' in proxy.request(proxy.parse('http://u:p@proxy:1', 'x'), parse('cp-1'))


@pytest.mark.parametrize('url, said', [
    ('socks5://proxy:1080', 'SOCKS'),
    ('socks5h://secret:word@proxy:1080', 'SOCKS'),
    ('https://secret:word@proxy:443', 'https://'),
    ('ftp://proxy', 'ftp://'),
    ('http://', 'no host'),
    ('http://secret:word@proxy:port', 'no valid URL'),
])
def test_what_is_not_supported_is_said_without_credentials(url, said):
    with pytest.raises(ConfigError, match=said) as caught:
        proxy.choose(CP, environ={'HTTPS_PROXY': url})
    assert 'HTTPS_PROXY' in str(caught.value) and 'word' not in caught.value.sentence()
