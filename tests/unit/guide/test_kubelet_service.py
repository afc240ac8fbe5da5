# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubelet is not running: real states first, then changed recordings."""

from __future__ import annotations

import pytest

from ansible_collections.talosops.talos.plugins.module_utils.guide import kubelet_service
from ansible_collections.talosops.talos.plugins.module_utils.judge import settings
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import Check, error
from ansible_collections.talosops.talos.plugins.module_utils.judge.gates import View
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import Datum
from tests import recorded
from tests.unit.guide import judging, kubelet_states
from tests.unit.guide.judging import READ, ago, findings, lose, node, old, one, recording
from tests.unit.guide.kubelet_changes import log

CHECK = 'kubelet.not_running'
OLD = '2026-11-01T00:00:00Z'
FLAG = 'Error running Containerd(kubelet), going to restart forever: task "kubelet" failed: exit code 1 (last log "{}")'
HEALTHY = (4000, 'Running', 'Health check successful')


def report(snapshot, thresholds=None, checks=kubelet_service.CHECKS):
    return judging.report(snapshot, thresholds, checks)


def set_kubelet(snapshot, machine, state, events=(), healthy=None, message='', changed=None):
    """Give the kubelet of a machine this state; C(events) are (seconds ago, state, text), oldest first; C(healthy) None: not checked."""
    health = {'unknown': healthy is None, 'healthy': bool(healthy), 'last_message': message,
              'last_change': ago(snapshot, changed) if changed is not None else None}
    services = [s for s in machine.value('ServiceList')['services'] if s['id'] != 'kubelet']
    services.append({'id': 'kubelet', 'state': state, 'health': health,
                     'events': {'events': [{'ts': ago(snapshot, seconds), 'state': how, 'msg': text} for seconds, how, text in events]}})
    machine.data['ServiceList'] = Datum(READ, {'services': services})


def remove_kubelet(machine):
    machine.value('ServiceList')['services'] = [s for s in machine.value('ServiceList')['services'] if s['id'] != 'kubelet']


def crashing(snapshot, name, *words, last=4, every=5):
    """The kubelet of a machine exits with these last words, one exit each."""
    events = [HEALTHY, (300, 'Finished', 'Service finished successfully'), (299, 'Starting', 'Starting service')]
    events += [(last + every * number, 'Waiting', FLAG.format(said)) for number, said in reversed(list(enumerate(reversed(words))))]
    set_kubelet(snapshot, node(snapshot, name), 'Waiting', events, healthy=False, message='service not running', changed=290)


# -- real states ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('name', recorded.SETS)
@pytest.mark.parametrize('later', [0, 86400])
def test_every_recorded_kubelet_that_answers_is_fine(name, later):
    assert findings(report(recording(name, later))) == []


def test_an_unknown_argument_is_named():
    snapshot = kubelet_states.snapshot('kubelet-bad-args')
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'error' and finding['nodes'] == ['w1']
    assert finding['title'] == 'kubelet does not run on w1: it does not know the argument --bogus-flag (3 exits in five minutes)'
    assert 'machine.kubelet.extraArgs' in finding['next_step'] and 'no reboot' in finding['next_step']
    assert finding['remedy'] is None and '--bogus-flag' in finding['evidence'][0]['text'] and finding['evidence'][0]['at']


def test_an_image_that_the_registry_does_not_have():
    finding = one(report(kubelet_states.snapshot('kubelet-bad-image')), CHECK)
    assert finding['verdict'] == 'error'
    assert 'its image ghcr.io/siderolabs/kubelet:v1.36.2 cannot be pulled (404 Not Found)' in finding['title']
    assert '10.5.0.1:5000 was asked' in finding['means'] and 'fetch failed' in finding['evidence'][0]['text']
    assert finding['remedy'] is None, 'it is still being tried'


def test_a_failed_pull_is_final_and_can_be_started_again():
    finding = one(report(kubelet_states.snapshot('pre-bootstrap')), CHECK)
    assert finding['verdict'] == 'error' and finding['nodes'] == ['cp1']
    assert 'kubelet:v1.36.3 cannot be pulled (not found)' in finding['title'] and 'talosctl service kubelet start' in finding['next_step']
    assert finding['remedy'] == {'name': 'kubelet_restart', 'args': {'node': 'id-1'}}
    assert 'control plane pods' in finding['means']


