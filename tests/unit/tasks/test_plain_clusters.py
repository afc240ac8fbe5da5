# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain access to simulated clusters, with the client itself: other versions, machines that hang or are gone, endpoints that are none."""

from __future__ import annotations

import time

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api import talosconfig
from ansible_collections.talosops.talos.plugins.module_utils.api.errors import TalosError
from ansible_collections.talosops.talos.plugins.module_utils.tasks import access, kubeconfig, logs, resource_info, service_info
from tests.simulator import Cluster
from tests.unit.tasks import plain


def params(cluster, module, **options):
    context = talosconfig.load(content=cluster.talosconfig, environ={})
    return {**plain.params(module, **options), 'access': access.Access(context, cluster='prod', directory='.')}


def state(endpoints=None, **more):
    client = {'role': 'os:admin', 'cert_expires_days': 300, 'context_matches_cluster': True}
    return {'client': {**client, 'endpoints': endpoints} if endpoints else client, **more}


@pytest.mark.parametrize('version, sensitive', [('v1.9.6', False), ('v1.14.0', True)])
def test_types_and_their_sensitivity_are_those_of_the_version(version, sensitive):
    with Cluster.from_state(state(versions={'talos': version})) as cluster:
        said = {kind: resource_info.run(params(cluster, 'talos_resource_info', type=kind, nodes=['cp-1']), False, None) for kind in ('kubeletspec', 'mc')}
        assert said['kubeletspec']['sensitive'] is sensitive and said['kubeletspec']['resources'][0]['spec']['image']
        config = said['mc']['resources'][0]['spec']
        assert config[0]['machine']['type'] == 'controlplane' and config[0]['machine']['token'].startswith('redacted:')
        read = logs.run(params(cluster, 'talos_logs', services=['machined'], dmesg=True, nodes=['w-1'], tail=3), False, None)
        assert [(log['log'], len(log['lines'])) for log in read['logs']] == [('machined', 3), ('dmesg', 3)] and read['unread'] == {}


def test_a_frozen_machine_and_one_that_is_off_cost_their_own_time_alone():
    with Cluster.from_state(state()) as cluster:
        cluster.freeze('w-1')
        cluster.kill('w-2')
        began = time.monotonic()
        said = service_info.run(params(cluster, 'talos_service_info', services=['kubelet'], timeout=1.0), False, None)
        assert time.monotonic() - began < 6
        assert {service['node'] for service in said['services']} == {'cp-1', 'cp-2', 'cp-3'} and set(said['unread']) == {'w-1', 'w-2'}
        assert 'did not answer' in said['unread']['w-1'] and 'cannot reach' in said['unread']['w-2']
        with pytest.raises(TalosError, match='^The services could not be read from any of 2 machines: w-1: .*; w-2: '):
            service_info.run(params(cluster, 'talos_service_info', nodes=['workers'], timeout=1.0), False, None)


def test_a_dead_endpoint_among_others_is_passed_by(tmp_path):
    with Cluster.from_state(state()) as cluster:
        cluster.kill('cp-1')
        said = resource_info.run(params(cluster, 'talos_resource_info', type='hostname', timeout=2.0), False, None)
        assert set(said['unread']) == {'cp-1'} and len(said['resources']) == 4
        issued = kubeconfig.run(params(cluster, 'talos_kubeconfig', path=str(tmp_path / 'k'), timeout=2.0), False, None)
        assert issued['changed'] is True and (tmp_path / 'k').exists()
        for name in ('cp-2', 'cp-3'):
            cluster.kill(name)
        with pytest.raises(TalosError, match='^None of the 3 endpoints of the context ".*" could be used: .*refuses connections'):
            resource_info.run(params(cluster, 'talos_resource_info', type='hostname', timeout=2.0), False, None)
        with pytest.raises(TalosError, match='^No endpoint of the context ".*" issued a kubeconfig: .*refuses connections'):
            kubeconfig.run(params(cluster, 'talos_kubeconfig', path=str(tmp_path / 'k'), timeout=2.0), False, None)


def test_through_a_worker_only_the_worker_itself_is_read(tmp_path):
    with Cluster.from_state(state(endpoints=['10.5.0.21'])) as cluster:
        said = resource_info.run(params(cluster, 'talos_resource_info', type='hostname'), False, None)
        assert [item['node'] for item in said['resources']] == ['w-1']
        assert set(said['unread']) == {'cp-1', 'cp-2', 'cp-3', 'w-2'} and said['unread']['cp-1'] == 'no control plane endpoint answered'
        with pytest.raises(TalosError, match='kubeconfig is only available on control plane nodes'):
            kubeconfig.run(params(cluster, 'talos_kubeconfig', path=str(tmp_path / 'k')), False, None)


def test_when_the_time_for_all_is_over_the_rest_is_not_asked():
    with Cluster.from_state(state()) as cluster:
        for name in ('cp-1', 'cp-2', 'cp-3'):
            cluster.freeze(name)
        began = time.monotonic()
        with pytest.raises(TalosError) as error:
            resource_info.run(params(cluster, 'talos_resource_info', type='hostname', deadline=2.0), False, None)
        assert time.monotonic() - began < 8 and 'could' in error.value.message
