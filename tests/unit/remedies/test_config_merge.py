# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""A strategic merge into the machine configuration of a real control plane node, whose secrets were replaced by canaries."""

from __future__ import annotations

import difflib
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.api.yaml_text import documents as values
from ansible_collections.talosops.talos.plugins.module_utils.remedies import config_patch as rules
from ansible_collections.talosops.talos.plugins.module_utils.remedies import config_yaml
from ansible_collections.talosops.talos.plugins.module_utils.remedies.config_merge import merged, patches
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import Redactor

REAL = (Path(__file__).parent / 'data' / 'machine-config-cp1.txt').read_text()
CANARY = 'Y2FuYXJ5'
MORE = REAL + """---
apiVersion: example.com/v9
kind: SomethingNew
name: one
mode: 0o644 # of a file
since: 2024-01-01
ratio: 1e3
yes: no
quoted: "0644"
folded: >-
    two words
    and more
script: |
    #!/bin/sh
      echo "#1"

    exit 0
---
apiVersion: v1alpha1
kind: VolumeConfig
name: EPHEMERAL
encryption:
    keys:
        - slot: 0
          static:
              passphrase: Y2FuYXJ5-pass
"""


def merge(given, text=REAL):
    return merged(text, patches(given))


def v1alpha1(text):
    return values(text)[0]


def changed(given, text=REAL):
    """What a patch makes of v1alpha1; applied again it changes nothing, and no other document changes."""
    after = merge(given, text)
    assert merge(given, after) == after and values(after)[1:] == values(text)[1:]
    return v1alpha1(after)


# -- what is not touched ------------------------------------------------------------------------------------------

def test_what_a_patch_does_not_touch_stays_as_it_was():
    after = merge({'machine': {'certSANs': ['lb.example.com']}}, MORE)
    assert [one.get('kind') for one in values(after)] == [None, 'HostnameConfig', 'SomethingNew', 'VolumeConfig']
    assert values(after)[1:] == values(MORE)[1:]
    for line in ('mode: 0o644', 'since: 2024-01-01', 'ratio: 1e3', 'yes: no', 'quoted: "0644"', 'script: |', '  #!/bin/sh', '    echo "#1"'):
        assert line in after.splitlines(), line
    assert merge({'machine': {'type': 'controlplane'}}, MORE) == MORE, 'nothing changes: not even a comment is lost'


def test_a_configuration_that_cannot_be_written_again_is_left_alone():
    with pytest.raises(TalosError, match='^The machine configuration is no YAML \\(line 2\\)'):
        merge({'debug': True}, 'a: 1\nb: ]')
    with pytest.raises(TalosError, match='has no document v1alpha1: Talos did not show all of it'):
        merge({'debug': True}, 'apiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\n')
    with pytest.raises(TalosError, match='has a document that is no mapping'):
        merge({'debug': True}, REAL + '---\n- 1\n')


# -- merging ------------------------------------------------------------------------------------------------------

def test_lists_are_united_and_maps_merged():
    assert changed({'machine': {'certSANs': ['b', 'a', 'b']}})['machine']['certSANs'] == ['b', 'a']
    twice = merge({'machine': {'certSANs': ['a']}}, merge({'machine': {'certSANs': ['b', 'a']}}))
    assert v1alpha1(twice)['machine']['certSANs'] == ['b', 'a']
    assert changed({'machine': {'sysctls': {'vm.swappiness': '1'}}})['machine']['sysctls'] == {'vm.swappiness': '1'}
    labels = changed({'machine': {'nodeLabels': {'a': 'b'}}})['machine']['nodeLabels']
    assert labels == {'node.kubernetes.io/exclude-from-external-load-balancers': '', 'a': 'b'}
    assert changed({'machine': {'kubelet': {'image': 'other'}}})['machine']['kubelet']['image'] == 'other'
    assert changed({'cluster': {'allowSchedulingOnControlPlanes': True}})['cluster']['allowSchedulingOnControlPlanes'] is True
    assert changed({'machine': {'features': {'diskQuotaSupport': False}}})['machine']['features']['diskQuotaSupport'] is False


def test_items_that_are_the_same_are_merged():
    found = changed({'machine': {'network': {'interfaces': [{'interface': 'eth0', 'mtu': 1400}, {'interface': 'eth1', 'dhcp': True}]}}})
    assert found['machine']['network']['interfaces'] == [{'interface': 'eth0', 'vip': {'ip': '10.5.0.100'}, 'mtu': 1400}, {'interface': 'eth1', 'dhcp': True}]
    found = changed({'cluster': {'apiServer': {'admissionControl': [{'name': 'PodSecurity', 'configuration': {'defaults': {'audit': 'baseline'}}}]}}})
    (plugin,) = found['cluster']['apiServer']['admissionControl']
    assert plugin['configuration']['defaults']['audit'] == 'baseline' and plugin['configuration']['defaults']['warn'] == 'restricted'


