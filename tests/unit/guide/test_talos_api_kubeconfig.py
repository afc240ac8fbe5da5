# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.snapshot.kubernetes import FOREIGN
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum

from tests.unit.guide import states

CHECK = 'talos_api.kubeconfig_foreign'


def _given(error, nodes):
    snap = states.snapshot()
    snap.kubernetes = {'source': 'kubeconfig', 'server': 'https://10.9.0.1:6443', 'error': error, 'data': {'nodes': nodes}, 'servers': {}}
    return states.report(snap)


def test_a_kubeconfig_of_another_cluster_is_said():
    judged = _given(FOREIGN, Datum('refused', reason=FOREIGN))
    found = states.finding(judged, CHECK)
    assert (found['verdict'], judged['class']) == ('warning', 'warnings')
    assert 'https://10.9.0.1:6443' in found['evidence'][0]['text']


def test_the_right_one_is_fine_and_talos_needs_none():
    assert states.verdict(_given(None, states.snapshot().kubernetes['data']['nodes']), CHECK) == 'ok'
    assert states.verdict(states.report(states.snapshot()), CHECK) == 'not_applicable'


@pytest.mark.parametrize('state', ['refused', 'timed_out', 'not_asked', 'unreachable', 'unsupported'])
def test_unseen_is_unknown_with_the_reason(state):
    found = states.finding(_given(None, Datum(state, reason='the reason')), CHECK)
    assert (found['verdict'], 'the reason' in found['title']) == ('unknown', True)
