# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""talos_config_patch in simulated clusters: tried, changed one machine after the other, proved, and taken back."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from unittest import mock

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.api.errors import InputError, RoleRefused, TalosError
from ansible_collections.talosops.talos.plugins.module_utils.remedies import config_yaml, steady
from ansible_collections.talosops.talos.plugins.module_utils.tasks import config_change, config_patch, config_way
from tests.simulator import config_documents as documents
from tests.simulator import lifecycle
from tests.unit.remedies.simulated import UNANSWERED, UNSENT, bed, cut, intercepted

MODULE = 'talos_config_patch'
SYSCTL = {'machine': {'sysctls': {'vm.swappiness': '1'}}}
SMALL = {'topology': {'cp': {'cp-1': '10.5.0.11'}, 'workers': {}}, 'etcd': {'members': {'cp-1': '1111111111111111'}}}
STRANGE = {'apiVersion': 'v1alpha1', 'kind': 'ExtensionServiceConfig', 'name': 'nebula', 'environment': ['A=Y2FuYXJ5']}


@pytest.fixture(autouse=True)
def quick():
    with mock.patch.object(config_change, 'PAUSE', 0.01), mock.patch.object(config_change, 'SETTLE', 3.0), mock.patch.object(config_patch, '_TRY_LEAST', 0.1), \
            mock.patch.object(config_change, 'CONFIRM', 0.5):
        yield


@pytest.fixture
def run(tmp_path):
    def call(one, check=False, **options):
        return one.run(MODULE, check=check, **{'nodes': ['cp-1'], 'patch': SYSCTL, 'timeout': 4.0, 'backup_dir': str(tmp_path / 'kept'), **options})
    return call


def states(result):
    return {one['node']: one['state'] for one in result['nodes']}


def sysctls(one, name='cp-1'):
    return one.model.nodes[name].config.machine.get('sysctls')


def config(one, name='cp-1'):
    return documents.text(one.model.nodes[name].config.active)


def refused(one, run, match, error=TalosError, **options):
    before = {name: config(one, name) for name in one.model.nodes}
    with pytest.raises(error, match=match) as caught:
        run(one, **options)
    assert one.changes() == [] and {name: config(one, name) for name in one.model.nodes} == before
    return caught.value


# -- changed ------------------------------------------------------------------------------------------------------

def test_tried_changed_and_then_left_alone(run, tmp_path):
    with bed() as one:
        before = config(one)
        told = run(one, check=True, backup_dir=None)
        assert told['changed'] and states(told) == {'cp-1': 'planned'} and told['backup_files'] == {} and one.changes() == [] and config(one) == before
        assert told['diff'] == [{'before_header': 'machine configuration of cp-1', 'after_header': 'machine configuration of cp-1', 'before': '',
                                 'after': "machine:\n  sysctls:\n    vm.swappiness: '1'\n"}]
        done = run(one)
        assert done['changed'] and states(done) == {'cp-1': 'changed'} and done['diff'] == told['diff'] and 'warnings' not in done
        assert one.changes() == ['ApplyConfiguration cp-1 NO_REBOOT'] and sysctls(one) == {'vm.swappiness': '1'}
        path = done['backup_files']['cp-1']
        with open(path, encoding='utf-8') as file:
            assert file.read() == before
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and stat.S_IMODE(os.stat(tmp_path / 'kept').st_mode) == 0o700
        again = run(one)
        assert not again['changed'] and states(again) == {'cp-1': 'unchanged'} and again['diff'] == [] and again['backup_files'] == {}
        assert len(one.changes()) == 1 and len(os.listdir(tmp_path / 'kept')) == 1


def test_workers_first_and_the_leader_last(run):
    order = []
    with bed() as one:
        leader = one.model.etcd.leader(one.model.nodes['cp-1'])
        real = config_change._one  # pylint: disable=protected-access
        with mock.patch.object(config_change, '_one', lambda params, view, step, verify: (order.append(step.label), real(params, view, step, verify))):
            done = run(one, nodes=['control_planes', 'w-1'])
        assert order[0] == 'w-1' and one.model.etcd.ids[order[-1]] == leader
        assert sorted(order) == ['cp-1', 'cp-2', 'cp-3', 'w-1'] and set(states(done).values()) == {'changed'} and len(done['backup_files']) == 4


