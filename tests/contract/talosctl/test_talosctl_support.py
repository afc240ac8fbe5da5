# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talosctl support makes its bundle of a simulated cluster: with the layout of the recorded one, and what is in it is what is served."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.contract.talosctl.talosctl import Talosctl
from tests.simulator import Cluster
from tests.unit.simulator.bench import RECORDED

_LAYOUT = (Path(__file__).parent / 'data' / 'support.txt').read_text(encoding='utf-8').split()
# What the simulator does not serve, so that talosctl says so of each and leaves it out.
_NOT_SIMULATED = {'dependencies.dot', 'devices', 'io', 'processes'}
_ERROR = re.compile(r'(?:error getting controller runtime dependencies: )?rpc error: code = Unimplemented desc = not simulated')


@pytest.fixture(scope='module')
def bundle(program, tmp_path_factory):
    """(talosctl, what it said, the bundle)."""
    home = tmp_path_factory.mktemp('home')
    with Cluster.from_state(RECORDED, platform='container', name='rt') as cluster:
        talosctl = Talosctl(program('talosctl'), cluster, home)
        said = talosctl.read('support', '--output', str(home / 'support.zip'), nodes=['cp1', 'w1'])
        with zipfile.ZipFile(home / 'support.zip') as file:
            yield talosctl, said, file


def _names(bundle):
    """The files of the bundle, machines by name, without what is random in the names of pods."""
    talosctl, _said, file = bundle
    found = set()
    for name in file.namelist():
        for machine in ('cp1', 'w1'):
            name = name.replace(f'{talosctl.cluster.address(machine)}/', f'{machine}/')
        found.add(re.sub(r'((?:kube-flannel|kube-proxy|coredns-[0-9a-f]+)-)[a-z0-9]{5}', r'\1x', name))
    return found


def test_its_layout_is_that_of_the_recorded_bundle(bundle):
    names, recorded = _names(bundle), set(_LAYOUT)
    resources = {name for name in names | recorded if '/resources/' in name}
    assert {name for name in recorded - names - resources if name.partition('/')[2] not in _NOT_SIMULATED and 'coredns' not in name} == set()
    assert {name for name in names - recorded - resources if 'coredns' not in name} == set()
    # Of the 90 types with resources the simulator serves those that a diagnosis reads.
    assert len((names & recorded & resources)) > 50


def test_what_is_not_simulated_is_the_only_error(bundle):
    talosctl, said, _file = bundle
    errors = [line.split(None, 1)[1] for line in said.err.splitlines()
              if line.strip().startswith(talosctl.cluster.address('cp1').rpartition('.')[0])]
    assert errors and [error for error in errors if not _ERROR.fullmatch(error.strip())] == [], said.err[-500:]


@pytest.mark.parametrize('kind', ['members', 'services', 'etcdspecs', 'staticpodstatuses', 'etcdmembers', 'nodeaddresses'])
def test_a_file_of_resources_is_what_talosctl_gets(bundle, kind):
    talosctl, _said, file = bundle
    prefix = f'{talosctl.cluster.address("cp1")}/resources/{kind}.'
    name = next(name for name in file.namelist() if name.startswith(prefix))
    kept = {one['metadata']['id']: one['spec'] for one in yaml.safe_load_all(file.read(name).decode()) if one}
    assert kept
    assert kept == {one['metadata']['id']: one['spec'] for one in talosctl.read('get', kind, '-o', 'yaml', nodes=['cp1']).yaml}


def test_the_machine_configuration_is_not_in_it(bundle):
    talosctl, _said, file = bundle
    name = f'{talosctl.cluster.address("cp1")}/resources/machineconfigs.config.talos.dev.yaml'
    assert [one['spec'] for one in yaml.safe_load_all(file.read(name).decode())] == ['<REDACTED>']


def test_logs_are_in_it(bundle):
    talosctl, _said, file = bundle
    address = talosctl.cluster.address('cp1')
    kept = file.read(f'{address}/service-logs/etcd.log').decode().splitlines()
    assert len(kept) > 5
    assert kept == [line.removeprefix(f'{address}: ') for line in talosctl.read('logs', 'etcd', nodes=['cp1']).out.splitlines()]
