# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_kubeconfig: what becomes of the file, with certificates of our own making."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import stat
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import (
    CallError, ConfigError, DeadlineExceeded, InputError, RoleRefused, TalosError, TransportError, Unsupported,
)
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, kubeconfig, kubeconfig_entries, kubeconfig_file
from tests.bed import pki
from tests.simulator.kubernetes import kubeconfig as issued_by_talos
from tests.unit.kube.test_document import FOREIGN
from tests.unit.snapshot import recorded_kubeconfig
from tests.unit.tasks import plain

SERVER = 'https://10.5.0.100:6443'
NOW = datetime.now(timezone.utc)


@pytest.fixture(scope='module')
def authority():
    return pki.Authority('kubernetes', key='ecdsa')


@pytest.fixture(scope='module')
def other():
    return pki.Authority('kubernetes', key='ecdsa')


def text_of(authority, name='prod', server=SERVER, days=365.0, began=0.04):
    client = authority.client(['system:masters'], common_name='admin', not_before=NOW - timedelta(days=began), not_after=NOW + timedelta(days=days))
    return issued_by_talos(name, server, authority, client)


@pytest.fixture
def file(tmp_path):
    return tmp_path / 'config'


def keep(file, text, check_mode=False, **options):
    params = plain.params('talos_kubeconfig', **{'path': str(file), **options})
    return kubeconfig.keep(text, params, check_mode, 'here')


def write(file, text, mode=0o600):
    file.write_text(text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False))
    file.chmod(mode)


def mode(file):
    return stat.S_IMODE(file.stat().st_mode)


def keys_in(text):
    """The secrets of a kubeconfig, as texts that no result may hold."""
    data = [user['user']['client-key-data'] for user in yaml.safe_load(text)['users'] if 'client-key-data' in user['user']]
    return {*data, *(line for one in data for line in base64.b64decode(one).decode().splitlines() if len(line) > 20 and '---' not in line)}


# -- a file of its own --------------------------------------------------------------------------------------------


def test_a_new_file(file, authority):
    text = text_of(authority)
    result = keep(file, text)
    assert yaml.safe_load(file.read_text()) == yaml.safe_load(text) and mode(file) == 0o600
    assert result['changed'] is True and result['reasons'] == ['there is no such file'] and result['backup_file'] is None
    assert (result['path'], result['context'], result['server'], result['current']) == (str(file), 'admin@prod', SERVER, True)
    assert result['valid_until'] == f'{NOW + timedelta(days=365):%Y-%m-%dT%H:%M:%SZ}' and 'warnings' not in result
    assert os.listdir(file.parent) == ['config'], 'nothing is left beside it'


def test_the_second_run_changes_nothing_whoever_formatted_the_file(file, authority):
    keep(file, text_of(authority))
    before = file.read_bytes()
    result = keep(file, text_of(authority))
    assert result['changed'] is False and result['reasons'] == [] and file.read_bytes() == before
    write(file, json.dumps(yaml.safe_load(text_of(authority))))
    assert keep(file, text_of(authority))['changed'] is False


def test_valid_until_is_that_of_the_file(file, authority):
    keep(file, text_of(authority, days=200))
    assert keep(file, text_of(authority))['valid_until'] == f'{NOW + timedelta(days=200):%Y-%m-%dT%H:%M:%SZ}'


def changed_file(authority, other):
    """Reason to what the file held."""
    good = yaml.safe_load(text_of(authority))
    cluster, user = good['clusters'][0]['cluster'], good['users'][0]['user']
    foreign = yaml.safe_load(text_of(other))['users'][0]['user']

    def with_(cluster_fields=None, user_fields=None, **top):
        return {**good, 'clusters': [{'name': 'prod', 'cluster': {**cluster, **(cluster_fields or {})}}],
                'users': [{'name': 'admin@prod', 'user': {**user, **(user_fields or {})}}], **top}

    return {
        'its server is https://10.5.0.1:6443': with_({'server': 'https://10.5.0.1:6443'}),
        'its CA is not the one of this cluster': with_({'certificate-authority-data': base64.b64encode(other.pem).decode()}),
        'its client certificate was not issued by the CA of this cluster': with_(user_fields=foreign),
        'its client certificate and key cannot be used': with_(user_fields={'client-key-data': foreign['client-key-data']}),
        'it has no client certificate': with_(user_fields={'client-key-data': None}),
        'it has no usable context "admin@prod"': {**good, 'users': []},
        'its current context is not set': {key: value for key, value in good.items() if key != 'current-context'},
        f'its client certificate is valid until {NOW + timedelta(days=29):%Y-%m-%dT%H:%M:%SZ}, which is less than 30d': text_of(authority, days=29),
        f'its client certificate has expired at {NOW - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}': text_of(authority, days=-1 / 24, began=2),
        f'its client certificate is not valid before {NOW + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}': text_of(authority, began=-2),
    }


