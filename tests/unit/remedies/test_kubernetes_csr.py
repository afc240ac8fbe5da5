# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_kubernetes_csr in simulated clusters: what is right is approved and issued, and nothing else is touched."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import RoleRefused, TalosError
from tests.simulator import kubernetes_csrs
from tests.unit.remedies.simulated import UNANSWERED, UNSENT, bed, cut

MODULE = 'talos_kubernetes_csr'
WITHOUT = {'client': {'endpoints': ['10.5.0.11', '10.5.0.12', '10.5.0.13'], 'role': 'os:reader', 'cert_expires_days': 300, 'context_matches_cluster': True}}


def csr(name, node, last, **more):
    return {'name': name, 'signer': kubernetes_csrs.SERVING, 'username': f'system:node:{node}', 'dns': [node], 'ips': [f'10.5.0.{last}'], 'age': '20m',
            'state': 'Pending', **more}


RIGHT = csr('csr-right', 'w-1', 21)
OLDER = csr('csr-older', 'w-1', 21, age='40m')
FOREIGN = csr('csr-foreign', 'w-2', 21)
OF_THE_API = csr('csr-api', 'cp-2', 12, dns=['cp-2', 'kubernetes'])
VIP = csr('csr-vip', 'cp-3', 13, ips=['10.5.0.13', '10.5.0.10'])
USAGES = csr('csr-usages', 'cp-1', 11, usages=['digital signature', 'server auth', 'client auth'])
NOBODY = csr('csr-nobody', 'w-9', 29)
CLIENT = {'name': 'csr-client', 'signer': kubernetes_csrs.CLIENT, 'username': 'system:bootstrap:abcdef', 'age': '10m', 'state': 'Pending'}
WRONG = (FOREIGN, OF_THE_API, VIP, USAGES, NOBODY)


def state(*csrs, **more):
    return {'k8s': {'csrs': list(csrs)}, **more}


def states(one):
    """{name: types of conditions} as the cluster has them."""
    return {item['metadata']['name']: sorted(each['type'] for each in item['status'].get('conditions') or ())
            for item in one.model.kubernetes.objects(next(r for r in _resources() if r.name == 'certificatesigningrequests'))}


def _resources():
    from tests.simulator.kubernetes_store import RESOURCES
    return RESOURCES.values()


def refused(one, match, **options):
    before = states(one)
    with pytest.raises(TalosError, match=match) as caught:
        one.run(MODULE, **options)
    assert states(one) == before and one.changes() == []
    return caught.value


