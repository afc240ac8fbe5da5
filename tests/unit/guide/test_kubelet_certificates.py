# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serving certificates and requests for them; certificates that are not accepted."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import kubelet
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests import recorded
from tests.unit.guide.judging import READ, ago, findings, lose, node, old, one, recording, unreachable, verdict_of
from tests.unit.guide.kubelet_changes import (
    aged, assertion, controller_failed, csr, diagnose_csr, kube, log, lose_kube, managed, node_object, raise_alarm, report,
)

CHECK, MISSING, API, CLIENT = ('kubelet.serving_csr_pending', 'kubelet.serving_certificate_missing', 'kubelet.api_refused',
                               'kubelet.client_certificate_refused')
TLS = ('error refreshing pod status: error fetching pod status: Get "https://127.0.0.1:10250/pods/?timeout=30s": remote error: tls: internal error')


def section(judged):
    return [f for f in findings(judged, worse_than='info') if f['section'] == 'kubelet.cert_errors']


@pytest.mark.parametrize('name', recorded.SETS)
@pytest.mark.parametrize('make', [recording, old])
def test_recorded_certificates_are_fine(name, make):
    """31 failures of the KubeletStaticPodController in eight minutes stand in the log of each healthy control plane node."""
    judged = report(make(name))
    assert judged['sections']['kubelet.cert_errors']['verdict'] == 'ok'


def test_the_failures_of_a_bootstrap_are_there():
    assert recording().machines[0].log('controller-runtime').value.count('KubeletStaticPodController') > 10


# -- requests ---------------------------------------------------------------------------------------------------

def test_a_request_that_may_be_approved():
    snapshot = aged()
    csr(snapshot, age=3300)
    diagnose_csr(snapshot, 'w1')
    judged = report(snapshot)
    finding = one(judged, CHECK)
    assert (finding['verdict'], finding['subject'], finding['nodes'], finding['root']) == ('warning', 'w1', ['w1'], True)
    assert finding['title'] == 'w1 waits for 55 min for its serving certificate: request csr-1 is pending; it is right and may be approved'
    assert finding['remedy'] == {'name': 'kubelet_serving_csr', 'args': {'csr': 'csr-1'}}
    assert 'kubectl certificate approve csr-1' in finding['next_step'] and 'No approver was seen' in finding['means']
    assert [e['source'] for e in finding['evidence']] == ['Kubernetes csrs', 'Diagnostics']
    assert findings(judged, MISSING) == [], 'one fact, one finding'


@pytest.mark.parametrize('age, verdict', [(299, 'info'), (301, 'warning')])
def test_an_approver_needs_a_moment(age, verdict):
    snapshot = aged()
    csr(snapshot, age=age)
    assert one(report(snapshot), CHECK)['verdict'] == verdict


def test_a_new_machine_needs_some_minutes():
    snapshot = aged()
    csr(snapshot, age=400)
    node(snapshot, 'w1').value('MachineStatuses')[0]['created'] = ago(snapshot, 500)
    assert one(report(snapshot), CHECK)['verdict'] == 'info'


def test_a_kubelet_that_asks_every_quarter_of_an_hour_waits_since_its_first_request():
    snapshot = aged()
    csr(snapshot, 'csr-0', age=9000, state='Issued')
    csr(snapshot, 'csr-1', age=1900)
    csr(snapshot, 'csr-2', age=1000)
    csr(snapshot, 'csr-3', age=100)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'warning' and 'waits for 31 min' in finding['title'] and finding['remedy']['args'] == {'csr': 'csr-3'}


def test_a_request_that_was_overtaken_does_not_count():
    snapshot = aged()
    csr(snapshot, 'csr-1', age=4000)
    csr(snapshot, 'csr-2', age=1000, state='Issued')
    assert findings(report(snapshot), CHECK) == []


