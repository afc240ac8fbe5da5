# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which requests for a serving certificate may be signed (users.md 5, "CSR approval")."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.judge import csr_rules
from ansible_collections.talosops.talos.plugins.module_utils.judge.csr_rules import APPROVE, HOLD, REFUSE, Owner, judge_serving

OWNER = Owner(frozenset({'10.5.0.22', 'fd00::22'}), frozenset({'w-2', 'w-2.example.org'}), frozenset({'203.0.113.9'}))
API = frozenset({'10.5.0.10', 'k8s.example.org'})


def request(of='w-2', ips=('10.5.0.22',), dns=('w-2',), **more):
    asks = {'common_name': f'system:node:{of}', 'organization': ['system:nodes'], 'dns': list(dns), 'ips': list(ips), 'other': []}
    return {'name': 'csr-1', 'created': '2026-11-22T10:00:00Z', 'signer': csr_rules.SERVING, 'username': f'system:node:{of}',
            'groups': ['system:nodes', 'system:authenticated'], 'usages': ['digital signature', 'server auth'], 'conditions': [], 'issued': False,
            'asks_for': asks, **more}


def asking(**changes):
    made = request()
    made['asks_for'] = {**made['asks_for'], **changes}
    return made


@pytest.mark.parametrize('csr', [
    request(),
    request(usages=['key encipherment', 'digital signature', 'server auth']),
    request(dns=['w-2', 'w-2.example.org'], ips=['10.5.0.22', 'fd00:0:0::22']),
    request(dns=['W-2'], ips=[]),
    request(dns=[]),
])
def test_what_may_be_approved(csr):
    assert judge_serving(csr, OWNER, API).verdict == APPROVE


@pytest.mark.parametrize('csr, why', [
    (request(ips=['10.5.0.10'], dns=['kubernetes']), '10.5.0.10, which belongs to the API'),
    (request(dns=['k8s.example.org']), 'belongs to the API'),
    (request(dns=['kubernetes.default.svc.cluster.local']), 'belongs to the API'),
    (request(ips=['127.0.0.1']), 'belongs to the API'),
    (request(ips=['10.5.0.21']), '10.5.0.21 is not of this machine'),
    (request(dns=['w-1']), 'w-1 is not of this machine'),
    (request(dns=[], ips=[]), 'neither a host name nor an address'),
    (request(usages=['digital signature', 'client auth']), 'usages are client auth, digital signature'),
    (request(usages=['digital signature', 'server auth', 'client auth']), 'usages are'),
    (request(usages=['digital signature']), 'usages are digital signature'),
    (request(signer='kubernetes.io/kube-apiserver-client'), 'signer is'),
    (request(username='system:serviceaccount:x:y'), 'is no kubelet'),
    (request(groups=['system:authenticated']), 'not in the group system:nodes'),
    (asking(common_name='system:node:w-1'), 'system:node:w-2 asks for system:node:w-1'),
    (asking(organization=['system:masters']), 'organization is system:masters'),
    (asking(organization=['system:nodes', 'system:masters']), 'organization is'),
    (asking(other=['spiffe://x']), 'neither a DNS name nor an address'),
])
def test_what_must_not_be_approved(csr, why):
    judgement = judge_serving(csr, OWNER, API)
    assert judgement.verdict == REFUSE and why in judgement.text, judgement


def test_a_node_that_nobody_knows():
    judgement = judge_serving(request(of='w-7'), None, API)
    assert judgement.verdict == REFUSE and 'no machine is known whose Node is w-7' in judgement.text


def test_the_only_control_plane_node_may_be_certified_for_the_endpoint_that_is_its_own_address():
    csr = request(of='cp-1', ips=['10.5.0.11'], dns=['cp-1'])
    owner = Owner(frozenset({'10.5.0.11'}), frozenset({'cp-1'}))
    assert judge_serving(csr, owner, frozenset({'10.5.0.11'})).verdict == APPROVE


@pytest.mark.parametrize('csr, owner, why', [
    (request(), Owner(), 'the machine was not read'),
    (request(), Owner(None, OWNER.names), 'whether 10.5.0.22 is its own'),
    (request(ips=['10.5.0.22', '203.0.113.9']), OWNER, 'by Kubernetes alone'),
    (request(asks_for=None), OWNER, 'could not be read'),
])
def test_what_must_wait(csr, owner, why):
    judgement = judge_serving(csr, owner, API)
    assert judgement.verdict == HOLD and why in judgement.text and not judgement.writes_only


def test_only_the_newest_request_of_a_kubelet_counts():
    first, second = request(), request(name='csr-2', created='2026-11-22T10:15:00Z')
    other = request(of='w-1', name='csr-3', created='2026-11-22T10:20:00Z')
    assert judge_serving(first, OWNER, API, [first, second, other]).verdict == HOLD
    assert judge_serving(second, OWNER, API, [first, second, other]).verdict == APPROVE


def test_nothing_is_approved_while_etcd_takes_no_writes():
    judgement = judge_serving(request(), OWNER, API, writable=False)
    assert judgement.verdict == HOLD and judgement.writes_only and 'once etcd takes writes again' in judgement.text
    assert judge_serving(request(ips=['10.5.0.21']), OWNER, API, writable=False).verdict == REFUSE
    assert not judge_serving(request(), Owner(), API, writable=False).writes_only


@pytest.mark.parametrize('conditions, issued, pending', [
    ([], False, True), ([{'type': 'Approved', 'status': 'True'}], False, False), ([{'type': 'Denied', 'status': 'True'}], False, False),
    ([{'type': 'Failed'}], False, False), ([], True, False)])
def test_whether_somebody_has_decided(conditions, issued, pending):
    assert csr_rules.pending(request(conditions=conditions, issued=issued)) is pending


def test_whose_request_it_is():
    assert csr_rules.node_name(request()) == 'w-2' and csr_rules.node_name({'username': 'system:bootstrap:abc'}) is None
    assert csr_rules.asked_name({'asks_for': {'common_name': 'system:node:cp-1'}}) == 'cp-1'
    assert csr_rules.asked_name({'asks_for': None}) is None and csr_rules.asked_name({'asks_for': {'common_name': 'root'}}) is None
