# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_kubernetes_csr against the real API: kubelets ask, what is right is approved by rule, and kube-controller-manager signs it."""

from __future__ import annotations

import pytest
from cryptography import x509

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from tests.contract.kubernetes.policies import denies
from tests.contract.kubernetes.waiting import until
from tests.simulator import kubernetes_csrs
from tests.simulator.kubernetes_client import Refused
from tests.simulator.kubernetes_real import CSRS
from tests.unit.remedies import test_kubernetes_csr as simulated
from tests.unit.remedies.test_kubernetes_csr import FOREIGN, MODULE, RIGHT, csr, state


@pytest.fixture(autouse=True)
def with_the_real_api(real, plane, monkeypatch):
    monkeypatch.setattr(simulated, 'bed', real)
    monkeypatch.setattr(simulated, 'states', lambda _one: states(plane))


class TestReal(simulated.OfAnyApi):
    """With the real one."""


def states(plane):
    return {item['metadata']['name']: sorted(each['type'] for each in item['status'].get('conditions') or ()) for item in plane.admin.get(CSRS)['items']}


def test_the_kubelet_takes_its_certificate_and_its_diagnostic_ends(real, plane):
    told = state(RIGHT, diagnostics=[{'node': 'w-1', 'id': 'kubelet-csr'}, {'node': 'w-2', 'id': 'kubelet-csr'}])
    with real(told) as one:
        kubelet = one.cluster.kubelets.of['w-1']
        assert kubelet.certificate is None
        done = one.run(MODULE)
        assert done['approved'] == ['csr-right']
        until(lambda: kubelet.certificate is not None and [each['node'] for each in one.model.state['diagnostics']] == ['w-2'])
        names = kubelet.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usages = kubelet.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert names.get_values_for_type(x509.DNSName) == ['w-1'] and [str(each) for each in names.get_values_for_type(x509.IPAddress)] == [one.address('w-1')]
        assert list(usages) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
        assert kubelet.certificate.subject.rfc4514_string() == 'CN=system:node:w-1,O=system:nodes'
        kubelet.certificate.verify_directly_issued_by(plane.authority.certificate)


def test_the_api_server_trusts_a_kubelet_whose_request_was_approved(real, plane):
    """Logs and exec go to kubelets, whose certificates are verified: what an unapproved request breaks."""
    with real(state(RIGHT)) as one:
        kubelet = one.cluster.kubelets.of['w-1']
        pod = next(item['metadata']['name'] for item in plane.admin.get('/api/v1/namespaces/kube-system/pods')['items']
                   if item['spec'].get('nodeName') == 'w-1' and item['metadata']['name'].startswith('kube-proxy-'))
        path = f'/api/v1/namespaces/kube-system/pods/{pod}/log'
        with kubelet.serving(plane.authority):
            status, said = plane.admin.call('GET', path)
            assert status == 500 and 'certificate signed by unknown authority' in said['message']
        one.run(MODULE)
        until(lambda: kubelet.certificate is not None)
        with kubelet.serving(plane.authority):
            assert plane.admin.call('GET', path) == (200, 'a line of a log\n')


UNSIGNED = [csr('csr-usages', 'w-1', 21, usages=['digital signature', 'server auth', 'client auth']), {**csr('csr-names', 'w-1', 21), 'dns': [], 'ips': []}]


@pytest.mark.parametrize('told', UNSIGNED, ids=lambda told: told['name'])
def test_what_the_controller_manager_does_not_sign_it_does_not_sign_in_the_simulator_either(real, plane, told):
    """Approved by somebody who does not know the rules: both say why, in the same words."""
    with real(state(told)) as one:
        path = f'{CSRS}/{told["name"]}'
        item = plane.admin.get(path)
        approved = {'type': 'Approved', 'status': 'True', 'reason': 'Somebody'}
        plane.admin.ask('PUT', f'{path}/approval', {**item, 'status': {'conditions': [approved]}})
        until(lambda: 'Failed' in states(plane)[told['name']])
        item = plane.admin.get(path)
        simulated_one = {**item, 'status': {'conditions': [each for each in item['status']['conditions'] if each['type'] == 'Approved']}}
        kubernetes_csrs.settle(one.model, simulated_one)
        ours, theirs = ([(each['type'], each['reason'], each.get('message')) for each in each_one['status']['conditions'] if each['type'] == 'Failed']
                        for each_one in (simulated_one, item))
        assert ours == theirs and 'certificate' not in simulated_one['status']
        assert one.run(MODULE)['changed'] is False


def test_one_that_is_approved_and_not_signed_is_told(real, plane):
    with real(state(RIGHT)) as one:
        plane.manager.pause()
        try:
            with pytest.raises(TalosError, match='^The request csr-right was approved, and no certificate was issued within 0.5 s'):
                one.run(MODULE, wait=0.5)
        finally:
            plane.manager.resume()
        assert one.changes() == ['update certificatesigningrequests/approval csr-right']
        until(lambda: one.run(MODULE, csrs=['csr-right'])['requests'][0]['verdict'] == 'issued')
        assert len(one.changes()) == 1, 'an approval is never sent twice'


def test_an_approval_that_a_policy_denies(real, plane):
    with real(state(RIGHT)) as one, denies(plane, 'certificates.k8s.io', 'certificatesigningrequests/approval', 'UPDATE', 'approvals are made on Tuesdays'):
        with pytest.raises(TalosError, match="csr-right.*denied request: approvals are made on Tuesdays"):
            one.run(MODULE)
        assert states(plane) == {'csr-right': []}


def test_the_api_takes_no_request_of_another_node(real, plane):
    """NodeRestriction: a kubelet asks for a certificate of its own Node alone, so no scenario can have it otherwise."""
    kubelet = plane.api('system:node:w-1', ['system:nodes'])
    with real(state(FOREIGN)) as one:
        request = plane.admin.get(f'{CSRS}/csr-foreign')['spec']
        assert request['username'] == 'system:node:w-2' and request['groups'] == ['system:nodes', 'system:authenticated']
        body = {'metadata': {'name': 'csr-w1'}, 'spec': {key: request[key] for key in ('request', 'signerName', 'usages')}}
        with pytest.raises(Refused, match='can only create a node CSR with CN=system:node:w-1'):
            kubelet.ask('POST', CSRS, body)
        assert one.changes() == []
    kubelet.close()
