# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of answers that hold secrets, with the secrets of a real cluster."""

from __future__ import annotations

import base64
import json
import re
import zipfile

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api import wire
from ansible_collections.talosops.talos.plugins.module_utils.snapshot import objects, reads, shapes, store
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import MARK, Redactor
from tests.replay import load
from tests.replay.snapshots import recorded
from tests.unit.guide import states
from tests.unit.snapshot import recorded_kubeconfig

SECRET_NAMES = re.compile(r'^(key|token|secret|.*Secret|token-secret|client-key-data|bootstrapTokenID|bootstrapTokenSecret|aescbcEncryptionSecret)$')
HOLDERS = ('MachineConfigs.config', 'Manifests.kubernetes', 'KubeletSecrets.secrets', 'OSRootSecrets.secrets', 'KubernetesRootSecrets.secrets',
           'EtcdRootSecrets.secrets', 'KubernetesSecrets.secrets', 'EtcdSecrets.secrets', 'KubernetesDynamicCerts.secrets', 'DiscoveryConfigs.cluster')
MARKED = Redactor().mark


def _secrets(value, name=''):
    """All texts in fields that are secrets, and what base64 hides in them; keys of taints and labels are none."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _secrets(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner, name)
    elif isinstance(value, str) and SECRET_NAMES.match(name) and len(value) >= 12 and 'kubernetes' not in value:
        yield value
        if 'LS0tLS1' in value:
            yield base64.b64decode(value).decode().split('\n')[1]


def _documents(set_name):
    for call in load(set_name).calls:
        if call.method.endswith('State/List') and any(holder in call.case for holder in HOLDERS):
            for response in call.responses:
                spec = wire.decode('cosi.resource.ListResponse', response)['resource']['spec']
                for document in yaml.load_all(spec['yaml_spec'], yaml.CSafeLoader):
                    yield from yaml.load_all(document, yaml.CSafeLoader) if isinstance(document, str) else [document]
    yield yaml.safe_load(recorded_kubeconfig.text(set_name))


@pytest.mark.parametrize('name', ['healthy', 'nospace-alarm'])
def test_no_secret_of_a_real_cluster_reaches_archive_or_report(name, tmp_path):
    secrets = {secret for document in _documents(name) for secret in _secrets(document)}
    assert len(secrets) > 30
    path = store.write(recorded(name), tmp_path / 'a.zip')
    with zipfile.ZipFile(path) as archive:
        kept = b''.join(archive.read(member) for member in archive.namelist()).decode()
    kept += json.dumps(states.report(states.snapshot(name)))
    assert len(kept) > 1_000_000
    assert [secret[:8] for secret in secrets if secret in kept] == []


def test_only_names_of_certificates_are_read_where_secrets_are():
    assert [read.kind for read in reads.READS if getattr(read, 'namespace', '') == 'secrets'] == ['CertSANs']
    types = {getattr(read, 'type', '') for read in reads.READS}
    assert not [name for name in types if 'Secret' in name and name != 'SecretStatuses.kubernetes.talos.dev']
    assert 'Environments.runtime.talos.dev' not in types


CONFIG = """
version: v1alpha1
machine:
  type: controlplane
  token: canary.1
  ca: {crt: public, key: canary.2}
  certSANs: [lb.example.net]
  kubelet: {image: kubelet:v1, extraArgs: {v: "2"}, extraConfig: {a: canary.3}, env: {A: canary.4}}
  network:
    hostname: cp1
    interfaces:
      - {interface: eth0, vip: {ip: 10.5.0.100, hcloud: {apiToken: canary.5}}, wireguard: {privateKey: canary.6}}
      - {interface: eth1, vlans: [{vlanId: 5, vip: {ip: 10.6.0.100}}]}
  registries: {mirrors: {docker.io: {endpoints: ["https://user:canary.7@mirror.example.net"]}}, config: {mirror: {auth: {password: canary.8}}}}
  env: {TOKEN: canary.9}
  files: [{content: canary.10}]
cluster:
  id: canary.11
  secret: canary.12
  token: canary.13
  controlPlane: {endpoint: "https://10.5.0.100:6443"}
  apiServer: {certSANs: [10.5.0.100], env: {A: canary.14}, extraArgs: {oidc-client-secret: canary.15}}
  inlineManifests: [{contents: canary.16}]
  discovery: {enabled: true, registries: {service: {}, kubernetes: {disabled: true}}}
