# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in the certificates of control plane nodes: when they may be added, on changed recordings, and talos_certsans in simulated clusters."""

from __future__ import annotations

import json
from unittest import mock

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.remedies import certsans as rules
from ansible_collections.talosops.talos.plugins.module_utils.remedies import steady
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum, Endpoint
from ansible_collections.talosops.talos.plugins.module_utils.tasks import certsans, config_change, config_patch
from tests.simulator import config_documents as documents
from tests.unit.guide.judging import lose, node, old, planes, recording
from tests.unit.guide.kubernetes_api_states import configured
from tests.unit.remedies.simulated import UNANSWERED, bed, cut

LB = 'lb.example.net'
VIP = '10.5.0.100'


def view(snapshot):
    return View(snapshot, settings.build(()))


def dialled(snapshot, host=LB, addresses=(), **more):
    """A recording in which this endpoint was dialled too, and its certificate was that of a control plane node."""
    snapshot.endpoints.append(Endpoint(host, host, 50000, addresses=list(addresses), certificate=node(snapshot, 'cp2').value('certificate'),
                                       error={'kind': 'wrong_name', 'text': 'not valid for it'}, **more))
    return snapshot


def reasons(snapshot, names=(LB,), lists=('machine',), **more):
    return rules.against(view(snapshot), names, lists, **more)


# -- what is missing ----------------------------------------------------------------------------------------------

def test_what_is_missing_in_the_recording_where_one_node_has_it():
    snapshot = recording('nospace-alarm')
    assert rules.missing(view(snapshot), [LB], ['machine']) == {'cp2': {'machine': [LB]}, 'cp3': {'machine': [LB]}}
    assert rules.missing(view(snapshot), [LB.upper()], nodes=['cp1', '10.5.0.3']) == {'cp1': {'api_server': [LB]},
                                                                                      'cp2': {'machine': [LB], 'api_server': [LB]}}
    assert rules.missing(view(snapshot), [VIP], ['api_server']) == {} and rules.missing(view(snapshot), ['cp1'], ['machine'], ['cp1']) == {}


def test_what_is_configured_is_not_missing():
    snapshot = old()
    for machine in planes(snapshot):
        told = machine.resource('MachineConfigs', 'v1alpha1')
        told['v1alpha1']['machine']['certSANs'] = [LB]
        told['others']['KubeAPIServerConfig'] = [{'certExtraSANs': [LB]}]
    assert rules.missing(view(snapshot), [LB]) == {}
    for machine in planes(snapshot):
        lose(machine, 'MachineConfigs')
    assert set(rules.missing(view(snapshot), [LB])) == {'cp1', 'cp2', 'cp3'}


def test_wildcards_and_addresses():
    assert rules.covered({'*.example.net'}, LB) and not rules.covered({'*.net'}, LB) and not rules.covered({'*.0.0.1'}, '10.0.0.1')
    assert rules.covered({'fd00::1'}, 'FD00:0::1')


# -- when it may be -----------------------------------------------------------------------------------------------

def test_a_balancer_that_is_dialled_may_be_added():
    assert reasons(dialled(old())) == []
    assert reasons(dialled(old(), '10.5.0.60'), ['10.5.0.60']) == []
    assert reasons(dialled(old(), addresses=['10.5.0.60'])) == []
    assert reasons(old(), resolved={LB: ['10.5.0.2', '10.5.0.3']}) == [], 'it leads to control plane nodes'
    assert reasons(dialled(old(), '10.5.0.60'), resolved={LB: ['10.5.0.60']}) == [], 'it leads to a balancer that is dialled'
    assert reasons(old(), [VIP], ['api_server']) == [], 'the VIP is right for the API server'
    snapshot = old()
    configured(snapshot, f'https://{LB}:6443')
    assert reasons(snapshot, lists=['api_server']) == [] and reasons(snapshot), 'the endpoint of Kubernetes, which is none of the Talos API'
    assert reasons(recording('nospace-alarm')) == [], 'its owner has given it to another node already'