class OfAnyApi:
    """What holds with the real API as well (tests/contract/kubernetes/test_csrs.py)."""

    def test_only_what_is_right_is_approved_and_then_issued(self):
        with bed(state(RIGHT, OLDER, CLIENT, *WRONG)) as one:
            before = states(one)
            told = one.run(MODULE, check=True)
            assert told['approved'] == ['csr-right'] and told['changed'] and states(one) == before and one.changes() == []
            rows = {row['name']: row for row in told['requests']}
            assert set(rows) == {'csr-right', 'csr-older', *(each['name'] for each in WRONG)}, 'requests for client certificates are nobody\'s business here'
            assert {name: row['verdict'] for name, row in rows.items()} == {'csr-right': 'approve', 'csr-older': 'hold', **dict.fromkeys(
                (each['name'] for each in WRONG), 'refuse')}
            assert rows['csr-older']['why'] == ['a newer request of the same kubelet is there'] and 'is not of this machine' in rows['csr-foreign']['why'][0]
            assert 'which belongs to the API' in rows['csr-api']['why'][0] and 'which belongs to the API' in rows['csr-vip']['why'][0]
            assert rows['csr-usages']['why'] == ['its usages are client auth, digital signature, server auth']
            assert rows['csr-nobody']['why'] == ['no machine is known whose Node is w-9'] and not rows['csr-right']['issued']

            done = one.run(MODULE)
            assert done['approved'] == ['csr-right'] and done['diff'] == told['diff'] and 'csr-right (w-1): Approved,Issued' in done['diff']['after']
            right = next(row for row in done['requests'] if row['name'] == 'csr-right')
            assert right['issued'] and right['valid_until'].startswith('20') and right['dns'] == ['w-1'] and right['ips'] == [one.address('w-1')]
            assert states(one) == {**before, 'csr-right': ['Approved']} and one.changes() == ['update certificatesigningrequests/approval csr-right']

            again = one.run(MODULE)
            assert again['changed'] is False and again['approved'] == [] and 'csr-right' not in [row['name'] for row in again['requests']]
            assert one.run(MODULE, csrs=['csr-right'])['requests'][0]['verdict'] == 'issued'
            assert len(one.changes()) == 1

    @pytest.mark.parametrize('name, why', [
        ('csr-foreign', 'must not be approved: .* is not of this machine'), ('csr-vip', 'must not be approved: it asks for .*, which belongs to the API'),
        ('csr-older', 'is held: a newer request of the same kubelet is there'), ('csr-client', 'must not be approved: its signer is '),
        ('csr-none', 'There is no request csr-none'),
    ])
    def test_one_that_is_asked_for_by_name_and_may_not_be_approved_fails_before_anything_is_sent(self, name, why):
        with bed(state(RIGHT, OLDER, FOREIGN, VIP, CLIENT)) as one:
            refused(one, why, csrs=['csr-right', name])

    def test_a_machine_that_does_not_answer_and_a_node_that_is_not_expected_are_held(self):
        with bed(state(RIGHT, csr('csr-w2', 'w-2', 22))) as one:
            one.cluster.kill('w-2')
            told = {row['name']: row for row in one.run(MODULE, check=True, expected_nodes=['cp-1', 'w-2'])['requests']}
            assert told['csr-w2']['verdict'] == 'hold' and 'the machine was not read' in told['csr-w2']['why'][0]
            assert told['csr-right']['verdict'] == 'hold' and told['csr-right']['why'] == ['w-1 is not among the expected nodes']
            assert one.changes() == []

    def test_without_os_admin_a_kubeconfig_is_needed(self, tmp_path):
        with bed(state(RIGHT, **WITHOUT)) as one:
            with pytest.raises(RoleRefused) as caught:
                one.run(MODULE)
            assert caught.value.hint == 'Give a kubeconfig, or use a talosconfig of the role os:admin.' and one.changes() == []
            assert one.run(MODULE, kubeconfig=str(one.cluster.directory / 'kubeconfig'))['approved'] == ['csr-right']
        with bed(state(RIGHT)) as one:
            path = tmp_path / 'reader'
            path.write_text(one.cluster.kubeconfig_of('somebody', ['readers']))
            with pytest.raises(TalosError, match='403|forbidden'):
                one.run(MODULE, kubeconfig=str(path))
            assert states(one)['csr-right'] == []

    def test_a_connection_that_breaks_after_the_approval_was_sent_is_looked_into_and_not_sent_again(self):
        def approves(name):
            return name.endswith('/approval')

        with bed(state(RIGHT)) as one:
            with cut(1, UNSENT, approves), pytest.raises(TalosError, match='^The approval of the request csr-right did not reach the API: it is pending'):
                one.run(MODULE)
            with cut(1, UNANSWERED, approves) as cuts:
                assert one.run(MODULE)['requests'][0]['issued'] and len(one.changes()) == 1 and len(cuts) == 1


class TestSimulated(OfAnyApi):
    """With the simulated one."""


def test_while_etcd_takes_no_writes_nothing_is_approved():
    full = {'etcd': {'db_mb': 2050, 'in_use_mb': 300, 'quota_mb': 2048, 'alarms': [{'member': 'cp-1', 'alarm': 'NOSPACE'}]}}
    with bed(state(RIGHT, **full)) as one:
        refused(one, '^No request can be approved: etcd takes no writes: the alarm NOSPACE stands')
    with bed(state(FOREIGN, **full)) as one:
        assert one.run(MODULE)['changed'] is False, 'nothing is to be written'


def test_one_that_is_approved_and_not_signed_is_told(monkeypatch):
    monkeypatch.setattr(kubernetes_csrs, 'settle', lambda model, item: None)
    with bed(state(RIGHT)) as one:
        with pytest.raises(TalosError, match='^The request csr-right was approved, and no certificate was issued within 0.2 s'):
            one.run(MODULE, wait=0.2)
        again = one.run(MODULE)
        assert again['changed'] is False and len(one.changes()) == 1, 'an approval is never sent twice'
