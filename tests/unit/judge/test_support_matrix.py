# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions go together (check catalogue 13)."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.judge import support_matrix


@pytest.mark.parametrize('talos, kubernetes, expected', [
    ('v1.13.9', 'v1.31.0', True), ('v1.13.9', 'v1.36.3', True), ('v1.13.9', 'v1.30.9', False), ('v1.13.9', 'v1.37.0', False),
    ('v1.14.0-rc.1', 'v1.37.0', True), ('1.9.1', '1.27.3', True), ('v1.99.0', 'v1.36.0', None), ('v1.13.9', None, None), (None, 'v1.36.0', None),
    ('v2.0.0', 'v1.36.0', None), ('v1.13.9', 'latest', None)])
def test_what_a_talos_supports(talos, kubernetes, expected):
    assert support_matrix.supports(talos, kubernetes) is expected


@pytest.mark.parametrize('kubelet, server, expected', [
    ('v1.36.3', 'v1.36.0', True), ('v1.33.0', 'v1.36.0', True), ('v1.32.9', 'v1.36.0', False), ('v1.37.0', 'v1.36.9', False), ('v1.36.0', None, None)])
def test_what_a_kubelet_may_work_with(kubelet, server, expected):
    assert support_matrix.kubelet_fits(kubelet, server) is expected


def test_the_range_in_words():
    assert support_matrix.kubernetes_range('v1.13.9') == ('v1.31', 'v1.36') and support_matrix.kubernetes_range('v1.0') is None
