# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_resource_info on what a real cluster said."""

from __future__ import annotations

import base64
import json
import re

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import spec, yaml_text
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import DeadlineExceeded, InputError, NodeUnreachable, TalosError, Unsupported
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.redact import MARK, Redactor
from ansible_collections.talosops.talos.plugins.module_utils.tasks import documents, query, resource_info, resource_types
from tests.replay import load
from tests.unit.tasks import plain

DEFINITIONS = 'ResourceDefinitions.meta.cosi.dev'


def run(monkeypatch, kind, set_name='healthy', hooks=None, **options):
    plain.serving(monkeypatch, set_name, hooks)
    return resource_info.run(plain.params('talos_resource_info', type=kind, **options), False, None)


# -- types --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def types():
    return resource_types.of(plain.listed(DEFINITIONS))


@pytest.mark.parametrize('text, name', [
    ('Members.cluster.talos.dev', 'Members.cluster.talos.dev'),
    ('members.cluster.talos.dev', 'Members.cluster.talos.dev'),
    ('members', 'Members.cluster.talos.dev'),
    ('MEMBER', 'Members.cluster.talos.dev'),
    (' members.cluster ', 'Members.cluster.talos.dev'),
    ('svc', 'Services.v1alpha1.talos.dev'),
    ('mc', 'MachineConfigs.config.talos.dev'),
    ('links', 'LinkStatuses.net.talos.dev'),
    ('podstatus', 'StaticPodStatuses.kubernetes.talos.dev'),
    ('mountstatuses', 'MountStatuses.block.talos.dev'),
    ('mounts', 'MountStatuses.runtime.talos.dev'),
    ('mountstatuses.runtime', 'MountStatuses.runtime.talos.dev'),
    ('apicertificate', 'ApiCertificates.secrets.talos.dev'),
    ('rd', DEFINITIONS),
])
def test_a_type_goes_by_all_its_names(types, text, name):
    assert resource_types.resolve(text, types).name == name


def test_an_alias_of_several_types_is_an_error_that_lists_them(types):
    with pytest.raises(InputError) as error:
        resource_types.resolve('NS', types)
    assert error.value.message == ('"NS" is the alias of 3 resource types: Namespaces.meta.cosi.dev, NetworkStatuses.net.talos.dev, '
                                   'NodeStatuses.kubernetes.talos.dev.')
    with pytest.raises(InputError, match='3 resource types: SeccompProfiles.cri.talos.dev, StaticPodStatuses.kubernetes.talos.dev, StaticPods'):
        resource_types.resolve('sps', types)


@pytest.mark.parametrize('text, hint', [
    ('memberz', 'Nearest: Members.cluster.talos.dev, EtcdMembers.etcd.talos.dev.'),
    ('SecretsStatuses', 'Nearest: SecretStatuses.kubernetes.talos.dev'),
    ('qqq', 'All 167 types are resources themselves: ask for ResourceDefinitions.meta.cosi.dev.'),
])
def test_an_unknown_type_names_the_nearest(types, text, hint):
    assert resource_types.resolve(text, types) is None
    assert resource_types.unknown(text, types).hint.startswith(hint)


def test_every_type_is_found_by_its_full_name_and_every_unambiguous_alias(types):
    aliases = [alias for one in types for alias in one.aliases]
    for one in types:
        assert resource_types.resolve(one.name.lower(), types) is one
        for alias in one.aliases:
            if aliases.count(alias) == 1:
                assert resource_types.resolve(alias, types) is one
    assert len(types) == 167 and sum(one.sensitive for one in types) == 35


def test_the_definitions_say_which_types_are_sensitive_and_where_they_are(types):
    assert resource_types.resolve('discoveryconfigs', types) == resource_types.ResourceType(
        'DiscoveryConfigs.cluster.talos.dev', 'config', True,
        frozenset(('discoveryconfigs', 'discoveryconfigs.cluster', 'discoveryconfigs.cluster.talos', 'discoveryconfig', 'dc', 'dcs')))


# -- the task -----------------------------------------------------------------------------------------------------