def test_documents_of_all_kinds_survive(run):
    for talos in ('v1.11.2', 'v1.13.9'):
        with bed({'versions': {'talos': talos}}) as one:
            node = one.model.nodes['cp-1']
            node.config.active = node.config.saved = documents.normalized([*node.config.active, STRANGE])
            done = run(one)
            assert [document.get('kind') for document in node.config.active][-1] == 'ExtensionServiceConfig' and node.config.active[-1] == STRANGE
            assert states(done) == {'cp-1': 'changed'} and 'Y2FuYXJ5' not in json.dumps(done)


def test_what_is_not_all_of_it_is_refused(run):
    """talos#12787: up to 1.11 yaml_spec has one document of many; a machine that gave no other form is left alone."""
    with bed({'versions': {'talos': 'v1.11.2'}}) as one:
        plain = config_way._configuration  # pylint: disable=protected-access

        def hidden(handle, name):
            found = plain(handle, name)
            return {**found, 'text': config_yaml.dump(config_yaml.documents(found['text'], '')[:1])}

        node = one.model.nodes['cp-1']
        node.config.active = node.config.saved = documents.normalized([*node.config.active, STRANGE])
        with mock.patch.object(config_way, '_configuration', hidden):
            refused(one, run, 'the dry run of cp-1 changes what the patch does not name: ExtensionServiceConfig, environment')


def test_what_the_machine_writes_in_another_way(run):
    """Such as 1h0m0s for 1h: the machine says itself that there is no difference."""
    with bed() as one:
        plain = config_way._configuration  # pylint: disable=protected-access

        def otherwise(handle, name):
            found = plain(handle, name)
            return {**found, 'text': found['text'].replace('vm.swappiness: "1"', 'vm.swappiness: "01"')}

        with mock.patch.object(config_way, '_configuration', otherwise):
            assert states(run(one)) == {'cp-1': 'changed'} and one.changes() == ['ApplyConfiguration cp-1 NO_REBOOT']
            again = run(one)
        assert not again['changed'] and states(again) == {'cp-1': 'unchanged'} and again['diff'] == [] and len(one.changes()) == 1


def test_a_single_node(run):
    with bed(SMALL) as one:
        assert states(run(one)) == {'cp-1': 'changed'} and sysctls(one)


def test_no_failure_tolerated_forbids_nothing(run):
    with bed() as one:
        one.cluster.kill('cp-3')
        assert states(run(one)) == {'cp-1': 'changed'}


def test_staged(run):
    with bed() as one:
        done = run(one, mode='staged')
        assert done['changed'] and states(done) == {'cp-1': 'changed'} and not sysctls(one)
        assert one.changes() == ['ApplyConfiguration cp-1 STAGED']
        assert not run(one, mode='staged')['changed'] and len(one.changes()) == 1, 'it is staged already'
        with pytest.raises(TalosError, match='another configuration is on trial or waits for a reboot'):
            run(one)
        with pytest.raises(TalosError, match='another configuration is on trial or waits for a reboot'):
            run(one, mode='staged', patch={'machine': {'sysctls': {'vm.swappiness': '2'}}})
        assert len(one.changes()) == 1


# -- on trial -----------------------------------------------------------------------------------------------------

def test_on_trial_then_saved(run):
    with bed() as one:
        done = run(one, mode='try', try_timeout=30.0)
        assert states(done) == {'cp-1': 'changed'} and one.changes() == ['ApplyConfiguration cp-1 TRY', 'ApplyConfiguration cp-1 NO_REBOOT']
        assert one.model.nodes['cp-1'].config.saved == one.model.nodes['cp-1'].config.active and sysctls(one)
        assert not run(one, mode='try', try_timeout=30.0)['changed']


def test_on_trial_and_taken_back(run):
    with bed() as one, mock.patch.object(steady, 'worse', lambda *_: ['kubelet of cp-1 is Waiting']):
        done = run(one, mode='try', try_timeout=1.5, nodes=['cp-1', 'cp-2'])
        assert done['failed'] and done['changed'] and sorted(states(done).values()) == ['planned', 'rolled_back'] and not sysctls(one)
        for said in ('kubelet of cp-1 is Waiting', 'has ended, and what was active before is active again', 'Not touched: '):
            assert said in done['msg']
        assert len(one.changes()) == 1 and one.changes()[0].endswith(' TRY')


