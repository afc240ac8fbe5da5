# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shipped, and what every file of the repository must hold."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

BIN = Path(sys.executable).parent
SHIPPED = {
    'CHANGELOG.md', 'COPYING', 'FILES.json', 'LICENSES', 'MANIFEST.json', 'README.md', 'REUSE.toml', 'changelogs', 'docs', 'meta',
    'playbooks', 'plugins', 'requirements.txt', 'roles',
}
SOURCE = ('.py', '.yml', '.yaml', '.toml', '.ini', '.proto', '.sh', '.cfg', '.in', '.j2')
NAMED_SOURCE = ('Makefile', '.ci/run', 'tests/gates/')
SPDX = 'SPDX-License' + '-Identifier: GPL-3.0-or-later'
GENERATED = ('changelogs/changelog.yaml',)


def repository():
    """The files that git knows or would take, relative to the root."""
    said = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', '--deduplicate'],
                          cwd=ROOT, capture_output=True, text=True, check=False)
    if said.returncode:
        pytest.skip('this is no git repository')
    return [name for name in said.stdout.split('\0') if name and (ROOT / name).is_file()]


def text(name):
    """The content of a file, or None where it is not text."""
    try:
        return (ROOT / name).read_text(encoding='utf-8')
    except UnicodeDecodeError:
        return None


@pytest.fixture(scope='module')
def artefact(tmp_path_factory):
    """The names of the members of a freshly built artefact."""
    out = tmp_path_factory.mktemp('dist')
    subprocess.run([BIN / 'ansible-galaxy', 'collection', 'build', '--output-path', out], cwd=ROOT, check=True, capture_output=True)
    [path] = out.glob('talosops-talos-*.tar.gz')
    with tarfile.open(path) as archive:
        return archive.getnames()


def test_only_what_users_need_is_shipped(artefact):
    assert {name.split('/')[0] for name in artefact} - SHIPPED == set()
    assert SHIPPED - {name.split('/')[0] for name in artefact} == set()
    assert [name for name in artefact if re.search(r'__pycache__|\.pyc$|(^|/)\.|changelogs/fragments|\.gz$|\.zip$', name)] == []


def test_shipped_files_are_tracked_or_new(artefact):
    known = set(repository()) | {'FILES.json', 'MANIFEST.json'}
    assert [name for name in artefact if (ROOT / name).is_file() and name not in known] == []


@pytest.mark.parametrize('meta', ['action_groups', 'plugin_routing'])
def test_every_module_is_in_the_action_group_and_routed(meta):
    modules = {path.stem for path in (ROOT / 'plugins' / 'modules').glob('*.py')} - {'__init__'}
    runtime = yaml.safe_load((ROOT / 'meta' / 'runtime.yml').read_text())
    assert modules
    if meta == 'action_groups':
        assert {name.rsplit('.', 1)[-1] for name in runtime['action_groups']['talos']} == modules
    else:
        action = next((ROOT / 'plugins' / 'action').glob('talos_*.py')).stem
        routed = {name: route['action_plugin'] for name, route in runtime['plugin_routing']['modules'].items()}
        assert set(routed.values()) == {f'talosops.talos.{action}'}
        assert set(routed) | {action} == modules


def test_source_names_its_licence():
    bare = []
    for name in repository():
        if name in GENERATED or not (name.endswith(SOURCE) or name.startswith(NAMED_SOURCE)):
            continue
        if '/data/' in name or name.startswith('tests/scenarios/') or not (ROOT / name).stat().st_size:
            continue
        if SPDX not in '\n'.join((text(name) or '').splitlines()[:5]):
            bare.append(name)
    assert bare == []


def test_python_names_its_owner_first():
    wrong = []
    for name in repository():
        if name.endswith('.py') and Path(name).name != '__init__.py':
            lines = [line for line in (text(name) or '').splitlines() if not line.startswith(('#!', '# -*-'))]
            if lines[:1] != ['# Copyright (c) 2026, The talosops.talos maintainers']:
                wrong.append(name)
    assert wrong == []


def test_no_file_names_one_machine():
    """Paths of the machine that something was written on mean nothing anywhere else."""
    machine = re.compile('|'.join(('/wo' + 'rk/', '/ro' + 'ot/', '/fa' + 'rm/', r'/ho' + r'me/(?!me\b|user\b)[a-z]', '/tmp' + '/v/')))
    found = [f'{name}:{number}: {line.strip()[:100]}'
             for name in repository() if '/data/' not in name
             for number, line in enumerate((text(name) or '').splitlines(), 1) if machine.search(line)]
    assert found == []


def test_lower_bounds_are_the_ones_that_are_tested():
    bounds = dict(re.findall(r'^([A-Za-z]+)>=([\d.]+)$', text('requirements.txt'), re.MULTILINE))
    pinned = dict(re.findall(r'^([A-Za-z-]+)==([\d.]+)$', text('tests/constraints-oldest.txt'), re.MULTILINE))
    core = pinned.pop('ansible-core')
    assert bounds == pinned
    assert yaml.safe_load(text('meta/runtime.yml'))['requires_ansible'] == f'>={core}'
    for page in ('README.md', 'requirements.txt'):
        assert f'ansible-core >= {core.rsplit(".", 1)[0]}' in text(page)


def _anchors(markdown):
    """The anchors of a page's headings, as the usual viewers make them."""
    headings = re.findall(r'^#+ +(.+?) *$', re.sub(r'^```.*?^```', '', markdown, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


def test_links_of_the_documentation_resolve():
    broken = []
    for name in repository():
        if not name.endswith('.md') or name == 'CHANGELOG.md':
            continue
        page = ROOT / name
        for target in re.findall(r'\]\(([^)\s]+)\)', text(name)):
            if re.match(r'[a-z]+:', target):
                continue
            path, _hash, anchor = target.partition('#')
            other = (page.parent / path).resolve() if path else page
            if not other.exists():
                broken.append(f'{name}: {target}')
            elif anchor and anchor not in _anchors(other.read_text(encoding='utf-8')):
                broken.append(f'{name}: {target}')
    assert broken == []