@pytest.mark.parametrize('snapshot, names, lists, why', [
    (old, [LB], ['machine'], f'nobody dials {LB}: it is no endpoint of the talosconfig'),
    (old, [VIP], ['machine'], f'{VIP} is the virtual IP, which the guide forbids as an endpoint of the Talos API'),
    (lambda: dialled(old(), addresses=[VIP]), [LB], ['machine'], f'{LB} is the virtual IP by its address'),
    (old, ['10.5.0.5'], ['machine'], '10.5.0.5 leads to w1, which is a worker'),
    (old, ['w1'], ['api_server'], 'w1 leads to w1, which is a worker'),
    (lambda: dialled(old(), addresses=['10.5.0.5']), [LB], ['machine'], f'{LB} leads to w1'),
    (lambda: dialled(old(), '10.244.3.4'), ['10.244.3.4'], ['machine'], '10.244.3.4 lies in 10.244.0.0/16, a network of pods or services'),
    (old, ['https://x.example.net'], ['machine'], 'is neither a DNS name nor an address'), (old, ['*.example.net'], ['machine'], 'is neither a DNS name'),
    (old, ['127.0.0.1'], ['api_server'], '127.0.0.1 names the machine itself'),
])
def test_names_that_are_not_added(snapshot, names, lists, why):
    found = reasons(snapshot(), names, lists)
    assert len(found) == 1 and why in found[0], found


def test_a_name_that_leads_elsewhere():
    assert 'leads to 192.0.2.1, which is neither a control plane node nor an endpoint' in reasons(old(), resolved={LB: ['192.0.2.1']})[0]
    snapshot = dialled(old())
    snapshot.endpoints[-1].certificate, snapshot.endpoints[-1].error = None, {'kind': 'refused', 'text': 'connection refused'}
    assert reasons(snapshot) == [f'no control plane node was seen to answer under {LB} (connection refused)']


def one(change):
    snapshot = dialled(old())
    change(snapshot)
    return reasons(snapshot)


@pytest.mark.parametrize('change, why', [
    (lambda s: node(s, 'cp3').__dict__.update(answered=False), 'cp3 does not answer'),
    (lambda s: node(s, 'cp1').data.update(certificate=Datum('read', {**node(s, 'cp1').value('certificate'), 'ips': ['127.0.0.1']})),
     'the certificate of cp1 names none of its own addresses'),
    (lambda s: [lose(node(s, 'cp1'), kind) for kind in ('certificate', 'CertSANs')], 'which names the certificate of cp1 has is not known'),
    (lambda s: node(s, 'cp2').resource('MachineStatuses', 'machine').update(stage='upgrading'), 'cp2 is upgrading'),
    (lambda s: lose(node(s, 'cp2'), 'MachineStatuses'), 'the stage of cp2 is not known'),
    (lambda s: node(s, 'cp2').value('EtcdStatus').update(leader='0' * 16), 'knows no leader'),
    (lambda s: lose(node(s, 'cp2'), 'EtcdMemberList'), 'cp2 did not give its list of etcd members'),
    (lambda s: [lose(machine, 'NodeIPConfigs') for machine in planes(s)], 'is the virtual IP is not known'),
    (lambda s: node(s, 'cp1').data.update(SiderolinkStatuses=Datum('read', [{'id': 'x', 'spec': {}}])), 'Omni manages this cluster'),
])
def test_the_cluster_must_be_well(change, why):
    found = one(change)
    assert found and any(why in reason for reason in found), found


def test_nodes_that_are_no_control_plane_nodes():
    assert any('w1 is a worker' in reason for reason in reasons(dialled(old()), nodes=['w1']))
    assert 'no machine of the cluster is none' in reasons(dialled(old()), nodes=['none'])


# -- in simulated clusters ----------------------------------------------------------------------------------------

BALANCED = {'client': {'endpoints': ['10.5.0.60', '10.5.0.11']}, 'setup': {'talos_balancer': '10.5.0.60'}}


@pytest.fixture(autouse=True)
def quick():
    with mock.patch.object(config_change, 'PAUSE', 0.02), mock.patch.object(config_patch, '_TRY_LEAST', 0.1), mock.patch.object(config_change, 'CONFIRM', 0.5):
        yield


