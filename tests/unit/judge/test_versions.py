# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Version tags as they really look, and the support matrix (check catalogue 13)."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.judge import versions


@pytest.mark.parametrize('tag, release, build', [
    ('v1.13.9', (1, 13, 9, True, ''), ''),
    ('3.6.12', (3, 6, 12, True, ''), ''),
    ('v1.14.0-rc.1', (1, 14, 0, False, 'rc.1'), ''),
    ('v1.13.9-dirty', (1, 13, 9, True, ''), '-dirty'),
    ('v1.14.0-alpha.0-15-g3f2a9c1-dirty', (1, 14, 0, False, 'alpha.0'), '-15-g3f2a9c1-dirty'),
    ('v1.36.3+build.7', (1, 36, 3, True, ''), '+build.7'),
    ('v1.13', (1, 13, 0, True, ''), ''),
])
def test_a_tag_is_its_release_and_what_git_added(tag, release, build):
    found = versions.parse(tag)
    assert (found.release, found.build) == (release, build)
    assert versions.parse(str(found)) == found


@pytest.mark.parametrize('tag', ['', None, 'undefined', 'latest', 'v1', 'sha256:249883f4'])
def test_what_is_no_version_is_none(tag):
    assert versions.parse(tag) is None


def test_a_pre_release_is_older_than_its_release():
    ordered = ['v1.13.9', 'v1.14.0-alpha.1', 'v1.14.0-rc.1', 'v1.14.0', 'v1.14.1-dirty']
    assert sorted(map(versions.parse, reversed(ordered))) == list(map(versions.parse, ordered))


@pytest.mark.parametrize('reference, line', [
    ('ghcr.io/siderolabs/kubelet:v1.36.3', (1, 36)),
    ('registry.k8s.io/kube-apiserver:v1.36.0-alpha.1@sha256:3098b018', (1, 36)),
    ('localhost:5000/siderolabs/kubelet', None),
    ('localhost:5000/siderolabs/kubelet:v1.35.4', (1, 35)),
    ('ghcr.io/siderolabs/kubelet@sha256:3098b018', None),
    (None, None),
])
def test_the_version_of_an_image_is_in_its_tag(reference, line):
    found = versions.image(reference)
    assert (found and found.line) == line


@pytest.mark.parametrize('talos, kubernetes, expected', [
    ('v1.13.9', 'v1.36.3', True), ('v1.13.9', 'v1.31.0', True), ('v1.13.9', 'v1.30.14', False), ('v1.13.9', 'v1.37.0', False),
    ('v1.14.0-rc.1', 'v1.37.0-beta.0', True), ('v1.14.3', 'v1.31.9', False), ('v1.9.6', 'v1.32.1', True), ('v1.12.11-dirty', 'v1.36.3', False),
    ('v1.16.0', 'v1.38.0', None), ('v2.0.0', 'v1.36.3', None), ('v1.13.9', 'v2.0.0', False),
])
def test_the_support_matrix(talos, kubernetes, expected):
    assert versions.supported(versions.parse(talos), versions.parse(kubernetes)) is expected


def test_the_etcd_that_talos_needs():
    assert versions.least_etcd(versions.parse('v1.13.9')) is None
    assert versions.least_etcd(versions.parse('v1.14.0-rc.1')) == (3, 6)
    assert versions.least_etcd(versions.parse('v2.0.0')) == (3, 6)
