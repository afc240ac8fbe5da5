# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of talos_network_check and talos_requirements_check, and their documentation."""

from __future__ import annotations

import importlib

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from ansible_collections.talosops.talos.plugins.module_utils.tasks import network_check, requirements_check
from tests.unit.guide import machines
from tests.unit.guide.judging import node

MODULES = {'talos_network_check': network_check, 'talos_requirements_check': requirements_check}


def returned(name):
    module = importlib.import_module(f'ansible_collections.talosops.talos.plugins.modules.{name}')
    return yaml.safe_load(module.RETURN)


def test_how_the_recorded_machines_stand_on_their_network():
    found = network_check.of(machines.recorded(), {})
    assert set(found['nodes']) == {'cp1', 'cp2', 'cp3', 'w1'} and found['unread'] == {}
    told = found['nodes']['w1']
    assert told['addresses'] == [{'address': '10.5.0.5/24', 'link': 'eth0'}] and told['node_addresses'] == ['10.5.0.5/24']
    assert [link['name'] for link in told['links']] == ['eth0'] and told['default_routes'] == [{'gateway': '10.5.0.1', 'link': 'eth0'}]
    assert (told['resolvers'], told['host_dns'], told['hostname']) == (['10.5.0.1'], True, 'w1') and all(told['ready'].values())


def test_what_the_recorded_machines_have_in_container_mode_and_on_metal():
    told = requirements_check.of(machines.recorded(), {})['nodes']['cp1']
    assert told['container'] is True and told['memory_mib'] is None and told['disk'] is None
    assert told['volumes_not_ready'] == {'META': {'phase': 'waiting', 'error': None}} and told['clock']['asked'] == '10.5.0.1'
    told = requirements_check.of(machines.metal(), {})['nodes']['cp1']
    assert (told['container'], told['memory_mib'], told['processors'], told['load5']) == (False, 7900, 4, 1.4)
    assert told['disk'] == {'name': 'vda', 'size': 120 * machines.GIB} and told['filesystems']['/var']['size'] == 100 * machines.GIB
    assert told['clock']['synced'] is True and abs(told['clock']['off_seconds']) < 0.1 and told['security'] == {'secureBoot': False}


@pytest.mark.parametrize('name', MODULES)
def test_what_was_not_read_is_null_and_a_dead_machine_is_named(name):
    snapshot = machines.recorded('worker-down')
    machine = node(snapshot, 'cp1')
    machine.data = {'Version': machine.datum('Version')}
    found = MODULES[name].of(snapshot, {})
    assert 'w1' in found['unread'] and 'w1' not in found['nodes']
    values = [value for key, value in found['nodes']['cp1'].items() if key not in ('type', 'container', 'clock')]
    assert set(map(repr, values)) == {'None'}


@pytest.mark.parametrize('name', MODULES)
def test_the_facts_are_documented_as_they_are(name):
    snapshot = machines.metal()
    snapshot.machines[0].data['VolumeStatuses'] = Datum('read', machines.volumes())
    found, told = MODULES[name].of(snapshot, {}), returned(name)
    assert set(found) <= set(told)
    fields = told['nodes']
    for each in (*found['nodes'].values(), *fields['sample'].values()):
        assert set(each) == set(fields['contains'])
    for key, said in fields['contains'].items():
        wanted = {'str': str, 'int': int, 'float': float, 'bool': bool, 'dict': dict, 'list': list}[said['type']]
        assert all(isinstance(each[key], wanted) for each in found['nodes'].values() if each[key] is not None), key
