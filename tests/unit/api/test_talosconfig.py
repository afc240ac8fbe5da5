# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a talosconfig is found, which context is meant, and everything that can be wrong with it."""

from __future__ import annotations

import base64
import os
from datetime import datetime, timedelta, timezone

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError
from tests.bed import pki

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)


def b64(data):
    return base64.b64encode(data).decode()


@pytest.fixture
def document(authority, admin):
    """A talosconfig with two contexts, as data."""
    first = yaml.safe_load(pki.talosconfig('prod', ['10.5.0.2', '10.5.0.3'], authority, admin, nodes=['10.5.0.5']))
    second = yaml.safe_load(pki.talosconfig('stage', ['10.6.0.2'], authority, admin))
    first['contexts'].update(second['contexts'])
    return first


def load(document, **options):
    return talosconfig.load(content=yaml.safe_dump(document), **{'environ': {}, **options})


def refused(said, document, **options):
    """The error of a document, which must hold no key material."""
    with pytest.raises(ConfigError) as caught:
        load(document, **options)
    sentence = caught.value.sentence()
    assert said in sentence
    assert 'PRIVATE KEY' not in sentence
    return sentence


# -- where it is ------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path, document):
    """Files that could be found: each names itself as the cluster."""
    def write(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        document['contexts']['prod']['cluster'] = name
        path.write_text(yaml.safe_dump(document))
        return str(path)
    return write


def test_lookup_order(home, tmp_path):
    explicit, named, talos_home, default = home('explicit'), home('named'), home('talos/config'), home('home/.talos/config')
    environ = {'TALOSCONFIG': named, 'TALOS_HOME': os.path.dirname(talos_home), 'HOME': str(tmp_path / 'home')}
    assert talosconfig.load(explicit, environ=environ).source == explicit
    assert talosconfig.load(environ=environ).source == named
    del environ['TALOSCONFIG']
    assert talosconfig.load(environ=environ).cluster == 'talos/config'
    environ['TALOS_HOME'] = 'relative'
    assert talosconfig.load(environ=environ).source == default
    del environ['TALOS_HOME']
    assert talosconfig.load(environ=environ).source == default


def test_a_missing_file_in_the_environment_is_passed_over_and_reported(home, tmp_path):
    default = home('home/.talos/config')
    gone = str(tmp_path / 'gone')
    context = talosconfig.load(environ={'TALOSCONFIG': gone, 'HOME': str(tmp_path / 'home')})
    assert context.source == default
    problems = talosconfig.facts(context, NOW)['problems']
    assert [problem['kind'] for problem in problems] == ['talosconfig_missing'] and gone in problems[0]['text']


def test_no_talosconfig_at_all(tmp_path):
    environ = {'HOME': str(tmp_path), 'TALOSCONFIG': '/nowhere/talosconfig'}
    with pytest.raises(ConfigError, match='There is no talosconfig') as caught:
        talosconfig.load(environ=environ)
    assert '/nowhere/talosconfig' in str(caught.value) and str(tmp_path / '.talos' / 'config') in str(caught.value)
    assert os.listdir(tmp_path) == [], 'it must never create one'


def test_a_tilde_in_a_path(home, monkeypatch, tmp_path):
    home('home/mine')
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    assert talosconfig.load('~/mine', environ={}).source == str(tmp_path / 'home' / 'mine')


def test_a_named_file_that_does_not_exist(tmp_path):
    with pytest.raises(ConfigError, match='gone does not exist'):
        talosconfig.load(str(tmp_path / 'gone'), environ={})


def test_a_directory(tmp_path):
    with pytest.raises(ConfigError, match='is a directory'):
        talosconfig.load(str(tmp_path), environ={})


def test_a_file_that_may_not_be_read(home):
    def read(path):
        raise PermissionError(13, 'Permission denied', path)

    with pytest.raises(ConfigError, match='cannot be read: Permission denied'):
        talosconfig.load(home('mine'), environ={}, read=read)


def test_the_file_is_not_written(home):
    path = home('mine')
    os.chmod(path, 0o400)
    before = os.stat(path)
    talosconfig.load(path, environ={})
    assert os.stat(path).st_mtime_ns == before.st_mtime_ns and open(path, 'rb').read()


def test_content_and_path_exclude_each_other(document):
    with pytest.raises(ConfigError, match='Both'):
        talosconfig.load('/some/file', content=yaml.safe_dump(document), environ={})


@pytest.mark.parametrize('form', [yaml.safe_dump, lambda document: yaml.safe_dump(document).encode(), lambda document: document,
                                  lambda document: '\ufeff' + yaml.safe_dump(document)])
def test_content_as_text_bytes_or_mapping(document, form):
    content = form(document)
    content = content.encode('utf-8') if isinstance(content, str) and content.startswith('\ufeff') else content
    context = talosconfig.load(content=content, environ={'TALOSCONFIG': '/not/looked/at'})
    assert (context.name, context.source, context.endpoints, context.nodes) == ('prod', 'content', ['10.5.0.2', '10.5.0.3'], ['10.5.0.5'])


# -- encrypted ----------------------------------------------------------------------------------------------------


def test_a_file_is_decrypted_by_the_hook(tmp_path, document):
    path = tmp_path / 'vaulted'
    path.write_text('$ANSIBLE_VAULT;1.1;AES256\n6162')
    context = talosconfig.load(str(path), environ={}, read=lambda asked: yaml.safe_dump(document).encode() if asked == str(path) else b'')
    assert context.name == 'prod'


def test_an_encrypted_file_without_a_password(tmp_path):
    path = tmp_path / 'vaulted'
    path.write_text('$ANSIBLE_VAULT;1.1;AES256\n6162')
    with pytest.raises(ConfigError, match='encrypted by ansible-vault'):
        talosconfig.load(str(path), environ={})


# -- what is in it ------------------------------------------------------------------------------------------------


def test_empty_content_is_no_content(tmp_path):
    with pytest.raises(ConfigError, match='no talosconfig'):
        talosconfig.load(content='', environ={'HOME': str(tmp_path)})


@pytest.mark.parametrize('text, said', [
    ('\n \n', 'is empty'),
    ('- a\n- b\n', 'is no mapping'),
    ('just text', 'is no mapping'),
    ('42', 'is no mapping'),
    ('context: a\n', 'has no contexts'),
    ('context: a\ncontexts: {}\n', 'has no contexts'),
    ('context: a\ncontexts: [a]\n', 'has no contexts'),
    ('context: a\ncontexts:\n  a: text\n', 'is no mapping'),
    ('contexts: {a: [b\nkey: c', 'is not valid YAML (line 2'),
    ('!!python/object:os.system {}', 'is not valid YAML'),
    (b'\xff\xfe\x00', 'is not text in UTF-8'),
])
def test_what_is_no_talosconfig(text, said):
    with pytest.raises(ConfigError) as caught:
        talosconfig.load(content=text, environ={})
    assert said in str(caught.value)


def test_an_empty_file(tmp_path):
    (tmp_path / 'config').write_text('')
    with pytest.raises(ConfigError, match='is empty'):
        talosconfig.load(str(tmp_path / 'config'), environ={})


def test_broken_yaml_is_not_quoted():
    with pytest.raises(ConfigError) as caught:
        talosconfig.load(content='contexts:\n  a:\n    key: "c2VjcmV0\n', environ={})
    assert 'c2VjcmV0' not in caught.value.sentence()


# -- which context ------------------------------------------------------------------------------------------------


def test_the_order_of_contexts(document):
    assert load(document).name == 'prod'
    assert load(document, default_context='stage').name == 'stage'
    assert load(document, default_context='stage', environ={'TALOS_CONTEXT': 'prod'}).name == 'prod'
    assert load(document, context='stage', default_context='prod', environ={'TALOS_CONTEXT': 'prod'}).name == 'stage'
    assert load(document).contexts == ['prod', 'stage']


def test_a_context_that_is_not_there_lists_those_that_are(document):
    for options in ({'context': 'test'}, {'environ': {'TALOS_CONTEXT': 'test'}}, {'default_context': 'test'}):
        sentence = refused('has no context "test"', document, **options)
        assert 'prod, stage' in sentence
    document['context'] = 'test'
    assert 'prod, stage' in refused('has no context "test"', document)


def test_no_current_context(document):
    document['context'] = ''
    assert 'prod, stage' in refused('names no current context', document)
    del document['contexts']['stage']
    assert load(document).name == 'prod'


def test_names_that_yaml_takes_for_something_else(document):
    document['contexts'] = {1: document['contexts']['prod']}
    document['context'] = 1
    assert load(document).name == '1'
    assert load(document, context='1').contexts == ['1']


# -- one context --------------------------------------------------------------------------------------------------


def test_the_deprecated_target_is_an_endpoint(document):
    document['contexts']['prod']['target'] = '10.5.0.4'
    assert load(document).endpoints == ['10.5.0.2', '10.5.0.3', '10.5.0.4']


def test_no_endpoints_is_a_finding_and_an_error_for_who_connects(document):
    document['contexts']['prod']['endpoints'] = []
    context = load(document)
    assert [problem['kind'] for problem in talosconfig.facts(context, NOW)['problems']] == ['no_endpoints']
    with pytest.raises(ConfigError, match='"prod".*has no endpoints'):
        talosconfig.need_endpoints(context)


@pytest.mark.parametrize('key, value', [('endpoints', '10.5.0.2'), ('endpoints', [1]), ('nodes', {'a': 1}), ('nodes', [None])])
def test_lists_that_are_none(document, key, value):
    document['contexts']['prod'][key] = value
    refused(f'{key} is no list of texts', document)


def test_omni(document):
    document['contexts']['prod'] = {'endpoints': ['https://omni.example.com'], 'auth': {'siderov1': {'identity': 'a@example.com'}}, 'cluster': 'c'}
    sentence = refused('Omni', document)
    assert '"prod"' in sentence


def test_basic_authentication(document):
    document['contexts']['prod']['auth'] = {'basic': {'username': 'u', 'password': 'hunter2'}}
    assert 'hunter2' not in refused('auth.basic', document)


def test_proxy_url(document):
    document['contexts']['prod']['proxy-url'] = 'http://proxy:3128'
    assert load(document).proxy_url == 'http://proxy:3128'
    document['contexts']['prod']['proxy-url'] = 'socks5://proxy:1080'
    refused('SOCKS', document)


# -- credentials --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('key', ['ed25519', 'ecdsa', 'rsa'])
def test_every_kind_of_key(key):
    authority = pki.Authority('talos', key=key)
    context = talosconfig.load(content=pki.talosconfig('a', ['10.5.0.2'], authority, authority.client(['os:reader'])), environ={})
    facts = talosconfig.facts(context, NOW)
    assert facts['certificate']['key_type'] == facts['ca']['key_type'] == {'ed25519': 'Ed25519', 'ecdsa': 'ECDSA P-256', 'rsa': 'RSA 2048'}[key]
    assert facts['ca']['signed_client'] is True and facts['problems'] == []
    assert b'-----BEGIN PRIVATE KEY-----' in context.key or key != 'ed25519'


@pytest.mark.parametrize('part', ['ca', 'crt', 'key'])
@pytest.mark.parametrize('value, said', [
    ('not base64!', 'is not base64'),
    (b64(b'not PEM'), 'but of no PEM'),
    (b64(b'-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'), 'can be read'),
    (b64(b'-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'), ''),
    ('-----BEGIN CERTIFICATE-----', 'is not base64'),
    (['a'], 'is no text'),
])
def test_what_cannot_be_decoded(document, part, value, said):
    document['contexts']['prod'][part] = value
    sentence = refused(said, document)
    assert f': {part} ' in sentence and '"prod"' in sentence


def test_base64_over_several_lines(document):
    crt = document['contexts']['prod']['crt']
    document['contexts']['prod']['crt'] = '\n'.join(crt[at:at + 64] for at in range(0, len(crt), 64)) + '\n'
    assert load(document).crt


def test_a_key_of_another_certificate(document, authority):
    document['contexts']['prod']['key'] = b64(authority.client().talos_key_pem)
    refused('crt and key do not belong together', document)


@pytest.mark.parametrize('part, said', [('crt', 'key without crt'), ('key', 'crt without key')])
def test_half_a_pair(document, part, said):
    del document['contexts']['prod'][part]
    refused(said, document)


def test_no_client_certificate_is_a_finding(document):
    del document['contexts']['prod']['crt'], document['contexts']['prod']['key']
    facts = talosconfig.facts(load(document), NOW)
    assert facts['certificate'] is None and [problem['kind'] for problem in facts['problems']] == ['no_client_certificate']


@pytest.mark.parametrize('begin, end, kind', [(-400, -35, 'expired'), (1, 366, 'not_yet_valid')])
def test_a_certificate_out_of_its_time_is_a_finding_with_both_dates(authority, begin, end, kind):
    client = authority.client(not_before=NOW + begin * DAY, not_after=NOW + end * DAY)
    context = talosconfig.load(content=pki.talosconfig('a', ['10.5.0.2'], authority, client), environ={})
    problem, = talosconfig.facts(context, NOW)['problems']
    assert problem['kind'] == kind
    assert f'{NOW + begin * DAY:%Y-%m-%d}' in problem['text'] and f'{NOW + end * DAY:%Y-%m-%d}' in problem['text']
    assert talosconfig.facts(context, NOW + (begin + 5) * DAY)['problems'] == [], 'the clock is the caller\'s'


def test_a_foreign_ca(document):
    document['contexts']['prod']['ca'] = b64(pki.Authority('talos').pem)
    facts = talosconfig.facts(load(document), NOW)
    assert facts['ca']['signed_client'] is False and [problem['kind'] for problem in facts['problems']] == ['foreign_ca']


def test_a_bundle_of_cas(document, authority):
    document['contexts']['prod']['ca'] = b64(pki.Authority('talos').pem + authority.pem)
    assert talosconfig.facts(load(document), NOW)['ca']['signed_client'] is True


def test_a_certificate_for_more_than_clients(authority):
    client = authority.client(usages=[pki.CLIENT_AUTH, pki.SERVER_AUTH])
    context = talosconfig.load(content=pki.talosconfig('a', ['10.5.0.2'], authority, client), environ={})
    facts = talosconfig.facts(context, NOW)
    assert facts['certificate']['extended_key_usage'] == ['clientAuth', 'serverAuth']
    assert [problem['kind'] for problem in facts['problems']] == ['extended_key_usage']


def test_facts(document, authority, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    document['contexts']['prod'].update(crt=b64((client := authority.client(['os:reader', 'os:etcd:backup'], 'me')).pem), key=b64(client.talos_key_pem))
    facts = talosconfig.facts(load(document), NOW)
    certificate, ca = facts.pop('certificate'), facts.pop('ca')
    assert facts == {'context': 'prod', 'source': 'content', 'contexts': ['prod', 'stage'], 'endpoints': ['10.5.0.2', '10.5.0.3'], 'nodes': ['10.5.0.5'],
                     'problems': [], 'local_file': None}
    assert certificate['roles'] == ['os:reader', 'os:etcd:backup'] and certificate['matches_key'] is True and certificate['issuer'] == 'O=talos'
    assert certificate['extended_key_usage'] == ['clientAuth'] and certificate['key_type'] == 'Ed25519' and len(certificate['sha256']) == 64
    assert certificate['not_before'].endswith('Z') and certificate['not_before'] < certificate['not_after']
    assert ca['subject'] == 'O=talos' and ca['key_type'] == 'Ed25519'


def test_no_secret_shows(document):
    context = load(document)
    shown = repr(context) + repr(talosconfig.facts(context, NOW))
    assert 'PRIVATE' not in shown and document['contexts']['prod']['key'][:40] not in shown


def test_a_file_left_by_gen_config(document, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'talosconfig'
    path.write_text(yaml.safe_dump(document))
    assert talosconfig.facts(load(document), NOW)['local_file'] == str(path)
    assert talosconfig.facts(talosconfig.load('talosconfig', environ={}), NOW)['local_file'] is None