def test_what_talos_replaces_is_replaced():
    policy = {'apiVersion': 'audit.k8s.io/v1', 'kind': 'Policy', 'rules': [{'level': 'None'}]}
    assert changed({'cluster': {'apiServer': {'auditPolicy': policy}}})['cluster']['apiServer']['auditPolicy'] == policy
    assert changed({'cluster': {'network': {'podSubnets': ['10.0.0.0/16']}}})['cluster']['network']['podSubnets'] == ['10.0.0.0/16']


@pytest.mark.parametrize('given', [{'machine': {'certSANs': None}}, {'machine': {'kubelet': {'image': ''}}}, {'machine': {'kubelet': {}}},
                                   {'machine': {'features': {'kubePrism': {'port': 0}}}}, {'machine': {'network': {'nameservers': []}}}, {'machine': None}])
def test_what_is_empty_takes_nothing_away(given):
    assert merge(given) == REAL


def test_patch_delete():
    assert 'time' not in changed({'machine': {'time': {'$patch': 'delete'}}})['machine']
    assert changed({'machine': {'network': {'interfaces': [{'interface': 'eth0', '$patch': 'delete'}]}}})['machine']['network']['interfaces'] == []
    assert [one.get('kind') for one in values(merge('apiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\n$patch: delete\n', MORE))] == [
        None, 'HostnameConfig', 'SomethingNew']
    absent = 'apiVersion: v1alpha1\nkind: VolumeConfig\nname: STATE\n$patch: delete\n'
    assert merge(absent, MORE) == MORE and merge({'machine': {'none': {'$patch': 'delete'}}}) == REAL
    assert '$patch' not in merge({'machine': {'udev': {'rules': ['x'], 'other': {'$patch': 'delete'}}}})


def test_documents_are_found_by_version_kind_and_name():
    after = values(merge([{'apiVersion': 'v1alpha1', 'kind': 'VolumeConfig', 'name': 'EPHEMERAL', 'provisioning': {'grow': True}},
                          {'apiVersion': 'v1alpha1', 'kind': 'VolumeConfig', 'name': 'STATE', 'provisioning': {'grow': False}}], MORE))
    assert [(one.get('name'), one.get('provisioning')) for one in after if one.get('kind') == 'VolumeConfig'] == [
        ('EPHEMERAL', {'grow': True}), ('STATE', {'grow': False})]


def test_the_forms_of_a_patch():
    mapping = {'machine': {'certSANs': ['a']}}
    text = 'machine:\n  certSANs: [a]\n'
    forms = [mapping, text, [mapping], [text, 'debug: false\n'], f'{text}---\n# nothing\n', '- machine: {certSANs: [a]}\n']
    assert len({yaml.safe_dump(v1alpha1(merge(given))) for given in forms}) == 1


@pytest.mark.parametrize('given, why', [
    ('', 'patch has no document'), ('a: [', r'patch is no YAML \(line 2\)'), ('text', 'patch has a document that is no mapping'),
    ([{'op': 'add', 'path': '/machine/certSANs/-', 'value': 'a'}], r'patch is a JSON patch \(RFC 6902\)'),
    ({'kind': 'HostnameConfig', 'hostname': 'a'}, 'a document HostnameConfig without apiVersion'),
    ({'$patch': 'delete'}, 'patch deletes the document v1alpha1'), ({'machine': {'time': {'$patch': 'replace'}}}, 'Talos knows no other'),
])
def test_what_is_no_patch(given, why):
    with pytest.raises(InputError, match=why):
        patches(given)


def test_a_patch_of_another_shape_is_refused():
    with pytest.raises(InputError, match='patch has a mapping at machine.certSANs, and the machine configuration has none there'):
        merge({'machine': {'certSANs': {'a': 'b'}}}, merge({'machine': {'certSANs': ['x']}}))
    with pytest.raises(InputError, match='patch has no mapping at machine.kubelet'):
        merge({'machine': {'kubelet': 'x'}})


# -- documents of 1.14 --------------------------------------------------------------------------------------------

