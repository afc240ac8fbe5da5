# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Version tags of Talos, Kubernetes and etcd, and which minors of them go together (check catalogue 13)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.talosops.talos.plugins.module_utils.judge import support_matrix

# "v1.14.0-rc.1", "v1.14.0-alpha.0-15-g3f2a9c1-dirty" (git describe), "3.6.12", "v1.36.3+k0s".
_TAG = re.compile(r'^v?(?P<major>\d+)\.(?P<minor>\d+)(?:\.(?P<patch>\d+))?(?P<rest>[-+].*)?$')
_BUILD = re.compile(r'(?:-\d+-g[0-9a-f]{6,})?(?:-dirty)?(?:\+.*)?$')

# The fact, asserted with the upgrades, that components of Kubernetes are too far apart.
SKEW = 'kubernetes.skew'
# Minor of Talos 1.x from which on it needs this (major, minor) of etcd.
ETCD_OF_TALOS = ((14, (3, 6)),)


@dataclass(frozen=True, order=True)
class Version:
    """C(pre) is the pre-release ("rc.1"), C(build) what git added to a build between releases; neither counts for a minor.

    A release (C(final)) sorts behind its pre-releases.
    """

    major: int
    minor: int
    patch: int = 0
    final: bool = True
    pre: str = ''
    build: str = ''

    @property
    def line(self):
        """(major, minor)."""
        return self.major, self.minor

    @property
    def release(self):
        """All but the build."""
        return self.major, self.minor, self.patch, self.final, self.pre

    def __str__(self):
        return f'v{self.major}.{self.minor}.{self.patch}{"-" + self.pre if self.pre else ""}{self.build}'


def parse(tag):
    """The Version of a tag, None when it is none."""
    found = _TAG.match(str(tag or '').strip())
    if not found:
        return None
    rest = found.group('rest') or ''
    build = _BUILD.search(rest).group(0)
    pre = rest[:len(rest) - len(build)].removeprefix('-')
    return Version(int(found.group('major')), int(found.group('minor')), int(found.group('patch') or 0), not pre, pre, build)


def image(reference):
    """The Version in the tag of an image ("ghcr.io/siderolabs/kubelet:v1.36.3@sha256:…"), None without one."""
    name = str(reference or '').split('@', 1)[0]
    _path, colon, tag = name.rpartition(':')
    return parse(tag) if colon and '/' not in tag else None


def supported(talos, kubernetes):
    """Whether this Talos runs this Kubernetes: True, False, or None for a Talos that the matrix does not know."""
    known = support_matrix.KUBERNETES.get(talos.minor) if talos.major == 1 else None
    if known is None:
        return None
    return (1, known[0]) <= kubernetes.line <= (1, known[1])


def least_etcd(talos):
    """The (major, minor) of etcd that this Talos needs at least, None where any will do."""
    return next((need for minor, need in ETCD_OF_TALOS if talos.line >= (1, minor)), None)
