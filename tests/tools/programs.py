# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real programs of the contract tests, built with Go from the modules that a go.mod here pins.

    python -m tests.tools.programs [--budget SECONDS] [--look] [TIER…]

builds what the cache lacks, and says of each tier in one line how it went. Exit code: 0 all are there, 1 one does not build,
3 one was not built (no Go, no time left). C(--look) builds nothing. The cache is outside the tree, in a directory for each
state of the pins: C($XDG_CACHE_HOME) or C(~/.cache), C(talosops.talos/programs).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

TOOLS = Path(__file__).parent
_FLAGS = ('-trimpath',)
_LINKED = '-s -w'
_LAST_LINES = 20


@dataclass(frozen=True)
class Tier:
    """Programs that are built from one go.mod.

    C(programs) maps a file name to its package. C(unlisted) are module paths that the checksum database does not know:
    their hashes are in the go.sum like all others. C(stamped) is the package that learns the version, where the program tells it.
    C(of) is the tier of whose programs these are other versions.
    """

    name: str
    directory: Path
    programs: dict
    unlisted: tuple = field(default=())
    stamped: str | None = None
    of: str | None = None

    @property
    def cache(self):
        """The directory of these very versions; another go.mod, go.sum or platform has another one."""
        digest = hashlib.sha256()
        for name in ('go.mod', 'go.sum'):
            digest.update((self.directory / name).read_bytes())
        digest.update(repr((self.flags, self.programs, os.uname().sysname, os.uname().machine)).encode())
        return cache() / f'{self.name}-{digest.hexdigest()[:16]}'

    @property
    def flags(self):
        """For go build: small programs, which know their version where they tell it."""
        if self.stamped is None:
            return (*_FLAGS, f'-ldflags={_LINKED}')
        major, minor, patch = version(next(iter(self.programs)), self.name)
        told = {'gitVersion': f'v{major}.{minor}.{patch}', 'gitMajor': major, 'gitMinor': minor, 'gitTreeState': 'clean'}
        return (*_FLAGS, f'-ldflags={" ".join((_LINKED, *(f"-X {self.stamped}.{name}={value}" for name, value in told.items())))}')

    @property
    def built(self):
        return all((self.cache / name).is_file() for name in self.programs)


_ETCD = {'etcd': 'go.etcd.io/etcd/server/v3', 'etcdctl': 'go.etcd.io/etcd/etcdctl/v3', 'etcdutl': 'go.etcd.io/etcd/etcdutl/v3'}
TIERS = {tier.name: tier for tier in (
    Tier('talosctl', TOOLS, {'talosctl': 'github.com/siderolabs/talos/cmd/talosctl'},
         ('github.com/siderolabs/wgctrl-go', 'github.com/smira/containerd')),
    Tier('etcd', TOOLS / 'etcd', _ETCD),
    Tier('etcd-3.5', TOOLS / 'etcd-3.5', _ETCD, of='etcd'),
    Tier('etcd-3.7', TOOLS / 'etcd-3.7', _ETCD, of='etcd'),
    Tier('kubernetes', TOOLS / 'kubernetes', {name: f'k8s.io/kubernetes/cmd/{name}' for name in ('kube-apiserver', 'kube-controller-manager')},
         stamped='k8s.io/component-base/version'),
)}


class NotBuilt(Exception):
    """Nobody could build it here, and why."""


class BuildFailed(Exception):
    """Go says that it does not build, and what."""


def cache():
    """Where the built programs are kept."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'talosops.talos' / 'programs'


def path(program, tier=None):
    """The path of a built program, as text, of a tier's name where there are several. Raises NotBuilt."""
    found = _tier(program, tier)
    if not found.built:
        raise NotBuilt(f'{program} is not built: "make programs TIERS={found.of or found.name}" builds it, with Go.')
    return str(found.cache / program)


def _tier(program, name):
    return TIERS[name] if name else next(tier for tier in TIERS.values() if program in tier.programs)