def test_what_has_moved_goes_where_the_machine_has_it():
    patch = {'cluster': {'apiServer': {'certSANs': ['a']}},
             'machine': {'kubelet': {'nodeIP': {'validSubnets': ['10.5.0.0/24']}, 'image': 'k'}, 'certSANs': ['b']}}
    new = REAL + '---\napiVersion: v1alpha1\nkind: KubeAPIServerConfig\ncertExtraSANs: [z]\n---\napiVersion: v1alpha1\nkind: KubeNodeConfig\n'
    after = values(merge(patch, new))
    assert after[2]['certExtraSANs'] == ['z', 'a'] and after[3]['nodeIP'] == {'validSubnets': ['10.5.0.0/24']}
    assert 'certSANs' not in after[0]['cluster']['apiServer'] and 'nodeIP' not in after[0]['machine']['kubelet']
    assert after[0]['machine']['kubelet']['image'] == 'k' and after[0]['machine']['certSANs'] == ['b']
    old = values(merge(patch))
    assert old[0]['cluster']['apiServer']['certSANs'] == ['a'] and len(old) == 2


def test_what_has_another_shape_there_is_refused():
    with pytest.raises(InputError, match='patch changes machine.network.hostname, and the machine has that in a document HostnameConfig'):
        merge({'machine': {'network': {'hostname': 'a'}}})


# -- what is never done -------------------------------------------------------------------------------------------

@pytest.mark.parametrize('given, why', [
    ({'machine': {'type': 'worker'}}, 'machine.type'), ({'machine': {'token': 'x'}}, 'machine.token'), ({'machine': {'ca': {'crt': 'x'}}}, 'machine.ca'),
    ({'machine': {'install': {'disk': '/dev/sdb'}}}, 'machine.install.disk'), ({'cluster': {'id': 'x'}}, 'cluster.id'),
    ({'cluster': {'secret': 'x'}}, 'cluster.secret'), ({'cluster': {'token': 'x'}}, 'cluster.token'), ({'cluster': {'ca': {'key': 'x'}}}, 'cluster.ca'),
    ({'cluster': {'etcd': {'ca': {'$patch': 'delete'}}}}, 'cluster.etcd.ca'), ({'machine': {'install': {'wipe': True}}}, 'machine.install.wipe'),
    ({'apiVersion': 'v1alpha1', 'kind': 'DiscoveryIdentityConfig', 'clusterID': 'x'}, 'DiscoveryIdentityConfig'),
])
def test_what_makes_another_machine_is_never_changed(given, why):
    (reason,) = rules.forbidden(REAL, merge(given), False)
    assert reason == f'it changes {why}, which makes another machine of it'


def test_networks_are_changed_while_etcd_has_no_data():
    for given in ({'cluster': {'network': {'podSubnets': ['10.0.0.0/16']}}}, {'cluster': {'network': {'serviceSubnets': ['10.1.0.0/16']}}}):
        assert rules.forbidden(REAL, merge(given), False) == []
        assert 'and etcd has the data of a cluster' in rules.forbidden(REAL, merge(given), True)[0]
    moved = REAL + '---\napiVersion: v1alpha1\nkind: KubeNetworkConfig\npodSubnets: [10.244.0.0/16]\n'
    assert rules.forbidden(moved, merge({'cluster': {'network': {'podSubnets': ['10.0.0.0/16']}}}, moved), True)
    assert rules.forbidden(REAL, merge({'machine': {'certSANs': ['a']}}), True) == []


# -- pending ------------------------------------------------------------------------------------------------------

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def told(text=REAL, created=0.0, updated=0.0):
    return {'text': text, 'version': '1', **{name: f'{NOW - timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}' for name, minutes in
                                             (('created', created), ('updated', updated))}}


def test_a_configuration_that_is_on_trial_or_staged():
    other = merge({'machine': {'certSANs': ['a']}})
    assert rules.pending(told(), told(), 'v1.13.9', (1, 13), NOW) is None
    assert rules.pending(told(), told(config_yaml.dump(config_yaml.documents(REAL, ''))), 'v1.13.9', (1, 13), NOW) is None, 'written otherwise'
    assert 'on trial or waits for a reboot' in rules.pending(told(other), told(), 'v1.13.9', (1, 13), NOW)
    assert rules.pending(told(created=500, updated=499), None, 'v1.13.9', (1, 13), NOW) is None, 'booted with what was saved'
    said = rules.pending(told(created=500, updated=59), None, 'v1.13.9', (1, 13), NOW)
    assert 'and not saved, so it may be on trial: ask again after 2026-01-01T12:01:00.000Z' in said
    assert rules.pending(told(created=500, updated=61), None, 'v1.13.9', (1, 13), NOW) is None, 'no trial lasts so long'
    assert 'Talos v1.9.5 does not tell' in rules.pending(told(), None, 'v1.9.5', (1, 9), NOW)
    assert 'its version is not known' in rules.pending(told(), None, None, None, NOW)


