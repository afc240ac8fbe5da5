# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials: found here, carried there, and nowhere to be read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, InputError
from ansible_collections.talosops.talos.plugins.module_utils.kube.config import Source
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access
from tests.bed import pki


@pytest.fixture(scope='module')
def talosconfig():
    authority = pki.Authority('talos')
    return pki.talosconfig('prod', ['10.5.0.2', '10.5.0.3'], authority, authority.client(['os:admin']), nodes=['10.5.0.5'])


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in ('TALOSCONFIG', 'TALOS_HOME', 'TALOS_CONTEXT', 'KUBECONFIG'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_what_is_carried_arrives_as_it_was(talosconfig):
    kube = Source('https://10.5.0.100:6443', ca=b'-----BEGIN x', cert=b'-----BEGIN y', key=b'-----BEGIN z', token='t', basic=('me', 'pw'),
                  exec_plugin={'command': 'aws', 'args': ['eks']})
    found = replace(access.find({'talosconfig_content': talosconfig}), kube=kube, tmp_dir='/somewhere')
    text = access.pack(found)
    assert isinstance(text, str) and access.unpack(text) == found
    assert access.unpack(access.pack(replace(found, kube=None, directory=None))) == replace(found, kube=None, directory=None)


@pytest.mark.parametrize('content', [None, {}, {'context': 'a'}, 'context: prod\n', '{"context": "prod"}'])
def test_what_was_not_packed_is_not_unpacked(content):
    assert access.unpack(content) is None


def test_the_cluster_is_the_inventory_host_and_else_the_context(talosconfig, tmp_path):
    assert access.find({'talosconfig_content': talosconfig}).cluster == 'prod'
    assert access.find({'talosconfig_content': talosconfig}, host='prod').cluster == 'prod'
    assert access.find({'talosconfig_content': talosconfig, 'context': 'prod'}, host='my-cluster').cluster == 'my-cluster'
    assert access.find({'talosconfig_content': talosconfig}).directory == str(tmp_path)


def test_a_host_that_is_no_context_is_told_which_there_are(talosconfig):
    with pytest.raises(ConfigError, match='has no context "web1", the name of the inventory host. It has: prod'):
        access.find({'talosconfig_content': talosconfig}, host='web1')


def test_a_mapping_is_as_good_as_text(talosconfig):
    assert access.find({'talosconfig_content': yaml.safe_load(talosconfig)}) == access.find({'talosconfig_content': talosconfig})


def test_the_kubeconfig_of_the_environment_is_taken_on_request_only(talosconfig, tmp_path, monkeypatch):
    (tmp_path / 'kc').write_text(json.dumps({'current-context': 'a', 'contexts': [{'name': 'a', 'context': {'cluster': 'c', 'user': 'u'}}],
                                             'clusters': [{'name': 'c', 'cluster': {'server': 'https://k:6443'}}],
                                             'users': [{'name': 'u', 'user': {'token': 'x'}}]}))
    monkeypatch.setenv('KUBECONFIG', str(tmp_path / 'kc') + ':/other')
    params = {'talosconfig_content': talosconfig}
    assert access.find(params).kube is None
    assert access.find({**params, 'kubeconfig': 'env'}).kube.server == 'https://k:6443'
    assert access.find({**params, 'kubeconfig': 'kc'}).kube.server == 'https://k:6443'
    monkeypatch.delenv('KUBECONFIG')
    with pytest.raises(ConfigError, match='KUBECONFIG is not set'):
        access.find({**params, 'kubeconfig': 'env'})


def test_secrets_are_the_key_and_the_token_and_nothing_that_others_say_too(talosconfig):
    found = replace(access.find({'talosconfig_content': talosconfig}), kube=Source('https://k', token='a-token', basic=('me', 'a-password')))
    secrets = access.secrets(found)
    assert {'a-token', 'a-password'} < secrets
    body = found.context.key.decode().split('\n')[1]
    assert body in secrets
    assert not {'me', 'prod', '10.5.0.2', '10.5.0.5', ''} & secrets
    assert not [secret for secret in secrets if '-----' in secret or len(secret) < 6]


@pytest.mark.parametrize('option', ['timeout', 'deadline'])
@pytest.mark.parametrize('value', [0.0, -1.0, float('nan')])
def test_a_time_that_is_none_is_refused_before_anything_is_sent(talosconfig, option, value):
    params = {'talosconfig_content': talosconfig, 'timeout': 10.0, 'deadline': 60.0, option: value}
    with pytest.raises(InputError, match=f'{option} must be a number of seconds above zero'):
        access.gather({**params, 'access': access.find(params)}, None)


@pytest.mark.parametrize('value', [-1.0, 60.0, 90.0, float('nan')])
def test_a_second_sample_that_the_deadline_does_not_leave_room_for_is_refused(talosconfig, value):
    params = {'talosconfig_content': talosconfig, 'timeout': 10.0, 'deadline': 60.0, 'sample_seconds': value}
    with pytest.raises(InputError, match='sample_seconds must be a number of seconds from zero to less than the deadline'):
        access.gather({**params, 'access': access.find(params)}, None)


def test_a_talosconfig_in_the_working_directory_is_carried_along(talosconfig, tmp_path):
    (tmp_path / 'talosconfig').write_text(talosconfig)
    assert access.find({'talosconfig_content': talosconfig}).local_file == str(tmp_path / 'talosconfig')
    assert access.find({'talosconfig': 'talosconfig'}).local_file is None