@pytest.mark.parametrize('name, said', [('service_kubelet', 'Running pre state'), ('service_kubelet2', 'failed to find cgroup mounts')])
def test_a_bootstrap_is_not_over_yet(name, said):
    """Four seconds after a new start, and two exits within a quarter of a minute, five minutes after the boot."""
    finding = one(report(kubelet_states.snapshot('bootstrap', name)), CHECK)
    assert finding['verdict'] == 'info' and said in finding['title'] and finding['remedy'] is None


def test_two_exits_of_a_machine_that_is_no_longer_young_are_a_warning():
    finding = one(report(kubelet_states.snapshot('bootstrap', 'service_kubelet2', booted=OLD)), CHECK)
    assert finding['verdict'] == 'warning' and 'has just ended' in finding['title'] and 'failed to find cgroup mounts' in finding['title']


# -- why it exits -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize('words, title, step', [
    ('E1122 run.go:72] \\"command failed\\" err=\\"failed to parse kubelet flag: unknown shorthand flag: \'x\' in -x\\"', "argument 'x'",
     'extraArgs'),
    ('E0228 server.go:193] \\"Failed to validate kubelet flags\\" err=\\"the DynamicKubeletConfig feature gate must be enabled\\"',
     'refuses its arguments (the DynamicKubeletConfig', 'extraArgs'),
    ('run.go:74] \\"command failed\\" err=\\"failed to set feature gates from initial flags-based config: unrecognized feature gate: Gone\\"',
     'feature gate Gone', 'Remove it'),
    ('failed to load kubelet config file, path: /etc/kubernetes/kubelet.yaml, error: strict decoding error: unknown field \\"x\\"',
     'refuses its configuration', 'extraConfig'),
    ('{\\"msg\\":\\"Failed to start ContainerManager\\",\\"err\\":\\"invalid kernel flag: kernel/panic_on_oops, expected value: 1, actual value: '
     '0\\"}',
     'kernel/panic_on_oops, expected value: 1, actual value: 0', 'machine.sysctls'),
    ('server.go:294] \\"Failed to run kubelet\\" err=\\"failed to run Kubelet: bad --node-ip \\"10.8.12.20,10.8.12.5\\"; must contain\\"',
     'node IP 10.8.12.20,10.8.12.5', 'validSubnets'),
    ('{\\"msg\\":\\"command failed\\",\\"err\\":\\"failed to run Kubelet: could not init cloud provider\\"}',
     'cannot run (could not init cloud provider)', 'log'),
    ('write /var/lib/kubelet/x: no space left on device', 'disk is full', 'usage /var'),
    ('part of the existing bootstrap client certificate in /etc/kubernetes/kubeconfig-kubelet is expired: 2026-01-01',
     'certificate is out of its time',
     'clock'),
    ('something else', 'exits with exit code 1', 'logs kubelet'),
])
def test_its_last_words_name_the_cause(words, title, step):
    snapshot = old()
    crashing(snapshot, 'w1', words, words, words)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'error' and title in finding['title'] and step in finding['next_step']


def test_killed_for_lack_of_memory():
    snapshot = old()
    set_kubelet(snapshot, node(snapshot, 'w1'), 'Waiting', [
        (second, 'Waiting', 'Error running Containerd(kubelet), going to restart forever: task "kubelet" failed: exit code 137')
        for second in (20, 12, 4)])
    memory = Check('system_requirements.memory', 'system_requirements', 'memory', lambda view: error(
        'w1', 'no memory', 'x', 'y', asserts=(f'memory:{node(snapshot, "w1").key}',)))
    finding = one(report(snapshot, checks=(*kubelet_service.CHECKS, memory)), CHECK)
    assert 'exit code 137' in finding['title'] and finding['because_of'] == ['system_requirements.memory/w1']


@pytest.mark.parametrize('seconds, title', [(6, 'it does not know the argument --container-runtime'), (4000, 'it exits with exit code 1')])
def test_its_own_log_names_the_argument_that_the_event_does_not(seconds, title):
    snapshot = old()
    set_kubelet(snapshot, node(snapshot, 'w1'), 'Waiting', [HEALTHY, *((second, 'Waiting', FLAG.partition(' (last')[0]) for second in (16, 11, 6))],
                healthy=False, changed=290)
    log(snapshot, 'w1', 'kubelet', (seconds, 'run.go:72] "command failed" err="failed to parse kubelet flag: unknown flag: --container-runtime"'))
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'error' and title in finding['title']


def test_one_exit_that_a_health_check_followed_is_history():
    snapshot = old()
    set_kubelet(snapshot, node(snapshot, 'w1'), 'Running', [(50, 'Waiting', FLAG.format('x')), (44, 'Running', 'Started task kubelet'),
                                                            (42, 'Running', 'Health check successful')], healthy=True)
    assert findings(report(snapshot)) == []


