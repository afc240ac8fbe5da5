# Copyright (c) 2026, The talosops.talos maintainers
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guide, "etcd Issues", step 1 (service state), and "Other Issues": crashing, and where etcd runs at all."""

from __future__ import annotations

import re

from ansible_collections.talosops.talos.plugins.module_utils.guide.etcd_start import settling
from ansible_collections.talosops.talos.plugins.module_utils.judge.check import (
    CONTROL_PLANES, WORKERS, Check, Evidence, Threshold, critical, error, info, not_applicable, ok, warning,
)
from ansible_collections.talosops.talos.plugins.module_utils.judge.etcd_facts import CRASHED, NO_QUORUM, NOT_BOOTSTRAPPED, down
from ansible_collections.talosops.talos.plugins.module_utils.snapshot.model import format_time

_EXIT_CODE = re.compile(r'exit code (\d+)')
_JUST_STARTED = 60

_RESET = ('Only while the other members hold a quorum without it (talosctl etcd status on them), or in a cluster that never had data: '
          'take a snapshot on a healthy member, then talosctl -n {address} reset --system-labels-to-wipe EPHEMERAL --graceful=false '
          '--reboot on this node alone.')
_FLAGS = ('Correct or remove the argument in cluster.etcd.extraArgs (talosctl patch machineconfig, first with --dry-run), on this node '
          'first; a service that is being restarted takes it up at once.')

# (what the log says, what it is, what it means, what to do), the most telling first.
_CRASH_CAUSES = (
    (re.compile(r'flag provided but not defined: (?P<what>-\S+)'), 'it does not know the argument {what}',
     'cluster.etcd.extraArgs holds an argument that this etcd does not have.', _FLAGS),
    (re.compile(r'failed to verify flags.*?"error":"(?P<what>[^"]+)"'), 'it refuses its arguments ({what})',
     'cluster.etcd.extraArgs is wrong.', _FLAGS),
    (re.compile(r'(?P<what>the member has been permanently removed from the cluster|data-dir used by this member must be removed)'),
     'its member was removed from the cluster, and its data stayed',
     'The other members will never take this data back: the node has to join anew with an empty data directory.', _RESET),
    (re.compile(r'(?P<what>cluster ID mismatch|member \S+ has already been bootstrapped|member count is unequal)'),
     'its data is of another cluster ({what})',
     'The node was installed over an old installation, or two clusters were bootstrapped from the same secrets.',
     'Find out which cluster holds the real data before wiping anything. ' + _RESET),
    (re.compile(r'(?P<what>tocommit\(\d+\) is out of range[^"\n]*)'), 'its data is older than it had told the others ({what})',
     'The disk was rolled back, for example to a snapshot of the virtual machine.', 'Remove this member by its id, then: ' + _RESET),
    (re.compile(r'(?P<what>no space left on device)'), 'its disk is full', 'etcd cannot write its log.',
     'Free space on /var of this node (talosctl usage /var), then watch it start.'),
    (re.compile(r'(?P<what>crc mismatch|wal: [^"\n]*(?:corrupt|crc)[^"\n]*|found data inconsistency|failed to recover v3 backend)'),
     'its data is damaged ({what})', 'The database or the write-ahead log of this member cannot be read: look at the disk.', _RESET),
    (re.compile(r'(?P<what>tls: bad certificate|x509: certificate signed by unknown authority)'), 'the certificates do not fit ({what})',
     'It holds certificates or data of another cluster, or a clock is wrong.',
     'Compare the machine configuration (cluster.etcd.ca) and the clock with the other nodes. ' + _RESET),
    (re.compile(r'(?P<what>panic: [^\n]{1,200})'), 'it panics ({what})', 'etcd met a state that it cannot go on from.', _RESET),
)


# -- ETC-13 -----------------------------------------------------------------------------------------------------

def crash_loop(view, machine):
    """etcd stays up once started; restarts before the last successful health check are history."""
    crashes, last = view.etcd.crashes(machine), view.etcd.last_event(machine)
    if not crashes:
        return ok(machine.key)
    cause = _crash_cause(view, machine, crashes)
    evidence = [Evidence(f'{crashes[-1].state}: {crashes[-1].msg.splitlines()[0]}', 'ServiceList', machine.label,
                         format_time(crashes[-1].at) if crashes[-1].at else None)]
    often = f'{len(crashes)} restart{"s" if len(crashes) > 1 else ""} in five minutes'
    loops = len(crashes) >= view.threshold('etcd_restarts')
    if cause:
        pattern_hit, line, what, means, step = cause
        evidence.insert(0, view.etcd.quote(machine, 'etcd', line))
        said = what.format(what=pattern_hit.group('what'))
        return error(machine.key, f'etcd does not stay up on {machine.label}: {said} ({often})', means,
                     step.format(address=machine.address or machine.label), nodes=[machine.key], evidence=evidence,
                     asserts=(down(machine),), explained_by=_what_stops_it(machine, said))
    code = _EXIT_CODE.search(crashes[-1].msg)
    said = f' with exit code {code.group(1)}' if code else ''
    log = machine.log('etcd')
    unseen = 'Its log gives no reason that is known here.' if log.ok else f'Its log could not be read: {log.why()}.'
    means = f'{unseen} Talos restarts it every five seconds, for ever.'
    step = f'Read its log: talosctl -n {machine.address or machine.label} logs etcd --tail 200.'
    causes = ()
    if code and code.group(1) == '137':
        causes = (f'memory:{machine.key}',)
        means = 'Exit code 137: it was killed, most likely for lack of memory.'
        step = 'Look at the memory of this node (talosctl memory, talosctl dmesg); give it more.'
    if loops:
        return error(machine.key, f'etcd crashes again and again on {machine.label}{said}: {often}', means, step, nodes=[machine.key],
                     evidence=evidence, asserts=(down(machine),), explained_by=causes)
    if CRASHED.match(last.msg):
        return warning(machine.key, f'etcd has just stopped on {machine.label}{said} and is being restarted', means,
                       'Gather again in a minute. ' + step, nodes=[machine.key], evidence=evidence, asserts=(down(machine),),
                       explained_by=causes)
    return info(machine.key, f'etcd was restarted on {machine.label}{said} and runs again', means, 'Gather again in a minute.',
                nodes=[machine.key], evidence=evidence)


def _what_stops_it(machine, said):
    """Facts about the machine that bring such a crash about."""
    if 'disk is full' in said:
        return (f'disk_full:{machine.key}',)
    if 'certificates do not fit' in said:
        return (f'clock:{machine.key}',)
    return ()


def _crash_cause(view, machine, crashes):
    """(match, line, texts…) of the most telling line since the first of these crashes; usage text has no time of its own."""
    lines = view.etcd.log(machine, 'etcd')
    begin = crashes[0].at
    old = [i for i, line in enumerate(lines) if begin and line.at and (begin - line.at).total_seconds() > 30]
    lines = lines[old[-1] + 1:] if old else lines
    for pattern, what, means, step in _CRASH_CAUSES:
        for line in reversed(lines):
            hit = pattern.search(line.text)
            if hit:
                return hit, line, what, means, step
    return None


# -- ETC-1 ------------------------------------------------------------------------------------------------------

def service_not_healthy(view, machine):
    """The service etcd runs and its health check succeeds. This proves neither a quorum nor space: see those checks."""
    facts, service, state = view.etcd, view.service(machine, 'etcd'), view.etcd.state(machine)
    nodes = [machine.key]
    if service is None:
        return _not_listed(view, machine)
    last = facts.last_event(machine)
    said = last.msg if last else ''
    evidence = [Evidence(f'{state}: {said}', 'ServiceList', machine.label, format_time(last.at) if last and last.at else None)]
    if facts.in_pre(machine) or facts.crashes(machine):
        return not_applicable(machine.key, 'judged by the checks of its start and its restarts')
    if state == 'Running':
        return _running(view, machine, service, last, evidence)
    if state == 'Finished' and said == 'Bootstrap requested':
        return info(machine.key, f'{machine.label} is being bootstrapped', 'etcd starts in a moment.', 'Gather again in a minute.',
                    nodes=nodes, evidence=evidence)
    if view.in_progress(machine):
        return info(machine.key, f'etcd is {state} on {machine.label}, which is {view.stage(machine)}',
                    'The node is on its way down or up.', 'Gather again once it is up.', nodes=nodes, evidence=evidence)
    return error(machine.key, f'etcd does not run on {machine.label}: state {state}' + (f', "{said.splitlines()[0]}"' if said else ''),
                 'It was stopped, has left the cluster, or could not be run. Talos does not start it again by itself.',
                 f'Find the reason in talosctl -n {machine.address or machine.label} logs machined, then reboot this node. If it has left '
                 'the cluster on purpose, reset it.', nodes=nodes, evidence=evidence, asserts=(down(machine),))


def _running(view, machine, service, last, evidence):
    health = service.get('health') or {}
    nodes, message = [machine.key], health.get('last_message') or 'no message'
    if health.get('healthy'):
        return ok(machine.key)
    if view.etcd.is_learner(machine) or 'rpc not supported for learner' in message:
        return not_applicable(machine.key, 'a learner is not healthy before it votes: see the check of learners')
    started = last is not None and last.at is not None and (view.now - last.at).total_seconds() < _JUST_STARTED
    if health.get('unknown') and started:
        return info(machine.key, f'etcd was just started on {machine.label}', 'No health check has been made yet.',
                    'Gather again in a minute.', nodes=nodes, evidence=evidence)
    evidence = [Evidence(f'health: {message}', 'ServiceList', machine.label, health.get('last_change'))] + evidence
    if settling(view, machine) and machine.key in view.etcd.with_leader:
        return info(machine.key, f'etcd on {machine.label} is not healthy yet: {message}',
                    'The node or the cluster is younger than ten minutes, and its etcd knows a leader.', 'Gather again in a few minutes.',
                    nodes=nodes, evidence=evidence)
    others = [m for m in view.answering_control_planes if m.key != machine.key]
    alone = any(((view.service(m, 'etcd') or {}).get('health') or {}).get('healthy') for m in others)
    raise_it = error if alone else critical
    return raise_it(machine.key, f'etcd runs on {machine.label} and is not healthy: {message}',
                    'Its health check asks the local etcd for a read that needs a quorum: it fails without one, and where etcd or its '
                    'disk is too slow.' + ('' if alone else ' etcd is healthy on no control plane node.'),
                    f'See whether the quorum is there; if it is, look at the disk and CPU of {machine.label} and its etcd log.',
                    nodes=nodes, evidence=evidence, explained_by=(NO_QUORUM,))


def _not_listed(view, machine):
    stage, nodes = view.stage(machine), [machine.key]
    if stage == 'maintenance':
        return not_applicable(machine.key, 'in maintenance mode no services of the cluster run')
    evidence = [Evidence('no service "etcd"', 'ServiceList', machine.label, machine.datum('ServiceList').at)]
    if view.young(machine) or view.in_progress(machine):
        return info(machine.key, f'etcd is not listed yet on {machine.label} (stage {stage})', 'The boot has not come that far.',
                    'Gather again in a few minutes.', nodes=nodes, evidence=evidence)
    return error(machine.key, f'{machine.label} is a control plane node, but has no service etcd (stage {stage})',
                 'Its boot stopped before the services of the cluster were made, most often at a volume that failed.',
                 'Look at talosctl get volumestatus and talosctl logs machined of this node.', nodes=nodes, evidence=evidence,
                 asserts=(down(machine),), explained_by=(NOT_BOOTSTRAPPED,))


# -- ETC-15 -----------------------------------------------------------------------------------------------------

def on_worker(view, machine):
    """etcd runs on control plane nodes only."""
    service = view.service(machine, 'etcd')
    if service is None:
        return not_applicable(machine.key, 'no etcd is expected on a worker')
    return warning(machine.key, f'{machine.label} is a worker and has a service etcd (state {service.get("state")})',
                   'etcd runs on control plane nodes only: the kind of this machine was changed while it ran, or the configuration is not '
                   'the one it booted with.', 'Compare machine.type in its configuration with what it should be, then reboot or reset it.',
                   nodes=[machine.key],
                   evidence=[Evidence(f'etcd {service.get("state")}', 'ServiceList', machine.label, machine.datum('ServiceList').at)])


CHECKS = (
    Check('etcd.crash_loop', 'etcd.other', 'etcd stays up', crash_loop, each=CONTROL_PLANES,
          needs=('ServiceList',), logs=('etcd',), catalogue='ETC-13', thresholds={
              'etcd_restarts': Threshold(3, 'count', 'restarts of etcd within five minutes that make a crash loop')}),
    Check('etcd.service_not_healthy', 'etcd.other', 'etcd runs and is healthy', service_not_healthy, each=CONTROL_PLANES,
          needs=('ServiceList',), reads=('MachineStatuses', 'EtcdStatus'), catalogue='ETC-1'),
    Check('etcd.on_worker', 'etcd.other', 'etcd runs on control plane nodes only', on_worker, each=WORKERS,
          needs=('ServiceList',), catalogue='ETC-15'),
)