def version(program, tier=None):
    """The version that a tier's go.mod pins for a program, as a tuple of numbers."""
    tier = _tier(program, tier)
    module = tier.programs[program].partition('/cmd/')[0]
    pinned = re.search(rf'^\s*{re.escape(module)} v(\d+)\.(\d+)\.(\d+)', (tier.directory / 'go.mod').read_text(encoding='utf-8'), re.MULTILINE)
    return tuple(map(int, pinned.groups()))


def build(tier, budget=None):
    """Build a tier's programs unless they are there; C(budget) is in seconds. Raises NotBuilt, BuildFailed.

    What was compiled stays in Go's own cache, so that a build for which the time was too short goes on the next time.
    """
    if tier.built:
        return
    go = shutil.which('go')
    if go is None:
        raise NotBuilt('Go was not found')
    if budget is not None and budget <= 0:
        raise NotBuilt('no time was left for it')
    tier.cache.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=tier.cache.parent, prefix=f'.{tier.name}-'))
    try:
        _run([go, 'build', *tier.flags, '-mod=readonly', '-buildvcs=false', '-o', f'{work}/', *tier.programs.values()], tier, budget)
        for name, package in tier.programs.items():
            made = work / _made_by_go(package)
            if made.name != name:
                made.rename(work / name)
        shutil.rmtree(tier.cache, ignore_errors=True)
        work.rename(tier.cache)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _made_by_go(package):
    """What go build calls the program of a package: the last part of its path that is no version."""
    parts = package.split('/')
    return parts[-2] if parts[-1] == 'v3' else parts[-1]


def _run(command, tier, budget):
    unlisted = ','.join(filter(None, [os.environ.get('GONOSUMDB'), *tier.unlisted]))
    environment = {**os.environ, 'CGO_ENABLED': '0', 'GOTOOLCHAIN': 'local', 'GOWORK': 'off', 'GONOSUMDB': unlisted}
    process = subprocess.Popen(command, cwd=tier.directory, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    try:
        said, _none = process.communicate(timeout=budget)
    except subprocess.TimeoutExpired:
        raise NotBuilt(f'it was not done within {budget:.0f} s; the next time goes on where this one stopped') from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode:
        raise BuildFailed('\n'.join(said.splitlines()[-_LAST_LINES:]))


def main(arguments=None):
    names = [tier.name for tier in TIERS.values() if tier.of is None]
    parser = argparse.ArgumentParser(prog='python -m tests.tools.programs', description='Build the real programs of the contract tests.')
    parser.add_argument('tiers', nargs='*', metavar='TIER', help=f'of {", ".join(names)}; default: all')
    parser.add_argument('--budget', type=float, metavar='SECONDS', help='stop building after so many seconds')
    parser.add_argument('--look', action='store_true', help='build nothing, only say what is there')
    options = parser.parse_args(arguments)
    wrong = [name for name in options.tiers if name not in names]
    if wrong:
        parser.error(f'there is no tier {wrong[0]}; there are {", ".join(names)}')
    begun, code = time.monotonic(), 0
    for tier in (tier for name in options.tiers or names for tier in TIERS.values() if name in (tier.name, tier.of)):
        started = time.monotonic()
        if tier.built:
            print(f'{tier.name}: in the cache', flush=True)
            continue
        try:
            if options.look:
                raise NotBuilt('it is not in the cache')
            build(tier, None if options.budget is None else options.budget - (started - begun))
            print(f'{tier.name}: built in {time.monotonic() - started:.0f} s', flush=True)
        except NotBuilt as error:
            code = code or 3
            print(f'{tier.name}: NOT BUILT: {error}', flush=True)
        except BuildFailed as error:
            code = 1
            print(f'{tier.name}: DOES NOT BUILD:\n{error}', flush=True)
    return code


if __name__ == '__main__':
    sys.exit(main())
