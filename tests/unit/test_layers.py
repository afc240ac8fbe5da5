# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data flows one way: api, kube -> snapshot -> judge <- guide -> report, remedies; tasks know all of them, and only tasks know Ansible."""

from __future__ import annotations

import ast

import pytest

from tests.conftest import ROOT

UTILS = ROOT / 'plugins' / 'module_utils'
PREFIX = 'ansible_collections.talosops.talos.plugins.module_utils.'
# What a layer may import beside itself; the types of errors are everybody's.
BELOW = {
    'api': set(),
    'kube': {'api'},
    'snapshot': {'api', 'kube', 'version'},
    'judge': {'snapshot', 'version'},
    'guide': {'judge', 'snapshot', 'version'},
    'report': {'judge', 'version'},
    'remedies': {'judge', 'guide', 'snapshot', 'version'},
    'tasks': {'api', 'kube', 'snapshot', 'judge', 'guide', 'report', 'remedies', 'version'},
}
FOR_ALL = ('api.errors',)
# What an endpoint, a talosconfig and YAML are, as text: nothing of how anything is connected to.
BESIDE = {'remedies': ('api.endpoint', 'api.talosconfig', 'api.yaml_text')}


def imports(path):
    """(module, line) of each import in a file, however deep it stands; members of a package as modules of it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f'{node.module}.{alias.name}', node.lineno) for alias in node.names)


def test_every_package_has_its_place():
    assert {path.name for path in UTILS.iterdir() if path.is_dir() and path.name != '__pycache__'} == set(BELOW)


@pytest.mark.parametrize('layer', BELOW)
def test_a_layer_imports_only_what_lies_below_it(layer):
    wrong, seen = [], 0
    for path in sorted((UTILS / layer).rglob('*.py')):
        for name, line in imports(path):
            where = f'{path.relative_to(ROOT)}:{line}: {name}'
            if name.startswith(PREFIX):
                seen += 1
                inner = name.removeprefix(PREFIX)
                if inner.split('.')[0] not in BELOW[layer] | {layer} and not inner.startswith(FOR_ALL + BESIDE.get(layer, ())):
                    wrong.append(where)
            elif name.split('.')[0] in ('ansible', 'ansible_collections') and layer != 'tasks':
                wrong.append(where)
    assert wrong == [] and seen


@pytest.mark.parametrize('layer', ['judge', 'guide', 'remedies'])
def test_nothing_that_judges_asks_the_clock_or_the_network(layer):
    """"now" is the snapshot's time."""
    calls, outside = [], {'socket', 'ssl', 'asyncio', 'grpc', 'urllib3', 'subprocess', 'time'}
    for path in sorted((UTILS / layer).rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func) in (
                    'datetime.now', 'datetime.utcnow', 'datetime.datetime.now', 'time.time', 'time.monotonic', 'date.today'):
                calls.append(f'{path.relative_to(ROOT)}:{node.lineno}')
        assert not [name for name, _line in imports(path) if name.split('.')[0] in outside or name.startswith('urllib.request')], path
    assert calls == []