def test_the_trial_of_another_is_left_alone(run):
    with bed() as one:
        node = one.model.nodes['cp-1']
        for saved in (True, False):  # what was saved since the boot can be compared; else the time of the change tells
            node.config.persistent = saved
            node.config.try_out(documents.normalized([{**node.config.active[0], 'debug': True}, *node.config.active[1:]]), 600)
            refused(one, run, 'on trial', check=True)
            assert node.config.active[0]['debug'] is True and node.config._trial == 1  # pylint: disable=protected-access
            node.config.boot()
            node.config._trial = 0  # pylint: disable=protected-access


# -- refused ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('options, why', [
    ({'patch': {'machine': {'type': 'worker'}}}, '^The machine configuration of prod is not changed: cp-1: it changes machine.type'),
    ({'patch': {'cluster': {'network': {'podSubnets': ['10.0.0.0/16']}}}}, 'changes cluster.network.podSubnets, and etcd has the data of a cluster'),
    ({'patch': {'machine': {'files': [{'path': '/var/x', 'content': 'Y2FuYXJ5', 'permissions': '0o644', 'op': 'create'}]}}},
     'cp-1 does not take it: .*immediate mode'),
    ({'patch': {'machine': {'frob': 'Y2FuYXJ5'}}}, 'cp-1 does not take it: .*unknown keys frob, machine'),
    ({'patch': {'machine': {'kubelet': {'image': 'ghcr.io/siderolabs/kubelet:v1.99.0'}}}}, 'is too new to be used with Talos'),
    ({'patch': 'a: ['}, 'patch is no YAML'), ({'nodes': ['none']}, 'nodes: no machine of the cluster is none'), ({'nodes': []}, 'nodes names no machine'),
    ({'nodes': ['VIP']}, 'is the virtual IP, which wanders'), ({'backup_dir': None}, 'backup_dir is missing'),
])
def test_what_is_refused(run, options, why):
    with bed({'versions': {'talos': 'v1.13.9'}}) as one:
        options = {**options, **({'nodes': [one.model.vip]} if options.get('nodes') == ['VIP'] else {})}
        assert 'Y2FuYXJ5' not in refused(one, run, why, **options).sentence()


def test_a_short_trial_is_refused(run):
    with bed() as one, mock.patch.object(config_patch, '_TRY_LEAST', 30.0):
        refused(one, run, 'try_timeout must be at least 30 seconds, not 20', InputError, try_timeout=20.0)


def test_networks_while_there_is_no_etcd_yet(run):
    planes = ('cp-1', 'cp-2', 'cp-3')
    fresh = {'etcd': {'members': {}, 'data_dir_empty': list(planes)}, 'services_cp': {'etcd': ['Preparing', '?']}, 'network': {'vip_holder': 'none'},
             'k8s': {'api': 'never up'}}
    with bed(fresh) as one:
        assert states(run(one, patch={'cluster': {'network': {'podSubnets': ['10.0.0.0/16']}}}))['cp-1'] == 'changed'


def test_machines_that_are_down_under_way_or_managed(run):
    with bed({'nodes': {'cp-1': {'machine_status': {'stage': 'upgrading', 'ready': False, 'unmet': []}}}}) as one:
        refused(one, run, 'cp-1 is upgrading')
        one.cluster.kill('w-2')
        refused(one, run, 'w-2 does not answer', nodes=['w-2'])
    with bed({'setup': {'managed_by': 'omni'}}) as one:
        refused(one, run, 'Omni manages these machines, and would undo it')
    with bed({'client': {'role': 'os:operator'}}) as one:
        refused(one, run, 'was not read: .*it needs os:admin, and the client certificate has os:operator')


def test_talos_1_9_does_not_tell_what_is_staged(run):
    with bed({'versions': {'talos': 'v1.9.5'}}) as one:
        told = run(one, check=True)
        assert told['confirm'] == 'overwrite what may be staged on prod, unseen' and told['confirm'] in told['warnings'][0]
        refused(one, run, 'cp-1 cannot tell whether a configuration is staged')
        refused(one, run, 'does not tell whether a configuration is on trial', mode='staged', confirm=[told['confirm']])
        assert states(run(one, confirm=[told['confirm']])) == {'cp-1': 'changed'}


