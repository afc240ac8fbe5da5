# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import MARK, Redactor
from tests.recorded import snapshot

KEY = 'MC4CAQAwBQYDK2VwBCIEIDnTqb0sXqZ1zvQmJc4x0LbN3oR8hY6tGk2uWf5eVa7C'
PEM = f'-----BEGIN ED25519 PRIVATE KEY-----\n{KEY}\n-----END ED25519 PRIVATE KEY-----\n'
CONFIG = base64.b64encode(b'version: v1alpha1\nmachine:\n  type: worker\n  token: hunter.hunter2hunter2\n' + b'#' * 90).decode()
CERTIFICATE = base64.b64encode(b'-----BEGIN CERTIFICATE-----\n' + b'MIIB' * 40 + b'\n-----END CERTIFICATE-----\n').decode()


@pytest.mark.parametrize(('text', 'secret'), [
    (f'key: {PEM} next', KEY),
    ('{"msg": "' + PEM.replace('\n', '\\n') + '"}', KEY),
    (f'{KEY}\n-----END ED25519 PRIVATE KEY-----\nthe tail began inside a key', KEY),
    ('pulling from https://robot:s3cr3tPass@registry.example.net/v2/', 's3cr3tPass'),
    ('pulling from https://glpat-abcdef@registry.example.net/v2/', 'glpat-abcdef'),
    ('GET /v1?token=abcdef12345&x=1', 'abcdef12345'),
    ('"bootstrapTokenSecret":"0123456789abcdef"', '0123456789abcdef'),
    ('password: hunter2hunter', 'hunter2hunter'),
    ('Authorization: Bearer abcdefghijklmnopqrstuv', 'abcdefghijklmnopqrstuv'),
    ('jwt eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl', 'eyJzdWIiOiJzeXN0ZW0ifQ'),
    ('joining with abcdef.0123456789abcdef now', '0123456789abcdef'),
    (f'USERDATA={CONFIG}', CONFIG[:60]),
    (f'environment [{CONFIG}]', CONFIG[20:80]),
    (f'a blob that was cut off {CONFIG[3:]}', CONFIG[20:80]),
    ('x'.join(['', base64.b64encode(PEM.encode()).decode(), '']).replace('x', ' '), base64.b64encode(PEM.encode()).decode()[8:60]),
])
def test_a_secret_in_a_text_is_replaced(text, secret):
    assert secret in text
    redacted = Redactor().text(text)
    assert secret not in redacted
    assert MARK in redacted


@pytest.mark.parametrize('text', [
    'error getting token: rpc error: code = Unavailable',
    'secret not found: waiting for secret: trustd',
    'https://10.5.0.2:6443/api?timeout=10s',
    f'crt: {CERTIFICATE}',
    'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
    'https://discovery.talos.dev/ and key=value pairs',
    '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
])
def test_what_is_no_secret_stays(text):
    assert Redactor().text(text) == text


def test_fields_are_replaced_by_name_and_stay_comparable_within_one_run():
    redactor = Redactor()
    spec = {'serviceEncryptionKey': [114, 127, 172], 'serviceClusterID': 'IM4U', 'nested': [{'token': 'a'}], 'publicKey': 'pub', 'secretsEncrypted': True,
            'signingKey': None, 'port': 6443, 'keys': {'crt': 'c', 'key': 'k'}}
    redacted = redactor.value(spec)
    assert redacted['serviceEncryptionKey'] == redactor.mark([114, 127, 172])
    assert redacted['nested'] == [{'token': redactor.mark('a')}]
    assert redacted['keys'] == {'crt': 'c', 'key': redactor.mark('k')}
    assert (redacted['publicKey'], redacted['secretsEncrypted'], redacted['signingKey'], redacted['port']) == ('pub', True, None, 6443)
    assert redactor.mark('IM4U') == redacted['serviceClusterID'] != redactor.mark('other')


def test_the_copy_is_what_json_gives_back():
    assert Redactor().value({1: ('a', b'raw')}) == {'1': ['a', 'raw']}


def test_two_runs_have_different_marks():
    assert Redactor().mark('the same token') != Redactor().mark('the same token')


def test_texts_takes_no_name_for_a_secret():
    taint = [{'key': 'node-role.kubernetes.io/control-plane', 'effect': 'NoSchedule'}]
    assert Redactor().texts(taint) == taint
    assert Redactor().value(taint) == taint, 'nor is the key of a taint one where names count'
    assert Redactor().value([{'key': 'abc', 'effect': 'none'}]) != [{'key': 'abc', 'effect': 'none'}]


def test_of_a_real_cluster_only_secrets_are_replaced():
    redactor = Redactor()
    for machine in snapshot('healthy').machines:
        for kind, datum in machine.data.items():
            if kind not in ('Infos', 'DiscoveryConfigs'):
                assert redactor.value(datum.value) == datum.value, kind
        for log_id in ('machined', 'controller-runtime'):
            assert redactor.text(machine.log(log_id).value) == machine.log(log_id).value
    spec = redactor.value(snapshot('healthy').machines[0].value('DiscoveryConfigs'))[0]['spec']
    assert [name for name, value in spec.items() if str(value).startswith(MARK)] == ['serviceEncryptionKey', 'serviceClusterID']
