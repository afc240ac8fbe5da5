# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubeconfig that is changed in places."""

from __future__ import annotations

import json

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api import yaml_text
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError, InputError
from ansible_collections.talosops.talos.plugins.module_utils.kube import document
from ansible_collections.talosops.talos.plugins.module_utils.kube.document import Document

FOREIGN = '''\
apiVersion: v1
kind: Config
preferences: {colors: true}
# a comment
clusters:
- name: eks
  cluster:
    server: https://eks.example.net
    certificate-authority: ca/eks.pem
    extensions:
    - name: minikube
      extension: {last-update: Thu, 22 Oct 2026 10:00:00 UTC, version: 1.10, when: 2026-10-22, octal: 010, yes-or-no: yes, date: 2026-10-22T10:00:00Z}
- name: 'on'
  cluster: &shared
    server: "https://quoted.example.net"
    proxy-url: http://proxy:3128
- name: twin
  cluster: *shared
contexts:
- context: {cluster: eks, user: eks}
  name: eks
- name: "007"
  context:
    cluster: 'on'
    user: token
current-context: eks
users:
- name: eks
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: aws
      args: [--region, eu-central-1, eks, get-token, --cluster-name, "1e3"]
      env:
      - {name: AWS_PROFILE, value: '0123'}
      installHint: |
        Install the aws CLI.

        Then: log in.
      provideClusterInfo: false
- name: token
  user: {token: "0b1010", as: null}
'''
FIELDS = {'server': 'https://10.5.0.100:6443', 'certificate-authority-data': 'QUJD' * 300}


def without(plain, name):
    return {key: [item for item in value if str(item['name']) != name] if isinstance(value, list) else value for key, value in plain.items()}


def test_an_entry_is_added_at_the_end_and_everything_else_stays():
    made = Document(FOREIGN, 'x')
    made.put('clusters', 'prod', FIELDS)
    text = made.text()
    assert yaml.safe_load(text)['clusters'][-1] == {'name': 'prod', 'cluster': FIELDS}
    assert [str(item['name']) for item in yaml.safe_load(text)['clusters']] == ['eks', 'on', 'twin', 'prod']
    assert without(yaml.safe_load(text), 'prod') == yaml.safe_load(FOREIGN)
    assert list(yaml.safe_load(text)) == list(yaml.safe_load(FOREIGN))
    for spelling in ('2026-10-22T10:00:00Z', 'octal: 010', 'version: 1.10', "value: '0123'", '"1e3"', '"0b1010"', "name: 'on'", '"007"',
                     'yes-or-no: yes'):
        assert spelling in text, 'values are spelled as they were, whatever YAML takes them for'
    assert made.text() == Document(text, 'x').text(), 'what is written once is written alike the next time'


def test_an_entry_is_changed_in_its_place_and_keeps_what_is_not_set():
    made = Document(FOREIGN, 'x')
    made.put('clusters', 'eks', FIELDS, ('certificate-authority',))
    cluster = made.entry('clusters', 'eks')
    assert cluster['server'] == FIELDS['server'] and 'certificate-authority' not in cluster and cluster['extensions'][0]['name'] == 'minikube'
    assert made.names('clusters') == ['eks', 'on', 'twin']
    made.put('contexts', '007', {'user': 'new'})
    assert made.entry('contexts', '007') == {'cluster': 'on', 'user': 'new'} and made.names('contexts') == ['eks', '007']


def test_an_entry_that_shares_its_fields_with_another_does_not_change_that():
    made = Document(FOREIGN, 'x')
    made.put('clusters', 'twin', FIELDS)
    assert made.entry('clusters', 'on') == {'server': 'https://quoted.example.net', 'proxy-url': 'http://proxy:3128'}
    assert made.entry('clusters', 'twin')['server'] == FIELDS['server']
    made = Document(FOREIGN, 'x')
    made.put('clusters', 'on', FIELDS)
    assert made.entry('clusters', 'twin')['server'] == 'https://quoted.example.net'


@pytest.mark.parametrize('text', ['apiVersion: v1\nkind: Config\n', 'apiVersion: v1\nclusters: null\ncontexts: []\nusers:\n', '{}', 'clusters: []\n'])
def test_sections_that_are_not_there_are_made(text):
    made = Document(text, 'x')
    for section in document.SECTIONS:
        made.put(section, 'prod', {'a': 'b'})
    made.activate('prod')
    for section, singular in document.SECTIONS.items():
        assert yaml.safe_load(made.text())[section] == [{'name': 'prod', singular: {'a': 'b'}}]
    assert made.current == 'prod' and made.text().count('clusters') == 1


def test_json_stays_json():
    made = Document(json.dumps(yaml.safe_load(FOREIGN.replace('date: 2026-10-22T10:00:00Z', 'x: y').replace('when: 2026-10-22', 'x2: y'))), 'x')
    made.put('clusters', 'prod', FIELDS)
    made.activate('prod')
    assert json.loads(made.text())['clusters'][-1] == {'name': 'prod', 'cluster': FIELDS}


def test_the_current_context_is_changed_alone():
    made = Document(FOREIGN, 'x')
    made.activate('007')
    assert made.current == '007' and isinstance(yaml.safe_load(made.text())['current-context'], str)
    assert {**yaml.safe_load(made.text()), 'current-context': 'eks'} == yaml.safe_load(FOREIGN)


def test_an_entry_without_fields_gets_them():
    made = Document('users:\n- name: a\n- {name: b, user: null}\n', 'x')
    made.put('users', 'a', {'token': 'x'})
    made.put('users', 'b', {'token': 'y'})
    assert made.plain == {'users': [{'name': 'a', 'user': {'token': 'x'}}, {'name': 'b', 'user': {'token': 'y'}}]}
    assert made.entry('users', 'c') is None and made.entry('contexts', 'a') is None


@pytest.mark.parametrize('text, said', [
    ('', 'is no mapping'), ('- a\n', 'is no mapping'), ('just text', 'is no mapping'), ('a: [', 'is no YAML'), ('a: 1\n---\nb: 2\n', 'is no YAML'),
    ('? [a]\n: b\n', 'is no YAML'), ('a: !!python/object:os.system {}\n', 'is no YAML'), ('a: \x07', 'is no YAML'),
    ('clusters: {a: b}\n', 'clusters is no list of named entries'), ('users:\n- a\n', 'users is no list of named entries'),
    ('contexts:\n- context: {}\n', 'contexts is no list of named entries')])
def test_what_is_no_kubeconfig(text, said):
    with pytest.raises(ConfigError, match=f'^The file {said}|^The file is no kubeconfig: {said}'):
        Document(text, 'The file')


def test_errors_quote_nothing_of_the_file():
    with pytest.raises(ConfigError) as error:
        Document('users:\n- name: a\n  user: {client-key-data: SECRET', 'The file')
    assert 'SECRET' not in str(error.value)


def test_without_yaml_it_is_one_sentence(monkeypatch):
    monkeypatch.setattr(yaml_text, 'yaml', None)
    with pytest.raises(InputError, match='PyYAML is missing'):
        Document('{}', 'x')