def test_the_same_configuration():
    assert rules.same('a: 0o644\nb: {}\nc: []\n', 'a: 0o644\n') and rules.same('a: 420\n', 'a: 0o644\n') and not rules.same('a: 1\n', 'a: 2\n')
    assert rules.same('a: false\nb: ""\n', 'c: 0\n', zero=True) and not rules.same('a: false\n', '{}\n')
    assert not rules.same('a: true\n', '{}\n', zero=True)
    assert rules.no_changes('Dry run summary:\nx\nConfig diff:\n\nNo changes.') and not rules.no_changes('Config diff:\n\n--- a\n+No changes.x')
    assert not rules.same(REAL, REAL + '---\napiVersion: v1alpha1\nkind: X\n')


# -- what is shown ------------------------------------------------------------------------------------------------

def test_a_difference_has_the_parts_that_differ_and_no_secret():
    before, after = rules.shown(REAL, merge({'machine': {'certSANs': ['a']}}), Redactor())
    assert (before, after) == ('machine:\n  certSANs: []\n', 'machine:\n  certSANs:\n  - a\n')
    secret = MORE
    for name in ('token', 'secret', 'id', 'key', 'crt', 'secretboxEncryptionSecret', 'passphrase'):
        secret = secret.replace(f'{name}: {CANARY}', f'{name}: changed{CANARY}')
    before, after = rules.shown(MORE, secret, Redactor())
    assert CANARY not in before + after and before.count('redacted:') == after.count('redacted:') == MORE.count(CANARY) and before != after
    before, after = rules.shown(REAL, MORE, Redactor())
    assert before == '' and 'kind: SomethingNew' in after and CANARY not in after
    patch = [{'machine': {'files': [{'path': '/x', 'content': f'{CANARY}-file'}],
                          'registries': {'config': {'x': {'auth': {'password': f'{CANARY}-p'}}}}},
              'cluster': {'inlineManifests': [{'name': 'a', 'contents': f'{CANARY}-m'}], 'apiServer': {'extraArgs': {'oidc-client-secret': f'{CANARY}-a'}}}},
             {'apiVersion': 'v1alpha1', 'kind': 'SideroLinkConfig', 'apiUrl': f'https://omni.example.com?jointoken={CANARY}-j'},
             {'apiVersion': 'v1alpha1', 'kind': 'WireguardConfig', 'name': 'w', 'privateKey': f'{CANARY}-w', 'peers': [{'presharedKey': f'{CANARY}-s'}]},
             {'apiVersion': 'v1alpha1', 'kind': 'TrustedRootsConfig', 'name': 't', 'certificates': '-----BEGIN CERTIFICATE-----\nx\n'},
             {'apiVersion': 'v1alpha1', 'kind': 'EnvironmentConfig', 'variables': {'X': f'{CANARY}-e'}}]
    shown = ''.join(rules.shown(REAL, merge(patch), Redactor()))
    assert CANARY not in shown and 'BEGIN' not in shown and 'oidc-client-secret: redacted:' in shown and '- name: a' in shown


def unified(before, after):
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), 'a', 'b', lineterm='')
    return 'Dry run summary:\nConfig diff:\n\n' + ''.join(f'{line}\n' for line in lines)


def test_a_dry_run_that_changes_more_than_the_patch():
    after = merge({'machine': {'certSANs': ['a'], 'sysctls': {'x.y': '1'}}}, MORE)
    shown = config_yaml.dump(config_yaml.documents(MORE, ''))
    assert rules.strangers(unified(shown, after), MORE, after) == []
    hidden = shown + '---\napiVersion: v1alpha1\nkind: ExtensionServiceConfig\nname: nebula\nenvironment:\n- A=b\n'
    assert rules.strangers(unified(hidden, after), MORE, after) == ['ExtensionServiceConfig', 'environment']
    lost = shown.replace('clusterName: rt\n', '')
    assert rules.strangers(unified(shown.replace('debug: false', 'debug: true'), after), MORE, after) == ['debug']
    assert rules.strangers(unified(lost, after), MORE, after) == ['clusterName']
    assert rules.strangers('Dry run summary:\nNo changes.', MORE, after) == []


def test_what_talos_says_is_repeated_without_what_it_quotes():
    redactor = Redactor()
    assert rules.said(f"this config change can't be applied in immediate mode\ndiff:\n--- a\n+++ b\n-  token: {CANARY}", redactor) == \
        "this config change can't be applied in immediate mode"
    assert rules.said(f'error decoding document /v1alpha1/ (line 1): unknown keys found during decoding:\nmachine:\n    frob: {CANARY}\n', redactor) == \
        'error decoding document /v1alpha1/ (line 1): unknown keys frob, machine'
    assert rules.said('1 error occurred:\n\t* v1alpha1.Config: 2 errors occurred:\n\t* cluster instructions are required\n\n\n', redactor) == \
        '1 error occurred: v1alpha1.Config: 2 errors occurred: cluster instructions are required'