@pytest.mark.parametrize('number', range(10))
def test_a_file_that_does_not_serve_is_replaced_and_says_why(file, authority, other, number):
    reason, held = list(changed_file(authority, other).items())[number]
    write(file, held)
    text, before = text_of(authority), file.read_bytes()
    told = keep(file, text, check_mode=True)
    assert told['changed'] is True and told['reasons'] == [reason] and file.read_bytes() == before, 'check mode tells and does not'
    result = keep(file, text)
    assert result['reasons'] == [reason] and yaml.safe_load(file.read_text()) == yaml.safe_load(text)
    assert {key: value for key, value in told.items() if key != 'diff'} == {key: value for key, value in result.items() if key != 'diff'}
    assert keep(file, text)['changed'] is False


def test_min_valid_decides_what_is_due(file, authority):
    keep(file, text_of(authority, days=29), min_valid='1d')
    assert keep(file, text_of(authority), min_valid='28d')['changed'] is False
    assert keep(file, text_of(authority), min_valid='30d')['changed'] is True


def test_what_talos_itself_issues_for_less_is_a_warning(file, authority):
    result = keep(file, text_of(authority, days=0.5))
    assert result['changed'] is True and 'is less than min_valid (30d): every run renews this one.' in result['warnings'][0]
    assert 'warnings' not in keep(file, text_of(authority, days=0.5), min_valid='6h')


def test_the_mode_is_put_right_alone(file, authority):
    write(file, text_of(authority), 0o644)
    before = file.read_text()
    result = keep(file, text_of(authority), check_mode=True)
    assert result['reasons'] == ['its mode is 0644'] and mode(file) == 0o644
    assert keep(file, text_of(authority))['reasons'] == ['its mode is 0644'] and mode(file) == 0o600 and file.read_text() == before
    assert result['diff']['before'].replace('0644', '0600') == result['diff']['after']


def test_a_name_and_a_server_of_ones_own(file, authority):
    result = keep(file, text_of(authority), context_name='eu', server='https://k8s.example.net:6443/')
    held = yaml.safe_load(file.read_text())
    assert (result['context'], result['server'], held['current-context']) == ('eu', 'https://k8s.example.net:6443', 'eu')
    assert held['contexts'] == [{'name': 'eu', 'context': {'cluster': 'eu', 'user': 'eu', 'namespace': 'default'}}]
    assert held['clusters'][0]['cluster']['server'] == 'https://k8s.example.net:6443'
    assert keep(file, text_of(authority), context_name='eu', server='https://k8s.example.net:6443')['changed'] is False


def test_a_file_that_holds_more_is_not_replaced(file, authority):
    write(file, FOREIGN)
    with pytest.raises(InputError) as error:
        keep(file, text_of(authority))
    assert error.value.sentence() == (f'{file} holds more than this cluster, which would be lost: context "eks", context "007", cluster "eks", '
                                      'cluster "on", cluster "twin" and 2 more. Set merge to keep it, or force to replace the file.')
    assert file.read_text() == FOREIGN
    result = keep(file, text_of(authority), force=True, backup=True)
    assert kubeconfig_file.Existing(str(file)).document.names('contexts') == ['admin@prod']
    assert result['reasons'][0] == 'it has no usable context "admin@prod"'
    assert open(result['backup_file'], encoding='utf-8').read() == FOREIGN and mode(file.parent / os.path.basename(result['backup_file'])) == 0o600