def test_a_foreign_request_is_a_warning_of_its_own_at_any_age():
    snapshot = aged()
    csr(snapshot, 'csr-odd', age=9, ips=['10.5.0.100'], dns=['kubernetes'])
    csr(snapshot, 'csr-right', of='cp1', ips=['10.5.0.2'], dns=['cp1'])
    found = {f['subject']: f for f in findings(report(snapshot), CHECK)}
    assert 'csr-odd of system:node:w1 must not be approved: it asks for kubernetes, 10.5.0.100' in found['w1']['title']
    assert found['w1']['verdict'] == 'warning' and found['w1']['remedy'] is None and 'approve csr' not in found['w1']['next_step']
    assert found['cp1']['remedy']


def test_a_node_that_only_kubernetes_knows():
    snapshot = aged()
    csr(snapshot, of='w9', ips=['10.5.0.29'], dns=['w9'])
    assert 'no machine is known whose Node is w9' in one(report(snapshot), CHECK)['title']


def test_a_machine_that_cannot_be_asked():
    snapshot = aged()
    csr(snapshot)
    unreachable(node(snapshot, 'w1'))
    finding = one(report(snapshot), CHECK)
    assert 'it must wait: the machine was not read' in finding['title'] and finding['remedy'] is None


def test_addresses_that_the_cloud_gives():
    snapshot = aged()
    csr(snapshot, ips=['10.5.0.5', '203.0.113.5'])
    node_object(snapshot, 'w1')['addresses'].append({'type': 'ExternalIP', 'address': '203.0.113.5'})
    assert 'by Kubernetes alone' in one(report(snapshot), CHECK)['title']


def test_nothing_is_approved_before_etcd_takes_writes():
    snapshot = aged()
    csr(snapshot)
    raise_alarm(snapshot)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'warning' and finding['root'] and finding['remedy']
    assert finding['next_step'].startswith('First repair etcd (the alarm NOSPACE stands)') and 'once etcd takes writes again' in finding['title']


@pytest.mark.parametrize('state, said', [('Denied', 'was denied'), ('Failed', 'was not signed'), ('Approved', 'was approved and is not signed')])
def test_requests_that_came_to_nothing(state, said):
    snapshot = aged()
    csr(snapshot, state=state)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'warning' and said in finding['title'] and finding['remedy'] is None


def test_a_moment_passes_between_approval_and_certificate():
    snapshot = aged()
    csr(snapshot, state='Approved', age=20)
    assert one(report(snapshot), CHECK)['verdict'] == 'info'


@pytest.mark.parametrize('how, verdict', [('argument', 'warning'), ('field', 'warning'), ('off', 'info'), ('nothing', 'info'),
                                          ('diagnostic', 'warning')])
def test_it_matters_only_where_the_kubelet_uses_it(how, verdict):
    snapshot = aged()
    csr(snapshot)
    spec = node(snapshot, 'w1').value('KubeletSpecs')[0]['spec']
    spec['args'] = [arg for arg in spec['args'] if not arg.startswith('--rotate-server')]
    if how == 'argument':
        spec['args'].append('--rotate-server-certificates=true')
    elif how == 'field':
        spec['config']['serverTLSBootstrap'] = True
    elif how == 'off':
        spec['args'].append('--rotate-server-certificates=false')
    elif how == 'diagnostic':
        diagnose_csr(snapshot, 'w1')
    assert one(report(snapshot), CHECK)['verdict'] == verdict


def test_who_manages_the_cluster_is_named():
    snapshot = aged()
    csr(snapshot)
    managed(snapshot, 'w1')
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'warning' and finding['remedy'] is None and finding['next_step'].startswith('Cluster API')


def approver(snapshot, ready='False', **container):
    """A pod of an approver."""
    state = {'name': 'approver', 'init': False, 'ready': ready == 'True', 'restarts': 14, 'image': 'x', 'state': 'waiting',
             'reason': 'CrashLoopBackOff',
             'message': None, 'exit_code': None, 'since': None, 'last': {'reason': 'OOMKilled', 'exit_code': 137, 'at': None, 'message': None},
             **container}
    kube(snapshot, 'pods').append({'namespace': 'kubelet-serving-cert-approver', 'name': 'kubelet-serving-cert-approver-6f8c9d7b5c-x2k4q',
                                   'node': 'w1',
                                   'conditions': [{'type': 'Ready', 'status': ready}], 'containers': [state], 'phase': 'Running', 'labels': {},
                                   'owner': None,
                                   'reason': None, 'message': None, 'created': None, 'deleted': None, 'host_network': False, 'uid': 'u'})