@pytest.fixture
def run(tmp_path):
    def call(bed_, check=False, **options):
        return bed_.run('talos_certsans', check=check, **{'timeout': 4.0, 'backup_dir': str(tmp_path), **options})
    return call


def states(result):
    return {each['node']: each['state'] for each in result['nodes']}


def served(bed_, name):
    """What the check says is missing of a name."""
    return bed_.run('talos_certsans_check', names=[name])['missing'].get(name)


def test_a_balancer_broken_changed_and_then_left_alone(run):
    with bed(BALANCED) as each:
        name = each.model.setup['talos_balancer']
        assert served(each, name) == ['cp-1', 'cp-2', 'cp-3']
        told = run(each, check=True, names=[name], lists=['machine'])
        assert told['changed'] and each.changes() == [] and told['missing'] == {f'cp-{number}': {'machine': [name]} for number in (1, 2, 3)}
        done = run(each, names=[name], lists=['machine'])
        assert set(states(done).values()) == {'changed'} and len(done['backup_files']) == 3 and done['diff'] == told['diff'], done
        assert each.changes() == [f'ApplyConfiguration cp-{number} NO_REBOOT' for number in (1, 2, 3)]
        assert served(each, name) is None
        again = run(each, names=[name], lists=['machine'])
        assert not again['changed'] and again['nodes'] == [] and len(each.changes()) == 3
        assert all(not documents.v1alpha1(machine.config.active)['cluster'].get('apiServer', {}).get('certSANs') for machine in each.model.nodes.values())


def test_the_api_server_by_a_name_that_leads_to_control_plane_nodes(run):
    for form in ('v1alpha1', 'KubeAPIServerConfig'):
        with bed({'topology': {'cp': {'cp-1': '10.5.0.11'}, 'workers': {}}, 'etcd': {'members': {'cp-1': '1111111111111111'}}}) as each:
            machine = each.model.nodes['cp-1']
            if form != 'v1alpha1':
                first, *rest = machine.config.active
                cluster = {key: value for key, value in first['cluster'].items() if key != 'apiServer'}
                extra = {'apiVersion': 'v1alpha1', 'kind': form, 'image': 'registry.k8s.io/kube-apiserver:v1.36.3'}
                machine.config.active = machine.config.saved = documents.normalized([{**first, 'cluster': cluster}, *rest, extra])
            with mock.patch.object(certsans, '_resolved', lambda names: {'api.example.net': [each.address('cp-1')]}):
                done = run(each, names=['api.example.net'], lists=['api_server'])
            assert states(done) == {'cp-1': 'changed'}, done
            part = machine.config.cluster.get('apiServer') or {}
            if form == 'v1alpha1':
                assert part['certSANs'] == ['api.example.net']
            else:
                assert not part and machine.config.document(form)['certExtraSANs'] == ['api.example.net']
            assert not run(each, names=['api.example.net'], lists=['api_server'])['changed'] and len(each.changes()) == 1


def test_both_lists_on_trial(run):
    with bed(BALANCED) as each:
        name = each.model.setup['talos_balancer']
        done = run(each, names=[name], mode='try', try_timeout=30.0, nodes=['cp-2'])
        machine = each.model.nodes['cp-2']
        assert states(done) == {'cp-2': 'changed'} and each.changes() == ['ApplyConfiguration cp-2 TRY', 'ApplyConfiguration cp-2 NO_REBOOT']
        assert machine.config.machine['certSANs'] == [name] == machine.config.cluster['apiServer']['certSANs'] and machine.config.saved == machine.config.active


def test_a_trial_that_is_taken_back_takes_the_names_back(run):
    with bed(BALANCED) as each, mock.patch.object(steady, 'worse', lambda *_: ['kubelet is Waiting']):
        name, looked = each.model.setup['talos_balancer'], []
        real = certsans._Proof._served  # pylint: disable=protected-access

        def served_now(self, machine, which):
            looked.append((which, name in real(self, machine, which)[0]))
            return real(self, machine, which)

        with mock.patch.object(certsans._Proof, '_served', served_now):  # pylint: disable=protected-access
            done = run(each, names=[name], mode='try', try_timeout=2.5, nodes=['cp-2'])
        assert states(done) == {'cp-2': 'rolled_back'} and {('machine', True), ('api_server', True)} <= set(looked), (done, looked)
        again = run(each, check=True, names=[name], nodes=['cp-1', 'cp-3'])
        assert set(again['missing']) == {'cp-1', 'cp-3'} and served(each, name) == ['cp-1', 'cp-2', 'cp-3']