def test_resources_of_every_machine(monkeypatch):
    result = run(monkeypatch, 'hostname')
    assert [(item['node'], item['metadata']['id'], item['spec']) for item in result['resources']] == [
        (node, 'hostname', {'hostname': node, 'domainname': ''}) for node in ('cp1', 'cp2', 'cp3', 'w1')]
    assert result['resources'][0]['metadata']['type'] == result['type'] == 'HostnameStatuses.net.talos.dev'
    assert (result['namespace'], result['sensitive'], result['unread'], result['omitted']) == ('network', False, {}, {})
    assert result['nodes'] == ['cp1', 'cp2', 'cp3', 'w1'] and result['cluster'] == 'rt' and result['changed'] is False


def test_one_id_and_another_namespace(monkeypatch):
    result = run(monkeypatch, 'affiliates', namespace='cluster-raw', nodes=['cp1'])
    assert result['resources'] and all(item['metadata']['id'].startswith('service/') for item in result['resources'])
    one = run(monkeypatch, 'nodeaddresses', id='routed-no-k8s', nodes=['w1'])['resources']
    assert [(item['node'], item['spec']['addresses']) for item in one] == [('w1', ['10.5.0.5/24'])]
    assert run(monkeypatch, 'nodeaddresses', id='nothing')['resources'] == [], 'that there is none is a fact'


@pytest.mark.parametrize('nodes, asked', [
    (['CP1'], ['cp1']), (['10.5.0.5', 'cp2'], ['cp2', 'w1']), (['control_planes'], ['cp1', 'cp2', 'cp3']), (['workers'], ['w1']),
    (['workers', 'w1', '10.5.0.5'], ['w1']), ([], ['cp1', 'cp2', 'cp3', 'w1'])])
def test_machines_are_chosen_by_name_address_and_type(monkeypatch, nodes, asked):
    assert run(monkeypatch, 'hostname', nodes=nodes)['nodes'] == asked


def test_a_selector_of_nothing_is_a_fact_where_members_are_known_and_an_error_where_not(monkeypatch):
    members = plain.listed('Members.cluster.talos.dev')
    alone = [{**item, 'spec': {**item['spec'], 'machineType': 'controlplane'}} for item in members]
    hooks = {(address, 'Members.cluster.talos.dev'): lambda _machine: alone for address in ('10.5.0.2', '10.5.0.3', '10.5.0.4')}
    assert run(monkeypatch, 'hostname', hooks=hooks, nodes=['workers'])['resources'] == []
    hooks = {address_and_kind: Unsupported('none') for address_and_kind in hooks}
    with pytest.raises(TalosError, match='Which machines are workers is not known'):
        run(monkeypatch, 'hostname', hooks=hooks, nodes=['workers'])


def test_a_machine_that_does_not_answer_is_named_and_the_others_are_read(monkeypatch):
    result = run(monkeypatch, 'hostname', 'one-cp-down')
    assert {item['node'] for item in result['resources']} == {'cp1', 'cp2', 'w1'}
    assert list(result['unread']) == ['cp3'] and 'connection refused' in result['unread']['cp3']


def test_each_machine_has_its_own_reason(monkeypatch):
    kind = 'Members.cluster.talos.dev'
    hooks = {('10.5.0.3', '10.5.0.2', kind): Unsupported('10.5.0.3 does not offer it'),
             ('10.5.0.5', '10.5.0.2', kind): DeadlineExceeded('10.5.0.5 was silent')}
    result = run(monkeypatch, 'members', hooks=hooks)
    assert result['unread'] == {'cp2': '10.5.0.3 does not offer it', 'w1': '10.5.0.5 was silent'}
    assert {item['node'] for item in result['resources']} == {'cp1', 'cp3'}


def test_what_no_machine_gives_is_an_error_and_no_empty_list(monkeypatch):
    with pytest.raises(TalosError) as error:
        run(monkeypatch, 'mc', 'healthy-reader')
    assert error.value.message.startswith('MachineConfigs.config.talos.dev could not be read from any of 4 machines: cp1: needs os:admin, and the '
                                          'client certificate has os:admin (not authorized); cp2: ')
    with pytest.raises(TalosError) as error:
        run(monkeypatch, 'members', nodes=['10.5.0.77'])
    assert '10.5.0.77: dial tcp' in error.value.message and 'option nodes' in error.value.hint


def test_a_type_that_only_newer_machines_know_is_found_during_an_upgrade(monkeypatch):
    old = [item for item in plain.listed(DEFINITIONS) if not item['id'].startswith('hostnamestatuses')]
    hooks = {('10.5.0.2', DEFINITIONS): lambda _machine: old}
    assert run(monkeypatch, 'hostname', hooks=hooks)['type'] == 'HostnameStatuses.net.talos.dev'
    with pytest.raises(InputError, match='No machine of this cluster has a resource type "hostnamez"'):
        run(monkeypatch, 'hostnamez', hooks=hooks)


