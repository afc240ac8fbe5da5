# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only Ansible's own side can do: plain values, vault, inventory."""

from __future__ import annotations

import json
from collections import UserDict

import pytest
import yaml
from ansible import constants as C
from ansible import context as cli
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible.plugins.doc_fragments.constructed import ModuleDocFragment as ConstructedOptions

from ansible_collections.talosops.talos.plugins.inventory import talosconfig as talosconfig_inventory
from ansible_collections.talosops.talos.plugins.lookup import clusters as clusters_lookup
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import ConfigError
from ansible_collections.talosops.talos.plugins.plugin_utils.control_node import plain, reader

CONTEXTS = {'context': 'prod', 'contexts': {'prod': {'endpoints': ['10.5.0.2']}, 'admin@test': {'endpoints': ['10.6.0.2'], 'nodes': ['10.6.0.9']},
                                            'odd: name': {}, 'broken': 'x'}}


def plugin(module, class_name, kind, *arguments, fragments=()):
    """A plugin with the options that it documents, as Ansible's loader makes it."""
    options = {name: option for text in (*fragments, module.DOCUMENTATION) for name, option in yaml.safe_load(text)['options'].items()}
    name = f'talosops.talos.{module.__name__.rpartition(".")[2]}'
    C.config.initialize_plugin_configuration_definitions(kind, name, options)
    made = getattr(module, class_name)(*arguments)
    made._load_name, made._redirected_names = name, [name]
    return made


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch):
    monkeypatch.setattr(cli, 'CLIARGS', ImmutableDict({}))


@pytest.fixture
def talosconfig(tmp_path, monkeypatch):
    path = tmp_path / 'talosconfig'
    path.write_text(yaml.safe_dump(CONTEXTS))
    monkeypatch.setenv('TALOSCONFIG', str(path))
    monkeypatch.delenv('TALOS_CONTEXT', raising=False)
    return path


# -- values -----------------------------------------------------------------------------------------------------


class Tagged(str):
    """As Ansible marks a text."""

    def __str__(self):  # pylint: disable=invalid-str-returned
        return self


class Vaulted:
    """As Ansible 2.17 holds a vaulted scalar."""

    def __str__(self):  # pylint: disable=invalid-str-returned
        return Tagged('secret')


@pytest.mark.parametrize('value, expected', [
    (Tagged('a'), 'a'), (Vaulted(), 'secret'), (True, True), (3, 3), (1.5, 1.5), (None, None), ([Tagged('a'), (1, Tagged('b'))], ['a', [1, 'b']]),
    (UserDict({Tagged('k'): [Tagged('v')]}), {'k': ['v']})])
def test_values_become_plain(value, expected):
    found = plain(value)
    assert found == expected and type(found) is type(expected)
    assert yaml.safe_load(yaml.safe_dump(found)) == json.loads(json.dumps(expected))


def test_keys_become_plain_too():
    assert [type(key) for key in plain({Tagged('k'): 1})] == [str]


# -- vault --------------------------------------------------------------------------------------------------------


def test_an_encrypted_file_is_read_with_its_password_only(tmp_path):
    path = tmp_path / 'talosconfig'
    secret = VaultSecret(b'sesame')
    secret.load()
    path.write_bytes(VaultLib([('default', secret)]).encrypt('context: prod\n', secret))
    loader = DataLoader()
    with pytest.raises(ConfigError, match='encrypted by ansible-vault, and no vault password that was given opens it'):
        reader(loader)(str(path))
    loader.set_vault_secrets([('default', secret)])
    assert reader(loader)(str(path)) == b'context: prod\n'
    path.write_bytes(b'context: other\n')
    assert reader(loader)(str(path)) == b'context: other\n'


# -- the inventory plugin ---------------------------------------------------------------------------------------------


def inventory_plugin():
    return plugin(talosconfig_inventory, 'InventoryModule', 'inventory', fragments=[ConstructedOptions.DOCUMENTATION])


def inventory(tmp_path, name='clusters.talosconfig.yml', **options):
    path = tmp_path / name
    path.write_text(yaml.safe_dump({'plugin': 'talosops.talos.talosconfig', **options}))
    loader = DataLoader()
    manager = InventoryManager(loader, parse=False)
    made = inventory_plugin()
    assert made.verify_file(str(path)) is True
    made.parse(manager._inventory, loader, str(path))
    return manager


def test_every_context_is_a_host(talosconfig, tmp_path):
    manager = inventory(tmp_path)
    hosts = {host.name: host.vars for host in manager.get_hosts('talos_clusters')}
    assert set(hosts) == {'prod', 'admin@test', 'odd--name', 'broken'}
    assert hosts['admin@test']['talos_context'] == 'admin@test' and hosts['odd--name']['talos_context'] == 'odd: name'
    assert hosts['admin@test']['talos_context_endpoints'] == ['10.6.0.2'] and hosts['admin@test']['talos_context_nodes'] == ['10.6.0.9']
    assert all(host['ansible_connection'] == 'local' and 'talos_config' not in host for host in hosts.values())