def test_an_approver_that_crashes_is_named():
    snapshot = aged()
    csr(snapshot)
    approver(snapshot)
    finding = one(report(snapshot), CHECK)
    assert 'An approver is installed and does not run' in finding['means'] and 'OOMKilled' in finding['means']
    assert any('CrashLoopBackOff, OOMKilled, 14 restarts' in e['text'] for e in finding['evidence'])


def test_an_approver_that_runs_and_does_nothing():
    snapshot = aged()
    csr(snapshot)
    approver(snapshot, ready='True', state='running', reason=None, last=None)
    assert 'has not approved it' in one(report(snapshot), CHECK)['means']


def test_requests_that_were_not_read_do_not_move_the_section():
    snapshot = aged()
    lose_kube(snapshot, 'csrs')
    judged = report(snapshot)
    assert verdict_of(judged, CHECK) == 'unknown' and judged['sections']['kubelet.cert_errors']['verdict'] == 'ok'


# -- what Talos says --------------------------------------------------------------------------------------------

def test_a_reader_has_the_diagnostic():
    snapshot = aged('healthy-reader')
    diagnose_csr(snapshot, 'w1')
    judged = report(snapshot)
    finding = one(judged, MISSING)
    assert (finding['verdict'], finding['nodes']) == ('warning', ['w1']) and 'its request for one is not approved' in finding['title']
    assert judged['sections']['kubelet.cert_errors']['verdict'] == 'warning'


def test_a_kubelet_without_a_certificate_and_without_a_request():
    snapshot = aged()
    log(snapshot, 'cp1', 'controller-runtime', (20, controller_failed('KubeletStaticPodController', TLS)),
        (9, controller_failed('KubeletStaticPodController', TLS)))
    finding = one(report(snapshot), MISSING)
    assert finding['verdict'] == 'warning' and 'no request for one is listed' in finding['title']
    assert 'internal error' in finding['evidence'][0]['text']


@pytest.mark.parametrize('seconds, booted', [(400, 9000), (20, 300)])
def test_old_lines_and_young_machines_prove_nothing(seconds, booted):
    snapshot = aged()
    node(snapshot, 'cp1').value('MachineStatuses')[0]['created'] = ago(snapshot, booted)
    log(snapshot, 'cp1', 'controller-runtime', (seconds, controller_failed('KubeletStaticPodController', TLS)))
    assert findings(report(snapshot), MISSING) == []


def test_lines_from_before_the_certificate_are_history():
    snapshot = aged()
    log(snapshot, 'cp1', 'controller-runtime', (60, controller_failed('KubeletStaticPodController', TLS)))
    csr(snapshot, of='cp1', ips=['10.5.0.2'], dns=['cp1'], age=20, state='Issued')
    assert findings(report(snapshot), MISSING) == []


def test_diagnostics_of_a_young_machine_are_information():
    snapshot = aged('healthy-reader')
    diagnose_csr(snapshot, 'w1')
    node(snapshot, 'w1').value('MachineStatuses')[0]['created'] = ago(snapshot, 60)
    assert one(report(snapshot), MISSING)['verdict'] == 'info'


def test_other_diagnostics_are_others_business():
    snapshot = aged()
    node(snapshot, 'w1').data['Diagnostics'] = Datum(READ, [{'id': 'address-overlap', 'spec': {'message': 'x', 'details': []}}])
    assert findings(report(snapshot), MISSING) == []


def test_diagnostics_that_were_not_read():
    snapshot = aged()
    lose(node(snapshot, 'w1'), 'Diagnostics')
    assert one(report(snapshot), MISSING)['verdict'] == 'unknown'


# -- certificates that are not accepted -------------------------------------------------------------------------