def test_definitions_come_from_another_endpoint_where_the_first_is_silent(monkeypatch):
    assert run(monkeypatch, 'hostname', hooks={('10.5.0.2', DEFINITIONS): DeadlineExceeded('no')})['unread'] == {}
    hooks = {(address, DEFINITIONS): NodeUnreachable('gone') for address in ('10.5.0.2', '10.5.0.3', '10.5.0.4', '10.5.0.5')}
    with pytest.raises(TalosError, match='The resource types of the cluster could not be read: gone'):
        run(monkeypatch, 'hostname', hooks=hooks)


def test_without_an_endpoint_nothing_is_asked(monkeypatch):
    hooks = {(address, 'connect'): NodeUnreachable(f'{address} refuses connections.') for address in ('10.5.0.2', '10.5.0.3', '10.5.0.4')}
    with pytest.raises(TalosError) as error:
        run(monkeypatch, 'hostname', hooks=hooks)
    assert error.value.message == ('None of the 3 endpoints of the context "rt" could be used: 10.5.0.2 refuses connections; '
                                   '10.5.0.3 refuses connections; 10.5.0.4 refuses connections.')


@pytest.mark.parametrize('options, said', [
    ({'limit_bytes': 0}, 'limit_bytes must be a number of bytes above zero, not 0.'), ({'type': ' '}, 'The option type is empty.'),
    ({'nodes': ['10.5.0.2:50000']}, 'nodes: "10.5.0.2:50000" is no name or address without a port.'),
    ({'nodes': ['']}, 'The option nodes has an empty entry.'),
    ({'timeout': 0}, 'timeout must be a number of seconds above zero, not 0.')])
def test_wrong_options_are_one_sentence(monkeypatch, options, said):
    with pytest.raises(InputError) as error:
        run(monkeypatch, **{'kind': options.pop('type', 'members'), **options})
    assert error.value.message == said


# -- size and query -----------------------------------------------------------------------------------------------


def test_a_large_result_is_cut_and_says_so(monkeypatch):
    whole = run(monkeypatch, 'routes', limit_bytes=1000000)
    assert whole['omitted'] == {} and 'warnings' not in whole
    cut = run(monkeypatch, 'routes', limit_bytes=20000)
    assert len(json.dumps(cut['resources'])) <= 20000
    assert len(cut['resources']) + sum(cut['omitted'].values()) == len(whole['resources'])
    omitted = sum(cut['omitted'].values())
    assert list(cut['omitted'])[-1] == 'w1' and cut['warnings'][0].startswith(f'{omitted} of {len(whole["resources"])} resources are left out')


def test_a_query_sees_everything_and_replaces_the_resources(monkeypatch):
    result = run(monkeypatch, 'routes', query='length(@)', limit_bytes=1000)
    assert result['result'] == len(run(monkeypatch, 'routes', limit_bytes=1000000)['resources']) and 'resources' not in result
    result = run(monkeypatch, 'machinestatus', query='[?spec.status.ready == `true`].node')
    assert result['result'] == ['cp1', 'cp2', 'cp3', 'w1']


def test_what_a_query_gives_is_bounded_too(monkeypatch):
    result = run(monkeypatch, 'routes', query='[].metadata.id', limit_bytes=300)
    assert len(json.dumps(result['result'])) <= 300 and result['omitted']['result'] > 0 and 'entries that query gives' in result['warnings'][0]
    with pytest.raises(InputError, match=r'What query gives is larger than limit_bytes \(300\)'):
        run(monkeypatch, 'routes', query='{all: @}', limit_bytes=300)


@pytest.mark.parametrize('expression, said', [
    ("[?node=='cp1'", 'it ends too early at column 14.'), ('[].', 'it ends too early at column 4.'), ('a b', 'unexpected "b" at column 3.'),
    ('a."b', 'Unclosed " delimiter at column 3.'), ('[?x==1]', 'unexpected "1" at column 6.'), ('   ', 'it ends too early at column 4.')])
def test_an_expression_that_is_none_says_where(monkeypatch, expression, said):
    monkeypatch.setattr(resource_info.machines, 'of', lambda *_given: pytest.fail('the cluster was asked'))
    with pytest.raises(InputError) as error:
        resource_info.run(plain.params('talos_resource_info', type='members', query=expression), False, None)
    assert error.value.message == f'query is no JMESPath expression: {said}'