---
apiVersion: v1alpha1
kind: HostnameConfig
hostname: cp1
---
apiVersion: v1alpha1
kind: VolumeConfig
name: STATE
encryption: {keys: [{slot: 0, static: {passphrase: canary.17}}]}
---
apiVersion: v1alpha1
kind: KubeAPIServerConfig
certExtraSANs: [lb.example.net]
env: {A: canary.18}
extraArgs: {etcd-password: canary.19}
---
apiVersion: v1alpha1
kind: WireguardConfig
privateKey: canary.20
"""


def _kept(shape, items):
    return Redactor().value(shape(items, MARKED))


@pytest.mark.parametrize('config', [CONFIG, next(yaml.safe_load_all(CONFIG))], ids=['text', 'mapping of Talos 1.11'])
def test_a_machine_configuration_without_its_secrets(config):
    spec = _kept(shapes.machine_configs, [{'id': 'v1alpha1', 'spec': config}])[0]['spec']
    assert 'canary' not in json.dumps(spec).replace('user:canary.7', '')
    assert spec['v1alpha1']['machine']['certSANs'] == ['lb.example.net']
    assert spec['v1alpha1']['machine']['network']['vips'] == ['10.5.0.100', '10.6.0.100']
    assert spec['v1alpha1']['machine']['kubelet'] == {'image': 'kubelet:v1', 'extraArgs': {'v': '2'}}
    assert spec['v1alpha1']['cluster']['controlPlane'] == {'endpoint': 'https://10.5.0.100:6443'}
    assert spec['v1alpha1']['cluster']['discovery'] == {'enabled': True, 'registries': {'service': {}, 'kubernetes': {'disabled': True}}}
    assert spec['digest'].startswith(MARK)


def test_the_other_documents_of_a_configuration():
    spec = _kept(shapes.machine_configs, [{'id': 'v1alpha1', 'spec': CONFIG}])[0]['spec']
    assert spec['documents'] == ['v1alpha1', 'HostnameConfig', 'VolumeConfig', 'KubeAPIServerConfig', 'WireguardConfig']
    assert set(spec['others']) == {'HostnameConfig', 'VolumeConfig', 'KubeAPIServerConfig'}
    assert spec['others']['KubeAPIServerConfig'][0]['certExtraSANs'] == ['lb.example.net']
    assert 'canary' not in json.dumps(spec['others'])


@pytest.mark.parametrize('config', [None, '', 'no mapping', '- a list', '{broken', 5, []])
def test_a_configuration_of_another_form_is_none(config):
    spec = shapes.machine_configs([{'id': 'v1alpha1', 'spec': config}], MARKED)[0]['spec']
    assert (spec['documents'], spec['v1alpha1'], spec['others']) == ([], {}, {})


def test_equal_configurations_have_equal_digests():
    items = [{'id': name, 'spec': text} for name, text in (('v1alpha1', CONFIG), ('persistent', CONFIG), ('other', CONFIG + '\n'))]
    digests = [item['spec']['digest'] for item in shapes.machine_configs(items, MARKED)]
    assert digests[0] == digests[1] != digests[2]


def test_a_static_pod_without_its_environment():
    pod = {'spec': {'containers': [{'name': 'kube-apiserver', 'image': 'i', 'command': ['kube-apiserver', '--v=2'], 'args': ['--oidc-client-secret=canary.1'],
                                    'env': [{'name': 'A', 'value': 'canary.2'}]}]}}
    kept = _kept(shapes.static_pods, [{'id': 'kube-apiserver', 'spec': pod}])
    assert 'canary' not in json.dumps(kept)
    assert kept[0]['spec']['containers'][0]['command'][:2] == ['kube-apiserver', '--v=2']


def test_a_manifest_is_the_names_of_its_objects():
    secret = {'kind': 'Secret', 'metadata': {'namespace': 'kube-system', 'name': 'bootstrap-token-abcdef'}, 'stringData': {'token-secret': 'canary.1'}}
    assert shapes.manifests([{'id': '00-kubelet-bootstrapping-token', 'spec': [secret]}], MARKED) == [
        {'id': '00-kubelet-bootstrapping-token', 'spec': {'objects': [{'kind': 'Secret', 'namespace': 'kube-system', 'name': 'bootstrap-token-abcdef'}]}}]


def test_nothing_of_a_pod_s_environment_nor_of_a_request_s_text_is_kept():
    pod = {'metadata': {'namespace': 'kube-system', 'name': 'a', 'annotations': {'x': 'canary.1'}}, 'status': {'phase': 'Running'},
           'spec': {'containers': [{'name': 'a', 'env': [{'name': 'A', 'value': 'canary.2'}], 'args': ['canary.3']}], 'volumes': [{'name': 'canary.4'}]}}
    request = {'metadata': {'name': 'csr-a'}, 'spec': {'request': base64.b64encode(b'canary.5').decode(), 'extra': {'a': ['canary.6']}},
               'status': {'certificate': base64.b64encode(b'canary.7').decode()}}
    kept = json.dumps([objects.pod(pod), objects.csr(request)])
    assert 'canary' not in kept and base64.b64encode(b'canary').decode()[:6] not in kept
    assert objects.csr(request)['issued'] is True