def test_exits_again_and_again_are_a_warning_although_it_runs_now():
    snapshot = old()
    events = [event for second in (800, 500, 200) for event in ((second, 'Waiting', FLAG.format('x')),
                                                                (second - 9, 'Running', 'Health check successful'))]
    set_kubelet(snapshot, node(snapshot, 'w1'), 'Running', events, healthy=True)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'warning' and 'ended 3 times' in finding['title']


def test_one_exit_without_a_new_start_is_a_fault():
    """Talos starts it again after five seconds: a state that stays for longer is no moment between two starts."""
    snapshot = old()
    set_kubelet(snapshot, node(snapshot, 'w1'), 'Waiting', [HEALTHY, (50, 'Waiting', FLAG.format('x'))], healthy=False, changed=50)
    assert one(report(snapshot), CHECK)['verdict'] == 'error'


def test_waiting_for_its_certificate_is_explained_by_an_api_that_is_down():
    snapshot = old()
    crashing(snapshot, 'w1', *['{\\"msg\\":\\"Unable to register mirror pod because node is not registered yet\\"}'] * 3)
    down = Check('kubernetes_api.down', 'kubernetes_api.endpoint', 'api',
                 lambda view: error('cluster', 'down', 'x', 'y', asserts=('kubernetes.api_down',)))
    finding = one(report(snapshot, checks=(*kubelet_service.CHECKS, down)), CHECK)
    assert 'client certificate' in finding['title'] and finding['because_of'] == ['kubernetes_api.down/cluster']


# -- what it waits for ------------------------------------------------------------------------------------------

@pytest.mark.parametrize('what, title, fact', [
    ('time sync', 'the time is not in sync (waiting for time sync)', 'clock'),
    ('volumes /var/lib, /var/lib/kubelet to be mounted', 'a volume is not mounted', 'volume_failed'),
    ('volumes /var/lib to be mounted, service "cri" to be "up", time sync, network', 'a volume is not mounted, also the service cri is not up',
     'clock'),
    ('service "cri" to be "up"', 'the service cri is not up', 'boot_blocked'),
    ('network', 'the network is not ready', 'network'),
    ('something new', 'it waits for something new', None),
])
def test_what_it_waits_for(what, title, fact):
    snapshot = old()
    set_kubelet(snapshot, node(snapshot, 'w1'), 'Waiting', [(4001, 'Starting', 'Starting service'), (4000, 'Waiting', f'Waiting for {what}')])
    cause = Check('x.cause', 'x.time', 'cause', lambda view: error('w1', 'bad', 'x', 'y', asserts=(f'{fact}:{node(snapshot, "w1").key}',)))
    finding = one(report(snapshot, checks=(*kubelet_service.CHECKS, cause)), CHECK)
    assert finding['verdict'] == 'error' and title in finding['title'] and bool(finding['because_of']) == bool(fact)


def test_what_it_has_waited_for_for_a_moment_only():
    snapshot = old()
    set_kubelet(snapshot, node(snapshot, 'w1'), 'Waiting', [(11, 'Starting', 'Starting service'), (10, 'Waiting', 'Waiting for time sync')])
    assert one(report(snapshot), CHECK)['verdict'] == 'info'


# -- running, and not well --------------------------------------------------------------------------------------

@pytest.mark.parametrize('started, changed, verdict', [(4000, 200, 'error'), (4000, 5, 'info'), (60, 50, 'info'), (4000, 47, 'error')])
def test_a_failing_health_check(started, changed, verdict):
    """One that failed for four seconds was recorded on a machine that had just booted (its disk was slow)."""
    snapshot = old()
    message = 'Get "http://127.0.0.1:10248/healthz": context deadline exceeded'
    set_kubelet(snapshot, node(snapshot, 'cp1'), 'Running', [(started, 'Running', 'Started task kubelet (PID 354) for container kubelet'),
                                                             (changed, 'Running', f'Health check failed: {message}')],
                healthy=False, message=message, changed=changed)
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == verdict and 'kubelet is not healthy on cp1: it runs and its health check fails' in finding['title']
    assert bool(finding['remedy']) == (verdict == 'error')


def test_never_been_healthy():
    snapshot = old()
    set_kubelet(snapshot, node(snapshot, 'w1'), 'Running', [(900, 'Running', 'Started task kubelet (PID 354) for container kubelet')])
    assert 'has not been healthy yet' in one(report(snapshot), CHECK)['title']