@pytest.mark.parametrize('expression, said', [
    ('[].foo(@)', 'Unknown function: foo() (column 4).'), ('length(`1`)', 'In function length(), invalid type for value: 1'),
    ('length(@, @)', 'Expected 1 argument for function length(), received 2 (column 1).')])
def test_an_expression_that_does_not_fit_says_why(expression, said):
    with pytest.raises(InputError) as error:
        query.compiled(expression)([{'a': 1}])
    assert error.value.message.startswith(f'query could not be applied to the result: {said}') and '\n' not in error.value.message


def test_without_jmespath_only_query_is_missing(monkeypatch):
    monkeypatch.setattr(query, 'jmespath', None)
    assert run(monkeypatch, 'hostname')['resources']
    with pytest.raises(InputError, match='needs the Python package jmespath'):
        run(monkeypatch, 'hostname', query='[]')


# -- secrets ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module')
def secrets():
    """Every secret of the recorded cluster, as texts that must never be seen: from the machine configuration and from the secret resources."""
    found = set()

    def walk(value, name=''):
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, key)
        elif isinstance(value, list) and not all(isinstance(item, int) for item in value):
            for item in value:
                walk(item, name)
        elif isinstance(value, str) and len(value) > 8 and re.search('(key|token|secret|^id|clusterid)$', name.lower()):
            found.add(value)

    for document in yaml_text.documents(plain.listed(spec.MACHINE_CONFIGS)[0]['spec']):
        walk(document)
    for kind in {one['spec']['type'] for one in plain.listed(DEFINITIONS)}:
        if kind.endswith('.secrets.talos.dev') or kind.startswith(('DiscoveryConfigs', 'KubeSpanConfigs')):
            for item in plain.listed(kind):
                walk(item['spec'])
    for text in list(found):
        try:
            pem = base64.b64decode(text, validate=True).decode()
        except ValueError:
            continue
        found.update(line for line in pem.splitlines() if '-----' not in line and len(line) > 20)
    assert len(found) > 30
    return found


def test_no_type_whatsoever_gives_a_secret(secrets, types):
    """All types of a control plane node and a worker, as os:admin reads them."""
    recorded, seen = {(call.case, call.node) for call in load('healthy').calls}, 0
    for one in types:
        for node in ('cp1', 'w1'):
            if one.name not in resource_types.FORBIDDEN and (f'cosi-list-{one.name}', node) in recorded:
                redactor, items = Redactor(), plain.listed(one.name, node)
                items = documents.machine_configs(items, redactor.mark) if one.name == spec.MACHINE_CONFIGS else items
                assert not leaks(redactor.whole(items), secrets), one.name
                seen += 1
    assert seen > 320


@pytest.mark.parametrize('kind', ['mc', 'osrootsecrets', 'kubernetessecrets', 'etcdsecrets', 'discoveryconfigs', 'manifests', 'kubespanconfigs'])
def test_a_result_holds_no_secret(monkeypatch, secrets, kind):
    assert not leaks(run(monkeypatch, kind, limit_bytes=10**7), secrets)
    assert not leaks(run(monkeypatch, kind, query='[].spec', limit_bytes=10**7), secrets)


def leaks(value, secrets):
    text = json.dumps(value)
    return [secret for secret in (*secrets, 'PRIVATE KEY', base64.b64encode(b'PRIVATE KEY').decode()[:-4]) if secret in text]


def test_machine_configurations_keep_their_structure_and_stay_comparable(monkeypatch):
    result = run(monkeypatch, 'machineconfig', id='v1alpha1')
    configs = {item['node']: item['spec'] for item in result['resources']}
    assert [document.get('kind') for document in configs['cp1']] == [None, 'HostnameConfig']
    v1alpha1 = configs['cp1'][0]
    assert v1alpha1['cluster']['controlPlane'] == {'endpoint': 'https://10.5.0.100:6443'}
    assert re.fullmatch(MARK + '[0-9a-f]{8}', v1alpha1['machine']['ca']['key']) and v1alpha1['machine']['ca']['crt'].startswith('LS0t')
    assert v1alpha1['machine']['token'] == configs['w1'][0]['machine']['token'], 'the same token on both'
    assert v1alpha1['cluster']['id'] == configs['w1'][0]['cluster']['id'] != v1alpha1['cluster']['secret']
    assert v1alpha1['cluster']['id'].startswith(MARK) and configs['w1'][0]['machine']['ca']['key'] == ''
    assert result['sensitive'] is True


