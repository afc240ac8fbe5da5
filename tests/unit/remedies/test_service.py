# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_service in simulated clusters: what Talos allows is done and watched, and nothing else is sent."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import RoleRefused, TalosError, TransportError
from ansible_collections.talosops.talos.plugins.module_utils.api.machine import Machine
from tests.unit.remedies.simulated import bed

MODULE = 'talos_service'
FAILED = {'nodes': {'w-1': {'services': {'kubelet': ['Failed', '?']}}}}
EXTENSIONS = {'nodes': {name: {'services': {'ext-net': ['Running', '?']}} for name in ('cp-1', 'w-1')}}


def run(one, check=False, **options):
    return one.run(MODULE, check=check, **{'node': 'w-1', 'service': 'kubelet', 'state': 'restarted', 'wait': 20.0, 'timeout': 4.0, **options})


def refused(one, match, **options):
    before = {name: dict(node.services) for name, node in one.model.nodes.items()}
    with pytest.raises(TalosError, match=match) as caught:
        run(one, **options)
    assert one.changes() == [] and {name: dict(node.services) for name, node in one.model.nodes.items()} == before
    return caught.value


def test_a_kubelet_that_failed_is_restarted_once_and_then_left_alone():
    with bed(FAILED) as one:
        told = run(one, check=True, only_unhealthy=True)
        assert told['changed'] and told['state'] == 'Failed' and told['reason'] == 'it is Failed' and one.changes() == []
        done = run(one, only_unhealthy=True)
        assert (done['changed'], done['state'], done['healthy'], done['message']) == (True, 'Running', True, 'Health check successful')
        assert done['diff'] == told['diff'] and done['diff']['after'] == 'restarted\n' and one.changes() == ['ServiceRestart w-1']
        again = run(one, only_unhealthy=True)
        assert again['changed'] is False and again['reason'] is None and again['state'] == 'Running' and len(one.changes()) == 1


def test_started_and_restarted():
    with bed(FAILED) as one:
        assert run(one, state='started')['changed'] and not run(one, state='started')['changed'] and one.changes() == ['ServiceStart w-1']
        done = run(one, node=one.address('cp-2'))
        assert done['changed'] and done['node'] == 'cp-2' and done['healthy'] and one.changes()[0] == 'ServiceRestart cp-2'


@pytest.mark.parametrize('options, why', [
    ({'service': 'etcd', 'node': 'cp-1'}, '^etcd cannot be started, stopped or restarted over the API'),
    ({'service': 'apid'}, '^Talos does not let the service apid be restarted over the API, only kubelet and extensions'),
    ({'state': 'stopped'}, '^Talos lets the kubelet be started and restarted over the API, but not stopped'),
    ({'service': 'ext-none'}, '^w-1 has no service ext-none'), ({'node': 'w-77'}, '^No machine of the cluster is w-77'),
    ({'node': 'VIP'}, 'is the virtual IP, which wanders'), ({'wait': -1.0}, 'wait must be'),
])
def test_what_is_refused_on_every_machine(options, why):
    with bed() as one:
        refused(one, why, **({'node': one.model.vip} if options == {'node': 'VIP'} else options))


def test_a_machine_that_is_down_or_under_way_or_was_not_read():
    with bed({'nodes': {'w-1': {'machine_status': {'stage': 'upgrading', 'ready': False, 'unmet': []}}}}) as one:
        refused(one, '^The service kubelet of w-1 is not restarted. w-1 is upgrading: leave it alone until that has ended')
        one.cluster.kill('w-2')
        refused(one, '^w-2 does not answer: ', node='w-2')
    with bed({'faults': {'hanging_calls': {'w-1': ['MachineStatuses']}}}) as one:
        refused(one, 'The stage of w-1 was not read', timeout=1.0)


def test_an_extension_of_an_etcd_member_is_left_alone_while_no_failure_is_tolerated():
    with bed(EXTENSIONS) as one:
        assert run(one, node='cp-1', service='ext-net')['state'] == 'Running' and one.changes() == ['ServiceRestart cp-1']
        assert run(one, service='ext-net', state='stopped')['state'] == 'Finished' and not run(one, service='ext-net', state='stopped')['changed']
        assert run(one, service='ext-net', state='started')['changed'] and not run(one, service='ext-net', state='started')['changed']
    with bed(EXTENSIONS) as one:
        one.cluster.kill('cp-3')
        refused(one, r'etcd tolerates no failure now \(2 of 3 voters are healthy, 2 are the quorum\), and ext-net may carry', node='cp-1', service='ext-net')
        assert run(one, node='cp-1')['healthy'], 'the kubelet of the same machine stops no voter'
    with bed({**EXTENSIONS, 'faults': {'hanging_calls': {name: ['EtcdMemberList'] for name in ('cp-1', 'cp-2', 'cp-3')}}}) as one:
        refused(one, 'How many failures etcd tolerates was not read', node='cp-1', service='ext-net', timeout=1.0)


def test_a_kubelet_that_does_not_become_healthy_is_told_with_its_last_event():
    state = {'machine_config': {'kubelet_extra_args': {'bogus-flag': '1'}}, **FAILED}
    with bed(state) as one:
        with pytest.raises(TalosError, match=r'^The service kubelet of w-1 was to be restarted, and after 3 s it is Waiting: .*bogus-flag') as caught:
            run(one, wait=3.0)
        assert 'logs kubelet' in caught.value.hint and one.changes() == ['ServiceRestart w-1']


def test_the_role_and_a_connection_that_breaks(monkeypatch):
    reader = {'client': {'endpoints': ['10.5.0.11'], 'role': 'os:reader', 'cert_expires_days': 300, 'context_matches_cluster': True}}
    with bed({**FAILED, **reader}) as one:
        with pytest.raises(RoleRefused, match='^ServiceRestart needs the role os:operator, and the client certificate of the context "prod" has os:reader'):
            run(one)
        assert one.model.nodes['w-1'].services['kubelet'] == ['Failed', '?']
    unary = Machine.unary

    def cut(self, method, *given, **more):
        answer = unary(self, method, *given, **more)
        if method.endswith('ServiceRestart'):
            raise TransportError('The connection broke.', 'reset', written=True)
        return answer

    def lost(self, method, *given, **more):
        if method.endswith('ServiceRestart'):
            raise TransportError('The connection broke.', 'reset', written=True)
        return unary(self, method, *given, **more)

    with bed(FAILED) as one:
        monkeypatch.setattr(Machine, 'unary', lost)
        with pytest.raises(TalosError, match='^ServiceRestart of kubelet did not reach w-1: The connection broke'):
            run(one, wait=0.5)
        monkeypatch.setattr(Machine, 'unary', cut)
        assert run(one)['healthy'] and one.changes() == ['ServiceRestart w-1'], 'it was sent once, and looked into'
