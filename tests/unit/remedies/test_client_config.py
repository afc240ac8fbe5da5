# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_client_config in simulated clusters: what is corrected, and when nothing is."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from tests.unit.remedies.simulated import bed

MODULE = 'talos_client_config'


def client(*endpoints, **more):
    return {'client': {'role': 'os:admin', 'cert_expires_days': 300, 'context_matches_cluster': True, 'endpoints': list(endpoints), **more}}


def file(bed_):
    return bed_.cluster.directory / 'talosconfig'


def endpoints(bed_):
    return yaml.safe_load(file(bed_).read_text())['contexts']['prod']['endpoints']


def refused(bed_, match, **options):
    """It is refused with this reason, and the file and the cluster stay as they are."""
    before = file(bed_).read_bytes()
    with pytest.raises(TalosError, match=match) as caught:
        bed_.run(MODULE, **options)
    assert file(bed_).read_bytes() == before and bed_.changes() == []
    return caught.value


def test_vip_worker_and_leftovers_go_and_what_is_missing_comes():
    with bed(client('10.5.0.10', '10.5.0.12', '10.5.0.21', '10.5.0.99')) as one:
        before, kept = file(one).read_text(), one.address('cp-2')
        file(one).chmod(0o644)
        told = one.run(MODULE, check=True)
        assert file(one).read_text() == before and stat.S_IMODE(file(one).stat().st_mode) == 0o644 and told['changed']
        done = one.run(MODULE, backup=True)
        assert {key: done[key] for key in done if key != 'backup_file'} == {key: told[key] for key in told if key != 'backup_file'}
        assert endpoints(one) == done['endpoints'] == [kept, one.address('cp-1'), one.address('cp-3')]
        whys = {each['endpoint'].rpartition('.')[2]: each['why'] for each in done['removed']}
        assert whys['10'] == 'it is the virtual IP of the Kubernetes API' and whys['21'].startswith('it is a worker')
        assert whys['99'].startswith('no machine of the cluster has this address')
        assert [each['node'] for each in done['added']] == ['cp-1', 'cp-3'] and done['reasons'][-1] == 'its mode is 0644'
        assert stat.S_IMODE(file(one).stat().st_mode) == 0o600
        backup = Path(done['backup_file'])
        assert backup.read_text() == before and stat.S_IMODE(backup.stat().st_mode) == 0o600
        key = yaml.safe_load(before)['contexts']['prod']['key']
        assert key not in str(done) and yaml.safe_load(file(one).read_text())['contexts']['prod']['key'] == key
        again = one.run(MODULE)
        assert again['changed'] is False and again['reasons'] == [] and again['backup_file'] is None and one.changes() == []


def test_a_control_plane_node_that_is_down_stays_and_one_that_was_replaced_goes():
    with bed() as one:
        one.cluster.kill('cp-3')
        assert one.run(MODULE)['changed'] is False


def test_a_replaced_control_plane_node():
    state = {
        'topology': {'cp': {'cp-1': '10.5.0.11', 'cp-2': '10.5.0.12', 'cp-3b': '10.5.0.33'}, 'workers': {'w-1': '10.5.0.21'}},
        'etcd': {'members': {'cp-1': '1111111111111111', 'cp-2': '2222222222222222', 'cp-3': '3333333333333333', 'cp-3b': '4444444444444444'},
                 'member_addresses': {'cp-3': '10.5.0.13'}, 'reachable': ['cp-1', 'cp-2', 'cp-3b']},
        'k8s': {'nodes': {'cp-1': 'Ready', 'cp-2': 'Ready', 'cp-3': {'ready': 'Unknown', 'since': '-3h', 'internal_ip': '10.5.0.13'}, 'cp-3b': 'Ready',
                          'w-1': 'Ready'}},
        **client('10.5.0.11', '10.5.0.12', '10.5.0.13')}
    with bed(state) as one:
        done = one.run(MODULE)
        assert endpoints(one) == [one.address(name) for name in ('cp-1', 'cp-2', 'cp-3b')]
        assert done['removed'][0]['why'] == 'cp-3 is gone: discovery has forgotten it, and nothing answers there'
        assert 'cp-3' in done['warnings'][0] and 'was left out' in done['warnings'][0]
        assert one.run(MODULE, expected_nodes=['cp-3'])['added'][0]['node'] == 'cp-3', 'who is expected is not taken for gone'