def test_a_configuration_that_is_no_yaml_is_one_mark(monkeypatch):
    broken = [{**plain.listed(spec.MACHINE_CONFIGS)[0], 'spec': 'machine: {token: abcdef.0123456789abcdef\n  - x'}]
    hooks = {('10.5.0.2', '10.5.0.2', spec.MACHINE_CONFIGS): lambda _machine: broken}
    [item] = run(monkeypatch, 'mc', hooks=hooks, nodes=['cp1'])['resources']
    assert re.fullmatch(MARK + '[0-9a-f]{8}', item['spec'])


def test_what_people_put_into_files_environments_and_secrets_is_not_shown(monkeypatch):
    config = '''
machine:
  files: [{path: /etc/x, content: "user = me\\npassword = hunter2hunter"}]
  env: {HTTPS_PROXY: "http://proxy", TS_AUTHKEY: tskey-abcdef}
  registries: {config: {ghcr.io: {auth: {username: robot, password: pa55word, auth: cm9ib3Q6cGE1NXdvcmQ=}}}}
  nodeTaints: {a: b}
cluster:
  inlineManifests: [{name: s, contents: "kind: Secret\\nstringData: {a: topsecret}"}]
  extraManifestHeaders: {X-Pass: letmein99}
---
kind: ExtensionServiceConfig
name: tailscale
environment: [TS_AUTHKEY=tskey-abcdef, TS_ROUTES=10.0.0.0/8]
configFiles: [{content: "key tskey-abcdef", mountPath: /etc/y}]
'''
    broken = [{**plain.listed(spec.MACHINE_CONFIGS)[0], 'spec': config}]
    hooks = {('10.5.0.2', '10.5.0.2', spec.MACHINE_CONFIGS): lambda _machine: broken}
    [item] = run(monkeypatch, 'mc', hooks=hooks, nodes=['cp1'])['resources']
    text = json.dumps(item)
    for secret in ('hunter2', 'tskey', 'pa55', 'cm9ib', 'topsecret', 'letmein'):
        assert secret not in text, secret
    first, second = item['spec']
    assert first['machine']['files'][0]['path'] == '/etc/x' and first['machine']['env'].keys() == {'HTTPS_PROXY', 'TS_AUTHKEY'}
    assert first['machine']['registries']['config']['ghcr.io']['auth']['username'] == 'robot'
    assert re.fullmatch('TS_AUTHKEY=redacted:[0-9a-f]{8}', second['environment'][0]) and second['configFiles'][0]['mountPath'] == '/etc/y'


def test_manifests_lose_the_data_of_secrets_alone(monkeypatch):
    result = run(monkeypatch, 'manifests', nodes=['cp1'])
    documents = [document for item in result['resources'] for document in item['spec']]
    [token] = [document for document in documents if document['kind'] == 'Secret']
    assert all(value.startswith(MARK) for value in token['stringData'].values()) and token['metadata']['namespace'] == 'kube-system'
    pods = [((document.get('spec') or {}).get('template') or {}).get('spec') or {} for document in documents]
    tolerations = [entry for pod in pods for entry in pod.get('tolerations', [])]
    assert {'effect': 'NoSchedule', 'operator': 'Exists'} in tolerations or any(entry.get('key', '').startswith('node') for entry in tolerations)
    [config] = [document for document in documents if document['kind'] == 'ConfigMap' and document['metadata']['name'] == 'coredns']
    assert 'forward' in config['data']['Corefile']


@pytest.mark.parametrize('text', ['env', 'environments', 'Environments.runtime.talos.dev', 'ENVIRONMENT'])
def test_the_environment_of_talos_itself_is_refused(monkeypatch, text):
    client = plain.serving(monkeypatch)
    with pytest.raises(InputError, match='Environments.runtime.talos.dev is not read: it is the environment'):
        resource_info.run(plain.params('talos_resource_info', type=text), False, None)
    assert not [asked for asked in client.asked if asked[2].startswith('Environments')]


def test_recorded_definitions_are_there_for_every_set():
    assert all(any(call.case == f'cosi-list-{DEFINITIONS}' for call in load(name).calls) for name in ('healthy', 'healthy-reader', 'one-cp-down'))