@pytest.mark.parametrize('state, verdict', [('Finished', 'error'), ('Failed', 'error'), ('Stopping', 'error'), ('Preparing', 'error')])
def test_a_kubelet_that_was_stopped_or_is_stuck(state, verdict):
    snapshot = old()
    set_kubelet(snapshot, node(snapshot, 'w1'), state, [HEALTHY, (3000, state, 'Service is no more')])
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == verdict and 'Service is no more' in finding['title']


def test_a_slow_download_is_not_broken():
    snapshot = old()
    machine = node(snapshot, 'w1')
    set_kubelet(snapshot, machine, 'Preparing', [(60, 'Starting', 'Starting service'), (59, 'Preparing', 'Running pre state')])
    judging.machined(snapshot, machine, (30, 'pulling image ghcr.io/siderolabs/kubelet:v1.36.3: downloading 5 layers (12 MiB/140 MiB)...'))
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'info' and '12 MiB/140 MiB' in finding['title']


# -- not listed -------------------------------------------------------------------------------------------------

def test_a_machine_whose_boot_stopped_has_no_kubelet_at_all():
    snapshot = old()
    machine = node(snapshot, 'cp2')
    machine.value('MachineStatuses')[0]['spec']['stage'] = 'booting'
    remove_kubelet(machine)
    lose(machine, 'NodeIPConfigs')
    volume = Check('x.volume', 'system_requirements', 'volume', lambda view: error('cp2', 'bad', 'x', 'y', asserts=(f'volume_failed:{machine.key}',)))
    finding = one(report(snapshot, checks=(*kubelet_service.CHECKS, volume)), CHECK)
    assert finding['verdict'] == 'error' and 'no service kubelet (stage booting)' in finding['title'] and finding['because_of'] == ['x.volume/cp2']


@pytest.mark.parametrize('stage, booted, verdict', [('maintenance', 9000, 'not_applicable'), ('booting', 60, 'info'), ('installing', 9000, 'info')])
def test_no_kubelet_yet(stage, booted, verdict):
    snapshot = old()
    machine = node(snapshot, 'w1')
    machine.value('MachineStatuses')[0].update(spec={'stage': stage}, created=ago(snapshot, booted))
    remove_kubelet(machine)
    outcome = kubelet_service.not_running(View(snapshot, settings.build(kubelet_service.CHECKS)), machine)
    assert outcome.verdict == verdict


def test_a_cluster_without_kubernetes_needs_no_kubelet():
    snapshot = old()
    for machine in snapshot.machines:
        remove_kubelet(machine)
        machine.data['NodeIPConfigs'] = Datum(READ, [])
    snapshot.kubernetes = {}
    assert judging.verdict_of(report(snapshot), CHECK) == 'not_applicable'


# -- versions ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize('image, said', [
    ('ghcr.io/siderolabs/kubelet:v1.38.1', 'v1.38.1 is not supported by Talos v1.13.9, which is made for v1.31 to v1.36'),
    ('ghcr.io/siderolabs/kubelet:v1.31.0', 'v1.31.0 does not fit the API server v1.36.3'),
    ('ghcr.io/siderolabs/kubelet:v1.36.3', ''),
])
def test_a_kubelet_that_does_not_run_because_of_its_version(image, said):
    snapshot = old()
    crashing(snapshot, 'w1', 'x', 'x', 'x')
    node(snapshot, 'w1').value('KubeletSpecs')[0]['spec']['image'] = image
    finding = one(report(snapshot), CHECK)
    assert (said in finding['means']) and bool(said) == ('to a version that fits' in finding['next_step'])


def test_the_version_of_a_kubelet_that_runs_belongs_to_the_upgrades():
    snapshot = old()
    node(snapshot, 'w1').value('KubeletSpecs')[0]['spec']['image'] = 'ghcr.io/siderolabs/kubelet:v1.38.1'
    assert findings(report(snapshot)) == []


# -- what is not seen -------------------------------------------------------------------------------------------

def test_without_the_services_nothing_is_known():
    snapshot = old()
    lose(node(snapshot, 'w1'), 'ServiceList')
    finding = one(report(snapshot), CHECK)
    assert finding['verdict'] == 'unknown' and 'ServiceList' in finding['title']


@pytest.mark.parametrize('kind', ['MachineStatuses', 'Version', 'KubeletSpecs', 'machined', 'kubelet'])
def test_a_fault_stays_one_whatever_else_is_missing(kind):
    snapshot = kubelet_states.snapshot('kubelet-bad-args', booted=OLD)
    lose(snapshot.machines[0], kind, log=kind in ('machined', 'kubelet'))
    assert one(report(snapshot), CHECK)['verdict'] == 'error'