def test_a_certificate_that_does_not_follow_stops_it(run):
    with bed(BALANCED) as each, mock.patch.dict(certsans.SERVED_WITHIN, machine=0.3):
        name, real = each.model.setup['talos_balancer'], certsans._Proof._served  # pylint: disable=protected-access

        def other(self, machine, which):
            names, issuer = real(self, machine, which)
            return names - {name}, issuer

        with mock.patch.object(certsans._Proof, '_served', other):  # pylint: disable=protected-access
            done = run(each, names=[name], lists=['machine'])
        assert done['failed'] and sorted(states(done).values()) == ['failed', 'planned', 'planned'] and len(each.changes()) == 1
        assert f'does not name {name} yet, 0.3 s after it was changed' in done['msg']

        def foreign(self, machine, which):
            return real(self, machine, which)[0] - {'cp-2', 'cp-3', 'cp-1'}, 'O=other'

        with mock.patch.object(certsans._Proof, '_served', foreign):  # pylint: disable=protected-access
            done = run(each, names=[name], lists=['machine'])
        assert done['failed'] and 'any more; the certificate of apid on cp-' in done['msg'] and 'was issued by O=other, and not by O=talos' in done['msg']


@pytest.mark.parametrize('state, options, why', [
    ({}, {'names': ['VIP'], 'lists': ['machine']}, 'is the virtual IP, which the guide forbids'),
    ({}, {'names': ['nobody.example.invalid']}, 'nobody dials nobody.example.invalid'),
    ({}, {'names': []}, 'names is empty'), ({}, {'names': ['x.example.net'], 'lists': []}, 'lists is empty'),
    ({}, {'names': ['x.example.net'], 'nodes': ['w-1']}, 'w-1 is a worker'),
    ({'setup': {'managed_by': 'omni'}}, {'names': ['x.example.net']}, 'Omni manages this cluster'),
    ({'client': {'role': 'os:operator'}}, {'names': ['10.5.0.12']}, 'needs os:admin'),
])
def test_refused_and_nothing_sent(run, state, options, why):
    with bed(state) as each:
        before = {name: documents.text(machine.config.active) for name, machine in each.model.nodes.items()}
        options = {**options, **({'names': [each.model.vip]} if options['names'] == ['VIP'] else {}),
                   **({'names': [each.address('cp-2')]} if options['names'] == ['10.5.0.12'] else {})}
        with pytest.raises(TalosError, match=why):
            run(each, **options)
        assert each.changes() == [] and before == {name: documents.text(machine.config.active) for name, machine in each.model.nodes.items()}


def test_a_control_plane_node_is_down(run):
    with bed(BALANCED) as each:
        each.cluster.kill('cp-3')
        with pytest.raises(TalosError, match='cp-3 does not answer'):
            run(each, names=[each.model.setup['talos_balancer']], lists=['machine'])
        assert each.changes() == []


def test_an_answer_that_is_lost(run):
    with bed(BALANCED) as each:
        name = each.model.setup['talos_balancer']
        with cut(5, UNANSWERED, lambda called: called == 'ApplyConfiguration'):  # after three dry runs and one change
            done = run(each, names=[name], lists=['machine'])
        assert set(states(done).values()) == {'changed'} and 'did not answer ApplyConfiguration' in done['warnings'][0], done
        assert len(each.changes()) == 3 and served(each, name) is None


def test_no_secret_in_the_result(run):
    with bed(BALANCED) as each:
        done = run(each, names=[each.model.setup['talos_balancer']])
        first = documents.v1alpha1(each.model.nodes['cp-1'].config.active)
        text = json.dumps(done)
        for secret in (first['machine']['token'], first['cluster']['token'], first['machine']['ca']['key'], first['machine']['ca']['crt']):
            assert secret not in text