@pytest.mark.parametrize('state, why', [
    ({'nodes': {name: {'services': {'etcd': ['Preparing', '?']}} for name in ('cp-1', 'cp-2', 'cp-3')}}, 'no etcd member list was read'),
    ({'faults': {'hanging_calls': {name: ['EtcdMemberList'] for name in ('cp-1', 'cp-2', 'cp-3')}}}, 'no etcd member list was read'),
    ({'faults': {'hanging_calls': {name: ['NodeIPConfigs'] for name in ('cp-1', 'cp-2', 'cp-3')}}}, 'the virtual IPs were not read'),
])
def test_nothing_is_decided_before_all_control_plane_nodes_are_known(state, why):
    with bed({**client('10.5.0.10', '10.5.0.11'), **state}) as one:
        error = refused(one, f'^Not all control plane nodes are known for sure: {why}', timeout=1.5, deadline=20.0)
        assert 'control_plane_endpoints' in error.hint
        explicit = [one.address('cp-1'), one.address('cp-2'), one.address('cp-3')]
        if 'NodeIPConfigs' not in str(state):
            assert one.run(MODULE, control_plane_endpoints=explicit, timeout=1.5, deadline=20.0)['changed'] and endpoints(one) == explicit


def test_a_list_of_ones_own_is_held_against_the_cluster():
    with bed(client('10.5.0.11')) as one:
        cps = [one.address(name) for name in ('cp-2', 'cp-3')]
        refused(one, 'no fit endpoint: it is a worker', control_plane_endpoints=[*cps, one.address('w-1')])
        refused(one, 'no fit endpoint: it is the virtual IP', control_plane_endpoints=[one.model.vip])
        refused(one, 'no fit endpoint: no machine of the cluster has this address', control_plane_endpoints=['127.5.9.9'], timeout=2.0)
        done = one.run(MODULE, control_plane_endpoints=cps)
        assert endpoints(one) == cps and done['warnings'] == ['cp-1 would be no endpoint, though a control plane node.']
        assert one.run(MODULE, control_plane_endpoints=cps)['changed'] is False


def test_when_the_file_leads_nowhere_the_cluster_is_reached_by_the_option():
    with bed(client('10.5.0.98', '10.5.0.99')) as one:
        refused(one, 'could be used|none answered', timeout=2.0)
        done = one.run(MODULE, endpoints=[one.address('cp-2')], timeout=3.0)
        assert endpoints(one) == [one.address(name) for name in ('cp-1', 'cp-2', 'cp-3')] and len(done['removed']) == 2


def test_what_the_role_may_read_suffices_and_a_changed_file_is_not_overwritten(monkeypatch):
    from ansible_collections.talosops.talos.plugins.module_utils.tasks import client_config
    with bed(client('10.5.0.10', '10.5.0.11', role='os:reader')) as one:
        before, decide = file(one).read_text(), client_config.decide

        def meanwhile(params, say):
            found = decide(params, say)
            file(one).write_text(before.replace(one.address('cp-1'), '10.9.9.9'))
            return found

        with monkeypatch.context() as patch, pytest.raises(TalosError, match='were changed by somebody else meanwhile'):
            patch.setattr(client_config, 'decide', meanwhile)
            one.run(MODULE)
        assert '10.9.9.9' in file(one).read_text()
        file(one).write_text(before)
        assert one.run(MODULE)['changed'] and len(endpoints(one)) == 3


def test_a_balancer_that_leads_to_control_plane_nodes_stays_unless_it_is_not_wanted():
    with bed({**client('10.5.0.60', '10.5.0.21'), 'setup': {'talos_balancer': '10.5.0.60', 'cert_sans': ['10.5.0.60']}}) as one:
        balancer = one.model.setup['talos_balancer']
        done = one.run(MODULE)
        assert endpoints(one) == [balancer, *(one.address(name) for name in ('cp-1', 'cp-2', 'cp-3'))] == done['endpoints']
        assert [each['endpoint'] for each in done['removed']] == [one.address('w-1')]
        gone = one.run(MODULE, keep_balancers=False)
        assert gone['removed'] == [{'endpoint': balancer, 'why': 'no machine has this address: it is a load balancer'}] and balancer not in endpoints(one)
        assert one.run(MODULE)['changed'] is False