def test_contexts_are_chosen_and_grouped(talosconfig, tmp_path):
    manager = inventory(tmp_path, talosconfigs=['talosconfig'], contexts=['prod', 'adm*'], groups={'tests': "'test' in talos_context"},
                        keyed_groups=[{'key': 'talos_context_endpoints[0]', 'prefix': 'at'}], compose={'where': "talos_context | upper"})
    assert {host.name for host in manager.get_hosts('talos_clusters')} == {'prod', 'admin@test'}
    assert [host.name for host in manager.get_hosts('tests')] == ['admin@test'] and 'at_10_5_0_2' in manager.groups
    assert manager.get_host('prod').vars['talos_config'] == str(talosconfig) and manager.get_host('prod').vars['where'] == 'PROD'


def test_one_name_for_two_clusters_is_refused(talosconfig, tmp_path):
    (tmp_path / 'other').write_text(yaml.safe_dump({'contexts': {'prod': {}}}))
    with pytest.raises(AnsibleParserError, match='Two contexts would be the host "prod"'):
        inventory(tmp_path, talosconfigs=['talosconfig', 'other'])


def test_a_talosconfig_that_is_missing_is_a_sentence(tmp_path):
    with pytest.raises(AnsibleParserError, match='nowhere does not exist'):
        inventory(tmp_path, talosconfigs=['nowhere'])


def test_other_files_are_left_to_other_plugins(tmp_path):
    (tmp_path / 'hosts.yml').write_text('all:\n')
    assert inventory_plugin().verify_file(str(tmp_path / 'hosts.yml')) is False


# -- which clusters a run is about --------------------------------------------------------------------------------------

EMPTY = {'all': [], 'ungrouped': []}
CLUSTERS = {'all': ['eu', 'us', 'web1'], 'ungrouped': ['web1'], 'talos_clusters': ['eu', 'us']}


def clusters(groups, *terms, limit=None, sources=('/etc/ansible/hosts',), **options):
    variables = {'groups': groups, 'ansible_inventory_sources': list(sources), **({'ansible_limit': limit} if limit else {})}
    return plugin(clusters_lookup, 'LookupModule', 'lookup', DataLoader()).run(list(terms), variables, **options)


def test_hosts_of_the_group_within_the_limit():
    assert clusters(CLUSTERS) == ['eu', 'us']
    assert clusters(CLUSTERS, limit='us,web1') == ['us']
    assert clusters(CLUSTERS, limit='all:!eu') == ['us']
    assert clusters(CLUSTERS, 'e*') == ['eu']


def test_a_limit_from_a_file(tmp_path):
    (tmp_path / 'retry').write_text('us\n')
    assert clusters(CLUSTERS, limit=f'@{tmp_path}/retry') == ['us']
    with pytest.raises(AnsibleError, match='There is no cluster to judge'):
        clusters(CLUSTERS, limit=f'@{tmp_path}/nowhere')


@pytest.mark.parametrize('groups, terms, options, said', [
    (CLUSTERS, (), {'limit': 'web1'}, '--limit web1 leaves none of eu, us'),
    (CLUSTERS, ('nobody',), {}, 'the pattern "nobody" .talos_hosts. matches no host'),
    ({**EMPTY, 'talos_clusters': []}, (), {}, 'the group talos_clusters is empty'),
    (EMPTY, (), {}, 'the inventory has no group talos_clusters[.]'),
    (EMPTY, (), {'limit': 'prod'}, '-e talos_context=prod'),
    (EMPTY, (), {'or_context': True, 'sources': ['/srv/inventory']}, 'the inventory /srv/inventory has no hosts'),
    (EMPTY, (), {'or_context': True, 'context': 'nobody'}, 'has no context "nobody"'),
])
def test_no_cluster_is_an_error(talosconfig, groups, terms, options, said):
    with pytest.raises(AnsibleError, match=said):
        clusters(groups, *terms, **options)


@pytest.mark.parametrize('groups, sources', [
    (EMPTY, ['/etc/ansible/hosts']), (EMPTY, ['localhost,']), ({'all': ['localhost'], 'ungrouped': ['localhost']}, ['localhost,']),
    ({'all': ['web1'], 'ungrouped': ['web1']}, ['/srv/inventory']), (EMPTY, [])])
def test_without_an_inventory_of_clusters_it_is_the_context(talosconfig, groups, sources):
    assert clusters(groups, sources=sources, or_context=True) == ['prod']
    assert clusters(groups, sources=sources, or_context=True, context='admin@test') == ['admin@test']


@pytest.mark.parametrize('listing', ['syntax', 'listhosts', 'listtasks', 'listtags'])
def test_listings_are_not_disturbed(monkeypatch, listing):
    monkeypatch.setattr(cli, 'CLIARGS', ImmutableDict({listing: True}))
    assert clusters(EMPTY) == ['talos_clusters']