def test_the_role_that_may_not_apply(run):
    def around(name, made):
        if name == 'ApplyConfiguration':
            raise RoleRefused('not authorized', 'PERMISSION_DENIED')
        return made()

    with bed() as one, intercepted(around):
        refused(one, run, 'not authorized: it needs os:admin')


# -- stopped ------------------------------------------------------------------------------------------------------

def test_the_first_machine_that_is_not_well_stops_it(run):
    with bed() as one:
        def broken(node):
            node.services['kubelet'] = ('Waiting', 'Fail')
            node.model.changed()

        with mock.patch.object(lifecycle, 'restart_kubelet', broken):
            done = run(one, nodes=['control_planes'], patch={'machine': {'kubelet': {'extraArgs': {'v': '4'}}}})
        (failed,), left = ([name for name, state in states(done).items() if state == which] for which in ('failed', 'planned'))
        assert done['failed'] and done['changed'] and len(left) == 2 and len(one.changes()) == 1 and done['backup_files'][failed]
        assert f'The change stopped at {failed}: It was changed, and kubelet of {failed} is Waiting' in done['msg'] and 'Not touched: ' in done['msg']


def test_a_configuration_that_changed_meanwhile(run):
    with bed() as one:
        def change(*_args):
            node = one.model.nodes['cp-1']
            node.config.save(documents.normalized([{**node.config.active[0], 'debug': True}, *node.config.active[1:]]))
            node.config.activate(node.config.saved)
            return real(*_args)

        real = config_change.carry_out
        with mock.patch.object(config_change, 'carry_out', change):
            done = run(one)
        assert done['failed'] and not done['changed'] and 'has changed since it was looked at' in done['msg'] and one.changes() == []


def test_a_machine_that_goes_away_in_between(run):
    with bed() as one:
        def gone(params, view, step, verify):
            real(params, view, step, verify)
            one.cluster.kill('w-2')

        real = config_change._one  # pylint: disable=protected-access
        with mock.patch.object(config_change, '_one', gone):
            done = run(one, nodes=['w-1', 'w-2'])
        assert done['failed'] and states(done) == {'w-1': 'changed', 'w-2': 'planned'}
        assert 'The change stopped before w-2: w-2 does not answer' in done['msg'] and 'Changed before that: w-1' in done['msg']


class Killed(BaseException):
    """The process that runs a task was killed."""


@contextlib.contextmanager
def broken(number, how):
    """The call with this number that reads or applies a configuration meets this; gives the list of those calls."""
    if how != 'killed':
        with cut(number, how, lambda name: name in ('Get', 'ApplyConfiguration')) as seen:
            yield seen
        return
    seen = []

    def around(name, made):
        answer = made()
        if name in ('Get', 'ApplyConfiguration'):
            seen.append(name)
            if len(seen) == number:
                raise Killed
        return answer

    with intercepted(around):
        yield seen


@pytest.mark.parametrize('mode, how', [('no_reboot', UNSENT), ('no_reboot', UNANSWERED), ('staged', 'killed'), ('try', UNANSWERED), ('try', 'killed')])
def test_broken_at_each_call_in_turn(run, how, mode):
    """The next run ends well, and nothing is sent again that the machine had."""
    number, reached = 0, True
    while reached:
        number += 1
        with bed(SMALL) as one:
            node, options = one.model.nodes['cp-1'], {'mode': mode, 'try_timeout': 2.0 if mode == 'try' else 30.0, 'timeout': 1.0}
            node.config.persistent = True  # saved since the boot, so that a trial can be told from it
            with broken(number, how) as seen, contextlib.suppress(TalosError, Killed):
                run(one, **options)
            reached = len(seen) >= number
            if mode == 'try':
                one.model.timeline.skip(3)
            last = run(one, **options)
            assert not last.get('failed') and states(last)['cp-1'] in ('changed', 'unchanged'), (number, last)
            assert documents.v1alpha1(node.config.saved)['machine']['sysctls'] == {'vm.swappiness': '1'}
            assert mode == 'try' or len(node.config.asked) == 1, (number, node.config.asked)
    assert number > 6
