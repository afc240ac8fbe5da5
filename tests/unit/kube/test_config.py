# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError
from ansible_collections.talosops.talos.plugins.module_utils.kube import config
from tests.unit.snapshot import recorded_kubeconfig


def document(cluster=None, user=None, **more):
    return {'current-context': 'a', 'contexts': [{'name': 'a', 'context': {'cluster': 'c', 'user': 'u'}}, {'name': 'b', 'context': {'cluster': 'd'}}],
            'clusters': [{'name': 'c', 'cluster': cluster or {'server': 'https://10.5.0.10:6443/'}}, {'name': 'd', 'cluster': {'server': 'https://other'}}],
            'users': [{'name': 'u', 'user': user or {'token': 't'}}], **more}


def test_what_talos_issues():
    source = config.load(content=recorded_kubeconfig.text('healthy'), origin=config.TALOS)
    assert (source.server, source.origin, source.context) == ('https://10.5.0.100:6443', 'talos', 'admin@rt')
    assert source.ca.startswith(b'-----BEGIN CERTIFICATE')
    assert source.cert.startswith(b'-----BEGIN CERTIFICATE')
    assert b'PRIVATE KEY' in source.key
    assert 'PRIVATE' not in repr(source)


def test_a_context_is_chosen_by_name():
    assert config.load(content=document()).server == 'https://10.5.0.10:6443'
    assert config.load(content=document(), context='b').server == 'https://other'


def test_files_are_relative_to_the_kubeconfig(tmp_path):
    (tmp_path / 'ca.pem').write_text('the CA')
    (tmp_path / 'token').write_text('abc\n')
    path = tmp_path / 'config'
    path.write_text(yaml.safe_dump(document({'server': 'https://x', 'certificate-authority': 'ca.pem', 'tls-server-name': 'y', 'proxy-url': 'http://p'},
                                            {'tokenFile': str(tmp_path / 'token')})))
    source = config.load(path=str(path))
    assert (source.ca, source.token, source.tls_server_name, source.proxy_url, source.where) == (b'the CA', 'abc', 'y', 'http://p', str(path))


def test_a_vault_can_be_read_through_the_callers_reader():
    text = yaml.safe_dump(document()).encode()
    assert config.load(path='/nowhere/config', read=lambda _path: text).server == 'https://10.5.0.10:6443'


@pytest.mark.parametrize(('content', 'context', 'says'), [
    ('', None, 'is empty or no mapping'),
    ('- a', None, 'is empty or no mapping'),
    ('a: [', None, 'is no YAML'),
    (document(**{'current-context': ''}), None, 'names no current context; it has: a, b'),
    (document(), 'z', 'has no context "z"; it has: a, b'),
    (document(contexts=[{'name': 'a', 'context': {'cluster': 'z'}}]), None, 'has no cluster "z"; it has: c, d'),
    (document({'insecure-skip-tls-verify': True}), None, 'has no server'),
    (document({'server': 'https://x', 'certificate-authority-data': '?'}), None, 'certificate-authority-data is no base64'),
    (document({'server': 'https://x', 'certificate-authority': '/none/ca.pem'}), None, '/none/ca.pem could not be read (No such file or directory)'),
    (document(user={'auth-provider': {'name': 'oidc'}}), None, 'auth-provider'),
])
def test_bad_input_is_one_sentence(content, context, says):
    with pytest.raises(ConfigError) as caught:
        config.load(content=content, context=context)
    assert says in str(caught.value)


def test_a_missing_file_and_a_directory(tmp_path):
    for path in (tmp_path / 'none', tmp_path):
        with pytest.raises(ConfigError, match='could not be read'):
            config.load(path=str(path))


def test_inline_data_comes_before_a_file():
    inline = base64.b64encode(b'inline').decode()
    assert config.load(content=document({'server': 'https://x', 'certificate-authority-data': inline, 'certificate-authority': '/none'})).ca == b'inline'