@pytest.mark.parametrize('said, verdict', [
    ('error fetching pod status: Get "https://127.0.0.1:10250/pods": tls: failed to verify certificate: x509: certificate signed by unknown '
     'authority', 'error'),
    ('error fetching pod status: Unauthorized', 'error'),
    ('error fetching pod status: pods is forbidden: Forbidden (user=x, verb=get)', 'error'),
    ('error fetching pod status: Get "https://127.0.0.1:10250/pods": dial tcp 127.0.0.1:10250: connect: connection refused', 'ok'),
    ('error fetching pod status: an error on the server ("Authorization error (user=apiserver-kubelet-client, verb=get, resource=nodes, '
     'subresource=proxy)") has prevented the request from succeeding', 'ok'),
    (TLS, 'ok')])
def test_what_the_kubelet_says_to_talos(said, verdict):
    snapshot = aged()
    log(snapshot, 'cp1', 'controller-runtime', (20, controller_failed('KubeletStaticPodController', said)))
    assert verdict_of(report(snapshot), API) == verdict


def test_an_old_refusal_is_history():
    snapshot = aged()
    log(snapshot, 'cp1', 'controller-runtime', (400, controller_failed('KubeletStaticPodController', 'Unauthorized')))
    assert findings(report(snapshot), API) == []


EXPIRED = ('{"caller":"lease/controller.go:201","msg":"Failed to ensure lease exists, will retry","err":"Get \\"https://127.0.0.1:7445/x\\": tls: '
           'failed to '
           'verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-22T10:00:00Z is after 2026-11-01T00:00:00Z"}')
OWN = 'bootstrap.go:266] part of the existing bootstrap client certificate in /etc/kubernetes/kubeconfig-kubelet is expired: 2026-11-01 00:00:00'
REGISTRY = ('{"caller":"log.go:32","msg":"PullImage from image service failed","err":"rpc error: code = Unknown desc = failed to pull: tls: failed '
            'to verify '
            'certificate: x509: certificate has expired or is not yet valid"}')


@pytest.mark.parametrize('line', [EXPIRED, OWN])
def test_a_client_certificate_that_ran_out(line):
    snapshot = aged()
    log(snapshot, 'w1', 'kubelet', (30, line), (20, line))
    finding = one(report(snapshot), CLIENT)
    assert (finding['verdict'], finding['nodes']) == ('error', ['w1'])
    assert 'expired' in finding['title'] and '2 times' in finding['evidence'][0]['text']
    assert finding['remedy'] == {'name': 'kubelet_restart', 'args': {'node': node(snapshot, 'w1').key}}
    finding = one(report(snapshot, checks=(*kubelet.CHECKS, assertion(f'clock:{node(snapshot, "w1").key}'))), CLIENT)
    assert finding['because_of'] == ['x.cause/it']


@pytest.mark.parametrize('line, seconds', [(REGISTRY, 20), (EXPIRED, 400)])
def test_other_certificates_and_old_lines(line, seconds):
    snapshot = aged()
    log(snapshot, 'w1', 'kubelet', (seconds, line))
    assert findings(report(snapshot), CLIENT) == []


def test_a_ca_that_was_exchanged_is_information():
    snapshot = aged()
    log(snapshot, 'w1', 'controller-runtime',
        (20, 'kubelet client certificate does not match any accepted CAs, removing {"component": "controller-runtime"}'))
    assert one(report(snapshot), CLIENT)['verdict'] == 'info'


@pytest.mark.parametrize('check, log_id', [(API, 'controller-runtime'), (CLIENT, 'kubelet')])
def test_logs_that_were_not_read(check, log_id):
    snapshot = aged()
    lose(node(snapshot, 'cp1'), log_id, log=True)
    assert one(report(snapshot), check)['verdict'] == 'unknown'


def test_a_kubelet_that_never_ran_has_no_log():
    snapshot = aged()
    node(snapshot, 'w1').logs['kubelet'] = Datum('absent', reason='log "kubelet" was not registered')
    assert findings(report(snapshot), CLIENT) == []
