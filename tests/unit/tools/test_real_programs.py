# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building the real programs: once, whole or not at all, and what is said where it cannot be done. A script stands for Go."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.tools import programs

_GO = """#!/bin/sh
echo "$GONOSUMDB $GOTOOLCHAIN $*" >> "$GO_CALLS"
while [ $# -gt 0 ]; do
    case $1 in
        -o) out=$2; shift ;;
        */etcd/*/v3) name=${1%/v3}; echo "$1" > "$out/${name##*/}" ;;
        */cmd/*) echo "$1" > "$out/${1##*/}" ;;
    esac
    shift
done
"""


@pytest.fixture
def go(tmp_path, monkeypatch):
    """C(go(text)): a program of this text is the only one in PATH but those of the system; C(go.calls()) its calls."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('GO_CALLS', str(tmp_path / 'calls'))
    monkeypatch.delenv('GONOSUMDB', raising=False)
    (tmp_path / 'bin').mkdir()
    monkeypatch.setenv('PATH', f'{tmp_path / "bin"}')
    os.symlink('/bin/sh', tmp_path / 'bin' / 'sh')

    def write(text):
        (tmp_path / 'bin' / 'go').write_text(text)
        (tmp_path / 'bin' / 'go').chmod(0o755)

    write.calls = lambda: (tmp_path / 'calls').read_text().splitlines()
    write.cached = lambda: sorted(path.name for path in (tmp_path / 'cache').rglob('*') if path.is_file())
    return write


def test_each_program_of_a_tier_is_built_once_by_its_name(go, capsys):
    go(_GO)
    assert programs.main(['etcd']) == 0
    assert programs.main(['etcd']) == 0
    assert len(go.calls()) == 3
    names = ('etcd', 'etcd-3.5', 'etcd-3.7')
    assert re.fullmatch(''.join([*(rf'{name}: built in \d+ s\n' for name in names), *(f'{name}: in the cache\n' for name in names)]),
                        capsys.readouterr().out)
    assert go.cached() == ['etcd'] * 3 + ['etcdctl'] * 3 + ['etcdutl'] * 3
    assert len({programs.path('etcd', name) for name in names}) == 3 and programs.path('etcd') == programs.path('etcd', 'etcd')
    assert [programs.version(program, name)[:2] for name in names for program in ('etcd', 'etcdctl', 'etcdutl')] == [(3, 6)] * 3 + [(3, 5)] * 3 + [(3, 7)] * 3
    with open(programs.path('etcd'), encoding='utf-8') as file:
        assert file.read() == 'go.etcd.io/etcd/server/v3\n'


def test_the_checksum_database_is_not_asked_for_exactly_the_modules_that_it_does_not_know(go):
    go(_GO)
    assert programs.main(['talosctl', 'kubernetes']) == 0
    talosctl, kubernetes = go.calls()
    assert talosctl.startswith('github.com/siderolabs/wgctrl-go,github.com/smira/containerd local build')
    assert kubernetes.startswith(' local build')


def test_another_pin_is_another_program(go, tmp_path):
    tier = programs.TIERS['etcd']
    (tmp_path / 'go.mod').write_text('module other\n')
    (tmp_path / 'go.sum').write_text('')
    assert programs.Tier(tier.name, tmp_path, tier.programs).cache != tier.cache


def test_without_go(go, capsys):
    assert programs.main(['talosctl']) == 3
    assert capsys.readouterr().out == 'talosctl: NOT BUILT: Go was not found\n'
    with pytest.raises(programs.NotBuilt, match='^talosctl is not built: "make programs TIERS=talosctl" builds it, with Go.$'):
        programs.path('talosctl')


def test_what_does_not_build_leaves_nothing(go, capsys):
    go('#!/bin/sh\necho "server.go:1: syntax error"\nexit 1\n')
    assert programs.main(['kubernetes', 'talosctl']) == 1
    assert capsys.readouterr().out == ('kubernetes: DOES NOT BUILD:\nserver.go:1: syntax error\n'
                                       'talosctl: DOES NOT BUILD:\nserver.go:1: syntax error\n')
    assert go.cached() == []


def test_when_the_time_is_over_the_build_ends_and_the_next_tier_does_not_begin(go, capsys, tmp_path):
    go(f'#!/bin/sh\necho $$ > {tmp_path}/pid\nexec /bin/sleep 600\n')
    assert programs.main(['--budget', '0.5', 'kubernetes', 'talosctl']) == 3
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith('kubernetes: NOT BUILT: it was not done within 0 s')
    assert second == 'talosctl: NOT BUILT: no time was left for it'
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / 'pid').read_text()), 0)
    assert go.cached() == []


def test_looking_builds_nothing(go, capsys):
    go(_GO)
    assert programs.main(['--look', 'kubernetes']) == 3
    assert capsys.readouterr().out == 'kubernetes: NOT BUILT: it is not in the cache\n'


def test_an_unknown_tier(go, capsys):
    with pytest.raises(SystemExit):
        programs.main(['etcdctl'])
    assert 'there is no tier etcdctl; there are talosctl, etcd, kubernetes' in capsys.readouterr().err


@pytest.mark.parametrize('with_go', [True, False])
def test_make_test_says_in_one_line_what_it_leaves_out(tmp_path, with_go):
    """Of the recipe, as make would run it: its last line."""
    for name in ('make', 'sh', 'env', 'echo', *(['go'] if with_go else [])):
        found = '/bin/true' if name == 'go' else _which(name)
        os.symlink(found, tmp_path / name)
    said = subprocess.run([_which('make'), '-n', '-o', '.venv/.ready', 'test', f'PYTHON={sys.executable}'], cwd=ROOT, capture_output=True,
                          text=True, check=True, env={'PATH': str(tmp_path)}).stdout.splitlines()
    assert said[-1].startswith('echo "Left out: tests/contract, with the real talosctl, etcd and Kubernetes: make contract')
    assert said[-1].endswith('make contract"' if with_go else 'make contract (it needs Go, and none was found)"')


def _which(name):
    return next(path for path in (f'/bin/{name}', f'/usr/bin/{name}') if os.path.exists(path))


def test_kubernetes_tells_the_version_that_is_pinned(go):
    go(_GO)
    assert programs.main(['kubernetes']) == 0
    number = '.'.join(map(str, programs.version('kube-apiserver')))
    assert f'k8s.io/kubernetes v{number}' in (programs.TIERS['kubernetes'].directory / 'go.mod').read_text(encoding='utf-8')
    assert f'-X k8s.io/component-base/version.gitVersion=v{number} ' in go.calls()[0]