@pytest.mark.parametrize('held, said', [
    (b'just text\n', 'is no mapping'), (b'\xff\xfe', 'is no text in UTF-8'), (b'$ANSIBLE_VAULT;1.1;AES256\n6162\n', 'is encrypted by ansible-vault'),
    (b'a: [', 'is no YAML'), (b'clusters: 5\n', 'clusters is no list of named entries')])
def test_what_is_no_kubeconfig_is_left_as_it_is(file, authority, held, said):
    file.write_bytes(held)
    for options in ({}, {'merge': True}, {'merge': True, 'force': True}):
        with pytest.raises(ConfigError, match=f'{said}.* It is left as it is.'):
            keep(file, text_of(authority), **options)
    assert file.read_bytes() == held
    assert keep(file, text_of(authority), force=True)['reasons'][0] == 'it holds no kubeconfig'


def test_an_empty_file_is_filled_also_by_merge(file, authority):
    for options in ({}, {'merge': True}):
        write(file, '\n')
        assert keep(file, text_of(authority), **options)['reasons'] == ['it holds no kubeconfig']
        assert yaml.safe_load(file.read_text())['current-context'] == 'admin@prod'


def test_a_symbolic_link_is_followed_and_stays(file, authority, tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    real = tmp_path / 'elsewhere' / 'real'
    file.symlink_to(real)
    assert keep(file, text_of(authority))['path'] == str(real) and file.is_symlink() and mode(real) == 0o600


def test_no_directory_is_made(tmp_path, authority):
    with pytest.raises(InputError) as error:
        keep(tmp_path / 'missing' / 'config', text_of(authority))
    assert error.value.sentence() == f'The directory {tmp_path}/missing does not exist. Make it first, or name another path.'
    with pytest.raises(InputError, match='is a directory'):
        keep(tmp_path, text_of(authority))
    assert os.listdir(tmp_path) == []


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside(file, authority, monkeypatch):
    write(file, text_of(authority, days=1))
    before = file.read_bytes()

    def full(*_given):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(InputError, match='could not be written: No space left on device'):
        keep(file, text_of(authority))
    assert file.read_bytes() == before and os.listdir(file.parent) == ['config']


# -- merged -------------------------------------------------------------------------------------------------------


def others(text):
    """Everything of FOREIGN that must survive."""
    held = yaml.safe_load(text)
    names = {'clusters': 'prod', 'contexts': 'admin@prod', 'users': 'admin@prod'}
    return {key: [item for item in value if str(item['name']) != names[key]] if key in names else value for key, value in held.items()}


def test_a_cluster_is_added_and_nothing_else_changes(file, authority):
    write(file, FOREIGN)
    result = keep(file, text_of(authority), merge=True)
    text = file.read_text()
    assert others(text) == yaml.safe_load(FOREIGN) and result['current'] is False and result['reasons'] == ['it has no usable context "admin@prod"']
    held, wanted = yaml.safe_load(text), yaml.safe_load(text_of(authority))
    assert held['clusters'][-1] == wanted['clusters'][0] and held['contexts'][-1] == wanted['contexts'][0]
    assert "value: '0123'" in text and 'octal: 010' in text
    assert keep(file, text_of(authority), merge=True)['changed'] is False and file.read_text() == text
    for context in ('eks', '007', 'admin@prod'):
        assert kubeconfig_file.Existing(str(file)).document.entry('contexts', context)


def test_an_entry_is_renewed_in_its_place_and_keeps_what_people_added(file, authority):
    write(file, FOREIGN)
    keep(file, text_of(authority, days=10), merge=True, min_valid='1d')
    held = yaml.safe_load(file.read_text())
    held['clusters'][-1]['cluster'].update({'proxy-url': 'http://proxy', 'insecure-skip-tls-verify': True})
    held['contexts'][-1]['context']['namespace'] = 'mine'
    held['clusters'].insert(0, held['clusters'].pop())
    write(file, held)
    result = keep(file, text_of(authority), merge=True)
    again = yaml.safe_load(file.read_text())
    assert 'is less than 30d' in result['reasons'][0]
    assert again['clusters'][0]['name'] == 'prod' and again['clusters'][0]['cluster']['proxy-url'] == 'http://proxy'
    assert 'insecure-skip-tls-verify' not in again['clusters'][0]['cluster'] and again['contexts'][-1]['context']['namespace'] == 'mine'
    assert others(file.read_text()) == others(yaml.safe_dump(held))


def test_the_current_context_changes_on_request_alone(file, authority):
    write(file, FOREIGN)
    keep(file, text_of(authority), merge=True)
    assert yaml.safe_load(file.read_text())['current-context'] == 'eks'
    before = yaml.safe_load(file.read_text())
    result = keep(file, text_of(authority), merge=True, activate=True)
    assert result['reasons'] == ['its current context is eks'] and result['current'] is True
    assert yaml.safe_load(file.read_text()) == {**before, 'current-context': 'admin@prod'}, 'the certificate that serves stays'
    assert keep(file, text_of(authority), merge=True, activate=True)['changed'] is False
    assert keep(file, text_of(authority), merge=True)['current'] is True


def test_a_new_cluster_behind_the_old_endpoint_is_the_same(file, authority, other):
    write(file, text_of(other))
    assert keep(file, text_of(authority), merge=True)['reasons'] == ['its CA is not the one of this cluster']


@pytest.mark.parametrize('section', ['clusters', 'contexts', 'users', 'exec'])
def test_an_entry_of_another_cluster_with_this_name_is_not_replaced(file, authority, other, section):
    foreign = yaml.safe_load(text_of(other, server='https://10.9.0.1:6443'))
    if section == 'clusters':
        foreign.update(contexts=[], users=[])
        said = 'has a cluster "prod" already, which is another one (https://10.9.0.1:6443).'
    elif section == 'contexts':
        foreign['clusters'][0]['name'] = foreign['contexts'][0]['context']['cluster'] = 'elsewhere'
        foreign['users'] = []
        said = 'has a context "admin@prod" already, which leads to another cluster (https://10.9.0.1:6443).'
    elif section == 'users':
        foreign['clusters'][0]['name'] = foreign['contexts'][0]['context']['cluster'] = foreign['contexts'][0]['name'] = 'elsewhere'
        said = 'has a user "admin@prod" already, which the context "elsewhere" of another cluster uses.'
    else:
        foreign.update(contexts=[], clusters=[], users=[{'name': 'admin@prod', 'user': {'exec': {'command': 'x'}}}])
        said = 'has a user "admin@prod" already, which proves itself otherwise than by a client certificate.'
    write(file, foreign)
    before = file.read_text()
    with pytest.raises(InputError) as error:
        keep(file, text_of(authority), merge=True)
    assert error.value.message == f'{file} {said}' and 'context_name' in error.value.hint and file.read_text() == before
    keep(file, text_of(authority), merge=True, force=True)
    held, wanted = yaml.safe_load(file.read_text()), yaml.safe_load(text_of(authority))
    assert [item for item in held['clusters'] if item['name'] == 'prod'] == wanted['clusters'] and held['users'][0]['user'].keys() == {
        'client-certificate-data', 'client-key-data'}


def test_two_clusters_of_one_name_live_in_one_file_by_names_of_their_own(file, authority, other):
    keep(file, text_of(authority), merge=True, context_name='eu')
    keep(file, text_of(other, server='https://10.9.0.1:6443'), merge=True, context_name='us')
    held = kubeconfig_file.Existing(str(file))
    assert held.source('eu').server == SERVER and held.source('us').server == 'https://10.9.0.1:6443'
    assert held.source('eu').ca == authority.pem and held.document.current == 'eu'
    assert keep(file, text_of(authority), merge=True, context_name='eu')['changed'] is False


def test_a_user_of_two_contexts_of_this_cluster_is_renewed_for_both(file, authority):
    held = yaml.safe_load(text_of(authority, days=1))
    held['contexts'].append({'name': 'prod-monitoring', 'context': {**held['contexts'][0]['context'], 'namespace': 'monitoring'}})
    write(file, held)
    keep(file, text_of(authority), merge=True)
    assert yaml.safe_load(file.read_text())['contexts'] == held['contexts']


def test_certificates_in_files_beside_it_count(file, authority):
    held = yaml.safe_load(text_of(authority))
    user = held['users'][0]['user']
    for name, data in (('cert', 'client-certificate-data'), ('key', 'client-key-data')):
        (file.parent / f'{name}.pem').write_bytes(base64.b64decode(user.pop(data)))
    user.update({'client-certificate': 'cert.pem', 'client-key': 'key.pem'})
    write(file, held)
    assert keep(file, text_of(authority), merge=True)['changed'] is False
    (file.parent / 'cert.pem').unlink()
    keep(file, text_of(authority), merge=True)
    assert yaml.safe_load(file.read_text())['users'][0]['user'].keys() == {'client-certificate-data', 'client-key-data'}


def test_an_accepted_second_ca_is_a_rotation_and_renews(file, authority, other):
    write(file, text_of(authority))
    both = yaml.safe_load(text_of(authority))
    both['clusters'][0]['cluster']['certificate-authority-data'] = base64.b64encode(authority.pem + other.pem).decode()
    assert keep(file, yaml.safe_dump(both), merge=True)['reasons'] == ['its CA is not the one of this cluster']
    assert keep(file, yaml.safe_dump(both), merge=True)['changed'] is False


def test_many_clusters_are_merged_into_one_file_at_once(file, authority):
    threads = [threading.Thread(target=keep, args=(file, text_of(authority, name=f'c{number}', server=f'https://10.5.{number}.1:6443')),
                                kwargs={'merge': True}) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kubeconfig_file.Existing(str(file)).document.names('contexts')) == [f'admin@c{number}' for number in range(8)]


def test_a_merge_that_would_damage_is_not_done(file, authority, monkeypatch):
    write(file, FOREIGN)
    put = kubeconfig_entries.Document.put

    def clumsy(self, section, name, fields, drop=()):
        put(self, section, name, fields, drop)
        put(self, 'users', 'token', {'token': 'lost'})

    monkeypatch.setattr(kubeconfig_entries.Document, 'put', clumsy)
    with pytest.raises(TalosError, match='could not be merged without changing other entries'):
        keep(file, text_of(authority), merge=True)
    assert file.read_text() == FOREIGN


# -- what is said -------------------------------------------------------------------------------------------------


def test_neither_result_nor_diff_holds_a_key(file, authority):
    write(file, FOREIGN)
    texts = [text_of(authority, days=5), text_of(authority)]
    results = [keep(file, texts[0], merge=True, check_mode=True), keep(file, texts[0], merge=True), keep(file, texts[1], merge=True, backup=True)]
    said = json.dumps(results)
    assert not [key for text in texts for key in keys_in(text) if key in said] and '0b1010' not in said and 'PRIVATE' not in said
    shown = ('mode: 0600\ncurrent-context: eks\ncontexts: eks, 007, admin@prod\nadmin@prod:\n  cluster: prod\n  server: https://10.5.0.100:6443\n'
             '  user: admin@prod\n  valid until: {:%Y-%m-%dT%H:%M:%SZ}\n')
    assert results[2]['diff'] == {'before_header': str(file), 'after_header': str(file), 'before': shown.format(NOW + timedelta(days=5)),
                                  'after': shown.format(NOW + timedelta(days=365))}
    assert results[0]['diff']['before'] == 'mode: 0600\ncurrent-context: eks\ncontexts: eks, 007\n'


@pytest.mark.parametrize('options, said', [
    ({'server': 'k8s.example.net'}, 'server is "k8s.example.net", which is no URL that begins with https://.'),
    ({'server': 'http://k8s'}, 'server is "http://k8s", which is no URL that begins with https://.'),
    ({'server': 'https://'}, 'server is "https:", which is no URL that begins with https://.'),
    ({'min_valid': 'a month'}, 'min_valid is "a month", which is no span of time such as 10m, 1h30m or 30d.'),
    ({'timeout': -1}, 'timeout must be a number of seconds above zero, not -1.')])
def test_wrong_options_are_one_sentence(monkeypatch, options, said):
    monkeypatch.setattr(kubeconfig, 'Client', lambda *_given, **_options: pytest.fail('the cluster was asked'))
    with pytest.raises(InputError) as error:
        kubeconfig.run(plain.params('talos_kubeconfig', path='/nowhere/x', **options), False, None)
    assert error.value.message == said


# -- asking Talos -------------------------------------------------------------------------------------------------


class Issuer:
    """A client whose endpoints answer one after the other."""

    def __init__(self, *answers):
        self.endpoints, self.answers = list(range(len(answers))), list(answers)

    def direct(self, number):
        self.asked, answer = number, self.answers[number]
        return type('Machine', (), {'kubeconfig': lambda _self, _seconds: raising(answer) if isinstance(answer, Exception) else answer})()


def raising(error):
    raise error


def issued(monkeypatch, *answers):
    client = Issuer(*answers)
    monkeypatch.setattr(kubeconfig, 'Client', lambda *_given, **_options: contextlib.nullcontext(client))
    return kubeconfig.issue(plain.params('talos_kubeconfig', path='x')), client.asked


def test_the_first_endpoint_that_can_issues_it(monkeypatch):
    worker = Unsupported('10.5.0.5 does not offer Kubeconfig: kubeconfig is only available on control plane nodes')
    assert issued(monkeypatch, worker, TransportError('10.5.0.3 refuses connections.', 'refused'), 'text', 'other') == ('text', 2)


def test_where_none_can_every_reason_is_said(monkeypatch):
    with pytest.raises(TalosError) as error:
        issued(monkeypatch, DeadlineExceeded('10.5.0.2 did not answer Kubeconfig in time.'),
               CallError('10.5.0.3 answered Kubeconfig with FAILED_PRECONDITION: k8s API server CA config is not set', hint='Ask.'))
    assert error.value.sentence() == ('No endpoint of the context "rt" issued a kubeconfig: 10.5.0.2 did not answer Kubeconfig in time; '
                                      '10.5.0.3 answered Kubeconfig with FAILED_PRECONDITION: k8s API server CA config is not set. Ask.')


def test_without_os_admin_it_is_one_sentence(monkeypatch):
    with pytest.raises(RoleRefused) as error:
        issued(monkeypatch, RoleRefused('10.5.0.2 refuses Kubeconfig'), 'text')
    assert error.value.sentence() == ('Talos issues a kubeconfig to os:admin alone, and the client certificate of the context "rt" has os:admin. '
                                      'Use a talosconfig of the role os:admin.')


def test_elsewhere_it_is_sealed_and_only_the_talosconfig_opens_it(monkeypatch, file, authority):
    text = text_of(authority)
    monkeypatch.setattr(kubeconfig, 'issue', lambda _params: text)
    params = plain.params('talos_kubeconfig', path=str(file))
    there = {**params, 'access': replace(params['access'], directory=None)}
    result = kubeconfig.run(there, False, None)
    assert set(result) == {'sealed', 'ran_on'} and not file.exists()
    assert not [key for key in keys_in(text) if key in json.dumps(result)]
    carried = {**params, 'access': access.unpack(access.pack(params['access']))}
    assert kubeconfig.keep_sealed({**result, 'ran_on': 'jump-1'}, carried, True)['changed'] is True and not file.exists()
    kept = kubeconfig.keep_sealed({**result, 'ran_on': 'jump-1'}, carried, False)
    assert kept['ran_on'] == 'jump-1' and yaml.safe_load(file.read_text()) == yaml.safe_load(text)


def test_what_a_real_cluster_issued_is_understood(file):
    result = keep(file, recorded_kubeconfig.text('healthy'), min_valid='0s')
    assert (result['context'], result['server'], result['valid_until']) == ('admin@rt', 'https://10.5.0.100:6443', '2027-11-22T10:17:10Z')
    assert yaml.safe_load(file.read_text()) == yaml.safe_load(recorded_kubeconfig.text('healthy'))
    assert not [key for key in keys_in(recorded_kubeconfig.text('healthy')) if key in json.dumps(result)]


@pytest.mark.parametrize('text', ['', 'no: kubeconfig', 'current-context: x\n'])
def test_an_answer_that_is_no_kubeconfig_is_said_to_be_talos_fault(file, text):
    with pytest.raises(TalosError, match='^The kubeconfig that Talos issued '):
        keep(file, text)
    assert not file.exists()
